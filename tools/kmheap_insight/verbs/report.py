# SPDX-License-Identifier: GPL-2.0
"""One HTML file about all heaps."""
import time

from .. import page, term
from ..output import replace
from ..tree import ToolError, Vanished, text_of

HELP = "one HTML file about all heaps"
EXAMPLE = """kmheap report -o report.html
      totals, leaks, heaps, size classes, call sites and maps, in a file of
      its own"""


def arguments(p):
    p.add_argument("-o", metavar="FILE.html", dest="output",
                   help="write FILE.html, not to the standard output")


def about(tree):
    words = []
    if tree.kernel():
        words.append("Linux %s" % tree.kernel())
    words.append(time.strftime("%Y-%m-%d %H:%M:%S %z") if tree.live else "from a copy of the files")
    return ", ".join(words)


def left(tree):
    """[(name, leaks.Report)], the last heap first, or why they cannot be read."""
    try:
        found = [(text_of(name), tree.report(name)) for name in tree.reports()]
    except ToolError as error:
        return str(error)
    return sorted(found, key=lambda pair: -pair[1].profile.time_ns)


def run(args, tree):
    progress = term.Progress()
    module = tree.stats()
    found = tree.each(lambda heap: heap.stats())
    found.sort(key=lambda pair: -pair[1]["footprint_bytes"])
    heaps = []
    for i, (read, stats) in enumerate(found):
        heap = page.Heap(read.name, stats)
        if i < page.DETAILED:
            progress("reading heap %s, %d of %d" % (heap.name, i + 1, len(found)))
            try:
                page.with_details(heap, read)
            except Vanished:
                continue
        heaps.append(heap)
    progress.end()
    text = page.page(module, heaps, left(tree), about(tree))
    if args.output:
        replace(args.output, text)
    else:
        print(text, end="")
    return 0
