// SPDX-License-Identifier: GPL-2.0
/* The tables that scripts/gen_sizeclasses.py made, checked once more at compile time. */
#include <linux/align.h>
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/cache.h>
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/log2.h>

#include "base/sizeclass.h"
#include "base/public.h"

#define KMH_CLASS(class, bytes, mul, objects, pages, align, words)	\
	[class] = {							\
		.size = bytes,						\
		.divmul = mul,						\
		.nelems = objects,					\
		.npages = pages,					\
		.align_pages = align,					\
		.nwords = words,					\
	},

/* A free reads one row, an allocation one size; rows of 16 bytes never straddle a cache line. */
const struct kmh_sizeclass kmh_classes[KMH_NR_CLASSES] ____cacheline_aligned = {
#include "base/sizeclass_table.h"
};

const u16 kmh_spanclass_size[KMH_NR_SPANCLASSES] ____cacheline_aligned = KMH_SPANCLASS_SIZES;
const u8 kmh_class_lookup[KMH_CLASS_LOOKUP_LEN] ____cacheline_aligned = KMH_CLASS_LOOKUP;

/* See <linux/kmheap.h>. */
const u8 KMHEAP_CLASSES_SYMBOL = KMH_NR_CLASSES;
EXPORT_SYMBOL_GPL(KMHEAP_CLASSES_SYMBOL);

static_assert(sizeof(struct kmh_sizeclass) == 16);
static_assert(KMH_NR_CLASSES == 68);
static_assert(KMH_NR_SPANCLASSES == 136);
static_assert(KMH_NR_SPANCLASSES - 1 <= U8_MAX);	/* kept in a byte by spans */
static_assert(KMH_CLASS_MAX_BYTES == KMHEAP_MAX_SMALL);
static_assert(KMH_CLASS_MAX_BYTES <= U16_MAX);
static_assert(KMH_CLASS_MAX_NWORDS <= 17);
static_assert(sizeof((u16[])KMH_SPANCLASS_SIZES) / sizeof(u16) == KMH_NR_SPANCLASSES);
static_assert(sizeof((u8[])KMH_CLASS_LOOKUP) == KMH_CLASS_LOOKUP_LEN);
static_assert(1 + KMH_CLASS_LOOKUP_SMALL_MAX / 8 +
	      (KMH_CLASS_MAX_BYTES - KMH_CLASS_LOOKUP_SMALL_MAX) / 128 == KMH_CLASS_LOOKUP_LEN);
static_assert(BITS_PER_LONG == 64);			/* nwords counts longs */

#define CLASS_SPAN(pages)	((pages) << KMH_CLASS_PAGE_SHIFT)

/* Check what holds for every row. The arguments are constants: this makes no code. */
static __always_inline u8 class_pin(u64 bytes, u64 mul, u64 objects, u64 pages, u64 align,
				    u64 words)
{
	/* As many objects as fit, and at most an eighth of the span is tail. */
	BUILD_BUG_ON(CLASS_SPAN(pages) / bytes != objects);
	BUILD_BUG_ON(CLASS_SPAN(pages) % bytes * 8 > CLASS_SPAN(pages));
	/* The multiplier is the reciprocal, rounded up. */
	BUILD_BUG_ON(((1ULL << 32) + bytes - 1) / bytes != mul);
	BUILD_BUG_ON(words != (objects + 63) / 64);
	BUILD_BUG_ON(!objects || objects > KMH_CLASS_MAX_NELEMS);
	BUILD_BUG_ON(words > KMH_CLASS_MAX_NWORDS || pages > KMH_CLASS_MAX_NPAGES);
	/* A power of two divides the span's alignment: its objects are naturally aligned. */
	BUILD_BUG_ON(!(bytes & (bytes - 1)) && CLASS_SPAN(align) % bytes);
	BUILD_BUG_ON(!align || align & (align - 1) || align > pages);
	return 0;
}

#define KMH_CLASS(class, ...)	\
	[class] = class_pin(__VA_ARGS__),

static __always_inline void classes_pin(void)
{
	const u8 pins[] __maybe_unused = {
#include "base/sizeclass_table.h"
	};

	BUILD_BUG_ON(ARRAY_SIZE(pins) != KMH_NR_CLASSES);
}

/*
 * The smallest class with slots of @bytes, at least 1, at multiples of @align bytes. The slots of
 * a span are aligned to what divides both the object size and the address of the span.
 * Return: the class; 0 when there is none (too large, too strict, or no power of two).
 */
unsigned int kmh_size_to_class_aligned(size_t bytes, size_t align)
{
	unsigned int class;

	classes_pin();	/* without a caller the compiler would not check it */
	if (bytes > KMH_CLASS_MAX_BYTES || !is_power_of_2(align))
		return 0;
	for (class = kmh_size_to_class(bytes); class < KMH_NR_CLASSES; class++) {
		const struct kmh_sizeclass *c = &kmh_classes[class];

		if (IS_ALIGNED(c->size, align) && align <= CLASS_SPAN((size_t)c->align_pages))
			return class;
	}
	return 0;
}
