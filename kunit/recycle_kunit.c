// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: a descriptor becomes another span between a look at it and the act that follows. The
 * case itself does what another party would do meanwhile, at the place in question
 * (testpoint.h); the functions it needs may be called with preemption off.
 */
#include "recycle_kunit.h"

#define CLASS_2K	kmh_spanclass(kmheap_size_class(2048), false)	/* 4 slots, a word */
#define CLASS_8K	kmh_spanclass(kmheap_size_class(8192), false)

/* ---- magazines */

/* Object 2 of a span whose other objects have been freed, and have gone back. */
static void *last_of_a_span(struct kunit *test)
{
	void **p = full_spans(test, 1), *last = p[2];

	KUNIT_ASSERT_EQ(test, (unsigned long)last, span(last)->base + 2 * BYTES);
	free_range(p, 0, 2);
	free_range(p, 3, NR_SLOTS);
	kmh_kunit_look_again(kmh_kunit_heap(test));
	return last;
}

static void recycle_now(void *arg)
{
	recycle_span(arg);
}

/*
 * An object keeps its span, however empty that is otherwise, while a free has looked at it and not
 * stored yet, and while it is in the magazine. When it has gone back to the span, that goes.
 */
static void entry_keeps_its_span(struct kunit *test)
{
	void *p = last_of_a_span(test);
	struct recycle r = { .test = test, .s = span(p), .spanclass = CLASS_2K };

	kmh_kunit_at(test, "free: between look and store", recycle_now, &r);
	kmheap_free(p);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("free: between look and store"));
	KUNIT_EXPECT_FALSE(test, r.again);
	KUNIT_EXPECT_PTR_EQ(test, span(p), r.s);
	expect_home(test, r.s, KMH_HOME_PARTIAL);
	KUNIT_EXPECT_EQ(test, r.s->w[0].free, 0xffUL & ~BIT(2));
	KUNIT_EXPECT_GE(test, r.s->cell[2], KMH_CELL_TAG);
	end_span(test, r.made);

	preempt_disable();
	recycle_span(&r);
	preempt_enable();
	KUNIT_EXPECT_FALSE(test, r.again);
	KUNIT_EXPECT_PTR_EQ(test, span(p), r.s);
	KUNIT_EXPECT_EQ(test, r.s->w[0].free, 0xffUL & ~BIT(2));
	end_span(test, r.made);

	kmh_kunit_look_again(kmh_kunit_heap(test));
	preempt_disable();
	recycle_span(&r);
	preempt_enable();
	KUNIT_EXPECT_TRUE(test, r.again);
	end_span(test, r.made);
	kmh_kunit_no_reports(test);
}

/* The section is taken, so this free goes straight to the span. */
static void free_and_recycle(void *arg)
{
	struct recycle *r = arg;

	kmheap_free(r->p);
	recycle_span(r);
	if (r->again && r->freed)
		kmh_kunit_free_remote(r->s, 2);
}

/*
 * Between the looks of a free, at the cell and at who may store there plainly, and its store
 * another one frees the object, and the span becomes one whose slots are twice as large. The store
 * comes too late, and frees another object, that of slot 2. If that one is free its bit is found
 * when the entry goes back. Each slot has one holder, and the others stay as they are.
 */
static void free_of_another_life(struct kunit *test, bool freed)
{
	void *p = last_of_a_span(test);
	struct recycle r = {
		.test = test, .s = span(p), .base = span(p)->base, .spanclass = CLASS_2K,
		.freed = freed, .p = p,
	};
	unsigned int slot;

	kmh_kunit_at(test, "free: between freer and store", free_and_recycle, &r);
	kmheap_free(p);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("free: between freer and store"));
	KUNIT_ASSERT_TRUE(test, r.again);
	KUNIT_ASSERT_EQ(test, r.s->base, r.base);
	/* Nobody has freed objects of the new span through a magazine. */
	KUNIT_EXPECT_EQ(test, (int)r.s->freer, (int)KMH_FREER_NONE);
	KUNIT_EXPECT_GE(test, r.s->cell[2], KMH_CELL_TAG);
	kmh_kunit_no_reports(test);

	kmh_kunit_look_again(kmh_kunit_heap(test));
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, freed);
	KUNIT_EXPECT_EQ(test, r.s->w[0].free, 0UL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&r.s->w[0].remote), (long)BIT(2));
	for (slot = 0; slot < r.s->nelems; slot++)
		KUNIT_EXPECT_EQ(test, r.s->cell[slot],
				slot == 2 ? KMH_CELL_OUT : KMH_CELL_LIVE);
	/* Its own free is reported. */
	kmheap_free((void *)kmh_mspan_slot_addr(r.s, 2));
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	end_span(test, r.s);
	kmh_kunit_no_reports(test);
}

