// SPDX-License-Identifier: GPL-2.0
/*
 * The ladder on which memory goes back: what CPUs keep, the lists of the classes, arenas.
 *
 * Each rung makes pages of what it has, or free arenas of pages; who comes here chooses how far
 * down to go and how long to wait. An arena that leaves is out of its page heap at once. It is
 * given to the kernel after a grace period, because somebody may still read its spans.
 */
#include <linux/bitops.h>
#include <linux/delay.h>
#include <linux/rcupdate.h>

#include "supply/giveback.h"
#include "base/budget.h"
#include "base/lock.h"
#include "central/unswept.h"
#include "cpu/depot.h"
#include "heap.h"
#include "pages/arena.h"
#include "pages/held.h"
#include "span/arenamap.h"

/* ---- what CPUs keep */

/*
 * Drain the mcaches of every online CPU, and the shelves of NMIs. CPUs that are in their section
 * are asked again, three times in all: such a CPU is allocating, so it keeps little that is unused.
 * Context: process context; may sleep.
 */
void kmh_mcache_drain_all(struct kmheap *heap)
{
	unsigned int tries = 3;

	kmh_nmi_drain(heap);
	/* First, so that spans are whole when CPUs give them up. */
	kmh_depots_drain(heap);
	while (kmh_mcache_visit(heap, kmh_mcache_drain_locked, NULL).busy && --tries)
		usleep_range(50, 200);
	kmh_depots_drain(heap);		/* what CPUs have given meanwhile */
	kmh_largestore_drain(heap);
}

/*
 * Drain the mcache of a CPU that is dead, and stays so meanwhile (cpuhp callback): nothing else
 * touches its mcache. Preemption is off, as in an interrupt on that CPU: spans that come out are
 * announced. Context: process context; may sleep.
 */
void kmh_mcache_drain_dead(struct kmheap *heap, unsigned int cpu)
{
	struct kmh_mcache *mc = kmh_mcache_of(heap, cpu);

	if (!mc)
		return;
	preempt_disable();
	kmh_mcache_drain_locked(mc);
	preempt_enable();
	kmh_depots_drain(heap);
	kmh_largestore_drain(heap);
}

/* ---- spans of the classes become pages */

/*
 * Pages that one hold of the page heap's lock searches for empty spans, and spans after which
 * it ends.
 */
#define KMH_SCAVENGE_PAGES	64UL
#define KMH_SCAVENGE_BATCH	16U

/*
 * Give back empty spans, in one trip, from heap page @page of an arena on. Return: the page
 * to go on with.
 */
unsigned long kmh_scavenge_pages(struct kmh_arena *a, unsigned long page)
{
	unsigned long end = min(page + KMH_SCAVENGE_PAGES, a->npages), flags;
	struct kmh_mcache __percpu *mcache = READ_ONCE(a->heap->mcache);
	struct kmh_mspan *found[KMH_SCAVENGE_BATCH];
	unsigned int n = 0;

	preempt_disable();
	kmh_trip_begin(&mcache->trips);
	kmh_wait_lock_irqsave(&a->mheap->lock, flags);
	for_each_set_bit_from(page, a->page_inuse, end) {
		struct kmh_mspan *s = kmh_span_of_page(a->first + page);

		kmh_test_point("scavenge: a page is looked at");
		if (n == KMH_SCAVENGE_BATCH)
			break;
		/* Another heap's, where a client has freed the arena: lost_arena.c. */
		if (!kmh_arena_has_span(a, s))
			continue;
		if ((s->state == KMH_SPAN_SMALL || s->state == KMH_SPAN_TINY) &&
		    kmh_mcentral_try_claim_empty(s))
			found[n++] = s;
	}
	kmh_unlock_irqrestore(&a->mheap->lock, flags);
	while (n)
		kmh_mcentral_release_claimed(found[--n]);
	kmh_trip_end(&mcache->trips);
	preempt_enable();
	return min(page, end);
}

/*
 * Look at up to *@left pages of @mh, from where the last look ended up to the last arena. An arena
 * that is passed over counts as a page.
 */
