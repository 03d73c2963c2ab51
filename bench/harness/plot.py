# SPDX-License-Identifier: Apache-2.0
"""The README's drawing: CPU per beacon as a ratio to raw proxy_pass, on a logarithmic axis."""

import math
from xml.sax.saxutils import escape

from .stage import TITLES

SIZES = (("small gzip", "3 KB"), ("medium gzip", "18 KB"), ("large gzip", "230 KB"))
ORDER = ("floor", "include", "sidecar", "lua", "express-undici", "express-fetch", "fastapi")
LEFT, RIGHT, ROW, BAR, TOP = 220, 60, 46, 10, 56
WIDTH = 760
SHADES = ("1", ".72", ".46")
STYLE = """<style>
.ink { fill: #57606a } .paper { fill: #fff } .ours { fill: #1a7f5a } .peer { fill: #8a8f98 }
.grid { stroke: #57606a; stroke-opacity: .25 }
.line0, .line1 { fill: none; stroke-width: 1.6; stroke: #1a7f5a } .line1 { stroke: #8a8f98 }
.dot0 { fill: #1a7f5a } .dot1 { fill: #8a8f98 }
@media (prefers-color-scheme: dark) {
.ink { fill: #adb5bf } .paper { fill: #15191f } .ours, .dot0 { fill: #3fb886 } .line0 { stroke: #3fb886 }
.grid { stroke: #adb5bf }
}
</style>"""


def draw(results):
    names = [n for n in ORDER if any(n in results.get(body, {}) for body, _ in SIZES)]
    ratios = {(n, body): results[body][n]["cpu_us_to_raw"]["median"] for n in names for body, _ in SIZES
              if n in results.get(body, {}) and results[body][n]["cpu_us_to_raw"]}
    top = 10 ** math.ceil(math.log10(max(ratios.values(), default=10)))
    height = TOP + ROW * len(names) + 34

    def x(ratio):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(max(ratio, 1)) / math.log10(top)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
             f'font-family="system-ui, sans-serif" font-size="12" class="ink" role="img" '
             'aria-label="CPU per beacon as a multiple of nginx proxy_pass">',
             STYLE, f'<rect width="{WIDTH}" height="{height}" rx="6" class="paper"/>',
             text(16, 20, "CPU per beacon, nginx and application, as a multiple of plain proxy_pass",
                  size=14),
             text(16, 38, "gzip bodies; shorter is better; logarithmic")]
    parts += legend()
    for power in range(int(math.log10(top)) + 1):
        at = x(10 ** power)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{height - 28}" '
                     'class="grid"/>')
        parts.append(text(at, height - 12, f"{10 ** power}&#215;", anchor="middle"))
    for i, name in enumerate(names):
        y = TOP + i * ROW + 6
        parts.append(text(LEFT - 10, y + BAR * 1.5 + 4, escape(TITLES[name]), anchor="end",
                          weight="600" if name in ("include", "sidecar") else "400", size=11))
        for j, (body, _) in enumerate(SIZES):
            if (name, body) in ratios:
                parts += bar(x, y + j * (BAR + 2), name, ratios[name, body], SHADES[j])
    return "\n".join(parts + ["</svg>"]) + "\n"


def bar(x, y, name, ratio, opacity):
    colour = "ours" if name in ("include", "sidecar") else "peer"
    return [f'<rect x="{LEFT}" y="{y:.1f}" width="{max(x(ratio) - LEFT, 1):.1f}" height="{BAR}" rx="2" '
            f'class="{colour}" fill-opacity="{opacity}"/>',
            text(x(ratio) + 4, y + BAR - 1, f"{ratio:.3g}", size=10)]


def legend():
    for j, (_, label) in enumerate(SIZES):
        at = WIDTH - 210 + j * 66
        yield (f'<rect x="{at}" y="30" width="10" height="10" rx="2" class="ink" '
               f'fill-opacity="{SHADES[j]}"/>')
        yield text(at + 14, 39, label, size=11)


def text(x, y, words, anchor="start", size=12, weight="400"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'font-weight="{weight}">{words}</text>')
