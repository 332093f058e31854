// SPDX-License-Identifier: GPL-2.0
/*
 * Central lists: the spans of one class on one node that no CPU caches.
 *
 * After Go's mcentral (src/runtime/mcentral.go): a partial and a full set, each once for
 * swept spans and once for unswept ones. Different from Go, a full span is listed only where
 * the sweep has to find it. Otherwise the span comes back with the first free into it from
 * outside, which announces it (inbox.c), and refill takes announced spans first. So nothing
 * ever scans for spans that have become useful.
 */
#include <linux/sizes.h>

#include "central/mcentral.h"
#include "base/lock.h"
#include "central/sweepspan.h"
#include "heap.h"
#include "pages/arena.h"
#include "up.h"

void kmh_mcentral_init(struct kmh_mcentral *c, struct kmh_node *node, unsigned int spanclass)
{
	unsigned int i;

	raw_spin_lock_init(&c->lock);
	for (i = 0; i < 2; i++) {
		INIT_LIST_HEAD(&c->partial[i]);
		INIT_LIST_HEAD(&c->full[i]);
	}
	c->node = node;
	c->spanclass = spanclass;
}

struct kmh_mcentral *kmh_mspan_mcentral(const struct kmh_mspan *s)
{
	struct kmh_node *node = container_of(s->mheap, struct kmh_node, mheap);

	return kmh_mcentral_of(node, s->spanclass);
}

/*
 * Give a fresh span, initialized and in the arenas map, its generation, and let the sweep find it.
 * A large object is marked here if a collection marks.
 *
 * Context: on a trip, which began before a full barrier: pairs with the one in
 * kmh_sweep_wait_for_trips(). A generation that has opened waits for this, or is seen here.
 */
void kmh_mcentral_date_span(struct kmh_mspan *s)
{
	unsigned long phase = kmh_mcentral_phase(kmh_mspan_mcentral(s));

	kmh_assert_pinned();
	atomic_set(&s->sweepgen, kmh_phase_gen(phase));
	if (unlikely(phase & KMH_PHASE_MARKING) && s->state == KMH_SPAN_LARGE)
		atomic_long_set(kmh_mspan_mark(s, 0), 1);
	set_bit((s->base >> KMH_PAGE_SHIFT) - s->arena->first, s->arena->page_inuse);
}

/* ---- to the lists */

/* Which set a span belongs on: that of its own generation. */
static unsigned int kmh_mcentral_set_locked(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	unsigned int swept = kmh_swept_set(c->phase);

	lockdep_assert_held(&c->lock);
	return (unsigned int)atomic_read(&s->sweepgen) == kmh_mcentral_gen(c) ? swept : !swept;
}

/* Does the sweep have to find the span, although it has no free slot? */
static bool kmh_mspan_must_be_listed(const struct kmh_mspan *s)
{
	unsigned int i;

	if (kmh_heap_collected(s->heap))
		return true;
	for (i = 0; i < s->nwords; i++)
		if (kmh_mspan_waiting(s, i))
			return true;
	return false;
}

/* Are there frees that a fold would take in? Asked of each full span, so inline. */
static bool kmh_mspan_foldable(const struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nwords; i++)
		if (atomic_long_read(&s->w[i].remote))
			return true;
	return false;
}

/*
 * Spans in arenas with more free pages than the mean go to the end of the list, so that these
 * arenas become empty and the others full. A guess: the page heap's lock is not held.
 */
static bool kmh_mcentral_comes_last(const struct kmh_mspan *s)
{
	const struct kmh_pagealloc *pa = &s->mheap->pa;
	const struct kmh_parange *r = &s->arena->range;

	return READ_ONCE(r->nfree) * READ_ONCE(pa->npages) >
	       READ_ONCE(pa->nfree) * kmh_parange_held(r);
}

