// SPDX-License-Identifier: GPL-2.0
/* Deferred frees in floods, and heaps and modules that go while some are pending. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "client.h"

#define DEFER_SHOWN_BYTES	1000

static struct kmheap *defer_heap;
static const struct kmheap_attr defer_attr = { .owner = THIS_MODULE };

/* ---- floods */

static void defer_worst(struct kmheap_stats *worst)
{
	struct kmheap_stats st;

	kmheap_stats(defer_heap, &st);
	worst->footprint_bytes = max(worst->footprint_bytes, st.footprint_bytes);
	worst->deferred_bytes = max(worst->deferred_bytes, st.deferred_bytes);
	worst->deferred_limit_bytes = st.deferred_limit_bytes;
}

/* flood MIB BYTES: free MIB MiB in objects of BYTES, as fast as one task can. */
static int defer_flood_cmd(char *args)
{
	unsigned int mib, bytes, i;
	struct kmheap_stats worst = {};
	ktime_t start = ktime_get();

	if (sscanf(args, "%u %u", &mib, &bytes) != 2 || !bytes)
		return -EINVAL;
	while (mib--) {
		for (i = 0; i < SZ_1M / bytes; i++) {
			void *p = kmheap_alloc(defer_heap, bytes, GFP_KERNEL);

			if (!p)
				return -ENOMEM;
			kmheap_free_rcu(p);
			cond_resched();
		}
		defer_worst(&worst);
	}
	client_say("footprint_bytes %llu\ndeferred_bytes %llu\nlimit_bytes %llu\n",
		   worst.footprint_bytes, worst.deferred_bytes, worst.deferred_limit_bytes);
	client_say("milliseconds %lld\n", ktime_ms_delta(ktime_get(), start));
	return 0;
}

static int defer_barrier_cmd(char *args)
{
	ktime_t start = ktime_get();

	kmheap_rcu_barrier(defer_heap);
	client_say("microseconds %lld\n", ktime_us_delta(ktime_get(), start));
	return 0;
}

/* ---- barriers while every CPU allocates */

#define DEFER_HAMMERS	64U

static struct task_struct *defer_hammer[DEFER_HAMMERS];
static unsigned int defer_nhammers;

static int defer_hammer_thread(void *bytes)
{
	while (!kthread_should_stop()) {
		kmheap_free(kmheap_alloc(defer_heap, (unsigned long)bytes, GFP_KERNEL));
		cond_resched();
	}
	return 0;
}

static void defer_rest(void)
{
	while (defer_nhammers)
		kthread_stop(defer_hammer[--defer_nhammers]);
}

/* hammer BYTES: every CPU allocates and frees an object of BYTES, until "rest". */
static int defer_hammer_cmd(char *args)
{
	struct task_struct *task;
	unsigned long bytes;
	unsigned int cpu;

	if (kstrtoul(args, 0, &bytes) || defer_nhammers)
		return -EINVAL;
	for_each_online_cpu(cpu) {
		if (defer_nhammers == DEFER_HAMMERS)
			break;
		task = kthread_create(defer_hammer_thread, (void *)bytes, "kmheap-hammer/%u", cpu);
		if (IS_ERR(task)) {
			defer_rest();
			return PTR_ERR(task);
		}
		kthread_bind(task, cpu);
		wake_up_process(task);
		defer_hammer[defer_nhammers++] = task;
	}
	return 0;
}

static int defer_rest_cmd(char *args)
{
	defer_rest();
	return 0;
}

static atomic_t defer_nbarriers;

static int defer_barrier_thread(void *unused)
{
	void *p;

	while (!kthread_should_stop()) {
		p = kmheap_alloc(defer_heap, 64, GFP_KERNEL);
		kmheap_free_rcu(p);
		kmheap_rcu_barrier(defer_heap);
		atomic_inc(&defer_nbarriers);
	}
	return 0;
}

/* barriers N SECONDS: one barrier after the other, until there were N, or for so long. */
static int defer_barriers_cmd(char *args)
{
	ktime_t start = ktime_get();
	struct task_struct *task;
	unsigned int n, seconds;

	if (sscanf(args, "%u %u", &n, &seconds) != 2)
		return -EINVAL;
	atomic_set(&defer_nbarriers, 0);
	task = kthread_run(defer_barrier_thread, NULL, "kmheap-barriers");
	if (IS_ERR(task))
		return PTR_ERR(task);
	while (atomic_read(&defer_nbarriers) < n &&
	       ktime_ms_delta(ktime_get(), start) < seconds * 1000LL)
		msleep(20);
	client_say("barriers %d\nmilliseconds %lld\n", atomic_read(&defer_nbarriers),
		   ktime_ms_delta(ktime_get(), start));
	/* A barrier that does not return under the load returns without it. */
	if (atomic_read(&defer_nbarriers) < n)
		defer_rest();
	kthread_stop(task);
	return 0;
}

