// SPDX-License-Identifier: GPL-2.0
/* KUnit: runs of pages, whose contents are their owner's: nothing else takes them for objects. */
#include <linux/kmsg_dump.h>
#include <linux/string.h>

#include "collect_kunit.h"

static const unsigned long lengths[] = { 1, 2, 3, 5, 8, 16, 17, 64, 100, 255, 256, 257, 400, 700 };

static void *new_run(struct kunit *test, struct kmheap *heap, unsigned long npages)
{
	void *p = kmheap_alloc_pages(heap, npages, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%lu pages", npages);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, KMHEAP_PAGE_SIZE));
	memset(p, (unsigned long)p >> KMH_PAGE_SHIFT, npages * KMHEAP_PAGE_SIZE);
	return p;
}

static bool whole(const void *p, unsigned long npages)
{
	return !memchr_inv(p, (unsigned long)p >> KMH_PAGE_SHIFT, npages * KMHEAP_PAGE_SIZE);
}

/* The figures of a heap that holds @nruns runs of @npages pages in all, and no object. */
static void expect_runs(struct kunit *test, struct kmheap *heap, u64 nruns, u64 npages)
{
	struct kmheap_stats st;

	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.manual_bytes, npages * KMHEAP_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, st.live_bytes, npages * KMHEAP_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.spans, nruns);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 0ULL);
}

static void alloc_every_length(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p[ARRAY_SIZE(lengths)];
	unsigned int i, nruns = 0;
	u64 npages = 0;

	BUILD_BUG_ON(KMHEAP_PAGE_SIZE != KMH_PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		p[i] = new_run(test, heap, lengths[i]);
		npages += lengths[i];
		expect_runs(test, heap, ++nruns, npages);
	}
	kmh_kunit_validate(test);
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		KUNIT_EXPECT_TRUE_MSG(test, whole(p[i], lengths[i]), "%lu pages", lengths[i]);
		kmheap_free_pages(p[i], lengths[i]);
		npages -= lengths[i];
		expect_runs(test, heap, --nruns, npages);
	}
}

/* A run changes no figure of objects, and its allocation does not count as one of an object. */
static void runs_are_no_allocs(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, 100), *large = alloc(test, 50000), *run;
	struct kmheap_stats before, st;

	kmh_kunit_balanced(test, heap, &before);
	run = new_run(test, heap, 7);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.allocs, before.allocs);
	KUNIT_EXPECT_EQ(test, st.frees, before.frees);
	KUNIT_EXPECT_EQ(test, st.live_objects, before.live_objects);
	KUNIT_EXPECT_EQ(test, st.live_bytes, before.live_bytes + 7 * KMHEAP_PAGE_SIZE);
	kmheap_free_pages(run, 7);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.frees, before.frees);
	kmheap_free(p);
	kmheap_free(large);
}

static void lookup_of_a_run(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = new_run(test, heap, 5);
	static const unsigned long offs[] = { 0, 1, 8191, 8192, 30000, 5 * 8192 - 1 };
	struct kmheap_object obj;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(offs); i++) {
		obj = (struct kmheap_object){};
		KUNIT_EXPECT_TRUE(test, kmheap_lookup(p + offs[i], &obj));
		KUNIT_EXPECT_PTR_EQ(test, obj.heap, heap);
		KUNIT_EXPECT_PTR_EQ(test, obj.base, p);
		KUNIT_EXPECT_EQ(test, obj.bytes, 5 * KMHEAP_PAGE_SIZE);
		KUNIT_EXPECT_EQ(test, (int)obj.state, (int)KMHEAP_OBJECT_PAGES);
		KUNIT_EXPECT_EQ(test, kmh_live_bytes(p + offs[i]), 0UL);
	}
	kmheap_free_pages(p, 5);
	KUNIT_EXPECT_FALSE(test, kmheap_lookup(p, &obj));
}

/* ---- misuse */

