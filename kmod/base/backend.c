// SPDX-License-Identifier: GPL-2.0
/* What kmheap takes from the kernel: arenas, tables, metadata chunks. */
#include <linux/kmemleak.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "base/backend.h"
#include "base/compat.h"
#include "base/testpoint.h"

atomic_long_t kmh_fail_nth;
atomic_long_t kmh_failures_injected;
atomic_long_t kmh_backend_narenas;
atomic_long_t kmh_backend_ntables;
atomic_long_t kmh_backend_nblock_pages;
atomic_long_t kmh_backend_nblocks_failed[KMH_BLOCK_ORDERS];

/*
 * One step of the fail-Nth counter. Context: any.
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
 * Flags that say how hard to try, and nothing else. The rest of a caller's gfp speaks of an
 * object (zeroing, mobility, which cgroup is charged) or of zones, and memory taken here
 * serves many objects of many callers: __GFP_ACCOUNT would charge the caller that happened to
 * trigger the growth for all of them, and keep its memory cgroup for as long as the module is
 * loaded. The kernel's reserves (__GFP_HIGH, __GFP_MEMALLOC) are for less than an arena.
 */
#define KMH_GFP_EFFORT	(__GFP_RECLAIM | __GFP_IO | __GFP_FS | __GFP_NOWARN | __GFP_NORETRY | \
			 __GFP_RETRY_MAYFAIL | __GFP_NOMEMALLOC | __GFP_NOLOCKDEP)

#ifdef KMHEAP_KUNIT
gfp_t kmh_backend_gfps;
bool kmh_backend_short;
bool kmh_backend_no_block;

/* Note for the suites that the kernel is given @gfp. */
static void kmh_backend_note(gfp_t gfp)
{
	WRITE_ONCE(kmh_backend_gfps, READ_ONCE(kmh_backend_gfps) | gfp);
}
#else
static const bool kmh_backend_short;
static const bool kmh_backend_no_block;
static void kmh_backend_note(gfp_t gfp) { }
#endif

/*
 * The part of a caller's gfp that the kernel gets to see. Everything in this file that allocates
 * passes its gfp through here, so other files need not. Documentation/api.rst has a table of all
 * flags.
 */
gfp_t kmh_backend_gfp(gfp_t gfp)
{
	return gfp & KMH_GFP_EFFORT;
}

/* So much looks available when nothing is, for example slabs that could be reclaimed. */
#define KMH_NOT_AVAILABLE	SZ_8M

/* Would less than a 32nd of the memory stay with the kernel after @bytes more? Context: any. */
bool kmh_memory_is_short(size_t bytes)
{
	unsigned long least = totalram_pages() / 32 + ((bytes + KMH_NOT_AVAILABLE) >> PAGE_SHIFT);

	return si_mem_available() < (long)least || READ_ONCE(kmh_backend_short);
}

/* Does @gfp ask for NULL before a task is killed, when no memory is left? */
static bool kmh_gfp_may_fail(gfp_t gfp)
{
	return gfp & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL);
}

/*
 * vmap() to a multiple of @align, of @npages that are a multiple of it. vmap() takes no alignment,
 * but puts areas side by side, with a page between them: where one area is not aligned to two pages
 * the next one is. Those that are not are kept meanwhile, so that what they fill, which may be many
 * small gaps, is not found again. Return: the area, or NULL.
 */
static void *kmh_vmap_aligned(struct page **pages, unsigned int npages, size_t align,
			      unsigned long flags)
{
	unsigned int n = 0, most = PAGE_SIZE / sizeof(void *);
	void **tried = NULL, *base;

	while ((base = vmap(pages, npages, VM_MAP | VM_MAP_PUT_PAGES | flags, PAGE_KERNEL)) &&
	       !IS_ALIGNED((unsigned long)base, align)) {
		tried = tried ?: (void **)__get_free_page(GFP_KERNEL | __GFP_NOWARN);
		if (!tried || n == most) {
			vunmap(base);	/* and not vfree(): the pages stay */
			base = NULL;
			break;
		}
		tried[n++] = base;
	}
	while (n)
		vunmap(tried[--n]);
	free_page((unsigned long)tried);
	return base;
}

/* So much of an area, which is the least that a grown heap takes, a killed task still gets. */
#define KMH_KILLED_BYTES	(SZ_256K + SZ_64K)

/*
 * An array for @npages of kmh_backend_map(), for kvfree(): of the slab, as @gfp says, or else of
 * pages, without reclaim, which their page tables would be allocated with whatever it says.
 */
