// SPDX-License-Identifier: GPL-2.0
/*
 * The end of a heap: first its workers and what is kept of it, then, when no free can be under way
 * any more, its memory. What waits for that is in ended.c.
 */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/module.h>
#include <linux/rcupdate.h>

#include "heap.h"
#include "base/backend.h"
#include "base/budget.h"
#include "debug/debugfs.h"
#include "debug/leaks.h"
#include "debug/trace_switch.h"
#include "front/front.h"
#include "pages/arena.h"
#include "span/spanpool.h"
#include "supply/giveback.h"
#include "supply/lost_arena.h"

/*
 * From here on every address of the heap says "gone". Return: its spans, listed through @dead: a
 * free that races with the end may still announce one (@node).
 */
static struct kmh_mspan *kmh_heap_unmap(struct kmheap *heap)
{
	struct kmh_mspan *spans = NULL;
	struct kmh_arena *a;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		kmh_arena_unmap(a, &spans);
	list_for_each_entry(a, &heap->lost, list)
		kmh_arena_unmap(a, &spans);
	mutex_unlock(&heap->arenas_mutex);
	return spans;
}

static void kmh_heap_free_arenas(struct kmheap *heap)
{
	struct kmh_arena *a, *next;

	list_for_each_entry_safe(a, next, &heap->arenas, list) {
		list_del(&a->list);
		kmh_arena_destroy(a);
	}
	kmh_lost_free(heap);
}

/*
 * The arenas, which are nobody's any more, are on their way to the kernel: at a limit growth of
 * other heaps waits for them.
 */
static void kmh_heap_arenas_leave(struct kmheap *heap)
{
	struct kmh_arena *a;

	list_for_each_entry(a, &heap->arenas, list) {
		a->left = true;
		a->who = KMH_WHO_END;
		kmh_arena_begin_leave(a);
	}
}

/* Misuse that was counted in the heap stays in the module's totals. */
static void kmh_heap_fold_misuses(struct kmheap *heap)
{
	unsigned int i;

	for (i = 0; i < KMH_NR_MISUSES; i++)
		atomic_long_add(atomic_long_xchg(&heap->misuses[i], 0), &kmh_misuses[i]);
}

/* Drop what the heap's workers were asked for; none runs. Context: process context; sleeps. */
static void kmh_heap_drop_work(struct kmheap *heap)
{
	struct kmh_node *node;
	int nid = -1;

	kmh_kick_stop(&heap->growing_up);
	kmh_kick_stop(&heap->idle.kick);
	kmh_kick_stop(&heap->scavenge.kick);
	kmh_sweep_stop(heap);
	kmh_special_drop(heap);
	while ((node = kmh_next_node(heap, &nid)))
		kmh_mheap_drop(&node->mheap);
}

/* Nobody allocates from the heap, and nobody frees there but by mistake. No worker of it runs. */
static void kmh_heap_stop(struct kmheap *heap, bool report)
{
	struct kmh_node *node;
	int nid = -1;

	kmh_shrink_unregister(heap);
	kmh_limit_stop(heap);
	kmh_lost_find(heap, false);
	kmheap_rcu_barrier(heap);
	kmh_nmi_stop(heap);
	kmh_caches_end(heap);
	if (report)
		kmh_report_survivors(heap);
	kmh_special_stop(heap);		/* runs the survivors' finalizers */
	kmh_sweep_stop(heap);
	kmh_mcaches_stop(heap);
	kmh_kick_stop(&heap->idle.kick);
	kmh_arenas_leave_stop(heap);
	kmh_kick_stop(&heap->scavenge.kick);
	while ((node = kmh_next_node(heap, &nid)))
		kmh_mheap_stop(&node->mheap);
	kmh_kick_stop(&heap->scavenge.kick);	/* a worker may have asked before it was stopped */
	kmh_watch_end(heap);
	kmh_limit_end(heap);
	kmh_largecache_drain_unused(heap);
	/* A free that races with the end may ask for a worker until all say "gone": for nothing. */
	WRITE_ONCE(heap->stopped, true);
	kmh_heap_drop_work(heap);
	heap->end_spans = kmh_heap_unmap(heap);
	kmh_heap_arenas_leave(heap);
	kmh_tombstone_begin(heap);
	kmh_heap_fold_misuses(heap);
}

/*
 * Give back the memory of a heap. A grace period has passed since kmh_heap_stop(): frees that raced
 * with the end read its spans with preemption off, so none does any more. (Large objects are
 * cleared and given back with preemption on: their frees must be over, as kmheap_destroy() asks of
 * all frees.) Context: process context, also out of memory; sleeps, and waits for nobody.
 */
