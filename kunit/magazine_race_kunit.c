// SPDX-License-Identifier: GPL-2.0
/* KUnit: magazines on several CPUs at once: no slot is handed out twice, and none is lost. */
#include <linux/delay.h>
#include <linux/prandom.h>
#include <linux/sort.h>

#include "magazine_kunit.h"

#define ROUNDS		(KMH_KUNIT_SLOW ? 5000U : 40000U)
#define WORDS		(BYTES / sizeof(u64))
#define POISON		0xdeadULL

/* A live set of @nset objects, each of which any thread replaces at random. */
struct replace {
	struct kmheap *heap;
	struct kmh_node *node;
	unsigned int nset;
	unsigned int nworkers;
	bool rcu;
	u64 **set;
	atomic_t nrunning;
	atomic_t nwrong;
	atomic_t nfailed;
};

/* Fill an object with what only the owner @id writes. */
static void stamp(u64 *p, u64 id)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		WRITE_ONCE(p[i], id);
}

static bool stamped(const u64 *p, u64 id)
{
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		if (READ_ONCE(p[i]) != id)
			return false;
	return true;
}

/*
 * Objects at even places are freed after a grace period, if the row asks for that. They stay
 * as they are until then, because readers may have them.
 */
static void free_old(struct replace *r, unsigned int place, u64 *old)
{
	if (!stamped(old, old[0]) || old[0] == POISON)
		atomic_inc(&r->nwrong);
	if (r->rcu && place % 2 == 0) {
		kmheap_free_rcu(old);
		return;
	}
	stamp(old, POISON);
	kmheap_free(old);
}

static void read_one(struct replace *r, unsigned int place)
{
	unsigned int i;
	u64 *p, id;

	rcu_read_lock();
	p = READ_ONCE(r->set[place & ~1U]);
	id = READ_ONCE(p[0]);
	for (i = 0; i < 500; i++)
		cpu_relax();
	if (!stamped(p, id))
		atomic_inc(&r->nwrong);
	rcu_read_unlock();
}

/* A slot that was handed out twice has two owners, of which one does not find its stamp. */
static void replace_one(struct replace *r, struct rnd_state *rnd, u64 id)
{
	u32 n = prandom_u32_state(rnd);
	u64 *p = kmheap_alloc(r->heap, BYTES, GFP_KERNEL), *old;

	if (!p) {
		atomic_inc(&r->nfailed);
		return;
	}
	stamp(p, id);
	if (n >> 28 == 0)
		cond_resched();
	if (!stamped(p, id))
		atomic_inc(&r->nwrong);
	old = xchg(&r->set[n % r->nset], p);
	if (old)
		free_old(r, n % r->nset, old);
}

/* Announce and fold spans, drain CPUs and sweep deferred frees at any moment. */
static void disturb(struct replace *r, struct rnd_state *rnd)
{
	u32 n = prandom_u32_state(rnd);

	preempt_disable();
	kmh_inbox_announce(kmh_span_of((unsigned long)READ_ONCE(r->set[n % r->nset])));
	preempt_enable();
	kmh_mcentral_drain(r->node, SPANCLASS);
	if (r->rcu)
		read_one(r, n % r->nset);
	if (n >> 26 == 0)
		kmh_mcache_drain_all(r->heap);
	if (n >> 26 == 1)
		kmh_kunit_shrink(r->heap);
	cond_resched();
}

static void replace_thread(void *arg, unsigned int i)
{
	struct replace *r = arg;
	u64 round;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, 4711 + i);
	if (i >= r->nworkers) {
		while (atomic_read(&r->nrunning))
			disturb(r, &rnd);
		return;
	}
	for (round = 1; round <= ROUNDS; round++) {
		replace_one(r, &rnd, round << 8 | i);
		if (round % 64 == 0)
			cond_resched();
	}
	atomic_dec(&r->nrunning);
}

static void replace_set(struct kunit *test, unsigned int nset, bool rcu)
{
	struct replace r = {
		.heap = kmh_kunit_heap(test), .node = node(test), .nset = nset, .rcu = rcu,
		.nworkers = min(2 * num_online_cpus(), KMH_KUNIT_THREADS - 1),
	};
	unsigned int i;

	r.set = kunit_kcalloc(test, nset, sizeof(*r.set), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r.set);
	for (i = 0; i < nset; i++) {
		r.set[i] = alloc(test);
		stamp(r.set[i], i + 1);
	}
	atomic_set(&r.nrunning, r.nworkers);
	kmh_kunit_threads(test, r.nworkers + 1, replace_thread, &r);
	KUNIT_EXPECT_EQ(test, atomic_read(&r.nwrong), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&r.nfailed), 0);
	kmh_kunit_no_reports(test);
	kmh_kunit_validate(test);
	for (i = 0; i < nset; i++)
		kmheap_free(r.set[i]);
	expect_all_back(test);
}

