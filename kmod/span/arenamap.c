// SPDX-License-Identifier: GPL-2.0
/*
 * The arenas map, after Go's of two levels (src/runtime/mheap.go, arenaIndex), but keyed by heap
 * page because vmalloc promises no alignment beyond a page, and with two first levels.
 */
#include <linux/err.h>
#include <linux/kmemleak.h>

#include "span/arenamap.h"
#include "base/backend.h"
#include "base/budget.h"

/*
 * A first level covers at most this many leaves, 64 TiB of address space: all of vmalloc space
 * with 4-level page tables, and all of the direct map. With 5 levels an arena further away from the
 * others is refused. At full reach a table takes 32 MiB; in practice vmalloc space fills from its
 * start, and its table takes a page. That of the direct map takes 512 KiB for each TiB between the
 * first and the last block.
 */
#define KMH_MAP_MAX_LEAVES	BIT(22)
#define KMH_MAP_MIN_LEAVES	64UL

struct kmh_mspan kmh_span_none = { .state = KMH_SPAN_NONE };
struct kmh_mspan kmh_span_gone = { .state = KMH_SPAN_GONE };

struct kmh_arenamap *kmh_blockmap;
struct kmh_arenamap *kmh_areamap;
static DEFINE_MUTEX(kmh_arenamap_mutex);
static struct kmh_leaf *kmh_empty_leaf;		/* every entry says "none" */
u64 kmh_map_bytes;

/*
 * Take a table of the map, of @bytes, counted before it is taken. Return: the table, zeroed;
 * ERR_PTR(-EDQUOT) when the module's limit forbids it, ERR_PTR(-ENOMEM) when there is no memory.
 */
static void *kmh_map_take(size_t bytes, gfp_t gfp)
{
	void *p;

	if (!kmh_shared_try_account(bytes))
		return ERR_PTR(-EDQUOT);
	p = kmh_backend_zalloc(bytes, gfp, NUMA_NO_NODE);
	if (!p) {
		kmh_shared_account(-(long)bytes);
		return ERR_PTR(-ENOMEM);
	}
	WRITE_ONCE(kmh_map_bytes, kmh_map_bytes + bytes);
	return p;
}

/* Return: as kmh_map_take(). */
static struct kmh_leaf *kmh_leaf_new(gfp_t gfp)
{
	struct kmh_leaf *leaf = kmh_map_take(sizeof(*leaf), gfp);
	unsigned int i;

	if (IS_ERR(leaf))
		return leaf;
	kmemleak_ignore(leaf);	/* no pointer leads to it, only biased[] */
	for (i = 0; i < KMH_LEAF_PAGES; i++)
		leaf->span[i] = &kmh_span_none;
	return leaf;
}

/*
 * The entry of leaf number @leaf, an address >> KMH_LEAF_SHIFT, in a first level is the leaf's
 * address less this: a heap page's number is the index in it.
 */
static unsigned long kmh_leaf_bias(unsigned long leaf)
{
	return leaf * sizeof(struct kmh_leaf);
}

static struct kmh_leaf *kmh_leaf_of(unsigned long biased, unsigned long leaf)
{
	return (struct kmh_leaf *)(biased + kmh_leaf_bias(leaf));
}

static bool kmh_arenamap_covers(const struct kmh_arenamap *map, unsigned long leaf)
{
	return leaf - map->base < map->nr;
}

/* The entry of a leaf that is covered, where a lookup finds it. */
static unsigned long *kmh_leaf_entry(unsigned long leaf)
{
	struct kmh_arenamap *map = READ_ONCE(kmh_blockmap);

	if (!kmh_arenamap_covers(map, leaf))
		map = READ_ONCE(kmh_areamap);
	return &map->biased[leaf - map->base];
}

/* Return: as kmh_map_take(). */
static struct kmh_arenamap *kmh_arenamap_new(unsigned long base, unsigned long nr, gfp_t gfp)
{
	struct kmh_arenamap *map = kmh_map_take(sizeof(*map) + nr * sizeof(unsigned long), gfp);
	unsigned long i;

	if (IS_ERR(map))
		return map;
	map->base = base;
	map->nr = nr;
	for (i = 0; i < nr; i++)
		map->biased[i] = (unsigned long)kmh_empty_leaf - kmh_leaf_bias(base + i);
	return map;
}

/* No limit forbids these: there is no heap yet. */
int kmh_arenamap_init(void)
{
	kmh_empty_leaf = kmh_leaf_new(GFP_KERNEL);
	if (IS_ERR(kmh_empty_leaf))
		return -ENOMEM;
	kmh_blockmap = kmh_arenamap_new(0, 0, GFP_KERNEL);
	if (IS_ERR(kmh_blockmap))
		goto no_blockmap;
	kmh_areamap = kmh_arenamap_new(0, 0, GFP_KERNEL);
	if (!IS_ERR(kmh_areamap))
		return 0;
	kmh_backend_free(kmh_blockmap);
no_blockmap:
	kmh_backend_free(kmh_empty_leaf);
	return -ENOMEM;
}

/* Free a first level and those that it replaced. */
static void kmh_arenamap_free(struct kmh_arenamap *map)
{
	struct kmh_arenamap *prev;

	for (; map; map = prev) {
		prev = map->prev;
		kmh_backend_free(map);
	}
}

