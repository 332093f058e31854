// SPDX-License-Identifier: GPL-2.0
/*
 * Objects for NMIs that get no lock.
 *
 * An NMI only tries locks, because what it has interrupted may hold them. So objects of the
 * kinds that NMIs have asked the heap for, or may ask for, lie ready on shelves, a shelf for
 * each kind; one exchange takes an object off or puts it back. The worker refills the
 * shelves. Objects on a shelf are live as far as their slots tell, and free in the figures of
 * the heap.
 *
 * Collected heaps have no shelves, because a collection would free the objects. Sanitized
 * heaps have none either, because their objects come and go through kmh_sanitize_alloc() and
 * kmh_sanitize_free_unpin().
 */
#include <linux/jiffies.h>
#include <linux/minmax.h>
#include <linux/sizes.h>

#include "supply/nmi.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/kick.h"
#include "base/lock.h"
#include "heap.h"
#include "span/arenamap.h"
#include "up.h"

/* Bytes on a shelf, but four objects at least. */
#define KMH_SHELF_BYTES		SZ_64K

size_t kmh_nmi_bytes(unsigned int kind)
{
	if (kind < KMH_NR_SPANCLASSES)
		return kmh_classes[kmh_spanclass_class(kind)].size;
	return (kind - KMH_NR_SPANCLASSES + 1) << KMH_PAGE_SHIFT;
}

unsigned int kmh_nmi_objects(unsigned int kind)
{
	return clamp_t(unsigned int, KMH_SHELF_BYTES / kmh_nmi_bytes(kind), 4, KMH_SHELF_OBJECTS);
}

/* Note what kind of object an NMI allocates, and have some put on a shelf. Context: NMI. */
void kmh_nmi_ask(struct kmheap *heap, unsigned int kind)
{
	struct kmh_nmi *nmi = &heap->nmi;

	WRITE_ONCE(nmi->used, jiffies);
	if (test_bit(kind, nmi->wanted) || kmh_heap_collected(heap) || kmh_heap_sanitized(heap))
		return;
	set_bit(kind, nmi->wanted);
	kmh_mheap_kick(&kmh_heap_near_node(heap)->mheap, false);
}

/* Take an object from a shelf. Context: any, but only an NMI gets one. Return: it, or NULL. */
void *kmh_nmi_take(struct kmheap *heap, unsigned int kind)
{
	struct kmh_shelf *shelf;
	void *p = NULL;
	unsigned int i;

	if (!kmh_nested())
		return NULL;
	/* Acquire: pairs with the exchange in kmh_nmi_shelf(). */
	shelf = smp_load_acquire(&heap->nmi.shelf[kind]);
	for (i = 0; shelf && !p && i < KMH_SHELF_OBJECTS; i++)
		if (READ_ONCE(shelf->slot[i]))
			p = xchg(&shelf->slot[i], NULL);
	if (p)
		kmh_reserve_served(heap);
	kmh_mheap_kick(&kmh_heap_near_node(heap)->mheap, false);
	return p;
}

/* The shelf of a kind, made if need be; two workers may make it at the same time. */
static struct kmh_shelf *kmh_nmi_shelf(struct kmheap *heap, unsigned int kind)
{
	struct kmh_shelf *shelf = READ_ONCE(heap->nmi.shelf[kind]), *old = NULL;

	if (shelf)
		return shelf;
	if (!kmh_heap_try_book_side(heap, sizeof(*shelf)))
		return NULL;
	shelf = kmh_backend_zalloc(sizeof(*shelf), GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN,
				   NUMA_NO_NODE);
	if (!shelf)
		goto unbook;
	old = cmpxchg(&heap->nmi.shelf[kind], NULL, shelf);	/* see kmh_nmi_take() */
	if (!old)
		return shelf;
	kmh_backend_free(shelf);
unbook:
	kmh_heap_unbook_side(heap, sizeof(*shelf));
	return old;
}

