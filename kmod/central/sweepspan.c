// SPDX-License-Identifier: GPL-2.0
/*
 * What is done to a span that has been claimed: fold and sweep.
 *
 * To fold is to take a span's remote frees into its free bits. To sweep is to fold, after taking
 * in what the open generation is for: deferred frees that have expired, or what a collection has
 * not marked. One span at a time, by whoever has claimed it (see the table in design.rst 4.5);
 * nothing here takes a lock.
 */
#include <linux/bitops.h>
#include <linux/mm.h>
#include <trace/events/kmheap.h>

#include "central/sweepspan.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/slot.h"

/* ---- fold */

/*
 * Must a slot that becomes free in a span be marked? It must if what is allocated there has to
 * survive a sweep for marks that the span has yet to see. One that is being swept right now has
 * seen it.
 */
bool kmh_sweep_blackens(const struct kmh_mspan *s)
{
	unsigned long phase = kmh_mcentral_phase(kmh_mspan_mcentral(s));
	unsigned int gen = kmh_phase_gen(phase), own = atomic_read(&s->sweepgen);

	if (phase & KMH_PHASE_MARKING)
		return true;
	return kmh_phase_what(phase) == KMH_SWEEP_MARKS &&
	       own != gen && own != gen - 1 && own != gen + 3;
}

/*
 * May an empty span, whose bits say that it has all slots, go to the page heap? Not if a cell says
 * otherwise: of two frees at the same time one has given the slot back, and then the other, which
 * had seen the object live, has put it into its magazine. That one has it, so its bit goes.
 * Context: the sweeper's.
 */
bool kmh_mspan_may_go(struct kmh_mspan *s)
{
	unsigned long others;
	unsigned int i;
	bool all = true;

	/* Freed and deferred at the same time: the sweep reports that, and counts it. */
	for (i = 0; i < s->nwords && unlikely(s->dirty[0] | s->dirty[1]); i++)
		if (kmh_mspan_waiting(s, i))
			return false;
	if (likely(!memchr_inv(s->cell, KMH_CELL_OUT, s->nelems)))
		return true;
	for (i = 0; i < s->nwords; i++) {
		others = s->w[i].free & ~kmh_cells_of(s, i, KMH_CELL_OUT);
		if (!others)
			continue;
		WRITE_ONCE(s->w[i].free, s->w[i].free & ~others);
		kmh_misuse_twice_slots(s, i, others);
		all = false;
	}
	return all;
}

/*
 * Take the remote frees of one word into its free bits. Context: the sweeper's, preemption off.
 * Return: number of slots that became free.
 */
unsigned int kmh_mspan_fold_word(struct kmh_mspan *s, unsigned int word)
{
	struct kmh_slots *w = &s->w[word];
	unsigned long remote, both;

	kmh_assert_pinned();
	if (!atomic_long_read(&w->remote))
		return 0;
	/* Pairs with the atomics that set the bits: what the slots held is not used any more. */
	remote = atomic_long_xchg(&w->remote, 0);
	/* A second free that came too late may have set a bit without a slot: design.rst 12.3. */
	remote &= kmh_mspan_word_mask(s, word);
	both = remote & w->free;
	if (unlikely(kmh_heap_collected(s->heap)) && kmh_sweep_blackens(s))
		atomic_long_or(remote, kmh_mspan_mark(s, word));
	WRITE_ONCE(w->free, w->free | remote);
	kmh_misuse_twice_slots(s, word, both);
	return hweight_long(remote & ~both);
}

/* Fold every word. Context and Return: as for kmh_mspan_fold_word(). */
unsigned int kmh_mspan_fold(struct kmh_mspan *s)
{
	unsigned int i, n = 0;

	kmh_assert_pinned();
	for (i = 0; i < s->nwords; i++)
		n += kmh_mspan_fold_word(s, i);
	return n;
}

/*
 * The word to allocate from next, from word @from on and once round; NULL when the span is full.
 * Folds on the way, so that a span that other CPUs free into stays in use without going through
 * mcentral. Context: the sweeper's.
 */
struct kmh_slots *kmh_mspan_next_word(struct kmh_mspan *s, unsigned int from)
{
	unsigned int i, word = from;

	for (i = 0; i < s->nwords; i++, word++) {
		if (word >= s->nwords)
			word = 0;
		kmh_mspan_fold_word(s, word);
		if (kmh_slots_avail(&s->w[word]))
			return &s->w[word];
	}
	return NULL;
}

/* ---- sweep */

/*
 * Become the sweeper of a span that is not cached and cannot go away meanwhile. Nor does @gen
 * advance, the generation of its class. Context: any. Return: false when it is swept or cached, or
 * another sweeper has claimed it.
 */