/* List a span with free slots. Return: false, and nothing done, in NMI with the lock taken. */
static bool kmh_mcentral_list_partial(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	unsigned long flags;
	unsigned int set;

	if (!kmh_lock_irqsave(&c->lock, flags))
		return false;
	atomic_set(&s->home, KMH_HOME_PARTIAL);
	set = kmh_mcentral_set_locked(c, s);
	if (kmh_mcentral_comes_last(s))
		list_add_tail(&s->list, &c->partial[set]);
	else
		list_add(&s->list, &c->partial[set]);
	WRITE_ONCE(c->npartial, c->npartial + 1);
	kmh_unlock_irqrestore(&c->lock, flags);
	return true;
}

/* List a full span. Return: as above. */
static bool kmh_mcentral_list_full(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	unsigned long flags;

	if (!kmh_lock_irqsave(&c->lock, flags))
		return false;
	list_add(&s->list, &c->full[kmh_mcentral_set_locked(c, s)]);
	atomic_xchg(&s->home, KMH_HOME_LISTED);	/* ordered: see kmh_mcentral_settle_full() */
	kmh_unlock_irqrestore(&c->lock, flags);
	return true;
}

/*
 * A full span goes on a full set, or on no list. A free that came after the last fold may have
 * read the old home, so look once more when the new home is visible. A span that should be on a
 * full set and could not be listed is announced: the sweep finds it there, too.
 *
 * The exchange of the home is fully ordered: the next sweeper sees the free bits as they are left
 * here, and the second look pairs with the atomics that set remote and deferred bits. A store and a
 * barrier take ten times as long on User-Mode Linux, where smp_mb() is mfence.
 */
static void kmh_mcentral_settle_full(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	bool listed;

	preempt_disable();
	listed = kmh_mspan_must_be_listed(s) && kmh_mcentral_list_full(c, s);
	if (!listed)
		atomic_xchg(&s->home, KMH_HOME_FULL);
	if (kmh_mspan_foldable(s) || (!listed && kmh_mspan_must_be_listed(s)))
		kmh_inbox_announce(s);
	preempt_enable();
}

/* The span's pages are not the heap's any more (see lost_arena.c): it belongs on no list. */
static bool kmh_mspan_is_lost(const struct kmh_mspan *s)
{
	return READ_ONCE(s->state) == KMH_SPAN_GONE;
}

/* Put a folded span on the list where it belongs. */
static void kmh_mcentral_settle(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	if (unlikely(kmh_mspan_is_lost(s)))
		return;
	if (!kmh_mspan_has_avail(s)) {
		kmh_mcentral_settle_full(c, s);
	} else if (!kmh_mcentral_list_partial(c, s)) {	/* in NMI */
		atomic_set_release(&s->home, KMH_HOME_FULL);
		kmh_inbox_announce(s);
	}
}

/* Put down a swept span that its sweeper does not need: an empty one goes to the page heap. */
static void kmh_mcentral_put(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	if (unlikely(kmh_mspan_is_lost(s)))
		return;
	if (!kmh_mspan_has_avail(s))
		kmh_mcentral_settle_full(c, s);
	else if (kmh_mspan_empty(s) && kmh_mspan_may_go(s))
		kmh_mheap_free_span(s);
	else
		kmh_mcentral_settle(c, s);
}

/* ---- from the lists; what comes off has home CACHED and is the caller's */

/* Take a span off its partial set, if it is on one. */
bool kmh_mcentral_take_partial_locked(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	lockdep_assert_held(&c->lock);
	if (atomic_read(&s->home) != KMH_HOME_PARTIAL)
		return false;
	list_del_init(&s->list);
	WRITE_ONCE(c->npartial, c->npartial - 1);
	atomic_set(&s->home, KMH_HOME_CACHED);
	return true;
}

struct kmh_mspan *kmh_mcentral_pop_partial_locked(struct kmh_mcentral *c, unsigned int set)
{
	struct kmh_mspan *s;

	lockdep_assert_held(&c->lock);
	s = list_first_entry_or_null(&c->partial[set], struct kmh_mspan, list);
	return s && kmh_mcentral_take_partial_locked(c, s) ? s : NULL;
}

