// SPDX-License-Identifier: GPL-2.0
/* KUnit: per-CPU caches: the window, refill, draining. */
#include <linux/bitops.h>
#include <linux/rcupdate.h>

#include "mcache_kunit.h"

/* ---- the window */

static void take_walks_the_words(struct kunit *test)
{
	struct kmh_mcslot *c = mcslot(test);
	struct kmh_mspan *s = NULL;
	void **p = objects(test, NR_SLOTS + 1);
	unsigned int i;

	KUNIT_EXPECT_NULL(test, c->span);
	KUNIT_EXPECT_EQ(test, c->avail, 0UL);
	for (i = 0; i < NR_SLOTS; i++) {
		p[i] = alloc(test);
		if (!i)
			s = c->span;
		KUNIT_ASSERT_NOT_NULL(test, s);
		KUNIT_EXPECT_EQ(test, (unsigned long)p[i], s->base + i * BYTES);
		KUNIT_EXPECT_PTR_EQ(test, c->span, s);
		KUNIT_EXPECT_PTR_EQ(test, c->wcell, &s->cell[i / 64 * 64]);
		KUNIT_EXPECT_EQ(test, c->wbase, s->base + i / 64 * 64 * BYTES);
		/* The slots of the window have no free bit, and are nobody's yet. */
		KUNIT_EXPECT_EQ(test, c->avail, ~0UL << 1 << i % 64);
		KUNIT_EXPECT_EQ(test, s->w[i / 64].free, 0UL);
		KUNIT_EXPECT_EQ(test, kmh_cells_of(s, i / 64, KMH_CELL_OUT), c->avail);
		KUNIT_EXPECT_EQ(test, kmh_cells_of(s, i / 64, KMH_CELL_LIVE), ~c->avail);
		KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), SPANCLASS), i + 1UL);
	}
	KUNIT_EXPECT_PTR_EQ(test, s->owner, mcache(test));
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_CACHED);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);

	p[i] = alloc(test);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 2UL);
	KUNIT_EXPECT_TRUE(test, c->span != s);
	KUNIT_EXPECT_EQ(test, (unsigned long)p[i], c->span->base);
	KUNIT_EXPECT_PTR_EQ(test, c->span->owner, mcache(test));
	KUNIT_EXPECT_NULL(test, s->owner);
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_FULL);
	free_range(p, 0, NR_SLOTS + 1);
	expect_all_free(test);
}

/* An allocation takes slots that are set aside first, then the lowest free slot. */
static void free_into_window_is_taken_again(struct kunit *test)
{
	struct kmh_mcslot *c = mcslot(test);
	void *p[128];
	unsigned int i;

	kmh_kunit_no_magazines(kmh_kunit_heap(test));
	for (i = 0; i < 100; i++)
		p[i] = alloc(test);
	KUNIT_EXPECT_EQ(test, c->avail, GENMASK(63, 36));
	for (i = 64; i < 100; i++) {
		kmheap_free(p[i]);
		KUNIT_EXPECT_EQ(test, c->span->w[1].free, GENMASK(i - 64, 0));
		KUNIT_EXPECT_EQ(test, atomic_long_read(&c->span->w[1].remote), 0L);
		KUNIT_EXPECT_EQ(test, cell_of(p[i]), (int)KMH_CELL_OUT);
	}
	KUNIT_EXPECT_EQ(test, c->avail, GENMASK(63, 36));
	for (; i < ARRAY_SIZE(p); i++) {
		p[i] = alloc(test);
		KUNIT_EXPECT_EQ(test, (unsigned long)p[i], c->span->base + i * BYTES);
	}
	KUNIT_EXPECT_EQ(test, c->avail, 0UL);
	for (i = 64; i < 100; i++)
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[i]);
	/* Of several free slots the lowest is taken. */
	kmheap_free(p[90]);
	kmheap_free(p[70]);
	kmheap_free(p[80]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[70]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[80]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[90]);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);
	free_range(p, 0, ARRAY_SIZE(p));
	expect_all_free(test);
}

/*
 * The window comes before objects that have been freed lately: each rests until sixteen more have
 * been freed. Then it comes before the window, the oldest one first.
 */
