// SPDX-License-Identifier: GPL-2.0
/*
 * cache_thrash and cache_scratch: do objects of two CPUs share a cache line? Each CPU
 * allocates a small object, writes it many times, frees it and takes the next. That costs
 * more on several CPUs than on one if their objects are neighbours.
 *
 * In cache_thrash the CPUs allocate for themselves from the beginning (active false
 * sharing). In cache_scratch each is first handed an object, all of them allocated one
 * after the other by one CPU, and frees it: an allocator that lets it have that place
 * again makes neighbours of the CPUs (passive false sharing). The shapes are those of
 * E. Berger and others, "Hoard: A Scalable Memory Allocator for Multithreaded
 * Applications", 2000. A figure is for one read and write of a word; the rest hardly counts.
 */
#include "shapes.h"

#define OBJECTS	200U	/* in a lap, of a CPU */
#define WRITES	500U	/* of each word of an object */

/* The same code for both sides: how it happens to be aligned shows in so short a loop. */
static noinline void write_words(unsigned long *words, size_t bytes)
{
	unsigned int i, k;

	for (i = 0; i < WRITES; i++)
		for (k = 0; k < bytes / sizeof(*words); k++)
			WRITE_ONCE(words[k], READ_ONCE(words[k]) + 1);
}

static __always_inline int thrash(enum bench_side side, size_t bytes, struct shape_worker *w)
{
	unsigned int i;

	for (i = 0; i < OBJECTS; i++) {
		void *p = side_alloc(side, bytes, GFP_KERNEL);

		if (unlikely(!p))
			return -ENOMEM;
		write_words(p, bytes);
		side_free(side, p, bytes);
	}
	w->ops = OBJECTS * WRITES * bytes / sizeof(unsigned long);
	return 0;
}

/* With the object that was handed over. */
static __always_inline int scratch(enum bench_side side, size_t bytes, struct shape_worker *w)
{
	side_free(side, w->lap->objects[w->id], bytes);
	return thrash(side, bytes, w);
}

SHAPE_THREAD(thrash, 8)
SHAPE_THREAD(thrash, 32)
SHAPE_THREAD(scratch, 8)
SHAPE_THREAD(scratch, 32)

static int thrash_lap(struct bench_lap *lap)
{
	return shape_run(lap, lap->bytes == 8 ? thrash_8_thread : thrash_32_thread);
}

/* Objects for all CPUs, by this one, and then the lap. */
static int scratch_lap(struct bench_lap *lap)
{
	unsigned int i;

	for (i = 0; i < lap->nobjs; i++) {
		lap->objects[i] = shape_alloc(lap->side, lap->bytes);
		if (!lap->objects[i]) {
			while (i--)
				shape_free(lap->side, lap->objects[i]);
			return -ENOMEM;
		}
	}
	return shape_run(lap, lap->bytes == 8 ? scratch_8_thread : scratch_32_thread);
}

static int cache_rows(const char *name, bench_lap_fn lap)
{
	struct bench_row row = { .name = name, .ops = { "write" }, .nobjs = 1, .lap = lap };
	int err;

	row.bytes = 8;
	err = shape_rows(&row, 1);
	row.bytes = 32;
	return err ?: shape_rows(&row, 1);
}

int bench_cache_thrash(void)
{
	return cache_rows("cache_thrash", thrash_lap);
}

int bench_cache_scratch(void)
{
	return cache_rows("cache_scratch", scratch_lap);
}
