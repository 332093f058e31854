// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: each step of each scenario fails once.
 *
 * A scenario runs in a heap of its own, again and again, with the first, second, third
 * allocation in the back end failing, until a run comes through without a failure. A
 * failed call says NULL or -ENOMEM and succeeds when tried again; after each run the
 * books of the module are what they were.
 */
#include <linux/string.h>

#include "kunit_util.h"

#define MOST_STEPS	200

struct faults {
	struct kunit *test;
	struct kmheap *heap;
	long before;			/* failures injected before this run */
	unsigned int nfailed;		/* calls that have failed for that */
	bool retried;			/* the call under way is a second try */
	void *chain;			/* live objects; each holds the next one's address */
};

static bool injected(const struct faults *f)
{
	return atomic_long_read(&kmh_failures_injected) != f->before;
}

/*
 * A call has failed: for the first time in this run, and because a step of it was made to
 * fail.
 */
static void expect_excuse(struct faults *f, const char *what)
{
	if (!injected(f) || f->nfailed)
		KUNIT_FAIL(f->test, "%s failed for no reason", what);
	f->nfailed++;
}

/* A call returned @p: must the scenario repeat the call? */
static bool must_retry(struct faults *f, const void *p, const char *what)
{
	bool retried = f->retried;

	f->retried = !p;
	if (p)
		return false;
	KUNIT_ASSERT_FALSE_MSG(f->test, retried, "%s fails again", what);
	expect_excuse(f, what);
	return true;
}

#define TWICE(_faults, call) ({							\
	struct faults *__f = (_faults);						\
	void *__p;								\
										\
	do {									\
		__p = call;							\
	} while (must_retry(__f, __p, #call));					\
	__p;									\
})

static void keep(struct faults *f, void *p)
{
	*(void **)p = f->chain;
	f->chain = p;
}

static void free_kept(struct faults *f)
{
	void *p;

	while ((p = f->chain)) {
		f->chain = *(void **)p;
		kmheap_free(p);
	}
}

/* ---- scenarios */

static void create_only(struct faults *f)
{
}

static void first_small(struct faults *f)
{
	keep(f, TWICE(f, kmheap_alloc(f->heap, 100, GFP_KERNEL)));
}

/* Spans of each pool of descriptors, then more arenas. */
static void small_grows(struct faults *f)
{
	static const size_t sizes[] = { 8, 16, 64, 512, 8192, 32768 };
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (j = 0; j < 20; j++)
			keep(f, TWICE(f, kmheap_alloc(f->heap, sizes[i], GFP_KERNEL)));
}

static void data_grows(struct faults *f)
{
	unsigned int i;

	for (i = 0; i < 200; i++)
		keep(f, TWICE(f, kmheap_alloc_data(f->heap, 8192, GFP_KERNEL)));
}

static void zeroed_grows(struct faults *f)
{
	unsigned int i;

	for (i = 0; i < 40; i++) {
		u8 *p = TWICE(f, kmheap_zalloc(f->heap, 28672, GFP_KERNEL));

		KUNIT_EXPECT_NULL(f->test, memchr_inv(p, 0, 28672));
		memset(p, 0xff, 28672);
		keep(f, p);
	}
}

static void first_tiny(struct faults *f)
{
	keep(f, TWICE(f, kmheap_alloc_data(f->heap, 8, GFP_KERNEL)));
}

static void tiny_grows(struct faults *f)
{
	unsigned int i;

	keep(f, TWICE(f, kmheap_alloc(f->heap, 200000, GFP_KERNEL)));
	for (i = 0; i < 6000; i++)
		keep(f, TWICE(f, kmheap_alloc_data(f->heap, 8, GFP_KERNEL)));
}

static void first_large(struct faults *f)
{
	keep(f, TWICE(f, kmheap_alloc(f->heap, 100000, GFP_KERNEL)));
}

static void large_grows(struct faults *f)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		keep(f, TWICE(f, kmheap_alloc(f->heap, 1000000, GFP_KERNEL)));
}

static void large_dedicated(struct faults *f)
{
	keep(f, TWICE(f, kmheap_alloc(f->heap, 3 << 20, GFP_KERNEL)));
	keep(f, TWICE(f, kmheap_zalloc(f->heap, 2200000, GFP_KERNEL)));
}

