# SPDX-License-Identifier: GPL-2.0
"""The report: that it is whole, right, needs nothing else, and is quick and small."""
import html.parser
import os
import re
import resource
import shutil
import subprocess
import sys
import unittest
from unittest import mock

from common import FEW, HEAPS, ODD_NAMES, RECORDED, TOOLS, Case, plain_figures
from kmheap_insight import text, tree

VOID = {"meta", "br"}
SPAN_PAGES = 1
SLOTS = 128             # of 64 bytes
ARENA_PAGES = 512


class Page(html.parser.HTMLParser):
    """Checks that all tags are closed in order, and collects texts and attributes."""

    def __init__(self, page):
        super().__init__()
        self.open, self.words, self.attributes, self.styles = [], [], [], []
        self.tags = []
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def handle_data(self, data):
        (self.styles if self.open and self.open[-1] == "style" else self.words).append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def refers(page):
    """What in a page lies elsewhere."""
    found = [value for name, value in page.attributes
             if name in ("src", "href", "xlink:href", "data", "action") and value[:1] != "#"]
    found += [tag for tag in page.tags
              if tag in ("script", "link", "img", "iframe", "object", "base")]
    found += re.findall(r"url\(|@import|https?://", " ".join(page.styles))
    return found + [name for name, _ in page.attributes if name.startswith("on")]


class Recorded(Case):
    def setUp(self):
        super().setUp()
        self.page = Page(self.tool("report"))

    def test_totals(self):
        stats = plain_figures(os.path.join(RECORDED, "stats"))
        for name in text.PARTS + ("footprint_bytes", "live_objects"):
            self.assertIn(" %s " % "{:,}".format(int(stats[name])), self.page.text)

    def test_heaps(self):
        for heap in HEAPS:
            stats = plain_figures(os.path.join(RECORDED, "heaps", heap, "stats"))
            self.assertIn("Heap %s owner %s " % (heap, stats["owner"]), self.page.text)
            for name in text.PARTS + ("live_objects", "allocs"):
                self.assertIn(" %s " % "{:,}".format(int(stats[name])), self.page.text)
        self.assertEqual(self.page.tags.count("section"), 6)

    def test_no_leaks(self):
        self.assertIn(" Leaks No heap has ended with live objects. ", self.page.text)

    def test_classes(self):
        self.assertIn(" 32 103 20,399 77.4 % 637 KiB 187 KiB 0 32,880 118 ", self.page.text)

    def test_sum_of_the_heaps(self):
        stats = plain_figures(os.path.join(RECORDED, "stats"))
        shared = int(stats["footprint_bytes"]) - sum(int(plain_figures(os.path.join(
            RECORDED, "heaps", heap, "stats"))["footprint_bytes"]) for heap in HEAPS)
        self.assertIn(" shared by all %.3g MiB " % (shared / 1048576), self.page.text)

    def test_nothing_lies_elsewhere(self):
        self.assertEqual(refers(self.page), [])
        for bad in ("<script>x</script>", "<img src=\"x\"/>", "<a href=\"http://x\">x</a>",
                    "<style>@import 'x'</style>", "<p onclick=\"x\">x</p>"):
            self.assertNotEqual(refers(Page(bad)), [])

    def test_dark_and_print(self):
        styles = " ".join(self.page.styles)
        self.assertIn("prefers-color-scheme:dark", styles)
        self.assertIn("@media print", styles)

    def test_kernel(self):
        self.assertIn("Linux 6.12.117+deb12-amd64, from a copy of the files", self.page.text)

    def test_nothing_is_wrong(self):
        self.assertIn("No misuse, no refused allocation, no limit reached, no leak.", self.page.text)

    def test_file(self):
        path = os.path.join(self.folder, "report.html")
        self.assertEqual(self.tool("report", "-o", path), "")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), self.tool("report"))


class Left(Case):
    """What heaps left, and what few objects hold back."""

    def setUp(self):
        super().setUp()
        self.root = self.copy()
        shutil.copytree(os.path.join(TOOLS, "testdata/6.12-leaks/reports"),
                        os.path.join(self.root, "reports"))
        shutil.copytree(os.path.join(FEW, "heaps/strtab"), os.path.join(self.root, "heaps/few"))

    def said(self):
        return Page(self.tool("report", root=self.root)).text

    def test_leaks(self):
        said = self.said()
        self.assertIn("exact.3: heap exact ended with 155 live objects of 1.23 MiB", said)
        self.assertIn(" sites exact.3 exact leak_client ", said)
        self.assertIn(" all 311 2.47 MiB ", said)
        self.assertIn(" 1.16 MiB 4 0.1 to 2.2 s leak_large+0x23 < leak_all+0xd4 < ", said)
        self.assertIn(" 5.48 KiB 92 6 more ", said)
        self.assertIn(" 1 objects are from before the profile. ", said)
        # The rows of each report, with the last one, are all that is known of it.
        self.assertEqual(4 + 22 + 12 + 8 + 16 + 92, 155 - 1)

    def test_pins(self):
        said = self.said()
        self.assertIn(" Pins Few objects of these call sites hold back ", said)
        self.assertIn(" 382 KiB 282 KiB 200 strtab_line+0x39d < ", said)
        self.assertIn(" 764 KiB 588 KiB 400 all ", said)

    def test_nothing_is_held_back(self):
        path = os.path.join(self.root, "heaps/few/pins")
        with open(path, encoding="ascii") as file:
            head = file.read().split("site 1987 ")[0]
        with open(path, "w", encoding="ascii") as file:
            file.write(head)
        self.assertIn(" Nothing is held back by few objects. ", self.said())

    def test_estimates(self):
        self.change(os.path.join(self.root, "heaps/few/pins"), "period_bytes 1", "period_bytes 2")
        self.assertRegex(self.said(), r" ~\d+ KiB ~\d+ KiB ~4\d\d all ")

    def test_no_permission(self):
        """Who may not read the reports is told, and gets the rest."""
        with mock.patch("kmheap_insight.tree.Tree.report",
                        side_effect=tree.ToolError("report exact.3: no permission: it <takes>")):
            said = self.said()
        self.assertIn(" Leaks report exact.3: no permission: it <takes> ", said)
        self.assertIn("Heap demo owner", said)


