-- Holds, or refuses. Told again (ARGV[6]) by an instance that holds it, after the server has forgotten it, it holds
-- without asking.
local now, list, id, again = begin(), ARGV[3], ARGV[4], ARGV[6]
local h1, h2, h3, h4, m1, m2, m3, m4, lifetime, most_told, on_expiry, keep, length, most = get('<dddddddddddddd', ARGV[5])
local hold_now = { h1, h2, h3, h4 }
sweep(now)
if stale then return { 2, now } end
local kept = call('HMGET', KEYS[1], 'x', 'g', id)
local accounts
if kept[3] then
  local before = read_record(kept[3])
  if before.expired >= 0 or before.deadline <= now then return { 3, now } end
  accounts, now = load(list, now)
  if stale then return { 2, now } end
  return report(accounts, now, most_told, { 6, now })
end
if settled_before(id, floor(now / length)) then return { 3, now } end
if not again and call('HLEN', KEYS[1]) - (kept[1] and 1 or 0) - (kept[2] and 1 or 0) >= most then return { 4, now } end
accounts, now = load(list, now)
if stale then return { 2, now } end
if not again and not fits(accounts, hold_now) then return explain(accounts, hold_now, now, { 0, now }) end
hold(accounts, hold_now, now)
local answer = report(accounts, now, most_told, { 1, now })
save(accounts, now, lifetime + keep)
write_record(id, { expired = -1, admitted = now, deadline = now + lifetime, held = hold_now,
  mark = { m1, m2, m3, m4 }, on_expiry = on_expiry, keep = keep, list = list })
local needed = now + lifetime + 2 * keep
for _, one in ipairs(accounts) do
  needed = one.keep < 0 and MOST or max(needed, now + lifetime + keep + one.keep)
  if needed == MOST then break end
end
keep_until(kept[1] and get('<d', kept[1]) or 0, needed, now)
return answer
