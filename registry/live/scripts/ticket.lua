-- Remember a ticket by its digest, and keep the session at least as long as the ticket is good.
-- KEYS: 1 record, 2 this ticket
-- ARGV: 1 ticket's time to live in ms, 2 how long a spent or expired ticket is told apart, in ms
-- Returns the time it expires, in ms since 1970, or 0 when there is no such session.
-- The ticket's value is that time, and after its use 'used:<digest of the resume token given>'.
local ttl = redis.call('HGET', KEYS[1], 'ttl')
if not ttl then
  return 0
end
local time = redis.call('TIME')
local expires = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
redis.call('SET', KEYS[2], string.format('%d', expires), 'PX', ARGV[1] + ARGV[2])
local keep = math.max(tonumber(ttl), tonumber(ARGV[1]) + tonumber(ttl) / 2)
if redis.call('PTTL', KEYS[1]) < keep then
  redis.call('PEXPIRE', KEYS[1], string.format('%d', keep))
end
return expires
