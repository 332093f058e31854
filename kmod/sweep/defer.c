// SPDX-License-Identifier: GPL-2.0
/*
 * Deferred frees: kmheap_free_rcu(), without an rcu_head and without allocating.
 *
 * An object that is freed this way gets a bit in one of two sets. Set gen & 1 is being
 * filled. The other one is empty, or closed and waiting for its grace period, or being
 * swept; only when it is swept may the sets change roles (gen + 1).
 *
 * Why nobody waits too short. Two things must hold for a bit in a set: the grace period
 * that is stamped when the set is closed began after the object was unlinked, and the
 * sweep that takes the bit comes after that grace period.
 *
 *   free_rcu, preemption off		close, by the holder of sweep.mutex
 *   (the client unlinks the object)	gen = gen + 1
 *   fetch-or the bit into the set	smp_mb()
 *   read gen again: as before?		stamp = that of the grace period to come
 *
 * Read as before: the fetch-or, which is fully ordered, puts the unlinking before the
 * second read, which came before the flip, which came before the stamp; readers that can
 * have the pointer began before the stamped grace period. Changed: the bit goes into the
 * new set as well, and the slot waits for both. The value is compared, not the set, so
 * two flips in between do not go unnoticed (they cannot happen: preemption off holds up
 * the grace period that the second flip waits for). A bit that comes so late that its set
 * has been swept stays until that set is swept the next time: longer, never shorter.
 */
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <trace/events/kmheap.h>

#include "sweep/defer.h"
#include "central/sweepspan.h"
#include "cpu/tiny.h"
#include "heap.h"
#include "pages/held.h"

/* How long a set is filled when there is no hurry. */
#define KMH_DEFER_DELAY		DIV_ROUND_UP(HZ, 50)

/*
 * What may be pending in a small heap: about what a CPU can free in an expedited grace period
 * of 20 ms (User-Mode Linux). Less where that is over 1/64 of the memory.
 */
#define KMH_DEFER_ROOM		(32UL << 20)

/* Pending bytes for which a grace period is expedited when memory is short. */
#define KMH_DEFER_WORTH		((long)SZ_1M)

/* ---- how much is pending */

/*
 * Bytes that may be pending: above this growing waits for a grace period; above half of it the
 * worker expedites one.
 */
size_t kmh_defer_limit(const struct kmheap *heap)
{
	return max(heap->defer.min_limit, (size_t)atomic_long_read(&heap->arena_bytes) / 8);
}

bool kmh_defer_excess(const struct kmheap *heap)
{
	return atomic_long_read(&heap->defer.pending) > (long)kmh_defer_limit(heap);
}

static bool kmh_defer_hurry(const struct kmheap *heap)
{
	return READ_ONCE(heap->defer.short_of_memory) ||
	       atomic_long_read(&heap->defer.pending) > (long)kmh_defer_limit(heap) / 2;
}

/* Add a CPU's share to the sum. */
noinline void kmh_defer_count_slow(struct kmheap *heap)
{
	struct kmh_mcache __percpu *mcache = READ_ONCE(heap->mcache);
	struct kmh_mcache __percpu *stub = (struct kmh_mcache __percpu *)heap->stubs;
	unsigned long bytes = this_cpu_xchg(mcache->deferred, 0);

	/* Spans that are older than the mcaches lead to the stub. */
	bytes += this_cpu_xchg(stub->deferred, 0);
	atomic_long_add(bytes, &heap->defer.pending);
	if (kmh_defer_hurry(heap) && !READ_ONCE(heap->defer.pressed)) {
		WRITE_ONCE(heap->defer.pressed, true);
		irq_work_queue(&heap->defer.kick);
	}
}

/* Count @bytes as pending. Preemption off; an interrupt in between counts for itself. */
static void kmh_defer_count(struct kmh_mspan *s, unsigned long bytes)
{
	if (unlikely(kmh_cpu_add_return(s->mcache->deferred, kmh_this_cpu_offset(), bytes) >
		     KMH_DEFER_SHARE))
		kmh_defer_count_slow(s->heap);
}

/* ---- one free */

/* @set is not empty: the worker has to come. */
static void kmh_defer_any(struct kmheap *heap, unsigned int set)
{
	if (READ_ONCE(heap->defer.any[set]))
		return;
	WRITE_ONCE(heap->defer.any[set], 1);
	irq_work_queue(&heap->defer.kick);
}

/* Note the first bit of a span in @set. The span's own flag, which others trust, is set last. */
static noinline void kmh_defer_dirty(struct kmh_mspan *s, unsigned int set)
{
	WRITE_ONCE(kmh_mspan_mcentral(s)->dirty[set], 1);
	kmh_defer_any(s->heap, set);
	smp_store_release(&s->dirty[set], 1);	/* pairs with the load in kmh_defer_slot() */
}

