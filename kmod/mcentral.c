// SPDX-License-Identifier: GPL-2.0
/*
 * Central lists: the spans of one class on one node that no CPU caches.
 *
 * After Go's mcentral (src/runtime/mcentral.go): spans with free slots are listed,
 * full ones are not. A full span comes back when somebody frees into it from
 * outside: the first such free announces it, and refill takes announced spans
 * first. So nobody ever scans for spans that have become useful.
 */
#include "internal.h"

void kmh_mcentral_init(struct kmh_mcentral *c)
{
	raw_spin_lock_init(&c->lock);
	INIT_LIST_HEAD(&c->partial);
	init_llist_head(&c->announced);
}

static struct kmh_mcentral *kmh_mspan_mcentral(struct kmh_mspan *s)
{
	struct kmh_node *node = container_of(s->mheap, struct kmh_node, mheap);

	return &node->central[s->spanclass];
}

/**
 * kmh_mcentral_announce() - list a full span that has been freed into
 * @s: a span seen with home FULL.
 *
 * Whoever wins the exchange adds it; so it is on the list once however many free
 * into it. The span cannot go away meanwhile: only the holder of the mcentral lock
 * takes it off the list.
 *
 * Context: Any. What keeps the span: a free has preemption off, and everyone else
 * holds the mcentral lock or is the span's sweeper.
 */
void kmh_mcentral_announce(struct kmh_mspan *s)
{
	if (atomic_cmpxchg(&s->home, KMH_HOME_FULL, KMH_HOME_ANNOUNCED) == KMH_HOME_FULL)
		llist_add(&s->node, &kmh_mspan_mcentral(s)->announced);
}

/*
 * A full span goes nowhere. A remote free that came after the last fold may have
 * read the old home, so look once more after the new one is visible.
 */
static void kmh_mcentral_settle_full(struct kmh_mspan *s)
{
	unsigned int i;

	/* Release: the next sweeper sees the free bits as they are left here. */
	atomic_set_release(&s->home, KMH_HOME_FULL);
	smp_mb();	/* pairs with the fetch-or in kmh_mspan_set_remote() */
	for (i = 0; i < s->nwords; i++) {
		if (atomic_long_read(&s->w[i].remote)) {
			kmh_mcentral_announce(s);
			return;
		}
	}
}

/* Put a folded span where it belongs. */
static void kmh_mcentral_settle_locked(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	lockdep_assert_held(&c->lock);
	if (!kmh_mspan_next_word(s, 0)) {
		kmh_mcentral_settle_full(s);
		return;
	}
	atomic_set(&s->home, KMH_HOME_PARTIAL);
	list_add(&s->list, &c->partial);
	c->npartial++;
}

/* The first announced span, folded; it belongs to the caller. */
static struct kmh_mspan *kmh_mcentral_pop_announced_locked(struct kmh_mcentral *c)
{
	struct llist_node *n;
	struct kmh_mspan *s;

	lockdep_assert_held(&c->lock);
	n = llist_del_first(&c->announced);
	if (!n)
		return NULL;
	s = llist_entry(n, struct kmh_mspan, node);
	atomic_set(&s->home, KMH_HOME_CACHED);
	return s;
}

static struct kmh_mspan *kmh_mcentral_pop_partial_locked(struct kmh_mcentral *c)
{
	struct kmh_mspan *s;

	lockdep_assert_held(&c->lock);
	s = list_first_entry_or_null(&c->partial, struct kmh_mspan, list);
	if (!s)
		return NULL;
	list_del_init(&s->list);
	c->npartial--;
	atomic_set(&s->home, KMH_HOME_CACHED);
	return s;
}

/*
 * Spans looked at in one go. What is looked at has slots to give unless they were
 * freed twice, so the first nearly always does; Go's budget is 100 for lists on
 * which most spans may prove full.
 */
#define KMH_SPAN_BUDGET		16

/* A span with at least one slot to give, taken off the lists; NULL when there is none. */
static struct kmh_mspan *kmh_mcentral_take_locked(struct kmh_mcentral *c)
{
	unsigned int budget = KMH_SPAN_BUDGET;
	struct kmh_mspan *s;

