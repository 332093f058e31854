// SPDX-License-Identifier: GPL-2.0
/*
 * What an allocator has taken from the kernel, over the bytes that its client asked for and has
 * not freed: kmheap, then kmalloc(), with the same sequence of operations in the same boot.
 *
 * peak:     the live set has been built up and nothing freed.
 * free50:   half of the objects, drawn at random, have been freed. free90: nine of ten.
 * churn:    objects drawn at random were freed and others allocated, until many times the live
 *	     set has been allocated. Its bytes stay the same, while the mean size drifts down
 *	     to 1/drift and back, in CHURN_PERIODS periods. Samples are from all over the last
 *	     one, churn_end is its end.
 * *_shrink: the same after kmheap_shrink(), or kmem_cache_shrink() on all caches of kmalloc().
 *	     Nothing shrinks before.
 * rounding: bytes that could be used of the live objects, over those asked for. Computed.
 * metadata: kmheap_stats.metadata_bytes over the footprint. SLUB has its own in struct page.
 * replace:  ticks of a free and an allocation of the churn, the drawing of both included.
 *
 * kmheap's footprint is that of a heap of its own, tables included. SLUB's is what the slabs of
 * kmalloc()'s caches have grown since before, and pages for what is past its caches. Rounds
 * differ in the seed.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "bench.h"
#include "memory.h"
#include "side.h"

#define CHURN_PERIODS	4
#define CHURN_SAMPLES	16	/* in the last period */
#define MAX_ROUNDS	8

static unsigned int live_mib = 32;
module_param(live_mib, uint, 0444);
MODULE_PARM_DESC(live_mib, "memory: MiB of live objects");

static unsigned int turnover = 16;
module_param(turnover, uint, 0444);
MODULE_PARM_DESC(turnover, "memory: how many times the live set is allocated in the churn");

static unsigned int drift = 4;
module_param(drift, uint, 0444);
MODULE_PARM_DESC(drift, "memory: the mean of the churn's sizes drifts down to 1/drift and back");

enum figure {
	PEAK, PEAK_ROUNDING, PEAK_METADATA, FREE_50, FREE_90, FREE_90_SHRINK, CHURN, CHURN_END,
	CHURN_METADATA, CHURN_SHRINK, CHURN_REPLACE, NR_FIGURES
};

static const struct {
	const char *op, *unit;
} figures[NR_FIGURES] = {
	[PEAK] = { "peak", "ratio" },
	[PEAK_ROUNDING] = { "rounding", "ratio" },
	[PEAK_METADATA] = { "metadata", "ratio" },
	[FREE_50] = { "free50", "ratio" },
	[FREE_90] = { "free90", "ratio" },
	[FREE_90_SHRINK] = { "free90_shrink", "ratio" },
	[CHURN] = { "churn", "ratio" },
	[CHURN_END] = { "churn_end", "ratio" },
	[CHURN_METADATA] = { "churn_metadata", "ratio" },
	[CHURN_SHRINK] = { "churn_shrink", "ratio" },
	[CHURN_REPLACE] = { "replace", NULL },
};

/* In hundredths; of one side, in one distribution. */
static struct {
	unsigned int n;
	u64 value[MAX_ROUNDS * CHURN_SAMPLES];
	u64 footprint, live;		/* bytes, of the last one */
} samples[NR_FIGURES];

/* The live objects of a side. */
struct live {
	const struct bench_sizes *sizes;
	struct rnd_state rnd;
	void **objects;
	u32 *bytes;
	unsigned long n, max;
	u64 requested;			/* the sum of @bytes */
	u64 pages_bytes;		/* what kmalloc() took past its caches */
	u64 slab_bytes;			/* slabs that were there before */
};

static int live_init(struct live *l, const struct bench_sizes *sizes, u64 target)
{
	*l = (struct live){ .sizes = sizes };
	l->max = div_u64(target * (drift + 1), sizes->mean) + 1000;
	l->objects = kvmalloc_array(l->max, sizeof(*l->objects), GFP_KERNEL);
	l->bytes = kvmalloc_array(l->max, sizeof(*l->bytes), GFP_KERNEL);
	if (l->objects && l->bytes)
		return 0;
	kvfree(l->objects);
	kvfree(l->bytes);
	return -ENOMEM;
}

static void live_release(struct live *l)
{
	kvfree(l->objects);
	kvfree(l->bytes);
}

/* ---- operations */

