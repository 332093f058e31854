/* SPDX-License-Identifier: GPL-2.0 */
/* What the suites of parked large objects share. */
#ifndef _KMHEAP_LARGECACHE_KUNIT_H
#define _KMHEAP_LARGECACHE_KUNIT_H

#include "mheap_kunit.h"

static inline struct kmh_parked *cache(struct kmheap *heap)
{
	return &raw_cpu_ptr(heap->mcache)->large.parked;	/* the case stays on its CPU */
}

static inline struct kmh_parked *store(struct kmheap *heap)
{
	return &mheap_of(heap)->store;
}

static inline struct kmh_mspan *span(const void *p)
{
	return kmh_span_of((unsigned long)p);
}

static inline void *alloc(struct kunit *test, struct kmheap *heap, size_t bytes)
{
	void *p = kmheap_alloc(heap, bytes, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu bytes", bytes);
	return p;
}

static inline int claim(struct kmh_mspan *s, const void *p)
{
	return kmh_large_claim(s, (unsigned long)p, KMH_SPAN_LARGE);
}

static inline bool is_parked(const void *p)
{
	return kmh_span_is_parked(span(p), (unsigned long)p >> KMH_PAGE_SHIFT);
}

#endif /* _KMHEAP_LARGECACHE_KUNIT_H */
