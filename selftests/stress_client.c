// SPDX-License-Identifier: GPL-2.0
/*
 * Stress: on every CPU a thread, a hardirq that other CPUs trigger, an irq_work and
 * a tasklet, all allocating, filling, handing over, checking and freeing.
 *
 * An item stands for one object. Each actor owns one item; a step allocates an
 * object into it, exchanges the item with that in a random slot of a random CPU's
 * box, checks and frees the object that came back, and keeps its item. So with N
 * CPUs all but one in N frees are of objects from another CPU, nobody waits for
 * anybody, and no item has two owners. One free in four is deferred.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/smp.h>

#include "client.h"

#define STRESS_SLOTS	4096U		/* per CPU */
#define STRESS_BATCH	64U		/* steps of a thread between two pokes */

struct stress_item {
	void *p;
	size_t bytes;
	u32 generation;
	int cpu;			/* the CPU that allocated it */
	bool sized;			/* may be freed with its size */
};

/* Only its own context touches an actor, so nothing here needs a lock. */
struct stress_actor {
	struct stress_item *item;
	u64 seed;
	u64 allocs;
	u64 frees;
	u64 remote;			/* of the frees: allocated on another CPU */
	u64 deferred;			/* of the frees: after a grace period */
	u64 refused;
	u64 mismatches;
};

struct stress_cpu {
	struct stress_item *slot[STRESS_SLOTS];

	struct task_struct *task;
	bool done;
	struct stress_actor thread;
	struct stress_actor poke;
	struct stress_actor irq;
	struct stress_actor soft;
	call_single_data_t csd;
	struct irq_work work;
	struct tasklet_struct tasklet;
};

static struct kmheap *stress_heap;
static struct stress_cpu *stress_cpus;		/* nr_cpu_ids of them; offline ones idle */
static struct stress_item *stress_items;
static u64 stress_target;
static atomic64_t stress_ops;
static atomic_t stress_wrong_context;
static bool stress_running;
static ktime_t stress_start;
static s64 stress_ms;

static u32 stress_random(struct stress_actor *a)
{
	a->seed ^= a->seed << 13;
	a->seed ^= a->seed >> 7;
	a->seed ^= a->seed << 17;
	return a->seed >> 16;
}

/* ---- contents */

enum stress_touch { STRESS_FILL, STRESS_CHECK, STRESS_CHECK_ZERO };

static bool stress_touch_at(const struct stress_item *it, size_t off, enum stress_touch how)
{
	u64 word = ((u64)(unsigned long)it->p ^ (u64)it->generation << 32) +
		   (off + 1) * 0x9e3779b97f4a7c15ULL;
	size_t n = min_t(size_t, it->bytes - off, sizeof(word));

	if (how == STRESS_CHECK_ZERO)
		word = 0;
	if (how != STRESS_FILL)
		return !memcmp(it->p + off, &word, n);
	memcpy(it->p + off, &word, n);
	return true;
}

/*
 * Touches all of the first 64 bytes, then a word every 256 bytes (every page in large
 * objects), and the last word: under emulation filling whole objects would take the time that
 * the allocator should have.
 */
static bool stress_touch(const struct stress_item *it, enum stress_touch how)
{
	size_t step = it->bytes > KMHEAP_MAX_SMALL ? PAGE_SIZE : 256, off;
	bool ok = true;

	for (off = 0; off < it->bytes && off < 64; off += 8)
		ok &= stress_touch_at(it, off, how);
	for (off = step; off + 8 < it->bytes; off += step)
		ok &= stress_touch_at(it, off, how);
	/* Words must not overlap: the last one starts where the others could. */
	if (it->bytes > 64)
		ok &= stress_touch_at(it, (it->bytes - 1) & ~7UL, how);
	return ok;
}

static void stress_mismatch(struct stress_actor *a, const struct stress_item *it, const char *what)
{
	if (!a->mismatches++)
		pr_err("MISMATCH %s: %zu bytes at %p, generation %u, from cpu %d\n", what,
		       it->bytes, it->p, it->generation, it->cpu);
}

/* ---- one object */

static size_t stress_small_bytes(struct stress_actor *a)
{
	u32 r = stress_random(a);
	/* 8 B to 1 KiB mostly, 1 to 32 KiB one time in 16: zeroing is slow here. */
	unsigned int bits = r % 16 ? 3 + (r >> 4) % 7 : 10 + (r >> 4) % 5;
	u32 mask = (1U << bits) - 1;

	return min_t(size_t, (1U << bits) + ((r >> 8) & mask) + 1, KMHEAP_MAX_SMALL);
}

