// SPDX-License-Identifier: GPL-2.0
/*
 * A module that includes the drop-in header itself, after the kernel's headers, and that has made
 * its heap itself, with a limit. It is a platform driver without a device: module_driver() is the
 * kernel's here.
 */
#define pr_fmt(fmt) "dropin_own, " fmt

#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>

struct kmheap;
static struct kmheap *own_heap;

#define KMHEAP_DROPIN_HEAP	own_heap
#include <linux/kmheap_dropin.h>

static struct platform_driver own_driver = { .driver.name = "dropin_own" };
static void *kept;

static int own_register(struct platform_driver *driver)
{
	struct kmheap_attr attr = { .owner = THIS_MODULE, .limit_bytes = SZ_8M };
	struct kmheap_object obj;

	own_heap = kmheap_create("own", &attr);
	if (IS_ERR(own_heap))
		return PTR_ERR(own_heap);
	kept = kmalloc(100, GFP_KERNEL);
	if (!kmheap_lookup(kept, &obj) || obj.heap != own_heap ||
	    platform_driver_register(driver)) {
		kmheap_destroy(own_heap);
		return -ENOMEM;
	}
	pr_info("16 MiB of 8: %s\n", vmalloc(SZ_16M) ? "had" : "refused");
	return 0;
}

static void own_unregister(struct platform_driver *driver)
{
	platform_driver_unregister(driver);
	kfree(kept);
	kmheap_destroy(own_heap);
}

module_driver(own_driver, own_register, own_unregister);
MODULE_DESCRIPTION("kmheap selftest: the drop-in header with a heap that the module has made");
MODULE_LICENSE("GPL");
