#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Generate the size class tables of kmheap and prove them.

The sizes up to 1 KiB are those of the Go runtime; the steps follow the algorithm
described in golang/go, src/runtime/mksizeclasses.go (BSD-3-Clause), none of whose
text is used here. Above, Go's classes would break a promise of kmalloc(): an
object is aligned to the largest power of two that divides its size. So there the
sizes are chosen, as many as Go has, with the least mean waste of all that keep the
promise and round up by 12.5 % at most. How many pages a span of a class gets is
kmheap's own choice: Go gives a span as few pages as keep the tail waste at or
under 12.5 %, which leaves one or two objects in the spans of the middle classes,
and a refill per object or two.

    gen_sizeclasses.py            write both headers
    gen_sizeclasses.py --check    exit 1 when the committed ones differ
    gen_sizeclasses.py --print    show the table only

Other span lengths: --min-objects, --max-span-kib, --go. The defaults are what
is committed.
"""

import argparse
import functools
import hashlib
import pathlib
import sys

PAGE_SHIFT = 13
PAGE = 1 << PAGE_SHIFT          # a heap page, 8 KiB
MAX_SMALL = 32 << 10
SMALL_STEP, SMALL_MAX = 8, 1024  # the lookup table's fine steps and where they end
LARGE_STEP = 128                 # and its coarse steps
NR_CLASSES = 68                  # the unused class 0 included
WORD_BITS = 64
MAX_WORDS = 17                   # bitmap words a span has room for
TINY_BYTES = 16                  # a tiny block; its span is one heap page

SELF = f"scripts/{pathlib.Path(__file__).name}"
TABLE_H = "kmod/base/sizeclass_table.h"
CLIENT_H = "include/linux/kmheap_classes.h"


def die(text):
    sys.exit(f"gen_sizeclasses.py: {text}")


def is_power_of_2(n):
    return n > 0 and n & (n - 1) == 0


def divisor(n):
    """The largest power of two that divides n: the alignment that kmalloc(n) promises."""
    return n & -n


def tail_ok(npages, size):
    """At most one eighth of the span is left over behind its last object."""
    span = npages * PAGE
    return span % size * 8 <= span


def go_npages(size):
    npages = 1
    while not tail_ok(npages, size):
        npages += 1
    return npages


def size_step(size):
    """Distance from a power of two to the next candidate size."""
    if size >= 128:
        return size // 8
    return 16 if size >= 32 else 8


def go_sizes():
    """The object sizes that Go has up to SMALL_MAX."""
    found = []                   # (size, (pages of its span, objects in it))
    step = size = 8
    while size <= SMALL_MAX:
        if is_power_of_2(size):
            step = size_step(size)
        npages = go_npages(size)
        shape = npages, npages * PAGE // size
        if found and found[-1][1] == shape:
            found.pop()          # as many objects in the same span: only the larger stays
        found.append((size, shape))
        size += step
    return [size for size, _ in found]


def may_follow(size, prev):
    """
    May @size be the class above @prev? All sizes in between get its objects: none may promise
    more alignment (then the step is no longer than what divides @size), none may be rounded
    up by more than an eighth of the class, and powers of two are classes of their own.
    """
    step = size - prev
    between = range(prev + LARGE_STEP, size, LARGE_STEP)
    return (step <= divisor(size) and (step - 1) * 8 <= size and
            not any(map(is_power_of_2, between)))


def chosen_sizes(count, npages_of):
    """
    @count sizes over SMALL_MAX up to MAX_SMALL with the least mean waste of memory, rounding and
    tail together; requests twice as large are taken to be half as frequent. Shortest path.
    """
    sizes = range(SMALL_MAX + LARGE_STEP, MAX_SMALL + 1, LARGE_STEP)
    freq, asked = [0.0], [0]     # sums of 1 / size, and of size * (1 / size)
    for size in range(1, MAX_SMALL + 1):
        freq.append(freq[-1] + 1 / size)
        asked.append(asked[-1] + 1)

    def waste(prev, size):
        span = npages_of(size) * PAGE
        taken = span / (span // size)    # bytes of memory for each object
        return freq[size] - freq[prev] - (asked[size] - asked[prev]) / taken

    best = {SMALL_MAX: (0.0, ())}
    for _ in range(count):
        longer = {}
        for size in sizes:
            ways = [(sofar + waste(prev, size), path + (size,))
                    for prev, (sofar, path) in best.items()
                    if prev < size and may_follow(size, prev)]
            if ways:
                longer[size] = min(ways)
        best = longer
    if MAX_SMALL not in best:
        die(f"no {count} sizes from {SMALL_MAX} to {MAX_SMALL} bytes keep the rules")
    return list(best[MAX_SMALL][1])


def choose_npages(size, min_objects, max_span):
    """Fewest pages with a good tail and min_objects objects, or as many as the cap allows."""
    cap = max(max_span, (size + PAGE - 1) // PAGE * PAGE) // PAGE
    for want in range(min(min_objects, cap * PAGE // size), 0, -1):
        for npages in range(1, cap + 1):
            if tail_ok(npages, size) and npages * PAGE // size >= want:
                return npages
    return go_npages(size)       # no good tail under the cap: rather a long span than waste


def least_objects(size, args):
    """Twice as many of 4 and 8 KiB (smaller powers of two have them): their pairs need it."""
    return args.min_objects << (is_power_of_2(size) and size <= PAGE)


class SizeClass:
    def __init__(self, index, size, npages, prev):
        self.index = index
        self.size = size
        self.npages = npages
        self.span = npages * PAGE
        self.nelems = self.span // size
        self.nwords = (self.nelems + WORD_BITS - 1) // WORD_BITS
        self.divmul = ((1 << 32) + size - 1) // size
        self.align_pages = max(1, size // PAGE) if is_power_of_2(size) else 1
        self.tail = self.span - self.nelems * size
        self.max_waste = ((size - prev - 1) * self.nelems + self.tail) / self.span
        self.min_align = min(divisor(size), self.align_pages * PAGE)

    def row(self):
        return (f"{self.index:5}  {self.size:9}  {self.span:10}  {self.npages:5}  {self.nelems:7}"
                f"  {self.tail:10}  {100 * self.max_waste:8.2f}%  {self.min_align:9}")


ROW_HEAD = "class  bytes/obj  bytes/span  pages  objects  tail waste  max waste  min align"


def make_classes(args):
    @functools.cache
    def npages_of(size):
        if args.go:
            return go_npages(size)
        return choose_npages(size, least_objects(size, args), args.max_span_kib << 10)

    classes = [SizeClass(0, TINY_BYTES, 1, TINY_BYTES - 1)]
    sizes = go_sizes()
    sizes += chosen_sizes(NR_CLASSES - 1 - len(sizes), npages_of)
    prev = 0
    for index, size in enumerate(sizes, 1):
        classes.append(SizeClass(index, size, npages_of(size), prev))
        prev = size
    return classes


def make_lookup(classes):
    """Class of every step: 8 bytes apart up to 1024, 128 bytes apart above."""
    ends = list(range(0, SMALL_MAX + 1, SMALL_STEP))
    ends += range(SMALL_MAX + LARGE_STEP, MAX_SMALL + 1, LARGE_STEP)
    return [next(c.index for c in classes[1:] if c.size >= end) for end in ends]


def lookup_index(size):
    if size <= SMALL_MAX:
        return (size + SMALL_STEP - 1) // SMALL_STEP
    skip = SMALL_MAX // SMALL_STEP - SMALL_MAX // LARGE_STEP
    return (size + LARGE_STEP - 1) // LARGE_STEP + skip


def prove_division(c):
    """
    For every byte offset of the span the product's upper half is the slot, and its lower half
    is below the multiplier exactly where a slot begins.
    """
    if c.divmul >> 32:
        die(f"class {c.index}: the multiplier does not fit 32 bits")
    size, mul = c.size, c.divmul
    for off in range(c.span):
        slot, rest = divmod(off * mul, 1 << 32)
        if slot != off // size or (rest < mul) != (off % size == 0):
            die(f"class {c.index}: wrong slot for offset {off} of {size} byte objects")


def prove(classes, lookup):
    if len(classes) != NR_CLASSES or classes[-1].size != MAX_SMALL:
        die(f"{len(classes)} classes up to {classes[-1].size} bytes")
    for c in classes:
        if not 1 <= c.nelems <= MAX_WORDS * WORD_BITS or c.npages > 255:
            die(f"class {c.index}: {c.nelems} objects on {c.npages} pages")
        if is_power_of_2(c.size) and c.min_align != c.size:
            die(f"class {c.index}: {c.size} byte objects are not naturally aligned")
        prove_division(c)
    for size in range(1, MAX_SMALL + 1):
        found = lookup[lookup_index(size)]
        if classes[found].size < size or (found > 1 and classes[found - 1].size >= size):
            die(f"size {size} looks up class {found}")
        if classes[found].min_align < divisor(size):
            die(f"size {size} is aligned to {classes[found].min_align} bytes")
        if size > SMALL_MAX and (classes[found].size - size) * 8 > classes[found].size:
            die(f"size {size} is rounded up to {classes[found].size}")


def hash_of(sizes):
    text = f"{MAX_SMALL}: " + " ".join(str(size) for size in sizes)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def client_hash(classes):
    """Of all that is compiled into a client: which class a size has, and its bytes."""
    sizes = [c.size for c in classes]
    found = hash_of(sizes)
    # A client that was built for another table, by as little as one class, must not load.
    for i in range(1, len(sizes)):
        if found in (hash_of(sizes[:i] + [sizes[i] + 8] + sizes[i + 1:]),
                     hash_of(sizes[:i] + sizes[i + 1:])):
            die(f"the hash of the classes does not tell class {i}")
    return found


def params(args):
    if args.go:
        return "--go"
    return f"--min-objects {args.min_objects} --max-span-kib {args.max_span_kib}"


def head(args, text):
    lines = ["/* SPDX-License-Identifier: GPL-2.0 */", "/*"]
    lines += [f" * {line}".rstrip() for line in text.split("\n")]
    lines += [" *", f" * Generated by {SELF}; do not edit. Parameters:",
              f" * {params(args)}", " */"]
    return lines


def macro_list(name, values):
    """#define of a braced list, filled up to 100 columns."""
    lines, line = [f"#define {name} {{"], ""
    for value in values:
        item = f"{value}, "
        if len(line) + len(item) > 88:
            lines.append(f"\t{line.rstrip()}")
            line = ""
        line += item
    lines += [f"\t{line.rstrip()}"]
    return [f"{text} \\" for text in lines] + ["}"]


