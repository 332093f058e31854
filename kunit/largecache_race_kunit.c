// SPDX-License-Identifier: GPL-2.0
/* KUnit: large objects are parked, taken, freed twice and drained at the same time. */
#include "mheap_kunit.h"

#define NR_OBJECTS	64

struct race {
	struct kmheap *heap;
	void *p[NR_OBJECTS];
	atomic_t nwrong;
};

/* Objects change hands; each has its own address at both ends. */
static void race_thread(void *arg, unsigned int t)
{
	static const size_t sizes[] = { 33000, 40960, 65536, 100000, 300000, 24 };
	struct race *r = arg;
	unsigned int n;

	for (n = 0; n < 4000; n++) {
		size_t bytes = sizes[(n + t) % ARRAY_SIZE(sizes)];
		unsigned long *p = kmheap_alloc(r->heap, bytes, n % 8 ? GFP_KERNEL : GFP_NOWAIT);
		unsigned long *old;

		if (p) {
			p[0] = (unsigned long)p;
			p[1] = bytes;
			p[bytes / 8 - 1] = ~(unsigned long)p;
		}
		old = xchg(&r->p[(n * 7 + t * 13) % NR_OBJECTS], p);
		if (!old)
			continue;
		if (old[0] != (unsigned long)old || old[old[1] / 8 - 1] != ~(unsigned long)old)
			atomic_inc(&r->nwrong);
		kmheap_free(old);
		if (n % 500 == 7)
			kmh_kunit_shrink(r->heap);
	}
}

static void parked_against_everybody(struct kunit *test)
{
	struct race r = { .heap = kmh_kunit_heap(test) };
	struct kmheap_stats st;
	unsigned int i;

	/* Small bounds, so that all the ways are taken. */
	for_each_possible_cpu(i)
		per_cpu_ptr(r.heap->mcache, i)->large.parked.max = KMH_LARGECACHE_PAGES;
	mheap_of(r.heap)->store.max = KMH_LARGECACHE_PAGES;
	kmh_kunit_threads(test, 4, race_thread, &r);
	KUNIT_EXPECT_EQ(test, atomic_read(&r.nwrong), 0);
	kmh_kunit_validate(test);
	for (i = 0; i < NR_OBJECTS; i++)
		kmheap_free(r.p[i]);
	kmh_kunit_balanced(test, r.heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	kmh_kunit_validate(test);
	kmh_mcache_drain_all(r.heap);
	kmheap_stats(r.heap, &st);
	KUNIT_EXPECT_EQ(test, st.cached_bytes, 0ULL);
}

/* Several threads free one object at once, again and again: each time one free is right. */
static void doubles(void *arg, unsigned int t)
{
	struct race *r = arg;
	unsigned int n;

	for (n = 0; n < NR_OBJECTS; n++)
		kmheap_free(r->p[n]);
}

static void double_frees_at_the_same_time(struct kunit *test)
{
	struct race r = { .heap = kmh_kunit_heap(test) };
	unsigned int i, round;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < NR_OBJECTS; i++) {
			r.p[i] = kmheap_alloc(r.heap, 40960, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, r.p[i]);
		}
		kmh_kunit_threads(test, 3, doubles, &r);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 2 * NR_OBJECTS);
		kmh_kunit_validate(test);
	}
}

static struct kunit_case largecache_race_cases[] = {
	KUNIT_CASE(parked_against_everybody),
	KUNIT_CASE(double_frees_at_the_same_time),
	{ }
};

static struct kunit_suite largecache_race_suite = {
	.name = "kmheap_largecache_race",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = largecache_race_cases,
};

kunit_test_suite(largecache_race_suite);