static void free_run(void *p)
{
	kmheap_free(p);
}

static void free_run_rcu(void *p)
{
	kmheap_free_rcu(p);
}

static void free_run_sized(void *p)
{
	kmheap_free_sized(p, 3 * KMHEAP_PAGE_SIZE);
}

static void free_run_sensitive(void *p)
{
	kmheap_free_sensitive(p);
}

static void free_run_as_none(void *p)
{
	kmheap_free_pages(p, 0);
}

static void free_run_as_2(void *p)
{
	kmheap_free_pages(p, 2);
}

static void free_run_as_3(void *p)
{
	kmheap_free_pages(p, 3);
}

static void free_run_as_4(void *p)
{
	kmheap_free_pages(p, 4);
}

static void realloc_run(void *p)
{
	if (kmheap_realloc(NULL, p, 100, GFP_KERNEL))
		kmh_report_bad_pointer("a run was reallocated", p, _RET_IP_);
}

/* What is freed: an address at @off in a run of three pages, in an object, or in a large one. */
enum whose { RUN, SMALL, LARGE, TINY, FREED_SMALL, FREED_LARGE };

static const struct {
	enum whose whose;
	unsigned long off;
	void (*free)(void *p);
	enum kmh_misuse kind;
} misuses[] = {
	{ RUN, 0, free_run, KMH_INVALID_FREE },
	{ RUN, 8192, free_run, KMH_INVALID_FREE },
	{ RUN, 0, free_run_rcu, KMH_INVALID_FREE },
	{ RUN, 0, free_run_sized, KMH_INVALID_FREE },
	{ RUN, 0, free_run_sensitive, KMH_INVALID_FREE },
	{ RUN, 0, realloc_run, KMH_INVALID_FREE },
	{ RUN, 0, free_run_as_none, KMH_WRONG_SIZE_FREE },
	{ RUN, 0, free_run_as_2, KMH_WRONG_SIZE_FREE },
	{ RUN, 0, free_run_as_4, KMH_WRONG_SIZE_FREE },
	{ RUN, 1, free_run_as_3, KMH_INVALID_FREE },
	{ RUN, 8192, free_run_as_2, KMH_INVALID_FREE },
	{ SMALL, 0, free_run_as_3, KMH_INVALID_FREE },
	{ SMALL, 8, free_run_as_3, KMH_INVALID_FREE },
	{ TINY, 0, free_run_as_3, KMH_INVALID_FREE },
	{ LARGE, 0, free_run_as_3, KMH_INVALID_FREE },
	{ LARGE, 8192, free_run_as_2, KMH_INVALID_FREE },
	{ FREED_SMALL, 0, free_run_as_3, KMH_DOUBLE_FREE },
	{ FREED_LARGE, 0, free_run_as_3, KMH_DOUBLE_FREE },
};

static void misuse_is_reported(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p[] = {
		[RUN] = new_run(test, heap, 3), [SMALL] = alloc(test, 24),
		[LARGE] = alloc(test, 40960), [TINY] = kmheap_alloc_data(heap, 8, GFP_KERNEL),
		[FREED_SMALL] = alloc(test, 24), [FREED_LARGE] = alloc(test, 40960),
	};
	struct kmheap_stats st;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p[TINY]);
	kmheap_free(p[FREED_SMALL]);
	kmheap_free(p[FREED_LARGE]);
	for (i = 0; i < ARRAY_SIZE(misuses); i++) {
		void *at = p[misuses[i].whose] + misuses[i].off;
		struct kmh_report r;

		misuses[i].free(at);
		r = kmh_kunit_reports(test, misuses[i].kind, 1);
		KUNIT_EXPECT_EQ_MSG(test, r.addr, (unsigned long)at, "row %u", i);
	}
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.manual_bytes, 3 * (u64)KMHEAP_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, st.live_objects, 3ULL);
	KUNIT_EXPECT_TRUE(test, whole(p[RUN], 3));
	KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p[SMALL]) && kmh_kunit_filled(p[LARGE]));
	kmheap_free(p[SMALL]);
	kmheap_free(p[LARGE]);
	kmheap_free(p[TINY]);
	kmheap_free_pages(p[RUN], 3);
	kmheap_free_pages(p[RUN], 3);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free_pages(NULL, 3);
	kmheap_free_pages(test, 1);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
}