void kmh_heap_reap_memory(struct kmheap *heap)
{
	struct kmh_mspan *s;
	unsigned int n = 0;

	while ((s = heap->end_spans)) {
		heap->end_spans = s->dead;
		if (++n % 256 == 0)
			cond_resched();
		if (kmh_heap_sanitized(heap) && (!s->arena->lost || s->arena->block))
			kmh_sanitize_span_gone(s);
		kmh_mspan_put(s);
	}
	/* Before the arenas, for which others wait who want to book. */
	kmh_heap_forget_base(heap);
	kmh_heap_free_arenas(heap);
}

/*
 * Free the rest of it but the structure, after that. A free that raced with the end may have found
 * a worker not stopped yet, and have asked for it since: the request is dropped, for its timer must
 * not outlive the structure. No free is left that could ask. Context: process context; sleeps.
 */
void kmh_heap_reap_tables(struct kmheap *heap)
{
	kmh_heap_drop_work(heap);
	/* Where this waits for a grace period, an irq_work may have been run a moment ago. */
	irq_work_sync(&heap->scavenge.kick.irq);
	kmh_heap_fold_misuses(heap);	/* of those who had not seen the end yet */
	kmh_heap_free_tables(heap);
}

/* End a heap and wait for that. @report: it was published. */
void kmh_heap_teardown(struct kmheap *heap, bool report)
{
	kmh_heap_stop(heap, report);
	synchronize_rcu();
	kmh_heap_reap_memory(heap);
	kmh_heap_reap_tables(heap);
	if (report)
		kmh_tombstone_keep(heap);
	else
		kmh_heap_free(heap);
}

/*
 * From here on the heap is the caller's to end, if @heap is one: nothing is read of @heap before
 * that is known. Return: 0; -ENOENT when it is no heap, or one that is being ended; -EBUSY in the
 * callback of its soft limit.
 */
static int kmh_heap_begin_end(struct kmheap *heap)
{
	struct kmheap *listed;
	int err = -ENOENT;

	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(listed, &kmh_heaps, list) {
		if (listed != heap || heap->ending)
			continue;
		err = kmh_limit_in_trim(&heap->limit) ? -EBUSY : 0;
		if (!err)
			WRITE_ONCE(heap->ending, true);
	}
	mutex_unlock(&kmh_heaps_mutex);
	return err;
}

/* Files go first: a heap that takes the name afterwards finds their folder gone. */
static void kmh_heap_unpublish(struct kmheap *heap)
{
	kmh_debugfs_remove_heap(heap);
	kmh_test_point("heap: half gone");
	mutex_lock(&kmh_heaps_mutex);
	list_del_init(&heap->list);
	mutex_unlock(&kmh_heaps_mutex);
	kmh_trace_wait(heap);
}

/* End the default heap, which kmheap_destroy() refuses to. @report: as in kmh_heap_teardown(). */
void kmh_heap_end_default(bool report)
{
	kmh_heap_begin_end(kmh_default_heap);
	kmh_heap_unpublish(kmh_default_heap);
	kmh_heap_teardown(kmh_default_heap, report);
}

/* kmheap_destroy(). @wait: until all of the heap has gone. */
void kmh_heap_destroy(struct kmheap *heap, bool wait)
{
	int err;

	might_sleep();
	if (IS_ERR_OR_NULL(heap))
		return;
	if (WARN(heap == kmh_default_heap, "kmheap: the default heap cannot be destroyed\n"))
		return;
	err = kmh_heap_begin_end(heap);
	if (WARN(err == -EBUSY, "kmheap: heap %s: its own callback cannot destroy it\n",
		 heap->name))
		return;
	if (WARN(err, "kmheap: %p is not a heap; destroyed twice?\n", heap))
		return;
	kmh_heap_unpublish(heap);
	if (wait || kmh_ended_is_urgent()) {
		kmh_heap_teardown(heap, true);
	} else {
		kmh_heap_stop(heap, true);
		kmh_ended_add(heap);
	}
	module_put(THIS_MODULE);
}

/**
 * kmheap_destroy() - end a heap
 * @heap: the heap; NULL and ERR_PTR do nothing. A pointer to no heap, or to one that is being
 *	destroyed or has been, is warned about and not read.
 *
 * Objects that are still live are reported (how many, how many bytes, of which size classes) and
 * freed with the rest; their finalizers run. Caches that are left are reported and end with the
 * heap. Deferred frees are waited for. Clients that may still free into the heap must be done: a
 * free that comes later is reported as such and ignored. The callback of a soft limit is waited
 * for. kmheap_weak_destroy() may come at any time.
 *
 * The name is free again when this returns, or a little earlier. What the heap has left goes back
 * to the kernel a grace period later; where total_limit is set, or memory is short, it has gone
 * when this returns.
 *
 * Context: Process context; sleeps.
 */
void kmheap_destroy(struct kmheap *heap)
{
	kmh_heap_destroy(heap, false);
}
EXPORT_SYMBOL_GPL(kmheap_destroy);
