# SPDX-License-Identifier: GPL-2.0
"""A made kernel's memory, whole and damaged. Of a real one scripts/check-core reads the memory."""
import os
import re
import shutil
import struct
import sys
import tempfile
import unittest
from unittest import mock

from common import Case
from coreimage import ARENA, KERNEL, LONG, PAGE, SYMBOLS, TEXT, Image
from kmheap_insight import core, corenames
from kmheap_insight.coreread import CoreError, Memory
from kmheap_insight.verbs import core as verb

PROFILE = """kmheap profile 1
kind inuse
heap made up
owner made
period_bytes 1
time_ns 1796011400000000000
since_ns 1796011390000000000
samples 6
lost 0
missed 3
before_objects 2
columns site live_objects live_bytes allocs alloc_bytes
site 9 1 16384 1 16384
\t%016x made_init+0x8/0x20 [made]
\t%016x vfs_write+0x10/0x300
\t0000000000001234 0x1234
site 5 2 200 5 500
\t%016x made_first+0x44/0x80 [made]
\t%016x %s+0x4/0x400
""" % (TEXT + 0x20000, KERNEL + 0x110, TEXT + PAGE + 0x44, KERNEL + 0x404, LONG)


class Whole(unittest.TestCase):
    def test_profile(self):
        for offsets in ("absolute", "base", "here"):
            self.assertEqual(core.profile(Image(offsets), "made up", 1796011400000000000), PROFILE)

    def test_found(self):
        image = Image()
        self.assertEqual(core.Core(image).address, image.at["header"])
        self.assertEqual([site.number for site in core.sites(image)], [5, 9, 30])
        heap, = core.heaps(image)
        self.assertEqual((heap.name, heap.owner, heap.footprint_bytes, heap.period),
                         ("made up", "made", 66536, 1))
        self.assertEqual(heap.live(), (3, 3 + 1 + 1, 300 + 9000 + 16))

    def test_given(self):
        image = Image(near=False)
        with self.assertRaisesRegex(CoreError, "not near the module kmheap: .*--address"):
            core.Core(image)
        self.assertEqual(core.Core(image, image.at["header"]).heap("made up").period, 1)

    def test_no_names(self):
        """A kernel that does not say where they are: the address is given, and modules have names."""
        image = Image()
        image.vmcoreinfo = ""
        with self.assertRaisesRegex(CoreError, "not found: .*--address gives it"):
            core.Core(image)
        text = core.profile(core.Core(image, image.at["header"]), "made up")
        self.assertIn(" made_first+0x44/0x80 [made]\n\t%016x 0x%x\n" % ((KERNEL + 0x404,) * 2), text)

    def test_running(self):
        """A kernel that runs lists its symbols; addresses of no symbol are not those of the last."""
        path = os.path.join(tempfile.mkdtemp(), "kallsyms")
        self.addCleanup(shutil.rmtree, os.path.dirname(path))
        image = Image(near=False)
        with open(path, "w", encoding="ascii") as file:
            file.write("".join("%016x T %s\n" % pair for pair in [(0x1000, "percpu")] + SYMBOLS))
            file.write("%016x d kmheap_vmcore\t[kmheap]\n" % image.at["header"])
        with mock.patch.object(corenames, "KALLSYMS", path), \
                mock.patch.object(corenames.Names, "_live", lambda names: True):
            self.assertEqual(core.profile(image, "made up", 1796011400000000000), PROFILE)
            os.unlink(path)
            with self.assertRaisesRegex(CoreError, "kallsyms cannot be read: .*No such file"):
                core.Core(image)

    def test_identify(self):
        image = Image()
        found = core.Core(image)
        for address, what in (
                (ARENA, "byte 0 of 100 of the object at 0x%x\nheap made up, owner made\nlive\n"
                 "allocated at site 5, from\n\t%016x made_first" % (ARENA, TEXT + PAGE + 0x44)),
                (ARENA + 199, "byte 99 of 100 .*\nlive\n$"),
                (ARENA + 200, "live, of cache pairs"),
                (ARENA + 300, "\nfree\n$"), (ARENA + 400, "freed, waits for a grace period"),
                (ARENA + 500, "dead, waits for its finalizer"), (ARENA + 600, "kept by a CPU"),
                (ARENA + 8100, "behind the last object of its span, heap made up"),
                (ARENA + 3 * 8192 - 1, "byte 16383 of 16384 .*\nlive, 9000 bytes .*site 9"),
                (ARENA + 3 * 8192 + 7, "byte 7 of 8 .*\nlive\n$"),
                (ARENA + 3 * 8192 + 8, "byte 0 of 4 .*\nfree, in a block that is not\n$"),
                (ARENA + 3 * 8192 + 13, "byte 1 of 4 "),
                (ARENA + 4 * 8192, "in a free page of heap made up"),
                (ARENA + 5 * 8192, "in a free page of heap made up"),
                (ARENA + 6 * 8192, "is no memory of kmheap"), (0, "is no memory of kmheap"),
                ((1 << 64) - 1, "is no memory of kmheap")):
            self.assertRegex(core.identify(found, address), re.compile(what, re.DOTALL))
        image.number(image.at["words"] + 8, 3)
        self.assertIn("\nfree\n", core.identify(found, ARENA + 8192))


