// SPDX-License-Identifier: GPL-2.0
/*
 * A client that leaves objects behind in each of twelve functions, some of every kind, when its
 * heap ends with the module: what a leak report has to name. What it frees is not to be in it.
 */
#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kmheap.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "client.h"

static char *name = "leaks";
module_param(name, charp, 0444);
MODULE_PARM_DESC(name, "the heap's");

/* What the compiler knew, it would make copies of functions for, with names of their own. */
static unsigned int times = 1;
module_param(times, uint, 0444);
MODULE_PARM_DESC(times, "how often everything is left");

static struct kmheap *leak_heap;
static struct kmheap_cache *leak_cache;

/* What nobody frees says whose it is. */
static void leak_write(void *p, const char *text)
{
	if (p)
		memcpy(p, text, strlen(text));
}

/* The bodies differ, or the compiler makes one function of them. */
static noinline int leak_list(unsigned int n)
{
	while (n--)
		leak_write(kmheap_zalloc(leak_heap, 40, GFP_KERNEL), "of a list");
	return 0;
}

static noinline int leak_table(unsigned int n)
{
	void *p = NULL;

	for (; n; n--)
		p = kmheap_zalloc(leak_heap, 3000, GFP_KERNEL);
	leak_write(p, "a table");
	return 0;
}

static noinline int leak_text(unsigned int n)
{
	while (n--)
		leak_write(kmheap_alloc_data(leak_heap, 8, GFP_KERNEL), "text");
	barrier();
	return 0;
}

static noinline int leak_large(unsigned int n)
{
	while (n--)
		leak_write(kmheap_alloc(leak_heap, 300000, GFP_KERNEL), "large");
	return 1;
}

static noinline int leak_atomic(unsigned int n)
{
	while (n--)
		leak_write(kmheap_zalloc(leak_heap, 200, GFP_ATOMIC), "atomic");
	return 2;
}

static noinline int leak_bulk(unsigned int n)
{
	void *p[8];

	n = kmheap_alloc_bulk(leak_heap, 128, GFP_KERNEL | __GFP_ZERO, min(n, 8U), p);
	while (n--)
		leak_write(p[n], "bulk");
	return 3;
}

static noinline int leak_node(unsigned int n)
{
	while (n--)
		leak_write(kmheap_alloc_node(leak_heap, 1000, GFP_KERNEL, numa_node_id()), "node");
	return 4;
}

static noinline int leak_cached(unsigned int n)
{
	while (n--)
		leak_write(kmheap_cache_alloc(leak_cache, GFP_KERNEL | __GFP_ZERO), "cached");
	return 5;
}

/* Objects that are moved are the mover's. */
static noinline int leak_moved(unsigned int n)
{
	void *p;

	while (n--) {
		p = kmheap_zalloc(leak_heap, 24, GFP_KERNEL);
		p = kmheap_realloc(leak_heap, p, 500, GFP_KERNEL | __GFP_ZERO);
		leak_write(p, "moved");
	}
	return 6;
}

static unsigned int leak_irq_n;

static noinline void leak_interrupt(struct irq_work *work)
{
	unsigned int n = leak_irq_n;

	while (n--)
		leak_write(kmheap_zalloc(leak_heap, 72, GFP_ATOMIC), "interrupt");
	barrier();
}

static noinline int leak_copy(unsigned int n)
{
	while (n--)
		if (!kmheap_strdup(leak_heap, "a name that is too long to be packed", GFP_KERNEL))
			return -ENOMEM;
	return 7;
}

/* Objects that are freed: none of them is in the report. */
static noinline int leak_not(unsigned int n)
{
	while (n--)
		kmheap_free(kmheap_alloc(leak_heap, 40, GFP_KERNEL));
	return 8;
}

/*
 * Each way through these calls is a call site of its own: there are 2 to the power of @levels. The
 * counters keep the compiler from making one call of the two.
 */
static unsigned int leak_turns[2];

static noinline void *leak_way(unsigned int way, unsigned int levels)
{
	void *p;

	if (!levels)
		return kmheap_zalloc(leak_heap, 64, GFP_KERNEL);
	if (way & 1) {
		p = leak_way(way >> 1, levels - 1);
		leak_turns[0]++;
	} else {
		p = leak_way(way >> 1, levels - 1);
		leak_turns[1]++;
	}
	return p;
}

/* ways N: an object of each of N ways, of the first twelve 2, 3, ... 13. */
static int leak_ways(char *args)
{
	unsigned int n, way, count;

	if (kstrtouint(args, 10, &n) || n > 2048)
		return -EINVAL;
	for (way = 0; way < n; way++)
		for (count = way < 12 ? way + 2 : 1; count; count--)
			if (!leak_way(way, 11))
				return -ENOMEM;
	return 0;
}

/* An object that is freed a grace period after its heap's end: too late. */
static bool late;
module_param(late, bool, 0444);
MODULE_PARM_DESC(late, "free an object when its heap is gone");

static struct rcu_head leak_rcu;
static void *leak_late_object;

static void leak_freed_late(struct rcu_head *unused)
{
	kmheap_free(leak_late_object);
}

static noinline void leak_late(void)
{
	leak_late_object = kmheap_zalloc(leak_heap, 48, GFP_KERNEL);
	leak_write(leak_late_object, "late");
}

static noinline int __init leak_from_init(unsigned int n)
{
	while (n--)
		leak_write(kmheap_zalloc(leak_heap, 96, GFP_KERNEL), "init");
	return 9;
}

static int leak_all(char *args)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(leak_interrupt);
	unsigned int n = READ_ONCE(times);

	leak_irq_n = 10;
	irq_work_queue(&work);
	irq_work_sync(&work);
	return leak_list(12 * n) + leak_table(11 * n) + leak_text(9 * n) + leak_large(2 * n) +
	       leak_atomic(8 * n) + leak_bulk(7 * n) + leak_node(6 * n) + leak_cached(5 * n) +
	       leak_moved(4 * n) + leak_copy(3 * n) + leak_not(1000 * n) < 0;
}

static const struct client_command commands[] = {
	{ "all", leak_all },
	{ "ways", leak_ways },
	{}
};

static int __init leak_client_init(void)
{
	client_commands = commands;
	leak_heap = kmheap_create(name, &(struct kmheap_attr){ .owner = THIS_MODULE });
	if (IS_ERR(leak_heap))
		return PTR_ERR(leak_heap);
	leak_cache = kmheap_cache_create(leak_heap, &(struct kmheap_cache_args){
		.name = "leak", .size = 56 });
	if (IS_ERR(leak_cache)) {
		kmheap_destroy(leak_heap);
		return PTR_ERR(leak_cache);
	}
	leak_from_init(READ_ONCE(times));
	if (late)
		leak_late();
	return 0;
}

static void __exit leak_client_exit(void)
{
	/* What kmheap frees a grace period later is in time. */
	kmheap_free_rcu(kmheap_alloc(leak_heap, 40, GFP_KERNEL));
	kmheap_destroy(leak_heap);
	if (leak_late_object) {
		call_rcu(&leak_rcu, leak_freed_late);
		rcu_barrier();
	}
}

module_init(leak_client_init);
module_exit(leak_client_exit);
MODULE_DESCRIPTION("kmheap selftest: objects that are left behind");
MODULE_LICENSE("GPL");
