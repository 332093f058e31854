// SPDX-License-Identifier: GPL-2.0
/* KUnit: kmheap_realloc(), and copies. */
#include <linux/string.h>

#include "kunit_util.h"

static u8 byte_at(size_t i)
{
	return i * 31 + (i >> 8);
}

static void write_bytes(u8 *p, size_t from, size_t to)
{
	for (; from < to; from++)
		p[from] = byte_at(from);
}

static void expect_bytes(struct kunit *test, const u8 *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (p[i] == byte_at(i))
			continue;
		KUNIT_FAIL(test, "byte %zu of %zu is %#x", i, n, p[i]);
		return;
	}
}

/* Resize @p up and down through all sizes: at each step it holds what was written so far. */
static void realloc_walk(struct kunit *test, u8 *p, bool data)
{
	static const size_t sizes[] = {
		5, 8, 12, 13, 16, 17, 64, 100, 1000, 1025, 5000, 13000, 32768, 32769, 40960, 40961,
		200000, 3 << 20,
	};
	size_t bytes = kmheap_size(p), was = 0;
	struct kmheap_object obj;
	struct kmheap_stats st;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	write_bytes(p, 0, bytes);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *q = kmheap_realloc(NULL, p, sizes[i], GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, q);
		if (sizes[i] <= bytes)
			KUNIT_EXPECT_PTR_EQ(test, q, p);
		else
			KUNIT_EXPECT_PTR_NE(test, q, p);
		expect_bytes(test, q, max(min(bytes, sizes[i]), was));
		KUNIT_ASSERT_TRUE(test, kmheap_lookup(q, &obj));
		KUNIT_EXPECT_PTR_EQ(test, obj.heap, kmh_kunit_heap(test));
		KUNIT_EXPECT_EQ(test, obj.data, data);
		KUNIT_EXPECT_GE(test, obj.bytes, sizes[i]);
		p = q;
		bytes = obj.bytes;
		was = min_t(size_t, bytes, 210000);
		write_bytes(p, 0, was);
	}
	for (i = ARRAY_SIZE(sizes); i-- > 0;) {
		KUNIT_EXPECT_PTR_EQ(test, kmheap_realloc(NULL, p, sizes[i], GFP_KERNEL), (void *)p);
		KUNIT_EXPECT_EQ(test, kmheap_size(p), bytes);
	}
	expect_bytes(test, p, was);
	kmheap_free(p);
	kmh_kunit_stats(kmh_kunit_heap(test), &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
}

static void realloc_keeps_contents(struct kunit *test)
{
	realloc_walk(test, kmheap_alloc(kmh_kunit_heap(test), 3, GFP_KERNEL), false);
}

static void realloc_data_stays_data(struct kunit *test)
{
	realloc_walk(test, kmheap_alloc_data(kmh_kunit_heap(test), 3, GFP_KERNEL), true);
}

static void realloc_null_allocates(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_object obj;
	void *p = kmheap_realloc(heap, NULL, 100, GFP_KERNEL);

	KUNIT_ASSERT_TRUE(test, kmheap_lookup(p, &obj));
	KUNIT_EXPECT_PTR_EQ(test, obj.heap, heap);
	kmheap_free_sized(p, 100);
	p = kmheap_realloc(heap, ZERO_SIZE_PTR, 100, GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_TRUE(test, kmheap_lookup(p, &obj));
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, kmheap_size(p)));
	kmheap_free_sized(p, 100);
	p = kmheap_realloc(NULL, NULL, 100, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, kmheap_lookup(p, &obj));
	KUNIT_EXPECT_PTR_EQ(test, obj.heap, kmh_default_heap);
	kmheap_free_sized(p, 100);
}

static void realloc_zero_frees(struct kunit *test)
{
	static const size_t sizes[] = { 8, 1000, 50000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_PTR_EQ(test, kmheap_realloc(heap, p, 0, GFP_KERNEL), ZERO_SIZE_PTR);
		KUNIT_EXPECT_EQ(test, kmh_live_bytes(p), 0UL);
	}
	kmh_kunit_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
}

/* Bytes that are added are zero if every allocation of the object asked for that, as promised. */
static void realloc_zeroes_what_is_added(struct kunit *test)
{
	static const size_t sizes[] = { 5, 30, 60, 61, 5000, 40000, 100000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	void *soil[ARRAY_SIZE(sizes)];
	unsigned int i;
	u8 *p = NULL;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		soil[i] = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, soil[i]);
		memset(soil[i], 0xa5, kmheap_size(soil[i]));
	}
	kmheap_free_bulk(ARRAY_SIZE(sizes), soil);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kmheap_realloc(heap, p, sizes[i], GFP_KERNEL | __GFP_ZERO);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_NULL_MSG(test, memchr_inv(p, 0, sizes[i]), "%zu bytes", sizes[i]);
	}
	kmheap_free(p);
}

