# SPDX-License-Identifier: Apache-2.0
"""An outage of the receiver and its end: what storing costs, how fast the spool empties, what live
beacons notice of it, how large the database is before and after, and what a full spool answers.

The receiver is not there at first. Beacons come for some seconds and are spooled, then the receiver
starts at the address that faro-ingest has been trying all the while.
"""

import os
import signal
import sqlite3
import time

from . import load
from .stage import FastReceiver, Missing, free_port

REPLAY_RATE = 5000
REPLAY_GOAL = 3000
LIVE = {"connections": 20, "pause_ms": 100}  # 200 beacons/s
FULL_BYTES = 4 << 20


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


def measured(candidate, body, seconds, **how):
    """What wrk sees, with the CPU of a beacon: our own, and with nginx."""
    before = [process.cpu_us() for process in candidate.processes()]
    result = load.wrk(candidate.url, body, seconds, **how)
    spent = [process.cpu_us() - was for process, was in zip(candidate.processes(), before)]
    beacons = max(result["requests"], 1)
    return dict(result, per_s=result["requests"] / result["seconds"], cpu_us=spent[-1] / beacons,
                all_cpu_us=sum(spent) / beacons)


def replaying(candidate, receiver, spool, seconds):
    """The fastest quarter of a second, when it came, the CPU of a delivery, and what the spool's files have
    when half of it is delivered; until nothing comes any more."""
    counts, times, sizes = [receiver.posts()], [time.monotonic()], [mib(spool)]
    before = candidate.application.cpu_us()
    while time.monotonic() - times[0] < seconds:
        time.sleep(0.25)
        counts.append(receiver.posts())
        times.append(time.monotonic())
        sizes.append(mib(spool))
        if len(counts) > 24 and counts[-1] == counts[-5]:
            break
    delivered = counts[-1] - counts[0]
    rates = [(b - a) / (t - s) for a, b, s, t in zip(counts, counts[1:], times, times[1:])]
    first = next((i for i, rate in enumerate(rates) if rate > 0), 0)
    fast, good = (next((i for i, rate in enumerate(rates) if rate >= least), len(rates) - 1)
                  for least in (0.9 * max(rates), REPLAY_GOAL))
    half = next(i for i, count in enumerate(counts) if count - counts[0] >= delivered / 2)
    return {"per_s": max(rates), "ramp_s": times[fast + 1] - times[first],
            "goal_s": times[good + 1] - times[first], "first_s": times[first + 1] - times[0],
            "delivered": delivered, "cpu_us": (candidate.application.cpu_us() - before) / max(delivered, 1),
            "half_mib": sizes[half], "mib": sizes[-1]}


def mib(directory):
    """A log may go while one looks."""
    total = 0
    for entry in os.scandir(directory):
        try:
            total += entry.stat().st_size
        except FileNotFoundError:
            pass
    return total / (1 << 20)


def in_database(spool):
    """Records, and what the database and a VACUUM of it have, in MiB."""
    copy = os.path.join(spool, "..", "vacuum.db")
    database = sqlite3.connect(f"file:{os.path.join(spool, 'spool.db')}?mode=ro", uri=True)
    try:
        records, pages = (database.execute(sql).fetchone()[0]
                          for sql in ("SELECT records FROM counters", "PRAGMA page_count"))
        database.execute("VACUUM INTO ?", (copy,))
    finally:
        database.close()
    vacuumed = os.stat(copy).st_size
    os.unlink(copy)
    return {"records": records, "mib": pages * 4096 / (1 << 20), "vacuumed_mib": vacuumed / (1 << 20)}


