// SPDX-License-Identifier: GPL-2.0
/* KUnit: figures: in a structure of another size, without memory, and of different moments. */
#include <linux/sizes.h>
#include <linux/string.h>

#include "kunit_util.h"

#define NR_FIELDS	(sizeof(struct kmheap_stats) / sizeof(u64))
#define CANARY		0xa5a5a5a5a5a5a5a5ULL

/* ---- clients that were built with another header */

/* A client gets all the fields of its structure, and nothing is written behind them. */
static void expect_stats_of(struct kunit *test, unsigned int nfields)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	u64 *st = kunit_kcalloc(test, nfields + 1, sizeof(*st), GFP_KERNEL);
	struct kmheap_stats ours;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, st);
	memset(st, 0xa5, (nfields + 1) * sizeof(*st));
	KUNIT_EXPECT_EQ(test, kmheap_stats_sized(heap, st, nfields * sizeof(*st)), 0);
	KUNIT_EXPECT_EQ(test, kmheap_stats(heap, &ours), 0);
	for (i = 0; i < nfields; i++)
		KUNIT_EXPECT_EQ_MSG(test, st[i], i < NR_FIELDS ? ((u64 *)&ours)[i] : 0,
				    "field %u of %u", i, nfields);
	KUNIT_EXPECT_EQ_MSG(test, st[nfields], CANARY, "behind %u fields", nfields);
}

static void stats_of_another_size(struct kunit *test)
{
	static const unsigned int nfields[] = { 0, 1, 14, NR_FIELDS - 1, NR_FIELDS, NR_FIELDS + 9 };
	void *p = kmheap_alloc(kmh_kunit_heap(test), 100, GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_no_worker(kmh_kunit_heap(test));
	for (i = 0; i < ARRAY_SIZE(nfields); i++)
		expect_stats_of(test, nfields[i]);
	kmheap_free(p);
}

static void stats_without_memory(struct kunit *test)
{
	struct kmheap_stats st;

	kmh_kunit_no_worker(kmh_kunit_heap(test));
	memset(&st, 0xa5, sizeof(st));
	atomic_long_set(&kmh_fail_nth, 1);
	KUNIT_EXPECT_EQ(test, kmheap_stats(kmh_kunit_heap(test), &st), -ENOMEM);
	KUNIT_EXPECT_NULL(test, memchr_inv(&st, 0, sizeof(st)));
	KUNIT_EXPECT_EQ(test, kmheap_stats(kmh_kunit_heap(test), &st), 0);
	KUNIT_EXPECT_NE(test, st.footprint_bytes, 0ULL);
}

/* ---- figures of different moments: a walk meets a span that is being recycled */

/* A figure above this bound would be one that has become negative. */
static void expect_sane(struct kunit *test, const char *what)
{
	struct kmheap_stats st;
	unsigned int i;

	KUNIT_ASSERT_EQ(test, kmheap_stats(kmh_kunit_heap(test), &st), 0);
	for (i = 0; i < NR_FIELDS; i++)
		KUNIT_EXPECT_LT_MSG(test, ((u64 *)&st)[i], 1ULL << 31, "field %u, %s", i, what);
}

static void a_span_between_two_lives(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *large = kmheap_alloc(heap, 50000, GFP_KERNEL);
	void *small = kmheap_alloc(heap, 64, GFP_KERNEL);
	struct kmh_mspan *s;
	size_t large_bytes;
	u16 nelems, elemsize;
	u32 npages;

	KUNIT_ASSERT_TRUE(test, large && small);
	kmh_kunit_no_worker(heap);
	s = kmh_span_of((unsigned long)large);
	large_bytes = s->large_bytes;
	s->large_bytes = SZ_1M;		/* of the descriptor's next object */
	expect_sane(test, "large_bytes");
	s->large_bytes = large_bytes;

	s = kmh_span_of((unsigned long)small);
	nelems = s->nelems;
	s->nelems = 1;
	expect_sane(test, "fewer slots");
	s->nelems = nelems;
	elemsize = s->elemsize;
	s->elemsize = 32768;
	expect_sane(test, "larger slots");
	s->elemsize = elemsize;
	npages = s->npages;
	s->npages = 10000;		/* more than the arena has in use */
	expect_sane(test, "more pages");
	s->npages = npages;
	kmheap_free(large);
	kmheap_free(small);
}

/* Pages have become free, or objects live, between one figure and the next. */
static void an_arena_between_two_figures(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *large = kmheap_alloc(heap, 50000, GFP_KERNEL);
	unsigned long nfree;
	struct kmh_arena *a;
	long allocs;

	KUNIT_ASSERT_NOT_NULL(test, large);
	kmh_kunit_no_worker(heap);
	a = kmh_span_of((unsigned long)large)->arena;
	nfree = a->range.nfree;
	WRITE_ONCE(a->range.nfree, a->npages + 1);
	expect_sane(test, "more free pages than there are");
	WRITE_ONCE(a->range.nfree, nfree);

	allocs = atomic_long_read(&heap->large_allocs);
	KUNIT_ASSERT_GT(test, allocs, 0L);
	atomic_long_set(&heap->large_allocs, 0);
	expect_sane(test, "fewer allocations than live objects");
	atomic_long_set(&heap->large_allocs, allocs);
	kmheap_free(large);
}

/* The shelves were filled after the walk had counted the live objects. */
static void a_shelf_that_was_filled_meanwhile(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int kind = kmh_spanclass(kmheap_size_class(64), false), i;
	struct kmh_heap_walk *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, w);
	set_bit(kind, heap->nmi.wanted);
	set_bit(KMH_NR_SPANCLASSES, heap->nmi.wanted);
	kmh_nmi_fill(heap, 0);
	kmh_nmi_walk(heap, w);
	KUNIT_EXPECT_GT(test, w->st.cached_bytes, 0ULL);
	for (i = 0; i < NR_FIELDS; i++)
		KUNIT_EXPECT_LT_MSG(test, ((u64 *)&w->st)[i], 1ULL << 31, "field %u", i);
	for (i = 0; i < KMH_NR_CLASSES; i++) {
		KUNIT_EXPECT_EQ_MSG(test, w->class[i].live, 0ULL, "class %u", i);
		KUNIT_EXPECT_EQ_MSG(test, w->class[i].allocs, 0ULL, "class %u", i);
	}
	KUNIT_EXPECT_EQ(test, w->large_objects, 0ULL);
	kmh_nmi_drain(heap);
}

