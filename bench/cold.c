// SPDX-License-Identifier: GPL-2.0
/*
 * cold: a heap, or a kmem_cache that shares nothing with others, from the beginning.
 *
 * create, destroy: of a heap or cache. It is empty again at the end; the frees are not
 *		    timed.
 * first: the first allocation.
 * alloc: each of the next ones, from memory that has never been used.
 */
#include "bench.h"
#include "side.h"

#define OBJECTS	1000U
#define ROUNDS	11U	/* destroying takes a tenth of a second */

#ifndef SLAB_NO_MERGE
#define SLAB_NO_MERGE	SLAB_NOLEAKTRACE	/* up to 6.4: not merged either */
#endif

/* One of them. */
struct source {
	struct kmheap *heap;
	struct kmem_cache *cache;
};

static __always_inline void *source_alloc(enum bench_side side, struct source *s, size_t bytes)
{
	if (side == KMHEAP)
		return kmheap_alloc(s->heap, bytes, GFP_KERNEL);
	return kmem_cache_alloc(s->cache, GFP_KERNEL);
}

static __always_inline void source_free(enum bench_side side, struct source *s, void *p)
{
	if (side == KMHEAP)
		kmheap_free(p);
	else
		kmem_cache_free(s->cache, p);
}

static int source_create(enum bench_side side, struct source *s, size_t bytes)
{
	if (side == KMHEAP) {
		s->heap = kmheap_create("bench_cold", NULL);
		return PTR_ERR_OR_ZERO(s->heap);
	}
	s->cache = kmem_cache_create("kmheap_bench_cold", bytes, 0, SLAB_NO_MERGE, NULL);
	return s->cache ? 0 : -ENOMEM;
}

static void source_destroy(enum bench_side side, struct source *s)
{
	if (side == KMHEAP)
		kmheap_destroy(s->heap);
	else
		kmem_cache_destroy(s->cache);
}

static __always_inline unsigned int source_fill(enum bench_side side, struct source *s,
						size_t bytes, void **objects, unsigned int nobjs)
{
	unsigned int n;

	for (n = 0; n < nobjs; n++) {
		objects[n] = source_alloc(side, s, bytes);
		if (unlikely(!objects[n]))
			break;
		WRITE_ONCE(*(unsigned long *)objects[n], n);
	}
	return n;
}

enum { CREATE, FIRST, ALLOC, DESTROY };

static __always_inline int cold(enum bench_side side, size_t bytes, struct bench_lap *lap)
{
	unsigned int n = 0;
	struct source s;
	u64 start[5];
	int err;

	start[CREATE] = bench_ticks();
	err = source_create(side, &s, bytes);
	if (err)
		return err;
	start[FIRST] = bench_ticks();
	n = source_fill(side, &s, bytes, lap->objects, 1);
	start[ALLOC] = bench_ticks();
	if (n)
		n += source_fill(side, &s, bytes, lap->objects + 1, lap->nobjs - 1);
	lap->phase[ALLOC].ticks = bench_ticks() - start[ALLOC];
	err = n < lap->nobjs ? -ENOMEM : 0;
	while (n)
		source_free(side, &s, lap->objects[--n]);
	start[DESTROY] = bench_ticks();
	source_destroy(side, &s);
	lap->phase[DESTROY].ticks = bench_ticks() - start[DESTROY];
	lap->phase[CREATE].ticks = start[FIRST] - start[CREATE];
	lap->phase[FIRST].ticks = start[ALLOC] - start[FIRST];
	lap->phase[CREATE].ops = 1;
	lap->phase[FIRST].ops = 1;
	lap->phase[ALLOC].ops = lap->nobjs - 1;
	lap->phase[DESTROY].ops = 1;
	return err;
}

static int cold_lap(struct bench_lap *lap)
{
	if (lap->side != KMHEAP)
		return cold(KMEM_CACHE, lap->bytes, lap);
	return lap->bytes == 64 ? cold(KMHEAP, 64, lap) : cold(KMHEAP, SZ_1K, lap);
}

static int cold_row(size_t bytes)
{
	return bench_run_row(&(struct bench_row){
		.name = "cold", .ops = { "create", "first", "alloc", "destroy" }, .bytes = bytes,
		.nobjs = OBJECTS, .rounds = ROUNDS, .lap = cold_lap,
		.sides = BIT(KMHEAP) | BIT(KMEM_CACHE),
	});
}

int bench_cold(void)
{
	return cold_row(64) ?: cold_row(SZ_1K);
}
