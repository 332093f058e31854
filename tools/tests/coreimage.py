# SPDX-License-Identifier: GPL-2.0
"""A kernel's memory with kmheap in it, made by hand: one heap with a few objects and two sites.

The structures are not laid out as the module's are: a reader has nothing but the table to go by.
"""
import struct

PAGE = 4096
KERNEL, MODULES, TEXT, DIRECT = (0xffffffff81000000, 0xffffffffc0400000, 0xffffffffc0500000,
                                 0xffff888000000000)
TABLES = KERNEL + 0x10000
ARENA = 0xffff888010000000
LONG = "long" + "_and_so_on" * 15

# structure: its bytes, and its fields with their offsets and bytes
LAYOUT = {
    "list_head": (16, {"next": (0, 8)}),
    "kmheap": (512, {"list": (64, 16), "name": (8, 8), "owner": (16, 8), "arena_bytes": (24, 8),
                     "metadata_bytes": (32, 8), "limit_bytes": (40, 8), "arenas": (80, 16),
                     "caches.cache": (96, 8), "profile.last_period": (400, 8), "profile.period": (416, 8),
                     "profile.since_ns": (408, 8)}),
    "kmheap_cache": (64, {"name": (5, 30)}),
    "kmh_arena": (64, {"list": (32, 16), "first": (8, 8), "npages": (48, 8)}),
    "kmh_arenamap": (24, {"base": (8, 8), "nr": (0, 8), "biased": (16, 8)}),
    "kmh_mspan": (256, {"heap": (8, 8), "tiny": (16, 8), "large_bytes": (16, 8), "npages": (24, 4),
                        "nelems": (30, 2), "base": (40, 8), "state": (28, 1), "elemsize": (32, 2),
                        "w": (48, 8), "cell": (64, 1)}),
    "kmh_slots": (16, {"remote": (8, 8)}),
    "kmh_site": (256, {"hash": (8, 8), "owner": (0, 8), "class": (16, 4), "depth": (20, 1),
                       "live_objects": (24, 8), "live_bytes": (32, 8), "allocs": (40, 8),
                       "alloc_bytes": (48, 8), "ip": (64, 8), "names": (56, 8)}),
    "kmh_frame_name": (32, {"next": (8, 8), "ip": (0, 8), "text": (16, 1)}),
    "kmh_record": (24, {"addr": (8, 8), "site": (0, 4)}),
    "module": (512, {"list": (8, 16), "name": (24, 56), "text": (200, 8), "text_bytes": (208, 4),
                     "kallsyms": (216, 8)}),
    "mod_kallsyms": (32, {"symtab": (0, 8), "num_symtab": (8, 4), "strtab": (16, 8)}),
}
NUMBERS = {"KMH_LEAF_SHIFT": 24, "KMH_PAGE_SHIFT": 13, "KMH_SPAN_UNUSED": 2, "KMH_SPAN_FREED": 3,
           "KMH_SPAN_SMALL": 4, "KMH_SPAN_TINY": 5, "KMH_SPAN_LARGE": 6, "KMH_SPAN_MANUAL": 7,
           "KMH_CELL_OUT": 52, "KMH_CELL_WAITS": 53, "KMH_CELL_SPECIAL": 54, "KMH_TINY_GRANULE": 4,
           "KMH_SITE_FRAMES": 12}
VARIABLES = {"kmh_heaps": 16, "kmh_blockmap": 8, "kmh_areamap": 8, "kmh_span_none": 256,
             "kmh_span_gone": 256, "kmh_sites": 8, "kmh_profile_sites": 4, "kmh_sites_lost": 8,
             "kmh_records": 8, "kmh_profile_records": 4, "kmh_records_missed": 8}
SYMBOLS = [(KERNEL, "_stext"), (KERNEL + 0x100, "vfs_write"), (KERNEL + 0x100, "vfs_write_alias"),
           (KERNEL + 0x400, LONG), (KERNEL + 0x800, "_etext"), (KERNEL + 0x9000, "modules"),
           (KERNEL + 0xa000, "_end")]


class Text:
    """As much of an object of drgn as is asked for."""

    def __init__(self, text):
        self.text = text

    def string_(self):
        return self.text.encode("ascii")