/* Fewer objects than rest in the magazines, so that most come from windows. */
static void replace_few(struct kunit *test)
{
	replace_set(test, 20, false);
}

/* More objects than magazines hold. */
static void replace_many(struct kunit *test)
{
	replace_set(test, 3000, false);
}

static void replace_few_with_deferred_frees(struct kunit *test)
{
	replace_set(test, 20, true);
}

static void replace_many_with_deferred_frees(struct kunit *test)
{
	replace_set(test, 3000, true);
}

/*
 * Two threads free the same objects at the same time, each in ways of its own, and then both
 * allocate. A third one drains, folds and sweeps at any moment. Of every two frees one is reported,
 * at once or when the slot crosses; no slot has two holders, and none is lost.
 */
#define DUEL_ROUNDS	(KMH_KUNIT_SLOW ? 400U : 3000U)
#define DUEL_SET	32U		/* objects of a round */
#define DUEL_TAKEN	24U		/* allocated in a round afterwards, at most */

enum duel_way {
	WAY_FREE,
	WAY_NESTED,
	WAY_BULK,
	WAY_DEFER,
	NR_WAYS,
};

struct duel {
	struct kunit *test;
	struct kmheap *heap;
	struct task_struct *task[2];
	void *set[DUEL_SET];
	unsigned int n;			/* objects of @set that are freed twice */
	unsigned int ndoubled;		/* since everything was last at rest */
	unsigned int total;
	bool meets;			/* threads wait for each other between look and store */
	atomic_t at_store;
	atomic_t arrived;
	atomic_t over;
	atomic_t nreports[KMH_NR_MISUSES];
	atomic_t nlate;			/* found out later */
	atomic_t nwrong;
	atomic_t nfailed;
};

static struct duel *duel_now;

static void duel_report(const struct kmh_report *r)
{
	atomic_inc(&duel_now->nreports[r->kind]);
	if (strstr(r->what, "later"))
		atomic_inc(&duel_now->nlate);
}

/*
 * Both threads have looked before one of them stores, if they get here at about the same time.
 * Until they have met once they wait for longer: a busy host may hardly run both at the same time.
 */
static void duel_point(const char *place)
{
	struct duel *d = duel_now;
	unsigned int spins = atomic_read(&d->nlate) ? 300 : 20000;

	if (!READ_ONCE(d->meets) || !in_task() ||
	    (current != d->task[0] && current != d->task[1]) ||
	    strcmp(place, "free: between look and store"))
		return;
	if (atomic_inc_return(&d->at_store) % 2)
		while (atomic_read(&d->at_store) % 2 && --spins)
			cpu_relax();
}

/* Both threads have come to the @nth meeting. */
static void duel_meet(struct duel *d, unsigned int nth)
{
	unsigned int spins = 0;

	atomic_inc(&d->arrived);
	while (atomic_read(&d->arrived) < (int)(2 * nth)) {
		cpu_relax();
		if (++spins % 1024 == 0)
			cond_resched();
	}
}

