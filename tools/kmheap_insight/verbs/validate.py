# SPDX-License-Identifier: GPL-2.0
"""The module's validators."""
HELP = "run the module's validators over all heaps"
EXAMPLE = """kmheap validate && echo all heaps are sound
      the exit status is 1 when there is a finding. Not for a monitoring loop:
      the validators hold locks with interrupts off"""


def arguments(p):
    """None but the common ones."""


def run(args, tree):
    found = tree.read("validate")
    print(found.rstrip("\n") or "the file validate is empty")
    return 0 if found == "ok\n" else 1
