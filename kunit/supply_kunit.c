// SPDX-License-Identifier: GPL-2.0
/* KUnit: what a heap asks the kernel for, on whose behalf, and what it does not ask for. */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>

#include "mheap_kunit.h"

/* ---- gfp flags */

/* The table of Documentation/api.rst: is the flag passed to the kernel? */
static const struct {
	const char *name;
	gfp_t flags;
	bool passed;
} gfp_rows[] = {
	{ "IO, FS", __GFP_IO | __GFP_FS, true },
	{ "RECLAIM", __GFP_RECLAIM, true },
	{ "NOWARN", __GFP_NOWARN, true },
	{ "NORETRY", __GFP_NORETRY, true },
	{ "RETRY_MAYFAIL", __GFP_RETRY_MAYFAIL, true },
	{ "NOMEMALLOC", __GFP_NOMEMALLOC, true },
#ifdef CONFIG_LOCKDEP
	{ "NOLOCKDEP", __GFP_NOLOCKDEP, true },
#endif
	{ "NOFAIL", __GFP_NOFAIL, false },
	{ "DMA, DMA32", __GFP_DMA | __GFP_DMA32, false },
	{ "HIGHMEM, MOVABLE", __GFP_HIGHMEM | __GFP_MOVABLE, false },
	{ "RECLAIMABLE", __GFP_RECLAIMABLE, false },
	{ "HIGH", __GFP_HIGH, false },
	{ "MEMALLOC", __GFP_MEMALLOC, false },
	{ "ZERO", __GFP_ZERO, false },
	{ "COMP", __GFP_COMP, false },
	{ "HARDWALL", __GFP_HARDWALL, false },
	{ "WRITE", __GFP_WRITE, false },
	{ "ACCOUNT", __GFP_ACCOUNT, false },
	{ "THISNODE", __GFP_THISNODE, false },	/* for one node; else the page allocator's */
	{ "ZEROTAGS, SKIP_ZERO", __GFP_ZEROTAGS | __GFP_SKIP_ZERO, false },
};

static void every_flag_has_its_row(struct kunit *test)
{
	gfp_t left = __GFP_BITS_MASK;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(gfp_rows); i++) {
		KUNIT_EXPECT_EQ_MSG(test, (__force u32)(left & gfp_rows[i].flags),
				    (__force u32)gfp_rows[i].flags, "%s twice", gfp_rows[i].name);
		KUNIT_EXPECT_EQ_MSG(test, (__force u32)kmh_backend_gfp(gfp_rows[i].flags),
				    gfp_rows[i].passed ? (__force u32)gfp_rows[i].flags : 0,
				    "%s", gfp_rows[i].name);
		left &= ~gfp_rows[i].flags;
	}
	/*
	 * Other flags that a kernel may have, such as those for KASAN and codetags, are not
	 * passed on.
	 */
	KUNIT_EXPECT_EQ(test, (__force u32)kmh_backend_gfp(left), 0U);
}

/*
 * Take each kind of memory from the kernel: arenas of both kinds, areas for user space, tables,
 * exact ones too, chunks, memory of each CPU, a new map leaf.
 */
static void take_of_everything(struct kunit *test, gfp_t gfp)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	size_t exact = 5 * PAGE_SIZE;	/* of which a slab would take eight pages */
	struct kmh_fixalloc f;
	long __percpu *each;
	void *table;

	table = kmh_backend_user(SZ_64K, PAGE_SIZE, gfp, NUMA_NO_NODE);
	KUNIT_EXPECT_NOT_NULL(test, table);
	kmh_backend_free_arena(table);
	kmh_backend_gfps &= ~__GFP_ZERO;	/* it is zeroed, whatever the caller says */
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow(mh, 1, 1, mh->ngrown, gfp), 0);
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow(mh, 20 * SZ_1M / KMH_PAGE_SIZE, 1, mh->ngrown, gfp),
			0);
	kmh_kunit_shrink(heap);
	table = kmh_backend_zalloc(SZ_64K, gfp, NUMA_NO_NODE);
	KUNIT_EXPECT_NOT_NULL(test, table);
	kmh_backend_free(table);
	table = kmh_backend_zalloc_exact(exact, gfp, NUMA_NO_NODE);
	KUNIT_EXPECT_NOT_NULL(test, table);
	kmh_backend_free_exact(table, exact);
	each = kmh_backend_percpu(long, gfp);
	KUNIT_EXPECT_NOT_NULL(test, (void __force *)each);
	free_percpu(each);
	kmh_fixalloc_init(&f, "gfp", 100, 64);
	KUNIT_EXPECT_EQ(test, kmh_fixalloc_refill(&f, 1, gfp), 0);
	kmh_fixalloc_destroy(&f);
}

