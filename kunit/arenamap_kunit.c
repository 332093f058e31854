// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: the arenas map: any value is looked up safely, and the answer is what the address
 * is. Cases that extend the map extend it for good; it grows by a few kilobytes.
 */
#include <linux/bitops.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/vmalloc.h>

#include "kunit_util.h"

static struct kmh_arena *first_arena(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_arena *a;

	mutex_lock(&heap->arenas_mutex);
	a = list_first_entry_or_null(&heap->arenas, struct kmh_arena, list);
	mutex_unlock(&heap->arenas_mutex);
	KUNIT_ASSERT_NOT_NULL(test, a);
	return a;
}

static enum kmh_span_state state(unsigned long addr)
{
	return kmh_span_of(addr)->state;
}

/*
 * @addr was never kmheap's, or is no longer: what the kernel gives to others may have been an
 * arena.
 */
static void expect_foreign(struct kunit *test, unsigned long addr)
{
	enum kmh_span_state st = state(addr);
	struct kmheap_object obj;

	KUNIT_EXPECT_TRUE_MSG(test, st == KMH_SPAN_NONE || st == KMH_SPAN_GONE,
			      "%lx has state %d", addr, st);
	KUNIT_EXPECT_FALSE(test, kmheap_lookup((void *)addr, &obj));
	KUNIT_EXPECT_EQ(test, kmh_live_bytes((void *)addr), (size_t)0);
}

/* A free of @addr is reported and refused; NULL and ZERO_SIZE_PTR may be freed. */
static void expect_free_refused(struct kunit *test, unsigned long addr, enum kmh_misuse kind)
{
	struct kmh_report r;

	kmheap_free((void *)addr);
	if (ZERO_OR_NULL_PTR((void *)addr)) {
		kmh_kunit_no_reports(test);
		return;
	}
	r = kmh_kunit_reports(test, kind, 1);
	KUNIT_EXPECT_EQ(test, r.addr, addr);
	KUNIT_EXPECT_EQ(test, r.object, 0UL);
}

/* ---- addresses that are none */

static void lookup_powers_of_two(struct kunit *test)
{
	unsigned int n, i;

	for (n = 0; n < 64; n++) {
		unsigned long addr[] = { BIT(n), BIT(n) - 1, BIT(n) + 1, ~BIT(n), -BIT(n) };

		for (i = 0; i < ARRAY_SIZE(addr); i++) {
			struct kmh_mspan *s = kmh_span_of(addr[i]);

			/*
			 * By chance an arena may lie at the address; then it is not this
			 * heap's object.
			 */
			KUNIT_ASSERT_NOT_NULL(test, s);
			KUNIT_EXPECT_LT(test, (int)s->state, (int)KMH_SPAN_SMALL);
			if (s->state == KMH_SPAN_NONE)
				expect_free_refused(test, addr[i], KMH_INVALID_FREE);
		}
	}
}

static void lookup_random_values(struct kunit *test)
{
	struct rnd_state rnd;
	struct kmh_mspan *s;
	unsigned int i, nwrong = 0;

	prandom_seed_state(&rnd, 7);
	for (i = 0; i < 20000; i++) {
		unsigned long addr = (u64)prandom_u32_state(&rnd) << 32 | prandom_u32_state(&rnd);

		/*
		 * A quarter stays as drawn, the others lie in reach of the map or close to
		 * its ends.
		 */
		if (i % 4 == 1)
			addr = ((kmh_areamap->base - 2) << KMH_LEAF_SHIFT) +
			       addr % ((kmh_areamap->nr + 4) << KMH_LEAF_SHIFT);
		if (i % 4 == 2)
			addr = (kmh_areamap->base << KMH_LEAF_SHIFT) + (long)(addr % 64) - 32;
		if (i % 4 == 3)
			addr = ((kmh_areamap->base + kmh_areamap->nr) << KMH_LEAF_SHIFT) +
			       (long)(addr % 64) - 32;
		/*
		 * A few may hit spans of other heaps; then the address lies in the span that
		 * was found.
		 */
		s = kmh_span_of(addr);
		nwrong += s->state >= KMH_SPAN_SMALL &&
			  addr - s->base >= (unsigned long)s->npages << KMH_PAGE_SHIFT;
	}
	KUNIT_EXPECT_EQ(test, nwrong, 0U);
}

