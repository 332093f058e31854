// SPDX-License-Identifier: GPL-2.0
/* KUnit: arenas: what a heap takes from the kernel, when, and how the heap gives it back. */
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "mheap_kunit.h"

/* ---- arenas */

/* Bytes of an arena without the page that may be needed to begin at a heap page. */
static size_t payload(const struct kmh_arena *a)
{
	return round_down(a->bytes, KMH_PAGE_SIZE);
}

/*
 * Each arena is twice the last, up to 2 MiB; from 128 MiB in arenas on, a 32nd of that is
 * more.
 */
static void arena_sizes_double(struct kunit *test)
{
	static const size_t kib[] = { 256, 512, 1024, 2048, 2048, 2048, 2048 };
	struct kmheap *heap = kmh_kunit_of_areas(test);
	unsigned int i;

	KUNIT_ASSERT_EQ(test, kmh_arena_bytes, 4UL << 20);
	for (i = 0; i < ARRAY_SIZE(kib); i++) {
		struct kmh_arena *a = arena(heap, i);

		KUNIT_ASSERT_NOT_NULL(test, a);
		KUNIT_EXPECT_EQ_MSG(test, payload(a), kib[i] << 10, "arena %u", i);
		KUNIT_EXPECT_FALSE(test, a->dedicated);
		KUNIT_EXPECT_EQ(test, grow_anyway(mheap(test)), 0);
	}
	KUNIT_EXPECT_EQ(test, narenas(heap), i + 1);
	atomic_long_add(128UL << 20, &heap->arena_bytes);
	KUNIT_EXPECT_EQ(test, grow_anyway(mheap(test)), 0);
	KUNIT_EXPECT_EQ(test, payload(arena(heap, i + 1)), 4UL << 20);
	atomic_long_add(1024UL << 20, &heap->arena_bytes);
	KUNIT_EXPECT_EQ(test, grow_anyway(mheap(test)), 0);
	KUNIT_EXPECT_EQ(test, payload(arena(heap, i + 2)), 4UL << 20);
	atomic_long_sub(1152UL << 20, &heap->arena_bytes);
}

/* Arenas and tables are made of single pages when memory is short. */
static void pieces_are_one_area(struct kunit *test)
{
	size_t bytes = SZ_1M + PAGE_SIZE, i, n = bytes / sizeof(u64);
	u64 *p = kmh_backend_pieces(bytes, GFP_KERNEL | __GFP_NORETRY | __GFP_ZERO,
				    numa_mem_id());

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_TRUE(test, is_vmalloc_addr(p));
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, bytes));
	for (i = 0; i < n; i++)
		p[i] = i;
	for (i = 0; i < n && p[i] == i; i++)
		;
	KUNIT_EXPECT_EQ(test, i, n);
	KUNIT_EXPECT_EQ(test, current->flags & PF_MEMALLOC, 0U);
	vfree(p);
	p = kmh_backend_pieces(SZ_1T, GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN, numa_mem_id());
	KUNIT_EXPECT_NULL(test, p);
}

/*
 * A table of several pages has these pages, and a slab's where that is no more; where no such block
 * is free it is made of single pages.
 */
static void exact_tables(struct kunit *test)
{
	static const size_t sizes[] = {
		100, 2 * PAGE_SIZE, 3 * PAGE_SIZE - 1, 4 * PAGE_SIZE, 5 * PAGE_SIZE + 1,
		(5UL << 20) + PAGE_SIZE,	/* longer than any block */
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *p = kmh_backend_zalloc_exact(sizes[i], GFP_KERNEL, numa_mem_id());

		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, sizes[i]));
		if (i == 2 || i == 4)	/* the last page goes by itself: no other one is with it */
			KUNIT_EXPECT_FALSE(test, PageCompound(virt_to_page(p + sizes[i] - 1)));
		memset(p, 0x5a, sizes[i]);
		kmh_backend_free_exact(p, sizes[i]);
	}
	kmh_backend_free_exact(NULL, sizes[2]);
	atomic_long_set(&kmh_fail_nth, 1);
	KUNIT_EXPECT_NULL(test, kmh_backend_zalloc_exact(sizes[2], GFP_KERNEL, numa_mem_id()));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_fail_nth), 0L);
}

