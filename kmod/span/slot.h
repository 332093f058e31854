/* SPDX-License-Identifier: GPL-2.0 */
/* Private: the end of an object in a slot. */
#ifndef _KMHEAP_SLOT_H
#define _KMHEAP_SLOT_H

#include "base/clear.h"
#include "heap.h"
#include "span/mspan.h"
#include "span/sanitize.h"

/* Does a live object with that cell have to wait for a grace period when it is freed? */
static inline bool kmh_cell_keeps_type(const struct kmh_mspan *s, u8 cell)
{
	return kmh_cell_live(cell) &&
	       READ_ONCE(s->heap->caches.keep_type) & BIT(kmh_cell_cache(cell));
}

/*
 * Nobody reads the object in slot @addr of a small span any more. The caller has claimed it, so
 * that the slot keeps the span and its pages, and has not given it to anybody yet.
 */
static inline void kmh_slot_dead(const struct kmh_mspan *s, unsigned long addr)
{
	if (unlikely(READ_ONCE(s->state) == KMH_SPAN_GONE))
		return;		/* the pages are somebody else's: lost_arena.c */
	if (kmh_wants_wipe())
		kmh_clear((void *)addr, s->elemsize);
	if (kmh_heap_sanitized(s->heap))
		kmh_sanitize_dead(addr, s->elemsize);
}

#endif /* _KMHEAP_SLOT_H */
