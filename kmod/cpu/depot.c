// SPDX-License-Identifier: GPL-2.0
/*
 * Depots: objects that one CPU has freed and another one allocates.
 *
 * After the depot of Bonwick and Adams ("Magazines and Vmem", 2001), TCMalloc's transfer cache and
 * the barns of SLUB's sheaves. A CPU that only frees objects of a class gives those that have
 * rested, all at once, to the depot of the class and node; a CPU of that node that only allocates
 * some, and has nothing set aside, takes them. So an object that goes from CPU to CPU costs neither
 * of them a trip to its span, and the lists of mcentral are left alone. CPUs that do both in turns
 * keep to their own spans: an object of another CPU's span makes that span shared, and its frees
 * dearer. But what is in a depot is taken before anybody goes without.
 *
 * What is given is a *batch*: entries, and the tag that their cells have. The cells are not
 * touched until somebody takes the batch. That CPU exchanges each of them for its own tag, eight
 * at once where they are side by side, and drops what has another value: it was freed twice, and
 * the cell names who has it. Rule 2 of design.rst, 4.2, holds for the holder of a batch as for the
 * CPU with the tag.
 *
 * A depot is a row of places, each of which has a batch or none. Who exchanges a place for 0 has
 * its batch alone, and nobody else looks into it; so no look can become stale, and nobody waits.
 * How many entries a batch has stands in the low bits of its address; without any it is memory for
 * the next one. Queues are touched in sections, so an interrupt or NMI in between finds its mcache
 * in use, and takes nothing: it gives what is there to the spans.
 */
#include <linux/atomic.h>
#include <linux/build_bug.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "cpu/depot.h"
#include "base/backend.h"
#include "cpu/magazine.h"
#include "cpu/watch.h"
#include "heap.h"
#include "span/arenamap.h"

/* Batches of large classes: as many as have these bytes, but one always. */
#define KMH_DEPOT_BYTES		SZ_256K

#ifdef KMHEAP_KUNIT
bool kmh_depot_shut;
#else
static const bool kmh_depot_shut;
#endif

/* Make the depots of @node. Context: process context; sleeps, as @gfp must allow. 0 or -ENOMEM. */
int kmh_depots_make(struct kmh_node *node, gfp_t gfp)
{
	struct kmh_depot *depots;

	BUILD_BUG_ON(sizeof(struct kmh_batch) > sizeof(struct kmh_magazine));
	BUILD_BUG_ON(!is_power_of_2(KMH_BATCH_ENTRIES + 1));
	if (READ_ONCE(node->depot))
		return 0;
	depots = kmh_backend_zalloc(KMH_DEPOTS_BYTES, gfp, node->mheap.nid);
	if (!depots)
		return -ENOMEM;
	if (cmpxchg(&node->depot, NULL, depots))
		kmh_backend_free(depots);
	else
		kmh_heap_account_metadata(node->mheap.heap, KMH_DEPOTS_BYTES);
	return 0;
}

static struct kmh_batch *kmh_batch_of(unsigned long place)
{
	return (struct kmh_batch *)(place & ~(unsigned long)KMH_BATCH_N);
}

/* Batches that there may be of a class. */
static unsigned int kmh_depot_room(unsigned int spanclass)
{
	size_t bytes = kmh_magazine_room(spanclass) * kmh_spanclass_size[spanclass];

	return clamp_t(unsigned int, KMH_DEPOT_BYTES / bytes, 1, KMH_DEPOT_BATCHES);
}

/* Batches of a depot that have entries. A guess. */
static unsigned int kmh_depot_full(const struct kmh_depot *d)
{
	unsigned int i, n = 0;

	for (i = 0; i < KMH_DEPOT_BATCHES; i++)
		n += !!(READ_ONCE(d->place[i]) & KMH_BATCH_N);
	return n;
}

/*
 * Take a batch out of a depot: one with entries, or one without any. Context: any; preemption off.
 * Return: what its place had, or 0 when there is none.
 */
