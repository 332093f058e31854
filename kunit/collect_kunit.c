// SPDX-License-Identifier: GPL-2.0
/* KUnit: collections: what is an error, what a mark is, what is freed and what stays. */
#include <linux/string.h>

#include "collect_kunit.h"

/* ---- begin and end */

static void begin_and_end_errors(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *plain = kmheap_create("kunit-plain", NULL);
	const struct {
		struct kmheap *heap;
		int (*call)(struct kmheap *heap);
		int err;
	} rows[] = {
		{ NULL, kmheap_collect_begin, -EINVAL },
		{ NULL, kmheap_collect_end, -EINVAL },
		{ plain, kmheap_collect_begin, -EINVAL },
		{ plain, kmheap_collect_end, -EINVAL },
		{ heap, kmheap_collect_end, -EINVAL },
		{ heap, kmheap_collect_begin, 0 },
		{ heap, kmheap_collect_begin, -EBUSY },
		{ plain, kmheap_collect_begin, -EINVAL },
		{ heap, kmheap_collect_end, 0 },
		{ heap, kmheap_collect_end, -EINVAL },
		{ heap, kmheap_collect_begin, 0 },
		{ heap, kmheap_collect_end, 0 },
	};
	struct kmheap_stats st;
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, plain);
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		KUNIT_EXPECT_EQ_MSG(test, rows[i].call(rows[i].heap), rows[i].err, "row %u", i);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.collections, 2ULL);
	kmheap_stats(plain, &st);
	KUNIT_EXPECT_EQ(test, st.collections, 0ULL);
	kmheap_destroy(plain);
}

/* A collection of a heap without objects, and of one without arenas. */
static void collect_an_empty_heap(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct collected was = collected_by_now(heap);

	collect_all(test, heap);
	kmh_kunit_shrink(heap);
	collect_all(test, heap);
	expect_collected(test, heap, &was, 0, 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->arena_bytes), 0L);
}

/* A collection that begins before the last one's sweep has ended finishes that sweep first. */
static void begin_finishes_the_sweep(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct collected was = collected_by_now(heap);
	void *p = alloc(test, 1024), *large = alloc(test, 50000);
	work_func_t sweeper = stop_sweeper(heap);

	begin(test, heap);
	end(test, heap);
	KUNIT_EXPECT_TRUE(test, live(p) && live(large));
	begin(test, heap);
	KUNIT_EXPECT_FALSE(test, live(p) || live(large));
	end(test, heap);
	start_sweeper(heap, sweeper);
	expect_collected(test, heap, &was, 2, 1024 + 50000);
}

static void destroy_in_a_collection(struct kunit *test)
{
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	unsigned int marking;

	for (marking = 0; marking < 2; marking++) {
		struct kmheap *heap = kmheap_create("kunit-short", &attr);

		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
		filled(test, heap, 100, false);
		filled(test, heap, 100000, true);
		begin(test, heap);
		if (!marking)
			end(test, heap);
		kmheap_destroy(heap);
	}
}

/* ---- marks */

static const size_t sizes[] = { 8, 12, 16, 100, 1024, 9000, 32768, 40000, 1 << 20, 3 << 20 };

static void mark_says_true_once(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats before, st;
	unsigned int i;

	kmheap_stats(heap, &before);
	for (i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		size_t bytes = sizes[i / 2];
		void *p = filled(test, heap, bytes, i % 2), *q = filled(test, heap, bytes, i % 2);
		size_t last = kmheap_size(p) - 1;

		KUNIT_EXPECT_FALSE_MSG(test, kmheap_mark(heap, p), "%zu: before", bytes);
		begin(test, heap);
		KUNIT_EXPECT_TRUE_MSG(test, kmheap_mark(heap, p), "%zu", bytes);
		KUNIT_EXPECT_FALSE_MSG(test, kmheap_mark(heap, p), "%zu: again", bytes);
		KUNIT_EXPECT_FALSE_MSG(test, kmheap_mark(heap, p + last), "%zu: again", bytes);
		KUNIT_EXPECT_TRUE_MSG(test, kmheap_mark(heap, q + last), "%zu: inside", bytes);
		KUNIT_EXPECT_FALSE_MSG(test, kmheap_mark(heap, q + 1), "%zu: again", bytes);
		KUNIT_EXPECT_FALSE_MSG(test, kmheap_mark(heap, q), "%zu: again", bytes);
		end(test, heap);
		KUNIT_EXPECT_FALSE_MSG(test, kmheap_mark(heap, p), "%zu: after", bytes);
		kmheap_rcu_barrier(heap);
		KUNIT_EXPECT_FALSE_MSG(test, kmheap_mark(heap, p), "%zu: after", bytes);
		KUNIT_EXPECT_TRUE_MSG(test, kmh_kunit_filled(p) && kmh_kunit_filled(q), "%zu",
				      bytes);
		kmheap_free(p);
		kmheap_free(q);
	}
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.marked_objects - before.marked_objects, i * 2ULL);
}