static void pieces_map_the_last_byte(struct kunit *test)
{
	static const size_t sizes[] = { 1, PAGE_SIZE - 1, PAGE_SIZE + 1, SZ_1M + PAGE_SIZE / 2 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = kmh_backend_pieces(sizes[i], GFP_KERNEL, numa_mem_id());

		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_NOT_NULL_MSG(test, vmalloc_to_page(p + sizes[i] - 1),
					  "%zu bytes", sizes[i]);
		vfree(p);
	}
}

/*
 * The arithmetic for every page size that a kernel may have. vmalloc gives whole pages of the
 * kernel's size, at a multiple of that size.
 */
static void arena_need_holds_the_run_everywhere(struct kunit *test)
{
	size_t kernel_page, need, base;
	unsigned long npages, align;

	for (kernel_page = SZ_4K; kernel_page <= SZ_64K; kernel_page *= 2)
		for (npages = 1; npages < 70; npages++)
			for (align = 1; align <= 16; align *= 2)
				for (base = SZ_1M; base < SZ_1M + SZ_256K; base += kernel_page) {
					unsigned long first = DIV_ROUND_UP(base, KMH_PAGE_SIZE);
					unsigned long run = round_up(first, align);

					need = kmh_arena_need(npages, align, kernel_page);
					/* kmh_backend_arena() adds this much, too. */
					need += max_t(size_t, KMH_PAGE_SIZE, kernel_page) -
						kernel_page;
					if (IS_ALIGNED(need, kernel_page) &&
					    (run + npages) << KMH_PAGE_SHIFT <= base + need)
						continue;
					KUNIT_FAIL(test, "%lu pages by %lu at %zx on pages of %zu",
						   npages, align, base, kernel_page);
					return;
				}
}

static void memory_is_short_of_all_there_is(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, kmh_memory_is_short(0));
	KUNIT_EXPECT_TRUE(test, kmh_memory_is_short(totalram_pages() << PAGE_SHIFT));
}

/* Where enough pages are free, but in no run that is long enough, a small arena suffices. */
static void grow_for_want_of_a_run(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mspan *s, *next;
	unsigned int n, i = 0;
	LLIST_HEAD(even);
	LLIST_HEAD(odd);

	grow_to(test, mh, 600);
	kmh_kunit_no_worker(heap);
	while (READ_ONCE(mh->pa.nfree)) {
		s = alloc_span(mh, SPANCLASS, 1, 1, NULL);
		if (s)
			__llist_add(&s->node, i++ % 2 ? &odd : &even);
		else
			KUNIT_ASSERT_EQ(test, kmh_mspan_pools_refill(64, GFP_KERNEL), 0);
	}
	llist_for_each_entry_safe(s, next, even.first, node)
		kmh_mheap_free_span(s);
	n = narenas(heap);
	KUNIT_EXPECT_EQ(test, grow(mh, KMH_LONG_RUN_PAGES - 1, 1), 0);
	KUNIT_ASSERT_EQ(test, narenas(heap), n + 1);
	KUNIT_EXPECT_EQ(test, payload(arena(heap, n)), 512UL << 10);
	/* The small arena is no reason for the next ones to be small. */
	KUNIT_EXPECT_EQ(test, grow_anyway(mh), 0);
	KUNIT_EXPECT_EQ(test, payload(arena(heap, n + 1)), 2UL << 20);
	llist_for_each_entry_safe(s, next, odd.first, node)
		kmh_mheap_free_span(s);
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
}

static void arena_shape(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_arena *a;
	unsigned int i;

	for (i = 0; i < 12; i++)
		KUNIT_ASSERT_EQ(test, grow(mheap(test), 1 + 50 * i, 1), 0);
	for (i = 0; (a = arena(heap, i)); i++) {
		unsigned long base = (unsigned long)a->vbase, end = base + a->bytes;

		KUNIT_EXPECT_EQ(test, a->first, DIV_ROUND_UP(base, KMH_PAGE_SIZE));
		KUNIT_EXPECT_EQ(test, a->first + a->npages, end / KMH_PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, a->range.first, a->first);
		KUNIT_EXPECT_EQ(test, a->range.npages, a->npages);
		KUNIT_EXPECT_EQ(test, a->npages, payload(a) >> KMH_PAGE_SHIFT);
		KUNIT_EXPECT_PTR_EQ(test, a->heap, heap);
		KUNIT_EXPECT_PTR_EQ(test, a->mheap, mheap(test));
		KUNIT_EXPECT_PTR_EQ(test, kmh_range_arena(&a->range), a);
	}
}

