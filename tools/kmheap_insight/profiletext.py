# SPDX-License-Identifier: GPL-2.0
"""Reads heap profiles; Documentation/profile.rst has their format.

A profile is a header of names and values, a line that names the columns, and the sites, each with
the stack that it stands for. Header lines and columns that are not known are skipped.
"""
import re

from .text import FormatError, text_of, whole_lines

VERSION = 1
COUNTS = ("live_objects", "live_bytes", "allocs", "alloc_bytes")
HEADER = ("period_bytes", "time_ns", "since_ns", "samples", "lost", "missed")
# Lines that not all profiles have: None where they are not there.
OPTIONAL = ("before_objects",)
# What no count of the kernel reaches, and more frames than any version keeps.
LIMIT = 1 << 64
MOST_FRAMES = 256
SYMBOL = re.compile(r"(.+)\+0x([0-9a-f]+)/0x[0-9a-f]+(?: \[([^\] ]+)[^\]]*\])?")


class Frame:
    """A return address and what it is called: "strtab_line", "strtab", 0x37d."""
    __slots__ = ("address", "function", "module", "offset")

    def __init__(self, address, name):
        self.address = address
        found = SYMBOL.fullmatch(name)
        if found:
            self.function, self.module = found.group(1), found.group(3) or ""
            self.offset = int(found.group(2), 16)
        else:
            self.function, self.module, self.offset = name or "0x%x" % address, "", None

    def with_module(self):
        return "%s [%s]" % (self.function, self.module) if self.module else self.function

    def with_offset(self):
        return self.function if self.offset is None else "%s+0x%x" % (self.function, self.offset)


class Site:
    """A stack, innermost frame first, and the counts of its samples by the names of their
    columns."""
    __slots__ = ("number", "counts", "frames")

    def __init__(self, number, counts):
        self.number, self.counts, self.frames = number, counts, []


class Profile:
    """Of kind "inuse", "since", "peak", "pins" or another; period is 0 if the heap was never profiled. text is the file."""

    def __init__(self, what, text):
        self.what, self.text = what, text
        self.kind = self.heap = None
        self.owner = "none"
        self.before_objects = None
        self.columns, self.sites = [], []


def _count(what, number, name, word):
    if not (word.isascii() and word.isdigit() and len(word) <= 20 and int(word) < LIMIT):
        raise FormatError("%s: line %d, %s is no number: %.40r" % (what, number, name, word))
    return int(word)


def _header(profile, lines):
    """Reads up to the names of the columns. Return: how many lines that were."""
    what = profile.what
    words = lines[0].split() if lines else []
    if words[:2] != ["kmheap", "profile"] or len(words) != 3:
        raise FormatError("%s: no heap profile: line 1 is not \"kmheap profile %d\"" %
                          (what, VERSION))
    if words[2] != str(VERSION):
        raise FormatError("%s: a profile of version %.20s, and this tool reads version %d" %
                          (what, text_of(words[2]), VERSION))
    found = {}
    for number, line in enumerate(lines[1:], 2):
        name, _, value = line.partition(" ")
        if name == "columns":
            break
        if name in HEADER + OPTIONAL:
            found[name] = _count(what, number, name, value)
        elif name in ("kind", "heap", "owner"):
            found[name] = text_of(value)
    else:
        raise FormatError("%s: no line columns" % what)
    for name in HEADER + ("kind", "heap"):
        if found.get(name, "") == "":
            raise FormatError("%s: no line %s" % (what, name))
    for name, value in found.items():
        setattr(profile, name.removesuffix("_bytes"), value)
    profile.columns = [text_of(word) for word in line.split()[1:]]
    return number


def _check_columns(profile, names):
    columns = profile.columns
    for name in ("site",) + names:
        if name not in columns:
            raise FormatError("%s: no column %s" % (profile.what, name))
    if len(set(columns)) != len(columns):
        raise FormatError("%s: a column is there twice" % profile.what)


def _frame(what, number, line):
    address, _, name = line[1:].partition(" ")
    if not re.fullmatch("[0-9a-f]{1,16}", address):
        raise FormatError("%s: line %d begins with no address: %.40r" % (what, number, address))
    return Frame(int(address, 16), text_of(name.strip()))


def parse(what, text, names=COUNTS):
    """The Profile that TEXT, the contents of the file WHAT, is, with the columns NAMES at least."""
    lines = whole_lines(what, text)
    profile = Profile(what, text)
    begun = _header(profile, lines)
    _check_columns(profile, names)
    columns = profile.columns
    for number, line in enumerate(lines[begun:], begun + 1):
        if line.startswith("\t"):
            if not profile.sites:
                raise FormatError("%s: line %d belongs to no site" % (what, number))
            frames = profile.sites[-1].frames
            if len(frames) == MOST_FRAMES:
                raise FormatError("%s: line %d: more than %d frames" % (what, number, MOST_FRAMES))
            frames.append(_frame(what, number, line))
            continue
        words = line.split()
        if words[:1] != ["site"]:
            raise FormatError("%s: line %d is neither a site nor a frame" % (what, number))
        if len(words) != len(columns) + 1:
            raise FormatError("%s: line %d has %d columns of %d" %
                              (what, number, len(words) - 1, len(columns)))
        counts = {name: _count(what, number, name, word)
                  for name, word in zip(columns, words[1:])}
        profile.sites.append(Site(counts.pop("site"), counts))
    return profile


def lifetimes(what, text):
    """The same of the file lifetimes, whose columns are counts of objects that were freed."""
    return parse(what, text, ("longer",))


def pins(what, text):
    """The same of the file pins, which has what live objects hold back."""
    return parse(what, text, ("live_objects", "live_bytes", "span_bytes", "arena_bytes"))


def failed(what, text):
    """The same of the file failed, which has how many allocations were made to fail."""
    return parse(what, text, ("failed",))
