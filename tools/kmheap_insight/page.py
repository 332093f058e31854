# SPDX-License-Identifier: GPL-2.0
"""The report: one HTML page of all heaps, with nothing in it that lies elsewhere."""
import html

from . import VERSION, figures, flame, heapmap, sites, term
from .text import PARTS
from .tree import NoProfile, text_of
from .verbs import classes, leaks, pins

# At most so many heaps have a section of their own, and a line in the table of heaps.
DETAILED = 24
LISTED = 500
# All pictures together: cells, and arenas.
CELLS = 24576
ARENAS = 1536
# Frames of all flame graphs together, and lines of each table of sites.
FRAMES = 1536
SITES = 10
# Call sites of each heap that ended with live objects.
LEAK_SITES = 5
MOST_BYTES = 1 << 20

PART_TEXTS = {"live_bytes": "in live objects and runs of pages",
              "free_bytes": "in free pages and free slots",
              "cached_bytes": "kept by CPUs and nodes to hand out again",
              "deferred_bytes": "freed, and waiting for a grace period",
              "waste_bytes": "lost by rounding and at ends",
              "metadata_bytes": "descriptors, tables, magazines"}

STYLE = """
:root{--ground:#fff;--ink:#1d1f21;--soft:#666a70;--rule:#d9dadd;--bad:#b3261e;--p0:#2b6cb0;
--p1:#c9ccd1;--p2:#0f8f8f;--p3:#c8641a;--p4:#b83280;--p5:#7b3fb5;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--ground:#15181c;--ink:#d8d8d8;--soft:#9aa0a6;
--rule:#363b41;--bad:#ff8a80;--p0:#63a4f4;--p1:#4a5058;--p2:#3fd0c9;--p3:#f2a05a;--p4:#f472b6;
--p5:#b98af0}}
@media print{:root{--ground:#fff;--ink:#000;--soft:#444;--rule:#bbb;--bad:#900;--p0:#2b6cb0;
--p1:#c9ccd1;--p2:#0f8f8f;--p3:#c8641a;--p4:#b83280;--p5:#7b3fb5}
section{break-inside:avoid-page}a{color:inherit;text-decoration:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
body{background:var(--ground);color:var(--ink);font:15px/1.45 sans-serif;margin:2em auto;
max-width:62em;padding:0 1em}
h1{font-size:1.6em;margin:0}h2{font-size:1.2em;margin:2.2em 0 .4em;border-top:1px solid var(--rule);
padding-top:.8em}h3{font-size:1em;margin:1.4em 0 .4em}
p.soft,td.soft,span.soft{color:var(--soft)}p.bad,td.bad,li.bad{color:var(--bad);font-weight:bold}
a{color:inherit}table{border-collapse:collapse;font-size:.88em;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.15em .7em;border-bottom:1px solid var(--rule);white-space:nowrap}
th{color:var(--soft);font-weight:normal}th:first-child,td:first-child,.l{text-align:left}
th.n,td.n{text-align:right}td.b{width:9em}td.wrap{white-space:normal}tr.sum td{font-weight:bold}
.wide{overflow-x:auto}.tiles{display:flex;flex-wrap:wrap;gap:.4em 2.4em;margin:1.2em 0}
.tiles div{font-size:1.5em}.tiles span{display:block;font-size:.55em;color:var(--soft)}
.bar{display:flex;height:1.1em;border-radius:3px;overflow:hidden;background:var(--rule)}
.big{height:1.7em;margin:.8em 0}
.bar i,.key{display:block;background:var(--p0)}.key{display:inline-block;width:.8em;height:.8em;
border-radius:2px;margin-right:.5em}
.p0{background:var(--p0)!important}.p1{background:var(--p1)!important}
.p2{background:var(--p2)!important}.p3{background:var(--p3)!important}
.p4{background:var(--p4)!important}.p5{background:var(--p5)!important}
.km{max-width:100%;height:auto}.km-key{width:12px;height:12px;vertical-align:-1px;margin-right:.4em}
"""


