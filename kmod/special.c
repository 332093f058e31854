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
#include <linux/export.h>
#include <linux/irq_work.h>
#include <linux/kmemleak.h>
#include <linux/refcount.h>
#include <linux/rhashtable.h>

#include "internal.h"

enum {
	KMH_SPECIAL_ARMED,
	KMH_SPECIAL_DEAD,
	KMH_SPECIAL_LEAVING,
	KMH_SPECIAL_LEFT,
	KMH_SPECIAL_DONE,
};

struct kmh_special {
	struct rhash_head node;
	unsigned long addr;
	struct kmh_mspan *span;
	atomic_t state;
	unsigned int survived;		/* the generation whose sweep has found it marked */
	kmheap_finalizer_fn fn;
	void *arg;
	struct kmheap_weak *weak;	/* under kmh_special_mutex; read under RCU */
	struct llist_node dead;
	struct rcu_head rcu;
};

struct kmheap_weak {
	void *p;			/* NULL when the object is gone; read anywhere */
	struct kmh_special *special;	/* under kmh_special_mutex; NULL likewise */
	refcount_t refs;		/* kmheap_weak_create() gives the same one again */
	struct rcu_head rcu;
};

static const struct rhashtable_params kmh_special_params = {
	.key_len = sizeof(unsigned long),
	.key_offset = offsetof(struct kmh_special, addr),
	.head_offset = offsetof(struct kmh_special, node),
	.automatic_shrinking = true,
};

/*
 * Specials come and go under this. Outermost: it is held while nothing else is, and
 * what is taken under it comes from the kernel.
 */
static DEFINE_MUTEX(kmh_special_mutex);

/* Under RCU. Not those that are done. */
static struct kmh_special *kmh_special_find(struct kmh_mspan *s, unsigned long addr)
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

static bool kmh_special_move(struct kmh_special *sp, int from, int to)
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

/* ---- coming and going; under kmh_special_mutex */

static unsigned long kmh_special_page(const struct kmh_mspan *s)
{
	return (s->base >> KMH_PAGE_SHIFT) - s->arena->first;
}

/* The span has one more. The caller holds the object, so the span stays. */
static void kmh_special_count_in(struct kmh_mspan *s)
{
	WRITE_ONCE(s->nfast, 0);
	WRITE_ONCE(s->nspecials, s->nspecials + 1);
	set_bit(kmh_special_page(s), s->arena->page_specials);
}

/*
 * The span has one less, and its slot may be folded. From there on the span may go away
 * at any time: what follows may meet its next life, and does no harm there, as with any
 * announcement.
 */
static int kmh_special_count_out(struct kmh_special *sp)
{
	struct kmh_mspan *s = sp->span;
	bool large = s->state == KMH_SPAN_LARGE;
	int was;

	preempt_disable();
	if (s->nspecials == 1) {
		clear_bit(kmh_special_page(s), s->arena->page_specials);
		if (!large)
			WRITE_ONCE(s->nfast, kmh_mspan_fast_slots(s));
	}
	WRITE_ONCE(s->nspecials, s->nspecials - 1);
	/* Fully ordered: pairs with the barrier in kmh_mcentral_settle_full(). */
	was = atomic_xchg(&sp->state, KMH_SPECIAL_DONE);
	if (!large && kmh_mspan_unannounced(s))
		kmh_mcentral_announce(s);
	preempt_enable();
	return was;
}

/* @sp has been won: DEAD by the worker, LEAVING otherwise. */
static void kmh_special_remove(struct kmheap *heap, struct kmh_special *sp)
{
	struct kmh_mspan *s = sp->span;
	bool large = s->state == KMH_SPAN_LARGE;
	int was;

	lockdep_assert_held(&kmh_special_mutex);
	if (sp->weak) {
		sp->weak->special = NULL;
		WRITE_ONCE(sp->weak->p, NULL);
	}
	was = kmh_special_count_out(sp);
	if (large && was != KMH_SPECIAL_LEAVING)
		kmh_large_release(s);
	rhashtable_remove_fast(&heap->specials.table, &sp->node, kmh_special_params);
	atomic_long_dec(&heap->specials.n);
	kmh_heap_account_metadata(heap, -(long)sizeof(*sp));
	kmh_backend_free_rcu(sp, rcu);
}

