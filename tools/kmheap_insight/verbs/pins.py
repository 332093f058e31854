# SPDX-License-Identifier: GPL-2.0
"""Which call sites hold back memory that is not live."""
import sys

from .. import sampling, sites, term

HELP = "call sites whose few objects hold back memory"
EXAMPLE = """kmheap pins strtab
      what would go back to the kernel, and be free for other sizes, if the
      objects of a call site were not there"""


def arguments(p):
    p.add_argument("heap", metavar="HEAP", help="its name")
    sites.arguments(p)


def by_stack(profile, offsets):
    """[(stack, [objects, bytes of arenas, bytes of spans])], what holds back most first."""
    name, found = sites.frame_name(offsets), {}
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
    rows = by_stack(profile, args.offsets)
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


def run(args, tree):
    profile = tree.heap(args.heap).pins()
    print("\n".join(lines(profile, args, term.Paint(sys.stdout), term.width(sys.stdout))))
    return 0
