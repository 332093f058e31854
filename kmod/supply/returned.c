// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of blocks that go back one by one.
 *
 * After the scavenged bit of Go's pages (src/runtime/mpagealloc.go) and the returned spans of
 * TCMalloc, but for good: a heap page of a block that is free is marked as in use and as returned,
 * its map entry says "gone", and the kernel's pages behind it go. Nobody comes back to the address
 * until the page allocator gives the page to somebody, perhaps to this heap as part of a new block,
 * which then has the map entries. So nothing looks up a returned page of an arena by its address
 * (kmh_arena_next_run()). A block all of whose pages are free or returned leaves like any arena.
 *
 * Where a page of the kernel is larger than a heap page, the heap pages in it are a unit: they go
 * back together, when all of them are free. A block begins with a page of the kernel, so units are
 * counted from there.
 *
 * A heap page is in one of four states: in use, free, in a page cache (which is in use for the page
 * allocator), or returned. No grace period is needed: who reads the map late meets a descriptor,
 * never the page.
 */
#include <linux/bitmap.h>
#include <trace/events/kmheap.h>

#include "supply/giveback.h"
#include "base/lock.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/arenamap.h"

/* The pages that one hold of the page heap's lock returns. */
#define KMH_RETURN_BATCH	64UL

/* Do free pages of the arena go back by themselves? */
bool kmh_arena_gives_pages(const struct kmh_arena *a, const struct kmh_mheap *mh)
{
	return a->returned && a->mheap == mh && !a->dedicated;
}

/*
 * How many free pages of a block could go back: whole units. A guess, but under the page heap's
 * lock. Context: any.
 */
unsigned long kmh_arena_pages_to_give(const struct kmh_arena *a)
{
	const unsigned long firsts = ~0UL / (BIT(KMH_RETURN_UNIT) - 1);	/* a bit for each unit */
	unsigned long i, step, n = 0;

	if (KMH_RETURN_UNIT == 1)
		return READ_ONCE(a->range.nfree);
	for (i = 0; i < BITS_TO_LONGS(a->npages); i++) {
		unsigned long free = ~READ_ONCE(a->range.bits[i]);

		for (step = 1; step < KMH_RETURN_UNIT; step *= 2)
			free &= free >> step;
		n += hweight_long(free & firsts);
	}
	return n * KMH_RETURN_UNIT;
}

/*
 * Find free pages of the arena that are whole units, @most pages at most, from page *@page on,
 * which is set to the first of them. Context: the page heap's lock held. Return: how many, one
 * behind the other; 0 when there are none.
 */
static unsigned long kmh_arena_find_units(const struct kmh_arena *a, unsigned long *page,
					  unsigned long most)
{
	const unsigned long *bits = a->range.bits;
	unsigned long end, n;

	if (most < KMH_RETURN_UNIT)
		return 0;
	for (end = *page; ; ) {
		*page = round_up(find_next_zero_bit(bits, a->npages, end), KMH_RETURN_UNIT);
		if (*page >= a->npages)
			return 0;
		end = find_next_bit(bits, min(*page + most, a->npages), *page);
		n = round_down(end - *page, KMH_RETURN_UNIT);
		if (n)
			return n;
	}
}

/*
 * Mark free pages of the arena as returned, @most at most, from page *@page on, which is set to the
 * first of them. Return: how many, one behind the other; 0 when there are none, or none to spare.
 */
static unsigned long kmh_arena_mark_returned(struct kmh_arena *a, unsigned long *page,
					     unsigned long most,
					     const struct kmh_leavers *which)
{
	struct kmh_mheap *mh = a->mheap;
	unsigned long keep, n = 0, flags;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	keep = kmh_mheap_keep(mh, which);
	if (mh->pa.nfree > keep && !kmh_arena_has_run_locked(a, which)) {
		most = min3(most, KMH_RETURN_BATCH, mh->pa.nfree - keep);
		n = kmh_arena_find_units(a, page, most);
	}
	if (n) {
		bitmap_set(a->returned, *page, n);
		kmh_pa_return(&mh->pa, &a->range, *page, n);
	}
	kmh_unlock_irqrestore(&mh->lock, flags);
	return n;
}

/* Return up to @most free pages of an arena. Return: how many. */
static unsigned long kmh_arena_return(struct kmh_arena *a, unsigned long most,
				      const struct kmh_leavers *which)
{
	unsigned long page = 0, done = 0, n;

	while (done < most && (n = kmh_arena_mark_returned(a, &page, most - done, which))) {
		kmh_arenamap_replace(a->first + page, n, a->heap->unused, &kmh_span_gone);
		kmh_arenamap_replace(a->first + page, n, a->heap->freed, &kmh_span_gone);
		kmh_arena_free_pages(a, page, n);
		trace_release(a->heap->name, n << KMH_PAGE_SHIFT, a->mheap->nid, "pages",
			      kmh_who_names[which->who]);
		kmh_arena_unbook_pages(a, n);
		done += n;
		page += n;
		cond_resched();
	}
	return done;
}

/* Has a page heap of those that are meant more free pages than stay? */
static bool kmh_pages_may_return(struct kmheap *heap, const struct kmh_leavers *which)
{
	struct kmh_node *node;
	int nid = -1;

	/* Finalizers read what they free. */
	if (READ_ONCE(heap->specials.ending))
		return false;
	while ((node = kmh_next_node(heap, &nid))) {
		const struct kmh_mheap *mh = &node->mheap;

		if ((!which->mheap || which->mheap == mh) &&
		    READ_ONCE(mh->pa.nfree) > kmh_mheap_keep(mh, which))
			return true;
	}
	return false;
}

/* The pages that @which asks for: so much at most, or else so much at least. */
static unsigned long kmh_leavers_pages(const struct kmh_leavers *which)
{
	unsigned long pages = which->bytes / KMH_PAGE_SIZE;

	if (which->at_most)
		return pages;
	return round_up(pages + !!(which->bytes % KMH_PAGE_SIZE), KMH_RETURN_UNIT);
}

/*
 * Return free pages of blocks that cannot leave as a whole, as @which says: first of those blocks
 * that have returned some already, so that these become empty, then of the youngest. Context:
 * process context, also reclaim; arenas_mutex held; does not wait. Return: bytes.
 */
size_t kmh_pages_return_locked(struct kmheap *heap, const struct kmh_leavers *which)
{
	unsigned long most = kmh_leavers_pages(which), done = 0, n;
	struct kmh_arena *a;
	unsigned int round;

	lockdep_assert_held(&heap->arenas_mutex);
	if (heap->backing == KMH_BACKING_AREA || !kmh_pages_may_return(heap, which))
		return 0;
	for (round = 0; round < 2; round++) {
		list_for_each_entry_reverse(a, &heap->arenas, list) {
			if (done == most)
				break;
			if (!round == !a->range.nreturned || !READ_ONCE(a->range.nfree) ||
			    !kmh_arena_gives_pages(a, which->mheap ?: a->mheap))
				continue;
			n = kmh_arena_return(a, most - done, which);
			done += n;
			if (n && !kmh_pages_may_return(heap, which))
				goto out;
		}
	}
out:
	return done << KMH_PAGE_SHIFT;
}

/* kmh_pages_return_locked() without arenas_mutex held. Context: process context; sleeps. */
size_t kmh_pages_return(struct kmheap *heap, const struct kmh_leavers *which)
{
	size_t done;

	mutex_lock(&heap->arenas_mutex);
	done = kmh_pages_return_locked(heap, which);
	mutex_unlock(&heap->arenas_mutex);
	return done;
}
