# SPDX-License-Identifier: GPL-2.0
"""What holds of the files of every guest: the recorded ones, or those in the folder KMHEAP_TREE,
which scripts/check-selftests has from a guest that has just run this module."""
import os
import unittest

from prometheus_client.parser import text_string_to_metric_families

from common import RECORDED, Case, plain_figures
from kmheap_insight import figures

ROOT = os.environ.get("KMHEAP_TREE", RECORDED)


class Whole(Case):
    def setUp(self):
        super().setUp()
        self.heaps = os.listdir(os.path.join(ROOT, "heaps"))
        self.assertIn("default", self.heaps)

    def test_every_verb_reads_every_heap(self):
        for verb in (["top", "-n", "1"], ["stats"], ["report"], ["metrics"], ["validate"], ["abi"]):
            self.assertNotEqual(self.tool(*verb, root=ROOT), "")
        for heap in self.heaps:
            for verb in ("stats", "classes", "map"):
                self.assertNotEqual(self.tool(verb, heap, root=ROOT), "")

    def test_the_module_knows_every_figure(self):
        """A figure that the tool knows and the module has no more has another name now."""
        for heap in self.heaps:
            stats = plain_figures(os.path.join(ROOT, "heaps", heap, "stats"))
            for name in figures.HEAP:
                self.assertTrue(name in stats, name)
            for name in figures.BY_CONTEXT:
                for context in figures.CONTEXTS:
                    self.assertTrue("%s_%s" % (name, context) in stats, name)
        stats = plain_figures(os.path.join(ROOT, "stats"))
        for name in figures.MODULE:
            self.assertTrue(name in stats, name)

    def test_the_tool_knows_every_figure(self):
        """A new line of stats has to come into figures.py, with its kind."""
        for heap in self.heaps:
            for name in plain_figures(os.path.join(ROOT, "heaps", heap, "stats")):
                self.assertTrue(name == "owner" or figures.known(name), name)

    def test_others_read_the_metrics(self):
        found = {}
        for family in text_string_to_metric_families(self.tool("metrics", root=ROOT)):
            for sample in family.samples:
                found[sample.name, sample.labels.get("heap")] = sample.value
        for heap in self.heaps:
            stats = plain_figures(os.path.join(ROOT, "heaps", heap, "stats"))
            for name in ("footprint_bytes", "live_bytes", "live_objects"):
                self.assertEqual(found["kmheap_" + name, heap], int(stats[name]))
            self.assertEqual(found["kmheap_allocs_total", heap], int(stats["allocs"]))

    def test_the_tool_knows_every_use_of_a_page(self):
        for heap in self.heaps:
            self.assertNotIn("unknown to this tool", self.tool("map", heap, root=ROOT))


if __name__ == "__main__":
    unittest.main()
