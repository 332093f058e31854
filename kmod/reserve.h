/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what is kept ready for callers that cannot sleep; see reserve.c and nmi.c. */
#ifndef _KMHEAP_RESERVE_H
#define _KMHEAP_RESERVE_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "sizeclass.h"

struct kmheap;
struct kmheap_stats;
struct kmh_heap_walk;
struct kmh_mheap;

/* Where somebody is who cannot sleep. */
enum kmh_context {
	KMH_CONTEXT_TASK,		/* by gfp, or with preemption off */
	KMH_CONTEXT_SOFTIRQ,
	KMH_CONTEXT_HARDIRQ,
	KMH_CONTEXT_NMI,
	KMH_NR_CONTEXTS,
};

/* How deep a page heap's reserve is. Under its lock; @pages and @peak are read anywhere. */
struct kmh_reserve {
	unsigned long pages;		/* free pages that who can sleep does not get */
	unsigned long floor;		/* so many at least, because the owner has asked for it */
	unsigned long peak;		/* the most that has ever been */
	unsigned long drawn;		/* pages, by who cannot sleep, since the last refill */
	unsigned long used;		/* jiffies: when much of it was drawn */
	struct delayed_work decay;
};

/* Of a heap; the counts are those of all its life. */
struct kmh_reserve_counts {
	unsigned long floor;		/* pages, as for each node */
	atomic_long_t served[KMH_NR_CONTEXTS];	/* spans of fresh pages */
	atomic_long_t refused[KMH_NR_CONTEXTS];
};

/* The longest large object that is kept ready for NMIs, in heap pages. */
#define KMH_NMI_PAGES		8U
/* Small objects by span class, then large ones by length. */
#define KMH_NMI_KINDS		(KMH_NR_SPANCLASSES + KMH_NMI_PAGES)

struct kmh_shelf;

/* Objects of a heap that an NMI gets when it gets no lock. */
struct kmh_nmi {
	DECLARE_BITMAP(wanted, KMH_NMI_KINDS);
	struct kmh_shelf *shelf[KMH_NMI_KINDS];	/* NULL until it is wanted */
	unsigned long used;		/* jiffies */
	bool stopped;
};

extern unsigned int kmh_reserve_max_kib;

void kmh_reserve_init(struct kmh_mheap *mh);
void kmh_reserve_forget(struct kmheap *heap);
void kmh_reserve_stop(struct kmh_mheap *mh);
bool kmh_reserve_draw_locked(struct kmh_mheap *mh, unsigned long npages, bool served);
unsigned long kmh_reserve_run(const struct kmh_mheap *mh);
void kmh_reserve_refilled(struct kmh_mheap *mh);
bool kmh_reserve_decay(struct kmh_mheap *mh);
void kmh_reserve_served(struct kmheap *heap);
void kmh_refused(struct kmheap *heap, gfp_t gfp);
void kmh_unrefused(struct kmheap *heap, gfp_t gfp);
void kmh_reserve_stats(struct kmheap *heap, struct kmheap_stats *st);

void kmh_nmi_ask(struct kmheap *heap, unsigned int kind);
void *kmh_nmi_take(struct kmheap *heap, unsigned int kind);
void kmh_nmi_fill(struct kmheap *heap);
void kmh_nmi_drain(struct kmheap *heap);
void kmh_nmi_forget_lost(struct kmheap *heap);
void kmh_nmi_stop(struct kmheap *heap);
void kmh_nmi_free(struct kmheap *heap);
bool kmh_nmi_in_use(const struct kmheap *heap);
void kmh_nmi_walk(struct kmheap *heap, struct kmh_heap_walk *w);

#endif /* _KMHEAP_RESERVE_H */