/*
 * Another CPU is between taking slots out of the free bits and counting them, in a class that it
 * has hardly used.
 */
static void allocs_are_never_less_than_nothing(struct kunit *test)
{
	struct kmh_mcache *mc = kunit_kzalloc(test, sizeof(*mc), GFP_KERNEL);
	unsigned int class = kmh_spanclass(kmh_size_to_class(64), false);

	KUNIT_ASSERT_NOT_NULL(test, mc);
	mc->slot[class].avail = ~0UL;
	KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mc, class), 0UL);
	mc->taken[class] = -3;	/* three entries have gone back to their spans */
	KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mc, class), 0UL);
	mc->taken[class] = BITS_PER_LONG + 1;
	KUNIT_EXPECT_EQ(test, kmh_mcache_allocs(mc, class), 1UL);
}

static struct kunit_case stats_cases[] = {
	KUNIT_CASE(stats_of_another_size),
	KUNIT_CASE(stats_without_memory),
	KUNIT_CASE(a_span_between_two_lives),
	KUNIT_CASE(an_arena_between_two_figures),
	KUNIT_CASE(a_shelf_that_was_filled_meanwhile),
	KUNIT_CASE(allocs_are_never_less_than_nothing),
	{ }
};

static struct kunit_suite stats_suite = {
	.name = "kmheap_stats",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = stats_cases,
};

kunit_test_suite(stats_suite);
