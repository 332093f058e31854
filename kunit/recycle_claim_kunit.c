// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: whoever frees an object claims it, looks what has been claimed, and only then touches it.
 * Between the look before and the claim another free is first, the descriptor becomes another span,
 * and the pages somebody else's. A validator claims nothing, and looks at what it may.
 */
#include <linux/delay.h>
#include <linux/mm.h>

#include "recycle_kunit.h"

#define CLASS_32K	kmh_spanclass(kmheap_size_class(32768), false)

static void claim_exit(struct kunit *test)
{
	WRITE_ONCE(kmh_test_wipes, false);
	kmh_kunit_exit(test);
}

/* ---- every way to free */

struct moved;

/* A way to free what is left of a span: objects from slot 0 or, if it is one, slot 2 on. */
struct way {
	const char *name;
	const char *place;		/* between the look and the claim */
	void (*free)(struct moved *m);
	unsigned int n;			/* so many objects */
	bool wipes;			/* as with init_on_free: nothing is freed fast */
	bool weak;			/* the object has a weak handle */
	bool bare;			/* there are no magazines */
};

struct moved {
	struct recycle r;
	const struct way *way;
	void **p;			/* what is freed twice */
	struct kmheap_cache *cache;	/* of which slot 2 of the moved descriptor becomes one */
	struct kmh_mspan *under;	/* what has the first span's pages then */
};

static void way_free(struct moved *m)
{
	kmheap_free(m->p[0]);
}

static void way_rcu(struct moved *m)
{
	kmheap_free_rcu(m->p[0]);
}

static void way_bulk(struct moved *m)
{
	kmheap_free_bulk(m->way->n, m->p);
}

/* The section is taken, as where an interrupt comes; the place may sleep. */
static void way_nested(struct moved *m)
{
	preempt_disable();
	kmh_mcache_enter(mcache(m->r.test));
	preempt_enable();
	kmheap_free(m->p[0]);
	kmh_mcache_leave(mcache(m->r.test));
}

static const struct way ways[] = {
	{ "into a magazine", "free: before the claim", way_free, 1 },
	{ "the first free of a span", "first free of a span: before the exchange", way_free, 1 },
	{ "past the magazine", "free: before the claim", way_free, 1, .bare = true },
	{ "the slow way", "free: slow, before the claim", way_free, 1, .wipes = true },
	{ "with a weak handle", "claim of an object with a special", way_free, 1, .weak = true },
	{ "in an interrupt", "free: nested, before the claim", way_nested, 1 },
	{ "in bulk", "bulk free: before the claim", way_bulk, 4 },
	{ "deferred", "free_rcu: before the claim", way_rcu, 1 },
	{ "deferred the slow way", "free_rcu: before the claim", way_rcu, 1, .wipes = true },
};

