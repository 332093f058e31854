// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: a descriptor becomes another span between a look at it and the act that follows. The
 * case itself does what another party would do meanwhile, at the place in question
 * (testpoint.h); the functions it needs may be called with preemption off.
 */
#include <linux/string.h>

#include "magazine_kunit.h"

#define CLASS_2K	kmh_spanclass(kmheap_size_class(2048), false)	/* 4 slots, a word */
#define CLASS_8K	kmh_spanclass(kmheap_size_class(8192), false)
#define CLASS_16	kmh_spanclass(kmheap_size_class(16), false)	/* as many words as TINY */

struct recycle {
	struct kunit *test;
	struct kmheap *heap;
	struct kmh_mspan *s;		/* the descriptor that is recycled */
	unsigned long base;		/* where its first span was */
	unsigned int spanclass;		/* what it becomes */
	bool again;			/* it has become that */
	void *p, *q;
};

/* A fresh span with all its slots live. Preemption off. */
static struct kmh_mspan *full_span(struct recycle *r)
{
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(r->spanclass)];
	struct kmh_mspan *s;
	unsigned int i;

	s = kmh_mheap_alloc_span(&node(r->test)->mheap, NULL, r->spanclass, class->npages,
				 class->align_pages, true, NULL);
	for (i = 0; s && i < s->nwords; i++)
		s->w[i].free = 0;
	return s;
}

/*
 * All slots of r->s have been freed: the span goes back, and its descriptor becomes another
 * one. Preemption is off on entry and on return, as at the test points; in between this may
 * sleep, and the case stays on its CPU.
 */
static void recycle_span(struct recycle *r)
{
	preempt_enable();
	fold_span(r->test, r->s);
	preempt_disable();
	r->again = full_span(r) == r->s;
}

/* Free the span that the descriptor has become. */
static void end_span(struct kunit *test, struct kmh_mspan *s)
{
	free_all(test, s);
	uncache_span(test, s);
	kmh_mcentral_drain(node(test), s->spanclass);
}

/* ---- magazines */

static void recycle_claimed(void *arg)
{
	struct recycle *r = arg;

	recycle_span(r);
	if (r->again && r->s->base == r->base)
		kmh_mspan_free_remote(r->s, 2);
}

/*
 * A claim of slot 2 whose span becomes one in which slot 2 is free, and slot 1 begins where
 * slot 2 did: the claim fails, and each slot of the new span stays as it is.
 */
static void claim_of_another_life(struct kunit *test)
{
	void **p = full_spans(test, 1), *got;
	struct recycle r = {
		.test = test, .s = span(p[2]), .base = span(p[2])->base, .spanclass = CLASS_2K,
	};

	KUNIT_ASSERT_EQ(test, (unsigned long)p[2], r.base + 2 * BYTES);
	free_range(p, 0, 2);
	free_range(p, 3, NR_SLOTS);
	kmheap_free(p[2]);
	kmh_kunit_at(test, "claim of a magazine", recycle_claimed, &r);
	got = alloc(test);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("claim of a magazine"));
	KUNIT_ASSERT_TRUE(test, r.again);
	KUNIT_ASSERT_EQ(test, r.s->base, r.base);
	KUNIT_EXPECT_PTR_NE(test, span(got), r.s);
	KUNIT_EXPECT_EQ(test, r.s->w[0].free, 0UL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&r.s->w[0].remote), (long)BIT(2));
	kmheap_free(got);
	end_span(test, r.s);
	kmh_kunit_no_reports(test);
}

/* ---- many at a time */

/*
 * The last object of r->s has just been freed. A reader of the descriptor may find the base
 * of one span and the arithmetic of the next.
 */
static void recycle_under_bulk(void *arg)
{
	struct recycle *r = arg;

	recycle_span(r);
	if (r->again)
		WRITE_ONCE(r->s->base, r->base);
}

