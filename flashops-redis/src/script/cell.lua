-- What one key used and holds under one limit. Numbers are whole and below 2^53; times are microseconds.
--
-- A cell at rest is four doubles and a tail:
--
--   kind             h     a                  b               c        tail
--   0 held           held
--   1 lifetime       held                                     used
--   2 ring           held  current bucket     its count       sum      counts of the 39 buckets before, oldest first
--   3 log            held                                              instants, oldest first
--   4 two counters   held  start of window    previous count  count
--   5 pacing         held  arrival            its nanoseconds
--   6 calendar       held  end of period, s   its number      used
--
-- Between them, for each threshold of the limit: what its alarm knows, and since when.

local call, pack, get = redis.call, struct.pack, struct.unpack
local floor, ceil, min, max, sub, find, rep = math.floor, math.ceil, math.min, math.max, string.sub, string.find,
  string.rep
local MOST, BUCKETS = 9007199254740991, 40

-- Periods of the calendars by their identity, as the caller computed them; whether one is not that of now; and whether
-- the caller does not know a calendar.
local calendars, stale, unknown = {}, false, false

-- Takes what every command begins with: the time, given for tests or else the server's, and the periods.
local function begin()
  local periods = ARGV[2]
  for place = 1, #periods, 40 do
    local id, from, to, number, hours = get('<ddddd', periods, place)
    calendars[id] = { from, to, number, hours }
  end
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

-- a * b / m rounded down, for a below m and products of any size.
local function share(a, b, m)
  if a * b <= MOST then return floor(a * b / m) end
  local q, r, bit = 0, 0, 4503599627370496
  while bit >= 1 do
    q = q * 2
    if r >= m - r then r = r - (m - r) q = q + 1 else r = r + r end
    if b >= bit then
      b = b - bit
      if r >= m - a then r = r - (m - a) q = q + 1 else r = r + a end
    end
    bit = bit / 2
  end
  return q
end

-- Pacing: the time in which so many cells come back, in microseconds and nanoseconds.
local function time_of(x, n)
  if n > 9000000000000 or n * x.p > MOST then return MOST, 0 end
  local nanos = n * x.q
  return min(MOST, n * x.p + floor(nanos / 1000)), nanos % 1000
end

-- Pacing: the cells that take at least this time to come back.
local function cells_in(x, micros, nanos)
  local n = ceil((micros * 1000 + nanos) / (x.p * 1000 + x.q))
  if n > 9000000000000 then return min(n, MOST) end
  local function covers(cells)
    local m, rest = time_of(x, cells)
    return m > micros or m == micros and rest >= nanos
  end
  while n > 0 and covers(n - 1) do n = n - 1 end
  while not covers(n) do n = n + 1 end
  return n
end

local function advance(x, bucket)
  local gone = bucket - x.a
  if x.c > 0 and gone < BUCKETS then
    local tail = x.t .. pack('<d', x.b) .. rep('\0', 8 * (gone - 1))
    local extra = #tail - 8 * (BUCKETS - 1)
    for i = 1, extra, 8 do x.c = x.c - get('<d', tail, i) end
    if extra > 0 then tail = sub(tail, extra + 1) end
    local first = find(tail, '%Z')
    x.t = first and sub(tail, first - (first - 1) % 8) or ''
  else
    x.t, x.c = '', 0
  end
  x.a, x.b = bucket, 0
end

local function begin_period(x, now)
  local second, period = floor(now / 1000000), calendars[x.p]
  if not period then
    unknown = true
    return
  elseif second < period[1] or second >= period[2] then
    stale = true
    return
  end
  if second < x.a then return end
  local debt = min(max(x.c - x.m, 0), x.q)
  if debt > 0 then
    local begun = period[4] == 1 and 1 + floor((period[1] - x.a) / 3600) or period[3] - x.b
    debt = max(debt - x.m * (max(begun, 1) - 1), 0)
  end
  x.a, x.b, x.c = period[2], period[3], debt
end

