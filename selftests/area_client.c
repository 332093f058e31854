// SPDX-License-Identifier: GPL-2.0
/*
 * What a heap takes from the kernel for buffers that vmalloc() or kmalloc() would have given: how
 * well they pack, what is left when they are gone, what happens to pages that another user holds or
 * frees, and whether linear ones may be handed to others.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/kmheap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "client.h"

#define AREA_MAX_OBJS	32768U

static struct kmheap *area_heap;
static void **area_p;
static unsigned int area_n;
static u64 area_peak;
static unsigned int area_flags;		/* of the heap */

static int area_renew(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE, .flags = area_flags };

	kmheap_destroy(area_heap);
	area_heap = kmheap_create("area", &attr);
	return PTR_ERR_OR_ZERO(area_heap);
}

static u64 area_footprint(void)
{
	struct kmheap_stats st;

	kmheap_stats(area_heap, &st);
	area_peak = max(area_peak, st.footprint_bytes);
	return st.footprint_bytes;
}

static void area_free_all(void)
{
	while (area_n)
		kmheap_free(area_p[--area_n]);
}

/* Allocate one more object and write to it. */
static int area_take(size_t bytes, size_t align)
{
	u8 *p = kmheap_alloc_aligned(area_heap, bytes, align, GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	p[0] = 1;
	p[bytes - 1] = 1;
	area_p[area_n++] = p;
	if (!IS_ALIGNED((unsigned long)p, align))
		return -EUCLEAN;
	if (!(area_n % 64))
		cond_resched();
	return 0;
}

/* pack BYTES: 64 MiB of such buffers, at least 16, in a heap of their own */
static int area_pack(char *args)
{
	unsigned long bytes, n;
	int err = kstrtoul(args, 0, &bytes);

	if (err)
		return err;
	n = max(16UL, (64UL << 20) / bytes);
	if (n > AREA_MAX_OBJS)
		return -EINVAL;
	err = area_renew();
	while (!err && area_n < n)
		err = area_take(bytes, 1);
	client_say("footprint_bytes %llu\n", area_footprint());
	client_say("permille %llu\n", area_footprint() * 1000 / (n * bytes));
	kmheap_shrink(area_heap);
	client_say("shrunk_permille %llu\n", area_footprint() * 1000 / (n * bytes));
	area_free_all();
	return err ?: area_renew();
}

/* ---- as the kernel's lib/test_vmalloc.c does it, with fewer rounds */

#define AREA_ROUNDS	500U

static unsigned int area_below(unsigned int n)
{
	return get_random_u32() % n;
}

/* Allocate @npages of the kernel's pages, write a byte, and free them. */
static int area_trip(unsigned long npages, size_t align)
{
	int err = area_take(npages * PAGE_SIZE, align);

	kmheap_free(area_p[--area_n]);
	return err;
}

static int area_fix_size(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < AREA_ROUNDS; i++)
		err = area_trip(3, 1);
	return err;
}

static int area_random_size(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < AREA_ROUNDS; i++)
		err = area_trip(1 + area_below(100), 1);
	return err;
}

static int area_random_align(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < AREA_ROUNDS; i++)
		err = area_trip(1 + area_below(10), 1UL << area_below(23));
	return err;
}

static int area_align_shift(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < 23; i++)
		err = area_trip(1, 1UL << i);
	return err;
}

static int area_fix_align(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < AREA_ROUNDS; i++)
		err = area_trip(5, PAGE_SIZE << 5);
	return err;
}

/* Many single pages stay while other objects come and go: full_fit and long_busy_list. */
static int area_busy(unsigned int nobjs, unsigned long npages)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < nobjs; i++)
		err = area_take(PAGE_SIZE, 1);
	for (i = 0; !err && i < AREA_ROUNDS / 10; i++) {
		err = area_trip(100, 1);
		if (!err)
			err = area_trip(npages, 1);
	}
	area_footprint();
	area_free_all();
	return err;
}

