local now = begin()
sweep(now)
if stale then return { 2, now } end
local accounts
accounts, now = load(ARGV[3], now)
if stale then return { 2, now } end
return report(accounts, now, 1000, { 1, now })
