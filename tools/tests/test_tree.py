# SPDX-License-Identifier: GPL-2.0
"""What can be wrong with the folder that is read: each ends in one line and status 2."""
import errno
import os
import shutil
import unittest
from unittest import mock

from common import HEAPS, RECORDED, Case
from kmheap_insight import tree
from kmheap_insight.tree import ToolError, Tree, Vanished


class Live(Case):
    """The folder in debugfs, played by one of the test."""

    def setUp(self):
        super().setUp()
        self.debugfs = os.path.join(self.folder, "debug")
        os.mkdir(self.debugfs)
        self.module = os.path.join(self.folder, "module")
        self.mounted = True
        for patch in (mock.patch.object(tree, "DEBUGFS", self.debugfs),
                      mock.patch.object(tree, "MODULE", self.module),
                      mock.patch("os.path.ismount", lambda path: self.mounted)):
            patch.start()
            self.addCleanup(patch.stop)

    def refuses(self, what):
        with self.assertRaisesRegex(ToolError, what):
            Tree()

    def test_not_mounted(self):
        self.mounted = False
        self.refuses("debugfs is not mounted; root mounts it: mount -t debugfs debugfs ")

    def test_not_loaded(self):
        self.refuses("the module kmheap is not loaded")

    def test_loaded_without_files(self):
        os.mkdir(self.module)
        self.refuses("the module kmheap is loaded, and has no files in")

    def test_no_permission(self):
        for number in (errno.EACCES, errno.EPERM):
            with mock.patch("os.stat", side_effect=OSError(number, "no")):
                self.refuses("no permission to read .*: only root may")

    def test_there(self):
        shutil.copytree(RECORDED, os.path.join(self.debugfs, "kmheap"))
        self.assertEqual([heap.name for heap in Tree().heaps()], HEAPS)

    def test_locked_down(self):
        """lockdown=integrity lets files be read that nobody can write, and no others."""
        root = os.path.join(self.debugfs, "kmheap")
        shutil.copytree(RECORDED, root)
        for folder, _, files in os.walk(root):
            for file in set(files) & {"limit_bytes", "soft_limit_bytes", "shrink", "fail_nth"}:
                os.remove(os.path.join(folder, file))
        for verb in (["stats"], ["metrics"], ["report"], ["top", "-n", "1"], ["validate"]):
            self.tool(*verb, root=root)


class Heaps(Case):
    def test_no_such_heap(self):
        for name in ("nobody", "..", ".", "", "demo/../strtab", "/etc", "../heaps/demo"):
            for verb in ("stats", "classes", "map"):
                self.refused("there is no heap .*; there are: default, demo,", verb, "--", name)

    def test_no_copy(self):
        self.refused("/nowhere is no copy of .*: it has no file stats", "stats", root="/nowhere")
        self.refused("is no copy of", "top", root=os.path.join(RECORDED, "stats"))

    def test_vanishes_before(self):
        opened = Tree(self.copy())
        heap = opened.heap("demo")
        shutil.rmtree(heap.path)
        for read in (heap.stats, heap.classes, heap.arenas, heap.spans):
            with self.assertRaisesRegex(Vanished, "heap demo went while it was read"):
                read()
        self.assertEqual(heap.identity(), None)

    def test_vanishes_in_the_middle(self):
        """debugfs answers EIO once the files are removed."""
        heap = Tree(self.copy()).heap("demo")

        def read(path):
            shutil.rmtree(heap.path)
            raise OSError(errno.EIO, "Input/output error")

        with mock.patch.object(tree, "_contents", read), \
                self.assertRaisesRegex(Vanished, "heap demo went while it was read"):
            heap.spans()

    def test_error_of_a_heap_that_is_there(self):
        heap = Tree(self.copy()).heap("demo")
        for number, what in ((errno.ENOMEM, "Cannot allocate memory"), (errno.EIO, "Input/output"),
                             (errno.EACCES, "no permission")):
            error = OSError(number, os.strerror(number))
            with mock.patch.object(tree, "_contents", side_effect=error):
                with self.assertRaisesRegex(ToolError, "heap demo: stats: " + what) as caught:
                    heap.stats()
                self.assertNotIsInstance(caught.exception, Vanished)

    def test_others_are_shown_when_one_goes(self):
        opened = Tree(self.copy())
        heaps = opened.heaps()
        shutil.rmtree(heaps[1].path)
        with mock.patch.object(opened, "heaps", lambda: heaps):
            found = opened.each(lambda heap: heap.stats())
        self.assertEqual([heap.name for heap, _ in found], [n for n in HEAPS if n != "demo"])

    def test_a_heap_without_a_file(self):
        root = self.copy()
        os.remove(os.path.join(root, "heaps/demo/spans"))
        self.refused("heap demo: spans: No such file", "map", "demo", root=root)
        self.refused("heap demo: spans: No such file", "report", root=root)

    def test_cut_off_files(self):
        root = self.copy()
        for file in ("stats", "heaps/strtab/stats", "heaps/strtab/classes", "heaps/strtab/arenas"):
            path = os.path.join(root, file)
            size = os.path.getsize(path)
            os.truncate(path, size - 3)
            self.refused("cut off", "report", root=root)
            shutil.copy(os.path.join(RECORDED, file), path)
        self.tool("report", root=root)


class Abi(Case):
    def abi(self, text):
        root = os.path.join(self.folder, "%d" % len(os.listdir(self.folder)))
        shutil.copytree(RECORDED, root)
        with open(os.path.join(root, "abi"), "w", encoding="ascii") as file:
            file.write(text)
        return root

    def test_of_a_module_without_it(self):
        self.assertEqual(self.tool("abi"), "1\n")

    def test_known(self):
        self.assertEqual(self.tool("abi", root=self.abi("1\n")), "1\n")
        self.tool("stats", root=self.abi("1\n\n"))

    def test_of_another_version(self):
        self.refused("formats of version 2, and this tool reads version 1", "stats",
                     root=self.abi("2\n"))

    def test_that_is_no_number(self):
        for text in ("", "one\n", "-1\n"):
            self.refused("abi: no number", "stats", root=self.abi(text))


if __name__ == "__main__":
    unittest.main()
