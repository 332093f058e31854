// SPDX-License-Identifier: GPL-2.0
/* KUnit: tickets. (Taking more than was reserved is for test_misuse, because it warns.) */
#include <linux/completion.h>
#include <linux/irq_work.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "kunit_util.h"

#define N	70U	/* more than two batches */

static const size_t sizes[] = { 1, 4, 7, 8, 24, 100, 1024, 4096, 32768, 40000, 100000 };

static u64 live_objects(struct kunit *test, struct kmheap *heap)
{
	struct kmheap_stats st;

	kmh_kunit_balanced(test, heap, &st);
	return st.live_objects;
}

/* So many objects that every batch ends in the middle of a span or a word. */
static void take_gives_what_was_reserved(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_ticket t;
	unsigned int i, j;
	void *p[N];

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t bytes = sizes[i] > KMHEAP_MAX_SMALL ? sizes[i] :
							     kmh_kunit_class_bytes(sizes[i]);

		KUNIT_ASSERT_EQ(test, kmheap_prefill(&t, heap, sizes[i], N, GFP_KERNEL), 0);
		KUNIT_EXPECT_EQ(test, live_objects(test, heap), (u64)N);
		for (j = 0; j < N; j++) {
			p[j] = kmheap_take(&t);
			KUNIT_ASSERT_NOT_NULL(test, p[j]);
			if (sizes[i] <= KMHEAP_MAX_SMALL)
				KUNIT_ASSERT_EQ(test, kmheap_size(p[j]), bytes);
			kmh_kunit_fill(p[j]);
		}
		KUNIT_EXPECT_EQ(test, t.left, 0UL);
		KUNIT_EXPECT_NULL(test, t.next);
		for (j = 0; j < N; j++)
			KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p[j]));
		for (j = 0; j < N; j++)
			kmheap_free_sized(p[j], sizes[i]);
		KUNIT_EXPECT_EQ(test, live_objects(test, heap), 0ULL);
	}
}

static void end_gives_back_the_rest(struct kunit *test)
{
	static const unsigned int taken[] = { 0, 1, 31, 32, 33, N - 1, N };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_ticket t = KMHEAP_TICKET_INIT;
	unsigned int i, j;
	void *p[N];

	kmheap_ticket_end(&t);
	for (i = 0; i < ARRAY_SIZE(taken); i++) {
		KUNIT_ASSERT_EQ(test, kmheap_prefill(&t, heap, 200, N, GFP_KERNEL), 0);
		for (j = 0; j < taken[i]; j++)
			p[j] = kmheap_take(&t);
		kmheap_ticket_end(&t);
		KUNIT_EXPECT_EQ(test, live_objects(test, heap), (u64)taken[i]);
		kmheap_ticket_end(&t);	/* the ticket is empty */
		kmheap_free_bulk(taken[i], p);
		KUNIT_EXPECT_EQ(test, live_objects(test, heap), 0ULL);
	}
}

/* Write to objects that the next ones reuse. */
static void soil(struct kunit *test, struct kmheap *heap, size_t bytes)
{
	void *p[N];
	unsigned int i;

	KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, bytes, GFP_KERNEL, N, p), (size_t)N);
	for (i = 0; i < N; i++)
		memset(p[i], 0xff, kmheap_size(p[i]));
	kmheap_free_bulk(N, p);
}

static void zeroed_when_asked_for(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_ticket t;
	unsigned int i, j;
	u8 *p;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t bytes = max(sizes[i], sizeof(void *));

		soil(test, heap, bytes);
		KUNIT_ASSERT_EQ(test, kmheap_prefill(&t, heap, sizes[i], N,
						     GFP_KERNEL | __GFP_ZERO), 0);
		for (j = 0; j < N; j++) {
			p = kmheap_take(&t);
			KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, kmheap_size(p)));
			kmheap_free(p);
		}
		/* Even without __GFP_ZERO an object taken holds no address of a neighbour. */
		soil(test, heap, bytes);
		KUNIT_ASSERT_EQ(test, kmheap_prefill(&t, heap, sizes[i], N, GFP_KERNEL), 0);
		for (j = 0; j < N; j++) {
			p = kmheap_take(&t);
			KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, sizeof(void *)));
			kmheap_free(p);
		}
	}
}

