// SPDX-License-Identifier: GPL-2.0
/* The second file of dropin_names.ko. It has no pr_fmt(), and looks behind the header. */
#include <linux/kmheap.h>
#include <linux/slab.h>

#include "names.h"

enum owner dropin_owner(const void *p)
{
	struct kmheap_object obj;

	if (!kmheap_owns(p))
		return OWNER_KERNEL;
	if (!kmheap_lookup(p, &obj) || obj.base != p || obj.heap != kmheap_dropin_heap)
		return OWNER_STRANGER;
	if (obj.state == KMHEAP_OBJECT_LIVE)
		return OWNER_MODULE;
	return obj.state == KMHEAP_OBJECT_DEFERRED ? OWNER_WAITS : OWNER_STRANGER;
}

void *dropin_other_alloc(size_t size)
{
	pr_info_once("the other file allocates\n");
	pr_debug("%zu bytes\n", size);
	return kzalloc(size, GFP_KERNEL);
}

void dropin_other_free(const void *p)
{
	kfree(p);
}
