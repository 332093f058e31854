// SPDX-License-Identifier: GPL-2.0
/*
 * Inboxes: full spans that have been freed into, on their way back to an mcache.
 *
 * Each goes to its keeper, the CPU that has filled it, whichever CPU frees; a span that no mcache
 * has ever held goes to mcentral's own inbox. With one list for all, a CPU that freed a burst had
 * the spans taken away by another CPU while it was still freeing into them, and the cache line of
 * their bits went to and fro. After the thread-delayed frees of mimalloc (Leijen, Zorn, de Moura,
 * "Free List Sharding in Action", 2019), by span instead of by object, and so that nothing is
 * stranded: a CPU that would have to take fresh pages looks into the inboxes of other CPUs before.
 *
 * Any CPU adds, without a lock; everything else is done under the lock of the mcentral.
 */
#include <linux/cpumask.h>

#include "central/inbox.h"
#include "base/lock.h"
#include "central/unswept.h"
#include "heap.h"
#include "span/slot.h"

/* The inbox of @cpu for @c; NULL where the CPU has none, or allocates from another mcentral. */
static struct kmh_inbox *kmh_inbox_of(struct kmh_mcentral *c, unsigned int cpu)
{
	struct kmh_node *node = kmh_mcentral_node(c);
	struct kmh_mcache *mc = kmh_mcache_of(node->mheap.heap, cpu);

	return mc && READ_ONCE(mc->node) == node ? &mc->inbox[c->spanclass] : NULL;
}

static u8 *kmh_inbox_turns(struct kmh_mcentral *c, unsigned int cpu)
{
	struct kmheap *heap = kmh_mcentral_node(c)->mheap.heap;

	return &kmh_mcache_of(heap, cpu)->turns[c->spanclass];
}

/* Add a span whose home the caller has just made ANNOUNCED. */
static void kmh_inbox_add(struct kmh_mcentral *c, struct kmh_mspan *s)
{
	struct kmh_mcache *keeper = s->state == KMH_SPAN_SMALL ? s->keeper : NULL;
	struct kmh_inbox *in;

	/* A CPU that has come back on another node leaves what it had on the old node. */
	if (keeper && READ_ONCE(keeper->node) != kmh_mcentral_node(c))
		keeper = NULL;
	in = keeper ? &keeper->inbox[c->spanclass] : &c->inbox;
	/* List, flag: fully ordered. Pairs with the barrier in kmh_inbox_steal_locked(). */
	llist_add(&s->node, &in->announced);
	if (keeper && !READ_ONCE(c->inboxes))
		WRITE_ONCE(c->inboxes, true);
}

/*
 * List a full span that has been freed into: one that was seen with home FULL or LISTED. The
 * caller that wins the exchange adds it, so it is on the list once however many free into it. It
 * cannot go away meanwhile: only the holder of the mcentral lock takes it off the list.
 *
 * Context: any; preemption off since before the caller gave up what keeps the span, an object in
 * it or the right to sweep it. So the descriptor may be another span by now, but one whose heap
 * exists.
 */
void kmh_inbox_announce(struct kmh_mspan *s)
{
	struct kmh_mcache __percpu *mcache = READ_ONCE(s->mcache);
	int home = atomic_read(&s->home);

	kmh_assert_pinned();
	/* Between the exchange and the list the span is in no place where the sweep looks. */
	kmh_trip_begin(&mcache->trips);
	while (home >= KMH_HOME_FULL) {
		if (atomic_try_cmpxchg(&s->home, &home, KMH_HOME_ANNOUNCED)) {
			kmh_kick_ask(&s->heap->scavenge.kick);
			kmh_inbox_add(kmh_mspan_mcentral(s), s);
			break;
		}
	}
	kmh_trip_end(&mcache->trips);
}

/*
 * Give the span a slot, below nelems, whose cell the caller has just made OUT. Context: any;
 * preemption off. The span may be another one afterwards. Return: KMH_FREE_DOUBLE when the span has
 * the slot already, because of two frees at the same time.
 */
static enum kmh_free_result kmh_mspan_add_remote(struct kmh_mspan *s, unsigned int slot)
{
	unsigned long bit = BIT(slot % KMH_WORD_SLOTS), was;

	kmh_assert_pinned();
	was = atomic_long_fetch_or(bit, &s->w[slot / KMH_WORD_SLOTS].remote);
	if (kmh_mspan_unannounced(s))
		kmh_inbox_announce(s);
	return unlikely(was & bit) ? KMH_FREE_DOUBLE : KMH_FREE_OK;
}

/*
 * Free the object at @addr, in a slot below nelems, without the section. Never waits, never fails.
 * Context: any; preemption off. Return: KMH_FREE_DOUBLE when it was not live.
 */
enum kmh_free_result kmh_mspan_free_remote(struct kmh_mspan *s, unsigned int slot,
					   unsigned long addr)
{
	kmh_assert_pinned();
	kmh_test_point("free: nested, before the claim");
	if (unlikely(!kmh_slot_claim_at(s, slot, addr, KMH_CELL_OUT)))
		return KMH_FREE_DOUBLE;
	kmh_slot_dead(s, addr);
	return kmh_mspan_add_remote(s, slot);
}

