// SPDX-License-Identifier: GPL-2.0
/*
 * Objects that one CPU allocates and another one frees.
 *
 * remote: many are allocated, then the other CPU frees all of them.
 * ring:   both at the same time: pointers go through a ring of RING slots. The figure is the
 *	   time of the slower CPU for each object; it is that of the host's scheduler when the
 *	   host has not two CPUs to spare. "floor" is the same ring with objects that nobody
 *	   allocates or frees: the first CPU writes and the second one reads FLOOR objects in turn.
 */
#include <linux/cpumask.h>
#include <linux/minmax.h>
#include <linux/processor.h>
#include <linux/smp.h>
#include <linux/workqueue.h>

#include "bench.h"
#include "side.h"

/* ---- remote */

static __always_inline int take_all(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int n, nobjs = lap->nobjs;
	u64 start = bench_ticks();

	n = side_fill(side, bytes, GFP_KERNEL, lap->objects, nobjs);
	lap->phase[0].ticks = bench_ticks() - start;
	if (n == nobjs)
		return 0;
	side_empty(side, bytes, lap->objects, n);
	return -ENOMEM;
}

static __always_inline int give_all(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	u64 start = bench_ticks();

	side_empty(side, bytes, lap->objects, lap->nobjs);
	lap->phase[1].ticks = bench_ticks() - start;
	return 0;
}

static long give_here(void *lap)
{
	return side_fixed(give_all, SIDES_ALL, lap);
}

static int remote_lap(struct bench_lap *lap)
{
	unsigned int cpu = cpumask_next(raw_smp_processor_id(), cpu_online_mask);
	int err = side_fixed(take_all, SIDES_ALL, lap);

	if (err)
		return err;
	err = work_on_cpu(cpu, give_here, lap);
	if (err) {
		give_here(lap);		/* it has not run */
		return err;
	}
	lap->phase[2].ticks = lap->phase[0].ticks + lap->phase[1].ticks;
	lap->phase[0].ops = lap->nobjs;
	lap->phase[1].ops = lap->nobjs;
	lap->phase[2].ops = lap->nobjs;
	return 0;
}

int bench_remote(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(bench_sizes); i++) {
		size_t bytes = bench_sizes[i];
		const struct bench_row row = {
			.name = "remote", .ops = { "alloc", "free", "total" }, .bytes = bytes,
			.cpus = 2, .nobjs = bytes <= SZ_8K ? 1000 : 32, .lap = remote_lap,
			.sides = sides_for(bytes) & ~BIT(VMALLOC),
		};

		err = bench_run_row(&row);
	}
	return err;
}

/* ---- ring */

#define RING	256U
#define FLOOR	(2 * RING)

/* The producer fills empty slots only, the consumer empties full ones: neither has a counter. */
struct ring {
	struct bench_lap *lap;
	bool failed;			/* the producer has no more */
	u64 ticks[2];
	void *slots[RING] ____cacheline_aligned;
};

static struct ring ring;

static __always_inline int produce(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int i, n = lap->nobjs;

	for (i = 0; i < n; i++) {
		void **slot = &ring.slots[i % RING], *p = side_alloc(side, bytes, GFP_KERNEL);

		if (unlikely(!p)) {
			/* After all that is in the ring; pairs with consume(). */
			smp_store_release(&ring.failed, true);
			return -ENOMEM;
		}
		WRITE_ONCE(*(unsigned long *)p, i);
		while (READ_ONCE(*slot))
			cpu_relax();
		/* What was written into the object, before it is seen: consume(). */
		smp_store_release(slot, p);
	}
	return 0;
}

