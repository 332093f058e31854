// SPDX-License-Identifier: GPL-2.0
/*
 * The front door in: what a request is, and the fast path for small objects.
 *
 * The fast path, in words: preemption off; this CPU's mcache; its flag; the oldest object in the
 * magazine of the class, if enough are in it, or the lowest slot of its window. Everything else is
 * kmh_alloc_find().
 */
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "front/front.h"
#include "front/hooks.h"
#include "front/traced.h"
#include "base/lock.h"
#include "cpu/tiny.h"
#include "heap.h"
#include "span/spanpool.h"
#include "supply/grow.h"
#include "up.h"

/*
 * One attempt without growing, from @node. @atomic: see kmh_alloc_is_urgent(). This CPU's
 * mcache serves the request if it has its spans from @node, too.
 * Context: any.
 * Return: an object, or NULL.
 */
static void *kmh_alloc_try(struct kmheap *heap, struct kmh_node *node, unsigned int spanclass,
			   bool atomic)
{
	struct kmh_mcache *mc;
	void *p = NULL;

	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	if (unlikely(mc->node != node) || !kmh_mcache_enter(mc)) {
		p = kmh_node_alloc_one(node, spanclass, atomic);
		kmh_watch_one(heap, spanclass, p);
	} else {
		p = kmh_mcache_take(mc, spanclass);
		mc->atomic = atomic;
		if (!p)
			p = kmh_mcache_refill_take(mc, spanclass);
		kmh_mcache_leave(mc);
	}
	preempt_enable();
	return p;
}

/*
 * As kmh_alloc_try(), for a shelf of NMIs. A profile knows the object when an NMI has taken it: the
 * worker that fills shelves is not whom it should name.
 * Context: process context. Return: an object, or NULL.
 */
void *kmh_alloc_shelved(struct kmheap *heap, struct kmh_node *node, unsigned int spanclass)
{
	struct kmh_mcache *mc;
	void *p;

	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	if (unlikely(mc->node != node) || !kmh_mcache_enter(mc)) {
		p = kmh_node_alloc_one(node, spanclass, false);
	} else {
		mc->shelving = true;
		mc->atomic = false;
		p = kmh_mcache_take(mc, spanclass) ?: kmh_mcache_refill_take(mc, spanclass);
		mc->shelving = false;
		kmh_mcache_leave(mc);
	}
	preempt_enable();
	return p;
}

/* The class that serves @spanclass in a heap with KMHEAP_HWCACHE_ALIGN. */
unsigned int kmh_aligned_spanclass(unsigned int spanclass)
{
	size_t bytes = kmh_class_size(kmh_spanclass_class(spanclass));

	return kmh_spanclass(kmh_size_to_class_aligned(bytes, cache_line_size()),
			     kmh_spanclass_noscan(spanclass));
}

/* Allocate from @node, which grows for it if @gfp allows that. Return: an object, or NULL. */
static void *kmh_alloc_grow(struct kmheap *heap, struct kmh_node *node, unsigned int spanclass,
			    gfp_t gfp)
{
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];
	unsigned long seen;
	void *p;

	for (;;) {
		seen = READ_ONCE(node->mheap.ngrown);
		p = kmh_alloc_try(heap, node, spanclass, kmh_alloc_is_urgent(gfp));
		if (p || !kmh_alloc_may_grow(gfp))
			return p;
		if (kmh_mspan_pools_short(spanclass) &&
		    !kmh_mspan_pools_refill(KMH_SPAN_RESERVE, gfp))
			continue;
		/* What was freed meanwhile, or was in magazines, may do for the object. */
		if (kmh_mheap_grow(&node->mheap, class->npages, class->align_pages, seen, gfp))
			return kmh_alloc_try(heap, node, spanclass, kmh_alloc_is_urgent(gfp));
	}
}

/*
 * An allocation that neither magazine nor window could serve, and that is not to fail
 * (kmh_watch_fails()). In a heap with KMHEAP_HWCACHE_ALIGN the classes whose size is no multiple of
 * a cache line never get a span, so every request for one ends up here and is sent on to a class
 * whose size is.
 * Context: what @gfp says.
 * Return: the object, zeroed if @gfp or the kernel wants that, or NULL (counted).
 */
