// SPDX-License-Identifier: GPL-2.0
/* KUnit: the four sets of a central list: which span is on which, and how spans leave them. */
#include "mcentral_kunit.h"
#include "sweep_kunit.h"

/*
 * Open the next generation of the class. Nothing is deferred: the class is swept for remote
 * frees.
 */
static void advance(struct kunit *test, unsigned int spanclass)
{
	central(test, spanclass)->dirty[0] = 1;
	sweep_open(test, KMH_SWEEP_SET0);
}

/* A full span, one of whose slots waits in the deferred set that is not swept. */
static struct kmh_mspan *listed_span(struct kunit *test, unsigned int slot)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, NR_SLOTS);

	KUNIT_EXPECT_EQ(test, defer_slot(s, slot), (int)KMH_FREE_OK);
	uncache_span(test, s);
	expect_home(test, s, KMH_HOME_LISTED);
	return s;
}

static void put_all(struct kunit *test, struct kmh_mspan **s, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (atomic_read(&s[i]->home) == KMH_HOME_CACHED)
			uncache_span(test, s[i]);
		free_all(test, s[i]);
	}
	kmheap_rcu_barrier(kmh_kunit_heap(test));
	expect_all_released(test, SPANCLASS);
}

static void cache_span_order_of_sets(struct kunit *test)
{
	enum { ANNOUNCED, SWEPT, UNSWEPT, FULL, FRESH, NR };
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *s[NR], *got;
	unsigned int i, gen;

	s[UNSWEPT] = span_of(test, SPANCLASS, 4);
	uncache_span(test, s[UNSWEPT]);
	s[ANNOUNCED] = span_of(test, SPANCLASS, NR_SLOTS);
	uncache_span(test, s[ANNOUNCED]);
	s[FULL] = listed_span(test, 3);
	defer_close(test);
	defer_open(test);
	gen = kmh_mcentral_gen(c);
	/* With enough credit nothing is swept for the fresh pages. */
	atomic_long_set(&kmh_kunit_heap(test)->sweep.debt, 1000);
	s[SWEPT] = span_of(test, SPANCLASS, 4);
	uncache_span(test, s[SWEPT]);
	free_remote(test, s[ANNOUNCED], 6);
	KUNIT_EXPECT_EQ(test, gen_of(s[ANNOUNCED]), gen - 2);
	for (i = 0; i < NR; i++) {
		got = cache_span(test, SPANCLASS);
		KUNIT_ASSERT_NOT_NULL(test, got);
		if (i < FRESH)
			KUNIT_EXPECT_PTR_EQ_MSG(test, got, s[i], "place %u", i);
		else
			KUNIT_EXPECT_EQ(test, kmh_kunit_live(got, NULL), 0U);
		s[i] = got;
		KUNIT_EXPECT_EQ_MSG(test, gen_of(got), gen + 3, "place %u", i);
		expect_home(test, got, KMH_HOME_CACHED);
	}
	KUNIT_EXPECT_EQ(test, s[ANNOUNCED]->w[0].free, BIT(6));
	KUNIT_EXPECT_EQ(test, s[FULL]->w[0].free, BIT(3));
	KUNIT_EXPECT_TRUE(test, kmh_mcentral_is_swept(c));
	sweep_finish(test);
	put_all(test, s, NR);
}

/* Unswept spans that prove full are put down as swept, a few at a time. */
static void cache_span_sweeps_within_a_budget(struct kunit *test)
{
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *s[130], *got;
	unsigned int i, nswept = 0;

	grow(test, 200);
	/*
	 * One span is in the first deferred set when that closes, so that all the others wait
	 * for longer.
	 */
	s[0] = listed_span(test, 0);
	defer_close(test);
	for (i = 1; i < ARRAY_SIZE(s); i++)
		s[i] = listed_span(test, i % NR_SLOTS);
	defer_open(test);
	free_remote(test, s[0], 1);
	uncache_span(test, cache_span(test, SPANCLASS));
	KUNIT_EXPECT_TRUE(test, on_partial_set(s[0], true));
	KUNIT_EXPECT_PTR_EQ(test, cache_span(test, SPANCLASS), s[0]);
	got = cache_span(test, SPANCLASS);
	KUNIT_ASSERT_NOT_NULL(test, got);
	KUNIT_EXPECT_EQ_MSG(test, kmh_kunit_live(got, NULL), 0U, "fresh pages");
	for (i = 1; i < ARRAY_SIZE(s); i++) {
		bool swept = gen_of(s[i]) == kmh_mcentral_gen(c);

		KUNIT_EXPECT_TRUE(test, on_full_set(s[i], swept));
		expect_home(test, s[i], KMH_HOME_LISTED);
		nswept += swept;
	}
	/* The fresh page is paid for with another eight pages. */
	KUNIT_EXPECT_GE(test, nswept, 100U);
	KUNIT_EXPECT_LE(test, nswept, 108U);
	uncache_span(test, got);
	sweep_finish(test);
	put_all(test, s, ARRAY_SIZE(s));
}

