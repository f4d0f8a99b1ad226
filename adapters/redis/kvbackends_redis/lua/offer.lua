local key, value = KEYS[1], ARGV[1]
local answer = yields(key, function() return value end, ARGV[2], ARGV[4], ARGV[5])
if answer ~= 1 then return answer end
put(key, value, ARGV[3])
tell(key, value)
return 1
