-- Make a session's record, unless it is there or the session has ended.
-- KEYS: 1 record (hash), 2 tombstone
-- ARGV: 1 record as JSON, 2 time to live in ms
-- Returns 1, or 0 when the session has ended. Repeating it changes nothing.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'record', ARGV[1], 'ttl', ARGV[2], 'epoch', 0, 'owner', '',
    'attachment', 0, 'gateway', '', 'failures', 0)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
