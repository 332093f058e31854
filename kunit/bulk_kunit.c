// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: many objects at a time. A bulk free is cut into runs at spans, words, batches and at
 * whatever is not as it should be, so each of these is tried in each position.
 */
#include <linux/string.h>

#include "kunit_util.h"

#define N	72U	/* more than a word of slots, and than two batches */

static u64 live_objects(struct kunit *test, struct kmheap *heap)
{
	struct kmheap_stats st;

	kmh_kunit_balanced(test, heap, &st);
	return st.live_objects;
}

static void bulk_alloc(struct kunit *test, struct kmheap *heap, size_t bytes, unsigned int n,
		       void **p)
{
	unsigned int i;

	KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, bytes, GFP_KERNEL, n, p), (size_t)n);
	for (i = 0; i < n; i++) {
		KUNIT_ASSERT_EQ(test, kmheap_size(p[i]), kmh_kunit_class_bytes(bytes));
		kmh_kunit_fill(p[i]);
	}
}

static void expect_filled(struct kunit *test, unsigned int n, void **p)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (!kmh_kunit_filled(p[i]))
			KUNIT_FAIL(test, "object %u was handed out twice", i);
}

struct bulk {
	void **p;
	unsigned int n;
};

static void bulk_free(void *arg)
{
	struct bulk *b = arg;

	kmheap_free_bulk(b->n, b->p);
}

/* ---- kinds of objects, and orders of their frees */

static void order_forward(unsigned int n, void **p) { }

static void order_backward(unsigned int n, void **p)
{
	unsigned int i;

	for (i = 0; i < n / 2; i++)
		swap(p[i], p[n - 1 - i]);
}

static void order_mixed(unsigned int n, void **p)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		swap(p[i], p[(i * 7 + 3) % n]);
}

static void order_in_pairs(unsigned int n, void **p)
{
	unsigned int i;

	for (i = 0; i + 4 < n; i += 5)
		swap(p[i], p[i + 3]);
}

static const struct {
	const char *name;
	void (*fn)(unsigned int n, void **p);
} orders[] = {
	{ "forward", order_forward },
	{ "backward", order_backward },
	{ "mixed", order_mixed },
	{ "in pairs", order_in_pairs },
};

static void bulk_of_every_class(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;
	struct bulk b = { .n = N };
	unsigned int class, i;
	u64 frees = 0;

	b.p = kunit_kcalloc(test, N, sizeof(void *), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, b.p);
	for (class = 1; class < KMH_NR_CLASSES; class++) {
		for (i = 0; i < 2 * ARRAY_SIZE(orders); i++) {
			bulk_alloc(test, heap, kmh_class_size(class), N, b.p);
			expect_filled(test, N, b.p);
			orders[i / 2].fn(N, b.p);
			if (i % 2)
				kmh_kunit_elsewhere(test, bulk_free, &b);
			else
				bulk_free(&b);
			frees += N;
			KUNIT_EXPECT_EQ_MSG(test, live_objects(test, heap), 0ULL, "class %u, %s",
					    class, orders[i / 2].name);
		}
	}
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.allocs, frees);
	KUNIT_EXPECT_EQ(test, st.frees, frees);
	kmh_kunit_no_reports(test);
}

/* Every second slot is free, then those between them: no run is longer than one object. */
static void bulk_from_a_window_with_holes(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, n = 2 * kmh_classes[kmheap_size_class(64)].nelems;
	void **p = kunit_kcalloc(test, n, sizeof(*p), GFP_KERNEL);
	void **q = kunit_kcalloc(test, n, sizeof(*q), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_NOT_NULL(test, q);
	bulk_alloc(test, heap, 64, n, p);
	for (i = 0; i < n; i += 2)
		kmheap_free(p[i]);
	bulk_alloc(test, heap, 64, n, q);
	for (i = 1; i < n; i += 2)
		KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p[i]));
	expect_filled(test, n, q);
	for (i = 0; i < n / 2; i++)
		p[i] = p[2 * i + 1];
	kmheap_free_bulk(n, q);
	kmheap_free_bulk(n / 2, p);
	KUNIT_EXPECT_EQ(test, live_objects(test, heap), 0ULL);
	kmh_kunit_no_reports(test);
}

