# SPDX-License-Identifier: Apache-2.0
"""How rate, p99 and CPU change with connections, body size, labels, workers and what the spool holds.

Ours in include form, without what other candidates share a round with. → {axis: {"unit", "series": {name:
[point]}}}, and a list of failures.
"""

import base64
import gzip
import itertools
import json
import os
import random
import resource
import sys
import time

from . import load, throughput
from .outage import Later, mib
from .procs import wait_until
from .stage import OUR_ENV, FastReceiver, Stage

CONNECTIONS = (1, 4, 16, 64, 256, 1024, 4096)
SIZES = (1000, 4000, 16000, 64000, 250000, 1000000, 5000000)
LABELS = (0, 1, 4, 16, 64, 256)
WORKERS = (1, 2, 3, 4)
SPOOL_MIB = (0, 1, 16, 256, 1024)
REPLAY_RATE = 1  # so that the spool stays as full as it is
WITH_THREADS_MIB = 16  # up to here they come by the dozen; beyond, wrk fills a second at a time


class Growth:
    def __init__(self, directory, binary, installed, beacons, seconds):
        self.directory, self.binary, self.installed = directory, binary, installed
        self.beacons, self.seconds = beacons, seconds
        self.axes, self.failures, self.places = {}, [], itertools.count()

    def put_up(self, receiver, env=None):
        place = os.path.join(self.directory, f"growth-{next(self.places)}")
        os.makedirs(place)
        return Stage(place, receiver.port, self.binary, self.installed).start(
            "include", dict(env or {}, BENCH_NGINX_CONNECTIONS="16384"))

    def note(self, axis, unit, series, x, point, refusals_fail=True):
        kept = {key: point[key] for key in ("beacons_per_s", "p50_ms", "p99_ms", "cpu_us", "refused", "start_ms")
                if key in point}
        kept["answers"] = point["requests"]
        self.axes.setdefault(axis, {"unit": unit, "series": {}})["series"].setdefault(series, []).append(
            dict(kept, x=x))
        if refusals_fail or not point["refused"]:
            self.failures += [f"growth, {axis} {x}, {series}: {problem}" for problem in point["failed"]]
        print(f"growth: {axis:12s} {x:>10} {series:12s} {point['beacons_per_s']:8.0f}/s "
              f"p99 {point['p99_ms']:8.2f} ms {point['cpu_us']:8.1f} us, {point['refused']} refused", file=sys.stderr)

    def measured(self, receiver, body, env=None, **wrk_options):
        candidate = self.put_up(receiver, env)
        try:
            return throughput.measure(candidate, receiver, body, self.seconds, **wrk_options)
        finally:
            candidate.stop()

    def connections(self, receiver):
        body = load.Body(self.beacons, "small", "gzip")
        for count in CONNECTIONS:
            point = self.measured(receiver, body, connections=count)
            self.note("connections", "", "small gzip", count, point, refusals_fail=False)

    def sizes(self, receiver):
        for size in SIZES:
            plain = beacon(os.path.join(self.beacons, "bench-large.json"), size)
            for coding, content in (("plain", plain), ("gzip", gzip.compress(plain, 6, mtime=0))):
                with open(os.path.join(self.directory, f"bench-{size}.json" + (".gz" if coding == "gzip" else "")),
                          "wb") as file:
                    file.write(content)
            for coding in load.CODINGS:
                body = load.Body(self.directory, str(size), coding)
                self.note("body", "bytes", coding, len(plain), self.measured(receiver, body, connections=8))

    def labels(self, receiver):
        body = load.Body(self.beacons, "medium", "gzip")
        for count in LABELS:
            keys = [f"bench.label.{n}" for n in range(count)]
            env = {}
            if keys:
                env = {"FARO_LABEL_ATTRIBUTES": ",".join(keys),
                       "OTEL_RESOURCE_ATTRIBUTES": ",".join(
                           [OUR_ENV["OTEL_RESOURCE_ATTRIBUTES"], *(f"{key}=value" for key in keys)])}
            self.note("labels", "", "medium gzip", count, self.measured(receiver, body, env))

    def workers(self, receiver):
        for size in ("small", "large"):
            for count in WORKERS:
                point = self.measured(receiver, load.Body(self.beacons, size, "gzip"), {"FARO_WORKERS": str(count)})
                self.note("workers", "", f"{size} gzip", count, point)

    def spool(self):
        small, filler = load.Body(self.beacons, "small", "gzip"), self.filler()
        for size in SPOOL_MIB:
            place = Later(self.directory)
            spool = os.path.join(self.directory, f"growth-spool-{size}")
            candidate = self.put_up(place, {
                "FARO_SPOOL_DIR": spool, "FARO_SPOOL_MAX_BYTES": "4GiB", "FARO_REPLAY_RATE": str(REPLAY_RATE),
                "FARO_DRAIN_TIMEOUT_MS": "500"})
            try:
                fill(candidate, filler, spool, size)
                receiver = place.up()
                start_ms = restart(candidate, small)
                live = throughput.measure(candidate, receiver, small, self.seconds, others=10 * REPLAY_RATE)
                held = mib(spool)
                self.note("spool", "MiB", "live", size, dict(live, start_ms=start_ms))
                place.down()
                self.note("spool", "MiB", "stored", size, self.stored(candidate, small))
                print(f"growth: the spool held {held:.0f} MiB; start {start_ms:.0f} ms", file=sys.stderr)
            finally:
                candidate.stop()
                place.down()

    def filler(self):
        """Some 10 KB in the spool, nearly what a large beacon takes, and quick to store: it hardly gets smaller."""
        words = base64.b64encode(random.Random(1).randbytes(13000)).decode()
        with open(os.path.join(self.directory, "bench-filler.json"), "wb") as file:
            file.write(text({"meta": {}, "logs": [{"message": words, "level": "info", "context": {}}]}))
        return load.Body(self.directory, "filler", "plain")

    def stored(self, candidate, body):
        load.wrk(candidate.url, body, 1)  # the breaker opens
        before = sum(process.cpu_us() for process in candidate.processes())
        result = load.wrk(candidate.url, body, self.seconds)
        cpu_us = sum(process.cpu_us() for process in candidate.processes()) - before
        failed = []
        if result["http_errors"] or result["socket_errors"]:
            failed = [f"{result['http_errors']} error statuses, {result['socket_errors']} socket errors"]
        return dict(result, beacons_per_s=result["requests"] / result["seconds"], refused=result["http_errors"],
                    cpu_us=cpu_us / max(result["requests"], 1), failed=failed)


