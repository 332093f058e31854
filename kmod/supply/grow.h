/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor supply/, where memory comes from and goes to.
 *
 * Pages come by growth (grow.c), for callers that can sleep and ahead of those that cannot, and
 * objects for NMIs by nmi.c. They go the other way down one ladder, CPU -> lists -> pages ->
 * kernel (giveback.c), for four reasons: nobody has used them for a while (idle.c, scavenge.c),
 * a limit is in the way (limit.c), somebody asks, or memory is short (shrink.c). The locks are
 * the mutexes of a heap, grow_mutex and grow_noio_mutex for who grows, arenas_mutex for who gives
 * back. The one rule: who is asked by reclaim allocates nothing, and tries what others sleep
 * under.
 */
#ifndef _KMHEAP_GROW_H
#define _KMHEAP_GROW_H

#include <linux/log2.h>
#include <linux/math.h>
#include <linux/types.h>

#include "pages/pagealloc.h"
#include "base/sizeclass.h"

struct kmh_arena;
struct kmh_mheap;

/*
 * Bytes of heap pages that hold a run of @npages, aligned to @align of them, wherever the first
 * one lies; whole pages of the kernel, where these are the larger ones. An aligned run is found
 * for certain where a run of the next class that the page allocator tells apart is free; should it
 * not be found in an arena that was made for it, its caller would ask for one after the other.
 */
static inline size_t kmh_arena_need(unsigned long npages, unsigned long align,
				    size_t kernel_page)
{
	unsigned long run = npages + align - 1;

	if (align > 1)
		run = run < KMH_PA_CHUNK_PAGES ? run + run / 4 + 1 : roundup_pow_of_two(run);
	return round_up(run << KMH_PAGE_SHIFT, kernel_page);
}

/*
 * Tables of the module that may come with an arena: a leaf of the arenas map, and a chunk of
 * descriptors for each pool, of which there are ten.
 */
#define KMH_ARENA_TABLES	(sizeof(struct kmh_leaf) + 10 * PAGE_SIZE)

void kmh_grow_init(struct kmh_mheap *mh);
u64 kmh_mheap_missing_bytes(struct kmh_mheap *mh);
struct kmh_arena *kmh_mheap_grow_user(struct kmh_mheap *mh, unsigned long npages, gfp_t gfp);
bool kmh_mheap_is_limited(struct kmh_mheap *mh, unsigned long npages);
int kmh_mheap_grow(struct kmh_mheap *mh, unsigned long npages, unsigned long align,
		   unsigned long seen, gfp_t gfp);
int kmh_mheap_grow_arena(struct kmh_mheap *mh, unsigned long npages, unsigned long align,
			 gfp_t gfp);

#endif /* _KMHEAP_GROW_H */
