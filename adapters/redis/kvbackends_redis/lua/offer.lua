-- KEYS: the result.  ARGV: value, rank, ttl, digest and rank of what the client has seen.
local key, value, ttl = KEYS[1], ARGV[1], ARGV[3]
local stored
if ttl == '' then
  stored = redis.call('SET', key, value, 'NX')
else
  stored = redis.call('SET', key, value, 'PX', ttl, 'NX')
end
if not stored then
  local answer = yields(key, function() return value end, ARGV[2], ARGV[4], ARGV[5])
  if answer ~= 1 then return answer end
  put(key, value, ttl)
end
tell(key, value)
return 1
