/* SPDX-License-Identifier: GPL-2.0 */
/* Private: where a heap's memory comes from; see backing.c. */
#ifndef _KMHEAP_BACKING_H
#define _KMHEAP_BACKING_H

#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/types.h>

/*
 * An arena is either a vmalloc *area*, or a *block*: a power of two of pages of the page allocator,
 * in the direct map and physically contiguous, which is split into single pages.
 */
enum kmh_backing {
	KMH_BACKING_AREA,	/* areas alone */
	KMH_BACKING_AUTO,	/* a block; an area where none is to be had or long enough */
	KMH_BACKING_BLOCK,	/* a block; an area only for what no block is long enough for */
	KMH_BACKING_LINEAR,	/* blocks alone */
};

/* The longest block: order 9 where pages have 4 KiB, which is what huge pages of x86-64 have. */
#define KMH_BLOCK_MAX_BYTES	((size_t)SZ_2M)
#define KMH_BLOCK_MAX_PAGES	(KMH_BLOCK_MAX_BYTES >> KMH_PAGE_SHIFT)
/*
 * The shortest, order 4. A block costs at worst a leaf of the arenas map, 16 KiB, and a fragmented
 * kernel has blocks of this order when it has none of the longer ones.
 */
#define KMH_BLOCK_MIN_BYTES	max_t(size_t, SZ_64K, PAGE_SIZE)

/* Blocks have one of so many orders, from that of KMH_BLOCK_MIN_BYTES on. */
#define KMH_BLOCK_ORDERS	6U

extern unsigned int kmh_backing_default;	/* the parameter: an enum kmh_backing */

enum kmh_backing kmh_backing_choose(unsigned int flags);

#endif /* _KMHEAP_BACKING_H */
