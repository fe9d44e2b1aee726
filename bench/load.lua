-- One POST (or GET) again and again: ARGS are the method, the file with the body, and its type.
function init(args)
  wrk.method = args[1]
  if args[1] ~= "GET" then
    local file = io.open(args[2], "rb")
    wrk.body = file:read("*a")
    file:close()
    wrk.headers["Content-Type"] = args[3]
  end
  request_bytes = wrk.format()
end

function request()
  return request_bytes
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.7f, "p99": %.7f, "bytes": %.0f, ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    summary.bytes, e.connect, e.read, e.write, e.status, e.timeout))
end
