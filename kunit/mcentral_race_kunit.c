// SPDX-License-Identifier: GPL-2.0
/* KUnit: central lists against remote frees: each full span is announced exactly once. */
#include "mcentral_kunit.h"
#include "sweep_kunit.h"

/* ---- the announcement */

static void first_remote_free_announces_once(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, NR_SLOTS);
	unsigned int slot;

	uncache_span(test, s);
	expect_home(test, s, KMH_HOME_FULL);
	for (slot = 0; slot < NR_SLOTS; slot++) {
		free_remote(test, s, slot);
		expect_home(test, s, KMH_HOME_ANNOUNCED);
	}
	expect_all_released(test, SPANCLASS);
}

static void remote_free_announces_nothing_but_full(struct kunit *test)
{
	struct kmh_mspan *cached = span_of(test, SPANCLASS, 4);
	struct kmh_mspan *listed = span_of(test, SPANCLASS, 4);

	uncache_span(test, listed);
	free_remote(test, cached, 0);
	expect_home(test, cached, KMH_HOME_CACHED);
	free_remote(test, listed, 0);
	expect_home(test, listed, KMH_HOME_PARTIAL);
	free_all(test, cached);
	uncache_span(test, cached);
	free_all(test, listed);
	expect_all_released(test, SPANCLASS);
}

/* A double free of the only freed slot is refused and announces nothing more. */
static void double_free_announces_nothing(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, NR_SLOTS);

	uncache_span(test, s);
	free_remote(test, s, 3);
	preempt_disable();
	KUNIT_EXPECT_EQ(test, (int)kmh_kunit_free_remote(s, 3), (int)KMH_FREE_DOUBLE);
	preempt_enable();
	expect_home(test, s, KMH_HOME_ANNOUNCED);
	free_all(test, s);
	expect_all_released(test, SPANCLASS);
}

/* A free whose bit is set already is one of two at the same time. */
static void bit_that_is_set_already_tells(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, NR_SLOTS);

	kmh_kunit_stay(test);
	uncache_span(test, s);
	free_remote(test, s, 3);
	/* The other one had seen the object live, and its entry has been allocated. */
	WRITE_ONCE(s->cell[3], KMH_CELL_LIVE);
	preempt_disable();
	KUNIT_EXPECT_EQ(test, (int)kmh_kunit_free_remote(s, 3), (int)KMH_FREE_DOUBLE);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, s->cell[3], KMH_CELL_OUT);
	expect_home(test, s, KMH_HOME_ANNOUNCED);

	/* A magazine that gives an entry back reports it itself; then to a span of its own CPU. */
	hold_slot(s, 3);
	give_held(test, s, 3);
	KUNIT_EXPECT_EQ(test, kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1).addr, s->base + 3072);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), (long)BIT(3));
	KUNIT_EXPECT_PTR_EQ(test, cache_span(test, SPANCLASS), s);
	KUNIT_EXPECT_EQ(test, s->w[0].free, BIT(3));
	hold_slot(s, 3);
	WRITE_ONCE(s->owner, raw_cpu_ptr(kmh_kunit_heap(test)->mcache));
	give_held(test, s, 3);
	WRITE_ONCE(s->owner, NULL);
	KUNIT_EXPECT_EQ(test, kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1).addr, s->base + 3072);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), 0L);
	free_all(test, s);
	uncache_span(test, s);
	expect_all_released(test, SPANCLASS);
}

#define NR_FREERS	4U
#define NR_SPANS	24U

struct freers {
	struct kmh_mspan *s[NR_SPANS];
	unsigned int n;
	atomic_t arrived;
	atomic_t ndouble;
};

/* Free into span after span; all threads begin with a span at the same moment. */
static void free_share(void *arg, unsigned int i)
{
	struct freers *f = arg;
	unsigned int k, slot;

	for (k = 0; k < NR_SPANS; k++) {
		atomic_inc(&f->arrived);
		while (atomic_read(&f->arrived) < (int)((k + 1) * f->n)) {
			cpu_relax();
			cond_resched();
		}
		for (slot = i; slot < f->s[k]->nelems; slot += f->n) {
			preempt_disable();
			if (kmh_kunit_free_remote(f->s[k], slot) != KMH_FREE_OK)
				atomic_inc(&f->ndouble);
			preempt_enable();
		}
	}
}

