local now, id = begin(), ARGV[3]
local m2, m3, m4, c1, c2, c3, c4, lifetime = get('<dddddddd', ARGV[4])
local more = { 0, m2, m3, m4 }
sweep(now)
if stale then return { 2, now } end
local kept = call('HMGET', KEYS[1], 'x', id)
local r = kept[2] and read_record(kept[2])
if not r or r.expired >= 0 or r.deadline <= now then return { 5, now } end
local accounts
accounts, now = load(r.list, now)
if stale then return { 2, now } end
local needed = now + lifetime + 2 * r.keep
for _, one in ipairs(accounts) do
  if one.keep < 0 then needed = MOST end
  for _, x in ipairs(one.cells) do
    -- One reservation is in progress once, however much it holds.
    if x.r == 5 then x.e = 0 end
  end
end
r.mark, r.deadline = { c1, c2, c3, c4 }, now + lifetime
local answer = { 1, now }
if fits(accounts, more) then
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do
      if x.r ~= 0 and x.r ~= 5 then x.h = min(MOST, x.h + amount_of(x.r, more)) end
    end
  end
  for i = 2, 4 do r.held[i] = min(MOST, r.held[i] + more[i]) end
else
  explain(accounts, more, now, answer)
  answer[1] = 0
end
save(accounts, now, lifetime + r.keep)
write_record(id, r)
keep_until(kept[1] and get('<d', kept[1]) or 0, needed, now)
return answer
