-- The owner gives the session up, in order: nobody owns it, its checkpoint stays.
-- KEYS: 1 record, 2 checkpoint
-- ARGV: 1 epoch
-- Returns 1, or 0 when another epoch owns it or it is gone.
local state = redis.call('HMGET', KEYS[1], 'epoch', 'ttl')
if not state[1] or tonumber(state[1]) ~= tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'owner', '', 'failures', 0)
redis.call('HDEL', KEYS[1], 'trying')
redis.call('PEXPIRE', KEYS[1], state[2])
redis.call('PEXPIRE', KEYS[2], state[2])
return 1
