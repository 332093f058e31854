/* SPDX-License-Identifier: GPL-2.0 */
/* What the cases about memory share: sizes to draw, and what SLUB has taken. */
#ifndef _KMHEAP_BENCH_MEMORY_H
#define _KMHEAP_BENCH_MEMORY_H

#include <linux/minmax.h>
#include <linux/prandom.h>
#include <linux/types.h>

#include "bench.h"
#include "side.h"

#define BENCH_QUANTILES		65536U

/* A distribution of sizes, as a table in which each entry is as likely as the next. */
struct bench_sizes {
	const char *name;
	u32 max;
	u32 mean;
	u32 *quantile;		/* BENCH_QUANTILES of them, ascending */
};

enum bench_sizes_kind {
	BENCH_SIZES_BOOT,	/* what a booting and working kernel asked kmalloc() for */
	BENCH_SIZES_SMALL,	/* 16 to 256 bytes, all as likely */
	BENCH_SIZES_LOG,	/* 16 bytes to 8 KiB, each doubling as likely as the next */
	BENCH_SIZES_LARGE,	/* 16 to 64 KiB, all as likely */
	NR_BENCH_SIZES,
};

int bench_sizes_make(struct bench_sizes *sizes, enum bench_sizes_kind kind);
void bench_sizes_release(struct bench_sizes *sizes);

static inline u32 bench_sizes_draw(const struct bench_sizes *sizes, struct rnd_state *rnd)
{
	return sizes->quantile[prandom_u32_state(rnd) >> 16];
}

/*
 * bench_slab_bytes() - the pages of all slabs of kmalloc()'s caches, in bytes
 *
 * From the caches' files in sysfs, which count slabs exactly, as /proc/slabinfo does, but can
 * be read from here. The node counter NR_SLAB_UNRECLAIMABLE_B holds every other cache as well,
 * and is off by what the CPUs have not yet added to it.
 *
 * Only between bench_slab_open(), which returns false if it cannot be told here, and
 * bench_slab_close(), which has to follow either.
 */
u64 bench_slab_bytes(void);
bool bench_slab_open(void);
void bench_slab_close(void);

/*
 * bench_footprint() - what a side has taken from the kernel, in bytes
 *
 * kmalloc()'s is what its slabs have grown since they had @slab_bytes, and @pages_bytes.
 */
static inline u64 bench_footprint(enum bench_side side, u64 slab_bytes, u64 pages_bytes)
{
	struct kmheap_stats st;
	u64 now;

	if (side == KMHEAP) {
		kmheap_stats(bench_heap, &st);
		return st.footprint_bytes;
	}
	now = bench_slab_bytes();
	return now - min(now, slab_bytes) + pages_bytes;
}

/* Gives back the empty slabs of kmalloc()'s caches. */
void bench_slab_shrink(void);

/* What kmalloc() takes for an object past its caches: pages of a power of two; else 0. */
size_t bench_slab_large_bytes(size_t bytes);

#endif /* _KMHEAP_BENCH_MEMORY_H */
