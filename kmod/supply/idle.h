/* SPDX-License-Identifier: GPL-2.0 */
/* Private: CPUs that have stopped allocating; see idle.c. */
#ifndef _KMHEAP_IDLE_H
#define _KMHEAP_IDLE_H

#include <linux/atomic.h>
#include <linux/types.h>

#include "base/kick.h"

struct kmheap;

/* Looks for CPUs that have stopped allocating. Its worker alone writes these, except @kick. */
struct kmh_idle {
	struct kmh_kick kick;
	bool rests;			/* the last look found nothing; one more look */
	atomic_long_t drains;		/* CPUs whose cache was drained, ever */
};

bool kmh_idle_step(struct kmheap *heap);
void kmh_idle_init(struct kmheap *heap);

#endif /* _KMHEAP_IDLE_H */
