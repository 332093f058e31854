// SPDX-License-Identifier: GPL-2.0
/* KUnit: generations of the sweep: which spans need it, who sweeps them, and who pays. */
#include "mcentral_kunit.h"
#include "sweep_kunit.h"

/* A full span, all of whose slots but the first @nlive are freed and wait. */
static struct kmh_mspan *waiting_span(struct kunit *test, unsigned int nlive)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, NR_SLOTS);
	unsigned int slot;

	for (slot = nlive; slot < NR_SLOTS; slot++)
		KUNIT_EXPECT_EQ(test, defer_slot(s, slot), (int)KMH_FREE_OK);
	uncache_span(test, s);
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_LISTED);
	return s;
}

/* ---- the claim */

static void claim_by_sweepgen(struct kunit *test)
{
	static const struct {
		int off;		/* the span's generation, relative to its class's */
		bool mine;
	} rows[] = {
		{ -2, true },		/* unswept */
		{ -1, false },		/* being swept */
		{ 0, false },		/* swept */
		{ 1, false },		/* cached and stale: its owner sweeps it */
		{ 2, true },		/* full, and on no list until the counter wrapped */
		{ 3, false },		/* cached */
		{ -4, true },		/* full, and on no list for a generation or more */
		{ -100, true },
	};
	static const unsigned int gens[] = { 0, 2, 1000, UINT_MAX - 1, INT_MAX - 1U };
	struct kmh_mspan *s = span_of(test, SPANCLASS, 0);
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(gens); i++) {
		for (j = 0; j < ARRAY_SIZE(rows); j++) {
			unsigned int gen = gens[i], own = gen + rows[j].off;

			atomic_set(&s->sweepgen, own);
			KUNIT_EXPECT_EQ_MSG(test, kmh_sweep_claim(s, gen), rows[j].mine,
					    "h %u, span at h%+d", gen, rows[j].off);
			KUNIT_EXPECT_EQ(test, gen_of(s), rows[j].mine ? gen - 1 : own);
			KUNIT_EXPECT_FALSE(test, kmh_sweep_claim(s, gen));
		}
	}
	atomic_set(&s->sweepgen, 0);
	uncache_span(test, s);
	expect_all_released(test, SPANCLASS);
}

#define NR_CLAIMED	256U

struct claims {
	struct kmh_mspan *s;
	unsigned int gen;
	unsigned int n;
	atomic_t arrived;
	atomic_t won[NR_CLAIMED];
};

static void claim_thread(void *arg, unsigned int i)
{
	struct claims *c = arg;
	unsigned int k;

	for (k = 0; k < NR_CLAIMED; k++) {
		if (k % 8 == 0)		/* all begin with a span at the same time */
			atomic_inc(&c->arrived);
		while (atomic_read(&c->arrived) < (int)((k / 8 + 1) * c->n)) {
			cpu_relax();
			cond_resched();
		}
		if (kmh_sweep_claim(&c->s[k], c->gen))
			atomic_inc(&c->won[k]);
	}
}

static void claim_by_many_has_one_winner(struct kunit *test)
{
	struct claims *c = kunit_kzalloc(test, sizeof(*c), GFP_KERNEL);
	unsigned int round, k, nwrong = 0;

	KUNIT_ASSERT_NOT_NULL(test, c);
	c->s = kunit_kcalloc(test, NR_CLAIMED, sizeof(*c->s), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, c->s);
	c->n = min(num_online_cpus(), KMH_KUNIT_THREADS);
	for (round = 0; round < 10; round++) {
		c->gen = 2 * round + 2;
		atomic_set(&c->arrived, 0);
		for (k = 0; k < NR_CLAIMED; k++) {
			atomic_set(&c->won[k], 0);
			atomic_set(&c->s[k].sweepgen, c->gen - 2 - 2 * (k % 3));
		}
		kmh_kunit_threads(test, c->n, claim_thread, c);
		for (k = 0; k < NR_CLAIMED; k++) {
			nwrong += atomic_read(&c->won[k]) != 1;
			nwrong += gen_of(&c->s[k]) != c->gen - 1;
		}
	}
	KUNIT_EXPECT_EQ(test, nwrong, 0U);
}

