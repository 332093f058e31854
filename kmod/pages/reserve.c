// SPDX-License-Identifier: GPL-2.0
/*
 * The reserve: free pages for callers that cannot sleep.
 *
 * A caller that can sleep leaves the reserve alone and grows the heap instead, like callers
 * below the kernel's own watermarks. When less is free than the reserve and what is grown
 * ahead (mh->low_pages) the worker refills.
 *
 * How deep the reserve has to be is measured: @drawn is what callers that cannot sleep have
 * taken since the worker last found everything there, that is, while the worker was on its
 * way, and the reserve is made twice that. A refusal doubles the reserve as well. So a heap
 * without such callers, or with few, has no reserve. A reserve that has not been needed for a
 * while is halved.
 *
 * A burst that comes before anything has been learned finds what the owner has asked for with
 * kmheap_set_reserve(): from that call on the reserve is never less deep.
 *
 * Pages are of use only in runs. In a reserve that is deep enough for a burst one run is as
 * long as the reserve, so that the burst finds what it wants, whatever objects it consists
 * of.
 */
#include <linux/export.h>
#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/preempt.h>
#include <linux/sizes.h>

#include "pages/reserve.h"
#include "base/lock.h"
#include "base/param.h"
#include "heap.h"
#include "span/spanpool.h"

/* This share of a heap's limit is in reserve at most. */
#define KMH_RESERVE_LIMIT_SHARE	8

unsigned int kmh_reserve_max_kib = 8192;

static struct kmh_param_number kmh_reserve_max_param = {
	.value = &kmh_reserve_max_kib, .narrow = true, .unit = KMH_PARAM_KIB,
	.most = KMH_RESERVE_MOST_KIB,
};
module_param_cb(reserve_max_kib, &kmh_number_param_ops, &kmh_reserve_max_param, 0644);
MODULE_PARM_DESC(reserve_max_kib,
		 "KiB of free pages that a heap keeps on a node at most for callers that cannot sleep (default 8192, at most 1048576; 0: none)");

/* Count a span that a caller that cannot sleep has got. Context: any. */
void kmh_reserve_served(struct kmheap *heap)
{
	atomic_long_inc(&heap->reserve.served[kmh_context_now()]);
}

static unsigned long kmh_reserve_max(const struct kmh_mheap *mh)
{
	unsigned long most = READ_ONCE(kmh_reserve_max_kib) >> (KMH_PAGE_SHIFT - 10);
	size_t limit = READ_ONCE(mh->heap->limit_bytes);

	if (limit)
		most = min(most, limit / KMH_RESERVE_LIMIT_SHARE >> KMH_PAGE_SHIFT);
	return max(most, mh->reserve.floor);
}

/**
 * kmh_reserve_draw_locked() - a caller that cannot sleep wants pages
 * @mh: the page heap, locked.
 * @npages: how many.
 * @served: the caller has got them.
 *
 * Return: true when the worker is to refill.
 */
bool kmh_reserve_draw_locked(struct kmh_mheap *mh, unsigned long npages, bool served)
{
	struct kmh_reserve *r = &mh->reserve;
	unsigned long ready = mh->low_pages + r->pages, want;

	lockdep_assert_held(&mh->lock);
	/* The worker does not refill now, so nothing can be learned. */
	if (time_before(jiffies, READ_ONCE(mh->ahead_after)))
		return false;
	r->drawn += npages;
	if (served && 4 * r->drawn <= ready)
		return false;
	r->used = jiffies;
	want = 2 * r->drawn;
	if (!served && !r->raised) {
		r->raised = true;
		want = max(want, 2 * ready);
	}
	if (want > ready) {
		want = min(want - mh->low_pages, kmh_reserve_max(mh));
		WRITE_ONCE(r->pages, max(r->pages, want));
		WRITE_ONCE(r->peak, max(r->peak, r->pages));
	}
	return true;
}

/*
 * Length of the run that has to be free; 0 without a reserve. No dedicated arena is taken for it,
 * nor is it longer than the heap can have one.
 */
unsigned long kmh_reserve_run(const struct kmh_mheap *mh)
{
	unsigned long run = min(READ_ONCE(mh->reserve.pages),
				kmh_arena_bytes / 2 >> KMH_PAGE_SHIFT);

	return mh->heap->backing == KMH_BACKING_LINEAR ?
		       min(run, (unsigned long)KMH_BLOCK_MAX_PAGES) : run;
}

/*
 * The worker has found everything there, or cannot get it. @drawn is what had been drawn when it
 * began: what was drawn since is for its next run.
 */
