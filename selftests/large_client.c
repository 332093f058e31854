// SPDX-License-Identifier: GPL-2.0
/* One large object at a time: allocates it, looks at it, writes it, frees it. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kmheap.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "client.h"

static struct kmheap *large_heap;
static u8 *large_p;
static size_t large_bytes;

/* Sample points: the first and the last byte of every page, and the very last. */
static bool large_all(u8 expected)
{
	size_t off;

	for (off = 0; off < large_bytes; off += PAGE_SIZE) {
		if (large_p[off] != expected)
			return false;
		if (off && large_p[off - 1] != expected)
			return false;
		if (!(off % (64UL << 20)))
			cond_resched();
	}
	return large_p[large_bytes - 1] == expected;
}

static void large_set(u8 value)
{
	size_t off;

	for (off = 0; off < large_bytes; off += PAGE_SIZE) {
		large_p[off] = value;
		if (off)
			large_p[off - 1] = value;
		if (!(off % (64UL << 20)))
			cond_resched();
	}
	large_p[large_bytes - 1] = value;
}

static void large_say(s64 us)
{
	struct kmheap_stats st;

	kmheap_stats(large_heap, &st);
	client_say("footprint_bytes %llu\nlive_bytes %llu\narenas %llu\nmicroseconds %lld\n",
		   st.footprint_bytes, st.live_bytes, st.arenas, us);
	client_say("percent %llu\n", st.footprint_bytes * 100 / max_t(u64, st.live_bytes, 1));
}

static int large_take(char *args, gfp_t gfp)
{
	ktime_t start;
	int err;

	if (large_p)
		return -EBUSY;
	err = kstrtoul(args, 0, &large_bytes);
	if (err)
		return err;
	start = ktime_get();
	large_p = kmheap_alloc(large_heap, large_bytes, gfp);
	large_say(ktime_us_delta(ktime_get(), start));
	if (!large_p)
		return -ENOMEM;
	if (!PAGE_ALIGNED(large_p) || kmheap_size(large_p) < large_bytes)
		return -EUCLEAN;
	return 0;
}

/* alloc BYTES: write all sample points and read them back */
static int large_alloc_cmd(char *args)
{
	int err = large_take(args, GFP_KERNEL | __GFP_NOWARN);

	if (err)
		return err;
	large_set(0xa5);
	return large_all(0xa5) ? 0 : -EUCLEAN;
}

/* zalloc BYTES: as alloc; every sample point has to be zero before */
static int large_zalloc_cmd(char *args)
{
	int err = large_take(args, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN);

	if (err)
		return err;
	if (!large_all(0))
		return -EUCLEAN;
	large_set(0x5a);
	return large_all(0x5a) ? 0 : -EUCLEAN;
}

/* free: the contents must be as they were written */
static int large_free_cmd(char *args)
{
	int err = 0;

	if (!large_p)
		return -ENOENT;
	if (!large_all(*large_p))
		err = -EUCLEAN;
	kmheap_free_sized(large_p, large_bytes);
	large_p = NULL;
	return err;
}

/* dirty: is memory that need not be zero as its last user left it? */
static int large_dirty_cmd(char *args)
{
	int err = large_take(args, GFP_KERNEL);

	if (err)
		return err;
	client_say("first_byte %u\n", *large_p);
	large_set(0);
	return 0;
}

/* atomic BYTES: allocate without sleeping */
static int large_atomic_cmd(char *args)
{
	int err = large_take(args, GFP_ATOMIC);

	if (!err)
		large_set(1);
	return err;
}

/* realloc BYTES, a multiple of PAGE_SIZE: resize the object; its contents stay */
static int large_realloc_cmd(char *args)
{
	size_t bytes, old = large_bytes;
	u8 value, *p;
	int err = kstrtoul(args, 0, &bytes);

	if (err || !large_p)
		return err ?: -ENOENT;
	value = *large_p;
	p = kmheap_realloc(large_heap, large_p, bytes, GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	large_p = p;
	large_bytes = min(old, bytes);
	err = large_all(value) ? 0 : -EUCLEAN;
	large_bytes = kmheap_size(p);
	large_set(value);
	return err;
}

/* heap LIMIT: a fresh heap; 0 for no limit */
static int large_heap_cmd(char *args)
{
	struct kmheap_attr attr = { .owner = THIS_MODULE };
	int err = kstrtoul(args, 0, &attr.limit_bytes);

	if (err)
		return err;
	kmheap_free(large_p);
	large_p = NULL;
	kmheap_destroy(large_heap);
	large_heap = kmheap_create("large", &attr);
	return PTR_ERR_OR_ZERO(large_heap);
}

static const struct client_command large_commands[] = {
	{ "alloc", large_alloc_cmd },
	{ "zalloc", large_zalloc_cmd },
	{ "dirty", large_dirty_cmd },
	{ "atomic", large_atomic_cmd },
	{ "realloc", large_realloc_cmd },
	{ "free", large_free_cmd },
	{ "heap", large_heap_cmd },
	{}
};

static int __init large_init(void)
{
	client_commands = large_commands;
	return large_heap_cmd("0");
}

static void __exit large_exit(void)
{
	kmheap_free(large_p);
	kmheap_destroy(large_heap);
}

module_init(large_init);
module_exit(large_exit);
MODULE_DESCRIPTION("kmheap selftest: large objects");
MODULE_LICENSE("GPL");
