/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Part of <linux/kmheap_dropin.h>; no source includes it.
 *
 * From here on the kernel's names stand for the functions of that header. Where the kernel has a
 * function that takes memory or caches of the module, or frees it, its name is mapped without
 * parentheses: its address may be taken (".free = kfree"). Where the kernel has a macro with
 * parentheses, so is the name here. A name that the kernel does not have is left alone, because it
 * may be the module's own: #ifdef says so of macros, the version of functions.
 *
 * scripts/check-style looks that the selftests use each name.
 */
#ifndef _LINUX_KMHEAP_DROPIN_NAMES_H
#define _LINUX_KMHEAP_DROPIN_NAMES_H

/* ---- allocate */

#undef kmalloc
#undef kzalloc
#undef kmalloc_array
#undef kcalloc
#undef kmalloc_node
#undef kzalloc_node
#undef kmalloc_array_node
#undef kcalloc_node
#undef kmalloc_track_caller
#undef kmalloc_node_track_caller

#define kmalloc(size, gfp)		kmheap_hooks(kmheap_dropin_kmalloc(size, gfp))
#define kzalloc(size, gfp)		kmalloc(size, (gfp) | __GFP_ZERO)
#define kmalloc_array(n, size, gfp)	kmheap_hooks(kmheap_dropin_kmalloc_array(n, size, gfp))
#define kcalloc(n, size, gfp)		kmalloc_array(n, size, (gfp) | __GFP_ZERO)
#define kmalloc_node(size, gfp, nid)	kmheap_hooks(kmheap_dropin_kmalloc_node(size, gfp, nid))
#define kzalloc_node(size, gfp, nid)	kmalloc_node(size, (gfp) | __GFP_ZERO, nid)
#define kmalloc_array_node(n, size, gfp, nid)	kmalloc_node(size_mul(n, size), gfp, nid)
#define kcalloc_node(n, size, gfp, nid)	kzalloc_node(size_mul(n, size), gfp, nid)
#define kmalloc_track_caller(size, gfp)	kmalloc(size, gfp)
#define kmalloc_node_track_caller(size, gfp, nid)	kmalloc_node(size, gfp, nid)

#undef kvmalloc
#undef kvzalloc
#undef kvmalloc_node
#undef kvzalloc_node
#undef kvmalloc_array
#undef kvcalloc

#define kvmalloc(size, gfp)		kmheap_hooks(kmheap_dropin_kvmalloc(size, gfp))
#define kvzalloc(size, gfp)		kvmalloc(size, (gfp) | __GFP_ZERO)
#define kvmalloc_node(size, gfp, nid)	kmheap_hooks(kmheap_dropin_kvmalloc_node(size, gfp, nid))
#define kvzalloc_node(size, gfp, nid)	kvmalloc_node(size, (gfp) | __GFP_ZERO, nid)
#define kvmalloc_array(n, size, gfp)	kmheap_hooks(kmheap_dropin_kvmalloc_array(n, size, gfp))
#define kvcalloc(n, size, gfp)		kvmalloc_array(n, size, (gfp) | __GFP_ZERO)
#ifdef kvcalloc_node
#undef kvcalloc_node
#define kvcalloc_node(n, size, gfp, nid)	kvzalloc_node(size_mul(n, size), gfp, nid)
#endif
#if defined(kvmalloc_node_align) && defined(kvrealloc_node_align)
#undef kvmalloc_node_align
#undef kvmalloc_node_align_noprof
#define kvmalloc_node_align_noprof	kmheap_dropin_kvmalloc_align
#define kvmalloc_node_align(size, align, gfp, nid)	\
	kmheap_hooks(kvmalloc_node_align_noprof(size, align, gfp, nid))
#endif

/* vmalloc_user(), vmalloc_32(), vmalloc_huge() and vmap() are the kernel's; vfree() knows. */
#ifndef KMHEAP_DROPIN_LINEAR
#undef vmalloc
#undef vzalloc
#undef vmalloc_node
#undef vzalloc_node
#undef __vmalloc
#undef __vmalloc_node
#undef __vmalloc_array
#undef vmalloc_array
#undef __vcalloc
#undef vcalloc

#define __kmheap_dropin_vmalloc(size, gfp, nid)	\
	kmheap_hooks(kmheap_dropin_vmalloc(size, gfp, nid))
