/* SPDX-License-Identifier: GPL-2.0 */
/* Private: arenas that somebody else has freed; see lost_arena.c. */
#ifndef _KMHEAP_LOST_ARENA_H
#define _KMHEAP_LOST_ARENA_H

#include <linux/types.h>

struct kmheap;

unsigned int kmh_lost_find(struct kmheap *heap, bool glance);
void kmh_lost_free(struct kmheap *heap);

#endif /* _KMHEAP_LOST_ARENA_H */
