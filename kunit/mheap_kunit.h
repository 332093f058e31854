/* SPDX-License-Identifier: GPL-2.0 */
/* What the suites of the page heap share. */
#ifndef _KMHEAP_MHEAP_KUNIT_H
#define _KMHEAP_MHEAP_KUNIT_H

#include <linux/cpumask.h>
#include <linux/sched.h>

#include "kunit_util.h"

#define SPANCLASS	kmh_spanclass(32, false)	/* one page */
#define LARGE		KMH_SPANCLASS_LARGE

/* A case stays on one CPU, whose page cache it looks at. */
static inline int mheap_init(struct kunit *test)
{
	int err = set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));

	return err ?: kmh_kunit_init(test);
}

static inline struct kmh_mheap *mheap_of(struct kmheap *heap)
{
	return &heap->nodes[numa_mem_id()]->mheap;
}

static inline struct kmh_mheap *mheap(struct kunit *test)
{
	return mheap_of(kmh_kunit_heap(test));
}

/* The case's heap, without a worker that grows it ahead. */
static inline struct kmheap *heap_alone(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);

	kmh_kunit_no_worker(heap);
	return heap;
}

/* The same for a case that counts on memory that goes back by whole arenas. */
static inline struct kmheap *heap_alone_of_areas(struct kunit *test)
{
	kmh_kunit_of_areas(test);
	return heap_alone(test);
}

static inline size_t arena_bytes(struct kmheap *heap)
{
	return atomic_long_read(&heap->arena_bytes);
}

/* @n new objects of @size bytes; the array is the case's. */
static inline void **load_objects(struct kunit *test, struct kmheap *heap, size_t size,
				  unsigned int n)
{
	void **p = kunit_kmalloc_array(test, n, sizeof(*p), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < n; i++) {
		p[i] = kmheap_alloc(heap, size, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	return p;
}

static inline struct kmheap *heap_new(struct kunit *test, const char *name, size_t limit)
{
	const struct kmheap_attr attr = { .limit_bytes = limit };
	struct kmheap *heap = kmheap_create(name, &attr);

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	return heap;
}

/* The @i-th arena of a heap, or NULL. Nothing takes arenas away meanwhile. */
static inline struct kmh_arena *arena(struct kmheap *heap, unsigned int i)
{
	struct kmh_arena *a, *found = NULL;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list) {
		if (!i--) {
			found = a;
			break;
		}
	}
	mutex_unlock(&heap->arenas_mutex);
	return found;
}

static inline unsigned int narenas(struct kmheap *heap)
{
	unsigned int n = 0;

	while (arena(heap, n))
		n++;
	return n;
}

static inline struct kmh_mspan *alloc_span(struct kmh_mheap *mh, unsigned int spanclass,
					   unsigned long npages, unsigned long align,
					   bool *zeroed)
{
	struct kmh_mspan *s;

	preempt_disable();
	s = kmh_mheap_alloc_span(mh, NULL, spanclass, npages, align, false, zeroed);
	if (s && spanclass == KMH_SPANCLASS_LARGE) {
		s->large_bytes = npages << KMH_PAGE_SHIFT;
		kmh_mcentral_date_span(s);
	}
	preempt_enable();
	return s;
}

static inline int grow(struct kmh_mheap *mh, unsigned long npages, unsigned long align)
{
	return kmh_mheap_grow(mh, npages, align, READ_ONCE(mh->ngrown), GFP_KERNEL);
}

/* Take another arena, though pages are free. */
static inline int grow_anyway(struct kmh_mheap *mh)
{
	return kmh_mheap_grow_arena(mh, 1, 1, GFP_KERNEL) ? -ENOMEM : 0;
}

/* Grow until at least @npages are free; no worker runs when this returns. */
static inline void grow_to(struct kunit *test, struct kmh_mheap *mh, unsigned long npages)
{
	while (READ_ONCE(mh->pa.nfree) < npages)
		KUNIT_ASSERT_EQ(test, grow_anyway(mh), 0);
	kmh_kunit_settle(mh->heap);
}

static inline unsigned long page_of(const struct kmh_mspan *s)
{
	return s->base >> KMH_PAGE_SHIFT;
}

#endif /* _KMHEAP_MHEAP_KUNIT_H */
