-- All limits of one key, and the keys of one request.
--
-- A list of accounts comes packed, as the caller made it and as a reservation keeps it. Of each account: the length of
-- its key and the number of its limits, in two bytes each; how long it is to be kept after its last use, in
-- microseconds (-1: for ever); the key; and its limits. Of each limit: its field, nine numbers, and three numbers for
-- each threshold. All are in the order of scopes and limits.
--
-- An account at rest is the time at which it was last used and the time at which its key ends, and its cells, each with
-- its field and its length.

-- How much of a resource four amounts are: requests, input, output, money.
local function amount_of(resource, v)
  if resource == 1 then return min(MOST, v[2] + v[3]) end
  if resource == 0 then return v[1] end
  if resource == 5 then return 1 end
  return v[resource]
end

-- Reads limits of a list from a place on, as cells that are empty yet; `by_field` finds them. Tells the next place.
local function read_limits(list, place, limits, cells, by_field)
  for _ = 1, limits do
    local i, r, k, m, e, p, q, w, n = get('<ddddddddd', list, place + 8)
    local field = sub(list, place, place + 7)
    -- Sixteen fields: one more would double the room that is made for them.
    local x = { f = field, i = i, r = r, k = k, m = m, e = e, p = p, q = q, w = w, n = n,
      h = 0, a = 0, b = 0, c = 0, u = 0, t = '' }
    place = place + 80
    if n > 0 then
      x.levels, x.al = sub(list, place, place + 24 * n - 1), rep('\0', 16 * n)
      place = place + 24 * n
    end
    cells[#cells + 1], by_field[field] = x, x
  end
  return place
end

-- Fills cells with what an account has. Cells that nobody asked for are kept as they are.
local function read_cells(one, raw, by_field)
  local place, size, from = 17, #raw, 0
  while place < size do
    local field, length = sub(raw, place, place + 7), get('<I2', raw, place + 8)
    local x = by_field[field]
    if x then
      from = place + 10
      x.h, x.a, x.b, x.c = get('<dddd', raw, from)
      local fixed = 32
      if x.n > 0 then
        x.al = sub(raw, from + 32, from + 31 + 16 * x.n)
        fixed = 32 + 16 * x.n
      end
      if length > fixed then x.t = sub(raw, from + fixed, from + length - 1) end
    else
      one.others = (one.others or '') .. sub(raw, place, place + 9 + length)
    end
    place = place + 10 + length
  end
end

-- The accounts of a list, and the time: that of the server, or the latest that one of them has seen.
local function load(list, now)
  local accounts, place, by_field = {}, 1, {}
  while place <= #list do
    local size, limits, keep = get('<I2I2d', list, place)
    local one = { key = sub(list, place + 12, place + 11 + size), keep = keep, ends = 0, cells = {} }
    place = read_limits(list, place + 12 + size, limits, one.cells, by_field)
    local raw = call('GET', one.key)
    if raw then
      local seen, ends = get('<dd', raw)
      if seen > now then now = seen end
      one.ends = ends
      read_cells(one, raw, by_field)
    end
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
    local value = one.others or ''
    for _, x in ipairs(one.cells) do
      -- Debt is repaid period by period, and kept as long.
      if x.k == 6 and x.c > x.m then
        needed = x.m > 0 and min(MOST, needed + ceil(x.c / x.m) * one.keep) or MOST
      end
      local rest_of_it = x.al and x.al .. x.t or x.t
      value = value .. x.f .. pack('<I2dddd', 32 + #rest_of_it, x.h, x.a, x.b, x.c) .. rest_of_it
    end
    if ends >= needed then
      call('SET', one.key, pack('<dd', now, ends) .. value, 'KEEPTTL')
    elseif needed >= MOST then
      call('SET', one.key, pack('<dd', now, MOST) .. value)
    else
      ends = min(MOST, needed + (needed - now))
      call('SET', one.key, pack('<dd', now, ends) .. value, 'PX', ceil((ends - now) / 1000))
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
        if spare >= 0 then without = rest().wait_for(x, spare, now) end
        if spare >= x.h then with = rest().wait_for(x, spare - x.h, now) end
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
    for _, x in ipairs(one.cells) do
      if x.n > 0 then rest().tell(x, now, answer) end
    end
  end
  return answer
end
