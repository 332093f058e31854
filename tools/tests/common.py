# SPDX-License-Identifier: GPL-2.0
"""What the tests share: the recorded files, copies of them, and the tool."""
import contextlib
import io
import os
import re
import shutil
import tempfile
import unittest
from unittest import mock

from kmheap_insight import main

TOOLS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = os.path.dirname(TOOLS)
RECORDED = os.path.join(TOOLS, "testdata", "6.12")
FEW = os.path.join(TOOLS, "testdata", "6.12-few")
HEAPS = ["default", "demo", "empty", "strtab", "sysgraph"]
# As far as kmheap_create() allows them: printable ASCII, no '/', no leading '.'.
ODD_NAMES = ["a b", "\"quoted\"", "back\\slash", "<b>&amp;", "{x=\"1\"}", "-n", "new\\nline", "#",
             "per%cent%s", "~", "x" * 63, "'", "$(id)", "--help"]


def plain_figures(path):
    """The lines "name value" of a file, read by other means than the tool's."""
    with open(path, encoding="ascii") as file:
        return dict(line.split(" ", 1) for line in file.read().splitlines() if line[0].isalpha())


class Case(unittest.TestCase):
    maxDiff = 2000

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="kmheap-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def copy(self):
        """A copy of the recorded files that a test may spoil."""
        root = os.path.join(self.folder, "copy")
        shutil.copytree(RECORDED, root)
        return root

    def change(self, path, old, new):
        with open(path, encoding="ascii") as file:
            text = file.read()
        self.assertRegex(text, old)
        with open(path, "w", encoding="ascii") as file:
            file.write(re.sub(old, lambda _: new, text, count=1))

    def tool(self, *arguments, root=RECORDED, status=0, environment=None):
        """Run the tool on ROOT, in this process. Its standard output, or with another STATUS its
        errors."""
        command = list(arguments[:1]) + (["--root", root] if root else []) + list(arguments[1:])
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), \
                mock.patch.dict(os.environ, {"COLUMNS": "80", **(environment or {})}):
            try:
                ended = main.main(command)
            except SystemExit as left:      # by argparse, after --help
                ended = left.code
        out, errors = out.getvalue(), errors.getvalue()
        self.assertEqual(ended, status, errors + out)
        if status == 0:
            self.assertEqual(errors, "")
        return out if status in (0, 1) else errors

    def refused(self, what, *arguments, **more):
        """The tool ends with status 2 and one line that is like WHAT."""
        said = self.tool(*arguments, status=2, **more)
        self.assertRegex(said, what)
        self.assertRegex(said, r"\Akmheap: [^\n]+\n\Z")
        self.assertNotIn("Traceback", said)