noinline void *kmh_alloc_find(struct kmheap *heap, unsigned int spanclass, gfp_t gfp)
{
	struct kmh_node *node;
	void *p;

	if (unlikely(READ_ONCE(heap->ended)))
		return kmh_tombstone_alloc(heap, _RET_IP_);
	if (heap->flags & KMHEAP_HWCACHE_ALIGN && spanclass != KMH_SPANCLASS_TINY)
		spanclass = kmh_aligned_spanclass(spanclass);
	might_alloc(gfp);
	if (unlikely(!READ_ONCE(heap->mcaches)))
		kmh_mcaches_want(heap);
	if (kmh_nested())
		kmh_nmi_ask(heap, spanclass);
	node = kmh_heap_near_node(heap);
	p = kmh_alloc_grow(heap, node, spanclass, gfp);
	if (!p && !kmh_alloc_may_grow(gfp)) {
		p = kmh_nmi_take(heap, spanclass);
		kmh_watch_one(heap, spanclass, p);
	}
	if (!p)
		p = kmh_node_alloc_elsewhere(heap, node, spanclass, gfp);
	if (!p) {
		kmh_refused(heap, kmh_spanclass_size[spanclass], gfp, KMH_WHY_ROOM);
		return NULL;
	}
	if (want_init_on_alloc(gfp))
		kmh_clear(p, kmh_spanclass_size[spanclass]);
	kmh_traced_alloc(heap, p, gfp);
	return p;
}

/* An allocation that has not been in this CPU's section. Otherwise as kmh_alloc_find(). */
noinline void *kmh_alloc_slow(struct kmheap *heap, unsigned int spanclass, gfp_t gfp)
{
	if (kmh_watch_fails(heap, spanclass, kmh_spanclass_size[spanclass], gfp))
		return NULL;
	return kmh_alloc_find(heap, spanclass, gfp);
}

/* In the section of @mc, preemption off; both have ended at return. Always NULL. */
static noinline void *kmh_alloc_failed_unpin(struct kmh_mcache *mc)
{
	kmh_assert_pinned();
	kmh_mcache_leave(mc);
	preempt_enable();
	return NULL;
}

/*
 * The cached span has no free slot: refill at once, while the section is held. Heaps with
 * KMHEAP_HWCACHE_ALIGN do not: kmh_alloc_find() maps their classes first.
 * Context: in the section of @mc, preemption off; both have ended at return.
 */
static noinline void *kmh_alloc_refill_unpin(struct kmh_mcache *mc, unsigned long spanclass,
					     gfp_t gfp)
{
	struct kmheap *heap = mc->heap;
	void *p = NULL;

	kmh_assert_pinned();
	if (likely(!(heap->flags & KMHEAP_HWCACHE_ALIGN))) {
		mc->atomic = kmh_alloc_is_urgent(gfp);
		p = kmh_mcache_refill_take(mc, spanclass);
	}
	kmh_mcache_leave(mc);
	preempt_enable();
	if (unlikely(!p))
		return kmh_alloc_find(heap, spanclass, gfp);
	might_alloc(gfp);
	if (want_init_on_alloc(gfp))
		kmh_clear(p, kmh_spanclass_size[spanclass]);
	kmh_traced_alloc(heap, p, gfp);
	return p;
}

/* Nothing is at hand. Context: as for kmh_alloc_refill_unpin(). */
static noinline void *kmh_alloc_reload_unpin(struct kmh_mcache *mc, unsigned long spanclass,
					     gfp_t gfp)
{
	struct kmheap *heap = mc->heap;
	void *p;

	kmh_assert_pinned();
	if (kmh_watch_fails(heap, spanclass, kmh_spanclass_size[spanclass], gfp))
		return kmh_alloc_failed_unpin(mc);
	p = kmh_mcache_take(mc, spanclass);
	if (unlikely(!p))
		return kmh_alloc_refill_unpin(mc, spanclass, gfp);
	kmh_mcache_leave(mc);
	preempt_enable();
	if (want_init_on_alloc(gfp))
		kmh_clear(p, kmh_spanclass_size[spanclass]);
	kmh_traced_alloc(heap, p, gfp);
	return p;
}

