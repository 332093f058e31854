// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: allocations inside reclaim, and under scopes that forbid reclaim. The checks here
 * are lockdep's: a report of it fails the run.
 */
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>

#include "kunit_util.h"

/*
 * Allocate objects up to @bytes, for which the heap must grow, or as many as there are to be
 * had.
 */
static unsigned int fill(struct kmheap *heap, void **first, size_t bytes, gfp_t gfp)
{
	static const size_t sizes[] = { 64, 700, 8192, 32768, 100000 };
	unsigned int n = 0;
	size_t got = 0;

	while (got < bytes) {
		void *p = kmheap_alloc(heap, sizes[n % ARRAY_SIZE(sizes)], gfp);

		if (!p)
			break;
		*(void **)p = *first;
		*first = p;
		got += sizes[n++ % ARRAY_SIZE(sizes)];
	}
	return n;
}

static void empty(void **first)
{
	void *p;

	while ((p = *first)) {
		*first = *(void **)p;
		kmheap_free(p);
	}
}

/* A lock that reclaim takes, as it would take a lock of a file system. */
static DEFINE_MUTEX(fs_mutex);

static void reclaim_takes_fs_mutex(void)
{
	fs_reclaim_acquire(GFP_KERNEL);
	mutex_lock(&fs_mutex);
	mutex_unlock(&fs_mutex);
	fs_reclaim_release(GFP_KERNEL);
}

/* The heap grows under GFP_KERNEL and is given back, outside of any scope. */
static void grow_and_shrink(struct kunit *test, struct kmheap *heap)
{
	void *first = NULL;

	KUNIT_EXPECT_GT(test, fill(heap, &first, SZ_4M, GFP_KERNEL), 0U);
	empty(&first);
	kmh_kunit_shrink(heap);
}

/*
 * A caller that holds what reclaim wants must not wait for a grower that may be in reclaim,
 * whether its flags or a scope say so.
 */
static void alloc_under_scope(struct kunit *test, unsigned int (*save)(void),
			      void (*restore)(unsigned int flags))
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int flags;
	void *first = NULL;

	reclaim_takes_fs_mutex();
	grow_and_shrink(test, heap);
	mutex_lock(&fs_mutex);
	flags = save();
	KUNIT_EXPECT_GT(test, fill(heap, &first, SZ_4M, GFP_KERNEL), 0U);
	restore(flags);
	empty(&first);
	mutex_unlock(&fs_mutex);
}

static void alloc_in_nofs_scope(struct kunit *test)
{
	alloc_under_scope(test, memalloc_nofs_save, memalloc_nofs_restore);
}

static void alloc_in_noio_scope(struct kunit *test)
{
	alloc_under_scope(test, memalloc_noio_save, memalloc_noio_restore);
}

static void alloc_nofs_under_fs_mutex(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *first = NULL;

	reclaim_takes_fs_mutex();
	grow_and_shrink(test, heap);
	mutex_lock(&fs_mutex);
	KUNIT_EXPECT_GT(test, fill(heap, &first, SZ_4M, GFP_NOFS), 0U);
	empty(&first);
	mutex_unlock(&fs_mutex);
}

/*
 * The context in which shrinkers are called: they may allocate as reclaim's caller did, and
 * free.
 */
static void alloc_and_free_in_reclaim(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *before = NULL, *first = NULL;
	unsigned int flags, n;

	grow_and_shrink(test, heap);
	KUNIT_ASSERT_GT(test, fill(heap, &before, SZ_1M, GFP_KERNEL), 0U);
	fs_reclaim_acquire(GFP_KERNEL);
	flags = memalloc_noreclaim_save();
	empty(&before);
	n = fill(heap, &first, SZ_4M, GFP_KERNEL);
	empty(&first);
	memalloc_noreclaim_restore(flags);
	fs_reclaim_release(GFP_KERNEL);
	KUNIT_EXPECT_GT(test, n, 0U);
}

static struct kunit_case recursion_cases[] = {
	KUNIT_CASE(alloc_in_nofs_scope),
	KUNIT_CASE(alloc_in_noio_scope),
	KUNIT_CASE(alloc_nofs_under_fs_mutex),
	KUNIT_CASE(alloc_and_free_in_reclaim),
	{ }
};

static struct kunit_suite recursion_suite = {
	.name = "kmheap_recursion",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = recursion_cases,
};

kunit_test_suite(recursion_suite);
