// SPDX-License-Identifier: GPL-2.0
/*
 * The page heap of one node: spans from pages. Pages come from arenas: grow.c.
 *
 * After Go's mheap (src/runtime/mheap.go: allocSpan, freeSpanLocked).
 */
#include "pages/mheap.h"
#include "base/backend.h"
#include "base/kick.h"
#include "base/lock.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/arenamap.h"
#include "span/spanpool.h"
#include "up.h"

/*
 * Wake the worker to grow, unless that has just failed; for callers that can sleep (not @atomic)
 * also unless it has just found that memory is short and that nobody else wants pages. Context:
 * any. Return: does it come?
 */
bool kmh_mheap_kick(struct kmh_mheap *mh, bool atomic)
{
	if (time_before(jiffies, READ_ONCE(mh->ahead_after)) ||
	    (!atomic && time_before(jiffies, READ_ONCE(mh->low_after))))
		return false;
	irq_work_queue(&mh->kick);
	return true;
}

/*
 * No run of @npages was found. Remember its length and wake the grow worker, so that the next
 * caller that cannot sleep finds one. Dedicated arenas are never grown ahead.
 */
static void kmh_mheap_miss_locked(struct kmh_mheap *mh, unsigned long npages)
{
	lockdep_assert_held(&mh->lock);
	if (kmh_wants_own_arena(npages))
		return;
	WRITE_ONCE(mh->missed_pages, max(mh->missed_pages, npages));
	kmh_mheap_kick(mh, false);
}

/* Give back the pages of a span that is in no map any more. */
static void kmh_mheap_free_span_locked(struct kmh_mheap *mh, struct kmh_mspan *s)
{
	struct kmh_arena *a = s->arena;

	lockdep_assert_held(&mh->lock);
	if (unlikely(a->lost))
		return;
	if (!kmh_pa_free(kmh_arena_pa(a), &a->range, s->base >> KMH_PAGE_SHIFT, s->npages))
		kmh_report_broken(s, "pages of a span were not in use");
	if (a->dedicated && a->range.nfree == kmh_parange_held(&a->range)) {
		WRITE_ONCE(a->served, true);
		irq_work_queue(&mh->kick);
	}
}

static void kmh_mheap_put_span(struct kmh_mheap *mh, struct kmh_mspan *s)
{
	kmh_heap_account_metadata(mh->heap, -(long)kmh_mspan_bytes(s));
	kmh_mspan_put(s);
}

/* Free the spans whose free found the lock taken. Bounded by their number, which is small. */
static void kmh_mheap_drain_pending_locked(struct kmh_mheap *mh)
{
	struct llist_node *n = llist_empty(&mh->pending) ? NULL : llist_del_all(&mh->pending);
	struct kmh_mspan *s, *next;

	lockdep_assert_held(&mh->lock);
	llist_for_each_entry_safe(s, next, n, node) {
		kmh_mheap_free_span_locked(mh, s);
		kmh_mheap_put_span(mh, s);
	}
}

void kmh_mheap_drain_pending(struct kmh_mheap *mh)
{
	unsigned long flags;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	kmh_mheap_drain_pending_locked(mh);
	kmh_unlock_irqrestore(&mh->lock, flags);
}

/* The pages that are wanted, and by whom. */
struct kmh_page_want {
	unsigned long npages;
	unsigned long align;
	bool atomic;			/* a caller that cannot sleep */
};

struct kmh_page_run {
	struct kmh_parange *range;
	unsigned long page;
	bool zeroed;
};

static bool kmh_mheap_take_pages_locked(struct kmh_mheap *mh, const struct kmh_page_want *want,
					struct kmh_page_run *run)
{
	struct kmh_pagealloc *pa = kmh_mheap_pa(mh, want->npages);

	lockdep_assert_held(&mh->lock);
	/* The reserve is not for callers that can sleep. */
	if (!want->atomic && pa == &mh->pa && pa->nfree < want->npages + mh->reserve.pages)
		return false;
	if (!pa || !kmh_pa_alloc(pa, want->npages, want->align, &run->range, &run->page))
		return false;
	run->zeroed = kmh_arena_use_pages(kmh_range_arena(run->range), run->page, want->npages);
	return true;
}

