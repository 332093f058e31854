// SPDX-License-Identifier: GPL-2.0
/*
 * Figures: walks over the spans of a heap.
 *
 * The hot paths count allocations and nothing else; the rest is read off the spans on
 * request. Nothing stops meanwhile, so the figures of a heap in use are of slightly different
 * moments; at rest they add up exactly.
 */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/string.h>

#include "debug/stats.h"
#include "base/backend.h"
#include "base/budget.h"
#include "cpu/depot.h"
#include "cpu/magazine.h"
#include "cpu/tiny.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/spanpool.h"
#include "supply/giveback.h"
#include "supply/grow.h"

static void kmh_walk_large(struct kmh_mspan *s, struct kmh_heap_walk *w)
{
	u64 bytes = (u64)s->npages << KMH_PAGE_SHIFT;

	if (kmh_mspan_waiting(s, 0)) {
		w->st.deferred_objects++;
		w->st.deferred_bytes += bytes;
		return;
	}
	if (kmh_large_claimed(s)) {	/* on its way back */
		w->st.free_bytes += bytes;
		return;
	}
	if (s->state == KMH_SPAN_MANUAL) {
		w->manual_runs++;
		w->st.manual_bytes += bytes;
	} else {
		w->large_objects++;
		w->st.live_objects++;
	}
	w->st.live_bytes += s->large_bytes;
	w->st.waste_bytes += kmh_less(bytes, s->large_bytes);
}

static void kmh_walk_slots(struct kmh_mspan *s, struct kmh_heap_walk *w)
{
	struct kmh_class_stats *c = &w->class[kmh_spanclass_class(s->spanclass)];
	u64 size = READ_ONCE(s->elemsize), idle;	/* once: the span may go meanwhile */
	struct kmh_span_count n;

	kmh_mspan_count(s, &n);
	idle = (n.free + n.remote) * size;
	c->spans++;
	c->pages += s->npages;
	c->live += n.live;
	c->remote += n.remote;
	c->deferred += n.deferred;
	c->free += n.free;
	w->st.live_bytes += n.live * size;
	w->st.deferred_bytes += n.deferred * size;
	w->st.deferred_objects += n.deferred;
	if (READ_ONCE(s->owner)) {
		w->st.cached_bytes += idle;
		/* kmh_mcache_kept_bytes() counts what is in magazines. */
		w->st.cpu_cache_bytes += idle - min(n.held, n.free) * size;
	} else {
		w->st.free_bytes += idle;
		if (kmh_mspan_would_empty(s))
			w->st.central_bytes += (u64)s->npages << KMH_PAGE_SHIFT;
	}
	w->st.waste_bytes += kmh_less((u64)s->npages << KMH_PAGE_SHIFT,
				      s->nelems * size);
	if (s->state == KMH_SPAN_TINY) {
		n.live = kmh_tiny_live(s);	/* objects, not blocks */
		w->tiny_objects += n.live;
	}
	w->st.live_objects += n.live;
}

static void kmh_walk_span(struct kmh_mspan *s, void *ctx)
{
	struct kmh_heap_walk *w = ctx;

	w->st.spans++;
	w->span_pages += s->npages;
	if (s->state == KMH_SPAN_LARGE || s->state == KMH_SPAN_MANUAL)
		kmh_walk_large(s, w);
	else
		kmh_walk_slots(s, w);
}

static void kmh_walk_arena(struct kmh_arena *a, struct kmh_heap_walk *w)
{
	unsigned long nfree = READ_ONCE(a->range.nfree);
	u64 inuse = kmh_less(kmh_parange_held(&a->range), nfree);

	w->span_pages = 0;
	kmh_walk_spans(a, kmh_walk_span, w);
	w->st.arenas++;
	w->st.free_bytes += (u64)nfree << KMH_PAGE_SHIFT;
	/* Pages in use for the page heap and in no span are in a page cache, or parked. */
	w->st.cached_bytes += kmh_less(inuse, w->span_pages) << KMH_PAGE_SHIFT;
	w->st.waste_bytes += a->bytes - ((u64)a->range.npages << KMH_PAGE_SHIFT);
	w->st.footprint_bytes += kmh_arena_held_bytes(a);
	w->st.page_heap_bytes += (u64)nfree << KMH_PAGE_SHIFT;
	if (kmh_arena_gives_pages(a, a->mheap))
		w->st.releasable_bytes += (u64)nfree << KMH_PAGE_SHIFT;
	else if (!inuse)
		w->st.releasable_bytes += kmh_arena_held_bytes(a);
}

