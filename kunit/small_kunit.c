// SPDX-License-Identifier: GPL-2.0
/* KUnit: small heaps, which have no mcaches yet: what they cost, what works, how they grow up. */
#include <linux/string.h>

#include "small_kunit.h"

#define NALLOCS		128U	/* KMH_SMALL_ALLOCS */
#define BYTES		64

static void settle(struct kmheap *heap)
{
	irq_work_sync(&heap->growing_up.irq);
	flush_delayed_work(&heap->growing_up.work);
}

/* Bytes that wait for a grace period, those that CPUs count for themselves too. */
static long pending(struct kmheap *heap)
{
	long bytes = atomic_long_read(&heap->defer.pending);
	struct kmh_mcache *mc;
	int cpu;

	for_each_possible_cpu(cpu)
		bytes += kmh_stub_of(heap, cpu)->deferred;
	cpu = -1;
	while ((mc = kmh_next_mcache(heap, &cpu)))
		bytes += mc->deferred;
	return bytes;
}

/* An empty heap has few bytes, and the figures add up. */
/* The parameter is for heaps that do not ask, and for those made from then on. */
static void asked_for_by_the_parameter(struct kunit *test)
{
	struct kmheap *before = kmheap_create("kunit-before", NULL), *heap;
	bool was = kmh_small_heaps;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, before);
	WRITE_ONCE(kmh_small_heaps, true);
	heap = kmheap_create("kunit-asked", NULL);
	WRITE_ONCE(kmh_small_heaps, was);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_EXPECT_NULL(test, (void __force *)heap->mcaches);
	KUNIT_EXPECT_EQ(test, kmh_heap_first_bytes(heap), max(16UL << 10, PAGE_SIZE));
	if (!was) {
		KUNIT_EXPECT_NOT_NULL(test, (void __force *)before->mcaches);
		KUNIT_EXPECT_GE(test, kmh_heap_first_bytes(before), 64UL << 10);
	}
	kmheap_destroy(heap);
	kmheap_destroy(before);
}

static void costs_little(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	size_t most = sizeof(struct kmh_mcache_stub) * num_possible_cpus() + KMH_ARENA_FIRST_BYTES +
		      PAGE_SIZE + (IS_ENABLED(CONFIG_LOCKDEP) ? SZ_64K : SZ_8K + SZ_1K);
	struct kmheap_stats st;

	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_LE(test, st.footprint_bytes, (u64)most);
	kunit_info(test, "an empty heap takes %llu bytes, %lu in tables\n", st.footprint_bytes,
		   atomic_long_read(&heap->metadata_bytes));
	kmheap_destroy(heap);
}

/* The index of dedicated arenas comes with the first of them, if there is memory for both. */
static void indexes_dedicated_arenas_later(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct kmh_mheap *mh = &kmh_heap_near_node(heap)->mheap;
	size_t bytes = kmh_arena_bytes / 2 + 1;
	struct kmh_pagealloc *pa;
	void *p, *again;

	KUNIT_EXPECT_NULL(test, mh->own_pa);
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, bytes, GFP_ATOMIC | __GFP_NOWARN));
	kmh_kunit_validate(test);
	KUNIT_EXPECT_NULL(test, mh->own_pa);
	kmh_kunit_settle(heap);
	atomic_long_set(&kmh_fail_nth, 1);
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, bytes, GFP_KERNEL | __GFP_NOWARN));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_fail_nth), 0L);
	KUNIT_EXPECT_NULL(test, mh->own_pa);
	p = kmheap_alloc(heap, bytes, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	pa = mh->own_pa;
	KUNIT_ASSERT_NOT_NULL(test, pa);
	KUNIT_EXPECT_EQ(test, pa->nranges, 1UL);
	again = kmheap_alloc(heap, bytes, GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, mh->own_pa, pa);
	KUNIT_EXPECT_EQ(test, pa->nranges, 2UL);
	kmh_kunit_validate(test);
	kmheap_free(p);
	kmheap_free(again);
	kmheap_destroy(heap);
}

/* Objects of every class and larger ones, freed in every way, each once and once too often. */
static void serves(struct kunit *test)
{
	static const size_t sizes[] = { 1, 8, 64, 100, 1024, 8192, 32768, 40000 };
	struct kmheap *heap = small_heap(test, 0);
	struct kmheap_stats st;
	void *p[8], *bulk[8];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p[i] = kmheap_zalloc(heap, sizes[i], i % 2 ? GFP_KERNEL : GFP_KERNEL_ACCOUNT);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		KUNIT_EXPECT_NULL(test, memchr_inv(p[i], 0, sizes[i]));
		memset(p[i], 0x5a, sizes[i]);
	}
	KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, BYTES, GFP_KERNEL, 8, bulk), 8UL);
	KUNIT_ASSERT_NULL(test, (void __force *)heap->mcaches);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 16ULL);
	kmh_kunit_validate(test);

	kmheap_free_bulk(8, bulk);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		KUNIT_EXPECT_NULL(test, memchr_inv(p[i], 0x5a, sizes[i]));
		if (i % 2)
			kmheap_free(p[i]);
		else
			kmheap_free_rcu(p[i]);
		kmh_kunit_no_reports(test);
		kmheap_free(p[i]);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	}
	kmheap_rcu_barrier(heap);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.deferred_bytes, 0ULL);
	kmh_kunit_validate(test);
	kmheap_destroy(heap);
}