static void freed_objects_rest_then_come_first(struct kunit *test)
{
	struct kmh_mcslot *c = mcslot(test);
	void **p = objects(test, 3 * REST);
	unsigned long avail, allocs;
	unsigned int i;

	for (i = 0; i < 3 * REST; i++)
		p[i] = alloc(test);
	for (i = 0; i < REST; i++) {
		kmheap_free(p[i]);
		KUNIT_EXPECT_EQ(test, cell_of(p[i]), own_tag());
	}
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[3 * REST - 1] + BYTES);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST);
	avail = c->avail;
	allocs = kmh_mcache_allocs(mcache(test), SPANCLASS);
	for (; i < 3 * REST; i++) {
		kmheap_free(p[i]);
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[i - REST]);
		KUNIT_EXPECT_EQ(test, cell_of(p[i - REST]), (int)KMH_CELL_LIVE);
		KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), SPANCLASS), ++allocs);
	}
	KUNIT_EXPECT_EQ(test, c->avail, avail);
	/* No bit of the span has changed all the while. */
	KUNIT_EXPECT_EQ(test, c->span->w[0].free, 0UL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&c->span->w[0].remote), 0L);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	free_range(p, 0, 2 * REST);
	kmheap_free(p[3 * REST - 1] + BYTES);
	expect_all_free(test);
}

/* How many slots are set aside at a time: neighbours, never beyond the word or the span. */
static void take_by_batches(struct kunit *test, unsigned int spanclass)
{
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];
	unsigned int batch = class->size <= 128 ? 64 : class->size <= 512 ? 16 : 8;
	struct kmh_mcslot *c = &mcache(test)->slot[spanclass];
	unsigned int i, last = min_t(unsigned int, class->nelems, batch) - 1;
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mspan *s;
	void *p;

	for (i = 0; i < class->nelems; i++) {
		unsigned int first = i % 64 / batch * batch;
		unsigned long all, group;

		p = kmheap_alloc(heap, class->size, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_ASSERT_PTR_EQ(test, p, (void *)kmh_mspan_slot_addr(c->span, i));
		all = kmh_mspan_word_mask(c->span, i / 64);
		group = all & (~0UL >> (64 - batch) << first);
		KUNIT_EXPECT_EQ_MSG(test, c->avail, group & (~0UL << 1 << i % 64),
				    "slot %u of %u bytes", i, class->size);
		KUNIT_EXPECT_EQ_MSG(test, c->span->w[i / 64].free, all & (~0UL << first) & ~group,
				    "slot %u of %u bytes", i, class->size);
		KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), spanclass), i + 1UL);
	}
	/* Of free slots in two batches only those in the lower one are set aside. */
	s = c->span;
	kmheap_free((void *)kmh_mspan_slot_addr(s, last));
	if (last)
		kmheap_free((void *)kmh_mspan_slot_addr(s, last - 1));
	if (last + 1 < min_t(unsigned int, class->nelems, 64))
		kmheap_free((void *)kmh_mspan_slot_addr(s, last + 1));
	for (i = last ? last - 1 : 0; i < min3(last + 2U, (unsigned int)class->nelems, 64U); i++) {
		KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc(heap, class->size, GFP_KERNEL),
				    (void *)kmh_mspan_slot_addr(s, i));
		KUNIT_EXPECT_EQ(test, c->avail, i < last ? BIT(last) : 0UL);
	}
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[spanclass], 1UL);
	for (i = 0; i < class->nelems; i++)
		kmheap_free((void *)kmh_mspan_slot_addr(s, i));
}

static void batch_sizes(struct kunit *test)
{
	unsigned int spanclass;

	kmh_kunit_no_magazines(kmh_kunit_heap(test));
	for (spanclass = 2; spanclass < KMH_NR_SPANCLASSES; spanclass += 2)
		take_by_batches(test, spanclass);
	expect_all_free(test);
}

