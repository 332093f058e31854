# SPDX-License-Identifier: GPL-2.0
"""The heaps of a kernel that crashed, out of its memory."""
import os
import sys

from .. import core, profilefile, profiletext, sites, term
from ..coreread import CoreError
from ..tree import ToolError, text_of, why

HELP = "the heaps of a kernel that crashed, out of its dump"
EXAMPLE = """kmheap core vmcore
      a line for each heap
  kmheap core vmcore strtab
      the stacks whose live objects took most, if the heap was profiled
  kmheap core vmcore --identify ffff88810a2b4000
      which object this address is in, and where it was allocated"""
NEEDS_TREE = False


def hexadecimal(word):
    """A type for argparse."""
    value = int(word, 16)
    if not 0 <= value < 1 << 64:
        raise ValueError(word)
    return value


def arguments(p):
    p.add_argument("dump", metavar="DUMP",
                   help="a file that drgn reads, or /proc/kcore for the kernel that runs")
    p.add_argument("heap", metavar="HEAP", nargs="?", help="its name")
    p.add_argument("--identify", metavar="ADDRESS", type=hexadecimal,
                   help="say what this address is")
    p.add_argument("--address", metavar="ADDRESS", type=hexadecimal,
                   help="of the symbol kmheap_vmcore, if it is not found")
    p.add_argument("--sort", choices=list(sites.SORTS), default="live", metavar="KEY",
                   help="as for the verb profile")
    sites.arguments(p)
    profilefile.argument(p)


def program(path):
    """The drgn.Program of a dump."""
    try:
        import drgn
    except ImportError:
        raise ToolError("to read a dump takes drgn, which is not installed (Debian: "
                        "python3-drgn)") from None
    prog = drgn.Program()
    try:
        if path == "/proc/kcore":
            prog.set_kernel()
        else:
            prog.set_core_dump(path)
    except OSError as error:
        raise ToolError("%s: %s" % (text_of(path), why(error))) from None
    except Exception as error:
        raise ToolError("%s: %s" % (text_of(path), text_of(str(error).splitlines()[0]))) from None
    if not prog.flags & drgn.ProgramFlags.IS_LINUX_KERNEL:
        raise ToolError("%s is no dump of a kernel" % text_of(path))
    return prog


def when(found, path):
    """When the memory was so, in nanoseconds: the crash, or else the time of the file."""
    if found.names.live:
        import time
        return time.time_ns()
    crash = found.memory.vmcoreinfo.get("CRASHTIME", "")
    return int(crash) * 10**9 if crash.isdigit() else os.stat(path).st_mtime_ns


def table(found):
    """A line for each heap. What cannot be read of one is said in its place."""
    lines, wrong = [["heap", "owner", "footprint", "spans", "live", "objects", "period"]], []
    for heap in found.heaps():
        try:
            spans, objects, size = heap.live()
        except CoreError as error:
            wrong.append("heap %s: %s" % (heap.name, error))
            continue
        lines.append([heap.name, heap.owner, term.bytes_text(heap.footprint_bytes),
                      term.thousands(spans), term.bytes_text(size), term.thousands(objects),
                      term.bytes_text(heap.period) if heap.period else "-"])
    return term.table(lines, left=(0, 1)) + wrong, 1 if wrong else 0


def run(args, tree):
    if args.root:
        raise ToolError("a dump is read: --root does not go with that")
    if args.output:
        profilefile.writer(args.output)     # or says that the suffix is wrong
        if not args.heap:
            raise ToolError("-o writes the profile of a heap, which has to be named")
    found = core.Core(program(args.dump), args.address, args.dump)
    if args.identify is not None:
        print(core.identify(found, args.identify), end="")
        return 0
    if not args.heap:
        lines, status = table(found)
        print("\n".join(lines))
        return status
    text = core.profile(found, args.heap, when(found, args.dump))
    profile = profiletext.parse("profile of heap " + text_of(args.heap), text)
    if args.output:
        profilefile.write(args.output, profile)
        return 0
    print("\n".join(sites.lines(profile, args, term.Paint(sys.stdout), term.width(sys.stdout))))
    return 0
