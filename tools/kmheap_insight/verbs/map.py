# SPDX-License-Identifier: GPL-2.0
"""The picture of a heap's pages, as text or as SVG."""
import html
import sys

from .. import heapmap, term
from ..output import replace
from ..tree import text_of

HELP = "picture of the pages of a heap"
EXAMPLE = """kmheap map strtab -o strtab.svg
      the picture for a browser; without -o it comes as text"""

# On a terminal; dim is what has fewer than a fifth of its slots live.
PAINT = {"s": ("blue",), "C": ("cyan",), "t": ("magenta",), "L": ("yellow",), "M": ("green",),
         "r": ("dim",), ".": ("dim",)}
MOST_CHARACTERS = 3072


def arguments(p):
    p.add_argument("heap", metavar="HEAP", help="its name")
    p.add_argument("-o", metavar="FILE.svg", dest="output", help="write an SVG picture")
    p.add_argument("--live", action="store_true",
                   help="text: show tenths of live slots, 0 to 9, for pages of small objects")
    p.add_argument("--full", action="store_true",
                   help="text: a character for each page, however many there are")


def character(kind, live, digits):
    if digits and kind in "sCt" and live is not None:
        return str(min(9, int(live * 10)))
    return kind if kind.isprintable() and kind.isascii() else "?"


def row(cells, digits, paint):
    """A line of the picture. Equal neighbours share a colour sequence."""
    text, run, before = "", "", ()
    for kind, live in cells:
        style = PAINT.get(kind, ("red",))
        if kind not in heapmap.UNUSED and heapmap.level(live) == 0:
            style += ("dim",)
        if style != before:
            text, run, before = text + paint(run, *before), "", style
        run += character(kind, live, digits)
    return text + paint(run, *before)


def scale(picture, n, digits):
    lines = ["%s  %s pages, %s" % (character(kind, None, False), term.thousands(pages), what)
             for kind, _, what, pages in heapmap.legend(picture)]
    if n > 1:
        lines.append("each character stands for %d pages of 8 KiB, for the use of most of them" % n)
    if digits:
        lines.append("0 to 9: tenths of the slots that are live")
    if not picture.exact:
        lines.append("how much is live is not shown: the heap changed while it was read")
    return lines


def lines(name, picture, digits, full, paint, most=MOST_CHARACTERS):
    n = 1 if full else picture.pages_per_cell(most)
    text = [paint("heap %s: %d arenas, %s in pages of 8 KiB" % (
        text_of(name), len(picture.arenas), term.bytes_text(8192 * picture.pages)), "bold")]
    for i, arena in enumerate(picture.arenas):
        text += ["", "arena %d: %s on node %d, %d of %d pages free%s" % (
            i + 1, term.bytes_text(arena.bytes), arena.node, arena.free_pages, arena.pages,
            ", made for one object" if arena.dedicated else "")]
        cells = picture.cells(i, n)
        text += ["  " + row(cells[at:at + heapmap.COLUMNS], digits, paint)
                 for at in range(0, len(cells), heapmap.COLUMNS)]
    return text + [""] + scale(picture, n, digits)


def document(name, picture):
    """An SVG file of its own."""
    drawn = heapmap.svg(picture, html.escape("heap " + text_of(name)))
    # The style and the ground come behind the title.
    end = drawn.index("</title>") + len("</title>")
    return drawn[:end] + "\n<style>" + heapmap.STYLE + "</style>\n" + \
        "<rect x=\"-4\" y=\"-4\" width=\"100%\" height=\"100%\" " \
        "style=\"fill:var(--ground)\"/>" + drawn[end:] + "\n"


def run(args, tree):
    picture = heapmap.read(tree.heap(args.heap))
    if args.output:
        replace(args.output, document(args.heap, picture))
        return 0
    print("\n".join(lines(args.heap, picture, args.live, args.full, term.Paint(sys.stdout))))
    return 0
