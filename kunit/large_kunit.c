// SPDX-License-Identifier: GPL-2.0
/* KUnit: objects over 32 KiB. */
#include <linux/string.h>

#include "kunit_util.h"

static const size_t sizes[] = {
	32769, 40960, 40961, 65536, 65537, 100000, 131072, 200000, (256 << 10) - 1, 256 << 10,
	(256 << 10) + 1, 1 << 20, (1 << 20) + 1, 2 << 20, (2 << 20) + 1, 2200000, 3 << 20, 4 << 20,
	5000000, 8 << 20,
};

static u64 narenas(struct kmheap *heap)
{
	struct kmheap_stats st;

	kmheap_stats(heap, &st);
	return st.arenas;
}

/* Write one word for each page, at both ends, and on either side of each page boundary. */
static void mark(void *p, size_t bytes)
{
	size_t off;

	for (off = 0; off < bytes; off += PAGE_SIZE)
		*(unsigned long *)(p + off) = (unsigned long)p + off;
	*(unsigned long *)(p + bytes - 8) = ~(unsigned long)p;
}

static bool marked(const void *p, size_t bytes)
{
	size_t off;

	for (off = 0; off < bytes; off += PAGE_SIZE)
		if (*(unsigned long *)(p + off) != (unsigned long)p + off)
			return false;
	return *(unsigned long *)(p + bytes - 8) == ~(unsigned long)p;
}

static void alloc_every_size(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;
	u64 live = 0, waste = 0;
	void *p[ARRAY_SIZE(sizes)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t bytes = round_up(sizes[i], KMH_PAGE_SIZE);
		struct kmh_mspan *s;

		p[i] = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL_MSG(test, p[i], "%zu bytes", sizes[i]);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p[i], KMH_PAGE_SIZE));
		KUNIT_EXPECT_EQ(test, kmheap_size(p[i]), bytes);
		s = kmh_span_of((unsigned long)p[i]);
		KUNIT_EXPECT_EQ(test, (int)s->state, (int)KMH_SPAN_LARGE);
		KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p[i] + bytes - 1), s);
		KUNIT_EXPECT_EQ_MSG(test, s->arena->dedicated, bytes > kmh_arena_bytes / 2,
				    "%zu bytes", sizes[i]);
		mark(p[i], bytes);
		live += sizes[i];
		waste += bytes - sizes[i];
	}
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, (u64)ARRAY_SIZE(sizes));
	KUNIT_EXPECT_EQ(test, st.live_bytes, live);
	KUNIT_EXPECT_GE(test, st.waste_bytes, waste);
	KUNIT_EXPECT_EQ(test, st.allocs, (u64)ARRAY_SIZE(sizes));
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		KUNIT_EXPECT_TRUE_MSG(test, marked(p[i], kmheap_size(p[i])), "%zu", sizes[i]);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		kmheap_free_sized(p[i], sizes[i]);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.frees, (u64)ARRAY_SIZE(sizes));
	KUNIT_EXPECT_EQ(test, st.spans, 0ULL);
}

static void expect_zero(struct kunit *test, void *p, size_t bytes)
{
	KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu bytes", bytes);
	KUNIT_EXPECT_NULL_MSG(test, memchr_inv(p, 0, kmheap_size(p)), "%zu bytes", bytes);
	memset(p, 0xff, kmheap_size(p));
}

/* Objects lie on fresh pages, then on pages that others have written, in whole or in part. */
static void zeroed_fresh_and_recycled(struct kunit *test)
{
	static const size_t bytes[] = { 40000, 100000, 300000, 1 << 20, 40000, 700000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p[ARRAY_SIZE(bytes)];
	unsigned int i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(bytes); i++) {
			p[i] = kmheap_zalloc(heap, bytes[i], GFP_KERNEL);
			expect_zero(test, p[i], bytes[i]);
		}
		for (i = round; i < ARRAY_SIZE(bytes) + round; i++)
			kmheap_free(p[i % ARRAY_SIZE(bytes)]);
	}
	p[0] = kmheap_calloc(heap, 100, 4000, GFP_KERNEL);
	expect_zero(test, p[0], 400000);
	kmheap_free(p[0]);
	p[0] = kmheap_alloc_data(heap, 400000, GFP_NOWAIT | __GFP_ZERO);
	expect_zero(test, p[0], 400000);
	kmheap_free(p[0]);
	p[0] = kmheap_alloc_aligned(heap, 400000, 65536, GFP_KERNEL | __GFP_ZERO);
	expect_zero(test, p[0], 400000);
	kmheap_free(p[0]);
}

