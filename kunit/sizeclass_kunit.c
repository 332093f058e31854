// SPDX-License-Identifier: GPL-2.0
/* KUnit: the size class tables, every size and every offset of them. */
#include <kunit/test.h>
#include <linux/align.h>
#include <linux/kmheap_classes.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/math64.h>
#include <linux/sched.h>

#include "../kmod/base/sizeclass.h"

#define FIRST_CLASS	1U

static size_t span_bytes(const struct kmh_sizeclass *c)
{
	return (size_t)c->npages << KMH_CLASS_PAGE_SHIFT;
}

/* The slow and obvious way: the first class, from the smallest on, that is large enough. */
static unsigned int class_by_search(size_t bytes, size_t align)
{
	unsigned int class;

	for (class = FIRST_CLASS; class < KMH_NR_CLASSES; class++) {
		const struct kmh_sizeclass *c = &kmh_classes[class];
		size_t span_align = (size_t)c->align_pages << KMH_CLASS_PAGE_SHIFT;

		if (c->size >= bytes && c->size % align == 0 && span_align % align == 0)
			return class;
	}
	return 0;
}

static void size_to_class_every_size(struct kunit *test)
{
	size_t bytes;

	for (bytes = 1; bytes <= KMHEAP_MAX_SMALL; bytes++) {
		unsigned int want = class_by_search(bytes, 1);

		KUNIT_ASSERT_NE_MSG(test, want, 0U, "size %zu", bytes);
		KUNIT_ASSERT_EQ_MSG(test, kmh_size_to_class(bytes), want, "size %zu", bytes);
		KUNIT_ASSERT_EQ_MSG(test, kmheap_size_class(bytes), want, "size %zu", bytes);
		KUNIT_ASSERT_EQ_MSG(test, kmh_size_to_class_aligned(bytes, 1), want,
				    "size %zu", bytes);
	}
}

static void size_to_class_boundaries(struct kunit *test)
{
	unsigned int class;

	for (class = FIRST_CLASS; class < KMH_NR_CLASSES; class++) {
		size_t top = kmh_classes[class].size;

		KUNIT_EXPECT_EQ(test, kmh_class_size(class), top);
		KUNIT_EXPECT_EQ(test, kmh_size_to_class(top), class);
		KUNIT_EXPECT_EQ(test, kmheap_size_class(top), class);
		if (class + 1 == KMH_NR_CLASSES)
			break;
		KUNIT_EXPECT_EQ(test, kmh_size_to_class(top + 1), class + 1);
		KUNIT_EXPECT_EQ(test, kmheap_size_class(top + 1), class + 1);
	}
	KUNIT_EXPECT_EQ(test, kmh_class_size(KMH_NR_CLASSES - 1), KMHEAP_MAX_SMALL);
}

/* Sizes outside 1..32768: callers check before, and the class they would get does no harm. */
static void size_to_class_outside(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kmh_size_to_class(0), 1U);
	KUNIT_EXPECT_EQ(test, kmheap_size_class(0), 1U);
	KUNIT_EXPECT_EQ(test, kmheap_size_class(KMHEAP_MAX_SMALL + 1), 0U);
	KUNIT_EXPECT_EQ(test, kmheap_size_class(SIZE_MAX), 0U);
	KUNIT_EXPECT_EQ(test, kmh_size_to_class_aligned(KMHEAP_MAX_SMALL + 1, 8), 0U);
	KUNIT_EXPECT_EQ(test, kmh_size_to_class_aligned(SIZE_MAX, 8), 0U);
	KUNIT_EXPECT_EQ(test, kmh_size_to_class_aligned(64, 0), 0U);
	KUNIT_EXPECT_EQ(test, kmh_size_to_class_aligned(64, 24), 0U);
	KUNIT_EXPECT_EQ(test, kmh_size_to_class_aligned(64, 65536), 0U);
	KUNIT_EXPECT_EQ(test, kmh_size_to_class_aligned(64, 1UL << 63), 0U);
}

/* Constant sizes must fold, or the build stops here. */
static void size_class_constant_folds(struct kunit *test)
{
	BUILD_BUG_ON(kmheap_size_class(1) != 1);
	BUILD_BUG_ON(kmheap_size_class(8) != 1);
	BUILD_BUG_ON(kmheap_size_class(9) != 2);
	BUILD_BUG_ON(kmheap_size_class(64) != 6);
	BUILD_BUG_ON(kmheap_size_class(65) != 7);
	BUILD_BUG_ON(kmheap_size_class(1024) != 32);
	BUILD_BUG_ON(kmheap_size_class(1025) != 33);
	BUILD_BUG_ON(kmheap_size_class(8192) != 53);
	BUILD_BUG_ON(kmheap_size_class(32767) != 67);
	BUILD_BUG_ON(kmheap_size_class(32768) != 67);
	KUNIT_EXPECT_EQ(test, kmh_size_to_class(1025), kmheap_size_class(1025));
}

