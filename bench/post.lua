-- SPDX-License-Identifier: Apache-2.0
-- wrk posts one recorded body as a browser's Faro SDK would.
--
--   wrk … -s post.lua URL -- BODY-FILE CODING(gzip|plain) [MEAN-MS-BETWEEN-REQUESTS]
--
-- The last line of the report is for bench/run: one JSON object.
function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  file:close()
  local origin = wrk.scheme .. "://" .. wrk.host .. ":" .. wrk.port
  for name, value in pairs {
    ["Content-Type"] = "application/json",
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
      .. "Chrome/140.0.0.0 Safari/537.36",
    ["Accept"] = "*/*",
    ["Accept-Encoding"] = "gzip, deflate, br, zstd",
    ["Accept-Language"] = "en-US,en;q=0.9",
    ["Origin"] = origin,
    ["Referer"] = origin .. "/checkout",
    ["Sec-Fetch-Site"] = "same-origin",
    ["Sec-Fetch-Mode"] = "cors",
    ["Sec-Fetch-Dest"] = "empty",
    ["x-faro-session-id"] = "cFeWDkQ0aN",
  } do
    wrk.headers[name] = value
  end
  if args[2] == "gzip" then
    wrk.headers["Content-Encoding"] = "gzip"
  end
  local pause = tonumber(args[3])
  if pause then
    -- Evenly between none and twice the mean, so that the connections do not march in step.
    delay = function() return math.random(0, 2 * pause) end
  end
  local whole = wrk.format()
  request = function() return whole end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,'
      .. '"http_errors":%d,"socket_errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3,
    e.status, e.connect + e.read + e.write + e.timeout))
end
