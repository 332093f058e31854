// SPDX-License-Identifier: GPL-2.0
/* KUnit: what a heap asks of the kernel, for whom, and what it does not ask. */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>

#include "mheap_kunit.h"

/* ---- gfp flags */

/* As the table in Documentation/api.rst: does the kernel get to see the flag? */
static const struct {
	const char *name;
	gfp_t flags;
	bool passed;
} gfp_rows[] = {
	{ "IO, FS", __GFP_IO | __GFP_FS, true },
	{ "RECLAIM", __GFP_RECLAIM, true },
	{ "NOWARN", __GFP_NOWARN, true },
	{ "NORETRY", __GFP_NORETRY, true },
	{ "RETRY_MAYFAIL", __GFP_RETRY_MAYFAIL, true },
	{ "NOMEMALLOC", __GFP_NOMEMALLOC, true },
#ifdef CONFIG_LOCKDEP
	{ "NOLOCKDEP", __GFP_NOLOCKDEP, true },
#endif
	{ "NOFAIL", __GFP_NOFAIL, false },
	{ "DMA, DMA32", __GFP_DMA | __GFP_DMA32, false },
	{ "HIGHMEM, MOVABLE", __GFP_HIGHMEM | __GFP_MOVABLE, false },
	{ "RECLAIMABLE", __GFP_RECLAIMABLE, false },
	{ "HIGH", __GFP_HIGH, false },
	{ "MEMALLOC", __GFP_MEMALLOC, false },
	{ "ZERO", __GFP_ZERO, false },
	{ "COMP", __GFP_COMP, false },
	{ "HARDWALL", __GFP_HARDWALL, false },
	{ "WRITE", __GFP_WRITE, false },
	{ "ACCOUNT", __GFP_ACCOUNT, false },
	{ "THISNODE", __GFP_THISNODE, false },	/* with one node; else the page allocator is */
	{ "ZEROTAGS, SKIP_ZERO", __GFP_ZEROTAGS | __GFP_SKIP_ZERO, false },
};

static void every_flag_has_its_row(struct kunit *test)
{
	gfp_t left = __GFP_BITS_MASK;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(gfp_rows); i++) {
		KUNIT_EXPECT_EQ_MSG(test, (__force u32)(left & gfp_rows[i].flags),
				    (__force u32)gfp_rows[i].flags, "%s twice", gfp_rows[i].name);
		KUNIT_EXPECT_EQ_MSG(test, (__force u32)kmh_backend_gfp(gfp_rows[i].flags),
				    gfp_rows[i].passed ? (__force u32)gfp_rows[i].flags : 0,
				    "%s", gfp_rows[i].name);
		left &= ~gfp_rows[i].flags;
	}
	/* What a kernel has besides, as those for KASAN and codetags, goes nowhere. */
	KUNIT_EXPECT_EQ(test, (__force u32)kmh_backend_gfp(left), 0U);
}

/* Whatever is taken from the kernel: arenas of both kinds, tables, chunks, a new map leaf. */
static void take_of_everything(struct kunit *test, gfp_t gfp)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_fixalloc f;
	void *table;

	KUNIT_EXPECT_EQ(test, kmh_mheap_grow(mh, 1, 1, mh->ngrown, gfp), 0);
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow(mh, 20 * SZ_1M / KMH_PAGE_SIZE, 1, mh->ngrown, gfp),
			0);
	kmheap_shrink(heap);
	table = kmh_backend_zalloc(SZ_64K, gfp, NUMA_NO_NODE);
	KUNIT_EXPECT_NOT_NULL(test, table);
	kmh_backend_free(table);
	kmh_fixalloc_init(&f, "gfp", 100, 64);
	KUNIT_EXPECT_EQ(test, kmh_fixalloc_reserve(&f, 1, gfp), 0);
	kmh_fixalloc_destroy(&f);
}

static void flags_reach_the_kernel_as_documented(struct kunit *test)
{
	unsigned int i;

	kmh_kunit_no_worker(kmh_kunit_heap(test));
	for (i = 0; i < ARRAY_SIZE(gfp_rows); i++) {
		gfp_t flags = gfp_rows[i].flags;

		kmh_backend_gfps = 0;
		take_of_everything(test, GFP_KERNEL | flags);
		if (gfp_rows[i].passed)
			KUNIT_EXPECT_EQ_MSG(test, (__force u32)(kmh_backend_gfps & flags),
					    (__force u32)flags, "%s", gfp_rows[i].name);
		else
			KUNIT_EXPECT_EQ_MSG(test, (__force u32)(kmh_backend_gfps & flags), 0U,
					    "%s", gfp_rows[i].name);
	}
}

/* An object comes with each flag that is none of a zone. */
static void flags_do_not_refuse(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, j;
	void *p[60];

	for (i = 0; i < ARRAY_SIZE(gfp_rows); i++) {
		if (gfp_rows[i].flags & (__GFP_NOFAIL | __GFP_DMA | __GFP_DMA32))
			continue;	/* they warn: selftests */
		for (j = 0; j < ARRAY_SIZE(p); j++) {
			p[j] = kmheap_alloc(heap, j % 8 ? 40000 : 24,
					    GFP_KERNEL | gfp_rows[i].flags);
			KUNIT_EXPECT_NOT_NULL_MSG(test, p[j], "%s", gfp_rows[i].name);
		}
		kmheap_free_bulk(ARRAY_SIZE(p), p);
		kmheap_shrink(heap);
	}
}

static struct kunit_case supply_cases[] = {
	KUNIT_CASE(every_flag_has_its_row),
	KUNIT_CASE(flags_reach_the_kernel_as_documented),
	KUNIT_CASE(flags_do_not_refuse),
	{ }
};

static struct kunit_suite supply_suite = {
	.name = "kmheap_supply",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = supply_cases,
};

kunit_test_suite(supply_suite);
