// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: two frees of an object at the same time, of which neither can know of the other. One is
 * that of the CPU which may free the span's objects with plain stores. Each leaves the slot
 * somewhere; the cell names one of the two parties. The other is found out when the slot goes on
 * from there, at the latest, and the slot has one holder all the while.
 */
#include <linux/bitops.h>

#include "mcache_kunit.h"

/*
 * .init: this CPU has a magazine, which is empty, and its next slot is the first of its span, whose
 * objects it frees with plain stores.
 */
static int mcache_twice_init(struct kunit *test)
{
	int err = mcache_init(test);

	if (err)
		return err;
	kmheap_free(alloc(test));
	kmh_kunit_look_again(kmh_kunit_heap(test));
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	KUNIT_EXPECT_EQ(test, (int)mcslot(test)->span->freer, own_tag());
	return 0;
}

/*
 * Both have given the slot to the span, one with a remote bit and one, by way of the magazine, with
 * a free bit. It is not handed out before the fold, which reports it and makes it free, once.
 */
static void take_skips_slots_with_both_bits(struct kunit *test)
{
	void **p = fill_span(test);
	struct kmh_mspan *s = mcslot(test)->span;
	unsigned long refills = mcache(test)->refills[SPANCLASS];

	free_twice_at_once(test, p[192]);
	kmheap_free(p[193]);
	free_twice_at_once(test, p[194]);
	kmheap_free(p[195]);
	preempt_disable();
	drain_magazines(kmh_kunit_heap(test));
	preempt_enable();
	KUNIT_EXPECT_EQ(test, s->w[3].free, 0xfUL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[3].remote), 0x5L);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[193]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[195]);
	kmh_kunit_no_reports(test);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[192]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 2);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[194]);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], refills);
	free_range(p, 0, NR_SLOTS);
	expect_all_free(test);
}

/* ---- the other free is that of another CPU, by its magazine */

struct popped {
	struct kmheap *heap;
	void **p;
	void *got;
};

static void free_eighteen(void *arg)
{
	struct popped *at = arg;

	kmheap_free(at->p[NR_SLOTS - 1]);	/* goes to the span, as the first one there */
	free_range(at->p, 0, REST + 1);
}

static void alloc_one(void *arg)
{
	struct popped *at = arg;

	at->got = kmheap_alloc(at->heap, BYTES, GFP_ATOMIC);
}

struct free_there {
	struct kunit *test;
	struct popped *at;
};

static void free_there(void *arg)
{
	struct free_there *there = arg;

	kmh_kunit_elsewhere(there->test, free_eighteen, there->at);
}

static void free_second(void *arg)
{
	struct popped *at = arg;

	kmheap_free(at->p[1]);
}

static void free_second_there(void *arg)
{
	struct free_there *there = arg;

	kmh_kunit_elsewhere(there->test, free_second, there->at);
}

/*
 * Free @at->p[0]. While this CPU stands still at @place, another one frees the last object of the
 * span, and then the first seventeen, so that the first of these is the next one to be allocated
 * there.
 */
static void free_first_there(struct kunit *test, struct popped *at, const char *place)
{
	struct free_there there = { .test = test, .at = at };

	if (want_init_on_free())
		kunit_skip(test, "a kernel without fast frees");
	kmh_kunit_at(test, place, free_there, &there);
	kmheap_free(at->p[0]);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed(place));
	KUNIT_EXPECT_GE(test, cell_of(at->p[1]), (int)KMH_CELL_TAG);
	KUNIT_EXPECT_NE(test, cell_of(at->p[1]), own_tag());
	KUNIT_EXPECT_EQ(test, cell_of(at->p[NR_SLOTS - 1]), (int)KMH_CELL_OUT);
}

/* This CPU has seen that it may free with a plain store when the other one comes. */
static void store_over_the_other_tag(struct kunit *test, struct popped *at)
{
	free_first_there(test, at, "free: between freer and store");
	KUNIT_EXPECT_EQ(test, cell_of(at->p[0]), own_tag());
	kmh_kunit_no_reports(test);
}

/*
 * A free that has to make room before it can put the object into the magazine claims the object
 * with an exchange, as that takes a while. So the other free is found out at once.
 */
