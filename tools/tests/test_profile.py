# SPDX-License-Identifier: GPL-2.0
"""Heap profiles: the parser, what samples stand for, and the verbs that show it."""
import contextlib
import errno
import math
import os
import random
import re
import shutil
import unittest
from unittest import mock

from common import FEW, HEAPS, RECORDED, Case, plain_figures
from kmheap_insight import profiletext, sampling, sites, term, tree
from kmheap_insight.text import FormatError
from kmheap_insight.tree import Tree
from profiles import FOREST, made, recorded, text
from test_verbs import SEQUENCE, Terminal


class Parser(unittest.TestCase):
    def refused(self, what, contents, parse=profiletext.parse):
        with self.assertRaisesRegex(FormatError, "profile: " + what):
            parse("profile", contents)

    def test_recorded(self):
        profile = profiletext.parse("profile", recorded())
        self.assertEqual((profile.kind, profile.heap, profile.owner, profile.period),
                         ("inuse", "strtab", "strtab", 16384))
        self.assertEqual(profile.samples, sum(site.counts["allocs"] for site in profile.sites))
        self.assertEqual(len(profile.sites), recorded().count("\nsite "))
        self.assertEqual(sum(len(site.frames) for site in profile.sites), recorded().count("\n\t"))
        frame = profile.sites[0].frames[0]
        self.assertEqual((frame.function, frame.module, frame.offset), ("strtab_line", "strtab",
                                                                        0x37d))
        self.assertEqual(profile.sites[0].frames[-1].module, "")
        for heap in HEAPS:
            if heap != "strtab":
                self.assertEqual(profiletext.parse("profile", recorded(heap=heap)).period, 0)

    def test_cut_off_anywhere(self):
        for file, parse in (("profile", profiletext.parse), ("lifetimes", profiletext.lifetimes)):
            whole, refused = recorded(file), 0
            for length in range(len(whole)):
                try:
                    parse("profile", whole[:length])
                    self.assertEqual(whole[length - 1], "\n")
                except FormatError as error:
                    self.assertRegex(str(error), "^profile: ")
                    refused += 1
            self.assertGreater(refused, 0.9 * len(whole))

    def test_numbers(self):
        for word in ("x", "-1", "1.5", "+1", "1_0", "0x1", "\u0663", str(1 << 64), "9" * 5000):
            self.refused("line 12, live_bytes is no number", text([([], (1, word, 1, 1))]))
            self.refused(r"line \d+, period_bytes is no number", text([], period=word))
        most = (1 << 64) - 1
        self.assertEqual(made([([], (most,) * 4)]).sites[0].counts["allocs"], most)

    def test_header(self):
        self.refused("no heap profile", "")
        self.refused("no heap profile", "kmheap profile\n")
        self.refused("no heap profile", recorded("stats"))
        self.refused("a profile of version 2, and this tool reads version 1",
                     recorded().replace("profile 1", "profile 2", 1))
        self.refused("no line columns", "kmheap profile 1\nkind inuse\n")
        for name in profiletext.HEADER + ("kind", "heap"):
            self.refused("no line " + name, re.sub(r"(?m)^%s .*\n" % name, "", recorded()))
        more = recorded().replace("columns", "colour blue\nempty\nnumbers 1 2 3\ncolumns", 1)
        self.assertEqual(len(profiletext.parse("profile", more).sites), 6)

    def test_columns(self):
        for name in ("site",) + profiletext.COUNTS:
            self.refused("no column " + name, re.sub(r"(?m)^(columns.*)\b%s\b" % name, r"\1other",
                                                     recorded()))
        self.refused("no column longer", recorded(), profiletext.lifetimes)
        self.refused("no column live_objects", recorded("lifetimes"))
        self.refused("a column is there twice", recorded().replace("alloc_bytes", "alloc_bytes "
                                                                   "allocs", 1))
        turned = text([(["f+0x1/0x2"], (1, 2, 3, 4, 5))],
                      columns=("new", "alloc_bytes", "allocs", "live_bytes", "live_objects"))
        self.assertEqual(profiletext.parse("profile", turned).sites[0].counts,
                         {"new": 1, "alloc_bytes": 2, "allocs": 3, "live_bytes": 4,
                          "live_objects": 5})
        self.refused("line 12 has 6 columns of 5",
                     text([([], (1, 2, 3, 4, 5))]))

    def test_lines_that_are_neither(self):
        self.refused("line 12 belongs to no site", text([]) + "\tffff name\n")
        self.refused("line 12 is neither a site nor a frame", text([]) + "row 1 1 1 1 1\n")
        self.refused("line 12 is neither a site nor a frame", text([]) + "\n")
        for address in ("xyz", "", "f" * 17, "-1", "0xff"):
            self.refused("line 13 begins with no address", text([([], (1, 1, 1, 1))]) +
                         "\t%s name\n" % address)
        self.refused("line 269: more than 256 frames", text([(["f"] * 257, (1, 1, 1, 1))]))

    def test_names(self):
        for name, function, module, offset in (
                ("f+0x1/0x2", "f", "", 1), ("f+0x1/0x2 [m]", "f", "m", 1),
                ("f+0x1f/0x20 [m 0123abcd]", "f", "m", 31), ("0xffffffffc0000000",
                                                             "0xffffffffc0000000", "", None),
                ("f.constprop.0+0x1/0x2", "f.constprop.0", "", 1), ("", "0x7", "", None),
                ("a b;c", "a b;c", "", None), ("\x1b[31m", "\\x1b[31m", "", None)):
            line = text([([], (1, 1, 1, 1))]) + "\t7 %s\n" % name
            frame = profiletext.parse("profile", line).sites[0].frames[0]
            self.assertEqual((frame.function, frame.module, frame.offset),
                             (function, module, offset))


