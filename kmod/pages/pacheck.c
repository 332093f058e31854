// SPDX-License-Identifier: GPL-2.0
/*
 * The validator of the page allocator. It trusts the bitmaps and recomputes all else from them,
 * the slow way and with no code of the allocator's own, so that one error is not made twice.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/printk.h>
#include <linux/stdarg.h>

#include "pages/pagealloc.h"

/* A damaged range may differ in every node: report enough to see the pattern, then only count. */
#define MAX_REPORTS	32

struct check {
	kmh_finding_fn finding;
	void *ctx;
	unsigned int nfindings;
};

static __printf(2, 3) void report(struct check *check, const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	va_list args;

	if (check->nfindings++ >= MAX_REPORTS)
		return;
	va_start(args, fmt);
	vaf.va = &args;
	check->finding(check->ctx, "pagealloc: %pV", &vaf);
	va_end(args);
}

/* Join the summaries of two neighbours, @a of @apages on the left and @b of @bpages. */
static struct kmh_pasum sum_join(struct kmh_pasum a, unsigned long apages,
				 struct kmh_pasum b, unsigned long bpages)
{
	return (struct kmh_pasum) {
		.start = a.start == apages ? apages + b.start : a.start,
		.max = max3(a.max, b.max, a.end + b.start),
		.end = b.end == bpages ? bpages + a.end : b.end,
	};
}

/* The summary of one chunk, run by run. */
static struct kmh_pasum chunk_recount(const unsigned long *bits)
{
	const unsigned long size = KMH_PA_CHUNK_PAGES;
	struct kmh_pasum sum = { 0 };
	unsigned long from, to;

	for (to = 0; to < size; ) {
		from = find_next_zero_bit(bits, size, to);
		to = find_next_bit(bits, size, from);
		if (from == 0)
			sum.start = to;
		if (to == size)
			sum.end = size - from;
		sum.max = max(sum.max, (u32)(to - from));
	}
	return sum;
}

static void check_node(struct check *check, const struct kmh_parange *r, unsigned int level,
		       unsigned long node, struct kmh_pasum want)
{
	const struct kmh_pasum *have = &r->level[level][node];

	if (have->start != want.start || have->max != want.max || have->end != want.end)
		report(check, "range %#lx: level %u node %lu says %u/%u/%u, is %u/%u/%u",
		       r->first, level, node, have->start, have->max, have->end,
		       want.start, want.max, want.end);
}

/* Leaf summaries against the bits. */
static void check_chunks(struct check *check, const struct kmh_parange *r)
{
	unsigned long words = KMH_PA_CHUNK_PAGES / BITS_PER_LONG;
	unsigned long i, n = DIV_ROUND_UP(r->npages, KMH_PA_CHUNK_PAGES);

	for (i = 0; i < n; i++)
		check_node(check, r, 0, i, chunk_recount(r->bits + i * words));
}

/* Summaries of each level against the level below; children that do not exist are in use. */
static void check_levels(struct check *check, const struct kmh_parange *r)
{
	unsigned long nodes = DIV_ROUND_UP(r->npages, KMH_PA_CHUNK_PAGES);
	unsigned long pages = KMH_PA_CHUNK_PAGES;
	unsigned long i, child;
	unsigned int level;

	for (level = 1; level < r->nlevels; level++, pages *= KMH_PA_FAN) {
		unsigned long below = nodes;

		nodes = DIV_ROUND_UP(nodes, KMH_PA_FAN);
		for (i = 0; i < nodes; i++) {
			struct kmh_pasum sum = r->level[level - 1][i * KMH_PA_FAN];
			struct kmh_pasum none = { 0 };

			for (child = 1; child < KMH_PA_FAN; child++) {
				unsigned long at = i * KMH_PA_FAN + child;

				sum = sum_join(sum, child * pages,
					       at < below ? r->level[level - 1][at] : none, pages);
			}
			check_node(check, r, level, i, sum);
		}
	}
	if (nodes != 1)
		report(check, "range %#lx: %lu nodes on the top level", r->first, nodes);
}

