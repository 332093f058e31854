/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the suites of the mcache share. A case stays on one CPU and knows its windows and its
 * magazines there.
 */
#ifndef _KMHEAP_MCACHE_KUNIT_H
#define _KMHEAP_MCACHE_KUNIT_H

#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "conserved_kunit.h"
#include "kunit_util.h"

#define BYTES		32U
#define SPANCLASS	kmh_spanclass(4, false)		/* 256 slots of 32 bytes, 4 words */
#define NR_SLOTS	256U
#define REST		16U	/* objects of the class that rest in a magazine */

static inline int mcache_init(struct kunit *test)
{
	int err = set_cpus_allowed_ptr(current, cpumask_of(raw_smp_processor_id()));

	return err ?: kmh_kunit_init(test);
}

static inline struct kmh_mcache *mcache(struct kunit *test)
{
	return per_cpu_ptr(kmh_kunit_heap(test)->mcache, raw_smp_processor_id());
}

static inline struct kmh_mcslot *mcslot(struct kunit *test)
{
	return &mcache(test)->slot[SPANCLASS];
}

static inline unsigned int magazine_len(struct kunit *test)
{
	return kmh_magazine_len(mcache(test), SPANCLASS);
}

/* Who has the slot of @p. */
static inline int cell_of(const void *p)
{
	const struct kmh_mspan *s = kmh_span_of((unsigned long)p);

	return READ_ONCE(s->cell[((unsigned long)p - s->base) / s->elemsize]);
}

/* What the cell of an object says that this CPU's magazine has. */
static inline int own_tag(void)
{
	return KMH_CELL_TAG + raw_smp_processor_id() % KMH_CELL_TAGS;
}

static inline void *alloc(struct kunit *test)
{
	void *p = kmheap_alloc(kmh_kunit_heap(test), BYTES, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

static inline void **objects(struct kunit *test, unsigned int n)
{
	void **p = kunit_kcalloc(test, n, sizeof(*p), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

/* Allocate all slots of the cached span. Returns them in the order of allocation. */
static inline void **fill_span(struct kunit *test)
{
	void **p = objects(test, NR_SLOTS);
	unsigned int i;

	for (i = 0; i < NR_SLOTS; i++)
		p[i] = alloc(test);
	return p;
}

static inline void free_range(void **p, unsigned int from, unsigned int to)
{
	for (; from < to; from++)
		kmheap_free(p[from]);
}

static inline void expect_nothing_cached(struct kunit *test, struct kmheap *heap)
{
	unsigned int cpu, i, ncached = 0;

	for_each_possible_cpu(cpu) {
		struct kmh_mcache *mc = per_cpu_ptr(heap->mcache, cpu);

		for (i = 0; i < KMH_NR_SPANCLASSES; i++)
			ncached += mc->slot[i].span || mc->slot[i].avail || mc->spare[i] ||
				   mc->magazine[i] || kmh_magazine_len(mc, i);
		KUNIT_EXPECT_NULL(test, mc->tiny_span);
		KUNIT_EXPECT_EQ(test, mc->pages.bits, 0ULL);
		KUNIT_EXPECT_EQ(test, mc->busy, 0);
	}
	KUNIT_EXPECT_EQ(test, ncached, 0U);
}

static inline void expect_all_free(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_node *node;
	struct kmheap_stats st;
	int nid = -1;

	kmh_mcache_drain_all(heap);
	expect_nothing_cached(test, heap);
	kmh_kunit_expect_conserved(test, heap);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.live_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, st.cached_bytes, 0ULL);
	while ((node = kmh_next_node(heap, &nid))) {
		kmh_mheap_drain_lists(&node->mheap);
		KUNIT_EXPECT_EQ(test, node->mheap.pa.nfree, node->mheap.pa.npages);
	}
}

struct frees {
	void **p;
	unsigned int from, to;
};

static inline void free_elsewhere(void *arg)
{
	struct frees *f = arg;

	free_range(f->p, f->from, f->to);
}

/* Give back what this CPU's magazines have, and nothing else. Preemption off. */
static inline void drain_magazines(void *arg)
{
	struct kmheap *heap = arg;
	struct kmh_mcache *mc = this_cpu_ptr(heap->mcache);

	if (kmh_mcache_enter(mc)) {
		kmh_magazines_drain(mc);
		kmh_mcache_leave(mc);
	}
}

struct meeting {
	void *p;
	unsigned int n;
};

static inline void free_meanwhile(void *arg)
{
	struct meeting *m = arg;

	m->n++;
	kmheap_free(m->p);
}

/*
 * Free an object twice at the same time. This CPU has seen that it is live when an interrupt comes,
 * which is what the test point stands for, and frees it outside the section. Neither free can know
 * of the other. Up to four times in a case.
 */
static inline void free_twice_at_once(struct kunit *test, void *p)
{
	struct meeting m = { .p = p };

	if (want_init_on_free())
		kunit_skip(test, "a kernel without fast frees");
	kmh_kunit_at(test, "free: between look and store", free_meanwhile, &m);
	kmheap_free(p);
	KUNIT_ASSERT_EQ(test, m.n, 1U);
	kmh_kunit_no_reports(test);
}

#endif /* _KMHEAP_MCACHE_KUNIT_H */
