/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what specials are made of, for special.c and weak.c; see there. */
#ifndef _KMHEAP_SPECIAL_H
#define _KMHEAP_SPECIAL_H

#include <linux/refcount.h>
#include <linux/rhashtable.h>

#include "internal.h"

enum {
	KMH_SPECIAL_ARMED,
	KMH_SPECIAL_DEAD,
	KMH_SPECIAL_LEAVING,
	KMH_SPECIAL_LEFT,
	KMH_SPECIAL_DONE,
};

struct kmh_special {
	struct rhash_head node;
	unsigned long addr;
	struct kmh_mspan *span;
	atomic_t state;
	unsigned int survived;		/* the generation whose sweep has found it marked */
	kmheap_finalizer_fn fn;
	void *arg;
	struct kmheap_weak *weak;	/* under kmh_special_mutex; read under RCU */
	struct llist_node dead;
	struct rcu_head rcu;
};

struct kmheap_weak {
	void *p;			/* NULL when the object is gone; read anywhere */
	struct kmh_special *special;	/* under kmh_special_mutex; NULL likewise */
	refcount_t refs;		/* kmheap_weak_create() gives the same one again */
	struct rcu_head rcu;
};

/*
 * Records for an object that is to have a special: booked and allocated before kmh_special_mutex
 * is taken, because reclaim may want it. Whoever uses one sets its pointer to NULL.
 */
struct kmh_special_stock {
	struct kmheap *heap;		/* of the object; set when something is missing */
	bool want_weak;			/* a handle as well */
	struct kmh_special *special;
	struct kmheap_weak *weak;
};

int kmh_special_stock_fill(struct kmh_special_stock *stock);
void kmh_special_stock_end(struct kmh_special_stock *stock);

struct kmh_special *kmh_special_find(struct kmh_mspan *s, unsigned long addr);
struct kmh_special *kmh_special_of(const char *who, const void *p,
				   struct kmh_special_stock *stock, unsigned long ip);
void kmh_special_disarm(struct kmheap *heap, struct kmh_special *sp);
size_t kmh_weak_bytes(void);

#endif /* _KMHEAP_SPECIAL_H */