/*
 * Is this for a caller that can sleep and that gets an arena made to measure? For those
 * nothing is grown ahead: an arena that came ahead would be left over.
 */
static bool kmh_want_is_measured(const struct kmh_page_want *want)
{
	return !want->atomic && kmh_is_long_run(want->npages) && want->align == 1;
}

/* Wake the worker if pages run out. @last: no page will be freed for the caller. */
static void kmh_mheap_watch_locked(struct kmh_mheap *mh, const struct kmh_page_want *want,
				   bool ok, bool last)
{
	lockdep_assert_held(&mh->lock);
	if (want->atomic && (ok || last) && !kmh_wants_own_arena(want->npages) &&
	    kmh_reserve_draw_locked(mh, want->npages + want->align - 1, ok))
		kmh_mheap_kick(mh, true);
	else if (!kmh_want_is_measured(want) &&
		 kmh_mheap_nfree(mh) < mh->low_pages + mh->reserve.pages)
		kmh_mheap_kick(mh, false);
}

/* Take pages out of the page heap; @pc, if not NULL and empty, is filled as well. */
static bool kmh_mheap_find_pages(struct kmh_mheap *mh, struct kmh_pagecache *pc,
				 const struct kmh_page_want *want, bool last,
				 struct kmh_page_run *run)
{
	unsigned long flags;
	bool ok;

	if (!kmh_lock_irqsave(&mh->lock, flags))
		return false;
	kmh_test_point("under the lock of a page heap");
	kmh_mheap_drain_pending_locked(mh);
	ok = kmh_mheap_take_pages_locked(mh, want, run);
	if (!ok && last && !kmh_want_is_measured(want))
		kmh_mheap_miss_locked(mh, want->npages + want->align - 1);
	if (ok && pc)
		kmh_pagecache_fill_locked(mh, pc);
	mh->peak_pages = max(mh->peak_pages, mh->pa.npages - mh->pa.nfree);
	kmh_mheap_watch_locked(mh, want, ok, last);
	kmh_unlock_irqrestore(&mh->lock, flags);
	return ok;
}

/*
 * How often a search for a run turns some parked spans into pages, about 32 each time, before it
 * gives up: the caller may have interrupts off. Who can sleep empties the store then.
 */
#define KMH_DRAINS_MOST		32U

static bool kmh_mheap_get_pages(struct kmh_mheap *mh, struct kmh_mcache *mc,
				const struct kmh_page_want *want, struct kmh_page_run *run)
{
	struct kmh_pagecache *pc = mc ? &mc->pages : NULL;
	unsigned int tries = KMH_DRAINS_MOST;

	if (want->npages > KMH_PAGECACHE_RUN || want->align > 1)
		pc = NULL;
	if (pc && kmh_pagecache_alloc(pc, want->npages, &run->page)) {
		run->range = pc->range;
		run->zeroed = false;
		return true;
	}
	do {
		if (likely(kmh_mheap_find_pages(mh, pc, want, false, run)))
			return true;
	} while (tries-- && kmh_largecache_drain_for(mh, mc, want->npages));
	return kmh_mheap_find_pages(mh, pc, want, true, run);
}

/*
 * Get a descriptor. A caller that can sleep leaves a pool alone of which callers that cannot
 * have run short (kmh_mspan_pools_short()), and refills it. One that cannot may have those of the
 * owner's reserve.
 */
static struct kmh_mspan *kmh_mheap_get_span(struct kmh_mheap *mh, unsigned int spanclass,
					    bool atomic)
{
	struct kmh_mspan *s = NULL;

	if (atomic && READ_ONCE(mh->reserve.floor))
		s = kmh_mspan_get_kept(spanclass);
	else if (atomic || !kmh_mspan_pools_short(spanclass))
		s = kmh_mspan_get(spanclass);
	if (!s || (atomic && kmh_mspan_pools_draw(spanclass)))
		kmh_mheap_kick(mh, atomic);
	return s;
}

