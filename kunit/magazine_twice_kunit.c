// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: magazines: two frees of an object that both find it live. Whoever looks at both accounts
 * of the slot first finds that out, once; the slot has one holder, and none is lost.
 */
#include "magazine_kunit.h"

/* What comes between the looks of a free, at the cell and at the span's freer, and its store. */
struct second {
	struct kunit *test;
	void **p;
	unsigned int n;
	void *first;			/* another object of the span, freed before @p */
	void *got;
};

/*
 * The other CPU makes the span shared with one of its objects, and then frees others of it through
 * its magazine.
 */
static void free_there(void *arg)
{
	struct second *f = arg;

	free_elsewhere(f->test, &f->first, 1);
	KUNIT_EXPECT_EQ(f->test, (int)span(f->first)->freer, (int)KMH_FREER_SHARED);
	free_elsewhere(f->test, f->p, f->n);
}

/* The same, where the first object has been allocated again: the span is full, and on no list. */
static void free_there_full(void *arg)
{
	struct second *f = arg;
	void *again;

	free_elsewhere(f->test, &f->first, 1);
	preempt_enable();	/* the case stays on its CPU */
	kmh_mcentral_drain(node(f->test), SPANCLASS);
	preempt_disable();
	alloc_elsewhere(f->test, &again, 1, BYTES);
	KUNIT_EXPECT_PTR_EQ(f->test, again, f->first);
	drain_elsewhere(f->test);
	KUNIT_EXPECT_EQ(f->test, home(again), (int)KMH_HOME_FULL);
	free_elsewhere(f->test, f->p, f->n);
}

static void free_bulk_there(void *arg)
{
	struct second *f = arg;
	struct elsewhere e = { .p = f->p, .n = f->n };

	kmh_kunit_elsewhere(f->test, free_bulk_fn, &e);
}

static void defer_there(void *arg)
{
	struct second *f = arg;
	struct elsewhere e = { .p = f->p, .n = f->n };

	kmh_kunit_elsewhere(f->test, defer_fn, &e);
}

/*
 * This CPU is the one that frees objects of the span of @p with plain stores: it has freed @p, and
 * a caller that cannot wait for memory has got it back at once.
 */
static void be_freer(struct kunit *test, void *p)
{
	struct kmh_mcache *mc = mcache(test);

	if (READ_ONCE(span(p)->freer) == mc->tag)
		return;
	KUNIT_ASSERT_EQ(test, (int)span(p)->freer, (int)KMH_FREER_NONE);
	KUNIT_ASSERT_EQ(test, magazine_len(test), 0U);
	kmheap_free(p);
	preempt_disable();
	KUNIT_EXPECT_TRUE(test, kmh_mcache_enter(mc));
	KUNIT_EXPECT_PTR_EQ(test, kmh_magazine_take_resting(mc, &mc->slot[SPANCLASS]), p);
	kmh_mcache_leave(mc);
	preempt_enable();
	KUNIT_ASSERT_EQ(test, (int)span(p)->freer, (int)mc->tag);
}

/*
 * Free @p[0], and in the middle of that what @f says, @p[0] among it, by @fn. Both frees of @p[0]
 * have found it live, and the one that comes last has it: it is in this CPU's magazine.
 */
static void free_meanwhile(struct kunit *test, void **p, struct second *f, void (*fn)(void *arg))
{
	f->test = test;
	f->first = p[NR_SLOTS - 1];
	be_freer(test, p[0]);
	kmh_kunit_at(test, "free: between freer and store", fn, f);
	kmheap_free(p[0]);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("free: between freer and store"));
	kmh_kunit_no_reports(test);
	KUNIT_EXPECT_EQ(test, cell(p[0]), (int)mcache(test)->tag);
}

/* Free @p[0], and in the middle of that @p[0] to @p[@n - 1] by @fn. */
static void free_twice(struct kunit *test, void **p, unsigned int n, void (*fn)(void *arg))
{
	struct second f = { .p = p, .n = n };

	free_meanwhile(test, p, &f, fn);
}

