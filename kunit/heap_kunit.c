// SPDX-License-Identifier: GPL-2.0
/* KUnit: heaps: create, limits, destroy, figures. */
#include <linux/kmsg_dump.h>
#include <linux/prandom.h>
#include <linux/string.h>

#include "kunit_util.h"

/* ---- what the kernel log says */

struct log_from {
	struct kmsg_dump_iter iter;
};

/* The log from this moment on. */
static struct log_from log_here(void)
{
	struct log_from from;

	kmsg_dump_rewind(&from.iter);
	from.iter.cur_seq = from.iter.next_seq;
	return from;
}

static bool log_says(struct log_from from, const char *text)
{
	static char line[1024];
	size_t len;

	from.iter.next_seq = U64_MAX;
	while (kmsg_dump_get_line(&from.iter, false, line, sizeof(line) - 1, &len)) {
		line[len] = 0;
		if (strstr(line, text))
			return true;
	}
	return false;
}

static struct kmheap *heap_with_limit(struct kunit *test, size_t limit_bytes)
{
	struct kmheap_attr attr = { .limit_bytes = limit_bytes };
	struct kmheap *heap = kmheap_create("kunit-limit", &attr);

	KUNIT_ASSERT_NOT_ERR_OR_NULL_MSG(test, heap, "limit %zu", limit_bytes);
	return heap;
}

static void free_chain(void *first)
{
	void *p;

	while ((p = first)) {
		first = *(void **)p;
		kmheap_free(p);
	}
}

/* ---- create */

#define NAME_63	"063456789-123456789-123456789-123456789-123456789-123456789-123"

static const struct {
	const char *name;
	struct kmheap_attr attr;
	int err;
	const char *says;
} create_rows[] = {
	{ NULL, {}, -EINVAL, "1 to 63 characters" },
	{ "", {}, -EINVAL, "1 to 63 characters" },
	{ NAME_63 "4", {}, -EINVAL, "1 to 63 characters" },
	{ NAME_63, {}, 0 },
	{ "a/b", {}, -EINVAL, "no '/'" },
	{ ".hidden", {}, -EINVAL, "no leading '.'" },
	{ "..", {}, -EINVAL, "no leading '.'" },
	{ "in.side", {}, 0 },
	{ "a\nheap b: forged", {}, -EINVAL, "\"a\\nheap b: forged\": 1 to 63" },
	{ "\033[2J", {}, -EINVAL, "of printable ASCII" },
	{ "tab\t", {}, -EINVAL, "of printable ASCII" },
	{ "\x7f", {}, -EINVAL, "of printable ASCII" },
	{ "\xc2\x9b", {}, -EINVAL, "of printable ASCII" },
	{ "\xa0", {}, -EINVAL, "of printable ASCII" },
	{ "!~[{}]#%\"\\", {}, 0 },
	{ "with space", {}, 0 },
	{ "x", {}, 0 },
	{ "default", {}, -EEXIST },
	{ "kunit", {}, -EEXIST },
	{ "kunit-flag", { .flags = KMHEAP_HWCACHE_ALIGN }, 0 },
	{ "kunit-flag", { .flags = KMHEAP_COLLECTED }, 0 },
	{ "kunit-flag", { .flags = KMHEAP_AREA }, 0 },
	{ "kunit-flag", { .flags = KMHEAP_LINEAR }, 0 },
	{ "kunit-flag", { .flags = 32 }, -EINVAL, "flags 0x20, only those of 0x1f are known" },
	{ "kunit-flag", { .flags = KMHEAP_AREA | KMHEAP_LINEAR }, -EINVAL,
	  "not KMHEAP_AREA (0x4) with KMHEAP_LINEAR (0x8)" },
	{ "kunit-flag", { .flags = 1U << 31 | KMHEAP_HWCACHE_ALIGN }, -EINVAL, "are known" },
	{ "kunit-limit", { .limit_bytes = 1 }, -EINVAL, "at least 524288 are needed" },
	{ "kunit-limit", { .limit_bytes = KMH_LIMIT_MIN_BYTES - 1 }, -EINVAL, "at least 524288" },
	{ "kunit-limit", { .limit_bytes = KMH_LIMIT_MIN_BYTES }, 0 },
	{ "kunit-limit", { .limit_bytes = SIZE_MAX }, 0 },
	{ "kunit-owner", { .owner = THIS_MODULE }, 0 },
};

