/* SPDX-License-Identifier: GPL-2.0 */
/* Private: the limits of a heap and of the module; see limit.c. */
#ifndef _KMHEAP_LIMIT_H
#define _KMHEAP_LIMIT_H

#include <linux/atomic.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "base/public.h"

/* Lower limits are nonsense anywhere; with many CPUs the tables alone need more. */
#define KMH_LIMIT_MIN_BYTES	(512UL << 10)

/* What a heap has beside its hard limit, which is heap->limit_bytes. */
struct kmh_limit {
	spinlock_t lock;		/* protects what follows, to @due; a leaf */
	size_t soft_bytes;		/* 0: none; read anywhere */
	kmheap_trim_fn trim;
	void *data;
	struct task_struct *trimmer;	/* runs the callback now; read anywhere */
	bool over;			/* crossed, and not well below since */
	bool due;			/* ... and the owner has not been told yet */
	atomic_long_t soft_events;	/* crossings, ever */
	atomic_long_t refusals;		/* growths that a hard limit refused, ever */
	atomic_t nleaving;		/* arenas between the page heap and the kernel */
	atomic_long_t side_bytes;	/* of metadata that comes with no arena */
	struct delayed_work work;
};

extern atomic_long_t kmh_total_refusals;
extern size_t kmh_default_limit;

bool kmh_heap_book_side(struct kmheap *heap, size_t bytes);
bool kmh_limit_drain(struct kmheap *heap, size_t bytes);
bool kmh_limit_give_back(struct kmheap *heap, size_t bytes, size_t tables, gfp_t gfp);
bool kmh_limit_forbids(const struct kmheap *heap, size_t bytes, size_t tables);
void kmh_limit_refuse(struct kmheap *heap, size_t bytes);
void kmh_limit_check(struct kmheap *heap);

int kmh_limit_set_total(size_t bytes);
int kmh_limit_set_soft(struct kmheap *heap, size_t bytes);
void kmh_limit_init(struct kmheap *heap);
void kmh_limit_stop(struct kmheap *heap);
void kmh_limit_end(struct kmheap *heap);

/* Is the caller the heap's callback? */
static inline bool kmh_limit_in_trim(const struct kmh_limit *l)
{
	return READ_ONCE(l->trimmer) == current;
}

#endif /* _KMHEAP_LIMIT_H */
