// SPDX-License-Identifier: GPL-2.0
/* KUnit: free pages of blocks go back one by one, and nobody gets one of them twice. */
#include <linux/prandom.h>

#include "block_kunit.h"

static struct kmheap *heap_linear(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-returned", KMHEAP_LINEAR, 0);

	kmh_kunit_no_worker(heap);
	return heap;
}

/* Pages of the kernel that the heap's arenas have, by their own books. */
static long held_pages(struct kmheap *heap)
{
	return kmh_kunit_held_bytes(heap) >> PAGE_SHIFT;
}

/* Return: pages of the arenas that are returned. These, and no others, have no page behind them. */
static unsigned long returned_pages(struct kunit *test, struct kmheap *heap)
{
	unsigned long n = 0, page, nwrong = 0;
	struct kmh_arena *a;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list) {
		for (page = 0; page < a->npages; page++) {
			unsigned long i = (page << KMH_PAGE_SHIFT) >> PAGE_SHIFT;

			bool kept = page_private(a->block_page + i) == (unsigned long)a;

			n += kmh_arena_is_returned(a, page);
			nwrong += kept == kmh_arena_is_returned(a, page);
		}
	}
	mutex_unlock(&heap->arenas_mutex);
	KUNIT_EXPECT_EQ_MSG(test, nwrong, 0UL, "pages that are returned or not by the marks alone");
	return n;
}

static void expect_books(struct kunit *test, struct kmheap *heap, long pages_before)
{
	struct kmheap_stats st;

	kmh_kunit_validate(test);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, held_pages(heap), (long)(arena_bytes(heap) >> PAGE_SHIFT));
	KUNIT_EXPECT_EQ(test, held_pages(heap), block_pages() - pages_before);
}

static void load_64k(struct kunit *test, struct kmheap *heap, void **p, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		p[i] = kmheap_alloc(heap, SZ_64K, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
}

/*
 * Of objects of 16 to 64 KiB nine tenths are freed at random: what is left of the heap is hardly
 * more than the live ones, whose contents are as they were.
 */
#define NR_OBJS	500U

static void shrink_returns_free_pages(struct kunit *test)
{
	long pages = block_pages();
	struct kmheap *heap = heap_linear(test);
	void **p = kunit_kcalloc(test, NR_OBJS, sizeof(*p), GFP_KERNEL);
	/* Where a page of the kernel has several heap pages, each object keeps the rest of one. */
	const size_t rest = max(PAGE_SIZE, KMH_PAGE_SIZE) - KMH_PAGE_SIZE;
	size_t live = 0, before;
	unsigned int i, nwrong = 0;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, p);
	prandom_seed_state(&rnd, 1);
	for (i = 0; i < NR_OBJS; i++) {
		p[i] = kmheap_alloc(heap, SZ_16K + prandom_u32_state(&rnd) % (3 * SZ_16K),
				    GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		kmh_kunit_fill(p[i]);
	}
	for (i = 0; i < NR_OBJS; i++) {
		if (prandom_u32_state(&rnd) % 10) {
			kmheap_free(p[i]);
			p[i] = NULL;
		} else {
			live += kmheap_size(p[i]) + rest / 2;
		}
	}
	before = arena_bytes(heap);
	KUNIT_EXPECT_GT(test, kmh_kunit_shrink(heap), before / 2);
	KUNIT_EXPECT_GT(test, returned_pages(test, heap), 100UL);
	/* Slots of two thirds of an object's size, and spans of two slots, are not pages yet. */
	KUNIT_EXPECT_LE(test, arena_bytes(heap), live * 2);
	expect_books(test, heap, pages);
	KUNIT_EXPECT_EQ(test, kmh_kunit_shrink(heap), 0UL);

	for (i = 0; i < NR_OBJS; i++)
		nwrong += p[i] && !kmh_kunit_filled(p[i]);
	KUNIT_EXPECT_EQ(test, nwrong, 0U);
	for (i = 0; i < NR_OBJS; i++)
		kmheap_free(p[i]);
	kmh_kunit_shrink(heap);
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), 0UL);
	KUNIT_EXPECT_EQ(test, narenas(heap), 0U);
	expect_books(test, heap, pages);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, block_pages(), pages);
}

