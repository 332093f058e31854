// SPDX-License-Identifier: GPL-2.0
/* KUnit: central lists: where a span goes, which one is taken, and what is given back. */
#include "mcentral_kunit.h"

/* ---- uncache: where a span goes */

static void uncache_by_use(struct kunit *test)
{
	unsigned int n;

	for (n = 0; n <= NR_SLOTS; n++) {
		struct kmh_mspan *s = span_of(test, SPANCLASS, n);
		unsigned long page = s->base >> KMH_PAGE_SHIFT, nfree = free_pages_now(test);

		expect_home(test, s, KMH_HOME_CACHED);
		uncache_span(test, s);
		if (!n) {
			KUNIT_EXPECT_EQ(test, free_pages_now(test), nfree + 1);
			KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page),
					    kmh_kunit_heap(test)->freed);
			continue;
		}
		KUNIT_EXPECT_EQ(test, free_pages_now(test), nfree);
		expect_home(test, s, n < NR_SLOTS ? KMH_HOME_PARTIAL : KMH_HOME_FULL);
		free_all(test, s);
		expect_home(test, s, n < NR_SLOTS ? KMH_HOME_PARTIAL : KMH_HOME_ANNOUNCED);
		expect_all_released(test, SPANCLASS);
	}
}

/* Slots that other CPUs freed while the span was cached count as free. */
static void uncache_folds_remote_frees(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, NR_SLOTS);
	unsigned long nfree = free_pages_now(test);

	free_remote(test, s, 5);
	expect_home(test, s, KMH_HOME_CACHED);
	uncache_span(test, s);
	expect_home(test, s, KMH_HOME_PARTIAL);
	KUNIT_EXPECT_EQ(test, s->w[0].free, BIT(5));

	s = cache_span(test, SPANCLASS);
	free_all(test, s);
	uncache_span(test, s);
	KUNIT_EXPECT_EQ(test, free_pages_now(test), nfree + 1);
	expect_all_released(test, SPANCLASS);
}

/* ---- cache: which span is taken */

static void cache_span_order(struct kunit *test)
{
	struct kmh_mspan *part = span_of(test, SPANCLASS, 4);
	struct kmh_mspan *full = span_of(test, SPANCLASS, NR_SLOTS);
	struct kmh_mspan *fresh;

	uncache_span(test, part);
	uncache_span(test, full);
	free_remote(test, full, 2);

	KUNIT_EXPECT_PTR_EQ(test, cache_span(test, SPANCLASS), full);
	KUNIT_EXPECT_EQ(test, full->w[0].free, BIT(2));
	expect_home(test, full, KMH_HOME_CACHED);
	KUNIT_EXPECT_PTR_EQ(test, cache_span(test, SPANCLASS), part);
	expect_home(test, part, KMH_HOME_CACHED);
	KUNIT_EXPECT_EQ(test, central(test, SPANCLASS)->npartial, 0U);
	fresh = cache_span(test, SPANCLASS);
	KUNIT_ASSERT_NOT_NULL(test, fresh);
	KUNIT_EXPECT_TRUE(test, fresh != part && fresh != full);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(fresh, NULL), 0U);
	expect_home(test, fresh, KMH_HOME_CACHED);

	free_all(test, part);
	free_all(test, full);
	uncache_span(test, part);
	uncache_span(test, full);
	uncache_span(test, fresh);
	expect_all_released(test, SPANCLASS);
}

/* An announced span is taken with all slots that were freed by then. */
static void cache_span_folds(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS_16, 1024);

	uncache_span(test, s);
	free_remote(test, s, 0);
	free_remote(test, s, 700);
	free_remote(test, s, 1023);
	KUNIT_EXPECT_PTR_EQ(test, cache_span(test, SPANCLASS_16), s);
	KUNIT_EXPECT_EQ(test, s->w[0].free, BIT(0));
	KUNIT_EXPECT_EQ(test, s->w[10].free, BIT(60));
	KUNIT_EXPECT_EQ(test, s->w[15].free, BIT(63));
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 1021U);
	free_all(test, s);
	uncache_span(test, s);
	expect_all_released(test, SPANCLASS_16);
}

/*
 * Announced spans that prove full are put down, a few at a time. A free announces a span after it
 * has set its bit; by then others may have folded the span, and allocated the slot.
 */
