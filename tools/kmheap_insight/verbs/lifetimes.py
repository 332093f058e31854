# SPDX-License-Identifier: GPL-2.0
"""How long sampled objects lived that have been freed."""
import sys

from .. import sites, term

HELP = "how long objects of a heap lived, by call site"
EXAMPLE = """kmheap lifetimes strtab
      how many sampled objects lived less than 4 ms, 16 ms, and so on"""


def arguments(p):
    p.add_argument("heap", metavar="HEAP", help="its name")
    sites.arguments(p)


def by_stack(profile, offsets):
    """[(stack, counts)] in the order of the columns, those with most deaths first."""
    name, found = sites.frame_name(offsets), {}
    for site in profile.sites:
        counts = list(site.counts.values())
        stack = tuple(name(frame) for frame in site.frames)
        found[stack] = [a + b for a, b in zip(found.get(stack, [0] * len(counts)), counts)]
    rows = [(stack, counts) for stack, counts in found.items() if sum(counts)]
    return sorted(rows, key=lambda row: (-sum(row[1]), row[0]))


def title(column):
    return "<" + column.removeprefix("under_") if column.startswith("under_") else column


def lines(profile, args, paint, width):
    sites.need_samples(profile)
    rows = by_stack(profile, args.offsets)
    deaths = sum(sum(counts) for _, counts in rows)
    text = [paint("%s: %s sampled objects were freed; period %s" % (
        profile.heap, term.thousands(deaths), term.bytes_text(profile.period)), "bold")]
    if not rows:
        return text
    # Columns at both ends that are empty are left out.
    used = [i for i in range(len(profile.columns) - 1) if any(counts[i] for _, counts in rows)]
    shown = range(used[0], used[-1] + 1)
    table = [["freed"] + [title(profile.columns[i + 1]) for i in shown]]
    for _, counts in rows[:args.n]:
        table.append([term.thousands(sum(counts))] +
                     [term.thousands(counts[i]) if counts[i] else "-" for i in shown])
    grey = [sum(counts) < sites.FEW for _, counts in rows[:args.n]]
    text += sites.with_stacks(table, [stack for stack, _ in rows[:args.n]], grey, paint, width)
    if rows[args.n:]:
        text.append("and %d more, %s freed" % (
            len(rows[args.n:]), term.thousands(sum(sum(counts) for _, counts in rows[args.n:]))))
    return text


def run(args, tree):
    profile = tree.heap(args.heap).lifetimes()
    print("\n".join(lines(profile, args, term.Paint(sys.stdout), term.width(sys.stdout))))
    return 0