static void create_table(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(create_rows); i++) {
		struct log_from from = log_here();
		struct kmheap *heap = kmheap_create(create_rows[i].name, &create_rows[i].attr);
		struct kmheap_stats st;
		void *p;

		KUNIT_EXPECT_EQ_MSG(test, PTR_ERR_OR_ZERO(heap), (long)create_rows[i].err,
				    "row %u", i);
		if (create_rows[i].says)
			KUNIT_EXPECT_TRUE_MSG(test, log_says(from, create_rows[i].says),
					      "row %u", i);
		if (IS_ERR(heap))
			continue;
		KUNIT_ASSERT_NOT_NULL(test, heap);
		p = kmheap_alloc(heap, 100, GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL_MSG(test, p, "row %u", i);
		kmheap_free(p);
		kmheap_stats(heap, &st);
		KUNIT_EXPECT_EQ(test, st.limit_bytes, (u64)create_rows[i].attr.limit_bytes);
		kmheap_destroy(heap);
	}
}

/* The name is copied, and may be used again once the heap is gone. */
static void create_copies_the_name(struct kunit *test)
{
	char name[] = "kunit-name";
	struct kmheap *a = kmheap_create(name, NULL), *b;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a);
	b = kmheap_create(name, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(b), (long)-EEXIST);
	name[0] = 'K';
	KUNIT_EXPECT_STREQ(test, a->name, "kunit-name");
	kmheap_destroy(a);
	b = kmheap_create("kunit-name", NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, b);
	kmheap_destroy(b);
}

/*
 * A heap that takes the name of one that goes gets its folder, or is refused as the name is
 * taken.
 */
struct namesake {
	struct kunit *test;
	unsigned int ngot;
};

static void take_the_name(void *arg)
{
	struct namesake *n = arg;
	struct kmheap *heap = kmheap_create("kunit-name", NULL);

	if (IS_ERR(heap)) {
		KUNIT_EXPECT_EQ(n->test, PTR_ERR(heap), (long)-EEXIST);
		return;
	}
	n->ngot++;
	if (IS_ENABLED(CONFIG_DEBUG_FS))
		KUNIT_EXPECT_NOT_ERR_OR_NULL(n->test, heap->dir);
	kmheap_destroy(heap);
}

static void a_name_comes_with_its_folder(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-name", NULL);
	struct namesake n = { .test = test };

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	kmh_kunit_at(test, "heap: half gone", take_the_name, &n);
	kmheap_destroy(heap);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("heap: half gone"));
	take_the_name(&n);
	KUNIT_EXPECT_GE(test, n.ngot, 1U);
}

static void destroy_of_nothing(struct kunit *test)
{
	kmheap_destroy(NULL);
	kmheap_destroy(ERR_PTR(-ENOMEM));
}

static void heaps_share_no_arena(struct kunit *test)
{
	static const size_t sizes[] = { 4, 64, 1000, 32768, 40000, 1 << 20, 3 << 20 };
	struct kmheap *heap[3];
	void *p[3][ARRAY_SIZE(sizes)];
	unsigned int i, j, h;
	struct kmh_arena *a;

	heap[0] = kmh_kunit_heap(test);
	heap[1] = kmheap_create("kunit-1", NULL);
	heap[2] = kmheap_create("kunit-2", NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap[1]);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap[2]);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (h = 0; h < 3; h++) {
			p[h][i] = kmheap_alloc(heap[h], sizes[i], GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[h][i]);
		}
	}
	for (h = 0; h < 3; h++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			struct kmh_mspan *s = kmh_span_of((unsigned long)p[h][i]);

			KUNIT_EXPECT_PTR_EQ(test, s->heap, heap[h]);
			KUNIT_EXPECT_PTR_EQ(test, s->arena->heap, heap[h]);
			KUNIT_EXPECT_TRUE(test, p[h][i] >= s->arena->vbase &&
					  p[h][i] < s->arena->vbase + s->arena->bytes);
		}
		/* Every page of each arena belongs to the heap. */
		mutex_lock(&heap[h]->arenas_mutex);
		list_for_each_entry(a, &heap[h]->arenas, list)
			for (j = 0; j < a->npages; j++)
				if (kmh_span_of_page(a->first + j)->heap != heap[h])
					KUNIT_FAIL(test, "page %u of an arena of heap %u", j, h);
		mutex_unlock(&heap[h]->arenas_mutex);
	}
	for (h = 0; h < 3; h++)
		kmheap_free_bulk(ARRAY_SIZE(sizes), p[h]);
	kmheap_destroy(heap[1]);
	kmheap_destroy(heap[2]);
}

