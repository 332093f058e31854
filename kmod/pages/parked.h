/* SPDX-License-Identifier: GPL-2.0 */
/* Private: freed large objects that are kept, and the store of a node; see parked.c. */
#ifndef _KMHEAP_PARKED_H
#define _KMHEAP_PARKED_H

#include <linux/limits.h>
#include <linux/types.h>

#include "span/mspan.h"

struct kmh_mheap;
struct kmheap;

/* The longest span that is parked, in heap pages: 1 MiB, half the smallest full arena. */
#define KMH_LARGECACHE_PAGES	128UL

/* Parked spans by length; of each length the last one parked is the first one taken. */
struct kmh_parked {
	unsigned long npages;		/* of all spans; read anywhere */
	unsigned long max;		/* bound of @npages, at present */
	unsigned long moves;		/* spans in and out, ever; of a store only */
	unsigned int hand;		/* the length of which the next one goes */
	struct kmh_mspan *head[KMH_LARGECACHE_PAGES];	/* by length - 1 */
};

static __always_inline void kmh_parked_push(struct kmh_parked *p, struct kmh_mspan *s)
{
	struct kmh_mspan **head = &p->head[s->npages - 1];

	s->parked = *head;
	*head = s;
	WRITE_ONCE(p->npages, p->npages + s->npages);
}

/* Pop a span of @npages; there is one. */
static __always_inline struct kmh_mspan *kmh_parked_pop(struct kmh_parked *p,
							unsigned long npages)
{
	struct kmh_mspan *s = p->head[npages - 1];

	WRITE_ONCE(p->head[npages - 1], s->parked);
	WRITE_ONCE(p->npages, p->npages - npages);
	return s;
}

unsigned long kmh_share_of_memory(size_t bytes, unsigned int n);
struct kmh_mspan *kmh_parked_pop_any(struct kmh_parked *p);
void kmh_parked_next_turn(struct kmh_parked *p);
void kmh_free_parked(struct kmh_mspan *s);

/* Spans that are moved, or given back, in one go. */
#define KMH_LARGECACHE_BATCH	32U
#define KMH_WHATEVER		ULONG_MAX

void kmh_store_make_room(struct kmh_parked *store, unsigned long npages, struct kmh_mspan **out);
bool kmh_largestore_drain_some(struct kmh_mheap *mh, unsigned long npages);
void kmh_largestore_init(struct kmh_parked *store);
void kmh_largestore_drain(struct kmheap *heap);
bool kmh_largestore_holds(const struct kmh_parked *store, unsigned long npages,
			  unsigned long align);
bool kmh_span_is_parked(const struct kmh_mspan *s, unsigned long page);

#endif /* _KMHEAP_PARKED_H */
