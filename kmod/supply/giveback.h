/* SPDX-License-Identifier: GPL-2.0 */
/* Private: the ladder on which memory goes back: CPU, lists, pages, kernel; see giveback.c. */
#ifndef _KMHEAP_GIVEBACK_H
#define _KMHEAP_GIVEBACK_H

#include <linux/types.h>

#include "pages/arena.h"

struct kmh_mheap;
struct kmheap;
struct list_head;

void kmh_mcache_drain_all(struct kmheap *heap);
void kmh_mcache_drain_dead(struct kmheap *heap, unsigned int cpu);
void kmh_heap_drain(struct kmheap *heap);
bool kmh_mheap_drain_lists(struct kmh_mheap *mh);
bool kmh_mheap_drain_some(struct kmh_mheap *mh, unsigned int most);
unsigned long kmh_scavenge_pages(struct kmh_arena *a, unsigned long page);
void kmh_scavenge_some_locked(struct kmh_mheap *mh, unsigned long npages);
void kmh_scavenge_forget_locked(struct kmh_arena *a);

/* Which of the arenas without a page in use are to leave: as many as it takes. */
struct kmh_leavers {
	size_t bytes;			/* so much or a little more, if there is so much */
	bool at_most;			/* and no more than that */
	bool spare;			/* only what growing ahead would not fetch again at once */
	bool begun;			/* not what a new heap begins with */
	bool dedicated;			/* only those that were made for one object */
	bool leaving;			/* also those that reclaim has taken out */
	enum kmh_who who;		/* on whose account they leave */
	const struct kmh_mheap *mheap;	/* only of this page heap, if it is not NULL */
};

/* Heap pages of a block that go back together: those in one page of the kernel, or one. */
#define KMH_RETURN_UNIT		max(PAGE_SIZE >> KMH_PAGE_SHIFT, 1UL)

unsigned long kmh_mheap_keep(const struct kmh_mheap *mh, const struct kmh_leavers *which);
unsigned long kmh_mheap_keep_spare(const struct kmh_mheap *mh);
bool kmh_arena_has_run_locked(struct kmh_arena *a, const struct kmh_leavers *which);
bool kmh_arena_gives_pages(const struct kmh_arena *a, const struct kmh_mheap *mh);
unsigned long kmh_arena_pages_to_give(const struct kmh_arena *a);
size_t kmh_pages_return_locked(struct kmheap *heap, const struct kmh_leavers *which);
size_t kmh_pages_return(struct kmheap *heap, const struct kmh_leavers *which);
size_t kmh_arenas_detach_locked(struct kmheap *heap, const struct kmh_leavers *which,
				struct list_head *gone);
size_t kmh_arenas_detach(struct kmheap *heap, const struct kmh_leavers *which,
			 struct list_head *gone);
size_t kmh_arenas_finish(struct list_head *gone, bool expedite);
void kmh_arenas_finish_later_locked(struct kmheap *heap, struct list_head *gone);
size_t kmh_arenas_give_back(struct kmheap *heap, const struct kmh_leavers *which,
			    unsigned int *n);
bool kmh_arena_empties(const struct kmh_arena *a);
size_t kmh_arenas_count_spare_locked(struct kmh_mheap *mh);
size_t kmh_arenas_least_spare(struct kmheap *heap);
size_t kmh_arenas_give_back_left_locked(struct kmheap *heap);
size_t kmh_arenas_leaving_bytes(struct kmheap *heap);
void kmh_arenas_leave_init(struct kmheap *heap);
void kmh_arenas_leave_stop(struct kmheap *heap);

#endif /* _KMHEAP_GIVEBACK_H */
