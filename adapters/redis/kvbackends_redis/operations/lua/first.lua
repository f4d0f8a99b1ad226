-- Most records are the first under their key: they are stored before the other functions are defined.
-- KEYS: the result.  ARGV: value, ttl; rank, unless it is 3; digest and rank of the stored record, if the client has ranked it.
local first
if ARGV[2] == '' then
  first = redis.call('SET', KEYS[1], ARGV[1], 'NX')
else
  first = redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX')
end
if first then
  redis.call('PUBLISH', KEYS[1], ARGV[1])
  return 1
end
