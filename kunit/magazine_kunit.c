// SPDX-License-Identifier: GPL-2.0
/* KUnit: magazines: what goes in, what comes out, and where it goes when it is not allocated. */
#include <linux/prandom.h>

#include "magazine_kunit.h"

/* ---- in and out */

/* Objects come out in the order in which they were freed, and the last sixteen rest. */
static void magazine_gives_the_oldest_first(struct kunit *test)
{
	void **p = full_spans(test, 5), *q;
	unsigned long refills = mcache(test)->refills[SPANCLASS];
	unsigned int i, n = REST + 4;
	struct kmheap_stats before, st;

	grow(test, 4);
	kmheap_stats(kmh_kunit_heap(test), &before);
	for (i = 0; i < n; i++) {
		kmheap_free(p[2 * i]);
		KUNIT_EXPECT_EQ(test, home(p[2 * i]), (int)KMH_HOME_FULL);
		KUNIT_EXPECT_EQ(test, (int)state_of(p[2 * i]), (int)KMHEAP_OBJECT_FREE);
		KUNIT_EXPECT_EQ(test, magazine_len(test), i + 1);
		expect_held(test, p[2 * i]);
	}
	kmh_kunit_balanced(test, kmh_kunit_heap(test), &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 40ULL - n);
	KUNIT_EXPECT_EQ(test, st.allocs, before.allocs);
	for (i = 0; i < n - REST; i++) {
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[2 * i]);
		KUNIT_EXPECT_EQ(test, (int)state_of(p[2 * i]), (int)KMHEAP_OBJECT_LIVE);
		KUNIT_EXPECT_EQ(test, home(p[2 * i]), (int)KMH_HOME_FULL);
	}
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], refills);
	kmh_kunit_balanced(test, kmh_kunit_heap(test), &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 40ULL - REST);
	KUNIT_EXPECT_EQ(test, st.allocs, before.allocs + n - REST);
	/* The others rest. */
	q = alloc(test);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], refills + 1);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST);
	kmheap_free(q);
	free_live(p, 40);
	expect_all_back(test);
}

/* Each class has a magazine of its own, objects and data apart. */
static void magazine_is_of_one_span_class(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = full_spans(test, 3), *data, *big;

	grow(test, 4);
	free_range(p, 3, 3 + REST + 1);
	data = kmheap_alloc_data(heap, BYTES, GFP_KERNEL);
	big = alloc_bytes(test, 2 * BYTES);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST + 1);
	kmheap_free(data);
	kmheap_free(big);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST + 1);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[3]);
	free_live(p, 24);
	expect_all_back(test);
}

/* An object of another heap goes into that heap's magazine. */
static void magazine_is_of_one_heap(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *other = kmheap_create("kunit-other", NULL);
	void **p = full_spans(test, 3), *q;

	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	q = kmheap_alloc(other, BYTES, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q);
	kmheap_free(q);
	free_range(p, 0, REST + 1);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST + 1);
	KUNIT_EXPECT_EQ(test, kmh_magazine_len(per_cpu_ptr(other->mcache, raw_smp_processor_id()),
					       SPANCLASS), 1U);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[0]);
	KUNIT_EXPECT_PTR_EQ(test, span(p[0])->heap, heap);
	kmheap_destroy(other);
	free_live(p, 24);
	expect_all_back(test);
}

/*
 * An object is not allocated again before as many others of its class have been freed, and so long
 * a second free is known at once, whichever CPU it comes from.
 */
static void freed_objects_rest(struct kunit *test)
{
	void **p = full_spans(test, 3), *q[REST];
	unsigned int i;

	grow(test, 4);
	kmheap_free(p[2]);
	for (i = 0; i < REST; i++) {
		q[i] = alloc(test);
		KUNIT_EXPECT_PTR_NE(test, q[i], p[2]);
		kmheap_free(p[2]);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
		free_elsewhere(test, &p[2], 1);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
		kmheap_free_rcu(p[2]);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
		expect_held(test, p[2]);
		kmheap_free(p[8 + i]);
	}
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST + 1);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[2]);
	KUNIT_EXPECT_EQ(test, cell(p[2]), (int)KMH_CELL_LIVE);
	for (i = 0; i < REST; i++)
		KUNIT_EXPECT_NE(test, cell(p[8 + i]), (int)KMH_CELL_LIVE);
	free_range(q, 0, REST);
	free_live(p, 24);
	expect_all_back(test);
}