static int in_data = 1;

static void lookup_addresses_of_others(struct kunit *test)
{
	int on_stack;
	void *slab = kunit_kmalloc(test, 64, GFP_KERNEL);
	void *area = vmalloc(64 << 10), *huge = vmalloc(4 << 20);
	unsigned long page = __get_free_page(GFP_KERNEL);
	const struct {
		const char *what;
		unsigned long addr;
		bool arena;		/* where an arena may have been */
		bool block;		/* where a block may have been */
	} rows[] = {
		{ "NULL", 0 },
		{ "the next value", 1 },
		{ "ZERO_SIZE_PTR", (unsigned long)ZERO_SIZE_PTR },
		{ "an error", (unsigned long)ERR_PTR(-ENOMEM) },
		{ "all ones", ~0UL },
		{ "the last page", -PAGE_SIZE },
		{ "user space", 0x400000 },
		{ "the end of user space", TASK_SIZE - 1 },
		{ "behind the end of user space", TASK_SIZE },
		{ "not canonical", BIT(63) | 0x1234 },
		{ "kernel text", (unsigned long)_printk },
		{ "kernel data", (unsigned long)&init_task },
		{ "module text", (unsigned long)kmheap_free, true },
		{ "module data", (unsigned long)&in_data, true },
		{ "module structure", (unsigned long)THIS_MODULE, true },
		{ "stack", (unsigned long)&on_stack, true },
		{ "slab", (unsigned long)slab, .block = true },
		{ "page", page, .block = true },
		{ "the map", (unsigned long)kmh_areamap, .block = true },
		{ "span metadata", (unsigned long)kmh_kunit_heap(test)->freed, .block = true },
		{ "vmalloc", (unsigned long)area, true },
		{ "end of vmalloc", (unsigned long)area + (64 << 10) - 1, true },
		{ "behind vmalloc", (unsigned long)area + (64 << 10), true },
		{ "huge vmalloc", (unsigned long)huge, true },
		{ "in huge vmalloc", (unsigned long)huge + (2 << 20), true },
		{ "before vmalloc space", VMALLOC_START - 1, .block = true },
		{ "behind vmalloc space", VMALLOC_END + 1 },
	};
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, slab);
	KUNIT_ASSERT_NOT_NULL(test, area);
	KUNIT_ASSERT_NOT_NULL(test, huge);
	KUNIT_ASSERT_NE(test, page, 0UL);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		/* Nobody has made blocks, if there is no map of them. */
		if (!rows[i].arena && !(rows[i].block && kmh_blockmap->nr))
			KUNIT_EXPECT_EQ_MSG(test, (int)state(rows[i].addr), (int)KMH_SPAN_NONE,
					    "%s", rows[i].what);
		expect_foreign(test, rows[i].addr);
		expect_free_refused(test, rows[i].addr, KMH_INVALID_FREE);
	}
	free_page(page);
	vfree(area);
	vfree(huge);
}

/* ---- an arena, page by page */

static void lookup_around_an_arena(struct kunit *test)
{
	struct kmh_arena *a = first_arena(test);
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned long start = a->first << KMH_PAGE_SHIFT;
	unsigned long end = (a->first + a->npages) << KMH_PAGE_SHIFT, addr;
	const unsigned long outside[] = {
		(unsigned long)a->vbase - 1, start - 1, end, end + 1,
		(unsigned long)a->vbase + a->bytes,
		(unsigned long)a->vbase + a->bytes + PAGE_SIZE - 1,
	};
	const unsigned long begin[] = { start, start + 1, start + KMH_PAGE_SIZE - 1 };
	unsigned int i;

	KUNIT_EXPECT_GE(test, start, (unsigned long)a->vbase);
	KUNIT_EXPECT_LE(test, end, (unsigned long)a->vbase + a->bytes);
	for (i = 0; i < ARRAY_SIZE(outside); i++) {
		/*
		 * The arena's first bytes, when its base is not at a heap page, are among
		 * these.
		 */
		expect_foreign(test, outside[i]);
	}
	for (i = 0; i < ARRAY_SIZE(begin); i++) {
		KUNIT_EXPECT_PTR_EQ(test, kmh_span_of(begin[i]), heap->unused);
		expect_free_refused(test, begin[i], KMH_INVALID_FREE);
	}
	if ((unsigned long)a->vbase < start)
		expect_free_refused(test, (unsigned long)a->vbase, KMH_INVALID_FREE);
	for (addr = start; addr < end; addr += KMH_PAGE_SIZE) {
		KUNIT_EXPECT_PTR_EQ(test, kmh_span_of(addr), heap->unused);
		KUNIT_EXPECT_PTR_EQ(test, kmh_span_of(addr + KMH_PAGE_SIZE - 1), heap->unused);
	}
	expect_free_refused(test, start + KMH_PAGE_SIZE, KMH_INVALID_FREE);
	expect_free_refused(test, end - 8, KMH_INVALID_FREE);
}

