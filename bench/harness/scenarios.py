# SPDX-License-Identifier: Apache-2.0
"""What throughput does not show: a slow receiver, overload, memory after a burst, one CGI process,
an outage of the receiver, the map of crawlers.

Each scenario → list of rows {"what", "value", "goal", "reached"}, and a list of failures: an answer or
a count that is wrong. A missed goal is not a failure; `bench/run --goals` makes it one.
"""

import json
import os
import statistics
import subprocess
import time

from . import load, throughput
from .crawlers import crawlers
from .outage import outage
from .procs import wait_until
from .stage import OUR_ENV, FastReceiver, Missing, SlowReceiver, Stage

MIB_IN_KIB = 1024


def run(name, directory, binary, installed, beacons, seconds):
    def put_up(receiver, env=None):
        """Ours in include form, in a directory of its own, posting to this receiver."""
        place = os.path.join(directory, f"stage-{time.monotonic_ns()}")
        os.makedirs(place)
        return Stage(place, receiver.port, binary, installed).start("include", env)

    return ALL[name](put_up, directory, binary, beacons, seconds)


def row(what, value, goal, reached):
    return {"what": what, "value": value, "goal": goal, "reached": reached}


def slow(put_up, directory, _binary, beacons, seconds):
    """200 beacons/s offered, to a receiver that answers at once and to one that takes 500 ms."""
    body = load.Body(beacons, "small", "gzip")
    seconds = max(seconds, 15)
    found = {}
    for delay_ms, connections in ((0, 100), (500, 200)):
        receiver = SlowReceiver(directory, delay_ms)
        candidate = put_up(receiver)
        try:
            found[delay_ms] = throughput.measure(
                candidate, receiver, body, seconds, warm_seconds=3, connections=connections,
                pause_ms=500)
        finally:
            candidate.stop()
            receiver.stop()
    fast, late = found[0], found[500]
    ratio = late["cpu_us"] / fast["cpu_us"]
    grown_kib = late["application_grown_kib"]
    rows = [
        row("slow receiver: beacons/s", f"{late['beacons_per_s']:.0f} (fast: {fast['beacons_per_s']:.0f})",
            "200 offered, all 202", not late["failed"] and late["beacons_per_s"] > 180),
        row("slow receiver: CPU per beacon", f"{late['cpu_us']:.0f} us (fast: {fast['cpu_us']:.0f} us), "
            f"{ratio:.2f} x", "<= 1.3 x of the fast receiver's", ratio <= 1.3),
        row("slow receiver: private memory", f"{late['application_anon_kib']} KiB (fast: "
            f"{fast['application_anon_kib']} KiB), {grown_kib:+d} KiB from the first half to the second",
            "flat: at most 512 KiB more", grown_kib <= 512),
    ]
    return rows, [f"receiver after {ms} ms: {p}" for ms, r in found.items() for p in r["failed"]]


def overload(put_up, directory, _binary, beacons, seconds):
    """A receiver that can take 640 beacons/s (64 at a time, 100 ms each) is offered ten times that."""
    body = load.Body(beacons, "small", "gzip")
    seconds = max(seconds, 5)
    access_log = os.path.join(directory, "access.log")
    receiver = SlowReceiver(directory, 100)
    candidate = put_up(receiver, {"FARO_UPSTREAM_MAX_INFLIGHT": "64", "BENCH_ACCESS_LOG": access_log})
    try:
        peak = goodput(candidate, receiver, body, access_log, seconds, 64, None)
        full = goodput(candidate, receiver, body, access_log, seconds, 1280, 200)
    finally:
        candidate.stop()
        receiver.stop()
    offered = sum(len(times) for times in full["times"].values()) / full["seconds"]
    kept = full["per_s"] / peak["per_s"]
    refused = sorted(full["times"].get(429, [])) or [float("nan")]
    p99_ms = refused[int(len(refused) * 0.99)] * 1e3
    rows = [
        row("overload: goodput", f"{full['per_s']:.0f}/s of {offered:.0f}/s offered, peak "
            f"{peak['per_s']:.0f}/s: {kept:.0%}", ">= 90 % of peak", kept >= 0.9),
        row("overload: time to a 429 at nginx", f"p50 {statistics.median(refused) * 1e3:.0f} ms, p99 "
            f"{p99_ms:.0f} ms, most {refused[-1] * 1e3:.0f} ms ({len(refused)} refused)",
            "p99 <= 10 ms", p99_ms <= 10),
    ]
    failures = wrong_answers(peak) + wrong_answers(full)
    more, wrong = many_connections(put_up, directory, body, seconds)
    return rows + [more], failures + wrong


