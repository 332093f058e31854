/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The allocators that are compared, and copies of a lap for each of them.
 *
 * A case writes its lap once, as an __always_inline template of side and size, and has it
 * copied by side_fixed() or side_var(). What it measures has neither function pointer nor
 * switch in it then:
 *
 *	static __always_inline int burst(enum bench_side side, size_t bytes, struct bench_lap *lap)
 *	{ ... side_alloc(side, bytes, GFP_KERNEL) ... }
 *
 *	static int burst_lap(struct bench_lap *lap)
 *	{
 *		return side_fixed(burst, SIDES_ALL, lap);
 *	}
 *
 *	... struct bench_row row = { .lap = burst_lap, .sides = sides_for(bytes), ... };
 *	    bench_run_row(&row);
 */
#ifndef _KMHEAP_BENCH_SIDE_H
#define _KMHEAP_BENCH_SIDE_H

#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/kmheap.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "bench.h"

static __always_inline void *side_alloc(enum bench_side side, size_t bytes, gfp_t gfp)
{
	switch (side) {
	case KMHEAP:
		return kmheap_alloc(bench_heap, bytes, gfp);
	case KMALLOC:
		return kmalloc(bytes, gfp);
	case KMEM_CACHE:
		return kmem_cache_alloc(bench_cache, gfp);
	case KVMALLOC:
		return kvmalloc(bytes, gfp);
	case VMALLOC:
		return __vmalloc(bytes, gfp);
	default:
		return (void *)__get_free_pages(gfp, get_order(bytes));
	}
}

static __always_inline void side_free(enum bench_side side, const void *p, size_t bytes)
{
	switch (side) {
	case KMHEAP:
		return kmheap_free(p);
	case KMALLOC:
		return kfree(p);
	case KMEM_CACHE:
		return kmem_cache_free(bench_cache, (void *)p);
	case KVMALLOC:
		return kvfree(p);
	case VMALLOC:
		return vfree(p);
	default:
		return free_pages((unsigned long)p, get_order(bytes));
	}
}

/* Up to @n objects into @objects, their first words written as a client would; how many. */
static __always_inline unsigned int side_fill(enum bench_side side, size_t bytes, gfp_t gfp,
					      void **objects, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		void *p = side_alloc(side, bytes, gfp);

		if (unlikely(!p))
			break;
		WRITE_ONCE(*(unsigned long *)p, i);
		objects[i] = p;
	}
	return i;
}

static __always_inline void side_empty(enum bench_side side, size_t bytes, void **objects,
				       unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		side_free(side, objects[i], bytes);
}

/* Does it make sense to compare objects of this size with @side's? */
static __always_inline bool side_has(enum bench_side side, size_t bytes)
{
	switch (side) {
	case KMHEAP:
		return true;
	case KMALLOC:
	case KMEM_CACHE:
		return bytes <= SZ_8K;
	case PAGES:
		return bytes >= SZ_4K;
	default:
		return bytes >= SZ_16K;
	}
}

static inline unsigned long sides_for(size_t bytes)
{
	unsigned long sides = 0;
	unsigned int side;

	for (side = 0; side < NR_SIDES; side++)
		if (side_has(side, bytes))
			sides |= BIT(side);
	return sides;
}

/* kmheap and what it would replace: kmalloc() or, for large objects, kvmalloc(). */
static inline unsigned long two_sides_for(size_t bytes)
{
	return BIT(KMHEAP) | BIT(side_has(KMALLOC, bytes) ? KMALLOC : KVMALLOC);
}

typedef int (*bench_template)(enum bench_side side, size_t bytes, struct bench_lap *lap);

#define SIDES_ALL	GENMASK(NR_SIDES - 1, 0)
#define SIDES_TWO	(BIT(KMHEAP) | BIT(KMALLOC))

static __always_inline int side_fixed_one(bench_template template, enum bench_side side,
					  size_t bytes, struct bench_lap *lap)
{
	return side_has(side, bytes) ? template(side, bytes, lap) : -EINVAL;
}

