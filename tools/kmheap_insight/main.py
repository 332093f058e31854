# SPDX-License-Identifier: GPL-2.0
"""The command line: finds the verb, opens the tree, and says in one line what went wrong."""
import argparse
import importlib
import os
import pkgutil
import signal
import sys

from . import VERSION, text, tree, verbs

# The order of the list of verbs; others come behind these.
FIRST = ["top", "stats", "classes", "map", "profile", "flame", "mark", "diff", "lifetimes", "pins", "leaks", "inject",
         "advise", "core", "report", "metrics", "validate", "version", "abi"]


def verb_names():
    names = [module.name for module in pkgutil.iter_modules(verbs.__path__)]
    return sorted(names, key=lambda n: (FIRST.index(n) if n in FIRST else len(FIRST), n))


def verb(name):
    return importlib.import_module("kmheap_insight.verbs." + name)


def overview():
    lines = ["usage: kmheap VERB [--root DIR] [OPTION...]", "",
             "Shows the heaps of the kernel module kmheap.", ""]
    lines += ["  %-9s %s" % (name, verb(name).HELP) for name in verb_names()]
    return lines + ["", "\"kmheap VERB --help\" says more of each. Only root may read debugfs;",
                    "--root DIR reads a copy of /sys/kernel/debug/kmheap in DIR instead."]


class Parser(argparse.ArgumentParser):
    """argparse, with errors of one line."""

    def error(self, message):
        raise tree.ToolError("%s; \"%s --help\" says what there is" % (message, self.prog))


def parser(name):
    module = verb(name)
    p = Parser(
        prog="kmheap " + name, description=module.HELP + ".",
        epilog="example:\n  " + module.EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    p.add_argument("--root", metavar="DIR",
                   help="read a copy of /sys/kernel/debug/kmheap in DIR")
    module.arguments(p)
    return p


def split(words):
    """What is meant for the tool, and the command behind "--", whose options are its own."""
    if "--" not in words:
        return words, []
    end = words.index("--")
    return words[:end], words[end + 1:]


def fail(message):
    print("kmheap: " + message, file=sys.stderr)
    return 2


def run(argv):
    if not argv or argv[0] in ("-h", "--help", "help"):
        print("\n".join(overview()), file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    if argv[0] == "--version":
        print("kmheap " + VERSION)
        return 0
    if argv[0] not in verb_names():
        return fail("there is no verb %s; \"kmheap --help\" lists them" % tree.text_of(argv[0]))
    module = verb(argv[0])
    words, command = split(argv[1:]) if getattr(module, "TAKES_COMMAND", False) else (argv[1:], None)
    args = parser(argv[0]).parse_args(words)
    args.command = command
    needs_tree = getattr(module, "NEEDS_TREE", True)
    return module.run(args, tree.Tree(args.root) if needs_tree else None)


def main(argv):
    try:
        status = run(argv)
        sys.stdout.flush()
        return status
    except (tree.ToolError, text.FormatError) as error:
        return fail(str(error))
    except BrokenPipeError:
        # The reader of a pipe has seen enough. Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        return fail("%s: %s" % (tree.text_of(str(error.filename or "output")), tree.why(error)))
