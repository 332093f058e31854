// SPDX-License-Identifier: GPL-2.0
/*
 * Arenas: what a heap takes from the kernel, one vmalloc area each.
 *
 * A module can neither reserve address space without backing it nor unmap a part
 * of an area, so an arena is taken and given back whole. Its first heap page is a
 * guard and never handed out.
 */
#include <linux/mm.h>

#include "internal.h"

static unsigned long kmh_first_page(void *vbase)
{
	return ALIGN((unsigned long)vbase, KMH_PAGE_SIZE) >> KMH_PAGE_SHIFT;
}

static unsigned long kmh_end_page(void *vbase, size_t bytes)
{
	return ((unsigned long)vbase + bytes) >> KMH_PAGE_SHIFT;
}

/* Tables for @vbase; the pages belong to nobody yet. */
static struct kmh_arena *kmh_arena_wrap(struct kmh_mheap *mh, void *vbase, size_t bytes, gfp_t gfp)
{
	unsigned long first = kmh_first_page(vbase);
	unsigned long npages = kmh_end_page(vbase, bytes) - first;
	size_t map = BITS_TO_LONGS(npages) * sizeof(long);
	size_t range = ALIGN(kmh_parange_bytes(npages - 1), sizeof(long));
	size_t meta = ALIGN(sizeof(struct kmh_arena), 64) + range + 3 * map;
	struct kmh_arena *a = kmh_backend_zalloc(meta, gfp, mh->nid);

	if (!a)
		return NULL;
	a->heap = mh->heap;
	a->mheap = mh;
	a->vbase = vbase;
	a->bytes = bytes;
	a->meta_bytes = meta;
	a->first = first;
	a->npages = npages;
	/* vmalloc has cleared the pages where the kernel clears all of them. */
	a->zeroed_from = want_init_on_alloc(0) ? first : ULONG_MAX;
	INIT_LIST_HEAD(&a->list);
	kmh_parange_init(&a->range, first + 1, npages - 1,
			 (void *)a + ALIGN(sizeof(struct kmh_arena), 64));
	a->page_inuse = (void *)a + ALIGN(sizeof(struct kmh_arena), 64) + range;
	a->page_marks = (void *)a->page_inuse + map;
	a->page_specials = (void *)a->page_marks + map;
	return a;
}

static struct kmh_arena *kmh_arena_map(struct kmh_mheap *mh, void *vbase, size_t bytes, gfp_t gfp)
{
	struct kmh_arena *a = kmh_arena_wrap(mh, vbase, bytes, gfp);

	if (!a)
		return NULL;
	if (kmh_arenamap_cover(a->first, a->npages, gfp) ||
	    kmh_mspan_pools_reserve(KMH_SPAN_RESERVE, gfp) ||
	    kmh_magazines_reserve(num_online_cpus(), gfp)) {
		kmh_backend_free(a);
		return NULL;
	}
	kmh_arenamap_set(a->first, a->npages, mh->heap->unused);
	kmh_heap_account_metadata(mh->heap, a->meta_bytes);
	return a;
}

/**
 * kmh_arena_create() - take an arena from the kernel
 * @mh: whose.
 * @bytes: how much, a multiple of PAGE_SIZE.
 * @gfp: how hard to try; must allow sleeping.
 *
 * The arena is booked and in the arenas map, but in no list and no page allocator.
 *
 * Context: Process context; sleeps. Under a grow mutex.
 * Return: the arena; NULL when the heap's limit or the kernel says no.
 */
struct kmh_arena *kmh_arena_create(struct kmh_mheap *mh, size_t bytes, gfp_t gfp)
{
	struct kmh_arena *a;
	void *vbase;

	gfp &= ~__GFP_ZERO;
	if (!kmh_heap_book(mh->heap, bytes))
		return NULL;
	vbase = kmh_backend_arena(bytes, gfp, mh->nid);
	if (!vbase)
		goto unbook;
	a = kmh_arena_map(mh, vbase, bytes, gfp);
	if (a)
		return a;
	kmh_backend_free_arena(vbase);
unbook:
	kmh_heap_unbook(mh->heap, bytes);
	return NULL;
}

/**
 * kmh_arena_destroy() - give an arena back
 * @a: in no list and no page allocator; its map entries say "gone", and a grace
 *	period has passed since.
 *
 * Context: Process context; sleeps.
 */