static void racing_free(void *arg, unsigned int i)
{
	kmheap_free_pages(arg, 40);
}

/* Many threads free one run at the same time: one of them does. */
static void free_by_many_at_once(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int round;

	for (round = 0; round < 20; round++) {
		void *p = new_run(test, heap, 40);

		kmh_kunit_threads(test, 4, racing_free, p);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, 3);
		expect_runs(test, heap, 0, 0);
	}
}

static void absurd_lengths_give_null(struct kunit *test)
{
	static const unsigned long absurd[] = {
		0, ULONG_MAX, ULONG_MAX >> KMH_PAGE_SHIFT, (ULONG_MAX >> KMH_PAGE_SHIFT) + 1,
		1UL << 51, 1UL << 50, 1UL << 40, 1UL << 30,
	};
	struct kmheap *heap = kmh_kunit_heap(test);
	gfp_t gfp = GFP_KERNEL | __GFP_NOWARN;
	struct kmheap_stats before, st;
	unsigned int i;
	void *p;

	kmheap_stats(heap, &before);
	for (i = 0; i < ARRAY_SIZE(absurd); i++) {
		p = kmheap_alloc_pages(heap, absurd[i], gfp);
		KUNIT_EXPECT_NULL_MSG(test, p, "%#lx pages", absurd[i]);
	}
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.footprint_bytes, before.footprint_bytes);
	KUNIT_EXPECT_EQ(test, st.manual_bytes, 0ULL);
	KUNIT_EXPECT_GE(test, st.refused_allocs, 4ULL);
}

/* ---- contents, contexts */

static void zeroed_where_asked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < ARRAY_SIZE(lengths); i++) {
			gfp_t gfp = (i % 2 ? GFP_KERNEL : GFP_NOWAIT) | __GFP_ZERO;
			void *p = new_run(test, heap, lengths[i]);
			size_t bytes = lengths[i] * KMHEAP_PAGE_SIZE;

			kmheap_free_pages(p, lengths[i]);
			p = kmheap_alloc_pages(heap, lengths[i], gfp);
			if (!p)		/* its arena is gone, and it cannot take another */
				KUNIT_EXPECT_GT(test, bytes, kmh_arena_bytes / 2);
			else
				KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, bytes));
			kmheap_free_pages(p, lengths[i]);
		}
	}
}

static void nowait_gets_what_is_there(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats before, st;
	void *p, *first = NULL;

	kmh_kunit_no_worker(heap);
	kmheap_stats(heap, &before);
	while ((p = kmheap_alloc_pages(heap, 3, GFP_NOWAIT))) {
		*(void **)p = first;
		first = p;
	}
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.arenas, before.arenas);
	KUNIT_EXPECT_GT(test, st.manual_bytes, st.free_bytes);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, before.refused_allocs + 1);
	p = kmheap_alloc_pages(heap, 3, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmheap_free_pages(p, 3);
	while ((p = first)) {
		first = *(void **)p;
		kmheap_free_pages(p, 3);
	}
	expect_live(test, heap, 0);
}

/* A free does not wait for the holder of the page heap's lock. */
static void free_under_the_lock(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = new_run(test, heap, 9);
	struct kmh_mheap *mh = where(p)->mheap;
	unsigned long flags;

	raw_spin_lock_irqsave(&mh->lock, flags);
	kmheap_free_pages(p, 9);
	raw_spin_unlock_irqrestore(&mh->lock, flags);
	kmheap_free_pages(p, 9);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmh_kunit_settle(heap);
	expect_runs(test, heap, 0, 0);
}