static struct page **kmh_backend_page_array(unsigned int npages, gfp_t gfp)
{
	/* Without reclaim, which calls back; only a caller in reclaim has the reserves for it. */
	gfp_t table = current->flags & PF_MEMALLOC ? gfp : gfp | __GFP_NOMEMALLOC;
	gfp_t more = npages * sizeof(struct page *) > PAGE_SIZE ? __GFP_NORETRY : 0;
	struct page **pages;
	unsigned int scope;

	kmh_test_point("backend: an array of pages");
	pages = kmalloc_array(npages, sizeof(*pages), gfp | more | __GFP_NOWARN);
	if (pages)
		return pages;
	scope = memalloc_noreclaim_save();
	pages = kvmalloc_array(npages, sizeof(*pages), table);
	memalloc_noreclaim_restore(scope);
	return pages;
}

/*
 * vmalloc() in steps, page by page, of any node. The page tables are the point: vmalloc()
 * allocates them without the caller's gfp, so that the OOM killer runs (or under GFP_NOFS it
 * tries without end) for a caller that has asked for a try only. Here they come from the
 * kernel's reserves, one page for 512, or not at all; as with vmalloc() itself in 7.3.
 * vfree() takes all of it back. @gfp has been through kmh_backend_gfp(), or is that and
 * __GFP_THISNODE or __GFP_ZERO. @flags: of the area, beside those that it has anyway.
 */
static void *kmh_backend_map(size_t bytes, size_t align, gfp_t gfp, int nid, unsigned long flags)
{
	unsigned int n, npages = DIV_ROUND_UP(bytes, PAGE_SIZE), scope;
	struct page **pages = kmh_backend_page_array(npages, gfp & ~(__GFP_ZERO | __GFP_THISNODE));
	void *base = NULL;

	if (!pages)
		return NULL;
	kmh_backend_note(gfp);
	for (n = 0; n < npages; n++) {
		/* One that was killed for want of memory may have all there is; as in vmalloc(). */
		if (n >= KMH_KILLED_BYTES >> PAGE_SHIFT && fatal_signal_pending(current))
			break;
		pages[n] = alloc_pages_node(nid, gfp, 0);
		if (!pages[n])
			break;
	}
	if (n == npages) {
		scope = memalloc_noreclaim_save();
		base = kmh_vmap_aligned(pages, npages, align, flags);
		memalloc_noreclaim_restore(scope);
	}
	if (base)
		return base;
	while (n)
		__free_page(pages[--n]);
	kvfree(pages);
	return NULL;
}

void *kmh_backend_pieces(size_t bytes, gfp_t gfp, int nid)
{
	return kmh_backend_map(bytes, PAGE_SIZE, gfp, nid, 0);
}

/* vmalloc() cannot use __GFP_NOMEMALLOC (7.x warns). */
static void *kmh_backend_vmalloc(size_t bytes, gfp_t gfp, int nid, bool here)
{
	gfp &= ~__GFP_NOMEMALLOC;
	kmh_backend_note(gfp);
	if (IS_ALIGNED(bytes, PMD_SIZE))
		return kmh_vmalloc_huge_node(bytes, gfp, nid);
	if (here)
		return __vmalloc(bytes, gfp);
	return kmh_backend_pieces(bytes, gfp, nid);
}

/**
 * kmh_backend_arena() - one vmalloc area
 * @bytes: how much, a multiple of PAGE_SIZE; set to what was taken. vmalloc_huge() rounds what
 *	it maps with huge pages up to PMD_SIZE and the excess could not be used, so only multiples
 *	of PMD_SIZE ask for them, and not when memory is short, nor before 6.16 on another node.
 *	Areas of small pages begin at any page, and are larger by @align less a page, so that
 *	@bytes from a multiple of @align on are in them.
 * @align: a power of two, at least PAGE_SIZE.
 * @gfp: how hard to try.
 * @nid: node that the memory should come from; must, under __GFP_THISNODE.
 *
 * Context: Process context; sleeps.
 * Return: page-aligned memory with old contents (zeroes under init_on_alloc), or NULL.
 */
