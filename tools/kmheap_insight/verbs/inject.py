# SPDX-License-Identifier: GPL-2.0
"""Runs a command again and again, and lets another allocation of a heap fail each time."""
import errno
import os
import re
import subprocess
import sys

from .. import sites, term
from ..tree import MODULE, Heap, ToolError, Vanished, text_of, why

HELP = "let each allocation of a command fail in turn"
EXAMPLE = """kmheap inject strtab -- ./test.sh
      runs test.sh with the first allocation of heap strtab failing, then with
      the second, and so on, until there is one that it does not come to
  kmheap inject strtab -- insmod strtab.ko
      the same of an init function, which makes the heap
  kmheap inject strtab --gfp atomic -- ./test.sh
      fails only allocations of callers that cannot sleep
  kmheap profile strtab --on 1; kmheap inject strtab -- ./test.sh
      says as well which call sites of the heap were never failed"""
LOG = "/dev/kmsg"
TAKES_COMMAND = True
MOST = 1000
GFPS = ("any", "atomic", "sleeping")
FAILED = re.compile(r"kmheap: heap (.*): an allocation of (\d+) bytes gets nothing, ")
FRAME = re.compile(r"kmheap: heap (.*):   (\S+)\+0x[0-9a-f]+/")
AMISS = re.compile(r"\b(?:BUG|WARNING|Oops|KASAN|UBSAN|general protection)\b|"
                   r"kmheap: heap .* destroyed with ")
REASONS = {errno.EINVAL: "the kernel refuses this number",
           errno.ENOMEM: "no memory for the table of sites, or a limit forbids it"}


def arguments(p):
    p.add_argument("heap", metavar="HEAP", help="its name; the heap need not be there yet")
    p.add_argument("--most", metavar="N", type=term.positive, default=MOST,
                   help="give up after so many runs; default %d" % MOST)
    p.add_argument("--gfp", choices=GFPS, metavar="CALLERS",
                   help="count allocations of callers that cannot sleep (atomic), of those that can "
                   "(sleeping), or of any; default: what fail_gfp of the heap says")
    p.usage = ("kmheap inject [-h] [--root DIR] [--most N] [--gfp CALLERS]\n"
               "                     HEAP -- COMMAND [ARGUMENT...]")


