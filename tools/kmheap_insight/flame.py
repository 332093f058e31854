# SPDX-License-Identifier: GPL-2.0
"""Flame graphs: the outermost frames are at the bottom, and a frame is as wide as the bytes are
many that live below it."""
import html
import zlib

from . import term
from .sampling import by_stack

WIDTH = 1200
ROW = 17
TOP = 34
MARGIN = 10
CHARACTER = 6.7     # of an 11 px monospace font
SHADES = 4
# Frames that are narrower are not drawn, nor is what is above them.
NARROWEST = 0.3
# k: the kernel, m: a module, a: all; a shade lets neighbours be told apart.
STYLE = """
.fl{--ground:#fff;--ink:#222;--k0:#b9d3f0;--k1:#a9c9ec;--k2:#c6dcf4;--k3:#9cc0e8;--m0:#f6c89f;
--m1:#f2bb8a;--m2:#f9d4b3;--m3:#eeae76;--a:#d9dadd;max-width:100%;height:auto}
.fl rect{stroke:var(--ground);stroke-width:.6}.fl text{fill:var(--ink);font:11px monospace}
.fl .h{font:15px sans-serif}.fl .a{fill:var(--a)}
.fl .k0{fill:var(--k0)}.fl .k1{fill:var(--k1)}.fl .k2{fill:var(--k2)}.fl .k3{fill:var(--k3)}
.fl .m0{fill:var(--m0)}.fl .m1{fill:var(--m1)}.fl .m2{fill:var(--m2)}.fl .m3{fill:var(--m3)}
.fl g:hover rect{stroke:var(--ink)}
@media (prefers-color-scheme:dark){.fl{--ground:#15181c;--ink:#e4e4e4;--k0:#274b73;--k1:#2e557f;
--k2:#21426a;--k3:#355f8c;--m0:#7a4a1e;--m1:#865426;--m2:#6d4018;--m3:#935f2e;--a:#3a4047}}
@media print{.fl{--ground:#fff;--ink:#000;--k0:#b9d3f0;--k1:#a9c9ec;--k2:#c6dcf4;--k3:#9cc0e8;
--m0:#f6c89f;--m1:#f2bb8a;--m2:#f9d4b3;--m3:#eeae76;--a:#d9dadd;print-color-adjust:exact;
-webkit-print-color-adjust:exact}}
"""


class Node:
    """A frame below one row of outer frames."""
    __slots__ = ("weight", "objects", "inner")

    def __init__(self):
        self.weight = self.objects = 0
        self.inner = {}     # (function, module): Node

    def add(self, estimate):
        self.weight += estimate.live_bytes
        self.objects += estimate.live_objects


def tree(profile):
    """The Node of all stacks."""
    root = Node()
    for stack, estimate in by_stack(profile, lambda frame: (frame.function, frame.module)).items():
        if not estimate.live_bytes:
            continue
        node = root
        node.add(estimate)
        for key in reversed(stack or (("unknown", ""),)):
            node = node.inner.setdefault(key, Node())
            node.add(estimate)
    return root


def _boxes(root, narrowest):
    """(level, x, width, key, node) of each frame that is drawn; the root's key is None."""
    scale = (WIDTH - 2 * MARGIN) / root.weight
    found, todo = [], [(0, MARGIN, None, root)]
    while todo:
        level, x, key, node = todo.pop()
        found.append((level, x, node.weight * scale, key, node))
        for inner_key in sorted(node.inner):
            inner = node.inner[inner_key]
            if inner.weight * scale >= narrowest:
                todo.append((level + 1, x, inner_key, inner))
            x += inner.weight * scale
    return found


def _class(key):
    if key is None:
        return "a"
    return "%s%d" % ("m" if key[1] else "k", zlib.crc32(key[0].encode()) % SHADES)


def _name(key):
    if key is None:
        return "all"
    return "%s [%s]" % key if key[1] else key[0]


def _box(box, height, root):
    level, x, width, key, node = box
    y = height - MARGIN - (level + 1) * ROW
    name = _name(key)
    part = "<g><title>%s: %s in %s objects, %s</title><rect class=\"%s\" x=\"%.2f\" y=\"%d\" " \
        "width=\"%.2f\" height=\"%d\"/>" % (
            html.escape(name), term.bytes_text(round(node.weight)),
            term.thousands(round(node.objects)), term.percent(node.weight, root.weight),
            _class(key), x, y, width, ROW - 1)
    room = int((width - 6) / CHARACTER)
    if room >= 3:
        text = name if len(name) <= room else name[:room - 2] + ".."
        part += "<text x=\"%.2f\" y=\"%d\">%s</text>" % (x + 3, y + 12, html.escape(text))
    return part + "</g>"


def title(profile):
    what = "heap %s: live bytes by call site" % profile.heap
    return what + (", allocated since the mark" if profile.kind == "since" else "")


def svg(profile, most=None):
    """The graph as an SVG element, whose style is STYLE; with at most MOST frames, if that is
    given. "" when nothing lives."""
    root, narrowest = tree(profile), NARROWEST
    if not root.weight:
        return ""
    boxes = _boxes(root, narrowest)
    while most and len(boxes) > most and narrowest < WIDTH:
        narrowest *= 2
        boxes = _boxes(root, narrowest)
    height = TOP + (1 + max(box[0] for box in boxes)) * ROW + MARGIN
    return "\n".join([
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"fl\" role=\"img\" width=\"%d\" "
        "height=\"%d\" viewBox=\"0 0 %d %d\"><title>%s</title>" %
        (WIDTH, height, WIDTH, height, html.escape(title(profile))),
        "<text class=\"h\" x=\"%d\" y=\"22\">%s</text>" % (MARGIN, html.escape(title(profile)))] +
        [_box(box, height, root) for box in boxes] + ["</svg>"])


def document(profile):
    """An SVG file of its own."""
    drawn = svg(profile) or (
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"fl\" width=\"%d\" height=\"%d\">"
        "<title>%s</title>\n<text x=\"%d\" y=\"22\">%s: nothing lives</text></svg>" %
        (WIDTH, TOP, html.escape(title(profile)), MARGIN, html.escape(title(profile))))
    # The style and the ground come behind the title.
    end = drawn.index("</title>") + len("</title>")
    return drawn[:end] + "\n<style>" + STYLE + "</style>\n<rect width=\"100%\" height=\"100%\" " \
        "style=\"fill:var(--ground)\"/>" + drawn[end:] + "\n"