class Heap:
    """What the report shows of a heap. Only heaps with a section have classes and a picture, and
    those that were profiled a profile and what is held back."""

    def __init__(self, name, stats):
        self.name = text_of(name)
        self.stats = stats
        self.classes = self.picture = self.profile = self.pins = None


def escape(text):
    return html.escape(str(text))


def element(name, inside, **attributes):
    """INSIDE is HTML already. A trailing _ in an attribute's name is left out."""
    words = "".join(" %s=\"%s\"" % (key.rstrip("_"), escape(value))
                    for key, value in attributes.items() if value)
    return "<%s%s>%s</%s>" % (name, words, inside, name)


def row(cells, head=False, **attributes):
    """CELLS: HTML, or (HTML, class)."""
    pairs = [cell if isinstance(cell, tuple) else (cell, "") for cell in cells]
    return element("tr", "".join(element("th" if head else "td", inside, class_=name)
                                 for inside, name in pairs), **attributes)


def table(rows):
    return element("div", element("table", "\n".join(rows)), class_="wide")


def bar(stats, big=False):
    """The six parts of the footprint side by side."""
    whole = max(sum(stats[name] for name in PARTS), 1)
    parts = ["<i class=\"p%d\" style=\"width:%.2f%%\" title=\"%s: %s\"></i>" % (
        i, 100 * stats[name] / whole, name.removesuffix("_bytes"), term.bytes_text(stats[name]))
        for i, name in enumerate(PARTS) if stats[name] > 0]
    return element("div", "".join(parts), class_="bar big" if big else "bar")


def parts_table(stats):
    whole = stats["footprint_bytes"]
    rows = [row(["part", "bytes", "", "", ("", "l")], head=True)]
    for i, name in enumerate(PARTS):
        rows.append(row(["<span class=\"key p%d\"></span>%s" % (i, name.removesuffix("_bytes")),
                         term.thousands(stats[name]), term.bytes_text(stats[name]),
                         term.percent(stats[name], whole), (PART_TEXTS[name], "l soft")]))
    rows.append(row(["footprint", term.thousands(whole), term.bytes_text(whole), "",
                     ("taken from the kernel", "l soft")], class_="sum"))
    return table(rows)


def tiles(pairs):
    return element("div", "".join(element("div", "%s<span>%s</span>" % (value, what))
                                  for value, what in pairs), class_="tiles")


def findings(module, heaps, reports):
    """Sentences about what should not be."""
    found = []
    for name, report in reports if isinstance(reports, list) else []:
        found.append("%s: heap %s ended with %s live objects of %s" % (
            name, report.profile.heap, term.thousands(report.left_objects),
            term.bytes_text(report.left_bytes)))
    for name in ("double_frees", "invalid_frees", "wrong_size_frees"):
        if module[name]:
            where = ", ".join(heap.name for heap in heaps if heap.stats[name]) or \
                "no heap that still exists"
            found.append("%s: %s (%s). The log has the stacks." % (
                name, term.thousands(module[name]), where))
    for name, what in (("refused_allocs", "allocations got nothing"),
                       ("limit_refusals", "times a limit kept the heap from growing")):
        for heap in heaps:
            if heap.stats.get(name):
                found.append("%s: %s %s" % (heap.name, term.thousands(heap.stats[name]), what))
    if not found:
        return element("p", "No misuse, no refused allocation, no limit reached, no leak.", class_="soft")
    return element("ul", "".join(element("li", escape(text), class_="bad")
                                 for text in found[:50]))


