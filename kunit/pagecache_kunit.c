// SPDX-License-Identifier: GPL-2.0
/* KUnit: the CPUs' caches of pages: alone against a slow model, and in use. */
#include <linux/bitops.h>
#include <linux/prandom.h>

#include "mheap_kunit.h"

/* ---- the page cache alone, against a slow model */

static bool model_alloc(u64 *bits, unsigned int npages, unsigned int *bit)
{
	unsigned int i, n;

	for (i = 0; i + npages <= 64; i++) {
		for (n = 0; n < npages && *bits & BIT_ULL(i + n); n++)
			;
		if (n < npages)
			continue;
		for (n = 0; n < npages; n++)
			*bits &= ~BIT_ULL(i + n);
		*bit = i;
		return true;
	}
	return false;
}

static unsigned int pagecache_against_model(u64 bits, unsigned int npages)
{
	struct kmh_pagecache pc = { .base = 1000, .bits = bits };
	unsigned int bit = 0, wrong = 0;
	unsigned long page = 0;
	bool want, got;

	do {
		want = model_alloc(&bits, npages, &bit);
		got = kmh_pagecache_alloc(&pc, npages, &page);
		wrong += got != want || pc.bits != bits || (want && page != 1000 + bit);
	} while (want && got);
	return wrong;
}

static void pagecache_every_run(struct kunit *test)
{
	unsigned int npages, len, at, wrong = 0;

	/* One run of every length at every place, and its complement. */
	for (len = 0; len <= 64; len += len < 8 || len > 55 ? 1 : 7) {
		for (at = 0; at + len <= 64; at += at < 3 || at + len > 60 ? 1 : 5) {
			u64 run = len ? GENMASK_ULL(len - 1, 0) << at : 0;

			for (npages = 1; npages <= 64; npages++) {
				wrong += pagecache_against_model(run, npages);
				wrong += pagecache_against_model(~run, npages);
			}
		}
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
}

static void pagecache_random_bits(struct kunit *test)
{
	unsigned int round, npages, n, wrong = 0;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, 3);
	for (round = 0; round < 300; round++) {
		u64 bits = 0;

		/* Patterns from dense to sparse. */
		for (n = 0; n <= round % 6; n++) {
			u64 more = (u64)prandom_u32_state(&rnd) << 32 | prandom_u32_state(&rnd);

			bits = round % 2 && n ? bits & more : bits | more;
		}
		for (npages = 1; npages <= 64; npages++)
			wrong += pagecache_against_model(bits, npages);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
}

/* ---- the page cache in use */

#define CACHE_SHARE	(4 * KMH_PA_GROUP_PAGES * num_online_cpus())

static struct kmh_mspan *alloc_span_cached(struct kmheap *heap, unsigned long npages,
					   unsigned long align)
{
	struct kmh_mcache *mc;
	struct kmh_mspan *s;

	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	kmh_mcache_enter(mc);
	s = kmh_mheap_alloc_span(mheap_of(heap), mc, LARGE, npages, align, false, NULL);
	kmh_mcache_leave(mc);
	if (s) {
		s->large_bytes = npages << KMH_PAGE_SHIFT;
		kmh_mcentral_date_span(s);
	}
	preempt_enable();
	return s;
}

static struct kmh_pagecache *pagecache(struct kunit *test)
{
	return &per_cpu_ptr(kmh_kunit_heap(test)->mcache, raw_smp_processor_id())->pages;
}

static void pagecache_is_filled_in_big_heaps_only(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s = alloc_span_cached(heap, 1, 1);

	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, pagecache(test)->bits, 0ULL);
	kmh_mheap_free_span(s);

	grow_to(test, mh, CACHE_SHARE + 100);
	s = alloc_span_cached(heap, 1, 1);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_NE(test, pagecache(test)->bits, 0ULL);
	kmh_mheap_free_span(s);
	kmh_mcache_drain_all(heap);
	KUNIT_EXPECT_EQ(test, pagecache(test)->bits, 0ULL);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
}

