// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: deferred frees while readers, other CPUs and the worker run, and barriers that wait
 * for them.
 */
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/prandom.h>
#include <linux/string.h>

#include "mcache_kunit.h"
#include "sweep_kunit.h"

/* ---- contexts from which a free may be deferred */

struct caller {
	struct kmheap *heap;
	void *p[5];			/* of every kind */
	struct irq_work work;
	struct tasklet_struct tasklet;
	struct completion done;
	bool as_meant;
};

static void free_all_kinds(struct caller *c, bool as_meant)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(c->p); i++)
		kmheap_free_rcu(c->p[i]);
	c->as_meant = as_meant;
	complete(&c->done);
}

static void defer_in_irq(struct irq_work *work)
{
	free_all_kinds(container_of(work, struct caller, work), in_hardirq());
}

static void from_irq(struct caller *c)
{
	c->work = IRQ_WORK_INIT_HARD(defer_in_irq);
	irq_work_queue(&c->work);
	wait_for_completion_timeout(&c->done, 60 * HZ);
	irq_work_sync(&c->work);
}

static void defer_in_tasklet(struct tasklet_struct *t)
{
	struct caller *c = container_of(t, struct caller, tasklet);

	free_all_kinds(c, in_serving_softirq());
}

static void from_softirq(struct caller *c)
{
	tasklet_setup(&c->tasklet, defer_in_tasklet);
	tasklet_schedule(&c->tasklet);
	wait_for_completion_timeout(&c->done, 60 * HZ);
	tasklet_kill(&c->tasklet);
}

static void from_reader(struct caller *c)
{
	rcu_read_lock();
	free_all_kinds(c, true);
	rcu_read_unlock();
}

static void from_section(struct caller *c)
{
	struct kmh_mcache *mc;

	preempt_disable();
	mc = this_cpu_ptr(c->heap->mcache);
	free_all_kinds(c, kmh_mcache_enter(mc));
	kmh_mcache_leave(mc);
	preempt_enable();
}

/* Taking one of these locks again would never return. */
static void from_under_the_locks(struct caller *c)
{
	unsigned long flags;
	unsigned int i;

	local_irq_save(flags);
	for (i = 0; i < ARRAY_SIZE(c->p); i++) {
		struct kmh_mspan *s = kmh_span_of((unsigned long)c->p[i]);
		struct kmh_mcentral *central = kmh_mspan_mcentral(s);

		raw_spin_lock(&central->lock);
		raw_spin_lock(&s->mheap->lock);
		kmheap_free_rcu(c->p[i]);
		raw_spin_unlock(&s->mheap->lock);
		raw_spin_unlock(&central->lock);
	}
	local_irq_restore(flags);
	c->as_meant = true;
}

static void from_under_the_mutexes(struct caller *c)
{
	mutex_lock(&c->heap->sweep.mutex);
	mutex_lock(&c->heap->arenas_mutex);
	free_all_kinds(c, true);
	mutex_unlock(&c->heap->arenas_mutex);
	mutex_unlock(&c->heap->sweep.mutex);
}

static void defer_from_every_context(struct kunit *test)
{
	static void (* const from[])(struct caller *c) = {
		from_irq, from_softirq, from_reader, from_section, from_under_the_locks,
		from_under_the_mutexes,
	};
	static const size_t sizes[] = { 8, 64, 32768, 32768, 50000 };
	struct caller c = { .heap = kmh_kunit_heap(test) };
	struct kmheap_stats st;
	unsigned int i, j;

	kmh_kunit_stay(test);
	for (i = 0; i < 2 * ARRAY_SIZE(from); i++) {
		struct kmh_mspan *full;

		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			c.p[j] = kmheap_alloc_data(c.heap, sizes[j], GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, c.p[j]);
		}
		full = kmh_span_of((unsigned long)c.p[2]);
		KUNIT_ASSERT_EQ(test, full->nelems, 2);
		KUNIT_ASSERT_PTR_EQ(test, full, kmh_span_of((unsigned long)c.p[3]));
		if (i % 2) {	/* the span is on no list: it has to be announced */
			kmh_mcache_drain_all(c.heap);
			KUNIT_EXPECT_EQ(test, atomic_read(&full->home), (int)KMH_HOME_FULL);
		}
		c.as_meant = false;
		init_completion(&c.done);
		from[i / 2](&c);
		KUNIT_EXPECT_TRUE_MSG(test, c.as_meant, "context %u", i / 2);
		kmheap_rcu_barrier(c.heap);
		kmh_kunit_balanced(test, c.heap, &st);
		KUNIT_EXPECT_EQ_MSG(test, st.live_objects, 0ULL, "context %u", i / 2);
		KUNIT_EXPECT_EQ_MSG(test, st.deferred_objects, 0ULL, "context %u", i / 2);
	}
	expect_all_free(test);
}

