// SPDX-License-Identifier: GPL-2.0
/*
 * kmheap_bench.ko: runs the cases that it is told to when it is loaded, and prints the figures
 * as lines "BENCH {...}", one for each side of each phase.
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "await.h"
#include "bench.h"

static const struct bench_case cases[] = {
	{ "pair", bench_pair },
	{ "burst", bench_burst },
	{ "burst_reverse", bench_burst_reverse },
	{ "shuffle", bench_shuffle },
	{ "shuffle_1m", bench_shuffle_1m },
	{ "zeroed", bench_zeroed },
	{ "bulk", bench_bulk },
	{ "atomic", bench_atomic },
	{ "remote", bench_remote },
	{ "ring", bench_ring },
	{ "twice", bench_twice },
	{ "larson", bench_larson },
	{ "xmalloc", bench_xmalloc },
	{ "sh8bench", bench_sh8bench },
	{ "mstress", bench_mstress },
	{ "cache_thrash", bench_cache_thrash },
	{ "cache_scratch", bench_cache_scratch },
	{ "latency", bench_latency },
	{ "scaling", bench_scaling },
	{ "cold", bench_cold },
	{ "large", bench_large },
	{ "grow", bench_grow },
	{ "mixed", bench_mixed },
	{ "memory", bench_memory },
	{ "growth", bench_growth },
	{ "pack", bench_pack },
	{ "swing", bench_swing },
};

static char *cases_wanted = "";
module_param_named(cases, cases_wanted, charp, 0444);
MODULE_PARM_DESC(cases, "names of cases, separated by commas; none for all, or \"list\"");

static unsigned long sizes[32];
static unsigned int nsizes;
module_param_array(sizes, ulong, &nsizes, 0444);
MODULE_PARM_DESC(sizes, "only objects of these sizes");

static unsigned int rounds;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "rounds that count, instead of each row's own number of them");

struct kmheap *bench_heap;
struct kmem_cache *bench_cache;
const char *bench_tick_unit;

const char * const bench_side_names[NR_SIDES] = {
	"kmheap", "kmalloc", "kmem_cache", "kvmalloc", "vmalloc", "pages"
};

const size_t bench_sizes[BENCH_NSIZES] = {
	8, 16, 32, 64, 128, 256, 512, SZ_1K, SZ_2K, SZ_4K, SZ_8K, SZ_16K, SZ_32K, SZ_64K,
	SZ_128K, SZ_256K, SZ_512K, SZ_1M,
};

bool bench_size_wanted(size_t bytes)
{
	unsigned int i;

	for (i = 0; i < nsizes; i++)
		if (sizes[i] == bytes)
			return true;
	return !nsizes;
}

unsigned int bench_rounds(unsigned int usual)
{
	return clamp(rounds ?: usual, 1U, (unsigned int)BENCH_MAX_ROUNDS);
}

/* ---- rows */

/* In hundredths. */
static u64 samples[NR_SIDES][BENCH_PHASES][BENCH_MAX_ROUNDS];

static bool takes_part(const struct bench_row *row, unsigned int side)
{
	return row->sides & BIT(side);
}

static void keep(const struct bench_lap *lap, unsigned int at)
{
	unsigned int i;

	for (i = 0; i < BENCH_PHASES; i++)
		if (lap->row->ops[i])
			samples[lap->side][i][at] = div64_u64(lap->phase[i].ticks * 100,
							      lap->phase[i].ops ?: 1);
}

/* One lap of each side; another one begins each time, for none to follow always the same. */
static int run_round(struct bench_lap *laps, const struct bench_row *row, int round)
{
	unsigned int i;
	int err;

	for (i = 0; i < NR_SIDES; i++) {
		struct bench_lap *lap = &laps[(i + round + BENCH_WARM_UP) % NR_SIDES];

		if (!takes_part(row, lap->side))
			continue;
		lap->nobjs = row->nobjs;
		lap->round = round;
		err = row->lap(lap);
		if (err) {
			bench_error("%s, %zu bytes: %s: %d", row->name, row->bytes,
				    bench_side_names[lap->side], err);
			return err;
		}
		if (round >= 0)
			keep(lap, round);
		cond_resched();
	}
	return 0;
}