/* Free the leaves that lookups find in @map, or would if they asked it. */
static void kmh_arenamap_free_leaves(struct kmh_arenamap *map)
{
	unsigned long leaf;

	for (leaf = map->base; leaf < map->base + map->nr; leaf++) {
		struct kmh_leaf *l = kmh_leaf_of(map->biased[leaf - map->base], leaf);

		if (l != kmh_empty_leaf)
			kmh_backend_free(l);
	}
}

/* No lookup can be under way: the caller waited for a grace period. */
void kmh_arenamap_exit(void)
{
	unsigned long leaf, end = kmh_areamap->base + kmh_areamap->nr;

	/* What both have is freed once. */
	for (leaf = kmh_areamap->base; leaf < end; leaf++)
		if (kmh_arenamap_covers(kmh_blockmap, leaf))
			kmh_areamap->biased[leaf - kmh_areamap->base] =
				(unsigned long)kmh_empty_leaf - kmh_leaf_bias(leaf);
	kmh_arenamap_free_leaves(kmh_blockmap);
	kmh_arenamap_free_leaves(kmh_areamap);
	kmh_arenamap_free(kmh_blockmap);
	kmh_arenamap_free(kmh_areamap);
	kmh_backend_free(kmh_empty_leaf);
	kmh_blockmap = NULL;
	kmh_areamap = NULL;
	kmh_map_bytes = 0;
}

/* Copy the entries of @from that @map covers too. */
static void kmh_arenamap_copy(struct kmh_arenamap *map, const struct kmh_arenamap *from)
{
	unsigned long leaf;

	for (leaf = from->base; leaf < from->base + from->nr; leaf++)
		if (kmh_arenamap_covers(map, leaf))
			map->biased[leaf - map->base] = from->biased[leaf - from->base];
}

/*
 * Replace the first level *@at by one that also covers @lo..@hi. The old one stays until exit, for
 * lookups that still read it; sizes at least double, so all the old ones together are smaller
 * than the current one.
 */
static int kmh_arenamap_extend(struct kmh_arenamap **at, unsigned long lo, unsigned long hi,
			       gfp_t gfp)
{
	struct kmh_arenamap *old = *at, *map;
	unsigned long nr;

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
	if (IS_ERR(map))
		return PTR_ERR(map);
	/* A lookup that finds an address in the reach of this one does not ask the other one. */
	if (at == &kmh_blockmap)
		kmh_arenamap_copy(map, kmh_areamap);
	kmh_arenamap_copy(map, old);
	map->prev = old;
	smp_store_release(at, map);	/* pairs with kmh_span_of() */
	/*
	 * A lookup loads this pointer without depending on the address it looks up, so no
	 * caller may have an address of the new part before every CPU sees the new level. Nor
	 * does a leaf come that only the new level has before nobody asks the old one.
	 */
	synchronize_rcu();
	return 0;
}

static int kmh_arenamap_cover_locked(struct kmh_arenamap **at, unsigned long lo,
				     unsigned long hi, gfp_t gfp)
{
	struct kmh_leaf *leaf;
	unsigned long i, *entry;
	int err;

	lockdep_assert_held(&kmh_arenamap_mutex);
	/* What the first one asked covers is there, of whichever kind it is. */
	if (kmh_arenamap_covers(kmh_blockmap, lo) && kmh_arenamap_covers(kmh_blockmap, hi))
		at = &kmh_blockmap;
	if (!kmh_arenamap_covers(*at, lo) || !kmh_arenamap_covers(*at, hi)) {
		err = kmh_arenamap_extend(at, lo, hi, gfp);
		if (err)
			return err;
	}
	for (i = lo; i <= hi; i++) {
		entry = kmh_leaf_entry(i);
		if (kmh_leaf_of(*entry, i) != kmh_empty_leaf)
			continue;
		leaf = kmh_leaf_new(gfp);
		if (IS_ERR(leaf))
			return PTR_ERR(leaf);
		/* Pairs with kmh_span_of(). */
		smp_store_release(entry, (unsigned long)leaf - kmh_leaf_bias(i));
	}
	return 0;
}

/*
 * Make sure that @npages heap pages from @first have entries of their own, in the first level *@at,
 * or in the other one if that covers them anyway. Growing the map is rare (once per 16 MiB) and
 * cannot enter the file system or start I/O, so callers under any scope may share one mutex.
 * Context: process context; sleeps, as @gfp must allow.
 * Return: 0, -ENOMEM, -EDQUOT when the module's limit forbids what the map would take, or -ERANGE
 * for addresses out of the map's reach. Leaves that were taken until then stay.
 */
int kmh_arenamap_cover(struct kmh_arenamap **at, unsigned long first, unsigned long npages,
		       gfp_t gfp)
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
	err = kmh_arenamap_cover_locked(at, lo, hi, gfp & ~(__GFP_FS | __GFP_IO));
	mutex_unlock(&kmh_arenamap_mutex);
	return err;
}

static struct kmh_mspan **kmh_arenamap_entry(unsigned long page)
{
	unsigned long leaf = page / KMH_LEAF_PAGES;

	return &kmh_leaf_of(READ_ONCE(*kmh_leaf_entry(leaf)), leaf)->span[page % KMH_LEAF_PAGES];
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