static int duel_cmp(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

/*
 * New objects, in order, so that some are runs of a span. The last one of each span stays out, and
 * is freed here: were a span to go while a free is under way, the free would be one of whatever is
 * there then.
 */
static unsigned int duel_load(struct duel *d, void **rest)
{
	unsigned int i, nrest = 0;

	for (i = d->n = 0; i < DUEL_SET; i++) {
		d->set[i] = kmheap_alloc(d->heap, BYTES, GFP_KERNEL);
		if (!d->set[i])
			atomic_inc(&d->nfailed);
	}
	sort(d->set, DUEL_SET, sizeof(*d->set), duel_cmp, NULL);
	for (i = 0; i < DUEL_SET; i++) {
		if (i + 1 == DUEL_SET || span(d->set[i]) != span(d->set[i + 1]))
			rest[nrest++] = d->set[i];
		else
			d->set[d->n++] = d->set[i];
	}
	d->ndoubled += d->n;
	return nrest;
}

static void duel_free(struct duel *d, enum duel_way way, unsigned int from, unsigned int to)
{
	struct kmh_mcache *mc;
	unsigned int i;

	switch (way) {
	case WAY_NESTED:
		preempt_disable();
		mc = this_cpu_ptr(d->heap->mcache);
		kmh_mcache_enter(mc);
		free_range(d->set, from, to);
		kmh_mcache_leave(mc);
		preempt_enable();
		break;
	case WAY_BULK:
		kmheap_free_bulk(to - from, d->set + from);
		break;
	case WAY_DEFER:
		for (i = from; i < to; i++)
			kmheap_free_rcu(d->set[i]);
		break;
	default:
		free_range(d->set, from, to);
		break;
	}
}

/*
 * Two deferred frees of an object can each find the other one when the sets change roles in
 * between, and both report. So only one of the threads defers.
 */
static enum duel_way duel_way(struct rnd_state *rnd, unsigned int thread)
{
	return prandom_u32_state(rnd) % (thread ? NR_WAYS : WAY_DEFER);
}

/* Every object is stamped by its only holder, and freed once by it. */
static void duel_take(struct duel *d, struct rnd_state *rnd, u64 id, unsigned int *nth)
{
	unsigned int i, n = prandom_u32_state(rnd) % (DUEL_TAKEN + 1);
	u64 *p[DUEL_TAKEN];

	for (i = 0; i < n; i++) {
		p[i] = kmheap_alloc(d->heap, BYTES, GFP_KERNEL);
		if (p[i])
			stamp(p[i], id << 8 | i);
		else
			atomic_inc(&d->nfailed);
	}
	duel_meet(d, ++*nth);
	for (i = 0; i < n; i++) {
		if (!p[i] || !stamped(p[i], id << 8 | i))
			atomic_inc(&d->nwrong);
		kmheap_free(p[i]);
	}
}

/* Everything has been freed: each object that was freed twice has been reported once. */
static void duel_settle(struct duel *d)
{
	struct kunit *test = d->test;

	kmheap_rcu_barrier(d->heap);
	kmh_mcache_drain_all(d->heap);
	kmh_mheap_drain_lists(&node(test)->mheap);
	/* Who disturbs may have a span in hand, and report what it finds there in a moment. */
	kmh_kunit_wait_for(test, atomic_read(&d->nreports[KMH_DOUBLE_FREE]) >= (int)d->ndoubled);
	KUNIT_EXPECT_EQ(test, atomic_xchg(&d->nreports[KMH_DOUBLE_FREE], 0), (int)d->ndoubled);
	kmh_kunit_expect_conserved(test, d->heap);
	d->total += d->ndoubled;
	d->ndoubled = 0;
}

static void duel_fight(struct duel *d, unsigned int thread)
{
	unsigned int round, from, nth = 0, nrest = 0, step;
	void *rest[DUEL_SET];
	struct rnd_state rnd;

	prandom_seed_state(&rnd, 815 + thread);
	d->task[thread] = current;
	for (round = 1; round <= DUEL_ROUNDS; round++) {
		if (!thread) {
			nrest = duel_load(d, rest);
			WRITE_ONCE(d->meets, prandom_u32_state(&rnd) % 4);
		}
		duel_meet(d, ++nth);
		for (from = 0; from < d->n; from += step) {
			step = min(d->n - from, 1 + prandom_u32_state(&rnd) % 8);
			duel_free(d, duel_way(&rnd, thread), from, from + step);
		}
		duel_meet(d, ++nth);
		WRITE_ONCE(d->meets, false);
		duel_take(d, &rnd, (u64)round << 1 | thread, &nth);
		if (!thread)
			free_range(rest, 0, nrest);
		duel_meet(d, ++nth);
		if (!thread && round % 64 == 0)
			duel_settle(d);
		duel_meet(d, ++nth);
	}
}

static void duel_disturb(struct duel *d)
{
	struct rnd_state rnd;
	u32 n;

	prandom_seed_state(&rnd, 4712);
	while (atomic_read(&d->over) < 2) {
		n = prandom_u32_state(&rnd) % 64;
		if (n == 0)
			kmh_mcache_drain_all(d->heap);
		if (n < 8)
			kmh_magazines_drain_all(d->heap);
		if (n % 2)
			kmh_mcentral_drain(node(d->test), SPANCLASS);
		usleep_range(20, 200);
	}
}

static void duel_thread(void *arg, unsigned int i)
{
	struct duel *d = arg;

	if (i == 2) {
		duel_disturb(d);
		return;
	}
	duel_fight(d, i);
	atomic_inc(&d->over);
}

static void two_frees_at_once(struct kunit *test)
{
	struct duel *d = kunit_kzalloc(test, sizeof(*d), GFP_KERNEL);
	void (*hook)(const struct kmh_report *r) = READ_ONCE(kmh_report_hook);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, d);
	d->test = test;
	d->heap = kmh_kunit_heap(test);
	duel_now = d;
	WRITE_ONCE(kmh_report_hook, duel_report);
	WRITE_ONCE(kmh_test_point_hook, duel_point);
	kmh_kunit_threads(test, 3, duel_thread, d);
	WRITE_ONCE(kmh_test_point_hook, NULL);
	synchronize_rcu();
	duel_settle(d);
	WRITE_ONCE(kmh_report_hook, hook);
	for (i = 0; i < KMH_NR_MISUSES; i++)
		if (i != KMH_DOUBLE_FREE)
			KUNIT_EXPECT_EQ(test, atomic_read(&d->nreports[i]), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->nwrong), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&d->nfailed), 0);
	KUNIT_EXPECT_EQ(test, pending_bytes(d->heap), 0L);
	/* Threads have met, or the case shows nothing. */
	KUNIT_EXPECT_GT_MSG(test, atomic_read(&d->nlate), 0, "of %u", d->total);
	kunit_info(test, "%u freed twice, %u found out later", d->total,
		   atomic_read(&d->nlate));
	expect_all_back(test);
}

