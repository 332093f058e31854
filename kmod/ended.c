// SPDX-License-Identifier: GPL-2.0
/*
 * Heaps that have ended and wait for a grace period.
 *
 * A worker does what comes after it, so whoever ends many heaps waits for none, and one grace
 * period serves them all. The heaps have no shrinker any more: their memory is on its way to the
 * kernel, and reclaim could not have it sooner, as it waits for no grace period. Who is out of
 * memory does wait, for an expedited one, and takes the memory before the worker comes.
 */
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/semaphore.h>

#include "heap.h"
#include "base/backend.h"
#include "base/budget.h"
#include "front/front.h"
#include "up.h"

/*
 * So many heaps wait for their grace period: they have memory that nobody can use. Who ends the
 * next one waits for their worker, in turn with others that do: the semaphore is first come, first
 * served.
 */
#define KMH_ENDING_MOST		64

static struct semaphore kmh_ending = __SEMAPHORE_INITIALIZER(kmh_ending, KMH_ENDING_MOST);

/*
 * Those that have their memory still. A mutex of their own, which nobody holds for long: callers
 * that must not wait for kmh_heaps_mutex wait for the memory that the worker gives back.
 */
DEFINE_MUTEX(kmh_ended_mutex);
static LIST_HEAD(kmh_ended);

/* Does somebody want the memory of an ended heap at once? */
bool kmh_ended_is_urgent(void)
{
	return READ_ONCE(kmh_total_limit) || kmh_memory_is_short(0);
}

static void kmh_ended_work(struct work_struct *work)
{
	struct kmheap *heap = container_of(to_rcu_work(work), struct kmheap, end);
	bool has_memory;

	kmh_test_point("ended heap: a grace period later");
	mutex_lock(&kmh_ended_mutex);
	has_memory = !list_empty(&heap->list);
	list_del_init(&heap->list);
	mutex_unlock(&kmh_ended_mutex);
	if (has_memory)
		kmh_heap_reap_memory(heap);
	kmh_heap_reap_tables(heap);
	kmh_tombstone_keep(heap);
	up(&kmh_ending);
}

/* What is left of @heap, which nobody uses any more, goes later. Context: process; sleeps. */
void kmh_ended_add(struct kmheap *heap)
{
	down(&kmh_ending);
	INIT_RCU_WORK(&heap->end, kmh_ended_work);
	mutex_lock(&kmh_ended_mutex);
	list_add_tail(&heap->list, &kmh_ended);
	mutex_unlock(&kmh_ended_mutex);
	queue_rcu_work(kmh_wq, &heap->end);
}

/* Wait for the heaps that have ended. Context: process context; sleeps; one caller at a time. */
void kmh_ended_settle(void)
{
	unsigned int i;

	for (i = 0; i < KMH_ENDING_MOST; i++)
		down(&kmh_ending);
	while (i--)
		up(&kmh_ending);
}

/*
 * Give the memory of heaps that have ended back now. Their tables stay for the worker: to free
 * them is to wait for others. Context: process context, also out of memory; sleeps for an expedited
 * grace period. Return: bytes.
 */
size_t kmh_ended_reap(void)
{
	struct kmheap *heap, *next;
	size_t bytes = 0;

	if (!mutex_trylock(&kmh_ended_mutex))	/* its holder is at it */
		return 0;
	if (!list_empty(&kmh_ended))
		synchronize_rcu_expedited();
	list_for_each_entry_safe(heap, next, &kmh_ended, list) {
		list_del_init(&heap->list);
		bytes += atomic_long_read(&heap->arena_bytes);
		kmh_heap_reap_memory(heap);
	}
	mutex_unlock(&kmh_ended_mutex);
	return bytes;
}
