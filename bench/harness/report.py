# SPDX-License-Identifier: Apache-2.0
"""Tables for people, and the goals that the figures are held against."""

from .stage import TITLES

HEAD = ("", "beacons/s", "p50 ms", "p99 ms", "nginx us", "app us", "CPU us", "x raw", "x floor", "peak MiB", "anon MiB")
OURS = ("include", "include-2", "sidecar")


def print_throughput(results):
    for body, rows in results.items():
        print(f"\n{body}")
        table = [HEAD]
        for name, row in rows.items():
            table.append((
                TITLES[name], f"{row['beacons_per_s']:.0f}", f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}",
                f"{row['nginx_us']:.1f}", f"{row['application_us']:.1f}", f"{row['cpu_us']:.1f}",
                spread(row["cpu_us_to_raw"]), spread(row["cpu_us_to_floor"]), f"{row['peak_kib'] / 1024:.1f}",
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


def spread(ratio, digits=2):
    """A ratio with least and most, as 2.05 (2.01–2.10)."""
    if ratio is None:
        return "-"
    return "{median:.{n}f} ({min:.{n}f}–{max:.{n}f})".format(n=digits, **ratio)


# CPU of nginx and ours: gzip to raw proxy_pass, gzip to the floor, plain to proxy_pass, gzip to Lua.
GOALS = {"small": (2.0, 1.85, 1.75, 0.62), "medium": (2.8, 2.2, 2.4, 0.23), "large": (10.5, 1.3, 2.0, 0.095)}


def goals(results):
    """Rows for the goals on throughput that these results can tell about; the median decides."""
    rows = []
    for size, (to_raw, to_floor, plain, to_lua) in GOALS.items():
        for name in ("include", "sidecar"):
            for coding, key, what, limit in (
                    ("gzip", "cpu_us_to_raw", "raw proxy_pass", to_raw),
                    ("gzip", "cpu_us_to_floor", "the floor", to_floor),
                    ("plain", "cpu_us_to_raw", "proxy_pass", plain),
                    ("gzip", "cpu_us_to_lua", "Lua in nginx", to_lua)):
                ratio = results.get(f"{size} {coding}", {}).get(name, {}).get(key)
                if ratio:
                    rows.append(goal(f"{size} {coding}, {name}: CPU to {what}", ratio, limit))
    small = results.get("small gzip", {})
    rates = [small[name]["beacons_per_s_to_raw"] for name in OURS
             if name in small and small[name]["beacons_per_s_to_raw"]]
    if rates:
        rows.append(goal("small gzip: beacons/s to raw, best number of workers",
                         max(rates, key=lambda rate: rate["median"]), 0.5, at_least=True))
    return rows


def goal(what, ratio, limit, at_least=False):
    reached = ratio["median"] >= limit if at_least else ratio["median"] <= limit
    return {"what": what, "value": spread(ratio, 3 if limit < 0.1 else 2),
            "goal": f"{'>=' if at_least else '<='} {limit}", "reached": reached}