#define vmalloc(size)			__vmalloc(size, GFP_KERNEL)
#define vzalloc(size)			__vmalloc(size, GFP_KERNEL | __GFP_ZERO)
#define vmalloc_node(size, nid)		__kmheap_dropin_vmalloc(size, GFP_KERNEL, nid)
#define vzalloc_node(size, nid)		__kmheap_dropin_vmalloc(size, GFP_KERNEL | __GFP_ZERO, nid)
#define __vmalloc(size, gfp)		__kmheap_dropin_vmalloc(size, gfp, NUMA_NO_NODE)
#define __vmalloc_node(size, align, gfp, nid, caller)	\
	((void)(caller), kmheap_hooks(kmheap_dropin_vmalloc_aligned(size, align, gfp, nid)))
#define __vmalloc_array(n, size, gfp)	__vmalloc(size_mul(n, size), gfp)
#define vmalloc_array(n, size)		vmalloc(size_mul(n, size))
#define __vcalloc(n, size, gfp)		__vmalloc(size_mul(n, size), (gfp) | __GFP_ZERO)
#define vcalloc(n, size)		vzalloc(size_mul(n, size))
#endif

/*
 * Since 6.10 the names are macros that count by call site; what they count is functions with
 * _noprof behind their names, or macros again.
 */
#ifdef alloc_hooks
#undef kmalloc_noprof
#undef kzalloc_noprof
#undef kmalloc_array_noprof
#undef kmalloc_node_noprof
#undef kmalloc_array_node_noprof
#undef kmalloc_track_caller_noprof
#undef kmalloc_node_track_caller_noprof
#undef kvmalloc_noprof
#undef kvmalloc_node_noprof
#undef kvmalloc_array_noprof
#undef kvmalloc_array_node_noprof
#undef kvcalloc_noprof
#undef kvcalloc_node_noprof

#define kmalloc_noprof			kmheap_dropin_kmalloc
#define kzalloc_noprof(size, gfp)	kmalloc_noprof(size, (gfp) | __GFP_ZERO)
#define kmalloc_array_noprof		kmheap_dropin_kmalloc_array
#define kmalloc_node_noprof		kmheap_dropin_kmalloc_node
#define kmalloc_array_node_noprof(n, size, gfp, nid)	\
	kmalloc_node_noprof(size_mul(n, size), gfp, nid)
#define kmalloc_track_caller_noprof	kmheap_dropin_kmalloc
#define kmalloc_node_track_caller_noprof(size, gfp, nid, caller)	\
	((void)(caller), kmalloc_node_noprof(size, gfp, nid))
#define kvmalloc_noprof			kmheap_dropin_kvmalloc
#define kvmalloc_node_noprof		kmheap_dropin_kvmalloc_node
#define kvmalloc_array_noprof		kmheap_dropin_kvmalloc_array
#define kvmalloc_array_node_noprof(n, size, gfp, nid)	\
	kvmalloc_node_noprof(size_mul(n, size), gfp, nid)
#define kvcalloc_noprof(n, size, gfp)	kvmalloc_array_noprof(n, size, (gfp) | __GFP_ZERO)
#define kvcalloc_node_noprof(n, size, gfp, nid)	\
	kvmalloc_array_node_noprof(n, size, (gfp) | __GFP_ZERO, nid)

#ifndef KMHEAP_DROPIN_LINEAR
#define vmalloc_noprof(size)		__vmalloc_noprof(size, GFP_KERNEL)
#define vzalloc_noprof(size)		__vmalloc_noprof(size, GFP_KERNEL | __GFP_ZERO)
#define vmalloc_node_noprof(size, nid)	kmheap_dropin_vmalloc(size, GFP_KERNEL, nid)
#define vzalloc_node_noprof(size, nid)	\
	kmheap_dropin_vmalloc(size, GFP_KERNEL | __GFP_ZERO, nid)
#define __vmalloc_noprof(size, gfp)	kmheap_dropin_vmalloc(size, gfp, NUMA_NO_NODE)
#define __vmalloc_node_noprof(size, align, gfp, nid, caller)	\
	((void)(caller), kmheap_dropin_vmalloc_aligned(size, align, gfp, nid))
#define __vmalloc_array_noprof(n, size, gfp)	__vmalloc_noprof(size_mul(n, size), gfp)
#define vmalloc_array_noprof(n, size)	vmalloc_noprof(size_mul(n, size))
#define __vcalloc_noprof(n, size, gfp)	__vmalloc_noprof(size_mul(n, size), (gfp) | __GFP_ZERO)
#define vcalloc_noprof(n, size)		vzalloc_noprof(size_mul(n, size))
#endif
#endif

