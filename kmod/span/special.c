// SPDX-License-Identifier: GPL-2.0
/*
 * Specials: side data of single objects, finalizers and weak handles.
 *
 * After Go's specials (src/runtime/mheap.go, mfinal.go, weak handles). They stand in a
 * table of their heap, by address, and objects without any pay nothing for it: a span
 * with a special has no slots for the fast path (nfast is 0), so each of its frees comes
 * the slow way, which looks. The arena has a bit for it at the span's first page.
 *
 * The life of a special:
 *
 *   ARMED	its object is live
 *   DEAD	its object has been freed, or found dead; the slot's cell says SPECIAL;
 *		the worker will run the finalizer and free the slot
 *   LEAVING	taken back while its object is live
 *   LEFT	the object was freed just then
 *   DONE	no lookup finds the special any more; if it was DEAD or LEFT, the slot is free
 *
 *   ARMED -> DEAD, LEAVING -> LEFT	by whoever has claimed the object, in any context
 *   ARMED -> LEAVING			by the caller that takes it back
 *   DEAD -> DONE			by the worker
 *   LEAVING -> DONE, LEFT -> DONE	by the caller that takes it back; an object that
 *					was left is that caller's to free
 *
 * Each step is an exchange: a weak handle may be destroyed while its object is freed.
 */
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
 * Specials of all heaps are made and removed under this mutex, as a weak handle may outlive
 * its heap. It is the outermost lock, taken while no other is held, and also in reclaim.
 */
DEFINE_MUTEX(kmh_special_mutex);

/* The special of an object, or NULL; never one that is DONE. Under RCU. */
struct kmh_special *kmh_special_find(struct kmh_mspan *s, unsigned long addr)
{
	struct kmh_special *sp;

	sp = rhashtable_lookup(&s->heap->specials.table, &addr, kmh_special_params);
	return sp && atomic_read(&sp->state) != KMH_SPECIAL_DONE ? sp : NULL;
}

/*
 * In the functions below @s is the span of the object at @addr, and its nspecials is not 0.
 * Context: any.
 */

/* Does a live object have a special? */
bool kmh_special_exists(struct kmh_mspan *s, unsigned long addr)
{
	bool found;

	rcu_read_lock();
	found = kmh_special_find(s, addr);
	rcu_read_unlock();
	return found;
}

/*
 * Will a finalizer read the object after it has been freed? The caller is about to free it, so no
 * finalizer is set or taken back.
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

/* Make the weak handle of an object, if it has one, lead nowhere. Under RCU. */
static void kmh_special_blind(struct kmh_special *sp)
{
	struct kmheap_weak *weak = READ_ONCE(sp->weak);

	if (weak)
		WRITE_ONCE(weak->p, NULL);
}

/* The object is dead: tell its special. Under RCU. Return: true when another party frees it. */
static bool kmh_special_bury(struct kmh_specials *all, struct kmh_special *sp)
{
	if (!kmh_special_move(sp, KMH_SPECIAL_ARMED, KMH_SPECIAL_DEAD))
		return kmh_special_move(sp, KMH_SPECIAL_LEAVING, KMH_SPECIAL_LEFT);
	kmh_special_blind(sp);
	llist_add(&sp->dead, &all->dead);
	irq_work_queue(&all->kick);
	return true;
}

/*
 * An object that may have a special is dead; the caller has claimed it.
 * Return: true when the worker will free the object, once its finalizer has run.
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

/*
 * Make the weak handle of the object lead nowhere: the object is about to be freed after a grace
 * period, which must begin after this.
 */
void kmh_special_forget(struct kmh_mspan *s, unsigned long addr)
{
	struct kmh_special *sp;

	rcu_read_lock();
	sp = kmh_special_find(s, addr);
	if (sp)
		kmh_special_blind(sp);
	rcu_read_unlock();
}

/*
 * The sweep for marks of generation @gen has found the object marked. Called before the mark is
 * cleared; see kmheap_weak_get().
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