/*
 * Random objects come and go while pages are returned: no object lies in a returned page, none
 * loses its contents, and the books of pages add up, also where the page allocator gives returned
 * pages back to the heap in a new block.
 */
static void random_operations(struct kunit *test)
{
	long pages = block_pages();
	struct kmheap *heap = heap_linear(test);
	void **p = kunit_kcalloc(test, NR_OBJS, sizeof(*p), GFP_KERNEL);
	unsigned int round, i, n, nwrong = 0, rounds = KMH_KUNIT_SLOW ? 5 : 40;
	struct kmh_leavers which = { };
	struct rnd_state rnd;
	unsigned long page;

	KUNIT_ASSERT_NOT_NULL(test, p);
	prandom_seed_state(&rnd, 2);
	for (round = 0; round < rounds; round++) {
		for (n = 0; n < 300; n++) {
			struct kmh_mspan *s;

			i = prandom_u32_state(&rnd) % NR_OBJS;
			if (p[i]) {
				nwrong += !kmh_kunit_filled(p[i]);
				kmheap_free(p[i]);
				p[i] = NULL;
				continue;
			}
			if (prandom_u32_state(&rnd) % 3)
				continue;
			p[i] = kmheap_alloc(heap, 8UL << prandom_u32_state(&rnd) % 15, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[i]);
			kmh_kunit_fill(p[i]);
			s = kmh_span_of((unsigned long)p[i]);
			page = ((unsigned long)p[i] >> KMH_PAGE_SHIFT) - s->arena->first;
			nwrong += kmh_arena_is_returned(s->arena, page);
		}
		if (round % 4 == 3) {
			kmh_kunit_shrink(heap);
		} else {
			size_t most;

			which.bytes = prandom_u32_state(&rnd) % SZ_1M;
			which.at_most = round % 2;
			most = round_up(which.bytes, KMH_PAGE_SIZE) -
			       (which.at_most && which.bytes % KMH_PAGE_SIZE ? KMH_PAGE_SIZE : 0);
			KUNIT_EXPECT_LE(test, kmh_pages_return(heap, &which), most);
		}
		returned_pages(test, heap);
		expect_books(test, heap, pages);
	}
	KUNIT_EXPECT_EQ(test, nwrong, 0U);
	for (i = 0; i < NR_OBJS; i++)
		kmheap_free(p[i]);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, block_pages(), pages);
}

/* A heap with one live object in each of a few blocks, and all other pages free. */
static void load_sparse(struct kunit *test, struct kmheap *heap, void **keep, unsigned int n)
{
	void *p[32];
	unsigned int i, j;

	for (i = 0; i < n; i++) {
		for (j = 0; j < ARRAY_SIZE(p); j++) {
			p[j] = kmheap_alloc(heap, SZ_64K, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[j]);
		}
		keep[i] = p[0];
		kmheap_free_bulk(ARRAY_SIZE(p) - 1, p + 1);
		/* The next ones are to lie in other blocks. */
		kmh_kunit_shrink(heap);
		kmh_kunit_fill(keep[i]);
	}
}

static void scavenger_returns_pages(struct kunit *test)
{
	long pages = block_pages();
	struct kmheap *heap = heap_linear(test);
	void *p[64], *keep;
	unsigned int i;

	load_64k(test, heap, p, ARRAY_SIZE(p));
	keep = p[40];
	p[40] = NULL;
	kmheap_free_bulk(ARRAY_SIZE(p), p);
	kmh_heap_drain(heap);
	for (i = 0; i < 200 && arena_bytes(heap) > SZ_512K; i++)
		kmh_scavenge_step(heap, 250);
	/* What growing ahead would fetch again stays. */
	KUNIT_EXPECT_LE(test, arena_bytes(heap), (size_t)SZ_512K + SZ_256K);
	KUNIT_EXPECT_GT(test, atomic_long_read(&heap->scavenge.bytes), (long)SZ_1M);
	expect_books(test, heap, pages);
	kmheap_free(keep);
	kmheap_destroy(heap);
}

