// SPDX-License-Identifier: GPL-2.0
/* KUnit: limits: what a heap takes beside its arenas is booked, too. */
#include <linux/jiffies.h>

#include "block_kunit.h"

#define NOBJS	256U

static size_t footprint(struct kmheap *heap)
{
	return atomic_long_read(&heap->arena_bytes) + atomic_long_read(&heap->metadata_bytes);
}

/* What the tables of returned pages and of lost arenas count. */
static long tables_beside(struct kmheap *heap)
{
	struct kmh_arena *a;
	long bytes = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		bytes += a->side_bytes;
	list_for_each_entry(a, &heap->lost, list)
		bytes += a->side_bytes;
	mutex_unlock(&heap->arenas_mutex);
	return bytes;
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
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.side_bytes), tables_beside(heap));
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
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.side_bytes), tables_beside(heap));
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

static struct kmh_fixalloc second_pool;
static int second_err;

static void refill_second(void *arg)
{
	second_err = kmh_fixalloc_refill(&second_pool, 1, GFP_KERNEL);
}

/* Two callers that take descriptors at the same time: what one is about to take is counted. */
static void two_refills_keep_the_limit(struct kunit *test)
{
	size_t limit = kmh_total_limit, arenas = atomic_long_read(&kmh_total_bytes);
	struct kmh_fixalloc first;
	int err;

	kmh_fixalloc_init(&first, "test", 200, 64);
	kmh_fixalloc_init(&second_pool, "test", 200, 64);
	/* Room for one chunk, and half of another one. */
	WRITE_ONCE(kmh_total_limit, atomic_long_read(&kmh_total_base) + kmh_shared_bytes() +
				    DIV_ROUND_UP(arenas * 5, 4) + PAGE_SIZE + PAGE_SIZE / 2);
	kmh_kunit_at(test, "fixalloc: counted, not taken", refill_second, NULL);
	err = kmh_fixalloc_refill(&first, 1, GFP_KERNEL);
	WRITE_ONCE(kmh_total_limit, limit);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("fixalloc: counted, not taken"));
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_EQ(test, second_err, -EDQUOT);
	kmh_fixalloc_destroy(&first);
	kmh_fixalloc_destroy(&second_pool);
}

/* What another heap wants at the moment that something is counted. */
struct beside {
	struct kmheap *heap;
	bool refused;
};

static void book_beside(void *arg)
{
	struct beside *b = arg;

	if (kmh_heap_book(b->heap, SZ_1M))
		kmh_heap_unbook(b->heap, SZ_1M);
	else
		b->refused = true;
}

/* Leave the module room for 1 MiB of arenas, and half of that. Return: its limit before. */
static size_t room_beside(struct kmheap *other)
{
	size_t limit = kmh_total_limit;

	kmh_kunit_no_worker(other);
	kmh_shrink_all();
	WRITE_ONCE(kmh_total_limit, atomic_long_read(&kmh_total_base) + kmh_shared_bytes() +
		   DIV_ROUND_UP((atomic_long_read(&kmh_total_bytes) + SZ_1M + SZ_512K) * 5, 4));
	return limit;
}

/* Another heap gets that room whatever a third one is refused. */
static void refused_arenas_count_for_no_moment(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *other = heap_new(test, "kunit-beside", 0);
	struct beside b = { .heap = other };
	size_t limit = room_beside(other);

	kmh_kunit_at(test, "budget: an arena is counted", book_beside, &b);
	KUNIT_EXPECT_FALSE(test, kmh_heap_book(heap, SZ_64M));
	KUNIT_EXPECT_FALSE(test, b.refused);
	/* Nor does what the heap's own limit forbids. */
	WRITE_ONCE(heap->limit_bytes, SZ_1M);
	KUNIT_EXPECT_FALSE(test, kmh_heap_book(heap, SZ_1M));
	WRITE_ONCE(heap->limit_bytes, 0);
	KUNIT_EXPECT_FALSE(test, kmh_kunit_passed("budget: an arena is counted"));
	/* Of two that fit alone, and not together, one sees the other. */
	KUNIT_EXPECT_TRUE(test, kmh_heap_book(heap, SZ_1M));
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("budget: an arena is counted"));
	KUNIT_EXPECT_TRUE(test, b.refused);
	WRITE_ONCE(kmh_total_limit, limit);
	kmh_heap_unbook(heap, SZ_1M);
	kmheap_destroy(other);
}

