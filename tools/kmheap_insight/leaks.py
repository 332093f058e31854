# SPDX-License-Identifier: GPL-2.0
"""Reads what the module has kept of heaps that ended with live objects: a profile of kind "leaks", in
whose header is all that was live, and the first bytes of some objects. Documentation/profile.rst has
the format."""
import re

from . import profiletext
from .text import FormatError

COLUMNS = profiletext.COUNTS + ("youngest_ms", "oldest_ms")
OBJECT = re.compile(r"object (\d{1,10}) ([0-9a-f]{16}) (\d{1,20}) (\d{1,20}) ((?:[0-9a-f]{2})+)")
LEFT = re.compile(r"(left_objects|left_bytes) (\d{1,20})")


class Object:
    """An object of a site, and its first bytes."""
    __slots__ = ("address", "bytes", "age_ms", "content")

    def __init__(self, words):
        self.address, self.bytes, self.age_ms = int(words[0], 16), int(words[1]), int(words[2])
        self.content = bytes.fromhex(words[3])


class Report:
    def __init__(self, what, contents):
        self.profile = profiletext.parse(what, contents, COLUMNS)
        self.objects, left = {}, {}
        for number, line in enumerate(contents.splitlines(), 1):
            word = line.partition(" ")[0]
            if word == "columns":
                break
            found = {"object": OBJECT, "left_objects": LEFT, "left_bytes": LEFT}.get(word)
            if not found:
                continue
            match = found.fullmatch(line)
            if not match:
                raise FormatError("%s: line %d is no %s" % (what, number, word))
            if word == "object":
                self.objects.setdefault(int(match[1]), []).append(Object(match.groups()[1:]))
            else:
                left[word] = int(match[2])
        for name in ("left_objects", "left_bytes"):
            if name not in left:
                raise FormatError("%s: no line %s" % (what, name))
        self.left_objects, self.left_bytes = left["left_objects"], left["left_bytes"]

    def known(self):
        """How many of the objects the profile has; of a period above 1 they are samples."""
        return sum(site.counts["live_objects"] for site in self.profile.sites)

    def by_stack(self, name):
        """{stack: (youngest_ms, oldest_ms, [Object])}; NAME makes the text of a frame."""
        found = {}
        for site in self.profile.sites:
            if not site.counts["live_objects"]:
                continue
            stack = tuple(name(frame) for frame in site.frames)
            youngest, oldest, objects = found.get(stack, (1 << 64, 0, []))
            found[stack] = (min(youngest, site.counts["youngest_ms"]),
                            max(oldest, site.counts["oldest_ms"]),
                            objects + self.objects.get(site.number, []))
        return found