/* ---- collections and the end of the heap */

static void collections_leave_runs_alone(struct kunit *test)
{
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmheap_create("kunit-collected", &attr);
	void *p[ARRAY_SIZE(lengths)];
	struct collected was;
	unsigned int i, round;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	was = collected_by_now(heap);
	for (i = 0; i < ARRAY_SIZE(lengths) / 2; i++)
		p[i] = new_run(test, heap, lengths[i]);
	for (round = 0; round < 3; round++) {
		filled(test, heap, 50000, false);
		filled(test, heap, 64, false);
		begin(test, heap);
		for (i = ARRAY_SIZE(lengths) / 2; !round && i < ARRAY_SIZE(lengths); i++)
			p[i] = new_run(test, heap, lengths[i]);
		for (i = 0; i < ARRAY_SIZE(lengths); i++)
			KUNIT_EXPECT_FALSE(test, kmheap_mark(heap, p[i]));
		end(test, heap);
		kmheap_rcu_barrier(heap);
		expect_collected(test, heap, &was, 2, 50064);
	}
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		KUNIT_EXPECT_TRUE(test, whole(p[i], lengths[i]));
		kmheap_free_pages(p[i], lengths[i]);
	}
	kmh_kunit_shrink(heap);
	expect_runs(test, heap, 0, 0);
	kmheap_destroy(heap);
}

static bool log_says(struct kmsg_dump_iter from, const char *text)
{
	static char line[1024];
	size_t len;

	while (kmsg_dump_get_line(&from, false, line, sizeof(line) - 1, &len)) {
		line[len] = 0;
		if (strstr(line, text))
			return true;
	}
	return false;
}

/* 35 * 8192 bytes in runs; the object takes 112. */
static const char * const survivors_say[] = {
	"heap kunit-runs destroyed with 3 runs of pages, 286720 bytes (owner kmheap)",
	"heap kunit-runs destroyed with 1 live objects of 112 bytes (owner kmheap)",
	"heap kunit-runs: 1 of 112 bytes",
};

static void destroy_reports_runs(struct kunit *test)
{
	struct kmheap_attr attr = { .owner = THIS_MODULE };
	struct kmheap *heap = kmheap_create("kunit-runs", &attr);
	struct kmsg_dump_iter from;
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	new_run(test, heap, 2);
	kmheap_free_pages(new_run(test, heap, 50), 50);
	new_run(test, heap, 32);
	new_run(test, heap, 1);
	filled(test, heap, 112, false);
	kmsg_dump_rewind(&from);
	from.cur_seq = from.next_seq;
	from.next_seq = U64_MAX;
	kmheap_destroy(heap);
	for (i = 0; i < ARRAY_SIZE(survivors_say); i++)
		KUNIT_EXPECT_TRUE_MSG(test, log_says(from, survivors_say[i]), "%s",
				      survivors_say[i]);
}

static struct kunit_case pages_cases[] = {
	KUNIT_CASE(alloc_every_length),
	KUNIT_CASE(runs_are_no_allocs),
	KUNIT_CASE(lookup_of_a_run),
	KUNIT_CASE(misuse_is_reported),
	KUNIT_CASE(free_by_many_at_once),
	KUNIT_CASE(absurd_lengths_give_null),
	KUNIT_CASE(zeroed_where_asked),
	KUNIT_CASE(nowait_gets_what_is_there),
	KUNIT_CASE(free_under_the_lock),
	KUNIT_CASE(collections_leave_runs_alone),
	KUNIT_CASE(destroy_reports_runs),
	{ }
};

static int pages_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return kmh_kunit_init(test);
}

static struct kunit_suite pages_suite = {
	.name = "kmheap_pages",
	.init = pages_init,
	.exit = kmh_kunit_exit,
	.test_cases = pages_cases,
};

kunit_test_suite(pages_suite);
