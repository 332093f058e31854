/* SPDX-License-Identifier: GPL-2.0 */
/* Private: pages that a CPU has set aside; see pagecache.c. */
#ifndef _KMHEAP_PAGECACHE_H
#define _KMHEAP_PAGECACHE_H

#include <linux/types.h>

struct kmh_mheap;
struct kmh_parange;

/* Up to 64 heap pages taken from the page heap in one go; a set bit is a free page. */
struct kmh_pagecache {
	struct kmh_parange *range;
	unsigned long base;		/* heap page of bit 0 */
	u64 bits;
};

/* Runs up to this long come out of the per-CPU page cache (Go: pageCachePages / 4). */
#define KMH_PAGECACHE_RUN	16UL

bool kmh_pagecache_alloc(struct kmh_pagecache *pc, unsigned int npages, unsigned long *page);
void kmh_pagecache_drain(struct kmh_mheap *mh, struct kmh_pagecache *pc);
void kmh_pagecache_forget_lost(struct kmh_pagecache *pc);
void kmh_pagecache_fill_locked(struct kmh_mheap *mh, struct kmh_pagecache *pc);

#endif /* _KMHEAP_PAGECACHE_H */
