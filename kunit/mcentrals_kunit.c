// SPDX-License-Identifier: GPL-2.0
/* KUnit: the mcentrals of a small heap, which come with the first use of a class. */
#include <linux/irq_work.h>

#include "small_kunit.h"

/* A class of group @nr whose spans have one page. */
static unsigned int class_of_group(struct kunit *test, unsigned int nr)
{
	unsigned int i, spanclass = nr * KMH_GROUP_CLASSES;

	for (i = 0; i < KMH_GROUP_CLASSES && spanclass < KMH_NR_SPANCLASSES; i++, spanclass++)
		if (kmh_classes[kmh_spanclass_class(spanclass)].npages == 1)
			return spanclass;
	KUNIT_FAIL(test, "no class of group %u has spans of one page", nr);
	return KMH_SPANCLASS_TINY;
}

static void *alloc_atomic(struct kmheap *heap, unsigned int spanclass)
{
	return kmh_spanclass_noscan(spanclass) ?
	       kmheap_alloc_data(heap, kmh_spanclass_size[spanclass], GFP_ATOMIC | __GFP_NOWARN) :
	       kmheap_alloc(heap, kmh_spanclass_size[spanclass], GFP_ATOMIC | __GFP_NOWARN);
}

/* An empty heap has those that large objects need, and some to spare. */
static void few_at_first(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct kmh_node *node = kmh_heap_near_node(heap);
	unsigned int spanclass = class_of_group(test, 1);
	void *p;

	kmh_kunit_no_worker(heap);
	KUNIT_EXPECT_EQ(test, ngroups(node), 1U);
	KUNIT_EXPECT_TRUE(test, kmh_mcentral_exists(kmh_mcentral_of(node, KMH_SPANCLASS_LARGE)));
	KUNIT_EXPECT_EQ(test, node->nspare, (unsigned int)KMH_SPARE_GROUPS);
	kmh_kunit_validate(test);
	p = alloc_atomic(heap, spanclass);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, ngroups(node), 2U);
	KUNIT_EXPECT_EQ(test, node->nspare, (unsigned int)KMH_SPARE_GROUPS - 1);
	KUNIT_EXPECT_PTR_EQ(test, kmh_mcentral_node(kmh_mcentral_of(node, spanclass)), node);
	kmh_kunit_validate(test);
	kmheap_free(p);
	kmheap_destroy(heap);
}

/* A class for whose spans there are no pages takes none of what is spare. */
static void spare_for_those_with_pages(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct kmh_node *node = kmh_heap_near_node(heap);
	void *p;

	kmh_kunit_no_worker(heap);
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 16384, GFP_ATOMIC | __GFP_NOWARN));
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, 32768, GFP_ATOMIC | __GFP_NOWARN));
	KUNIT_EXPECT_EQ(test, node->nspare, (unsigned int)KMH_SPARE_GROUPS);
	p = alloc_atomic(heap, class_of_group(test, 1));
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmheap_free(p);
	kmheap_destroy(heap);
}

/* The first arena is the first also where memory is short: those after it bring all mcentrals. */
static void begins_where_memory_is_short(struct kunit *test)
{
	struct kmheap *heap;
	struct kmh_node *node;
	unsigned int nr;
	void *p[6];

	WRITE_ONCE(kmh_backend_short, true);
	heap = small_heap(test, 0);
	node = kmh_heap_near_node(heap);
	kmh_kunit_no_worker(heap);
	KUNIT_EXPECT_GT(test, heap->next_arena_bytes, kmh_heap_first_bytes(heap));
	for (nr = 0; nr < ARRAY_SIZE(p); nr++) {
		p[nr] = kmheap_alloc(heap, kmh_spanclass_size[class_of_group(test, nr)],
				     GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, p[nr]);
	}
	WRITE_ONCE(kmh_backend_short, false);
	KUNIT_EXPECT_EQ(test, ngroups(node), KMH_NR_GROUPS);
	kmheap_free_bulk(ARRAY_SIZE(p), p);
	kmheap_destroy(heap);
}

struct at_once {
	struct kmh_node *node;
	unsigned int spanclass;
	atomic_t nbegun;
	void *p[2];
};

static void first_use(void *arg, unsigned int i)
{
	struct at_once *a = arg;

	preempt_disable();
	atomic_inc(&a->nbegun);
	a->p[i] = kmh_mcentral_alloc_one(a->node, a->spanclass, true);
	preempt_enable();
}

