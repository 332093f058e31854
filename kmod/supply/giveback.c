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
#include <linux/mm.h>
#include <linux/rcupdate.h>

#include "supply/giveback.h"
#include "base/lock.h"
#include "central/trip.h"
#include "heap.h"
#include "pages/arena.h"
#include "pages/held.h"
#include "span/arenamap.h"

/* ---- what CPUs keep */

/**
 * kmh_mcache_drain_all() - drain the mcaches of every online CPU, and the shelves of NMIs
 * @heap: the heap.
 *
 * CPUs that are in their section are asked again, three times in all: such a CPU is allocating,
 * so it keeps little that is unused.
 *
 * Context: Process context; may sleep.
 */
void kmh_mcache_drain_all(struct kmheap *heap)
{
	unsigned int tries = 3;

	kmh_nmi_drain(heap);
	while (kmh_mcache_visit(heap, kmh_mcache_drain_locked, NULL).busy && --tries)
		usleep_range(50, 200);
	kmh_largestore_drain(heap);
}

/**
 * kmh_mcache_drain_dead() - drain the mcache of a CPU that is gone
 * @heap: the heap.
 * @cpu: dead, and stays so meanwhile (cpuhp callback): nothing else touches its mcache.
 *
 * Preemption is off, as in an interrupt on that CPU: spans that come out are announced.
 *
 * Context: Process context; may sleep.
 */
void kmh_mcache_drain_dead(struct kmheap *heap, unsigned int cpu)
{
	preempt_disable();
	kmh_mcache_drain_locked(per_cpu_ptr(heap->mcache, cpu));
	preempt_enable();
	kmh_largestore_drain(heap);
}

/* ---- spans of the classes become pages */

/* Put announced spans where they belong. Context: process context. */
void kmh_scavenge_announced(struct kmheap *heap)
{
	struct kmh_node *node;
	unsigned int i;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid))) {
		for (i = KMH_SPANCLASS_TINY; i < KMH_NR_SPANCLASSES; i++) {
			kmh_inbox_sweep_announced(&node->central[i]);
			cond_resched();
		}
	}
}

/*
 * Empty spans are searched for in so many pages, or until so many are found, by one hold of the
 * page heap's lock.
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
	struct kmh_mcache __percpu *mcache = a->heap->mcache;
	struct kmh_mspan *found[KMH_SCAVENGE_BATCH];
	unsigned int n = 0;

	preempt_disable();
	kmh_trip_begin(&mcache->trips);
	kmh_wait_lock_irqsave(&a->mheap->lock, flags);
	for_each_set_bit_from(page, a->page_inuse, end) {
		struct kmh_mspan *s = kmh_span_of_page(a->first + page);

		if (n == KMH_SCAVENGE_BATCH)
			break;
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

/* Give back all empty spans of an arena. Context: process context; arenas_mutex held. */
void kmh_scavenge_arena(struct kmh_arena *a)
{
	unsigned long page = 0;

	while (page < a->npages) {
		page = kmh_scavenge_pages(a, page);
		cond_resched();
	}
}

/* Look at up to *@left pages of @mh, from its @from-th on. Return: the page where that ended. */
static unsigned long kmh_scavenge_from(struct kmh_mheap *mh, unsigned long from,
				       unsigned long *left)
{
	unsigned long page, next, at = from;
	struct kmh_arena *a;

	lockdep_assert_held(&mh->heap->arenas_mutex);
	list_for_each_entry(a, &mh->heap->arenas, list) {
		if (a->mheap != mh || a->dedicated)
			continue;
		for (page = min(from, a->npages); page < a->npages && *left; page = next) {
			next = kmh_scavenge_pages(a, page);
			at += next - page;
			*left -= min(*left, next - page);
			cond_resched();
		}
		if (!*left)
			break;
		from -= min(from, a->npages);
	}
	return at;
}

/**
 * kmh_scavenge_some() - turn empty spans into pages, for growth
 * @mh: the page heap.
 * @npages: pages of it to look at, from where the last look ended.
 *
 * Context: Process context; sleeps. Two callers at a time may look at the same pages.
 */
