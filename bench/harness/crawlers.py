# SPDX-License-Identifier: Apache-2.0
"""What nginx pays for the map of crawlers, faro-crawlers.conf, when a usual browser posts a beacon.

Short runs without and with it take turns, and each pair gives one ratio: what else the machine does
changes slowly against that. The interval comes from drawing the pairs again, with replacement.
"""

import random
import statistics

from . import load
from .stage import FastReceiver

PAIRS = 60
SECONDS = 1


def run_once(candidate, body):
    before = candidate.nginx.cpu_us()
    result = load.wrk(candidate.url, body, SECONDS)
    return (result["requests"] / result["seconds"], (candidate.nginx.cpu_us() - before) / result["requests"],
            result["http_errors"] + result["socket_errors"])


def interval(ratios):
    """The median, and where 95 of 100 medians of pairs drawn again lie."""
    drawn = random.Random(1)
    medians = sorted(statistics.median(drawn.choices(ratios, k=len(ratios))) for _ in range(4000))
    return statistics.median(ratios), medians[100], medians[3899]


def crawlers(put_up, directory, _binary, beacons, _seconds, row):
    body = load.Body(beacons, "small", "gzip")
    receiver = FastReceiver(directory)
    without, with_map = put_up(receiver), put_up(receiver, {"BENCH_CRAWLERS": "1"})
    rates, cpu, errors = [], [], 0
    try:
        for pair in range(PAIRS):
            order = (without, with_map) if pair % 2 else (with_map, without)
            found = {candidate: run_once(candidate, body) for candidate in order}
            rates.append(found[with_map][0] / found[without][0])
            cpu.append(found[with_map][1] / found[without][1])
            errors += found[with_map][2] + found[without][2]
    finally:
        for candidate in (without, with_map):
            candidate.stop()
        receiver.stop()
    rate, low, high = interval(rates)
    cpu, cpu_low, cpu_high = interval(cpu)
    value = (f"{rate:.3f} of the beacons/s without ({low:.3f} to {high:.3f}), {cpu:.2f} times the CPU of nginx "
             f"({cpu_low:.2f} to {cpu_high:.2f})")
    return ([row("map of crawlers", value, ">= 0.95 of the rate", rate >= 0.95)],
            [f"map of crawlers: {errors} errors"] if errors else [])
