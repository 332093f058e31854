// SPDX-License-Identifier: GPL-2.0
/*
 * A module that knows nothing of kmheap, for the advisor to watch: it allocates in every way that
 * the advisor knows, in several contexts, and each count here is what the test expects there.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "client.h"

#define MOST_OBJECTS	4096U

struct victim_rcu {
	long value;
	struct rcu_head head;
};

/* A kind of object, and those that live: freed in the order in which they came. */
struct victim_kind {
	const char *name;
	void *(*alloc)(size_t bytes);
	void (*free)(const void *p, size_t bytes);
	size_t bytes;
	void *p[MOST_OBJECTS];
	unsigned int first, n;
};

static struct kmem_cache *victim_cache;

/* The bodies differ, or the compiler makes one function of them. */
static noinline void *victim_leaf(size_t bytes)
{
	void *p = kmalloc(bytes, GFP_KERNEL);

	barrier();
	return p;
}

static noinline void *victim_table(size_t bytes)
{
	void *p = kzalloc(bytes, GFP_KERNEL | __GFP_NORETRY);

	barrier();
	return p;
}

/* The kernel's function allocates; it is the module's all the same. */
static noinline void *victim_text(size_t bytes)
{
	char *p = kasprintf(GFP_KERNEL, "%*s", (int)bytes - 1, "victim");

	barrier();
	return p;
}

static noinline void *victim_slab(size_t bytes)
{
	void *p = kmem_cache_alloc(victim_cache, GFP_KERNEL);

	barrier();
	return p;
}

static noinline void *victim_pages(size_t bytes)
{
	unsigned long p = __get_free_pages(GFP_KERNEL | __GFP_NOWARN, get_order(bytes));

	barrier();
	return (void *)p;
}

static noinline void *victim_area(size_t bytes)
{
	void *p = vmalloc(bytes);

	barrier();
	return p;
}

static noinline void *victim_percpu(size_t bytes)
{
	void __percpu *p = __alloc_percpu(bytes, 8);

	barrier();
	return (__force void *)p;
}

/* Of what is there: sooner or later there is no more. */
static noinline void *victim_percpu_now(size_t bytes)
{
	void __percpu *p = __alloc_percpu_gfp(bytes, 8, GFP_NOWAIT | __GFP_NOWARN);

	barrier();
	return (__force void *)p;
}

static void *victim_got;
static atomic_t victim_waits;

static noinline void victim_interrupt_fn(struct irq_work *work)
{
	victim_got = kmalloc(*(size_t *)victim_got, GFP_ATOMIC);
	atomic_set_release(&victim_waits, 0);
}

static struct irq_work victim_work = IRQ_WORK_INIT(victim_interrupt_fn);

static noinline void *victim_interrupt(size_t bytes)
{
	victim_got = &bytes;
	atomic_set(&victim_waits, 1);
	irq_work_queue(&victim_work);
	while (atomic_read_acquire(&victim_waits))
		cpu_relax();
	return victim_got;
}

static void victim_soft_fn(struct tasklet_struct *unused)
{
	victim_got = kzalloc(*(size_t *)victim_got, GFP_ATOMIC);
}

static DECLARE_TASKLET(victim_tasklet, victim_soft_fn);

static noinline void *victim_softirq(size_t bytes)
{
	victim_got = &bytes;
	local_bh_disable();
	tasklet_schedule(&victim_tasklet);
	local_bh_enable();
	tasklet_unlock_wait(&victim_tasklet);
	return victim_got;
}

static void victim_kfree(const void *p, size_t bytes)
{
	kfree(p);
}

static void victim_kfree_rcu(const void *p, size_t bytes)
{
	struct victim_rcu *r = (void *)p;

	kfree_rcu(r, head);
}

/* Without a head in the object the kernel takes pages for pointers, and keeps some. */
static void victim_kfree_rcu_headless(const void *p, size_t bytes)
{
	void *object = (void *)p;

#ifdef kfree_rcu_mightsleep
	kfree_rcu_mightsleep(object);
#else
	kvfree_rcu(object);
#endif
}

static void victim_kfree_bulk(const void *p, size_t bytes)
{
	void *all[] = { (void *)p };

	kfree_bulk(1, all);
}

static void victim_cache_free(const void *p, size_t bytes)
{
	kmem_cache_free(victim_cache, (void *)p);
}

static void victim_pages_free(const void *p, size_t bytes)
{
	free_pages((unsigned long)p, get_order(bytes));
}

static void victim_area_free(const void *p, size_t bytes)
{
	vfree(p);
}

static void victim_percpu_free(const void *p, size_t bytes)
{
	free_percpu((__force void __percpu *)p);
}

