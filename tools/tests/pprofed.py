# SPDX-License-Identifier: GPL-2.0
"""Profiles that were written, as Go's pprof reads them (KMHEAP_PPROF): scripts/check-pprof has it."""
import os
import re
import subprocess
import unittest

from common import FEW, RECORDED, Case
from kmheap_insight import pprof, profiletext, sampling
from kmheap_insight.tree import Tree
from profiles import FOREST, made, text

BOTH = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"),
        ("inuse_space", "bytes")]


class Raw:
    """What "pprof -raw" says: types, samples and where they are from."""

    def __init__(self, said):
        head, rest = said.split("Samples:\n")
        types, rest = rest.split("\n", 1)
        rows, rest = rest.split("Locations\n")
        places, mappings = rest.split("Mappings\n")
        self.head = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        self.types = [tuple(word.removesuffix("[dflt]").split("/")) for word in types.split()]
        self.functions = {}
        for line in places.splitlines():
            number, address, name = re.match(r" *(\d+): 0x([0-9a-f]+) M=\d+ (.+?) \S*:\d+ s=",
                                             line).groups()
            self.functions[number] = int(address, 16), name
        self.samples, self.labels = [], []
        for line in rows.splitlines():
            if re.match(r" +[a-z]+:\[", line):
                self.labels[-1].update(re.findall(r"(\w+):\[([^]]*)\]", line))
                continue
            counts, _, stack = line.partition(":")
            self.samples.append(([int(word) for word in counts.split()],
                                 [self.functions[number] for number in stack.split()]))
            self.labels.append({})
        self.mappings = mappings.splitlines()


class Pprof(Case):
    def pprof(self, *arguments):
        done = subprocess.run([os.environ["KMHEAP_PPROF"], *arguments], capture_output=True,
                              text=True, timeout=60, check=False,
                              env={**os.environ, "PPROF_TMPDIR": self.folder, "HOME": self.folder})
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def raw(self, profile):
        path = os.path.join(self.folder, "x.pb.gz")
        with open(path, "wb") as file:
            file.write(pprof.compressed(profile))
        return Raw(self.pprof("-raw", path))

    def same(self, profile, types):
        found = self.raw(profile)
        self.assertEqual(found.types, types)
        self.assertEqual(found.head["Period"], str(profile.period))
        self.assertEqual(found.head["PeriodType"], "space bytes")
        sites = [site for site in profile.sites if site.counts["allocs"]]
        self.assertEqual(len(found.samples), len(sites))
        for (_, stack), labels, site in zip(found.samples, found.labels, sites):
            self.assertEqual([address for address, _ in stack],
                             [frame.address for frame in site.frames])
            self.assertEqual([name.split(" [")[0] for _, name in stack],
                             [frame.function for frame in site.frames])
            self.assertEqual(labels["heap"], profile.heap)
        total = sampling.total(profile)
        figures = dict(alloc_objects=total.alloc_objects, alloc_space=total.alloc_bytes,
                       inuse_objects=total.live_objects, inuse_space=total.live_bytes)
        for i, (name, _) in enumerate(types):
            self.assertAlmostEqual(sum(counts[i] for counts, _ in found.samples), figures[name],
                                   delta=len(sites))
        return found

    def test_recorded(self):
        for root in (RECORDED, FEW):
            found = self.same(Tree(root).heap("strtab").profile(), BOTH)
            self.assertEqual(len(found.mappings), 2)
        self.same(Tree(RECORDED).heap("strtab").profile("profile_since"), BOTH[2:])

    def test_exact(self):
        found = self.same(made(FOREST), BOTH)
        self.assertEqual([counts for counts, _ in found.samples],
                         [[5, 500, 3, 300], [1, 100, 1, 100], [9, 288, 2, 64], [4, 256, 0, 0]])

    def test_top(self):
        """As a person calls it: live bytes by function."""
        path = os.path.join(self.folder, "p.pb.gz")
        self.tool("profile", "strtab", "-o", path)
        said = self.pprof("-top", "-unit=bytes", path)
        live = round(sampling.total(Tree(RECORDED).heap("strtab").profile()).live_bytes)
        self.assertIn("Type: inuse_space\n", said)
        number = int(re.search(r"100% of (\d+)B total", said).group(1))
        self.assertAlmostEqual(number, live, delta=6)
        self.assertRegex(said, r"\n +%dB +100%% +100%% +%dB +100%%  strtab_line \[strtab\]\n" %
                         (number, number))

    def test_base(self):
        """What one profile has more than another."""
        paths = []
        for name, more in (("a", 0), ("b", 700)):
            profile = profiletext.parse(name, text([(["f+0x1/0x2"], (1 + more // 100, 100 + more,
                                                                     9, 900))]))
            paths.append(os.path.join(self.folder, name + ".pb.gz"))
            with open(paths[-1], "wb") as file:
                file.write(pprof.compressed(profile))
        self.assertRegex(self.pprof("-top", "-unit=bytes", "-base", *paths), r"\n +700B +100%.*  f\n")


if __name__ == "__main__":
    unittest.main()
