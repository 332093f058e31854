/* SPDX-License-Identifier: GPL-2.0 */
/* What every benchmark module shares: a clock, percentiles, and how a figure is printed. */
#ifndef _KMHEAP_BENCH_FIGURE_H
#define _KMHEAP_BENCH_FIGURE_H

#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/printk.h>
#include <linux/sort.h>

/*
 * bench_ticks() - the finest clock there is
 *
 * On x86 the time stamp counter, read directly, because User-Mode Linux has it too but its
 * get_cycles() is 0. Nanoseconds elsewhere.
 */
static __always_inline u64 bench_ticks(void)
{
#ifdef __x86_64__
	u32 low, high;

	asm volatile("lfence; rdtsc" : "=a" (low), "=d" (high) : : "memory");
	return (u64)high << 32 | low;
#else
	return ktime_get_ns();
#endif
}

/*
 * bench_unit() - what a tick is
 *
 * QEMU with -icount shift=0 advances the counter by one for each instruction. So a thousand of
 * them that do nothing take a thousand ticks there each time, a quarter of that on hardware,
 * and next to none under plain emulation.
 */
static inline const char *bench_unit(void)
{
#ifdef __x86_64__
	int i;

	for (i = 0; i < 3; i++) {
		u64 start = bench_ticks(), ticks;

		asm volatile(".rept 1000\n\tnop\n\t.endr");
		ticks = bench_ticks() - start;
		if (ticks < 1000 || ticks > 1020)
			return "cycles";
	}
	return "instructions";
#else
	return "ns";
#endif
}

static inline int bench_compare(const void *a, const void *b)
{
	const u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Sorts @samples. */
static inline u64 bench_median(u64 *samples, unsigned int n)
{
	sort(samples, n, sizeof(u64), bench_compare, NULL);
	return samples[n / 2];
}

/* What the figures of one line are of. */
struct bench_figure {
	const char *name;	/* of the case */
	const char *op;
	size_t bytes;		/* 0 when there is no one size */
	unsigned int cpus;	/* 0 for 1 */
	const char *side;
	const char *unit;
	const char *extra;	/* more members, as in "\"live\":1000", or NULL */
};

struct bench_text {
	char s[28];
};

static inline struct bench_text bench_text(u64 hundredths)
{
	struct bench_text text;
	u32 rest;
	u64 whole = div_u64_rem(hundredths, 100, &rest);

	snprintf(text.s, sizeof(text.s), "%llu.%02u", whole, rest);
	return text;
}

/*
 * One line: median, 10th and 90th percentile of @n samples, which are in hundredths of the
 * unit. Sorts @samples.
 */
static inline void bench_print_samples(const struct bench_figure *f, u64 *samples, unsigned int n)
{
	struct bench_text median = bench_text(bench_median(samples, n));
	struct bench_text low = bench_text(samples[n / 10]);
	struct bench_text high = bench_text(samples[n - 1 - n / 10]);

	pr_info("BENCH {\"case\":\"%s\",\"op\":\"%s\",\"bytes\":%zu,\"cpus\":%u,\"side\":\"%s\",\"unit\":\"%s\",\"rounds\":%u,\"median\":%s,\"low\":%s,\"high\":%s%s%s}\n",
		f->name, f->op, f->bytes, f->cpus ?: 1, f->side, f->unit, n,
		median.s, low.s, high.s, f->extra ? "," : "", f->extra ?: "");
}

/* A figure that was taken once. */
static inline void bench_print_value(const struct bench_figure *f, u64 hundredths)
{
	bench_print_samples(f, &hundredths, 1);
}

/* The same for samples that are sums of @ops operations, not in hundredths. */
static inline void bench_print_sums(const struct bench_figure *f, u64 *samples, unsigned int n,
				    unsigned long ops)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		samples[i] = div64_u64(samples[i] * 100, ops);
	bench_print_samples(f, samples, n);
}

#endif /* _KMHEAP_BENCH_FIGURE_H */