/* All has been found out. The entry of @p is this CPU's oldest one, and gives it once. */
static void expect_comes_out(struct kunit *test, const void *p, void **fillers)
{
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_range(fillers, 0, REST);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST + 1);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p);
	KUNIT_EXPECT_EQ(test, cell(p), (int)KMH_CELL_LIVE);
	kmh_kunit_no_reports(test);
}

/* The other CPU's entry is found out when it is to be allocated, and the next one is taken. */
static void twice_is_found_by_an_allocation(struct kunit *test)
{
	void **p = full_spans(test, 6), *q;

	free_twice(test, p, 1, free_there);
	free_elsewhere(test, &p[8], REST + 1);
	alloc_elsewhere(test, &q, 1, BYTES);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_PTR_EQ(test, q, p[8]);
	expect_held(test, p[0]);
	expect_comes_out(test, p[0], &p[32]);
	free_live(p, 48);
	expect_all_back(test);
}

/* The same in a bulk allocation. */
static void alloc_bulk_fn(void *arg)
{
	struct elsewhere *e = arg;

	e->n = kmheap_alloc_bulk(e->heap, e->bytes, GFP_ATOMIC, e->n, e->p);
}

static void twice_is_found_by_a_bulk_allocation(struct kunit *test)
{
	void **p = full_spans(test, 6), *q[3];
	struct elsewhere e = {
		.heap = kmh_kunit_heap(test), .p = q, .n = 3, .bytes = BYTES,
	};

	free_elsewhere(test, &p[8], 1);
	free_twice(test, p, 1, free_there);
	free_elsewhere(test, &p[9], REST + 2);
	kmh_kunit_elsewhere(test, alloc_bulk_fn, &e);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, e.n, 3U);
	KUNIT_EXPECT_PTR_EQ(test, q[0], p[8]);
	KUNIT_EXPECT_PTR_EQ(test, q[1], p[9]);
	KUNIT_EXPECT_PTR_EQ(test, q[2], p[10]);
	expect_comes_out(test, p[0], &p[32]);
	free_live(p, 48);
	expect_all_back(test);
}

/* It is found out when it is to go back, and its neighbours go. */
static void twice_is_found_by_an_eviction(struct kunit *test)
{
	void **p = full_spans(test, 4);

	free_twice(test, p, 3, free_there_full);
	KUNIT_EXPECT_EQ(test, home(p[0]), (int)KMH_HOME_FULL);
	drain_elsewhere(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	expect_home(test, span(p[0]), KMH_HOME_ANNOUNCED);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&span(p[0])->w[0].remote), 6L);
	expect_held(test, p[0]);
	expect_comes_out(test, p[0], &p[8]);
	free_live(p, 32);
	expect_all_back(test);
}

/*
 * Where only the stale entry goes back, its span is not announced for it: nothing would be found
 * there.
 */
static void stale_entry_announces_nothing(struct kunit *test)
{
	void **p = full_spans(test, 4);

	free_twice(test, p, 1, free_there_full);
	KUNIT_EXPECT_EQ(test, home(p[0]), (int)KMH_HOME_FULL);
	drain_elsewhere(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	expect_home(test, span(p[0]), KMH_HOME_FULL);
	expect_held(test, p[0]);
	expect_comes_out(test, p[0], &p[8]);
	free_live(p, 32);
	expect_all_back(test);
}

/*
 * The other free, of a whole span at a time, has given the slot back: the bit is there when this
 * entry goes back.
 */
static void twice_is_found_by_the_bit(struct kunit *test)
{
	void **p = full_spans(test, 2), *q[NR_SLOTS + 1];
	unsigned int i, k = 0, n = NR_SLOTS;

	grow(test, 4);
	free_twice(test, p, n, free_bulk_there);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&span(p[0])->w[0].remote), 0xffL);
	kmh_kunit_look_again(kmh_kunit_heap(test));
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	expect_out(test, p[0]);
	expect_home(test, span(p[0]), KMH_HOME_ANNOUNCED);
	for (i = 0; i <= n; i++) {
		q[i] = alloc(test);
		k += q[i] == p[0];
	}
	KUNIT_EXPECT_EQ(test, k, 1U);
	KUNIT_EXPECT_PTR_NE(test, span(q[n]), span(p[0]));
	kmheap_free(q[n]);
	free_live(p, 16);
	expect_all_back(test);
}

