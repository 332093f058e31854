// SPDX-License-Identifier: GPL-2.0
/*
 * The store of a node: freed large objects that no CPU keeps.
 *
 * What a parked span is stands at the top of largecache.c, which has the CPU's side. The store is
 * under the page heap's lock, and has a list for each length. CPUs that have too much give to it,
 * those that have none take from it, and who finds no pages has what is there turned into pages
 * before the heap grows.
 */
#include <linux/mm.h>

#include "pages/parked.h"
#include "base/lock.h"
#include "heap.h"
#include "pages/arena.h"

/* A store, as all CPUs together, keeps 1/64 of the memory at most, but one of the longest. */
#define KMH_LARGESTORE_BYTES	(64UL << 20)

unsigned long kmh_share_of_memory(size_t bytes, unsigned int n)
{
	size_t share = ((size_t)totalram_pages() << PAGE_SHIFT >> 6) / n;

	BUILD_BUG_ON(KMH_ARENA_FULL_MIN_BYTES / 2 >> KMH_PAGE_SHIFT < KMH_LARGECACHE_PAGES);
	return max(min(bytes, share) >> KMH_PAGE_SHIFT, KMH_LARGECACHE_PAGES);
}

void kmh_largestore_init(struct kmh_parked *store)
{
	store->max = kmh_share_of_memory(KMH_LARGESTORE_BYTES, 1);
}

/* ---- lists; in the section, or under the page heap's lock */

/* Pop any span, of the length at the hand, which stays where there may be more; or NULL. */
struct kmh_mspan *kmh_parked_pop_any(struct kmh_parked *p)
{
	if (!p->npages)
		return NULL;
	while (!p->head[p->hand])
		p->hand = (p->hand + 1) % KMH_LARGECACHE_PAGES;
	return kmh_parked_pop(p, p->hand + 1);
}

/* Lengths take turns, so that spans of a length that is not asked for any more go, too. */
void kmh_parked_next_turn(struct kmh_parked *p)
{
	p->hand = (p->hand + 1) % KMH_LARGECACHE_PAGES;
}

/* Give back spans linked by @parked. */
void kmh_free_parked(struct kmh_mspan *s)
{
	struct kmh_mspan *next;

	for (; s; s = next) {
		next = s->parked;
		kmh_mheap_free_span(s);
	}
}

/*
 * Make room in the store. A full one gives up the spans whose turn it is: they are added to @out.
 */
void kmh_store_make_room(struct kmh_parked *store, unsigned long npages, struct kmh_mspan **out)
{
	while (store->npages + npages > store->max) {
		struct kmh_mspan *s = kmh_parked_pop_any(store);

		if (!s)
			break;
		s->parked = *out;
		*out = s;
	}
}

/* ---- giving them back */

/* Pop the shortest span of @npages or more. */
static struct kmh_mspan *kmh_parked_pop_fit(struct kmh_parked *p, unsigned long npages)
{
	for (; npages <= KMH_LARGECACHE_PAGES; npages++)
		if (p->head[npages - 1])
			return kmh_parked_pop(p, npages);
	return NULL;
}

/*
 * Give back one span of a store that holds @npages, or else a batch of any. No span holds
 * KMH_WHATEVER pages. Return: false when the store is empty.
 */
bool kmh_largestore_drain_some(struct kmh_mheap *mh, unsigned long npages)
{
	struct kmh_parked *store = &mh->store;
	struct kmh_mspan *s, *out = NULL;
	unsigned int n = KMH_LARGECACHE_BATCH;
	unsigned long flags;
	bool any;

	if (!READ_ONCE(store->npages) || !kmh_lock_irqsave(&mh->lock, flags))
		return false;
	s = kmh_parked_pop_fit(store, npages);
	if (s)
		n = 1;
	else
		s = kmh_parked_pop_any(store);
	any = s;
	while (s) {
		s->parked = out;
		out = s;
		s = --n ? kmh_parked_pop_any(store) : NULL;
	}
	kmh_unlock_irqrestore(&mh->lock, flags);
	kmh_free_parked(out);
	return any;
}

/* Give back everything that is in the stores now. Context: process context; sleeps. */
void kmh_largestore_drain(struct kmheap *heap)
{
	struct kmh_node *node;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid))) {
		/* Each round gives back a page, so this ends: what is parked meanwhile may stay. */
		unsigned long left = READ_ONCE(node->mheap.store.npages);

		while (left-- && kmh_largestore_drain_some(&node->mheap, KMH_WHATEVER))
			cond_resched();
		kmh_mheap_drain_pending(&node->mheap);
	}
}

/* Does one span of a store hold @npages? Under the page heap's lock. */
bool kmh_largestore_holds(const struct kmh_parked *store, unsigned long npages,
			  unsigned long align)
{
	for (; npages <= KMH_LARGECACHE_PAGES; npages++) {
		const struct kmh_mspan *s = store->head[npages - 1];

		if (s && IS_ALIGNED(s->base >> KMH_PAGE_SHIFT, align))
			return true;
	}
	return false;
}

/*
 * Is @s, which the arenas map has for heap page @page, parked, or about to be or to be taken? Only
 * its first page says yes.
 */
bool kmh_span_is_parked(const struct kmh_mspan *s, unsigned long page)
{
	return s->state == KMH_SPAN_FREED && s->base >> KMH_PAGE_SHIFT == page;
}
