// SPDX-License-Identifier: GPL-2.0
/*
 * Pages that another user still has when their object is freed.
 *
 * A client that maps the pages of an object into user space (vm_insert_page()), or hands them to
 * the network or to a pipe, gives them references of their own. vfree() drops one reference, so
 * there such pages live on until the last user has gone; clients that come from vmalloc() count on
 * that. An object over 32 KiB, or a run of pages, whose pages have other references when it is
 * freed is *held*: not parked, not wiped, not given to the page heap. The scavenger, a caller that
 * finds no pages, and kmheap_shrink() look at it again; once the last other reference has gone it
 * is released. For the figures it is free meanwhile, and the footprint includes it.
 *
 * vmalloc() splits what it takes into single pages (also behind huge mappings, from 5.18 on), and
 * so are blocks, so each page counts its own references: one, when only the heap has it.
 */
#include <linux/mm.h>
#include <linux/page_ref.h>

#include "pages/held.h"
#include "heap.h"
#include "pages/arena.h"

/*
 * Does another user have a page of a large object, whose span is claimed? This is asked without
 * the page tables: an arena knows its pages. A walker of the kernel that has a page for a moment
 * (compaction, for one) looks like such a user; that does no harm. Context: any.
 */
bool kmh_large_is_held(const struct kmh_mspan *s)
{
	const struct kmh_arena *a = s->arena;
	unsigned long from = s->base - (unsigned long)a->vbase;
	unsigned long to = from + ((unsigned long)s->npages << KMH_PAGE_SHIFT) - 1;
	unsigned long i, last = to >> PAGE_SHIFT;
	int others = 0;

	/*
	 * Mostly no page has another user: without a branch for each page the loads overlap. A
	 * count of 0 is that of a page that a client has freed: see lost_arena.c.
	 */
	if (a->block) {
		for (i = from >> PAGE_SHIFT; i <= last; i++)
			others |= page_ref_count(a->block_page + i) & ~1;
	} else {
		for (i = from >> PAGE_SHIFT; i <= last; i++)
			others |= page_ref_count(a->pages[i]) & ~1;
	}
	return others;
}

/*
 * Give back a large object that has been claimed, for callers that want its pages in the page
 * heap. Its span is the caller's alone: clearing it needs no lock and may be preempted. A
 * finalizer is for the worker, which does this later; while another user has a page the object is
 * set aside.
 *
 * Context: any.
 */
void kmh_large_release(struct kmh_mspan *s)
{
	struct kmheap *heap = s->heap;	/* once it is listed, another may have the span */

	if (unlikely(READ_ONCE(s->arena->lost)))
		return;		/* lost_arena.c makes it "gone", or has */
	if (READ_ONCE(s->nspecials) && kmh_special_die(s, s->base))
		return;
	if (unlikely(s->arena->user)) {
		/* Its pages go back whoever has them: as vfree() leaves them to that user. */
		if (kmh_heap_sanitized(heap))
			kmh_sanitize_dead(s->base, (size_t)s->npages << KMH_PAGE_SHIFT);
		kmh_mheap_free_span(s);
		return;
	}
	if (unlikely(kmh_large_is_held(s))) {
		llist_add(&s->node, &s->mheap->held);
		kmh_test_point("held: the span is listed");
		kmh_kick_ask(&heap->scavenge.kick);
		return;
	}
	if (kmh_wants_wipe())
		kmh_clear_chunked((void *)s->base, (size_t)s->npages << KMH_PAGE_SHIFT, false);
	if (kmh_heap_sanitized(heap))
		kmh_sanitize_dead(s->base, (size_t)s->npages << KMH_PAGE_SHIFT);
	kmh_mheap_free_span(s);
}

static bool kmh_held_release_node(struct kmh_mheap *mh)
{
	struct kmh_mspan *s, *next;
	bool left = false;

	llist_for_each_entry_safe(s, next, llist_del_all(&mh->held), node) {
		/* In a lost arena the references belong to the pages' next owner. */
		if (!READ_ONCE(s->arena->lost) && kmh_large_is_held(s)) {
			llist_add(&s->node, &mh->held);
			left = true;
		} else {
			kmh_large_release(s);
		}
		cond_resched();
	}
	return left;
}

/*
 * Objects whose pages have no other user any more become pages. Context: process context; sleeps.
 * Return: true when something is still held.
 */
bool kmh_held_release(struct kmheap *heap)
{
	struct kmh_node *node;
	bool left = false;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid)))
		if (!llist_empty(&node->mheap.held))
			left |= kmh_held_release_node(&node->mheap);
	return left;
}
