// SPDX-License-Identifier: GPL-2.0
/* KUnit: magazines: what goes in, what comes out, and entries that are not valid any more. */
#include "magazine_kunit.h"

/* ---- in and out */

static void magazine_gives_the_last_one_first(struct kunit *test)
{
	void **p = full_spans(test, 3), *q;
	unsigned long refills = mcache(test)->refills[SPANCLASS];
	struct kmheap_stats before, st;
	unsigned int i;

	kmheap_stats(kmh_kunit_heap(test), &before);
	for (i = 0; i < 24; i += NR_SLOTS) {
		kmheap_free(p[i]);
		KUNIT_EXPECT_EQ(test, home(p[i]), (int)KMH_HOME_FULL);
		KUNIT_EXPECT_EQ(test, (int)state_of(p[i]), (int)KMHEAP_OBJECT_REMOTE);
	}
	kmh_kunit_balanced(test, kmh_kunit_heap(test), &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 21ULL);
	for (i = 24; i; i -= NR_SLOTS) {
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[i - NR_SLOTS]);
		KUNIT_EXPECT_EQ(test, (int)state_of(p[i - NR_SLOTS]), (int)KMHEAP_OBJECT_LIVE);
		KUNIT_EXPECT_EQ(test, home(p[i - NR_SLOTS]), (int)KMH_HOME_FULL);
	}
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], refills);
	kmh_kunit_balanced(test, kmh_kunit_heap(test), &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 24ULL);
	KUNIT_EXPECT_EQ(test, st.allocs, before.allocs + 3);
	/* The magazine is empty. */
	q = alloc(test);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], refills + 1);
	kmheap_free(q);
	free_range(p, 0, 24);
	expect_all_back(test);
}

/* Each class has a magazine of its own, objects and data apart. */
static void magazine_is_of_one_span_class(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = full_spans(test, 1), *data, *big;

	kmheap_free(p[3]);
	data = kmheap_alloc_data(heap, BYTES, GFP_KERNEL);
	big = alloc_bytes(test, 2 * BYTES);
	KUNIT_EXPECT_TRUE(test, data != p[3] && big != p[3]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[3]);
	kmheap_free(data);
	kmheap_free(big);
	free_range(p, 0, NR_SLOTS);
	expect_all_back(test);
}

/* A full magazine keeps what it has; spans that it has no room for are announced. */
static void full_magazine_announces(struct kunit *test)
{
	void **p = full_spans(test, MAGAZINE + 2), *q[2];
	unsigned int i, k;

	for (k = 0; k < MAGAZINE + 2; k++) {
		kmheap_free(p[NR_SLOTS * k]);
		expect_home(test, span(p[NR_SLOTS * k]),
			    k < MAGAZINE ? KMH_HOME_FULL : KMH_HOME_ANNOUNCED);
	}
	for (k = MAGAZINE; k-- > 0;)
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[NR_SLOTS * k]);
	/* The other slots are found through their announced spans, each one once. */
	for (i = 0; i < ARRAY_SIZE(q); i++) {
		q[i] = alloc(test);
		KUNIT_EXPECT_TRUE(test, q[i] == p[NR_SLOTS * MAGAZINE] ||
				  q[i] == p[NR_SLOTS * MAGAZINE + NR_SLOTS]);
	}
	KUNIT_EXPECT_TRUE(test, q[0] != q[1]);
	free_range(p, 0, NR_SLOTS * (MAGAZINE + 2));
	expect_all_back(test);
}