/* ---- limits */

static u64 footprint(struct kmheap *heap)
{
	struct kmheap_stats st;

	kmheap_stats(heap, &st);
	return st.footprint_bytes;
}

/* Allocate objects of one size until no more fit; the footprint never exceeds @limit. */
static void *fill_heap(struct kunit *test, struct kmheap *heap, size_t bytes, u64 limit)
{
	void *p, *first = NULL;
	unsigned int n = 0;

	while ((p = kmheap_alloc(heap, bytes, GFP_KERNEL))) {
		*(void **)p = first;
		first = p;
		if (n++ % 256 == 0 && footprint(heap) > limit) {
			KUNIT_FAIL(test, "%llu bytes at limit %llu", footprint(heap), limit);
			break;
		}
	}
	kmh_kunit_settle(heap);
	KUNIT_EXPECT_LE(test, footprint(heap), limit);
	return first;
}

static void limit_holds(struct kunit *test)
{
	static const size_t limits[] = {
		KMH_LIMIT_MIN_BYTES, 600000, 700000, 900000, 1200000, 3 << 20,
	};
	static const size_t sizes[] = { 8, 16, 1024, 24576, 50000 };
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			struct kmheap *heap;
			struct kmheap_stats st;
			void *first;

			if (sizes[j] <= 16 && limits[i] > 600000)
				continue;	/* more objects than a case should take */
			heap = heap_with_limit(test, limits[i]);
			first = fill_heap(test, heap, sizes[j], limits[i]);
			kmh_kunit_balanced(test, heap, &st);
			KUNIT_EXPECT_EQ(test, st.refused_allocs, 1ULL);
			KUNIT_EXPECT_EQ(test, st.limit_bytes, (u64)limits[i]);
			/* Not all of the limit is of use, but a good part of it must be. */
			KUNIT_EXPECT_GE_MSG(test, st.live_bytes, (u64)limits[i] / 4,
					    "limit %zu, size %zu", limits[i], sizes[j]);
			free_chain(first);
			kmheap_destroy(heap);
		}
	}
}

static void limit_refuses_what_cannot_fit(struct kunit *test)
{
	struct kmheap *heap = heap_with_limit(test, 2 << 20);
	struct kmh_mheap *mh = &kmh_heap_near_node(heap)->mheap;
	struct kmheap_stats st;
	u64 before;
	void *p;

	KUNIT_ASSERT_EQ(test, kmh_mheap_make_own_pa(mh, GFP_KERNEL), 0);
	before = footprint(heap);
	p = kmheap_alloc(heap, 2 << 20, GFP_KERNEL);
	KUNIT_EXPECT_NULL(test, p);
	p = kmheap_alloc(heap, 16 << 20, GFP_KERNEL);
	KUNIT_EXPECT_NULL(test, p);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.refused_allocs, 2ULL);
	KUNIT_EXPECT_EQ(test, st.footprint_bytes, before);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->arena_bytes) + st.metadata_bytes, before);
	p = kmheap_alloc(heap, 1 << 20, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmheap_free(p);
	kmheap_destroy(heap);
}

/* The same objects fit again after they were freed, and so do others. */
static void limit_frees_make_room(struct kunit *test)
{
	static const size_t sizes[] = { 1024, 64, 50000, 32768, 1024 };
	struct kmheap *heap = heap_with_limit(test, 2 << 20);
	struct kmheap_stats st;
	unsigned int i;
	void *first;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		first = fill_heap(test, heap, sizes[i], 2 << 20);
		kmheap_stats(heap, &st);
		KUNIT_EXPECT_EQ(test, st.refused_allocs, i + 1ULL);
		KUNIT_EXPECT_GE_MSG(test, st.live_bytes, 1ULL << 20, "%zu bytes", sizes[i]);
		free_chain(first);
		kmh_kunit_stats(heap, &st);
		KUNIT_EXPECT_EQ(test, st.live_bytes, 0ULL);
		/* A shrink fetches empty spans that other CPUs cache. */
		kmh_kunit_shrink(heap);
	}
	kmheap_destroy(heap);
}

