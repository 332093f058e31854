/* SPDX-License-Identifier: GPL-2.0 */
/* Private: how specials come and go, for finalizer.c and weak.c. */
#ifndef _KMHEAP_FINALIZER_H
#define _KMHEAP_FINALIZER_H

#include "span/special.h"

/*
 * Records for an object that is to have a special. They are booked and allocated before
 * kmh_special_mutex is taken, because reclaim may want that. A function that uses a record
 * sets its pointer to NULL.
 */
struct kmh_special_stock {
	struct kmheap *heap;		/* of the object; set when something is missing */
	bool want_weak;			/* a handle, too */
	struct kmh_special *special;
	struct kmheap_weak *weak;
};

int kmh_special_stock_fill(struct kmh_special_stock *stock);
void kmh_special_stock_end(struct kmh_special_stock *stock);

struct kmh_special *kmh_special_of(const char *who, const void *p,
				   struct kmh_special_stock *stock, unsigned long ip);
void kmh_special_disarm(struct kmheap *heap, struct kmh_special *sp);
size_t kmh_weak_bytes(void);

void kmh_special_flush(struct kmheap *heap);
int kmh_special_init(struct kmheap *heap);
void kmh_special_stop(struct kmheap *heap);
void kmh_special_exit(struct kmheap *heap);

#endif /* _KMHEAP_FINALIZER_H */
