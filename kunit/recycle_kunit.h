/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites share in which a descriptor becomes another span between a look at it and the act
 * that follows. The case itself does what another party would do meanwhile, at the place in
 * question (testpoint.h).
 */
#ifndef _KMHEAP_RECYCLE_KUNIT_H
#define _KMHEAP_RECYCLE_KUNIT_H

#include <linux/string.h>

#include "magazine_kunit.h"

#define CLASS_16	kmh_spanclass(kmheap_size_class(16), false)	/* as many words as TINY */

struct recycle {
	struct kunit *test;
	struct kmheap *heap;
	struct kmh_mspan *s;		/* the descriptor that is recycled */
	unsigned long base;		/* where its first span was */
	unsigned int spanclass;		/* what it becomes */
	struct kmh_mspan *made;		/* the span that was made then, of whatever descriptor */
	bool again;			/* it has become that */
	bool freed;			/* and slot 2 has been freed in it */
	void *p, *q;
};

/* A fresh span with all its slots live. Preemption off. */
static inline struct kmh_mspan *full_span(struct recycle *r)
{
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(r->spanclass)];
	struct kmh_mspan *s;
	unsigned int i;

	s = kmh_mheap_alloc_span(&node(r->test)->mheap, NULL, r->spanclass, class->npages,
				 class->align_pages, true, NULL);
	for (i = 0; s && i < s->nelems; i++)
		kmh_kunit_take_slot(s, i);
	r->made = s;
	return s;
}

/*
 * If all slots of r->s have been freed, the span goes back, and its descriptor becomes another
 * one. Preemption is off on entry and on return, as at the test points; in between this may
 * sleep, and the case stays on its CPU.
 */
static inline void recycle_span(struct recycle *r)
{
	preempt_enable();
	fold_span(r->test, r->s);
	preempt_disable();
	r->again = full_span(r) == r->s;
}

/* Free the span that the descriptor has become. */
static inline void end_span(struct kunit *test, struct kmh_mspan *s)
{
	free_all(test, s);
	uncache_span(test, s);
	kmh_mcentral_drain(node(test), s->spanclass);
}

/*
 * The only live objects of a span, @n of them from slot @slot on. No CPU has freed one of the span
 * through its magazine, so that the next free has to claim it.
 */
static inline void **left_of_a_span(struct kunit *test, unsigned int slot, unsigned int n)
{
	void **p = full_spans(test, 1), **left = p + slot;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, (unsigned long)*left, span(*left)->base + slot * BYTES);
	for (i = 0; i < NR_SLOTS; i++)
		if (i < slot || i >= slot + n)
			free_remote(test, span(*left), i);
	KUNIT_ASSERT_EQ(test, (int)span(*left)->freer, (int)KMH_FREER_NONE);
	return left;
}

static inline void *one_left_of_a_span(struct kunit *test, unsigned int slot)
{
	return *left_of_a_span(test, slot, 1);
}

#endif /* _KMHEAP_RECYCLE_KUNIT_H */
