# SPDX-License-Identifier: GPL-2.0
"""leaks, on reports that a guest has recorded: of a heap with an exact profile, one with samples, one
without."""
import os
import shutil
import unittest

from common import TOOLS, Case

LEAKS = os.path.join(TOOLS, "testdata", "6.12-leaks")
# What selftests/leak_client.c leaves in each function, twice.
PLANTED = {"leak_list": 24, "leak_table": 22, "leak_text": 18, "leak_large": 4, "leak_atomic": 16,
           "leak_bulk": 14, "leak_node": 12, "leak_cached": 10, "leak_moved": 8,
           "leak_interrupt": 20, "leak_copy": 6}


class Leaks(Case):
    def leaks(self, *options, root=LEAKS):
        return self.tool("leaks", *options, root=root).splitlines()

    def a_copy(self):
        root = os.path.join(self.folder, "copy")
        shutil.copytree(LEAKS, root)
        return root

    def test_list(self):
        lines = self.leaks()
        self.assertEqual([line.split()[0] for line in lines],
                         ["report", "exact.3", "sampled.2", "plain.1"])
        self.assertRegex(lines[1], r"^exact.3 +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +155 +1.23 MiB +\d+ "
                                   r" leak_client$")
        self.assertRegex(lines[3], r" 78 +\d+ KiB +0 +leak_client$")

    def test_exact(self):
        lines = self.leaks("exact.3")
        self.assertRegex(lines[0], "^heap exact, owner leak_client, destroyed .* with 155 live "
                                   "objects of 1.23 MiB$")
        self.assertRegex(lines[1], "^ *live +objects +age +site$")
        found = {}
        for line in lines[2:-1]:
            cells = line.split("  < ")[0].split()
            function = line.split(" < ")[0].split()[-1]
            found[function] = found.get(function, 0) + int(cells[2])
            self.assertRegex(line, r" s  leak_")
        self.assertEqual(found, PLANTED)
        self.assertRegex(lines[2], r"^ *1.16 MiB +4 +0.1 to 2.2 s  leak_large < leak_all < ")
        self.assertEqual(lines[-1], "1 objects are from before the profile")

    def test_bytes(self):
        lines = self.leaks("exact.3", "--bytes", "-n", "3")
        at = next(i for i, line in enumerate(lines) if "leak_large" in line)
        self.assertRegex(lines[at + 1], r"^    [0-9a-f]{16}, 303,104 bytes, \d")
        self.assertRegex(lines[at + 2], r"^      6c 61 72 67 65 .*  large\.")
        self.assertEqual(sum("303,104 bytes" in line for line in lines), 3)
        self.assertEqual(lines[-2], "and 8 more")

    def test_samples(self):
        lines = self.leaks("sampled.2")
        self.assertRegex(lines[-1], r"^estimated from \d+ samples, one for 4 KiB on average$")
        large = next(line for line in lines if "leak_large" in line)
        self.assertEqual(large.split()[2], "~2")

    def test_no_profile(self):
        lines = self.leaks("plain.1")
        self.assertEqual(len(lines), 2)
        self.assertRegex(lines[1], "^the heap was not profiled")

    def test_files_for_others(self):
        for suffix in (".pb.gz", ".folded", ".txt", ".json", ".svg"):
            path = os.path.join(self.folder, "out" + suffix)
            self.assertEqual(self.leaks("exact.3", "-o", path), [])
            self.assertGreater(os.path.getsize(path), 300)
        with open(os.path.join(self.folder, "out.folded"), encoding="ascii") as file:
            self.assertRegex(file.read(), r";leak_large \[leak_client\] 1212416\n")

    def test_files_that_are_not_what_they_should_be(self):
        for old, new, what in (("\nleft_objects 155", "", "no line left_objects"),
                               ("\nleft_bytes ", "\nleft_bytes x", "is no left_bytes"),
                               ("\nobject ", "\nobject -", "is no object"),
                               (" youngest_ms", " young", "no column youngest_ms"),
                               ("kmheap profile 1", "kmheap profile 2", "version 2")):
            root = self.a_copy()
            self.change(os.path.join(root, "reports", "exact.3"), old, new)
            self.refused(what, "leaks", "exact.3", root=root)
            shutil.rmtree(root)

    def test_hostile_content(self):
        """What a client writes into its objects is no letter for a terminal."""
        root = self.a_copy()
        self.change(os.path.join(root, "reports", "exact.3"), " 6c61726765", " 1b5b326a0a")
        said = "\n".join(self.leaks("exact.3", "--bytes", root=root))
        self.assertNotIn("\x1b", said)
        self.assertIn("1b 5b 32 6a 0a", said)

    def test_what_cannot_be(self):
        self.refused("there is no report nobody.1; there are: exact.3, plain.1, sampled.2", "leaks",
                     "nobody.1", root=LEAKS)
        self.refused("there is no report ../stats", "leaks", "../stats", root=LEAKS)
        self.refused("of one report", "leaks", "--bytes", root=LEAKS)
        root = self.a_copy()
        shutil.rmtree(os.path.join(root, "reports"))
        self.assertEqual(self.leaks(root=root), ["no heap has ended with live objects"])
        os.makedirs(os.path.join(root, "reports"))
        self.assertEqual(self.leaks(root=root), ["no heap has ended with live objects"])


if __name__ == "__main__":
    unittest.main()
