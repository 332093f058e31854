/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites of the sweep and of deferred frees share. With sweep_init() the heap of a
 * case has no worker: the case itself closes, expires and sweeps the sets, and nothing
 * happens between.
 */
#ifndef _KMHEAP_SWEEP_KUNIT_H
#define _KMHEAP_SWEEP_KUNIT_H

#include <linux/rcupdate.h>
#include <linux/workqueue.h>

#include "kunit_util.h"

static inline void kmh_kunit_no_sweep(struct work_struct *work)
{
}

/* From here on only the case sweeps @heap. */
static inline void sweep_by_hand(struct kmheap *heap)
{
	cancel_delayed_work_sync(&heap->sweep.work);
	heap->sweep.work.work.func = kmh_kunit_no_sweep;
	kmh_kunit_no_worker(heap);
}

/* .init: no worker sweeps, and the case stays on its CPU. */
static inline int sweep_init(struct kunit *test)
{
	int err;

	kmh_kunit_stay(test);
	err = kmh_kunit_init(test);
	if (err)
		return err;
	sweep_by_hand(kmh_kunit_heap(test));
	/* A caller that grows because descriptors are short would sweep, too. */
	return kmh_mspan_pools_refill(512, GFP_KERNEL);
}

/* Open a generation; its classes are those whose dirty flag is set. */
static inline void sweep_open(struct kunit *test, enum kmh_sweep_what what)
{
	struct kmheap *heap = kmh_kunit_heap(test);

	mutex_lock(&heap->sweep.mutex);
	kmh_sweep_open(heap, what);
	mutex_unlock(&heap->sweep.mutex);
}

/* Sweep the open generation to its end. */
static inline void sweep_finish(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);

	mutex_lock(&heap->sweep.mutex);
	kmh_sweep_finish(heap);
	mutex_unlock(&heap->sweep.mutex);
	KUNIT_EXPECT_FALSE(test, kmh_sweep_is_open(heap));
}

static inline bool defer_step(struct kmheap *heap)
{
	bool more;

	mutex_lock(&heap->sweep.mutex);
	more = kmh_defer_step(heap);
	mutex_unlock(&heap->sweep.mutex);
	return more;
}

/* Close the set that is being filled. No grace period ends while preemption is off. */
static inline void defer_close(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned long gen = heap->defer.gen;
	bool more;

	KUNIT_ASSERT_FALSE(test, heap->defer.waiting);
	KUNIT_ASSERT_FALSE_MSG(test, kmh_defer_excess(heap), "the grace period would be pressed");
	mutex_lock(&heap->sweep.mutex);
	preempt_disable();
	more = kmh_defer_step(heap);
	preempt_enable();
	mutex_unlock(&heap->sweep.mutex);
	KUNIT_EXPECT_TRUE(test, more);
	KUNIT_EXPECT_TRUE(test, heap->defer.waiting);
	KUNIT_EXPECT_EQ(test, heap->defer.gen, gen + 1);
}

/* The closed set's grace period ends: the set expires and is swept. */
static inline void defer_expire(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);

	KUNIT_ASSERT_TRUE(test, heap->defer.waiting);
	heap->defer.cookie = get_completed_synchronize_rcu();
	defer_step(heap);
	KUNIT_EXPECT_FALSE(test, heap->defer.waiting);
	KUNIT_EXPECT_FALSE(test, kmh_sweep_is_open(heap));
}

/*
 * The closed set's grace period ends: its generation opens, but nothing is swept, and large
 * objects stay.
 */
static inline void defer_open(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);

	KUNIT_ASSERT_TRUE(test, heap->defer.waiting);
	heap->defer.waiting = false;
	sweep_open(test, KMH_SWEEP_SET0 + !(heap->defer.gen & 1));
}

static inline void close_and_expire(struct kunit *test)
{
	defer_close(test);
	defer_expire(test);
}

static inline int defer_slot(struct kmh_mspan *s, unsigned int slot)
{
	int res;

	preempt_disable();
	res = kmh_mspan_defer(s, slot, kmh_mspan_slot_addr(s, slot));
	preempt_enable();
	return res;
}

static inline unsigned int gen_of(const struct kmh_mspan *s)
{
	return atomic_read(&s->sweepgen);
}

static inline bool on_list(const struct list_head *list, const struct kmh_mspan *which)
{
	struct kmh_mspan *s;

	list_for_each_entry(s, list, list)
		if (s == which)
			return true;
	return false;
}

/* Is @s on the full set of its class's swept spans (@swept), or of its unswept ones? */
static inline bool on_full_set(const struct kmh_mspan *s, bool swept)
{
	struct kmh_mcentral *c = kmh_mspan_mcentral(s);

	return on_list(&c->full[kmh_swept_set(c->phase) ^ !swept], s);
}

static inline bool on_partial_set(const struct kmh_mspan *s, bool swept)
{
	struct kmh_mcentral *c = kmh_mspan_mcentral(s);

	return on_list(&c->partial[kmh_swept_set(c->phase) ^ !swept], s);
}

static inline enum kmheap_object_state state_of(const void *p)
{
	struct kmheap_object obj;

	return kmheap_lookup(p, &obj) ? obj.state : KMHEAP_OBJECT_FREE;
}

/* Bytes that deferred frees have counted and that no sweep has subtracted yet. */
static inline long pending_bytes(struct kmheap *heap)
{
	long bytes = atomic_long_read(&heap->defer.pending);
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		bytes += per_cpu_ptr(heap->mcache, cpu)->deferred;
	return bytes;
}

#endif /* _KMHEAP_SWEEP_KUNIT_H */