static void reclaim_returns_pages(struct kunit *test)
{
	long pages = block_pages();
	struct kmheap *heap = heap_linear(test);
	struct shrink_control sc = { .gfp_mask = GFP_KERNEL, .nid = numa_mem_id() };
	unsigned long count, done;
	size_t before;
	void *p[32];
	unsigned int i;

	load_64k(test, heap, p, ARRAY_SIZE(p));
	/* Every other one, so that no block is empty: the first one is of one object. */
	for (i = 1; i < ARRAY_SIZE(p); i += 2)
		kmheap_free(p[i]);
	kmh_heap_drain(heap);
	WRITE_ONCE(mheap_of(heap)->low_pages, 0);
	count = kmh_kunit_shrink_count(heap, numa_mem_id());
	KUNIT_EXPECT_GE(test, count, 16UL * (SZ_64K >> PAGE_SHIFT));
	before = arena_bytes(heap);
	sc.nr_to_scan = 2 * (SZ_64K >> PAGE_SHIFT);
	done = heap->shrink.shrinker->scan_objects(heap->shrink.shrinker, &sc);
	KUNIT_EXPECT_EQ(test, done, sc.nr_to_scan);
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), before - (done << PAGE_SHIFT));
	KUNIT_EXPECT_EQ(test, kmh_kunit_shrink_count(heap, numa_mem_id()), count - done);
	expect_books(test, heap, pages);
	for (i = 0; i < ARRAY_SIZE(p); i += 2)
		kmheap_free(p[i]);
	kmheap_destroy(heap);
}

/* At a limit, pages that are free in pieces make room for a run that is not. */
static void limit_returns_pages(struct kunit *test)
{
	long pages = block_pages();
	struct kmheap *heap = heap_linear(test);
	void *p[32], *q;
	unsigned int i;

	load_64k(test, heap, p, ARRAY_SIZE(p));
	for (i = 0; i < ARRAY_SIZE(p); i += 2)
		kmheap_free(p[i]);
	heap->limit_bytes = heap->base_metadata_bytes + arena_bytes(heap) / 4 * 5 + SZ_8K;
	q = kmheap_alloc(heap, SZ_512K, GFP_KERNEL);
	expect_linear(test, q, SZ_512K);
	KUNIT_EXPECT_LE(test, kmh_heap_footprint(heap), heap->limit_bytes);
	expect_books(test, heap, pages);
	kmheap_free(q);
	for (i = 1; i < ARRAY_SIZE(p); i += 2)
		kmheap_free(p[i]);
	kmheap_destroy(heap);
}

/*
 * What is missing at the module's limit is no multiple of a page: the other heap gives the last
 * page of it, too, and the caller is served.
 */
static void total_limit_returns_pages(struct kunit *test)
{
	struct kmheap *a = heap_linear(test), *b = heap_of(test, "kunit-b", KMHEAP_LINEAR, 0);
	size_t limit = READ_ONCE(kmh_total_limit), room;
	void *p[32], *first, *q;
	unsigned int i;

	kmh_kunit_no_worker(b);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmheap_alloc(a, SZ_64K, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	/* Every other one, so that no block is empty: the first one is of one object. */
	for (i = 1; i < ARRAY_SIZE(p); i += 2)
		kmheap_free(p[i]);
	kmh_heap_drain(a);
	WRITE_ONCE(mheap_of(a)->low_pages, 0);
	first = kmheap_alloc(b, SZ_64K, GFP_KERNEL);	/* all that @b has */
	KUNIT_ASSERT_EQ(test, mheap_of(b)->pa.nfree, 0UL);

	/* For 64 KiB, 70,000 bytes have to go. */
	room = atomic_long_read(&kmh_total_bytes) + SZ_64K - 70000;
	WRITE_ONCE(kmh_total_limit, atomic_long_read(&kmh_total_base) + kmh_shared_bytes() +
				    DIV_ROUND_UP(room * 5, 4));
	q = kmheap_alloc(b, SZ_64K, GFP_KERNEL);
	WRITE_ONCE(kmh_total_limit, limit);
	expect_linear(test, q, SZ_64K);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&b->refused), 0L);
	kmh_kunit_validate(test);
	kmheap_free(q);
	kmheap_free(first);
	for (i = 0; i < ARRAY_SIZE(p); i += 2)
		kmheap_free(p[i]);
	kmheap_destroy(b);
	kmheap_destroy(a);
}

