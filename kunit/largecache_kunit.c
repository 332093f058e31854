// SPDX-License-Identifier: GPL-2.0
/* KUnit: freed large objects that are parked, which to all others are free pages. */
#include <linux/mm.h>
#include <linux/string.h>

#include "largecache_kunit.h"

/* ---- reuse */

static void the_last_one_freed_is_had_again(struct kunit *test)
{
	static const size_t sizes[] = { 32769, 50000, 65536, 300000, 1 << 20 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st, before;
	struct kmheap_object obj;
	unsigned int i, j;
	void *p[4], *q;

	kmheap_stats(heap, &before);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t bytes = round_up(sizes[i], KMH_PAGE_SIZE);

		for (j = 0; j < ARRAY_SIZE(p) && (j + 1) * bytes <= 2 << 20; j++)
			p[j] = alloc(test, heap, sizes[i]);
		while (j--) {
			kmheap_free(p[j]);
			KUNIT_EXPECT_TRUE(test, is_parked(p[j]));
		}
		/* As data, and shorter by less than a page: nothing of the old object is left. */
		q = kmheap_alloc_data(heap, bytes - 100, GFP_NOWAIT);
		KUNIT_EXPECT_PTR_EQ(test, q, p[0]);
		KUNIT_EXPECT_EQ(test, kmheap_size(q), bytes);
		KUNIT_EXPECT_TRUE(test, kmheap_lookup(q + bytes - 1, &obj));
		KUNIT_EXPECT_PTR_EQ(test, obj.base, q);
		KUNIT_EXPECT_TRUE(test, obj.data);
		KUNIT_EXPECT_EQ(test, (int)obj.state, (int)KMHEAP_OBJECT_LIVE);
		kmh_kunit_balanced(test, heap, &st);
		KUNIT_EXPECT_EQ(test, st.live_bytes, bytes - 100);
		KUNIT_EXPECT_EQ(test, st.live_objects, 1ULL);
		KUNIT_EXPECT_EQ(test, st.spans, 1ULL);
		kmheap_free_sized(q, bytes - 100);
		q = alloc(test, heap, sizes[i]);
		KUNIT_EXPECT_PTR_EQ(test, q, p[0]);
		KUNIT_EXPECT_TRUE(test, kmheap_lookup(q, &obj));
		KUNIT_EXPECT_FALSE(test, obj.data);
		kmheap_free(q);
		kmh_kunit_validate(test);
	}
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.allocs - before.allocs, 4 + 4 + 4 + 4 + 2 + 2ULL * i);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_GE(test, st.cached_bytes,
			(u64)(cache(heap)->npages + store(heap)->npages) << KMH_PAGE_SHIFT);
}

/*
 * A parked span of another length is not cut; one at an address of lesser alignment is not
 * taken.
 */
static void only_what_fits_is_had(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, heap, 65536), *other, *run;
	struct kmheap_stats st, before;
	size_t align;

	kmheap_free(p);
	other = alloc(test, heap, 65537);
	KUNIT_EXPECT_TRUE(test, other != p && is_parked(p));
	kmheap_free(other);
	other = alloc(test, heap, 65536 - KMH_PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, other != p && is_parked(p));
	kmheap_free(other);
	for (align = KMH_PAGE_SIZE; align <= KMH_ALIGN_MAX_BYTES; align *= 2) {
		bool fits = IS_ALIGNED((unsigned long)p, align);

		other = kmheap_alloc_aligned(heap, 65536, align, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, other);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)other, align));
		if (fits)
			KUNIT_EXPECT_PTR_EQ(test, other, p);
		kmheap_free(other);
		p = other;
	}
	/* Runs of pages and objects are taken from the same parked spans, and counted apart. */
	kmheap_stats(heap, &before);
	run = kmheap_alloc_pages(heap, 8, GFP_NOWAIT);
	KUNIT_EXPECT_PTR_EQ(test, run, p);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.allocs, before.allocs);
	KUNIT_EXPECT_EQ(test, st.manual_bytes, 65536ULL);
	kmheap_free(run);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmheap_free_pages(run, 8);
	KUNIT_EXPECT_TRUE(test, is_parked(run));
	kmheap_free_pages(run, 8);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test, heap, 65536), run);
	kmheap_free(run);
}