static void print_row(const struct bench_row *row, unsigned int n)
{
	struct bench_figure f = {
		.name = row->name, .bytes = row->bytes, .cpus = row->cpus, .extra = row->extra,
		.unit = row->unit ?: bench_tick_unit,
	};
	unsigned int side, i;

	for (i = 0; i < BENCH_PHASES; i++) {
		for (side = 0; row->ops[i] && side < NR_SIDES; side++) {
			if (!takes_part(row, side))
				continue;
			f.op = row->ops[i];
			f.side = bench_side_names[side];
			bench_print_samples(&f, samples[side][i], n);
		}
	}
}

/* What the laps of a row stand on. All sides share an array, if they keep nothing in it. */
static int prepare_laps(struct bench_lap *laps, const struct bench_row *row)
{
	unsigned int side;
	void **shared = NULL;

	for (side = 0; side < NR_SIDES; side++) {
		struct bench_lap *lap = &laps[side];

		*lap = (struct bench_lap){
			.row = row, .side = side, .bytes = row->bytes, .nobjs = row->nobjs,
		};
		if (!takes_part(row, side))
			continue;
		if (!shared || row->begin)
			shared = kvcalloc(row->nobjs, sizeof(void *), GFP_KERNEL);
		lap->objects = shared;
		if (!shared)
			return -ENOMEM;
	}
	if (!takes_part(row, KMEM_CACHE))
		return 0;
#ifndef SLAB_NO_MERGE
#define SLAB_NO_MERGE	0	/* up to 6.4 */
#endif
	bench_cache = kmem_cache_create("kmheap_bench", row->bytes, 0, SLAB_NO_MERGE, NULL);
	return bench_cache ? 0 : -ENOMEM;
}

static void release_laps(struct bench_lap *laps, const struct bench_row *row)
{
	void **last = NULL;
	unsigned int side;

	for (side = 0; side < NR_SIDES; side++) {
		if (laps[side].objects != last)
			kvfree(laps[side].objects);
		last = laps[side].objects ?: last;
	}
	kmem_cache_destroy(bench_cache);
	bench_cache = NULL;
}

/* begin() of each side; *@begun is how many need their end(). */
static int begin_laps(struct bench_lap *laps, const struct bench_row *row, unsigned int *begun)
{
	int err = 0;

	for (*begun = 0; !err && *begun < NR_SIDES; ++*begun) {
		if (row->begin && takes_part(row, *begun))
			err = row->begin(&laps[*begun]);
		if (err) {
			bench_error("%s, %zu bytes: %s begins: %d", row->name, row->bytes,
				    bench_side_names[*begun], err);
			break;
		}
		cond_resched();
	}
	return err;
}

int bench_run_row(const struct bench_row *row)
{
	unsigned int n = bench_rounds(row->rounds ?: BENCH_ROUNDS), side, begun = 0;
	struct bench_lap *laps;
	int err, round;
	u64 start;

	if (!bench_size_wanted(row->bytes))
		return 0;
	if (row->cpus > num_online_cpus()) {
		pr_info("BENCH_NOTE %s, %zu bytes: left out for want of %u CPUs\n", row->name,
			row->bytes, row->cpus);
		return 0;
	}
	laps = kcalloc(NR_SIDES, sizeof(*laps), GFP_KERNEL);
	if (!laps)
		return -ENOMEM;
	err = prepare_laps(laps, row);
	err = err ?: begin_laps(laps, row, &begun);
	start = ktime_get_ns();
	for (round = -BENCH_WARM_UP; !err && round < (int)n; round++) {
		if (round >= BENCH_LEAST_ROUNDS && ktime_get_ns() - start > BENCH_ROW_NS)
			n = round;
		else
			err = run_round(laps, row, round);
	}
	for (side = 0; row->end && side < begun; side++)
		if (takes_part(row, side))
			row->end(&laps[side]);
	if (!err)
		print_row(row, n);
	release_laps(laps, row);
	kfree(laps);
	return err;
}