/* Whatever is no live object of the heap is refused, without a report. */
static void mark_refuses(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *other = kmheap_create("kunit-other", NULL);
	void *p = alloc(test, 24), *freed = alloc(test, 24), *late = alloc(test, 24);
	void *large = alloc(test, 50000), *gone = alloc(test, 50000), *foreign, *pages;
	const struct kmh_mspan *s = where(p);
	struct kmheap_stats before, st;
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, other);
	foreign = filled(test, other, 24, false);
	pages = kmheap_alloc_pages(heap, 3, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, pages);
	KUNIT_ASSERT_LT(test, (unsigned int)s->nelems * s->elemsize, KMH_PAGE_SIZE);
	kmheap_free(gone);
	begin(test, heap);
	kmheap_free(freed);
	kmheap_free_rcu(late);
	{
		const void *refused[] = {
			NULL, ZERO_SIZE_PTR, (void *)1, (void *)~0UL, &st, test, mark_refuses,
			foreign, foreign + 5, freed, freed + 23, late, gone, pages, pages + 9000,
			(void *)kmh_mspan_slot_addr(s, s->nelems - 1),		/* never used */
			(void *)kmh_mspan_slot_addr(s, s->nelems),		/* the tail */
			(void *)((s->arena->first + s->arena->npages - 2) << KMH_PAGE_SHIFT),
			(void *)((s->arena->first + s->arena->npages - 1) << KMH_PAGE_SHIFT),
		};

		kmheap_stats(heap, &before);
		for (i = 0; i < ARRAY_SIZE(refused); i++)
			KUNIT_EXPECT_FALSE_MSG(test, kmheap_mark(heap, refused[i]), "row %u", i);
		KUNIT_EXPECT_FALSE(test, kmheap_mark(NULL, p));
		KUNIT_EXPECT_FALSE(test, kmheap_mark(other, p));
		kmheap_stats(heap, &st);
		KUNIT_EXPECT_EQ(test, st.marked_objects, before.marked_objects);
	}
	KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, p) && kmheap_mark(heap, large));
	end(test, heap);
	kmheap_rcu_barrier(heap);
	expect_live(test, heap, 2);
	kmheap_free(p);
	kmheap_free(large);
	kmheap_free_pages(pages, 3);
	kmheap_free(foreign);
	kmheap_destroy(other);
}

/* ---- the sweep */

/*
 * Three objects of each size, of which the second is marked, as data and as objects with
 * pointers.
 */
static void sweep_every_size(struct kunit *test, struct kmheap *heap)
{
	unsigned int n = 2 * (KMH_NR_CLASSES - 1 + ARRAY_SIZE(sizes)), i;
	void **p = objects(test, 3 * n);
	struct collected was = collected_by_now(heap);
	u64 garbage = 0;

	for (i = 0; i < 3 * n; i++) {
		unsigned int class = i / 6 + 1;
		size_t bytes = class < KMH_NR_CLASSES ? kmh_class_size(class) :
							sizes[class - KMH_NR_CLASSES];

		p[i] = filled(test, heap, bytes, i / 3 % 2);
		/* Large objects count the bytes that were asked for. */
		if (i % 3 != 1)
			garbage += bytes > KMHEAP_MAX_SMALL ? bytes : kmheap_size(p[i]);
	}
	begin(test, heap);
	for (i = 1; i < 3 * n; i += 3)
		KUNIT_EXPECT_TRUE_MSG(test, kmheap_mark(heap, p[i]), "object %u", i);
	end(test, heap);
	kmheap_rcu_barrier(heap);
	for (i = 0; i < 3 * n; i++)
		KUNIT_EXPECT_EQ_MSG(test, i % 3 == 1 ? kmh_kunit_filled(p[i]) : live(p[i]),
				    i % 3 == 1, "object %u", i);
	expect_live(test, heap, n);
	expect_collected(test, heap, &was, 2 * n, garbage);
	kmh_kunit_validate(test);
	for (i = 1; i < 3 * n; i += 3)
		kmheap_free(p[i]);
	expect_live(test, heap, 0);
	kunit_kfree(test, p);
}

static void sweep_frees_what_is_not_marked(struct kunit *test)
{
	struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED | KMHEAP_HWCACHE_ALIGN };
	struct kmheap *aligned = kmheap_create("kunit-aligned", &attr);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, aligned);
	sweep_every_size(test, kmh_kunit_heap(test));
	sweep_every_size(test, aligned);
	kmheap_destroy(aligned);
}

