# SPDX-License-Identifier: GPL-2.0
"""Charts for bench-report: SVG text from numbers, with nothing but the standard library.

A chart brings its own background and follows the reader's light or dark scheme. Every
line has a colour and a mark of its own, so that it reads without colour as well.
"""
import math
from xml.sax.saxutils import escape

from bench_lines import bytes_name

WIDTH = 720
LEFT, RIGHT = 64, 24
LINES_HEIGHT = 240               # of the plot of a line chart
BAR, BAR_GAP = 12, 3             # height of a bar, space between two
GROUP_GAP = 12
LEGEND_ROW = 20
LOG_FROM = 12                    # a y axis is logarithmic from this largest over smallest on

# Fill and stroke in the light and in the dark scheme. The first is kmheap's.
COLOURS = [
    ("#0b57d0", "#7cacf8"), ("#b3460b", "#f0a070"), ("#1b7a4b", "#6fcf97"),
    ("#7a3fb0", "#c9a0f0"), ("#a01a58", "#f08ab8"), ("#5f6368", "#b4b8bd"),
    ("#8a6d00", "#e0c050"), ("#00727a", "#60c8d0"),
]
MARKS = "circle", "square", "triangle", "diamond", "down", "cross", "ring", "bar"


def scheme(dark):
    """The rules that differ between the two schemes; no variables, not every viewer has them."""
    back, strong, words, grid = (("#0d1117", "#e6edf3", "#9198a1", "#30363d") if dark else
                                 ("#ffffff", "#1f2328", "#59636e", "#d8dee4"))
    rules = [f"text{{fill:{words}}}.t,.k{{fill:{strong}}}.bg{{fill:{back}}}.g{{stroke:{grid}}}"
             f".one{{stroke:{strong}}}"]
    for i, pair in enumerate(COLOURS):
        rules.append(f".c{i}{{stroke:{pair[dark]}}}.m.c{i}{{fill:{pair[dark]}}}")
    return "".join(rules)


def style():
    return ("<style>text{font:12px system-ui,sans-serif}.t{font-size:14px;font-weight:600}"
            ".g,.one{stroke-width:1}.one{stroke-dasharray:4 3}"
            ".l,.o{fill:none;stroke-width:1.6}.l.c0{stroke-width:2.6}" + scheme(False) +
            "@media(prefers-color-scheme:dark){" + scheme(True) + "}</style>")


def num(x):
    """A coordinate, as short as it can be."""
    return f"{x:.1f}".removesuffix(".0")


def text(x, y, words, anchor="start", cls=""):
    cls = f' class="{cls}"' if cls else ""
    return f'<text x="{num(x)}" y="{num(y)}" text-anchor="{anchor}"{cls}>{escape(words)}</text>'


def line(x1, y1, x2, y2, cls):
    return (f'<line class="{cls}" x1="{num(x1)}" y1="{num(y1)}" x2="{num(x2)}" y2="{num(y2)}"/>')


def mark(x, y, which):
    """The mark of series @which around a point."""
    kind = MARKS[which % len(MARKS)]
    colour = f"c{which % len(COLOURS)}"
    paths = {
        "square": "m-3-3h6v6h-6z", "triangle": "m0-4l4 7h-8z", "diamond": "m0-4l4 4-4 4-4-4z",
        "down": "m0 4l4-7h-8z", "cross": "m-3-3l6 6m0-6l-6 6", "bar": "m-4 0h8",
    }
    if kind in ("circle", "ring"):
        return (f'<circle class="{"m" if kind == "circle" else "o"} {colour}" '
                f'cx="{num(x)}" cy="{num(y)}" r="3.2"/>')
    cls = "o" if kind in ("cross", "bar") else "m"
    return f'<path class="{cls} {colour}" d="M{num(x)} {num(y)}{paths[kind]}"/>'


def legend(names, y):
    """Marks and names in as many rows as it takes; returns the parts and the height."""
    parts, x, rows = [], LEFT, 1
    for i, name in names:
        width = 34 + 7 * len(name)
        if x + width > WIDTH - RIGHT and x > LEFT:
            x, rows = LEFT, rows + 1
        row = y + LEGEND_ROW * (rows - 1)
        parts += [mark(x, row - 4, i), text(x + 10, row, name, cls="k")]
        x += width
    return parts, rows * LEGEND_ROW


def document(title, height, parts):
    return "\n".join([
        "<!-- SPDX-License-Identifier: GPL-2.0; made by scripts/bench-report -->",
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {num(height)}" '
        f'width="{WIDTH}" height="{num(height)}" role="img">',
        f"<title>{escape(title)}</title>", style(),
        f'<rect class="bg" width="{WIDTH}" height="{num(height)}" rx="6"/>',
        text(LEFT, 24, title, cls="t"), *parts, "</svg>", ""])


def nice_step(span):
    """About four steps to @span, each 1, 2 or 5 times a power of ten."""
    raw = span / 4
    power = 10 ** math.floor(math.log10(raw))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= raw)


