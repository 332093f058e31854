# SPDX-License-Identifier: GPL-2.0
"""A line for each heap, again and again.

On a terminal the screen is drawn over with plain ANSI sequences, as every serial console knows
them: cursor home, clear to the end of the line and of the screen, no wrapping, bold, inverse.
"""
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty

from .. import figures, term, views
from ..tree import ToolError, Vanished, text_of
from . import pins

HELP = "live view of all heaps"
EXAMPLE = """kmheap top -b -n 2 -d 5
      two tables with 5 s between them; the second one has rates"""

# key, title, width, and the figure
COLUMNS = [
    ("f", "FOOTP", 6, "footprint_bytes"),
    ("l", "LIVE", 6, "live_bytes"),
    ("e", "FREE", 6, "free_bytes"),
    ("h", "CACHE", 6, "cached_bytes"),
    ("d", "DEFER", 6, "deferred_bytes"),
    ("w", "WASTE", 6, "waste_bytes"),
    ("t", "META", 6, "metadata_bytes"),
    ("a", "ALLOC/s", 8, "allocs_rate"),
    ("r", "FREE/s", 8, "frees_rate"),
    ("x", "MISUSE", 7, "misuses"),
]
# Where a heap is profiled, and there is room for it.
PINS = ("i", "PINS", 6, "pinned_bytes")
NAME = 14
SORTS = {"name": "n", "footprint": "f", "live": "l", "free": "e", "cached": "h", "deferred": "d",
         "waste": "w", "metadata": "t", "allocs": "a", "frees": "r", "misuse": "x", "pins": "i"}
# A footprint that is a larger share of the limit than this is shown in yellow.
NEAR_LIMIT = 0.9


def arguments(p):
    p.add_argument("-b", "--batch", action="store_true",
                   help="write tables one below the other; so it does where there is no terminal")
    p.add_argument("-n", metavar="N", type=term.positive, help="end after N tables; rates need two")
    p.add_argument("-d", metavar="SECONDS", type=seconds, default=2.0,
                   help="between two tables; default 2")
    p.add_argument("-s", "--sort", choices=list(SORTS), default="footprint", metavar="KEY",
                   help="sort by %s; default footprint" % ", ".join(SORTS))
    p.epilog += """

keys: q ends, space reads at once; n f l e h d w t a r x sort by name and by the
columns from the left, and the same key once more turns the order round; up and
down (or k and j) choose a heap, of which p shows the call sites, c the size
classes and m the map, until the same key comes once more"""


def seconds(word):
    number = float(word)
    if not 0.05 <= number <= 86400:
        raise ValueError(word)
    return number


def pinned_bytes(heap):
    """What few objects of HEAP hold back of arenas; None where nobody can tell."""
    try:
        return pins.arena_bytes(heap.pins()) if heap.is_profiled() else None
    except Vanished:
        raise
    except ToolError:
        return None


class Sample:
    """The figures of all heaps at one moment."""

    def __init__(self, tree, before=None):
        self.time = time.monotonic()
        self.module = tree.stats()
        self.rows = []
        self.counts = {}
        for heap, (stats, pinned) in tree.each(lambda heap: (heap.stats(), pinned_bytes(heap))):
            key = (heap.name, heap.identity())
            self.counts[key] = (stats["allocs"], stats["frees"])
            row = dict(stats, name=text_of(heap.name), misuses=figures.misuses(stats), heap=heap,
                       pinned_bytes=pinned)
            old = before.counts.get(key) if before else None
            for i, name in enumerate(("allocs", "frees")):
                # Figures of different moments: a difference may come out below 0.
                row[name + "_rate"] = max(0, stats[name] - old[i]) / (self.time - before.time) \
                    if old else None
            self.rows.append(row)

    def sorted(self, key, turned):
        if key == "n":
            rows = sorted(self.rows, key=lambda row: row["name"])
        else:
            figure = next(column[3] for column in COLUMNS + [PINS] if column[0] == key)
            rows = sorted(self.rows, key=lambda row: (-(row[figure] or 0), row["name"]))
        return rows[::-1] if turned else rows


