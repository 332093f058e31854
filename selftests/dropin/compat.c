// SPDX-License-Identifier: GPL-2.0
/*
 * A module that knows nothing of kmheap and is written for many kernels: names that its kernel does
 * not have it defines itself, as functions or, where these are macros in the kernel, after a look
 * with #ifndef. Its own names go on meaning what it says, with the memory of its heap.
 */
#define pr_fmt(fmt) "%s: " fmt, KBUILD_MODNAME

#include <linux/cleanup.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "check.h"

/* Calls of the module's own functions. */
static unsigned int ncalls;

#define OURS(p)			CHECK(kmheap_owns(p))

struct thing {
	long a[4];
#ifdef kfree_rcu_nolock
	struct kvfree_rcu_head rcu;
#else
	struct rcu_head rcu;
#endif
};

#if KERNEL_VERSION(6, 3, 0) > LINUX_VERSION_CODE
static inline void *kvmemdup(const void *src, size_t len, gfp_t gfp)
{
	void *p = kvmalloc(len, gfp);

	ncalls++;
	return p ? memcpy(p, src, len) : NULL;
}
#endif

#if KERNEL_VERSION(6, 10, 0) > LINUX_VERSION_CODE
static inline void *kmalloc_noprof(size_t size, gfp_t gfp)
{
	ncalls++;
	return kmalloc(size, gfp);
}

static inline void *kvmalloc_node_noprof(size_t size, gfp_t gfp, int nid)
{
	ncalls++;
	return kvmalloc_node(size, gfp, nid);
}

static inline void *vmalloc_noprof(unsigned long size)
{
	ncalls++;
	return vmalloc(size);
}

static inline void *kmemdup_noprof(const void *src, size_t len, gfp_t gfp)
{
	ncalls++;
	return kmemdup(src, len, gfp);
}

static inline void *kmem_cache_alloc_noprof(struct kmem_cache *s, gfp_t gfp)
{
	ncalls++;
	return kmem_cache_alloc(s, gfp);
}
#endif

#if KERNEL_VERSION(6, 11, 0) > LINUX_VERSION_CODE
static inline void *kmemdup_array(const void *src, size_t n, size_t size, gfp_t gfp)
{
	ncalls++;
	return kmemdup(src, size_mul(n, size), gfp);
}
#endif

#if KERNEL_VERSION(6, 12, 0) > LINUX_VERSION_CODE
static inline bool kmem_cache_charge(void *p, gfp_t gfp)
{
	ncalls++;
	return p;
}

static inline void *kvcalloc_node(size_t n, size_t size, gfp_t gfp, int nid)
{
	ncalls++;
	return kvzalloc_node(size_mul(n, size), gfp, nid);
}
#endif

#if KERNEL_VERSION(6, 18, 0) > LINUX_VERSION_CODE
static inline void kfree_nolock(const void *p)
{
	ncalls++;
	kfree(p);
}

static inline void *krealloc_node(const void *p, size_t size, gfp_t gfp, int nid)
{
	ncalls++;
	return krealloc(p, size, gfp);
}
#endif

#if KERNEL_VERSION(7, 1, 0) > LINUX_VERSION_CODE
static inline void kvfree_atomic(const void *p)
{
	ncalls++;
	kvfree(p);
}
#endif

#if KERNEL_VERSION(6, 9, 0) > LINUX_VERSION_CODE || defined(mempool_alloc_bulk)
static inline void *mempool_kvmalloc(gfp_t gfp, void *size)
{
	ncalls++;
	return kvmalloc((size_t)size, gfp);
}

static inline void mempool_kvfree(void *p, void *size)
{
	ncalls++;
	kvfree(p);
}
#endif

/* In no kernel. */
static inline void *kvmalloc_array_node(size_t n, size_t size, gfp_t gfp, int nid)
{
	ncalls++;
	return kvmalloc_node(size_mul(n, size), gfp, nid);
}