static __always_inline int consume(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int i, n = lap->nobjs;
	unsigned long sum = 0;

	for (i = 0; i < n; i++) {
		void **slot = &ring.slots[i % RING], *p;

		/* Pairs with produce(). */
		while (!(p = smp_load_acquire(slot))) {
			/* Likewise. */
			if (unlikely(smp_load_acquire(&ring.failed)) && !READ_ONCE(*slot))
				return 0;
			cpu_relax();
		}
		WRITE_ONCE(*slot, NULL);
		sum += READ_ONCE(*(unsigned long *)p);
		side_free(side, p, bytes);
	}
	return sum == (unsigned long)n * (n - 1) / 2 ? 0 : -EIO;
}

/* One of two threads. */
static int ring_half(unsigned int i, void *arg)
{
	u64 start = bench_ticks();
	int err;

	if (i)
		err = side_fixed(consume, SIDES_ALL, arg);
	else
		err = side_fixed(produce, SIDES_ALL, arg);
	ring.ticks[i] = bench_ticks() - start;
	return err;
}

/* produce() and consume() without an allocator: the objects are there. */
static void pass_on(const struct bench_lap *lap)
{
	unsigned int i, n = lap->nobjs;

	for (i = 0; i < n; i++) {
		void **slot = &ring.slots[i % RING], *p = lap->objects[i % FLOOR];

		WRITE_ONCE(*(unsigned long *)p, i);
		while (READ_ONCE(*slot))
			cpu_relax();
		/* As in produce(). */
		smp_store_release(slot, p);
	}
}

static int take_over(const struct bench_lap *lap)
{
	unsigned int i, n = lap->nobjs;
	unsigned long sum = 0;

	for (i = 0; i < n; i++) {
		void **slot = &ring.slots[i % RING], *p;

		/* As in consume(). */
		while (!(p = smp_load_acquire(slot)))
			cpu_relax();
		WRITE_ONCE(*slot, NULL);
		sum += READ_ONCE(*(unsigned long *)p);
	}
	return sum == (unsigned long)n * (n - 1) / 2 ? 0 : -EIO;
}

static int floor_half(unsigned int i, void *arg)
{
	u64 start = bench_ticks();
	int err = 0;

	if (i)
		err = take_over(arg);
	else
		pass_on(arg);
	ring.ticks[i] = bench_ticks() - start;
	return err;
}

static __always_inline int fill_floor(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int n = side_fill(side, bytes, GFP_KERNEL, lap->objects, FLOOR);

	if (n == FLOOR)
		return 0;
	side_empty(side, bytes, lap->objects, n);
	return -ENOMEM;
}

static __always_inline int empty_floor(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	side_empty(side, bytes, lap->objects, FLOOR);
	return 0;
}

static long empty_floor_here(void *lap)
{
	return side_fixed(empty_floor, SIDES_ALL, lap);
}

static int ring_time(struct bench_lap *lap, unsigned int phase,
		     int (*half)(unsigned int i, void *arg))
{
	int err = bench_threads(2, half, lap);

	lap->phase[phase].ticks = max(ring.ticks[0], ring.ticks[1]);
	lap->phase[phase].ops = lap->nobjs;
	return err;
}

static int ring_lap(struct bench_lap *lap)
{
	int err;

	ring.failed = false;
	err = ring_time(lap, 0, ring_half);
	if (err)
		return err;
	err = side_fixed(fill_floor, SIDES_ALL, lap);
	if (err)
		return err;
	err = ring_time(lap, 1, floor_half);
	/* On the CPU that frees in the ring, so that only that one ever does. */
	if (work_on_cpu(cpumask_next(raw_smp_processor_id(), cpu_online_mask), empty_floor_here,
			lap))
		empty_floor_here(lap);		/* it has not run */
	return err;
}

int bench_ring(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(bench_sizes); i++) {
		size_t bytes = bench_sizes[i];
		const struct bench_row row = {
			.name = "ring", .ops = { "object", "floor" }, .bytes = bytes, .cpus = 2,
			.nobjs = bytes <= SZ_8K ? 5000 : FLOOR, .rounds = 21, .lap = ring_lap,
			.sides = sides_for(bytes) & ~BIT(VMALLOC),
		};

		err = bench_run_row(&row);
	}
	return err;
}