/* An arena that reclaim has detached and that is not given back yet: free, but on no level. */
static void kmh_walk_leaving(struct kmh_arena *a, struct kmh_heap_walk *w)
{
	u64 free = (u64)kmh_parange_held(&a->range) << KMH_PAGE_SHIFT;

	w->st.free_bytes += free;
	w->st.waste_bytes += kmh_arena_held_bytes(a) - free;
	w->st.footprint_bytes += kmh_arena_held_bytes(a);
}

/*
 * Bytes that a CPU keeps beside the free slots of its spans. Objects in its magazines are in the
 * free bytes of their spans, too.
 */
static u64 kmh_mcache_kept_bytes(const struct kmh_mcache *mc)
{
	u64 npages = hweight64(READ_ONCE(mc->pages.bits)) + READ_ONCE(mc->large.parked.npages);
	u64 bytes = npages << KMH_PAGE_SHIFT;
	unsigned int i;

	for (i = 0; i < KMH_NR_SPANCLASSES; i++)
		bytes += kmh_magazine_len(mc, i) * kmh_spanclass_size[i];
	return bytes;
}

/*
 * Add what is kept outside of spans, and allocations ever made. The mcaches count what they take of
 * a window; for the tiny class that is blocks, and the objects cut from them are counted apart.
 */
static void kmh_walk_allocs(struct kmheap *heap, struct kmh_heap_walk *w)
{
	struct kmh_mcache *mc;
	struct kmh_node *node;
	int nid = -1, cpu;
	unsigned int i;

	for_each_possible_cpu(cpu)
		w->st.marked_objects += READ_ONCE(kmh_stub_of(heap, cpu)->marked);
	cpu = -1;
	while ((mc = kmh_next_mcache(heap, &cpu))) {
		w->st.allocs += READ_ONCE(mc->tiny_allocs) + READ_ONCE(mc->large.allocs);
		w->st.marked_objects += READ_ONCE(mc->marked);
		w->st.cpu_cache_bytes += kmh_mcache_kept_bytes(mc);
		for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
			struct kmh_class_stats *c = &w->class[kmh_spanclass_class(i)];

			c->allocs += kmh_mcache_allocs(mc, i);
			c->refills += READ_ONCE(mc->refills[i]);
		}
	}
	while ((node = kmh_next_node(heap, &nid))) {
		w->st.page_heap_bytes += (u64)READ_ONCE(node->mheap.store.npages) << KMH_PAGE_SHIFT;
		for (i = 0; i < KMH_NR_SPANCLASSES; i++)
			w->st.cpu_cache_bytes += kmh_depot_len(node, i) * kmh_spanclass_size[i];
		for (i = 0; i < KMH_NR_SPANCLASSES; i++)
			w->class[kmh_spanclass_class(i)].allocs +=
				atomic_long_read(&kmh_mcentral_of(node, i)->nested_allocs);
	}
	for (i = 1; i < KMH_NR_CLASSES; i++)
		w->st.allocs += w->class[i].allocs;
	w->st.allocs += atomic_long_read(&heap->large_allocs);
}

/* A zeroed walk, for kmh_backend_free(), or NULL. Context: process context; sleeps. */
struct kmh_heap_walk *kmh_heap_walk_new(void)
{
	return kmh_backend_zalloc(sizeof(struct kmh_heap_walk), GFP_KERNEL, NUMA_NO_NODE);
}

