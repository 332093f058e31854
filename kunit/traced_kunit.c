// SPDX-License-Identifier: GPL-2.0
/* KUnit: what heaps do while the events of allocations and frees are on. */
#include <trace/events/kmheap.h>

#include "conserved_kunit.h"
#include "profile_kunit.h"
#include "special_kunit.h"

#define BYTES	64U

static int traced_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return kmh_kunit_profile_tables() ?: kmh_kunit_init(test);
}

/* What the fast path of an allocation finds of a class on this CPU. */
static long at_hand(struct kmheap *heap, unsigned int bytes)
{
	unsigned int spanclass = kmh_spanclass(kmh_size_to_class(bytes), false);
	const struct kmh_mcslot *c;
	long n;

	preempt_disable();
	c = &this_cpu_ptr(heap->mcache)->slot[spanclass];
	n = max(c->ready - c->head, 0L) + hweight_long(c->avail);
	preempt_enable();
	return n;
}

/* No slot is freed fast from then on, of old spans and new ones, and all are afterwards. */
static void no_free_is_fast_while_frees_are_traced(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mspan *old, *new;
	void *p[2];

	p[0] = alloc(test, BYTES);
	old = where(p[0]);
	KUNIT_ASSERT_EQ(test, old->nfast, kmh_mspan_fast_slots(old));
	KUNIT_ASSERT_EQ(test, kmh_trace_free_begins(), 0);
	KUNIT_EXPECT_EQ(test, old->nfast, 0U);
	KUNIT_ASSERT_EQ(test, kmh_trace_free_begins(), 0);
	p[1] = alloc(test, 16 * BYTES);
	new = where(p[1]);
	KUNIT_EXPECT_EQ(test, new->nfast, 0U);
	kmh_trace_free_ends();
	KUNIT_EXPECT_EQ(test, old->nfast, 0U);
	kmh_trace_free_ends();
	KUNIT_EXPECT_FALSE(test, READ_ONCE(kmh_frees_traced));
	KUNIT_EXPECT_EQ(test, old->nfast, kmh_mspan_fast_slots(old));
	KUNIT_EXPECT_EQ(test, new->nfast, kmh_mspan_fast_slots(new));
	kmheap_free(p[0]);
	kmheap_free(p[1]);
	kmh_kunit_expect_conserved(test, heap);
}

/* A span with a special is not freed fast, before, while and after frees are traced. */
static void specials_and_traces_close_a_span(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct mortal before, meanwhile;
	struct kmh_mspan *s;

	mortal(test, heap, &before, BYTES);
	s = where(before.p);
	KUNIT_ASSERT_EQ(test, kmh_trace_free_begins(), 0);
	mortal(test, heap, &meanwhile, BYTES);
	KUNIT_ASSERT_PTR_EQ(test, where(meanwhile.p), s);
	kmheap_free(before.p);
	kmheap_rcu_barrier(heap);
	kmh_trace_free_ends();
	KUNIT_EXPECT_EQ(test, s->nfast, 0U);
	KUNIT_ASSERT_EQ(test, kmh_trace_free_begins(), 0);
	kmheap_free(meanwhile.p);
	kmheap_rcu_barrier(heap);
	expect_ends(test, &before, 1);
	expect_ends(test, &meanwhile, 1);
	KUNIT_EXPECT_EQ(test, s->nspecials, 0);
	KUNIT_EXPECT_EQ(test, s->nfast, 0U);	/* the span is cached, and stays */
	kmh_trace_free_ends();
	KUNIT_EXPECT_EQ(test, s->nfast, kmh_mspan_fast_slots(s));
	expect_no_specials(test, heap);
}

