// SPDX-License-Identifier: GPL-2.0
/*
 * mstress: objects of mixed life times, some of which wander from CPU to CPU. Each CPU
 * allocates short-lived objects and, a quarter of the time, larger ones that it keeps to the
 * end; two times in three it frees one of the short-lived, one time in four it swaps one
 * with what lies at some place of a table that all share. The shape is that of D. Leijen's
 * mstress in mimalloc; sizes and counts are of this file's own.
 *
 * Up to 1 KiB, one in a hundred up to 32 KiB, kept ones up to 4 KiB.
 */
#include <linux/atomic.h>
#include <linux/math.h>

#include "shapes.h"

#define STEPS		4000U	/* in a lap, of a CPU */
#define SHARED		1000U
#define SHORT_BYTES	1024U
#define HUGE_FACTOR	32U
#define KEPT_BYTES	4096U

static void *shared[2][SHARED];	/* of KMHEAP and KMALLOC; stays from lap to lap */

static __always_inline void *mstress_alloc(enum bench_side side, struct shape_worker *w, u32 bytes)
{
	void *p = side_alloc(side, round_up(bytes, 8), GFP_KERNEL);

	if (likely(p)) {
		WRITE_ONCE(*(unsigned long *)p, bytes);
		w->ops++;
	}
	return p;
}

/* There may be a hole already. */
static __always_inline void mstress_free(enum bench_side side, void **object)
{
	if (*object)
		side_free(side, *object, 0);
	*object = NULL;
}

static __always_inline u32 mstress_short_bytes(u64 *seed)
{
	u32 bytes = 1 + shape_random(seed, SHORT_BYTES);

	return shape_random(seed, 100) ? bytes : bytes * HUGE_FACTOR;
}

/*
 * Short-lived objects fill @objects from the front, with holes where one was freed; those
 * that are kept from the end. A step adds one object, so there is a place for each.
 */
static __always_inline int mstress(enum bench_side side, struct shape_worker *w)
{
	void **objects = w->lap->objects + w->id * STEPS;
	unsigned int n = 0, kept = STEPS, i;
	u64 seed = shape_seed(w);
	int err = 0;

	for (i = 0; i < STEPS; i++) {
		bool keep = !shape_random(&seed, 4);
		void *p = mstress_alloc(side, w, keep ? 1 + shape_random(&seed, KEPT_BYTES) :
							mstress_short_bytes(&seed));

		if (unlikely(!p)) {
			err = -ENOMEM;
			break;
		}
		if (keep)
			objects[--kept] = p;
		else
			objects[n++] = p;
		if (n && shape_random(&seed, 3))
			mstress_free(side, &objects[shape_random(&seed, n)]);
		if (n && !shape_random(&seed, 4)) {
			unsigned int k = shape_random(&seed, n);

			objects[k] = xchg(&shared[side][shape_random(&seed, SHARED)], objects[k]);
		}
	}
	for (i = 0; i < n; i++)
		mstress_free(side, &objects[i]);
	for (i = kept; i < STEPS; i++)
		mstress_free(side, &objects[i]);
	return err;
}

static int mstress_thread(unsigned int id, void *workers)
{
	return shape_thread(mstress, id, workers);
}

static int mstress_lap(struct bench_lap *lap)
{
	return shape_run(lap, mstress_thread);
}

int bench_mstress(void)
{
	unsigned int side, i;
	int err = shape_rows(&(struct bench_row){
		.name = "mstress", .ops = { "pair" }, .nobjs = STEPS, .lap = mstress_lap,
	}, 1);

	for (side = KMHEAP; side <= KMALLOC; side++) {
		for (i = 0; i < SHARED; i++) {
			shape_free(side, shared[side][i]);
			shared[side][i] = NULL;
		}
	}
	return err;
}