/* Objects that are older than the mcaches are freed like any, and their spans are used again. */
static void grows_up(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct kmheap_stats st;
	struct kmh_mspan *s;
	void *p[NALLOCS + 1];
	unsigned int i;

	for (i = 0; i < NALLOCS - 1; i++)
		p[i] = kmheap_alloc(heap, BYTES, GFP_KERNEL);
	settle(heap);
	KUNIT_EXPECT_NULL(test, (void __force *)heap->mcaches);
	p[i] = kmheap_alloc(heap, BYTES, GFP_KERNEL);
	settle(heap);
	KUNIT_ASSERT_NOT_NULL(test, (void __force *)heap->mcaches);
	KUNIT_EXPECT_PTR_EQ(test, (void __force *)heap->mcache, (void __force *)heap->mcaches);
	p[NALLOCS] = kmheap_alloc(heap, BYTES, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, ngroups(kmh_heap_near_node(heap)), KMH_NR_GROUPS);

	s = kmh_span_of((unsigned long)p[NALLOCS]);
	KUNIT_EXPECT_PTR_EQ(test, (void __force *)s->mcache, (void __force *)heap->mcaches);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, NALLOCS + 1ULL);
	for (i = 0; i < NALLOCS / 2; i++)
		kmheap_free(p[i]);
	for (; i <= NALLOCS; i++)
		kmheap_free_rcu(p[i]);
	kmheap_free(p[0]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_rcu_barrier(heap);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, pending(heap), 0L);
	kmh_kunit_validate(test);
	kmheap_destroy(heap);
}

/* So does a heap that is asked for the memory of certain nodes only. */
static void grows_up_by_nodes(struct kunit *test)
{
	unsigned int spanclass = kmh_spanclass(kmh_size_to_class(BYTES), false), i;
	struct kmheap *heap = small_heap(test, 0);

	for (i = 0; i < NALLOCS; i++) {
		settle(heap);
		KUNIT_EXPECT_NULL(test, (void __force *)heap->mcaches);
		kmheap_free(kmh_alloc_on_node(heap, spanclass, GFP_KERNEL, first_memory_node));
	}
	settle(heap);
	KUNIT_EXPECT_NOT_NULL(test, (void __force *)heap->mcaches);
	kmh_kunit_validate(test);
	kmheap_destroy(heap);
}

/* Caches that are older than the mcaches, and younger ones than a span, have their objects back. */
static void caches_grow_up(struct kunit *test)
{
	struct kmheap_cache_args args = { .name = "old", .size = BYTES, .align = 8 };
	struct kmheap *heap = small_heap(test, 0);
	struct kmheap_cache *cache[2];
	struct kmheap_stats st;
	void *(*p)[NALLOCS] = kunit_kcalloc(test, 2, sizeof(*p), GFP_KERNEL);
	struct kmh_mspan *s;
	unsigned int i, n;

	KUNIT_ASSERT_NOT_NULL(test, p);
	cache[0] = kmheap_cache_create(heap, &args);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cache[0]);
	/* The worker comes after all of these: earlier mcaches could take the first span over. */
	WRITE_ONCE(heap->growing_up.stopped, true);
	for (i = 0; i < NALLOCS; i++) {
		p[0][i] = kmheap_cache_alloc(cache[0], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[0][i]);
	}
	WRITE_ONCE(heap->growing_up.stopped, false);
	kmh_kick_ask(&heap->growing_up);
	settle(heap);
	KUNIT_ASSERT_NOT_NULL(test, (void __force *)heap->mcaches);
	KUNIT_EXPECT_PTR_EQ(test, (void __force *)cache[0]->mcache, (void __force *)heap->mcaches);
	args.name = "young";
	cache[1] = kmheap_cache_create(heap, &args);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cache[1]);
	s = kmh_span_of((unsigned long)p[0][0]);
	KUNIT_EXPECT_PTR_EQ(test, (void __force *)s->mcache, (void __force *)heap->stubs);
	kmheap_cache_free(cache[0], p[0][0]);
	/* As an interrupt that finds the section taken does it: from the span that has the stub. */
	preempt_disable();
	kmh_mcache_enter(kmh_mcache_of(heap, raw_smp_processor_id()));
	p[1][0] = kmheap_cache_alloc(cache[1], GFP_ATOMIC);
	kmh_mcache_leave(kmh_mcache_of(heap, raw_smp_processor_id()));
	preempt_enable();
	KUNIT_EXPECT_NOT_NULL(test, p[1][0]);
	p[0][0] = kmheap_cache_alloc(cache[0], GFP_KERNEL);
	for (i = 1; i < NALLOCS; i++)
		p[1][i] = kmheap_cache_alloc(cache[1], GFP_KERNEL);
	for (n = 0; n < 2; n++)
		for (i = 0; i < NALLOCS; i++)
			kmheap_cache_free(cache[n], p[n][i]);
	kmh_kunit_no_reports(test);
	kmh_kunit_validate(test);
	for (n = 0; n < 2; n++)
		kmheap_cache_destroy(cache[n]);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	kmheap_destroy(heap);
}