/* Take it back from an object that is live, as far as the caller knows. */
static void kmh_special_disarm(struct kmheap *heap, struct kmh_special *sp)
{
	lockdep_assert_held(&kmh_special_mutex);
	if (!kmh_special_move(sp, KMH_SPECIAL_ARMED, KMH_SPECIAL_LEAVING))
		return;
	kmh_test_point("a special leaves a live object");
	kmh_special_remove(heap, sp);
}

static int kmh_special_make_table(struct kmheap *heap)
{
	int err;

	lockdep_assert_held(&kmh_special_mutex);
	if (heap->specials.ready)
		return 0;
	if (kmh_backend_should_fail())
		return -ENOMEM;
	err = rhashtable_init(&heap->specials.table, &kmh_special_params);
	if (err)
		return err;
	kmh_magazines_end(heap);
	heap->specials.ready = true;
	return 0;
}

static struct kmh_special *kmh_special_new(struct kmh_mspan *s, unsigned long addr)
{
	struct kmheap *heap = s->heap;
	struct kmh_special *sp;

	lockdep_assert_held(&kmh_special_mutex);
	if (s->nspecials == U16_MAX || kmh_special_make_table(heap))
		return NULL;
	sp = kmh_backend_zalloc(sizeof(*sp), GFP_KERNEL, NUMA_NO_NODE);
	if (!sp)
		return NULL;
	kmemleak_ignore(sp);	/* holds the object's address, and is no reference to it */
	sp->addr = addr;
	sp->span = s;
	sp->survived = 1;	/* no generation: those are even */
	if (rhashtable_insert_fast(&heap->specials.table, &sp->node, kmh_special_params)) {
		kmh_backend_free(sp);
		return NULL;
	}
	kmh_special_count_in(s);
	atomic_long_inc(&heap->specials.n);
	kmh_heap_account_metadata(heap, sizeof(*sp));
	return sp;
}

/*
 * The special of a live object, made if need be. ERR_PTR: -EINVAL for what is no such
 * object (reported) or one that cannot have any, -ENOMEM.
 */
static struct kmh_special *kmh_special_of(const char *who, const void *p, bool make,
					  unsigned long ip)
{
	unsigned long addr = (unsigned long)p;
	struct kmh_special *sp = NULL;
	struct kmh_where at = {};
	struct kmh_mspan *s;
	bool can;

	lockdep_assert_held(&kmh_special_mutex);
	preempt_disable();
	s = kmh_span_of(addr);
	if (s->state >= KMH_SPAN_SMALL)
		kmh_locate(s, addr, &at);
	can = s->state == KMH_SPAN_SMALL || s->state == KMH_SPAN_LARGE;
	preempt_enable();
	if (!addr || at.base != addr || at.state != KMHEAP_OBJECT_LIVE) {
		kmh_report_bad_pointer(who, p, ip);
		return ERR_PTR(-EINVAL);
	}
	if (!can)
		return ERR_PTR(-EINVAL);
	/* The caller holds the object, so its span stays from here on. */
	if (s->nspecials) {
		rcu_read_lock();
		sp = kmh_special_find(s, addr);
		rcu_read_unlock();
	}
	if (!sp && make)
		sp = kmh_special_new(s, addr) ?: ERR_PTR(-ENOMEM);
	return sp;
}

/* ---- finalizers */

/**
 * kmheap_set_finalizer() - have a function called when an object is dead
 * @p: a live object, held by the caller; not packed data (up to 12 bytes).
 * @fn: called once with @p and @arg, in process context, after the object has been freed
 *	(kmheap_free_rcu(): after the grace period) or found dead by a collection,
 *	and before its memory is used again. It may read the object and must not keep
 *	it. NULL takes the finalizer back.
 * @arg: for @fn.
 *
 * @fn may allocate, free and take mutexes, but not call kmheap_rcu_barrier() or
 * kmheap_destroy() for this heap, which wait for it. kmheap_destroy() calls the
 * finalizers of the objects that are left.
 *
 * Context: Process context; sleeps.
 * Return: 0; -EEXIST when there is one already, -ENOENT when there is none to take back,
 * -EINVAL when @p can have none, -ENOMEM.
 */
