/* SPDX-License-Identifier: GPL-2.0 */
/* Private: freed large objects that a CPU keeps; see largecache.c. */
#ifndef _KMHEAP_LARGECACHE_H
#define _KMHEAP_LARGECACHE_H

#include <linux/types.h>

#include "finding.h"

struct kmheap;
struct kmh_mcache;
struct kmh_mheap;
struct kmh_mspan;

/* The longest span that is kept, in heap pages: 1 MiB. Half the smallest full arena. */
#define KMH_LARGECACHE_PAGES	128UL

/* Parked spans by length, the one that came last first. */
struct kmh_parked {
	unsigned long npages;		/* in all of them; read anywhere */
	unsigned long max;		/* of that, now */
	unsigned long moves;		/* spans in and out, ever; of a store only */
	unsigned int hand;		/* where the next one to go is looked for */
	struct kmh_mspan *head[KMH_LARGECACHE_PAGES];	/* by length - 1 */
};

/* What a CPU keeps, under the mcache rule. */
struct kmh_largecache {
	struct kmh_parked parked;
	unsigned long limit;		/* of parked.max */
	unsigned long takes;		/* spans that were handed out, ever */
	unsigned long allocs;		/* those that became objects */
};

void kmh_largecache_init(struct kmh_largecache *lc);
void kmh_largestore_init(struct kmh_parked *store);
bool kmh_largecache_park(struct kmh_mspan *s);
struct kmh_mspan *kmh_largecache_take(struct kmheap *heap, unsigned long npages, size_t align,
				      int nid, bool count);
bool kmh_largecache_flush(struct kmh_mheap *mh, struct kmh_mcache *mc, unsigned long npages);
void kmh_largecache_to_store(struct kmh_mcache *mc);
void kmh_largestore_release(struct kmheap *heap);
bool kmh_largestore_holds(const struct kmh_parked *store, unsigned long npages,
			  unsigned long align);
bool kmh_largecache_all_to_store(struct kmheap *heap);
void kmh_largecache_drain_all(struct kmheap *heap);
void kmh_largecache_drain_idle(struct kmheap *heap);
bool kmh_span_is_parked(const struct kmh_mspan *s, unsigned long page);
unsigned int kmh_largecache_validate(struct kmheap *heap, kmh_finding_fn finding, void *ctx);

#endif /* _KMHEAP_LARGECACHE_H */