def goodput(candidate, receiver, body, access_log, seconds, connections, pause_ms):
    """Accepted beacons by the receiver's count; statuses and times by nginx's log."""
    load.wrk(candidate.url, body, 1, connections=connections, pause_ms=pause_ms)
    before = load.settled(receiver)
    time.sleep(0.3)
    open(access_log, "w").close()
    result = load.wrk(candidate.url, body, seconds, connections=connections, pause_ms=pause_ms)
    posts = load.settled(receiver) - before
    time.sleep(0.3)
    times = {}
    with open(access_log) as lines:
        for line in lines:
            status, _, spent = line.strip("\0 \n").partition(" ")
            times.setdefault(int(status), []).append(float(spent))
    return {"per_s": posts / result["seconds"], "seconds": result["seconds"], "posts": posts,
            "times": times, "connections": connections}


def many_connections(put_up, directory, body, seconds):
    """Ten times the connections of the saturated closed loop, on a receiver that keeps up."""
    access_log = os.path.join(directory, "access-many.log")
    receiver = FastReceiver(directory)
    candidate = put_up(receiver, {"BENCH_ACCESS_LOG": access_log})
    try:
        few = goodput(candidate, receiver, body, access_log, seconds, 64, None)
        many = goodput(candidate, receiver, body, access_log, seconds, 640, None)
    finally:
        candidate.stop()
        receiver.stop()
    kept = many["per_s"] / few["per_s"]
    refused = len(many["times"].get(429, []))
    return (row("overload: 640 connections in place of 64", f"{many['per_s']:.0f}/s of "
                f"{few['per_s']:.0f}/s: {kept:.0%}; {refused} refused", ">= 90 %", kept >= 0.9),
            wrong_answers(few) + wrong_answers(many))


def wrong_answers(run):
    found = [f"overload: {len(times)} answers with status {status}"
             for status, times in run["times"].items() if status not in (202, 429)]
    accepted = len(run["times"].get(202, []))
    # nginx does not log what wrk had hung up on as 202: such a beacon may be at the receiver all the same.
    hung_up = len(run["times"].get(499, [])) + run["connections"]
    if not accepted <= run["posts"] <= accepted + hung_up:
        found.append(f"overload: {accepted} answers 202, {run['posts']} posts at the receiver")
    return found


def memory(put_up, directory, _binary, beacons, seconds):
    """64 small beacons truly in flight; then 64 bodies of 5 MiB at once, and what stays of them."""
    receiver = SlowReceiver(directory, 500)
    candidate = put_up(receiver, {"FARO_MAX_MEMORY_BYTES": "1024MiB", "FARO_UPSTREAM_TIMEOUT_MS": "20000"})
    application = candidate.application
    try:
        small = throughput.measure(candidate, receiver, load.Body(beacons, "small", "gzip"), seconds)
        before = receiver.posts()
        statuses, peak_kib = burst(candidate, large_body(directory), application)
        taken = load.settled(receiver) - before
        started = time.monotonic()
        back = wait_until(lambda: application.memory_kib("RssAnon") < 16 * MIB_IN_KIB, 15, 0.1)
        took_s = time.monotonic() - started
        left_kib = application.memory_kib("RssAnon")
    finally:
        candidate.stop()
        receiver.stop()
    rows = [
        row("private memory, 64 small in flight", f"{small['application_anon_kib']} KiB",
            "<= 8 MiB", small["application_anon_kib"] <= 8 * MIB_IN_KIB),
        row("private memory after 64 x 5 MiB", f"{left_kib} KiB after {took_s:.1f} s "
            f"(most seen {peak_kib // 1024} MiB; answers {statuses})",
            "< 16 MiB within 10 s", back and took_s <= 10),
    ]
    failures = list(small["failed"])
    if set(statuses) - {202, 429} or statuses.get(202, 0) != taken:
        failures.append(f"burst: answers {statuses}, {taken} posts at the receiver")
    return rows, failures