static void free_of_another_life_frees_another_object(struct kunit *test)
{
	free_of_another_life(test, false);
}

static void free_of_another_life_finds_a_free_slot(struct kunit *test)
{
	free_of_another_life(test, true);
}

/*
 * The same before the second look, which shows that this CPU may not store plainly in the span that
 * there is by now: its exchange fails, the slot is free.
 */
static void free_of_another_life_is_known_at_once(struct kunit *test)
{
	void *p = last_of_a_span(test);
	struct recycle r = {
		.test = test, .s = span(p), .spanclass = CLASS_2K, .freed = true, .p = p,
	};

	kmh_kunit_at(test, "free: between look and store", free_and_recycle, &r);
	kmheap_free(p);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("free: between look and store"));
	KUNIT_ASSERT_TRUE(test, r.again);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	KUNIT_EXPECT_EQ(test, r.s->cell[2], KMH_CELL_OUT);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&r.s->w[0].remote), (long)BIT(2));
	end_span(test, r.s);
	kmh_kunit_no_reports(test);
}

static void free_and_change_heaps(void *arg)
{
	struct recycle *r = arg;

	free_and_recycle(r);
	if (r->again)
		WRITE_ONCE(r->s->heap, r->heap);
}

/*
 * Before a free claims its object another one frees it, and the descriptor becomes a span at the
 * same address, of the same class, and of another heap, whose objects do not belong into this one's
 * magazine. The claim lets the object go as it was (recycle_claim_kunit.c has other spans). An
 * arena that goes from one heap to another takes more than a grace period, so the case writes the
 * other heap itself.
 */
static void free_of_another_heap_s_object(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = one_left_of_a_span(test, 2);
	struct recycle r = {
		.test = test, .s = span(p), .base = span(p)->base, .spanclass = SPANCLASS, .p = p,
	};
	struct kmh_report report;

	r.heap = kmheap_create("kunit-other", NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, r.heap);
	kmh_kunit_at(test, "free: before the claim", free_and_change_heaps, &r);
	kmheap_free(p);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("free: before the claim"));
	KUNIT_EXPECT_TRUE(test, r.again);
	report = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, report.addr, (unsigned long)p);
	KUNIT_EXPECT_PTR_EQ(test, report.heap, r.heap);
	WRITE_ONCE(r.s->heap, heap);
	KUNIT_EXPECT_EQ(test, r.s->base, r.base);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(r.s, NULL), NR_SLOTS);
	kmh_kunit_expect_conserved(test, heap);
	kmh_kunit_look_again(heap);
	end_span(test, r.s);
	kmheap_destroy(r.heap);
}

/*
 * The same, and the span is of another class and has an object at the same address, its first. That
 * is freed, as a free that comes too late does; but as an object of the class that it is of.
 */
static void free_that_comes_too_late_knows_the_class(struct kunit *test)
{
	void *p = one_left_of_a_span(test, 0);
	struct recycle r = { .test = test, .s = span(p), .spanclass = CLASS_2K, .p = p };

	kmh_kunit_at(test, "free: before the claim", free_and_recycle, &r);
	kmheap_free(p);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("free: before the claim"));
	KUNIT_ASSERT_TRUE(test, r.again);
	KUNIT_ASSERT_EQ(test, r.s->base, (unsigned long)p);
	kmh_kunit_no_reports(test);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	KUNIT_EXPECT_EQ(test, kmh_magazine_len(mcache(test), CLASS_2K), 1U);
	expect_held(test, p);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
	kmheap_free(p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_look_again(kmh_kunit_heap(test));
	expect_out(test, p);
	end_span(test, r.s);
	kmh_kunit_no_reports(test);
}

/* ---- many at a time */

/*
 * The last object of r->s has just been freed. A reader of the descriptor may find the base
 * of one span and the arithmetic of the next.
 */
static void recycle_under_bulk(void *arg)
{
	struct recycle *r = arg;

	recycle_span(r);
	if (r->again)
		WRITE_ONCE(r->s->base, r->base);
}

/*
 * What is left of two spans side by side, in the order of addresses: @n objects of each. No other
 * span is empty: the descriptor that comes free last is the next one to be used.
 */