class Physical:
    """A program that knows physical addresses alone, as drgn's of a dump of QEMU."""

    def __init__(self):
        self.segments = []

    def read(self, address, size, physical=False):
        if physical:
            return b"%x" % address
        for start, length, read, _ in self.segments:
            if start <= address and address + size <= start + length:
                return read(address, size, address - start, False)[:size]
        raise LookupError("nothing at 0x%x" % address)

    def add_memory_segment(self, *segment, physical=False):
        self.segments.append((*segment, physical))


class Files(Case):
    """What a dump has beside the memory."""

    LINES = b"OSRELEASE=6.12\nSYMBOL(_stext)=ffffffff81000000\nNUMBER(phys_base)=-4096\n"

    def elf(self):
        notes = b"".join(struct.pack("<III", len(name), len(text), 0) + name +
                         bytes(-len(name) % 4) + text + bytes(-len(text) % 4)
                         for name, text in ((b"CORE\0", b"x" * 13), (b"VMCOREINFO\0", self.LINES)))
        return struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 4, 62, 1, 0, 64, 0, 0, 64, 56, 2,
                           0, 0, 0) + struct.pack("<IIQQQQQQ", 1, 7, 300, 0, 0, 0, 0, 0) + \
            struct.pack("<IIQQQQQQ", 4, 0, 64 + 112, 0, 0, len(notes), 0, 0) + notes

    def compressed(self):
        """As makedumpfile has it: the header in the first block, where the text is in the second."""
        first = b"KDUMP   ".ljust(428, b"\0") + struct.pack("<i", 512)
        return first.ljust(512 + 32, b"\0") + struct.pack("<QQ", 1024, len(self.LINES)) + \
            bytes(512 - 48) + self.LINES

    def lines(self, data):
        path = os.path.join(self.folder, "x")
        with open(path, "wb") as file:
            file.write(data)
        return Memory(Physical(), path)

    def test_what_the_kernel_says(self):
        for data in (self.elf(), self.compressed()):
            memory = self.lines(data)
            self.assertEqual(memory.vmcoreinfo["OSRELEASE"], "6.12")
            self.assertEqual(memory.info("SYMBOL", "_stext"), KERNEL)
            self.assertEqual(memory.info("NUMBER", "phys_base"), -4096)
            self.assertIsNone(memory.info("NUMBER", "other"))
            # The kernel's image, at what is its place in the dump, and nothing else.
            self.assertEqual(memory.read(KERNEL + 0x2000, 7), b"1001000")
            self.assertRaises(CoreError, memory.read, 0xffff888000000000, 1)

    def test_cut_off_anywhere(self):
        for data in (self.elf(), self.compressed()):
            for end in range(len(data)):
                self.lines(data[:end])
        self.assertEqual(self.lines(b"").vmcoreinfo, {})


