// SPDX-License-Identifier: GPL-2.0
/*
 * Memory is given back to the kernel: on request, under pressure, and as a last resort.
 *
 * In each case the ladder is that of giveback.c. The difference is how long the caller can wait.
 * kmheap_shrink() waits, for CPUs and for grace periods.
 *
 * The shrinker runs in whatever task has run out of memory, which may hold any lock, also
 * those of the growing side of this module. So it allocates nothing, and arenas_mutex, the
 * only lock that it shares with tasks that sleep, is only tried. It does not wait for grace
 * periods either: arenas are detached from the heap, an expedited grace period is started,
 * and the next scan, or a worker, gives them back (kmh_arenas_give_back_left_locked()). A scan
 * returns what it has detached, like the inode cache with inodes that RCU frees; reclaim is told
 * of progress (current->reclaim_state) when pages have really gone.
 *
 * The shrinker leaves a heap what the page heap keeps for callers that cannot sleep: these
 * pages are needed most when memory is short. The OOM notifier leaves nothing, and waits: the
 * next step is to kill.
 */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/sched.h>
#include <linux/swap.h>

#include "supply/shrink.h"
#include "base/backend.h"
#include "base/lock.h"
#include "cpu/depot.h"
#include "heap.h"
#include "pages/arena.h"
#include "supply/giveback.h"
#include "up.h"

/* Reclaim interrupts the CPUs at most so often for what they keep; it comes in bursts. */
#define KMH_SHRINK_PAUSE	DIV_ROUND_UP(HZ, 10)

/* Pages that a scan searches for empty spans in blocks that are partly in use; they come round. */
#define KMH_SHRINK_LOOK		4096UL

atomic_long_t kmh_shrunk_bytes;
atomic_long_t kmh_oom_bytes;

/* A page heap without a page in use has pages ahead, and a reserve, as in a new heap. */
static void kmh_shrink_begin_anew(struct kmh_mheap *mh)
{
	unsigned long flags;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	if (mh->pa.npages && mh->pa.npages == mh->pa.nfree) {
		WRITE_ONCE(mh->low_pages, min(mh->low_pages,
					      kmh_arena_low_pages(kmh_mheap_first_pages(mh))));
		WRITE_ONCE(mh->reserve.pages, mh->reserve.floor);
	}
	kmh_unlock_irqrestore(&mh->lock, flags);
}

/**
 * kmheap_shrink() - give unused memory back to the kernel
 * @heap: the heap; NULL for the default heap.
 *
 * Drains CPU caches, then central lists, then gives back every arena without a page in use, and of
 * blocks every page that is free. What a new heap begins with stays free, for callers that cannot
 * sleep: of blocks so many pages, of vmalloc areas one whole. Objects that wait for a grace period
 * (kmheap_free_rcu()) are not waited for: call kmheap_rcu_barrier() first.
 *
 * Context: Process context; sleeps.
 * Return: bytes given back.
 */
size_t kmheap_shrink(struct kmheap *heap)
{
	const struct kmh_leavers all = { .bytes = SIZE_MAX, .begun = true, .leaving = true,
					 .who = KMH_WHO_SHRINK };
	struct kmh_node *node;
	size_t bytes;
	int nid = -1;

	might_sleep();
	heap = kmh_heap_or_default(heap);
	if (kmh_heap_sanitized(heap))
		kmh_quarantine_drain(heap, 0);
	kmh_heap_drain(heap);
	bytes = kmh_arenas_give_back(heap, &all, NULL);
	bytes += kmh_pages_return(heap, &all);
	while ((node = kmh_next_node(heap, &nid)))
		kmh_shrink_begin_anew(&node->mheap);
	atomic_long_add(bytes, &heap->shrink.asked_bytes);
	atomic_long_add(bytes, &kmh_shrunk_bytes);
	return bytes;
}
EXPORT_SYMBOL_GPL(kmheap_shrink);

/* kmheap_shrink() for every heap. Context: process context; sleeps. Return: bytes. */
size_t kmh_shrink_all(void)
{
	struct kmheap *heap;
	size_t bytes = 0;

	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(heap, &kmh_heaps, list)
		bytes += kmheap_shrink(heap);
	mutex_unlock(&kmh_heaps_mutex);
	return bytes;
}

/* ---- under pressure */

