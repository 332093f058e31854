// SPDX-License-Identifier: GPL-2.0
/*
 * Every misuse by a client, as often as the test says. Each command misuses kmheap from one
 * site, in a loop.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/kmheap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/slab.h>
#include <linux/smp.h>

#include "client.h"

static struct kmheap *misuse_heap;
static const struct kmheap_attr misuse_attr = { .owner = THIS_MODULE };

/* Hide @p from the compiler, which would rightly warn about these calls. */
static void *misuse_hide(void *p)
{
	OPTIMIZER_HIDE_VAR(p);
	return p;
}

/* The one site of a command: called in one place of a loop, and not inlined. */
static noinline void misuse_free_times(const void *p, unsigned int times)
{
	while (times--)
		kmheap_free(misuse_hide((void *)p));
}

/* ---- frees */

static int misuse_double_of(void *p, unsigned int times)
{
	if (!p)
		return -ENOMEM;
	kmheap_free(p);
	misuse_free_times(p, times);
	return 0;
}

static noinline int misuse_double(unsigned int times)
{
	return misuse_double_of(kmheap_alloc(misuse_heap, 64, GFP_KERNEL), times);
}

static noinline int misuse_double_tiny(unsigned int times)
{
	return misuse_double_of(kmheap_alloc_data(misuse_heap, 4, GFP_KERNEL), times);
}

static noinline int misuse_double_large(unsigned int times)
{
	return misuse_double_of(kmheap_alloc(misuse_heap, 100000, GFP_KERNEL), times);
}