/* ---- readers */

#define NR_BOXES	16U
#define NR_WRITES	8000U
#define NR_WORDS	64U

struct torture {
	struct kmheap *heap;
	unsigned long *box[NR_BOXES];
	atomic_t nwriting, seq;
	atomic_t nread, nspoilt, nfailed;
};

/* An object holds its number and its length; another object in its place holds others. */
static bool is_whole(const unsigned long *p, unsigned long seq)
{
	unsigned long i, n = READ_ONCE(p[1]);

	if (READ_ONCE(p[0]) != seq || n < 2 || n > NR_WORDS)
		return false;
	for (i = 2; i < n; i++)
		if (READ_ONCE(p[i]) != seq * 31 + i)
			return false;
	return true;
}

static void torture_read(struct torture *t, struct rnd_state *rnd)
{
	unsigned int spins = prandom_u32_state(rnd) % 16 ? 10 : 20000;
	unsigned long *p, seq;

	rcu_read_lock();
	/* Pairs with the xchg() in torture_write(). */
	p = smp_load_acquire(&t->box[prandom_u32_state(rnd) % NR_BOXES]);
	if (p) {
		seq = READ_ONCE(p[0]);
		atomic_add(!is_whole(p, seq), &t->nspoilt);
		while (spins--)
			cpu_relax();
		atomic_add(!is_whole(p, seq), &t->nspoilt);
		atomic_inc(&t->nread);
	}
	rcu_read_unlock();
}

static void torture_write(struct torture *t, struct rnd_state *rnd)
{
	unsigned long i, n = 2 + prandom_u32_state(rnd) % (NR_WORDS - 1), seq, *p;

	p = kmheap_alloc(t->heap, n * sizeof(long), GFP_KERNEL);
	if (!p) {
		atomic_inc(&t->nfailed);
		return;
	}
	seq = atomic_inc_return(&t->seq);
	p[0] = seq;
	p[1] = n;
	for (i = 2; i < n; i++)
		p[i] = seq * 31 + i;
	/*
	 * Fully ordered: readers find the new object whole, and do not find the old one any
	 * more.
	 */
	p = xchg(&t->box[prandom_u32_state(rnd) % NR_BOXES], p);
	kmheap_free_rcu(p);
}

static void torture_thread(void *arg, unsigned int i)
{
	bool writes = i == 0 || i == 3;	/* with two CPUs each has a writer and a reader */
	struct torture *t = arg;
	struct rnd_state rnd;
	unsigned int n;

	prandom_seed_state(&rnd, i + 1);
	for (n = 0; writes ? n < NR_WRITES : atomic_read(&t->nwriting); n++) {
		if (writes)
			torture_write(t, &rnd);
		else
			torture_read(t, &rnd);
		if (writes && n % 2000 == 1999)
			kmheap_rcu_barrier(t->heap);
		if (n % 16 == 0)
			cond_resched();
	}
	if (writes)
		atomic_dec(&t->nwriting);
}

static void readers_never_see_reuse(struct kunit *test)
{
	struct torture t = { .heap = kmh_kunit_heap(test), .nwriting = ATOMIC_INIT(2) };
	unsigned int i;

	kmh_kunit_threads(test, 4, torture_thread, &t);
	KUNIT_EXPECT_EQ(test, atomic_read(&t.nspoilt), 0);
	KUNIT_EXPECT_EQ(test, atomic_read(&t.nfailed), 0);
	KUNIT_EXPECT_GT(test, atomic_read(&t.nread), 100);
	for (i = 0; i < NR_BOXES; i++)
		kmheap_free_rcu(t.box[i]);
	kmheap_rcu_barrier(t.heap);
	KUNIT_EXPECT_EQ(test, pending_bytes(t.heap), 0L);
	expect_all_free(test);
}

/* ---- frees that race */

#define NR_RACED	100U

