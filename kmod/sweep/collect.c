// SPDX-License-Identifier: GPL-2.0
/*
 * Collected heaps: the client marks what it can reach, the sweep frees the rest.
 *
 * After Go's concurrent mark and sweep (src/runtime/mgc.go), without its write barrier,
 * which is the client's, and without stopping anything. What is allocated between begin
 * and end survives ("black"): not by a store in every allocation, but because all slots of a
 * span that are not live are marked when a CPU takes the span as its own, those of the spans
 * that CPUs hold already at the beginning, and those that a fold adds meanwhile.
 */
#include <linux/export.h>
#include <linux/ktime.h>

#include "sweep/sweep.h"
#include "central/unswept.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/arenamap.h"

/**
 * kmheap_collect_begin() - begin a collection
 * @heap: a heap that was created with KMHEAP_COLLECTED.
 *
 * From its return on every allocation survives this collection without a mark. Every
 * older object has to be marked before kmheap_collect_end(), or is freed. An
 * allocation that is under way on another CPU meanwhile counts as older.
 *
 * Context: Process context; sleeps. Interrupts every CPU once. If the sweep of the last
 * collection is not done yet, it is done here.
 * Return: 0; -EINVAL when the heap is not collected, -EBUSY when a collection has begun.
 */
int kmheap_collect_begin(struct kmheap *heap)
{
	u64 start;

	might_sleep();
	heap = kmh_heap_or_default(heap);
	if (!kmh_heap_collected(heap))
		return -EINVAL;
	mutex_lock(&heap->sweep.mutex);
	kmh_sweep_settle(heap);
	if (heap->sweep.marking) {
		mutex_unlock(&heap->sweep.mutex);
		return -EBUSY;
	}
	start = ktime_get_ns();
	heap->sweep.marking = true;
	kmh_sweep_close_classes(heap);
	/* Large objects that are being made right now must not be of the generation that ends. */
	kmh_sweep_wait_for_trips(heap);
	while (!kmh_sweep_caches(heap, kmh_mspan_blacken))
		kmh_sweep_let_go(heap);
	WRITE_ONCE(heap->begin_ns, max(heap->begin_ns, ktime_get_ns() - start));
	mutex_unlock(&heap->sweep.mutex);
	return 0;
}
EXPORT_SYMBOL_GPL(kmheap_collect_begin);

/*
 * Set a mark. Nothing keeps the span of a wild address: its base and its arena may be of two
 * lives, so the page is checked.
 * Context: preemption off. Return: true for the first mark.
 */
static bool kmh_mark_slot(struct kmh_mspan *s, unsigned int slot)
{
	unsigned long bit = BIT(slot % KMH_WORD_SLOTS), page;
	atomic_long_t *mark = kmh_mspan_mark(s, slot / KMH_WORD_SLOTS);
	struct kmh_arena *a;

	kmh_assert_pinned();
	if (atomic_long_read(mark) & bit || atomic_long_fetch_or(bit, mark) & bit)
		return false;
	page = READ_ONCE(s->base) >> KMH_PAGE_SHIFT;
	kmh_test_point("mark of a page");
	a = READ_ONCE(s->arena);
	page -= a->first;
	if (page < a->npages && !test_bit(page, a->page_marks))
		set_bit(page, a->page_marks);
	kmh_cpu_add(s->mcache->marked, 1);
	return true;
}

/**
 * kmheap_mark() - say that an object can be reached
 * @heap: the heap that is being collected.
 * @addr: any value; a pointer into an object marks the object.
 *
 * The caller that marks an object first visits what it points to. Data holds no pointers and
 * needs no visit; kmheap_lookup() tells. An address of no live object of @heap is refused.
 *
 * Context: Any, NMI included. Lock-free.
 * Return: true when the object was not marked before; false when it was, when it has been
 * allocated since the collection began, when @addr was refused, and when no collection
 * has begun.
 */
bool kmheap_mark(struct kmheap *heap, const void *addr)
{
	struct kmh_mspan *s;
	bool first = false;

	heap = kmh_heap_or_default(heap);
	preempt_disable();
	s = kmh_span_of((unsigned long)addr);
	if (s->heap == heap && (s->state == KMH_SPAN_SMALL || s->state == KMH_SPAN_LARGE) &&
	    kmh_mcentral_phase(kmh_mspan_mcentral(s)) & KMH_PHASE_MARKING) {
		unsigned long off = (unsigned long)addr - s->base;
		unsigned long slot = s->state == KMH_SPAN_LARGE ? 0 : off * s->divmul >> 32;

		/* Past the end: the span was recycled under the lookup of a wild pointer. */
		if (off >> KMH_PAGE_SHIFT < s->npages && slot < s->nelems &&
		    (s->state == KMH_SPAN_LARGE ? !kmh_large_claimed(s) : kmh_slot_live(s, slot)))
			first = kmh_mark_slot(s, slot);
	}
	preempt_enable();
	return first;
}
EXPORT_SYMBOL_GPL(kmheap_mark);

/**
 * kmheap_collect_end() - all objects that can be reached have been marked
 * @heap: the heap.
 *
 * Objects older than the collection and without a mark are garbage from here on. They are
 * swept by allocations and in the background; kmheap_rcu_barrier() waits for
 * that. All calls of kmheap_mark() must have returned.
 *
 * Context: Process context; sleeps.
 * Return: 0; -EINVAL when no collection has begun.
 */
int kmheap_collect_end(struct kmheap *heap)
{
	u64 start;

	might_sleep();
	heap = kmh_heap_or_default(heap);
	mutex_lock(&heap->sweep.mutex);
	kmh_sweep_settle(heap);		/* deferred frees that expired meanwhile */
	if (!heap->sweep.marking) {
		mutex_unlock(&heap->sweep.mutex);
		return -EINVAL;
	}
	start = ktime_get_ns();
	heap->sweep.marking = false;
	kmh_sweep_open(heap, KMH_SWEEP_MARKS);
	WRITE_ONCE(heap->collections, heap->collections + 1);
	mod_delayed_work(kmh_wq, &heap->sweep.work, 0);
	WRITE_ONCE(heap->end_ns, max(heap->end_ns, ktime_get_ns() - start));
	mutex_unlock(&heap->sweep.mutex);
	return 0;
}
EXPORT_SYMBOL_GPL(kmheap_collect_end);
