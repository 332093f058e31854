/* SPDX-License-Identifier: GPL-2.0 */
/* Private: sizes of arenas (grow_size.c). */
#ifndef _KMHEAP_GROW_SIZE_H
#define _KMHEAP_GROW_SIZE_H

#include <linux/types.h>

struct kmh_mheap;
struct kmheap;

/* Sizes of the next arena, in bytes. */
struct kmh_grow_size {
	size_t need;		/* least that holds the request */
	size_t want;		/* what would be good to have */
	bool dedicated;
	bool patch;		/* does not change the size of the next arena */
	bool block;
};

bool kmh_wants_block(const struct kmheap *heap, unsigned long npages, unsigned long align);
struct kmh_grow_size kmh_grow_block_size(struct kmh_mheap *mh, unsigned long npages,
					 unsigned long align);
struct kmh_grow_size kmh_grow_area_size(struct kmh_mheap *mh, unsigned long npages,
					unsigned long align);
size_t kmh_grow_area_need(struct kmh_mheap *mh, unsigned long npages, unsigned long align);
size_t kmh_grow_need(struct kmh_mheap *mh, unsigned long npages, unsigned long align);

#endif /* _KMHEAP_GROW_SIZE_H */