/* How many rest, stay when some have been allocated meanwhile, and are there at most, by class. */
static const struct {
	size_t bytes;
	unsigned int rest, kept, most;
} rows[] = {
	{ 8, 16, 40, 64 }, { 1024, 16, 40, 64 }, { 1152, 4, 40, 64 }, { 8192, 4, 20, 32 },
	{ 16384, 4, 10, 16 }, { 32768, 4, 8, 14 },
};

static unsigned int row_len(struct kunit *test, unsigned int row)
{
	return kmh_magazine_len(mcache(test),
				kmh_spanclass(kmh_size_to_class(rows[row].bytes), false));
}

/*
 * At no moment are there fewer than those that rest, and one that may be allocated. When the array
 * has come to its end after frees alone, just these are left; after an allocation more are.
 */
static void magazine_keeps_so_many(struct kunit *test)
{
	unsigned int row, i, len;
	void **p = kunit_kcalloc(test, 2 * MAGAZINE, sizeof(*p), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (row = 0; row < ARRAY_SIZE(rows); row++) {
		unsigned int most = rows[row].most, rest = rows[row].rest, n = 2 * most - rest + 1;

		for (i = 0; i < n; i++)
			p[i] = alloc_bytes(test, rows[row].bytes);
		kmh_mcache_drain_all(kmh_kunit_heap(test));
		for (i = 0; i < n - 1; i++) {
			kmheap_free(p[i]);
			len = i < most ? i + 1 : i - most + rest + 1;
			KUNIT_EXPECT_EQ_MSG(test, row_len(test, row), len, "%zu bytes, free %u",
					    rows[row].bytes, i);
		}
		KUNIT_EXPECT_EQ(test, row_len(test, row), most);
		p[i - 1] = alloc_bytes(test, rows[row].bytes);
		KUNIT_EXPECT_EQ(test, row_len(test, row), most - 1);
		kmheap_free(p[i]);
		KUNIT_EXPECT_EQ_MSG(test, row_len(test, row), rows[row].kept + 1, "%zu bytes",
				    rows[row].bytes);
		kmheap_free(p[i - 1]);
		kmh_mcache_drain_all(kmh_kunit_heap(test));
	}
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
}

static void large_objects_rest_less(struct kunit *test)
{
	unsigned int row, i, rest;
	void *p[REST + 2];

	for (row = 0; row < ARRAY_SIZE(rows); row++) {
		rest = rows[row].rest;
		for (i = 0; i < rest + 2; i++)
			p[i] = alloc_bytes(test, rows[row].bytes);
		/* All bits are in, so that the next objects would come from the spans. */
		kmh_mcache_drain_all(kmh_kunit_heap(test));
		for (i = 0; i < rest + 2; i++)
			kmheap_free(p[i]);
		for (i = 0; i < 3; i++) {
			KUNIT_EXPECT_EQ_MSG(test, alloc_bytes(test, rows[row].bytes) == p[i],
					    i < 2, "%zu bytes, %u", rows[row].bytes, i);
			KUNIT_EXPECT_EQ_MSG(test, row_len(test, row), i < 2 ? rest + 1 - i : rest,
					    "%zu bytes, %u", rows[row].bytes, i);
		}
	}
}

/* Of the first slots of spans, freed in their order, [@from, @to) are in the magazine. */
static void expect_queue(struct kunit *test, void **p, unsigned int from, unsigned int to)
{
	unsigned int k;

	KUNIT_EXPECT_EQ(test, magazine_len(test), to - from);
	for (k = 0; k < to; k++) {
		void *q = p[NR_SLOTS * k];

		expect_home(test, span(q), k < from ? KMH_HOME_ANNOUNCED : KMH_HOME_FULL);
		if (k < from)
			expect_out(test, q);
		else
			expect_held(test, q);
	}
}

/*
 * When the magazine is full the oldest entries go back to their spans, which are announced, and so
 * it is when it is full again. Each slot is found again once.
 */
static void full_magazine_gives_the_oldest_back(struct kunit *test)
{
	unsigned int k, i, n = 0, again = 2 * MAGAZINE - REST, out = again - REST;
	void **p = full_spans(test, again + 1), *q;

	kmh_kunit_shut_depots(test);
	for (k = 0; k <= again; k++) {
		kmheap_free(p[NR_SLOTS * k]);
		if (k == MAGAZINE - 1)
			expect_queue(test, p, 0, MAGAZINE);
		if (k == MAGAZINE)
			expect_queue(test, p, MAGAZINE - REST, MAGAZINE + 1);
		if (k == again - 1)
			expect_queue(test, p, MAGAZINE - REST, again);
	}
	expect_queue(test, p, out, again + 1);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	for (k = out; k <= again - REST; k++)
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[NR_SLOTS * k]);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST);
	for (k = 0; k < out; k++) {
		q = alloc(test);
		for (i = 0; i < out; i++)
			n += q == p[NR_SLOTS * i];
	}
	KUNIT_EXPECT_EQ(test, n, out);
	for (k = 0; k <= again - REST; k++)
		KUNIT_EXPECT_EQ(test, cell(p[NR_SLOTS * k]), (int)KMH_CELL_LIVE);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST);
	free_live(p, NR_SLOTS * (again + 1));
	expect_all_back(test);
}

