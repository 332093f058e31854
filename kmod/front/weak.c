// SPDX-License-Identifier: GPL-2.0
/*
 * Weak handles: pointers that do not keep their objects.
 *
 * A handle and the special of its object point to each other for as long as both exist. A
 * handle may outlive its object, and the heap; then it belongs to its holders alone.
 */
#include <linux/export.h>

#include "front/front.h"
#include "base/backend.h"
#include "base/budget.h"
#include "heap.h"
#include "span/arenamap.h"

static struct kmheap_weak *kmh_weak_create_locked(void *p, struct kmh_special_stock *stock,
						  unsigned long ip)
{
	struct kmh_special *sp = kmh_special_of("kmheap_weak_create", p, stock, ip);
	struct kmheap_weak *weak;

	if (IS_ERR(sp))
		return ERR_CAST(sp);
	weak = sp->weak;
	if (weak) {
		refcount_inc(&weak->refs);
		return weak;
	}
	weak = stock->weak;
	if (!weak)	/* the object has a finalizer; the next stock brings a handle */
		return ERR_PTR(-EAGAIN);
	stock->weak = NULL;
	weak->p = p;
	weak->special = sp;
	refcount_set(&weak->refs, 1);
	smp_store_release(&sp->weak, weak);	/* for kmh_special_bury() */
	return weak;
}

/**
 * kmheap_weak_create() - a handle that does not keep its object
 * @p: a live object, held by the caller; not packed data (up to 12 bytes).
 *
 * An object has one handle: each further call returns it, and counts a reference.
 *
 * Context: Process context; sleeps.
 * Return: the handle; ERR_PTR: -EINVAL when @p can have none, -ESHUTDOWN when its heap is being
 * destroyed, -ENOMEM, also when a limit forbids it.
 */
struct kmheap_weak *kmheap_weak_create(void *p)
{
	struct kmh_special_stock stock = { .want_weak = true };
	struct kmheap_weak *weak;
	int err;

	might_sleep();
	do {
		mutex_lock(&kmh_special_mutex);
		weak = kmh_weak_create_locked(p, &stock, _RET_IP_);
		mutex_unlock(&kmh_special_mutex);
		if (weak != ERR_PTR(-EAGAIN))
			break;
		err = kmh_special_stock_fill(&stock);
		if (err)
			weak = ERR_PTR(err);
	} while (!err);
	kmh_special_stock_end(&stock);
	return weak;
}
EXPORT_SYMBOL_GPL(kmheap_weak_create);

/*
 * Is a collection about to free the object, though the sweep has not reached it? An unswept object
 * is doomed unless it is marked. The sweep notes survivors before it clears the marks, so where a
 * mark is gone the note tells.
 */
static bool kmh_special_doomed(struct kmh_mspan *s, struct kmh_special *sp)
{
	unsigned long phase = kmh_mcentral_phase(kmh_mspan_mcentral(s));
	unsigned int gen = kmh_phase_gen(phase), own = atomic_read(&s->sweepgen), slot, survived;

	if (kmh_phase_what(phase) != KMH_SWEEP_MARKS || own == gen || own == gen + 3)
		return false;
	slot = s->elemsize ? (sp->addr - s->base) / s->elemsize : 0;
	if (slot >= s->nelems)	/* the object died meanwhile; the span is another one */
		return true;
	if (atomic_long_read(kmh_mspan_mark(s, slot / KMH_WORD_SLOTS)) &
	    BIT(slot % KMH_WORD_SLOTS))
		return false;
	smp_rmb();	/* mark, survivor: pairs with the barrier in kmh_sweep_marks() */
	/*
	 * Or of the next generation: the class may have advanced since its generation was read. By
	 * equality: an object marked long ago may be any number of generations behind.
	 */
	survived = READ_ONCE(sp->survived);
	return survived != gen && survived != gen + 2;
}

/**
 * kmheap_weak_get() - the object of a weak handle
 * @weak: the handle.
 *
 * The caller sees to it that the object, if it still exists, stays: under rcu_read_lock() where it
 * is freed with kmheap_free_rcu(); under whatever keeps a collection from ending where it is
 * collected. During a collection the object returned is a root: mark it.
 *
 * Context: Any, NMI included. Lock-free.
 * Return: the object; NULL once it has been freed, or found unmarked by a collection.
 */
void *kmheap_weak_get(const struct kmheap_weak *weak)
{
	void *p = READ_ONCE(weak->p);
	struct kmh_special *sp;
	struct kmh_mspan *s;

	if (!p)
		return NULL;
	rcu_read_lock();
	preempt_disable();
	s = kmh_span_of((unsigned long)p);
	if (s->state >= KMH_SPAN_SMALL && kmh_heap_collected(s->heap)) {
		sp = kmh_special_find(s, (unsigned long)p);
		if (!sp || kmh_special_doomed(s, sp))
			p = NULL;
	}
	preempt_enable();
	rcu_read_unlock();
	return p && READ_ONCE(weak->p) ? p : NULL;
}
EXPORT_SYMBOL_GPL(kmheap_weak_get);

/**
 * kmheap_weak_destroy() - give up a weak handle
 * @weak: from kmheap_weak_create(); NULL and ERR_PTR do nothing. Its object and its heap
 *	may be gone.
 *
 * Context: Process context; sleeps.
 */
void kmheap_weak_destroy(struct kmheap_weak *weak)
{
	struct kmh_special *sp;

	might_sleep();
	if (IS_ERR_OR_NULL(weak))
		return;
	mutex_lock(&kmh_special_mutex);
	if (refcount_dec_and_test(&weak->refs)) {
		sp = weak->special;
		if (sp) {
			kmh_heap_unbook_side(sp->heap, kmh_weak_bytes());
			WRITE_ONCE(sp->weak, NULL);
			if (!sp->fn)
				kmh_special_disarm(sp->heap, sp);
		}
		kmh_backend_free_rcu(weak, rcu);
	}
	mutex_unlock(&kmh_special_mutex);
}
EXPORT_SYMBOL_GPL(kmheap_weak_destroy);
