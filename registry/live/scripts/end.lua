-- End a session: only the tombstone stays, so that nothing late brings the session back.
-- KEYS: 1 record, 2 checkpoint, 3 tombstone
-- ARGV: 1 epoch, or '' for whatever epoch there is, 2 reason, 3 tombstone's time to live in ms
-- Returns 1, or 0 when a higher epoch owns it. Repeating it answers 1 and changes nothing.
-- The tombstone's value is the reason, a line break, and the record (empty when it was gone).
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 1
end
local state = redis.call('HMGET', KEYS[1], 'epoch', 'record')
if ARGV[1] ~= '' and state[1] and tonumber(state[1]) > tonumber(ARGV[1]) then
  return 0
end
redis.call('SET', KEYS[3], ARGV[2] .. '\n' .. (state[2] or ''), 'PX', ARGV[3])
redis.call('DEL', KEYS[1], KEYS[2])
return 1
