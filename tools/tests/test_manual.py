# SPDX-License-Identifier: GPL-2.0
"""The manual page, as groff and mandoc see it."""
import os
import subprocess
import unittest

from common import TOOLS, Case

PAGE = os.path.join(TOOLS, "kmheap.8")


class Manual(Case):
    def silent(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.returncode, 0)

    def test_groff(self):
        self.silent("groff", "-ww", "-man", "-Tutf8", "-z", PAGE)

    def test_mandoc(self):
        self.silent("mandoc", "-T", "lint", "-W", "warning", PAGE)


if __name__ == "__main__":
    unittest.main()
