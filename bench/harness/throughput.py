# SPDX-License-Identifier: Apache-2.0
"""The main measurement: each candidate, each body, several rounds in turn; medians of the rounds.

Absolute times drift on a shared machine, so the candidates take turns within a round, and what counts
is the ratio to raw proxy_pass and to the floor in the same round, by its median with least and most. CPU of wrk and of the receiver is not counted.
"""

import statistics
import sys
import threading
import time

from . import load
from .stage import FastReceiver, Missing, Stage


class MemoryWatch(threading.Thread):
    """RssAnon while the load runs, by looking ten times a second."""

    def __init__(self, processes):
        super().__init__(daemon=True)
        self.processes, self.ended = processes, threading.Event()
        self.samples = {p.name: [] for p in processes}

    def run(self):
        while not self.ended.wait(0.1):
            for process in self.processes:
                self.samples[process.name].append(process.memory_kib("RssAnon"))

    def stop(self):
        self.ended.set()
        self.join()
        return self

    def most_kib(self, name):
        return max(self.samples.get(name) or [0])

    def grown_kib(self, name):
        """What the second half of the run needed more than the first."""
        samples = self.samples.get(name) or [0, 0]
        half = len(samples) // 2
        return max(samples[half:]) - max(samples[:half] or [0])


def measure(candidate, receiver, body, seconds, warm_seconds=1, others=0, **wrk_options):
    """One warm-up and one measured run. Problems are in ["failed"], empty when all is well. The receiver may get
    up to `others` beacons besides, from a spool."""
    load.wrk(candidate.url, body, warm_seconds, **wrk_options)
    before_posts = load.settled(receiver)
    for process in candidate.processes():
        process.reset_peak()
    watch = MemoryWatch(candidate.processes())
    watch.start()
    before_cpu = {p.name: p.cpu_us() for p in candidate.processes()}
    result = load.wrk(candidate.url, body, seconds, **wrk_options)
    posts = load.settled(receiver) - before_posts
    cpu = {p.name: p.cpu_us() - before_cpu[p.name] for p in candidate.processes()}
    watch.stop()
    peak = {p.name: p.memory_kib("VmHWM") for p in candidate.processes()}

    connections = wrk_options.get("connections", load.CONNECTIONS)
    beacons = max(posts, 1)
    return {
        "beacons_per_s": (result["requests"] - result["http_errors"]) / result["seconds"],
        "refused": result["http_errors"],
        "p50_ms": result["p50_ms"], "p99_ms": result["p99_ms"],
        "nginx_us": cpu["nginx"] / beacons,
        "application_us": cpu.get("application", 0) / beacons,
        "cpu_us": sum(cpu.values()) / beacons,
        "peak_kib": sum(peak.values()), "anon_kib": sum(map(watch.most_kib, watch.samples)),
        "application_anon_kib": watch.most_kib("application"),
        "application_grown_kib": watch.grown_kib("application"),
        "requests": result["requests"], "posts": posts,
        "failed": problems(result, posts, connections + others),
    }


def problems(result, posts, more):
    found = []
    if result["http_errors"] or result["socket_errors"]:
        found.append(f"{result['http_errors']} error statuses, {result['socket_errors']} socket errors")
    # wrk hangs up at the end: what was under way may still reach the receiver, one a connection.
    if not result["requests"] <= posts <= result["requests"] + more:
        found.append(f"{result['requests']} answers, but {posts} posts at the receiver")
    return found


def run(names, bodies, rounds, seconds, directory, binary, installed):
    """→ (results {body name: {candidate: medians}}, missing {candidate: why}, failures)."""
    receiver = FastReceiver(directory)
    stage = Stage(directory, receiver.port, binary, installed)
    candidates, missing = {}, {}
    try:
        for name in names:
            try:
                candidates[name] = stage.start(name)
            except Missing as why:
                missing[name] = str(why)
                print(f"MISSING: {name}: {why}", file=sys.stderr)
        samples = {body.name: {name: [] for name in candidates} for body in bodies}
        started = time.monotonic()
        for number in range(rounds):
            for body in bodies:
                turn = list(candidates)
                for name in turn[number % len(turn):] + turn[:number % len(turn)]:
                    sample = measure(candidates[name], receiver, candidates[name].sent(body), seconds)
                    samples[body.name][name].append(sample)
                    print(f"[{time.monotonic() - started:5.0f} s] round {number + 1}/{rounds} "
                          f"{body.name:13s} {name:15s} {sample['beacons_per_s']:8.0f}/s "
                          f"{sample['cpu_us']:8.1f} us {' '.join(sample['failed'])}",
                          file=sys.stderr)
    finally:
        for candidate in candidates.values():
            candidate.stop()
        receiver.stop()
    return (*summarise(samples), missing)


MEDIANS = ("beacons_per_s", "p50_ms", "p99_ms", "nginx_us", "application_us", "cpu_us")
# Bodies come in order of size, and memory is rarely given back: only the first round tells it apart.
FIRST_ROUND = ("peak_kib", "anon_kib", "application_anon_kib")
RATIOS = (("cpu_us", "raw"), ("cpu_us", "floor"), ("cpu_us", "lua"), ("cpu_us", "express-undici"),
          ("beacons_per_s", "raw"))


def summarise(samples):
    results, failures = {}, []
    for body, by_name in samples.items():
        results[body] = {}
        for name, runs in by_name.items():
            row = {key: statistics.median(r[key] for r in runs) for key in MEDIANS}
            row.update({key: runs[0][key] for key in FIRST_ROUND})
            for key, other in RATIOS:
                row[f"{key}_to_{other}"] = ratio(by_name, name, key, other)
            row["failed"] = sorted({problem for r in runs for problem in r["failed"]})
            failures += [f"{name}, {body}: {problem}" for problem in row["failed"]]
            results[body][name] = row
    return results, failures


def ratio(by_name, name, key, other):
    """Median, least and most of the ratios within each round; None where the other was not measured."""
    if other not in by_name:
        return None
    ratios = [run[key] / max(peer[key], 1e-9) for run, peer in zip(by_name[name], by_name[other])]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
