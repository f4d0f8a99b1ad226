-- KEYS[4]: the result, if there is one.  ARGV: ttl; value, rank, ttl, seen, its rank.
local better = 0
if KEYS[4] then
  better = yields(KEYS[4], function() return ARGV[2] end, ARGV[3], ARGV[5], ARGV[6])
  if type(better) == 'string' then return better end
end
-- A run without a claim began after the dispatched one, and is left alone.
local b = snapshot()
if b.done or b.delivery or redis.call('EXISTS', control) == 0 then
  redis.call('UNLINK', control, parts, extra)
  redis.call('HSET', control, 'd', '1')
  if ARGV[1] ~= '' then redis.call('PEXPIRE', control, ARGV[1]) end
end
if better == 1 then
  put(KEYS[4], ARGV[2], ARGV[4])
  publish(KEYS[4], ARGV[2])
end
return 1
