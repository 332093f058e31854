// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: weak handles: what they return, until when, and the orders in which object and
 * handle go.
 */
#include <linux/rwsem.h>

#include "special_kunit.h"

static const size_t sizes[] = { 8, 64, 1000, 32768, 50000 };

static struct kmheap_weak *weak_of(struct kunit *test, void *p)
{
	struct kmheap_weak *weak = kmheap_weak_create(p);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, weak);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_weak_get(weak), p);
	return weak;
}

static int weak_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return kmh_kunit_init(test);
}

/* ---- the handle */

static void create_gives_the_same_handle(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_weak *weak[5], *other;
	void *p = alloc(test, 64), *q = alloc(test, 64);
	unsigned int i;

	other = weak_of(test, q);
	for (i = 0; i < ARRAY_SIZE(weak); i++) {
		weak[i] = weak_of(test, p);
		KUNIT_EXPECT_PTR_EQ(test, weak[i], weak[0]);
		KUNIT_EXPECT_EQ(test, nspecials(heap), 2ULL);
	}
	KUNIT_EXPECT_PTR_NE(test, weak[0], other);
	for (i = 0; i < ARRAY_SIZE(weak); i++) {
		KUNIT_EXPECT_PTR_EQ(test, kmheap_weak_get(weak[i]), p);
		KUNIT_EXPECT_EQ(test, nspecials(heap), 2ULL);
		kmheap_weak_destroy(weak[i]);
	}
	KUNIT_EXPECT_EQ(test, nspecials(heap), 1ULL);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p));
	weak[0] = weak_of(test, p);
	kmheap_weak_destroy(weak[0]);
	kmheap_weak_destroy(other);
	KUNIT_EXPECT_EQ(test, where(p)->nfast, kmh_mspan_fast_slots(where(p)));
	kmheap_free(p);
	kmheap_free(q);
	expect_no_specials(test, heap);
}

static void create_errors(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, 64), *freed = alloc(test, 64), *large = alloc(test, 50000);
	void *tiny = kmheap_alloc_data(heap, 8, GFP_KERNEL);
	void *pages = kmheap_alloc_pages(heap, 2, GFP_KERNEL);
	const struct {
		void *p;
		unsigned int nreports;
	} rows[] = {
		{ NULL, 1 }, { ZERO_SIZE_PTR, 1 }, { heap, 1 }, { freed, 1 }, { p + 8, 1 },
		{ large + 8192, 1 }, { pages, 1 }, { tiny, 0 },
	};
	unsigned int i;

	KUNIT_ASSERT_TRUE(test, tiny && pages);
	kmheap_free(freed);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(kmheap_weak_create(rows[i].p)),
				    (long)-EINVAL, "row %u", i);
		kmh_kunit_reports(test, KMH_INVALID_FREE, rows[i].nreports);
	}
	kmheap_weak_destroy(NULL);
	kmheap_weak_destroy(ERR_PTR(-EINVAL));
	KUNIT_EXPECT_EQ(test, nspecials(heap), 0ULL);
	kmheap_free(p);
	kmheap_free(large);
	kmheap_free(tiny);
	kmheap_free_pages(pages, 2);
}

/* ---- the end of the object */

/*
 * The handle returns NULL from the free on, before the worker has come; of a deferred free
 * from its call on.
 */
static void get_after_a_free(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	work_func_t finalizers = stop_finalizers(heap), sweeper = stop_sweeper(heap);
	struct kmheap_weak *weak[4 * ARRAY_SIZE(sizes)];
	void *p[ARRAY_SIZE(weak)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(weak); i++) {
		p[i] = alloc(test, sizes[i / 4]);
		weak[i] = weak_of(test, p[i]);
	}
	for (i = 0; i < ARRAY_SIZE(weak); i += 2) {
		if (i % 4)
			kmheap_free_rcu(p[i]);
		else
			kmheap_free(p[i]);
	}
	for (i = 0; i < ARRAY_SIZE(weak); i++)
		KUNIT_EXPECT_PTR_EQ_MSG(test, kmheap_weak_get(weak[i]), i % 2 ? p[i] : NULL,
					"%zu bytes, %s", sizes[i / 4], i % 4 ? "rcu" : "at once");
	start_finalizers(heap, finalizers);
	start_sweeper(heap, sweeper);
	kmheap_rcu_barrier(heap);
	for (i = 0; i < ARRAY_SIZE(weak); i++) {
		KUNIT_EXPECT_PTR_EQ(test, kmheap_weak_get(weak[i]), i % 2 ? p[i] : NULL);
		if (i % 2)
			kmheap_free(p[i]);
		kmheap_rcu_barrier(heap);
		KUNIT_EXPECT_NULL(test, kmheap_weak_get(weak[i]));
		kmheap_weak_destroy(weak[i]);
	}
	expect_no_specials(test, heap);
}