int kmheap_set_finalizer(void *p, kmheap_finalizer_fn fn, void *arg)
{
	struct kmh_special *sp;
	int err = 0;

	might_sleep();
	mutex_lock(&kmh_special_mutex);
	sp = kmh_special_of(__func__, p, fn, _RET_IP_);
	if (IS_ERR(sp)) {
		err = PTR_ERR(sp);
	} else if (!sp || (!fn && !sp->fn)) {
		err = -ENOENT;
	} else if (fn && sp->fn) {
		err = -EEXIST;
	} else {
		sp->arg = arg;
		WRITE_ONCE(sp->fn, fn);
		if (!fn && !sp->weak)
			kmh_special_disarm(sp->span->heap, sp);
	}
	mutex_unlock(&kmh_special_mutex);
	return err;
}
EXPORT_SYMBOL_GPL(kmheap_set_finalizer);

/* The object is dead: its finalizer, then its slot. */
static void kmh_special_finish(struct kmheap *heap, struct kmh_special *sp)
{
	struct kmh_mspan *s = sp->span;

	if (sp->fn) {
		sp->fn((void *)sp->addr, sp->arg);
		atomic_long_inc(&heap->specials.finalized);
	}
	if (s->state != KMH_SPAN_LARGE)
		kmh_slot_dead(s, sp->addr);
	mutex_lock(&kmh_special_mutex);
	kmh_special_remove(heap, sp);
	mutex_unlock(&kmh_special_mutex);
}

static void kmh_special_work(struct work_struct *work)
{
	struct kmheap *heap = container_of(work, struct kmheap, specials.work);
	struct kmh_special *sp, *next;
	struct llist_node *all = llist_reverse_order(llist_del_all(&heap->specials.dead));

	llist_for_each_entry_safe(sp, next, all, dead) {
		kmh_special_finish(heap, sp);
		cond_resched();
	}
}

/* Runs where it may wake a worker, whatever context asked for it. */
static void kmh_special_kicked(struct irq_work *kick)
{
	struct kmheap *heap = container_of(kick, struct kmheap, specials.kick);

	queue_work(kmh_wq, &heap->specials.work);
}

/**
 * kmh_special_flush() - wait for the finalizers of what is known to be dead
 * @heap: the heap.
 *
 * Context: Process context; sleeps.
 */
void kmh_special_flush(struct kmheap *heap)
{
	do {
		irq_work_sync(&heap->specials.kick);
		flush_work(&heap->specials.work);
	} while (!llist_empty(&heap->specials.dead) || work_busy(&heap->specials.work));
}

/* ---- weak handles */

/**
 * kmheap_weak_create() - a handle that does not keep its object
 * @p: a live object, held by the caller; not packed data (up to 12 bytes).
 *
 * All handles of an object are the same one, counted.
 *
 * Context: Process context; sleeps.
 * Return: the handle; ERR_PTR: -EINVAL when @p can have none, -ENOMEM.
 */
struct kmheap_weak *kmheap_weak_create(void *p)
{
	struct kmheap_weak *weak = NULL;
	struct kmh_special *sp;

	might_sleep();
	mutex_lock(&kmh_special_mutex);
	sp = kmh_special_of(__func__, p, true, _RET_IP_);
	if (IS_ERR(sp)) {
		weak = ERR_CAST(sp);
		goto out;
	}
	weak = sp->weak;
	if (weak) {
		refcount_inc(&weak->refs);
		goto out;
	}
	weak = kmh_backend_zalloc(sizeof(*weak), GFP_KERNEL, NUMA_NO_NODE);
	if (weak) {
		kmemleak_no_scan(weak);
		weak->p = p;
		weak->special = sp;
		refcount_set(&weak->refs, 1);
		smp_store_release(&sp->weak, weak);	/* for kmh_special_bury() */
	} else {
		weak = ERR_PTR(-ENOMEM);
		if (!sp->fn)
			kmh_special_disarm(sp->span->heap, sp);
	}
out:
	mutex_unlock(&kmh_special_mutex);
	return weak;
}
EXPORT_SYMBOL_GPL(kmheap_weak_create);

/*
 * Is a collection about to free the object, though the sweep has not come to it? An
 * unswept object is doomed unless it is marked. The sweep says who survives before it
 * clears the marks, so a mark that is gone is looked for there.
 */
static bool kmh_special_doomed(struct kmh_mspan *s, struct kmh_special *sp)
{
	unsigned long phase = kmh_mcentral_phase(kmh_mspan_mcentral(s));
	unsigned int gen = kmh_phase_gen(phase), own = atomic_read(&s->sweepgen), slot;

	if (kmh_phase_what(phase) != KMH_SWEEP_MARKS || own == gen || own == gen + 3)
		return false;
	slot = s->elemsize ? (sp->addr - s->base) / s->elemsize : 0;
	if (slot >= s->nelems)	/* the object died meanwhile, and its span is another one */
		return true;
	if (atomic_long_read(kmh_mspan_mark(s, slot / KMH_WORD_SLOTS)) &
	    BIT(slot % KMH_WORD_SLOTS))
		return false;
	smp_rmb();	/* mark, survivor: pairs with the barrier in kmh_sweep_marks() */
	/* Or a later one: the class may have advanced since its generation was read. */
	return (int)(READ_ONCE(sp->survived) - gen) < 0;
}

