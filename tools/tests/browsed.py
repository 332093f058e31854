# SPDX-License-Identifier: GPL-2.0
"""The report as Chromium shows it: its totals and sections, light, dark, on paper and on a narrow
screen. Pictures of it come into KMHEAP_PICTURES."""
import os
import re
import shutil
import unittest

from browser import Browser
from common import FEW, HEAPS, RECORDED, TOOLS, Case, plain_figures
from kmheap_insight import text

LEAKS = os.path.join(TOOLS, "testdata", "6.12-leaks")

# Pixels between the margins of a sheet of A4.
PAPER = 718

# Each piece of text that can be seen, how much its colour differs from what is behind it (WCAG 2: 1
# to 21), and whether it lies within its element's cell and the window.
SEEN = """
(() => {
    const colour = text => (text.match(/[\\d.]+/g) || []).map(Number);
    const light = rgb => {
        const [r, g, b] = rgb.slice(0, 3).map(v => (v /= 255) <= 0.03928 ? v / 12.92 :
            Math.pow((v + 0.055) / 1.055, 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = element => {
        for (; element; element = element.parentElement) {
            const rgba = colour(getComputedStyle(element).backgroundColor);
            if (rgba.length && (rgba.length < 4 || rgba[3] === 1)) return rgba;
        }
        return [255, 255, 255];
    };
    const found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const node = walk.currentNode, element = node.parentElement;
        if (!node.data.trim() || element.closest("svg")) continue;
        const a = light(colour(getComputedStyle(element).color)), b = light(behind(element));
        found.push([node.data.trim(), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
    }
    return found;
})()
"""
# The fill of each shape of the pictures against the ground, for the same measure.
SHAPES = """
[...document.querySelectorAll("svg text")].map(one => [one.textContent,
    getComputedStyle(one).fill, one.getBBox().width,
    one.previousElementSibling && one.previousElementSibling.tagName === "rect" ?
        one.previousElementSibling.getBBox().width : null])
"""
GROUND = "getComputedStyle(document.body).backgroundColor"