static void neighbours(struct kunit *test, struct recycle *r, void **both, unsigned int n)
{
	void **p = full_spans(test, 3);
	unsigned int i, k, other;

	for (k = 0; k < 2; k++)
		if (p[(k + 1) * NR_SLOTS] == p[k * NR_SLOTS] + KMH_PAGE_SIZE)
			break;
	KUNIT_ASSERT_LT(test, k, 2U);
	for (i = 0; i < n; i++) {
		both[i] = p[k * NR_SLOTS + i];
		both[n + i] = p[(k + 1) * NR_SLOTS + i];
		p[k * NR_SLOTS + i] = NULL;
		p[(k + 1) * NR_SLOTS + i] = NULL;
	}
	other = k ? 0 : 2 * NR_SLOTS;
	r->q = p[other];
	p[other] = NULL;
	free_range(p, 0, 3 * NR_SLOTS);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	kmh_inbox_sweep_announced(central(test, SPANCLASS));
	KUNIT_ASSERT_EQ(test, home(both[0]), (int)KMH_HOME_PARTIAL);
	KUNIT_ASSERT_EQ(test, home(both[n]), (int)KMH_HOME_PARTIAL);
	r->s = span(both[0]);
	r->base = r->s->base;
}

/*
 * A run that goes to its span may be the last of it: the next object is looked up anew. That is a
 * run of four, or of fewer that find no room in a magazine.
 */
static void bulk_leaves_a_span_it_has_emptied(struct kunit *test, unsigned int n)
{
	struct recycle r = { .test = test, .spanclass = CLASS_8K };
	unsigned int i, slot;
	unsigned long base;
	void *both[8];

	neighbours(test, &r, both, n);
	kmh_kunit_at(test, "bulk free, after a run", recycle_under_bulk, &r);
	kmheap_free_bulk(2 * n, both);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("bulk free, after a run"));
	KUNIT_ASSERT_TRUE(test, r.again);
	/* Restore the base, which the map tells. */
	for (base = r.s->arena->range.first; kmh_span_of_page(base) != r.s; base++)
		;
	WRITE_ONCE(r.s->base, base << KMH_PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&r.s->w[0].remote), 0L);
	for (slot = 0; slot < r.s->nelems; slot++)
		KUNIT_EXPECT_EQ(test, r.s->cell[slot], KMH_CELL_LIVE);
	for (i = 0; i < n; i++)
		KUNIT_EXPECT_NE(test, (int)state_of(both[n + i]), (int)KMHEAP_OBJECT_LIVE);
	end_span(test, r.s);
	kmheap_free(r.q);
	kmh_kunit_no_reports(test);
}

static void bulk_leaves_a_span_after_a_run(struct kunit *test)
{
	bulk_leaves_a_span_it_has_emptied(test, 4);
}

static void bulk_leaves_a_span_without_a_magazine(struct kunit *test)
{
	kmh_kunit_no_magazines(kmh_kunit_heap(test));
	bulk_leaves_a_span_it_has_emptied(test, 1);
}

/* A run that goes into the magazine keeps its span, in which the next object may be, too. */
static void bulk_keeps_a_span_by_its_entries(struct kunit *test)
{
	struct recycle r = { .test = test, .spanclass = CLASS_8K };
	void *both[4];

	neighbours(test, &r, both, 2);
	swap(both[0], both[1]);		/* not side by side any more: two runs */
	kmh_kunit_at(test, "bulk free, after a run", recycle_under_bulk, &r);
	kmheap_free_bulk(4, both);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("bulk free, after a run"));
	KUNIT_EXPECT_FALSE(test, r.again);
	KUNIT_EXPECT_PTR_EQ(test, span(both[0]), r.s);
	KUNIT_EXPECT_GE(test, r.s->cell[0], KMH_CELL_TAG);
	KUNIT_EXPECT_GE(test, r.s->cell[1], KMH_CELL_TAG);
	end_span(test, r.made);
	kmheap_free(r.q);
	kmh_kunit_no_reports(test);
}

/* ---- large objects */

static void free_and_reuse(void *arg)
{
	struct recycle *r = arg;

	if (r->spanclass)
		kmheap_free_pages(r->p, r->spanclass);
	else
		kmheap_free(r->p);
	r->q = kmheap_alloc(r->heap, 200 << 10, GFP_ATOMIC);
	r->again = r->q && span(r->q) == r->s;
}