/*
 * Drain what is in the way of giving memory of @mh back: of arenas that would be empty, and with
 * @pages of all blocks, whose pages go back one by one. Context: any that may sleep; under
 * arenas_mutex. A CPU that is in its section is passed over.
 */
static void kmh_shrink_drain_locked(struct kmheap *heap, struct kmh_mheap *mh, bool pages)
{
	struct kmh_arena *a;
	unsigned long page;

	kmh_depots_drain(heap);
	kmh_mcache_visit(heap, kmh_mcache_drain_locked, kmh_mcache_holds_any);
	kmh_depots_drain(heap);		/* what CPUs have given meanwhile */
	kmh_largestore_drain(heap);
	kmh_sweep_announced(heap);
	list_for_each_entry(a, &heap->arenas, list) {
		if (a->mheap != mh ||
		    !((pages && kmh_arena_gives_pages(a, mh)) || kmh_arena_empties(a)))
			continue;
		for (page = 0; page < a->npages; page = kmh_scavenge_pages(a, page))
			cond_resched();
	}
	kmh_mheap_drain_pending(mh);
}

/* True once in KMH_SHRINK_PAUSE; for two callers at once it may be true, which does no harm. */
static bool kmh_shrink_may_drain(struct kmheap *heap)
{
	struct kmh_shrink *sh = &heap->shrink;

	if (time_before(jiffies, READ_ONCE(sh->not_before)))
		return false;
	WRITE_ONCE(sh->not_before, jiffies + KMH_SHRINK_PAUSE);
	return true;
}

/*
 * What would a scan find? Counts arenas without a page in use, and those whose pages are all kept
 * by CPUs and lists, which the scan drains; but not what is left for callers that cannot sleep.
 * Objects that wait for a grace period do not count, but from here on wait no longer than an
 * expedited one. Context: reclaim. Return: pages of the kernel; SHRINK_EMPTY for none, 0 when that
 * cannot be told now.
 */
static unsigned long kmh_shrink_count(struct shrinker *s, struct shrink_control *sc)
{
	struct kmheap *heap = kmh_shrinker_data(s);
	struct kmh_mheap *mh = &kmh_heap_node(heap, sc->nid)->mheap;
	size_t bytes;

	if (mh->nid != sc->nid)	/* a memoryless node */
		return SHRINK_EMPTY;
	kmh_defer_press(heap);
	if (!mutex_trylock(&heap->arenas_mutex))
		return 0;
	bytes = kmh_arenas_count_spare_locked(mh);
	mutex_unlock(&heap->arenas_mutex);
	return bytes ? bytes >> PAGE_SHIFT : SHRINK_EMPTY;
}

/*
 * Detach arenas, and return pages of blocks; the bytes of the latter, which the kernel has already,
 * are added to *@returned. Return: bytes.
 */
static size_t kmh_shrink_take_locked(struct kmh_mheap *mh, size_t bytes, size_t *returned,
				     struct list_head *gone)
{
	struct kmh_leavers which = { .bytes = bytes, .spare = true, .mheap = mh,
				     .who = KMH_WHO_SHRINKER };
	size_t done, pages;

	done = kmh_arenas_detach_locked(mh->heap, &which, gone);
	which.bytes = bytes - min(bytes, done);
	pages = kmh_pages_return_locked(mh->heap, &which);
	*returned += pages;
	return done + pages;
}

/* Make pages of what is kept in @mh; CPUs are asked only if something there would be spare. */
static void kmh_shrink_make_locked(struct kmh_mheap *mh)
{
	if (kmh_arenas_count_spare_locked(mh))
		kmh_shrink_drain_locked(mh->heap, mh, false);
	else
		kmh_depots_drain(mh->heap);
	if (mh->heap->backing != KMH_BACKING_AREA)
		kmh_scavenge_some_locked(mh, KMH_SHRINK_LOOK);
	kmh_mheap_drain_pending(mh);
}

/* What a scan does. @returned: as for kmh_shrink_take_locked(). Return: bytes. */
static size_t kmh_shrink_scan_locked(struct kmheap *heap, struct kmh_mheap *mh, size_t bytes,
				     size_t *returned)
{
	LIST_HEAD(gone);
	size_t done;

	done = kmh_shrink_take_locked(mh, bytes, returned, &gone);
	if (done < bytes && kmh_shrink_may_drain(heap)) {
		kmh_shrink_make_locked(mh);
		done += kmh_shrink_take_locked(mh, bytes - done, returned, &gone);
	}
	kmh_arenas_finish_later_locked(heap, &gone);
	return done;
}

