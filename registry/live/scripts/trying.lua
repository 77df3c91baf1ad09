-- An owner is about to compute an input of a session under suspicion, or has computed it.
-- KEYS: 1 record
-- ARGV: 1 epoch, 2 the input's seq; 0: it is computed
-- Returns 1, or 0 when another epoch owns the session or its record is gone.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or tonumber(epoch) ~= tonumber(ARGV[1]) then
  return 0
end
if ARGV[2] == '0' then
  redis.call('HDEL', KEYS[1], 'trying')
else
  redis.call('HSET', KEYS[1], 'trying', ARGV[2])
end
return 1
