// SPDX-License-Identifier: GPL-2.0
/*
 * growth: a heap grows from 1 MiB by doublings, up to 60 % of the memory that is to be had.
 * "alloc" is an allocation in each doubling, "footprint" what has been taken from the kernel
 * at its end over what is live, as in memory.c; "free" an object of the largest heap.
 *
 * The objects are linked through their first words, so sizes below a pointer's are a pointer's.
 * Memory that will be used is touched before, for a guest whose host gives it only then.
 *
 * User-Mode Linux has to ask its host for each page that vmalloc maps, so heaps are small there.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "bench.h"
#include "memory.h"
#include "side.h"

static unsigned int growth_mib;
module_param(growth_mib, uint, 0444);
MODULE_PARM_DESC(growth_mib, "growth: the largest heap in MiB, instead of 60 % of the memory");

#define MIXED	0		/* as a size: drawn */
#define TOUCH_ORDER	8

struct growth {
	const struct bench_sizes *sizes;
	struct rnd_state rnd;
	size_t bytes;			/* or MIXED */
	void *head;
	u64 requested, nobjs;
	u64 pages_bytes, slab_bytes;	/* as in memory.c */
};

static __always_inline int grow_to(enum bench_side side, struct growth *g, u64 target)
{
	while (g->requested < target) {
		size_t bytes = g->bytes;
		void **p;

		if (bytes == MIXED)
			bytes = max_t(size_t, bench_sizes_draw(g->sizes, &g->rnd), sizeof(*p));
		p = side_alloc(side, bytes, GFP_KERNEL | __GFP_NOWARN);
		if (!p)
			return -ENOMEM;
		*p = g->head;
		g->head = p;
		g->requested += bytes;
		if (side == KMALLOC)
			g->pages_bytes += bench_slab_large_bytes(bytes);
		if (!(++g->nobjs % 1024))
			cond_resched();
	}
	return 0;
}

static __always_inline void free_all(enum bench_side side, struct growth *g)
{
	u64 n = 0;

	while (g->head) {
		void **p = g->head;

		g->head = *p;
		side_free(side, p, 0);
		if (!(++n % 1024))
			cond_resched();
	}
}

static u64 footprint(enum bench_side side, const struct growth *g)
{
	return bench_footprint(side, g->slab_bytes, g->pages_bytes);
}

static void print_one(enum bench_side side, const struct growth *g, const char *op,
		      const char *unit, unsigned long mib, u64 hundredths)
{
	char extra[64];
	const struct bench_figure f = {
		.name = "growth", .op = op, .bytes = g->bytes, .side = bench_side_names[side],
		.unit = unit, .extra = extra,
	};

	snprintf(extra, sizeof(extra), "\"sizes\":\"%s\",\"heap_mib\":%lu",
		 g->bytes == MIXED ? g->sizes->name : "fixed", mib);
	bench_print_value(&f, hundredths);
}

static __always_inline int growth(enum bench_side side, struct growth *g, unsigned long limit_mib)
{
	unsigned long mib;
	u64 start;
	int err = 0;

	for (mib = 1; mib <= limit_mib; mib *= 2) {
		u64 before = g->nobjs, ticks;

		start = bench_ticks();
		err = grow_to(side, g, (u64)mib << 20);
		ticks = bench_ticks() - start;
		if (err)
			break;
		print_one(side, g, "alloc", bench_tick_unit, mib,
			  div64_u64(ticks * 100, g->nobjs - before));
		if (side == KMHEAP || g->slab_bytes)
			print_one(side, g, "footprint", "ratio", mib,
				  div64_u64(footprint(side, g) * 100, g->requested));
	}
	start = bench_ticks();
	free_all(side, g);
	if (!err)
		print_one(side, g, "free", bench_tick_unit, mib / 2,
			  div64_u64((bench_ticks() - start) * 100, g->nobjs ?: 1));
	return err;
}

static noinline int growth_kmheap(struct growth *g, unsigned long limit_mib)
{
	return growth(KMHEAP, g, limit_mib);
}

static noinline int growth_kmalloc(struct growth *g, unsigned long limit_mib)
{
	return growth(KMALLOC, g, limit_mib);
}

static int run_side(enum bench_side side, size_t bytes, const struct bench_sizes *sizes,
		    unsigned long limit_mib)
{
	struct growth g = { .sizes = sizes, .bytes = bytes };
	struct kmheap *outer = bench_heap;
	int err;

	prandom_seed_state(&g.rnd, 1);
	bench_heap = kmheap_create("bench_growth", NULL);
	err = PTR_ERR_OR_ZERO(bench_heap);
	if (!err) {
		bench_slab_shrink();
		g.slab_bytes = bench_slab_bytes();
		err = side == KMHEAP ? growth_kmheap(&g, limit_mib) :
				       growth_kmalloc(&g, limit_mib);
		kmheap_destroy(bench_heap);
	}
	bench_heap = outer;
	return err;
}

/* So that no side pays for what its host has not given to the guest yet. */
static void touch_memory(unsigned long mib)
{
	unsigned long n = (mib << (20 - PAGE_SHIFT)) >> TOUCH_ORDER;
	void *head = NULL, **p;

	while (n--) {
		p = (void **)__get_free_pages(GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN |
					      __GFP_NORETRY, TOUCH_ORDER);
		if (!p)
			break;
		*p = head;
		head = p;
		cond_resched();
	}
	while (head) {
		p = head;
		head = *p;
		free_pages((unsigned long)p, TOUCH_ORDER);
	}
}

static unsigned long limit_in_mib(void)
{
	unsigned long mib = (si_mem_available() >> (20 - PAGE_SHIFT)) * 6 / 10;

	return growth_mib ?: IS_ENABLED(CONFIG_UML) ? 64 : mib;
}

int bench_growth(void)
{
	static const size_t bytes[] = { 64, SZ_1K, MIXED };
	unsigned long limit_mib = limit_in_mib();
	struct bench_sizes sizes;
	unsigned int i;
	int err = bench_sizes_make(&sizes, BENCH_SIZES_BOOT);

	if (err)
		return err;
	bench_slab_open();
	touch_memory(limit_mib + limit_mib / 5);
	for (i = 0; !err && i < ARRAY_SIZE(bytes); i++)
		err = run_side(KMHEAP, bytes[i], &sizes, limit_mib) ?:
		      run_side(KMALLOC, bytes[i], &sizes, limit_mib);
	bench_slab_close();
	bench_sizes_release(&sizes);
	return err;
}