/* NONE -> UNUSED -> in use -> FREED -> in use -> FREED -> GONE, page by page. */
static void lookup_over_the_life_of_a_span(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-life", NULL);
	struct kmh_mspan *s, *again;
	struct kmheap_object obj;
	unsigned long page, i;
	unsigned int round;
	void *p;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	/* An object of five pages. */
	p = kmheap_alloc(heap, 40000, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	for (round = 0; round < 3; round++) {
		s = kmh_span_of((unsigned long)p);
		page = s->base >> KMH_PAGE_SHIFT;
		KUNIT_EXPECT_EQ(test, (int)s->state, (int)KMH_SPAN_LARGE);
		KUNIT_EXPECT_TRUE(test, kmh_span_of_page(page - 1) != s);
		for (i = 0; i < 5; i++)
			KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page + i), s);
		KUNIT_EXPECT_TRUE(test, kmh_span_of_page(page + 5) != s);
		KUNIT_EXPECT_TRUE(test, kmheap_lookup(p + 39999, &obj));
		KUNIT_EXPECT_PTR_EQ(test, obj.base, p);

		kmheap_free(p);
		kmh_largecache_drain_cpus(heap);
		kmh_largestore_drain(heap);
		for (i = 0; i < 5; i++)
			KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page + i), heap->freed);
		KUNIT_EXPECT_FALSE(test, kmheap_lookup(p, &obj));
		expect_free_refused(test, (unsigned long)p, KMH_DOUBLE_FREE);
		/* The same pages again, first as a large object, then as small ones. */
		p = kmheap_alloc(heap, round ? 1024 : 40000, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		again = kmh_span_of((unsigned long)p);
		KUNIT_EXPECT_EQ(test, again->base >> KMH_PAGE_SHIFT, page);
		if (round)
			break;
	}
	KUNIT_EXPECT_EQ(test, (int)again->state, (int)KMH_SPAN_SMALL);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page + 1), heap->freed);
	kmheap_free(p);
	kmheap_destroy(heap);
	for (i = 0; i < 5; i++)
		KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page + i), &kmh_span_gone);
	expect_free_refused(test, (unsigned long)p, KMH_INVALID_FREE);
}

/* ---- the map itself */

/* The page number that leaf @leaf begins with. */
static unsigned long page_of_leaf(unsigned long leaf)
{
	return leaf << (KMH_LEAF_SHIFT - KMH_PAGE_SHIFT);
}

/* As for a vmalloc area. */
static int cover(unsigned long first, unsigned long npages)
{
	return kmh_arenamap_cover(&kmh_areamap, first, npages, GFP_KERNEL);
}

