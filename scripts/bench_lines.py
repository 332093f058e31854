# SPDX-License-Identifier: GPL-2.0
"""Result files of the benchmarks, read and checked: for bench-report.

A file is JSON lines: one header, {"platform": ..., "kernel": ..., "cpu": ..., "commit": ...,
"date": ..., "boot": ...}, then one figure a line, {"case": ..., "op": ..., "bytes": ...,
"cpus": ..., "side": ..., "unit": ..., "rounds": ..., "median": ..., "low": ..., "high": ...};
or all sides of a row in one line, see pack(). More keys are allowed: words, and numbers named
in SETTINGS, tell rows apart that are otherwise alike; other numbers are further figures of the
row. Whatever is not of this form ends the program: a figure that is dropped without a word would
make the rest look better or worse than it is.
"""
import collections
import json
import math
import pathlib
import re
import sys

HEADER = ("platform", "kernel", "cpu", "commit", "date", "boot")
WORDS = ("case", "op", "side", "unit")
NUMBERS = ("bytes", "cpus", "rounds", "median", "low", "high")
SETTINGS = ("batch", "heap_mib", "live", "live_mib", "objects")


PLATFORMS = {"uml": "UML", "qemu": "QEMU", "qemu-count": "counted", "native": "native",
             "userland": "userland"}


class Malformed(Exception):
    pass


def is_higher_better(row):
    return row.unit.startswith("ops/") or row.case == "scaling" or row.op == "releasable"


def bytes_name(n):
    for unit, name in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if n >= unit:
            return f"{n / unit:g} {name}"
    return f"{n:g} B"


class Row(collections.namedtuple("Row", "case op unit bytes cpus variant")):
    """What a figure is of; @variant are the words and settings, (name, value)."""

    @property
    def words(self):
        return tuple((k, v) for k, v in self.variant if isinstance(v, str))


Figure = collections.namedtuple("Figure", "row side rounds median low high more")


def is_number(value):
    return (isinstance(value, (int, float)) and not isinstance(value, bool)
            and math.isfinite(value))


def check_header(entry):
    for key in HEADER:
        if not isinstance(entry.get(key), str):
            raise Malformed(f"the header has no {key}")
    if not entry["platform"] or not entry["kernel"] or not entry["date"]:
        raise Malformed("the header leaves platform, kernel or date empty")
    return entry


def figure(entry):
    for key in WORDS:
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise Malformed(f"{key} is missing, or no word")
    for key in NUMBERS:
        if not is_number(entry.get(key)) or entry[key] < 0:
            raise Malformed(f"{key} is missing, or no number from 0 up")
    if not entry["low"] <= entry["median"] <= entry["high"]:
        raise Malformed("the median is not between low and high")
    rest = {k: v for k, v in entry.items() if k not in WORDS + NUMBERS}
    bad = [k for k, v in rest.items() if not isinstance(v, str) and not is_number(v)]
    if bad:
        raise Malformed(f"{bad[0]} is neither a word nor a number")
    settings = [k for k, v in rest.items() if isinstance(v, str) or k in SETTINGS]
    variant = tuple((k, rest[k]) for k in sorted(settings))
    more = {k: v for k, v in rest.items() if k not in settings}
    row = Row(entry["case"], entry["op"], entry["unit"], int(entry["bytes"]), int(entry["cpus"]),
              variant)
    return Figure(row, entry["side"], int(entry["rounds"]), entry["median"], entry["low"],
                  entry["high"], more)


def pack(row, sides):
    """A row with all its sides as one line; expand() makes the lines of it that it was."""
    entry = {"case": row.case, "op": row.op, "bytes": row.bytes, "cpus": row.cpus, "unit": row.unit,
             **dict(row.variant)}
    entry["sides"] = {side: [f.rounds, f.median, f.low, f.high, *([f.more] if f.more else [])]
                      for side, f in sides.items()}
    return json.dumps(entry, separators=(",", ":"))


def expand(entry):
    sides = entry.pop("sides", None)
    if sides is None:
        return [entry]
    if not isinstance(sides, dict):
        raise Malformed("sides is no object")
    entries = []
    for side, packed in sides.items():
        if not isinstance(packed, list) or len(packed) not in (4, 5):
            raise Malformed(f"{side} has not four figures")
        more = packed[4] if len(packed) == 5 else {}
        if not isinstance(more, dict):
            raise Malformed(f"the further figures of {side} are no object")
        entries.append(entry | more | {"side": side} |
                       dict(zip(("rounds", "median", "low", "high"), packed)))
    return entries


class Run:
    """One run: its header and its figures, by row and side."""

    def __init__(self, text, header):
        self.text = text
        self.header = header
        self.rows = {}

    def add(self, fig):
        sides = self.rows.setdefault(fig.row, {})
        if fig.side in sides:
            raise Malformed("the same row and side twice")
        sides[fig.side] = fig

    @property
    def group(self):
        """Platform, series of the kernel and boot arguments: runs that replace each other."""
        kernel = self.header["kernel"]
        series = re.match(r"\d+\.\d+|", kernel)[0] + ("-rt" if "-rt" in kernel else "")
        return self.header["platform"], series, " ".join(sorted(self.header["boot"].split()))


def load(text):
    entry = json.loads(text)
    if not isinstance(entry, dict):
        raise Malformed("not an object")
    return entry


def read(path):
    """The runs of a file: each header begins one."""
    runs = []
    for number, text in enumerate(pathlib.Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = load(text)
            if "platform" in entry:
                runs.append(Run(text, check_header(entry)))
            elif not runs:
                raise Malformed("a figure before the header")
            else:
                for one in expand(entry):
                    runs[-1].add(figure(one))
        except (Malformed, ValueError) as why:
            raise Malformed(f"{path}:{number}: {why}: {text[:120]}") from None
    if not runs:
        raise Malformed(f"{path}: empty")
    return runs


class Group:
    """What is known of a platform, a kernel and its boot arguments: of each case, one run."""

    def __init__(self, key):
        self.key = key
        self.platform, self.series, self.boot = key
        self.runs = {}               # by case
        self.rows = {}

    @property
    def name(self):
        words = [PLATFORMS.get(self.platform, self.platform), self.series]
        return " ".join(w for w in words if w) + (f", {self.boot}" if self.boot else "")

    @property
    def version(self):
        return [int(n) for n in re.findall(r"\d+", self.series)]

    def take(self, run):
        for case in sorted({row.case for row in run.rows}):
            before, now = (sum(row.case == case for row in rows) for rows in (self.rows, run.rows))
            if now < before:
                print(f"bench-report: {self.name}, {case}: {now} rows take the place of {before}",
                      file=sys.stderr)
            self.runs[case] = run
            self.rows = {row: v for row, v in self.rows.items() if row.case != case}
            self.rows |= {row: v for row, v in run.rows.items() if row.case == case}


def newest(runs):
    """Groups by their key: of each case the newest run, never a mixture of two."""
    groups = {}
    for run in sorted(runs, key=lambda run: run.header["date"]):
        groups.setdefault(run.group, Group(run.group)).take(run)
    return groups
