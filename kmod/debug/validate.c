// SPDX-License-Identifier: GPL-2.0
/*
 * The validators of all tiers, run over one heap or all heaps.
 *
 * They may run while the heap is in use. What can be checked under a tier's lock is checked
 * there; the rest is looked at several times (KMH_FINDING_LOOKS), because a span on its way
 * from one home to another is no finding.
 */
#include "debug/validate.h"
#include "base/fixalloc.h"
#include "base/lock.h"
#include "base/testpoint.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/arenamap.h"
#include "supply/lost_arena.h"

struct kmh_check {
	struct kmheap *heap;
	struct kmh_arena *arena;
	unsigned int n;
	kmh_finding_fn finding;
	void *ctx;
};

/* The callback for all looks but the last. */
static __printf(2, 3) void kmh_no_finding(void *ctx, const char *fmt, ...)
{
}

/* Every page of a span must lead to the span, and lie in its arena: those that were looked at. */
static unsigned int kmh_check_pages(struct kmh_mspan *s, struct kmh_check *c)
{
	unsigned long first = READ_ONCE(s->base) >> KMH_PAGE_SHIFT, n = READ_ONCE(s->npages), i;

	if (s->arena != c->arena || s->heap != c->heap || first < c->arena->range.first ||
	    first + n > c->arena->range.first + c->arena->range.npages) {
		c->finding(c->ctx, "heap %s: span %p at %p is not of the arena it lies in",
			   c->heap->name, s, (void *)s->base);
		return 1;
	}
	for (i = 0; i < n; i++) {
		if (kmh_arena_is_returned(c->arena, first + i - c->arena->first)) {
			c->finding(c->ctx, "heap %s: page %lu of span %p is the kernel's",
				   c->heap->name, i, s);
			return 1;
		}
		if (kmh_span_of_page(first + i) == s)
			continue;
		smp_rmb();	/* pairs with kmh_arenamap_replace(): being freed? */
		if (kmh_span_of_page(first) != s)
			return 0;
		smp_rmb();	/* or being published just now? */
		if (kmh_span_of_page(first + i) == s)
			continue;
		c->finding(c->ctx, "heap %s: page %lu of span %p leads elsewhere", c->heap->name,
			   i, s);
		return 1;
	}
	return 0;
}

/* The bits at a span's first page must agree with the span, if it still lies in the arena. */
static unsigned int kmh_check_bits(struct kmh_mspan *s, struct kmh_check *c)
{
	unsigned long page = (READ_ONCE(s->base) >> KMH_PAGE_SHIFT) - c->arena->first;
	unsigned int n = 0;

	if (page >= c->arena->npages)
		return 0;	/* the descriptor is that of another arena's span by now */
	if (!test_bit(page, c->arena->page_inuse)) {
		c->finding(c->ctx, "heap %s: span %p begins at page %lu, which is not in use",
			   c->heap->name, s, page);
		n++;
	}
	if (test_bit(page, c->arena->page_specials) != !!READ_ONCE(s->nspecials)) {
		c->finding(c->ctx, "heap %s: span %p has %u specials, its page's bit differs",
			   c->heap->name, s, READ_ONCE(s->nspecials));
		n++;
	}
	return n;
}

/* A class that has a span has its mcentral. */
static unsigned int kmh_check_class(struct kmh_mspan *s, struct kmh_check *c)
{
	if (kmh_mcentral_exists(kmh_mspan_mcentral(s)))
		return 0;
	c->finding(c->ctx, "heap %s: span %p is of class %u, which has no mcentral",
		   c->heap->name, s, s->spanclass);
	return 1;
}

/* Check a span. Nothing keeps it: it may be freed and become another one meanwhile. */
static void kmh_check_span(struct kmh_mspan *s, void *ctx)
{
	struct kmh_check *c = ctx;
	unsigned int n = kmh_check_pages(s, c);

	kmh_test_point("validate: between pages and bits");
	if (!n)
		n = kmh_check_bits(s, c) + kmh_check_class(s, c);
	c->n += n + kmh_mspan_validate(s, c->finding, c->ctx);
}

/* A span is looked at with preemption off, so a pause comes after all spans, not after each. */
static void kmh_check_spans(struct kmh_check *c)
{
	struct kmh_check look = *c;
	unsigned int looks;

	for (looks = 1; looks < KMH_FINDING_LOOKS; looks++) {
		look.n = 0;
		look.finding = kmh_no_finding;
		kmh_walk_spans(c->arena, kmh_check_span, &look);
		if (!look.n)
			return;
		kmh_finding_pause();
	}
	kmh_walk_spans(c->arena, kmh_check_span, c);
}

