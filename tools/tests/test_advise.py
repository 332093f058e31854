# SPDX-License-Identifier: GPL-2.0
"""advise, on files that a guest has recorded, while modules were there and after they had gone."""
import os
import re
import shutil
import unittest
from unittest import mock

from common import TOOLS, Case, plain_figures
from kmheap_insight import advice, term

ADVISOR = os.path.join(TOOLS, "testdata", "advisor")


class Advise(Case):
    def advise(self, module, *options, when="live", root=None, **more):
        return self.tool("advise", *options, module, root=root or os.path.join(ADVISOR, when),
                         **more).splitlines()

    def a_copy(self):
        root = os.path.join(self.folder, "advisor")
        shutil.copytree(os.path.join(ADVISOR, "live"), root)
        return root

    def test_a_module_that_is_there(self):
        lines = self.advise("victim_client", "-n", "200")
        self.assertEqual(lines[0], "victim_client: 3,857 live objects, 1.17 MiB asked, 1.91 MiB given "
                                   "by the kernel (39 % rounding); kmheap: 1.22 MiB (4 %)")
        self.assertEqual(lines[2].split(),
                         "kmalloc 4,184 0 3,784 1.14 MiB 1.89 MiB 1.19 MiB".split())
        # 3,696 of 40 bytes in 64, and 3 of 300 KiB in 512 KiB.
        found = [line for line in lines if "  victim_leaf < " in line]
        self.assertEqual(len(found), 1, lines)
        self.assertRegex(found[0], r"^ *1.73 MiB +1.02 MiB +3,699 +4,099 +kmalloc  victim_leaf < ")
        self.assertIn("order 3 and up: 43 requests, largest 512 KiB (order 7), 0 failed", lines)
        self.assertFalse(any("at unload" in line for line in lines))

    def test_a_module_that_has_gone(self):
        lines = self.advise("victim-client", when="gone")
        at = next(i for i, line in enumerate(lines) if line.startswith("at unload"))
        self.assertEqual(lines[at], "at unload: 107 objects, 37,008 bytes left, 2 sites")
        self.assertRegex(lines[at + 2], r" 1 +40 +pages  .*victim_pages < ")
        self.assertRegex(lines[at + 3], r" 106 +4,096 +kmalloc  victim_leaf < ")

    def test_ages_of_leaks(self):
        """Those of several sites of one function are one line's; 6.12's recorded file has none."""
        root = os.path.join(self.folder, "gone")
        shutil.copytree(os.path.join(ADVISOR, "gone"), root)
        leaks = os.path.join(root, "victim_client", "leaks")
        with open(leaks, encoding="ascii") as file:
            text = file.read()
        text = text.replace(" allocator\n", " allocator oldest_ms youngest_ms\n")
        # Of the pages 1.5 s; of the leaves, in two sites, 250 ms to 90 min.
        ages = iter(("1520 1480", "5400000 300000"))
        text = re.sub("(?m)^site .*", lambda line: "%s %s" % (line.group(), next(ages)), text)
        last = text[text.rindex("site "):]
        text += re.sub(r"(?m)^site (\d+) .*", r"site 9\1 1 64 1 64 40 0 1 280 250", last)
        with open(leaks, "w", encoding="ascii") as file:
            file.write(text)
        lines = self.advise("victim_client", root=root)
        at = next(i for i, line in enumerate(lines) if line.startswith("at unload"))
        self.assertRegex(lines[at + 1], "objects +allocs +age +allocator +site")
        self.assertRegex(lines[at + 2], r" 1 +40 +1.5 s +pages  .*victim_pages < ")
        self.assertRegex(lines[at + 3], r" 107 +4,097 +0.0 to 90.0 min +kmalloc  victim_leaf < ")

    def test_what_may_have_been_freed_unseen(self):
        """Where frees cannot be seen: a leak is sure if another free of its site was seen."""
        root = os.path.join(self.folder, "gone")
        shutil.copytree(os.path.join(ADVISOR, "gone"), root)
        folder = os.path.join(root, "victim_client")
        plain = self.advise("victim_client", root=root)
        self.change(os.path.join(folder, "leaks"), " allocator\n", " allocator frees_unseen\n")
        # Of 40 pages 1 is left, of 4,096 leaves 106: all others of these have died unseen.
        with open(os.path.join(folder, "leaks"), encoding="ascii") as file:
            text = file.read()
        unseen = iter(("38", "3990"))
        text = re.sub("(?m)^site .*", lambda line: "%s %s" % (line.group(), next(unseen)), text)
        with open(os.path.join(folder, "leaks"), "w", encoding="ascii") as file:
            file.write(text)
        self.assertEqual(self.advise("victim_client", root=root), plain)
        self.change(os.path.join(folder, "stats"), r"\nunseen .*\n", "\nunseen alloc_vmap_area "
                    "kvfree_call_rcu kmem_cache_free_bulk\n")
        lines = self.advise("victim_client", root=root)
        at = next(i for i, line in enumerate(lines) if line.startswith("at unload"))
        self.assertRegex(lines[at + 1], "allocs +verdict +allocator +site")
        self.assertRegex(lines[at + 2], r" 40 +leaked +pages  .*victim_pages < ")
        self.assertRegex(lines[at + 3], r" 4,096 +unsure +kmalloc  victim_leaf < ")
        self.assertEqual(lines[at + 4], "unsure: leaked, or freed unseen: no object of that site was "
                         "seen to be freed, and kvfree_call_rcu, kmem_cache_free_bulk cannot be seen")

    def test_ages(self):
        for ages, text in (((0, 0), "0 ms"), ((3, 999), "3 to 999 ms"), ((999, 1000), "1.0 s"),
                           ((400, 99900), "0.4 to 99.9 s"), ((50000, 100000), "0.8 to 1.7 min"),
                           ((0, 6000000), "0.0 to 1.7 h"), ((0, 172799999), "0.0 to 48.0 h"),
                           ((86400000, 1 << 63), "1.0 to 106751991167.3 days")):
            self.assertEqual(term.ages(*ages), text)

    def test_how_often(self):
        """So many allocations from slabs in 2.5 s, at 178 and 89 instructions with the free."""
        root = self.a_copy()
        stats = os.path.join(root, "victim_client", "stats")
        figures = plain_figures(stats)
        allocs = int(figures["kmalloc_allocs"]) + int(figures["cache_allocs"])
        self.change(stats, r"\ntime_ns \d+", "\ntime_ns %d" % (int(figures["since_ns"]) + 2500000000))
        want = "%s slab objects a second: about %s instructions a second with their frees, in kmheap %s" % (
            term.count(allocs / 2.5), term.count(178 * allocs / 2.5), term.count(89 * allocs / 2.5))
        self.assertIn(want, self.advise("victim_client", root=root))
        self.change(stats, r"\ntime_ns \d+", "\ntime_ns 1")
        self.assertNotIn("a second", "\n".join(self.advise("victim_client", root=root)))

    def test_totals(self):
        """What the sites have is what stats says of all kinds that are the module's."""
        for module in ("nf_tables", "brd", "zram", "victim_client"):
            found = advice.Advice(os.path.join(ADVISOR, "live"), module)
            stats, profile = found.stats(), found.profile()
            for number, kind in enumerate(advice.KINDS[:-1], 1):
                sites = [s.counts for s in profile.sites if s.counts["allocator"] == number]
                for column, figure in (("live_objects", "live_objects"), ("allocs", "allocs"),
                                       ("asked_bytes", "asked_bytes"),
                                       ("live_bytes", "given_bytes"), ("failed", "failed")):
                    self.assertEqual(sum(s[column] for s in sites),
                                     stats["%s_%s" % (kind, figure)], (module, kind, column))
            for column in ("live_objects", "asked_bytes", "given_bytes", "kmheap_bytes"):
                self.assertEqual(sum(row[column] for row in found.savings()),
                                 stats["kmalloc_" + column] + stats["cache_" + column])

    def test_files_for_others(self):
        for suffix, begin in ((".folded", b""), (".svg", b"<"), (".pb", b""), (".txt", b"kmheap profile 1")):
            path = os.path.join(self.folder, "out" + suffix)
            self.assertEqual(self.advise("victim_client", "-o", path), [])
            with open(path, "rb") as file:
                contents = file.read()
            self.assertTrue(contents.startswith(begin) and len(contents) > 500)
        with open(os.path.join(self.folder, "out.folded"), encoding="ascii") as file:
            self.assertIn("victim_leaf", file.read())

    def test_what_it_has_not_seen(self):
        root = self.a_copy()
        stats = os.path.join(root, "brd", "stats")
        for old, new in (("lost 0", "lost 5"), ("missed 0", "missed 6"), ("unheard 0", "unheard 7"),
                         ("late 0", "late 1"), ("unseen nothing", "unseen alloc_vmap_area kfree")):
            self.change(stats, "\n%s\n" % old, "\n%s\n" % new)
        self.assertEqual(self.advise("brd", root=root)[-5:], [
            "5 events of all modules found no room in the table of sites: see profile_sites",
            "6 events of all modules found no room in the table of live objects: see profile_records",
            "7 calls came while another kprobe ran: what they freed may seem to be live",
            "it was loaded before the advisor: what it had by then is not here",
            "this kernel does not tell of alloc_vmap_area, kfree"])
        self.change(stats, "\nstate live\n", "\nstate absent\n")
        self.assertEqual(self.advise("brd", root=root)[0], "brd: not loaded since the advisor is")

    def test_sizes(self):
        lines = self.advise("victim_client", "--sizes", "-n", "1")
        rows = [line.split() for line in lines]
        self.assertIn("48 3,696 144 KiB 231 KiB 173 KiB".split(), rows)
        self.assertIn("large 3 900 KiB 1.5 MiB 912 KiB".split(), rows)

    def refused_copy(self, what, file, old, new):
        root = self.a_copy()
        self.change(os.path.join(root, "brd", file), old, new)
        self.refused(what, "advise", "--sizes", "brd", root=root)
        shutil.rmtree(root)

    def test_files_that_are_not_what_they_should_be(self):
        self.refused_copy("this tool reads version 1", "stats", "stats 1\n", "stats 2\n")
        self.refused_copy("line 1 is not", "orders", "kmheap_advisor_orders", "orders")
        self.refused_copy("no line frees|no line lost", "stats", "\nlost [0-9]+", "")
        self.refused_copy("is no number", "stats", "\nmissed 0", "\nmissed -1")
        self.refused_copy("no column bytes", "orders", "order bytes", "order octets")
        self.refused_copy("has not the columns", "savings", "\nclass ", "\nclass 1 ")
        self.refused_copy("no column allocator", "profile", " allocator\n", " who\n")

    def test_what_cannot_be(self):
        self.refused("ext4 is not watched, but brd, nf_tables, victim_client, zram", "advise", "ext4",
                     root=os.path.join(ADVISOR, "live"))
        self.refused("is no name", "advise", "../x", root=os.path.join(ADVISOR, "live"))
        self.refused("No such file", "advise", "x", root=os.path.join(self.folder, "nothing"))
        self.refused("-o: the name", "advise", "-o", "x.doc", "brd", root=os.path.join(ADVISOR, "live"))

    def test_it_is_loaded(self):
        modprobe = os.path.join(self.folder, "modprobe")
        with open(modprobe, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho \"modprobe: FATAL: $*\" >&2\nexit 1\n")
        os.chmod(modprobe, 0o755)
        with mock.patch.object(advice, "ADVISOR", os.path.join(self.folder, "none")):
            self.refused("modprobe kmheap_advisor module=brd: modprobe: FATAL: kmheap_advisor "
                         "module=brd", "advise", "brd", root=None,
                         environment={"PATH": self.folder + ":/bin"})


if __name__ == "__main__":
    unittest.main()
