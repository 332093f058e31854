// SPDX-License-Identifier: GPL-2.0
/*
 * Per-CPU page cache: up to 64 pages taken from the page heap in one go.
 *
 * After Go's pageCache (src/runtime/mpagecache.go). Filled by the page heap, used
 * in the mcache section, so it needs no lock.
 */
#include <linux/bitops.h>
#include <linux/minmax.h>

#include "pagecache.h"

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
 * Return: false when it has no such run.
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