def heaps_table(module, heaps):
    rows = [row(["heap", ("owner", "l"), "footprint", ("", "b"), "live", "objects", "allocs",
                 "misuse", "limit"], head=True)]
    for i, heap in enumerate(heaps[:LISTED]):
        stats = heap.stats
        name = escape(heap.name)
        if heap.classes is not None:
            name = "<a href=\"#heap-%d\">%s</a>" % (i, name)
        wrong, limit = figures.misuses(stats), stats.get("limit_bytes")
        rows.append(row([
            name, (escape(text_of(stats.owner)), "l"), term.bytes_text(stats["footprint_bytes"]),
            (bar(stats), "b"), term.bytes_text(stats["live_bytes"]),
            term.thousands(stats["live_objects"]), term.thousands(stats["allocs"]),
            (term.thousands(wrong), "bad" if wrong else ""),
            term.bytes_text(limit) if limit else "-"]))
    if len(heaps) > LISTED:
        rows.append(row(["and %d smaller ones" % (len(heaps) - LISTED)] + [""] * 8))
    shared = module["footprint_bytes"] - sum(heap.stats["footprint_bytes"] for heap in heaps)
    rows.append(row(["shared by all", "", term.bytes_text(shared)] + [""] * 6))
    rows.append(row(["all", "", term.bytes_text(module["footprint_bytes"]), (bar(module), "b"),
                     term.bytes_text(module["live_bytes"]), term.thousands(module["live_objects"]),
                     term.thousands(module["allocs"]), term.thousands(figures.misuses(module)),
                     ""], class_="sum"))
    return table(rows)


def classes_table(rows, below):
    lines = [row([("size", "n"), "spans", "live", "of slots", ("", "b"), "live bytes", "free bytes",
                  "deferred", "allocs", "refills"], head=True)]
    total_live = total_free = 0
    for c in rows:
        share = c["live"] / c["slots"] if c["slots"] else 0
        total_live += c["live_bytes"]
        total_free += c["free_bytes"]
        lines.append(row([
            ("packed" if c["class"] == 0 else term.thousands(c["size"]), "n"),
            term.thousands(c["spans"]),
            term.thousands(c["live"]), term.percent(c["live"], c["slots"]),
            ("<div class=\"bar\"><i style=\"width:%.1f%%\"></i></div>" % (100 * share), "b"),
            term.bytes_text(c["live_bytes"]), term.bytes_text(c["free_bytes"]),
            term.thousands(c["deferred"]), term.thousands(c["allocs"]),
            term.thousands(c["refills"])]))
    lines.append(row([("all", "n"), "", "", "", "", term.bytes_text(total_live),
                      term.bytes_text(total_free), "", "", ""], class_="sum"))
    words = ", ".join("%s %s" % (term.thousands(value), escape(name.replace("_", " ")))
                      for name, value in below.items())
    return table(lines) + element("p", words, class_="soft")


def key(picture):
    return element("p", " &nbsp; ".join(
        "<svg class=\"km km-key\" viewBox=\"0 0 1 1\"><path class=\"%s\" d=\"M0 .5h1\"/></svg>"
        "%s: %s" % (name, escape(what), term.thousands(pages))
        for _, name, what, pages in heapmap.legend(picture)), class_="soft")


def map_part(heap, cells, arenas):
    picture = heap.picture
    notes = ["Each cell is %s of 8 KiB; the fainter, the fewer of its slots are live." % (
        "a page" if picture.pages_per_cell(cells) == 1 else
        "%d pages" % picture.pages_per_cell(cells))]
    if not picture.exact:
        notes = ["How much is live is not shown, because the heap changed while it was read."]
    if len(picture.arenas) > arenas:
        notes.append("The first %d of %d arenas are drawn." % (arenas, len(picture.arenas)))
    return key(picture) + heapmap.svg(picture, "heap " + escape(heap.name), cells, arenas) + \
        element("p", " ".join(notes), class_="soft")