/* Without memory for mcaches the heap stays small, serves, and tries again later. */
static void stays_small(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	unsigned int i;

	for (i = 0; i < NALLOCS - 1; i++)
		kmheap_free(kmheap_alloc(heap, BYTES, GFP_KERNEL));
	atomic_long_set(&kmh_fail_nth, 1);
	kmheap_free(kmheap_alloc(heap, BYTES, GFP_KERNEL));
	settle(heap);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_fail_nth), 0L);
	KUNIT_EXPECT_NULL(test, (void __force *)heap->mcaches);
	for (i = 0; i < NALLOCS; i++)
		kmheap_free(kmheap_alloc(heap, BYTES, GFP_KERNEL));
	settle(heap);
	KUNIT_EXPECT_NOT_NULL(test, (void __force *)heap->mcaches);
	kmh_kunit_validate(test);
	kmheap_destroy(heap);
}

/* A limit that has let a heap be made lets it grow up, however full it is. */
static void grows_up_at_its_limit(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct kmheap_stats st;
	void *first = NULL, **p;

	KUNIT_ASSERT_EQ(test, kmheap_set_limit(heap, KMH_LIMIT_MIN_BYTES), 0);
	while ((p = kmheap_alloc(heap, 4096, GFP_KERNEL | __GFP_NOWARN))) {
		*p = first;
		first = p;
	}
	while ((p = first)) {
		first = *p;
		kmheap_free(p);
	}
	KUNIT_EXPECT_EQ(test, kmh_mcaches_make(heap, GFP_KERNEL), 0);
	KUNIT_EXPECT_NOT_NULL(test, (void __force *)heap->mcaches);
	kmh_kunit_stats(heap, &st);
	KUNIT_EXPECT_LE(test, st.footprint_bytes, (u64)KMH_LIMIT_MIN_BYTES);
	kmheap_destroy(heap);
}

/*
 * A collection in a small heap, and one that ends after it has grown up. What is allocated
 * meanwhile is not garbage, though its class has not been used before.
 */
static void collects(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, KMHEAP_COLLECTED);
	void *kept = kmheap_alloc(heap, BYTES, GFP_KERNEL);
	struct kmheap_stats st;
	unsigned int i;

	for (i = 0; i < 10; i++)
		KUNIT_EXPECT_NOT_NULL(test, kmheap_alloc(heap, BYTES, GFP_KERNEL));
	kmh_kunit_collect_but(test, heap, kept, &st);
	KUNIT_EXPECT_EQ(test, st.marked_objects, 1ULL);

	KUNIT_EXPECT_NOT_NULL(test, kmheap_alloc(heap, BYTES, GFP_KERNEL));
	KUNIT_ASSERT_EQ(test, kmheap_collect_begin(heap), 0);
	KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, kept));
	KUNIT_EXPECT_NOT_NULL(test, kmheap_alloc(heap, 1024, GFP_ATOMIC));	/* black */
	KUNIT_ASSERT_EQ(test, kmh_mcaches_make(heap, GFP_KERNEL), 0);
	KUNIT_EXPECT_NOT_NULL(test, kmheap_alloc(heap, BYTES, GFP_KERNEL));	/* black */
	KUNIT_ASSERT_EQ(test, kmheap_collect_end(heap), 0);
	kmheap_rcu_barrier(heap);
	kmh_kunit_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 3ULL);
	KUNIT_EXPECT_EQ(test, st.marked_objects, 2ULL);
	kmheap_free(kept);
	kmh_kunit_validate(test);
	kmheap_destroy(heap);
}

/* kmheap_destroy() as clients call it: the name is free at once, the memory a little later. */
static void ends_later(struct kunit *test)
{
	struct kmh_kunit_books before;
	unsigned int i;

	kmh_kunit_books(test, &before);
	for (i = 0; i < 5; i++) {
		struct kmheap *heap = small_heap(test, 0);

		kmheap_free(kmheap_alloc(heap, BYTES, GFP_KERNEL));
		(kmheap_destroy)(heap);
	}
	kmh_kunit_same_books(test, &before);
}

static struct kunit_case small_cases[] = {
	KUNIT_CASE(asked_for_by_the_parameter),
	KUNIT_CASE(costs_little),
	KUNIT_CASE(indexes_dedicated_arenas_later),
	KUNIT_CASE(serves),
	KUNIT_CASE(grows_up),
	KUNIT_CASE(grows_up_by_nodes),
	KUNIT_CASE(caches_grow_up),
	KUNIT_CASE(stays_small),
	KUNIT_CASE(grows_up_at_its_limit),
	KUNIT_CASE(collects),
	KUNIT_CASE(ends_later),
	{ }
};

static struct kunit_suite small_suite = {
	.name = "kmheap_small",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = small_cases,
};

kunit_test_suite(small_suite);
