// SPDX-License-Identifier: GPL-2.0
/*
 * Limits: how much a heap, and all heaps together, may take from the kernel.
 *
 * A hard limit is kept by booking (budget.c). Before a limit's refusal of an arena is final
 * everything that is empty goes back: what CPUs keep, arenas without a page in use, and arenas
 * that are on their way to the kernel already are waited for. That takes no lock that a grower
 * holds.
 *
 * A soft limit refuses nothing. When a heap grows past it its owner is told once, from a work
 * item; then, after each arena that the heap grows by, what is empty is given back.
 */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/sched/mm.h>
#include <linux/string.h>
#include <linux/wait.h>

#include "supply/limit.h"
#include "base/budget.h"
#include "base/param.h"
#include "heap.h"
#include "pages/arena.h"
#include "supply/giveback.h"

/* Time from an arena above the soft limit to giving back, when the owner has been told already. */
#define KMH_LIMIT_PAUSE		(HZ / 10)

atomic_long_t kmh_total_refusals;

/* ---- hard limits */

/* Bytes that have to go before @bytes can be booked; 0 when they can be booked now. */
static size_t kmh_excess(const atomic_long_t *booked, size_t bytes, size_t room)
{
	size_t want = atomic_long_read(booked) + bytes;

	return want > room ? want - room : 0;
}

static size_t kmh_heap_excess(const struct kmheap *heap, size_t bytes)
{
	return kmh_excess(&heap->arena_bytes, bytes, kmh_heap_room(heap, 0));
}

static size_t kmh_total_excess(size_t bytes)
{
	return kmh_excess(&kmh_total_bytes, bytes, kmh_total_room(0));
}

/* @tables come with the bytes, and are the module's. */
static size_t kmh_limit_excess(const struct kmheap *heap, size_t bytes, size_t tables)
{
	return max(kmh_heap_excess(heap, bytes), kmh_total_excess(bytes + tables));
}

/*
 * Can @bytes not be booked now, or not with @tables, which are the module's? Context: any.
 */
bool kmh_limit_forbids(const struct kmheap *heap, size_t bytes, size_t tables)
{
	return kmh_limit_excess(heap, bytes, tables);
}

/* Could an empty heap book @bytes? Reclaim does not wait, so for it nothing is worth trying. */
static bool kmh_limit_worth_it(const struct kmheap *heap, size_t bytes, size_t tables)
{
	return bytes <= kmh_heap_room(heap, 0) && bytes + tables <= kmh_total_room(0) &&
	       !(current->flags & PF_MEMALLOC);
}

/*
 * The first thing to try when a limit forbade an arena, of which the smallest that would do has
 * @bytes. What was in the way may have left since; then there is nothing to do but to try again.
 * Context: process context; sleeps. No lock held but the caller's own. Return: true when it is
 * worth trying again: pages may have become free.
 */
bool kmh_limit_drain(struct kmheap *heap, size_t bytes)
{
	if (!kmh_limit_worth_it(heap, bytes, 0))
		return false;
	if (kmh_limit_excess(heap, bytes, 0))
		kmh_heap_drain(heap);
	return true;
}

/*
 * Give back up to @bytes of other heaps than @heap; they keep what their workers would take
 * again. These heaps' ends wait for arenas that leave, so the arenas may be destroyed without
 * the mutex.
 */
static size_t kmh_limit_take_from_others(struct kmheap *heap, size_t bytes, bool drain)
{
	struct kmh_leavers which = { .spare = true };
	struct kmheap *other;
	LIST_HEAD(gone);
	size_t done = 0;

	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(other, &kmh_heaps, list) {
		if (other == heap)
			continue;
		if (drain)
			kmh_heap_drain(other);
		which.bytes = bytes - done;
		done += kmh_arenas_detach(other, &which, &gone);
		which.bytes = bytes - min(bytes, done);
		done += kmh_pages_return(other, &which);
		if (done >= bytes)
			break;
	}
	mutex_unlock(&kmh_heaps_mutex);
	kmh_arenas_finish(&gone, false);
	return done;
}

/*
 * Give back empty arenas, so that @bytes can be taken, with @tables of the module. At the module's
 * limit other heaps give arenas back as well, but only for callers that may wait for the holder of
 * the list of heaps; @gfp is the caller's, with its scope, and allows sleeping. Context: as for
 * kmh_limit_drain(). Return: true when it is worth trying again: the limits allow it now.
 */
