// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: the page allocator, on page numbers without memory behind them. In every case the
 * validator has to be clean at the end.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/prandom.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "kunit_util.h"

#define MAX_RANGES	64

struct fixture {
	struct kmh_pagealloc pa;
	struct kmh_parange ranges[MAX_RANGES];
	void *mem[MAX_RANGES];
	unsigned int n;
};

static bool page_inuse(const struct kmh_parange *r, unsigned long page)
{
	return test_bit(page - r->first, r->bits);
}

static void expect_valid(struct kunit *test)
{
	struct fixture *f = test->priv;

	KUNIT_EXPECT_EQ(test, kmh_pa_validate(&f->pa, kmh_kunit_finding, test), 0U);
}

static int pagealloc_init(struct kunit *test)
{
	struct fixture *f = kunit_kzalloc(test, sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	kmh_pa_init(&f->pa);
	test->priv = f;
	return 0;
}

static void pagealloc_exit(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned int i;

	if (!f)
		return;
	expect_valid(test);
	for (i = 0; i < f->n; i++)
		vfree(f->mem[i]);
}

/* A range of @npages whose pages are all free, not yet added. */
static struct kmh_parange *range_new(struct kunit *test, unsigned long first,
				     unsigned long npages)
{
	struct fixture *f = test->priv;
	struct kmh_parange *r;

	KUNIT_ASSERT_LT(test, f->n, MAX_RANGES);
	r = &f->ranges[f->n];
	f->mem[f->n] = vzalloc(kmh_parange_bytes(npages));
	KUNIT_ASSERT_NOT_NULL(test, f->mem[f->n]);
	f->n++;
	kmh_parange_init(r, first, npages, f->mem[f->n - 1]);
	return r;
}

static struct kmh_parange *range_add(struct kunit *test, unsigned long first,
				     unsigned long npages)
{
	struct fixture *f = test->priv;
	struct kmh_parange *r = range_new(test, first, npages);

	kmh_pa_add(&f->pa, r);
	return r;
}

/* A range that is all in use except the @holes (start, length; length 0 ends them). */
struct hole {
	unsigned long start;
	unsigned long npages;
};

static struct kmh_parange *range_add_holes(struct kunit *test, unsigned long first,
					   unsigned long npages, const struct hole *holes)
{
	struct fixture *f = test->priv;
	struct kmh_parange *r = range_new(test, first, npages);

	/* The pages are taken before the range is added, so that no other range can serve. */
	kmh_parange_set(r, 0, npages);
	kmh_pa_add(&f->pa, r);
	for (; holes->npages; holes++)
		KUNIT_ASSERT_TRUE(test, kmh_pa_free(&f->pa, r, first + holes->start,
						    holes->npages));
	return r;
}

static void expect_alloc(struct kunit *test, unsigned long npages, unsigned long align,
			 struct kmh_parange *want_r, unsigned long want_page)
{
	struct fixture *f = test->priv;
	struct kmh_parange *r = NULL;
	unsigned long page = 0;

	KUNIT_ASSERT_TRUE(test, kmh_pa_alloc(&f->pa, npages, align, &r, &page));
	KUNIT_EXPECT_PTR_EQ(test, r, want_r);
	KUNIT_EXPECT_EQ(test, page, want_page);
}

static void expect_no_alloc(struct kunit *test, unsigned long npages, unsigned long align)
{
	struct fixture *f = test->priv;
	struct kmh_parange *r = NULL;
	unsigned long page = 0, nfree = f->pa.nfree;

	KUNIT_EXPECT_FALSE(test, kmh_pa_alloc(&f->pa, npages, align, &r, &page));
	KUNIT_EXPECT_EQ(test, f->pa.nfree, nfree);
}

#define NONE	KMH_PARANGE_NONE
#define K	1024UL

/* One range, its holes, its root summary, and where a request lands (relative to first). */
static const struct layout {
	const char *name;
	unsigned long first, npages;
	struct hole holes[10];
	struct kmh_pasum root;
	unsigned long want, align, at;
} layouts[] = {
	{ "one", 1000, 1, { { 0, 1 } }, { 1, 1, 0 }, 1, 1, 0 },
	{ "one in a chunk", 0, 512, { { 77, 1 } }, { 0, 1, 0 }, 1, 1, 77 },
	{ "one, last of the range", 3, 511, { { 510, 1 } }, { 0, 1, 0 }, 1, 1, 510 },
	{ "contiguous, whole chunk", 0, 512, { { 0, 512 } }, { 512, 512, 512 }, 512, 1, 0 },
	{ "contiguous, short chunk", 9, 400, { { 0, 400 } }, { 400, 400, 0 }, 400, 1, 0 },
	{ "contiguous, too short", 0, 512, { { 100, 99 } }, { 0, 99, 0 }, 100, 1, NONE },
	{ "contiguous, in one word", 0, 512, { { 129, 62 } }, { 0, 62, 0 }, 62, 1, 129 },
	{ "contiguous, one whole word", 0, 512, { { 128, 64 } }, { 0, 64, 0 }, 64, 1, 128 },
	{ "contiguous, across words", 0, 512, { { 120, 140 } }, { 0, 140, 0 }, 140, 1, 120 },
	{ "contiguous, start and end", 0, 512, { { 0, 5 }, { 500, 12 } },
	  { 5, 12, 12 }, 6, 1, 500 },
	{ "sparse, first fit", 0, 512, { { 1, 1 }, { 10, 3 }, { 20, 9 }, { 90, 3 } },
	  { 0, 9, 0 }, 2, 1, 10 },
	{ "sparse, exact fit last", 0, 512, { { 1, 7 }, { 10, 7 }, { 60, 7 }, { 500, 8 } },
	  { 0, 8, 0 }, 8, 1, 500 },
	{ "sparse, two in one word", 0, 512, { { 2, 3 }, { 30, 6 } }, { 0, 6, 0 }, 5, 1, 30 },
	{ "full", 5, 512, { }, { 0, 0, 0 }, 1, 1, NONE },
	{ "full, many chunks", 5, 40 * K, { }, { 0, 0, 0 }, 1, 1, NONE },
	{ "split across two chunks", 0, 1024, { { 510, 4 } }, { 0, 4, 0 }, 4, 1, 510 },
	{ "split across three chunks", 0, 1536, { { 500, 600 } }, { 0, 600, 0 }, 600, 1, 500 },
	{ "split, longer run inside later", 0, 2048, { { 510, 4 }, { 1100, 5 } },
	  { 0, 5, 0 }, 5, 1, 1100 },
	{ "split across nodes of level 1", 0, 8192, { { 4000, 200 } },
	  { 0, 200, 0 }, 200, 1, 4000 },
	{ "split across nodes of level 2", 0, 64 * K, { { 32 * K - 5, 10 } },
	  { 0, 10, 0 }, 10, 1, 32 * K - 5 },
	{ "split, whole nodes between", 7, 64 * K, { { 4000, 9000 } },
	  { 0, 9000, 0 }, 9000, 1, 4000 },
	{ "aligned, first run misaligned", 0, 512, { { 1, 6 }, { 16, 4 } }, { 0, 6, 0 }, 4, 4, 16 },
	{ "aligned, inside the first run", 0, 512, { { 1, 7 }, { 16, 4 } }, { 0, 7, 0 }, 4, 4, 4 },
	{ "aligned, exact run far on", 0, 512, { { 1, 4 }, { 9, 4 }, { 17, 4 }, { 256, 4 } },
	  { 0, 4, 0 }, 4, 4, 256 },
	{ "aligned, none", 0, 512, { { 1, 4 }, { 9, 4 }, { 17, 6 } }, { 0, 6, 0 }, 4, 4, NONE },
	{ "aligned to a chunk", 0, 2048, { { 300, 1200 } }, { 0, 1200, 0 }, 600, 512, 512 },
	{ "aligned, run ends with the range", 0, 510, { { 505, 5 } }, { 0, 5, 0 }, 4, 4, NONE },
	{ "aligned, start unaligned", 0x12345, 512, { { 0, 512 } }, { 512, 512, 512 }, 8, 8, 3 },
	{ "unaligned start", 0x7ffff, 1000, { { 17, 900 } }, { 0, 900, 0 }, 256, 256, 257 },
	{ "last chunk short", 0, 1000, { { 900, 100 } }, { 0, 100, 0 }, 100, 1, 900 },
	{ "last nodes missing, whole chunks", 0, 2048, { { 0, 2048 } },
	  { 2048, 2048, 0 }, 2048, 1, 0 },
	{ "last nodes missing", 0, 5000, { { 0, 5000 } }, { 5000, 5000, 0 }, 5000, 1, 0 },
	{ "multi-level, start and end", 0, 256 * K, { { 0, 3 }, { 256 * K - 9, 9 } },
	  { 3, 9, 9 }, 4, 1, 256 * K - 9 },
	{ "multi-level, all free", 1, 2048 * K, { { 0, 2048 * K } },
	  { 2048 * K, 2048 * K, 2048 * K }, 2048 * K, 1, 0 },
	{ "multi-level, one in use", 0, 256 * K, { { 0, 100 * K }, { 100 * K + 1, 156 * K - 1 } },
	  { 100 * K, 156 * K - 1, 156 * K - 1 }, 120 * K, 1, 100 * K + 1 },
};

static void layout_desc(const struct layout *l, char *desc)
{
	strscpy(desc, l->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(layout, layouts, layout_desc);

static void alloc_from_layout(struct kunit *test)
{
	const struct layout *l = test->param_value;
	struct kmh_parange *r = range_add_holes(test, l->first, l->npages, l->holes);
	const struct kmh_pasum *root = &r->level[r->nlevels - 1][0];
	unsigned long nfree = r->nfree;

	KUNIT_EXPECT_EQ(test, root->start, l->root.start);
	KUNIT_EXPECT_EQ(test, root->max, l->root.max);
	KUNIT_EXPECT_EQ(test, root->end, l->root.end);
	expect_valid(test);
	if (l->at == NONE) {
		expect_no_alloc(test, l->want, l->align);
		return;
	}
	expect_alloc(test, l->want, l->align, r, l->first + l->at);
	KUNIT_EXPECT_EQ(test, r->nfree, nfree - l->want);
	KUNIT_EXPECT_TRUE(test, page_inuse(r, l->first + l->at));
	KUNIT_EXPECT_TRUE(test, page_inuse(r, l->first + l->at + l->want - 1));
}

static void alloc_whole_range_page_by_page(struct kunit *test)
{
	struct kmh_parange *r = range_add(test, 99, 1100);
	unsigned long i;

	for (i = 0; i < 1100; i++)
		expect_alloc(test, 1, 1, r, 99 + i);
	expect_no_alloc(test, 1, 1);
}

static void alloc_from_nothing(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct kmh_parange *r;
	unsigned long base;
	u64 bits;

	expect_no_alloc(test, 1, 1);
	expect_no_alloc(test, 5, 8);
	KUNIT_EXPECT_FALSE(test, kmh_pa_take64(&f->pa, &r, &base, &bits));
}

static void alloc_more_than_any_range(struct kunit *test)
{
	range_add(test, 0, 512);
	range_add(test, 512, 512);		/* neighbours, but still two ranges */
	expect_no_alloc(test, 513, 1);
	expect_no_alloc(test, KMH_PA_MAX_PAGES, 1);
	expect_no_alloc(test, ~0UL, 1);
	expect_no_alloc(test, 1, 1UL << 63);
}

static void alloc_lowest_after_free(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct kmh_parange *r = range_add(test, 0, 4096);

	expect_alloc(test, 2000, 1, r, 0);
	KUNIT_EXPECT_TRUE(test, kmh_pa_free(&f->pa, r, 700, 1));
	expect_alloc(test, 1, 1, r, 700);
	KUNIT_EXPECT_TRUE(test, kmh_pa_free(&f->pa, r, 900, 3));
	KUNIT_EXPECT_TRUE(test, kmh_pa_free(&f->pa, r, 100, 2));
	expect_alloc(test, 3, 1, r, 900);
	expect_alloc(test, 1, 1, r, 100);
	expect_alloc(test, 1, 1, r, 101);
	expect_alloc(test, 1, 1, r, 2000);
}

/*
 * Ranges of 512 pages, of which @used are in use from the front: which of them gives @want
 * pages?
 */
static const struct choice {
	const char *name;
	unsigned long used[4];
	unsigned long want, align;
	unsigned int winner;
} choices[] = {
	{ "the fullest", { 100, 470, 300, 0 }, 1, 1, 1 },
	{ "the fullest that fits", { 100, 470, 300, 0 }, 64, 1, 2 },
	{ "the fullest that fits, long", { 100, 470, 300, 0 }, 300, 1, 0 },
	{ "an empty one last", { 0, 1, 0, 0 }, 16, 1, 1 },
	{ "an empty one when it must be", { 1, 1, 1, 0 }, 512, 1, 3 },
	{ "never a full one", { 512, 0, 512, 511 }, 1, 1, 3 },
	{ "the shortest sufficient run", { 480, 470, 490, 460 }, 20, 1, 2 },
	{ "the fullest, aligned", { 100, 470, 300, 0 }, 4, 4, 1 },
	{ "the fullest that fits, aligned", { 100, 470, 300, 0 }, 20, 256, 0 },
};

static void choice_desc(const struct choice *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(choice, choices, choice_desc);

static void alloc_prefers(struct kunit *test)
{
	const struct choice *c = test->param_value;
	struct fixture *f = test->priv;
	struct kmh_parange *r;
	unsigned long page;
	int i;

	for (i = 0; i < 4; i++) {
		r = range_add(test, 10000 - i * 1024, 512);
		if (c->used[i]) {
			KUNIT_ASSERT_TRUE(test, kmh_pa_remove(&f->pa, r, true));
			kmh_parange_set(r, 0, c->used[i]);
			kmh_pa_add(&f->pa, r);
		}
	}
	KUNIT_ASSERT_TRUE(test, kmh_pa_alloc(&f->pa, c->want, c->align, &r, &page));
	KUNIT_EXPECT_PTR_EQ(test, r, &f->ranges[c->winner]);
	KUNIT_EXPECT_EQ(test, page % c->align, 0UL);
}

/*
 * Of many ranges only one, in the middle, has the run; the runs of all others are one page
 * too short.
 */
static void alloc_exact_run_among_shorter(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned long n;

	for (n = 1; n <= KMH_PA_EXACT; n++) {
		struct kmh_parange *want = NULL;
		unsigned long i, nranges = 48;

		for (i = 0; i < nranges; i++) {
			bool exact = i == nranges / 2;
			struct hole holes[] = { { 200, n - !exact }, { } };
			struct kmh_parange *r;

			r = range_add_holes(test, i * 1000, 512, holes);
			if (exact)
				want = r;
		}
		expect_alloc(test, n, 1, want, want->first + 200);
		expect_no_alloc(test, n, 1);
		expect_valid(test);
		while (f->n) {
			f->n--;
			KUNIT_ASSERT_TRUE(test, kmh_pa_remove(&f->pa, &f->ranges[f->n], true));
			vfree(f->mem[f->n]);
		}
	}
}

/*
 * Runs of more than 64 pages: what the next size class promises holds past any number of
 * short runs.
 */
static void alloc_long_run_among_shorter(struct kunit *test)
{
	static const struct { unsigned long want, others, found; } rows[] = {
		{ 70, 69, 80 }, { 79, 78, 80 }, { 127, 126, 128 }, { 191, 190, 192 },
		{ 500, 499, 512 }, { 800, 799, 1024 }, { 5000, 4999, 8192 },
	};
	struct fixture *f = test->priv;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct hole found[] = { { 7, rows[i].found }, { } };
		const struct hole others[] = { { 7, rows[i].others }, { } };
		struct kmh_parange *want = range_add_holes(test, 0, 16384, found);

		for (j = 1; j < 40; j++)
			range_add_holes(test, 20000 * j, 16384, others);
		expect_alloc(test, rows[i].want, 1, want, 7);
		expect_valid(test);
		while (f->n) {
			f->n--;
			KUNIT_ASSERT_TRUE(test, kmh_pa_remove(&f->pa, &f->ranges[f->n], true));
			vfree(f->mem[f->n]);
		}
	}
}

/* More misaligned runs than are tried: the run with room for any alignment must still be found. */
static void alloc_aligned_past_many_misaligned(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct hole none[] = { { } };
	struct kmh_parange *r = range_add_holes(test, 0, 8192, none);
	unsigned long i;

	for (i = 0; i < 400; i++)
		KUNIT_ASSERT_TRUE(test, kmh_pa_free(&f->pa, r, 16 * i + 1, 4));
	expect_no_alloc(test, 4, 4);
	KUNIT_ASSERT_TRUE(test, kmh_pa_free(&f->pa, r, 7001, 7));
	expect_alloc(test, 4, 4, r, 7004);
}

/* The misaligned runs lie in many ranges, so that the tries end between two of them. */
static void alloc_aligned_past_many_ranges(struct kunit *test)
{
	struct hole short_of[] = { { 1, 4 }, { 9, 4 }, { 17, 4 }, { } };
	struct hole fitting[] = { { 41, 7 }, { } };
	struct kmh_parange *want;
	unsigned int i;

	want = range_add_holes(test, 1 << 20, 512, fitting);
	for (i = 0; i < 50; i++)
		range_add_holes(test, i * 1024, 512, short_of);
	expect_alloc(test, 4, 4, want, (1 << 20) + 44);
	expect_no_alloc(test, 4, 4);
}

static void alloc_aligned_any_start(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned long first, align, page;
	struct kmh_parange *r;

	for (first = 1000; first < 1064; first += 7) {
		r = range_add(test, first, 700);
		for (align = 1; align <= 512; align *= 2) {
			KUNIT_ASSERT_TRUE(test, kmh_pa_alloc(&f->pa, 3, align, &r, &page));
			KUNIT_EXPECT_EQ(test, page, ALIGN(first, align));
			KUNIT_EXPECT_TRUE(test, kmh_pa_free(&f->pa, r, page, 3));
		}
		KUNIT_EXPECT_TRUE(test, kmh_pa_remove(&f->pa, r, false));
	}
}

/* What free refuses in a range of 1000 pages at 5000, of which 100..199 and 510..519 are in use. */
static const struct refusal {
	const char *name;
	unsigned long page, npages;
} refusals[] = {
	{ "nothing", 5100, 0 },
	{ "free page", 5050, 1 },
	{ "one free page before", 5099, 2 },
	{ "one free page behind", 5199, 2 },
	{ "free pages between", 5190, 325 },
	{ "across a chunk", 5510, 11 },
	{ "below the range", 4999, 1 },
	{ "from below the range", 4999, 200 },
	{ "past the end", 6000, 1 },
	{ "over the end", 5999, 2 },
	{ "in the last chunk, past the end", 6010, 4 },
	{ "wrapping around", 5100, ~0UL },
	{ "wrapping to the start", 5100, ~0UL - 98 },
	{ "page 0", 0, 1 },
	{ "the highest page", ~0UL, 1 },
};

static void refusal_desc(const struct refusal *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(refusal, refusals, refusal_desc);

static void free_refuses(struct kunit *test)
{
	static const struct hole holes[] = { { 0, 100 }, { 200, 310 }, { 520, 480 }, { } };
	const struct refusal *c = test->param_value;
	struct fixture *f = test->priv;
	struct kmh_parange *r = range_add_holes(test, 5000, 1000, holes);
	size_t bytes = kmh_parange_bytes(1000);
	struct kmh_parange before = *r;
	unsigned long nfree = f->pa.nfree;
	void *mem = kunit_kmalloc(test, bytes, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, mem);
	memcpy(mem, f->mem[0], bytes);
	KUNIT_EXPECT_FALSE(test, kmh_pa_free(&f->pa, r, c->page, c->npages));
	KUNIT_EXPECT_MEMEQ(test, mem, f->mem[0], bytes);
	KUNIT_EXPECT_MEMEQ(test, &before, r, sizeof(before));
	KUNIT_EXPECT_EQ(test, f->pa.nfree, nfree);
	KUNIT_EXPECT_TRUE(test, kmh_pa_free(&f->pa, r, 5100, 100));
}

static void free_part_of_a_run(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct kmh_parange *r = range_add(test, 10, 2000);

	expect_alloc(test, 1500, 1, r, 10);
	KUNIT_EXPECT_TRUE(test, kmh_pa_free(&f->pa, r, 10 + 700, 600));
	KUNIT_EXPECT_EQ(test, kmh_parange_max(r), 600UL);
	KUNIT_EXPECT_TRUE(test, kmh_pa_free(&f->pa, r, 10 + 1300, 200));
	KUNIT_EXPECT_EQ(test, kmh_parange_max(r), 1300UL);
	KUNIT_EXPECT_TRUE(test, kmh_pa_free(&f->pa, r, 10, 700));
	KUNIT_EXPECT_EQ(test, kmh_parange_max(r), 2000UL);
	KUNIT_EXPECT_EQ(test, r->nfree, r->npages);
}

/* Groups count from the start of the range, whatever its first page is. */
static const struct group {
	const char *name;
	unsigned long first, npages;
	struct hole holes[4];
	unsigned long base;		/* relative to first */
	u64 bits;
} groups[] = {
	{ "all of it", 1001, 512, { { 0, 512 } }, 0, ~0ULL },
	{ "one page", 1001, 512, { { 200, 1 } }, 192, 1ULL << 8 },
	{ "sparse", 0, 512, { { 65, 2 }, { 127, 2 } }, 64, 1ULL << 63 | 6 },
	{ "short last group", 3, 70, { { 66, 4 } }, 64, 0x3c },
	{ "range shorter than a group", 3, 5, { { 0, 5 } }, 0, 0x1f },
	{ "in a later chunk", 7, 5000, { { 4100, 10 } }, 4096, 0x3ff0 },
};

static void group_desc(const struct group *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(group, groups, group_desc);

static void take64_and_give64(struct kunit *test)
{
	const struct group *c = test->param_value;
	struct fixture *f = test->priv;
	struct kmh_parange *r, *want = range_add_holes(test, c->first, c->npages, c->holes);
	unsigned long base, nfree = want->nfree;
	u64 bits, low;

	KUNIT_ASSERT_TRUE(test, kmh_pa_take64(&f->pa, &r, &base, &bits));
	KUNIT_EXPECT_PTR_EQ(test, r, want);
	KUNIT_EXPECT_EQ(test, base, c->first + c->base);
	KUNIT_EXPECT_EQ(test, bits, c->bits);
	KUNIT_EXPECT_EQ(test, r->nfree, nfree - hweight64(bits));
	KUNIT_EXPECT_TRUE(test, page_inuse(r, base + __ffs(bits)));
	expect_valid(test);

	low = bits & -bits;
	kmh_pa_give64(&f->pa, r, base, bits & ~low);
	KUNIT_EXPECT_TRUE(test, page_inuse(r, base + __ffs(bits)));
	expect_valid(test);
	kmh_pa_give64(&f->pa, r, base, 0);
	KUNIT_EXPECT_TRUE(test, kmh_pa_free(&f->pa, r, base + __ffs(low), 1));
	KUNIT_EXPECT_EQ(test, r->nfree, nfree);
	expect_alloc(test, 1, 1, r, base + __ffs(bits));
}

static void take64_until_nothing_is_left(struct kunit *test)
{
	struct fixture *f = test->priv;
	unsigned long base, taken = 0;
	struct kmh_parange *r;
	u64 bits;

	range_add(test, 17, 1000);
	range_add(test, 2000, 31);
	while (kmh_pa_take64(&f->pa, &r, &base, &bits)) {
		KUNIT_ASSERT_NE(test, bits, 0ULL);
		taken += hweight64(bits);
	}
	KUNIT_EXPECT_EQ(test, taken, 1031UL);
	KUNIT_EXPECT_EQ(test, f->pa.nfree, 0UL);
	expect_no_alloc(test, 1, 1);
}

static void take64_from_the_fullest(struct kunit *test)
{
	static const struct hole few[] = { { 400, 9 }, { } }, many[] = { { 0, 200 }, { } };
	struct fixture *f = test->priv;
	struct kmh_parange *r, *want;
	unsigned long base;
	u64 bits;

	range_add(test, 0, 512);
	want = range_add_holes(test, 5000, 512, few);
	range_add_holes(test, 9000, 512, many);
	KUNIT_ASSERT_TRUE(test, kmh_pa_take64(&f->pa, &r, &base, &bits));
	KUNIT_EXPECT_PTR_EQ(test, r, want);
	KUNIT_EXPECT_EQ(test, hweight64(bits), 9U);
}

static void remove_and_add_again(struct kunit *test)
{
	struct fixture *f = test->priv;
	struct kmh_parange *a = range_add(test, 0, 512), *b = range_add(test, 1000, 300);

	expect_alloc(test, 10, 1, b, 1000);
	KUNIT_EXPECT_TRUE(test, kmh_pa_remove(&f->pa, a, false));
	KUNIT_EXPECT_EQ(test, f->pa.npages, 300UL);
	KUNIT_EXPECT_EQ(test, f->pa.nfree, 290UL);
	expect_no_alloc(test, 400, 1);
	kmh_pa_add(&f->pa, a);
	expect_alloc(test, 400, 1, a, 0);
	KUNIT_EXPECT_TRUE(test, kmh_pa_remove(&f->pa, a, true));
	KUNIT_EXPECT_TRUE(test, kmh_pa_remove(&f->pa, b, true));
	KUNIT_EXPECT_EQ(test, f->pa.npages, 0UL);
	KUNIT_EXPECT_EQ(test, f->pa.nfree, 0UL);
}

/*
 * A validator that sees no damage is worth nothing: each row does one kind of damage and
 * undoes it.
 */
static void validate_finds_damage(struct kunit *test)
{
	static const struct hole holes[] = { { 30, 500 }, { 3000, 900 }, { } };
	struct fixture *f = test->priv;
	struct kmh_parange *r = range_add_holes(test, 77, 9000, holes);
	struct { const char *what; u32 *word; } rows[] = {
		{ "leaf start", &r->level[0][1].start },
		{ "leaf max", &r->level[0][0].max },
		{ "leaf end", &r->level[0][6].end },
		{ "node start", &r->level[1][0].start },
		{ "node max", &r->level[1][0].max },
		{ "root max", &r->level[2][0].max },
		{ "root end", &r->level[2][0].end },
		{ "bits", (u32 *)r->bits },
		{ "bits past the end", (u32 *)(r->bits + 9000 / 64) + 1 },
		{ "range nfree", (u32 *)&r->nfree },
		{ "total nfree", (u32 *)&f->pa.nfree },
		{ "total npages", (u32 *)&f->pa.npages },
		{ "total nranges", (u32 *)&f->pa.nranges },
		{ "nonempty", (u32 *)&f->pa.nonempty[1] },
	};
	unsigned int i, found, told;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		told = 0;
		*rows[i].word ^= 0x100;
		found = kmh_pa_validate(&f->pa, kmh_kunit_count_finding, &told);
		*rows[i].word ^= 0x100;
		KUNIT_EXPECT_GE_MSG(test, found, 1U, "%s", rows[i].what);
		KUNIT_EXPECT_EQ_MSG(test, found, told, "%s", rows[i].what);
	}
	told = 0;
	r->hint = 40;
	KUNIT_EXPECT_EQ(test, kmh_pa_validate(&f->pa, kmh_kunit_count_finding, &told), 1U);
	r->hint = 30;
	r->bucket ^= 1;
	KUNIT_EXPECT_GE(test, kmh_pa_validate(&f->pa, kmh_kunit_count_finding, &told), 2U);
	r->bucket ^= 1;
}

static struct kunit_case pagealloc_cases[] = {
	KUNIT_CASE_PARAM(alloc_from_layout, layout_gen_params),
	KUNIT_CASE(alloc_whole_range_page_by_page),
	KUNIT_CASE(alloc_from_nothing),
	KUNIT_CASE(alloc_more_than_any_range),
	KUNIT_CASE(alloc_lowest_after_free),
	KUNIT_CASE_PARAM(alloc_prefers, choice_gen_params),
	KUNIT_CASE(alloc_exact_run_among_shorter),
	KUNIT_CASE(alloc_long_run_among_shorter),
	KUNIT_CASE(alloc_aligned_past_many_misaligned),
	KUNIT_CASE(alloc_aligned_past_many_ranges),
	KUNIT_CASE(alloc_aligned_any_start),
	KUNIT_CASE_PARAM(free_refuses, refusal_gen_params),
	KUNIT_CASE(free_part_of_a_run),
	KUNIT_CASE_PARAM(take64_and_give64, group_gen_params),
	KUNIT_CASE(take64_until_nothing_is_left),
	KUNIT_CASE(take64_from_the_fullest),
	KUNIT_CASE(remove_and_add_again),
	KUNIT_CASE(validate_finds_damage),
	{ }
};

static struct kunit_suite pagealloc_suite = {
	.name = "kmheap_pagealloc",
	.init = pagealloc_init,
	.exit = pagealloc_exit,
	.test_cases = pagealloc_cases,
};

kunit_test_suite(pagealloc_suite);
