-- ARGV: place, member, delivery, ttl, size.
local b = snapshot()
if b.done then return {CLOSED} end
if unknown(b) then return {UNKNOWN} end
redis.call('HSET', control, 'n', ARGV[5])
b.size = tonumber(ARGV[5])
renew(b, ARGV[4])
return claim(b, ARGV[1], ARGV[2], ARGV[3], '', true, ARGV[4])
