// SPDX-License-Identifier: GPL-2.0
/* KUnit: the page heap: spans from pages, frees that find it locked, growing ahead of need. */
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/mm.h>

#include "mheap_kunit.h"

/* ---- spans */

static void alloc_span_aligned(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	unsigned long align, npages;
	struct kmh_mspan *s, *next;
	LLIST_HEAD(all);

	for (align = 1; align <= 128; align *= 2) {
		for (npages = 1; npages <= 9; npages += 4) {
			while (!(s = alloc_span(mh, LARGE, npages, align, NULL)))
				KUNIT_ASSERT_EQ(test, grow(mh, npages, align), 0);
			KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED(page_of(s), align),
					      "%lu pages at %lu", npages, align);
			KUNIT_EXPECT_EQ(test, s->npages, npages);
			KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page_of(s)), s);
			KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page_of(s) + npages - 1), s);
			KUNIT_EXPECT_FALSE(test, kmh_span_of_page(page_of(s) - 1) == s);
			KUNIT_EXPECT_FALSE(test, kmh_span_of_page(page_of(s) + npages) == s);
			__llist_add(&s->node, &all);
		}
	}
	kmh_kunit_validate(test);
	llist_for_each_entry_safe(s, next, all.first, node)
		kmh_mheap_free_span(s);
	kmh_kunit_settle(mh->heap);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
}

static void free_span_reuses_pages_and_metadata(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned long nfree = mh->pa.nfree;
	long metadata = atomic_long_read(&heap->metadata_bytes);
	unsigned int i;

	for (i = KMH_SPANCLASS_TINY; i < KMH_NR_SPANCLASSES; i++) {
		const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(i)];
		struct kmh_mspan *s = alloc_span(mh, i, class->npages, 1, NULL), *again;
		unsigned long page;

		KUNIT_ASSERT_NOT_NULL(test, s);
		page = page_of(s);
		KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree - class->npages);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes),
				metadata + (long)kmh_mspan_bytes(s));
		kmh_mheap_free_span(s);
		again = alloc_span(mh, i, class->npages, 1, NULL);
		KUNIT_EXPECT_PTR_EQ(test, again, s);
		KUNIT_EXPECT_EQ(test, page_of(again), page);
		kmh_mheap_free_span(again);
		KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes), metadata);
	}
}

/* ---- frees that find the lock taken */

/* A large object that no CPU parks. */
#define LONG	(KMH_LARGECACHE_PAGES + 1)

/* The kick is marked as queued, so that it cannot be queued: the worker stays asleep. */
static void hold_worker(struct kmh_mheap *mh)
{
	kmh_kunit_settle(mh->heap);
	atomic_or(IRQ_WORK_CLAIMED, &mh->kick.node.a_flags);
}

static void let_worker(struct kmh_mheap *mh)
{
	atomic_andnot(IRQ_WORK_CLAIMED, &mh->kick.node.a_flags);
}

static void pending_span_is_drained_by_the_next_user(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned int user;

	grow_to(test, mh, LONG + 100);
	for (user = 0; user < 5; user++) {
		unsigned long nfree = mh->pa.nfree, page, flags;
		long metadata = atomic_long_read(&heap->metadata_bytes);
		struct kmh_mspan *s = alloc_span(mh, SPANCLASS, 1, 1, NULL), *other = NULL;
		void *large = kmheap_alloc(heap, LONG << KMH_PAGE_SHIFT, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, s);
		KUNIT_ASSERT_NOT_NULL(test, large);
		page = page_of(s);
		if (user < 4)
			hold_worker(mh);
		raw_spin_lock_irqsave(&mh->lock, flags);
		kmh_mheap_free_span(s);
		kmheap_free(large);
		raw_spin_unlock_irqrestore(&mh->lock, flags);

		if (user < 4) {
			KUNIT_EXPECT_FALSE(test, llist_empty(&mh->pending));
			KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree - 1 - LONG);
		}
		/* The object is freed all the same: a second free is reported. */
		kmheap_free(large);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
		switch (user) {
		case 0:
			kmh_mheap_drain_pending(mh);
			break;
		case 1:
			other = alloc_span(mh, SPANCLASS, 1, 1, NULL);
			if (other)
				KUNIT_EXPECT_EQ(test, page_of(other), page);
			break;
		case 2:
			kmh_kunit_validate(test);
			break;
		case 3:
			KUNIT_EXPECT_TRUE(test, kmh_mheap_drain_lists(mh));
			break;
		case 4:		/* nobody comes but the worker */
			kmh_kunit_settle(heap);
			break;
		}
		KUNIT_EXPECT_TRUE_MSG(test, llist_empty(&mh->pending), "user %u", user);
		KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree - !!other);
		let_worker(mh);
		if (other)
			kmh_mheap_free_span(other);
		else
			KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page), heap->freed);
		KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes), metadata);
	}
}

