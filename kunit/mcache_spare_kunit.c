// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: spare spans: one trip to mcentral brings several spans, all cached like the first
 * one.
 */
#include "conserved_kunit.h"
#include "magazine_kunit.h"

/* @n announced spans, each with one slot free; @p[0], @p[8], ... lie in them. */
static void **announced_spans(struct kunit *test, unsigned int n)
{
	void **p = full_spans(test, n);
	unsigned int k;

	for (k = 0; k < n; k++)
		kmheap_free(p[NR_SLOTS * k]);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	for (k = 0; k < n; k++)
		expect_home(test, span(p[NR_SLOTS * k]), KMH_HOME_ANNOUNCED);
	return p;
}

static unsigned int nspares(struct kunit *test)
{
	struct kmh_mspan *s;
	unsigned int n = 0;

	llist_for_each_entry(s, mcache(test)->spare[SPANCLASS], node) {
		KUNIT_EXPECT_PTR_EQ(test, s->owner, mcache(test));
		expect_home(test, s, KMH_HOME_CACHED);
		n++;
	}
	return n;
}

static struct kmh_mspan *first_spare(struct kunit *test)
{
	KUNIT_ASSERT_NOT_NULL(test, mcache(test)->spare[SPANCLASS]);
	return llist_entry(mcache(test)->spare[SPANCLASS], struct kmh_mspan, node);
}

static void refill_takes_spans_to_spare(struct kunit *test)
{
	void **p = announced_spans(test, 6);
	unsigned long refills = mcache(test)->refills[SPANCLASS];
	unsigned int i, k;

	for (i = 0; i < 6; i++) {
		alloc(test);
		KUNIT_EXPECT_EQ_MSG(test, nspares(test), i < 4 ? 3 - i : 5 - i, "alloc %u", i);
		KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS],
				refills + 1 + i / KMH_REFILL_SPANS);
	}
	for (k = 0; k < 6; k++)
		KUNIT_EXPECT_EQ(test, (int)state_of(p[NR_SLOTS * k]), (int)KMHEAP_OBJECT_LIVE);
	kmh_kunit_validate(test);
	free_range(p, 0, 6 * NR_SLOTS);
	expect_all_back(test);
}

/* A refill takes partial spans along with announced ones; fresh pages come one span at a time. */
static void refill_mixes_announced_and_partial(struct kunit *test)
{
	void **p = announced_spans(test, 3), *q;

	fold_span(test, span(p[0]));		/* this folds all three */
	expect_home(test, span(p[0]), KMH_HOME_PARTIAL);
	q = alloc(test);
	KUNIT_EXPECT_EQ(test, nspares(test), 2U);
	KUNIT_EXPECT_EQ(test, central(test, SPANCLASS)->npartial, 0U);
	alloc(test);
	alloc(test);
	KUNIT_EXPECT_EQ(test, nspares(test), 0U);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(span(q), NULL), NR_SLOTS);
	q = alloc(test);			/* from fresh pages */
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(span(q), NULL), 1U);
	KUNIT_EXPECT_EQ(test, nspares(test), 0U);
	kmheap_free(q);
	free_range(p, 0, 3 * NR_SLOTS);
	expect_all_back(test);
}

/* A refill takes no more than 32 KiB: of spans that long, one. */
static void refill_takes_one_long_span(struct kunit *test)
{
	unsigned int class = kmh_size_to_class(32768), each = kmh_classes[class].nelems, i;
	unsigned int spanclass = kmh_spanclass(class, false);
	unsigned long refills;
	void *p[12];

	KUNIT_ASSERT_LE(test, 3 * each, ARRAY_SIZE(p));
	for (i = 0; i < 3 * each; i++)
		p[i] = alloc_bytes(test, 32768);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	for (i = 0; i < 3 * each; i += each)
		kmheap_free(p[i]);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	refills = mcache(test)->refills[spanclass];
	for (i = 0; i < 3; i++) {
		alloc_bytes(test, 32768);
		KUNIT_EXPECT_NULL(test, mcache(test)->spare[spanclass]);
		KUNIT_EXPECT_EQ(test, mcache(test)->refills[spanclass], refills + 1 + i);
	}
	free_range(p, 0, 3 * each);
	expect_all_back(test);
}

/*
 * A spare span is this CPU's: what its magazine gives back becomes free bits, and what other CPUs
 * give back, at once or by their magazines, announces nothing.
 */
static void frees_into_a_spare_span(struct kunit *test)
{
	void **p = announced_spans(test, 4), *q;
	struct kmh_mspan *s;
	unsigned int i, n = 0;

	alloc(test);
	s = first_spare(test);
	for (i = 0; span(p[i]) != s; i += NR_SLOTS)
		;
	kmheap_free(p[i + 3]);
	free_elsewhere(test, &p[i + 4], 2);	/* the first one of that CPU goes to the span */
	KUNIT_EXPECT_EQ(test, s->w[0].free, BIT(0));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), (long)BIT(4));
	KUNIT_EXPECT_EQ(test, kmh_cells_of(s, 0, KMH_CELL_OUT), BIT(0) | BIT(4));
	expect_home(test, s, KMH_HOME_CACHED);
	kmh_magazines_drain_all(kmh_kunit_heap(test));
	KUNIT_EXPECT_EQ(test, s->w[0].free, BIT(0) | BIT(3));
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[0].remote), BIT(4) | BIT(5));
	KUNIT_EXPECT_EQ(test, kmh_cells_of(s, 0, KMH_CELL_OUT),
			BIT(0) | BIT(3) | BIT(4) | BIT(5));
	expect_home(test, s, KMH_HOME_CACHED);
	kmheap_free(p[i + 3]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	for (n = 0; n < 4; n++) {
		q = alloc(test);
		KUNIT_EXPECT_PTR_EQ(test, span(q), s);
	}
	free_live(p, 4 * NR_SLOTS);
	expect_all_back(test);
}

