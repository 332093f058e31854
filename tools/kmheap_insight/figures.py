# SPDX-License-Identifier: GPL-2.0
"""What the figures of stats are: their kind, and a line about each.

A figure is a counter if it only grows for as long as its heap lives. The figure frees is none
although the module calls it one: it is allocs - live_objects, two figures of different moments, so
that a later one may be less.
"""

GAUGE, COUNTER, NANOSECONDS = "gauge", "counter", "nanoseconds"

# name in stats: (kind, help). In the order in which they are shown.
HEAP = {
    "footprint_bytes": (GAUGE, "Bytes taken from the kernel: the sum of live, free, cached, "
                               "deferred, waste and metadata"),
    "live_bytes": (GAUGE, "Bytes in live objects and in runs of pages"),
    "free_bytes": (GAUGE, "Bytes in free pages, and in free slots of spans that no CPU caches"),
    "cached_bytes": (GAUGE, "Bytes that CPUs and nodes keep to hand out again"),
    "deferred_bytes": (GAUGE, "Bytes freed with kmheap_free_rcu() that are not free yet"),
    "waste_bytes": (GAUGE, "Bytes lost by rounding and at the ends of spans and arenas"),
    "metadata_bytes": (GAUGE, "Bytes in descriptors, tables and magazines"),
    "live_objects": (GAUGE, "Objects allocated and not freed"),
    "arenas": (GAUGE, "Areas taken from the kernel"),
    "spans": (GAUGE, "Runs of pages in use"),
    "allocs": (COUNTER, "Objects ever allocated"),
    "refused_allocs": (COUNTER, "Allocations that got nothing"),
    "double_frees": (COUNTER, "Frees of objects that were free"),
    "invalid_frees": (COUNTER, "Frees of addresses where no object begins"),
    "wrong_size_frees": (COUNTER, "Frees with another size than the object has"),
    "manual_bytes": (GAUGE, "Bytes in runs of pages, which are part of live_bytes"),
    "deferred_objects": (GAUGE, "Objects freed with kmheap_free_rcu() that are not free yet"),
    "deferred_limit_bytes": (GAUGE, "How much deferred_bytes may be before growing waits"),
    "generations": (COUNTER, "Sweeps that were opened"),
    "swept_spans": (COUNTER, "Spans that were swept"),
    "collections": (COUNTER, "Collections that ended"),
    "marked_objects": (COUNTER, "Objects that collections marked"),
    "collected_objects": (COUNTER, "Objects that collections freed"),
    "collected_bytes": (COUNTER, "Bytes that collections freed"),
    "specials": (GAUGE, "Objects with a finalizer or a weak handle"),
    "cpu_cache_bytes": (GAUGE, "Bytes that CPUs keep and a drain would free"),
    "central_bytes": (GAUGE, "Bytes in spans with no slot in use that no CPU caches"),
    "page_heap_bytes": (GAUGE, "Bytes in free pages and in freed large objects that a node keeps"),
    "releasable_bytes": (GAUGE, "Bytes in empty arenas, and in free pages of blocks"),
    "expedited_grace_periods": (COUNTER, "Grace periods that were expedited"),
    "reserve_bytes": (GAUGE, "Bytes wanted free for callers that cannot sleep"),
    "reserve_peak_bytes": (GAUGE, "The most that reserve_bytes has been"),
    "reserve_missing_bytes": (GAUGE, "Bytes of the reserve that are not there yet"),
    "finalized_objects": (COUNTER, "Finalizers that have run"),
    "collect_begin_ns": (NANOSECONDS, "Longest kmheap_collect_begin() so far"),
    "collect_end_ns": (NANOSECONDS, "Longest kmheap_collect_end() so far"),
    "scavenged_bytes": (COUNTER, "Bytes given back in the background"),
    "scavenged_arenas": (COUNTER, "Arenas given back in the background"),
    "peak_bytes": (GAUGE, "Recent peak of the pages in use"),
    "shrunk_bytes": (COUNTER, "Bytes given back on request"),
    "reclaimed_bytes": (COUNTER, "Bytes taken by the kernel's reclaim"),
    "leaving_bytes": (GAUGE, "Bytes in arenas that go after a grace period"),
    "idle_drains": (COUNTER, "CPU caches drained because their CPU had stopped allocating"),
    "limit_bytes": (GAUGE, "Hard limit; there is no sample where there is no limit"),
    "limit_refusals": (COUNTER, "Times the heap could not grow because of its limit"),
    "soft_limit_bytes": (GAUGE, "Soft limit; there is no sample where there is no limit"),
    "soft_limit_events": (COUNTER, "Times the heap has grown past its soft limit"),
    "scavenged_bytes_per_second": (GAUGE, "Pace of scavenged_bytes, a mean over 8 seconds"),
}

# Figures that are there once for each context of the caller.
CONTEXTS = ("task", "softirq", "hardirq", "nmi")
BY_CONTEXT = {
    "reserve_served": (COUNTER, "Spans and objects handed to callers that could not sleep"),
    "reserve_refused": (COUNTER, "Allocations by callers that could not sleep that got nothing"),
}

# What the module's stats have that is no sum over the heaps there are.
MODULE = {
    "footprint_bytes": (GAUGE, "Bytes taken from the kernel by all heaps and by what they share"),
    "metadata_bytes": (GAUGE, "Bytes of metadata of all heaps and of what they share"),
    "heaps": (GAUGE, "Heaps that exist, the default heap included"),
    "double_frees": (COUNTER, "Frees of objects that were free, destroyed heaps included"),
    "invalid_frees": (COUNTER, "Frees of addresses where no object begins, in any heap or none"),
    "wrong_size_frees": (COUNTER, "Frees with a wrong size, destroyed heaps included"),
    "suppressed_reports": (COUNTER, "Misuses whose site had been reported before"),
    "shrunk_bytes": (COUNTER, "Bytes given back on request, by all heaps ever"),
    "oom_bytes": (COUNTER, "Bytes given back when the kernel was out of memory"),
    "limit_bytes": (GAUGE, "Limit of all heaps; there is no sample where there is no limit"),
    "limit_refusals": (COUNTER, "Times the limit of all heaps refused an arena"),
    "order4_failures": (COUNTER, "Times the kernel had no block of 64 KiB, where a page has 4 KiB"),
    "order5_failures": (COUNTER, "Times the kernel had no block of 128 KiB"),
    "order6_failures": (COUNTER, "Times the kernel had no block of 256 KiB"),
    "order7_failures": (COUNTER, "Times the kernel had no block of 512 KiB"),
    "order8_failures": (COUNTER, "Times the kernel had no block of 1 MiB"),
    "order9_failures": (COUNTER, "Times the kernel had no block of 2 MiB"),
}

LIMITS = ("limit_bytes", "soft_limit_bytes")


def known(name):
    """Is NAME a line of a heap's stats that this version knows?"""
    stem, _, context = name.rpartition("_")
    return name in HEAP or name == "frees" or (stem in BY_CONTEXT and context in CONTEXTS)


def misuses(stats):
    return stats["double_frees"] + stats["invalid_frees"] + stats["wrong_size_frees"]