/* The same of metadata: the other heap wants an arena. */
static void refused_metadata_counts_for_no_moment(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *other = heap_new(test, "kunit-beside", 0);
	struct beside b = { .heap = other };
	size_t limit = room_beside(other);

	kmh_kunit_at(test, "budget: metadata is counted", book_beside, &b);
	KUNIT_EXPECT_FALSE(test, kmh_heap_try_book_side(heap, SZ_64M));
	KUNIT_EXPECT_FALSE(test, b.refused);
	WRITE_ONCE(heap->limit_bytes, SZ_2M);
	KUNIT_EXPECT_FALSE(test, kmh_heap_try_book_side(heap, SZ_2M));
	WRITE_ONCE(heap->limit_bytes, 0);
	KUNIT_EXPECT_FALSE(test, kmh_kunit_passed("budget: metadata is counted"));
	KUNIT_EXPECT_TRUE(test, kmh_heap_try_book_side(heap, SZ_1M));
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("budget: metadata is counted"));
	KUNIT_EXPECT_TRUE(test, b.refused);
	WRITE_ONCE(kmh_total_limit, limit);
	kmh_heap_unbook_side(heap, SZ_1M);
	kmheap_destroy(other);
}

/* The descriptor of a cache is booked, so a heap whose limit is used up has no further cache. */
static void caches_keep_the_limit(struct kunit *test)
{
	const struct kmheap_cache_args args = { .name = "kunit", .size = 64 };
	struct kmheap *heap = heap_of(test, "kunit-caches", 0, SZ_2M);
	void *p = kmheap_alloc(heap, 64, GFP_KERNEL);	/* so that an arena stays */
	size_t before = kmh_heap_footprint(heap);
	struct kmheap_cache *cache;

	KUNIT_ASSERT_NOT_NULL(test, p);
	cache = kmheap_cache_create(heap, &args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(cache));
	KUNIT_EXPECT_GT(test, kmh_heap_footprint(heap), before);
	kmheap_cache_destroy(cache);
	KUNIT_EXPECT_EQ(test, kmh_heap_footprint(heap), before);
	/* Other metadata has all of the limit. */
	kmh_heap_move_side(heap, SZ_2M);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(kmheap_cache_create(heap, &args)), -ENOMEM);
	kmh_heap_move_side(heap, -(long)SZ_2M);
	cache = kmheap_cache_create(heap, &args);
	KUNIT_EXPECT_FALSE(test, IS_ERR(cache));
	if (!IS_ERR(cache))
		kmheap_cache_destroy(cache);
	kmheap_free(p);
	kmheap_destroy(heap);
}

/*
 * Blocks of which one page is left, all spans of the smallest objects: no other memory of a heap
 * has so much metadata, as the tables of a block are those of all its pages. The footprint keeps
 * the limit at each moment.
 */
#define LEFTOVER_LIMIT	(2UL << 20)

static void blocks_of_one_page_keep_the_limit(struct kunit *test)
{
	long total = atomic_long_read(&kmh_total_base);
	struct kmheap *heap = heap_of(test, "kunit-leftover", KMHEAP_LINEAR, LEFTOVER_LIMIT);
	const struct kmh_leavers all = { .bytes = SIZE_MAX };
	unsigned int i, nblocks = 0, nobjs = KMH_PAGE_SIZE / 8;
	size_t most = 0;
	void *p[7];

	kmh_kunit_no_worker(heap);
	for (;; nblocks++) {
		for (i = 0; i < nobjs; i++)
			if (!kmheap_alloc(heap, 8, GFP_KERNEL | __GFP_NOWARN))
				break;
		most = max(most, kmh_heap_footprint(heap));
		if (i < nobjs)
			break;
		/* The rest of the block. */
		for (i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = kmheap_alloc(heap, KMH_PAGE_SIZE, GFP_KERNEL | __GFP_NOWARN);
		most = max(most, kmh_heap_footprint(heap));
		kmheap_free_bulk(ARRAY_SIZE(p), p);
		kmh_heap_drain(heap);
		kmh_pages_return(heap, &all);
	}
	KUNIT_EXPECT_GT(test, nblocks, 100U);
	KUNIT_EXPECT_LE(test, most, LEFTOVER_LIMIT);
	KUNIT_EXPECT_GT(test, most, LEFTOVER_LIMIT / 10 * 8);
	KUNIT_EXPECT_GT(test, tables_beside(heap), 0L);
	KUNIT_EXPECT_GE(test, atomic_long_read(&heap->limit.side_bytes), tables_beside(heap));
	kunit_info(test, "%u blocks, at most %zu bytes of %lu\n", nblocks, most, LEFTOVER_LIMIT);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_total_base), total);
}

static struct kunit_case limit_side_cases[] = {
	KUNIT_CASE(magazines_keep_the_limit),
	KUNIT_CASE(shelves_keep_the_limit),
	KUNIT_CASE(descriptors_keep_the_limit),
	KUNIT_CASE(two_refills_keep_the_limit),
	KUNIT_CASE(refused_arenas_count_for_no_moment),
	KUNIT_CASE(refused_metadata_counts_for_no_moment),
	KUNIT_CASE(caches_keep_the_limit),
	KUNIT_CASE(blocks_of_one_page_keep_the_limit),
	{ }
};

static struct kunit_suite limit_side_suite = {
	.name = "kmheap_limit_side",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = limit_side_cases,
};

kunit_test_suite(limit_side_suite);
