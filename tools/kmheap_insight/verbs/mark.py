# SPDX-License-Identifier: GPL-2.0
"""Sets the mark that diff counts from."""
from ..tree import ToolError

HELP = "set the mark of a heap's profile"
EXAMPLE = """kmheap mark strtab; make a lot of work; kmheap diff strtab
      what was allocated meanwhile and still lives"""


def arguments(p):
    p.add_argument("heap", metavar="HEAP", help="its name")


def run(args, tree):
    if not tree.live:
        raise ToolError("mark changes the module that runs, and --root names a copy")
    tree.heap(args.heap).write("mark", "1", {})
    return 0
