/* SPDX-License-Identifier: GPL-2.0 */
/* Private: frees that wait for a grace period; see defer.c. */
#ifndef _KMHEAP_DEFER_H
#define _KMHEAP_DEFER_H

#include <linux/atomic.h>
#include <linux/irq_work.h>
#include <linux/types.h>

#include "mspan.h"

struct kmheap;

/* The deferred frees of a heap. */
struct kmh_defer {
	unsigned long gen;		/* set gen & 1 is being filled; under sweep.mutex */
	u8 any[2];			/* something is in this set */
	bool waiting;			/* the other set is closed, and */
	unsigned long cookie;		/* waits for this grace period */
	size_t min_limit;		/* so much may be pending in the smallest heap */
	atomic_long_t pending;		/* bytes, about */
	bool pressed;			/* the worker has been told to hurry */
	bool short_of_memory;		/* reclaim asks for what waits */
	atomic_long_t expedited;	/* grace periods that were pressed, ever */
	struct irq_work kick;
};

enum kmh_free_result kmh_mspan_defer(struct kmh_mspan *s, unsigned int slot);
enum kmh_free_result kmh_tiny_defer(struct kmh_mspan *s, unsigned long addr, unsigned int block);
void kmh_defer_large(struct kmh_mspan *s);
size_t kmh_defer_limit(const struct kmheap *heap);
bool kmh_defer_excess(const struct kmheap *heap);
unsigned long kmh_defer_step(struct kmheap *heap);
void kmh_defer_relieve(struct kmheap *heap);
void kmh_defer_reclaim(struct kmheap *heap);
void kmh_defer_init(struct kmheap *heap);

#endif /* _KMHEAP_DEFER_H */