static void cache_span_puts_full_ones_down(struct kunit *test)
{
	struct kmh_mspan *s[130], *got;
	unsigned int i, nfull = 0;

	grow(test, 200);
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = span_of(test, SPANCLASS, NR_SLOTS);
		uncache_span(test, s[i]);
		announce(s[i]);
	}
	got = cache_span(test, SPANCLASS);
	KUNIT_ASSERT_NOT_NULL(test, got);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(got, NULL), 0U);
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		bool full = atomic_read(&s[i]->home) == KMH_HOME_FULL;

		expect_home(test, s[i], full ? KMH_HOME_FULL : KMH_HOME_ANNOUNCED);
		nfull += full;
	}
	KUNIT_EXPECT_GT(test, nfull, 0U);
	KUNIT_EXPECT_LT_MSG(test, nfull, 120U, "looked at without a bound");
	KUNIT_EXPECT_EQ(test, central(test, SPANCLASS)->npartial, 0U);
	uncache_span(test, got);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		free_all(test, s[i]);
	expect_all_released(test, SPANCLASS);
}

static void cache_span_every_spanclass(struct kunit *test)
{
	unsigned int i;

	for (i = KMH_SPANCLASS_TINY; i < KMH_NR_SPANCLASSES; i++) {
		const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(i)];
		struct kmh_mspan *s = span_of(test, i, 1);
		unsigned long page = s->base >> KMH_PAGE_SHIFT;
		unsigned int j;

		KUNIT_EXPECT_TRUE(test, IS_ALIGNED(page, class->align_pages));
		for (j = 0; j < class->npages; j++)
			KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page + j), s);
		uncache_span(test, s);
		KUNIT_EXPECT_PTR_EQ(test, cache_span(test, i), s);
		free_all(test, s);
		uncache_span(test, s);
		for (j = 0; j < class->npages; j++)
			KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page + j),
					    kmh_kunit_heap(test)->freed);
	}
}

/* ---- release */

static void release_empty_keeps_the_rest(struct kunit *test)
{
	struct kmh_mspan *s[60];
	unsigned long nfree;
	unsigned int i, nkept = 0;

	grow(test, 100);
	/* By the remainder of 3: partial, then emptied; announced, then emptied; still in use. */
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = span_of(test, SPANCLASS, i % 3 == 1 ? NR_SLOTS : 3);
		uncache_span(test, s[i]);
		if (i % 3 < 2)
			free_all(test, s[i]);
	}
	nfree = free_pages_now(test);
	kmh_mcentral_drain(node(test), SPANCLASS);
	KUNIT_EXPECT_EQ(test, free_pages_now(test), nfree + 40);
	for (i = 2; i < ARRAY_SIZE(s); i += 3) {
		expect_home(test, s[i], KMH_HOME_PARTIAL);
		KUNIT_EXPECT_EQ(test, kmh_kunit_live(s[i], NULL), 3U);
		nkept++;
	}
	KUNIT_EXPECT_EQ(test, central(test, SPANCLASS)->npartial, nkept);
	/* A second release finds nothing to do. */
	kmh_mcentral_drain(node(test), SPANCLASS);
	KUNIT_EXPECT_EQ(test, free_pages_now(test), nfree + 40);
	KUNIT_EXPECT_EQ(test, central(test, SPANCLASS)->npartial, nkept);
	for (i = 2; i < ARRAY_SIZE(s); i += 3)
		free_all(test, s[i]);
	expect_all_released(test, SPANCLASS);
}

/* Of an empty span that is on its way to the page heap a magazine has slot 2 by its cell. */
static void uncached_with_a_held_slot(struct kunit *test, struct kmh_mspan *s)
{
	free_all(test, s);
	hold_slot(s, 2);
	uncache_span(test, s);
}

static void released_with_a_held_slot(struct kunit *test, struct kmh_mspan *s)
{
	free_remote(test, s, 2);
	uncache_span(test, s);
	free_all(test, s);
	hold_slot(s, 2);
	kmh_mcentral_drain(node(test), SPANCLASS);
}

static void swept_with_a_held_slot(struct kunit *test, struct kmh_mspan *s)
{
	uncache_span(test, s);
	free_all(test, s);
	hold_slot(s, 2);
	kmh_inbox_sweep_announced(central(test, SPANCLASS));
}

static void reclaimed_with_a_held_slot(struct kunit *test, struct kmh_mspan *s)
{
	unsigned long page;

	free_remote(test, s, 2);
	uncache_span(test, s);
	free_all(test, s);
	hold_slot(s, 2);
	for (page = 0; page < s->arena->npages; page = kmh_scavenge_pages(s->arena, page))
		;
}

/*
 * A span that is empty by its bits does not go while a cell says otherwise. Its bit is taken from
 * it and reported, and the slot is left to the magazine that has it. When that gives it back the
 * span goes.
 */
