// SPDX-License-Identifier: GPL-2.0
/* KUnit: limits: what a heap takes beside its arenas is booked, too. */
#include <linux/jiffies.h>

#include "mheap_kunit.h"

#define NOBJS	256U

static size_t footprint(struct kmheap *heap)
{
	return atomic_long_read(&heap->arena_bytes) + atomic_long_read(&heap->metadata_bytes);
}

static unsigned int nmagazines(struct kmheap *heap)
{
	unsigned int cpu, i, n = 0;

	for_each_possible_cpu(cpu)
		for (i = 0; i < KMH_NR_SPANCLASSES; i++)
			n += !!per_cpu_ptr(heap->mcache, cpu)->magazine[i];
	return n;
}

/* Free objects of several classes, each of which wants a magazine. */
static void churn(struct kunit *test, struct kmheap *heap)
{
	static const size_t bytes[] = { 64, 128, 256, 512 };
	void **p = kunit_kcalloc(test, NOBJS, sizeof(*p), GFP_KERNEL);
	unsigned int i, k;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (k = 0; k < ARRAY_SIZE(bytes); k++) {
		for (i = 0; i < NOBJS; i++)
			p[i] = kmheap_alloc(heap, bytes[k], GFP_KERNEL | __GFP_NOWARN);
		for (i = 0; i < NOBJS; i++)
			kmheap_free(p[i]);
	}
	kunit_kfree(test, p);
}

static void magazines_keep_the_limit(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-side", 4 << 20);
	struct kmheap_stats st;
	size_t full;

	/* Pages for all objects are there; the magazines have gone. */
	churn(test, heap);
	kmh_mcache_drain_all(heap);
	kmh_kunit_no_worker(heap);
	KUNIT_ASSERT_EQ(test, nmagazines(heap), 0U);
	full = footprint(heap);
	WRITE_ONCE(heap->limit_bytes, full);
	churn(test, heap);
	KUNIT_EXPECT_EQ(test, nmagazines(heap), 0U);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.side_bytes), 0L);
	/* Without them all objects have gone back to their spans. */
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_GT(test, st.allocs, 0ULL);

	WRITE_ONCE(heap->limit_bytes, 4 << 20);
	churn(test, heap);
	KUNIT_EXPECT_GT(test, nmagazines(heap), 0U);
	KUNIT_EXPECT_GT(test, atomic_long_read(&heap->limit.side_bytes), 0L);
	KUNIT_EXPECT_GE(test, atomic_long_read(&kmh_total_base),
			atomic_long_read(&heap->limit.side_bytes));
	kmh_mcache_drain_all(heap);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.side_bytes), 0L);
	kmheap_destroy(heap);
}

static unsigned int nshelves(struct kmheap *heap)
{
	unsigned int kind, n = 0;

	for (kind = 0; kind < KMH_NMI_KINDS; kind++)
		n += !!heap->nmi.shelf[kind];
	return n;
}

static void shelves_keep_the_limit(struct kunit *test)
{
	long total = atomic_long_read(&kmh_total_base);
	struct kmheap *heap = heap_new(test, "kunit-side", 4 << 20);
	unsigned int kind;

	kmh_kunit_no_worker(heap);
	WRITE_ONCE(heap->limit_bytes, footprint(heap));
	for (kind = KMH_SPANCLASS_TINY + 1; kind < KMH_SPANCLASS_TINY + 20; kind++)
		set_bit(kind, heap->nmi.wanted);
	kmh_nmi_fill(heap, 0);
	KUNIT_EXPECT_EQ(test, nshelves(heap), 0U);

	WRITE_ONCE(heap->limit_bytes, 4 << 20);
	kmh_nmi_fill(heap, 0);
	KUNIT_EXPECT_GT(test, nshelves(heap), 0U);
	KUNIT_EXPECT_GT(test, atomic_long_read(&heap->limit.side_bytes), 0L);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_total_base), total);
}

/* Descriptors stay with the module for ever: none are taken beyond its limit. */
static void descriptors_keep_the_limit(struct kunit *test)
{
	size_t limit = kmh_total_limit;
	u64 before = kmh_shared_bytes();
	struct kmheap_stats sum;
	unsigned int nheaps;

	KUNIT_ASSERT_EQ(test, kmh_global_stats(&sum, &nheaps), 0);
	WRITE_ONCE(kmh_total_limit, sum.footprint_bytes);
	KUNIT_EXPECT_EQ(test, kmh_mspan_pools_refill(1 << 20, GFP_KERNEL), -EDQUOT);
	KUNIT_EXPECT_EQ(test, kmh_shared_bytes(), before);
	WRITE_ONCE(kmh_total_limit, limit);
}

static struct kunit_case limit_side_cases[] = {
	KUNIT_CASE(magazines_keep_the_limit),
	KUNIT_CASE(shelves_keep_the_limit),
	KUNIT_CASE(descriptors_keep_the_limit),
	{ }
};

static struct kunit_suite limit_side_suite = {
	.name = "kmheap_limit_side",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = limit_side_cases,
};

kunit_test_suite(limit_side_suite);
