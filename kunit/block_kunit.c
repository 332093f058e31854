// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: arenas that are blocks of the page allocator: what lies in them is in the direct map and
 * contiguous there, and every page goes back.
 */
#include <linux/scatterlist.h>
#include <linux/vmalloc.h>

#include "block_kunit.h"

/* ---- what is in blocks */

/* Objects of all classes, packed ones, large ones, runs of pages: and all of it goes back. */
static void every_object_is_linear(struct kunit *test)
{
	static const size_t large[] = {
		SZ_32K + 1, 40000, SZ_64K, 100000, SZ_256K, SZ_512K + 8, SZ_1M, SZ_1M + 1, SZ_2M,
	};
	long pages = block_pages(), arenas = atomic_long_read(&kmh_backend_narenas);
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	struct kmheap_stats st;
	unsigned int i, n = 0;
	void *p[KMH_NR_CLASSES + ARRAY_SIZE(large) + 3];

	KUNIT_EXPECT_EQ(test, block_pages() - pages, (long)(KMH_BLOCK_MIN_BYTES >> PAGE_SHIFT));
	for (i = 1; i < KMH_NR_CLASSES; i++) {
		p[n] = kmheap_alloc(heap, kmh_class_size(i), GFP_KERNEL);
		expect_linear(test, p[n++], kmh_class_size(i));
	}
	for (i = 0; i < ARRAY_SIZE(large); i++) {
		p[n] = kmheap_zalloc(heap, large[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[n]);
		KUNIT_EXPECT_NULL(test, memchr_inv(p[n], 0, large[i]));
		expect_linear(test, p[n++], large[i]);
	}
	p[n] = kmheap_alloc_data(heap, 5, GFP_KERNEL);
	expect_linear(test, p[n++], 5);
	p[n] = kmheap_alloc_aligned(heap, SZ_4K, SZ_64K, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p[n], SZ_64K));
	expect_linear(test, p[n++], SZ_4K);
	p[n] = kmheap_alloc_pages(heap, 3, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p[n]);
	KUNIT_EXPECT_TRUE(test, kmheap_is_linear(p[n]));
	KUNIT_EXPECT_TRUE(test, contiguous(p[n], 3 * KMHEAP_PAGE_SIZE));
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, (u64)n);
	kmh_kunit_validate(test);
	kmheap_free_pages(p[n], 3);
	kmheap_free_bulk(n, p);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_GT(test, kmh_kunit_shrink(heap), 0UL);
	KUNIT_EXPECT_EQ(test, block_pages(), pages);
	/* What survives goes with the heap. */
	expect_linear(test, kmheap_alloc(heap, 100, GFP_KERNEL), 100);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, block_pages(), pages);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_backend_narenas), arenas);
}

/* What a block cannot hold is refused at once, and nothing is grown for it. */
static void too_long_for_a_block_is_refused(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	unsigned long grown = mheap_of(heap)->ngrown;
	struct kmheap_stats st;

	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, SZ_2M + 1, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, SZ_8M, GFP_ATOMIC));
	KUNIT_EXPECT_NULL(test, kmheap_alloc_aligned(heap, SZ_4K, SZ_4M, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kmheap_alloc_pages(heap, KMH_BLOCK_MAX_PAGES + 1, GFP_KERNEL));
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 4ULL);
	KUNIT_EXPECT_EQ(test, mheap_of(heap)->ngrown, grown);
	kmheap_destroy(heap);
}

static void flags_say_the_backing(struct kunit *test)
{
	static const struct {
		unsigned int flags;
		enum kmh_backing backing;
	} rows[] = {
		{ KMHEAP_AREA, KMH_BACKING_AREA },
		{ KMHEAP_LINEAR, KMH_BACKING_LINEAR },
		{ KMHEAP_LINEAR | KMHEAP_HWCACHE_ALIGN, KMH_BACKING_LINEAR },
		{ KMHEAP_LINEAR | KMHEAP_COLLECTED, KMH_BACKING_LINEAR },
	};
	const struct kmheap_attr both = { .flags = KMHEAP_AREA | KMHEAP_LINEAR };
	unsigned int i;

	KUNIT_EXPECT_EQ(test, PTR_ERR(kmheap_create("kunit-both", &both)), (long)-EINVAL);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kmheap *heap = heap_of(test, "kunit-backing", rows[i].flags, 0);
		void *p = kmheap_alloc(heap, 256, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_EQ(test, (int)heap->backing, (int)rows[i].backing);
		KUNIT_EXPECT_EQ(test, kmheap_is_linear(p), rows[i].backing != KMH_BACKING_AREA);
		KUNIT_EXPECT_EQ(test, is_vmalloc_addr(p), rows[i].backing == KMH_BACKING_AREA);
		kmheap_free(p);
		kmheap_destroy(heap);
	}
}