static void bulk_is_zeroed(struct kunit *test)
{
	static const size_t sizes[] = { 8, 64, 100, 1000, 8192, 32768, 40000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = kunit_kcalloc(test, N, sizeof(*p), GFP_KERNEL);
	unsigned int i, j;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		bulk_alloc(test, heap, sizes[i], N, p);
		kmheap_free_bulk(N, p);
		KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, sizes[i], GFP_KERNEL | __GFP_ZERO,
							N, p), (size_t)N);
		for (j = 0; j < N; j++)
			if (memchr_inv(p[j], 0, kmheap_size(p[j])))
				KUNIT_FAIL(test, "%zu bytes, object %u", sizes[i], j);
		kmheap_free_bulk(N, p);
	}
	KUNIT_EXPECT_EQ(test, live_objects(test, heap), 0ULL);
}

static void bulk_keeps_the_heap_s_alignment(struct kunit *test)
{
	const struct kmheap_attr attr = { .flags = KMHEAP_HWCACHE_ALIGN };
	struct kmheap *heap = kmheap_create("bulk-aligned", &attr);
	void **p = kunit_kcalloc(test, N, sizeof(*p), GFP_KERNEL);
	static const size_t sizes[] = { 1, 40, 100, 1000 };
	unsigned int i, j;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	for (i = 0; p && i < ARRAY_SIZE(sizes); i++) {
		KUNIT_EXPECT_EQ(test, kmheap_alloc_bulk(heap, sizes[i], GFP_KERNEL, N, p),
				(size_t)N);
		for (j = 0; j < N; j++)
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p[j],
							   cache_line_size()));
		kmheap_free_bulk(N, p);
	}
	KUNIT_EXPECT_EQ(test, live_objects(test, heap), 0ULL);
	kmheap_destroy(heap);
}

/*
 * With GFP_NOWAIT a bulk allocation takes what is there; the object that is not to be had is
 * counted as one refusal.
 */
static void bulk_takes_what_is_there(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = kunit_kcalloc(test, 2000, sizeof(*p), GFP_KERNEL);
	struct kmheap_stats st;
	size_t n;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_no_worker(heap);
	p[0] = kmheap_alloc(heap, 1024, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p[0]);
	n = 1 + kmheap_alloc_bulk(heap, 1024, GFP_NOWAIT, 1999, p + 1);
	/* A block of 64 KiB holds 64. */
	KUNIT_EXPECT_GT(test, n, heap->backing == KMH_BACKING_AREA ? 100UL : 30UL);
	KUNIT_EXPECT_LT(test, n, 2000UL);
	kmh_kunit_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 1ULL);
	KUNIT_EXPECT_EQ(test, st.live_objects, (u64)n);
	KUNIT_EXPECT_EQ(test, kmheap_alloc_bulk(heap, 1024, GFP_KERNEL, 0, NULL), 0UL);
	kmheap_free_bulk(n, p);
	kmheap_free_bulk(0, NULL);
	KUNIT_EXPECT_EQ(test, live_objects(test, heap), 0ULL);
}

/* ---- one entry that is another kind, in each position */

/* What is in the way: get() puts it there, and the bulk free frees it unless it is reported. */
struct odd {
	const char *name;
	void *(*get)(struct kmheap *heap, void **p, unsigned int at);
	int kind;		/* of the one report; -1: no report */
	void (*put)(void *p);	/* frees what the bulk free has left of it */
};

static struct kmheap *other_heap;

static void *odd_null(struct kmheap *heap, void **p, unsigned int at)
{
	return NULL;
}

static void *odd_zero_size(struct kmheap *heap, void **p, unsigned int at)
{
	return ZERO_SIZE_PTR;
}

static void *odd_large(struct kmheap *heap, void **p, unsigned int at)
{
	return kmheap_alloc(heap, 40000, GFP_KERNEL);
}