/* ---- opening */

static void open_advances_what_it_concerns(struct kunit *test)
{
	static const struct {
		enum kmh_sweep_what what;
		unsigned int every;	/* classes are dirty in set 0 and 1 by turns of 3 and 5 */
	} rows[] = { { KMH_SWEEP_SET0, 3 }, { KMH_SWEEP_SET1, 5 }, { KMH_SWEEP_MARKS, 1 } };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int row, i;

	for (row = 0; row < ARRAY_SIZE(rows); row++) {
		unsigned int gen[KMH_NR_SPANCLASSES], set = rows[row].what - KMH_SWEEP_SET0;
		unsigned long generations = heap->sweep.generations;

		for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
			gen[i] = kmh_mcentral_gen(central(test, i));
			central(test, i)->dirty[0] = i % 3 == 0;
			central(test, i)->dirty[1] = i % 5 == 0;
		}
		atomic_long_set(&heap->sweep.debt, 77);
		sweep_open(test, rows[row].what);
		KUNIT_EXPECT_EQ(test, heap->sweep.what, rows[row].what);
		KUNIT_EXPECT_EQ(test, heap->sweep.generations, generations + 1);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->sweep.debt), 0L);
		for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
			struct kmh_mcentral *c = central(test, i);

			KUNIT_EXPECT_EQ_MSG(test, kmh_mcentral_gen(c),
					    gen[i] + (i % rows[row].every ? 0 : 2),
					    "row %u class %u", row, i);
			KUNIT_EXPECT_EQ(test, c->dirty[0], set != 0 && i % 3 == 0);
			KUNIT_EXPECT_EQ(test, c->dirty[1], set != 1 && i % 5 == 0);
		}
		sweep_finish(test);
	}
}

/* All listed spans become unswept at once, untouched: their own generation stays. */
static void open_makes_listed_spans_unswept(struct kunit *test)
{
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *part[20], *full[20];
	unsigned int gen, i, round;

	grow(test, 60);
	for (round = 0; round < 3; round++) {
		gen = kmh_mcentral_gen(c);
		for (i = 0; i < ARRAY_SIZE(part); i++) {
			full[i] = waiting_span(test, NR_SLOTS - 2);
			part[i] = span_of(test, SPANCLASS, 3);
			uncache_span(test, part[i]);
			KUNIT_EXPECT_TRUE(test, on_partial_set(part[i], true));
			KUNIT_EXPECT_TRUE(test, on_full_set(full[i], true));
		}
		KUNIT_EXPECT_TRUE(test, kmh_mcentral_is_swept(c));
		defer_close(test);
		KUNIT_EXPECT_TRUE(test, kmh_mcentral_is_swept(c));
		defer_open(test);
		KUNIT_EXPECT_EQ(test, kmh_mcentral_gen(c), gen + 2);
		KUNIT_EXPECT_FALSE(test, kmh_mcentral_is_swept(c));
		KUNIT_EXPECT_EQ(test, c->npartial, (unsigned int)ARRAY_SIZE(part));
		for (i = 0; i < ARRAY_SIZE(part); i++) {
			KUNIT_EXPECT_TRUE(test, on_partial_set(part[i], false));
			KUNIT_EXPECT_TRUE(test, on_full_set(full[i], false));
			KUNIT_EXPECT_EQ(test, gen_of(part[i]), gen);
			KUNIT_EXPECT_EQ(test, gen_of(full[i]), gen);
		}
		sweep_finish(test);
		for (i = 0; i < ARRAY_SIZE(part); i++) {
			KUNIT_EXPECT_TRUE(test, on_partial_set(part[i], true));
			KUNIT_EXPECT_TRUE(test, on_partial_set(full[i], true));
			KUNIT_EXPECT_EQ(test, gen_of(part[i]), gen + 2);
			KUNIT_EXPECT_EQ(test, full[i]->w[0].free, GENMASK(7, 6));
			free_all(test, part[i]);
			free_all(test, full[i]);
		}
		expect_all_released(test, SPANCLASS);
	}
}