/* A soft limit that is no multiple of a page is kept, and not exceeded by a part of one. */
static void soft_limit_returns_pages(struct kunit *test)
{
	struct kmheap *heap = heap_linear(test);
	void *p[32];
	unsigned int i;

	load_64k(test, heap, p, ARRAY_SIZE(p));
	for (i = 0; i < ARRAY_SIZE(p); i += 2)
		kmheap_free(p[i]);
	kmh_heap_drain(heap);
	WRITE_ONCE(mheap_of(heap)->low_pages, 0);
	KUNIT_ASSERT_EQ(test, kmh_limit_set_soft(heap, kmh_heap_footprint(heap) - 70000), 0);
	flush_delayed_work(&heap->limit.work);
	KUNIT_EXPECT_LE(test, kmh_heap_footprint(heap), READ_ONCE(heap->limit.soft_bytes));
	for (i = 1; i < ARRAY_SIZE(p); i += 2)
		kmheap_free(p[i]);
	kmheap_destroy(heap);
}

/* A reserve that was learned, and that no owner has asked for, goes when everything is to go. */
static void learned_reserve_goes(struct kunit *test, bool oom)
{
	struct kmheap *heap = heap_of(test, "kunit-returned", KMHEAP_LINEAR, 0);
	void *p[48], *drawn;
	unsigned int i;

	drawn = kmheap_alloc(heap, SZ_64K, GFP_ATOMIC);
	kmh_kunit_no_worker(heap);
	KUNIT_ASSERT_GT(test, mheap_of(heap)->reserve.pages, 0UL);
	load_64k(test, heap, p, ARRAY_SIZE(p));
	/* Runs that are longer than the reserve, in blocks that are partly in use. */
	for (i = 0; i < ARRAY_SIZE(p); i++)
		if (i % 4)
			kmheap_free(p[i]);
	KUNIT_EXPECT_LE(test, mheap_of(heap)->reserve.pages, 3 * SZ_64K / KMH_PAGE_SIZE);
	if (oom)
		kmh_shrink_oom();
	else
		kmh_kunit_shrink(heap);
	KUNIT_EXPECT_EQ(test, mheap_of(heap)->pa.nfree, 0UL);
	KUNIT_EXPECT_GT(test, mheap_of(heap)->reserve.pages, 0UL);
	kmh_kunit_validate(test);
	for (i = 0; i < ARRAY_SIZE(p); i += 4)
		kmheap_free(p[i]);
	kmheap_free(drawn);
	kmheap_destroy(heap);
}

static void learned_reserve_does_not_stay(struct kunit *test)
{
	learned_reserve_goes(test, false);
	learned_reserve_goes(test, true);
}

#define BYTES		512U
#define PER_SPAN	(KMH_PAGE_SIZE / BYTES)
#define NR_SMALL	(SZ_8M / BYTES)
#define NR_BLOCKS	64U

struct far_frees {
	void **p;
	unsigned int n;
};

static void free_far(void *arg)
{
	struct far_frees *f = arg;

	kmheap_free_bulk(f->n, f->p);
}

/*
 * Spans that became empty when they were on a list, by frees of another CPU, and that nobody has
 * looked at since; one object of each block, in @keep, is live. Return: their number.
 */
static unsigned int make_unseen(struct kunit *test, struct kmheap *heap, void **keep)
{
	void **p = load_objects(test, heap, BYTES, NR_SMALL);
	struct kmh_arena *blocks[NR_BLOCKS];
	struct far_frees f = { .p = p };
	unsigned int i, b, n = 0;

	for (i = 0; i < NR_SMALL; i += PER_SPAN) {
		kmheap_free(p[i]);
		p[i] = NULL;
	}
	kmh_kunit_shrink(heap);	/* all spans are partial */
	for (i = 0; i < NR_SMALL; i++) {
		struct kmh_arena *a = p[i] ? kmh_span_of((unsigned long)p[i])->arena : NULL;

		for (b = 0; a && b < n && blocks[b] != a; b++)
			;
		if (a && b == n) {
			KUNIT_ASSERT_LT(test, n, NR_BLOCKS);
			blocks[n] = a;
			keep[n++] = p[i];
		} else if (a) {
			p[f.n++] = p[i];
		}
	}
	kmh_kunit_elsewhere(test, free_far, &f);
	WRITE_ONCE(mheap_of(heap)->low_pages, 0);
	return n;
}