static void bulk_leaves_a_span_it_has_emptied(struct kunit *test)
{
	void **p = full_spans(test, 3), *both[2];
	struct recycle r = { .test = test, .spanclass = CLASS_8K };
	unsigned int i, k;
	unsigned long base;

	/* Find a span and the one right behind it. */
	for (k = 0; k < 2; k++)
		if (p[(k + 1) * NR_SLOTS] == p[k * NR_SLOTS] + KMH_PAGE_SIZE)
			break;
	KUNIT_ASSERT_LT(test, k, 2U);
	both[0] = p[k * NR_SLOTS];
	both[1] = p[(k + 1) * NR_SLOTS];
	r.s = span(both[0]);
	r.base = r.s->base;
	/* One object of each span is left, and no slot is in a magazine: the span is partial. */
	for (i = 0; i < 3 * NR_SLOTS; i++)
		if (i % NR_SLOTS)
			kmheap_free(p[i]);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	kmh_inbox_sweep_announced(central(test, SPANCLASS));
	KUNIT_ASSERT_EQ(test, home(both[0]), (int)KMH_HOME_PARTIAL);
	KUNIT_ASSERT_EQ(test, home(both[1]), (int)KMH_HOME_PARTIAL);
	kmh_kunit_at(test, "bulk free, after a run", recycle_under_bulk, &r);
	kmheap_free_bulk(2, both);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("bulk free, after a run"));
	KUNIT_ASSERT_TRUE(test, r.again);
	/* Restore the base, which the map tells. */
	for (base = r.s->arena->range.first; kmh_span_of_page(base) != r.s; base++)
		;
	WRITE_ONCE(r.s->base, base << KMH_PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&r.s->w[0].remote), 0L);
	KUNIT_EXPECT_NE(test, (int)state_of(both[1]), (int)KMHEAP_OBJECT_LIVE);
	end_span(test, r.s);
	free_live(p, 3 * NR_SLOTS);
	kmh_kunit_no_reports(test);
}

/* ---- large objects */

static void free_and_reuse(void *arg)
{
	struct recycle *r = arg;

	if (r->spanclass)
		kmheap_free_pages(r->p, r->spanclass);
	else
		kmheap_free(r->p);
	r->q = kmheap_alloc(r->heap, 200 << 10, GFP_ATOMIC);
	r->again = r->q && span(r->q) == r->s;
}

/* Two threads free an object too long to be parked at the same time, and a third one allocates. */
static void two_frees_of_a_large_object(struct kunit *test, void (*fn)(const void *p),
					unsigned int npages)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct recycle r = { .test = test, .heap = heap, .spanclass = npages };

	r.p = npages ? kmheap_alloc_pages(heap, npages, GFP_KERNEL) :
		       kmheap_alloc(heap, 1200 << 10, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r.p);
	r.s = span(r.p);
	kmh_kunit_at(test, "claim of a large object", free_and_reuse, &r);
	fn(r.p);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("claim of a large object"));
	KUNIT_ASSERT_TRUE(test, r.again);
	KUNIT_EXPECT_EQ(test, (int)state_of(r.q), (int)KMHEAP_OBJECT_LIVE);
	KUNIT_EXPECT_EQ(test, kmheap_size(r.q), (size_t)204800);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_validate(test);
	kmheap_free(r.q);
}

static void free_150_pages(const void *p)
{
	kmheap_free_pages(p, 150);
}

static void two_frees_of_a_large_object_at_once(struct kunit *test)
{
	two_frees_of_a_large_object(test, kmheap_free, 0);
}

static void two_frees_of_a_large_object_one_deferred(struct kunit *test)
{
	two_frees_of_a_large_object(test, kmheap_free_rcu, 0);
}

static void two_frees_of_a_run_of_pages(struct kunit *test)
{
	two_frees_of_a_large_object(test, free_150_pages, 150);
}

/* A claim whose look was in one life of a parked span fails in the next. */
static void lives_of_a_parked_span(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = kmheap_alloc(heap, 65536, GFP_KERNEL), *q;
	long life[3];

	KUNIT_ASSERT_NOT_NULL(test, p);
	life[0] = atomic_long_read(&span(p)->w[0].remote);
	kmheap_free(p);
	KUNIT_EXPECT_TRUE(test, kmh_large_claimed(span(p)));
	q = kmheap_alloc(heap, 65536, GFP_KERNEL);
	KUNIT_ASSERT_PTR_EQ(test, q, p);
	life[1] = atomic_long_read(&span(p)->w[0].remote);
	kmheap_free(q);
	q = kmheap_alloc_pages(heap, 8, GFP_KERNEL);
	KUNIT_ASSERT_PTR_EQ(test, q, p);
	life[2] = atomic_long_read(&span(p)->w[0].remote);
	KUNIT_EXPECT_FALSE(test, (life[0] | life[1] | life[2]) & 1);
	KUNIT_EXPECT_TRUE(test, life[0] != life[1] && life[1] != life[2] && life[0] != life[2]);
	kmheap_free_pages(q, 8);
}

/* ---- packed data */

static void free_tiny_and_recycle(void *arg)
{
	struct recycle *r = arg;

	kmheap_free(r->p);
	preempt_enable();	/* as in recycle_span() */
	kmh_mcentral_drain(node(r->test), KMH_SPANCLASS_TINY);
	preempt_disable();
	r->again = full_span(r) == r->s;
}

