// SPDX-License-Identifier: GPL-2.0
/* KUnit: the reserves: what is kept for callers that cannot sleep. */
#include <linux/completion.h>
#include <linux/irq_work.h>
#include <linux/preempt.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "mheap_kunit.h"

static struct kmheap_stats stats_of(struct kmheap *heap)
{
	struct kmheap_stats st;

	kmheap_stats(heap, &st);
	return st;
}

/* ---- the depth of a reserve */

static bool draw(struct kmh_mheap *mh, unsigned long npages, bool served)
{
	unsigned long flags;
	bool kick;

	raw_spin_lock_irqsave(&mh->lock, flags);
	kick = kmh_reserve_draw_locked(mh, npages, served);
	raw_spin_unlock_irqrestore(&mh->lock, flags);
	return kick;
}

static void depth_follows_what_is_drawn(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	struct kmh_reserve *r = &mh->reserve;

	kmh_kunit_settle(mh->heap);
	mh->low_pages = 16;
	KUNIT_EXPECT_FALSE(test, draw(mh, 4, true));	/* a quarter of the reserve */
	KUNIT_EXPECT_TRUE(test, draw(mh, 4, true));	/* half of it: refill, but no deeper */
	KUNIT_EXPECT_EQ(test, r->pages, 0UL);
	KUNIT_EXPECT_TRUE(test, draw(mh, 2, true));	/* more than half: deeper */
	KUNIT_EXPECT_EQ(test, r->pages, 2 * 10 - 16UL);
	KUNIT_EXPECT_TRUE(test, draw(mh, 30, true));
	KUNIT_EXPECT_EQ(test, r->pages, 2 * 40 - 16UL);
	kmh_reserve_refilled(mh, r->drawn - 8);
	KUNIT_EXPECT_EQ(test, r->drawn, 8UL);	/* the worker had not seen them */
	kmh_reserve_refilled(mh, r->drawn);
	KUNIT_EXPECT_EQ(test, r->drawn, 0UL);
	KUNIT_EXPECT_FALSE(test, draw(mh, 20, true));	/* 80 are in reserve */
	KUNIT_EXPECT_EQ(test, r->pages, 64UL);
	KUNIT_EXPECT_TRUE(test, draw(mh, 1, false));	/* a refusal doubles the depth */
	KUNIT_EXPECT_EQ(test, r->pages, 2 * 80 - 16UL);
	KUNIT_EXPECT_TRUE(test, draw(mh, 1, false));	/* once for each refill */
	KUNIT_EXPECT_EQ(test, r->pages, 144UL);
	KUNIT_EXPECT_EQ(test, r->peak, 144UL);
	kmh_reserve_refilled(mh, r->drawn);
	KUNIT_EXPECT_TRUE(test, draw(mh, 1, false));
	KUNIT_EXPECT_EQ(test, r->pages, 2 * 160 - 16UL);
}

static void depth_is_bounded(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "reserve-limit", SZ_8M);
	unsigned long kib = READ_ONCE(kmh_reserve_max_kib);
	struct kmh_mheap *mh = mheap_of(heap);

	kmh_kunit_settle(heap);
	draw(mh, 100000, false);
	KUNIT_EXPECT_EQ(test, mh->reserve.pages, SZ_1M / KMH_PAGE_SIZE);	/* limit / 8 */
	WRITE_ONCE(kmh_reserve_max_kib, 256);
	kmh_reserve_decay(mh);
	KUNIT_EXPECT_EQ(test, mh->reserve.pages, SZ_256K / KMH_PAGE_SIZE);
	WRITE_ONCE(kmh_reserve_max_kib, 0);
	KUNIT_EXPECT_FALSE(test, kmh_reserve_decay(mh));
	draw(mh, 100000, false);
	KUNIT_EXPECT_EQ(test, mh->reserve.pages, 0UL);
	WRITE_ONCE(kmh_reserve_max_kib, kib);
	kmheap_destroy(heap);
}

static void depth_decays(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	struct kmh_reserve *r = &mh->reserve;

	kmh_kunit_settle(mh->heap);
	r->pages = 100;
	r->used = jiffies;
	KUNIT_EXPECT_TRUE(test, kmh_reserve_decay(mh));
	KUNIT_EXPECT_EQ(test, r->pages, 100UL);
	r->used = jiffies - 3600 * HZ;
	KUNIT_EXPECT_TRUE(test, kmh_reserve_decay(mh));
	KUNIT_EXPECT_EQ(test, r->pages, 50UL);
	while (kmh_reserve_decay(mh))
		;
	KUNIT_EXPECT_EQ(test, r->pages, 0UL);
}

