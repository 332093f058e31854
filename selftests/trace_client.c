// SPDX-License-Identifier: GPL-2.0
/*
 * A client that allocates and frees in every way there is, each by a function of its own and so
 * many times, for the events of allocations and frees.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/kmheap.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/smp.h>
#include <linux/sizes.h>
#include <linux/workqueue.h>

#include "client.h"

#define MOST_OBJECTS	1000U

static struct kmheap *trace_heap;
static struct kmheap_cache *trace_cache;
static struct kmheap_mempool_size trace_elements = { .bytes = 100 };
static void *p[MOST_OBJECTS];
static unsigned int n;			/* objects of each way */
static unsigned int failed;

/* The bodies differ, or the compiler makes one function of them; and no call is the last thing. */
#define TRACE_ALLOC(name, call)								\
static noinline void trace_alloc_##name(void)						\
{											\
	unsigned int i;									\
											\
	for (i = 0; i < n; i++) {							\
		p[i] = call;								\
		failed += !p[i];							\
	}										\
}

#define TRACE_FREE(name, from, call)							\
static noinline void trace_free_##name(void)						\
{											\
	unsigned int i;									\
											\
	for (i = from; i < n; i++)							\
		call;									\
}

TRACE_ALLOC(task, kmheap_alloc(trace_heap, 64, GFP_KERNEL))
TRACE_ALLOC(softirq, kmheap_alloc(trace_heap, 200, GFP_ATOMIC))
TRACE_ALLOC(waiting, kmheap_zalloc(trace_heap, 256, GFP_KERNEL))
TRACE_ALLOC(large, kmheap_alloc(trace_heap, 50000 + i, GFP_KERNEL))
TRACE_ALLOC(packed, kmheap_alloc_data(trace_heap, 8, GFP_KERNEL))
TRACE_ALLOC(pages, kmheap_alloc_pages(trace_heap, 3, GFP_KERNEL))
TRACE_ALLOC(cache, kmheap_cache_alloc(trace_cache, GFP_KERNEL))
TRACE_ALLOC(element, kmheap_mempool_alloc(GFP_KERNEL, trace_cache))
TRACE_ALLOC(node, kmheap_alloc_node(trace_heap, 1000, GFP_KERNEL, numa_mem_id()))
TRACE_ALLOC(moving, kmheap_alloc(trace_heap, 32, GFP_KERNEL))

TRACE_FREE(task, 0, kmheap_free(p[i]))
TRACE_FREE(elsewhere, n / 2, kmheap_free(p[i]))
TRACE_FREE(interrupt, 0, if (i < n / 2) kmheap_free(p[i]))
TRACE_FREE(sized, 0, kmheap_free_sized(p[i], 200))
TRACE_FREE(waiting, 0, kmheap_free_rcu(p[i]))
TRACE_FREE(pages, 0, kmheap_free_pages(p[i], 3))
TRACE_FREE(cache, 0, kmheap_cache_free(trace_cache, p[i]))
TRACE_FREE(element, 0, kmheap_mempool_free(p[i], trace_cache))
TRACE_FREE(element_sized, 0, kmheap_mempool_free_sized(p[i], &trace_elements))
TRACE_FREE(sensitive, 0, kmheap_free_sensitive(p[i]))

static noinline void trace_move(void)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		p[i] = kmheap_realloc(trace_heap, p[i], 500, GFP_KERNEL);
		failed += !p[i];
	}
}

static noinline void trace_alloc_bulk(void)
{
	failed += kmheap_alloc_bulk(trace_heap, 128, GFP_KERNEL, n, p) != n;
}

static noinline void trace_free_bulk(void)
{
	kmheap_free_bulk(n, p);
	barrier();
}

static noinline void trace_alloc_cache_bulk(void)
{
	failed += kmheap_cache_alloc_bulk(trace_cache, GFP_KERNEL, n, p) != n;
}

static noinline void trace_free_cache_bulk(void)
{
	kmheap_cache_free_bulk(trace_cache, n, p);
	barrier();
}

static noinline void trace_ticket(void)
{
	struct kmheap_ticket t = KMHEAP_TICKET_INIT;

	failed += !!kmheap_prefill(&t, trace_heap, 48, n, GFP_KERNEL);
	kmheap_ticket_end(&t);
	barrier();
}

