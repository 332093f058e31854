// SPDX-License-Identifier: GPL-2.0
/* KUnit: inboxes: an announced span goes to the CPU that filled it, and none is stranded. */
#include "magazine_kunit.h"

#define NSPANS	3U

static int inbox_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return mcentral_init(test);
}

static struct kmh_inbox *inbox(struct kunit *test)
{
	return &mcache(test)->inbox[SPANCLASS];
}

static unsigned int ninbox(struct kunit *test, void **p)
{
	unsigned int k, n = 0;

	for (k = 0; k < NSPANS; k++)
		n += times_in(inbox(test), span(p[NR_SLOTS * k]));
	return n;
}

/*
 * @p: the objects of spans that the other CPU has filled; this CPU has freed their first
 * slots.
 */
static void **announced_elsewhere(struct kunit *test)
{
	void **p = kunit_kcalloc(test, NR_SLOTS * NSPANS, sizeof(*p), GFP_KERNEL);
	unsigned int k;

	KUNIT_ASSERT_NOT_NULL(test, p);
	grow(test, 2 * NSPANS);
	alloc_elsewhere(test, p, NR_SLOTS * NSPANS, BYTES);
	drain_elsewhere(test);
	for (k = 0; k < NSPANS; k++) {
		KUNIT_ASSERT_NOT_NULL(test, p[NR_SLOTS * k]);
		kmheap_free(p[NR_SLOTS * k]);
	}
	return p;
}

/* Free the objects of @p that are live still, and those of @q. */
static void finish(struct kunit *test, void **p, void **q, unsigned int nq)
{
	kmh_kunit_validate(test);
	free_live(p, NR_SLOTS * NSPANS);
	free_live(q, nq);
	expect_all_back(test);
}

static void announced_goes_to_who_filled_it(struct kunit *test)
{
	void **p = full_spans(test, NSPANS), *first[NSPANS];
	unsigned int k;

	for (k = 0; k < NSPANS; k++)
		first[k] = p[NR_SLOTS * k];
	free_elsewhere(test, first, NSPANS);
	KUNIT_EXPECT_EQ(test, ninbox(test, p), NSPANS);
	for (k = 0; k < NSPANS; k++) {
		expect_home(test, span(p[NR_SLOTS * k]), KMH_HOME_ANNOUNCED);
		KUNIT_EXPECT_EQ(test, announced(test, span(p[NR_SLOTS * k])), 1U);
	}
	KUNIT_EXPECT_TRUE(test, kmh_inbox_empty(&central(test, SPANCLASS)->inbox));
	KUNIT_EXPECT_TRUE(test, kmh_inbox_any_announced(central(test, SPANCLASS)));
	finish(test, p, NULL, 0);
}

static void announced_goes_to_another_cpu_that_filled_it(struct kunit *test)
{
	void **p = announced_elsewhere(test);
	unsigned int k;

	KUNIT_EXPECT_EQ(test, ninbox(test, p), 0U);
	for (k = 0; k < NSPANS; k++)
		KUNIT_EXPECT_EQ(test, announced(test, span(p[NR_SLOTS * k])), 1U);
	KUNIT_EXPECT_TRUE(test, kmh_inbox_empty(&central(test, SPANCLASS)->inbox));
	finish(test, p, NULL, 0);
}

/*
 * A refill takes this CPU's own spans first, even where the other CPU is the next one to be
 * looked at.
 */
static void refill_prefers_its_own(struct kunit *test)
{
	void **p = full_spans(test, 1), **q, *mine;

	q = announced_elsewhere(test);
	kmheap_free(p[0]);
	central(test, SPANCLASS)->steal = raw_smp_processor_id();
	mine = alloc(test);
	KUNIT_EXPECT_PTR_EQ(test, mine, p[0]);
	KUNIT_EXPECT_EQ(test, announced(test, span(q[0])), 1U);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	finish(test, q, p, NR_SLOTS);
}

