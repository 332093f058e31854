# SPDX-License-Identifier: GPL-2.0
"""What a module that does not use kmheap takes of the kernel, and what kmheap would."""
import sys

from .. import advice, profilefile, sites, term

HELP = "what a module without kmheap allocates, wastes and leaves"
EXAMPLE = """kmheap advise nf_tables
      loads kmheap_advisor.ko where it is not, and shows what module nf_tables
      has allocated since; the module may be loaded before or after that"""
NEEDS_TREE = False
TITLES = {"kmalloc": "kmalloc", "cache": "kmem_cache", "pages": "pages", "vmalloc": "vmalloc",
          "percpu": "per-CPU"}
# The number of an allocator in a profile.
ALLOCATORS = dict(enumerate(TITLES.values(), 1))
# From here on a request may fail for want of contiguous memory: PAGE_ALLOC_COSTLY_ORDER.
COSTLY = 3
# Instructions of a pair of 64 bytes, of kmalloc() and of kmheap: Documentation/benchmarks.rst.
PAIR, PAIR_KMHEAP = 178, 89
# What frees objects of a module and has to be seen by other means than an event.
FREES = ("kvfree_call_rcu", "kmem_cache_free_bulk")


def arguments(p):
    p.add_argument("module", metavar="MODULE", help="its name")
    p.add_argument("--sizes", action="store_true",
                   help="show live objects by the size class that they would have in kmheap")
    sites.arguments(p)
    profilefile.argument(p)


def lost(part, whole):
    return "%d %%" % round(100 * part / whole) if whole else "0 %"


def heading(stats, module):
    """What is live of slab objects, and how much of it is rounding."""
    objects, asked, given, kmheap = (
        stats["kmalloc_" + figure] + stats["cache_" + figure]
        for figure in ("live_objects", "asked_bytes", "given_bytes", "kmheap_bytes"))
    if stats["state"] == "absent":
        return "%s: not loaded since the advisor is" % module
    return "%s: %s live objects, %s asked, %s given by the kernel (%s rounding); kmheap: %s (%s)" % (
        module, term.thousands(objects), term.bytes_text(asked), term.bytes_text(given),
        lost(given - asked, given), term.bytes_text(kmheap), lost(kmheap - asked, kmheap))


def kinds(stats):
    """A table of what came from which allocator."""
    table = [["allocator", "allocs", "failed", "live", "asked", "given", "kmheap"]]
    for kind, title in TITLES.items():
        figures = [stats["%s_%s" % (kind, figure)] for figure in advice.FIGURES]
        if any(figures):
            table.append([title] + [term.thousands(n) for n in figures[:3]] +
                         [term.bytes_text(n) for n in figures[3:]])
    return term.table(table) if len(table) > 1 else []


def orders(rows):
    """A line about requests of many pages at once; what those up to an order are stays unsaid."""
    high = [row for row in rows if row["order"] >= COSTLY]
    if not high:
        return []
    requests, failed = (sum(row["kmalloc_" + what] + row["pages_" + what] for row in high)
                        for what in ("allocs", "failed"))
    return ["order %d and up: %s requests, largest %s (order %d), %s failed" % (
        COSTLY, term.thousands(requests + failed), term.bytes_text(high[-1]["bytes"]),
        high[-1]["order"], term.thousands(failed))]


def pace(stats):
    """A line about how often, and what that costs in the kernel and would in kmheap."""
    allocs = stats["kmalloc_allocs"] + stats["cache_allocs"]
    seconds = (stats["time_ns"] - stats["since_ns"]) / 1e9
    if not allocs or seconds <= 0:
        return []
    rate = allocs / seconds
    return ["%s slab objects a second: about %s instructions a second with their frees, in kmheap %s" %
            (term.count(rate), term.count(PAIR * rate), term.count(PAIR_KMHEAP * rate))]


def sizes(rows):
    """A table of live objects by kmheap's classes."""
    cells = [["size", "objects", "asked", "given", "kmheap"]]
    for row in rows:
        size = "large" if row["class"] == advice.LARGE else term.thousands(row["size"])
        cells.append([size, term.thousands(row["live_objects"])] +
                     [term.bytes_text(row[name]) for name in advice.SAVINGS[3:]])
    return term.table(cells, left=())


def freed_as_seen(counts):
    """Has one of a site's objects been seen to be freed?"""
    return counts["allocs"] > counts["live_objects"] + counts.get("frees_unseen", 0)


