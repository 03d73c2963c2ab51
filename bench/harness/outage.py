# SPDX-License-Identifier: Apache-2.0
"""An outage of the receiver and its end: what storing costs, how fast the spool empties, what live
beacons notice of it, and how large the database is before and after.

The receiver is not there at first. Beacons come for some seconds and are spooled, then the receiver
starts at the address that faro-ingest has been trying all the while.
"""

import os
import time

from . import load
from .stage import FastReceiver, free_port

REPLAY_RATE = 5000
LIVE = {"connections": 20, "pause_ms": 100}  # 200 beacons/s


class Later:
    """An address at which the receiver is put up and taken down."""

    def __init__(self, directory):
        self.directory, self.port, self.receiver = directory, free_port(), None

    def up(self):
        self.receiver = FastReceiver(self.directory, self.port)
        return self.receiver

    def down(self):
        if self.receiver:
            self.receiver.stop()
        self.receiver = None


def spooling(candidate, body, seconds):
    """What wrk sees while everything goes to the spool, with the CPU of a beacon."""
    load.wrk(candidate.url, body, 2)  # the breaker opens
    before = sum(process.cpu_us() for process in candidate.processes())
    result = load.wrk(candidate.url, body, seconds)
    cpu_us = sum(process.cpu_us() for process in candidate.processes()) - before
    return dict(result, per_s=result["requests"] / result["seconds"], cpu_us=cpu_us / max(result["requests"], 1))


def replaying(candidate, receiver, seconds):
    """The fastest quarter of a second, when it came, and the CPU of a delivery; until nothing comes any more."""
    counts, times = [receiver.posts()], [time.monotonic()]
    before = candidate.application.cpu_us()
    while time.monotonic() - times[0] < seconds:
        time.sleep(0.25)
        counts.append(receiver.posts())
        times.append(time.monotonic())
        if len(counts) > 24 and counts[-1] == counts[-5]:
            break
    delivered = counts[-1] - counts[0]
    rates = [(b - a) / (t - s) for a, b, s, t in zip(counts, counts[1:], times, times[1:])]
    first = next((i for i, rate in enumerate(rates) if rate > 0), 0)
    fast = next(i for i, rate in enumerate(rates) if rate >= 0.9 * max(rates))
    return {"per_s": max(rates), "ramp_s": times[fast + 1] - times[first], "first_s": times[first + 1] - times[0],
            "delivered": delivered, "cpu_us": (candidate.application.cpu_us() - before) / max(delivered, 1)}


def mib(directory):
    return sum(entry.stat().st_size for entry in os.scandir(directory)) / (1 << 20)


def one(put_up, directory, body, seconds, sync):
    spool = os.path.join(directory, f"spool-{sync}")
    place = Later(directory)
    place.up()
    candidate = put_up(place, {"FARO_SPOOL_DIR": spool, "FARO_SPOOL_SYNC": sync, "FARO_SPOOL_MAX_BYTES": "4GiB",
                               "FARO_REPLAY_RATE": str(REPLAY_RATE)})
    try:
        load.wrk(candidate.url, body, 1)
        before = candidate.application.cpu_us()
        live = load.wrk(candidate.url, body, seconds)
        live["cpu_us"] = (candidate.application.cpu_us() - before) / live["requests"]
        idle = load.wrk(candidate.url, body, seconds, **LIVE)
        place.down()
        stored = spooling(candidate, body, seconds)
        stored["mib"] = mib(spool)
        played = replaying(candidate, place.up(), 60)
        played["mib"] = mib(spool)
        place.down()
        spooling(candidate, body, seconds)
        place.up()
        time.sleep(3)  # replay has begun, and the breaker is closed
        during = load.wrk(candidate.url, body, seconds, **LIVE)
    finally:
        candidate.stop()
        place.down()
    return live, idle, stored, played, during


def outage(put_up, directory, beacons, seconds, row):
    body = load.Body(beacons, "small", "gzip")
    rows, failures = [], []
    for sync in ("full", "normal"):
        live, idle, stored, played, during = one(put_up, directory, body, seconds, sync)
        failures += [f"outage, {sync}, {name}: {run['http_errors']} error statuses, {run['socket_errors']} socket errors"
                     for name, run in (("live", live), ("spooled", stored), ("during replay", during))
                     if run["http_errors"] or run["socket_errors"]]
        rows += [
            row(f"outage, {sync}: spooled", f"{stored['per_s']:.0f}/s, p99 {stored['p99_ms']:.1f} ms, {stored['cpu_us']:.0f} "
                f"us a beacon; {stored['mib']:.0f} MiB, emptied {played['mib']:.1f} MiB", "all 202", not failures),
            row(f"outage, {sync}: replay", f"{played['per_s']:.0f}/s after {played['ramp_s']:.1f} s, the first after "
                f"{played['first_s']:.1f} s", ">= 3000/s, within 3 s", played["per_s"] >= 3000 and played["ramp_s"] <= 3.5),
            row(f"outage, {sync}: CPU of a delivery", f"{played['cpu_us']:.0f} us, live {live['cpu_us']:.0f} us",
                "<= 1.5 x", played["cpu_us"] <= 1.5 * live["cpu_us"]),
            row(f"outage, {sync}: live p99", f"{during['p99_ms']:.1f} ms during replay, {idle['p99_ms']:.1f} ms without",
                "<= 1.5 x", during["p99_ms"] <= 1.5 * idle["p99_ms"]),
        ]
    return rows, failures