class Sampling(unittest.TestCase):
    def test_by_hand(self):
        """An object of one period is sampled with 1 - 1/e."""
        objects, total = sampling.scale(10, 10 * 4096, 4096)
        self.assertAlmostEqual(objects, 15.8197670686933)
        self.assertAlmostEqual(total, 15.8197670686933 * 4096)
        # 64 bytes, one sample in 512 KiB: 8192.5 of them.
        self.assertAlmostEqual(sampling.scale(1, 64, 524288)[0], 8192.500010172523)

    def test_recorded(self):
        """What the six sites of the recording stand for, summed up by other means; and it is not
        far from what the heap has."""
        objects = total = 0
        for n, size in re.findall(r"(?m)^site \d+ (\d+) (\d+) ", recorded()):
            n, size = int(n), int(size) / int(n)
            objects += n / (1 - math.e ** (-size / 16384))
            total += size * n / (1 - math.e ** (-size / 16384))
        estimate = sampling.total(profiletext.parse("profile", recorded()))
        self.assertAlmostEqual(estimate.live_objects, objects, 3)
        self.assertAlmostEqual(estimate.live_bytes, total, 3)
        stats = Tree(RECORDED).heap("strtab").stats()
        sigma = sampling.relative_error(estimate.live_samples, 16384)
        self.assertLess(abs(total / stats["live_bytes"] - 1), 3 * sigma)

    def test_against_a_simulation(self):
        """Objects of five sizes are sampled as the kernel does it; what that stands for is what
        there was, within four standard errors."""
        chance, period, sites, true = random.Random(1), 4096, [], 0
        left = chance.expovariate(1 / period)
        for size in (16, 256, 4096, 20000, 100000):
            samples = 0
            for _ in range(4000):
                left -= size
                if left < 0:
                    samples += 1
                    left = chance.expovariate(1 / period)
            count, total = sampling.scale(samples, samples * size, period)
            self.assertLess(abs(count / 4000 - 1), 4 / math.sqrt(samples), size)
            true += 4000 * size
            sites.append((["f%d" % size], (samples, samples * size) * 2))
        whole = sampling.total(made(sites, period=period))
        self.assertLess(abs(whole.live_bytes / true - 1), 0.02)
        self.assertEqual(whole.live_bytes, whole.alloc_bytes)

    def test_exact(self):
        for counts in ((3, 300), (0, 0), (2**64 - 1, 2**64 - 1)):
            self.assertEqual(sampling.scale(*counts, 1), counts)
        self.assertEqual(sampling.relative_error(3, 1), 0)

    def test_error(self):
        self.assertEqual(sampling.relative_error(16, 4096), 0.25)
        self.assertEqual(sampling.relative_error(0, 4096), 1)

    def test_odd_counts(self):
        for counts in ((0, 7), (7, 0), (1, 1), (2**64 - 1, 1), (1, 2**64 - 1)):
            for period in (0, 1, 2, 2**64 - 1):
                for value in sampling.scale(*counts, period):
                    self.assertTrue(0 <= value < math.inf, (counts, period))


