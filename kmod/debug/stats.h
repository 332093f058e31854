/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor debug/, which looks at everything and which nobody needs.
 *
 * Figures (stats.c), validators (validate.c) and the files that show both (debugfs.c). They hold
 * a heap's arenas_mutex, and kmh_heaps_mutex for all heaps, and stop nobody. The one rule: what
 * changes meanwhile is looked at again before it is a finding, and is never a figure below zero.
 */
#ifndef _KMHEAP_STATS_H
#define _KMHEAP_STATS_H

#include <linux/types.h>

#include "base/public.h"
#include "base/sizeclass.h"

/* One size class of one heap (both span classes together). */
struct kmh_class_stats {
	u64 spans;
	u64 pages;
	u64 live;
	u64 remote;
	u64 deferred;
	u64 free;
	u64 allocs;
	u64 refills;
};

/* Everything a walk over a heap finds; the sums of struct kmheap_stats come from it. */
struct kmh_heap_walk {
	struct kmheap_stats st;
	u64 large_objects;
	u64 manual_runs;
	u64 tiny_objects;
	u64 span_pages;			/* in the arena that was walked last */
	u64 missing_descriptors;	/* bytes of the reserve that all heaps share; not in st */
	struct kmh_class_stats class[KMH_NR_CLASSES];
};

struct kmh_heap_walk *kmh_heap_walk_new(void);
void kmh_heap_walk(struct kmheap *heap, struct kmh_heap_walk *w);
void kmh_nmi_walk(struct kmheap *heap, struct kmh_heap_walk *w);
int kmh_global_stats(struct kmheap_stats *sum, unsigned int *nheaps);

#endif /* _KMHEAP_STATS_H */