/* ---- the worker, when the kernel has little memory left */

static void draw_some(void *mh)
{
	draw(mh, 2, true);
}

static void run_worker(struct kmh_mheap *mh)
{
	irq_work_queue(&mh->kick);
	kmh_kunit_settle(mh->heap);
}

static void memory_is_enough(void *unused)
{
	WRITE_ONCE(kmh_backend_short, false);
}

/* Nothing was drawn, so that the worker brings nothing; it does not pause as if it could not. */
static void no_demand_is_no_failure(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	unsigned long grown;

	kmh_kunit_settle(mh->heap);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, memory_is_enough, NULL), 0);
	WRITE_ONCE(kmh_backend_short, true);
	mh->reserve.drawn = 0;
	mh->reserve.pages = mh->pa.npages;	/* so that pages are missing */
	mh->ahead_after = jiffies;
	grown = mh->ngrown;
	run_worker(mh);
	KUNIT_EXPECT_EQ(test, mh->ngrown, grown);
	KUNIT_EXPECT_FALSE(test, time_after(mh->ahead_after, jiffies));
	/* Who draws is heard at once. */
	KUNIT_EXPECT_TRUE(test, draw(mh, mh->reserve.pages, false));
	run_worker(mh);
	KUNIT_EXPECT_GT(test, mh->ngrown, grown);
}

static void nothing(void *unused)
{
}

/* Who can sleep does not wake the worker again and again while it would bring nothing. */
static void who_can_sleep_is_not_heard_then(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	unsigned long start = jiffies;

	kmh_kunit_settle(mh->heap);
	KUNIT_ASSERT_EQ(test, kunit_add_action_or_reset(test, memory_is_enough, NULL), 0);
	WRITE_ONCE(kmh_backend_short, true);
	mh->reserve.drawn = 0;
	run_worker(mh);
	KUNIT_EXPECT_TRUE(test, time_after(mh->low_after, start));
	mh->low_after = jiffies + 1000 * HZ;
	kmh_kunit_at_any(test, "grow: the reserve is refilled", nothing, NULL);
	kmh_mheap_kick(mh, false);
	kmh_kunit_settle(mh->heap);
	KUNIT_EXPECT_FALSE(test, kmh_kunit_passed("grow: the reserve is refilled"));
	kmh_mheap_kick(mh, true);
	kmh_kunit_settle(mh->heap);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("grow: the reserve is refilled"));
}

/* What is drawn while the worker runs is there for its next run. */
static void draw_during_a_refill_counts(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);

	kmh_kunit_settle(mh->heap);
	draw(mh, 8, true);
	kmh_kunit_at_any(test, "grow: the reserve is refilled", draw_some, mh);
	run_worker(mh);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("grow: the reserve is refilled"));
	KUNIT_EXPECT_EQ(test, mh->reserve.drawn, 2UL);
	run_worker(mh);
	KUNIT_EXPECT_EQ(test, mh->reserve.drawn, 0UL);
}

/* ---- callers */

static void who_can_sleep_leaves_it_alone(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s, *spans = NULL;
	unsigned long keep;

	kmh_kunit_no_worker(heap);
	keep = mh->pa.nfree / 2;
	mh->reserve.pages = keep;
	while ((s = alloc_span(mh, SPANCLASS, 1, 1, NULL))) {
		s->dead = spans;
		spans = s;
	}
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, keep);
	preempt_disable();
	s = kmh_mheap_alloc_span(mh, NULL, SPANCLASS, 1, 1, true, NULL);
	preempt_enable();
	KUNIT_EXPECT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, keep - 1);
	if (s) {
		s->dead = spans;
		spans = s;
	}
	/* Pages are free, but not for a caller that can sleep. */
	KUNIT_EXPECT_EQ(test, grow(mh, 1, 1), 0);
	KUNIT_EXPECT_EQ(test, narenas(heap), 2U);
	KUNIT_EXPECT_EQ(test, grow(mh, 1, 1), 0);
	KUNIT_EXPECT_EQ(test, narenas(heap), 2U);
	while ((s = spans)) {
		spans = s->dead;
		kmh_mheap_free_span(s);
	}
}

#define BURST	48U

struct burst {
	struct kmheap *heap;
	unsigned int nrefused;
	void *p[BURST];
};

