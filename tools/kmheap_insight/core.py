# SPDX-License-Identifier: GPL-2.0
"""Reads kmheap's heaps out of a kernel's memory: a dump of one that crashed, or /proc/kcore.

PROG is a drgn.Program, or anything whose read(address, bytes) returns bytes. Nothing is known of
kmheap's types but what the table says that the symbol kmheap_vmcore leads to, so no debug
information is needed; include/linux/kmheap_vmcore.h describes the table. In drgn itself::

    >>> from kmheap_insight import core
    >>> found = core.Core(prog, path="vmcore")      # or core.Core(prog) for the kernel that runs
    >>> print(core.profile(found, "strtab"))
    >>> print(core.identify(found, 0xffff88810a2b4000))

Memory of a kernel that crashed may be damaged. Every list, table and string here has an end: what
does not come to it, or makes no sense, is a CoreError of one line.
"""
import struct

from .corenames import Names, find_near_module
from .coreread import CoreError, Memory
from .text import text_of

MAGIC = b"KMHEAP\0\1"
VERSION = 1
HEADER = struct.Struct("<8sIIQQQ")
MASK = (1 << 64) - 1

# More than any module has had or could have.
MOST_ENTRIES, MOST_ENTRY_BYTES, MOST_OFFSET = 4096, 1024, 1 << 24
MOST_HEAPS, MOST_ARENAS, MOST_ARENA_PAGES = 1 << 16, 1 << 20, 1 << 28
MOST_SPAN_SLOTS, MOST_CACHES = 1 << 14, 128
MOST_SITES, MOST_FRAMES, MOST_RECORDS, MOST_NAMES = 1 << 16, 256, 1 << 24, 256
COUNTS = ("live_objects", "live_bytes", "allocs", "alloc_bytes")


class Heap:
    """A heap as its list has it."""

    def __init__(self, core, address):
        self.core, self.address = core, address
        self.name = text_of(core.memory.string(core.field("kmheap.name", address)))
        owner = core.field("kmheap.owner", address)
        self.owner = text_of(core.memory.string(owner + core.offset("module.name"))) \
            if owner else "none"
        self.period = core.field("kmheap.profile.last_period", address)
        self.profiled = core.field("kmheap.profile.period", address) != 0
        self.since_ns = core.field("kmheap.profile.since_ns", address)
        self.limit_bytes = core.field("kmheap.limit_bytes", address)
        self.metadata_bytes = core.field("kmheap.metadata_bytes", address)
        self.footprint_bytes = self.metadata_bytes + core.field("kmheap.arena_bytes", address)

    def arenas(self):
        """[(first heap page, how many)]"""
        core = self.core
        found = []
        for arena in core.members(core.at("kmheap.arenas", self.address), "kmh_arena.list",
                                  MOST_ARENAS, "arenas of heap " + self.name):
            pages = core.field("kmh_arena.npages", arena)
            if pages > MOST_ARENA_PAGES:
                raise CoreError("an arena of heap %s has %d pages" % (self.name, pages))
            found.append((core.field("kmh_arena.first", arena), pages))
        return found

    def spans(self):
        """The spans that begin in its arenas."""
        core = self.core
        shift, small = core.number("KMH_PAGE_SHIFT"), core.number("KMH_SPAN_SMALL")
        for first, pages in self.arenas():
            last = None
            for page, address in core.map.pages(first, pages):
                if address == last:
                    continue
                last, span = address, Span(core, address)
                if span.state >= small and span.base >> shift == page:
                    yield span

    def live(self):
        """(spans, live objects, live bytes), counted as the file stats has them."""
        spans = objects = size = 0
        for span in self.spans():
            spans += 1
            more = span.live()
            objects, size = objects + more[0], size + more[1]
        return spans, objects, size

    def live_and_runs(self):
        """How many live objects and runs of pages: what a profile of every object counts."""
        return sum(span.live()[0] + span.is_live_run() for span in self.spans())