/* Allocate an object for a shelf. NULL is not counted as a refusal, as no client has asked. */
static void *kmh_nmi_alloc(struct kmheap *heap, unsigned int kind)
{
	if (kind < KMH_NR_SPANCLASSES)
		return kmh_alloc_shelved(heap, kmh_heap_near_node(heap), kind);
	return kmh_large_try(heap, kmh_nmi_bytes(kind),
			     GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
}

static bool kmh_nmi_fill_kind(struct kmheap *heap, unsigned int kind)
{
	struct kmh_shelf *shelf = kmh_nmi_shelf(heap, kind);
	unsigned int i;
	void *p;

	for (i = 0; shelf && i < kmh_nmi_objects(kind); i++) {
		if (READ_ONCE(shelf->slot[i]))
			continue;
		p = READ_ONCE(heap->nmi.stopped) ? NULL : kmh_nmi_alloc(heap, kind);
		if (!p)
			return false;
		if (cmpxchg(&shelf->slot[i], NULL, p))
			kmheap_free(p);
	}
	return shelf;
}

static bool kmh_nmi_class_in_use(struct kmheap *heap, unsigned int spanclass)
{
	struct kmh_node *node;
	struct kmh_mcache *mc;
	int cpu = -1, nid = -1;

	/* What a small heap allocates is counted there. */
	while ((node = kmh_next_node(heap, &nid)))
		if (atomic_long_read(&kmh_mcentral_of(node, spanclass)->nested_allocs))
			return true;
	while ((mc = kmh_next_mcache(heap, &cpu)))
		if (kmh_mcache_allocs(mc, spanclass))
			return true;
	return false;
}

/*
 * Called by the worker, with what growth has returned. Fill all shelves that are wanted. In a
 * heap that NMIs use fill also those of all classes that have been allocated from, because an NMI
 * may want one of these next. With an @err the heap has no pages for that. Context: process
 * context; sleeps.
 */
void kmh_nmi_fill(struct kmheap *heap, int err)
{
	unsigned int kind;

	if (READ_ONCE(heap->nmi.stopped) || !kmh_nmi_in_use(heap))
		return;
	queue_delayed_work(kmh_wq, &heap->nmi.decay, KMH_RESERVE_DECAY);
	if (err)
		return;
	for (kind = KMH_SPANCLASS_TINY + 1; kind < KMH_NR_SPANCLASSES; kind++)
		if (kmh_nmi_class_in_use(heap, kind))
			set_bit(kind, heap->nmi.wanted);
	for_each_set_bit(kind, heap->nmi.wanted, KMH_NMI_KINDS)
		if (!kmh_nmi_fill_kind(heap, kind))
			return;
}

/* Is what lies on a shelf of @heap an object no more, or another heap's? Preemption off. */
static bool kmh_nmi_is_lost(const struct kmheap *heap, const void *p)
{
	const struct kmh_mspan *s = kmh_span_of((unsigned long)p);

	kmh_assert_pinned();
	return READ_ONCE(s->state) == KMH_SPAN_GONE || READ_ONCE(s->heap) != heap;
}

/* Take objects in lost arenas (lost_arena.c) off the shelves. */
void kmh_nmi_forget_lost(struct kmheap *heap)
{
	unsigned int kind, i;

	for (kind = 0; kind < KMH_NMI_KINDS; kind++) {
		struct kmh_shelf *shelf = READ_ONCE(heap->nmi.shelf[kind]);

		for (i = 0; shelf && i < KMH_SHELF_OBJECTS; i++) {
			void *p = READ_ONCE(shelf->slot[i]);

			preempt_disable();
			if (p && kmh_nmi_is_lost(heap, p))
				cmpxchg(&shelf->slot[i], p, NULL);
			preempt_enable();
		}
	}
}

/*
 * Free what was on a shelf. If a client has freed its arena, and nobody has noticed yet, there may
 * be an object of another heap at its address, which stays.
 */
static void kmh_nmi_free_shelved(struct kmheap *heap, const void *p)
{
	bool lost;

	preempt_disable();
	lost = p && kmh_nmi_is_lost(heap, p);
	preempt_enable();
	if (!lost)
		kmheap_free(p);
}

/* Free all objects on shelves and forget what was wanted. Context: process context. */
void kmh_nmi_drain(struct kmheap *heap)
{
	unsigned int kind, i;

	for (kind = 0; kind < KMH_NMI_KINDS; kind++) {
		struct kmh_shelf *shelf = READ_ONCE(heap->nmi.shelf[kind]);

		clear_bit(kind, heap->nmi.wanted);
		for (i = 0; shelf && i < KMH_SHELF_OBJECTS; i++)
			kmh_nmi_free_shelved(heap, xchg(&shelf->slot[i], NULL));
	}
}

/* Free what lies ready when no NMI has come for a while. */
static void kmh_nmi_work(struct work_struct *work)
{
	struct kmheap *heap = container_of(to_delayed_work(work), struct kmheap, nmi.decay);

	if (time_after_eq(jiffies, READ_ONCE(heap->nmi.used) + KMH_RESERVE_DECAY)) {
		kmh_nmi_drain(heap);
		kmh_kick_ask(&heap->scavenge.kick);
	}
	if (kmh_nmi_in_use(heap))
		queue_delayed_work(kmh_wq, &heap->nmi.decay, KMH_RESERVE_DECAY);
}

void kmh_nmi_init(struct kmheap *heap)
{
	INIT_DELAYED_WORK(&heap->nmi.decay, kmh_nmi_work);
}

/* Stop for good; the heap has no users any more. Context: process context; sleeps. */
void kmh_nmi_stop(struct kmheap *heap)
{
	struct kmh_node *node;
	int nid = -1;

	WRITE_ONCE(heap->nmi.stopped, true);
	while (heap->nodes && (node = kmh_next_node(heap, &nid))) {
		kmh_irq_work_wait(&node->mheap.kick);
		flush_work(&node->mheap.work);	/* a run that has not seen @stopped */
	}
	/* Runs that begin now leave the shelves and their clock alone. */
	kmh_nmi_drain(heap);
	cancel_delayed_work_sync(&heap->nmi.decay);
}

void kmh_nmi_free(struct kmheap *heap)
{
	unsigned int kind;

	for (kind = 0; kind < KMH_NMI_KINDS; kind++) {
		if (!heap->nmi.shelf[kind])
			continue;
		kmh_heap_unbook_side(heap, sizeof(struct kmh_shelf));
		kmh_backend_free(heap->nmi.shelf[kind]);
	}
}

bool kmh_nmi_in_use(const struct kmheap *heap)
{
	return !bitmap_empty(heap->nmi.wanted, KMH_NMI_KINDS);
}