/*
 * A queue that does not grow goes through its array again and again, and nothing of it goes back:
 * neither the shortest one that gives anything, nor the longest one that is moved as it is.
 */
static void steady_queue_gives_nothing_back(struct kunit *test)
{
	static const unsigned int lens[] = { REST + 1, MAGAZINE / 8 * 7 + 1 };
	void **p = full_spans(test, MAGAZINE / NR_SLOTS), *q;
	unsigned long refills = mcache(test)->refills[SPANCLASS];
	unsigned int row, i;
	struct kmheap_stats st;

	for (row = 0; row < ARRAY_SIZE(lens); row++) {
		free_range(p, 0, lens[row]);
		for (i = 0; i < 5 * MAGAZINE; i++) {
			q = alloc(test);
			KUNIT_EXPECT_PTR_EQ(test, q, p[i % lens[row]]);
			KUNIT_EXPECT_EQ(test, magazine_len(test), lens[row] - 1);
			kmheap_free(q);
			expect_held(test, q);
		}
		KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], refills);
		for (i = 0; i < lens[row]; i++)
			expect_home(test, span(p[i]), KMH_HOME_FULL);
		kmh_kunit_balanced(test, kmh_kunit_heap(test), &st);
		KUNIT_EXPECT_EQ(test, st.live_objects, (u64)MAGAZINE - lens[row]);
		kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
		/* All are allocated again. */
		kmh_mcache_drain_all(kmh_kunit_heap(test));
		for (i = 0; i < lens[row]; i++)
			alloc(test);
		kmh_mcache_drain_all(kmh_kunit_heap(test));
		refills = mcache(test)->refills[SPANCLASS];
	}
	kmh_kunit_no_reports(test);
	free_live(p, MAGAZINE);
	expect_all_back(test);
}

#define STEPS	(KMH_KUNIT_SLOW ? 500U : 3000U)
#define MOST	200U		/* live objects */

struct queue {
	void *entry[MAGAZINE + 1];
	unsigned int n;
	unsigned int nout;		/* ever gone back */
};

static void *queue_pop(struct queue *q)
{
	void *p = q->entry[0];

	q->n--;
	memmove(q->entry, q->entry + 1, q->n * sizeof(p));
	return p;
}

/* An object has been freed: what has gone back for it, if any, is the oldest. */
static void queue_push(struct kunit *test, struct queue *q, void *p)
{
	unsigned int len = magazine_len(test);

	KUNIT_EXPECT_GE(test, len, min(q->n, REST) + 1);
	for (q->entry[q->n++] = p; q->n > len; q->nout++)
		expect_out(test, queue_pop(q));
	KUNIT_EXPECT_EQ(test, q->n, len);
	expect_held(test, q->entry[0]);
	expect_held(test, p);
}