static void cover_again_changes_nothing(struct kunit *test)
{
	struct kmh_arena *a = first_arena(test);
	struct kmh_arenamap **at = a->block ? &kmh_blockmap : &kmh_areamap, *map = *at;
	u64 bytes = READ_ONCE(kmh_map_bytes);

	KUNIT_EXPECT_EQ(test, kmh_arenamap_cover(at, a->first, a->npages, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, kmh_arenamap_cover(at, a->first, 1, GFP_KERNEL), 0);
	KUNIT_EXPECT_PTR_EQ(test, *at, map);
	KUNIT_EXPECT_EQ(test, READ_ONCE(kmh_map_bytes), bytes);
}

/* The map has grown since it had @bytes, by @ntables tables; the books of the case are told. */
static void expect_growth(struct kunit *test, u64 bytes, unsigned int ntables)
{
	struct kmh_kunit_books *b = &kmh_kunit(test)->before;

	b->map_bytes += READ_ONCE(kmh_map_bytes) - bytes;
	b->ntables += ntables;
}

/* Extend the map and look at every old entry. */
static void expect_extension(struct kunit *test, unsigned long leaf, unsigned int nleaves)
{
	struct kmh_arenamap *old = kmh_areamap;
	u64 bytes = READ_ONCE(kmh_map_bytes);
	unsigned long i, first = page_of_leaf(leaf);
	unsigned long npages = (nleaves - 1) * KMH_LEAF_PAGES + 1;

	KUNIT_ASSERT_EQ(test, cover(first, npages), 0);
	KUNIT_ASSERT_TRUE(test, kmh_areamap != old);
	KUNIT_EXPECT_PTR_EQ(test, kmh_areamap->prev, old);
	KUNIT_EXPECT_LE(test, kmh_areamap->base, min(old->base, leaf));
	KUNIT_EXPECT_GE(test, kmh_areamap->base + kmh_areamap->nr,
			max(old->base + old->nr, leaf + nleaves));
	KUNIT_EXPECT_GE(test, kmh_areamap->nr, 2 * old->nr);
	for (i = 0; i < old->nr; i++)
		if (kmh_areamap->biased[old->base + i - kmh_areamap->base] != old->biased[i])
			break;
	KUNIT_EXPECT_EQ_MSG(test, i, old->nr, "leaf %lu is another one", i);
	expect_growth(test, bytes, 1 + nleaves);
	bytes += sizeof(*old) + kmh_areamap->nr * sizeof(old->biased[0]);
	bytes += nleaves * sizeof(struct kmh_leaf);
	KUNIT_EXPECT_EQ(test, READ_ONCE(kmh_map_bytes), bytes);

	/* Each entry that is covered now can be set, up to the last, and none beside them. */
	for (i = 0; i < npages; i++)
		if (kmh_span_of_page(first + i) != &kmh_span_none)
			break;
	KUNIT_EXPECT_EQ(test, i, npages);
	kmh_arenamap_set(first, npages, &kmh_span_gone);
	KUNIT_EXPECT_EQ(test, (int)state(first << KMH_PAGE_SHIFT), (int)KMH_SPAN_GONE);
	KUNIT_EXPECT_EQ(test, (int)state(((first + npages) << KMH_PAGE_SHIFT) - 1),
			(int)KMH_SPAN_GONE);
	KUNIT_EXPECT_EQ(test, (int)state((first + npages) << KMH_PAGE_SHIFT),
			(int)KMH_SPAN_NONE);
	if (leaf != old->base + old->nr)	/* the page before is not in reach of the old map */
		KUNIT_EXPECT_EQ(test, (int)state((first << KMH_PAGE_SHIFT) - 1),
				(int)KMH_SPAN_NONE);
	kmh_arenamap_set(first, npages, &kmh_span_none);
}

/*
 * @leaf, or, where the map of blocks has that (User-Mode Linux), the first one below (@step -1) or
 * above (@step 1) that it has not: what is asked first need not be in the other one.
 */
static unsigned long leaf_of_no_block(unsigned long leaf, int step)
{
	while (leaf - kmh_blockmap->base < kmh_blockmap->nr)
		leaf += step;
	return leaf;
}

static void extend_keeps_old_entries(struct kunit *test)
{
	void *p = kmheap_alloc(kmh_kunit_heap(test), 100, GFP_KERNEL);
	struct kmh_mspan *s = kmh_span_of((unsigned long)p);

	KUNIT_ASSERT_NOT_NULL(test, p);
	/* The map is extended right behind its end, and with a gap. */
	expect_extension(test, leaf_of_no_block(kmh_areamap->base + kmh_areamap->nr, 1), 1);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p), s);
	expect_extension(test, leaf_of_no_block(kmh_areamap->base + kmh_areamap->nr + 9, 1), 3);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p), s);
	kmheap_free(p);
}

static void extend_downwards_keeps_old_entries(struct kunit *test)
{
	void *p = kmheap_alloc(kmh_kunit_heap(test), 100, GFP_KERNEL);
	struct kmh_mspan *s = kmh_span_of((unsigned long)p);
	unsigned long leaf;

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_GT(test, kmh_areamap->base, 8UL);
	leaf = leaf_of_no_block(kmh_areamap->base - 2, -1);
	expect_extension(test, leaf, 1);
	/* The room to spare is on the side where the map has grown. */
	KUNIT_EXPECT_LT(test, kmh_areamap->base, leaf);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p), s);
	kmheap_free(p);
}

