-- The first record under its key, as most are: decided before anything else is even defined.
-- KEYS: the result.  ARGV: value, ttl; rank, unless it is 3; digest and rank of what the client has seen.
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