/* What is allocated is the oldest, or nothing of the queue while all of it rests. */
static void queue_take(struct kunit *test, struct queue *q, void *p)
{
	if (q->n > REST)
		KUNIT_EXPECT_PTR_EQ(test, p, queue_pop(q));
	KUNIT_EXPECT_EQ(test, magazine_len(test), q->n);
	KUNIT_EXPECT_EQ(test, cell(p), (int)KMH_CELL_LIVE);
	if (q->n)
		expect_held(test, q->entry[0]);
}

/* Objects are allocated and freed at random, and the magazine goes round its array many times. */
static void magazine_is_a_queue(struct kunit *test)
{
	struct queue *q = kunit_kzalloc(test, sizeof(*q), GFP_KERNEL);
	void **live = kunit_kcalloc(test, MOST, sizeof(*live), GFP_KERNEL);
	unsigned int nlive = 0, i, k;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_ASSERT_NOT_NULL(test, live);
	grow(test, 2 * MOST / NR_SLOTS);
	prandom_seed_state(&rnd, 4713);
	for (i = 0; i < STEPS; i++) {
		/* Now more allocations than frees, now fewer. */
		bool get = prandom_u32_state(&rnd) % 8 < (i / 256 % 2 ? 3 : 5);

		if (nlive == 0 || (get && nlive < MOST)) {
			live[nlive] = alloc(test);
			queue_take(test, q, live[nlive++]);
			continue;
		}
		k = prandom_u32_state(&rnd) % nlive;
		swap(live[k], live[nlive - 1]);
		kmheap_free(live[--nlive]);
		queue_push(test, q, live[nlive]);
	}
	KUNIT_EXPECT_GT(test, q->nout, 0U);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	kmh_kunit_no_reports(test);
	free_range(live, 0, nlive);
	expect_all_back(test);
}

/*
 * Those that go back may lie in any order, some of them in a span that this CPU allocates from:
 * that has free bits then. Only they go.
 */
static void eviction_finds_the_slots(struct kunit *test)
{
	unsigned int i, k, nspans = MAGAZINE / NR_SLOTS + 2, to = MAGAZINE + 1;
	unsigned int from = MAGAZINE - REST;
	void **p = full_spans(test, nspans), *own[NR_SLOTS];

	kmh_kunit_shut_depots(test);
	grow(test, 4);
	for (i = 0; i < NR_SLOTS; i++)
		own[i] = alloc(test);
	KUNIT_ASSERT_PTR_EQ(test, span(own[0]), mcache(test)->slot[SPANCLASS].span);
	KUNIT_ASSERT_PTR_EQ(test, span(own[7]), span(own[0]));
	/* Four in a row, then one of each, then four in a row backwards: sixteen. */
	free_range(own, 0, 4);
	for (k = 0; k < 4; k++) {
		kmheap_free(own[4 + k]);
		kmheap_free(p[2 * k]);
	}
	for (k = 0; k < 4; k++)
		kmheap_free(p[15 - k]);
	free_range(p, 16, to);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST + 1);
	KUNIT_EXPECT_EQ(test, span(own[0])->w[0].free, 0xffUL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&span(own[0])->w[0].remote), 0L);
	expect_home(test, span(own[0]), KMH_HOME_CACHED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&span(p[0])->w[0].remote), 0x55L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&span(p[8])->w[0].remote), 0xf0L);
	for (i = 16; i < from; i += NR_SLOTS)
		KUNIT_EXPECT_EQ(test, atomic_long_read(&span(p[i])->w[0].remote), 0xffL);
	for (i = 0; i < from; i += NR_SLOTS)
		expect_home(test, span(p[i]), KMH_HOME_ANNOUNCED);
	for (i = 0; i < NR_SLOTS; i++) {
		KUNIT_EXPECT_EQ(test, cell(own[i]), (int)KMH_CELL_OUT);
		KUNIT_EXPECT_EQ(test, cell(p[i]), (int)(i % 2 ? KMH_CELL_LIVE : KMH_CELL_OUT));
		KUNIT_EXPECT_EQ(test, cell(p[8 + i]),
				(int)(i < 4 ? KMH_CELL_LIVE : KMH_CELL_OUT));
	}
	for (i = from; i < to; i++)
		expect_held(test, p[i]);
	kmh_kunit_no_reports(test);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_live(p, nspans * NR_SLOTS);
	expect_all_back(test);
}

