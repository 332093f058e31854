// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: specials and waiting: reclaim that gives up handles, a heap that ends while a handle
 * goes or while a finalizer makes new objects, and limits.
 */
#include <linux/completion.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/sizes.h>

#include "special_kunit.h"

static void nothing(void *p, void *arg)
{
}

/* ---- a thread that gives up a handle */

struct giver {
	struct kmheap_weak *weak;
	void *p;			/* freed after the handle, or NULL */
	struct completion go, done;
	struct task_struct *task;
	bool in_time;
};

static int give_up(void *arg)
{
	struct giver *g = arg;

	wait_for_completion(&g->go);
	kmheap_weak_destroy(g->weak);
	kmheap_free(g->p);
	complete_all(&g->done);	/* two may wait */
	return 0;
}

static void giver_start(struct kunit *test, struct giver *g, struct kmheap_weak *weak, void *p)
{
	*g = (struct giver){ .weak = weak, .p = p };
	init_completion(&g->go);
	init_completion(&g->done);
	g->task = kthread_run(give_up, g, "kmheap_kunit");
	KUNIT_ASSERT_FALSE(test, IS_ERR(g->task));
}

static void giver_end(struct kunit *test, struct giver *g)
{
	complete(&g->go);
	wait_for_completion(&g->done);
}

static struct kmheap_weak *weak_of(struct kunit *test, void *p)
{
	struct kmheap_weak *weak = kmheap_weak_create(p);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, weak);
	return weak;
}

/* ---- reclaim */

/*
 * Reclaim makes a client give up its handle: a thread does it, so that this wait ends in any
 * event.
 */
static void reclaim(void *arg)
{
	struct giver *g = arg;

	complete(&g->go);
	g->in_time = wait_for_completion_timeout(&g->done, 60 * HZ);
}

/* Reclaim gives up the handle of one object while @p gets a special. */
static void reclaim_meanwhile(struct kunit *test, struct giver *g)
{
	void *cached = alloc(test, 64);

	giver_start(test, g, weak_of(test, cached), cached);
	kmh_kunit_at(test, "backend: a table", reclaim, g);
}

static void expect_reclaimed(struct kunit *test, struct giver *g)
{
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("backend: a table"));
	KUNIT_EXPECT_TRUE_MSG(test, g->in_time, "reclaim waits for the one who waits for it");
	giver_end(test, g);
}

static void set_finalizer_reclaims(struct kunit *test)
{
	struct mortal m;
	struct giver g;

	reclaim_meanwhile(test, &g);
	mortal(test, kmh_kunit_heap(test), &m, 64);
	expect_reclaimed(test, &g);
	kmheap_free(m.p);
	expect_no_specials(test, kmh_kunit_heap(test));
	expect_ends(test, &m, 1);
}

static void weak_create_reclaims(struct kunit *test)
{
	void *p = alloc(test, 64);
	struct kmheap_weak *weak;
	struct giver g;

	reclaim_meanwhile(test, &g);
	weak = weak_of(test, p);
	expect_reclaimed(test, &g);
	kmheap_free(p);
	kmheap_weak_destroy(weak);
	expect_no_specials(test, kmh_kunit_heap(test));
}

/* Another caller makes the special while this one allocates the records: those left over go. */
static void make_it_first(void *arg)
{
	struct kmheap_weak **weak = arg;

	weak[1] = kmheap_weak_create(weak[0]);
}

static void two_create_one_handle(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, 64);
	struct kmheap_weak *weak[2] = { p }, *mine;
	long before = atomic_long_read(&heap->metadata_bytes);

	kmh_kunit_at(test, "backend: a table", make_it_first, weak);
	mine = weak_of(test, p);
	KUNIT_EXPECT_PTR_EQ(test, mine, weak[1]);
	KUNIT_EXPECT_EQ(test, nspecials(heap), 1ULL);
	kmheap_weak_destroy(mine);
	kmheap_weak_destroy(weak[1]);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes), before);
	kmheap_free(p);
	expect_no_specials(test, heap);
}

/* ---- the end of a heap */

struct window {
	struct giver g;
	struct completion reached, destroyed;
	bool early;
};

/* The handle's special is out of its span: only the holder of the mutex can wait for it. */
static void wait_for_the_end(void *arg)
{
	struct window *w = arg;

	complete(&w->reached);
	w->early = wait_for_completion_timeout(&w->destroyed, HZ);
}