/* ---- spans that a CPU caches */

static void by_refill(struct kunit *test, void **p)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mcache *mc = per_cpu_ptr(heap->mcache, raw_smp_processor_id());
	unsigned long refills = mc->refills[SPANCLASS];
	void *q = kmheap_alloc(heap, 1024, GFP_KERNEL);

	KUNIT_EXPECT_PTR_EQ(test, q, p[2]);
	KUNIT_EXPECT_EQ_MSG(test, mc->refills[SPANCLASS], refills, "not by way of mcentral");
	kmheap_free_rcu(q);
}

static void by_uncache(struct kunit *test, void **p)
{
	kmh_mcache_drain_all(kmh_kunit_heap(test));
}

static void by_interrupt(struct kunit *test, void **p)
{
	sweep_finish(test);
}

/* What a span has to give, with what this CPU has set aside of it. */
static unsigned long to_give(struct kunit *test, const struct kmh_mspan *s)
{
	const struct kmh_mcache *mc = per_cpu_ptr(kmh_kunit_heap(test)->mcache,
						  raw_smp_processor_id());
	const struct kmh_mcslot *c = &mc->slot[SPANCLASS];

	return s->w[0].free | (c->span == s ? c->avail : 0);
}

static void cached_span_is_swept_in_place(struct kunit *test)
{
	static const struct {
		void (*how)(struct kunit *test, void **p);
		unsigned int off;	/* the span's generation then, relative to its class's */
		unsigned long free;	/* what it has to give */
	} rows[] = {
		{ by_refill, 3, BIT(5) }, { by_interrupt, 3, BIT(2) | BIT(5) },
		{ by_uncache, 0, BIT(2) | BIT(5) },
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int row, i;

	for (row = 0; row < ARRAY_SIZE(rows); row++) {
		void *p[NR_SLOTS];
		struct kmh_mspan *s;
		unsigned int gen;

		for (i = 0; i < NR_SLOTS; i++)
			p[i] = kmheap_alloc(heap, 1024, GFP_KERNEL);
		s = kmh_span_of((unsigned long)p[0]);
		kmheap_free_rcu(p[2]);
		kmheap_free_rcu(p[5]);
		defer_close(test);
		KUNIT_EXPECT_FALSE(test, stale(s));
		defer_open(test);
		gen = kmh_mcentral_gen(central(test, SPANCLASS));
		KUNIT_EXPECT_EQ(test, gen_of(s), gen + 1);
		KUNIT_EXPECT_TRUE(test, stale(s));
		KUNIT_EXPECT_EQ(test, (int)state_of(p[2]), (int)KMHEAP_OBJECT_DEFERRED);
		KUNIT_EXPECT_EQ(test, to_give(test, s), 0UL);
		rows[row].how(test, p);
		KUNIT_EXPECT_EQ_MSG(test, gen_of(s), gen + rows[row].off, "row %u", row);
		KUNIT_EXPECT_EQ_MSG(test, to_give(test, s), rows[row].free, "row %u", row);
		KUNIT_EXPECT_EQ(test, !!s->owner, rows[row].off == 3);
		sweep_finish(test);
		KUNIT_EXPECT_EQ(test, to_give(test, s), rows[row].free);
		for (i = 0; i < NR_SLOTS; i++)
			if (i != 2 && i != 5)
				kmheap_free(p[i]);
		if (heap->defer.any[heap->defer.gen & 1])
			close_and_expire(test);
		kmh_mcache_drain_all(heap);
		expect_all_released(test, SPANCLASS);
	}
}

static bool sweep_caches(struct kmheap *heap, void (*fn)(struct kmh_mspan *s))
{
	bool all;

	mutex_lock(&heap->sweep.mutex);
	all = kmh_sweep_caches(heap, fn);
	mutex_unlock(&heap->sweep.mutex);
	return all;
}

static void count_call(struct kmh_mspan *s)
{
	this_cpu_inc(s->mcache->marked);
}

static void alloc_and_free(void *heap)
{
	kmheap_free(kmheap_alloc(heap, 32, GFP_KERNEL));
}

/* Each CPU of a fresh heap caches one span. */
static void hold_spans(struct kunit *test, struct kmheap *heap)
{
	unsigned int cpu;

	for_each_online_cpu(cpu)
		kmh_kunit_on_cpu(test, cpu, alloc_and_free, heap);
}

/* A CPU in its section is asked again; the generation stays open for as long. */
static void busy_cpu_keeps_the_generation_open(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int other = cpumask_any_but(cpu_online_mask, raw_smp_processor_id()), cpu;

	KUNIT_ASSERT_LT(test, other, nr_cpu_ids);
	hold_spans(test, heap);
	KUNIT_EXPECT_TRUE(test, sweep_caches(heap, count_call));
	for_each_online_cpu(cpu) {
		KUNIT_EXPECT_GE(test, per_cpu_ptr(heap->mcache, cpu)->marked, 1UL);
		KUNIT_EXPECT_EQ(test, per_cpu_ptr(heap->mcache, cpu)->busy, 0);
		per_cpu_ptr(heap->mcache, cpu)->marked = 0;
	}
	sweep_open(test, KMH_SWEEP_SET0);
	per_cpu_ptr(heap->mcache, other)->busy = 1;
	mutex_lock(&heap->sweep.mutex);
	kmh_sweep_finish(heap);
	mutex_unlock(&heap->sweep.mutex);
	KUNIT_EXPECT_TRUE(test, kmh_sweep_is_open(heap));
	KUNIT_EXPECT_FALSE(test, sweep_caches(heap, count_call));
	KUNIT_EXPECT_EQ(test, per_cpu_ptr(heap->mcache, other)->marked, 0UL);
	per_cpu_ptr(heap->mcache, other)->busy = 0;
	sweep_finish(test);
	for_each_possible_cpu(cpu)
		per_cpu_ptr(heap->mcache, cpu)->marked = 0;
}

/* One CPU is in its section at the first look, another one at all that follow. */
static struct {
	struct kmheap *heap;
	unsigned int cpu, other;
} turns;

static void take_turns(void *unused)
{
	per_cpu_ptr(turns.heap->mcache, turns.other)->busy = 0;
	per_cpu_ptr(turns.heap->mcache, turns.cpu)->busy = 1;
}

static void cpus_need_not_be_at_rest_together(struct kunit *test)
{
	unsigned int cpu;

	turns.heap = kmh_kunit_heap(test);
	hold_spans(test, turns.heap);
	turns.cpu = raw_smp_processor_id();
	turns.other = cpumask_any_but(cpu_online_mask, turns.cpu);
	KUNIT_ASSERT_LT(test, turns.other, nr_cpu_ids);
	per_cpu_ptr(turns.heap->mcache, turns.other)->busy = 1;
	kmh_kunit_at(test, "a CPU was in its section", take_turns, NULL);
	KUNIT_EXPECT_TRUE(test, sweep_caches(turns.heap, count_call));
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("a CPU was in its section"));
	per_cpu_ptr(turns.heap->mcache, turns.cpu)->busy = 0;
	for_each_online_cpu(cpu)
		KUNIT_EXPECT_EQ(test, per_cpu_ptr(turns.heap->mcache, cpu)->marked, 1UL);
	for_each_possible_cpu(cpu)
		per_cpu_ptr(turns.heap->mcache, cpu)->marked = 0;
}

