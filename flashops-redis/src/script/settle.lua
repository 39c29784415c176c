local now, id = begin(), ARGV[3]
local u1, u2, u3, u4, length = get('<ddddd', ARGV[4])
local used = { u1, u2, u3, u4 }
local kept = call('HMGET', KEYS[1], 'x', 'g', id)
if not kept[3] then
  local first = settled_before(id, floor(now / length))
  if not first then return { 5, now } end
  if first == ARGV[5] then return { 6, now } end
  return { 8, now, first }
end
local r = read_record(kept[3])
local accounts
accounts, now = load(r.list, now)
if stale then return { 2, now } end
if r.expired < 0 and r.deadline <= now then charge_expired(accounts, r, now) end
local answer = { 1, now }
if r.expired < 0 then settle(accounts, r, used, now) else
  correct(accounts, r, used, now)
  answer[1] = 7
end
tell_all(accounts, now, answer)
save(accounts, now, 0)
close(id, ARGV[5], kept[1] and get('<d', kept[1]) or 0, floor(now / length), length, tonumber(kept[2] or -1))
return answer
