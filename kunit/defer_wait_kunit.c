// SPDX-License-Identifier: GPL-2.0
/* KUnit: waits for deferred frees: of readers, barriers, growth, and the end of a heap. */
#include <linux/delay.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/topology.h>

#include "mcache_kunit.h"
#include "sweep_kunit.h"

/* ---- the worker, and readers */

struct hold {
	struct kmheap *heap;
	u8 *p, *large;
	atomic_t step;			/* 1: the reader is in, 2: it may leave, 3: it has left */
	bool barrier_is_back, early;
	enum kmheap_object_state state, large_state;
	bool spoilt;
};

static void hold_reader(struct hold *h)
{
	struct kmh_kunit_wait wait = kmh_kunit_wait_begin();

	rcu_read_lock();
	atomic_set(&h->step, 1);
	while (atomic_read(&h->step) == 1 && kmh_kunit_spin_more(&wait))
		;
	h->spoilt = memchr_inv(h->p, 0xd7, 100) || memchr_inv(h->large, 0xd8, 100000);
	rcu_read_unlock();
	atomic_set(&h->step, 3);
}

/* Thread 1 reads, thread 2 waits for the frees, and thread 0 frees and watches the other two. */
static void hold_thread(void *arg, unsigned int i)
{
	struct hold *h = arg;

	if (i == 1) {
		hold_reader(h);
		return;
	}
	while (!atomic_read(&h->step))
		cond_resched();
	if (i == 2) {
		while (state_of(h->large) == KMHEAP_OBJECT_LIVE)
			cond_resched();
		kmheap_rcu_barrier(h->heap);
		WRITE_ONCE(h->barrier_is_back, true);
		h->early |= atomic_read(&h->step) != 3;
		return;
	}
	kmheap_free_rcu(h->p);
	kmheap_free_rcu(h->large);
	msleep(200);			/* ten times what the worker waits */
	h->early = READ_ONCE(h->barrier_is_back);
	h->state = state_of(h->p);
	h->large_state = state_of(h->large);
	atomic_set(&h->step, 2);
}

static void reader_holds_what_is_deferred(struct kunit *test)
{
	struct hold h = { .heap = kmh_kunit_heap(test) };

	KUNIT_ASSERT_GE_MSG(test, num_online_cpus(), 2U, "the suites need two CPUs");
	h.p = kmheap_alloc(h.heap, 100, GFP_KERNEL);
	h.large = kmheap_alloc(h.heap, 100000, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, h.p && h.large);
	memset(h.p, 0xd7, 100);
	memset(h.large, 0xd8, 100000);
	kmh_kunit_threads(test, 3, hold_thread, &h);
	KUNIT_EXPECT_FALSE(test, h.early);
	KUNIT_EXPECT_FALSE(test, h.spoilt);
	KUNIT_EXPECT_EQ(test, (int)h.state, (int)KMHEAP_OBJECT_DEFERRED);
	KUNIT_EXPECT_EQ(test, (int)h.large_state, (int)KMHEAP_OBJECT_DEFERRED);
	KUNIT_EXPECT_EQ(test, (int)state_of(h.p), (int)KMHEAP_OBJECT_FREE);
	KUNIT_EXPECT_EQ(test, (int)state_of(h.large), (int)KMHEAP_OBJECT_FREE);
}

