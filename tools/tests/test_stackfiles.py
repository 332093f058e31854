# SPDX-License-Identifier: GPL-2.0
"""Profiles for other programs: profile.proto, read by a decoder that knows nothing of the encoder;
folded stacks; speedscope; flame graphs; and the report's part."""
import collections
import gzip
import json
import os
import unittest
import xml.etree.ElementTree as ElementTree

from common import RECORDED, Case
from kmheap_insight import flame, page, pprof, profiletext, sampling, stackfiles
from kmheap_insight.tree import Tree
from profiles import FOREST, made, recorded, text
from test_report import Page, refers

SVG = "{http://www.w3.org/2000/svg}"


def strtab():
    return profiletext.parse("profile", recorded())


# ---- a decoder

def varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def fields(data):
    """{number: [value]}: the fields of a message; varints, or bytes."""
    found, at = collections.defaultdict(list), 0
    while at < len(data):
        key, at = varint(data, at)
        assert key & 7 in (0, 2), key
        value, at = varint(data, at)
        if key & 7 == 2:
            length = value
            value, at = data[at:at + length], at + length
            assert len(value) == length
        found[key >> 3].append(value)
    return found


def numbers(chunks):
    found = []
    for data in chunks:
        at = 0
        while at < len(data):
            number, at = varint(data, at)
            found.append(number)
    return found


class Proto:
    """A profile as pprof sees it. Every string and every id that is named is there."""

    def __init__(self, data):
        raw = fields(data)
        self.strings = [s.decode("utf-8") for s in raw[6]]
        assert self.strings[0] == "" and len(set(self.strings)) == len(self.strings)
        self.types = [self.pair(data) for data in raw[1]]
        self.functions = {f[1][0]: (self.string(f[2]), self.string(f[3]), self.string(f[4]))
                          for f in map(fields, raw[5])}
        self.mappings = {m[1][0]: (self.string(m[5]), (m[2] or [0])[0], (m[3] or [0])[0],
                                   m[7] == [1])
                         for m in map(fields, raw[3])}
        self.locations = {}
        for location in map(fields, raw[4]):
            line, = location[4]
            self.locations[location[1][0]] = (
                self.functions[fields(line)[1][0]], self.mappings[location[2][0]], location[3][0])
        for table in (self.functions, self.mappings, self.locations):
            assert sorted(table) == list(range(1, len(table) + 1))
        self.samples = []
        for sample in map(fields, raw[2]):
            labels = {}
            for label in map(fields, sample[3]):
                labels[self.string(label[1])] = self.string(label[2]) or label[3][0]
            self.samples.append(([self.locations[i] for i in numbers(sample[1])],
                                 numbers(sample[2]), labels))
        self.period_type, self.period = self.pair(raw[11][0]), raw[12][0]
        self.time, self.duration = raw[9][0], raw[10][0]
        self.shown = self.string(raw[14])

    def string(self, indices):
        return self.strings[indices[0]] if indices else ""

    def pair(self, data):
        return tuple(self.string(fields(data)[i]) for i in (1, 2))