static size_t stress_large_bytes(struct stress_actor *a)
{
	u32 r = stress_random(a);

	if (r % 16)
		return KMHEAP_MAX_SMALL + 1 + (r >> 8) % (256 << 10);
	return (2100 << 10) + (r >> 8) % (1 << 20);	/* over half an arena */
}

static void *stress_alloc_one(struct stress_actor *a, struct stress_item *it, gfp_t gfp)
{
	u32 r = stress_random(a);
	void *p;

	it->sized = true;
	it->bytes = stress_small_bytes(a);
	if (gfpflags_allow_blocking(gfp) && r % 2048 == 0) {
		it->bytes = stress_large_bytes(a);
		return kmheap_alloc(stress_heap, it->bytes, gfp);
	}
	switch (r >> 12 & 15) {
	case 0:
	case 1:
		it->bytes = 1 + (r >> 16) % 12;		/* tiny */
		return kmheap_alloc_data(stress_heap, it->bytes, gfp);
	case 2:
	case 3:
		return kmheap_alloc_data(stress_heap, it->bytes, gfp);
	case 4:
		it->sized = false;
		return kmheap_alloc_aligned(stress_heap, it->bytes, 8UL << (r >> 16) % 6, gfp);
	case 5:
		it->sized = false;
		p = kmheap_alloc(stress_heap, 8 + it->bytes / 2, gfp);
		if (p) {
			void *q = kmheap_realloc(stress_heap, p, it->bytes, gfp);

			if (!q)
				kmheap_free(p);
			p = q;
		}
		return p;
	default:
		return kmheap_alloc(stress_heap, it->bytes, gfp);
	}
}

static void stress_alloc(struct stress_actor *a, gfp_t gfp)
{
	struct stress_item *it = a->item;
	u32 r = stress_random(a);

	if (r % 8 == 0)
		gfp |= __GFP_ZERO;
	it->p = stress_alloc_one(a, it, gfp);
	if (!it->p) {
		a->refused++;
		return;
	}
	a->allocs++;
	it->generation++;
	it->cpu = raw_smp_processor_id();
	/* kmheap_realloc() clears nothing when the object was not moved. */
	if (gfp & __GFP_ZERO && it->sized && !stress_touch(it, STRESS_CHECK_ZERO))
		stress_mismatch(a, it, "not zeroed");
	if (r % 64 == 1 && kmheap_size(it->p) < it->bytes)
		stress_mismatch(a, it, "kmheap_size()");
	stress_touch(it, STRESS_FILL);
}

static void stress_free(struct stress_actor *a, struct stress_item *it)
{
	u32 r = stress_random(a);

	if (!it->p)
		return;
	if (!stress_touch(it, STRESS_CHECK))
		stress_mismatch(a, it, "at free");
	a->frees++;
	a->remote += it->cpu != raw_smp_processor_id();
	if (r % 4 == 1) {
		a->deferred++;
		kmheap_free_rcu(it->p);
	} else if (it->sized && r % 8 == 0) {
		kmheap_free_sized(it->p, it->bytes);
	} else {
		kmheap_free(it->p);
	}
	it->p = NULL;
}

static void stress_step(struct stress_actor *a, gfp_t gfp)
{
	u32 r;

	stress_alloc(a, gfp);
	r = stress_random(a);
	a->item = xchg(&stress_cpus[r % nr_cpu_ids].slot[(r >> 8) % STRESS_SLOTS], a->item);
	stress_free(a, a->item);
}

static void stress_steps(struct stress_actor *a, unsigned int n, gfp_t gfp)
{
	u64 before = a->allocs + a->frees;

	while (n--)
		stress_step(a, gfp);
	atomic64_add(a->allocs + a->frees - before, &stress_ops);
}

/* ---- contexts */

/* Queued by the thread of the CPU that it runs on. */
static void stress_in_irq(struct irq_work *work)
{
	struct stress_cpu *c = container_of(work, struct stress_cpu, work);

	if (!in_hardirq())
		atomic_inc(&stress_wrong_context);
	stress_steps(&c->irq, 4, GFP_ATOMIC);
	tasklet_schedule(&c->tasklet);
}

static void stress_in_softirq(struct tasklet_struct *t)
{
	struct stress_cpu *c = container_of(t, struct stress_cpu, tasklet);

	if (!in_serving_softirq())
		atomic_inc(&stress_wrong_context);
	stress_steps(&c->soft, 4, GFP_ATOMIC);
}

