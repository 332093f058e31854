# SPDX-License-Identifier: GPL-2.0
"""Which call sites hold back memory that is not live."""
import sys

from .. import sampling, sites, stackfiles, term
from ..output import replace
from ..tree import ToolError

HELP = "call sites whose few objects hold back memory"
EXAMPLE = """kmheap pins strtab
      what would go back to the kernel, and be free for other sizes, if the
      objects of a call site were not there
  kmheap pins strtab -o pins.folded
      the same as folded stacks, for flamegraph.pl and others"""
SUFFIX = ".folded"


def arguments(p):
    p.add_argument("heap", metavar="HEAP", help="its name")
    sites.arguments(p)
    p.add_argument("-o", metavar="FILE", dest="output",
                   help="write FILE%s: a line for each stack, with the bytes of arenas that it "
                        "holds back" % SUFFIX)
    p.add_argument("--spans", action="store_true",
                   help="with -o: the bytes of spans instead, which other size classes could use")


def by_stack(profile, name):
    """[(stack, [objects, bytes of arenas, bytes of spans])], what holds back most first. NAME makes
    the text of a frame."""
    found = {}
    for site in profile.sites:
        counts = site.counts
        samples, live = counts["live_objects"], counts["live_bytes"]
        # What a sampled object stands for, others of its size hold back as well.
        weight = sampling.scale(samples, live, profile.period)[0] / samples if samples else 0
        row = found.setdefault(tuple(name(frame) for frame in site.frames), [0, 0, 0])
        for i, column in enumerate(("live_objects", "arena_bytes", "span_bytes")):
            row[i] += counts[column] * weight
    rows = [(stack, row) for stack, row in found.items() if row[1] or row[2]]
    return sorted(rows, key=lambda row: (-row[1][1], -row[1][2], row[0]))


def lines(profile, args, paint, width):
    sites.need_samples(profile)
    rows = by_stack(profile, sites.frame_name(args.offsets))
    about = "" if profile.period == 1 else "~"
    text = [paint("%s: %s%s of arenas and %s%s of spans are held back by few objects; period %s" % (
        profile.heap, about, term.bytes_text(round(sum(row[1] for _, row in rows))),
        about, term.bytes_text(round(sum(row[2] for _, row in rows))),
        term.bytes_text(profile.period)), "bold")]
    if rows:
        table = [["arenas", "spans", "objects"]]
        for _, row in rows[:args.n]:
            table.append([term.bytes_text(round(row[1])), term.bytes_text(round(row[2])),
                          term.thousands(round(row[0]))])
        text += sites.with_stacks(table, [stack for stack, _ in rows[:args.n]],
                                  [False] * len(rows[:args.n]), paint, width)
    if rows[args.n:]:
        text.append("and %d more" % len(rows[args.n:]))
    return text


def arena_bytes(profile):
    """What all of its objects hold back of arenas: about what could go back to the kernel."""
    return round(sum(row[1] for _, row in by_stack(profile, sites.frame_name(False))))


def folded(profile, spans):
    """Folded stacks whose weight is what they hold back of arenas, or of spans."""
    rows = by_stack(profile, lambda frame: frame.with_module())
    return stackfiles.fold((stack, row[2 if spans else 1]) for stack, row in rows)


def run(args, tree):
    if args.output and not args.output.endswith(SUFFIX):
        raise ToolError("-o: the name of the file has to end in %s" % SUFFIX)
    if args.spans and not args.output:
        raise ToolError("--spans goes with -o; the table has both")
    profile = tree.heap(args.heap).pins()
    if args.output:
        sites.need_samples(profile)
        replace(args.output, folded(profile, args.spans))
        return 0
    print("\n".join(lines(profile, args, term.Paint(sys.stdout), term.width(sys.stdout))))
    return 0