/* ---- destroy */

/*
 * 22 * 112 + 3 * 5120 + 2 * 16 + 50000 + 3145728 bytes; packed objects count their whole
 * block.
 */
static const char * const survivors_say[] = {
	"heap kunit-survivors destroyed with 33 live objects of 3213584 bytes (owner kmheap)",
	"heap kunit-survivors: 22 of 112 bytes",
	"heap kunit-survivors: 3 of 5120 bytes",
	"heap kunit-survivors: 6 tiny ones",
	"heap kunit-survivors: 2 large ones",
};

static void destroy_reports_survivors(struct kunit *test)
{
	struct kmheap_attr attr = { .owner = THIS_MODULE };
	struct kmheap *heap = kmheap_create("kunit-survivors", &attr);
	struct kmh_heap_walk *w = kunit_kzalloc(test, sizeof(*w), GFP_KERNEL);
	struct log_from from = log_here();
	unsigned int i;
	void *p;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_ASSERT_NOT_NULL(test, w);
	kmh_kunit_stay(test);
	for (i = 0; i < 40; i++) {
		p = kmheap_alloc(heap, 100, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		if (i % 2)
			kmheap_free(p);
	}
	for (i = 0; i < 3; i++)
		KUNIT_ASSERT_NOT_NULL(test, kmheap_alloc(heap, 5000, GFP_KERNEL));
	for (i = 0; i < 6; i++)
		KUNIT_ASSERT_NOT_NULL(test, kmheap_alloc_data(heap, 4, GFP_KERNEL));
	for (i = 0; i < 2; i++)
		KUNIT_ASSERT_NOT_NULL(test, kmheap_alloc_data(heap, 100, GFP_KERNEL));
	KUNIT_ASSERT_NOT_NULL(test, kmheap_alloc(heap, 50000, GFP_KERNEL));
	KUNIT_ASSERT_NOT_NULL(test, kmheap_alloc(heap, 3 << 20, GFP_KERNEL));
	kmh_kunit_settle(heap);
	kmh_heap_walk(heap, w);
	KUNIT_EXPECT_EQ(test, w->st.live_objects, 20 + 3 + 6 + 2 + 2ULL);
	KUNIT_EXPECT_EQ(test, w->st.live_bytes,
			22 * 112 + 3 * 5120 + 2 * 16 + 50000 + (3ULL << 20));
	KUNIT_EXPECT_EQ(test, w->tiny_objects, 6ULL);
	KUNIT_EXPECT_EQ(test, w->large_objects, 2ULL);
	KUNIT_EXPECT_EQ(test, w->class[kmheap_size_class(100)].live, 22ULL);
	KUNIT_EXPECT_EQ(test, w->class[kmheap_size_class(5000)].live, 3ULL);
	kmheap_destroy(heap);
	for (i = 0; i < ARRAY_SIZE(survivors_say); i++)
		KUNIT_EXPECT_TRUE_MSG(test, log_says(from, survivors_say[i]), "%s",
				      survivors_say[i]);
}

static void destroy_of_an_empty_heap_is_silent(struct kunit *test)
{
	struct log_from from = log_here();

	kmh_kunit_ended_heap(test, "kunit-silent", 0);
	KUNIT_EXPECT_FALSE(test, log_says(from, "kunit-silent"));
}

/* ---- figures */

struct kept {
	void *p;
	size_t bytes;
};

static void *random_alloc(struct kmheap *heap, struct rnd_state *rnd, size_t *bytes)
{
	u32 r = prandom_u32_state(rnd);

	*bytes = 1 + (prandom_u32_state(rnd) & ((1U << r % 18) - 1));
	switch (r >> 8 & 3) {
	case 0:
		return kmheap_alloc_data(heap, *bytes, GFP_KERNEL);
	case 1:
		*bytes = max_t(size_t, *bytes, 8);
		return kmheap_alloc_aligned(heap, *bytes, 1U << (r >> 16 & 7), GFP_KERNEL);
	default:
		return kmheap_alloc(heap, *bytes, GFP_KERNEL);
	}
}

static void remote_free(void *p)
{
	kmheap_free(p);
}

static void figures_add_up(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kept *o = kunit_kcalloc(test, 300, sizeof(*o), GFP_KERNEL);
	u64 nallocs = 0, nfrees = 0, live = 0;
	struct kmheap_stats st;
	unsigned int step, i;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, o);
	prandom_seed_state(&rnd, 4711);
	for (step = 0; step < 6000; step++) {
		struct kept *k = &o[prandom_u32_state(&rnd) % 300];

		if (k->p) {
			if (kmheap_size(k->p) < k->bytes)
				KUNIT_FAIL(test, "%zu bytes in step %u", k->bytes, step);
			if (step % 4)
				kmheap_free(k->p);
			else
				kmh_kunit_elsewhere(test, remote_free, k->p);
			k->p = NULL;
			nfrees++;
		} else {
			k->p = random_alloc(heap, &rnd, &k->bytes);
			KUNIT_ASSERT_NOT_NULL_MSG(test, k->p, "%zu bytes", k->bytes);
			nallocs++;
		}
		if (step % 1500 != 1499)
			continue;
		kmh_kunit_balanced(test, heap, &st);
		kmh_kunit_validate(test);
		KUNIT_EXPECT_EQ(test, st.allocs, nallocs);
		KUNIT_EXPECT_EQ(test, st.frees, nfrees);
		if (step == 2999)
			kmh_kunit_shrink(heap);
	}
	for (i = 0; i < 300; i++)
		live += o[i].p ? kmheap_size(o[i].p) : 0;
	kmh_kunit_balanced(test, heap, &st);
	/* Large objects count the bytes asked for; packed objects count their whole block. */
	KUNIT_EXPECT_LE(test, st.live_bytes, live + 300 * 16);
	for (i = 0; i < 300; i++)
		kmheap_free(o[i].p);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.allocs, nallocs);
	KUNIT_EXPECT_EQ(test, st.frees, nallocs);
	KUNIT_EXPECT_EQ(test, st.refused_allocs + st.double_frees + st.invalid_frees +
			st.wrong_size_frees, 0ULL);
	kmh_kunit_shrink(heap);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.arenas, 0ULL);
	KUNIT_EXPECT_EQ(test, st.spans, 0ULL);
	KUNIT_EXPECT_EQ(test, st.footprint_bytes, st.metadata_bytes);
}