def columns(sample, width=None):
    """Those that there is something in, and that fit in WIDTH characters."""
    room = width is None or NAME + sum(column[2] for column in COLUMNS + [PINS]) <= width
    pinned = any(row["pinned_bytes"] is not None for row in sample.rows)
    return COLUMNS + [PINS] if room and pinned else COLUMNS


def heading(sample):
    stats = sample.module
    line = "%d heaps  footprint %s  live %s in %s objects" % (
        len(sample.rows), term.bytes_text(stats["footprint_bytes"]),
        term.bytes_text(stats["live_bytes"]), term.thousands(stats["live_objects"]))
    if stats.get("limit_bytes"):
        line += "  limit %s" % term.bytes_text(stats["limit_bytes"])
    return line


def name_cell(name, width):
    return (name if len(name) <= width else name[:width - 1] + "~").ljust(width)


def chosen_cell(name, paint):
    """The cell of the heap that is chosen: inverse, or marked where there are no colours."""
    if paint.on:
        return paint(name_cell(name, NAME), "reverse")
    return name_cell(name, NAME - 2) + " <"


def row_line(row, shown, paint, chosen=False):
    cells = [chosen_cell(row["name"], paint) if chosen else name_cell(row["name"], NAME)]
    for key, _, width, figure in shown:
        value = row[figure]
        if value is None:
            cell = "-"
        elif key in "arx":
            cell = term.count(value)
        else:
            cell = term.short(value)
        cell = cell.rjust(width)
        if key == "x" and value:
            cell = paint(cell, "red", "bold")
        limit = row.get("limit_bytes")
        if key == "f" and limit and value > NEAR_LIMIT * limit:
            cell = paint(cell, "yellow", "bold")
        cells.append(cell)
    return "".join(cells)


def table(sample, key, turned, paint, lines=None, chosen=None, width=None):
    """The screen, at most LINES of it and WIDTH wide, with the row CHOSEN in it."""
    shown = columns(sample, width)
    titles = "HEAP".ljust(NAME) + "".join(title.rjust(cells) for _, title, cells, _ in shown)
    rows = sample.sorted(key, turned)
    room = len(rows) if lines is None else max(1, lines - 3)
    more = len(rows) - room
    if more > 0:
        room, more = room - 1, more + 1
    # With more heaps than lines the one that is chosen is the last that is shown, at least.
    at = rows.index(chosen) if chosen in rows else 0
    first = max(0, min(at - room + 1, len(rows) - room)) if room > 0 else 0
    text = [heading(sample), paint(titles, "reverse")]
    text += [row_line(row, shown, paint, row is chosen) for row in rows[first:first + max(0, room)]]
    if more > 0:
        text.append("and %d more" % more)
    return text


def batch(args, tree):
    sample, paint = None, term.Paint(sys.stdout)
    number = 0
    while True:
        sample = Sample(tree, sample)
        number += 1
        if number > 1:
            print()
        print("\n".join(table(sample, SORTS[args.sort], False, paint)), flush=True)
        if args.n and number >= args.n:
            return 0
        time.sleep(args.d)