static void claim_finds_the_other_free(struct kunit *test)
{
	void *p;
	struct meeting m;

	if (want_init_on_free())
		kunit_skip(test, "a kernel without fast frees");
	kmh_mcache_drain_all(kmh_kunit_heap(test));	/* magazines, too */
	p = alloc(test);
	m = (struct meeting){ .p = p };
	kmh_kunit_at(test, "free: between look and store", free_meanwhile, &m);
	kmheap_free(p);
	KUNIT_EXPECT_EQ(test, m.n, 1U);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, cell_of(p), (int)KMH_CELL_OUT);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mcslot(test)->span->w[0].remote), 1L);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	expect_all_free(test);
}

/*
 * And so does every free once another CPU has freed an object of the span, be it while this one
 * stands still: there is room, and it goes by the exchange all the same.
 */
static void claim_in_a_shared_span_finds_the_other_free(struct kunit *test)
{
	void **p = fill_span(test);
	struct kmh_mspan *s = mcslot(test)->span;
	struct popped at = { .heap = kmh_kunit_heap(test), .p = p };
	struct kmh_report r;

	free_first_there(test, &at, "free: between look and store");
	r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, (unsigned long)p[0]);
	KUNIT_EXPECT_EQ(test, (int)s->freer, (int)KMH_FREER_SHARED);
	KUNIT_EXPECT_EQ(test, cell_of(p[0]), cell_of(p[1]));
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	kmh_kunit_expect_conserved(test, at.heap);
	/* Its magazine hands it out, once. */
	kmh_kunit_elsewhere(test, alloc_one, &at);
	KUNIT_EXPECT_PTR_EQ(test, at.got, p[0]);
	kmheap_free(at.got);
	free_range(p, REST + 1, NR_SLOTS - 1);
	expect_all_free(test);
}

/*
 * Of two CPUs that would both be the first to free objects of a span, the one that comes second
 * makes the span shared, and its object goes to the span: the other one may be about to store over
 * it by now.
 */
static void second_freer_makes_the_span_shared(struct kunit *test)
{
	void **full = fill_span(test), *p[] = { alloc(test), alloc(test), alloc(test) };
	struct popped at = { .p = p };
	struct kmh_mspan *s = mcslot(test)->span;

	KUNIT_ASSERT_EQ(test, (int)s->freer, (int)KMH_FREER_NONE);
	kmh_kunit_at(test, "first free of a span: before the exchange", free_second_there,
		     &(struct free_there){ .test = test, .at = &at });
	kmheap_free(p[0]);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("first free of a span: before the exchange"));
	KUNIT_EXPECT_GE(test, cell_of(p[1]), (int)KMH_CELL_TAG);
	KUNIT_EXPECT_NE(test, cell_of(p[1]), own_tag());
	KUNIT_EXPECT_EQ(test, (int)s->freer, (int)KMH_FREER_SHARED);
	KUNIT_EXPECT_EQ(test, cell_of(p[0]), (int)KMH_CELL_OUT);
	KUNIT_EXPECT_EQ(test, s->w[0].free & 7, BIT(0));
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	/* From now on both may keep what they free. */
	kmheap_free(p[2]);
	KUNIT_EXPECT_EQ(test, cell_of(p[2]), own_tag());
	KUNIT_EXPECT_EQ(test, magazine_len(test), 1U);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_range(full, 0, NR_SLOTS);
	expect_all_free(test);
}

/*
 * One has given the slot to the span, and the other, whose store came last, to the magazine. The
 * slot is set aside to be allocated from, and found out when its turn comes. The magazine keeps it.
 */
static void window_leaves_a_slot_to_the_magazine(struct kunit *test)
{
	void **p = fill_span(test), *q;
	struct kmh_mspan *s = mcslot(test)->span;
	unsigned long allocs = kmh_mcache_allocs(mcache(test), SPANCLASS);
	struct kmh_report r;

	free_twice_at_once(test, p[199]);
	KUNIT_EXPECT_EQ(test, cell_of(p[199]), own_tag());
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[3].remote), (long)BIT(7));
	q = alloc(test);
	r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, (unsigned long)p[199]);
	KUNIT_EXPECT_EQ(test, r.bytes, (size_t)BYTES);
	KUNIT_EXPECT_TRUE(test, kmh_span_of((unsigned long)q) != s);
	KUNIT_EXPECT_EQ(test, cell_of(p[199]), own_tag());
	KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), SPANCLASS), allocs + 1);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	/* Its holder hands it out, once, when it has rested. */
	free_range(p, 0, REST);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[199]);
	KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), SPANCLASS), allocs + 2);
	kmh_kunit_no_reports(test);
	free_range(p, REST, NR_SLOTS);
	kmheap_free(q);
	expect_all_free(test);
}

