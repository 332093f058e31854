// SPDX-License-Identifier: GPL-2.0
/* KUnit: the ways to allocate, and what a lookup says of the objects. */
#include <linux/string.h>
#include <linux/topology.h>

#include "kunit_util.h"

/* @p is an object as it must be: of its class, aligned, live, of @heap. */
static void expect_object(struct kunit *test, struct kmheap *heap, void *p, size_t bytes,
			  size_t usable)
{
	struct kmheap_object obj;

	KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu bytes", bytes);
	KUNIT_EXPECT_EQ_MSG(test, kmheap_size(p), usable, "%zu bytes", bytes);
	KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED((unsigned long)p, 8), "%zu bytes at %#lx", bytes,
			      (unsigned long)p);
	if (is_power_of_2(bytes) && bytes <= KMHEAP_MAX_SMALL)
		KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED((unsigned long)p, bytes),
				      "%zu bytes at %#lx", bytes, (unsigned long)p);
	KUNIT_ASSERT_TRUE(test, kmheap_lookup(p, &obj));
	KUNIT_EXPECT_PTR_EQ(test, obj.heap, heap);
	KUNIT_EXPECT_PTR_EQ(test, obj.base, p);
	KUNIT_EXPECT_EQ(test, obj.bytes, usable);
	KUNIT_EXPECT_EQ(test, (int)obj.state, (int)KMHEAP_OBJECT_LIVE);
}

static void alloc_every_class_and_boundary(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int class, n = 0, i;
	struct kmheap_stats st;
	u64 live_bytes = 0;
	void **p;

	p = kunit_kcalloc(test, 3 * KMH_NR_CLASSES, sizeof(*p), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	for (class = 1; class < KMH_NR_CLASSES; class++) {
		size_t bytes = kmh_class_size(class) - 1;

		for (; bytes <= kmh_class_size(class) + 1; bytes++) {
			p[n] = kmheap_alloc(heap, bytes, GFP_KERNEL);
			expect_object(test, heap, p[n], bytes, kmh_kunit_class_bytes(bytes));
			live_bytes += bytes > KMHEAP_MAX_SMALL ? bytes : kmheap_size(p[n]);
			kmh_kunit_fill(p[n++]);
		}
	}
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, (u64)n);
	KUNIT_EXPECT_EQ(test, st.allocs, (u64)n);
	KUNIT_EXPECT_EQ(test, st.live_bytes, live_bytes);
	for (i = 0; i < n; i++)
		KUNIT_EXPECT_TRUE_MSG(test, kmh_kunit_filled(p[i]), "object %u", i);
	kmheap_free_bulk(n, p);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.frees, (u64)n);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 0ULL);
}

static __always_inline void const_size(struct kunit *test, const size_t bytes)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = kmheap_alloc(heap, bytes, GFP_KERNEL);
	void *z = kmheap_zalloc(heap, bytes, GFP_KERNEL);

	BUILD_BUG_ON(!__builtin_constant_p(bytes));
	expect_object(test, heap, p, bytes, kmh_kunit_class_bytes(bytes));
	expect_object(test, heap, z, bytes, kmh_kunit_class_bytes(bytes));
	KUNIT_EXPECT_NULL(test, memchr_inv(z, 0, kmheap_size(z)));
	kmheap_free_sized(p, bytes);
	kmheap_free_sized(z, bytes);
}

static __always_inline void const_around(struct kunit *test, const size_t bytes)
{
	const_size(test, bytes - 1);
	const_size(test, bytes);
	const_size(test, bytes + 1);
}

static void alloc_constant_sizes(struct kunit *test)
{
	const_size(test, 1);
	const_around(test, 8);
	const_around(test, 16);
	const_around(test, 24);
	const_around(test, 48);
	const_around(test, 64);
	const_around(test, 96);
	const_around(test, 128);
	const_around(test, 256);
}

static void alloc_constant_sizes_more(struct kunit *test)
{
	const_around(test, 1024);
	const_around(test, 1152);
	const_around(test, 2688);
	const_around(test, 4096);
	const_around(test, 8192);
	const_around(test, 13312);
	const_around(test, 16384);
	const_around(test, 25088);
	const_around(test, 32768);
	const_size(test, 100000);
}