static void destroy_drains_pending_spans(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-pending", 0);
	struct kmh_mheap *mh = mheap_of(heap);
	void *p = kmheap_alloc(heap, LONG << KMH_PAGE_SHIFT, GFP_KERNEL);
	unsigned long flags;

	KUNIT_ASSERT_NOT_NULL(test, p);
	hold_worker(mh);
	raw_spin_lock_irqsave(&mh->lock, flags);
	kmheap_free(p);
	raw_spin_unlock_irqrestore(&mh->lock, flags);
	KUNIT_EXPECT_FALSE(test, llist_empty(&mh->pending));
	let_worker(mh);
	kmheap_destroy(heap);	/* the books at the end of the case would tell */
}

/* ---- what is known to be zero */

static void zeroed_until_used(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	struct kmh_arena *a = arena(mh->heap, 0);
	unsigned long page = a->range.first;
	struct kmh_mspan *s[6];
	bool zeroed[6];
	unsigned int i;

	/* As under init_on_alloc; nobody looks into the pages here. */
	a->zeroed_from = a->first;
	s[0] = alloc_span(mh, LARGE, 2, 1, &zeroed[0]);		/* fresh */
	s[1] = alloc_span(mh, LARGE, 1, 1, &zeroed[1]);		/* fresh */
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	KUNIT_ASSERT_NOT_NULL(test, s[1]);
	KUNIT_EXPECT_EQ(test, page_of(s[0]), page);
	KUNIT_EXPECT_EQ(test, page_of(s[1]), page + 2);
	KUNIT_EXPECT_EQ(test, a->zeroed_from, page + 3);
	KUNIT_EXPECT_TRUE(test, zeroed[0]);
	KUNIT_EXPECT_TRUE(test, zeroed[1]);

	kmh_mheap_free_span(s[0]);
	s[0] = alloc_span(mh, LARGE, 1, 1, &zeroed[0]);		/* used before */
	s[2] = alloc_span(mh, LARGE, 1, 1, &zeroed[2]);		/* used before */
	KUNIT_ASSERT_NOT_NULL(test, s[0]);
	KUNIT_ASSERT_NOT_NULL(test, s[2]);
	KUNIT_EXPECT_EQ(test, page_of(s[2]), page + 1);
	KUNIT_EXPECT_FALSE(test, zeroed[0]);
	KUNIT_EXPECT_FALSE(test, zeroed[2]);
	KUNIT_EXPECT_EQ(test, a->zeroed_from, page + 3);

	/* The page that was used last, and the fresh ones behind it: not all of them zero. */
	kmh_mheap_free_span(s[1]);
	s[1] = alloc_span(mh, LARGE, 4, 1, &zeroed[1]);
	KUNIT_ASSERT_NOT_NULL(test, s[1]);
	KUNIT_EXPECT_EQ(test, page_of(s[1]), page + 2);
	KUNIT_EXPECT_FALSE(test, zeroed[1]);
	KUNIT_EXPECT_EQ(test, a->zeroed_from, page + 6);

	/* Fresh pages passed over because of an alignment are not known to be zero any more. */
	s[3] = alloc_span(mh, LARGE, 1, 8, &zeroed[3]);
	KUNIT_ASSERT_NOT_NULL(test, s[3]);
	KUNIT_EXPECT_TRUE(test, zeroed[3]);
	KUNIT_EXPECT_EQ(test, a->zeroed_from, page_of(s[3]) + 1);
	s[4] = alloc_span(mh, LARGE, 1, 1, &zeroed[4]);
	KUNIT_ASSERT_NOT_NULL(test, s[4]);
	KUNIT_EXPECT_EQ(test, zeroed[4], page_of(s[4]) > page_of(s[3]));
	s[5] = alloc_span(mh, LARGE, 1, 16, &zeroed[5]);
	KUNIT_ASSERT_NOT_NULL(test, s[5]);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		kmh_mheap_free_span(s[i]);
}