static void flags_reach_the_kernel_as_documented(struct kunit *test)
{
	unsigned int i;

	kmh_kunit_no_worker(kmh_kunit_heap(test));
	for (i = 0; i < ARRAY_SIZE(gfp_rows); i++) {
		gfp_t flags = gfp_rows[i].flags;

		kmh_backend_gfps = 0;
		take_of_everything(test, GFP_KERNEL | flags);
		if (gfp_rows[i].passed)
			KUNIT_EXPECT_EQ_MSG(test, (__force u32)(kmh_backend_gfps & flags),
					    (__force u32)flags, "%s", gfp_rows[i].name);
		else
			KUNIT_EXPECT_EQ_MSG(test, (__force u32)(kmh_backend_gfps & flags), 0U,
					    "%s", gfp_rows[i].name);
	}
}

/* Each flag that names no zone gets an object. */
static void flags_do_not_refuse(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, j;
	void *p[60];

	for (i = 0; i < ARRAY_SIZE(gfp_rows); i++) {
		if (gfp_rows[i].flags & (__GFP_NOFAIL | __GFP_DMA | __GFP_DMA32))
			continue;	/* these warn: see the selftests */
		for (j = 0; j < ARRAY_SIZE(p); j++) {
			p[j] = kmheap_alloc(heap, j % 8 ? 40000 : 24,
					    GFP_KERNEL | gfp_rows[i].flags);
			KUNIT_EXPECT_NOT_NULL_MSG(test, p[j], "%s", gfp_rows[i].name);
		}
		kmheap_free_bulk(ARRAY_SIZE(p), p);
		kmh_kunit_shrink(heap);
	}
}

/* ---- allocations inside reclaim */

static void *reclaim_alloc(struct kmheap *heap, size_t bytes)
{
	unsigned int flags = memalloc_noreclaim_save();
	void *p = kmheap_alloc(heap, bytes, GFP_KERNEL);

	memalloc_noreclaim_restore(flags);
	return p;
}

/* Take all pages of the heap, one by one. */
static unsigned int take_pages(struct kmheap *heap, void **p, unsigned int max)
{
	unsigned int n;

	for (n = 0; n < max && mheap_of(heap)->pa.nfree; n++)
		p[n] = kmheap_alloc_pages(heap, 1, GFP_NOWAIT);
	return n;
}

static void reclaim_takes_what_it_needs(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned long low = mh->low_pages;
	size_t next, small;
	void *p[64], *q, *large;
	unsigned int n;

	kmh_kunit_no_worker(heap);
	next = heap->next_arena_bytes;
	n = take_pages(heap, p, ARRAY_SIZE(p));
	q = reclaim_alloc(heap, 4096);
	KUNIT_EXPECT_NOT_NULL(test, q);
	KUNIT_ASSERT_EQ(test, narenas(heap), 2U);
	small = arena(heap, 1)->bytes;
	/* And its alignment. */
	KUNIT_EXPECT_LE(test, small, max_t(size_t, SZ_32K, PAGE_SIZE) + KMH_PAGE_SIZE);
	/* A small arena taken in reclaim does not change the size of later ones. */
	KUNIT_EXPECT_EQ(test, heap->next_arena_bytes, next);
	KUNIT_EXPECT_EQ(test, mh->low_pages, low);
	/* A large object's arena is not rounded up to huge pages either. */
	large = reclaim_alloc(heap, 3 * SZ_1M + SZ_512K);
	KUNIT_EXPECT_NOT_NULL(test, large);
	KUNIT_ASSERT_EQ(test, narenas(heap), 3U);
	KUNIT_EXPECT_LE(test, arena(heap, 2)->bytes,
			(size_t)3 * SZ_1M + SZ_512K + 4 * KMH_PAGE_SIZE);
	kmheap_free(large);
	kmheap_free(q);
	while (n--)
		kmheap_free_pages(p[n], 1);
}

