// SPDX-License-Identifier: GPL-2.0
/* KUnit: objects that one CPU has freed and another one allocates go from queue to queue. */
#include "magazine_kunit.h"

#define BATCH	(MAGAZINE - REST)	/* objects that a CPU gives at once */
#define FULL	KMH_DEPOT_BATCHES	/* batches, then no more */

static unsigned int depot_len(struct kunit *test)
{
	return kmh_depot_len(node(test), SPANCLASS);
}

/* From now on this CPU takes and the other one gives, as if they had never done anything else. */
static void part(struct kunit *test)
{
	mcache(test)->trend[SPANCLASS] = KMH_DEPOT_TREND;
	mcache_elsewhere(test)->trend[SPANCLASS] = -KMH_DEPOT_TREND;
}

/* Free so many objects on the other CPU that it gives @n batches, and has as few as rest. */
static void give(struct kunit *test, void **p, unsigned int n)
{
	part(test);
	free_elsewhere(test, p, n * BATCH + REST + 1);
}

/* Objects for that, of full spans; so many that each span is freed as a whole. */
static void **objects_for(struct kunit *test, unsigned int nbatches)
{
	return full_spans(test, DIV_ROUND_UP(nbatches * BATCH + MAGAZINE, NR_SLOTS));
}

static bool is_among(const void *q, void **p, unsigned int n)
{
	while (n--)
		if (p[n] == q)
			return true;
	return false;
}

/* In a depot a slot has the tag of the CPU that gave it, and its span is told nothing. */
static void expect_given(struct kunit *test, const void *p)
{
	const struct kmh_slots *w = &span(p)->w[slot_of(p) / KMH_WORD_SLOTS];

	KUNIT_EXPECT_EQ(test, cell(p), (int)mcache_elsewhere(test)->tag);
	KUNIT_EXPECT_FALSE(test, (w->free | atomic_long_read(&w->remote)) &
				 BIT(slot_of(p) % KMH_WORD_SLOTS));
	KUNIT_EXPECT_EQ(test, home(p), (int)KMH_HOME_FULL);
}

static void objects_go_from_queue_to_queue(struct kunit *test)
{
	void **p, *q;
	unsigned int i;

	p = objects_for(test, 1);
	give(test, p, 1);
	KUNIT_EXPECT_EQ(test, depot_len(test), BATCH);
	for (i = 0; i < BATCH; i++)
		expect_given(test, p[i]);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	/* All of them come, in the order in which they were freed, but for those that rest now. */
	for (i = 0; i < BATCH - REST; i++) {
		q = alloc(test);
		KUNIT_EXPECT_PTR_EQ(test, q, p[i]);
		KUNIT_EXPECT_EQ(test, cell(q), (int)KMH_CELL_LIVE);
	}
	KUNIT_EXPECT_EQ(test, depot_len(test), 0U);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST);
	for (; i < BATCH; i++)
		expect_held(test, p[i]);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	q = alloc(test);
	KUNIT_EXPECT_FALSE(test, is_among(q, p, BATCH));
	kmheap_free(q);
	free_live(p, MAGAZINE + BATCH);
	kmh_kunit_no_reports(test);
	expect_all_back(test);
}

/* What rests here when a batch comes goes on resting until as many have been freed after it. */
static void what_rests_goes_on_resting(struct kunit *test)
{
	unsigned int i;
	void **p, *q;

	p = objects_for(test, 1);
	q = alloc(test);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	give(test, p, 1);
	kmheap_free(q);
	for (i = 0; i < BATCH - REST + 1; i++)
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[i]);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST);
	expect_held(test, q);
	kmheap_free(q);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