static void a_parked_one_is_not_zero(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;
	u8 *p, *q;

	for (i = 0; i < 3; i++) {
		p = alloc(test, heap, 100000);
		memset(p, 0xa5, kmheap_size(p));
		kmheap_free(p);
		q = i ? kmheap_alloc_aligned(heap, 100000, 8, GFP_NOWAIT | __GFP_ZERO) :
			kmheap_zalloc(heap, 100000, GFP_KERNEL);
		KUNIT_EXPECT_PTR_EQ(test, q, p);
		KUNIT_EXPECT_NULL(test, memchr_inv(q, 0, kmheap_size(q)));
		kmheap_free(q);
	}
}

/* ---- a parked object is free pages to all others */

static void parked_is_freed(struct kunit *test)
{
	static const size_t offs[] = { 0, 8, KMH_PAGE_SIZE, 65535, 65536 - KMH_PAGE_SIZE };
	struct kmheap *heap = kmh_kunit_heap(test);
	u8 *p = alloc(test, heap, 65536);
	struct kmheap_object obj;
	struct kmheap_stats st;
	struct kmh_report r;
	unsigned int i;

	kmheap_free(p);
	KUNIT_ASSERT_TRUE(test, is_parked(p));
	for (i = 0; i < ARRAY_SIZE(offs); i++) {
		KUNIT_EXPECT_FALSE(test, kmheap_lookup(p + offs[i], &obj));
		KUNIT_EXPECT_EQ(test, kmh_live_bytes(p + offs[i]), (size_t)0);
		kmheap_free(p + offs[i]);
		r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
		KUNIT_EXPECT_STREQ(test, r.what, "its pages are free already");
		kmheap_free_sized(p + offs[i], 65536);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
		kmheap_free_rcu(p + offs[i]);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
		kmheap_free_pages(p + offs[i], 8);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
		KUNIT_EXPECT_NULL(test, kmheap_realloc(heap, p + offs[i], 10, GFP_KERNEL));
		kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
		KUNIT_EXPECT_FALSE(test, kmheap_mark(heap, p + offs[i]));
	}
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(p, NULL, NULL), -EINVAL);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, st.spans, 0ULL);
	KUNIT_EXPECT_GE(test, st.cached_bytes, 65536ULL);
	KUNIT_EXPECT_TRUE(test, is_parked(p));
	kmh_kunit_validate(test);
}

/* A free that has seen the object live comes second, as late as it can. */
static void the_claim_is_lost_once_parked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, heap, 65536);
	struct kmh_mspan *s = span(p);
	struct kmh_where at;

	kmheap_free(p);
	/* The span was in use when the free looked at it; now it has to be a freed object. */
	preempt_disable();
	kmh_locate(s, (unsigned long)p, &at);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, at.base, (unsigned long)p);
	KUNIT_EXPECT_EQ(test, (int)at.state, (int)KMHEAP_OBJECT_FREE);
	preempt_disable();
	KUNIT_EXPECT_EQ(test, claim(s, p), (int)KMH_FREE_DOUBLE);
	preempt_enable();
	KUNIT_EXPECT_PTR_EQ(test, alloc(test, heap, 65536), p);
	preempt_disable();
	KUNIT_EXPECT_EQ(test, claim(s, p), (int)KMH_FREE_OK);
	preempt_enable();
	kmh_large_free(s);
}

/* ---- bounds */

static void too_much_goes_to_the_store(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned long max = cache(heap)->max, npages, n = 0, i;
	void *first = NULL, *p;

	kmh_kunit_no_worker(heap);	/* fetching ignores the store's bound */
	KUNIT_EXPECT_GE(test, max, KMH_LARGECACHE_PAGES);
	for (npages = 0; npages < 3 * max; npages += 8, n++) {
		p = alloc(test, heap, 65536);
		*(void **)p = first;
		first = p;
	}
	while ((p = first)) {
		first = *(void **)p;
		kmheap_free(p);
		KUNIT_EXPECT_LE(test, cache(heap)->npages, max);
	}
	KUNIT_EXPECT_EQ(test, cache(heap)->npages + store(heap)->npages, n * 8);
	kmh_kunit_validate(test);
	/* All of it comes back from the store, without the page heap. */
	for (i = 0; i < n; i++) {
		unsigned long nfree = READ_ONCE(mheap(test)->pa.nfree);

		p = alloc(test, heap, 65536);
		KUNIT_EXPECT_EQ(test, READ_ONCE(mheap(test)->pa.nfree), nfree);
		*(void **)p = first;
		first = p;
	}
	KUNIT_EXPECT_EQ(test, cache(heap)->npages + store(heap)->npages, 0UL);
	/* A length that nobody asks for any more makes room for another one. */
	while ((p = first)) {
		first = *(void **)p;
		kmheap_free(p);
	}
	KUNIT_EXPECT_GT(test, store(heap)->npages, max);
	store(heap)->max = store(heap)->npages;
	for (i = 0; i < max / 4; i++) {
		p = alloc(test, heap, 40960);
		*(void **)p = first;
		first = p;
	}
	while ((p = first)) {
		first = *(void **)p;
		kmheap_free(p);
		KUNIT_EXPECT_LE(test, cache(heap)->npages, max);
		KUNIT_EXPECT_LE(test, store(heap)->npages, store(heap)->max);
	}
	KUNIT_EXPECT_TRUE(test, cache(heap)->head[4]);
	KUNIT_EXPECT_TRUE(test, store(heap)->head[4]);
}

