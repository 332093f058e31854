/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what single objects have beside them; see special.c. */
#ifndef _KMHEAP_SPECIAL_H
#define _KMHEAP_SPECIAL_H

#include <linux/irq_work.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/rhashtable.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "base/public.h"

struct kmh_mspan;
struct kmheap;

extern struct mutex kmh_special_mutex;

/* The side data of a heap's objects, by address. */
struct kmh_specials {
	bool used;			/* it has had a special */
	bool ending;			/* kmheap_destroy() frees what is left */
	struct rhashtable table;
	atomic_long_t n;
	atomic_long_t finalized;	/* ever */
	struct llist_head dead;		/* specials of objects that are freed or found dead */
	struct irq_work kick;
	struct work_struct work;
};

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
	struct kmheap *heap;
	struct kmh_mspan *span;
	atomic_t state;
	unsigned int survived;		/* the generation whose sweep found the object marked */
	kmheap_finalizer_fn fn;
	void *arg;
	struct kmheap_weak *weak;	/* under kmh_special_mutex; read under RCU */
	struct llist_node dead;
	struct rcu_head rcu;
};

struct kmheap_weak {
	void *p;			/* NULL when the object is gone; read anywhere */
	struct kmh_special *special;	/* under kmh_special_mutex; NULL as well then */
	refcount_t refs;		/* the handle is shared by all who create one */
	struct rcu_head rcu;
};

extern const struct rhashtable_params kmh_special_params;

bool kmh_special_move(struct kmh_special *sp, int from, int to);
struct kmh_special *kmh_special_find(struct kmh_mspan *s, unsigned long addr);
bool kmh_special_exists(struct kmh_mspan *s, unsigned long addr);
bool kmh_special_finalizes(struct kmh_mspan *s, unsigned long addr);
bool kmh_special_die(struct kmh_mspan *s, unsigned long addr);
void kmh_special_forget(struct kmh_mspan *s, unsigned long addr);
void kmh_special_survive(struct kmh_mspan *s, unsigned long addr, unsigned int gen);

#endif /* _KMHEAP_SPECIAL_H */