static void one_object_costs_little(struct kunit *test)
{
	/* 512 KiB on 4 CPUs; each further CPU adds its mcache. */
	u64 most = 512ULL << 10;
	struct kmheap_stats st;
	void *p = kmheap_alloc(kmh_kunit_heap(test), 100, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	if (num_possible_cpus() > 4)
		most += (num_possible_cpus() - 4) * sizeof(struct kmh_mcache);
	kmh_kunit_balanced(test, kmh_kunit_heap(test), &st);
	KUNIT_EXPECT_LE(test, st.footprint_bytes, most);
	KUNIT_EXPECT_EQ(test, st.arenas, 1ULL);
	kmheap_free(p);
}

static void shrink_gives_back(struct kunit *test)
{
	static const size_t sizes[] = { 4, 100, 4096, 32768, 50000, 1 << 20, 3 << 20 };
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p[ARRAY_SIZE(sizes)], *keep;
	struct kmheap_stats st, now;
	unsigned int i, round;
	size_t back;

	for (round = 0; round < 2; round++) {
		keep = round ? kmheap_alloc(heap, 96, GFP_KERNEL) : NULL;
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			p[i] = kmheap_alloc_data(heap, sizes[i], GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[i]);
		}
		kmheap_free_bulk(ARRAY_SIZE(sizes), p);
		kmh_kunit_no_worker(heap);
		kmheap_stats(heap, &st);
		back = kmh_kunit_shrink(heap);
		kmh_kunit_balanced(test, heap, &now);
		if (!keep)	/* else all objects may share the arena of @keep */
			KUNIT_EXPECT_GT(test, back, 0UL);
		KUNIT_EXPECT_EQ(test, st.footprint_bytes - st.metadata_bytes - back,
				now.footprint_bytes - now.metadata_bytes);
		KUNIT_EXPECT_EQ(test, now.arenas, (u64)round);
		KUNIT_EXPECT_EQ(test, kmh_kunit_shrink(heap), 0UL);
		kmheap_free(keep);
	}
	keep = kmheap_alloc(heap, 96, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, keep);
	kmheap_free(keep);
}