/*
 * Called by an IPI, which comes at any moment of this CPU's work, the mcache section
 * included. The sender's csd may be on its way to another CPU already, so this CPU's actor
 * works: hardirqs of one CPU do not nest. It schedules no tasklet: on PREEMPT_RT a call on an
 * idle CPU must not raise a softirq.
 */
static void stress_poked(void *unused)
{
	struct stress_cpu *here = &stress_cpus[raw_smp_processor_id()];

	/*
	 * An idle CPU that polls runs this without an interrupt, but with interrupts off all
	 * the same.
	 */
	if (!irqs_disabled())
		atomic_inc(&stress_wrong_context);
	stress_steps(&here->poke, 8, GFP_ATOMIC);
}

/* Raise an interrupt on this CPU now, and on another one. */
static void stress_poke(struct stress_cpu *c)
{
	int cpu;

	preempt_disable();	/* online CPUs stay online */
	irq_work_queue(&stress_cpus[smp_processor_id()].work);
	cpu = stress_random(&c->thread) % nr_cpu_ids;
	if (cpu != smp_processor_id() && cpu_online(cpu))
		smp_call_function_single_async(cpu, &c->csd);	/* -EBUSY: still on its way */
	preempt_enable();
}

static gfp_t stress_thread_gfp(struct stress_actor *a)
{
	static const gfp_t gfps[] = { GFP_KERNEL, GFP_ATOMIC, GFP_KERNEL, GFP_NOWAIT };

	return gfps[stress_random(a) % ARRAY_SIZE(gfps)];
}

static int stress_thread(void *arg)
{
	struct stress_cpu *c = arg;

	while (!kthread_should_stop() && atomic64_read(&stress_ops) < stress_target) {
		stress_steps(&c->thread, STRESS_BATCH, stress_thread_gfp(&c->thread));
		stress_poke(c);
		cond_resched();
	}
	WRITE_ONCE(c->done, true);
	while (!kthread_should_stop())
		msleep(20);
	return 0;
}

/* ---- commands */

static void stress_actor_init(struct stress_actor *a, struct stress_item **next, u64 seed)
{
	*a = (struct stress_actor){ .item = (*next)++, .seed = seed * 0x9e3779b97f4a7c15ULL + 1 };
}

static void stress_cpu_init(int cpu, struct stress_item **next)
{
	struct stress_cpu *c = &stress_cpus[cpu];
	unsigned int i;

	for (i = 0; i < STRESS_SLOTS; i++)
		c->slot[i] = (*next)++;
	stress_actor_init(&c->thread, next, 4 * cpu);
	stress_actor_init(&c->poke, next, 4 * cpu + 1);
	stress_actor_init(&c->irq, next, 4 * cpu + 2);
	stress_actor_init(&c->soft, next, 4 * cpu + 3);
	c->done = true;
	INIT_CSD(&c->csd, stress_poked, NULL);
	c->work = IRQ_WORK_INIT_HARD(stress_in_irq);
	tasklet_setup(&c->tasklet, stress_in_softirq);
}

static void stress_free_tables(void)
{
	kvfree(stress_cpus);
	kvfree(stress_items);
	stress_cpus = NULL;
	stress_items = NULL;
}

static void stress_stop_threads(void)
{
	int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		if (stress_cpus[cpu].task)
			kthread_stop(stress_cpus[cpu].task);
		stress_cpus[cpu].task = NULL;
	}
}

static int stress_run_threads(bool bound)
{
	struct task_struct *task;
	int cpu;

	for_each_online_cpu(cpu) {
		struct stress_cpu *c = &stress_cpus[cpu];

		c->done = false;
		task = kthread_create(stress_thread, c, "kmheap-stress/%d", cpu);
		if (IS_ERR(task)) {
			stress_stop_threads();
			return PTR_ERR(task);
		}
		c->task = task;
		if (bound)
			set_cpus_allowed_ptr(task, cpumask_of(cpu));
	}
	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		if (stress_cpus[cpu].task)
			wake_up_process(stress_cpus[cpu].task);
	return 0;
}

/*
 * start OPS [loose]: allocations and frees together, one thread for every CPU that
 * is online. Loose threads run where the scheduler wants; CPUs may then go offline
 * (a bound task whose CPU goes makes the scheduler of PREEMPT_RT warn).
 */
