// SPDX-License-Identifier: GPL-2.0
/*
 * Large objects: what a heap costs that holds a single one, and how long heaps take to grow.
 *
 * footprint: footprint over live bytes, arena rounding and metadata included.
 * alloc:     time of the first allocation, the arena included; no zeroing by kmheap.
 * grow:      time per MiB of arena while a heap of 32 KiB objects grows from nothing, and that
 *            of vmalloc() beside it, for as many bytes in areas of 4 MiB, which is what full-grown
 *            arenas have by default.
 */
#include <linux/kmheap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/vmalloc.h>

#include "figure.h"

#define ROUNDS		5
#define GROW_BYTES	SZ_64M
#define GROW_OBJECT	SZ_32K		/* few, so that growing is what takes the time */
#define GROW_AREA	SZ_4M

static const struct {
	const char *name;
	size_t bytes;
} sizes[] = {
	{ "33KiB", 33 * SZ_1K },
	{ "100KiB", 100 * SZ_1K },
	{ "1MiB", SZ_1M },
	{ "2.1MiB", 21 * SZ_1M / 10 },
	{ "3MiB", 3 * SZ_1M },
	{ "5MiB", 5 * SZ_1M },
	{ "100MiB", 100 * SZ_1M },
};

/* Half of what is free: more may not be there for an area, and the rest has to go on. */
static bool memory_allows(size_t bytes)
{
	return bytes < (size_t)si_mem_available() / 2 << PAGE_SHIFT;
}

/* One object of @bytes in a heap of its own; 0 when it was not to be had. */
static u64 one_object(size_t bytes, struct kmheap_stats *st)
{
	struct kmheap *heap = kmheap_create("large_bench", NULL);
	u64 start, ns = 0;
	void *p;

	if (IS_ERR(heap))
		return 0;
	start = ktime_get_ns();
	p = kmheap_alloc(heap, bytes, GFP_KERNEL);
	if (p)
		ns = ktime_get_ns() - start;
	kmheap_stats(heap, st);
	kmheap_free(p);
	kmheap_destroy(heap);
	return ns;
}

static bool bench_size(const char *name, size_t bytes)
{
	struct kmheap_stats st;
	u64 ns[ROUNDS];
	unsigned int i;

	if (!memory_allows(bytes)) {
		pr_info("BENCH large_%s_skipped %zu bytes\n", name, bytes);
		return true;
	}
	for (i = 0; i < ROUNDS; i++) {
		ns[i] = one_object(bytes, &st);
		if (!ns[i])
			return false;
	}
	bench_print(div64_u64(st.footprint_bytes * 100, bytes), "ratio", "large_%s_footprint",
		    name);
	bench_print(st.footprint_bytes * 100 / SZ_1K, "KiB", "large_%s_footprint", name);
	bench_print(bench_median(ns, ROUNDS) * 100, "ns", "large_%s_alloc", name);
	return true;
}

/* ns per MiB of arenas taken for GROW_BYTES of small objects; 0 when memory ran out. */
static u64 grow_heap(void)
{
	struct kmheap *heap = kmheap_create("large_bench", NULL);
	struct kmheap_stats st;
	void *last = NULL;
	u64 start, ns;
	size_t done;

	if (IS_ERR(heap))
		return 0;
	start = ktime_get_ns();
	for (done = 0; done < GROW_BYTES; done += GROW_OBJECT) {
		void **p = kmheap_alloc(heap, GROW_OBJECT, GFP_KERNEL);

		if (!p)
			break;
		*p = last;
		last = p;
	}
	ns = ktime_get_ns() - start;
	kmheap_stats(heap, &st);
	while (last) {
		void **p = last;

		last = *p;
		kmheap_free(p);
	}
	kmheap_destroy(heap);
	return done < GROW_BYTES ? 0 : div64_u64(ns, st.footprint_bytes / SZ_1M);
}

/* The same for bare areas, which nobody manages. */
static u64 grow_vmalloc(void)
{
	void *areas[GROW_BYTES / GROW_AREA];
	u64 start = ktime_get_ns(), ns;
	unsigned int i, n;

	for (n = 0; n < ARRAY_SIZE(areas); n++) {
		areas[n] = vmalloc(GROW_AREA);
		if (!areas[n])
			break;
	}
	ns = ktime_get_ns() - start;
	for (i = 0; i < n; i++)
		vfree(areas[i]);
	return n < ARRAY_SIZE(areas) ? 0 : div64_u64(ns, GROW_BYTES / SZ_1M);
}

static bool bench_grow(void)
{
	u64 ours[ROUNDS], theirs[ROUNDS];
	unsigned int i;

	if (!memory_allows(GROW_BYTES)) {
		pr_info("BENCH grow_skipped %u bytes\n", GROW_BYTES);
		return true;
	}
	for (i = 0; i < ROUNDS; i++) {
		ours[i] = grow_heap();
		theirs[i] = grow_vmalloc();
		if (!ours[i] || !theirs[i])
			return false;
		cond_resched();
	}
	bench_print(bench_median(ours, ROUNDS) * 100, "ns/MiB", "grow_kmheap");
	bench_print(bench_median(theirs, ROUNDS) * 100, "ns/MiB", "grow_vmalloc");
	return true;
}

static int __init large_bench_init(void)
{
	bool fine = true;
	unsigned int i;

	for (i = 0; fine && i < ARRAY_SIZE(sizes); i++)
		fine = bench_size(sizes[i].name, sizes[i].bytes);
	if (!fine || !bench_grow())
		pr_err("BENCH large failed\n");
	/* Refused modules are loaded a second time, by busybox. */
	return 0;
}
module_init(large_bench_init);

static void __exit large_bench_exit(void)
{
}
module_exit(large_bench_exit);

MODULE_DESCRIPTION("kmheap large object and growth benchmark");
MODULE_LICENSE("GPL");