/* Free @p on the other CPU, whatever becomes of it there. */
static void free_it_there(void *arg)
{
	struct second *f = arg;

	free_elsewhere(f->test, f->p, f->n);
}

/*
 * The magazine has no room, so the object is claimed, and another free was faster: that is known at
 * once, and no room is made. It was the other CPU's first one of the span, so that has the slot.
 */
static void twice_is_found_by_a_full_magazine(struct kunit *test)
{
	void **p = full_spans(test, MAGAZINE / NR_SLOTS + 1);
	struct second f = { .test = test, .p = p, .n = 1 };

	free_range(p, 1, 1 + MAGAZINE);
	KUNIT_ASSERT_EQ(test, magazine_len(test), MAGAZINE);
	KUNIT_ASSERT_EQ(test, (int)span(p[0])->freer, (int)mcache(test)->tag);
	kmh_kunit_at(test, "free: between look and store", free_it_there, &f);
	kmheap_free(p[0]);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("free: between look and store"));
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	expect_out(test, p[0]);
	KUNIT_EXPECT_EQ(test, magazine_len(test), MAGAZINE);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	drain_elsewhere(test);
	expect_out(test, p[0]);
	kmh_kunit_no_reports(test);
	free_live(p, NR_SLOTS + MAGAZINE);
	expect_all_back(test);
}

/* The deferred bit says that the slot waits; when it has waited, its cell says otherwise. */
static void twice_is_found_after_the_grace_period(struct kunit *test)
{
	void **p = full_spans(test, 4);

	free_twice(test, p, 2, defer_there);
	KUNIT_EXPECT_TRUE(test, kmh_mspan_slot_waits(span(p[0]), 0));
	close_and_expire(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, pending_bytes(kmh_kunit_heap(test)), 0L);
	expect_held(test, p[0]);
	expect_out(test, p[1]);
	expect_comes_out(test, p[0], &p[8]);
	free_live(p, 32);
	expect_all_back(test);
}

/* The entry goes back while the slot still waits: the sweep finds a cell that does not wait. */
static void twice_is_found_after_it_went_back(struct kunit *test)
{
	void **p = full_spans(test, 4), *q;

	free_twice(test, p, 1, defer_there);
	kmh_kunit_look_again(kmh_kunit_heap(test));
	expect_out(test, p[0]);
	q = alloc(test);
	KUNIT_EXPECT_PTR_EQ(test, q, p[0]);
	kmh_kunit_no_reports(test);
	close_and_expire(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, cell(p[0]), (int)KMH_CELL_LIVE);
	free_live(p, 32);
	expect_all_back(test);
}

/* Pages stay while a deferred bit of theirs is to be swept: it is counted, and it may tell. */
static void twice_is_found_though_all_is_free(struct kunit *test)
{
	void **p = full_spans(test, 1);

	free_range(p, 1, NR_SLOTS);
	free_twice(test, p, 1, defer_there);
	kmh_kunit_look_again(kmh_kunit_heap(test));
	kmh_mheap_drain_lists(&node(test)->mheap);
	close_and_expire(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, pending_bytes(kmh_kunit_heap(test)), 0L);
	expect_all_back(test);
}

/*
 * The slot that the other CPU's stale entry names is freed there once more: two entries of one
 * magazine have the right tag. @p[0] has been allocated and freed again since, on both CPUs.
 */
static void **one_slot_twice_in_a_magazine(struct kunit *test, bool apart)
{
	void **p = full_spans(test, 8);

	free_twice(test, p, 1, free_there);
	free_range(p, 8, 8 + REST);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[0]);
	if (apart)
		free_elsewhere(test, &p[24], 1);
	free_elsewhere(test, p, 1);
	kmh_kunit_no_reports(test);
	return p;
}

