// SPDX-License-Identifier: GPL-2.0
/* KUnit: what gfp and context allow. */
#include <linux/completion.h>
#include <linux/irq_work.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "kunit_util.h"

static void alloc_in_atomic_context(struct kunit *test)
{
	static const size_t sizes[] = { 4, 8, 100, 1024, 5000, 32768, 40000 };
	static const gfp_t gfps[] = { GFP_ATOMIC, GFP_NOWAIT, GFP_ATOMIC | __GFP_ZERO };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, j, nfailed = 0;
	static DEFINE_RAW_SPINLOCK(lock);
	unsigned long flags;
	void *room = kmheap_alloc(heap, 1 << 20, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, room);
	kmheap_free(room);
	raw_spin_lock_irqsave(&lock, flags);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(gfps); j++) {
			void *p = kmheap_alloc(heap, sizes[i], gfps[j]);
			void *d = kmheap_alloc_data(heap, sizes[i], gfps[j]);

			nfailed += !p + !d;
			kmheap_free(p);
			kmheap_free(d);
		}
	}
	raw_spin_unlock_irqrestore(&lock, flags);
	KUNIT_EXPECT_EQ(test, nfailed, 0U);
}

/* A caller that cannot sleep gets what is there and no more; one that can makes the heap grow. */
static void alloc_nowait_does_not_grow(struct kunit *test)
{
	static const gfp_t gfps[] = { GFP_NOWAIT, GFP_ATOMIC, 0 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats before, st;
	void *p, *first = NULL;
	unsigned int i;

	kmh_kunit_no_worker(heap);
	kmheap_stats(heap, &before);
	while ((p = kmheap_alloc(heap, 4096, GFP_NOWAIT))) {
		*(void **)p = first;
		first = p;
	}
	for (i = 0; i < ARRAY_SIZE(gfps); i++) {
		KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 4096, gfps[i]));
		KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 200000, gfps[i]));
		KUNIT_EXPECT_NULL(test, kmheap_alloc_aligned(heap, 32768, 65536, gfps[i]));
	}
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.arenas, before.arenas);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 1 + 3 * (u64)ARRAY_SIZE(gfps));
	p = kmheap_alloc(heap, 4096, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.arenas, before.arenas + 1);
	kmheap_free(p);
	while ((p = first)) {
		first = *(void **)p;
		kmheap_free(p);
	}
}

/*
 * An allocation that could not sleep was refused, but it has woken the worker, which grows
 * the heap.
 */
static void worker_grows_ahead(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p, *first = NULL;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		while ((p = kmheap_alloc(heap, 32768, GFP_NOWAIT))) {
			*(void **)p = first;
			first = p;
			if (atomic_long_read(&heap->arena_bytes) > 8UL << 20)
				break;
		}
		kmh_kunit_settle(heap);
		p = kmheap_alloc(heap, 32768, GFP_NOWAIT);
		KUNIT_ASSERT_NOT_NULL(test, p);
		kmheap_free(p);
	}
	while ((p = first)) {
		first = *(void **)p;
		kmheap_free(p);
	}
}

struct hardirq_client {
	struct irq_work work;
	struct completion done;
	struct kmheap *heap;
	void *old;
	void *p[6];
	void *refused;
	bool was_hardirq;
};

static void hardirq_client(struct irq_work *work)
{
	struct hardirq_client *h = container_of(work, struct hardirq_client, work);

	h->was_hardirq = in_hardirq();
	kmheap_free(h->old);
	h->p[0] = kmheap_alloc(h->heap, 100, GFP_ATOMIC);
	h->p[1] = kmheap_alloc(h->heap, 5000, GFP_ATOMIC | __GFP_ZERO);
	h->p[2] = kmheap_alloc_data(h->heap, 4, GFP_ATOMIC);
	h->p[3] = kmheap_alloc_data(h->heap, 100, GFP_NOWAIT);
	h->p[4] = kmheap_alloc(h->heap, 40000, GFP_ATOMIC);
	h->p[5] = kmheap_alloc_aligned(h->heap, 500, 512, GFP_ATOMIC);
	h->refused = kmheap_alloc(h->heap, 64 << 20, GFP_ATOMIC);
	kmheap_free(h->p[1]);
	h->p[1] = NULL;
	complete(&h->done);
}

static void alloc_and_free_in_hardirq(struct kunit *test)
{
	struct hardirq_client h = {
		.work = IRQ_WORK_INIT_HARD(hardirq_client), .heap = kmh_kunit_heap(test),
	};
	struct kmheap_stats st;
	unsigned int i;
	void *room = kmheap_alloc(h.heap, 1 << 20, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, room);
	kmheap_free(room);
	h.old = kmheap_alloc(h.heap, 64, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, h.old);
	init_completion(&h.done);
	irq_work_queue(&h.work);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_wait_for(test, completion_done(&h.done)));
	irq_work_sync(&h.work);
	KUNIT_EXPECT_TRUE(test, h.was_hardirq);
	KUNIT_EXPECT_EQ(test, kmh_live_bytes(h.old), 0UL);
	KUNIT_EXPECT_NULL(test, h.refused);
	for (i = 0; i < ARRAY_SIZE(h.p); i++) {
		if (i == 1)
			continue;
		KUNIT_ASSERT_NOT_NULL_MSG(test, h.p[i], "%u", i);
		kmh_kunit_fill(h.p[i]);
	}
	kmheap_free_bulk(ARRAY_SIZE(h.p), h.p);
	kmh_kunit_balanced(test, h.heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 1ULL);
}

static struct kunit_case context_cases[] = {
	KUNIT_CASE(alloc_in_atomic_context),
	KUNIT_CASE(alloc_nowait_does_not_grow),
	KUNIT_CASE(worker_grows_ahead),
	KUNIT_CASE(alloc_and_free_in_hardirq),
	{ }
};

static struct kunit_suite context_suite = {
	.name = "kmheap_context",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = context_cases,
};

kunit_test_suite(context_suite);
