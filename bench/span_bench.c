// SPDX-License-Identifier: GPL-2.0
/*
 * What the length of spans costs: time to refill against footprint, for the classes from 1 KiB
 * to 32 KiB, whose spans differ most between the tables that scripts/gen_sizeclasses.py can
 * make. Build it with each of them and compare.
 *
 * fresh:    one allocation of a burst that takes its spans from pages which are ready.
 * recycled: the same from the spans of an earlier burst, all of whose objects were freed.
 * footprint: footprint over live bytes of a heap with so many objects of that class.
 * mixed:    footprint of a heap with so many objects of random sizes up to "bytes", for all
 *	     classes alike; mixed_ratio, over live bytes.
 */
#include <linux/kmheap.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "../kmod/base/sizeclass_table.h"
#include "figure.h"

#define ROUNDS		11
#define REFILL_FROM	SZ_1K
#define BURST_BYTES	SZ_2M		/* and what a heap is given before a burst */
#define MAX_OBJECTS	1000
#define MIXED_HEAPS	32

#define KMH_CLASS(class, bytes, ...)	\
	[class] = bytes,

static const unsigned int sizes[] = {
#include "../kmod/base/sizeclass_table.h"
};

static const unsigned int counts[] = { 1, 10, 100, 1000 };
static void *objects[MAX_OBJECTS];
static const char *unit;

static struct bench_figure figure(const char *op, size_t bytes, const char *what)
{
	return (struct bench_figure) {
		.name = "span", .op = op, .bytes = bytes, .side = "kmheap", .unit = what,
	};
}

static void give_all(unsigned int nobjs)
{
	kmheap_free_bulk(nobjs, objects);
	cond_resched();
}

/* Ticks of @nobjs allocations; 0 when there is no memory. They are free again. */
static u64 burst(struct kmheap *heap, size_t bytes, unsigned int nobjs)
{
	u64 start = bench_ticks(), ticks;
	unsigned int i;

	for (i = 0; i < nobjs; i++) {
		objects[i] = kmheap_alloc(heap, bytes, GFP_KERNEL);
		if (!objects[i])
			break;
	}
	ticks = bench_ticks() - start;
	give_all(i);
	return i == nobjs ? ticks : 0;
}

/* The heap's next arena holds a burst, and no allocation of one has to wait for it. */
static bool prime(struct kmheap *heap)
{
	void *p = kmheap_alloc(heap, BURST_BYTES, GFP_KERNEL);

	kmheap_free(p);
	return p;
}

static bool refill_round(size_t bytes, unsigned int nobjs, u64 *fresh, u64 *recycled)
{
	struct kmheap *heap = kmheap_create("span_bench", NULL);

	if (IS_ERR(heap))
		return false;
	*fresh = prime(heap) ? burst(heap, bytes, nobjs) : 0;
	*recycled = *fresh ? burst(heap, bytes, nobjs) : 0;
	kmheap_destroy(heap);
	return *recycled;
}

static bool bench_refill(size_t bytes)
{
	unsigned int i, nobjs = min_t(size_t, BURST_BYTES / bytes, MAX_OBJECTS);
	struct bench_figure f = figure("fresh", bytes, unit);
	u64 fresh[ROUNDS], recycled[ROUNDS];

	for (i = 0; i < ROUNDS; i++)
		if (!refill_round(bytes, nobjs, &fresh[i], &recycled[i]))
			return false;
	bench_print_sums(&f, fresh, ROUNDS, nobjs);
	f.op = "recycled";
	bench_print_sums(&f, recycled, ROUNDS, nobjs);
	return true;
}

/* A size of 16 bytes to @max_bytes, each power of two as likely as the next. */
static size_t draw_size(struct rnd_state *rnd, size_t max_bytes)
{
	size_t base = 16UL << prandom_u32_state(rnd) % (fls_long(max_bytes) - 5);

	return base + prandom_u32_state(rnd) % base + 1;
}

/* @nobjs objects of @bytes, or of random sizes up to @max_bytes, and what they cost. */
static bool fill_heap(struct rnd_state *rnd, size_t bytes, size_t max_bytes, unsigned int nobjs,
		      struct kmheap_stats *st)
{
	struct kmheap *heap = kmheap_create("span_bench", NULL);
	unsigned int i;

	if (IS_ERR(heap))
		return false;
	for (i = 0; i < nobjs; i++) {
		objects[i] = kmheap_alloc(heap, bytes ?: draw_size(rnd, max_bytes), GFP_KERNEL);
		if (!objects[i])
			break;
	}
	kmheap_stats(heap, st);
	give_all(i);
	kmheap_destroy(heap);
	return i == nobjs;
}

static bool bench_footprint(size_t bytes)
{
	struct bench_figure f = figure("footprint", bytes, "ratio");
	struct kmheap_stats st;
	char extra[32];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		if (!fill_heap(NULL, bytes, 0, counts[i], &st))
			return false;
		snprintf(extra, sizeof(extra), "\"objects\":%u", counts[i]);
		f.extra = extra;
		bench_print_value(&f, div64_u64(st.footprint_bytes * 100, st.live_bytes ?: 1));
	}
	return true;
}

static bool bench_mixed(size_t max_bytes, unsigned int nobjs)
{
	struct bench_figure f = figure("mixed", max_bytes, "KiB");
	struct rnd_state rnd;
	struct kmheap_stats st;
	u64 footprint = 0, live = 0;
	unsigned int i;
	char extra[32];

	prandom_seed_state(&rnd, 1);
	for (i = 0; i < MIXED_HEAPS; i++) {
		if (!fill_heap(&rnd, 0, max_bytes, nobjs, &st))
			return false;
		footprint += st.footprint_bytes;
		live += st.live_bytes;
	}
	snprintf(extra, sizeof(extra), "\"objects\":%u", nobjs);
	f.extra = extra;
	bench_print_value(&f, div_u64(footprint * 100, MIXED_HEAPS * SZ_1K));
	f.op = "mixed_ratio";
	f.unit = "ratio";
	bench_print_value(&f, div64_u64(footprint * 100, live ?: 1));
	return true;
}

static int bench_all(void)
{
	unsigned int i;

	for (i = 1; i < ARRAY_SIZE(sizes); i++) {
		if (sizes[i] < REFILL_FROM)
			continue;
		if (!bench_refill(sizes[i]) || !bench_footprint(sizes[i]))
			return -ENOMEM;
	}
	for (i = 0; i < ARRAY_SIZE(counts); i++)
		if (!bench_mixed(SZ_4K, counts[i]) || !bench_mixed(SZ_32K, counts[i]))
			return -ENOMEM;
	return 0;
}

static int __init span_bench_init(void)
{
	int err = set_cpus_allowed_ptr(current, cpumask_of(0));

	unit = bench_unit();
	if (!err)
		err = bench_all();
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	if (err)
		pr_err("BENCH_ERROR span: %d\n", err);
	/* Refused modules are loaded a second time, by busybox. */
	return 0;
}
module_init(span_bench_init);

static void __exit span_bench_exit(void)
{
}
module_exit(span_bench_exit);

MODULE_DESCRIPTION("kmheap span length benchmark");
MODULE_LICENSE("GPL");
