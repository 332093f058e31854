// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: what must not be freed.
 *
 * Each misuse is counted once per call in the right counter, reported with what is known of
 * the address, and ignored: the heap works on.
 */
#include <linux/string.h>

#include "kunit_util.h"

static void remote_free(void *p)
{
	kmheap_free(p);
}

static void free_elsewhere(struct kunit *test, void *p)
{
	kmh_kunit_elsewhere(test, remote_free, p);
}

static u64 counter(struct kmheap *heap, enum kmh_misuse kind)
{
	struct kmheap_stats st;

	kmheap_stats(heap, &st);
	return kind == KMH_DOUBLE_FREE ? st.double_frees :
	       kind == KMH_INVALID_FREE ? st.invalid_frees : st.wrong_size_frees;
}

/*
 * One report of @kind has come, of @addr in @heap, which names the object at @object. With
 * @heap NULL the address belongs to no heap.
 */
static void expect_report(struct kunit *test, enum kmh_misuse kind, struct kmheap *heap,
			  const void *addr, const void *object)
{
	struct kmh_report r = kmh_kunit_reports(test, kind, 1);

	KUNIT_EXPECT_EQ(test, r.addr, (unsigned long)addr);
	KUNIT_EXPECT_PTR_EQ(test, r.heap, heap);
	KUNIT_EXPECT_EQ(test, r.object, (unsigned long)object);
	KUNIT_EXPECT_NE(test, r.ip, 0UL);
	KUNIT_EXPECT_NOT_NULL(test, r.what);
}

/* Objects of all kinds are allocated, hold what is written, and are freed. */
static void expect_serves_on(struct kunit *test, struct kmheap *heap)
{
	static const size_t sizes[] = { 4, 8, 64, 1024, 32768, 40000 };
	void *p[2 * ARRAY_SIZE(sizes)];
	struct kmheap_stats st, now;
	unsigned int i;

	kmh_kunit_validate(test);
	kmheap_stats(heap, &st);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = i % 2 ? kmheap_alloc(heap, sizes[i / 2], GFP_KERNEL) :
			       kmheap_alloc_data(heap, sizes[i / 2], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		kmh_kunit_fill(p[i]);
	}
	for (i = 0; i < ARRAY_SIZE(p); i++)
		KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p[i]));
	kmheap_free_bulk(ARRAY_SIZE(p), p);
	kmh_kunit_balanced(test, heap, &now);
	KUNIT_EXPECT_EQ(test, now.live_objects, st.live_objects);
	kmh_kunit_no_reports(test);
}

/* Pairs of frees, by the CPU that each of the two happens on. */
static const struct {
	const char *name;
	bool remote[2];
	bool drained;		/* between the two */
} double_rows[] = {
	{ "both here", { false, false } },
	{ "here, elsewhere", { false, true } },
	{ "elsewhere, here", { true, false } },
	{ "both elsewhere", { true, true } },
	{ "here, drained, here", { false, false }, true },
	{ "elsewhere, drained, elsewhere", { true, true }, true },
	{ "elsewhere, drained, here", { true, false }, true },
};

static void double_free_small(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int row, class, n = 0;

	kmh_kunit_stay(test);
	for (row = 0; row < ARRAY_SIZE(double_rows); row++) {
		/* A drain asks every CPU, so a few classes must do there. */
		unsigned int step = double_rows[row].drained ? 13 : 1;

		for (class = 1; class < KMH_NR_CLASSES; class += step) {
			void *keep = kmheap_alloc(heap, kmh_class_size(class), GFP_KERNEL);
			void *p = kmheap_alloc(heap, kmh_class_size(class), GFP_KERNEL);
			unsigned int i;

			KUNIT_ASSERT_NOT_NULL(test, keep);
			KUNIT_ASSERT_NOT_NULL(test, p);
			kmh_kunit_fill(keep);
			for (i = 0; i < 2; i++) {
				kmh_kunit_no_reports(test);
				if (double_rows[row].remote[i])
					free_elsewhere(test, p);
				else
					kmheap_free(p);
				if (!i && double_rows[row].drained)
					kmh_mcache_drain_all(heap);
			}
			expect_report(test, KMH_DOUBLE_FREE, heap, p, p);
			n++;
			KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(keep));
			kmheap_free(keep);
		}
		KUNIT_EXPECT_EQ_MSG(test, counter(heap, KMH_DOUBLE_FREE), n, "%s",
				    double_rows[row].name);
	}
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_INVALID_FREE), 0ULL);
	expect_serves_on(test, heap);
}

