// SPDX-License-Identifier: GPL-2.0
/* KUnit: heaps that end, and tombstones: allocations from a heap that has ended. */
#include <linux/string.h>

#include "kunit_util.h"

/* The allocation from @heap, which has ended, was reported once and gave @p, NULL. */
static void expect_ended(struct kunit *test, struct kmheap *heap, void *p)
{
	struct kmh_report r = kmh_kunit_reports(test, KMH_INVALID_FREE, 1);

	KUNIT_EXPECT_NULL(test, p);
	KUNIT_EXPECT_PTR_EQ(test, r.heap, heap);
	KUNIT_EXPECT_STREQ(test, heap->name, "kunit-gone");
	KUNIT_EXPECT_STREQ(test, r.what, "allocation after kmheap_destroy()");
}

static void alloc_after_destroy_in(struct kunit *test, unsigned int flags)
{
	static const size_t sizes[] = { 1, 8, 100, 1024, 32768, 40000, 3 << 20, 64 << 20 };
	struct kmheap *heap = kmh_kunit_ended_heap(test, "kunit-gone", flags);
	struct kmheap_ticket t;
	unsigned int i;
	void *p;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		expect_ended(test, heap, kmheap_alloc(heap, sizes[i], GFP_KERNEL));
		expect_ended(test, heap, kmheap_alloc(heap, sizes[i], GFP_ATOMIC | __GFP_ZERO));
		expect_ended(test, heap, kmheap_alloc_data(heap, sizes[i], GFP_KERNEL));
		expect_ended(test, heap, kmheap_alloc_aligned(heap, sizes[i], 64, GFP_KERNEL));
		expect_ended(test, heap, kmheap_alloc_node(heap, sizes[i], GFP_KERNEL, 0));
		expect_ended(test, heap, kmheap_realloc(heap, NULL, sizes[i], GFP_KERNEL));
		p = NULL;
		KUNIT_EXPECT_EQ(test, kmheap_alloc_bulk(heap, sizes[i], GFP_KERNEL, 1, &p), 0UL);
		expect_ended(test, heap, p);
	}
	expect_ended(test, heap, kmheap_alloc(heap, 56, GFP_KERNEL));
	expect_ended(test, heap, kmheap_alloc_pages(heap, 3, GFP_KERNEL));
	expect_ended(test, heap, kmheap_strdup(heap, "text", GFP_KERNEL));
	if (!(flags & KMHEAP_COLLECTED)) {
		KUNIT_EXPECT_EQ(test, kmheap_prefill(&t, heap, 64, 2, GFP_KERNEL), -ENOMEM);
		expect_ended(test, heap, NULL);
	}
}

static void alloc_after_destroy(struct kunit *test)
{
	alloc_after_destroy_in(test, 0);
	alloc_after_destroy_in(test, KMHEAP_COLLECTED);
	alloc_after_destroy_in(test, KMHEAP_HWCACHE_ALIGN);
}

/* More heaps end than are kept: each one reports allocations for as long as it is kept. */
static void ended_heaps_come_and_go(struct kunit *test)
{
	unsigned int i, kept;
	u64 bytes;

	for (i = 0; i < 20; i++) {
		struct kmheap *heap = kmheap_create("kunit-gone", NULL);

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
		kmheap_destroy(heap);
		expect_ended(test, heap, kmheap_alloc(heap, 100, GFP_KERNEL));
	}
	kept = kmh_tombstone_count(&bytes);
	KUNIT_EXPECT_LT(test, kept, 20U);
	KUNIT_EXPECT_LT(test, bytes, 64ULL << 10);
	kunit_info(test, "%u heaps that have ended take %llu bytes\n", kept, bytes);
}

struct quick_end {
	struct kmheap *heap;
	atomic_t step;			/* 1: the reader is in, 2: it may leave */
	bool late;
};

/* Thread 1 reads for as long as thread 0 ends the heap, so that no grace period ends meanwhile. */
static void quick_end_thread(void *arg, unsigned int i)
{
	struct kmh_kunit_wait wait = kmh_kunit_wait_begin();
	struct quick_end *e = arg;

	if (i == 1) {
		rcu_read_lock();
		atomic_set(&e->step, 1);
		while (atomic_read(&e->step) == 1 && kmh_kunit_spin_more(&wait))
			;
		e->late = atomic_read(&e->step) != 2;
		rcu_read_unlock();
		return;
	}
	while (!atomic_read(&e->step))
		cond_resched();
	kmh_heap_destroy(e->heap, false);
	atomic_set(&e->step, 2);
}

/* Its workers have nothing to do by then. */
static void an_end_waits_for_no_reader(struct kunit *test)
{
	struct quick_end e = { .heap = kmheap_create("kunit-quick", NULL) };

	KUNIT_ASSERT_GE_MSG(test, num_online_cpus(), 2U, "the suites need two CPUs");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, e.heap);
	kmh_kunit_settle(e.heap);
	kmh_kunit_threads(test, 2, quick_end_thread, &e);
	kmh_ended_settle();
	KUNIT_EXPECT_FALSE(test, e.late);
}

/* More heaps end than may wait for a grace period. All have gone when the worker is done. */
static void many_heaps_end_at_once(struct kunit *test)
{
	unsigned int n = 150, i;
	struct kmheap **heap = kunit_kcalloc(test, n, sizeof(*heap), GFP_KERNEL);
	struct kmh_kunit_books before;
	char name[32];

	KUNIT_ASSERT_NOT_NULL(test, heap);
	kmh_kunit_books(test, &before);
	for (i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "kunit-many-%u", i);
		heap[i] = kmheap_create(name, NULL);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap[i]);
	}
	for (i = 0; i < n; i++)
		kmh_heap_destroy(heap[i], false);
	kmh_ended_settle();
	kmh_kunit_same_books(test, &before);
}

static struct kunit_case tombstone_cases[] = {
	KUNIT_CASE(many_heaps_end_at_once),
	KUNIT_CASE(an_end_waits_for_no_reader),
	KUNIT_CASE(alloc_after_destroy),
	KUNIT_CASE(ended_heaps_come_and_go),
	{ }
};

static struct kunit_suite tombstone_suite = {
	.name = "kmheap_tombstone",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = tombstone_cases,
};

kunit_test_suite(tombstone_suite);
