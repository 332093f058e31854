// SPDX-License-Identifier: GPL-2.0
/* What kmheap takes from the kernel: arenas, tables, metadata chunks. */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "backend.h"
#include "compat.h"

atomic_long_t kmh_fail_nth;
atomic_long_t kmh_failures_injected;
atomic_long_t kmh_backend_narenas;
atomic_long_t kmh_backend_ntables;

/**
 * kmh_backend_should_fail() - one step of the fail-Nth counter
 *
 * Context: Any.
 * Return: true for exactly one call, the n-th after kmh_fail_nth was set to n.
 */
bool kmh_backend_should_fail(void)
{
	if (likely(!atomic_long_read(&kmh_fail_nth)))
		return false;
	if (atomic_long_dec_if_positive(&kmh_fail_nth) != 0)
		return false;
	atomic_long_inc(&kmh_failures_injected);
	return true;
}

/*
 * Only these say how hard to try; the rest of a caller's gfp speaks of the
 * object (zeroing) or of zones that vmalloc space cannot promise. __GFP_ACCOUNT
 * would charge whoever happened to trigger the growth for everyone's objects.
 */
#define KMH_ARENA_GFP	(__GFP_RECLAIM | __GFP_IO | __GFP_FS | __GFP_NOWARN | \
			 __GFP_NORETRY | __GFP_RETRY_MAYFAIL | __GFP_NOMEMALLOC | \
			 __GFP_THISNODE)

/**
 * kmh_backend_arena() - one vmalloc area
 * @bytes: a multiple of PAGE_SIZE. vmalloc_huge() rounds what it maps with huge
 *	pages up to PMD_SIZE and the excess could not be used, so only multiples of
 *	PMD_SIZE ask for them.
 * @gfp: how hard to try.
 * @nid: node the memory should come from; has to, under __GFP_THISNODE.
 *
 * Of another node than the caller's it may be mapped in small pages.
 *
 * Context: Process context; sleeps.
 * Return: page-aligned memory with old contents (zeroes under init_on_alloc), or NULL.
 */
void *kmh_backend_arena(size_t bytes, gfp_t gfp, int nid)
{
	void *base;

	gfp &= KMH_ARENA_GFP;
	if (kmh_backend_should_fail())
		return NULL;
	if (nid != numa_mem_id())
		base = kmh_vmap_node(bytes, gfp, nid);
	else if (IS_ALIGNED(bytes, PMD_SIZE))
		base = kmh_vmalloc_huge_node(bytes, gfp, nid);
	else
		base = __vmalloc(bytes, gfp);
	if (base)
		atomic_long_inc(&kmh_backend_narenas);
	return base;
}

/* Context: process context; vfree() may sleep. */
void kmh_backend_free_arena(void *base)
{
	atomic_long_dec(&kmh_backend_narenas);
	vfree(base);
}

/**
 * kmh_backend_zalloc() - zeroed memory for a table
 * @bytes: how much.
 * @gfp: GFP_KERNEL or weaker; must allow sleeping.
 * @nid: preferred node.
 *
 * Context: Process context; sleeps.
 * Return: the memory, for kmh_backend_free(), or NULL.
 */
void *kmh_backend_zalloc(size_t bytes, gfp_t gfp, int nid)
{
	void *p;

	if (kmh_backend_should_fail())
		return NULL;
	p = kvzalloc_node(bytes, gfp, nid);
	if (p)
		atomic_long_inc(&kmh_backend_ntables);
	return p;
}

void kmh_backend_free(void *p)
{
	if (p)
		atomic_long_dec(&kmh_backend_ntables);
	kvfree(p);
}

/**
 * kmh_backend_pages() - a zeroed chunk for fixalloc
 * @order: buddy order.
 * @gfp: how hard to try.
 *
 * Context: What @gfp says.
 * Return: 2^@order zeroed pages, for kmh_backend_free_pages(), or NULL.
 */
void *kmh_backend_pages(unsigned int order, gfp_t gfp)
{
	if (kmh_backend_should_fail())
		return NULL;
	return (void *)__get_free_pages(gfp | __GFP_ZERO, order);
}

void kmh_backend_free_pages(void *p, unsigned int order)
{
	free_pages((unsigned long)p, order);
}