/* Without a barrier the worker frees the object. */
static void worker_frees_what_has_expired(struct kunit *test)
{
	static const size_t sizes[] = { 64, 100000, 8192 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int round;

	for (round = 0; round < 6; round++) {
		void *p = kmheap_alloc(heap, sizes[round % 3], GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		if (round < 3)
			kmh_mcache_drain_all(heap);
		kmheap_free_rcu(p);
		kmh_kunit_wait_for(test, state_of(p) != KMHEAP_OBJECT_DEFERRED);
		KUNIT_EXPECT_EQ_MSG(test, (int)state_of(p), (int)KMHEAP_OBJECT_FREE, "round %u",
				    round);
	}
}

/* ---- barriers */

static void barrier_with_nothing_to_wait_for(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned long gen = heap->defer.gen, generations = heap->sweep.generations;
	void *p = alloc(test);

	kmheap_rcu_barrier(heap);
	kmheap_free(p);
	kmheap_rcu_barrier(heap);
	KUNIT_EXPECT_EQ(test, heap->defer.gen, gen);
	KUNIT_EXPECT_EQ(test, heap->sweep.generations, generations);
	/* A barrier after all deferred frees have ended has nothing to wait for either. */
	for (gen = 0; gen < 3; gen++) {
		kmheap_free_rcu(alloc(test));
		kmheap_rcu_barrier(heap);
		generations = heap->sweep.generations;
		kmheap_rcu_barrier(heap);
		KUNIT_EXPECT_EQ(test, heap->sweep.generations, generations);
	}
	kmheap_rcu_barrier(NULL);
}

/* A barrier waits for the set that is closed and for the one that is still open. */
static void barrier_waits_for_both_sets(struct kunit *test)
{
	static const struct { bool first, second, open; } rows[] = {
		{ 1, 0, 0 }, { 0, 1, 0 }, { 1, 1, 0 }, { 1, 0, 1 }, { 1, 1, 1 },
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;

	sweep_by_hand(heap);
	for (i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		bool first = rows[i / 2].first, second = rows[i / 2].second;
		void *p = alloc(test), *q = alloc(test);

		if (first) {
			kmheap_free_rcu(p);
			defer_close(test);
		}
		if (second)
			kmheap_free_rcu(q);
		if (rows[i / 2].open)
			defer_open(test);
		kmheap_rcu_barrier(heap);
		KUNIT_EXPECT_EQ_MSG(test, (int)state_of(p), first ? KMHEAP_OBJECT_FREE :
				    KMHEAP_OBJECT_LIVE, "row %u", i / 2);
		KUNIT_EXPECT_EQ_MSG(test, (int)state_of(q), second ? KMHEAP_OBJECT_FREE :
				    KMHEAP_OBJECT_LIVE, "row %u", i / 2);
		KUNIT_EXPECT_FALSE(test, heap->defer.waiting || kmh_sweep_is_open(heap));
		if (!first)
			kmheap_free(p);
		if (!second)
			kmheap_free(q);
	}
	expect_all_free(test);
}

struct barriers {
	struct kmheap *heap;
	atomic_t nearly, nfailed;
};

/* The object at @p waits: itself, and not another object of whose inside @p is a part by now. */
static bool still_waits(const void *p, u8 fill)
{
	struct kmheap_object obj;

	return kmheap_lookup(p, &obj) && obj.base == p &&
	       obj.state == KMHEAP_OBJECT_DEFERRED && *(u8 *)p == fill;
}

static void barrier_thread(void *arg, unsigned int i)
{
	struct barriers *b = arg;
	unsigned int n, k;
	void *p[30];

	for (n = 0; n < 15; n++) {
		for (k = 0; k < ARRAY_SIZE(p); k++) {
			p[k] = kmheap_alloc(b->heap, k % 10 ? 200 : 50000, GFP_KERNEL);
			atomic_add(!p[k], &b->nfailed);
			if (p[k])	/* its contents name its last owner */
				memset(p[k], 0xe0 + i, 200);
			kmheap_free_rcu(p[k]);
		}
		kmheap_rcu_barrier(b->heap);
		for (k = 0; k < ARRAY_SIZE(p); k++)
			atomic_add(still_waits(p[k], 0xe0 + i), &b->nearly);
	}
}

static void barriers_all_at_once(struct kunit *test)
{
	struct barriers b = { .heap = kmh_kunit_heap(test) };

	kmh_kunit_threads(test, 4, barrier_thread, &b);
	KUNIT_EXPECT_EQ(test, atomic_read(&b.nearly), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&b.nfailed), 0);
	kmheap_rcu_barrier(b.heap);
	expect_all_free(test);
}

/* ---- more waits than may */

#define NR_PRESSING	400U		/* of 8192 bytes: three times the least limit */

static void **pressing_objects(struct kunit *test)
{
	void **p = objects(test, NR_PRESSING);
	unsigned int i;

	kmh_kunit_heap(test)->defer.min_limit = 1 << 20;
	for (i = 0; i < NR_PRESSING; i++) {
		p[i] = kmheap_alloc(kmh_kunit_heap(test), 8192, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	return p;
}

static void limit_by_arena_bytes(struct kunit *test)
{
	static const struct { long arena; size_t limit; } rows[] = {
		{ 0, 1 << 20 }, { 8 << 20, 1 << 20 }, { (8 << 20) + 80, (1 << 20) + 10 },
		{ 1 << 30, 128 << 20 },
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	long was = atomic_long_read(&heap->arena_bytes);
	unsigned int i;

	sweep_by_hand(heap);
	heap->defer.min_limit = 1 << 20;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		atomic_long_set(&heap->arena_bytes, rows[i].arena);
		KUNIT_EXPECT_EQ(test, kmh_defer_limit(heap), rows[i].limit);
		atomic_long_set(&heap->defer.pending, rows[i].limit);
		KUNIT_EXPECT_FALSE(test, kmh_defer_excess(heap));
		atomic_long_set(&heap->defer.pending, rows[i].limit + 1);
		KUNIT_EXPECT_TRUE(test, kmh_defer_excess(heap));
		atomic_long_set(&heap->defer.pending, -64L << 10);
		KUNIT_EXPECT_FALSE(test, kmh_defer_excess(heap));
	}
	atomic_long_set(&heap->defer.pending, 0);
	atomic_long_set(&heap->arena_bytes, was);
}

/* A CPU reports its share above 64 KiB. Less than the limit never hurries a grace period. */
static void excess_presses_the_grace_period(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = pressing_objects(test);
	unsigned int i;

	sweep_by_hand(heap);
	for (i = 0; i < NR_PRESSING; i++) {
		long bytes = (i + 1) * 8192L, limit = kmh_defer_limit(heap);

		kmheap_free_rcu(p[i]);
		KUNIT_EXPECT_EQ(test, pending_bytes(heap), bytes);
		if (bytes <= limit)
			KUNIT_EXPECT_FALSE(test, kmh_defer_excess(heap));
		if (bytes > limit + (64L << 10) * (long)num_online_cpus())
			KUNIT_EXPECT_TRUE(test, kmh_defer_excess(heap));
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->defer.expedited), 0L);
	KUNIT_EXPECT_FALSE_MSG(test, defer_step(heap), "nothing left to wait for");
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->defer.expedited), 1L);
	KUNIT_EXPECT_EQ(test, pending_bytes(heap), 0L);
	expect_all_free(test);
}

/* Defer the frees of all pressing objects. Returns the bytes that the heap has in arenas. */
static long defer_all_pressing(struct kmheap *heap, void **p)
{
	unsigned int i;

	sweep_by_hand(heap);
	for (i = 0; i < NR_PRESSING; i++)
		kmheap_free_rcu(p[i]);
	return atomic_long_read(&heap->arena_bytes);
}

/* An allocation that can wait gets the pages of deferred objects, and the heap does not grow. */
static void growth_waits_for_what_is_pending(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = pressing_objects(test), **q;
	long arenas;

	arenas = defer_all_pressing(heap, p);
	q = pressing_objects(test);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->arena_bytes), arenas);
	KUNIT_EXPECT_GE(test, atomic_long_read(&heap->defer.expedited), 1L);
	free_range(q, 0, NR_PRESSING);
	kmheap_rcu_barrier(heap);
	expect_all_free(test);
}

