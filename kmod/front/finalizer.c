// SPDX-License-Identifier: GPL-2.0
/*
 * Finalizers, and how specials come and go: their records, the worker that runs finalizers, and
 * the end of a heap. What a special is, and its life, is in special.c.
 *
 * Nothing is allocated under kmh_special_mutex but what the table takes with GFP_ATOMIC: a client's
 * shrinker that frees an object with a weak handle destroys the handle, and so takes the mutex in
 * reclaim. Records are booked and allocated first, and given back when they are not needed.
 */
#include <linux/export.h>
#include <linux/irq_work.h>
#include <linux/kmemleak.h>
#include <linux/slab.h>

#include "front/front.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/kick.h"
#include "base/lock.h"
#include "heap.h"
#include "pages/arena.h"
#include "pages/held.h"
#include "span/arenamap.h"
#include "span/slot.h"
#include "up.h"

/*
 * Buckets of the table for each special at most: between 30 % and 75 % of the buckets are in use,
 * and while a table of which 30 % are in use is replaced by one of half its size both exist.
 */
#define KMH_SPECIAL_BUCKETS	5

/* ---- records, before the mutex is taken */

/* Bytes booked for a special: its record and its share of the table. */
static size_t kmh_special_bytes(void)
{
	return kmalloc_size_roundup(sizeof(struct kmh_special)) +
	       KMH_SPECIAL_BUCKETS * sizeof(struct rhash_lock_head *);
}

size_t kmh_weak_bytes(void)
{
	return kmalloc_size_roundup(sizeof(struct kmheap_weak));
}

static void *kmh_special_record(struct kmheap *heap, size_t bytes, size_t booked)
{
	void *p;

	if (!kmh_heap_book_side(heap, booked))
		return NULL;
	p = kmh_backend_zalloc(bytes, GFP_KERNEL, NUMA_NO_NODE);
	if (!p)
		kmh_heap_unbook_side(heap, booked);
	return p;
}

/*
 * Allocate the records that @stock lacks; the caller has an object of its heap.
 * Context: process context; sleeps. Without kmh_special_mutex. Return: 0 or -ENOMEM.
 */
int kmh_special_stock_fill(struct kmh_special_stock *stock)
{
	struct kmheap *heap = stock->heap;

	WRITE_ONCE(heap->specials.used, true);
	if (!stock->special)
		stock->special = kmh_special_record(heap, sizeof(*stock->special),
						    kmh_special_bytes());
	if (stock->want_weak && !stock->weak)
		stock->weak = kmh_special_record(heap, sizeof(*stock->weak), kmh_weak_bytes());
	/* The records hold the object's address, but are no references to it. */
	kmemleak_ignore(stock->special);
	if (stock->weak)
		kmemleak_no_scan(stock->weak);
	return stock->special && (stock->weak || !stock->want_weak) ? 0 : -ENOMEM;
}

/* Give back the records that have not been used. Context: process context. */
void kmh_special_stock_end(struct kmh_special_stock *stock)
{
	if (stock->special) {
		kmh_backend_free(stock->special);
		kmh_heap_unbook_side(stock->heap, kmh_special_bytes());
	}
	if (stock->weak) {
		kmh_backend_free(stock->weak);
		kmh_heap_unbook_side(stock->heap, kmh_weak_bytes());
	}
}

/* ---- specials come and go; under kmh_special_mutex */

static unsigned long kmh_special_page(const struct kmh_mspan *s)
{
	return (s->base >> KMH_PAGE_SHIFT) - s->arena->first;
}

/*
 * The span has one special less. With the last one its objects are freed fast again, or without a
 * look at specials, so from then on the object does not keep the span any more. The lock does, as
 * no descriptor goes back without it: nothing is written into the span's next life.
 */
static void kmh_special_count_down(struct kmh_mspan *s, bool large)
{
	unsigned long flags;

	kmh_wait_lock_irqsave(&s->mheap->lock, flags);
	if (s->nspecials == 1) {
		clear_bit(kmh_special_page(s), s->arena->page_specials);
		if (!large)
			WRITE_ONCE(s->nfast, kmh_mspan_fast_slots(s));
		kmh_test_point("special: fast again");
	}
	WRITE_ONCE(s->nspecials, s->nspecials - 1);
	kmh_unlock_irqrestore(&s->mheap->lock, flags);
}

/*
 * Has the span gone? It cannot before the special does, but where the object was being freed while
 * it got the special: then nothing keeps it, and the descriptor may be that of another span.
 * Context: preemption off.
 */
static bool kmh_special_strays(const struct kmh_special *sp)
{
	const struct kmh_mspan *s = kmh_span_of(sp->addr);

	kmh_assert_pinned();
	return s != sp->span || READ_ONCE(s->heap) != sp->heap || !READ_ONCE(s->nspecials);
}

