// SPDX-License-Identifier: GPL-2.0
/* KUnit: kmheap_owns() tells memory of heaps from all other values. */
#include <linux/prandom.h>
#include <linux/vmalloc.h>

#include "kunit_util.h"

/* Is every byte of @p that counts the heap's? */
static bool owns_all(const void *p, size_t bytes)
{
	return kmheap_owns(p) && kmheap_owns(p + bytes / 2) && kmheap_owns(p + bytes - 1);
}

static const size_t sizes[] = { 1, 8, 100, 4096, 32768, 40000, 1 << 20, 5 << 20 };

static void live_and_dead_objects(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;
	void *p;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE_MSG(test, owns_all(p, sizes[i]), "%zu bytes", sizes[i]);
		kmheap_free(p);
		/* The arena of the largest has gone by now, or is about to go. */
		if (sizes[i] < 1 << 20)
			KUNIT_EXPECT_TRUE_MSG(test, owns_all(p, sizes[i]), "%zu dead bytes",
					      sizes[i]);
	}
	p = kmheap_alloc_data(heap, 3, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, owns_all(p, 3));
	kmheap_free_rcu(p);
	KUNIT_EXPECT_TRUE(test, owns_all(p, 3));
	p = kmheap_alloc_pages(heap, 2, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, owns_all(p, 2 * KMHEAP_PAGE_SIZE));
	kmheap_free_pages(p, 2);
}

/* Pages that went back to the page heap, and pages that no object ever had. */
static void pages_of_an_arena(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = kmheap_alloc(heap, 40000, GFP_KERNEL);
	void *pin = kmheap_alloc(heap, 100, GFP_KERNEL);
	struct kmh_arena *a;
	unsigned long i;

	KUNIT_ASSERT_TRUE(test, p && pin);
	a = kmh_span_of((unsigned long)pin)->arena;
	kmheap_free(p);
	kmh_largecache_drain_cpus(heap);
	kmh_largestore_drain(heap);
	KUNIT_EXPECT_TRUE(test, kmheap_owns(p));
	for (i = 0; i < a->npages; i++)
		KUNIT_EXPECT_TRUE(test, kmheap_owns((void *)((a->first + i) << KMH_PAGE_SHIFT)));
	kmheap_free(pin);
}

static void foreign_memory(struct kunit *test)
{
	static char of_the_module[64];
	struct rnd_state rnd;
	unsigned int i;
	char of_the_stack[64];
	unsigned long v;
	void *p;

	KUNIT_EXPECT_FALSE(test, kmheap_owns(NULL));
	KUNIT_EXPECT_FALSE(test, kmheap_owns(ZERO_SIZE_PTR));
	for (i = 1; i <= MAX_ERRNO; i++)
		KUNIT_EXPECT_FALSE(test, kmheap_owns(ERR_PTR(-(long)i)));
	KUNIT_EXPECT_FALSE(test, kmheap_owns(of_the_module));
	KUNIT_EXPECT_FALSE(test, kmheap_owns(of_the_stack));
	KUNIT_EXPECT_FALSE(test, kmheap_owns(foreign_memory));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = vmalloc(sizes[i]);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_FALSE(test, kmheap_owns(p));
		vfree(p);
		p = kvmalloc(sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_FALSE(test, kmheap_owns(p));
		kvfree(p);
	}
	prandom_seed_state(&rnd, 1);
	for (i = 0; i < 100000; i++) {
		v = (unsigned long)prandom_u32_state(&rnd) << 32 | prandom_u32_state(&rnd);
		/* A value in the address space of arenas may hit one. */
		if (!is_vmalloc_addr((void *)v))
			KUNIT_EXPECT_FALSE(test, kmheap_owns((void *)v));
	}
}

/* What went back to the kernel is the kernel's. */
static void memory_given_back(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("owns_gone", NULL);
	void *p[ARRAY_SIZE(sizes)];
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		p[i] = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		kmheap_free(p[i]);
	kmheap_destroy(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		KUNIT_EXPECT_FALSE(test, kmheap_owns(p[i]));
	kmh_kunit_no_reports(test);
}

/* All of an object, and not a byte before it or behind it. */
static void checked_objects(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;
	size_t bytes;
	void *p;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		bytes = kmheap_size(p);
		KUNIT_EXPECT_TRUE(test, kmheap_check_object(p, 0));
		KUNIT_EXPECT_TRUE(test, kmheap_check_object(p, bytes));
		KUNIT_EXPECT_TRUE(test, kmheap_check_object(p + bytes - 1, 1));
		KUNIT_EXPECT_FALSE(test, kmheap_check_object(p, bytes + 1));
		KUNIT_EXPECT_FALSE(test, kmheap_check_object(p + bytes - 1, 2));
		KUNIT_EXPECT_FALSE(test, kmheap_check_object(p, SIZE_MAX));
		KUNIT_EXPECT_FALSE(test, kmheap_check_object(p - 1, 2));
		kmheap_free(p);
		KUNIT_EXPECT_FALSE(test, kmheap_check_object(p, 1));
	}
	p = kmheap_alloc_data(heap, 8, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, kmheap_check_object(p, 8));
	KUNIT_EXPECT_FALSE(test, kmheap_check_object(p, 9));
	kmheap_free_rcu(p);
	KUNIT_EXPECT_FALSE(test, kmheap_check_object(p, 1));
	p = kmheap_alloc_pages(heap, 2, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, kmheap_check_object(p, 2 * KMHEAP_PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, kmheap_check_object(p, 2 * KMHEAP_PAGE_SIZE + 1));
	kmheap_free_pages(p, 2);
	KUNIT_EXPECT_FALSE(test, kmheap_check_object(p, 1));
	KUNIT_EXPECT_FALSE(test, kmheap_check_object(NULL, 0));
	KUNIT_EXPECT_FALSE(test, kmheap_check_object(&bytes, 1));
}

static struct kunit_case owns_cases[] = {
	KUNIT_CASE(live_and_dead_objects),
	KUNIT_CASE(pages_of_an_arena),
	KUNIT_CASE(foreign_memory),
	KUNIT_CASE(memory_given_back),
	KUNIT_CASE(checked_objects),
	{ }
};

static struct kunit_suite owns_suite = {
	.name = "kmheap_owns",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = owns_cases,
};

kunit_test_suite(owns_suite);