/* Both have found that there is no mcentral, and the other CPU waits for the lock. */
static void wait_for_the_other(void *arg)
{
	struct kmh_kunit_wait w = kmh_kunit_wait_begin();
	struct at_once *a = arg;
	bool waits = false;
	unsigned int cpu;

	do {
		if (atomic_read(&a->nbegun) == 2)
			for_each_online_cpu(cpu)
				waits |= cpu != raw_smp_processor_id() &&
					 READ_ONCE(per_cpu(kmh_nlocks, cpu));
	} while (!waits && kmh_kunit_spin_more(&w));
}

static void first_use_by_two_cpus(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct at_once a = {
		.node = kmh_heap_near_node(heap), .spanclass = class_of_group(test, 1),
	};
	struct kmheap_stats st;

	if (num_online_cpus() < 2) {
		kmheap_destroy(heap);
		kunit_skip(test, "one CPU");
	}
	kmh_kunit_no_worker(heap);
	kmh_kunit_at_any(test, "a class gets its mcentral", wait_for_the_other, &a);
	kmh_kunit_threads(test, 2, first_use, &a);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("a class gets its mcentral"));
	KUNIT_EXPECT_NOT_NULL(test, a.p[0]);
	KUNIT_EXPECT_NOT_NULL(test, a.p[1]);
	KUNIT_EXPECT_EQ(test, ngroups(a.node), 2U);
	KUNIT_EXPECT_EQ(test, a.node->nspare, (unsigned int)KMH_SPARE_GROUPS - 1);
	kmh_kunit_validate(test);
	kmheap_free(a.p[0]);
	kmheap_free(a.p[1]);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	kmheap_destroy(heap);
}

struct hardirq_uses {
	struct irq_work work;
	struct completion done;
	struct kmheap *heap;
	unsigned int spanclass[KMH_SPARE_GROUPS + 1];
	void *p[KMH_SPARE_GROUPS + 1];
	bool was_hardirq;
};

static void uses_in_hardirq(struct irq_work *work)
{
	struct hardirq_uses *u = container_of(work, struct hardirq_uses, work);
	unsigned int i;

	u->was_hardirq = in_hardirq();
	for (i = 0; i < ARRAY_SIZE(u->p); i++)
		u->p[i] = alloc_atomic(u->heap, u->spanclass[i]);
	complete(&u->done);
}

/*
 * An interrupt uses as many classes for the first time as the heap has pages, at the heap's limit.
 * It is served, and nothing is allocated for that. Who can sleep has any class afterwards.
 */
static void first_uses_in_hardirq_at_limit(struct kunit *test)
{
	struct hardirq_uses u = {
		.work = IRQ_WORK_INIT_HARD(uses_in_hardirq), .heap = small_heap(test, 0),
	};
	struct kmh_node *node = kmh_heap_near_node(u.heap);
	long ntables = atomic_long_read(&kmh_backend_ntables);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(u.p); i++)
		u.spanclass[i] = class_of_group(test, i + 1);
	kmh_kunit_no_worker(u.heap);
	WRITE_ONCE(u.heap->limit_bytes, 1);
	init_completion(&u.done);
	irq_work_queue(&u.work);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_wait_for(test, completion_done(&u.done)));
	irq_work_sync(&u.work);
	KUNIT_EXPECT_TRUE(test, u.was_hardirq);
	for (i = 0; i < KMH_SPARE_GROUPS; i++)
		KUNIT_EXPECT_NOT_NULL_MSG(test, u.p[i], "%u", i);
	KUNIT_EXPECT_NULL_MSG(test, u.p[i], "no page was left");
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_backend_ntables), ntables);
	KUNIT_EXPECT_EQ(test, node->nspare, 0U);
	kmh_kunit_validate(test);

	WRITE_ONCE(u.heap->limit_bytes, 0);
	u.p[i] = kmheap_alloc(u.heap, kmh_spanclass_size[u.spanclass[i]], GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, u.p[i]);
	KUNIT_EXPECT_EQ(test, ngroups(node), KMH_NR_GROUPS);
	kmh_kunit_validate(test);
	kmheap_free_bulk(ARRAY_SIZE(u.p), u.p);
	kmheap_destroy(u.heap);
}

