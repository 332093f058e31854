# SPDX-License-Identifier: GPL-2.0
"""inject, with a kernel that is a folder, and a client that is a script."""
import os
import unittest
from unittest import mock

from common import FEW, RECORDED, Case
from profiles import text
from kmheap_insight import tree
from kmheap_insight.verbs import inject

# Allocates at three places; the second one is not looked at, and the third leaves an object.
CLIENT = """#!/bin/sh
if [ -d "$1/heaps/$2" ]; then at=$1/heaps/$2/; else at=$3/parameters/heap_; fi
file=${at}fail_nth
n=$(cat "$file")
head -n 1 "${at}fail_gfp" >>"$3/gfps" 2>/dev/null
i=0
for name in first second third; do
    i=$((i + 1))
    [ "$i" = "$n" ] || continue
    echo 0 >"$file"
    {
        echo "6,1,1,-;kmheap: heap other:   elsewhere+0x1/0x2"
        echo "6,1,1,-;kmheap: heap $2: an allocation of $((i * 1000)) bytes gets nothing, as"
        echo "6,1,1,-;kmheap: heap $2:   $name+0x1a/0x30 [client]"
        echo " SUBSYSTEM=module"
        echo "6,1,1,-;kmheap: heap $2:   client_init+0x1/0x2 [client]"
        echo "6,1,1,-;something else"
        echo "6,1,1,-;kmheap: heap $2:   no_frame_of_it+0x1/0x2"
    } >>"$4"
    case $i in
    1) exit 3 ;;
    2) echo "4,1,1,-;BUG: kernel NULL pointer dereference, address: 0" >>"$4"; kill -9 $$ ;;
    3) echo "4,1,1,-;kmheap: heap $2 destroyed with 1 live objects of 64 bytes" >>"$4"; exit 1 ;;
    esac
done
"""

# insmod of a client whose init was recorded: the log of the run in which the N-th allocation failed.
INSMOD = """#!/bin/sh
n=$(cat "$1/parameters/heap_fail_nth")
[ ! -e "$2/$n" ] || cat "$2/$n" >>"$3"
exit $(awk -v n="$n" '$1 == n { print $2 }' "$2/status")
"""


