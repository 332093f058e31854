// SPDX-License-Identifier: GPL-2.0
/*
 * The page allocator: which range serves a request, and the calls that mheap makes.
 *
 * A request goes to the fullest range that has a fitting run, and there to the lowest address, so
 * that use gathers in few arenas and the others become empty and can be given back. Go needs no
 * such choice: its heap is one address space, and it gives back pages, not arenas.
 *
 * The index is a table of lists, one for each step of fullness and class of longest free run,
 * with a bit for each list that is not empty. A search takes the fullest step first and in it
 * the smallest class that can serve, which keeps long runs for requests that need them. A
 * class of one length (1..64 pages) promises that its first range fits, so such a request is
 * refused only when no range has the run. The class of a longer request may hold ranges that
 * are a little too short: PICK_TRIES of those are looked at, then the next class, which
 * promises again. A wrong refusal there costs an arena that would not have been needed yet.
 *
 * A tree of ranges by fullness and address would also be exact for long runs, but walks 18
 * levels of cold ranges at 2^18; here the number of ranges makes no difference.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/bug.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include "pages/pagealloc.h"

/* Ranges of the request's own class tried in one step of fullness: some 16 cache misses. */
#define PICK_TRIES	16
/*
 * Runs tried for an aligned request, in all ranges together. When none fits, all of them take 1 to
 * 5 us under the lock (UML 7.3, the heaps of bench/pagealloc_bench.c, 2 pages at 2^22).
 */
#define ALIGN_TRIES	64

/* From 512 pages on a class is a doubling; below, four classes are one. */
#define FINE_SHIFT	6
#define COARSE_SHIFT	9
#define COARSE_CLASS	(KMH_PA_EXACT + 4 * (COARSE_SHIFT - FINE_SHIFT))
/* The step of ranges that are entirely free, which are used last. */
#define STEP_EMPTY	(KMH_PA_STEPS - 1)

/* A heap has one of these per node, and there are thousands of small heaps. */
static_assert(sizeof(struct kmh_pagealloc) <= 4096);
static_assert(COARSE_CLASS < KMH_PA_CLASSES);
static_assert(KMH_PA_STEPS * KMH_PA_CLASSES < KMH_PA_NO_BUCKET);

/* The class of runs of @npages >= 1, and the lowest class that can serve such a request. */
static unsigned int run_class(unsigned long npages)
{
	unsigned int log = ilog2(npages);

	if (npages <= KMH_PA_EXACT)
		return npages - 1;
	if (log < COARSE_SHIFT)
		return KMH_PA_EXACT + 4 * (log - FINE_SHIFT) + ((npages >> (log - 2)) & 3);
	return min(COARSE_CLASS + log - COARSE_SHIFT, KMH_PA_CLASSES - 1U);
}

/* The step of a range: at most 1/8 free, at most 1/4, at most 1/2, less than all, all. */
static unsigned int fullness_step(const struct kmh_parange *r)
{
	unsigned long held = kmh_parange_held(r);

	if (r->nfree == held)
		return STEP_EMPTY;
	if (r->nfree * 8 <= held)
		return 0;
	if (r->nfree * 4 <= held)
		return 1;
	return r->nfree * 2 <= held ? 2 : 3;
}

/*
 * The bucket that a range belongs in by its counts, as step * KMH_PA_CLASSES + class;
 * KMH_PA_NO_BUCKET for a range without a free page that may be handed out.
 */
unsigned int kmh_parange_bucket(const struct kmh_parange *r)
{
	if (!r->nfree || r->once)
		return KMH_PA_NO_BUCKET;
	return fullness_step(r) * KMH_PA_CLASSES + run_class(kmh_parange_max(r));
}

static void index_del(struct kmh_pagealloc *pa, struct kmh_parange *r)
{
	unsigned int step = r->bucket / KMH_PA_CLASSES;
	unsigned int class = r->bucket % KMH_PA_CLASSES;

	if (r->bucket == KMH_PA_NO_BUCKET)
		return;
	hlist_del_init(&r->index);
	if (hlist_empty(&pa->bucket[step][class]))
		__clear_bit(class, pa->nonempty[step]);
	r->bucket = KMH_PA_NO_BUCKET;
}

static void index_add(struct kmh_pagealloc *pa, struct kmh_parange *r, unsigned int bucket)
{
	unsigned int step = bucket / KMH_PA_CLASSES;
	unsigned int class = bucket % KMH_PA_CLASSES;

	r->bucket = bucket;
	if (bucket == KMH_PA_NO_BUCKET)
		return;
	hlist_add_head(&r->index, &pa->bucket[step][class]);
	__set_bit(class, pa->nonempty[step]);
}