def verdict(row):
    """What is said of objects that a module has left, where there are frees of which nobody tells."""
    return "leaked" if row.get("sure", 0) == row["live_objects"] else "unsure"


def by_stack(profile, offsets):
    """[(allocator, stack, counts)], most live bytes first."""
    name, found = sites.frame_name(offsets), {}
    for site in profile.sites:
        key = site.counts["allocator"], tuple(name(frame) for frame in site.frames)
        row = found.setdefault(key, dict.fromkeys(advice.SITES, 0))
        for column in advice.SITES:
            row[column] += site.counts[column]
        if freed_as_seen(site.counts):
            row["sure"] = row.get("sure", 0) + site.counts["live_objects"]
        if site.counts["live_objects"] and "oldest_ms" in site.counts:
            youngest, oldest = row.get("ages", (site.counts["youngest_ms"], 0))
            row["ages"] = (min(youngest, site.counts["youngest_ms"]),
                           max(oldest, site.counts["oldest_ms"]))
    return sorted(((ALLOCATORS.get(number, "?"), stack, row)
                   for (number, stack), row in found.items()),
                  key=lambda row: (-row[2]["live_bytes"], -row[2]["allocs"], row[1]))


def table(profile, args, paint, width, unsure=False):
    """The sites; those of leaks have a verdict each where UNSURE."""
    rows = by_stack(profile, args.offsets)
    shown, rest = rows[:args.n], rows[args.n:]
    if not shown:
        return []
    aged = profile.kind == "leaks" and "oldest_ms" in profile.columns
    cells = [["given", "asked", "objects", "allocs"] + (["age"] if aged else []) +
             (["verdict"] if unsure else []) + ["allocator"]]
    for allocator, _, row in shown:
        cells.append([term.bytes_text(row["live_bytes"]), term.bytes_text(row["asked_bytes"]),
                      term.thousands(row["live_objects"]), term.thousands(row["allocs"])] +
                     ([term.ages(*row["ages"])] if aged else []) +
                     ([verdict(row)] if unsure else []) + [allocator])
    lines = sites.with_stacks(cells, [stack for _, stack, _ in shown], [False] * len(shown), paint,
                              width)
    return lines + (["and %d more" % len(rest)] if rest else [])


def doubts(stats):
    """Lines about what the advisor has not seen."""
    lines = ["%s events of all modules found no room in the table of %s: see %s" %
             (term.thousands(stats[name]), what, parameter)
             for name, what, parameter in (("lost", "sites", "profile_sites"),
                                           ("missed", "live objects", "profile_records"))
             if stats[name]]
    if stats["unheard"]:
        lines.append("%s calls came while another kprobe ran: what they freed may seem to be live" %
                     term.thousands(stats["unheard"]))
    if stats["late"]:
        lines.append("it was loaded before the advisor: what it had by then is not here")
    if stats["unseen"] != "nothing":
        lines.append("this kernel does not tell of " + stats["unseen"].replace(" ", ", "))
    return lines


def blind(stats):
    """The ways to free an object of which this kernel does not tell."""
    return [name for name in stats["unseen"].split() if name in FREES]


def leaks(stats, profile, args, paint, width):
    if stats["state"] != "gone":
        return []
    unsure = bool(blind(stats)) and "frees_unseen" in profile.columns
    objects, left = (sum(site.counts[column] for site in profile.sites)
                     for column in ("live_objects", "asked_bytes"))
    return ["at unload: %s objects, %s bytes left, %s sites" % (
        term.thousands(objects), term.thousands(left),
        term.thousands(len(profile.sites)))] + \
        table(profile, args, paint, width, unsure) + \
        (["unsure: leaked, or freed unseen: no object of that site was seen to be freed, and %s "
          "cannot be seen" % ", ".join(blind(stats))] if unsure else [])


def run(args, tree):
    contents = profilefile.writer(args.output) if args.output else None
    found = advice.of_module(args.module, args.root)
    if contents:
        profilefile.write(args.output, found.profile())
        return 0
    stats, paint, width = found.stats(), term.Paint(sys.stdout), term.width(sys.stdout)
    lines = [paint(heading(stats, found.name), "bold")]
    lines += kinds(stats) + orders(found.orders()) + pace(stats)
    lines += sizes(found.savings()) if args.sizes else []
    left = leaks(stats, found.profile("leaks"), args, paint, width)
    lines += left or table(found.profile(), args, paint, width)
    lines += [paint(line, "yellow") for line in doubts(stats)]
    print("\n".join(lines))
    return 0
