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
	KUNIT_EXPECT_EQ(test, (int)kmh_mspan_free_remote(s, 3), (int)KMH_FREE_DOUBLE);
	preempt_enable();
	expect_home(test, s, KMH_HOME_ANNOUNCED);
	free_all(test, s);
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
			if (kmh_mspan_free_remote(f->s[k], slot) != KMH_FREE_OK)
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
	late.res = late.defer ? kmh_mspan_defer(late.s, 0) : kmh_mspan_free_remote(late.s, 0);
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
	s->w[15].free = 0;
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
				kmh_mspan_defer(r->s, 0);
			else
				kmh_mspan_free_remote(r->s, 0);
			atomic_set_release(&r->done, round);
			preempt_enable();
			continue;
		}
		r->s->w[0].free &= ~1UL;
		atomic_set_release(&r->round, round);
		kmh_mcentral_uncache_span(r->node, r->s);
		preempt_enable();
		while (atomic_read_acquire(&r->done) != round)
			cond_resched();
		r->nlost += atomic_read(&r->s->home) == KMH_HOME_FULL;
		preempt_disable();
		/* The deferred free expires; the span has a free slot then and can be cached. */
		atomic_long_set(kmh_mspan_deferred(r->s, 0, 0), 0);
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
 * free slot, and when that slot is taken its remote bit is set. As above the reports of the
 * fold lead there: word 0 has a raced double free that returns at every fold, so the hook is
 * called in each fold; in the second one, that of the taker, slot 64 is hit as well.
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

	s->w[1].free = 1;
	uncache_span(test, s);
	s->w[0].free = 1;
	atomic_long_set(&s->w[0].remote, 1);
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
	KUNIT_EXPECT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, hit_calls, 3U);	/* two words at the taker's fold */
	/* The span is full without another fold, and so it is announced: nothing is lost. */
	expect_home(test, s, KMH_HOME_ANNOUNCED);
	p = alloc_one(test, SPANCLASS_16);
	KUNIT_EXPECT_EQ(test, (unsigned long)p, s->base);
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
 * The second half of double frees that lost a race: the remote bit of a free slot comes and
 * goes while the slot is wanted. No thread may get a slot that is not free.
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
		if (READ_ONCE(r->s->w[0].free))
			atomic_long_or(1, &r->s->w[0].remote);
		if (n % 64 == 0)
			cond_resched();
	}
	for (n = 0; !i && n < 2000; n++) {
		unsigned long p;

		preempt_disable();
		p = (unsigned long)kmh_mcentral_alloc_one(r->node, SPANCLASS, false);
		preempt_enable();
		if (!p)
			continue;
		r->nwrong += kmh_span_of(p)->state != KMH_SPAN_SMALL;
		if (p == r->s->base) {
			/*
			 * The slot is live again, unless the racer's bit frees it: then it is
			 * free.
			 */
			preempt_disable();
			kmh_mspan_free_remote(r->s, 0);
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
	KUNIT_CASE(announce_by_many_at_once),
	KUNIT_CASE(settle_full_sees_late_free),
	KUNIT_CASE(settle_full_lists_late_deferred_free),
	KUNIT_CASE(cache_span_sees_late_free),
	KUNIT_CASE(uncache_against_remote_free),
	KUNIT_CASE(uncache_against_deferred_free),
	KUNIT_CASE(alloc_one_loses_the_slot_it_saw),
	KUNIT_CASE(refill_loses_the_slot_it_saw),
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
