# SPDX-License-Identifier: GPL-2.0
"""Where kmheap has to be, and where it loses: computed from the figures of bench_lines.

Ratios are kmheap's median over the other side's, of the same row of the same run.
"""
import collections
import math

from bench_lines import bytes_name, is_higher_better

KIB, MIB, TIB = 1 << 10, 1 << 20, 1 << 40
# What stands beside kmheap, the first of them that a row has.
PEERS = ("kmalloc", "kvmalloc", "kfree_rcu", "kmem_cache", "SLUB", "slub", "vmalloc", "pages")


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def rows_of(group, cases, op, peer="kmheap", low=0, high=math.inf, cpus=None, **words):
    """(row, sides) where kmheap and @peer are, of low to high bytes, with these @words."""
    for row, sides in group.rows.items() if group else ():
        if row.case in cases.split() and row.op == op and low <= row.bytes <= high:
            fits = all(dict(row.variant).get(k) == v for k, v in words.items())
            if fits and cpus in (None, row.cpus) and "kmheap" in sides and peer in sides:
                yield row, sides


def ratios(group, cases, op, peer, extra=None, **select):
    """[(ratio, row)]; of the medians, or of the further figure that is named."""
    found = []
    for row, sides in rows_of(group, cases, op, peer, **select):
        mine, other = (sides[s].more[extra] if extra else sides[s].median for s in ("kmheap", peer))
        if mine > 0 and other > 0:
            found.append((mine / other, row))
    return found


def values(group, cases, op, **select):
    """[(kmheap's median, row)]."""
    return [(sides["kmheap"].median, row) for row, sides in rows_of(group, cases, op, **select)]


Target = collections.namedtuple("Target", "what against limit at_least value where met")


class Targets:
    """The table of targets; a row without figures has no value."""

    def __init__(self, groups):
        self.groups = sorted(groups, key=lambda group: group.version)
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

    def add(self, what, against, limit, found, group, judge=geomean, at_least=False):
        """@found: [(value, row)]; @judge makes one of them: geomean, max or min."""
        if not found:
            self.rows.append(Target(what, against, limit, at_least, None, "", None))
            return
        value = judge([v for v, _ in found])
        met = value >= limit if at_least else value <= limit
        where = [group.name]
        if judge is geomean:
            where.append(f"{len(found)} rows" if len(found) > 1 else "")
        elif len(found) > 1:
            row = judge(found, key=lambda entry: entry[0])[1]
            where += [row.op, bytes_name(row.bytes) if row.bytes else ""]
            where += [v for _, v in row.words]
        self.rows.append(Target(what, against, limit, at_least, value,
                                ", ".join(filter(None, where)), met))

    def ratio(self, what, peer, limit, group, cases, op, judge=geomean, **select):
        self.add(what, PEER_NAMES.get(peer, peer), limit, ratios(group, cases, op, peer, **select),
                 group, judge)


PEER_NAMES = {
    "kmalloc": "kmalloc/kfree", "kvmalloc": "kvmalloc/kvfree", "kmem_cache": "kmem_cache",
}


def targets(groups):
    """Every row of the table of targets."""
    t = Targets(groups)
    timed = t.newest("uml", "native")
    counted = t.newest("qemu-count", series="6.12", word="init_on_alloc=0")
    small = {"high": 8 * KIB}
    large = {"low": 16 * KIB, "high": MIB}
    bursts = "burst burst_reverse"
    t.ratio("pair, 8 B to 8 KiB", "kmalloc", 0.33, timed, "pair", "const", **small)
    t.ratio("pair, 8 B to 8 KiB, largest", "kmalloc", 0.45, timed, "pair", "const", max, **small)
    t.add("pair of 64 B, instructions", "itself", 72,
          values(counted, "pair", "const", low=64, high=64), counted)
    t.ratio("burst to 1 KiB", "kmalloc", 0.30, timed, bursts, "total", high=KIB)
    t.ratio("burst, 2 to 8 KiB", "kmalloc", 0.60, timed, bursts, "total", low=2 * KIB, high=8 * KIB)
    t.ratio("shuffle in a live set of 10 k", "kmalloc", 0.45, timed, "shuffle", "replace", **small)
    t.ratio("remote free", "kmalloc", 0.50, timed, "remote", "free", **small)
    t.ratio("producer and consumer", "kmalloc", 0.50, timed, "ring", "object", **small)
    t.ratio("bulk of 32, burst", "kmem_cache", 0.60, timed, "bulk", "total")
    t.ratio("bulk of 32, pair", "kmem_cache", 0.60, timed, "bulk", "pair")
    t.ratio("pair, 16 KiB to 1 MiB", "kvmalloc", 0.05, timed, "pair", "const", **large)
    t.ratio("burst of 32, 16 KiB to 1 MiB", "kvmalloc", 0.25, timed, bursts, "total", **large)
    t.ratio("kmheap_free_rcu", "kfree_rcu", 0.33, timed, "rcu", "free")
    t.add("throughput, 2 CPUs over 1, smallest", "itself", 1.9,
          values(timed, "scaling", "pair_ratio", cpus=2) +
          values(timed, "scaling", "burst_ratio", cpus=2), timed, min, at_least=True)
    stock = t.newest("qemu", series="6.12")
    for group in (timed, stock) if stock and "memory" in stock.runs else (timed,):
        t.ratio("footprint over live bytes after churn", "kmalloc", 0.90, group, "memory", "churn")
        t.ratio("the same, largest", "kmalloc", 0.90, group, "memory", "churn", max)
    t.ratio("p99.9 of an alloc", "kmalloc", 1.0, timed, "latency", "alloc", extra="p999")
    t.ratio("p99.9 of an alloc, largest", "kmalloc", 1.0, timed, "latency", "alloc", max,
            extra="p999")
    found = [entry for op in ("pair_ratio", "far_ratio", "churn_ratio")
             for entry in values(timed, "pagealloc", op, low=TIB, high=TIB)]
    t.add("page allocator, 1 TiB over 64 MiB, largest", "itself", 2.0, found, timed, max)
    return t.rows


# ---- losses

Loss = collections.namedtuple("Loss", "group case op words peer sizes of clear worst worst_at")


def costs(fig, row):
    """Median, low and high, so that lower is better."""
    if is_higher_better(row):
        return tuple(1 / x if x else math.inf for x in (fig.median, fig.high, fig.low))
    return fig.median, fig.low, fig.high


def losses(groups):
    """Where kmheap's median is worse than another's, the worst first; one entry for all sizes."""
    found = collections.defaultdict(list)
    for group in groups:
        for row, sides in group.rows.items():
            if "kmheap" not in sides:
                continue
            mine, low, _ = costs(sides["kmheap"], row)
            for peer, fig in sides.items():
                other, _, high = costs(fig, row)
                if peer != "kmheap" and other > 0:
                    key = group, row.case, row.op, row.words, peer
                    found[key].append((mine / other, low > high, row.bytes, row.cpus))
    entries = []
    for (group, case, op, words, peer), rows in found.items():
        lost = [r for r in rows if r[0] > 1]
        if lost:
            worst = max(lost)
            entries.append(Loss(group, case, op, words, peer, [(r[2], r[3]) for r in lost],
                                len(rows), sum(r[1] for r in lost), worst[0], worst[2]))
    return sorted(entries, key=lambda e: (-e.worst, e.group.name, e.case, e.op, str(e.words), e.peer))