class Pprof(Case):
    def test_recorded(self):
        path = os.path.join(self.folder, "p.pb.gz")
        self.assertEqual(self.tool("profile", "strtab", "-o", path), "")
        with gzip.open(path) as file:
            proto = Proto(file.read())
        profile = strtab()
        self.assertEqual(proto.types, [("alloc_objects", "count"), ("alloc_space", "bytes"),
                                       ("inuse_objects", "count"), ("inuse_space", "bytes")])
        self.assertEqual((proto.period_type, proto.period), (("space", "bytes"), 16384))
        self.assertEqual((proto.time, proto.time - proto.duration),
                         (profile.time_ns, profile.since_ns))
        self.assertEqual(proto.shown, "inuse_space")
        self.assertEqual([m[0] for m in proto.mappings.values()], ["[kernel]", "strtab"])
        self.assertEqual(len(proto.samples), 6)
        total = sampling.total(profile)
        for i, value in enumerate((total.alloc_objects, total.alloc_bytes, total.live_objects,
                                   total.live_bytes)):
            self.assertAlmostEqual(sum(sample[1][i] for sample in proto.samples), value, delta=3)
        for (stack, _, labels), site in zip(proto.samples, profile.sites):
            self.assertEqual([frame[2] for frame in stack], [f.address for f in site.frames])
            self.assertEqual([frame[0][1] for frame in stack], [f.function for f in site.frames])
            size = site.counts["alloc_bytes"] // site.counts["allocs"]
            self.assertEqual(labels, {"heap": "strtab", "bytes": size})
        self.assertEqual(proto.samples[0][0][0][0],
                         ("strtab_line [strtab]", "strtab_line", "strtab"))

    def test_mappings_hold_their_addresses(self):
        proto = Proto(pprof.message(strtab()))
        for _, (name, low, high, has_functions), address in proto.locations.values():
            self.assertTrue(low <= address < high, name)
            self.assertTrue(has_functions)

    def test_exact(self):
        proto = Proto(pprof.message(made(FOREST)))
        self.assertEqual([sample[1] for sample in proto.samples],
                         [[5, 500, 3, 300], [1, 100, 1, 100], [9, 288, 2, 64], [4, 256, 0, 0]])
        self.assertEqual([m[0] for m in proto.mappings.values()], ["[kernel]", "mod", "other"])
        self.assertEqual(len(proto.functions), 6)

    def test_since(self):
        """What was allocated before the mark is in the counts: they are not told."""
        profile = profiletext.parse("profile_since", recorded("profile_since"))
        proto = Proto(pprof.message(profile))
        self.assertEqual(proto.types, [("inuse_objects", "count"), ("inuse_space", "bytes")])
        self.assertTrue(all(len(sample[1]) == 2 for sample in proto.samples))

    def test_same_bytes(self):
        self.assertEqual(pprof.compressed(strtab())[4:8], bytes(4))     # no time of its own
        self.assertEqual(gzip.decompress(pprof.compressed(strtab())), pprof.message(strtab()))

    def test_extremes(self):
        """No value is more than an int64 holds, and an empty stack is no error."""
        most = 2**64 - 1
        for stack in ([], ["f"] * 256):
            profile = made([(stack, (most, most, most, most))], period=most, time_ns=most)
            proto = Proto(pprof.message(profile))
            self.assertEqual(proto.samples[0][1], [2**63 - 1] * 4)
        odd = profiletext.parse("x", text([([], (1, 1, 1, 1))]) + "\t%s x\n" % ("f" * 16))
        Proto(pprof.message(odd))