/*
 * What is freed in order goes back by eights, wherever it begins. Up to seven more than those that
 * rest stay, so that what is freed next goes by eights, too.
 */
static void rows_go_back_by_eights(struct kunit *test)
{
	unsigned int spanclass = kmh_spanclass(kmh_size_to_class(64), false), first, i, n, last;
	void *p[MAGAZINE + 9];

	kmh_kunit_shut_depots(test);
	for (first = 0; first < 9; first++) {
		for (i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = alloc_bytes(test, 64);
		KUNIT_ASSERT_EQ(test, slot_of(p[first + 8]), slot_of(p[first]) + 8);
		KUNIT_ASSERT_EQ(test, kmh_magazine_len(mcache(test), spanclass), 0U);
		free_range(p, first, first + MAGAZINE + 1);
		n = MAGAZINE + 1 - kmh_magazine_len(mcache(test), spanclass);
		last = slot_of(p[first + MAGAZINE - REST - 1]);
		KUNIT_EXPECT_EQ(test, n, MAGAZINE - REST - (last + 1) % 8);
		for (i = 0; i <= MAGAZINE; i++)
			if (i < n)
				expect_out(test, p[first + i]);
			else
				expect_held(test, p[first + i]);
		kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
		free_range(p, 0, first);
		free_range(p, first + MAGAZINE + 1, ARRAY_SIZE(p));
		kmh_mcache_drain_all(kmh_kunit_heap(test));
	}
	kmh_kunit_no_reports(test);
	expect_all_back(test);
}

/* An interrupt that finds the section taken announces, as without magazines. */
static void busy_mcache_announces(struct kunit *test)
{
	void **p = full_spans(test, 1);

	preempt_disable();
	KUNIT_EXPECT_TRUE(test, kmh_mcache_enter(mcache(test)));
	kmheap_free(p[0]);
	kmheap_free(p[0]);
	kmh_mcache_leave(mcache(test));
	preempt_enable();
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	expect_out(test, p[0]);
	expect_home(test, span(p[0]), KMH_HOME_ANNOUNCED);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	free_range(p, 1, NR_SLOTS);
	expect_all_back(test);
}

/*
 * An object of another node than the CPU allocates from goes back to its span at once, on the short
 * way and on the long one, and whether or not there is a magazine with room.
 */
static void object_of_another_node_goes_back(struct kunit *test)
{
	void **p = full_spans(test, 2), *own;
	unsigned long addr;
	unsigned int row;
	u16 nid;

	grow(test, 4);
	own = alloc(test);
	nid = mcache(test)->nid;
	for (row = 0; row < 2; row++) {
		WRITE_ONCE(mcache(test)->nid, nid + 1);
		addr = (unsigned long)p[2 + row];
		kmheap_free(p[row]);
		expect_out(test, p[row]);
		expect_home(test, span(p[0]), KMH_HOME_ANNOUNCED);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&span(p[0])->w[0].remote),
				row ? 7L : 1L);
		preempt_disable();
		KUNIT_EXPECT_EQ(test, (int)kmh_free_slot(span(p[2 + row]), 2 + row, addr),
				(int)KMH_FREE_OK);
		KUNIT_EXPECT_EQ(test, (int)kmh_free_slot(span(p[2 + row]), 2 + row, addr),
				(int)KMH_FREE_DOUBLE);
		preempt_enable();
		expect_out(test, p[2 + row]);
		KUNIT_EXPECT_EQ(test, magazine_len(test), row);
		if (!row)
			KUNIT_EXPECT_NULL(test, mcache(test)->magazine[SPANCLASS]);
		WRITE_ONCE(mcache(test)->nid, nid);
		/* In the second row there is a magazine with one entry. */
		if (!row) {
			kmheap_free(p[8]);
			KUNIT_EXPECT_EQ(test, magazine_len(test), 1U);
			KUNIT_EXPECT_EQ(test, atomic_long_read(&span(p[0])->w[0].remote), 5L);
		}
	}
	/* A span that this CPU has gets a free bit. */
	WRITE_ONCE(mcache(test)->nid, nid + 1);
	kmheap_free(own);
	WRITE_ONCE(mcache(test)->nid, nid);
	KUNIT_EXPECT_PTR_EQ(test, span(own)->owner, mcache(test));
	KUNIT_EXPECT_TRUE(test, span(own)->w[0].free & BIT(slot_of(own)));
	kmh_kunit_no_reports(test);
	free_live(p, 16);
	expect_all_back(test);
}

