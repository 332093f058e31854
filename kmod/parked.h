/* SPDX-License-Identifier: GPL-2.0 */
/* Private: freed large objects that are kept, and the store of a node; see parked.c. */
#ifndef _KMHEAP_PARKED_H
#define _KMHEAP_PARKED_H

#include <linux/types.h>

struct kmh_mheap;
struct kmh_mspan;
struct kmheap;

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

void kmh_largestore_init(struct kmh_parked *store);
void kmh_largestore_release(struct kmheap *heap);
bool kmh_largestore_holds(const struct kmh_parked *store, unsigned long npages,
			  unsigned long align);
bool kmh_span_is_parked(const struct kmh_mspan *s, unsigned long page);

#endif /* _KMHEAP_PARKED_H */