/* Batch after batch, with what rests here before each: a queue that goes round its array. */
static void batches_follow_each_other(struct kunit *test)
{
	unsigned int round, i, n = BATCH + REST + 1;
	void **p;

	p = objects_for(test, 1);
	part(test);
	for (round = 0; round < 20; round++) {
		free_elsewhere(test, p, n);
		for (i = 0; i < n; i++)
			p[i] = alloc(test);
		kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	}
	kmh_kunit_no_reports(test);
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

/* What does not fit goes to the spans, as without depots. */
static void full_depot_takes_no_more(struct kunit *test)
{
	unsigned int n = FULL * BATCH, i;
	void **p;

	p = objects_for(test, FULL + 1);
	give(test, p, FULL + 1);
	KUNIT_EXPECT_EQ(test, depot_len(test), n);
	for (i = 0; i < n; i++)
		expect_given(test, p[i]);
	for (; i < n + BATCH; i++)
		expect_out(test, p[i]);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_live(p, n + BATCH + MAGAZINE);
	expect_all_back(test);
}

/* Of large classes there are few in a depot. */
static void large_classes_have_one_batch(struct kunit *test)
{
	unsigned int spanclass = kmh_spanclass(kmh_size_to_class(8192), false), i, n = 0;
	static void *p[128];

	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = alloc_bytes(test, 8192);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	mcache_elsewhere(test)->trend[spanclass] = -KMH_DEPOT_TREND;
	free_elsewhere(test, p, ARRAY_SIZE(p));
	n = kmh_depot_len(node(test), spanclass);
	KUNIT_EXPECT_GT(test, n, 0U);
	KUNIT_EXPECT_LE(test, n * 8192, (unsigned int)SZ_256K);
	expect_all_back(test);
}

/* A second free finds the tag, whoever has the batch, and takes nothing. */
static void second_free_is_known_at_once(struct kunit *test)
{
	void **p;

	p = objects_for(test, 1);
	give(test, p, 1);
	kmheap_free(p[3]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	free_elsewhere(test, &p[4], 1);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, depot_len(test), BATCH);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

/*
 * Of a batch of @p all entries but the sixth, which says @addr, are allocated, or are given back:
 * that one is reported. @taken: by allocations.
 */
static void expect_sixth_is_dropped(struct kunit *test, void **p, unsigned long addr, bool taken)
{
	struct kmh_report r;
	unsigned int i;

	if (taken)
		for (i = 0; i < BATCH - REST - 1; i++)
			KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[i < 5 ? i : i + 1]);
	else
		kmh_depots_drain(kmh_kunit_heap(test));
	r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, addr);
}

/*
 * Of two frees at the same time the other one has given the slot to its span: whoever takes the
 * batch finds that out by the cell, and leaves it there. @taken: by an allocation.
 */
