// SPDX-License-Identifier: GPL-2.0
/*
 * Magazines: objects of full spans that this CPU has freed, to be allocated again.
 *
 * After Bonwick and Adams ("Magazines and Vmem", 2001), like TCMalloc's per-CPU caches and
 * SLUB's sheaves; different from them a magazine holds addresses as hints, and the slot's
 * bits remain the truth. Without magazines, where a full live set is replaced at random, each
 * free would announce a span and each allocation would fetch one for a single slot.
 *
 * An object in a magazine has its remote bit set, so it is free for everyone: another free of
 * it is a double free, and the sweeper of its span may fold it. Only the announcement is put
 * off: an entry stands for it. To allocate an object again is to clear its remote bit. The
 * fold clears it as well, and the one of the two that finds it set has the slot
 * (kmh_mspan_fold_word()); an entry that finds it clear is stale, and dropped.
 *
 * The same bit may be set because the slot was allocated meanwhile and freed by another CPU.
 * Then the slot is as free as before, and that CPU's entry becomes the stale one. A magazine
 * must not clear three kinds of remote bits:
 *
 * - Of a slot that waits for a grace period. Its deferred bit is set before the remote one, so
 *   it is seen after that has been cleared; the remote bit is set again, and the announcement
 *   made up for. No sweep expires the deferred bit in between: preemption is off here, and a
 *   CPU that did not see what was written before a grace period is done before that ends.
 * - Of a slot whose free bit is set as well: two frees have raced, and the fold reports them.
 * - Of a slot with a special. A heap has no magazines from its first special on.
 */
#include <linux/cpumask.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>

#include "cpu/magazine.h"
#include "base/budget.h"
#include "base/fixalloc.h"
#include "heap.h"
#include "span/arenamap.h"

/*
 * As many objects as a live set of changing sizes needs, so that a trip to mcentral is not
 * what one allocation in a thousand takes; with the allocator's link eight cache lines. Fewer
 * of large classes, and under PREEMPT_RT: a flush takes all of them in one interrupt.
 */
#define KMH_MAGAZINE_OBJECTS	62U
#define KMH_MAGAZINE_BYTES	SZ_256K
#define KMH_MAGAZINE_LEAST	14U

struct kmh_magazine {
	unsigned int n;
	unsigned int max;
	unsigned long object[KMH_MAGAZINE_OBJECTS];
};

static struct kmh_fixalloc kmh_magazine_pool;

void kmh_magazines_init(void)
{
	kmh_fixalloc_init(&kmh_magazine_pool, "magazine", sizeof(struct kmh_magazine), 64);
	kmh_fixalloc_share(&kmh_magazine_pool);
}

void kmh_magazines_exit(void)
{
	kmh_fixalloc_destroy(&kmh_magazine_pool);
}

/* A heap does without magazines where the module's limit forbids them, and so does reclaim. */
int kmh_magazines_refill(unsigned int nobjs, gfp_t gfp)
{
	int err;

	if (current->flags & PF_MEMALLOC)
		return 0;
	err = kmh_fixalloc_refill(&kmh_magazine_pool, nobjs, gfp);
	return err == -EDQUOT ? 0 : err;
}

/* Make the announcement that the entry of @addr stood for. Preemption is off. */
static void kmh_magazine_announce(struct kmheap *heap, unsigned long addr)
{
	struct kmh_mspan *s = kmh_span_of(addr);

	kmh_assert_pinned();
	/* A span of another heap, or of none, means that our span has been empty meanwhile. */
	if (READ_ONCE(s->state) == KMH_SPAN_SMALL && READ_ONCE(s->mcache) == heap->mcache &&
	    kmh_mspan_unannounced(s))
		kmh_inbox_announce(s);
}

/* Pop the last entry; there is one. */
static __always_inline unsigned long kmh_magazine_pop(struct kmh_magazine *m)
{
	unsigned int n = m->n - 1;

	WRITE_ONCE(m->n, n);
	return m->object[n];
}

