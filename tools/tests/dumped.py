# SPDX-License-Identifier: GPL-2.0
"""What is read out of the memory of a guest against what its files said before it ended.

scripts/check-core has the dump (KMHEAP_DUMP), the guest's files (KMHEAP_TREE), and what else it said
(KMHEAP_SAID): where some objects of selftests/dump_client.c are.
"""
import gzip
import os
import random
import re
import time
import unittest

from common import Case, plain_figures
from kmheap_insight import core, coreobject, coreread
from kmheap_insight.verbs import core as verb

DUMP, TREE, SAID = (os.environ[name] for name in ("KMHEAP_DUMP", "KMHEAP_TREE", "KMHEAP_SAID"))


def said(word):
    """{name: address} of the guest's lines that begin with WORD."""
    with open(SAID, encoding="ascii", errors="replace") as file:
        rows = [line.split() for line in file if line.startswith(word + " ")]
    return {row[-2]: int(row[-1], 16) for row in rows}


def timeless(text):
    return re.sub(r"(?m)^time_ns \d+$", "time_ns", text)


class Dumped(Case):
    @classmethod
    def setUpClass(cls):
        cls.core = core.Core(verb.program(DUMP), path=DUMP)
        cls.heaps = os.listdir(os.path.join(TREE, "heaps"))
        cls.where = said("where")

    def file(self, heap, name):
        with open(os.path.join(TREE, "heaps", heap, name), encoding="ascii") as file:
            return file.read()

    def test_header_is_found_by_itself(self):
        self.assertEqual(self.core.address, said("header")["header"])

    def test_heaps(self):
        self.assertEqual(sorted(heap.name for heap in self.core.heaps()), sorted(self.heaps))
        self.assertIn("dumped", self.heaps)

    def test_profiles_are_the_guest_s(self):
        """With their names: that of every function, and of one whose text is gone."""
        for heap in self.heaps:
            self.assertEqual(timeless(core.profile(self.core, heap)),
                             timeless(self.file(heap, "profile")))
        self.assertIn("dump_from_init+0x", core.profile(self.core, "dumped"))
        self.assertGreater(core.profile(self.core, "strtab").count("\nsite "), 1)

    def test_figures_are_the_guest_s(self):
        for heap in self.core.heaps():
            stats = plain_figures(os.path.join(TREE, "heaps", heap.name, "stats"))
            self.assertEqual(heap.owner, stats["owner"].strip())
            self.assertEqual(heap.footprint_bytes, int(stats["footprint_bytes"]), heap.name)
            self.assertEqual(heap.live(), tuple(int(stats[name]) for name in (
                "spans", "live_objects", "live_bytes")), heap.name)

    def test_objects(self):
        for name, offset, what in (
                ("small", 0, r"byte 0 of 112 .*heap dumped, owner dump_client\nlive\nallocated at site "
                 r"\d+, from\n\t[0-9a-f]{16} dump_from_small\+0x\w+/0x\w+ \[dump_client\]\n"),
                ("small", 111, r"byte 111 of 112 "),
                ("freed", 5, r"byte 5 of 112 .*dumped.*\nfree"),
                ("cached", 0, r"live, of cache dumped ones\nallocated at"),
                ("large", 99999, r"byte 99999 of 106496 .*dumped.*\nlive, 100000 bytes were asked "
                 r"for\nallocated at .*\n.*dump_from_large"),
                ("freed_large", 0, r"dumped.*\nfree|in a free page of heap dumped|"
                 r"was memory of a heap, which has gone back to the kernel"),
                ("pages", 8192, r"byte 8192 of 24576 .*dumped.*\npages that their owner manages"),
                ("packed", 1, r"byte 1 of 8 .*packed.*\nlive\n\Z"),
                ("freed_packed", 0, r"byte 0 of 4 .*packed.*\nfree, in a block that is not\n\Z"),
                ("init", 0, r"from\n\t[0-9a-f]{16} dump_from_init\+0x\w+/0x\w+ \[dump_client\]\n"),
                ("none", 0, r"is no memory of kmheap\n\Z")):
            self.assertRegex(core.identify(self.core, self.where[name] + offset),
                             re.compile(what, re.DOTALL), name)

    def test_command(self):
        lines = self.tool("core", DUMP, root=None).splitlines()
        self.assertEqual(sorted(line.split()[0] for line in lines[1:]), sorted(self.heaps))
        self.assertEqual(self.tool("core", DUMP, "strtab", "--offsets", root=None),
                         self.tool("profile", "strtab", "--offsets", root=TREE))
        path = os.path.join(self.folder, "x.pb.gz")
        self.tool("core", DUMP, "dumped", "-o", path, root=None)
        with gzip.open(path) as file:
            self.assertIn(b"dump_from_small", file.read())
        self.assertIn("byte 4 of 112", self.tool(
            "core", DUMP, "--identify", "%x" % (self.where["small"] + 4), root=None))

    def test_what_is_not_there(self):
        self.refused("no heap nobody; there are: .*strtab", "core", DUMP, "nobody", root=None)
        self.refused("cannot be read", "core", DUMP, "--address", "ffffc00000000000", root=None)
        self.refused("does not begin as it should", "core", DUMP, "--address",
                     "%x" % self.where["small"], root=None)
        self.refused("No such file", "core", "/nowhere/x", root=None)
        self.refused("core: .*/stats: |is no dump|not", "core", os.path.join(TREE, "stats"),
                     root=None)


class Damaged:
    """A program that reads a byte of each thousandth another way, and a word of it now and then."""

    def __init__(self, prog, seed):
        self.prog, self.random = prog, random.Random(seed)

    def read(self, address, size):
        data = bytearray(self.prog.read(address, size))
        for _ in range(max(size // 1000, self.random.random() < 0.03)):
            at = self.random.randrange(size)
            if self.random.random() < 0.5:
                data[at] ^= 1 << self.random.randrange(8)
            else:
                data[at & -8:(at & -8) + 8] = self.random.randbytes(8)
        return bytes(data[:size])


class Damage(Case):
    def test_ends_in_time(self):
        """Whatever the memory has: a text or one line, and an end."""
        prog, refusals = verb.program(DUMP), 0
        whole = core.Core(prog, path=DUMP)
        kernel = whole.names.kernel()
        for seed in range(8):
            start = time.monotonic()
            damaged = core.Core(prog, whole.address)
            damaged.names._kernel = kernel
            damaged.memory.prog = Damaged(prog, seed)
            steps = [damaged.heaps, damaged.sites, damaged.records]
            steps += [lambda name=name: core.profile(damaged, name) for name in ("strtab", "dumped")]
            steps += [lambda at=at: coreobject.identified(damaged, at)
                      for at in said("where").values()]
            steps += [heap.live for heap in whole.heaps()]
            for heap in damaged_heaps(damaged):
                steps.append(heap.live)
            for step in steps:
                try:
                    step()
                except coreread.CoreError as error:
                    self.assertNotIn("\n", str(error))
                    refusals += 1
            self.assertLess(time.monotonic() - start, 60)
        self.assertGreater(refusals, 8)


def damaged_heaps(damaged):
    try:
        return damaged.heaps()
    except coreread.CoreError:
        return []


if __name__ == "__main__":
    unittest.main()
