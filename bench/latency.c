// SPDX-License-Identifier: GPL-2.0
/*
 * latency: what single operations take in steady state. One CPU replaces objects at random
 * places of a live set; each allocation and each free is timed for itself and counted in a
 * histogram.
 *
 * "median" is that of all the operations of a round, and low and high are those of
 * the rounds' medians. "p99", "p999", "p9999" and "max" are of all rounds together: 99 %,
 * 99.9 % and 99.99 % of the operations take at most so long, and the longest.
 *
 * What reading the clock takes is subtracted. Interrupts, and whatever else takes the CPU
 * away, are in the figures; the sides take turns, so that each gets its share of that.
 */
#include <linux/bitops.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "shapes.h"

#define LIVE		2048U
#define ROUND_OPS	5000U
#define ROUNDS		101U
#define SETTLE		10	/* rounds before the first that counts */

/*
 * Log-linear: exact below 2 * STEPS, then STEPS buckets for each power of two. A bucket is
 * so narrow that its middle is at most 1 in 2 * STEPS from what it counts.
 */
#define STEP_BITS	6
#define STEPS		BIT(STEP_BITS)
#define BUCKETS		(STEPS * 34)	/* up to 2 ** 39 ticks */

struct histogram {
	u64 n, max;
	u32 count[BUCKETS];
};

enum latency_op { ALLOC, FREE, NR_OPS };

static const char * const op_names[NR_OPS] = { "alloc", "free" };

struct latency {
	u64 clock;			/* ticks that reading it takes */
	u64 seed;
	void *live[LIVE];
	struct histogram round[NR_OPS], total[NR_OPS];
	u64 medians[NR_OPS][ROUNDS];	/* in hundredths */
};

static unsigned int bucket_of(u64 ticks)
{
	unsigned int shift;

	if (ticks < 2 * STEPS)
		return ticks;
	shift = __fls(ticks) - STEP_BITS;
	return min_t(u64, shift * STEPS + (ticks >> shift), BUCKETS - 1);
}

/* The middle of a bucket, in hundredths of a tick. */
static u64 bucket_hundredths(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < 2 * STEPS)
		return bucket * 100;
	shift = bucket / STEPS - 1;
	return ((bucket - shift * STEPS) * 100ULL + 50) << shift;
}

/* In hundredths: what @per_10000 of 10,000 operations take at most. */
static u64 percentile(const struct histogram *h, unsigned int per_10000)
{
	u64 want = div_u64(h->n * per_10000 + 9999, 10000), n = 0;
	unsigned int i;

	for (i = 0; i < BUCKETS; i++) {
		n += h->count[i];
		if (n >= want)
			break;
	}
	return bucket_hundredths(i);
}

static __always_inline void count(struct histogram *h, u64 ticks, u64 clock)
{
	ticks = ticks > clock ? ticks - clock : 0;
	h->count[bucket_of(ticks)]++;
	h->n++;
	h->max = max(h->max, ticks);
}

static void merge(struct histogram *sum, const struct histogram *h)
{
	unsigned int i;

	sum->n += h->n;
	sum->max = max(sum->max, h->max);
	for (i = 0; i < BUCKETS; i++)
		sum->count[i] += h->count[i];
}

/* The median of what nothing at all takes. */
static u64 clock_ticks(void)
{
	u64 samples[64];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(samples); i++) {
		u64 start = bench_ticks();

		samples[i] = bench_ticks() - start;
	}
	return bench_median(samples, ARRAY_SIZE(samples));
}

static const u16 mixed_bytes[] = {
	8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048, 4096, 8192,
};