static void burst(struct burst *b)
{
	static const size_t sizes[] = { 8, 200, 4096, 32768, 65536, 1024, 16384, 50000 };
	unsigned int i;

	for (i = 0; i < BURST; i++) {
		b->p[i] = kmheap_alloc(b->heap, sizes[i % ARRAY_SIZE(sizes)], GFP_ATOMIC);
		b->nrefused += !b->p[i];
	}
}

/* How many objects a caller that cannot sleep gets from @heap, while no worker comes. */
static unsigned int got_at_once(struct kmheap *heap)
{
	unsigned int n = 0;
	void *p, *head = NULL;

	while ((p = kmheap_alloc(heap, 4096, GFP_ATOMIC))) {
		*(void **)p = head;
		head = p;
		n++;
	}
	while ((p = head)) {
		head = *(void **)p;
		kmheap_free(p);
	}
	return n;
}

/* A heap that has been shrunk serves such callers from the first one on, as a new heap does. */
static void shrunk_heap_is_as_a_new_one(struct kunit *test)
{
	static const enum kmh_backing backings[] = { KMH_BACKING_AUTO, KMH_BACKING_AREA };
	unsigned int i, fresh, shrunk;
	struct kmheap *heap;
	void **p;

	for (i = 0; i < ARRAY_SIZE(backings); i++) {
		WRITE_ONCE(kmh_backing_default, backings[i]);
		heap = heap_new(test, "reserve-shrunk", 0);
		kmh_kunit_no_worker(heap);
		fresh = got_at_once(heap);
		KUNIT_EXPECT_GE(test, fresh, kmh_heap_first_bytes(heap) / 4096 - 8);
		kmheap_shrink(heap);
		KUNIT_EXPECT_GE(test, got_at_once(heap), fresh);
		/* Also when it has grown, and when something of it is in use. */
		p = load_objects(test, heap, 32768, SZ_16M / 32768);
		kmheap_free_bulk(SZ_16M / 32768 - 1, p + 1);
		kmheap_shrink(heap);
		shrunk = got_at_once(heap);
		KUNIT_EXPECT_GE_MSG(test, shrunk, fresh - 8, "of %s",
				    i ? "areas" : "blocks");	/* other spans are begun */
		kmheap_free(p[0]);
		kmheap_shrink(heap);
		KUNIT_EXPECT_EQ(test, kmheap_shrink(heap), 0UL);
		if (heap->backing == KMH_BACKING_AUTO)
			KUNIT_EXPECT_LE(test, arena_bytes(heap), kmh_heap_first_bytes(heap));
		KUNIT_EXPECT_LE(test, mheap_of(heap)->low_pages,
				kmh_arena_low_pages(kmh_mheap_first_pages(mheap_of(heap))));
		KUNIT_EXPECT_EQ(test, mheap_of(heap)->reserve.pages, 0UL);
		KUNIT_EXPECT_GE(test, got_at_once(heap), fresh);
		kmheap_destroy(heap);
	}
}

/* Bursts of about 1 MiB, after each of which the worker refills the reserve. */
static void bursts_are_served_when_the_depth_is_found(struct kunit *test)
{
	struct burst *b = kunit_kzalloc(test, sizeof(*b), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int round, first = 0;
	struct kmheap_stats st;
	unsigned long flags;

	KUNIT_ASSERT_NOT_NULL(test, b);
	b->heap = heap;
	for (round = 0; round < 60; round++) {
		local_irq_save(flags);
		burst(b);
		local_irq_restore(flags);
		if (round < 20)
			first = b->nrefused;
		kmh_kunit_settle(heap);
		st = stats_of(heap);
		if (round >= 20)
			KUNIT_EXPECT_EQ(test, st.reserve_missing_bytes, 0ULL);
		kmheap_free_bulk(BURST, b->p);
		if (round % 4 == 3)
			kmh_mheap_drain_lists(mheap(test));
	}
	KUNIT_EXPECT_GT(test, first, 0U);	/* the reserve starts at 256 KiB */
	KUNIT_EXPECT_EQ(test, b->nrefused, first);
	KUNIT_EXPECT_GT(test, st.reserve_bytes, 0ULL);
	KUNIT_EXPECT_GE(test, st.reserve_peak_bytes, st.reserve_bytes);
	KUNIT_EXPECT_EQ(test, st.reserve_refused_task, (u64)first);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, (u64)first);
	KUNIT_EXPECT_GT(test, st.reserve_served_task, 0ULL);
	KUNIT_EXPECT_EQ(test, st.reserve_served_hardirq + st.reserve_refused_hardirq, 0ULL);
}

struct irq_client {
	struct irq_work work;
	struct completion done;
	struct burst b;
};