class Span:
    def __init__(self, core, address):
        self.core, self.address = core, address
        for name in ("heap", "base", "npages", "nelems", "state", "elemsize"):
            setattr(self, name, core.field("kmh_mspan." + name, address))

    def cells(self):
        if not 0 < self.nelems <= MOST_SPAN_SLOTS or not self.elemsize:
            raise CoreError("the span at 0x%x has %d slots of %d bytes" %
                            (self.address, self.nelems, self.elemsize))
        return self.core.memory.read(self.core.at("kmh_mspan.cell", self.address), self.nelems)

    def tiny(self):
        """The states of a span of packed objects, a byte for each block."""
        return self.core.memory.read(self.core.field("kmh_mspan.tiny", self.address), self.nelems)

    def claimed(self):
        """Is a large object freed?"""
        words = self.core.field("kmh_mspan.w", self.address)
        return self.core.field("kmh_slots.remote", words) & 1

    def is_of(self, kind):
        return self.state == self.core.number("KMH_SPAN_" + kind)

    def is_live_run(self):
        return self.is_of("MANUAL") and not self.claimed()

    def live(self):
        """(live objects, live bytes)"""
        if self.is_of("LARGE") or self.is_of("MANUAL"):
            if self.claimed():
                return 0, 0
            return int(self.is_of("LARGE")), self.core.field("kmh_mspan.large_bytes", self.address)
        out = self.core.number("KMH_CELL_OUT")
        blocks = sum(cell < out for cell in self.cells())
        objects = blocks
        if self.is_of("TINY"):
            objects = sum(bin(state & 15).count("1") for state in self.tiny())
        return objects, blocks * self.elemsize