static void destroy_waits_for_weak_destroy_at(struct kunit *test, const char *place)
{
	struct kmheap *heap = kmheap_create("kunit-short", NULL);
	struct window w = { };
	void *p;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	p = filled(test, heap, 64, false);
	init_completion(&w.reached);
	init_completion(&w.destroyed);
	kmh_kunit_at_any(test, place, wait_for_the_end, &w);
	giver_start(test, &w.g, weak_of(test, p), NULL);
	complete(&w.g.go);
	wait_for_completion(&w.reached);
	kmheap_destroy(heap);
	complete(&w.destroyed);
	giver_end(test, &w.g);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed(place));
	KUNIT_EXPECT_FALSE_MSG(test, w.early, "the heap was gone, its special was not");
}

static void destroy_waits_for_weak_destroy(struct kunit *test)
{
	destroy_waits_for_weak_destroy_at(test, "special: done, and still in the table");
}

/* The heap has no special any more, and the holder of the mutex still unbooks the last one. */
static void destroy_waits_for_the_last_weak_destroy(struct kunit *test)
{
	destroy_waits_for_weak_destroy_at(test, "special: counted out, and still booked");
}

/* A finalizer that makes a new object with itself as its finalizer, again and again. */
struct chain {
	struct kmheap *heap;
	bool frees;			/* the new object, too, so that its turn comes at once */
	struct kmh_kunit_wait wait;
	unsigned int ncalls, nlate;
	int err, weak_err;
};

static void next_in_chain(void *old, void *arg)
{
	struct chain *c = arg;
	struct kmheap_weak *weak;
	void *p;

	c->ncalls++;
	if (!kmh_kunit_spin_more(&c->wait)) {
		c->nlate++;
		return;
	}
	p = kmheap_alloc(c->heap, 64, GFP_KERNEL);
	if (!p)
		return;
	weak = kmheap_weak_create(p);
	c->weak_err = PTR_ERR_OR_ZERO(weak);
	kmheap_weak_destroy(weak);
	c->err = kmheap_set_finalizer(p, next_in_chain, c);
	if (c->err || c->frees)
		kmheap_free(p);
}

static void chain_begin(struct kunit *test, struct chain *c, struct kmheap *heap)
{
	void *p = filled(test, heap, 64, false);

	c->heap = heap;
	c->wait = kmh_kunit_wait_begin();
	KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(p, next_in_chain, c), 0);
	if (c->frees)
		kmheap_free(p);
}

static void destroy_ends_a_chain(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-short", NULL);
	struct chain c = { .err = 1, .weak_err = 1 };

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	chain_begin(test, &c, heap);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, c.ncalls, 1U);
	KUNIT_EXPECT_EQ(test, c.nlate, 0U);
	KUNIT_EXPECT_EQ(test, c.err, -ESHUTDOWN);
	KUNIT_EXPECT_EQ(test, c.weak_err, -ESHUTDOWN);
}

/* A barrier waits for finalizers of objects that were dead when it was called, destroy for all. */
static void barrier_leaves_a_chain(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-short", NULL);
	struct chain c = { .frees = true };
	unsigned int ncalls;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	chain_begin(test, &c, heap);
	kmheap_rcu_barrier(heap);
	ncalls = READ_ONCE(c.ncalls);
	KUNIT_EXPECT_GE(test, ncalls, 1U);
	KUNIT_EXPECT_EQ(test, READ_ONCE(c.nlate), 0U);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, c.nlate, 0U);
	KUNIT_EXPECT_EQ(test, c.err, -ESHUTDOWN);
}

/* A finalizer that defers the free of the object it owns: destroy finds that object deferred. */
static void free_next_later(void *p, void *arg)
{
	void **owned = p;

	kmheap_free_rcu(*owned);
}

static void destroy_waits_for_deferred_ones(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-short", NULL);
	unsigned int i, n = 200;	/* of each kind: several batches */
	struct mortal *m = kunit_kcalloc(test, n, sizeof(*m), GFP_KERNEL);
	void **p;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_ASSERT_NOT_NULL(test, m);
	for (i = 0; i < n; i++) {
		mortal(test, heap, &m[i], i % 20 ? 64 : 50000);
		p = filled(test, heap, sizeof(*p), false);
		*p = m[i].p;
		KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(p, free_next_later, NULL), 0);
	}
	kmheap_destroy(heap);
	for (i = 0; i < n; i++)
		expect_ends(test, &m[i], 1);
	kmh_kunit_no_reports(test);
}

