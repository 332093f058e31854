/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what the limits allow to be taken from the kernel; see budget.c. */
#ifndef _KMHEAP_BUDGET_H
#define _KMHEAP_BUDGET_H

#include <linux/atomic.h>
#include <linux/types.h>

struct kmheap;

/* Of all heaps together. */
extern atomic_long_t kmh_total_bytes;		/* sum of heap->arena_bytes */
extern atomic_long_t kmh_total_base;	/* sum of heap->base_metadata_bytes and limit.side_bytes */
extern size_t kmh_total_limit;

/*
 * How many bytes of arenas keep a limit, beside the metadata that there is and @more bytes of it:
 * of the heap without an arena, and for the module of no heap. May the module take @bytes of these?
 * Context: any.
 */
size_t kmh_heap_room(const struct kmheap *heap, size_t more);
size_t kmh_total_room(size_t more);
bool kmh_total_allows(size_t bytes);

size_t kmh_heap_footprint(const struct kmheap *heap);

bool kmh_heap_book(struct kmheap *heap, size_t bytes);
void kmh_heap_unbook(struct kmheap *heap, size_t bytes);
bool kmh_heap_try_book_side(struct kmheap *heap, size_t bytes);
void kmh_heap_unbook_side(struct kmheap *heap, size_t bytes);
void kmh_heap_unbook_side_atomic(struct kmheap *heap, size_t bytes);
void kmh_heap_move_side(struct kmheap *heap, long bytes);
void kmh_shared_account(long bytes);
bool kmh_shared_try_account(size_t bytes);
u64 kmh_shared_bytes(void);		/* of metadata that belongs to no heap */

/* @all - @part of figures that may be of different moments, and never less than nothing. */
static inline u64 kmh_less(u64 all, u64 part)
{
	return all > part ? all - part : 0;
}

#endif /* _KMHEAP_BUDGET_H */