/* ---- the end of a generation */

/* Called in the middle of a sweep, when the fold reports a raced double free. */
static struct {
	struct kmh_mspan *s;
	unsigned int calls, gen, npartial;
	int home;
	bool trip, claimed;
} midst;

static void midst_hook(const struct kmh_report *r)
{
	struct kmh_mcentral *c = kmh_mspan_mcentral(midst.s);

	midst.calls++;
	midst.gen = gen_of(midst.s);
	midst.home = atomic_read(&midst.s->home);
	midst.npartial = c->npartial;
	midst.trip = this_cpu_read(midst.s->mcache->trips) & KMH_TRIP_DEPTH;
	midst.claimed = kmh_sweep_claim(midst.s, kmh_mcentral_gen(c));
}

static void sweep_one_is_not_over_before_it_ends(struct kunit *test)
{
	void (*hook)(const struct kmh_report *r) = kmh_report_hook;
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *s = span_of(test, SPANCLASS, 3);

	uncache_span(test, s);
	c->dirty[0] = 1;
	sweep_open(test, KMH_SWEEP_SET0);
	atomic_long_set(&s->w[0].remote, BIT(7));	/* their free bits are set as well */
	midst.s = s;
	midst.calls = 0;
	KUNIT_EXPECT_FALSE(test, kmh_mcentral_is_swept(c));
	WRITE_ONCE(kmh_report_hook, midst_hook);
	KUNIT_EXPECT_EQ(test, kmh_mcentral_sweep_one(c), 1U);
	WRITE_ONCE(kmh_report_hook, hook);
	KUNIT_EXPECT_EQ(test, midst.calls, 1U);
	KUNIT_EXPECT_EQ(test, midst.gen, kmh_mcentral_gen(c) - 1);
	KUNIT_EXPECT_EQ(test, midst.home, (int)KMH_HOME_CACHED);
	KUNIT_EXPECT_EQ(test, midst.npartial, 0U);
	KUNIT_EXPECT_TRUE_MSG(test, midst.trip, "the lists are empty, the sweep goes on");
	KUNIT_EXPECT_FALSE(test, midst.claimed);
	KUNIT_EXPECT_TRUE(test, kmh_mcentral_is_swept(c));
	KUNIT_EXPECT_EQ(test, kmh_mcentral_sweep_one(c), 0U);
	KUNIT_EXPECT_TRUE(test, on_partial_set(s, true));
	sweep_finish(test);
	free_all(test, s);
	expect_all_released(test, SPANCLASS);
}

