/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites of magazines and of spare spans share: full spans that no CPU caches, and what
 * the magazines of two CPUs hold. The cases themselves announce, fold and sweep.
 */
#ifndef _KMHEAP_MAGAZINE_KUNIT_H
#define _KMHEAP_MAGAZINE_KUNIT_H

#include "conserved_kunit.h"
#include "mcentral_kunit.h"
#include "sweep_kunit.h"

#define BYTES		1024U		/* SPANCLASS: 8 slots, one page */
#define MAGAZINE	64U		/* objects, when none have gone back */
#define REST		16U		/* those that are not allocated again, and stay */

static inline struct kmh_mcache *mcache(struct kunit *test)
{
	return per_cpu_ptr(kmh_kunit_heap(test)->mcache, raw_smp_processor_id());
}

static inline void *alloc_bytes(struct kunit *test, size_t bytes)
{
	void *p = kmheap_alloc(kmh_kunit_heap(test), bytes, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

static inline void *alloc(struct kunit *test)
{
	return alloc_bytes(test, BYTES);
}

static inline struct kmh_mspan *span(const void *p)
{
	return kmh_span_of((unsigned long)p);
}

static inline int home(const void *p)
{
	return atomic_read(&span(p)->home);
}

static inline unsigned int slot_of(const void *p)
{
	return ((unsigned long)p - span(p)->base) / span(p)->elemsize;
}

/* Who has the slot of @p. */
static inline int cell(const void *p)
{
	return READ_ONCE(span(p)->cell[slot_of(p)]);
}

/* Objects in this CPU's magazine of the class. */
static inline unsigned int magazine_len(struct kunit *test)
{
	return kmh_magazine_len(mcache(test), SPANCLASS);
}

/* @p is in this CPU's magazine: its cell has the tag, and its span has no bit. */
static inline void expect_held(struct kunit *test, const void *p)
{
	const struct kmh_slots *w = &span(p)->w[slot_of(p) / KMH_WORD_SLOTS];

	KUNIT_EXPECT_EQ(test, cell(p), (int)mcache(test)->tag);
	KUNIT_EXPECT_FALSE(test, (w->free | atomic_long_read(&w->remote)) &
				 BIT(slot_of(p) % KMH_WORD_SLOTS));
}

/* @p is its span's, with one bit or the other. */
static inline void expect_out(struct kunit *test, const void *p)
{
	const struct kmh_slots *w = &span(p)->w[slot_of(p) / KMH_WORD_SLOTS];

	KUNIT_EXPECT_EQ(test, cell(p), (int)KMH_CELL_OUT);
	KUNIT_EXPECT_TRUE(test, (w->free | atomic_long_read(&w->remote)) &
				BIT(slot_of(p) % KMH_WORD_SLOTS));
}

/*
 * @n full spans that are on no list; the eight objects of each. Nothing is in a magazine, and no
 * span is cached.
 */
static inline void **full_spans(struct kunit *test, unsigned int n)
{
	void **p = kunit_kcalloc(test, NR_SLOTS * n, sizeof(*p), GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < NR_SLOTS * n; i++)
		p[i] = alloc(test);
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	for (i = 0; i < NR_SLOTS * n; i++) {
		KUNIT_ASSERT_PTR_EQ(test, span(p[i]), span(p[i - i % NR_SLOTS]));
		KUNIT_ASSERT_EQ(test, home(p[i]), (int)KMH_HOME_FULL);
	}
	return p;
}

static inline void free_range(void **p, unsigned int from, unsigned int to)
{
	for (; from < to; from++)
		kmheap_free(p[from]);
}

/* Free those of @n objects that are live, in whatever way they became so. */
static inline void free_live(void **p, unsigned int n)
{
	while (n--)
		if (state_of(p[n]) == KMHEAP_OBJECT_LIVE)
			kmheap_free(p[n]);
}

/* Announce @s and fold it, as another party may after a free at a bad moment. */
static inline void fold_span(struct kunit *test, struct kmh_mspan *s)
{
	preempt_disable();
	kmh_inbox_announce(s);
	preempt_enable();
	kmh_mcentral_drain(node(test), s->spanclass);
}

/* ---- on another CPU */

/* The mcache of the CPU that kmh_kunit_elsewhere() goes to. */
static inline struct kmh_mcache *mcache_elsewhere(struct kunit *test)
{
	unsigned int cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());

	return per_cpu_ptr(kmh_kunit_heap(test)->mcache, cpu);
}

struct elsewhere {
	struct kmheap *heap;
	void **p;
	unsigned int n;
	size_t bytes;
};

static inline void free_fn(void *arg)
{
	struct elsewhere *e = arg;

	free_range(e->p, 0, e->n);
}

static inline void alloc_fn(void *arg)
{
	struct elsewhere *e = arg;
	unsigned int i;

	for (i = 0; i < e->n; i++)
		e->p[i] = kmheap_alloc(e->heap, e->bytes, GFP_ATOMIC);
}

static inline void drain_fn(void *arg)
{
	struct elsewhere *e = arg;
	struct kmh_mcache *mc = this_cpu_ptr(e->heap->mcache);

	kmh_mcache_enter(mc);
	kmh_mcache_drain_locked(mc);
	kmh_mcache_leave(mc);
}

static inline void free_bulk_fn(void *arg)
{
	struct elsewhere *e = arg;

	kmheap_free_bulk(e->n, e->p);
}

static inline void defer_fn(void *arg)
{
	struct elsewhere *e = arg;
	unsigned int i;

	for (i = 0; i < e->n; i++)
		kmheap_free_rcu(e->p[i]);
}

static inline void free_elsewhere(struct kunit *test, void **p, unsigned int n)
{
	struct elsewhere e = { .p = p, .n = n };

	kmh_kunit_elsewhere(test, free_fn, &e);
}

static inline void alloc_elsewhere(struct kunit *test, void **p, unsigned int n, size_t bytes)
{
	struct elsewhere e = {
		.heap = kmh_kunit_heap(test), .p = p, .n = n, .bytes = bytes
	};

	kmh_kunit_elsewhere(test, alloc_fn, &e);
}

static inline void drain_elsewhere(struct kunit *test)
{
	struct elsewhere e = { .heap = kmh_kunit_heap(test) };

	kmh_kunit_elsewhere(test, drain_fn, &e);
}

/* Nothing is live: expect that every page comes back. */
static inline void expect_all_back(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;

	kmheap_rcu_barrier(heap);
	kmh_mcache_drain_all(heap);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	kmh_mheap_drain_lists(&node(test)->mheap);
	expect_all_released(test, SPANCLASS);
}

#endif /* _KMHEAP_MAGAZINE_KUNIT_H */