static void free_of_an_object_in_a_magazine_is_double(struct kunit *test)
{
	void **p = full_spans(test, 1), *q;

	kmheap_free(p[2]);
	kmheap_free(p[2]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	free_elsewhere(test, &p[2], 1);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free_rcu(p[2]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[2]);
	q = alloc(test);
	KUNIT_EXPECT_TRUE(test, q != p[2]);
	kmheap_free(q);
	free_range(p, 0, NR_SLOTS);
	expect_all_back(test);
}

/* An interrupt that finds the section taken announces, as without magazines. */
static void busy_mcache_announces(struct kunit *test)
{
	void **p = full_spans(test, 1);

	preempt_disable();
	KUNIT_EXPECT_TRUE(test, kmh_mcache_enter(mcache(test)));
	kmheap_free(p[0]);
	kmh_mcache_leave(mcache(test));
	preempt_enable();
	expect_home(test, span(p[0]), KMH_HOME_ANNOUNCED);
	free_range(p, 1, NR_SLOTS);
	expect_all_back(test);
}

/* ---- entries that are not valid any more */

/* The slot was folded meanwhile, and is allocated. */
static void entry_of_a_folded_slot_is_dropped(struct kunit *test)
{
	void **p = full_spans(test, 1), *q, *there;

	grow(test, 4);
	kmheap_free(p[0]);
	fold_span(test, span(p[0]));
	expect_home(test, span(p[0]), KMH_HOME_PARTIAL);
	alloc_elsewhere(test, &there, 1, BYTES);
	KUNIT_EXPECT_PTR_EQ(test, there, p[0]);
	q = alloc(test);
	KUNIT_EXPECT_TRUE(test, q && q != p[0]);
	KUNIT_EXPECT_EQ(test, (int)state_of(p[0]), (int)KMHEAP_OBJECT_LIVE);
	kmheap_free(q);
	free_range(p, 0, NR_SLOTS);
	expect_all_back(test);
}

/*
 * The slot was folded, allocated and freed again: it is handed out once, to whoever comes
 * first.
 */
static void entry_of_a_slot_that_lived_on_gives_it(struct kunit *test)
{
	void **p = full_spans(test, 1), *q, *there;

	grow(test, 4);
	kmheap_free(p[0]);
	fold_span(test, span(p[0]));
	alloc_elsewhere(test, &there, 1, BYTES);
	KUNIT_ASSERT_PTR_EQ(test, there, p[0]);
	drain_elsewhere(test);
	expect_home(test, span(p[0]), KMH_HOME_FULL);
	free_elsewhere(test, p, 1);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[0]);
	alloc_elsewhere(test, &q, 1, BYTES);
	KUNIT_EXPECT_TRUE(test, q && q != p[0]);
	kmheap_free(q);
	free_range(p, 0, NR_SLOTS);
	expect_all_back(test);
}

/* A raced double free has set both bits. The fold reports it, and the slot is free once. */
static void entry_of_a_slot_with_both_bits_is_dropped(struct kunit *test)
{
	void **p = full_spans(test, 1), *q[4];
	unsigned int i, n = 0;

	kmheap_free(p[5]);
	span(p[5])->w[0].free |= BIT(5);
	q[0] = alloc(test);
	preempt_disable();
	kmh_inbox_announce(span(p[5]));
	preempt_enable();
	for (i = 1; i < ARRAY_SIZE(q); i++)
		q[i] = alloc(test);
	for (i = 0; i < ARRAY_SIZE(q); i++)
		n += q[i] == p[5];
	KUNIT_EXPECT_EQ(test, n, 1U);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	for (i = 0; i < ARRAY_SIZE(q); i++)
		if (q[i] != p[5])
			kmheap_free(q[i]);
	free_range(p, 0, NR_SLOTS);
	expect_all_back(test);
}

/* The span has become another: the same page and address, in objects half as large. */
static void entry_of_a_span_of_another_class_is_dropped(struct kunit *test)
{
	void **p = full_spans(test, 1), *q[2 * NR_SLOTS], *other[3];
	struct kmh_mspan *s = span(p[0]);
	unsigned int i;

	free_range(p, 0, NR_SLOTS);
	fold_span(test, s);
	KUNIT_ASSERT_PTR_EQ(test, span(p[0]), kmh_kunit_heap(test)->freed);
	alloc_elsewhere(test, q, ARRAY_SIZE(q), BYTES / 2);
	KUNIT_ASSERT_PTR_EQ(test, q[0], p[0]);
	drain_elsewhere(test);
	KUNIT_EXPECT_EQ(test, home(q[0]), (int)KMH_HOME_FULL);
	kmheap_free(q[0]);
	for (i = 0; i < ARRAY_SIZE(other); i++) {
		other[i] = alloc(test);
		KUNIT_EXPECT_TRUE(test, span(other[i]) != span(q[0]));
	}
	KUNIT_EXPECT_EQ(test, (int)state_of(q[0]), (int)KMHEAP_OBJECT_REMOTE);
	KUNIT_EXPECT_PTR_EQ(test, alloc_bytes(test, BYTES / 2), q[0]);
	free_range(q, 0, ARRAY_SIZE(q));
	free_range(other, 0, ARRAY_SIZE(other));
	expect_all_back(test);
}