/* The words of a packed span become slots of small objects; the states of its blocks are gone. */
static void two_frees_of_a_tiny_object(struct kunit *test, void (*fn)(const void *p))
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct recycle r = { .test = test, .heap = heap, .spanclass = CLASS_16 };
	unsigned int i;

	r.p = kmheap_alloc_data(heap, 8, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r.p);
	kmh_mcache_drain_all(heap);
	r.s = span(r.p);
	KUNIT_ASSERT_EQ(test, (int)r.s->state, (int)KMH_SPAN_TINY);
	kmh_kunit_at(test, "claim of a tiny object", free_tiny_and_recycle, &r);
	fn(r.p);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("claim of a tiny object"));
	KUNIT_ASSERT_TRUE(test, r.again);
	for (i = 0; i < r.s->nwords; i++)
		KUNIT_EXPECT_EQ(test, atomic_long_read(&r.s->w[i].remote) | r.s->w[i].free, 0UL);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	end_span(test, r.s);
}

static void two_frees_of_a_tiny_object_at_once(struct kunit *test)
{
	two_frees_of_a_tiny_object(test, kmheap_free);
}

static void note_preemption(void *arg)
{
	*(int *)arg = preempt_count();
}

static void free_it(void *arg)
{
	kmheap_free(arg);
}

/* A report needs the heap to exist: preemption is off meanwhile, which keeps it. */
static void reports_come_with_preemption_off(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *a = kmheap_alloc_data(heap, 4, GFP_KERNEL);
	void *b = kmheap_alloc_data(heap, 4, GFP_KERNEL);
	int here, there = -1;

	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		kunit_skip(test, "a kernel that does not count");
	KUNIT_ASSERT_NOT_NULL(test, a);
	KUNIT_ASSERT_NOT_NULL(test, b);
	here = preempt_count();
	kmh_kunit_at(test, "claim of a tiny object", free_it, b);
	kmh_kunit_at(test, "report", note_preemption, &there);
	kmheap_free(b);		/* twice: the first time in the middle of the second */
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("report"));
	KUNIT_EXPECT_GT(test, there & PREEMPT_MASK, here & PREEMPT_MASK);
	kmheap_free(a);
}

/* ---- looks that hold no reference to the span */

/* A lookup through a stale pointer may ask for specials in a heap that has never had one. */
static void special_in_a_heap_without_any(struct kunit *test)
{
	void *p = alloc(test);

	preempt_disable();
	KUNIT_EXPECT_FALSE(test, kmh_special_exists(span(p), (unsigned long)p));
	KUNIT_EXPECT_FALSE(test, kmh_special_die(span(p), (unsigned long)p));
	preempt_enable();
	kmheap_free(p);
}

static void to_another_arena(void *arg)
{
	struct recycle *r = arg;

	WRITE_ONCE(r->s->arena, span(r->q)->arena);
}

/* A wild address is marked, and its span moves to another arena between two reads. */
static void mark_between_two_arenas(struct kunit *test)
{
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmheap_create("kunit-mark", &attr);
	struct recycle r = { .test = test };
	struct kmh_arena *a, *other;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	r.p = kmheap_alloc(heap, 1024, GFP_KERNEL);
	r.q = alloc(test);
	KUNIT_ASSERT_NOT_NULL(test, r.p);
	r.s = span(r.p);
	a = r.s->arena;
	other = span(r.q)->arena;
	KUNIT_ASSERT_EQ(test, kmheap_collect_begin(heap), 0);
	kmh_kunit_at(test, "mark of a page", to_another_arena, &r);
	KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, r.p));
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("mark of a page"));
	KUNIT_EXPECT_TRUE(test, bitmap_empty(other->page_marks, other->npages));
	WRITE_ONCE(r.s->arena, a);
	KUNIT_EXPECT_EQ(test, kmheap_collect_end(heap), 0);
	kmheap_free(r.q);
	kmheap_destroy(heap);
}

static struct kunit_case recycle_cases[] = {
	KUNIT_CASE(claim_of_another_life),
	KUNIT_CASE(bulk_leaves_a_span_it_has_emptied),
	KUNIT_CASE(two_frees_of_a_large_object_at_once),
	KUNIT_CASE(two_frees_of_a_large_object_one_deferred),
	KUNIT_CASE(two_frees_of_a_run_of_pages),
	KUNIT_CASE(lives_of_a_parked_span),
	KUNIT_CASE(two_frees_of_a_tiny_object_at_once),
	KUNIT_CASE(reports_come_with_preemption_off),
	KUNIT_CASE(special_in_a_heap_without_any),
	KUNIT_CASE(mark_between_two_arenas),
	{ }
};

static struct kunit_suite recycle_suite = {
	.name = "kmheap_recycle",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = recycle_cases,
};

kunit_test_suite(recycle_suite);