/* Make @s the span of pages of @a that are the caller's, and publish it. */
static __always_inline void kmh_mheap_set_span(struct kmh_mheap *mh, struct kmh_mspan *s,
					       unsigned int spanclass, struct kmh_arena *a,
					       unsigned long page, unsigned long npages)
{
	WRITE_ONCE(s->heap, mh->heap);
	WRITE_ONCE(s->mheap, mh);
	WRITE_ONCE(s->nid, mh->nid);
	WRITE_ONCE(s->arena, a);
	WRITE_ONCE(s->mcache, READ_ONCE(mh->heap->mcache));
	kmh_mspan_init(s, spanclass, page << KMH_PAGE_SHIFT, npages);
	kmh_arenamap_set(page, npages, s);
	kmh_heap_account_metadata(mh->heap, kmh_mspan_bytes(s));
}

/* Make @s the span of all of @a, for kmheap_alloc_user(); it has yet to be dated. */
void kmh_mheap_set_user_span(struct kmh_mheap *mh, struct kmh_mspan *s, struct kmh_arena *a)
{
	kmh_mheap_set_span(mh, s, KMH_SPANCLASS_LARGE, a, a->first, a->npages);
}

/*
 * Give up a span of a lost arena (lost_arena.c) that has become an object's, or ready for objects,
 * just now. A lost arena's spans are withdrawn after it has been marked, so with a full barrier
 * after what the caller has written either that finds the span as it is now, or this finds the
 * mark. The entries of the map stay, and with them the descriptor, until the heap ends. Context:
 * any. Return: false, and nothing done, when the arena is the heap's.
 */
bool kmh_mheap_give_up_lost(struct kmh_mspan *s)
{
	if (likely(!READ_ONCE(s->arena->lost)))
		return false;
	WRITE_ONCE(s->nfast, 0);
	WRITE_ONCE(s->state, KMH_SPAN_GONE);
	return true;
}

/*
 * Make @s the span of a run that is the caller's. Return: false when the arena has been lost since
 * the run was found; then the descriptor is not the caller's any more.
 */
static bool kmh_mheap_publish(struct kmh_mheap *mh, struct kmh_mspan *s, unsigned int spanclass,
			      const struct kmh_page_run *run, unsigned long npages)
{
	struct kmh_arena *a = kmh_range_arena(run->range);

	/* Its addresses may be another arena's by now. */
	if (unlikely(READ_ONCE(a->lost))) {
		kmh_mspan_put(s);
		return false;
	}
	kmh_test_point("a span is published");
	kmh_mheap_set_span(mh, s, spanclass, a, run->page, npages);
	smp_mb__after_atomic();	/* trip, phase; span, lost: the booking is an atomic addition */
	if (spanclass != KMH_SPANCLASS_LARGE)
		kmh_mcentral_date_span(s);
	return likely(!kmh_mheap_give_up_lost(s));
}

/*
 * A span of fresh pages. @mc: the mcache in whose section the caller is, or NULL. @align:
 * alignment of its first page's number, a power of two. @atomic: for a caller that cannot sleep,
 * from the reserve, too. @zeroed: where to say whether every byte is known to be zero, or NULL.
 *
 * Context: any; on a trip but for a large object. In NMI locks are only tried. Return: the span,
 * published, home CACHED; NULL when there are no pages or no descriptor (the grow worker has been
 * told), or a lock was taken. A span for a large object has yet to be dated. Of a lost arena a run
 * is found once at most, as it has left the page heap, but for those in a page cache.
 */
struct kmh_mspan *kmh_mheap_alloc_span(struct kmh_mheap *mh, struct kmh_mcache *mc,
				       unsigned int spanclass, unsigned long npages,
				       unsigned long align, bool atomic, bool *zeroed)
{
	struct kmh_page_want want = { .npages = npages, .align = align, .atomic = atomic };
	struct kmh_page_run run;
	struct kmh_mspan *s;

	for (;;) {
		s = kmh_mheap_get_span(mh, spanclass, atomic);
		if (!s)
			return NULL;
		if (!kmh_mheap_get_pages(mh, mc, &want, &run)) {
			kmh_mspan_put(s);
			return NULL;
		}
		if (likely(kmh_mheap_publish(mh, s, spanclass, &run, npages)))
			break;
		if (mc)
			kmh_pagecache_forget_lost(&mc->pages);
	}
	if (atomic)
		kmh_reserve_served(mh->heap);
	if (zeroed)
		*zeroed = run.zeroed;
	return s;
}