class Tables(Case):
    def table(self, *arguments, **more):
        return self.tool(*arguments, **more).splitlines()

    def with_profile(self, contents, file="profile"):
        root = os.path.join(self.folder, "%d" % len(os.listdir(self.folder)))
        shutil.copytree(RECORDED, root)
        with open(os.path.join(root, "heaps/strtab", file), "w", encoding="ascii") as out:
            out.write(contents)
        return root

    def test_recorded(self):
        lines = self.table("profile", "strtab")
        self.assertEqual(lines[0], "strtab: 801 KiB live in ~28,185 objects; period 16 KiB, "
                         "50 samples, +-14 %")
        self.assertEqual(lines[1].split(), ["live", "%", "error", "objects", "allocs", "site"])
        self.assertRegex(lines[2], r"^801 KiB +100\.0 +\+-14 % +28,185 +43,559 +"
                         r"strtab_line < strtab_write < full_proxy_write < vfs_write < ")
        self.assertEqual(len(lines), 3)

    def test_offsets(self):
        lines = self.table("profile", "strtab", "--offsets")
        self.assertRegex(lines[2], r"^513 KiB +64\.0 .* strtab_line\+0x39d < strtab_write\+0x18a ")
        self.assertRegex(lines[3], r"^288 KiB +36\.0 .* strtab_line\+0x37d < ")
        shown = self.table("profile", "strtab", "--offsets", "-n", "1")
        self.assertEqual(shown[:3] + ["and 1 more, 288 KiB"], lines[:3] + shown[3:])

    def test_sorts(self):
        root = self.with_profile(text(FOREST))
        lines = self.table("profile", "strtab", root=root)
        self.assertEqual(lines[0], "made: 464 bytes live in 6 objects; period 1 byte, 6 samples, "
                         "exact")
        self.assertEqual([line.split()[0] for line in lines[2:]], ["300", "100", "64"])
        lines = self.table("profile", "strtab", "--sort", "allocs", root=root)
        self.assertIn("1.12 KiB allocated in 19 objects", lines[0])
        self.assertEqual([line.split()[0] for line in lines[2:]], ["500", "288", "256", "100"])
        self.assertEqual(lines[4].split()[2:], ["22.4", "exact", "0", "4", "gone", "<", "root"])

    def test_since(self):
        for arguments in (["profile", "strtab", "--since"], ["diff", "strtab"]):
            lines = self.table(*arguments)
            self.assertEqual(lines[0], "strtab: 240 KiB live since the mark in ~8,200 objects; "
                             "period 16 KiB, 15 samples, +-26 %")
            self.assertNotIn("allocs", lines[1])
        self.refused("--since knows only what is live", "profile", "strtab", "--since", "--sort",
                     "allocs")

    def test_lifetimes(self):
        lines = self.table("lifetimes", "strtab")
        self.assertEqual(lines[0], "strtab: 27 sampled objects were freed; period 16 KiB")
        self.assertEqual(lines[1].split(), ["freed", "<268ms", "site"])
        self.assertRegex(lines[2], "^ *27 +27  strtab_line < ")
        columns = recorded("lifetimes").split("columns site ")[1].splitlines()[0].split()
        root = self.with_profile(text([(["f"], (0, 2, 0, 5) + (0,) * 8),
                                       (["g"], (0,) * 4 + (9,) + (0,) * 7),
                                       (["f"], (0, 1, 0, 1) + (0,) * 8), (["h"], (0,) * 12)],
                                      columns=columns), "lifetimes")
        lines = self.table("lifetimes", "strtab", root=root)
        self.assertEqual([line.split() for line in lines[1:]],
                         [["freed", "<16ms", "<67ms", "<268ms", "<1s", "site"],
                          ["9", "3", "-", "6", "-", "f"], ["9", "-", "-", "-", "9", "g"]])
        self.assertEqual(self.table("lifetimes", "strtab", "-n", "1", root=root)[-1],
                         "and 1 more, 9 freed")

    def test_recorded_pins(self):
        """400 of 20,000 objects are left, and hold back most of what the heap has."""
        sums = {"strtab_line+0x37d": [0, 0, 0], "strtab_line+0x39d": [0, 0, 0]}
        with open(os.path.join(FEW, "heaps/strtab/pins"), encoding="ascii") as file:
            rows = file.read().split("\nsite ")[1:]
        for row in rows:
            values, frame = row.split("\n\t")[:2]
            objects, _, span, arena = map(int, values.split()[1:])
            found = sums[frame.split()[1].split("/")[0]]
            for i, value in enumerate((arena, span, objects)):
                found[i] += value
        lines = self.table("pins", "strtab", "--offsets", root=FEW)
        self.assertEqual(lines[0], "strtab: 764 KiB of arenas and 588 KiB of spans are held back by "
                                   "few objects; period 1 byte")
        self.assertEqual([line.split()[:7] for line in lines[2:]],
                         [[*term.bytes_text(arena).split(), *term.bytes_text(span).split(),
                           "%d" % objects, name, "<"] for name, (arena, span, objects) in
                          sorted(sums.items(), key=lambda row: [-n for n in row[1]])])
        stats = plain_figures(os.path.join(FEW, "heaps/strtab/stats"))
        held = sum(found[0] for found in sums.values())
        self.assertEqual(int(stats["live_objects"]), sum(found[2] for found in sums.values()))
        self.assertLess(held, int(stats["footprint_bytes"]) - int(stats["live_bytes"]))
        self.assertGreater(held, 0.75 * int(stats["footprint_bytes"]))

    def test_pins(self):
        columns = ("live_objects", "live_bytes", "span_bytes", "arena_bytes")
        rows = [(["f+0x1/0x2"], (2, 128, 8000, 0)), (["f+0x9/0x2"], (1, 64, 4000, 100000)),
                (["g+0x1/0x2"], (4, 4096, 0, 200000)), (["fine+0x1/0x2"], (9, 900, 0, 0))]
        root = self.with_profile(text(rows, kind="pins", columns=columns), "pins")
        lines = self.table("pins", "strtab", root=root)
        self.assertEqual(lines[0], "made: 293 KiB of arenas and 11.7 KiB of spans are held back by "
                                   "few objects; period 1 byte")
        self.assertEqual([re.split("  +", line.strip()) for line in lines[1:]],
                         [["arenas", "spans", "objects", "site"], ["195 KiB", "0 bytes", "4", "g"],
                          ["97.7 KiB", "11.7 KiB", "3", "f"]])
        self.assertEqual(len(self.table("pins", "strtab", "--offsets", root=root)), 5)
        # 64 bytes of 4,096 are sampled with the probability 0.0155: a sample stands for 64.5.
        root = self.with_profile(text([(["f"], (1, 64, 4000, 0))], kind="pins", period=4096,
                                      columns=columns), "pins")
        self.assertEqual(self.table("pins", "strtab", root=root)[2].split()[2:],
                         ["252", "KiB", "65", "f"])
        root = self.with_profile(text([], kind="pins", columns=columns), "pins")
        self.assertEqual(len(self.table("pins", "strtab", root=root)), 1)

    def test_objects_from_before(self):
        for number, lines in ((1234, ["1,234 live objects are from before the profile"]), (0, [])):
            root = self.with_profile(text(FOREST, before_objects=number), "profile")
            said = self.table("profile", "strtab", root=root)
            self.assertEqual([line for line in said if "before" in line], lines)
        root = self.with_profile(text(FOREST), "profile")
        self.assertEqual(self.table("profile", "strtab", root=root), said)

    def test_pins_as_folded_stacks(self):
        columns = ("live_objects", "live_bytes", "span_bytes", "arena_bytes")
        rows = [(["f+0x1/0x2 [mod]", "root+0x1/0x2"], (2, 128, 8000, 0)),
                (["f+0x9/0x2 [mod]", "root+0x1/0x2"], (1, 64, 4000, 100000)),
                (["g+0x1/0x2", "root+0x1/0x2"], (4, 4096, 0, 200000)),
                (["fine+0x1/0x2"], (9, 900, 0, 0))]
        root = self.with_profile(text(rows, kind="pins", columns=columns), "pins")
        path = os.path.join(self.folder, "pins.folded")
        for options, lines in (((), "root;f [mod] 100000\nroot;g 200000\n"),
                               (("--spans",), "root;f [mod] 12000\n")):
            self.assertEqual(self.tool("pins", "strtab", "-o", path, *options, root=root), "")
            with open(path, encoding="ascii") as file:
                self.assertEqual(file.read(), lines)
        self.refused("-o: the name of the file has to end in .folded", "pins", "strtab", "-o", "x.svg",
                     root=root)
        self.refused("--spans goes with -o", "pins", "strtab", "--spans", root=root)
        root = self.with_profile(text([], kind="pins", columns=columns, period=0), "pins")
        self.refused("was never profiled", "pins", "strtab", "-o", path, root=root)

    def test_peak(self):
        root = self.with_profile(text(FOREST, kind="peak"), "profile_peak")
        lines = self.table("profile", "strtab", "--peak", root=root)
        self.assertIn(" live at the peak in 6 objects;", lines[0])
        self.refused("not allowed with argument", "profile", "strtab", "--peak", "--since")

    def test_never_profiled(self):
        for verb in ("profile", "flame", "diff", "lifetimes"):
            self.refused("heap demo was never profiled; \"kmheap profile demo --on 512K\"", verb,
                         "demo")
        self.refused("never profiled", "profile", "demo", "-o",
                     os.path.join(self.folder, "x.pb.gz"))
        self.assertEqual(os.listdir(self.folder), [])

    def test_nothing_lives(self):
        root = self.with_profile(text([], period=4096))
        self.assertEqual(len(self.table("profile", "strtab", root=root)), 1)
        self.assertIn("nothing lives", self.tool("flame", "strtab", root=root))
        self.assertEqual(self.tool("flame", "strtab", "--folded", root=root), "")

    def test_losses(self):
        root = self.with_profile(text(FOREST, lost=3, missed=4000))
        lines = self.table("profile", "strtab", root=root)
        self.assertRegex(lines[-2], "^3 samples .* table of sites: see profile_sites$")
        self.assertRegex(lines[-1], "^4,000 samples .* live objects: see profile_records$")

    def test_a_module_without_profiles(self):
        """As every recording was before there were profiles."""
        root = self.copy()
        for heap in HEAPS:
            for file in tree.PROFILES + ("profile_period_bytes",):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(os.path.join(root, "heaps", heap, file))
        for verb in ("profile", "flame", "diff", "lifetimes", "pins"):
            self.refused("no such file: the module is older than heap profiles", verb, "strtab",
                         root=root)
        for verb in (["stats"], ["metrics"], ["top", "-n", "1"]):
            self.tool(*verb, root=root)
        self.assertNotIn("Call sites", self.tool("report", root=root))

    def test_no_capability(self):
        contents = tree._contents

        def read(path):
            if os.path.basename(path) in tree.PROFILES:
                raise PermissionError(errno.EPERM, "no")
            return contents(path)

        with mock.patch.object(tree, "_contents", read):
            self.refused("profile: no permission: it takes CAP_SYSLOG", "profile", "strtab")
            self.assertNotIn("Call sites", self.tool("report"))

    def test_hostile_names(self):
        root = self.with_profile(text([(["\x1b[31mred", "<b>&\"'"], (1, 1, 1, 1)),
                                       (["a;b", "c\\"], (1, 1, 1, 1))], heap="\x1b[2J"))
        for verb in (["profile"], ["flame"], ["flame", "--folded"], ["lifetimes"]):
            self.assertNotIn("\x1b", self.tool(*verb, "strtab", root=root))

    def test_on_a_terminal(self):
        """Grey is what has fewer than four samples, and no line is longer than the terminal."""
        screen, status = Terminal("profile", "strtab", "--since", "--offsets").end()
        self.assertEqual(status, 0)
        lines = SEQUENCE.sub("", screen).splitlines()
        self.assertEqual([len(line) for line in lines[2:]], [80, 80])
        self.assertTrue(lines[2].endswith("..."))
        self.assertNotIn("\x1b[2m", screen)
        rows = text([(["many"], (4, 4000, 4, 4000)), (["few"], (3, 3000, 3, 3000))], period=4096)
        profile = profiletext.parse("profile", rows)
        paint = term.Paint(mock.Mock(isatty=lambda: True))
        paint.on = True
        args = mock.Mock(n=20, sort="live", offsets=False)
        lines = sites.lines(profile, args, paint, 80)
        self.assertEqual([line.startswith("\x1b[2m") for line in lines[2:]], [False, True])
        exact = sites.lines(made([(["few"], (3, 3, 3, 3))]), args, paint, 80)
        self.assertFalse(exact[2].startswith("\x1b[2m"))


