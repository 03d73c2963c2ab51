# SPDX-License-Identifier: Apache-2.0
"""What was measured last is kept in bench/results/, a file for each scenario. The tables of RESULTS.md and the
drawings are made from these files alone, so one run renews all of them.

In RESULTS.md a table stands between `<!-- measured: NAME -->` and `<!-- end -->`; what is written there by
hand is lost.
"""

import json
import os
import platform
import re
import subprocess
import time

from . import growth_plot, load, plot, report
from .stage import HERE, TITLES, need, node

KEPT = os.path.join(HERE, "results")
ORDER = ("throughput", "slow", "overload", "memory", "cgi", "outage", "crawlers", "growth")
BODIES = [f"{size} {coding}" for coding in load.CODINGS for size in load.SIZES]


def keep(scenario, figures, options):
    os.makedirs(KEPT, exist_ok=True)
    about = {"date": time.strftime("%Y-%m-%d"), "rounds": options.rounds, "seconds": options.seconds,
             "with": versions(options.installed)}
    with open(os.path.join(KEPT, scenario + ".json"), "w") as file:
        file.write(json.dumps({"about": about, "figures": figures}, indent=1) + "\n")


def versions(installed):
    """Of what a figure depends on beside our own program."""
    def packages(path):
        with open(os.path.join(HERE, path)) as file:
            return file.read()
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", packages("peers/fastapi/requirements.txt"), re.MULTILINE))
    npm = json.loads(packages("peers/express/package.json"))["dependencies"]
    nginx = output([need("nginx", "nginx-light"), "-v"]).rpartition("/")[2]
    found = {"processor": f"{processor()}, {os.cpu_count()} cores", "kernel": platform.release().partition("-")[0], "nginx": nginx,
             "Express": npm["express"], "undici": npm["undici"],
             "Node": output([node(os.path.join(installed, "express")), "--version"]).lstrip("v")}
    for name in ("fastapi", "uvicorn", "httpx", "uvloop", "httptools", "orjson"):
        found[name] = pins[name]
    for package in ("libnginx-mod-http-lua", "lua-zlib", "lua-cjson"):
        found[package] = output(["dpkg-query", "-W", "-f", "${Version}", package])
    return found


def output(argv):
    try:
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=10)
    except OSError:
        return "?"
    return (ended.stdout + ended.stderr).strip() or "?"


def processor():
    with open("/proc/cpuinfo") as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def kept(scenario):
    try:
        with open(os.path.join(KEPT, scenario + ".json")) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def renew():
    """Makes the tables and drawings anew from what is kept."""
    for path, text in made().items():
        with open(path, "w") as file:
            file.write(text)


def made():
    """→ {path: text} of RESULTS.md and the drawings, as what is kept has them."""
    found = {name: kept(name) for name in ORDER}
    files, blocks = {}, {}
    if found["throughput"]:
        results = found["throughput"]["figures"]
        blocks["throughput"] = throughput(found["throughput"])
        files[os.path.join(HERE, "plot.svg")] = plot.draw(results)
    rows = [row for name in ORDER[1:-1] if found[name] for row in found[name]["figures"]]
    if rows:
        blocks["scenarios"] = table([("", "measured", "goal", "")] + [goal_cells(row) for row in rows])
    if found["growth"]:
        blocks["growth"] = growth(found["growth"]["figures"])
        files[os.path.join(HERE, "growth.svg")] = growth_plot.draw(found["growth"]["figures"])
    path = os.path.join(HERE, "RESULTS.md")
    with open(path) as file:
        text = file.read()
    for name, block in blocks.items():
        text = replaced(text, name, block)
    return dict(files, **{path: text})


def replaced(text, name, block):
    start, end = f"<!-- measured: {name} -->\n", "<!-- end -->"
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"RESULTS.md has no place for {name}")
    return f"{before}{start}{block}\n{end}{after}"


def table(rows):
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *rest])


def goal_cells(row):
    return row["what"], str(row["value"]), row["goal"].replace(">=", "≥").replace("<=", "≤"), \
        "reached" if row["reached"] else "**missed**"


def throughput(record):
    results, about = record["figures"], record["about"]
    bodies = [body for body in BODIES if body in results]
    names = [name for name in TITLES if any(name in results[body] for body in bodies)]
    head = ("", *bodies)

    def figures(cell, chosen=names):
        return table([head] + [(TITLES[name], *(cell(results[body].get(name), body) for body in bodies))
                               for name in chosen])
    with_floor = [name for name in ("include", "include-2", "sidecar", "lua") if name in names]
    return "\n\n".join([
        f"Taken on {about['date']}: {about['rounds']} rounds of {about['seconds']} s each. "
        + ", ".join(f"{name} {version}" for name, version in about["with"].items()) + ".",
        "CPU per beacon as a multiple of proxy_pass of the body as it came: median, least and most of the rounds. "
        "Where the body is plain, the floor is proxy_pass measured a second time.",
        figures(lambda row, _: report.spread(row and row["cpu_us_to_raw"])),
        "CPU per beacon as a multiple of the floor:",
        figures(lambda row, _: report.spread(row and row["cpu_us_to_floor"]), with_floor),
        "CPU per beacon in µs, and beacons a second:",
        figures(lambda row, _: "-" if not row else f"{row['cpu_us']:.0f} µs, {row['beacons_per_s']:.0f}/s"),
        "Latency with 64 connections, p50 and p99 in ms, and peak memory of nginx and the application:",
        figures(lambda row, _: "-" if not row else
                f"{row['p50_ms']:.1f}, {row['p99_ms']:.1f}; {row['peak_kib'] / 1024:.0f} MiB"),
        "Goals; the median decides:",
        table([("", "measured", "goal", "")] + [goal_cells(row) for row in report.goals(results)]),
    ])


def growth(axes):
    parts = []
    for axis, found in axes.items():
        xs = [point["x"] for point in next(iter(found["series"].values()))]
        rows = [(growth_plot.NAMES[axis], *(growth_plot.short(x, found["unit"]) for x in xs))]
        for series, points in found["series"].items():
            rows.append((f"{series}: beacons/s", *(f"{point['beacons_per_s']:.0f}" for point in points)))
            rows.append(("p99 ms", *(f"{point['p99_ms']:.{1 if point['p99_ms'] < 100 else 0}f}" for point in points)))
            rows.append(("CPU µs a beacon", *(f"{point['cpu_us']:.0f}" for point in points)))
            if any(point["refused"] for point in points):
                rows.append(("429, of all answers", *(share(point) for point in points)))
            if "start_ms" in points[0]:
                rows.append(("from exec to the first 202, ms", *(f"{point['start_ms']:.0f}" for point in points)))
        parts.append(table(rows))
    return "\n\n".join(parts)


def share(point):
    total = point["answers"]
    return f"{point['refused'] / total:.2%}" if total else "-"
