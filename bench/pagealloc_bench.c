// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to find, take and give back pages, from 64 MiB to 1 TiB of simulated address
 * space: as 4 MiB ranges (the default arenas) and as one range. The module brings its own copy of
 * the page allocator and needs no kmheap.ko. It runs when it is loaded. "bytes" is the
 * address space, "one" the shape of one range; ratios are the cost over that of the same work at
 * 64 MiB.
 *
 * pair:  takes a run of 1 to 8 pages and gives it back: find, and the updates on both ways.
 * far:   the same with 200 pages, which only fit at the very end: the longest search there is.
 * churn: gives back a random one of the runs it holds and takes another, so that the place given
 *        back is seldom in the cache.
 */
#include <linux/errno.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>

#include "../kmod/pages/pagealloc.h"
#include "figure.h"

#define ROUNDS		41
#define ROUND_OPS	4096
#define HELD		8192
#define FREE_PERCENT	10
#define FAR_PAGES	200UL

/* 64 MiB, 1 and 64 GiB, 1 TiB */
static const size_t sizes[] = { BIT(26), BIT(30), BIT(36), BIT(40) };

struct run {
	struct kmh_parange *range;
	unsigned long page, npages;
};

struct bench {
	struct rnd_state rnd;
	struct kmh_pagealloc pa;
	struct kmh_parange *ranges;
	void *mem;
	unsigned long nranges, range_pages;
	unsigned int nheld;
	struct run held[HELD];
	u64 rounds[ROUNDS];
};

static u32 draw(struct bench *b, u32 below)
{
	return prandom_u32_state(&b->rnd) % below;
}

/* Up to 2^(@n - 1) pages, short ones more often, as spans are. */
static unsigned long draw_npages(struct bench *b, unsigned int n)
{
	return 1 + draw(b, 1U << draw(b, n));
}

static bool take(struct bench *b, struct run *run)
{
	run->npages = draw_npages(b, 4);
	return kmh_pa_alloc(&b->pa, run->npages, 1, &run->range, &run->page);
}

static bool give(struct bench *b, const struct run *run)
{
	return kmh_pa_free(&b->pa, run->range, run->page, run->npages);
}

static bool op_pair(struct bench *b)
{
	struct run run;

	return take(b, &run) && give(b, &run);
}

static bool op_far(struct bench *b)
{
	struct run run = { .npages = FAR_PAGES };

	return kmh_pa_alloc(&b->pa, FAR_PAGES, 1, &run.range, &run.page) && give(b, &run);
}

static bool op_churn(struct bench *b)
{
	struct run *run = &b->held[draw(b, b->nheld)];

	return give(b, run) && take(b, run);
}

/* The two draws of an operation, to be taken off. */
static bool op_nothing(struct bench *b)
{
	return draw(b, b->nheld) | draw_npages(b, 4);
}

/* Each round in 1/100 ns an operation; false when an operation failed. */
static bool measure(struct bench *b, bool (*op)(struct bench *b))
{
	unsigned int i, j;
	bool fine = true;

	for (i = 0; i < ROUNDS; i++) {
		u64 start = ktime_get_ns();

		for (j = 0; j < ROUND_OPS; j++)
			fine &= op(b);
		b->rounds[i] = div_u64((ktime_get_ns() - start) * 100, ROUND_OPS);
		cond_resched();
	}
	return fine;
}

static void finding(void *ctx, const char *fmt, ...)
{
}

/* All in use but FREE_PERCENT, in random holes of 1 to 32 pages; then HELD runs are taken. */
static bool fill(struct bench *b)
{
	unsigned long i, want;
	struct kmh_parange *r;

	for (i = 0; i < b->nranges; i++) {
		kmh_parange_init(&b->ranges[i], i * b->range_pages, b->range_pages,
				 b->mem + i * kmh_parange_bytes(b->range_pages));
		kmh_parange_set(&b->ranges[i], 0, b->range_pages);
		kmh_pa_add(&b->pa, &b->ranges[i]);
	}
	want = b->pa.npages / 100 * FREE_PERCENT;
	for (i = 0; b->pa.nfree < want; i++) {
		unsigned long start = draw(b, b->range_pages);
		unsigned long npages = min(draw_npages(b, 6), b->range_pages - start);

		/* Refused when part of it is free. */
		r = &b->ranges[draw(b, b->nranges)];
		kmh_pa_free(&b->pa, r, r->first + start, npages);
		if (!(i % ROUND_OPS))
			cond_resched();
	}
	/* What is free of the last pages is in the way of giving them back as one. */
	r = &b->ranges[b->nranges - 1];
	for (i = r->npages - FAR_PAGES; i < r->npages; i++)
		kmh_pa_free(&b->pa, r, r->first + i, 1);
	/* No more than a seventh of what is free, at 2.4 pages a run. */
	want = min(b->pa.nfree / 16, (unsigned long)HELD);
	for (b->nheld = 0; b->nheld < want; b->nheld++)
		if (!take(b, &b->held[b->nheld]))
			return false;
	return true;
}