static void defer_them(void *arg)
{
	void **p = arg;
	unsigned int i;

	for (i = 0; i < NR_PRESSING; i++)
		kmheap_free_rcu(p[i]);
}

/* Who grows the heap does not wait for what others defer meanwhile, which may never end. */
static void growth_waits_for_two_grace_periods_at_most(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **a = pressing_objects(test), **b = pressing_objects(test);
	void **c = pressing_objects(test);

	defer_all_pressing(heap, a);
	kmh_kunit_at(test, "relief: after the first grace period", defer_them, b);
	kmh_kunit_at(test, "relief: after the second grace period", defer_them, c);
	kmh_defer_relieve(heap);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("relief: after the first grace period"));
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("relief: after the second grace period"));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->defer.expedited), 2L);
	KUNIT_EXPECT_TRUE(test, kmh_defer_excess(heap));
	kmheap_rcu_barrier(heap);
	expect_all_free(test);
}

/* An allocation that must not wait does not: the heap grows. */
static void growth_without_io_does_not_wait(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = pressing_objects(test), *q;
	long arenas;

	arenas = defer_all_pressing(heap, p);
	q = kmheap_alloc(heap, 1500000, GFP_NOIO);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_EXPECT_GT(test, atomic_long_read(&heap->arena_bytes), arenas);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->defer.expedited), 0L);
	KUNIT_EXPECT_EQ(test, (int)state_of(p[0]), (int)KMHEAP_OBJECT_DEFERRED);
	kmheap_free(q);
	kmheap_rcu_barrier(heap);
	expect_all_free(test);
}