/* An object that gets a handle, or a finalizer, while a free of it is between look and store. */
struct in_between {
	void *p;
	struct kmheap_weak *weak;
	unsigned int ncalls;
	int err;
};

static void count_call(void *p, void *arg)
{
	struct in_between *b = arg;

	b->ncalls++;
}

static void get_a_handle(void *arg)
{
	struct in_between *b = arg;

	preempt_enable();
	b->weak = kmheap_weak_create(b->p);
	preempt_disable();
}

static void get_a_finalizer(void *arg)
{
	struct in_between *b = arg;

	preempt_enable();
	b->err = kmheap_set_finalizer(b->p, count_call, b);
	preempt_disable();
}

static struct kmheap *free_in_between(struct kunit *test, struct in_between *b,
				      void (*meanwhile)(void *b))
{
	struct kmheap *heap = kmheap_create("kunit-short", NULL);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	b->p = filled(test, heap, 64, false);
	kmh_kunit_at(test, "free: between look and store", meanwhile, b);
	kmheap_free(b->p);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("free: between look and store"));
	return heap;
}

static void expect_found_out(struct kunit *test, const struct in_between *b)
{
	struct kmh_report report = kmh_kunit_reports(test, KMH_INVALID_FREE, 1);

	KUNIT_EXPECT_EQ(test, report.addr, (unsigned long)b->p);
}

/* The object is free, and nothing has told the handle. */
static void handle_astray(struct kunit *test, bool gone)
{
	struct in_between b = { };
	struct kmheap *heap = free_in_between(test, &b, get_a_handle);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, b.weak);
	if (gone)
		kmh_kunit_shrink(heap);
	KUNIT_EXPECT_EQ(test, nspecials(heap), 1ULL);
	kmheap_destroy(heap);
	expect_found_out(test, &b);
	KUNIT_EXPECT_NULL(test, kmheap_weak_get(b.weak));
	kmheap_weak_destroy(b.weak);
}

static void destroy_finds_a_handle_astray(struct kunit *test)
{
	handle_astray(test, false);
}

static void destroy_finds_a_handle_whose_span_has_gone(struct kunit *test)
{
	handle_astray(test, true);
}

static void destroy_finds_a_finalizer_astray(struct kunit *test)
{
	struct in_between b = { .err = 1 };
	struct kmheap *heap = free_in_between(test, &b, get_a_finalizer);

	KUNIT_EXPECT_EQ(test, b.err, 0);
	kmheap_destroy(heap);
	expect_found_out(test, &b);
	KUNIT_EXPECT_EQ(test, b.ncalls, 0U);
}

/* The handle goes first: nothing is written into the descriptor, which may be anybody's. */
static void handle_astray_leaves_the_descriptor_alone(struct kunit *test)
{
	struct in_between b = { };
	struct kmheap *heap = free_in_between(test, &b, get_a_handle);
	struct kmh_mspan *s = where(b.p);

	kmh_kunit_shrink(heap);
	KUNIT_ASSERT_PTR_NE(test, where(b.p), s);
	WRITE_ONCE(s->nspecials, 7);
	kmheap_weak_destroy(b.weak);
	KUNIT_EXPECT_EQ(test, s->nspecials, 7U);
	KUNIT_EXPECT_EQ(test, nspecials(heap), 0ULL);
	kmheap_destroy(heap);
	kmh_kunit_no_reports(test);
}

/* ---- limits */

static size_t footprint(struct kmheap *heap)
{
	return atomic_long_read(&heap->arena_bytes) + atomic_long_read(&heap->metadata_bytes);
}

#define MOST	200000U

static unsigned int fill_up(struct kunit *test, struct kmheap *heap, void **p)
{
	unsigned int n = 0;

	while (n < MOST && (p[n] = kmheap_alloc(heap, 16, GFP_KERNEL | __GFP_NOWARN)))
		n++;
	KUNIT_EXPECT_LT(test, n, MOST);
	return n;
}

/* A handle for every other object, a finalizer for the others: as many as the limit allows. */
static unsigned int arm(struct kunit *test, void **p, struct kmheap_weak **weak, unsigned int n)
{
	struct kmheap *heap = where(p[0])->heap;
	unsigned int i;
	int err = 0;

	for (i = 0; i < n && !err; i++) {
		weak[i] = i % 2 ? kmheap_weak_create(p[i]) : NULL;
		err = i % 2 ? PTR_ERR_OR_ZERO(weak[i]) : kmheap_set_finalizer(p[i], nothing, NULL);
	}
	KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	KUNIT_EXPECT_EQ(test, nspecials(heap), (u64)i - 1);
	return i - 1;
}

