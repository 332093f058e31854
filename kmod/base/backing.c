// SPDX-License-Identifier: GPL-2.0
/*
 * Where a heap's memory comes from: vmalloc areas, or blocks of the page allocator.
 *
 * A heap's flags say it, or for a heap that does not care the module's parameter when the heap is
 * made. Documentation/memory.rst says what speaks for which.
 */
#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/string.h>

#include "base/backing.h"
#include "base/param.h"
#include "base/public.h"

unsigned int kmh_backing_default = KMH_BACKING_AUTO;

/* By value. KMH_BACKING_LINEAR is a promise to a client, and no parameter gives it. */
static const char *const kmh_backing_names[] = {
	[KMH_BACKING_AREA] = "area",
	[KMH_BACKING_AUTO] = "auto",
	[KMH_BACKING_BLOCK] = "block",
};

static int kmh_backing_set(const char *text, const struct kernel_param *kp)
{
	int i = sysfs_match_string(kmh_backing_names, text);

	if (i < 0)
		return kmh_param_refuse(kp, text, "auto, block or area");
	WRITE_ONCE(kmh_backing_default, i);
	return 0;
}

static int kmh_backing_get(char *text, const struct kernel_param *kp)
{
	return sprintf(text, "%s\n", kmh_backing_names[READ_ONCE(kmh_backing_default)]);
}

static const struct kernel_param_ops kmh_backing_param_ops = {
	.set = kmh_backing_set,
	.get = kmh_backing_get,
};
module_param_cb(backing, &kmh_backing_param_ops, NULL, 0644);
MODULE_PARM_DESC(backing,
		 "what heaps made from now on stand on, unless their flags say it: auto (default), block or area");

/* The backing of a heap with @flags, of which at most one of the two is set. Context: any. */
enum kmh_backing kmh_backing_choose(unsigned int flags)
{
	if (flags & KMHEAP_LINEAR)
		return KMH_BACKING_LINEAR;
	if (flags & KMHEAP_AREA)
		return KMH_BACKING_AREA;
	return READ_ONCE(kmh_backing_default);
}