/*
 * A large object lies over several leaves of the arenas map that were never covered. A run
 * whose failure came earlier must not cover them, so this scenario repeats no call.
 */
static void large_over_leaves(struct faults *f)
{
	void *p;

	if (injected(f))
		return;
	p = kmheap_alloc(f->heap, 40 << 20, GFP_KERNEL);
	if (p)
		keep(f, p);
	else
		expect_excuse(f, "kmheap_alloc()");
}

static void aligned_grows(struct faults *f)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		keep(f, TWICE(f, kmheap_alloc_aligned(f->heap, 9000, 512 << 10, GFP_KERNEL)));
	keep(f, TWICE(f, kmheap_alloc_aligned(f->heap, 500, 4096, GFP_KERNEL)));
}

static void node_grows(struct faults *f)
{
	unsigned int i;

	for (i = 0; i < 200; i++)
		keep(f, TWICE(f, kmheap_alloc_node(f->heap, 4000, GFP_KERNEL,
						   nr_node_ids - 1)));
}

static void noio_grows(struct faults *f)
{
	unsigned int i;

	for (i = 0; i < 100; i++)
		keep(f, TWICE(f, kmheap_alloc(f->heap, 8192, GFP_NOIO)));
}

/* An object stays as it was when its new place cannot be had. */
static void realloc_grows(struct faults *f)
{
	static const size_t sizes[] = { 5000, 40000, 250000, 1000000, 3 << 20 };
	u8 *p = TWICE(f, kmheap_zalloc(f->heap, 1000, GFP_KERNEL)), *q;
	size_t bytes = 1000;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(p, 0x5a, bytes);
		q = kmheap_realloc(f->heap, p, sizes[i], GFP_KERNEL);
		if (!q) {
			expect_excuse(f, "kmheap_realloc()");
			KUNIT_EXPECT_GE(f->test, kmheap_size(p), bytes);
			KUNIT_EXPECT_NULL(f->test, memchr_inv(p, 0x5a, bytes));
			q = kmheap_realloc(f->heap, p, sizes[i], GFP_KERNEL);
		}
		KUNIT_ASSERT_NOT_NULL(f->test, q);
		KUNIT_EXPECT_NULL(f->test, memchr_inv(q, 0x5a, bytes));
		p = q;
		bytes = sizes[i];
	}
	keep(f, p);
}

static void bulk_grows(struct faults *f)
{
	void **p = kunit_kcalloc(f->test, 300, sizeof(*p), GFP_KERNEL);
	size_t i, n;

	KUNIT_ASSERT_NOT_NULL(f->test, p);
	n = kmheap_alloc_bulk(f->heap, 4096, GFP_KERNEL, 300, p);
	if (n < 300) {
		expect_excuse(f, "kmheap_alloc_bulk()");
		KUNIT_EXPECT_NULL(f->test, p[n]);
		n += kmheap_alloc_bulk(f->heap, 4096, GFP_KERNEL, 300 - n, p + n);
	}
	KUNIT_EXPECT_EQ(f->test, n, 300UL);
	for (i = 0; i < n; i++)
		keep(f, p[i]);
	kunit_kfree(f->test, p);
}

static void dup_grows(struct faults *f)
{
	char *text = kunit_kzalloc(f->test, 30000, GFP_KERNEL);
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(f->test, text);
	memset(text, 'y', 29999);
	for (i = 0; i < 20; i++) {
		char *s = TWICE(f, kmheap_strdup(f->heap, text, GFP_KERNEL));
		char *m = TWICE(f, kmheap_memdup(f->heap, text, 30000, GFP_KERNEL));

		KUNIT_EXPECT_EQ(f->test, memcmp(s, text, 30000), 0);
		KUNIT_EXPECT_EQ(f->test, memcmp(m, text, 30000), 0);
		keep(f, s);
		keep(f, m);
	}
	kunit_kfree(f->test, text);
}