class Screen:
    """The terminal, which gets its settings back whatever happens."""

    def __enter__(self):
        self.input = sys.stdin.fileno()
        self.settings = termios.tcgetattr(self.input)
        self.old = {number: signal.signal(number, self.stop) for number in (signal.SIGTERM,
                                                                            signal.SIGHUP)}
        self.old[signal.SIGCONT] = signal.signal(signal.SIGCONT, lambda *_: self.begin())
        self.old[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: None)
        # A signal between the last look for signals and select() would not end that; a byte in
        # this pipe does.
        self.signals, self.pipe = os.pipe()
        os.set_blocking(self.pipe, False)
        signal.set_wakeup_fd(self.pipe, warn_on_full_buffer=False)
        self.begin()
        return self

    def begin(self):
        """Also called by a signal, in the middle of anything: so it writes past the buffer."""
        tty.setcbreak(self.input)
        os.write(sys.stdout.fileno(), b"\x1b[?25l\x1b[?7l\x1b[2J")

    def stop(self, *_):
        raise KeyboardInterrupt

    def draw(self, lines):
        sys.stdout.write("\x1b[H" + "\x1b[K\r\n".join(lines) + "\x1b[K\x1b[J")
        sys.stdout.flush()

    def keys(self, timeout):
        """The keys that were pressed: none after TIMEOUT seconds, q when the terminal has gone, and
        one that means nothing after a signal, as when the terminal has another size now."""
        ready, _, _ = select.select([self.input, self.signals], [], [], timeout)
        if self.signals in ready:
            os.read(self.signals, 64)
            return "\0"
        return (os.read(self.input, 64).decode("ascii", "replace") or "q") if ready else ""

    def __exit__(self, *_):
        signal.set_wakeup_fd(-1)
        os.close(self.pipe)
        os.close(self.signals)
        for number, handler in self.old.items():
            signal.signal(number, handler)
        termios.tcsetattr(self.input, termios.TCSANOW, self.settings)
        sys.stdout.write("\x1b[?25h\x1b[?7h\r\n")
        sys.stdout.flush()


# What terminals send for the arrows, in both of their modes.
ARROWS = {"\x1b[A": "k", "\x1bOA": "k", "\x1b[B": "j", "\x1bOB": "j"}


class View:
    """What is on the screen, and what keys make of it."""

    def __init__(self, sort):
        self.sort, self.turned = sort, False
        self.chosen = None      # the name of a heap; None: the first one
        self.shown = None       # of views.VIEWS; None: the table

    def rows(self, sample):
        return sample.sorted(self.sort, self.turned)

    def row(self, sample):
        """The row of the heap that is chosen, or of the first one if that is gone."""
        rows = self.rows(sample)
        found = [row for row in rows if row["name"] == self.chosen] or rows[:1]
        return found[0] if found else None

    def lines(self, sample, paint, size):
        row = self.row(sample)
        if self.shown and row:
            return views.lines(self.shown, row["heap"], paint, size.columns, size.lines - 1)
        return table(sample, self.sort, self.turned, paint, size.lines, row, size.columns)

    def move(self, sample, step):
        rows = self.rows(sample)
        if rows:
            at = rows.index(self.row(sample)) + step
            self.chosen = rows[max(0, min(at, len(rows) - 1))]["name"]

    def press(self, sample, key):
        if key in "jk":
            self.move(sample, 1 if key == "j" else -1)
        elif key in views.VIEWS:
            self.shown = None if self.shown == key else key
        elif key in SORTS.values() and not self.shown:
            self.sort, self.turned = key, not self.turned if key == self.sort else False


def live(args, tree):
    view, sample, number = View(SORTS[args.sort]), None, 0
    paint = term.Paint(sys.stdout)
    with Screen() as screen:
        while True:
            sample = Sample(tree, sample)
            number += 1
            end = time.monotonic() + args.d
            keys = None
            while keys is None or (keys and " " not in keys):
                screen.draw(view.lines(sample, paint, shutil.get_terminal_size((80, 24))))
                if args.n and number >= args.n:
                    return 0
                keys = screen.keys(max(0, end - time.monotonic()))
                for arrow, key in ARROWS.items():
                    keys = keys.replace(arrow, key)
                for pressed in keys:
                    if pressed in "qQ":
                        return 0
                    view.press(sample, pressed)


def run(args, tree):
    terminal = sys.stdin.isatty() and sys.stdout.isatty() and term.clever()
    return batch(args, tree) if args.batch or not terminal else live(args, tree)