static void drain_gives_spares_back(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int row, k, npartial;
	void **p = announced_spans(test, 4), *q;

	for (row = 0; row < 2; row++) {
		q = alloc(test);
		KUNIT_EXPECT_EQ(test, nspares(test), 3U);
		if (row) {
			preempt_disable();
			kmh_mcache_drain_dead(heap, smp_processor_id());
			preempt_enable();
		} else {
			kmh_mcache_drain_all(heap);
		}
		KUNIT_EXPECT_EQ(test, nspares(test), 0U);
		for (k = npartial = 0; k < 4; k++) {
			KUNIT_EXPECT_NULL(test, span(p[NR_SLOTS * k])->owner);
			npartial += home(p[NR_SLOTS * k]) == KMH_HOME_PARTIAL;
		}
		KUNIT_EXPECT_EQ(test, npartial, 3U);
		KUNIT_EXPECT_EQ(test, home(q), (int)KMH_HOME_FULL);
		kmheap_free(q);
		kmh_mcache_drain_all(heap);
	}
	free_live(p, 4 * NR_SLOTS);
	expect_all_back(test);
}

/* A generation reaches spare spans at its end, or when one becomes current or goes back. */
static void spare_spans_are_swept(struct kunit *test)
{
	unsigned int row, k, n;

	for (row = 0; row < 3; row++) {
		void **p = announced_spans(test, 4), *q;
		struct kmh_mspan *s[4];
		unsigned int gen;

		for (k = 0; k < 4; k++) {
			s[k] = span(p[NR_SLOTS * k]);
			kmheap_free_rcu(p[NR_SLOTS * k + 1]);
		}
		q = alloc(test);
		KUNIT_EXPECT_EQ(test, nspares(test), 3U);
		defer_close(test);
		defer_open(test);
		gen = kmh_mcentral_gen(central(test, SPANCLASS));
		for (k = 0; k < 4; k++)
			KUNIT_EXPECT_TRUE(test, stale(s[k]));
		switch (row) {
		case 0:
			sweep_finish(test);
			for (k = 0; k < 4; k++)
				KUNIT_EXPECT_EQ(test, gen_of(s[k]), gen + 3);
			break;
		case 1:
			for (k = 0; k < 7; k++)	/* the other slot of the first, two of each spare */
				alloc(test);
			for (k = 0; k < 4; k++)
				KUNIT_EXPECT_FALSE(test, stale(s[k]));
			for (k = n = 0; k < 4; k++)
				n += kmh_kunit_live(s[k], NULL) == NR_SLOTS;
			KUNIT_EXPECT_EQ(test, n, 4U);
			break;
		case 2:
			kmh_mcache_drain_all(kmh_kunit_heap(test));
			for (k = 0; k < 4; k++)
				KUNIT_EXPECT_EQ(test, gen_of(s[k]), gen);
			break;
		}
		for (k = 0; k < 4; k++)
			KUNIT_EXPECT_TRUE(test, !kmh_mspan_slot_waits(s[k], 1));
		sweep_finish(test);
		free_live(p, 4 * NR_SLOTS);
		KUNIT_EXPECT_TRUE(test, state_of(q) != KMHEAP_OBJECT_LIVE);
		expect_all_back(test);
	}
}

static unsigned int findings(struct kunit *test)
{
	unsigned int counted = 0, n;

	n = kmh_mcache_validate(kmh_kunit_heap(test), kmh_kunit_count_finding, &counted);
	return n == counted ? n : UINT_MAX;
}

/* Damage to the current span and to each of the spares is found. */
static void validate_finds_damage(struct kunit *test)
{
	void **p = announced_spans(test, 4);
	unsigned int k;

	alloc(test);
	KUNIT_EXPECT_EQ(test, nspares(test), 3U);
	KUNIT_EXPECT_EQ(test, findings(test), 0U);
	for (k = 0; k < 4; k++) {
		struct kmh_mspan *s = span(p[NR_SLOTS * k]);

		s->owner = NULL;
		KUNIT_EXPECT_EQ_MSG(test, findings(test), 1U, "owner of %u", k);
		s->owner = mcache(test);
		atomic_set(&s->home, KMH_HOME_PARTIAL);
		KUNIT_EXPECT_EQ_MSG(test, findings(test), 1U, "home of %u", k);
		atomic_set(&s->home, KMH_HOME_CACHED);
		s->spanclass++;
		KUNIT_EXPECT_EQ_MSG(test, findings(test), 1U, "class of %u", k);
		s->spanclass--;
		KUNIT_EXPECT_EQ(test, findings(test), 0U);
	}
	free_live(p, 4 * NR_SLOTS);
	expect_all_back(test);
}

static struct kunit_case mcache_spare_cases[] = {
	KUNIT_CASE(refill_takes_spans_to_spare),
	KUNIT_CASE(refill_mixes_announced_and_partial),
	KUNIT_CASE(refill_takes_one_long_span),
	KUNIT_CASE(frees_into_a_spare_span),
	KUNIT_CASE(drain_gives_spares_back),
	KUNIT_CASE(spare_spans_are_swept),
	KUNIT_CASE(validate_finds_damage),
	{ }
};

static struct kunit_suite mcache_spare_suite = {
	.name = "kmheap_mcache_spare",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = mcache_spare_cases,
};

kunit_test_suite(mcache_spare_suite);
