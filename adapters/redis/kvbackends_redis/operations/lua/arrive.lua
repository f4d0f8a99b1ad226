-- ARGV: place, member, delivery, ttl, value, evict.
return arrive(ARGV[1], ARGV[2], ARGV[3], ARGV[6] or '', ARGV[4], ARGV[5])