static int stress_start_cmd(char *args)
{
	const char *ops = strsep(&args, " ");
	bool loose = args && !strcmp(args, "loose");
	size_t nitems = nr_cpu_ids * (STRESS_SLOTS + 4);
	struct stress_item *next;
	int cpu, err;

	if (stress_running)
		return -EBUSY;
	err = kstrtou64(ops, 0, &stress_target);
	if (err)
		return err;
	stress_cpus = kvcalloc(nr_cpu_ids, sizeof(*stress_cpus), GFP_KERNEL);
	stress_items = kvcalloc(nitems, sizeof(*stress_items), GFP_KERNEL);
	if (!stress_cpus || !stress_items) {
		stress_free_tables();
		return -ENOMEM;
	}
	next = stress_items;
	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		stress_cpu_init(cpu, &next);
	atomic64_set(&stress_ops, 0);
	stress_ms = 0;
	stress_start = ktime_get();
	err = stress_run_threads(!loose);
	if (err) {
		stress_free_tables();
		return err;
	}
	stress_running = true;
	return 0;
}

static bool stress_all_done(void)
{
	int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		if (!READ_ONCE(stress_cpus[cpu].done))
			return false;
	return true;
}

static void stress_add(struct stress_actor *sum, const struct stress_actor *a)
{
	sum->allocs += a->allocs;
	sum->frees += a->frees;
	sum->remote += a->remote;
	sum->deferred += a->deferred;
	sum->refused += a->refused;
	sum->mismatches += a->mismatches;
}

static void stress_say(void)
{
	struct stress_actor sum = {}, hard = {}, soft = {};
	int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		stress_add(&sum, &stress_cpus[cpu].thread);
		stress_add(&hard, &stress_cpus[cpu].poke);
		stress_add(&hard, &stress_cpus[cpu].irq);
		stress_add(&soft, &stress_cpus[cpu].soft);
	}
	stress_add(&sum, &hard);
	stress_add(&sum, &soft);
	client_say("ops %llu\nallocs %llu\nfrees %llu\nremote_frees %llu\nrefused %llu\n",
		   sum.allocs + sum.frees, sum.allocs, sum.frees, sum.remote, sum.refused);
	client_say("mismatches %llu\nhardirq_ops %llu\nsoftirq_ops %llu\nwrong_context %d\n",
		   sum.mismatches, hard.allocs + hard.frees, soft.allocs + soft.frees,
		   atomic_read(&stress_wrong_context));
	client_say("deferred_frees %llu\nmilliseconds %lld\n", sum.deferred, stress_ms);
}

/* figures: how far it is; "running 0" once the target is reached. */
static int stress_figures_cmd(char *args)
{
	if (!stress_running)
		return -ENODEV;
	if (stress_all_done() && !stress_ms)
		stress_ms = ktime_ms_delta(ktime_get(), stress_start);
	client_say("running %d\n", !stress_all_done());
	stress_say();
	return 0;
}

static void stress_nothing(void *arg)
{
}

static void stress_drain(void)
{
	int cpu;
	unsigned int i;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		struct stress_cpu *c = &stress_cpus[cpu];

		for (i = 0; i < STRESS_SLOTS; i++)
			stress_free(&c->thread, c->slot[i]);
	}
}

static void stress_stop(void)
{
	int cpu;

	stress_stop_threads();
	on_each_cpu(stress_nothing, NULL, true);	/* pokes on their way have run */
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		irq_work_sync(&stress_cpus[cpu].work);
		tasklet_kill(&stress_cpus[cpu].tasklet);
	}
	if (!stress_ms)
		stress_ms = ktime_ms_delta(ktime_get(), stress_start);
	stress_drain();
	stress_running = false;
}

/* stop: end the threads, free all that is left, say the figures. The heap stays. */
static int stress_stop_cmd(char *args)
{
	if (!stress_running)
		return -ENODEV;
	stress_stop();
	stress_say();
	stress_free_tables();
	return 0;
}

static int stress_barrier_cmd(char *args)
{
	kmheap_rcu_barrier(stress_heap);
	return 0;
}

static int stress_shrink_cmd(char *args)
{
	client_say("bytes %zu\n", kmheap_shrink(stress_heap));
	return 0;
}

static const struct client_command stress_commands[] = {
	{ "start", stress_start_cmd },
	{ "figures", stress_figures_cmd },
	{ "stop", stress_stop_cmd },
	{ "barrier", stress_barrier_cmd },
	{ "shrink", stress_shrink_cmd },
	{}
};

static int __init stress_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };

	client_commands = stress_commands;
	stress_heap = kmheap_create("stress", &attr);
	return PTR_ERR_OR_ZERO(stress_heap);
}

static void __exit stress_exit(void)
{
	if (stress_running) {
		stress_stop();
		stress_free_tables();
	}
	kmheap_destroy(stress_heap);
}

module_init(stress_init);
module_exit(stress_exit);
MODULE_DESCRIPTION("kmheap selftest: stress from every context");
MODULE_LICENSE("GPL");