/* ---- payment for fresh pages */

static unsigned int nunswept(struct kmh_mspan **s, unsigned int n, unsigned int gen)
{
	unsigned int i, left = 0;

	for (i = 0; i < n; i++)
		left += gen_of(s[i]) != gen;
	return left;
}

static void pay_by_debt_and_credit(struct kunit *test)
{
	static const struct {
		long debt;		/* before; credit if above 0 */
		unsigned long npages;
		unsigned int nswept;
	} rows[] = {
		{ 0, 0, 0 }, { 0, 1, 8 }, { 0, 2, 16 }, { 0, 100, 16 }, { 8, 1, 0 },
		{ 7, 1, 1 }, { 3, 1, 5 }, { -3, 0, 3 }, { -1000, 1, 16 }, { 1000, 1, 0 },
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *s[20];
	unsigned int i, row;

	grow(test, 60);
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = span_of(test, SPANCLASS, 3);
		uncache_span(test, s[i]);
	}
	kmh_sweep_pay(heap, 1000);
	KUNIT_EXPECT_EQ_MSG(test, atomic_long_read(&heap->sweep.debt), 0L, "nothing is open");
	for (row = 0; row < ARRAY_SIZE(rows); row++) {
		long debt = rows[row].debt - 8 * (long)rows[row].npages;
		long swept = atomic_long_read(&heap->sweep.spans);

		c->dirty[0] = 1;
		sweep_open(test, KMH_SWEEP_SET0);
		atomic_long_set(&heap->sweep.debt, rows[row].debt);
		kmh_sweep_pay(heap, rows[row].npages);
		KUNIT_EXPECT_EQ_MSG(test, nunswept(s, ARRAY_SIZE(s), kmh_mcentral_gen(c)),
				    ARRAY_SIZE(s) - rows[row].nswept, "row %u", row);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->sweep.debt),
				debt + rows[row].nswept);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->sweep.spans),
				swept + rows[row].nswept);
		sweep_finish(test);
		/* Nothing is left to sweep: the debt stays, and nothing waits. */
		c->dirty[0] = 1;
		KUNIT_EXPECT_EQ(test, nunswept(s, ARRAY_SIZE(s), kmh_mcentral_gen(c)), 0U);
	}
	for (i = 0; i < ARRAY_SIZE(s); i++)
		free_all(test, s[i]);
	expect_all_released(test, SPANCLASS);
}