#ifndef kfree_rcu_nolock
#define kfree_rcu_nolock(ptr, member)	\
do {					\
	ncalls++;			\
	kfree_rcu(ptr, member);		\
} while (0)
#endif

#ifdef DEFINE_FREE
#if KERNEL_VERSION(6, 7, 0) > LINUX_VERSION_CODE
DEFINE_FREE(kvfree, void *, if (!IS_ERR_OR_NULL(_T)) kvfree(_T))
#endif
#if KERNEL_VERSION(6, 13, 0) > LINUX_VERSION_CODE
DEFINE_FREE(kfree_sensitive, void *, if (_T) kfree_sensitive(_T))
#endif
#if KERNEL_VERSION(7, 1, 0) > LINUX_VERSION_CODE
DEFINE_FREE(kvfree_atomic, void *, if (_T) kvfree_atomic(_T))
#endif
DEFINE_FREE(vfree, void *, if (_T) vfree(_T))

static void freed_by_scope(void)
{
	void *a __free(kvfree) = kvmalloc(100000, GFP_KERNEL);
	void *b __free(vfree) = vmalloc(100);
	void *c __free(kfree_sensitive) = kmalloc(100, GFP_KERNEL);
	void *d __free(kvfree_atomic) = kvmalloc(100, GFP_KERNEL);

	OURS(a);
	OURS(b);
	OURS(c);
	OURS(d);
}
#else
static void freed_by_scope(void)
{
}
#endif

static void allocate(void)
{
	struct kmem_cache *s = KMEM_CACHE(thing, 0);
	void *p;

	OURS(p = kvmemdup("four", 5, GFP_KERNEL));
	kvfree(p);
	OURS(p = kmalloc_noprof(100, GFP_KERNEL));
	OURS(p = krealloc_node(p, 5000, GFP_KERNEL, 0));
	CHECK(kmem_cache_charge(p, GFP_KERNEL));
	kfree(p);
	OURS(p = kvmalloc_node_noprof(100, GFP_KERNEL, 0));
	kvfree(p);
	OURS(p = vmalloc_noprof(100));
	vfree(p);
	OURS(p = kmemdup_noprof("four", 5, GFP_KERNEL));
	kfree(p);
	OURS(p = kmemdup_array("four", 5, 1, GFP_KERNEL));
	kfree(p);
	OURS(p = kvcalloc_node(10, 10, GFP_KERNEL, 0));
	kvfree(p);
	OURS(p = kvmalloc_array_node(10, 10, GFP_KERNEL, 0));
	kvfree(p);
	OURS(p = kmem_cache_alloc_noprof(s, GFP_KERNEL));
	kmem_cache_free(s, p);
	kmem_cache_destroy(s);
}

static void release(void)
{
	mempool_t *pool = mempool_create(1, mempool_kvmalloc, mempool_kvfree, (void *)100);
	struct thing *t;
	void *p;

	OURS(p = mempool_alloc(pool, GFP_KERNEL));
	mempool_free(p, pool);
	mempool_destroy(pool);
	OURS(p = kmalloc(100, GFP_KERNEL));
	kfree_nolock(p);
	OURS(p = kvmalloc(100, GFP_KERNEL));
	kvfree_atomic(p);
	OURS(t = kmalloc(sizeof(*t), GFP_KERNEL));
	kfree_rcu_nolock(t, rcu);
}

static int __init dropin_compat_init(void)
{
	allocate();
	release();
	freed_by_scope();
	pr_info("%u calls of its own\n", ncalls);
	pr_info("%u checks, %u wrong\n", nchecks, nwrong);
	return 0;
}

static void __exit dropin_compat_exit(void)
{
}

module_init(dropin_compat_init);
module_exit(dropin_compat_exit);
MODULE_DESCRIPTION("kmheap selftest: the drop-in header and names of the module's own");
MODULE_LICENSE("GPL");
