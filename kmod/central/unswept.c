// SPDX-License-Identifier: GPL-2.0
/*
 * Spans that no CPU has, taken from the sets of a class for the sweep and for the page heap.
 *
 * Whoever takes one claims it under the lock, sweeps it without, and puts it where it then
 * belongs, all on one trip.
 */
#include "central/unswept.h"
#include "base/lock.h"
#include "heap.h"

/*
 * Change what the spans of a class are swept for, and whether a collection marks, within a
 * generation; or with the next @gen (2 more), which makes every listed span unswept, and before
 * which the last one has to be swept. Context: process context; the heap's sweep.mutex held.
 */
void kmh_mcentral_set_phase(struct kmh_mcentral *c, unsigned int gen, enum kmh_sweep_what what,
			    bool marking)
{
	unsigned long flags;

	kmh_wait_lock_irqsave(&c->lock, flags);
	/* Release: pairs with the load in kmh_mcentral_phase(). */
	smp_store_release(&c->phase, kmh_phase(gen, what, marking));
	kmh_unlock_irqrestore(&c->lock, flags);
}

/*
 * Claim an unswept span that was found by its address. It cannot go away, because the caller holds
 * the page heap's lock. That lock comes after the class's, so the class's is only tried. Context:
 * on a trip. Return: true when it was listed, and is for the caller to sweep.
 */
bool kmh_mcentral_try_claim(struct kmh_mspan *s)
{
	struct kmh_mcentral *c = kmh_mspan_mcentral(s);
	bool mine;

	lockdep_assert_held(&s->mheap->lock);
	if (!raw_spin_trylock(&c->lock))
		return false;
	mine = (unsigned int)atomic_read(&s->sweepgen) != kmh_mcentral_gen(c) &&
	       (kmh_mcentral_take_partial_locked(c, s) || kmh_mcentral_unlist_locked(c, s));
	if (mine)
		kmh_mcentral_claim_locked(c, s);
	raw_spin_unlock(&c->lock);
	return mine;
}

/*
 * Claim a partial span that seems to be empty, otherwise as kmh_mcentral_try_claim(). Return: true
 * when it is for the caller to hand to kmh_mcentral_release_claimed().
 */
bool kmh_mcentral_try_claim_empty(struct kmh_mspan *s)
{
	struct kmh_mcentral *c = kmh_mspan_mcentral(s);
	bool mine;

	lockdep_assert_held(&s->mheap->lock);
	if (atomic_read(&s->home) != KMH_HOME_PARTIAL || !kmh_mspan_would_empty(s) ||
	    !raw_spin_trylock(&c->lock))
		return false;
	mine = kmh_mcentral_take_partial_locked(c, s);
	if (mine)
		kmh_mcentral_claim_locked(c, s);
	raw_spin_unlock(&c->lock);
	return mine;
}

/* Take a span by @pop and claim it, under the lock, which is only tried in NMI. */
static struct kmh_mspan *kmh_mcentral_pop_claimed(struct kmh_mcentral *c,
						  struct kmh_mspan *(*pop)(struct kmh_mcentral *c))
{
	struct kmh_mspan *s;
	unsigned long flags;

	if (!kmh_lock_irqsave(&c->lock, flags))
		return NULL;
	s = pop(c);
	if (s)
		kmh_mcentral_claim_locked(c, s);
	kmh_unlock_irqrestore(&c->lock, flags);
	return s;
}

/*
 * Take a span by @pop, sweep it, and put it where it belongs. Context: any; in NMI the lock is only
 * tried. Return: its pages; 0 when there is none.
 */
unsigned int kmh_mcentral_sweep_popped(struct kmh_mcentral *c,
				       struct kmh_mspan *(*pop)(struct kmh_mcentral *c))
{
	struct kmh_mcache __percpu *mcache = READ_ONCE(kmh_mcentral_node(c)->mheap.heap->mcache);
	unsigned int npages = 0;
	struct kmh_mspan *s;

