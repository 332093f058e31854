# SPDX-License-Identifier: GPL-2.0
"""What heaps had left when they were destroyed: since when, from which stacks, and what it looks like."""
import sys
import time

from .. import profilefile, sites, term
from ..tree import ToolError, text_of

HELP = "what heaps had left when they were destroyed"
EXAMPLE = """kmheap leaks
      the reports that there are: the last 16 heaps that ended with live objects
  kmheap leaks strtab.3
      from which stacks those objects are, and how old they were
  kmheap leaks strtab.3 --bytes
      and what the first bytes of some of them were"""


def arguments(p):
    p.add_argument("report", metavar="REPORT", nargs="?", help="its name")
    p.add_argument("--bytes", action="store_true", help="show the first bytes of some objects")
    sites.arguments(p)
    profilefile.argument(p)


def when(time_ns):
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ns / 1e9))


def listed(tree, paint):
    """A line for each report, the last heap first."""
    found = [(name, tree.report(name)) for name in tree.reports()]
    if not found:
        return ["no heap has ended with live objects"]
    rows = [["report", "destroyed", "objects", "bytes", "sites", "owner"]]
    for name, report in sorted(found, key=lambda pair: -pair[1].profile.time_ns):
        rows.append([text_of(name), when(report.profile.time_ns),
                     term.thousands(report.left_objects), term.bytes_text(report.left_bytes),
                     term.thousands(len(report.by_stack(sites.frame_name(True)))), report.profile.owner])
    lines = term.table(rows, left=(0, 1, 5))
    return [paint(lines[0], "bold")] + lines[1:]


def heading(report):
    profile = report.profile
    return "heap %s, owner %s, destroyed %s with %s live objects of %s" % (
        profile.heap, profile.owner, when(profile.time_ns), term.thousands(report.left_objects),
        term.bytes_text(report.left_bytes))


def dumped(objects):
    """Two columns as hexdump has them, and who has them."""
    lines = []
    for one in objects:
        lines.append("    %016x, %s bytes, %s old:" % (
            one.address, term.thousands(one.bytes), term.ages(one.age_ms, one.age_ms)))
        for at in range(0, len(one.content), 16):
            row = one.content[at:at + 16]
            shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            lines.append("      %-47s  %s" % (" ".join("%02x" % byte for byte in row), shown))
    return lines


def unknown(report):
    """A line about what the table does not have."""
    profile = report.profile
    if not profile.period:
        return ["the heap was not profiled: its call sites are not known; "
                "insmod kmheap.ko profile_period_bytes=1 has them"]
    if profile.period > 1:
        return ["estimated from %s samples, one for %s on average" % (
            term.thousands(report.known()), term.bytes_text(profile.period))]
    rest = report.left_objects - report.known()
    return ["%s objects are from before the profile" % term.thousands(rest)] if rest > 0 else []


def table(report, args, paint, width):
    aged, about = report.by_stack(sites.frame_name(args.offsets)), report.profile.period > 1
    rows = sites.ranked(report.profile, "live", args.offsets)
    shown, rest = rows[:args.n], rows[args.n:]
    if not shown:
        return []
    cells = [["live", "objects", "age"]]
    for stack, estimate in shown:
        cells.append([term.bytes_text(round(estimate.live_bytes)),
                      "~" * about + term.thousands(round(estimate.live_objects)),
                      term.ages(*aged[stack][:2])])
    lines = sites.with_stacks(cells, [stack for stack, _ in shown], [False] * len(shown), paint, width)
    if args.bytes:
        lines = [lines[0]] + [text for line, (stack, _) in zip(lines[1:], shown)
                              for text in [line] + dumped(aged[stack][2])]
    return lines + (["and %d more" % len(rest)] if rest else [])


def run(args, tree):
    paint, width = term.Paint(sys.stdout), term.width(sys.stdout)
    if args.report is None:
        if args.output or args.bytes:
            raise ToolError("-o and --bytes are of one report: kmheap leaks REPORT")
        print("\n".join(listed(tree, paint)))
        return 0
    contents = profilefile.writer(args.output) if args.output else None
    report = tree.report(args.report)
    if contents:
        profilefile.write(args.output, report.profile)
        return 0
    lines = [paint(heading(report), "bold")] + table(report, args, paint, width)
    print("\n".join(lines + [paint(line, "yellow") for line in unknown(report)]))
    return 0
