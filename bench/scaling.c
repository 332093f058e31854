// SPDX-License-Identifier: GPL-2.0
/*
 * scaling: how much more several CPUs do than one, each for itself: pairs of an allocation
 * and a free, and bursts of allocations and then as many frees. "pair" and "burst" are
 * operations (an allocation with its free) in 1000 ticks of all CPUs together; the time is
 * that from the first CPU's start to the last one's end. "pair_ratio" and "burst_ratio" are
 * what this is over that of one CPU just before.
 *
 * "spin" calls no allocator: its ratio is what the machine gives. In a guest on a host with
 * other work, or with fewer CPUs, that is less than the number of CPUs, and the others
 * cannot be more.
 */
#include <linux/cpumask.h>

#include "shapes.h"

#define PAIRS	20000U	/* in a lap, of a CPU */
#define BURST	500U
#define BURSTS	20U	/* likewise */
#define SPINS	600000U	/* likewise: about as long as pairs take */

static __always_inline int scaling_pair(enum bench_side side, size_t bytes,
					struct shape_worker *w)
{
	unsigned int i;

	for (i = 0; i < PAIRS; i++) {
		void *p = side_alloc(side, bytes, GFP_KERNEL);

		if (unlikely(!p))
			return -ENOMEM;
		WRITE_ONCE(*(unsigned long *)p, i);
		side_free(side, p, bytes);
	}
	w->ops = PAIRS;
	return 0;
}

static __always_inline int scaling_burst(enum bench_side side, size_t bytes,
					 struct shape_worker *w)
{
	void **objects = w->lap->objects + w->id * BURST;
	unsigned int i, n;

	for (i = 0; i < BURSTS; i++) {
		for (n = 0; n < BURST; n++) {
			void *p = side_alloc(side, bytes, GFP_KERNEL);

			if (unlikely(!p))
				break;
			WRITE_ONCE(*(unsigned long *)p, n);
			objects[n] = p;
		}
		w->ops += n;
		while (n)
			side_free(side, objects[--n], bytes);
	}
	return w->ops == BURSTS * BURST ? 0 : -ENOMEM;
}

/* The same for both sides. */
static __always_inline int spin(enum bench_side side, struct shape_worker *w)
{
	unsigned int i;

	for (i = 0; i < SPINS; i++)
		barrier();
	w->ops = SPINS;
	return 0;
}

static int spin_thread(unsigned int id, void *workers)
{
	return shape_thread(spin, id, workers);
}

SHAPE_THREAD(scaling_pair, 64)
SHAPE_THREAD(scaling_pair, 1024)
SHAPE_THREAD(scaling_burst, 64)
SHAPE_THREAD(scaling_burst, 1024)

struct scaling {
	const char *op, *ratio;
	size_t bytes;
	shape_thread_fn thread;
};

static const struct scaling scalings[] = {
	{ "spin", "spin_ratio", 0, spin_thread },
	{ "pair", "pair_ratio", 64, scaling_pair_64_thread },
	{ "pair", "pair_ratio", 1024, scaling_pair_1024_thread },
	{ "burst", "burst_ratio", 64, scaling_burst_64_thread },
	{ "burst", "burst_ratio", 1024, scaling_burst_1024_thread },
};

static const struct scaling *scaling;	/* of the row */

static int throughput_lap(struct bench_lap *lap)
{
	struct shape_sum sum;
	int err = shape_run_on(lap, lap->row->cpus, scaling->thread, &sum);

	lap->phase[0].ticks = sum.ops * 1000;
	lap->phase[0].ops = sum.wall;
	return err;
}

/* All do as much each as the one alone: so many CPUs times its time over theirs. */
static int ratio_lap(struct bench_lap *lap)
{
	struct shape_sum one, all;
	int err = shape_run_on(lap, 1, scaling->thread, &one);

	err = err ?: shape_run_on(lap, lap->row->cpus, scaling->thread, &all);
	if (err)
		return err;
	lap->phase[0].ticks = one.wall * lap->row->cpus;
	lap->phase[0].ops = all.wall;
	return 0;
}

static int scaling_row(const char *op, const char *unit, unsigned int ncpus, bench_lap_fn lap)
{
	return bench_run_row(&(struct bench_row){
		.name = "scaling", .ops = { op }, .unit = unit, .bytes = scaling->bytes,
		.cpus = ncpus, .nobjs = ncpus * BURST, .lap = lap,
		.sides = SIDES_TWO,
	});
}

/* 1, 2, 4 and so on, and all. */
static unsigned int more_cpus(unsigned int ncpus, unsigned int all)
{
	return ncpus == all ? all + 1 : min(2 * ncpus, all);
}

int bench_scaling(void)
{
	unsigned int all = num_online_cpus(), ncpus, i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(scalings); i++) {
		scaling = &scalings[i];
		for (ncpus = 1; !err && ncpus <= all; ncpus = more_cpus(ncpus, all)) {
			err = scaling_row(scaling->op, "ops/1000 ticks", ncpus, throughput_lap);
			if (!err && ncpus > 1)
				err = scaling_row(scaling->ratio, "ratio", ncpus, ratio_lap);
		}
	}
	return err;
}