static void shrink_and_again(struct faults *f)
{
	kmh_kunit_shrink(f->heap);
	keep(f, TWICE(f, kmheap_alloc(f->heap, 100, GFP_KERNEL)));
	free_kept(f);
	kmh_kunit_shrink(f->heap);
	keep(f, TWICE(f, kmheap_alloc_data(f->heap, 8, GFP_KERNEL)));
	keep(f, TWICE(f, kmheap_alloc(f->heap, 100000, GFP_KERNEL)));
}

/* Only the worker has steps that can fail here. */
static void worker_fails(struct faults *f)
{
	struct kmh_node *node;
	unsigned int i;
	int nid = -1;
	void *p;

	while ((node = kmh_next_node(f->heap, &nid)))
		WRITE_ONCE(node->mheap.ahead_after, jiffies);
	for (i = 0; i < 3; i++) {
		while ((p = kmheap_alloc(f->heap, 32768, GFP_NOWAIT))) {
			keep(f, p);
			if (atomic_long_read(&f->heap->arena_bytes) > 3 << 20)
				break;
		}
		kmh_kunit_settle(f->heap);
	}
	kmh_kunit_no_worker(f->heap);
	keep(f, TWICE(f, kmheap_alloc(f->heap, 32768, GFP_KERNEL)));
}

/* Objects of every kind outlive the heap. */
static void survivors_of_every_kind(struct faults *f)
{
	unsigned int i;

	for (i = 0; i < 15; i++) {
		keep(f, TWICE(f, kmheap_alloc(f->heap, 100, GFP_KERNEL)));
		keep(f, TWICE(f, kmheap_alloc_data(f->heap, 8, GFP_KERNEL)));
		keep(f, TWICE(f, kmheap_alloc(f->heap, 50000, GFP_KERNEL)));
	}
	keep(f, TWICE(f, kmheap_alloc(f->heap, 2200000, GFP_KERNEL)));
	f->chain = NULL;
}

/* ---- side data, runs of pages, collections */

static void count_end(void *p, void *arg)
{
	unsigned int *n = arg;

	++*n;
}

static void finalizers_of_every_kind(struct faults *f)
{
	static const size_t sizes[] = { 16, 16, 1000, 50000 };
	unsigned int i, ncalls = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = TWICE(f, kmheap_alloc(f->heap, sizes[i], GFP_KERNEL));
		int err = kmheap_set_finalizer(p, count_end, &ncalls);

		if (err) {
			KUNIT_EXPECT_EQ(f->test, err, -ENOMEM);
			expect_excuse(f, "kmheap_set_finalizer()");
			KUNIT_EXPECT_EQ(f->test, kmheap_set_finalizer(p, NULL, NULL), -ENOENT);
			err = kmheap_set_finalizer(p, count_end, &ncalls);
		}
		KUNIT_EXPECT_EQ(f->test, err, 0);
		keep(f, p);
	}
	free_kept(f);
	kmheap_rcu_barrier(f->heap);
	KUNIT_EXPECT_EQ(f->test, ncalls, (unsigned int)ARRAY_SIZE(sizes));
}

/* -ENOMEM becomes NULL, as the other calls report it. */
static struct kmheap_weak *weak_or_null(struct faults *f, void *p)
{
	struct kmheap_weak *weak = kmheap_weak_create(p);

	if (!IS_ERR(weak))
		return weak;
	KUNIT_EXPECT_EQ(f->test, PTR_ERR(weak), (long)-ENOMEM);
	return NULL;
}

static void weak_handles(struct faults *f)
{
	static const size_t sizes[] = { 16, 16, 50000 };
	struct kmheap_weak *weak[ARRAY_SIZE(sizes)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = TWICE(f, kmheap_alloc(f->heap, sizes[i], GFP_KERNEL));

		weak[i] = TWICE(f, weak_or_null(f, p));
		KUNIT_EXPECT_PTR_EQ(f->test, kmheap_weak_get(weak[i]), p);
		keep(f, p);
	}
	KUNIT_EXPECT_EQ(f->test, atomic_long_read(&f->heap->specials.n), (long)ARRAY_SIZE(sizes));
	free_kept(f);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		KUNIT_EXPECT_NULL(f->test, kmheap_weak_get(weak[i]));
		kmheap_weak_destroy(weak[i]);
	}
}