static void kmh_scavenge_on(struct kmh_mheap *mh, unsigned long *left)
{
	struct list_head *arenas = &mh->heap->arenas;
	struct kmh_arena *a = mh->look_arena ?: list_first_entry(arenas, struct kmh_arena, list);
	unsigned long page = mh->look_arena ? mh->look_page : 0, next;

	lockdep_assert_held(&mh->heap->arenas_mutex);
	for (; *left && &a->list != arenas; a = list_next_entry(a, list), page = 0) {
		if (a->mheap != mh || a->dedicated) {
			--*left;
			continue;
		}
		for (; page < a->npages && *left; page = next) {
			next = kmh_scavenge_pages(a, page);
			*left -= min(*left, next - page);
			cond_resched();
		}
		if (page < a->npages)
			break;
	}
	mh->look_arena = &a->list == arenas ? NULL : a;
	mh->look_page = page;
}

/*
 * Turn empty spans into pages. Looks at @npages of the page heap, from where the last look ended.
 * Context: process context, also reclaim; arenas_mutex held; does not wait.
 */
void kmh_scavenge_some_locked(struct kmh_mheap *mh, unsigned long npages)
{
	bool begun = mh->look_arena;

	kmh_scavenge_on(mh, &npages);
	if (npages && begun)
		kmh_scavenge_on(mh, &npages);
}

static void kmh_scavenge_some(struct kmh_mheap *mh, unsigned long npages)
{
	mutex_lock(&mh->heap->arenas_mutex);
	kmh_scavenge_some_locked(mh, npages);
	mutex_unlock(&mh->heap->arenas_mutex);
}

/* @a is about to leave the heap's list of arenas: the next look begins behind it. */
void kmh_scavenge_forget_locked(struct kmh_arena *a)
{
	struct kmh_node *node;
	int nid = -1;

	lockdep_assert_held(&a->heap->arenas_mutex);
	while ((node = kmh_next_node(a->heap, &nid))) {
		struct kmh_mheap *mh = &node->mheap;

		if (mh->look_arena != a)
			continue;
		mh->look_arena = list_is_last(&a->list, &a->heap->arenas) ?
				 NULL : list_next_entry(a, list);
		mh->look_page = 0;
	}
}

/* Give every empty span of every class back. Return: true when that freed pages. Sleeps. */
bool kmh_mheap_drain_lists(struct kmh_mheap *mh)
{
	struct kmh_node *node = container_of(mh, struct kmh_node, mheap);
	unsigned long before = READ_ONCE(mh->pa.nfree);
	unsigned int i;

	for (i = KMH_SPANCLASS_TINY; i < KMH_NR_SPANCLASSES; i++) {
		struct kmh_mcentral *c = kmh_mcentral_of(node, i);

		if (READ_ONCE(c->npartial) || kmh_inbox_any_announced(c) ||
		    kmh_sweep_is_open(mh->heap))
			kmh_mcentral_drain(node, i);
		cond_resched();
	}
	kmh_mheap_drain_pending(mh);
	return READ_ONCE(mh->pa.nfree) > before;
}

/*
 * Give some empty spans back. Up to @most announced spans are looked at first, because those that
 * have become empty may be among them; then @most pages for spans by address, from where the last
 * look ended. Context: process context; sleeps. Return: true when that freed pages.
 */
bool kmh_mheap_drain_some(struct kmh_mheap *mh, unsigned int most)
{
	struct kmh_node *node = container_of(mh, struct kmh_node, mheap);
	unsigned long before = READ_ONCE(mh->pa.nfree);
	unsigned int i, left = most;

	for (i = KMH_SPANCLASS_TINY; i < KMH_NR_SPANCLASSES && left; i++)
		left = kmh_mcentral_sweep_some(kmh_mcentral_of(node, i), left);
	kmh_scavenge_some(mh, most);
	kmh_mheap_drain_pending(mh);
	return READ_ONCE(mh->pa.nfree) > before;
}

/* Turn what CPUs and central lists of a heap keep into pages. Context: process context; sleeps. */
void kmh_heap_drain(struct kmheap *heap)
{
	struct kmh_node *node;
	int nid = -1;

	kmh_mcache_drain_all(heap);
	kmh_held_release(heap);
	while ((node = kmh_next_node(heap, &nid)))
		kmh_mheap_drain_lists(&node->mheap);
}

/* ---- arenas without a page in use */

/*
 * Is the free run that the reserve needs in this arena? If so it stays: the worker would only
 * take another arena for it. A reserve that was learned does not count for who takes all.
 */
