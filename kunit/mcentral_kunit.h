/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites of mcentral share. A case plays the mcache: it takes spans with
 * cache_span(), takes the slots it "allocates" with kmh_kunit_take_slot() and gives the span back
 * with uncache_span().
 */
#ifndef _KMHEAP_MCENTRAL_KUNIT_H
#define _KMHEAP_MCENTRAL_KUNIT_H

#include <linux/bitops.h>
#include <linux/llist.h>

#include "kunit_util.h"

#define SPANCLASS	kmh_spanclass(32, false)	/* 8 slots of 1024 bytes, a word */
#define SPANCLASS_16	kmh_spanclass(1, false)		/* 1024 slots of 8 bytes, 16 words */
#define NR_SLOTS	8U

/* .init: no magazines, so that frees announce at once; the cases know which span they have. */
static inline int mcentral_init(struct kunit *test)
{
	int err = kmh_kunit_init(test);

	if (err)
		return err;
	kmh_kunit_no_magazines(kmh_kunit_heap(test));
	/*
	 * Cases look at counts of pages: no worker may grow the heap or make pages of its
	 * spans.
	 */
	kmh_kunit_no_worker(kmh_kunit_heap(test));
	return kmh_mspan_pools_refill(512, GFP_KERNEL);
}

static inline struct kmh_node *node(struct kunit *test)
{
	return kmh_kunit_heap(test)->nodes[numa_mem_id()];
}

static inline struct kmh_mcentral *central(struct kunit *test, unsigned int spanclass)
{
	return kmh_mcentral_of(node(test), spanclass);
}

/* How often @which is in an inbox. */
static inline unsigned int times_in(const struct kmh_inbox *in, const struct kmh_mspan *which)
{
	unsigned int n = 0, len = 0;
	struct kmh_mspan *s;

	/* A span that is on the list twice may close a ring. */
	llist_for_each_entry(s, in->announced.first, node) {
		n += s == which;
		if (++len == 1000)
			break;
	}
	llist_for_each_entry(s, in->ripe.first, node) {
		n += s == which;
		if (++len == 1000)
			break;
	}
	return n;
}

static inline unsigned int announced(struct kunit *test, const struct kmh_mspan *which)
{
	unsigned int n = times_in(&central(test, which->spanclass)->inbox, which), cpu;

	for_each_possible_cpu(cpu)
		n += times_in(&per_cpu_ptr(kmh_kunit_heap(test)->mcache,
					   cpu)->inbox[which->spanclass], which);
	return n;
}

static inline bool partial(struct kunit *test, const struct kmh_mspan *which)
{
	struct kmh_mcentral *c = central(test, which->spanclass);
	unsigned long flags;
	struct kmh_mspan *s;
	bool found = false;

	raw_spin_lock_irqsave(&c->lock, flags);
	list_for_each_entry(s, &c->partial[0], list)
		found |= s == which;
	list_for_each_entry(s, &c->partial[1], list)
		found |= s == which;
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return found;
}

/* The home of @s is @home, and @s is on the list of that home and on no other. */
static inline void expect_home(struct kunit *test, const struct kmh_mspan *s,
			       enum kmh_span_home home)
{
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)home);
	KUNIT_EXPECT_EQ(test, announced(test, s), home == KMH_HOME_ANNOUNCED ? 1U : 0U);
	KUNIT_EXPECT_EQ(test, partial(test, s), home == KMH_HOME_PARTIAL);
}

static inline struct kmh_mspan *cache_span(struct kunit *test, unsigned int spanclass)
{
	struct kmh_mspan *s;

	preempt_disable();
	s = kmh_kunit_cache_span(node(test), spanclass);
	preempt_enable();
	return s;
}

static inline void uncache_span(struct kunit *test, struct kmh_mspan *s)
{
	preempt_disable();
	kmh_mcentral_uncache_span(node(test), s);
	preempt_enable();
}

static inline void free_remote(struct kunit *test, struct kmh_mspan *s, unsigned int slot)
{
	preempt_disable();
	KUNIT_EXPECT_EQ(test, (int)kmh_kunit_free_remote(s, slot), (int)KMH_FREE_OK);
	preempt_enable();
}

