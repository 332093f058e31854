// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: heaps whose objects KASAN and kmemleak are told of. The cases read KASAN's shadow to
 * see what it would report. That KASAN does report is for selftests/test_kasan.sh, and that
 * kmemleak finds a leak for selftests/test_kmemleak.sh.
 */
#include <linux/kasan.h>
#include <linux/log2.h>
#include <linux/prandom.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "kunit_util.h"

/* May this byte be touched? */
static bool touchable(const void *p)
{
#if KMH_KASAN
	s8 shadow = READ_ONCE(*(s8 *)kasan_mem_to_shadow(p));

	return !shadow || (s8)((unsigned long)p % 8) < shadow;
#else
	return true;
#endif
}

/* The offset of the first byte of @bytes from @p on that is not touchable (@is false: that is). */
static size_t how_long(const void *p, size_t bytes, bool is)
{
	size_t n;

	for (n = 0; n < bytes; n++)
		if (touchable(p + n) != is)
			break;
	return n;
}

static void only_with_kasan(struct kunit *test)
{
	if (!KMH_KASAN)
		kunit_skip(test, "a kernel without KASAN");
}

/* @p has @size bytes, a redzone behind them, and the alignment that @size promises. */
static void expect_object(struct kunit *test, const u8 *p, size_t size)
{
	size_t align = size & -size;

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, how_long(p, size + 1, true), size);
	KUNIT_EXPECT_EQ(test, how_long(p + size, KMH_REDZONE_BYTES, false), KMH_REDZONE_BYTES);
	KUNIT_EXPECT_EQ(test, kmheap_size(p), size);
	if (size > KMHEAP_MAX_SMALL)
		align = min(align, KMH_PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
}

static void expect_gone(struct kunit *test, const void *p, size_t size)
{
	struct kmheap_object obj;

	KUNIT_EXPECT_EQ(test, how_long(p, size, false), size);
	KUNIT_EXPECT_EQ(test, kmh_live_bytes(p), 0UL);
	KUNIT_EXPECT_TRUE(test, !kmheap_lookup(p, &obj) || obj.state != KMHEAP_OBJECT_LIVE);
}

static const size_t sizes[] = {
	1, 2, 3, 4, 7, 8, 9, 12, 13, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 100, 112, 128,
	129, 240, 256, 500, 512, 1000, 1024, 2048, 4096, 5000, 8192, 12000, 16384, 20000, 32752,
	32753, 32767, 32768, 32769, 40960, 65536, 100000, 262144, 1 << 20,
};

static void objects_have_redzones(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;
	u8 *p;

	only_with_kasan(test);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kmheap_alloc(heap, sizes[i], GFP_KERNEL);
		expect_object(test, p, sizes[i]);
		memset(p, 0xa5, sizes[i]);
		kmheap_free(p);
		expect_gone(test, p, sizes[i]);

		p = kmheap_zalloc(heap, sizes[i], GFP_KERNEL);
		expect_object(test, p, sizes[i]);
		KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, sizes[i]));
		kmheap_free_sensitive(p);
		expect_gone(test, p, sizes[i]);

		p = kmheap_alloc_data(heap, sizes[i], GFP_KERNEL);
		expect_object(test, p, sizes[i]);
		kmheap_free_sized(p, sizes[i]);
		expect_gone(test, p, sizes[i]);

		p = kmheap_alloc_node(heap, sizes[i], GFP_KERNEL, numa_node_id());
		expect_object(test, p, sizes[i]);
		kmheap_free(p);
	}
}

/* A size that is a constant is known to the byte, too. */
static void constant_sizes_have_redzones(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	u8 *p = kmheap_alloc(heap, 13, GFP_KERNEL);
	u8 *q = kmheap_zalloc(heap, 4096, GFP_KERNEL);

	only_with_kasan(test);
	expect_object(test, p, 13);
	expect_object(test, q, 4096);
	kmheap_free_sized(p, 13);
	kmheap_free_sized(q, 4096);
	expect_gone(test, p, 13);
	expect_gone(test, q, 4096);
}

