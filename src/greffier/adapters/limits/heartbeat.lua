-- Count the workers that share these ceilings, this one included.
--
-- KEYS: the workers. ARGV: worker, milliseconds it counts as alive; 0 when it leaves.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local alive_ms = tonumber(ARGV[2])
if alive_ms > 0 then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + alive_ms), ARGV[1])
  redis.call('PEXPIRE', KEYS[1], alive_ms)
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return { redis.call('ZCARD', KEYS[1]) }