/* Each call counts, and no slot is handed out twice afterwards. */
static void double_free_many_times(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, n = 2 * kmh_classes[kmheap_size_class(64)].nelems;
	void **p = kunit_kcalloc(test, n, sizeof(*p), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	p[0] = kmheap_alloc(heap, 64, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p[0]);
	kmheap_free(p[0]);
	for (i = 0; i < 10; i++) {
		kmheap_free(p[0]);
		free_elsewhere(test, p[0]);
	}
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 20);
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_DOUBLE_FREE), 20ULL);

	KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, 64, GFP_KERNEL, n, p), (size_t)n);
	for (i = 0; i < n; i++)
		kmh_kunit_fill(p[i]);
	for (i = 0; i < n; i++)
		if (!kmh_kunit_filled(p[i]))
			KUNIT_FAIL(test, "object %u was handed out twice", i);
	kmheap_free_bulk(n, p);
	expect_serves_on(test, heap);
}

static void double_free_in_bulk(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p[4] = {};

	KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, 200, GFP_KERNEL, 3, p), 3UL);
	p[3] = p[1];
	kmheap_free_bulk(4, p);
	expect_report(test, KMH_DOUBLE_FREE, heap, p[1], p[1]);
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_DOUBLE_FREE), 1ULL);
	expect_serves_on(test, heap);
}

/* kmheap_free_sized() and kmheap_free_sensitive() detect a double free, too, and wipe nothing. */
static void double_free_sized_and_sensitive(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = kmheap_alloc(heap, 128, GFP_KERNEL), *q;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmheap_free_sized(p, 128);
	kmheap_free_sized(p, 128);
	expect_report(test, KMH_DOUBLE_FREE, heap, p, p);
	kmheap_free_sized(p, 5);
	expect_report(test, KMH_DOUBLE_FREE, heap, p, p);
	kmheap_free_sensitive(p);
	expect_report(test, KMH_DOUBLE_FREE, heap, p, p);
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_DOUBLE_FREE), 3ULL);

	q = kmheap_alloc(heap, 128, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q);
	kmh_kunit_fill(q);
	kmheap_free_sensitive(q + 8);
	expect_report(test, KMH_INVALID_FREE, heap, q + 8, q);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(q));
	kmheap_free_sensitive(q);
	expect_serves_on(test, heap);
}

static void double_free_after_pages_went_back(struct kunit *test)
{
	static const size_t sizes[] = { 8, 1024, 32768 };
	struct kmheap *heap = kmh_kunit_heap(test);
	void *keep = kmheap_alloc(heap, 96, GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, keep);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		kmheap_free(p);
		kmh_mcache_drain_all(heap);
		kmheap_free(p);
		expect_report(test, KMH_DOUBLE_FREE, heap, p, NULL);
		free_elsewhere(test, p);
		expect_report(test, KMH_DOUBLE_FREE, heap, p, NULL);
		KUNIT_EXPECT_EQ(test, counter(heap, KMH_DOUBLE_FREE), 2 * i + 2ULL);
	}
	expect_serves_on(test, heap);
	kmheap_free(keep);
}

static void free_after_arena_went_back(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	long before = atomic_long_read(&kmh_misuses[KMH_INVALID_FREE]);
	void *p = kmheap_alloc(heap, 96, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmheap_free(p);
	KUNIT_EXPECT_GT(test, kmh_kunit_shrink(heap), 0UL);
	kmheap_free(p);
	expect_report(test, KMH_INVALID_FREE, NULL, p, NULL);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_misuses[KMH_INVALID_FREE]), before + 1);
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_INVALID_FREE), 0ULL);
	expect_serves_on(test, heap);
}