/* ---- in a softirq, and on another CPU */

static DECLARE_COMPLETION(trace_done);

static void trace_tasklet_fn(struct tasklet_struct *t)
{
	trace_alloc_softirq();
	complete(&trace_done);
}

static void trace_in_softirq(void)
{
	struct tasklet_struct tasklet;

	tasklet_setup(&tasklet, trace_tasklet_fn);
	reinit_completion(&trace_done);
	tasklet_schedule(&tasklet);
	wait_for_completion(&trace_done);
	tasklet_kill(&tasklet);
}

static void trace_work_fn(struct work_struct *work)
{
	trace_free_elsewhere();
	barrier();
}

static void trace_ipi_fn(void *unused)
{
	trace_free_interrupt();
	barrier();
}

/* Half of the objects in an interrupt of another CPU, the others in a task there. */
static int trace_on_other_cpu(void)
{
	int cpu, err;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, trace_work_fn);
	cpu = cpumask_any_but(cpu_online_mask, get_cpu());
	err = cpu < nr_cpu_ids ? smp_call_function_single(cpu, trace_ipi_fn, NULL, true) : -ENODEV;
	put_cpu();
	if (!err) {
		schedule_work_on(cpu, &work);
		flush_work(&work);
	}
	destroy_work_on_stack(&work);
	return err;
}

/* ---- commands */

/* run N: N objects of each way, all of which are freed. */
static int trace_run(char *args)
{
	int err;

	if (kstrtouint(args, 10, &n) || n > MOST_OBJECTS)
		return -EINVAL;
	failed = 0;
	trace_alloc_task();
	err = trace_on_other_cpu();
	if (err)
		return err;
	trace_in_softirq();
	trace_free_sized();
	trace_alloc_bulk();
	trace_free_bulk();
	trace_alloc_waiting();
	trace_free_waiting();
	trace_alloc_large();
	trace_free_task();
	trace_alloc_large();
	trace_free_waiting();
	trace_alloc_packed();
	trace_free_task();
	trace_alloc_pages();
	trace_free_pages();
	trace_alloc_cache();
	trace_free_cache();
	trace_alloc_cache_bulk();
	trace_free_cache_bulk();
	trace_alloc_element();
	trace_free_element();
	trace_alloc_element();
	trace_free_element_sized();
	trace_alloc_node();
	trace_free_sensitive();
	trace_alloc_moving();
	trace_move();
	trace_free_task();
	trace_ticket();
	client_say("failed %u\n", failed);
	return failed ? -ENOMEM : 0;
}

/* hold N: N objects live from here on; drop: they are freed. */
static int trace_hold(char *args)
{
	if (kstrtouint(args, 10, &n) || n > MOST_OBJECTS)
		return -EINVAL;
	failed = 0;
	trace_alloc_task();
	return failed ? -ENOMEM : 0;
}

static int trace_drop(char *args)
{
	trace_free_task();
	return 0;
}

/* begin NAME: make a heap of that name; end: destroy it. */
static int trace_begin(char *args)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE, .reserve_bytes = SZ_1M };
	const struct kmheap_cache_args of = { .name = "traced", .size = 100 };
	struct kmheap *heap;

	if (trace_heap)
		return -EEXIST;
	heap = kmheap_create(args, &attr);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	trace_heap = heap;
	trace_cache = kmheap_cache_create(heap, &of);
	return PTR_ERR_OR_ZERO(trace_cache);
}

static int trace_end(char *args)
{
	if (!IS_ERR_OR_NULL(trace_cache))
		kmheap_cache_destroy(trace_cache);
	trace_cache = NULL;
	kmheap_destroy(trace_heap);
	trace_heap = NULL;
	return 0;
}

static const struct client_command commands[] = {
	{ "begin", trace_begin },
	{ "end", trace_end },
	{ "run", trace_run },
	{ "hold", trace_hold },
	{ "drop", trace_drop },
	{}
};

static int __init trace_client_init(void)
{
	client_commands = commands;
	return 0;
}

static void __exit trace_client_exit(void)
{
	trace_end(NULL);
}

module_init(trace_client_init);
module_exit(trace_client_exit);
MODULE_DESCRIPTION("kmheap selftest: allocations and frees of all kinds, for their events");
MODULE_LICENSE("GPL");
