# SPDX-License-Identifier: GPL-2.0
"""How sphinx builds this folder; scripts/check-docs says with what.

The kernel-doc directive is the kernel's own. $srctree names the kernel source that has it.
"""

import logging
import os
import pathlib
import sys

top = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, os.path.join(os.environ["srctree"], "Documentation", "sphinx"))

project = "kmheap"
extensions = ["kerneldoc"]
kerneldoc_srctree = str(top)
root_doc = "index"
highlight_language = "none"
html_theme = "alabaster"
html_static_path = []

# What compiler attributes the prototypes carry.
c_id_attributes = ["__malloc", "__must_check", "__always_inline"]

# Types of the kernel, and the public header's own that are opaque.
nitpick_ignore = [("c:identifier", name) for name in (
    "bool", "gfp_t", "module", "size_t", "u32", "u64", "kmheap", "kmheap_cache",
    "kmheap_weak")]

# The name of a structure may also be that of a function in C, and may not in sphinx.
logging.getLogger("sphinx.sphinx.domains.c").addFilter(
    lambda record: not ("Duplicate C declaration" in str(record.msg) and
                        "int kmheap_stats (" in str(record.msg)))


def with_exports(app, docname, source):
    """Where a page says @exported@, the kernel-doc of every function that kmod/ exports."""
    if "@exported@" not in source[0]:
        return
    files = [path.relative_to(top) for path in sorted(top.glob("kmod/**/*.c"))
             if "\nEXPORT_SYMBOL" in path.read_text(encoding="utf-8")]
    source[0] = source[0].replace("@exported@", "\n".join(
        f".. kernel-doc:: {name}\n   :export:\n" for name in files))


def setup(app):
    app.connect("source-read", with_exports)