static void one_slot_twice_is_found_in_one_eviction(struct kunit *test)
{
	void **p = one_slot_twice_in_a_magazine(test, false);

	drain_elsewhere(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	expect_out(test, p[0]);
	free_live(p, 64);
	expect_all_back(test);
}

static void one_slot_twice_is_found_in_two_evictions(struct kunit *test)
{
	void **p = one_slot_twice_in_a_magazine(test, true);

	drain_elsewhere(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	expect_out(test, p[0]);
	expect_out(test, p[24]);
	free_live(p, 64);
	expect_all_back(test);
}

static void one_slot_twice_is_found_by_an_allocation(struct kunit *test)
{
	void **p = one_slot_twice_in_a_magazine(test, true), *q[3];

	free_elsewhere(test, &p[32], REST + 1);
	alloc_elsewhere(test, q, 3, BYTES);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_PTR_EQ(test, q[0], p[0]);
	KUNIT_EXPECT_PTR_EQ(test, q[1], p[24]);
	KUNIT_EXPECT_PTR_EQ(test, q[2], p[32]);
	free_live(p, 64);
	expect_all_back(test);
}

/* Whole life of an object on another CPU between the look and the store of a free. */
static void reuse_there(void *arg)
{
	struct second *f = arg;

	free_there(f);
	alloc_elsewhere(f->test, &f->got, 1, BYTES);
}

/*
 * A free that comes so late frees what another client has by now, as with any allocator. That
 * client's own free is reported, and the slot has one holder.
 */
static void free_that_comes_too_late(struct kunit *test)
{
	void **p = full_spans(test, 6), *q[REST + 1];
	struct second f = { .p = q, .n = REST + 1 };

	q[0] = p[0];
	memcpy(&q[1], &p[NR_SLOTS], REST * sizeof(*q));
	free_meanwhile(test, p, &f, reuse_there);
	KUNIT_EXPECT_PTR_EQ(test, f.got, p[0]);
	expect_held(test, p[0]);
	free_elsewhere(test, &f.got, 1);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	expect_comes_out(test, p[0], &p[24]);
	drain_elsewhere(test);
	KUNIT_EXPECT_EQ(test, cell(p[0]), (int)KMH_CELL_LIVE);
	kmh_kunit_no_reports(test);
	free_live(p, 48);
	expect_all_back(test);
}

/* The last slot of the span is freed and its pages go, with the free of another CPU under way. */
struct going {
	struct kunit *test;
	struct kmh_mspan *s;
	void *p;
	unsigned int spanclass;		/* what is made of the pages, or 0 */
	struct kmh_mspan *next;
};

static void free_the_pages(void *arg)
{
	const struct kmh_sizeclass *class;
	struct going *g = arg;

	kmheap_free(g->p);
	preempt_enable();	/* the case stays on its CPU, and has the heap for itself */
	kmh_mheap_drain_lists(&node(g->test)->mheap);
	preempt_disable();
	if (!g->spanclass)
		return;
	class = &kmh_classes[kmh_spanclass_class(g->spanclass)];
	g->next = kmh_mheap_alloc_span(&node(g->test)->mheap, NULL, g->spanclass, class->npages,
				       class->align_pages, true, NULL);
}

/*
 * Free the last slot of a span twice, so that its pages go in between. The entry is of no slot any
 * more: it is found out when it is to go back, and nothing is given to whoever has the descriptor.
 */
static void entry_of_a_span_that_has_gone(struct kunit *test, unsigned int spanclass)
{
	void **p = full_spans(test, 1);
	struct going g = {
		.test = test, .s = span(p[7]), .p = p[7], .spanclass = spanclass
	};

	free_range(p, 0, 7);
	kmh_kunit_look_again(kmh_kunit_heap(test));
	kmh_kunit_at(test, "free: between freer and store", free_the_pages, &g);
	kmheap_free(p[7]);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("free: between freer and store"));
	if (!spanclass)
		KUNIT_ASSERT_PTR_EQ(test, span(p[7]), kmh_kunit_heap(test)->freed);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 1U);
	KUNIT_EXPECT_EQ(test, g.s->cell[7], mcache(test)->tag);
	kmh_kunit_no_reports(test);
	kmh_kunit_look_again(kmh_kunit_heap(test));
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	/* Nobody knows here whose cell it is by now: it stays until the descriptor's next life. */
	KUNIT_EXPECT_EQ(test, g.s->cell[7], mcache(test)->tag);
	if (g.next) {
		/* The descriptor is that of the pages again, in which there is no such slot. */
		KUNIT_EXPECT_PTR_EQ(test, g.next, g.s);
		KUNIT_EXPECT_PTR_EQ(test, span(p[7]), g.s);
		KUNIT_EXPECT_EQ(test, g.next->w[0].free, 0xfUL);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&g.next->w[0].remote), 0L);
		uncache_span(test, g.next);
		kmh_mcentral_drain(node(test), spanclass);
	}
	expect_all_back(test);
}