/* Of objects of @bytes, or of mixed sizes if that is 0. */
static __always_inline int replace(enum bench_side side, size_t bytes, struct latency *l)
{
	unsigned int i;

	for (i = 0; i < ROUND_OPS; i++) {
		size_t n = bytes ?: mixed_bytes[shape_random(&l->seed, ARRAY_SIZE(mixed_bytes))];
		void **object = &l->live[shape_random(&l->seed, LIVE)];
		u64 start, end;
		void *p = *object;

		start = bench_ticks();
		side_free(side, p, n);
		end = bench_ticks();
		count(&l->round[FREE], end - start, l->clock);
		start = bench_ticks();
		p = side_alloc(side, n, GFP_KERNEL);
		end = bench_ticks();
		*object = p;
		if (unlikely(!p))
			return -ENOMEM;
		WRITE_ONCE(*(unsigned long *)p, i);
		count(&l->round[ALLOC], end - start, l->clock);
	}
	return 0;
}

/* Every one of latency_bytes[] must be here. */
static __always_inline int replace_fixed(enum bench_side side, size_t bytes, struct latency *l)
{
	switch (bytes) {
	case 64:
		return replace(side, 64, l);
	case 256:
		return replace(side, 256, l);
	case SZ_1K:
		return replace(side, SZ_1K, l);
	case SZ_4K:
		return replace(side, SZ_4K, l);
	}
	return replace(side, 0, l);
}

static noinline int replace_kmheap(size_t bytes, struct latency *l)
{
	return replace_fixed(KMHEAP, bytes, l);
}

static noinline int replace_kmalloc(size_t bytes, struct latency *l)
{
	return replace_fixed(KMALLOC, bytes, l);
}

static const size_t latency_bytes[] = { 64, 256, SZ_1K, SZ_4K, 0 };

/* A round of one side; the first ones do not count. */
static int latency_round(enum bench_side side, size_t bytes, struct latency *l, int round)
{
	unsigned int op;
	int err;

	memset(l->round, 0, sizeof(l->round));
	err = side == KMHEAP ? replace_kmheap(bytes, l) : replace_kmalloc(bytes, l);
	for (op = 0; !err && round >= 0 && op < NR_OPS; op++) {
		l->medians[op][round] = percentile(&l->round[op], 5000);
		merge(&l->total[op], &l->round[op]);
	}
	cond_resched();
	return err;
}

#define LATENCY_EXTRA \
	"\"p99\":%llu,\"p999\":%llu,\"p9999\":%llu,\"max\":%llu,\"samples\":%llu"

static void latency_print(enum bench_side side, size_t bytes, struct latency *l,
			  unsigned int nrounds)
{
	struct bench_figure f = {
		.name = "latency", .bytes = bytes, .side = bench_side_names[side],
		.unit = bench_tick_unit,
	};
	unsigned int op;

	for (op = 0; op < NR_OPS; op++) {
		const struct histogram *h = &l->total[op];
		char extra[128];

		snprintf(extra, sizeof(extra), LATENCY_EXTRA, div_u64(percentile(h, 9900), 100),
			 div_u64(percentile(h, 9990), 100), div_u64(percentile(h, 9999), 100),
			 h->max, h->n);
		f.op = op_names[op];
		f.extra = extra;
		bench_print_samples(&f, l->medians[op], nrounds);
	}
}

static int latency_row(size_t bytes)
{
	struct latency *sides = kvcalloc(2, sizeof(*sides), GFP_KERNEL);
	unsigned int nrounds = min(bench_rounds(ROUNDS), ROUNDS), side, i;
	int err = 0, round;

	if (!sides)
		return -ENOMEM;
	for (side = KMHEAP; side <= KMALLOC; side++) {
		sides[side].clock = clock_ticks();
		sides[side].seed = 1;
	}
	for (round = -SETTLE; !err && round < (int)nrounds; round++)
		for (side = KMHEAP; !err && side <= KMALLOC; side++)
			err = latency_round(side, bytes, &sides[side], round);
	for (side = KMHEAP; side <= KMALLOC; side++) {
		if (!err)
			latency_print(side, bytes, &sides[side], nrounds);
		for (i = 0; i < LIVE; i++)
			shape_free(side, sides[side].live[i]);
	}
	kvfree(sides);
	return err;
}

int bench_latency(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(latency_bytes); i++) {
		if (bench_size_wanted(latency_bytes[i]))
			err = latency_row(latency_bytes[i]);
	}
	return err;
}
