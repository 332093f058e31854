// SPDX-License-Identifier: GPL-2.0
/*
 * What kmod/insight/ and the size classes want of kmod/base/. The advisor's tables are under no
 * limit of kmheap's, and its allocations are not made to fail.
 */
#include <linux/percpu.h>
#include <linux/slab.h>

#include "base/backend.h"
#include "base/budget.h"
#include "base/sizeclass.h"

const u8 kmh_class_lookup[KMH_CLASS_LOOKUP_LEN] = KMH_CLASS_LOOKUP;
const u16 kmh_spanclass_size[KMH_NR_SPANCLASSES] = KMH_SPANCLASS_SIZES;

void *kmh_backend_zalloc(size_t bytes, gfp_t gfp, int nid)
{
	return kvzalloc_node(bytes, gfp, nid);
}

void kmh_backend_free(void *p)
{
	kvfree(p);
}

void __percpu *kmh_backend_percpu_bytes(size_t bytes, size_t align, gfp_t gfp)
{
	return __alloc_percpu_gfp(bytes, align, gfp);
}

bool kmh_shared_try_account(size_t bytes)
{
	return true;
}

void kmh_shared_account(long bytes)
{
}