-- Moves a cell to now; what is used is in `u` then.
local function roll(x, now)
  local kind = x.k
  if kind == 2 then
    local bucket = floor(now / x.p)
    if bucket > x.a then advance(x, bucket) end
    x.u = x.c
  elseif kind == 3 then
    local from, size = 1, #x.t
    while from < size and get('<d', x.t, from) + x.p <= now do from = from + 8 end
    if from > 1 then x.t = sub(x.t, from) end
    x.u = #x.t / 8
  elseif kind == 1 then
    x.u = x.c
  elseif kind == 6 then
    begin_period(x, now)
    x.u = x.c
  elseif kind == 4 then
    local windows = floor((now - x.a) / x.p)
    if windows >= 1 then x.a, x.b, x.c = x.a + windows * x.p, windows == 1 and x.c or 0, 0 end
    -- What has faded is rounded down, so that what still counts is rounded up.
    x.u = min(MOST, x.b - share(now - x.a, x.b, x.p) + x.c)
  elseif kind == 5 then
    local micros = x.a - now
    x.u = (micros < 0 or micros == 0 and x.b == 0) and 0 or cells_in(x, micros, x.b)
  end
end

local function rearm(x)
  for j = 0, x.n - 1 do
    local code, since = get('<dd', x.al, 16 * j + 1)
    if code >= 2 and code <= 5 then
      local _, level, low = get('<ddd', x.levels, 24 * j + 1)
      local is_low, below = (code - 2) % 2, floor((code - 2) / 2)
      if x.u < low then is_low = 1 end
      if x.u < level then below = 1 end
      x.al = sub(x.al, 1, 16 * j) .. pack('<dd', 2 + is_low + 2 * below, since) .. sub(x.al, 16 * j + 17)
    end
  end
end

-- Counts an amount. The cell has been moved to now.
local function add(x, n, now)
  if x.n > 0 then rearm(x) end
  local kind = x.k
  if kind == 2 then
    local sum = min(x.c + n, MOST)
    x.b, x.c, x.u = x.b + sum - x.c, sum, sum
  elseif kind == 3 then
    local extra = #x.t / 8 + min(n, 64) - max(x.m, 1)
    x.t = sub(x.t .. rep(pack('<d', now), min(n, 64)), 1 + 8 * max(extra, 0))
    x.u = #x.t / 8
  elseif kind == 1 or kind == 6 then
    x.c = min(x.c + n, MOST)
    x.u = x.c
  elseif kind == 4 then
    x.c = min(x.c + n, MOST)
    roll(x, now)
  elseif kind == 5 then
    local micros, nanos = time_of(x, n)
    if x.a < now then x.a, x.b = now, 0 end
    nanos = x.b + nanos
    x.a, x.b = min(MOST, x.a + micros + floor(nanos / 1000)), nanos % 1000
    roll(x, now)
  end
end

local function remove_from_ring(x, n, at)
  local ago = x.a - floor(at / x.p)
  if ago >= BUCKETS then return end
  if ago <= 0 then
    local back = min(n, x.b)
    x.b, x.c = x.b - back, x.c - back
    return
  end
  local place = #x.t - 8 * ago + 1
  if place < 1 then return end
  local count = get('<d', x.t, place)
  local back = min(n, count)
  local tail = sub(x.t, 1, place - 1) .. pack('<d', count - back) .. sub(x.t, place + 8)
  local first = find(tail, '%Z')
  x.t, x.c = first and sub(tail, first - (first - 1) % 8) or '', x.c - back
end

local function remove_from_log(x, n, at)
  local stamp = pack('<d', at)
  for _ = 1, n do
    local place = #x.t - 7
    while place > 0 and sub(x.t, place, place + 7) ~= stamp do place = place - 8 end
    if place < 1 then return end
    x.t = sub(x.t, 1, place - 1) .. sub(x.t, place + 8)
  end
end