static void announce_by_many_at_once(struct kunit *test)
{
	unsigned int round, k, remote;

	grow(test, 2 * NR_SPANS);
	for (round = 0; round < 5; round++) {
		struct freers f = { .n = min(num_online_cpus(), NR_FREERS) };

		for (k = 0; k < NR_SPANS; k++) {
			f.s[k] = span_of(test, SPANCLASS_16, 1024);
			uncache_span(test, f.s[k]);
		}
		kmh_kunit_threads(test, f.n, free_share, &f);
		KUNIT_EXPECT_EQ(test, atomic_read(&f.ndouble), 0);
		for (k = 0; k < NR_SPANS; k++) {
			expect_home(test, f.s[k], KMH_HOME_ANNOUNCED);
			KUNIT_EXPECT_EQ(test, kmh_kunit_live(f.s[k], &remote), 0U);
			KUNIT_EXPECT_EQ(test, remote, 1024U);
		}
		expect_all_released(test, SPANCLASS_16);
	}
}

/* ---- a remote free between the last fold and home FULL */

/*
 * Such a free still reads home CACHED and announces nothing: only the second look of
 * settle_full() can find it. The case reaches that moment through the report of a raced
 * double free, which the fold makes in the middle of its walk over the words: at word 15,
 * when word 0 has been passed, slot 0 is freed.
 */
static struct {
	struct kmh_mspan *s;
	unsigned int calls;
	unsigned int when;		/* the call in which slot 0 is freed */
	bool defer;			/* slot 0 is freed after a grace period */
	enum kmh_free_result res;
	int home;
} late;

#define LATE_BIT	BIT(63)

static void late_hook(const struct kmh_report *r)
{
	struct kmh_slots *w = &late.s->w[15];

	if (++late.calls < late.when) {
		atomic_long_or(LATE_BIT, &w->remote);	/* so that the hook is called again */
		return;
	}
	w->free &= ~LATE_BIT;
	late.home = atomic_read(&late.s->home);
	late.res = late.defer ? kmh_mspan_defer(late.s, 0, late.s->base) :
				kmh_kunit_free_remote(late.s, 0);
}

static void late_free_in(struct kunit *test, struct kmh_mspan *s, unsigned int call,
			 void (*fn)(struct kunit *test, struct kmh_mspan *s))
{
	void (*hook)(const struct kmh_report *r) = kmh_report_hook;

	late.s = s;
	late.calls = 0;
	late.when = call;
	late.home = -1;
	s->w[15].free |= LATE_BIT;
	atomic_long_or(LATE_BIT, &s->w[15].remote);
	WRITE_ONCE(kmh_report_hook, late_hook);
	fn(test, s);
	WRITE_ONCE(kmh_report_hook, hook);
	KUNIT_EXPECT_EQ(test, late.calls, call);
	KUNIT_EXPECT_EQ(test, late.home, (int)KMH_HOME_CACHED);
	KUNIT_EXPECT_EQ(test, (int)late.res, (int)KMH_FREE_OK);
}

static void settle_full_sees_late_free(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS_16, 1024);

	/* The free comes in the fold, after its look at word 0: the span becomes full. */
	late_free_in(test, s, 1, uncache_span);
	expect_home(test, s, KMH_HOME_ANNOUNCED);
	KUNIT_EXPECT_EQ(test, s->w[0].free, 0UL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[0].remote), 1L);
	free_all(test, s);
	expect_all_released(test, SPANCLASS_16);
}

/* As above with a deferred free: the sweep would not find a full span that is on no list. */
static void settle_full_lists_late_deferred_free(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS_16, 1024);

	late.defer = true;
	late_free_in(test, s, 1, uncache_span);
	late.defer = false;
	expect_home(test, s, KMH_HOME_LISTED);
	KUNIT_EXPECT_TRUE(test, kmh_mspan_slot_waits(s, 0));
	kmheap_rcu_barrier(kmh_kunit_heap(test));
	expect_home(test, s, KMH_HOME_PARTIAL);
	free_all(test, s);
	expect_all_released(test, SPANCLASS_16);
}

static void take_expecting_other(struct kunit *test, struct kmh_mspan *s)
{
	struct kmh_mspan *other = cache_span(test, SPANCLASS_16);

	/* The span is put down as full; the late free is seen, and the span is taken again. */
	KUNIT_EXPECT_PTR_EQ(test, other, s);
}

static void cache_span_sees_late_free(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS_16, 1023);

	uncache_span(test, s);
	expect_home(test, s, KMH_HOME_PARTIAL);
	kmh_kunit_take_slot(s, 1023);
	late_free_in(test, s, 2, take_expecting_other);
	expect_home(test, s, KMH_HOME_CACHED);
	KUNIT_EXPECT_EQ(test, s->w[0].free, 1UL);
	free_all(test, s);
	uncache_span(test, s);
	expect_all_released(test, SPANCLASS_16);
}