static unsigned long kmh_depot_fetch(struct kmh_depot *d, bool full)
{
	unsigned long place;
	unsigned int i;

	kmh_assert_pinned();
	for (i = 0; i < KMH_DEPOT_BATCHES; i++) {
		place = READ_ONCE(d->place[i]);
		/* Fully ordered: what is in the batch, and the last accesses to its objects. */
		if (place && full == !!(place & KMH_BATCH_N) &&
		    cmpxchg(&d->place[i], place, 0) == place)
			return place;
	}
	return 0;
}

/* Put a batch into a place. Return: false when there is none that is free. */
static bool kmh_depot_store(struct kmh_depot *d, unsigned long place)
{
	unsigned int i;

	kmh_test_point("depot: before a batch is stored");
	for (i = 0; i < KMH_DEPOT_BATCHES; i++)
		/* Fully ordered: see kmh_depot_fetch(). */
		if (!READ_ONCE(d->place[i]) && !cmpxchg(&d->place[i], 0, place))
			return true;
	return false;
}

/* Has the CPU gone @by for long, 1 or -1, without a step the other way? This is another step. */
static bool kmh_depot_trend(s8 *trend, int by)
{
	*trend = *trend * by < 0 ? by : clamp(*trend + by, -KMH_DEPOT_TREND, KMH_DEPOT_TREND);
	return *trend == by * KMH_DEPOT_TREND;
}

/* Slots are to be set aside: is the CPU one that takes what others have given? In the section. */
bool kmh_depot_wanted(struct kmh_mcache *mc, unsigned int spanclass)
{
	return kmh_depot_trend(&mc->trend[spanclass], 1);
}

/*
 * Give the oldest entries, those before @to, of a queue into which the CPU has only freed, away. In
 * the section. Return: false, and nothing done, when the CPU is not one that gives, the depot is
 * full, or there is no memory for a batch.
 */
bool kmh_depot_give(struct kmh_mcache *mc, struct kmh_mcslot *c, struct kmh_entry *to)
{
	unsigned int spanclass = c - mc->slot, n = to - c->head;
	struct kmh_depot *d = &mc->node->depot[spanclass];
	struct kmh_batch *b;

	if (!kmh_depot_trend(&mc->trend[spanclass], -1))
		return false;
	if (READ_ONCE(kmh_depot_shut) || !n || n > KMH_BATCH_ENTRIES ||
	    kmh_depot_full(d) >= kmh_depot_room(spanclass))
		return false;
	b = kmh_batch_of(kmh_depot_fetch(d, false));
	if (!b)
		b = (struct kmh_batch *)kmh_magazine_get(mc);
	if (!b)
		return false;
	b->tag = mc->tag;
	memcpy(b->entry, c->head, n * sizeof(*to));
	if (!kmh_depot_store(d, (unsigned long)b | n)) {
		kmh_magazine_put(mc->heap, (struct kmh_magazine *)b);
		return false;
	}
	/* They were no allocations. */
	WRITE_ONCE(mc->taken[spanclass], mc->taken[spanclass] - n);
	WRITE_ONCE(c->head, to);
	kmh_kick_ask(&mc->heap->idle.kick);	/* whose worker may pass over this CPU */
	return true;
}

/* Is the entry's cell that of its object? It is not when two frees came at once (magazine.c). */
static bool kmh_entry_leads(const struct kmh_mspan *s, const struct kmh_entry *e)
{
	return kmh_entry_fits(s, e) && kmh_mspan_slot_addr(s, e->cell - s->cell) == e->addr;
}

