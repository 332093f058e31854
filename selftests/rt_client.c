// SPDX-License-Identifier: GPL-2.0
/*
 * How late a timer's interrupt runs, and after it the thread of highest priority, while their
 * CPU allocates and frees: the longest time with interrupts off, and with preemption off.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "../kmod/base/compat.h"
#include "client.h"

#define RT_PERIOD_NS	200000
#define RT_LIVE		4096U

static struct kmheap *late_heap;
static struct hrtimer late_timer;
static struct task_struct *late_task;
static ktime_t late_expected, late_fired;
static bool late_due;
static void (*late_also)(void);		/* called by the interrupt as well */
static u64 late_irq, late_thread, late_times;

/* ---- the interrupt and the thread that must not be late */

static enum hrtimer_restart late_fire(struct hrtimer *timer)
{
	ktime_t now = ktime_get();

	late_irq = max_t(u64, late_irq, ktime_to_ns(ktime_sub(now, late_expected)));
	late_times++;
	late_fired = now;
	if (late_also) {
		late_also();
		late_fired = ktime_get();
	}
	WRITE_ONCE(late_due, true);
	wake_up_process(late_task);
	/* Counted from now: after a late interrupt the next one would count as late as well. */
	late_expected = ktime_add_ns(now, RT_PERIOD_NS);
	hrtimer_set_expires(timer, late_expected);
	return HRTIMER_RESTART;
}

static int late_run(void *unused)
{
	while (!kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!READ_ONCE(late_due) && !kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
		if (!READ_ONCE(late_due))
			continue;
		WRITE_ONCE(late_due, false);
		late_thread = max_t(u64, late_thread,
				    ktime_to_ns(ktime_sub(ktime_get(), late_fired)));
	}
	return 0;
}

/* ---- the load of that CPU */

static void *late_live[RT_LIVE];
static u64 late_seed = 88172645463325252ULL;

static u32 late_random(void)
{
	late_seed ^= late_seed << 13;
	late_seed ^= late_seed >> 7;
	late_seed ^= late_seed << 17;
	return late_seed >> 16;
}

static size_t late_bytes(void)
{
	u32 r = late_random(), bits = 4 + r % 11;

	return (1UL << bits) + (r >> 8) % (1UL << bits);
}

static void late_nothing(u32 r)
{
}

static void late_kernel(u32 r)
{
	void **p = &late_live[r % RT_LIVE];

	kvfree(*p);
	*p = r >> 12 & 255 ? kmalloc(late_bytes(), GFP_KERNEL) : vmalloc(300000);
}

/* Everything that a task can ask for, draining all caches included. */
static void late_kmheap(u32 r)
{
	void **p = &late_live[r % RT_LIVE];

	if (r >> 12 & 3)
		kmheap_free(*p);
	else
		kmheap_free_rcu(*p);
	*p = kmheap_alloc(late_heap, r >> 14 & 255 ? late_bytes() : 300000, GFP_KERNEL);
	if (!(r >> 12 & 0xffff))
		kmheap_shrink(late_heap);
}

/*
 * The interrupt allocates, too, wherever it has interrupted the load: if it had to wait for a
 * lock it would have to sleep.
 */
static void *late_held;

static void late_kmheap_in_interrupt(void)
{
	kmheap_free(late_held);
	late_held = kmheap_alloc(late_heap, 16UL << late_times % 12, GFP_ATOMIC);
}

static const struct {
	const char *name;
	void (*step)(u32 r);
	void (*free)(const void *p);
	void (*also)(void);
} late_loads[] = {
	{ "nothing", late_nothing, kvfree },
	{ "kernel", late_kernel, kvfree },
	{ "kmheap", late_kmheap, kmheap_free },
	{ "interrupts", late_kmheap, kmheap_free, late_kmheap_in_interrupt },
};

static int late_start(void)
{
	late_irq = 0;
	late_thread = 0;
	late_times = 0;
	late_task = kthread_create(late_run, NULL, "kmheap-rt");
	if (IS_ERR(late_task))
		return PTR_ERR(late_task);
	sched_set_fifo(late_task);
	wake_up_process(late_task);
	late_expected = ktime_add_ns(ktime_get(), RT_PERIOD_NS);
	hrtimer_start(&late_timer, late_expected, HRTIMER_MODE_ABS_HARD);
	return 0;
}

static void late_stop(void)
{
	hrtimer_cancel(&late_timer);
	kthread_stop(late_task);
}

/* measure LOAD MS: the worst delays in ns, and the number of samples */
static int late_measure_cmd(char *args)
{
	unsigned long end, steps = 0;
	unsigned int i, j, ms;
	char name[16];
	int err;

	if (sscanf(args, "%15s %u", name, &ms) != 2)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(late_loads); i++)
		if (!strcmp(late_loads[i].name, name))
			break;
	if (i == ARRAY_SIZE(late_loads))
		return -EINVAL;
	late_also = late_loads[i].also;
	err = late_start();
	if (err)
		return err;
	for (end = jiffies + msecs_to_jiffies(ms); time_before(jiffies, end); steps++) {
		late_loads[i].step(late_random());
		cond_resched();
	}
	late_stop();
	kmheap_free(late_held);
	late_held = NULL;
	for (j = 0; j < RT_LIVE; j++) {
		late_loads[i].free(late_live[j]);
		late_live[j] = NULL;
	}
	client_say("irq_ns %llu\nthread_ns %llu\ntimes %llu\nsteps %lu\n", late_irq,
		   late_thread, late_times, steps);
	return 0;
}

static const struct client_command late_commands[] = {
	{ "measure", late_measure_cmd },
	{}
};

static int __init late_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };

	client_commands = late_commands;
	kmh_hrtimer_setup(&late_timer, late_fire, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	late_heap = kmheap_create("rt", &attr);
	return PTR_ERR_OR_ZERO(late_heap);
}

static void __exit late_exit(void)
{
	kmheap_destroy(late_heap);
}

module_init(late_init);
module_exit(late_exit);
MODULE_DESCRIPTION("kmheap selftest: who is kept waiting");
MODULE_LICENSE("GPL");
