// SPDX-License-Identifier: GPL-2.0
/*
 * What the sweep costs, and who pays.
 *
 * swing:   an allocation, when three spans of a class are filled, deferred and swept again
 *          and again: do the spans come from the lists or from fresh pages?
 * collect: a collection of a heap of so many objects, of which every other one is garbage:
 *          begin and end (the calls), a mark, the sweep of an object.
 * special: an allocation and a free in a heap without specials, with some in other spans,
 *          and with one in the same span.
 */
#include <linux/kmheap.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>

#include "figure.h"

#define ROUNDS		11
#define SWING_SPANS	3U
#define COLLECT_BYTES	64U
#define COLLECT_MAX	1000000U
#define PAIRS		10000U

static const char *unit;
static void **objects;			/* COLLECT_MAX of them */

/* ---- swing */

/* Ticks of @n allocations, which are freed and expired afterwards; 0 without memory. */
static u64 swing(struct kmheap *heap, size_t bytes, unsigned int n)
{
	u64 start = bench_ticks(), ticks;
	unsigned int i, got;

	for (got = 0; got < n; got++) {
		objects[got] = kmheap_alloc(heap, bytes, GFP_KERNEL);
		if (!objects[got])
			break;
	}
	ticks = bench_ticks() - start;
	for (i = 0; i < got; i++)
		kmheap_free_rcu(objects[i]);
	kmheap_rcu_barrier(heap);
	return got == n ? ticks : 0;
}

static bool bench_swing(size_t bytes, unsigned int nelems)
{
	struct kmheap *heap = kmheap_create("sweep_bench", NULL);
	const struct bench_figure f = {
		.name = "swing", .op = "alloc", .bytes = bytes, .side = "kmheap", .unit = unit,
	};
	unsigned int i, n = SWING_SPANS * nelems;
	u64 ticks[ROUNDS];
	bool ok;

	if (IS_ERR(heap))
		return false;
	ok = swing(heap, bytes, n);
	for (i = 0; ok && i < ROUNDS; i++) {
		ticks[i] = swing(heap, bytes, n);
		ok = ticks[i];
	}
	kmheap_destroy(heap);
	if (ok)
		bench_print_sums(&f, ticks, ROUNDS, n);
	return ok;
}

/* ---- collect */

struct collect_times {
	u64 begin, mark, end, sweep;
};

/* Every other object is dropped; the list is refilled for the next round. */
static void collect_once(struct kmheap *heap, unsigned int n, struct collect_times *t)
{
	unsigned int i;
	u64 now = ktime_get_ns();

	kmheap_collect_begin(heap);
	t->begin = ktime_get_ns() - now;
	now = ktime_get_ns();
	for (i = 0; i < n; i += 2)
		kmheap_mark(heap, objects[i]);
	t->mark = ktime_get_ns() - now;
	now = ktime_get_ns();
	kmheap_collect_end(heap);
	t->end = ktime_get_ns() - now;
	now = ktime_get_ns();
	kmheap_rcu_barrier(heap);
	t->sweep = ktime_get_ns() - now;
}

static bool collect_fill(struct kmheap *heap, unsigned int from, unsigned int step, unsigned int n)
{
	unsigned int i;

	for (i = from; i < n; i += step) {
		objects[i] = kmheap_alloc(heap, COLLECT_BYTES, GFP_KERNEL);
		if (!objects[i])
			return false;
		if (i % 4096 == 0)
			cond_resched();
	}
	return true;
}

static void collect_print_one(const char *op, u64 *ns, unsigned int n, unsigned int ops)
{
	struct bench_figure f = {
		.name = "collect", .op = op, .bytes = COLLECT_BYTES, .side = "kmheap", .unit = "ns",
	};
	char extra[64];

	sort(ns, ROUNDS, sizeof(u64), bench_compare, NULL);
	snprintf(extra, sizeof(extra), "\"objects\":%u,\"max\":%llu", n,
		 div_u64(ns[ROUNDS - 1], ops));
	f.extra = extra;
	bench_print_sums(&f, ns, ROUNDS, ops);
}