bool kmh_arena_has_run_locked(struct kmh_arena *a, const struct kmh_leavers *which)
{
	unsigned long run = kmh_reserve_run(a->mheap), page;
	struct kmh_parange *range;

	lockdep_assert_held(&a->mheap->lock);
	if (!which->spare && !a->mheap->reserve.floor)
		return false;
	/* The fullest range with such a run comes first, and this one is empty. */
	if (!run || !kmh_pa_alloc(&a->mheap->pa, run, 1, &range, &page))
		return false;
	kmh_pa_free(&a->mheap->pa, range, page, run);
	return range == &a->range;
}

/* Free pages of which there are so many that the worker would not fetch more at once. */
unsigned long kmh_mheap_keep_spare(const struct kmh_mheap *mh)
{
	return 2 * READ_ONCE(mh->low_pages) + READ_ONCE(mh->reserve.pages);
}

/* Free pages that stay: the owner's reserve, and what @which leaves. */
unsigned long kmh_mheap_keep(const struct kmh_mheap *mh, const struct kmh_leavers *which)
{
	if (which->spare)
		return kmh_mheap_keep_spare(mh);
	return which->begun ? max(mh->reserve.floor, kmh_mheap_first_pages(mh)) :
			      mh->reserve.floor;
}

/* Is no page of the arena in use, and is so much free without it as is to stay? */
static bool kmh_arena_may_leave_locked(struct kmh_arena *a, const struct kmh_leavers *which)
{
	const struct kmh_mheap *mh = a->mheap;

	if (a->range.nfree != kmh_parange_held(&a->range))
		return false;
	/* Growing ahead never fetches one; but whoever it was made for may just be taking it. */
	if (a->dedicated)
		return !which->spare || a->served;
	return !a->range.nfree ||
	       (mh->pa.nfree - a->range.nfree >= kmh_mheap_keep(mh, which) &&
		!kmh_arena_has_run_locked(a, which));
}

/*
 * Take @a out of its page allocator if no page of it is in use. Not while survivors'
 * finalizers run: they may free objects once more, which must still be found as freed.
 */
static bool kmh_arena_detach_free(struct kmh_arena *a, const struct kmh_leavers *which)
{
	struct kmh_mheap *mh = a->mheap;
	unsigned long flags;
	bool empty;

	if (READ_ONCE(mh->heap->specials.ending))
		return false;
	kmh_wait_lock_irqsave(&mh->lock, flags);
	empty = kmh_arena_may_leave_locked(a, which);
	if (empty)
		kmh_pa_remove(kmh_arena_pa(a), &a->range, false);
	/*
	 * A caller that gives everything back does not want pages ahead; the next arena sets
	 * them anew.
	 */
	if (!mh->pa.npages) {
		WRITE_ONCE(mh->low_pages, 0);
		WRITE_ONCE(mh->reserve.pages, mh->reserve.floor);
	}
	kmh_unlock_irqrestore(&mh->lock, flags);
	if (!empty)
		return false;
	/* From here on nothing can be allocated from the arena. */
	a->left = true;
	a->who = which->who;
	kmh_arena_begin_leave(a);
	kmh_arena_unmap_free(a);
	return true;
}

/*
 * Arenas without a page in use leave their page heaps, the youngest first, and go to @gone, for
 * kmh_arenas_finish() or kmh_arenas_finish_later_locked(). Context: process context, also reclaim;
 * arenas_mutex held; does not wait. Return: their bytes.
 */
size_t kmh_arenas_detach_locked(struct kmheap *heap, const struct kmh_leavers *which,
				struct list_head *gone)
{
	struct kmh_arena *a, *next;
	size_t bytes, done = 0;

	lockdep_assert_held(&heap->arenas_mutex);
	list_for_each_entry_safe_reverse(a, next, &heap->arenas, list) {
		if (done >= which->bytes)
			break;
		bytes = kmh_arena_held_bytes(a);
		if ((which->at_most && bytes > which->bytes - done) ||
		    (which->dedicated && !a->dedicated) ||
		    (which->mheap && a->mheap != which->mheap) ||
		    !kmh_arena_detach_free(a, which))
			continue;
		kmh_scavenge_forget_locked(a);
		list_move_tail(&a->list, gone);
		done += bytes;
	}
	if (which->leaving)
		list_splice_tail_init(&heap->leaving, gone);
	return done;
}

/* kmh_arenas_detach_locked() without arenas_mutex held. Context: process context; sleeps. */
size_t kmh_arenas_detach(struct kmheap *heap, const struct kmh_leavers *which,
			 struct list_head *gone)
{
	size_t done;

