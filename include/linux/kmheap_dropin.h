/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A heap of its own for a module whose source stays as it is.
 *
 * Include this header after all headers of the kernel, or put "-include linux/kmheap_dropin.h" into
 * ccflags-y. It maps the names by which modules allocate and free memory onto one heap of the
 * module. Documentation/porting.rst goes through it step by step, and lists the interfaces that
 * take memory over: what the kernel is going to free, and what hardware gets, has to come from
 * kernel_kmalloc() and its like.
 *
 * Frees go by whose memory it is (kmheap_owns()). So whatever the kernel has allocated for the
 * module is freed as ever, and so is what kernel_kmalloc() has.
 *
 * KMHEAP_DROPIN_RESERVE: bytes kept for callers that cannot sleep, as in struct kmheap_attr.
 * KMHEAP_DROPIN_LIMIT: the heap's limit in bytes, at least 512 KiB and twice the reserve; 0: none.
 * KMHEAP_DROPIN_LINEAR: if defined, objects are in the direct map, as those of kmalloc() are: what
 * goes into scatterlists, to hardware or on a list_lru may be the heap's. vmalloc() and its like
 * are the kernel's then, as is what the heap cannot have as one piece.
 * KMHEAP_DROPIN_HEAP: an expression for a heap that the module has made itself. Then module_init()
 * and module_exit() are left alone.
 */
#ifndef _LINUX_KMHEAP_DROPIN_H
#define _LINUX_KMHEAP_DROPIN_H

#ifndef __ASSEMBLY__

/* Whatever would come after the first error is left out: it could only hide what that says. */
#ifndef CONFIG_64BIT
#error "kmheap_dropin.h: kmheap needs a 64-bit kernel"
#elif !defined(MODULE)
#error "kmheap_dropin.h: only for modules: what is built into the kernel has no kmheap"
#elif defined(_KMHEAP_PUBLIC_H)
#error "kmheap_dropin.h: not for kmheap itself"
#else

#if !defined(__KERNEL_PRINTK__) && !defined(pr_fmt)
#include <linux/kmheap_dropin/printk.h>
#endif

#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/kmheap.h>
#include <linux/log2.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#ifndef KMHEAP_DROPIN_RESERVE
#define KMHEAP_DROPIN_RESERVE	(64 * 1024)
#endif
#ifndef KMHEAP_DROPIN_LIMIT
#define KMHEAP_DROPIN_LIMIT	0
#endif
#ifdef KMHEAP_DROPIN_LINEAR
#define __kmheap_dropin_linear	1
#else
#define __kmheap_dropin_linear	0
#endif

/*
 * The heap of all files of the module; the file with module_init() has the variable. It is NULL,
 * which names the default heap, before the module's init: parameters are set then.
 */
#ifdef KMHEAP_DROPIN_HEAP
#define __kmheap_dropin_heap	(KMHEAP_DROPIN_HEAP)
#else
extern struct kmheap *kmheap_dropin_heap;
#define __kmheap_dropin_heap	kmheap_dropin_heap
#endif

#include <linux/kmheap_dropin/kernel.h>
#include <linux/kmheap_dropin/memory.h>
#include <linux/kmheap_dropin/resize.h>
#include <linux/kmheap_dropin/cache.h>

/* ---- a heap from before the module's init to after its exit */

#ifndef KMHEAP_DROPIN_HEAP
/* A callback of call_rcu() that comes after the module's exit may still free. */
static inline void kmheap_dropin_end(void)
{
	struct kmheap *heap = kmheap_dropin_heap;

	rcu_barrier();
	/* A parameter that is set at this moment may still allocate: from the default heap. */
	WRITE_ONCE(kmheap_dropin_heap, NULL);
	kmheap_destroy(heap);
}

static inline int kmheap_dropin_begin(int (*init)(void))
{
	struct kmheap_attr attr = {
		.owner = THIS_MODULE, .reserve_bytes = KMHEAP_DROPIN_RESERVE,
		.limit_bytes = KMHEAP_DROPIN_LIMIT,
		/* kmalloc() gives memory of the first kind, vmalloc() of the second. */
		.flags = KMHEAP_SMALL | (__kmheap_dropin_linear ? KMHEAP_LINEAR : KMHEAP_AREA),
	};
	struct kmheap *heap;
	int err;

	/* kmheap_create() would refuse it, when the module is loaded. */
	BUILD_BUG_ON_MSG(__builtin_constant_p(KMHEAP_DROPIN_LIMIT) && (KMHEAP_DROPIN_LIMIT) &&
			 (KMHEAP_DROPIN_LIMIT) < SZ_512K,
			 "KMHEAP_DROPIN_LIMIT: less than 512 KiB");
	BUILD_BUG_ON_MSG(__builtin_constant_p(KMHEAP_DROPIN_LIMIT) &&
			 __builtin_constant_p(KMHEAP_DROPIN_RESERVE) && (KMHEAP_DROPIN_LIMIT) &&
			 (KMHEAP_DROPIN_LIMIT) / 2 < (KMHEAP_DROPIN_RESERVE),
			 "KMHEAP_DROPIN_LIMIT: less than twice the reserve");
	heap = kmheap_create(KBUILD_MODNAME, &attr);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	kmheap_dropin_heap = heap;
	err = init();
	if (err < 0)
		kmheap_dropin_end();
	return err;
}

/**
 * kmheap_module_init() - module_init() with a heap
 * @initfn: the module's init; it runs when the heap has been made.
 *
 * In one file of the module, as module_init(), which the drop-in header makes the same. When
 * @initfn fails, the heap is ended.
 */
#define kmheap_module_init(initfn)						\
	struct kmheap *kmheap_dropin_heap;					\
	static int __init initfn##_with_heap(void)				\
	{									\
		return kmheap_dropin_begin(initfn);				\
	}									\
	int init_module(void)							\
		__copy(initfn##_with_heap) __alias(initfn##_with_heap);		\
	___ADDRESSABLE(init_module, __initdata)

/**
 * kmheap_module_exit() - module_exit() with a heap
 * @exitfn: the module's exit; when it has returned, and so have the callbacks of call_rcu(), the
 *	heap is ended.
 */
#define kmheap_module_exit(exitfn)						\
	static void __exit exitfn##_with_heap(void)				\
	{									\
		exitfn();							\
		kmheap_dropin_end();						\
	}									\
	void cleanup_module(void)						\
		__copy(exitfn##_with_heap) __alias(exitfn##_with_heap);		\
	___ADDRESSABLE(cleanup_module, __exitdata)

#undef module_init
#undef module_exit
#define module_init(initfn)	kmheap_module_init(initfn)
#define module_exit(exitfn)	kmheap_module_exit(exitfn)

/**
 * kmheap_module_driver() - module_driver() with a heap
 * @driver: the driver; further arguments go to both functions.
 * @reg: registers it.
 * @unreg: unregisters it.
 */
#define kmheap_module_driver(driver, reg, unreg, ...)	\
	module_driver(driver, reg, unreg, ##__VA_ARGS__)
#endif

#include <linux/kmheap_dropin/names.h>

#endif /* a kernel and a source that can have a heap */
#endif /* __ASSEMBLY__ */

#endif /* _LINUX_KMHEAP_DROPIN_H */
