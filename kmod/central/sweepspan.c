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

static void kmh_mspan_report_double(struct kmh_mspan *s, unsigned int word, unsigned long both)
{
	unsigned int bit;

	for_each_set_bit(bit, &both, KMH_WORD_SLOTS) {
		unsigned long addr = kmh_mspan_slot_addr(s, word * KMH_WORD_SLOTS + bit);

		struct kmh_where at = { .base = addr, .bytes = s->elemsize };

		kmh_misuse(KMH_DOUBLE_FREE, "freed twice at the same time, found at the fold",
			   addr, s, &at, _RET_IP_);
	}
}

/* Those of @slots that wait for a grace period or for a finalizer. */
static unsigned long kmh_mspan_held(struct kmh_mspan *s, unsigned int word, unsigned long slots)
{
	unsigned long held = slots & kmh_mspan_waiting(s, word);

	if (unlikely(READ_ONCE(s->nspecials)))
		held |= kmh_special_held(s, word, slots);
	return held;
}

/*
 * Take the remote frees of one word into its free bits. Slots that wait for a grace period or for
 * a finalizer stay as they are. Context: the sweeper's, preemption off. Return: number of slots
 * that became free.
 */
unsigned int kmh_mspan_fold_word(struct kmh_mspan *s, unsigned int word)
{
	struct kmh_slots *w = &s->w[word];
	unsigned long remote, both, held;

	kmh_assert_pinned();
	/* Acquire: a deferred bit is set before the remote bit; see kmh_mspan_defer(). */
	remote = atomic_long_read_acquire(&w->remote);
	if (!remote)
		return 0;
	remote &= ~kmh_mspan_held(s, word, remote);
	if (!remote)
		return 0;
	/*
	 * Pairs with the fetch-or in kmh_mspan_set_remote(). A slot that a magazine has taken
	 * back since the load is live again, or has been freed once more, to wait this time.
	 */
	remote &= atomic_long_fetch_andnot(remote, &w->remote);
	/* A second free that came too late may have set a bit without a slot: design.rst 12.3. */
	remote &= kmh_mspan_word_mask(s, word);
	held = kmh_mspan_held(s, word, remote);
	if (unlikely(held)) {
		atomic_long_or(held, &w->remote);
		remote &= ~held;
	}
	both = remote & w->free;
	if (unlikely(kmh_heap_collected(s->heap)) && kmh_sweep_blackens(s))
		atomic_long_or(remote, kmh_mspan_mark(s, word));
	WRITE_ONCE(w->free, w->free | remote);
	if (unlikely(both))
		kmh_mspan_report_double(s, word, both);
	return hweight_long(remote & ~both);
}

/* Fold every word. Context and Return: as for kmh_mspan_fold_word(). */
unsigned int kmh_mspan_fold(struct kmh_mspan *s)
{
	unsigned int i, n = 0;

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
 * Claimed slots are about to be free: wipe them and tell their specials. An object with a
 * finalizer is the worker's from here on, and the fold leaves it alone.
 */
static void kmh_sweep_bury(struct kmh_mspan *s, unsigned int word, unsigned long slots)
{
	unsigned int bit;

	if (likely(!READ_ONCE(s->nspecials)) && !kmh_wants_wipe() && !kmh_heap_sanitized(s->heap))
		return;
	for_each_set_bit(bit, &slots, KMH_WORD_SLOTS) {
		unsigned long addr = kmh_mspan_slot_addr(s, word * KMH_WORD_SLOTS + bit);

		/* A finalizer still reads the object: as in kmh_free_small(). */
		if (!READ_ONCE(s->nspecials) || !kmh_special_finalizes(s, addr))
			kmh_slot_dead(s, addr);
		if (READ_ONCE(s->nspecials))
			kmh_special_die(s, addr);
	}
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

/* The grace period of @set is over: its slots wait no longer. */
static void kmh_sweep_deferred(struct kmh_mspan *s, unsigned int set)
{
	unsigned int i, n = 0;

	if (!READ_ONCE(s->dirty[set]))
		return;
	WRITE_ONCE(s->dirty[set], 0);
	smp_mb();	/* dirty, bits: pairs with the barrier in kmh_mspan_defer() */
	for (i = 0; i < s->nwords; i++) {
		unsigned long slots;

		if (!atomic_long_read(kmh_mspan_deferred(s, i, set)))
			continue;
		slots = atomic_long_xchg(kmh_mspan_deferred(s, i, set), 0);
		n += hweight_long(slots);
		slots &= ~kmh_mspan_waiting(s, i);	/* these wait for the other set, too */
		slots &= atomic_long_read(&s->w[i].remote);
		kmh_sweep_bury(s, i, slots);
	}
	atomic_long_sub((unsigned long)n * s->elemsize, &s->heap->defer.pending);
}

/* Objects that were allocated before the collection and are not marked at its end are garbage. */
static void kmh_sweep_marks(struct kmh_mspan *s, unsigned int gen)
{
	unsigned int i, n = 0;

	for (i = 0; i < s->nwords; i++) {
		struct kmh_slots *w = &s->w[i];
		unsigned long marked = atomic_long_read(kmh_mspan_mark(s, i)), live, dead;

		live = kmh_mspan_word_mask(s, i) & ~w->free & ~atomic_long_read(&w->remote);
		/*
		 * Claimed like any free: a client that frees an object at this moment is too late.
		 */
		dead = live & ~marked;
		if (dead)
			dead &= ~atomic_long_fetch_or(dead, &w->remote);
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