static void way_name(const struct way *way, char *name)
{
	strscpy(name, way->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(way, ways, way_name);

/*
 * The objects are freed, and what is theirs goes back. Then the pages get another descriptor, and
 * the old one other pages. Slots at the addresses of all but the first object are not live: their
 * frees are as late. Preemption is off on entry and on return, as in recycle_span().
 */
static void free_and_move(void *arg)
{
	struct moved *m = arg;
	struct recycle *r = &m->r;
	unsigned int i;

	for (i = 0; i < m->way->n; i++)
		kmheap_free(m->p[i]);
	kmh_kunit_look_again(r->heap);	/* if they are in the magazine */
	preempt_enable();
	if (m->way->weak)
		kmh_special_wait(r->heap);
	fold_span(r->test, r->s);
	preempt_disable();
	r->spanclass = CLASS_16;
	m->under = full_span(r);
	for (i = 1; m->under && i < m->way->n; i++)
		kmh_kunit_free_remote(m->under, i * BYTES / 16);
	r->spanclass = SPANCLASS;
	r->again = full_span(r) == r->s;
	if (m->cache && r->again)
		kmh_cache_mark(m->cache, (void *)kmh_mspan_slot_addr(r->s, 2));
}

/* The client of the object in slot 2 frees it as if nothing had happened. */
static void innocent_is_freed(struct kunit *test, struct moved *m)
{
	void *q = (void *)kmh_mspan_slot_addr(m->r.s, 2);

	if (m->cache)
		kmheap_cache_free(m->cache, q);
	else
		kmheap_free(q);
	kmh_kunit_no_reports(test);
	kmh_kunit_look_again(m->r.heap);
	expect_out(test, q);
}

/*
 * Before a free claims its object another one frees it, and the descriptor becomes a span of the
 * same class at other pages, with live objects in the same cells, of which that of slot 2 may be
 * one of @cache. What the claim gets it lets go as it was: that is its client's, and nobody has the
 * old address.
 */
static void free_of_a_moved_descriptor(struct kunit *test, struct kmheap_cache *cache)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	const struct way *way = test->param_value;
	struct moved m = { .way = way, .cache = cache, .r = { .test = test, .heap = heap } };
	struct kmheap_weak *weak = NULL;
	struct kmh_report report;
	struct recycle *r = &m.r;

	if (way->bare)
		kmh_kunit_no_magazines(heap);
	WRITE_ONCE(kmh_test_wipes, way->wipes);
	m.p = left_of_a_span(test, way->n == 1 ? 2 : 0, way->n);
	r->s = span(m.p[0]);
	r->base = r->s->base;
	if (way->weak)
		weak = kmheap_weak_create(m.p[0]);
	KUNIT_ASSERT_FALSE(test, IS_ERR(weak));
	grow(test, 4);
	kmh_kunit_at(test, way->place, free_and_move, &m);
	way->free(&m);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed(way->place));
	KUNIT_ASSERT_TRUE(test, r->again);
	KUNIT_ASSERT_NE(test, r->s->base, r->base);
	KUNIT_ASSERT_PTR_EQ(test, span(m.p[0]), m.under);
	report = kmh_kunit_reports(test, KMH_DOUBLE_FREE, way->n);
	KUNIT_EXPECT_EQ(test, report.addr, (unsigned long)m.p[way->n - 1]);
	KUNIT_EXPECT_EQ(test, magazine_len(test), 0U);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(r->s, NULL), NR_SLOTS);
	KUNIT_EXPECT_EQ(test, r->s->w[0].free | atomic_long_read(&r->s->w[0].remote), 0UL);
	KUNIT_EXPECT_EQ(test, kmh_mspan_waiting(r->s, 0), 0UL);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(m.under, NULL), m.under->nelems + 1 - way->n);
	kmh_kunit_expect_conserved(test, heap);

	innocent_is_freed(test, &m);
	kmheap_weak_destroy(weak);
	end_span(test, r->s);
	end_span(test, m.under);
	kmh_kunit_no_reports(test);
}

static void an_innocent_object_stays(struct kunit *test)
{
	free_of_a_moved_descriptor(test, NULL);
}

static void a_cache_keeps_an_innocent_object(struct kunit *test)
{
	struct kmheap_cache_args args = { .name = "innocent", .size = BYTES };
	struct kmheap_cache *cache = kmheap_cache_create(kmh_kunit_heap(test), &args);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cache);
	free_of_a_moved_descriptor(test, cache);
	kmheap_cache_destroy(cache);
}

/* ---- a free that wipes */

static void recycle_freed(void *arg)
{
	struct recycle *r = arg;

	kmheap_free(r->p);
	kmh_kunit_look_again(r->heap);
	recycle_span(r);
}

/*
 * Another free is first, and the descriptor becomes a span of the same heap with objects of 32 KiB.
 * Nothing is wiped any more, least of all so many bytes: an object in the page behind is as it was.
 */