static void irq_client(struct irq_work *work)
{
	struct irq_client *c = container_of(work, struct irq_client, work);

	burst(&c->b);
	complete(&c->done);
}

static void contexts_are_told_apart(struct kunit *test)
{
	struct irq_client *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;

	KUNIT_ASSERT_NOT_NULL(test, c);
	kmh_kunit_no_worker(heap);
	c->work = IRQ_WORK_INIT_HARD(irq_client);
	c->b.heap = heap;
	init_completion(&c->done);
	irq_work_queue(&c->work);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_wait_for(test, completion_done(&c->done)));
	irq_work_sync(&c->work);
	st = stats_of(heap);
	KUNIT_EXPECT_GT(test, c->b.nrefused, 0U);
	KUNIT_EXPECT_EQ(test, st.reserve_refused_hardirq, (u64)c->b.nrefused);
	KUNIT_EXPECT_GT(test, st.reserve_served_hardirq, 0ULL);
	KUNIT_EXPECT_EQ(test, st.reserve_refused_task + st.reserve_refused_softirq +
			      st.reserve_refused_nmi, 0ULL);
	KUNIT_EXPECT_EQ(test, st.reserve_served_task + st.reserve_served_softirq +
			      st.reserve_served_nmi, 0ULL);
	kmheap_free_bulk(BURST, c->b.p);
}

/* A caller that can sleep is served first. */
static void who_can_sleep_is_not_counted(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats before, st;
	void *p[64];
	unsigned int i;

	kmheap_free(kmheap_alloc(heap, 64, GFP_ATOMIC));
	before = stats_of(heap);
	KUNIT_EXPECT_EQ(test, before.reserve_served_task, 1ULL);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = kmheap_alloc(heap, 8192, GFP_KERNEL);
	st = stats_of(heap);
	KUNIT_EXPECT_EQ(test, st.reserve_served_task, before.reserve_served_task);
	KUNIT_EXPECT_GT(test, st.spans, before.spans);
	kmheap_free_bulk(ARRAY_SIZE(p), p);
}

/* ---- NMI */

/* Allocate as an NMI would that has interrupted the holder of every lock. */
static void *alloc_in_nmi(struct kmheap *heap, size_t bytes)
{
	struct kmh_node *node = kmh_heap_node(heap, numa_node_id());
	unsigned int spanclass = KMH_SPANCLASS_LARGE;
	unsigned long flags;
	void *p;

	if (bytes <= KMHEAP_MAX_SMALL)
		spanclass = kmh_spanclass(kmh_size_to_class(bytes), false);
	raw_spin_lock_irqsave(&kmh_mcentral_of(node, spanclass)->lock, flags);
	raw_spin_lock(&node->mheap.lock);
	WRITE_ONCE(this_cpu_ptr(heap->mcache)->busy, 1);
	__preempt_count_add(NMI_OFFSET);
	p = kmheap_alloc(heap, bytes, GFP_ATOMIC | __GFP_ZERO);
	__preempt_count_sub(NMI_OFFSET);
	WRITE_ONCE(this_cpu_ptr(heap->mcache)->busy, 0);
	raw_spin_unlock(&node->mheap.lock);
	raw_spin_unlock_irqrestore(&kmh_mcentral_of(node, spanclass)->lock, flags);
	return p;
}

static void nmi_without_a_lock(struct kunit *test, size_t bytes)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats before = stats_of(heap), st;
	unsigned int n, round, refused = 1;
	void *p[64];

	KUNIT_EXPECT_NULL(test, alloc_in_nmi(heap, bytes));	/* none asked before */
	for (round = 0; round < 3; round++) {
		kmh_kunit_balanced(test, heap, &st);
		KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
		KUNIT_EXPECT_EQ(test, st.reserve_missing_bytes, 0ULL);
		for (n = 0; n < ARRAY_SIZE(p); n++) {
			p[n] = alloc_in_nmi(heap, bytes);
			refused += !p[n];
			if (!p[n])
				break;
			KUNIT_EXPECT_EQ(test, kmheap_size(p[n]), kmh_kunit_class_bytes(bytes));
			KUNIT_EXPECT_NULL(test, memchr_inv(p[n], 0, bytes));
			kmh_kunit_fill(p[n]);
		}
		KUNIT_EXPECT_GE(test, n, 4U);	/* more, if the worker has come meanwhile */
		kmh_kunit_balanced(test, heap, &st);
		KUNIT_EXPECT_EQ(test, st.live_objects, (u64)n);
		while (n)
			kmheap_free_sized(p[--n], bytes);
	}
	st = stats_of(heap);
	KUNIT_EXPECT_EQ(test, st.reserve_refused_nmi, before.reserve_refused_nmi + refused);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, before.refused_allocs + refused);
	KUNIT_EXPECT_GE(test, st.reserve_served_nmi, before.reserve_served_nmi + 12);
	kmh_kunit_shrink(heap);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_FALSE(test, kmh_nmi_in_use(heap));
}