local function remove_from_pacing(x, n, at, now)
  if x.a >= MOST then return end
  local micros, nanos = time_of(x, n)
  micros = micros - max(now - at, 0)
  if micros < 0 then return end
  nanos = x.b - nanos
  x.a, x.b = max(0, x.a - micros + floor(nanos / 1000)), nanos % 1000
end

-- Gives back what was counted at an earlier time, in the window or period in which it was counted.
local function remove(x, n, at, now)
  local kind = x.k
  if kind == 2 then remove_from_ring(x, n, at)
  elseif kind == 3 then remove_from_log(x, n, at)
  elseif kind == 5 then remove_from_pacing(x, n, at, now)
  elseif kind == 1 then x.c = max(0, x.c - n)
  elseif kind == 4 then
    if at >= x.a then
      if at - x.a < x.p and x.c < MOST then x.c = max(0, x.c - n) end
    elseif x.a - at <= x.p and x.b < MOST then
      x.b = max(0, x.b - n)
    end
  elseif kind == 6 then
    local period, second = calendars[x.p], floor(at / 1000000)
    if period and x.a == period[2] and second >= period[1] and second < period[2] and x.c < MOST then
      x.c = max(0, x.c - n)
    end
  end
  roll(x, now)
end

-- How long until no more than `room` is used, if nothing is added; -1 if that never comes. Calendars are not asked.
local function wait_for(x, room, now)
  local kind = x.k
  if kind == 0 or x.u <= room then return 0 end
  if kind == 1 or kind == 6 then return -1 end
  if kind == 2 then
    local used, buckets = x.c, #x.t / 8
    for i = 0, buckets - 1 do
      used = used - get('<d', x.t, 8 * i + 1)
      if used <= room then return (x.a - buckets + i + BUCKETS) * x.p - now end
    end
    return (x.a + BUCKETS) * x.p - now
  elseif kind == 3 then
    return get('<d', x.t, 8 * (x.u - room - 1) + 1) + x.p - now
  elseif kind == 4 then
    local start, fading, left = x.a, x.b, room - x.c
    if left < 0 then start, fading, left = x.a + x.p, x.c, room end
    return start + x.p - share(left, x.p, fading) - now
  end
  local micros, nanos = time_of(x, room)
  nanos = x.b - nanos
  micros = x.a - micros + floor(nanos / 1000)
  return max(0, micros - now + (nanos % 1000 > 0 and 1 or 0))
end

-- When the oldest use leaves, or the period ends; -1 where nothing ever leaves.
local function reset_of(x, now)
  if x.k <= 1 then return -1 end
  if x.u == 0 then return 0 end
  if x.k == 6 then return (x.a - floor(now / 1000000)) * 1000000 end
  return wait_for(x, x.u - 1, now)
end

-- Whether the alarm of a threshold fires now.
local function fires(x, j, level, now)
  local code, since = get('<dd', x.al, 16 * j + 1)
  if x.u < level or code == 6 or code == 1 and x.k == 6 and since == x.a then return false end
  local sliding = x.k >= 2 and x.k <= 5
  if sliding and code >= 2 then
    local is_low, below = (code - 2) % 2, floor((code - 2) / 2)
    x.al = sub(x.al, 1, 16 * j) .. pack('<dd', 2 + is_low, since) .. sub(x.al, 16 * j + 17)
    if below == 0 or is_low == 0 or now - since < x.w then return false end
  end
  local next_code, next_since = 6, 0
  if sliding then next_code, next_since = 2, now elseif x.k == 6 then next_code, next_since = 1, x.a end
  x.al = sub(x.al, 1, 16 * j) .. pack('<dd', next_code, next_since) .. sub(x.al, 16 * j + 17)
  return true
end

-- The thresholds that usage has come up to: limit, share and usage of each, appended to `told`.
local function tell(x, now, told)
  if x.n == 0 then return end
  rearm(x)
  for j = 0, x.n - 1 do
    local threshold, level = get('<dd', x.levels, 24 * j + 1)
    if fires(x, j, level, now) then
      told[#told + 1], told[#told + 2], told[#told + 3] = x.i, threshold, x.u
    end
  end
end
