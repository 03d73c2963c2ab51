-- SPDX-License-Identifier: Apache-2.0
-- The relay that an nginx team would write: in the rewrite phase the body is inflated, labelled and
-- put back, then an ordinary proxy_pass sends it. The labels are constants of this module.
--
-- Not done here, though faro-ingest does it: ambiguous keys, a cap on what inflating yields, metrics,
-- origin checks. And lua-cjson prints an empty array as {}, numbers with 14 digits: a receiver that
-- expects an array refuses such a beacon.
local cjson = require "cjson.safe"
local zlib = require "zlib"

local labels = {
  name = os.getenv("OTEL_SERVICE_NAME"),
  namespace = os.getenv("APP_NAMESPACE"),
  environment = os.getenv("APP_ENVIRONMENT"),
  version = os.getenv("APP_VERSION"),
}
local span_attributes, ours = {}, {}
for _, pair in ipairs {
  { "service.name", labels.name },
  { "service.namespace", labels.namespace },
  { "k8s.namespace.name", labels.namespace },
  { "deployment.environment.name", labels.environment },
  { "deployment.environment", labels.environment },
} do
  span_attributes[#span_attributes + 1] = { key = pair[1], value = { stringValue = pair[2] } }
  ours[pair[1]] = true
end

local function label(beacon)
  local meta = beacon.meta or {}
  beacon.meta = meta
  local app = meta.app or {}
  meta.app = app
  app.name = labels.name
  app.namespace = labels.namespace
  app.environment = labels.environment
  app.version = app.version or labels.version
  for _, span in ipairs(beacon.traces and beacon.traces.resourceSpans or {}) do
    local resource = span.resource or {}
    span.resource = resource
    local attributes = { unpack(span_attributes) }
    for _, attribute in ipairs(resource.attributes or {}) do
      if not ours[attribute.key] and attribute.key:sub(1, 4) ~= "k8s." then
        attributes[#attributes + 1] = attribute
      end
    end
    resource.attributes = attributes
  end
end

local function read_body()
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  if body then
    return body
  end
  local path = ngx.req.get_body_file()
  local file = path and io.open(path, "rb")
  if not file then
    return nil
  end
  body = file:read("*a")
  file:close()
  return body
end

local function rewrite()
  local body = read_body()
  if body and ngx.var.http_content_encoding then
    local whole, plain, eof = pcall(zlib.inflate(), body)
    body = whole and eof and plain or nil
  end
  local beacon = body and cjson.decode(body)
  if type(beacon) ~= "table" then
    return ngx.exit(400)
  end
  label(beacon)
  ngx.req.clear_header("Content-Encoding")
  ngx.req.set_body_data(cjson.encode(beacon))
end

return { rewrite = rewrite }
