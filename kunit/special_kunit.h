/* SPDX-License-Identifier: GPL-2.0 */
/* What the suites of finalizers and weak handles share: objects that tell of their end. */
#ifndef _KMHEAP_SPECIAL_KUNIT_H
#define _KMHEAP_SPECIAL_KUNIT_H

#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/preempt.h>
#include <linux/string.h>

#include "collect_kunit.h"

#define PATTERN		0x5a

/* The argument of an object's finalizer: the object, and what its finalizer has seen. */
struct mortal {
	void *p;
	size_t bytes;
	unsigned int ncalls;
	unsigned int nwrong;	/* another object, spoilt contents, or not in process context */
};

static inline void note_end(void *p, void *arg)
{
	struct mortal *m = arg;

	m->ncalls++;
	m->nwrong += p != m->p || memchr_inv(p, PATTERN, m->bytes) || !in_task() ||
		     irqs_disabled() || preempt_count();
}

/* Allocate an object with that finalizer. */
static inline void *mortal(struct kunit *test, struct kmheap *heap, struct mortal *m, size_t bytes)
{
	*m = (struct mortal){ .p = kmheap_alloc(heap, bytes, GFP_KERNEL) };
	KUNIT_ASSERT_NOT_NULL_MSG(test, m->p, "%zu bytes", bytes);
	m->bytes = kmheap_size(m->p);
	memset(m->p, PATTERN, m->bytes);
	KUNIT_ASSERT_EQ_MSG(test, kmheap_set_finalizer(m->p, note_end, m), 0, "%zu bytes", bytes);
	return m->p;
}

/* The finalizer has been called @n times, each time rightly. */
static inline void expect_ends(struct kunit *test, const struct mortal *m, unsigned int n)
{
	KUNIT_EXPECT_EQ_MSG(test, m->ncalls, n, "%zu bytes", m->bytes);
	KUNIT_EXPECT_EQ_MSG(test, m->nwrong, 0U, "%zu bytes", m->bytes);
}

static inline u64 nspecials(struct kmheap *heap)
{
	struct kmheap_stats st;

	kmheap_stats(heap, &st);
	return st.specials;
}

/* Bits in all arenas: spans that have specials. */
static inline unsigned int special_pages(struct kmheap *heap)
{
	struct kmh_arena *a;
	unsigned int n = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		n += bitmap_weight(a->page_specials, a->npages);
	mutex_unlock(&heap->arenas_mutex);
	return n;
}

/* Does what kmheap_rcu_barrier() does, but does not wait for finalizers. */
static inline void sweep_by_hand(struct kmheap *heap)
{
	bool more;

	do {
		mutex_lock(&heap->sweep.mutex);
		kmh_sweep_finish(heap);
		more = kmh_defer_step(heap);
		mutex_unlock(&heap->sweep.mutex);
		if (more)
			usleep_range(200, 500);
	} while (more);
	irq_work_sync(&heap->specials.kick);
}

/* Expect that nothing is left of the specials, nor of the objects, after a barrier. */
static inline void expect_no_specials(struct kunit *test, struct kmheap *heap)
{
	kmheap_rcu_barrier(heap);
	KUNIT_EXPECT_EQ(test, nspecials(heap), 0ULL);
	KUNIT_EXPECT_EQ(test, special_pages(heap), 0U);
	expect_live(test, heap, 0);
}

#endif /* _KMHEAP_SPECIAL_KUNIT_H */