/*
 * Detach arenas. Context: reclaim. Return: pages of the kernel that are detached and go back after
 * a grace period; SHRINK_STOP when nothing can be done now.
 */
static unsigned long kmh_shrink_scan(struct shrinker *s, struct shrink_control *sc)
{
	struct kmheap *heap = kmh_shrinker_data(s);
	struct kmh_mheap *mh = &kmh_heap_node(heap, sc->nid)->mheap;
	size_t done, gone, returned = 0;

	if (mh->nid != sc->nid || !mutex_trylock(&heap->arenas_mutex))
		return SHRINK_STOP;
	gone = kmh_arenas_give_back_left_locked(heap);
	done = kmh_shrink_scan_locked(heap, mh, sc->nr_to_scan << PAGE_SHIFT, &returned);
	mutex_unlock(&heap->arenas_mutex);
	if (current->reclaim_state)
		kmh_reclaimed(current->reclaim_state) += (gone + returned) >> PAGE_SHIFT;
	atomic_long_add(done, &heap->shrink.reclaimed_bytes);
	if (!done)
		return SHRINK_STOP;
	sc->nr_scanned = done >> PAGE_SHIFT;
	return done >> PAGE_SHIFT;
}

/* Context: process context; sleeps. Return: 0 or -ENOMEM. */
int kmh_shrink_register(struct kmheap *heap)
{
	if (kmh_backend_should_fail())
		return -ENOMEM;
	heap->shrink.not_before = jiffies;
	heap->shrink.shrinker = kmh_shrinker_create(heap->name, kmh_shrink_count, kmh_shrink_scan,
						    heap);
	return heap->shrink.shrinker ? 0 : -ENOMEM;
}

/*
 * When this returns no scan is under way; arenas that scans have detached are for
 * kmh_arenas_leave_stop().
 */
void kmh_shrink_unregister(struct kmheap *heap)
{
	if (heap->shrink.shrinker)
		kmh_shrinker_destroy(heap->shrink.shrinker);
	heap->shrink.shrinker = NULL;
}

/* ---- the last resort */

/* Return: bytes that have gone already; others go with the arenas in @gone. */
static size_t kmh_oom_take(struct kmheap *heap, struct list_head *gone)
{
	const struct kmh_leavers all = { .bytes = SIZE_MAX, .leaving = true,
					 .who = KMH_WHO_OOM };
	struct kmh_node *node;
	size_t bytes;
	int nid = -1;

	if (!mutex_trylock(&heap->arenas_mutex))
		return 0;
	while ((node = kmh_next_node(heap, &nid)))
		kmh_shrink_drain_locked(heap, &node->mheap, true);
	kmh_arenas_detach_locked(heap, &all, gone);
	bytes = kmh_pages_return_locked(heap, &all);
	mutex_unlock(&heap->arenas_mutex);
	return bytes;
}

/*
 * Give back everything that no object needs, of all heaps, what reclaim has detached before and
 * could not wait for, and the memory of heaps that have ended. Context: process context, any lock
 * held; sleeps for an expedited grace period or two. Return: pages of the kernel that have been
 * given back.
 */
unsigned long kmh_shrink_oom(void)
{
	struct kmheap *heap;
	size_t bytes = 0;
	LIST_HEAD(gone);

	if (!mutex_trylock(&kmh_heaps_mutex))	/* its holder may be waiting for us */
		return 0;
	list_for_each_entry(heap, &kmh_heaps, list)
		bytes += kmh_oom_take(heap, &gone);
	bytes += kmh_arenas_finish(&gone, true);
	bytes += kmh_ended_reap();
	mutex_unlock(&kmh_heaps_mutex);
	atomic_long_add(bytes, &kmh_oom_bytes);
	return bytes >> PAGE_SHIFT;
}

static int kmh_oom_notify(struct notifier_block *nb, unsigned long unused, void *freed)
{
	*(unsigned long *)freed += kmh_shrink_oom();
	return NOTIFY_OK;
}

static struct notifier_block kmh_oom_nb = { .notifier_call = kmh_oom_notify };

int kmh_shrink_init(void)
{
	return register_oom_notifier(&kmh_oom_nb);
}

void kmh_shrink_exit(void)
{
	unregister_oom_notifier(&kmh_oom_nb);
}