/* Objects of all sizes at once, up to 4 MiB, freed in another order. */
static int area_mixed(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < 96; i++)
		err = area_take((1 + area_below(1 << area_below(11))) * PAGE_SIZE, 1);
	area_footprint();
	for (i = 0; i < area_n; i += 2) {
		kmheap_free(area_p[i]);
		area_p[i] = NULL;
	}
	area_free_all();
	return err;
}

static int area_after_grace(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < AREA_ROUNDS; i++) {
		err = area_take(PAGE_SIZE, 1);
		if (!err)
			kmheap_free_rcu(area_p[--area_n]);
	}
	return err;
}

/* load: run all of them; says the most that was taken, and what is taken now */
static int area_load(char *args)
{
	int err = area_renew();

	area_peak = 0;
	err = err ?: area_fix_size();
	err = err ?: area_busy(24576, 1);	/* full_fit */
	err = err ?: area_busy(15000, 2);	/* long_busy_list */
	err = err ?: area_random_size();
	err = err ?: area_fix_align();
	err = err ?: area_random_align();
	err = err ?: area_align_shift();
	err = err ?: area_mixed();
	err = err ?: area_after_grace();
	area_free_all();
	client_say("peak_bytes %llu\n", area_peak);
	client_say("footprint_bytes %llu\n", area_footprint());
	return err;
}

/* ---- pages that another user holds or frees */

/*
 * Does any of @n new objects of @bytes share a page with those in @pages? Frees the objects
 * again.
 */
static unsigned int area_shared(size_t bytes, struct page **pages, unsigned int npages)
{
	unsigned int i, k, found = 0;
	size_t off;

	for (i = 0; i < 32 && !area_take(bytes, 1); i++)
		for (off = 0; off < bytes; off += PAGE_SIZE)
			for (k = 0; k < npages; k++)
				found += vmalloc_to_page(area_p[i] + off) == pages[k];
	area_free_all();
	return found;
}

/*
 * held BYTES: free an object while another user holds a page of each 64 KiB; says what was
 * handed out
 */
static int area_held(char *args)
{
	struct page *pages[32];
	unsigned int n, i;
	size_t bytes;
	int err = kstrtoul(args, 0, &bytes) ?: area_renew();
	u64 empty;
	void *p;

	if (err)
		return err;
	empty = area_footprint();
	n = min_t(size_t, ARRAY_SIZE(pages), DIV_ROUND_UP(bytes, 64UL << 10));
	p = kmheap_alloc(area_heap, bytes, GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		pages[i] = vmalloc_to_page(p + i * (64UL << 10));
		get_page(pages[i]);
		client_say("references %d\n", page_ref_count(pages[i]));
	}
	kmheap_free(p);
	client_say("handed_out %u\n", area_shared(bytes, pages, n));
	kmheap_shrink(area_heap);
	client_say("handed_out_later %u\n", area_shared(bytes, pages, n));
	for (i = 0; i < n; i++)
		put_page(pages[i]);
	/* A worker gives back the arena of one object, and may still be at work. */
	for (i = 0; i < 500; i++) {
		kmheap_shrink(area_heap);
		if (area_footprint() <= empty)
			break;
		msleep(20);
	}
	client_say("left_bytes %llu\n", area_footprint());
	client_say("empty_bytes %llu\n", empty);
	return 0;
}

/*
 * steal BYTES: pass an object to vfree(), as kvfree() and kfree_rcu() do, or a linear one to
 * kfree(); says whether that freed the object's first page
 */
static int area_steal(char *args)
{
	unsigned long bytes;
	int err = kstrtoul(args, 0, &bytes) ?: area_renew();

	if (!err)
		err = area_take(bytes, PAGE_SIZE);
	if (!err)
		err = area_take(100, 1);
	if (err)
		return err;
	if (kmheap_is_linear(area_p[0])) {
		struct page *page = virt_to_page(area_p[0]);

		kfree(area_p[0]);
		client_say("freed %d\n", !page_ref_count(page) || !page_private(page));
	} else {
		vfree(area_p[0]);
		client_say("freed 1\n");
	}
	return 0;
}

