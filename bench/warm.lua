-- Sends one fixed request over and over, and prints what it cost as JSON. `arg`: the request as a file of lines, first its
-- target, then `name: value` headers, then an empty line and the body.

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local target = file:read("*l")
  local headers = {}
  for line in file:lines() do
    if line == "" then break end
    local name, value = line:match("^(.-): (.*)$")
    headers[name] = value
  end
  request_bytes = wrk.format("POST", target, headers, file:read("*a"))
  file:close()
end

function request()
  return request_bytes
end

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status
    + summary.errors.timeout
  io.write(string.format(
    'RESULT {"p50": %d, "p99": %d, "rate": %.1f, "failed": %d}\n',
    latency:percentile(50), latency:percentile(99), summary.requests / summary.duration * 1e6, failed
  ))
end