static void reclaim_takes_the_reserve_first(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	void *p;

	kmh_kunit_no_worker(heap);
	mh->reserve.pages = mh->pa.nfree;
	p = reclaim_alloc(heap, 32768);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, narenas(heap), 1U);
	kmheap_free(p);
}

struct map_waiter {
	struct task_struct *task;
	struct completion done;
	struct kmh_arena *a;
	int err;
	bool ended;
};

static int map_waiter(void *arg)
{
	unsigned int flags = memalloc_noreclaim_save();
	struct map_waiter *w = arg;

	w->err = kmh_arenamap_cover(&kmh_areamap, w->a->first, w->a->npages, GFP_KERNEL);
	memalloc_noreclaim_restore(flags);
	complete(&w->done);
	return 0;
}

/* The map is being grown by a task that may wait for reclaim. */
static void map_is_locked(void *arg)
{
	struct map_waiter *w = arg;

	wake_up_process(w->task);
	w->ended = wait_for_completion_timeout(&w->done, 60 * HZ);
}

static void reclaim_does_not_wait_for_the_map(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct map_waiter w = { .a = arena(heap, 0) };

	init_completion(&w.done);
	/*
	 * The thread is made before, as the holder of the map's mutex must not wait for what
	 * reclaim does.
	 */
	w.task = kthread_create(map_waiter, &w, "kmheap_kunit/map");
	KUNIT_ASSERT_FALSE(test, IS_ERR(w.task));
	kmh_kunit_at(test, "map is locked", map_is_locked, &w);
	KUNIT_EXPECT_EQ(test, kmh_arenamap_cover(&kmh_areamap, w.a->first, w.a->npages,
						 GFP_KERNEL), 0);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("map is locked"));
	KUNIT_EXPECT_TRUE_MSG(test, w.ended, "it waits");
	if (!w.ended)
		wait_for_completion(&w.done);
	else
		KUNIT_EXPECT_EQ(test, w.err, -ENOMEM);
}

/* ---- what is booked */

struct booked {
	struct kmheap *heap;
	long heap_bytes, total_bytes;
};

static void note_booked(void *arg)
{
	struct booked *b = arg;

	b->heap_bytes = atomic_long_read(&b->heap->arena_bytes);
	b->total_bytes = atomic_long_read(&kmh_total_bytes);
}

static void expect_booked_until_gone(struct kunit *test, struct kmheap *heap)
{
	struct booked before = { .heap = heap }, going = { .heap = heap };

	kmh_kunit_no_worker(heap);
	note_booked(&before);
	kmh_kunit_at(test, "arena goes back", note_booked, &going);
	KUNIT_EXPECT_GT(test, kmh_kunit_shrink(heap), (size_t)0);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("arena goes back"));
	KUNIT_EXPECT_EQ(test, going.heap_bytes, before.heap_bytes);
	KUNIT_EXPECT_EQ(test, going.total_bytes, before.total_bytes);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->arena_bytes), 0L);
}

static void arena_is_booked_until_it_is_gone(struct kunit *test)
{
	expect_booked_until_gone(test, kmh_kunit_heap(test));
}

static void area_is_booked_until_it_is_gone(struct kunit *test)
{
	expect_booked_until_gone(test, kmh_kunit_of_areas(test));
}

/* ---- what an owner has asked for */

#define BURST	48U

