/* SPDX-License-Identifier: GPL-2.0 */
/* Three ways to free after a grace period, and how to see that what was freed is back. */
#ifndef _KMHEAP_BENCH_RCU_SIDES_H
#define _KMHEAP_BENCH_RCU_SIDES_H

#include <linux/delay.h>
#include <linux/kmheap.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmstat.h>

/* Up to 6.1 (before 6.1.y had the new name) the macro took one argument or two. */
#ifndef kfree_rcu_mightsleep
#define kfree_rcu_mightsleep(p)	kvfree_rcu(p)
#endif

enum side { KMHEAP, KFREE_RCU, MIGHTSLEEP, NR_SIDES };

static const char * const side_names[NR_SIDES] = { "kmheap", "kfree_rcu", "mightsleep" };

struct headed {
	struct rcu_head rh;
	u8 payload[];
};

static struct kmheap *heap;

static __always_inline void *take(enum side side, size_t bytes)
{
	switch (side) {
	case KMHEAP:
		return kmheap_alloc(heap, bytes, GFP_KERNEL);
	case KFREE_RCU:
		return kmalloc(sizeof(struct headed) + bytes, GFP_KERNEL);
	default:
		return kmalloc(bytes, GFP_KERNEL);
	}
}

static __always_inline void give(enum side side, void *p)
{
	struct headed *h = p;

	switch (side) {
	case KMHEAP:
		kmheap_free_rcu(p);
		break;
	case KFREE_RCU:
		kfree_rcu(h, rh);
		break;
	default:
		kfree_rcu_mightsleep(p);
	}
}

/* ---- memory */

static long slab_pages(void)
{
	return global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B);
}

/*
 * Bytes that a side has taken: the heap's footprint, metadata and all; pages of all slabs,
 * without the blocks in which kfree_rcu() keeps pointers. Free RAM would count those, but
 * not see what comes from the page allocator's lists of each CPU, which may be many MiB.
 */
static u64 memory_taken(enum side side)
{
	struct kmheap_stats st;

	if (side != KMHEAP)
		return (u64)slab_pages() * PAGE_SIZE;
	kmheap_stats(heap, &st);
	return st.footprint_bytes;
}

/* Are objects pending? @limit is for slabs. */
static bool is_back(enum side side, long limit)
{
	struct kmheap_stats st;

	if (side != KMHEAP)
		return slab_pages() <= limit;
	kmheap_stats(heap, &st);
	return !st.deferred_objects;
}

/* What slabs may still have when there were @base before and there are so many now. */
static long back_limit(long base)
{
	return base + max((slab_pages() - base) / 5, (long)(SZ_1M / PAGE_SIZE));
}

/*
 * Until nothing is pending on any side, as far as a module can tell: until slabs have no
 * more than in the beginning, or it is clear that they will not get there.
 */
static void settle(void)
{
	const long slack = SZ_1M / PAGE_SIZE;
	static long pages;
	unsigned int tries;

	pages = pages ?: slab_pages();
	kmheap_rcu_barrier(heap);
	for (tries = 0; tries < 100; tries++) {
		msleep(20);
		synchronize_rcu();
		rcu_barrier();
		if (tries && slab_pages() <= pages + slack)
			return;
	}
	pages = slab_pages();
}

#endif /* _KMHEAP_BENCH_RCU_SIDES_H */
