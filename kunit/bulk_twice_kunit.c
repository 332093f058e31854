// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: a bulk free of what is free already. It is reported where it is found, and is not looked
 * at again: as soon as other clients may run it can be an object of theirs.
 */
#include "magazine_kunit.h"

struct reuse {
	struct kunit *test;
	void **dead;
	void *got;
	int preempted;			/* preempt_count() at the report */
};

/* Another client gets the dead object as soon as it can. */
static void alloc_again(void *arg)
{
	struct reuse *r = arg;

	r->got = kmheap_alloc(kmh_kunit_heap(r->test), BYTES, GFP_ATOMIC);
}

static void note_preemption(void *arg)
{
	struct reuse *r = arg;

	r->preempted = preempt_count();
}

static void die_elsewhere(void *arg)
{
	struct reuse *r = arg;

	free_elsewhere(r->test, r->dead, 1);
}

/* The caller that a report has to name. */
static noinline void free_eight(void **p)
{
	kmheap_free_bulk(NR_SLOTS, p);
	barrier();	/* no tail call */
}

/*
 * Free the eight objects of a span, one run, of which number @dead is not live when its turn comes.
 * It is allocated again once the batch that it was found in is over.
 */
static void bulk_free_with_a_dead_object(struct kunit *test, void **p, struct reuse *r)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	int here = preempt_count();
	struct kmh_report report;
	unsigned int i;

	kmh_kunit_at(test, "bulk free, after a batch", alloc_again, r);
	kmh_kunit_at(test, "report", note_preemption, r);
	free_eight(p);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("bulk free, after a batch"));
	KUNIT_ASSERT_PTR_EQ(test, r->got, *r->dead);
	report = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, report.addr, (unsigned long)*r->dead);
	KUNIT_EXPECT_LT(test, report.ip - (unsigned long)free_eight, 256UL);
	if (IS_ENABLED(CONFIG_PREEMPT_COUNT))
		KUNIT_EXPECT_GT(test, r->preempted & PREEMPT_MASK, here & PREEMPT_MASK);
	for (i = 0; i < NR_SLOTS; i++)
		KUNIT_EXPECT_EQ_MSG(test, cell(p[i]) == KMH_CELL_LIVE, &p[i] == r->dead,
				    "object %u", i);
	kmh_kunit_expect_conserved(test, heap);
	kmheap_free(r->got);
	kmh_kunit_no_reports(test);
	expect_all_back(test);
}

/* Those before it go into the magazine, those behind it, a run, to the span. */
static void bulk_free_of_a_dead_object_in_a_run(struct kunit *test)
{
	void **p = full_spans(test, 1);
	struct reuse r = { .test = test, .dead = &p[3] };

	KUNIT_ASSERT_EQ(test, (unsigned long)p[7] - (unsigned long)p[0], 7UL * BYTES);
	free_remote(test, span(p[3]), slot_of(p[3]));
	bulk_free_with_a_dead_object(test, p, &r);
}

/* The other free comes between the look at the cell and the claim. */
static void bulk_free_of_an_object_that_dies(struct kunit *test)
{
	void **p = full_spans(test, 1);
	struct reuse r = { .test = test, .dead = &p[0] };

	/* The first one is a run of its own, and is claimed. */
	swap(p[1], p[2]);
	kmh_kunit_at(test, "free: before the claim", die_elsewhere, &r);
	bulk_free_with_a_dead_object(test, p, &r);
}

static struct kunit_case bulk_twice_cases[] = {
	KUNIT_CASE(bulk_free_of_a_dead_object_in_a_run),
	KUNIT_CASE(bulk_free_of_an_object_that_dies),
	{ }
};

static struct kunit_suite bulk_twice_suite = {
	.name = "kmheap_bulk_twice",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = bulk_twice_cases,
};

kunit_test_suite(bulk_twice_suite);