static void count_marks(struct kmh_mspan *s, void *ctx)
{
	unsigned int i, *n = ctx;

	for (i = 0; i < s->nwords; i++)
		*n += hweight_long(atomic_long_read(kmh_mspan_mark(s, i)));
}

/* page_inuse has a bit where each span begins and nowhere else; page_marks has @nmarked bits. */
static void expect_page_bits(struct kunit *test, struct kmheap *heap, unsigned int nmarked)
{
	unsigned int nwrong = 0, nmarks = 0;
	struct kmh_arena *a;
	unsigned long page;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list) {
		for (page = 0; page < a->npages; page++) {
			struct kmh_mspan *s = kmh_span_of_page(a->first + page);
			bool begins = s->state >= KMH_SPAN_SMALL &&
				      s->base >> KMH_PAGE_SHIFT == a->first + page;

			nwrong += test_bit(page, a->page_inuse) != begins;
		}
		nmarks += bitmap_weight(a->page_marks, a->npages);
	}
	mutex_unlock(&heap->arenas_mutex);
	KUNIT_EXPECT_EQ(test, nwrong, 0U);
	KUNIT_EXPECT_EQ(test, nmarks, nmarked);
}

static void expect_no_marks(struct kunit *test, struct kmheap *heap)
{
	struct kmh_arena *a;
	unsigned int n = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		kmh_walk_spans(a, count_marks, &n);
	mutex_unlock(&heap->arenas_mutex);
	KUNIT_EXPECT_EQ_MSG(test, n, 0U, "marks are left");
	expect_page_bits(test, heap, 0);
}

/* All objects survive one collection and none survives the next: nothing is kept for longer. */
static void marks_last_for_one_collection(struct kunit *test)
{
	static const size_t bytes[] = { 8, 1024, 8, 8192, 50000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct collected was = collected_by_now(heap);
	unsigned int i, n = 500;
	void **p = objects(test, n);
	u64 sum = 0;

	for (i = 0; i < n; i++) {
		p[i] = alloc(test, bytes[i % ARRAY_SIZE(bytes)]);
		sum += bytes[i % ARRAY_SIZE(bytes)];
	}
	begin(test, heap);
	for (i = 0; i < n; i++)
		KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, p[i]));
	end(test, heap);
	kmheap_rcu_barrier(heap);
	expect_collected(test, heap, &was, 0, 0);
	expect_live(test, heap, n);
	expect_no_marks(test, heap);
	for (i = 0; i < n; i++)
		KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p[i]));
	collect_all(test, heap);
	expect_collected(test, heap, &was, n, sum);
	expect_no_marks(test, heap);
}

/* page_marks has a bit for each span with an object that the client has marked. */
static void page_bits_by_span(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p[6] = {
		alloc(test, 8), alloc(test, 8), alloc(test, 1000), alloc(test, 32768),
		alloc(test, 50000), alloc(test, 3 << 20),
	};
	static const unsigned int nspans[] = { 1, 1, 2, 3, 4, 5 };
	unsigned int i;

	expect_page_bits(test, heap, 0);
	begin(test, heap);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, p[i]));
		expect_page_bits(test, heap, nspans[i]);
	}
	/* A span that goes back while a collection marks loses its bit. */
	kmheap_free(p[4]);
	kmheap_free(p[3]);
	kmh_mcache_drain_all(heap);
	expect_page_bits(test, heap, 3);
	end(test, heap);
	kmheap_rcu_barrier(heap);
	expect_no_marks(test, heap);
	collect_all(test, heap);
	expect_no_marks(test, heap);
}

/* ---- frees of garbage */

enum moment { BEFORE, MARKING, MARKED, ENDED, SWEPT, NR_MOMENTS };

#define NR_DEAD		(3 * 2 * NR_MOMENTS)

static void reach(struct kunit *test, enum moment moment, void **kept)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;

	switch (moment) {
	case MARKING:
		begin(test, heap);
		break;
	case MARKED:
		for (i = 0; i < NR_DEAD; i++)
			KUNIT_EXPECT_TRUE(test, kmheap_mark(heap, kept[i]));
		break;
	case ENDED:
		end(test, heap);
		break;
	case SWEPT:
		kmheap_rcu_barrier(heap);
		break;
	default:
		break;
	}
}

/*
 * Free the six objects whose turn is at @moment, of three sizes; every second free is
 * deferred.
 */
