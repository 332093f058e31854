# SPDX-License-Identifier: GPL-2.0
"""A profile as a file; the suffix says which."""
from . import flame, pprof, sites, stackfiles
from .output import replace
from .tree import ToolError

# The first that fits is taken.
SUFFIXES = {".pb.gz": pprof.compressed, ".pb": pprof.message, ".folded": stackfiles.folded,
            ".json": stackfiles.speedscope, ".svg": flame.document,
            ".txt": lambda profile: profile.text}


def argument(p):
    p.add_argument("-o", metavar="FILE", dest="output",
                   help="write FILE: .pb.gz and .pb for \"go tool pprof\", .folded stacks, "
                        ".json for speedscope, .svg a flame graph, .txt as the kernel says it")


def writer(path):
    """What makes the contents of PATH. To be called before anything is read or switched."""
    for suffix, contents in SUFFIXES.items():
        if path.endswith(suffix):
            return contents
    raise ToolError("-o: the name of the file has to end in one of %s" % ", ".join(SUFFIXES))


def write(path, profile):
    contents = writer(path)
    sites.need_samples(profile)
    replace(path, contents(profile))
