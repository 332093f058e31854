// SPDX-License-Identifier: GPL-2.0
/*
 * What an object costs that is allocated and freed by one CPU.
 *
 * pair: allocates one and frees it, again and again: calls in a loop and nothing else, for
 *	 instructions are counted. "const" has a size that the compiler knows, "var" one that
 *	 it does not; "sized" is const with kmheap_free_sized(), the others as before.
 */
#include "bench.h"
#include "side.h"

/* ---- pair */

static __always_inline int pair_with(enum bench_side side, size_t bytes, struct bench_lap *lap,
				     bool sized)
{
	unsigned int n = side == VMALLOC ? lap->nobjs / 10 : lap->nobjs;	/* so slow */
	void *p = side_alloc(side, bytes, GFP_KERNEL);
	u64 start;

	/* If this is to be had then so are the others. */
	if (!p)
		return -ENOMEM;
	side_free(side, p, bytes);
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
