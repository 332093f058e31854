// SPDX-License-Identifier: GPL-2.0
/* KUnit: growth by arenas that are for one object, and what they leave to others. */
#include <linux/sched/mm.h>
#include <linux/sizes.h>

#include "mheap_kunit.h"

/* A run that is free in a dedicated arena is found, though the other pages are a reserve. */
static void dedicated_runs_leave_the_reserve(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-grow", 0);
	struct kmh_mheap *mh = mheap_of(heap);
	unsigned long npages = SZ_32M >> KMH_PAGE_SHIFT, grown;

	KUNIT_ASSERT_EQ(test, kmheap_set_reserve(heap, SZ_1M), 0);
	kmh_kunit_no_worker(heap);
	KUNIT_ASSERT_EQ(test, kmh_mheap_grow_arena(mh, npages, 1, GFP_KERNEL), 0);
	grown = mh->ngrown;
	KUNIT_EXPECT_EQ(test, grow(mh, npages, 1), 0);
	KUNIT_EXPECT_EQ(test, mh->ngrown, grown);
	kmheap_destroy(heap);
}

/* What callers that cannot sleep have missed is missed until there is an arena that has it. */
static void others_demand_stays(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	struct kmh_mheap *mh = mheap_of(heap);
	unsigned int scope;

	WRITE_ONCE(mh->missed_pages, 40);
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow_arena(mh, SZ_32M >> KMH_PAGE_SHIFT, 1, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, mh->missed_pages, 40UL);
	scope = memalloc_noreclaim_save();
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow_arena(mh, 1, 1, GFP_KERNEL), 0);
	memalloc_noreclaim_restore(scope);
	KUNIT_EXPECT_EQ(test, mh->missed_pages, 40UL);
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow_arena(mh, 40, 1, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, mh->missed_pages, 0UL);
}

/* The kernel is not asked for an arena that is longer than a page allocator can tell. */
static void arenas_end_where_ranges_do(struct kunit *test)
{
	static const struct {
		unsigned long npages, align;
	} rows[] = {
		{ KMH_PA_MAX_PAGES + 1, 1 }, { KMH_PA_MAX_PAGES, 2 }, { BIT(32) + 1, 1 },
	};
	struct kmheap *heap = heap_alone_of_areas(test);
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, kmh_mheap_make_own_pa(mheap_of(heap), gfp), 0);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		WRITE_ONCE(kmh_backend_gfps, 0);
		KUNIT_EXPECT_EQ(test, kmh_mheap_grow_arena(mheap_of(heap), rows[i].npages,
							   rows[i].align, gfp), -ENOMEM);
		KUNIT_EXPECT_FALSE_MSG(test, kmh_backend_gfps, "row %u", i);
	}
	/* Of what it is asked for this would be the first. */
	atomic_long_set(&kmh_fail_nth, 1);
	KUNIT_EXPECT_NULL(test, kmh_mheap_grow_user(mheap_of(heap), KMH_PA_MAX_PAGES + 1, gfp));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_fail_nth), 1L);
	atomic_long_set(&kmh_fail_nth, 0);
}

static struct kunit_case grow_cases[] = {
	KUNIT_CASE(dedicated_runs_leave_the_reserve),
	KUNIT_CASE(others_demand_stays),
	KUNIT_CASE(arenas_end_where_ranges_do),
	{ }
};

static struct kunit_suite grow_suite = {
	.name = "kmheap_grow",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = grow_cases,
};

kunit_test_suite(grow_suite);
