// SPDX-License-Identifier: GPL-2.0
/* KUnit: what a size promises: the alignment of an object, and how far it may be used. */
#include <linux/string.h>

#include "kunit_util.h"

/* ---- alignment, as kmalloc() promises it */

static size_t promised(size_t bytes)
{
	size_t align = bytes & -bytes;

	return bytes > KMHEAP_MAX_SMALL ? min(align, KMHEAP_PAGE_SIZE) : align;
}

#define SOME	8U

/* How many of SOME objects are less aligned than promised; SOME + 1 when memory ran out. */
static unsigned int misaligned(struct kmheap *heap, size_t bytes, bool data)
{
	unsigned int i, n = 0;
	void *p[SOME];

	for (i = 0; i < SOME; i++) {
		p[i] = data ? kmheap_alloc_data(heap, bytes, GFP_KERNEL) :
			      kmheap_alloc(heap, bytes, GFP_KERNEL);
		n += !p[i] ? SOME + 1 : !IS_ALIGNED((unsigned long)p[i], promised(bytes));
	}
	kmheap_free_bulk(SOME, p);
	return n;
}

static void objects_are_aligned(struct kunit *test, struct kmheap *heap)
{
	static const size_t large[] = { 32776, 33792, 36864, 40960, 49152, 65536, 98304, 1 << 20 };
	size_t bytes;
	unsigned int i;

	for (bytes = 1; bytes <= KMHEAP_MAX_SMALL; bytes += bytes < 64 ? 1 : 8) {
		KUNIT_EXPECT_EQ_MSG(test, misaligned(heap, bytes, false), 0U, "%zu bytes", bytes);
		KUNIT_EXPECT_EQ_MSG(test, misaligned(heap, bytes, true), 0U, "%zu bytes of data",
				    bytes);
		cond_resched();
	}
	for (i = 0; i < ARRAY_SIZE(large); i++)
		KUNIT_EXPECT_EQ_MSG(test, misaligned(heap, large[i], false), 0U, "%zu bytes",
				    large[i]);
}

static void aligned_to_what_divides_the_size(struct kunit *test)
{
	objects_are_aligned(test, kmh_kunit_heap(test));
}

static void aligned_in_a_heap_of_cache_lines(struct kunit *test)
{
	struct kmheap_attr attr = { .flags = KMHEAP_HWCACHE_ALIGN };
	struct kmheap *heap = kmheap_create("kunit-lines", &attr);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	objects_are_aligned(test, heap);
	kmheap_destroy(heap);
}

/* ---- the compiler, and so FORTIFY_SOURCE, knows the size that was asked for */

static void expect_known(struct kunit *test, const char *call, void *p, size_t known, size_t bytes)
{
	KUNIT_EXPECT_EQ_MSG(test, known, bytes, "%s", call);
	KUNIT_EXPECT_GE_MSG(test, kmheap_size(p), bytes, "%s", call);
	kmheap_free(p);
}

#define EXPECT_KNOWN(test, call, bytes)						\
do {										\
	void *__p = call;							\
										\
	expect_known(test, #call, __p, __builtin_dynamic_object_size(__p, 1), bytes);	\
} while (0)

static void compiler_knows_sizes(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	size_t bytes = 100, n = 7, align = 64;
	unsigned long npages = 3;
	void *pages;

	/* The sizes are no constants to the compiler. */
	OPTIMIZER_HIDE_VAR(bytes);
	OPTIMIZER_HIDE_VAR(n);
	OPTIMIZER_HIDE_VAR(align);
	OPTIMIZER_HIDE_VAR(npages);

	EXPECT_KNOWN(test, kmheap_alloc(heap, 100, GFP_KERNEL), 100);
	EXPECT_KNOWN(test, kmheap_alloc(heap, bytes, GFP_KERNEL), 100);
	EXPECT_KNOWN(test, kmheap_alloc(heap, 100000, GFP_KERNEL), 100000);
	EXPECT_KNOWN(test, kmheap_zalloc(heap, 100, GFP_KERNEL), 100);
	EXPECT_KNOWN(test, kmheap_zalloc(heap, bytes, GFP_KERNEL), 100);
	EXPECT_KNOWN(test, kmheap_alloc_data(heap, 100, GFP_KERNEL), 100);
	EXPECT_KNOWN(test, kmheap_alloc_data(heap, bytes, GFP_KERNEL), 100);
	EXPECT_KNOWN(test, kmheap_alloc_node(heap, bytes, GFP_KERNEL, NUMA_NO_NODE), 100);
	EXPECT_KNOWN(test, kmheap_alloc_aligned(heap, bytes, align, GFP_KERNEL), 100);
	EXPECT_KNOWN(test, kmheap_alloc_array(heap, 7, 100, GFP_KERNEL), 700);
	EXPECT_KNOWN(test, kmheap_alloc_array(heap, n, bytes, GFP_KERNEL), 700);
	EXPECT_KNOWN(test, kmheap_calloc(heap, 7, 100, GFP_KERNEL), 700);
	EXPECT_KNOWN(test, kmheap_calloc(heap, n, bytes, GFP_KERNEL), 700);
	EXPECT_KNOWN(test, kmheap_realloc(heap, NULL, bytes, GFP_KERNEL), 100);
	EXPECT_KNOWN(test, kmheap_memdup(heap, test, bytes, GFP_KERNEL), 100);
	EXPECT_KNOWN(test, kmheap_alloc_user(heap, 70000, GFP_KERNEL), 70000);
	bytes = 70000;
	OPTIMIZER_HIDE_VAR(bytes);
	EXPECT_KNOWN(test, kmheap_alloc_user(heap, bytes, GFP_KERNEL), 70000);
	pages = kmheap_alloc_pages(heap, npages, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, __builtin_dynamic_object_size(pages, 1), 3 * KMHEAP_PAGE_SIZE);
	kmheap_free_pages(pages, npages);
}

/* A client that resizes an object to all of its usable size owns all of it; nothing moves. */
static void all_of_it_after_realloc(struct kunit *test)
{
	static const size_t sizes[] = { 1, 9, 100, 2000, 20000, 40000 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = kmheap_alloc(kmh_kunit_heap(test), sizes[i], GFP_KERNEL);
		size_t all = kmheap_size(p);
		void *q = kmheap_realloc(NULL, p, all, GFP_KERNEL);

		KUNIT_ASSERT_PTR_EQ(test, q, p);
		KUNIT_EXPECT_EQ(test, __builtin_dynamic_object_size(q, 1), all);
		memset(q, 0x5a, all);
		kmheap_free(q);
	}
}

static struct kunit_case sizes_cases[] = {
	KUNIT_CASE(aligned_to_what_divides_the_size),
	KUNIT_CASE(aligned_in_a_heap_of_cache_lines),
	KUNIT_CASE(compiler_knows_sizes),
	KUNIT_CASE(all_of_it_after_realloc),
	{ }
};

static struct kunit_suite sizes_suite = {
	.name = "kmheap_sizes",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = sizes_cases,
};

kunit_test_suite(sizes_suite);
