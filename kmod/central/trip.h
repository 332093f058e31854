/* SPDX-License-Identifier: GPL-2.0 */
/* Private: trips, which the sweep waits for. */
#ifndef _KMHEAP_TRIP_H
#define _KMHEAP_TRIP_H

#include <linux/compiler.h>
#include <linux/percpu.h>

#include "base/compat.h"
#include "base/pinned.h"

/*
 * A trip is what a CPU does with a span that is on no list and in no mcache: it has popped
 * the span, or announces it, or makes it. Preemption is off from its beginning to its end,
 * and its work is bounded. The sweep cannot find a span that is in the hands of a CPU, so it
 * waits until each CPU is seen without a trip, or with another one:
 * kmh_sweep_wait_for_trips().
 *
 * Trips nest: an interrupt has its own. The low bits of mcache->trips are the depth; the
 * others count trips that have ended and were inside no other trip. A trip inside another
 * leaves the word as it was, so the outermost may end with a plain store.
 */
#define KMH_TRIP_DEPTH		0xffU

static __always_inline void kmh_trip_begin(unsigned int __percpu *trips)
{
	kmh_assert_pinned();
	kmh_cpu_add(*trips, 1);
	barrier();
}

static __always_inline void kmh_trip_end(unsigned int __percpu *trips)
{
	unsigned int *mine = this_cpu_ptr(trips), now = *mine;

	if (likely((now & KMH_TRIP_DEPTH) == 1))
		/* Release: a CPU that sees the trip over sees what was done on it. */
		smp_store_release(mine, now + KMH_TRIP_DEPTH);
	else
		WRITE_ONCE(*mine, now - 1);
}

/* Is the outermost trip of @seen, if there was one, over at @now? */
static inline bool kmh_trip_is_over(unsigned int seen, unsigned int now)
{
	return !(seen & KMH_TRIP_DEPTH) || !(now & KMH_TRIP_DEPTH) ||
	       (seen ^ now) & ~KMH_TRIP_DEPTH;
}

#endif /* _KMHEAP_TRIP_H */
