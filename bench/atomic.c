// SPDX-License-Identifier: GPL-2.0
/*
 * atomic: bursts with GFP_ATOMIC where nobody may sleep: with interrupts off in a task, in a
 *	   softirq, and in an interrupt.
 */
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/irqflags.h>

#include "bench.h"
#include "side.h"

#define NOBJS	256

static __always_inline int atomic_burst(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int n, nobjs = lap->nobjs;
	u64 start = bench_ticks(), mid;

	n = side_fill(side, bytes, GFP_ATOMIC, lap->objects, nobjs);
	mid = bench_ticks();
	side_empty(side, bytes, lap->objects, n);
	bench_lap_split(lap, nobjs, start, mid, bench_ticks());
	return n < nobjs ? -ENOMEM : 0;
}

static int burst_here(struct bench_lap *lap)
{
	return side_fixed(atomic_burst, SIDES_ALL & ~BIT(KVMALLOC) & ~BIT(VMALLOC), lap);
}

static int irqsoff_lap(struct bench_lap *lap)
{
	unsigned long flags;
	int err;

	local_irq_save(flags);
	err = burst_here(lap);
	local_irq_restore(flags);
	return err;
}

/* What an interrupt is to do, and how it went. */
struct errand {
	struct tasklet_struct tasklet;
	struct irq_work work;
	struct completion done;
	struct bench_lap *lap;
	int err;
};

static struct errand errand;

static void run_softirq(struct tasklet_struct *tasklet)
{
	errand.err = burst_here(errand.lap);
	complete(&errand.done);
}

static void run_hardirq(struct irq_work *work)
{
	errand.err = burst_here(errand.lap);
	complete(&errand.done);
}

static int softirq_lap(struct bench_lap *lap)
{
	errand.lap = lap;
	init_completion(&errand.done);
	tasklet_setup(&errand.tasklet, run_softirq);
	tasklet_schedule(&errand.tasklet);
	wait_for_completion(&errand.done);
	tasklet_kill(&errand.tasklet);
	return errand.err;
}

static int hardirq_lap(struct bench_lap *lap)
{
	errand.lap = lap;
	init_completion(&errand.done);
	errand.work = IRQ_WORK_INIT_HARD(run_hardirq);
	irq_work_queue(&errand.work);
	wait_for_completion(&errand.done);
	irq_work_sync(&errand.work);
	return errand.err;
}

/* Memory that is there already, for nobody can wait for more. */
static __always_inline int stock_up(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int n = side_fill(side, bytes, GFP_KERNEL, lap->objects, lap->nobjs);

	side_empty(side, bytes, lap->objects, n);
	return n < lap->nobjs ? -ENOMEM : 0;
}

static int atomic_begin(struct bench_lap *lap)
{
	return side_var(stock_up, SIDES_ALL, lap);
}

static const struct {
	const char *ops[BENCH_PHASES];
	bench_lap_fn lap;
} contexts[] = {
	{ { "irqsoff_alloc", "irqsoff_free", "irqsoff_total" }, irqsoff_lap },
	{ { "softirq_alloc", "softirq_free", "softirq_total" }, softirq_lap },
	{ { "hardirq_alloc", "hardirq_free", "hardirq_total" }, hardirq_lap },
};

int bench_atomic(void)
{
	static const size_t some[] = { 16, 64, 256, SZ_1K, SZ_4K, SZ_8K, SZ_16K, SZ_32K };
	unsigned int i, j;
	int err = 0;

	/* There, nobody may allocate from the kernel with interrupts off. */
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		return 0;
	for (i = 0; i < ARRAY_SIZE(some); i++) {
		for (j = 0; !err && j < ARRAY_SIZE(contexts); j++) {
			struct bench_row row = {
				.name = "atomic", .bytes = some[i], .rounds = 11,
				.nobjs = some[i] <= SZ_8K ? NOBJS : 32,
				.sides = sides_for(some[i]) & ~BIT(KVMALLOC) & ~BIT(VMALLOC),
				.lap = contexts[j].lap, .begin = atomic_begin,
			};

			memcpy(row.ops, contexts[j].ops, sizeof(row.ops));
			err = bench_run_row(&row);
		}
	}
	return err;
}