def profile_part(profile, frames):
    """The sites with most live bytes, each call of a function by itself, and the flame graph."""
    ranked = sites.ranked(profile, "live", True)
    parts = [element("h3", "Call sites"),
             element("p", escape(sites.heading(profile, "live")) + ".", class_="soft")]
    if ranked:
        first, *rest = sites.cells(profile, ranked[:SITES], "live")
        rows = [row([(first[0], "n")] + first[1:] + [("site", "l")], head=True)]
        rows += [row([(cells[0], "n")] + cells[1:] + [(escape(sites.stack_text(stack)), "l wrap")])
                 for cells, (stack, _) in zip(rest, ranked)]
        if len(ranked) > SITES:
            rows.append(row(["and %d more" % (len(ranked) - SITES)] + [""] * len(first)))
        parts += [table(rows), flame.svg(profile, frames)]
    parts += [element("p", escape(line), class_="bad") for line in sites.losses(profile)]
    return "\n".join(parts)


def pins_part(profile):
    """The sites whose objects hold back most, each call of a function by itself."""
    rows = pins.by_stack(profile, sites.frame_name(True))
    about = "" if profile.period == 1 else "~"

    def held(row):
        return [(about + term.bytes_text(round(row[1])), "n"), about + term.bytes_text(round(row[2])),
                about + term.thousands(round(row[0]))]

    parts = [element("h3", "Pins")]
    if not rows:
        return "\n".join(parts + [element("p", "Nothing is held back by few objects.",
                                          class_="soft")])
    parts.append(element("p", "Few objects of these call sites hold back what could go to the "
                         "kernel (arenas) or to other sizes (spans); the two are no sum.",
                         class_="soft"))
    lines = [row([("arenas", "n"), "spans", "objects", ("site", "l")], head=True)]
    lines += [row(held(line) + [(escape(sites.stack_text(stack)), "l wrap")])
              for stack, line in rows[:SITES]]
    if len(rows) > SITES:
        rest = [sum(line[i] for _, line in rows[SITES:]) for i in range(3)]
        lines.append(row(held(rest) + [("%d more" % (len(rows) - SITES), "l")]))
    lines.append(row(held([sum(line[i] for _, line in rows) for i in range(3)]) + [("all", "l")],
                     class_="sum"))
    return "\n".join(parts + [table(lines)])


def leak_part(name, report):
    """The sites of what one heap had left."""
    aged, about = report.by_stack(sites.frame_name(True)), "~" * (report.profile.period > 1)
    ranked = sites.ranked(report.profile, "live", True)
    parts = [element("h3", escape(name)),
             element("p", escape(leaks.heading(report)) + ".", class_="soft")]
    if ranked:
        lines = [row([("live", "n"), "objects", "age", ("site", "l")], head=True)]
        for stack, estimate in ranked[:LEAK_SITES]:
            lines.append(row([(about + term.bytes_text(round(estimate.live_bytes)), "n"),
                              about + term.thousands(round(estimate.live_objects)),
                              term.ages(*aged[stack][:2]),
                              (escape(sites.stack_text(stack)), "l wrap")]))
        if len(ranked) > LEAK_SITES:
            rest = ranked[LEAK_SITES:]
            lines.append(row([
                (about + term.bytes_text(round(sum(e.live_bytes for _, e in rest))), "n"),
                about + term.thousands(round(sum(e.live_objects for _, e in rest))), "",
                ("%d more" % len(rest), "l")]))
        parts.append(table(lines))
    parts += [element("p", escape(line) + ".", class_="soft") for line in leaks.unknown(report)]
    return "\n".join(parts)


def leaks_section(reports):
    """What heaps had left when they were destroyed: [(name, report)], the last heap first, or why
    that cannot be said."""
    head = element("h2", "Leaks")
    if isinstance(reports, str):
        return element("section", head + element("p", escape(reports), class_="bad"), id="leaks")
    if not reports:
        return element("section", head + element(
            "p", "No heap has ended with live objects.", class_="soft"), id="leaks")
    lines = [row(["report", ("heap", "l"), ("owner", "l"), ("destroyed", "l"), "objects", "bytes",
                  "sites"], head=True)]
    for name, report in reports:
        profile = report.profile
        lines.append(row([
            escape(name), (escape(profile.heap), "l"), (escape(profile.owner), "l"),
            (escape(leaks.when(profile.time_ns)), "l"), term.thousands(report.left_objects),
            term.bytes_text(report.left_bytes),
            term.thousands(len(report.by_stack(sites.frame_name(True))))]))
    lines.append(row(["all", "", "", "",
                      term.thousands(sum(report.left_objects for _, report in reports)),
                      term.bytes_text(sum(report.left_bytes for _, report in reports)), ""],
                     class_="sum"))
    return element("section", "\n".join([head, table(lines)] + [
        leak_part(name, report) for name, report in reports]), id="leaks")