/* A remote free against uncache, many times: one side or the other finds the free. */
#define NR_ROUNDS	(KMH_KUNIT_SLOW ? 500U : 2000U)

struct late_race {
	struct kmh_mspan *s;
	bool defer;
	struct kmh_node *node;
	unsigned int nlost;
	atomic_t round;			/* how far the freer may go */
	atomic_t done;
};

static void late_race_thread(void *arg, unsigned int i)
{
	struct late_race *r = arg;
	unsigned int round, k;

	for (round = 1; round <= NR_ROUNDS; round++) {
		preempt_disable();
		if (i) {
			while (atomic_read_acquire(&r->round) != round && !need_resched())
				cpu_relax();
			while (atomic_read_acquire(&r->round) != round) {
				preempt_enable();
				cond_resched();
				preempt_disable();
			}
			/*
			 * The free comes a little later in each round, so that some round
			 * meets the moment.
			 */
			for (k = 0; k < round % 64; k++)
				cpu_relax();
			if (r->defer)
				kmh_mspan_defer(r->s, 0, r->s->base);
			else
				kmh_kunit_free_remote(r->s, 0);
			atomic_set_release(&r->done, round);
			preempt_enable();
			continue;
		}
		kmh_kunit_take_slot(r->s, 0);
		atomic_set_release(&r->round, round);
		kmh_mcentral_uncache_span(r->node, r->s);
		preempt_enable();
		while (atomic_read_acquire(&r->done) != round)
			cond_resched();
		r->nlost += atomic_read(&r->s->home) == KMH_HOME_FULL;
		preempt_disable();
		/*
		 * The deferred free expires, as in the sweep of its set; the span has a free slot
		 * then and can be cached.
		 */
		if (r->defer) {
			atomic_long_set(kmh_mspan_deferred(r->s, 0, 0), 0);
			if (kmh_cells_move(r->s, 0, 1, KMH_CELL_WAITS, KMH_CELL_OUT) != 1)
				r->nlost++;
			atomic_long_or(1, &r->s->w[0].remote);
		}
		if (atomic_read(&r->s->home) >= KMH_HOME_FULL)
			kmh_inbox_announce(r->s);
		if (kmh_kunit_cache_span(r->node, SPANCLASS_16) != r->s)
			r->nlost++;
		kmh_mspan_fold(r->s);
		preempt_enable();
	}
}

static void uncache_against_free(struct kunit *test, bool defer)
{
	struct late_race r = {
		.node = node(test), .s = span_of(test, SPANCLASS_16, 1024), .defer = defer,
	};

	kmh_kunit_threads(test, 2, late_race_thread, &r);
	KUNIT_EXPECT_EQ(test, r.nlost, 0U);
	free_all(test, r.s);
	uncache_span(test, r.s);
	expect_all_released(test, SPANCLASS_16);
}

static void uncache_against_remote_free(struct kunit *test)
{
	uncache_against_free(test, false);
}

static void uncache_against_deferred_free(struct kunit *test)
{
	sweep_by_hand(kmh_kunit_heap(test));
	uncache_against_free(test, true);
}

/*
 * Double frees that lose their race at the worst moment: the span has been chosen for its one
 * free slot, and when that slot is taken its remote bit is set, because a magazine has given back
 * what was the span's already. As above the reports of the fold lead there: word 0 has a raced
 * double free that returns at every fold, so the hook is called in each fold; in the second one,
 * that of the taker, slot 64 is hit as well.
 */
static struct kmh_mspan *hit_span;
static unsigned int hit_calls;

static void hit_hook(const struct kmh_report *r)
{
	hit_calls++;
	if (hit_calls <= 2)
		atomic_long_or(1, &hit_span->w[0].remote);
	if (hit_calls == 2 || hit_calls == 3)
		atomic_long_or(1, &hit_span->w[1].remote);
}

static struct kmh_mspan *hit_span_listed(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS_16, 1024);

	free_remote(test, s, 64);
	uncache_span(test, s);
	free_remote(test, s, 0);
	s->w[0].free = 1;
	hit_span = s;
	hit_calls = 0;
	return s;
}