/* Take a span off its full set, unless it has been announced: then its inbox gives it out. */
bool kmh_mcentral_unlist_locked(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	lockdep_assert_held(&c->lock);
	if (atomic_cmpxchg(&s->home, KMH_HOME_LISTED, KMH_HOME_CACHED) != KMH_HOME_LISTED)
		return false;
	list_del_init(&s->list);
	return true;
}

/* Announced spans that a look at a full set passes over. */
#define KMH_FULL_SCAN		16U

/*
 * A span that has been announced stays on the set: it may not be in its inbox yet, and until it
 * has been popped there this generation is not swept.
 */
struct kmh_mspan *kmh_mcentral_pop_full_locked(struct kmh_mcentral *c, unsigned int set)
{
	unsigned int scan = KMH_FULL_SCAN;
	struct kmh_mspan *s;

	lockdep_assert_held(&c->lock);
	list_for_each_entry(s, &c->full[set], list) {
		if (kmh_mcentral_unlist_locked(c, s))
			return s;
		if (!--scan)	/* the caller takes in announced spans first */
			break;
	}
	return NULL;
}

/*
 * Make a span that was just popped the caller's, who is on a trip until it is back on a list or in
 * an mcache: for so long the open generation stays open.
 */
void kmh_mcentral_claim_locked(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	lockdep_assert_held(&c->lock);
	kmh_sweep_claim(s, kmh_mcentral_gen(c));
}

/* Bring a claimed span up to date, without the lock: sweep it, or only fold it. */
static void kmh_mcentral_ready(struct kmh_mspan *s)
{
	unsigned int own = atomic_read(&s->sweepgen);

	if (unlikely(kmh_mspan_is_lost(s)))
		return;
	if (own & 1)	/* claimed: h - 1 */
		kmh_sweep_span(s, own + 1, kmh_mcentral_phase(kmh_mspan_mcentral(s)));
	else
		kmh_mspan_fold(s);
}

/*
 * Sweep a claimed span, and put it where it belongs. An empty span stays while its class has no
 * other with free slots, because a class that was in use will be used again: a load that swings by
 * a few spans then finds the last one here instead of fetching it from the page heap each time.
 * Context: any; on the trip that has claimed the span.
 */
void kmh_mcentral_sweep_claimed(struct kmh_mspan *s)
{
	struct kmh_mcentral *c = kmh_mspan_mcentral(s);

	kmh_mcentral_ready(s);
	if (READ_ONCE(c->npartial))
		kmh_mcentral_put(c, s);
	else
		kmh_mcentral_settle(c, s);
}

/* Sweep a claimed span and put it down; if it is empty, even the last of its class goes back. */
void kmh_mcentral_release_claimed(struct kmh_mspan *s)
{
	struct kmh_mcentral *c = kmh_mspan_mcentral(s);

	kmh_mcentral_ready(s);
	kmh_mcentral_put(c, s);
}

/*
 * Spans looked at in one call, as in Go. Announced and swept partial spans have free slots unless
 * they were freed twice; unswept spans may all prove full.
 */
#define KMH_SPAN_BUDGET		100

/*
 * Take one span: announced for this CPU or for none; swept partial; announced for another CPU
 * (at most @ncpus inboxes are looked at); unswept partial; unswept full. Only the last two
 * have to be swept; apart from announced spans the order is Go's.
 */
static struct kmh_mspan *kmh_mcentral_pop_locked(struct kmh_mcentral *c, struct kmh_mcache *mc,
						 unsigned int ncpus)
{
	unsigned int swept = kmh_swept_set(c->phase);
	struct kmh_mspan *s;

	s = kmh_inbox_pop_announced_locked(c, mc);
	if (!s)
		s = kmh_mcentral_pop_partial_locked(c, swept);
	if (!s)
		s = kmh_inbox_steal_locked(c, ncpus);
	if (!s)
		s = kmh_mcentral_pop_partial_locked(c, !swept);
	if (!s)
		s = kmh_mcentral_pop_full_locked(c, !swept);
	return s;
}

