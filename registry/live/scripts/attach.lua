-- Redeem a ticket or a resume token: the next attachment, and the next resume token.
-- KEYS: 1 record, 2 the ticket presented (for a resume token: any name, unused)
-- ARGV: 1 'ticket' or 'resume', 2 digest presented, 3 digest of the new resume token, 4 gateway
-- Returns {'ok', record, attachment, owner, epoch, gateway that was attached until now}, or one of
-- {'unknown'}, {'used'}, {'expired'}. Only digests come here, so that comparing them tells nothing.
-- A repetition (the client library sends it again when the connection broke) is known by its new
-- token and gets the same answer.
local state = redis.call('HMGET', KEYS[1], 'record', 'attachment', 'owner', 'epoch', 'gateway',
  'resume', 'previous', 'ttl', 'replaced')
if not state[1] then
  return {'unknown'}
end
local attachment, gateway = tonumber(state[2]), state[5]
local resume, previous = state[6] or '', state[7] or ''
if resume == ARGV[3] then
  return {'ok', state[1], attachment, state[3], tonumber(state[4]), state[9] or ''}
end
if ARGV[1] == 'ticket' then
  local ticket = redis.call('GET', KEYS[2])
  if not ticket then
    return {'unknown'}
  end
  if string.sub(ticket, 1, 5) == 'used:' then
    return {'used'}
  end
  local time = redis.call('TIME')
  if time[1] * 1000 + math.floor(time[2] / 1000) >= tonumber(ticket) then
    return {'expired'}
  end
  redis.call('SET', KEYS[2], 'used:' .. ARGV[3], 'KEEPTTL')
  previous = resume
elseif ARGV[2] == resume then
  previous = resume
elseif previous == '' or ARGV[2] ~= previous then
  return {'unknown'}
end
-- When the previous token came, the Welcome with the newer one was lost: what the client holds
-- stays good until it confirms.
attachment = attachment + 1
redis.call('HSET', KEYS[1], 'attachment', attachment, 'gateway', ARGV[4], 'resume', ARGV[3],
  'previous', previous, 'replaced', gateway)
redis.call('PEXPIRE', KEYS[1], state[8])
return {'ok', state[1], attachment, state[3], tonumber(state[4]), gateway}