/* ---- resize */

#undef krealloc
#undef krealloc_array
#undef kvrealloc
#ifdef alloc_hooks
#undef krealloc_noprof
#undef krealloc_array_noprof
#undef kvrealloc_noprof
#define krealloc_noprof			kmheap_dropin_krealloc
#define krealloc(p, size, gfp)		kmheap_hooks(krealloc_noprof(p, size, gfp))
#define krealloc_array_noprof		kmheap_dropin_krealloc_array
#define krealloc_array(p, n, size, gfp)	kmheap_hooks(krealloc_array_noprof(p, n, size, gfp))
#define kvrealloc_noprof		kmheap_dropin_kvrealloc
#define kvrealloc(...)			kmheap_hooks(kvrealloc_noprof(__VA_ARGS__))
#else
#define krealloc			kmheap_dropin_krealloc
#define krealloc_array			kmheap_dropin_krealloc_array
#define kvrealloc			kmheap_dropin_kvrealloc
#endif

/* On which node an object of a heap is that moves is the heap's to say. */
#ifdef krealloc_node_align
#undef krealloc_node
#undef krealloc_node_align
#define krealloc_node_align_noprof	kmheap_dropin_krealloc_align
#define krealloc_node_align(p, size, align, gfp, nid)	\
	kmheap_hooks(krealloc_node_align_noprof(p, size, align, gfp, nid))
#define krealloc_node(p, size, gfp, nid)	krealloc_node_align(p, size, 1, gfp, nid)
#endif
#ifdef kvrealloc_node_align
#undef kvrealloc_node
#undef kvrealloc_node_align
#define kvrealloc_node_align_noprof	kmheap_dropin_kvrealloc_align
#define kvrealloc_node_align(p, size, align, gfp, nid)	\
	kmheap_hooks(kvrealloc_node_align_noprof(p, size, align, gfp, nid))
#define kvrealloc_node(p, size, gfp, nid)	kvrealloc_node_align(p, size, 1, gfp, nid)
#endif

#ifndef KMHEAP_DROPIN_LINEAR
#ifdef vrealloc_node_align
#undef vrealloc
#undef vrealloc_noprof
#undef vrealloc_node
#undef vrealloc_node_noprof
#undef vrealloc_node_align
#define vrealloc_noprof			kmheap_dropin_vrealloc
#define vrealloc(p, size, gfp)		kmheap_hooks(vrealloc_noprof(p, size, gfp))
#define vrealloc_node_align_noprof	kmheap_dropin_vrealloc_align
#define vrealloc_node_align(p, size, align, gfp, nid)	\
	kmheap_hooks(vrealloc_node_align_noprof(p, size, align, gfp, nid))
#define vrealloc_node_noprof(p, size, gfp, nid)	vrealloc_node_align_noprof(p, size, 1, gfp, nid)
#define vrealloc_node(p, size, gfp, nid)	vrealloc_node_align(p, size, 1, gfp, nid)
#endif
#endif

/* ---- copies */

#undef kmemdup
#undef kmemdup_noprof
#define kmemdup			kmheap_dropin_kmemdup
#ifdef alloc_hooks
#define kmemdup_noprof		kmheap_dropin_kmemdup
#endif
#if KERNEL_VERSION(6, 3, 0) <= LINUX_VERSION_CODE
#define kvmemdup		kmheap_dropin_kvmemdup
#endif
#if KERNEL_VERSION(6, 11, 0) <= LINUX_VERSION_CODE
#define kmemdup_array		kmheap_dropin_kmemdup_array
#endif
#define kmemdup_nul		kmheap_dropin_kmemdup_nul
#define kstrdup			kmheap_dropin_kstrdup
#define kstrndup		kmheap_dropin_kstrndup
#define kstrdup_const		kmheap_dropin_kstrdup
#define kasprintf		kmheap_dropin_kasprintf
#define kvasprintf		kmheap_dropin_kvasprintf
#define memdup_user		kmheap_dropin_memdup_user
#define vmemdup_user		kmheap_dropin_vmemdup_user
#define memdup_user_nul		kmheap_dropin_memdup_user_nul
#define strndup_user		kmheap_dropin_strndup_user
/* These are in later releases of 6.1 and 6.6, too. */
#if KERNEL_VERSION(6, 6, 3) <= LINUX_VERSION_CODE || \
	(KERNEL_VERSION(6, 1, 64) <= LINUX_VERSION_CODE && \
	 KERNEL_VERSION(6, 2, 0) > LINUX_VERSION_CODE)
