-- Since when this Redis has held sessions without a loss that was noticed.
-- KEYS: 1 the mark
-- Returns milliseconds since 1970. Who looks first leaves the mark, which never expires: it is
-- missing only where the data is new, or was lost.
local time = redis.call('TIME')
redis.call('SET', KEYS[1], string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)), 'NX')
return tonumber(redis.call('GET', KEYS[1]))
