// SPDX-License-Identifier: GPL-2.0
/*
 * Booking: what the hard limits allow to be taken from the kernel.
 *
 * Whoever wants an arena books it first, and gets none when the heap's limit or the module's
 * forbids it. Metadata that comes with no arena (finalizers, weak handles, magazines, the shelves
 * of NMIs) is booked as well: it lessens the room for arenas, and is refused when the arenas that
 * there are would have too little. What is done about it before that is final is in limit.c.
 */
#include <linux/math.h>
#include <linux/spinlock.h>

#include "base/budget.h"
#include "base/fixalloc.h"
#include "base/testpoint.h"
#include "heap.h"

/* An owner is told again only after its heap has been this share of the soft limit below it. */
#define KMH_LIMIT_HYSTERESIS	16

atomic_long_t kmh_total_bytes;
atomic_long_t kmh_total_base;
size_t kmh_total_limit;
static atomic_long_t kmh_shared_tables;

/* Of no heap: tables of the module are @bytes larger, or smaller. Context: any. */
void kmh_shared_account(long bytes)
{
	atomic_long_add(bytes, &kmh_shared_tables);
}

/*
 * Count tables of the module of @bytes before they are taken, in the order of kmh_heap_book(). What
 * the limit forbids anyway is not counted for a moment either: others would be refused by it.
 * Context: any. Return: false, and nothing counted, when the module's limit forbids it.
 */
bool kmh_shared_try_account(size_t bytes)
{
	if (!kmh_total_allows(bytes))
		return false;
	atomic_long_add_return(bytes, &kmh_shared_tables);
	if (kmh_total_allows(0))
		return true;
	kmh_shared_account(-(long)bytes);
	return false;
}

u64 kmh_shared_bytes(void)
{
	return atomic_long_read(&kmh_shared_tables) + kmh_fixallocs_unused_bytes();
}

/*
 * Bytes of arenas that keep @limit. Each arena is counted with the most metadata that can
 * come with it: 1,856 bytes a page if it were all spans of 8-byte objects, with its own tables a
 * quarter. The tables of pages that it has returned are in the base (kmh_heap_move_side()).
 */
static size_t kmh_limit_room(size_t limit, size_t base)
{
	if (!limit)
		return SIZE_MAX;
	return limit > base ? mult_frac(limit - base, 4, 5) : 0;
}

size_t kmh_heap_room(const struct kmheap *heap, size_t more)
{
	size_t base = heap->base_metadata_bytes + atomic_long_read(&heap->limit.side_bytes);

	return kmh_limit_room(READ_ONCE(heap->limit_bytes), base + more);
}

size_t kmh_total_room(size_t more)
{
	size_t limit = READ_ONCE(kmh_total_limit);

	if (!limit)
		return SIZE_MAX;
	return kmh_limit_room(limit,
			      atomic_long_read(&kmh_total_base) + kmh_shared_bytes() + more);
}

bool kmh_total_allows(size_t bytes)
{
	return atomic_long_read(&kmh_total_bytes) <= kmh_total_room(bytes);
}

/*
 * Count the @bytes of an arena before they are taken from the kernel, so that growers on several
 * nodes and in several heaps together keep the limits.
 *
 * Booking an arena adds its bytes first and then reads what the rest leaves room for; booking
 * something else does it the other way round. The additions are fully ordered, so of two
 * callers that exceed a limit together one sees the other. What a limit forbids anyway is counted
 * for no moment, as in kmh_shared_try_account().
 *
 * Return: false, and nothing booked, when the heap's limit or the module's forbids it.
 */
bool kmh_heap_book(struct kmheap *heap, size_t bytes)
{
	size_t mine, all;

	if (atomic_long_read(&heap->arena_bytes) + bytes > kmh_heap_room(heap, 0) ||
	    atomic_long_read(&kmh_total_bytes) + bytes > kmh_total_room(0))
		return false;
	mine = atomic_long_add_return(bytes, &heap->arena_bytes);
	all = atomic_long_add_return(bytes, &kmh_total_bytes);
	kmh_test_point("budget: an arena is counted");
	if (mine <= kmh_heap_room(heap, 0) && all <= kmh_total_room(0))
		return true;
	atomic_long_sub(bytes, &kmh_total_bytes);
	atomic_long_sub(bytes, &heap->arena_bytes);
	return false;
}

size_t kmh_heap_footprint(const struct kmheap *heap)
{
	return atomic_long_read(&heap->arena_bytes) + atomic_long_read(&heap->metadata_bytes);
}

/* The heap has become smaller: is it well below its soft limit again? */
static void kmh_limit_lessened(struct kmheap *heap)
{
	struct kmh_limit *l = &heap->limit;
	size_t soft;

	if (likely(!READ_ONCE(l->over)))
		return;
	spin_lock(&l->lock);
	soft = l->soft_bytes;
	if (kmh_heap_footprint(heap) <= soft - soft / KMH_LIMIT_HYSTERESIS)
		WRITE_ONCE(l->over, false);
	spin_unlock(&l->lock);
}

void kmh_heap_unbook(struct kmheap *heap, size_t bytes)
{
	atomic_long_sub(bytes, &kmh_total_bytes);
	atomic_long_sub(bytes, &heap->arena_bytes);
	kmh_limit_lessened(heap);
}

/*
 * Count @bytes of metadata that are about to be taken and come with no arena, also in
 * metadata_bytes. The heap has an arena. Context: any.
 * Return: false, and nothing booked, when the heap's limit or the module's forbids it.
 */
bool kmh_heap_try_book_side(struct kmheap *heap, size_t bytes)
{
	if ((size_t)atomic_long_read(&heap->arena_bytes) > kmh_heap_room(heap, bytes) ||
	    !kmh_total_allows(bytes))
		return false;
	atomic_long_add_return(bytes, &heap->limit.side_bytes);
	atomic_long_add_return(bytes, &kmh_total_base);
	kmh_test_point("budget: metadata is counted");
	if ((size_t)atomic_long_read(&heap->arena_bytes) <= kmh_heap_room(heap, 0) &&
	    kmh_total_allows(0)) {
		kmh_heap_account_metadata(heap, bytes);
		return true;
	}
	atomic_long_sub(bytes, &kmh_total_base);
	atomic_long_sub(bytes, &heap->limit.side_bytes);
	return false;
}

/*
 * Metadata of @bytes that is there has no arena's bytes any more that it is counted with, or, less
 * than 0, is about to go: from here on it is counted as what is booked above. Context: any.
 */
void kmh_heap_move_side(struct kmheap *heap, long bytes)
{
	atomic_long_add(bytes, &kmh_total_base);
	atomic_long_add_return(bytes, &heap->limit.side_bytes);	/* ordered: kmh_heap_book() */
}

/*
 * Undo kmh_heap_try_book_side(). The soft limit is only looked at again when an arena goes.
 * Context: any.
 */
void kmh_heap_unbook_side_atomic(struct kmheap *heap, size_t bytes)
{
	kmh_heap_account_metadata(heap, -(long)bytes);
	atomic_long_sub(bytes, &kmh_total_base);
	atomic_long_sub(bytes, &heap->limit.side_bytes);
}

/* Undo kmh_heap_try_book_side(), and look at the soft limit. Context: process context. */
void kmh_heap_unbook_side(struct kmheap *heap, size_t bytes)
{
	kmh_heap_unbook_side_atomic(heap, bytes);
	kmh_limit_lessened(heap);
}

