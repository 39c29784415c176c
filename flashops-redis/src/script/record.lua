-- Reservations, by their sixteen bytes. KEYS[1] has those that are held, and those that expired and may still be settled; KEYS[2] has their
-- deadlines. What was settled is in KEYS[1] .. ':' .. number, one hash for each span of time, and is forgotten with it.
--
-- A record: when it expired (-1: it is held), when it was admitted, its deadline, what it holds, its checkpoint or what
-- expiry charged, what expiry charges (0 the checkpoint, 1 all, 2 nothing), how long it may still be settled after,
-- and its accounts.

-- Two more fields of KEYS[1] say until when both keys are kept, and which span has its end set.

local HELD = '<ddddddddddddd'

local function read_record(raw)
  local v = { get(HELD, raw) }
  return { expired = v[1], admitted = v[2], deadline = v[3], held = { v[4], v[5], v[6], v[7] },
    mark = { v[8], v[9], v[10], v[11] }, on_expiry = v[12], keep = v[13], list = sub(raw, 105) }
end

local function write_record(id, r)
  local h, m = r.held, r.mark
  call('HSET', KEYS[1], id, pack(HELD, r.expired, r.admitted, r.deadline, h[1], h[2], h[3], h[4], m[1], m[2], m[3],
    m[4], r.on_expiry, r.keep) .. r.list)
  call('ZADD', KEYS[2], r.deadline, id)
end

local function give_back(accounts, requests, at, now)
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do
      if x.r == 0 then rest().remove(x, requests, at, now) end
    end
  end
end

-- Puts what was used in place of what is held.
local function settle(accounts, r, used, now)
  if used[1] == 0 then give_back(accounts, r.held[1], r.admitted, now) end
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do
      if x.r == 5 then x.h = max(0, x.h - 1)
      elseif x.r ~= 0 then
        x.h = max(0, x.h - amount_of(x.r, r.held))
        add(x, amount_of(x.r, used), now)
      end
    end
  end
end

-- Puts what was used in place of what expiry charged.
local function correct(accounts, r, used, now)
  if used[1] == 0 and r.mark[1] > 0 then give_back(accounts, r.mark[1], r.admitted, now) end
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do
      if x.r ~= 5 and x.r ~= 0 then
        local before, after = amount_of(x.r, r.mark), amount_of(x.r, used)
        if after >= before then add(x, after - before, now) else
          rest().remove(x, before - after, r.expired, now)
        end
      end
    end
  end
end

-- Charges a hold whose deadline has passed. The record says then what was charged, and when.
local function charge_expired(accounts, r, now)
  local kept = { r.held[1], 0, 0, 0 }
  local charged = r.on_expiry == 1 and r.held or r.on_expiry == 0 and r.mark or kept
  kept = { r.held[1], charged[2], charged[3], charged[4] }
  settle(accounts, r, kept, now)
  r.mark, r.expired, r.deadline = kept, now, now + r.keep
end

-- Charges and forgets what is due, a few at a time. Says how many.
local function sweep(now)
  local due = call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 16)
  for _, id in ipairs(due) do
    local raw = call('HGET', KEYS[1], id)
    local r = raw and read_record(raw)
    if not r or r.expired >= 0 then
      call('ZREM', KEYS[2], id)
      call('HDEL', KEYS[1], id)
    else
      local accounts, later = load(r.list, now)
      if stale then return end
      if unknown then
        -- An instance that knows the calendar will charge it.
        unknown = false
        call('ZADD', KEYS[2], now + 60000000, id)
      else
        charge_expired(accounts, r, later)
        save(accounts, later, r.keep)
        write_record(id, r)
      end
    end
  end
end

-- What was settled under an identity in this span of time or in the one before.
local function settled_before(id, span)
  return call('HGET', KEYS[1] .. ':' .. span, id) or call('HGET', KEYS[1] .. ':' .. span - 1, id)
end

-- Keeps both keys until `needed`, at least.
local function keep_until(ends, needed, now)
  if ends >= needed then return end
  local new_end = min(MOST, needed + (needed - now))
  call('HSET', KEYS[1], 'x', pack('<d', new_end))
  for i = 1, 2 do
    if new_end >= MOST then call('PERSIST', KEYS[i]) else
      call('PEXPIRE', KEYS[i], ceil((new_end - now) / 1000))
    end
  end
end

-- Puts what was settled in place of a record.
local function close(id, text, ends, span, length, marked)
  call('HDEL', KEYS[1], id)
  call('ZREM', KEYS[2], id)
  local settled = KEYS[1] .. ':' .. span
  call('HSET', settled, id, text)
  if marked ~= span then
    call('PEXPIRE', settled, ceil(2 * length / 1000))
    call('HSET', KEYS[1], 'g', span)
  end
  -- What is kept for ever goes when it is empty.
  if ends >= MOST and call('HLEN', KEYS[1]) <= 2 then call('DEL', KEYS[1], KEYS[2]) end
end