static void wipe_does_not_come_too_late(struct kunit *test)
{
	struct recycle r = {
		.test = test, .heap = kmh_kunit_heap(test), .spanclass = CLASS_32K,
	};
	void **p, *behind;
	unsigned int k;

	WRITE_ONCE(kmh_test_wipes, true);
	p = full_spans(test, 3);
	for (k = 0; k < 2; k++)
		if (p[(k + 1) * NR_SLOTS] == p[k * NR_SLOTS] + KMH_PAGE_SIZE)
			break;
	KUNIT_ASSERT_LT(test, k, 2U);
	grow(test, 8);
	r.p = p[k * NR_SLOTS + 2];
	r.s = span(r.p);
	p[k * NR_SLOTS + 2] = NULL;
	free_range(p, k * NR_SLOTS, (k + 1) * NR_SLOTS);
	kmh_kunit_look_again(r.heap);
	behind = p[(k + 1) * NR_SLOTS];
	kmh_kunit_fill(behind);
	kmh_kunit_at(test, "free: slow, before the claim", recycle_freed, &r);
	kmheap_free(r.p);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("free: slow, before the claim"));
	KUNIT_ASSERT_TRUE(test, r.again);
	KUNIT_ASSERT_EQ(test, r.s->elemsize, 32768);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(behind));
	end_span(test, r.s);
	free_live(p, k * NR_SLOTS);
	free_live(p + (k + 1) * NR_SLOTS, (2 - k) * NR_SLOTS);
	kmh_kunit_no_reports(test);
}

struct returned {
	struct kmheap *heap;
	struct page *page;
	void *p;
	bool went;
};

#define OTHERS	0xaa		/* contents of a page that is not the heap's any more */

/* The only object in its page is freed, and the page goes to the kernel, and from there to us. */
static void free_and_return(void *arg)
{
	const struct kmh_leavers all = { .bytes = SIZE_MAX };
	struct returned *ret = arg;

	kmheap_free(ret->p);
	preempt_enable();	/* as in recycle_span() */
	kmh_heap_drain(ret->heap);
	kmh_pages_return(ret->heap, &all);
	preempt_disable();
	ret->went = !kmheap_owns(ret->p);
	if (ret->went)
		memset(page_address(ret->page), OTHERS, PAGE_SIZE);
}

/* A page of a block goes back without a grace period: a late free does not write there. */
static void wipe_does_not_hit_the_kernel(struct kunit *test)
{
	const struct kmheap_attr attr = { .flags = KMHEAP_LINEAR };
	struct returned ret = { };
	void *pin;

	if (PAGE_SIZE > KMH_PAGE_SIZE)
		kunit_skip(test, "pages do not go back one by one");
	WRITE_ONCE(kmh_test_wipes, true);
	ret.heap = kmheap_create("kunit-late", &attr);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ret.heap);
	kmh_kunit_no_worker(ret.heap);
	pin = kmheap_alloc(ret.heap, 64, GFP_KERNEL);
	ret.p = kmheap_alloc(ret.heap, BYTES, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, pin && ret.p);
	ret.page = virt_to_page(ret.p);
	get_page(ret.page);
	kmh_kunit_at(test, "free: slow, before the claim", free_and_return, &ret);
	kmheap_free(ret.p);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("free: slow, before the claim"));
	KUNIT_EXPECT_TRUE(test, ret.went);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(ret.page), OTHERS, PAGE_SIZE));
	put_page(ret.page);
	kmheap_free(pin);
	kmheap_destroy(ret.heap);
}

/* ---- the last special of a span goes */

struct fast_again {
	struct recycle r;
	struct kmheap_weak *weak;
	bool begun, done;
};

/* In the middle, on its CPU: as long as the other thread gets on. */
static void let_the_span_go(void *arg)
{
	struct fast_again *fast = arg;
	unsigned int i;

	WRITE_ONCE(fast->begun, true);
	for (i = 0; i < 500 && !READ_ONCE(fast->done); i++)
		mdelay(1);
}