static void pages_grow(struct faults *f)
{
	static const unsigned long lengths[] = { 1, 20, 30, 100, 200, 300 };
	void *p[ARRAY_SIZE(lengths)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		p[i] = TWICE(f, kmheap_alloc_pages(f->heap, lengths[i], GFP_KERNEL | __GFP_ZERO));
		KUNIT_EXPECT_NULL(f->test, memchr_inv(p[i], 0, lengths[i] * KMHEAP_PAGE_SIZE));
		memset(p[i], 0xff, lengths[i] * KMHEAP_PAGE_SIZE);
	}
	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		kmheap_free_pages(p[i], lengths[i]);
}

/* Marked old objects, garbage and new objects: every other one survives. */
static void collections(struct faults *f)
{
	static const size_t sizes[] = { 8, 1024, 32768, 50000, 300000 };
	unsigned int i, round;

	for (round = 0; round < 3; round++) {
		long was = atomic_long_read(&f->heap->collected);
		void *p;

		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			keep(f, TWICE(f, kmheap_alloc(f->heap, sizes[i], GFP_KERNEL)));
			TWICE(f, kmheap_alloc(f->heap, sizes[i], GFP_KERNEL));
		}
		KUNIT_EXPECT_EQ(f->test, kmheap_collect_begin(f->heap), 0);
		for (p = f->chain; p; p = *(void **)p)
			KUNIT_EXPECT_TRUE(f->test, kmheap_mark(f->heap, p));
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			keep(f, TWICE(f, kmheap_alloc(f->heap, sizes[i], GFP_KERNEL)));
		KUNIT_EXPECT_EQ(f->test, kmheap_collect_end(f->heap), 0);
		keep(f, TWICE(f, kmheap_alloc(f->heap, 100000, GFP_KERNEL)));
		kmheap_rcu_barrier(f->heap);
		KUNIT_EXPECT_EQ(f->test, atomic_long_read(&f->heap->collected) - was,
				(long)ARRAY_SIZE(sizes));
	}
}

/* How many free descriptors a run finds in the pools. */
enum pools {
	POOLS_WARM,		/* plenty */
	POOLS_EMPTY,		/* none: a caller that needs one allocates a chunk */
	POOLS_LOW,		/* the same, and once the heap is made fewer than an arena wants */
};

static const struct scenario {
	const char *name;
	void (*run)(struct faults *f);
	enum pools pools;
	unsigned int flags;		/* of the heap */
} scenarios[] = {
	{ "large over leaves", large_over_leaves },	/* first: others cover leaves too */
	{ "create", create_only, POOLS_EMPTY },
	{ "first small", first_small },
	{ "small grows", small_grows, POOLS_EMPTY },
	{ "data grows", data_grows },
	{ "zeroed grows", zeroed_grows },
	{ "first tiny", first_tiny },
	{ "tiny grows", tiny_grows },
	{ "first large", first_large },
	{ "large grows", large_grows },
	{ "large dedicated", large_dedicated },
	{ "large dedicated, few spans ready", large_dedicated, POOLS_LOW },
	{ "large grows, few spans ready", large_grows, POOLS_LOW },
	{ "aligned grows", aligned_grows },
	{ "node grows", node_grows },
	{ "noio grows", noio_grows },
	{ "realloc grows", realloc_grows },
	{ "bulk grows", bulk_grows },
	{ "dup grows", dup_grows },
	{ "shrink and again", shrink_and_again },
	{ "worker fails", worker_fails },
	{ "survivors", survivors_of_every_kind },
	{ "finalizers", finalizers_of_every_kind },
	{ "weak handles", weak_handles },
	{ "weak handles, collected", weak_handles, POOLS_WARM, KMHEAP_COLLECTED },
	{ "pages grow", pages_grow, POOLS_EMPTY },
	{ "create collected", create_only, POOLS_EMPTY, KMHEAP_COLLECTED },
	{ "small grows, collected", small_grows, POOLS_WARM, KMHEAP_COLLECTED },
	{ "collections", collections, POOLS_EMPTY, KMHEAP_COLLECTED },
};

