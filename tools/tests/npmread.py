# SPDX-License-Identifier: GPL-2.0
"""Profiles that were written, as two packages of npm read them, pprof-format and speedscope
(KMHEAP_READERS): scripts/check-readers has it."""
import json
import os
import subprocess
import unittest

from common import FEW, RECORDED, Case
from kmheap_insight import profilefile, sampling
from kmheap_insight.tree import Tree
from profiles import FOREST, made

HERE = os.path.dirname(os.path.abspath(__file__))
FIGURES = {"alloc_objects": "alloc_objects", "alloc_space": "alloc_bytes",
           "inuse_objects": "live_objects", "inuse_space": "live_bytes"}


def added(stacks):
    """The weights of equal stacks, outermost frame first, added up; those of nothing left out."""
    found = {}
    for stack, weight in stacks:
        found[tuple(stack)] = found.get(tuple(stack), 0) + weight
    return {stack: weight for stack, weight in found.items() if weight}


class Npm(Case):
    def profiles(self):
        yield Tree(RECORDED).heap("strtab").profile()
        yield Tree(FEW).heap("strtab").profile()
        yield Tree(RECORDED).heap("strtab").profile("profile_since")
        yield made(FOREST)

    def read(self, reader, profile, suffix):
        path = os.path.join(self.folder, "x" + suffix)
        profilefile.write(path, profile)
        done = subprocess.run(["node", os.path.join(HERE, "read_profile.js"),
                               os.environ["KMHEAP_READERS"], reader, path],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def same(self, view, profile, figure, name):
        """The VIEW has of each stack of PROFILE what the tool says that it stands for."""
        expected = {tuple(reversed(stack)): getattr(estimate, figure) for stack, estimate in
                    sampling.by_stack(profile, name).items()}
        found = added(view["stacks"])
        # Each site is rounded by itself.
        near = len(profile.sites)
        for stack, weight in expected.items():
            self.assertAlmostEqual(found.pop(stack, 0), weight, delta=near)
        self.assertEqual(found, {})

    def test_pprof_format(self):
        for profile in self.profiles():
            for suffix in (".pb.gz", ".pb"):
                found = self.read("pprof-format", profile, suffix)
                self.assertEqual(found["period"], [profile.period, "space", "bytes"])
                names = list(FIGURES)[2 if profile.kind == "since" else 0:]
                self.assertEqual([view["name"] for view in found["views"]], names)
                for view in found["views"]:
                    self.assertEqual(view["unit"], "bytes" if "space" in view["name"] else "count")
                    self.same(view, profile, FIGURES[view["name"]],
                              lambda frame: frame.with_module())
                for labels in found["labels"]:
                    self.assertEqual(labels["heap"], profile.heap)
                    self.assertGreater(labels["bytes"], 0)

    def test_speedscope_json(self):
        for profile in self.profiles():
            found = self.read("speedscope", profile, ".json")
            self.assertEqual(found["name"], "kmheap: heap " + profile.heap)
            figures = ["live_bytes", "live_objects", "alloc_bytes", "alloc_objects"]
            figures = figures[:2 if profile.kind == "since" else 4]
            self.assertEqual([view["name"] for view in found["views"]],
                             ["%s: %s" % (profile.heap, figure) for figure in figures])
            for view, figure in zip(found["views"], figures):
                self.assertEqual(view["unit"], "bytes" if "bytes" in figure else "none")
                self.same(view, profile, figure, lambda frame: frame.function)

    def test_speedscope_reads_the_others(self):
        """Live bytes, which a file for pprof shows first."""
        for profile in self.profiles():
            for suffix, unit in ((".pb.gz", "bytes"), (".folded", "none")):
                found = self.read("speedscope", profile, suffix)
                self.assertEqual([view["unit"] for view in found["views"]], [unit])
                self.same(found["views"][0], profile, "live_bytes",
                          lambda frame: frame.with_module())


if __name__ == "__main__":
    unittest.main()