/* As before, with a slot that is set aside between others: these are handed out. */
static void window_goes_on_behind_such_a_slot(struct kunit *test)
{
	void **p = fill_span(test);
	struct kmh_mspan *s = mcslot(test)->span;
	struct frees f = { p, 2, 3 }, g = { p, 4, 5 };

	free_twice_at_once(test, p[3]);
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	kmh_kunit_elsewhere(test, free_elsewhere, &g);
	kmh_kunit_elsewhere(test, drain_magazines, kmh_kunit_heap(test));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), 0x1cL);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[2]);
	KUNIT_EXPECT_EQ(test, mcslot(test)->avail, BIT(3) | BIT(4));
	kmh_kunit_no_reports(test);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[4]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, mcslot(test)->avail, 0UL);
	KUNIT_EXPECT_PTR_EQ(test, mcslot(test)->span, s);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_range(p, 0, 3);
	free_range(p, 4, NR_SLOTS);
	expect_all_free(test);
}

/*
 * The slot has been set aside when the magazine gives it back. The span cannot have it twice, so
 * this is the moment to find out.
 */
static void drain_finds_a_slot_set_aside(struct kunit *test)
{
	void **p = fill_span(test);
	struct kmheap *heap = kmh_kunit_heap(test);
	struct frees f = { p, 2, 3 };
	struct kmh_report r;

	free_twice_at_once(test, p[3]);
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[2]);
	KUNIT_EXPECT_EQ(test, mcslot(test)->avail, BIT(3));
	KUNIT_EXPECT_EQ(test, cell_of(p[3]), own_tag());
	kmh_mcache_drain_all(heap);
	r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, (unsigned long)p[3]);
	KUNIT_EXPECT_EQ(test, cell_of(p[3]), (int)KMH_CELL_OUT);
	free_range(p, 0, 3);
	free_range(p, 4, NR_SLOTS);
	expect_all_free(test);
}

/*
 * The magazine's entry is found out when its turn comes. The other free had its store last, though
 * the entry's CPU had made the span shared and freed the object meanwhile, and has the object.
 */
static void magazine_leaves_an_object_to_another(struct kunit *test)
{
	void **p = fill_span(test);
	struct popped at = { .heap = kmh_kunit_heap(test), .p = p };

	store_over_the_other_tag(test, &at);
	/* The oldest entry there is not handed out. As many rest as have to, so a span serves. */
	kmh_kunit_elsewhere(test, alloc_one, &at);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_ASSERT_NOT_NULL(test, at.got);
	KUNIT_EXPECT_FALSE(test, at.got >= p[0] && at.got <= p[NR_SLOTS - 1]);
	KUNIT_EXPECT_EQ(test, cell_of(p[0]), own_tag());
	kmh_kunit_expect_conserved(test, at.heap);
	kmheap_free(at.got);
	free_range(p, REST + 1, NR_SLOTS - 1);
	expect_all_free(test);
}

/* Nor does it go back to its span with the entries after it. */
static void drain_leaves_an_object_to_another(struct kunit *test)
{
	void **p = fill_span(test);
	struct popped at = { .heap = kmh_kunit_heap(test), .p = p };
	struct kmh_mspan *s = mcslot(test)->span;
	struct kmh_report r;

	store_over_the_other_tag(test, &at);
	kmh_kunit_elsewhere(test, drain_magazines, at.heap);
	r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, (unsigned long)p[0]);
	KUNIT_EXPECT_EQ(test, cell_of(p[0]), own_tag());
	KUNIT_EXPECT_EQ(test, s->w[0].free, 0UL);
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[0].remote), GENMASK(REST, 1));
	kmh_kunit_expect_conserved(test, at.heap);
	free_range(p, REST + 1, NR_SLOTS - 1);
	expect_all_free(test);
}

/*
 * A span of which each slot has a bit does not go to the page heap while a magazine has one of
 * them: what is in the magazine would be the page of another object.
 */