/* Every page of a heap is handed out, one by one, the first page of each arena included. */
static void every_page_is_handed_out(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-pages", 8 << 20);
	struct kmh_mheap *mh = mheap_of(heap);
	unsigned long nspans = 0, nfirst = 0, npages = 0, first[16] = {};
	struct kmh_mspan *s, *next;
	unsigned int i, j, n;
	LLIST_HEAD(all);

	for (i = 0; i < ARRAY_SIZE(first) && !grow_anyway(mh); i++)
		;			/* to the limit */
	KUNIT_ASSERT_EQ(test, kmh_mspan_pools_refill(1024, GFP_KERNEL), 0);
	n = narenas(heap);
	KUNIT_ASSERT_GE(test, n, 4U);
	KUNIT_ASSERT_LE(test, n, (unsigned int)ARRAY_SIZE(first));
	for (i = 0; i < n; i++) {
		first[i] = arena(heap, i)->first;
		npages += arena(heap, i)->npages;
	}
	while (nspans <= npages && (s = alloc_span(mh, SPANCLASS, 1, 1, NULL))) {
		__llist_add(&s->node, &all);
		nspans++;
		for (j = 0; j < n; j++)
			nfirst += page_of(s) == first[j];
	}
	KUNIT_EXPECT_EQ(test, nspans, npages);
	KUNIT_EXPECT_EQ(test, nfirst, (unsigned long)n);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, 0UL);
	kmh_kunit_validate(test);
	llist_for_each_entry_safe(s, next, all.first, node)
		kmh_mheap_free_span(s);
	kmheap_destroy(heap);
}

