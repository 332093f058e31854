// SPDX-License-Identifier: GPL-2.0
/*
 * Specials: what single objects have beside them, finalizers and weak handles.
 *
 * After Go's specials (src/runtime/mheap.go, mfinal.go, weak handles). They stand in a
 * table of their heap, by address, and objects without any pay nothing for it: a span
 * with a special has no slots for the fast path (nfast is 0), so each of its frees comes
 * the slow way, which looks; every other span is as before. The arena has a bit for it
 * at the span's first page.
 *
 * The life of a special:
 *
 *   ARMED	its object is live
 *   DEAD	its object has been freed, or found dead; the slot's remote bit is set and
 *		the fold leaves it alone; the worker will run the finalizer
 *   LEAVING	taken back while its object is live
 *   LEFT	the object was freed just then
 *   DONE	the slot may be folded; nobody looks at it any more
 *
 *   ARMED -> DEAD, LEAVING -> LEFT	by whoever has claimed the object, in any context
 *   ARMED -> LEAVING			by who takes it back
 *   DEAD -> DONE			by the worker
 *   LEAVING -> DONE, LEFT -> DONE	by who takes it back; a large object that was left
 *					is his to free
 *
 * All by exchange: a weak handle may be destroyed while its object is freed.
 */
#include <linux/irq_work.h>
#include <linux/rhashtable.h>

#include "span/special.h"
#include "heap.h"

const struct rhashtable_params kmh_special_params = {
	.key_len = sizeof(unsigned long),
	.key_offset = offsetof(struct kmh_special, addr),
	.head_offset = offsetof(struct kmh_special, node),
	.nelem_hint = 1,		/* most heaps have none */
	.automatic_shrinking = true,
};

/*
 * Specials come and go under this, in all heaps: a weak handle may outlive its heap. Outermost,
 * held while nothing else is, and also taken in reclaim.
 */
DEFINE_MUTEX(kmh_special_mutex);

/* Under RCU. Not those that are done. */
struct kmh_special *kmh_special_find(struct kmh_mspan *s, unsigned long addr)
{
	struct kmh_special *sp;

	sp = rhashtable_lookup(&s->heap->specials.table, &addr, kmh_special_params);
	return sp && atomic_read(&sp->state) != KMH_SPECIAL_DONE ? sp : NULL;
}

/**
 * kmh_special_exists() - has a live object a special?
 * @s: its span; nspecials is not 0.
 * @addr: the object.
 *
 * Context: Any.
 */
bool kmh_special_exists(struct kmh_mspan *s, unsigned long addr)
{
	bool found;

	rcu_read_lock();
	found = kmh_special_find(s, addr);
	rcu_read_unlock();
	return found;
}

/**
 * kmh_special_finalizes() - will a finalizer read an object after it has been freed?
 * @s: its span; nspecials is not 0.
 * @addr: the object; its caller is about to free it, so nobody sets or takes back a finalizer.
 *
 * Context: Any.
 */
bool kmh_special_finalizes(struct kmh_mspan *s, unsigned long addr)
{
	struct kmh_special *sp;
	bool reads;

	rcu_read_lock();
	sp = kmh_special_find(s, addr);
	reads = sp && READ_ONCE(sp->fn);
	rcu_read_unlock();
	return reads;
}

bool kmh_special_move(struct kmh_special *sp, int from, int to)
{
	return atomic_cmpxchg(&sp->state, from, to) == from;
}

/* Under RCU. True when somebody else frees the object. */
static bool kmh_special_bury(struct kmh_specials *all, struct kmh_special *sp)
{
	struct kmheap_weak *weak;

	if (!kmh_special_move(sp, KMH_SPECIAL_ARMED, KMH_SPECIAL_DEAD))
		return kmh_special_move(sp, KMH_SPECIAL_LEAVING, KMH_SPECIAL_LEFT);
	weak = READ_ONCE(sp->weak);
	if (weak)
		WRITE_ONCE(weak->p, NULL);
	llist_add(&sp->dead, &all->dead);
	irq_work_queue(&all->kick);
	return true;
}

/**
 * kmh_special_die() - an object that may have a special is dead
 * @s: its span; nspecials is not 0.
 * @addr: the object; claimed.
 *
 * Context: Any.
 * Return: true when the worker frees the object, once its finalizer has run.
 */
bool kmh_special_die(struct kmh_mspan *s, unsigned long addr)
{
	struct kmh_special *sp;
	bool left = false;

	rcu_read_lock();
	sp = kmh_special_find(s, addr);
	if (sp)
		left = kmh_special_bury(&s->heap->specials, sp);
	rcu_read_unlock();
	return left;
}

/**
 * kmh_special_forget() - no weak handle leads to an object any more
 * @s: its span; nspecials is not 0.
 * @addr: the object; about to be freed after a grace period, which must begin after this.
 *
 * Context: Any.
 */
void kmh_special_forget(struct kmh_mspan *s, unsigned long addr)
{
	struct kmh_special *sp;
	struct kmheap_weak *weak;

	rcu_read_lock();
	sp = kmh_special_find(s, addr);
	weak = sp ? READ_ONCE(sp->weak) : NULL;
	if (weak)
		WRITE_ONCE(weak->p, NULL);
	rcu_read_unlock();
}

/**
 * kmh_special_survive() - the sweep for marks has found an object marked
 * @s: its span; nspecials is not 0.
 * @addr: the object.
 * @gen: the generation of that sweep.
 *
 * Said before the mark is cleared; see kmheap_weak_get().
 */
void kmh_special_survive(struct kmh_mspan *s, unsigned long addr, unsigned int gen)
{
	struct kmh_special *sp;

	rcu_read_lock();
	sp = kmh_special_find(s, addr);
	if (sp)
		WRITE_ONCE(sp->survived, gen);
	rcu_read_unlock();
}

/* Those of @slots that a fold has to leave alone. */
unsigned long kmh_special_held(struct kmh_mspan *s, unsigned int word, unsigned long slots)
{
	unsigned long held = 0;
	unsigned int bit;

	if (s->state != KMH_SPAN_SMALL)
		return 0;
	for_each_set_bit(bit, &slots, KMH_WORD_SLOTS)
		if (kmh_special_exists(s, kmh_mspan_slot_addr(s, word * KMH_WORD_SLOTS + bit)))
			held |= BIT(bit);
	return held;
}