static void free_and_recycle_it(struct fast_again *fast)
{
	struct recycle *r = &fast->r;

	preempt_disable();
	kmheap_free(r->p);
	kmh_kunit_look_again(r->heap);
	preempt_enable();
	fold_span(r->test, r->s);
	kmh_mheap_drain_pending(&node(r->test)->mheap);
	preempt_disable();
	r->again = full_span(r) == r->s;
	preempt_enable();
}

static void end_the_special(void *arg, unsigned int i)
{
	struct fast_again *fast = arg;

	if (i) {
		while (!READ_ONCE(fast->begun))
			cond_resched();
		free_and_recycle_it(fast);
		WRITE_ONCE(fast->done, true);
	} else {
		kmheap_weak_destroy(fast->weak);
		WRITE_ONCE(fast->begun, true);	/* should the place not be passed */
	}
}

/*
 * When the last special leaves a span, another CPU may free the object at once, and the span go
 * with it. What is left to write is not written into the descriptor's next life.
 */
static void special_leaves_nothing_behind(struct kunit *test)
{
	struct fast_again fast = {
		.r = { .test = test, .heap = kmh_kunit_heap(test), .spanclass = SPANCLASS },
	};
	struct recycle *r = &fast.r;

	r->p = one_left_of_a_span(test, 2);
	r->s = span(r->p);
	fast.weak = kmheap_weak_create(r->p);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, fast.weak);
	KUNIT_ASSERT_EQ(test, r->s->nspecials, 1);
	grow(test, 4);
	kmh_kunit_at_any(test, "special: fast again", let_the_span_go, &fast);
	kmh_kunit_threads(test, 2, end_the_special, &fast);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("special: fast again"));
	KUNIT_ASSERT_TRUE(test, r->again);
	KUNIT_EXPECT_EQ(test, r->s->nspecials, 0);
	KUNIT_EXPECT_EQ(test, r->s->nfast, kmh_mspan_fast_slots(r->s));
	kmh_kunit_no_reports(test);
	end_span(test, r->s);
}

/* ---- a look that holds no reference to the span */

static void far_away(void *arg)
{
	struct recycle *r = arg;

	WRITE_ONCE(r->s->base, 1UL << 62);
}

/*
 * A validator has seen that a span lies in an arena, and its descriptor becomes that of a span far
 * away, for which the arena has no bits. At the next look no page leads to it.
 */
static void validator_stays_in_the_arena(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-far", NULL);
	struct recycle r = { .test = test };
	unsigned int n = 0;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	r.p = kmheap_alloc(heap, 50000, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r.p);
	r.s = span(r.p);
	r.base = r.s->base;
	kmh_kunit_at(test, "validate: between pages and bits", far_away, &r);
	kmh_validate_heap(heap, kmh_kunit_count_finding, &n);
	WRITE_ONCE(r.s->base, r.base);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("validate: between pages and bits"));
	KUNIT_EXPECT_EQ(test, n, 0U);
	kmheap_free(r.p);
	kmheap_destroy(heap);
}

static struct kunit_case recycle_claim_cases[] = {
	KUNIT_CASE_PARAM(an_innocent_object_stays, way_gen_params),
	KUNIT_CASE_PARAM(a_cache_keeps_an_innocent_object, way_gen_params),
	KUNIT_CASE(wipe_does_not_come_too_late),
	KUNIT_CASE(wipe_does_not_hit_the_kernel),
	KUNIT_CASE(special_leaves_nothing_behind),
	KUNIT_CASE(validator_stays_in_the_arena),
	{ }
};

static struct kunit_suite recycle_claim_suite = {
	.name = "kmheap_recycle_claim",
	.init = sweep_init,
	.exit = claim_exit,
	.test_cases = recycle_claim_cases,
};

kunit_test_suite(recycle_claim_suite);
