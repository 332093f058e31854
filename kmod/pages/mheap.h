/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor pages/, runs of heap pages.
 *
 * A page heap has the free pages of one heap on one node: a page allocator (pagealloc.h), which
 * counts in page numbers and follows none to memory, over the arenas that came from the kernel,
 * and beside it pages that are kept: for callers that cannot sleep (reserve.c), for large objects
 * to come (parked.c), for one CPU (pagecache.c), and because somebody else still has them
 * (held.c). All of that is under one raw lock, mheap->lock, but for the list of a heap's arenas,
 * which is under its arenas_mutex. The one rule: nothing here waits for pages. What is not to be
 * had is NULL, and kmh_mheap_kick() wakes the worker that grows the heap, two floors up.
 */
#ifndef _KMHEAP_MHEAP_H
#define _KMHEAP_MHEAP_H

#include <linux/gfp.h>
#include <linux/irq_work.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "base/validator.h"
#include "pages/pagealloc.h"
#include "pages/parked.h"
#include "pages/reserve.h"
#include "base/sizeclass.h"

struct kmh_arena;
struct kmh_mcache;
struct kmh_mspan;
struct kmheap;

extern size_t kmh_arena_bytes;		/* size of a full-grown arena */

/* The page heap of one node. */
struct kmh_mheap {
	raw_spinlock_t lock;
	struct kmh_pagealloc pa;
	struct kmh_pagealloc *own_pa;	/* of dedicated arenas; NULL before the first one */
	unsigned long low_pages;	/* grow ahead below this many free pages */
	unsigned long ngrown;		/* arenas ever added: "has someone grown since?" */
	unsigned long missed_pages;	/* longest run that was not to be had since then */
	unsigned long peak_pages;	/* most in use since the scavenger's last look */
	struct kmh_reserve reserve;
	struct kmh_parked store;	/* freed large objects that no CPU keeps */
	unsigned long fetched;		/* jiffies: when what CPUs have parked was */
	struct kmh_arena *look_arena;	/* where growth looks for empty spans next, or NULL for */
	unsigned long look_page;	/* the first one; under arenas_mutex */

	struct llist_head pending;	/* spans whose free could not take @lock */
	struct llist_head deferred[2];	/* large objects in the two deferred sets */
	struct llist_head held;		/* freed ones whose pages somebody else has: held.c */

	struct kmheap *heap;
	int nid;
	unsigned long ahead_after;	/* jiffies: no growing ahead before this */
	unsigned long low_after;	/* jiffies: nor for callers that can sleep before this */
	struct irq_work kick;
	struct work_struct work;
};

/* An object over half an arena gets an arena of its own. */
static inline bool kmh_wants_own_arena(unsigned long npages)
{
	return npages > kmh_arena_bytes / 2 >> KMH_PAGE_SHIFT;
}

/*
 * Runs from here on, and up to half an arena, get arenas that they fill, unless free pages are
 * there. Longer than most spans of small objects.
 */
#define KMH_LONG_RUN_PAGES	8UL

static inline bool kmh_is_long_run(unsigned long npages)
{
	return npages >= KMH_LONG_RUN_PAGES;
}

/*
 * Where such a run is sought. Dedicated arenas are apart, so that nothing small keeps them. NULL
 * when there has never been one. Context: @mh->lock held.
 */
static inline struct kmh_pagealloc *kmh_mheap_pa(struct kmh_mheap *mh, unsigned long npages)
{
	return kmh_wants_own_arena(npages) ? mh->own_pa : &mh->pa;
}

/* Pages that callers in any context can have: parked ones of the node are a lock away. */
static inline unsigned long kmh_mheap_nfree(const struct kmh_mheap *mh)
{
	return READ_ONCE(mh->pa.nfree) + READ_ONCE(mh->store.npages);
}

void kmh_mheap_init(struct kmh_mheap *mh, struct kmheap *heap, int nid);
void kmh_mheap_stop(struct kmh_mheap *mh);
void kmh_mheap_drop(struct kmh_mheap *mh);
int kmh_mheap_make_own_pa(struct kmh_mheap *mh, gfp_t gfp);
struct kmh_mspan *kmh_mheap_alloc_span(struct kmh_mheap *mh, struct kmh_mcache *mc,
				       unsigned int spanclass, unsigned long npages,
				       unsigned long align, bool atomic, bool *zeroed);
void kmh_mheap_set_user_span(struct kmh_mheap *mh, struct kmh_mspan *s, struct kmh_arena *a);
bool kmh_mheap_give_up_lost(struct kmh_mspan *s);
bool kmh_mheap_kick(struct kmh_mheap *mh, bool atomic);
void kmh_mheap_free_span(struct kmh_mspan *s);
void kmh_mheap_drain_pending(struct kmh_mheap *mh);
unsigned int kmh_mheap_validate(struct kmh_mheap *mh, kmh_finding_fn finding, void *ctx);

#endif /* _KMHEAP_MHEAP_H */
