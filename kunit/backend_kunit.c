// SPDX-License-Identifier: GPL-2.0
/* KUnit: areas that are taken page by page: who stops, and how their tables are got. */
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>

#include "kunit_util.h"

/* A killed task gets what it needs to end, and no more: the last pages may be in its reach. */
static void killed_tasks_get_little(struct kunit *test)
{
	void *small, *large, *user;

	allow_signal(SIGKILL);
	send_sig(SIGKILL, current, 1);
	KUNIT_EXPECT_TRUE(test, fatal_signal_pending(current));
	small = kmh_backend_pieces(SZ_256K, GFP_KERNEL, numa_mem_id());
	large = kmh_backend_pieces(SZ_64M, GFP_KERNEL, numa_mem_id());
	user = kmh_backend_user(SZ_1M, PAGE_SIZE, GFP_KERNEL, numa_mem_id());
	flush_signals(current);
	disallow_signal(SIGKILL);
	KUNIT_EXPECT_NOT_NULL(test, small);
	KUNIT_EXPECT_NULL(test, large);
	KUNIT_EXPECT_NULL(test, user);
	vfree(small);
	vfree(large);
	if (user)
		kmh_backend_free_arena(user);
	KUNIT_EXPECT_FALSE(test, fatal_signal_pending(current));
	large = kmh_backend_pieces(SZ_4M, GFP_KERNEL, numa_mem_id());
	KUNIT_EXPECT_NOT_NULL(test, large);
	vfree(large);
}

static void see_flags(void *flags)
{
	*(unsigned int *)flags = current->flags;
}

/* The array of an area's pages is got as the caller says: for one that may reclaim by reclaim. */
static void page_array_may_reclaim(struct kunit *test)
{
	unsigned int flags = PF_MEMALLOC;
	void *p;

	kmh_kunit_at(test, "backend: an array of pages", see_flags, &flags);
	p = kmh_backend_pieces(SZ_8M, GFP_KERNEL, numa_mem_id());
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("backend: an array of pages"));
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, flags & PF_MEMALLOC, 0U);
	vfree(p);
}

static struct kunit_case backend_cases[] = {
	KUNIT_CASE(killed_tasks_get_little),
	KUNIT_CASE(page_array_may_reclaim),
	{ }
};

static struct kunit_suite backend_suite = {
	.name = "kmheap_backend",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = backend_cases,
};

kunit_test_suite(backend_suite);
