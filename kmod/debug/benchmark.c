// SPDX-License-Identifier: GPL-2.0
/* What the benchmarks switch and look at; nothing in other builds. */
#include <linux/export.h>

#include "base/benchmark.h"
#include "heap.h"
#include "pages/arena.h"
#include "supply/giveback.h"

#if KMHEAP_BENCH
bool kmh_bench_by_address;
EXPORT_SYMBOL_GPL(kmh_bench_by_address);

bool kmh_bench_lifo;
EXPORT_SYMBOL_GPL(kmh_bench_lifo);

bool kmh_bench_no_history;
EXPORT_SYMBOL_GPL(kmh_bench_no_history);

void kmh_bench_no_scavenger(struct kmheap *heap)
{
	kmh_scavenge_stop(heap);
}
EXPORT_SYMBOL_GPL(kmh_bench_no_scavenger);

/* As kmheap_shrink(), but no arena goes. */
void kmh_bench_drain(struct kmheap *heap)
{
	kmh_heap_drain(heap);
}
EXPORT_SYMBOL_GPL(kmh_bench_drain);

/* By the scavenger, ever. */
unsigned long kmh_bench_arenas_given(struct kmheap *heap)
{
	return atomic_long_read(&heap->scavenge.arenas);
}
EXPORT_SYMBOL_GPL(kmh_bench_arenas_given);

/* In free pages, and in those of arenas that have no other; dedicated ones included. */
unsigned long kmh_bench_free_bytes(struct kmheap *heap, unsigned long *wholly)
{
	unsigned long all = 0;
	struct kmh_arena *a;

	*wholly = 0;
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list) {
		unsigned long nfree = READ_ONCE(a->range.nfree);

		all += nfree << KMH_PAGE_SHIFT;
		if (nfree == a->range.npages)
			*wholly += nfree << KMH_PAGE_SHIFT;
	}
	mutex_unlock(&heap->arenas_mutex);
	return all;
}
EXPORT_SYMBOL_GPL(kmh_bench_free_bytes);
#endif
