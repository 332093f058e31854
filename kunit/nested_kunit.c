// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: handlers of tracers, which run in the middle of kmheap's own functions: they may
 * allocate and free there, with whatever lock of kmheap this CPU holds.
 */
#include <linux/sizes.h>

#include "mcentral_kunit.h"

static int nested_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return mcentral_init(test);
}

static struct {
	struct kmheap *heap;
	bool nested;
	unsigned int nserved;
	void *p[8];
} handler;

/* All ways to allocate and to free that are allowed in any context. */
static void handle(void *unused)
{
	static const size_t sizes[] = { 8, 64, 1024, 8192, SZ_32K, SZ_64K, SZ_512K };
	unsigned int i;
	void *p;

	handler.nested = kmh_nested();
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kmheap_alloc(handler.heap, sizes[i], GFP_ATOMIC | __GFP_NOWARN);
		handler.nserved += !!p;
		if (i % 3 == 1)
			kmheap_free_rcu(p);
		else
			kmheap_free(p);
		p = kmheap_alloc_data(handler.heap, sizes[i] / 2, GFP_NOWAIT | __GFP_NOWARN);
		kmheap_free(p);
	}
	i = kmheap_alloc_bulk(handler.heap, 128, GFP_ATOMIC | __GFP_NOWARN,
			      ARRAY_SIZE(handler.p), handler.p);
	kmheap_free_bulk(i, handler.p);
	p = kmheap_alloc_node(handler.heap, 256, GFP_ATOMIC | __GFP_NOWARN, numa_node_id());
	kmheap_free(p);
}

static void expect_handled_at(struct kunit *test, const char *place)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p;

	memset(&handler, 0, sizeof(handler));
	handler.heap = heap;
	kmh_mcache_drain_all(heap);
	kmh_kunit_at(test, place, handle, NULL);
	p = kmheap_alloc(heap, 1024, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmheap_free(p);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed(place));
	KUNIT_EXPECT_TRUE(test, handler.nested);
	KUNIT_EXPECT_FALSE(test, kmh_nested());
	kmheap_rcu_barrier(heap);
	kmh_kunit_validate(test);
}

static void under_the_lock_of_a_page_heap(struct kunit *test)
{
	expect_handled_at(test, "under the lock of a page heap");
}

static void under_the_lock_of_a_fixalloc(struct kunit *test)
{
	expect_handled_at(test, "under the lock of a fixalloc");
}

static void under_the_lock_of_a_class(struct kunit *test)
{
	struct kmh_mspan *s = span_of(test, SPANCLASS, 3);

	uncache_span(test, s);	/* or nothing would look into the class */
	expect_handled_at(test, "under the lock of a class");
	kmh_mcache_drain_all(kmh_kunit_heap(test));
	free_all(test, s);
	kmh_mcentral_drain(node(test), SPANCLASS);
}

static struct kunit_case nested_cases[] = {
	KUNIT_CASE(under_the_lock_of_a_page_heap),
	KUNIT_CASE(under_the_lock_of_a_fixalloc),
	KUNIT_CASE(under_the_lock_of_a_class),
	{ }
};

static struct kunit_suite nested_suite = {
	.name = "kmheap_nested",
	.init = nested_init,
	.exit = kmh_kunit_exit,
	.test_cases = nested_cases,
};

kunit_test_suite(nested_suite);