static void collect_print(struct collect_times *t, unsigned int n)
{
	u64 begin[ROUNDS], end[ROUNDS], mark[ROUNDS], sweep[ROUNDS];
	unsigned int i;

	for (i = 0; i < ROUNDS; i++) {
		begin[i] = t[i].begin;
		end[i] = t[i].end;
		mark[i] = t[i].mark;
		sweep[i] = t[i].sweep;
	}
	collect_print_one("begin", begin, n, 1);
	collect_print_one("end", end, n, 1);
	collect_print_one("mark_one", mark, n, n / 2);
	collect_print_one("sweep_one", sweep, n, n);
}

static bool bench_collect(unsigned int n)
{
	const struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmheap_create("sweep_bench", &attr);
	struct collect_times t[ROUNDS];
	struct kmheap_stats st;
	unsigned int i;
	bool ok;

	if (IS_ERR(heap))
		return false;
	ok = collect_fill(heap, 0, 1, n);
	for (i = 0; ok && i < ROUNDS; i++) {
		collect_once(heap, n, &t[i]);
		kmheap_stats(heap, &st);
		/* A collection that lost or kept an object has no time worth telling. */
		ok = st.live_objects == DIV_ROUND_UP(n, 2) && collect_fill(heap, 1, 2, n);
	}
	if (ok)
		collect_print(t, n);
	kmheap_collect_begin(heap);
	kmheap_collect_end(heap);	/* nothing is left for kmheap_destroy() to report */
	kmheap_destroy(heap);
	return ok;
}

/* ---- special */

static void special_gone(void *p, void *arg)
{
}

static u64 pairs(struct kmheap *heap)
{
	u64 start = bench_ticks();
	unsigned int i;

	for (i = 0; i < PAIRS; i++) {
		void *p = kmheap_alloc(heap, COLLECT_BYTES, GFP_KERNEL);

		barrier_data(p);
		kmheap_free(p);
	}
	return bench_ticks() - start;
}

static void special_print(struct kmheap *heap, const char *name)
{
	const struct bench_figure f = {
		.name = "special", .op = name, .bytes = COLLECT_BYTES, .side = "kmheap",
		.unit = unit,
	};
	u64 ticks[ROUNDS];
	unsigned int i;

	for (i = 0; i < ROUNDS; i++)
		ticks[i] = pairs(heap);
	bench_print_sums(&f, ticks, ROUNDS, PAIRS);
}

/* A full span's worth of objects with finalizers, then one in the span that is in use. */
static bool bench_special(void)
{
	struct kmheap *heap = kmheap_create("sweep_bench", NULL);
	unsigned int i, n = SZ_8K / COLLECT_BYTES;
	void *here = NULL;
	bool ok;

	if (IS_ERR(heap))
		return false;
	ok = collect_fill(heap, 0, 1, n);
	if (ok)
		here = kmheap_alloc(heap, COLLECT_BYTES, GFP_KERNEL);
	special_print(heap, "none");
	for (i = 0; ok && i < n; i++)
		ok = !kmheap_set_finalizer(objects[i], special_gone, NULL);
	special_print(heap, "elsewhere");
	ok = ok && here && !kmheap_set_finalizer(here, special_gone, NULL);
	special_print(heap, "here");
	kmheap_free(here);
	for (i = 0; i < n; i++)
		kmheap_free(objects[i]);
	kmheap_destroy(heap);
	return ok;
}

static int bench_all(void)
{
	unsigned int n;

	if (!bench_special())
		return -ENOMEM;
	if (!bench_swing(64, 128) || !bench_swing(1024, 8) || !bench_swing(4096, 8) ||
	    !bench_swing(16384, 4))
		return -ENOMEM;
	for (n = 1000; n <= COLLECT_MAX; n *= 10)
		if (!bench_collect(n))
			return -ENOMEM;
	return 0;
}

static int __init sweep_bench_init(void)
{
	int err = -ENOMEM;

	unit = bench_unit();
	objects = vzalloc(array_size(COLLECT_MAX, sizeof(*objects)));
	if (objects && !set_cpus_allowed_ptr(current, cpumask_of(0)))
		err = bench_all();
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	vfree(objects);
	if (err)
		pr_err("BENCH_ERROR sweep: %d\n", err);
	/* Refused modules are loaded a second time, by busybox. */
	return 0;
}
module_init(sweep_bench_init);

static void __exit sweep_bench_exit(void)
{
}
module_exit(sweep_bench_exit);

MODULE_DESCRIPTION("kmheap sweep benchmark");
MODULE_LICENSE("GPL");
