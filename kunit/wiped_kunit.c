// SPDX-License-Identifier: GPL-2.0
/* KUnit: where the kernel wants freed memory wiped, every way out of the heap wipes it. */
#include <linux/delay.h>

#include "../selftests/ways_out.h"
#include "kunit_util.h"

/* A heap as on a kernel that runs with init_on_free, where this one does not. */
static struct kmheap *wiping_heap(struct kunit *test, const char *name, unsigned int flags)
{
	struct kmheap_attr attr = { .flags = flags };
	struct kmheap *heap;

	WRITE_ONCE(kmh_test_wipes, true);
	heap = kmheap_create(name, &attr);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	kmh_kunit_no_worker(heap);
	return heap;
}

static int wiped_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return kmh_kunit_init(test);
}

static void wiped_exit(struct kunit *test)
{
	WRITE_ONCE(kmh_test_wipes, false);
	kmh_kunit_exit(test);
}

struct seen {
	struct kunit *test;
	unsigned int n;
};

static void see_left(void *ctx, const char *way, size_t bytes, bool data, size_t nleft)
{
	struct seen *seen = ctx;

	seen->n++;
	KUNIT_EXPECT_EQ_MSG(seen->test, nleft, 0UL, "%s, %zu bytes%s", way, bytes,
			    data ? " of data" : "");
}

/* No arena with a live object goes back, so that freed memory can be looked at. */
static void every_way_out(struct kunit *test)
{
	struct seen seen = { .test = test };
	struct ways_out w = { .left = see_left, .ctx = &seen };
	void *pin;

	w.heap = wiping_heap(test, "wiped", 0);
	w.collected = wiping_heap(test, "wiped_collected", KMHEAP_COLLECTED);
	pin = kmheap_alloc(w.heap, 100, GFP_KERNEL);
	w.root = kmheap_alloc(w.collected, 100, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, pin && w.root);
	ways_out_walk(&w);
	KUNIT_EXPECT_EQ(test, seen.n, (unsigned int)ways_out_nleft());
	kmheap_free(pin);
	kmheap_free(w.root);
	kmheap_destroy(w.heap);
	kmheap_destroy(w.collected);
}

/* ---- a weak handle goes while its object is freed */

struct parting {
	struct kmheap *heap;
	struct kmheap_weak *weak;
	void *p;
	bool begun, done;
};

static void parting_begin(struct kunit *test, struct parting *parting)
{
	*parting = (struct parting){ .heap = wiping_heap(test, "wiped", 0) };
	parting->p = kmheap_alloc(parting->heap, 64, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ways_out_soiled(parting->p, 64));
	parting->weak = kmheap_weak_create(parting->p);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, parting->weak);
}

static void parting_end(struct kunit *test, struct parting *parting)
{
	kmheap_rcu_barrier(parting->heap);
	KUNIT_EXPECT_EQ(test, ways_out_left(parting->p, 64), 0UL);
	kmheap_destroy(parting->heap);
}

/* Runs in the middle of the free, on its CPU, until the other thread has destroyed the handle. */
static void let_the_handle_go(void *arg)
{
	struct parting *parting = arg;
	unsigned int i;

	WRITE_ONCE(parting->begun, true);
	for (i = 0; i < 10000 && !READ_ONCE(parting->done); i++)
		mdelay(1);
}

static void part(void *arg, unsigned int i)
{
	struct parting *parting = arg;

	if (i) {
		while (!READ_ONCE(parting->begun))
			cond_resched();
		kmheap_weak_destroy(parting->weak);
		WRITE_ONCE(parting->done, true);
	} else {
		kmheap_free(parting->p);
		WRITE_ONCE(parting->begun, true);	/* should the place not be passed */
	}
}

static void handle_goes_before_the_claim(struct kunit *test)
{
	struct parting parting;

	parting_begin(test, &parting);
	kmh_kunit_at_any(test, "claim of an object with a special", let_the_handle_go, &parting);
	kmh_kunit_threads(test, 2, part, &parting);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("claim of an object with a special"));
	KUNIT_EXPECT_TRUE(test, parting.done);
	parting_end(test, &parting);
}

/* The object is freed while its special is about to leave. */
static void free_parting(void *arg)
{
	struct parting *parting = arg;

	kmheap_free(parting->p);
}

static void freed_while_its_handle_goes(struct kunit *test)
{
	struct parting parting;

	parting_begin(test, &parting);
	kmh_kunit_at(test, "a special leaves a live object", free_parting, &parting);
	kmheap_weak_destroy(parting.weak);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("a special leaves a live object"));
	parting_end(test, &parting);
}

/* May sleep, so that the grace period of the other thread's free can end. */
static void let_the_object_go(void *arg)
{
	struct parting *parting = arg;
	unsigned int i;

	WRITE_ONCE(parting->begun, true);
	for (i = 0; i < 10000 && !READ_ONCE(parting->done); i++)
		usleep_range(1000, 2000);
}

static void part_deferred(void *arg, unsigned int i)
{
	struct parting *parting = arg;

	if (i) {
		while (!READ_ONCE(parting->begun))
			cond_resched();
		kmheap_free_rcu(parting->p);
		kmheap_rcu_barrier(parting->heap);
		WRITE_ONCE(parting->done, true);
	} else {
		kmheap_weak_destroy(parting->weak);
		WRITE_ONCE(parting->begun, true);
	}
}

/* The sweep meets an object whose special is about to leave. */
static void swept_while_its_handle_goes(struct kunit *test)
{
	struct parting parting;

	parting_begin(test, &parting);
	kmh_kunit_at_any(test, "a special leaves a live object", let_the_object_go, &parting);
	kmh_kunit_threads(test, 2, part_deferred, &parting);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("a special leaves a live object"));
	parting_end(test, &parting);
}

/* Of a cache whose objects wait for readers, an object that is to be wiped is not what it was. */
static void sensitive_does_not_wait(struct kunit *test)
{
	static const struct kmheap_cache_args args = {
		.name = "sensitive", .size = 64, .flags = KMHEAP_CACHE_TYPESAFE_BY_RCU
	};
	struct kmheap_cache *cache = kmheap_cache_create(kmh_kunit_heap(test), &args);
	struct kmheap_object obj;
	void *p;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, cache);
	p = kmheap_cache_alloc(cache, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	memset(p, 's', 64);
	rcu_read_lock();
	kmheap_free_sensitive(p);
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, 64));
	KUNIT_EXPECT_TRUE(test, kmheap_lookup(p, &obj));
	KUNIT_EXPECT_EQ(test, obj.state, KMHEAP_OBJECT_DEFERRED);
	rcu_read_unlock();
	kmheap_cache_destroy(cache);
}

static struct kunit_case wiped_cases[] = {
	KUNIT_CASE(every_way_out),
	KUNIT_CASE(handle_goes_before_the_claim),
	KUNIT_CASE(freed_while_its_handle_goes),
	KUNIT_CASE(swept_while_its_handle_goes),
	KUNIT_CASE(sensitive_does_not_wait),
	{ }
};

static struct kunit_suite wiped_suite = {
	.name = "kmheap_wiped",
	.init = wiped_init,
	.exit = wiped_exit,
	.test_cases = wiped_cases,
};

kunit_test_suite(wiped_suite);