/* Two threads free an object too long to be parked at the same time, and a third one allocates. */
static void two_frees_of_a_large_object(struct kunit *test, void (*fn)(const void *p),
					unsigned int npages)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct recycle r = { .test = test, .heap = heap, .spanclass = npages };

	r.p = npages ? kmheap_alloc_pages(heap, npages, GFP_KERNEL) :
		       kmheap_alloc(heap, 1200 << 10, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r.p);
	r.s = span(r.p);
	kmh_kunit_at(test, "claim of a large object", free_and_reuse, &r);
	fn(r.p);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("claim of a large object"));
	KUNIT_ASSERT_TRUE(test, r.again);
	KUNIT_EXPECT_EQ(test, (int)state_of(r.q), (int)KMHEAP_OBJECT_LIVE);
	KUNIT_EXPECT_EQ(test, kmheap_size(r.q), (size_t)204800);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_validate(test);
	kmheap_free(r.q);
}

static void free_150_pages(const void *p)
{
	kmheap_free_pages(p, 150);
}

static void two_frees_of_a_large_object_at_once(struct kunit *test)
{
	two_frees_of_a_large_object(test, kmheap_free, 0);
}

static void two_frees_of_a_large_object_one_deferred(struct kunit *test)
{
	two_frees_of_a_large_object(test, kmheap_free_rcu, 0);
}

static void two_frees_of_a_run_of_pages(struct kunit *test)
{
	two_frees_of_a_large_object(test, free_150_pages, 150);
}

struct rerun {
	struct kmheap *heap;
	void *p, *q;
};

static void free_and_run_again(void *arg)
{
	struct rerun *r = arg;

	kmheap_free_pages(r->p, 150);
	r->q = kmheap_alloc_pages(r->heap, 140, GFP_ATOMIC);
}

/* The second free of a run, when another run, of another length, begins there. */
static void free_of_a_shorter_run(struct kunit *test)
{
	struct rerun r = { .heap = kmh_kunit_heap(test) };

	r.p = kmheap_alloc_pages(r.heap, 150, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r.p);
	kmh_kunit_at(test, "before the claim of a run", free_and_run_again, &r);
	kmheap_free_pages(r.p, 150);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("before the claim of a run"));
	KUNIT_ASSERT_PTR_EQ(test, r.q, r.p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, (int)state_of(r.q), (int)KMHEAP_OBJECT_PAGES);
	kmheap_free_pages(r.q, 140);
	kmh_kunit_validate(test);
}

/* A claim whose look was in one life of a parked span fails in the next. */
static void lives_of_a_parked_span(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = kmheap_alloc(heap, 65536, GFP_KERNEL), *q;
	long life[3];

	KUNIT_ASSERT_NOT_NULL(test, p);
	life[0] = atomic_long_read(&span(p)->w[0].remote);
	kmheap_free(p);
	KUNIT_EXPECT_TRUE(test, kmh_large_claimed(span(p)));
	q = kmheap_alloc(heap, 65536, GFP_KERNEL);
	KUNIT_ASSERT_PTR_EQ(test, q, p);
	life[1] = atomic_long_read(&span(p)->w[0].remote);
	kmheap_free(q);
	q = kmheap_alloc_pages(heap, 8, GFP_KERNEL);
	KUNIT_ASSERT_PTR_EQ(test, q, p);
	life[2] = atomic_long_read(&span(p)->w[0].remote);
	KUNIT_EXPECT_FALSE(test, (life[0] | life[1] | life[2]) & 1);
	KUNIT_EXPECT_TRUE(test, life[0] != life[1] && life[1] != life[2] && life[0] != life[2]);
	kmheap_free_pages(q, 8);
}

/* ---- packed data */

static void free_tiny_and_recycle(void *arg)
{
	struct recycle *r = arg;

	kmheap_free(r->p);
	kmh_kunit_look_again(r->heap);	/* its block was in the magazine */
	preempt_enable();	/* as in recycle_span() */
	kmh_mcentral_drain(node(r->test), KMH_SPANCLASS_TINY);
	preempt_disable();
	r->again = full_span(r) == r->s;
}

/* The words of a packed span become slots of small objects; the states of its blocks are gone. */
static void two_frees_of_a_tiny_object(struct kunit *test, void (*fn)(const void *p))
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct recycle r = { .test = test, .heap = heap, .spanclass = CLASS_16 };
	unsigned int i;

	r.p = kmheap_alloc_data(heap, 8, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r.p);
	kmh_mcache_drain_all(heap);
	r.s = span(r.p);
	KUNIT_ASSERT_EQ(test, (int)r.s->state, (int)KMH_SPAN_TINY);
	kmh_kunit_at(test, "claim of a tiny object", free_tiny_and_recycle, &r);
	fn(r.p);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("claim of a tiny object"));
	KUNIT_ASSERT_TRUE(test, r.again);
	for (i = 0; i < r.s->nwords; i++)
		KUNIT_EXPECT_EQ(test, atomic_long_read(&r.s->w[i].remote) | r.s->w[i].free, 0UL);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(r.s, NULL), (unsigned int)r.s->nelems);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	end_span(test, r.s);
}