	mutex_lock(&heap->arenas_mutex);
	done = kmh_arenas_detach_locked(heap, which, gone);
	mutex_unlock(&heap->arenas_mutex);
	return done;
}

/*
 * Give back arenas that have been detached, of whichever heaps. Context: process context; sleeps
 * for a grace period if there is any, because of lookups that still read the spans of these
 * arenas. Return: bytes given back.
 */
size_t kmh_arenas_finish(struct list_head *gone, bool expedite)
{
	struct kmh_arena *a, *next;
	size_t bytes = 0;

	if (list_empty(gone))
		return 0;
	if (expedite)
		synchronize_rcu_expedited();
	else
		synchronize_rcu();
	list_for_each_entry_safe(a, next, gone, list) {
		bytes += kmh_arena_held_bytes(a);
		kmh_arena_destroy(a);
	}
	return bytes;
}

/*
 * Detach arenas and give them back. @n, if not NULL, is set to their number. Context: process
 * context; sleeps for a grace period. Return: bytes given back.
 */
size_t kmh_arenas_give_back(struct kmheap *heap, const struct kmh_leavers *which,
			    unsigned int *n)
{
	struct list_head *at;
	LIST_HEAD(gone);

	kmh_arenas_detach(heap, which, &gone);
	if (n) {
		*n = 0;
		list_for_each(at, &gone)
			(*n)++;
	}
	return kmh_arenas_finish(&gone, false);
}

/* ---- arenas that leave without a caller that waits */

/* Would a drain free the pages at this span's address? */
static bool kmh_span_drains(const struct kmh_mspan *s)
{
	switch (READ_ONCE(s->state)) {
	case KMH_SPAN_SMALL:
	case KMH_SPAN_TINY:
		return kmh_mspan_would_drain(s);
	case KMH_SPAN_LARGE:
	case KMH_SPAN_MANUAL:
		return false;
	default:	/* parked, or gone just now */
		return true;
	}
}

/*
 * Would no page of an arena be in use after a drain? A guess, by a look at its spans that ends at
 * the first one with a live object, which mostly is the first span. A block that a CPU packs into
 * counts as live. Context: process context; arenas_mutex held.
 */
bool kmh_arena_empties(const struct kmh_arena *a)
{
	unsigned long page;
	unsigned int n = 0;

	lockdep_assert_held(&a->heap->arenas_mutex);
	for_each_set_bit(page, a->page_inuse, a->npages) {
		bool drains;

		preempt_disable();
		drains = kmh_span_drains(kmh_span_of_page(a->first + page));
		preempt_enable();
		if (!drains)
			return false;
		if (++n % 256 == 0)
			cond_resched();
	}
	return true;
}

/* So many arenas are counted one by one, the youngest, which leave first. */
#define KMH_COUNT_ARENAS	2048U

/*
 * Bytes of spare arenas that would leave a page heap after a drain, and of spare pages of blocks
 * that would not. In a heap of very many arenas the free pages of the older ones count as if each
 * could go. Context: process context, also reclaim; the heap's arenas_mutex held.
 */
size_t kmh_arenas_count_spare_locked(struct kmh_mheap *mh)
{
	unsigned long nfree = READ_ONCE(mh->pa.nfree);	/* in arenas that are not looked at */
	unsigned long left = nfree;			/* free pages after the drain */
	unsigned long keep = kmh_mheap_keep_spare(mh), single, held;
	struct kmh_arena *a;
	unsigned int n = 0;
	size_t bytes = 0;

	lockdep_assert_held(&mh->heap->arenas_mutex);
	list_for_each_entry_reverse(a, &mh->heap->arenas, list) {
		if (n++ == KMH_COUNT_ARENAS)
			break;
		a->empties = a->mheap == mh && !a->dedicated && kmh_arena_empties(a);
		if (a->empties)
			left += kmh_parange_held(&a->range) - READ_ONCE(a->range.nfree);
		if (a->mheap == mh && !a->dedicated)
			nfree = kmh_less(nfree, READ_ONCE(a->range.nfree));
	}
	single = n > KMH_COUNT_ARENAS ? nfree : 0;
	n = 0;
	list_for_each_entry_reverse(a, &mh->heap->arenas, list) {
		if (n++ == KMH_COUNT_ARENAS)
			break;
		held = kmh_parange_held(&a->range);
		if (a->dedicated) {
			if (a->mheap == mh && READ_ONCE(a->served) &&
			    READ_ONCE(a->range.nfree) == held)
				bytes += kmh_arena_held_bytes(a);
		} else if (a->empties && held <= left && left - held >= keep) {
			left -= held;
			bytes += kmh_arena_held_bytes(a);
		} else if (kmh_arena_gives_pages(a, mh)) {
			single += a->empties ? held : kmh_arena_pages_to_give(a);
		}
	}
	single = round_down(min(single, left - min(left, keep)), KMH_RETURN_UNIT);
	return bytes + (single << KMH_PAGE_SHIFT);
}