class Stacks(Case):
    def test_folded(self):
        self.assertEqual(stackfiles.folded(made(FOREST)).splitlines(), [
            "root;again;again 64", "root;one [mod];leaf [mod] 300",
            "root;two [other];leaf [mod] 100"])
        self.assertEqual(stackfiles.folded(made([(["a;b+0x1/0x2", "c d"], (1, 5, 1, 5)),
                                                 ([], (1, 3, 1, 3))])), "c d;a:b 5\nunknown 3\n")

    def test_folded_adds_up(self):
        said = self.tool("flame", "strtab", "--folded")
        self.assertEqual(sum(int(line.rpartition(" ")[2]) for line in said.splitlines()),
                         round(sampling.total(strtab()).live_bytes))
        path = os.path.join(self.folder, "x.folded")
        self.tool("profile", "strtab", "-o", path)
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), said)

    def test_speedscope(self):
        path = os.path.join(self.folder, "x.json")
        self.tool("profile", "strtab", "-o", path)
        with open(path, encoding="utf-8") as file:
            self.scope(json.load(file))
        scope = json.loads(stackfiles.speedscope(made(FOREST)))
        self.scope(scope)
        view = scope["profiles"][0]
        names = [[scope["shared"]["frames"][i]["name"] for i in stack] for stack in view["samples"]]
        self.assertEqual(names, [["root", "one", "leaf"], ["root", "two", "leaf"],
                                 ["root", "again", "again"]])
        self.assertEqual(view["weights"], [300, 100, 64])
        self.assertEqual([sum(v["weights"]) for v in scope["profiles"]], [464, 6, 1144, 19])

    def scope(self, scope):
        """What the schema of speedscope asks for."""
        self.assertEqual(scope["$schema"],
                         "https://www.speedscope.app/file-format-schema.json")
        for frame in scope["shared"]["frames"]:
            self.assertIsInstance(frame["name"], str)
        for view in scope["profiles"]:
            self.assertEqual(view["type"], "sampled")
            self.assertIn(view["unit"], ("bytes", "none"))
            self.assertEqual(len(view["samples"]), len(view["weights"]))
            self.assertEqual(view["endValue"] - view["startValue"], sum(view["weights"]))
            for stack in view["samples"]:
                self.assertTrue(all(0 <= i < len(scope["shared"]["frames"]) for i in stack))
        self.assertIn(scope["activeProfileIndex"], range(len(scope["profiles"])))

    def test_suffixes(self):
        self.refused("has to end in one of .pb.gz, .pb, .folded, .json, .svg, .txt", "profile",
                     "strtab", "-o", "profile.html")
        for suffix in ("pb", "svg", "txt"):
            path = os.path.join(self.folder, "x." + suffix)
            self.tool("diff", "strtab", "-o", path)
            self.assertGreater(os.path.getsize(path), 100)
        self.refused("No such file", "profile", "strtab", "-o", "/nowhere/x.svg")


def boxes(drawn):
    """[(name, x, y, width)] of the frames of a graph, the wider and lower ones first."""
    found = []
    for group in ElementTree.fromstring(drawn).iter(SVG + "g"):
        rect = group.find(SVG + "rect")
        found.append((group.find(SVG + "title").text.split(":")[0],) +
                     tuple(float(rect.get(name)) for name in ("x", "y", "width")))
    return found