static void free_after_destroy(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-gone", NULL);
	long before = atomic_long_read(&kmh_misuses[KMH_INVALID_FREE]);
	struct kmheap_object obj;
	void *p[4];
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	p[0] = kmheap_alloc_data(heap, 4, GFP_KERNEL);
	p[1] = kmheap_alloc(heap, 100, GFP_KERNEL);
	p[2] = kmheap_alloc(heap, 50000, GFP_KERNEL);
	p[3] = kmheap_alloc(heap, 3 << 20, GFP_KERNEL);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	kmheap_destroy(heap);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		KUNIT_EXPECT_FALSE(test, kmheap_lookup(p[i], &obj));
		KUNIT_EXPECT_EQ(test, kmh_live_bytes(p[i]), 0UL);
		kmheap_free(p[i]);
		expect_report(test, KMH_INVALID_FREE, NULL, p[i], NULL);
		kmheap_free_sized(p[i], 100);
		expect_report(test, KMH_INVALID_FREE, NULL, p[i], NULL);
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_misuses[KMH_INVALID_FREE]),
			before + 2 * (long)ARRAY_SIZE(p));
	expect_serves_on(test, kmh_kunit_heap(test));
}

/* kmheap_size() of an address that is no live object is reported, and returns 0. */
static void size_of_what_is_not_live(struct kunit *test)
{
	static const size_t sizes[] = { 4, 100, 1024, 32768, 50000, 3 << 20 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *p = kmheap_alloc_data(heap, sizes[i], GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_GE(test, kmheap_size(p), sizes[i]);
		kmh_kunit_no_reports(test);
		KUNIT_EXPECT_EQ(test, kmheap_size(p + 1), (size_t)0);
		expect_report(test, KMH_INVALID_FREE, heap, p + 1, NULL);
		kmheap_free_rcu(p);
		KUNIT_EXPECT_EQ(test, kmheap_size(p), (size_t)0);
		kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
		kmheap_rcu_barrier(heap);
		KUNIT_EXPECT_EQ(test, kmheap_size(p), (size_t)0);
		kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	}
	KUNIT_EXPECT_EQ(test, kmheap_size(&i), (size_t)0);
	expect_report(test, KMH_INVALID_FREE, NULL, &i, NULL);
	KUNIT_EXPECT_EQ(test, kmheap_size(NULL), (size_t)0);
	KUNIT_EXPECT_EQ(test, kmheap_size(ZERO_SIZE_PTR), (size_t)0);
	kmh_kunit_no_reports(test);
	expect_serves_on(test, heap);
}

/* The counts of a destroyed heap stay in the totals. */
static void destroy_keeps_the_counts(struct kunit *test)
{
	long before = atomic_long_read(&kmh_misuses[KMH_DOUBLE_FREE]);
	struct kmheap *heap = kmheap_create("kunit-counts", NULL);
	void *p;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	p = kmheap_alloc(heap, 100, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	kmheap_free(p);
	kmheap_free(p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_misuses[KMH_DOUBLE_FREE]), before);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_misuses[KMH_DOUBLE_FREE]), before + 1);
}

static void invalid_free_inside_objects(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int class, i;
	u64 n = 0;

	for (class = 1; class < KMH_NR_CLASSES; class++) {
		size_t bytes = kmh_class_size(class);
		u8 *p = kmheap_alloc(heap, bytes, GFP_KERNEL);
		const size_t offs[] = { 1, 4, 7, bytes / 2, bytes - 8, bytes - 1 };

		KUNIT_ASSERT_NOT_NULL(test, p);
		kmh_kunit_fill(p);
		for (i = 0; i < ARRAY_SIZE(offs); i++) {
			if (!offs[i])
				continue;
			kmheap_free(p + offs[i]);
			expect_report(test, KMH_INVALID_FREE, heap, p + offs[i], p);
			n++;
		}
		free_elsewhere(test, p + 3);
		expect_report(test, KMH_INVALID_FREE, heap, p + 3, p);
		n++;
		KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p));
		KUNIT_EXPECT_EQ(test, kmheap_size(p), bytes);
		kmheap_free(p);
	}
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_INVALID_FREE), n);
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_DOUBLE_FREE), 0ULL);
	expect_serves_on(test, heap);
}

