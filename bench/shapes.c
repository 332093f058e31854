// SPDX-License-Identifier: GPL-2.0
/* What the shapes have in common: laps on several CPUs at once. */
#include <linux/cpumask.h>
#include <linux/minmax.h>

#include "shapes.h"

/**
 * shape_run_on() - a lap on the first @ncpus CPUs at the same time
 * @lap: the lap.
 * @ncpus: how many.
 * @thread: the work of one.
 * @sum: what they did.
 *
 * Return: 0 or the first error.
 */
int shape_run_on(struct bench_lap *lap, unsigned int ncpus, shape_thread_fn thread,
		 struct shape_sum *sum)
{
	struct shape_worker *workers = kvcalloc(ncpus, sizeof(*workers), GFP_KERNEL);
	u64 first = U64_MAX, last = 0;
	unsigned int i;
	int err;

	if (!workers)
		return -ENOMEM;
	for (i = 0; i < ncpus; i++)
		workers[i] = (struct shape_worker){ .lap = lap, .id = i, .ncpus = ncpus };
	err = bench_threads(ncpus, thread, workers);
	*sum = (struct shape_sum){};
	for (i = 0; i < ncpus; i++) {
		const struct shape_worker *w = &workers[i];

		first = min(first, w->start);
		last = max(last, w->end);
		sum->ops += w->ops;
		sum->ticks += w->end - w->start;
		sum->alloc += w->alloc;
		sum->free += w->free;
	}
	sum->wall = last - first;
	kvfree(workers);
	return err;
}

/*
 * shape_run() - a lap on the CPUs of its row
 * @lap: the lap.
 * @thread: the work of one CPU.
 *
 * The figure is the time of all CPUs together for each operation: what one takes on its
 * CPU while the others are at it too. The second and third phase are for allocations and
 * frees alone.
 */
int shape_run(struct bench_lap *lap, shape_thread_fn thread)
{
	struct shape_sum sum;
	int err = shape_run_on(lap, lap->row->cpus, thread, &sum);

	if (err)
		return err;
	lap->phase[0].ticks = sum.ticks;
	lap->phase[1].ticks = sum.alloc;
	lap->phase[2].ticks = sum.free;
	lap->phase[0].ops = sum.ops;
	lap->phase[1].ops = sum.ops;
	lap->phase[2].ops = sum.ops;
	return 0;
}

/*
 * shape_rows() - run a row of kmheap and kmalloc() on one CPU and on all of them
 * @row: nobjs is for each CPU.
 * @mincpus: it makes no sense with fewer.
 */
int shape_rows(const struct bench_row *row, unsigned int mincpus)
{
	unsigned int all = num_online_cpus();
	struct bench_row r = *row;
	int err = 0;

	r.sides = SIDES_TWO;
	r.cpus = 1;
	if (mincpus <= 1)
		err = bench_run_row(&r);
	r.cpus = all;
	r.nobjs *= all;
	if (!err && all > 1 && mincpus <= all)
		err = bench_run_row(&r);
	return err;
}