/* ---- frees that are pending when their heap or module goes */

/* @n objects, packed, small and a few large ones, freed at once. */
static int defer_pend(struct kmheap *heap, unsigned int n)
{
	while (n--) {
		void *p = n % 4 ? kmheap_alloc(heap, 8UL << n % 13, GFP_KERNEL) :
				  kmheap_alloc_data(heap, 1 + n % 12, GFP_KERNEL);

		if (p && n % 100 == 1) {
			kmheap_free_rcu(p);
			p = kmheap_alloc(heap, 100000, GFP_KERNEL);
		}
		if (!p)
			return -ENOMEM;
		kmheap_free_rcu(p);
	}
	return 0;
}

/* pend N [default]: returns while N deferred frees are pending. */
static int defer_pend_cmd(char *args)
{
	const char *n = strsep(&args, " ");
	unsigned int count;

	if (kstrtouint(n, 0, &count))
		return -EINVAL;
	return defer_pend(args && !strcmp(args, "default") ? NULL : defer_heap, count);
}

static u8 __rcu *defer_shown;		/* the object for the watcher, or NULL */
static atomic_t defer_seen;
static atomic_t defer_changed;

/* Watch the object for longer than a grace period takes that nothing holds up. */
static int defer_watcher(void *unused)
{
	u8 *p;

	while (!kthread_should_stop()) {
		rcu_read_lock();
		p = rcu_dereference(defer_shown);
		if (p) {
			atomic_inc(&defer_seen);
			mdelay(3);
			if (memchr_inv(p, 0x5a, DEFER_SHOWN_BYTES))
				atomic_inc(&defer_changed);
		}
		rcu_read_unlock();
		cond_resched();
	}
	return 0;
}

/* Publish @p, and withdraw it when the watcher is in the middle of it. */
static void defer_show(u8 *p)
{
	ktime_t limit = ktime_add_ms(ktime_get(), 60000);
	int seen = atomic_read(&defer_seen);

	memset(p, 0x5a, DEFER_SHOWN_BYTES);
	rcu_assign_pointer(defer_shown, p);
	while (atomic_read(&defer_seen) == seen && ktime_before(ktime_get(), limit))
		cond_resched();
	RCU_INIT_POINTER(defer_shown, NULL);
}

static int defer_destroy_one(void)
{
	struct kmheap *heap = kmheap_create("pending", &defer_attr);
	u8 *p;
	int err = -ENOMEM;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	p = kmheap_alloc(heap, DEFER_SHOWN_BYTES, GFP_KERNEL);
	if (p) {
		defer_show(p);
		kmheap_free_rcu(p);
		err = defer_pend(heap, 300);
	}
	kmheap_destroy(heap);
	return err;
}

/* destroy TIMES: "seen" says how often a reader was reading at that moment. */
static int defer_destroy_cmd(char *args)
{
	struct task_struct *task;
	unsigned int times;
	int err = 0;

	if (kstrtouint(args, 0, &times))
		return -EINVAL;
	atomic_set(&defer_seen, 0);
	atomic_set(&defer_changed, 0);
	task = kthread_run(defer_watcher, NULL, "kmheap-watcher");
	if (IS_ERR(task))
		return PTR_ERR(task);
	while (times-- && !err)
		err = defer_destroy_one();
	kthread_stop(task);
	client_say("seen %d\nchanged %d\n", atomic_read(&defer_seen),
		   atomic_read(&defer_changed));
	return err;
}

static const struct client_command defer_commands[] = {
	{ "flood", defer_flood_cmd },
	{ "barrier", defer_barrier_cmd },
	{ "hammer", defer_hammer_cmd },
	{ "rest", defer_rest_cmd },
	{ "barriers", defer_barriers_cmd },
	{ "pend", defer_pend_cmd },
	{ "destroy", defer_destroy_cmd },
	{}
};

static int __init defer_init(void)
{
	client_commands = defer_commands;
	defer_heap = kmheap_create("deferred", &defer_attr);
	return PTR_ERR_OR_ZERO(defer_heap);
}

static void __exit defer_exit(void)
{
	defer_rest();
	kmheap_destroy(defer_heap);
}

module_init(defer_init);
module_exit(defer_exit);
MODULE_DESCRIPTION("kmheap selftest: deferred frees that are pending");
MODULE_LICENSE("GPL");