static void cover_out_of_reach_is_refused(struct kunit *test)
{
	struct kmh_arenamap *map = kmh_areamap;
	u64 bytes = READ_ONCE(kmh_map_bytes);
	unsigned long far = map->base + (1UL << 22);

	KUNIT_EXPECT_EQ(test, cover(page_of_leaf(far), 1), -ERANGE);
	KUNIT_EXPECT_EQ(test, cover(page_of_leaf(far) - 1, 2), -ERANGE);
	KUNIT_EXPECT_PTR_EQ(test, kmh_areamap, map);
	KUNIT_EXPECT_EQ(test, READ_ONCE(kmh_map_bytes), bytes);
	KUNIT_EXPECT_EQ(test, (int)state(far << KMH_LEAF_SHIFT), (int)KMH_SPAN_NONE);
}

/*
 * Each step of a cover fails once; entries that were there stay usable, and the next try
 * succeeds.
 */
static void cover_without_memory_fails(struct kunit *test)
{
	unsigned long leaf = leaf_of_no_block(kmh_areamap->base + kmh_areamap->nr, 1);
	unsigned long first = page_of_leaf(leaf), n;
	void *p = kmheap_alloc(kmh_kunit_heap(test), 100, GFP_KERNEL);
	struct kmh_mspan *s = kmh_span_of((unsigned long)p);
	u64 bytes = READ_ONCE(kmh_map_bytes);
	int err;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_settle(kmh_kunit_heap(test));
	for (n = 1; n < 10; n++) {
		atomic_long_set(&kmh_fail_nth, 1);
		err = cover(first, 2 * KMH_LEAF_PAGES);
		if (!err)
			break;
		KUNIT_EXPECT_EQ(test, err, -ENOMEM);
		KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p), s);
		KUNIT_EXPECT_EQ(test, (int)state(leaf << KMH_LEAF_SHIFT), (int)KMH_SPAN_NONE);
		/*
		 * In each round the cover gets one step further: the first level, then a leaf
		 * at a time.
		 */
		atomic_long_set(&kmh_fail_nth, 2);
		err = cover(first, 2 * KMH_LEAF_PAGES);
		if (!err)
			break;
		KUNIT_EXPECT_EQ(test, err, -ENOMEM);
	}
	atomic_long_set(&kmh_fail_nth, 0);
	KUNIT_EXPECT_EQ(test, n, 3UL);
	KUNIT_EXPECT_EQ(test, cover(first, 2 * KMH_LEAF_PAGES), 0);
	expect_growth(test, bytes, 3);
	kmh_arenamap_set(first, 2 * KMH_LEAF_PAGES, &kmh_span_gone);
	KUNIT_EXPECT_EQ(test, (int)state((leaf + 1) << KMH_LEAF_SHIFT), (int)KMH_SPAN_GONE);
	kmh_arenamap_set(first, 2 * KMH_LEAF_PAGES, &kmh_span_none);
	kmheap_free(p);
}

/* ---- lookups meanwhile */

struct lookups {
	struct kmh_mspan *s;
	unsigned long addr;
	unsigned long wild;
	unsigned int nwrong[2];
	unsigned long nlookups[2];
	unsigned int nextended;
	int err;
	atomic_t stop;
};

static void lookups_thread(void *arg, unsigned int i)
{
	struct lookups *l = arg;
	unsigned int n;

	if (i == 2) {
		for (n = 0; n < 3 && !l->err; n++) {
			struct kmh_arenamap *map = kmh_areamap;

			l->err = cover(page_of_leaf(map->base + map->nr), 1);
			l->nextended += kmh_areamap != map;
			cond_resched();
		}
		atomic_set(&l->stop, 1);
		return;
	}
	do {
		for (n = 0; n < 100; n++) {
			l->nwrong[i] += kmh_span_of(l->addr) != l->s;
			l->nwrong[i] += kmh_span_of(l->wild + n * KMH_PAGE_SIZE) != &kmh_span_none;
			l->nlookups[i]++;
		}
		cond_resched();
	} while (!atomic_read(&l->stop));
}