static __always_inline int side_fixed_sizes(bench_template template, enum bench_side side,
					    struct bench_lap *lap)
{
	switch (lap->bytes) {
	case 8:
		return side_fixed_one(template, side, 8, lap);
	case 16:
		return side_fixed_one(template, side, 16, lap);
	case 32:
		return side_fixed_one(template, side, 32, lap);
	case 64:
		return side_fixed_one(template, side, 64, lap);
	case 128:
		return side_fixed_one(template, side, 128, lap);
	case 256:
		return side_fixed_one(template, side, 256, lap);
	case 512:
		return side_fixed_one(template, side, 512, lap);
	case SZ_1K:
		return side_fixed_one(template, side, SZ_1K, lap);
	case SZ_2K:
		return side_fixed_one(template, side, SZ_2K, lap);
	case SZ_4K:
		return side_fixed_one(template, side, SZ_4K, lap);
	case SZ_8K:
		return side_fixed_one(template, side, SZ_8K, lap);
	case SZ_16K:
		return side_fixed_one(template, side, SZ_16K, lap);
	case SZ_32K:
		return side_fixed_one(template, side, SZ_32K, lap);
	case SZ_64K:
		return side_fixed_one(template, side, SZ_64K, lap);
	case SZ_128K:
		return side_fixed_one(template, side, SZ_128K, lap);
	case SZ_256K:
		return side_fixed_one(template, side, SZ_256K, lap);
	case SZ_512K:
		return side_fixed_one(template, side, SZ_512K, lap);
	case SZ_1M:
		return side_fixed_one(template, side, SZ_1M, lap);
	}
	return -EINVAL;
}

/*
 * side_fixed() - @lap by a copy of @template for its side and size, which are constants there
 *
 * There are copies for each of bench_sizes[] and for those sides that are in @sides, itself a
 * constant. A function that calls it is what struct bench_row takes.
 */
static __always_inline int side_fixed(bench_template template, unsigned long sides,
				      struct bench_lap *lap)
{
	if (sides & BIT(KMHEAP) && lap->side == KMHEAP)
		return side_fixed_sizes(template, KMHEAP, lap);
	if (sides & BIT(KMALLOC) && lap->side == KMALLOC)
		return side_fixed_sizes(template, KMALLOC, lap);
	if (sides & BIT(KMEM_CACHE) && lap->side == KMEM_CACHE)
		return side_fixed_sizes(template, KMEM_CACHE, lap);
	if (sides & BIT(KVMALLOC) && lap->side == KVMALLOC)
		return side_fixed_sizes(template, KVMALLOC, lap);
	if (sides & BIT(VMALLOC) && lap->side == VMALLOC)
		return side_fixed_sizes(template, VMALLOC, lap);
	if (sides & BIT(PAGES) && lap->side == PAGES)
		return side_fixed_sizes(template, PAGES, lap);
	return -EINVAL;
}

/* The same with a size that the compiler does not know, which may be any. */
static __always_inline int side_var(bench_template template, unsigned long sides,
				    struct bench_lap *lap)
{
	if (sides & BIT(KMHEAP) && lap->side == KMHEAP)
		return template(KMHEAP, lap->bytes, lap);
	if (sides & BIT(KMALLOC) && lap->side == KMALLOC)
		return template(KMALLOC, lap->bytes, lap);
	if (sides & BIT(KMEM_CACHE) && lap->side == KMEM_CACHE)
		return template(KMEM_CACHE, lap->bytes, lap);
	if (sides & BIT(KVMALLOC) && lap->side == KVMALLOC)
		return template(KVMALLOC, lap->bytes, lap);
	if (sides & BIT(VMALLOC) && lap->side == VMALLOC)
		return template(VMALLOC, lap->bytes, lap);
	if (sides & BIT(PAGES) && lap->side == PAGES)
		return template(PAGES, lap->bytes, lap);
	return -EINVAL;
}

#endif /* _KMHEAP_BENCH_SIDE_H */
