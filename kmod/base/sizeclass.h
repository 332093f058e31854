/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Size classes and span classes.
 *
 * A size class is an object size together with the shape of the spans that hold such objects.
 * A span class is a size class times noscan: objects allocated as data (noscan) never share a
 * span with objects that may hold pointers. Size class 0 is no size, which leaves its two
 * span classes for spans of other kinds: large spans, and tiny spans (always data, because an
 * object of that size that holds a pointer fills a slot of its own).
 */
#ifndef _KMHEAP_SIZECLASS_H
#define _KMHEAP_SIZECLASS_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/types.h>

#include "base/sizeclass_table.h"

/* A heap page. */
#define KMH_PAGE_SHIFT		13
#define KMH_PAGE_SIZE		BIT(KMH_PAGE_SHIFT)

/* The row of class 0 describes the tiny span. Large spans have no row. */
struct kmh_sizeclass {
	u32 size;			/* bytes per object */
	u32 divmul;			/* 2^32 / @size, rounded up; see kmh_mspan_slot_at() */
	u16 nelems;			/* objects per span */
	u8 npages;			/* heap pages per span */
	u8 align_pages;			/* divides the number of a span's first heap page */
	u8 nwords;			/* 64-bit words that @nelems bits fill */
};

#define KMH_NR_SPANCLASSES	(KMH_NR_CLASSES << 1)

extern const struct kmh_sizeclass kmh_classes[KMH_NR_CLASSES];
extern const u16 kmh_spanclass_size[KMH_NR_SPANCLASSES];	/* for the fast path */
extern const u8 kmh_class_lookup[KMH_CLASS_LOOKUP_LEN];

#define KMH_SPANCLASS_LARGE	0
#define KMH_SPANCLASS_TINY	1

unsigned int kmh_size_to_class_aligned(size_t bytes, size_t align);

/*
 * The smallest class that holds @bytes, up to KMH_CLASS_MAX_BYTES; 0 counts as 1. One table serves
 * both step widths, as in TCMalloc: the coarse entries follow the fine ones.
 */
static __always_inline unsigned int kmh_size_to_class(size_t bytes)
{
	size_t skip = KMH_CLASS_LOOKUP_SMALL_MAX / 8 - KMH_CLASS_LOOKUP_SMALL_MAX / 128;

	if (likely(bytes <= KMH_CLASS_LOOKUP_SMALL_MAX))
		return kmh_class_lookup[(bytes + 7) >> 3];
	return kmh_class_lookup[((bytes + 127) >> 7) + skip];
}

static inline unsigned int kmh_class_size(unsigned int class)
{
	return kmh_classes[class].size;
}

static __always_inline unsigned int kmh_spanclass(unsigned int class, bool noscan)
{
	return class << 1 | noscan;
}

static __always_inline unsigned int kmh_spanclass_class(unsigned int spanclass)
{
	return spanclass >> 1;
}

static __always_inline bool kmh_spanclass_noscan(unsigned int spanclass)
{
	return spanclass & 1;
}

#endif /* _KMHEAP_SIZECLASS_H */
