// SPDX-License-Identifier: GPL-2.0
/* KUnit: how a heap grows by blocks: sizes, orders that fail, flags, limits. */
#include "block_kunit.h"

/* An order of 2^n pages: get_order() of @bytes. */
static long failed(size_t bytes)
{
	unsigned int i = get_order(bytes) - get_order(KMH_BLOCK_MIN_BYTES);

	return atomic_long_read(&kmh_backend_nblocks_failed[i]);
}

/* Each block is twice the last one, up to the longest. */
static void blocks_double(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	size_t bytes = KMH_BLOCK_MIN_BYTES;
	unsigned int i;

	kmh_kunit_no_worker(heap);
	for (i = 0; i < KMH_BLOCK_ORDERS + 2; i++) {
		struct kmh_arena *a = arena(heap, i);

		KUNIT_ASSERT_NOT_NULL(test, a);
		KUNIT_EXPECT_TRUE(test, a->block);
		KUNIT_EXPECT_EQ(test, a->bytes, bytes);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)a->vbase, bytes));
		KUNIT_EXPECT_EQ(test, a->npages, bytes >> KMH_PAGE_SHIFT);
		KUNIT_EXPECT_EQ(test, grow_anyway(mheap_of(heap)), 0);
		bytes = min(2 * bytes, KMH_BLOCK_MAX_BYTES);
	}
	kmheap_destroy(heap);
}

/* Where the wanted order is not to be had, the next one down is taken, and the miss is counted. */
static void smaller_orders_are_tried(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	size_t want = KMH_BLOCK_MAX_BYTES;
	long before[2] = { failed(want), failed(want / 2) };
	unsigned int n;

	kmh_kunit_no_worker(heap);
	heap->next_arena_bytes = want;
	atomic_long_set(&kmh_fail_nth, 1);
	KUNIT_EXPECT_EQ(test, grow_anyway(mheap_of(heap)), 0);
	n = narenas(heap);
	KUNIT_EXPECT_EQ(test, arena(heap, n - 1)->bytes, want / 2);
	KUNIT_EXPECT_EQ(test, failed(want), before[0] + 1);
	KUNIT_EXPECT_EQ(test, failed(want / 2), before[1]);
	/* The next try begins where this one has succeeded, twice that. */
	KUNIT_EXPECT_EQ(test, heap->next_arena_bytes, want);
	kmheap_destroy(heap);
}

/*
 * Each step of growing by a block that the request needs whole fails once: no object, a heap that
 * is as before, and books to match.
 */
static void growth_without_memory_fails(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	long pages = block_pages();
	struct kmheap_stats st;
	unsigned int n;
	void *p = NULL;

	kmh_kunit_no_worker(heap);
	kmh_kunit_settle(heap);
	for (n = 1; n < 10 && !p; n++) {
		atomic_long_set(&kmh_fail_nth, n);
		p = kmheap_alloc(heap, KMH_BLOCK_MAX_BYTES, GFP_KERNEL | __GFP_NOWARN);
		if (!p)
			KUNIT_EXPECT_EQ(test, block_pages(), pages);
	}
	atomic_long_set(&kmh_fail_nth, 0);
	/* At least the block and the arena's tables; a leaf of the map may be there already. */
	KUNIT_EXPECT_GE(test, n, 4U);
	expect_linear(test, p, KMH_BLOCK_MAX_BYTES);
	kmheap_free(p);
	kmh_kunit_balanced(test, heap, &st);
	kmheap_destroy(heap);
}

/* A heap that may have an area gets one when there is no block; one of blocks alone does not. */
static void area_where_no_block_is(struct kunit *test)
{
	struct kmheap *heap = heap_backed(test, KMH_BACKING_AUTO);
	void *p, *area;

	kmh_kunit_shrink(heap);
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), 0UL);
	WRITE_ONCE(heap->next_arena_bytes, KMH_BLOCK_MIN_BYTES);
	atomic_long_set(&kmh_fail_nth, 1);
	area = kmheap_alloc(heap, 64, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, area);
	KUNIT_EXPECT_TRUE(test, is_vmalloc_addr(area));
	p = kmheap_alloc(heap, SZ_1M, GFP_KERNEL);
	expect_linear(test, p, SZ_1M);
	kmheap_free(area);
	kmheap_free(p);
	kmh_kunit_validate(test);
	kmheap_destroy(heap);

	heap = heap_backed(test, KMH_BACKING_BLOCK);
	atomic_long_set(&kmh_fail_nth, 1);
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, SZ_2M, GFP_KERNEL));
	atomic_long_set(&kmh_fail_nth, 0);
	kmheap_destroy(heap);
}