static void oom_finds_empty_spans(struct kunit *test)
{
	struct kmheap *heap = heap_linear(test);
	void *keep[NR_BLOCKS];
	unsigned int n;

	kmh_kick_stop(&heap->scavenge.kick);
	n = make_unseen(test, heap, keep);
	KUNIT_EXPECT_GT(test, arena_bytes(heap), (size_t)SZ_4M);
	kmh_shrink_oom();
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), n * KMH_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, kmh_kunit_shrink(heap), 0UL);
	kmh_kunit_validate(test);
	kmheap_free_bulk(n, keep);
	kmheap_destroy(heap);
}

/* A scan returns what it has made pages of. */
static void scan_finds_empty_spans(struct kunit *test)
{
	struct shrink_control sc = { .gfp_mask = GFP_KERNEL, .nid = numa_mem_id() };
	struct kmheap *heap = heap_linear(test);
	void *keep[NR_BLOCKS];
	unsigned int n, i;
	size_t most;

	kmh_kick_stop(&heap->scavenge.kick);
	n = make_unseen(test, heap, keep);
	/* The magazine of the other CPU keeps one of each entry at most. */
	most = (n + kmh_magazine_room(kmh_spanclass(kmh_size_to_class(BYTES), false))) *
	       KMH_PAGE_SIZE;
	for (i = 0; i < 1000 && arena_bytes(heap) > most; i++) {
		heap->shrink.not_before = jiffies;
		sc.nr_to_scan = 128;
		heap->shrink.shrinker->scan_objects(heap->shrink.shrinker, &sc);
	}
	KUNIT_EXPECT_LE(test, arena_bytes(heap), most);
	kmh_kunit_validate(test);
	kmheap_free_bulk(n, keep);
	kmheap_destroy(heap);
}

/* A block all of whose pages are returned or free leaves, and so does one that has none left. */
static void emptied_block_leaves(struct kunit *test)
{
	long pages = block_pages();
	struct kmheap *heap = heap_linear(test);
	struct kmh_arena *a;
	void *keep[4], *gone;
	unsigned long page;
	unsigned int i;

	load_sparse(test, heap, keep, ARRAY_SIZE(keep));
	a = kmh_span_of((unsigned long)keep[0])->arena;
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), (size_t)ARRAY_SIZE(keep) * SZ_64K);
	/* The addresses behind the live object say "gone", unless a new block has them. */
	gone = keep[0] + SZ_64K;
	page = ((unsigned long)gone >> KMH_PAGE_SHIFT) - a->first;
	if (page < a->npages && kmh_arena_is_returned(a, page) &&
	    kmh_span_of((unsigned long)gone)->state == KMH_SPAN_GONE) {
		kmheap_free(gone);
		kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	}
	for (i = 0; i < ARRAY_SIZE(keep); i++) {
		KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(keep[i]));
		kmheap_free(keep[i]);
	}
	kmh_kunit_shrink(heap);
	KUNIT_EXPECT_EQ(test, narenas(heap), 0U);
	expect_books(test, heap, pages);
	kmheap_destroy(heap);
}

/* A page that is counted as returned, and that no bit says is, is found, and no other finding. */
static unsigned int nreturned_findings;

static __printf(2, 3) void count_returned(void *ctx, const char *fmt, ...)
{
	nreturned_findings += !!strstr(fmt, "has returned");
}

static void validators_count_returned_pages(struct kunit *test)
{
	struct kmheap *heap = heap_linear(test);
	void *p = kmheap_alloc(heap, SZ_64K, GFP_KERNEL);
	struct kmh_arena *a;

	KUNIT_ASSERT_NOT_NULL(test, p);
	a = kmh_span_of((unsigned long)p)->arena;
	KUNIT_ASSERT_EQ(test, a->range.nreturned, 0UL);
	nreturned_findings = 0;
	a->range.nreturned++;
	kmh_validate_heap(heap, count_returned, NULL);
	a->range.nreturned--;
	KUNIT_EXPECT_EQ(test, nreturned_findings, 1U);
	kmh_validate_heap(heap, count_returned, NULL);
	KUNIT_EXPECT_EQ(test, nreturned_findings, 1U);
	kmheap_free(p);
	kmheap_destroy(heap);
}