static void get_after_destroy(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-short", NULL);
	struct kmheap_weak *weak[ARRAY_SIZE(sizes)];
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		weak[i] = weak_of(test, filled(test, heap, sizes[i], false));
	kmheap_destroy(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		KUNIT_EXPECT_NULL(test, kmheap_weak_get(weak[i]));
		kmheap_weak_destroy(weak[i]);
	}
}

struct both {
	struct mortal m;
	struct kmheap_weak *weak;
	bool seen;
};

static void end_both(void *p, void *arg)
{
	struct both *b = arg;

	b->seen |= b->weak && kmheap_weak_get(b->weak);
	note_end(p, &b->m);
}

static void both_step(struct kunit *test, struct both *b, char step)
{
	switch (step) {
	case 'f':
		kmheap_free(b->m.p);
		kmheap_rcu_barrier(kmh_kunit_heap(test));
		break;
	case 'b':
		KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(b->m.p, NULL, NULL), 0);
		break;
	case 'w':
		kmheap_weak_destroy(b->weak);
		b->weak = NULL;
		break;
	}
}

/* In each order of: object freed (f), finalizer taken back (b), handle destroyed (w). */
static void weak_and_finalizer(struct kunit *test)
{
	static const char * const orders[] = { "fw", "wf", "bfw", "bwf", "wbf" };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct both b = {};
	unsigned int i;
	const char *o;

	for (i = 0; i < 2 * ARRAY_SIZE(orders); i++) {
		mortal(test, heap, &b.m, i % 2 ? 64 : 50000);
		b.weak = weak_of(test, b.m.p);
		KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(b.m.p, NULL, NULL), 0);
		KUNIT_EXPECT_EQ(test, kmheap_set_finalizer(b.m.p, end_both, &b), 0);
		KUNIT_EXPECT_EQ(test, nspecials(heap), 1ULL);
		for (o = orders[i / 2]; *o; o++) {
			if (b.weak)
				KUNIT_EXPECT_PTR_EQ_MSG(test, kmheap_weak_get(b.weak),
							strchr(o, 'f') ? b.m.p : NULL, "%s", o);
			both_step(test, &b, *o);
		}
		KUNIT_EXPECT_EQ_MSG(test, b.m.ncalls, !strchr(orders[i / 2], 'b'), "%s",
				    orders[i / 2]);
		KUNIT_EXPECT_EQ(test, b.m.nwrong, 0U);
		expect_no_specials(test, heap);
	}
	KUNIT_EXPECT_FALSE_MSG(test, b.seen, "an object that is being finalized");
}

/* ---- free, destroy and get at the same time */

#define NR_RACES	400U

struct race {
	void *p[NR_RACES];
	struct kmheap_weak *weak[NR_RACES];	/* two references to each */
	unsigned int nwrong;
};

static void race_thread(void *arg, unsigned int who)
{
	struct race *r = arg;
	unsigned int i;

	for (i = 0; i < NR_RACES; i++) {
		void *p = who == 2 ? kmheap_weak_get(r->weak[i]) : NULL;

		if (p && p != r->p[i])
			r->nwrong++;
		if (who)
			kmheap_weak_destroy(r->weak[i]);
		else if (i % 4)
			kmheap_free(r->p[i]);
		else
			kmheap_free_rcu(r->p[i]);
	}
}