/* The fast path, and nothing else: see front.h. */
static __always_inline void *kmh_alloc_fast(struct kmheap *heap, unsigned long spanclass,
					    gfp_t gfp, bool zero)
{
	struct kmh_mcache *mc;
	struct kmh_mcslot *c;
	unsigned long cpu;
	void *p;

	preempt_disable();
	cpu = kmh_this_cpu_offset();
	mc = kmh_this_cpu_ptr(heap->mcache, cpu);
	if (unlikely(!kmh_mcache_enter(mc))) {
		preempt_enable();
		return kmh_alloc_slow(heap, spanclass, gfp);
	}
	c = &mc->slot[spanclass];
	OPTIMIZER_HIDE_VAR(c);	/* one register for its fields, not an index for each */
	if (unlikely(!kmh_mcslot_take(mc, c, spanclass, KMH_CELL_LIVE, &p)))
		return kmh_alloc_reload_unpin(mc, spanclass, gfp);
	kmh_mcache_leave(mc);
	preempt_enable();
	if (zero)
		kmh_clear(p, kmh_spanclass_size[spanclass]);
	return p;
}

/* A request that must be zeroed, or whose flags may be refused. Zeroing comes last. */
static noinline void *kmh_alloc_careful(struct kmheap *heap, unsigned long spanclass, gfp_t gfp)
{
	if (unlikely(gfp & (__GFP_NOFAIL | KMH_GFP_ZONES)) &&
	    !kmh_gfp_ok(heap, kmh_spanclass_size[spanclass], gfp))
		return NULL;
	return kmh_alloc_fast(heap, spanclass, gfp, want_init_on_alloc(gfp));
}

static __always_inline void *kmh_alloc_small(struct kmheap *heap, unsigned long spanclass,
					     gfp_t gfp)
{
	kmh_might_alloc(gfp);
	if (unlikely(gfp & (__GFP_ZERO | __GFP_NOFAIL | KMH_GFP_ZONES)) || want_init_on_alloc(0))
		return kmh_alloc_careful(heap, spanclass, gfp);
	return kmh_alloc_fast(heap, spanclass, gfp, false);
}

/* What kmheap_alloc() of a constant size becomes; @spanclass is twice kmheap_size_class(@size). */
void *kmheap_alloc_class_noprof(struct kmheap *heap, unsigned long spanclass, gfp_t gfp,
				size_t size)
{
	heap = kmh_heap_or_default(heap);
	if (kmh_heap_sanitized(heap))
		return kmh_sanitize_alloc(heap, size, 1, gfp, false);
	return kmh_alloc_small(heap, spanclass, gfp);
}
EXPORT_SYMBOL_GPL(kmheap_alloc_class_noprof);

/* @size is 0 or over KMHEAP_MAX_SMALL: callers test both with one compare. */
static noinline void *kmh_alloc_not_small(struct kmheap *heap, size_t size, bool noscan, gfp_t gfp)
{
	if (!size)
		return ZERO_SIZE_PTR;
	return kmh_large_alloc(heap, size, 1, gfp, NUMA_NO_NODE, KMH_SPAN_LARGE, noscan);
}

/* kmheap_alloc(): see <linux/kmheap.h>. */
void *kmheap_alloc_any_noprof(struct kmheap *heap, size_t size, gfp_t gfp)
{
	heap = kmh_heap_or_default(heap);
	if (kmh_heap_sanitized(heap))
		return kmh_sanitize_alloc(heap, size, 1, gfp, false);
	if (unlikely(size - 1 >= KMHEAP_MAX_SMALL))
		return kmh_alloc_not_small(heap, size, false, gfp);
	return kmh_alloc_small(heap, kmh_spanclass(kmh_size_to_class(size), false), gfp);
}
EXPORT_SYMBOL_GPL(kmheap_alloc_any_noprof);