static void aligned_objects_have_redzones(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	size_t size, align;
	u8 *p;

	only_with_kasan(test);
	for (align = 8; align <= KMH_ALIGN_MAX_BYTES; align <<= 1) {
		for (size = 5; size < 100000; size = size * 3 + 1) {
			p = kmheap_alloc_aligned(heap, size, align, GFP_KERNEL);
			expect_object(test, p, size);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
			kmheap_free_sized(p, size);
		}
	}
}

static void copies_and_bulks_have_redzones(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p[10];
	char *s = kmheap_strdup(heap, "thirteen byte", GFP_KERNEL);
	u8 *q = kmheap_memdup(heap, s, 14, GFP_KERNEL);
	unsigned int i;

	only_with_kasan(test);
	expect_object(test, s, 14);
	expect_object(test, q, 14);
	KUNIT_EXPECT_STREQ(test, (char *)q, "thirteen byte");
	q = kmheap_realloc(heap, q, 77, GFP_KERNEL);
	expect_object(test, q, 77);
	KUNIT_EXPECT_STREQ(test, (char *)q, "thirteen byte");
	kmheap_free(q);
	kmheap_free(s);
	KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, 100, GFP_KERNEL | __GFP_ZERO, 10, p), 10UL);
	for (i = 0; i < 10; i++)
		expect_object(test, p[i], 100);
	kmheap_free_bulk(10, p);
	for (i = 0; i < 10; i++)
		expect_gone(test, p[i], 100);
}

static void *resize(struct kunit *test, void *p, size_t size)
{
	p = kmheap_realloc(NULL, p, size, GFP_KERNEL);
	expect_object(test, p, size);
	return p;
}

/* The redzone follows the size, as far as there is room; bytes that are added are clean. */
static void resizing_moves_the_redzone(struct kunit *test)
{
	static const size_t both[] = { 100, 50000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;

	only_with_kasan(test);
	for (i = 0; i < ARRAY_SIZE(both); i++) {
		size_t size = both[i], half = size / 2, slot;
		u8 *p = kmheap_alloc(heap, size, GFP_KERNEL);
		const struct kmh_mspan *s = kmh_span_of((unsigned long)p);

		KUNIT_ASSERT_NOT_NULL(test, p);
		slot = s->elemsize ?: s->npages << KMH_PAGE_SHIFT;
		memset(p, 0xa5, size);
		KUNIT_EXPECT_PTR_EQ(test, resize(test, p, half), (void *)p);
		KUNIT_EXPECT_EQ(test, how_long(p + half, slot - half, false), slot - half);
		KUNIT_EXPECT_PTR_EQ(test, resize(test, p, size), (void *)p);
		KUNIT_EXPECT_NULL(test, memchr_inv(p, 0xa5, half));
		KUNIT_EXPECT_NULL(test, memchr_inv(p + half, 0, size - half));
		KUNIT_EXPECT_PTR_EQ(test, resize(test, p, slot - 16), (void *)p);
		KUNIT_EXPECT_PTR_NE(test, resize(test, p, slot - 15), (void *)p);
		expect_gone(test, p, slot);
	}
	kmheap_rcu_barrier(heap);
}

/* An object whose new size promises more alignment than it has moves, though it has room. */
static void resizing_keeps_alignment(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p[8];
	unsigned int i;

	only_with_kasan(test);
	KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, 60, GFP_KERNEL, 8, p), 8UL);
	for (i = 0; i < 8; i++)
		p[i] = resize(test, p[i], 64);
	kmheap_free_bulk(8, p);
}

/* Every size that an object has had is right for its free, as without KASAN any of its class is. */
static void resized_objects_have_many_sizes(struct kunit *test)
{
	static const size_t both[] = { 100, 50000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, j;

	only_with_kasan(test);
	for (i = 0; i < ARRAY_SIZE(both); i++) {
		size_t ok[] = { both[i], both[i] / 2 };

		for (j = 0; j < 2; j++) {
			void *p = resize(test, kmheap_alloc(heap, both[i], GFP_KERNEL),
					 both[i] / 2);

			kmheap_free_sized(p, both[i] * 2);
			kmh_kunit_reports(test, KMH_WRONG_SIZE_FREE, 1);
			kmheap_free_sized(p, 0);
			kmh_kunit_reports(test, KMH_WRONG_SIZE_FREE, 1);
			expect_object(test, p, both[i] / 2);
			kmheap_free_sized(p, ok[j]);
			expect_gone(test, p, both[i]);
		}
	}
}

static void page_runs_are_open(struct kunit *test)
{
	u8 *p = kmheap_alloc_pages(kmh_kunit_heap(test), 3, GFP_KERNEL);

	only_with_kasan(test);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, how_long(p, 3 * KMH_PAGE_SIZE, true), 3 * KMH_PAGE_SIZE);
	kmheap_free_pages(p, 3);
	expect_gone(test, p, 3 * KMH_PAGE_SIZE);
}

