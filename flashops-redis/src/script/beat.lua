-- Says that an instance lives, and how many do.
local now, id, span = begin(), ARGV[3], tonumber(ARGV[4])
call('ZADD', KEYS[1], now, id)
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 3 * span)
call('PEXPIRE', KEYS[1], ceil(10 * span / 1000))
return { 1, now, call('ZCARD', KEYS[1]) }