/* What kmheap_alloc_array() becomes where the number of bytes is not constant. */
void *kmheap_alloc_array_any_noprof(struct kmheap *heap, size_t n, size_t size, gfp_t gfp)
{
	size_t bytes;

	if (unlikely(check_mul_overflow(n, size, &bytes)))
		return NULL;
	return kmheap_alloc_any_noprof(heap, bytes, gfp);
}
EXPORT_SYMBOL_GPL(kmheap_alloc_array_any_noprof);

/* Heaps whose small data are not packed. */
#define KMH_NOT_PACKED	(KMHEAP_HWCACHE_ALIGN | KMHEAP_COLLECTED | KMH_HEAP_UNPACKED | \
			 KMH_HEAP_PROFILED)

/* Data of @size bytes, 1 to KMH_MAX_TINY: packed with others, or an object of its own. */
static noinline void *kmh_alloc_packed(struct kmheap *heap, size_t size, gfp_t gfp)
{
	void *p;

	might_alloc(gfp);
	if (!kmh_gfp_ok(heap, size, gfp))
		return NULL;
	p = kmh_tiny_alloc(heap, size, gfp);
	if (likely(p))
		return p;
	return kmh_alloc_slow(heap, kmh_spanclass(kmh_size_to_class(size), true), gfp);
}

/* kmheap_alloc_data(): see <linux/kmheap.h>. */
void *kmheap_alloc_data_noprof(struct kmheap *heap, size_t size, gfp_t gfp)
{
	heap = kmh_heap_or_default(heap);
	if (kmh_heap_sanitized(heap))
		return kmh_sanitize_alloc(heap, size, 1, gfp, true);
	if (unlikely(size - 1 >= KMHEAP_MAX_SMALL))
		return kmh_alloc_not_small(heap, size, true, gfp);
	if (size <= KMH_MAX_TINY && !(heap->flags & KMH_NOT_PACKED))
		return kmh_alloc_packed(heap, size, gfp);
	return kmh_alloc_small(heap, kmh_spanclass(kmh_size_to_class(size), true), gfp);
}
EXPORT_SYMBOL_GPL(kmheap_alloc_data_noprof);

/*
 * Allocate on node @nid and no other. A refusal is not counted, as there are other nodes.
 * Context: what @gfp says. Return: the object or NULL.
 */
void *kmh_alloc_on_node(struct kmheap *heap, unsigned int spanclass, gfp_t gfp, int nid)
{
	void *p;

	if (heap->flags & KMHEAP_HWCACHE_ALIGN)
		spanclass = kmh_aligned_spanclass(spanclass);
	if (unlikely(!READ_ONCE(heap->mcaches)))
		kmh_mcaches_want(heap);
	p = kmh_alloc_grow(heap, kmh_heap_node(heap, nid), spanclass, gfp);
	if (!p)
		return NULL;
	if (want_init_on_alloc(gfp))
		kmh_clear(p, kmh_spanclass_size[spanclass]);
	kmh_traced_alloc(heap, p, gfp);
	return p;
}

/*
 * Allocate on node @nid, which exists; from another one unless __GFP_THISNODE forbids it. Of small
 * objects @align is at most KMH_PAGE_SIZE, of others 1.
 */
static void *kmh_alloc_node(struct kmheap *heap, size_t size, size_t align, gfp_t gfp, int nid)
{
	unsigned int spanclass;
	void *p;

	if (kmh_heap_sanitized(heap)) {
		if (kmh_watch_fails(heap, KMH_SPANCLASS_LARGE, size, gfp))
			return NULL;
		p = kmh_sanitize_find(heap, size, align, gfp, nid, false);
		if (p || gfp & (__GFP_THISNODE | KMH_GFP_ZONES))
			return p;
		kmh_unrefused(heap, gfp);
		return kmh_sanitize_find(heap, size, align, gfp, NUMA_NO_NODE, false);
	}
	if (size > KMHEAP_MAX_SMALL)
		return kmh_large_alloc(heap, size, align, gfp, nid, KMH_SPAN_LARGE, false);
	/* Not where it has to be that node: the task may be on another one by then. */
	if (!(gfp & __GFP_THISNODE) && kmh_heap_node(heap, nid) == kmh_heap_near_node(heap))
		return kmheap_alloc_aligned_noprof(heap, size, align, gfp);

	might_alloc(gfp);
	if (!kmh_gfp_ok(heap, size, gfp))
		return NULL;
	spanclass = kmh_spanclass(kmh_size_to_class_aligned(size, align), false);
	if (kmh_watch_fails(heap, spanclass, size, gfp))
		return NULL;
	p = kmh_alloc_on_node(heap, spanclass, gfp, nid);
	if (!p && !(gfp & __GFP_THISNODE))
		p = kmh_alloc_find(heap, spanclass, gfp);
	else if (!p)
		kmh_refused(heap, size, gfp, KMH_WHY_ROOM);
	return p;
}