/* A slot that is set aside is free: freeing it is a double free, on this CPU and on another. */
static void free_of_a_slot_set_aside_is_double(struct kunit *test)
{
	struct kmh_mcslot *c = mcslot(test);
	void *p = alloc(test), *next = p + BYTES;
	struct frees f = { &next, 0, 1 };

	KUNIT_EXPECT_EQ(test, c->avail, ~1UL);
	kmheap_free(next);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free_rcu(next);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, c->avail, ~1UL);
	KUNIT_EXPECT_EQ(test, cell_of(next), (int)KMH_CELL_OUT);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), next);
	KUNIT_EXPECT_EQ(test, c->avail, ~3UL);
	free_range((void *[]){ p, next }, 0, 2);
	expect_all_free(test);
}

/* A slot that was set aside and not handed out is free when the span leaves the cache. */
static void drain_gives_back_what_was_set_aside(struct kunit *test)
{
	void *p = alloc(test);
	struct kmh_mspan *s = mcslot(test)->span;
	unsigned long allocs = kmh_mcache_allocs(mcache(test), SPANCLASS);

	KUNIT_EXPECT_EQ(test, s->w[0].free, 0UL);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	KUNIT_EXPECT_EQ(test, mcslot(test)->avail, 0UL);
	KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mcache(test), SPANCLASS), allocs);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 1U);
	KUNIT_EXPECT_EQ(test, s->w[0].free, ~1UL);
	kmheap_free(p);
	expect_all_free(test);
}

/* Words with free slots come first; slots that other CPUs have freed are folded after that. */
static void turn_leaves_remote_frees_to_refill(struct kunit *test)
{
	void **p = fill_span(test);
	struct frees f = { p, 70, 71 };
	struct kmh_mspan *s = mcslot(test)->span;

	kmh_kunit_no_magazines(kmh_kunit_heap(test));
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	kmheap_free(p[0]);
	kmheap_free(p[130]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[0]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[130]);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[1].remote), (long)BIT(70 - 64));
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[70]);
	KUNIT_EXPECT_PTR_EQ(test, mcslot(test)->wcell, &s->cell[64]);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[1].remote), 0L);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);
	free_range(p, 0, NR_SLOTS);
	expect_all_free(test);
}

/* A slot freed outside the window is found when the walk comes round. */
static void free_behind_window_is_found_by_wrap(struct kunit *test)
{
	struct kmh_mcslot *c = mcslot(test);
	void **p = objects(test, NR_SLOTS);
	unsigned int i;

	kmh_kunit_no_magazines(kmh_kunit_heap(test));
	for (i = 0; i < 130; i++)
		p[i] = alloc(test);
	KUNIT_EXPECT_PTR_EQ(test, c->wcell, &c->span->cell[128]);
	kmheap_free(p[5]);
	kmheap_free(p[100]);
	for (; i < NR_SLOTS; i++) {
		p[i] = alloc(test);
		KUNIT_EXPECT_EQ(test, (unsigned long)p[i], c->span->base + i * BYTES);
	}
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[5]);
	KUNIT_EXPECT_PTR_EQ(test, c->wcell, &c->span->cell[0]);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[100]);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);
	free_range(p, 0, NR_SLOTS);
	expect_all_free(test);
}

static void refill_folds_its_own_span_first(struct kunit *test)
{
	void **p = fill_span(test);
	struct kmh_mspan *s = mcslot(test)->span;
	struct frees f = { p, 100, 103 };
	unsigned int i;

	kmh_kunit_no_magazines(kmh_kunit_heap(test));
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[1].remote),
			GENMASK(38, 36));
	KUNIT_EXPECT_EQ(test, s->w[1].free, 0UL);
	for (i = 100; i < 103; i++)
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[i]);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 1UL);
	KUNIT_EXPECT_PTR_EQ(test, mcslot(test)->span, s);
	free_range(p, 0, NR_SLOTS);
	expect_all_free(test);
}