/* Free pages of a block that leaves as a whole, if at all, do not go back one by one. */
static void whole_blocks_are_releasable_when_empty(struct kunit *test)
{
	struct kmheap *heap = heap_linear(test);
	void *p = kmheap_alloc(heap, SZ_8K, GFP_KERNEL);
	struct kmheap_stats st;
	struct kmh_arena *a;

	KUNIT_ASSERT_NOT_NULL(test, p);
	a = kmh_span_of((unsigned long)p)->arena;
	KUNIT_ASSERT_EQ(test, narenas(heap), 1U);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.releasable_bytes, (u64)a->range.nfree << KMH_PAGE_SHIFT);
	KUNIT_EXPECT_GT(test, st.releasable_bytes, 0ULL);
	a->dedicated = true;
	kmheap_stats(heap, &st);
	a->dedicated = false;
	KUNIT_EXPECT_EQ(test, st.releasable_bytes, 0ULL);
	kmheap_free(p);
	kmheap_destroy(heap);
}

/* The default heap has nothing to return while a case counts the pages of all. */
static int returned_init(struct kunit *test)
{
	kmh_kunit_shrink(NULL);
	return mheap_init(test);
}

/* Pages are the heap's at limits until the kernel has them, and no lookup finds them before. */
struct going {
	struct kmheap *heap;
	long bytes;
	unsigned long npages, nfound;
};

/* The caller holds arenas_mutex. */
static void note_going(void *arg)
{
	struct going *g = arg;
	unsigned long page;
	struct kmh_arena *a;

	g->bytes = arena_bytes(g->heap);
	list_for_each_entry(a, &g->heap->arenas, list) {
		for (page = 0; page < a->npages; page++) {
			if (!kmh_arena_is_returned(a, page))
				continue;
			g->npages++;
			g->nfound += kmh_span_of_page(a->first + page) != &kmh_span_gone;
		}
	}
}

static void pages_are_booked_until_they_are_gone(struct kunit *test)
{
	struct going g = { .heap = heap_linear(test) };
	long before;
	void *p[8];

	load_64k(test, g.heap, p, ARRAY_SIZE(p));
	kmheap_free(p[3]);
	before = arena_bytes(g.heap);
	kmh_kunit_at(test, "pages of a block go back", note_going, &g);
	KUNIT_EXPECT_GE(test, kmh_kunit_shrink(g.heap), (size_t)SZ_64K);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("pages of a block go back"));
	KUNIT_EXPECT_EQ(test, g.bytes, before);
	KUNIT_EXPECT_GT(test, g.npages, 0UL);
	KUNIT_EXPECT_EQ(test, g.nfound, 0UL);
	KUNIT_EXPECT_LE(test, (long)arena_bytes(g.heap), before - SZ_64K);
	p[3] = NULL;
	kmheap_free_bulk(ARRAY_SIZE(p), p);
	kmheap_destroy(g.heap);
}

static struct kunit_case returned_cases[] = {
	KUNIT_CASE(shrink_returns_free_pages),
	KUNIT_CASE(random_operations),
	KUNIT_CASE(scavenger_returns_pages),
	KUNIT_CASE(reclaim_returns_pages),
	KUNIT_CASE(limit_returns_pages),
	KUNIT_CASE(total_limit_returns_pages),
	KUNIT_CASE(soft_limit_returns_pages),
	KUNIT_CASE(learned_reserve_does_not_stay),
	KUNIT_CASE(oom_finds_empty_spans),
	KUNIT_CASE(scan_finds_empty_spans),
	KUNIT_CASE(emptied_block_leaves),
	KUNIT_CASE(validators_count_returned_pages),
	KUNIT_CASE(whole_blocks_are_releasable_when_empty),
	KUNIT_CASE(pages_are_booked_until_they_are_gone),
	{ }
};

static struct kunit_suite returned_suite = {
	.name = "kmheap_returned",
	.init = returned_init,
	.exit = kmh_kunit_exit,
	.test_cases = returned_cases,
};

kunit_test_suite(returned_suite);
