-- The first record under its key, as most are: decided before anything else is even defined.
-- KEYS: the result.  ARGV: value, rank, ttl, digest and rank of what the client has seen.
local first
if ARGV[3] == '' then
  first = redis.call('SET', KEYS[1], ARGV[1], 'NX')
else
  first = redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3], 'NX')
end
if first then
  redis.call('PUBLISH', KEYS[1], ARGV[1])
  return 1
end
