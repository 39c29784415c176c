-- Settles what was held while this server could not be asked: in its record if there is one after all, else anew.
local now, id, list = begin(), ARGV[3], ARGV[6]
local u1, u2, u3, u4, length, keep = get('<dddddd', ARGV[4])
local used = { u1, u2, u3, u4 }
local kept = call('HMGET', KEYS[1], 'x', 'g', id)
local first = not kept[3] and settled_before(id, floor(now / length))
if first then
  if first == ARGV[5] then return { 6, now } end
  return { 8, now, first }
end
local r = kept[3] and read_record(kept[3])
local accounts
accounts, now = load(r and r.list or list, now)
if stale then return { 2, now } end
if r and r.expired < 0 and r.deadline <= now then charge_expired(accounts, r, now) end
if r and r.expired >= 0 then correct(accounts, r, used, now)
elseif r then settle(accounts, r, used, now)
else
  for _, one in ipairs(accounts) do
    for _, x in ipairs(one.cells) do
      if x.r ~= 5 then add(x, amount_of(x.r, used), now) end
    end
  end
end
local answer = tell_all(accounts, now, { 1, now })
save(accounts, now, keep)
close(id, ARGV[5], kept[1] and get('<d', kept[1]) or 0, floor(now / length), length, tonumber(kept[2] or -1))
if not kept[1] then call('PEXPIRE', KEYS[1], ceil(2 * length / 1000)) end
return answer