def table_header(args, classes, lookup):
    text = (f"The size classes: up to {SMALL_MAX} bytes those of the Go runtime, above and in the\n"
            "lengths of spans kmheap's own.\n\n"
            + ROW_HEAD + "\n" + "\n".join(c.row() for c in classes[1:])
            + "\n\nMax waste is the share of a full span that is lost when every object in it\n"
              "is one byte larger than the class below, rounding and tail together.\n\n"
              "Class 0 is no size class: its row describes the tiny span, one heap page of\n"
              f"{TINY_BYTES} byte blocks. Large spans have no row.")
    out = head(args, text)
    out += ["#ifndef _KMHEAP_SIZECLASS_TABLE_H", "#define _KMHEAP_SIZECLASS_TABLE_H", "",
            f"#define KMH_NR_CLASSES\t\t{NR_CLASSES}",
            f"#define KMH_CLASS_MAX_BYTES\t{MAX_SMALL}",
            f"#define KMH_CLASS_PAGE_SHIFT\t{PAGE_SHIFT}\t/* heap page the table is made for */",
            f"#define KMH_CLASS_MAX_NELEMS\t{max(c.nelems for c in classes)}",
            f"#define KMH_CLASS_MAX_NWORDS\t{max(c.nwords for c in classes)}",
            f"#define KMH_CLASS_MAX_NPAGES\t{max(c.npages for c in classes)}",
            f"#define KMH_TINY_BYTES\t\t{TINY_BYTES}", ""]
    out += ["/* By span class: each one twice. */"]
    out += macro_list("KMH_SPANCLASS_SIZES", [c.size for c in classes for _ in range(2)])
    out += ["", "/*", f" * Size to class: entries for {SMALL_STEP} byte steps up to {SMALL_MAX},"
            f" then {LARGE_STEP} byte steps up", f" * to {MAX_SMALL}. Size 0 counts as 1.", " */",
            f"#define KMH_CLASS_LOOKUP_SMALL_MAX\t{SMALL_MAX}",
            f"#define KMH_CLASS_LOOKUP_LEN\t\t{len(lookup)}"]
    out += macro_list("KMH_CLASS_LOOKUP", lookup)
    out += ["", "#endif /* _KMHEAP_SIZECLASS_TABLE_H */", "", "/*",
            " * The rows, for whoever defines KMH_CLASS(class, size, divmul, nelems, npages,",
            " * align_pages, nwords) before including this file, as often as needed.", " */",
            "#ifdef KMH_CLASS"]
    out += [f"KMH_CLASS({c.index}, {c.size}, {c.divmul}U, {c.nelems}, {c.npages},"
            f" {c.align_pages}, {c.nwords})" for c in classes]
    out += ["#undef KMH_CLASS", "#endif", ""]
    return "\n".join(out)


