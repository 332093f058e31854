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
 * kfree() of an object in a block frees the one page that the object begins in (6.1 and 6.12, with
 * a warning; 7.x warns and refuses), because a page of no slab looks like one that kmalloc() has
 * taken from the page allocator. So each page of a block has such a mark. The validators look at
 * all of them, the scavenger at one of each block in a step.
 *
 * An arena that does not exist any more, or lacks a page, is *lost*. It is reported, counted as an
 * invalid free, and an area is never given to vfree() again, because the addresses may have another
 * user by now. No page of it is allocated any more, and no slot: its spans get the state of the
 * sentinel "gone", so that a free of an object in it is reported and ignored, and are taken off
 * every list. Finalizers of its objects do not run: there is nothing left to finalize. The rest of
 * the heap goes on. Descriptors and tables stay until the heap ends, because stale pointers lead to
 * them, and so do the other pages of a block, because objects that nobody has freed are in them.
 */
#include <linux/delay.h>

#include "supply/lost_arena.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/lock.h"
#include "heap.h"
#include "insight/record.h"
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
		if (kmh_arena_has_span(a, s)) {
			WRITE_ONCE(s->nfast, 0);
			WRITE_ONCE(s->state, KMH_SPAN_GONE);
			step = kmh_arena_span_pages(a, s, page);
		}
		kmh_unlock_irqrestore(&a->mheap->lock, flags);
		page += step;
	}
}

/* Records of what lay in the arena; returned pages may be another arena's, or another heap's. */
static void kmh_lost_forget_records(const struct kmh_arena *a)
{
	unsigned long page, n;

	for (page = 0; kmh_arena_next_run(a, &page, &n); page += n)
		kmh_records_forget_range((a->first + page) << KMH_PAGE_SHIFT, n << KMH_PAGE_SHIFT);
}

static void kmh_lost_meet(struct kmh_mcache *mc)
{
	/* Before: should another search begin meanwhile, this CPU is asked again for that one. */
	unsigned int round = atomic_read(&mc->heap->lost_round);

	kmh_mcache_drain_locked(mc);
	WRITE_ONCE(mc->lost_round, round);
}

static bool kmh_lost_unmet(const struct kmh_mcache *mc)
{
	return READ_ONCE(mc->lost_round) != (unsigned int)atomic_read(&mc->heap->lost_round);
}

/*
 * No CPU keeps anything of a lost arena: each of them has been met outside of its section once, not
 * all at the same time. One that is in its section when the interrupt arrives is asked again, until
 * it is not: it has preemption off there. From then on nothing of the arena comes out of a depot,
 * where each entry is looked up, or goes into one.
 */
static void kmh_lost_drain_cpus(struct kmheap *heap)
{
	atomic_inc(&heap->lost_round);
	while (kmh_mcache_visit(heap, kmh_lost_meet, kmh_lost_unmet).busy) {
		kmh_test_point("lost arena: a CPU was in its section");
		usleep_range(50, 200);
	}
	kmh_mcache_drain_all(heap);
}

/*
 * Make sure that nothing of the lost arenas is handed out any more. Twice, because a page
 * that a CPU had set aside may have become a span after the first look, and because a CPU may have
 * parked or taken a large object (largecache.c) without having seen that its arena is lost. After
 * the first round each CPU has been met outside of its section, and sees it.
 */
static void kmh_lost_quarantine(struct kmheap *heap)
{
	struct kmh_mcentral *c = NULL;
	struct kmh_arena *a;
	unsigned int round;

	for (round = 0; round < 2; round++) {
		/* Frees that have seen a span before it was withdrawn are done. */
		if (round)
			synchronize_rcu();
		smp_mb();	/* lost, spans: pairs with those before kmh_mheap_give_up_lost() */
		mutex_lock(&heap->arenas_mutex);
		list_for_each_entry(a, &heap->lost, list) {
			kmh_lost_withdraw(a);
			kmh_lost_forget_records(a);
		}
		mutex_unlock(&heap->arenas_mutex);
		if (kmh_heap_sanitized(heap))
			kmh_quarantine_forget(heap);
		kmh_special_forget_lost(heap);
		kmh_nmi_forget_lost(heap);
		kmh_lost_drain_cpus(heap);
		kmh_sweep_announced(heap);
		while ((c = kmh_next_mcentral(heap, c))) {
			kmh_mcentral_drop_lost(c);
			cond_resched();
		}
	}
}

/*
 * An area is the heap's no more. Of a block all pages but a few are, until the heap ends, for the
 * sake of the live objects in them: they count as metadata. There are no bytes of the arena any
 * more with which that and the tables would count at limits.
 */
static void kmh_lost_unbook(struct kmh_arena *a)
{
	size_t kept = a->block ? kmh_arena_kept_bytes(a) : 0;

	kmh_heap_account_metadata(a->heap, kept);
	a->meta_bytes += kept;
	kmh_heap_move_side(a->heap, a->meta_bytes - a->side_bytes);
	a->side_bytes = a->meta_bytes;
	kmh_heap_unbook(a->heap, kmh_arena_held_bytes(a));
	if (!a->block)
		kmh_backend_forget_arena();
}

/*
 * Look for arenas that a client has freed: they are reported and leave the heap. @glance: look at
 * one page of each block, by turns, and not at all of them. Context: process context; sleeps.
 * Return: how many were found.
 */
unsigned int kmh_lost_find(struct kmheap *heap, bool glance)
{
	struct kmh_arena *a, *next;
	struct page *page;
	unsigned int n = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry_safe(a, next, &heap->arenas, list) {
		if (likely(glance && !kmh_arena_look(a)))
			continue;
		page = kmh_arena_lost_page(a, 0, ULONG_MAX);
		cond_resched();
		if (likely(!page))
			continue;
		kmh_arena_report_lost(a, page);
		kmh_lost_close(a);
		kmh_scavenge_forget_locked(a);
		list_move_tail(&a->list, &heap->lost);
		kmh_lost_unbook(a);
		n++;
	}
	mutex_unlock(&heap->arenas_mutex);
	if (n)
		kmh_lost_quarantine(heap);
	return n;
}

/*
 * Free the tables of lost arenas, and of lost blocks the pages that are still the heap's. Context:
 * process context; a grace period after kmh_arena_unmap().
 */
void kmh_lost_free(struct kmheap *heap)
{
	struct kmh_arena *a, *next;

	list_for_each_entry_safe(a, next, &heap->lost, list) {
		list_del(&a->list);
		if (a->block)
			kmh_arena_free_block(a);
		kmh_heap_account_metadata(heap, -(long)a->meta_bytes);
		kmh_heap_move_side(heap, -(long)a->side_bytes);
		kmh_backend_free(a);
	}
}
