-- What one key used and holds under one limit. Numbers are whole and below 2^53; times are microseconds.
--
-- A cell at rest is four doubles and a tail, in the value of its key:
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

--
-- What few commands need stands in rest.lua, and is made when it is needed: to make a function takes time too.

local call, pack, get = redis.call, struct.pack, struct.unpack
local floor, ceil, min, max, sub, find, rep = math.floor, math.ceil, math.min, math.max, string.sub, string.find,
  string.rep
local MOST, BUCKETS = 9007199254740991, 40

-- Periods of the calendars by their identity, as the caller computed them; whether one is not that of now; and whether
-- the caller does not know a calendar.
local calendars, stale, unknown = nil, false, false
local rest

-- The time: given for tests, or else the server's.
local function begin()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = call('TIME')
  return time[1] * 1000000 + time[2]
end

local function period_of(x)
  if not calendars then
    calendars = {}
    for place = 1, #ARGV[2], 40 do
      local id, from, to, number, hours = get('<ddddd', ARGV[2], place)
      calendars[id] = { from, to, number, hours }
    end
  end
  return calendars[x.p]
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
  local second, period = floor(now / 1000000), period_of(x)
  if not period then
    unknown = true
  elseif second < period[1] or second >= period[2] then
    stale = true
  elseif second >= x.a then
    rest().next_period(x, period)
  end
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
  elseif kind == 6 then
    begin_period(x, now)
    x.u = x.c
  elseif kind ~= 0 then
    rest().roll(x, now)
  end
end

-- Counts an amount. The cell has been moved to now.
local function add(x, n, now)
  if x.n > 0 then rest().rearm(x) end
  local kind = x.k
  if kind == 2 then
    local sum = min(x.c + n, MOST)
    x.b, x.c, x.u = x.b + sum - x.c, sum, sum
  elseif kind == 6 or kind == 1 then
    x.c = min(x.c + n, MOST)
    x.u = x.c
  elseif kind ~= 0 then
    rest().add(x, n, now)
  end
end

-- When the oldest use leaves, or the period ends; -1 where nothing ever leaves.
local function reset_of(x, now)
  local kind = x.k
  if kind <= 1 then return -1 end
  if x.u == 0 then return 0 end
  if kind == 2 then return (x.a - #x.t / 8 + BUCKETS) * x.p - now end
  if kind == 6 then return (x.a - floor(now / 1000000)) * 1000000 end
  return rest().wait_for(x, x.u - 1, now)
end
