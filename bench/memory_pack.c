// SPDX-License-Identifier: GPL-2.0
/*
 * pack: how much of what is free can be given back, when nine of ten objects have been freed.
 *
 * A heap is filled with objects of mixed sizes, nine of ten are freed at random, and then so
 * many bytes are replaced, object by object, as turnovers[] says, in multiples of what is left
 * alive. Four times in each turnover, and at the end, what is empty becomes pages, as the
 * scavenger would see to; but no arena goes.
 *
 * releasable: free pages in arenas without a page in use, over all that is free: footprint less
 *	       live bytes; in percent. "churn" says how many turnovers there were.
 * pages:      free pages, over the same: more than that cannot be had by placing pages.
 *
 * Sides: kmheap; "pages", which takes pages from the fullest arena, as kmheap, but spans as they
 * come; and "by_address", which takes pages from the lowest address, and spans as they come.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "../kmod/base/benchmark.h"
#include "bench.h"
#include "memory.h"

static unsigned int pack_mib = 32;
module_param(pack_mib, uint, 0444);
MODULE_PARM_DESC(pack_mib, "pack: MiB of live objects before the free");

#define ROUNDS	5U

static const unsigned int turnovers[] = { 0, 4, 16 };

static const struct pack_side {
	const char *name;
	bool by_address, lifo;
} pack_sides[] = { { "kmheap" }, { "pages", false, true }, { "by_address", true, true } };

struct pack {
	const struct bench_sizes *sizes;
	struct rnd_state rnd;
	struct kmheap *heap;
	void **objects;
	u32 *bytes;
	unsigned long n, max;
	u64 requested;
};

static int pack_grow(struct pack *k)
{
	u32 bytes = bench_sizes_draw(k->sizes, &k->rnd);
	void *p;

	if (k->n == k->max)
		return -ENOSPC;
	p = kmheap_alloc(k->heap, bytes, GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	k->objects[k->n] = p;
	k->bytes[k->n++] = bytes;
	k->requested += bytes;
	return 0;
}

static void pack_drop(struct pack *k, unsigned long i)
{
	k->requested -= k->bytes[i];
	kmheap_free(k->objects[i]);
	k->objects[i] = k->objects[--k->n];
	k->bytes[i] = k->bytes[k->n];
}

static void pack_drop_any(struct pack *k)
{
	pack_drop(k, ((u64)prandom_u32_state(&k->rnd) * k->n) >> 32);
	if (!(k->n % 1024))
		cond_resched();
}

static int pack_run(struct pack *k, unsigned int turnover)
{
	u64 full = (u64)pack_mib << 20, low, volume, next = 0;
	unsigned long left;
	int err = 0;

	while (!err && k->requested < full)
		err = pack_grow(k);
	left = k->n / 10;
	while (k->n > left)
		pack_drop_any(k);
	low = k->requested;
	for (volume = 0; !err && volume < turnover * low; volume += k->bytes[k->n - 1]) {
		if (volume >= next) {
			kmh_bench_drain(k->heap);
			next += low / 4;
		}
		while (k->requested >= low)
			pack_drop_any(k);
		err = pack_grow(k);
	}
	return err;
}

/* In hundredths of a percent. */
static void pack_look(struct pack *k, u64 *releasable, u64 *pages)
{
	unsigned long wholly, all;
	struct kmheap_stats st;
	u64 unused;

	kmh_bench_drain(k->heap);
	kmheap_stats(k->heap, &st);
	unused = st.free_bytes + st.cached_bytes + st.deferred_bytes + st.waste_bytes;
	all = kmh_bench_free_bytes(k->heap, &wholly);
	*releasable = div64_u64(wholly * 10000ULL, unused ?: 1);
	*pages = div64_u64(all * 10000ULL, unused ?: 1);
}

static int pack_once(const struct bench_sizes *sizes, const struct pack_side *side,
		     unsigned int turnover, unsigned int seed, u64 *releasable, u64 *pages)
{
	struct pack k = { .sizes = sizes, .max = div_u64((u64)pack_mib << 20, sizes->mean) * 2 };
	int err = -ENOMEM;

	prandom_seed_state(&k.rnd, seed);
	k.objects = kvmalloc_array(k.max, sizeof(*k.objects), GFP_KERNEL);
	k.bytes = kvmalloc_array(k.max, sizeof(*k.bytes), GFP_KERNEL);
	if (!k.objects || !k.bytes)
		goto out;
	kmh_bench_by_address = side->by_address;
	k.heap = kmheap_create("bench_pack", NULL);
	kmh_bench_by_address = false;
	kmh_bench_lifo = side->lifo;
	err = PTR_ERR_OR_ZERO(k.heap);
	if (err)
		goto out;
	kmh_bench_no_scavenger(k.heap);
	err = pack_run(&k, turnover);
	pack_look(&k, releasable, pages);
	while (k.n)
		pack_drop(&k, k.n - 1);
	kmheap_destroy(k.heap);
out:
	kmh_bench_lifo = false;
	kvfree(k.objects);
	kvfree(k.bytes);
	return err;
}

static int pack_row(const struct bench_sizes *sizes, const struct pack_side *side,
		    unsigned int turnover)
{
	unsigned int i, n = min(bench_rounds(3), ROUNDS);
	u64 releasable[ROUNDS], pages[ROUNDS];
	char extra[64];
	struct bench_figure f = {
		.name = "pack", .op = "releasable", .unit = "percent", .extra = extra,
		.side = side->name,
	};

	for (i = 0; i < n; i++) {
		int err = pack_once(sizes, side, turnover, i + 1, &releasable[i], &pages[i]);

		if (err)
			return err;
	}
	snprintf(extra, sizeof(extra), "\"sizes\":\"%s\",\"churn\":\"%u times\"", sizes->name,
		 turnover);
	bench_print_samples(&f, releasable, n);
	f.op = "pages";
	bench_print_samples(&f, pages, n);
	return 0;
}

int bench_pack(void)
{
	enum bench_sizes_kind kind;
	struct bench_sizes sizes;
	unsigned int i;
	int err = 0;

	for (kind = 0; !err && kind < NR_BENCH_SIZES; kind++) {
		err = bench_sizes_make(&sizes, kind);
		if (err)
			break;
		for (i = 0; !err && i < ARRAY_SIZE(turnovers) * ARRAY_SIZE(pack_sides); i++)
			err = pack_row(&sizes, &pack_sides[i % ARRAY_SIZE(pack_sides)],
				       turnovers[i / ARRAY_SIZE(pack_sides)]);
		bench_sizes_release(&sizes);
	}
	return err;
}
