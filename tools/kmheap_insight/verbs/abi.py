# SPDX-License-Identifier: GPL-2.0
"""The version of the formats of the module's files."""
HELP = "version of the formats of the module's files"
EXAMPLE = """kmheap abi
      for scripts: one number; 1 where the module has no file abi"""


def arguments(p):
    """None but the common ones."""


def run(args, tree):
    # Formats of version 1 are older than the file that says so.
    print(tree.abi() or 1)
    return 0
