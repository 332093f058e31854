// SPDX-License-Identifier: GPL-2.0
/*
 * A module built with the drop-in header that asks for the kernel's memory: each kernel_*()
 * function is used once, what it gives is no heap's, and interfaces that take memory over free it.
 * The heap has nothing to do, but has a reserve that not every limit allows.
 */
#define pr_fmt(fmt) "%s: " fmt, KBUILD_MODNAME

#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mm.h>
#include <linux/platform_device.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "check.h"

/* In vmalloc space or not, as @area says. */
static void kernels(const void *p, bool area, const char *what, int line)
{
	check(!ZERO_OR_NULL_PTR(p) && !kmheap_owns(p) && is_vmalloc_addr(p) == area, what, line);
}

#define SLAB(p)			kernels(p, false, #p, __LINE__)
#define AREA(p)			kernels(p, true, #p, __LINE__)

struct thing {
	long a[20];
	struct rcu_head rcu;
};

static void slab_memory(void)
{
	struct thing *t;
	char *p, *q;

	SLAB(p = kernel_kmalloc(SZ_2M, GFP_KERNEL));
	kernel_kfree(p);
	SLAB(p = kernel_kmalloc(100, GFP_ATOMIC));
	kfree(p);
	SLAB(p = kernel_kzalloc(100, GFP_KERNEL));
	CHECK(!memchr_inv(p, 0, 100));
	SLAB(q = kernel_krealloc(p, 10000, GFP_KERNEL | __GFP_ZERO));
	CHECK(!memchr_inv(q, 0, 10000));
	kfree_sensitive(q);
	SLAB(p = kernel_kmalloc_array(10, 30, GFP_KERNEL));
	CHECK(ksize(p) >= 300);
	kvfree(p);
	SLAB(p = kernel_kcalloc(10, 30, GFP_KERNEL));
	CHECK(!memchr_inv(p, 0, 300));
	SLAB(q = krealloc(p, 600, GFP_KERNEL));
	kfree_const(q);
	CHECK(!kernel_kmalloc_array(SIZE_MAX, 2, GFP_KERNEL | __GFP_NOWARN));
	CHECK(!kernel_kcalloc(SIZE_MAX, 2, GFP_KERNEL | __GFP_NOWARN));
	SLAB(p = kernel_kmalloc_node(100, GFP_KERNEL, numa_node_id()));
	kfree_bulk(1, (void **)&p);
	SLAB(t = kernel_kmalloc(sizeof(*t), GFP_KERNEL));
	kfree_rcu(t, rcu);
}

static void copies(void)
{
	char *p;

	SLAB(p = kernel_kmemdup("four", 5, GFP_KERNEL));
	CHECK(!strcmp(p, "four"));
	kernel_kvfree(p);
	SLAB(p = kernel_kstrdup("two words", GFP_KERNEL));
	CHECK(!strcmp(p, "two words"));
	kfree(p);
	SLAB(p = kernel_kstrndup("two words", 3, GFP_KERNEL));
	CHECK(!strcmp(p, "two"));
	kfree(p);
	SLAB(p = kernel_kasprintf(GFP_KERNEL, "%s %d", "number", 17));
	CHECK(!strcmp(p, "number 17"));
	kfree(p);
}

static void areas(void)
{
	char *p;

	AREA(p = kernel_kvmalloc(SZ_8M, GFP_KERNEL));
	kvfree(p);
	AREA(p = kernel_kvzalloc(SZ_8M, GFP_KERNEL));
	CHECK(!memchr_inv(p, 0, SZ_8M));
	kernel_kvfree(p);
	AREA(p = kernel_vmalloc(100));
	vfree(p);
	AREA(p = kernel_vzalloc(SZ_4M));
	CHECK(!memchr_inv(p, 0, SZ_4M));
	kernel_vfree(p);
	AREA(p = kernel___vmalloc(SZ_4M, GFP_KERNEL | __GFP_ZERO));
	CHECK(!memchr_inv(p, 0, SZ_4M));
	vfree(p);
}

static void construct(void *p)
{
	((struct thing *)p)->a[3] = 4711;
}

static void caches(void)
{
	struct kmem_cache *s = kernel_kmem_cache_create("dropin_kernel", sizeof(struct thing), 0, 0,
							construct);
	struct thing *t;

	CHECK(s);
	SLAB(t = kernel_kmem_cache_alloc(s, GFP_KERNEL));
	CHECK(t->a[3] == 4711);
	kernel_kmem_cache_free(s, t);
	/* The names of the header take such a cache, too. */
	SLAB(t = kmem_cache_alloc(s, GFP_KERNEL));
	kmem_cache_free(s, t);
	CHECK(kmem_cache_size(s) == sizeof(struct thing));
	kernel_kmem_cache_destroy(s);
}

/* From here on the kernel frees with its own kfree(). */
static void taken_over(void)
{
	struct platform_device *device = platform_device_alloc("dropin", PLATFORM_DEVID_NONE);

	CHECK(device);
	SLAB(device->dev.platform_data = kernel_kzalloc(300, GFP_KERNEL));
	platform_device_put(device);
	kfree_link(kernel_kstrdup("where a link goes", GFP_KERNEL));
}

static int __init dropin_kernel_init(void)
{
	slab_memory();
	copies();
	areas();
	caches();
	taken_over();
	pr_info("%u checks, %u wrong\n", nchecks, nwrong);
	return 0;
}

static void __exit dropin_kernel_exit(void)
{
}

module_init(dropin_kernel_init);
module_exit(dropin_kernel_exit);
MODULE_DESCRIPTION("kmheap selftest: the kernel's memory for a module with the drop-in header");
MODULE_LICENSE("GPL");
