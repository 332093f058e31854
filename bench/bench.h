/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The frame of kmheap_bench.ko: a case has rows, one for each size; a row is measured in rounds,
 * and each round is a lap of every side in turn, all in the same boot. A lap has phases, each
 * of which is timed and gives a line of its own for each side.
 */
#ifndef _KMHEAP_BENCH_H
#define _KMHEAP_BENCH_H

#include <linux/kmheap.h>
#include <linux/sizes.h>
#include <linux/types.h>

#include "figure.h"

enum bench_side { KMHEAP, KMALLOC, KMEM_CACHE, KVMALLOC, VMALLOC, PAGES, NR_SIDES };

#define BENCH_PHASES		4
#define BENCH_MAX_ROUNDS	101
#define BENCH_ROUNDS		41
#define BENCH_WARM_UP		3	/* rounds before the first that counts */

/* After this time a row has as many rounds as it has; on a busy host two CPUs may take long. */
#define BENCH_ROW_NS		(3 * NSEC_PER_SEC)
#define BENCH_LEAST_ROUNDS	5

struct bench_row;

/* What a lap is to do, and what it took. */
struct bench_lap {
	const struct bench_row *row;
	enum bench_side side;
	size_t bytes;
	unsigned int nobjs;
	int round;		/* negative in the warm-up */
	void **objects;		/* @nobjs of them; the side's own if the row has a begin() */
	struct {
		u64 ticks;
		unsigned long ops;	/* the figure is ticks / ops */
	} phase[BENCH_PHASES];
};

/* 0 or an error, and then nothing is left behind. */
typedef int (*bench_lap_fn)(struct bench_lap *lap);

/* Phases 0 to 2 of a lap: allocation, free, and their sum, of @n objects. */
static inline void bench_lap_split(struct bench_lap *lap, unsigned int n, u64 start, u64 mid,
				   u64 end)
{
	lap->phase[0].ticks = mid - start;
	lap->phase[1].ticks = end - mid;
	lap->phase[2].ticks = end - start;
	lap->phase[0].ops = n;
	lap->phase[1].ops = n;
	lap->phase[2].ops = n;
}

struct bench_row {
	const char *name;		/* of the case */
	const char *ops[BENCH_PHASES];	/* names of phases; NULL for one that is not printed */
	size_t bytes;
	unsigned int nobjs;
	unsigned int cpus;		/* 0 for 1; with more than there are, the row is left out */
	unsigned int rounds;		/* 0 for BENCH_ROUNDS */
	const char *unit;		/* of ticks; NULL for those of bench_ticks() */
	const char *extra;		/* as in struct bench_figure */
	unsigned long sides;		/* a bit for each */
	bench_lap_fn lap;
	bench_lap_fn begin;		/* of a side, before the first round; or NULL */
	bench_lap_fn end;		/* after the last one, even when a lap failed */
};

/* A heap for each case; a cache for each row that has this side, with objects of its size. */
extern struct kmheap *bench_heap;
extern struct kmem_cache *bench_cache;
extern const char *bench_tick_unit;
extern const char * const bench_side_names[NR_SIDES];

/* What side_fixed() has copies for. */
#define BENCH_NSIZES	18
extern const size_t bench_sizes[BENCH_NSIZES];

/* Was this size asked for? True for all when the module has no parameter sizes. */
bool bench_size_wanted(size_t bytes);
/* How many rounds, when @rounds are usual: the module's parameter goes first. */
unsigned int bench_rounds(unsigned int rounds);
int bench_run_row(const struct bench_row *row);

/*
 * bench_threads() - call @fn on the first @n online CPUs at the same time
 *
 * The i-th thread is bound to the i-th online CPU and gets @i. They begin when all are there.
 * Returns the first error. The caller sleeps meanwhile.
 */
int bench_threads(unsigned int n, int (*fn)(unsigned int i, void *arg), void *arg);

/* "BENCH_ERROR ..." makes scripts/bench fail. */
#define bench_error(fmt, ...)	pr_err("BENCH_ERROR " fmt "\n", ##__VA_ARGS__)

struct bench_case {
	const char *name;
	int (*run)(void);	/* with bench_heap, on the first CPU */
};

int bench_pair(void);
int bench_burst(void);
int bench_burst_reverse(void);
int bench_shuffle(void);
int bench_shuffle_1m(void);
int bench_zeroed(void);
int bench_bulk(void);
int bench_atomic(void);
int bench_remote(void);
int bench_ring(void);
int bench_twice(void);
int bench_larson(void);
int bench_xmalloc(void);
int bench_sh8bench(void);
int bench_mstress(void);
int bench_cache_thrash(void);
int bench_cache_scratch(void);
int bench_latency(void);
int bench_scaling(void);
int bench_cold(void);
int bench_large(void);
int bench_grow(void);
int bench_mixed(void);
int bench_memory(void);
int bench_growth(void);
int bench_pack(void);
int bench_swing(void);

#endif /* _KMHEAP_BENCH_H */