/*
 * A span that no generation had to find may be any number of generations behind; it is swept
 * at last.
 */
static void long_forgotten_span_is_swept(struct kunit *test)
{
	static const unsigned int behind[] = {
		2, 4, BIT(30), BIT(31) - 2, BIT(31), BIT(31) + 2, -2U
	};
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *s = span_of(test, SPANCLASS, NR_SLOTS);
	unsigned int i, gen = kmh_mcentral_gen(c);

	for (i = 0; i < ARRAY_SIZE(behind); i++) {
		atomic_set(&s->sweepgen, gen - behind[i]);
		KUNIT_ASSERT_TRUE_MSG(test, kmh_sweep_claim(s, gen), "%#x behind", behind[i]);
		KUNIT_EXPECT_EQ(test, gen_of(s), gen - 1);
	}
	atomic_set(&s->sweepgen, gen);
	KUNIT_EXPECT_FALSE(test, kmh_sweep_claim(s, gen));
	atomic_set(&s->sweepgen, gen + 3);
	KUNIT_EXPECT_FALSE(test, kmh_sweep_claim(s, gen));

	/* In mcentral the span gets a deferred free, and its generation comes to an end. */
	uncache_span(test, s);
	for (i = 0; i < ARRAY_SIZE(behind); i++) {
		KUNIT_ASSERT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_FULL);
		atomic_set(&s->sweepgen, kmh_mcentral_gen(c) + 2 - behind[i]);
		KUNIT_EXPECT_EQ(test, defer_slot(s, 3), (int)KMH_FREE_OK);
		close_and_expire(test);
		KUNIT_EXPECT_EQ(test, gen_of(s), kmh_mcentral_gen(c));
		KUNIT_EXPECT_EQ(test, s->w[0].free, BIT(3));
		KUNIT_ASSERT_PTR_EQ(test, cache_span(test, SPANCLASS), s);
		kmh_kunit_take_slot(s, 3);
		uncache_span(test, s);
	}
	free_all(test, s);
	expect_all_released(test, SPANCLASS);
}

/* An object for which its class, which has no span, takes fresh pages. */
static void *alloc_from_fresh_pages(struct kunit *test, unsigned int spanclass)
{
	void *p;

	preempt_disable();
	p = kmh_mcentral_alloc_one(kmh_heap_near_node(kmh_kunit_heap(test)), spanclass, false);
	preempt_enable();
	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

/* Taking fresh pages is what is paid for: eight pages swept for each. */
static void fresh_pages_are_paid_for(struct kunit *test)
{
	const unsigned int class = kmh_size_to_class(4096);	/* several pages a span */
	unsigned int npages = kmh_classes[class].npages, i, budget;
	struct kmh_mcentral *c = central(test, SPANCLASS);
	struct kmh_mspan *s[40];
	void *p, *wide;

	KUNIT_ASSERT_GT(test, npages, 1U);
	KUNIT_ASSERT_EQ(test, kmh_classes[kmh_spanclass_class(SPANCLASS)].npages, 1U);
	grow(test, 100);
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = span_of(test, SPANCLASS, 3);
		uncache_span(test, s[i]);
	}
	c->dirty[0] = 1;
	sweep_open(test, KMH_SWEEP_SET0);
	p = alloc_from_fresh_pages(test, SPANCLASS ^ 1);
	KUNIT_EXPECT_EQ(test, nunswept(s, ARRAY_SIZE(s), kmh_mcentral_gen(c)), 32U);
	wide = alloc_from_fresh_pages(test, kmh_spanclass(class, false));
	budget = min(8 * npages, 16U);
	KUNIT_EXPECT_EQ(test, nunswept(s, ARRAY_SIZE(s), kmh_mcentral_gen(c)), 32 - budget);
	kmheap_free(p);
	kmheap_free(wide);
	sweep_finish(test);
	for (i = 0; i < ARRAY_SIZE(s); i++)
		free_all(test, s[i]);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	kmh_mheap_drain_lists(&node(test)->mheap);
	expect_all_released(test, SPANCLASS);
}

