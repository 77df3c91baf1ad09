-- An owner writes: it lives, and (with a checkpoint) this is the state.
-- KEYS: 1 record, 2 checkpoint, 3 tombstone
-- ARGV: 1 record as JSON, 2 time to live in ms, 3 worker, 4 epoch,
--       5 attachment, 6 its gateway, 7 digest of its resume token,
--       8 seconds after which an owner counts as not failing,
--       9 whether it is paused: 1, 0, or empty where the checkpoint tells,
--       10 the checkpoint (may be absent)
-- Returns 1, or 0 when the session has ended or a higher epoch owns it.
-- A record that Redis lost is made again at this epoch; an attachment that it lost, likewise.
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 0
end
local epoch = tonumber(ARGV[4])
local state = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'failures', 'taken')
if not state[1] then
  redis.call('HSET', KEYS[1], 'record', ARGV[1], 'ttl', ARGV[2], 'epoch', ARGV[4], 'owner', ARGV[3],
    'attachment', 0, 'gateway', '', 'failures', 0)
elseif tonumber(state[1]) > epoch then
  return 0
elseif tonumber(state[1]) < epoch then
  -- Redis came back with data from before this epoch was given.
  redis.call('HSET', KEYS[1], 'epoch', ARGV[4], 'owner', ARGV[3], 'failures', 0)
elseif state[3] ~= '0' then
  local taken = tonumber(state[4] or '0')
  if ARGV[10] or tonumber(redis.call('TIME')[1]) - taken >= tonumber(ARGV[8]) then
    redis.call('HSET', KEYS[1], 'failures', 0)
    redis.call('HDEL', KEYS[1], 'trying')
  end
end
if tonumber(redis.call('HGET', KEYS[1], 'attachment')) < tonumber(ARGV[5]) then
  redis.call('HSET', KEYS[1], 'attachment', ARGV[5], 'gateway', ARGV[6], 'resume', ARGV[7],
    'previous', '')
end
if ARGV[9] == '1' then
  redis.call('HSET', KEYS[1], 'paused', 1)
elseif ARGV[9] == '0' then
  redis.call('HDEL', KEYS[1], 'paused')
end
local ttl = redis.call('HGET', KEYS[1], 'ttl')
redis.call('PEXPIRE', KEYS[1], ttl)
if ARGV[10] then
  redis.call('SET', KEYS[2], ARGV[10], 'PX', ttl)
else
  redis.call('PEXPIRE', KEYS[2], ttl)
end
return 1