/* What b->rounds[] say of an operation, without @nothing; its median. */
static u64 print(struct bench *b, const char *op, const char *shape, size_t bytes, u64 nothing)
{
	const struct bench_figure f = {
		.name = "pagealloc", .op = op, .bytes = bytes, .side = "kmheap", .unit = "ns",
		.extra = shape,
	};
	unsigned int i;

	for (i = 0; i < ROUNDS; i++)
		b->rounds[i] -= min(b->rounds[i], nothing);
	bench_print_samples(&f, b->rounds, ROUNDS);
	return b->rounds[ROUNDS / 2];
}

static void print_ratio(const char *op, const char *shape, size_t bytes, u64 cost, u64 first)
{
	const struct bench_figure f = {
		.name = "pagealloc", .op = op, .bytes = bytes, .side = "kmheap", .unit = "ratio",
		.extra = shape,
	};

	bench_print_value(&f, div64_u64(cost * 100, first ?: 1));
}

/* Figures of one shape and size; @first holds those of the smallest size, for the ratio. */
static bool bench_size(struct bench *b, const char *shape, size_t bytes, u64 first[3])
{
	static bool (*const ops[])(struct bench *b) = { op_pair, op_far, op_churn };
	static const char * const names[] = { "pair", "far", "churn" };
	static const char * const ratios[] = { "pair_ratio", "far_ratio", "churn_ratio" };
	u64 nothing, cost;
	int i;

	measure(b, op_nothing);
	nothing = bench_median(b->rounds, ROUNDS);
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		if (!measure(b, ops[i]))
			return false;
		cost = print(b, names[i], shape, bytes, nothing);
		first[i] = first[i] ?: cost;
		print_ratio(ratios[i], shape, bytes, cost, first[i]);
	}
	return !kmh_pa_validate(&b->pa, finding, NULL);
}

static int bench_run(struct bench *b, unsigned int size, unsigned long range_pages, u64 first[3])
{
	const char *shape = range_pages ? "\"shape\":\"ranges\"" : "\"shape\":\"one\"";
	unsigned long npages = sizes[size] >> KMH_PAGE_SHIFT;
	int err = -ENOMEM;

	prandom_seed_state(&b->rnd, 1);
	kmh_pa_init(&b->pa);
	b->range_pages = range_pages ?: npages;
	b->nranges = npages / b->range_pages;
	b->ranges = vzalloc(b->nranges * sizeof(*b->ranges));
	b->mem = vzalloc(b->nranges * kmh_parange_bytes(b->range_pages));
	if (b->ranges && b->mem)
		err = fill(b) && bench_size(b, shape, sizes[size], first) ? 0 : -EIO;
	vfree(b->mem);
	vfree(b->ranges);
	return err;
}

static int __init pagealloc_bench_init(void)
{
	struct bench *b = vzalloc(sizeof(*b));
	u64 ranges[3] = { }, one[3] = { };
	unsigned int i;
	int err = b ? 0 : -ENOMEM;

	for (i = 0; !err && i < ARRAY_SIZE(sizes); i++)
		err = bench_run(b, i, KMH_PA_CHUNK_PAGES, ranges);
	for (i = 0; !err && i < ARRAY_SIZE(sizes); i++)
		err = bench_run(b, i, 0, one);
	vfree(b);
	if (err)
		pr_err("BENCH_ERROR pagealloc: %d\n", err);
	/* Refused modules are loaded a second time, by busybox. */
	return 0;
}
module_init(pagealloc_bench_init);

static void __exit pagealloc_bench_exit(void)
{
}
module_exit(pagealloc_bench_exit);

MODULE_DESCRIPTION("kmheap page allocator benchmark");
MODULE_LICENSE("GPL");