static void entry_of_freed_pages_is_dropped(struct kunit *test)
{
	entry_of_a_span_that_has_gone(test, 0);
}

static void entry_of_a_span_of_another_class_is_dropped(struct kunit *test)
{
	entry_of_a_span_that_has_gone(test, kmh_spanclass(kmh_size_to_class(2048), false));
}

/* Entries of two spans whose pages have gone are both found out. */
static void entries_of_freed_pages_are_found_out(struct kunit *test)
{
	void **p = full_spans(test, 2);

	be_freer(test, p[0]);
	be_freer(test, p[8]);
	free_twice(test, &p[0], 1, free_there);
	free_twice(test, &p[8], 1, free_there);
	free_live(p, 16);
	kmh_kunit_look_again(kmh_kunit_heap(test));
	kmh_mheap_drain_lists(&node(test)->mheap);
	KUNIT_ASSERT_PTR_EQ(test, span(p[0]), kmh_kunit_heap(test)->freed);
	KUNIT_ASSERT_PTR_EQ(test, span(p[8]), kmh_kunit_heap(test)->freed);
	drain_elsewhere(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 2);
	expect_all_back(test);
}

/*
 * The other CPU has a stale entry of @p[0], whose pages have gone; its descriptor has become that
 * of other pages, with objects of @bytes bytes. @q: all @n of them, live. Return: what has the old
 * pages.
 */
static void *stale_entry_of_a_moved_descriptor(struct kunit *test, void **p, void **q,
					       unsigned int n, size_t bytes)
{
	struct kmh_mspan *s = span(p[0]);
	unsigned int i;
	void *page;

	free_twice(test, p, 1, free_there);
	free_live(p, NR_SLOTS);
	kmh_kunit_look_again(kmh_kunit_heap(test));
	kmh_mheap_drain_lists(&node(test)->mheap);
	KUNIT_ASSERT_PTR_EQ(test, span(p[0]), kmh_kunit_heap(test)->freed);
	page = alloc_bytes(test, 8);
	KUNIT_ASSERT_PTR_EQ(test, page, p[0]);
	for (i = 0; i < n; i++) {
		q[i] = alloc_bytes(test, bytes);
		KUNIT_ASSERT_PTR_EQ(test, span(q[i]), s);
	}
	KUNIT_ASSERT_EQ(test, (unsigned int)s->nelems, n);
	KUNIT_ASSERT_EQ(test, slot_of(q[0]), 0U);
	KUNIT_ASSERT_PTR_NE(test, q[0], p[0]);
	kmh_kunit_no_reports(test);
	return page;
}

