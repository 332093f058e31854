/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what a heap does not need goes back, in the background; see scavenge.c. */
#ifndef _KMHEAP_SCAVENGE_H
#define _KMHEAP_SCAVENGE_H

#include <linux/atomic.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "base/kick.h"

struct kmheap;

/* The scavenger of a heap. Its worker alone writes these, except @asked and the counters. */
struct kmh_scavenge {
	struct kmh_kick kick;
	unsigned long not_before;	/* jiffies */
	unsigned long last;		/* jiffies at the last step */
	unsigned int arena;		/* the search for empty spans goes on here */
	unsigned long page;
	bool behind;			/* ... and once more from the beginning */
	size_t peak_bytes;		/* in use, recently */
	size_t credit;			/* bytes that may go */
	unsigned long moves;		/* counter of parked spans that move, as last seen */
	unsigned int parked_ms;		/* for how long it has not changed */
	unsigned int over_ms;		/* for how long little of the peak has been in use */
	u64 given_ns;			/* time that giving back took in the last step */
	atomic_long_t bytes;		/* given back, ever */
	atomic_long_t arenas;
	spinlock_t recent_lock;		/* protects the two below; a leaf */
	size_t recent_bytes;		/* given back, decaying since */
	unsigned long recent_at;	/* jiffies */
};

extern size_t kmh_scavenge_rate;

bool kmh_scavenge_step(struct kmheap *heap, unsigned int ms);
size_t kmh_scavenge_pace(struct kmheap *heap);
void kmh_scavenge_count(struct kmheap *heap, size_t bytes, unsigned int narenas);
void kmh_scavenge_init(struct kmheap *heap);

#endif /* _KMHEAP_SCAVENGE_H */
