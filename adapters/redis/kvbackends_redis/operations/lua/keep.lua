-- PERSIST alone does not tell an absent key from one that has no ttl.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('PERSIST', KEYS[1])
return 1