static void size_to_class_aligned_every_size(struct kunit *test)
{
	size_t bytes, align;

	for (align = 1; align <= 65536; align <<= 1) {
		for (bytes = 1; bytes <= KMHEAP_MAX_SMALL; bytes++)
			KUNIT_ASSERT_EQ_MSG(test, kmh_size_to_class_aligned(bytes, align),
					    class_by_search(bytes, align),
					    "size %zu align %zu", bytes, align);
		cond_resched();
	}
	/* Up to 32 KiB there is always a class: the power of two itself. */
	for (align = 1; align <= KMHEAP_MAX_SMALL; align <<= 1)
		KUNIT_EXPECT_NE(test, kmh_size_to_class_aligned(1, align), 0U);
}

static void class_slot_every_offset(struct kunit *test)
{
	unsigned int class;

	for (class = 0; class < KMH_NR_CLASSES; class++) {
		const struct kmh_sizeclass *c = &kmh_classes[class];
		u32 off;

		for (off = 0; off < span_bytes(c); off++)
			if ((u64)off * c->divmul >> 32 != off / c->size)
				break;
		KUNIT_EXPECT_EQ_MSG(test, off, span_bytes(c), "class %u", class);
		cond_resched();
	}
}

static void class_shape(struct kunit *test)
{
	unsigned int class;

	for (class = 0; class < KMH_NR_CLASSES; class++) {
		const struct kmh_sizeclass *c = &kmh_classes[class];
		size_t bytes = span_bytes(c), tail = bytes - (size_t)c->nelems * c->size;

		KUNIT_EXPECT_GT(test, c->nelems, 0);
		KUNIT_EXPECT_LE_MSG(test, c->nelems, 17 * 64, "class %u", class);
		KUNIT_EXPECT_EQ_MSG(test, c->nelems, bytes / c->size, "class %u", class);
		KUNIT_EXPECT_EQ_MSG(test, c->nwords, DIV_ROUND_UP(c->nelems, 64),
				    "class %u", class);
		KUNIT_EXPECT_LE_MSG(test, tail * 8, bytes, "class %u", class);
		KUNIT_EXPECT_EQ_MSG(test, c->divmul, DIV_ROUND_UP_ULL(1ULL << 32, c->size),
				    "class %u", class);
	}
	for (class = FIRST_CLASS + 1; class < KMH_NR_CLASSES; class++)
		KUNIT_EXPECT_GT(test, kmh_class_size(class), kmh_class_size(class - 1));
}

/* The alignment that kmalloc() promises: the largest power of two that divides the size. */
static void class_promised_alignment(struct kunit *test)
{
	size_t bytes;

	for (bytes = 1; bytes <= KMHEAP_MAX_SMALL; bytes++)
		KUNIT_ASSERT_EQ_MSG(test, kmh_size_to_class_aligned(bytes, bytes & -bytes),
				    kmh_size_to_class(bytes), "size %zu", bytes);
}

static void class_natural_alignment(struct kunit *test)
{
	unsigned int class, npowers = 0;

	for (class = FIRST_CLASS; class < KMH_NR_CLASSES; class++) {
		const struct kmh_sizeclass *c = &kmh_classes[class];
		size_t span_align = (size_t)c->align_pages << KMH_CLASS_PAGE_SHIFT;

		KUNIT_EXPECT_TRUE(test, is_power_of_2(c->align_pages));
		KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED(c->size, 8), "class %u", class);
		if (!is_power_of_2(c->size)) {
			KUNIT_EXPECT_EQ_MSG(test, c->align_pages, 1, "class %u", class);
			continue;
		}
		npowers++;
		KUNIT_EXPECT_EQ_MSG(test, span_align % c->size, 0UL, "class %u", class);
		KUNIT_EXPECT_EQ_MSG(test, kmh_size_to_class_aligned(c->size, c->size), class,
				    "class %u", class);
	}
	KUNIT_EXPECT_EQ(test, npowers, 13U);	/* 8 to 32768, each a class of its own */
}

/*
 * Rounding wastes 12.5 % at most, except in these classes: the smallest, where steps of 8 and
 * 16 bytes are coarse, and one that in Go stands for two sizes that filled a span with the
 * same number of objects. The waste is that of the smallest request in the class (one byte
 * more than the class below), as a share of the class in 1/100 of a percent, rounded up.
 */