static void dedicated_arena_by_size(struct kunit *test)
{
	const size_t half = kmh_arena_bytes / 2;
	const struct {
		size_t bytes;
		bool dedicated;
		bool huge;	/* rounded up to PMD_SIZE, where that costs little */
	} rows[] = {
		{ half - KMH_PAGE_SIZE, false, false },
		{ half, false, false },
		{ half + 1, true, false },
		{ half + KMH_PAGE_SIZE, true, false },
		{ 2 * half - 2 * KMH_PAGE_SIZE, true, true },
		{ 2 * half, true, true },
		{ 3 * half - 4 * KMH_PAGE_SIZE, true, true },
		{ 17 * (size_t)PMD_SIZE + 1, true, false },
		{ 33 * (size_t)PMD_SIZE - 1, true, true },
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kmh_arena *a;
		struct kmh_mspan *s;
		unsigned int j;
		size_t next;
		void *p;

		/* With pages of 64 KiB a huge one has 512 MiB. */
		if (rows[i].bytes >> PAGE_SHIFT > totalram_pages() / 4)
			continue;
		/* No arena has room for the object, and no worker makes one. */
		mheap(test)->ahead_after = jiffies + 1000 * HZ;
		kmh_kunit_settle(heap);
		kmh_kunit_give_back(heap);
		next = heap->next_arena_bytes;
		p = kmheap_alloc(heap, rows[i].bytes, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		s = kmh_span_of((unsigned long)p);
		a = s->arena;
		KUNIT_EXPECT_EQ_MSG(test, a->dedicated, rows[i].dedicated, "row %u", i);
		if (rows[i].dedicated) {
			KUNIT_EXPECT_EQ_MSG(test, IS_ALIGNED(payload(a), PMD_SIZE),
					    rows[i].huge && PMD_SIZE <= rows[i].bytes * 2,
					    "row %u: %zu bytes", i, a->bytes);
			KUNIT_EXPECT_LE(test, a->bytes - rows[i].bytes, rows[i].bytes / 32 +
					2 * max(KMH_PAGE_SIZE, PAGE_SIZE));
			KUNIT_EXPECT_EQ(test, (size_t)atomic_long_read(&heap->arena_bytes),
					a->bytes);
			KUNIT_EXPECT_EQ(test, heap->next_arena_bytes, next);
			KUNIT_EXPECT_EQ(test, page_of(s), a->first);
		}
		/*
		 * The object is usable to its last byte; the worker gives its arena back to
		 * the kernel at once.
		 */
		mheap(test)->ahead_after = jiffies;
		((char *)p)[0] = 1;
		((char *)p)[rows[i].bytes - 1] = 1;
		kmheap_free(p);
		kmh_kunit_settle(heap);
		for (j = 0; (a = arena(heap, j)); j++)
			KUNIT_EXPECT_FALSE(test, a->dedicated);
		KUNIT_EXPECT_EQ(test, (int)kmh_span_of((unsigned long)p)->state,
				rows[i].dedicated ? (int)KMH_SPAN_GONE : (int)KMH_SPAN_FREED);
	}
}

static void release_free_takes_empty_arenas_only(struct kunit *test)
{
	const struct kmh_leavers objects = { .bytes = SIZE_MAX, .dedicated = true };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_arena *kept;
	struct kmh_mspan *s;
	unsigned long gone, first, i;
	size_t bytes;

	for (i = 0; i < 4; i++)
		KUNIT_ASSERT_EQ(test, grow_anyway(mh), 0);
	kmh_kunit_settle(heap);
	s = alloc_span(mh, SPANCLASS, 1, 1, NULL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	kept = s->arena;
	bytes = atomic_long_read(&heap->arena_bytes) - kept->bytes;
	for (i = 0; arena(heap, i) == kept; i++)
		;
	gone = arena(heap, i)->first;

	KUNIT_EXPECT_EQ(test, kmh_arenas_give_back(heap, &objects, NULL), (size_t)0);
	KUNIT_EXPECT_EQ(test, kmh_kunit_give_back(heap), bytes);
	KUNIT_EXPECT_EQ(test, narenas(heap), 1U);
	KUNIT_EXPECT_PTR_EQ(test, arena(heap, 0), kept);
	KUNIT_EXPECT_EQ(test, mh->pa.npages, kept->range.npages);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, kept->range.npages - 1);
	KUNIT_EXPECT_EQ(test, (size_t)atomic_long_read(&heap->arena_bytes), kept->bytes);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(gone), &kmh_span_gone);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(page_of(s)), s);

	first = kept->first;
	bytes = kept->bytes;
	kmh_mheap_free_span(s);
	KUNIT_EXPECT_EQ(test, kmh_kunit_give_back(heap), bytes);
	KUNIT_EXPECT_EQ(test, kmh_kunit_give_back(heap), (size_t)0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->arena_bytes), 0L);
	KUNIT_EXPECT_EQ(test, mh->pa.npages, 0UL);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(first), &kmh_span_gone);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of_page(first + 1), &kmh_span_gone);
	KUNIT_EXPECT_NULL(test, alloc_span(mh, SPANCLASS, 1, 1, NULL));
	KUNIT_EXPECT_EQ(test, grow_anyway(mh), 0);
}

/* Growing for an aligned run makes room for the run whatever the arena's address is. */
static void grow_makes_room_for_aligned_runs(struct kunit *test)
{
	static const struct { unsigned long npages, align; } rows[] = {
		{ 40, 1 }, { 40, 64 }, { 8, 128 }, { 200, 128 }, { 256, 1 }, { 256, 128 },
		{ 257, 1 }, { 300, 128 }, { 511, 1 }, { 512, 2 },
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kmh_mspan *s;

		kmh_kunit_settle(heap);
		kmh_kunit_give_back(heap);
		KUNIT_ASSERT_EQ(test, grow(mh, rows[i].npages, rows[i].align), 0);
		s = alloc_span(mh, LARGE, rows[i].npages, rows[i].align, NULL);
		KUNIT_ASSERT_NOT_NULL_MSG(test, s, "row %u", i);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED(page_of(s), rows[i].align));
		KUNIT_EXPECT_PTR_EQ(test, s->arena, arena(heap, 0));
		kmh_mheap_free_span(s);
	}
}

/* ---- growing */