bool kmh_limit_give_back(struct kmheap *heap, size_t bytes, size_t tables, gfp_t gfp)
{
	size_t excess;
	u64 turn;

	if (!kmh_limit_worth_it(heap, bytes, tables))
		return false;
	excess = kmh_limit_excess(heap, bytes, tables);
	if (excess)
		kmh_arenas_give_back(heap, &(struct kmh_leavers){ .bytes = excess }, NULL);
	excess = kmh_limit_excess(heap, bytes, tables);
	if (excess)
		kmh_pages_return(heap, &(struct kmh_leavers){ .bytes = excess });
	excess = kmh_total_excess(bytes + tables);
	if (excess && kmh_may_wait_fs(gfp) &&
	    kmh_limit_take_from_others(heap, excess, false) < excess) {
		excess = kmh_total_excess(bytes + tables);
		if (excess)
			kmh_limit_take_from_others(heap, excess, true);
	}
	turn = kmh_arenas_leaving_now();
	kmh_test_point("limit: arenas leave");
	wait_event(kmh_arena_left,
		   !kmh_limit_forbids(heap, bytes, tables) || kmh_arenas_have_left(turn));
	return !kmh_limit_forbids(heap, bytes, tables);
}

/*
 * Count a refusal: the heap's if its limit is exceeded now, or if the module has none, else the
 * module's. The module's limit may forbid more than @bytes, namely tables that come with them.
 */
void kmh_limit_refuse(struct kmheap *heap, size_t bytes)
{
	if (kmh_heap_excess(heap, bytes) || !READ_ONCE(kmh_total_limit))
		atomic_long_inc(&heap->limit.refusals);
	else
		atomic_long_inc(&kmh_total_refusals);
}

/*
 * kmh_heap_try_book_side() that makes room: empty arenas go when a limit is in the way; what CPUs
 * keep stays. The soft limit is looked at. Context: process context; sleeps. No lock held but the
 * caller's own. Return: false, and nothing booked, when a limit forbids it to the end.
 */
bool kmh_heap_book_side(struct kmheap *heap, size_t bytes)
{
	if (!kmh_heap_try_book_side(heap, bytes) &&
	    !(kmh_limit_give_back(heap, bytes, 0, current_gfp_context(GFP_KERNEL)) &&
	      kmh_heap_try_book_side(heap, bytes))) {
		kmh_limit_refuse(heap, bytes);
		return false;
	}
	kmh_limit_check(heap);
	return true;
}

/* ---- the soft limit */

static size_t kmh_limit_over(const struct kmheap *heap)
{
	size_t soft = READ_ONCE(heap->limit.soft_bytes), now = kmh_heap_footprint(heap);

	return soft && now > soft ? now - soft : 0;
}

/* The heap has grown, or its soft limit is a new one: is it exceeded? Context: process context. */
void kmh_limit_check(struct kmheap *heap)
{
	struct kmh_limit *l = &heap->limit;
	bool crossed = false;

	if (likely(!kmh_limit_over(heap)))
		return;
	kmh_test_point("soft limit: exceeded, before the lock");
	spin_lock(&l->lock);
	if (!l->over && l->soft_bytes) {
		WRITE_ONCE(l->over, true);
		l->due = true;
		crossed = true;
		atomic_long_inc(&l->soft_events);
	}
	spin_unlock(&l->lock);
	if (crossed)
		mod_delayed_work(kmh_wq, &l->work, 0);
	else
		queue_delayed_work(kmh_wq, &l->work, KMH_LIMIT_PAUSE);
}

/* Give back empty arenas, down to the soft limit; drain CPUs only when that is not enough. */
static void kmh_limit_scavenge(struct kmheap *heap)
{
	struct kmh_leavers which = { .spare = true, .who = KMH_WHO_SCAVENGER };
	unsigned int n, i;
	size_t done;

	for (i = 0; i < 2; i++) {
		which.bytes = kmh_limit_over(heap);
		if (!which.bytes)
			return;
		if (i)
			kmh_heap_drain(heap);
		done = kmh_arenas_give_back(heap, &which, &n);
		which.bytes = kmh_limit_over(heap);
		done += kmh_pages_return(heap, &which);
		kmh_scavenge_count(heap, done, n);
	}
}

static void kmh_limit_tell(struct kmheap *heap)
{
	struct kmh_limit *l = &heap->limit;
	kmheap_trim_fn trim = NULL;
	size_t over;
	void *data;

	spin_lock(&l->lock);
	over = kmh_limit_over(heap);
	if (l->due && l->trim && over) {
		trim = l->trim;
		data = l->data;
		WRITE_ONCE(l->trimmer, current);
	}
	/* It is no more, or was of a limit that has gone: the next crossing is told. */
	if (l->due && !over)
		WRITE_ONCE(l->over, false);
	l->due = false;
	spin_unlock(&l->lock);
	if (!trim)
		return;
	trim(heap, over, data);
	WRITE_ONCE(l->trimmer, NULL);
}

static void kmh_limit_work(struct work_struct *work)
{
	struct kmheap *heap = container_of(to_delayed_work(work), struct kmheap, limit.work);

	kmh_limit_tell(heap);
	kmh_limit_scavenge(heap);
}

/* ---- setting limits */

static int kmh_limit_valid(size_t bytes)
{
	return bytes && bytes < KMH_LIMIT_MIN_BYTES ? -EINVAL : 0;
}

/* Set the module's limit; 0 for none. Return: 0 or -EINVAL. */
int kmh_limit_set_total(size_t bytes)
{
	if (kmh_limit_valid(bytes))
		return -EINVAL;
	WRITE_ONCE(kmh_total_limit, bytes);
	return 0;
}

