// SPDX-License-Identifier: GPL-2.0
/* KUnit: no heap grows, and nobody is refused, for want of what is in magazines. */
#include <linux/delay.h>

#include "magazine_kunit.h"

/* Take every page of the heap in objects of spans that are full and on no list. */
static void **fill_heap(struct kunit *test, unsigned int *nspans)
{
	*nspans = free_pages_now(test);
	return full_spans(test, *nspans);
}

static void emptied_spans_come_before_growth(struct kunit *test)
{
	struct kmh_mheap *mh = &node(test)->mheap;
	unsigned long ngrown = mh->ngrown;
	unsigned int row, n;
	void **p = fill_heap(test, &n), *q;

	KUNIT_ASSERT_EQ(test, free_pages_now(test), 0UL);
	for (row = 0; row < 4; row++) {		/* freed here or elsewhere; small or large */
		unsigned int i, nspans = row & 2 ? 5 : 1;

		if (row & 1)
			free_elsewhere(test, p, nspans * NR_SLOTS);
		else
			free_range(p, 0, nspans * NR_SLOTS);
		q = alloc_bytes(test, row & 2 ? 5 * KMH_PAGE_SIZE : BYTES / 2);
		KUNIT_EXPECT_EQ_MSG(test, mh->ngrown, ngrown, "row %u", row);
		kmheap_free(q);
		kmh_mcache_drain_all(mh->heap);
		kmh_mheap_drain_lists(mh);
		for (i = 0; i < nspans * NR_SLOTS; i++)
			p[i] = alloc(test);
		KUNIT_EXPECT_EQ_MSG(test, mh->ngrown, ngrown, "row %u", row);
		kmh_mcache_drain_all(mh->heap);
	}
	free_range(p, 0, n * NR_SLOTS);
	expect_all_back(test);
}

/* A heap at its limit, without a worker, all of it in objects of 8 KiB. */
static struct kmheap *heap_at_its_limit(struct kunit *test, void **p, unsigned int most,
					unsigned int *n)
{
	const struct kmheap_attr attr = { .limit_bytes = KMH_LIMIT_MIN_BYTES };
	struct kmheap *heap = kmheap_create("kunit-limited", &attr);

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	kmh_kunit_no_worker(heap);
	for (*n = 0; *n < most; ++*n) {
		p[*n] = kmheap_alloc(heap, 8 * BYTES, GFP_KERNEL);
		if (!p[*n])
			break;
	}
	KUNIT_EXPECT_GT(test, *n, 20U);
	KUNIT_EXPECT_LT(test, *n, most);
	return heap;
}

/* A heap at its limit uses all that it and other CPUs have freed. */
static void limit_counts_what_others_have_freed(struct kunit *test)
{
	unsigned int n, again, round;
	struct kmheap *heap;
	void *p[64];

	heap = heap_at_its_limit(test, p, ARRAY_SIZE(p), &n);
	for (round = 0; round < 4; round++) {
		if (round % 2)
			free_range(p, 0, n);
		else
			free_elsewhere(test, p, n);
		for (again = 0; again < n; again++) {
			p[again] = kmheap_alloc(heap, 8 * BYTES, GFP_KERNEL);
			if (!p[again])
				break;
		}
		KUNIT_EXPECT_EQ(test, again, n);
		n = again;
	}
	free_range(p, 0, n);
	kmheap_destroy(heap);
}

/*
 * A caller that cannot sleep, and would get nothing, gets what rests. What is freed after there is
 * memory again rests again.
 */
static void urgent_callers_get_what_rests(struct kunit *test)
{
	unsigned int spanclass = kmh_spanclass(kmh_size_to_class(8 * BYTES), false), i, n;
	struct kmh_mcache *mc;
	struct kmheap *heap;
	void *p[64], *q;

	heap = heap_at_its_limit(test, p, ARRAY_SIZE(p), &n);
	mc = per_cpu_ptr(heap->mcache, raw_smp_processor_id());
	kmh_mcache_drain_all(heap);
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 8 * BYTES, GFP_NOWAIT));
	free_range(p, 0, 3);
	KUNIT_EXPECT_EQ(test, kmh_magazine_len(mc, spanclass), 3U);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc(heap, 8 * BYTES, GFP_NOWAIT), p[i]);
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 8 * BYTES, GFP_NOWAIT));
	/* The other CPU gives two slots back, and the next trip to them is where it ends. */
	free_elsewhere(test, &p[3], 2);
	kmh_magazines_drain_all(heap);
	q = kmheap_alloc(heap, 8 * BYTES, GFP_NOWAIT);
	KUNIT_EXPECT_TRUE(test, q && (q == p[3] || q == p[4]));
	kmheap_free(p[0]);
	KUNIT_EXPECT_EQ(test, kmh_magazine_len(mc, spanclass), 1U);
	q = kmheap_alloc(heap, 8 * BYTES, GFP_NOWAIT);
	KUNIT_EXPECT_TRUE(test, q && (q == p[3] || q == p[4]));
	KUNIT_EXPECT_EQ(test, kmh_magazine_len(mc, spanclass), 1U);
	free_range(p, 1, n);
	kmheap_destroy(heap);
}

