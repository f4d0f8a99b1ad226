-- KEYS[4]: the result.  ARGV: place, member, delivery, ttl, value; rank, unless it is 3; ttl of the
-- result, unless it is the part's; evict, seen, its rank.
local key, value, rank = KEYS[4], ARGV[5], ARGV[6] or '3'
local better = yields(key, function() return value end, rank, ARGV[9], ARGV[10])
if type(better) == 'string' then return better end
local arrival = arrive(ARGV[1], ARGV[2], ARGV[3], ARGV[8] or '', ARGV[4], value)
-- A success that completes the barrier is stored last, by closing it.
if better == 1 and (rank ~= '3' or arrival[1] == WAITING) then
  put(key, value, ARGV[7] or ARGV[4])
  publish(key, value)
end
return arrival