/* The counts and the hint of a range against its bits. */
static void check_counts(struct check *check, const struct kmh_parange *r)
{
	unsigned long size = ALIGN(r->npages, KMH_PA_CHUNK_PAGES);
	unsigned long nfree = size, i;

	for (i = 0; i < size / BITS_PER_LONG; i++)
		nfree -= hweight64(r->bits[i]);
	if (nfree != r->nfree)
		report(check, "range %#lx: nfree says %lu, is %lu", r->first, r->nfree, nfree);
	if (find_next_zero_bit(r->bits, size, r->npages) != size)
		report(check, "range %#lx: a page past the end is free", r->first);
	if (r->nfree > kmh_parange_held(r))
		report(check, "range %#lx: %lu pages free, %lu returned, of %lu", r->first,
		       r->nfree, r->nreturned, r->npages);
	if (find_first_zero_bit(r->bits, r->hint) < r->hint)
		report(check, "range %#lx: a page below the hint %lu is free", r->first, r->hint);
}

/* The bucket that a range is in against the one it belongs in. */
static void check_bucket(struct check *check, const struct kmh_parange *r)
{
	unsigned int want = kmh_parange_bucket(r);
	bool full = want == KMH_PA_NO_BUCKET;

	if (r->bucket != want)
		report(check, "range %#lx: filed in bucket %u, belongs in %u", r->first, r->bucket,
		       want);
	if (hlist_unhashed(&r->index) != full)
		report(check, "range %#lx: %lu pages free, but %s a list", r->first, r->nfree,
		       hlist_unhashed(&r->index) ? "not on" : "on");
}

/* Check the ranges on one bucket's list. Return: how many there are. */
static unsigned long check_list(struct check *check, struct kmh_pagealloc *pa, unsigned int bucket,
				unsigned long limit)
{
	unsigned int step = bucket / KMH_PA_CLASSES, class = bucket % KMH_PA_CLASSES;
	const struct hlist_head *head = &pa->bucket[step][class];
	struct kmh_parange *r;
	unsigned long n = 0;

	if (hlist_empty(head) == test_bit(class, pa->nonempty[step]))
		report(check, "bucket %u: nonempty bit is wrong", bucket);
	hlist_for_each_entry(r, head, index) {
		if (r->bucket != bucket)
			report(check, "bucket %u: range %#lx on it says %u", bucket, r->first,
			       r->bucket);
		if (++n > limit)
			break;
	}
	return n;
}

/* Every range with a free page is on one list, and nothing else is. */
static void check_index(struct check *check, struct kmh_pagealloc *pa, unsigned long nindexed)
{
	unsigned long n = 0;
	unsigned int bucket;

	for (bucket = 0; bucket < KMH_PA_STEPS * KMH_PA_CLASSES; bucket++)
		n += check_list(check, pa, bucket, pa->nranges);
	if (n != nindexed)
		report(check, "index: %lu ranges listed, %lu have free pages", n, nindexed);
}

/*
 * Check an allocator against its bitmaps. @finding is called for each of the first 32 findings,
 * with a text that ends without a newline, under the caller's lock: let it store, and print later.
 * Takes time in proportion to the pages: 0.2 to 0.6 us for 4 MiB (UML 7.3, the heaps of
 * bench/pagealloc_bench.c). Return: the number of findings, 0 for an allocator in order.
 */
unsigned int kmh_pa_validate(struct kmh_pagealloc *pa, kmh_finding_fn finding, void *ctx)
{
	unsigned long nranges = 0, npages = 0, nfree = 0, nindexed = 0;
	struct check check = { .finding = finding, .ctx = ctx };
	struct kmh_parange *r;

	list_for_each_entry(r, &pa->ranges, ranges) {
		check_chunks(&check, r);
		check_levels(&check, r);
		check_counts(&check, r);
		check_bucket(&check, r);
		nranges++;
		npages += kmh_parange_held(r);
		nfree += r->nfree;
		nindexed += r->nfree && !r->once;
	}
	check_index(&check, pa, nindexed);
	if (pa->nranges != nranges)
		report(&check, "total: nranges says %lu, is %lu", pa->nranges, nranges);
	if (pa->npages != npages)
		report(&check, "total: npages says %lu, is %lu", pa->npages, npages);
	if (pa->nfree != nfree)
		report(&check, "total: nfree says %lu, is %lu", pa->nfree, nfree);
	return check.nfindings;
}