/* Bytes are zero, too, when the object was smaller in between, in place or by a move. */
static void realloc_zeroes_what_comes_back(struct kunit *test)
{
	static const struct {
		size_t bytes;
		bool data;
	} rows[] = {
		{ 12, true }, { 8, true }, { 64 }, { 100 }, { 1000, true }, { 32768 }, { 100000 },
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	const gfp_t gfp = GFP_KERNEL | __GFP_ZERO;
	unsigned int i, to;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t bytes = rows[i].bytes, less = bytes / 2 - 1;
		const size_t back[] = { bytes, 3 * bytes };

		for (to = 0; to < ARRAY_SIZE(back); to++) {
			u8 *p = rows[i].data ? kmheap_alloc_data(heap, bytes, gfp) :
					       kmheap_alloc(heap, bytes, gfp);

			KUNIT_ASSERT_NOT_NULL(test, p);
			memset(p, 0xa5, bytes);
			p = kmheap_realloc(NULL, p, less, gfp);
			p = kmheap_realloc(NULL, p, back[to], gfp);
			KUNIT_ASSERT_NOT_NULL(test, p);
			KUNIT_EXPECT_NULL_MSG(test, memchr_inv(p, 0xa5, less), "%zu bytes", bytes);
			KUNIT_EXPECT_NULL_MSG(test, memchr_inv(p + less, 0, back[to] - less),
					      "%zu to %zu to %zu bytes", bytes, less, back[to]);
			kmheap_free(p);
		}
	}
}

static void count_call(void *p, void *arg)
{
	++*(unsigned int *)arg;
}

/* A resize runs no finalizer and ends no weak handle; objects without these may move. */
static void realloc_moves_no_side_data(struct kunit *test)
{
	static const size_t sizes[] = { 50, 30000, 50000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_weak *weak;
	struct kmheap_stats st;
	unsigned int i, calls;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		size_t usable = kmheap_size(p);

		KUNIT_ASSERT_NOT_NULL(test, p);
		kmh_kunit_fill(p);
		calls = 0;
		KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(p, count_call, &calls), 0);
		weak = kmheap_weak_create(p);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, weak);
		KUNIT_EXPECT_PTR_EQ(test, kmheap_realloc(NULL, p, usable, GFP_KERNEL), p);
		KUNIT_EXPECT_NULL(test, kmheap_realloc(NULL, p, 2 * usable, GFP_KERNEL));
		KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(p, NULL, NULL), 0);
		KUNIT_EXPECT_NULL(test, kmheap_realloc(NULL, p, 2 * usable, GFP_ATOMIC));
		kmheap_rcu_barrier(heap);
		KUNIT_EXPECT_EQ(test, calls, 0U);
		KUNIT_EXPECT_PTR_EQ(test, kmheap_weak_get(weak), p);
		KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p));
		kmheap_weak_destroy(weak);
		p = kmheap_realloc(NULL, p, 2 * usable, GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, p);
		kmheap_free(p);
	}
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 2ULL * ARRAY_SIZE(sizes));
}

static void realloc_fails_and_keeps(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	u8 *p = kmheap_alloc(heap, 100, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_no_worker(heap);
	kmh_kunit_fill(p);
	KUNIT_EXPECT_NULL(test, kmheap_realloc(heap, p, 8 << 20, GFP_NOWAIT));
	KUNIT_EXPECT_NULL(test, kmheap_realloc(heap, p, SIZE_MAX / 4, GFP_KERNEL | __GFP_NOWARN));
	KUNIT_EXPECT_EQ(test, kmheap_size(p), kmh_kunit_class_bytes(100));
	KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p));
	kmheap_free(p);
}

static void realloc_bad_pointer_is_reported(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	u8 *p = kmheap_alloc(heap, 100, GFP_KERNEL);
	struct kmh_report r;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_fill(p);
	KUNIT_EXPECT_NULL(test, kmheap_realloc(heap, p + 8, 200, GFP_KERNEL));
	r = kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_EQ(test, r.addr, (unsigned long)p + 8);
	KUNIT_EXPECT_PTR_EQ(test, r.heap, heap);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p));
	KUNIT_EXPECT_NULL(test, kmheap_realloc(heap, &r, 200, GFP_KERNEL));
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmheap_free(p);
	KUNIT_EXPECT_NULL(test, kmheap_realloc(heap, p, 200, GFP_KERNEL));
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_NULL(test, kmheap_realloc(heap, p, 50, GFP_KERNEL));
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
}

/* ---- strings */

static void lengthen(void *text)
{
	strscpy(text, "longer", 8);
}

/* A copy ends where its string ended when that was measured. */
static void copy_of_a_string_that_changes(struct kunit *test)
{
	char text[8] = "abc", *s;

	kmh_kunit_at(test, "strdup: before the copy", lengthen, text);
	s = kmheap_strdup(kmh_kunit_heap(test), text, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("strdup: before the copy"));
	KUNIT_EXPECT_EQ(test, memcmp(s, "lon", 4), 0);
	kmheap_free(s);
}

static struct kunit_case realloc_cases[] = {
	KUNIT_CASE(realloc_keeps_contents),
	KUNIT_CASE(realloc_data_stays_data),
	KUNIT_CASE(realloc_null_allocates),
	KUNIT_CASE(realloc_zero_frees),
	KUNIT_CASE(realloc_zeroes_what_is_added),
	KUNIT_CASE(realloc_zeroes_what_comes_back),
	KUNIT_CASE(realloc_moves_no_side_data),
	KUNIT_CASE(realloc_fails_and_keeps),
	KUNIT_CASE(realloc_bad_pointer_is_reported),
	KUNIT_CASE(copy_of_a_string_that_changes),
	{ }
};

static struct kunit_suite realloc_suite = {
	.name = "kmheap_realloc",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = realloc_cases,
};

kunit_test_suite(realloc_suite);