static void free_dead(void **dead, enum moment moment)
{
	unsigned int i;

	for (i = 0; i < 3 * 2; i++) {
		void *p = dead[3 * 2 * moment + i];

		if (i % 2)
			kmheap_free_rcu(p);
		else
			kmheap_free(p);
	}
}

/*
 * Whoever comes first, sweep or free, frees an object; a free after the sweep is a double
 * free.
 */
static void free_of_garbage(struct kunit *test)
{
	static const size_t bytes[] = { 64, 32768, 50000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct collected was = collected_by_now(heap);
	work_func_t sweeper = stop_sweeper(heap);
	void *dead[NR_DEAD], *kept[NR_DEAD];
	enum moment moment;
	unsigned int i;

	for (i = 0; i < NR_DEAD; i++) {
		dead[i] = alloc(test, bytes[i / 2 % 3]);
		kept[i] = alloc(test, bytes[i / 2 % 3]);
	}
	for (moment = BEFORE; moment < NR_MOMENTS; moment++) {
		reach(test, moment, kept);
		free_dead(dead, moment);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, moment == SWEPT ? 3 * 2 : 0);
	}
	kmheap_rcu_barrier(heap);
	expect_collected(test, heap, &was, 3 * 2, 2 * (64 + 32768 + 50000));
	expect_live(test, heap, NR_DEAD);
	for (i = 0; i < NR_DEAD; i++) {
		KUNIT_EXPECT_FALSE_MSG(test, live(dead[i]), "object %u", i);
		KUNIT_EXPECT_TRUE_MSG(test, kmh_kunit_filled(kept[i]), "object %u", i);
		kmheap_free(kept[i]);
	}
	expect_live(test, heap, 0);
	start_sweeper(heap, sweeper);
}

struct node {
	struct node *next;
	void *data;
};

/*
 * Mark as a client would: visit every object found, unless kmheap_lookup() says that it is
 * data.
 */
static void visit(struct kmheap *heap, void *p)
{
	struct kmheap_object obj;
	void *stack[200];
	unsigned int n = 0;
	size_t i;

	if (kmheap_mark(heap, p))
		stack[n++] = p;
	while (n) {
		if (!kmheap_lookup(stack[--n], &obj) || obj.data)
			continue;
		for (i = 0; i < obj.bytes / sizeof(void *); i++) {
			void *q = ((void **)obj.base)[i];

			if (n < ARRAY_SIZE(stack) && kmheap_mark(heap, q))
				stack[n++] = q;
		}
	}
}

/* Data is full of addresses, but these keep no object alive. */
static void data_needs_no_visit(struct kunit *test)
{
	static const size_t data_bytes[] = { 8, 12, 64, 2048, 40000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	struct collected was = collected_by_now(heap);
	struct node *first = NULL, *n;
	unsigned int i, total = 100;
	void *garbage;

	for (i = 0; i < total; i++) {
		size_t bytes = data_bytes[i % ARRAY_SIZE(data_bytes)];

		n = kmheap_zalloc(heap, sizeof(*n), GFP_KERNEL);
		garbage = kmheap_zalloc(heap, 256, GFP_KERNEL);
		KUNIT_ASSERT_TRUE(test, n && garbage);
		n->data = kmheap_alloc_data(heap, bytes, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, n->data);
		memset64(n->data, (unsigned long)garbage, bytes / 8);
		n->next = first;
		first = n;
	}
	begin(test, heap);
	visit(heap, first);
	end(test, heap);
	kmheap_rcu_barrier(heap);
	expect_collected(test, heap, &was, total, total * 256ULL);
	expect_live(test, heap, 2 * total);
	for (n = first, i = 0; n; n = n->next, i++)
		KUNIT_EXPECT_TRUE(test, live(n) && live(n->data));
	KUNIT_EXPECT_EQ(test, i, total);
	collect_all(test, heap);
}

static struct kunit_case collect_cases[] = {
	KUNIT_CASE(begin_and_end_errors),
	KUNIT_CASE(collect_an_empty_heap),
	KUNIT_CASE(begin_finishes_the_sweep),
	KUNIT_CASE(destroy_in_a_collection),
	KUNIT_CASE(mark_says_true_once),
	KUNIT_CASE(mark_refuses),
	KUNIT_CASE(sweep_frees_what_is_not_marked),
	KUNIT_CASE(marks_last_for_one_collection),
	KUNIT_CASE(page_bits_by_span),
	KUNIT_CASE(free_of_garbage),
	KUNIT_CASE(data_needs_no_visit),
	{ }
};

static struct kunit_suite collect_suite = {
	.name = "kmheap_collect",
	.init = collect_init,
	.exit = kmh_kunit_exit,
	.test_cases = collect_cases,
};

kunit_test_suite(collect_suite);