/* Context: process context. */
static void kmh_reserve_stats(struct kmheap *heap, struct kmh_heap_walk *w)
{
	struct kmheap_stats *st = &w->st;
	struct kmh_reserve_counts *n = &heap->reserve;
	struct kmh_node *node;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid))) {
		struct kmh_mheap *mh = &node->mheap;
		unsigned long pages = READ_ONCE(mh->reserve.pages);

		st->reserve_bytes += (u64)pages << KMH_PAGE_SHIFT;
		st->reserve_peak_bytes += (u64)READ_ONCE(mh->reserve.peak) << KMH_PAGE_SHIFT;
		if (!pages)
			continue;
		st->reserve_missing_bytes += kmh_mheap_missing_bytes(mh);
		w->missing_descriptors = kmh_mspan_pools_missing_bytes();
	}
	st->reserve_served_task = atomic_long_read(&n->served[KMH_CONTEXT_TASK]);
	st->reserve_served_softirq = atomic_long_read(&n->served[KMH_CONTEXT_SOFTIRQ]);
	st->reserve_served_hardirq = atomic_long_read(&n->served[KMH_CONTEXT_HARDIRQ]);
	st->reserve_served_nmi = atomic_long_read(&n->served[KMH_CONTEXT_NMI]);
	st->reserve_refused_task = atomic_long_read(&n->refused[KMH_CONTEXT_TASK]);
	st->reserve_refused_softirq = atomic_long_read(&n->refused[KMH_CONTEXT_SOFTIRQ]);
	st->reserve_refused_hardirq = atomic_long_read(&n->refused[KMH_CONTEXT_HARDIRQ]);
	st->reserve_refused_nmi = atomic_long_read(&n->refused[KMH_CONTEXT_NMI]);
}

/* Correct a walk, which has counted objects on shelves as live. Context: process context. */
void kmh_nmi_walk(struct kmheap *heap, struct kmh_heap_walk *w)
{
	unsigned int kind, i, n;

	for (kind = 0; kind < KMH_NMI_KINDS; kind++) {
		const struct kmh_shelf *shelf = READ_ONCE(heap->nmi.shelf[kind]);
		size_t bytes = kmh_nmi_bytes(kind);

		for (i = 0, n = 0; shelf && i < KMH_SHELF_OBJECTS; i++)
			n += !!READ_ONCE(shelf->slot[i]);
		w->st.live_objects = kmh_less(w->st.live_objects, n);
		w->st.live_bytes = kmh_less(w->st.live_bytes, n * bytes);
		w->st.cached_bytes += n * bytes;
		w->st.allocs = kmh_less(w->st.allocs, n);
		if (kind < KMH_NR_SPANCLASSES) {
			struct kmh_class_stats *c = &w->class[kmh_spanclass_class(kind)];

			c->live = kmh_less(c->live, n);
			c->free += n;
			c->allocs = kmh_less(c->allocs, n);
		} else {
			w->large_objects = kmh_less(w->large_objects, n);
		}
		if (test_bit(kind, heap->nmi.wanted) && n < kmh_nmi_objects(kind))
			w->st.reserve_missing_bytes += (kmh_nmi_objects(kind) - n) * bytes;
	}
}

/*
 * Everything that can be counted in @heap, which the caller keeps alive. @w is zeroed, and filled
 * in. Context: process context; sleeps.
 */