static noinline int misuse_interior(unsigned int times)
{
	void *p = kmheap_alloc(misuse_heap, 256, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	misuse_free_times(p + 8, times);
	kmheap_free(p);
	return 0;
}

static noinline int misuse_interior_large(unsigned int times)
{
	void *p = kmheap_alloc(misuse_heap, 100000, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	misuse_free_times(p + 8192, times);
	kmheap_free(p);
	return 0;
}

/* A page of the heap that was never used: the far end of a fresh heap's arena. */
static noinline int misuse_unused(unsigned int times)
{
	struct kmheap *heap = kmheap_create("fresh", &misuse_attr);
	void *p;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	p = kmheap_alloc(heap, 64, GFP_KERNEL);
	if (p)
		misuse_free_times(p + (128 << 10), times);
	kmheap_free(p);
	kmheap_destroy(heap);
	return p ? 0 : -ENOMEM;
}

static noinline int misuse_wild(unsigned int times)
{
	unsigned long values[] = { 0x1000, ~0UL, 0xdead000000000100UL, 0, 0, 0, 17 };
	void *kmalloced = kmalloc(64, GFP_KERNEL);
	unsigned int i, n = 0;

	values[3] = (unsigned long)kmalloced;
	values[4] = (unsigned long)&i;			/* the stack */
	values[5] = (unsigned long)misuse_wild;		/* the text */
	while (times--)
		misuse_free_times((void *)values[n++ % ARRAY_SIZE(values)], 1);
	kfree(kmalloced);
	return kmalloced ? 0 : -ENOMEM;
}

static noinline int misuse_wrong_size(unsigned int times)
{
	void *p = kmheap_alloc(misuse_heap, 64, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	while (times--)
		kmheap_free_sized(misuse_hide(p), 200);
	/* The object is still alive. */
	if (kmheap_size(p) != 64)
		return -EUCLEAN;
	kmheap_free_sized(p, 64);
	return 0;
}

static noinline int misuse_after_destroy(unsigned int times)
{
	struct kmheap *heap = kmheap_create("gone", &misuse_attr);
	void *p;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	p = kmheap_alloc(heap, 64, GFP_KERNEL);
	kmheap_destroy(heap);
	misuse_free_times(p, times);
	return p ? 0 : -ENOMEM;
}

static noinline int misuse_realloc(unsigned int times)
{
	void *p = kmheap_alloc(misuse_heap, 64, GFP_KERNEL), *q;

	if (!p)
		return -ENOMEM;
	kmheap_free(p);
	while (times--) {
		q = kmheap_realloc(misuse_heap, misuse_hide(p), 500, GFP_KERNEL);
		if (q)
			return -EUCLEAN;
	}
	return 0;
}

/* ---- deferred frees: the object is no longer live from the call on */

static noinline void misuse_free_rcu_times(const void *p, unsigned int times)
{
	while (times--)
		kmheap_free_rcu(misuse_hide((void *)p));
}

static int misuse_double_rcu_of(void *p, unsigned int times)
{
	if (!p)
		return -ENOMEM;
	kmheap_free_rcu(p);
	misuse_free_rcu_times(p, times);
	return 0;
}

static noinline int misuse_double_rcu(unsigned int times)
{
	return misuse_double_rcu_of(kmheap_alloc(misuse_heap, 64, GFP_KERNEL), times);
}

static noinline int misuse_double_rcu_tiny(unsigned int times)
{
	return misuse_double_rcu_of(kmheap_alloc_data(misuse_heap, 4, GFP_KERNEL), times);
}

static noinline int misuse_double_rcu_large(unsigned int times)
{
	return misuse_double_rcu_of(kmheap_alloc(misuse_heap, 100000, GFP_KERNEL), times);
}

static noinline int misuse_free_deferred(unsigned int times)
{
	void *p = kmheap_alloc(misuse_heap, 64, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	kmheap_free_rcu(p);
	misuse_free_times(p, times);
	return 0;
}

static noinline int misuse_defer_freed(unsigned int times)
{
	void *p = kmheap_alloc(misuse_heap, 64, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	kmheap_free(p);
	misuse_free_rcu_times(p, times);
	return 0;
}

static noinline int misuse_interior_rcu(unsigned int times)
{
	void *p = kmheap_alloc(misuse_heap, 256, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	misuse_free_rcu_times(p + 8, times);
	kmheap_free_rcu(p);
	return 0;
}

static noinline int misuse_wild_rcu(unsigned int times)
{
	void *kmalloced = kmalloc(64, GFP_KERNEL);

	misuse_free_rcu_times(kmalloced, times);
	kfree(kmalloced);
	return kmalloced ? 0 : -ENOMEM;
}

/* ---- one object freed by all CPUs at the same moment */

struct misuse_race {
	void *p;
	unsigned int cpus;
	bool deferred;			/* by every other CPU */
	atomic_t here;
};

static void misuse_race_free(void *arg)
{
	struct misuse_race *r = arg;

	atomic_inc(&r->here);
	while (atomic_read(&r->here) < r->cpus)
		cpu_relax();
	if (r->deferred && raw_smp_processor_id() % 2)
		kmheap_free_rcu(r->p);
	else
		kmheap_free(r->p);
}

/* Says how many frees were too many; the fold finds some of them. */
static int misuse_race_of(unsigned int times, bool deferred)
{
	struct misuse_race r = { .deferred = deferred };
	unsigned int extra = 0;

	while (times--) {
		r.p = kmheap_alloc(misuse_heap, 8 << times % 8, GFP_KERNEL);
		if (!r.p)
			return -ENOMEM;
		atomic_set(&r.here, 0);
		r.cpus = num_online_cpus();
		on_each_cpu(misuse_race_free, &r, true);
		extra += r.cpus - 1;
	}
	kmheap_rcu_barrier(misuse_heap);
	kmheap_shrink(misuse_heap);
	client_say("extra %u\n", extra);
	return 0;
}

static noinline int misuse_race(unsigned int times)
{
	return misuse_race_of(times, false);
}

static noinline int misuse_race_rcu(unsigned int times)
{
	return misuse_race_of(times, true);
}

/* ---- heaps */

static int misuse_destroy_twice(unsigned int times)
{
	struct kmheap *heap = kmheap_create("twice", &misuse_attr);

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	kmheap_destroy(heap);
	kmheap_destroy(misuse_hide(heap));
	return 0;
}

/* Pointers that were never a heap, and must not be read to find that out. */
static int misuse_destroy_wild(unsigned int times)
{
	kmheap_destroy(misuse_hide(ZERO_SIZE_PTR));
	kmheap_destroy(misuse_hide((void *)0xdead000000000100UL));
	return 0;
}

static int misuse_destroy_default(unsigned int times)
{
	struct kmheap_object obj;
	void *p = kmheap_alloc(NULL, 64, GFP_KERNEL);

	if (!p || !kmheap_lookup(p, &obj))
		return -ENOMEM;
	kmheap_destroy(obj.heap);
	kmheap_destroy(NULL);
	kmheap_free(p);
	return 0;
}

static const char misuse_long_name[] =
	"0123456789012345678901234567890123456789012345678901234567890123";

/* Returns 0 when all attributes and names that make no sense are refused. */
static int misuse_create(unsigned int times)
{
	static const struct {
		const char *name;
		struct kmheap_attr attr;
		int err;
	} bad[] = {
		{ NULL, {}, -EINVAL },
		{ "", {}, -EINVAL },
		{ "a/b", {}, -EINVAL },
		{ ".hidden", {}, -EINVAL },
		{ "a\nkmheap: heap forged", {}, -EINVAL },
		{ "\033[2J", {}, -EINVAL },
		{ misuse_long_name, {}, -EINVAL },
		{ "flags", { .flags = 0x80000000 }, -EINVAL },
		{ "limit", { .limit_bytes = 4096 }, -EINVAL },
		{ "default", {}, -EEXIST },
		{ "misuse", {}, -EEXIST },
	};
	struct kmheap *heap;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		heap = kmheap_create(bad[i].name, &bad[i].attr);
		if (!IS_ERR(heap)) {
			kmheap_destroy(heap);
			pr_err("created heap %u\n", i);
			return -EUCLEAN;
		}
		if (PTR_ERR(heap) != bad[i].err) {
			pr_err("heap %u gave %ld\n", i, PTR_ERR(heap));
			return -EUCLEAN;
		}
	}
	return 0;
}

/* ---- requests; -EUCLEAN when a request was served that has to be refused */

static int misuse_expect_null(void *p)
{
	if (!p)
		return 0;
	kmheap_free(p);
	return -EUCLEAN;
}

static int misuse_nofail(unsigned int times)
{
	int err = 0;

	while (times--)
		kmheap_free(kmheap_alloc(misuse_heap, 64, GFP_KERNEL | __GFP_NOFAIL));
	return err;
}

/* Each of these requests is one refusal; the test counts them. */
#define MISUSE_DMA_WAYS	7

static int misuse_dma(unsigned int times)
{
	int err = 0;

	const gfp_t dma = GFP_KERNEL | GFP_DMA, dma32 = GFP_KERNEL | GFP_DMA32;

	while (times--) {
		void *p[] = {
			kmheap_alloc(misuse_heap, 64, dma),
			kmheap_alloc(misuse_heap, 50000, dma32),
			kmheap_alloc_data(misuse_heap, 8, dma),
			kmheap_alloc_aligned(misuse_heap, 64, 64, dma32),
			kmheap_alloc_node(misuse_heap, 64, dma, numa_node_id()),
			kmheap_alloc_pages(misuse_heap, 2, dma),
			NULL,
		};
		unsigned int i;

		if (kmheap_alloc_bulk(misuse_heap, 64, dma, 1, &p[MISUSE_DMA_WAYS - 1]))
			err = -EUCLEAN;
		BUILD_BUG_ON(ARRAY_SIZE(p) != MISUSE_DMA_WAYS);
		for (i = 0; i < ARRAY_SIZE(p); i++)
			err = misuse_expect_null(p[i]) ?: err;
	}
	return err;
}

static int misuse_align(unsigned int times)
{
	static const size_t bad[] = { 0, 3, 24, 8 << 20, 1UL << 63 };
	int err = 0;

	while (times--)
		err = misuse_expect_null(kmheap_alloc_aligned(misuse_heap, 64,
							      bad[times % ARRAY_SIZE(bad)],
							      GFP_KERNEL)) ?: err;
	return err;
}

/* Take one object more than was reserved. */
static int misuse_ticket(unsigned int times)
{
	struct kmheap_ticket t;
	int err = 0;

	while (times--) {
		if (kmheap_prefill(&t, misuse_heap, 64, 1, GFP_KERNEL))
			return -ENOMEM;
		kmheap_free(kmheap_take(&t));
		err = misuse_expect_null(kmheap_take(&t)) ?: err;
		kmheap_ticket_end(&t);
	}
	return err;
}

static int misuse_node(unsigned int times)
{
	int err = 0;

	while (times--)
		err = misuse_expect_null(kmheap_alloc_node(misuse_heap, 64, GFP_KERNEL,
							   times % 2 ? -7 : nr_node_ids + 3)) ?:
			err;
	return err;
}

static int misuse_absurd_with(unsigned int times, gfp_t gfp)
{
	static const size_t bad[] = { 1UL << 45, SIZE_MAX, SIZE_MAX - 8191, 1UL << 63 };
	int err = 0;

	while (times--)
		err = misuse_expect_null(kmheap_alloc(misuse_heap, bad[times % ARRAY_SIZE(bad)],
						      gfp)) ?: err;
	return err;
}

static int misuse_absurd(unsigned int times)
{
	return misuse_absurd_with(times, GFP_KERNEL);
}

static int misuse_absurd_nowarn(unsigned int times)
{
	return misuse_absurd_with(times, GFP_KERNEL | __GFP_NOWARN);
}

static int misuse_overflow(unsigned int times)
{
	int err = 0;

	while (times--) {
		size_t n = SIZE_MAX / 2;

		OPTIMIZER_HIDE_VAR(n);
		err = misuse_expect_null(kmheap_alloc_array(misuse_heap, n, 16, GFP_KERNEL)) ?: err;
		err = misuse_expect_null(kmheap_calloc(misuse_heap, 4, n, GFP_KERNEL)) ?: err;
	}
	return err;
}

/* Calls that are no misuse, and must not be reported as one. */
static int misuse_nothing(unsigned int times)
{
	void *p[64];
	unsigned int i;

	kmheap_free(NULL);
	kmheap_free(ZERO_SIZE_PTR);
	kmheap_free_sized(NULL, 10);
	kmheap_free_sensitive(NULL);
	kmheap_free_rcu(NULL);
	kmheap_free_rcu(ZERO_SIZE_PTR);
	kmheap_free(kmheap_alloc(misuse_heap, 0, GFP_KERNEL));
	while (times--) {
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			p[i] = kmheap_zalloc(misuse_heap, 1 + i * i * 8, GFP_KERNEL);
			if (!p[i] || memchr_inv(p[i], 0, 1 + i * i * 8))
				return -EUCLEAN;
			memset(p[i], 0xa5, 1 + i * i * 8);
		}
		for (i = 0; i < ARRAY_SIZE(p); i++)
			kmheap_free_sized(p[i], 1 + i * i * 8);
	}
	return 0;
}

/* ---- commands: NAME TIMES */

static const struct {
	const char *name;
	int (*run)(unsigned int times);
} misuses[] = {
	{ "double", misuse_double },
	{ "double_tiny", misuse_double_tiny },
	{ "double_large", misuse_double_large },
	{ "interior", misuse_interior },
	{ "interior_large", misuse_interior_large },
	{ "unused", misuse_unused },
	{ "wild", misuse_wild },
	{ "wrong_size", misuse_wrong_size },
	{ "after_destroy", misuse_after_destroy },
	{ "realloc", misuse_realloc },
	{ "double_rcu", misuse_double_rcu },
	{ "double_rcu_tiny", misuse_double_rcu_tiny },
	{ "double_rcu_large", misuse_double_rcu_large },
	{ "free_deferred", misuse_free_deferred },
	{ "defer_freed", misuse_defer_freed },
	{ "interior_rcu", misuse_interior_rcu },
	{ "wild_rcu", misuse_wild_rcu },
	{ "race", misuse_race },
	{ "race_rcu", misuse_race_rcu },
	{ "destroy_twice", misuse_destroy_twice },
	{ "destroy_wild", misuse_destroy_wild },
	{ "destroy_default", misuse_destroy_default },
	{ "create", misuse_create },
	{ "nofail", misuse_nofail },
	{ "dma", misuse_dma },
	{ "align", misuse_align },
	{ "ticket", misuse_ticket },
	{ "node", misuse_node },
	{ "absurd", misuse_absurd },
	{ "absurd_nowarn", misuse_absurd_nowarn },
	{ "overflow", misuse_overflow },
	{ "nothing", misuse_nothing },
};

static int misuse_cmd(char *args)
{
	const char *name = strsep(&args, " ");
	unsigned int times, i;

	if (!args || kstrtouint(args, 0, &times))
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(misuses); i++)
		if (!strcmp(misuses[i].name, name))
			return misuses[i].run(times);
	return -EOPNOTSUPP;
}

static const struct client_command misuse_commands[] = {
	{ "misuse", misuse_cmd },
	{}
};

static int __init misuse_init(void)
{
	client_commands = misuse_commands;
	misuse_heap = kmheap_create("misuse", &misuse_attr);
	return PTR_ERR_OR_ZERO(misuse_heap);
}

static void __exit misuse_exit(void)
{
	kmheap_destroy(misuse_heap);
}

module_init(misuse_init);
module_exit(misuse_exit);
MODULE_DESCRIPTION("kmheap selftest: misuse");
MODULE_LICENSE("GPL");
