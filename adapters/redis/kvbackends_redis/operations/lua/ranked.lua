-- The ranked write.  Ranks: 1 unready, 2 failed, 3 succeeded.

local RANKS = {SUCCESS = 3, FAILURE = 2, REVOKED = 2}

-- The state in the first bytes of a Celery record: JSON, pickle (protocols 2 to 5) and
-- msgpack begin with it.  nil if they do not (compressed, YAML, another program's).
local function state_of(head)
  if string.byte(head) == 123 then
    return (string.match(head, '^{"status": ?"([^"\\]+)"'))
  end
  local _, last, before, length = string.find(head, '^\128(.-)X\6%z%z%zstatusq.X(.)%z%z%z')
  if not last then
    _, last, before, length = string.find(head, '^\128(.-)\140\6status\148\140(.)')
  end
  if last and #before > 14 then return nil end
  local size = last and string.byte(length)
  if not last then
    _, last, before, length = string.find(head, '^[\128-\143\222](.-)\166status([\160-\191])')
    if not last or #before > 2 then return nil end
    size = string.byte(length) - 160
  end
  local state = string.sub(head, last + 1, last + size)
  return #state == size and state or nil
end

-- Whether the record at `key` yields to one of `rank`: 1 yes, 0 no, or the record itself, which
-- only the client can rank.  It then calls again with `seen`, the digest of that record.
-- `value` is a function, called only if both records are successes.
local function yields(key, value, rank, seen, seen_rank)
  local head = redis.call('GETRANGE', key, 0, 63)
  if head == '' and redis.call('EXISTS', key) == 0 then return 1 end
  local state, stored = state_of(head), nil
  if state then
    stored = RANKS[state] or 1
  else
    local old = redis.call('GET', key)
    if redis.sha1hex(old) ~= seen then return old end
    stored = tonumber(seen_rank)
  end
  if stored < 3 then return stored <= tonumber(rank) and 1 or 0 end
  -- No record replaces a success; the same bytes may be an earlier attempt of this very write.
  return tonumber(rank) == 3 and redis.call('GET', key) == value() and 1 or 0
end

-- `ttl` is in milliseconds, '' for ever.
local function put(key, value, ttl)
  if ttl == '' then
    redis.call('SET', key, value)
  else
    redis.call('SET', key, value, 'PX', ttl)
  end
end

-- False if the channel has no subscriber; true if the user may not ask the server.
local function listened(key)
  local channels = redis.pcall('PUBSUB', 'NUMSUB', key)
  local patterns = redis.pcall('PUBSUB', 'NUMPAT')
  return channels.err or type(patterns) ~= 'number' or channels[2] > 0 or patterns > 0
end

-- The message is the record, as Celery's clients in any language expect.  Publishing a small one costs
-- less than asking for subscribers.
local function publish(key, value)
  if #value <= 16384 or listened(key) then redis.call('PUBLISH', key, value) end
end
