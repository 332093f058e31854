/* SPDX-License-Identifier: GPL-2.0 */
/* Private: objects for NMIs that get no lock; see nmi.c. */
#ifndef _KMHEAP_NMI_H
#define _KMHEAP_NMI_H

#include <linux/bitmap.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "base/sizeclass.h"

struct kmheap;

/* The longest large object that is kept for NMIs, in heap pages. */
#define KMH_NMI_PAGES		8U
/* Small objects by span class, then large ones by length. */
#define KMH_NMI_KINDS		(KMH_NR_SPANCLASSES + KMH_NMI_PAGES)

#define KMH_SHELF_OBJECTS	16U	/* of one kind at most */

struct kmh_shelf {
	void *slot[KMH_SHELF_OBJECTS];	/* xchg() out, cmpxchg() in */
};

/* Objects of a heap for NMIs that get no lock. */
struct kmh_nmi {
	DECLARE_BITMAP(wanted, KMH_NMI_KINDS);
	struct kmh_shelf *shelf[KMH_NMI_KINDS];	/* NULL until such an object is wanted */
	unsigned long used;		/* jiffies */
	bool stopped;
	struct delayed_work decay;
};

size_t kmh_nmi_bytes(unsigned int kind);
unsigned int kmh_nmi_objects(unsigned int kind);
void kmh_nmi_init(struct kmheap *heap);
void kmh_nmi_ask(struct kmheap *heap, unsigned int kind);
void *kmh_nmi_take(struct kmheap *heap, unsigned int kind);
void kmh_nmi_fill(struct kmheap *heap, int err);
void kmh_nmi_drain(struct kmheap *heap);
void kmh_nmi_forget_lost(struct kmheap *heap);
void kmh_nmi_stop(struct kmheap *heap);
void kmh_nmi_free(struct kmheap *heap);
bool kmh_nmi_in_use(const struct kmheap *heap);

#endif /* _KMHEAP_NMI_H */
