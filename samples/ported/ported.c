// SPDX-License-Identifier: GPL-2.0
/* Knows nothing of kmheap: see the Kbuild file. */
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

static char *text;

static int __init ported_init(void)
{
	text = kstrdup("ported", GFP_KERNEL);
	return text ? 0 : -ENOMEM;
}

static void __exit ported_exit(void)
{
	kfree(text);
}

module_init(ported_init);
module_exit(ported_exit);
MODULE_DESCRIPTION("kmheap sample: a module of the kernel's allocator, built with the drop-in header");
MODULE_LICENSE("GPL");
