// SPDX-License-Identifier: GPL-2.0
/*
 * larson: a server. Each CPU replaces objects at random places of its part of a table; then
 * the parts change hands, so that one CPU frees what another one has allocated. The shape
 * is that of P. Larson and M. Krishnan, "Memory Allocation for Long-Running Server
 * Applications", 1998: sizes of 8 to 1000 bytes, 5000 objects for each CPU.
 */
#include "shapes.h"

#define SLOTS		5000U	/* for each CPU */
#define REPLACE		10000U	/* in a lap: each slot twice, in the mean */
#define MIN_BYTES	8U
#define MAX_BYTES	1000U

static __always_inline size_t larson_bytes(u64 *seed)
{
	return MIN_BYTES + shape_random(seed, MAX_BYTES - MIN_BYTES + 1);
}

static __always_inline int larson(enum bench_side side, struct shape_worker *w)
{
	unsigned int round = w->lap->round + BENCH_WARM_UP, i;
	void **part = w->lap->objects + (w->id + round) % w->ncpus * SLOTS;
	u64 seed = shape_seed(w);

	for (i = 0; i < REPLACE; i++) {
		void **slot = &part[shape_random(&seed, SLOTS)];
		void *p;

		side_free(side, *slot, 0);
		p = side_alloc(side, larson_bytes(&seed), GFP_KERNEL);
		*slot = p;
		if (unlikely(!p))
			return -ENOMEM;
		WRITE_ONCE(*(unsigned long *)p, i);
	}
	w->ops = REPLACE;
	return 0;
}

static int larson_thread(unsigned int id, void *workers)
{
	return shape_thread(larson, id, workers);
}

static int larson_end(struct bench_lap *lap)
{
	unsigned int i;

	for (i = 0; i < lap->nobjs; i++)
		shape_free(lap->side, lap->objects[i]);
	return 0;
}

static int larson_begin(struct bench_lap *lap)
{
	u64 seed = 1;
	unsigned int i;

	for (i = 0; i < lap->nobjs; i++) {
		lap->objects[i] = shape_alloc(lap->side, larson_bytes(&seed));
		if (!lap->objects[i]) {
			larson_end(lap);
			return -ENOMEM;
		}
	}
	return 0;
}

static int larson_lap(struct bench_lap *lap)
{
	return shape_run(lap, larson_thread);
}

int bench_larson(void)
{
	return shape_rows(&(struct bench_row){
		.name = "larson", .ops = { "replace" }, .nobjs = SLOTS,
		.lap = larson_lap, .begin = larson_begin, .end = larson_end,
	}, 1);
}
