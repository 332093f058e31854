/* SPDX-License-Identifier: GPL-2.0 */
/* Private: free pages that are kept for callers that cannot sleep; see reserve.c. */
#ifndef _KMHEAP_RESERVE_H
#define _KMHEAP_RESERVE_H

#include <linux/atomic.h>
#include <linux/jiffies.h>
#include <linux/sizes.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "base/gfp.h"

struct kmh_mheap;
struct kmheap;

/* The depth of a page heap's reserve. Under its lock; @pages and @peak are read anywhere. */
struct kmh_reserve {
	unsigned long pages;		/* free pages, not for callers that can sleep */
	unsigned long floor;		/* at least so many, because the owner has asked for it */
	unsigned long before, set;	/* @pages before the owner's last call, and by it */
	unsigned long peak;		/* the most that @pages has ever been */
	unsigned long drawn;		/* pages that such callers took since a refill began */
	bool raised;			/* a refusal has doubled @pages since the last refill */
	unsigned long used;		/* jiffies: when much of it was last drawn */
	struct delayed_work decay;
};

/* Of a heap. The counters are those of all its life. */
struct kmh_reserve_counts {
	unsigned long floor;		/* pages on each node */
	unsigned long nspans;		/* that have descriptors kept, on all nodes */
	atomic_long_t served[KMH_NR_CONTEXTS];	/* spans of fresh pages */
	atomic_long_t refused[KMH_NR_CONTEXTS];
};

/* A reserve that has not been needed for so long is halved. */
#define KMH_RESERVE_DECAY	(60 * HZ)

/* 1 GiB is more than any burst takes. */
#define KMH_RESERVE_MOST_KIB	SZ_1M

extern unsigned int kmh_reserve_max_kib;

/* May the owner of a heap with this limit (0: none) ask for a reserve of @bytes on each node? */
static inline bool kmh_reserve_allowed(size_t bytes, size_t limit)
{
	return bytes <= KMH_RESERVE_MOST_KIB * 1024UL && (!limit || bytes <= limit / 2);
}

void kmh_reserve_init(struct kmh_mheap *mh);
void kmh_reserve_forget(struct kmheap *heap);
void kmh_reserve_stop(struct kmh_mheap *mh);
bool kmh_reserve_draw_locked(struct kmh_mheap *mh, unsigned long npages, bool served);
unsigned long kmh_reserve_run(const struct kmh_mheap *mh);
void kmh_reserve_refilled(struct kmh_mheap *mh, unsigned long drawn);
bool kmh_reserve_decay(struct kmh_mheap *mh);
void kmh_reserve_served(struct kmheap *heap);
unsigned long kmh_reserve_set_floors(struct kmheap *heap, unsigned long pages);
void kmh_reserve_restore_floors(struct kmheap *heap, unsigned long pages);

#endif /* _KMHEAP_RESERVE_H */