void kmh_arena_destroy(struct kmh_arena *a)
{
	kmh_heap_account_metadata(a->heap, -(long)a->meta_bytes);
	kmh_heap_unbook(a->heap, a->bytes);
	kmh_backend_free_arena(a->vbase);
	kmh_backend_free(a);
}

/*
 * Nothing in it is in use, and so much is free without it that nobody grows ahead. Under the
 * page heap's lock.
 */
static bool kmh_arena_is_idle(const struct kmh_arena *a)
{
	const struct kmh_mheap *mh = a->mheap;

	return !a->dedicated && a->range.nfree == a->range.npages &&
	       mh->pa.nfree - a->range.npages >= 2 * mh->low_pages;
}

/* Take @a out of its page allocator if nothing in it is in use. */
static bool kmh_arena_detach_free(struct kmh_arena *a, bool idle)
{
	struct kmh_mheap *mh = a->mheap;
	unsigned long flags;
	bool empty;

	raw_spin_lock_irqsave(&mh->lock, flags);
	empty = idle ? kmh_arena_is_idle(a) : a->range.nfree == a->range.npages;
	if (empty)
		kmh_pa_remove(kmh_arena_pa(a), &a->range, false);
	/* Who gives everything back does not want it back at once; the next arena sets it. */
	if (!mh->pa.npages)
		mh->low_pages = 0;
	raw_spin_unlock_irqrestore(&mh->lock, flags);
	if (empty)	/* nobody can allocate from it any more */
		kmh_arenamap_set(a->first, a->npages, &kmh_span_gone);
	return empty;
}

/* What was detached. Sleeps for a grace period if there is any. Returns its bytes. */
static size_t kmh_arena_destroy_all(struct list_head *gone)
{
	struct kmh_arena *a, *next;
	size_t bytes = 0;

	if (list_empty(gone))
		return 0;
	synchronize_rcu();	/* lookups that still read these arenas' spans */
	list_for_each_entry_safe(a, next, gone, list) {
		bytes += a->bytes;
		kmh_arena_destroy(a);
	}
	return bytes;
}

/**
 * kmh_arena_release_free() - give back every arena without a page in use
 * @heap: the heap.
 * @dedicated_only: only those that were made for one object.
 *
 * Context: Process context; sleeps for a grace period if there is any.
 * Return: bytes given back.
 */
size_t kmh_arena_release_free(struct kmheap *heap, bool dedicated_only)
{
	struct kmh_arena *a, *next;
	LIST_HEAD(gone);

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry_safe(a, next, &heap->arenas, list) {
		if (dedicated_only && !a->dedicated)
			continue;
		if (kmh_arena_detach_free(a, false))
			list_move(&a->list, &gone);
	}
	mutex_unlock(&heap->arenas_mutex);
	return kmh_arena_destroy_all(&gone);
}

/**
 * kmh_arena_release_idle() - give back some arenas without a page in use
 * @heap: the heap.
 * @bytes: how much at most.
 * @n: set to how many.
 *
 * The youngest first. Those of one object go by themselves, and what growing ahead would
 * fetch again at once stays.
 *
 * Context: Process context; sleeps for a grace period if there is any.
 * Return: bytes given back.
 */
size_t kmh_arena_release_idle(struct kmheap *heap, size_t bytes, unsigned int *n)
{
	struct kmh_arena *a, *next;
	LIST_HEAD(gone);

	*n = 0;
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry_safe_reverse(a, next, &heap->arenas, list) {
		if (a->bytes > bytes || !kmh_arena_detach_free(a, true))
			continue;
		list_move(&a->list, &gone);
		bytes -= a->bytes;
		++*n;
	}
	mutex_unlock(&heap->arenas_mutex);
	return kmh_arena_destroy_all(&gone);
}

/* The smallest that kmh_arena_release_idle() would find, in bytes, or 0. Context: likewise. */
size_t kmh_arena_least_idle(struct kmheap *heap)
{
	struct kmh_arena *a;
	size_t least = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list) {
		unsigned long flags;

		raw_spin_lock_irqsave(&a->mheap->lock, flags);
		if (kmh_arena_is_idle(a) && (!least || a->bytes < least))
			least = a->bytes;
		raw_spin_unlock_irqrestore(&a->mheap->lock, flags);
	}
	mutex_unlock(&heap->arenas_mutex);
	return least;
}
