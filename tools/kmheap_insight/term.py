# SPDX-License-Identifier: GPL-2.0
"""How figures and tables look: short numbers, columns, colours where there is a terminal."""
import os
import shutil
import sys

COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
           "magenta": "35", "cyan": "36", "reverse": "7"}


def colours(stream):
    """May STREAM be written in colours? https://no-color.org"""
    return stream.isatty() and not os.environ.get("NO_COLOR") and clever()


def clever():
    """Does the terminal know ANSI sequences?"""
    return os.environ.get("TERM", "dumb") != "dumb"


class Paint:
    """Paint(stream)(text, "bold"): text in a colour, or as it is where there are none."""

    def __init__(self, stream):
        self.on = colours(stream)

    def __call__(self, text, *names):
        if not self.on or not names:
            return text
        return "\x1b[%sm%s\x1b[0m" % (";".join(COLOURS[name] for name in names), text)


def short(number, step=1024, units=("", "K", "M", "G", "T", "P", "E")):
    """At most five characters: 0, 9999, 97.6K, 1023K, 1.24M."""
    if number < 0:
        return "-" + short(-number, step, units)
    if number < 9999.5:
        return "%d" % round(number)
    for unit in units:
        if number < 999.5 or (step == 1024 and number < 1023.5):
            digits = 2 if number < 9.995 else 1 if number < 99.95 else 0
            return "%.*f%s" % (digits, number, unit)
        number /= step
    return ">999" + units[-1]


def count(number):
    """As short(), in steps of a thousand."""
    return short(number, 1000)


def bytes_text(number):
    """For sentences: 12.4 MiB, 1 byte."""
    if number < 0:
        return "-" + bytes_text(-number)
    if number < 1024:
        return "%d byte%s" % (number, "" if number == 1 else "s")
    for unit in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        number /= 1024
        if number < 999.5:
            break
    return "%.3g %s" % (number, unit)


def thousands(number):
    return "{:,}".format(number)


AGES = ((1000, 1, "%d ms"), (100, 1000, "%.1f s"), (100, 60000, "%.1f min"),
        (48, 3600000, "%.1f h"), (float("inf"), 86400000, "%.1f days"))


def ages(youngest_ms, oldest_ms):
    """"0.3 to 2.1 s", or "2.1 s" where both read the same."""
    for most, unit, form in AGES:
        if oldest_ms / unit < most:
            break
    number, word = form.split(" ")
    youngest, oldest = (number % (ms / unit) for ms in (youngest_ms, oldest_ms))
    return "%s %s" % (oldest if youngest == oldest else "%s to %s" % (youngest, oldest), word)


def percent(part, whole):
    return "%.1f %%" % (100 * part / whole) if whole else "-"


def table(rows, left=(0,)):
    """Lines of columns that are as wide as they have to be. The columns in LEFT are texts."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if i in left else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]


def width(stream):
    """Where lines are cut: at the width of a terminal, else nowhere."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def positive(word):
    """A type for argparse."""
    number = int(word)
    if number < 1:
        raise ValueError(word)
    return number


class Progress:
    """A line on a terminal that says what is being read, and is gone at the end."""

    def __init__(self):
        self.stream = sys.stderr if sys.stderr.isatty() and clever() else None

    def __call__(self, text):
        if self.stream:
            self.stream.write("\r%s\x1b[K" % text[:79])
            self.stream.flush()

    def end(self):
        self("")
