// SPDX-License-Identifier: GPL-2.0
/* KUnit: allocations that are made to fail, whichever way in they come. */
#include "conserved_kunit.h"
#include "profile_kunit.h"

static void fail_nth(struct kunit *test, unsigned long n)
{
	KUNIT_ASSERT_EQ(test, kmh_watch_set_fail(kmh_kunit_heap(test), n), 0);
}

static size_t any_size = 64;	/* no constant to the compiler */

static void *way_any(struct kmheap *heap)
{
	return kmheap_alloc(heap, READ_ONCE(any_size), GFP_KERNEL);
}

static void *way_class(struct kmheap *heap)
{
	return kmheap_zalloc(heap, 64, GFP_KERNEL);
}

static void *way_packed(struct kmheap *heap)
{
	return kmheap_alloc_data(heap, 8, GFP_KERNEL);
}

static void *way_large(struct kmheap *heap)
{
	return kmheap_alloc(heap, 100000, GFP_KERNEL);
}

static void *way_aligned(struct kmheap *heap)
{
	return kmheap_alloc_aligned(heap, 100, 256, GFP_KERNEL);
}

static void *way_node(struct kmheap *heap)
{
	return kmheap_alloc_node(heap, 64, GFP_KERNEL, numa_node_id());
}

static void *way_bulk(struct kmheap *heap)
{
	void *p[1];

	return kmheap_alloc_bulk(heap, 64, GFP_KERNEL, 1, p) ? p[0] : NULL;
}

static void *way_ticket(struct kmheap *heap)
{
	struct kmheap_ticket t;
	void *p;

	if (kmheap_prefill(&t, heap, 64, 1, GFP_KERNEL))
		return NULL;
	p = kmheap_take(&t);
	kmheap_ticket_end(&t);
	return p;
}

static void *way_dup(struct kmheap *heap)
{
	return kmheap_strdup(heap, "a name that is too long to be packed", GFP_KERNEL);
}

static void *way_nested(struct kmheap *heap)
{
	struct kmh_mcache *mc;
	void *p;

	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	if (WARN_ON(!kmh_mcache_enter(mc)))
		mc = NULL;
	p = kmheap_alloc(heap, 64, GFP_ATOMIC);
	if (mc)
		kmh_mcache_leave(mc);
	preempt_enable();
	return p;
}

static void *(* const ways_in[])(struct kmheap *heap) = {
	way_any, way_class, way_packed, way_large, way_aligned, way_node, way_bulk, way_ticket,
	way_dup, way_nested,
};

/* Use every way in once. Return: a bit for each one that got NULL. */
static unsigned long use_all_ways(struct kmheap *heap)
{
	unsigned long failed = 0;
	unsigned int i;
	void *p;

	for (i = 0; i < ARRAY_SIZE(ways_in); i++) {
		p = ways_in[i](heap);
		if (!p)
			failed |= BIT(i);
		kmheap_free(p);
	}
	return failed;
}

/* Whichever way in the n-th allocation comes, it fails, and no other one does. */
static void the_nth_allocation_fails(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int n, pass;

	kmh_kunit_stay(test);
	for (pass = 0; pass < 4; pass++) {
		if (pass == 1)
			kmh_kunit_profile(test, 1);
		else if (pass == 2)
			kmh_kunit_profile(test, 1 << 30);
		else if (pass == 3)
			kmh_kunit_profile(test, 0);
		for (n = 1; n <= 2 * ARRAY_SIZE(ways_in); n++) {
			long refused = atomic_long_read(&heap->refused);
			unsigned long first, second, none = 0;

			KUNIT_EXPECT_EQ(test, use_all_ways(heap), none);
			fail_nth(test, n);
			first = use_all_ways(heap);
			second = use_all_ways(heap);
			KUNIT_EXPECT_EQ_MSG(test, first | second << ARRAY_SIZE(ways_in), BIT(n - 1),
					    "pass %u", pass);
			KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->refused), refused + 1);
			KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->profile.fail_nth), 0L);
			KUNIT_EXPECT_EQ(test, use_all_ways(heap), none);
		}
	}
	fail_nth(test, 0);
	KUNIT_EXPECT_FALSE(test, static_key_enabled(&kmh_watch_key.key));
	KUNIT_EXPECT_FALSE(test, heap->flags & KMH_HEAP_PROFILED);
	kmh_kunit_expect_conserved(test, heap);
}