/*
 * The special leaves its span. If its object was freed meanwhile, the slot is given to the span,
 * which may go away from there on.
 */
static int kmh_special_count_out(struct kmh_special *sp)
{
	struct kmh_mspan *s = sp->span;
	bool large = s->spanclass == KMH_SPANCLASS_LARGE;	/* the state may be "gone" */
	int was;

	preempt_disable();
	if (likely(!kmh_special_strays(sp)))
		kmh_special_count_down(s, large);
	was = atomic_xchg(&sp->state, KMH_SPECIAL_DONE);
	if (!large && was != KMH_SPECIAL_LEAVING &&
	    kmh_mspan_release_special(s, (sp->addr - s->base) / s->elemsize) != KMH_FREE_OK)
		kmh_misuse_twice(s->heap, sp->addr, s->elemsize);
	preempt_enable();
	return was;
}

/* Remove a special that the caller has won: DEAD by the worker, LEAVING otherwise. */
static void kmh_special_remove(struct kmheap *heap, struct kmh_special *sp)
{
	struct kmh_mspan *s = sp->span;
	bool large = s->state == KMH_SPAN_LARGE;
	int was;

	lockdep_assert_held(&kmh_special_mutex);
	if (sp->weak) {
		/* From here on the handle belongs to no heap. */
		kmh_heap_unbook_side(heap, kmh_weak_bytes());
		sp->weak->special = NULL;
		WRITE_ONCE(sp->weak->p, NULL);
	}
	was = kmh_special_count_out(sp);
	kmh_test_point("special: done, and still in the table");
	if (large && was != KMH_SPECIAL_LEAVING)
		kmh_large_release(s);
	rhashtable_remove_fast(&heap->specials.table, &sp->node, kmh_special_params);
	atomic_long_dec(&heap->specials.n);
	kmh_test_point("special: counted out, and still booked");
	kmh_heap_unbook_side(heap, kmh_special_bytes());
	kmh_backend_free_rcu(sp, rcu);
}

/* Take a special back from an object that is live, as far as the caller knows. */
void kmh_special_disarm(struct kmheap *heap, struct kmh_special *sp)
{
	lockdep_assert_held(&kmh_special_mutex);
	if (!kmh_special_move(sp, KMH_SPECIAL_ARMED, KMH_SPECIAL_LEAVING))
		return;
	kmh_test_point("a special leaves a live object");
	kmh_special_remove(heap, sp);
}

static struct kmh_special *kmh_special_new(struct kmh_mspan *s, unsigned long addr,
					   struct kmh_special_stock *stock)
{
	struct kmheap *heap = s->heap;
	struct kmh_special *sp = stock->special;

	lockdep_assert_held(&kmh_special_mutex);
	if (s->nspecials == U16_MAX)
		return ERR_PTR(-ENOMEM);
	if (!sp)
		return ERR_PTR(-EAGAIN);
	sp->addr = addr;
	sp->heap = heap;
	sp->span = s;
	sp->survived = 1;	/* not a generation: those are even */
	if (rhashtable_insert_fast(&heap->specials.table, &sp->node, kmh_special_params))
		return ERR_PTR(-ENOMEM);
	stock->special = NULL;
	WRITE_ONCE(s->nfast, 0);
	WRITE_ONCE(s->nspecials, s->nspecials + 1);
	set_bit(kmh_special_page(s), s->arena->page_specials);
	atomic_long_inc(&heap->specials.n);
	return sp;
}

/*
 * The special of a live object of the caller's, which is made of the records in @stock if there is
 * none and @stock is not NULL. @who is the exported function, for a report.
 * Context: process context; kmh_special_mutex held.
 * Return: the special; NULL when there is none and none is to be made; ERR_PTR: -EINVAL when @p is
 * no such object (reported) or one that cannot have any, -ESHUTDOWN when its heap is being
 * destroyed and one was to be made, -EAGAIN when @stock lacks a record, -ENOMEM.
 */
struct kmh_special *kmh_special_of(const char *who, const void *p,
				   struct kmh_special_stock *stock, unsigned long ip)
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
	if (stock && READ_ONCE(s->heap->ending))
		return ERR_PTR(-ESHUTDOWN);
	if (stock)
		stock->heap = s->heap;
	if (s->nspecials) {
		rcu_read_lock();
		sp = kmh_special_find(s, addr);
		rcu_read_unlock();
	}
	if (!sp && stock)
		sp = kmh_special_new(s, addr, stock);
	return sp;
}

/* ---- finalizers */