void kmh_scavenge_some(struct kmh_mheap *mh, unsigned long npages)
{
	unsigned long from = READ_ONCE(mh->look_page), at;

	mutex_lock(&mh->heap->arenas_mutex);
	at = kmh_scavenge_from(mh, from, &npages);
	if (npages && from)
		at = kmh_scavenge_from(mh, 0, &npages);
	mutex_unlock(&mh->heap->arenas_mutex);
	WRITE_ONCE(mh->look_page, npages ? 0 : at);
}

/* Give every empty span of every class back. Return: true when that freed pages. Sleeps. */
bool kmh_mheap_drain_lists(struct kmh_mheap *mh)
{
	struct kmh_node *node = container_of(mh, struct kmh_node, mheap);
	unsigned long before = READ_ONCE(mh->pa.nfree);
	unsigned int i;

	for (i = KMH_SPANCLASS_TINY; i < KMH_NR_SPANCLASSES; i++) {
		struct kmh_mcentral *c = &node->central[i];

		if (READ_ONCE(c->npartial) || kmh_inbox_any_announced(c) ||
		    kmh_sweep_is_open(mh->heap))
			kmh_mcentral_release_empty(node, i);
		cond_resched();
	}
	kmh_mheap_drain_pending(mh);
	return READ_ONCE(mh->pa.nfree) > before;
}

/**
 * kmh_mheap_drain_some() - give some empty spans back
 * @mh: the page heap.
 * @most: spans to look at, of whatever class, and pages to look at for each of them.
 *
 * Announced spans come first, because those that have become empty may be among them; then spans
 * by address, from where the last look ended.
 *
 * Context: Process context; sleeps.
 * Return: true when that freed pages.
 */
