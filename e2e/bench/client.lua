-- The requests of one workload, and its result as one line of JSON, for wrk.
--
-- Arguments after `--`: the first and the last user, the number of users in a request (1: /recommend/ID), the seed, and the longest pause
-- of a connection before a request in milliseconds; pauses are equally distributed.

local REQUESTS = 20000
local requests, position = {}, 0

function init(args)
  local first, last, batch, seed = tonumber(args[1]), tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local longest = tonumber(args[5])
  math.randomseed(seed)
  if longest > 0 then
    function delay()
      return math.random(0, longest)
    end
  end
  for index = 1, REQUESTS do
    if batch == 1 then
      requests[index] = wrk.format("GET", "/recommend/" .. math.random(first, last))
    else
      local users = {}
      for user = 1, batch do
        users[user] = math.random(first, last)
      end
      requests[index] = wrk.format("GET", "/batch-recommend?user_ids=" .. table.concat(users, ","))
    end
  end
end

function request()
  position = position % REQUESTS + 1
  return requests[position]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %f, "p50": %f, "p95": %f, "p99": %f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
