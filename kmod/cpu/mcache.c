// SPDX-License-Identifier: GPL-2.0
/*
 * Per-CPU caches: one span per span class from which this CPU allocates.
 *
 * After Go's mcache (src/runtime/mcache.go). The rule that makes it lock-free
 * stands at struct kmh_mcache.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/smp.h>

#include "cpu/mcache.h"
#include "base/backend.h"
#include "central/sweepspan.h"
#include "cpu/depot.h"
#include "cpu/magazine.h"
#include "cpu/tiny.h"
#include "cpu/watch.h"
#include "heap.h"
#include "span/slot.h"

/* Make a word of the cached span the window of class @c, whose window is empty. */
static void kmh_mcslot_set_word(struct kmh_mcslot *c, unsigned int word)
{
	struct kmh_mspan *s = c->span;

	c->wbase = kmh_mspan_slot_addr(s, word * KMH_WORD_SLOTS);
	c->wcell = &s->cell[word * KMH_WORD_SLOTS];
}

/* The word of the window; the class has a span. */
static unsigned int kmh_mcslot_word(const struct kmh_mcslot *c)
{
	return (c->wcell - c->span->cell) / KMH_WORD_SLOTS;
}

/*
 * Set aside the next slots of the window, those side by side from the lowest free one on. In the
 * section. False when the window has none.
 */
static bool kmh_mcache_reload(struct kmh_mcache *mc, unsigned int spanclass)
{
	unsigned int n = kmh_batch_slots(kmh_spanclass_size[spanclass]);
	struct kmh_mcslot *c = &mc->slot[spanclass];
	unsigned long avail;
	struct kmh_slots *w;

	if (!c->span)
		return false;
	w = &c->span->w[kmh_mcslot_word(c)];
	avail = kmh_slots_avail(w);
	if (!avail)
		return false;
	avail &= ~0UL >> (KMH_WORD_SLOTS - n) << (__ffs(avail) & -n);
	WRITE_ONCE(w->free, w->free & ~avail);
	WRITE_ONCE(c->avail, avail);
	/* Statistics load it outside the section. */
	data_race(mc->taken[spanclass] += hweight_long(avail));
	return true;
}

/*
 * Turn the window, which is empty, to another word of the cached span; in the section. Only words
 * with free bits are tried: folding and sweeping are for kmh_mcache_refill(). Return: false when no
 * word has one.
 */
static bool kmh_mcslot_turn(struct kmh_mcslot *c)
{
	struct kmh_mspan *s = c->span;
	unsigned int i, word;

	if (!s)
		return false;
	word = kmh_mcslot_word(c);
	for (i = 1; i < s->nwords; i++) {
		if (++word == s->nwords)
			word = 0;
		if (!kmh_slots_avail(&s->w[word]))
			continue;
		kmh_mcslot_set_word(c, word);
		return true;
	}
	return false;
}

/*
 * What came next in class @c could not be taken, as its cell names another party: the object has
 * been freed twice. Report that, and leave it to that party. In the section.
 */
static noinline void kmh_mcslot_amiss(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	unsigned int spanclass = c - mc->slot;
	unsigned long addr, bit;

	if (c->head < c->ready) {
		addr = c->head->addr;
		WRITE_ONCE(c->head, c->head + 1);
	} else {
		bit = c->avail & -c->avail;
		addr = c->wbase + __ffs(bit) * kmh_spanclass_size[spanclass];
		WRITE_ONCE(c->avail, c->avail ^ bit);
	}
	/* It was no allocation; statistics load the counter. */
	WRITE_ONCE(mc->taken[spanclass], mc->taken[spanclass] - 1);
	kmh_misuse_twice(mc->heap, addr, kmh_spanclass_size[spanclass]);
}

/* kmh_mcache_take() where nobody watches. */
void *kmh_mcache_take_unwatched(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_mcslot *c = &mc->slot[spanclass];
	void *p;

	for (;;) {
		if (c->head < c->ready || c->avail) {
			if (likely(kmh_mcslot_take(mc, c, spanclass, KMH_CELL_LIVE, &p)))
				return p;
			kmh_mcslot_amiss(mc, c);
		} else if (!kmh_mcache_reload(mc, spanclass) &&
			   !(kmh_mcslot_turn(c) && kmh_mcache_reload(mc, spanclass))) {
			return NULL;
		}
	}
}

