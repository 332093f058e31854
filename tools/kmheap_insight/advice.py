# SPDX-License-Identifier: GPL-2.0
"""Reads what kmheap_advisor.ko says of a module; Documentation/advisor.rst has the formats.

As everywhere, lines and columns are found by their names, and more of them may follow.
"""
import errno
import os
import subprocess

from . import profiletext
from .text import FormatError, text_of, whole_lines
from .tree import DEBUGFS, ToolError, why

ADVISOR = "/sys/module/kmheap_advisor"
VERSION = 1
KINDS = ("kmalloc", "cache", "pages", "vmalloc", "percpu", "inside")
FIGURES = ("allocs", "failed", "live_objects", "asked_bytes", "given_bytes", "kmheap_bytes")
ORDERS = ("order", "bytes", "kmalloc_allocs", "kmalloc_failed", "kmalloc_live", "pages_allocs",
          "pages_failed", "pages_live")
SAVINGS = ("class", "size", "live_objects", "asked_bytes", "given_bytes", "kmheap_bytes")
# The class of what is in pages of its own.
LARGE = 68
SITES = profiletext.COUNTS + ("asked_bytes", "failed", "allocator")


def _number(what, number, word):
    if not (word.isascii() and word.isdigit()):
        raise FormatError("%s: line %d: %.40r is no number" % (what, number, word))
    return int(word)


def _begins(what, text, name):
    """The lines of TEXT without the first, which is NAME and a version."""
    lines = whole_lines(what, text)
    words = lines[0].split() if lines else []
    if len(words) != 2 or words[0] != name:
        raise FormatError("%s: line 1 is not \"%s %d\"" % (what, name, VERSION))
    if words[1] != str(VERSION):
        raise FormatError("%s: of version %.20s, and this tool reads version %d" %
                          (what, text_of(words[1]), VERSION))
    return lines[1:]


def stats(what, text):
    """The figures by name; "module", "state" and "unseen" are texts."""
    found = {}
    for number, line in enumerate(_begins(what, text, "kmheap_advisor_stats"), 2):
        name, _, value = line.partition(" ")
        if name in ("module", "state", "unseen"):
            found[name] = text_of(value)
        else:
            found[name] = _number(what, number, value)
    for name in ("module", "state", "late", "time_ns", "since_ns", "lost", "missed", "unheard",
                 "unseen") + tuple("%s_%s" % pair for pair in
                                   ((kind, figure) for kind in KINDS for figure in FIGURES)):
        if name not in found:
            raise FormatError("%s: no line %s" % (what, name))
    return found


def rows(what, text, name, word, columns):
    """The rows that begin with WORD, each a dict by column."""
    there, found = None, []
    for number, line in enumerate(_begins(what, text, name), 2):
        words = line.split()
        if words[:1] == ["columns"]:
            there = words[1:]
        elif words[:1] == [word]:
            if there is None or len(words) != len(there) + 1:
                raise FormatError("%s: line %d has not the columns it should" % (what, number))
            found.append(dict(zip(there, (_number(what, number, w) for w in words[1:]))))
    for column in columns:
        if there is None or column not in there:
            raise FormatError("%s: no column %s" % (what, column))
    return found


class Advice:
    """The files of one module, in debugfs or in a copy of it."""

    def __init__(self, root, name):
        self.path = os.path.join(root, name)
        self.name = name

    def _read(self, file):
        try:
            with open(os.path.join(self.path, file), "rb") as contents:
                return contents.read().decode("ascii", "replace")
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                raise ToolError("%s: no permission: it takes root, and CAP_SYSLOG" % file) from None
            raise ToolError("%s: %s" % (file, why(error))) from None

    def stats(self):
        return stats("stats", self._read("stats"))

    def profile(self, file="profile"):
        """The profiletext.Profile of the file profile or leaks."""
        return profiletext.parse(file, self._read(file), SITES)

    def orders(self):
        return rows("orders", self._read("orders"), "kmheap_advisor_orders", "order", ORDERS)

    def savings(self):
        return rows("savings", self._read("savings"), "kmheap_advisor_savings", "class", SAVINGS)


def _load(name):
    command = ["modprobe", "kmheap_advisor", "module=" + name]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
    except OSError as error:
        raise ToolError("modprobe: %s" % why(error)) from None
    if done.returncode:
        said = done.stdout.decode("ascii", "replace").strip().splitlines() or ["it failed"]
        raise ToolError("%s: %s" % (" ".join(map(text_of, command)), text_of(said[-1])))


def of_module(name, root=None):
    """The Advice of module NAME. Where ROOT is None, the advisor is loaded if it is not."""
    name = name.replace("-", "_")
    if not name or "/" in name or name.startswith("."):
        raise ToolError("%s is no name of a module" % text_of(name))
    folder = root or os.path.join(DEBUGFS, "kmheap_advisor")
    if not root and not os.path.isdir(ADVISOR):
        _load(name)
    try:
        there = sorted(os.listdir(folder))
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise ToolError("no permission to read %s: only root may" % text_of(folder)) from None
        raise ToolError("%s: %s" % (text_of(folder), why(error))) from None
    if name not in there:
        raise ToolError("%s is not watched, but %s; %s" % (
            text_of(name), ", ".join(map(text_of, there)) or "nothing",
            "\"rmmod kmheap_advisor\", and ask again"))
    return Advice(folder, name)
