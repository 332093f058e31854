# SPDX-License-Identifier: GPL-2.0
"""A flame graph of a heap's live bytes."""
from .. import flame, sites, stackfiles
from ..output import replace

HELP = "flame graph of the live bytes of a heap"
EXAMPLE = """kmheap flame strtab -o strtab.svg
      for a browser, without a script; --folded is for other programs that draw
      such graphs"""


def arguments(p):
    p.add_argument("heap", metavar="HEAP", help="its name")
    p.add_argument("-o", metavar="FILE", dest="output",
                   help="write FILE, not to the standard output")
    p.add_argument("--folded", action="store_true",
                   help="folded stacks: \"outer;inner BYTES\"")
    p.add_argument("--since", action="store_true",
                   help="only what was allocated since the mark")


def run(args, tree):
    profile = tree.heap(args.heap).profile("profile_since" if args.since else "profile")
    sites.need_samples(profile)
    text = (stackfiles.folded if args.folded else flame.document)(profile)
    if args.output:
        replace(args.output, text)
    else:
        print(text, end="")
    return 0
