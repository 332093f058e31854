// SPDX-License-Identifier: GPL-2.0
/*
 * The front door out for objects that readers may still hold: kmheap_free_rcu(), and the barrier.
 * How frees wait, and why none waits too short, is in defer.c.
 */
#include <linux/export.h>
#include <linux/rcupdate.h>

#include "front/front.h"
#include "front/traced.h"
#include "heap.h"
#include "span/arenamap.h"
#include "up.h"

/*
 * All deferred frees but those of slots that kmh_mspan_slot_at() finds.
 * Context: any; preemption off, on at return.
 */
noinline void kmh_free_rcu_slow_unpin(struct kmh_mspan *s, unsigned long addr, unsigned long ip)
{
	enum kmh_free_result res = KMH_FREE_DOUBLE;
	struct kmh_where at = {};

	kmh_assert_pinned();
	if (ZERO_OR_NULL_PTR((void *)addr) || !kmh_may_free(s, addr, &at, ip)) {
		preempt_enable();
		return;
	}
	kmh_traced_free_rcu(s, &at, ip);
	if (READ_ONCE(s->nspecials))
		kmh_special_forget(s, addr);
	if (kmh_heap_sanitized(s->heap))
		kmh_sanitize_deferred(addr);
	switch (READ_ONCE(s->state)) {
	case KMH_SPAN_LARGE:
		res = kmh_large_claim(s, addr, KMH_SPAN_LARGE);
		if (res == KMH_FREE_OK)
			kmh_defer_large(s);
		break;
	case KMH_SPAN_TINY:
		res = kmh_tiny_defer(s, addr, at.slot);
		break;
	case KMH_SPAN_SMALL:
		res = kmh_mspan_defer(s, at.slot, addr);
		break;
	default:	/* another free was first */
		break;
	}
	if (res == KMH_FREE_OK)
		preempt_enable();
	else
		kmh_free_doubled_unpin(addr, ip);
}

/* What has been claimed, and was @was, is not the object at @addr. Context: as above. */
static noinline void kmh_free_rcu_moved_unpin(struct kmh_mspan *s, unsigned long slot, u8 was,
					      unsigned long addr, unsigned long ip)
{
	kmh_assert_pinned();
	kmh_slot_unclaim(s, slot, KMH_CELL_WAITS, was);
	kmh_free_doubled_unpin(addr, ip);
}

/* Defer the slot of @addr, whose deferred bit of @gen is set. Context: as above. */
static noinline void kmh_free_rcu_again_unpin(struct kmh_mspan *s, unsigned long addr,
					      unsigned long gen, unsigned long ip)
{
	unsigned long slot = (addr - READ_ONCE(s->base)) / READ_ONCE(s->elemsize);

	kmh_assert_pinned();
	/* Is it another span by now, because another free of the object was first? */
	if (unlikely(slot >= READ_ONCE(s->nelems))) {
		kmh_free_doubled_unpin(addr, ip);
		return;
	}
	kmh_defer_slot(s, slot, gen);
	preempt_enable();
}

/*
 * The slot of @addr waits already, in the set of @gen or in the other one: an object was deferred
 * and freed at the same time, and this is the next one there. It waits as any does. Context: as
 * above.
 */
static noinline void kmh_free_rcu_twice_unpin(struct kmh_mspan *s, unsigned long slot,
					      unsigned long addr, unsigned long gen,
					      unsigned long ip)
{
	kmh_assert_pinned();
	/* Is it another span by now? */
	if (unlikely(slot >= READ_ONCE(s->nelems))) {
		kmh_free_doubled_unpin(addr, ip);
		return;
	}
	kmh_defer_slot(s, slot, gen);
	kmh_misuse_twice(s->heap, addr, s->elemsize);
	preempt_enable();
}

/* Add a CPU's share to the sum. Context: as above. */
static noinline void kmh_free_rcu_count_unpin(struct kmheap *heap)
{
	kmh_assert_pinned();
	kmh_defer_count_slow(heap);
	preempt_enable();
}