static void invalid_free_in_the_tail(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_object obj;
	unsigned int class;
	u64 n = 0;

	for (class = 1; class < KMH_NR_CLASSES; class++) {
		const struct kmh_sizeclass *c = &kmh_classes[class];
		unsigned long used = (unsigned long)c->nelems * c->size;
		void *p = kmheap_alloc(heap, c->size, GFP_KERNEL), *tail;

		KUNIT_ASSERT_NOT_NULL(test, p);
		tail = (void *)kmh_span_of((unsigned long)p)->base + used;
		if (used < (unsigned long)c->npages << KMH_PAGE_SHIFT) {
			KUNIT_EXPECT_FALSE(test, kmheap_lookup(tail, &obj));
			kmheap_free(tail);
			expect_report(test, KMH_INVALID_FREE, heap, tail, NULL);
			n++;
		}
		kmheap_free(p);
	}
	KUNIT_EXPECT_GT(test, n, 40ULL);
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_INVALID_FREE), n);
	expect_serves_on(test, heap);
}

/* Pages of an arena that belong to no span. */
static void invalid_free_of_unused_pages(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = kmheap_alloc(heap, 100, GFP_KERNEL);
	struct kmheap_object obj;
	void *bad[4];
	struct kmh_arena *a;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	a = kmh_span_of((unsigned long)p)->arena;
	bad[0] = (void *)((a->first + a->npages - 2) << KMH_PAGE_SHIFT);
	bad[1] = bad[0] + KMH_PAGE_SIZE - 8;
	bad[2] = (void *)((a->first + a->npages - 1) << KMH_PAGE_SHIFT);
	bad[3] = bad[2] + 100;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		KUNIT_EXPECT_FALSE(test, kmheap_lookup(bad[i], &obj));
		kmheap_free(bad[i]);
		expect_report(test, KMH_INVALID_FREE, heap, bad[i], NULL);
	}
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_INVALID_FREE), (u64)ARRAY_SIZE(bad));
	kmheap_free(p);
	expect_serves_on(test, heap);
}

static void invalid_free_of_wild_addresses(struct kunit *test)
{
	static char of_the_module[64];
	long before = atomic_long_read(&kmh_misuses[KMH_INVALID_FREE]);
	void *slab = kunit_kzalloc(test, 64, GFP_KERNEL);
	unsigned long wild[] = {
		17, 0xff, PAGE_SIZE, KMH_PAGE_SIZE, 0xdeadbeef, 1UL << 47, (1UL << 47) - 8,
		(unsigned long)&wild, (unsigned long)of_the_module, (unsigned long)slab,
		(unsigned long)kmheap_free, LONG_MAX, 1UL << 63, -PAGE_SIZE, -4095UL, -8UL, -1UL,
	};
	struct kmheap_object obj;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wild); i++) {
		void *p = (void *)wild[i];

		KUNIT_EXPECT_FALSE(test, kmheap_lookup(p, &obj));
		KUNIT_EXPECT_FALSE(test, kmheap_owns(p));
		KUNIT_EXPECT_EQ(test, kmh_live_bytes(p), 0UL);
		kmheap_free(p);
		expect_report(test, KMH_INVALID_FREE, NULL, p, NULL);
		kmheap_free_sized(p, 64);
		expect_report(test, KMH_INVALID_FREE, NULL, p, NULL);
		kmheap_free_sensitive(p);
		expect_report(test, KMH_INVALID_FREE, NULL, p, NULL);
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&kmh_misuses[KMH_INVALID_FREE]),
			before + 3 * (long)ARRAY_SIZE(wild));
	KUNIT_EXPECT_NULL(test, memchr_inv(slab, 0, 64));
	expect_serves_on(test, kmh_kunit_heap(test));
}