/* Pages are known to be zero only where the kernel promises to clear memory. */
static void zeroed_only_where_the_kernel_clears(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	bool zeroed = !want_init_on_alloc(0);
	struct kmh_mspan *s = alloc_span(mh, LARGE, 1, 1, &zeroed);

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, zeroed, want_init_on_alloc(0));
	kmh_mheap_free_span(s);
}

/* ---- growing ahead */

/* Callers that cannot sleep take pages until few are left; the worker brings more. */
static unsigned int take_to_low_mark(struct kunit *test, struct kmh_mspan **s, unsigned int max)
{
	struct kmh_mheap *mh = mheap(test);
	unsigned int n;

	for (n = 0; n < max && READ_ONCE(mh->pa.nfree) >= READ_ONCE(mh->low_pages); n++) {
		s[n] = alloc_span(mh, SPANCLASS, 1, 1, NULL);
		KUNIT_ASSERT_NOT_NULL(test, s[n]);
	}
	return n;
}

static void worker_grows_at_the_low_mark(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s[64];
	unsigned int i, n;

	KUNIT_EXPECT_GE(test, mh->low_pages, 4UL);
	KUNIT_EXPECT_LE(test, mh->low_pages, mh->pa.npages / 4);
	n = take_to_low_mark(test, s, ARRAY_SIZE(s));
	KUNIT_EXPECT_GT(test, n, 16U);
	kmh_kunit_settle(mh->heap);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 2UL);
	KUNIT_EXPECT_GE(test, mh->pa.nfree, mh->low_pages);
	for (i = 0; i < n; i++)
		kmh_mheap_free_span(s[i]);
}

static void worker_pauses_after_failure(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	struct kmheap *heap = mh->heap;
	struct kmh_mspan *s[64], *more;
	unsigned long start = jiffies;
	unsigned int i, n;

	heap->limit_bytes = atomic_long_read(&heap->arena_bytes);
	n = take_to_low_mark(test, s, ARRAY_SIZE(s));
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	KUNIT_EXPECT_TRUE(test, time_after(mh->ahead_after, start));
	/* There is room again, but the worker is not asked for a while. */
	heap->limit_bytes = 0;
	mh->ahead_after = jiffies + 1000 * HZ;
	more = alloc_span(mh, SPANCLASS, 1, 1, NULL);
	KUNIT_ASSERT_NOT_NULL(test, more);
	kmh_mheap_free_span(more);
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	mh->ahead_after = jiffies;
	more = alloc_span(mh, SPANCLASS, 1, 1, NULL);
	KUNIT_ASSERT_NOT_NULL(test, more);
	kmh_mheap_free_span(more);
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 2UL);
	for (i = 0; i < n; i++)
		kmh_mheap_free_span(s[i]);
}

/* Many pages are free, but in no run: a caller that cannot grow finds a run the next time. */
static void worker_grows_for_a_run_that_was_missed(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s[64], *run;
	unsigned int i, n;

	/* Every page is taken and every second one given back, without a kick of the worker. */
	mh->ahead_after = jiffies + 1000 * HZ;
	for (n = 0; n < ARRAY_SIZE(s); n++) {
		s[n] = alloc_span(mh, SPANCLASS, 1, 1, NULL);
		if (!s[n])
			break;
	}
	KUNIT_ASSERT_EQ(test, (unsigned long)n, mh->pa.npages);
	for (i = 0; i < n; i += 2)
		kmh_mheap_free_span(s[i]);
	WRITE_ONCE(mh->missed_pages, 0);
	kmh_kunit_settle(mh->heap);
	KUNIT_ASSERT_EQ(test, mh->ngrown, 1UL);
	KUNIT_ASSERT_GE(test, mh->pa.nfree, mh->low_pages);

	mh->ahead_after = jiffies;
	KUNIT_EXPECT_NULL(test, alloc_span(mh, LARGE, 8, 8, NULL));
	kmh_kunit_settle(mh->heap);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 2UL);
	run = alloc_span(mh, LARGE, 8, 8, NULL);
	KUNIT_ASSERT_NOT_NULL(test, run);
	kmh_mheap_free_span(run);
	for (i = 1; i < n; i += 2)
		kmh_mheap_free_span(s[i]);
}