/**
 * kmheap_free_rcu() - free an object after a grace period
 * @p: from one of the allocating functions, of whatever heap; NULL and
 *	ZERO_SIZE_PTR do nothing.
 *
 * For objects that readers may still find, or hold, under rcu_read_lock(). No new reader
 * may find the object: it is unlinked before. Readers see its contents until the last of
 * them has left; then its memory is used again. Nothing is needed in the object for
 * that, and nothing is allocated.
 *
 * From this call on the object is free: another free of it is reported as a double free.
 *
 * Context: Any, NMI and RCU read-side sections included, wherever RCU is watching. Never
 * waits, never allocates.
 */
void kmheap_free_rcu(const void *p)
{
	unsigned long addr = (unsigned long)p, slot, cpu, gen, uncounted;
	const unsigned long *now;
	struct kmh_mspan *s;
	u8 was;

	preempt_disable();
	cpu = kmh_this_cpu_offset();
	s = kmh_span_of(addr);
	if (unlikely(!kmh_mspan_slot_at(s, addr, &slot))) {
		kmh_free_rcu_slow_unpin(s, addr, _RET_IP_);
		return;
	}
	kmh_test_point("free_rcu: before the claim");
	/* From here on this is kmh_mspan_defer(), with every rare way a tail call. */
	was = kmh_slot_claim_from(s, slot, KMH_CELL_WAITS);
	if (unlikely(!kmh_cell_live(was))) {
		kmh_free_doubled_unpin(addr, _RET_IP_);
		return;
	}
	if (unlikely(kmh_mspan_slot_addr(s, slot) != addr)) {
		kmh_free_rcu_moved_unpin(s, slot, was, addr, _RET_IP_);
		return;
	}
	kmh_test_point("free_rcu: between the claim and the bit");
	now = &s->heap->defer.gen;
	gen = READ_ONCE(*now);
	if (unlikely(kmh_defer_set(s, slot, gen))) {
		kmh_free_rcu_twice_unpin(s, slot, addr, gen, _RET_IP_);
		return;
	}
	uncounted = kmh_cpu_add_return(s->mcache->deferred, cpu, s->elemsize);
	kmh_test_point("free_rcu: before the second look");
	if (unlikely(kmh_defer_twice(s, slot, gen))) {
		kmh_free_rcu_twice_unpin(s, slot, addr, gen, _RET_IP_);
		return;
	}
	/*
	 * No acquire (a fence on User-Mode Linux): as the generation is still the same, the grace
	 * period that its set waits for orders what has been told; see defer-told.litmus.
	 */
	if (unlikely(!READ_ONCE(s->dirty[gen & 1]) ||
		     READ_ONCE(*now) != gen ||
		     atomic_read(&s->home) == KMH_HOME_FULL))
		kmh_free_rcu_again_unpin(s, addr, gen, _RET_IP_);
	else if (unlikely(uncounted > KMH_DEFER_SHARE))
		kmh_free_rcu_count_unpin(s->heap);
	else
		preempt_enable();
}
EXPORT_SYMBOL_GPL(kmheap_free_rcu);

/**
 * kmheap_rcu_barrier() - wait until all earlier deferred frees are done
 * @heap: the heap; NULL for the default heap.
 *
 * Those of this heap, and of no other. Also finishes the sweep of a collection that has
 * ended, and the finalizers of what has been found dead. Not from a finalizer.
 *
 * Context: Process context; sleeps for up to two grace periods.
 */
void kmheap_rcu_barrier(struct kmheap *heap)
{
	unsigned int round;

	might_sleep();
	heap = kmh_heap_or_default(heap);
	if (kmh_heap_sanitized(heap))
		kmh_quarantine_drain(heap, 0);
	for (round = 0; round < 2; round++) {
		mutex_lock(&heap->sweep.mutex);
		kmh_sweep_settle(heap);
		/* The first round is for a set that was closed already. */
		if (heap->defer.waiting || kmh_defer_filling(&heap->defer))
			kmh_defer_wait(heap, false);
		kmh_sweep_settle(heap);
		mutex_unlock(&heap->sweep.mutex);
	}
	kmh_special_wait(heap);
}
EXPORT_SYMBOL_GPL(kmheap_rcu_barrier);