/*
 * Take an object from the magazine, the window, or another word of the span. In the section. NULL:
 * there is none, and kmh_mcache_refill() is next.
 */
void *kmh_mcache_take(struct kmh_mcache *mc, unsigned int spanclass)
{
	return kmh_watched(mc) ? kmh_watch_take(mc, spanclass) :
				 kmh_mcache_take_unwatched(mc, spanclass);
}

/* Give up span @s. In the section of @mc, or its CPU is dead. */
static void kmh_mcache_uncache(struct kmh_mcache *mc, struct kmh_mspan *s)
{
	WRITE_ONCE(s->owner, NULL);
	if (likely(s->state == KMH_SPAN_SMALL))
		s->keeper = mc;
	kmh_mcentral_uncache_span(mc->node, s);
}

/* Give slots of the window, @mask, back to its span. In the section of @mc, or its CPU is dead. */
void kmh_mcslot_return(struct kmh_mcache *mc, struct kmh_mcslot *c, unsigned long mask)
{
	struct kmh_slots *w;

	if (!mask)
		return;
	w = &c->span->w[kmh_mcslot_word(c)];
	kmh_misuse_twice_slots(c->span, kmh_mcslot_word(c), w->free & mask);
	WRITE_ONCE(w->free, w->free | mask);
	/* Statistics load the counter outside the section. */
	data_race(mc->taken[c - mc->slot] -= hweight_long(mask));
	WRITE_ONCE(c->avail, c->avail & ~mask);
}

/* Give up the span that class @c allocates from. */
static void kmh_mcslot_uncache(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	struct kmh_mspan *s = c->span;

	if (!s)
		return;
	kmh_mcslot_return(mc, c, c->avail);
	WRITE_ONCE(c->span, NULL);
	kmh_mcache_uncache(mc, s);
}

static struct kmh_mspan *kmh_mcache_pop_spare(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct llist_node *n = mc->spare[spanclass];

	if (!n)
		return NULL;
	WRITE_ONCE(mc->spare[spanclass], n->next);
	return llist_entry(n, struct kmh_mspan, node);
}

/* The next span to allocate from: a spare one, or the first of those that mcentral gives. */
static struct kmh_mspan *kmh_mcache_next_span(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_mspan *s = kmh_mcache_pop_spare(mc, spanclass);
	struct llist_node *n;

	if (s) {
		kmh_sweep_if_stale(s);
		return s;
	}
	n = kmh_mcentral_cache_spans(mc->node, spanclass, mc);
	if (!n)
		return NULL;
	data_race(mc->refills[spanclass]++);	/* statistics load it outside the section */
	kmh_kick_ask(&mc->heap->idle.kick);
	llist_for_each_entry(s, n, node) {
		WRITE_ONCE(s->owner, mc);
		/* Its objects were freed past the mcaches if it was made before there were any. */
		if (unlikely(s->mcache != mc->heap->mcaches))
			WRITE_ONCE(s->mcache, mc->heap->mcaches);
	}
	WRITE_ONCE(mc->spare[spanclass], n->next);
	return llist_entry(n, struct kmh_mspan, node);
}

/* The next slots of a class that has no span. In the section. */
static bool kmh_mcache_search(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	unsigned int spanclass = c - mc->slot;
	struct kmh_mspan *s;
	struct kmh_slots *w;

	while ((s = kmh_mcache_next_span(mc, spanclass))) {
		WRITE_ONCE(c->span, s);
		w = kmh_mspan_next_word(s, 0);
		if (likely(w)) {
			kmh_mcslot_set_word(c, w - s->w);
			return true;
		}
		/* A remote bit that came meanwhile, of a second free, bars the only free slot. */
		kmh_mcslot_uncache(mc, c);
		if (!mc->spare[spanclass])
			break;
	}
	return false;
}