/* Pages that small objects have written count as written, those of a page cache included. */
static void zeroed_after_small_objects(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p, *first = NULL;
	unsigned int i;

	for (i = 0; i < 300; i++) {
		p = kmheap_alloc(heap, 4096, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		memset(p, 0xff, 4096);
		*(void **)p = first;
		first = p;
	}
	while ((p = first)) {
		first = *(void **)p;
		kmheap_free(p);
	}
	kmh_mcache_drain_all(heap);
	for (i = 0; i < 20; i++) {
		p = kmheap_zalloc(heap, 50000, GFP_KERNEL);
		expect_zero(test, p, 50000);
		*(void **)p = first;
		first = p;
	}
	while ((p = first)) {
		first = *(void **)p;
		kmheap_free(p);
	}
}

static void dedicated_arena_goes_back(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	u64 before = narenas(heap);
	struct kmheap_stats st;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		long booked = atomic_long_read(&heap->arena_bytes);
		void *p;

		if (round_up(sizes[i], KMH_PAGE_SIZE) <= kmh_arena_bytes / 2)
			continue;
		p = kmheap_zalloc(heap, sizes[i], GFP_KERNEL);
		expect_zero(test, p, sizes[i]);
		KUNIT_EXPECT_EQ(test, narenas(heap), before + 1);
		kmheap_free(p);
		kmh_kunit_wait_for(test, atomic_long_read(&heap->arena_bytes) == booked);
		KUNIT_EXPECT_EQ(test, narenas(heap), before);
	}
	kmh_kunit_balanced(test, heap, &st);
}

/* Each large object has an arena of its own; an arena that goes takes no other with it. */
static void dedicated_arenas_are_apart(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	u64 before = narenas(heap);
	size_t bytes = 5 << 19;
	unsigned int i;
	void *p[4];

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmheap_alloc(heap, bytes, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		mark(p[i], bytes);
	}
	KUNIT_EXPECT_EQ(test, narenas(heap), before + ARRAY_SIZE(p));
	for (i = 0; i < ARRAY_SIZE(p); i += 2)
		kmheap_free(p[i]);
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, narenas(heap), before + ARRAY_SIZE(p) / 2);
	for (i = 1; i < ARRAY_SIZE(p); i += 2) {
		KUNIT_EXPECT_TRUE(test, marked(p[i], bytes));
		kmheap_free(p[i]);
	}
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, narenas(heap), before);
}

/*
 * A free that finds the page heap's lock taken must not wait. The object is too long to be
 * parked.
 */
