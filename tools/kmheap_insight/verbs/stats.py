# SPDX-License-Identifier: GPL-2.0
"""The figures of one heap, or of all together."""
import json
import sys

from .. import figures, term
from ..text import PARTS
from ..tree import text_of

HELP = "figures of one heap, or of all heaps together"
EXAMPLE = """kmheap stats strtab
      what the footprint of the heap strtab is made of, and its counters"""
BAR = 24

# Lines that say something about every heap; the others are shown when they are not 0.
ALWAYS = ("live_objects", "allocs", "frees", "arenas", "spans")


def arguments(p):
    p.add_argument("heap", nargs="?", metavar="HEAP", help="its name; default: all heaps together")
    p.add_argument("--all", action="store_true", help="also the figures that are 0")
    p.add_argument("--json", action="store_true", help="all figures, as JSON")


def parts(stats, paint):
    """The footprint and its six parts, each with a bar."""
    whole = stats["footprint_bytes"]
    rows = [("footprint", term.bytes_text(whole), term.thousands(whole), "", "")]
    for name in PARTS:
        share = stats[name] / whole if whole else 0
        bar = "#" * max(0, min(BAR, round(BAR * share)))
        rows.append(("  " + name.removesuffix("_bytes"), term.bytes_text(stats[name]),
                     term.thousands(stats[name]), term.percent(stats[name], whole), bar))
    lines = term.table(rows, left=(0, 4))
    lines[0] = paint(lines[0], "bold")
    missing = whole - sum(stats[name] for name in PARTS)
    if missing:
        lines.append("  the parts add up to %s %s: somebody used the heap meanwhile" %
                     (term.bytes_text(abs(missing)), "less" if missing > 0 else "more"))
    return lines


def others(stats, everything):
    names = list(ALWAYS) + [name for name in stats
                            if name not in ALWAYS and name not in PARTS + ("footprint_bytes",)]
    rows = []
    for name in names:
        value = stats.get(name)
        if value is None or not (value or everything or name in ALWAYS):
            continue
        note = ""
        if name.endswith(("_bytes", "_bytes_per_second")) and value >= 1024:
            note = term.bytes_text(value)
        elif name.endswith("_ns"):
            note = "%.3g ms" % (value / 1e6)
        rows.append((name, term.thousands(value), note))
    return term.table(rows, left=(0, 2))


def shown(title, stats, everything, paint):
    lines = [paint(title, "bold"), ""] + parts(stats, paint) + [""]
    lines += others(stats, everything)
    if figures.misuses(stats):
        lines += ["", paint("misuse: the log says which code freed what", "red", "bold")]
    return lines


def run(args, tree):
    stats = tree.heap(args.heap).stats() if args.heap is not None else tree.stats()
    if args.json:
        owner = {} if args.heap is None else {"owner": stats.owner}
        print(json.dumps(dict(stats, **owner), indent=1))
        return 0
    title = "all heaps"
    if args.heap is not None:
        title = "heap %s, owner %s" % (text_of(args.heap), text_of(stats.owner))
    print("\n".join(shown(title, stats, args.all, term.Paint(sys.stdout))))
    return 0
