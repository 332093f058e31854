# SPDX-License-Identifier: GPL-2.0
"""Tables of sites: a line for each stack, those that take most first."""
from . import sampling, term
from .tree import ToolError

# Rows of fewer samples say little, and are grey on a terminal.
FEW = 4
TOP = 20
# key: title of the bytes, what is counted
SORTS = {"live": ("live", "live_samples", "live_objects", "live_bytes"),
         "allocs": ("allocated", "alloc_samples", "alloc_objects", "alloc_bytes")}


def arguments(p):
    p.add_argument("-n", metavar="N", type=term.positive, default=TOP,
                   help="so many stacks; default %d" % TOP)
    p.add_argument("--offsets", action="store_true",
                   help="show where in each function; calls from different places of one "
                        "function then have lines of their own")


def frame_name(offsets):
    """The function that makes the text of a frame."""
    return (lambda frame: frame.with_offset()) if offsets else (lambda frame: frame.function)


def stack_text(stack):
    return " < ".join(stack) or "unknown"


def need_samples(profile):
    """There was a profile, or the person is told how to begin one."""
    if not profile.period:
        raise ToolError("heap %s was never profiled; \"kmheap profile %s --on 512K\" begins a "
                        "profile" % (profile.heap, profile.heap))


def error_text(count, period):
    error = sampling.relative_error(count, period)
    return "exact" if not error else "+-%d %%" % round(100 * error)


def ranked(profile, sort, offsets):
    """[(stack, Estimate)] of what has samples, most bytes first."""
    _, samples, _, weight = SORTS[sort]
    rows = [(stack, estimate) for stack, estimate in
            sampling.by_stack(profile, frame_name(offsets)).items() if getattr(estimate, samples)]
    return sorted(rows, key=lambda row: (-getattr(row[1], weight), row[0]))


def losses(profile):
    """Lines about samples that are in no profile."""
    return ["%s samples of all heaps, ever, found no room in the table of %s: see %s" %
            (term.thousands(number), what, parameter)
            for number, what, parameter in (
                (profile.lost, "sites", "profile_sites"),
                (profile.missed, "live objects", "profile_records")) if number]


def before(profile):
    """A line about what lives and is in no profile of every object."""
    if not profile.before_objects:
        return []
    return ["%s live objects are from before the profile" % term.thousands(profile.before_objects)]


def heading(profile, sort):
    word, samples, objects, weight = SORTS[sort]
    all_ = sampling.total(profile)
    count = getattr(all_, samples)
    when = {"since": " since the mark", "peak": " at the peak"}.get(profile.kind, "")
    return "%s: %s %s%s in %s%s objects; period %s, %s samples, %s" % (
        profile.heap, term.bytes_text(round(getattr(all_, weight))), word, when,
        "" if profile.period == 1 else "~", term.thousands(round(getattr(all_, objects))),
        term.bytes_text(profile.period), term.thousands(count),
        error_text(count, profile.period))


def cells(profile, rows, sort):
    """The table without the stacks: the titles, and a line for each of ROWS. A profile since a
    mark does not know what was allocated after the mark and is free again."""
    word, samples, _, weight = SORTS[sort]
    whole = getattr(sampling.total(profile), weight)
    both = profile.kind != "since"
    found = [[word, "%", "error", "objects"] + (["allocs"] if both else [])]
    for _, estimate in rows:
        row = [term.bytes_text(round(getattr(estimate, weight))),
               "%.1f" % (100 * getattr(estimate, weight) / whole) if whole else "-",
               error_text(getattr(estimate, samples), profile.period),
               term.thousands(round(estimate.live_objects))]
        found.append(row + ([term.thousands(round(estimate.alloc_objects))] if both else []))
    return found


def with_stacks(table, stacks, grey, paint, width):
    """Lines of TABLE, whose first row are titles, with the stacks behind them. Lines are cut at
    WIDTH, if that is not None; GREY says of each row whether it is grey."""
    lines = [line + "  " + text for line, text in
             zip(term.table(table, left=()), ["site"] + [stack_text(stack) for stack in stacks])]
    if width is not None:
        lines = [line if len(line) <= width else line[:width - 3] + "..." for line in lines]
    return [paint(lines[0], "bold")] + [paint(line, *(["dim"] if dim else []))
                                        for line, dim in zip(lines[1:], grey)]


def lines(profile, args, paint, width):
    """The table of PROFILE; ARGS has n, offsets and sort."""
    need_samples(profile)
    rows = ranked(profile, args.sort, args.offsets)
    shown, rest = rows[:args.n], rows[args.n:]
    _, samples, _, weight = SORTS[args.sort]
    text = [paint(heading(profile, args.sort), "bold")]
    if shown:
        grey = [profile.period > 1 and getattr(estimate, samples) < FEW for _, estimate in shown]
        text += with_stacks(cells(profile, shown, args.sort), [stack for stack, _ in shown], grey,
                            paint, width)
    if rest:
        text.append("and %d more, %s" % (len(rest), term.bytes_text(
            round(sum(getattr(estimate, weight) for _, estimate in rest)))))
    return text + before(profile) + [paint(line, "yellow") for line in losses(profile)]
