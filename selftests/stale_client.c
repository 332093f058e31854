// SPDX-License-Identifier: GPL-2.0
/*
 * A client as if built for other size classes than kmheap.ko has: the kernel only knows that
 * by the name of the symbol that the client needs.
 */
#include <linux/kmheap_classes.h>

#undef KMHEAP_CLASSES_SYMBOL
#define KMHEAP_CLASSES_SYMBOL	kmheap_built_for_size_classes_00000000

#include <linux/kmheap.h>
#include <linux/module.h>

static int __init stale_init(void)
{
	void *p = kmheap_alloc(NULL, 1024, GFP_KERNEL);

	kmheap_free(p);
	return p ? 0 : -ENOMEM;
}

static void __exit stale_exit(void)
{
}

module_init(stale_init);
module_exit(stale_exit);
MODULE_DESCRIPTION("kmheap selftest: built for other size classes");
MODULE_LICENSE("GPL");