	while (budget--) {
		s = kmh_mcentral_pop_announced_locked(c);
		if (!s)
			s = kmh_mcentral_pop_partial_locked(c);
		if (!s)
			return NULL;
		kmh_mspan_fold(s);
		if (kmh_mspan_next_word(s, 0))
			return s;
		kmh_mcentral_settle_full(s);
	}
	return NULL;
}

/* A span of fresh pages; home CACHED. */
static struct kmh_mspan *kmh_mcentral_grow(struct kmh_node *node, unsigned int spanclass,
					   struct kmh_mcache *mc)
{
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];

	return kmh_mheap_alloc_span(&node->mheap, mc, spanclass, class->npages,
				    class->align_pages, NULL);
}

/**
 * kmh_mcentral_cache_span() - a span for an mcache to allocate from
 * @node: whose.
 * @spanclass: which class.
 * @mc: the mcache in whose section the caller is; its page cache may be used.
 *
 * Order: announced, partial, fresh pages.
 *
 * Context: Any, in the section. In NMI locks are only tried.
 * Return: a span with home CACHED and at least one free slot; NULL when there are
 * no pages left or, in NMI, a lock was taken.
 */
struct kmh_mspan *kmh_mcentral_cache_span(struct kmh_node *node, unsigned int spanclass,
					  struct kmh_mcache *mc)
{
	struct kmh_mcentral *c = &node->central[spanclass];
	struct kmh_mspan *s = NULL;
	unsigned long flags;

	if (!list_empty(&c->partial) || !llist_empty(&c->announced)) {
		if (!kmh_lock_irqsave(&c->lock, flags))
			return NULL;
		s = kmh_mcentral_take_locked(c);
		raw_spin_unlock_irqrestore(&c->lock, flags);
	}
	return s ?: kmh_mcentral_grow(node, spanclass, mc);
}

/**
 * kmh_mcentral_uncache_span() - take back a span from an mcache
 * @node: whose.
 * @s: home CACHED, owner NULL.
 *
 * An empty one goes on to the page heap. In NMI a lock that is taken leaves
 * nothing to wait for: the span is announced, which needs no lock.
 *
 * Context: Any.
 */
void kmh_mcentral_uncache_span(struct kmh_node *node, struct kmh_mspan *s)
{
	struct kmh_mcentral *c = &node->central[s->spanclass];
	unsigned long flags;

	kmh_mspan_fold(s);
	if (!kmh_mspan_live(s, NULL)) {
		kmh_mheap_free_span(s);
		return;
	}
	if (!kmh_mspan_next_word(s, 0)) {
		kmh_mcentral_settle_full(s);
		return;
	}
	if (kmh_lock_irqsave(&c->lock, flags)) {
		kmh_mcentral_settle_locked(c, s);
		raw_spin_unlock_irqrestore(&c->lock, flags);
		return;
	}
	atomic_set_release(&s->home, KMH_HOME_FULL);
	kmh_mcentral_announce(s);
}

/* NULL when a double free that lost its race has just made the last slot wait for the fold. */
static void *kmh_mcentral_take_slot(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	struct kmh_slots *w = kmh_mspan_next_word(s, 0);
	unsigned long avail = w ? kmh_slots_avail(w) : 0;

	lockdep_assert_held(&c->lock);
	if (unlikely(!avail))
		return NULL;
	WRITE_ONCE(w->free, w->free & ~(avail & -avail));
	c->nested_allocs++;
	return (void *)kmh_mspan_slot_addr(s, (w - s->w) * KMH_WORD_SLOTS + __ffs(avail));
}

/**
 * kmh_mcentral_alloc_one() - one object past the mcache
 * @node: from where.
 * @spanclass: which class.
 *
 * For an interrupt that found its CPU's mcache busy, and for a foreign node. The
 * caller is the span's sweeper for as long as it holds the lock.
 *
 * Context: Any. In NMI locks are only tried.
 * Return: the object or NULL.
 */
