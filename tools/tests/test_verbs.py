# SPDX-License-Identifier: GPL-2.0
"""The verbs as a person meets them: their help, their text on a terminal and in a pipe."""
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
import unittest

from common import FEW, HEAPS, ODD_NAMES, RECORDED, TOOLS, TOP, Case, plain_figures
from kmheap_insight import VERSION, main, term, views
from kmheap_insight.text import PARTS
from kmheap_insight.verbs import top

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Help(Case):
    def test_overview(self):
        said = self.tool("--help", root=None)
        for verb in main.verb_names():
            self.assertRegex(said, r"\n  %s +\w" % verb)
        self.assertEqual(main.verb_names()[:2], ["top", "stats"])

    def test_each_verb(self):
        for verb in main.verb_names():
            said = self.tool(verb, "--help")
            self.assertIn("example:\n  kmheap %s" % verb, said)
            self.assertLessEqual(max(map(len, said.splitlines())), 80)

    def test_each_option_is_in_the_manual(self):
        with open(os.path.join(TOOLS, "kmheap.8"), encoding="ascii") as file:
            manual = re.sub(r"\\(.)", r"\1", file.read())
        for verb in main.verb_names():
            self.assertRegex(manual, r"\nfB%sfP" % verb)
            for option in re.findall(r"(?<![\w-])--?[a-z]+", self.tool(verb, "--help")):
                self.assertIn(option, manual, verb)

    def test_version_is_the_package_s(self):
        with open(os.path.join(TOP, "dkms.conf"), encoding="ascii") as file:
            self.assertIn("PACKAGE_VERSION=\"%s\"" % VERSION, file.read())
        self.assertEqual(self.tool("--version", root=None), "kmheap %s\n" % VERSION)
        self.assertIn("tool      %s, reads formats of version 1\n" % VERSION, self.tool("version"))

    def test_wrong_words(self):
        self.refused("there is no verb frobnicate", "frobnicate", root=None)
        self.refused("required: HEAP", "classes")
        self.refused("unrecognized arguments: --nothing", "stats", "--nothing")
        self.refused("unrecognized arguments: extra", "stats", "demo", "extra")
        self.refused("invalid positive value", "top", "-n", "0")
        self.refused("invalid seconds value", "top", "-d", "nan")
        self.assertIn("usage: kmheap VERB", self.tool(root=None, status=2))