def client_header(args, classes):
    text = "What a client of kmheap needs to turn a constant size into its class."
    out = head(args, text)
    out += ["#ifndef _LINUX_KMHEAP_CLASSES_H", "#define _LINUX_KMHEAP_CLASSES_H", "",
            "#include <linux/compiler.h>", "#include <linux/types.h>", "",
            f"#define KMHEAP_MAX_SMALL\t{MAX_SMALL}\t/* larger objects have pages of their own */",
            "", "/*",
            " * Exported by kmheap.ko and wanted by every client: a client that was built for",
            " * other size classes does not load. The digits are a hash of them.", " */",
            f"#define KMHEAP_CLASSES_SYMBOL\tkmheap_built_for_size_classes_{client_hash(classes)}",
            "", "/*",
            " * Smallest class that holds size bytes, 1 to 67; 0 when size is over",
            " * KMHEAP_MAX_SMALL. For constant sizes, where it folds to a number; with any other",
            " * it is a chain of compares.", " */",
            "static __always_inline unsigned int kmheap_size_class(size_t size)", "{"]
    for c in classes[1:]:
        out += [f"\tif (size <= {c.size})", f"\t\treturn {c.index};"]
    out += ["\treturn 0;", "}", "", "/* Bytes of an object of each class; folds as well. */",
            "static const u16 kmheap_class_bytes[] __maybe_unused = {"]
    sizes = [c.size for c in classes]
    out += ["\t" + ", ".join(map(str, sizes[i:i + 12])) + "," for i in range(0, len(sizes), 12)]
    out += ["};", "", "#endif /* _LINUX_KMHEAP_CLASSES_H */", ""]
    return "\n".join(out)


