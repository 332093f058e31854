// SPDX-License-Identifier: GPL-2.0
/* KUnit: magazines on several CPUs at once: no slot is handed out twice, and none is lost. */
#include <linux/delay.h>
#include <linux/prandom.h>

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
		kmheap_shrink(r->heap);
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

/* A few spans: every slot has neighbours in the magazine. */
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
 * Claims against folds of one word, as fast as possible. The first thread frees slots, at
 * once or deferred, and claims what it can get; the second one is the span's sweeper. Both
 * free what they get; entries are hints, so all slots are put into the magazine again and
 * again.
 */
#define CLAIMS		100000U		/* and as many folded slots */
#define DUEL_TIME	(10 * HZ)	/* no longer, once both have had some */

struct duel {
	struct kmh_mspan *s;
	bool defer;
	atomic_t held[NR_SLOTS];	/* by a thread */
	atomic_t waits[NR_SLOTS];	/* for a grace period */
	atomic_t expire;		/* 1: wanted, 2: no deferred free runs */
	atomic_t over;
	atomic_t nwrong;
	unsigned int nclaimed;
	unsigned int nfolded;
};

static void duel_got(struct duel *d, unsigned int slot)
{
	if (atomic_xchg(&d->held[slot], 1) || atomic_read(&d->waits[slot]))
		atomic_inc(&d->nwrong);
}

static void duel_free(struct duel *d, unsigned int slot, bool defer)
{
	atomic_set(&d->held[slot], 0);
	if (defer)
		atomic_set(&d->waits[slot], 1);
	if ((defer ? kmh_mspan_defer(d->s, slot) : kmh_mspan_free_remote(d->s, slot)) !=
	    KMH_FREE_OK)
		atomic_inc(&d->nwrong);
}

static void duel_claim(struct duel *d, unsigned int n)
{
	unsigned int slot;
	struct kmh_mcache *mc;
	void *p;

	preempt_disable();
	mc = this_cpu_ptr(d->s->mcache);
	kmh_magazine_put(d->s, kmh_mspan_slot_addr(d->s, n % NR_SLOTS));
	kmh_mcache_enter(mc);
	p = kmh_magazine_get(mc, SPANCLASS);
	kmh_mcache_leave(mc);
	if (p) {
		slot = ((unsigned long)p - d->s->base) / BYTES;
		duel_got(d, slot);
		d->nclaimed++;
		duel_free(d, slot, d->defer && n % 4 == 0);
	}
	preempt_enable();
}

/* Let deferred slots expire while the other thread stands still. */
static void duel_expire(struct duel *d)
{
	unsigned int i;

	atomic_set(&d->expire, 1);
	while (atomic_read(&d->expire) == 1 && !atomic_read(&d->over))
		cond_resched();
	for (i = 0; i < 2; i++) {
		WRITE_ONCE(d->s->dirty[i], 0);
		atomic_long_set(kmh_mspan_deferred(d->s, 0, i), 0);
	}
	for (i = 0; i < NR_SLOTS; i++)
		atomic_set(&d->waits[i], 0);
	atomic_set(&d->expire, 0);
}

static void duel_fold(struct duel *d)
{
	unsigned long slots;
	unsigned int slot;

	preempt_disable();
	kmh_mspan_fold_word(d->s, 0);
	slots = d->s->w[0].free;
	WRITE_ONCE(d->s->w[0].free, 0);
	for_each_set_bit(slot, &slots, NR_SLOTS) {
		duel_got(d, slot);
		d->nfolded++;
		duel_free(d, slot, d->defer && slot % 2);
	}
	preempt_enable();
}

static bool duel_goes_on(const struct duel *d, unsigned long end)
{
	unsigned int nclaimed = READ_ONCE(d->nclaimed), nfolded = READ_ONCE(d->nfolded);

	if (nclaimed >= CLAIMS && nfolded >= CLAIMS)
		return false;
	return time_before(jiffies, nclaimed && nfolded ? end : end + 60 * HZ);
}