/*
 * The special of a dead object in a slot is done, or was none: the slot is the span's. Context:
 * any; preemption off. Return: KMH_FREE_DOUBLE when another party has it, because of two frees at
 * the same time.
 */
enum kmh_free_result kmh_mspan_release_special(struct kmh_mspan *s, unsigned int slot)
{
	kmh_assert_pinned();
	if (unlikely(cmpxchg(&s->cell[slot], KMH_CELL_SPECIAL, KMH_CELL_OUT) != KMH_CELL_SPECIAL))
		return KMH_FREE_DOUBLE;
	return kmh_mspan_add_remote(s, slot);
}

/*
 * Nothing in a block of a tiny span is live any more, but readers may still hold objects that have
 * been freed after a grace period: its deferred bit is set. Whoever sees the cell say so when the
 * bit is clear gives the block to the span: the sweep that clears it, or this function.
 * Context: any; preemption off. Return: KMH_FREE_DOUBLE when the block was not live.
 */
enum kmh_free_result kmh_mspan_free_waiting(struct kmh_mspan *s, unsigned int block)
{
	kmh_assert_pinned();
	/* Fully ordered: the cell, the bit. Pairs with the exchange in kmh_sweep_deferred(). */
	if (unlikely(!kmh_slot_claim(s, block, KMH_CELL_WAITS)))
		return KMH_FREE_DOUBLE;
	kmh_test_point("a tiny block waits");
	if (kmh_mspan_slot_waits(s, block))
		return KMH_FREE_OK;
	kmh_test_point("a tiny block waits no more");
	if (cmpxchg(&s->cell[block], KMH_CELL_WAITS, KMH_CELL_OUT) != KMH_CELL_WAITS)
		return KMH_FREE_OK;
	/*
	 * The sweep was first, and the block waits again, in another life? Then its grace period
	 * does not end before preemption is on, so that no sweep comes in between.
	 */
	if (unlikely(kmh_mspan_slot_waits(s, block))) {
		WRITE_ONCE(s->cell[block], KMH_CELL_WAITS);
		return KMH_FREE_OK;
	}
	return kmh_mspan_add_remote(s, block);
}

/*
 * Pop a span of @in. A batch ripens at a time, so that spans announced meanwhile are freed into
 * some more before they are handed out. @turns: the inbox's counter of batches.
 */
static struct kmh_mspan *kmh_inbox_pop_locked(struct kmh_mcentral *c, struct kmh_inbox *in,
					      u8 *turns)
{
	struct llist_node *n;
	struct kmh_mspan *s;

	lockdep_assert_held(&c->lock);
	if (llist_empty(&in->ripe)) {
		WRITE_ONCE(in->ripe.first, llist_del_all(&in->announced));
		++*turns;
	}
	n = in->ripe.first;
	if (!n)
		return NULL;
	WRITE_ONCE(in->ripe.first, n->next);
	s = llist_entry(n, struct kmh_mspan, node);
	list_del_init(&s->list);	/* it may be on a full set still */
	atomic_set(&s->home, KMH_HOME_CACHED);
	return s;
}

/*
 * A span that has been freed into, and that @mc has filled, the mcache in whose section the caller
 * is, or NULL; or else that no mcache has. Return: the span, with home CACHED, or NULL.
 */
struct kmh_mspan *kmh_inbox_pop_announced_locked(struct kmh_mcentral *c, struct kmh_mcache *mc)
{
	struct kmh_mspan *s = NULL;

	if (mc)
		s = kmh_inbox_pop_locked(c, &mc->inbox[c->spanclass], &mc->turns[c->spanclass]);
	return s ?: kmh_inbox_pop_locked(c, &c->inbox, &c->turns);
}

/*
 * A span that is announced for some CPU; @ncpus inboxes are looked into at most, from where the
 * last look ended. Return: the span, with home CACHED, or NULL.
 */
struct kmh_mspan *kmh_inbox_steal_locked(struct kmh_mcentral *c, unsigned int ncpus)
{
	bool all = ncpus >= num_possible_cpus();
	unsigned int left = all ? num_possible_cpus() : ncpus;
	struct kmh_mspan *s = NULL;
	struct kmh_inbox *in;

	lockdep_assert_held(&c->lock);
	if (!READ_ONCE(c->inboxes))
		return NULL;
	if (all) {
		WRITE_ONCE(c->inboxes, false);
		smp_mb();	/* flag, lists: pairs with llist_add() in kmh_inbox_add() */
	}
	while (left-- && !s) {
		c->steal = cpumask_next(c->steal, cpu_possible_mask);
		if (c->steal >= nr_cpu_ids)
			c->steal = cpumask_first(cpu_possible_mask);
		in = kmh_inbox_of(c, c->steal);
		if (in)
			s = kmh_inbox_pop_locked(c, in, kmh_inbox_turns(c, c->steal));
	}
	if (s)
		WRITE_ONCE(c->inboxes, true);	/* there may be more */
	return s;
}

