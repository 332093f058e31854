// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: objects with finalizers among others: their span meanwhile, many of them, finalizers
 * that use the heap themselves, and collections.
 */
#include <linux/prandom.h>

#include "special_kunit.h"

#define BYTES		64U
#define NR_SLOTS	128U

static int special_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return kmh_kunit_init(test);
}

/* ---- the span */

static void nfast_comes_back_with_the_last(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *other = alloc(test, BYTES);
	struct mortal m[3];
	struct kmh_mspan *s;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(m); i++)
		mortal(test, heap, &m[i], BYTES);
	s = where(m[0].p);
	KUNIT_ASSERT_PTR_EQ(test, where(m[2].p), s);
	for (i = 0; i < ARRAY_SIZE(m); i++) {
		KUNIT_EXPECT_EQ(test, s->nspecials, 3 - i);
		KUNIT_EXPECT_EQ(test, s->nfast, 0U);
		KUNIT_EXPECT_EQ(test, special_pages(heap), 1U);
		if (i == 1)
			KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(m[i].p, NULL, NULL), 0);
		else
			kmheap_free(m[i].p);
		kmheap_rcu_barrier(heap);
	}
	KUNIT_EXPECT_EQ(test, s->nspecials, 0);
	KUNIT_EXPECT_EQ(test, s->nfast, kmh_mspan_fast_slots(s));
	KUNIT_EXPECT_EQ(test, special_pages(heap), 0U);
	kmheap_free(m[1].p);
	kmheap_free(other);
	expect_no_specials(test, heap);
}

/* nfast of spans of collected heaps and of large objects is 0 from the start, and stays 0. */
static void nfast_stays_zero(struct kunit *test)
{
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmheap_create("kunit-collected", &attr);
	struct mortal small, large;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	mortal(test, heap, &small, BYTES);
	mortal(test, heap, &large, 50000);
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(small.p, NULL, NULL), 0);
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(large.p, NULL, NULL), 0);
	KUNIT_EXPECT_EQ(test, where(small.p)->nfast, 0U);
	KUNIT_EXPECT_EQ(test, where(large.p)->nfast, 0U);
	kmheap_free(small.p);
	kmheap_free(large.p);
	expect_no_specials(test, heap);
	kmheap_destroy(heap);
}

static void free_elsewhere(void *p)
{
	kmheap_free(p);
}

static unsigned int magazine_len(const struct kmheap *heap)
{
	unsigned int spanclass = kmh_spanclass(kmh_size_to_class(BYTES), false);

	return kmh_magazine_len(per_cpu_ptr(heap->mcache, raw_smp_processor_id()), spanclass);
}

/*
 * Every other object of a span has a finalizer; the others are freed and reused as always: those
 * that are freed here rest in the magazine, and in the end all come back from the span.
 */
static void others_are_freed_right(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct mortal *m = kunit_kcalloc(test, NR_SLOTS / 2, sizeof(*m), GFP_KERNEL);
	void **p = objects(test, NR_SLOTS / 2), *q;
	unsigned int i, round, nhere;
	struct kmh_mspan *s;

	KUNIT_ASSERT_NOT_NULL(test, m);
	for (i = 0; i < NR_SLOTS / 2; i++) {
		mortal(test, heap, &m[i], BYTES);
		p[i] = alloc(test, BYTES);
	}
	s = where(m[0].p);
	for (round = 0; round < 3; round++) {
		for (i = nhere = 0; i < NR_SLOTS / 2; i++) {
			KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p[i]));
			if (i % 3 == round)
				kmheap_free(p[i]);
			else if (i % 3 == 1)
				kmh_kunit_elsewhere(test, free_elsewhere, p[i]);
			else
				kmheap_free_rcu(p[i]);
			kmheap_free(p[i]);
			kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
			nhere += i % 3 == round;
			KUNIT_EXPECT_EQ(test, magazine_len(heap), nhere);
		}
		kmheap_rcu_barrier(heap);
		KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), NR_SLOTS / 2);
		/* What other CPUs have freed is to be found here. */
		kmh_magazines_drain_all(heap);
		for (i = 0; i < NR_SLOTS / 2; i++) {
			p[i] = alloc(test, BYTES);
			KUNIT_EXPECT_PTR_EQ(test, where(p[i]), s);
		}
	}
	for (i = 0; i < NR_SLOTS / 2; i++)
		kmheap_free(m[i].p);
	kmheap_rcu_barrier(heap);
	for (i = 0; i < NR_SLOTS / 2; i++) {
		expect_ends(test, &m[i], 1);
		q = p[i];
		KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(q));
		kmheap_free(q);
	}
	expect_no_specials(test, heap);
}