static void lookup_while_the_map_grows(struct kunit *test)
{
	void *p = kmheap_alloc(kmh_kunit_heap(test), 100, GFP_KERNEL);
	struct lookups l = {
		.s = kmh_span_of((unsigned long)p),
		.addr = (unsigned long)p,
		.wild = (kmh_areamap->base + kmh_areamap->nr) << KMH_LEAF_SHIFT,
	};
	u64 bytes = READ_ONCE(kmh_map_bytes);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_threads(test, 3, lookups_thread, &l);
	KUNIT_EXPECT_EQ(test, l.err, 0);
	KUNIT_EXPECT_EQ(test, l.nextended, 3U);
	expect_growth(test, bytes, 6);
	KUNIT_EXPECT_EQ(test, l.nwrong[0] + l.nwrong[1], 0U);
	KUNIT_EXPECT_GT(test, l.nlookups[0], 0UL);
	KUNIT_EXPECT_GT(test, l.nlookups[1], 0UL);
	kmheap_free(p);
}

/*
 * At the module's limit the map takes neither a first level nor a leaf: it asks before. The limit
 * is such that arenas have all that they may have, and some of what belongs to no heap has room.
 */
static void cover_keeps_the_limit(struct kunit *test)
{
	unsigned long leaf = leaf_of_no_block(kmh_areamap->base + kmh_areamap->nr, 1);
	size_t base = atomic_long_read(&kmh_total_base), was = kmh_total_limit;
	size_t booked = atomic_long_read(&kmh_total_bytes);
	struct kmh_arenamap *map = kmh_areamap;
	u64 bytes = READ_ONCE(kmh_map_bytes), shared = kmh_shared_bytes();
	size_t first_level = sizeof(*map) + 2 * map->nr * sizeof(map->biased[0]);
	size_t limit = base + shared + DIV_ROUND_UP(booked * 5, 4) + 64;

	kmh_kunit_no_worker(kmh_kunit_heap(test));
	KUNIT_ASSERT_GE(test, map->nr, 64UL);
	WRITE_ONCE(kmh_total_limit, limit);
	KUNIT_EXPECT_TRUE(test, kmh_total_allows(0));
	KUNIT_EXPECT_EQ(test, cover(page_of_leaf(leaf), 1), -EDQUOT);
	KUNIT_EXPECT_PTR_EQ(test, kmh_areamap, map);
	KUNIT_EXPECT_EQ(test, READ_ONCE(kmh_map_bytes), bytes);
	KUNIT_EXPECT_EQ(test, kmh_shared_bytes(), shared);

	/* Room for the first level, and for no leaf. */
	WRITE_ONCE(kmh_total_limit, limit + first_level + 64);
	KUNIT_EXPECT_EQ(test, cover(page_of_leaf(leaf), 1), -EDQUOT);
	KUNIT_EXPECT_TRUE(test, kmh_areamap != map);
	KUNIT_EXPECT_EQ(test, READ_ONCE(kmh_map_bytes), bytes + first_level);
	KUNIT_EXPECT_EQ(test, kmh_shared_bytes(), shared + first_level);
	WRITE_ONCE(kmh_total_limit, was);
	expect_growth(test, bytes, 1);
}

static struct kunit_case arenamap_cases[] = {
	KUNIT_CASE(lookup_powers_of_two),
	KUNIT_CASE(lookup_random_values),
	KUNIT_CASE(lookup_addresses_of_others),
	KUNIT_CASE(lookup_around_an_arena),
	KUNIT_CASE(lookup_over_the_life_of_a_span),
	KUNIT_CASE(cover_again_changes_nothing),
	KUNIT_CASE(extend_keeps_old_entries),
	KUNIT_CASE(extend_downwards_keeps_old_entries),
	KUNIT_CASE(cover_out_of_reach_is_refused),
	KUNIT_CASE(cover_without_memory_fails),
	KUNIT_CASE(cover_keeps_the_limit),
	KUNIT_CASE(lookup_while_the_map_grows),
	{ }
};

static struct kunit_suite arenamap_suite = {
	.name = "kmheap_arenamap",
	.init = kmh_kunit_init_areas,
	.exit = kmh_kunit_exit,
	.test_cases = arenamap_cases,
};

kunit_test_suite(arenamap_suite);