/* Where a heap may have both, blocks come first, and what is too long for one has an area. */
static void blocks_come_first(struct kunit *test)
{
	static const enum kmh_backing backings[] = { KMH_BACKING_AUTO, KMH_BACKING_BLOCK };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(backings); i++) {
		struct kmheap *heap = heap_backed(test, backings[i]);
		void *small = kmheap_alloc(heap, 64, GFP_KERNEL);
		void *large = kmheap_alloc(heap, SZ_2M, GFP_KERNEL);
		void *longer = kmheap_alloc(heap, SZ_2M + 1, GFP_KERNEL);

		expect_linear(test, small, 64);
		expect_linear(test, large, SZ_2M);
		KUNIT_EXPECT_TRUE(test, is_vmalloc_addr(longer));
		KUNIT_EXPECT_FALSE(test, kmheap_is_linear(longer));
		kmheap_free(small);
		kmheap_free(large);
		kmheap_free(longer);
		kmheap_destroy(heap);
	}
}

static void is_linear_of_what_is_not_ours(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	void *area = vmalloc(PAGE_SIZE), *slab = kunit_kzalloc(test, 64, GFP_KERNEL);
	void *p = kmheap_alloc(heap, SZ_64K, GFP_KERNEL);

	expect_linear(test, p, SZ_64K);
	KUNIT_EXPECT_FALSE(test, kmheap_is_linear(NULL));
	KUNIT_EXPECT_FALSE(test, kmheap_is_linear(ZERO_SIZE_PTR));
	KUNIT_EXPECT_FALSE(test, kmheap_is_linear(slab));
	KUNIT_EXPECT_FALSE(test, kmheap_is_linear(area));
	KUNIT_EXPECT_FALSE(test, kmheap_is_linear((void *)-1UL));
	vfree(area);
	kmheap_free(p);
	kmheap_destroy(heap);
	KUNIT_EXPECT_FALSE(test, kmheap_is_linear(p));
}

/* ---- what is done with objects */

static void free_it(void *p)
{
	kmheap_free(p);
}

static void free_from_another_cpu(struct kunit *test)
{
	static const size_t bytes[] = { 16, 1024, SZ_8K, SZ_64K, SZ_1M };
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	struct kmheap_stats st;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		void *p = kmheap_alloc(heap, bytes[i], GFP_KERNEL);

		expect_linear(test, p, bytes[i]);
		kmh_kunit_elsewhere(test, free_it, p);
		kmheap_free(p);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	}
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	kmheap_destroy(heap);
}

static void realloc_stays_linear(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	u8 *p = kmheap_alloc(heap, 10, GFP_KERNEL), *q;
	size_t bytes;

	KUNIT_ASSERT_NOT_NULL(test, p);
	memset(p, 0x5a, 10);
	for (bytes = 100; bytes <= SZ_1M; bytes *= 10) {
		p = kmheap_realloc(heap, p, bytes, GFP_KERNEL);
		expect_linear(test, p, bytes);
		KUNIT_EXPECT_EQ(test, p[1], (u8)0x5a);
	}
	q = kmheap_realloc(heap, p, SZ_4M, GFP_KERNEL);
	KUNIT_EXPECT_NULL(test, q);
	KUNIT_EXPECT_EQ(test, p[1], (u8)0x5a);
	kmheap_free(p);
	kmheap_destroy(heap);
}

/* A scatterlist over objects, which is what they are linear for. */
static void scatterlist_of_objects(struct kunit *test)
{
	static const size_t bytes[] = { 24, 300, SZ_8K, 50000, SZ_256K };
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	struct scatterlist sg[ARRAY_SIZE(bytes)];
	void *p[ARRAY_SIZE(bytes)];
	size_t sum = 0, at = 0;
	unsigned int i;
	u8 *flat;

	sg_init_table(sg, ARRAY_SIZE(bytes));
	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		p[i] = kmheap_alloc(heap, bytes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		sg_set_buf(&sg[i], p[i], bytes[i]);
		sum += bytes[i];
	}
	flat = kvmalloc(sum, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, flat);
	for (at = 0; at < sum; at++)
		flat[at] = at % 251;
	KUNIT_EXPECT_EQ(test, sg_copy_from_buffer(sg, ARRAY_SIZE(bytes), flat, sum), sum);
	for (i = 0, at = 0; i < ARRAY_SIZE(bytes); at += bytes[i++])
		KUNIT_EXPECT_EQ(test, memcmp(p[i], flat + at, bytes[i]), 0);
	kvfree(flat);
	kmheap_free_bulk(ARRAY_SIZE(p), p);
	kmheap_destroy(heap);
}