class Inject(Case):
    def setUp(self):
        super().setUp()
        os.makedirs(os.path.join(self.folder, "debug"))
        root = os.path.join(self.folder, "debug", "kmheap")
        os.rename(self.copy(), root)
        self.module = os.path.join(self.folder, "module")
        os.makedirs(os.path.join(self.module, "parameters"))
        self.param = os.path.join(self.module, "parameters", "heap_fail_nth")
        self.nth = os.path.join(root, "heaps", "strtab", "fail_nth")
        self.param_gfp = os.path.join(self.module, "parameters", "heap_fail_gfp")
        self.gfp = os.path.join(root, "heaps", "strtab", "fail_gfp")
        self.log = os.path.join(self.folder, "kmsg")
        for path, text in ((self.param, "0\n"), (self.nth, "0\n"), (self.log, "4,1,1,-;BUG: old\n"),
                           (self.param_gfp, "any\n"), (self.gfp, "sleeping\n")):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
        self.client = os.path.join(self.folder, "client")
        with open(self.client, "w", encoding="ascii") as file:
            file.write(CLIENT)
        os.chmod(self.client, 0o755)
        for where, name, value in ((tree, "DEBUGFS", os.path.join(self.folder, "debug")),
                                   (inject, "MODULE", self.module), (inject, "LOG", self.log)):
            patch = mock.patch.object(where, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def inject(self, heap, *options, status=1):
        root = os.path.join(self.folder, "debug", "kmheap")
        return self.tool("inject", heap, *options, "--", self.client, root, heap, self.module,
                         self.log, root=None, status=status).splitlines()

    def contents(self, path):
        with open(path, encoding="ascii") as file:
            return file.readline()

    def test_a_heap_that_is_there(self):
        lines = self.inject("strtab")
        self.assertEqual(lines[0], "strtab: 3 allocations failed, one in each run")
        self.assertEqual([line.split("  ")[-1] for line in lines[2:5]],
                         [name + " < client_init" for name in ("first", "second", "third")])
        self.assertEqual([line.split()[:5] for line in lines[2:5]],
                         [["1", "exit", "3", "1,000", "0"], ["2", "signal", "9", "2,000", "1"],
                          ["3", "exit", "1", "3,000", "1"]])
        self.assertEqual(lines[5:], [
            "2: BUG: kernel NULL pointer dereference, address: 0",
            "3: kmheap: heap strtab destroyed with 1 live objects of 64 bytes"])
        self.assertEqual(self.contents(self.nth), "0\n")
        self.assertEqual(self.contents(self.param), "0\n")

    def with_profile(self, failed, **more):
        """A profile of strtab: what has failed in the runs, what has not, and what FAILED says."""
        stacks = [(["%s+0x1a/0x30 [client]" % name, "client_init+0x1/0x2 [client]"], counts)
                  for name, counts in (("first", (1, 64, 9, 576)), ("second", (1, 64, 5, 320)),
                                       ("late", (2, 128, 1234, 78976)), ("rare", (0, 0, 1, 64)))]
        heap = os.path.join(self.folder, "debug", "kmheap", "heaps", "strtab")
        for name, contents in (("profile", text(stacks, **more)), ("failed", text(
                [(stack, (failed,)) for stack, _ in stacks[3:]], kind="failed", columns=("failed",)))):
            with open(os.path.join(heap, name), "w", encoding="ascii") as file:
                file.write(contents)

    def test_call_sites_that_were_never_failed(self):
        """Of a heap that is profiled: neither in the runs nor, as the file failed says, before."""
        plain = self.inject("strtab")
        self.with_profile(failed=0)
        lines = self.inject("strtab")
        self.assertEqual(lines[:len(plain)], plain)
        self.assertEqual([line.split() for line in lines[len(plain):]],
                         ["never failed: 2 call sites of the heap's profile".split(),
                          ["allocs", "site"], "1,234 late < client_init".split(),
                          "1 rare < client_init".split()])
        self.with_profile(failed=3)
        self.assertEqual(self.inject("strtab")[len(plain):][-1].split()[1], "late")
        heap = os.path.join(self.folder, "debug", "kmheap", "heaps", "strtab")
        self.change(os.path.join(heap, "profile"), r"(?s)site 2 .*?(?=site 3)", "")
        self.assertEqual(self.inject("strtab")[len(plain):],
                         ["every call site of the heap's profile has been failed"])
        self.with_profile(failed=0, period=0)
        self.assertEqual(self.inject("strtab"), plain)

    def test_a_heap_that_the_command_makes(self):
        lines = self.inject("coming")
        self.assertEqual(lines[0], "coming: 3 allocations failed, one in each run")
        self.assertEqual(self.contents(self.param), "0\n")

    def test_a_recorded_client(self):
        """fail_client on 6.12, whose init allocates 13 times, and forgets an object where the
        seventh gets nothing."""
        recorded = os.path.join(FEW, "inject")
        with open(self.client, "w", encoding="ascii") as file:
            file.write(INSMOD)
        lines = self.tool("inject", "fails", "--", self.client, self.module, recorded, self.log,
                          root=None, status=1).splitlines()
        self.assertEqual(lines[0], "fails: 13 allocations failed, one in each run")
        rows = [line.split() for line in lines[2:15]]
        self.assertEqual([row[:3] for row in rows],
                         [[str(n), "exit", "1"] for n in range(1, 14)])
        makes = ["list"] + 5 * ["tables"] + ["text", "buffer"] + 5 * ["all"]
        self.assertEqual([row[5] for row in rows], ["fail_make_" + name for name in makes])
        sizes = ["64"] + 4 * ["1,024"] + ["208", "8", "100,000"] + 5 * ["32"]
        self.assertEqual([row[3] for row in rows], sizes)
        self.assertEqual([row[4] for row in rows], 6 * ["0"] + ["1"] + 6 * ["0"])
        self.assertEqual(lines[15:], ["7: kmheap: heap fails destroyed with 1 live objects of 1024 "
                                      "bytes (owner fail_client)"])

    def gfps(self):
        """What counted in each of the runs."""
        with open(os.path.join(self.module, "gfps"), encoding="ascii") as file:
            return file.read().split()

    def test_of_some_callers(self):
        """Where the option says nothing, what the heap's file says stays."""
        self.inject("strtab")
        self.assertEqual(self.gfps(), 4 * ["sleeping"])
        self.inject("strtab", "--gfp", "atomic")
        self.assertEqual(self.gfps()[4:], 4 * ["atomic"])
        self.assertEqual(self.contents(self.gfp), "sleeping\n")
        self.assertEqual(self.contents(self.param_gfp), "any\n")

    def test_of_some_callers_and_a_heap_that_the_command_makes(self):
        self.inject("coming", "--gfp", "sleeping")
        self.assertEqual(self.gfps(), 4 * ["sleeping"])
        self.assertEqual(self.contents(self.param_gfp), "any\n")
        self.assertEqual(self.contents(self.param), "0\n")

    def test_of_some_callers_and_a_heap_that_stays(self):
        """The command makes the heap when nothing fails; it is then as if it had been made before."""
        heap = os.path.join(self.folder, "debug", "kmheap", "heaps", "coming")
        with open(self.client, "a", encoding="ascii") as file:
            file.write("mkdir %s; echo 0 >%s/fail_nth; echo atomic >%s/fail_gfp\n" % (heap, heap, heap))
        self.inject("coming", "--gfp", "atomic")
        self.assertEqual(self.contents(os.path.join(heap, "fail_gfp")), "any\n")

    def test_of_a_module_that_is_older(self):
        os.remove(self.param_gfp)
        self.inject("coming", status=1)
        self.refused("heap_fail_gfp: ", "inject", "coming", "--gfp", "atomic", "--", "true", root=None)

    def test_it_gives_up(self):
        lines = self.inject("strtab", "--most", "1", status=0)
        self.assertEqual(lines[0],
                         "strtab: 1 allocations failed, one in each run; there may be more")

    def test_what_cannot_be(self):
        self.refused("there is no command", "inject", "strtab", root=None)
        self.refused("there is no command", "inject", "strtab", "--", root=None)
        self.refused("/nowhere: No such file", "inject", "strtab", "--", "/nowhere", root=None)
        self.refused("--help: No such file", "inject", "strtab", "--", "--help", root=None)
        self.refused("argument --gfp", "inject", "strtab", "--gfp", "GFP_ATOMIC", "--", "true", root=None)
        self.assertEqual(self.contents(self.nth), "0\n")
        self.refused("--root names a copy", "inject", "strtab", "--", "true", root=RECORDED)
        os.remove(self.param)
        self.refused("heap_fail_nth: ", "inject", "coming", "--", "true", root=None)


if __name__ == "__main__":
    unittest.main()
