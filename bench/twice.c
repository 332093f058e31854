// SPDX-License-Identifier: GPL-2.0
/*
 * twice: what becomes of two frees of one object on two CPUs at the same time. Of 1,000 objects,
 *
 * at_once	were reported when both CPUs had freed it, and allocated a few objects,
 * later	when all that the CPUs keep had gone back to the spans,
 * never	not at all;
 * shared	were got by both CPUs, among these few.
 *
 * twice_own: only the first CPU has freed objects of the span before, and may do that without an
 * exchange. twice_shared: both CPUs have. twice_rcu: the second CPU defers its free, of a span as
 * in twice_own.
 */
#include <linux/atomic.h>
#include <linux/math.h>
#include <linux/processor.h>
#include <linux/sched.h>

#include "bench.h"

#define BYTES	64U
#define AFTER	3U	/* objects that each CPU allocates after its free */

/* What is allocated for a race: what is freed twice, and what each CPU frees before. */
enum { OBJECT, FIRST, SECOND, NOBJECTS };

enum how { OWN, SHARED, DEFERRED };

struct twice {
	unsigned int nraces;
	enum how how;
	atomic_t gate;
	bool failed;
	void *object[NOBJECTS];
	void *got[2][AFTER];
	u64 before, at_once;	/* reports */
	unsigned long nat_once, nlater, nshared;
};

static u64 reports(void)
{
	struct kmheap_stats st;

	kmheap_stats(bench_heap, &st);
	return st.double_frees;
}

/* The two CPUs wait for each other. */
static void meet(struct twice *t)
{
	int all = round_up(atomic_inc_return(&t->gate), 2);

	while (atomic_read(&t->gate) < all)
		cpu_relax();
}

/* The same for as long as it takes: the other CPU may be waiting for a grace period. */
static void meet_slowly(struct twice *t)
{
	int all = round_up(atomic_inc_return(&t->gate), 2);

	while (atomic_read(&t->gate) < all)
		cond_resched();
}

/* Objects of one span, of which the first CPU frees one. */
static void begin_race(struct twice *t)
{
	unsigned int i;

	for (i = 0; i < NOBJECTS; i++) {
		t->object[i] = kmheap_alloc(bench_heap, BYTES, GFP_KERNEL);
		t->failed |= !t->object[i];
	}
	kmheap_free(t->object[FIRST]);
	t->before = reports();
}

/* All goes back, so that each race has a fresh span. */
static void end_race(struct twice *t)
{
	if (t->how == DEFERRED)
		kmheap_rcu_barrier(bench_heap);
	kmheap_shrink(bench_heap);
	if (t->at_once != t->before)
		t->nat_once++;
	else if (reports() != t->before)
		t->nlater++;
}

/* What both CPUs have got is left to the first one. */
static void count(struct twice *t)
{
	unsigned int i, j;

	t->at_once = reports();
	for (i = 0; i < AFTER; i++) {
		for (j = 0; j < AFTER; j++) {
			if (!t->got[0][i] || t->got[0][i] != t->got[1][j])
				continue;
			t->nshared++;
			t->got[1][j] = NULL;
		}
	}
}

static void run_race(struct twice *t, unsigned int cpu)
{
	unsigned int i;

	if (t->how == SHARED && cpu)
		kmheap_free(t->object[SECOND]);
	meet_slowly(t);
	meet(t);
	if (t->how == DEFERRED && cpu)
		kmheap_free_rcu(t->object[OBJECT]);
	else
		kmheap_free(t->object[OBJECT]);
	for (i = 0; i < AFTER; i++)
		t->got[cpu][i] = kmheap_alloc(bench_heap, BYTES, GFP_KERNEL);
	meet_slowly(t);
	if (!cpu)
		count(t);
	meet_slowly(t);
	for (i = 0; i < AFTER; i++)
		kmheap_free(t->got[cpu][i]);
	if (t->how != SHARED && !cpu)
		kmheap_free(t->object[SECOND]);
	meet_slowly(t);
}

/* One of two threads. */
static int twice_half(unsigned int cpu, void *arg)
{
	struct twice *t = arg;
	unsigned int n;

	for (n = 0; n < t->nraces; n++) {
		if (!cpu)
			begin_race(t);
		meet_slowly(t);
		if (t->failed) {
			kmheap_free(t->object[cpu ? OBJECT : SECOND]);
			return -ENOMEM;
		}
		run_race(t, cpu);
		if (!cpu)
			end_race(t);
	}
	return 0;
}

static int twice_lap(struct bench_lap *lap, enum how how)
{
	struct twice t = { .nraces = lap->nobjs, .how = how };
	void *keeper = kmheap_alloc(bench_heap, SZ_4K, GFP_KERNEL);	/* of the arena */
	unsigned int i;
	int err = bench_threads(2, twice_half, &t);

	kmheap_free(keeper);

	lap->phase[0].ticks = t.nat_once * 1000;
	lap->phase[1].ticks = t.nlater * 1000;
	lap->phase[2].ticks = (t.nraces - t.nat_once - t.nlater) * 1000;
	lap->phase[3].ticks = t.nshared * 1000;
	for (i = 0; i < BENCH_PHASES; i++)
		lap->phase[i].ops = t.nraces;
	return err;
}

static int own_lap(struct bench_lap *lap)
{
	return twice_lap(lap, OWN);
}

static int shared_lap(struct bench_lap *lap)
{
	return twice_lap(lap, SHARED);
}

static int rcu_lap(struct bench_lap *lap)
{
	return twice_lap(lap, DEFERRED);
}

static int run_rows(const char *name, bench_lap_fn lap, unsigned int nraces)
{
	const struct bench_row row = {
		.name = name, .ops = { "at_once", "later", "never", "shared" }, .bytes = BYTES,
		.cpus = 2, .nobjs = nraces, .rounds = 3, .unit = "of 1000", .lap = lap,
		.sides = BIT(KMHEAP),
	};

	return bench_run_row(&row);
}

int bench_twice(void)
{
	int err = run_rows("twice_own", own_lap, 100);

	err = err ?: run_rows("twice_shared", shared_lap, 100);
	return err ?: run_rows("twice_rcu", rcu_lap, 50);
}