/* The kernel sees no flag that says more than how hard to try, and tries only are not pressed. */
static void flags_that_the_kernel_sees(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	void *p;

	kmh_kunit_no_worker(heap);
	WRITE_ONCE(kmh_backend_gfps, 0);
	p = kmheap_alloc(heap, SZ_1M, GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_RECLAIMABLE);
	expect_linear(test, p, SZ_1M);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(kmh_backend_gfps) &
			   (__GFP_ACCOUNT | __GFP_RECLAIMABLE | __GFP_MOVABLE | __GFP_HIGHMEM |
			    __GFP_ZERO | __GFP_COMP));
	kmheap_free(p);
	heap->next_arena_bytes = KMH_BLOCK_MAX_BYTES;
	WRITE_ONCE(kmh_backend_gfps, 0);
	KUNIT_EXPECT_EQ(test, grow_anyway(mheap_of(heap)), 0);
	KUNIT_EXPECT_FALSE(test, ~READ_ONCE(kmh_backend_gfps) &
			   (__GFP_NORETRY | __GFP_NOWARN | __GFP_NOMEMALLOC));
	kmheap_destroy(heap);
}

/* Blocks of the longest kind in which pages 11 to 249 are free: 1 MiB, but nowhere aligned. */
#define NR_GAPS	70U

struct gap {
	struct kmh_parange *range;
	unsigned long page;
};

static void make_gap(struct kunit *test, struct kmh_mheap *mh, struct gap *g)
{
	unsigned long flags;
	bool ok;

	KUNIT_ASSERT_EQ(test, kmh_mheap_grow_arena(mh, KMH_BLOCK_MAX_PAGES, 1, GFP_KERNEL), 0);
	kmh_wait_lock_irqsave(&mh->lock, flags);
	ok = kmh_pa_alloc(&mh->pa, KMH_BLOCK_MAX_PAGES, 1, &g->range, &g->page) &&
	     kmh_pa_free(&mh->pa, g->range, g->page + 11, 239);
	kmh_unlock_irqrestore(&mh->lock, flags);
	KUNIT_ASSERT_TRUE(test, ok);
}

static void close_gap(struct kmh_mheap *mh, const struct gap *g)
{
	unsigned long flags;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	kmh_pa_free(&mh->pa, g->range, g->page, 11);
	kmh_pa_free(&mh->pa, g->range, g->page + 250, KMH_BLOCK_MAX_PAGES - 250);
	kmh_unlock_irqrestore(&mh->lock, flags);
}

/*
 * A run that is aligned to its length is found in a block made for it, however many blocks there
 * are in which it might have fit: each request grows the heap once at most.
 */
static void aligned_runs_grow_once(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	struct gap *gaps = kunit_kcalloc(test, NR_GAPS, sizeof(*gaps), GFP_KERNEL);
	struct kmh_mheap *mh = mheap_of(heap);
	unsigned long grown;
	unsigned int i;
	void *p[4];

	KUNIT_ASSERT_NOT_NULL(test, gaps);
	kmh_kunit_no_worker(heap);
	for (i = 0; i < NR_GAPS; i++)
		make_gap(test, mh, &gaps[i]);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		grown = mh->ngrown;
		/* No caller that waits: one that finds nothing would grow without end. */
		p[i] = kmheap_alloc_aligned(heap, SZ_1M, SZ_1M, GFP_NOWAIT);
		KUNIT_EXPECT_NULL(test, p[i]);
		KUNIT_EXPECT_EQ(test, grow(mh, 128, 128), 0);
		KUNIT_EXPECT_EQ(test, mh->ngrown, grown + 1);
		p[i] = kmheap_alloc_aligned(heap, SZ_1M, SZ_1M, GFP_NOWAIT);
		expect_linear(test, p[i], SZ_1M);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p[i], SZ_1M));
	}
	kmheap_free_bulk(ARRAY_SIZE(p), p);
	for (i = 0; i < NR_GAPS; i++)
		close_gap(mh, &gaps[i]);
	kmh_kunit_validate(test);
	kmheap_destroy(heap);
}