/* Every change of a range's bits ends here. */
static void index_update(struct kmh_pagealloc *pa, struct kmh_parange *r)
{
	unsigned int bucket = kmh_parange_bucket(r);

	if (bucket == r->bucket)
		return;
	index_del(pa, r);
	index_add(pa, r, bucket);
}

/* The first non-empty bucket at or after (*@step, *@class), fullest step first, from @lowest up. */
static struct hlist_head *index_next(struct kmh_pagealloc *pa, unsigned int *step,
				     unsigned int *class, unsigned int lowest)
{
	for (; *step < KMH_PA_STEPS; ++*step, *class = lowest) {
		*class = find_next_bit(pa->nonempty[*step], KMH_PA_CLASSES, *class);
		if (*class < KMH_PA_CLASSES)
			return &pa->bucket[*step][*class];
	}
	return NULL;
}

/* The fullest range with a run of @npages. */
static struct kmh_parange *index_pick(struct kmh_pagealloc *pa, unsigned long npages)
{
	unsigned int lowest = run_class(npages), class = lowest, step = 0;
	struct hlist_head *bucket;
	struct kmh_parange *r;

	while ((bucket = index_next(pa, &step, &class, lowest))) {
		unsigned int tries = PICK_TRIES;

		hlist_for_each_entry(r, bucket, index) {
			if (kmh_parange_max(r) >= npages)
				return r;
			if (!--tries)
				break;
		}
		class++;
	}
	return NULL;
}

/*
 * The youngest range of at least @npages that is entirely free. If all ranges are blocks (arena.h),
 * which begin at a multiple of their length, it has each shorter run aligned to its length.
 */
static struct kmh_parange *index_pick_empty(struct kmh_pagealloc *pa, unsigned long npages)
{
	unsigned int class = find_next_bit(pa->nonempty[STEP_EMPTY], KMH_PA_CLASSES,
					   run_class(npages));

	if (class >= KMH_PA_CLASSES)
		return NULL;
	return hlist_entry(pa->bucket[STEP_EMPTY][class].first, struct kmh_parange, index);
}

/*
 * The fullest range with an aligned run, by trying. A range counts as one try even when it is
 * dismissed at a glance. When the tries are used up, a range is taken in which every
 * alignment fits, or a block that was made for the run.
 */
static struct kmh_parange *index_pick_aligned(struct kmh_pagealloc *pa, unsigned long npages,
					      unsigned long align, unsigned long *start)
{
	unsigned int lowest = run_class(npages), class = lowest, step = 0;
	unsigned int budget = ALIGN_TRIES;
	struct hlist_head *bucket;
	struct kmh_parange *r;

	while (budget && (bucket = index_next(pa, &step, &class, lowest))) {
		hlist_for_each_entry(r, bucket, index) {
			*start = kmh_parange_find_aligned(r, npages, align, &budget);
			if (*start != KMH_PARANGE_NONE)
				return r;
			if (!budget || !--budget)
				break;
		}
		class++;
	}
	r = index_pick(pa, npages + align - 1);
	if (!r) {
		r = index_pick_empty(pa, max(npages, align));
		budget = 1;	/* in a block the first try is right */
	}
	if (r)
		*start = kmh_parange_find_aligned(r, npages, align, &budget);
	return r && *start != KMH_PARANGE_NONE ? r : NULL;
}

/* Make an allocator without ranges. There is nothing to destroy once all its ranges are removed. */
void kmh_pa_init(struct kmh_pagealloc *pa)
{
	memset(pa, 0, sizeof(*pa));
	INIT_LIST_HEAD(&pa->ranges);
}

/* Let an allocator use a range, fresh or from kmh_pa_remove(), that overlaps no other. */
void kmh_pa_add(struct kmh_pagealloc *pa, struct kmh_parange *r)
{
	list_add_tail(&r->ranges, &pa->ranges);
	WRITE_ONCE(pa->npages, pa->npages + r->npages);
	WRITE_ONCE(pa->nfree, pa->nfree + r->nfree);
	pa->nranges++;
	index_update(pa, r);
}

/*
 * Take a range from an allocator. @force: also when pages are in use, because somebody else has
 * freed the arena (lost_arena.c). Return: true when @r is out and its metadata may be freed; false,
 * with a warning and nothing changed, when pages are in use and @force was not given.
 */
bool kmh_pa_remove(struct kmh_pagealloc *pa, struct kmh_parange *r, bool force)
{
	if (WARN_ON_ONCE(!force && r->nfree != kmh_parange_held(r)))
		return false;
	index_del(pa, r);
	list_del_init(&r->ranges);
	WRITE_ONCE(pa->npages, pa->npages - kmh_parange_held(r));
	WRITE_ONCE(pa->nfree, pa->nfree - r->nfree);
	pa->nranges--;
	return true;
}

