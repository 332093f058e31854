// SPDX-License-Identifier: GPL-2.0
/* How large the next arena is. */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "supply/grow_size.h"
#include "base/backend.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/arenamap.h"
#include "supply/grow.h"
#include "supply/limit.h"

/*
 * An arena is at most this share of what the heap has, because on average half of the last
 * arena is not needed; but huge pages are worth two of them in a heap of any size. The same
 * share bounds what is cut off, or added, for the sake of huge pages.
 */
#define KMH_ARENA_SHARE		32

/*
 * The least that an arena for reclaim has: reclaim gets the last pages that the kernel has, a
 * few MiB, and others need them too. This is four spans of the smallest kind.
 */
#define KMH_ARENA_URGENT_BYTES	(32UL << 10)

static size_t kmh_most_arena_bytes(struct kmheap *heap)
{
	size_t share = atomic_long_read(&heap->arena_bytes) / KMH_ARENA_SHARE;

	if (share < 2 * KMH_ARENA_FULL_MIN_BYTES)
		return KMH_ARENA_FULL_MIN_BYTES;
	return min(rounddown_pow_of_two(share), kmh_arena_bytes);
}

/*
 * An arena for long runs of @run bytes: as many as fit into what the heap may take at once,
 * at least one, and nothing else; of huge pages where that wastes next to nothing.
 */
static size_t kmh_long_runs_bytes(struct kmheap *heap, size_t run)
{
	size_t share = atomic_long_read(&heap->arena_bytes) / KMH_ARENA_SHARE;
	size_t bytes = max3(min(share, kmh_arena_bytes), (size_t)KMH_ARENA_MIN_BYTES, run);
	size_t huge = round_down(bytes, PMD_SIZE);

	if (huge >= run && huge % run <= huge / KMH_ARENA_SHARE)
		return huge;
	return round_up(bytes / run * run, max(KMH_PAGE_SIZE, PAGE_SIZE));
}

/* Is so much free in @mh, but in runs that are too short for @npages? Then a small arena does. */
static bool kmh_is_patch(const struct kmh_mheap *mh, unsigned long npages, size_t want)
{
	return want >= KMH_ARENA_FULL_MIN_BYTES && npages > 1 &&
	       READ_ONCE(mh->pa.nfree) >= want / 2 >> KMH_PAGE_SHIFT;
}

/*
 * Is the heap to try a block for such a run? A run that is to have an arena of its own has an area,
 * which fits it, unless the heap is of blocks alone.
 */
bool kmh_wants_block(const struct kmheap *heap, unsigned long npages, unsigned long align)
{
	if (heap->backing == KMH_BACKING_AREA || !kmh_fits_block(npages, align))
		return false;
	return heap->backing == KMH_BACKING_LINEAR || !kmh_wants_own_arena(npages);
}

/* A block for long runs of @run bytes, and nothing beside them, as of an arena. */
static size_t kmh_long_block_bytes(struct kmheap *heap, size_t run)
{
	size_t share = atomic_long_read(&heap->arena_bytes) / KMH_ARENA_SHARE;
	size_t bytes = rounddown_pow_of_two(clamp_t(size_t, share, KMH_ARENA_MIN_BYTES,
						    KMH_BLOCK_MAX_BYTES));

	return max(bytes / run, 1UL) * run;
}

/*
 * Sizes of a block, which is aligned to the power of two that is not less. One for long runs ends
 * with the last of them.
 */
struct kmh_grow_size kmh_grow_block_size(struct kmh_mheap *mh, unsigned long npages,
					 unsigned long align)
{
	size_t run = round_up((align == 1 ? npages : roundup_pow_of_two(max(npages, align)))
			      << KMH_PAGE_SHIFT, max(KMH_PAGE_SIZE, PAGE_SIZE));
	size_t most = min(kmh_most_arena_bytes(mh->heap), KMH_BLOCK_MAX_BYTES);
	size_t next = READ_ONCE(mh->heap->next_arena_bytes);
	size_t least = min(KMH_BLOCK_MIN_BYTES, next);
	bool urgent = current->flags & PF_MEMALLOC;
	struct kmh_grow_size g = {
		.dedicated = kmh_wants_own_arena(npages),
		.patch = true,
		.block = true,
	};

	if (urgent)
		least = max(KMH_ARENA_URGENT_BYTES, PAGE_SIZE);
	g.need = max(run, least);
	g.want = min(next, most);
	if (urgent || g.dedicated || kmh_memory_is_short(g.want)) {
		g.want = g.need;
		return g;
	}
	if (kmh_is_long_run(npages) && align == 1) {
		g.want = kmh_long_block_bytes(mh->heap, g.need);
		return g;
	}
	g.patch = kmh_is_patch(mh, npages, g.want);
	if (g.patch)
		g.want /= 4;
	g.want = max(g.want, g.need);
	return g;
}

struct kmh_grow_size kmh_grow_area_size(struct kmh_mheap *mh, unsigned long npages,
					unsigned long align)
{
	struct kmheap *heap = mh->heap;
	size_t next = READ_ONCE(heap->next_arena_bytes);
	size_t least = min(KMH_ARENA_MIN_BYTES, next);
	struct kmh_grow_size g = {
		.need = kmh_arena_need(npages, align, PAGE_SIZE),
		.dedicated = kmh_wants_own_arena(npages),
		.patch = true,
	};

	if (current->flags & PF_MEMALLOC) {
		g.need = max(g.need, round_up(KMH_ARENA_URGENT_BYTES, PAGE_SIZE));
		g.want = g.need;
		return g;
	}
	if (g.dedicated) {
		/* Huge pages only where rounding up to them costs next to nothing. */
		if (round_up(g.need, PMD_SIZE) - g.need <= g.need / KMH_ARENA_SHARE)
			g.need = round_up(g.need, PMD_SIZE);
		g.want = g.need;
		return g;
	}
	if (kmh_is_long_run(npages) && align == 1) {
		g.want = kmh_long_runs_bytes(heap, g.need);
		return g;
	}
	g.want = min(next, kmh_most_arena_bytes(heap));
	if (kmh_memory_is_short(g.want)) {	/* then no more than the request */
		g.need = max(g.need, least);
		g.want = g.need;
		return g;
	}
	g.patch = kmh_is_patch(mh, npages, g.want);
	if (g.patch)
		g.want /= 4;
	while (g.want < g.need)
		g.want *= 2;
	g.need = max(g.need, least);
	return g;
}

/* The least bytes that the heap has to be allowed for an area with such a run. */
size_t kmh_grow_area_need(struct kmh_mheap *mh, unsigned long npages, unsigned long align)
{
	/* An area of small pages is larger than its heap pages; see kmh_backend_arena(). */
	return kmh_grow_area_size(mh, npages, align).need +
	       max(KMH_PAGE_SIZE, PAGE_SIZE) - PAGE_SIZE;
}

/* The least bytes that the heap has to be allowed for such a run. */
size_t kmh_grow_need(struct kmh_mheap *mh, unsigned long npages, unsigned long align)
{
	if (kmh_wants_block(mh->heap, npages, align))
		return kmh_grow_block_size(mh, npages, align).need;
	return kmh_grow_area_need(mh, npages, align);
}

/*
 * Do the limits forbid the smallest arena that has a run of @npages, and what comes with it? A
 * guess, as others book meanwhile. Context: any.
 */
bool kmh_mheap_is_limited(struct kmh_mheap *mh, unsigned long npages)
{
	return kmh_limit_forbids(mh->heap, kmh_grow_need(mh, npages, 1), KMH_ARENA_TABLES);
}