static void pagecache_serves_short_runs(struct kunit *test)
{
	static const struct { unsigned long npages, align; bool cached; } rows[] = {
		{ 1, 1, true }, { 2, 1, true }, { 16, 1, true }, { 17, 1, false },
		{ 1, 2, false }, { 4, 4, false }, { 3, 1, true },
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s[ARRAY_SIZE(rows)], *first, *next;
	struct kmh_pagecache *pc = pagecache(test);
	LLIST_HEAD(before);
	unsigned int i;

	grow_to(test, mh, CACHE_SHARE + 300);
	/* Use up the short group at the end of some arena, if that comes first. */
	do {
		first = alloc_span_cached(heap, 1, 1);
		KUNIT_ASSERT_NOT_NULL(test, first);
		__llist_add(&first->node, &before);
	} while (hweight64(pc->bits) < 40);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		u64 bits = pc->bits;
		unsigned long nfree = mh->pa.nfree;

		s[i] = alloc_span_cached(heap, rows[i].npages, rows[i].align);
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		if (rows[i].cached) {
			KUNIT_EXPECT_EQ_MSG(test, (unsigned long)hweight64(bits ^ pc->bits),
					    rows[i].npages, "row %u", i);
			KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree);
			KUNIT_EXPECT_EQ(test, page_of(s[i]), pc->base + __ffs64(bits ^ pc->bits));
		} else {
			KUNIT_EXPECT_EQ_MSG(test, pc->bits, bits, "row %u", i);
			KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree - rows[i].npages);
		}
		KUNIT_EXPECT_PTR_EQ(test, s[i]->arena,
				    rows[i].cached ? kmh_range_arena(pc->range) : s[i]->arena);
	}
	kmh_kunit_validate(test);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		kmh_mheap_free_span(s[i]);
	llist_for_each_entry_safe(first, next, before.first, node)
		kmh_mheap_free_span(first);
	kmh_mcache_drain_all(heap);
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
}

/* Pages in a cache may be written to by the time they are used: they never count as zeroed. */
static void pagecache_pages_are_not_zeroed(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s[3];
	struct kmh_arena *a;
	unsigned int i;

	grow_to(test, mh, CACHE_SHARE + 100);
	for (i = 0; (a = arena(heap, i)); i++)
		a->zeroed_from = a->first;
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		struct kmh_mcache *mc;
		bool zeroed = true, cached;

		preempt_disable();
		mc = this_cpu_ptr(heap->mcache);
		kmh_mcache_enter(mc);
		cached = mc->pages.bits;
		s[i] = kmh_mheap_alloc_span(mh, mc, LARGE, 1, 1, false, &zeroed);
		if (s[i])
			kmh_mcentral_date_span(s[i]);
		kmh_mcache_leave(mc);
		preempt_enable();
		KUNIT_ASSERT_NOT_NULL(test, s[i]);
		KUNIT_EXPECT_EQ(test, cached, i > 0);
		KUNIT_EXPECT_EQ(test, zeroed, !cached);
	}
	/* Pages that the cache took do not count as zeroed when they come back either. */
	a = kmh_range_arena(pagecache(test)->range);
	KUNIT_EXPECT_GE(test, a->zeroed_from, pagecache(test)->base + KMH_PA_GROUP_PAGES);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		kmh_mheap_free_span(s[i]);
	kmh_mcache_drain_all(heap);
}

static struct kunit_case pagecache_cases[] = {
	KUNIT_CASE(pagecache_every_run),
	KUNIT_CASE(pagecache_random_bits),
	KUNIT_CASE(pagecache_is_filled_in_big_heaps_only),
	KUNIT_CASE(pagecache_serves_short_runs),
	KUNIT_CASE(pagecache_pages_are_not_zeroed),
	{ }
};

static struct kunit_suite pagecache_suite = {
	.name = "kmheap_pagecache",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = pagecache_cases,
};

kunit_test_suite(pagecache_suite);