static void scenario_desc(const struct scenario *s, char *desc)
{
	strscpy(desc, s->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(scenario, scenarios, scenario_desc);

/* ---- running the scenarios */

static struct kmh_mspan *put_hoard(struct kmh_mspan *hoard, unsigned int most)
{
	struct kmh_mspan *s;

	while ((s = hoard) && most--) {
		hoard = s->dead;
		kmh_mspan_put(s);
	}
	return hoard;
}

/* Take all free descriptors, besides @hoard; those of large spans come first in the list. */
static struct kmh_mspan *hoard_spans(struct kmh_mspan *hoard)
{
	static const unsigned int spanclasses[] = {
		KMH_SPANCLASS_TINY, 1 << 1 /* 16 words */, 2 << 1 /* 8 */, 4 << 1 /* 4 */,
		KMH_SPANCLASS_LARGE,
	};
	struct kmh_mspan *s;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(spanclasses); i++) {
		while ((s = kmh_mspan_get(spanclasses[i]))) {
			s->dead = hoard;
			hoard = s;
		}
	}
	return hoard;
}

/* Run @scenario with step @nth failing, or none. Did the run come to that step? */
static bool run_once(struct kunit *test, const struct scenario *scenario, unsigned int nth)
{
	struct faults f = {
		.test = test, .before = atomic_long_read(&kmh_failures_injected),
	};
	struct kmheap_attr attr = { .flags = scenario->flags };
	struct kmh_mspan *hoard = NULL;
	struct kmheap_stats st;
	bool hit;

	atomic_long_set(&kmh_fail_nth, nth);
	f.heap = kmheap_create("kunit-fault", &attr);
	if (IS_ERR(f.heap)) {
		KUNIT_EXPECT_EQ(test, PTR_ERR(f.heap), (long)-ENOMEM);
		expect_excuse(&f, "kmheap_create()");
		f.heap = kmheap_create("kunit-fault", &attr);
	}
	KUNIT_ASSERT_FALSE_MSG(test, IS_ERR_OR_NULL(f.heap),
			       "tried again, kmheap_create() gives %ld", PTR_ERR(f.heap));
	kmh_kunit_no_worker(f.heap);
	if (scenario->pools == POOLS_LOW)
		hoard = put_hoard(hoard_spans(NULL), 2);
	scenario->run(&f);
	atomic_long_set(&kmh_fail_nth, 0);
	hit = injected(&f);
	put_hoard(hoard, UINT_MAX);

	kmh_kunit_validate(test);
	kmh_kunit_balanced(test, f.heap, &st);
	KUNIT_EXPECT_EQ(test, st.double_frees + st.invalid_frees + st.wrong_size_frees, 0ULL);
	free_kept(&f);
	kmheap_destroy(f.heap);
	kmh_kunit_no_reports(test);
	kmh_kunit_validate(test);
	return hit;
}

static void every_step_fails_once(struct kunit *test)
{
	const struct scenario *scenario = test->param_value;
	struct kmh_mspan *hoard = NULL;
	struct kmh_kunit_books before;
	unsigned int nth;

	for (nth = 1; nth <= MOST_STEPS; nth++) {
		bool hit;

		/* What the last run has left there, too: it grows by and by. */
		if (scenario->pools != POOLS_WARM)
			hoard = hoard_spans(hoard);
		kmh_kunit_books(test, &before);
		hit = run_once(test, scenario, nth);
		kmh_kunit_same_books(test, &before);
		if (!hit)
			break;
	}
	put_hoard(hoard, UINT_MAX);
	kunit_info(test, "%s: %u steps\n", scenario->name, nth - 1);
	/*
	 * The least steps: the heap's structure, its name, nodes and mcaches, an arena and
	 * its tables.
	 */
	KUNIT_EXPECT_GE(test, nth - 1, 7U);
	KUNIT_EXPECT_LE(test, nth, (unsigned int)MOST_STEPS);
}

static struct kunit_case faults_cases[] = {
	KUNIT_CASE_PARAM_ATTR(every_step_fails_once, scenario_gen_params,
			      { .speed = KUNIT_SPEED_SLOW }),
	{ }
};

static struct kunit_suite faults_suite = {
	.name = "kmheap_faults",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = faults_cases,
};

kunit_test_suite(faults_suite);