static void worker_presses_by_itself(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = pressing_objects(test);
	unsigned int i;

	/*
	 * All are freed under the mutex: otherwise the worker may free them one by one, with
	 * no excess ever.
	 */
	mutex_lock(&heap->sweep.mutex);
	for (i = 0; i < NR_PRESSING; i++)
		kmheap_free_rcu(p[i]);
	mutex_unlock(&heap->sweep.mutex);
	/* The slot is free once its word is folded. */
	kmh_kunit_wait_for(test, state_of(p[0]) == KMHEAP_OBJECT_FREE);
	KUNIT_EXPECT_GE(test, atomic_long_read(&heap->defer.expedited), 1L);
	kmheap_rcu_barrier(heap);
	expect_all_free(test);
}

/* A count by the shrinker hurries the grace period, if enough is pending. */
static void reclaim_presses_the_grace_period(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = pressing_objects(test);
	int nid = numa_mem_id();
	unsigned int i;

	sweep_by_hand(heap);
	heap->defer.min_limit = SZ_1G;
	for (i = 0; i < 16; i++)
		kmheap_free_rcu(p[i]);
	kmh_kunit_shrink_count(heap, nid);
	KUNIT_EXPECT_FALSE(test, heap->defer.short_of_memory);
	for (; i < NR_PRESSING; i++)
		kmheap_free_rcu(p[i]);
	kmh_kunit_shrink_count(heap, nid);
	KUNIT_EXPECT_TRUE(test, heap->defer.short_of_memory);
	KUNIT_EXPECT_FALSE_MSG(test, defer_step(heap), "nothing left to wait for");
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->defer.expedited), 1L);
	KUNIT_EXPECT_FALSE(test, heap->defer.short_of_memory);
	expect_all_free(test);
}

/* ---- the end of a heap */

static void destroy_waits_for_what_is_pending(struct kunit *test)
{
	static const size_t sizes[] = { 4, 8, 100, 1000, 32768, 40000, 2200000 };
	unsigned int round, i;

	for (round = 0; round < 4; round++) {
		struct kmheap *heap = kmheap_create("kunit-pending", NULL);
		void *p[ARRAY_SIZE(sizes)];

		KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			p[i] = kmheap_alloc_data(heap, sizes[i], GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[i]);
			/*
			 * Objects are in either set, and freed by the worker, by a drain or
			 * by the end of the heap.
			 */
			if (round & 1 && i == 4)
				msleep(50);
			if (round & 2 && i == 5)
				kmh_mcache_drain_all(heap);
			kmheap_free_rcu(p[i]);
		}
		kmheap_destroy(heap);
		kmheap_free_rcu(p[2]);
		kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	}
}

