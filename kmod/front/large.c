// SPDX-License-Identifier: GPL-2.0
/*
 * Objects over 32 KiB: a span each, straight from the page heap.
 *
 * After Go's mcache.allocLarge and memclrNoHeapPointersChunked (src/runtime/
 * malloc.go): zeroed late, only what is not known to be zero, and in pieces.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "front/front.h"
#include "base/lock.h"
#include "central/trip.h"
#include "heap.h"
#include "span/arenamap.h"
#include "span/spanpool.h"
#include "supply/grow.h"
#include "up.h"

/* Like kmalloc(), refuse more than the machine has: it can only be a mistake. */
static bool kmh_large_size_ok(size_t bytes, gfp_t gfp)
{
	if (likely(bytes >> PAGE_SHIFT < totalram_pages()))
		return true;
	WARN_ONCE(!(gfp & __GFP_NOWARN), "kmheap: %zu bytes asked for, more than this machine has\n",
		  bytes);
	return false;
}

/* Get a span from the page heap; kmh_large_date() has to follow. */
static struct kmh_mspan *kmh_large_span(struct kmh_mheap *mh, unsigned long npages,
					unsigned long align, gfp_t gfp, bool *zeroed)
{
	struct kmh_mspan *s;
	unsigned long seen;

	for (;;) {
		seen = READ_ONCE(mh->ngrown);
		s = kmh_mheap_alloc_span(mh, NULL, KMH_SPANCLASS_LARGE, npages, align,
					 kmh_alloc_is_urgent(gfp), zeroed);
		if (s) {
			kmh_sweep_pay(mh->heap, npages);
			return s;
		}
		if (!kmh_alloc_may_grow(gfp))
			return NULL;
		if (kmh_mspan_pools_short(KMH_SPANCLASS_LARGE) &&
		    !kmh_mspan_pools_refill(KMH_SPAN_RESERVE, gfp))
			continue;
		if (kmh_mheap_grow(mh, npages, align, seen, gfp))
			return NULL;
	}
}

/* A span of node @nid, or for a caller that cannot grow of the nearest node that has pages. */
static struct kmh_mspan *kmh_large_span_near(struct kmheap *heap, int nid, unsigned long npages,
					     unsigned long align, gfp_t gfp, bool *zeroed)
{
	struct kmh_mheap *mh = &kmh_heap_node(heap, nid)->mheap;
	struct kmh_mspan *s = kmh_large_span(mh, npages, align, gfp, zeroed);
	int from = mh->nid;

	nid = from;
	if (gfp & __GFP_THISNODE || kmh_alloc_may_grow(gfp))
		return s;
	while (!s && (nid = kmh_node_next_nearest(heap, from, nid)) != NUMA_NO_NODE)
		s = kmh_large_span(&kmh_heap_node(heap, nid)->mheap, npages, align, gfp, zeroed);
	return s;
}

/*
 * Make a parked span an object again: first its claim goes, then its state is not FREED any
 * more.
 */
static __always_inline void kmh_large_become(struct kmh_mspan *s, size_t bytes,
					     enum kmh_span_state state, bool noscan)
{
	WRITE_ONCE(s->large_bytes, bytes);
	WRITE_ONCE(s->noscan, noscan);
	kmh_large_begin(s);
	WRITE_ONCE(s->state, state);
}