def fsyncs(put_up, directory, body, seconds, sync):
    """How many there are while beacons are stored, of how many each is, and which part of the time they take."""
    table = os.path.join(directory, f"fsyncs-{sync}")
    candidate = put_up(Later(directory), {"FARO_SPOOL_DIR": os.path.join(directory, f"traced-{sync}"),
                                          "FARO_SPOOL_SYNC": sync, "BENCH_FSYNCS": table})
    try:
        result = load.wrk(candidate.url, body, seconds)
        for pid in candidate.application.pids()[1:]:
            os.kill(pid, signal.SIGTERM)
        candidate.application.popen.wait(20)
    finally:
        candidate.stop()
    calls, spent_s = 0, 0.0
    with open(table) as lines:
        for fields in map(str.split, lines):
            if fields and fields[-1] in ("fsync", "fdatasync"):
                calls, spent_s = calls + int(fields[3]), spent_s + float(fields[1])
    if calls == 0:
        raise Missing("strace counted no fsync")
    return {"per_s": calls / result["seconds"], "beacons": result["requests"] / calls,
            "share": spent_s / result["seconds"]}


def full_spool(put_up, directory, body, seconds):
    """Nothing more is stored: each beacon gets 429."""
    candidate = put_up(Later(directory), {"FARO_SPOOL_DIR": os.path.join(directory, "spool-limited"),
                                          "FARO_SPOOL_MAX_BYTES": str(FULL_BYTES)})
    try:
        load.wrk(candidate.url, body, 3)
        return measured(candidate, body, seconds)
    finally:
        candidate.stop()


def one(put_up, directory, body, seconds, sync):
    """Everything that is seen of one outage, by name."""
    spool = os.path.join(directory, f"spool-{sync}")
    place, seen = Later(directory), {}
    place.up()
    candidate = put_up(place, {"FARO_SPOOL_DIR": spool, "FARO_SPOOL_SYNC": sync, "FARO_SPOOL_MAX_BYTES": "4GiB",
                               "FARO_REPLAY_RATE": str(REPLAY_RATE)})
    try:
        load.wrk(candidate.url, body, 1)
        seen["live"] = measured(candidate, body, seconds)
        seen["idle"] = measured(candidate, body, seconds, **LIVE)
        place.down()
        load.wrk(candidate.url, body, 2)  # the breaker opens
        seen["early"] = in_database(spool)
        seen["stored"] = measured(candidate, body, seconds)
        seen["late"] = in_database(spool)
        seen["stored_idle"] = measured(candidate, body, seconds, **LIVE)
        seen["before_mib"] = mib(spool)
        seen["replayed"] = replaying(candidate, place.up(), spool, 60)
        place.down()
        load.wrk(candidate.url, body, seconds + 2)
        place.up()
        time.sleep(3)  # replay has begun, and the breaker is closed
        seen["during"] = measured(candidate, body, seconds, **LIVE)
    finally:
        candidate.stop()
        place.down()
    return seen


def storing_rows(row, sync, seen, synced):
    live, stored, idle, late = (seen[name] for name in ("live", "stored", "stored_idle", "late"))
    return [
        row(f"outage, {sync}: stored with 64 connections", f"{stored['per_s']:.0f}/s, p99 {stored['p99_ms']:.1f} ms",
            ">= 3000/s, all 202", stored["per_s"] >= 3000 and not stored["http_errors"]),
        row(f"outage, {sync}: CPU of a stored beacon", f"{stored['cpu_us']:.0f} us, live {live['cpu_us']:.0f} us; with "
            f"nginx {stored['all_cpu_us']:.0f} and {live['all_cpu_us']:.0f} us", "<= 2.5 x",
            stored["cpu_us"] <= 2.5 * live["cpu_us"]),
        row(f"outage, {sync}: stored, 200 beacons/s", f"p50 {idle['p50_ms']:.1f} ms, p99 {idle['p99_ms']:.1f} ms; "
            f"relayed {seen['idle']['p50_ms']:.1f} and {seen['idle']['p99_ms']:.1f} ms", "p99 <= 20 ms",
            idle["p99_ms"] <= 20),
        row(f"outage, {sync}: fsyncs", f"{synced['per_s']:.0f}/s, {synced['beacons']:.1f} beacons each, "
            f"{synced['share']:.0%} of the time", ">= 3 beacons each", synced["beacons"] >= 3),
        row(f"outage, {sync}: database", "%.0f MiB of %d beacons: %s; a VACUUM would give back %.1f %%" % (
            late["mib"], late["records"], growth(seen), 100 * (1 - late["vacuumed_mib"] / late["mib"])),
            "<= 1.25 x its gzip, VACUUM <= 5 %",
            ratio(late, seen) <= 1.25 and late["vacuumed_mib"] >= 0.95 * late["mib"]),
    ]