static void specials_keep_the_limit(struct kunit *test)
{
	struct kmheap_attr attr = { .limit_bytes = SZ_2M };
	struct kmheap *heap = kmheap_create("kunit-limit", &attr);
	struct kmheap_weak **weak = kvcalloc(MOST, sizeof(*weak), GFP_KERNEL);
	void **p = kvcalloc(MOST, sizeof(*p), GFP_KERNEL);
	unsigned int n, again, armed, i;
	long before, refusals;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_ASSERT_TRUE(test, p && weak);
	before = atomic_long_read(&heap->metadata_bytes);
	n = fill_up(test, heap, p);
	refusals = atomic_long_read(&heap->limit.refusals);
	armed = arm(test, p, weak, n);
	KUNIT_EXPECT_GT(test, armed, 10U);
	KUNIT_EXPECT_GT(test, atomic_long_read(&heap->limit.refusals), refusals);
	KUNIT_EXPECT_LE(test, footprint(heap), (size_t)SZ_2M);
	/* Every record counts, with its share of the table. */
	KUNIT_EXPECT_GE(test, (size_t)atomic_long_read(&heap->limit.side_bytes),
			armed * (96 + 32 + 64 / 2UL) - 64);
	for (i = 0; i < armed; i++)
		kmheap_weak_destroy(weak[i]);
	for (i = 0; i < n; i++)
		kmheap_free(p[i]);
	kmheap_rcu_barrier(heap);
	kmh_mcache_drain_all(heap);	/* magazines are booked as well */
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.side_bytes), 0L);
	/*
	 * An arena that goes makes room for specials, and specials that go for an arena; other
	 * arenas than before, and magazines that come meanwhile, make it a little more or less.
	 */
	again = fill_up(test, heap, p);
	KUNIT_EXPECT_GE(test, again, n - n / 8);
	for (i = 0; i < again; i++)
		kmheap_free(p[i]);
	kmh_kunit_shrink(heap);
	KUNIT_EXPECT_LE(test, atomic_long_read(&heap->metadata_bytes), before);
	kmheap_destroy(heap);
	kvfree(weak);
	kvfree(p);
}

/* A handle that outlives its object belongs to no heap. */
static void a_handle_alone_is_not_booked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, 64);
	long before = atomic_long_read(&heap->metadata_bytes);
	struct kmheap_weak *weak = weak_of(test, p);

	KUNIT_EXPECT_GT(test, atomic_long_read(&heap->metadata_bytes), before);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes) - before,
			atomic_long_read(&heap->limit.side_bytes));
	kmheap_free(p);
	kmheap_rcu_barrier(heap);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes), before);
	kmheap_weak_destroy(weak);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->limit.side_bytes), 0L);
	expect_no_specials(test, heap);
}

static struct kunit_case special_end_cases[] = {
	KUNIT_CASE(set_finalizer_reclaims),
	KUNIT_CASE(weak_create_reclaims),
	KUNIT_CASE(two_create_one_handle),
	KUNIT_CASE(destroy_waits_for_weak_destroy),
	KUNIT_CASE(destroy_waits_for_the_last_weak_destroy),
	KUNIT_CASE(destroy_ends_a_chain),
	KUNIT_CASE(barrier_leaves_a_chain),
	KUNIT_CASE(destroy_waits_for_deferred_ones),
	KUNIT_CASE(destroy_finds_a_handle_astray),
	KUNIT_CASE(destroy_finds_a_handle_whose_span_has_gone),
	KUNIT_CASE(destroy_finds_a_finalizer_astray),
	KUNIT_CASE(handle_astray_leaves_the_descriptor_alone),
	KUNIT_CASE(specials_keep_the_limit),
	KUNIT_CASE(a_handle_alone_is_not_booked),
	{ }
};

static int special_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return kmh_kunit_init(test);
}

static struct kunit_suite special_end_suite = {
	.name = "kmheap_special_end",
	.init = special_init,
	.exit = kmh_kunit_exit,
	.test_cases = special_end_cases,
};

kunit_test_suite(special_end_suite);
