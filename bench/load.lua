-- One POST (or GET) again and again: ARGS are the method, the file with the body, its type, and, if each request is
-- to have a trace of its client's, another one each time, the share of these traces that the client records.
local count, share = 0, nil
local before, after

function init(args)
  wrk.method = args[1]
  if args[1] ~= "GET" then
    local file = io.open(args[2], "rb")
    wrk.body = file:read("*a")
    file:close()
    wrk.headers["Content-Type"] = args[3]
  end
  share = tonumber(args[4])
  if share then
    wrk.headers["traceparent"] = "HERE"
    local whole = wrk.format()
    local at = whole:find("HERE", 1, true)
    before, after = whole:sub(1, at - 1) .. "00-4bf92f3577b34da6", whole:sub(at + 4)
  else
    request_bytes = wrk.format()
  end
end

function request()
  if not share then
    return request_bytes
  end
  count = count + 1
  local flags = math.floor(count * share) > math.floor((count - 1) * share) and "01" or "00"
  return before .. string.format("%016x-00f067aa0ba902b7-", count) .. flags .. after
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.7f, "p99": %.7f, "bytes": %.0f, ' ..
    '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6,
    summary.bytes, e.connect, e.read, e.write, e.status, e.timeout))
end
