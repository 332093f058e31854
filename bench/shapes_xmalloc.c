// SPDX-License-Identifier: GPL-2.0
/*
 * xmalloc: half of the CPUs allocate and the others free. Objects go over in batches, on a
 * list under a lock; a full and an empty list let each half wait for the other one. The
 * shape is that of C. Lever and D. Boreham, "malloc() Performance in a Multithreaded Linux
 * Environment", 2000, with objects of many sizes.
 *
 * An "object" is all CPUs' time, waiting included, for each one that goes over; "alloc" and
 * "free" are without the waiting.
 */
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "shapes.h"

#define BATCH_OBJECTS	256U
#define NBATCHES	40U	/* filled by each producer in a lap */
#define NPOOL		16U	/* there are for each producer */

struct batch {
	struct batch *next;
	unsigned int n;
	void *objects[BATCH_OBJECTS];
};

static DEFINE_SPINLOCK(batch_lock);
static struct batch *full, *empty;	/* under batch_lock */
static unsigned int nleft;		/* batches not yet taken for freeing; likewise */

static const u16 xmalloc_bytes[] = {
	8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048,
};

static void batch_push(struct batch **list, struct batch *b)
{
	spin_lock(&batch_lock);
	b->next = *list;
	WRITE_ONCE(*list, b);
	spin_unlock(&batch_lock);
}

static struct batch *batch_trypop(struct batch **list)
{
	struct batch *b;

	if (!READ_ONCE(*list))
		return NULL;
	spin_lock(&batch_lock);
	b = *list;
	if (b) {
		WRITE_ONCE(*list, b->next);
		if (list == &full)
			WRITE_ONCE(nleft, nleft - 1);
	}
	spin_unlock(&batch_lock);
	return b;
}

/* NULL when everything has been produced and taken. */
static struct batch *batch_pop(struct batch **list)
{
	for (;;) {
		struct batch *b = batch_trypop(list);

		if (b || (list == &full && !READ_ONCE(nleft)))
			return b;
		cond_resched();
		cpu_relax();
	}
}

static __always_inline bool batch_fill(enum bench_side side, struct batch *b, u64 *seed)
{
	for (b->n = 0; b->n < BATCH_OBJECTS; b->n++) {
		size_t bytes = xmalloc_bytes[shape_random(seed, ARRAY_SIZE(xmalloc_bytes))];
		void *p = side_alloc(side, bytes, GFP_KERNEL);

		if (unlikely(!p))
			return false;
		WRITE_ONCE(*(unsigned long *)p, bytes);
		b->objects[b->n] = p;
	}
	return true;
}

static __always_inline int xmalloc_produce(enum bench_side side, struct shape_worker *w)
{
	u64 seed = shape_seed(w);
	unsigned int i;
	int err = 0;

	for (i = 0; i < NBATCHES; i++) {
		struct batch *b = batch_pop(&empty);
		u64 start = bench_ticks();

		if (unlikely(!batch_fill(side, b, &seed)))
			err = -ENOMEM;	/* goes on: the others wait for its batches */
		w->alloc += bench_ticks() - start;
		batch_push(&full, b);
	}
	return err;
}

static __always_inline int xmalloc_consume(enum bench_side side, struct shape_worker *w)
{
	struct batch *b;

	while ((b = batch_pop(&full))) {
		u64 start = bench_ticks();
		unsigned int i;

		for (i = 0; i < b->n; i++)
			side_free(side, b->objects[i], 0);
		w->free += bench_ticks() - start;
		w->ops += b->n;
		batch_push(&empty, b);
	}
	return 0;
}

static __always_inline int xmalloc(enum bench_side side, struct shape_worker *w)
{
	return w->id < w->ncpus / 2 ? xmalloc_produce(side, w) : xmalloc_consume(side, w);
}

static int xmalloc_thread(unsigned int id, void *workers)
{
	return shape_thread(xmalloc, id, workers);
}

static int xmalloc_lap(struct bench_lap *lap)
{
	nleft = lap->row->cpus / 2 * NBATCHES;
	return shape_run(lap, xmalloc_thread);
}

int bench_xmalloc(void)
{
	unsigned int i, n = num_online_cpus() / 2 * NPOOL;
	struct batch *pool = kvcalloc(n, sizeof(*pool), GFP_KERNEL);
	int err;

	if (!pool)
		return -ENOMEM;
	empty = NULL;
	for (i = 0; i < n; i++)
		batch_push(&empty, &pool[i]);
	err = shape_rows(&(struct bench_row){
		.name = "xmalloc", .ops = { "object", "alloc", "free" }, .nobjs = 1,
		.lap = xmalloc_lap,
	}, 2);
	kvfree(pool);
	return err;
}