static void span_with_a_held_slot_stays(struct kunit *test)
{
	static void (* const ways[])(struct kunit *test, struct kmh_mspan *s) = {
		uncached_with_a_held_slot, released_with_a_held_slot, swept_with_a_held_slot,
		reclaimed_with_a_held_slot,
	};
	struct kmh_mspan *other = span_of(test, SPANCLASS, 3), *s;
	unsigned long page, nfree;
	struct kmh_report r;
	unsigned int way;

	/* The last empty span of a class would stay on its list anyway. */
	uncache_span(test, other);
	for (way = 0; way < ARRAY_SIZE(ways); way++) {
		s = span_of(test, SPANCLASS, NR_SLOTS);
		page = s->base >> KMH_PAGE_SHIFT;
		nfree = free_pages_now(test);
		ways[way](test, s);
		r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
		KUNIT_EXPECT_EQ_MSG(test, r.addr, s->base + 2048, "way %u", way);
		KUNIT_EXPECT_EQ(test, free_pages_now(test), nfree);
		KUNIT_ASSERT_PTR_EQ_MSG(test, kmh_span_of_page(page), s, "way %u", way);
		expect_home(test, s, KMH_HOME_PARTIAL);
		KUNIT_EXPECT_EQ(test, s->w[0].free, 0xffUL & ~BIT(2));
		KUNIT_EXPECT_EQ(test, s->cell[2], HELD);

		/* It is no longer empty by its bits either, so nothing more is found out. */
		kmh_mcentral_drain(node(test), SPANCLASS);
		KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page), s);
		give_held(test, s, 2);
		kmh_mcentral_drain(node(test), SPANCLASS);
		KUNIT_EXPECT_EQ(test, free_pages_now(test), nfree + 1);
		KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page), kmh_kunit_heap(test)->freed);
		kmh_kunit_no_reports(test);
	}
	free_all(test, other);
	expect_all_released(test, SPANCLASS);
}

/* All slots of an empty span are in magazines: it is full. */
static void release_empty_settles_full_ones(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, 1);
	unsigned int slot;

	uncache_span(test, s);
	free_all(test, s);
	for (slot = 0; slot < NR_SLOTS; slot++)
		hold_slot(s, slot);
	kmh_mcentral_drain(node(test), SPANCLASS);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, NR_SLOTS);
	expect_home(test, s, KMH_HOME_FULL);
	KUNIT_EXPECT_EQ(test, s->w[0].free, 0UL);
	KUNIT_EXPECT_EQ(test, central(test, SPANCLASS)->npartial, 0U);
	for (slot = 0; slot < NR_SLOTS; slot++) {
		KUNIT_EXPECT_EQ(test, s->cell[slot], HELD);
		give_held(test, s, slot);
		expect_home(test, s, KMH_HOME_ANNOUNCED);
	}
	expect_all_released(test, SPANCLASS);
}

/* ---- one object, without the mcache */

static void alloc_one_uses_up_spans(struct kunit *test)
{
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *s = NULL;
	void *p[2 * NR_SLOTS];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = alloc_one(test, SPANCLASS);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		if (i % NR_SLOTS == 0)
			s = kmh_span_of((unsigned long)p[i]);
		KUNIT_EXPECT_EQ(test, (unsigned long)p[i], s->base + i % NR_SLOTS * 1024);
		KUNIT_EXPECT_NULL(test, s->owner);
		expect_home(test, s, i % NR_SLOTS == NR_SLOTS - 1 ? KMH_HOME_FULL :
							      KMH_HOME_PARTIAL);
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&c->nested_allocs), 2L * NR_SLOTS);
	/* The last span is announced by a free; the object comes from that span again. */
	kmheap_free(p[12]);
	expect_home(test, s, KMH_HOME_ANNOUNCED);
	KUNIT_EXPECT_PTR_EQ(test, alloc_one(test, SPANCLASS), p[12]);
	expect_home(test, s, KMH_HOME_FULL);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		kmheap_free(p[i]);
	expect_all_released(test, SPANCLASS);
}