/*
 * Find the next slots of a class whose window is empty, in the section: what other CPUs have given
 * if this one allocates only, then the cached spans (other words, remote frees), then mcentral,
 * then fresh pages, then whatever was given, from its spans where this CPU cannot take it. In NMI
 * the locks on the way are only tried.
 *
 * Return: true when kmh_mcache_take() will succeed. Rarely it fails all the same: of two frees at
 * the same time one has the slot that the other has given to the span, or is giving it now.
 */
bool kmh_mcache_refill(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_mcslot *c = &mc->slot[spanclass];
	struct kmh_mspan *s = c->span;
	struct kmh_slots *w;
	bool given;

	if (kmh_depot_wanted(mc, spanclass) && kmh_depot_take(mc, c))
		return true;
	if (s) {
		kmh_sweep_if_stale(s);
		w = kmh_mspan_next_word(s, kmh_mcslot_word(c));
		if (w) {
			kmh_mcslot_set_word(c, w - s->w);
			return true;
		}
		kmh_mcslot_uncache(mc, c);
	}
	if (likely(kmh_mcache_search(mc, c)))
		return true;
	given = kmh_depot_len(mc->node, spanclass);
	return kmh_depot_take(mc, c) || (given && kmh_mcache_search(mc, c));
}

/*
 * Refill, and take an object; once more when a refill finds nothing but slots of objects that were
 * freed twice at the same time. That ends: the take has left the slots that it found to their other
 * holders, and the bits that barred the rest from it are gone after the next refill. Freed objects
 * need not rest when a caller that cannot wait for memory would get none. In the section. Return:
 * NULL when there is none.
 */
void *kmh_mcache_refill_take(struct kmh_mcache *mc, unsigned int spanclass)
{
	void *p;

	while (likely(kmh_mcache_refill(mc, spanclass))) {
		p = kmh_mcache_take(mc, spanclass);
		if (likely(p))
			return p;
	}
	if (!mc->atomic)
		return NULL;
	p = kmh_magazine_take_resting(mc, &mc->slot[spanclass]);
	if (p && kmh_watched(mc))
		kmh_watch_took_resting(mc, spanclass, p);
	return p;
}

/*
 * May an object of the span go into the magazine? One of another node than the CPU allocates from
 * may not, nor may any on a CPU whose tag is another one's, nor the one that makes the span shared:
 * should the other CPU be between its look at @freer and its store, there is no entry yet whose
 * cell it writes. If it stands still there for longer, there may be one: see KMH_FREER_SHARED. In
 * the section.
 */
static bool kmh_mcache_may_keep(struct kmh_mcache *mc, struct kmh_mspan *s)
{
	u8 freer = READ_ONCE(s->freer);

	if (READ_ONCE(s->nid) != mc->nid || unlikely(smp_processor_id() >= KMH_CELL_TAGS))
		return false;
	if (freer == KMH_FREER_NONE) {
		kmh_test_point("first free of a span: before the exchange");
		freer = cmpxchg(&s->freer, KMH_FREER_NONE, mc->tag) ?: mc->tag;
	}
	if (freer == mc->tag || freer == KMH_FREER_SHARED)
		return true;
	cmpxchg(&s->freer, freer, KMH_FREER_SHARED);
	return false;
}

/*
 * Free a slot when kmh_mcslot_put() cannot: past the magazine, or into it once it has room. The
 * claim comes first, as the slot keeps the span from then on: to make room takes a while, and so
 * does a wipe, and after another free of the object the descriptor may be another span's. What
 * comes meanwhile, in an interrupt, goes past the mcache. In the section. Return: KMH_FREE_DOUBLE,
 * and nothing done, when the object was not live.
 */