def large_body(directory):
    """A beacon of just under 5 MiB, the default limit, plain: larger than any that the SDK writes."""
    line = {"message": "x" * 1000, "level": "info", "timestamp": "2026-11-22T17:00:00.000Z", "context": {}}
    beacon = {"meta": {"app": {"name": "browser"}}, "logs": []}
    room = (5 << 20) - 1024 - len(json.dumps(beacon))
    beacon["logs"] = [line] * (room // (len(json.dumps(line)) + 2))
    with open(os.path.join(directory, "bench-full.json"), "w") as file:
        json.dump(beacon, file)
    return load.Body(directory, "full", "plain")


def burst(candidate, body, application):
    watch = throughput.MemoryWatch([application])
    watch.start()
    statuses = load.post_together(candidate.nginx.port, body, 1, 64)
    return statuses, watch.stop().most_kib(application.name)


def cgi(_put_up, directory, binary, beacons, _seconds):
    """One process a beacon: from exec to exit, the receiver's answer included."""
    if not os.path.exists(binary):
        raise Missing(f"there is no faro-ingest at {binary} (build it, or give --binary)")
    receiver = FastReceiver(directory)
    body = load.Body(beacons, "small", "gzip")
    env = dict(OUR_ENV, GATEWAY_INTERFACE="CGI/1.1", REQUEST_METHOD="POST", SCRIPT_NAME="/faro/collect",
               CONTENT_TYPE="application/json", CONTENT_ENCODING="gzip", HTTP_CONTENT_ENCODING="gzip",
               CONTENT_LENGTH=str(len(body.bytes)), HTTP_SEC_FETCH_SITE="same-origin",
               FARO_UPSTREAM_URL=f"http://127.0.0.1:{receiver.port}/collect", PATH=os.environ["PATH"])
    times, failures = [], []
    try:
        before = receiver.posts()
        for _ in range(50):
            started = time.monotonic()
            ended = subprocess.run([binary], input=body.bytes, capture_output=True, env=env, timeout=30)
            times.append((time.monotonic() - started) * 1e3)
            if ended.returncode != 0 or not ended.stdout.startswith(b"Status: 202"):
                failures.append(f"cgi: exit {ended.returncode}: {ended.stdout[:200]!r} {ended.stderr[:200]!r}")
                break
        if not failures and receiver.posts() - before != len(times):
            failures.append(f"cgi: {len(times)} beacons, {receiver.posts() - before} posts")
    finally:
        receiver.stop()
    times.sort()
    p95_ms = times[int(len(times) * 0.95)]
    return [row("CGI, exec to exit", f"p50 {statistics.median(times):.1f} ms, p95 {p95_ms:.1f} ms",
                "<= 20 ms", p95_ms <= 20)], failures


def spool(put_up, directory, _binary, beacons, seconds):
    """The receiver is away, and comes back."""
    return outage(put_up, directory, beacons, seconds, row)


def crawler_map(put_up, directory, binary, beacons, seconds):
    """nginx looks at each User-Agent."""
    return crawlers(put_up, directory, binary, beacons, seconds, row)


ALL = {"slow": slow, "overload": overload, "memory": memory, "cgi": cgi, "outage": spool, "crawlers": crawler_map}