void *kmh_backend_arena(size_t *bytes, size_t align, gfp_t gfp, int nid)
{
	bool here, pieces;
	gfp_t thisnode = 0;
	void *base;

	/* With one node every page is of that node. */
	if (num_node_state(N_MEMORY) > 1)
		thisnode = gfp & __GFP_THISNODE;
	gfp = kmh_backend_gfp(gfp);
	if (kmh_backend_should_fail())
		return NULL;
	migrate_disable();	/* to a CPU for which vmalloc() would take another node's */
	here = nid == numa_mem_id();
	/*
	 * vmalloc() takes no node to insist on, and for reclaim, which gets the last pages there
	 * are, it rounds up to huge ones.
	 */
	pieces = current->flags & PF_MEMALLOC || thisnode || !(here || KMH_HUGE_ON_ANY_NODE) ||
		 (kmh_gfp_may_fail(gfp) && kmh_memory_is_short(*bytes));
	/*
	 * vmalloc_huge() falls back to small pages, at any page address. Where it does so always,
	 * a try is not worth it unless any such address is aligned.
	 */
	if (!pieces && IS_ALIGNED(*bytes, PMD_SIZE) &&
	    (align == PAGE_SIZE || IS_ENABLED(CONFIG_HAVE_ARCH_HUGE_VMALLOC))) {
		base = kmh_backend_vmalloc(*bytes, gfp, nid, here);
		if (!base || IS_ALIGNED((unsigned long)base, align))
			goto out;
		vfree(base);
	}
	*bytes += align - PAGE_SIZE;
	base = pieces ? kmh_backend_pieces(*bytes, gfp | thisnode, nid) :
			kmh_backend_vmalloc(*bytes, gfp, nid, here);
out:
	migrate_enable();
	if (base)
		atomic_long_inc(&kmh_backend_narenas);
	return base;
}

/**
 * kmh_backend_user() - an area that remap_vmalloc_range() takes
 * @bytes: how much, a multiple of @align.
 * @align: of the first byte. As the kernel checks what is mapped against the length of the area,
 *	the area begins there, and has no more than @bytes.
 * @gfp: how hard to try.
 * @nid: node that the memory should come from.
 *
 * Context: Process context; sleeps.
 * Return: pages that are all zero, or NULL.
 */
void *kmh_backend_user(size_t bytes, size_t align, gfp_t gfp, int nid)
{
	void *base;

	if (kmh_backend_should_fail())
		return NULL;
	base = kmh_backend_map(bytes, align, kmh_backend_gfp(gfp) | __GFP_ZERO, nid, VM_USERMAP);
	if (base)
		atomic_long_inc(&kmh_backend_narenas);
	return base;
}

/* Context: process context; vfree() may sleep. */
void kmh_backend_free_arena(void *base)
{
	kmh_test_point("arena goes back");
	atomic_long_dec(&kmh_backend_narenas);
	vfree(base);
}

/* A client has freed the arena, or the pages of a block have gone one by one. */
void kmh_backend_forget_arena(void)
{
	atomic_long_dec(&kmh_backend_narenas);
}

/* Count that there was no block of @order. */
static void kmh_backend_count_failed(unsigned int order)
{
	unsigned int least = get_order(KMH_BLOCK_MIN_BYTES);

	if (order >= least && order - least < KMH_BLOCK_ORDERS)
		atomic_long_inc(&kmh_backend_nblocks_failed[order - least]);
}

/**
 * kmh_backend_block() - pages of the page allocator, one after the other in memory
 * @bytes: how much, a multiple of PAGE_SIZE; the first page's address is a multiple of the power of
 *	two that is not less.
 * @gfp: how hard to try. With both __GFP_NORETRY and __GFP_NOMEMALLOC, as for a size that would
 *	only be good to have, only what is free is taken: nothing is reclaimed for it.
 * @nid: node that the memory should come from; must, under __GFP_THISNODE.
 *
 * The pages are in the direct map, and charged to nobody. Each has one reference, and goes back by
 * itself.
 *
 * Context: Process context; sleeps, as @gfp must allow.
 * Return: the first page, with old contents (zeroes under init_on_alloc), or NULL.
 */
struct page *kmh_backend_block(size_t bytes, gfp_t gfp, int nid)
{
	unsigned long i, n = bytes >> PAGE_SHIFT;
	unsigned int order = get_order(bytes);
	struct page *page = NULL;
	gfp_t thisnode = 0;

	/* With one node every page is of that node. */
	if (num_node_state(N_MEMORY) > 1)
		thisnode = gfp & __GFP_THISNODE;
	gfp = kmh_backend_gfp(gfp);
	if (!(~gfp & (__GFP_NORETRY | __GFP_NOMEMALLOC)))
		gfp &= ~__GFP_RECLAIM;
	if (!kmh_backend_should_fail() && !READ_ONCE(kmh_backend_no_block)) {
		kmh_backend_note(gfp);
		page = alloc_pages_node(nid, gfp | thisnode, order);
	}
	if (!page) {
		kmh_backend_count_failed(order);
		return NULL;
	}
	split_page(page, order);
	for (i = n; i < BIT(order); i++)	/* as alloc_pages_exact() does it */
		__free_page(page + i);
	atomic_long_inc(&kmh_backend_narenas);
	atomic_long_add(n, &kmh_backend_nblock_pages);
	return page;
}

