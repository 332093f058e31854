// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: the page allocator against a model with a byte for each page, under random
 * operations, and at a simulated TiB in both shapes: many small ranges and one large range.
 */
#include <kunit/test.h>
#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/prandom.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "kunit_util.h"

#define NONE		KMH_PARANGE_NONE
#define MAX_RUNS	2048
#define BATCHES		40
#define BATCH_OPS	100

static void *zalloc(struct kunit *test, size_t bytes)
{
	void *mem = vzalloc(bytes);

	KUNIT_ASSERT_NOT_NULL(test, mem);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, (kunit_action_t *)vfree, mem));
	return mem;
}

/* Sizes around every border that the code has: words, groups, chunks, levels. */
static const struct {
	unsigned long first, npages;
} shapes[] = {
	{ 1, 31 }, { 100, 64 }, { 203, 65 }, { 1000, 511 }, { 2048, 512 }, { 4001, 513 },
	{ 8192, 1 }, { 10007, 4000 }, { 20000, 4609 },
};

#define NRANGES		ARRAY_SIZE(shapes)

struct run {
	unsigned int range;
	unsigned long page, npages;
	u64 bits;			/* of a group, else 0 */
};

struct model {
	struct kunit *test;
	struct rnd_state rnd;
	struct kmh_pagealloc pa;
	struct kmh_parange ranges[NRANGES];
	bool out[NRANGES];		/* removed for the moment */
	u8 *used[NRANGES];		/* the model: a byte per page */
	unsigned int nruns;
	struct run runs[MAX_RUNS];
};

static u32 draw(struct model *m, u32 below)
{
	return prandom_u32_state(&m->rnd) % below;
}

/* The lowest page, relative to the range, of an aligned run of free pages. */
static unsigned long model_lowest(struct model *m, unsigned int range, unsigned long npages,
				  unsigned long align)
{
	unsigned long i, run = 0;

	for (i = 0; i < shapes[range].npages; i++) {
		bool may_start = (shapes[range].first + i) % align == 0;

		if (m->used[range][i])
			run = 0;
		else if (run || may_start)
			run++;
		if (run == npages)
			return i + 1 - npages;
	}
	return NONE;
}

/* How full a range is, in the steps of pagealloc.h: 0 for at most 1/8 free ... 4 for all free. */
static unsigned int model_step(struct model *m, unsigned int range)
{
	unsigned long i, nfree = 0, npages = shapes[range].npages;

	for (i = 0; i < npages; i++)
		nfree += !m->used[range][i];
	if (nfree == npages)
		return 4;
	return nfree * 8 <= npages ? 0 : nfree * 4 <= npages ? 1 : nfree * 2 <= npages ? 2 : 3;
}

/* Does the allocator have a range of a step below @step with a run of @npages? */
static bool model_has_run(struct model *m, unsigned int step, unsigned long npages)
{
	unsigned int i;

	for (i = 0; i < NRANGES; i++)
		if (!m->out[i] && model_step(m, i) < step && model_lowest(m, i, npages, 1) != NONE)
			return true;
	return false;
}

static void model_push(struct model *m, unsigned int range, unsigned long page,
		       unsigned long npages, u64 bits)
{
	KUNIT_ASSERT_LT(m->test, m->nruns, MAX_RUNS);
	m->runs[m->nruns++] = (struct run) { range, page, npages, bits };
}

static void op_alloc(struct model *m)
{
	unsigned long align = draw(m, 3) ? 1 : 1UL << draw(m, 8);
	unsigned long npages = draw(m, 4) ? 1 + draw(m, 16) : 1 + draw(m, 900);
	bool exact = npages <= KMH_PA_EXACT && align == 1;
	struct kunit *test = m->test;
	struct kmh_parange *r;
	unsigned long page, at;
	unsigned int i;

	if (!kmh_pa_alloc(&m->pa, npages, align, &r, &page)) {
		unsigned long sure = exact ? npages : 2 * (npages + align - 1);

		KUNIT_EXPECT_FALSE(test, model_has_run(m, KMH_PA_STEPS, sure));
		return;
	}
	i = r - m->ranges;
	KUNIT_ASSERT_LT(test, i, NRANGES);
	at = page - shapes[i].first;
	KUNIT_ASSERT_FALSE(test, m->out[i]);
	KUNIT_ASSERT_LE(test, at + npages, shapes[i].npages);
	KUNIT_EXPECT_EQ(test, page % align, 0UL);
	KUNIT_EXPECT_EQ(test, at, model_lowest(m, i, npages, align));
	if (exact)
		KUNIT_EXPECT_FALSE(test, model_has_run(m, model_step(m, i), npages));
	memset(m->used[i] + at, 1, npages);
	model_push(m, i, page, npages, 0);
}

