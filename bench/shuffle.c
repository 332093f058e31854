// SPDX-License-Identifier: GPL-2.0
/*
 * shuffle: frees a random object of many live ones and allocates another in its place, so that
 *	    neither the order of addresses nor that of time helps. 10,000 objects up to 8 KiB,
 *	    fewer larger ones; shuffle_1m a million.
 */
#include "bench.h"
#include "side.h"

static __always_inline int fill(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int n = lap->nobjs, done = 0;

	while (done < n) {
		unsigned int some = min(n - done, 1000U);

		if (side_fill(side, bytes, GFP_KERNEL, lap->objects + done, some) < some)
			return -ENOMEM;
		done += some;
		cond_resched();
	}
	return 0;
}

/* What is there: a lap that failed has left a hole. */
static __always_inline int empty(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int i;

	for (i = 0; i < lap->nobjs; i++) {
		if (lap->objects[i])
			side_free(side, lap->objects[i], bytes);
		lap->objects[i] = NULL;
		if (i % 1000 == 0)
			cond_resched();
	}
	return 0;
}

static __always_inline int shuffle(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int left = min(lap->nobjs, 100000U), n = lap->nobjs;
	u32 rnd = 2463534242U + lap->round;	/* the same for all sides */
	void **objects = lap->objects;
	u64 start;

	lap->phase[0].ops = left;
	start = bench_ticks();
	while (left--) {
		void **slot, *p;

		rnd ^= rnd << 13;
		rnd ^= rnd >> 17;
		rnd ^= rnd << 5;
		slot = &objects[(u64)rnd * n >> 32];
		side_free(side, *slot, bytes);
		p = side_alloc(side, bytes, GFP_KERNEL);
		*slot = p;
		if (unlikely(!p))
			return -ENOMEM;
		WRITE_ONCE(*(unsigned long *)p, left);
	}
	lap->phase[0].ticks = bench_ticks() - start;
	return 0;
}

static int shuffle_end(struct bench_lap *lap)
{
	return side_var(empty, SIDES_ALL, lap);
}

static int shuffle_begin(struct bench_lap *lap)
{
	int err = side_var(fill, SIDES_ALL, lap);

	if (err)
		shuffle_end(lap);
	return err;
}

static int shuffle_lap(struct bench_lap *lap)
{
	return side_fixed(shuffle, SIDES_ALL, lap);
}

/* 80 MiB of small objects for each side, 32 MiB of large ones. */
static unsigned int live_objects(size_t bytes)
{
	return bytes <= SZ_8K ? 10000 : SZ_32M / bytes;
}

int bench_shuffle(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(bench_sizes); i++) {
		size_t bytes = bench_sizes[i];
		const struct bench_row row = {
			.name = "shuffle", .ops = { "replace" }, .bytes = bytes, .rounds = 21,
			.nobjs = live_objects(bytes), .sides = sides_for(bytes) & ~BIT(VMALLOC),
			.lap = shuffle_lap, .begin = shuffle_begin, .end = shuffle_end,
		};

		err = bench_run_row(&row);
	}
	return err;
}

int bench_shuffle_1m(void)
{
	static const size_t some[] = { 16, 64, 256 };
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(some); i++) {
		const struct bench_row row = {
			.name = "shuffle_1m", .ops = { "replace" }, .bytes = some[i],
			.nobjs = 1000000, .rounds = 11, .sides = SIDES_TWO,
			.lap = shuffle_lap, .begin = shuffle_begin, .end = shuffle_end,
		};

		err = bench_run_row(&row);
	}
	return err;
}