static void nmi_takes_from_the_shelf(struct kunit *test)
{
	static const size_t sizes[] = { 8, 100, 1024, 8192, 32768, 40960, 65536 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		nmi_without_a_lock(test, sizes[i]);
}

/* A size that would wrap if it were rounded up, such as a negative error number. */
static void nmi_gets_no_size_that_wraps(struct kunit *test)
{
	static const size_t sizes[] = { SIZE_MAX, -EINVAL, SIZE_MAX - KMH_PAGE_SIZE + 2 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, round;
	struct kmheap_stats st;
	void *p;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (round = 0; round < 2; round++) {
			preempt_disable();
			__preempt_count_add(NMI_OFFSET);
			p = kmheap_alloc(heap, sizes[i], GFP_ATOMIC | __GFP_NOWARN);
			__preempt_count_sub(NMI_OFFSET);
			preempt_enable();
			KUNIT_EXPECT_NULL_MSG(test, p, "%#zx bytes", sizes[i]);
			kmh_kunit_settle(heap);	/* what was asked for is there now */
		}
		KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, sizes[i], GFP_KERNEL | __GFP_NOWARN));
		KUNIT_EXPECT_NULL(test, kmheap_alloc_data(heap, sizes[i],
							  GFP_KERNEL | __GFP_NOWARN));
		KUNIT_EXPECT_NULL(test, kmheap_alloc_aligned(heap, sizes[i], 64,
							     GFP_KERNEL | __GFP_NOWARN));
		KUNIT_EXPECT_NULL(test, kmheap_alloc_node(heap, sizes[i],
							  GFP_KERNEL | __GFP_NOWARN, 0));
		KUNIT_EXPECT_NULL(test, kmheap_alloc_pages(heap, sizes[i],
							   GFP_KERNEL | __GFP_NOWARN));
	}
	KUNIT_EXPECT_FALSE(test, kmh_nmi_in_use(heap));
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
}

/* Objects on the shelves that no NMI took go with the heap, and are no leak. */
static void shelves_go_with_the_heap(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "shelves", 0);
	struct kmheap_stats st;

	KUNIT_EXPECT_NULL(test, alloc_in_nmi(heap, 100));
	KUNIT_EXPECT_NULL(test, alloc_in_nmi(heap, 40000));
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_TRUE(test, kmh_nmi_in_use(heap));
	kmheap_destroy(heap);
}

/* A run of the worker that comes after the shelves were stopped does not wind up their clock. */
static void clock_of_shelves_stops(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "shelves-clock", 0);

	KUNIT_EXPECT_NULL(test, alloc_in_nmi(heap, 100));
	kmh_nmi_stop(heap);
	set_bit(KMH_SPANCLASS_TINY + 1, heap->nmi.wanted);
	kmh_nmi_fill(heap, 0);
	KUNIT_EXPECT_FALSE(test, delayed_work_pending(&heap->nmi.decay));
	kmheap_destroy(heap);
}

static struct kunit_case reserve_cases[] = {
	KUNIT_CASE(depth_follows_what_is_drawn),
	KUNIT_CASE(depth_is_bounded),
	KUNIT_CASE(depth_decays),
	KUNIT_CASE(no_demand_is_no_failure),
	KUNIT_CASE(who_can_sleep_is_not_heard_then),
	KUNIT_CASE(draw_during_a_refill_counts),
	KUNIT_CASE(who_can_sleep_leaves_it_alone),
	KUNIT_CASE(shrunk_heap_is_as_a_new_one),
	KUNIT_CASE(bursts_are_served_when_the_depth_is_found),
	KUNIT_CASE(contexts_are_told_apart),
	KUNIT_CASE(who_can_sleep_is_not_counted),
	KUNIT_CASE(nmi_takes_from_the_shelf),
	KUNIT_CASE(nmi_gets_no_size_that_wraps),
	KUNIT_CASE(shelves_go_with_the_heap),
	KUNIT_CASE(clock_of_shelves_stops),
	{ }
};

static struct kunit_suite reserve_suite = {
	.name = "kmheap_reserve",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = reserve_cases,
};

kunit_test_suite(reserve_suite);
