// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: what is allocated while a collection is under way survives that collection, by
 * whichever way it was allocated, and is garbage for the next one.
 */
#include <linux/irq_work.h>

#include "collect_kunit.h"

#define BYTES		64U
#define NR_SLOTS	128U
#define SPANCLASS	kmh_spanclass(kmheap_size_class(BYTES), false)

/* One way to allocate. What stands in @old is garbage, unless it was freed before. */
struct black {
	struct kunit *test;
	struct kmheap *heap;
	void *old[2 * NR_SLOTS];
	void *new[2 * NR_SLOTS];
	unsigned int nold, nnew;
	const void *span;	/* where new objects should come from; NULL: anywhere */
};

static void add_old(struct black *b, unsigned int n)
{
	while (n--)
		b->old[b->nold++] = filled(b->test, b->heap, BYTES, false);
	b->span = where(b->old[b->nold - 1]);
}

static void add_new(struct black *b, void *p)
{
	KUNIT_ASSERT_NOT_NULL(b->test, p);
	KUNIT_EXPECT_TRUE_MSG(b->test, marked(p), "a white object");
	if (b->span)
		KUNIT_EXPECT_PTR_EQ_MSG(b->test, where(p), b->span, "another span");
	kmh_kunit_fill(p);
	b->new[b->nnew++] = p;
}

static void alloc_new(struct black *b)
{
	add_new(b, kmheap_alloc(b->heap, BYTES, GFP_KERNEL));
}

static void free_old(struct black *b, unsigned int from, unsigned int to)
{
	for (; from < to; from++)
		kmheap_free(b->old[from]);
}

/* ---- before the collection begins */

static void nothing(struct black *b)
{
}

static void some(struct black *b)
{
	add_old(b, 5);
}

static void some_uncached(struct black *b)
{
	add_old(b, 5);
	kmh_mcache_drain_all(b->heap);
}

static void full(struct black *b)
{
	add_old(b, NR_SLOTS);
	KUNIT_ASSERT_PTR_EQ(b->test, where(b->old[0]), b->span);
}

static void full_uncached(struct black *b)
{
	full(b);
	kmh_mcache_drain_all(b->heap);
	KUNIT_EXPECT_EQ(b->test, atomic_read(&where(b->old[0])->home), (int)KMH_HOME_LISTED);
}

static void full_announced(struct black *b)
{
	full_uncached(b);
	free_old(b, 3, 5);
}

static void full_deferred(struct black *b)
{
	full_uncached(b);
	kmheap_free_rcu(b->old[7]);
}

static void alloc_old_here(void *arg)
{
	struct black *b = arg;

	b->old[b->nold++] = kmheap_alloc(b->heap, BYTES, GFP_ATOMIC);
}

static void some_elsewhere(struct black *b)
{
	kmh_kunit_elsewhere(b->test, alloc_old_here, b);
	KUNIT_ASSERT_NOT_NULL(b->test, b->old[0]);
	b->span = where(b->old[0]);
}

/* ---- meanwhile */

static void alloc_one_object(struct black *b)
{
	alloc_new(b);
}

/*
 * Objects from the cached span and several fresh ones, whose pages are partly those that went
 * back.
 */
static void alloc_many(struct black *b)
{
	unsigned int i;

	b->span = NULL;
	for (i = 0; i < ARRAY_SIZE(b->new); i++)
		alloc_new(b);
}

/* One slot is free: that of the object freed meanwhile. */
static void free_and_alloc(struct black *b)
{
	unsigned int i;

	for (i = 0; i < 70; i += 23) {
		kmheap_free(b->old[i]);
		alloc_new(b);
		KUNIT_EXPECT_PTR_EQ(b->test, b->new[b->nnew - 1], b->old[i]);
	}
}

static void free_elsewhere(void *arg)
{
	struct black *b = arg;

	free_old(b, 10, 12);
}

static void free_elsewhere_and_alloc(struct black *b)
{
	kmh_kunit_elsewhere(b->test, free_elsewhere, b);
	alloc_new(b);
	alloc_new(b);
}

static void expire_and_alloc(struct black *b)
{
	kmheap_free_rcu(b->old[60]);
	kmheap_rcu_barrier(b->heap);
	alloc_new(b);
}

static void barrier_and_alloc(struct black *b)
{
	kmheap_rcu_barrier(b->heap);
	alloc_new(b);
}

static void empty_and_alloc(struct black *b)
{
	free_old(b, 0, b->nold);
	kmh_kunit_shrink(b->heap);
	alloc_many(b);
}

/* Allocate as an interrupt does that arrives while this CPU is in its mcache section. */
static void nested(struct black *b)
{
	struct kmh_mcache *mc;
	unsigned int i;
	void *p[3];

	preempt_disable();
	mc = this_mcache(b->heap);
	kmh_mcache_enter(mc);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = kmheap_alloc(b->heap, BYTES, GFP_ATOMIC);
	kmh_mcache_leave(mc);
	preempt_enable();
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		add_new(b, p[i]);
		KUNIT_EXPECT_NULL(b->test, where(p[i])->owner);
	}
}