/*
 * Give back a span without live objects, with home CACHED, without an owner, and on no list. Never
 * waits: when the lock is taken the span is left on a lock-free list that the next allocation of
 * pages drains, or else the worker. Context: any.
 */
void kmh_mheap_free_span(struct kmh_mspan *s)
{
	unsigned long page = (s->base >> KMH_PAGE_SHIFT) - s->arena->first, flags;
	struct kmh_mheap *mh = s->mheap;

	if (unlikely(READ_ONCE(s->arena->lost)))
		return;		/* lost_arena.c has its descriptor */
	kmh_kick_ask(&mh->heap->scavenge.kick);
	clear_bit(page, s->arena->page_inuse);
	if (unlikely(test_bit(page, s->arena->page_marks)))
		clear_bit(page, s->arena->page_marks);
	/* Before the lock: the span is the caller's, and may have 131072 pages. */
	kmh_arenamap_replace(s->base >> KMH_PAGE_SHIFT, s->npages, s, mh->heap->freed);
	if (!kmh_trylock_irqsave(&mh->lock, flags)) {
		llist_add(&s->node, &mh->pending);
		irq_work_queue(&mh->kick);
		return;
	}
	kmh_mheap_free_span_locked(mh, s);
	kmh_unlock_irqrestore(&mh->lock, flags);
	kmh_mheap_put_span(mh, s);
}

void kmh_mheap_init(struct kmh_mheap *mh, struct kmheap *heap, int nid)
{
	raw_spin_lock_init(&mh->lock);
	kmh_pa_init(&mh->pa);
	init_llist_head(&mh->pending);
	kmh_largestore_init(&mh->store);
	init_llist_head(&mh->deferred[0]);
	init_llist_head(&mh->deferred[1]);
	init_llist_head(&mh->held);
	mh->heap = heap;
	mh->nid = nid;
	kmh_reserve_init(mh);
}

/*
 * Make the index of dedicated arenas, for most heaps never have one. Limits have counted it since
 * the heap was made. Context: process context; sleeps, as @gfp must allow. Return: 0 or -ENOMEM.
 */
int kmh_mheap_make_own_pa(struct kmh_mheap *mh, gfp_t gfp)
{
	struct kmh_pagealloc *pa;
	unsigned long flags;

	if (READ_ONCE(mh->own_pa))
		return 0;
	pa = kmh_backend_zalloc(sizeof(*pa), gfp, mh->nid);
	if (!pa)
		return -ENOMEM;
	kmh_pa_init(pa);
	kmh_wait_lock_irqsave(&mh->lock, flags);
	if (!mh->own_pa) {
		WRITE_ONCE(mh->own_pa, pa);
		kmh_heap_account_metadata(mh->heap, sizeof(*pa));
		pa = NULL;	/* else another grower was first */
	}
	kmh_unlock_irqrestore(&mh->lock, flags);
	kmh_backend_free(pa);
	return 0;
}

/*
 * From here on no worker runs. The heap has no users any more, but draining may kick the worker,
 * and so may the work itself: the second round finds what the first one leaves.
 */
void kmh_mheap_stop(struct kmh_mheap *mh)
{
	unsigned int round;

	for (round = 0; round < 2; round++) {
		kmh_mheap_drain_pending(mh);
		kmh_mheap_drop(mh);
	}
}

/* Drop what the workers were asked for. Context: process context; sleeps. */
void kmh_mheap_drop(struct kmh_mheap *mh)
{
	kmh_irq_work_wait(&mh->kick);
	cancel_work_sync(&mh->work);
	kmh_reserve_stop(mh);
}

/* Check page counts and bitmaps of this node. Context: any but NMI. Return: number of findings. */
unsigned int kmh_mheap_validate(struct kmh_mheap *mh, kmh_finding_fn finding, void *ctx)
{
	unsigned long flags;
	unsigned int n;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	kmh_mheap_drain_pending_locked(mh);
	n = kmh_pa_validate(&mh->pa, finding, ctx);
	if (mh->own_pa)
		n += kmh_pa_validate(mh->own_pa, finding, ctx);
	kmh_unlock_irqrestore(&mh->lock, flags);
	return n;
}