/* Take over the first entries of a batch, eight if possible, of @n. Return: how many, or 0. */
static unsigned int kmh_batch_retag(struct kmh_mcache *mc, const struct kmh_batch *b,
				    const struct kmh_entry *e, unsigned int n, size_t bytes)
{
	struct kmh_mspan *s = kmh_span_of(e->addr);

	if (unlikely(!kmh_entry_leads(s, e))) {
		kmh_magazine_stray(mc, b->tag, s, e);
		return 0;
	}
	if (n >= 8 && !((unsigned long)e->cell % 8) &&
	    kmh_entries_follow(e, e->cell, e->addr, bytes) &&
	    kmh_cells_move_eight(e->cell, b->tag, mc->tag))
		return 8;
	if (likely(cmpxchg(e->cell, b->tag, mc->tag) == b->tag))
		return 1;
	kmh_misuse_twice(mc->heap, e->addr, bytes);
	return 0;
}

/*
 * Make @n entries of a batch the first ones of a queue of which nothing is to be allocated: what
 * rests there goes behind them, and goes on resting. In the section.
 */
static void kmh_batch_adopt(struct kmh_mcache *mc, struct kmh_mcslot *c, const struct kmh_batch *b,
			    unsigned int n)
{
	unsigned int spanclass = c - mc->slot, nrest = c->tail - c->head, got;
	struct kmh_entry *start = mc->magazine[spanclass]->entry, *to = start;
	const struct kmh_entry *e = b->entry, *end = e + n;

	memmove(start + n, c->head, nrest * sizeof(*to));
	for (; e < end; e += got ?: 1) {
		got = kmh_batch_retag(mc, b, e, end - e, kmh_spanclass_size[spanclass]);
		memcpy(to, e, got * sizeof(*to));
		to += got;
	}
	if (unlikely(to != start + n))
		memmove(to, start + n, nrest * sizeof(*to));
	WRITE_ONCE(mc->taken[spanclass], mc->taken[spanclass] + (c->head - start));
	WRITE_ONCE(c->head, start);
	WRITE_ONCE(c->tail, to + nrest);
	kmh_magazine_open(mc, c);
}

/*
 * Give @n entries of a batch back to their spans. @stub: of this CPU; it caches no span, so all is
 * given as by a CPU that does not. Context: any; preemption off.
 */
static void kmh_batch_scatter(struct kmh_mcache *stub, unsigned int spanclass,
			      const struct kmh_batch *b, unsigned int n)
{
	const struct kmh_entry *e;
	unsigned int slot;

	kmh_assert_pinned();
	for (e = b->entry; e < b->entry + n; e++) {
		struct kmh_mspan *s = kmh_span_of(e->addr);

		if (unlikely(!kmh_entry_leads(s, e))) {
			kmh_magazine_stray(stub, b->tag, s, e);
			continue;
		}
		slot = e->cell - s->cell;
		if (unlikely(cmpxchg(e->cell, b->tag, KMH_CELL_OUT) != b->tag))
			kmh_misuse_twice(stub->heap, e->addr, kmh_spanclass_size[spanclass]);
		else
			kmh_mcache_give(stub, s, slot / KMH_WORD_SLOTS,
					BIT(slot % KMH_WORD_SLOTS));
	}
}

/*
 * Give back to their spans what a depot has, and the memory of its batches, for those who cannot
 * take it: an interrupt that finds its mcache in use, a CPU without a magazine, a search for pages.
 * What others give meanwhile may stay. Context: any; preemption off. Return: was there anything?
 */
bool kmh_depot_drain(struct kmh_node *node, unsigned int spanclass)
{
	struct kmheap *heap = node->mheap.heap;
	struct kmh_depot *d = READ_ONCE(node->depot);
	bool any = false;
	unsigned long place;
	unsigned int i;

	kmh_assert_pinned();
	for (i = 0; d && i < KMH_DEPOT_BATCHES; i++) {
		if (!READ_ONCE(d[spanclass].place[i]))
			continue;
		/* Fully ordered: see kmh_depot_fetch(). */
		place = xchg(&d[spanclass].place[i], 0);
		if (!place)
			continue;
		any |= !!(place & KMH_BATCH_N);
		kmh_batch_scatter(kmh_stub_of(heap, smp_processor_id()), spanclass,
				  kmh_batch_of(place), place & KMH_BATCH_N);
		kmh_magazine_put(heap, (struct kmh_magazine *)kmh_batch_of(place));
	}
	return any;
}

