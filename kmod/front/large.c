// SPDX-License-Identifier: GPL-2.0
/*
 * Objects over 32 KiB: a span each, straight from the page heap.
 *
 * After Go's mcache.allocLarge and memclrNoHeapPointersChunked (src/runtime/
 * malloc.go): zeroed late, only what is not known to be zero, and in pieces.
 */
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "front/front.h"
#include "front/traced.h"
#include "base/lock.h"
#include "heap.h"
#include "span/arenamap.h"
#include "span/spanpool.h"
#include "supply/grow.h"
#include "up.h"

/* A request, and how the memory that it got is. */
struct kmh_request {
	struct kmheap *heap;
	size_t bytes;
	unsigned long npages, align;	/* heap pages */
	gfp_t gfp;
	int nid;
	enum kmh_span_state state;
	bool noscan;
	bool zeroed;
};

/* Get a span from a page heap; kmh_large_date() has to follow. */
static struct kmh_mspan *kmh_large_span(struct kmh_mheap *mh, struct kmh_request *r)
{
	struct kmh_mspan *s;
	unsigned long seen;

	for (;;) {
		seen = READ_ONCE(mh->ngrown);
		s = kmh_mheap_alloc_span(mh, NULL, KMH_SPANCLASS_LARGE, r->npages, r->align,
					 kmh_alloc_is_urgent(r->gfp), &r->zeroed);
		if (s) {
			kmh_sweep_pay(mh->heap, r->npages);
			return s;
		}
		if (!kmh_alloc_may_grow(r->gfp))
			return NULL;
		if (kmh_mspan_pools_short(KMH_SPANCLASS_LARGE) &&
		    !kmh_mspan_pools_refill(KMH_SPAN_RESERVE, r->gfp))
			continue;
		if (kmh_mheap_grow(mh, r->npages, r->align, seen, r->gfp))
			return NULL;
	}
}

/* A span of the wanted node, or for a caller that cannot grow of the nearest that has pages. */
static struct kmh_mspan *kmh_large_span_near(struct kmh_request *r)
{
	struct kmh_node *node = r->nid == NUMA_NO_NODE ? kmh_heap_near_node(r->heap) :
							 kmh_heap_node(r->heap, r->nid);
	struct kmh_mspan *s = kmh_large_span(&node->mheap, r);
	int from = node->mheap.nid, nid = from;

	if (r->gfp & __GFP_THISNODE || kmh_alloc_may_grow(r->gfp))
		return s;
	while (!s && (nid = kmh_node_next_nearest(r->heap, from, nid)) != NUMA_NO_NODE)
		s = kmh_large_span(&kmh_heap_node(r->heap, nid)->mheap, r);
	return s;
}

/* Make a parked span an object again: its claim goes before its state is not FREED any more. */
static __always_inline void kmh_large_become(struct kmh_mspan *s, const struct kmh_request *r)
{
	WRITE_ONCE(s->large_bytes, r->bytes);
	WRITE_ONCE(s->noscan, r->noscan);
	kmh_large_begin(s);
	WRITE_ONCE(s->state, r->state);
}

/*
 * Take a parked span and make it an object again, unless its arena has been lost since: then it is
 * nobody's. No barrier is needed between the state and that look, as each CPU is interrupted before
 * the spans of a lost arena are withdrawn for the last time (lost_arena.c).
 */
static __always_inline struct kmh_mspan *kmh_large_unpark(const struct kmh_request *r, size_t align)
{
	struct kmh_mspan *s;

	do {
		s = kmh_largecache_take(r->heap, r->npages, align, r->nid,
					r->state == KMH_SPAN_LARGE);
		if (unlikely(!s))
			return NULL;
		kmh_test_point("a parked span is taken");
		kmh_large_become(s, r);
	} while (unlikely(kmh_mheap_give_up_lost(s)));
	return s;
}

/* Date a span that is initialized: the sweep may find it from here on. */
static void kmh_large_date(struct kmh_mspan *s)
{
	struct kmh_mcache __percpu *mcache = READ_ONCE(s->mcache);

	preempt_disable();
	kmh_trip_begin(&mcache->trips);
	smp_mb();	/* trip, phase: see kmh_mcentral_date_span() */
	kmh_mcentral_date_span(s);
	kmh_trip_end(&mcache->trips);
	preempt_enable();
}

/* Pages of an object of any size that a caller may ask for: rounding up never wraps. */
static __always_inline unsigned long kmh_large_pages(size_t bytes)
{
	return (bytes >> KMH_PAGE_SHIFT) + !IS_ALIGNED(bytes, KMH_PAGE_SIZE);
}