def ratio(database, seen):
    """Of the bytes that a record takes to those that came from the browser."""
    return database["mib"] * (1 << 20) / max(database["records"], 1) / seen["body_bytes"]


def growth(seen):
    per = [seen[when]["mib"] * (1 << 20) / max(seen[when]["records"], 1) for when in ("early", "late")]
    return (f"{per[0]:.0f} bytes each after 2 s, {per[1]:.0f} at the end, {ratio(seen['late'], seen):.2f} x its "
            f"{seen['body_bytes']} of gzip")


def replay_rows(row, sync, seen):
    live, played = seen["live"], seen["replayed"]
    during, idle = seen["during"], seen["idle"]
    return [
        row(f"outage, {sync}: replay", f"{REPLAY_GOAL}/s after {played['goal_s']:.1f} s, {played['per_s']:.0f}/s after "
            f"{played['ramp_s']:.1f} s, the first after {played['first_s']:.1f} s", ">= 3000/s, within 3 s",
            played["per_s"] >= REPLAY_GOAL and played["goal_s"] <= 3),
        row(f"outage, {sync}: CPU of a delivery", f"{played['cpu_us']:.0f} us, live {live['cpu_us']:.0f} us",
            "<= 1.5 x", played["cpu_us"] <= 1.5 * live["cpu_us"]),
        row(f"outage, {sync}: live p99", f"{during['p99_ms']:.1f} ms during replay, {idle['p99_ms']:.1f} ms without",
            "<= 1.5 x", during["p99_ms"] <= 1.5 * idle["p99_ms"]),
        row(f"outage, {sync}: files", f"{seen['before_mib']:.1f} MiB, {played['half_mib']:.1f} when half is delivered, "
            f"{played['mib']:.1f} at the end", "<= 1 MiB at the end", played["mib"] <= 1),
    ]


def full_row(row, full):
    """Only 429 is an answer here."""
    return row("outage: a full spool", f"{full['per_s']:.0f}/s refused, p99 {full['p99_ms']:.1f} ms, "
               f"{full['cpu_us']:.0f} us a beacon", ">= 3000/s, p99 <= 20 ms",
               full["per_s"] >= 3000 and full["p99_ms"] <= 20)


def outage(put_up, directory, beacons, seconds, row):
    body = load.Body(beacons, "small", "gzip")
    rows, failures = [], []
    for sync in ("full", "normal"):
        seen = dict(one(put_up, directory, body, seconds, sync), body_bytes=len(body.bytes))
        failures += [f"outage, {sync}, {name}: {seen[name]['http_errors']} error statuses, "
                     f"{seen[name]['socket_errors']} socket errors"
                     for name in ("live", "idle", "stored", "stored_idle", "during")
                     if seen[name]["http_errors"] or seen[name]["socket_errors"]]
        rows += storing_rows(row, sync, seen, fsyncs(put_up, directory, body, seconds, sync))
        rows += replay_rows(row, sync, seen)
    full = full_spool(put_up, directory, body, seconds)
    if full["http_errors"] != full["requests"] or full["socket_errors"]:
        failures.append(f"outage: a full spool: {full['requests']} answers, {full['http_errors']} of them errors")
    return rows + [full_row(row, full)], failures