/* Pages that another user holds are not handed out, and outlive the heap. */
static void held_page_outlives_the_heap(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	void *p = kmheap_alloc(heap, SZ_64K, GFP_KERNEL), *q;
	struct page *page;

	expect_linear(test, p, SZ_64K);
	page = virt_to_page(p + SZ_32K);
	get_page(page);
	kmheap_free(p);
	q = kmheap_alloc(heap, SZ_64K, GFP_KERNEL);
	expect_linear(test, q, SZ_64K);
	KUNIT_EXPECT_PTR_NE(test, q, p);
	kmheap_free(q);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	KUNIT_EXPECT_EQ(test, page_private(page), 0UL);
	put_page(page);
}

/* ---- misuse */

static void wrong_pointers_are_reported(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	char *small = kmheap_alloc(heap, 200, GFP_KERNEL);
	char *large = kmheap_alloc(heap, SZ_64K, GFP_KERNEL);
	struct kmh_arena *a = kmh_span_of((unsigned long)large)->arena;
	struct kmheap_object obj;
	unsigned long end = (unsigned long)a->vbase + a->bytes;

	expect_linear(test, small, 200);
	expect_linear(test, large, SZ_64K);
	kmheap_free(small + 8);
	kmheap_free(large + SZ_4K);
	kmheap_free_pages(large, 8);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 3);
	kmheap_free_sized(small, 2000);
	kmh_kunit_reports(test, KMH_WRONG_SIZE_FREE, 1);
	/* The pages on both sides belong to others, or to another block. */
	KUNIT_EXPECT_TRUE(test, kmh_span_of((unsigned long)a->vbase - 1)->arena != a ||
			  kmh_span_of((unsigned long)a->vbase - 1)->state < KMH_SPAN_SMALL);
	KUNIT_EXPECT_TRUE(test, kmh_span_of(end)->arena != a ||
			  kmh_span_of(end)->state < KMH_SPAN_SMALL);
	KUNIT_EXPECT_TRUE(test, kmheap_lookup(large + SZ_32K, &obj));
	KUNIT_EXPECT_PTR_EQ(test, obj.base, (void *)large);
	kmheap_free(small);
	kmheap_free(large);
	kmheap_free(large);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_destroy(heap);
	kmheap_free(large);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
}

/* What kfree() does to an object in a block before 7.x: the one page that @p is in is freed. */
static struct page *kfree_as_before(void *p)
{
	struct page *page = virt_to_page(p);

	__free_page(page);
	return page;	/* perhaps somebody else's by now */
}

/*
 * The validators find that a page was freed, once; nothing of the block is handed out from then on,
 * and what is left of it goes back when the heap ends, but not the page.
 */
static void lost_page_is_found(struct kunit *test)
{
	long pages = block_pages();
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	/* Of the first block's eight heap pages three are left. */
	void *p = kmheap_alloc(heap, 40000, GFP_KERNEL), **q, *other;
	unsigned int nfindings = 0, i;
	struct kmheap_stats st;
	struct kmh_arena *a;
	struct page *page;
	unsigned long at;
	size_t bytes;

	expect_linear(test, p, 40000);
	other = kmheap_alloc(heap, SZ_1M, GFP_KERNEL);
	expect_linear(test, other, SZ_1M);
	kmh_kunit_no_worker(heap);
	a = kmh_span_of((unsigned long)p)->arena;
	at = (unsigned long)a->vbase;
	bytes = a->bytes;
	KUNIT_EXPECT_EQ(test, kmh_validate_heap(heap, kmh_kunit_finding, test), 0U);

	page = kfree_as_before(p + SZ_16K);
	kmh_validate_heap(heap, kmh_kunit_count_finding, &nfindings);
	KUNIT_EXPECT_EQ(test, nfindings, 1U);
	KUNIT_EXPECT_EQ(test, kmh_kunit_reports(test, KMH_INVALID_FREE, 1).addr,
			round_down((unsigned long)p + SZ_16K, PAGE_SIZE));
	kmh_validate_heap(heap, kmh_kunit_count_finding, &nfindings);
	KUNIT_EXPECT_EQ(test, nfindings, 1U);
	kmh_kunit_no_reports(test);

	kmheap_free(p);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	/* Spans of one page, which would be in the fullest block. */
	q = load_objects(test, heap, SZ_1K, 200);
	for (i = 0; i < 200; i++) {
		KUNIT_EXPECT_TRUE(test, kmheap_is_linear(q[i]));
		KUNIT_EXPECT_TRUE(test, (unsigned long)q[i] < at ||
				  (unsigned long)q[i] >= at + bytes);
	}
	kmheap_free_bulk(200, q);
	kmheap_free(other);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, block_pages(), pages);
	KUNIT_EXPECT_LE(test, page_ref_count(page), 1);
}