void *kmh_mcentral_alloc_one(struct kmh_node *node, unsigned int spanclass)
{
	struct kmh_mcentral *c = &node->central[spanclass];
	struct kmh_mspan *s, *fresh = NULL;
	unsigned long flags;
	void *p = NULL;

	if (!kmh_lock_irqsave(&c->lock, flags))
		return NULL;
	s = kmh_mcentral_take_locked(c);
	if (!s) {
		raw_spin_unlock_irqrestore(&c->lock, flags);
		fresh = kmh_mcentral_grow(node, spanclass, NULL);
		if (!fresh)
			return NULL;
		if (!kmh_lock_irqsave(&c->lock, flags)) {
			kmh_mheap_free_span(fresh);
			return NULL;
		}
		s = fresh;
	}
	p = kmh_mcentral_take_slot(c, s);
	kmh_mcentral_settle_locked(c, s);
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return p;
}

/* Up to KMH_SPAN_BUDGET spans that have come out empty, moved to @empty. */
static bool kmh_mcentral_collect_empty_locked(struct kmh_mcentral *c, struct list_head *seen,
					      struct list_head *empty)
{
	unsigned int budget = KMH_SPAN_BUDGET;
	struct kmh_mspan *s;

	lockdep_assert_held(&c->lock);
	while (budget--) {
		s = kmh_mcentral_pop_announced_locked(c);
		if (!s)
			s = kmh_mcentral_pop_partial_locked(c);
		if (!s)
			return false;
		kmh_mspan_fold(s);
		if (!kmh_mspan_live(s, NULL))
			list_add(&s->list, empty);
		else if (kmh_mspan_next_word(s, 0))
			list_add_tail(&s->list, seen);
		else
			kmh_mcentral_settle_full(s);
	}
	return true;
}

/**
 * kmh_mcentral_release_empty() - send empty spans back to the page heap
 * @node: whose.
 * @spanclass: which class.
 *
 * Looks at every listed span once, a budget's worth under each hold of the lock.
 * Spans that stay are put back at the end; an allocation that comes meanwhile
 * finds fewer of them and takes fresh pages at worst.
 *
 * Context: Any but NMI.
 */
void kmh_mcentral_release_empty(struct kmh_node *node, unsigned int spanclass)
{
	struct kmh_mcentral *c = &node->central[spanclass];
	struct kmh_mspan *s, *next;
	unsigned long flags;
	LIST_HEAD(empty);
	LIST_HEAD(seen);
	bool more;

	do {
		raw_spin_lock_irqsave(&c->lock, flags);
		more = kmh_mcentral_collect_empty_locked(c, &seen, &empty);
		raw_spin_unlock_irqrestore(&c->lock, flags);
		list_for_each_entry_safe(s, next, &empty, list) {
			list_del_init(&s->list);
			kmh_mheap_free_span(s);
		}
	} while (more);

	list_for_each_entry_safe(s, next, &seen, list) {
		list_del_init(&s->list);
		raw_spin_lock_irqsave(&c->lock, flags);
		kmh_mcentral_settle_locked(c, s);
		raw_spin_unlock_irqrestore(&c->lock, flags);
	}
}

/**
 * kmh_mcentral_validate() - the list of partial spans
 * @node: whose.
 * @spanclass: which class.
 * @finding: called for each violation, with the lock held: must not sleep.
 * @ctx: passed through.
 *
 * Context: Any but NMI.
 * Return: number of findings.
 */
unsigned int kmh_mcentral_validate(struct kmh_node *node, unsigned int spanclass,
				   kmh_finding_fn finding, void *ctx)
{
	struct kmh_mcentral *c = &node->central[spanclass];
	unsigned int n = 0, len = 0;
	struct kmh_mspan *s;
	unsigned long flags;

	raw_spin_lock_irqsave(&c->lock, flags);
	list_for_each_entry(s, &c->partial, list) {
		len++;
		if (s->spanclass == spanclass && !READ_ONCE(s->owner) &&
		    atomic_read(&s->home) == KMH_HOME_PARTIAL && s->mheap == &node->mheap)
			continue;
		finding(ctx, "span %p on partial list %u: class %u, home %d, owner %p", s,
			spanclass, s->spanclass, atomic_read(&s->home), s->owner);
		n++;
	}
	if (len != c->npartial) {
		finding(ctx, "class %u: %u spans on the partial list, %u counted", spanclass, len,
			c->npartial);
		n++;
	}
	raw_spin_unlock_irqrestore(&c->lock, flags);
	return n;
}