class Plain(Case):
    def test_no_sequences_in_a_pipe(self):
        for arguments in (["stats"], ["stats", "demo"], ["top", "-n", "1"], ["classes", "demo"],
                          ["map", "demo"], ["metrics"], ["validate"]):
            self.assertNotIn("\x1b", self.tool(*arguments, environment={"TERM": "xterm"}))

    def test_stats(self):
        for heap in HEAPS:
            plain = plain_figures(os.path.join(RECORDED, "heaps", heap, "stats"))
            said = self.tool("stats", "--all", heap)
            self.assertIn("heap %s, owner %s\n" % (heap, plain.pop("owner")), said)
            numbers = said.replace(",", "")
            for name, value in plain.items():
                part = name in PARTS + ("footprint_bytes",)
                word = name.removesuffix("_bytes") if part else name
                self.assertRegex(numbers, r"(?m)^ *%s .*\b%s\b" % (word, value))
            self.assertNotIn("add up", said)

    def test_stats_that_do_not_add_up(self):
        root = self.copy()
        self.change(os.path.join(root, "heaps/demo/stats"), r"\nfree_bytes \d+",
                    "\nfree_bytes 1000")
        self.assertIn("the parts add up to 463 KiB less: somebody used",
                      self.tool("stats", "demo", root=root))

    def test_stats_of_misuse(self):
        root = self.copy()
        self.change(os.path.join(root, "heaps/demo/stats"), r"double_frees 0", "double_frees 3")
        self.assertIn("misuse: the log says", self.tool("stats", "demo", root=root))

    def test_classes(self):
        said = self.tool("classes", "strtab")
        self.assertRegex(said, r"\n +32 +103 +20,399 +77\.4 % ")
        self.assertTrue(said.endswith("tiny_objects 0\nlarge_objects 0\npage_runs 0\n"))
        sizes = [line.split()[0] for line in
                 self.tool("classes", "strtab", "--sort", "live_bytes").splitlines()[1:4]]
        self.assertEqual(sizes, ["32", "24", "48"])
        self.assertEqual(len(self.tool("classes", "--all", "empty").splitlines()), 1 + 68 + 4)
        self.assertEqual(len(self.tool("classes", "empty").splitlines()), 1 + 4)

    def test_validate(self):
        self.assertEqual(self.tool("validate"), "ok\n")
        root = self.copy()
        for text in ("heap demo: span 1 leads elsewhere\n", ""):
            with open(os.path.join(root, "validate"), "w", encoding="ascii") as file:
                file.write(text)
            self.assertIn(text.strip(), self.tool("validate", root=root, status=1))

    def test_odd_names(self):
        root = self.copy()
        for name in ODD_NAMES:
            shutil.copytree(os.path.join(root, "heaps/demo"), os.path.join(root, "heaps", name))
        listed = self.tool("top", "-b", "-n", "1", root=root)
        for name in ODD_NAMES:
            self.assertIn("heap %s, owner heap_client\n" % name,
                          self.tool("stats", "--", name, root=root))
            self.assertIn("\n" + (name if len(name) <= 14 else name[:13] + "~"), listed)
            self.tool("map", "--", name, root=root)

    def test_names_of_no_heap(self):
        """Names that only a copy can have are no sequences for the terminal."""
        root = self.copy()
        for name in (b"\x1b[31mred", b"two\nlines", b"\xff\xfe"):
            shutil.copytree(os.path.join(root, "heaps/demo").encode(),
                            os.path.join(root, "heaps").encode() + b"/" + name)
        for arguments in (["top", "-n", "1"], ["metrics"], ["report"]):
            self.assertNotIn("\x1b", self.tool(*arguments, root=root))
        self.assertIn("\n\\x1b[31mred", self.tool("top", "-n", "1", root=root))

    def test_a_reader_that_has_enough(self):
        done = subprocess.run("%s %s/kmheap metrics --root %s | head -n 1" % (
            sys.executable, TOOLS, RECORDED), shell=True, capture_output=True, text=True,
            check=False)
        self.assertEqual(done.stderr, "")


