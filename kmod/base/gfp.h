/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what a caller may do by its gfp flags and its context, and what it was refused. */
#ifndef _KMHEAP_GFP_H
#define _KMHEAP_GFP_H

#include <linux/gfp.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

struct kmheap;

/* What neither vmalloc space nor a block of any zone can promise. */
#define KMH_GFP_ZONES		(__GFP_DMA | __GFP_DMA32)

/* The context of a caller that cannot sleep. */
enum kmh_context {
	KMH_CONTEXT_TASK,		/* by gfp, or with preemption off */
	KMH_CONTEXT_SOFTIRQ,
	KMH_CONTEXT_HARDIRQ,
	KMH_CONTEXT_NMI,
	KMH_NR_CONTEXTS,
};

/* Why an allocation got nothing, for who traces that. */
enum kmh_why {
	KMH_WHY_ROOM,			/* no memory, or a limit is in the way */
	KMH_WHY_INJECT,			/* fail_nth wants it */
	KMH_WHY_REQUEST,		/* nobody could serve such a request */
};

bool kmh_gfp_ok(struct kmheap *heap, size_t bytes, gfp_t gfp);
bool kmh_alloc_may_grow(gfp_t gfp);
enum kmh_context kmh_context_now(void);
void kmh_refused(struct kmheap *heap, size_t bytes, gfp_t gfp, enum kmh_why why);
void kmh_unrefused(struct kmheap *heap, gfp_t gfp);

/* May the caller wait for whoever enters the file system, or does I/O? */
static inline bool kmh_may_wait_fs(gfp_t gfp)
{
	return (gfp & (__GFP_FS | __GFP_IO)) == (__GFP_FS | __GFP_IO);
}

/*
 * May the caller have what is kept for callers that cannot sleep? They themselves, and reclaim,
 * as with what the kernel keeps below its watermarks.
 */
static inline bool kmh_alloc_is_urgent(gfp_t gfp)
{
	return !kmh_alloc_may_grow(gfp) || current->flags & PF_MEMALLOC;
}

/*
 * might_alloc() where the kernel checks something with it. Elsewhere it only reschedules, for
 * which once per refill is enough: kmh_alloc_slow() has it.
 */
static __always_inline void kmh_might_alloc(gfp_t gfp)
{
	if (IS_ENABLED(CONFIG_LOCKDEP) || IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP))
		might_alloc(gfp);
}

#endif /* _KMHEAP_GFP_H */
