/* SPDX-License-Identifier: GPL-2.0 */
/* What the benchmark modules share: a clock, medians, and how a figure is printed. */
#ifndef _KMHEAP_BENCH_H
#define _KMHEAP_BENCH_H

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

/* "BENCH @group_@name value unit", the value given in hundredths. */
#define bench_print(hundredths, unit, name, ...)					\
do {											\
	u32 __rest;									\
	u64 __whole = div_u64_rem(hundredths, 100, &__rest);				\
											\
	pr_info("BENCH " name " %llu.%02u %s\n", ##__VA_ARGS__, __whole, __rest, unit);	\
} while (0)

#endif /* _KMHEAP_BENCH_H */
