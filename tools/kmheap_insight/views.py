# SPDX-License-Identifier: GPL-2.0
"""What "kmheap top" shows of one heap instead of the table: its profile, size classes or map."""
import argparse
import re

from . import heapmap, sites
from .tree import ToolError, Vanished, text_of
from .verbs import classes, map as map_

SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


def _profile(heap, paint, width, _):
    args = argparse.Namespace(n=sites.TOP, sort="live", offsets=False)
    return sites.lines(heap.profile(), args, paint, width)


def _classes(heap, paint, *_):
    rows, below = heap.classes()
    return classes.lines([row for row in classes.with_bytes(rows) if classes.used(row)], below,
                         paint)


def _map(heap, paint, _, height):
    # A third of the lines is for the heads of arenas and for what the characters mean.
    return map_.lines(heap.name, heapmap.read(heap), False, False, paint,
                      max(1, height * 2 // 3) * heapmap.COLUMNS)


# key: what is shown, and what makes the lines of it
VIEWS = {"p": ("call sites", _profile), "c": ("size classes", _classes), "m": ("map", _map)}


def cut(line, width):
    """The first WIDTH characters of LINE, and all of its sequences."""
    out, used, at = "", 0, 0
    for found in SEQUENCE.finditer(line):
        out += line[at:found.start()][:max(0, width - used)]
        used += found.start() - at
        out += found.group()
        at = found.end()
    return out + line[at:][:max(0, width - used)]


def lines(key, heap, paint, width, height):
    """At most HEIGHT lines about HEAP, a tree.Heap."""
    title, make = VIEWS[key]
    head = "%s of heap %s" % (title, text_of(heap.name))
    foot = "%s: back to the heaps; up and down: another heap" % key
    try:
        text = make(heap, paint, width - 1, height - 2)
    except Vanished:
        text = ["The heap is gone."]
    except ToolError as error:      # as where it was never profiled
        text = [str(error)]
    room = max(1, height - 2)
    if len(text) > room:
        text = text[:room - 1] + ["and %d more lines" % (len(text) - room + 1)]
    return [paint(cut(head, width).ljust(width - 1), "reverse")] + \
        [cut(line, width - 1) for line in text] + [paint(cut(foot, width - 1), "dim")]