static void nested_elsewhere_spans(struct black *b)
{
	b->span = NULL;
	nested(b);
}

static void alloc_here(void *arg)
{
	struct black *b = arg;

	b->new[b->nnew] = kmheap_alloc(b->heap, BYTES, GFP_ATOMIC);
}

static void elsewhere(struct black *b)
{
	kmh_kunit_elsewhere(b->test, alloc_here, b);
	add_new(b, b->new[b->nnew]);
}

static void large(struct black *b)
{
	add_new(b, kmheap_alloc(b->heap, 32769, GFP_KERNEL));
	add_new(b, kmheap_alloc_data(b->heap, 100000, GFP_KERNEL));
	add_new(b, kmheap_alloc_aligned(b->heap, 9000, 65536, GFP_KERNEL));
	add_new(b, kmheap_alloc(b->heap, 3 << 20, GFP_KERNEL));
}

static void all_kinds(struct black *b)
{
	static const size_t bytes[] = { 1, 8, 12, 16, 100, 1000, 4096, 10000, 32768 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bytes); i++) {
		add_new(b, kmheap_alloc(b->heap, bytes[i], GFP_KERNEL));
		add_new(b, kmheap_alloc_data(b->heap, bytes[i], GFP_KERNEL | __GFP_ZERO));
	}
	add_new(b, kmheap_strdup(b->heap, "black", GFP_KERNEL));
	add_new(b, kmheap_memdup(b->heap, bytes, sizeof(bytes), GFP_KERNEL));
	add_new(b, kmheap_alloc_aligned(b->heap, 500, 4096, GFP_KERNEL));
	add_new(b, kmheap_alloc_node(b->heap, 500, GFP_KERNEL, nr_node_ids - 1));
}

static const struct way {
	const char *name;
	void (*before)(struct black *b);
	void (*meanwhile)(struct black *b);
} ways[] = {
	{ "from a span that was cached before", some, alloc_one_object },
	{ "from a listed span", some_uncached, alloc_one_object },
	{ "from a fresh span", nothing, alloc_one_object },
	{ "of all kinds", nothing, all_kinds },
	{ "from span to span", some, alloc_many },
	{ "from freed pages", full, empty_and_alloc },
	{ "from slots freed meanwhile", full, free_and_alloc },
	{ "from slots freed meanwhile, listed", full_uncached, free_and_alloc },
	{ "from slots freed elsewhere", full, free_elsewhere_and_alloc },
	{ "from slots freed elsewhere, listed", full_uncached, free_elsewhere_and_alloc },
	{ "from an announced span", full_announced, alloc_one_object },
	{ "from a slot that expires meanwhile", full, expire_and_alloc },
	{ "from one, listed", full_uncached, expire_and_alloc },
	{ "from one that was deferred before", full_deferred, barrier_and_alloc },
	{ "nested, from a listed span", some_uncached, nested },
	{ "nested, from a fresh span", some, nested_elsewhere_spans },
	{ "nested, before anything else", nothing, nested },
	{ "on another CPU", nothing, elsewhere },
	{ "on another CPU, cached before", some_elsewhere, elsewhere },
	{ "large", nothing, large },
};

