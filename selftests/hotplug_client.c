// SPDX-License-Identifier: GPL-2.0
/*
 * A client with a callback of CPU hotplug that allocates, while one of its tasks does nothing but
 * wait in kmheap_rcu_barrier(), which waits for hotplug.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/cpuhotplug.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include "client.h"

static struct kmheap *hotplug_heap;
static enum cpuhp_state hotplug_state;
static struct task_struct *hotplug_task;
static atomic_t hotplug_barriers;	/* that have returned */
static unsigned int hotplug_calls;	/* of the callback, one after the other */
static unsigned int hotplug_waited;	/* in which a barrier was waiting all the time */
static unsigned int hotplug_refused;

static int hotplug_waiter(void *unused)
{
	while (!kthread_should_stop()) {
		kmheap_free_rcu(kmheap_alloc(hotplug_heap, 64, GFP_KERNEL));
		kmheap_rcu_barrier(hotplug_heap);
		atomic_inc(&hotplug_barriers);
	}
	return 0;
}

/* Until a barrier that has begun does not return any more: the CPU that comes or goes stops it. */
static bool hotplug_stops_a_barrier(int *seen)
{
	unsigned int tries;

	for (tries = 0; tries < 50; tries++) {
		*seen = atomic_read(&hotplug_barriers);
		msleep(200);
		if (atomic_read(&hotplug_barriers) == *seen)
			return true;
	}
	return false;
}

/* More than may be deferred, so that the heap wants it back before it grows. */
static void hotplug_flood(gfp_t gfp)
{
	struct kmheap_stats st;
	u64 bytes;
	void *p;

	kmheap_stats(hotplug_heap, &st);
	for (bytes = 0; bytes < st.deferred_limit_bytes + SZ_4M; bytes += SZ_16K) {
		p = kmheap_alloc(hotplug_heap, SZ_16K, gfp);
		if (!p)
			hotplug_refused++;
		kmheap_free_rcu(p);
	}
}

/* With GFP_NOFS, as a client is told to, and with what waits for more. */
static int hotplug_called(unsigned int cpu)
{
	bool stopped;
	int seen;

	stopped = hotplug_stops_a_barrier(&seen);
	hotplug_flood(GFP_NOFS);
	hotplug_flood(GFP_KERNEL);
	hotplug_calls++;
	hotplug_waited += stopped && atomic_read(&hotplug_barriers) == seen;
	return 0;
}

static int figures_cmd(char *args)
{
	client_say("calls %u\nwaited %u\nrefused %u\nbarriers %d\n", READ_ONCE(hotplug_calls),
		   READ_ONCE(hotplug_waited), READ_ONCE(hotplug_refused),
		   atomic_read(&hotplug_barriers));
	return 0;
}

static const struct client_command hotplug_commands[] = {
	{ "figures", figures_cmd },
	{}
};

static int __init hotplug_client_init(void)
{
	int err;

	client_commands = hotplug_commands;
	hotplug_heap = kmheap_create("hotplug", &(struct kmheap_attr){ .owner = THIS_MODULE });
	if (IS_ERR(hotplug_heap))
		return PTR_ERR(hotplug_heap);
	hotplug_task = kthread_run(hotplug_waiter, NULL, "kmheap-waiter");
	err = PTR_ERR_OR_ZERO(hotplug_task);
	if (err)
		goto no_task;
	err = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "kmheap:client", hotplug_called,
					hotplug_called);
	if (err < 0)
		goto no_state;
	hotplug_state = err;
	return 0;
no_state:
	kthread_stop(hotplug_task);
no_task:
	kmheap_destroy(hotplug_heap);
	return err;
}

static void __exit hotplug_client_exit(void)
{
	cpuhp_remove_state_nocalls(hotplug_state);
	kthread_stop(hotplug_task);
	kmheap_destroy(hotplug_heap);
}

module_init(hotplug_client_init);
module_exit(hotplug_client_exit);
MODULE_DESCRIPTION("kmheap selftest: a callback of CPU hotplug that allocates");
MODULE_LICENSE("GPL");