/* A free that comes late may find another heap's span, or none. */
static void entry_of_another_heap_is_dropped(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *other = kmheap_create("kunit-other", NULL);
	void **p = full_spans(test, 1), *q[NR_SLOTS + 1], *large;
	unsigned int i, row;

	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	for (i = 0; i < NR_SLOTS; i++)
		q[i] = kmheap_alloc(other, BYTES, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q[NR_SLOTS - 1]);
	kmh_mcache_drain_all(other);
	KUNIT_ASSERT_EQ(test, home(q[4]), (int)KMH_HOME_FULL);
	kmheap_free(q[4]);
	large = alloc_bytes(test, 50000);
	for (row = 0; row < 2; row++) {
		preempt_disable();
		KUNIT_EXPECT_TRUE(test, kmh_magazine_put(span(p[0]), (unsigned long)q[4]));
		KUNIT_EXPECT_TRUE(test, kmh_magazine_put(span(p[0]), (unsigned long)large));
		KUNIT_EXPECT_TRUE(test, kmh_magazine_put(span(p[0]), (unsigned long)p[0] + 8));
		KUNIT_EXPECT_TRUE(test, kmh_magazine_put(span(p[0]), (unsigned long)&heap));
		KUNIT_EXPECT_TRUE(test, kmh_magazine_put(span(p[0]), 0));
		preempt_enable();
		if (row) {
			kmh_mcache_drain_all(heap);
		} else {
			void *mine = alloc(test);

			KUNIT_EXPECT_TRUE(test, span(mine)->heap == heap && mine != large &&
					  span(mine) != span(p[0]));
			kmheap_free(mine);
		}
		KUNIT_EXPECT_EQ(test, (int)state_of(q[4]), (int)KMHEAP_OBJECT_REMOTE);
		KUNIT_EXPECT_EQ(test, home(q[4]), (int)KMH_HOME_FULL);
		KUNIT_EXPECT_EQ(test, (int)state_of(large), (int)KMHEAP_OBJECT_LIVE);
	}
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc(other, BYTES, GFP_KERNEL), q[4]);
	free_range(q, 0, NR_SLOTS);
	kmheap_free(large);
	kmheap_destroy(other);
	free_range(p, 0, NR_SLOTS);
	expect_all_back(test);
}

/* The slot was allocated again and freed after a grace period, which is not over yet. */
static void entry_of_a_slot_that_waits_is_dropped(struct kunit *test)
{
	void **p = full_spans(test, 1), *q[2 * NR_SLOTS], *there;
	unsigned int i;

	grow(test, 6);
	kmheap_free(p[0]);
	fold_span(test, span(p[0]));
	alloc_elsewhere(test, &there, 1, BYTES);
	KUNIT_ASSERT_PTR_EQ(test, there, p[0]);
	drain_elsewhere(test);
	kmheap_free_rcu(p[0]);
	for (i = 0; i < ARRAY_SIZE(q); i++) {
		q[i] = alloc(test);
		KUNIT_EXPECT_TRUE(test, q[i] != p[0]);
		KUNIT_EXPECT_EQ(test, (int)state_of(p[0]), (int)KMHEAP_OBJECT_DEFERRED);
	}
	close_and_expire(test);
	KUNIT_EXPECT_EQ(test, (int)state_of(p[0]), (int)KMHEAP_OBJECT_FREE);
	free_range(q, 0, ARRAY_SIZE(q));
	free_range(p, 1, NR_SLOTS);
	expect_all_back(test);
}

/* ---- the end of a magazine */

static void note_end(void *p, void *arg)
{
	++*(unsigned int *)arg;
}