#define memdup_array_user	kmheap_dropin_memdup_array_user
#define vmemdup_array_user	kmheap_dropin_vmemdup_array_user
#endif

/* ---- free */

#define kfree			kmheap_dropin_kfree
#define kvfree			kmheap_dropin_kvfree
#define vfree			kmheap_dropin_vfree
#define kfree_sensitive		kmheap_dropin_kfree_sensitive
#define kvfree_sensitive	kmheap_dropin_kvfree_sensitive
#define kfree_const		kmheap_dropin_kfree_const
#define kfree_bulk		kmheap_dropin_kfree_bulk
#define ksize(p)		kmheap_dropin_ksize(p)	/* nft_set_ops has a member of the name */

/* These the kernel does not export everywhere, so only a module that calls them needs them. */
#if KERNEL_VERSION(6, 12, 0) <= LINUX_VERSION_CODE
#define kmem_cache_charge	kmheap_dropin_cache_charge
#endif
#if KERNEL_VERSION(6, 18, 0) <= LINUX_VERSION_CODE
#define kfree_nolock		kmheap_dropin_kfree_nolock
#endif
#if KERNEL_VERSION(7, 1, 0) <= LINUX_VERSION_CODE
#define kvfree_atomic		kmheap_dropin_kvfree_atomic
#endif

/* __free(kfree) and its like. */
#ifdef DEFINE_FREE
#define __free_kfree		__free_kmheap_dropin_kfree
#if KERNEL_VERSION(6, 7, 0) <= LINUX_VERSION_CODE
#define __free_kvfree		__free_kmheap_dropin_kvfree
#endif
#if KERNEL_VERSION(6, 13, 0) <= LINUX_VERSION_CODE
#define __free_kfree_sensitive	__free_kmheap_dropin_wipe
#endif
#if KERNEL_VERSION(7, 1, 0) <= LINUX_VERSION_CODE
#define __free_kvfree_atomic	__free_kmheap_dropin_atomic
#endif
#endif

#undef kfree_rcu
#undef kvfree_rcu
#define kfree_rcu(...)			kmheap_dropin_kvfree_rcu(__VA_ARGS__)
#define kvfree_rcu(...)			kmheap_dropin_kvfree_rcu(__VA_ARGS__)
#ifdef kfree_rcu_mightsleep
#undef kfree_rcu_mightsleep
#define kfree_rcu_mightsleep(ptr)	kmheap_dropin_kvfree_rcu_1(ptr)
#endif
#ifdef kvfree_rcu_mightsleep
#undef kvfree_rcu_mightsleep
#define kvfree_rcu_mightsleep(ptr)	kmheap_dropin_kvfree_rcu_1(ptr)
#endif
#ifdef kfree_rcu_nolock
#undef kfree_rcu_nolock
#define kfree_rcu_nolock(ptr, member)	kmheap_dropin_kfree_rcu_nolock(ptr, member)
#endif

/* ---- kmem_cache */

#undef kmem_cache_create
#undef kmem_cache_create_usercopy
#undef KMEM_CACHE
#undef KMEM_CACHE_USERCOPY

#define kmem_cache_create(...)		kmheap_dropin_cache_create(__VA_ARGS__)
#define kmem_cache_create_usercopy	kmheap_dropin_cache_create_usercopy
#define kmheap_dropin_cache_for(name, type, flags)				\
	kmheap_dropin_cache_create_5(name, sizeof(type), __alignof__(type), flags, NULL)
