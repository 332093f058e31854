# SPDX-License-Identifier: GPL-2.0
"""Figures for Prometheus, in its text format 0.0.4."""
import json
import re

from .. import figures, serve
from ..output import replace
from ..tree import ToolError, Tree, text_of, why

HELP = "figures of all heaps for Prometheus"
EXAMPLE = """kmheap metrics -o /var/lib/prometheus/node-exporter/kmheap.prom
      for the textfile collector of node_exporter, say once a minute from cron"""

SECONDS = 1e9


def arguments(p):
    p.add_argument("-o", metavar="FILE", dest="output",
                   help="write FILE, which is replaced at once when all is there")
    p.add_argument("--listen", metavar="ADDRESS:PORT", type=serve.address,
                   help="serve them at http://ADDRESS:PORT/metrics until interrupted; nobody "
                        "is asked for a password")
    p.add_argument("--json", action="store_true",
                   help="the figures of stats under their own names, as JSON")


def escaped(value):
    """A label's value as the format wants it."""
    return value.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n")


def labels(pairs):
    inner = ",".join("%s=\"%s\"" % (name, escaped(value)) for name, value in pairs)
    return "{%s}" % inner if inner else ""


class Family:
    """A metric: its name, its type, and its samples."""

    def __init__(self, prefix, name, kind, what):
        self.nanoseconds = kind == figures.NANOSECONDS
        if self.nanoseconds:
            name, kind = name.removesuffix("_ns") + "_seconds", figures.GAUGE
        if kind == figures.COUNTER:
            name += "_total"
        self.name, self.kind, self.what = prefix + name, kind, what
        self.samples = []

    def add(self, pairs, value):
        if self.nanoseconds:
            value /= SECONDS
        self.samples.append("%s%s %s" % (self.name, labels(pairs), value))

    def lines(self):
        if not self.samples:
            return []
        return ["# HELP %s %s" % (self.name, self.what),
                "# TYPE %s %s" % (self.name, self.kind)] + self.samples


def heap_families(heaps):
    """HEAPS: (name, stats) of each."""
    owned = [((("heap", name), ("owner", text_of(stats.owner))), stats) for name, stats in heaps]
    for name, (kind, what) in figures.HEAP.items():
        family = Family("kmheap_", name, kind, what)
        for pairs, stats in owned:
            if name in stats and not (name in figures.LIMITS and not stats[name]):
                family.add(pairs, stats[name])
        yield family
    for name, (kind, what) in figures.BY_CONTEXT.items():
        family = Family("kmheap_", name, kind, what)
        for pairs, stats in owned:
            for context in figures.CONTEXTS:
                if "%s_%s" % (name, context) in stats:
                    family.add(pairs + (("context", context),), stats["%s_%s" % (name, context)])
        yield family
    yield from unknown_families(owned)


def unknown_families(owned):
    """Lines of a later version of the module are handed on as they are, where their names are
    fit for it."""
    names = {name for _, stats in owned for name in stats if not figures.known(name)}
    for name in sorted(names):
        if re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name):
            family = Family("kmheap_unknown_", name, "untyped",
                            "Not known to this version of the tool")
            for pairs, stats in owned:
                if name in stats:
                    family.add(pairs, stats[name])
            yield family


def module_families(stats):
    for name, (kind, what) in figures.MODULE.items():
        family = Family("kmheap_module_", name, kind, what)
        if name in stats and not (name in figures.LIMITS and not stats[name]):
            family.add((), stats[name])
        yield family


def exposition(module, heaps):
    """The text: MODULE is the module's stats, HEAPS is (name, stats) of each heap."""
    lines = [line for family in module_families(module) for line in family.lines()]
    lines += [line for family in heap_families(heaps) for line in family.lines()]
    return "\n".join(lines) + "\n"


def as_json(module, heaps):
    return json.dumps({"module": module,
                       "heaps": {name: dict(stats, owner=stats.owner) for name, stats in heaps}},
                      indent=1) + "\n"


def listen(args):
    """Each request looks for the files anew: the module may come and go."""
    never_falling = serve.NeverFalling()

    def page():
        tree = Tree(args.root)
        pairs = tree.each(lambda heap: heap.stats())
        never_falling(pairs)
        return exposition(tree.stats(), [(text_of(heap.name), stats) for heap, stats in pairs])

    try:
        server = serve.server(args.listen, page)
    except OSError as error:
        raise ToolError("%s:%d: %s" % (*args.listen, why(error))) from None
    with server:
        server.serve_forever()


def run(args, tree):
    if args.listen:
        if args.output or args.json:
            raise ToolError("--listen goes with neither -o nor --json")
        return listen(args)
    heaps = [(text_of(heap.name), stats) for heap, stats in tree.each(lambda heap: heap.stats())]
    contents = (as_json if args.json else exposition)(tree.stats(), heaps)
    if args.output:
        replace(args.output, contents)
    else:
        print(contents, end="")
    return 0
