#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""ktap.py STEP: read KTAP or TAP from stdin, echo it, judge it.

Writes STEP.ktap (the text) and STEP.json (passed, failed, the names of the
failures) into the results folder. Only innermost results count. It is a failure
when a plan is not kept, when a suite fails with no failing case in it, and when
there is no result at all: silence never passes. "# vm: once more" takes back what has come
since the last document began: that guest is started again.

ktap.py --summary STEP...: add up, name every failing case, end with
"N passed, N failed", after what the scripts that gave up have said. A step without
a judgement counts as one failure. How long each step took, and what for, is what the
scripts have noted in STEP.times.
"""
import copy
import json
import os
import re
import sys
import time

RESULT = re.compile(r"^(\s*)(not )?ok (\d+)(?: -)?\s*(.*?)(?:\s+#\s*(SKIP|TODO)\b.*)?$")
PLAN = re.compile(r"^(\s*)1\.\.(\d+)")
VERSION = re.compile(r"^(\s*)K?TAP version")
NOTHING = "no test ran"
GAVE_UP = re.compile(r"^(vm|module|setup|initramfs|sparse|kernel[a-z-]*|check-[a-z]*): ")
MOST_WORDS = 15
SLOWEST = 10
ONCE_MORE = "# vm: once more"
SUBTEST = re.compile(r"^\s*# Subtest: (.*)")


class Level:
    """One depth of nesting: what it promised and what came."""

    def __init__(self, indent):
        self.indent = indent
        self.planned = None
        self.seen = 0
        self.failed_before = 0


class Judge:
    def __init__(self):
        self.passed = 0
        self.skipped = 0
        self.failures = []
        self.levels = []
        self.subtest = ""
        self.before = None

    def fail(self, name):
        self.failures.append(name)

    def close(self, level):
        """The end of one document: was its plan kept?"""
        if level.planned is not None and level.planned != level.seen:
            where = " (in %s)" % self.subtest if self.subtest else ""
            self.fail("plan of %d results, %d came%s" % (level.planned, level.seen, where))

    def close_to(self, indent):
        """Closes what is nested deeper than indent; True if there was anything."""
        nested = None
        while self.levels and self.levels[-1].indent > indent:
            nested = self.levels.pop()
            self.close(nested)
        return nested

    def level(self, indent):
        if not self.levels or self.levels[-1].indent < indent:
            level = Level(indent)
            level.failed_before = len(self.failures)
            self.levels.append(level)
        return self.levels[-1]

    def version(self, indent):
        self.close_to(indent)
        if self.levels and self.levels[-1].indent == indent:
            self.close(self.levels.pop())
        if not indent:
            self.before = None
            self.before = copy.deepcopy(self.__dict__)
        self.level(indent)

    def once_more(self):
        if self.before:
            self.__dict__.update(copy.deepcopy(self.before))

    def plan(self, indent, count):
        self.close_to(indent)
        self.level(indent).planned = count

    def result(self, indent, bad, name, skip):
        nested = self.close_to(indent)
        self.level(indent).seen += 1
        if nested and nested.seen:
            # A suite: its cases have been counted.
            if bad and len(self.failures) == nested.failed_before:
                self.fail(name)
        elif bad:
            self.fail("%s: %s" % (self.subtest, name) if self.subtest and indent else name)
        elif skip:
            self.skipped += 1
        else:
            self.passed += 1

    def line(self, text):
        if text == ONCE_MORE:
            return self.once_more()
        match = SUBTEST.match(text)
        if match:
            self.subtest = match.group(1)
        match = VERSION.match(text)
        if match:
            return self.version(len(match.group(1)))
        match = PLAN.match(text)
        if match:
            return self.plan(len(match.group(1)), int(match.group(2)))
        match = RESULT.match(text)
        if match:
            self.result(len(match.group(1)), match.group(2), match.group(4), match.group(5))

    def end(self):
        self.close_to(-1)
        if not self.passed and not self.failures:
            self.fail(NOTHING)


def results_dir():
    return os.environ["KMHEAP_RESULTS"]


def judge(step):
    base = os.path.join(results_dir(), step)
    verdict = Judge()
    took = []
    before = time.monotonic()
    with open(base + ".ktap", "w", encoding="utf-8") as keep:
        for raw in sys.stdin.buffer:
            text = raw.decode("utf-8", "replace").rstrip("\r\n")
            keep.write(text + "\n")
            keep.flush()
            print("[%s] %s" % (step, text), flush=True)
            verdict.line(text)
            match = RESULT.match(text) or VERSION.match(text)
            if match and not match.group(1):
                now = time.monotonic()
                if match.re is RESULT:
                    took.append((round(now - before), match.group(4)))
                before = now
    verdict.end()
    with open(base + ".json", "w", encoding="utf-8") as out:
        json.dump({"passed": verdict.passed, "skipped": verdict.skipped,
                   "failures": verdict.failures, "took": sorted(took)[-SLOWEST:]}, out)
    return 1 if verdict.failures else 0


def read_step(step):
    """Passed, skipped and failures of a step; the runner's own status is in STEP.status."""
    base = os.path.join(results_dir(), step)
    try:
        with open(base + ".json", encoding="utf-8") as result:
            found = json.load(result)
    except (OSError, ValueError):
        found = {"passed": 0, "skipped": 0, "failures": ["gave no result"]}
    try:
        with open(base + ".status", encoding="utf-8") as status:
            rc = status.read().strip()
    except OSError:
        rc = "missing"
    if rc != "0":
        words = last_words(base)
        if not words:
            words = ["ended with status %s, see %s.log" % (rc, base)] + last_lines(base)
        found["words"] = words[:MOST_WORDS]
        if found["failures"] in ([], [NOTHING]):
            found["failures"] = words[:1]
    return found


