// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: parked large objects become pages for callers that need some, and go back to the
 * page heap.
 */
#include "largecache_kunit.h"

/* Take every page of the heap in objects of @bytes, linked through their first words. */
static void *fill(struct kmheap *heap, size_t bytes, unsigned int *n)
{
	void *first = NULL, *p;

	for (*n = 0; (p = kmheap_alloc(heap, bytes, GFP_NOWAIT)); ++*n) {
		*(void **)p = first;
		first = p;
	}
	return first;
}

static void empty(void *arg)
{
	void *p, *next;

	for (p = arg; p; p = next) {
		next = *(void **)p;
		kmheap_free(p);
	}
}

/* A caller that cannot sleep gets what this CPU and the node have parked, whatever its length. */
static void atomic_callers_get_parked_pages(struct kunit *test)
{
	static const size_t sizes[] = { 200000, 40000, 8192, 64, 16384 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned long max = cache(heap)->max;
	unsigned int i, n, round;
	void *first;

	kmh_kunit_no_worker(heap);
	for (round = 0; round < 2; round++) {
		/* In the second round all parked spans are in the store. */
		cache(heap)->max = round ? 0 : max;
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			first = fill(heap, 65536, &n);
			KUNIT_EXPECT_GE(test, n, 3U);
			empty(first);
			KUNIT_EXPECT_GE(test, cache(heap)->npages + store(heap)->npages, 24UL);
			first = fill(heap, sizes[i], &n);
			/*
			 * All 31 pages, less those that fill no span and those of other
			 * classes.
			 */
			KUNIT_EXPECT_GE_MSG(test, n * sizes[i], (size_t)128 << 10,
					    "%zu bytes, round %u", sizes[i], round);
			KUNIT_EXPECT_EQ(test, cache(heap)->npages + store(heap)->npages, 0UL);
			empty(first);
			kmh_mcache_drain_all(heap);
			kmh_mheap_drain_lists(mh);
			KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
		}
	}
	cache(heap)->max = max;
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
}

/*
 * What another CPU has parked is taken before the heap grows, and before an allocation is
 * refused.
 */
static void growing_takes_what_all_cpus_have_parked(struct kunit *test)
{
	static const size_t sizes[] = { 200000, 65536, 40000, 64, 16384 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned int i, n, refused;
	void *first, *p;

	kmh_kunit_no_worker(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (i % 2)	/* the limit leaves no room to grow */
			heap->limit_bytes = atomic_long_read(&heap->arena_bytes);
		mh->fetched = jiffies - HZ;
		first = fill(heap, 65536, &n);
		kmh_kunit_elsewhere(test, empty, first);
		KUNIT_EXPECT_EQ(test, cache(heap)->npages, 0UL);
		KUNIT_EXPECT_EQ(test, mh->pa.nfree + 8 * n, mh->pa.npages);
		refused = atomic_long_read(&heap->refused);
		p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, p);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->refused), (long)refused);
		KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
		heap->limit_bytes = 0;
		kmheap_free(p);
		kmh_mcache_drain_all(heap);
		kmh_mheap_drain_lists(mh);
		KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
	}
}

/* A CPU whose spans others had to fetch keeps fewer, and more again once it fetches itself. */
static void what_a_cpu_keeps_adapts(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned long limit = cache(heap)->max;
	void *p, *q;

	KUNIT_ASSERT_GE(test, limit, 2 * KMH_LARGECACHE_PAGES);
	kmheap_free(alloc(test, heap, 65536));
	kmheap_free(alloc(test, heap, 40960));
	kmh_largecache_drain_cpus(heap);
	KUNIT_EXPECT_EQ(test, cache(heap)->npages, 0UL);
	KUNIT_EXPECT_EQ(test, store(heap)->npages, 8UL + 5);
	KUNIT_EXPECT_EQ(test, cache(heap)->max, limit / 2);
	kmh_largecache_drain_cpus(heap);	/* the CPU has none: it is not asked */
	KUNIT_EXPECT_EQ(test, cache(heap)->max, limit / 2);
	p = alloc(test, heap, 65536);
	KUNIT_EXPECT_EQ(test, store(heap)->npages, 5UL);
	KUNIT_EXPECT_EQ(test, cache(heap)->max, limit);
	q = alloc(test, heap, 40960);
	KUNIT_EXPECT_EQ(test, cache(heap)->max, limit);
	KUNIT_EXPECT_EQ(test, store(heap)->npages, 0UL);
	while (cache(heap)->max > KMH_LARGECACHE_PAGES) {
		kmheap_free(alloc(test, heap, 100000));
		kmh_largecache_drain_cpus(heap);
		kmh_largestore_drain(heap);
	}
	kmheap_free(alloc(test, heap, 100000));
	kmh_largecache_drain_cpus(heap);
	KUNIT_EXPECT_EQ(test, cache(heap)->max, KMH_LARGECACHE_PAGES);
	kmheap_free(p);
	kmheap_free(q);
}