static void full_span_is_listed_while_it_waits(struct kunit *test)
{
	struct kmh_mspan *s = listed_span(test, 2), *got;

	KUNIT_EXPECT_TRUE(test, on_full_set(s, true));
	/* Further deferred frees change nothing, and no refill takes the span for useful. */
	KUNIT_EXPECT_EQ(test, defer_slot(s, 7), (int)KMH_FREE_OK);
	expect_home(test, s, KMH_HOME_LISTED);
	got = cache_span(test, SPANCLASS);
	KUNIT_EXPECT_TRUE(test, got != s);
	uncache_span(test, got);
	kmh_mcentral_drain(node(test), SPANCLASS);
	expect_home(test, s, KMH_HOME_LISTED);
	close_and_expire(test);
	expect_home(test, s, KMH_HOME_PARTIAL);
	KUNIT_EXPECT_FALSE(test, on_full_set(s, true) || on_full_set(s, false));
	KUNIT_EXPECT_EQ(test, s->w[0].free, BIT(2) | BIT(7));
	put_all(test, &s, 1);
}

/* A full span on no list is announced by its first deferred free, and listed after that. */
static void full_span_is_announced_to_be_listed(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, NR_SLOTS), *got;

	uncache_span(test, s);
	expect_home(test, s, KMH_HOME_FULL);
	KUNIT_EXPECT_EQ(test, defer_slot(s, 2), (int)KMH_FREE_OK);
	KUNIT_EXPECT_EQ(test, defer_slot(s, 3), (int)KMH_FREE_OK);
	expect_home(test, s, KMH_HOME_ANNOUNCED);
	got = cache_span(test, SPANCLASS);
	KUNIT_EXPECT_TRUE_MSG(test, got != s, "it has nothing to give");
	expect_home(test, s, KMH_HOME_LISTED);
	KUNIT_EXPECT_TRUE(test, on_full_set(s, true));
	uncache_span(test, got);
	close_and_expire(test);
	expect_home(test, s, KMH_HOME_PARTIAL);
	put_all(test, &s, 1);
}

/* A remote free announces a listed span, which stays on its set until it is popped. */
static void listed_span_is_announced(struct kunit *test)
{
	static const char * const hows[] = { "refill", "announced", "finish", "refill, unswept" };
	struct kmh_mcentral *c = central(test, SPANCLASS);
	unsigned int how;

	for (how = 0; how < ARRAY_SIZE(hows); how++) {
		struct kmh_mspan *s = listed_span(test, 2);

		free_remote(test, s, 4);
		free_remote(test, s, 5);
		expect_home(test, s, KMH_HOME_ANNOUNCED);
		KUNIT_EXPECT_TRUE(test, on_full_set(s, true));
		if (how >= 2) {
			advance(test, SPANCLASS);
			KUNIT_EXPECT_TRUE(test, on_full_set(s, false));
			KUNIT_EXPECT_EQ_MSG(test, kmh_mcentral_sweep_one(c), 0U,
					    "it comes up by itself");
			KUNIT_EXPECT_FALSE(test, kmh_mcentral_is_swept(c));
		}
		if (how == 1)
			kmh_inbox_sweep_announced(c);
		else if (how == 2)
			sweep_finish(test);
		else
			KUNIT_EXPECT_PTR_EQ_MSG(test, cache_span(test, SPANCLASS), s, "%s",
						hows[how]);
		expect_home(test, s, how % 3 ? KMH_HOME_PARTIAL : KMH_HOME_CACHED);
		KUNIT_EXPECT_FALSE(test, on_full_set(s, true) || on_full_set(s, false));
		KUNIT_EXPECT_TRUE(test, kmh_mcentral_is_swept(c));
		sweep_finish(test);
		put_all(test, &s, 1);
	}
}