static void what_is_too_long_is_not_parked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, heap, KMH_LARGECACHE_PAGES << KMH_PAGE_SHIFT);
	void *q = alloc(test, heap, (KMH_LARGECACHE_PAGES << KMH_PAGE_SHIFT) + 1);

	kmheap_free(p);
	kmheap_free(q);
	KUNIT_EXPECT_TRUE(test, is_parked(p));
	KUNIT_EXPECT_PTR_EQ(test, span(q), heap->freed);
	KUNIT_EXPECT_EQ(test, cache(heap)->npages, KMH_LARGECACHE_PAGES);
}

static void collected_heaps_park_nothing(struct kunit *test)
{
	const struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmheap_create("kunit-parked", &attr);
	void *p;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	p = alloc(test, heap, 65536);
	kmheap_free(p);
	KUNIT_EXPECT_PTR_EQ(test, span(p), heap->freed);
	kmheap_destroy(heap);
}

static void nothing_is_parked_where_the_mcache_is_busy(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, heap, 65536), *q = alloc(test, heap, 65536), *r;
	struct kmh_mcache *mc;

	kmh_kunit_no_worker(heap);	/* it would fetch what is parked */
	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	kmheap_free(q);
	mc->busy = 1;
	kmheap_free(p);
	r = kmheap_alloc(heap, 65536, GFP_NOWAIT);
	mc->busy = 0;
	preempt_enable();
	KUNIT_EXPECT_FALSE(test, is_parked(p));
	KUNIT_EXPECT_TRUE(test, is_parked(q));
	KUNIT_EXPECT_TRUE(test, r && r != q);
	kmheap_free(r);
}

static void fin(void *p, void *arg)
{
	(*(unsigned int *)arg)++;
}

static void one_with_a_finalizer_goes_its_way(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, heap, 65536);
	unsigned int n = 0;

	kmheap_free(p);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test, heap, 65536), p);
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(p, fin, &n), 0);
	kmheap_free(p);
	KUNIT_EXPECT_FALSE(test, is_parked(p));
	kmheap_free(p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_rcu_barrier(heap);
	KUNIT_EXPECT_EQ(test, n, 1U);
	/* An object taken back is like any other. */
	p = alloc(test, heap, 65536);
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(p, fin, &n), 0);
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(p, NULL, NULL), 0);
	kmheap_free(p);
	KUNIT_EXPECT_TRUE(test, is_parked(p));
	KUNIT_EXPECT_EQ(test, n, 1U);
}

static struct kunit_case largecache_cases[] = {
	KUNIT_CASE(the_last_one_freed_is_had_again),
	KUNIT_CASE(only_what_fits_is_had),
	KUNIT_CASE(a_parked_one_is_not_zero),
	KUNIT_CASE(parked_is_freed),
	KUNIT_CASE(the_claim_is_lost_once_parked),
	KUNIT_CASE(too_much_goes_to_the_store),
	KUNIT_CASE(what_is_too_long_is_not_parked),
	KUNIT_CASE(collected_heaps_park_nothing),
	KUNIT_CASE(nothing_is_parked_where_the_mcache_is_busy),
	KUNIT_CASE(one_with_a_finalizer_goes_its_way),
	{ }
};

static struct kunit_suite largecache_suite = {
	.name = "kmheap_largecache",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = largecache_cases,
};

kunit_test_suite(largecache_suite);