/* Take all spare groups; the pages stay free. */
static void use_up(struct kmh_node *node)
{
	unsigned int nr;

	for (nr = 1; !kmh_mcentrals_short(node); nr++)
		kmh_mcentral_get(node, nr * KMH_GROUP_CLASSES, true);
}

/* Who takes the last spare group wakes the worker, which makes all. */
static void worker_makes_all(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct kmh_node *node = kmh_heap_near_node(heap);
	unsigned long ngrown = node->mheap.ngrown;
	long bytes = atomic_long_read(&heap->metadata_bytes);

	use_up(node);		/* and the worker may have come before this returns */
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_EQ(test, ngroups(node), KMH_NR_GROUPS);
	KUNIT_EXPECT_EQ(test, node->nspare, 0U);
	KUNIT_EXPECT_EQ(test, node->mheap.ngrown, ngrown);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->metadata_bytes) - bytes,
			(long)((KMH_NR_GROUPS - KMH_SPARE_GROUPS - 1) * KMH_GROUP_CLASSES *
			       sizeof(struct kmh_mcentral)));
	KUNIT_EXPECT_EQ(test, kmh_mcentrals_missing_bytes(node), (size_t)0);
	kmheap_destroy(heap);
}

/* Before the worker has come, whoever can sleep makes them, and no arena; or there is no memory. */
static void sleeper_makes_all(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct kmh_node *node = kmh_heap_near_node(heap);
	unsigned int spanclass = class_of_group(test, KMH_SPARE_GROUPS + 1);
	unsigned long ngrown = node->mheap.ngrown;
	size_t bytes = kmh_spanclass_size[spanclass];
	void *p;

	kmh_kunit_no_worker(heap);
	use_up(node);
	KUNIT_EXPECT_NULL(test, alloc_atomic(heap, spanclass));
	atomic_long_set(&kmh_fail_nth, 1);
	KUNIT_EXPECT_NULL(test, kmheap_alloc(heap, bytes, GFP_KERNEL | __GFP_NOWARN));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_fail_nth), 0L);
	kmh_kunit_validate(test);
	p = kmheap_alloc(heap, bytes, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, ngroups(node), KMH_NR_GROUPS);
	KUNIT_EXPECT_EQ(test, node->mheap.ngrown, ngrown);
	kmh_kunit_validate(test);
	kmheap_free(p);
	kmheap_destroy(heap);
}

/* From its second arena on a heap has all, and the spare ones are the kernel's again. */
static void second_arena_brings_all(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct kmh_node *node = kmh_heap_near_node(heap);
	void *p = kmheap_alloc(heap, 2 * KMH_ARENA_SECOND_BYTES, GFP_KERNEL);

	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, ngroups(node), KMH_NR_GROUPS);
	KUNIT_EXPECT_EQ(test, node->nspare, 0U);
	kmh_kunit_validate(test);
	kmheap_free(p);
	kmheap_destroy(heap);
}

/* Who may not wait for the lock, as its holder may be interrupted, gets no mcentral this time. */
static void nested_only_tries(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct kmh_node *node = kmh_heap_near_node(heap);
	unsigned int spanclass = class_of_group(test, 1);
	unsigned long flags;
	void *c;

	kmh_wait_lock_irqsave(&node->mheap.lock, flags);
	c = kmh_mcentral_get(node, spanclass, true);
	kmh_unlock_irqrestore(&node->mheap.lock, flags);
	KUNIT_EXPECT_NULL(test, c);
	KUNIT_EXPECT_EQ(test, node->nspare, (unsigned int)KMH_SPARE_GROUPS);
	KUNIT_EXPECT_PTR_EQ(test, (void *)kmh_mcentral_get(node, spanclass, true),
			    (void *)kmh_mcentral_of(node, spanclass));
	KUNIT_EXPECT_EQ(test, ngroups(node), 2U);
	kmheap_destroy(heap);
}

struct midst {
	struct kmheap *heap;
	unsigned int spanclass;
	void *p;
	bool existed;
	bool open;
	bool swept;
	unsigned long phase;
};