/* One parked span that suffices is enough: the others stay parked. */
static void growing_takes_no_more_than_it_needs(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned int n;
	void *first;

	kmh_kunit_no_worker(heap);
	first = fill(heap, 65536, &n);
	kmh_kunit_elsewhere(test, empty, first);
	first = kmheap_alloc(heap, 65536, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, first);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	KUNIT_EXPECT_GE(test, store(heap)->npages + cache(heap)->npages, 8UL);
	kmheap_free(first);
}

/* A heap whose parked spans are fetched again and again is too small and grows, if it may. */
static void growing_is_for_heaps_that_fetch_often(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned int i, n;
	void *p;

	kmh_kunit_no_worker(heap);
	for (i = 0; i < 2; i++) {
		heap->limit_bytes = i ? 0 : atomic_long_read(&heap->arena_bytes);
		kmh_kunit_elsewhere(test, empty, fill(heap, 65536, &n));
		mh->fetched = jiffies + 1000 * HZ;
		p = kmheap_alloc(heap, 65536, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL + i);
		kmheap_free(p);
	}
	heap->limit_bytes = 0;
}

/* Pages of spans that are empty anyway are taken first, then, too. */
static void growing_takes_what_is_empty_first(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned int n;
	void *p;

	kmh_kunit_no_worker(heap);
	kmh_kunit_elsewhere(test, empty, fill(heap, 8192, &n));
	KUNIT_ASSERT_GE(test, n, 20U);
	kmh_magazines_drain_all(heap);
	mh->fetched = jiffies + 1000 * HZ;
	p = kmheap_alloc(heap, 100000, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	kmheap_free(p);
}

/* The worker fetches for callers that cannot wait for other CPUs. */
static void the_worker_fetches_what_others_have_parked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned long kib = READ_ONCE(kmh_reserve_max_kib);
	struct kmh_mheap *mh = mheap(test);
	unsigned int n;
	void *first, *p;

	kmh_kunit_no_worker(heap);
	WRITE_ONCE(mh->low_pages, 0);
	WRITE_ONCE(kmh_reserve_max_kib, 0);	/* or the refusal would be a reason to grow */
	first = fill(heap, 65536, &n);
	kmh_kunit_elsewhere(test, empty, first);
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 200000, GFP_NOWAIT));
	KUNIT_EXPECT_NE(test, mh->missed_pages, 0UL);
	mh->ahead_after = jiffies;
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 200000, GFP_NOWAIT));
	kmh_kunit_settle(heap);
	WRITE_ONCE(kmh_reserve_max_kib, kib);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	p = kmheap_alloc(heap, 200000, GFP_NOWAIT);
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmheap_free(p);
}

/* What is in the store is within every CPU's reach: no worker grows ahead for want of it. */
static void the_store_counts_as_free(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s[2];
	unsigned int n, i;

	kmh_kunit_no_worker(heap);
	cache(heap)->max = 0;
	empty(fill(heap, 65536, &n));
	KUNIT_ASSERT_GE(test, store(heap)->npages, 16UL);
	mh->missed_pages = 0;
	mh->low_pages = mh->pa.nfree + 10;
	mh->ahead_after = jiffies;
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = alloc_span(mh, SPANCLASS, 1, 1, NULL);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
	}
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	KUNIT_EXPECT_GE(test, store(heap)->npages, 16UL);
	/* Without the store the worker grows. */
	mh->missed_pages = 0;
	mh->low_pages = mh->pa.npages;
	kmh_mheap_free_span(s[0]);
	s[0] = alloc_span(mh, SPANCLASS, 1, 1, NULL);
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 2UL);
	KUNIT_EXPECT_EQ(test, store(heap)->npages, 0UL);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		kmh_mheap_free_span(s[i]);
}

