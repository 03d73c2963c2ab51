#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A receiver that is slow or suspicious on purpose; measured runs use nginx `return 202` instead.

  receiver.py PORT [--delay-ms N]     POST /collect → 202 after N ms
  GET /-/counts                       {"posts":…, "labelled":…, "bytes":…}

A post counts as labelled when it is JSON with the labels of harness/stage.py in meta.app and in every
resource of its spans, and still holds what the browser sent beside them. It does not check anything
else that faro.receiver would.
"""

import argparse
import asyncio
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from harness import stage  # noqa: E402

REASON = {200: "OK", 202: "Accepted", 404: "Not Found"}


def is_labelled(body):
    try:
        beacon = json.loads(body)
    except ValueError:
        return False
    app = beacon.get("meta", {}).get("app", {})
    wanted = {"name": stage.SERVICE, "namespace": stage.NAMESPACE, "environment": stage.ENVIRONMENT}
    if any(app.get(key) != value for key, value in wanted.items()):
        return False
    if not any(beacon.get(kind) for kind in ("logs", "exceptions", "events", "measurements", "traces")):
        return False
    for span in (beacon.get("traces") or {}).get("resourceSpans", []):
        values = {a["key"]: a["value"].get("stringValue") for a in span["resource"]["attributes"]}
        if values.get("service.name") != stage.SERVICE:
            return False
        if values.get("k8s.namespace.name") != stage.NAMESPACE:
            return False
    return True


class Receiver:
    def __init__(self, delay_s):
        self.delay_s = delay_s
        self.counts = {"posts": 0, "labelled": 0, "bytes": 0}

    async def serve(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n", 1)[0].split(b" ", 2)
        fields = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip()
        body = await self.body(reader, fields)
        status, answer = await self.answer(method, path, body)
        writer.write(b"HTTP/1.1 %d %s\r\nDate: Sun, 22 Nov 2026 17:00:00 GMT\r\nContent-Length: %d\r\n"
                     b"Content-Type: text/plain; charset=utf-8\r\n\r\n%s"
                     % (status, REASON[status].encode(), len(answer), answer))
        await writer.drain()
        return fields.get(b"connection", b"").lower() != b"close"

    async def body(self, reader, fields):
        if fields.get(b"transfer-encoding", b"").lower() != b"chunked":
            return await reader.readexactly(int(fields.get(b"content-length", 0)))
        body = b""
        while True:
            size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
            body += (await reader.readexactly(size + 2))[:-2]
            if size == 0:
                return body

    async def answer(self, method, path, body):
        if path == b"/-/counts":
            return 200, json.dumps(self.counts).encode()
        if method != b"POST" or path != b"/collect":
            return 404, b""
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        else:
            self.counts["labelled"] += is_labelled(body)
        self.counts["posts"] += 1
        self.counts["bytes"] += len(body)
        return 202, b"ok"


async def main():
    options = argparse.ArgumentParser()
    options.add_argument("port", type=int)
    options.add_argument("--delay-ms", type=int, default=0)
    options = options.parse_args()
    receiver = Receiver(options.delay_ms / 1000)
    server = await asyncio.start_server(
        receiver.serve, "127.0.0.1", options.port, limit=1 << 24, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