/* Date a span that is initialized: the sweep may find it from here on. */
static void kmh_large_date(struct kmh_mspan *s)
{
	struct kmh_mcache __percpu *mcache = s->mcache;

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

static noinline struct kmh_mspan *kmh_large_fresh(struct kmheap *heap, size_t bytes, size_t align,
						  gfp_t gfp, int nid, enum kmh_span_state state,
						  bool noscan, bool *zeroed)
{
	struct kmh_mspan *s;

	if (!kmh_large_size_ok(bytes, gfp))
		return NULL;
	if (nid == NUMA_NO_NODE)
		nid = kmh_heap_near_node(heap)->mheap.nid;
	s = kmh_large_span_near(heap, nid, kmh_large_pages(bytes),
				max(1UL, align >> KMH_PAGE_SHIFT), gfp, zeroed);
	if (!s)
		return NULL;
	WRITE_ONCE(s->large_bytes, bytes);
	WRITE_ONCE(s->noscan, noscan);
	WRITE_ONCE(s->state, state);
	kmh_large_date(s);
	if (state == KMH_SPAN_LARGE)
		atomic_long_inc(&heap->large_allocs);
	return s;
}

/* A large object for a shelf, from the page heap. NULL is not counted as a refusal. */
void *kmh_large_try(struct kmheap *heap, size_t bytes, gfp_t gfp)
{
	bool zeroed;
	struct kmh_mspan *s = kmh_large_fresh(heap, bytes, 1, gfp, NUMA_NO_NODE, KMH_SPAN_LARGE,
					      false, &zeroed);

	return s ? (void *)s->base : NULL;
}

/*
 * A span from the page heap or, in NMI, from a shelf. The rest is as kmh_large_fresh() leaves
 * it.
 */
static struct kmh_mspan *kmh_large_in_nmi(struct kmheap *heap, size_t bytes, size_t align,
					  gfp_t gfp, int nid, enum kmh_span_state state,
					  bool noscan, bool *zeroed)
{
	unsigned long npages = kmh_large_pages(bytes);
	unsigned int kind = KMH_NR_SPANCLASSES + npages - 1;
	bool on_shelves = npages <= KMH_NMI_PAGES && align <= KMH_PAGE_SIZE && nid == NUMA_NO_NODE;
	struct kmh_mspan *s;
	void *p;

	if (on_shelves)
		kmh_nmi_ask(heap, kind);
	s = kmh_large_fresh(heap, bytes, align, gfp, nid, state, noscan, zeroed);
	if (s || !on_shelves)
		return s;
	p = kmh_nmi_take(heap, kind);
	if (!p)
		return NULL;
	s = kmh_span_of((unsigned long)p);
	kmh_large_become(s, bytes, state, noscan);
	if (state != KMH_SPAN_LARGE)
		atomic_long_dec(&heap->large_allocs);	/* the shelf's; a run does not count */
	*zeroed = false;
	return s;
}

/**
 * kmh_large_alloc() - an object with a span of its own
 * @heap: the heap.
 * @bytes: more than 0.
 * @align: in bytes, a power of two.
 * @gfp: as for kmheap_alloc().
 * @nid: node, or NUMA_NO_NODE for the caller's.
 * @state: KMH_SPAN_LARGE for an object, KMH_SPAN_MANUAL for a run of pages.
 * @noscan: the object holds no pointers.
 *
 * Context: What @gfp says.
 * Return: the object, zeroed if @gfp or the kernel wants that, or NULL (counted).
 */
void *kmh_large_alloc(struct kmheap *heap, size_t bytes, size_t align, gfp_t gfp, int nid,
		      enum kmh_span_state state, bool noscan)
{
	unsigned long npages = kmh_large_pages(bytes);
	struct kmh_mspan *s;
	bool zeroed = false;

	might_alloc(gfp);
	if (unlikely(!kmh_gfp_ok(heap, gfp)))
		return NULL;
	s = kmh_largecache_take(heap, npages, align, nid, state == KMH_SPAN_LARGE);
	if (likely(s)) {
		kmh_large_become(s, bytes, state, noscan);
	} else {
		if (unlikely(READ_ONCE(heap->ended)))
			return kmh_ended_alloc(heap, _RET_IP_);
		s = kmh_nested() ?
			    kmh_large_in_nmi(heap, bytes, align, gfp, nid, state, noscan, &zeroed) :
			    kmh_large_fresh(heap, bytes, align, gfp, nid, state, noscan, &zeroed);
		if (!s)
			goto refused;
	}
	if (!zeroed && want_init_on_alloc(gfp))
		kmh_clear_chunked((void *)s->base, npages << KMH_PAGE_SHIFT,
				  kmh_alloc_may_grow(gfp));
	return (void *)s->base;

refused:
	kmh_refused(heap, gfp);
	return NULL;
}