/*
 * Pop and claim up to @n spans, more than one only of those that need no sweep. Return: a chain
 * through @node, in the order they were popped.
 */
static struct llist_node *kmh_mcentral_pop_chain_locked(struct kmh_mcentral *c,
							struct kmh_mcache *mc, unsigned int n,
							unsigned int ncpus)
{
	struct kmh_mspan *s = kmh_mcentral_pop_locked(c, mc, ncpus);
	struct llist_node *first = NULL, **end = &first;

	while (s) {
		kmh_mcentral_claim_locked(c, s);
		*end = &s->node;
		end = &s->node.next;
		s = --n ? kmh_inbox_pop_announced_locked(c, mc) : NULL;
		if (!s && n)
			s = kmh_mcentral_pop_partial_locked(c, kmh_swept_set(c->phase));
	}
	*end = NULL;
	return first;
}

/* Could kmh_mcentral_take() find something? A guess, without the lock. */
static bool kmh_mcentral_has_spans(struct kmh_mcentral *c)
{
	return READ_ONCE(c->npartial) || READ_ONCE(c->inboxes) || !kmh_inbox_empty(&c->inbox) ||
	       !list_empty(&c->full[!kmh_swept_set(READ_ONCE(c->phase))]);
}

/*
 * Take up to @n swept spans, each with a free slot. Context: on a trip. Return: a chain; NULL when
 * there is none, or in NMI when the lock is taken.
 */
static struct llist_node *kmh_mcentral_take(struct kmh_mcentral *c, struct kmh_mcache *mc,
					    unsigned int n, unsigned int ncpus)
{
	int budget = KMH_SPAN_BUDGET;

	while (budget > 0 && kmh_mcentral_has_spans(c)) {
		struct llist_node *first = NULL, **end = &first, *popped;
		struct kmh_mspan *s, *next;
		unsigned long flags;

		if (!kmh_lock_irqsave(&c->lock, flags))
			return NULL;
		kmh_test_point("under the lock of a class");
		popped = kmh_mcentral_pop_chain_locked(c, mc, n, ncpus);
		kmh_unlock_irqrestore(&c->lock, flags);
		if (!popped)
			return NULL;
		llist_for_each_entry_safe(s, next, popped, node) {
			budget--;
			kmh_mcentral_ready(s);
			if (likely(kmh_mspan_has_avail(s) && !kmh_mspan_is_lost(s))) {
				*end = &s->node;
				end = &s->node.next;
			} else {
				kmh_mcentral_settle(c, s);
			}
		}
		*end = NULL;
		if (first)
			return first;
	}
	return NULL;
}

/* Make a span of fresh pages, with home CACHED. Context: on a trip. */
static struct llist_node *kmh_mcentral_grow(struct kmh_node *node, unsigned int spanclass,
					    struct kmh_mcache *mc, bool atomic)
{
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];
	struct kmh_mspan *s;

	s = kmh_mheap_alloc_span(&node->mheap, mc, spanclass, class->npages, class->align_pages,
				 atomic, NULL);
	if (!s)
		return NULL;
	kmh_sweep_pay(s->heap, class->npages);
	s->node.next = NULL;
	return &s->node;
}

/* Bytes in spans that a refill takes at most, but one span always. */
#define KMH_REFILL_BYTES	SZ_32K

/*
 * Spans for an mcache to allocate from: in the order of kmh_mcentral_pop_locked(), with fresh
 * pages before many other CPUs' inboxes are looked into. Several of those that need no sweep, so
 * that the lock is taken once for them: after TCMalloc's batches of objects (num_objects_to_move),
 * but by span. @mc: the mcache in whose section the caller is; its page cache may be used.
 *
 * Context: any, in the section; so preemption is off. In NMI locks are only tried. Return: a chain
 * through @node of spans with home CACHED and at least one free slot each; NULL when there are no
 * pages left or, in NMI, a lock was taken.
 */
