// SPDX-License-Identifier: GPL-2.0
/*
 * A module that knows nothing of kmheap, but for one heap, which it ends: what it does with an
 * address of that heap afterwards is reported, and does nothing else. And what callers that cannot
 * sleep get when the module's own heap is at a limit that is not in its source.
 */
#define pr_fmt(fmt) "%s: " fmt, KBUILD_MODNAME

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

static unsigned int nrefused, nkernels, nours;

/* An address of a heap that has gone. */
static void *address_of_none(void)
{
	struct kmheap_attr attr = { .flags = KMHEAP_AREA, .owner = THIS_MODULE };
	struct kmheap *heap = kmheap_create("dropin_gone", &attr);
	unsigned int i;
	void *p;

	if (IS_ERR(heap))
		return NULL;
	p = kmheap_alloc(heap, SZ_64K, GFP_KERNEL);
	kmheap_free(p);
	kmheap_destroy(heap);
	for (i = 0; i < 1000 && kmheap_owns(p); i++)
		msleep(20);
	return p;
}

/* Seven functions, each of which is reported. */
static int use_none(void)
{
	struct kmem_cache *s = kmem_cache_create("none", 64, 0, 0, NULL);
	void *p = address_of_none();
	int ok;

	if (!s || !p || kmheap_owns(p))
		return -ENOMEM;
	ok = !ksize(p) && !krealloc(p, 2 * SZ_64K, GFP_KERNEL);
	kfree(p);
	kfree_sensitive(p);
	kfree_const(p);
	kmem_cache_free(s, p);
	kfree_bulk(1, &p);
	kmem_cache_destroy(s);
	return ok ? 0 : -EIO;
}

/* 2 MiB in pieces, which callers get that cannot sleep, and how many those get that can. */
static void meet_the_limit(void)
{
	static void *p[512];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmalloc(4000, GFP_ATOMIC);
		nrefused += !p[i];
		nkernels += p[i] && !kmheap_owns(p[i]);
	}
	kfree_bulk(ARRAY_SIZE(p), p);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmalloc(4000, GFP_KERNEL | __GFP_NOWARN);
		if (!p[i])
			break;
		nours += kmheap_owns(p[i]);
	}
	pr_info("of 512 that cannot sleep %u are refused and %u the kernel's\n", nrefused,
		nkernels);
	pr_info("of 512 that can %u get some, %u of the heap\n", i, nours);
	while (i)
		kfree(p[--i]);
}

static int __init late_init(void)
{
	int err = use_none();

	pr_info("an address of none: %d\n", err);
	meet_the_limit();
	return 0;
}

static void __exit late_exit(void)
{
}

module_init(late_init);
module_exit(late_exit);
MODULE_DESCRIPTION("kmheap selftest: the drop-in header, a heap that has gone, and a limit");
MODULE_LICENSE("GPL");
