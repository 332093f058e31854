# SPDX-License-Identifier: GPL-2.0
"""Where kmheap has to be, and where it loses: computed from the figures of bench_lines.

Ratios are kmheap's median over the other side's, of the same row of the same run.
"""
import collections
import math

from bench_lines import bytes_name

KIB, MIB = 1 << 10, 1 << 20
HIGHER = "ops/"                  # units that begin so are the better the higher
# What stands beside kmheap, the first of them that a row has.
PEERS = ("kmalloc", "kvmalloc", "kfree_rcu", "kmem_cache", "SLUB", "slub", "vmalloc", "pages")


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def sides_of(group, case, op, bytes_=None, cpus=None, **variant):
    """(row, sides) of each row that fits; @variant names words that a row has to have."""
    for row, sides in group.rows.items():
        if row.case != case or row.op != op:
            continue
        if bytes_ is not None and row.bytes != bytes_ or cpus is not None and row.cpus != cpus:
            continue
        if all(dict(row.variant).get(k) == v for k, v in variant.items()):
            yield row, sides


def ratios(group, case, ops, peer, low=0, high=math.inf, side="kmheap", **fixed):
    """Ratio by row, of rows of low to high bytes; what several ops take is added up."""
    sums = collections.defaultdict(lambda: [0, 0, 0])
    for op in ops:
        for row, sides in sides_of(group, case, op, **fixed):
            if side in sides and peer in sides and low <= row.bytes <= high:
                entry = sums[row.bytes, row.cpus, row.variant]
                entry[0] += sides[side].median
                entry[1] += sides[peer].median
                entry[2] += 1
    return {key: mine / other for key, (mine, other, n) in sums.items()
            if n == len(ops) and mine > 0 and other > 0}


Target = collections.namedtuple("Target", "what against limit at_least value where met")


class Targets:
    """The table of targets; a row without figures has no value."""

    def __init__(self, groups):
        self.groups = sorted(groups, key=lambda g: tuple(map(int, g.series.split("-")[0].split("."))))
        self.rows = []

    def newest(self, *platforms, series=None, word=None):
        """The group of the newest kernel; @word is a boot argument."""
        for platform in platforms:
            found = [g for g in self.groups if g.platform == platform
                     and (series is None or g.series == series)
                     and (word is None or word in g.boot.split())]
            if found:
                return found[-1]
        return None

    def add(self, what, against, limit, values, group, judge=geomean, at_least=False, where=""):
        value = judge(values) if values else None
        met = None
        if value is not None:
            met = value >= limit if at_least else value <= limit
        if value is not None and group is not None:
            where = f"{group.name}{', ' + where if where else ''}"
        self.rows.append(Target(what, against, limit, at_least, value, where, met))

    def ratio(self, what, peer, limit, group, case, ops, judge=geomean, **select):
        found = ratios(group, case, ops, peer, **select) if group else {}
        values = list(found.values())
        where = f"{len(values)} rows" if len(values) > 1 else ""
        if values and judge is max:
            where = bytes_name(max(found, key=found.get)[0])
        self.add(what, PEER_NAMES.get(peer, peer), limit, values, group, judge, where=where)


PEER_NAMES = {
    "kmalloc": "kmalloc/kfree", "kvmalloc": "kvmalloc/kvfree", "kmem_cache": "kmem_cache",
    "kfree_rcu": "kfree_rcu",
}


def targets(groups):
    """Every row of the table of targets."""
    t = Targets(groups)
    timed = t.newest("uml", "native")
    counted = t.newest("qemu-count", series="6.12", word="init_on_alloc=0")
    small = {"high": 8 * KIB}
    large = {"low": 16 * KIB, "high": MIB}
    t.ratio("pair, 8 B to 8 KiB, geometric mean", "kmalloc", 0.33, timed, "pair", ["const"], **small)
    t.ratio("pair, 8 B to 8 KiB, largest of a size", "kmalloc", 0.45, timed, "pair", ["const"],
            judge=max, **small)
    pair64 = [sides["kmheap"].median for _, sides in sides_of(counted, "pair", "const", 64)
              if "kmheap" in sides] if counted else []
    t.add("pair of 64 B, instructions, init_on_alloc=0", "itself", 72, pair64, counted)
    both = ["alloc", "free"]
    t.ratio("burst to 1 KiB, geometric mean", "kmalloc", 0.30, timed, "burst", both, high=KIB)
    t.ratio("burst, 2 to 8 KiB, geometric mean", "kmalloc", 0.60, timed, "burst", both,
            low=2 * KIB, high=8 * KIB)
    t.ratio("shuffle in a live set of 10 k, geometric mean", "kmalloc", 0.45, timed, "shuffle",
            ["replace"], **small)
    t.ratio("remote free, geometric mean", "kmalloc", 0.50, timed, "remote", ["free"], **small)
    t.ratio("producer and consumer, geometric mean", "kmalloc", 0.50, timed, "ring", ["object"],
            **small)
    t.ratio("bulk of 32, geometric mean", "kmem_cache", 0.60, timed, "bulk", both)
    t.ratio("pair, 16 KiB to 1 MiB, geometric mean", "kvmalloc", 0.05, timed, "pair", ["const"],
            **large)
    t.ratio("burst of 32, 16 KiB to 1 MiB, geometric mean", "kvmalloc", 0.25, timed, "burst", both,
            **large)
    t.ratio("kmheap_free_rcu, geometric mean", "kfree_rcu", 0.33, timed, "rcu", ["free"])
    return t.rows


# ---- losses

Loss = collections.namedtuple("Loss", "group case op variant peer sizes of clear worst worst_at")


def costs(fig, unit):
    """Median, low and high, so that lower is better."""
    if unit.startswith(HIGHER):
        return tuple(1 / x if x else math.inf for x in (fig.median, fig.high, fig.low))
    return fig.median, fig.low, fig.high


def losses(groups):
    """Where kmheap's median is worse than another's, the worst first; one entry for all sizes."""
    found = collections.defaultdict(list)
    for group in groups:
        for row, sides in group.rows.items():
            if "kmheap" not in sides:
                continue
            mine, low, _ = costs(sides["kmheap"], row.unit)
            for peer, fig in sides.items():
                other, _, high = costs(fig, row.unit)
                if peer != "kmheap" and other > 0:
                    key = group, row.case, row.op, row.unit, row.variant, peer
                    found[key].append((mine / other, low > high, row.bytes, row.cpus))
    entries = []
    for (group, case, op, _, variant, peer), rows in found.items():
        lost = [r for r in rows if r[0] > 1]
        if lost:
            worst = max(lost)
            entries.append(Loss(group, case, op, variant, peer, [(r[2], r[3]) for r in lost],
                                len(rows), sum(r[1] for r in lost), worst[0], worst[2]))
    return sorted(entries, key=lambda entry: -entry.worst)