static struct kmh_magazine *kmh_magazine_new(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_magazine *m = kmh_fixalloc_get(&kmh_magazine_pool);

	if (!m)
		return NULL;
	if (unlikely(!kmh_heap_try_book_side(mc->heap, sizeof(*m)))) {
		kmh_fixalloc_put(&kmh_magazine_pool, m);
		return NULL;
	}
	WRITE_ONCE(m->n, 0);
	m->max = IS_ENABLED(CONFIG_PREEMPT_RT) ? KMH_MAGAZINE_LEAST :
		 clamp(KMH_MAGAZINE_BYTES / kmh_spanclass_size[spanclass], KMH_MAGAZINE_LEAST,
		       KMH_MAGAZINE_OBJECTS);
	WRITE_ONCE(mc->magazine[spanclass], m);
	kmh_kick_ask(&mc->heap->idle.kick);
	return m;
}

/*
 * Remember an object of a full span, whose remote bit has been set, instead of announcing the
 * span. Context: any; preemption off since before the bit was set. So the descriptor may be
 * another span by now, but one whose heap exists. Return: false when the span must be announced.
 */
bool kmh_magazine_put(struct kmh_mspan *s, unsigned long addr)
{
	struct kmh_mcache *mc = this_cpu_ptr(READ_ONCE(s->mcache));
	unsigned int spanclass = READ_ONCE(s->spanclass);
	struct kmh_magazine *m;
	bool put;

	kmh_assert_pinned();
	/* A span of another node than this CPU allocates from goes back to its node. */
	if (unlikely(READ_ONCE(mc->no_magazines)) ||
	    (nr_node_ids > 1 && s->mheap != &mc->node->mheap) || !kmh_mcache_enter(mc))
		return false;
	m = mc->magazine[spanclass] ?: kmh_magazine_new(mc, spanclass);
	put = likely(m) && m->n < m->max;
	if (put) {
		m->object[m->n] = addr;
		WRITE_ONCE(m->n, m->n + 1);
	}
	kmh_mcache_leave(mc);
	return put;
}

/* Is @addr a slot of @spanclass in this heap? */
static __always_inline bool kmh_magazine_fits(const struct kmh_mcache *mc, unsigned int spanclass,
					      const struct kmh_mspan *s, unsigned long addr,
					      unsigned long *slot)
{
	return kmh_mspan_slot_at(s, addr, slot) &&
	       /* The descriptor may be stale: this is looked at again once the slot is ours. */
	       data_race(s->spanclass == spanclass && s->mcache == mc->percpu) &&
	       !READ_ONCE(mc->no_magazines);
}

/*
 * Does a slot with its remote bit set wait for a grace period? The flags say more than the
 * bits where these are being set (too early to have a remote bit), and less where they are
 * being swept (the grace period is over).
 */
static __always_inline bool kmh_magazine_waits(const struct kmh_mspan *s, unsigned long slot)
{
	return unlikely(READ_ONCE(s->dirty[0]) | READ_ONCE(s->dirty[1])) &&
	       kmh_mspan_slot_waits(s, slot);
}

/*
 * Has a slot with its remote bit set been freed by its owner as well, in a race? Both bits are for
 * the fold to report: if only the remote one were taken back, the slot would be handed out twice.
 */
static __always_inline bool kmh_magazine_doubled(const struct kmh_mspan *s, unsigned long slot)
{
	return READ_ONCE(s->w[slot / KMH_WORD_SLOTS].free) & BIT(slot % KMH_WORD_SLOTS);
}