/* One object more, of a size that is drawn and scaled by @scale / 256. */
static __always_inline int grow(enum bench_side side, struct live *l, unsigned int scale)
{
	u32 bytes = max(bench_sizes_draw(l->sizes, &l->rnd) * scale >> 8, 1U);
	void *p;

	if (l->n == l->max)
		return -ENOSPC;
	p = side_alloc(side, bytes, GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	WRITE_ONCE(*(u8 *)p, 1);
	l->objects[l->n] = p;
	l->bytes[l->n++] = bytes;
	l->requested += bytes;
	if (side == KMALLOC)
		l->pages_bytes += bench_slab_large_bytes(bytes);
	return 0;
}

static __always_inline void drop(enum bench_side side, struct live *l, unsigned long i)
{
	u32 bytes = l->bytes[i];

	side_free(side, l->objects[i], bytes);
	l->objects[i] = l->objects[--l->n];
	l->bytes[i] = l->bytes[l->n];
	l->requested -= bytes;
	if (side == KMALLOC)
		l->pages_bytes -= bench_slab_large_bytes(bytes);
}

static unsigned long any_of(struct live *l)
{
	return ((u64)prandom_u32_state(&l->rnd) * l->n) >> 32;
}

static __always_inline int fill(enum bench_side side, struct live *l, u64 target)
{
	int err = 0;

	while (!err && l->requested < target) {
		err = grow(side, l, 256);
		if (!(l->n % 1024))
			cond_resched();
	}
	return err;
}

static __always_inline void thin(enum bench_side side, struct live *l, unsigned long n)
{
	while (l->n > n) {
		drop(side, l, any_of(l));
		if (!(l->n % 1024))
			cond_resched();
	}
}

/* ---- figures */

static u64 footprint(enum bench_side side, const struct live *l)
{
	return bench_footprint(side, l->slab_bytes, l->pages_bytes);
}

static void note(enum figure what, u64 hundredths)
{
	if (samples[what].n < ARRAY_SIZE(samples[what].value))
		samples[what].value[samples[what].n++] = hundredths;
}

static void note_ratio(enum figure what, u64 over, u64 under)
{
	note(what, div64_u64(over * 100 + under / 2, under ?: 1));
	samples[what].footprint = over;
	samples[what].live = under;
}

static void note_metadata(enum bench_side side, enum figure what)
{
	struct kmheap_stats st;

	if (side != KMHEAP)
		return;
	kmheap_stats(bench_heap, &st);
	note_ratio(what, st.metadata_bytes, st.footprint_bytes);
}

static void note_rounding(enum bench_side side, struct live *l)
{
	u64 usable = 0;
	unsigned long i;

	for (i = 0; i < l->n; i++) {
		if (side == KMALLOC)
			usable += bench_slab_large_bytes(l->bytes[i]) ?:
				  kmalloc_size_roundup(l->bytes[i]);
		else if (l->bytes[i] > KMHEAP_MAX_SMALL)
			usable += ALIGN(l->bytes[i], KMHEAP_PAGE_SIZE);
		else
			usable += kmheap_size(l->objects[i]);
		if (!(i % 1024))
			cond_resched();
	}
	note_ratio(PEAK_ROUNDING, usable, l->requested);
}

/* ---- the two sequences */

static __always_inline int rise_and_fall(enum bench_side side, struct live *l, u64 target)
{
	unsigned long n;
	int err = fill(side, l, target);

	if (err)
		return err;
	n = l->n;
	note_ratio(PEAK, footprint(side, l), l->requested);
	note_rounding(side, l);
	note_metadata(side, PEAK_METADATA);
	thin(side, l, n / 2);
	note_ratio(FREE_50, footprint(side, l), l->requested);
	thin(side, l, n / 10);
	note_ratio(FREE_90, footprint(side, l), l->requested);
	if (side == KMHEAP)
		kmheap_shrink(bench_heap);
	else
		bench_slab_shrink();
	note_ratio(FREE_90_SHRINK, footprint(side, l), l->requested);
	return 0;
}

/* Replaces objects until @volume has been allocated, the mean at @scale / 256. */
static __always_inline int replace(enum bench_side side, struct live *l, u64 target, u64 volume,
				   unsigned int scale, u64 *ops)
{
	u64 done = 0;
	int err;

	while (done < volume) {
		if (l->requested >= target) {
			drop(side, l, any_of(l));
			continue;
		}
		err = grow(side, l, scale);
		if (err)
			return err;
		done += l->bytes[l->n - 1];
		if (!(++*ops % 1024))
			cond_resched();
	}
	return 0;
}

static __always_inline int churn(enum bench_side side, struct live *l, u64 target)
{
	const unsigned int steps = CHURN_PERIODS * CHURN_SAMPLES, least = 256 / drift;
	u64 volume = div_u64(target * turnover, steps), ops = 0, ticks = 0;
	unsigned int i;
	int err = fill(side, l, target);

	for (i = 0; !err && i < steps; i++) {
		int at = (i + 1) % CHURN_SAMPLES, half = CHURN_SAMPLES / 2;
		u64 start = bench_ticks();

		err = replace(side, l, target, volume,
			      least + (256 - least) * abs(half - at) / half, &ops);
		ticks += bench_ticks() - start;
		if (!err && i >= steps - CHURN_SAMPLES)
			note_ratio(CHURN, footprint(side, l), l->requested);
	}
	if (err)
		return err;
	note_ratio(CHURN_END, footprint(side, l), l->requested);
	note_metadata(side, CHURN_METADATA);
	if (side == KMHEAP)
		kmheap_shrink(bench_heap);
	else
		bench_slab_shrink();
	note_ratio(CHURN_SHRINK, footprint(side, l), l->requested);
	note(CHURN_REPLACE, div64_u64(ticks * 100, ops ?: 1));
	return 0;
}

typedef int (*sequence)(enum bench_side side, struct live *l, u64 target);

/* @run from a state in which the side has nothing, in a heap of its own. */
static __always_inline int from_nothing(enum bench_side side, sequence run,
					const struct bench_sizes *sizes, unsigned int seed)
{
	u64 target = (u64)live_mib << 20;
	struct kmheap *outer = bench_heap;
	struct live l;
	int err;

	err = live_init(&l, sizes, target);
	if (err)
		return err;
	prandom_seed_state(&l.rnd, seed);
	bench_heap = kmheap_create("bench_memory", NULL);
	err = PTR_ERR_OR_ZERO(bench_heap);
	if (!err) {
		bench_slab_shrink();
		l.slab_bytes = bench_slab_bytes();
		err = run(side, &l, target);
		thin(side, &l, 0);
		kmheap_destroy(bench_heap);
	}
	bench_heap = outer;
	live_release(&l);
	return err;
}

static noinline int run_kmheap(const struct bench_sizes *sizes, unsigned int seed)
{
	return from_nothing(KMHEAP, rise_and_fall, sizes, seed) ?:
	       from_nothing(KMHEAP, churn, sizes, seed);
}

static noinline int run_kmalloc(const struct bench_sizes *sizes, unsigned int seed)
{
	return from_nothing(KMALLOC, rise_and_fall, sizes, seed) ?:
	       from_nothing(KMALLOC, churn, sizes, seed);
}

static void print_figures(enum bench_side side, const struct bench_sizes *sizes)
{
	unsigned int i;

	for (i = 0; i < NR_FIGURES; i++) {
		char extra[128];
		struct bench_figure f = {
			.name = "memory", .op = figures[i].op, .side = bench_side_names[side],
			.unit = figures[i].unit ?: bench_tick_unit, .extra = extra,
		};

		if (!samples[i].n)
			continue;
		snprintf(extra, sizeof(extra),
			 "\"sizes\":\"%s\",\"live_mib\":%u,\"over\":%llu,\"under\":%llu",
			 sizes->name, live_mib, samples[i].footprint, samples[i].live);
		bench_print_samples(&f, samples[i].value, samples[i].n);
	}
}

static int bench_distribution(const struct bench_sizes *sizes, bool slab_known)
{
	unsigned int round, rounds = min_t(unsigned int, bench_rounds(1), MAX_ROUNDS);
	enum bench_side side;
	int err = 0;

	for (side = KMHEAP; !err && side <= KMALLOC; side++) {
		if (side == KMALLOC && !slab_known)
			continue;
		memset(samples, 0, sizeof(samples));
		for (round = 0; !err && round < rounds; round++)
			err = side == KMHEAP ? run_kmheap(sizes, round + 1) :
					       run_kmalloc(sizes, round + 1);
		if (!err)
			print_figures(side, sizes);
	}
	return err;
}

int bench_memory(void)
{
	bool slab_known = bench_slab_open();
	enum bench_sizes_kind kind;
	int err = 0;

	drift = clamp(drift, 1U, 256U);
	for (kind = 0; !err && kind < NR_BENCH_SIZES; kind++) {
		struct bench_sizes sizes;

		err = bench_sizes_make(&sizes, kind);
		if (err)
			break;
		err = bench_distribution(&sizes, slab_known);
		bench_sizes_release(&sizes);
	}
	bench_slab_close();
	return err;
}