static void way_desc(const struct way *w, char *desc)
{
	strscpy(desc, w->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(way, ways, way_desc);

static struct black *black_new(struct kunit *test)
{
	struct black *b = kunit_kzalloc(test, sizeof(*b), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, b);
	b->test = test;
	b->heap = kmh_kunit_heap(test);
	return b;
}

/* All new objects live and all old ones are gone; the next collection takes the new ones. */
static void expect_black(struct black *b)
{
	unsigned int i, j, nreused = 0;

	kmheap_rcu_barrier(b->heap);
	for (i = 0; i < b->nnew; i++) {
		KUNIT_EXPECT_TRUE_MSG(b->test, kmh_kunit_filled(b->new[i]), "object %u", i);
		for (j = 0; j < b->nold; j++)
			nreused += b->old[j] == b->new[i];
	}
	for (j = 0, i = 0; j < b->nold; j++)
		i += live(b->old[j]);
	KUNIT_EXPECT_EQ(b->test, i, nreused);
	expect_live(b->test, b->heap, b->nnew);
	kmh_kunit_validate(b->test);
	collect_all(b->test, b->heap);
}

static void alloc_while_marking(struct kunit *test)
{
	const struct way *w = test->param_value;
	struct black *b = black_new(test);

	w->before(b);
	begin(test, b->heap);
	w->meanwhile(b);
	end(test, b->heap);
	expect_black(b);
}

/* ---- between the end and the sweep */

static void alloc_before_the_sweep(struct kunit *test)
{
	struct black *b = black_new(test);
	work_func_t sweeper = stop_sweeper(b->heap);
	unsigned int i;

	add_old(b, 5);
	begin(test, b->heap);
	alloc_new(b);
	end(test, b->heap);
	KUNIT_EXPECT_TRUE(test, stale(b->span));
	for (i = 0; i < 10; i++)
		alloc_new(b);
	KUNIT_EXPECT_TRUE_MSG(test, stale(b->span), "swept too soon to tell");
	KUNIT_EXPECT_TRUE(test, live(b->old[0]));
	expect_black(b);
	start_sweeper(b->heap, sweeper);
}

/*
 * Fresh spans and large objects are younger than the generation: they need no mark and no
 * sweep.
 */
static void alloc_fresh_before_the_sweep(struct kunit *test)
{
	static const size_t bytes[] = { 16, 1000, 32768, 32769, 200000, 3 << 20 };
	struct black *b = black_new(test);
	work_func_t sweeper = stop_sweeper(b->heap);
	unsigned int i;

	add_old(b, NR_SLOTS);
	begin(test, b->heap);
	end(test, b->heap);
	for (i = 0; i < ARRAY_SIZE(bytes); i++)
		b->new[b->nnew++] = filled(test, b->heap, bytes[i], i % 2);
	expect_black(b);
	start_sweeper(b->heap, sweeper);
}

/* A nested allocation takes a listed span, which has to be swept first. */
static void alloc_nested_before_the_sweep(struct kunit *test)
{
	struct black *b = black_new(test);
	work_func_t sweeper = stop_sweeper(b->heap);
	struct kmh_mcache *mc;
	unsigned int i;

	add_old(b, 5);
	kmh_mcache_drain_all(b->heap);
	begin(test, b->heap);
	end(test, b->heap);
	preempt_disable();
	mc = this_mcache(b->heap);
	kmh_mcache_enter(mc);
	for (i = 0; i < 20; i++)
		b->new[b->nnew++] = kmheap_alloc(b->heap, BYTES, GFP_ATOMIC);
	kmh_mcache_leave(mc);
	preempt_enable();
	for (i = 0; i < b->nnew; i++) {
		KUNIT_ASSERT_NOT_NULL(test, b->new[i]);
		KUNIT_EXPECT_PTR_EQ(test, (const void *)where(b->new[i]), b->span);
		kmh_kunit_fill(b->new[i]);
	}
	expect_black(b);
	start_sweeper(b->heap, sweeper);
}

/* A slot is freed and allocated again in a span that waits for its sweep. */
static void alloc_freed_before_the_sweep(struct kunit *test)
{
	struct black *b = black_new(test);
	work_func_t sweeper = stop_sweeper(b->heap);
	unsigned int i;

	full(b);
	begin(test, b->heap);
	end(test, b->heap);
	free_old(b, 100, 101);
	for (i = 0; i < NR_SLOTS; i++)
		b->new[b->nnew++] = filled(test, b->heap, BYTES, false);
	KUNIT_EXPECT_EQ(test, collected_by_now(b->heap).objects, NR_SLOTS - 1ULL);
	expect_black(b);
	start_sweeper(b->heap, sweeper);
}

/* ---- garbage is reused before the worker has come */

static void garbage_is_reused_before_the_worker(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	static const size_t sizes[] = { 8, 1000, 32768, 50000 };
	work_func_t sweeper = stop_sweeper(heap);
	struct collected was = collected_by_now(heap);
	unsigned int i, j, n = 40;
	struct kmheap_stats before, st;

	kmh_kunit_no_worker(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (j = 0; j < n; j++)
			alloc(test, sizes[i]);
	kmheap_stats(heap, &before);
	begin(test, heap);
	end(test, heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (j = 0; j < n; j++)
			alloc(test, sizes[i]);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ_MSG(test, st.arenas, before.arenas, "it has grown instead");
	kmheap_rcu_barrier(heap);
	start_sweeper(heap, sweeper);
	expect_live(test, heap, n * ARRAY_SIZE(sizes));
	expect_collected(test, heap, &was, n * ARRAY_SIZE(sizes),
			 n * (8 + kmh_kunit_class_bytes(1000) + 32768 + 50000ULL));
	collect_all(test, heap);
}

/* The worker sweeps without being asked. */
static void worker_sweeps_after_the_end(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = alloc(test, 1000), *q = alloc(test, 50000), *kept = alloc(test, 1000);

	begin(test, heap);
	KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, kept));
	end(test, heap);
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_FALSE(test, live(p) || live(q));
	KUNIT_EXPECT_FALSE(test, kmh_sweep_is_open(heap));
	KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(kept));
	kmheap_free(kept);
}

static struct kunit_case collect_black_cases[] = {
	KUNIT_CASE_PARAM(alloc_while_marking, way_gen_params),
	KUNIT_CASE(alloc_before_the_sweep),
	KUNIT_CASE(alloc_fresh_before_the_sweep),
	KUNIT_CASE(alloc_nested_before_the_sweep),
	KUNIT_CASE(alloc_freed_before_the_sweep),
	KUNIT_CASE(garbage_is_reused_before_the_worker),
	KUNIT_CASE(worker_sweeps_after_the_end),
	{ }
};

static struct kunit_suite collect_black_suite = {
	.name = "kmheap_collect_black",
	.init = collect_init,
	.exit = kmh_kunit_exit,
	.test_cases = collect_black_cases,
};

kunit_test_suite(collect_black_suite);
