# SPDX-License-Identifier: GPL-2.0
"""Files of stacks for other programs: folded stacks, and speedscope's JSON. Both begin stacks at
the outermost frame."""
import json

from . import VERSION
from .sampling import by_stack


def fold(rows):
    """A line for each (stack, weight) of ROWS whose weight is not 0: "outer;inner WEIGHT"."""
    lines = []
    for stack, weight in rows:
        if round(weight):
            names = [name.replace(";", ":") for name in reversed(stack)] or ["unknown"]
            lines.append("%s %d\n" % (";".join(names), round(weight)))
    return "".join(sorted(lines))


def folded(profile):
    """Folded stacks; the bytes are live."""
    estimates = by_stack(profile, lambda frame: frame.with_module())
    return fold((stack, estimate.live_bytes) for stack, estimate in estimates.items())


def speedscope(profile):
    """https://www.speedscope.app/file-format-schema.json: one view of bytes, one of objects."""
    frames, index, views = [], {}, []
    estimates = by_stack(profile, lambda frame: (frame.function, frame.module))
    for stack in estimates:
        for function, module in stack:
            if (function, module) not in index:
                index[function, module] = len(frames)
                frames.append({"name": function, "file": module or "[kernel]"})
    kinds = [("live_bytes", "bytes"), ("live_objects", "none")]
    if profile.kind != "since":
        kinds += [("alloc_bytes", "bytes"), ("alloc_objects", "none")]
    for kind, unit in kinds:
        weights = {stack: round(getattr(estimate, kind)) for stack, estimate in estimates.items()}
        shown = [stack for stack, weight in weights.items() if weight]
        views.append({"type": "sampled", "name": "%s: %s" % (profile.heap, kind), "unit": unit,
                      "startValue": 0, "endValue": sum(weights.values()),
                      "samples": [[index[frame] for frame in reversed(stack)] for stack in shown],
                      "weights": [weights[stack] for stack in shown]})
    return json.dumps({"$schema": "https://www.speedscope.app/file-format-schema.json",
                       "name": "kmheap: heap " + profile.heap, "exporter": "kmheap " + VERSION,
                       "activeProfileIndex": 0, "shared": {"frames": frames},
                       "profiles": views}, indent=1) + "\n"
