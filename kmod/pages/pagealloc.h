/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The page allocator: runs of heap pages (8 KiB) out of ranges of page numbers.
 *
 * The allocator only counts in page numbers and never follows one to memory, so a test can
 * drive a simulated TiB. A *range* is what an arena contributes: consecutive heap pages with
 * a bitmap (a set bit is a page in use) and a radix tree of summaries over it. A
 * *kmh_pagealloc* is the set of the ranges of one heap on one node, indexed so that finding
 * pages costs the same for one range and for 2^18.
 *
 * Locking: none inside. Every call on one kmh_pagealloc and on its ranges, the const ones too, is
 * serialised by the caller (mheap's raw spinlock, interrupts off). Nothing here allocates or
 * sleeps. kmh_parange_bytes() and kmh_parange_init() need no lock: the range is not shared yet.
 */
#ifndef KMH_PAGEALLOC_H
#define KMH_PAGEALLOC_H

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/types.h>

#include "base/validator.h"
#include "base/sizeclass.h"

/* A chunk is the unit of the bitmap that has one leaf summary: 4 MiB, the default arena. */
#define KMH_PA_CHUNK_SHIFT	9
#define KMH_PA_CHUNK_PAGES	BIT(KMH_PA_CHUNK_SHIFT)
/* One level up, a summary covers 8 of the level below: 96 bytes, one or two cache lines. */
#define KMH_PA_FAN_SHIFT	3
#define KMH_PA_FAN		BIT(KMH_PA_FAN_SHIFT)
/* The largest range, 8 TiB: bit numbers fit the unsigned int of bitmap_set(), sums fit 32 bits. */
#define KMH_PA_MAX_PAGES	BIT(30)
/* The pages that kmh_pa_take64() can take at a time: one word of the bitmap. */
#define KMH_PA_GROUP_PAGES	64UL

/*
 * The index has a bucket for each step of fullness and class of the longest free run. Runs of
 * 1..64 pages have a class each, 65..511 have 4 per doubling, larger ones have 1. 5 * 96 list
 * heads are 3840 of the 4096 bytes that a kmh_pagealloc may have.
 */
#define KMH_PA_STEPS		5
#define KMH_PA_EXACT		64
#define KMH_PA_CLASSES		96
#define KMH_PA_NO_BUCKET	0xffff		/* the range has no free page */

/*
 * What is free in the 512 << (3 * level) pages under one node: at its start, the longest run
 * anywhere in it, at its end. Pages past the end of the range count as in use.
 */
struct kmh_pasum {
	u32 start;
	u32 max;
	u32 end;
};

struct kmh_parange {
	unsigned long first;		/* first heap page number */
	unsigned long npages;
	unsigned long nfree;
	unsigned long nreturned;	/* gone to the kernel: set in @bits for good */
	unsigned long hint;		/* no page below first + hint is free */
	unsigned long *bits;		/* one per page, set = in use; whole chunks */
	struct kmh_pasum **level;	/* level[0]: one per chunk; the top level has one */
	struct list_head ranges;	/* on kmh_pagealloc.ranges */
	struct hlist_node index;	/* on its bucket, unless KMH_PA_NO_BUCKET */
	u16 bucket;			/* step * KMH_PA_CLASSES + class */
	u8 nlevels;
	bool once;			/* a page that becomes free is not handed out again */
};

struct kmh_pagealloc {
	unsigned long npages;		/* sums over the ranges */
	unsigned long nfree;
	unsigned long nranges;
	struct list_head ranges;
	/* Bit c of nonempty[s]: bucket[s][c] has a range. Step 0 is the fullest. */
	unsigned long nonempty[KMH_PA_STEPS][(KMH_PA_CLASSES + 63) / 64];
	struct hlist_head bucket[KMH_PA_STEPS][KMH_PA_CLASSES];
};

void kmh_pa_init(struct kmh_pagealloc *pa);
size_t kmh_parange_bytes(unsigned long npages);
void kmh_parange_init(struct kmh_parange *r, unsigned long first, unsigned long npages,
		      void *mem);
void kmh_pa_add(struct kmh_pagealloc *pa, struct kmh_parange *r);
bool kmh_pa_remove(struct kmh_pagealloc *pa, struct kmh_parange *r, bool force);

bool kmh_pa_alloc(struct kmh_pagealloc *pa, unsigned long npages, unsigned long align,
		  struct kmh_parange **r, unsigned long *page);
bool kmh_pa_free(struct kmh_pagealloc *pa, struct kmh_parange *r, unsigned long page,
		 unsigned long npages);
bool kmh_pa_take64(struct kmh_pagealloc *pa, struct kmh_parange **r, unsigned long *base,
		   u64 *bits);
void kmh_pa_give64(struct kmh_pagealloc *pa, struct kmh_parange *r, unsigned long base,
		   u64 bits);

unsigned int kmh_pa_validate(struct kmh_pagealloc *pa, kmh_finding_fn finding, void *ctx);

/* Pages of the range that are still the heap's. */
static inline unsigned long kmh_parange_held(const struct kmh_parange *r)
{
	return r->npages - READ_ONCE(r->nreturned);
}

void kmh_pa_return(struct kmh_pagealloc *pa, struct kmh_parange *r, unsigned long start,
		   unsigned long npages);

/* One range, without the index: pasummary.c. Page numbers here are relative to r->first. */
#define KMH_PARANGE_NONE	(~0UL)

/* The longest run of free pages in the range. */
static inline unsigned long kmh_parange_max(const struct kmh_parange *r)
{
	return r->level[r->nlevels - 1][0].max;
}

unsigned long kmh_parange_find(struct kmh_parange *r, unsigned long npages);
unsigned long kmh_parange_find_aligned(const struct kmh_parange *r, unsigned long npages,
				       unsigned long align, unsigned int *budget);
void kmh_parange_set(struct kmh_parange *r, unsigned long start, unsigned long npages);
void kmh_parange_clear(struct kmh_parange *r, unsigned long start, unsigned long npages);
u64 kmh_parange_set_word(struct kmh_parange *r, unsigned long start);
void kmh_parange_clear_word(struct kmh_parange *r, unsigned long start, u64 bits);

/* The bucket that a range belongs in by its counts: pagealloc.c, for the validator. */
unsigned int kmh_parange_bucket(const struct kmh_parange *r);

#endif /* KMH_PAGEALLOC_H */