static void alloc_one_loses_the_slot_it_saw(struct kunit *test)
{
	void (*hook)(const struct kmh_report *r) = kmh_report_hook;
	struct kmh_mspan *s = hit_span_listed(test);
	void *p;

	WRITE_ONCE(kmh_report_hook, hit_hook);
	p = alloc_one(test, SPANCLASS_16);
	WRITE_ONCE(kmh_report_hook, hook);
	/*
	 * Two words at the taker's fold. Then the span is full without another fold, and so it is
	 * announced, and found with the next look: nothing is lost.
	 */
	KUNIT_EXPECT_EQ(test, hit_calls, 5U);
	KUNIT_EXPECT_EQ(test, (unsigned long)p, s->base);
	expect_home(test, s, KMH_HOME_PARTIAL);
	kmh_mcentral_drain(node(test), SPANCLASS_16);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, kmh_kunit(test)->nreports[KMH_DOUBLE_FREE]);
	free_all(test, s);
	expect_all_released(test, SPANCLASS_16);
}

static void refill_loses_the_slot_it_saw(struct kunit *test)
{
	void (*hook)(const struct kmh_report *r) = kmh_report_hook;
	struct kmh_mspan *s = hit_span_listed(test), *cached;
	struct kmh_mcache *mc;
	bool refilled;

	WRITE_ONCE(kmh_report_hook, hit_hook);
	preempt_disable();
	mc = this_cpu_ptr(kmh_kunit_heap(test)->mcache);
	kmh_mcache_enter(mc);
	refilled = kmh_mcache_refill(mc, SPANCLASS_16);
	cached = mc->slot[SPANCLASS_16].span;
	kmh_mcache_leave(mc);
	preempt_enable();
	WRITE_ONCE(kmh_report_hook, hook);
	KUNIT_EXPECT_GE(test, hit_calls, 4U);
	KUNIT_EXPECT_FALSE(test, refilled && cached == s);
	KUNIT_EXPECT_EQ(test, !!cached, refilled);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	expect_home(test, s, KMH_HOME_PARTIAL);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, kmh_kunit(test)->nreports[KMH_DOUBLE_FREE]);
	free_all(test, s);
	expect_all_released(test, SPANCLASS_16);
}

/*
 * What a magazine has by its cell is left to it when the bit is to be taken, and the next slot of
 * the span is. A span with no other slot to give is full, and the next one serves.
 */
static void alloc_one_leaves_held_slots(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, 5), *next = span_of(test, SPANCLASS, 7);
	unsigned long npages;
	struct kmh_report r;
	void *p;

	uncache_span(test, next);
	uncache_span(test, s);		/* comes before the other one */
	hold_slot(s, 5);
	hold_slot(s, 7);
	p = alloc_one(test, SPANCLASS);
	KUNIT_EXPECT_EQ(test, (unsigned long)p, s->base + 6 * 1024);
	r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, s->base + 5 * 1024);
	expect_home(test, s, KMH_HOME_PARTIAL);
	KUNIT_EXPECT_EQ(test, s->w[0].free, BIT(7));

	npages = free_pages_now(test);
	p = alloc_one(test, SPANCLASS);
	KUNIT_EXPECT_EQ(test, (unsigned long)p, next->base + 7 * 1024);
	KUNIT_EXPECT_EQ(test, free_pages_now(test), npages);
	r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, s->base + 7 * 1024);
	expect_home(test, s, KMH_HOME_FULL);
	KUNIT_EXPECT_EQ(test, s->w[0].free, 0UL);
	KUNIT_EXPECT_EQ(test, s->cell[5], HELD);
	KUNIT_EXPECT_EQ(test, s->cell[7], HELD);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&central(test, SPANCLASS)->nested_allocs), 2L);

	/* Each comes back once, when its magazine gives it. */
	give_held(test, s, 7);
	expect_home(test, s, KMH_HOME_ANNOUNCED);
	p = alloc_one(test, SPANCLASS);
	KUNIT_EXPECT_EQ(test, (unsigned long)p, s->base + 7 * 1024);
	expect_home(test, s, KMH_HOME_FULL);
	give_held(test, s, 5);
	free_all(test, s);
	free_all(test, next);
	expect_all_released(test, SPANCLASS);
}

/* The search ends where all spans are such, and there are no pages. */
static void alloc_one_leaves_all_held_slots(struct kunit *test)
{
	struct kmh_mheap *mh = &node(test)->mheap;
	struct kmh_mspan *s[3];
	void *chain = NULL, **p;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = span_of(test, SPANCLASS, 5);
		uncache_span(test, s[i]);
		hold_slot(s[i], 5);
		hold_slot(s[i], 6);
		hold_slot(s[i], 7);
	}
	/* Data of this size has spans of one page, too. To grow is for callers that may sleep. */
	while ((p = kmheap_alloc_data(mh->heap, 1024, GFP_ATOMIC))) {
		*p = chain;
		chain = p;
	}
	KUNIT_EXPECT_NULL(test, alloc_one(test, SPANCLASS));
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 9);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		expect_home(test, s[i], KMH_HOME_FULL);
	for (; (p = chain); kmheap_free(p))
		chain = *p;
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		give_held(test, s[i], 5);
		give_held(test, s[i], 6);
		give_held(test, s[i], 7);
		free_all(test, s[i]);
	}
	kmh_mcache_drain_all(mh->heap);
	kmh_mheap_drain_lists(mh);
	expect_all_released(test, SPANCLASS);
}