static struct victim_kind kinds[] = {
	{ "leaf", victim_leaf, victim_kfree, 40 },
	{ "table", victim_table, victim_kfree, 3172 },
	{ "big", victim_leaf, victim_kfree, 300 << 10 },
	{ "text", victim_text, victim_kfree, 70 },
	{ "rcu", victim_table, victim_kfree_rcu, 130 },
	{ "headless", victim_leaf, victim_kfree_rcu_headless, 130 },
	{ "bulk", victim_leaf, victim_kfree_bulk, 200 },
	{ "slab", victim_slab, victim_cache_free, 520 },
	{ "pages", victim_pages, victim_pages_free, 8 * PAGE_SIZE },
	{ "area", victim_area, victim_area_free, 100 << 10 },
	{ "percpu", victim_percpu, victim_percpu_free, 24 },
	{ "percpu_now", victim_percpu_now, victim_percpu_free, 32 << 10 },
	{ "interrupt", victim_interrupt, victim_kfree, 90 },
	{ "softirq", victim_softirq, victim_kfree, 96 },
};

static struct victim_kind *victim_kind(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

static int victim_alloc(struct victim_kind *kind)
{
	void *p;

	if (kind->n == MOST_OBJECTS)
		return -ENOSPC;
	p = kind->alloc(kind->bytes);
	if (!p)
		return -ENOMEM;
	kind->p[(kind->first + kind->n++) % MOST_OBJECTS] = p;
	return 0;
}

static void victim_free(struct victim_kind *kind)
{
	kind->free(kind->p[kind->first], kind->bytes);
	kind->first = (kind->first + 1) % MOST_OBJECTS;
	kind->n--;
}

/* alloc KIND N */
static int run_alloc(char *args)
{
	char name[16];
	unsigned int n;
	int err = 0;

	if (sscanf(args, "%15s %u", name, &n) != 2 || !victim_kind(name))
		return -EINVAL;
	while (!err && n--)
		err = victim_alloc(victim_kind(name));
	return err;
}

/* free KIND N: or as many as there are. */
static int run_free(char *args)
{
	char name[16];
	unsigned int n;

	if (sscanf(args, "%15s %u", name, &n) != 2 || !victim_kind(name))
		return -EINVAL;
	while (n-- && victim_kind(name)->n)
		victim_free(victim_kind(name));
	return 0;
}

/* pairs N: so many objects of 64 bytes, each freed at once; how long that takes. */
static int run_pairs(char *args)
{
	unsigned int n, i;
	u64 begun;

	if (kstrtouint(args, 10, &n))
		return -EINVAL;
	begun = ktime_get_ns();
	for (i = 0; i < n; i++)
		kfree(kmalloc(64, GFP_KERNEL));
	client_say("ns %llu\n", ktime_get_ns() - begun);
	return 0;
}

/* live: how many objects there are of each kind. */
static int run_live(char *args)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		client_say("%s %u\n", kinds[i].name, kinds[i].n);
	return 0;
}

/* bulk N: so many objects of the cache are freed at once. */
static int run_bulk(char *args)
{
	struct victim_kind *kind = victim_kind("slab");
	unsigned int n;

	if (kstrtouint(args, 10, &n) || n > kind->n || kind->first + n > MOST_OBJECTS)
		return -EINVAL;
	kmem_cache_free_bulk(victim_cache, n, kind->p + kind->first);
	kind->first += n;
	kind->n -= n;
	return 0;
}

/* end: free all. */
static int run_end(char *args)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		while (kinds[i].n)
			victim_free(&kinds[i]);
	return 0;
}

static const struct client_command commands[] = {
	{ "alloc", run_alloc },
	{ "free", run_free },
	{ "bulk", run_bulk },
	{ "live", run_live },
	{ "pairs", run_pairs },
	{ "end", run_end },
	{}
};

static void *victim_kept;

/* A cache with a constructor is no other cache's. */
static void victim_slab_ctor(void *p)
{
}

static noinline void *victim_from_init(void)
{
	void *p = kmalloc(50, GFP_KERNEL);

	barrier();
	return p;
}

static int __init victim_init(void)
{
	client_commands = commands;
	victim_cache = kmem_cache_create("victim_slab", 520, 8, 0, victim_slab_ctor);
	if (!victim_cache)
		return -ENOMEM;
	victim_kept = victim_from_init();
	return 0;
}

/* What is live now is left behind, but for objects of the cache. */
static void __exit victim_exit(void)
{
	struct victim_kind *kind = victim_kind("slab");

	while (kind->n)
		victim_free(kind);
	kfree(victim_kept);
	tasklet_kill(&victim_tasklet);
	irq_work_sync(&victim_work);
	kmem_cache_destroy(victim_cache);
}

module_init(victim_init);
module_exit(victim_exit);
MODULE_DESCRIPTION("kmheap selftest: a module that does not use kmheap");
MODULE_LICENSE("GPL");
