-- KEYS: the result, and the key where its value was put just before.  ARGV: rank, ttl, seen, its rank.
local key, staged, ttl = KEYS[1], KEYS[2], ARGV[2]
if redis.call('EXISTS', staged) == 0 then
  return redis.error_reply('TRYAGAIN the value was evicted before it was committed')
end
local function value() return redis.call('GET', staged) end
local answer = yields(key, value, ARGV[1], ARGV[3], ARGV[4])
if answer ~= 1 then
  redis.call('UNLINK', staged)
  return answer
end
redis.call('RENAME', staged, key)
if ttl == '' then
  redis.call('PERSIST', key)
else
  redis.call('PEXPIRE', key, ttl)
end
if listened(key) then publish(key, redis.call('GET', key)) end -- GET copies the value into Lua
return 1