def section(i, heap, cells, arenas, frames):
    stats = heap.stats
    return element("section", "\n".join([
        element("h2", "Heap %s <span class=\"soft\">owner %s</span>" % (
            escape(heap.name), escape(text_of(stats.owner)))),
        bar(stats, big=True), parts_table(stats),
        tiles([(term.thousands(stats["live_objects"]), "live objects"),
               (term.thousands(stats["allocs"]), "allocated ever"),
               (term.thousands(stats["arenas"]), "arenas"),
               (term.thousands(stats["spans"]), "spans"),
               (term.bytes_text(stats.get("releasable_bytes", 0)), "could go back at once")]),
        element("h3", "Size classes"), classes_table(*heap.classes),
        profile_part(heap.profile, frames) if heap.profile else "",
        pins_part(heap.pins) if heap.pins else "",
        element("h3", "Pages"), map_part(heap, cells, arenas)]), id="heap-%d" % i)


def _page(module, heaps, reports, about, detailed):
    shown = [heap for heap in heaps if heap.classes is not None][:detailed]
    cells, arenas = (max(16, all_ // max(len(shown), 1)) for all_ in (CELLS, ARENAS))
    largest = min(cells, heapmap.MOST_CELLS)
    frames = max(16, FRAMES // max(sum(heap.profile is not None for heap in shown), 1))
    body = [element("h1", "kmheap"), element("p", escape(about), class_="soft"),
            tiles([(term.bytes_text(module["footprint_bytes"]), "footprint"),
                   (term.bytes_text(module["live_bytes"]), "live"),
                   (term.thousands(module["live_objects"]), "live objects"),
                   (term.thousands(len(heaps)), "heaps")]),
            bar(module, big=True), parts_table(module), findings(module, heaps, reports),
            element("h2", "Heaps"), heaps_table(module, heaps), leaks_section(reports)]
    body += [section(i, heap, largest, arenas, frames) for i, heap in enumerate(shown)]
    if len(shown) < len(heaps):
        body.append(element("p", "The %d smaller heaps have no section." %
                            (len(heaps) - len(shown)), class_="soft"))
    return "\n".join([
        "<!DOCTYPE html>", "<html lang=\"en\"><head><meta charset=\"utf-8\">",
        "<meta name=\"viewport\" content=\"width=device-width\">",
        "<meta name=\"generator\" content=\"kmheap %s\">" % VERSION,
        "<title>kmheap: %s</title>" % term.bytes_text(module["footprint_bytes"]),
        "<style>%s%s%s</style></head><body>" % (STYLE, heapmap.STYLE, flame.STYLE)] + body + [
            "</body></html>", ""])


def page(module, heaps, reports, about):
    """The page. HEAPS: the largest first. REPORTS: as for leaks_section(). With fewer sections of
    heaps if it would be too long."""
    detailed = DETAILED
    while True:
        text = _page(module, heaps, reports, about, detailed)
        if len(text) <= MOST_BYTES or not detailed:
            return text
        detailed //= 2


def with_details(heap, read):
    """HEAP with what its section shows; READ is its tree.Heap."""
    rows, below = read.classes()
    heap.classes = [row for row in classes.with_bytes(rows) if classes.used(row)], below
    heap.picture = heapmap.read(read)
    try:
        profile = read.profile()
    except NoProfile:
        return
    if profile.period:
        heap.profile = profile
        heap.pins = _pins(read)


def _pins(read):
    """What is held back; None where the module is older than the file."""
    try:
        return read.pins()
    except NoProfile:
        return None
