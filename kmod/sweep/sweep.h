/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor sweep/, the generations of a heap.
 *
 * A generation opens when the deferred frees of a set have expired (defer.c) or at the end of a
 * collection (collect.c), and closes when every span that it concerns has been swept; sweep.c
 * sees to that, and span by span it is done below, in central/sweepspan.c. What is here is per heap
 * and under its sweep.mutex, which may be taken in reclaim, so nothing is allocated under it. The
 * one rule: the next generation does not open before the last one is swept.
 */
#ifndef _KMHEAP_SWEEP_H
#define _KMHEAP_SWEEP_H

#include <linux/atomic.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "central/phase.h"

struct kmh_mspan;
struct kmheap;

/* The generation of a heap. */
struct kmh_sweep {
	struct mutex mutex;		/* to advance the generation; for collections */
	void (*visit)(struct kmh_mspan *s);	/* kmh_sweep_caches(): called for each span */
	unsigned int round;		/* ... and the number of that call; both under @mutex */
	enum kmh_sweep_what what;	/* of the open generation; written under @mutex */
	bool marking;			/* between kmheap_collect_begin() and _end() */
	atomic_t cursor;		/* where kmh_sweep_one() goes on */
	atomic_long_t debt;		/* pages swept since it opened, less those due */
	atomic_long_t spans;		/* swept, ever */
	unsigned long generations;	/* ever; under @mutex */
	/* The open generation, for who traces it (kmh_sweep_freed()): */
	bool traced;			/* since it opened; under @mutex */
	unsigned long spans_before;	/* @spans when it opened; under @mutex */
	atomic_long_t objects;		/* that it has freed */
	atomic_long_t bytes;
	unsigned long reclaim_generation;	/* in this generation the first @reclaim_pages */
	unsigned long reclaim_pages;	/* were reclaimed; both under heap->arenas_mutex */
	struct delayed_work work;
};

void kmh_sweep_wait_for_trips(struct kmheap *heap);
bool kmh_sweep_reclaim(struct kmheap *heap, unsigned long npages);
void kmh_sweep_open(struct kmheap *heap, enum kmh_sweep_what what);
void kmh_sweep_announced(struct kmheap *heap);
void kmh_sweep_close_classes(struct kmheap *heap);
bool kmh_sweep_finish(struct kmheap *heap);
void kmh_sweep_settle(struct kmheap *heap);
void kmh_sweep_let_go(struct kmheap *heap);
bool kmh_sweep_caches(struct kmheap *heap, void (*fn)(struct kmh_mspan *s));
void kmh_sweep_init(struct kmheap *heap);
void kmh_sweep_stop(struct kmheap *heap);

#endif /* _KMHEAP_SWEEP_H */