/* Pages of @a that spans cover, parked spans included. The page heap's lock keeps the spans. */
static unsigned long kmh_span_pages_locked(struct kmh_arena *a)
{
	unsigned long page = a->range.first, end = page + a->range.npages, n = 0;

	lockdep_assert_held(&a->mheap->lock);
	while (page < end) {
		struct kmh_mspan *s = kmh_arena_is_returned(a, page - a->first) ?
					      &kmh_span_gone : kmh_span_of_page(page);
		unsigned long step = s->state >= KMH_SPAN_SMALL ||
				     kmh_span_is_parked(s, page) ? s->npages : 0;

		n += step;
		page += step ?: 1;
	}
	return n;
}

/*
 * pages = in use + free + cached. Pages that the page heap counts as in use and that no span
 * covers are in page caches, at most 64 for each CPU, or on their way into a span: pages on
 * their way do not stay there.
 */
static void kmh_check_arena(struct kmh_check *c)
{
	unsigned long cached_max = KMH_PA_GROUP_PAGES * num_possible_cpus();
	unsigned long flags, inuse, covered;
	struct kmh_arena *a = c->arena;
	unsigned int looks;

	kmh_check_spans(c);
	for (looks = 0; looks < KMH_FINDING_LOOKS; looks++) {
		kmh_wait_lock_irqsave(&a->mheap->lock, flags);
		covered = kmh_span_pages_locked(a);
		inuse = kmh_parange_held(&a->range) - a->range.nfree;
		kmh_unlock_irqrestore(&a->mheap->lock, flags);
		if (inuse >= covered && inuse - covered <= cached_max)
			return;
		kmh_finding_pause();
	}
	c->finding(c->ctx, "heap %s: arena %p has %lu pages in use, its spans cover %lu",
		   c->heap->name, a->vbase, inuse, covered);
	c->n++;
}

/* A page that was returned is counted, and never free. */
static void kmh_check_returned(struct kmh_check *c)
{
	struct kmh_arena *a = c->arena;
	unsigned long flags, page, n = 0, nfree = 0;
	bool counted;

	if (!a->returned)
		return;
	kmh_wait_lock_irqsave(&a->mheap->lock, flags);
	for_each_set_bit(page, a->returned, a->npages) {
		n++;
		nfree += !test_bit(page, a->range.bits);
	}
	counted = n == a->range.nreturned;
	kmh_unlock_irqrestore(&a->mheap->lock, flags);
	if (counted && !nfree)
		return;
	c->finding(c->ctx, "heap %s: block %p has returned %lu pages, marked %lu, %lu are free",
		   c->heap->name, a->vbase, a->range.nreturned, n, nfree);
	c->n++;
}

static void kmh_check_arenas(struct kmh_check *c)
{
	struct kmheap *heap = c->heap;
	u64 bytes = 0, booked;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(c->arena, &heap->arenas, list) {
		bytes += kmh_arena_held_bytes(c->arena);
		kmh_check_returned(c);
		kmh_check_arena(c);
	}
	booked = atomic_long_read(&heap->arena_bytes);
	mutex_unlock(&heap->arenas_mutex);
	/* An arena is booked before it is listed, and unbooked after it has left the list. */
	if (booked < bytes) {
		c->finding(c->ctx, "heap %s: arenas of %llu bytes, %llu accounted", heap->name,
			   bytes, booked);
		c->n++;
	}
}

/*
 * Run the validators of every tier on @heap, which the caller keeps alive. @finding is called with
 * @ctx for each violation. Context: process context; sleeps. Return: number of findings.
 */
unsigned int kmh_validate_heap(struct kmheap *heap, kmh_finding_fn finding, void *ctx)
{
	struct kmh_check c = { .heap = heap, .finding = finding, .ctx = ctx };
	unsigned int lost = kmh_lost_find(heap, false);
	struct kmh_node *node;
	int nid = -1;

	if (lost) {
		finding(ctx, "heap %s: %u arenas, or pages of them, were freed by somebody else",
			heap->name, lost);
		c.n++;
	}
	while ((node = kmh_next_node(heap, &nid))) {
		c.n += kmh_mheap_validate(&node->mheap, finding, ctx);
		c.n += kmh_mcentrals_validate(node, finding, ctx);
	}
	c.n += kmh_mcache_validate(heap, finding, ctx);
	c.n += kmh_largecache_validate(heap, finding, ctx);
	kmh_check_arenas(&c);
	return c.n;
}

/* Validate all heaps and what they share. Context, return: as above. */
unsigned int kmh_validate_all(kmh_finding_fn finding, void *ctx)
{
	unsigned int n = kmh_fixallocs_validate(finding, ctx);
	struct kmheap *heap;

	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(heap, &kmh_heaps, list)
		n += kmh_validate_heap(heap, finding, ctx);
	mutex_unlock(&kmh_heaps_mutex);
	return n;
}