/* ---- by address */

/* In each arena the spans at the lowest addresses are reclaimed. Returns how many are left. */
static unsigned int expect_lowest_reclaimed(struct kunit *test, struct kmh_mspan **s,
					    const unsigned long *base, unsigned int n)
{
	unsigned int i, j, nleft = 0;

	for (i = 0; i < n; i++) {
		if (kmh_span_of(base[i])->state != KMH_SPAN_SMALL)
			continue;
		nleft++;
		KUNIT_EXPECT_TRUE(test, on_full_set(s[i], false));
		for (j = 0; j < n; j++)
			if (s[j]->arena == s[i]->arena && base[j] > base[i])
				KUNIT_EXPECT_EQ(test, (int)kmh_span_of(base[j])->state,
						(int)KMH_SPAN_SMALL);
	}
	return nleft;
}

static void reclaim_frees_what_is_wanted(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	static unsigned long base[80];
	struct kmh_mspan *kept = span_of(test, SPANCLASS, NR_SLOTS), *ann, *other;
	struct kmh_mspan *s[ARRAY_SIZE(base)];
	struct kmh_mcentral *c = central(test, SPANCLASS);
	unsigned long nfree, got;
	unsigned int i, nleft;

	grow(test, 120);
	for (i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = waiting_span(test, 0);
		base[i] = s[i]->base;
	}
	ann = span_of(test, SPANCLASS, NR_SLOTS);
	uncache_span(test, ann);
	KUNIT_EXPECT_EQ(test, defer_slot(ann, 0), (int)KMH_FREE_OK);
	KUNIT_EXPECT_EQ(test, defer_slot(kept, 0), (int)KMH_FREE_OK);
	defer_close(test);
	KUNIT_EXPECT_FALSE_MSG(test, kmh_sweep_reclaim(heap, 5), "nothing is open");
	atomic_set(&kept->sweepgen, kmh_mcentral_gen(c) + 3);	/* as if a CPU had cached it */
	defer_open(test);
	/*
	 * A swept span, since the last one of a class stays; made on credit, so that no
	 * others are swept.
	 */
	atomic_long_set(&heap->sweep.debt, 1000);
	other = span_of(test, SPANCLASS, 3);
	uncache_span(test, other);
	nfree = free_pages_now(test);
	KUNIT_EXPECT_TRUE(test, kmh_sweep_reclaim(heap, 5));
	got = free_pages_now(test) - nfree;
	KUNIT_EXPECT_GE(test, got, 5UL);
	KUNIT_EXPECT_LE_MSG(test, got, 5UL + 16, "more than a batch too many");
	nleft = expect_lowest_reclaimed(test, s, base, ARRAY_SIZE(s));
	KUNIT_EXPECT_EQ(test, nleft + got, (unsigned long)ARRAY_SIZE(s));
	KUNIT_EXPECT_TRUE(test, kmh_sweep_reclaim(heap, 1000));
	KUNIT_EXPECT_EQ(test, free_pages_now(test) - nfree, (unsigned long)ARRAY_SIZE(s));
	/* Each page is looked at once in a generation: the next caller that grows looks at none. */
	KUNIT_EXPECT_EQ(test, heap->sweep.reclaim_pages, kept->mheap->pa.npages);
	/* A CPU sweeps the spans that it caches; announced spans are swept when they are popped. */
	KUNIT_EXPECT_TRUE(test, stale(kept));
	expect_home(test, ann, KMH_HOME_ANNOUNCED);
	uncache_span(test, kept);
	sweep_finish(test);
	free_all(test, kept);
	free_all(test, other);
	free_all(test, ann);
	expect_all_released(test, SPANCLASS);
}