/* ---- whose entry it is */

static void cells_name_the_cpu(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = full_spans(test, 2);
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		KUNIT_EXPECT_EQ(test, per_cpu_ptr(heap->mcache, cpu)->tag,
				KMH_CELL_TAG + cpu % KMH_CELL_TAGS);
	kmheap_free(p[0]);
	free_elsewhere(test, &p[8], 1);
	expect_held(test, p[0]);
	KUNIT_EXPECT_EQ(test, cell(p[8]), (int)mcache_elsewhere(test)->tag);
	KUNIT_EXPECT_NE(test, cell(p[8]), cell(p[0]));
	KUNIT_EXPECT_EQ(test, magazine_len(test), 1U);
	kmheap_free(p[8]);
	free_elsewhere(test, &p[0], 1);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 2);
	free_live(p, 16);
	expect_all_back(test);
}

static unsigned int magazine_len_elsewhere(struct kunit *test)
{
	return kmh_magazine_len(mcache_elsewhere(test), SPANCLASS);
}

/* @p is an entry of the other CPU: its cell has that tag, and its span has no bit. */
static void expect_held_elsewhere(struct kunit *test, const void *p)
{
	const struct kmh_slots *w = &span(p)->w[0];

	KUNIT_EXPECT_EQ(test, cell(p), (int)mcache_elsewhere(test)->tag);
	KUNIT_EXPECT_FALSE(test, (w->free | atomic_long_read(&w->remote)) & BIT(slot_of(p)));
}

/* In what order two CPUs have come: the first may store plainly, and the second ends that. */
static void second_cpu_makes_a_span_shared(struct kunit *test)
{
	void **p = full_spans(test, 1);
	struct kmh_mspan *s = span(p[0]);

	KUNIT_EXPECT_EQ(test, (int)s->freer, (int)KMH_FREER_NONE);
	kmheap_free(p[0]);
	KUNIT_EXPECT_EQ(test, (int)s->freer, (int)mcache(test)->tag);
	expect_held(test, p[0]);
	kmheap_free(p[1]);
	KUNIT_EXPECT_EQ(test, (int)s->freer, (int)mcache(test)->tag);
	expect_held(test, p[1]);
	KUNIT_EXPECT_EQ(test, home(p[0]), (int)KMH_HOME_FULL);

	/* The first object that another CPU frees goes to the span. */
	free_elsewhere(test, &p[2], 1);
	KUNIT_EXPECT_EQ(test, (int)s->freer, (int)KMH_FREER_SHARED);
	expect_out(test, p[2]);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), (long)BIT(2));
	expect_home(test, s, KMH_HOME_ANNOUNCED);
	KUNIT_EXPECT_EQ(test, magazine_len_elsewhere(test), 0U);
	expect_held(test, p[0]);

	/* Then the objects of both have entries again, though never by a plain store. */
	free_elsewhere(test, &p[3], 1);
	expect_held_elsewhere(test, p[3]);
	KUNIT_EXPECT_EQ(test, magazine_len_elsewhere(test), 1U);
	kmheap_free(p[4]);
	expect_held(test, p[4]);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 3U);
	KUNIT_EXPECT_EQ(test, (int)s->freer, (int)KMH_FREER_SHARED);
	kmh_kunit_no_reports(test);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));

	/* Pages that come back are nobody's. */
	free_range(p, 5, NR_SLOTS);
	kmh_kunit_look_again(kmh_kunit_heap(test));
	drain_elsewhere(test);
	kmh_mheap_drain_lists(&node(test)->mheap);
	KUNIT_EXPECT_PTR_EQ(test, span(p[0]), kmh_kunit_heap(test)->freed);
	p[0] = alloc(test);
	KUNIT_EXPECT_PTR_EQ(test, span(p[0]), s);
	KUNIT_EXPECT_EQ(test, (int)s->freer, (int)KMH_FREER_NONE);
	free_elsewhere(test, p, 1);
	KUNIT_EXPECT_EQ(test, (int)s->freer, (int)mcache_elsewhere(test)->tag);
	expect_held_elsewhere(test, p[0]);
	expect_all_back(test);
}