struct llist_node *kmh_mcentral_cache_spans(struct kmh_node *node, unsigned int spanclass,
					    struct kmh_mcache *mc)
{
	size_t bytes = kmh_classes[kmh_spanclass_class(spanclass)].npages * KMH_PAGE_SIZE;
	unsigned int n = clamp_t(unsigned int, KMH_REFILL_BYTES / bytes, 1, KMH_REFILL_SPANS);
	struct kmh_mcentral *c = kmh_mcentral_get(node, spanclass, mc && mc->atomic);
	struct kmh_mcache __percpu *mcache = READ_ONCE(node->mheap.heap->mcache);
	struct llist_node *first;
	struct kmh_mspan *s;

	if (unlikely(!c))
		return NULL;
	kmh_trip_begin(&mcache->trips);
	first = kmh_mcentral_take(c, mc, n, KMH_STEAL_CPUS) ?:
		kmh_mcentral_grow(node, spanclass, mc, mc && mc->atomic) ?:
		kmh_mcentral_take(c, mc, n, nr_cpu_ids);
	llist_for_each_entry(s, first, node) {
		/*
		 * Only this CPU writes the field: whoever finds the span by its address looks at
		 * its home first. Should the class advance right now, the span is at h + 1,
		 * rightly: it is stale.
		 */
		atomic_set(&s->sweepgen, atomic_read(&s->sweepgen) + 3);
		if (unlikely(kmh_heap_collected(s->heap)) && kmh_sweep_blackens(s))
			kmh_mspan_blacken(s);
	}
	kmh_trip_end(&mcache->trips);
	return first;
}

/*
 * Take back a span from an mcache, with home CACHED and owner NULL. An empty one goes on to the
 * page heap; one that cannot be listed, in NMI with the lock taken, is announced, which needs no
 * lock. Context: any; in the section, or the CPU is dead.
 */
void kmh_mcentral_uncache_span(struct kmh_node *node, struct kmh_mspan *s)
{
	kmh_assert_pinned();
	kmh_sweep_uncached(s);
	kmh_mcentral_put(kmh_mcentral_of(node, s->spanclass), s);
}

/*
 * The lowest free slot of a span, which is the caller's, becomes a client's: the object at *@p.
 * Slots that are another party's, because of two frees at the same time, are reported and left to
 * it. The span goes back on its list. Return: false when it had no slot to give.
 */
static bool kmh_mcentral_take_slot(struct kmh_mcentral *c, struct kmh_mspan *s, void **p)
{
	unsigned long avail, addr;
	struct kmh_slots *w;
	unsigned int slot;

	while ((w = kmh_mspan_next_word(s, 0)) && (avail = kmh_slots_avail(w))) {
		avail &= -avail;
		slot = (w - s->w) * KMH_WORD_SLOTS + __ffs(avail);
		addr = kmh_mspan_slot_addr(s, slot);
		WRITE_ONCE(w->free, w->free & ~avail);
		if (unlikely(kmh_heap_collected(s->heap)) && kmh_sweep_blackens(s))
			atomic_long_or(avail, kmh_mspan_mark(s, w - s->w));
		if (likely(READ_ONCE(s->cell[slot]) == KMH_CELL_OUT)) {
			WRITE_ONCE(s->cell[slot], KMH_CELL_LIVE);
			atomic_long_inc(&c->nested_allocs);
			kmh_mcentral_settle(c, s);
			*p = (void *)addr;
			return true;
		}
		kmh_misuse_twice(s->heap, addr, s->elemsize);
	}
	kmh_mcentral_settle(c, s);
	return false;
}

/*
 * One object, without the mcache: for an interrupt that found its CPU's mcache busy, and for a
 * foreign node. The caller is the span's sweeper for as long as the span is off the lists. If the
 * span had no slot to give after all, the next one is tried. That ends: the slots that seemed to be
 * free have been left to others, or their second bits will be folded with the next look.
 * @atomic: for a caller that cannot sleep.
 *
 * Context: any; preemption off. In NMI locks are only tried. Return: the object or NULL.
 */