/* Pages that came free since a caller found none are enough: no arena is taken. */
static void no_arena_when_the_run_can_be_had(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s[8], *got;
	unsigned int i;

	kmh_kunit_no_worker(heap);
	KUNIT_EXPECT_EQ(test, grow(mh, 1, 1), 0);
	KUNIT_EXPECT_EQ(test, grow(mh, mh->pa.npages, 1), 0);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
	KUNIT_EXPECT_EQ(test, grow(mh, mh->pa.npages + 1, 1), 0);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 2UL);
	/* Enough pages are free, but in no run. */
	for (i = 0; i < ARRAY_SIZE(s); i++)
		s[i] = alloc_span(mh, LARGE, 1, 8, NULL);
	KUNIT_EXPECT_EQ(test, grow(mh, 64, 1), 0);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 3UL);
	got = alloc_span(mh, LARGE, 64, 1, NULL);
	KUNIT_EXPECT_NOT_NULL(test, got);
	kmh_mheap_free_span(got);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		if (s[i])
			kmh_mheap_free_span(s[i]);
	kmh_kunit_validate(test);
}

/* Pages are free, descriptors are not: growing for that brings descriptors, and no arena. */
static void growing_brings_metadata(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s, *next;
	LLIST_HEAD(all);
	void *p;

	kmh_kunit_no_worker(heap);
	while ((s = kmh_mspan_get(LARGE)))
		__llist_add(&s->node, &all);
	KUNIT_EXPECT_EQ(test, grow(mh, 1, 1), 0);
	KUNIT_EXPECT_FALSE(test, kmh_mspan_pools_short(LARGE));
	while ((s = kmh_mspan_get(LARGE)))
		__llist_add(&s->node, &all);
	p = kmheap_alloc_node(heap, 65536, GFP_KERNEL, numa_mem_id());
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmheap_free(p);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	llist_for_each_entry_safe(s, next, all.first, node)
		kmh_mspan_put(s);
}

static void shrink_gives_back_what_is_parked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, heap, 300000), *q = alloc(test, heap, 400000);
	struct kmheap_stats st;

	kmheap_free(p);
	kmh_kunit_elsewhere(test, (void (*)(void *))kmheap_free, q);
	KUNIT_EXPECT_TRUE(test, is_parked(p) && is_parked(q));
	kmh_kunit_settle(heap);		/* or the worker would grow the heap afterwards */
	KUNIT_EXPECT_GT(test, kmh_kunit_shrink(heap), (size_t)700000);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->arena_bytes), 0L);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.cached_bytes, 0ULL);
	kmheap_free(p);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
}

static void destroy_gives_back_what_is_parked(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-parked", 0);
	void *p = alloc(test, heap, 300000), *q = alloc(test, heap, 400000);

	kmheap_free(p);
	kmh_kunit_elsewhere(test, (void (*)(void *))kmheap_free, q);
	KUNIT_EXPECT_TRUE(test, is_parked(p) && is_parked(q));
	kmheap_destroy(heap);	/* the books at the end of the case would tell */
}

/* Call what the callback for a dead CPU calls. */
static void a_dead_cpu_keeps_nothing(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned int cpu, i;
	void *p[20];

	kmh_kunit_no_worker(heap);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = alloc(test, heap, 40000 + i * 10000);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		kmheap_free(p[i]);
	KUNIT_EXPECT_GT(test, cache(heap)->npages, 0UL);
	cpu = raw_smp_processor_id();
	preempt_disable();	/* so that nobody uses the heap on this CPU */
	kmh_mcache_drain_locked(per_cpu_ptr(heap->mcache, cpu));
	preempt_enable();
	KUNIT_EXPECT_EQ(test, cache(heap)->npages, 0UL);
	kmh_largestore_drain(heap);
	KUNIT_EXPECT_EQ(test, store(heap)->npages, 0UL);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
}

static struct kunit_case largecache_room_cases[] = {
	KUNIT_CASE(atomic_callers_get_parked_pages),
	KUNIT_CASE(growing_takes_what_all_cpus_have_parked),
	KUNIT_CASE(what_a_cpu_keeps_adapts),
	KUNIT_CASE(growing_takes_no_more_than_it_needs),
	KUNIT_CASE(growing_is_for_heaps_that_fetch_often),
	KUNIT_CASE(growing_takes_what_is_empty_first),
	KUNIT_CASE(the_worker_fetches_what_others_have_parked),
	KUNIT_CASE(the_store_counts_as_free),
	KUNIT_CASE(no_arena_when_the_run_can_be_had),
	KUNIT_CASE(growing_brings_metadata),
	KUNIT_CASE(shrink_gives_back_what_is_parked),
	KUNIT_CASE(destroy_gives_back_what_is_parked),
	KUNIT_CASE(a_dead_cpu_keeps_nothing),
	{ }
};

static struct kunit_suite largecache_room_suite = {
	.name = "kmheap_largecache_room",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = largecache_room_cases,
};

kunit_test_suite(largecache_room_suite);