struct rival {
	struct kunit *test;
	void *p;
};

static void free_first_there(void *arg)
{
	struct rival *r = arg;

	free_elsewhere(r->test, &r->p, 1);
}

/* Two CPUs may come first at the same time. One of them does, and the other is the second then. */
static void first_frees_of_two_cpus_at_once(struct kunit *test)
{
	void **p = full_spans(test, 1);
	struct rival r = { .test = test, .p = p[1] };

	kmh_kunit_at(test, "first free of a span: before the exchange", free_first_there, &r);
	kmheap_free(p[0]);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("first free of a span: before the exchange"));
	KUNIT_EXPECT_EQ(test, (int)span(p[0])->freer, (int)KMH_FREER_SHARED);
	expect_out(test, p[0]);
	expect_held_elsewhere(test, p[1]);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	KUNIT_EXPECT_EQ(test, magazine_len_elsewhere(test), 1U);
	kmh_kunit_no_reports(test);
	free_range(p, 2, NR_SLOTS);
	expect_all_back(test);
}

static void do_nothing(void *arg)
{
}

/*
 * In a shared span exactly one of two frees at the same time has the object, and the other one is
 * known at once, wherever it has stood still: there is one entry, and nothing to be found out.
 */
static void shared_span_knows_of_two_frees_at_once(struct kunit *test)
{
	void **p = full_spans(test, 1);
	struct rival r = { .test = test, .p = p[2] };

	kmheap_free(p[0]);
	free_elsewhere(test, &p[1], 1);
	KUNIT_ASSERT_EQ(test, (int)span(p[0])->freer, (int)KMH_FREER_SHARED);
	kmh_kunit_at(test, "free: between look and store", free_first_there, &r);
	kmh_kunit_at(test, "free: between freer and store", do_nothing, NULL);
	kmheap_free(p[2]);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("free: between look and store"));
	KUNIT_EXPECT_FALSE(test, kmh_kunit_passed("free: between freer and store"));
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 1U);
	KUNIT_EXPECT_EQ(test, magazine_len_elsewhere(test), 1U);
	expect_held(test, p[0]);
	expect_held_elsewhere(test, p[2]);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	kmh_kunit_look_again(kmh_kunit_heap(test));
	drain_elsewhere(test);
	kmh_kunit_no_reports(test);
	expect_out(test, p[2]);
	free_live(p, NR_SLOTS);
	expect_all_back(test);
}

/* ---- specials */

static void note_end(void *p, void *arg)
{
	++*(unsigned int *)arg;
}

/*
 * An object with a special lies among others: those rest as ever, what rested before goes on doing
 * so, and the dead one is in no magazine.
 */
static void specials_leave_magazines(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = full_spans(test, 4);
	unsigned int nends = 0;

	kmheap_free(p[0]);
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(p[0], note_end, &nends), -EINVAL);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(p[1], note_end, &nends), 0);
	KUNIT_EXPECT_EQ(test, span(p[0])->nfast, 0U);
	kmheap_free(p[2]);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 2U);
	expect_held(test, p[0]);
	expect_held(test, p[2]);
	kmheap_free(p[0]);
	kmheap_free(p[2]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 2);
	kmheap_free(p[1]);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 2U);
	kmheap_rcu_barrier(heap);
	KUNIT_EXPECT_EQ(test, nends, 1U);
	expect_out(test, p[1]);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 2U);
	free_range(p, 8, 8 + REST);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[0]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[2]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[1]);
	free_live(p, 32);
	expect_all_back(test);
}

