-- What is told of the workers whose lease runs, in the order of their names.
-- KEYS: 1 leases, 2 what is told
-- ARGV: 1 a worker, or '' for all
-- Returns the JSON texts.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local alive = {}
if ARGV[1] ~= '' then
  local expires = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if expires and tonumber(expires) > now then
    alive = {ARGV[1]}
  end
else
  alive = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%d', now), '+inf')
  table.sort(alive)
end
local told = {}
for _, worker in ipairs(alive) do
  local text = redis.call('HGET', KEYS[2], worker)
  if text then
    told[#told + 1] = text
  end
end
return told