class Flame(Case):
    def well_laid(self, drawn):
        """Each frame lies on one that is below and not narrower, and no two overlap."""
        rows = collections.defaultdict(list)
        for name, x, y, width in boxes(drawn):
            rows[y].append((x, x + width, name))
        levels = sorted(rows, reverse=True)
        self.assertEqual(len(rows[levels[0]]), 1)
        for below, above in zip(levels, levels[1:]):
            self.assertEqual(below - above, flame.ROW)
            row = sorted(rows[above])
            for (_, end, _), (start, _, _) in zip(row, row[1:]):
                self.assertLessEqual(end, start + 0.02)
            for start, end, name in row:
                self.assertTrue(any(start >= low - 0.02 and end <= high + 0.02
                                    for low, high, _ in rows[below]), name)
        return rows, levels

    def test_widths_add_up(self):
        drawn = flame.document(made(FOREST))
        rows, levels = self.well_laid(drawn)
        whole = flame.WIDTH - 2 * flame.MARGIN
        for level in levels:
            self.assertAlmostEqual(sum(end - start for start, end, _ in rows[level]), whole,
                                   delta=0.1)
        widths = {name: width for name, _, _, width in boxes(drawn)}
        self.assertAlmostEqual(widths["one [mod]"], whole * 300 / 464, delta=0.02)
        self.assertAlmostEqual(widths["again"], whole * 64 / 464, delta=0.02)
        self.assertNotIn("gone", widths)

    def test_recorded(self):
        path = os.path.join(self.folder, "f.svg")
        self.assertEqual(self.tool("flame", "strtab", "-o", path), "")
        with open(path, encoding="utf-8") as file:
            drawn = file.read()
        self.assertEqual(drawn, self.tool("flame", "strtab"))
        self.well_laid(drawn)
        self.assertEqual([name for name, *_ in boxes(drawn)],
                         ["all", "entry_SYSCALL_64_after_hwframe", "do_syscall_64", "ksys_write",
                          "vfs_write", "full_proxy_write", "strtab_write [strtab]",
                          "strtab_line [strtab]"])
        self.assertIn("<title>strtab_line [strtab]: 801 KiB in 28,185 objects, 100.0 %</title>",
                      drawn)

    def test_self_contained_and_dark(self):
        drawn = flame.document(made(FOREST))
        self.assertNotIn("http", drawn.replace("http://www.w3.org/2000/svg", ""))
        for bad in ("<script", "url(", "@import", " on"):
            self.assertNotIn(bad, drawn)
        self.assertIn("prefers-color-scheme:dark", drawn)

    def test_hostile_names(self):
        names = ["<script>", "a&b", "\"quoted\"", "]]>", "--", "'", "x" * 500]
        drawn = flame.document(made([(names, (1, 1, 1, 1))], heap="<b>"))
        self.assertNotIn("<script>", drawn)
        self.assertEqual([name for name, *_ in boxes(drawn)], ["all"] + names[::-1])

    def many(self, n=4096):
        return made([(["leaf%d+0x1/0x2" % i, "f%d+0x1/0x2" % (i % 64), "root+0x1/0x2"],
                      (1, 64 + i, 1, 64 + i)) for i in range(n)])

    def test_most(self):
        drawn = flame.svg(self.many(), 200)
        self.well_laid(drawn)
        self.assertLessEqual(len(boxes(drawn)), 200)
        self.assertGreater(len(boxes(drawn)), 32)
        # Frames that have no room are left out, and the others stay where they are.
        self.assertGreater(len(boxes(flame.svg(self.many()))), 2000)


class Report(Case):
    def test_recorded(self):
        said = Page(self.tool("report"))
        self.assertEqual(refers(said), [])
        self.assertIn("Call sites strtab: 801 KiB live in ~28,185 objects; period 16 KiB, "
                      "50 samples, +-14 %. live % error objects allocs site 513 KiB 64.0 +-18 % "
                      "18,960 28,696 strtab_line+0x39d < strtab_write+0x18a < ", said.text)
        self.assertEqual(said.text.count("Call sites"), 1)
        self.assertEqual(said.text.count("heap strtab: live bytes by call site"), 2)

    def test_ten_sites(self):
        root = self.copy()
        with open(os.path.join(root, "heaps/demo/profile"), "w", encoding="ascii") as file:
            file.write(text([(["<i>leaf%d" % i], (1, 64, 1, 64)) for i in range(30)], lost=2))
        said = Page(self.tool("report", root=root))
        self.assertIn("and 20 more", said.text)
        self.assertIn("2 samples of all heaps, ever, found no room", said.text)
        self.assertEqual(said.tags.count("i"), Page(self.tool("report")).tags.count("i"))

    def test_never_too_long(self):
        """Each of 24 heaps with as many sites as the kernel has room for by default."""
        heaps = []
        for i in range(24):
            heap = page.Heap("heap%d" % i, Tree(RECORDED).heap("demo").stats())
            page.with_details(heap, Tree(RECORDED).heap("demo"))
            heap.profile = made([(["leaf_%d_of_%s+0x1/0x2 [module]" % (k, "x" * 60)] +
                                  ["f%d_%s+0x1/0x2" % (k % 97 + j, "y" * 40) for j in range(22)],
                                  (1, 64, 1, 64)) for k in range(200)])
            heaps.append(heap)
        written = page.page(Tree(RECORDED).stats(), heaps, [], "x")
        self.assertLess(len(written), page.MOST_BYTES)
        self.assertEqual(written.count("class=\"fl\""), 24)


if __name__ == "__main__":
    unittest.main()
