// SPDX-License-Identifier: GPL-2.0
/* KUnit: a CPU served from another node than the kernel says, and one whose node changes. */
#include "mcentral_kunit.h"

static int node_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return mcentral_init(test);
}

/* Add a node to those of the heap, and serve this CPU from it from now on. */
static struct kmh_node *other_node(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_node *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, other);
	kmh_mheap_init(&other->mheap, heap, numa_mem_id());
	kmh_grow_init(&other->mheap);
	KUNIT_ASSERT_EQ(test, kmh_mcentrals_init(other, GFP_KERNEL), 0);
	KUNIT_ASSERT_EQ(test, kmh_depots_make(other, GFP_KERNEL), 0);
	kmh_mcache_drain_all(heap);
	raw_cpu_ptr(heap->mcache)->node = other;
	return other;
}

/* Remove the node; nothing of it may be left. */
static void end_node(struct kunit *test, struct kmh_node *other)
{
	struct kmheap *heap = kmh_kunit_heap(test);

	kmh_mheap_drain_lists(&other->mheap);
	kmh_mheap_stop(&other->mheap);
	kmh_kunit_give_back(heap);
	KUNIT_EXPECT_EQ(test, other->mheap.pa.npages, 0UL);
	kmh_depots_free(other);
	kmh_mcentrals_free(other);
}

static void cpu_is_served_from_its_node(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_node *other = other_node(test);
	static const size_t sizes[] = { 8, 64, 5000, 32768 };
	struct kmh_mspan *s;
	unsigned int i;
	void *p;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		s = kmh_span_of((unsigned long)p);
		KUNIT_EXPECT_PTR_EQ_MSG(test, s->mheap, &other->mheap, "%zu bytes", sizes[i]);
		kmheap_free(p);
	}
	kmh_mcache_drain_all(heap);
	kmh_largestore_drain(heap);
	raw_cpu_ptr(heap->mcache)->node = node(test);
	end_node(test, other);
}

/* What was announced for a CPU before it came back on another node is found on its old node. */
static void cpu_that_comes_back_elsewhere(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_node *other = other_node(test);
	struct kmh_mcache *mc = raw_cpu_ptr(heap->mcache);
	struct kmh_mspan *s[2];
	void *p[2 * NR_SLOTS];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmheap_alloc(heap, 1024, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	s[0] = kmh_span_of((unsigned long)p[0]);
	s[1] = kmh_span_of((unsigned long)p[NR_SLOTS]);
	kmh_mcache_drain_all(heap);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_PTR_EQ(test, s[i]->keeper, mc);
		KUNIT_EXPECT_EQ(test, atomic_read(&s[i]->home), (int)KMH_HOME_FULL);
	}
	free_remote(test, s[0], 0);
	KUNIT_EXPECT_FALSE(test, kmh_inbox_empty(&mc->inbox[SPANCLASS]));
	kmh_mcache_renode(heap, raw_smp_processor_id());
	KUNIT_EXPECT_PTR_EQ(test, mc->node, node(test));
	KUNIT_EXPECT_TRUE(test, kmh_inbox_empty(&mc->inbox[SPANCLASS]));
	KUNIT_EXPECT_EQ(test, atomic_read(&s[0]->home), (int)KMH_HOME_PARTIAL);
	KUNIT_EXPECT_EQ(test, kmh_mcentral_of(other, SPANCLASS)->npartial, 1U);
	free_remote(test, s[1], 0);
	KUNIT_EXPECT_TRUE(test, kmh_inbox_empty(&mc->inbox[SPANCLASS]));
	KUNIT_EXPECT_FALSE(test, kmh_inbox_empty(&kmh_mcentral_of(other, SPANCLASS)->inbox));
	free_all(test, s[0]);
	free_all(test, s[1]);
	end_node(test, other);
}

/* Which allocations of a node that has nothing are served by another one: each is counted once. */
static void what_is_served_elsewhere_counts_once(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_node *other = other_node(test);
	const unsigned int many = 500;		/* more than the node's first arena has */
	void *near[NR_SLOTS], **p = kunit_kcalloc(test, many, sizeof(*p), GFP_KERNEL);
	long refused = atomic_long_read(&heap->refused);
	unsigned int i, n, nelsewhere = 0;
	int nid = numa_mem_id();

	KUNIT_ASSERT_NOT_NULL(test, p);
	/* This CPU's node has some. */
	for (i = 0; i < ARRAY_SIZE(near); i++)
		near[i] = kmheap_alloc(heap, 5000, GFP_KERNEL);
	kmheap_free_bulk(ARRAY_SIZE(near), near);
	KUNIT_ASSERT_EQ(test, kmh_watch_set_fail(heap, 10 * many), 0);
	for (n = 0; n < many && !nelsewhere; n++) {
		p[n] = kmheap_alloc_node(heap, 5000, GFP_NOWAIT, nid);
		if (!p[n])
			break;
		nelsewhere = kmh_span_of((unsigned long)p[n])->mheap == &other->mheap;
		KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->profile.fail_nth),
				10L * many - n - 1);
	}
	KUNIT_EXPECT_EQ(test, nelsewhere, 1U);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->refused), refused);
	KUNIT_ASSERT_EQ(test, kmh_watch_set_fail(heap, 0), 0);
	kmheap_free_bulk(n, p);
	if (kmh_heap_sanitized(heap))
		kmh_quarantine_drain(heap, 0);
	kmh_mcache_drain_all(heap);
	kmh_largestore_drain(heap);
	/* Its inbox may have spans that were full. */
	kmh_mcache_renode(heap, raw_smp_processor_id());
	end_node(test, other);
}

static struct kunit_case node_cases[] = {
	KUNIT_CASE(cpu_is_served_from_its_node),
	KUNIT_CASE(cpu_that_comes_back_elsewhere),
	KUNIT_CASE(what_is_served_elsewhere_counts_once),
	{ }
};

static struct kunit_suite node_suite = {
	.name = "kmheap_node",
	.init = node_init,
	.exit = kmh_kunit_exit,
	.test_cases = node_cases,
};

kunit_test_suite(node_suite);