enum kmh_free_result kmh_mcache_free_slow(struct kmh_mcache *mc, struct kmh_mspan *s,
					  unsigned long slot, unsigned long addr)
{
	bool keep = kmh_mcache_may_keep(mc, s);
	u8 cell = keep ? mc->tag : KMH_CELL_OUT, was;
	struct kmh_mcslot *c;

	kmh_test_point("free: before the claim");
	was = kmh_slot_claim_from(s, slot, cell);
	if (unlikely(!kmh_cell_live(was)))
		return KMH_FREE_DOUBLE;
	if (unlikely(kmh_mspan_slot_addr(s, slot) != addr || READ_ONCE(s->heap) != mc->heap)) {
		kmh_slot_unclaim(s, slot, cell, was);	/* another span's by now */
		return KMH_FREE_DOUBLE;
	}
	kmh_slot_dead(s, addr);
	c = kmh_mcache_slot(mc, s);
	if (keep && kmh_watched(mc))
		kmh_watch_open(mc, c - mc->slot);
	if (keep && likely(c->tail != c->limit || kmh_magazine_make_room(mc, c))) {
		kmh_mcslot_push(c, c->tail, addr, &s->cell[slot]);
		kmh_watch_reopen(mc, c - mc->slot);
		return KMH_FREE_OK;
	}
	if (keep && unlikely(cmpxchg(&s->cell[slot], cell, KMH_CELL_OUT) != cell))
		kmh_misuse_twice(mc->heap, addr, s->elemsize);
	else
		kmh_mcache_give(mc, s, slot / KMH_WORD_SLOTS, BIT(slot % KMH_WORD_SLOTS));
	return KMH_FREE_OK;
}

/*
 * Free the object at @addr, in a slot below nelems of a small or tiny span. Context: any;
 * preemption off. Return: KMH_FREE_DOUBLE, and nothing done, when it was not live.
 */
enum kmh_free_result kmh_free_slot(struct kmh_mspan *s, unsigned int slot, unsigned long addr)
{
	struct kmh_mcache *mc = kmh_this_cpu_ptr(s->mcache, kmh_this_cpu_offset());
	enum kmh_free_result res;

	kmh_assert_pinned();
	if (!kmh_mcache_enter(mc))
		return kmh_mspan_free_remote(s, slot, addr);
	res = kmh_mcache_free_slow(mc, s, slot, addr);
	kmh_mcache_leave(mc);
	return res;
}

/* Call @fn for every span that an mcache holds. In the section. */
void kmh_mcache_walk_spans(struct kmh_mcache *mc, void (*fn)(struct kmh_mspan *s))
{
	struct kmh_mspan *s;
	unsigned int i;

	for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
		if (mc->slot[i].span)
			fn(mc->slot[i].span);
		llist_for_each_entry(s, mc->spare[i], node)
			fn(s);
	}
}

/*
 * Give everything an mcache holds to the tiers behind it. In its section, or its CPU is dead.
 * Large objects go to the stores of their nodes; the caller has to call kmh_largestore_drain().
 */
void kmh_mcache_drain_locked(struct kmh_mcache *mc)
{
	struct kmh_mspan *s;
	unsigned int i;

	kmh_assert_pinned();
	kmh_tiny_close(mc);
	kmh_magazines_drain(mc);
	kmh_magazines_free(mc);
	for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
		kmh_mcslot_uncache(mc, &mc->slot[i]);
		while ((s = kmh_mcache_pop_spare(mc, i)))
			kmh_mcache_uncache(mc, s);
	}
	kmh_pagecache_drain(&mc->node->mheap, &mc->pages);
	kmh_largecache_drain(mc);
}

/* Is there anything that a drain would give back? A guess, from any CPU. */
bool kmh_mcache_holds_any(const struct kmh_mcache *mc)
{
	unsigned int i;

	if (READ_ONCE(mc->pages.bits) || READ_ONCE(mc->large.parked.npages))
		return true;
	for (i = 0; i < KMH_NR_SPANCLASSES; i++)
		if (READ_ONCE(mc->slot[i].span) || READ_ONCE(mc->spare[i]) ||
		    READ_ONCE(mc->magazine[i]))
			return true;
	return false;
}

struct kmh_visit {
	struct kmheap *heap;
	void (*fn)(struct kmh_mcache *mc);
	bool (*wanted)(const struct kmh_mcache *mc);
	atomic_t ndone, nbusy;
};

