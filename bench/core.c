// SPDX-License-Identifier: GPL-2.0
/*
 * What an object costs that is allocated and freed by one CPU.
 *
 * pair:   allocates one and frees it, again and again: calls in a loop and nothing else, for
 *	   instructions are counted. "const" has a size that the compiler knows, "var" one that
 *	   it does not; "sized" is const with kmheap_free_sized(), the others as before.
 * burst:  allocates many, then frees them in the same order; burst_reverse in reverse order.
 * zeroed: pair and burst of objects that are zeroed.
 * All but var have constant sizes. All but pair write each object's first word, as a client
 * would. "total" is the sum of an allocation and a free.
 */
#include "bench.h"
#include "side.h"

/* ---- pair */

/* More objects than an allocator lets take turns in a pair. */
#define TURNS	32

static __always_inline int pair_with(enum bench_side side, size_t bytes, struct bench_lap *lap,
				     bool sized)
{
	unsigned int n = side == VMALLOC ? lap->nobjs / 10 : lap->nobjs;	/* so slow */
	unsigned int i;
	u64 start;
	void *p;

	/*
	 * If one is to be had then so are the others. All that take turns are written to, as only
	 * then User-Mode Linux has a page of the host's, and what fetches it meets none before.
	 */
	for (i = 0; i < TURNS; i++) {
		p = side_alloc(side, bytes, GFP_KERNEL);
		if (!p)
			return -ENOMEM;
		WRITE_ONCE(*(unsigned long *)p, i);
		side_free(side, p, bytes);
	}
	lap->phase[0].ops = n;
	start = bench_ticks();
	do {
		p = side_alloc(side, bytes, GFP_KERNEL);
		if (sized && side == KMHEAP)
			kmheap_free_sized(p, bytes);
		else
			side_free(side, p, bytes);
	} while (--n);
	lap->phase[0].ticks = bench_ticks() - start;
	return 0;
}

static __always_inline int pair(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	return pair_with(side, bytes, lap, false);
}

static __always_inline int pair_sized(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	return pair_with(side, bytes, lap, true);
}

static int pair_const_lap(struct bench_lap *lap)
{
	return side_fixed(pair, SIDES_ALL, lap);
}

static int pair_var_lap(struct bench_lap *lap)
{
	return side_var(pair, SIDES_ALL, lap);
}

static int pair_sized_lap(struct bench_lap *lap)
{
	return side_fixed(pair_sized, SIDES_ALL, lap);
}

static int pair_row(const char *op, size_t bytes, unsigned long sides, bench_lap_fn lap)
{
	const struct bench_row row = {
		.name = "pair", .ops = { op }, .bytes = bytes, .lap = lap, .sides = sides,
		.nobjs = bytes <= SZ_8K ? 1000 : 100,
	};

	return bench_run_row(&row);
}

int bench_pair(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(bench_sizes); i++) {
		size_t bytes = bench_sizes[i];

		err = pair_row("const", bytes, sides_for(bytes), pair_const_lap);
		err = err ?: pair_row("var", bytes, two_sides_for(bytes), pair_var_lap);
		err = err ?: pair_row("sized", bytes, two_sides_for(bytes), pair_sized_lap);
	}
	return err;
}

/* ---- burst */

static __always_inline int burst_with(enum bench_side side, size_t bytes, struct bench_lap *lap,
				      gfp_t gfp, bool reverse)
{
	unsigned int n, i, nobjs = lap->nobjs;
	void **objects = lap->objects;
	u64 start = bench_ticks(), mid;

	n = side_fill(side, bytes, gfp, objects, nobjs);
	mid = bench_ticks();
	if (reverse)
		for (i = n; i--;)
			side_free(side, objects[i], bytes);
	else
		side_empty(side, bytes, objects, n);
	bench_lap_split(lap, nobjs, start, mid, bench_ticks());
	return n < nobjs ? -ENOMEM : 0;
}

static __always_inline int burst(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	return burst_with(side, bytes, lap, GFP_KERNEL, false);
}

static __always_inline int reverse(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	return burst_with(side, bytes, lap, GFP_KERNEL, true);
}

static int burst_lap(struct bench_lap *lap)
{
	return side_fixed(burst, SIDES_ALL, lap);
}

static int reverse_lap(struct bench_lap *lap)
{
	return side_fixed(reverse, SIDES_ALL, lap);
}

static int burst_rows(const char *name, bench_lap_fn lap)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(bench_sizes); i++) {
		size_t bytes = bench_sizes[i];
		const struct bench_row row = {
			.name = name, .ops = { "alloc", "free", "total" }, .bytes = bytes,
			.nobjs = bytes <= SZ_8K ? 1000 : 32, .sides = sides_for(bytes), .lap = lap,
		};

		err = bench_run_row(&row);
	}
	return err;
}

int bench_burst(void)
{
	return burst_rows("burst", burst_lap);
}

int bench_burst_reverse(void)
{
	return burst_rows("burst_reverse", reverse_lap);
}

/* ---- zeroed */

static __always_inline int zeroed(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int n = lap->nobjs;
	u64 start;
	int err;

	err = burst_with(side, bytes, lap, GFP_KERNEL | __GFP_ZERO, false);
	if (err)
		return err;
	lap->phase[3].ops = n;
	start = bench_ticks();
	do {
		side_free(side, side_alloc(side, bytes, GFP_KERNEL | __GFP_ZERO), bytes);
	} while (--n);
	lap->phase[3].ticks = bench_ticks() - start;
	return 0;
}

static int zeroed_lap(struct bench_lap *lap)
{
	return side_fixed(zeroed, SIDES_ALL, lap);
}

int bench_zeroed(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(bench_sizes); i++) {
		size_t bytes = bench_sizes[i];
		const struct bench_row row = {
			.name = "zeroed", .ops = { "alloc", "free", "total", "pair" },
			.bytes = bytes, .nobjs = bytes <= SZ_8K ? 1000 : 32, .rounds = 21,
			.sides = sides_for(bytes) & ~BIT(VMALLOC), .lap = zeroed_lap,
		};

		err = bench_run_row(&row);
	}
	return err;
}
