# SPDX-License-Identifier: Apache-2.0
"""The drawing of growth.py's figures: an axis in each row; beacons/s, p99 and CPU in its columns. Both scales
are logarithmic; an x of 0 stands one step before the first."""

import math

from .plot import STYLE, text

NAMES = {"connections": "connections", "body": "bytes of JSON", "labels": "further labels",
         "workers": "workers", "spool": "MiB spooled"}
COLUMNS = (("beacons_per_s", "beacons/s"), ("p99_ms", "p99 ms"), ("cpu_us", "CPU µs a beacon"))
WIDTH, LEFT, TOP, PANEL_W, PANEL_H, GAP_X, GAP_Y = 760, 46, 56, 196, 84, 48, 52


def short(x, unit=""):
    if unit == "bytes":
        return f"{x / 1e6:.0f} M" if x >= 999500 else f"{x / 1e3:.0f} k"
    return f"{x / 1024:.0f} GiB" if unit == "MiB" and x >= 1024 else f"{x}"


def draw(axes):
    height = TOP + len(axes) * (PANEL_H + GAP_Y)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             'font-family="system-ui, sans-serif" font-size="12" class="ink" role="img" '
             'aria-label="Rate, p99 and CPU of faro-ingest as connections, bodies, labels, workers and the spool grow">',
             STYLE, f'<rect width="{WIDTH}" height="{height}" rx="6" class="paper"/>',
             text(16, 20, "faro-ingest, include, as one thing grows at a time", size=14),
             text(16, 38, "two cores for nginx, faro-ingest, load and receiver; logarithmic")]
    for i, (axis, found) in enumerate(axes.items()):
        for j, (key, title) in enumerate(COLUMNS):
            parts += panel(LEFT + j * (PANEL_W + GAP_X), TOP + i * (PANEL_H + GAP_Y) + 14, found, key,
                           f"{title}, by {NAMES[axis]}", legend=j == 0)
    return "\n".join(parts + ["</svg>"]) + "\n"


def positions(xs):
    """x → between 0 and 1. A step before the first is where 0 stands."""
    some = [x for x in xs if x > 0]
    zero = some[0] / (some[1] / some[0])
    logs = [math.log(x if x > 0 else zero) for x in xs]
    return {x: (at - logs[0]) / (logs[-1] - logs[0]) for x, at in zip(xs, logs)}


def around(least, most):
    """The ticks of an axis: 1, 2, 5, 10, …, or powers of ten where that is enough. It spans a decade at least, so
    that what is level looks level."""
    steps = [digit * 10.0 ** power for power in range(-3, 8) for digit in (1, 2, 5)]
    first = max(i for i, step in enumerate(steps) if step <= least)
    last = max(min(i for i, step in enumerate(steps) if step >= most), first + 3)
    if last - first > 5:
        first, last = first - first % 3, last + -last % 3
        return steps[first:last + 1:3]
    return steps[first:last + 1]


def panel(left, top, found, key, title, legend):
    series = found["series"]
    values = [point[key] for points in series.values() for point in points if point[key] > 0]
    ticks = around(min(values), max(values))
    low, high = math.log10(ticks[0]), math.log10(ticks[-1])
    at = positions([point["x"] for point in next(iter(series.values()))])

    def y(value):
        return top + PANEL_H * (1 - (math.log10(max(value, ticks[0])) - low) / (high - low))
    yield text(left, top - 8, title, size=11, weight="600")
    for tick in ticks:
        yield f'<line x1="{left}" x2="{left + PANEL_W}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" class="grid"/>'
        yield text(left - 4, y(tick) + 3, f"{tick:g}" if tick < 1e4 else f"{tick / 1e3:g} k", anchor="end", size=9)
    for x, share in at.items():
        yield text(left + PANEL_W * share, top + PANEL_H + 13, short(x, found["unit"]), anchor="middle", size=9)
    for n, (name, points) in enumerate(series.items()):
        places = [(left + PANEL_W * at[point["x"]], y(point[key])) for point in points]
        line = " ".join(f"{x:.1f},{height:.1f}" for x, height in places)
        yield f'<polyline points="{line}" class="line{n}"/>'
        for x, height in places:
            yield f'<circle cx="{x:.1f}" cy="{height:.1f}" r="2.2" class="dot{n}"/>'
        if legend and len(series) > 1:
            yield f'<circle cx="{left + 4 + n * 84}" cy="{top + PANEL_H + 24}" r="3" class="dot{n}"/>'
            yield text(left + 12 + n * 84, top + PANEL_H + 27, name, size=10)