class Browsed(Case):
    """All that was recorded in one tree: heaps, one with a profile of each object, and leaks."""

    @classmethod
    def setUpClass(cls):
        cls.browser = Browser(os.environ["KMHEAP_BROWSER"]).__enter__()
        cls.addClassCleanup(cls.browser.__exit__)

    def setUp(self):
        super().setUp()
        self.root = self.copy()
        shutil.copytree(os.path.join(LEAKS, "reports"), os.path.join(self.root, "reports"))
        shutil.copytree(os.path.join(FEW, "heaps/strtab"), os.path.join(self.root, "heaps/few"))
        self.page = os.path.join(self.folder, "report.html")
        self.browser.medium("light")

    def show(self, width=1200):
        self.tool("report", "-o", self.page, root=self.root)
        self.browser.open(self.page, width)

    def said(self):
        return re.sub(r"\s+", " ", self.browser.value("document.body.innerText"))

    def keep(self, name):
        self.browser.picture(os.path.join(os.environ["KMHEAP_PICTURES"], name))

    def rows(self, head):
        """Cells of the table below the heading HEAD."""
        return self.browser.value("""(() => {
            let at = [...document.querySelectorAll("h2,h3")].find(one =>
                one.innerText.startsWith(%r));
            while (at && !at.querySelector("table")) at = at.nextElementSibling;
            return at && [...at.querySelectorAll("tr")].map(tr =>
                [...tr.cells].map(cell => cell.innerText));
        })()""" % head)

    def test_totals(self):
        self.show()
        said = self.said()
        stats = plain_figures(os.path.join(self.root, "stats"))
        for name in text.PARTS + ("footprint_bytes", "live_objects"):
            self.assertIn(" %s " % "{:,}".format(int(stats[name])), said)

    def test_sections(self):
        self.show()
        self.assertEqual(self.browser.value(
            "[...document.querySelectorAll('h2')].map(one => one.innerText.split(' owner ')[0])"),
            ["Heaps", "Leaks", "Heap demo", "Heap strtab", "Heap few", "Heap sysgraph",
             "Heap default", "Heap empty"])
        self.assertEqual(self.browser.value("document.querySelectorAll('section').length"),
                         len(HEAPS) + 2)
        for link in self.browser.value("[...document.links].map(one => one.hash)"):
            self.assertTrue(self.browser.value("!!document.querySelector(%r)" % link), link)

    def test_leaks(self):
        self.show()
        rows = self.rows("Leaks")
        self.assertEqual([row[0] for row in rows], ["report", "exact.3", "sampled.2", "plain.1",
                                                    "all"])
        self.assertEqual(rows[-1][4], str(155 + 78 + 78))
        self.assertEqual([row[1:4] for row in self.rows("exact.3")[1:2]],
                         [["4", "0.1 to 2.2 s", rows_site(self.rows("exact.3")[1])]])
        self.assertEqual(self.rows("exact.3")[-1][-1], "6 more")

    def test_pins(self):
        self.show()
        rows = self.rows("Pins")
        self.assertEqual(rows[0], ["arenas", "spans", "objects", "site"])
        self.assertEqual(rows[-1], ["764 KiB", "588 KiB", "400", "all"])

    def test_nothing_is_asked_for(self):
        self.show()
        self.assertEqual(self.browser.asked_for(), ["file://" + self.page])
        self.assertEqual(self.browser.complaints(), [])

    def test_colours(self):
        """Light, dark and on paper every text can be read."""
        self.show()
        grounds = []
        for scheme, media, least in (("light", "", 4.5), ("dark", "", 4.5), ("dark", "print", 4.5)):
            self.browser.medium(scheme, media)
            grounds.append(self.browser.value(GROUND))
            poor = [one for one in self.browser.value(SEEN) if one[1] < least]
            self.assertEqual(poor, [], (scheme, media))
            self.keep("report-%s.png" % (media or scheme))
        self.assertEqual(grounds, ["rgb(255, 255, 255)", "rgb(21, 24, 28)", "rgb(255, 255, 255)"])

    def test_widths(self):
        """Nothing sticks out of the window: tables have a scroll bar of their own."""
        for width in (1600, 1200, 800, 420):
            self.show(width)
            self.assertLessEqual(
                self.browser.value("document.documentElement.scrollWidth"), width)
        self.keep("report-narrow.png")

    def test_flames(self):
        """A text of a flame graph ends within its frame."""
        self.show()
        shapes = [one for one in self.browser.value(SHAPES) if one[3] is not None]
        self.assertGreater(len(shapes), 10)
        self.assertEqual([one for one in shapes if one[2] > one[3] + 0.5], [])

    def test_paper(self):
        self.show(PAPER)
        paper = self.browser.paper()
        self.assertEqual(paper[:5], b"%PDF-")
        with open(os.path.join(os.environ["KMHEAP_PICTURES"], "report.pdf"), "wb") as file:
            file.write(paper)
        self.browser.medium("light", "print")
        wide = self.browser.value("""[...document.querySelectorAll(".wide")].filter(one =>
            one.scrollWidth > one.clientWidth + 1).map(one => one.innerText.slice(0, 60))""")
        self.assertEqual(wide, [])

    def test_hostile(self):
        """Names and functions are texts, whatever they look like."""
        report = os.path.join(self.root, "reports", "<img src=x onerror=document.title=1>")
        shutil.copy(os.path.join(self.root, "reports", "exact.3"), report)
        for old, new in (("owner leak_client", "owner <b onload=x>&amp;"),
                         (" leak_large\\+", " <script>document.title=2<!--+")):
            self.change(report, old, new)
        pins = os.path.join(self.root, "heaps/few/pins")
        self.change(pins, " strtab_line\\+", " </table><script>document.title=3</script>+")
        self.show()
        said = self.said()
        for word in ("<img src=x onerror=document.title=1>", "<b onload=x>&amp;",
                     "<script>document.title=2<!--", "</table><script>document.title=3</script>"):
            self.assertIn(word, said)
        self.assertRegex(self.browser.value("document.title"), "^kmheap: ")
        self.assertEqual(self.browser.value("document.querySelectorAll('script,img,b').length"), 0)
        self.assertEqual(self.browser.asked_for(), ["file://" + self.page])


def rows_site(row):
    """The site of a row, which the caller does not look at."""
    return row[3]


if __name__ == "__main__":
    unittest.main()
