# SPDX-License-Identifier: GPL-2.0
"""The picture of a heap: what each page of its arenas is used for, and how much of it is live.

The file arenas has the use of each page, and the file spans how many slots of each span are live,
arena by arena and by address, but the addresses are hashed. So the spans are laid over the used
pages one after the other. Where a span does not fit, the heap has changed between the two reads,
and the picture is drawn without what is live.
"""
import re

from .term import bytes_text

KINDS = {"s": "small objects", "C": "small objects, a CPU allocates from it", "t": "packed data",
         "L": "large object", "M": "run of pages", "r": "given back to the kernel", ".": "free"}
# Pages in which there is no span.
UNUSED = ".r"
SPAN_KINDS = {"large": "L", "manual": "M"}
RUN = re.compile(r"(.)\1*")
COLUMNS = 64
LEVELS = 5
# A picture has at most so many cells; beyond that a cell stands for 2, 4, 8 ... pages.
MOST_CELLS = 8192
READS = 3


class Picture:
    """The arenas of a heap, and for each of them its runs of pages: (pages, kind, live), where
    live is a share from 0 to 1, or None if it is not known."""

    def __init__(self, arenas, spans):
        self.arenas = arenas
        self.runs = _with_spans(arenas, spans)
        self.exact = self.runs is not None
        if not self.exact:
            self.runs = [[(len(match.group()), match.group(1), None)
                          for match in RUN.finditer(arena.picture)] for arena in arenas]
        self.pages = sum(arena.pages for arena in arenas)
        self.bytes = sum(arena.bytes for arena in arenas)
        self.kinds = {}
        for arena in arenas:
            for kind in set(arena.picture):
                self.kinds[kind] = self.kinds.get(kind, 0) + arena.picture.count(kind)

    def pages_per_cell(self, most=MOST_CELLS):
        n = 1
        while sum(-(-arena.pages // n) for arena in self.arenas) > most and n < self.pages:
            n *= 2
        return n

    def cells(self, i, n):
        """Arena I in cells of N pages: a list of (kind, live). The kind is that of most used
        pages; free pages count as pages without a live object."""
        if n == 1:
            return [(kind, live) for pages, kind, live in self.runs[i] for _ in range(pages)]
        cells, used, live, left, known = [], {}, 0.0, n, True
        for pages, kind, share in self.runs[i]:
            while pages:
                part = min(pages, left)
                if kind not in UNUSED:
                    used[kind] = used.get(kind, 0) + part
                    known = known and share is not None
                    live += part * (share or 0)
                pages -= part
                left -= part
                if not left:
                    cells.append(_cell(used, live / n, known))
                    used, live, left, known = {}, 0.0, n, True
        if left < n:
            cells.append(_cell(used, live / (n - left), known))
        return cells


def _cell(used, live, known):
    if not used:
        return ".", None
    return max(used, key=used.get), live if known else None


def _kind(span):
    _, klass, _, _, home = span
    return SPAN_KINDS.get(home) or ("t" if klass == 0 else "s")


def _with_spans(arenas, spans):
    """The runs of all arenas, or None if the spans do not fit the pictures."""
    runs, at = [], 0
    for arena in arenas:
        row = []
        for match in RUN.finditer(arena.picture.replace("C", "s")):
            left, kind, page = len(match.group()), match.group(1), match.start()
            if kind in UNUSED:
                row.append((left, kind, None))
                continue
            while left:
                if at == len(spans) or _kind(spans[at]) != kind or \
                        not 1 <= spans[at][0] <= left:
                    return None
                pages, _, slots, live, _ = spans[at]
                row.append((pages, arena.picture[page], live / slots if slots > 0 else None))
                page += pages
                left -= pages
                at += 1
        runs.append(row)
    return runs if at == len(spans) else None


def read(heap):
    """The picture of HEAP, a tree.Heap. A heap in use is read again when it has changed."""
    for _ in range(READS):
        arenas = heap.arenas()
        picture = Picture(arenas, heap.spans())
        if picture.exact or not heap.tree.live:
            break
    return picture


def level(live):
    """0 to LEVELS - 1: how full a cell is drawn. What is not known is drawn as if full."""
    return LEVELS - 1 if live is None else min(LEVELS - 1, int(live * LEVELS))


# ---- SVG. Each kind and level of an arena is one path of horizontal strokes, whose unit is a cell.

CELL = 9
LABEL = 96
WIDTH = LABEL + COLUMNS * CELL + 8
# Colours that differ in lightness as well, for those who see no hues and for print.
STYLE = """
.km{--ground:#fff;--ink:#222;--free:#e4e4e0}
.km path{stroke-width:.9;fill:none;stroke:var(--free)}
.km text{fill:var(--ink);font:11px sans-serif}
.km .s{stroke:#2b6cb0}.km .C{stroke:#0f8f8f}.km .t{stroke:#7b3fb5}.km .L{stroke:#c8641a}
.km .M{stroke:#8a5a2b}.km .q{stroke:#666}
.km .l0{stroke-opacity:.3}.km .l1{stroke-opacity:.45}.km .l2{stroke-opacity:.6}
.km .l3{stroke-opacity:.8}.km .g{stroke:var(--ground);stroke-width:.1}
@media (prefers-color-scheme:dark){.km{--ground:#15181c;--ink:#d8d8d8;--free:#2b3036}
.km .s{stroke:#63a4f4}.km .C{stroke:#3fd0c9}.km .t{stroke:#b98af0}.km .L{stroke:#f2a05a}
.km .M{stroke:#cf9c63}.km .q{stroke:#aaa}}
@media print{.km{--ground:#fff;--ink:#000;--free:#e4e4e0;print-color-adjust:exact;
-webkit-print-color-adjust:exact}}
"""


def _class(kind, live):
    name = kind if kind in KINDS else "q"
    if kind == ".":
        return "f"
    grade = level(live)
    return name if grade == LEVELS - 1 else "%s l%d" % (name, grade)


def _paths(cells):
    """The paths of an arena that begins at 0, 0."""
    strokes, start = {}, 0
    for i in range(1, len(cells) + 1):
        if i < len(cells) and i % COLUMNS and _class(*cells[i]) == _class(*cells[start]):
            continue
        strokes.setdefault(_class(*cells[start]), []).append(
            "M%d %d.5h%d" % (start % COLUMNS, start // COLUMNS, i - start))
        start = i
    return ["<path class=\"%s\" d=\"%s\"/>" % (name, "".join(parts))
            for name, parts in strokes.items()]


def _grid(count):
    """Lines between the cells of an arena."""
    columns, rows = min(count, COLUMNS), -(-count // COLUMNS)
    return "<path class=\"g\" d=\"%s\"/>" % "".join("M%d 0v%d" % (x, rows)
                                                    for x in range(1, columns))


def svg(picture, title, most=MOST_CELLS, arenas=None):
    """The picture as an SVG element, whose style is STYLE: at most MOST cells, and only the first
    ARENAS of its arenas. TITLE is escaped already."""
    n = picture.pages_per_cell(most)
    parts, y, x, height = [], 0, 0, 0
    for i, arena in enumerate(picture.arenas[:arenas]):
        cells = picture.cells(i, n)
        width, rows = min(len(cells), COLUMNS), -(-len(cells) // COLUMNS)
        # Arenas that are shorter than a line stand side by side when there are many.
        if x and (n == 1 or x + 1 + width > COLUMNS):
            y, x = y + height + CELL // 2, 0
        if not x:
            parts.append("<text x=\"0\" y=\"%d\">%s</text>" % (y + CELL, _label(i, arena)))
            height = 0
        else:
            x += 1
        parts.append("<g transform=\"translate(%d %d) scale(%d)\"><title>%s</title>" %
                     (LABEL + x * CELL, y, CELL, _title(i, arena)))
        parts += _paths(cells)
        if n == 1 or rows > 1:
            parts.append(_grid(len(cells)))
        parts.append("</g>")
        height = max(height, rows * CELL)
        x += width
    height += y + 8
    return "\n".join(["<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"km\" role=\"img\" "
                      "width=\"%d\" height=\"%d\" viewBox=\"-4 -4 %d %d\"><title>%s</title>" %
                      (WIDTH, height, WIDTH, height, title)] + parts + ["</svg>"])


def _label(i, arena):
    return "%d: %s" % (i + 1, bytes_text(arena.pages * 8192))


def _title(i, arena):
    return "arena %d: %s on node %d, %d of %d pages free%s" % (
        i + 1, bytes_text(arena.bytes), arena.node, arena.free_pages, arena.pages,
        ", made for one object" if arena.dedicated else "")


def legend(picture):
    """(kind, class, text, pages) of each kind in the picture."""
    order = list(KINDS) + sorted(set(picture.kinds) - set(KINDS))
    return [(kind, "f" if kind == "." else kind if kind in KINDS else "q",
             KINDS.get(kind, "unknown to this tool"), picture.kinds[kind])
            for kind in order if kind in picture.kinds]
