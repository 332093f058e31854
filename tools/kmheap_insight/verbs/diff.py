# SPDX-License-Identifier: GPL-2.0
"""What has come to live: since the mark, or between two profiles that were saved."""
import math
import os
import sys

from .. import profilefile, profiletext, sampling, sites, term
from ..tree import ToolError, Tree, text_of, why

HELP = "what was allocated since the mark and still lives"
EXAMPLE = """kmheap diff strtab
      since "kmheap mark strtab", or since the profile began
  kmheap profile strtab -o a.txt; sleep 3600; kmheap profile strtab -o b.txt
  kmheap diff a.txt b.txt
      what b.txt has more than a.txt, and less"""
NEEDS_TREE = False


def arguments(p):
    p.add_argument("heap", metavar="HEAP",
                   help="its name; or the file of the earlier of two profiles")
    p.add_argument("later", metavar="LATER", nargs="?", help="the file of the later one")
    sites.arguments(p)
    profilefile.argument(p)


class Change:
    """Of one stack: what the later profile has more, and the standard error of that."""
    __slots__ = ("bytes", "objects", "error")

    def __init__(self, before, after, periods, same):
        """BEFORE and AFTER: Estimates. SAME: the two are of one profile, taken one after the other,
        so that they have most of their samples in common."""
        self.bytes = after.live_bytes - before.live_bytes
        self.objects = after.live_objects - before.live_objects
        self.error = math.hypot(*(
            estimate.live_bytes * sampling.relative_error(estimate.live_samples, period)
            for estimate, period in zip((before, after), periods)))
        samples = before.live_samples + after.live_samples
        born = after.alloc_samples - before.alloc_samples
        died = before.live_samples + born - after.live_samples
        if same and samples and born >= 0 and died >= 0:
            # Only samples that have come or gone change anything.
            each = (before.live_bytes + after.live_bytes) / samples
            if self.error:
                self.error = min(self.error, each * math.sqrt(born + died))


def changes(before, after, offsets):
    """[(stack, Change)], the largest first."""
    name = sites.frame_name(offsets)
    stacks = [sampling.by_stack(profile, name) for profile in (before, after)]
    periods = before.period, after.period
    same = (before.heap, before.period, before.since_ns) == (after.heap, after.period,
                                                             after.since_ns)
    none = sampling.Estimate()
    rows = [(stack, Change(stacks[0].get(stack, none), stacks[1].get(stack, none), periods, same))
            for stack in set(stacks[0]) | set(stacks[1])]
    return sorted((row for row in rows if round(row[1].bytes)),
                  key=lambda row: (-abs(row[1].bytes), row[0]))


def signed(text):
    return text if text.startswith("-") else "+" + text


def lines(before, after, args, paint, width):
    rows = changes(before, after, args.offsets)
    total = sum(change.bytes for _, change in rows)
    heaps = after.heap if after.heap == before.heap else "%s to %s" % (before.heap, after.heap)
    text = [paint("%s: %s live in %.6g s" % (
        heaps, signed(term.bytes_text(round(total))),
        (after.time_ns - before.time_ns) / 1e9), "bold")]
    table = [["live", "error", "objects"]]
    for _, change in rows[:args.n]:
        error = "exact" if not change.error else "+-" + term.bytes_text(round(change.error))
        table.append([signed(term.bytes_text(round(change.bytes))), error,
                      signed(term.thousands(round(change.objects)))])
    if rows:
        grey = [abs(change.bytes) < 2 * change.error for _, change in rows[:args.n]]
        text += sites.with_stacks(table, [stack for stack, _ in rows[:args.n]], grey, paint, width)
    if rows[args.n:]:
        text.append("and %d more, %s" % (len(rows[args.n:]), signed(term.bytes_text(
            round(sum(change.bytes for _, change in rows[args.n:]))))))
    return text


def saved(path):
    """A profile that was written with -o FILE.txt, or copied."""
    name = text_of(os.path.basename(path))
    try:
        with open(path, "rb") as file:
            return profiletext.parse(name, file.read().decode("ascii", "replace"))
    except OSError as error:
        raise ToolError("%s: %s" % (text_of(path), why(error))) from None


def run(args, tree):
    paint, width = term.Paint(sys.stdout), term.width(sys.stdout)
    if args.later is not None:
        if args.root or args.output:
            raise ToolError("two files are compared: --root and -o do not go with that")
        print("\n".join(lines(saved(args.heap), saved(args.later), args, paint, width)))
        return 0
    if args.output:
        profilefile.writer(args.output)     # or says that the suffix is wrong
    profile = Tree(args.root).heap(args.heap).profile("profile_since")
    if args.output:
        profilefile.write(args.output, profile)
        return 0
    args.sort = "live"
    print("\n".join(sites.lines(profile, args, paint, width)))
    return 0