bool kmh_mheap_drain_some(struct kmh_mheap *mh, unsigned int most)
{
	struct kmh_node *node = container_of(mh, struct kmh_node, mheap);
	unsigned long before = READ_ONCE(mh->pa.nfree);
	unsigned int i, left = most;

	for (i = KMH_SPANCLASS_TINY; i < KMH_NR_SPANCLASSES && left; i++)
		left = kmh_mcentral_sweep_some(&node->central[i], left);
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
 * take another arena for it.
 */
static bool kmh_arena_has_run_locked(struct kmh_arena *a)
{
	unsigned long run = kmh_reserve_run(a->mheap), page;
	struct kmh_parange *range;

	lockdep_assert_held(&a->mheap->lock);
	/* The fullest range with such a run comes first, and this one is empty. */
	if (!run || !kmh_pa_alloc(&a->mheap->pa, run, 1, &range, &page))
		return false;
	kmh_pa_free(&a->mheap->pa, range, page, run);
	return range == &a->range;
}

/*
 * Is no page of the arena in use, and is so much free without it that the worker would not
 * grow ahead? Under the page heap's lock.
 */
static bool kmh_arena_may_leave(struct kmh_arena *a)
{
	const struct kmh_mheap *mh = a->mheap;

	return !a->dedicated && a->range.nfree == a->range.npages &&
	       mh->pa.nfree - a->range.npages >= 2 * mh->low_pages + mh->reserve.pages &&
	       !kmh_arena_has_run_locked(a);
}

/* Is no page of the arena in use, and does the owner's reserve, if any, not need it? */
static bool kmh_arena_is_empty_locked(struct kmh_arena *a)
{
	const struct kmh_mheap *mh = a->mheap;

	if (a->range.nfree != a->range.npages)
		return false;
	return a->dedicated || likely(!mh->reserve.floor) ||
	       (mh->pa.nfree - a->range.npages >= mh->reserve.floor &&
		!kmh_arena_has_run_locked(a));
}

/*
 * Take @a out of its page allocator if no page of it is in use. Not while survivors'
 * finalizers run: they may free objects once more, which must still be found as freed.
 */
static bool kmh_arena_detach_free(struct kmh_arena *a, bool idle)
{
	struct kmh_mheap *mh = a->mheap;
	unsigned long flags;
	bool empty;

	if (READ_ONCE(mh->heap->specials.ending))
		return false;
	kmh_wait_lock_irqsave(&mh->lock, flags);
	empty = idle ? kmh_arena_may_leave(a) : kmh_arena_is_empty_locked(a);
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
	kmh_arena_begin_leave(a);
	kmh_arenamap_set(a->first, a->npages, &kmh_span_gone);
	return true;
}

/* Give back arenas that were detached at least a grace period ago. Return: their bytes. */
size_t kmh_arena_give_back(struct list_head *gone)
{
	struct kmh_arena *a, *next;
	size_t bytes = 0;

	list_for_each_entry_safe(a, next, gone, list) {
		bytes += a->bytes;
		kmh_arena_destroy(a);
	}
	return bytes;
}

/* Give back arenas that were just detached. Sleeps for a grace period if there are any. */
static size_t kmh_arena_destroy_all(struct list_head *gone)
{
	if (list_empty(gone))
		return 0;
	synchronize_rcu();	/* lookups that still read these arenas' spans */
	return kmh_arena_give_back(gone);
}

/* ---- arenas that leave without a caller that waits */

/* Would a drain free the pages at this span's address? */
static bool kmh_span_drains(const struct kmh_mspan *s)
{
	switch (READ_ONCE(s->state)) {
	case KMH_SPAN_SMALL:
	case KMH_SPAN_TINY:
		return kmh_mspan_would_empty(s);
	case KMH_SPAN_LARGE:
	case KMH_SPAN_MANUAL:
		return false;
	default:	/* parked, or gone just now */
		return true;
	}
}

/**
 * kmh_arena_empties() - would no page of an arena be in use after a drain?
 * @a: the arena; arenas_mutex held.
 *
 * A guess, by a look at its spans that ends at the first one with a live object, which mostly is
 * the first span. A block that a CPU packs into counts as live.
 *
 * Context: Process context.
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

/* Note which arenas of @mh a drain would empty. Return: the free pages that @mh would have then. */
static unsigned long kmh_arena_look_locked(struct kmh_mheap *mh)
{
	unsigned long left = READ_ONCE(mh->pa.nfree);
	struct kmh_arena *a;

	lockdep_assert_held(&mh->heap->arenas_mutex);
	list_for_each_entry(a, &mh->heap->arenas, list) {
		a->empties = a->mheap == mh && !a->dedicated && kmh_arena_empties(a);
		if (a->empties)
			left += a->range.npages - READ_ONCE(a->range.nfree);
	}
	return left;
}

/**
 * kmh_arena_count_idle_locked() - bytes that kmh_arena_detach_idle_locked() would detach
 * @mh: the page heap; its heap's arenas_mutex held.
 *
 * Bytes after a drain, that is.
 *
 * Context: Process context, also reclaim.
 */
size_t kmh_arena_count_idle_locked(struct kmh_mheap *mh)
{
	unsigned long left = kmh_arena_look_locked(mh);
	struct kmh_arena *a;
	size_t bytes = 0;

	list_for_each_entry_reverse(a, &mh->heap->arenas, list) {
		if (!a->empties || a->range.npages > left ||
		    left - a->range.npages <
			    2 * READ_ONCE(mh->low_pages) + READ_ONCE(mh->reserve.pages))
			continue;
		left -= a->range.npages;
		bytes += a->bytes;
	}
	return bytes;
}

/* The arena leaves, but a lookup may still read its spans: give it back after a grace period. */
static void kmh_arena_leave(struct kmh_arena *a)
{
	a->cookie = start_poll_synchronize_rcu_expedited();
	list_move_tail(&a->list, &a->heap->leaving);
	queue_delayed_work(kmh_wq, &a->heap->leave, 1);
}

/* Detach arenas of @mh, the youngest first, until @bytes are detached. Return: their bytes. */
static size_t kmh_arena_detach_locked(struct kmh_mheap *mh, size_t bytes, bool idle)
{
	struct kmh_arena *a, *next;
	size_t done = 0;

	lockdep_assert_held(&mh->heap->arenas_mutex);
	list_for_each_entry_safe_reverse(a, next, &mh->heap->arenas, list) {
		if (done >= bytes)
			break;
		if (a->mheap != mh || !kmh_arena_detach_free(a, idle))
			continue;
		done += a->bytes;
		kmh_arena_leave(a);
	}
	return done;
}

/**
 * kmh_arena_detach_idle_locked() - take arenas without a page in use out of a page heap
 * @mh: the page heap; its heap's arenas_mutex held.
 * @bytes: stop when so many are out.
 *
 * What the page heap keeps for callers that cannot sleep stays. A worker, or
 * kmh_arena_reap_locked(), gives the arenas back after a grace period.
 *
 * Context: Process context, also reclaim; does not wait.
 * Return: bytes taken out.
 */
size_t kmh_arena_detach_idle_locked(struct kmh_mheap *mh, size_t bytes)
{
	return kmh_arena_detach_locked(mh, bytes, true);
}

/**
 * kmh_arena_reap_locked() - give back the arenas that have left and that no lookup reads any more
 * @heap: the heap; arenas_mutex held.
 *
 * Context: Process context, also reclaim; does not wait.
 * Return: bytes given back.
 */
size_t kmh_arena_reap_locked(struct kmheap *heap)
{
	struct kmh_arena *a, *next;
	size_t bytes = 0;

	lockdep_assert_held(&heap->arenas_mutex);
	list_for_each_entry_safe(a, next, &heap->leaving, list) {
		if (!poll_state_synchronize_rcu(a->cookie))
			break;		/* nor is the next one's over: it left later */
		list_del(&a->list);
		bytes += a->bytes;
		kmh_arena_destroy(a);
	}
	return bytes;
}

/* Move all arenas that are leaving to @gone; the caller has to wait for a grace period. */
static void kmh_arena_take_leaving_locked(struct kmheap *heap, struct list_head *gone)
{
	lockdep_assert_held(&heap->arenas_mutex);
	list_splice_tail_init(&heap->leaving, gone);
}

/*
 * For the OOM notifier: detach every arena without a page in use, and move these and all that
 * are leaving to @gone. arenas_mutex held; does not wait.
 */
void kmh_arena_take_free_locked(struct kmheap *heap, struct list_head *gone)
{
	struct kmh_node *node;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid)))
		kmh_arena_detach_locked(&node->mheap, SIZE_MAX, false);
	kmh_arena_take_leaving_locked(heap, gone);
}