/* A refill takes all spans announced for other CPUs, one after the other, before fresh pages. */
static void refill_takes_what_others_have(struct kunit *test)
{
	struct kmh_mcentral *c = central(test, SPANCLASS);
	void **p = announced_elsewhere(test), *more;
	unsigned long free = free_pages_now(test);
	unsigned int k;

	for (k = 0; k < NSPANS; k++) {
		KUNIT_EXPECT_TRUE(test, READ_ONCE(c->inboxes));
		alloc(test);
		KUNIT_EXPECT_EQ(test, free_pages_now(test), free);
	}
	for (k = 0; k < NSPANS; k++)
		KUNIT_EXPECT_EQ(test, (int)state_of(p[NR_SLOTS * k]), (int)KMHEAP_OBJECT_LIVE);
	more = alloc(test);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(c->inboxes));
	KUNIT_EXPECT_FALSE(test, kmh_inbox_any_announced(c));
	/*
	 * The flag of a class is cleared when nothing is announced, and set again by the next
	 * announcement.
	 */
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	kmheap_free(p[0]);
	KUNIT_EXPECT_TRUE(test, kmh_inbox_any_announced(c));
	finish(test, p, &more, 1);
}

/* A span is announced for the CPU that has allocated from it last. */
static void keeper_changes_with_the_cache(struct kunit *test)
{
	void **p = announced_elsewhere(test);
	unsigned int k;

	for (k = 0; k < NSPANS; k++)
		alloc(test);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	for (k = 0; k < NSPANS; k++)
		kmheap_free(p[NR_SLOTS * k + 1]);
	KUNIT_EXPECT_EQ(test, ninbox(test, p), NSPANS);
	finish(test, p, NULL, 0);
}

/* An interrupt that finds its mcache busy takes what is announced for any CPU. */
static void alloc_one_takes_what_others_have(struct kunit *test)
{
	void **p = announced_elsewhere(test), *q;
	unsigned long free = free_pages_now(test);

	preempt_disable();
	q = kmh_mcentral_alloc_one(node(test), SPANCLASS, false);
	preempt_enable();
	KUNIT_EXPECT_NOT_NULL(test, q);
	KUNIT_EXPECT_EQ(test, free_pages_now(test), free);
	finish(test, p, &q, 1);
}

static void sweep_takes_in_all_inboxes(struct kunit *test)
{
	void **p = full_spans(test, 1), **q = announced_elsewhere(test);
	struct kmh_mcentral *c = central(test, SPANCLASS);
	unsigned int k;

	kmheap_free(p[0]);
	kmh_inbox_sweep_announced(c);
	expect_home(test, span(p[0]), KMH_HOME_PARTIAL);
	for (k = 0; k < NSPANS; k++)
		expect_home(test, span(q[NR_SLOTS * k]), KMH_HOME_PARTIAL);
	KUNIT_EXPECT_FALSE(test, kmh_inbox_any_announced(c));
	finish(test, q, p, NR_SLOTS);
}

/*
 * A look that may not go through all CPUs leaves the flag set, and the next look goes on
 * behind it.
 */
static void bounded_look_goes_round(struct kunit *test)
{
	struct kmh_mcentral *c = central(test, SPANCLASS);
	void **p = announced_elsewhere(test);
	unsigned int i, n = 0;

	for (i = 0; i < NSPANS * num_possible_cpus(); i++) {
		struct kmh_mspan *s;
		unsigned long flags;

		raw_spin_lock_irqsave(&c->lock, flags);
		s = kmh_inbox_steal_locked(c, 1);
		if (s)
			kmh_mcentral_claim_locked(c, s);
		raw_spin_unlock_irqrestore(&c->lock, flags);
		KUNIT_EXPECT_TRUE(test, READ_ONCE(c->inboxes));
		if (!s)
			continue;
		n++;
		kmh_kunit_sweep_claimed(s);
	}
	KUNIT_EXPECT_EQ(test, n, NSPANS);
	finish(test, p, NULL, 0);
}

static struct kunit_case inbox_cases[] = {
	KUNIT_CASE(announced_goes_to_who_filled_it),
	KUNIT_CASE(announced_goes_to_another_cpu_that_filled_it),
	KUNIT_CASE(refill_prefers_its_own),
	KUNIT_CASE(refill_takes_what_others_have),
	KUNIT_CASE(keeper_changes_with_the_cache),
	KUNIT_CASE(alloc_one_takes_what_others_have),
	KUNIT_CASE(sweep_takes_in_all_inboxes),
	KUNIT_CASE(bounded_look_goes_round),
	{ }
};

static struct kunit_suite inbox_suite = {
	.name = "kmheap_inbox",
	.init = inbox_init,
	.exit = kmh_kunit_exit,
	.test_cases = inbox_cases,
};

kunit_test_suite(inbox_suite);
