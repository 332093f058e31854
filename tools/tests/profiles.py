# SPDX-License-Identifier: GPL-2.0
"""Profiles for tests: the recorded ones, and made ones whose figures are known."""
import os

from common import RECORDED
from kmheap_insight import profiletext


def recorded(file="profile", heap="strtab"):
    with open(os.path.join(RECORDED, "heaps", heap, file), encoding="ascii") as text:
        return text.read()


def text(sites, period=1, kind="inuse", columns=profiletext.COUNTS, heap="made", **header):
    """SITES: (stack, counts); a stack is names, the innermost first."""
    values = dict(kind=kind, heap=heap, owner="none", period_bytes=period,
                  time_ns=1796011399000000000, since_ns=1796011390000000000, samples=7, lost=0,
                  missed=0)
    values.update(header)
    lines = ["kmheap profile 1"] + ["%s %s" % pair for pair in values.items()]
    lines.append("columns site " + " ".join(columns))
    addresses = {}
    for number, (stack, counts) in enumerate(sites):
        lines.append("site %d %s" % (number, " ".join(map(str, counts))))
        lines += ["\t%016x %s" % (addresses.setdefault(name, 0xffffffff81000000 +
                                                       256 * len(addresses)), name)
                  for name in stack]
    return "\n".join(lines) + "\n"


def made(sites, **more):
    return profiletext.parse("made", text(sites, **more))


# Two callers of one function in a module, a function of the kernel, and one in itself.
FOREST = [(["leaf+0x10/0x80 [mod]", "one+0x4/0x10 [mod]", "root+0x1/0x2"], (3, 300, 5, 500)),
          (["leaf+0x20/0x80 [mod]", "two+0x4/0x10 [other]", "root+0x1/0x2"], (1, 100, 1, 100)),
          (["again+0x1/0x2", "again+0x1/0x2", "root+0x1/0x2"], (2, 64, 9, 288)),
          (["gone+0x1/0x2", "root+0x1/0x2"], (0, 0, 4, 256))]
