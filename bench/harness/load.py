# SPDX-License-Identifier: Apache-2.0
"""Load: wrk for what is measured, a plain client that looks at every answer for what is checked."""

import http.client
import json
import os
import subprocess
import threading
import time

from .stage import HERE, need

CONNECTIONS = 64
SIZES = ("small", "medium", "large")
CODINGS = ("gzip", "plain")


class Body:
    """One recorded beacon, as it goes over the wire."""

    def __init__(self, directory, size, coding):
        self.size, self.coding = size, coding
        self.name = f"{size} {coding}"
        self.path = os.path.join(directory, f"bench-{size}.json" + (".gz" if coding == "gzip" else ""))
        with open(self.path, "rb") as file:
            self.bytes = file.read()

    def inflated(self):
        """The same beacon without its coding."""
        return self if self.coding == "plain" else Body(os.path.dirname(self.path), self.size, "plain")


def wrk(url, body, seconds, connections=CONNECTIONS, pause_ms=None, threads=1):
    """A closed loop; → requests, seconds, p50_ms, p99_ms, max_ms, http_errors, socket_errors.

    With pause_ms each connection waits that long before each request, so that `connections` of them
    offer connections / (pause + answer time) beacons/s.
    """
    argv = [need("wrk", "wrk"), f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s",
            "-s", os.path.join(HERE, "post.lua"), url, "--", body.path, body.coding]
    if pause_ms is not None:
        argv.append(str(pause_ms))
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60)
    if ended.returncode != 0:
        raise RuntimeError(f"wrk failed: {ended.stdout}{ended.stderr}")
    return json.loads(ended.stdout.strip().splitlines()[-1])


def post(port, body, times, connection=None):
    """Posts `times` beacons one after another over a kept connection; → {status: count}."""
    connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}
    if body.coding == "gzip":
        headers["Content-Encoding"] = "gzip"
    statuses = {}
    for _ in range(times):
        try:
            connection.request("POST", "/faro/collect", body.bytes, headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status = type(error).__name__
        statuses[status] = statuses.get(status, 0) + 1
    connection.close()
    return statuses


def post_together(port, body, times, connections):
    """The same from several threads at once, `times` beacons each."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(post(port, body, times)))
               for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = {}
    for statuses in results:
        for status, count in statuses.items():
            total[status] = total.get(status, 0) + count
    return total


def settled(receiver):
    """The receiver's count once it no longer moves: what was under way when the load ended counts."""
    quiet_s = 0.4 + receiver.delay_s
    last = receiver.posts()
    while True:
        time.sleep(quiet_s)
        now = receiver.posts()
        if now == last:
            return now
        last = now
