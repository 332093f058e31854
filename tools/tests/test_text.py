# SPDX-License-Identifier: GPL-2.0
"""The readers of the module's files, on the recorded ones and on hostile ones."""
import os
import unittest

from common import HEAPS, RECORDED, plain_figures
from kmheap_insight import text
from kmheap_insight.text import FormatError

PARSERS = {"stats": text.stats, "classes": text.classes, "arenas": text.arenas, "spans": text.spans}


def recorded(heap, file):
    with open(os.path.join(RECORDED, "heaps", heap, file), encoding="ascii") as opened:
        return opened.read()


class Recorded(unittest.TestCase):
    def test_stats(self):
        for heap in HEAPS:
            stats = text.stats("stats", recorded(heap, "stats"))
            plain = plain_figures(os.path.join(RECORDED, "heaps", heap, "stats"))
            self.assertEqual(stats.owner, plain.pop("owner"))
            self.assertEqual(stats, {name: int(value) for name, value in plain.items()})
            self.assertEqual(stats["footprint_bytes"], sum(stats[name] for name in text.PARTS))

    def test_classes(self):
        for heap in HEAPS:
            stats = text.stats("stats", recorded(heap, "stats"))
            rows, below = text.classes("classes", recorded(heap, "classes"))
            self.assertEqual([row["class"] for row in rows], list(range(68)))
            self.assertEqual(rows[67]["size"], 32768)
            objects = sum(row["live"] for row in rows[1:])
            self.assertEqual(objects + below["tiny_objects"] + below["large_objects"],
                             stats["live_objects"])

    def test_arenas(self):
        for heap in HEAPS:
            stats = text.stats("stats", recorded(heap, "stats"))
            arenas = text.arenas("arenas", recorded(heap, "arenas"))
            self.assertEqual(len(arenas), stats["arenas"])
            self.assertEqual(sum(arena.bytes for arena in arenas) + stats["metadata_bytes"],
                             stats["footprint_bytes"])

    def test_spans(self):
        for heap in HEAPS:
            stats = text.stats("stats", recorded(heap, "stats"))
            spans = text.spans("spans", recorded(heap, "spans"))
            self.assertEqual(len(spans), stats["spans"])
            live = sum(live for _, _, _, live, home in spans if home != "manual")
            _, below = text.classes("classes", recorded(heap, "classes"))
            blocks = text.classes("classes", recorded(heap, "classes"))[0][0]["live"]
            self.assertEqual(live - blocks + below["tiny_objects"], stats["live_objects"])


class Hostile(unittest.TestCase):
    def test_cut_off_anywhere(self):
        """A file that ends too early is read up to a whole line, or refused; nothing else."""
        for file, parse in PARSERS.items():
            whole = recorded("demo", file)
            refused = 0
            for length in range(len(whole)):
                try:
                    parse(file, whole[:length])
                    self.assertEqual(whole[length - 1:length] or "\n", "\n", (file, length))
                except FormatError as error:
                    self.assertTrue(str(error).startswith(file + ": "), error)
                    refused += 1
            self.assertGreater(refused, 0.9 * len(whole))

    def test_stats_without_a_line(self):
        whole = recorded("demo", "stats").splitlines(True)
        for name in text.REQUIRED:
            rest = "".join(line for line in whole if not line.startswith(name + " "))
            with self.assertRaisesRegex(FormatError, "stats: no line " + name):
                text.stats("stats", rest)

    def test_stats_with_more_lines(self):
        more = recorded("demo", "stats") + "colour blue\nnew_bytes 7\nnew_list 1 2 3\n"
        stats = text.stats("stats", more)
        self.assertEqual(stats["new_bytes"], 7)
        self.assertNotIn("colour", stats)
        self.assertNotIn("new_list", stats)

    def test_stats_that_is_no_number(self):
        for value in ("many", "1.5", "0x10", ""):
            with self.assertRaises(FormatError):
                text.stats("stats", recorded("demo", "stats").replace(
                    "live_bytes 3427984", "live_bytes " + value))

    def test_huge_and_negative_numbers(self):
        huge = 2 ** 64 - 1
        stats = text.stats("stats", recorded("demo", "stats").replace(
            "allocs 668", "allocs %d" % huge).replace("idle_drains 0", "idle_drains -3"))
        self.assertEqual(stats["allocs"], huge)
        self.assertEqual(stats["idle_drains"], -3)

    def test_columns_that_are_missing(self):
        for file, parse in PARSERS.items():
            if file == "stats":
                continue
            for name in recorded("demo", file).splitlines()[0].split():
                if name == "base" or file == "spans" and name in ("data", "remote", "deferred"):
                    continue        # the tool does not look at these
                with self.assertRaisesRegex(FormatError, file + ": no column " + name):
                    parse(file, recorded("demo", file).replace(name, "other", 1))

    def test_columns_that_are_new(self):
        for file, at in (("classes", 3), ("spans", 2), ("arenas", 4)):
            wide = []
            for line in recorded("demo", file).splitlines():
                words = line.split()
                if not line.startswith("  ") or file == "classes":
                    if len(words) > 2:
                        words.insert(at, "colour" if not wide else "12")
                        line = " ".join(words)
                wide.append(line)
            old, new = (PARSERS[file](file, contents) for contents in (
                recorded("demo", file), "\n".join(wide) + "\n"))
            if file == "arenas":
                old, new = ([(a.bytes, a.pages, a.free_pages, a.picture) for a in arenas]
                            for arenas in (old, new))
            self.assertEqual(old, new, file)

    def test_columns_that_are_too_many(self):
        for file in ("classes", "arenas", "spans"):
            lines = recorded("demo", file).splitlines()
            lines[1] += " 1"
            with self.assertRaisesRegex(FormatError, "line 2"):
                PARSERS[file](file, "\n".join(lines) + "\n")

    def test_picture_of_another_length(self):
        with self.assertRaisesRegex(FormatError, "arena 1 has 32 pages, its picture 33"):
            text.arenas("arenas", recorded("demo", "arenas").replace("  ss", "  sss", 1))

    def test_empty_files(self):
        for file, parse in PARSERS.items():
            with self.assertRaises(FormatError):
                parse(file, "")

    def test_bytes_that_are_no_text(self):
        for file, parse in PARSERS.items():
            for junk in ("\x00\x01\n", "\ufffd" * 5 + "\n", "\n\n\n", "a" * 100000 + "\n"):
                with self.assertRaises(FormatError):
                    parse(file, junk)


if __name__ == "__main__":
    unittest.main()
