// SPDX-License-Identifier: GPL-2.0
/*
 * What an object costs that is allocated and freed: kmheap beside kmalloc() up to 8 KiB and
 * beside kvmalloc() above, both in the same boot, one round of each in turn.
 *
 * pair:   allocates one and frees it, again and again.
 * burst:  allocates many, then frees them in the same order.
 * remote: the same, but another CPU frees them.
 *
 * "const" figures have a size that the compiler knows, "var" figures one that it does not. Each
 * object's first word is written, as a client would. Figures are medians over the rounds, for
 * one operation, loop included; "ratio" is kmheap's over the other's, so less than 1 is faster.
 */
#include <linux/cpumask.h>
#include <linux/kmheap.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "figure.h"

#define ROUNDS		41
#define WARM_UP		3	/* rounds before the first that counts */
#define MAX_OBJECTS	1000

enum side { KMHEAP, KMALLOC, KVMALLOC };
enum shape { PAIR, BURST, REMOTE };

/* What a round is to do, and the ticks it took. */
struct lap {
	enum side side;
	enum shape shape;
	bool fixed;		/* a size that the compiler knows */
	size_t bytes;
	unsigned int nobjs;
	u64 alloc, free;	/* a pair's are in @alloc */
};

static struct kmheap *heap;
static const char *unit;
static void *objects[MAX_OBJECTS];
static unsigned int other_cpu;

static __always_inline void *take(enum side side, size_t bytes)
{
	switch (side) {
	case KMHEAP:
		return kmheap_alloc(heap, bytes, GFP_KERNEL);
	case KMALLOC:
		return kmalloc(bytes, GFP_KERNEL);
	default:
		return kvmalloc(bytes, GFP_KERNEL);
	}
}

static __always_inline void give(enum side side, const void *p)
{
	switch (side) {
	case KMHEAP:
		return kmheap_free(p);
	case KMALLOC:
		return kfree(p);
	default:
		return kvfree(p);
	}
}

static __always_inline bool pair(enum side side, size_t bytes, struct lap *lap)
{
	u64 start = bench_ticks();
	unsigned int i;

	for (i = 0; i < lap->nobjs; i++) {
		void *p = take(side, bytes);

		if (unlikely(!p))
			return false;
		WRITE_ONCE(*(unsigned long *)p, i);
		give(side, p);
	}
	lap->alloc = bench_ticks() - start;
	return true;
}

static __always_inline void give_all(enum side side, struct lap *lap)
{
	u64 start = bench_ticks();
	unsigned int i;

	for (i = 0; i < lap->nobjs; i++)
		give(side, objects[i]);
	lap->free = bench_ticks() - start;
}

static __always_inline bool take_all(enum side side, size_t bytes, struct lap *lap)
{
	u64 start = bench_ticks();
	unsigned int i;

	for (i = 0; i < lap->nobjs; i++) {
		void *p = take(side, bytes);

		if (unlikely(!p)) {
			lap->nobjs = i;
			give_all(side, lap);
			return false;
		}
		WRITE_ONCE(*(unsigned long *)p, i);
		objects[i] = p;
	}
	lap->alloc = bench_ticks() - start;
	return true;
}

static long give_there(void *arg)
{
	struct lap *lap = arg;

	if (lap->side == KMHEAP)
		give_all(KMHEAP, lap);
	else if (lap->side == KMALLOC)
		give_all(KMALLOC, lap);
	else
		give_all(KVMALLOC, lap);
	return 0;
}

static __always_inline bool work(enum side side, size_t bytes, struct lap *lap)
{
	if (lap->shape == PAIR)
		return pair(side, bytes, lap);
	if (!take_all(side, bytes, lap))
		return false;
	if (lap->shape == REMOTE)
		return !work_on_cpu(other_cpu, give_there, lap);
	give_all(side, lap);
	return true;
}

/* The work in a copy for each size. Every one of sizes[] must be here. */
static __always_inline bool work_fixed(enum side side, struct lap *lap)
{
	switch (lap->bytes) {
	case 16:
		return work(side, 16, lap);
	case 64:
		return work(side, 64, lap);
	case 256:
		return work(side, 256, lap);
	case SZ_1K:
		return work(side, SZ_1K, lap);
	case SZ_4K:
		return work(side, SZ_4K, lap);
	case SZ_8K:
		return work(side, SZ_8K, lap);
	case SZ_16K:
		return work(side, SZ_16K, lap);
	case SZ_64K:
		return work(side, SZ_64K, lap);
	case SZ_1M:
		return work(side, SZ_1M, lap);
	}
	return false;
}

static noinline bool work_kmheap(struct lap *lap)
{
	return lap->fixed ? work_fixed(KMHEAP, lap) : work(KMHEAP, lap->bytes, lap);
}