struct doubles {
	void *p[NR_RACED];
	unsigned int n;
	unsigned int later;		/* a mask of the threads that defer their frees */
	atomic_t arrived;
};

static void double_thread(void *arg, unsigned int i)
{
	struct doubles *d = arg;
	unsigned int k;

	for (k = 0; k < NR_RACED; k++) {
		if (k % 5 == 0)		/* all begin with one of each size together */
			atomic_inc(&d->arrived);
		while (atomic_read(&d->arrived) < (int)((k / 5 + 1) * d->n)) {
			cpu_relax();
			cond_resched();
		}
		if (d->later & BIT(i))
			kmheap_free_rcu(d->p[k]);
		else
			kmheap_free(d->p[k]);
	}
}

/*
 * One of the frees of an object succeeds; each of the others is reported, at once or at the
 * fold.
 */
static void double_frees_that_race_are_counted(struct kunit *test)
{
	static const unsigned int later[] = { 0xf, 0x5, 0xa };
	static const size_t sizes[] = { 8, 16, 64, 1024, 40000 };
	struct doubles *d = kunit_kzalloc(test, sizeof(*d), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int round, k, n = min(num_online_cpus(), 4U);

	KUNIT_ASSERT_NOT_NULL(test, d);
	for (round = 0; round < 9; round++) {
		d->n = n;
		d->later = later[round % ARRAY_SIZE(later)];
		atomic_set(&d->arrived, 0);
		for (k = 0; k < NR_RACED; k++) {
			d->p[k] = kmheap_alloc_data(heap, sizes[k % ARRAY_SIZE(sizes)],
						    GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, d->p[k]);
		}
		kmh_kunit_threads(test, n, double_thread, d);
		kmheap_rcu_barrier(heap);
		expect_all_free(test);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, (n - 1) * NR_RACED);
	}
}

/* Two objects of a packed block are freed, each by another CPU: one block waits. */
static void neighbour_thread(void *arg, unsigned int i)
{
	struct doubles *d = arg;
	unsigned int k;

	for (k = 0; k < NR_RACED; k += 2) {
		if (k % 10 == 0)
			atomic_inc(&d->arrived);
		while (atomic_read(&d->arrived) < (int)((k / 10 + 1) * d->n)) {
			cpu_relax();
			cond_resched();
		}
		kmheap_free_rcu(d->p[k + i]);
	}
}