/* So they do wherever in its array the magazine is. */
static void urgent_callers_get_all_that_rests(struct kunit *test)
{
	unsigned int n, round, i, k, found;
	struct kmheap *heap;
	void *p[64], *q;

	heap = heap_at_its_limit(test, p, ARRAY_SIZE(p), &n);
	kmh_mcache_drain_all(heap);
	for (round = 0; round < 40; round++) {
		free_range(p, 0, 5);
		for (i = 0; i < round; i++) {
			q = kmheap_alloc(heap, 8 * BYTES, GFP_NOWAIT);
			KUNIT_ASSERT_NOT_NULL(test, q);
			kmheap_free(q);
		}
		for (i = 0, found = 0; i < 5; i++) {
			q = kmheap_alloc(heap, 8 * BYTES, GFP_NOWAIT);
			for (k = 0; k < 5; k++)
				found |= q == p[k] ? BIT(k) : 0;
		}
		KUNIT_EXPECT_EQ_MSG(test, found, 0x1fU, "round %u", round);
		KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 8 * BYTES, GFP_NOWAIT));
	}
	kmh_kunit_no_reports(test);
	free_range(p, 0, n);
	kmheap_destroy(heap);
}

/* A caller that can sleep is not refused either, at a limit, while an object rests. */
static void limit_counts_what_rests(struct kunit *test)
{
	struct kmheap *heap;
	unsigned int n, row;
	void *p[64], *q;

	heap = heap_at_its_limit(test, p, ARRAY_SIZE(p), &n);
	for (row = 0; row < 2; row++) {		/* in this CPU's magazine, or in another's */
		if (row)
			free_elsewhere(test, p, 1);
		else
			kmheap_free(p[0]);
		q = kmheap_alloc(heap, 8 * BYTES, GFP_KERNEL);
		KUNIT_EXPECT_PTR_EQ_MSG(test, q, p[0], "row %u", row);
		p[0] = q ?: kmheap_alloc(heap, 8 * BYTES, GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, p[0]);
	}
	free_range(p, 0, n);
	kmheap_destroy(heap);
}

/* When there is memory again objects rest again, also where the magazine never runs empty. */
static void urgent_callers_do_not_end_the_rest(struct kunit *test)
{
	unsigned int n, i;
	struct kmheap *heap;
	void *p[64], *q;

	heap = heap_at_its_limit(test, p, ARRAY_SIZE(p), &n);
	kmh_mcache_drain_all(heap);
	free_range(p, 0, 3);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc(heap, 8 * BYTES, GFP_NOWAIT), p[0]);
	KUNIT_EXPECT_EQ(test, kmheap_set_limit(heap, 0), 0);
	KUNIT_ASSERT_EQ(test, kmh_mheap_grow_arena(&heap->nodes[numa_mem_id()]->mheap, 4, 1,
						   GFP_KERNEL), 0);
	for (i = 0; i < 20; i++) {
		q = kmheap_alloc(heap, 8 * BYTES, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, q);
		kmheap_free(q);
	}
	/* By now a freed object rests for as many frees as ever. */
	q = kmheap_alloc(heap, 8 * BYTES, GFP_KERNEL);
	kmheap_free(q);
	for (i = 0; i < 4; i++) {
		void *next = kmheap_alloc(heap, 8 * BYTES, GFP_KERNEL);

		KUNIT_EXPECT_PTR_NE_MSG(test, next, q, "after %u", i);
		kmheap_free(p[3 + i]);
		p[3 + i] = next;
	}
	kmheap_free(p[0]);
	free_range(p, 3, n);
	kmheap_destroy(heap);
}

/* Who takes one of the last magazines has more made: by the worker of its heap. */
static void magazines_are_made_before_there_are_none(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-asks", NULL);
	struct kmh_magazine *m, *taken = NULL;
	unsigned int ready;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	msleep(100);	/* the worker is not asked twice in 50 ms */
	do {
		ready = kmh_magazines_ready();
		m = kmh_magazine_get(per_cpu_ptr(heap->mcache, raw_smp_processor_id()));
		if (m) {
			*(struct kmh_magazine **)m = taken;
			taken = m;
		}
	} while (ready > 2 && kmh_magazines_ready() < ready);
	KUNIT_EXPECT_NOT_NULL(test, m);
	kmh_kunit_wait_for(test, kmh_magazines_ready() > 2);
	while ((m = taken)) {
		taken = *(struct kmh_magazine **)m;
		kmh_magazine_put(heap, m);
	}
	kmh_kunit_expect_conserved(test, heap);
	kmheap_destroy(heap);
}

static struct kunit_case magazine_room_cases[] = {
	KUNIT_CASE(emptied_spans_come_before_growth),
	KUNIT_CASE(limit_counts_what_others_have_freed),
	KUNIT_CASE(limit_counts_what_rests),
	KUNIT_CASE(urgent_callers_get_what_rests),
	KUNIT_CASE(urgent_callers_get_all_that_rests),
	KUNIT_CASE(urgent_callers_do_not_end_the_rest),
	KUNIT_CASE(magazines_are_made_before_there_are_none),
	{ }
};

static struct kunit_suite magazine_room_suite = {
	.name = "kmheap_magazine_room",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = magazine_room_cases,
};

kunit_test_suite(magazine_room_suite);
