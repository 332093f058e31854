# SPDX-License-Identifier: GPL-2.0
"""The picture of a heap, as text and as SVG."""
import os
import re
import unittest
import xml.etree.ElementTree as ElementTree

from common import HEAPS, RECORDED, Case, plain_figures
from kmheap_insight import heapmap, text
from kmheap_insight.tree import Tree

SVG = "{http://www.w3.org/2000/svg}"


def arena(picture, free=0):
    made = text.Arena()
    made.bytes, made.node, made.dedicated = 8192 * len(picture), 0, 0
    made.pages, made.free_pages, made.picture = len(picture), free, picture
    return made


def span(pages, klass=9, slots=10, live=5, home="full"):
    return pages, klass, slots, live, home


def drawn(svg):
    """How many cells of each class the paths of an SVG picture cover. No two of an arena are in
    the same place, and none is outside of it."""
    cells = {}
    for group in ElementTree.fromstring(svg).iter(SVG + "g"):
        places = set()
        for path in group.iter(SVG + "path"):
            name = path.get("class")
            if name == "g":
                continue
            for x, y, length in re.findall(r"M(\d+) (\d+).5h(\d+)", path.get("d")):
                new = {(int(x) + i, int(y)) for i in range(int(length))}
                assert not new & places and int(x) + int(length) <= heapmap.COLUMNS, path.get("d")
                places |= new
                cells[name] = cells.get(name, 0) + len(new)
    return cells


class Layout(unittest.TestCase):
    def test_spans_on_pages(self):
        picture = heapmap.Picture(
            [arena("ssC.tLLL"), arena("MM")],
            [span(2, live=10), span(1, live=0, home="cached"), span(1, 0, 512, 128, "cached"),
             span(3, 0, 1, 1, "large"), span(2, 0, 1, 1, "manual")])
        self.assertTrue(picture.exact)
        self.assertEqual(picture.runs, [[(2, "s", 1.0), (1, "C", 0.0), (1, ".", None),
                                         (1, "t", 0.25), (3, "L", 1.0)], [(2, "M", 1.0)]])

    def test_returned_pages_have_no_span(self):
        picture = heapmap.Picture([arena("srr.s")], [span(1, live=10), span(1, live=0)])
        self.assertTrue(picture.exact)
        self.assertEqual([run[:2] for run in picture.runs[0]],
                         [(1, "s"), (2, "r"), (1, "."), (1, "s")])
        self.assertEqual(picture.cells(0, 5)[0][0], "s")

    def test_cached_or_not_may_change(self):
        self.assertTrue(heapmap.Picture([arena("sC")], [span(1, home="cached"), span(1)]).exact)

    def test_spans_that_do_not_fit(self):
        for spans in ([], [span(1)], [span(2), span(1)], [span(3)], [span(1), span(2)],
                      [span(2, 0, 1, 1, "large")], [span(0), span(2)], [span(2, 0)]):
            picture = heapmap.Picture([arena("ss.")], spans)
            self.assertFalse(picture.exact)
            self.assertEqual(picture.runs, [[(2, "s", None), (1, ".", None)]])

    def test_no_slots(self):
        self.assertEqual(heapmap.Picture([arena("s")], [span(1, slots=0)]).runs, [[(1, "s", None)]])

    def test_unknown_use(self):
        picture = heapmap.Picture([arena("s?<")], [span(1)])
        self.assertFalse(picture.exact)
        self.assertEqual([entry[:2] for entry in heapmap.legend(picture)],
                         [("s", "s"), ("<", "q"), ("?", "q")])
        heapmap.svg(picture, "x")

    def test_cells_of_many_pages(self):
        picture = heapmap.Picture([arena("ssssLLLL....ss")],
                                  [span(4, live=10), span(4, 0, 1, 1, "large"), span(2, live=0)])
        self.assertEqual(picture.cells(0, 4), [("s", 1.0), ("L", 1.0), (".", None), ("s", 0.0)])
        self.assertEqual(picture.cells(0, 8)[1], ("s", 0.0))
        self.assertEqual(len(picture.cells(0, 1)), 14)
        self.assertEqual(picture.pages_per_cell(4), 4)
        self.assertEqual(picture.pages_per_cell(14), 1)

    def test_level(self):
        self.assertEqual([heapmap.level(x) for x in (0, 0.19, 0.2, 0.99, 1, 3, None)],
                         [0, 0, 1, 4, 4, 4, 4])

    def test_a_heap_that_never_rests(self):
        """A live heap is read three times, a copy once."""
        class Moving:
            reads = 0

            class tree:
                live = True

            def arenas(self):
                self.reads += 1
                return [arena("ss")]

            def spans(self):
                return []

        moving = Moving()
        self.assertFalse(heapmap.read(moving).exact)
        self.assertEqual(moving.reads, heapmap.READS)
        moving.tree.live = False
        heapmap.read(moving)
        self.assertEqual(moving.reads, heapmap.READS + 1)


class Recorded(Case):
    def test_every_span_fits(self):
        for heap in HEAPS:
            self.assertTrue(heapmap.read(Tree(RECORDED).heap(heap)).exact, heap)

    def test_live_bytes(self):
        """The live shares of the picture are the live slots of the figures."""
        for heap in HEAPS:
            spans = Tree(RECORDED).heap(heap).spans()
            picture = heapmap.read(Tree(RECORDED).heap(heap))
            shares = sum(pages * (live or 0) for row in picture.runs for pages, _, live in row)
            self.assertAlmostEqual(shares, sum(pages * live / slots for pages, _, slots, live, _ in spans))

    def test_text(self):
        for heap in HEAPS:
            said = self.tool("map", heap)
            with open(os.path.join(RECORDED, "heaps", heap, "arenas"), encoding="ascii") as file:
                rows = [line for line in file.read().splitlines() if line.startswith("  ")]
            self.assertEqual([line for line in said.splitlines() if line.startswith("  ")], rows)
        self.assertIn("\nL  397 pages, large object\n", self.tool("map", "demo"))

    def test_text_of_live_slots(self):
        self.assertIn("\n  999999990LLLLLLLLLLLLLMMMM999999\n", self.tool("map", "--live", "demo"))

    def test_svg(self):
        path = os.path.join(self.folder, "demo.svg")
        for heap in HEAPS:
            self.assertEqual(self.tool("map", heap, "-o", path), "")
            with open(path, encoding="ascii") as file:
                svg = file.read()
            stats = plain_figures(os.path.join(RECORDED, "heaps", heap, "stats"))
            root = ElementTree.fromstring(svg)
            self.assertEqual(len(root.findall(SVG + "g")), int(stats["arenas"]))
            pages = heapmap.read(Tree(RECORDED).heap(heap)).pages
            self.assertEqual(sum(drawn(svg).values()), pages)
            self.assertNotIn("http", svg.replace("http://www.w3.org/2000/svg", ""))
        self.assertIn("prefers-color-scheme:dark", svg)


class Large(Case):
    def test_a_large_heap_has_few_cells(self):
        picture = heapmap.Picture([arena("s" * 512) for _ in range(1000)],
                                  [span(1, live=i % 11) for i in range(512000)])
        svg = heapmap.svg(picture, "large")
        self.assertEqual(sum(drawn(svg).values()), 8000)
        self.assertLess(len(svg), 500000)
        few = heapmap.svg(picture, "large", 1000, 10)
        self.assertEqual(few.count("<g "), 10)


if __name__ == "__main__":
    unittest.main()
