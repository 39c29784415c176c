local now = begin()
local accounts
accounts, now = load(ARGV[3], now)
if stale then return { 2, now } end
give_back(accounts, tonumber(ARGV[4]), tonumber(ARGV[5]), now)
save(accounts, now, 0)
return { 1, now }
