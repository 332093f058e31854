// SPDX-License-Identifier: GPL-2.0
/* The module: parameters, order of initialization, exit in strict reverse. */
#include <linux/init.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/workqueue.h>

#include "heap.h"
#include "base/lock.h"
#include "base/param.h"
#include "cpu/magazine.h"
#include "cpu/watch.h"
#include "debug/debugfs.h"
#include "front/front.h"
#include "insight/record.h"
#include "insight/site.h"
#include "pages/arena.h"
#include "span/arenamap.h"
#include "span/spanpool.h"

struct workqueue_struct *kmh_wq;
struct workqueue_struct *kmh_grow_wq;

DEFINE_PER_CPU(unsigned int, kmh_nlocks);

size_t kmh_arena_bytes = 4UL << 20;
static struct kmh_param_number kmh_arena_param = {
	.value = &kmh_arena_bytes, .unit = KMH_PARAM_BYTES, .power_of_2 = true,
	.least = KMH_ARENA_FULL_MIN_BYTES, .most = KMH_ARENA_MAX_BYTES,
};
module_param_cb(arena_size, &kmh_number_param_ops, &kmh_arena_param, 0444);
MODULE_PARM_DESC(arena_size,
		 "bytes of a full-grown arena: a power of two from 2 MiB to 1 GiB (default 4 MiB)");

size_t kmh_default_limit;
static struct kmh_param_number kmh_default_limit_param = {
	.value = &kmh_default_limit, .unit = KMH_PARAM_BYTES, .or_none = true,
	.least = KMH_LIMIT_MIN_BYTES, .most = SIZE_MAX,
};
module_param_cb(default_limit, &kmh_number_param_ops, &kmh_default_limit_param, 0444);
MODULE_PARM_DESC(default_limit,
		 "hard limit in bytes on the footprint of heaps created without one: 0 for none (default), else at least 512 KiB");

bool kmh_small_heaps;
module_param_cb(small_heaps, &kmh_bool_param_ops, &kmh_small_heaps, 0644);
__MODULE_PARM_TYPE(small_heaps, "bool");
MODULE_PARM_DESC(small_heaps,
		 "heaps that are made from now on begin small: a first arena of 16 KiB, no per-CPU caches before 128 allocations (default N)");

size_t kmh_default_period;
static struct kmh_param_number kmh_default_period_param = {
	.value = &kmh_default_period, .unit = KMH_PARAM_BYTES, .most = KMH_PERIOD_MOST,
};
module_param_cb(profile_period_bytes, &kmh_number_param_ops, &kmh_default_period_param, 0644);
MODULE_PARM_DESC(profile_period_bytes,
		 "profile each heap that is made from now on, with a sample every so many bytes on average: 0 for none (default), 1 for every object");

size_t kmh_default_fail_nth;
static struct kmh_param_number kmh_fail_nth_param = {
	.value = &kmh_default_fail_nth, .most = LONG_MAX,
};
module_param_cb(heap_fail_nth, &kmh_number_param_ops, &kmh_fail_nth_param, 0644);
__MODULE_PARM_TYPE(heap_fail_nth, "ulong");
MODULE_PARM_DESC(heap_fail_nth,
		 "in each heap that is made from now on the n-th allocation gets nothing: to test how a module's init fails (default 0: none)");

static int __init kmh_init(void)
{
	int err;

	kmh_wq = alloc_workqueue("kmheap", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!kmh_wq)
		return -ENOMEM;
	kmh_grow_wq = alloc_workqueue("kmheap_grow", WQ_UNBOUND | WQ_HIGHPRI | WQ_MEM_RECLAIM, 0);
	if (!kmh_grow_wq) {
		err = -ENOMEM;
		goto no_grow_wq;
	}
	kmh_magazines_init();
	kmh_mspan_pools_init();
	kmh_cache_pool_init();
	kmh_no_mcentrals_init();
	err = kmh_arenamap_init();
	if (err)
		goto no_map;
	kmh_debugfs_init();
	err = kmh_heaps_init();
	if (err)
		goto no_heaps;
	return 0;

no_heaps:
	kmh_debugfs_exit();
	synchronize_rcu();
	kmh_arenamap_exit();
no_map:
	kmh_cache_pool_destroy();
	kmh_mspan_pools_destroy();
	kmh_magazines_exit();
	kmh_records_free();
	kmh_sites_free();
	kmh_stacks_free();
	destroy_workqueue(kmh_grow_wq);
no_grow_wq:
	destroy_workqueue(kmh_wq);
	return err;
}

static void __exit kmh_exit(void)
{
	kmh_heaps_exit();
	kmh_debugfs_exit();
	synchronize_rcu();	/* lookups that still read the map */
	kmh_arenamap_exit();
	kmh_cache_pool_destroy();
	kmh_mspan_pools_destroy();
	kmh_magazines_exit();
	kmh_records_free();
	kmh_sites_free();
	kmh_stacks_free();
	destroy_workqueue(kmh_grow_wq);
	destroy_workqueue(kmh_wq);
}

module_init(kmh_init);
module_exit(kmh_exit);

MODULE_LICENSE("GPL");
MODULE_VERSION(KMHEAP_VERSION);
MODULE_DESCRIPTION("Heaps of their own for kernel modules");