/* ---- the end of a magazine */

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
	kmh_kunit_shrink(heap);
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

	kmh_kunit_shrink(heap);
	metadata = atomic_long_read(&heap->metadata_bytes);
	for (row = 0; row < ARRAY_SIZE(how); row++) {
		void **p = full_spans(test, 3);

		free_range(p, 0, NR_SLOTS);
		free_elsewhere(test, p + NR_SLOTS, NR_SLOTS);
		for (i = 0; i < 3 * NR_SLOTS; i++)
			KUNIT_EXPECT_EQ(test, home(p[i]), (int)KMH_HOME_FULL);
		KUNIT_EXPECT_EQ(test, magazine_len(test), NR_SLOTS);
		how[row](heap);
		for_each_possible_cpu(cpu) {
			struct kmh_mcache *mc = per_cpu_ptr(heap->mcache, cpu);

			KUNIT_EXPECT_NULL(test, mc->magazine[SPANCLASS]);
			KUNIT_EXPECT_NULL(test, mc->slot[SPANCLASS].head);
			KUNIT_EXPECT_NULL(test, mc->slot[SPANCLASS].limit);
			KUNIT_EXPECT_EQ(test, kmh_magazine_len(mc, SPANCLASS), 0U);
		}
		kmh_mheap_drain_lists(&node(test)->mheap);
		/* Free; of a block perhaps with the kernel already. */
		if (heap->backing == KMH_BACKING_AREA || span(p[0]) != &kmh_span_gone) {
			KUNIT_EXPECT_PTR_EQ(test, span(p[0])->heap, heap);
			KUNIT_EXPECT_EQ(test, (int)span(p[0])->state, (int)KMH_SPAN_FREED);
		}
		if (heap->backing == KMH_BACKING_AREA || span(p[NR_SLOTS]) != &kmh_span_gone)
			KUNIT_EXPECT_EQ(test, (int)span(p[NR_SLOTS])->state, (int)KMH_SPAN_FREED);
		kmh_kunit_validate(test);
		free_range(p, 2 * NR_SLOTS, 3 * NR_SLOTS);
		kmh_kunit_shrink(heap);
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
	KUNIT_EXPECT_EQ(test, magazine_len(test), NR_SLOTS);
}

static struct kunit_case magazine_cases[] = {
	KUNIT_CASE(magazine_gives_the_oldest_first),
	KUNIT_CASE(magazine_is_of_one_span_class),
	KUNIT_CASE(magazine_is_of_one_heap),
	KUNIT_CASE(freed_objects_rest),
	KUNIT_CASE(magazine_keeps_so_many),
	KUNIT_CASE(large_objects_rest_less),
	KUNIT_CASE(full_magazine_gives_the_oldest_back),
	KUNIT_CASE(steady_queue_gives_nothing_back),
	KUNIT_CASE(magazine_is_a_queue),
	KUNIT_CASE(eviction_finds_the_slots),
	KUNIT_CASE(rows_go_back_by_eights),
	KUNIT_CASE(busy_mcache_announces),
	KUNIT_CASE(object_of_another_node_goes_back),
	KUNIT_CASE(cells_name_the_cpu),
	KUNIT_CASE(second_cpu_makes_a_span_shared),
	KUNIT_CASE(first_frees_of_two_cpus_at_once),
	KUNIT_CASE(shared_span_knows_of_two_frees_at_once),
	KUNIT_CASE(specials_leave_magazines),
	KUNIT_CASE(magazines_are_given_back),
	KUNIT_CASE(heap_ends_with_magazines),
	{ }
};

static struct kunit_suite magazine_suite = {
	.name = "kmheap_magazine",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = magazine_cases,
};

kunit_test_suite(magazine_suite);