/**
 * kmheap_weak_get() - the object of a weak handle
 * @weak: the handle.
 *
 * The caller sees to it that the object, if it is still there, stays: under
 * rcu_read_lock() where it is freed with kmheap_free_rcu(); under whatever keeps a
 * collection from ending where it is collected. During a collection what this gives is
 * a root: mark it.
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
			WRITE_ONCE(sp->weak, NULL);
			if (!sp->fn)
				kmh_special_disarm(sp->span->heap, sp);
		}
		kmh_backend_free_rcu(weak, rcu);
	}
	mutex_unlock(&kmh_special_mutex);
}
EXPORT_SYMBOL_GPL(kmheap_weak_destroy);

/* ---- the heap */

void kmh_special_init(struct kmheap *heap)
{
	init_llist_head(&heap->specials.dead);
	init_irq_work(&heap->specials.kick, kmh_special_kicked);
	INIT_WORK(&heap->specials.work, kmh_special_work);
}

/* Freed between two looks at the table. */
#define KMH_SPECIAL_BATCH	64U

/* The first objects that still have a special; returns how many. */
static unsigned int kmh_special_first(struct kmheap *heap, void **p)
{
	struct rhashtable_iter iter;
	struct kmh_special *sp;
	unsigned int n = 0;

	rhashtable_walk_enter(&heap->specials.table, &iter);
	rhashtable_walk_start(&iter);
	while (n < KMH_SPECIAL_BATCH && (sp = rhashtable_walk_next(&iter))) {
		if (IS_ERR(sp))		/* the table is being resized: once more */
			continue;
		if (atomic_read(&sp->state) == KMH_SPECIAL_ARMED)
			p[n++] = (void *)sp->addr;
	}
	rhashtable_walk_stop(&iter);
	rhashtable_walk_exit(&iter);
	return n;
}

/*
 * Objects in pages that somebody else has freed (lost.c) have no special any more: nothing is
 * left to be finalized, and weak handles say so. Context: process context; sleeps.
 */
void kmh_special_forget_lost(struct kmheap *heap)
{
	struct kmh_special *lost[KMH_SPECIAL_BATCH], *sp;
	struct rhashtable_iter iter;
	unsigned int n, i;

	do {
		n = 0;
		mutex_lock(&kmh_special_mutex);
		if (heap->specials.ready) {
			rhashtable_walk_enter(&heap->specials.table, &iter);
			rhashtable_walk_start(&iter);
			while (n < KMH_SPECIAL_BATCH && (sp = rhashtable_walk_next(&iter)))
				if (!IS_ERR(sp) && sp->span->state == KMH_SPAN_GONE &&
				    atomic_read(&sp->state) == KMH_SPECIAL_ARMED)
					lost[n++] = sp;
			rhashtable_walk_stop(&iter);
			rhashtable_walk_exit(&iter);
		}
		for (i = 0; i < n; i++)
			kmh_special_disarm(heap, lost[i]);
		mutex_unlock(&kmh_special_mutex);
	} while (n == KMH_SPECIAL_BATCH);
}

/**
 * kmh_special_stop() - the finalizers of what is left when a heap ends
 * @heap: the heap; without users but the finalizers, which may free and allocate in it.
 *
 * What has a special is freed like any object, so that it goes through the worker.
 *
 * Context: Process context; sleeps.
 */
void kmh_special_stop(struct kmheap *heap)
{
	void *p[KMH_SPECIAL_BATCH];
	unsigned int n;

	kmh_special_flush(heap);
	if (!heap->specials.ready)
		return;
	WRITE_ONCE(heap->specials.ending, true);
	while ((n = kmh_special_first(heap, p))) {
		kmheap_free_bulk(n, p);
		kmh_special_flush(heap);
	}
	/* Deferred ones, of finalizers, wait for their grace period as before. */
	kmheap_rcu_barrier(heap);
	rhashtable_destroy(&heap->specials.table);
	heap->specials.ready = false;
}
