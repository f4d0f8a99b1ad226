local key, value = KEYS[1], ARGV[1]
local answer = yields(key, function() return value end, ARGV[3] or '3', ARGV[4], ARGV[5])
if answer ~= 1 then return answer end
put(key, value, ARGV[2])
publish(key, value)
return 1