void kmh_reserve_refilled(struct kmh_mheap *mh, unsigned long drawn)
{
	unsigned long flags;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	mh->reserve.drawn -= drawn;
	if (drawn)
		mh->reserve.raised = false;
	kmh_unlock_irqrestore(&mh->lock, flags);
	if (READ_ONCE(mh->reserve.pages))
		queue_delayed_work(kmh_wq, &mh->reserve.decay, KMH_RESERVE_DECAY);
}

/**
 * kmh_reserve_decay() - halve a reserve that has not been needed for a while
 * @mh: the page heap.
 *
 * Context: Process context.
 * Return: true when some of it is left.
 */
bool kmh_reserve_decay(struct kmh_mheap *mh)
{
	struct kmh_reserve *r = &mh->reserve;
	unsigned long flags, left;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	if (time_after_eq(jiffies, r->used + KMH_RESERVE_DECAY))
		WRITE_ONCE(r->pages, max(r->pages / 2, r->floor));
	/* The parameter may have been set to less. */
	WRITE_ONCE(r->pages, min(r->pages, kmh_reserve_max(mh)));
	left = r->pages - r->floor;
	kmh_unlock_irqrestore(&mh->lock, flags);
	kmh_kick_ask(&mh->heap->scavenge.kick);
	return left;
}

static void kmh_reserve_work(struct work_struct *work)
{
	struct kmh_mheap *mh = container_of(to_delayed_work(work), struct kmh_mheap,
					    reserve.decay);

	if (kmh_reserve_decay(mh))
		queue_delayed_work(kmh_wq, &mh->reserve.decay, KMH_RESERVE_DECAY);
}

void kmh_reserve_init(struct kmh_mheap *mh)
{
	INIT_DELAYED_WORK(&mh->reserve.decay, kmh_reserve_work);
}

/* Stop the timer. The worker that starts it has been stopped. */
void kmh_reserve_stop(struct kmh_mheap *mh)
{
	cancel_delayed_work_sync(&mh->reserve.decay);
}

/* ---- the owner's reserve */

static void kmh_reserve_set_floor(struct kmh_mheap *mh, unsigned long pages)
{
	struct kmh_reserve *r = &mh->reserve;
	unsigned long flags;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	r->before = r->pages;
	if (pages < r->floor)	/* what has been learned beside it stays */
		WRITE_ONCE(r->pages, r->pages - (r->floor - pages));
	WRITE_ONCE(r->floor, pages);
	WRITE_ONCE(r->pages, max(r->pages, pages));
	WRITE_ONCE(r->peak, max(r->peak, r->pages));
	r->set = r->pages;
	kmh_unlock_irqrestore(&mh->lock, flags);
	queue_delayed_work(kmh_wq, &r->decay, KMH_RESERVE_DECAY);	/* it may be less now */
}

/*
 * Undo the last kmh_reserve_set_floor(), before which the floor was @pages: what had been learned
 * counts again, or what has been learned since if that is more.
 */
static void kmh_reserve_restore_floor(struct kmh_mheap *mh, unsigned long pages)
{
	struct kmh_reserve *r = &mh->reserve;
	unsigned long flags;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	WRITE_ONCE(r->floor, pages);
	WRITE_ONCE(r->pages, r->pages > r->set ? max(r->pages, r->before) : r->before);
	kmh_unlock_irqrestore(&mh->lock, flags);
}

/* Keep descriptors for as many spans as the floors of all nodes have pages. */
static void kmh_reserve_keep_spans(struct kmheap *heap)
{
	unsigned long nspans = 0;
	int nid = -1;

	while (kmh_next_node(heap, &nid))
		nspans += heap->reserve.floor;
	kmh_mspan_pools_keep((long)nspans - (long)heap->reserve.nspans);
	heap->reserve.nspans = nspans;
}

/*
 * Set the floor of each node, and of descriptors for as many spans. One caller at a time. Return:
 * the floor before.
 */
unsigned long kmh_reserve_set_floors(struct kmheap *heap, unsigned long pages)
{
	unsigned long before = heap->reserve.floor;
	struct kmh_node *node;
	int nid = -1;

	WRITE_ONCE(heap->reserve.floor, pages);
	kmh_reserve_keep_spans(heap);
	while ((node = kmh_next_node(heap, &nid)))
		kmh_reserve_set_floor(&node->mheap, pages);
	return before;
}

/* Undo kmh_reserve_set_floors(), which returned @pages. */
void kmh_reserve_restore_floors(struct kmheap *heap, unsigned long pages)
{
	struct kmh_node *node;
	int nid = -1;

	WRITE_ONCE(heap->reserve.floor, pages);
	kmh_reserve_keep_spans(heap);
	while ((node = kmh_next_node(heap, &nid)))
		kmh_reserve_restore_floor(&node->mheap, pages);
}

/* The heap ends: its floor does not count any more. */
void kmh_reserve_forget(struct kmheap *heap)
{
	kmh_mspan_pools_keep(-(long)heap->reserve.nspans);
}