class Map:
    """From addresses to spans: the two levels of kmod/span/arenamap.h."""

    def __init__(self, core):
        self.core = core
        self.leaf_shift = core.number("KMH_LEAF_SHIFT")
        self.page_shift = core.number("KMH_PAGE_SHIFT")
        if not 0 < self.page_shift < self.leaf_shift < 48:
            raise CoreError("the map has pages of 2^%d bytes and leaves of 2^%d" %
                            (self.page_shift, self.leaf_shift))
        self.none = core.variable_at("kmh_span_none")
        self.gone = core.variable_at("kmh_span_gone")
        self.levels = []
        for name in ("kmh_blockmap", "kmh_areamap"):
            level = core.variable(name)
            if level:
                self.levels.append((level, core.field("kmh_arenamap.base", level),
                                    core.field("kmh_arenamap.nr", level)))

    def entry(self, page):
        """The address of the entry of a heap page; None where there is none."""
        leaf = page >> self.leaf_shift - self.page_shift
        for level, base, count in self.levels:
            if base <= leaf < base + count:
                biased = self.core.memory.integer(
                    self.core.at("kmh_arenamap.biased", level) + 8 * (leaf - base), 8)
                return biased + 8 * page & MASK
        return None

    def span(self, address):
        entry = self.entry(address >> self.page_shift)
        return self.none if entry is None else self.core.memory.integer(entry, 8)

    def pages(self, first, count):
        """(page, the address of its span) of pages that are in the map."""
        per_leaf = 1 << self.leaf_shift - self.page_shift
        page, end = first, first + count
        while page < end:
            n = min(end, (page // per_leaf + 1) * per_leaf) - page
            entry = self.entry(page)
            if entry is not None:
                words = self.core.memory.read(entry, 8 * n)
                yield from zip(range(page, page + n), struct.unpack("<%dQ" % n, words))
            page += n


class Site:
    def __init__(self, core, number, entry):
        self.number = number
        self.owner = core.of_entry("kmh_site.owner", entry)
        self.span_class = core.of_entry("kmh_site.class", entry)
        self.counts = [core.of_entry("kmh_site." + name, entry) for name in COUNTS]
        depth = core.of_entry("kmh_site.depth", entry)
        if depth > min(core.number("KMH_SITE_FRAMES"), MOST_FRAMES):
            raise CoreError("site %d has %d frames" % (number, depth))
        at = core.offset("kmh_site.ip")
        self.stack = struct.unpack_from("<%dQ" % depth, entry, at)
        self.kept = self._kept(core, core.of_entry("kmh_site.names", entry))

    @staticmethod
    def _kept(core, at):
        """Names that the kernel has kept of text that is gone: {address: name}. Those that cannot be
        read leave an address, and no more."""
        found = {}
        try:
            while at and len(found) < MOST_NAMES:
                address = core.field("kmh_frame_name.ip", at)
                if address in found:
                    break
                found[address] = text_of(core.memory.string(core.at("kmh_frame_name.text", at)))
                at = core.field("kmh_frame_name.next", at)
        except CoreError:
            pass
        return found


class Core:
    """A kernel's memory with kmheap in it. ADDRESS is that of kmheap_vmcore, where it is known; PATH
    the dump that PROG has."""

    def __init__(self, prog, address=None, path=None):
        self.memory = Memory(prog, path)
        self.names = Names(self.memory)
        self.address = self._find() if address is None else address
        self.entries = self._entries()
        self.names.layout = self
        self.map = Map(self)

    # ---- the header and the table

    def _find(self):
        """The address of kmheap_vmcore, by its name or beside its struct module."""
        address = self.memory.symbol("kmheap_vmcore") or self.names.running("kmheap_vmcore")
        return address or find_near_module(self.memory, self.names, "kmheap", self._is_header)

    def _is_header(self, address):
        try:
            magic, _, _, own, _, _ = HEADER.unpack(self.memory.read(address, HEADER.size))
        except CoreError:
            return False
        return magic == MAGIC and own == address

    def _entries(self):
        magic, version, size, own, at, count = HEADER.unpack(
            self.memory.read(self.address, HEADER.size))
        where = "kmheap_vmcore at 0x%x" % self.address
        if magic != MAGIC:
            raise CoreError("%s does not begin as it should: %r" % (where, magic))
        if version != VERSION:
            raise CoreError("%s is of version %d, and this tool reads version %d" %
                            (where, version, VERSION))
        if own != self.address:
            raise CoreError("%s says that it is at 0x%x" % (where, own))
        if not 56 <= size <= MOST_ENTRY_BYTES or not 0 < count <= MOST_ENTRIES:
            raise CoreError("%s has %d entries of %d bytes" % (where, count, size))
        table, found = self.memory.read(at, size * count), {}
        for i in range(count):
            name, value, length = struct.unpack_from("<40sQQ", table, i * size)
            name = name.split(b"\0")[0].decode("ascii", "replace")
            if "." in name and (value > MOST_OFFSET or not 0 < length <= MOST_OFFSET):
                raise CoreError("%s: %.40r has %d bytes at offset %d" %
                                (where, name, length, value))
            found[name] = value, length
        return found

    def _entry(self, name):
        try:
            return self.entries[name]
        except KeyError:
            raise CoreError("kmheap_vmcore has no entry %s: the module is of another version" %
                            name) from None

    def has(self, name):
        return name in self.entries

    def number(self, name):
        return self._entry(name)[0]

    offset = variable_at = number

    def bytes_of(self, name):
        return self._entry(name)[1]

    def at(self, name, address):
        """Where a field is of the structure at ADDRESS."""
        return address + self.offset(name) & MASK

    def field(self, name, address):
        """The number in a field of the structure at ADDRESS."""
        return self.memory.integer(self.at(name, address), self.bytes_of(name), name)

    def of_entry(self, name, entry):
        """The same in ENTRY, the bytes of such a structure."""
        offset, size = self._entry(name)
        if size not in (1, 2, 4, 8) or offset + size > len(entry):
            raise CoreError("%s has %d bytes at offset %d" % (name, size, offset))
        return int.from_bytes(entry[offset:offset + size], "little")

    def variable(self, name):
        return self.memory.integer(self.variable_at(name), self.bytes_of(name), name)

    def members(self, head, link, most, what):
        """The addresses of the structures on a list, at most MOST, whose field LINK is their link."""
        seen, at = set(), self.field("list_head.next", head)
        while at != head:
            if at in seen or len(seen) == most:
                raise CoreError("the list of %s has no end" % what)
            seen.add(at)
            yield at - self.offset(link) & MASK
            at = self.field("list_head.next", at)

    # ---- what there is

    def heaps(self):
        return [Heap(self, address) for address in self.members(
            self.variable_at("kmh_heaps"), "kmheap.list", MOST_HEAPS, "heaps")]

    def heap(self, name):
        heaps = self.heaps()
        for heap in heaps:
            if heap.name == name:
                return heap
        raise CoreError("there is no heap %s; there are: %s" % (
            text_of(name), ", ".join(heap.name for heap in heaps) or "none"))

    def _table(self, what, most):
        """(number, bytes) of each entry of a table of profiles that is not all 0: of kmh_sites or of
        kmh_records."""
        table, count = self.variable("kmh_%ss" % what), self.variable("kmh_profile_%ss" % what)
        size = self.bytes_of("kmh_" + what)
        if not table:
            return
        if not 0 < count <= most or not 0 < size <= MOST_ENTRY_BYTES:
            raise CoreError("there are %d %ss of %d bytes" % (count, what, size))
        for first in range(0, count, 256):
            n = min(256, count - first)
            part = self.memory.read(table + first * size & MASK, n * size)
            if part.strip(b"\0"):
                for i in range(n):
                    entry = part[i * size:(i + 1) * size]
                    if entry.strip(b"\0"):
                        yield first + i, entry

    def sites(self):
        """The sites of all heaps."""
        return [Site(self, number, entry)
                for number, entry in self._table("site", MOST_SITES)
                if self.of_entry("kmh_site.hash", entry) and
                self.of_entry("kmh_site.depth", entry)]

    def records(self):
        """{address: number of the site} of live sampled objects"""
        found = {}
        for _, entry in self._table("record", MOST_RECORDS):
            address = self.of_entry("kmh_record.addr", entry)
            if address > 1:
                found[address] = self.of_entry("kmh_record.site", entry)
        return found

    def frames(self, site):
        """The lines of a site's stack."""
        return ["\t%016x %s" % (address, site.kept.get(address) or self.names.name(address))
                for address in site.stack]


def _rows(core, heap):
    """[(number, counts, site)], those of one stack and class added up, most live bytes first."""
    rows = {}
    for site in core.sites():
        if site.owner != heap.address:
            continue
        row = rows.setdefault((site.span_class, site.stack), (site, [0] * len(COUNTS)))
        for i, count in enumerate(site.counts):
            row[1][i] += count
    return sorted(rows.values(), key=lambda row: (-row[1][COUNTS.index("live_bytes")],
                                                  row[0].number))


def _core(prog):
    return prog if isinstance(prog, Core) else Core(prog)


def profile(prog, name, time_ns=0):
    """The text of the file profile of the heap NAME, as the kernel would say it; TIME_NS is when."""
    core = _core(prog)
    heap = core.heap(name)
    rows = _rows(core, heap)
    lines = ["kmheap profile 1", "kind inuse", "heap " + heap.name, "owner " + heap.owner,
             "period_bytes %d" % heap.period, "time_ns %d" % time_ns,
             "since_ns %d" % heap.since_ns,
             "samples %d" % sum(counts[COUNTS.index("allocs")] for _, counts in rows),
             "lost %d" % core.variable("kmh_sites_lost"),
             "missed %d" % core.variable("kmh_records_missed")]
    if heap.profiled and heap.period == 1:
        known = sum(counts[COUNTS.index("live_objects")] for _, counts in rows)
        lines.append("before_objects %d" % max(heap.live_and_runs() - known, 0))
    lines.append("columns site " + " ".join(COUNTS))
    for site, counts in rows:
        if counts[COUNTS.index("allocs")]:
            lines.append("site %d %s" % (site.number, " ".join(map(str, counts))))
            lines += core.frames(site)
    return "\n".join(lines) + "\n"


def sites(prog):
    """The Sites of all heaps."""
    return _core(prog).sites()


def heaps(prog):
    """The Heaps."""
    return _core(prog).heaps()


def identify(prog, address):
    """What an address is, in lines of text: coreobject.py."""
    from .coreobject import identified
    return "\n".join(identified(_core(prog), address)) + "\n"
