# SPDX-License-Identifier: GPL-2.0
"""The folder of files that is read: the module's in debugfs, or a copy of it.

Everything that can go wrong with it ends as a ToolError of one line. Only files are read that may
also be read when the kernel is locked down: those of mode 0444 and 0400. Four are written, when
somebody asks for it: profile_period_bytes, mark, fail_nth and fail_gfp.
"""
import errno
import os
import platform

from . import ABI, leaks, profiletext, text
from .text import text_of

DEBUGFS = "/sys/kernel/debug"
MODULE = "/sys/module/kmheap"
PROFILES = ("profile", "profile_since", "profile_peak", "lifetimes", "pins", "failed")


class ToolError(Exception):
    """What the person is told, in one line."""


class Vanished(ToolError):
    """The heap was destroyed before all of it had been read."""


class NoProfile(ToolError):
    """The heap has no such file, as before there were profiles, or this user may not see it."""


def _contents(path):
    with open(path, "rb") as file:
        return file.read().decode("ascii", "replace")


class Heap:
    """A heap that was there when the folder was listed. It may go at any moment."""

    def __init__(self, tree, name):
        self.tree = tree
        self.name = name
        self.path = os.path.join(tree.root, "heaps", name)

    def _read(self, file, parse):
        what = "heap %s: %s" % (text_of(self.name), file)
        try:
            contents = _contents(os.path.join(self.path, file))
        except OSError as error:
            self._gone(error)
            if file in PROFILES and error.errno == errno.ENOENT:
                raise NoProfile("%s: there is no such file: the module is older than heap "
                                "profiles" % what) from None
            if file in PROFILES and error.errno in (errno.EPERM, errno.EACCES):
                raise NoProfile("%s: no permission: it takes CAP_SYSLOG" % what) from None
            raise ToolError("%s: %s" % (what, why(error))) from None
        return parse(what, contents)

    def _gone(self, error):
        if error.errno in (errno.ENOENT, errno.EIO, errno.ENODEV) and \
                not os.path.isdir(self.path):
            raise Vanished("heap %s went while it was read" % text_of(self.name)) from None

    def stats(self):
        return self._read("stats", text.stats)

    def classes(self):
        return self._read("classes", text.classes)

    def arenas(self):
        return self._read("arenas", text.arenas)

    def spans(self):
        return self._read("spans", text.spans)

    def profile(self, file="profile"):
        """The profiletext.Profile of the file profile, profile_since or profile_peak."""
        return self._read(file, profiletext.parse)

    def is_profiled(self):
        """Is it, now? Nobody can tell where the kernel is locked down, as the file is one that is written."""
        try:
            return _contents(os.path.join(self.path, "profile_period_bytes")).strip() not in ("", "0")
        except OSError as error:
            self._gone(error)
            return False

    def failed(self):
        """The same of the file failed: which call sites got nothing, on purpose."""
        return self._read("failed", profiletext.failed)

    def lifetimes(self):
        return self._read("lifetimes", profiletext.lifetimes)

    def pins(self):
        return self._read("pins", profiletext.pins)

    def write(self, file, word, reasons):
        """Write WORD to a file of the running module. REASONS: what an errno means there."""
        what = "heap %s: %s" % (text_of(self.name), file)
        try:
            with open(os.path.join(self.path, file), "wb", buffering=0,
                      opener=lambda path, _: os.open(path, os.O_WRONLY)) as out:
                out.write(word.encode("ascii") + b"\n")
        except OSError as error:
            self._gone(error)
            if error.errno == errno.ENOENT:
                raise NoProfile("%s: there is no such file: the module is older than heap "
                                "profiles" % what) from None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise ToolError("%s: no permission: only root may write, and nobody while the "
                                "kernel is locked down" % what) from None
            raise ToolError("%s: %s" % (what, reasons.get(error.errno, why(error)))) from None

    def identity(self):
        """Differs from that of every other heap, also of a later one with the same name."""
        try:
            return os.stat(self.path).st_ino
        except OSError:
            return None


class Tree:
    def __init__(self, root=None):
        self.live = root is None
        self.root = os.path.join(DEBUGFS, "kmheap") if self.live else root
        try:
            os.stat(os.path.join(self.root, "stats"))
        except OSError as error:
            raise ToolError(self._why_not(error)) from None
        abi = self.abi()
        if abi is not None and abi != ABI:
            raise ToolError("the files have the formats of version %s, and this tool reads "
                            "version %d" % (abi, ABI))

    def _why_not(self, error):
        if not self.live:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return "%s is no copy of %s/kmheap: it has no file stats" % (
                    text_of(self.root), DEBUGFS)
            return "%s: %s" % (text_of(self.root), why(error))
        if error.errno in (errno.EACCES, errno.EPERM):
            return "no permission to read %s: only root may" % self.root
        if not os.path.ismount(DEBUGFS):
            return "debugfs is not mounted; root mounts it: mount -t debugfs debugfs " + DEBUGFS
        if not os.path.isdir(MODULE):
            return "the module kmheap is not loaded"
        return "the module kmheap is loaded, and has no files in %s: %s" % (self.root, why(error))

    def read(self, file):
        try:
            return _contents(os.path.join(self.root, file))
        except OSError as error:
            raise ToolError("%s: %s" % (file, why(error))) from None

    def abi(self):
        """The version of the formats as the module says it; None: the module does not say it."""
        try:
            word = _contents(os.path.join(self.root, "abi")).strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ToolError("abi: %s" % why(error)) from None
        if not word.isdigit():
            raise ToolError("abi: no number: %.40r" % word)
        return int(word)

    def stats(self):
        return text.stats("stats", self.read("stats"))

    def heaps(self):
        try:
            names = os.listdir(os.path.join(self.root, "heaps"))
        except OSError as error:
            raise ToolError("heaps: %s" % why(error)) from None
        return [Heap(self, name) for name in sorted(names)]

    def reports(self):
        """Names of what heaps have left behind; none where the module is older."""
        try:
            return sorted(os.listdir(os.path.join(self.root, "reports")))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return []
            raise ToolError("reports: %s" % why(error)) from None

    def report(self, name):
        """The leaks.Report of that name."""
        if name not in self.reports():
            raise ToolError("there is no report %s; there are: %s" % (
                text_of(name), ", ".join(map(text_of, self.reports())) or "none"))
        what = "report %s" % text_of(name)
        try:
            return leaks.Report(what, _contents(os.path.join(self.root, "reports", name)))
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                raise ToolError("%s: no permission: it takes root, and CAP_SYSLOG" % what) from None
            raise ToolError("%s: %s" % (what, why(error))) from None

    def heap(self, name):
        heap = Heap(self, name)
        if not name or "/" in name or name.startswith(".") or not os.path.isdir(heap.path):
            raise ToolError("there is no heap %s; there are: %s" % (
                text_of(name), ", ".join(text_of(heap.name) for heap in self.heaps()) or "none"))
        return heap

    def each(self, read):
        """[(heap, read(heap))] for all heaps; those that go meanwhile are left out."""
        found = []
        for heap in self.heaps():
            try:
                found.append((heap, read(heap)))
            except Vanished:
                pass
        return found

    def kernel(self):
        """The release of the kernel that the files are of, if that is known."""
        if self.live:
            return platform.release()
        try:
            for line in _contents(os.path.join(self.root, "recorded")).splitlines():
                if line.startswith("kernel "):
                    return line[7:]
        except OSError:
            pass
        return None


def why(error):
    if error.errno in (errno.EACCES, errno.EPERM):
        return "no permission"
    return error.strerror or str(error)
