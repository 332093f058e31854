/* SPDX-License-Identifier: GPL-2.0 */
/* Private: frees that wait for a grace period; see defer.c. */
#ifndef _KMHEAP_DEFER_H
#define _KMHEAP_DEFER_H

#include <linux/atomic.h>
#include <linux/irq_work.h>
#include <linux/types.h>

#include "span/mspan.h"

struct kmheap;

/* The deferred frees of a heap. */
struct kmh_defer {
	unsigned long gen;		/* set gen & 1 is being filled; under sweep.mutex */
	u8 any[2];			/* this set is not empty */
	bool waiting;			/* the other set is closed, and */
	unsigned long cookie;		/* waits for this grace period */
	size_t min_limit;		/* pending bytes allowed in the smallest heap */
	atomic_long_t pending;		/* bytes, about */
	bool pressed;			/* the worker has been told to hurry */
	bool short_of_memory;		/* reclaim wants deferred objects back */
	atomic_long_t expedited;	/* grace periods that were expedited, ever */
	struct irq_work kick;
};

/* Bytes that a CPU counts by itself before it adds them to the heap's sum. */
#define KMH_DEFER_SHARE		(64UL << 10)

/* Set the slot's bit in a set. Return: true when it was set before. */
static __always_inline bool kmh_defer_set(struct kmh_mspan *s, unsigned long slot,
					  unsigned long gen)
{
	atomic_long_t *set = kmh_mspan_deferred(s, slot / KMH_WORD_SLOTS, gen & 1);

	return test_and_set_bit(slot % KMH_WORD_SLOTS, (unsigned long *)&set->counter);
}

/*
 * Is the slot's bit in the set that @gen does not fill? It is in none when the slot becomes not
 * live, so then another free defers the object at the same time.
 */
static __always_inline bool kmh_defer_twice(const struct kmh_mspan *s, unsigned long slot,
					    unsigned long gen)
{
	return atomic_long_read(kmh_mspan_deferred(s, slot / KMH_WORD_SLOTS, !(gen & 1))) >>
	       slot % KMH_WORD_SLOTS & 1;
}

static inline bool kmh_defer_filling(const struct kmh_defer *d)
{
	return READ_ONCE(d->any[d->gen & 1]);
}

bool kmh_defer_slot(struct kmh_mspan *s, unsigned long slot, unsigned long gen);
void kmh_defer_count_slow(struct kmheap *heap);
void kmh_defer_wait(struct kmheap *heap, bool expedite);
enum kmh_free_result kmh_mspan_defer(struct kmh_mspan *s, unsigned int slot, unsigned long addr);
enum kmh_free_result kmh_tiny_defer(struct kmh_mspan *s, unsigned long addr, unsigned int block);
void kmh_defer_large(struct kmh_mspan *s);
size_t kmh_defer_limit(const struct kmheap *heap);
bool kmh_defer_excess(const struct kmheap *heap);
unsigned long kmh_defer_step(struct kmheap *heap);
void kmh_defer_relieve(struct kmheap *heap);
void kmh_defer_press(struct kmheap *heap);
void kmh_defer_init(struct kmheap *heap);

#endif /* _KMHEAP_DEFER_H */