static void use_in_midst(void *arg)
{
	struct midst *m = arg;
	struct kmh_mcentral *c;

	c = kmh_mcentral_of(kmh_heap_near_node(m->heap), m->spanclass);
	m->existed = kmh_mcentral_exists(c);
	m->open = kmh_sweep_is_open(m->heap);
	m->p = alloc_atomic(m->heap, m->spanclass);
	c = kmh_mcentral_of(kmh_heap_near_node(m->heap), m->spanclass);
	m->swept = kmh_mcentral_is_swept(c);
	m->phase = READ_ONCE(c->phase);
}

/*
 * A class that is used for the first time while a generation is open has nothing to sweep in it.
 * Its own deferred frees expire in a later one, though groups before it have not come.
 */
static void first_use_in_a_generation(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct midst m = { .heap = heap, .spanclass = class_of_group(test, KMH_NR_GROUPS / 2) };
	struct kmheap_stats st;
	void *old;

	kmh_kunit_no_worker(heap);
	old = alloc_atomic(heap, class_of_group(test, 1));
	KUNIT_ASSERT_NOT_NULL(test, old);
	kmh_kunit_at_any(test, "sweep of deferred slots: cells, then the set", use_in_midst, &m);
	kmheap_free_rcu(old);
	kmheap_rcu_barrier(heap);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("sweep of deferred slots: cells, then the set"));
	KUNIT_EXPECT_TRUE(test, m.open);
	KUNIT_EXPECT_FALSE(test, m.existed);
	KUNIT_EXPECT_TRUE(test, m.swept);
	KUNIT_EXPECT_EQ(test, m.phase, kmh_phase(0, KMH_SWEEP_REMOTE, false));
	KUNIT_ASSERT_NOT_NULL(test, m.p);
	kmh_kunit_validate(test);
	kmheap_free_rcu(m.p);
	kmheap_rcu_barrier(heap);
	KUNIT_EXPECT_EQ(test, kmh_mcentral_gen(kmh_mcentral_of(kmh_heap_near_node(heap),
							       m.spanclass)), 2U);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.deferred_bytes, 0ULL);
	kmheap_destroy(heap);
}

static unsigned int findings(struct kmheap *heap)
{
	unsigned int counted = 0;

	kmh_validate_heap(heap, kmh_kunit_count_finding, &counted);
	return counted;
}

/* A span without a mcentral, mcentrals in the wrong place, and something in the place of none. */
static void findings_name_mcentrals(struct kunit *test)
{
	struct kmheap *heap = small_heap(test, 0);
	struct kmh_node *node = kmh_heap_near_node(heap);
	struct kmh_mcentral *group;
	void *p;

	kmh_kunit_no_worker(heap);
	p = alloc_atomic(heap, class_of_group(test, 1));
	KUNIT_ASSERT_NOT_NULL(test, p);
	group = node->group[1];
	KUNIT_ASSERT_EQ(test, ngroups(node), 2U);
	KUNIT_EXPECT_EQ(test, findings(heap), 0U);
	node->group[1] = kmh_no_mcentrals;
	KUNIT_EXPECT_EQ(test, findings(heap), 1U);
	node->group[1] = group;
	node->group[2] = group;
	KUNIT_EXPECT_EQ(test, findings(heap), KMH_GROUP_CLASSES);
	node->group[2] = kmh_no_mcentrals;
	kmh_no_mcentrals[3].npartial = 1;
	KUNIT_EXPECT_GE(test, findings(heap), 1U);
	kmh_no_mcentrals[3].npartial = 0;
	KUNIT_EXPECT_EQ(test, findings(heap), 0U);
	kmheap_free(p);
	kmheap_destroy(heap);
}

static struct kunit_case mcentrals_cases[] = {
	KUNIT_CASE(few_at_first),
	KUNIT_CASE(spare_for_those_with_pages),
	KUNIT_CASE(begins_where_memory_is_short),
	KUNIT_CASE(first_use_by_two_cpus),
	KUNIT_CASE(first_uses_in_hardirq_at_limit),
	KUNIT_CASE(worker_makes_all),
	KUNIT_CASE(sleeper_makes_all),
	KUNIT_CASE(second_arena_brings_all),
	KUNIT_CASE(nested_only_tries),
	KUNIT_CASE(first_use_in_a_generation),
	KUNIT_CASE(findings_name_mcentrals),
	{ }
};

static struct kunit_suite mcentrals_suite = {
	.name = "kmheap_mcentrals",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = mcentrals_cases,
};

kunit_test_suite(mcentrals_suite);