static void overtaken(struct kunit *test, bool taken)
{
	void **p;

	p = objects_for(test, 1);
	give(test, p, 1);
	/* The other free has given it to its span, and stored last. */
	WRITE_ONCE(span(p[5])->cell[slot_of(p[5])], KMH_CELL_OUT);
	WRITE_ONCE(span(p[5])->w[0].free, BIT(slot_of(p[5])));
	expect_sixth_is_dropped(test, p, (unsigned long)p[5], taken);
	expect_out(test, p[5]);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	/* Its span is on no list, as a free would have put it on one. */
	fold_span(test, span(p[5]));
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

static void overtaken_entry_is_not_taken(struct kunit *test)
{
	overtaken(test, true);
}

static void overtaken_entry_is_not_given_back(struct kunit *test)
{
	overtaken(test, false);
}

static struct kmh_batch *first_batch(struct kunit *test)
{
	return (struct kmh_batch *)(node(test)->depot[SPANCLASS].place[0] & ~KMH_BATCH_N);
}

/*
 * An entry of which two frees at once have let the span go: its cell is of another span by now, and
 * has the tag because of another object. @astray: the address in the entry. @taken: by an
 * allocation.
 */
static void stray(struct kunit *test, void **p, unsigned long astray, bool taken)
{
	give(test, p, 1);
	first_batch(test)->entry[5].addr = astray;
	expect_sixth_is_dropped(test, p, astray, taken);
	/* The slot whose entry that was. */
	KUNIT_EXPECT_EQ(test, cell(p[5]), (int)mcache_elsewhere(test)->tag);
	WRITE_ONCE(span(p[5])->cell[slot_of(p[5])], KMH_CELL_LIVE);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

static void stray_entry_is_not_taken(struct kunit *test)
{
	void **p = objects_for(test, 1);

	stray(test, p, (unsigned long)p[MAGAZINE + 8], true);
}

static void stray_entry_is_not_given_back(struct kunit *test)
{
	void **p = objects_for(test, 1);

	stray(test, p, (unsigned long)p[MAGAZINE + 8], false);
}

/* Its arena has left: that does not make the slot free, as it would if a client had freed it. */
static void stray_entry_of_an_arena_that_left(struct kunit *test)
{
	void **p = objects_for(test, 1), *q;
	struct kmheap *heap;

	heap = kmheap_create("kunit-left", NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	q = kmheap_alloc(heap, BYTES, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q);
	kmheap_free(q);
	kmheap_destroy(heap);
	KUNIT_ASSERT_EQ(test, (int)span(q)->state, (int)KMH_SPAN_GONE);
	stray(test, p, (unsigned long)q, false);
}

/* Take all memory that there is for magazines and batches, until put_magazines(). */
static struct kmh_magazine *all_magazines[512];
static unsigned int nmagazines;

static void take_magazines(struct kunit *test)
{
	nmagazines = 0;
	while (nmagazines < ARRAY_SIZE(all_magazines) &&
	       (all_magazines[nmagazines] = kmh_magazine_get(mcache(test))))
		nmagazines++;
	KUNIT_ASSERT_LT(test, nmagazines, (unsigned int)ARRAY_SIZE(all_magazines));
}

static void put_magazines(struct kmheap *heap)
{
	while (nmagazines)
		kmh_magazine_put(heap, all_magazines[--nmagazines]);
}

/* Objects each of which holds the address of the next one. */
static void free_chain(void *p)
{
	void *next;

	for (; p; p = next) {
		next = *(void **)p;
		kmheap_free(p);
	}
}

/* A CPU for whose magazine there is no memory finds what was given in the spans. */
static void no_magazine_to_take_them(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, n = 0;
	void **p;

	p = objects_for(test, 1);
	give(test, p, 1);
	take_magazines(test);
	for (i = 0; i < BATCH; i++)
		n += is_among(alloc(test), p, BATCH);
	KUNIT_EXPECT_EQ(test, n, BATCH);
	KUNIT_EXPECT_EQ(test, depot_len(test), 0U);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	put_magazines(heap);
	kmh_kunit_expect_conserved(test, heap);
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

/* Nor does it go without when it asks but once: what it gives to the spans it finds there. */
static void no_magazine_and_one_look(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p, *q, *others = NULL;
	bool found;

	p = objects_for(test, 1);
	give(test, p, 1);
	take_magazines(test);
	kmheap_set_limit(heap, 1);
	mcache(test)->trend[SPANCLASS] = 0;
	do {
		preempt_disable();
		kmh_mcache_enter(mcache(test));
		q = kmh_mcache_take(mcache(test), SPANCLASS);
		if (!q && kmh_mcache_refill(mcache(test), SPANCLASS))
			q = kmh_mcache_take(mcache(test), SPANCLASS);
		kmh_mcache_leave(mcache(test));
		preempt_enable();
		found = q && is_among(q, p, BATCH);
		if (q && !found) {
			*(void **)q = others;
			others = q;
		}
	} while (q && !found);
	KUNIT_EXPECT_TRUE(test, found);
	free_chain(others);
	put_magazines(heap);
	kmheap_set_limit(heap, 0);
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

/* So does an interrupt that finds the section taken, where there is nothing else. */
static void nested_caller_finds_them(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p, *q, *others = NULL;

	p = objects_for(test, 1);
	give(test, p, 1);
	kmheap_set_limit(heap, 1);
	preempt_disable();
	kmh_mcache_enter(mcache(test));
	/* First what is left of the heap's pages. */
	while ((q = kmheap_alloc(heap, BYTES, GFP_ATOMIC)) && !is_among(q, p, BATCH)) {
		*(void **)q = others;
		others = q;
	}
	kmh_mcache_leave(mcache(test));
	preempt_enable();
	KUNIT_EXPECT_NOT_NULL(test, q);
	KUNIT_EXPECT_EQ(test, depot_len(test), 0U);
	free_chain(others);
	kmheap_set_limit(heap, 0);
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

/* A drain gives every slot back to its span and announces that, and frees the batches. */
static void drain_gives_all_back(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;
	void **p;
	long side;

	p = objects_for(test, 2);
	side = atomic_long_read(&heap->limit.side_bytes);
	give(test, p, 2);
	kmh_depots_drain(heap);
	KUNIT_EXPECT_EQ(test, depot_len(test), 0U);
	for (i = 0; i < 2 * BATCH; i++) {
		expect_out(test, p[i]);
		KUNIT_EXPECT_EQ(test, home(p[i]), (int)KMH_HOME_ANNOUNCED);
	}
	/* The other CPU's magazine is still there. */
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.side_bytes),
			side + (long)sizeof(struct kmh_magazine));
	kmh_kunit_expect_conserved(test, heap);
	free_live(p, 2 * BATCH + MAGAZINE);
	expect_all_back(test);
}

/* When nobody has taken any between two looks, whether the CPU that gave has something or not. */
static void idle_worker_empties_depots(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = objects_for(test, 1), **q = objects_for(test, 1);

	give(test, p, 1);
	KUNIT_EXPECT_EQ(test, depot_len(test), BATCH);
	kmh_idle_step(heap);
	kmh_idle_step(heap);
	KUNIT_EXPECT_EQ(test, depot_len(test), 0U);
	give(test, q, 1);
	KUNIT_EXPECT_EQ(test, depot_len(test), BATCH);
	drain_elsewhere(test);
	KUNIT_EXPECT_EQ(test, depot_len(test), BATCH);
	kmh_mcache_visit(heap, kmh_mcache_drain_locked, NULL);
	KUNIT_EXPECT_TRUE(test, kmh_idle_step(heap));
	KUNIT_EXPECT_EQ(test, depot_len(test), BATCH);
	KUNIT_EXPECT_FALSE(test, kmh_idle_step(heap));
	KUNIT_EXPECT_EQ(test, depot_len(test), 0U);
	free_live(p, MAGAZINE + BATCH);
	free_live(q, MAGAZINE + BATCH);
	expect_all_back(test);
}

/* The memory of a batch that has been taken goes when no batch has needed it for as long. */
static void idle_worker_frees_memory_of_batches(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = objects_for(test, 1);
	long left;

	give(test, p, 1);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[0]);
	KUNIT_EXPECT_EQ(test, depot_len(test), 0U);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.side_bytes),
			3L * (long)sizeof(struct kmh_magazine));
	kmh_idle_step(heap);
	kmh_idle_step(heap);
	/* Magazines of CPUs that were idle have gone as well. */
	left = !!mcache(test)->magazine[SPANCLASS] + !!mcache_elsewhere(test)->magazine[SPANCLASS];
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.side_bytes),
			left * (long)sizeof(struct kmh_magazine));
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