/*
 * Set a slot's bit in the set that is being filled; see the top of this file. @gen is the
 * generation as the caller has read it. Return: true when its set had the bit already.
 */
bool kmh_defer_slot(struct kmh_mspan *s, unsigned long slot, unsigned long gen)
{
	const unsigned long *now = &s->heap->defer.gen;
	unsigned long before;
	bool had = true;

	kmh_assert_pinned();
	do {
		before = gen;
		/*
		 * Fully ordered: the unlinking before the next read, and the bit before the
		 * span's flag. Whoever sets a bit counts it: the sweep takes each off once.
		 */
		if (likely(!kmh_defer_set(s, slot, gen))) {
			kmh_defer_count(s, s->elemsize);
			had = false;
		}
		/*
		 * Acquire: a CPU that sees the flag set knows that the class and the worker
		 * have been told.
		 */
		if (unlikely(!smp_load_acquire(&s->dirty[gen & 1])))
			kmh_defer_dirty(s, gen & 1);
		kmh_test_point("defer_slot: before the second look");
		gen = READ_ONCE(*now);
	} while (unlikely(gen != before));
	/*
	 * A full span that is on no list: the sweep has to find it, whatever becomes of this
	 * free. The bit before the home: pairs with the barrier in
	 * kmh_mcentral_settle_full().
	 */
	if (unlikely(atomic_read(&s->home) == KMH_HOME_FULL))
		kmh_inbox_announce(s);
	return had;
}

/*
 * Free the object at @addr, in a slot of a small span, after a grace period. The cell claims it, as
 * for any free; the deferred bit is the account that the sweep goes by. Context: any; preemption
 * off. Return: KMH_FREE_DOUBLE when it was not live.
 */
enum kmh_free_result kmh_mspan_defer(struct kmh_mspan *s, unsigned int slot, unsigned long addr)
{
	kmh_assert_pinned();
	kmh_test_point("free_rcu: before the claim");
	if (unlikely(!kmh_slot_claim_at(s, slot, addr, KMH_CELL_WAITS)))
		return KMH_FREE_DOUBLE;
	/* The bit may be left of an object that was deferred and freed at the same time. */
	if (unlikely(kmh_defer_slot(s, slot, READ_ONCE(s->heap->defer.gen))))
		kmh_misuse_twice(s->heap, addr, s->elemsize);
	return KMH_FREE_OK;
}

/*
 * Free an object of a tiny span after a grace period; @addr is its base and @block its block, as
 * kmh_tiny_extent() gives them. The object's own bit says at once that it is free; its block has
 * the deferred bit and is not used again before that has expired. Context: any; preemption off.
 * Return: KMH_FREE_DOUBLE when the object was not live.
 */
enum kmh_free_result kmh_tiny_defer(struct kmh_mspan *s, unsigned long addr, unsigned int block)
{
	kmh_assert_pinned();
	kmh_defer_slot(s, block, READ_ONCE(s->heap->defer.gen));
	return kmh_tiny_free(s, addr);
}

/*
 * Defer a large object that has been claimed. It goes on the list of its set, which the sweep
 * takes as a whole; the deferred bit only says that it waits.
 */
void kmh_defer_large(struct kmh_mspan *s)
{
	unsigned long gen;

	smp_mb();	/* the unlinking before the read */
	gen = READ_ONCE(s->heap->defer.gen);
	atomic_long_or(1, kmh_mspan_deferred(s, 0, gen & 1));
	kmh_defer_count(s, (unsigned long)s->npages << KMH_PAGE_SHIFT);
	llist_add(&s->node, &s->mheap->deferred[gen & 1]);
	kmh_defer_any(s->heap, gen & 1);
}

/* ---- the two sets; all under sweep.mutex */

/* Close the set that is being filled. The other one is empty, and is filled next. */
static void kmh_defer_close(struct kmheap *heap)
{
	struct kmh_defer *d = &heap->defer;

	lockdep_assert_held(&heap->sweep.mutex);
	WRITE_ONCE(d->any[!(d->gen & 1)], 0);
	smp_store_release(&d->gen, d->gen + 1);	/* any, gen: read the other way round */
	smp_mb();	/* gen, stamp: pairs with the barrier in kmh_defer_slot() */
	d->cookie = start_poll_synchronize_rcu();
	d->waiting = true;
}