static int kmh_finalizer_set_locked(void *p, kmheap_finalizer_fn fn, void *arg,
				    struct kmh_special_stock *stock, unsigned long ip)
{
	struct kmh_special *sp = kmh_special_of("kmheap_set_finalizer", p, fn ? stock : NULL, ip);

	if (IS_ERR(sp))
		return PTR_ERR(sp);
	if (!sp || (!fn && !sp->fn))
		return -ENOENT;
	if (fn && sp->fn)
		return -EEXIST;
	sp->arg = arg;
	WRITE_ONCE(sp->fn, fn);
	if (!fn && !sp->weak)
		kmh_special_disarm(sp->heap, sp);
	return 0;
}

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
 * finalizers of the objects that are left; from then on no object of the heap gets one.
 *
 * Context: Process context; sleeps.
 * Return: 0; -EEXIST when the object has a finalizer, -ENOENT when it has none to take back,
 * -EINVAL when @p can have none, -ESHUTDOWN when the heap is being destroyed, -ENOMEM, also
 * when a limit forbids it.
 */
int kmheap_set_finalizer(void *p, kmheap_finalizer_fn fn, void *arg)
{
	struct kmh_special_stock stock = { };
	int err;

	might_sleep();
	do {
		mutex_lock(&kmh_special_mutex);
		err = kmh_finalizer_set_locked(p, fn, arg, &stock, _RET_IP_);
		mutex_unlock(&kmh_special_mutex);
		if (err != -EAGAIN)
			break;
		err = kmh_special_stock_fill(&stock);
	} while (!err);
	kmh_special_stock_end(&stock);
	return err;
}
EXPORT_SYMBOL_GPL(kmheap_set_finalizer);

/* Run the finalizer of a dead object, then free its slot. */
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
	struct llist_node *all;

	if (unlikely(READ_ONCE(heap->stopped)))
		return;
	all = llist_reverse_order(llist_del_all(&heap->specials.dead));
	llist_for_each_entry_safe(sp, next, all, dead) {
		kmh_special_finish(heap, sp);
		cond_resched();
	}
}

/* Runs in a context that may wake a worker, whatever context the kick came from. */
static void kmh_special_kicked(struct irq_work *kick)
{
	struct kmheap *heap = container_of(kick, struct kmheap, specials.kick);

	queue_work(kmh_wq, &heap->specials.work);
}

/*
 * Wait for the finalizers of objects that are known to be dead, but not of objects that die
 * meanwhile, perhaps by one of these finalizers. Context: process context; sleeps.
 */
void kmh_special_wait(struct kmheap *heap)
{
	if (!READ_ONCE(heap->specials.used))
		return;
	/* Not by way of the irq_work, which a load on other CPUs may queue again for ever. */
	queue_work(kmh_wq, &heap->specials.work);
	flush_work(&heap->specials.work);
}

/* Drop what the worker was asked for. Context: process context; sleeps. */
void kmh_special_drop(struct kmheap *heap)
{
	kmh_irq_work_wait(&heap->specials.kick);
	cancel_work_sync(&heap->specials.work);
}

/* ---- the heap */

/* Context: process context; sleeps. Return: 0 or -ENOMEM. */
int kmh_special_init(struct kmheap *heap)
{
	struct rhashtable *table = &heap->specials.table;
	struct bucket_table *buckets;

	init_llist_head(&heap->specials.dead);
	init_irq_work(&heap->specials.kick, kmh_special_kicked);
	INIT_WORK(&heap->specials.work, kmh_special_work);
	if (kmh_backend_should_fail() || rhashtable_init(table, &kmh_special_params))
		return -ENOMEM;
	buckets = rcu_dereference_protected(table->tbl, true);
	kmh_heap_account_metadata(heap, struct_size(buckets, buckets, buckets->size));
	return 0;
}

/* No lookup in the table can be under way any more. */
void kmh_special_exit(struct kmheap *heap)
{
	if (rcu_access_pointer(heap->specials.table.tbl))
		rhashtable_destroy(&heap->specials.table);
}

/* Specials that end between two walks over the table, which are under RCU. */
#define KMH_SPECIAL_BATCH	64U

/*
 * What may be done about a special that is armed when its heap ends, or has lost an arena. Each
 * returns false where there is nothing to be done.
 */
typedef bool (*kmh_special_end_fn)(struct kmheap *heap, struct kmh_special *sp);

/* Call @end for the first specials. Return: of how many it was true, KMH_SPECIAL_BATCH at most. */
static unsigned int kmh_special_end_some(struct kmheap *heap, kmh_special_end_fn end)
{
	struct rhashtable_iter iter;
	struct kmh_special *sp;
	unsigned int n = 0;

	rhashtable_walk_enter(&heap->specials.table, &iter);
	rhashtable_walk_start(&iter);
	while (n < KMH_SPECIAL_BATCH && (sp = rhashtable_walk_next(&iter))) {
		/* An error: the table is being resized. */
		if (IS_ERR(sp) || atomic_read(&sp->state) != KMH_SPECIAL_ARMED)
			continue;
		n += end(heap, sp);
	}
	rhashtable_walk_stop(&iter);
	rhashtable_walk_exit(&iter);
	return n;
}

