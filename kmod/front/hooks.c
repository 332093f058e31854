// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel's debugging is told of each object that is freed, as SLUB tells it.
 *
 * lockdep looks for a lock in the object that the caller holds. KCSAN takes the free for a write of
 * the whole object, and so sees who still touches it. Neither is told of an object that is freed
 * after a grace period: its readers may touch it, and its lock may be held where it is unlinked.
 * The third that SLUB tells, debug_check_no_obj_freed(), is not exported.
 */
#include "front/hooks.h"

#if KMH_FREE_HOOKS

#include <linux/debug_locks.h>
#include <linux/kcsan-checks.h>
#include <linux/preempt.h>

#include "front/front.h"
#include "span/arenamap.h"
#include "span/slot.h"

static void kmh_free_tell(const void *p, size_t bytes, bool has_readers)
{
	debug_check_no_locks_freed(p, bytes);
	if (!has_readers)
		__kcsan_check_access(p, bytes, KCSAN_ACCESS_WRITE | KCSAN_ACCESS_ASSERT);
}

/* An object at @p is going to be freed; should there be none, the free reports it. Context: any. */
void kmh_free_hook(const void *p)
{
	unsigned long addr = (unsigned long)p;
	struct kmh_where at = {};
	struct kmh_mspan *s;

	if (ZERO_OR_NULL_PTR(p) || in_nmi())	/* what lockdep knows may be half written then */
		return;
	preempt_disable();
	s = kmh_span_of(addr);
	kmh_locate(s, addr, &at);
	if (at.base == addr && at.state == KMHEAP_OBJECT_LIVE)
		kmh_free_tell(p, at.bytes,
			      at.span == KMH_SPAN_SMALL &&
			      kmh_cell_keeps_type(s, READ_ONCE(s->cell[at.slot])));
	preempt_enable();
}

/* A run of pages at @p, which is the caller's, is going to be freed. Context: any. */
void kmh_free_hook_pages(const void *p, size_t bytes)
{
	if (!in_nmi())
		kmh_free_tell(p, bytes, false);
}

#endif
