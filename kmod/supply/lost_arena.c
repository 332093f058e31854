// SPDX-License-Identifier: GPL-2.0
/*
 * Arenas that a client has freed.
 *
 * kvfree(), and kfree_rcu() after its grace period, call vfree() on a vmalloc address, and
 * vfree() of any page-aligned address frees the whole area that the address lies in: an
 * arena, with all objects in it. Nothing tells kmheap. So an arena remembers which page of
 * the kernel lies at its base, and leaves a mark there that does not outlive the page's way
 * through the page allocator. The validators, the scavenger and callers that give an arena
 * back compare.
 *
 * An arena that does not exist any more is *lost*. It is reported, counted as an invalid
 * free, and never given to vfree() again, because the addresses may have another user by now.
 * No page of it is allocated any more, and no slot: its spans get the state of the sentinel
 * "gone", so that a free of an object in it is reported and ignored, and are taken off every
 * list. Finalizers of its objects do not run: there is nothing left to finalize. The rest of
 * the heap goes on. Descriptors and tables stay until the heap ends, because stale pointers
 * lead to them.
 */
#include "supply/lost_arena.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/lock.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/arenamap.h"
#include "supply/giveback.h"
#include "up.h"

/* From here on no page of the arena is handed out, and none comes back. */
static void kmh_lost_close(struct kmh_arena *a)
{
	unsigned long flags;

	kmh_wait_lock_irqsave(&a->mheap->lock, flags);
	kmh_pa_remove(kmh_arena_pa(a), &a->range, true);
	WRITE_ONCE(a->lost, true);
	kmh_unlock_irqrestore(&a->mheap->lock, flags);
}

/*
 * An entry of a lost arena may be another's, which the kernel has put at the same addresses: at
 * any page of a span, also at its first. So a span is known by its arena, and not by its page. A
 * sentinel, of this heap or another, has what the last user of its descriptor left.
 */
static bool kmh_lost_has(const struct kmh_arena *a, const struct kmh_mspan *s)
{
	const struct kmheap *heap = a->heap;

	return s->heap == heap && s->arena == a && s != heap->unused && s != heap->freed;
}

/* How many heap pages from @page on, of the lost arena's up to @end, are of its span @s. */
static unsigned long kmh_lost_pages(const struct kmh_mspan *s, unsigned long page,
				    unsigned long end)
{
	return min((s->base >> KMH_PAGE_SHIFT) + s->npages, end) - page;
}

/*
 * Make the arena's spans say "gone", those that are parked ("freed") as well. The page heap's lock
 * keeps spans that are on their way back.
 */
static void kmh_lost_withdraw(struct kmh_arena *a)
{
	unsigned long page = a->range.first, end = page + a->range.npages, flags;

	while (page < end) {
		struct kmh_mspan *s;
		unsigned long step = 1;

		kmh_wait_lock_irqsave(&a->mheap->lock, flags);
		s = kmh_span_of_page(page);
		if (kmh_lost_has(a, s)) {
			WRITE_ONCE(s->nfast, 0);
			WRITE_ONCE(s->state, KMH_SPAN_GONE);
			step = kmh_lost_pages(s, page, end);
		}
		kmh_unlock_irqrestore(&a->mheap->lock, flags);
		page += step;
	}
}

/*
 * Make sure that nothing of the lost arenas is handed out any more. Twice, because a page
 * that a CPU had set aside may have become a span after the first look.
 */
static void kmh_lost_quarantine(struct kmheap *heap)
{
	struct kmh_mcentral *c = NULL;
	struct kmh_arena *a;
	unsigned int round;

	for (round = 0; round < 2; round++) {
		mutex_lock(&heap->arenas_mutex);
		list_for_each_entry(a, &heap->lost, list)
			kmh_lost_withdraw(a);
		mutex_unlock(&heap->arenas_mutex);
		if (kmh_heap_sanitized(heap))
			kmh_quarantine_forget(heap);
		kmh_special_forget_lost(heap);
		kmh_nmi_forget_lost(heap);
		kmh_mcache_drain_all(heap);
		kmh_sweep_announced(heap);
		while ((c = kmh_next_mcentral(heap, c))) {
			kmh_mcentral_drop_lost(c);
			cond_resched();
		}
	}
}

/*
 * Look for arenas that a client has freed: they are reported and leave the heap. Context: process
 * context; sleeps. Return: how many were found.
 */
unsigned int kmh_lost_find(struct kmheap *heap)
{
	struct kmh_arena *a, *next;
	unsigned int n = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry_safe(a, next, &heap->arenas, list) {
		if (likely(!kmh_arena_is_lost(a)))
			continue;
		kmh_arena_report_lost(a);
		kmh_lost_close(a);
		list_move_tail(&a->list, &heap->lost);
		kmh_heap_unbook(heap, a->bytes);
		kmh_backend_forget_arena();
		n++;
	}
	mutex_unlock(&heap->arenas_mutex);
	if (n)
		kmh_lost_quarantine(heap);
	return n;
}

/*
 * Make the addresses of an arena say "gone" for good, in a heap that ends, and list the spans that
 * were left there, which no lookup finds any more, in @spans through @dead. A client may have freed
 * the arena just now, so this asks as if it had. Context: process context; arenas_mutex held.
 */
void kmh_arena_unmap(struct kmh_arena *a, struct kmh_mspan **spans)
{
	unsigned long page = a->range.first, end = page + a->range.npages, n;

	lockdep_assert_held(&a->heap->arenas_mutex);
	kmh_arena_unmap_free(a);
	for (; page < end; page += n) {
		struct kmh_mspan *s = kmh_span_of_page(page);

		n = 1;
		if (!kmh_lost_has(a, s))
			continue;
		n = kmh_lost_pages(s, page, end);
		kmh_arenamap_replace(page, n, s, &kmh_span_gone);
		s->dead = *spans;
		*spans = s;
		cond_resched();
	}
}

/*
 * Free the tables of lost arenas. Context: process context; a grace period after
 * kmh_arena_unmap().
 */
void kmh_lost_free(struct kmheap *heap)
{
	struct kmh_arena *a, *next;

	list_for_each_entry_safe(a, next, &heap->lost, list) {
		list_del(&a->list);
		kmh_heap_account_metadata(heap, -(long)a->meta_bytes);
		kmh_backend_free(a);
	}
}