/* ---- nothing is taken from the kernel */

static void defer_takes_no_memory(struct kunit *test)
{
	static const size_t sizes[] = { 4, 64, 1024, 30000, 100000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	long before = atomic_long_read(&kmh_failures_injected);
	void *p[20 * ARRAY_SIZE(sizes)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = kmheap_alloc_data(heap, sizes[i % ARRAY_SIZE(sizes)], GFP_KERNEL);
	sweep_by_hand(heap);
	kmh_kunit_settle(NULL);
	atomic_long_set(&kmh_fail_nth, 1);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		if (i == ARRAY_SIZE(p) / 2)
			kmheap_rcu_barrier(heap);
		kmheap_free_rcu(p[i]);
	}
	kmheap_rcu_barrier(heap);
	kmh_sweep_reclaim(heap, 1);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_fail_nth), 1L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_failures_injected), before);
	atomic_long_set(&kmh_fail_nth, 0);
	expect_all_free(test);
}

/*
 * A packed object dies whose block lives on, in a full span that is on no list: no slot of
 * the span is freed, and yet the barrier has to find the deferred bit of the block.
 */
static void barrier_finds_a_full_tiny_span(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, n = KMH_PAGE_SIZE / 8 + 2, block;
	void **p = kunit_kcalloc(test, n, sizeof(*p), GFP_KERNEL);
	struct kmh_mspan *s;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < n; i++) {	/* the last ones lie in another span */
		p[i] = kmheap_alloc_data(heap, 8, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	s = kmh_span_of((unsigned long)p[0]);
	KUNIT_ASSERT_EQ(test, s->state, KMH_SPAN_TINY);
	KUNIT_ASSERT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_FULL);
	for (i = 0; i < 40; i += 2) {	/* the sets change roles */
		block = ((unsigned long)p[i] - s->base) / s->elemsize;
		kmheap_free_rcu(p[i]);
		KUNIT_EXPECT_TRUE_MSG(test, kmh_mspan_slot_waits(s, block), "object %u", i);
		kmheap_rcu_barrier(heap);
		KUNIT_EXPECT_FALSE_MSG(test, kmh_mspan_slot_waits(s, block), "object %u", i);
		p[i] = NULL;
	}
	kmheap_free_bulk(n, p);
}

static struct kunit_case defer_wait_cases[] = {
	KUNIT_CASE(reader_holds_what_is_deferred),
	KUNIT_CASE(worker_frees_what_has_expired),
	KUNIT_CASE(barrier_with_nothing_to_wait_for),
	KUNIT_CASE(barrier_waits_for_both_sets),
	KUNIT_CASE(barriers_all_at_once),
	KUNIT_CASE(barrier_finds_a_full_tiny_span),
	KUNIT_CASE(limit_by_arena_bytes),
	KUNIT_CASE(excess_presses_the_grace_period),
	KUNIT_CASE(growth_waits_for_what_is_pending),
	KUNIT_CASE(growth_waits_for_two_grace_periods_at_most),
	KUNIT_CASE(growth_without_io_does_not_wait),
	KUNIT_CASE(worker_presses_by_itself),
	KUNIT_CASE(reclaim_presses_the_grace_period),
	KUNIT_CASE(destroy_waits_for_what_is_pending),
	KUNIT_CASE(defer_takes_no_memory),
	{ }
};

static struct kunit_suite defer_wait_suite = {
	.name = "kmheap_defer_wait",
	.init = mcache_init,
	.exit = kmh_kunit_exit,
	.test_cases = defer_wait_cases,
};

kunit_test_suite(defer_wait_suite);
