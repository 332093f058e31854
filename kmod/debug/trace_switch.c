// SPDX-License-Identifier: GPL-2.0
/*
 * The events of allocations and frees are switched on and off.
 *
 * The fast paths tell nobody of what they do, so that they need not ask whether to. While somebody
 * traces allocations all heaps are watched (watch.c), and nothing is left to the fast path of an
 * allocation, as where one of them is to fail. While somebody traces frees no slot of any span is
 * freed fast, as where a span has a special: @nfast is 0. The kernel calls here before the event
 * is on, and when it is going off.
 */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/wait_bit.h>
#include <trace/events/kmheap.h>

#include "debug/trace_switch.h"
#include "base/lock.h"
#include "cpu/watch.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/arenamap.h"
#include "span/special.h"

/* Under the kernel's mutex for tracepoints. */
static unsigned int kmh_trace_nfree_events;
static unsigned int kmh_trace_round;

/*
 * Have the spans that begin in heap pages @page to @end - 1 of an arena freed fast, or not any
 * more. The lock keeps spans that are on their way back, and kmh_special_mutex, which the caller
 * holds, what their specials want.
 */
static void kmh_trace_pages(struct kmh_arena *a, unsigned long page, unsigned long end)
{
	unsigned long flags, step;
	unsigned int n = 0;
	struct kmh_mspan *s;

	for (; page < end; page += step) {
		step = 1;
		kmh_wait_lock_irqsave(&a->mheap->lock, flags);
		s = kmh_span_of_page(page);
		if (kmh_arena_has_span(a, s)) {
			if (s->state == KMH_SPAN_SMALL && !s->nspecials)
				WRITE_ONCE(s->nfast, kmh_mspan_fast_slots(s));
			step = kmh_arena_span_pages(a, s, page);
		}
		kmh_unlock_irqrestore(&a->mheap->lock, flags);
		if (++n % 256 == 0)
			cond_resched();
	}
}

/*
 * Have all spans of a heap freed fast, or not any more. Context: process context; sleeps. The heap
 * does not end meanwhile.
 */
static void kmh_trace_spans(struct kmheap *heap)
{
	unsigned long page, n;
	struct kmh_arena *a;

	mutex_lock(&kmh_special_mutex);
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		for (page = 0; kmh_arena_next_run(a, &page, &n); page += n)
			kmh_trace_pages(a, a->first + page, a->first + page + n);
	mutex_unlock(&heap->arenas_mutex);
	mutex_unlock(&kmh_special_mutex);
}

/*
 * Tracers of the heap's allocations have come or gone. Who ends or makes a heap may wait for this,
 * and may hold what the file system or I/O want: so neither is entered. Context: process context;
 * sleeps. The heap does not end meanwhile.
 */
static void kmh_trace_allocs(struct kmheap *heap)
{
	unsigned int scope = memalloc_noio_save();

	if (kmh_watch_retrace(heap))
		pr_warn("heap %s: no memory, or no room within a limit, to trace its allocations\n",
			heap->name);
	memalloc_noio_restore(scope);
}

/*
 * Have a new heap, which is in the list by now, do what tracers want. Its spans that were made
 * before frees were traced are all in the map: whoever began to trace frees after this heap was in
 * the list finds it there, and who began before has waited for a grace period before looking.
 * Context: process context; sleeps.
 */
void kmh_trace_heap(struct kmheap *heap)
{
	kmh_trace_allocs(heap);
	if (READ_ONCE(kmh_frees_traced))
		kmh_trace_spans(heap);
}

/* A heap that has not had its turn; its end waits (kmh_trace_wait()). */
static struct kmheap *kmh_trace_next(void)
{
	struct kmheap *heap, *found = NULL;

	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(heap, &kmh_heaps, list) {
		if (heap->ending || heap->traced_round == kmh_trace_round)
			continue;
		heap->traced_round = kmh_trace_round;
		heap->tracing = true;
		found = heap;
		break;
	}
	mutex_unlock(&kmh_heaps_mutex);
	return found;
}

/* Heaps that are made meanwhile look by themselves once they are in the list. */
static void kmh_trace_heaps(void (*fn)(struct kmheap *heap))
{
	struct kmheap *heap;

	kmh_trace_round++;
	while ((heap = kmh_trace_next())) {
		fn(heap);
		smp_store_release(&heap->tracing, false);	/* pairs with kmh_trace_wait() */
		smp_mb();	/* the flag, then who waits for it: see wake_up_var() */
		wake_up_var(&heap->tracing);	/* the address alone: the heap may be gone */
	}
}

/* A heap that is in the list no more ends: wait for who may have found it there. */
void kmh_trace_wait(struct kmheap *heap)
{
	/* Acquire: what was done with the heap, its end; pairs with kmh_trace_heaps(). */
	wait_var_event(&heap->tracing, !smp_load_acquire(&heap->tracing));
}

int kmh_trace_alloc_begins(void)
{
	WRITE_ONCE(kmh_allocs_traced, true);
	kmh_trace_heaps(kmh_trace_allocs);
	return 0;
}

void kmh_trace_alloc_ends(void)
{
	WRITE_ONCE(kmh_allocs_traced, false);
	kmh_trace_heaps(kmh_trace_allocs);
}

static void kmh_trace_frees(bool on)
{
	WRITE_ONCE(kmh_frees_traced, on);
	/* Small spans are made with preemption off: those that have not seen it are in the map. */
	synchronize_rcu();
	kmh_trace_heaps(kmh_trace_spans);
	/* Frees that have not seen it, either, are done. */
	synchronize_rcu();
}

/* Of the two events one or both are on. */
int kmh_trace_free_begins(void)
{
	if (!kmh_trace_nfree_events++)
		kmh_trace_frees(true);
	return 0;
}

void kmh_trace_free_ends(void)
{
	if (!--kmh_trace_nfree_events)
		kmh_trace_frees(false);
}
