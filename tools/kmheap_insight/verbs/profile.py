# SPDX-License-Identifier: GPL-2.0
"""The sites that a heap's live objects come from; switches its profile on and off."""
import errno
import re
import sys

from .. import profilefile, sites, term
from ..tree import ToolError

HELP = "call sites that the objects of a heap come from"
EXAMPLE = """kmheap profile strtab --on 512K
      begins a profile: a sample for each 512 KiB; 1 is exact; --off ends it
  kmheap profile strtab
      the stacks whose objects take most
  kmheap profile strtab -o p.pb.gz && go tool pprof -top p.pb.gz
      the same in another program's hands"""
REASONS = {errno.EINVAL: "the kernel refuses this period",
           errno.ENOMEM: "no memory for the tables of profiles, or a limit forbids them"}


def period(word):
    """A type for argparse. The kernel reads what follows the digits as K, M, G, T."""
    if not re.fullmatch(r"[0-9]{1,18}[KMGT]?", word) or not int(word.rstrip("KMGT")):
        raise ValueError(word)
    return word


def arguments(p):
    p.add_argument("heap", metavar="HEAP", help="its name")
    switch = p.add_mutually_exclusive_group()
    switch.add_argument("--on", metavar="PERIOD", type=period,
                        help="begin a new profile: a sample for each PERIOD bytes, perhaps with "
                             "K, M, G; 1: of every object")
    switch.add_argument("--off", action="store_true",
                        help="end the profile, which can still be read")
    what = p.add_mutually_exclusive_group()
    what.add_argument("--since", action="store_true",
                      help="only what was allocated since the mark")
    what.add_argument("--peak", action="store_true",
                      help="what was live when the heap used most pages")
    p.add_argument("--sort", choices=list(sites.SORTS), default="live", metavar="KEY",
                   help="sort by live bytes (live, the default) or by all that was allocated "
                        "since the profile began (allocs)")
    sites.arguments(p)
    profilefile.argument(p)


def switch(heap, word):
    if not heap.tree.live:
        raise ToolError("--on and --off switch the module that runs, and --root names a copy")
    heap.write("profile_period_bytes", word, REASONS)


def run(args, tree):
    heap = tree.heap(args.heap)
    if args.on or args.off:
        if args.since or args.peak or args.output:
            raise ToolError("--on and --off go with no other option")
        switch(heap, args.on or "0")
        return 0
    if args.since and args.sort != "live":
        raise ToolError("--since knows only what is live")
    if args.output:
        profilefile.writer(args.output)     # or says that the suffix is wrong
    profile = heap.profile("profile_since" if args.since else
                           "profile_peak" if args.peak else "profile")
    if args.output:
        profilefile.write(args.output, profile)
        return 0
    print("\n".join(sites.lines(profile, args, term.Paint(sys.stdout), term.width(sys.stdout))))
    return 0
