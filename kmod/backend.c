// SPDX-License-Identifier: GPL-2.0
/* What kmheap takes from the kernel: arenas, tables, metadata chunks. */
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "backend.h"
#include "compat.h"
#include "testpoint.h"

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

/* So much looks available, as slabs that could be reclaimed do, when nothing is. */
#define KMH_NOT_AVAILABLE	SZ_8M

/**
 * kmh_memory_is_short() - the kernel has not much left
 * @bytes: that are about to be taken from it.
 *
 * Context: Any.
 * Return: true when less than a 32nd of the memory would stay with the kernel.
 */
bool kmh_memory_is_short(size_t bytes)
{
	unsigned long least = totalram_pages() / 32 + ((bytes + KMH_NOT_AVAILABLE) >> PAGE_SHIFT);

	return si_mem_available() < (long)least;
}

/* A gfp that asks for NULL before anybody is killed, when there is nothing to be had. */
static bool kmh_gfp_may_fail(gfp_t gfp)
{
	return gfp & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL);
}

/*
 * vmalloc() in steps, page by page, of any node. The page tables are the point: vmalloc()
 * allocates them without the caller's gfp, so that the OOM killer runs (or under GFP_NOFS it
 * tries without end) for somebody who has asked for a try. Here they come from the kernel's
 * reserves, one page for 512, or not at all; as with vmalloc() itself in 7.3. vfree() takes
 * all of it back.
 */
void *kmh_backend_pieces(size_t bytes, gfp_t gfp, int nid)
{
	unsigned int n, npages = DIV_ROUND_UP(bytes, PAGE_SIZE), flags = memalloc_noreclaim_save();
	struct page **pages = kvmalloc_array(npages, sizeof(*pages),
					     (gfp & ~(__GFP_ZERO | __GFP_THISNODE)) |
					     __GFP_NOMEMALLOC);
	void *base = NULL;

	memalloc_noreclaim_restore(flags);
	if (!pages)
		return NULL;
	for (n = 0; n < npages; n++) {
		pages[n] = alloc_pages_node(nid, gfp, 0);
		if (!pages[n])
			break;
	}
	if (n == npages) {
		flags = memalloc_noreclaim_save();
		base = vmap(pages, npages, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
		memalloc_noreclaim_restore(flags);
	}
	if (base)
		return base;
	while (n)
		__free_page(pages[--n]);
	kvfree(pages);
	return NULL;
}

/**
 * kmh_backend_arena() - one vmalloc area
 * @bytes: a multiple of PAGE_SIZE. vmalloc_huge() rounds what it maps with huge
 *	pages up to PMD_SIZE and the excess could not be used, so only multiples of
 *	PMD_SIZE ask for them.
 * @gfp: how hard to try.
 * @nid: node the memory should come from; has to, under __GFP_THISNODE.
 *
 * Mapped in small pages when memory is short, and before 6.16 of another node than the caller's.
 *
 * Context: Process context; sleeps.
 * Return: page-aligned memory with old contents (zeroes under init_on_alloc), or NULL.
 */
void *kmh_backend_arena(size_t bytes, gfp_t gfp, int nid)
{
	void *base;
	bool here;

	gfp &= KMH_ARENA_GFP;
	if (kmh_backend_should_fail())
		return NULL;
	migrate_disable();	/* to where vmalloc() would take memory of another node */
	here = nid == numa_mem_id();
	if (kmh_gfp_may_fail(gfp) && kmh_memory_is_short(bytes))
		base = kmh_backend_pieces(bytes, gfp, nid);
	else if (IS_ALIGNED(bytes, PMD_SIZE) && (here || KMH_HUGE_ON_ANY_NODE))
		base = kmh_vmalloc_huge_node(bytes, gfp, nid);
	else if (here)
		base = __vmalloc(bytes, gfp);
	else
		base = kmh_backend_pieces(bytes, gfp, nid);
	migrate_enable();
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

/* Somebody else has freed it. */
void kmh_backend_forget_arena(void)
{
	atomic_long_dec(&kmh_backend_narenas);
}

/* kvmalloc_node() that kills nobody. */
static void *kmh_backend_small_pieces(size_t bytes, gfp_t gfp, int nid)
{
	gfp |= __GFP_NOWARN;
	return kmalloc_node(bytes, gfp, nid) ?: kmh_backend_pieces(PAGE_ALIGN(bytes), gfp, nid);
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
	kmh_test_point("backend: a table");
	if (kmh_gfp_may_fail(gfp) && kmh_memory_is_short(bytes))
		p = kmh_backend_small_pieces(bytes, gfp | __GFP_ZERO, nid);
	else
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
