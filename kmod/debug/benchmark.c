// SPDX-License-Identifier: GPL-2.0
/* Switches and figures for the benchmarks; nothing in other builds. */
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

/* kmheap_shrink() without giving arenas back. */
void kmh_bench_drain(struct kmheap *heap)
{
	kmh_heap_drain(heap);
}
EXPORT_SYMBOL_GPL(kmh_bench_drain);

/* Arenas that the scavenger has given back, ever. */
unsigned long kmh_bench_arenas_given(struct kmheap *heap)
{
	return atomic_long_read(&heap->scavenge.arenas);
}
EXPORT_SYMBOL_GPL(kmh_bench_arenas_given);

/* Bytes in free pages; @wholly: in arenas that have no others. Dedicated arenas are included. */
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
