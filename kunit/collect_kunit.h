/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites of collections and of specials share: a collected heap for each case, and
 * workers that stay away until the case lets them come.
 */
#ifndef _KMHEAP_COLLECT_KUNIT_H
#define _KMHEAP_COLLECT_KUNIT_H

#include <linux/bitops.h>

#include "kunit_util.h"

/* As kmh_kunit_init(), with a collected heap. The case stays on its CPU. */
static inline int collect_init(struct kunit *test)
{
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	int err = kmh_kunit_init(test);
	struct kmheap *heap;

	if (err)
		return err;
	kmh_kunit_stay(test);
	heap = kmheap_create("kunit-collected", &attr);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	kmheap_destroy(kmh_kunit_heap(test));
	kmh_kunit(test)->heap = heap;
	return 0;
}

static inline struct kmh_mspan *where(const void *p)
{
	return kmh_span_of((unsigned long)p);
}

static inline unsigned int slot_of(const void *p)
{
	const struct kmh_mspan *s = where(p);

	/* Large spans have no slots; 0, too, where an object is gone that should be there. */
	return s->elemsize ? ((unsigned long)p - s->base) / s->elemsize : 0;
}

static inline bool marked(const void *p)
{
	unsigned int slot = slot_of(p);

	return atomic_long_read(kmh_mspan_mark(where(p), slot / KMH_WORD_SLOTS)) &
	       BIT(slot % KMH_WORD_SLOTS);
}

static inline bool live(const void *p)
{
	return kmh_live_bytes(p);
}

static inline struct kmh_mcache *this_mcache(struct kmheap *heap)
{
	return per_cpu_ptr(heap->mcache, raw_smp_processor_id());
}

/* Allocate an object and fill it with its pattern. */
static inline void *filled(struct kunit *test, struct kmheap *heap, size_t bytes, bool data)
{
	void *p = data ? kmheap_alloc_data(heap, bytes, GFP_KERNEL) :
			 kmheap_alloc(heap, bytes, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu bytes", bytes);
	kmh_kunit_fill(p);
	return p;
}

static inline void *alloc(struct kunit *test, size_t bytes)
{
	return filled(test, kmh_kunit_heap(test), bytes, false);
}

static inline void **objects(struct kunit *test, unsigned int n)
{
	void **p = kunit_kcalloc(test, n, sizeof(*p), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

static inline void begin(struct kunit *test, struct kmheap *heap)
{
	KUNIT_ASSERT_EQ(test, kmheap_collect_begin(heap), 0);
}

static inline void end(struct kunit *test, struct kmheap *heap)
{
	KUNIT_ASSERT_EQ(test, kmheap_collect_end(heap), 0);
}

/* ---- what has been collected */

struct collected {
	u64 objects;
	u64 bytes;
};

static inline struct collected collected_by_now(struct kmheap *heap)
{
	return (struct collected){
		.objects = atomic_long_read(&heap->collected),
		.bytes = atomic_long_read(&heap->collected_bytes),
	};
}

/* Since @since exactly @objects objects of @bytes bytes were collected; @since becomes now. */
static inline void expect_collected(struct kunit *test, struct kmheap *heap,
				    struct collected *since, u64 objects, u64 bytes)
{
	struct collected now = collected_by_now(heap);

	KUNIT_EXPECT_EQ(test, now.objects - since->objects, objects);
	KUNIT_EXPECT_EQ(test, now.bytes - since->bytes, bytes);
	*since = now;
}

/* The heap at rest has @n live objects. */
static inline void expect_live(struct kunit *test, struct kmheap *heap, u64 n)
{
	struct kmheap_stats st;

	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, n);
	KUNIT_EXPECT_EQ(test, st.deferred_objects, 0ULL);
}

/* A collection without roots: everything that the caller does not mark from here on is freed. */
static inline void collect_all(struct kunit *test, struct kmheap *heap)
{
	begin(test, heap);
	end(test, heap);
	kmheap_rcu_barrier(heap);
	expect_live(test, heap, 0);
}

/* ---- workers that stay away */

static inline void no_work(struct work_struct *work)
{
}

/* From here on @work does nothing. Returns its function, for start_work(). */
static inline work_func_t stop_work(struct work_struct *work)
{
	work_func_t fn = work->func;

	flush_work(work);
	WRITE_ONCE(work->func, no_work);
	flush_work(work);
	return fn;
}

static inline work_func_t stop_sweeper(struct kmheap *heap)
{
	return stop_work(&heap->sweep.work.work);
}

static inline void start_sweeper(struct kmheap *heap, work_func_t fn)
{
	WRITE_ONCE(heap->sweep.work.work.func, fn);
	mod_delayed_work(kmh_wq, &heap->sweep.work, 0);
}

static inline work_func_t stop_finalizers(struct kmheap *heap)
{
	return stop_work(&heap->specials.work);
}

static inline void start_finalizers(struct kmheap *heap, work_func_t fn)
{
	WRITE_ONCE(heap->specials.work.func, fn);
	queue_work(kmh_wq, &heap->specials.work);
}

#endif /* _KMHEAP_COLLECT_KUNIT_H */
