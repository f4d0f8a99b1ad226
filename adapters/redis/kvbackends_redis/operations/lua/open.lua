-- ARGV: ttl, payload.
redis.call('UNLINK', control, parts, extra)
redis.call('HSET', control, 'a', ARGV[2])
renew(snapshot(), ARGV[1])
return 1
