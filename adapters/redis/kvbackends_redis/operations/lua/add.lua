-- ARGV: how much, ttl.  The sum is read as text: Lua's numbers have 53 bits.
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(sum) ~= 'number' then return false end -- above 64 bits, or not as INCRBY writes it
if ARGV[2] == '' then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('GET', KEYS[1])