class Damaged(unittest.TestCase):
    """Each wrong word is one line, and nothing has no end."""

    def refused(self, what, image, step=lambda found: core.profile(found, "made up")):
        with self.assertRaisesRegex(CoreError, what) as caught:
            step(core.Core(image, image.at["header"]))
        self.assertNotIn("\n", str(caught.exception))

    def change(self, kind, name, field, value):
        image = Image()
        image.set(kind, name, field, value)
        return image

    def test_header(self):
        for offset, word, what in (
                (0, b"KMHEAP\0\2", "does not begin as it should"), (8, b"\2", "is of version 2"),
                (12, b"\0\0\0\1", "entries of 16777216 bytes"), (12, b"\7", "entries of 7 bytes"),
                (16, b"\1", "says that it is at"), (24, b"\0" * 8, "cannot be read"),
                (32, b"\0", "has 0 entries"), (36, b"\1", "entries of 56 bytes")):
            image = Image()
            image.write(image.at["header"] + offset, word)
            self.refused(what, image)
        image.pages.pop(image.at["header"] & -PAGE)
        self.refused("no page at", image)

    def test_header_is_not_taken_for_another(self):
        """The search does not stop at a copy, nor at the same letters."""
        image = Image()
        copy = image.read(image.at["header"], 40)
        image.write(image.at["header"] - 0x3ff8, copy)
        image.write(image.at["header"] - 0x2ff8, b"KMHEAP\0\1" * 9)
        self.assertEqual(core.Core(image).address, image.at["header"])

    def test_table(self):
        image = Image()
        image.number(image.entry("kmh_site.depth") + 40, 1 << 40)
        self.refused("kmh_site.depth' has 1 bytes at offset", image)
        image = Image()
        image.number(image.entry("kmh_site.depth") + 40, 250)
        image.number(image.entry("kmh_site.depth") + 48, 8)
        self.refused("kmh_site.depth has 8 bytes at offset 250", image)
        image = Image()
        image.number(image.entry("kmheap.name") + 48, 5)
        self.refused("kmheap.name at .* is a number of 5 bytes", image)
        image = Image()
        image.write(image.entry("kmheap.name"), b"x")
        self.refused("has no entry kmheap.name: the module is of another version", image)

    def test_an_offset_that_is_off(self):
        """What no check can see is at least not what it was."""
        image = Image()
        image.number(image.entry("kmh_site.live_bytes") + 40, 40)
        self.assertNotEqual(core.profile(image, "made up", 1796011400000000000), PROFILE)

    def test_lists_without_an_end(self):
        image = Image()
        heap, arena = image.at["heap"], image.at["arena"]
        self.refused("cannot be read", self.change("kmheap", "heap", "list", 0x10))
        self.refused("list of heaps has no end", self.change("kmheap", "heap", "list", heap + 64))
        self.refused("list of arenas of heap made up has no end",
                     self.change("kmh_arena", "arena", "list", arena + 32),
                     lambda found: found.heaps()[0].live())
        image.set("kmh_frame_name", "kept", "next", image.at["kept"])
        self.assertEqual(core.profile(image, "made up", 1796011400000000000), PROFILE)
        image.set("kmh_site", "site 9", "names", 0x10)
        self.assertIn("\t%016x 0x%x\n" % ((TEXT + 0x20000,) * 2), core.profile(image, "made up"))
        image = self.change("module", "module made", "list", image.at["module made"] + 8)
        with self.assertRaisesRegex(CoreError, "list of modules has no end"):
            core.Core(image)
        # Names are not worth a profile.
        self.assertIn(" 0x%x\n" % (TEXT + PAGE + 0x44),
                      core.profile(core.Core(image, image.at["header"]), "made up"))

    def test_tables(self):
        self.refused("site 5 has 13 frames", self.change("kmh_site", "site 5", "depth", 13))
        for count in (0, 1 << 31):
            image = Image()
            image.number(image.at["kmh_profile_sites"], count, 4)
            self.refused("there are %d sites" % count, image)
        image = Image()
        image.number(image.at["kmh_sites"], 0)
        self.assertNotIn("\nsite ", core.profile(image, "made up"))
        image.number(image.at["kmh_profile_records"], 1 << 31, 4)
        self.refused("there are 2147483648 records", image, lambda found: found.records())

    def test_spans(self):
        def live(found):
            return found.heaps()[0].live()

        self.refused("has 0 slots of 100 bytes", self.change("kmh_mspan", "small", "nelems", 0), live)
        self.refused("has 65535 slots", self.change("kmh_mspan", "small", "nelems", 65535), live)
        self.refused("has 80 slots of 0 bytes", self.change("kmh_mspan", "small", "elemsize", 0),
                     live)
        self.refused("has 1152921504606846976 pages",
                     self.change("kmh_arena", "arena", "npages", 1 << 60), live)
        self.refused("map has pages of 2\\^13 bytes and leaves of 2\\^12", self.shift(12))
        self.assertIn("does not hold it", core.identify(
            self.change("kmh_mspan", "small", "base", 4096), ARENA))

    def shift(self, leaves):
        image = Image()
        image.number(image.entry("KMH_LEAF_SHIFT") + 40, leaves)
        return image

    def test_names(self):
        """Damage among names leaves addresses."""
        image = Image()
        for at, word in (("num_syms", 0x7fffffff), ("num_syms", 0)):
            image.number(image.at[at], word, 4)
            self.assertIn("\t%016x 0x%x\n" % ((KERNEL + 0x404,) * 2), core.profile(
                core.Core(image, image.at["header"]), "made up"))
        image = Image()
        image.number(image.at["kallsyms made"] + 8, 0x7fffffff, 4)
        self.assertIn(" 0x%x\n" % (TEXT + PAGE + 0x44), core.profile(image, "made up"))

    def test_a_string_without_an_end(self):
        image = Image()
        image.number(image.where("kmheap", "heap", "name"), image.put("x", b"\x1b" * 5000))
        name = core.heaps(image)[0].name
        self.assertNotIn("\x1b", name)
        self.assertLessEqual(len(name), 4 * 512)


