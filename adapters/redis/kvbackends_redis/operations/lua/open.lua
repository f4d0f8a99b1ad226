-- ARGV: ttl, about.
redis.call('UNLINK', control, parts, extra)
redis.call('HSET', control, 'a', ARGV[2])
renew(look(), ARGV[1])
return 1