static void absurd_requests_are_refused(struct kunit *test)
{
	static const struct {
		size_t size, n;
	} rows[] = {
		{ 0, 0 }, { 0, 1 }, { 1, SIZE_MAX }, { SIZE_MAX, 1 }, { SIZE_MAX, SIZE_MAX },
		{ 8, SIZE_MAX / 8 }, { 8, SIZE_MAX / 16 }, { SIZE_MAX / 2, 3 }, { 1UL << 46, 1 },
	};
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;
	struct kmheap_ticket t;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		t = (struct kmheap_ticket){ .next = &t, .left = 1 };
		KUNIT_EXPECT_EQ_MSG(test, kmheap_prefill(&t, heap, rows[i].size, rows[i].n,
							 GFP_KERNEL), -EINVAL, "row %u", i);
		KUNIT_EXPECT_EQ(test, t.left, 0UL);
		kmheap_ticket_end(&t);
	}
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.allocs, 0ULL);
	KUNIT_EXPECT_EQ(test, kmheap_prefill(&t, heap, 100, 0, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, t.left, 0UL);
	kmheap_ticket_end(&t);

	heap = kmheap_create("collected", &attr);
	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	KUNIT_EXPECT_EQ(test, kmheap_prefill(&t, heap, 100, 1, GFP_KERNEL), -EINVAL);
	kmheap_destroy(heap);
}

/* The memory that the objects take counts, not the bytes asked for. */
static void more_than_the_machine_has_is_refused_at_once(struct kunit *test)
{
	static const struct {
		size_t size, takes;
	} rows[] = {
		{ 8, 8 }, { 1, 8 }, { 4, 8 }, { 33, 48 }, { 2049, 2304 }, { 28673, 32768 },
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	size_t all = (size_t)totalram_pages() << PAGE_SHIFT;
	struct kmheap_stats st;
	struct kmheap_ticket t;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, kmheap_set_limit(heap, 32UL << 20), 0);	/* so that the case ends */
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		KUNIT_EXPECT_EQ_MSG(test, kmheap_prefill(&t, heap, rows[i].size,
							 all / rows[i].takes + 1,
							 GFP_KERNEL | __GFP_NOWARN),
				    -EINVAL, "row %u", i);
		KUNIT_EXPECT_EQ(test, t.left, 0UL);
	}
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.allocs, 0ULL);
}

/* A caller that cannot sleep gets all objects or none. */
static void too_much_gives_everything_back(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_ticket t;
	struct kmheap_stats st;
	unsigned int i;

	kmh_kunit_no_worker(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t n = SZ_4M / max_t(size_t, sizes[i], 8);

		KUNIT_EXPECT_EQ(test, kmheap_prefill(&t, heap, sizes[i], n, GFP_NOWAIT), -ENOMEM);
		KUNIT_EXPECT_EQ(test, t.left, 0UL);
		KUNIT_EXPECT_NULL(test, t.next);
		kmh_kunit_balanced(test, heap, &st);
		KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
		KUNIT_EXPECT_EQ(test, st.refused_allocs, i + 1ULL);
		KUNIT_EXPECT_EQ(test, st.arenas, 1ULL);
		kmh_kunit_shrink(heap);	/* else one class has all the pages */
		kmheap_free(kmheap_alloc(heap, 8, GFP_KERNEL));
	}
}

static void every_step_of_prefill_fails_once(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_ticket t;
	long nth, before;
	int err;

	kmh_kunit_no_worker(heap);
	for (nth = 1; nth <= 50; nth++) {
		kmh_kunit_shrink(heap);
		before = atomic_long_read(&kmh_failures_injected);
		atomic_long_set(&kmh_fail_nth, nth);
		err = kmheap_prefill(&t, heap, 5000, 400, GFP_KERNEL);
		atomic_long_set(&kmh_fail_nth, 0);
		KUNIT_EXPECT_EQ(test, live_objects(test, heap), err ? 0ULL : 400ULL);
		KUNIT_EXPECT_EQ(test, t.left, err ? 0UL : 400UL);
		kmheap_ticket_end(&t);
		if (atomic_long_read(&kmh_failures_injected) == before)
			break;
	}
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_GT(test, nth, 3L);
	KUNIT_EXPECT_LT(test, nth, 50L);
}