/* So it is while all CPUs are busy, of which none takes; and not when one has taken some. */
static void depots_that_rest_are_emptied(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = objects_for(test, 2), *q, *other;
	unsigned int i;

	give(test, p, 2);
	KUNIT_EXPECT_TRUE(test, kmh_idle_step(heap));
	q = alloc(test);
	KUNIT_EXPECT_PTR_EQ(test, q, p[0]);
	KUNIT_EXPECT_TRUE(test, kmh_idle_step(heap));
	KUNIT_EXPECT_EQ(test, depot_len(test), BATCH);
	mcache(test)->trend[SPANCLASS] = 0;
	for (i = 0; i < 2; i++) {
		kmheap_free(alloc_bytes(test, 64));
		alloc_elsewhere(test, &other, 1, 64);
		kmheap_free(other);
		kmh_idle_step(heap);
	}
	KUNIT_EXPECT_EQ(test, depot_len(test), 0U);
	KUNIT_EXPECT_GT(test, magazine_len(test), 0U);
	free_live(p, 2 * BATCH + MAGAZINE);
	expect_all_back(test);
}

/* Memory for batches, as somebody leaves it who has taken some. */
static void fill_places(void *arg)
{
	struct kmh_mcache *mc = arg;
	struct kmh_depot *d = &mc->node->depot[SPANCLASS];
	unsigned int i;

	for (i = 0; i < KMH_DEPOT_BATCHES; i++)
		if (!d->place[i])
			d->place[i] = (unsigned long)kmh_magazine_get(mc);
}

/* Another CPU fills the last place after the look: the objects go to their spans. */
static void place_is_lost_to_another_cpu(struct kunit *test)
{
	unsigned int i;
	void **p;

	p = objects_for(test, 1);
	KUNIT_ASSERT_EQ(test, kmh_magazines_refill(GFP_KERNEL), 0);
	kmh_kunit_at(test, "depot: before a batch is stored", fill_places, mcache(test));
	mcache(test)->trend[SPANCLASS] = -KMH_DEPOT_TREND;
	free_range(p, 0, BATCH + REST + 1);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("depot: before a batch is stored"));
	KUNIT_EXPECT_EQ(test, depot_len(test), 0U);
	for (i = 0; i < BATCH; i++)
		expect_out(test, p[i]);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST + 1);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