static void size_must_be_exact(struct kunit *test)
{
	u8 *p = kmheap_alloc(kmh_kunit_heap(test), 100, GFP_KERNEL);

	only_with_kasan(test);
	kmheap_free_sized(p, 99);
	kmh_kunit_reports(test, KMH_WRONG_SIZE_FREE, 1);
	kmheap_free_sized(p, 101);
	kmh_kunit_reports(test, KMH_WRONG_SIZE_FREE, 1);
	expect_object(test, p, 100);
	kmheap_free_sized(p, 100);
	expect_gone(test, p, 100);
}

/* ---- quarantine */

static size_t quarantined(struct kmheap *heap)
{
	return heap->sanitize.quarantine.bytes;
}

static void quarantine_holds_what_was_freed(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = kmheap_alloc(heap, 100, GFP_KERNEL), *q[64];
	unsigned int i;

	only_with_kasan(test);
	kmheap_free(p);
	KUNIT_EXPECT_GE(test, quarantined(heap), 116UL);
	for (i = 0; i < ARRAY_SIZE(q); i++) {
		q[i] = kmheap_alloc(heap, 100, GFP_KERNEL);
		KUNIT_EXPECT_PTR_NE(test, q[i], p);
	}
	expect_gone(test, p, 100);
	kmheap_free(p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free_rcu(p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free(p + 8);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmheap_free_bulk(ARRAY_SIZE(q), q);
}

static void quarantine_is_bounded_and_fair(struct kunit *test)
{
	size_t limit = (size_t)kmh_quarantine_kib << 10, most = 0;
	struct kmheap *heap = kmh_kunit_heap(test);
	void *first = kmheap_alloc(heap, 1000, GFP_KERNEL), *p;
	unsigned long n = 0, again = 0;
	struct kmheap_stats st;

	only_with_kasan(test);
	kmheap_free(first);
	for (; n < 4 * limit / 1000; n++) {
		p = kmheap_alloc(heap, 1000, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		/* An object is not used again before about @limit bytes were freed after it. */
		if (p == first && !again)
			again = n;
		kmheap_free(p);
		most = max(most, quarantined(heap));
	}
	KUNIT_EXPECT_LE(test, most, limit);
	KUNIT_EXPECT_GT(test, most, limit - 2000);
	KUNIT_EXPECT_GT(test, again, limit / 1200);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_LE(test, st.live_objects, limit / 1016);
}

static void quarantine_is_drained_by(struct kunit *test, void (*how)(struct kmheap *heap))
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		kmheap_free(kmheap_alloc(heap, sizes[i], GFP_KERNEL));
	KUNIT_EXPECT_GT(test, quarantined(heap), 0UL);
	how(heap);
	KUNIT_EXPECT_EQ(test, quarantined(heap), 0UL);
	kmh_kunit_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
}

static void how_shrink(struct kmheap *heap)
{
	kmh_kunit_shrink(heap);
}

static void quarantine_is_drained(struct kunit *test)
{
	only_with_kasan(test);
	quarantine_is_drained_by(test, how_shrink);
	quarantine_is_drained_by(test, kmheap_rcu_barrier);
}

static unsigned int fill_up(struct kmheap *heap, void **p, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		p[i] = kmheap_alloc(heap, 2000, GFP_KERNEL);
		if (!p[i])
			break;
	}
	return i;
}

/* Objects in quarantine are used before an allocation is refused. */
static void quarantine_gives_way(struct kunit *test)
{
	void **p = kunit_kcalloc(test, 1000, sizeof(*p), GFP_KERNEL);
	struct kmheap *heap;
	unsigned int n, again;

	only_with_kasan(test);
	kmh_sanitize_heaps = true;
	heap = kmheap_create("tight", &(struct kmheap_attr){ .limit_bytes = 1 << 20 });
	kmh_sanitize_heaps = false;
	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	n = fill_up(heap, p, 1000);
	kmheap_free_bulk(n, p);
	KUNIT_EXPECT_GT(test, quarantined(heap), 0UL);
	again = fill_up(heap, p, 1000);
	/* Arenas of other sizes hold a few objects more or less. */
	KUNIT_EXPECT_GE(test, again, n / 10 * 9);
	kmheap_free_bulk(again, p);
	kmheap_destroy(heap);
}

/* ---- deferred frees, collections, bulk */

static void readers_may_look_until_the_grace_period(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	u8 *small = kmheap_zalloc(heap, 50, GFP_KERNEL);
	u8 *large = kmheap_zalloc(heap, 50000, GFP_KERNEL);

	only_with_kasan(test);
	rcu_read_lock();
	kmheap_free_rcu(small);
	kmheap_free_rcu(large);
	KUNIT_EXPECT_EQ(test, how_long(small, 51, true), 50UL);
	KUNIT_EXPECT_EQ(test, how_long(large, 50001, true), 50000UL);
	KUNIT_EXPECT_EQ(test, READ_ONCE(small[49]) + READ_ONCE(large[49999]), 0);
	rcu_read_unlock();
	kmheap_rcu_barrier(heap);
	expect_gone(test, small, 50);
	expect_gone(test, large, 50000);
}

static void garbage_is_poisoned(struct kunit *test)
{
	struct kmheap *heap;
	void *kept, *dropped, *freed;

	only_with_kasan(test);
	kmh_sanitize_heaps = true;
	heap = kmheap_create("collected", &(struct kmheap_attr){ .flags = KMHEAP_COLLECTED });
	kmh_sanitize_heaps = false;
	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	kept = kmheap_alloc(heap, 200, GFP_KERNEL);
	dropped = kmheap_alloc(heap, 200, GFP_KERNEL);
	freed = kmheap_alloc(heap, 200, GFP_KERNEL);
	kmheap_free(freed);
	expect_gone(test, freed, 200);
	KUNIT_ASSERT_EQ(test, kmheap_collect_begin(heap), 0);
	kmheap_mark(heap, kept);
	KUNIT_ASSERT_EQ(test, kmheap_collect_end(heap), 0);
	kmheap_rcu_barrier(heap);
	expect_object(test, kept, 200);
	expect_gone(test, dropped, 200);
	kmheap_free(kept);
	kmheap_destroy(heap);
}

static void finalizer(void *p, void *arg)
{
	*(u32 *)arg = *(u32 *)p;
}

static void finalizers_read_the_object(struct kunit *test)
{
	static const size_t both[] = { 60, 60000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;

	only_with_kasan(test);
	for (i = 0; i < ARRAY_SIZE(both); i++) {
		u32 *p = kmheap_alloc(heap, both[i], GFP_KERNEL), got = 0;

		KUNIT_ASSERT_NOT_NULL(test, p);
		*p = 0xc0ffee;
		KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(p, finalizer, &got), 0);
		kmheap_free(p);
		kmheap_rcu_barrier(heap);
		KUNIT_EXPECT_EQ(test, got, 0xc0ffeeU);
		expect_gone(test, p, both[i]);
	}
}

/* ---- everything at once */

#define STRESS_OBJECTS	24U
#define STRESS_STEPS	400U

struct stress {
	struct kmheap *heap;
	atomic_t nbad;
};

static void stress_step(struct stress *st, struct rnd_state *rnd, void **p)
{
	size_t size = 4 + prandom_u32_state(rnd) % (prandom_u32_state(rnd) % 32 ? 600 : 40000);

	if (*p) {
		if (!kmh_kunit_filled(*p))
			atomic_inc(&st->nbad);
		if (prandom_u32_state(rnd) % 8)
			kmheap_free(*p);
		else
			kmheap_free_rcu(*p);
	}
	*p = prandom_u32_state(rnd) % 4 ? kmheap_alloc(st->heap, size, GFP_KERNEL) :
					  kmheap_alloc_data(st->heap, size, GFP_ATOMIC);
	if (*p)
		kmh_kunit_fill(*p);
}

static void stress_thread(void *arg, unsigned int i)
{
	void *p[STRESS_OBJECTS] = {};
	struct stress *st = arg;
	struct rnd_state rnd;
	unsigned int n;

	prandom_seed_state(&rnd, 1000 + i);
	for (n = 0; n < STRESS_STEPS; n++)
		stress_step(st, &rnd, &p[prandom_u32_state(&rnd) % STRESS_OBJECTS]);
	kmheap_free_bulk(STRESS_OBJECTS, p);
}

/* KASAN checks every access of the threads and of kmheap itself. */
static void threads_never_trip(struct kunit *test)
{
	struct stress st = { .heap = kmh_kunit_heap(test) };
	struct kmheap_stats stats;

	kmh_kunit_threads(test, 4, stress_thread, &st);
	KUNIT_EXPECT_EQ(test, atomic_read(&st.nbad), 0);
	kmheap_rcu_barrier(st.heap);
	kmh_kunit_stats(st.heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.live_objects, 0ULL);
}

struct swap {
	struct kmheap *heap;
	void *p;
};

static void swap_in_interrupt(void *arg)
{
	struct swap *in = arg;

	kmheap_free(in->p);
	in->p = kmheap_alloc(in->heap, 40, GFP_ATOMIC);
}

static void interrupts_take_part(struct kunit *test)
{
	struct swap in = { .heap = kmh_kunit_heap(test) };
	void *was;

	in.p = kmheap_alloc(in.heap, 40, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, in.p);
	was = in.p;
	kmh_kunit_elsewhere(test, swap_in_interrupt, &in);
	KUNIT_ASSERT_NOT_NULL(test, in.p);
	if (KMH_KASAN) {
		expect_gone(test, was, 40);
		expect_object(test, in.p, 40);
	}
	kmheap_free(in.p);
}

/* kmemleak has locks that an NMI cannot take. */
static void nmi_is_refused_with_kmemleak(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;
	unsigned long flags;
	void *p;

	if (!KMH_KMEMLEAK)
		kunit_skip(test, "a kernel without kmemleak");
	local_irq_save(flags);
	__preempt_count_add(NMI_OFFSET);
	p = kmheap_alloc(heap, 40, GFP_ATOMIC);
	__preempt_count_sub(NMI_OFFSET);
	local_irq_restore(flags);
	KUNIT_EXPECT_NULL(test, p);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 1ULL);
	KUNIT_EXPECT_EQ(test, st.reserve_refused_nmi, 1ULL);
}