class Hostile(Case):
    def test_what_is_wrong(self):
        root = self.copy()
        for file in ("stats", "heaps/demo/stats"):
            self.change(os.path.join(root, file), "double_frees 0", "double_frees 3")
        self.change(os.path.join(root, "heaps/strtab/stats"), "limit_refusals 0",
                    "limit_refusals 7")
        said = Page(self.tool("report", root=root)).text
        self.assertIn("double_frees: 3 (demo). The log has the stacks.", said)
        self.assertIn("strtab: 7 times a limit kept the heap from growing", said)

    def test_odd_names(self):
        root = self.copy()
        for name in ODD_NAMES + ["<script>alert(1)</script>".replace("/", "")]:
            shutil.copytree(os.path.join(root, "heaps/demo"), os.path.join(root, "heaps", name))
        page = Page(self.tool("report", root=root))
        self.assertEqual(refers(page), [])
        for name in ODD_NAMES:
            self.assertIn("Heap %s owner" % name, page.text)

    def test_odd_owner(self):
        root = self.copy()
        self.change(os.path.join(root, "heaps/demo/stats"), "owner heap_client",
                    "owner <b onload=x>")
        page = Page(self.tool("report", root=root))
        self.assertEqual(refers(page), [])
        self.assertIn("Heap demo owner <b onload=x>", page.text)

    def test_a_heap_of_zeros(self):
        root = self.copy()
        for file in ("stats", "classes"):
            path = os.path.join(root, "heaps/empty", file)
            with open(path, encoding="ascii") as opened:
                text_ = opened.read()
            with open(path, "w", encoding="ascii") as opened:
                opened.write(re.sub(r"(?m)( +)\d+", lambda m: m.group(1) + "0", text_))
        for file, head in (("arenas", "base bytes node pages free_pages dedicated\n"),
                           ("spans", "base pages class data slots live remote deferred home\n")):
            with open(os.path.join(root, "heaps/empty", file), "w", encoding="ascii") as opened:
                opened.write(head)
        Page(self.tool("report", root=root))
        self.tool("map", "empty", root=root)
        self.tool("stats", "empty", root=root)

    def test_hundreds_of_heaps(self):
        root = self.copy()
        for i in range(600):
            # Links: a copy of each would take longer than all other tests.
            os.symlink("demo", os.path.join(root, "heaps/heap%d" % i))
        page = self.tool("report", root=root)
        self.assertLess(len(page), 1 << 20)
        said = Page(page)
        self.assertEqual(said.tags.count("section"), 25)
        self.assertIn("and 105 smaller ones", said.text)
        self.assertIn("The 581 smaller heaps have no section.", said.text)


class Million(Case):
    """A heap of a million objects of 64 bytes, every other one freed at random places."""

    def heap(self, root, spans):
        folder = os.path.join(root, "heaps/million")
        shutil.copytree(os.path.join(root, "heaps/demo"), folder)
        with open(os.path.join(folder, "spans"), "w", encoding="ascii") as file:
            file.write("base pages class data slots live remote deferred home\n")
            for i in range(spans):
                file.write("00000000%08x 1 6 0 %d %d 0 0 partial\n" % (i, SLOTS, i * 7919 % SLOTS))
        with open(os.path.join(folder, "arenas"), "w", encoding="ascii") as file:
            file.write("base bytes node pages free_pages dedicated\n")
            for i in range(0, spans, ARENA_PAGES):
                pages = min(ARENA_PAGES, spans - i)
                file.write("00000000%08x %d 0 %d 0 0\n" % (i, pages * 8192, pages))
                for at in range(0, pages, 64):
                    file.write("  " + "s" * min(64, pages - at) + "\n")

    def test_time_and_size(self):
        root = self.copy()
        # A million live objects: half of all slots.
        self.heap(root, 2 * 1000000 // SLOTS)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, os.path.join(TOOLS, "kmheap"), "report",
                               "--root", root],
                              capture_output=True, text=True, timeout=60, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.assertLess(len(done.stdout), 1 << 20)
        self.assertLess(seconds, 2)
        self.assertEqual(Page(done.stdout).tags.count("section"), 7)


if __name__ == "__main__":
    unittest.main()
