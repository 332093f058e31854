// SPDX-License-Identifier: GPL-2.0
/*
 * A tracer that keeps its findings in a kmheap heap, attached to functions of kmheap itself:
 * its handler allocates and frees in the middle of them, with whatever lock they hold.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/kmheap.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "client.h"

#define TRACER_WORKERS	2U
#define TRACER_TRIES	30U	/* a busy host may run no worker in the first */

static struct kmheap *tracer_heap;
static const struct kmheap_attr tracer_attr = { .owner = THIS_MODULE };
static DEFINE_PER_CPU(unsigned int, tracer_inside);
static atomic_t tracer_hits, tracer_nmis, tracer_refused;

/* A hit inside the handler does not count. Preemption is off. */
static int tracer_hit(struct kprobe *kp, struct pt_regs *regs)
{
	void *p, *q;

	if (this_cpu_inc_return(tracer_inside) == 1) {
		p = kmheap_alloc(tracer_heap, 64, GFP_ATOMIC | __GFP_NOWARN);
		q = kmheap_zalloc(tracer_heap, 256, GFP_NOWAIT | __GFP_NOWARN);
		atomic_inc(&tracer_hits);
		atomic_add(!p + !q, &tracer_refused);
		atomic_add(!!in_nmi(), &tracer_nmis);
		kmheap_free(p);
		kmheap_free_rcu(q);
		p = kmheap_alloc(tracer_heap, SZ_64K, GFP_ATOMIC | __GFP_NOWARN);
		kmheap_free(p);
	}
	this_cpu_dec(tracer_inside);
	return 0;
}

/* The traced work: all sizes, more objects than a CPU keeps of each. */
static int tracer_worker(void *unused)
{
	static const unsigned int sizes[] = { 64, 256, 1000, 5000, 20000, 40000 };
	void *v[60];
	unsigned int i, n;

	for (n = 0; !kthread_should_stop(); n++) {
		for (i = 0; i < ARRAY_SIZE(v); i++)
			v[i] = kmheap_alloc(tracer_heap, sizes[(n + i) % ARRAY_SIZE(sizes)],
					    GFP_KERNEL);
		for (i = 0; i < ARRAY_SIZE(v); i++)
			(i % 3 ? kmheap_free : kmheap_free_rcu)(v[i]);
		kmheap_free(kmheap_alloc(tracer_heap, SZ_2M, GFP_KERNEL));
		cond_resched();
	}
	return 0;
}

static int tracer_run(unsigned int ms)
{
	struct task_struct *task[TRACER_WORKERS];
	unsigned int n, tries, err = 0;

	for (n = 0; n < TRACER_WORKERS; n++) {
		task[n] = kthread_run(tracer_worker, NULL, "kmheap-traced/%u", n);
		if (IS_ERR(task[n])) {
			err = PTR_ERR(task[n]);
			break;
		}
	}
	for (tries = 0; tries < TRACER_TRIES && (!tries || !atomic_read(&tracer_hits)); tries++)
		msleep(ms);
	while (n)
		kthread_stop(task[--n]);
	return err;
}

/*
 * trace SYMBOL MS: MS milliseconds of work, more while there is no hit; fails when the function
 * cannot be traced.
 */
static int tracer_trace_cmd(char *args)
{
	struct kprobe kp = { .pre_handler = tracer_hit };
	unsigned int ms;
	char *name;
	int err;

	name = strsep(&args, " ");
	if (!args || kstrtouint(args, 0, &ms))
		return -EINVAL;
	kp.symbol_name = name;
	atomic_set(&tracer_hits, 0);
	atomic_set(&tracer_nmis, 0);
	atomic_set(&tracer_refused, 0);
	err = register_kprobe(&kp);
	if (err)
		return err;
	err = tracer_run(ms);
	unregister_kprobe(&kp);
	client_say("hits %d\nnmis %d\nrefused %d\nmissed %lu\n", atomic_read(&tracer_hits),
		   atomic_read(&tracer_nmis), atomic_read(&tracer_refused), kp.nmissed);
	kmheap_rcu_barrier(tracer_heap);
	return err;
}

static const struct client_command tracer_commands[] = {
	{ "trace", tracer_trace_cmd },
	{}
};

static int __init tracer_init(void)
{
	client_commands = tracer_commands;
	tracer_heap = kmheap_create("tracer", &tracer_attr);
	return PTR_ERR_OR_ZERO(tracer_heap);
}

static void __exit tracer_exit(void)
{
	kmheap_destroy(tracer_heap);
}

module_init(tracer_init);
module_exit(tracer_exit);
MODULE_DESCRIPTION("kmheap selftest: a tracer that allocates where kmheap holds a lock");
MODULE_LICENSE("GPL");
