// SPDX-License-Identifier: GPL-2.0
/* KUnit: freed large objects that are parked, and what must be as if they were not. */
#include <linux/cpu.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "mheap_kunit.h"

static struct kmh_parked *cache(struct kmheap *heap)
{
	return &raw_cpu_ptr(heap->mcache)->large.parked;	/* the case stays on its CPU */
}

static struct kmh_parked *store(struct kmheap *heap)
{
	return &mheap_of(heap)->store;
}

static struct kmh_mspan *span(const void *p)
{
	return kmh_span_of((unsigned long)p);
}

static void *alloc(struct kunit *test, struct kmheap *heap, size_t bytes)
{
	void *p = kmheap_alloc(heap, bytes, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu bytes", bytes);
	return p;
}

static bool is_parked(const void *p)
{
	return kmh_span_is_parked(span(p), (unsigned long)p >> KMH_PAGE_SHIFT);
}

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
		/* As data, shorter by less than a page; everything about it is new. */
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

/* A span of another length is not cut, and one on the wrong side of an alignment not had. */
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
	/* Runs of pages and objects come from the same place, and are counted apart. */
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

/* ---- what it is to others: free pages */

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
		KUNIT_EXPECT_EQ(test, kmheap_size(p + offs[i]), (size_t)0);
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

/* Who has seen the object live and comes second, as late as can be. */
static void the_claim_is_lost_once_parked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, heap, 65536);
	struct kmh_mspan *s = span(p);

	kmheap_free(p);
	KUNIT_EXPECT_EQ(test, (int)kmh_large_claim(s), (int)KMH_FREE_DOUBLE);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test, heap, 65536), p);
	KUNIT_EXPECT_EQ(test, (int)kmh_large_claim(s), (int)KMH_FREE_OK);
	kmh_large_free(s);
}

/* ---- bounds */

static void too_much_goes_to_the_store(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned long max = cache(heap)->max, npages, n = 0, i;
	void *first = NULL, *p;

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
	/* All of it comes back from there, without the page heap. */
	for (i = 0; i < n; i++) {
		unsigned long nfree = READ_ONCE(mheap(test)->pa.nfree);

		p = alloc(test, heap, 65536);
		KUNIT_EXPECT_EQ(test, READ_ONCE(mheap(test)->pa.nfree), nfree);
		*(void **)p = first;
		first = p;
	}
	KUNIT_EXPECT_EQ(test, cache(heap)->npages + store(heap)->npages, 0UL);
	/* A length that is in nobody's way any more makes room for another one. */
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
	struct kmh_mcache *mc = raw_cpu_ptr(heap->mcache);

	kmheap_free(q);
	preempt_disable();
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
	/* Taken back, it is like any other. */
	p = alloc(test, heap, 65536);
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(p, fin, &n), 0);
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(p, NULL, NULL), 0);
	kmheap_free(p);
	KUNIT_EXPECT_TRUE(test, is_parked(p));
	KUNIT_EXPECT_EQ(test, n, 1U);
}

/* ---- giving back */

/* Every page of the heap in spans of @bytes, linked through their first words. */
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

/* Whoever cannot sleep gets what this CPU and the node have parked, in whatever length. */
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
		/* In the second round everything is in the store. */
		cache(heap)->max = round ? 0 : max;
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			first = fill(heap, 65536, &n);
			KUNIT_EXPECT_GE(test, n, 3U);
			empty(first);
			KUNIT_EXPECT_GE(test, cache(heap)->npages + store(heap)->npages, 24UL);
			first = fill(heap, sizes[i], &n);
			/* All 31 pages but for what does not fill a span, and other classes'. */
			KUNIT_EXPECT_GE_MSG(test, n * sizes[i], (size_t)128 << 10,
					    "%zu bytes, round %u", sizes[i], round);
			KUNIT_EXPECT_EQ(test, cache(heap)->npages + store(heap)->npages, 0UL);
			empty(first);
			kmh_mcache_drain_all(heap);
			kmh_mheap_release_spans(mh);
			KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
		}
	}
	cache(heap)->max = max;
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
}