/*
 * kmheap_alloc_node() with an alignment, as kmh_alloc_node() has it, for the caller @ip, and a heap
 * that is none.
 */
static void *kmh_alloc_node_aligned(struct kmheap *heap, size_t size, size_t align, gfp_t gfp,
				    int nid, unsigned long ip)
{
	void *p;

	if (WARN_ONCE(nid < 0 || nid >= nr_node_ids, "kmheap: no node %d\n", nid))
		return NULL;
	if (!size)
		return ZERO_SIZE_PTR;
	if (unlikely(READ_ONCE(heap->ended)))
		return kmh_tombstone_alloc(heap, ip);
	p = kmh_alloc_node(heap, size, align, gfp, nid);
	/* Memory for an arena of a full node may have come from another node. */
	if (p && gfp & __GFP_THISNODE &&
	    !kmh_node_holds(p, size, kmh_heap_node(heap, nid)->mheap.nid)) {
		kmh_free_one(p, ip);
		kmh_refused(heap, size, gfp, KMH_WHY_ROOM);
		p = NULL;
	}
	return p;
}

/* kmheap_alloc_node(): see <linux/kmheap.h>. */
void *kmheap_alloc_node_noprof(struct kmheap *heap, size_t size, gfp_t gfp, int nid)
{
	heap = kmh_heap_or_default(heap);
	if (nid == NUMA_NO_NODE)
		return kmheap_alloc_any_noprof(heap, size, gfp);
	return kmh_alloc_node_aligned(heap, size, 1, gfp, nid, _RET_IP_);
}
EXPORT_SYMBOL_GPL(kmheap_alloc_node_noprof);

/* kmheap_alloc_aligned(): see <linux/kmheap.h>. */
void *kmheap_alloc_aligned_noprof(struct kmheap *heap, size_t size, size_t align, gfp_t gfp)
{
	unsigned int class;

	heap = kmh_heap_or_default(heap);
	if (WARN_ONCE(!is_power_of_2(align) || align > KMH_ALIGN_MAX_BYTES,
		      "kmheap: alignment %zu: a power of two up to %lu\n", align,
		      KMH_ALIGN_MAX_BYTES))
		return NULL;
	if (!size)
		return ZERO_SIZE_PTR;
	if (kmh_heap_sanitized(heap))
		return kmh_sanitize_alloc(heap, size, align, gfp, false);
	class = size <= KMHEAP_MAX_SMALL ? kmh_size_to_class_aligned(size, align) : 0;
	if (!class)
		return kmh_large_alloc(heap, size, align, gfp, NUMA_NO_NODE, KMH_SPAN_LARGE, false);
	return kmh_alloc_small(heap, kmh_spanclass(class, false), gfp);
}
EXPORT_SYMBOL_GPL(kmheap_alloc_aligned_noprof);

/* ---- objects of caches: cache.c */

static noinline void *kmh_cache_alloc_slow(const struct kmheap_cache *cache, gfp_t gfp)
{
	return kmh_cache_mark(cache, kmh_alloc_slow(cache->heap, cache->spanclass, gfp));
}

/* Context: as for kmh_alloc_reload_unpin(). */
static noinline void *kmh_cache_alloc_reload_unpin(const struct kmheap_cache *cache,
						   struct kmh_mcache *mc, gfp_t gfp)
{
	kmh_assert_pinned();
	return kmh_cache_mark(cache, kmh_alloc_reload_unpin(mc, cache->spanclass, gfp));
}