bool kmh_sweep_claim(struct kmh_mspan *s, unsigned int gen)
{
	unsigned int old = atomic_read(&s->sweepgen);

	/* By equality: a full span that nobody frees into may be any number of generations old. */
	if (old & 1 || old == gen)
		return false;
	return atomic_cmpxchg(&s->sweepgen, old, gen - 1) == (int)old;
}

/* Claim a span for its owner, if it was cached before its class advanced. */
static bool kmh_sweep_claim_cached(struct kmh_mspan *s, unsigned int gen)
{
	return atomic_read(&s->sweepgen) == (int)(gen + 1) &&
	       atomic_cmpxchg(&s->sweepgen, gen + 1, gen - 1) == (int)(gen + 1);
}

/*
 * Is another party to free a dead object, because it has a special? The caller has made the slot's
 * cell OUT, and sets its remote bit if not.
 */
static bool kmh_sweep_special(struct kmh_mspan *s, unsigned int slot, unsigned long addr)
{
	if (likely(!READ_ONCE(s->nspecials)))
		return false;
	WRITE_ONCE(s->cell[slot], KMH_CELL_SPECIAL);
	if (kmh_special_die(s, addr))
		return true;
	WRITE_ONCE(s->cell[slot], KMH_CELL_OUT);
	return false;
}

/*
 * The objects in @slots of a word, whose cells the caller has just made OUT, are dead: wipe them,
 * tell their specials, and leave the slots to the fold that follows. An object with a finalizer is
 * the worker's from here on.
 */
static void kmh_sweep_bury(struct kmh_mspan *s, unsigned int word, unsigned long slots)
{
	unsigned long left = slots, twice;
	unsigned int bit;

	if (READ_ONCE(s->nspecials) || kmh_wants_wipe() || kmh_heap_sanitized(s->heap)) {
		for_each_set_bit(bit, &left, KMH_WORD_SLOTS) {
			unsigned int slot = word * KMH_WORD_SLOTS + bit;
			unsigned long addr = kmh_mspan_slot_addr(s, slot);

			/* A finalizer still reads the object: as in kmh_free_small(). */
			if (!READ_ONCE(s->nspecials) || !kmh_special_finalizes(s, addr))
				kmh_slot_dead(s, addr);
			if (kmh_sweep_special(s, slot, addr))
				slots &= ~BIT(bit);
		}
	}
	twice = slots ? atomic_long_fetch_or(slots, &s->w[word].remote) & slots : 0;
	if (unlikely(twice))
		kmh_misuse_twice_slots(s, word, twice);
}

void kmh_sweep_survivors(struct kmh_mspan *s, unsigned int word, unsigned long slots,
			 unsigned int gen)
{
	unsigned int bit;

	if (likely(!READ_ONCE(s->nspecials)))
		return;
	for_each_set_bit(bit, &slots, KMH_WORD_SLOTS)
		kmh_special_survive(s, kmh_mspan_slot_addr(s, word * KMH_WORD_SLOTS + bit), gen);
}

/* The open generation has freed @n objects. Counted while somebody traces it, and not else. */
noinline void kmh_sweep_freed(struct kmheap *heap, unsigned long n, size_t bytes)
{
	atomic_long_add(n, &heap->sweep.objects);
	atomic_long_add(bytes, &heap->sweep.bytes);
}

/* The grace period of @set is over: its slots wait no longer. */
static void kmh_sweep_deferred(struct kmh_mspan *s, unsigned int set)
{
	unsigned int i, n = 0;

	if (!READ_ONCE(s->dirty[set]))
		return;
	WRITE_ONCE(s->dirty[set], 0);
	smp_mb();	/* dirty, bits: pairs with the atomics that set the bits */
	for (i = 0; i < s->nwords; i++) {
		unsigned long slots, before, waits, dead;

		if (!atomic_long_read(kmh_mspan_deferred(s, i, set)))
			continue;
		/*
		 * A bit whose cell did not say so before it is taken is of an earlier object, freed
		 * twice: who defers this one now sets a bit of the other set. So does who comes so
		 * late with a bit of this set; see defer.c.
		 */
		before = s->state == KMH_SPAN_TINY ? ~0UL : kmh_cells_of(s, i, KMH_CELL_WAITS);
		kmh_test_point("sweep of deferred slots: cells, then the set");
		/* Bit, cell: pairs with the exchange of the cell in kmh_mspan_free_waiting(). */
		slots = atomic_long_xchg(kmh_mspan_deferred(s, i, set), 0);
		n += hweight_long(slots);
		slots &= kmh_mspan_word_mask(s, i);
		/*
		 * Only blocks whose cells say so before the bits are looked at: a packed block with
		 * a live object may be deferred right now, and wait for the other set.
		 */
		waits = kmh_cells_of(s, i, KMH_CELL_WAITS);
		smp_rmb();	/* cell, bits: a block's bit is set before its cell */
		kmh_test_point("sweep of deferred slots: cells, then bits");
		slots &= ~kmh_mspan_waiting(s, i);	/* these wait for the other set, too */
		dead = kmh_cells_move(s, i, slots & before & waits, KMH_CELL_WAITS, KMH_CELL_OUT);
		/* Other objects in a packed block may be live, and then the block stays. */
		if (unlikely(slots & ~dead) && s->state == KMH_SPAN_SMALL)
			kmh_misuse_twice_slots(s, i, slots & ~dead & ~(waits & ~before));
		if (trace_sweep_enabled())
			kmh_sweep_freed(s->heap, hweight_long(dead),
					hweight_long(dead) * s->elemsize);
		kmh_sweep_bury(s, i, dead);
	}
	atomic_long_sub((unsigned long)n * s->elemsize, &s->heap->defer.pending);
}