static void refill_takes_announced_span(struct kunit *test)
{
	void **first = fill_span(test), **second = fill_span(test), *p[3];
	struct kmh_mspan *s = kmh_span_of((unsigned long)first[0]);
	unsigned int i;

	kmh_kunit_no_magazines(kmh_kunit_heap(test));	/* the two frees would stay in one */
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_FULL);
	/*
	 * The span is not this CPU's any more: its frees set remote bits, though this CPU has
	 * filled it.
	 */
	kmheap_free(first[7]);
	kmheap_free(first[200]);
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_ANNOUNCED);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = alloc(test);
	KUNIT_EXPECT_PTR_EQ(test, p[0], first[7]);
	KUNIT_EXPECT_PTR_EQ(test, p[1], first[200]);
	KUNIT_EXPECT_TRUE(test, kmh_span_of((unsigned long)p[2]) != s);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], 4UL);
	free_range(first, 0, NR_SLOTS);
	free_range(second, 0, NR_SLOTS);
	kmheap_free(p[2]);
	expect_all_free(test);
}

/* ---- objects that go to their spans, and objects that rest no longer */

/*
 * An object of another node than the CPU allocates from goes to its span: with a free bit if this
 * CPU has the span, with a remote one otherwise. Other objects go into the magazine meanwhile.
 */
struct far {
	struct kmh_mspan *s;
	unsigned int slot;
	enum kmh_free_result res;
};

static void free_far(void *arg)
{
	struct far *far = arg;
	u16 nid = far->s->nid;

	preempt_disable();
	WRITE_ONCE(far->s->nid, nid + 1);
	far->res = kmh_free_slot(far->s, far->slot, kmh_mspan_slot_addr(far->s, far->slot));
	WRITE_ONCE(far->s->nid, nid);
	preempt_enable();
}

static void far_object_goes_to_its_span(struct kunit *test)
{
	void *p[6], *first = alloc(test);
	struct kmh_mspan *s = mcslot(test)->span;
	struct far here = { .s = s, .slot = 1 }, there = { .s = s, .slot = 3 };
	struct frees near = { p, 4, 6 };
	unsigned int i;

	for (i = 1; i < ARRAY_SIZE(p); i++)
		p[i] = alloc(test);
	/* Both CPUs have a magazine, and there is room. The first free there goes to the span. */
	kmheap_free(p[2]);
	kmh_kunit_elsewhere(test, free_elsewhere, &near);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), (long)BIT(4));
	free_far(&here);
	KUNIT_EXPECT_EQ(test, (int)here.res, (int)KMH_FREE_OK);
	kmh_kunit_elsewhere(test, free_far, &there);
	KUNIT_EXPECT_EQ(test, (int)there.res, (int)KMH_FREE_OK);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 1U);
	KUNIT_EXPECT_EQ(test, cell_of(p[1]), (int)KMH_CELL_OUT);
	KUNIT_EXPECT_EQ(test, cell_of(p[2]), own_tag());
	KUNIT_EXPECT_EQ(test, cell_of(p[3]), (int)KMH_CELL_OUT);
	KUNIT_EXPECT_EQ(test, cell_of(p[4]), (int)KMH_CELL_OUT);
	KUNIT_EXPECT_GE(test, cell_of(p[5]), (int)KMH_CELL_TAG);
	KUNIT_EXPECT_NE(test, cell_of(p[5]), own_tag());
	KUNIT_EXPECT_EQ(test, s->w[0].free, BIT(1));
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[0].remote), BIT(3) | BIT(4));
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	/* A second far free is as double as any. */
	free_far(&here);
	KUNIT_EXPECT_EQ(test, (int)here.res, (int)KMH_FREE_DOUBLE);
	kmheap_free(first);
	expect_all_free(test);
}

/* Take all of the heap's pages in objects of another class: a chain of them. */
static void *use_up(struct kmheap *heap)
{
	void *chain = NULL, **p;

	while ((p = kmheap_alloc(heap, 1024, GFP_ATOMIC))) {
		*p = chain;
		chain = p;
	}
	return chain;
}

static void free_chain(void *chain)
{
	void *next;

	for (; chain; chain = next) {
		next = *(void **)chain;
		kmheap_free(chain);
	}
}

/*
 * A caller that cannot wait for memory gets objects that rest rather than none, the oldest one
 * first. Once there is a span to allocate from, freed objects rest again.
 */
