// SPDX-License-Identifier: GPL-2.0
/*
 * A client where memory is short: what a heap gets, and what it takes for that, beside
 * kmalloc() in the same boot. Commands: see client_commands.
 */
#include <linux/delay.h>
#include <linux/kmheap.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/vmstat.h>

#include "client.h"

#define TRY	(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN)

static struct kmheap *heap;
static LIST_HEAD(hogged);

/* ---- memory that is hidden from everyone */

static void hog_page(struct page *page, unsigned int order)
{
	set_page_private(page, order);
	list_add(&page->lru, &hogged);
}

static void hog_release(void)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &hogged, lru)
		__free_pages(page, page_private(page));
	INIT_LIST_HEAD(&hogged);
}

/* Take pages until only @available are left, or as far as that goes without the reserves. */
#define HOG_ALL		LONG_MIN
static void hog_until(long available, bool single)
{
	unsigned int order = single ? 0 : 9;
	struct page *page;

	while (available == HOG_ALL || si_mem_available() > available) {
		page = alloc_pages(TRY | __GFP_NOMEMALLOC, order);
		if (page)
			hog_page(page, order);
		else if (order)
			order = 0;
		else
			break;
	}
}

static int run_hog(char *args)
{
	unsigned long mib;

	if (kstrtoul(args, 0, &mib))
		return -EINVAL;
	hog_until(mib << (20 - PAGE_SHIFT), false);
	client_say("available_kib %ld\n", si_mem_available() << (PAGE_SHIFT - 10));
	return 0;
}

static int run_release(char *args)
{
	hog_release();
	return 0;
}

/* Pages on the lists of the CPUs are free, too: tens of MiB at times. */
static unsigned long free_kib(void)
{
	unsigned long npages = global_zone_page_state(NR_FREE_PAGES);
	unsigned int i, cpu;
	int nid;

	for_each_online_node(nid) {
		for (i = 0; i < MAX_NR_ZONES; i++) {
			struct zone *zone = &NODE_DATA(nid)->node_zones[i];

			if (!populated_zone(zone))
				continue;
			for_each_online_cpu(cpu)
				npages += per_cpu_ptr(zone->per_cpu_pageset, cpu)->count;
		}
	}
	return npages << (PAGE_SHIFT - 10);
}

/* ---- objects, in a chain */

static void *chain_alloc(bool ours, size_t bytes, gfp_t gfp, void *chain)
{
	void **p = ours ? kmheap_alloc(heap, bytes, gfp) : kmalloc(bytes, gfp);

	if (p)
		*p = chain;
	return p;
}

static void chain_free(bool ours, void *chain)
{
	void *next;

	for (; chain; chain = next) {
		next = *(void **)chain;
		if (ours)
			kmheap_free(chain);
		else
			kfree(chain);
	}
}

/* Take every other page: half of the memory is free, in single pages. */
static void fragment(void)
{
	struct page *page, *next;
	unsigned int flags;

	hog_until(HOG_ALL, true);
	flags = memalloc_noreclaim_save();	/* the longer runs below the watermarks, too */
	while (free_kib() > 1024 && (page = alloc_page(GFP_KERNEL | __GFP_NOWARN)))
		hog_page(page, 0);
	memalloc_noreclaim_restore(flags);
	list_for_each_entry_safe(page, next, &hogged, lru) {
		if (!page_private(page) && page_to_pfn(page) & 1) {
			list_del(&page->lru);
			__free_page(page);
		}
	}
}

/*
 * fragmented PERCENT BYTES try|kernel: with memory free only in single pages, allocate
 * PERCENT of it in objects of BYTES, or as many as there are, first with kmalloc() and then from
 * the heap. Ends before others see memory like that.
 */
static void fragmented(bool ours, unsigned long percent, size_t bytes, gfp_t gfp)
{
	const char *who = ours ? "kmheap" : "kmalloc";
	void *objects = NULL, *p;
	unsigned long before, n;

	fragment();
	before = free_kib();
	for (n = 0; n * bytes / 1024 < before * percent / 100; n++) {
		p = chain_alloc(ours, bytes, gfp, objects);
		if (!p)
			break;
		objects = p;
	}
	client_say("%s_free_kib %lu\n%s_taken_kib %lu\n%s_left_kib %lu\n", who, before, who,
		   n * bytes / 1024, who, free_kib());
	hog_release();
	chain_free(ours, objects);
}