static void kmh_arena_leave_work(struct work_struct *work)
{
	struct kmheap *heap = container_of(to_delayed_work(work), struct kmheap, leave);

	mutex_lock(&heap->arenas_mutex);
	kmh_arena_reap_locked(heap);
	if (!list_empty(&heap->leaving))
		queue_delayed_work(kmh_wq, &heap->leave, 1);
	mutex_unlock(&heap->arenas_mutex);
}

/* Context: process context; sleeps. */
size_t kmh_arena_leaving_bytes(struct kmheap *heap)
{
	struct kmh_arena *a;
	size_t bytes = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->leaving, list)
		bytes += a->bytes;
	mutex_unlock(&heap->arenas_mutex);
	return bytes;
}

void kmh_arena_leave_init(struct kmheap *heap)
{
	INIT_LIST_HEAD(&heap->leaving);
	INIT_DELAYED_WORK(&heap->leave, kmh_arena_leave_work);
}

/* Give the last arenas back. None is detached from here on. Context: process context; sleeps. */
void kmh_arena_leave_stop(struct kmheap *heap)
{
	LIST_HEAD(gone);

	cancel_delayed_work_sync(&heap->leave);
	mutex_lock(&heap->arenas_mutex);
	kmh_arena_take_leaving_locked(heap, &gone);
	mutex_unlock(&heap->arenas_mutex);
	kmh_arena_destroy_all(&gone);
}

/* ---- arenas whose caller waits for a grace period */

/**
 * kmh_arena_release_free() - give back every arena without a page in use
 * @heap: the heap.
 * @dedicated_only: only those that were made for one object; else also those that reclaim
 *	has detached and that are not given back yet.
 *
 * Context: Process context; sleeps for a grace period if there is any.
 * Return: bytes given back.
 */