class Saved(Case):
    """diff of two files."""

    def files(self, before, after):
        paths = [os.path.join(self.folder, name) for name in ("a.txt", "b.txt")]
        for path, contents in zip(paths, (before, after)):
            with open(path, "w", encoding="ascii") as file:
                file.write(contents)
        return paths

    def diff(self, before, after, *more):
        return self.tool("diff", *self.files(before, after), *more, root=None).splitlines()

    def test_exactly_those_that_grow(self):
        """Five sites grow and one shrinks; twenty are busy, and stay as large."""
        before = [(["grow%d+0x1/0x2" % i], (10, 640, 10, 640)) for i in range(4)]
        after = [(["grow%d+0x9/0x9" % i], (10 + i + 1, 640 + 64 * (i + 1), 99, 9999))
                 for i in range(4)]
        after += [(["new+0x1/0x2"], (100, 6400, 100, 6400))]
        before += [(["less+0x1/0x2"], (7, 448, 7, 448))]
        after += [(["less+0x1/0x2"], (2, 128, 9, 576))]
        for i in range(20):
            before.append((["busy%d+0x1/0x2" % i], (5, 320, 5, 320)))
            after.append((["busy%d+0x1/0x2" % i], (5, 320, 500, 32000)))
        lines = self.diff(text(before), text(after, time_ns=1796011459000000000))
        self.assertEqual(lines[0], "made: +6.56 KiB live in 60 s")
        rows = [line.split() for line in lines[2:]]
        self.assertEqual([(row[-1], row[-2], row[0]) for row in rows],
                         [("new", "+100", "+6.25"), ("less", "-5", "-320"),
                          ("grow3", "+4", "+256"), ("grow2", "+3", "+192"),
                          ("grow1", "+2", "+128"), ("grow0", "+1", "+64")])
        self.assertTrue(all("exact" in row for row in rows))

    def test_the_same(self):
        lines = self.diff(recorded(), recorded())
        self.assertEqual(lines, ["strtab: +0 bytes live in 0 s"])

    def test_saved_by_the_tool(self):
        """A profile saved with -o is what the kernel said; from nothing to it is all of it."""
        path = os.path.join(self.folder, "saved.txt")
        self.tool("profile", "strtab", "-o", path)
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), recorded())
        empty = recorded()[:recorded().index("site 2511")]
        lines = self.diff(empty, recorded(), "--offsets", "-n", "1")
        self.assertEqual(lines[0], "strtab: +801 KiB live in 0 s")
        self.assertRegex(lines[2], r"^\+513 KiB +\+-90\.6 KiB +\+18,960 +strtab_line\+0x39d < ")
        self.assertEqual(lines[3], "and 1 more, +288 KiB")

    def test_the_error(self):
        """Both profiles' errors, of 16 and of 9 samples, add up as their squares."""
        def one(n, since):
            return text([(["f"], (n, n * 10**9, n, n * 10**9))], period=2, since_ns=since)
        row = self.diff(one(16, 1), one(9, 2))[2]
        self.assertIn("-%.3g GiB" % (7e9 / 2**30), row)
        self.assertIn("+-%.3g GiB" % (math.hypot(4e9, 3e9) / 2**30), row)

    def test_the_error_within_one_profile(self):
        """Of 400 samples 4 are new, and one of those and 4 of the old ones are gone; the error is
        that of 9 samples, whatever the others were."""
        def one(live, allocs, since=5):
            return text([(["f"], (live, live * 10**9, allocs, allocs * 10**9))], period=2,
                        since_ns=since)
        row = self.diff(one(400, 500), one(399, 504))[2]
        self.assertIn("+-%.3g GiB" % (3e9 / 2**30), row)
        other = self.diff(one(400, 500), one(399, 504, since=6))[2]
        self.assertIn("+-%.3g GiB" % (math.hypot(20e9, math.sqrt(399) * 1e9) / 2**30), other)
        # Where most come and go, the errors of what lives are less.
        busy = self.diff(one(4, 10), one(5, 10000))[2]
        self.assertIn("+-%.3g GiB" % (3e9 / 2**30), busy)

    def test_refused(self):
        a, b = self.files(recorded(), recorded("lifetimes"))
        self.refused("b.txt: no column live_objects", "diff", a, b, root=None)
        self.refused("/none: No such file", "diff", a, "/none", root=None)
        self.refused("a.txt: No such|there is no heap", "diff", "a.txt")
        self.refused("--root and -o do not go with that", "diff", a, a)
        self.refused("--root and -o do not go with that", "diff", a, a, "-o", "x.svg", root=None)
        os.truncate(a, os.path.getsize(a) - 3)
        self.refused("a.txt: cut off in line", "diff", a, a, root=None)