static const struct waste_outlier {
	size_t class_bytes;
	unsigned int waste;
} waste_outliers[] = {
	{ 8, 8750 }, { 16, 4375 }, { 24, 2917 }, { 32, 2188 }, { 48, 3125 },
	{ 64, 2344 }, { 80, 1875 }, { 96, 1563 }, { 112, 1340 }, { 896, 1418 },
};

static const struct waste_outlier *waste_outlier(size_t class_bytes)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(waste_outliers); i++)
		if (waste_outliers[i].class_bytes == class_bytes)
			return &waste_outliers[i];
	return NULL;
}

static void rounding_waste_bound(struct kunit *test)
{
	unsigned int class, noutliers = 0;
	size_t below = 0;

	for (class = FIRST_CLASS; class < KMH_NR_CLASSES; class++) {
		size_t bytes = kmh_class_size(class), waste = bytes - (below + 1);
		const struct waste_outlier *o = waste_outlier(bytes);

		below = bytes;
		if (waste * 8 <= bytes) {
			KUNIT_EXPECT_NULL_MSG(test, o, "class of %zu", bytes);
			continue;
		}
		noutliers++;
		KUNIT_ASSERT_NOT_NULL_MSG(test, o, "class of %zu", bytes);
		KUNIT_EXPECT_EQ_MSG(test, DIV_ROUND_UP(waste * 10000, bytes), o->waste,
				    "class of %zu", bytes);
	}
	KUNIT_EXPECT_EQ(test, noutliers, ARRAY_SIZE(waste_outliers));
}

/* Over all sizes, equally often, rounding takes 5.37 % of what is handed out. */
static void rounding_waste_mean(struct kunit *test)
{
	u64 sum = 0;		/* of the shares, in 1/1000000 */
	size_t bytes;

	for (bytes = 1; bytes <= KMHEAP_MAX_SMALL; bytes++) {
		size_t class_bytes = kmh_class_size(kmh_size_to_class(bytes));

		sum += (class_bytes - bytes) * 1000000 / class_bytes;
	}
	KUNIT_EXPECT_EQ(test, div_u64(sum, KMHEAP_MAX_SMALL) / 100, 537);
}

static void spanclass_parts(struct kunit *test)
{
	unsigned int class, sc;

	for (class = 0; class < KMH_NR_CLASSES; class++) {
		sc = kmh_spanclass(class, false);
		KUNIT_EXPECT_EQ(test, kmh_spanclass_class(sc), class);
		KUNIT_EXPECT_FALSE(test, kmh_spanclass_noscan(sc));
		KUNIT_EXPECT_LT(test, sc, (unsigned int)KMH_NR_SPANCLASSES);
		sc = kmh_spanclass(class, true);
		KUNIT_EXPECT_EQ(test, kmh_spanclass_class(sc), class);
		KUNIT_EXPECT_TRUE(test, kmh_spanclass_noscan(sc));
		KUNIT_EXPECT_LT(test, sc, (unsigned int)KMH_NR_SPANCLASSES);
	}
	KUNIT_EXPECT_EQ(test, kmh_spanclass(0, false), (unsigned int)KMH_SPANCLASS_LARGE);
	KUNIT_EXPECT_EQ(test, kmh_spanclass(0, true), (unsigned int)KMH_SPANCLASS_TINY);
}

static void tiny_span_shape(struct kunit *test)
{
	const struct kmh_sizeclass *c = &kmh_classes[kmh_spanclass_class(KMH_SPANCLASS_TINY)];

	KUNIT_EXPECT_EQ(test, c->size, (u32)KMH_TINY_BYTES);
	KUNIT_EXPECT_EQ(test, c->nelems, 512);
	KUNIT_EXPECT_EQ(test, c->npages, 1);
	KUNIT_EXPECT_EQ(test, c->nwords, 8);
	KUNIT_EXPECT_EQ(test, kmh_class_size(0), KMH_TINY_BYTES);
}

static struct kunit_case sizeclass_cases[] = {
	KUNIT_CASE(size_to_class_every_size),
	KUNIT_CASE(size_to_class_boundaries),
	KUNIT_CASE(size_to_class_outside),
	KUNIT_CASE(size_class_constant_folds),
	KUNIT_CASE(size_to_class_aligned_every_size),
	KUNIT_CASE(class_slot_every_offset),
	KUNIT_CASE(class_shape),
	KUNIT_CASE(class_promised_alignment),
	KUNIT_CASE(class_natural_alignment),
	KUNIT_CASE(rounding_waste_bound),
	KUNIT_CASE(rounding_waste_mean),
	KUNIT_CASE(spanclass_parts),
	KUNIT_CASE(tiny_span_shape),
	{ }
};

static struct kunit_suite sizeclass_suite = {
	.name = "kmheap_sizeclass",
	.test_cases = sizeclass_cases,
};

kunit_test_suite(sizeclass_suite);
