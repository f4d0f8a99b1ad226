-- ARGV: place, member, delivery, evict, ttl, value (none: only look).
return arrive(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