static int run_fragmented(char *args)
{
	unsigned long percent, bytes;
	char how[16];
	gfp_t gfp;

	if (sscanf(args, "%lu %lu %15s", &percent, &bytes, how) != 3)
		return -EINVAL;
	gfp = strcmp(how, "try") ? GFP_KERNEL : TRY;
	fragmented(false, percent, bytes, gfp);
	fragmented(true, percent, bytes, gfp);
	kmheap_shrink(heap);
	return 0;
}

/* Take all blocks that a heap could have, and those that the kernel makes by moving pages. */
static void hog_blocks(void)
{
	unsigned int order;
	struct page *page;

	for (order = 9; order >= get_order(SZ_64K); order--)
		while ((page = alloc_pages(GFP_KERNEL | __GFP_NOWARN | __GFP_NOMEMALLOC, order)))
			hog_page(page, order);
}

/*
 * blockless FLAGS BYTES N: how many of N objects of BYTES a new heap with FLAGS gets when memory is
 * free in single pages alone, and whether an object of 3 MiB is to be had. Ends as "fragmented".
 */
static int run_blockless(char *args)
{
	struct kmheap_attr attr = { .owner = THIS_MODULE };
	unsigned long bytes, n, got = 0;
	void *objects = NULL, *p;
	struct kmheap_stats st;
	struct kmheap *h;

	if (sscanf(args, "%u %lu %lu", &attr.flags, &bytes, &n) != 3 || bytes < sizeof(p))
		return -EINVAL;
	h = kmheap_create("blockless", &attr);
	if (IS_ERR(h))
		return PTR_ERR(h);
	fragment();
	hog_blocks();
	client_say("free_kib %lu\n", free_kib());
	for (; got < n && (p = kmheap_alloc(h, bytes, GFP_KERNEL | __GFP_NOWARN)); got++) {
		*(void **)p = objects;
		objects = p;
	}
	p = kmheap_alloc(h, 3 * SZ_1M, GFP_KERNEL | __GFP_NOWARN);
	kmheap_stats(h, &st);
	hog_release();
	client_say("got %lu\nlong %u\nrefused %llu\n", got, !!p, st.refused_allocs);
	kmheap_free(p);
	chain_free(true, objects);
	kmheap_destroy(h);
	return 0;
}

/* ---- allocations inside reclaim */

/* How much @n objects of @bytes take of the memory that only reclaim gets. */
static void memalloc(bool ours, unsigned long n, size_t bytes)
{
	const char *who = ours ? "kmheap" : "kmalloc";
	unsigned long before, least, got;
	void *objects = NULL, *p;
	unsigned int flags;

	hog_until(HOG_ALL, false);
	before = free_kib();
	flags = memalloc_noreclaim_save();
	for (got = 0; got < n; got++) {
		p = chain_alloc(ours, bytes, GFP_KERNEL | __GFP_NOWARN, objects);
		if (!p)
			break;
		objects = p;
	}
	memalloc_noreclaim_restore(flags);
	least = free_kib();
	hog_release();
	chain_free(ours, objects);
	client_say("%s_got %lu\n%s_before_kib %lu\n%s_took_kib %ld\n", who, got, who, before, who,
		   (long)(before - least));
}

/* memalloc N BYTES */
static int run_memalloc(char *args)
{
	unsigned long n, bytes;

	if (sscanf(args, "%lu %lu", &n, &bytes) != 2)
		return -EINVAL;
	memalloc(false, n, bytes);
	memalloc(true, n, bytes);
	return 0;
}

/* ---- for callers that cannot sleep */

/* Wait until the worker is done, or cannot do it: how fast it is does not matter here. */
static void wait_for_reserve(void)
{
	unsigned long end = jiffies + 10 * HZ;
	struct kmheap_stats st;

	do {
		msleep(20);
		kmheap_stats(heap, &st);
	} while (st.reserve_missing_bytes && time_before(jiffies, end));
}