static int kmh_total_limit_set(const char *text, const struct kernel_param *kp)
{
	size_t bytes;

	if (!kmh_bytes_parse(text, &bytes) && !kmh_limit_set_total(bytes))
		return 0;
	pr_err("total_limit=%*pE: must be 0 (none) or at least %lu\n",
	       (int)strcspn(text, "\n"), text, KMH_LIMIT_MIN_BYTES);
	return -EINVAL;
}

static const struct kernel_param_ops kmh_total_limit_ops = {
	.set = kmh_total_limit_set,
	.get = kmh_bytes_get,
};
module_param_cb(total_limit, &kmh_total_limit_ops, &kmh_total_limit, 0644);
MODULE_PARM_DESC(total_limit,
		 "hard limit in bytes on the footprint of all heaps together: 0 for none (default), else at least 512 KiB");

/**
 * kmheap_set_limit() - set the hard limit of a heap
 * @heap: the heap; NULL for the default heap.
 * @bytes: of footprint; 0 for none.
 *
 * Nothing is taken away from a heap that has more: it does not grow until it has less.
 *
 * Context: Any.
 * Return: 0; -EINVAL for less than 512 KiB, with the limit unchanged.
 */
int kmheap_set_limit(struct kmheap *heap, size_t bytes)
{
	if (kmh_limit_valid(bytes))
		return -EINVAL;
	WRITE_ONCE(kmh_heap_or_default(heap)->limit_bytes, bytes);
	return 0;
}
EXPORT_SYMBOL_GPL(kmheap_set_limit);

/* Set the number; what was crossed before does not count any more. @l->lock is held. */
static void kmh_limit_set_soft_locked(struct kmh_limit *l, size_t bytes)
{
	lockdep_assert_held(&l->lock);
	WRITE_ONCE(l->soft_bytes, bytes);
	WRITE_ONCE(l->over, false);
	l->due = false;
}

/* Set the number alone; the owner's callback stays. Return: 0 or -EINVAL. */
int kmh_limit_set_soft(struct kmheap *heap, size_t bytes)
{
	struct kmh_limit *l = &heap->limit;

	if (kmh_limit_valid(bytes))
		return -EINVAL;
	spin_lock(&l->lock);
	kmh_limit_set_soft_locked(l, bytes);
	spin_unlock(&l->lock);
	kmh_limit_check(heap);
	return 0;
}

/**
 * kmheap_set_soft_limit() - be told when a heap grows past a footprint
 * @heap: the heap; NULL for the default heap.
 * @bytes: of footprint; 0 for none.
 * @trim: called when the heap is larger; NULL for no callback.
 * @data: passed to @trim.
 *
 * A soft limit refuses nothing. When the heap has grown past it, @trim(@heap, over, @data)
 * is called from a workqueue, where over is by how many bytes, and afterwards the heap gives
 * back what is empty, down to the limit if there is so much. It is called once: not again
 * before the footprint has been 1/16 below the limit, or the limit has been set anew. It may
 * sleep, allocate, free, shrink, and set limits, but not destroy the heap.
 *
 * When this returns, an earlier callback is over and will not be called again; called from
 * the callback itself it does not wait. So hold no lock that the callback takes.
 *
 * Context: Process context; sleeps.
 * Return: 0; -EINVAL for less than 512 KiB, with nothing changed.
 */
int kmheap_set_soft_limit(struct kmheap *heap, size_t bytes, kmheap_trim_fn trim, void *data)
{
	struct kmh_limit *l;

	might_sleep();
	if (kmh_limit_valid(bytes))
		return -EINVAL;
	heap = kmh_heap_or_default(heap);
	l = &heap->limit;
	spin_lock(&l->lock);
	kmh_limit_set_soft_locked(l, bytes);
	l->trim = bytes ? trim : NULL;
	l->data = data;
	spin_unlock(&l->lock);
	if (!kmh_limit_in_trim(l))
		flush_work(&l->work.work);
	kmh_limit_check(heap);
	return 0;
}
EXPORT_SYMBOL_GPL(kmheap_set_soft_limit);

/* ---- the heap comes and goes */

void kmh_limit_init(struct kmheap *heap)
{
	spin_lock_init(&heap->limit.lock);
	INIT_DELAYED_WORK(&heap->limit.work, kmh_limit_work);
}

/* From here on there is no callback. */
void kmh_limit_stop(struct kmheap *heap)
{
	struct kmh_limit *l = &heap->limit;

	spin_lock(&l->lock);
	kmh_limit_set_soft_locked(l, 0);
	l->trim = NULL;
	spin_unlock(&l->lock);
	cancel_delayed_work_sync(&l->work);
}

/* The heap grows no more. When this returns the arenas that others give back for it have gone. */
void kmh_limit_end(struct kmheap *heap)
{
	kmh_limit_stop(heap);	/* a grower may have asked when the limit went */
	wait_event(kmh_arena_left, !atomic_read(&heap->limit.nleaving));
}