static void rest_ends_where_an_atomic_caller_would_get_none(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p, *chain, *q;
	unsigned int i;

	kmh_kunit_no_worker(heap);
	KUNIT_ASSERT_EQ(test, kmh_mspan_pools_refill(512, GFP_KERNEL), 0);
	p = fill_span(test);
	chain = use_up(heap);
	KUNIT_ASSERT_NOT_NULL(test, chain);
	KUNIT_ASSERT_NULL(test, kmheap_alloc(heap, BYTES, GFP_ATOMIC));
	free_range(p, 10, 15);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 5U);
	for (i = 10; i < 15; i++) {
		KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc(heap, BYTES, GFP_ATOMIC), p[i]);
		KUNIT_EXPECT_EQ(test, cell_of(p[i]), (int)KMH_CELL_LIVE);
	}
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, BYTES, GFP_ATOMIC));
	/* While nothing else is left, an object that has been freed is the next one. */
	kmheap_free(p[20]);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc(heap, BYTES, GFP_ATOMIC), p[20]);

	free_chain(chain);
	kmh_heap_drain(heap);
	free_range(p, 0, REST);
	q = kmheap_alloc(heap, BYTES, GFP_ATOMIC);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_EXPECT_TRUE(test, kmh_span_of((unsigned long)q) != kmh_span_of((unsigned long)p[0]));
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST);
	kmheap_free(q);
	KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[0]);
	free_range(p, REST, NR_SLOTS);
	kmheap_free(p[0]);
	expect_all_free(test);
}

/* With a magazine that is kept over the shortage the rest begins again, too. */
static void rest_comes_back_with_a_refill(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p, **r, *chain;
	unsigned int i, refills;

	kmh_kunit_no_worker(heap);
	KUNIT_ASSERT_EQ(test, kmh_mspan_pools_refill(512, GFP_KERNEL), 0);
	p = fill_span(test);
	chain = use_up(heap);
	KUNIT_ASSERT_NOT_NULL(test, chain);
	kmheap_free(p[0]);
	KUNIT_ASSERT_PTR_EQ(test, kmheap_alloc(heap, BYTES, GFP_ATOMIC), p[0]);
	refills = mcache(test)->refills[SPANCLASS];
	free_chain(chain);
	r = fill_span(test);
	KUNIT_EXPECT_EQ(test, mcache(test)->refills[SPANCLASS], refills + 1UL);
	free_range(p, 0, REST);
	KUNIT_EXPECT_EQ(test, magazine_len(test), REST);
	for (i = 0; i < 3; i++) {
		void *q = alloc(test);

		KUNIT_EXPECT_EQ(test, magazine_len(test), REST);
		kmheap_free(q);
		KUNIT_EXPECT_PTR_EQ(test, alloc(test), p[i]);
	}
	free_range(p, REST, NR_SLOTS);
	free_range(p, 0, 3);
	free_range(r, 0, NR_SLOTS);
	expect_all_free(test);
}

/* ---- double frees, by what the first one left behind */

static void free_rcu_elsewhere(void *arg)
{
	struct frees *f = arg;

	kmheap_free_rcu(f->p[f->from]);
}

/* Free @p, which is not live, in every way. Each is reported, and nothing changes. */
static void expect_double(struct kunit *test, void *p, int cell)
{
	struct frees f = { &p, 0, 1 };
	struct kmh_mspan *s = kmh_span_of((unsigned long)p);
	unsigned int word = ((unsigned long)p - s->base) / s->elemsize / KMH_WORD_SLOTS;
	unsigned long free = s->w[word].free, remote = atomic_long_read(&s->w[word].remote);
	unsigned long waiting = kmh_mspan_waiting(s, word);

	KUNIT_EXPECT_EQ(test, cell_of(p), cell);
	kmheap_free(p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_elsewhere(test, free_elsewhere, &f);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free_sized(p, BYTES);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free_bulk(1, &p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free_rcu(p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_elsewhere(test, free_rcu_elsewhere, &f);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, cell_of(p), cell);
	KUNIT_EXPECT_EQ(test, s->w[word].free, free);
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[word].remote), remote);
	KUNIT_EXPECT_EQ(test, kmh_mspan_waiting(s, word), waiting);
}