/* Announce a full span, as a free does after it has set its bit. */
static inline void announce(struct kmh_mspan *s)
{
	preempt_disable();
	kmh_inbox_announce(s);
	preempt_enable();
}

static inline unsigned long free_pages_now(struct kunit *test)
{
	kmh_mheap_drain_pending(&node(test)->mheap);
	return node(test)->mheap.pa.nfree;
}

/* Make the heap large enough for the case: growing in the middle of it would release spans. */
static inline void grow(struct kunit *test, unsigned long npages)
{
	struct kmh_mheap *mh = &node(test)->mheap;

	while (free_pages_now(test) < npages)
		KUNIT_ASSERT_EQ(test, kmh_mheap_grow_arena(mh, 1, 1, GFP_KERNEL), 0);
	kmh_kunit_settle(kmh_kunit_heap(test));
}

/* A fresh span with its first @n slots taken, as an mcache would hold it. */
static inline struct kmh_mspan *span_of(struct kunit *test, unsigned int spanclass, unsigned int n)
{
	struct kmh_mheap *mh = &node(test)->mheap;
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];
	struct kmh_mspan *s;
	unsigned int i;

	for (;;) {
		unsigned long seen = READ_ONCE(mh->ngrown);

		preempt_disable();
		s = kmh_mheap_alloc_span(mh, NULL, spanclass, class->npages, class->align_pages,
					 false, NULL);
		preempt_enable();
		if (s)
			break;
		KUNIT_ASSERT_EQ(test, kmh_mheap_grow(mh, class->npages, class->align_pages, seen,
						     GFP_KERNEL), 0);
	}
	for (i = 0; i < n; i++)
		kmh_kunit_take_slot(s, i);
	return s;
}

/* Free every live slot, as another CPU would. */
static inline void free_all(struct kunit *test, struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nelems; i++)
		if (kmh_slot_live(s, i))
			free_remote(test, s, i);
}

/* The cell of what a magazine holds, one that the heap of a case does not have. */
#define HELD		(KMH_CELL_TAG + KMH_CELL_TAGS - 1)

/*
 * A slot of the span's becomes another party's by its cell, and its bit stays: of two frees at the
 * same time one has given the slot back, and then the other, which had seen the object live, has
 * put it into its magazine.
 */
static inline void hold_slot(struct kmh_mspan *s, unsigned int slot)
{
	WRITE_ONCE(s->cell[slot], HELD);
}

/* The magazine gives it back, as when it is drained. */
static inline void give_held(struct kunit *test, struct kmh_mspan *s, unsigned int slot)
{
	unsigned int word = slot / KMH_WORD_SLOTS;
	unsigned long bit = BIT(slot % KMH_WORD_SLOTS);

	preempt_disable();
	KUNIT_EXPECT_EQ(test, kmh_cells_move(s, word, bit, HELD, KMH_CELL_OUT), bit);
	kmh_mcache_give(this_cpu_ptr(kmh_kunit_heap(test)->mcache), s, word, bit);
	preempt_enable();
}

/* Every span has been freed into by the end of a case: all pages come back. */
static inline void expect_all_released(struct kunit *test, unsigned int spanclass)
{
	struct kmh_mcentral *c = central(test, spanclass);

	kmh_kunit_settle(kmh_kunit_heap(test));
	kmh_mcentral_drain(node(test), spanclass);
	KUNIT_EXPECT_EQ(test, c->npartial, 0U);
	KUNIT_EXPECT_TRUE(test, list_empty(&c->partial[0]) && list_empty(&c->partial[1]));
	KUNIT_EXPECT_FALSE(test, kmh_inbox_any_announced(c));
	free_pages_now(test);
	KUNIT_EXPECT_EQ(test, node(test)->mheap.pa.nfree, node(test)->mheap.pa.npages);
}

static inline void *alloc_one(struct kunit *test, unsigned int spanclass)
{
	void *p;

	preempt_disable();
	p = kmh_mcentral_alloc_one(node(test), spanclass, false);
	preempt_enable();
	return p;
}

#endif /* _KMHEAP_MCENTRAL_KUNIT_H */