class Numbers(unittest.TestCase):
    def test_short(self):
        for number, text in ((0, "0"), (9999, "9999"), (10000, "9.77K"), (1023 * 1024, "1023K"),
                             (1024 * 1024, "1.00M"), (12345678, "11.8M"), (2**64 - 1, "16.0E"),
                             (-5, "-5"), (10**30, ">999E")):
            self.assertEqual(term.short(number), text)
        for exponent in range(64):
            for number in (2**exponent - 1, 2**exponent, 10**(exponent // 4)):
                self.assertLessEqual(len(term.short(number)), 5, number)
                self.assertLessEqual(len(term.count(number)), 5, number)

    def test_bytes_text(self):
        for number, text in ((0, "0 bytes"), (1, "1 byte"), (1023, "1023 bytes"), (1024, "1 KiB"),
                             (1022976, "999 KiB"), (1048575, "1 MiB"), (-2048, "-2 KiB")):
            self.assertEqual(term.bytes_text(number), text)


class Top(Case):
    def table(self, *arguments, **more):
        return self.tool("top", "-b", "-n", "1", *arguments, **more).splitlines()

    def test_batch(self):
        lines = self.table()
        self.assertEqual(lines[0], "5 heaps  footprint 9.75 MiB  live 4.16 MiB in 30,440 objects")
        self.assertEqual([line.split()[0] for line in lines[2:]],
                         ["demo", "strtab", "sysgraph", "default", "empty"])
        self.assertLessEqual(max(map(len, lines)), 79)

    def test_sorts(self):
        self.assertEqual([line.split()[0] for line in self.table("-s", "name")[2:]], HEAPS)
        for sort in top.SORTS:
            self.assertEqual(len(self.table("-s", sort)), 7)
        self.assertEqual(self.table("-s", "deferred")[2].split()[0], "demo")

    def test_keys(self):
        """A key means one thing: a column, a view, or a move."""
        keys = list(top.SORTS.values()) + list(views.VIEWS) + list("jkq ")
        self.assertEqual(len(set(keys)), len(keys))
        self.assertEqual([column[0] for column in top.COLUMNS + [top.PINS]],
                         list(top.SORTS.values())[1:])

    def pinned(self):
        """A copy in which strtab has pins and is profiled, and demo was."""
        root = self.copy()
        for heap, period in (("strtab", 1), ("demo", 0)):
            shutil.copy(os.path.join(FEW, "heaps/strtab/pins"), os.path.join(root, "heaps", heap))
            self.change(os.path.join(root, "heaps", heap, "profile_period_bytes"), r"\d+", str(period))
        return root

    def test_pins(self):
        """What few objects hold back of arenas, of heaps that are profiled, where there is room."""
        root = self.pinned()
        lines = self.table(root=root)
        self.assertEqual(lines[1].split()[-2:], ["MISUSE", "PINS"])
        self.assertEqual([(line.split()[0], line.split()[-1]) for line in lines[2:]],
                         [("demo", "-"), ("strtab", "764K"), ("sysgraph", "-"), ("default", "-"),
                          ("empty", "-")])
        self.assertEqual(self.table("-s", "pins", root=root)[2].split()[0], "strtab")
        sample, paint = top.Sample(main.tree.Tree(root)), term.Paint(sys.stdout)
        self.assertEqual(top.table(sample, "f", False, paint, width=85), lines)
        self.assertNotIn("PINS", top.table(sample, "f", False, paint, width=84)[1])
        os.remove(os.path.join(root, "heaps/strtab/pins"))
        self.assertNotIn("PINS", self.table(root=root)[1])

    def test_rates(self):
        """Between two samples a heap allocates, one is made anew, and one begins."""
        root = self.copy()
        opened = main.tree.Tree(root)
        first = top.Sample(opened)
        self.change(os.path.join(root, "heaps/demo/stats"), r"\nallocs \d+", "\nallocs 1668")
        shutil.move(os.path.join(root, "heaps/strtab"), os.path.join(self.folder, "old"))
        shutil.copytree(os.path.join(RECORDED, "heaps/strtab"), os.path.join(root, "heaps/strtab"))
        shutil.copytree(os.path.join(RECORDED, "heaps/demo"), os.path.join(root, "heaps/new"))
        self.change(os.path.join(root, "heaps/empty/stats"), r"\nfrees \d+", "\nfrees -7")
        first.time -= 10
        rows = {row["name"]: row for row in top.Sample(opened, first).rows}
        self.assertAlmostEqual(rows["demo"]["allocs_rate"], 100, delta=5)
        self.assertEqual(rows["demo"]["frees_rate"], 0)
        self.assertEqual(rows["empty"]["frees_rate"], 0)
        self.assertIsNone(rows["new"]["allocs_rate"])
        self.assertIsNone(rows["strtab"]["allocs_rate"])
        for row in first.rows:
            self.assertIsNone(row["allocs_rate"])

    def test_two_tables(self):
        said = self.tool("top", "-b", "-n", "2", "-d", "0.05")
        self.assertEqual(said.count("HEAP "), 2)
        self.assertRegex(said.split("\n\n")[1], r"\ndemo .* 0 +0 +0\n")

    def test_huge_numbers_fit(self):
        root = self.copy()
        stats = os.path.join(root, "heaps/demo/stats")
        with open(stats, encoding="ascii") as file:
            text = re.sub(r" \d+\n", " %d\n" % (2**64 - 1), file.read())
        with open(stats, "w", encoding="ascii") as file:
            file.write(text)
        row = next(line for line in self.table(root=root) if line.startswith("demo"))
        self.assertEqual(row.split()[1:8], ["16.0E"] * 7)
        self.assertLessEqual(len(row), 79)

    def test_the_module_goes_meanwhile(self):
        root = self.copy()
        running = subprocess.Popen(
            [sys.executable, os.path.join(TOOLS, "kmheap"), "top", "-b", "-d", "0.05",
             "--root", root],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.stdout.readline()
        shutil.rmtree(root)
        out, errors = running.communicate(timeout=10)
        self.assertEqual(running.returncode, 2)
        self.assertRegex(errors, r"\Akmheap: [^\n]+\n\Z")


class Terminal:
    """A terminal of 80x24 with the tool in it."""

    def __init__(self, *arguments, rows=24, columns=80, **environment):
        self.text = ""
        self.pid, self.file = pty.fork()
        if not self.pid:
            os.environ.update({"TERM": "vt100"}, **environment)
            os.environ.pop("LINES", None)
            os.environ.pop("COLUMNS", None)
            os.execv(sys.executable, [sys.executable, os.path.join(TOOLS, "kmheap"),
                                      *arguments, "--root", RECORDED])
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, what, timeout=10):
        """Read until there is something like WHAT."""
        end = time.monotonic() + timeout
        while not re.search(what, self.text):
            if not select.select([self.file], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError("no %s in %r" % (what, self.text[-500:]))
            try:
                self.text += os.read(self.file, 65536).decode("ascii")
            except OSError:
                break
        found, self.text = self.text, ""
        return found

    def key(self, keys):
        os.write(self.file, keys.encode())

    def end(self):
        """The rest of the text, and the exit status."""
        rest = self.until("nothing that ever comes")
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.file)
        return rest, status


class OnATerminal(Case):
    def order(self, screen):
        return [line.split()[0] for line in SEQUENCE.sub("", screen).splitlines()
                if line.split() and line.split()[0] in HEAPS]

    def test_top(self):
        terminal = Terminal("top", "-d", "3600")
        screen = terminal.until(r"\nempty[^\n]*\x1b\[J")
        self.assertIn("\x1b[H", screen)
        self.assertEqual(self.order(screen), ["demo", "strtab", "sysgraph", "default", "empty"])
        self.assertLessEqual(max(len(SEQUENCE.sub("", line).strip("\r")) for line in
                                 screen.splitlines()), 79)
        terminal.key("n")
        self.assertEqual(self.order(terminal.until(r"\x1b\[J")), HEAPS)
        terminal.key("n")
        self.assertEqual(self.order(terminal.until(r"\x1b\[J")), HEAPS[::-1])
        terminal.key(" ")
        self.assertRegex(terminal.until(r"\x1b\[J"), r"strtab .* 0 +0 +0")
        terminal.key("q")
        rest, status = terminal.end()
        self.assertEqual(status, 0)
        self.assertIn("\x1b[?25h", rest)

    def test_top_shows_one_heap(self):
        """p, c and m show the heap that is chosen, and the table again."""
        terminal = Terminal("top", "-d", "3600", rows=24)
        terminal.until(r"\x1b\[7mdemo[^\n]*")
        for down, up in (("\x1b[B", "\x1b[A"), ("\x1bOB", "\x1bOA"), ("j", "k")):
            terminal.key(down)
            screen = terminal.until(r"\x1b\[7mstrtab[^\n]*[\s\S]*\x1b\[J")
            self.assertNotIn("\x1b[7mdemo", screen)
            terminal.key(up)
            terminal.until(r"\x1b\[7mdemo[^\n]*[\s\S]*\x1b\[J")
        terminal.key("k")       # there is none above the first one
        terminal.until(r"\x1b\[7mdemo[^\n]*[\s\S]*\x1b\[J")
        terminal.key("j")
        terminal.until(r"\x1b\[7mstrtab[^\n]*[\s\S]*\x1b\[J")
        for key, head, what in (("p", "call sites", r"64\.0|strtab_line < strtab_write"),
                                ("c", "size classes", r" 32 +103 +20,399 +77\.4 % "),
                                ("m", "map", r"arena 3: 1 MiB on node 0, 64 of 128 pages free")):
            terminal.key(key)
            screen = SEQUENCE.sub("", terminal.until(r"back to the heaps[\s\S]*\x1b\[J"))
            self.assertIn("%s of heap strtab" % head, screen)
            self.assertRegex(screen, what)
            self.assertNotIn("FOOTP", screen)
            lines = [line.strip("\r") for line in screen.split("\n")]
            self.assertLessEqual(len(lines), 24)
            self.assertLessEqual(max(map(len, lines)), 79)
        terminal.key("p")       # from one view to another
        terminal.until(r"call sites of heap strtab[\s\S]*\x1b\[J")
        terminal.key("j")       # the next heap; it was never profiled
        screen = terminal.until(r"call sites of heap sysgraph[\s\S]*\x1b\[J")
        self.assertIn("never profiled", screen)
        terminal.key("n")       # sorts nothing that is not there
        terminal.until(r"call sites of heap sysgraph[\s\S]*\x1b\[J")
        terminal.key("p")
        screen = terminal.until(r"\nempty[^\n]*\x1b\[J")
        self.assertEqual(self.order(screen), ["demo", "strtab", "sysgraph", "default", "empty"])
        self.assertIn("\x1b[7msysgraph", screen)
        terminal.key("q")
        self.assertEqual(terminal.end()[1], 0)

    def test_top_without_colours(self):
        terminal = Terminal("top", "-d", "3600", NO_COLOR="1")
        terminal.until(r"\ndemo +< [^\n]*[\s\S]*\x1b\[J")
        terminal.key("j")
        screen = terminal.until(r"\nstrtab +< [^\n]*[\s\S]*\x1b\[J")
        self.assertNotIn("\x1b[7m", screen)
        terminal.key("q")
        self.assertEqual(terminal.end()[1], 0)

    def test_top_keeps_what_is_chosen_on_the_screen(self):
        sample = top.Sample(main.tree.Tree(RECORDED))
        paint = term.Paint(sys.stdout)
        rows = sample.sorted("f", False)
        for lines in range(5, 9):
            for row in rows:
                text = top.table(sample, "f", False, paint, lines, row)
                self.assertLessEqual(len(text), lines)
                self.assertEqual([line for line in text if " < " in line][0].split()[0], row["name"])

    def test_top_on_few_lines(self):
        terminal = Terminal("top", "-n", "1", "-d", "0.05", rows=5)
        # The size is set when the first table may have been drawn already.
        text, status = terminal.end()
        self.assertEqual(status, 0)
        sample = top.Sample(main.tree.Tree(RECORDED))
        lines = top.table(sample, "f", False, term.Paint(sys.stdout), 5)
        self.assertEqual(len(lines), 4)
        self.assertEqual(lines[-1], "and 4 more")

    def test_top_where_the_terminal_has_no_size(self):
        """As on a serial console: it is taken to have 80 columns and 24 lines."""
        terminal = Terminal("top", "-d", "3600", rows=0, columns=0)
        screen = terminal.until(r"\nempty[^\n]*\x1b\[J")
        self.assertEqual(self.order(screen), ["demo", "strtab", "sysgraph", "default", "empty"])
        terminal.key("p")
        self.assertIn("call sites of heap demo", terminal.until(r"\x1b\[K\x1b\[J"))
        terminal.key("q")
        self.assertEqual(terminal.end()[1], 0)

    def test_top_follows_the_size(self):
        terminal = Terminal("top", "-d", "3600")
        terminal.until(r"empty[^\n]*\x1b\[J")
        fcntl.ioctl(terminal.file, termios.TIOCSWINSZ, struct.pack("HHHH", 5, 80, 0, 0))
        self.assertIn("and 4 more", terminal.until(r"more\x1b\[K\x1b\[J"))
        terminal.key("q")
        self.assertEqual(terminal.end()[1], 0)

    def test_top_gives_the_terminal_back(self):
        for how in ("key", "signal") * 3:
            terminal = Terminal("top", "-d", "3600")
            terminal.until(r"\x1b\[J")
            before = termios.tcgetattr(terminal.file)[3] & (termios.ECHO | termios.ICANON)
            self.assertEqual(before, 0)
            if how == "key":
                terminal.key("\x03")
            else:
                os.kill(terminal.pid, 15)
            # Its settings can be read for as long as this end of it is open.
            os.waitpid(terminal.pid, 0)
            after = termios.tcgetattr(terminal.file)[3] & (termios.ECHO | termios.ICANON)
            os.close(terminal.file)
            self.assertEqual(after, termios.ECHO | termios.ICANON)

    def test_colours(self):
        for verb in (["stats", "demo"], ["map", "demo"], ["classes", "demo"]):
            text, status = Terminal(*verb).end()
            self.assertEqual(status, 0)
            self.assertIn("\x1b[", text)

    def test_no_colours(self):
        for setting in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            for verb in (["stats", "demo"], ["map", "demo"], ["classes", "demo"],
                         ["top", "-b", "-n", "1"]):
                text, status = Terminal(*verb, **setting).end()
                self.assertEqual(status, 0)
                self.assertNotIn("\x1b", text)

    def test_progress(self):
        text, _ = Terminal("report", "-o", os.path.join(self.folder, "r.html")).end()
        self.assertIn("\rreading heap demo, 1 of 5", text)
        self.assertTrue(text.endswith("\r\x1b[K"), text[-40:])
        path = os.path.join(self.folder, "s.html")
        self.assertEqual(Terminal("report", "-o", path, TERM="dumb").end(), ("", 0))


if __name__ == "__main__":
    unittest.main()