static const struct {
	size_t bytes, wrong[5];
	bool data;
} wrong_size_rows[] = {
	{ 8, { 9, 16, 32768, SIZE_MAX, 40000 } },
	{ 100, { 96, 113, 1, 50000, SIZE_MAX / 2 } },
	{ 1024, { 896, 1025, 4, 2048, 1 << 20 } },
	{ 32768, { 28672, 32769, 40960, 1, 8 } },
	{ 40000, { 39999, 40001, 40961, 32768, 1 } },
	{ 3 << 20, { 1 << 20, (3 << 20) + 8193, 1, 32768, 40000 } },
	{ 100, { 96, 113, 1, 50000, SIZE_MAX / 2 }, true },
	{ 13, { 8, 17, 24, 4, SIZE_MAX }, true },
	{ 4, { 5, 8, 12, 16, 40000 }, true },
};

static void wrong_size_free(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(wrong_size_rows); i++) {
		size_t bytes = wrong_size_rows[i].bytes;
		void *p = wrong_size_rows[i].data ? kmheap_alloc_data(heap, bytes, GFP_KERNEL) :
						    kmheap_alloc(heap, bytes, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, p);
		kmh_kunit_fill(p);
		for (j = 0; j < ARRAY_SIZE(wrong_size_rows[i].wrong); j++) {
			kmheap_free_sized(p, wrong_size_rows[i].wrong[j]);
			expect_report(test, KMH_WRONG_SIZE_FREE, heap, p, p);
			KUNIT_EXPECT_GE(test, kmheap_size(p), bytes);
		}
		kmheap_free_sized(p, 0);
		expect_report(test, KMH_WRONG_SIZE_FREE, heap, p, p);
		KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p));
		kmheap_free_sized(p, i % 2 ? kmheap_size(p) : bytes);
		kmh_kunit_no_reports(test);
		KUNIT_EXPECT_EQ(test, kmh_live_bytes(p), 0UL);
	}
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_WRONG_SIZE_FREE),
			6 * (u64)ARRAY_SIZE(wrong_size_rows));
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_INVALID_FREE), 0ULL);
	expect_serves_on(test, heap);
}

/* Any size of its class is right for a small object. */
static void right_size_free(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int class;

	for (class = 1; class < KMH_NR_CLASSES; class++) {
		size_t bytes = kmh_class_size(class), least = kmh_class_size(class - 1) + 1;
		void *p[3];

		if (class == 1)
			least = 1;
		KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, bytes, GFP_KERNEL, 3, p), 3UL);
		kmheap_free_sized(p[0], bytes);
		kmheap_free_sized(p[1], least);
		kmheap_free_sized(p[2], bytes - 1);
	}
	kmh_kunit_no_reports(test);
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_WRONG_SIZE_FREE), 0ULL);
}

/* @p is freed with two sizes that are constants here; only the second one is right. */
static __always_inline void wrong_then_right(struct kunit *test, struct kmheap *heap, void *p,
					     size_t wrong, size_t right)
{
	KUNIT_ASSERT_NOT_NULL(test, p);
	kmheap_free_sized(p, wrong);
	expect_report(test, KMH_WRONG_SIZE_FREE, heap, p, p);
	kmheap_free_sized(p, right);
	kmh_kunit_no_reports(test);
	KUNIT_EXPECT_EQ(test, kmh_live_bytes(p), 0UL);
	kmheap_free_sized(p, right);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
}

