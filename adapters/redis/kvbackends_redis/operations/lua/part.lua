-- Most parts are not the last, and nothing was added to their header: for those the script ends here,
-- before the other functions are defined.  For the others it goes on; what was done here is idempotent.
-- KEYS: control, parts, extra, and the result if there is one.
-- ARGV: place, member, delivery, ttl, value; rank and ttl of the result, as in finish.lua.
local function early()
  local ttl, value, key, lives = tonumber(ARGV[4]), ARGV[5], KEYS[4], ARGV[7] or ARGV[4]
  if not ttl or key and ((ARGV[6] or '3') ~= '3' or lives == '' or #value > 16384) then return end
  local f = redis.call('HMGET', KEYS[1], 'd', 'o', 's', 'n')
  if f[1] or f[2] or f[3] then return end
  if not f[4] and redis.call('EXISTS', KEYS[1]) == 0 then return {4} end
  if redis.call('HSETNX', KEYS[1], 'p:' .. ARGV[2], ARGV[1]) == 0 then return end
  local length = redis.call('RPUSH', KEYS[2], ARGV[1] .. ':' .. ARGV[2], value)
  if f[4] and length / 2 >= tonumber(f[4]) then return end
  -- Control outlives the parts, unless it was made by the HSETNX above: then it has no size.  For keys
  -- without a ttl, PTTL returns -1.
  local left = redis.call('PTTL', KEYS[2])
  if left < ttl or not f[4] and redis.call('PTTL', KEYS[1]) < left then return end
  if not key then return {0} end
  if redis.call('SET', key, value, 'PX', lives, 'NX') then
    redis.call('PUBLISH', key, value)
    return {0}
  end
end

local waiting = early()
if waiting then return waiting end