/* kmh_alloc_fast() for a cache. */
static __always_inline void *kmh_cache_alloc_fast(const struct kmheap_cache *cache, gfp_t gfp,
						  bool zero)
{
	unsigned long spanclass = cache->spanclass, cpu;
	struct kmh_mcache *mc;
	struct kmh_mcslot *c;
	void *p;

	preempt_disable();
	cpu = kmh_this_cpu_offset();
	mc = kmh_this_cpu_ptr(READ_ONCE(cache->mcache), cpu);
	if (unlikely(!kmh_mcache_enter(mc))) {
		preempt_enable();
		return kmh_cache_alloc_slow(cache, gfp);
	}
	c = &mc->slot[spanclass];
	OPTIMIZER_HIDE_VAR(c);
	if (unlikely(!kmh_mcslot_take(mc, c, spanclass, READ_ONCE(cache->cell), &p)))
		return kmh_cache_alloc_reload_unpin(cache, mc, gfp);
	kmh_mcache_leave(mc);
	preempt_enable();
	if (zero)
		kmh_clear(p, kmh_spanclass_size[spanclass]);
	return p;
}

/* A request that the flags, the heap or the cache make more than an object to take. */
static noinline void *kmh_cache_alloc_careful(const struct kmheap_cache *cache, gfp_t gfp)
{
	struct kmheap *heap = cache->heap;
	void *p;

	if (!kmh_cache_serves(cache, gfp))
		return NULL;
	if (kmh_heap_sanitized(heap))
		p = kmh_cache_mark(cache, kmh_sanitize_alloc(heap, cache->size, cache->align, gfp,
							     false));
	else if (kmh_gfp_ok(heap, cache->size, gfp))
		p = kmh_cache_alloc_fast(cache, gfp, want_init_on_alloc(gfp));
	else
		return NULL;
	if (p && cache->ctor)
		cache->ctor(p);
	return p;
}

/* kmheap_cache_alloc(): see <linux/kmheap.h>. */
void *kmheap_cache_alloc_noprof(struct kmheap_cache *cache, gfp_t gfp)
{
	kmh_might_alloc(gfp);
	if (unlikely(gfp & (__GFP_ZERO | __GFP_NOFAIL | KMH_GFP_ZONES)) ||
	    unlikely(READ_ONCE(cache->careful_alloc)))
		return kmh_cache_alloc_careful(cache, gfp);
	return kmh_cache_alloc_fast(cache, gfp, false);
}
EXPORT_SYMBOL_GPL(kmheap_cache_alloc_noprof);

/* kmheap_cache_alloc_node(): see <linux/kmheap.h>. */
void *kmheap_cache_alloc_node_noprof(struct kmheap_cache *cache, gfp_t gfp, int nid)
{
	void *p;

	if (nid == NUMA_NO_NODE)
		return kmheap_cache_alloc_noprof(cache, gfp);
	if (!kmh_cache_serves(cache, gfp))
		return NULL;
	p = kmh_cache_mark(cache, kmh_alloc_node_aligned(cache->heap, cache->size, cache->align,
							 gfp, nid, _RET_IP_));
	if (p && cache->ctor)
		cache->ctor(p);
	return p;
}
EXPORT_SYMBOL_GPL(kmheap_cache_alloc_node_noprof);

/* kmheap_alloc_pages(): see <linux/kmheap.h>. */
void *kmheap_alloc_run_noprof(struct kmheap *heap, size_t bytes, gfp_t gfp)
{
	void *p;

	heap = kmh_heap_or_default(heap);
	if (!bytes || bytes == SIZE_MAX) {
		kmh_refused(heap, bytes, gfp, KMH_WHY_REQUEST);
		return NULL;
	}
	p = kmh_large_alloc(heap, bytes, 1, gfp, NUMA_NO_NODE, KMH_SPAN_MANUAL, false);
	/* kmemleak is not told of them, as it is not of the kernel's pages. */
	if (kmh_heap_sanitized(heap) && p)
		kmh_kasan_open((unsigned long)p, bytes, bytes, KMH_KASAN_REDZONE);
	return p;
}
EXPORT_SYMBOL_GPL(kmheap_alloc_run_noprof);