static void fresh_spans_are_swept(struct kunit *test)
{
	struct kmh_mcentral *c = central(test, SPANCLASS);
	unsigned int i;

	for (i = 0; i < 4; i++) {
		struct kmh_mspan *s = span_of(test, SPANCLASS, 1), *cached, *one;
		unsigned int gen = kmh_mcentral_gen(c);
		void *p;

		KUNIT_EXPECT_EQ(test, gen, 2 * i);
		KUNIT_EXPECT_EQ(test, gen_of(s), gen);
		cached = cache_span(test, SPANCLASS);
		KUNIT_EXPECT_EQ(test, gen_of(cached), gen + 3);
		KUNIT_EXPECT_FALSE(test, stale(cached));
		p = alloc_one(test, SPANCLASS);
		one = kmh_span_of((unsigned long)p);
		KUNIT_EXPECT_EQ(test, gen_of(one), gen);
		KUNIT_EXPECT_TRUE(test, on_partial_set(one, true));
		uncache_span(test, s);
		KUNIT_EXPECT_TRUE(test, on_partial_set(s, true));
		uncache_span(test, cached);
		free_all(test, s);
		free_all(test, one);
		c->dirty[0] = 1;
		sweep_open(test, KMH_SWEEP_SET0);
		sweep_finish(test);
	}
	expect_all_released(test, SPANCLASS);
}

/* Spans that the sweep finds empty go back, except the last one of the class with free slots. */
static void last_empty_span_stays(struct kunit *test)
{
	struct kmh_mspan *s[3];
	unsigned long nfree;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(s); i++) {
		unsigned int slot;

		s[i] = span_of(test, SPANCLASS, NR_SLOTS);
		for (slot = 0; slot < NR_SLOTS; slot++)
			KUNIT_EXPECT_EQ(test, defer_slot(s[i], slot), (int)KMH_FREE_OK);
		uncache_span(test, s[i]);
	}
	nfree = free_pages_now(test);
	close_and_expire(test);
	KUNIT_EXPECT_EQ(test, free_pages_now(test), nfree + 2);
	KUNIT_EXPECT_EQ(test, central(test, SPANCLASS)->npartial, 1U);
	s[0] = cache_span(test, SPANCLASS);
	KUNIT_EXPECT_EQ(test, free_pages_now(test), nfree + 2);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s[0], NULL), 0U);
	put_all(test, s, 1);
}

static bool try_claim(struct kunit *test, struct kmh_mspan *s)
{
	unsigned long flags;
	bool mine;

	raw_spin_lock_irqsave(&s->mheap->lock, flags);
	mine = kmh_mcentral_try_claim(s);
	raw_spin_unlock_irqrestore(&s->mheap->lock, flags);
	return mine;
}

static void try_claim_by_home(struct kunit *test)
{
	enum { PARTIAL, LISTED, ANNOUNCED, CACHED, FULL, SWEPT, NR };
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *s[NR];
	unsigned int i;

	for (i = 0; i < NR; i++)
		s[i] = i == LISTED || i == ANNOUNCED ? listed_span(test, 1) :
		       span_of(test, SPANCLASS, i == PARTIAL ? 4 : NR_SLOTS);
	uncache_span(test, s[PARTIAL]);
	free_remote(test, s[ANNOUNCED], 0);
	uncache_span(test, s[FULL]);
	defer_close(test);
	for (i = 0; i < NR; i++)
		KUNIT_EXPECT_FALSE_MSG(test, try_claim(test, s[i]), "nothing is unswept");
	atomic_add(3, &s[CACHED]->sweepgen);
	defer_open(test);
	atomic_set(&s[SWEPT]->sweepgen, kmh_mcentral_gen(c));
	free_remote(test, s[SWEPT], 0);
	uncache_span(test, s[SWEPT]);
	for (i = 0; i < NR; i++)
		KUNIT_EXPECT_EQ_MSG(test, try_claim(test, s[i]), i <= LISTED, "place %u", i);
	KUNIT_EXPECT_EQ(test, c->npartial, 1U);
	for (i = 0; i < NR; i++)
		KUNIT_EXPECT_FALSE(test, try_claim(test, s[i]));
	/* Claimed spans are on no list; the generation waits for the trip that holds them. */
	while (kmh_mcentral_sweep_one(c))
		;
	kmh_inbox_sweep_announced(c);
	for (i = 0; i <= LISTED; i++) {
		expect_home(test, s[i], KMH_HOME_CACHED);
		KUNIT_EXPECT_EQ(test, gen_of(s[i]), kmh_mcentral_gen(c) - 1);
		kmh_kunit_sweep_claimed(s[i]);
		KUNIT_EXPECT_TRUE(test, on_partial_set(s[i], true));
	}
	KUNIT_EXPECT_TRUE(test, kmh_mcentral_is_swept(c));
	uncache_span(test, s[CACHED]);
	sweep_finish(test);
	put_all(test, s, NR);
}