static void *odd_tiny(struct kmheap *heap, void **p, unsigned int at)
{
	return kmheap_alloc_data(heap, 4, GFP_KERNEL);
}

static void *odd_other_class(struct kmheap *heap, void **p, unsigned int at)
{
	return kmheap_alloc(heap, 3000, GFP_KERNEL);
}

static void *odd_other_heap(struct kmheap *heap, void **p, unsigned int at)
{
	return kmheap_alloc(other_heap, 64, GFP_KERNEL);
}

static void *odd_twice(struct kmheap *heap, void **p, unsigned int at)
{
	return p[at ? 0 : N - 1];
}

static void *odd_twice_in_a_row(struct kmheap *heap, void **p, unsigned int at)
{
	return p[at ? at - 1 : 1];
}

static void *odd_freed(struct kmheap *heap, void **p, unsigned int at)
{
	void *q = p[N];

	kmheap_free(q);
	return q;
}

static void *odd_deferred(struct kmheap *heap, void **p, unsigned int at)
{
	void *q = p[N];

	kmheap_free_rcu(q);
	return q;
}

static void *odd_interior(struct kmheap *heap, void **p, unsigned int at)
{
	return p[N] + 8;
}

static void *odd_wild(struct kmheap *heap, void **p, unsigned int at)
{
	return (void *)&other_heap;
}

static void *odd_pages(struct kmheap *heap, void **p, unsigned int at)
{
	return kmheap_alloc_pages(heap, 1, GFP_KERNEL);
}

static void put_pages(void *p)
{
	kmheap_free_pages(p, 1);
}

static const struct odd odds[] = {
	{ "NULL", odd_null, -1 },
	{ "ZERO_SIZE_PTR", odd_zero_size, -1 },
	{ "large", odd_large, -1 },
	{ "tiny", odd_tiny, -1 },
	{ "other class", odd_other_class, -1 },
	{ "other heap", odd_other_heap, -1 },
	{ "twice", odd_twice, KMH_DOUBLE_FREE },
	{ "twice in a row", odd_twice_in_a_row, KMH_DOUBLE_FREE },
	{ "freed", odd_freed, KMH_DOUBLE_FREE },
	{ "deferred", odd_deferred, KMH_DOUBLE_FREE },
	{ "interior", odd_interior, KMH_INVALID_FREE },
	{ "wild", odd_wild, KMH_INVALID_FREE },
	{ "pages", odd_pages, KMH_INVALID_FREE, put_pages },
};

/*
 * N objects and one odd entry at @at; p[N] is an object of the same class that the odd entry
 * may use.
 */
static void try_odd(struct kunit *test, const struct odd *odd, unsigned int at, bool elsewhere,
		    void **p)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct bulk b = { .p = p, .n = N };
	void *kept;

	bulk_alloc(test, heap, 64, N + 1, p);
	kept = p[at];
	p[at] = odd->get(heap, p, at);
	if (elsewhere)
		kmh_kunit_elsewhere(test, bulk_free, &b);
	else
		bulk_free(&b);
	if (odd->kind < 0)
		kmh_kunit_no_reports(test);
	else
		KUNIT_EXPECT_EQ_MSG(test, kmh_kunit_reports(test, odd->kind, 1).addr,
				    (unsigned long)p[at], "%s at %u", odd->name, at);
	if (!kmh_kunit_filled(kept))
		KUNIT_FAIL(test, "%s at %u: freed what was not in the array", odd->name, at);
	if (odd->put)
		odd->put(p[at]);
	if (odd->get != odd_freed && odd->get != odd_deferred)
		kmheap_free(p[N]);
	kmheap_free(kept);
}