static void constant_size_free(struct kunit *test)
{
	const struct kmheap_attr aligned = { .flags = KMHEAP_HWCACHE_ALIGN };
	const struct kmheap_attr collected = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmh_kunit_heap(test), *h;
	unsigned int class;
	void *p;

	KUNIT_ASSERT_EQ(test, (unsigned int)ARRAY_SIZE(kmheap_class_bytes), KMH_NR_CLASSES);
	for (class = 1; class < KMH_NR_CLASSES; class++)
		KUNIT_EXPECT_EQ(test, (unsigned int)kmheap_class_bytes[class],
				kmh_class_size(class));
	wrong_then_right(test, heap, kmheap_alloc(heap, 100, GFP_KERNEL), 113, 97);
	wrong_then_right(test, heap, kmheap_alloc(heap, 100, GFP_KERNEL), 96, 112);
	wrong_then_right(test, heap, kmheap_alloc(heap, 8, GFP_KERNEL), 9, 1);
	wrong_then_right(test, heap, kmheap_alloc(heap, 32768, GFP_KERNEL), 28672, 32768);
	wrong_then_right(test, heap, kmheap_alloc(heap, 32768, GFP_KERNEL), 32769, 28673);
	wrong_then_right(test, heap, kmheap_alloc(heap, 40000, GFP_KERNEL), 32768, 40000);
	wrong_then_right(test, heap, kmheap_alloc(heap, 40000, GFP_KERNEL), 0, 40960);
	wrong_then_right(test, heap, kmheap_alloc_data(heap, 100, GFP_KERNEL), 64, 100);
	/* Packed objects lie in blocks of 16 bytes, which is also a class. */
	wrong_then_right(test, heap, kmheap_alloc_data(heap, 4, GFP_KERNEL), 16, 3);
	wrong_then_right(test, heap, kmheap_alloc_data(heap, 12, GFP_KERNEL), 13, 9);
	wrong_then_right(test, heap, kmheap_alloc_data(heap, 12, GFP_KERNEL), 8, 12);
	wrong_then_right(test, heap, kmheap_alloc_data(heap, 13, GFP_KERNEL), 8, 13);
	wrong_then_right(test, heap, kmheap_alloc_aligned(heap, 100, 65536, GFP_KERNEL), 64, 100);

	p = kmheap_alloc(heap, 64, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	kmheap_free_sized(p + 8, 64);
	expect_report(test, KMH_INVALID_FREE, heap, p + 8, p);
	kmheap_free_sized((void *)-8UL, 64);
	expect_report(test, KMH_INVALID_FREE, NULL, (void *)-8UL, NULL);
	kmheap_free_sized(NULL, 64);
	kmheap_free_sized(ZERO_SIZE_PTR, 64);
	kmh_kunit_no_reports(test);
	free_elsewhere(test, p);
	kmheap_free_sized(p, 64);
	expect_report(test, KMH_DOUBLE_FREE, heap, p, p);

	h = kmheap_create("misuse-aligned", &aligned);
	KUNIT_ASSERT_FALSE(test, IS_ERR(h));
	wrong_then_right(test, h, kmheap_alloc(h, 40, GFP_KERNEL), 130, 40);
	kmheap_destroy(h);
	h = kmheap_create("misuse-collected", &collected);
	KUNIT_ASSERT_FALSE(test, IS_ERR(h));
	wrong_then_right(test, h, kmheap_alloc(h, 40, GFP_KERNEL), 64, 40);
	kmheap_destroy(h);
	expect_serves_on(test, heap);
}

static void tiny_misuse(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	u8 *a = kmheap_alloc_data(heap, 4, GFP_KERNEL);
	u8 *b = kmheap_alloc_data(heap, 8, GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, a);
	KUNIT_ASSERT_NOT_NULL(test, b);
	kmh_kunit_fill(b);
	for (i = 1; i < 8; i++) {
		kmheap_free(b + i);
		expect_report(test, KMH_INVALID_FREE, heap, b + i, b);
	}
	kmheap_free(a + 2);
	expect_report(test, KMH_INVALID_FREE, heap, a + 2, a);
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_INVALID_FREE), 8ULL);

	kmheap_free(a);
	kmheap_free(a);		/* b keeps the block */
	expect_report(test, KMH_DOUBLE_FREE, heap, a, a);
	free_elsewhere(test, a);
	expect_report(test, KMH_DOUBLE_FREE, heap, a, a);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(b));
	free_elsewhere(test, b);
	free_elsewhere(test, b);
	expect_report(test, KMH_DOUBLE_FREE, heap, b, b);
	kmh_mcache_drain_all(heap);
	kmheap_free(b);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, counter(heap, KMH_DOUBLE_FREE), 4ULL);
	expect_serves_on(test, heap);
}

