/* SPDX-License-Identifier: GPL-2.0 */
/* Private: the ladder on which memory goes back: CPU, lists, pages, kernel; see giveback.c. */
#ifndef _KMHEAP_GIVEBACK_H
#define _KMHEAP_GIVEBACK_H

#include <linux/types.h>

struct kmh_arena;
struct kmh_mheap;
struct kmheap;
struct list_head;

void kmh_mcache_drain_all(struct kmheap *heap);
void kmh_mcache_drain_dead(struct kmheap *heap, unsigned int cpu);
void kmh_heap_drain(struct kmheap *heap);
bool kmh_mheap_drain_lists(struct kmh_mheap *mh);
bool kmh_mheap_drain_some(struct kmh_mheap *mh, unsigned int most);
void kmh_scavenge_announced(struct kmheap *heap);
unsigned long kmh_scavenge_pages(struct kmh_arena *a, unsigned long page);
void kmh_scavenge_arena(struct kmh_arena *a);
void kmh_scavenge_some(struct kmh_mheap *mh, unsigned long npages);

size_t kmh_arena_release_free(struct kmheap *heap, bool dedicated_only);
size_t kmh_arena_release_idle(struct kmheap *heap, size_t bytes, unsigned int *n);
size_t kmh_arena_release_some(struct kmheap *heap, size_t bytes, bool idle, unsigned int *n);
size_t kmh_arena_detach_some(struct kmheap *heap, size_t bytes, bool idle,
			     struct list_head *gone);
size_t kmh_arena_destroy_some(struct list_head *gone);
size_t kmh_arena_least_idle(struct kmheap *heap);
bool kmh_arena_empties(const struct kmh_arena *a);
size_t kmh_arena_count_idle_locked(struct kmh_mheap *mh);
size_t kmh_arena_detach_idle_locked(struct kmh_mheap *mh, size_t bytes);
size_t kmh_arena_reap_locked(struct kmheap *heap);
void kmh_arena_take_free_locked(struct kmheap *heap, struct list_head *gone);
size_t kmh_arena_give_back(struct list_head *gone);
size_t kmh_arena_leaving_bytes(struct kmheap *heap);
void kmh_arena_leave_init(struct kmheap *heap);
void kmh_arena_leave_stop(struct kmheap *heap);

#endif /* _KMHEAP_GIVEBACK_H */