def fill(candidate, body, spool, size):
    """Beacons are stored, as in an outage, until the directory has that many MiB."""
    while mib(spool) < size:
        if size <= WITH_THREADS_MIB:
            load.post_together(candidate.nginx.port, body, 5, 8)
            continue
        load.wrk(candidate.url, body, 2 if size - mib(spool) > 200 else 1)


def restart(candidate, body):
    """Milliseconds from exec to the first 202."""
    candidate.application.stop()
    started = time.monotonic()
    candidate.application = candidate.application.restarted()
    wait_until(lambda: load.post(candidate.nginx.port, body, 1) == {202: 1}, 60, 0.001)
    return (time.monotonic() - started) * 1e3


def beacon(path, size):
    """One of about that many bytes, of the items that a real one has, over and over."""
    with open(path) as file:
        source = json.load(file)
    kinds = [kind for kind in ("logs", "events", "measurements", "exceptions") if source.get(kind)]
    items = [(kind, item) for kind in kinds for item in source[kind]]
    traces = source["traces"]["resourceSpans"][0]
    items += [("spans", span) for scope in traces["scopeSpans"] for span in scope["spans"]]
    items.sort(key=lambda pair: len(json.dumps(pair[1])))
    items = items[:1] + items[1::2] + items[2::2]  # one small first, then short and long ones in turn
    found, total = {}, len(text({"meta": source["meta"]}))
    for kind, item in itertools.cycle(items):
        more = len(text(item)) + 1
        if found and total + more > size:
            break
        found.setdefault(kind, []).append(item)
        total += more
    spans = found.pop("spans", None)
    if spans:
        scope = dict(traces["scopeSpans"][0], spans=spans)
        found["traces"] = {"resourceSpans": [dict(traces, scopeSpans=[scope])]}
    return text({"meta": source["meta"], **found})


def text(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def run(directory, binary, installed, beacons, seconds):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    growth = Growth(directory, binary, installed, beacons, seconds)
    if most != resource.RLIM_INFINITY and most < 3 * max(CONNECTIONS):
        growth.failures.append(f"the limit of open files is {most}: 4096 connections need {3 * max(CONNECTIONS)}")
    receiver = FastReceiver(directory)
    try:
        for measure in (growth.connections, growth.sizes, growth.labels, growth.workers):
            measure(receiver)
    finally:
        receiver.stop()
    growth.spool()
    return growth.axes, growth.failures