class Command(Case):
    def run_on(self, image, *arguments, **more):
        path = os.path.join(self.folder, "vmcore")
        with open(path, "w", encoding="ascii"):
            pass
        os.utime(path, ns=(1796011400000000000,) * 2)
        with mock.patch.object(verb, "program", lambda path: image):
            return self.tool("core", path, *arguments, root=None, **more)

    def test_heaps(self):
        self.assertEqual(self.run_on(Image()).splitlines()[1].split(),
                         "made up made 65 KiB 3 9.1 KiB 5 1 byte".split())
        image = Image()
        image.set("kmh_mspan", "small", "nelems", 0)
        self.assertIn("heap made up: the span at 0x", self.run_on(image, status=1))

    def test_profile(self):
        path = os.path.join(self.folder, "x.txt")
        self.assertEqual(self.run_on(Image(), "made up", "-o", path), "")
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), PROFILE)
        self.assertRegex(self.run_on(Image(), "made up"), "\n +16 KiB .* made_init < vfs_write < ")

    def test_crash_time(self):
        image = Image()
        image.vmcoreinfo += "CRASHTIME=1796011400\n"
        self.assertEqual(verb.when(core.Core(image), "/nowhere"), 1796011400000000000)

    def test_wrong_words(self):
        image = Image()
        said = self.run_on(image, "--identify", "%x" % ARENA)
        self.assertIn("byte 0 of 100", said)
        self.assertIn("there is no heap x; there are: made up",
                      self.run_on(image, "x", status=2))
        self.assertIn("has to be named", self.run_on(image, "-o", "x.svg", status=2))
        self.assertIn("invalid hexadecimal value", self.run_on(image, "--address", "-1", status=2))
        self.refused("--root does not go with that", "core", "x")

    def test_without_drgn(self):
        with mock.patch.dict(sys.modules, {"drgn": None}):
            self.refused("takes drgn, which is not installed .Debian: python3-drgn.", "core", "x",
                         root=None)


if __name__ == "__main__":
    unittest.main()
