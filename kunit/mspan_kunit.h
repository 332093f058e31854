/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites of spans and of cells share: spans without pages behind them and in no map, so
 * that a case may put their bits and cells into any state.
 */
#ifndef _KMHEAP_MSPAN_KUNIT_H
#define _KMHEAP_MSPAN_KUNIT_H

#include <linux/bitops.h>
#include <linux/string.h>

#include "kunit_util.h"

#define FAKE_BASE	BIT(40)

/* Classes by the number of their slot words. */
#define SPANCLASS_1	kmh_spanclass(32, false)	/* 8 slots of 1024 bytes */
#define SPANCLASS_4	kmh_spanclass(4, false)		/* 256 slots of 32 bytes */
#define SPANCLASS_TAIL	kmh_spanclass(3, false)		/* 341 slots of 24: 21 in the last word */
#define SPANCLASS_16	kmh_spanclass(1, true)		/* 1024 slots of 8 bytes */

static inline struct kmh_mspan *span_new(struct kunit *test, unsigned int spanclass)
{
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];
	struct kmh_mspan *s;

	KUNIT_ASSERT_EQ(test, kmh_mspan_pools_refill(4, GFP_KERNEL), 0);
	s = kmh_mspan_get(spanclass);
	KUNIT_ASSERT_NOT_NULL(test, s);
	s->heap = kmh_kunit_heap(test);
	s->mheap = &s->heap->nodes[numa_mem_id()]->mheap;
	s->arena = NULL;
	s->mcache = s->heap->mcache;
	kmh_mspan_init(s, spanclass, FAKE_BASE, class->npages);
	if (spanclass == KMH_SPANCLASS_LARGE) {
		s->npages = 5;
		s->large_bytes = 40000;
	}
	return s;
}

/* One whose slots are freed: they have no pages behind them that could be wiped. */
static inline struct kmh_mspan *span_to_free(struct kunit *test, unsigned int spanclass)
{
	if (want_init_on_free())
		kunit_skip(test, "a kernel that wipes what is freed");
	return span_new(test, spanclass);
}

static inline void set_word(struct kmh_mspan *s, unsigned int word, unsigned long free,
			    unsigned long remote)
{
	s->w[word].free = free;
	atomic_long_set(&s->w[word].remote, remote);
}

/* Give the slots @mask of a word the cell @value. */
static inline void set_cells(struct kmh_mspan *s, unsigned int word, unsigned long mask, u8 value)
{
	unsigned int bit;

	for_each_set_bit(bit, &mask, KMH_WORD_SLOTS)
		s->cell[word * KMH_WORD_SLOTS + bit] = value;
}

/* Make every slot live. */
static inline void take_all(struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nwords; i++)
		set_word(s, i, 0, 0);
	memset(s->cell, KMH_CELL_LIVE, s->nelems);
}

#endif /* _KMHEAP_MSPAN_KUNIT_H */