/* Objects that were allocated before the collection and are not marked at its end are garbage. */
static void kmh_sweep_marks(struct kmh_mspan *s, unsigned int gen)
{
	unsigned int i, n = 0;

	for (i = 0; i < s->nwords; i++) {
		unsigned long marked = atomic_long_read(kmh_mspan_mark(s, i));
		unsigned long live = kmh_cells_live(s, i), dead;

		/*
		 * Claimed like any free: a client that frees an object at this moment is too late.
		 */
		dead = kmh_cells_free(s, i, live & ~marked);
		n += hweight_long(dead);
		kmh_sweep_bury(s, i, dead);
		kmh_sweep_survivors(s, i, live & marked, gen);
		smp_wmb();	/* survivor, mark: pairs with the one in kmh_special_doomed() */
		atomic_long_set(kmh_mspan_mark(s, i), 0);
	}
	clear_bit((s->base >> KMH_PAGE_SHIFT) - s->arena->first, s->arena->page_marks);
	if (!n)
		return;
	atomic_long_add(n, &s->heap->collected);
	atomic_long_add((unsigned long)n * s->elemsize, &s->heap->collected_bytes);
	if (trace_sweep_enabled())
		kmh_sweep_freed(s->heap, n, (unsigned long)n * s->elemsize);
}

/*
 * Sweep a span that has been claimed: do what the open generation is for, and take in remote
 * frees. @gen: the generation it is to have afterwards; 3 more in a cache. @phase: of its class,
 * read since the claim. Should the class have advanced since the claim, the span is unswept again
 * and the rest is done then.
 *
 * Context: the claimer's; in an mcache section or on a trip, either of which keeps the open
 * generation open.
 */
void kmh_sweep_span(struct kmh_mspan *s, unsigned int gen, unsigned long phase)
{
	enum kmh_sweep_what what = kmh_phase_what(phase);

	if ((unsigned int)atomic_read(&s->sweepgen) + 1 != kmh_phase_gen(phase))
		what = KMH_SWEEP_REMOTE;
	if (what == KMH_SWEEP_MARKS)
		kmh_sweep_marks(s, kmh_phase_gen(phase));
	else if (what != KMH_SWEEP_REMOTE)
		kmh_sweep_deferred(s, what - KMH_SWEEP_SET0);
	kmh_mspan_fold(s);
	atomic_long_inc(&s->heap->sweep.spans);
	atomic_long_add(s->npages, &s->heap->sweep.debt);
	/* Release: a CPU that sees the span swept sees the free bits. */
	atomic_set_release(&s->sweepgen, gen);
}

/* Sweep a cached span whose class has advanced since it was cached. In its owner's section. */
void kmh_sweep_if_stale(struct kmh_mspan *s)
{
	struct kmh_mcentral *c = kmh_mspan_mcentral(s);
	unsigned long phase;

	if (likely((unsigned int)atomic_read(&s->sweepgen) != kmh_mcentral_gen(c) + 1))
		return;
	kmh_assert_pinned();
	phase = kmh_mcentral_phase(c);
	if (kmh_sweep_claim_cached(s, kmh_phase_gen(phase)))
		kmh_sweep_span(s, kmh_phase_gen(phase) + 3, phase);
}

/*
 * Bring a span up to date that is no longer cached, or is fresh and never was. The caller is its
 * sweeper. In the section, or for a dead CPU.
 */
void kmh_sweep_uncached(struct kmh_mspan *s)
{
	unsigned long phase = kmh_mcentral_phase(kmh_mspan_mcentral(s));
	unsigned int gen = kmh_phase_gen(phase);

	kmh_assert_pinned();
	if (kmh_sweep_claim_cached(s, gen)) {
		kmh_sweep_span(s, gen, phase);
		return;
	}
	/* Should the class have advanced just now, the span goes on an unswept set. */
	if (atomic_read(&s->sweepgen) & 1)
		atomic_set(&s->sweepgen, atomic_read(&s->sweepgen) - 3);
	kmh_mspan_fold(s);
}