static void kmh_visit_this_cpu(void *arg)
{
	struct kmh_visit *v = arg;
	struct kmh_mcache *mc = kmh_mcache_of(v->heap, smp_processor_id());

	if (!mc)
		return;
	if (!kmh_mcache_enter(mc)) {
		atomic_inc(&v->nbusy);
		return;
	}
	v->fn(mc);
	kmh_mcache_leave(mc);
	atomic_inc(&v->ndone);
}

static bool kmh_visit_wanted(int cpu, void *arg)
{
	struct kmh_visit *v = arg;
	struct kmh_mcache *mc = kmh_mcache_of(v->heap, cpu);

	return mc && (!v->wanted || v->wanted(mc));
}

/*
 * Call @fn in the sections of the online CPUs: on each one, in an interrupt, because only a CPU
 * may look at its own flag. A CPU that is in its section when the interrupt arrives is passed
 * over. @wanted: which mcaches, by a guess from another CPU; NULL for all.
 *
 * Context: process context. Return: on how many CPUs @fn was called, and how many were in theirs.
 */
struct kmh_visited kmh_mcache_visit(struct kmheap *heap, void (*fn)(struct kmh_mcache *mc),
				    bool (*wanted)(const struct kmh_mcache *mc))
{
	struct kmh_visit v = { .heap = heap, .fn = fn, .wanted = wanted };

	on_each_cpu_cond(kmh_visit_wanted, kmh_visit_this_cpu, &v, true);
	return (struct kmh_visited){ atomic_read(&v.ndone), atomic_read(&v.nbusy) };
}

static bool kmh_mcache_holds(const struct kmh_mcache *mc, unsigned int spanclass,
			     const struct kmh_mspan *s)
{
	return READ_ONCE(s->owner) == mc && s->spanclass == spanclass &&
	       atomic_read(&s->home) == KMH_HOME_CACHED;
}

/* The first cached span of a class that does not agree with its cache. */
static struct kmh_mspan *kmh_mcache_stray(const struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_mspan *s = READ_ONCE(mc->slot[spanclass].span);
	unsigned int left = KMH_REFILL_SPANS;
	struct llist_node *n;

	if (s && !kmh_mcache_holds(mc, spanclass, s))
		return s;
	/* Bounded: a spare span that is taken meanwhile may lead anywhere. */
	for (n = READ_ONCE(mc->spare[spanclass]); n && left--; n = READ_ONCE(n->next)) {
		s = llist_entry(n, struct kmh_mspan, node);
		if (!kmh_mcache_holds(mc, spanclass, s))
			return s;
	}
	return NULL;
}

/* A span that is on its way in or out disagrees only for a moment: look several times. */
static struct kmh_mspan *kmh_mcache_lasting_stray(const struct kmh_mcache *mc,
						  unsigned int spanclass)
{
	struct kmh_mspan *s = kmh_mcache_stray(mc, spanclass);
	unsigned int looks;

	for (looks = 1; s && looks < KMH_FINDING_LOOKS; looks++) {
		kmh_finding_pause();
		if (kmh_mcache_stray(mc, spanclass) != s)
			return NULL;
	}
	return s;
}

/*
 * Check that cached spans agree with their caches. @finding is called for each that does not.
 * Context: process context; sleeps. CPUs go on meanwhile. Return: number of findings.
 */
unsigned int kmh_mcache_validate(struct kmheap *heap, kmh_finding_fn finding, void *ctx)
{
	unsigned int i, n = 0;
	struct kmh_mcache *mc;
	int cpu = -1;

	while ((mc = kmh_next_mcache(heap, &cpu))) {
		for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
			struct kmh_mspan *s = kmh_mcache_lasting_stray(mc, i);

			if (!s)
				continue;
			finding(ctx,
				"heap %s cpu %u span class %u: cached span %p has class %u, home %d, owner %p",
				heap->name, cpu, i, s, s->spanclass, atomic_read(&s->home),
				READ_ONCE(s->owner));
			n++;
		}
	}
	return n;
}