/*
 * Take what another CPU has given. In the section; of the class's own queue only what rests is
 * left, or what a profile holds back. Return: false when there is nothing to allocate all the same.
 */
bool kmh_depot_take(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	unsigned int spanclass = c - mc->slot;
	struct kmh_depot *d = &mc->node->depot[spanclass];
	struct kmh_batch *b;
	unsigned long place;

	if (likely(!kmh_depot_full(d)))
		return false;
	if (!kmh_magazine_may_adopt(mc, c)) {
		kmh_depot_drain(mc->node, spanclass);
		return false;
	}
	place = kmh_depot_fetch(d, true);
	if (likely(place)) {
		b = kmh_batch_of(place);
		if (READ_ONCE(mc->node->depot_rests[spanclass]))
			WRITE_ONCE(mc->node->depot_rests[spanclass], false);
		kmh_batch_adopt(mc, c, b, place & KMH_BATCH_N);
		if (!kmh_depot_store(d, (unsigned long)b))
			kmh_magazine_put(mc->heap, (struct kmh_magazine *)b);
		if (likely(c->head < c->ready))
			return true;
	}
	kmh_watch_reopen(mc, spanclass);
	return false;
}

/*
 * Give back what all depots have, so that it keeps no span. What a CPU is just giving or taking is
 * that CPU's. Context: process context.
 */
void kmh_depots_drain(struct kmheap *heap)
{
	struct kmh_node *node;
	unsigned int i;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid))) {
		for (i = 0; READ_ONCE(node->depot) && i < KMH_NR_SPANCLASSES; i++) {
			preempt_disable();
			kmh_depot_drain(node, i);
			preempt_enable();
		}
	}
}

/* Has a depot batches, or memory for some? A guess, from any CPU. */
static bool kmh_depot_used(const struct kmh_node *node, unsigned int spanclass)
{
	const struct kmh_depot *depots = READ_ONCE(node->depot);
	unsigned int i;

	for (i = 0; depots && i < KMH_DEPOT_BATCHES; i++)
		if (READ_ONCE(depots[spanclass].place[i]))
			return true;
	return false;
}

/*
 * Give back what depots have of which nobody has taken since the last such look. Context: process
 * context; one at a time. Return: is there anything left?
 */
bool kmh_depots_look(struct kmheap *heap)
{
	struct kmh_node *node;
	bool any = false;
	unsigned int i;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid))) {
		for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
			bool used = kmh_depot_used(node, i);
			bool rests = READ_ONCE(node->depot_rests[i]);

			if (used && rests) {
				preempt_disable();
				kmh_depot_drain(node, i);
				preempt_enable();
			}
			any |= used && !rests;
			WRITE_ONCE(node->depot_rests[i], used && !rests);
		}
	}
	return any;
}

/* Free the depots of a node, and what they have. Context: process context; nobody uses the node. */
void kmh_depots_free(struct kmh_node *node)
{
	unsigned long place;
	unsigned int i, k;

	if (!node->depot)
		return;
	for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
		for (k = 0; k < KMH_DEPOT_BATCHES; k++) {
			place = node->depot[i].place[k];
			if (place)
				kmh_magazine_put(node->mheap.heap,
						 (struct kmh_magazine *)kmh_batch_of(place));
		}
	}
	kmh_heap_account_metadata(node->mheap.heap, -(long)KMH_DEPOTS_BYTES);
	kmh_backend_free(node->depot);
}

/* Objects in a depot: a guess, from any CPU. */
unsigned int kmh_depot_len(const struct kmh_node *node, unsigned int spanclass)
{
	const struct kmh_depot *depots = READ_ONCE(node->depot);
	unsigned int i, n = 0;

	for (i = 0; depots && i < KMH_DEPOT_BATCHES; i++)
		n += READ_ONCE(depots[spanclass].place[i]) & KMH_BATCH_N;
	return n;
}
