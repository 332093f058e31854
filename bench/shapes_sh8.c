// SPDX-License-Identifier: GPL-2.0
/*
 * sh8bench: each CPU for itself allocates runs of objects of one size, small ones more often
 * than large ones, and frees in a mix of orders: the oldest first, the newest first, every
 * other one. The shape is known from MicroQuill's SmartHeap benchmark of that name; sizes,
 * runs and orders are of this file's own.
 */
#include <linux/string.h>

#include "shapes.h"

#define LIVE	2048U	/* at most, of a CPU */
#define ALLOCS	12000U	/* in a lap; as many frees */
#define RUN	100U	/* at most, of one size */

/* Half of the runs up to 64 bytes, one in sixteen of 512 or more. */
static const u16 sh8_bytes[] = {
	16, 24, 32, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256, 384, 1000,
};

enum order { OLDEST, NEWEST, EVERY_OTHER, NR_ORDERS };

/* Frees about half of @n objects. Returns how many are left; they move to the front. */
static __always_inline unsigned int sh8_free_half(enum bench_side side, void **objects,
						  unsigned int n, enum order order)
{
	unsigned int i, half = n / 2;

	switch (order) {
	case OLDEST:
		for (i = 0; i < half; i++)
			side_free(side, objects[i], 0);
		memmove(objects, objects + half, (n - half) * sizeof(void *));
		break;
	case NEWEST:
		for (i = n; i > n - half; i--)
			side_free(side, objects[i - 1], 0);
		break;
	default:
		for (i = 0; i < half; i++) {
			side_free(side, objects[2 * i + 1], 0);
			objects[i] = objects[2 * i];
		}
		if (n % 2)
			objects[half] = objects[n - 1];
	}
	return n - half;
}

/* Returns how many there are now: fewer than @n + @run when memory ran out. */
static __always_inline unsigned int sh8_alloc_run(enum bench_side side, void **objects,
						  unsigned int n, unsigned int run, size_t bytes)
{
	for (run += n; n < run; n++) {
		void *p = side_alloc(side, bytes, GFP_KERNEL);

		if (unlikely(!p))
			break;
		WRITE_ONCE(*(unsigned long *)p, n);
		objects[n] = p;
	}
	return n;
}

static __always_inline int sh8(enum bench_side side, struct shape_worker *w)
{
	void **objects = w->lap->objects + w->id * LIVE;
	unsigned int n = 0, order = OLDEST;
	u64 seed = shape_seed(w);
	int err = 0;

	while (w->ops < ALLOCS && !err) {
		size_t bytes = sh8_bytes[shape_random(&seed, ARRAY_SIZE(sh8_bytes))];
		unsigned int run = 1 + shape_random(&seed, RUN), before;

		if (n + run > LIVE) {
			n = sh8_free_half(side, objects, n, order);
			order = (order + 1) % NR_ORDERS;
		}
		before = n;
		n = sh8_alloc_run(side, objects, n, run, bytes);
		err = n < before + run ? -ENOMEM : 0;
		w->ops += run;
	}
	while (n)
		side_free(side, objects[--n], 0);
	return err;
}

static int sh8_thread(unsigned int id, void *workers)
{
	return shape_thread(sh8, id, workers);
}

static int sh8_lap(struct bench_lap *lap)
{
	return shape_run(lap, sh8_thread);
}

int bench_sh8bench(void)
{
	return shape_rows(&(struct bench_row){
		.name = "sh8bench", .ops = { "pair" }, .nobjs = LIVE, .lap = sh8_lap,
	}, 1);
}
