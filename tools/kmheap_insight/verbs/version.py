# SPDX-License-Identifier: GPL-2.0
"""The versions of the tool and of the module."""
import os

from .. import ABI, VERSION
from ..tree import MODULE

HELP = "versions of the tool and of the module that is loaded"
EXAMPLE = """kmheap version
      needs no right to read debugfs"""
NEEDS_TREE = False


def arguments(p):
    """None but the common ones."""


def of_module(name):
    try:
        with open(os.path.join(MODULE, name), encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def run(args, tree):
    print("tool      %s, reads formats of version %d" % (VERSION, ABI))
    if not os.path.isdir(MODULE):
        print("module    not loaded")
        return 0
    words = [word for word in (of_module("version"), of_module("srcversion")) if word]
    print("module    loaded" + "".join(", " + word for word in words))
    return 0