/* ---- many */

/* Free each object once, in random order, at once or after a grace period. */
static void free_in_disorder(struct kunit *test, struct mortal *m, unsigned int n)
{
	unsigned int *order = kvcalloc(n, sizeof(*order), GFP_KERNEL), i;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, order);
	prandom_seed_state(&rnd, n);
	for (i = 0; i < n; i++) {	/* a shuffle, inside out */
		unsigned int j = prandom_u32_state(&rnd) % (i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (i = 0; i < n; i++) {
		if (prandom_u32_state(&rnd) % 2)
			kmheap_free(m[order[i]].p);
		else
			kmheap_free_rcu(m[order[i]].p);
	}
	kvfree(order);
}

static const struct {
	size_t bytes;
	unsigned int n;
} crowds[] = { { 8, 3000 }, { 48, 1000 }, { 1000, 200 }, { 32768, 20 }, { 50000, 20 } };

/* Many finalizers in each span, and over many spans. */
static void many_finalizers(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct mortal *m[ARRAY_SIZE(crowds)];
	struct kmheap_stats before, st;
	unsigned int i, j;
	u64 total = 0;

	kmh_kunit_balanced(test, heap, &before);
	for (i = 0; i < ARRAY_SIZE(crowds); i++) {
		m[i] = kvcalloc(crowds[i].n, sizeof(**m), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, m[i]);
		for (j = 0; j < crowds[i].n; j++)
			mortal(test, heap, &m[i][j], crowds[i].bytes);
		total += crowds[i].n;
	}
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.specials, total);
	KUNIT_EXPECT_EQ(test, st.live_objects, total);
	KUNIT_EXPECT_GT(test, st.metadata_bytes, before.metadata_bytes + 64 * total);
	KUNIT_EXPECT_GE(test, special_pages(heap), 3 + 6 + 25 + 10 + 20U);
	for (i = 0; i < ARRAY_SIZE(crowds); i++)
		free_in_disorder(test, m[i], crowds[i].n);
	expect_no_specials(test, heap);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->specials.finalized), (long)total);
	for (i = 0; i < ARRAY_SIZE(crowds); i++) {
		for (j = 0; j < crowds[i].n; j++)
			if (m[i][j].ncalls != 1 || m[i][j].nwrong)
				KUNIT_FAIL(test, "%zu bytes, %u: %u calls, %u wrong",
					   crowds[i].bytes, j, m[i][j].ncalls, m[i][j].nwrong);
		kvfree(m[i]);
	}
	kmh_kunit_settle(heap);		/* or the worker would grow the heap afterwards */
	kmh_kunit_shrink(heap);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.arenas, 0ULL);
	KUNIT_EXPECT_LE(test, st.metadata_bytes, before.metadata_bytes);
}

/* ---- finalizers that use the heap */

#define NR_LINKS	40U

struct link {
	struct kmheap *heap;
	void *p;
	struct link *next;	/* its finalizer frees this one */
	unsigned int ncalls, nwrong;
};

static void end_link(void *p, void *arg)
{
	struct link *l = arg;
	void *q = kmheap_alloc(l->heap, BYTES, GFP_KERNEL);
	void *large = kmheap_alloc(l->heap, 40000, GFP_KERNEL);

	WRITE_ONCE(l->ncalls, l->ncalls + 1);
	l->nwrong += p != l->p || *(struct link **)p != l || !q || !large || q == p;
	if (q)
		memset(q, 0xff, BYTES);
	kmheap_free(large);
	kmheap_free(q);
	if (l->next)
		kmheap_free(l->next->p);
}

static struct link *links(struct kunit *test, struct kmheap *heap)
{
	struct link *l = kunit_kcalloc(test, NR_LINKS, sizeof(*l), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, l);
	for (i = 0; i < NR_LINKS; i++) {
		l[i].heap = heap;
		l[i].p = kmheap_alloc(heap, i % 10 ? BYTES : 50000, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, l[i].p);
		*(struct link **)l[i].p = &l[i];
		KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(l[i].p, end_link, &l[i]), 0);
	}
	return l;
}

