#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""python3 tools/tests [PATTERN...]: the tests of the tool, with KTAP on stdout.

A PATTERN is part of a test's name.
"""
import faulthandler
import os
import sys
import traceback
import unittest

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(here), here]
sys.dont_write_bytecode = True


class Ktap(unittest.TestResult):
    """A line for each test, and the reason below a failure. A test that is skipped has failed:
    what tests need is installed before."""

    number = 0

    def startTest(self, test):
        super().startTest(test)
        faulthandler.dump_traceback_later(PATIENCE, exit=True)

    def line(self, test, reason=None):
        self.number += 1
        name = test.id().removeprefix("test_").replace(".", ": ", 1)
        print("%s %d %s" % ("not ok" if reason else "ok", self.number, name), flush=True)
        for text in (reason or "").splitlines()[-25:]:
            print("# " + text)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.line(test, "".join(traceback.format_exception(*err)))

    def addError(self, test, err):
        super().addError(test, err)
        self.line(test, "".join(traceback.format_exception(*err)))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.failures.append((test, reason))
        self.line(test, "skipped: " + reason)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.line(subtest, "".join(traceback.format_exception(*err)))


# No test takes a tenth of this, on a busy host either: what takes longer hangs, and says where.
PATIENCE = 100


def all_cases(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from all_cases(test)
        else:
            yield test


def main(patterns):
    # Those that need more than this folder has: scripts/check-core, check-pprof, check-readers,
    # check-browser.
    which = ("dumped.py" if "KMHEAP_DUMP" in os.environ else
             "pprofed.py" if "KMHEAP_PPROF" in os.environ else
             "npmread.py" if "KMHEAP_READERS" in os.environ else
             "browsed.py" if "KMHEAP_BROWSER" in os.environ else "test*.py")
    suite = unittest.defaultTestLoader.discover(here, which)
    cases = [case for case in all_cases(suite)
             if not patterns or any(pattern in case.id() for pattern in patterns)]
    print("KTAP version 1\n1..%d" % len(cases), flush=True)
    result = Ktap()
    unittest.TestSuite(cases).run(result)
    return 0 if result.wasSuccessful() and cases else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