/*
 * The second half of double frees that lost a race: the remote bit of a slot comes and goes while
 * the slot is wanted, and while it is live, as from a magazine that has made the cell the span's
 * and sets the bit only when the slot has been allocated by its other bit. No thread may get a slot
 * that is not free.
 */
struct raced_doubles {
	struct kmh_node *node;
	struct kmh_mspan *s;
	unsigned int nwrong;
	unsigned int nsame;
	atomic_t stop;
};

static void raced_doubles_thread(void *arg, unsigned int i)
{
	struct raced_doubles *r = arg;
	unsigned int n;

	for (n = 0; i && !atomic_read(&r->stop); n++) {
		preempt_disable();
		if (n % 16 == 0 || READ_ONCE(r->s->w[0].free)) {
			atomic_long_or(1, &r->s->w[0].remote);
			if (kmh_mspan_unannounced(r->s))
				kmh_inbox_announce(r->s);
		}
		preempt_enable();
		if (n % 64 == 0)
			cond_resched();
	}
	for (n = 0; !i && n < 2000; n++) {
		unsigned long p, q;

		preempt_disable();
		p = (unsigned long)kmh_mcentral_alloc_one(r->node, SPANCLASS, false);
		preempt_enable();
		if (!p)
			continue;
		r->nwrong += kmh_span_of(p)->state != KMH_SPAN_SMALL;
		if (p == r->s->base) {
			/* It is this thread's now, whatever bits the racer sets. */
			preempt_disable();
			q = (unsigned long)kmh_mcentral_alloc_one(r->node, SPANCLASS, false);
			preempt_enable();
			r->nwrong += q == p;
			kmheap_free((void *)q);
			preempt_disable();
			kmh_kunit_free_remote(r->s, 0);
			preempt_enable();
			r->nsame++;
			continue;
		}
		r->nwrong += p - r->s->base < KMH_PAGE_SIZE;
		kmheap_free((void *)p);
	}
	if (!i)
		atomic_set(&r->stop, 1);
}

static void alloc_one_survives_raced_doubles(struct kunit *test)
{
	struct raced_doubles r = { .node = node(test), .s = span_of(test, SPANCLASS, NR_SLOTS) };
	struct kmh_kunit *k = kmh_kunit(test);

	uncache_span(test, r.s);
	free_remote(test, r.s, 0);
	kmh_kunit_threads(test, 2, raced_doubles_thread, &r);
	KUNIT_EXPECT_EQ(test, r.nwrong, 0U);
	KUNIT_EXPECT_GT(test, r.nsame, 0U);
	kmh_mcentral_drain(node(test), SPANCLASS);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, k->nreports[KMH_DOUBLE_FREE]);
	free_all(test, r.s);
	expect_all_released(test, SPANCLASS);
}

static struct kunit_case mcentral_race_cases[] = {
	KUNIT_CASE(first_remote_free_announces_once),
	KUNIT_CASE(remote_free_announces_nothing_but_full),
	KUNIT_CASE(double_free_announces_nothing),
	KUNIT_CASE(bit_that_is_set_already_tells),
	KUNIT_CASE(announce_by_many_at_once),
	KUNIT_CASE(settle_full_sees_late_free),
	KUNIT_CASE(settle_full_lists_late_deferred_free),
	KUNIT_CASE(cache_span_sees_late_free),
	KUNIT_CASE(uncache_against_remote_free),
	KUNIT_CASE(uncache_against_deferred_free),
	KUNIT_CASE(alloc_one_loses_the_slot_it_saw),
	KUNIT_CASE(refill_loses_the_slot_it_saw),
	KUNIT_CASE(alloc_one_leaves_held_slots),
	KUNIT_CASE(alloc_one_leaves_all_held_slots),
	KUNIT_CASE(alloc_one_survives_raced_doubles),
	{ }
};

static struct kunit_suite mcentral_race_suite = {
	.name = "kmheap_mcentral_race",
	.init = mcentral_init,
	.exit = kmh_kunit_exit,
	.test_cases = mcentral_race_cases,
};

kunit_test_suite(mcentral_race_suite);