def write_or_check(path, text, check):
    """False when the file is not, or was not to be made, what it should be."""
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return True
    same = path.is_file() and path.read_text() == text
    if not same:
        print(f"gen_sizeclasses.py: {path} differs from what would be generated", file=sys.stderr)
    return same


def parse_args():
    parser = argparse.ArgumentParser(description="Generate and prove kmheap's size classes.")
    parser.add_argument("--min-objects", type=int, default=2, metavar="N",
                        help="objects a span should hold (default 2)")
    parser.add_argument("--max-span-kib", type=int, default=64, metavar="KIB",
                        help="longest span, unless one object needs more (default 64)")
    parser.add_argument("--go", action="store_true", help="the span lengths of the Go runtime")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--print", action="store_true", help="print the table, write nothing")
    parser.add_argument("--root", type=pathlib.Path, help="tree to write to (default: this one)",
                        default=pathlib.Path(__file__).resolve().parent.parent)
    args = parser.parse_args()
    if not 1 <= args.min_objects <= MAX_WORDS * WORD_BITS:
        parser.error(f"--min-objects is 1 to {MAX_WORDS * WORD_BITS}")
    if not PAGE >> 10 <= args.max_span_kib <= 255 * (PAGE >> 10):
        parser.error(f"--max-span-kib is {PAGE >> 10} to {255 * (PAGE >> 10)}")
    return args


def main():
    args = parse_args()
    classes = make_classes(args)
    lookup = make_lookup(classes)
    prove(classes, lookup)
    if args.print:
        print(ROW_HEAD, *(c.row() for c in classes[1:]), sep="\n")
        return 0
    done = [write_or_check(args.root / TABLE_H, table_header(args, classes, lookup), args.check),
            write_or_check(args.root / CLIENT_H, client_header(args, classes), args.check)]
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