/*
 * Once the heap has a special, frees announce, and what was in a magazine is found all the
 * same.
 */
static void first_special_ends_magazines(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = full_spans(test, 2), *q[4], *special = alloc_bytes(test, 64);
	unsigned int i, cpu, nends = 0, n = 0;

	kmheap_free(p[0]);
	kmheap_free(p[NR_SLOTS]);
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(special, note_end, &nends), 0);
	for_each_possible_cpu(cpu)
		KUNIT_EXPECT_TRUE(test, per_cpu_ptr(heap->mcache, cpu)->no_magazines);
	kmheap_free(p[1]);
	expect_home(test, span(p[1]), KMH_HOME_ANNOUNCED);
	expect_home(test, span(p[NR_SLOTS]), KMH_HOME_FULL);
	for (i = 0; i < ARRAY_SIZE(q); i++) {
		q[i] = alloc(test);
		n += q[i] == p[0] || q[i] == p[1] || q[i] == p[NR_SLOTS];
	}
	KUNIT_EXPECT_EQ(test, n, 3U);
	kmheap_free(special);
	kmheap_rcu_barrier(heap);
	KUNIT_EXPECT_EQ(test, nends, 1U);
	for (i = 0; i < ARRAY_SIZE(q); i++)
		if (q[i] != p[0] && q[i] != p[1] && q[i] != p[NR_SLOTS])
			kmheap_free(q[i]);
	free_range(p, 0, 2 * NR_SLOTS);
	expect_all_back(test);
}

static void drain_dead(struct kmheap *heap)
{
	unsigned int cpu;

	/* The CPUs are alive, but nobody uses this heap on them. */
	for_each_possible_cpu(cpu) {
		preempt_disable();
		kmh_mcache_drain_dead(heap, cpu);
		preempt_enable();
	}
}

static void shrink(struct kmheap *heap)
{
	kmheap_shrink(heap);
}

/*
 * A drain, a shrink and the death of a CPU give back objects, pages and the magazines
 * themselves.
 */
static void magazines_are_given_back(struct kunit *test)
{
	static void (* const how[])(struct kmheap *heap) = {
		kmh_mcache_drain_all, shrink, drain_dead
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int row, cpu, i;
	long metadata;

	kmheap_shrink(heap);
	metadata = atomic_long_read(&heap->metadata_bytes);
	for (row = 0; row < ARRAY_SIZE(how); row++) {
		void **p = full_spans(test, 3);

		free_range(p, 0, NR_SLOTS);
		free_elsewhere(test, p + NR_SLOTS, NR_SLOTS);
		for (i = 0; i < 3 * NR_SLOTS; i++)
			KUNIT_EXPECT_EQ(test, home(p[i]), (int)KMH_HOME_FULL);
		how[row](heap);
		for_each_possible_cpu(cpu) {
			struct kmh_mcache *mc = per_cpu_ptr(heap->mcache, cpu);

			KUNIT_EXPECT_NULL(test, mc->magazine[SPANCLASS]);
		}
		kmh_mheap_drain_lists(&node(test)->mheap);
		KUNIT_EXPECT_PTR_EQ(test, span(p[0])->heap, heap);
		KUNIT_EXPECT_EQ(test, (int)span(p[0])->state, (int)KMH_SPAN_FREED);
		KUNIT_EXPECT_EQ(test, (int)span(p[NR_SLOTS])->state, (int)KMH_SPAN_FREED);
		kmh_kunit_validate(test);
		free_range(p, 2 * NR_SLOTS, 3 * NR_SLOTS);
		kmheap_shrink(heap);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->arena_bytes), 0L);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes), metadata);
	}
}

/* .exit compares the books of a heap that ends with objects in magazines. */
static void heap_ends_with_magazines(struct kunit *test)
{
	void **p = full_spans(test, 2);

	free_range(p, 0, NR_SLOTS);
	free_elsewhere(test, p + NR_SLOTS, NR_SLOTS);
	KUNIT_EXPECT_EQ(test, home(p[0]), (int)KMH_HOME_FULL);
	KUNIT_EXPECT_EQ(test, home(p[NR_SLOTS]), (int)KMH_HOME_FULL);
}