static void free_elsewhere_then_here_is_double(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = objects(test, 4);
	struct frees first = { p, 3, 4 }, f = { p, 1, 2 };
	struct kmh_mspan *s;
	unsigned int i;

	for (i = 0; i < 4; i++)
		p[i] = alloc(test);
	s = mcslot(test)->span;
	kmheap_free(p[0]);				/* in this CPU's magazine */
	expect_double(test, p[0], own_tag());
	/* The first free of another CPU: a remote bit. */
	kmh_kunit_elsewhere(test, free_elsewhere, &first);
	expect_double(test, p[3], KMH_CELL_OUT);
	kmh_kunit_elsewhere(test, free_elsewhere, &f);	/* in another CPU's magazine */
	KUNIT_EXPECT_GE(test, cell_of(p[1]), (int)KMH_CELL_TAG);
	KUNIT_EXPECT_NE(test, cell_of(p[1]), own_tag());
	expect_double(test, p[1], cell_of(p[1]));
	kmh_magazines_drain_all(heap);			/* given back by both */
	KUNIT_EXPECT_EQ(test, s->w[0].free & 0xf, BIT(0));
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[0].remote), BIT(1) | BIT(3));
	expect_double(test, p[0], KMH_CELL_OUT);
	expect_double(test, p[1], KMH_CELL_OUT);
	rcu_read_lock();	/* no grace period ends */
	kmheap_free_rcu(p[2]);				/* a deferred bit */
	expect_double(test, p[2], KMH_CELL_WAITS);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 0U);
	rcu_read_unlock();
	kmheap_rcu_barrier(heap);
	expect_double(test, p[2], KMH_CELL_OUT);	/* has been one */
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 0U);
	expect_all_free(test);
}

/* The same without magazines, though the CPU had one, and frees with plain stores what that has. */
static void free_past_the_magazine_then_again_is_double(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = objects(test, 2);
	struct frees f = { p, 1, 2 };
	struct kmh_mspan *s;

	kmheap_free(alloc(test));
	KUNIT_EXPECT_EQ(test, (int)mcslot(test)->span->freer, own_tag());
	kmh_kunit_no_magazines(heap);
	kmh_kunit_look_again(heap);
	p[0] = alloc(test);
	p[1] = alloc(test);
	s = mcslot(test)->span;
	kmheap_free(p[0]);				/* a free bit of this CPU's span */
	expect_double(test, p[0], KMH_CELL_OUT);
	kmh_kunit_elsewhere(test, free_elsewhere, &f);	/* a remote bit */
	expect_double(test, p[1], KMH_CELL_OUT);
	KUNIT_EXPECT_EQ(test, s->w[0].free, BIT(0));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), (long)BIT(1));
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 0U);
	expect_all_free(test);
}

/* ---- draining */

static const size_t drain_sizes[] = { 3, 8, 32, 100, 1024, 5000, 32768 };

struct drain_job {
	struct kmheap *heap;
	void *p[KMH_KUNIT_THREADS][2 * ARRAY_SIZE(drain_sizes)];
	unsigned int nfailed;
};

static void drain_alloc(void *arg, unsigned int i)
{
	struct drain_job *job = arg;
	unsigned int j;

	for (j = 0; j < ARRAY_SIZE(job->p[i]); j++) {
		size_t bytes = drain_sizes[j / 2];

		job->p[i][j] = j % 2 ? kmheap_alloc(job->heap, bytes, GFP_KERNEL) :
				       kmheap_alloc_data(job->heap, bytes, GFP_KERNEL);
		if (!job->p[i][j])
			job->nfailed++;
		else
			memset(job->p[i][j], 16 * i + j, bytes);
	}
}