#define KMEM_CACHE(__struct, __flags)						\
	kmheap_dropin_cache_for(#__struct, struct __struct, __flags)
#define kmheap_dropin_cache_for_user(name, type, flags, field)			\
	kmheap_dropin_cache_create_usercopy(name, sizeof(type), __alignof__(type), flags, \
					    (unsigned long)(field), sizeof((field)[0]), NULL)
#define KMEM_CACHE_USERCOPY(__struct, __flags, __field)				\
	kmheap_dropin_cache_for_user(#__struct, struct __struct, __flags,	\
				     &((struct __struct *)NULL)->__field)
#define kmem_cache_free			kmheap_dropin_cache_free
#define kmem_cache_free_bulk		kmheap_dropin_cache_free_bulk
#define kmem_cache_destroy		kmheap_dropin_cache_destroy
#define kmem_cache_shrink		kmheap_dropin_cache_shrink
#define kmem_cache_size			kmheap_dropin_cache_size

#undef kmem_cache_alloc
#undef kmem_cache_zalloc
#undef kmem_cache_alloc_node
#undef kmem_cache_alloc_lru
#undef kmem_cache_alloc_bulk
#ifdef alloc_hooks
#undef kmem_cache_alloc_noprof
#undef kmem_cache_alloc_node_noprof
#undef kmem_cache_alloc_lru_noprof
#undef kmem_cache_alloc_bulk_noprof
#define kmem_cache_alloc_noprof		kmheap_dropin_cache_alloc
#define kmem_cache_alloc(s, gfp)	kmheap_hooks(kmem_cache_alloc_noprof(s, gfp))
#define kmem_cache_zalloc(s, gfp)	kmem_cache_alloc(s, (gfp) | __GFP_ZERO)
#define kmem_cache_alloc_node_noprof	kmheap_dropin_cache_alloc_node
#define kmem_cache_alloc_node(s, gfp, nid)	\
	kmheap_hooks(kmem_cache_alloc_node_noprof(s, gfp, nid))
#define kmem_cache_alloc_lru_noprof	kmheap_dropin_cache_alloc_lru
#define kmem_cache_alloc_lru(s, lru, gfp)	\
	kmheap_hooks(kmem_cache_alloc_lru_noprof(s, lru, gfp))
#define kmem_cache_alloc_bulk_noprof	kmheap_dropin_cache_alloc_bulk
#define kmem_cache_alloc_bulk(s, gfp, n, p)	\
	kmheap_hooks(kmem_cache_alloc_bulk_noprof(s, gfp, n, p))
#else
#define kmem_cache_alloc		kmheap_dropin_cache_alloc
#define kmem_cache_zalloc		kmheap_dropin_cache_zalloc
#define kmem_cache_alloc_node		kmheap_dropin_cache_alloc_node
#define kmem_cache_alloc_lru		kmheap_dropin_cache_alloc_lru
#define kmem_cache_alloc_bulk		kmheap_dropin_cache_alloc_bulk
#endif

/* An inline function of kernels that have been included by now has the kernel's in it. */
#ifdef _LINUX_FS_H
#undef alloc_inode_sb
#define alloc_inode_sb(sb, s, gfp)	kmem_cache_alloc_lru(s, &(sb)->s_inode_lru, gfp)
#endif

/* ---- mempool; pools of pages are the kernel's */

#undef mempool_init_slab_pool
#undef mempool_create_slab_pool
#undef mempool_init_kmalloc_pool
#undef mempool_create_kmalloc_pool

#define mempool_alloc_slab	kmheap_dropin_pool_alloc_slab
#define mempool_free_slab	kmheap_dropin_pool_free_slab
#define mempool_kmalloc		kmheap_dropin_pool_kmalloc
#define mempool_kfree		kmheap_dropin_pool_kfree
#ifdef alloc_hooks
#define mempool_init_slab_pool(pool, n, s)	\
	mempool_init(pool, n, mempool_alloc_slab, mempool_free_slab, (void *)(s))
#define mempool_create_slab_pool(n, s)	\
	mempool_create(n, mempool_alloc_slab, mempool_free_slab, (void *)(s))
#else
#define mempool_init_slab_pool	kmheap_dropin_pool_init_slab
#define mempool_create_slab_pool	kmheap_dropin_pool_create_slab
#endif
#define mempool_init_kmalloc_pool(pool, n, size)	\
	mempool_init(pool, n, mempool_kmalloc, mempool_kfree, (void *)(size_t)(size))
#define mempool_create_kmalloc_pool(n, size)	\
	mempool_create(n, mempool_kmalloc, mempool_kfree, (void *)(size_t)(size))
/* The kernel has lost these when it got mempool_alloc_bulk(). */
#if KERNEL_VERSION(6, 9, 0) <= LINUX_VERSION_CODE && !defined(mempool_alloc_bulk)
#define mempool_kvmalloc	kmheap_dropin_pool_kvmalloc
#define mempool_kvfree		kmheap_dropin_pool_kvfree
#define mempool_init_kvmalloc_pool(pool, n, size)	\
	mempool_init(pool, n, mempool_kvmalloc, mempool_kvfree, (void *)(size_t)(size))
#define mempool_create_kvmalloc_pool(n, size)	\
	mempool_create(n, mempool_kvmalloc, mempool_kvfree, (void *)(size_t)(size))
#endif

#endif /* _LINUX_KMHEAP_DROPIN_NAMES_H */