/* A limit holds for blocks as it does for areas, to the page. */
static void limit_holds(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-limited", KMHEAP_LINEAR, 0);
	size_t room = 8 * KMH_BLOCK_MIN_BYTES;
	void *p[64];
	unsigned int n;

	kmh_kunit_no_worker(heap);
	heap->limit_bytes = heap->base_metadata_bytes + room + room / 4;
	for (n = 0; n < ARRAY_SIZE(p); n++) {
		p[n] = kmheap_alloc(heap, SZ_64K, GFP_KERNEL);
		if (!p[n])
			break;
	}
	KUNIT_EXPECT_EQ(test, n, 8U);
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), room);
	KUNIT_EXPECT_GE(test, atomic_long_read(&heap->limit.refusals), 1L);
	kmheap_free_bulk(n, p);
	p[0] = kmheap_alloc(heap, room, GFP_KERNEL);
	expect_linear(test, p[0], room);
	kmheap_free(p[0]);
	kmheap_destroy(heap);
}

/*
 * The module's limit has room for an arena, but not for a table that its block needs; here it is
 * descriptors of spans, of which none are left. An area is tried all the same.
 */
#define NR_LONG_PAGES	(SZ_256K / KMH_PAGE_SIZE)	/* no shorter block holds it */

struct narrow {
	size_t limit;
	struct llist_head spans;
};

static void widen(void *arg)
{
	struct narrow *n = arg;

	WRITE_ONCE(kmh_total_limit, n->limit);
}

static void no_room_for_tables(void *arg)
{
	struct narrow *n = arg;
	unsigned int class;
	struct kmh_mspan *s;

	for (class = KMH_SPANCLASS_TINY; class < KMH_NR_SPANCLASSES; class++)
		while ((s = kmh_mspan_get(class)))
			__llist_add(&s->node, &n->spans);
	while ((s = kmh_mspan_get(LARGE)))
		__llist_add(&s->node, &n->spans);
	WRITE_ONCE(kmh_total_limit, KMH_LIMIT_MIN_BYTES);
}

static void area_where_a_block_lacks_tables(struct kunit *test)
{
	struct narrow n = { .limit = kmh_total_limit };
	struct kmheap *heap = heap_backed(test, KMH_BACKING_AUTO);
	struct kmh_mspan *s, *next;

	kmh_kunit_at(test, "map is locked", no_room_for_tables, &n);
	kmh_kunit_at(test, "a block is not used", widen, &n);
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow_arena(mheap_of(heap), NR_LONG_PAGES, 1, GFP_KERNEL),
			0);
	widen(&n);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("map is locked"));
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("a block is not used"));
	KUNIT_EXPECT_FALSE(test, arena(heap, narenas(heap) - 1)->block);
	llist_for_each_entry_safe(s, next, __llist_del_all(&n.spans), node)
		kmh_mspan_put(s);
	kmheap_destroy(heap);
}

static struct kunit_case block_grow_cases[] = {
	KUNIT_CASE(blocks_double),
	KUNIT_CASE(smaller_orders_are_tried),
	KUNIT_CASE(growth_without_memory_fails),
	KUNIT_CASE(area_where_no_block_is),
	KUNIT_CASE(area_where_a_block_lacks_tables),
	KUNIT_CASE(flags_that_the_kernel_sees),
	KUNIT_CASE(aligned_runs_grow_once),
	KUNIT_CASE(limit_holds),
	{ }
};

static struct kunit_suite block_grow_suite = {
	.name = "kmheap_block_grow",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = block_grow_cases,
};

kunit_test_suite(block_grow_suite);