/* The locks are taken against the lock order, so the second is only tried. */
static void try_claim_leaves_a_taken_lock(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, 4);
	struct kmh_mcentral *c = central(test, SPANCLASS);
	unsigned long flags;
	bool mine;

	uncache_span(test, s);
	advance(test, SPANCLASS);
	raw_spin_lock_irqsave(&c->lock, flags);
	raw_spin_lock(&s->mheap->lock);
	mine = kmh_mcentral_try_claim(s);
	raw_spin_unlock(&s->mheap->lock);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	KUNIT_EXPECT_FALSE(test, mine);
	expect_home(test, s, KMH_HOME_PARTIAL);
	KUNIT_EXPECT_TRUE(test, on_partial_set(s, false));
	KUNIT_EXPECT_TRUE(test, try_claim(test, s));
	kmh_kunit_sweep_claimed(s);
	sweep_finish(test);
	put_all(test, &s, 1);
}

/* While a generation is open every span is swept first. */
static void release_empty_sweeps(struct kunit *test)
{
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *s[30];
	unsigned long nfree;
	unsigned int i, slot;

	grow(test, 60);
	/* By the remainder of 3: empty once it is swept; one slot free then; unswept and in use. */
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = span_of(test, SPANCLASS, i % 3 == 2 ? 3 : NR_SLOTS);
		for (slot = i % 3 ? 7 : 0; i % 3 < 2 && slot < NR_SLOTS; slot++)
			KUNIT_EXPECT_EQ(test, defer_slot(s[i], slot), (int)KMH_FREE_OK);
		uncache_span(test, s[i]);
	}
	nfree = free_pages_now(test);
	kmh_mcentral_drain(node(test), SPANCLASS);
	KUNIT_EXPECT_EQ_MSG(test, free_pages_now(test), nfree, "all of them wait");
	defer_close(test);
	defer_open(test);
	kmh_mcentral_drain(node(test), SPANCLASS);
	KUNIT_EXPECT_EQ(test, free_pages_now(test), nfree + 10);
	KUNIT_EXPECT_TRUE(test, kmh_mcentral_is_swept(c));
	KUNIT_EXPECT_EQ(test, c->npartial, 20U);
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		if (i % 3 == 0)
			continue;
		KUNIT_EXPECT_TRUE(test, on_partial_set(s[i], true));
		KUNIT_EXPECT_EQ(test, gen_of(s[i]), kmh_mcentral_gen(c));
		KUNIT_EXPECT_EQ(test, kmh_kunit_live(s[i], NULL), i % 3 == 2 ? 3U : 7U);
		free_all(test, s[i]);
	}
	sweep_finish(test);
	expect_all_released(test, SPANCLASS);
}

static struct kunit_case mcentral_sets_cases[] = {
	KUNIT_CASE(cache_span_order_of_sets),
	KUNIT_CASE(cache_span_sweeps_within_a_budget),
	KUNIT_CASE(full_span_is_listed_while_it_waits),
	KUNIT_CASE(full_span_is_announced_to_be_listed),
	KUNIT_CASE(listed_span_is_announced),
	KUNIT_CASE(fresh_spans_are_swept),
	KUNIT_CASE(last_empty_span_stays),
	KUNIT_CASE(try_claim_by_home),
	KUNIT_CASE(try_claim_leaves_a_taken_lock),
	KUNIT_CASE(release_empty_sweeps),
	{ }
};

static struct kunit_suite mcentral_sets_suite = {
	.name = "kmheap_mcentral_sets",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = mcentral_sets_cases,
};

kunit_test_suite(mcentral_sets_suite);