static void destroy_against_free(struct kunit *test)
{
	struct race *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, round;

	KUNIT_ASSERT_NOT_NULL(test, r);
	for (round = 0; round < 10; round++) {
		for (i = 0; i < NR_RACES; i++) {
			r->p[i] = alloc(test, i % 20 ? 64 : 40000);
			r->weak[i] = weak_of(test, r->p[i]);
			KUNIT_EXPECT_PTR_EQ(test, weak_of(test, r->p[i]), r->weak[i]);
		}
		kmh_kunit_threads(test, 3, race_thread, r);
		expect_no_specials(test, heap);
	}
	KUNIT_EXPECT_EQ(test, r->nwrong, 0U);
}

/* ---- collections */

enum { KEPT, DOOMED, BLACK, NR_FATES };

struct fates {
	void *p[NR_FATES][ARRAY_SIZE(sizes)];
	struct kmheap_weak *weak[NR_FATES][ARRAY_SIZE(sizes)];
};

static void make(struct kunit *test, struct fates *f, unsigned int fate)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		f->p[fate][i] = alloc(test, sizes[i]);
		f->weak[fate][i] = weak_of(test, f->p[fate][i]);
	}
}

static void expect_fates(struct kunit *test, const struct fates *f, const char *when)
{
	unsigned int i, fate;

	for (fate = 0; fate < NR_FATES; fate++)
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			KUNIT_EXPECT_PTR_EQ_MSG(test, kmheap_weak_get(f->weak[fate][i]),
						fate == DOOMED ? NULL : f->p[fate][i],
						"%s, %s: %zu bytes", when,
						fate == KEPT ? "kept" : fate == DOOMED ? "doomed" :
						"black", sizes[i]);
}

static void unmake(struct kunit *test, struct fates *f)
{
	unsigned int i, fate;

	for (fate = 0; fate < NR_FATES; fate++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			if (fate != DOOMED) {
				KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(f->p[fate][i]));
				kmheap_free(f->p[fate][i]);
			}
			kmheap_weak_destroy(f->weak[fate][i]);
		}
	}
}

/* Sweep span after span, so that no reader meets the middle of a sweep. */
static void sweep_span_by_span(struct kunit *test, struct fates *f)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_node *node;
	unsigned int i;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid))) {
		for (i = 0; i < KMH_NR_SPANCLASSES; i++)
			while (kmh_mcentral_sweep_one(kmh_mcentral_of(node, i)))
				expect_fates(test, f, "listed spans");
	}
	sweep_by_hand(heap);
	expect_fates(test, f, "swept");
}

/* Doomed objects are gone from the end of the collection on, swept or not. */
static void get_between_end_and_sweep(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	work_func_t sweeper = stop_sweeper(heap), finalizers = stop_finalizers(heap);
	unsigned int i, drained;
	struct fates f;

	for (drained = 0; drained < 2; drained++) {
		make(test, &f, KEPT);
		make(test, &f, DOOMED);
		if (drained)
			kmh_mcache_drain_all(heap);
		begin(test, heap);
		make(test, &f, BLACK);
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			KUNIT_EXPECT_PTR_EQ(test, kmheap_weak_get(f.weak[DOOMED][i]),
					    f.p[DOOMED][i]);
			KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, f.p[KEPT][i]));
		}
		end(test, heap);
		expect_fates(test, &f, "nothing swept");
		if (drained)
			kmh_mcache_drain_all(heap);
		expect_fates(test, &f, "uncached");
		sweep_span_by_span(test, &f);
		start_finalizers(heap, finalizers);
		kmheap_rcu_barrier(heap);
		expect_fates(test, &f, "finalized");
		unmake(test, &f);
		expect_no_specials(test, heap);
		finalizers = stop_finalizers(heap);
	}
	start_finalizers(heap, finalizers);
	start_sweeper(heap, sweeper);
}

/* An object made before the sweep survives it. */
static void get_of_what_is_made_before_the_sweep(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	work_func_t sweeper = stop_sweeper(heap);
	struct fates f;

	make(test, &f, DOOMED);
	begin(test, heap);
	make(test, &f, KEPT);
	end(test, heap);
	make(test, &f, BLACK);
	expect_fates(test, &f, "nothing swept");
	sweep_span_by_span(test, &f);
	start_sweeper(heap, sweeper);
	unmake(test, &f);
	expect_no_specials(test, heap);
}

#define NR_WATCHED	60U