/* Make the object of an entry live again; see the top of this file. */
static __always_inline bool kmh_magazine_claim(struct kmh_mcache *mc, unsigned int spanclass,
					       unsigned long addr)
{
	struct kmh_mspan *s = kmh_span_of(addr);
	unsigned long *remote, slot, again;

	if (unlikely(!kmh_magazine_fits(mc, spanclass, s, addr, &slot) ||
		     kmh_magazine_waits(s, slot) || kmh_magazine_doubled(s, slot))) {
		kmh_magazine_announce(mc->heap, addr);
		return false;
	}
	remote = kmh_slots_remote(&s->w[slot / KMH_WORD_SLOTS]);
	kmh_test_point("claim of a magazine");
	/*
	 * Fully ordered: the last accesses to the object before this, the checks after it.
	 * Pairs with the exchanges in kmh_mspan_set_remote() and kmh_mspan_fold_word(). The
	 * descriptor may have become another small span since the check, with its remote bits
	 * in the same places (kmh_pool_words). A bit that is set there belongs to a slot that
	 * is free. While it is clear for a moment, the slot is not folded, and no grace
	 * period that began in the new life can end, because preemption is off here.
	 */
	if (unlikely(!test_and_clear_bit(slot % KMH_WORD_SLOTS, remote)))
		return false;
	/*
	 * If the span was the same when the bit was cleared, the slot is ours and the span stays.
	 */
	if (likely(kmh_magazine_fits(mc, spanclass, s, addr, &again) && again == slot &&
		   !kmh_magazine_waits(s, slot)))
		return true;
	/* Set the bit again that was cleared, whatever the address is by now. */
	test_and_set_bit(slot % KMH_WORD_SLOTS, remote);
	if (kmh_mspan_unannounced(s))	/* as after kmh_mspan_set_remote() */
		kmh_inbox_announce(s);
	return false;
}

/* The last object that this CPU has freed and that is still free, or NULL. In @mc's section. */
void *kmh_magazine_get(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_magazine *m = mc->magazine[spanclass];

	while (m && m->n) {
		unsigned long addr = kmh_magazine_pop(m);

		if (likely(kmh_magazine_claim(mc, spanclass, addr))) {
			data_race(mc->taken[spanclass]++);	/* statistics load it */
			return (void *)addr;
		}
	}
	return NULL;
}

/* Announce the spans of all entries of an mcache. In the section, or the CPU is dead. */
void kmh_magazines_drain(struct kmh_mcache *mc)
{
	unsigned int i;

	for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
		struct kmh_magazine *m = mc->magazine[i];

		while (m && m->n)
			kmh_magazine_announce(mc->heap, kmh_magazine_pop(m));
	}
}

/* A guess, from any CPU: a magazine that is given back meanwhile can still be read. */
unsigned int kmh_magazine_len(const struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_magazine *m = READ_ONCE(mc->magazine[spanclass]);

	return m ? READ_ONCE(m->n) : 0;
}

static bool kmh_has_magazines(const struct kmh_mcache *mc)
{
	unsigned int i;

	for (i = 0; i < KMH_NR_SPANCLASSES; i++)
		if (kmh_magazine_len(mc, i))
			return true;
	return false;
}

/*
 * Announce all spans, so that a search for free slots finds them. Interrupts only CPUs that have
 * something in a magazine. A CPU that is in its section is asked again at once, three times in
 * all. Context: process context; may sleep.
 */
void kmh_magazines_drain_all(struct kmheap *heap)
{
	unsigned int tries = 3;

	while (kmh_mcache_visit(heap, kmh_magazines_drain, kmh_has_magazines).busy && --tries)
		cpu_relax();
}

/*
 * Stop using magazines in a heap that is about to have its first special: afterwards no CPU takes
 * an object from one. Context: process context; sleeps.
 */
void kmh_magazines_end(struct kmheap *heap)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		WRITE_ONCE(per_cpu_ptr(heap->mcache, cpu)->no_magazines, 1);
	synchronize_rcu();	/* preemption is off in sections: they see it, or are over */
}

/* Free magazines: entries are announced, or the heap ends. Called as kmh_magazines_drain() is. */
void kmh_magazines_free(struct kmh_mcache *mc)
{
	unsigned int i;

	for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
		if (!mc->magazine[i])
			continue;
		kmh_heap_unbook_side_atomic(mc->heap, sizeof(struct kmh_magazine));
		kmh_fixalloc_put(&kmh_magazine_pool, mc->magazine[i]);
		WRITE_ONCE(mc->magazine[i], NULL);
	}
}
