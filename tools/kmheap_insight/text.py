# SPDX-License-Identifier: GPL-2.0
"""Reads the text of the module's files; Documentation/debugfs.rst has their formats.

Columns and lines are found by their names, so that more of them may follow in later versions.
What is missing, cut off or no number is a FormatError, which says where.
"""


# What every version of stats has.
PARTS = ("live_bytes", "free_bytes", "cached_bytes", "deferred_bytes", "waste_bytes",
         "metadata_bytes")
MISUSES = ("double_frees", "invalid_frees", "wrong_size_frees")
REQUIRED = ("footprint_bytes",) + PARTS + ("live_objects", "arenas", "spans", "allocs", "frees",
                                           "refused_allocs") + MISUSES


class FormatError(Exception):
    """A file is not what its format says."""


def text_of(name):
    """A name as it may be printed: heaps have printable ASCII only, a copy's folder anything."""
    return "".join(c if c.isprintable() and c.isascii() else "\\x%02x" % (ord(c) & 0xff)
                   for c in name)


def whole_lines(what, text):
    """The lines of a file. The last one of a file that was cut off has no end."""
    if text and not text.endswith("\n"):
        raise FormatError("%s: cut off in line %d" % (what, text.count("\n") + 1))
    return text.splitlines()


def _number(what, where, word):
    try:
        return int(word)
    except ValueError:
        raise FormatError("%s: %s is no number: %.40r" % (what, where, word)) from None


class Stats(dict):
    """Figures by name. A figure that the file does not have is an error when somebody asks for
    it."""

    def __init__(self, what):
        super().__init__()
        self.what = what
        self.owner = "none"

    def __missing__(self, name):
        raise FormatError("%s: no line %s" % (self.what, name))


def stats(what, text):
    """The stats of a heap or of the module. Values that are no numbers are left out, but for the
    owner: they belong to lines that this version does not know."""
    found = Stats(what)
    for number, line in enumerate(whole_lines(what, text), 1):
        name, _, value = line.partition(" ")
        if not name or not value:
            raise FormatError("%s: line %d is not \"name value\"" % (what, number))
        if name == "owner":
            found.owner = value
        elif name in REQUIRED:
            found[name] = _number(what, name, value)
        else:
            try:
                found[name] = int(value)
            except ValueError:
                pass
    for name in REQUIRED:
        found[name]     # is there
    return found


def _columns(what, lines, names):
    """The places of the columns with these names, from the first line."""
    if not lines:
        raise FormatError("%s: empty" % what)
    there = lines[0].split()
    for name in names:
        if name not in there:
            raise FormatError("%s: no column %s" % (what, name))
    return len(there), [there.index(name) for name in names]


CLASS_COLUMNS = ("class", "size", "pages", "spans", "live", "free", "remote", "deferred", "allocs",
                 "frees", "refills", "waste")


def classes(what, text):
    """The rows, each a dict by column, and the figures below them, a dict by name."""
    lines = whole_lines(what, text)
    width, at = _columns(what, lines, CLASS_COLUMNS)
    rows, below = [], {}
    for number, line in enumerate(lines[1:], 2):
        words = line.split()
        if words and not words[0].isdigit():
            # A line below the rows: "name value".
            if len(words) != 2:
                raise FormatError("%s: line %d is not \"name value\"" % (what, number))
            below[words[0]] = _number(what, words[0], words[1])
            continue
        if len(words) != width:
            raise FormatError("%s: line %d has %d columns of %d" %
                              (what, number, len(words), width))
        rows.append({name: _number(what, "line %d, %s" % (number, name), words[i])
                     for name, i in zip(CLASS_COLUMNS, at)})
    return rows, below


class Arena:
    """One arena: its line, and its picture, a character for each heap page."""
    __slots__ = ("bytes", "node", "pages", "free_pages", "dedicated", "picture")


def arenas(what, text):
    lines = whole_lines(what, text)
    names = ("bytes", "node", "pages", "free_pages", "dedicated")
    width, at = _columns(what, lines, names)
    found, pictures = [], []
    for number, line in enumerate(lines[1:], 2):
        if line.startswith("  "):
            if not found:
                raise FormatError("%s: line %d belongs to no arena" % (what, number))
            pictures[-1].append(line[2:])
            continue
        words = line.split()
        if len(words) != width:
            raise FormatError("%s: line %d has %d columns of %d" %
                              (what, number, len(words), width))
        arena = Arena()
        for name, i in zip(names, at):
            setattr(arena, name, _number(what, "line %d, %s" % (number, name), words[i]))
        found.append(arena)
        pictures.append([])
    for i, (arena, picture) in enumerate(zip(found, pictures), 1):
        arena.picture = "".join(picture)
        if len(arena.picture) != arena.pages:
            raise FormatError("%s: arena %d has %d pages, its picture %d" %
                              (what, i, arena.pages, len(arena.picture)))
    return found


def spans(what, text):
    """A list of (pages, class, slots, live, home) for each span."""
    lines = whole_lines(what, text)
    width, at = _columns(what, lines, ("pages", "class", "slots", "live", "home"))
    pages, klass, slots, live, home = at
    try:
        rows = [(int(w[pages]), int(w[klass]), int(w[slots]), int(w[live]), w[home])
                for w in map(str.split, lines[1:]) if len(w) == width]
    except ValueError:
        raise FormatError("%s: a figure is no number" % what) from None
    if len(rows) != len(lines) - 1:
        number = next(i for i, line in enumerate(lines, 1) if len(line.split()) != width)
        raise FormatError("%s: line %d has other columns than the first" % (what, number))
    return rows
