-- ARGV: place, member, delivery, ttl, evict.
return arrive(ARGV[1], ARGV[2], ARGV[3], ARGV[5] or '', ARGV[4])