/*
 * A page that another has taken, and that has something where our mark was, as a slab has: the heap
 * does not free it when it ends.
 */
static void lost_page_with_another_mark(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	void *p = kmheap_alloc(heap, SZ_64K, GFP_KERNEL);
	struct page *page;

	expect_linear(test, p, SZ_64K);
	kmh_kunit_no_worker(heap);
	page = virt_to_page(p);
	set_page_private(page, 1);
	kmheap_destroy(heap);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	set_page_private(page, 0);
	__free_page(page);
}

/* The scavenger looks at one page a step, and has seen all of them in the end. */
static void scavenger_finds_a_lost_page(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-linear", KMHEAP_LINEAR, 0);
	void *p = kmheap_alloc(heap, SZ_64K, GFP_KERNEL);
	unsigned long n, most;

	expect_linear(test, p, SZ_64K);
	kmh_kunit_no_worker(heap);
	most = kmh_span_of((unsigned long)p)->arena->bytes >> PAGE_SHIFT;
	kfree_as_before(p + SZ_32K);
	for (n = 0; n < most && !atomic_long_read(&heap->misuses[KMH_INVALID_FREE]); n++)
		kmh_scavenge_step(heap, 1);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmheap_destroy(heap);
}

/* ---- the map */

/*
 * Where both first levels cover a leaf, what a lookup finds does not depend on which of them came
 * first.
 */
static void first_levels_share_leaves(struct kunit *test)
{
	struct kmheap *heap = heap_of(test, "kunit-area", KMHEAP_AREA, 0);
	void *p = kmheap_alloc(heap, 64, GFP_KERNEL);
	struct kmh_mspan *s = kmh_span_of((unsigned long)p);
	unsigned long leaf = (unsigned long)p >> KMH_LEAF_SHIFT, page;
	int err;

	KUNIT_ASSERT_NOT_NULL(test, p);
	/* Extend the one of blocks over the area, where that is in its reach (User-Mode Linux). */
	page = leaf << (KMH_LEAF_SHIFT - KMH_PAGE_SHIFT);
	err = kmh_arenamap_cover(&kmh_blockmap, page, 1, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, err == 0 || err == -ERANGE);
	if (!err)
		KUNIT_EXPECT_LT(test, leaf - kmh_blockmap->base, kmh_blockmap->nr);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p), s);
	KUNIT_EXPECT_EQ(test, kmh_arenamap_cover(&kmh_areamap, page, 1, GFP_KERNEL), 0);
	KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p), s);
	kmheap_free(p);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, (int)kmh_span_of((unsigned long)p)->state, (int)KMH_SPAN_GONE);
}

static struct kunit_case block_cases[] = {
	KUNIT_CASE(every_object_is_linear),
	KUNIT_CASE(too_long_for_a_block_is_refused),
	KUNIT_CASE(flags_say_the_backing),
	KUNIT_CASE(blocks_come_first),
	KUNIT_CASE(is_linear_of_what_is_not_ours),
	KUNIT_CASE(free_from_another_cpu),
	KUNIT_CASE(realloc_stays_linear),
	KUNIT_CASE(scatterlist_of_objects),
	KUNIT_CASE(held_page_outlives_the_heap),
	KUNIT_CASE(wrong_pointers_are_reported),
	KUNIT_CASE(lost_page_is_found),
	KUNIT_CASE(lost_page_with_another_mark),
	KUNIT_CASE(scavenger_finds_a_lost_page),
	KUNIT_CASE(first_levels_share_leaves),
	{ }
};

static struct kunit_suite block_suite = {
	.name = "kmheap_block",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = block_cases,
};

kunit_test_suite(block_suite);
