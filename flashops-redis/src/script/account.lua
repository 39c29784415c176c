-- All limits of one key, and the keys of one request.
--
-- A list of accounts comes packed, as the caller made it and as a reservation keeps it. Of each account: the length of
-- its key and the number of its limits, in two bytes each; how long it is to be kept after its last use, in
-- microseconds (-1: for ever); the key; and its limits. Of each limit: its field, nine numbers, and three numbers for
-- each threshold. All are in the order of scopes and limits.

-- How much of a resource four amounts are: requests, input, output, money.
local function amount_of(resource, v)
  if resource == 1 then return min(MOST, v[2] + v[3]) end
  if resource == 0 then return v[1] end
  if resource == 5 then return 1 end
  return v[resource]
end

local function read_limits(list, place, limits, cells, fields)
  for _ = 1, limits do
    local i, r, k, m, e, p, q, w, n = get('<ddddddddd', list, place + 8)
    local x = { f = sub(list, place, place + 7), i = i, r = r, k = k, m = m, e = e, p = p, q = q, w = w, n = n,
      h = 0, a = 0, b = 0, c = 0, u = 0, t = '', al = '', levels = '' }
    place = place + 80
    if n > 0 then
      x.levels = sub(list, place, place + 24 * n - 1)
      place = place + 24 * n
    end
    cells[#cells + 1], fields[#fields + 1] = x, x.f
  end
  return place
end

local function read_cell(x, raw)
  if not raw then
    if x.n > 0 then x.al = rep('\0', 16 * x.n) end
    return
  end
  x.h, x.a, x.b, x.c = get('<dddd', raw)
  if x.n > 0 then x.al = sub(raw, 33, 32 + 16 * x.n) end
  if #raw > 32 + 16 * x.n then x.t = sub(raw, 33 + 16 * x.n) end
end

-- The accounts of a list, and the time: that of the server, or the latest that one of them has seen.
local function load(list, now)
  local accounts, place = {}, 1
  while place <= #list do
    local size, limits, keep = get('<I2I2d', list, place)
    local one = { key = sub(list, place + 12, place + 11 + size), keep = keep, cells = {} }
    local fields = { 't' }
    place = read_limits(list, place + 12 + size, limits, one.cells, fields)
    local values = call('HMGET', one.key, unpack(fields))
    if values[1] then
      one.seen, one.ends = get('<dd', values[1])
      now = max(now, one.seen)
    else
      one.ends = 0
    end
    for j, x in ipairs(one.cells) do read_cell(x, values[j + 1]) end
    accounts[#accounts + 1] = one
  end
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do roll(x, now) end
  end
  return accounts, now
end

-- Writes accounts back, and sees to it that they are kept long enough. `longer` is how long a hold may live.
local function save(accounts, now, longer)
  for _, one in ipairs(accounts) do
    local ends = one.ends
    local needed = one.keep < 0 and MOST or now + one.keep + longer
    for _, x in ipairs(one.cells) do
      -- Debt is repaid period by period, and kept as long.
      if x.k == 6 and x.c > x.m then
        needed = x.m > 0 and min(MOST, needed + ceil(x.c / x.m) * one.keep) or MOST
      end
    end
    local new_end = ends
    if ends < needed then new_end = min(MOST, needed + (needed - now)) end
    local values = { 't', pack('<dd', now, new_end) }
    for _, x in ipairs(one.cells) do
      values[#values + 1] = x.f
      values[#values + 1] = pack('<dddd', x.h, x.a, x.b, x.c) .. x.al .. x.t
    end
    call('HSET', one.key, unpack(values))
    if new_end ~= ends then
      if new_end >= MOST then call('PERSIST', one.key) else
        call('PEXPIRE', one.key, ceil((new_end - now) / 1000))
      end
    end
  end
end

-- Whether amounts fit all enforced limits. A limit of which nothing is asked is not looked at.
local function fits(accounts, asked)
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do
      if x.e == 1 then
        local n = amount_of(x.r, asked)
        if n > 0 and x.u + x.h + n > x.m then return false end
      end
    end
  end
  return true
end

-- Of each limit without room: itself, what was asked, used and held, how long until the rest is used without and with
-- what is held, and when its period ends.
local function explain(accounts, asked, now, answer)
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do
      local n = amount_of(x.r, asked)
      if x.e == 1 and n > 0 and x.u + x.h + n > x.m then
        local spare, without, with = x.m - n, -1, -1
        if spare >= 0 then without = wait_for(x, spare, now) end
        if spare >= x.h then with = wait_for(x, spare - x.h, now) end
        for _, number in ipairs({ x.i, n, x.u, x.h, without, with, x.k == 6 and x.a or 0 }) do
          answer[#answer + 1] = number
        end
      end
    end
  end
  return answer
end

-- How each limit stands: itself, used, held, and when that changes.
local function report(accounts, now, most, answer)
  local place, count = #answer + 1, 0
  answer[place] = 0
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do
      if count == most then break end
      local size = #answer
      answer[size + 1], answer[size + 2], answer[size + 3], answer[size + 4] = x.i, x.u, x.h, reset_of(x, now)
      count = count + 1
    end
  end
  answer[place] = count
  return answer
end

-- Counts requests, and holds the rest.
local function hold(accounts, amounts, now)
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do
      local n = amount_of(x.r, amounts)
      if x.r == 0 then add(x, n, now) else x.h = min(MOST, x.h + n) end
    end
  end
end

local function tell_all(accounts, now, answer)
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do tell(x, now, answer) end
  end
  return answer
end