static void expect_links_ended(struct kunit *test, const struct link *l)
{
	unsigned int i;

	for (i = 0; i < NR_LINKS; i++)
		if (l[i].ncalls != 1 || l[i].nwrong)
			KUNIT_FAIL(test, "link %u: %u calls, %u wrong", i, l[i].ncalls,
				   l[i].nwrong);
}

static void finalizer_allocates_and_frees(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct link *l = links(test, heap);
	unsigned int i;

	for (i = 0; i < NR_LINKS; i++)
		kmheap_free(l[i].p);
	expect_no_specials(test, heap);
	expect_links_ended(test, l);
}

/* The end of the first object is the end of all. */
static void finalizer_frees_the_next(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct link *l = links(test, heap);
	unsigned int i;

	for (i = 1; i < NR_LINKS; i++)
		l[i - 1].next = &l[i];
	kmheap_free(l[0].p);
	kmh_kunit_wait_for(test, READ_ONCE(l[NR_LINKS - 1].ncalls));
	expect_no_specials(test, heap);
	expect_links_ended(test, l);
}

/* Destroy does not wait for the chain, but comes in between. */
static void destroy_while_finalizers_free(struct kunit *test)
{
	unsigned int i, round;

	for (round = 0; round < 5; round++) {
		struct kmheap *heap = kmheap_create("kunit-short", NULL);
		struct link *l;

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
		l = links(test, heap);
		for (i = 1; i < NR_LINKS; i++)
			l[i - 1].next = &l[i];
		kmheap_free(l[0].p);
		kmheap_destroy(heap);
		expect_links_ended(test, l);
		kunit_kfree(test, l);
	}
}

/*
 * Survivors free one another: each has one end, whichever free is first. A finalizer's free
 * of an object that destroy has freed already is no misuse.
 */
static void destroy_with_survivors_that_free(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-short", NULL);
	struct link *l;
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	l = links(test, heap);
	for (i = 0; i < NR_LINKS; i += 2) {
		l[i].next = &l[i + 1];
		l[i + 1].next = i % 4 ? &l[i] : NULL;
	}
	kmheap_destroy(heap);
	expect_links_ended(test, l);
}

/* ---- collections */

static void finalizers_of_a_collection(struct kunit *test)
{
	static const size_t bytes[] = { 8, 1000, 50000 };
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmheap_create("kunit-collected", &attr);
	struct collected was;
	struct mortal m[18];
	unsigned int i, round;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	was = collected_by_now(heap);
	for (i = 0; i < 12; i++)
		mortal(test, heap, &m[i], bytes[i % 3]);
	for (round = 0; round < 4; round++) {
		begin(test, heap);
		for (i = 12; !round && i < 18; i++)
			mortal(test, heap, &m[i], bytes[i % 3]);
		for (i = 3 * round + 3; i < 18; i++)
			KUNIT_EXPECT_EQ(test, kmheap_mark(heap, m[i].p), i < 12 || round);
		end(test, heap);
		kmheap_rcu_barrier(heap);
		for (i = 0; i < 18; i++)
			expect_ends(test, &m[i], i < 3 * round + 3);
		expect_collected(test, heap, &was, 3, 8 + kmh_kunit_class_bytes(1000) + 50000);
		KUNIT_EXPECT_EQ(test, nspecials(heap), 15ULL - 3 * round);
	}
	collect_all(test, heap);
	for (i = 0; i < 18; i++)
		expect_ends(test, &m[i], 1);
	expect_no_specials(test, heap);
	kmheap_destroy(heap);
}

static struct kunit_case special_span_cases[] = {
	KUNIT_CASE(nfast_comes_back_with_the_last),
	KUNIT_CASE(nfast_stays_zero),
	KUNIT_CASE(others_are_freed_right),
	KUNIT_CASE(many_finalizers),
	KUNIT_CASE(finalizer_allocates_and_frees),
	KUNIT_CASE(finalizer_frees_the_next),
	KUNIT_CASE(destroy_while_finalizers_free),
	KUNIT_CASE(destroy_with_survivors_that_free),
	KUNIT_CASE(finalizers_of_a_collection),
	{ }
};

static struct kunit_suite special_span_suite = {
	.name = "kmheap_special_span",
	.init = special_init,
	.exit = kmh_kunit_exit,
	.test_cases = special_span_cases,
};

kunit_test_suite(special_span_suite);
