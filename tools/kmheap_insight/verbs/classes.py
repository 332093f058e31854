# SPDX-License-Identifier: GPL-2.0
"""The size classes of a heap."""
import sys

from .. import term

HELP = "size classes of a heap: spans, slots, allocations"
EXAMPLE = """kmheap classes strtab --sort live_bytes
      the sizes that take most of the heap strtab come first"""

SORTS = ("size", "live_bytes", "free_bytes", "spans", "allocs", "refills", "waste")


def arguments(p):
    p.add_argument("heap", metavar="HEAP", help="its name")
    p.add_argument("--all", action="store_true", help="also classes that were never used")
    p.add_argument("--sort", choices=SORTS, default="size", metavar="KEY",
                   help="sort by %s; default size, the smallest first" % ", ".join(SORTS))


def with_bytes(rows):
    """ROWS of text.classes(), each with its slots and bytes."""
    for row in rows:
        slots = row["live"] + row["free"] + row["remote"] + row["deferred"]
        yield dict(row, slots=slots, live_bytes=row["live"] * row["size"],
                   free_bytes=(row["free"] + row["remote"]) * row["size"])


def used(row):
    return row["spans"] or row["allocs"]


def lines(rows, below, paint):
    cells = [("size", "spans", "live", "of slots", "live bytes", "free bytes", "deferred", "allocs",
              "refills", "waste")]
    for row in rows:
        cells.append(("packed" if row["class"] == 0 else term.thousands(row["size"]),
                      term.thousands(row["spans"]), term.thousands(row["live"]),
                      term.percent(row["live"], row["slots"]), term.short(row["live_bytes"]),
                      term.short(row["free_bytes"]), term.thousands(row["deferred"]),
                      term.count(row["allocs"]), term.count(row["refills"]),
                      term.short(row["waste"])))
    text = term.table(cells, left=())
    text[0] = paint(text[0], "bold")
    text.append("")
    text += ["%s %s" % (name, term.thousands(value)) for name, value in below.items()]
    return text


def run(args, tree):
    rows, below = tree.heap(args.heap).classes()
    rows = [row for row in with_bytes(rows) if args.all or used(row)]
    if args.sort != "size":
        rows.sort(key=lambda row: -row[args.sort])
    print("\n".join(lines(rows, below, term.Paint(sys.stdout))))
    return 0