static void duel_thread(void *arg, unsigned int i)
{
	unsigned long end = jiffies + DUEL_TIME;
	struct duel *d = arg;
	unsigned int n;

	for (n = 0; !i && duel_goes_on(d, end); n++) {
		duel_claim(d, n);
		if (atomic_read(&d->expire) == 1)
			atomic_set(&d->expire, 2);
		while (atomic_read(&d->expire) == 2)
			cond_resched();
		if (n % 256 == 0)
			cond_resched();
	}
	if (!i)
		atomic_set(&d->over, 1);
	for (n = 0; i && !atomic_read(&d->over); n++) {
		duel_fold(d);
		if (d->defer && n % 32 == 0)
			duel_expire(d);
		if (n % 256 == 0)
			cond_resched();
	}
}

static void claim_against_fold(struct kunit *test, bool defer)
{
	struct duel d = { .s = span_of(test, SPANCLASS, NR_SLOTS), .defer = defer };
	unsigned int i;

	sweep_by_hand(kmh_kunit_heap(test));
	for (i = 0; i < NR_SLOTS; i++)
		free_remote(test, d.s, i);
	kmh_kunit_threads(test, 2, duel_thread, &d);
	duel_expire(&d);
	KUNIT_EXPECT_EQ(test, atomic_read(&d.nwrong), 0);
	KUNIT_EXPECT_GT_MSG(test, d.nclaimed, 0U, "%u were folded", d.nfolded);
	KUNIT_EXPECT_GT_MSG(test, d.nfolded, 0U, "%u were claimed", d.nclaimed);
	kmh_kunit_no_reports(test);
	uncache_span(test, d.s);	/* with all slots free: none is lost */
	expect_all_back(test);
}

static void claim_against_fold_of_frees(struct kunit *test)
{
	claim_against_fold(test, false);
}

static void claim_against_fold_of_deferred_frees(struct kunit *test)
{
	claim_against_fold(test, true);
}

/* The first special is made while magazines are in use. */
struct ending {
	struct replace r;
	void *special;
	int err;
};

static void ending_fn(void *p, void *arg)
{
}

static void ending_thread(void *arg, unsigned int i)
{
	struct ending *e = arg;

	if (i < e->r.nworkers) {
		replace_thread(&e->r, i);
		return;
	}
	while (!READ_ONCE(e->special))
		cond_resched();
	usleep_range(2000, 4000);
	e->err = kmheap_set_finalizer(e->special, ending_fn, NULL);
}

static void special_while_magazines_are_used(struct kunit *test)
{
	struct ending e = { .r = {
		.heap = kmh_kunit_heap(test), .node = node(test), .nset = 200,
		.nworkers = min(num_online_cpus(), KMH_KUNIT_THREADS - 1),
	} };
	unsigned int i;

	e.special = alloc_bytes(test, 64);
	e.r.set = kunit_kcalloc(test, e.r.nset, sizeof(*e.r.set), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, e.r.set);
	atomic_set(&e.r.nrunning, e.r.nworkers);
	kmh_kunit_threads(test, e.r.nworkers + 1, ending_thread, &e);
	KUNIT_EXPECT_EQ(test, e.err, 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&e.r.nwrong), 0);
	KUNIT_EXPECT_TRUE(test, mcache(test)->no_magazines);
	kmh_kunit_no_reports(test);
	for (i = 0; i < e.r.nset; i++)
		kmheap_free(e.r.set[i]);
	kmheap_free(e.special);
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
	KUNIT_CASE(claim_against_fold_of_frees),
	KUNIT_CASE(claim_against_fold_of_deferred_frees),
	KUNIT_CASE(special_while_magazines_are_used),
	{ }
};

static struct kunit_suite magazine_race_suite = {
	.name = "kmheap_magazine_race",
	.init = magazine_race_init,
	.exit = kmh_kunit_exit,
	.test_cases = magazine_race_cases,
};

kunit_test_suite(magazine_race_suite);