/* With an interval each so many fail; the site says how many have, and none is a sample. */
static void every_so_many_allocations_fail(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_profile_row row;
	unsigned int i, nfailed = 0;
	void *p;

	kmh_kunit_stay(test);
	WRITE_ONCE(kmh_kunit_site_ip, 21);
	WRITE_ONCE(heap->profile.fail_interval, 10);
	fail_nth(test, 5);
	for (i = 1; i <= 1000; i++) {
		p = kmheap_alloc(heap, 64, GFP_KERNEL);
		KUNIT_EXPECT_EQ(test, !p, i % 10 == 5);
		nfailed += !p;
		kmheap_free(p);
	}
	KUNIT_EXPECT_EQ(test, nfailed, 100U);
	row = kmh_kunit_row_of(test, 21, 64, KMH_PROFILE_FAILED);
	KUNIT_EXPECT_EQ(test, row.failed, 100UL);
	KUNIT_EXPECT_EQ(test, row.allocs, 0UL);
	fail_nth(test, 0);
	kmheap_free(kmh_kunit_alloc_at(test, 21, 64));
	/* A profile that begins forgets it. */
	kmh_kunit_profile(test, 1);
	KUNIT_EXPECT_EQ(test, kmh_kunit_row_of(test, 21, 64, KMH_PROFILE_FAILED).failed, 0UL);
	kmh_kunit_profile(test, 0);
	kmh_kunit_expect_conserved(test, heap);
}

/* Of callers that cannot sleep, or of the others, alone. */
static void allocations_of_one_kind_fail(struct kunit *test)
{
	static const enum kmh_fail_gfp kinds[] = {
		KMH_FAIL_ANY, KMH_FAIL_ATOMIC, KMH_FAIL_SLEEPING,
	};
	static const unsigned int fails[] = { 1, 3, 4 };	/* of GFP_ATOMIC, GFP_KERNEL, ... */
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int kind, i;
	void *p;

	for (kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		WRITE_ONCE(heap->profile.fail_gfp, kinds[kind]);
		fail_nth(test, kind == 0 ? 1 : 2);
		for (i = 1; i <= 5; i++) {
			p = kmheap_alloc(heap, 64, i % 2 ? GFP_ATOMIC : GFP_KERNEL);
			KUNIT_EXPECT_EQ_MSG(test, !p, i == fails[kind], "kind %u, %u", kind, i);
			kmheap_free(p);
		}
	}
	fail_nth(test, 0);
	kmh_kunit_expect_conserved(test, heap);
}

static bool fail_step(struct kmheap *heap, unsigned int n)
{
	static const size_t periods[] = { 0, 1, 4096 };

	WRITE_ONCE(heap->profile.fail_interval, n % 2 * 50);
	return !kmh_watch_set_fail(heap, n % 3 ? 1 + n * 7 % 100 : 0) &&
	       !kmh_watch_set_period(heap, periods[n / 2 % 3]) && n >= 12;
}

/* Allocations fail while all CPUs allocate and free, and profiles begin and end. */
static void allocations_fail_under_fire(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);

	kmh_kunit_under_fire(test, heap, fail_step);
	fail_nth(test, 0);
	kmh_kunit_profile(test, 0);
	KUNIT_EXPECT_GT(test, atomic_long_read(&heap->refused), 0L);
	kmh_kunit_expect_conserved(test, heap);
}

static struct kunit_case fail_cases[] = {
	KUNIT_CASE(the_nth_allocation_fails),
	KUNIT_CASE(every_so_many_allocations_fail),
	KUNIT_CASE(allocations_of_one_kind_fail),
	KUNIT_CASE_SLOW(allocations_fail_under_fire),
	{}
};

static struct kunit_suite fail_suite = {
	.name = "kmheap_fail",
	.init = kmh_kunit_profile_init,
	.exit = kmh_kunit_profile_exit,
	.test_cases = fail_cases,
};

kunit_test_suite(fail_suite);
