// SPDX-License-Identifier: GPL-2.0
/*
 * What a heap costs that holds a single large object, and how fast heaps grow.
 *
 * large: the first allocation of a fresh heap, the arena included, beside vmalloc(); and
 *	  "footprint" over live bytes then, arena rounding and metadata included.
 * grow:  time for each MiB of footprint while a heap of 32 KiB objects grows from nothing to
 *	  64 MiB, beside vmalloc() of as many bytes in areas of 4 MiB, which is what full-grown
 *	  arenas have by default.
 */
#include <linux/mm.h>

#include "bench.h"
#include "side.h"

#define GROW_BYTES	SZ_64M
#define GROW_OBJECT	SZ_32K		/* few, so that growing is what takes the time */
#define GROW_AREA	SZ_4M

/* Half of what is free: more may not be there for an area, and the rest has to go on. */
static bool memory_allows(const char *name, size_t bytes)
{
	if (bytes < (size_t)si_mem_available() / 2 << PAGE_SHIFT)
		return true;
	pr_info("BENCH_NOTE %s, %zu bytes: left out for want of memory\n", name, bytes);
	return false;
}

/* ---- large */

static struct kmheap_stats large_stats;

static int first_object(struct bench_lap *lap)
{
	struct kmheap *heap = kmheap_create("bench_large", NULL);
	u64 start;
	void *p;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	start = ktime_get_ns();
	p = kmheap_alloc(heap, lap->bytes, GFP_KERNEL);
	lap->phase[0].ticks = ktime_get_ns() - start;
	kmheap_stats(heap, &large_stats);
	kmheap_free(p);
	kmheap_destroy(heap);
	return p ? 0 : -ENOMEM;
}

static int large_lap(struct bench_lap *lap)
{
	u64 start;
	void *p;

	lap->phase[0].ops = 1;
	if (lap->side == KMHEAP)
		return first_object(lap);
	start = ktime_get_ns();
	p = vmalloc(lap->bytes);
	lap->phase[0].ticks = ktime_get_ns() - start;
	vfree(p);
	return p ? 0 : -ENOMEM;
}

int bench_large(void)
{
	static const size_t some[] = {
		33 * SZ_1K, 100 * SZ_1K, SZ_1M, 21 * SZ_1M / 10, 3 * SZ_1M, 5 * SZ_1M, 100 * SZ_1M,
	};
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(some); i++) {
		const struct bench_row row = {
			.name = "large", .ops = { "first" }, .bytes = some[i], .unit = "ns",
			.nobjs = 1, .rounds = 5, .sides = BIT(KMHEAP) | BIT(VMALLOC),
			.lap = large_lap,
		};
		const struct bench_figure f = {
			.name = "large", .op = "footprint", .bytes = some[i], .side = "kmheap",
			.unit = "ratio",
		};

		if (!bench_size_wanted(some[i]) || !memory_allows("large", some[i]))
			continue;
		err = bench_run_row(&row);
		if (!err)
			bench_print_value(&f, div64_u64(large_stats.footprint_bytes * 100,
							some[i]));
	}
	return err;
}

/* ---- grow */

static int grow_heap(struct bench_lap *lap)
{
	struct kmheap *heap = kmheap_create("bench_grow", NULL);
	struct kmheap_stats st;
	unsigned int n;
	u64 start;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	start = ktime_get_ns();
	for (n = 0; n < lap->nobjs; n++) {
		lap->objects[n] = kmheap_alloc(heap, GROW_OBJECT, GFP_KERNEL);
		if (!lap->objects[n])
			break;
	}
	lap->phase[0].ticks = ktime_get_ns() - start;
	kmheap_stats(heap, &st);
	lap->phase[0].ops = st.footprint_bytes / SZ_1M;
	kmheap_free_bulk(n, lap->objects);
	kmheap_destroy(heap);
	return n < lap->nobjs ? -ENOMEM : 0;
}

/* The same for bare areas, which nobody manages. */
static int grow_vmalloc(struct bench_lap *lap)
{
	u64 start = ktime_get_ns();
	unsigned int n, i;

	for (n = 0; n < GROW_BYTES / GROW_AREA; n++) {
		lap->objects[n] = vmalloc(GROW_AREA);
		if (!lap->objects[n])
			break;
	}
	lap->phase[0].ticks = ktime_get_ns() - start;
	lap->phase[0].ops = GROW_BYTES / SZ_1M;
	for (i = 0; i < n; i++)
		vfree(lap->objects[i]);
	return n < GROW_BYTES / GROW_AREA ? -ENOMEM : 0;
}

static int grow_lap(struct bench_lap *lap)
{
	return lap->side == KMHEAP ? grow_heap(lap) : grow_vmalloc(lap);
}

int bench_grow(void)
{
	const struct bench_row row = {
		.name = "grow", .ops = { "mib" }, .bytes = GROW_OBJECT, .unit = "ns",
		.nobjs = GROW_BYTES / GROW_OBJECT, .rounds = 5,
		.sides = BIT(KMHEAP) | BIT(VMALLOC), .lap = grow_lap,
	};

	return memory_allows("grow", GROW_BYTES) ? bench_run_row(&row) : 0;
}