struct watch {
	struct kmheap *heap;
	void *kept[NR_WATCHED];
	struct kmheap_weak *weak[NR_WATCHED], *doomed[NR_WATCHED];
	struct rw_semaphore sem;	/* held for writing while @doomed are made and destroyed */
	bool ended, done;
	atomic_t nlost, nrisen;		/* counted by both readers */
	unsigned int nerrors;
};

static void watch_reader(struct watch *w)
{
	unsigned int i;

	while (!READ_ONCE(w->done)) {
		down_read(&w->sem);
		for (i = 0; i < NR_WATCHED; i++) {
			/* Pairs with the release in watch_round(). */
			bool ended = smp_load_acquire(&w->ended);

			if (kmheap_weak_get(w->weak[i]) != w->kept[i])
				atomic_inc(&w->nlost);
			if (kmheap_weak_get(w->doomed[i]) && ended)
				atomic_inc(&w->nrisen);
		}
		up_read(&w->sem);
		cond_resched();
	}
}

static void watch_round(struct watch *w)
{
	unsigned int i;

	w->nerrors += !!kmheap_collect_begin(w->heap);
	for (i = 0; i < NR_WATCHED; i++)
		w->nerrors += !kmheap_mark(w->heap, w->kept[i]);
	w->nerrors += !!kmheap_collect_end(w->heap);
	smp_store_release(&w->ended, true);	/* pairs with watch_reader() */
	kmheap_rcu_barrier(w->heap);
}

static void watch_renew(struct watch *w)
{
	unsigned int i;

	down_write(&w->sem);
	for (i = 0; i < NR_WATCHED; i++) {
		kmheap_weak_destroy(w->doomed[i]);
		w->doomed[i] = kmheap_weak_create(kmheap_alloc(w->heap, 8 << i % 9, GFP_KERNEL));
		w->nerrors += IS_ERR(w->doomed[i]);
	}
	w->ended = false;
	up_write(&w->sem);
}

static void watch_thread(void *arg, unsigned int who)
{
	struct watch *w = arg;
	unsigned int round;

	if (who) {
		watch_reader(w);
		return;
	}
	for (round = 0; round < 20; round++) {
		watch_renew(w);
		watch_round(w);
	}
	WRITE_ONCE(w->done, true);
}

/*
 * While the sweep runs the handle of a survivor always gives it, and that of a dead object
 * never.
 */
static void get_while_collecting(struct kunit *test)
{
	struct watch *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, w);
	w->heap = kmh_kunit_heap(test);
	init_rwsem(&w->sem);
	for (i = 0; i < NR_WATCHED; i++) {
		w->kept[i] = alloc(test, i % 10 ? 8 << i % 9 : 40000);
		w->weak[i] = weak_of(test, w->kept[i]);
	}
	watch_renew(w);
	kmh_kunit_threads(test, 3, watch_thread, w);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->nlost), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&w->nrisen), 0);
	KUNIT_EXPECT_EQ(test, w->nerrors, 0U);
	for (i = 0; i < NR_WATCHED; i++) {
		kmheap_free(w->kept[i]);
		kmheap_weak_destroy(w->weak[i]);
		kmheap_weak_destroy(w->doomed[i]);
	}
	expect_no_specials(test, w->heap);
}

static struct kunit_case weak_cases[] = {
	KUNIT_CASE(create_gives_the_same_handle),
	KUNIT_CASE(create_errors),
	KUNIT_CASE(get_after_a_free),
	KUNIT_CASE(get_after_destroy),
	KUNIT_CASE(weak_and_finalizer),
	KUNIT_CASE(destroy_against_free),
	{ }
};

static struct kunit_suite weak_suite = {
	.name = "kmheap_weak",
	.init = weak_init,
	.exit = kmh_kunit_exit,
	.test_cases = weak_cases,
};

static struct kunit_case weak_collect_cases[] = {
	KUNIT_CASE(get_between_end_and_sweep),
	KUNIT_CASE(get_of_what_is_made_before_the_sweep),
	KUNIT_CASE(get_while_collecting),
	{ }
};

static struct kunit_suite weak_collect_suite = {
	.name = "kmheap_weak_collect",
	.init = collect_init,
	.exit = kmh_kunit_exit,
	.test_cases = weak_collect_cases,
};

kunit_test_suites(&weak_suite, &weak_collect_suite);