/* ---- no growth and no refusal for want of what is in magazines */

/* Take every page of the heap in objects of spans that are full and on no list. */
static void **fill_heap(struct kunit *test, unsigned int *nspans)
{
	*nspans = free_pages_now(test);
	return full_spans(test, *nspans);
}

static void emptied_spans_come_before_growth(struct kunit *test)
{
	struct kmh_mheap *mh = &node(test)->mheap;
	unsigned long ngrown = mh->ngrown;
	unsigned int row, n;
	void **p = fill_heap(test, &n), *q;

	KUNIT_ASSERT_EQ(test, free_pages_now(test), 0UL);
	for (row = 0; row < 4; row++) {		/* freed here or elsewhere; small or large */
		unsigned int i, nspans = row & 2 ? 5 : 1;

		if (row & 1)
			free_elsewhere(test, p, nspans * NR_SLOTS);
		else
			free_range(p, 0, nspans * NR_SLOTS);
		q = alloc_bytes(test, row & 2 ? 5 * KMH_PAGE_SIZE : BYTES / 2);
		KUNIT_EXPECT_EQ_MSG(test, mh->ngrown, ngrown, "row %u", row);
		kmheap_free(q);
		kmh_mcache_drain_all(mh->heap);
		kmh_mheap_drain_lists(mh);
		for (i = 0; i < nspans * NR_SLOTS; i++)
			p[i] = alloc(test);
		KUNIT_EXPECT_EQ_MSG(test, mh->ngrown, ngrown, "row %u", row);
		kmh_mcache_drain_all(mh->heap);
	}
	free_range(p, 0, n * NR_SLOTS);
	expect_all_back(test);
}

/* A heap at its limit uses all that other CPUs have freed. */
static void limit_counts_what_others_have_freed(struct kunit *test)
{
	const struct kmheap_attr attr = { .limit_bytes = KMH_LIMIT_MIN_BYTES };
	struct kmheap *heap = kmheap_create("kunit-limited", &attr);
	unsigned int n, again, round;
	void *p[64];

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	for (n = 0; n < ARRAY_SIZE(p); n++) {
		p[n] = kmheap_alloc(heap, 8 * BYTES, GFP_KERNEL);
		if (!p[n])
			break;
	}
	KUNIT_EXPECT_GT(test, n, 20U);
	KUNIT_EXPECT_LT(test, n, 64U);
	for (round = 0; round < 3; round++) {
		free_elsewhere(test, p, n);
		for (again = 0; again < n; again++) {
			p[again] = kmheap_alloc(heap, 8 * BYTES, GFP_KERNEL);
			if (!p[again])
				break;
		}
		KUNIT_EXPECT_EQ(test, again, n);
		n = again;
	}
	free_range(p, 0, n);
	kmheap_destroy(heap);
}

static struct kunit_case magazine_cases[] = {
	KUNIT_CASE(magazine_gives_the_last_one_first),
	KUNIT_CASE(magazine_is_of_one_span_class),
	KUNIT_CASE(full_magazine_announces),
	KUNIT_CASE(free_of_an_object_in_a_magazine_is_double),
	KUNIT_CASE(busy_mcache_announces),
	KUNIT_CASE(entry_of_a_folded_slot_is_dropped),
	KUNIT_CASE(entry_of_a_slot_that_lived_on_gives_it),
	KUNIT_CASE(entry_of_a_slot_with_both_bits_is_dropped),
	KUNIT_CASE(entry_of_a_span_of_another_class_is_dropped),
	KUNIT_CASE(entry_of_another_heap_is_dropped),
	KUNIT_CASE(entry_of_a_slot_that_waits_is_dropped),
	KUNIT_CASE(first_special_ends_magazines),
	KUNIT_CASE(magazines_are_given_back),
	KUNIT_CASE(heap_ends_with_magazines),
	KUNIT_CASE(emptied_spans_come_before_growth),
	KUNIT_CASE(limit_counts_what_others_have_freed),
	{ }
};

static struct kunit_suite magazine_suite = {
	.name = "kmheap_magazine",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = magazine_cases,
};

kunit_test_suite(magazine_suite);