struct taker {
	struct irq_work work;
	struct completion done;
	struct kmheap_ticket t;
	void *p[N];
	unsigned int n;
	bool was_hardirq;
};

static void take_half(struct irq_work *work)
{
	struct taker *taker = container_of(work, struct taker, work);

	taker->was_hardirq = in_hardirq();
	while (taker->n < N / 2)
		taker->p[taker->n++] = kmheap_take(&taker->t);
	kmheap_ticket_end(&taker->t);
	complete(&taker->done);
}

static void take_and_end_in_hardirq(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct taker *taker = kunit_kzalloc(test, sizeof(*taker), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, taker);
	taker->work = IRQ_WORK_INIT_HARD(take_half);
	init_completion(&taker->done);
	KUNIT_ASSERT_EQ(test, kmheap_prefill(&taker->t, heap, 600, N, GFP_KERNEL), 0);
	irq_work_queue(&taker->work);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_wait_for(test, completion_done(&taker->done)));
	irq_work_sync(&taker->work);
	KUNIT_EXPECT_TRUE(test, taker->was_hardirq);
	KUNIT_EXPECT_EQ(test, live_objects(test, heap), N / 2ULL);
	kmheap_free_bulk(taker->n, taker->p);
}

/* The heap has nothing left, but the objects in the ticket are there. */
static void take_with_a_raw_lock_and_no_memory(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	static DEFINE_RAW_SPINLOCK(lock);
	void *p, *first = NULL, *taken[N];
	struct kmheap_ticket t;
	unsigned long flags;
	unsigned int i;

	kmh_kunit_no_worker(heap);
	KUNIT_ASSERT_EQ(test, kmheap_prefill(&t, heap, 300, N, GFP_KERNEL), 0);
	while ((p = kmheap_alloc(heap, 300, GFP_NOWAIT))) {
		*(void **)p = first;
		first = p;
	}
	raw_spin_lock_irqsave(&lock, flags);
	for (i = 0; i < N; i++)
		taken[i] = kmheap_take(&t);
	raw_spin_unlock_irqrestore(&lock, flags);
	for (i = 0; i < N; i++)
		KUNIT_EXPECT_NOT_NULL(test, taken[i]);
	kmheap_free_bulk(N, taken);
	while ((p = first)) {
		first = *(void **)p;
		kmheap_free(p);
	}
}

static void scope_ends_the_ticket(struct kunit *test)
{
#ifdef DEFINE_FREE
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p;

	{
		struct kmheap_ticket t __free(kmheap_ticket) = KMHEAP_TICKET_INIT;

		KUNIT_ASSERT_EQ(test, kmheap_prefill(&t, heap, 64, N, GFP_KERNEL), 0);
		p = kmheap_take(&t);
		KUNIT_EXPECT_EQ(test, live_objects(test, heap), (u64)N);
	}
	KUNIT_EXPECT_EQ(test, live_objects(test, heap), 1ULL);
	kmheap_free(p);
#else
	kunit_skip(test, "no <linux/cleanup.h>");
#endif
}

static struct kunit_case ticket_cases[] = {
	KUNIT_CASE(take_gives_what_was_reserved),
	KUNIT_CASE(end_gives_back_the_rest),
	KUNIT_CASE(zeroed_when_asked_for),
	KUNIT_CASE(absurd_requests_are_refused),
	KUNIT_CASE(more_than_the_machine_has_is_refused_at_once),
	KUNIT_CASE(too_much_gives_everything_back),
	KUNIT_CASE(every_step_of_prefill_fails_once),
	KUNIT_CASE(take_and_end_in_hardirq),
	KUNIT_CASE(take_with_a_raw_lock_and_no_memory),
	KUNIT_CASE(scope_ends_the_ticket),
	{ }
};

static struct kunit_suite ticket_suite = {
	.name = "kmheap_ticket",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = ticket_cases,
};

kunit_test_suite(ticket_suite);
