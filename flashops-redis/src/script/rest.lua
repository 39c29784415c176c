-- What few commands need: other ways to count, what is given back, refusals, thresholds.

local made

rest = function()
  if made then return made end

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

  -- Takes over the debt, less the amount for each period that has passed.
  local function next_period(x, period)
    local debt = min(max(x.c - x.m, 0), x.q)
    if debt > 0 then
      local begun = period[4] == 1 and 1 + floor((period[1] - x.a) / 3600) or period[3] - x.b
      debt = max(debt - x.m * (max(begun, 1) - 1), 0)
    end
    x.a, x.b, x.c = period[2], period[3], debt
  end

  local function roll_other(x, now)
    if x.k == 1 then
      x.u = x.c
    elseif x.k == 4 then
      local windows = floor((now - x.a) / x.p)
      if windows >= 1 then x.a, x.b, x.c = x.a + windows * x.p, windows == 1 and x.c or 0, 0 end
      -- What has faded is rounded down, so that what still counts is rounded up.
      x.u = min(MOST, x.b - share(now - x.a, x.b, x.p) + x.c)
    else
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

  local function add_other(x, n, now)
    if x.k == 3 then
      local extra = #x.t / 8 + min(n, 64) - max(x.m, 1)
      x.t = sub(x.t .. rep(pack('<d', now), min(n, 64)), 1 + 8 * max(extra, 0))
      x.u = #x.t / 8
    elseif x.k == 4 then
      x.c = min(x.c + n, MOST)
      roll(x, now)
    else
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
      local period, second = period_of(x), floor(at / 1000000)
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
    rearm(x)
    for j = 0, x.n - 1 do
      local threshold, level = get('<dd', x.levels, 24 * j + 1)
      if fires(x, j, level, now) then
        told[#told + 1], told[#told + 2], told[#told + 3] = x.i, threshold, x.u
      end
    end
  end

  made = { next_period = next_period, roll = roll_other, rearm = rearm, add = add_other, remove = remove,
    wait_for = wait_for, tell = tell }
  return made
end