static void op_take64(struct model *m)
{
	struct kunit *test = m->test;
	struct kmh_parange *r;
	unsigned long base, at;
	unsigned int i, bit;
	u64 bits;

	if (!kmh_pa_take64(&m->pa, &r, &base, &bits)) {
		KUNIT_EXPECT_FALSE(test, model_has_run(m, KMH_PA_STEPS, 1));
		return;
	}
	i = r - m->ranges;
	at = base - shapes[i].first;
	KUNIT_EXPECT_EQ(test, at, ALIGN_DOWN(model_lowest(m, i, 1, 1), 64));
	KUNIT_EXPECT_FALSE(test, model_has_run(m, model_step(m, i), 1));
	for (bit = 0; bit < 64; bit++) {
		bool was_free = at + bit < shapes[i].npages && !m->used[i][at + bit];

		KUNIT_ASSERT_EQ(test, !!(bits & BIT_ULL(bit)), was_free);
		if (was_free)
			m->used[i][at + bit] = 1;
	}
	model_push(m, i, base, 0, bits);
}

static void op_free(struct model *m)
{
	struct kunit *test = m->test;
	struct run *run = &m->runs[draw(m, m->nruns)];
	struct kmh_parange *r = &m->ranges[run->range];
	unsigned long at = run->page - r->first, part = run->npages;
	unsigned int bit;

	if (run->bits) {
		kmh_pa_give64(&m->pa, r, run->page, run->bits);
		for (bit = 0; bit < 64; bit++)
			if (run->bits & BIT_ULL(bit))
				m->used[run->range][at + bit] = 0;
	} else {
		if (part > 1 && !draw(m, 4))
			part = 1 + draw(m, part - 1);
		KUNIT_EXPECT_FALSE(test, kmh_pa_free(&m->pa, r, run->page, r->npages - at + 1));
		KUNIT_EXPECT_TRUE(test, kmh_pa_free(&m->pa, r, run->page, part));
		KUNIT_EXPECT_FALSE(test, kmh_pa_free(&m->pa, r, run->page, part));
		memset(m->used[run->range] + at, 0, part);
	}
	run->page += part;
	run->npages -= part;
	if (!run->npages)
		*run = m->runs[--m->nruns];
}

static struct kmh_parange *empty_range(struct model *m)
{
	struct kmh_parange *r;

	list_for_each_entry(r, &m->pa.ranges, ranges)
		if (r->nfree == r->npages)
			return r;
	return NULL;
}

/* A range is removed when it is empty, and added again later. */
static void op_remove_or_add(struct model *m)
{
	struct kmh_parange *r = empty_range(m);
	unsigned int i = draw(m, NRANGES);

	if (m->out[i]) {
		kmh_pa_add(&m->pa, &m->ranges[i]);
		m->out[i] = false;
	} else if (r) {
		i = r - m->ranges;
		KUNIT_EXPECT_EQ(m->test, model_step(m, i), 4U);
		KUNIT_EXPECT_TRUE(m->test, kmh_pa_remove(&m->pa, r, false));
		m->out[i] = true;
	}
}

/* One random operation; batches fill and empty the ranges by turns. */
static void random_op(struct model *m, bool filling)
{
	u32 op = draw(m, 16);

	if (op == 0)
		op_remove_or_add(m);
	else if (op == 1)
		op_take64(m);
	else if (m->nruns && op < (filling ? 6 : 11))
		op_free(m);
	else
		op_alloc(m);
}