/* kmh_special_end_some() for all, under kmh_special_mutex. Context: process context; sleeps. */
static void kmh_special_end_all(struct kmheap *heap, kmh_special_end_fn end)
{
	unsigned int n;

	do {
		mutex_lock(&kmh_special_mutex);
		n = kmh_special_end_some(heap, end);
		mutex_unlock(&kmh_special_mutex);
	} while (n == KMH_SPECIAL_BATCH);
}

/* What is at the object's address now, if that is still the heap's. */
static enum kmheap_object_state kmh_special_object(const struct kmh_special *sp)
{
	struct kmh_where at = {};
	struct kmh_mspan *s;

	preempt_disable();
	s = kmh_span_of(sp->addr);
	if (READ_ONCE(s->state) >= KMH_SPAN_SMALL)
		kmh_locate(s, sp->addr, &at);
	preempt_enable();
	return at.base == sp->addr && at.heap == sp->heap ? at.state : KMHEAP_OBJECT_FREE;
}

static bool kmh_special_end_live(struct kmheap *heap, struct kmh_special *sp)
{
	if (kmh_special_object(sp) != KMHEAP_OBJECT_LIVE)
		return false;
	kmheap_free((void *)sp->addr);
	return true;
}

static bool kmh_special_end_lost(struct kmheap *heap, struct kmh_special *sp)
{
	if (sp->span->state != KMH_SPAN_GONE)
		return false;
	kmh_special_disarm(heap, sp);
	return true;
}

/*
 * The object was freed without a word to its special, because it got that between the look of the
 * free and its claim. Nothing is left to be finalized.
 */
static bool kmh_special_end_stray(struct kmheap *heap, struct kmh_special *sp)
{
	enum kmheap_object_state state = kmh_special_object(sp);

	if (state == KMHEAP_OBJECT_LIVE || state == KMHEAP_OBJECT_DEFERRED)
		return false;
	preempt_disable();
	kmh_report_misuse(&(struct kmh_report){
		.kind = KMH_INVALID_FREE,
		.what = "freed while it got a finalizer or a weak handle, found out later",
		.addr = sp->addr, .ip = _RET_IP_, .heap = heap,
		.state = READ_ONCE(kmh_span_of(sp->addr)->state), .object = sp->addr,
	});
	preempt_enable();
	kmh_special_disarm(heap, sp);
	return true;
}

/*
 * Objects in pages that a client has freed (lost_arena.c) have no special any more: nothing is left
 * to be finalized, and weak handles give NULL. Context: process context; sleeps.
 */
void kmh_special_forget_lost(struct kmheap *heap)
{
	kmh_special_end_all(heap, kmh_special_end_lost);
}

/*
 * Wait until holders of kmh_special_mutex that work on a special of the heap, for a weak
 * handle perhaps, are done: callers that come later find the special gone.
 */
static void kmh_special_pass(void)
{
	mutex_lock(&kmh_special_mutex);
	mutex_unlock(&kmh_special_mutex);
}

/*
 * Run the finalizers of the objects that are left when a heap ends; only they still use the heap,
 * and may free and allocate in it. Objects with a special are freed like any object, so that they
 * go through the worker. No object gets another special, so this ends.
 * Context: process context; sleeps.
 */
void kmh_special_stop(struct kmheap *heap)
{
	long left;

	kmh_special_wait(heap);
	if (!READ_ONCE(heap->specials.used))
		return;
	WRITE_ONCE(heap->specials.ending, true);
	while ((left = atomic_long_read(&heap->specials.n))) {
		kmh_special_end_some(heap, kmh_special_end_live);
		kmh_special_wait(heap);
		kmh_special_pass();
		/* Objects that are left may have been freed by kmheap_free_rcu(). */
		if (atomic_long_read(&heap->specials.n) == left)
			kmheap_rcu_barrier(heap);
		/* No finalizer runs then that could be freeing one of them. */
		if (atomic_long_read(&heap->specials.n) == left)
			kmh_special_end_all(heap, kmh_special_end_stray);
	}
	/* Objects that finalizers have deferred wait for their grace period as usual. */
	kmheap_rcu_barrier(heap);
	kmh_special_pass();
	/* It may shrink: not the worker's to wait for, which frees memory (kmh_heap_end_work()). */
	cancel_work_sync(&heap->specials.table.run_work);
}
