# SPDX-License-Identifier: GPL-2.0
"""What an address of a kernel's memory is, if it is kmheap's; see core.py."""
from .core import MOST_CACHES, Span
from .text import text_of

BLOCK = 16      # bytes of a block of packed objects, which begin at one of four granules


def _cell(core, heap, cell):
    """What the state of a slot means, and whether its object is live."""
    if cell < core.number("KMH_CELL_OUT"):
        cache = cell // 2
        if not 0 < cache < MOST_CACHES:
            return "live", True
        at = core.memory.integer(core.at("kmheap.caches.cache", heap) + 8 * cache, 8)
        name = text_of(core.memory.string(core.at("kmheap_cache.name", at))) if at else "unknown"
        return "live, of cache " + name, True
    return {core.number("KMH_CELL_OUT"): "free",
            core.number("KMH_CELL_WAITS"): "freed, waits for a grace period",
            core.number("KMH_CELL_SPECIAL"): "dead, waits for its finalizer"}.get(
                cell, "free, kept by a CPU"), False


def _packed(core, span, offset, block):
    """(base, bytes, live) of an object that is packed into a block: kmod/cpu/tiny.c."""
    granule = core.number("KMH_TINY_GRANULE")
    state = span.tiny()[block]
    starts = [0] + [i for i in range(1, BLOCK // granule) if state & 8 << i] + [BLOCK // granule]
    first = max(i for i in starts if i <= offset % BLOCK // granule)
    end = min(i for i in starts if i > first)
    return (span.base + block * BLOCK + first * granule, (end - first) * granule,
            bool(state & 1 << first))


def _slot(core, span, address):
    """(base, bytes, state, live) of the object in a span of slots; base None: in none."""
    offset = address - span.base
    cells = span.cells()
    slot = offset // span.elemsize
    if slot >= len(cells):
        return None, 0, "behind the last object of its span", False
    state, live = _cell(core, span.heap, cells[slot])
    base, size = span.base + slot * span.elemsize, span.elemsize
    if span.is_of("TINY"):
        base, size, there = _packed(core, span, offset, slot)
        if live and not there:
            state, live = "free, in a block that is not", False
    return base, size, state, live


def _large(core, span):
    size = span.npages << core.number("KMH_PAGE_SHIFT")
    kind = "pages that their owner manages" if span.is_of("MANUAL") else "live"
    if span.claimed():
        return span.base, size, "free", False
    asked = core.field("kmh_mspan.large_bytes", span.address)
    return span.base, size, "%s, %d bytes were asked for" % (kind, asked), True


def identified(core, address):
    """Lines of text."""
    at = core.map.span(address)
    if at in (core.map.none, 0):
        return ["0x%x is no memory of kmheap" % address]
    if at == core.map.gone:
        return ["0x%x was memory of a heap, which has gone back to the kernel" % address]
    span = Span(core, at)
    heap = next((heap for heap in core.heaps() if heap.address == span.heap), None)
    whose = "heap %s, owner %s" % (heap.name, heap.owner) if heap else "a heap that has ended"
    if span.is_of("UNUSED") or span.is_of("FREED"):
        return ["0x%x is in a free page of %s" % (address, whose)]
    inside = 0 <= address - span.base < span.npages << core.number("KMH_PAGE_SHIFT")
    if not inside or span.state < core.number("KMH_SPAN_SMALL"):
        return ["0x%x leads to a span of %s that does not hold it" % (address, whose)]
    if span.is_of("LARGE") or span.is_of("MANUAL"):
        base, size, state, live = _large(core, span)
    else:
        base, size, state, live = _slot(core, span, address)
    if base is None:
        return ["0x%x is %s, %s" % (address, state, whose)]
    lines = ["0x%x is byte %d of %d of the object at 0x%x" % (address, address - base, size, base),
             whose, state]
    number = core.records().get(base) if live else None
    site = next((site for site in core.sites() if site.number == number), None)
    if site:
        lines += ["allocated at site %d, from" % number] + core.frames(site)
    return lines