static void expect_model(struct model *m)
{
	unsigned long page;
	unsigned int i;

	KUNIT_ASSERT_EQ(m->test, kmh_pa_validate(&m->pa, kmh_kunit_finding, m->test), 0U);
	for (i = 0; i < NRANGES; i++)
		for (page = 0; page < shapes[i].npages; page++)
			KUNIT_ASSERT_EQ(m->test, m->used[i][page],
					test_bit(page, m->ranges[i].bits));
}

static struct model *model_new(struct kunit *test)
{
	struct model *m = zalloc(test, sizeof(*m));
	unsigned int i;

	m->test = test;
	prandom_seed_state(&m->rnd, 20261121);
	kmh_pa_init(&m->pa);
	for (i = 0; i < NRANGES; i++) {
		unsigned long npages = shapes[i].npages;

		m->used[i] = zalloc(test, npages);
		kmh_parange_init(&m->ranges[i], shapes[i].first, npages,
				 zalloc(test, kmh_parange_bytes(npages)));
		kmh_pa_add(&m->pa, &m->ranges[i]);
	}
	return m;
}

static void random_operations(struct kunit *test)
{
	struct model *m = model_new(test);
	unsigned int batch, op, i;

	for (batch = 0; batch < BATCHES; batch++) {
		for (op = 0; op < BATCH_OPS; op++)
			random_op(m, batch % 8 < 4);
		expect_model(m);
	}
	while (m->nruns)
		op_free(m);
	for (i = 0; i < NRANGES; i++)
		if (m->out[i])
			kmh_pa_add(&m->pa, &m->ranges[i]);
	memset(m->out, 0, sizeof(m->out));
	expect_model(m);
	KUNIT_EXPECT_EQ(test, m->pa.nfree, m->pa.npages);
	while (empty_range(m))
		KUNIT_EXPECT_TRUE(test, kmh_pa_remove(&m->pa, empty_range(m), false));
	KUNIT_EXPECT_EQ(test, m->pa.nranges, 0UL);
}

/* 1 TiB, in heap pages. */
#define TIB_PAGES	BIT(40 - KMH_PAGE_SHIFT)
#define SMALL_PAGES	511UL		/* a 4 MiB arena without its guard page */
#define SMALL_RANGES	(TIB_PAGES / KMH_PA_CHUNK_PAGES)
#define METADATA_LIMIT	(64UL << 20)

static void expect_alloc(struct kunit *test, struct kmh_pagealloc *pa, unsigned long npages,
			 unsigned long align, unsigned long want)
{
	struct kmh_parange *r;
	unsigned long page = NONE;

	KUNIT_EXPECT_TRUE(test, kmh_pa_alloc(pa, npages, align, &r, &page));
	KUNIT_EXPECT_EQ(test, page, want);
}

static void tebibyte_as_one_range(struct kunit *test)
{
	static const unsigned long first = 0x7fff12345UL;
	/* Across the middle, which is a border on every level; near both ends; in one chunk. */
	static const struct { unsigned long at, npages; } holes[] = {
		{ 3, 1 }, { 1000, 2 }, { 300000, 64 }, { TIB_PAGES / 2 - 5000, 10000 },
		{ TIB_PAGES - 70, 70 },
	};
	size_t bytes = kmh_parange_bytes(TIB_PAGES);
	struct kmh_pagealloc *pa = zalloc(test, sizeof(*pa));
	struct kmh_parange *r, *range = zalloc(test, sizeof(*range));
	unsigned long base;
	unsigned int i;
	u64 bits;

	KUNIT_EXPECT_LT(test, bytes, METADATA_LIMIT);
	kmh_pa_init(pa);
	kmh_parange_init(range, first, TIB_PAGES, zalloc(test, bytes));
	kmh_pa_add(pa, range);
	KUNIT_EXPECT_EQ(test, kmh_parange_max(range), TIB_PAGES);
	expect_alloc(test, pa, TIB_PAGES, 1, first);
	for (i = 0; i < ARRAY_SIZE(holes); i++)
		KUNIT_EXPECT_TRUE(test, kmh_pa_free(pa, range, first + holes[i].at,
						    holes[i].npages));
	KUNIT_EXPECT_EQ(test, kmh_parange_max(range), 10000UL);
	KUNIT_EXPECT_EQ(test, kmh_pa_validate(pa, kmh_kunit_finding, test), 0U);

	expect_alloc(test, pa, 2, 1, first + 1000);
	expect_alloc(test, pa, 2, 1, first + 300000);
	expect_alloc(test, pa, 65, 1, first + TIB_PAGES / 2 - 5000);
	expect_alloc(test, pa, 512, 512, ALIGN(first + TIB_PAGES / 2 - 4935, 512));
	KUNIT_EXPECT_TRUE(test, kmh_pa_take64(pa, &r, &base, &bits));
	KUNIT_EXPECT_EQ(test, base, first);
	KUNIT_EXPECT_EQ(test, bits, 8ULL);
	expect_alloc(test, pa, 1, 1, first + 300002);
	KUNIT_EXPECT_EQ(test, kmh_pa_validate(pa, kmh_kunit_finding, test), 0U);
	KUNIT_EXPECT_TRUE(test, kmh_pa_remove(pa, range, true));
}

