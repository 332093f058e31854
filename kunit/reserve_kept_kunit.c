// SPDX-License-Identifier: GPL-2.0
/* KUnit: descriptors that are kept for what owners have asked for, and what others need of them. */
#include <linux/llist.h>
#include <linux/sizes.h>

#include "mheap_kunit.h"

/* Take @n spans of a page as a caller that cannot sleep; they go to @all. Return: how many. */
static unsigned int take_spans(struct kmheap *heap, unsigned int spanclass, unsigned int n,
			       struct llist_head *all)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct kmh_mspan *s;

		preempt_disable();
		s = kmh_mheap_alloc_span(mheap_of(heap), NULL, spanclass, 1, 1, true, NULL);
		if (s && spanclass == LARGE) {
			s->large_bytes = KMH_PAGE_SIZE;
			kmh_mcentral_date_span(s);
		}
		preempt_enable();
		if (!s)
			break;
		__llist_add(&s->node, all);
	}
	return i;
}

static void give_spans(struct llist_head *all)
{
	struct kmh_mspan *s, *next;

	llist_for_each_entry_safe(s, next, __llist_del_all(all), node)
		kmh_mheap_free_span(s);
}

/* Callers that cannot sleep take descriptors until those that can are to leave them alone. */
static void run_short(struct kunit *test, struct llist_head *all)
{
	struct kmh_mspan *s = NULL;

	while (!kmh_mspan_pools_short(SPANCLASS)) {
		s = kmh_mspan_get(SPANCLASS);
		if (!s)
			break;
		kmh_mspan_pools_draw(SPANCLASS);
		__llist_add(&s->node, all);
	}
	KUNIT_EXPECT_NOT_NULL(test, s);
	s = kmh_mspan_get(SPANCLASS);
	KUNIT_ASSERT_NOT_NULL(test, s);	/* some are left */
	kmh_mspan_put(s);
}

static void put_spans(struct llist_head *all)
{
	struct kmh_mspan *s, *next;

	llist_for_each_entry_safe(s, next, __llist_del_all(all), node)
		kmh_mspan_put(s);
}

/* Whatever the objects are, the reserve has descriptors for as many spans as it has pages. */
static void reserve_is_for_every_class(struct kunit *test)
{
	static const size_t sizes[] = { 8, 16, 32, 48, 64, 128, 512, 4096 };
	struct kmheap *heap = heap_new(test, "supply-kept", 0);
	unsigned int n = SZ_4M / KMH_PAGE_SIZE, i, got;
	LLIST_HEAD(all);
	bool told;

	KUNIT_ASSERT_EQ(test, kmheap_set_reserve(heap, SZ_4M), 0);
	kmh_kunit_no_worker(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned int spanclass = kmh_spanclass(kmh_size_to_class(sizes[i]), false);

		if (kmh_classes[kmh_spanclass_class(spanclass)].npages > 1)
			spanclass = LARGE;
		if (sizes[i] == 16)
			spanclass = KMH_SPANCLASS_TINY;
		KUNIT_EXPECT_EQ_MSG(test, take_spans(heap, spanclass, n, &all), n, "%zu bytes",
				    sizes[i]);
		/*
		 * Whoever draws tells the worker that pages are missing; that a pool wants more,
		 * which the cases before may have taught it, who draws from that pool.
		 */
		told = kmh_mspan_pools_draw(KMH_SPANCLASS_TINY) || kmh_mspan_pools_draw(spanclass);
		KUNIT_EXPECT_TRUE(test, told || !kmh_mspan_pools_missing_bytes());
		give_spans(&all);
		KUNIT_EXPECT_EQ(test, kmh_mspan_kept_refill(GFP_KERNEL), 0);
	}
	/* And some of each. */
	for (i = got = 0; i < n; i++)
		got += take_spans(heap, kmh_spanclass(1 + i % 32, false), 1, &all);
	KUNIT_EXPECT_EQ(test, got, n);
	give_spans(&all);
	kmh_kunit_validate(test);
	kmheap_destroy(heap);
}

/* Descriptors take a quarter of the reserve, and go back with it. */
static void reserve_takes_a_quarter(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "supply-kept", 0);
	u64 before, all;

	kmh_kunit_no_worker(heap);
	KUNIT_ASSERT_EQ(test, kmh_mspan_pools_refill(KMH_SPAN_RESERVE, GFP_KERNEL), 0);
	before = kmh_shared_bytes();
	KUNIT_EXPECT_EQ(test, kmheap_set_reserve(heap, SZ_64M), 0);
	all = kmh_shared_bytes() - before;
	KUNIT_EXPECT_LE(test, all, (u64)SZ_16M + SZ_128K);
	KUNIT_EXPECT_GE(test, all, (u64)SZ_8M);
	KUNIT_EXPECT_EQ(test, kmheap_set_reserve(heap, 0), 0);
	KUNIT_EXPECT_LE(test, kmh_shared_bytes(), before + SZ_128K);
	kmheap_destroy(heap);
}

