// SPDX-License-Identifier: GPL-2.0
/*
 * bulk: objects by the 32, kmheap_alloc_bulk() and kmheap_free_bulk() beside
 *	 kmem_cache_alloc_bulk() and kmem_cache_free_bulk(). "pair" frees each 32 before it
 *	 allocates the next; the others are of a burst of many. All figures are for one object.
 */
#include "bench.h"
#include "side.h"

#define BULK	32U

static __always_inline bool bulk_alloc(enum bench_side side, size_t bytes, void **p)
{
	size_t n;

	if (side == KMEM_CACHE)
		return kmem_cache_alloc_bulk(bench_cache, GFP_KERNEL, BULK, p);
	n = kmheap_alloc_bulk(bench_heap, bytes, GFP_KERNEL, BULK, p);
	if (likely(n == BULK))
		return true;
	kmheap_free_bulk(n, p);
	return false;
}

static __always_inline void bulk_free(enum bench_side side, void **p)
{
	if (side == KMEM_CACHE)
		kmem_cache_free_bulk(bench_cache, BULK, p);
	else
		kmheap_free_bulk(BULK, p);
}

static __always_inline int bulk_pair(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int i, n = lap->nobjs;
	u64 start = bench_ticks();

	for (i = 0; i < n; i += BULK) {
		if (unlikely(!bulk_alloc(side, bytes, lap->objects)))
			return -ENOMEM;
		bulk_free(side, lap->objects);
	}
	lap->phase[3].ticks = bench_ticks() - start;
	lap->phase[3].ops = n;
	return 0;
}

static __always_inline int bulk(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int i, n, nobjs = lap->nobjs;
	u64 start = bench_ticks(), mid;

	for (n = 0; n < nobjs; n += BULK)
		if (unlikely(!bulk_alloc(side, bytes, lap->objects + n)))
			break;
	mid = bench_ticks();
	for (i = 0; i < n; i += BULK)
		bulk_free(side, lap->objects + i);
	bench_lap_split(lap, nobjs, start, mid, bench_ticks());
	return n < nobjs ? -ENOMEM : bulk_pair(side, bytes, lap);
}

static int bulk_lap(struct bench_lap *lap)
{
	return side_fixed(bulk, BIT(KMHEAP) | BIT(KMEM_CACHE), lap);
}

int bench_bulk(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(bench_sizes); i++) {
		const struct bench_row row = {
			.name = "bulk", .ops = { "alloc", "free", "total", "pair" },
			.bytes = bench_sizes[i], .nobjs = 32 * BULK, .lap = bulk_lap,
			.sides = BIT(KMHEAP) | BIT(KMEM_CACHE),
		};

		if (side_has(KMEM_CACHE, row.bytes))
			err = bench_run_row(&row);
	}
	return err;
}