static void tebibyte_as_small_ranges(struct kunit *test)
{
	size_t bytes = kmh_parange_bytes(SMALL_PAGES);
	struct kmh_pagealloc *pa = zalloc(test, sizeof(*pa));
	struct kmh_parange *r, *ranges = zalloc(test, SMALL_RANGES * sizeof(*ranges));
	void *mem = zalloc(test, SMALL_RANGES * bytes);
	struct kmh_parange *half = &ranges[SMALL_RANGES / 3], *full = &ranges[SMALL_RANGES - 9];
	unsigned long i, page;

	KUNIT_EXPECT_LT(test, SMALL_RANGES * (bytes + sizeof(*ranges)), METADATA_LIMIT);
	kmh_pa_init(pa);
	for (i = 0; i < SMALL_RANGES; i++) {
		kmh_parange_init(&ranges[i], i * 512 + 1, SMALL_PAGES, mem + i * bytes);
		kmh_pa_add(pa, &ranges[i]);
	}
	for (i = 0; i < SMALL_RANGES; i++)
		KUNIT_ASSERT_TRUE(test, kmh_pa_alloc(pa, SMALL_PAGES, 1, &r, &page));
	KUNIT_EXPECT_EQ(test, pa->nfree, 0UL);
	KUNIT_EXPECT_FALSE(test, kmh_pa_alloc(pa, 1, 1, &r, &page));

	for (i = 0; i < SMALL_RANGES; i += 1000)
		KUNIT_EXPECT_TRUE(test, kmh_pa_free(pa, &ranges[i], ranges[i].first, 300));
	KUNIT_EXPECT_TRUE(test, kmh_pa_free(pa, half, half->first + 100, 256));
	KUNIT_EXPECT_TRUE(test, kmh_pa_free(pa, full, full->first + 400, 30));
	expect_alloc(test, pa, 20, 1, full->first + 400);
	expect_alloc(test, pa, 20, 1, half->first + 100);
	expect_alloc(test, pa, 10, 1, full->first + 420);
	KUNIT_EXPECT_TRUE(test, kmh_pa_alloc(pa, 300, 1, &r, &page));
	KUNIT_EXPECT_EQ(test, (r - ranges) % 1000, 0L);
	KUNIT_EXPECT_FALSE(test, kmh_pa_alloc(pa, 301, 1, &r, &page));
	KUNIT_EXPECT_EQ(test, kmh_pa_validate(pa, kmh_kunit_finding, test), 0U);
}

static struct kunit_case pagealloc_model_cases[] = {
	KUNIT_CASE(random_operations),
	KUNIT_CASE_SLOW(tebibyte_as_one_range),
	KUNIT_CASE_SLOW(tebibyte_as_small_ranges),
	{ }
};

static struct kunit_suite pagealloc_model_suite = {
	.name = "kmheap_pagealloc_model",
	.test_cases = pagealloc_model_cases,
};

kunit_test_suite(pagealloc_model_suite);