/* Good entries of the new span, in the same cells, go back all the same. */
static void entry_of_freed_pages_takes_no_others_along(struct kunit *test)
{
	void **p = full_spans(test, 1), *q[NR_SLOTS], *page;

	page = stale_entry_of_a_moved_descriptor(test, p, q, NR_SLOTS, BYTES);
	free_elsewhere(test, &q[0], 3);
	drain_elsewhere(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	expect_out(test, q[0]);
	expect_out(test, q[1]);
	expect_out(test, q[2]);
	kmheap_free(page);
	free_live(q, NR_SLOTS);
	expect_all_back(test);
}

/*
 * The new span is of another class, and the other CPU has freed an object of it into the same cell:
 * an entry of another magazine. That one goes back to its span when both do.
 */
static void entry_of_freed_pages_spares_another_class(struct kunit *test)
{
	void **p = full_spans(test, 1), *q[NR_SLOTS / 2], *page;

	page = stale_entry_of_a_moved_descriptor(test, p, q, NR_SLOTS / 2, 2 * BYTES);
	free_elsewhere(test, q, 1);
	KUNIT_ASSERT_EQ(test, cell(q[0]), (int)mcache_elsewhere(test)->tag);
	drain_elsewhere(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	expect_out(test, q[0]);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	kmheap_free(page);
	free_live(q, NR_SLOTS / 2);
	expect_all_back(test);
}

/* The same, where the stale entry goes alone, and the other one is handed out afterwards. */
static void entry_of_another_class_is_handed_out(struct kunit *test)
{
	void **p = full_spans(test, 1 + MAGAZINE / NR_SLOTS);
	void *q[NR_SLOTS / 2], *more[NR_SLOTS], *page, *got;
	unsigned int i;

	kmh_kunit_shut_depots(test);
	page = stale_entry_of_a_moved_descriptor(test, p, q, NR_SLOTS / 2, 2 * BYTES);
	for (i = 0; i < NR_SLOTS; i++)
		more[i] = alloc_bytes(test, 2 * BYTES);
	free_elsewhere(test, q, 1);
	free_elsewhere(test, more, NR_SLOTS);
	kmh_kunit_no_reports(test);
	free_elsewhere(test, &p[NR_SLOTS], MAGAZINE);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, cell(q[0]), (int)mcache_elsewhere(test)->tag);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	alloc_elsewhere(test, &got, 1, 2 * BYTES);
	KUNIT_EXPECT_PTR_EQ(test, got, q[0]);
	KUNIT_EXPECT_EQ(test, cell(q[0]), (int)KMH_CELL_LIVE);
	kmh_kunit_no_reports(test);
	kmheap_free(page);
	free_live(q, NR_SLOTS / 2);
	expect_all_back(test);
}

/* ---- a deferred bit that is left over, and the next object of its slot */

/* A free of @p on the other CPU, after a grace period, which stands still where it is told to. */
struct deferral {
	struct kunit *test;
	void **p;
	atomic_t standing, may_go, done;
};

static void stand_still(void *arg)
{
	struct kmh_kunit_wait wait = kmh_kunit_wait_begin();
	struct deferral *d = arg;

	atomic_set(&d->standing, 1);
	while (!atomic_read(&d->may_go) && kmh_kunit_spin_more(&wait))
		;
}

static void defer_once(void *arg)
{
	struct deferral *d = arg;

	kmheap_free_rcu(*d->p);
	atomic_set(&d->done, 1);
}

/* Begin it, and go on here when it stands still. */
static void begin_to_defer_there(void *arg)
{
	int cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	struct kmh_kunit_wait wait = kmh_kunit_wait_begin();
	struct deferral *d = arg;

	kmh_kunit_at_any(d->test, "free_rcu: between the claim and the bit", stand_still, d);
	KUNIT_EXPECT_EQ(d->test, smp_call_function_single(cpu, defer_once, d, false), 0);
	while (!atomic_read(&d->standing) && kmh_kunit_spin_more(&wait))
		;
	KUNIT_EXPECT_TRUE(d->test, atomic_read(&d->standing));
}

/* All of it. */
static void defer_all_there(void *arg)
{
	struct deferral *d = arg;

	kmh_kunit_elsewhere(d->test, defer_once, d);
}

/*
 * @p[0] was deferred and freed at the same time, and a client has got it again. Its deferred bit is
 * in the set that is swept next. Nothing is known of it yet.
 */
static struct kmh_mspan *left_over_bit(struct kunit *test, void **p)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mspan *s = span(p[0]);

	free_twice(test, p, 1, defer_there);
	defer_close(test);
	kmh_kunit_look_again(heap);
	KUNIT_ASSERT_PTR_EQ(test, alloc(test), p[0]);
	kmh_mcache_drain_all(heap);
	KUNIT_ASSERT_EQ(test, home(p[0]), (int)KMH_HOME_LISTED);
	defer_open(test);
	KUNIT_ASSERT_EQ(test, atomic_long_read(kmh_mspan_deferred(s, 0, !(heap->defer.gen & 1))),
			1L);
	kmh_kunit_no_reports(test);
	return s;
}