static void grow_after_another_does_nothing(struct kunit *test)
{
	struct kmh_mheap *mh = mheap(test);
	unsigned long seen = mh->ngrown;

	KUNIT_EXPECT_EQ(test, seen, 1UL);
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow(mh, 40, 1, seen, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 2UL);
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow(mh, 40, 1, seen, GFP_KERNEL), 0);
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow(mh, 40, 1, seen, GFP_NOFS), 0);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 2UL);
	KUNIT_EXPECT_EQ(test, kmh_mheap_grow(mh, 100, 1, 2, GFP_NOIO), 0);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 3UL);
	KUNIT_EXPECT_EQ(test, narenas(mh->heap), 3U);
}

/* Spans that other CPUs have emptied are used before an arena is taken. */
static void grow_collects_empty_spans_first(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = mheap(test);
	struct kmh_mcentral *c = kmh_mcentral_of(heap->nodes[numa_mem_id()], SPANCLASS);
	void *p[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmheap_alloc(heap, 1024, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	kmh_mcache_drain_all(heap);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		kmheap_free(p[i]);
	kmh_magazines_drain_all(heap);
	KUNIT_EXPECT_TRUE(test, kmh_inbox_any_announced(c));
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages - 8);
	KUNIT_EXPECT_EQ(test, grow(mh, 1, 1), 0);
	KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, mh->pa.npages);
	KUNIT_EXPECT_FALSE(test, kmh_inbox_any_announced(c));
}

static void grow_keeps_the_limit(struct kunit *test)
{
	static const struct {
		size_t room;		/* for arenas, the first one of 256 KiB included */
		size_t bytes;		/* of the second; 0 when refused */
	} rows[] = {
		{ 256 << 10, 0 },
		{ (512 << 10) - 4096, 0 },
		{ 512 << 10, 256 << 10 },
		{ (768 << 10) - 4096, 256 << 10 },	/* 512 wanted, half of it fits */
		{ 768 << 10, 512 << 10 },
		{ 10 << 20, 512 << 10 },
	};
	/*
	 * What an arena has beside its payload where the kernel's pages are smaller than the
	 * heap's.
	 */
	const size_t pad = max(KMH_PAGE_SIZE, PAGE_SIZE) - PAGE_SIZE;
	unsigned int i;

	kmh_kunit_of_areas(test);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t room = rows[i].room + 2 * pad, bytes = rows[i].bytes;
		struct kmheap *heap = heap_new(test, "kunit-limited", 0);
		long metadata = atomic_long_read(&heap->metadata_bytes);
		struct kmh_arena *a;

		/* A quarter for the metadata of spans; see kmh_heap_book(). */
		bytes += bytes ? pad : 0;
		heap->limit_bytes = heap->base_metadata_bytes + room + room / 4;
		KUNIT_EXPECT_EQ_MSG(test, grow_anyway(mheap_of(heap)), bytes ? 0 : -ENOMEM,
				    "row %u", i);
		KUNIT_EXPECT_EQ_MSG(test, (size_t)atomic_long_read(&heap->arena_bytes),
				    (256 << 10) + pad + bytes, "row %u", i);
		a = arena(heap, 1);
		KUNIT_EXPECT_EQ_MSG(test, a ? a->bytes : 0, bytes, "row %u", i);
		if (!a)
			KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes), metadata);
		KUNIT_EXPECT_EQ(test, grow(mheap_of(heap), 1000, 1),
				rows[i].room == 10 << 20 ? 0 : -ENOMEM);
		KUNIT_EXPECT_LE(test, (size_t)atomic_long_read(&heap->arena_bytes) +
				      atomic_long_read(&heap->metadata_bytes), heap->limit_bytes);
		kmheap_destroy(heap);
	}
}

/*
 * Whichever step on the way to an arena fails: nothing stays booked or listed, and nothing is
 * lost.
 */