void *kmh_mcentral_alloc_one(struct kmh_node *node, unsigned int spanclass, bool atomic)
{
	struct kmh_mcache __percpu *mcache = READ_ONCE(node->mheap.heap->mcache);
	struct kmh_mcentral *c = kmh_mcentral_get(node, spanclass, atomic);
	struct llist_node *n;
	void *p = NULL;

	kmh_assert_pinned();
	if (unlikely(!c))
		return NULL;
	kmh_trip_begin(&mcache->trips);
again:
	n = kmh_mcentral_take(c, NULL, 1, KMH_STEAL_CPUS) ?:
	    kmh_mcentral_grow(node, spanclass, NULL, atomic) ?:
	    kmh_mcentral_take(c, NULL, 1, nr_cpu_ids);
	if (n && unlikely(!kmh_mcentral_take_slot(c, llist_entry(n, struct kmh_mspan, node), &p)))
		goto again;
	kmh_trip_end(&mcache->trips);
	return p;
}

/* ---- all spans of a class */

/* Spans of lost arenas leave the sets. Context: any but NMI. */
void kmh_mcentral_drop_lost(struct kmh_mcentral *c)
{
	struct kmh_mspan *s, *next;
	unsigned int set;
	unsigned long flags;

	kmh_wait_lock_irqsave(&c->lock, flags);
	for (set = 0; set < 2; set++) {
		list_for_each_entry_safe(s, next, &c->partial[set], list)
			if (kmh_mspan_is_lost(s))
				kmh_mcentral_take_partial_locked(c, s);
		list_for_each_entry_safe(s, next, &c->full[set], list)
			if (kmh_mspan_is_lost(s))
				kmh_mcentral_unlist_locked(c, s);
	}
	kmh_unlock_irqrestore(&c->lock, flags);
}

/* Is the span of this class and node? Follows nothing: it may be broken. */
static bool kmh_mcentral_serves(const struct kmh_mcentral *c, const struct kmh_mspan *s)
{
	return container_of(s->mheap, struct kmh_node, mheap) == c->node &&
	       s->spanclass == c->spanclass;
}

/* Expect that the spans of one set agree with it; *@len is their number. Return: findings. */
static unsigned int kmh_mcentral_check_set_locked(struct kmh_mcentral *c, struct list_head *set,
						  enum kmh_span_home home, unsigned int *len,
						  kmh_finding_fn finding, void *ctx)
{
	struct kmh_mspan *s;
	unsigned int n = 0;

	list_for_each_entry(s, set, list) {
		int is = atomic_read(&s->home);

		++*len;
		if (kmh_mcentral_serves(c, s) && !READ_ONCE(s->owner) &&
		    (is == (int)home || (home == KMH_HOME_LISTED && is == KMH_HOME_ANNOUNCED)))
			continue;
		finding(ctx, "span %p on %s list %u: class %u, home %d, owner %p", s,
			home == KMH_HOME_PARTIAL ? "partial" : "full", c->spanclass, s->spanclass,
			is, s->owner);
		n++;
	}
	return n;
}

/*
 * Check the sets of a class. @finding is called for each violation, with the lock held: it must
 * not sleep. Context: any but NMI. Return: number of findings.
 */
unsigned int kmh_mcentral_validate(struct kmh_mcentral *c, kmh_finding_fn finding, void *ctx)
{
	unsigned int n = 0, npartial = 0, nfull = 0, i;
	unsigned long flags;

	kmh_wait_lock_irqsave(&c->lock, flags);
	for (i = 0; i < 2; i++) {
		n += kmh_mcentral_check_set_locked(c, &c->partial[i], KMH_HOME_PARTIAL, &npartial,
						   finding, ctx);
		n += kmh_mcentral_check_set_locked(c, &c->full[i], KMH_HOME_LISTED, &nfull,
						   finding, ctx);
	}
	if (npartial != c->npartial) {
		finding(ctx, "class %u: %u spans on the partial list, %u counted", c->spanclass,
			npartial, c->npartial);
		n++;
	}
	kmh_unlock_irqrestore(&c->lock, flags);
	return n;
}
