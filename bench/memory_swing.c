// SPDX-License-Identifier: GPL-2.0
/*
 * swing: live bytes swing between a tenth and all of SWING_MIB, the newest objects first, with
 * half of a period spent at each end. What the scavenger makes of it, over all swings but the
 * first: with the history of demand that it keeps, and by the use of the moment alone.
 *
 * taken, given: arenas a swing.
 * low:          footprint at the end of the low half, over that at the end of the high one; in
 *		 percent.
 */
#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "../kmod/base/benchmark.h"
#include "bench.h"

#define SWING_MIB	32U
#define BYTES		1024U
#define NOBJS		((SWING_MIB << 20) / BYTES)
#define MAX_SWINGS	32U

static const struct swing {
	unsigned int period_ms, nswings;
} swings[] = { { 200, 21 }, { 2000, 7 }, { 10000, 4 } };

static u64 footprint(unsigned long *arenas)
{
	struct kmheap_stats st;

	kmheap_stats(bench_heap, &st);
	*arenas = st.arenas;
	return st.footprint_bytes;
}

static int fill(void **objects, unsigned int *n, unsigned int to)
{
	for (; *n < to; (*n)++) {
		objects[*n] = kmheap_alloc(bench_heap, BYTES, GFP_KERNEL);
		if (!objects[*n])
			return -ENOMEM;
		if (!(*n % 1024))
			cond_resched();
	}
	return 0;
}

static void empty(void **objects, unsigned int *n, unsigned int to)
{
	while (*n > to) {
		kmheap_free(objects[--*n]);
		if (!(*n % 1024))
			cond_resched();
	}
}

static void wait_until(u64 ns)
{
	u64 now = ktime_get_ns();

	if (now < ns)
		msleep(div_u64(ns - now, NSEC_PER_MSEC));
}

static int swing(const struct swing *s, void **objects, u64 *taken, u64 *given, u64 *low)
{
	unsigned int i, n = 0, m = 0;
	unsigned long arenas, before, gone = 0;
	u64 next = ktime_get_ns(), high;
	int err = 0;

	footprint(&before);
	for (i = 0; !err && i < s->nswings; i++) {
		unsigned long lost;

		err = fill(objects, &n, NOBJS);
		next += s->period_ms / 2 * NSEC_PER_MSEC;
		wait_until(next);
		high = footprint(&arenas);
		empty(objects, &n, NOBJS / 10);
		next += s->period_ms / 2 * NSEC_PER_MSEC;
		wait_until(next);
		low[m] = div64_u64(footprint(&arenas) * 10000, high);
		lost = kmh_bench_arenas_given(bench_heap) - gone;
		gone += lost;
		taken[m] = 100 * (arenas + lost - before);
		given[m] = 100 * lost;
		before = arenas;
		m += i > 0;	/* the first one takes what it needs */
	}
	empty(objects, &n, 0);
	return err;
}

static int swing_row(const struct swing *s, void **objects, bool history)
{
	struct bench_figure f = { .name = "swing", .side = history ? "kmheap" : "no_history" };
	u64 taken[MAX_SWINGS], given[MAX_SWINGS], low[MAX_SWINGS];
	struct kmheap *outer = bench_heap;
	char extra[32];
	int err;

	snprintf(extra, sizeof(extra), "\"period\":\"%u ms\"", s->period_ms);
	f.extra = extra;
	kmh_bench_no_history = !history;
	bench_heap = kmheap_create("bench_swing", NULL);
	err = PTR_ERR_OR_ZERO(bench_heap);
	if (!err) {
		err = swing(s, objects, taken, given, low);
		kmheap_destroy(bench_heap);
	}
	bench_heap = outer;
	kmh_bench_no_history = false;
	if (err)
		return err;
	f.unit = "arenas";
	f.op = "taken";
	bench_print_samples(&f, taken, s->nswings - 1);
	f.op = "given";
	bench_print_samples(&f, given, s->nswings - 1);
	f.unit = "percent";
	f.op = "low";
	bench_print_samples(&f, low, s->nswings - 1);
	return 0;
}

int bench_swing(void)
{
	void **objects = kvmalloc_array(NOBJS, sizeof(*objects), GFP_KERNEL);
	unsigned int i;
	int err = objects ? 0 : -ENOMEM;

	for (i = 0; !err && i < ARRAY_SIZE(swings); i++)
		err = swing_row(&swings[i], objects, true) ?:
		      swing_row(&swings[i], objects, false);
	kvfree(objects);
	return err;
}