def short(value):
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def log_ticks(low, high):
    """1, 2, 5, 10 and so on around @low to @high; only powers of ten when they are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [10 ** e * m for e in powers for m in (1, 2, 5)]
    first = max(i for i, t in enumerate(steps) if t <= low)
    last = min(i for i, t in enumerate(steps) if t >= high)
    if last - first <= 10:
        return steps[first:last + 1]
    return steps[first - first % 3:last + 1 + -last % 3:3]


class Axis:
    """The y axis: from 0 and linear, or logarithmic when the values lie far apart."""

    def __init__(self, values, top, height):
        self.top, self.height = top, height
        self.log = min(values) > 0 and max(values) / min(values) >= LOG_FROM
        if self.log:
            self.ticks = log_ticks(min(values), max(values))
            self.low, self.high = math.log10(self.ticks[0]), math.log10(self.ticks[-1])
        else:
            step = nice_step(max(values) or 1)
            self.low, self.high = 0, math.ceil((max(values) or 1) / step) * step
            self.ticks = [step * i for i in range(round(self.high / step) + 1)]

    def at(self, value):
        value = math.log10(value) if self.log else value
        return self.top + self.height * (1 - (value - self.low) / (self.high - self.low))


def lines(title, unit, series):
    """Lines over sizes. @series: [(name, colour index, [(bytes, value)])]."""
    series = [(name, i, sorted(points)) for name, i, points in series if points]
    sizes = sorted({x for _, _, points in series for x, _ in points})
    parts, rows = legend([(i, name) for name, i, _ in series], 48)
    top = 48 + rows
    axis = Axis([y for _, _, points in series for _, y in points], top, LINES_HEIGHT)
    low, high = math.log2(sizes[0]), math.log2(sizes[-1])
    span = (high - low) or 1

    def across(x):
        return LEFT + (math.log2(x) - low) / span * (WIDTH - RIGHT - LEFT)

    for tick in axis.ticks:
        y = axis.at(tick)
        parts += [line(LEFT, y, WIDTH - RIGHT, y, "g"), text(LEFT - 8, y + 4, short(tick), "end")]
    every = 2 if len(sizes) > 12 else 1
    for size in sizes[::every]:
        parts.append(text(across(size), top + LINES_HEIGHT + 18, bytes_name(size), "middle"))
    parts.append(text(LEFT - 8, top - 10, unit, "end"))
    # The first series last, on top of the others.
    for name, i, points in reversed(series):
        places = [(across(x), axis.at(y)) for x, y in points]
        way = " ".join(f"{num(x)},{num(y)}" for x, y in places)
        parts.append(f'<polyline class="l c{i % len(COLOURS)}" points="{way}"/>')
        parts += [mark(x, y, i) for x, y in places]
    return document(title, top + LINES_HEIGHT + 32, parts)


def bars(title, unit, groups):
    """Horizontal bars. @groups: [(label, [(name, colour index, value)])]."""
    names = {}
    for _, row in groups:
        for name, i, _ in row:
            names.setdefault(i, name)
    parts, rows = legend(list(names.items()), 48) if len(names) > 1 else ([], 0)
    top, left = 48 + rows, label_width(groups)
    scale = (WIDTH - RIGHT - 56 - left) / (max(v for _, row in groups for _, _, v in row) or 1)
    y = top
    for label, row in groups:
        parts.append(text(left - 8, y + len(row) * (BAR + BAR_GAP) / 2 + 3, label, "end", "k"))
        for _, i, value in row:
            parts += [bar(left, y, value * scale, i),
                      text(left + value * scale + 6, y + BAR - 2, short_figure(value))]
            y += BAR + BAR_GAP
        y += GROUP_GAP
    parts.append(text(WIDTH - RIGHT, 24, unit, "end"))
    return document(title, y + 4, parts)


def ratio_bars(title, left_words, right_words, groups):
    """Bars from 1 to the left or to the right, on a logarithmic axis. @groups: [(label, value)]."""
    top, left = 72, label_width(groups)
    low = min(0.5, *(v for _, v in groups))
    high = max(2, *(v for _, v in groups))
    ticks = [2.0 ** e for e in range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)]
    span = math.log2(ticks[-1] / ticks[0])
    bottom = top + len(groups) * (BAR + GROUP_GAP / 2)

    def across(value):
        return left + 44 + math.log2(value / ticks[0]) / span * (WIDTH - RIGHT - 56 - left - 44)

    parts = [text(across(1) - 8, 44, left_words, "end"), text(across(1) + 8, 44, right_words)]
    for tick in ticks:
        parts += [line(across(tick), top - 6, across(tick), bottom, "one" if tick == 1 else "g"),
                  text(across(tick), top - 12, f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}",
                       "middle")]
    y = top
    for label, value in groups:
        start, end = sorted((across(1), across(value)))
        parts += [text(left - 8, y + BAR - 2, label, "end", "k"),
                  bar(start, y, end - start, 0 if value <= 1 else 1)]
        parts.append(text(start - 6, y + BAR - 2, short_figure(value), "end") if value <= 1 else
                     text(end + 6, y + BAR - 2, short_figure(value)))
        y += BAR + GROUP_GAP / 2
    return document(title, bottom + 8, parts)


def label_width(groups):
    return min(300, 24 + 7 * max(len(group[0]) for group in groups))


def bar(x, y, width, i):
    return (f'<rect class="m c{i % len(COLOURS)}" x="{num(x)}" y="{num(y)}" '
            f'width="{num(max(width, 0.5))}" height="{BAR}" stroke="none"/>')


def short_figure(value):
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
