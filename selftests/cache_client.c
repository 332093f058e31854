// SPDX-License-Identifier: GPL-2.0
/*
 * A client with typed caches in a heap: what is refused, what is left, and what a cache costs
 * beside a kmem_cache.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/kmheap.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "client.h"

struct flow {
	unsigned long constructed;
	char rest[92];
};

static struct kmheap *heap;
static struct kmheap_cache *plain, *built, *typed;
static struct kmheap_cache *const *const all[] = { &plain, &built, &typed };
static struct flow *flows[3][100];
static unsigned int nflows;

static void flow_construct(void *p)
{
	struct flow *flow = p;

	flow->constructed = 4711;
}

/* fill: 100 objects of each cache. */
static int run_fill(char *args)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		if (kmheap_cache_alloc_bulk(*all[i], GFP_KERNEL, 100, (void **)flows[i]) != 100)
			return -ENOMEM;
	for (i = 0; i < 100; i++)
		if (flows[1][i]->constructed != 4711)
			return -EIO;
	nflows = 100;
	return 0;
}

/* empty: all of them but 3 of "plain". */
static int run_empty(char *args)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		kmheap_cache_free_bulk(*all[i], nflows - (i ? 0 : 3), (void **)flows[i]);
	nflows = 0;
	kmheap_rcu_barrier(heap);
	return 0;
}

/* zalloc: of a cache with a constructor, in two ways. */
static int run_zalloc(char *args)
{
	return kmheap_cache_zalloc(built, GFP_KERNEL) ||
	       kmheap_cache_alloc_node(built, GFP_KERNEL | __GFP_ZERO, 0) ? -EIO : 0;
}

static struct kmheap_mempool_size sized = { .bytes = 3000 };
static mempool_t *pools[2];

/* pools: a mempool of 10 objects of "plain", and one of 10 of the heap. */
static int run_pools(char *args)
{
	sized.heap = heap;
	pools[0] = mempool_create(10, kmheap_mempool_alloc, kmheap_mempool_free, plain);
	pools[1] = mempool_create(10, kmheap_mempool_alloc_sized, kmheap_mempool_free_sized,
				  &sized);
	return pools[0] && pools[1] ? 0 : -ENOMEM;
}

/* no_pools: give an element of each to and fro, and end them. */
static int run_no_pools(char *args)
{
	struct kmheap_object obj;
	unsigned int i;
	void *p;

	for (i = 0; i < 2; i++) {
		p = mempool_alloc(pools[i], GFP_KERNEL);
		if (!kmheap_lookup(p, &obj) || obj.heap != heap)
			return -EIO;
		mempool_free(p, pools[i]);
		mempool_destroy(pools[i]);
	}
	return 0;
}

/* wrong: an object to another cache. */
static int run_wrong(char *args)
{
	kmheap_cache_free(built, flows[0][0]);
	return 0;
}

/* end: "plain", with what is left of it; and again, and what comes too late. */
static int run_end(char *args)
{
	kmheap_cache_destroy(plain);
	return 0;
}

static int run_late(char *args)
{
	if (kmheap_cache_alloc(plain, GFP_KERNEL))
		return -EIO;
	kmheap_cache_free(plain, flows[0][99]);
	kmheap_cache_destroy(plain);
	kmheap_free_bulk(3, (void **)flows[0] + 97);
	return 0;
}

/* too_many: caches until there are no more. */
static int run_too_many(char *args)
{
	struct kmheap_cache_args of = { .name = "more", .size = 8 };
	struct kmheap_cache *more[100];
	unsigned int n = 0;

	while (n < ARRAY_SIZE(more)) {
		more[n] = kmheap_cache_create(heap, &of);
		if (IS_ERR(more[n]))
			break;
		n++;
	}
	client_say("more %u\n", n);
	client_say("error %ld\n", n < ARRAY_SIZE(more) ? PTR_ERR(more[n]) : 0);
	while (n)
		kmheap_cache_destroy(more[--n]);
	return 0;
}

#define NCOST	20
#define NKERNELS	400	/* what one takes is less than what memory is counted in */

/* cost: bytes of an empty cache, here and there. */
static int run_cost(char *args)
{
	struct kmheap_cache_args of = { .name = "cost", .size = 64 };
	struct kmheap_cache *ours[NCOST];
	static struct kmem_cache *kernels[NKERNELS];
	struct sysinfo before, after;
	struct kmheap_stats st[2];
	unsigned int i;
	char name[16];

	if (kmheap_stats(heap, &st[0]))
		return -ENOMEM;
	for (i = 0; i < NCOST; i++) {
		ours[i] = kmheap_cache_create(heap, &of);
		if (IS_ERR(ours[i]))
			return PTR_ERR(ours[i]);
	}
	if (kmheap_stats(heap, &st[1]))
		return -ENOMEM;
	client_say("cache_bytes %lld\n",
		   (st[1].footprint_bytes - st[0].footprint_bytes) / NCOST);
	for (i = 0; i < NCOST; i++)
		kmheap_cache_destroy(ours[i]);
	si_meminfo(&before);
	for (i = 0; i < NKERNELS; i++) {
		snprintf(name, sizeof(name), "cost%u", i);
		/* With a constructor, so that it is not merged with another one. */
		kernels[i] = kmem_cache_create(name, 64, 0, 0, flow_construct);
		if (!kernels[i])
			return -ENOMEM;
	}
	si_meminfo(&after);
	client_say("kmem_cache_bytes %ld\n",
		   (long)(before.freeram - after.freeram) * (long)PAGE_SIZE / NKERNELS);
	for (i = 0; i < NKERNELS; i++)
		kmem_cache_destroy(kernels[i]);
	return 0;
}

static const struct client_command commands[] = {
	{ "pools", run_pools }, { "no_pools", run_no_pools }, { "fill", run_fill },
	{ "empty", run_empty }, { "zalloc", run_zalloc },
	{ "wrong", run_wrong }, { "end", run_end }, { "late", run_late },
	{ "too_many", run_too_many }, { "cost", run_cost },
	{ }
};

static struct kmheap_cache *cache_of(const char *name, unsigned int flags, void (*ctor)(void *p))
{
	struct kmheap_cache_args args = {
		.name = name, .size = sizeof(struct flow), .flags = flags, .ctor = ctor,
	};

	return kmheap_cache_create(heap, &args);
}

static int __init cache_client_init(void)
{
	heap = kmheap_create("caches", &(struct kmheap_attr){ .owner = THIS_MODULE });
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	plain = cache_of("plain", KMHEAP_CACHE_HWCACHE_ALIGN, NULL);
	built = cache_of("built", 0, flow_construct);
	typed = cache_of("typed one", KMHEAP_CACHE_TYPESAFE_BY_RCU, NULL);
	if (IS_ERR(plain) || IS_ERR(built) || IS_ERR(typed)) {
		kmheap_destroy(heap);
		return -ENOMEM;
	}
	client_commands = commands;
	return 0;
}

/* "built" is left to the heap. */
static void __exit cache_client_exit(void)
{
	kmheap_cache_destroy(typed);
	kmheap_destroy(heap);
}

module_init(cache_client_init);
module_exit(cache_client_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test client: typed caches");
