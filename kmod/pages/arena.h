/* SPDX-License-Identifier: GPL-2.0 */
/* Private: arenas, what a heap takes from the kernel; see arena.c. */
#ifndef _KMHEAP_ARENA_H
#define _KMHEAP_ARENA_H

#include <linux/bitops.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "pages/mheap.h"
#include "pages/pagealloc.h"

struct kmh_mspan;
struct kmheap;
struct page;

/*
 * With KMHEAP_SMALL the first arena of a heap, so that a heap of a few objects costs little, and
 * the least that the second one has, because of spans of 64 KiB.
 */
#define KMH_ARENA_FIRST_BYTES	(16UL << 10)
#define KMH_ARENA_SECOND_BYTES	(64UL << 10)
/* Of a heap that has grown, the least. */
#define KMH_ARENA_MIN_BYTES	(256UL << 10)
#define KMH_ARENA_FULL_MIN_BYTES	(2UL << 20)
#define KMH_ARENA_MAX_BYTES	(1024UL << 20)

/* On whose account an arena comes or goes, for who traces that. */
enum kmh_who {
	KMH_WHO_CALLER,			/* an allocation, also of another heap */
	KMH_WHO_WORKER,			/* the worker that grows ahead */
	KMH_WHO_SCAVENGER,
	KMH_WHO_SHRINKER,		/* the kernel's reclaim */
	KMH_WHO_SHRINK,			/* kmheap_shrink() */
	KMH_WHO_OOM,			/* the kernel is out of memory */
	KMH_WHO_END,			/* the end of the heap */
	KMH_NR_WHOS,
};

extern const char * const kmh_who_names[KMH_NR_WHOS];

/* One vmalloc area, or one block of the page allocator, of one heap; see base/backing.h. */
struct kmh_arena {
	struct kmheap *heap;
	struct kmh_mheap *mheap;
	void *vbase;			/* what the kernel gave */
	size_t bytes;			/* taken from the kernel */
	size_t meta_bytes;		/* this structure and the range's tables */
	size_t side_bytes;		/* of these, what counts at limits by itself */
	unsigned long first;		/* first heap page */
	unsigned long npages;		/* heap pages */
	unsigned long zeroed_from;	/* pages from here on are known to be zero */
	bool left;			/* the page heap; booked until it is gone */
	bool dedicated;			/* made for one object over half an arena */
	bool served;			/* and that has been freed; under mheap->lock */
	bool block;			/* and no area; never both */
	bool user;			/* made for one kmheap_alloc_user(), and never used again */
	bool lost;			/* somebody else has freed it; set under mheap->lock */
	u8 who;				/* enum kmh_who: why it has left */
	bool empties;			/* in a drain, by a guess; under arenas_mutex */
	unsigned long cookie;		/* leaving: the grace period to wait for */
	struct list_head leaving;	/* once it has left */
	u64 turn;			/* likewise */
	struct list_head list;		/* heap->arenas, ->leaving or ->lost, under arenas_mutex */
	/* A bit for each heap page, counted from @first, set at the first of a span: */
	unsigned long *page_inuse;	/* a span begins here */
	unsigned long *page_marks;	/* ... and has a marked object */
	unsigned long *page_specials;	/* ... and has an object with a special */
	struct page **pages;		/* of an area: the kernel's pages, from @vbase on */
	struct page *block_page;	/* of a block: the first of them; the others follow */
	/* Of a block, under the page heap's lock and arenas_mutex; see supply/returned.c: */
	unsigned long *returned;	/* a bit for each heap page that has gone to the kernel */
	unsigned long looked;		/* the last page that a short look was at */
	struct kmh_parange range;	/* its pages */
};

static inline struct kmh_pagealloc *kmh_arena_pa(struct kmh_arena *a)
{
	return a->dedicated ? a->mheap->own_pa : &a->mheap->pa;
}

static inline struct kmh_arena *kmh_range_arena(struct kmh_parange *r)
{
	return container_of(r, struct kmh_arena, range);
}

/* The kernel's page @i of the arena, counted from @vbase. */
static inline struct page *kmh_arena_page(const struct kmh_arena *a, unsigned long i)
{
	return a->block ? a->block_page + i : a->pages[i];
}

struct kmh_arena *kmh_arena_create(struct kmh_mheap *mh, size_t bytes, bool block, gfp_t gfp);
struct kmh_arena *kmh_arena_create_user(struct kmh_mheap *mh, size_t bytes, gfp_t gfp);

/* Bytes of the arena that are the heap's: all but returned pages. */
static inline size_t kmh_arena_held_bytes(const struct kmh_arena *a)
{
	return a->bytes - (READ_ONCE(a->range.nreturned) << KMH_PAGE_SHIFT);
}

/* Has heap page @page of the arena, counted from @first, gone to the kernel? */
static inline bool kmh_arena_is_returned(const struct kmh_arena *a, unsigned long page)
{
	return a->returned && test_bit(page, a->returned);
}

/*
 * The next run of the arena's heap pages, counted from @first, that have not been returned: *@page
 * is where the search begins, and is set to the run's first one, *@n to its length. Somebody else
 * may have the other addresses, another arena of this heap, too. Context: arenas_mutex held, or the
 * arena in no list. Return: false when there is none.
 */
static inline bool kmh_arena_next_run(const struct kmh_arena *a, unsigned long *page,
				      unsigned long *n)
{
	if (a->returned)
		*page = find_next_zero_bit(a->returned, a->npages, *page);
	if (*page >= a->npages)
		return false;
	*n = (a->returned ? find_next_bit(a->returned, a->npages, *page) : a->npages) - *page;
	return true;
}

void kmh_arena_free_pages(struct kmh_arena *a, unsigned long page, unsigned long n);
void kmh_arena_unbook_pages(struct kmh_arena *a, unsigned long n);
size_t kmh_heap_first_bytes(const struct kmheap *heap);
unsigned long kmh_mheap_first_pages(const struct kmh_mheap *mh);
unsigned long kmh_arena_low_pages(unsigned long npages);
void kmh_arena_destroy(struct kmh_arena *a);
bool kmh_arena_use_pages(struct kmh_arena *a, unsigned long page, unsigned long npages);
void kmh_arena_unmap_free(struct kmh_arena *a);
void kmh_arena_unmap(struct kmh_arena *a, struct kmh_mspan **spans);
bool kmh_arena_has_span(const struct kmh_arena *a, const struct kmh_mspan *s);
unsigned long kmh_arena_span_pages(const struct kmh_arena *a, const struct kmh_mspan *s,
				   unsigned long page);
struct page *kmh_arena_lost_page(const struct kmh_arena *a, unsigned long from, unsigned long n);
bool kmh_arena_look(struct kmh_arena *a);
void kmh_arena_report_lost(const struct kmh_arena *a, const struct page *page);
void kmh_arena_free_block(struct kmh_arena *a);
size_t kmh_arena_kept_bytes(const struct kmh_arena *a);

/* Arenas that leave: each is counted from when it is out of its page heap until it is gone. */
extern wait_queue_head_t kmh_arena_left;

void kmh_arena_begin_leave(struct kmh_arena *a);
void kmh_arena_end_leave(struct kmh_arena *a);
u64 kmh_arenas_leaving_now(void);
bool kmh_arenas_have_left(u64 turn);

void kmh_walk_spans(struct kmh_arena *a, void (*fn)(struct kmh_mspan *s, void *ctx), void *ctx);

#endif /* _KMHEAP_ARENA_H */