class Image:
    """read() as a drgn.Program has it. AT has the addresses of what there is, by name."""

    def __init__(self, offsets="absolute", near=True):
        self.pages, self.next, self.at = {}, TABLES, {}
        self.kallsyms(offsets)
        self.next = DIRECT
        self.modules(near)
        self.heap()
        self.spans()
        self.sites()

    def __getitem__(self, name):
        return {"VMCOREINFO": Text(self.vmcoreinfo)}[name]

    def read(self, address, size):
        data = b""
        while len(data) < size:
            at = address + len(data)
            if at & -PAGE not in self.pages:
                raise LookupError("no page at 0x%x" % at)
            data += self.pages[at & -PAGE][at % PAGE:][:size - len(data)]
        return bytes(data)

    def write(self, address, data):
        for i, byte in enumerate(data):
            self.pages.setdefault(address + i & -PAGE, bytearray(PAGE))[(address + i) % PAGE] = byte

    def number(self, address, value, size=8):
        self.write(address, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))

    def put(self, name, data):
        """DATA at an address of its own, which is in AT as NAME."""
        self.at[name] = self.next
        self.write(self.next, data)
        self.next += -(-len(data) // 64) * 64
        return self.at[name]

    def make(self, kind, what, /, **fields):
        """A structure, of which FIELDS are set ("." is "__")."""
        address = self.put(what, bytes(LAYOUT[kind][0]))
        for field, value in fields.items():
            self.set(kind, what, field.replace("__", "."), value)
        return address

    def where(self, kind, name, field):
        return self.at[name] + LAYOUT[kind][1][field][0]

    def set(self, kind, name, field, value):
        self.number(self.where(kind, name, field), value, LAYOUT[kind][1][field][1])

    def chain(self, *links):
        """A list over links and their head, in both directions."""
        for one, other in zip(links, links[1:] + links[:1]):
            self.number(one, other)
            self.number(other + 8, one)

    def entry(self, name):
        """The address of an entry of the table."""
        return self.at["entries"] + 56 * self.names.index(name)

    # ---- the parts

    def kallsyms(self, kind):
        """KIND of offsets: "absolute" where they are not negative, from a "base", or from "here"."""
        tokens = [chr(i) if 33 <= i < 127 else "" for i in range(256)]
        tokens[200], tokens[201] = "vfs_", "odul"
        table, index = b"", []
        for token in tokens:
            index.append(len(table))
            table += token.encode("ascii") + b"\0"
        names = b""
        for _, name in SYMBOLS:
            codes = ("T" + name).encode("ascii").replace(b"vfs_", b"\xc8").replace(b"odul", b"\xc9")
            size = len(codes)
            names += bytes([size] if size < 128 else [size & 127 | 128, size >> 7]) + codes
        here = self.put("offsets", bytes(4 * len(SYMBOLS))) if kind == "here" else 0
        offsets = [{"absolute": KERNEL - 1 - address, "base": address - KERNEL,
                    "here": address - here - 4 * i}[kind] for i, (address, _) in enumerate(SYMBOLS)]
        at = {"names": self.put("names", names),
              "num_syms": self.put("num_syms", struct.pack("<I", len(SYMBOLS))),
              "token_table": self.put("tokens", table),
              "token_index": self.put("index", struct.pack("<256H", *index)),
              "offsets": here or self.put("offsets", bytes(4 * len(SYMBOLS)))}
        self.write(at["offsets"], struct.pack("<%dI" % len(offsets),
                                              *(offset & 0xffffffff for offset in offsets)))
        if kind != "here":
            at["relative_base"] = self.put("base", struct.pack("<Q", KERNEL))
        self.vmcoreinfo = "OSRELEASE=6.12\nSYMBOL(_stext)=%x\n" % KERNEL + "".join(
            "SYMBOL(kallsyms_%s)=%x\n" % pair for pair in at.items())

    def module(self, name, address, symbols):
        """A module with 4096 bytes of text for each that is there, and SYMBOLS in it."""
        self.at["module " + name] = address
        strings, table = b"\0", bytes(24)
        for value, symbol in symbols:
            table += struct.pack("<IBBHQQ", len(strings), 2, 0, 1, value, 0)
            strings += symbol.encode("ascii") + b"\0"
        self.write(address + 24, name.encode("ascii") + b"\0")
        symtab = self.make("mod_kallsyms", "kallsyms " + name, num_symtab=1 + len(symbols),
                           symtab=self.put("symtab " + name, table),
                           strtab=self.put("strtab " + name, strings))
        for field, value in (("text", TEXT + PAGE * (name == "made")), ("text_bytes", PAGE),
                             ("kallsyms", symtab)):
            self.set("module", "module " + name, field, value)

    def modules(self, near):
        own, made = MODULES + 0x5100, MODULES + 0x20040
        self.module("kmheap", own, [(TEXT + 0x10, "kmheap_alloc")])
        self.module("made", made, [(TEXT + PAGE, "made_first"), (TEXT + PAGE + 0x40, "$x.made"),
                                   (TEXT + PAGE + 0x80, "made_second")])
        self.chain(KERNEL + 0x9000, made + 8, own + 8)
        self.at["header"] = MODULES + 0x8ff8 if near else MODULES + 0x800000
        for name, size in VARIABLES.items():
            self.put(name, bytes(size))
        self.at["__this_module"] = own
        entries = [("%s.%s" % (kind, field),) + where for kind, (_, fields) in LAYOUT.items()
                   for field, where in fields.items()]
        entries += [(kind, 0, LAYOUT[kind][0]) for kind in ("kmh_site", "kmh_record")]
        entries += [(name, value, 0) for name, value in NUMBERS.items()]
        entries += [(name, self.at[name], size) for name, size in VARIABLES.items()]
        entries += [("__this_module", own, 512), ("something new", 7, 3)]
        self.names = [entry[0] for entry in entries]
        table = b"".join(struct.pack("<40sQQ", name.encode("ascii"), value, size)
                         for name, value, size in entries)
        self.write(self.at["header"], struct.pack(
            "<8sIIQQQ", b"KMHEAP\0\1", 1, 56, self.at["header"], self.put("entries", table),
            len(entries)))

    def heap(self):
        self.make("kmheap_cache", "cache")
        self.write(self.at["cache"] + 5, b"pairs\0")
        self.make("kmheap", "heap", name=self.put("name", b"made up\0"), arena_bytes=65536,
                  metadata_bytes=1000, owner=self.at["module made"],
                  profile__last_period=1, profile__period=1, profile__since_ns=1796011390000000000)
        self.number(self.where("kmheap", "heap", "caches.cache") + 8, self.at["cache"])
        self.make("kmh_arena", "arena", first=ARENA >> 13, npages=8)
        self.chain(self.at["kmh_heaps"], self.where("kmheap", "heap", "list"))
        self.chain(self.where("kmheap", "heap", "arenas"),
                   self.where("kmh_arena", "arena", "list"))

    def spans(self):
        """Pages 0: objects of 100 bytes; 1 and 2: a large one; 3: packed; 4: free; 5: not in use."""
        heap = self.at["heap"]
        words = self.put("words", bytes(16))
        kinds = {"small": (ARENA, 1, 4, 80, 100, 0), "large": (ARENA + 8192, 2, 6, 1, 0, 9000),
                 "tiny": (ARENA + 3 * 8192, 1, 5, 512, 16, self.put("states", bytes(512))),
                 "freed": (0, 0, 3, 0, 0, 0), "unused": (0, 0, 2, 0, 0, 0)}
        leaf = [self.at["kmh_span_none"]] * 2048
        for name, (base, pages, state, nelems, elemsize, more) in kinds.items():
            self.make("kmh_mspan", name, heap=heap, base=base, npages=pages, state=state,
                      nelems=nelems, elemsize=elemsize, large_bytes=more, w=words)
            self.next += 512
            for page in range(pages):
                leaf[(base - ARENA >> 13) + page] = self.at[name]
        leaf[4], leaf[5] = self.at["freed"], self.at["unused"]
        cells = self.where("kmh_mspan", "small", "cell")
        self.write(cells, bytes([0, 1, 2, 52, 53, 54, 60]) + bytes([52]) * 73)
        self.write(self.where("kmh_mspan", "tiny", "cell"), bytes([0]) + bytes([52]) * 511)
        # The first block has a live object of 8 bytes, a dead one of 4, and the rest.
        self.write(self.at["states"], bytes([0x01 | 0x20 | 0x40]))
        first = ARENA >> 24
        self.put("leaf", struct.pack("<2048Q", *leaf))
        biased = self.at["leaf"] - 8 * 2048 * first
        self.put("level", struct.pack("<QQQ", 1, first, biased & (1 << 64) - 1))
        self.put("no level", struct.pack("<QQ", 0, 0))
        self.number(self.at["kmh_blockmap"], self.at["level"])
        self.number(self.at["kmh_areamap"], self.at["no level"])

    def sites(self):
        kept = self.make("kmh_frame_name", "kept", ip=TEXT + 0x20000)
        self.write(kept + 16, b"made_init+0x8/0x20 [made]\0")
        self.put("sites", bytes(256 * 64))
        for number, (counts, stack, names) in {
                5: ((1, 100, 4, 400), (TEXT + PAGE + 0x44, KERNEL + 0x404), 0),
                9: ((1, 16384, 1, 16384), (TEXT + 0x20000, KERNEL + 0x110, 0x1234), kept),
                30: ((1, 100, 1, 100), (TEXT + PAGE + 0x44, KERNEL + 0x404), 0)}.items():
            name = "site %d" % number
            self.at[name] = self.at["sites"] + 256 * number
            for field, value in zip(("live_objects", "live_bytes", "allocs", "alloc_bytes"), counts):
                self.set("kmh_site", name, field, value)
            for field, value in (("hash", 1 << 32), ("owner", self.at["heap"]), ("class", 20),
                                 ("depth", len(stack)), ("names", names)):
                self.set("kmh_site", name, field, value)
            self.write(self.where("kmh_site", name, "ip"), struct.pack("<%dQ" % len(stack), *stack))
        records = bytearray(24 * 64)
        struct.pack_into("<IIQ", records, 24 * 7, 5, 0, ARENA)
        struct.pack_into("<IIQ", records, 24 * 63, 9, 0, ARENA + 8192)
        for name, table in (("sites", self.at["sites"]), ("records", self.put("records", records))):
            self.number(self.at["kmh_" + name], table)
            self.number(self.at["kmh_profile_" + name], 64, 4)
        self.number(self.at["kmh_records_missed"], 3)