static void alloc_zero_bytes(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	size_t zero = 0;
	void *p[3] = {};

	OPTIMIZER_HIDE_VAR(zero);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc(heap, 0, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc(heap, zero, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_zalloc(heap, zero, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc_data(heap, zero, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc_node(heap, zero, GFP_KERNEL, 0), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc_aligned(heap, zero, 64, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc_array(heap, 8, zero, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_calloc(heap, zero, 8, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_realloc(heap, NULL, zero, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_memdup(heap, "", zero, GFP_KERNEL), ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, kmheap_alloc_bulk(heap, zero, GFP_KERNEL, 3, p), 3UL);
	KUNIT_EXPECT_PTR_EQ(test, p[2], ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, kmheap_size(ZERO_SIZE_PTR), 0UL);
	KUNIT_EXPECT_EQ(test, kmheap_size(NULL), 0UL);
	kmheap_free_bulk(3, p);
	kmheap_free(NULL);
	kmheap_free_sized(NULL, 8);
	kmheap_free_sized(ZERO_SIZE_PTR, 0);
	kmheap_free_sensitive(NULL);
	kmheap_free_sensitive(ZERO_SIZE_PTR);
}

static void alloc_null_heap_is_default(struct kunit *test)
{
	static const size_t sizes[] = { 4, 100, 40000 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = kmheap_alloc(NULL, sizes[i], GFP_KERNEL);
		void *d = kmheap_alloc_data(NULL, sizes[i], GFP_KERNEL);
		void *a = kmheap_alloc_aligned(NULL, sizes[i], 64, GFP_KERNEL);
		void *n = kmheap_alloc_node(NULL, sizes[i], GFP_KERNEL, numa_node_id());
		struct kmheap_object obj;

		expect_object(test, kmh_default_heap, p, sizes[i], kmh_kunit_class_bytes(sizes[i]));
		expect_object(test, kmh_default_heap, a, sizes[i], kmheap_size(a));
		expect_object(test, kmh_default_heap, n, sizes[i], kmh_kunit_class_bytes(sizes[i]));
		KUNIT_ASSERT_TRUE(test, kmheap_lookup(d, &obj));
		KUNIT_EXPECT_PTR_EQ(test, obj.heap, kmh_default_heap);
		kmheap_free(p);
		kmheap_free(d);
		kmheap_free(a);
		kmheap_free(n);
	}
}

/* More objects than one span of each class holds are live at once. */
static void alloc_objects_do_not_overlap(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int class, i;
	void **p;

	p = kunit_kcalloc(test, KMH_CLASS_MAX_NELEMS + 3, sizeof(*p), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	for (class = 1; class < KMH_NR_CLASSES; class++) {
		unsigned int n = kmh_classes[class].nelems + 3;
		size_t bytes = kmh_class_size(class);

		KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, bytes, GFP_KERNEL, n, p), (size_t)n);
		for (i = 0; i < n; i++) {
			if (is_power_of_2(bytes) && !IS_ALIGNED((unsigned long)p[i], bytes))
				KUNIT_FAIL(test, "%zu bytes at %#lx", bytes, (unsigned long)p[i]);
			kmh_kunit_fill(p[i]);
		}
		for (i = 0; i < n; i++)
			if (kmheap_size(p[i]) != bytes || !kmh_kunit_filled(p[i]))
				KUNIT_FAIL(test, "object %u of %zu bytes", i, bytes);
		kmheap_free_bulk(n, p);
	}
}

/* Dirty the slot that the next allocation of @bytes on this CPU gets. Returns the slot. */
static void *dirty(struct kmheap *heap, size_t bytes, bool data)
{
	void *p;

	kmh_kunit_look_again(heap);
	p = data ? kmheap_alloc_data(heap, bytes, GFP_KERNEL) :
		   kmheap_alloc(heap, bytes, GFP_KERNEL);
	if (p)
		memset(p, 0xa5, kmheap_size(p));
	kmheap_free(p);
	kmh_kunit_look_again(heap);
	return p;
}

static void expect_zeroed(struct kunit *test, void *dirty, void *p, size_t bytes)
{
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_PTR_EQ_MSG(test, p, dirty, "%zu bytes: not the object just freed", bytes);
	KUNIT_EXPECT_NULL_MSG(test, memchr_inv(p, 0, kmheap_size(p)), "%zu bytes", bytes);
	kmheap_free(p);
}

/* The case stays on one CPU, so that memory is recycled for certain. */
static void zalloc_recycled_memory(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int class;
	void *was;

	kmh_kunit_stay(test);
	for (class = 1; class < KMH_NR_CLASSES; class++) {
		size_t bytes = kmh_class_size(class) - 3;

		was = dirty(heap, bytes, false);
		expect_zeroed(test, was, kmheap_zalloc(heap, bytes, GFP_KERNEL), bytes);
		was = dirty(heap, bytes, false);
		expect_zeroed(test, was, kmheap_calloc(heap, 1, bytes, GFP_KERNEL), bytes);
		was = dirty(heap, bytes, false);
		expect_zeroed(test, was, kmheap_alloc(heap, bytes, GFP_NOWAIT | __GFP_ZERO), bytes);
		was = dirty(heap, bytes, false);
		expect_zeroed(test, was, kmheap_alloc_node(heap, bytes, GFP_KERNEL | __GFP_ZERO,
							   numa_node_id()), bytes);
		was = dirty(heap, bytes, true);
		expect_zeroed(test, was, kmheap_alloc_data(heap, bytes, GFP_KERNEL | __GFP_ZERO),
			      bytes);
	}
	was = dirty(heap, 100000, false);
	expect_zeroed(test, was, kmheap_zalloc(heap, 100000, GFP_KERNEL), 100000);
}

/* Ways that do not take a slot of the window: a refill, pages of another class, a busy mcache. */
static void zalloc_slow_paths(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, n = 8 * kmh_classes[kmheap_size_class(512)].nelems;
	void **p = kunit_kcalloc(test, n, sizeof(*p), GFP_KERNEL);
	struct kmh_mcache *mc;
	void *q;

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, 512, GFP_KERNEL, n, p), (size_t)n);
	for (i = 0; i < n; i++)
		memset(p[i], 0xa5, 512);
	kmheap_free_bulk(n, p);
	kmh_mcache_drain_all(heap);
	KUNIT_ASSERT_TRUE(test, kmh_mheap_drain_lists(&heap->nodes[numa_node_id()]->mheap));

	for (i = 0; i < n; i++) {
		p[i] = kmheap_zalloc(heap, 500, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		if (memchr_inv(p[i], 0, 512))
			KUNIT_FAIL(test, "object %u is not zero", i);
		memset(p[i], 0xa5, 512);
	}
	kmheap_free_bulk(n, p);

	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	KUNIT_EXPECT_TRUE(test, kmh_mcache_enter(mc));
	q = kmheap_zalloc(heap, 512, GFP_NOWAIT);
	kmh_mcache_leave(mc);
	preempt_enable();
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_EXPECT_NULL(test, memchr_inv(q, 0, 512));
	kmheap_free(q);
}

static void alloc_array_overflow(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	size_t huge = SIZE_MAX / 2;
	void *p;

	OPTIMIZER_HIDE_VAR(huge);
	KUNIT_EXPECT_NULL(test, kmheap_alloc_array(heap, huge, 3, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kmheap_alloc_array(heap, 3, huge, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kmheap_calloc(heap, huge, 4, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kmheap_calloc(heap, 1UL << 32, 1UL << 32, GFP_KERNEL));
	p = kmheap_alloc_array(heap, 10, 30, GFP_KERNEL);
	expect_object(test, heap, p, 300, kmh_kunit_class_bytes(300));
	kmheap_free_sized(p, 300);
	p = kmheap_calloc(heap, 1000, 100, GFP_KERNEL);
	expect_object(test, heap, p, 100000, kmh_kunit_class_bytes(100000));
	KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, kmheap_size(p)));
	kmheap_free_sized(p, 100000);
}

static void alloc_aligned_table(struct kunit *test)
{
	static const size_t sizes[] = {
		1, 8, 24, 48, 64, 100, 200, 512, 1152, 3000, 4096, 5000, 8192, 20000, 32768,
		32769, 100000, 1 << 20,
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	size_t align;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (align = 1; align <= KMH_ALIGN_MAX_BYTES; align <<= 1) {
			void *p = kmheap_alloc_aligned(heap, sizes[i], align, GFP_KERNEL);

			KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%zu at %zu", sizes[i], align);
			KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED((unsigned long)p, align),
					      "%zu at %zu: %#lx", sizes[i], align,
					      (unsigned long)p);
			KUNIT_EXPECT_GE(test, kmheap_size(p), sizes[i]);
			if (kmheap_size(p) <= KMHEAP_MAX_SMALL)
				kmh_kunit_fill(p);
			kmheap_free_sized(p, kmheap_size(p));
		}
	}
	kmh_kunit_shrink(heap);
}

static void alloc_node_of_every_kind(struct kunit *test)
{
	static const size_t sizes[] = { 8, 500, 32768, 50000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;
	int nid;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (nid = NUMA_NO_NODE; nid < (int)nr_node_ids; nid++) {
			void *p = kmheap_alloc_node(heap, sizes[i], GFP_KERNEL | __GFP_ZERO, nid);

			expect_object(test, heap, p, sizes[i], kmh_kunit_class_bytes(sizes[i]));
			KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, kmheap_size(p)));
			if (nid != NUMA_NO_NODE)
				KUNIT_EXPECT_PTR_EQ(test, kmh_span_of((unsigned long)p)->mheap,
						    &heap->nodes[nid]->mheap);
			kmheap_free(p);
			if (nid == NUMA_NO_NODE)
				continue;
			p = kmheap_alloc_node(heap, sizes[i], GFP_KERNEL | __GFP_THISNODE, nid);
			expect_object(test, heap, p, sizes[i], kmh_kunit_class_bytes(sizes[i]));
			kmheap_free(p);
		}
	}
}

static void bulk_stops_at_the_limit(struct kunit *test)
{
	struct kmheap_attr attr = { .limit_bytes = KMH_LIMIT_MIN_BYTES };
	struct kmheap *heap = kmheap_create("kunit-bulk", &attr);
	size_t i, n, max = 600;
	void **p;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	p = kunit_kcalloc(test, max + 1, sizeof(*p), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	n = kmheap_alloc_bulk(heap, 1024, GFP_KERNEL, 10, p);
	KUNIT_EXPECT_EQ(test, n, 10UL);
	n += kmheap_alloc_bulk(heap, 1024, GFP_KERNEL, max - n, p + n);
	KUNIT_EXPECT_GT(test, n, 200UL);
	KUNIT_EXPECT_LT(test, n, max);
	for (i = 0; i < n; i++)
		kmh_kunit_fill(p[i]);
	for (i = 0; i < n; i++)
		if (!kmh_kunit_filled(p[i]))
			KUNIT_FAIL(test, "object %zu", i);
	for (i = n + 1; i < max; i++)
		KUNIT_EXPECT_NULL(test, p[i]);
	p[n] = NULL;
	kmheap_free_bulk(n + 1, p);
	kmheap_destroy(heap);
}

static void memdup_and_strdup(struct kunit *test)
{
	static const char text[] = "a string that is no tiny object";
	struct kmheap *heap = kmh_kunit_heap(test);
	char *long_text = kunit_kmalloc(test, 50000, GFP_KERNEL);
	struct kmheap_object obj;
	char *s;

	KUNIT_ASSERT_NOT_NULL(test, long_text);
	memset(long_text, 'x', 49999);
	long_text[49999] = 0;
	KUNIT_EXPECT_NULL(test, kmheap_strdup(heap, NULL, GFP_KERNEL));
	s = kmheap_strdup(heap, "", GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_STREQ(test, s, "");
	kmheap_free(s);
	s = kmheap_strdup(heap, text, GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_STREQ(test, s, text);
	KUNIT_EXPECT_TRUE(test, kmheap_lookup(s, &obj) && obj.data);
	kmheap_free_sized(s, sizeof(text));
	s = kmheap_strdup(heap, long_text, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, memcmp(s, long_text, 50000), 0);
	kmheap_free_sized(s, 50000);

	s = kmheap_memdup(heap, text, 10, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, memcmp(s, text, 10), 0);
	KUNIT_EXPECT_TRUE(test, kmheap_lookup(s, &obj) && !obj.data);
	kmheap_free_sized(s, 10);
	s = kmheap_memdup(heap, long_text, 50000, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	KUNIT_EXPECT_EQ(test, memcmp(s, long_text, 50000), 0);
	kmheap_free(s);
}

static void free_sensitive_wipes(struct kunit *test)
{
	static const size_t sizes[] = { 8, 100, 5000, 40000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		size_t bytes = kmheap_size(p);

		KUNIT_ASSERT_NOT_NULL(test, p);
		kmh_kunit_fill(p);
		kmheap_free_sensitive(p);
		/* The pages are still mapped: nobody has shrunk the heap. */
		KUNIT_EXPECT_NULL_MSG(test, memchr_inv(p, 0, bytes), "%zu bytes", sizes[i]);
		KUNIT_EXPECT_EQ(test, kmh_live_bytes(p), 0UL);
	}
}

/* Data and objects with pointers live in different spans, whatever their sizes. */
static void data_never_shares_a_span(struct kunit *test)
{
	static const size_t sizes[] = { 4, 8, 12, 13, 64, 100, 1024, 20000, 32768, 40000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < 20; j++) {
			void *d = kmheap_alloc_data(heap, sizes[i], GFP_KERNEL);
			void *p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
			struct kmheap_object od, op;

			KUNIT_ASSERT_TRUE(test, kmheap_lookup(d, &od));
			KUNIT_ASSERT_TRUE(test, kmheap_lookup(p, &op));
			KUNIT_EXPECT_FALSE_MSG(test, op.data, "%zu bytes", sizes[i]);
			KUNIT_EXPECT_TRUE_MSG(test, od.data, "%zu bytes", sizes[i]);
			KUNIT_EXPECT_PTR_NE(test, kmh_span_of((unsigned long)d),
					    kmh_span_of((unsigned long)p));
			KUNIT_EXPECT_NE(test, (unsigned long)d >> KMH_PAGE_SHIFT,
					(unsigned long)p >> KMH_PAGE_SHIFT);
			kmheap_free(j % 2 ? d : p);
			kmheap_free(j % 2 ? p : d);
		}
	}
}

static void hwcache_align_heap(struct kunit *test)
{
	struct kmheap_attr attr = { .flags = KMHEAP_HWCACHE_ALIGN };
	struct kmheap *heap = kmheap_create("kunit-hwcache", &attr);
	size_t line = cache_line_size(), bytes;
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	for (bytes = 1; bytes <= 33000; bytes += 1 + bytes / 7) {
		for (i = 0; i < 4; i++) {
			gfp_t gfp = GFP_KERNEL | (i & 1 ? __GFP_ZERO : 0);
			void *p = i & 2 ? kmheap_alloc_data(heap, bytes, gfp) :
					  kmheap_alloc(heap, bytes, gfp);

			KUNIT_ASSERT_NOT_NULL(test, p);
			KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED((unsigned long)p, line),
					      "%zu bytes at %#lx", bytes, (unsigned long)p);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED(kmheap_size(p), line));
			KUNIT_EXPECT_GE(test, kmheap_size(p), bytes);
			if (i & 1)
				KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, kmheap_size(p)));
			kmh_kunit_fill(p);
			kmheap_free_sized(p, bytes);
		}
	}
	kmh_kunit_no_reports(test);
	kmheap_destroy(heap);
}

#ifdef DEFINE_FREE
static void cleanup_frees(struct kunit *test)
{
	struct kmheap_object obj;
	void *seen;

	{
		struct kmheap *heap __free(kmheap_heap) = kmheap_create("kunit-cleanup", NULL);

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
		{
			void *p __free(kmheap) = kmheap_alloc(heap, 100, GFP_KERNEL);
			void *none __free(kmheap) = NULL;

			KUNIT_ASSERT_NOT_NULL(test, p);
			KUNIT_EXPECT_NULL(test, none);
			seen = p;
		}
		KUNIT_ASSERT_TRUE(test, kmheap_lookup(seen, &obj));
		KUNIT_EXPECT_NE(test, (int)obj.state, (int)KMHEAP_OBJECT_LIVE);
	}
	KUNIT_EXPECT_FALSE(test, kmheap_lookup(seen, &obj));
}
#endif

static void remote_free(void *p)
{
	kmheap_free(p);
}

static void lookup_interior_and_state(struct kunit *test)
{
	static const size_t sizes[] = { 8, 24, 100, 6656, 25088, 32768, 40000, 300000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_object obj;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		size_t bytes = kmheap_size(p), off;

		KUNIT_ASSERT_NOT_NULL(test, p);
		for (off = 0; off < bytes; off += 1 + bytes / 13) {
			KUNIT_ASSERT_TRUE(test, kmheap_lookup(p + off, &obj));
			KUNIT_EXPECT_PTR_EQ(test, obj.base, (void *)p);
			KUNIT_EXPECT_EQ(test, obj.bytes, bytes);
			KUNIT_EXPECT_EQ(test, (int)obj.state, (int)KMHEAP_OBJECT_LIVE);
			if (off)
				KUNIT_EXPECT_EQ(test, kmh_live_bytes(p + off), 0UL);
		}
		KUNIT_EXPECT_TRUE(test, kmheap_lookup(p + bytes - 1, &obj) && obj.base == p);
		KUNIT_EXPECT_FALSE(test, kmheap_lookup(p + bytes, &obj) && obj.base == p);
		kmheap_free(p);
		if (bytes > KMHEAP_MAX_SMALL) {
			KUNIT_EXPECT_FALSE(test, kmheap_lookup(p, &obj));
			continue;
		}
		KUNIT_ASSERT_TRUE(test, kmheap_lookup(p + 5, &obj));
		KUNIT_EXPECT_EQ(test, (int)obj.state, (int)KMHEAP_OBJECT_FREE);
		p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		kmh_kunit_elsewhere(test, remote_free, p);
		KUNIT_ASSERT_TRUE(test, kmheap_lookup(p, &obj));
		KUNIT_EXPECT_NE(test, (int)obj.state, (int)KMHEAP_OBJECT_LIVE);
	}
	KUNIT_EXPECT_FALSE(test, kmheap_lookup(NULL, &obj));
	KUNIT_EXPECT_FALSE(test, kmheap_lookup(&obj, &obj));
	KUNIT_EXPECT_FALSE(test, kmheap_lookup((void *)~0UL, &obj));
}

static struct kunit_case alloc_cases[] = {
	KUNIT_CASE(alloc_every_class_and_boundary),
	KUNIT_CASE(alloc_constant_sizes),
	KUNIT_CASE(alloc_constant_sizes_more),
	KUNIT_CASE(alloc_zero_bytes),
	KUNIT_CASE(alloc_null_heap_is_default),
	KUNIT_CASE(alloc_objects_do_not_overlap),
	KUNIT_CASE(zalloc_recycled_memory),
	KUNIT_CASE(zalloc_slow_paths),
	KUNIT_CASE(alloc_array_overflow),
	KUNIT_CASE(alloc_aligned_table),
	KUNIT_CASE(alloc_node_of_every_kind),
	KUNIT_CASE(bulk_stops_at_the_limit),
	KUNIT_CASE(memdup_and_strdup),
	KUNIT_CASE(free_sensitive_wipes),
	KUNIT_CASE(data_never_shares_a_span),
	KUNIT_CASE(hwcache_align_heap),
#ifdef DEFINE_FREE
	KUNIT_CASE(cleanup_frees),
#endif
	KUNIT_CASE(lookup_interior_and_state),
	{ }
};

static struct kunit_suite alloc_suite = {
	.name = "kmheap_alloc",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = alloc_cases,
};

kunit_test_suite(alloc_suite);