static void alloc_one_every_spanclass(struct kunit *test)
{
	unsigned int i, n;

	for (i = 2; i < KMH_NR_SPANCLASSES; i++) {
		struct kmheap_object obj;
		void *p[3];

		for (n = 0; n < ARRAY_SIZE(p); n++) {
			p[n] = alloc_one(test, i);
			if (!p[n]) {	/* to grow is for callers that may sleep */
				uncache_span(test, span_of(test, i, 0));
				p[n] = alloc_one(test, i);
			}
			KUNIT_ASSERT_NOT_NULL(test, p[n]);
			KUNIT_ASSERT_TRUE(test, kmheap_lookup(p[n], &obj));
			KUNIT_EXPECT_PTR_EQ(test, obj.base, p[n]);
			KUNIT_EXPECT_EQ(test, obj.bytes, (size_t)kmh_class_size(i >> 1));
			KUNIT_EXPECT_EQ(test, obj.data, i & 1);
			KUNIT_EXPECT_EQ(test, (int)obj.state, (int)KMHEAP_OBJECT_LIVE);
		}
		KUNIT_EXPECT_EQ(test, atomic_long_read(&central(test, i)->nested_allocs), 3L);
		for (n = 0; n < ARRAY_SIZE(p); n++)
			kmheap_free(p[n]);
		kmh_mcentral_drain(node(test), i);
	}
	expect_all_released(test, SPANCLASS);
}

static void alloc_one_without_pages_fails(struct kunit *test)
{
	/* Where an area has no room within the limit, the worker may find some for a block. */
	const struct kmheap_attr attr = {
		.limit_bytes = KMH_LIMIT_MIN_BYTES,
		.flags = KMHEAP_AREA,
	};
	struct kmheap *heap = kmheap_create("kunit-limited", &attr);
	unsigned int sc = kmh_spanclass(kmh_size_to_class(4096), false), n = 0;
	void *p, *last = NULL;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	for (;;) {
		preempt_disable();
		p = kmh_mcentral_alloc_one(heap->nodes[numa_mem_id()], sc, false);
		preempt_enable();
		if (!p || n > 1000)
			break;
		*(void **)p = last;	/* the objects form a list */
		last = p;
		n++;
	}
	/* About 32 pages in spans of two pages at any address: 4 objects in each. */
	KUNIT_EXPECT_GE(test, n, 14U * 4);
	KUNIT_EXPECT_LE(test, n, 16U * 4);
	while (last) {
		p = last;
		last = *(void **)p;
		kmheap_free(p);
	}
	kmheap_destroy(heap);
}

/* ---- the validator */

static unsigned int findings(struct kunit *test)
{
	unsigned int counted = 0, n;

	n = kmh_mcentral_validate(central(test, SPANCLASS), kmh_kunit_count_finding, &counted);
	return n == counted ? n : UINT_MAX;
}

static void validate_finds_damage(struct kunit *test)
{
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *s = span_of(test, SPANCLASS, 1);

	KUNIT_EXPECT_EQ(test, findings(test), 0U);
	uncache_span(test, s);
	KUNIT_EXPECT_EQ(test, findings(test), 0U);
	c->npartial++;
	KUNIT_EXPECT_EQ(test, findings(test), 1U);
	c->npartial--;
	atomic_set(&s->home, KMH_HOME_CACHED);
	KUNIT_EXPECT_EQ(test, findings(test), 1U);
	atomic_set(&s->home, KMH_HOME_PARTIAL);
	s->owner = raw_cpu_ptr(kmh_kunit_heap(test)->mcache);
	KUNIT_EXPECT_EQ(test, findings(test), 1U);
	s->owner = NULL;
	s->spanclass++;
	KUNIT_EXPECT_EQ(test, findings(test), 1U);
	s->spanclass--;
	s->mheap = NULL;
	KUNIT_EXPECT_EQ(test, findings(test), 1U);
	s->mheap = &node(test)->mheap;
	KUNIT_EXPECT_EQ(test, findings(test), 0U);
	free_all(test, s);
	expect_all_released(test, SPANCLASS);
}

static struct kunit_case mcentral_cases[] = {
	KUNIT_CASE(uncache_by_use),
	KUNIT_CASE(uncache_folds_remote_frees),
	KUNIT_CASE(cache_span_order),
	KUNIT_CASE(cache_span_folds),
	KUNIT_CASE(cache_span_puts_full_ones_down),
	KUNIT_CASE(cache_span_every_spanclass),
	KUNIT_CASE(release_empty_keeps_the_rest),
	KUNIT_CASE(span_with_a_held_slot_stays),
	KUNIT_CASE(release_empty_settles_full_ones),
	KUNIT_CASE(alloc_one_uses_up_spans),
	KUNIT_CASE(alloc_one_every_spanclass),
	KUNIT_CASE(alloc_one_without_pages_fails),
	KUNIT_CASE(validate_finds_damage),
	{ }
};

static struct kunit_suite mcentral_suite = {
	.name = "kmheap_mcentral",
	.init = mcentral_init,
	.exit = kmh_kunit_exit,
	.test_cases = mcentral_cases,
};

kunit_test_suite(mcentral_suite);
