# SPDX-License-Identifier: Apache-2.0
"""The correctness form: every answer is 202, and every beacon is counted, labelled, at the receiver."""

import sys
import time

from . import load
from .stage import Missing, SlowReceiver, Stage

BEACONS = {"small": 40, "medium": 20, "large": 5}
CONNECTIONS = 8


def run(names, bodies, directory, binary, installed):
    """→ number of candidates that passed, list of failures."""
    receiver = SlowReceiver(directory)
    stage = Stage(directory, receiver.port, binary, installed)
    passed, failures = 0, []
    try:
        for name in names:
            found = check(stage, receiver, name, bodies)
            failures += found
            passed += not found
    finally:
        receiver.stop()
    return passed, failures


def check(stage, receiver, name, bodies):
    started = time.monotonic()
    try:
        candidate = stage.start(name)
    except Missing as why:
        print(f"MISSING  {name}: {why}", file=sys.stderr)
        return [f"{name}: could not be started: {why}"]
    try:
        found = [f"{name}, {body.name}: {problem}" for body in bodies
                 for problem in check_body(candidate, receiver, candidate.sent(body))]
    finally:
        candidate.stop()
    total = sum(BEACONS[body.size] * CONNECTIONS for body in bodies)
    print(f"{'FAILED' if found else 'ok':7s}  {name}: {total} beacons in "
          f"{time.monotonic() - started:.1f} s")
    return found


def check_body(candidate, receiver, body):
    before = receiver.counts()
    statuses = load.post_together(candidate.nginx.port, body, BEACONS[body.size], CONNECTIONS)
    after = receiver.counts()
    sent = BEACONS[body.size] * CONNECTIONS
    if statuses != {202: sent}:
        yield f"{sent} sent, answers {statuses}"
    if after["posts"] - before["posts"] != sent:
        yield f"{sent} sent, {after['posts'] - before['posts']} at the receiver"
    labelled = after["labelled"] - before["labelled"]
    if labelled != sent and candidate.name not in ("raw", "floor"):
        yield f"{sent} sent, {labelled} arrived with all labels"