static void span_stays_for_a_slot_in_a_magazine(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = fill_span(test), *q = alloc(test);
	struct kmh_mspan *s = kmh_span_of((unsigned long)p[0]);
	struct frees f = { p, 1, NR_SLOTS };
	struct kmh_report r;

	kmh_kunit_shut_depots(test);
	KUNIT_ASSERT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_FULL);
	free_twice_at_once(test, p[0]);
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	kmh_kunit_elsewhere(test, drain_magazines, heap);
	KUNIT_EXPECT_TRUE(test, kmh_mspan_would_empty(s));
	kmh_kunit_no_reports(test);
	kmh_mcentral_drain(heap->nodes[numa_mem_id()], SPANCLASS);
	r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, (unsigned long)p[0]);
	KUNIT_ASSERT_PTR_EQ(test, kmh_span_of((unsigned long)p[0]), s);
	KUNIT_EXPECT_EQ(test, (int)s->state, (int)KMH_SPAN_SMALL);
	KUNIT_EXPECT_EQ(test, s->w[0].free, ~1UL);
	KUNIT_EXPECT_EQ(test, cell_of(p[0]), own_tag());
	kmh_kunit_expect_conserved(test, heap);
	/* When the magazine has given it back the span goes. */
	kmheap_free(q);
	kmh_mcache_drain_all(heap);
	kmh_mcentral_drain(heap->nodes[numa_mem_id()], SPANCLASS);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p[0]), heap->freed);
	expect_all_free(test);
}

/*
 * What the magazine gives back meets the remote bit of the other free in the fold, which comes
 * with the drain.
 */
static void drain_finds_both_bits(struct kunit *test)
{
	void *p = alloc(test);
	struct kmh_mspan *s = mcslot(test)->span;
	struct kmh_report r;

	free_twice_at_once(test, p);
	KUNIT_EXPECT_EQ(test, cell_of(p), own_tag());
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), 1L);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 0U);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, (unsigned long)p);
	expect_all_free(test);
}

/* A span that the CPU does not have any more gets a second remote bit: known at once. */
static void give_finds_a_remote_bit(struct kunit *test)
{
	void **p = fill_span(test), *q = alloc(test);
	struct kmh_mspan *s = kmh_span_of((unsigned long)p[0]);
	struct kmh_report r;

	KUNIT_ASSERT_NULL(test, s->owner);
	free_twice_at_once(test, p[70]);
	kmheap_free(p[71]);
	preempt_disable();
	drain_magazines(kmh_kunit_heap(test));
	preempt_enable();
	r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, (unsigned long)p[70]);
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[1].remote), BIT(6) | BIT(7));
	KUNIT_EXPECT_EQ(test, cell_of(p[70]), (int)KMH_CELL_OUT);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_range(p, 0, 70);
	free_range(p, 72, NR_SLOTS);
	kmheap_free(q);
	expect_all_free(test);
}

/* An allocation past the mcache, by an interrupt, leaves the slot to the magazine, too. */
static void nested_alloc_leaves_a_slot_to_the_magazine(struct kunit *test)
{
	void **p = fill_span(test), *q = alloc(test), *got;
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mspan *s = kmh_span_of((unsigned long)p[0]);
	struct frees f = { p, 6, 7 };

	free_twice_at_once(test, p[5]);
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	kmh_kunit_elsewhere(test, drain_magazines, heap);
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[0].remote), BIT(5) | BIT(6));
	preempt_disable();
	kmh_mcache_enter(mcache(test));
	got = kmheap_alloc(heap, BYTES, GFP_ATOMIC);
	kmh_mcache_leave(mcache(test));
	preempt_enable();
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_PTR_EQ(test, got, p[6]);
	KUNIT_EXPECT_EQ(test, cell_of(p[5]), own_tag());
	KUNIT_EXPECT_EQ(test, cell_of(p[6]), (int)KMH_CELL_LIVE);
	kmh_kunit_expect_conserved(test, heap);
	free_range(p, 0, 5);
	free_range(p, 6, NR_SLOTS);
	kmheap_free(q);
	expect_all_free(test);
}

/*
 * An allocation goes on until it has found a slot to give, over as many spans as seem to have one
 * that a magazine has. It neither grows the heap, nor refuses, nor ends the rest of other objects.
 */
static void alloc_goes_on_behind_such_spans(struct kunit *test, gfp_t gfp)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = &heap->nodes[numa_mem_id()]->mheap;
	struct frees f = { .from = 5, .to = 6 };
	unsigned long nfree, allocs;
	void **p[4];
	unsigned int i;

	kmh_kunit_no_worker(heap);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = fill_span(test);
	/* The last one is cached. The first one is announced first, and found last. */
	f.p = p[0];
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	for (i = 1; i < ARRAY_SIZE(p); i++) {
		kmheap_free(p[i][1]);	/* this CPU is the span's freer */
		free_twice_at_once(test, p[i][0]);
	}
	KUNIT_EXPECT_EQ(test, magazine_len(test), 6U);
	nfree = mh->pa.nfree;
	allocs = kmh_mcache_allocs(mcache(test), SPANCLASS);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc(heap, BYTES, gfp), p[0][5]);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 3);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 6U);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree);
	KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), SPANCLASS), allocs + 1);
	for (i = 1; i < ARRAY_SIZE(p); i++)
		KUNIT_EXPECT_EQ(test, cell_of(p[i][0]), own_tag());
	kmh_kunit_expect_conserved(test, heap);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		free_range(p[i], i ? 2 : 0, NR_SLOTS);
	expect_all_free(test);
}