/* ---- threads */

struct threads {
	int (*fn)(unsigned int i, void *arg);
	void *arg;
	atomic_t waiting;	/* threads that are not there yet */
	bool cancelled;		/* set before @waiting gets to 0 */
};

struct thread {
	struct threads *all;
	unsigned int i;
	int err;
	struct completion done;
	struct task_struct *task;
};

static int run_thread(void *arg)
{
	struct thread *t = arg;

	atomic_dec(&t->all->waiting);
	while (atomic_read(&t->all->waiting) > 0)
		cond_resched();
	if (!t->all->cancelled)
		t->err = t->all->fn(t->i, t->all->arg);
	complete(&t->done);
	bench_await_stop();
	return 0;
}

static int begin_thread(struct thread *t, unsigned int cpu)
{
	init_completion(&t->done);
	t->task = kthread_create(run_thread, t, "kmheap_bench/%u", cpu);
	if (IS_ERR(t->task))
		return PTR_ERR(t->task);
	kthread_bind(t->task, cpu);
	wake_up_process(t->task);
	return 0;
}

int bench_threads(unsigned int n, int (*fn)(unsigned int i, void *arg), void *arg)
{
	struct threads all = { .fn = fn, .arg = arg, .waiting = ATOMIC_INIT(n) };
	struct thread *threads = kcalloc(n, sizeof(*threads), GFP_KERNEL);
	unsigned int i, cpu, started = 0;
	int err = 0;

	if (!threads)
		return -ENOMEM;
	for_each_online_cpu(cpu) {
		if (started == n)
			break;
		threads[started].all = &all;
		threads[started].i = started;
		err = begin_thread(&threads[started], cpu);
		if (err)
			break;
		started++;
	}
	if (started < n) {
		err = err ?: -EINVAL;
		all.cancelled = true;
		/* Ordered after it, as a value is returned. */
		atomic_sub_return(n - started, &all.waiting);
	}
	for (i = 0; i < started; i++) {
		wait_for_completion(&threads[i].done);
		kthread_stop(threads[i].task);
		err = err ?: threads[i].err;
	}
	kfree(threads);
	return err;
}

/* ---- cases */

static bool is_wanted(const char *name)
{
	const char *at = cases_wanted;
	size_t len = strlen(name);

	while (*at) {
		size_t n = strcspn(at, ",");

		if (n == len && !strncmp(at, name, n))
			return true;
		at += n + (at[n] == ',');
	}
	return !*cases_wanted;
}

static int run_case(const struct bench_case *c)
{
	u64 start = ktime_get_ns();
	int err;

	bench_heap = kmheap_create("bench", NULL);
	err = PTR_ERR_OR_ZERO(bench_heap);
	if (!err) {
		err = c->run();
		kmheap_destroy(bench_heap);
	}
	bench_heap = NULL;
	if (err)
		bench_error("%s: %d", c->name, err);
	pr_info("BENCH_NOTE %s: %llu ms\n", c->name,
		div_u64(ktime_get_ns() - start, NSEC_PER_MSEC));
	return err;
}

static void run_cases(void)
{
	unsigned int i, done = 0;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (!is_wanted(cases[i].name))
			continue;
		run_case(&cases[i]);
		done++;
	}
	if (!done)
		bench_error("no case has a name of: %s", cases_wanted);
}

static int __init bench_init(void)
{
	unsigned int i;

	if (!strcmp(cases_wanted, "list")) {
		for (i = 0; i < ARRAY_SIZE(cases); i++)
			pr_info("BENCH_CASE %s\n", cases[i].name);
		return 0;
	}
	bench_tick_unit = bench_unit();
	if (set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask))))
		bench_error("cannot stay on one CPU");
	else
		run_cases();
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	/* Modules that refuse to load are loaded a second time, by busybox. */
	return 0;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
}
module_exit(bench_exit);

MODULE_DESCRIPTION("kmheap benchmarks");
MODULE_LICENSE("GPL");