/* Allocate about 1.5 MiB at once, without the worker. Returns how many objects are refused. */
static unsigned int burst_refused(struct kmheap *heap)
{
	static const size_t sizes[] = { 8, 200, 4096, 32768, 65536, 1024, 16384, 50000 };
	unsigned int i, refused = 0;
	unsigned long flags;
	void *p[BURST];

	local_irq_save(flags);
	for (i = 0; i < BURST; i++) {
		p[i] = kmheap_alloc(heap, sizes[i % ARRAY_SIZE(sizes)], GFP_ATOMIC);
		refused += !p[i];
	}
	local_irq_restore(flags);
	kmheap_free_bulk(BURST, p);
	return refused;
}

static unsigned long kept_pages(struct kmheap *heap)
{
	return mheap_of(heap)->reserve.pages;
}

static void first_burst_is_served(struct kunit *test)
{
	struct kmheap *cold = heap_new(test, "supply-cold", 0);
	struct kmheap *heap = heap_new(test, "supply-kept", 0);
	struct kmh_mheap *mh = mheap_of(heap);

	kmh_kunit_no_worker(cold);
	KUNIT_EXPECT_GT_MSG(test, burst_refused(cold), 0U, "the case shows nothing");
	kmheap_destroy(cold);

	KUNIT_EXPECT_EQ(test, kmheap_set_reserve(heap, SZ_2M), 0);
	kmh_kunit_no_worker(heap);
	KUNIT_EXPECT_EQ(test, kmh_mheap_missing_bytes(mh), 0ULL);
	KUNIT_EXPECT_EQ(test, burst_refused(heap), 0U);
	/* The reserve stays, whatever asks for unused pages. */
	kmh_kunit_shrink(heap);
	KUNIT_EXPECT_GE(test, mh->pa.nfree, SZ_2M / KMH_PAGE_SIZE);
	while (kmh_reserve_decay(mh))
		;
	KUNIT_EXPECT_EQ(test, kept_pages(heap), SZ_2M / KMH_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, burst_refused(heap), 0U);
	/* The reserve goes when the owner does not want it any more. */
	KUNIT_EXPECT_EQ(test, kmheap_set_reserve(heap, 0), 0);
	KUNIT_EXPECT_EQ(test, kept_pages(heap), 0UL);
	kmh_kunit_shrink(heap);
	KUNIT_EXPECT_EQ(test, narenas(heap), 0U);
	kmheap_destroy(heap);
}

/* A heap that is made with a reserve serves callers that cannot sleep from its first moment on. */
static void heap_comes_with_its_reserve(struct kunit *test)
{
	struct kmheap_attr attr = { .reserve_bytes = SZ_2M };
	struct kmheap *heap = kmheap_create("supply-made", &attr);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	kmh_kunit_no_worker(heap);
	KUNIT_EXPECT_EQ(test, kept_pages(heap), SZ_2M / KMH_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, burst_refused(heap), 0U);
	kmheap_destroy(heap);

	attr.limit_bytes = SZ_4M;
	attr.reserve_bytes = SZ_2M + 1;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(kmheap_create("supply-made", &attr)), -EINVAL);
	attr.limit_bytes = 0;
	attr.reserve_bytes = SZ_1G + 1;
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(kmheap_create("supply-made", &attr)), -EINVAL);
	/* A heap that could not be made leaves its name free. */
	heap = kmheap_create("supply-made", NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_EXPECT_EQ(test, kept_pages(heap), 0UL);
	kmheap_destroy(heap);
}

