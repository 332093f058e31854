/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: address -> span, two levels, keyed by heap page.
 *
 * There is a first level for the direct map and one for vmalloc space, which on x86-64 are 65 TiB
 * apart. Each covers the part of the address space in which arenas were seen and is replaced by a
 * larger one when an arena lies outside; the second level covers 16 MiB a leaf. Entries that stand
 * for no span point to a sentinel, so a lookup has one compare, or two for vmalloc space, and no
 * NULL. Nothing here is given back before the module goes, which makes a lookup of any value in any
 * context safe.
 *
 * Where an architecture has both parts side by side (User-Mode Linux) the two first levels may
 * reach over each other. The first one that a lookup asks then has all leaves of the common part.
 */
#ifndef _KMHEAP_ARENAMAP_H
#define _KMHEAP_ARENAMAP_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/gfp.h>
#include <linux/types.h>

#include "span/mspan.h"

#define KMH_LEAF_SHIFT		24
#define KMH_LEAF_PAGES		BIT(KMH_LEAF_SHIFT - KMH_PAGE_SHIFT)

struct kmh_leaf {
	struct kmh_mspan *span[KMH_LEAF_PAGES];
};

/*
 * The leaves, each as the address that its first entry would have if the leaf began at
 * address 0: an address is looked up with a shift, and no mask.
 */
struct kmh_arenamap {
	unsigned long base;		/* address >> KMH_LEAF_SHIFT of biased[0] */
	unsigned long nr;
	struct kmh_arenamap *prev;	/* the one this replaced; freed at exit */
	unsigned long biased[];
};

/* Both are published with release, and asked in this order. */
extern struct kmh_arenamap *kmh_blockmap;	/* where blocks are */
extern struct kmh_arenamap *kmh_areamap;	/* where areas are */
extern u64 kmh_map_bytes;		/* what the map takes; KUnit cases compare it */
extern struct kmh_mspan kmh_span_none;
extern struct kmh_mspan kmh_span_gone;

/* Any value, any context. The caller keeps preemption off while it uses the span. */
static __always_inline struct kmh_mspan *kmh_span_of(unsigned long addr)
{
	/* Address dependencies order these loads after the release of each level. */
	struct kmh_arenamap *map = READ_ONCE(kmh_blockmap);
	unsigned long i = (addr >> KMH_LEAF_SHIFT) - map->base;
	struct kmh_mspan *s;

	if (unlikely(i >= map->nr)) {
		i = addr;
		OPTIMIZER_HIDE_VAR(i);	/* no half result is kept for this by those before */
		map = READ_ONCE(kmh_areamap);
		i = (i >> KMH_LEAF_SHIFT) - map->base;
		if (unlikely(i >= map->nr))
			return &kmh_span_none;
	}
	/* Plain loads fold their addresses. Hidden, so that no check is of a second load. */
	s = data_race(((struct kmh_mspan **)map->biased[i])[addr >> KMH_PAGE_SHIFT]);
	OPTIMIZER_HIDE_VAR(s);
	return s;
}

static inline struct kmh_mspan *kmh_span_of_page(unsigned long page)
{
	return kmh_span_of(page << KMH_PAGE_SHIFT);
}

int kmh_arenamap_init(void);
void kmh_arenamap_exit(void);
int kmh_arenamap_cover(struct kmh_arenamap **at, unsigned long first, unsigned long npages,
		       gfp_t gfp);
void kmh_arenamap_set(unsigned long first, unsigned long npages, struct kmh_mspan *s);
void kmh_arenamap_replace(unsigned long first, unsigned long npages, struct kmh_mspan *from,
			  struct kmh_mspan *to);
void kmh_walk_pages(unsigned long page, unsigned long end,
		    void (*fn)(struct kmh_mspan *s, void *ctx), void *ctx);

#endif /* _KMHEAP_ARENAMAP_H */