/* A CPU gives when it has come to its queue's end many times, and gone for no slots meanwhile. */
static void who_allocates_too_gives_nothing(struct kunit *test)
{
	s8 *trend = &mcache_elsewhere(test)->trend[SPANCLASS];
	void **p, *q[BATCH];

	p = objects_for(test, 2);
	*trend = 2 - KMH_DEPOT_TREND;
	free_elsewhere(test, p, MAGAZINE + 1);
	KUNIT_EXPECT_EQ(test, depot_len(test), 0U);
	expect_out(test, p[0]);
	free_elsewhere(test, p + MAGAZINE + 1, BATCH);
	KUNIT_EXPECT_EQ(test, depot_len(test), BATCH);
	KUNIT_EXPECT_EQ(test, (int)*trend, -KMH_DEPOT_TREND);
	alloc_elsewhere(test, q, BATCH, BYTES);
	KUNIT_EXPECT_GT(test, (int)*trend, 0);
	free_live(q, BATCH);
	free_live(p, 2 * BATCH + MAGAZINE);
	expect_all_back(test);
}

/* A CPU takes when it has gone for slots many times, and never come to its queue's end. */
static void who_frees_too_takes_last(struct kunit *test)
{
	s8 *trend = &mcache(test)->trend[SPANCLASS];
	void **p, *q[NR_SLOTS];
	unsigned int i;

	p = objects_for(test, 1);
	give(test, p, 1);
	*trend = -1;
	for (i = 0; i < NR_SLOTS; i++) {
		q[i] = alloc(test);
		KUNIT_EXPECT_FALSE(test, is_among(q[i], p, BATCH));
	}
	KUNIT_EXPECT_EQ(test, (int)*trend, 1);
	KUNIT_EXPECT_EQ(test, depot_len(test), BATCH);
	*trend = KMH_DEPOT_TREND - 1;
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[0]);
	free_range(q, 0, NR_SLOTS);
	free_live(p, MAGAZINE + BATCH);
	expect_all_back(test);
}

/* Whoever would find nothing else takes what was given. */
static void given_objects_come_before_growth(struct kunit *test)
{
	struct kmh_mheap *mh = &node(test)->mheap;
	unsigned int nspans = free_pages_now(test), i;
	void **p = full_spans(test, nspans);
	unsigned long ngrown = mh->ngrown;

	KUNIT_ASSERT_EQ(test, free_pages_now(test), 0UL);
	give(test, p, 1);
	mcache(test)->trend[SPANCLASS] = 0;
	for (i = 0; i < BATCH - REST; i++)
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[i]);
	KUNIT_EXPECT_EQ(test, mh->ngrown, ngrown);
	free_live(p, nspans * NR_SLOTS);
	expect_all_back(test);
}

static struct kunit_case depot_cases[] = {
	KUNIT_CASE(objects_go_from_queue_to_queue),
	KUNIT_CASE(what_rests_goes_on_resting),
	KUNIT_CASE(batches_follow_each_other),
	KUNIT_CASE(full_depot_takes_no_more),
	KUNIT_CASE(large_classes_have_one_batch),
	KUNIT_CASE(second_free_is_known_at_once),
	KUNIT_CASE(overtaken_entry_is_not_taken),
	KUNIT_CASE(overtaken_entry_is_not_given_back),
	KUNIT_CASE(stray_entry_is_not_taken),
	KUNIT_CASE(stray_entry_is_not_given_back),
	KUNIT_CASE(stray_entry_of_an_arena_that_left),
	KUNIT_CASE(no_magazine_to_take_them),
	KUNIT_CASE(no_magazine_and_one_look),
	KUNIT_CASE(nested_caller_finds_them),
	KUNIT_CASE(drain_gives_all_back),
	KUNIT_CASE(idle_worker_empties_depots),
	KUNIT_CASE(idle_worker_frees_memory_of_batches),
	KUNIT_CASE(depots_that_rest_are_emptied),
	KUNIT_CASE(place_is_lost_to_another_cpu),
	KUNIT_CASE(who_allocates_too_gives_nothing),
	KUNIT_CASE(who_frees_too_takes_last),
	KUNIT_CASE(given_objects_come_before_growth),
	{ }
};

static struct kunit_suite depot_suite = {
	.name = "kmheap_depot",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = depot_cases,
};

kunit_test_suite(depot_suite);
