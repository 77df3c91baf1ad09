-- A worker lives: renew its lease and what is told of it. Leases that ran out are removed.
-- KEYS: 1 leases (sorted set: worker by expiry in ms since 1970), 2 what is told (hash)
-- ARGV: 1 worker, 2 what is told as JSON, 3 lease in ms
-- Returns 1, or 0 when this worker had no lease: it is new, or Redis lost its data.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)
for _, worker in ipairs(gone) do
  redis.call('ZREM', KEYS[1], worker)
  redis.call('HDEL', KEYS[2], worker)
end
local added = redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
-- Another worker's lease may be longer.
local keep = math.max(tonumber(ARGV[3]), redis.call('PTTL', KEYS[1]))
redis.call('PEXPIRE', KEYS[1], keep)
redis.call('PEXPIRE', KEYS[2], keep)
return 1 - added