def last_words(base):
    """The script that gave up last: what it said, and what it shows of the guest below that."""
    words = []
    try:
        with open(base + ".log", encoding="utf-8", errors="replace") as log:
            for line in log:
                if GAVE_UP.match(line):
                    words = []
                elif not words or not line.startswith("    "):
                    continue
                words.append(line.rstrip())
    except OSError:
        pass
    return words


def last_lines(base):
    """What was said before the end, where no script says why it gave up."""
    try:
        with open(base + ".log", encoding="utf-8", errors="replace") as log:
            return ["    " + line.rstrip() for line in log.readlines()[1 - MOST_WORDS:]]
    except OSError:
        return []


def read_times(step):
    """Seconds of a step: in all, and by what for."""
    spent = {}
    try:
        with open(os.path.join(results_dir(), step) + ".times", encoding="utf-8") as times:
            for line in times:
                what, seconds = line.split()
                spent[what] = spent.get(what, 0) + int(seconds)
    except (OSError, ValueError):
        pass
    return spent


def row(step, found, spent):
    columns = ["%6d" % spent[what] if what in spent else "     -"
               for what in ("all", "kernels", "modules", "guests")]
    return "%-20s %7d %7d %8d %s" % (step, found["passed"], len(found["failures"]),
                                     found["skipped"], " ".join("%8s" % c for c in columns))


def summary(steps):
    passed = failed = 0
    names = []
    words = []
    took = []
    print()
    print("%-20s %7s %7s %8s %8s %8s %8s %8s" % ("step", "passed", "failed", "skipped", "seconds",
                                                 "kernels", "modules", "guests"))
    for step in steps:
        found = read_step(step)
        print(row(step, found, read_times(step)))
        passed += found["passed"]
        failed += len(found["failures"])
        names += ["FAILED %s: %s" % (step, name) for name in found["failures"]]
        words += found.get("words", [])
        took += [(seconds, step, name) for seconds, name in found.get("took", [])]
    print("\nslowest:")
    for seconds, step, name in sorted(took, reverse=True)[:SLOWEST]:
        if seconds:
            print("%-20s %7d s  %s" % (step, seconds, name))
    sys.stdout.flush()
    for line in words + names:
        print(line, file=sys.stderr)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "--summary":
        sys.exit(summary(sys.argv[2:]))
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(judge(sys.argv[1]))