/*
 * At the module's limit, where no descriptor can be had any more, a heap grows by an arena as long
 * as there is one, though callers that cannot sleep have run short of such, and though another
 * heap's reserve wants more.
 */
static void growth_needs_one_descriptor(struct kunit *test)
{
	struct kmheap *a = heap_new(test, "supply-kept", 0), *b = heap_new(test, "supply-b", 0);
	size_t limit = READ_ONCE(kmh_total_limit), room;
	LLIST_HEAD(pages);
	LLIST_HEAD(none);
	void *p;
	int err;

	KUNIT_ASSERT_EQ(test, kmheap_set_reserve(a, SZ_2M), 0);
	kmh_kunit_no_worker(a);
	kmh_kunit_no_worker(b);
	KUNIT_ASSERT_EQ(test, kmh_mspan_pools_refill(KMH_SPAN_RESERVE, GFP_KERNEL), 0);
	/* Another heap's worker, asked before, would take of the room. */
	KUNIT_ASSERT_EQ(test, kmh_magazines_refill(GFP_KERNEL), 0);
	take_spans(b, LARGE, mheap_of(b)->pa.nfree, &pages);
	KUNIT_ASSERT_EQ(test, mheap_of(b)->pa.nfree, 0UL);
	run_short(test, &none);
	/* Room for an arena of the least size, and for nothing beside it. */
	room = atomic_long_read(&kmh_total_bytes) + 1024;
	if (b->backing == KMH_BACKING_AREA)
		room += KMH_ARENA_MIN_BYTES + max(KMH_PAGE_SIZE, PAGE_SIZE) - PAGE_SIZE;
	else
		room += KMH_BLOCK_MIN_BYTES;
	WRITE_ONCE(kmh_total_limit, atomic_long_read(&kmh_total_base) + kmh_shared_bytes() +
				    DIV_ROUND_UP(room * 5, 4));
	err = grow_anyway(mheap_of(b));
	p = kmheap_alloc(b, 1024, GFP_KERNEL);
	WRITE_ONCE(kmh_total_limit, limit);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, narenas(b), 2U);
	kmheap_free(p);
	put_spans(&none);
	give_spans(&pages);
	kmheap_destroy(b);
	kmheap_destroy(a);
}

/* The CPU that had the lock of a pool lets it go. */
static void let_go(void *arg)
{
	raw_spinlock_t *lock = arg;

	__acquire(lock);
	raw_spin_unlock(lock);
}

/* Who finds the lock of a pool held has not found the pool empty: no page is cut for it. */
static void held_pools_are_not_empty(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "supply-kept", 0);
	struct kmh_fixalloc *f = kmh_mspan_pool(LARGE);
	unsigned long flags, chunks;
	struct kmh_mspan *s;

	KUNIT_ASSERT_EQ(test, kmheap_set_reserve(heap, SZ_1M), 0);
	kmh_kunit_no_worker(heap);
	KUNIT_ASSERT_EQ(test, kmh_mspan_pools_refill(KMH_SPAN_RESERVE, GFP_KERNEL), 0);
	chunks = f->chunk_bytes;
	kmh_kunit_at(test, "a pool gives nothing", let_go, &f->lock);
	kmh_wait_lock_irqsave(&f->lock, flags);
	s = kmh_mspan_get_kept(LARGE);
	__release(&f->lock);	/* let_go() */
	kmh_lock_end(flags);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("a pool gives nothing"));
	KUNIT_EXPECT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, f->chunk_bytes, chunks);
	if (s)
		kmh_mspan_put(s);
	kmheap_destroy(heap);
}

static struct kunit_case kept_cases[] = {
	KUNIT_CASE(reserve_is_for_every_class),
	KUNIT_CASE(reserve_takes_a_quarter),
	KUNIT_CASE(growth_needs_one_descriptor),
	KUNIT_CASE(held_pools_are_not_empty),
	{ }
};

static struct kunit_suite kept_suite = {
	.name = "kmheap_reserve_kept",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = kept_cases,
};

kunit_test_suite(kept_suite);
