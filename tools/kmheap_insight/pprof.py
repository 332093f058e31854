# SPDX-License-Identifier: GPL-2.0
"""profile.proto, which pprof and its like read: github.com/google/pprof/proto/profile.proto.

A protocol buffer is a row of fields: a number that says which one, and a varint, or a length and
so many bytes. Fields that are 0 are left out.
"""
import gzip

from .sampling import scale

MOST = (1 << 63) - 1    # values are int64


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _number(field, value):
    return _varint(field << 3) + _varint(value) if value else b""


def _bytes(field, contents):
    return _varint(field << 3 | 2) + _varint(len(contents)) + contents


def _packed(field, values):
    return _bytes(field, b"".join(map(_varint, values))) if values else b""


class _Table:
    """Things with an id: 1, 2, 3 ... in the order in which they were first asked for."""

    def __init__(self, first=1):
        self.ids = {}
        self.first = first

    def __call__(self, key):
        return self.ids.setdefault(key, len(self.ids) + self.first)


class _Writer:
    def __init__(self, profile):
        self.profile = profile
        self.strings = _Table(0)
        self.strings("")
        # The first mapping is the main binary.
        self.mappings, self.functions, self.locations = _Table(), _Table(), _Table()
        self.mappings("")
        self.ranges = {}
        # Objects that were allocated before the mark are in the counts of what was allocated.
        self.ever = profile.kind != "since"

    def value_type(self, field, kind, unit):
        return _bytes(field, _number(1, self.strings(kind)) + _number(2, self.strings(unit)))

    def location(self, frame):
        function = self.functions((frame.function, frame.module))
        low, high = self.ranges.get(frame.module, (frame.address, frame.address))
        self.ranges[frame.module] = min(low, frame.address), max(high, frame.address)
        return self.locations((frame.address, self.mappings(frame.module), function))

    def sample(self, site):
        period, counts = self.profile.period, site.counts
        live = scale(counts["live_objects"], counts["live_bytes"], period)
        allocated = scale(counts["allocs"], counts["alloc_bytes"], period)
        values = [min(round(value), MOST) for value in (allocated if self.ever else ()) + live]
        if not any(values):
            return b""
        size = counts["alloc_bytes"] // max(counts["allocs"], 1)
        labels = _bytes(3, _number(1, self.strings("heap")) +
                        _number(2, self.strings(self.profile.heap)))
        labels += _bytes(3, _number(1, self.strings("bytes")) + _number(3, min(size, MOST)) +
                         _number(4, self.strings("bytes")))
        return _bytes(2, _packed(1, [self.location(frame) for frame in site.frames]) +
                      _packed(2, values) + labels)

    def mapping(self, module, number):
        low, high = self.ranges.get(module, (0, 0))
        return _bytes(3, _number(1, number) + _number(2, low & ~0xfff) +
                      _number(3, min(high | 0xfff, (1 << 64) - 2) + 1 if high else 0) +
                      _number(5, self.strings(module or "[kernel]")) + _number(7, 1))

    def function(self, name, module, number):
        shown = "%s [%s]" % (name, module) if module else name
        return _bytes(5, _number(1, number) + _number(2, self.strings(shown)) +
                      _number(3, self.strings(name)) +
                      _number(4, self.strings(module or "[kernel]")))

    def message(self):
        profile = self.profile
        types = [("inuse_objects", "count"), ("inuse_space", "bytes")]
        if self.ever:
            types = [("alloc_objects", "count"), ("alloc_space", "bytes")] + types
        body = [self.value_type(1, kind, unit) for kind, unit in types]
        body += [self.sample(site) for site in profile.sites]
        body += [self.mapping(module, number) for module, number in self.mappings.ids.items()]
        for (address, mapping, function), number in self.locations.ids.items():
            body.append(_bytes(4, _number(1, number) + _number(2, mapping) + _number(3, address) +
                               _bytes(4, _number(1, function))))
        body += [self.function(name, module, number)
                 for (name, module), number in self.functions.ids.items()]
        body += [_number(9, min(profile.time_ns, MOST)),
                 _number(10, min(max(profile.time_ns - profile.since_ns, 0), MOST)),
                 self.value_type(11, "space", "bytes"), _number(12, min(profile.period, MOST)),
                 _number(14, self.strings("inuse_space"))]
        # All strings are known now.
        body += [_bytes(6, string.encode("ascii")) for string in self.strings.ids]
        return b"".join(body)


def message(profile):
    """The bytes of a file .pb."""
    return _Writer(profile).message()


def compressed(profile):
    """The bytes of a file .pb.gz, the same for the same profile."""
    return gzip.compress(message(profile), mtime=0)
