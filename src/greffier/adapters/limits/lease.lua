-- Lease room to one worker under several ceilings: all of them, or none.
--
-- Every worker states, per account, its *claim*: the total it has ever taken (for "concurrent": holds right now). The
-- server keeps each worker's last claim and counts the difference, so that repeating a call whose answer was lost
-- changes nothing, and a server that lost its data is told the truth by the next call.
--
-- KEYS: the accounts, all of one tenant.
-- ARGV: worker, milliseconds for which a silent worker keeps its slots, then per account:
--   kind, limit, claim, last claim the server confirmed (-1: this worker knows of none), need, chunk, end of the spend
--   period (ms), least the period's spend is known to be.
-- Returns per account: 1 if short, the claim now, units taken by all (times 60,000 for rates), milliseconds until a
--   rate has room.

local MINUTE = 60000
local worker, alive_ms = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function exact(number) return string.format('%.0f', number) end

local accounts, any_short = {}, false
for i = 1, #KEYS do
  local base = 2 + (i - 1) * 8
  local a = {
    key = KEYS[i], kind = ARGV[base + 1], limit = tonumber(ARGV[base + 2]), claim = tonumber(ARGV[base + 3]),
    confirmed = tonumber(ARGV[base + 4]), need = tonumber(ARGV[base + 5]), chunk = tonumber(ARGV[base + 6]),
    until_ms = tonumber(ARGV[base + 7]), floor = tonumber(ARGV[base + 8]), wait = 0,
  }
  if a.kind == 'rate' then
    local found = redis.call('HMGET', a.key, 'level', 'at', worker)
    local stored = tonumber(found[3]) or a.confirmed
    if a.confirmed < 0 then stored = a.claim end
    local drained = a.limit * math.max(now - (tonumber(found[2]) or now), 0)
    a.taken = math.max((tonumber(found[1]) or 0) - drained, 0)
    a.taken = math.max(a.taken + (a.claim - stored) * MINUTE, 0)
    a.room = math.floor((a.limit * MINUTE - a.taken) / MINUTE)
    if a.limit > 0 then a.wait = math.ceil((a.need * MINUTE + a.taken) / a.limit - MINUTE) end
  elseif a.kind == 'concurrent' then
    a.taken = a.claim
    local fields = redis.call('HGETALL', a.key)
    for j = 1, #fields, 2 do
      local held, expires = string.match(fields[j + 1], '^(%d+) (%d+)$')
      if tonumber(expires) <= now then
        redis.call('HDEL', a.key, fields[j])
      elseif fields[j] ~= worker then
        a.taken = a.taken + tonumber(held)
      end
    end
    a.room = a.limit - a.taken
  else
    local found = redis.call('HMGET', a.key, 'total', worker)
    a.taken = (tonumber(found[1]) or 0) + a.claim - (tonumber(found[2]) or 0)
    a.taken = math.max(a.taken, a.floor)
    a.room = a.limit - a.taken
  end
  a.short = a.need > 0 and a.need > a.room
  any_short = any_short or a.short
  accounts[#accounts + 1] = a
end

local answer = {}
for _, a in ipairs(accounts) do
  local granted = 0
  if a.need > 0 and not any_short then granted = math.min(math.max(a.need, a.chunk), a.room) end
  local claim = a.claim + granted
  if a.kind == 'rate' then
    a.taken = a.taken + granted * MINUTE
    redis.call('HSET', a.key, 'level', exact(a.taken), 'at', exact(now), worker, exact(claim))
    redis.call('PEXPIRE', a.key, 3 * MINUTE)
  elseif a.kind == 'concurrent' then
    a.taken = a.taken + granted
    if claim > 0 then
      redis.call('HSET', a.key, worker, exact(claim) .. ' ' .. exact(now + alive_ms))
      redis.call('PEXPIRE', a.key, alive_ms)
    else
      redis.call('HDEL', a.key, worker)
    end
  else
    a.taken = a.taken + granted
    redis.call('HSET', a.key, 'total', exact(a.taken), worker, exact(claim))
    redis.call('PEXPIREAT', a.key, exact(a.until_ms + 60 * MINUTE))
  end
  answer[#answer + 1] = a.short and 1 or 0
  answer[#answer + 1] = exact(claim)
  answer[#answer + 1] = exact(a.taken)
  answer[#answer + 1] = a.wait
end
return answer
