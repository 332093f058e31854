// SPDX-License-Identifier: GPL-2.0
/*
 * mixed: objects drawn at random from a live set of LIVE are freed and others allocated in
 * their place, of sizes drawn from a distribution. Both are drawn before the clock runs, and
 * both sides get the same. "replace" is one free and one allocation; "footprint" what has been
 * taken from the kernel after all rounds over what is live, as in memory.c.
 */
#include <linux/mm.h>

#include "bench.h"
#include "memory.h"
#include "side.h"

#define LIVE	10000U
#define NOPS	20000U		/* a round */

static struct bench_sizes sizes;
static u32 *drawn_bytes;	/* NOPS of each */
static u16 *drawn_index;

/* By side. */
static u32 *live_bytes[NR_SIDES];
static u64 slab_bytes;

static void draw(struct rnd_state *rnd)
{
	unsigned int i;

	for (i = 0; i < NOPS; i++) {
		drawn_bytes[i] = bench_sizes_draw(&sizes, rnd);
		drawn_index[i] = ((u64)prandom_u32_state(rnd) * LIVE) >> 32;
	}
}

static __always_inline int mixed_end(enum bench_side side, size_t unused, struct bench_lap *lap)
{
	unsigned int i;

	for (i = 0; i < LIVE; i++)
		if (lap->objects[i])
			side_free(side, lap->objects[i], live_bytes[side][i]);
	kvfree(live_bytes[side]);
	live_bytes[side] = NULL;
	return 0;
}

static __always_inline int mixed_begin(enum bench_side side, size_t unused,
				       struct bench_lap *lap)
{
	struct rnd_state rnd;
	unsigned int i;

	live_bytes[side] = kvcalloc(LIVE, sizeof(u32), GFP_KERNEL);
	if (!live_bytes[side])
		return -ENOMEM;
	if (side == KMALLOC) {
		bench_slab_shrink();
		slab_bytes = bench_slab_bytes();
	}
	prandom_seed_state(&rnd, 1);
	for (i = 0; i < LIVE; i++) {
		live_bytes[side][i] = bench_sizes_draw(&sizes, &rnd);
		lap->objects[i] = side_alloc(side, live_bytes[side][i], GFP_KERNEL);
		if (!lap->objects[i]) {
			mixed_end(side, unused, lap);
			return -ENOMEM;
		}
	}
	return 0;
}

/* What the side has taken, over what is live of it, in hundredths. */
static u64 footprint(enum bench_side side)
{
	u64 requested = 0, bytes = 0;
	struct kmheap_stats st;
	unsigned int i;

	for (i = 0; i < LIVE; i++) {
		requested += live_bytes[side][i];
		if (side == KMALLOC)
			bytes += bench_slab_large_bytes(live_bytes[side][i]);
	}
	if (side == KMALLOC) {
		u64 now = bench_slab_bytes();

		bytes += now - min(now, slab_bytes);
	} else {
		kmheap_stats(bench_heap, &st);
		bytes = st.footprint_bytes;
	}
	return div64_u64(bytes * 100, requested);
}

static void print_footprint(enum bench_side side, const struct bench_row *row)
{
	struct bench_figure f = {
		.name = row->name, .op = "footprint", .side = bench_side_names[side],
		.unit = "ratio", .extra = row->extra,
	};

	if (side == KMHEAP || slab_bytes)
		bench_print_value(&f, footprint(side));
}

static __always_inline int mixed(enum bench_side side, size_t unused, struct bench_lap *lap)
{
	struct rnd_state rnd;
	unsigned int i;
	u64 start;

	prandom_seed_state(&rnd, lap->round + 1000);
	draw(&rnd);
	start = bench_ticks();
	for (i = 0; i < NOPS; i++) {
		unsigned int at = drawn_index[i];
		void *p;

		side_free(side, lap->objects[at], live_bytes[side][at]);
		p = side_alloc(side, drawn_bytes[i], GFP_KERNEL);
		lap->objects[at] = p;
		if (unlikely(!p))
			return -ENOMEM;
		live_bytes[side][at] = drawn_bytes[i];
		WRITE_ONCE(*(u8 *)p, 1);
	}
	lap->phase[0].ticks = bench_ticks() - start;
	lap->phase[0].ops = NOPS;
	return 0;
}

static int mixed_lap(struct bench_lap *lap)
{
	return side_var(mixed, SIDES_TWO, lap);
}

static int begin_lap(struct bench_lap *lap)
{
	return side_var(mixed_begin, SIDES_TWO, lap);
}

/* The footprint as the rounds have left it, before anything is freed. */
static int end_lap(struct bench_lap *lap)
{
	print_footprint(lap->side, lap->row);
	return side_var(mixed_end, SIDES_TWO, lap);
}

static int mixed_row(enum bench_sizes_kind kind)
{
	char extra[32];
	const struct bench_row row = {
		.name = "mixed", .ops = { "replace" }, .nobjs = LIVE, .extra = extra,
		.sides = SIDES_TWO, .lap = mixed_lap, .begin = begin_lap, .end = end_lap,
	};
	struct kmheap *outer = bench_heap;
	int err = bench_sizes_make(&sizes, kind);

	if (err)
		return err;
	snprintf(extra, sizeof(extra), "\"sizes\":\"%s\"", sizes.name);
	bench_heap = kmheap_create("bench_mixed", NULL);
	err = PTR_ERR_OR_ZERO(bench_heap);
	if (!err) {
		err = bench_run_row(&row);
		kmheap_destroy(bench_heap);
	}
	bench_heap = outer;
	bench_sizes_release(&sizes);
	return err;
}

int bench_mixed(void)
{
	int err = -ENOMEM;

	drawn_bytes = kvmalloc_array(NOPS, sizeof(*drawn_bytes), GFP_KERNEL);
	drawn_index = kvmalloc_array(NOPS, sizeof(*drawn_index), GFP_KERNEL);
	bench_slab_open();
	if (drawn_bytes && drawn_index)
		err = mixed_row(BENCH_SIZES_BOOT) ?: mixed_row(BENCH_SIZES_SMALL) ?:
		      mixed_row(BENCH_SIZES_LOG);
	bench_slab_close();
	kvfree(drawn_bytes);
	kvfree(drawn_index);
	return err;
}
