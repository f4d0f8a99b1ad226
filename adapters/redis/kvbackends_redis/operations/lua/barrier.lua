-- One barrier: two hashes and a list of one slot.
--   control  d done, n size, o and op the delivery that holds the claim and its part, a payload,
--            s slots, u unfilled slots, x arrived parts that are not of the header, k kept for ever,
--            and p:<member> -> the places at which it arrived
--   parts    <place>:<member>, its value, the next one …: a list, so that pages are read by index
--   extra    m:<member> -> the slots that it may fill; s:<slot> -> the part that fills it, or ''
local control, parts, extra = KEYS[1], KEYS[2], KEYS[3]

local WAITING, CLAIMED, HELD, CLOSED, UNKNOWN = 0, 1, 2, 3, 4
local STRAY = '' -- the slot of members added after the claim: they do not count

local function snapshot()
  local f = redis.call('HMGET', control, 'd', 'n', 'o', 'op', 's', 'u', 'x', 'k')
  return {
    done = f[1], size = tonumber(f[2]), delivery = f[3], owner = f[4],
    slots = tonumber(f[5]) or 0, unfilled = tonumber(f[6]) or 0,
    others = tonumber(f[7]) or 0, kept = f[8],
  }
end

-- Parts live for at least `ttl` milliseconds from now; control and extra live at least as long.  They
-- get an eighth more, so that not every part has to renew them.
local function renew(b, ttl)
  if b.kept then return end
  if ttl == '' then
    b.kept = '1'
    redis.call('HSET', control, 'k', '1')
    for _, key in ipairs({parts, control, extra}) do redis.call('PERSIST', key) end
    return
  end
  local least = tonumber(ttl)
  local given = least < 10000 and least or least + math.floor(least / 8)
  for _, key in ipairs({parts, control, extra}) do
    local left = redis.call('PTTL', key)
    if left == -1 or (left >= 0 and left < least) then
      left = math.max(given, least)
      redis.call('PEXPIRE', key, left)
    end
    if key == parts then least = math.max(least, left) end
  end
end

-- True if the barrier was never opened, or has expired; only opening it makes `control`.
local function unknown(b)
  return not (b.size or b.delivery) and redis.call('EXISTS', control) == 0
end

local function slots_of(member)
  local packed = redis.call('HGET', extra, 'm:' .. member)
  return packed and cmsgpack.unpack(packed) or {}
end

local function fill(b, slot, part)
  if slot ~= STRAY and redis.call('HGET', extra, 's:' .. slot) == '' then
    redis.call('HSET', extra, 's:' .. slot, part)
    b.unfilled = redis.call('HINCRBY', control, 'u', -1)
  end
end

-- Records a part once; the first value stays.
local function record(b, place, member, value)
  local part = place .. ':' .. member
  if redis.call('HSETNX', control, 'p:' .. member, place) == 0 then
    local places = redis.call('HGET', control, 'p:' .. member)
    if string.find(',' .. places .. ',', ',' .. place .. ',', 1, true) then
      if redis.call('EXISTS', parts) == 1 then return end -- else the list has expired, or was evicted
    else
      redis.call('HSET', control, 'p:' .. member, places .. ',' .. place)
    end
  end
  redis.call('RPUSH', parts, part, value)
  if b.slots == 0 and not b.delivery then return end -- nothing was added
  local slots = slots_of(member)
  if #slots == 0 then return end
  b.others = redis.call('HINCRBY', control, 'x', 1)
  for _, slot in ipairs(slots) do fill(b, slot, part) end
end

-- The number of parts of the header, or nil if any are missing.
local function complete(b)
  if not b.size or b.unfilled > 0 then return nil end
  local header = redis.call('LLEN', parts) / 2 - b.others
  return header >= b.size and header or nil
end

-- `brings`: a call that brings a part, or the size, takes over a claim of its own part.
local function claim(b, place, member, delivery, evict, brings, ttl)
  local header = complete(b)
  if not header then return {WAITING} end
  local part, holder = place .. ':' .. member, b.delivery
  if holder and holder ~= delivery and holder ~= evict and not (brings and b.owner == part) then
    return {HELD, holder}
  end
  if holder ~= delivery then
    redis.call('HSET', control, 'o', delivery, 'op', part)
    renew(b, ttl)
  end
  return {CLAIMED, redis.call('HGET', control, 'a') or '', header + b.slots}
end

-- With the value nil nothing is recorded.
local function arrive(place, member, delivery, evict, ttl, value)
  local b = snapshot()
  if b.done then return {CLOSED} end
  if unknown(b) then return {UNKNOWN} end
  if value then
    -- The holder of a claim reads the parts page by page: late parts must not be added to the list.
    if not (b.delivery and complete(b)) then record(b, place, member, value) end
    renew(b, ttl)
  end
  return claim(b, place, member, delivery, evict, value, ttl)
end
