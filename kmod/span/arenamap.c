// SPDX-License-Identifier: GPL-2.0
/*
 * The arenas map, after Go's of two levels (src/runtime/mheap.go, arenaIndex), but keyed by heap
 * page because vmalloc promises no alignment beyond a page.
 */
#include <linux/kmemleak.h>

#include "span/arenamap.h"
#include "base/backend.h"
#include "base/budget.h"

/*
 * The first level covers at most this many leaves, 64 TiB of address space: all of vmalloc
 * space with 4-level page tables. With 5 levels an arena further away from the others is
 * refused. At full reach the table takes 32 MiB; in practice vmalloc space fills from its
 * start, and the table takes a page.
 */
#define KMH_MAP_MAX_LEAVES	BIT(22)
#define KMH_MAP_MIN_LEAVES	64UL

struct kmh_mspan kmh_span_none = { .state = KMH_SPAN_NONE };
struct kmh_mspan kmh_span_gone = { .state = KMH_SPAN_GONE };

struct kmh_arenamap *kmh_arenamap;
static DEFINE_MUTEX(kmh_arenamap_mutex);
static struct kmh_leaf *kmh_empty_leaf;		/* every entry says "none" */
u64 kmh_map_bytes;

static void kmh_map_account(size_t bytes)
{
	WRITE_ONCE(kmh_map_bytes, kmh_map_bytes + bytes);
	kmh_shared_account(bytes);
}

static struct kmh_leaf *kmh_leaf_new(gfp_t gfp)
{
	struct kmh_leaf *leaf = kmh_backend_zalloc(sizeof(*leaf), gfp, NUMA_NO_NODE);
	unsigned int i;

	if (!leaf)
		return NULL;
	kmemleak_ignore(leaf);	/* no pointer leads to it, only biased[] */
	for (i = 0; i < KMH_LEAF_PAGES; i++)
		leaf->span[i] = &kmh_span_none;
	kmh_map_account(sizeof(*leaf));
	return leaf;
}

/* biased[i] is the address of leaf @i less this: a heap page's number is the index in it. */
static unsigned long kmh_leaf_bias(const struct kmh_arenamap *map, unsigned long i)
{
	return (map->base + i) * sizeof(struct kmh_leaf);
}

static struct kmh_leaf *kmh_leaf_of(const struct kmh_arenamap *map, unsigned long i)
{
	return (struct kmh_leaf *)(map->biased[i] + kmh_leaf_bias(map, i));
}

static struct kmh_arenamap *kmh_arenamap_new(unsigned long base, unsigned long nr, gfp_t gfp)
{
	size_t bytes = sizeof(struct kmh_arenamap) + nr * sizeof(unsigned long);
	struct kmh_arenamap *map = kmh_backend_zalloc(bytes, gfp, NUMA_NO_NODE);
	unsigned long i;

	if (!map)
		return NULL;
	map->base = base;
	map->nr = nr;
	for (i = 0; i < nr; i++)
		map->biased[i] = (unsigned long)kmh_empty_leaf - kmh_leaf_bias(map, i);
	kmh_map_account(bytes);
	return map;
}

int kmh_arenamap_init(void)
{
	kmh_empty_leaf = kmh_leaf_new(GFP_KERNEL);
	if (!kmh_empty_leaf)
		return -ENOMEM;
	kmh_arenamap = kmh_arenamap_new(0, 0, GFP_KERNEL);
	if (!kmh_arenamap) {
		kmh_backend_free(kmh_empty_leaf);
		return -ENOMEM;
	}
	return 0;
}

/* No lookup can be under way: the caller waited for a grace period. */
void kmh_arenamap_exit(void)
{
	struct kmh_arenamap *map = kmh_arenamap, *prev;
	unsigned long i;

	for (i = 0; i < map->nr; i++)
		if (kmh_leaf_of(map, i) != kmh_empty_leaf)
			kmh_backend_free(kmh_leaf_of(map, i));
	for (; map; map = prev) {
		prev = map->prev;
		kmh_backend_free(map);
	}
	kmh_backend_free(kmh_empty_leaf);
	kmh_arenamap = NULL;
	kmh_map_bytes = 0;
}

/*
 * Replace the first level by one that also covers @lo..@hi. The old one stays until exit, for
 * lookups that still read it; sizes at least double, so all the old ones together are smaller
 * than the current one.
 */
static int kmh_arenamap_extend(unsigned long lo, unsigned long hi, gfp_t gfp)
{
	struct kmh_arenamap *old = kmh_arenamap, *map;
	unsigned long nr, i;

	if (old->nr) {
		lo = min(lo, old->base);
		hi = max(hi, old->base + old->nr - 1);
	}
	if (hi - lo >= KMH_MAP_MAX_LEAVES)
		return -ERANGE;
	nr = max3(hi - lo + 1, 2 * old->nr, KMH_MAP_MIN_LEAVES);
	/*
	 * Room to spare goes to the side where arenas come: above, steps downwards would each
	 * double the reach until the room is used up.
	 */
	if (old->nr && lo < old->base)
		lo -= min(lo, nr - (hi - lo + 1));
	map = kmh_arenamap_new(lo, nr, gfp);
	if (!map)
		return -ENOMEM;
	for (i = 0; i < old->nr; i++)
		map->biased[old->base - lo + i] = old->biased[i];
	map->prev = old;
	smp_store_release(&kmh_arenamap, map);	/* pairs with kmh_span_of() */
	/*
	 * A lookup loads this pointer without depending on the address it looks up, so no
	 * caller may have an address of the new part before every CPU sees the new level.
	 */
	synchronize_rcu();
	return 0;
}