/*
 * Take a run of @npages >= 1 heap pages, from the lowest address of the fullest range that has
 * one. @r is set to that range and @page to the number of the first page, a multiple of @align, a
 * power of two.
 *
 * Return: true when the run was taken. False, with nothing changed, when there is no such run. For
 * @npages <= 64 with @align 1 that is exact. Otherwise a false may be wrong, but never while a run
 * as long as the next class (a quarter longer, twice from 512 pages on), counted from @npages +
 * @align - 1, is free.
 */
bool kmh_pa_alloc(struct kmh_pagealloc *pa, unsigned long npages, unsigned long align,
		  struct kmh_parange **r, unsigned long *page)
{
	struct kmh_parange *from;
	unsigned long start;

	if (WARN_ON_ONCE(!npages || !is_power_of_2(align)))
		return false;
	if (npages > KMH_PA_MAX_PAGES || align > KMH_PA_MAX_PAGES)
		return false;
	if (align > 1) {
		from = index_pick_aligned(pa, npages, align, &start);
	} else {
		from = index_pick(pa, npages);
		if (from)
			start = kmh_parange_find(from, npages);
	}
	if (!from || WARN_ON_ONCE(start == KMH_PARANGE_NONE))
		return false;
	kmh_parange_set(from, start, npages);
	WRITE_ONCE(pa->nfree, pa->nfree - npages);
	index_update(pa, from);
	*r = from;
	*page = from->first + start;
	return true;
}

/*
 * Give back a run of pages, which may be any part of what was allocated. Return: true when the run
 * is free now; false, with nothing changed, when it is empty, not all of it lies in @r, or a page
 * of it is free already.
 */
bool kmh_pa_free(struct kmh_pagealloc *pa, struct kmh_parange *r, unsigned long page,
		 unsigned long npages)
{
	unsigned long start = page - r->first;

	if (!npages || start >= r->npages || npages > r->npages - start)
		return false;
	if (find_next_zero_bit(r->bits, start + npages, start) < start + npages)
		return false;
	kmh_parange_clear(r, start, npages);
	WRITE_ONCE(pa->nfree, pa->nfree + npages);
	index_update(pa, r);
	return true;
}

/*
 * @npages free pages from page @start on, relative to @r->first, are to go to the kernel: they
 * count nowhere from here on, and never become free again.
 */
void kmh_pa_return(struct kmh_pagealloc *pa, struct kmh_parange *r, unsigned long start,
		   unsigned long npages)
{
	kmh_parange_set(r, start, npages);
	WRITE_ONCE(r->nreturned, r->nreturned + npages);
	WRITE_ONCE(pa->nfree, pa->nfree - npages);
	WRITE_ONCE(pa->npages, pa->npages - npages);
	index_update(pa, r);
}

/*
 * Take all free pages of one group, for a page cache: the group of the lowest free page in the
 * fullest range. @r is set to the range, @base to the heap page number of bit 0 (groups count from
 * the start of their range), and @bits to the pages, at least one. They are in use until they come
 * back, by kmh_pa_give64() or kmh_pa_free(). Return: false when no page is free.
 */
bool kmh_pa_take64(struct kmh_pagealloc *pa, struct kmh_parange **r, unsigned long *base,
		   u64 *bits)
{
	struct kmh_parange *from = index_pick(pa, 1);
	unsigned long start;

	if (!from)
		return false;
	start = kmh_parange_find(from, 1);
	if (WARN_ON_ONCE(start == KMH_PARANGE_NONE))
		return false;
	start = ALIGN_DOWN(start, KMH_PA_GROUP_PAGES);
	WRITE_ONCE(*bits, kmh_parange_set_word(from, start));
	WRITE_ONCE(pa->nfree, pa->nfree - hweight64(*bits));
	index_update(pa, from);
	*r = from;
	*base = from->first + start;
	return true;
}

/*
 * Give back pages of one group, with @base as kmh_pa_take64() has set it; no @bits are fine. Bits
 * that do not name pages in use of a group of @r are a defect of the cache: they are warned about,
 * and then nothing is given back.
 */
void kmh_pa_give64(struct kmh_pagealloc *pa, struct kmh_parange *r, unsigned long base,
		   u64 bits)
{
	unsigned long start = base - r->first;

	if (!bits)
		return;
	if (WARN_ON_ONCE(start % KMH_PA_GROUP_PAGES || start >= r->npages ||
			 __fls(bits) >= r->npages - start ||
			 bits & ~r->bits[start / KMH_PA_GROUP_PAGES]))
		return;
	kmh_parange_clear_word(r, start, bits);
	WRITE_ONCE(pa->nfree, pa->nfree + hweight64(bits));
	index_update(pa, r);
}