static void grow_without_memory_fails(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_of_areas(test);
	struct kmh_mheap *mh = mheap(test);
	long arenas = atomic_long_read(&heap->arena_bytes), metadata;
	unsigned long n;
	int err = -ENOMEM;

	kmh_kunit_settle(heap);
	KUNIT_ASSERT_EQ(test, kmh_mheap_make_own_pa(mh, GFP_KERNEL), 0);
	metadata = atomic_long_read(&heap->metadata_bytes);
	for (n = 1; err && n < 20; n++) {
		long before = atomic_long_read(&kmh_failures_injected);

		/* A dedicated arena is asked for once: a smaller one would not do. */
		atomic_long_set(&kmh_fail_nth, n);
		err = grow(mh, 400, 1);
		atomic_long_set(&kmh_fail_nth, 0);
		KUNIT_EXPECT_EQ(test, err, atomic_long_read(&kmh_failures_injected) == before ?
				0 : -ENOMEM);
		if (!err)
			break;
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->arena_bytes), arenas);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes), metadata);
		KUNIT_EXPECT_EQ(test, narenas(heap), 1U);
		KUNIT_EXPECT_EQ(test, mh->ngrown, 1UL);
	}
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_GE_MSG(test, n, 3UL, "the area and its tables can fail");
	KUNIT_EXPECT_EQ(test, narenas(heap), 2U);
	/* Where the size that doubling asks for is not to be had, a smaller arena suffices. */
	atomic_long_set(&kmh_fail_nth, 1);
	KUNIT_EXPECT_EQ(test, grow_anyway(mh), 0);
	KUNIT_EXPECT_EQ(test, payload(arena(heap, 2)), (size_t)256 << 10);
}

/* One thread grows the heap while the other gives arenas back. */
struct grow_race {
	struct kmheap *heap;
	int err;
	size_t released;
	atomic_t stop;
};

static void grow_race_thread(void *arg, unsigned int i)
{
	struct grow_race *r = arg;
	struct kmh_kunit_wait wait = kmh_kunit_wait_begin();
	unsigned int n;

	if (!i) {
		r->err = grow_anyway(mheap_of(r->heap));
		/* The other thread is at it. */
		while (!READ_ONCE(r->released) && kmh_kunit_wait_more(&wait))
			;
		for (n = 0; n < 30 && !r->err; n++)
			r->err = grow_anyway(mheap_of(r->heap));
		atomic_set(&r->stop, 1);
		return;
	}
	while (!atomic_read(&r->stop)) {
		WRITE_ONCE(r->released, r->released + kmh_kunit_give_back(r->heap));
		cond_resched();
	}
}

static void grow_against_release(struct kunit *test)
{
	/* Blocks would be there before the first arena has gone. */
	struct grow_race r = { .heap = kmh_kunit_of_areas(test) };
	struct kmh_mheap *mh = mheap(test);
	unsigned long npages = 0, bytes = 0;
	struct kmh_arena *a;
	unsigned int i;

	kmh_kunit_threads(test, 2, grow_race_thread, &r);
	KUNIT_EXPECT_EQ(test, r.err, 0);
	KUNIT_EXPECT_GT(test, r.released, (size_t)0);
	kmh_kunit_settle(r.heap);
	for (i = 0; (a = arena(r.heap, i)); i++) {
		npages += a->range.npages;
		bytes += a->bytes;
	}
	KUNIT_EXPECT_EQ(test, mh->pa.npages, npages);
	KUNIT_EXPECT_EQ(test, mh->pa.nfree, npages);
	KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&r.heap->arena_bytes), bytes);
}

static struct kunit_case arena_cases[] = {
	KUNIT_CASE(pieces_are_one_area),
	KUNIT_CASE(exact_tables),
	KUNIT_CASE(pieces_map_the_last_byte),
	KUNIT_CASE(arena_need_holds_the_run_everywhere),
	KUNIT_CASE(memory_is_short_of_all_there_is),
	KUNIT_CASE(arena_sizes_double),
	KUNIT_CASE(grow_for_want_of_a_run),
	KUNIT_CASE(arena_shape),
	KUNIT_CASE(every_page_is_handed_out),
	KUNIT_CASE(dedicated_arena_by_size),
	KUNIT_CASE(release_free_takes_empty_arenas_only),
	KUNIT_CASE(grow_makes_room_for_aligned_runs),
	KUNIT_CASE(grow_after_another_does_nothing),
	KUNIT_CASE(grow_collects_empty_spans_first),
	KUNIT_CASE(grow_keeps_the_limit),
	KUNIT_CASE(grow_without_memory_fails),
	KUNIT_CASE(grow_against_release),
	{ }
};

static struct kunit_suite arena_suite = {
	.name = "kmheap_arena",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = arena_cases,
};

kunit_test_suite(arena_suite);
