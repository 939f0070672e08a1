-- Sends the requests of a file in turn, over and over, and prints what it cost as JSON. `arg`: the file; for each request a line
-- with its length, then its bytes.

local requests, turn = {}, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read("*l")
    if not length then break end
    requests[#requests + 1] = file:read(tonumber(length))
  end
  file:close()
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
    + summary.errors.timeout
  io.write(string.format(
    'RESULT {"p50": %d, "p99": %d, "rate": %.1f, "failed": %d}\n',
    latency:percentile(50), latency:percentile(99), summary.requests / summary.duration * 1e6, failed
  ))
end