static noinline struct kmh_mspan *kmh_large_fresh(struct kmh_request *r)
{
	struct kmh_mspan *s;

	/* Like kmalloc(), refuse more than the machine has: it can only be a mistake. */
	if (unlikely(r->bytes >> PAGE_SHIFT >= totalram_pages())) {
		WARN_ONCE(!(r->gfp & __GFP_NOWARN),
			  "kmheap: %zu bytes asked for, more than this machine has\n", r->bytes);
		return NULL;
	}
	if (unlikely(kmh_heap_lacks_run(r->heap, r->npages, r->align)))
		return NULL;
	do {
		s = kmh_large_span_near(r);
		if (!s)
			return NULL;
		WRITE_ONCE(s->large_bytes, r->bytes);
		WRITE_ONCE(s->noscan, r->noscan);
		WRITE_ONCE(s->state, r->state);
		kmh_large_date(s);	/* has a full barrier */
	} while (unlikely(kmh_mheap_give_up_lost(s)));
	if (r->state == KMH_SPAN_LARGE)
		atomic_long_inc(&r->heap->large_allocs);
	return s;
}

/* A large object for a shelf, from the page heap. NULL is not counted as a refusal. */
void *kmh_large_try(struct kmheap *heap, size_t bytes, gfp_t gfp)
{
	struct kmh_request r = {
		.heap = heap, .bytes = bytes, .npages = kmh_large_pages(bytes), .align = 1,
		.gfp = gfp, .nid = NUMA_NO_NODE, .state = KMH_SPAN_LARGE,
	};
	struct kmh_mspan *s = kmh_large_fresh(&r);

	return s ? (void *)s->base : NULL;
}

/*
 * Take an object off a shelf, and begin another life of its span. If a client has freed its arena,
 * and nobody has noticed yet, whatever has its address by now is left alone, sentinels included.
 */
static struct kmh_mspan *kmh_large_unshelve(const struct kmh_request *r, unsigned int kind)
{
	unsigned long addr = (unsigned long)kmh_nmi_take(r->heap, kind);
	struct kmh_mspan *s = kmh_span_of(addr);

	if (!addr || unlikely(READ_ONCE(s->state) != KMH_SPAN_LARGE ||
			      READ_ONCE(s->heap) != r->heap || READ_ONCE(s->base) != addr ||
			      READ_ONCE(s->npages) != r->npages))
		return NULL;
	kmh_large_become(s, r);
	smp_mb();	/* state, lost: see kmh_mheap_give_up_lost() */
	return unlikely(kmh_mheap_give_up_lost(s)) ? NULL : s;
}

/* A span from the page heap or from a shelf. The rest is as kmh_large_fresh() leaves it. */
static struct kmh_mspan *kmh_large_in_nmi(struct kmh_request *r)
{
	unsigned int kind = KMH_NR_SPANCLASSES + r->npages - 1;
	bool on_shelves = r->npages <= KMH_NMI_PAGES && r->align == 1 && r->nid == NUMA_NO_NODE;
	struct kmh_mspan *s;

	if (on_shelves)
		kmh_nmi_ask(r->heap, kind);
	s = kmh_large_fresh(r);
	if (s || !on_shelves)
		return s;
	s = kmh_large_unshelve(r, kind);
	if (!s)
		return NULL;
	if (r->state != KMH_SPAN_LARGE)		/* counted for the shelf; a run does not count */
		atomic_long_dec(&r->heap->large_allocs);
	r->zeroed = false;
	return s;
}

/* Some heap is watched: perhaps this one, or tracers are told of all. */
static noinline void kmh_large_watched(struct kmh_mspan *s, gfp_t gfp)
{
	kmh_watch_large(s);
	kmh_traced_alloc(s->heap, (void *)s->base, gfp);
}

/*
 * An object of @bytes, more than 0, with a span of its own, on node @nid or NUMA_NO_NODE; for
 * @state KMH_SPAN_MANUAL a run of pages. @noscan: it holds no pointers. It is not to fail.
 * Context: what @gfp says.
 * Return: the object, zeroed if @gfp or the kernel wants that, or NULL (counted).
 */
void *kmh_large_find(struct kmheap *heap, size_t bytes, size_t align, gfp_t gfp, int nid,
		     enum kmh_span_state state, bool noscan)
{
	struct kmh_request r = {
		.heap = heap, .bytes = bytes, .npages = kmh_large_pages(bytes),
		.align = max(1UL, align >> KMH_PAGE_SHIFT), .gfp = gfp, .nid = nid,
		.state = state, .noscan = noscan,
	};
	struct kmh_mspan *s;

