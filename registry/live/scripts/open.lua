-- Make a session's record together with its first ticket: create and ticket in one.
-- KEYS: 1 record (hash), 2 tombstone, 3 this ticket
-- ARGV: 1 record as JSON, 2 time to live in ms, 3 ticket's time to live in ms, 4 how long a spent or
-- expired ticket is told apart, in ms
-- Returns 1, or 0 when the session has ended. Repeating it gives the ticket its whole time again,
-- unless it was used meanwhile.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'record', ARGV[1], 'ttl', ARGV[2], 'epoch', 0, 'owner', '',
    'attachment', 0, 'gateway', '', 'failures', 0)
end
local ticket = redis.call('GET', KEYS[3])
if ticket and string.sub(ticket, 1, 5) == 'used:' then
  return 1
end
local time = redis.call('TIME')
local expires = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[3])
redis.call('SET', KEYS[3], string.format('%d', expires), 'PX', ARGV[3] + ARGV[4])
local keep = math.max(tonumber(ARGV[2]), tonumber(ARGV[3]) + tonumber(ARGV[2]) / 2)
redis.call('PEXPIRE', KEYS[1], string.format('%d', keep))
return 1