void kmh_heap_walk(struct kmheap *heap, struct kmh_heap_walk *w)
{
	struct kmheap_stats *st = &w->st;
	struct kmh_node *node;
	struct kmh_arena *a;
	int nid = -1;

	/* A span on its way back is in no map, and its pages would count as cached. */
	while ((node = kmh_next_node(heap, &nid)))
		kmh_mheap_drain_pending(&node->mheap);
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		kmh_walk_arena(a, w);
	list_for_each_entry(a, &heap->leaving, list)
		kmh_walk_leaving(a, w);
	mutex_unlock(&heap->arenas_mutex);
	kmh_walk_allocs(heap, w);
	kmh_nmi_walk(heap, w);
	kmh_reserve_stats(heap, w);

	st->metadata_bytes = atomic_long_read(&heap->metadata_bytes);
	st->footprint_bytes += st->metadata_bytes;
	st->limit_bytes = READ_ONCE(heap->limit_bytes);
	/* Every object that was ever made and is not live has been freed. */
	st->frees = kmh_less(st->allocs, st->live_objects);
	st->deferred_limit_bytes = kmh_defer_limit(heap);
	st->generations = READ_ONCE(heap->sweep.generations);
	st->swept_spans = atomic_long_read(&heap->sweep.spans);
	st->collections = READ_ONCE(heap->collections);
	st->collected_objects = atomic_long_read(&heap->collected);
	st->collected_bytes = atomic_long_read(&heap->collected_bytes);
	st->specials = atomic_long_read(&heap->specials.n);
	st->refused_allocs = atomic_long_read(&heap->refused);
	st->double_frees = atomic_long_read(&heap->misuses[KMH_DOUBLE_FREE]);
	st->invalid_frees = atomic_long_read(&heap->misuses[KMH_INVALID_FREE]);
	st->wrong_size_frees = atomic_long_read(&heap->misuses[KMH_WRONG_SIZE_FREE]);
}

/**
 * kmheap_stats_sized() - what kmheap_stats() becomes; call that
 * @heap: the heap; NULL for the default heap.
 * @st: the caller's struct kmheap_stats, which may be an older or a newer one than ours: fields
 *	are only ever added at its end.
 * @bytes: its size. Fields that both sides have are filled in; the rest of @st is zero.
 *
 * There is no struct kmheap_stats in the prototype, because modversions would take its growth for
 * another function.
 *
 * Context: Process context; sleeps. Takes time in proportion to the heap.
 * Return: 0; -ENOMEM, and all zero, when memory for the walk ran out.
 */
int kmheap_stats_sized(struct kmheap *heap, void *st, size_t bytes)
{
	struct kmh_heap_walk *w = kmh_heap_walk_new();

	memset(st, 0, bytes);
	if (!w)
		return -ENOMEM;
	kmh_heap_walk(kmh_heap_or_default(heap), w);
	w->st.reserve_missing_bytes += w->missing_descriptors;
	memcpy(st, &w->st, min(bytes, sizeof(w->st)));
	kmh_backend_free(w);
	return 0;
}
EXPORT_SYMBOL_GPL(kmheap_stats_sized);

static void kmh_stats_add(struct kmheap_stats *sum, const struct kmheap_stats *st)
{
	u64 *to = (u64 *)sum;
	const u64 *from = (const u64 *)st;
	unsigned int i;

	BUILD_BUG_ON(sizeof(*st) % sizeof(u64));
	for (i = 0; i < sizeof(*st) / sizeof(u64); i++)
		to[i] += from[i];
}

/* The sum over all heaps and what they share. Context: process context. Return: 0 or -ENOMEM. */
int kmh_global_stats(struct kmheap_stats *sum, unsigned int *nheaps)
{
	u64 shared = kmh_shared_bytes(), descriptors = 0;
	struct kmh_heap_walk *w = kmh_heap_walk_new();
	struct kmheap *heap;

	memset(sum, 0, sizeof(*sum));
	*nheaps = 0;
	if (!w)
		return -ENOMEM;
	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(heap, &kmh_heaps, list) {
		memset(w, 0, sizeof(*w));
		kmh_heap_walk(heap, w);
		kmh_stats_add(sum, &w->st);
		descriptors = max(descriptors, w->missing_descriptors);
		++*nheaps;
	}
	mutex_unlock(&kmh_heaps_mutex);
	kmh_backend_free(w);

	sum->reserve_missing_bytes += descriptors;
	sum->metadata_bytes += shared;
	sum->footprint_bytes += shared;
	sum->double_frees += atomic_long_read(&kmh_misuses[KMH_DOUBLE_FREE]);
	sum->invalid_frees += atomic_long_read(&kmh_misuses[KMH_INVALID_FREE]);
	sum->wrong_size_frees += atomic_long_read(&kmh_misuses[KMH_WRONG_SIZE_FREE]);
	return 0;
}