/*
 * That client defers the object, rightly, when the sweep has looked at the cells and not yet taken
 * the set. The object waits for a grace period of its own.
 */
static void left_over_bit_ends_no_wait(struct kunit *test, struct deferral *d,
				       void (*fn)(void *arg), unsigned int nreports)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mspan *s = left_over_bit(test, d->p);
	unsigned int set = heap->defer.gen & 1;

	kmh_kunit_at(test, "sweep of deferred slots: cells, then the set", fn, d);
	KUNIT_EXPECT_EQ(test, kmh_mcentral_sweep_one(central(test, SPANCLASS)), 1U);
	atomic_set(&d->may_go, 1);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("sweep of deferred slots: cells, then the set"));
	kmh_kunit_wait_for(test, atomic_read(&d->done));
	sweep_finish(test);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, nreports);
	KUNIT_EXPECT_EQ(test, cell(*d->p), (int)KMH_CELL_WAITS);
	KUNIT_EXPECT_EQ(test, atomic_long_read(kmh_mspan_deferred(s, 0, set)), 1L);
	KUNIT_EXPECT_EQ(test, atomic_long_read(kmh_mspan_deferred(s, 0, !set)), 0L);
	KUNIT_EXPECT_EQ(test, pending_bytes(heap), (long)BYTES);
	kmh_kunit_expect_conserved(test, heap);

	close_and_expire(test);
	expect_out(test, *d->p);
	KUNIT_EXPECT_EQ(test, pending_bytes(heap), 0L);
	kmh_kunit_no_reports(test);
}

/* Its bit comes when the sweep is over, so the left-over one is all that there is to be seen. */
static void left_over_bit_is_not_its_successor_s(struct kunit *test)
{
	void **p = full_spans(test, 1);
	struct deferral d = { .test = test, .p = p };

	left_over_bit_ends_no_wait(test, &d, begin_to_defer_there, 0);
	free_live(p, NR_SLOTS);
	expect_all_back(test);
}

/* Its bit is in the other set when the left-over one is taken, which it finds and reports. */
static void left_over_bit_is_found_by_its_successor(struct kunit *test)
{
	void **p = full_spans(test, 1);
	struct deferral d = { .test = test, .p = p };

	left_over_bit_ends_no_wait(test, &d, defer_all_there, 1);
	free_live(p, NR_SLOTS);
	expect_all_back(test);
}

static struct kunit_case magazine_twice_cases[] = {
	KUNIT_CASE(twice_is_found_by_an_allocation),
	KUNIT_CASE(twice_is_found_by_a_bulk_allocation),
	KUNIT_CASE(twice_is_found_by_an_eviction),
	KUNIT_CASE(stale_entry_announces_nothing),
	KUNIT_CASE(twice_is_found_by_the_bit),
	KUNIT_CASE(twice_is_found_by_a_full_magazine),
	KUNIT_CASE(twice_is_found_after_the_grace_period),
	KUNIT_CASE(twice_is_found_after_it_went_back),
	KUNIT_CASE(one_slot_twice_is_found_in_one_eviction),
	KUNIT_CASE(one_slot_twice_is_found_in_two_evictions),
	KUNIT_CASE(one_slot_twice_is_found_by_an_allocation),
	KUNIT_CASE(free_that_comes_too_late),
	KUNIT_CASE(entry_of_freed_pages_is_dropped),
	KUNIT_CASE(entry_of_a_span_of_another_class_is_dropped),
	KUNIT_CASE(twice_is_found_though_all_is_free),
	KUNIT_CASE(entries_of_freed_pages_are_found_out),
	KUNIT_CASE(entry_of_freed_pages_takes_no_others_along),
	KUNIT_CASE(entry_of_freed_pages_spares_another_class),
	KUNIT_CASE(entry_of_another_class_is_handed_out),
	KUNIT_CASE(left_over_bit_is_not_its_successor_s),
	KUNIT_CASE(left_over_bit_is_found_by_its_successor),
	{ }
};

static struct kunit_suite magazine_twice_suite = {
	.name = "kmheap_magazine_twice",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = magazine_twice_cases,
};

kunit_test_suite(magazine_twice_suite);
