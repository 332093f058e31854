/* SPDX-License-Identifier: GPL-2.0 */
/* What the suites of blocks share. */
#ifndef _KMHEAP_BLOCK_KUNIT_H
#define _KMHEAP_BLOCK_KUNIT_H

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/page_ref.h>
#include <linux/sizes.h>

#include "mheap_kunit.h"

static inline struct kmheap *heap_of(struct kunit *test, const char *name, unsigned int flags,
				     size_t limit)
{
	const struct kmheap_attr attr = { .flags = flags, .limit_bytes = limit };
	struct kmheap *heap = kmheap_create(name, &attr);

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	return heap;
}

/* Pages of blocks that are not the default heap's, whose scavenger may give some back meanwhile. */
static inline long block_pages(void)
{
	struct kmheap *heap = kmh_heap_or_default(NULL);
	size_t others;
	long pages;

	do {
		others = kmh_kunit_held_bytes(heap);
		pages = atomic_long_read(&kmh_backend_nblock_pages);
	} while (others != kmh_kunit_held_bytes(heap));
	return pages - (long)(others >> PAGE_SHIFT);
}

/* Does every byte of @p have a page, each behind the one before? */
static inline bool contiguous(const void *p, size_t bytes)
{
	unsigned long pfn = page_to_pfn(virt_to_page(p)), i;
	unsigned long first = (unsigned long)p >> PAGE_SHIFT;
	unsigned long last = ((unsigned long)p + bytes - 1) >> PAGE_SHIFT;

	for (i = 0; i <= last - first; i++)
		if (!virt_addr_valid((first + i) << PAGE_SHIFT) ||
		    page_to_pfn(virt_to_page((void *)((first + i) << PAGE_SHIFT))) != pfn + i ||
		    page_ref_count(virt_to_page((void *)((first + i) << PAGE_SHIFT))) != 1)
			return false;
	return virt_to_phys((void *)p) + bytes - 1 == virt_to_phys((void *)p + bytes - 1);
}

/* Write to an object of @bytes, and expect that it is linear. */
static inline void expect_linear(struct kunit *test, void *p, size_t bytes)
{
	KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu bytes", bytes);
	KUNIT_EXPECT_TRUE_MSG(test, kmheap_is_linear(p), "%zu bytes", bytes);
	KUNIT_EXPECT_TRUE(test, kmheap_is_linear(p + bytes - 1));
	KUNIT_EXPECT_FALSE(test, is_vmalloc_addr(p));
	KUNIT_EXPECT_TRUE_MSG(test, contiguous(p, bytes), "%zu bytes", bytes);
	KUNIT_EXPECT_GE(test, kmheap_size(p), bytes);
	*(char *)p = 1;
	((char *)p)[bytes - 1] = 2;
}

/* A heap as the parameter would make it, without a worker; the case's exit resets the parameter. */
static inline struct kmheap *heap_backed(struct kunit *test, enum kmh_backing backing)
{
	struct kmheap *heap;

	WRITE_ONCE(kmh_backing_default, backing);
	heap = heap_of(test, "kunit-backed", 0, 0);
	KUNIT_EXPECT_EQ(test, (int)heap->backing, (int)backing);
	kmh_kunit_no_worker(heap);
	return heap;
}

#endif /* _KMHEAP_BLOCK_KUNIT_H */
