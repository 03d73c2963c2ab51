# SPDX-License-Identifier: Apache-2.0
"""The relay that a Python team would write: FastAPI, orjson, one pooled httpx client.

Started by uvicorn (uvloop, httptools) on a unix socket. RECEIVER_URL and the labels come from the
environment. Not done here, though faro-ingest does it: ambiguous keys, limits on memory and on
calls in flight, metrics, origin checks.
"""

import contextlib
import os
import zlib

import fastapi
import httpx
import orjson

RECEIVER = os.environ["RECEIVER_URL"]
NAME = os.environ["OTEL_SERVICE_NAME"]
NAMESPACE = os.environ["APP_NAMESPACE"]
ENVIRONMENT = os.environ["APP_ENVIRONMENT"]
VERSION = os.environ["APP_VERSION"]
SPAN_ATTRIBUTES = [
    {"key": key, "value": {"stringValue": value}}
    for key, value in (
        ("service.name", NAME),
        ("service.namespace", NAMESPACE),
        ("k8s.namespace.name", NAMESPACE),
        ("deployment.environment.name", ENVIRONMENT),
        ("deployment.environment", ENVIRONMENT),
    )
]
OURS = frozenset(attribute["key"] for attribute in SPAN_ATTRIBUTES)
MAX_DECODED_BYTES = 5 << 20


def inflate(body: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    plain = inflater.decompress(body, MAX_DECODED_BYTES)
    if not inflater.eof:
        raise fastapi.HTTPException(413)
    return plain


def label(beacon: dict) -> None:
    app = beacon.setdefault("meta", {}).setdefault("app", {})
    app.update(name=NAME, namespace=NAMESPACE, environment=ENVIRONMENT)
    app.setdefault("version", VERSION)
    for span in (beacon.get("traces") or {}).get("resourceSpans") or ():
        resource = span.setdefault("resource", {})
        resource["attributes"] = SPAN_ATTRIBUTES + [
            attribute
            for attribute in resource.get("attributes") or ()
            if attribute["key"] not in OURS and not attribute["key"].startswith("k8s.")
        ]


@contextlib.asynccontextmanager
async def lifespan(app):
    # The pool looks at every connection for every request: 8 cost half of what 64 do.
    limits = httpx.Limits(max_connections=8, max_keepalive_connections=8)
    async with httpx.AsyncClient(limits=limits) as app.state.client:
        yield


app = fastapi.FastAPI(lifespan=lifespan, openapi_url=None)


@app.post("/faro/collect")
async def collect(request: fastapi.Request) -> fastapi.Response:
    body = await request.body()
    if request.headers.get("content-encoding"):
        body = inflate(body)
    beacon = orjson.loads(body)
    label(beacon)
    answer = await app.state.client.post(
        RECEIVER, content=orjson.dumps(beacon), headers={"content-type": "application/json"}
    )
    return fastapi.Response(status_code=answer.status_code)
