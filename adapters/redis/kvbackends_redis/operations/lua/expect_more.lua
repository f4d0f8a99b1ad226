-- ARGV: the adder's place and member, number, the member to expect, ttl.
local b = snapshot()
if b.done or unknown(b) then return 0 end
local slot, member = ARGV[1] .. ':' .. ARGV[2] .. ':' .. ARGV[3], ARGV[4]
local known = slots_of(member)
local stands = b.delivery and STRAY or slot
for _, each in ipairs(known) do
  if each == slot or each == stands then return 0 end
end
-- It may have arrived before it was added, and was counted as a part of the header.
local places = redis.call('HGET', control, 'p:' .. member)
if places and #known == 0 then
  local _, commas = string.gsub(places, ',', '')
  redis.call('HINCRBY', control, 'x', commas + 1)
end
known[#known + 1] = stands
redis.call('HSET', extra, 'm:' .. member, cmsgpack.pack(known))
if stands ~= STRAY then
  if redis.call('HSETNX', extra, 's:' .. slot, '') == 1 then
    redis.call('HINCRBY', control, 's', 1)
    redis.call('HINCRBY', control, 'u', 1)
  end
  if places then fill(b, slot, string.match(places, '^[^,]+') .. ':' .. member) end
end
renew(b, ARGV[5])
return 1