/* ---- what linear objects are for */

static const size_t area_sg_bytes[] = { 16, 300, 4096, 10000, 64 << 10, 1 << 20 };

/* Copy @flat to the objects, and back to where it is cleared. Return: 0 or -EUCLEAN. */
static int area_sg_copy(u8 *flat, size_t sum)
{
	struct scatterlist sg[ARRAY_SIZE(area_sg_bytes)];
	size_t i, at = 0;

	sg_init_table(sg, area_n);
	for (i = 0; i < area_n; i++) {
		if (!kmheap_is_linear(area_p[i]))
			return -EUCLEAN;
		sg_set_buf(&sg[i], area_p[i], area_sg_bytes[i]);
	}
	for (i = 0; i < sum; i++)
		flat[i] = i % 251;
	if (sg_copy_from_buffer(sg, area_n, flat, sum) != sum)
		return -EUCLEAN;
	for (i = 0; i < area_n; at += area_sg_bytes[i++])
		if (memcmp(area_p[i], flat + at, area_sg_bytes[i]))
			return -EUCLEAN;
	memset(flat, 0, sum);
	if (sg_copy_to_buffer(sg, area_n, flat, sum) != sum)
		return -EUCLEAN;
	for (i = 0; i < sum; i++)
		if (flat[i] != i % 251)
			return -EUCLEAN;
	return 0;
}

/* sg: a scatterlist over objects of a heap with KMHEAP_LINEAR */
static int area_sg(char *args)
{
	int err = 0, end;
	size_t sum = 0;
	u8 *flat;

	area_flags = KMHEAP_LINEAR;
	err = area_renew();
	while (!err && area_n < ARRAY_SIZE(area_sg_bytes)) {
		sum += area_sg_bytes[area_n];
		err = area_take(area_sg_bytes[area_n], 1);
	}
	flat = vmalloc(sum);
	if (!err)
		err = flat ? area_sg_copy(flat, sum) : -ENOMEM;
	vfree(flat);
	area_free_all();
	area_flags = 0;
	end = area_renew();
	return err ?: end;
}

/* go_on: use the heap as before; frees of objects in the lost arena are ignored */
static int area_go_on(char *args)
{
	unsigned int lost = area_n;
	int err = 0;

	while (!err && area_n < 2000)
		err = area_take(area_n % 5 ? 8 << area_n % 12 : 100000, 1);
	while (area_n > lost)
		kmheap_free(area_p[--area_n]);
	kmheap_free(area_p[1]);
	area_n = 0;
	return err;
}

/* renew [linear]: destroy the heap and create a new one */
static int area_renew_cmd(char *args)
{
	area_flags = args && !strcmp(args, "linear") ? KMHEAP_LINEAR : 0;
	area_n = 0;
	return area_renew();
}

static const struct client_command area_commands[] = {
	{ "pack", area_pack },
	{ "load", area_load },
	{ "held", area_held },
	{ "steal", area_steal },
	{ "sg", area_sg },
	{ "go_on", area_go_on },
	{ "renew", area_renew_cmd },
	{}
};

static int __init area_init(void)
{
	int err;

	client_commands = area_commands;
	area_p = vmalloc(AREA_MAX_OBJS * sizeof(*area_p));
	if (!area_p)
		return -ENOMEM;
	err = area_renew();
	if (err)
		vfree(area_p);
	return err;
}

static void __exit area_exit(void)
{
	area_free_all();
	kmheap_destroy(area_heap);
	vfree(area_p);
}

module_init(area_init);
module_exit(area_exit);
MODULE_DESCRIPTION("kmheap selftest: what is taken from the kernel");
MODULE_LICENSE("GPL");