/* Free large objects whose grace period is over. */
static void kmh_defer_release_large(struct kmheap *heap, unsigned int set)
{
	struct kmh_mspan *s, *next;
	struct kmh_node *node;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid))) {
		struct llist_node *all = llist_del_all(&node->mheap.deferred[set]);

		llist_for_each_entry_safe(s, next, all, node) {
			atomic_long_sub((unsigned long)s->npages << KMH_PAGE_SHIFT,
					&heap->defer.pending);
			atomic_long_set(kmh_mspan_deferred(s, 0, set), 0);
			if (trace_sweep_enabled())
				kmh_sweep_freed(heap, 1, kmh_slot_bytes(s));
			kmh_large_release(s);
			cond_resched();
		}
	}
}

/* The closed set's grace period is over: open a generation for it. */
static void kmh_defer_expire(struct kmheap *heap)
{
	struct kmh_defer *d = &heap->defer;
	unsigned int set = !(d->gen & 1);

	d->waiting = false;
	kmh_sweep_open(heap, KMH_SWEEP_SET0 + set);
	kmh_defer_release_large(heap, set);
}

/* Wait for the set that is closed; if none is, close one and wait for it. */
void kmh_defer_wait(struct kmheap *heap, bool expedite)
{
	struct kmh_defer *d = &heap->defer;

	if (!d->waiting)
		kmh_defer_close(heap);
	if (expedite) {
		atomic_long_inc(&d->expedited);
		cond_synchronize_rcu_expedited(d->cookie);
	} else {
		cond_synchronize_rcu(d->cookie);
	}
	kmh_defer_expire(heap);
	kmh_sweep_finish(heap);
}

/*
 * Do what can be done about deferred frees now. Context: process context; sleeps. heap->sweep.mutex
 * held. Return: in how many jiffies to call again; 0 when there is nothing to wait for.
 */
unsigned long kmh_defer_step(struct kmheap *heap)
{
	struct kmh_defer *d = &heap->defer;
	bool hurry;

	WRITE_ONCE(d->pressed, false);
	if (kmh_sweep_is_open(heap))
		return 1;
	if (!d->waiting) {
		if (!kmh_defer_filling(d))
			return 0;
		kmh_defer_close(heap);
	}
	hurry = kmh_defer_hurry(heap);
	if (hurry)
		WRITE_ONCE(d->short_of_memory, false);
	else if (!poll_state_synchronize_rcu(d->cookie))
		return 1;
	kmh_defer_wait(heap, hurry);
	if (kmh_sweep_is_open(heap) || (kmh_defer_filling(d) && kmh_defer_hurry(heap)))
		return 1;
	return kmh_defer_filling(d) ? KMH_DEFER_DELAY : 0;
}

/*
 * Too much is pending: get back what is now, the set that is closed and the one that is being
 * filled. What others defer meanwhile is not waited for, as that may never end. Context: process;
 * may wait for memory, and sleeps for two grace periods at most.
 */
void kmh_defer_relieve(struct kmheap *heap)
{
	unsigned int round;

	mutex_lock(&heap->sweep.mutex);
	kmh_sweep_finish(heap);
	for (round = 0; round < 2; round++) {
		if (kmh_sweep_is_open(heap) || !kmh_defer_excess(heap) ||
		    !(heap->defer.waiting || kmh_defer_filling(&heap->defer)))
			break;
		kmh_defer_wait(heap, true);
		if (!round)
			kmh_test_point("relief: after the first grace period");
		else
			kmh_test_point("relief: after the second grace period");
	}
	mutex_unlock(&heap->sweep.mutex);
}

/*
 * Memory is short: expedite the next grace period. Context: any; reclaim calls this often. Does not
 * wait: the worker does.
 */
void kmh_defer_press(struct kmheap *heap)
{
	struct kmh_defer *d = &heap->defer;

	if (atomic_long_read(&d->pending) < KMH_DEFER_WORTH || READ_ONCE(d->short_of_memory))
		return;
	WRITE_ONCE(d->short_of_memory, true);
	irq_work_queue(&d->kick);
}

/* Runs in a context that may wake a worker, whatever context the kick came from. */
static void kmh_defer_kicked(struct irq_work *kick)
{
	struct kmheap *heap = container_of(kick, struct kmheap, defer.kick);

	if (kmh_defer_hurry(heap))
		mod_delayed_work(kmh_wq, &heap->sweep.work, 0);
	else
		queue_delayed_work(kmh_wq, &heap->sweep.work, KMH_DEFER_DELAY);
}

void kmh_defer_init(struct kmheap *heap)
{
	size_t share = (size_t)totalram_pages() << PAGE_SHIFT >> 6;

	heap->defer.min_limit = min(KMH_DEFER_ROOM, share);
	init_irq_work(&heap->defer.kick, kmh_defer_kicked);
}