static void worker_refills_span_metadata(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s, *next;
	LLIST_HEAD(all);
	unsigned int n = 0;

	kmh_kunit_settle(mh->heap);
	while (n < 100000 && (s = kmh_mspan_get(SPANCLASS))) {
		__llist_add(&s->node, &all);
		n++;
	}
	s = alloc_span(mh, SPANCLASS, 1, 1, NULL);
	KUNIT_EXPECT_NULL(test, s);
	kmh_kunit_settle(mh->heap);
	s = alloc_span(mh, SPANCLASS, 1, 1, NULL);
	llist_for_each_entry_safe(s, next, all.first, node)
		kmh_mspan_put(s);
	KUNIT_EXPECT_FALSE(test, kmh_mspan_pools_short(SPANCLASS));
}

/* ---- the books */

static void metadata_returns_to_the_start(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	long at_start = 0;
	unsigned int round, i;

	KUNIT_ASSERT_EQ(test, kmh_mheap_make_own_pa(mheap(test), GFP_KERNEL), 0);
	for (round = 0; round < 3; round++) {
		void *p[200];

		kmh_kunit_settle(heap);	/* or the worker would grow the heap afterwards */
		KUNIT_EXPECT_GT(test, kmh_kunit_shrink(heap), (size_t)0);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->arena_bytes), 0L);
		if (!round)
			at_start = atomic_long_read(&heap->metadata_bytes);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes), at_start);
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			size_t bytes = i % 50 == 49 ? 3 << 20 : 1 + i * i * 3;

			p[i] = i % 3 ? kmheap_alloc(heap, bytes, GFP_KERNEL) :
				       kmheap_alloc_data(heap, bytes, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[i]);
		}
		KUNIT_EXPECT_GT(test, atomic_long_read(&heap->metadata_bytes), at_start);
		for (i = 0; i < ARRAY_SIZE(p); i++)
			kmheap_free(p[i]);
		kmh_kunit_settle(heap);
	}
}

static void destroy_gives_everything_back(struct kunit *test)
{
	struct kmh_kunit_books before;
	unsigned int round, i;

	kmh_kunit_books(test, &before);
	for (round = 0; round < 3; round++) {
		struct kmheap *heap = heap_new(test, "kunit-books", 0);
		void *p[100];

		for (i = 0; i < ARRAY_SIZE(p); i++) {
			p[i] = kmheap_alloc(heap, 1 + i * i * 20, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[i]);
		}
		for (i = 0; i < ARRAY_SIZE(p); i++)
			kmheap_free(p[i]);
		kmheap_destroy(heap);
		kmh_kunit_same_books(test, &before);
	}
}

static struct kunit_case mheap_cases[] = {
	KUNIT_CASE(alloc_span_aligned),
	KUNIT_CASE(free_span_reuses_pages_and_metadata),
	KUNIT_CASE(pending_span_is_drained_by_the_next_user),
	KUNIT_CASE(destroy_drains_pending_spans),
	KUNIT_CASE(zeroed_until_used),
	KUNIT_CASE(zeroed_only_where_the_kernel_clears),
	KUNIT_CASE(worker_grows_at_the_low_mark),
	KUNIT_CASE(worker_pauses_after_failure),
	KUNIT_CASE(worker_grows_for_a_run_that_was_missed),
	KUNIT_CASE(worker_refills_span_metadata),
	KUNIT_CASE(metadata_returns_to_the_start),
	KUNIT_CASE(destroy_gives_everything_back),
	{ }
};

static struct kunit_suite mheap_suite = {
	.name = "kmheap_mheap",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = mheap_cases,
};

kunit_test_suite(mheap_suite);
