# SPDX-License-Identifier: Apache-2.0
"""Tables for people, and the goals that the figures are held against."""

from .stage import TITLES

HEAD = ("", "beacons/s", "p50 ms", "p99 ms", "nginx us", "app us", "CPU us", "x raw", "peak MiB", "anon MiB")
OURS = ("include", "include-2", "sidecar")


def print_throughput(results):
    for body, rows in results.items():
        print(f"\n{body}")
        table = [HEAD]
        for name, row in rows.items():
            ratio = row["cpu_us_to_raw"]
            table.append((
                TITLES[name], f"{row['beacons_per_s']:.0f}", f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}",
                f"{row['nginx_us']:.1f}", f"{row['application_us']:.1f}", f"{row['cpu_us']:.1f}",
                "-" if ratio is None else f"{ratio:.2f}", f"{row['peak_kib'] / 1024:.1f}",
                f"{row['anon_kib'] / 1024:.1f}" + (" FAILED" if row["failed"] else "")))
        print_table(table)


def print_table(table):
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table:
        print("  " + row[0].ljust(widths[0]) + "".join(
            "  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:])))


def print_scenario(rows):
    for row in rows:
        print(f"  {'reached' if row['reached'] else 'MISSED ':7s}  {row['what']}: {row['value']}"
              f"  (goal: {row['goal']})")


def missed(rows):
    return [f"goal missed: {row['what']}: {row['value']} (goal: {row['goal']})"
            for row in rows if not row["reached"]]


def goals(results):
    """Rows for the goals on throughput that these results can tell about."""
    rows = []
    limits = {"small": (2.5, 0.75), "medium": (3.3, 0.35), "large": (8.0, 0.12)}
    for size, (to_raw, to_lua) in limits.items():
        by_name = results.get(f"{size} gzip", {})
        for name in OURS:
            ours = by_name.get(name)
            if ours and name != "include-2":
                rows += cpu_goals(f"{size} gzip, {name}", ours, by_name, to_raw, to_lua)
    small = results.get("small gzip", {})
    best = max((small[name]["beacons_per_s_to_raw"] or 0 for name in OURS if name in small), default=0)
    if best:
        rows.append(goal("small gzip: beacons/s to raw, best number of workers", best, 0.5, at_least=True))
    return rows


def cpu_goals(what, ours, by_name, to_raw, to_lua):
    if "raw" in by_name:
        yield goal(f"{what}: CPU to raw proxy_pass", ours["cpu_us_to_raw"], to_raw)
    if "lua" in by_name:
        yield goal(f"{what}: CPU to Lua in nginx", ours["cpu_us"] / by_name["lua"]["cpu_us"], to_lua)
    if "express-undici" in by_name:
        yield goal(f"{what}: CPU of Express + undici to ours",
                   by_name["express-undici"]["cpu_us"] / ours["cpu_us"], 9, at_least=True)


def goal(what, value, limit, at_least=False):
    reached = value >= limit if at_least else value <= limit
    return {"what": what, "value": f"{value:.2f}", "goal": f"{'>=' if at_least else '<='} {limit}",
            "reached": reached}