size_t kmh_arena_release_free(struct kmheap *heap, bool dedicated_only)
{
	struct kmh_arena *a, *next;
	LIST_HEAD(gone);

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry_safe(a, next, &heap->arenas, list) {
		if (dedicated_only && !a->dedicated)
			continue;
		if (kmh_arena_detach_free(a, false))
			list_move(&a->list, &gone);
	}
	if (!dedicated_only)
		kmh_arena_take_leaving_locked(heap, &gone);
	mutex_unlock(&heap->arenas_mutex);
	return kmh_arena_destroy_all(&gone);
}

/**
 * kmh_arena_release_idle() - give back some arenas without a page in use
 * @heap: the heap.
 * @bytes: how much at most.
 * @n: set to how many.
 *
 * The youngest first. Dedicated arenas go by themselves, and arenas that the worker would take
 * again at once stay.
 *
 * Context: Process context; sleeps for a grace period if there is any.
 * Return: bytes given back.
 */
size_t kmh_arena_release_idle(struct kmheap *heap, size_t bytes, unsigned int *n)
{
	struct kmh_arena *a, *next;
	LIST_HEAD(gone);

	*n = 0;
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry_safe_reverse(a, next, &heap->arenas, list) {
		if (a->bytes > bytes || !kmh_arena_detach_free(a, true))
			continue;
		list_move(&a->list, &gone);
		bytes -= a->bytes;
		++*n;
	}
	mutex_unlock(&heap->arenas_mutex);
	return kmh_arena_destroy_all(&gone);
}

/**
 * kmh_arena_detach_some() - detach as many arenas without a page in use as it takes
 * @heap: the heap.
 * @bytes: how much at least, if there is so much.
 * @idle: leave arenas that the worker would take again at once.
 * @gone: where to put them, for kmh_arena_destroy_some().
 *
 * The youngest first.
 *
 * Context: Process context; sleeps.
 * Return: bytes detached.
 */
size_t kmh_arena_detach_some(struct kmheap *heap, size_t bytes, bool idle,
			     struct list_head *gone)
{
	struct kmh_arena *a, *next;
	size_t done = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry_safe_reverse(a, next, &heap->arenas, list) {
		if (done >= bytes)
			break;
		if (!kmh_arena_detach_free(a, idle))
			continue;
		list_move(&a->list, gone);
		done += a->bytes;
	}
	mutex_unlock(&heap->arenas_mutex);
	return done;
}

/* Give back detached arenas, of any heaps. Sleeps for a grace period if there is any. */
size_t kmh_arena_destroy_some(struct list_head *gone)
{
	return kmh_arena_destroy_all(gone);
}

/**
 * kmh_arena_release_some() - detach arenas and give them back
 * @heap: the heap.
 * @bytes: how much at least, if there is so much.
 * @idle: as for kmh_arena_detach_some().
 * @n: set to how many, or NULL.
 *
 * Context: Process context; sleeps for a grace period if there is any.
 * Return: bytes given back.
 */
size_t kmh_arena_release_some(struct kmheap *heap, size_t bytes, bool idle, unsigned int *n)
{
	struct list_head *at;
	LIST_HEAD(gone);

	kmh_arena_detach_some(heap, bytes, idle, &gone);
	if (n) {
		*n = 0;
		list_for_each(at, &gone)
			(*n)++;
	}
	return kmh_arena_destroy_all(&gone);
}

/*
 * Bytes of the smallest arena that kmh_arena_release_idle() would find, or 0. Context:
 * process context; sleeps.
 */
size_t kmh_arena_least_idle(struct kmheap *heap)
{
	struct kmh_arena *a;
	size_t least = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list) {
		unsigned long flags;

		kmh_wait_lock_irqsave(&a->mheap->lock, flags);
		if (kmh_arena_may_leave(a) && (!least || a->bytes < least))
			least = a->bytes;
		kmh_unlock_irqrestore(&a->mheap->lock, flags);
	}
	mutex_unlock(&heap->arenas_mutex);
	return least;
}
