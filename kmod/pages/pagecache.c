// SPDX-License-Identifier: GPL-2.0
/*
 * Per-CPU page cache: up to 64 pages taken from the page heap in one go.
 *
 * After Go's pageCache (src/runtime/mpagecache.go). Filled by the page heap, used
 * in the mcache section, so it needs no lock.
 */
#include <linux/bitops.h>
#include <linux/minmax.h>

#include "pages/pagecache.h"
#include "base/lock.h"
#include "pages/arena.h"
#include "pages/mheap.h"
#include "pages/pagealloc.h"

/*
 * A page cache holds 64 pages, 512 KiB. Pages are only worth setting aside where they are a
 * small part of what is free, so that a small heap's pages stay in reach of every CPU: four
 * times what all CPUs would hold.
 */
#define KMH_PAGECACHE_SHARE	(4 * KMH_PA_GROUP_PAGES)

/* Bits i for which bits i .. i + npages - 1 are all set, by doubling. */
static u64 kmh_runs_of(u64 bits, unsigned int npages)
{
	unsigned int have = 1;

	while (have < npages) {
		unsigned int step = min(have, npages - have);

		bits &= bits >> step;
		have += step;
	}
	return bits;
}

/**
 * kmh_pagecache_alloc() - take a run out of the cache
 * @pc: this CPU's cache, in the section.
 * @npages: 1 to 64.
 * @page: where to put the first heap page.
 *
 * Return: false when the cache has no such run.
 */
bool kmh_pagecache_alloc(struct kmh_pagecache *pc, unsigned int npages, unsigned long *page)
{
	u64 runs = kmh_runs_of(pc->bits, npages);
	unsigned int bit;

	if (!runs)
		return false;
	bit = __ffs64(runs);
	WRITE_ONCE(pc->bits, pc->bits & ~(GENMASK_ULL(npages - 1, 0) << bit));
	*page = pc->base + bit;
	return true;
}

/* Give the pages of a page cache back. Context: any but NMI. */
void kmh_pagecache_drain(struct kmh_mheap *mh, struct kmh_pagecache *pc)
{
	unsigned long flags;

	if (!pc->bits)
		return;
	kmh_wait_lock_irqsave(&mh->lock, flags);
	if (likely(!kmh_range_arena(pc->range)->lost))
		kmh_pa_give64(&mh->pa, pc->range, pc->base, pc->bits);
	kmh_unlock_irqrestore(&mh->lock, flags);
	WRITE_ONCE(pc->bits, 0);
}

/* Pages of a lost arena are nobody's: they go nowhere. In the section. */
void kmh_pagecache_forget_lost(struct kmh_pagecache *pc)
{
	if (pc->bits && READ_ONCE(kmh_range_arena(pc->range)->lost))
		WRITE_ONCE(pc->bits, 0);
}

/* Fill an empty cache, if that is worth it. */
void kmh_pagecache_fill_locked(struct kmh_mheap *mh, struct kmh_pagecache *pc)
{
	lockdep_assert_held(&mh->lock);
	if (pc->bits ||
	    mh->pa.nfree < KMH_PAGECACHE_SHARE * num_online_cpus() + mh->reserve.pages)
		return;
	if (kmh_pa_take64(&mh->pa, &pc->range, &pc->base, &pc->bits))
		kmh_arena_use_pages(kmh_range_arena(pc->range), pc->base, KMH_PA_GROUP_PAGES);
}