static void odd_entry_in_each_position(struct kunit *test)
{
	void **p = kunit_kcalloc(test, N + 1, sizeof(*p), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, at;

	KUNIT_ASSERT_NOT_NULL(test, p);
	other_heap = kmheap_create("bulk-other", NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(other_heap));
	for (i = 0; i < ARRAY_SIZE(odds); i++) {
		for (at = 0; at < N; at++)
			try_odd(test, &odds[i], at, false, p);
		for (at = 0; at < N; at += 7)
			try_odd(test, &odds[i], at, true, p);
	}
	kmheap_rcu_barrier(heap);
	kmh_kunit_validate(test);
	KUNIT_EXPECT_EQ(test, live_objects(test, heap), 0ULL);
	KUNIT_EXPECT_EQ(test, live_objects(test, other_heap), 0ULL);
	kmheap_destroy(other_heap);
}

/* Each object is live once and stands in the array three times. */
static void all_of_it_three_times(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = kunit_kcalloc(test, 3 * N, sizeof(*p), GFP_KERNEL);
	struct bulk b = { .p = p, .n = 3 * N };
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < 4; i++) {
		bulk_alloc(test, heap, 64, N, p);
		if (i % 2)
			order_mixed(N, p);
		memcpy(p + N, p, N * sizeof(*p));
		memcpy(p + 2 * N, p, N * sizeof(*p));
		if (i / 2)
			kmh_kunit_elsewhere(test, bulk_free, &b);
		else
			bulk_free(&b);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 2 * N);
	}
	KUNIT_EXPECT_EQ(test, live_objects(test, heap), 0ULL);
}

/* ---- inside the mcache section, and on several CPUs */

static void bulk_in_the_section(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void **p = kunit_kcalloc(test, 2 * N, sizeof(*p), GFP_KERNEL);
	struct kmh_mspan *s;
	size_t n;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmheap_free(kmheap_alloc(heap, 1 << 20, GFP_KERNEL));
	bulk_alloc(test, heap, 64, N, p);
	s = kmh_span_of((unsigned long)p[0]);
	preempt_disable();
	kmh_mcache_enter(this_cpu_ptr(heap->mcache));
	n = kmheap_alloc_bulk(heap, 64, GFP_ATOMIC, N, p + N);
	kmheap_free_bulk(N, p);
	kmheap_free_bulk(N, p);
	kmh_mcache_leave(this_cpu_ptr(heap->mcache));
	preempt_enable();
	KUNIT_EXPECT_EQ(test, n, (size_t)N);
	KUNIT_EXPECT_TRUE(test, atomic_long_read(&s->w[0].remote));
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, N);
	kmheap_free_bulk(n, p + N);
	KUNIT_EXPECT_EQ(test, live_objects(test, heap), 0ULL);
	kmh_kunit_no_reports(test);
}

static void free_race_thread(void *arg, unsigned int i)
{
	bulk_free(arg);
}

/* Each object is freed once; each further free of it is reported, at once or at the fold. */
static void free_race(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct bulk b = { .n = N };
	struct kmheap_stats st;
	unsigned int round;

	b.p = kunit_kcalloc(test, N, sizeof(void *), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, b.p);
	for (round = 1; round <= 200; round++) {
		bulk_alloc(test, heap, 64, N, b.p);
		kmh_kunit_threads(test, 2, free_race_thread, &b);
		kmh_mcache_drain_all(heap);
		kmh_kunit_stats(heap, &st);
		KUNIT_ASSERT_EQ(test, st.double_frees, (u64)round * N);
		KUNIT_ASSERT_EQ(test, st.live_objects, 0ULL);
	}
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 200 * N);
	kmh_kunit_validate(test);
}

static struct kunit_case bulk_cases[] = {
	KUNIT_CASE(bulk_of_every_class),
	KUNIT_CASE(bulk_from_a_window_with_holes),
	KUNIT_CASE(bulk_is_zeroed),
	KUNIT_CASE(bulk_keeps_the_heap_s_alignment),
	KUNIT_CASE(bulk_takes_what_is_there),
	KUNIT_CASE(odd_entry_in_each_position),
	KUNIT_CASE(all_of_it_three_times),
	KUNIT_CASE(bulk_in_the_section),
	KUNIT_CASE(free_race),
	{ }
};

static struct kunit_suite bulk_suite = {
	.name = "kmheap_bulk",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = bulk_cases,
};

kunit_test_suite(bulk_suite);
