-- Replace a session's record after its configuration changed.
-- KEYS: 1 record
-- ARGV: 1 record as JSON, 2 time to live in ms
-- Returns 1, or 0 when there is no such session.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'record', ARGV[1], 'ttl', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