/* Drop the heap's reference to a page of a block. Context: any but NMI. */
void kmh_backend_free_block_page(struct page *page)
{
	atomic_long_dec(&kmh_backend_nblock_pages);
	__free_page(page);
}

/* A client has freed a page of a block. */
void kmh_backend_forget_block_page(void)
{
	atomic_long_dec(&kmh_backend_nblock_pages);
}

/*
 * Zeroed memory for a table, for kmh_backend_free(), or NULL. @gfp is GFP_KERNEL or weaker and
 * must allow sleeping, @nid the node to prefer. Context: process context; sleeps.
 */
void *kmh_backend_zalloc(size_t bytes, gfp_t gfp, int nid)
{
	void *p;

	gfp = kmh_backend_gfp(gfp);
	if (kmh_backend_should_fail())
		return NULL;
	kmh_test_point("backend: a table");
	kmh_backend_note(gfp);
	gfp |= __GFP_ZERO;
	if (kmh_gfp_may_fail(gfp) && kmh_memory_is_short(bytes)) {
		gfp |= __GFP_NOWARN;	/* kvmalloc_node() for which no task is killed */
		p = kmalloc_node(bytes, gfp, nid) ?:
		    kmh_backend_pieces(PAGE_ALIGN(bytes), gfp, nid);
	} else {
		p = kvmalloc_node(bytes, gfp, nid);
	}
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

/* Would a slab take more pages for @bytes than they have? */
static bool kmh_slab_rounds_up(size_t bytes)
{
	return bytes > 2 * PAGE_SIZE && PAGE_ALIGN(bytes) < PAGE_SIZE << get_order(bytes);
}

/* @bytes of zeroed pages, one after the other in memory, or NULL where none are free. */
static void *kmh_backend_try_exact(size_t bytes, gfp_t gfp, int nid)
{
	unsigned int order = get_order(bytes);
	struct page *page = alloc_pages_node(nid, gfp | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN,
					     order);
	unsigned long i;

	if (!page)
		return NULL;
	split_page(page, order);
	for (i = PAGE_ALIGN(bytes) >> PAGE_SHIFT; i < BIT(order); i++)
		__free_page(page + i);
	kmemleak_alloc(page_address(page), bytes, 1, gfp);
	return page_address(page);
}

/*
 * kmh_backend_zalloc() for a table of several pages, whose length is no power of two: what a slab
 * would have beyond its last page goes back at once. For kmh_backend_free_exact().
 */
void *kmh_backend_zalloc_exact(size_t bytes, gfp_t gfp, int nid)
{
	void *p;

	if (!kmh_slab_rounds_up(bytes))
		return kmh_backend_zalloc(bytes, gfp, nid);
	gfp = kmh_backend_gfp(gfp);
	if (kmh_backend_should_fail())
		return NULL;
	kmh_test_point("backend: a table");
	kmh_backend_note(gfp);
	p = kmh_backend_try_exact(bytes, gfp, nid) ?:
	    kmh_backend_pieces(PAGE_ALIGN(bytes), gfp | __GFP_ZERO, nid);
	if (p)
		atomic_long_inc(&kmh_backend_ntables);
	return p;
}

/* @bytes: as they were asked for. NULL is fine. */
void kmh_backend_free_exact(void *p, size_t bytes)
{
	if (!p || !kmh_slab_rounds_up(bytes) || is_vmalloc_addr(p)) {
		kmh_backend_free(p);
		return;
	}
	atomic_long_dec(&kmh_backend_ntables);
	kmemleak_free(p);
	free_pages_exact(p, bytes);
}

/* Zeroed memory of each CPU, for free_percpu(), or NULL. Context: process context; sleeps. */
void __percpu *kmh_backend_percpu_bytes(size_t bytes, size_t align, gfp_t gfp)
{
	gfp = kmh_backend_gfp(gfp);
	if (kmh_backend_should_fail())
		return NULL;
	kmh_backend_note(gfp);
	return __alloc_percpu_gfp(bytes, align, gfp);
}

/* 2^@order zeroed pages for fixalloc, or NULL. Context: what @gfp says. */
void *kmh_backend_pages(unsigned int order, gfp_t gfp)
{
	gfp = kmh_backend_gfp(gfp);
	if (kmh_backend_should_fail())
		return NULL;
	kmh_backend_note(gfp);
	return (void *)__get_free_pages(gfp | __GFP_ZERO, order);
}

void kmh_backend_free_pages(void *p, unsigned int order)
{
	free_pages((unsigned long)p, order);
}