	might_alloc(gfp);
	if (unlikely(!kmh_gfp_ok(heap, bytes, gfp)))
		return NULL;
	s = kmh_large_unpark(&r, align);
	if (unlikely(!s)) {
		if (unlikely(READ_ONCE(heap->ended)))
			return kmh_tombstone_alloc(heap, _RET_IP_);
		if (unlikely(!READ_ONCE(heap->mcaches)))
			kmh_mcaches_want(heap);
		s = kmh_nested() ? kmh_large_in_nmi(&r) : kmh_large_fresh(&r);
		if (!s) {
			kmh_refused(heap, bytes, gfp, KMH_WHY_ROOM);
			return NULL;
		}
	}
	if (static_branch_unlikely(&kmh_watch_key))
		kmh_large_watched(s, gfp);
	if (!r.zeroed && want_init_on_alloc(gfp))
		kmh_clear_chunked((void *)s->base, r.npages << KMH_PAGE_SHIFT,
				  kmh_alloc_may_grow(gfp));
	return (void *)s->base;
}

/* A descriptor, for a caller that may sleep, or NULL. At the module's limit room is made for it. */
static struct kmh_mspan *kmh_large_descriptor(struct kmheap *heap, gfp_t gfp)
{
	struct kmh_mspan *s = kmh_mspan_get(KMH_SPANCLASS_LARGE);

	if (!s && kmh_mspan_pools_suffice(gfp) == -EDQUOT &&
	    kmh_limit_give_back(heap, 0, KMH_ARENA_TABLES, current_gfp_context(gfp)))
		kmh_mspan_pools_suffice(gfp);
	return s ?: kmh_mspan_get(KMH_SPANCLASS_LARGE);
}

static struct kmh_mspan *kmh_large_user(struct kmheap *heap, size_t bytes, gfp_t gfp)
{
	struct kmh_mheap *mh = &kmh_heap_near_node(heap)->mheap;
	struct kmh_mspan *s = kmh_large_descriptor(heap, gfp);
	struct kmh_arena *a;

	if (!s)
		return NULL;
	a = kmh_mheap_grow_user(mh, kmh_large_pages(bytes), gfp);
	if (!a) {
		kmh_mspan_put(s);
		return NULL;
	}
	kmh_mheap_set_user_span(mh, s, a);
	kmh_sweep_pay(heap, s->npages);
	WRITE_ONCE(s->large_bytes, bytes);
	WRITE_ONCE(s->noscan, true);
	WRITE_ONCE(s->state, KMH_SPAN_LARGE);
	kmh_large_date(s);
	if (unlikely(kmh_mheap_give_up_lost(s)))
		return NULL;
	atomic_long_inc(&heap->large_allocs);
	return s;
}

/* kmheap_alloc_user(): see <linux/kmheap.h>. */
void *kmheap_alloc_user_noprof(struct kmheap *heap, size_t size, gfp_t gfp)
{
	enum kmh_why why = KMH_WHY_REQUEST;
	struct kmh_mspan *s = NULL;

	heap = kmh_heap_or_default(heap);
	might_alloc(gfp);
	if (!kmh_gfp_ok(heap, size, gfp))
		return NULL;
	if (unlikely(READ_ONCE(heap->ended)))
		return kmh_tombstone_alloc(heap, _RET_IP_);
	if (kmh_watch_fails(heap, KMH_SPANCLASS_LARGE, size, gfp))
		return NULL;
	if (size && size >> PAGE_SHIFT < totalram_pages() && kmh_alloc_may_grow(gfp) &&
	    heap->backing != KMH_BACKING_LINEAR) {
		s = kmh_large_user(heap, size, gfp);
		why = KMH_WHY_ROOM;
	}
	if (!s) {
		kmh_refused(heap, size, gfp, why);
		return NULL;
	}
	if (static_branch_unlikely(&kmh_watch_key))
		kmh_large_watched(s, gfp);
	if (kmh_heap_sanitized(heap))
		kmh_sanitize_user(heap, s, gfp);
	return (void *)s->base;
}
EXPORT_SYMBOL_GPL(kmheap_alloc_user_noprof);

/* kmh_large_find() for an allocation of a client's that may be the one to fail. */
void *kmh_large_alloc(struct kmheap *heap, size_t bytes, size_t align, gfp_t gfp, int nid,
		      enum kmh_span_state state, bool noscan)
{
	if (kmh_watch_fails(heap, KMH_SPANCLASS_LARGE, bytes, gfp))
		return NULL;
	return kmh_large_find(heap, bytes, align, gfp, nid, state, noscan);
}
