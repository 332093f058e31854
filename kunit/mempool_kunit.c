// SPDX-License-Identifier: GPL-2.0
/* KUnit: mempools of the kernel whose elements are of a cache, or of a heap. */
#include <linux/mempool.h>
#include <linux/string.h>

#include "kunit_util.h"

#define NKEPT	4
#define BYTES	200U

static void construct(void *p)
{
	memset(p, 'c', BYTES);
}

static struct kmheap_cache *cache_of(struct kunit *test)
{
	static const struct kmheap_cache_args args = {
		.name = "elements", .size = BYTES, .ctor = construct
	};
	struct kmheap_cache *cache = kmheap_cache_create(kmh_kunit_heap(test), &args);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cache);
	return cache;
}

static u64 live_objects(struct kunit *test)
{
	struct kmheap_stats st;

	kmh_kunit_balanced(test, kmh_kunit_heap(test), &st);
	return st.live_objects;
}

/*
 * Take elements until there are none; the heap is at its limit, so the last ones are those that the
 * pool has kept. The caller cannot sleep.
 */
static void *take_all(struct kunit *test, mempool_t *pool, unsigned int *n)
{
	void *first = NULL, **p;

	for (*n = 0; (p = mempool_alloc(pool, GFP_NOWAIT | __GFP_NOWARN)); ++*n) {
		*p = first;
		first = p;
	}
	KUNIT_EXPECT_EQ(test, pool->curr_nr, 0);
	return first;
}

/* The first ones fill the pool again, the others go to the heap. */
static void give_all(struct kunit *test, mempool_t *pool, void *first)
{
	void *p;

	while ((p = first)) {
		first = *(void **)p;
		mempool_free(p, pool);
	}
	KUNIT_EXPECT_EQ(test, pool->curr_nr, NKEPT);
	KUNIT_EXPECT_EQ(test, live_objects(test), (u64)NKEPT);
}

static void serves_and_keeps(struct kunit *test, mempool_t *pool)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_object obj;
	unsigned int n;
	void *p;

	KUNIT_ASSERT_NOT_NULL(test, pool);
	KUNIT_EXPECT_EQ(test, live_objects(test), (u64)NKEPT);
	p = mempool_alloc(pool, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, kmheap_lookup(p, &obj));
	KUNIT_EXPECT_PTR_EQ(test, obj.heap, heap);
	KUNIT_EXPECT_EQ(test, live_objects(test), NKEPT + 1ULL);
	mempool_free(p, pool);
	KUNIT_EXPECT_EQ(test, live_objects(test), (u64)NKEPT);

	kmh_kunit_no_worker(heap);
	KUNIT_ASSERT_EQ(test, kmheap_set_limit(heap, KMH_LIMIT_MIN_BYTES), 0);
	p = take_all(test, pool, &n);
	KUNIT_EXPECT_GT(test, n, (unsigned int)NKEPT);
	KUNIT_EXPECT_EQ(test, live_objects(test), (u64)n);
	give_all(test, pool, p);
	mempool_destroy(pool);
	KUNIT_EXPECT_EQ(test, live_objects(test), 0ULL);
	kmh_kunit_no_reports(test);
	kmh_kunit_validate(test);
}

static void elements_of_a_cache(struct kunit *test)
{
	struct kmheap_cache *cache = cache_of(test);

	serves_and_keeps(test, mempool_create(NKEPT, kmheap_mempool_alloc, kmheap_mempool_free,
					      cache));
	kmheap_cache_destroy(cache);
}

static void elements_of_a_heap(struct kunit *test)
{
	struct kmheap_mempool_size of = { .heap = kmh_kunit_heap(test), .bytes = BYTES };

	serves_and_keeps(test, mempool_create(NKEPT, kmheap_mempool_alloc_sized,
					      kmheap_mempool_free_sized, &of));
}

/* What a pool keeps has been constructed, is the cache's, and is not taken by another cache. */
static void elements_know_their_cache(struct kunit *test)
{
	struct kmheap_mempool_size of = { .heap = kmh_kunit_heap(test), .bytes = 4 * BYTES };
	struct kmheap_cache *cache = cache_of(test), *other = cache_of(test);
	void *p = kmheap_mempool_alloc(GFP_KERNEL | __GFP_NOFAIL, cache);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 'c', BYTES));
	kmheap_mempool_free(p, other);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmheap_mempool_free_sized(p, &of);
	kmh_kunit_reports(test, KMH_WRONG_SIZE_FREE, 1);
	kmheap_mempool_free(p, cache);
	kmh_kunit_no_reports(test);
	p = kmheap_mempool_alloc_sized(GFP_KERNEL | __GFP_NOFAIL, &of);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_GE(test, kmheap_size(p), of.bytes);
	kmheap_mempool_free_sized(p, &of);
	kmh_kunit_no_reports(test);
	kmheap_cache_destroy(other);
	kmheap_cache_destroy(cache);
}

static struct kunit_case mempool_cases[] = {
	KUNIT_CASE(elements_of_a_cache),
	KUNIT_CASE(elements_of_a_heap),
	KUNIT_CASE(elements_know_their_cache),
	{ }
};

static struct kunit_suite mempool_suite = {
	.name = "kmheap_pool_elements",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = mempool_cases,
};

kunit_test_suite(mempool_suite);