/* What another CPU has parked is had before the heap grows, and before it refuses. */
static void growing_takes_what_all_cpus_have_parked(struct kunit *test)
{
	static const size_t sizes[] = { 200000, 65536, 40000, 64, 16384 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned int i, n, refused;
	void *first, *p;

	kmh_kunit_no_worker(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		if (i % 2)	/* no more than it has */
			heap->limit_bytes = atomic_long_read(&heap->arena_bytes);
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
		kmh_mheap_release_spans(mh);
		KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
	}
}

/* A CPU whose spans others had to fetch keeps less, and more again when it fetches itself. */
static void what_a_cpu_keeps_adapts(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned long limit = cache(heap)->max;
	void *p, *q;

	KUNIT_ASSERT_GE(test, limit, 2 * KMH_LARGECACHE_PAGES);
	kmheap_free(alloc(test, heap, 65536));
	kmheap_free(alloc(test, heap, 40960));
	kmh_largecache_all_to_store(heap);
	KUNIT_EXPECT_EQ(test, cache(heap)->npages, 0UL);
	KUNIT_EXPECT_EQ(test, store(heap)->npages, 8UL + 5);
	KUNIT_EXPECT_EQ(test, cache(heap)->max, limit / 2);
	kmh_largecache_all_to_store(heap);	/* it has none: nobody asks it */
	KUNIT_EXPECT_EQ(test, cache(heap)->max, limit / 2);
	p = alloc(test, heap, 65536);
	KUNIT_EXPECT_EQ(test, store(heap)->npages, 5UL);
	KUNIT_EXPECT_EQ(test, cache(heap)->max, limit);
	q = alloc(test, heap, 40960);
	KUNIT_EXPECT_EQ(test, cache(heap)->max, limit);
	KUNIT_EXPECT_EQ(test, store(heap)->npages, 0UL);
	while (cache(heap)->max > KMH_LARGECACHE_PAGES) {
		kmheap_free(alloc(test, heap, 100000));
		kmh_largecache_all_to_store(heap);
		kmh_largestore_release(heap);
	}
	kmheap_free(alloc(test, heap, 100000));
	kmh_largecache_all_to_store(heap);
	KUNIT_EXPECT_EQ(test, cache(heap)->max, KMH_LARGECACHE_PAGES);
	kmheap_free(p);
	kmheap_free(q);
}

/* One parked span that will do is enough: the others stay parked. */
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

/* The worker, for those who cannot wait for other CPUs. */
static void the_worker_fetches_what_others_have_parked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned int n;
	void *first, *p;

	kmh_kunit_no_worker(heap);
	WRITE_ONCE(mh->low_pages, 0);
	first = fill(heap, 65536, &n);
	kmh_kunit_elsewhere(test, empty, first);
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 200000, GFP_NOWAIT));
	KUNIT_EXPECT_NE(test, mh->missed_pages, 0UL);
	mh->ahead_after = jiffies;
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 200000, GFP_NOWAIT));
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	p = kmheap_alloc(heap, 200000, GFP_NOWAIT);
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmheap_free(p);
}

/* What the store has is within everybody's reach: nobody grows ahead for want of it. */
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
	mh->low_pages = mh->pa.nfree + 10;
	mh->ahead_after = jiffies;
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = alloc_span(mh, SPANCLASS, 1, 1, NULL);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
	}
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	KUNIT_EXPECT_GE(test, store(heap)->npages, 16UL);
	/* Without it somebody does. */
	mh->low_pages = mh->pa.npages;
	kmh_mheap_free_span(s[0]);
	s[0] = alloc_span(mh, SPANCLASS, 1, 1, NULL);
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 2UL);
	KUNIT_EXPECT_EQ(test, store(heap)->npages, 0UL);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		kmh_mheap_free_span(s[i]);
}

/* Pages that came free since nobody found any are enough: no arena. */
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
	/* Enough pages, but no run. */
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

/* Pages there, span metadata not: whoever grows for that brings some, and no arena. */
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
	KUNIT_EXPECT_GT(test, kmheap_shrink(heap), (size_t)700000);
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
	kmheap_destroy(heap);	/* the books at the end of the case tell */
}

/* What the callback of a CPU that is dead does. */
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
	preempt_disable();	/* as good as dead */
	kmh_mcache_drain_locked(per_cpu_ptr(heap->mcache, cpu));
	preempt_enable();
	KUNIT_EXPECT_EQ(test, cache(heap)->npages, 0UL);
	kmh_largestore_release(heap);
	KUNIT_EXPECT_EQ(test, store(heap)->npages, 0UL);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
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
	KUNIT_CASE(atomic_callers_get_parked_pages),
	KUNIT_CASE(growing_takes_what_all_cpus_have_parked),
	KUNIT_CASE(what_a_cpu_keeps_adapts),
	KUNIT_CASE(growing_takes_no_more_than_it_needs),
	KUNIT_CASE(the_worker_fetches_what_others_have_parked),
	KUNIT_CASE(the_store_counts_as_free),
	KUNIT_CASE(no_arena_when_the_run_can_be_had),
	KUNIT_CASE(growing_brings_metadata),
	KUNIT_CASE(shrink_gives_back_what_is_parked),
	KUNIT_CASE(destroy_gives_back_what_is_parked),
	KUNIT_CASE(a_dead_cpu_keeps_nothing),
	{ }
};

static struct kunit_suite largecache_suite = {
	.name = "kmheap_largecache",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = largecache_cases,
};

kunit_test_suite(largecache_suite);