static void too_much_is_not_kept(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "supply-limit", SZ_4M);

	KUNIT_EXPECT_EQ(test, kmheap_set_reserve(heap, SZ_2M + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmheap_set_reserve(NULL, SZ_1G + 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, kmheap_set_reserve(heap, SZ_256K), 0);
	KUNIT_EXPECT_EQ(test, kept_pages(heap), SZ_256K / KMH_PAGE_SIZE);
	/* The total limit forbids the memory because of what another heap has. */
	KUNIT_EXPECT_EQ(test, kmheap_set_limit(heap, SZ_8M), 0);
	atomic_long_add(SZ_8M, &heap->arena_bytes);
	KUNIT_EXPECT_EQ(test, kmheap_set_reserve(heap, SZ_4M), -ENOMEM);
	atomic_long_sub(SZ_8M, &heap->arena_bytes);
	KUNIT_EXPECT_EQ(test, kept_pages(heap), SZ_256K / KMH_PAGE_SIZE);
	/* What was learned beyond the owner's reserve is not lost by that either. */
	kmh_kunit_no_worker(heap);
	mheap_of(heap)->reserve.pages = 100;
	atomic_long_add(SZ_8M, &heap->arena_bytes);
	KUNIT_EXPECT_EQ(test, kmheap_set_reserve(heap, SZ_4M), -ENOMEM);
	atomic_long_sub(SZ_8M, &heap->arena_bytes);
	KUNIT_EXPECT_EQ(test, kept_pages(heap), 100UL);
	kmheap_destroy(heap);
}

/* ---- beside many spans */

#define NR_SPANS	2000U
#define PER_SPAN	(KMH_PAGE_SIZE / 1024)

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
 * @NR_SPANS partial spans, each with one live object, which is in @keep, and with one free
 * slot that nothing has folded.
 */
static void make_partial(struct kunit *test, struct kmheap *heap, void **keep)
{
	struct far_frees f = { .p = kvcalloc(NR_SPANS * PER_SPAN, sizeof(void *), GFP_KERNEL) };
	struct kmh_mspan *last = NULL;
	unsigned int i, n = 0;
	void **far = kvcalloc(NR_SPANS, sizeof(void *), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f.p);
	KUNIT_ASSERT_NOT_NULL(test, far);
	for (i = 0; i < NR_SPANS * PER_SPAN; i++)
		f.p[i] = kmheap_alloc(heap, 1024, GFP_KERNEL);
	/* The objects of a span lie in order. The first stays, the second is freed later. */
	for (i = 0; i < NR_SPANS * PER_SPAN; i++) {
		struct kmh_mspan *s = kmh_span_of((unsigned long)f.p[i]);

		if (s != last && n < NR_SPANS) {
			last = s;
			keep[n++] = f.p[i];
			if (i + 1 < NR_SPANS * PER_SPAN &&
			    kmh_span_of((unsigned long)f.p[i + 1]) == s)
				far[n - 1] = f.p[++i];
			continue;
		}
		kmheap_free(f.p[i]);
	}
	kmh_kunit_shrink(heap);	/* all spans are partial */
	f.n = NR_SPANS;
	kvfree(f.p);
	f.p = far;
	kmh_kunit_elsewhere(test, free_far, &f);
	kvfree(far);
}

static void growth_looks_at_some_spans(struct kunit *test)
{
	void **keep = kvcalloc(NR_SPANS, sizeof(*keep), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct far_frees f = { .p = keep, .n = NR_SPANS };
	unsigned long before;

	KUNIT_ASSERT_NOT_NULL(test, keep);
	kmh_kunit_no_worker(heap);
	make_partial(test, heap, keep);
	kmh_kunit_elsewhere(test, free_far, &f);	/* all spans are empty, but not folded */
	before = mh->pa.nfree;
	KUNIT_EXPECT_LT(test, before, mh->pa.npages - NR_SPANS / 2);
	KUNIT_EXPECT_EQ(test, grow(mh, 600, 1), 0);
	/* Twice: once for empty spans, and once when the reserve has been given up. */
	KUNIT_EXPECT_LE(test, mh->pa.nfree, before + 2 * 512);
	/* A caller is refused only after all spans have been looked at. */
	atomic_long_set(&kmh_fail_nth, 1);
	KUNIT_EXPECT_EQ(test, grow(mh, 600 + SZ_4M / KMH_PAGE_SIZE, 1), -ENOMEM);
	atomic_long_set(&kmh_fail_nth, 0);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
	kvfree(keep);
}

/* The same where all spans have live objects, so that no page comes of it. */
static atomic_t nlooks;

static void count_look(const char *place)
{
	if (!strcmp(place, "scavenge: a page is looked at"))
		atomic_inc(&nlooks);
}

static void growth_looks_at_some_live_spans(struct kunit *test)
{
	void **keep = kvcalloc(NR_SPANS, sizeof(*keep), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);

	KUNIT_ASSERT_NOT_NULL(test, keep);
	kmh_kunit_no_worker(heap);
	make_partial(test, heap, keep);
	atomic_set(&nlooks, 0);
	WRITE_ONCE(kmh_test_point_hook, count_look);
	KUNIT_EXPECT_EQ(test, grow(mh, 600, 1), 0);
	WRITE_ONCE(kmh_test_point_hook, NULL);
	synchronize_rcu();
	/* Twice, as above. */
	KUNIT_EXPECT_GT(test, atomic_read(&nlooks), 0);
	KUNIT_EXPECT_LE(test, atomic_read(&nlooks), 2 * 512);
	kmheap_free_bulk(NR_SPANS, keep);
	kvfree(keep);
}

/* In a heap of any size each empty span is found, a few at each growth. */
static void growth_comes_round(struct kunit *test)
{
	void **p = kvcalloc(NR_SPANS, sizeof(*p), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned int i, round;
	unsigned long inuse;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_no_worker(heap);
	for (i = 0; i < NR_SPANS; i++)
		p[i] = kmheap_alloc(heap, 8192, GFP_KERNEL);
	kmheap_free_bulk(NR_SPANS, p);
	kmh_mcache_drain_all(heap);
	inuse = mh->pa.npages - mh->pa.nfree;
	for (round = 0; round < 2 * NR_SPANS / 512 + 2; round++)
		kmh_mheap_drain_some(mh, 512);
	KUNIT_EXPECT_EQ_MSG(test, mh->pa.nfree, mh->pa.npages, "%lu were in use", inuse);
	kvfree(p);
}

/* The arena where the next look was to begin leaves. */
static void looked_at_arena_leaves(struct kunit *test)
{
	void **p = kvcalloc(NR_SPANS, sizeof(*p), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_arena *a;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_no_worker(heap);
	for (i = 0; i < NR_SPANS; i++)
		p[i] = kmheap_alloc(heap, 8192, GFP_KERNEL);
	a = mh->look_arena;
	for (i = 0; i < 100 && (!a || a == arena(heap, 0)); i++) {
		kmh_mheap_drain_some(mh, 64);
		a = mh->look_arena;
	}
	KUNIT_EXPECT_PTR_NE(test, a, NULL);
	kmheap_free_bulk(NR_SPANS, p);
	kmh_kunit_shrink(heap);
	KUNIT_EXPECT_EQ(test, narenas(heap), 0U);
	KUNIT_EXPECT_PTR_EQ(test, mh->look_arena, NULL);
	kmh_mheap_drain_some(mh, 64);
	KUNIT_EXPECT_EQ(test, grow(mh, 1, 1), 0);
	kmh_mheap_drain_some(mh, 64);
	kvfree(p);
}

static struct kunit_case supply_cases[] = {
	KUNIT_CASE(every_flag_has_its_row),
	KUNIT_CASE(flags_reach_the_kernel_as_documented),
	KUNIT_CASE(flags_do_not_refuse),
	KUNIT_CASE(reclaim_takes_what_it_needs),
	KUNIT_CASE(reclaim_takes_the_reserve_first),
	KUNIT_CASE(reclaim_does_not_wait_for_the_map),
	KUNIT_CASE(arena_is_booked_until_it_is_gone),
	KUNIT_CASE(area_is_booked_until_it_is_gone),
	KUNIT_CASE(first_burst_is_served),
	KUNIT_CASE(heap_comes_with_its_reserve),
	KUNIT_CASE(too_much_is_not_kept),
	KUNIT_CASE(growth_looks_at_some_spans),
	KUNIT_CASE(growth_looks_at_some_live_spans),
	KUNIT_CASE(growth_comes_round),
	KUNIT_CASE(looked_at_arena_leaves),
	{ }
};

static struct kunit_suite supply_suite = {
	.name = "kmheap_supply",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = supply_cases,
};

kunit_test_suite(supply_suite);
