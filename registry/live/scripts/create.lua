-- Make a session's record, unless it is there or the session has ended.
-- KEYS: 1 record (hash), 2 tombstone
-- ARGV: 1 record as JSON, 2 time to live in ms, 3 '1' when Redis lost it, else '0'
-- Returns 1, or 0 when the session has ended. Repeating it changes nothing.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  local epoch = 0
  if ARGV[3] == '1' then
    -- Above the epoch of an owner that slept through the loss: as in take.
    epoch = redis.call('TIME')[1]
  end
  redis.call('HSET', KEYS[1], 'record', ARGV[1], 'ttl', ARGV[2], 'epoch', epoch, 'owner', '',
    'attachment', 0, 'gateway', '', 'failures', 0)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