/*
 * What has been detached is given back after a grace period, by a worker or by
 * kmh_arenas_give_back_left_locked(). Context: process context, also reclaim; does not wait.
 */
void kmh_arenas_finish_later_locked(struct kmheap *heap, struct list_head *gone)
{
	unsigned long cookie;
	struct kmh_arena *a;

	lockdep_assert_held(&heap->arenas_mutex);
	if (list_empty(gone))
		return;
	cookie = start_poll_synchronize_rcu_expedited();
	list_for_each_entry(a, gone, list)
		a->cookie = cookie;
	list_splice_tail_init(gone, &heap->leaving);
	queue_delayed_work(kmh_wq, &heap->leave, 1);
}

/*
 * Give back the arenas that have left and that no lookup reads any more. Context: process context,
 * also reclaim; arenas_mutex held; does not wait. Return: bytes given back.
 */
size_t kmh_arenas_give_back_left_locked(struct kmheap *heap)
{
	struct kmh_arena *a, *next;
	size_t bytes = 0;

	lockdep_assert_held(&heap->arenas_mutex);
	list_for_each_entry_safe(a, next, &heap->leaving, list) {
		if (!poll_state_synchronize_rcu(a->cookie))
			break;		/* nor is the next one's over: it left later */
		list_del(&a->list);
		bytes += kmh_arena_held_bytes(a);
		kmh_arena_destroy(a);
	}
	return bytes;
}

static void kmh_arenas_leave_work(struct work_struct *work)
{
	struct kmheap *heap = container_of(to_delayed_work(work), struct kmheap, leave);

	mutex_lock(&heap->arenas_mutex);
	kmh_arenas_give_back_left_locked(heap);
	if (!list_empty(&heap->leaving))
		queue_delayed_work(kmh_wq, &heap->leave, 1);
	mutex_unlock(&heap->arenas_mutex);
}

/* Context: process context; sleeps. */
size_t kmh_arenas_leaving_bytes(struct kmheap *heap)
{
	struct kmh_arena *a;
	size_t bytes = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->leaving, list)
		bytes += kmh_arena_held_bytes(a);
	mutex_unlock(&heap->arenas_mutex);
	return bytes;
}

void kmh_arenas_leave_init(struct kmheap *heap)
{
	INIT_LIST_HEAD(&heap->leaving);
	INIT_DELAYED_WORK(&heap->leave, kmh_arenas_leave_work);
}

/* The last ones go. Nobody takes any out from here on. Context: process context; sleeps. */
void kmh_arenas_leave_stop(struct kmheap *heap)
{
	cancel_delayed_work_sync(&heap->leave);
	kmh_arenas_give_back(heap, &(struct kmh_leavers){ .leaving = true }, NULL);
}

/*
 * The smallest spare arena, or what of a block can go alone, in bytes, or 0. Context: process
 * context; sleeps.
 */
size_t kmh_arenas_least_spare(struct kmheap *heap)
{
	const struct kmh_leavers spare = { .spare = true };
	size_t bytes, least = 0;
	struct kmh_arena *a;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list) {
		unsigned long flags;

		kmh_wait_lock_irqsave(&a->mheap->lock, flags);
		bytes = kmh_arena_may_leave_locked(a, &spare) ? kmh_arena_held_bytes(a) : 0;
		if (kmh_arena_gives_pages(a, a->mheap) && kmh_arena_pages_to_give(a) &&
		    !kmh_arena_has_run_locked(a, &spare) &&
		    a->mheap->pa.nfree >= kmh_mheap_keep_spare(a->mheap) + KMH_RETURN_UNIT)
			bytes = KMH_RETURN_UNIT << KMH_PAGE_SHIFT;
		if (bytes && (!least || bytes < least))
			least = bytes;
		kmh_unlock_irqrestore(&a->mheap->lock, flags);
	}
	mutex_unlock(&heap->arenas_mutex);
	return least;
}