static void drain_all_leaves_nothing_cached(struct kunit *test)
{
	struct drain_job *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);
	unsigned int i, j, n = min(num_online_cpus(), KMH_KUNIT_THREADS), ncached = 0, cpu;
	struct kmheap_stats before, after;

	KUNIT_ASSERT_NOT_NULL(test, job);
	job->heap = kmh_kunit_heap(test);
	kmh_kunit_threads(test, n, drain_alloc, job);
	KUNIT_ASSERT_EQ(test, job->nfailed, 0U);
	for_each_online_cpu(cpu)
		ncached += !!per_cpu_ptr(job->heap->mcache, cpu)->slot[SPANCLASS].span;
	KUNIT_EXPECT_EQ(test, ncached, n);

	kmh_kunit_balanced(test, job->heap, &before);
	kmh_mcache_drain_all(job->heap);
	expect_nothing_cached(test, job->heap);
	kmh_kunit_balanced(test, job->heap, &after);
	KUNIT_EXPECT_EQ(test, after.cached_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, after.live_objects, before.live_objects);
	KUNIT_EXPECT_EQ(test, after.live_bytes, before.live_bytes);
	KUNIT_EXPECT_EQ(test, after.free_bytes, before.free_bytes + before.cached_bytes);
	KUNIT_EXPECT_EQ(test, after.allocs, before.allocs);
	for (i = 0; i < n; i++) {
		for (j = 0; j < ARRAY_SIZE(job->p[i]); j++) {
			KUNIT_EXPECT_NULL(test, memchr_inv(job->p[i][j], 16 * i + j,
							   drain_sizes[j / 2]));
			kmheap_free(job->p[i][j]);
		}
	}
	expect_all_free(test);
}

static void drain_returns_pages_of_emptied_spans(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = &heap->nodes[numa_mem_id()]->mheap;
	unsigned long nfree = mh->pa.nfree, metadata = atomic_long_read(&heap->metadata_bytes);
	void **p = fill_span(test);

	KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree - 1);
	free_range(p, 0, NR_SLOTS);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree - 1);	/* kept while it is cached */
	kmh_mcache_drain_all(heap);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, nfree);
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&heap->metadata_bytes), metadata);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p[0]), heap->freed);
	expect_all_free(test);
}

struct holder {
	struct kmheap *heap;
	struct kmh_mspan *span;
	struct kmh_mspan *after;
	void *p;
	atomic_t state;			/* 1: held, 2: drained */
};

static void holder_thread(void *arg, unsigned int i)
{
	struct holder *h = arg;
	struct kmh_mcache *mc;

	if (!i) {
		while (!atomic_read_acquire(&h->state))
			cond_resched();
		kmh_mcache_drain_all(h->heap);
		atomic_set_release(&h->state, 2);
		return;
	}
	h->p = kmheap_alloc(h->heap, BYTES, GFP_KERNEL);
	preempt_disable();
	mc = this_cpu_ptr(h->heap->mcache);
	kmh_mcache_enter(mc);
	h->span = mc->slot[SPANCLASS].span;
	atomic_set_release(&h->state, 1);
	while (atomic_read_acquire(&h->state) != 2)
		cpu_relax();
	h->after = mc->slot[SPANCLASS].span;
	kmh_mcache_leave(mc);
	preempt_enable();
}

/* A CPU in its section is left alone, and drain_all returns all the same. */
static void drain_all_passes_over_a_busy_cpu(struct kunit *test)
{
	struct holder h = { .heap = kmh_kunit_heap(test) };

	KUNIT_ASSERT_GE(test, num_online_cpus(), 2U);
	kmh_kunit_threads(test, 2, holder_thread, &h);
	KUNIT_ASSERT_NOT_NULL(test, h.p);
	KUNIT_EXPECT_NOT_NULL(test, h.span);
	KUNIT_EXPECT_PTR_EQ(test, h.after, h.span);
	kmheap_free(h.p);
	expect_all_free(test);
}

static void drain_dead_takes_what_a_cpu_left(struct kunit *test)
{
	struct drain_job *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, cpu;

	KUNIT_ASSERT_NOT_NULL(test, job);
	job->heap = heap;
	kmh_kunit_threads(test, 2, drain_alloc, job);
	KUNIT_ASSERT_EQ(test, job->nfailed, 0U);
	/* The CPUs are alive, but nobody uses this heap on them. */
	for_each_possible_cpu(cpu)
		kmh_mcache_drain_dead(heap, cpu);
	expect_nothing_cached(test, heap);
	kmh_kunit_validate(test);
	for (i = 0; i < 2; i++)
		free_range(job->p[i], 0, ARRAY_SIZE(job->p[i]));
	expect_all_free(test);
}