/* Nothing is left to the fast path of an allocation, whatever is freed meanwhile. */
static void no_allocation_is_fast_while_they_are_traced(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int round, i;
	void *p[100];

	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = alloc(test, BYTES);
	KUNIT_ASSERT_EQ(test, kmh_trace_alloc_begins(), 0);
	KUNIT_EXPECT_EQ(test, at_hand(heap, BYTES), 0L);
	for (round = 0; round < 10; round++) {
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			kmheap_free(p[i]);
			KUNIT_EXPECT_EQ(test, at_hand(heap, BYTES), 0L);
		}
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			p[i] = alloc(test, BYTES);
			KUNIT_EXPECT_EQ(test, at_hand(heap, BYTES), 0L);
		}
	}
	/* Neither a profile nor an allocation to fail ends it. */
	KUNIT_ASSERT_EQ(test, kmh_watch_set_period(heap, 1 << 20), 0);
	KUNIT_EXPECT_EQ(test, at_hand(heap, BYTES), 0L);
	KUNIT_ASSERT_EQ(test, kmh_watch_set_fail(heap, 1000), 0);
	KUNIT_ASSERT_EQ(test, kmh_watch_set_period(heap, 0), 0);
	KUNIT_EXPECT_EQ(test, at_hand(heap, BYTES), 0L);
	KUNIT_ASSERT_EQ(test, kmh_watch_set_fail(heap, 0), 0);
	KUNIT_EXPECT_EQ(test, at_hand(heap, BYTES), 0L);
	kmh_trace_alloc_ends();
	KUNIT_EXPECT_FALSE(test, static_key_enabled(&kmh_watch_key.key));
	KUNIT_EXPECT_FALSE(test, heap->flags & KMH_HEAP_PROFILED);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		kmheap_free(p[i]);
	KUNIT_EXPECT_GT(test, at_hand(heap, BYTES), 0L);
	kmh_kunit_expect_conserved(test, heap);
}

static void close_span(void *span)
{
	WRITE_ONCE(((struct kmh_mspan *)span)->nfast, 0);
}

/*
 * Frees become traced, or an object of the span gets a special, while a free of a sampled object,
 * which the fast path has sent on, is between its two looks: it is freed all the same.
 */
static void sampled_object_is_freed_when_its_span_closes(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mspan *s;
	void *p;

	KUNIT_ASSERT_EQ(test, kmh_watch_set_period(heap, 1), 0);
	p = alloc(test, BYTES);
	s = where(p);
	KUNIT_ASSERT_EQ(test, s->nfast, kmh_mspan_fast_slots(s));
	kmh_kunit_at(test, "free: not live, before the second look", close_span, s);
	kmheap_free(p);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("free: not live, before the second look"));
	kmh_kunit_no_reports(test);
	KUNIT_EXPECT_EQ(test, kmh_live_bytes(p), 0UL);
	WRITE_ONCE(s->nfast, kmh_mspan_fast_slots(s));
	KUNIT_ASSERT_EQ(test, kmh_watch_set_period(heap, 0), 0);
	kmh_kunit_expect_conserved(test, heap);
}

static bool traced_step(struct kmheap *heap, unsigned int n)
{
	static const size_t periods[] = { 0, 1, 4096 };

	bool frees = n % 3, done;

	if (kmh_trace_alloc_begins() || (frees && kmh_trace_free_begins()))
		return false;
	done = !kmh_watch_set_period(heap, periods[n / 2 % 3]) && n >= 12;
	if (n % 2)
		kmh_trace_alloc_ends();
	if (frees)
		kmh_trace_free_ends();
	if (n % 2 == 0)
		kmh_trace_alloc_ends();
	return done;
}

/* Traces and profiles begin and end while all CPUs allocate and free. */
static void traces_under_fire(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);

	kmh_kunit_under_fire(test, heap, traced_step);
	KUNIT_ASSERT_EQ(test, kmh_watch_set_period(heap, 0), 0);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(kmh_allocs_traced));
	KUNIT_EXPECT_FALSE(test, READ_ONCE(kmh_frees_traced));
	KUNIT_EXPECT_FALSE(test, static_key_enabled(&kmh_watch_key.key));
	kmh_kunit_expect_conserved(test, heap);
}

static struct kunit_case traced_cases[] = {
	KUNIT_CASE(no_free_is_fast_while_frees_are_traced),
	KUNIT_CASE(specials_and_traces_close_a_span),
	KUNIT_CASE(no_allocation_is_fast_while_they_are_traced),
	KUNIT_CASE(sampled_object_is_freed_when_its_span_closes),
	KUNIT_CASE_SLOW(traces_under_fire),
	{}
};

static struct kunit_suite traced_suite = {
	.name = "kmheap_traced",
	.init = traced_init,
	.exit = kmh_kunit_exit,
	.test_cases = traced_cases,
};

kunit_test_suite(traced_suite);
