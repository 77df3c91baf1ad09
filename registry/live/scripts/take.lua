-- Take ownership: raise the epoch first, then read the checkpoint. From here on every write of the
-- previous owner is refused, so what is read is what it last wrote.
-- KEYS: 1 record, 2 checkpoint, 3 tombstone
-- ARGV: 1 record as JSON, 2 time to live in ms, 3 worker, 4 epoch to be exceeded, 5 attachment or 0
-- Returns {epoch, checkpoint or false, failures, trying, deaths, paused}, {0} when the session has
-- ended, or {-1} when a newer attachment has it: whoever serves that one must not be fenced by an
-- old one's worker.
-- failures counts the owners in a row that did not release: what the session does to workers.
-- trying is the input that the last one of them computed, where it told of it; 0: it did not.
-- deaths counts those that ended over that input, one after the other.
-- paused is 1 where the owner of a session without a checkpoint said so.
if redis.call('EXISTS', KEYS[3]) == 1 then
  return {0}
end
local time = redis.call('TIME')
local state = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'failures', 'attachment')
local above = tonumber(ARGV[4])
if state[4] and ARGV[5] ~= '0' and tonumber(state[4]) > tonumber(ARGV[5]) then
  return {-1}
end
local epoch, failures = 0, 0
if state[1] then
  epoch = math.max(tonumber(state[1]), above) + 1
  failures = tonumber(state[3])
  if state[2] ~= '' then
    failures = failures + 1
  end
else
  -- Redis lost the record. Epochs given before the loss are far below the time in seconds, and
  -- those given after an earlier loss began at an earlier time.
  epoch = math.max(above + 1, tonumber(time[1]))
  redis.call('HSET', KEYS[1], 'record', ARGV[1], 'ttl', ARGV[2], 'attachment', ARGV[5],
    'gateway', '')
end
redis.call('HSET', KEYS[1], 'epoch', string.format('%d', epoch), 'owner', ARGV[3],
  'failures', failures, 'taken', time[1])
local ttl = redis.call('HGET', KEYS[1], 'ttl')
redis.call('PEXPIRE', KEYS[1], ttl)
redis.call('PEXPIRE', KEYS[2], ttl)
-- Whoever is killed for another reason leaves an input behind too, but hardly the same one again.
local trying = redis.call('HGET', KEYS[1], 'trying')
local deaths = 0
if trying then
  deaths = 1
  if redis.call('HGET', KEYS[1], 'suspect') == trying then
    deaths = redis.call('HINCRBY', KEYS[1], 'deaths', 1)
  else
    redis.call('HSET', KEYS[1], 'suspect', trying, 'deaths', deaths)
  end
  redis.call('HDEL', KEYS[1], 'trying')
end
local paused = redis.call('HEXISTS', KEYS[1], 'paused')
return {epoch, redis.call('GET', KEYS[2]), failures, tonumber(trying or '0'), deaths, paused}