/* Has a span been announced? A guess while spans are announced or taken. */
bool kmh_inbox_any_announced(struct kmh_mcentral *c)
{
	struct kmh_inbox *in;
	unsigned int cpu;

	if (!kmh_inbox_empty(&c->inbox))
		return true;
	if (!READ_ONCE(c->inboxes))
		return false;
	for_each_possible_cpu(cpu) {
		in = kmh_inbox_of(c, cpu);
		if (in && !kmh_inbox_empty(in))
			return true;
	}
	return false;
}

/* Spans that one trip takes out of an inbox, and sweeps. */
#define KMH_INBOX_BATCH		16U

/*
 * One trip to an inbox whose counter of batches was @since. Return: false when nothing is left
 * of what was in the inbox then: with the second batch since, all of that has been taken out.
 */
static bool kmh_inbox_sweep_some(struct kmh_mcentral *c, struct kmh_inbox *in, u8 *turns,
				 u8 since, const struct kmh_mcache *mc)
{
	struct kmh_mcache __percpu *mcache = READ_ONCE(kmh_mcentral_node(c)->mheap.heap->mcache);
	struct kmh_mspan *span[KMH_INBOX_BATCH], *s;
	unsigned int n = 0, i;
	unsigned long flags;

	preempt_disable();
	kmh_trip_begin(&mcache->trips);
	/* The CPU may be on another node by now; kmh_mcache_renode() waits for our preemption. */
	if (mc && READ_ONCE(mc->node) != kmh_mcentral_node(c))
		goto out;
	kmh_wait_lock_irqsave(&c->lock, flags);
	while (n < KMH_INBOX_BATCH && (u8)(*turns - since) < 2) {
		s = kmh_inbox_pop_locked(c, in, turns);
		if (!s)
			break;
		kmh_mcentral_claim_locked(c, s);
		span[n++] = s;
	}
	kmh_unlock_irqrestore(&c->lock, flags);
	for (i = 0; i < n; i++)
		kmh_mcentral_sweep_claimed(span[i]);
out:
	kmh_trip_end(&mcache->trips);
	preempt_enable();
	return n == KMH_INBOX_BATCH;
}

/* Sweep an inbox. @mc, if not NULL: only while that CPU is served from the node of @c. */
static void kmh_inbox_sweep(struct kmh_mcentral *c, struct kmh_inbox *in, u8 *turns,
			    const struct kmh_mcache *mc)
{
	u8 since = READ_ONCE(*turns);

	while (kmh_inbox_sweep_some(c, in, turns, since, mc))
		cond_resched();
}

/* A span that is announced, for whichever CPU. */
static struct kmh_mspan *kmh_inbox_pop_any_locked(struct kmh_mcentral *c)
{
	return kmh_inbox_pop_announced_locked(c, NULL) ?:
	       kmh_inbox_steal_locked(c, num_possible_cpus());
}

/*
 * Sweep announced spans, then others that wait for the sweep, @most in all. Context: process
 * context. Return: how many of @most are left.
 */
unsigned int kmh_mcentral_sweep_some(struct kmh_mcentral *c, unsigned int most)
{
	for (; most && kmh_inbox_any_announced(c); most--)
		if (!kmh_mcentral_sweep_popped(c, kmh_inbox_pop_any_locked))
			break;
	while (most && kmh_mcentral_sweep_one(c))
		most--;
	return most;
}

/*
 * Take in the spans that are announced now, not those that are meanwhile. Each is swept if it has
 * to be, and put where it belongs. Context: process context; may sleep.
 */
void kmh_inbox_sweep_announced(struct kmh_mcentral *c)
{
	struct kmheap *heap = kmh_mcentral_node(c)->mheap.heap;
	struct kmh_inbox *in;
	unsigned long flags;
	unsigned int cpu;
	bool inboxes, own;

	/* Exact only under the lock: both are empty for a moment while a span is taken. */
	kmh_wait_lock_irqsave(&c->lock, flags);
	inboxes = READ_ONCE(c->inboxes);
	own = inboxes || !kmh_inbox_empty(&c->inbox);
	kmh_unlock_irqrestore(&c->lock, flags);
	if (own)
		kmh_inbox_sweep(c, &c->inbox, &c->turns, NULL);
	if (!inboxes)
		return;
	for_each_possible_cpu(cpu) {
		in = kmh_inbox_of(c, cpu);
		if (in)
			kmh_inbox_sweep(c, in, kmh_inbox_turns(c, cpu),
					kmh_mcache_of(heap, cpu));
	}
}

/*
 * CPU @mc is served from another node than that of @c from now on. It is offline and stays so, and
 * has been on no node for longer than a grace period, so no CPU adds to its inbox as one of @c any
 * more. What is in there is put where it belongs. Context: process context; may sleep.
 */
void kmh_inbox_leave(struct kmh_mcentral *c, struct kmh_mcache *mc)
{
	kmh_inbox_sweep(c, &mc->inbox[c->spanclass], &mc->turns[c->spanclass], NULL);
}