static void allocs_add_up_over_cpus(struct kunit *test)
{
	struct drain_job *job = kunit_kzalloc(test, sizeof(*job), GFP_KERNEL);
	unsigned int i, n = min(num_online_cpus(), KMH_KUNIT_THREADS);
	u64 each = ARRAY_SIZE(job->p[0]);
	struct kmheap_stats st;

	KUNIT_ASSERT_NOT_NULL(test, job);
	job->heap = kmh_kunit_heap(test);
	for (i = 1; i <= 3; i++) {
		unsigned int j;

		kmh_kunit_threads(test, n, drain_alloc, job);
		KUNIT_ASSERT_EQ(test, job->nfailed, 0U);
		kmh_kunit_balanced(test, job->heap, &st);
		KUNIT_EXPECT_EQ(test, st.allocs, i * n * each);
		KUNIT_EXPECT_EQ(test, st.live_objects, n * each);
		for (j = 0; j < n; j++)
			free_range(job->p[j], 0, each);
		kmh_mcache_drain_all(job->heap);	/* the counters stay */
		kmh_kunit_balanced(test, job->heap, &st);
		KUNIT_EXPECT_EQ(test, st.allocs, i * n * each);
		KUNIT_EXPECT_EQ(test, st.frees, i * n * each);
	}
	expect_all_free(test);
}

/* ---- the validator */

static void validate_finds_damage(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test);
	struct kmh_mspan *s = mcslot(test)->span;
	unsigned int n = 0;

	KUNIT_EXPECT_EQ(test, kmh_mcache_validate(heap, kmh_kunit_count_finding, &n), 0U);
	s->owner = NULL;
	KUNIT_EXPECT_EQ(test, kmh_mcache_validate(heap, kmh_kunit_count_finding, &n), 1U);
	KUNIT_EXPECT_EQ(test, n, 1U);
	s->owner = mcache(test);
	KUNIT_EXPECT_EQ(test, kmh_mcache_validate(heap, kmh_kunit_count_finding, &n), 0U);
	kmheap_free(p);
	expect_all_free(test);
}

static struct kunit_case mcache_cases[] = {
	KUNIT_CASE(take_walks_the_words),
	KUNIT_CASE(free_into_window_is_taken_again),
	KUNIT_CASE(freed_objects_rest_then_come_first),
	KUNIT_CASE(batch_sizes),
	KUNIT_CASE(free_of_a_slot_set_aside_is_double),
	KUNIT_CASE(drain_gives_back_what_was_set_aside),
	KUNIT_CASE(turn_leaves_remote_frees_to_refill),
	KUNIT_CASE(free_behind_window_is_found_by_wrap),
	KUNIT_CASE(refill_folds_its_own_span_first),
	KUNIT_CASE(refill_takes_announced_span),
	KUNIT_CASE(far_object_goes_to_its_span),
	KUNIT_CASE(rest_ends_where_an_atomic_caller_would_get_none),
	KUNIT_CASE(rest_comes_back_with_a_refill),
	KUNIT_CASE(free_elsewhere_then_here_is_double),
	KUNIT_CASE(free_past_the_magazine_then_again_is_double),
	KUNIT_CASE(drain_all_leaves_nothing_cached),
	KUNIT_CASE(drain_returns_pages_of_emptied_spans),
	KUNIT_CASE(drain_all_passes_over_a_busy_cpu),
	KUNIT_CASE(drain_dead_takes_what_a_cpu_left),
	KUNIT_CASE(allocs_add_up_over_cpus),
	KUNIT_CASE(validate_finds_damage),
	{ }
};

static struct kunit_suite mcache_suite = {
	.name = "kmheap_mcache",
	.init = mcache_init,
	.exit = kmh_kunit_exit,
	.test_cases = mcache_cases,
};

kunit_test_suite(mcache_suite);