static void two_frees_of_a_tiny_object_at_once(struct kunit *test)
{
	two_frees_of_a_tiny_object(test, kmheap_free);
}

static void note_preemption(void *arg)
{
	*(int *)arg = preempt_count();
}

static void free_it(void *arg)
{
	kmheap_free(arg);
}

/* A report needs the heap to exist: preemption is off meanwhile, which keeps it. */
static void reports_come_with_preemption_off(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *a = kmheap_alloc_data(heap, 4, GFP_KERNEL);
	void *b = kmheap_alloc_data(heap, 4, GFP_KERNEL);
	int here, there = -1;

	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		kunit_skip(test, "a kernel that does not count");
	KUNIT_ASSERT_NOT_NULL(test, a);
	KUNIT_ASSERT_NOT_NULL(test, b);
	here = preempt_count();
	kmh_kunit_at(test, "claim of a tiny object", free_it, b);
	kmh_kunit_at(test, "report", note_preemption, &there);
	kmheap_free(b);		/* twice: the first time in the middle of the second */
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("report"));
	KUNIT_EXPECT_GT(test, there & PREEMPT_MASK, here & PREEMPT_MASK);
	kmheap_free(a);
}

/* ---- looks that hold no reference to the span */

/* A lookup through a stale pointer may ask for specials in a heap that has never had one. */
static void special_in_a_heap_without_any(struct kunit *test)
{
	void *p = alloc(test);

	preempt_disable();
	KUNIT_EXPECT_FALSE(test, kmh_special_exists(span(p), (unsigned long)p));
	KUNIT_EXPECT_FALSE(test, kmh_special_die(span(p), (unsigned long)p));
	preempt_enable();
	kmheap_free(p);
}

static void to_another_arena(void *arg)
{
	struct recycle *r = arg;

	WRITE_ONCE(r->s->arena, span(r->q)->arena);
}

/* A wild address is marked, and its span moves to another arena between two reads. */
static void mark_between_two_arenas(struct kunit *test)
{
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmheap_create("kunit-mark", &attr);
	struct recycle r = { .test = test };
	struct kmh_arena *a, *other;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	r.p = kmheap_alloc(heap, 1024, GFP_KERNEL);
	r.q = alloc(test);
	KUNIT_ASSERT_NOT_NULL(test, r.p);
	r.s = span(r.p);
	a = r.s->arena;
	other = span(r.q)->arena;
	KUNIT_ASSERT_EQ(test, kmheap_collect_begin(heap), 0);
	kmh_kunit_at(test, "mark of a page", to_another_arena, &r);
	KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, r.p));
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("mark of a page"));
	KUNIT_EXPECT_TRUE(test, bitmap_empty(other->page_marks, other->npages));
	WRITE_ONCE(r.s->arena, a);
	KUNIT_EXPECT_EQ(test, kmheap_collect_end(heap), 0);
	kmheap_free(r.q);
	kmheap_destroy(heap);
}

static struct kunit_case recycle_cases[] = {
	KUNIT_CASE(entry_keeps_its_span),
	KUNIT_CASE(free_of_another_life_frees_another_object),
	KUNIT_CASE(free_of_another_life_finds_a_free_slot),
	KUNIT_CASE(free_of_another_life_is_known_at_once),
	KUNIT_CASE(free_of_another_heap_s_object),
	KUNIT_CASE(free_that_comes_too_late_knows_the_class),
	KUNIT_CASE(bulk_leaves_a_span_after_a_run),
	KUNIT_CASE(bulk_leaves_a_span_without_a_magazine),
	KUNIT_CASE(bulk_keeps_a_span_by_its_entries),
	KUNIT_CASE(two_frees_of_a_large_object_at_once),
	KUNIT_CASE(two_frees_of_a_large_object_one_deferred),
	KUNIT_CASE(two_frees_of_a_run_of_pages),
	KUNIT_CASE(free_of_a_shorter_run),
	KUNIT_CASE(lives_of_a_parked_span),
	KUNIT_CASE(two_frees_of_a_tiny_object_at_once),
	KUNIT_CASE(reports_come_with_preemption_off),
	KUNIT_CASE(special_in_a_heap_without_any),
	KUNIT_CASE(mark_between_two_arenas),
	{ }
};

static struct kunit_suite recycle_suite = {
	.name = "kmheap_recycle",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = recycle_cases,
};

kunit_test_suite(recycle_suite);
