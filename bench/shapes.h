/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shapes of load from the literature on allocators, for several CPUs at once. Each is
 * written here from the idea; its file names where that comes from.
 */
#ifndef _KMHEAP_BENCH_SHAPES_H
#define _KMHEAP_BENCH_SHAPES_H

#include <linux/cache.h>

#include "bench.h"
#include "side.h"

/* One CPU's share of a lap. */
struct shape_worker {
	struct bench_lap *lap;
	unsigned int id;	/* 0 to ncpus - 1 */
	unsigned int ncpus;	/* that take part */
	u64 start, end;		/* ticks */
	unsigned long ops;	/* set by the template, as are the next: */
	u64 alloc, free;	/* ticks of these alone, if it has such phases */
} ____cacheline_aligned_in_smp;

/* What a lap's workers did. */
struct shape_sum {
	unsigned long ops;
	u64 ticks;		/* of all CPUs together */
	u64 wall;		/* from the first one's start to the last one's end */
	u64 alloc, free;
};

typedef int (*shape_thread_fn)(unsigned int id, void *workers);
typedef int (*shape_template)(enum bench_side side, struct shape_worker *w);

int shape_run_on(struct bench_lap *lap, unsigned int ncpus, shape_thread_fn thread,
		 struct shape_sum *sum);
int shape_run(struct bench_lap *lap, shape_thread_fn thread);
int shape_rows(const struct bench_row *row, unsigned int mincpus);

/*
 * shape_thread() - the work of one CPU, from a template
 *
 * To be called with the template as a constant, for it to be copied for each side.
 */
static __always_inline int shape_thread(shape_template template, unsigned int id, void *workers)
{
	struct shape_worker *w = (struct shape_worker *)workers + id;
	int err;

	w->start = bench_ticks();
	err = w->lap->side == KMHEAP ? template(KMHEAP, w) : template(KMALLOC, w);
	w->end = bench_ticks();
	return err;
}

/* shape_bytes_thread(), from template shape(side, bytes, w), with a size that is a constant. */
#define SHAPE_THREAD(shape, bytes)						\
static __always_inline int shape##_##bytes(enum bench_side side, struct shape_worker *w) \
{										\
	return shape(side, bytes, w);						\
}										\
										\
static int shape##_##bytes##_thread(unsigned int id, void *workers)		\
{										\
	return shape_thread(shape##_##bytes, id, workers);			\
}

/* Outside of what is timed. */
static inline void *shape_alloc(enum bench_side side, size_t bytes)
{
	return side == KMHEAP ? side_alloc(KMHEAP, bytes, GFP_KERNEL) :
				side_alloc(KMALLOC, bytes, GFP_KERNEL);
}

static inline void shape_free(enum bench_side side, void *p)
{
	if (side == KMHEAP)
		side_free(KMHEAP, p, 0);
	else
		side_free(KMALLOC, p, 0);
}

/* A random number below @n: xorshift, a few cycles. @seed is not 0. */
static __always_inline u32 shape_random(u64 *seed, u32 n)
{
	u64 x = *seed;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*seed = x;
	return (x >> 32) * n >> 32;
}

/* Another one for each CPU, the same ones for each side. */
static __always_inline u64 shape_seed(const struct shape_worker *w)
{
	return 0x9e3779b97f4a7c15ULL * (w->id + 1) + w->lap->round * 2ULL;
}

#endif /* _KMHEAP_BENCH_SHAPES_H */