static void free_under_the_lock_is_pending(struct kunit *test)
{
	const size_t bytes = (KMH_LARGECACHE_PAGES + 1) << KMH_PAGE_SHIFT;
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = kmheap_alloc(heap, bytes, GFP_KERNEL);
	struct kmh_mheap *mh;
	struct kmheap_stats st;
	unsigned long flags;
	bool pending;

	KUNIT_ASSERT_NOT_NULL(test, p);
	mh = kmh_span_of((unsigned long)p)->mheap;
	raw_spin_lock_irqsave(&mh->lock, flags);
	kmheap_free(p);
	pending = !llist_empty(&mh->pending);	/* the worker comes as soon as it can */
	raw_spin_unlock_irqrestore(&mh->lock, flags);
	KUNIT_EXPECT_TRUE(test, pending);
	kmheap_free(p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	p = kmheap_alloc(heap, bytes, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, llist_empty(&mh->pending));
	kmheap_free(p);
}

static void absurd_sizes_are_refused(struct kunit *test)
{
	static const size_t absurd[] = {
		SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - KMH_PAGE_SIZE, SIZE_MAX / 2, 1UL << 63,
		1UL << 45, 1UL << 40,
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;
	struct kmheap_stats st, before;
	unsigned int i;
	void *p;

	kmheap_stats(heap, &before);
	for (i = 0; i < ARRAY_SIZE(absurd); i++) {
		size_t bytes = absurd[i];

		OPTIMIZER_HIDE_VAR(bytes);
		p = kmheap_alloc(heap, bytes, gfp);
		KUNIT_EXPECT_NULL(test, p);
		p = kmheap_alloc_data(heap, bytes, gfp | __GFP_ZERO);
		KUNIT_EXPECT_NULL(test, p);
		p = kmheap_alloc_aligned(heap, bytes, 65536, gfp);
		KUNIT_EXPECT_NULL(test, p);
		p = kmheap_alloc_node(heap, bytes, gfp, 0);
		KUNIT_EXPECT_NULL(test, p);
		kmheap_stats(heap, &st);
		KUNIT_EXPECT_EQ(test, st.refused_allocs, 4 * (i + 1ULL));
	}
	KUNIT_EXPECT_EQ(test, st.footprint_bytes, before.footprint_bytes);
	KUNIT_EXPECT_EQ(test, st.allocs, before.allocs);
}

/*
 * What sixteen buffers of a size, in a heap of their own, take over an empty heap, growing
 * ahead and descriptors included.
 */
static void sixteen_buffers_pack(struct kunit *test)
{
	static const size_t bytes[] = {
		33 << 10, 40 << 10, 64 << 10, 96 << 10, 128 << 10, 256 << 10, 512 << 10, 520192,
		1 << 20, 2 << 20, 3 << 20, 1920 * 1080 * 2, 4 << 20, 8 << 20, 16 << 20,
	};
	struct kmheap_stats empty, st;
	unsigned int i, k;
	void *p[16];

	for (k = 0; k < ARRAY_SIZE(bytes); k++) {
		struct kmheap *heap = kmheap_create("kunit-pack", NULL);
		size_t asked = ARRAY_SIZE(p) * bytes[k];

		KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
		kmh_kunit_stats(heap, &empty);
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			p[i] = kmheap_alloc(heap, bytes[k], GFP_KERNEL);
			KUNIT_EXPECT_NOT_NULL(test, p[i]);
		}
		kmh_kunit_stats(heap, &st);
		KUNIT_EXPECT_LE_MSG(test, st.footprint_bytes - empty.footprint_bytes,
				    (u64)asked * 106 / 100, "%zu bytes", bytes[k]);
		for (i = 0; i < ARRAY_SIZE(p); i++)
			kmheap_free(p[i]);
		kmheap_destroy(heap);
	}
}

/*
 * Alignments up to what users of vmalloc() ask for; the object is as large as any other of
 * its size.
 */
static void aligned_to_megabytes(struct kunit *test)
{
	static const size_t bytes[] = { 64, 40000, 1 << 20, 4 << 20, 5 << 20 };
	struct kmheap *heap = kmh_kunit_heap(test);
	size_t align;
	unsigned int i;

	for (align = 1 << 20; align <= KMH_ALIGN_MAX_BYTES; align *= 2) {
		for (i = 0; i < ARRAY_SIZE(bytes); i++) {
			void *p = kmheap_alloc_aligned(heap, bytes[i], align, GFP_KERNEL);

			KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu bytes by %zu", bytes[i], align);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
			mark(p, bytes[i]);
			KUNIT_EXPECT_TRUE(test, marked(p, bytes[i]));
			KUNIT_EXPECT_LE(test, kmheap_size(p),
					max_t(size_t, round_up(bytes[i], KMH_PAGE_SIZE),
					      KMH_PAGE_SIZE));
			kmheap_free(p);
		}
	}
	KUNIT_EXPECT_GE(test, KMH_ALIGN_MAX_BYTES, 4UL << 20);
}

static struct kunit_case large_cases[] = {
	KUNIT_CASE(alloc_every_size),
	KUNIT_CASE(zeroed_fresh_and_recycled),
	KUNIT_CASE(zeroed_after_small_objects),
	KUNIT_CASE(dedicated_arena_goes_back),
	KUNIT_CASE(dedicated_arenas_are_apart),
	KUNIT_CASE(free_under_the_lock_is_pending),
	KUNIT_CASE(absurd_sizes_are_refused),
	KUNIT_CASE(sixteen_buffers_pack),
	KUNIT_CASE(aligned_to_megabytes),
	{ }
};

static struct kunit_suite large_suite = {
	.name = "kmheap_large",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = large_cases,
};

kunit_test_suite(large_suite);