static int kmh_arenamap_cover_locked(unsigned long lo, unsigned long hi, gfp_t gfp)
{
	struct kmh_arenamap *map = kmh_arenamap;
	struct kmh_leaf *leaf;
	unsigned long i;
	int err;

	lockdep_assert_held(&kmh_arenamap_mutex);
	if (lo < map->base || hi - map->base >= map->nr) {
		err = kmh_arenamap_extend(lo, hi, gfp);
		if (err)
			return err;
		map = kmh_arenamap;
	}
	for (i = lo - map->base; i <= hi - map->base; i++) {
		if (kmh_leaf_of(map, i) != kmh_empty_leaf)
			continue;
		leaf = kmh_leaf_new(gfp);
		if (!leaf)
			return -ENOMEM;
		/* Pairs with kmh_span_of(). */
		smp_store_release(&map->biased[i], (unsigned long)leaf - kmh_leaf_bias(map, i));
	}
	return 0;
}

/*
 * Make sure that @npages heap pages from @first have entries of their own. Growing the map is rare
 * (once per 16 MiB) and cannot enter the file system or start I/O, so callers under any scope may
 * share one mutex.
 * Context: process context; sleeps, as @gfp must allow.
 * Return: 0, -ENOMEM, or -ERANGE for addresses out of the map's reach.
 */
int kmh_arenamap_cover(unsigned long first, unsigned long npages, gfp_t gfp)
{
	unsigned int shift = KMH_LEAF_SHIFT - KMH_PAGE_SHIFT;
	unsigned long lo = first >> shift, hi = (first + npages - 1) >> shift;
	int err;

	/* The holder of the mutex may wait for reclaim, so reclaim does not wait for the mutex. */
	if (!(current->flags & PF_MEMALLOC))
		mutex_lock(&kmh_arenamap_mutex);
	else if (!mutex_trylock(&kmh_arenamap_mutex))
		return -ENOMEM;
	kmh_test_point("map is locked");
	err = kmh_arenamap_cover_locked(lo, hi, gfp & ~(__GFP_FS | __GFP_IO));
	mutex_unlock(&kmh_arenamap_mutex);
	return err;
}

static struct kmh_mspan **kmh_arenamap_entry(unsigned long page)
{
	struct kmh_arenamap *map = READ_ONCE(kmh_arenamap);
	unsigned long i = page / KMH_LEAF_PAGES - map->base;

	return &kmh_leaf_of(map, i)->span[page % KMH_LEAF_PAGES];
}

static void kmh_arenamap_set_page(unsigned long page, struct kmh_mspan *s)
{
	WRITE_ONCE(*kmh_arenamap_entry(page), s);
}

/*
 * Publish that @npages covered heap pages from @first belong to @s, a span or a sentinel that is
 * initialised. The first page is the last to lead to a span and the first to lead elsewhere: a
 * reader that finds a span at its first page finds it at all of its pages, which the validators
 * count on. Pairs with the barriers in kmh_check_pages(). Context: any; the caller owns the pages.
 */
void kmh_arenamap_set(unsigned long first, unsigned long npages, struct kmh_mspan *s)
{
	bool publish = s->state >= KMH_SPAN_SMALL;
	unsigned long page;

	smp_wmb();	/* the span before its entries; pairs with kmh_span_of() */
	if (!publish)
		kmh_arenamap_set_page(first, s);
	smp_wmb();	/* first page, others: withdrawn in this order */
	for (page = first + 1; page < first + npages; page++)
		kmh_arenamap_set_page(page, s);
	smp_wmb();	/* others, first page: published in this order */
	if (publish)
		kmh_arenamap_set_page(first, s);
}

/*
 * Withdraw @from, a span or a sentinel of the caller's: its entries among the @npages heap pages
 * from @first lead to the sentinel @to from here on, the first page first, as in
 * kmh_arenamap_set(). An entry that leads elsewhere belongs to another arena, which the kernel has
 * put at the same addresses because a client freed ours (lost_arena.c), and stays; only a compare
 * and exchange knows, at whatever moment that arena comes. @from is in no map again before the
 * caller is done. Context: any.
 */
void kmh_arenamap_replace(unsigned long first, unsigned long npages, struct kmh_mspan *from,
			  struct kmh_mspan *to)
{
	unsigned long page;

	for (page = first; page < first + npages; page++)
		if (kmh_span_of_page(page) == from)
			cmpxchg(kmh_arenamap_entry(page), from, to);
}

/*
 * Call @fn, which must not sleep, for each span that starts in heap pages @page to @end - 1. Spans
 * come and go meanwhile; a span that moves is seen once, twice or not at all.
 * Context: process context, the arenas_mutex of the pages' heap held.
 */
void kmh_walk_pages(unsigned long page, unsigned long end,
		    void (*fn)(struct kmh_mspan *s, void *ctx), void *ctx)
{
	unsigned int n = 0;

	while (page < end) {
		struct kmh_mspan *s;
		unsigned long step = 1;

		preempt_disable();
		s = kmh_span_of_page(page);
		if (READ_ONCE(s->state) >= KMH_SPAN_SMALL &&
		    READ_ONCE(s->base) >> KMH_PAGE_SHIFT == page) {
			step = max_t(unsigned long, READ_ONCE(s->npages), 1);
			/* The figures of a descriptor that is reused now are of two spans. */
			data_race((fn(s, ctx), 0));
		}
		preempt_enable();
		page += step;
		if (++n % 256 == 0)
			cond_resched();
	}
}