/* A shrink finds spans that were freed into remotely and announced. */
static void shrink_after_remote_frees(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, n = 1000;
	void **p = kunit_kcalloc(test, n, sizeof(*p), GFP_KERNEL);
	struct kmheap_stats st;

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_EQ(test, kmheap_alloc_bulk(heap, 1000, GFP_KERNEL, n, p), (size_t)n);
	for (i = 0; i < n; i++)
		kmh_kunit_elsewhere(test, remote_free, p[i]);
	kmh_kunit_settle(heap);		/* or the worker would grow the heap afterwards */
	kmh_kunit_shrink(heap);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_EQ(test, st.arenas, 0ULL);
	KUNIT_EXPECT_EQ(test, st.frees, (u64)n);
}

/* Each end of a heap takes a grace period; the selftests make a thousand heaps. */
#define NR_HEAPS	200U
#define AT_ONCE		100U

static void many_small_heaps(struct kunit *test)
{
	unsigned int i, j, n, total = KMH_KUNIT_SLOW ? AT_ONCE : NR_HEAPS;
	struct kmheap **heap = kunit_kcalloc(test, AT_ONCE, sizeof(*heap), GFP_KERNEL);
	struct kmheap_stats sum;
	/* Areas are longer by what their pages may lie beside those of the heap. */
	const long first = KMH_ARENA_MIN_BYTES + max(KMH_PAGE_SIZE, PAGE_SIZE) - PAGE_SIZE;
	unsigned int nheaps;
	char name[32];
	void *p[10];

	KUNIT_ASSERT_NOT_NULL(test, heap);
	for (n = 0; n < total; n += AT_ONCE) {
		for (i = 0; i < AT_ONCE; i++) {
			snprintf(name, sizeof(name), "kunit-%u", i);
			heap[i] = kmheap_create(name, NULL);
			KUNIT_ASSERT_NOT_ERR_OR_NULL_MSG(test, heap[i], "heap %u", n + i);
			for (j = 0; j < ARRAY_SIZE(p); j++) {
				p[j] = kmheap_alloc(heap[i], 8 << j, GFP_KERNEL);
				KUNIT_ASSERT_NOT_NULL(test, p[j]);
			}
			KUNIT_EXPECT_LE(test, atomic_long_read(&heap[i]->arena_bytes), first);
			if (heap[i]->backing == KMH_BACKING_AREA)
				KUNIT_EXPECT_EQ(test, atomic_long_read(&heap[i]->arena_bytes),
						first);
			kmheap_free_bulk(ARRAY_SIZE(p), p);
		}
		KUNIT_ASSERT_EQ(test, kmh_global_stats(&sum, &nheaps), 0);
		KUNIT_EXPECT_GE(test, nheaps, AT_ONCE + 1);
		for (i = 0; i < AT_ONCE; i++)
			kmheap_destroy(heap[i]);
	}
}

static struct kunit_case heap_cases[] = {
	KUNIT_CASE(create_table),
	KUNIT_CASE(create_copies_the_name),
	KUNIT_CASE(a_name_comes_with_its_folder),
	KUNIT_CASE(destroy_of_nothing),
	KUNIT_CASE(heaps_share_no_arena),
	KUNIT_CASE(limit_holds),
	KUNIT_CASE(limit_refuses_what_cannot_fit),
	KUNIT_CASE(limit_frees_make_room),
	KUNIT_CASE(destroy_reports_survivors),
	KUNIT_CASE(destroy_of_an_empty_heap_is_silent),
	KUNIT_CASE(figures_add_up),
	KUNIT_CASE(one_object_costs_little),
	KUNIT_CASE(shrink_gives_back),
	KUNIT_CASE(shrink_after_remote_frees),
	KUNIT_CASE_SLOW(many_small_heaps),
	{ }
};

static struct kunit_suite heap_suite = {
	.name = "kmheap_heap",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = heap_cases,
};

kunit_test_suite(heap_suite);
