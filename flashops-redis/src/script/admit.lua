local now = begin()
local accounts
accounts, now = load(ARGV[3], now)
if stale then return { 2, now } end
local asked = { tonumber(ARGV[4]), 0, 0, 0 }
if not fits(accounts, asked) then return explain(accounts, asked, now, { 0, now }) end
hold(accounts, asked, now)
local answer = report(accounts, now, tonumber(ARGV[5]), { 1, now })
tell_all(accounts, now, answer)
save(accounts, now, 0)
return answer