/*
 * Specials come and go in the spans that are allocated from and freed into: there all frees go the
 * long way for a while, into the same magazines.
 */
struct ending {
	struct replace r;
	unsigned int nmade;
	atomic_t nends;
	int err;
};

static void ending_fn(void *p, void *arg)
{
	struct ending *e = arg;

	atomic_inc(&e->nends);
}

static void ending_thread(void *arg, unsigned int i)
{
	struct ending *e = arg;
	void *p;

	if (i < e->r.nworkers) {
		replace_thread(&e->r, i);
		return;
	}
	while (atomic_read(&e->r.nrunning) && !e->err) {
		p = kmheap_alloc(e->r.heap, BYTES, GFP_KERNEL);
		e->err = p ? kmheap_set_finalizer(p, ending_fn, e) : -ENOMEM;
		e->nmade += !e->err;
		usleep_range(50, 200);
		if (e->nmade % 2)
			kmheap_free(p);
		else
			kmheap_free_rcu(p);
	}
}

static void specials_while_magazines_are_used(struct kunit *test)
{
	struct ending e = { .r = {
		.heap = kmh_kunit_heap(test), .node = node(test), .nset = 200,
		.nworkers = min(num_online_cpus(), KMH_KUNIT_THREADS - 1),
	} };
	unsigned int i;

	e.r.set = kunit_kcalloc(test, e.r.nset, sizeof(*e.r.set), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, e.r.set);
	atomic_set(&e.r.nrunning, e.r.nworkers);
	kmh_kunit_threads(test, e.r.nworkers + 1, ending_thread, &e);
	KUNIT_EXPECT_EQ(test, e.err, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&e.r.nwrong), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&e.r.nfailed), 0);
	KUNIT_EXPECT_GT(test, e.nmade, 0U);
	kmh_kunit_no_reports(test);
	for (i = 0; i < e.r.nset; i++)
		kmheap_free(e.r.set[i]);
	kmheap_rcu_barrier(e.r.heap);
	KUNIT_EXPECT_EQ(test, atomic_read(&e.nends), (int)e.nmade);
	expect_all_back(test);
}

/* With the worker that sweeps, which magazine_kunit.c does without. */
static int magazine_race_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return kmh_kunit_init(test);
}

static struct kunit_case magazine_race_cases[] = {
	KUNIT_CASE(replace_few),
	KUNIT_CASE(replace_many),
	KUNIT_CASE(replace_few_with_deferred_frees),
	KUNIT_CASE(replace_many_with_deferred_frees),
	KUNIT_CASE(two_frees_at_once),
	KUNIT_CASE(specials_while_magazines_are_used),
	{ }
};

static struct kunit_suite magazine_race_suite = {
	.name = "kmheap_magazine_race",
	.init = magazine_race_init,
	.exit = kmh_kunit_exit,
	.test_cases = magazine_race_cases,
};

kunit_test_suite(magazine_race_suite);