static void large_misuse(struct kunit *test)
{
	static const size_t sizes[] = { 32769, 100000, 1 << 20, 3 << 20 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		const size_t offs[] = { 1, 8, KMH_PAGE_SIZE, sizes[i] / 2, sizes[i] - 1 };
		struct kmh_report r;

		KUNIT_ASSERT_NOT_NULL(test, p);
		for (j = 0; j < ARRAY_SIZE(offs); j++) {
			kmheap_free(p + offs[j]);
			expect_report(test, KMH_INVALID_FREE, heap, p + offs[j], p);
		}
		if (i % 2)
			free_elsewhere(test, p);
		else
			kmheap_free(p);
		if (sizes[i] > kmh_arena_bytes / 2) {
			/*
			 * The object's arena may be gone by now, and then this is no double
			 * free.
			 */
			kmh_kunit_settle(heap);
			kmheap_free(p);
			expect_report(test, KMH_INVALID_FREE, NULL, p, NULL);
			continue;
		}
		kmheap_free(p);
		expect_report(test, KMH_DOUBLE_FREE, heap, p, NULL);
		free_elsewhere(test, p + KMH_PAGE_SIZE);
		r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
		KUNIT_EXPECT_PTR_EQ(test, r.heap, heap);
	}
	expect_serves_on(test, heap);
}

/* Two threads that free the same large object meet in its claim, whichever is first. */
static void large_double_free_at_the_same_time(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = kmheap_alloc(heap, 100000, GFP_KERNEL);
	struct kmheap_object obj;
	struct kmh_mspan *s;

	KUNIT_ASSERT_NOT_NULL(test, p);
	s = kmh_span_of((unsigned long)p);
	preempt_disable();
	KUNIT_EXPECT_EQ(test, (int)kmh_large_claim(s, (unsigned long)p, KMH_SPAN_LARGE),
			(int)KMH_FREE_OK);
	KUNIT_EXPECT_EQ(test, (int)kmh_large_claim(s, (unsigned long)p, KMH_SPAN_LARGE),
			(int)KMH_FREE_DOUBLE);
	preempt_enable();
	KUNIT_EXPECT_TRUE(test, kmheap_lookup(p, &obj) && obj.state == KMHEAP_OBJECT_FREE);
	kmheap_free(p);
	expect_report(test, KMH_DOUBLE_FREE, heap, p, p);
	kmh_large_release(s);
	expect_serves_on(test, heap);
}

static struct kunit_case misuse_cases[] = {
	KUNIT_CASE(double_free_small),
	KUNIT_CASE(double_free_many_times),
	KUNIT_CASE(double_free_in_bulk),
	KUNIT_CASE(double_free_sized_and_sensitive),
	KUNIT_CASE(double_free_after_pages_went_back),
	KUNIT_CASE(free_after_arena_went_back),
	KUNIT_CASE(free_after_destroy),
	KUNIT_CASE(size_of_what_is_not_live),
	KUNIT_CASE(destroy_keeps_the_counts),
	KUNIT_CASE(invalid_free_inside_objects),
	KUNIT_CASE(invalid_free_in_the_tail),
	KUNIT_CASE(invalid_free_of_unused_pages),
	KUNIT_CASE(invalid_free_of_wild_addresses),
	KUNIT_CASE(wrong_size_free),
	KUNIT_CASE(right_size_free),
	KUNIT_CASE(constant_size_free),
	KUNIT_CASE(tiny_misuse),
	KUNIT_CASE(large_misuse),
	KUNIT_CASE(large_double_free_at_the_same_time),
	{ }
};

static struct kunit_suite misuse_suite = {
	.name = "kmheap_misuse",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = misuse_cases,
};

kunit_test_suite(misuse_suite);