	preempt_disable();
	kmh_trip_begin(&mcache->trips);
	s = kmh_mcentral_pop_claimed(c, pop);
	if (s) {
		npages = s->npages;
		kmh_mcentral_sweep_claimed(s);
	}
	kmh_trip_end(&mcache->trips);
	preempt_enable();
	return npages;
}

static struct kmh_mspan *kmh_mcentral_pop_unswept_locked(struct kmh_mcentral *c)
{
	unsigned int set = !kmh_swept_set(c->phase);

	return kmh_mcentral_pop_partial_locked(c, set) ?: kmh_mcentral_pop_full_locked(c, set);
}

/* Sweep a span that waits for it. Context and Return: as for kmh_mcentral_sweep_popped(). */
unsigned int kmh_mcentral_sweep_one(struct kmh_mcentral *c)
{
	unsigned int set = !kmh_swept_set(READ_ONCE(c->phase));

	if (list_empty(&c->partial[set]) && list_empty(&c->full[set]))
		return 0;
	return kmh_mcentral_sweep_popped(c, kmh_mcentral_pop_unswept_locked);
}

/* Has the generation reached every listed span? Spans on a trip are not seen here. */
bool kmh_mcentral_is_swept(struct kmh_mcentral *c)
{
	unsigned int set;
	unsigned long flags;
	bool swept;

	kmh_wait_lock_irqsave(&c->lock, flags);
	set = !kmh_swept_set(c->phase);
	swept = list_empty(&c->partial[set]) && list_empty(&c->full[set]);
	kmh_unlock_irqrestore(&c->lock, flags);
	return swept;
}

/* Partial spans looked at in one hold of the lock, and spans that one trip gives back. */
#define KMH_RELEASE_LOOKS	32U
#define KMH_RELEASE_BATCH	16U

/*
 * One trip through the swept partial spans, from the first one on: spans that seem to be empty are
 * given back, the others go to the end of the list, in their order. Return: how many it has looked
 * at, @left at most; 0 when there are none.
 */
static unsigned int kmh_mcentral_release_some(struct kmh_mcentral *c, unsigned int left)
{
	struct kmh_mcache __percpu *mcache = READ_ONCE(kmh_mcentral_node(c)->mheap.heap->mcache);
	struct kmh_mspan *span[KMH_RELEASE_BATCH], *s;
	unsigned int n = 0, looks, i;
	struct list_head *set;
	unsigned long flags;

	preempt_disable();
	kmh_trip_begin(&mcache->trips);
	kmh_wait_lock_irqsave(&c->lock, flags);
	set = &c->partial[kmh_swept_set(c->phase)];
	left = min(left, KMH_RELEASE_LOOKS);
	for (looks = 0; looks < left && n < KMH_RELEASE_BATCH && !list_empty(set); looks++) {
		s = list_first_entry(set, struct kmh_mspan, list);
		if (!kmh_mspan_would_empty(s) && kmh_mspan_has_avail(s)) {
			list_move_tail(&s->list, set);
			continue;
		}
		kmh_mcentral_take_partial_locked(c, s);
		kmh_mcentral_claim_locked(c, s);
		span[n++] = s;
	}
	kmh_unlock_irqrestore(&c->lock, flags);
	for (i = 0; i < n; i++)
		kmh_mcentral_release_claimed(span[i]);
	kmh_trip_end(&mcache->trips);
	preempt_enable();
	return looks;
}

/*
 * Send empty spans back to the page heap. Looks at as many spans as are listed at the beginning,
 * and so once at each of them if no other caller takes or lists spans meanwhile. Context: process
 * context; may sleep.
 */
void kmh_mcentral_drain(struct kmh_node *node, unsigned int spanclass)
{
	struct kmh_mcentral *c = kmh_mcentral_of(node, spanclass);
	unsigned int left, looks;

	if (!kmh_mcentral_exists(c))
		return;
	kmh_inbox_sweep_announced(c);
	while (kmh_mcentral_sweep_one(c))
		cond_resched();
	for (left = READ_ONCE(c->npartial); left; left -= looks) {
		looks = kmh_mcentral_release_some(c, left);
		if (!looks)
			break;
		cond_resched();
	}
}