/* The heap of a case is sanitized, as every heap is where no suites are built. */
static int sanitize_init(struct kunit *test)
{
	int err;

	kmh_sanitize_heaps = true;
	err = kmh_kunit_init(test);
	kmh_sanitize_heaps = false;
	return err;
}

static struct kunit_case sanitize_cases[] = {
	KUNIT_CASE(objects_have_redzones),
	KUNIT_CASE(constant_sizes_have_redzones),
	KUNIT_CASE(aligned_objects_have_redzones),
	KUNIT_CASE(copies_and_bulks_have_redzones),
	KUNIT_CASE(resizing_moves_the_redzone),
	KUNIT_CASE(resizing_keeps_alignment),
	KUNIT_CASE(resized_objects_have_many_sizes),
	KUNIT_CASE(page_runs_are_open),
	KUNIT_CASE(size_must_be_exact),
	KUNIT_CASE(quarantine_holds_what_was_freed),
	KUNIT_CASE(quarantine_is_bounded_and_fair),
	KUNIT_CASE(quarantine_is_drained),
	KUNIT_CASE(quarantine_gives_way),
	KUNIT_CASE(readers_may_look_until_the_grace_period),
	KUNIT_CASE(garbage_is_poisoned),
	KUNIT_CASE(finalizers_read_the_object),
	KUNIT_CASE(threads_never_trip),
	KUNIT_CASE(interrupts_take_part),
	KUNIT_CASE(nmi_is_refused_with_kmemleak),
	{}
};

static struct kunit_suite sanitize_suite = {
	.name = "kmheap_sanitize",
	.init = sanitize_init,
	.exit = kmh_kunit_exit,
	.test_cases = sanitize_cases,
};

kunit_test_suite(sanitize_suite);