class Switch(Case):
    """--on, --off and mark, on a folder that plays debugfs."""

    def setUp(self):
        super().setUp()
        debugfs = os.path.join(self.folder, "debug")
        shutil.copytree(RECORDED, os.path.join(debugfs, "kmheap"))
        self.heap = os.path.join(debugfs, "kmheap/heaps/strtab")
        with open(os.path.join(self.heap, "mark"), "w", encoding="ascii"):
            pass
        patch = mock.patch.object(tree, "DEBUGFS", debugfs)
        patch.start()
        self.addCleanup(patch.stop)

    def written(self, file):
        with open(os.path.join(self.heap, file), encoding="ascii") as contents:
            return contents.read().split("\n")[0]

    def test_on_off_mark(self):
        for word in ("512K", "1", "288230376151711743"):
            self.assertEqual(self.tool("profile", "strtab", "--on", word, root=None), "")
            self.assertEqual(self.written("profile_period_bytes"), word)
        self.tool("profile", "strtab", "--off", root=None)
        self.assertEqual(self.written("profile_period_bytes"), "0")
        self.tool("mark", "strtab", root=None)
        self.assertEqual(self.written("mark"), "1")

    def test_words_that_are_no_period(self):
        for word in ("0", "0K", "many", "-1", "1.5M", "512KB", "512k", "", "1" * 19):
            self.refused("invalid period value", "profile", "strtab", "--on=" + word, root=None)
        self.refused("--off: not allowed with argument --on", "profile", "strtab", "--on", "1",
                     "--off", root=None)
        self.refused("go with no other option", "profile", "strtab", "--off", "-o", "x.svg",
                     root=None)

    def test_not_of_a_copy(self):
        root = self.copy()
        for arguments in (["profile", "strtab", "--on", "1"], ["profile", "strtab", "--off"],
                          ["mark", "strtab"]):
            self.refused("--root names a copy", *arguments, root=root)

    def test_errors(self):
        real = os.open

        for number, what in ((errno.EINVAL, "the kernel refuses this period"),
                             (errno.ENOMEM, "no memory for the tables of profiles, or a limit"),
                             (errno.EPERM, "no permission: only root may write, and nobody while"),
                             (errno.EIO, "Input/output error")):
            def refuse(path, flags, *more, number=number):
                if flags & os.O_WRONLY and "heaps" in str(path):
                    raise OSError(number, os.strerror(number))
                return real(path, flags, *more)

            with mock.patch("os.open", refuse):
                self.refused("heap strtab: profile_period_bytes: " + what, "profile", "strtab",
                             "--on", "1", root=None)
        self.refused("there is no heap nobody", "mark", "nobody", root=None)
        os.remove(os.path.join(self.heap, "mark"))
        self.refused("mark: there is no such file: the module is older", "mark", "strtab",
                     root=None)


if __name__ == "__main__":
    unittest.main()