/* Allocate @n objects of @bytes, in bursts. Returns how many were refused. */
static unsigned long atomic(bool ours, unsigned long n, size_t bytes, unsigned long burst)
{
	unsigned long refused = 0, i;
	void *objects = NULL, *p;

	for (i = 1; i <= n; i++) {
		p = chain_alloc(ours, bytes, GFP_ATOMIC | __GFP_NOWARN, objects);
		if (p)
			objects = p;
		else
			refused++;
		if (i % burst == 0)
			wait_for_reserve();
	}
	chain_free(ours, objects);
	return refused;
}

/* atomic N BYTES BURST */
static int run_atomic(char *args)
{
	unsigned long n, bytes, burst;

	if (sscanf(args, "%lu %lu %lu", &n, &bytes, &burst) != 3)
		return -EINVAL;
	client_say("kmalloc_refused %lu\n", atomic(false, n, bytes, burst));
	client_say("kmheap_refused %lu\n", atomic(true, n, bytes, burst));
	return 0;
}

/* reserve BYTES */
static int run_reserve(char *args)
{
	unsigned long bytes;

	return kstrtoul(args, 0, &bytes) ? -EINVAL : kmheap_set_reserve(heap, bytes);
}

/* cold N BYTES RESERVE: a burst into a new heap that has only its reserve. */
static int run_cold(char *args)
{
	struct kmheap *old = heap, *new;
	unsigned long n, bytes, reserve;
	int err;

	if (sscanf(args, "%lu %lu %lu", &n, &bytes, &reserve) != 3)
		return -EINVAL;
	new = kmheap_create("cold", NULL);
	if (IS_ERR(new))
		return PTR_ERR(new);
	err = kmheap_set_reserve(new, reserve);
	heap = new;
	preempt_disable();
	client_say("kmalloc_refused %lu\n", atomic(false, n, bytes, ULONG_MAX));
	client_say("kmheap_refused %lu\n", atomic(true, n, bytes, ULONG_MAX));
	preempt_enable();
	heap = old;
	kmheap_destroy(new);
	return err;
}

/* ---- allocations beside spans that are in use */

#define PROBES	16384U

/* The longest of PROBES allocations of @bytes, in us. */
static long long worst_us(size_t bytes)
{
	long long worst = 0, us;
	void *objects = NULL;
	unsigned int i;
	ktime_t from;

	for (i = 0; i < PROBES; i++) {
		from = ktime_get();
		objects = chain_alloc(true, bytes, GFP_KERNEL, objects) ?: objects;
		us = ktime_us_delta(ktime_get(), from);
		worst = max(worst, us);
	}
	chain_free(true, objects);
	kmheap_shrink(heap);
	return worst;
}

/* beside SPANS: how long an allocation takes, without and with SPANS partial spans. */
static int run_beside(char *args)
{
	unsigned long n, i;
	void **p;

	if (kstrtoul(args, 0, &n))
		return -EINVAL;
	n *= KMHEAP_PAGE_SIZE / 1024;
	p = vzalloc(n * sizeof(*p));
	if (!p)
		return -ENOMEM;
	client_say("alone_us %lld\n", worst_us(2048));
	for (i = 0; i < n; i++)
		p[i] = kmheap_alloc(heap, 1024, GFP_KERNEL);
	for (i = 0; i < n; i++) {
		if (i % 8) {
			kmheap_free(p[i]);
			p[i] = NULL;
		}
	}
	kmheap_shrink(heap);
	client_say("beside_us %lld\n", worst_us(2048));
	kmheap_free_bulk(n, p);
	vfree(p);
	return 0;
}

static const struct client_command commands[] = {
	{ "hog", run_hog },
	{ "release", run_release },
	{ "fragmented", run_fragmented },
	{ "blockless", run_blockless },
	{ "memalloc", run_memalloc },
	{ "atomic", run_atomic },
	{ "reserve", run_reserve },
	{ "cold", run_cold },
	{ "beside", run_beside },
	{ }
};

static int __init supply_init(void)
{
	client_commands = commands;
	heap = kmheap_create("supply", NULL);
	return PTR_ERR_OR_ZERO(heap);
}

static void __exit supply_exit(void)
{
	hog_release();
	kmheap_destroy(heap);
}

module_init(supply_init);
module_exit(supply_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("kmheap selftests: where memory is short");