/* ---- all at once */

#define NR_SWEPT	60U

struct sweepers {
	struct kmheap *heap;
	struct kmh_node *node;
	unsigned int nwrong;
};

static void sweeper_thread(void *arg, unsigned int i)
{
	struct sweepers *w = arg;
	struct kmh_mcentral *c = kmh_mcentral_of(w->node, SPANCLASS);
	unsigned int n;

	for (n = 0; n < 2000 && !kmh_mcentral_is_swept(c); n++) {
		struct kmh_mspan *s;

		switch ((i + n / 4) % 4) {
		case 0:
			kmh_mcentral_sweep_one(c);
			break;
		case 1:
			kmh_sweep_reclaim(w->heap, 1);
			break;
		case 2:
			preempt_disable();
			s = kmh_kunit_cache_span(w->node, SPANCLASS);
			if (s)
				kmh_mcentral_uncache_span(w->node, s);
			preempt_enable();
			break;
		case 3:
			kmh_sweep_pay(w->heap, 1);
			break;
		}
		cond_resched();
	}
	if (!kmh_mcentral_is_swept(c))
		w->nwrong++;
}

/* However many threads sweep, each span is swept once, and none is lost. */
static void sweep_by_everybody_at_once(struct kunit *test)
{
	struct sweepers w = { .heap = kmh_kunit_heap(test), .node = node(test) };
	struct kmh_mspan *s[NR_SWEPT];
	unsigned int round, i;
	long swept;

	grow(test, 2 * NR_SWEPT);
	for (round = 0; round < 30; round++) {
		for (i = 0; i < NR_SWEPT; i++) {
			if (i % 3) {
				s[i] = waiting_span(test, i % NR_SLOTS);
				continue;
			}
			s[i] = span_of(test, SPANCLASS, 3);
			uncache_span(test, s[i]);
		}
		defer_close(test);
		swept = atomic_long_read(&w.heap->sweep.spans);
		defer_open(test);
		kmh_kunit_threads(test, 4, sweeper_thread, &w);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&w.heap->sweep.spans) - swept,
				(long)NR_SWEPT);
		KUNIT_EXPECT_EQ(test, w.nwrong, 0U);
		sweep_finish(test);
		for (i = 0; i < NR_SWEPT; i++)
			if (kmh_span_of(s[i]->base) == s[i])
				free_all(test, s[i]);
		expect_all_released(test, SPANCLASS);
		KUNIT_EXPECT_EQ(test, pending_bytes(w.heap), 0L);
	}
}

static struct kunit_case sweep_cases[] = {
	KUNIT_CASE(claim_by_sweepgen),
	KUNIT_CASE(claim_by_many_has_one_winner),
	KUNIT_CASE(open_advances_what_it_concerns),
	KUNIT_CASE(open_makes_listed_spans_unswept),
	KUNIT_CASE(cached_span_is_swept_in_place),
	KUNIT_CASE(busy_cpu_keeps_the_generation_open),
	KUNIT_CASE(cpus_need_not_be_at_rest_together),
	KUNIT_CASE(sweep_one_is_not_over_before_it_ends),
	KUNIT_CASE(pay_by_debt_and_credit),
	KUNIT_CASE(long_forgotten_span_is_swept),
	KUNIT_CASE(fresh_pages_are_paid_for),
	KUNIT_CASE(reclaim_frees_what_is_wanted),
	KUNIT_CASE(sweep_by_everybody_at_once),
	{ }
};

static struct kunit_suite sweep_suite = {
	.name = "kmheap_sweep",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = sweep_cases,
};

kunit_test_suite(sweep_suite);