static noinline bool work_kmalloc(struct lap *lap)
{
	return lap->fixed ? work_fixed(KMALLOC, lap) : work(KMALLOC, lap->bytes, lap);
}

static noinline bool work_kvmalloc(struct lap *lap)
{
	return lap->fixed ? work_fixed(KVMALLOC, lap) : work(KVMALLOC, lap->bytes, lap);
}

static bool run(struct lap *lap)
{
	switch (lap->side) {
	case KMHEAP:
		return work_kmheap(lap);
	case KMALLOC:
		return work_kmalloc(lap);
	default:
		return work_kvmalloc(lap);
	}
}

struct size {
	size_t bytes;
	enum side peer;
	unsigned int npairs, nobjs;
};

static const struct size sizes[] = {
	{ 16, KMALLOC, 1000, 1000 },
	{ 64, KMALLOC, 1000, 1000 },
	{ 256, KMALLOC, 1000, 1000 },
	{ SZ_1K, KMALLOC, 1000, 1000 },
	{ SZ_4K, KMALLOC, 1000, 1000 },
	{ SZ_8K, KMALLOC, 1000, 1000 },
	{ SZ_16K, KVMALLOC, 100, 32 },
	{ SZ_64K, KVMALLOC, 100, 32 },
	{ SZ_1M, KVMALLOC, 100, 32 },
};

struct samples {
	u64 alloc[ROUNDS], free[ROUNDS];
};

static struct samples samples[2];

/* One round of each side in turn; false when one ran out of memory. */
static bool run_rounds(const struct lap *what, enum side peer)
{
	unsigned int round, i;

	for (round = 0; round < WARM_UP + ROUNDS; round++) {
		for (i = 0; i < 2; i++) {
			struct lap lap = *what;

			lap.side = i ? peer : KMHEAP;
			if (!run(&lap))
				return false;
			cond_resched();
			if (round < WARM_UP)
				continue;
			samples[i].alloc[round - WARM_UP] = lap.alloc;
			samples[i].free[round - WARM_UP] = lap.free;
		}
	}
	return true;
}

static void print_both(const char *what, const char *op, const struct lap *lap, enum side peer,
		       u64 *ours, u64 *theirs)
{
	u64 a = bench_median(ours, ROUNDS) * 100, b = bench_median(theirs, ROUNDS) * 100;

	bench_print(div_u64(a, lap->nobjs), unit, "%s%s_%zu_kmheap", what, op, lap->bytes);
	bench_print(div_u64(b, lap->nobjs), unit, "%s%s_%zu_%s", what, op, lap->bytes,
		    peer == KMALLOC ? "kmalloc" : "kvmalloc");
	bench_print(div64_u64(a * 100, b ?: 1), "ratio", "%s%s_%zu_ratio", what, op, lap->bytes);
}

static bool bench_one(const char *what, const struct size *size, enum shape shape, bool fixed)
{
	struct lap lap = {
		.shape = shape, .fixed = fixed, .bytes = size->bytes,
		.nobjs = shape == PAIR ? size->npairs : size->nobjs,
	};

	if (!run_rounds(&lap, size->peer))
		return false;
	print_both(what, shape == PAIR ? "" : "_alloc", &lap, size->peer, samples[0].alloc,
		   samples[1].alloc);
	if (shape != PAIR)
		print_both(what, "_free", &lap, size->peer, samples[0].free, samples[1].free);
	return true;
}

static bool bench_size(const struct size *size)
{
	return bench_one("pair_const", size, PAIR, true) &&
	       bench_one("pair_var", size, PAIR, false) &&
	       bench_one("burst_const", size, BURST, true) &&
	       bench_one("burst_var", size, BURST, false);
}

static int bench_all(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (!bench_size(&sizes[i]))
			return -ENOMEM;
	if (other_cpu >= nr_cpu_ids) {
		pr_info("BENCH remote_skipped 1 cpu\n");
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (!bench_one("remote", &sizes[i], REMOTE, true))
			return -ENOMEM;
	return 0;
}

static int __init pair_bench_init(void)
{
	int err;

	heap = kmheap_create("pair_bench", NULL);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	unit = bench_unit();
	other_cpu = cpumask_next(0, cpu_online_mask);
	err = set_cpus_allowed_ptr(current, cpumask_of(0));
	if (!err)
		err = bench_all();
	if (err)
		pr_err("BENCH pair failed: %d\n", err);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	kmheap_destroy(heap);
	/* Refused modules are loaded a second time, by busybox. */
	return 0;
}
module_init(pair_bench_init);

static void __exit pair_bench_exit(void)
{
}
module_exit(pair_bench_exit);

MODULE_DESCRIPTION("kmheap object benchmark");
MODULE_LICENSE("GPL");