static void refill_goes_on_behind_such_spans(struct kunit *test)
{
	alloc_goes_on_behind_such_spans(test, GFP_KERNEL);
}

static void atomic_refill_goes_on_behind_such_spans(struct kunit *test)
{
	alloc_goes_on_behind_such_spans(test, GFP_ATOMIC);
}

/*
 * The second half of double frees that lost a race: the remote bit of the only free slot
 * comes and goes while the slot is wanted. Refill finds that slot or another.
 */
struct raced_doubles {
	struct kmheap *heap;
	struct kmh_mspan *s;
	unsigned int nsame;
	unsigned int nfailed;
	atomic_t stop;
};

static void raced_doubles_thread(void *arg, unsigned int i)
{
	struct raced_doubles *r = arg;
	unsigned int n;

	for (n = 0; i && !atomic_read(&r->stop); n++) {
		if (READ_ONCE(r->s->w[3].free))
			atomic_long_or(BIT(63), &r->s->w[3].remote);
		if (n % 64 == 0)
			cond_resched();
	}
	for (n = 0; !i && n < 1500; n++) {
		void *p = kmheap_alloc(r->heap, BYTES, GFP_KERNEL);

		r->nfailed += !p;
		preempt_disable();
		if (p == (void *)r->s->base + 255 * BYTES) {
			r->nsame++;
			kmh_kunit_free_remote(r->s, 255);
		} else {
			kmheap_free(p);
		}
		preempt_enable();
		if (n % 8 == 0)
			kmh_mcache_drain_all(r->heap);
	}
	if (!i)
		atomic_set(&r->stop, 1);
}

static void refill_survives_raced_doubles(struct kunit *test)
{
	void **p = fill_span(test);
	struct raced_doubles r = { .heap = kmh_kunit_heap(test), .s = mcslot(test)->span };

	kmh_mcache_drain_all(r.heap);
	kmheap_free(p[255]);
	kmh_mcache_drain_all(r.heap);
	kmh_kunit_threads(test, 2, raced_doubles_thread, &r);
	KUNIT_EXPECT_EQ(test, r.nfailed, 0U);
	KUNIT_EXPECT_GT(test, r.nsame, 0U);
	kmh_mcache_drain_all(r.heap);
	kmh_mheap_drain_lists(&r.heap->nodes[numa_mem_id()]->mheap);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, kmh_kunit(test)->nreports[KMH_DOUBLE_FREE]);
	free_range(p, 0, 255);
	expect_all_free(test);
}

static struct kunit_case mcache_twice_cases[] = {
	KUNIT_CASE(take_skips_slots_with_both_bits),
	KUNIT_CASE(claim_finds_the_other_free),
	KUNIT_CASE(claim_in_a_shared_span_finds_the_other_free),
	KUNIT_CASE(second_freer_makes_the_span_shared),
	KUNIT_CASE(window_leaves_a_slot_to_the_magazine),
	KUNIT_CASE(window_goes_on_behind_such_a_slot),
	KUNIT_CASE(drain_finds_a_slot_set_aside),
	KUNIT_CASE(magazine_leaves_an_object_to_another),
	KUNIT_CASE(drain_leaves_an_object_to_another),
	KUNIT_CASE(span_stays_for_a_slot_in_a_magazine),
	KUNIT_CASE(drain_finds_both_bits),
	KUNIT_CASE(give_finds_a_remote_bit),
	KUNIT_CASE(nested_alloc_leaves_a_slot_to_the_magazine),
	KUNIT_CASE(refill_goes_on_behind_such_spans),
	KUNIT_CASE(atomic_refill_goes_on_behind_such_spans),
	KUNIT_CASE(refill_survives_raced_doubles),
	{ }
};

static struct kunit_suite mcache_twice_suite = {
	.name = "kmheap_mcache_twice",
	.init = mcache_twice_init,
	.exit = kmh_kunit_exit,
	.test_cases = mcache_twice_cases,
};

kunit_test_suite(mcache_twice_suite);