static void neighbours_in_a_block_are_counted_once(struct kunit *test)
{
	struct doubles *d = kunit_kzalloc(test, sizeof(*d), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int round, k;

	KUNIT_ASSERT_NOT_NULL(test, d);
	d->n = 2;
	for (round = 0; round < 20; round++) {
		atomic_set(&d->arrived, 0);
		for (k = 0; k < NR_RACED; k++) {
			d->p[k] = kmheap_alloc_data(heap, 8, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, d->p[k]);
		}
		kmh_kunit_threads(test, 2, neighbour_thread, d);
		kmheap_rcu_barrier(heap);
	}
	KUNIT_EXPECT_EQ(test, pending_bytes(heap), 0L);
	expect_all_free(test);
}

/*
 * The sets change roles between the two looks of a free, so that its slot is in both. Nothing
 * sweeps meanwhile.
 */
struct flip {
	struct kmheap *heap;
	unsigned int n;
};

static void flip_sets(void *arg)
{
	struct flip *f = arg;

	WRITE_ONCE(f->heap->defer.gen, f->heap->defer.gen + 1);
	f->n++;
}

static void sets_flip_during_a_free(struct kunit *test)
{
	static const char * const places[] = { "free_rcu: before the second look",
					       "defer_slot: before the second look" };
	struct flip f = { .heap = kmh_kunit_heap(test) };
	struct kmheap_stats st;
	unsigned int i;

	sweep_by_hand(f.heap);
	/* At each place the sets change roles twice, so that either is the first one once. */
	for (i = 0; i < 4; i++) {
		void *p = kmheap_alloc(f.heap, 8, GFP_KERNEL);
		struct kmh_mspan *s = kmh_span_of((unsigned long)p);
		unsigned int slot;

		KUNIT_ASSERT_NOT_NULL(test, p);
		slot = ((unsigned long)p - s->base) / 8;
		kmh_kunit_at(test, places[i / 2], flip_sets, &f);
		if (i / 2)
			KUNIT_EXPECT_EQ(test, defer_slot(s, slot), (int)KMH_FREE_OK);
		else
			kmheap_free_rcu(p);
		KUNIT_EXPECT_EQ_MSG(test, f.n, i + 1, "%s is not passed", places[i / 2]);
		KUNIT_EXPECT_TRUE(test, atomic_long_read(kmh_mspan_deferred(s, slot / 64, 0)) &
				  BIT(slot % 64));
		KUNIT_EXPECT_TRUE(test, atomic_long_read(kmh_mspan_deferred(s, slot / 64, 1)) &
				  BIT(slot % 64));
	}
	/*
	 * All objects come back, in whichever sets they are. But no set was empty when the
	 * case began to fill it, so the flag that it is in use has to be set again.
	 */
	kmheap_rcu_barrier(f.heap);
	f.heap->defer.any[f.heap->defer.gen & 1] = 1;
	kmheap_rcu_barrier(f.heap);
	kmh_kunit_balanced(test, f.heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.deferred_objects, 0ULL);
}

/* ---- everything at once */

#define NR_STEPS	6000U

struct mixture {
	struct kmheap *heap;
	void *box[64];
	atomic_t nrunning;
	atomic_t nfailed;
};

/* An object that is taken out of a box is freed, at once or later. */
static void mixture_step(struct mixture *m, struct rnd_state *rnd)
{
	static const size_t sizes[] = { 4, 8, 16, 24, 100, 1000, 8192, 40000 };
	u32 r = prandom_u32_state(rnd);
	size_t bytes = sizes[r % ARRAY_SIZE(sizes)];
	void *p;

	p = r & BIT(3) ? kmheap_alloc(m->heap, bytes, GFP_KERNEL) :
			 kmheap_alloc_data(m->heap, bytes, GFP_KERNEL);
	if (!p) {
		atomic_inc(&m->nfailed);
		return;
	}
	memset(p, r, bytes);
	p = xchg(&m->box[r >> 8 & 63], p);
	if (r & BIT(4))
		kmheap_free(p);
	else
		kmheap_free_rcu(p);
}

static void mixture_thread(void *arg, unsigned int i)
{
	struct mixture *m = arg;
	struct rnd_state rnd;
	unsigned int n;

	prandom_seed_state(&rnd, i + 11);
	for (n = 0; i < 3 && n < NR_STEPS; n++) {
		mixture_step(m, &rnd);
		if (n % 16 == 0)
			cond_resched();
	}
	if (i < 3) {
		atomic_dec(&m->nrunning);
		return;
	}
	for (n = 0; atomic_read(&m->nrunning); n++) {
		if (n % 3 == 0)
			kmheap_rcu_barrier(m->heap);
		else if (n % 3 == 1)
			kmh_kunit_shrink(m->heap);
		else
			kmh_sweep_reclaim(m->heap, 4);
		cond_resched();
	}
}

static void mixture_of_everything(struct kunit *test)
{
	struct mixture m = { .heap = kmh_kunit_heap(test), .nrunning = ATOMIC_INIT(3) };
	struct kmheap_stats st;
	unsigned int i;
	u64 nleft = 0;

	kmh_kunit_threads(test, 4, mixture_thread, &m);
	KUNIT_EXPECT_EQ(test, atomic_read(&m.nfailed), 0);
	for (i = 0; i < ARRAY_SIZE(m.box); i++)
		nleft += !!m.box[i];
	kmheap_rcu_barrier(m.heap);
	kmh_kunit_validate(test);
	kmh_kunit_balanced(test, m.heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, nleft);
	KUNIT_EXPECT_EQ(test, st.deferred_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.allocs, 3ULL * NR_STEPS);
	for (i = 0; i < ARRAY_SIZE(m.box); i++)
		kmheap_free_rcu(m.box[i]);
	kmheap_rcu_barrier(m.heap);
	expect_all_free(test);
}

static struct kunit_case defer_race_cases[] = {
	KUNIT_CASE(defer_from_every_context),
	KUNIT_CASE(readers_never_see_reuse),
	KUNIT_CASE(double_frees_that_race_are_counted),
	KUNIT_CASE(neighbours_in_a_block_are_counted_once),
	KUNIT_CASE(sets_flip_during_a_free),
	KUNIT_CASE(mixture_of_everything),
	{ }
};

static struct kunit_suite defer_race_suite = {
	.name = "kmheap_defer_race",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = defer_race_cases,
};

kunit_test_suite(defer_race_suite);
