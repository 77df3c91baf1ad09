-- The socket is gone. The session stays for its time to live.
-- KEYS: 1 record
-- ARGV: 1 attachment
-- Returns 1, or 0 when that attachment is not the current one.
if redis.call('HGET', KEYS[1], 'attachment') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'gateway', '')
redis.call('PEXPIRE', KEYS[1], redis.call('HGET', KEYS[1], 'ttl'))
return 1