class Log:
    """The kernel's log from now on."""

    def __init__(self):
        try:
            self.fd = os.open(LOG, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise ToolError("%s: %s" % (LOG, why(error))) from None
        os.lseek(self.fd, 0, os.SEEK_END)

    def news(self):
        """The messages since the last time."""
        found = []
        while True:
            try:
                record = os.read(self.fd, 8192)
            except BlockingIOError:
                record = b""
            except BrokenPipeError:     # some were overwritten before they were read
                continue
            if not record:
                return found
            for line in record.decode("ascii", "replace").splitlines():
                if not line.startswith(" "):
                    found.append(text_of(line.partition(";")[2]))


class Run:
    """What came of one run: the allocation that failed, if one did, and what else is in the log."""

    def __init__(self, heap, status, log):
        self.status, self.stack, self.bytes = status, None, 0
        self.amiss = [line for line in log if AMISS.search(line)]
        inside = False
        for line in log:
            failed = FAILED.match(line)
            frame = FRAME.match(line)
            if failed and failed.group(1) == heap and self.stack is None:
                self.stack, self.bytes, inside = [], int(failed.group(2)), True
            elif inside and frame and frame.group(1) == heap:
                self.stack.append(frame.group(2))
            else:
                inside = False


class Setting:
    """A file of the heap, and the parameter that says what it is in heaps made from now on."""

    def __init__(self, tree, heap, name):
        self.tree, self.heap, self.name = tree, heap, name
        self.parameter = os.path.join(MODULE, "parameters", "heap_" + name)

    def set(self, word):
        """Of the heap, if it is there, and else of those that are made from now on."""
        if not self._set_heap(word):
            self.set_new(word)

    def set_new(self, word):
        try:
            with open(self.parameter, "wb", buffering=0,
                      opener=lambda path, _: os.open(path, os.O_WRONLY)) as out:
                out.write(word.encode("ascii") + b"\n")
        except OSError as error:
            raise ToolError("%s: %s" % (self.parameter, why(error))) from None

    def restore(self, new, heap):
        """What saved() has said. The heap may have been made meanwhile, or have gone."""
        self.set_new(new)
        self._set_heap(heap)

    def saved(self):
        """What it is now: of heaps made from now on, and of the heap, if that is there."""
        new = self._read(self.parameter)
        heap = os.path.join(self.tree.root, "heaps", self.heap, self.name)
        return new, self._read(heap) if self._there() else new

    @staticmethod
    def _read(path):
        try:
            with open(path, "rb") as file:
                return file.read().decode("ascii", "replace").strip()
        except OSError as error:
            raise ToolError("%s: %s" % (path, why(error))) from None

    def _there(self):
        return os.path.isdir(os.path.join(self.tree.root, "heaps", self.heap))

    def _set_heap(self, word):
        """False: there is no such heap."""
        try:
            self.tree.heap(self.heap).write(self.name, word, REASONS)
            return True
        except Vanished:
            return False
        except ToolError:
            if self._there():
                raise
            return False


class Switch:
    """Which allocation is to fail; with GFP only those of such callers count."""

    def __init__(self, tree, heap, gfp):
        self.nth = Setting(tree, heap, "fail_nth")
        self.gfp = Setting(tree, heap, "fail_gfp")
        self.wanted = gfp
        self.saved = self.gfp.saved() if gfp else None

    def set(self, n):
        if self.wanted:
            self.gfp.set(self.wanted)
        self.nth.set(str(n))

    def off(self):
        self.nth.restore("0", "0")
        if self.saved:
            self.gfp.restore(*self.saved)


def untried(tree, name, runs):
    """[(stack, Estimate)] of the call sites in the heap's profile at which no allocation has failed,
    neither in the RUNS nor before. None: the heap is not there, or has no profile that says it."""
    heap = Heap(tree, name)
    try:
        profile, failed = heap.profile(), heap.failed()
    except ToolError:
        return None
    if not profile.period:
        return None
    tried = {tuple(run.stack) for run in runs}
    tried |= {tuple(frame.function for frame in site.frames) for site in failed.sites
              if site.counts["failed"]}
    return [(stack, estimate) for stack, estimate in sites.ranked(profile, "allocs", False)
            if stack not in tried]


def untried_lines(found, paint, width):
    """What untried() has found."""
    if found is None:
        return []
    if not found:
        return ["every call site of the heap's profile has been failed"]
    table = [["allocs"]] + [[term.thousands(round(one.alloc_objects))] for _, one in found]
    return [paint("never failed: %s call sites of the heap's profile" % term.thousands(len(found)),
                  "bold")] + \
        sites.with_stacks(table, [stack for stack, _ in found], [False] * len(found), paint, width)


def row(n, run):
    ended = "exit %d" % run.status if run.status >= 0 else "signal %d" % -run.status
    return ["%d" % n, ended, term.thousands(run.bytes), "%d" % len(run.amiss)]


def run(args, tree):
    command = args.command
    if not command:
        raise ToolError("there is no command: kmheap inject HEAP -- COMMAND")
    if not tree.live:
        raise ToolError("inject changes the module that runs, and --root names a copy")
    switch, log = Switch(tree, args.heap, args.gfp), Log()
    runs = []
    try:
        for n in range(1, args.most + 1):
            switch.set(n)
            log.news()
            try:
                done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False)
            except OSError as error:
                raise ToolError("%s: %s" % (text_of(command[0]), why(error))) from None
            run_ = Run(args.heap, done.returncode, log.news())
            if run_.stack is None:
                break
            runs.append(run_)
    finally:
        switch.off()
    paint, width = term.Paint(sys.stdout), term.width(sys.stdout)
    print(paint("%s: %s allocations failed, one in each run%s" % (
        args.heap, term.thousands(len(runs)),
        "" if len(runs) < args.most else "; there may be more"), "bold"))
    if runs:
        table = [["n", "command", "bytes", "log"]] + [row(n, r) for n, r in enumerate(runs, 1)]
        print("\n".join(sites.with_stacks(table, [r.stack for r in runs],
                                          [not r.amiss for r in runs], paint, width)))
    for n, run_ in enumerate(runs, 1):
        for line in run_.amiss:
            print("%d: %s" % (n, line))
    for line in untried_lines(untried(tree, args.heap, runs), paint, width):
        print(line)
    return 1 if any(r.amiss for r in runs) else 0
