// SPDX-License-Identifier: GPL-2.0
/* KUnit: what lies on a shelf for NMIs is in no profile before an NMI has it. */
#include "profile_kunit.h"

/* Allocations, and deaths, that a heap's profile has. */
static unsigned long in_profile(struct kunit *test, struct kmheap *heap)
{
	struct kmh_profile_snapshot *snap = kmh_profile_take(heap, KMH_PROFILE_INUSE);
	unsigned long sum = 0;
	unsigned int i, k;

	KUNIT_ASSERT_NOT_NULL(test, snap);
	for (i = 0; i < snap->n; i++) {
		sum += snap->row[i].allocs;
		for (k = 0; k < KMH_SITE_LIVES; k++)
			sum += snap->row[i].lives[k];
	}
	kmh_backend_free(snap);
	return sum;
}

/* To fill shelves, by any of the ways that it takes, is nobody's allocation. */
static void a_filled_shelf_is_no_sample(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int kind, filled = 0, i;

	kmh_kunit_no_worker(heap);
	kmh_kunit_stay(test);
	kmh_kunit_profile(test, 1);
	for (kind = KMH_SPANCLASS_TINY + 1; kind < KMH_NR_SPANCLASSES; kind += 9)
		set_bit(kind, heap->nmi.wanted);
	set_bit(KMH_NR_SPANCLASSES, heap->nmi.wanted);
	kmh_nmi_fill(heap, 0);
	for (kind = 0; kind <= KMH_NR_SPANCLASSES; kind++)
		for (i = 0; heap->nmi.shelf[kind] && i < KMH_SHELF_OBJECTS; i++)
			filled += !!heap->nmi.shelf[kind]->slot[i];
	KUNIT_EXPECT_GT(test, filled, 20U);
	KUNIT_EXPECT_EQ(test, in_profile(test, heap), 0UL);
	kmh_nmi_drain(heap);
	KUNIT_EXPECT_EQ(test, in_profile(test, heap), 0UL);
	/* Who allocates afterwards is in it, as before. */
	kmheap_free(kmh_kunit_alloc_at(test, 7, 64));
	KUNIT_EXPECT_EQ(test, in_profile(test, heap), 2UL);
}

static struct kunit_case profile_shelf_cases[] = {
	KUNIT_CASE(a_filled_shelf_is_no_sample),
	{}
};

static struct kunit_suite profile_shelf_suite = {
	.name = "kmheap_profile_shelf",
	.init = kmh_kunit_profile_init,
	.exit = kmh_kunit_profile_exit,
	.test_cases = profile_shelf_cases,
};

kunit_test_suite(profile_shelf_suite);
