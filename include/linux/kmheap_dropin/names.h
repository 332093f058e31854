/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Part of <linux/kmheap_dropin.h>; no source includes it.
 *
 * From here on the kernel's names stand for the functions of that header. A name whose address may
 * be taken (".free = kfree") is mapped without its parentheses. A kernel that has not some of the
 * names is not disturbed by them.
 */
#ifndef _LINUX_KMHEAP_DROPIN_NAMES_H
#define _LINUX_KMHEAP_DROPIN_NAMES_H

/* ---- allocate */

#undef kmalloc
#undef kmalloc_noprof
#undef kzalloc
#undef kzalloc_noprof
#undef kmalloc_array
#undef kmalloc_array_noprof
#undef kcalloc
#undef kcalloc_noprof
#undef kmalloc_node
#undef kmalloc_node_noprof
#undef kzalloc_node
#undef kmalloc_array_node
#undef kmalloc_array_node_noprof
#undef kcalloc_node
#undef kmalloc_track_caller
#undef kmalloc_node_track_caller
#undef krealloc
#undef krealloc_noprof
#undef krealloc_array
#undef krealloc_array_noprof

#define kmalloc_noprof(size, gfp)	kmheap_dropin_kmalloc(size, gfp)
#define kmalloc(size, gfp)		kmheap_hooks(kmalloc_noprof(size, gfp))
#define kzalloc_noprof(size, gfp)	kmalloc_noprof(size, (gfp) | __GFP_ZERO)
#define kzalloc(size, gfp)		kmheap_hooks(kzalloc_noprof(size, gfp))
#define kmalloc_array_noprof(n, size, gfp)	kmheap_dropin_kmalloc_array(n, size, gfp)
#define kmalloc_array(n, size, gfp)	kmheap_hooks(kmalloc_array_noprof(n, size, gfp))
#define kcalloc_noprof(n, size, gfp)	kmalloc_array_noprof(n, size, (gfp) | __GFP_ZERO)
#define kcalloc(n, size, gfp)		kmheap_hooks(kcalloc_noprof(n, size, gfp))
#define kmalloc_node_noprof(size, gfp, nid)	kmheap_dropin_kmalloc_node(size, gfp, nid)
#define kmalloc_node(size, gfp, nid)	kmheap_hooks(kmalloc_node_noprof(size, gfp, nid))
#define kzalloc_node(size, gfp, nid)	kmalloc_node(size, (gfp) | __GFP_ZERO, nid)
#define kmalloc_array_node_noprof(n, size, gfp, nid)	\
	kmalloc_node_noprof(size_mul(n, size), gfp, nid)
#define kmalloc_array_node(n, size, gfp, nid)	kmalloc_node(size_mul(n, size), gfp, nid)
#define kcalloc_node(n, size, gfp, nid)	kzalloc_node(size_mul(n, size), gfp, nid)
#define kmalloc_track_caller(size, gfp)	kmalloc(size, gfp)
#define kmalloc_node_track_caller(size, gfp, nid)	kmalloc_node(size, gfp, nid)
#define krealloc_noprof(p, size, gfp)	kmheap_dropin_krealloc(p, size, gfp)
#define krealloc(p, size, gfp)		kmheap_hooks(krealloc_noprof(p, size, gfp))
#define krealloc_array_noprof(p, n, size, gfp)	krealloc_noprof(p, size_mul(n, size), gfp)
#define krealloc_array(p, n, size, gfp)	krealloc(p, size_mul(n, size), gfp)

#undef kvmalloc
#undef kvmalloc_noprof
#undef kvzalloc
#undef kvzalloc_noprof
#undef kvmalloc_node
#undef kvmalloc_node_noprof
#undef kvzalloc_node
#undef kvmalloc_array
#undef kvmalloc_array_noprof
#undef kvmalloc_array_node
#undef kvmalloc_array_node_noprof
#undef kvcalloc
#undef kvcalloc_noprof
#undef kvcalloc_node
#undef kvcalloc_node_noprof
#undef kvrealloc
#undef kvrealloc_noprof

#define kvmalloc_noprof(size, gfp)	kmheap_dropin_kvmalloc(size, gfp)
#define kvmalloc(size, gfp)		kmheap_hooks(kvmalloc_noprof(size, gfp))
#define kvzalloc_noprof(size, gfp)	kvmalloc_noprof(size, (gfp) | __GFP_ZERO)
#define kvzalloc(size, gfp)		kmheap_hooks(kvzalloc_noprof(size, gfp))
#define kvmalloc_node_noprof(size, gfp, nid)	kmheap_dropin_kvmalloc_node(size, gfp, nid)
#define kvmalloc_node(size, gfp, nid)	kmheap_hooks(kvmalloc_node_noprof(size, gfp, nid))
#define kvzalloc_node(size, gfp, nid)	kvmalloc_node(size, (gfp) | __GFP_ZERO, nid)
#define kvmalloc_array_noprof(n, size, gfp)	kmheap_dropin_kvmalloc_array(n, size, gfp)
#define kvmalloc_array(n, size, gfp)	kmheap_hooks(kvmalloc_array_noprof(n, size, gfp))
#define kvmalloc_array_node_noprof(n, size, gfp, nid)	\
	kvmalloc_node_noprof(size_mul(n, size), gfp, nid)
#define kvmalloc_array_node(n, size, gfp, nid)	kvmalloc_node(size_mul(n, size), gfp, nid)
#define kvcalloc_noprof(n, size, gfp)	kvmalloc_array_noprof(n, size, (gfp) | __GFP_ZERO)
#define kvcalloc(n, size, gfp)		kmheap_hooks(kvcalloc_noprof(n, size, gfp))
#define kvcalloc_node_noprof(n, size, gfp, nid)	\
	kvmalloc_node_noprof(size_mul(n, size), (gfp) | __GFP_ZERO, nid)
#define kvcalloc_node(n, size, gfp, nid)	kvzalloc_node(size_mul(n, size), gfp, nid)
#define kvrealloc_noprof(...)		kmheap_dropin_kvrealloc(__VA_ARGS__)
#define kvrealloc(...)			kmheap_hooks(kvrealloc_noprof(__VA_ARGS__))

/* vmalloc_user(), vmalloc_32(), vmalloc_huge() and vmap() are the kernel's; vfree() knows. */
#ifndef KMHEAP_DROPIN_LINEAR
#undef vmalloc
#undef vmalloc_noprof
#undef vzalloc
#undef vzalloc_noprof
#undef vmalloc_node
#undef vmalloc_node_noprof
#undef vzalloc_node
#undef vzalloc_node_noprof
#undef __vmalloc
#undef __vmalloc_noprof
#undef __vmalloc_node
#undef __vmalloc_array
#undef vmalloc_array
#undef __vcalloc
#undef vcalloc

#define __vmalloc_noprof(size, gfp)	kmheap_dropin_vmalloc(size, gfp, NUMA_NO_NODE)
#define __vmalloc(size, gfp)		kmheap_hooks(__vmalloc_noprof(size, gfp))
#define vmalloc_noprof(size)		__vmalloc_noprof(size, GFP_KERNEL)
#define vmalloc(size)			kmheap_hooks(vmalloc_noprof(size))
#define vzalloc_noprof(size)		__vmalloc_noprof(size, GFP_KERNEL | __GFP_ZERO)
#define vzalloc(size)			kmheap_hooks(vzalloc_noprof(size))
#define vmalloc_node_noprof(size, nid)	kmheap_dropin_vmalloc(size, GFP_KERNEL, nid)
#define vmalloc_node(size, nid)		kmheap_hooks(vmalloc_node_noprof(size, nid))
#define vzalloc_node_noprof(size, nid)	\
	kmheap_dropin_vmalloc(size, GFP_KERNEL | __GFP_ZERO, nid)
#define vzalloc_node(size, nid)		kmheap_hooks(vzalloc_node_noprof(size, nid))
#define __vmalloc_node(size, align, gfp, nid, caller)	\
	((void)(caller), kmheap_hooks(kmheap_dropin_vmalloc_aligned(size, align, gfp, nid)))
#define __vmalloc_array(n, size, gfp)	__vmalloc(size_mul(n, size), gfp)
#define vmalloc_array(n, size)		vmalloc(size_mul(n, size))
#define __vcalloc(n, size, gfp)		__vmalloc(size_mul(n, size), (gfp) | __GFP_ZERO)
#define vcalloc(n, size)		vzalloc(size_mul(n, size))

#ifdef vrealloc_node_align
#undef vrealloc
#undef vrealloc_noprof
#define vrealloc_noprof(p, size, gfp)	kmheap_dropin_vrealloc(p, size, gfp)
#define vrealloc(p, size, gfp)		kmheap_hooks(vrealloc_noprof(p, size, gfp))
#endif
#ifdef vrealloc_node
#undef vrealloc_node
#define vrealloc_node(p, size, gfp, nid)	((void)(nid), vrealloc(p, size, gfp))
#endif
#endif

/* On which node an object is that moves is the heap's to say. */
#ifdef krealloc_node
#undef krealloc_node
#define krealloc_node(p, size, gfp, nid)	((void)(nid), krealloc(p, size, gfp))
#endif
#ifdef kvrealloc_node
#undef kvrealloc_node
#define kvrealloc_node(p, size, gfp, nid)	((void)(nid), kvrealloc(p, size, gfp))
#endif

/* ---- copies */

#undef kmemdup
#undef kmemdup_noprof
#define kmemdup_noprof		kmheap_dropin_kmemdup
#define kmemdup			kmheap_dropin_kmemdup
/* Names that kernels have not may be the module's own. */
#if KERNEL_VERSION(6, 3, 0) <= LINUX_VERSION_CODE
#define kvmemdup		kmheap_dropin_kvmemdup
#endif
#if KERNEL_VERSION(6, 11, 0) <= LINUX_VERSION_CODE
#define kmemdup_array(src, n, size, gfp)	kmheap_dropin_kmemdup(src, size_mul(n, size), gfp)
#endif
#define kmemdup_nul		kmheap_dropin_kmemdup_nul
#define kstrdup			kmheap_dropin_kstrdup
#define kstrndup		kmheap_dropin_kstrndup
#define kstrdup_const		kmheap_dropin_kstrdup
#define kasprintf		kmheap_dropin_kasprintf
#define kvasprintf		kmheap_dropin_kvasprintf
#define memdup_user		kmheap_dropin_memdup_user
#define vmemdup_user		kmheap_dropin_vmemdup_user
#define memdup_array_user	kmheap_dropin_memdup_array_user
#define vmemdup_array_user	kmheap_dropin_vmemdup_array_user
#define memdup_user_nul		kmheap_dropin_memdup_user_nul
#define strndup_user		kmheap_dropin_strndup_user

/* ---- free */

#define kfree			kmheap_dropin_kfree
#define kvfree			kmheap_dropin_kvfree
#define vfree			kmheap_dropin_vfree
#define kfree_sensitive		kmheap_dropin_kfree_sensitive
#define kvfree_sensitive	kmheap_dropin_kvfree_sensitive
#define kfree_const		kmheap_dropin_kfree_const
#define kfree_bulk(n, p)	kmheap_dropin_cache_free_bulk(NULL, n, p)
/* No name without parentheses: a module may have a parameter that is called so. */
#define ksize(p)		kmheap_dropin_ksize(p)

/* These the kernel does not export everywhere, so only a module that calls them needs them. */
#if KERNEL_VERSION(6, 12, 0) <= LINUX_VERSION_CODE
/* Memory of a heap is charged to no memory cgroup. */
#define kmem_cache_charge(p, gfp)	\
	({ void *__kmheap_p = (p); \
	   kmheap_owns(__kmheap_p) || kmem_cache_charge(__kmheap_p, gfp); })
#endif
#define kvfree_atomic(p)	\
	({ const void *__kmheap_p = (p); \
	   kmheap_owns(__kmheap_p) ? kmheap_free(__kmheap_p) : kvfree_atomic(__kmheap_p); })
#define kfree_nolock(p)		\
	({ const void *__kmheap_p = (p); \
	   kmheap_owns(__kmheap_p) ? kmheap_free(__kmheap_p) : kfree_nolock(__kmheap_p); })

#undef kfree_rcu
#undef kvfree_rcu
#undef kfree_rcu_mightsleep
#undef kvfree_rcu_mightsleep
#define kfree_rcu(...)			kmheap_dropin_kvfree_rcu(__VA_ARGS__)
#define kvfree_rcu(...)			kmheap_dropin_kvfree_rcu(__VA_ARGS__)
#define kfree_rcu_mightsleep(ptr)	kmheap_dropin_kvfree_rcu_1(ptr)
#define kvfree_rcu_mightsleep(ptr)	kmheap_dropin_kvfree_rcu_1(ptr)

/* ---- kmem_cache */

#undef kmem_cache_create
#undef kmem_cache_create_usercopy
#undef KMEM_CACHE
#undef KMEM_CACHE_USERCOPY
#undef kmem_cache_alloc
#undef kmem_cache_alloc_noprof
#undef kmem_cache_zalloc
#undef kmem_cache_alloc_node
#undef kmem_cache_alloc_node_noprof
#undef kmem_cache_alloc_lru
#undef kmem_cache_alloc_lru_noprof
#undef kmem_cache_alloc_bulk
#undef kmem_cache_alloc_bulk_noprof

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
#define kmem_cache_alloc_noprof		kmheap_dropin_cache_alloc
#define kmem_cache_alloc(s, gfp)	kmheap_hooks(kmheap_dropin_cache_alloc(s, gfp))
#define kmem_cache_zalloc(s, gfp)	kmem_cache_alloc(s, (gfp) | __GFP_ZERO)
#define kmem_cache_alloc_node_noprof	kmheap_dropin_cache_alloc_node
#define kmem_cache_alloc_node(s, gfp, nid)	\
	kmheap_hooks(kmheap_dropin_cache_alloc_node(s, gfp, nid))
#define kmem_cache_alloc_lru_noprof	kmheap_dropin_cache_alloc_lru
#define kmem_cache_alloc_lru(s, lru, gfp)	\
	kmheap_hooks(kmheap_dropin_cache_alloc_lru(s, lru, gfp))
#define kmem_cache_alloc_bulk_noprof	kmheap_dropin_cache_alloc_bulk
#define kmem_cache_alloc_bulk(s, gfp, n, p)	\
	kmheap_hooks(kmheap_dropin_cache_alloc_bulk(s, gfp, n, p))
#define kmem_cache_free			kmheap_dropin_cache_free
#define kmem_cache_free_bulk		kmheap_dropin_cache_free_bulk
#define kmem_cache_destroy		kmheap_dropin_cache_destroy
#define kmem_cache_shrink		kmheap_dropin_cache_shrink
#define kmem_cache_size			kmheap_dropin_cache_size

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
#undef mempool_init_kvmalloc_pool
#undef mempool_create_kvmalloc_pool

#define mempool_alloc_slab	kmheap_dropin_pool_alloc_slab
#define mempool_free_slab	kmheap_dropin_pool_free_slab
#define mempool_kmalloc		kmheap_dropin_pool_kmalloc
#define mempool_kfree		kmheap_dropin_pool_kfree
#define mempool_kvmalloc	kmheap_dropin_pool_kmalloc
#define mempool_kvfree		kmheap_dropin_pool_kfree
#define mempool_init_slab_pool(pool, n, s)	\
	mempool_init(pool, n, mempool_alloc_slab, mempool_free_slab, (void *)(s))
#define mempool_create_slab_pool(n, s)	\
	mempool_create(n, mempool_alloc_slab, mempool_free_slab, (void *)(s))
#define mempool_init_kmalloc_pool(pool, n, size)	\
	mempool_init(pool, n, mempool_kmalloc, mempool_kfree, (void *)(size_t)(size))
#define mempool_create_kmalloc_pool(n, size)	\
	mempool_create(n, mempool_kmalloc, mempool_kfree, (void *)(size_t)(size))
#define mempool_init_kvmalloc_pool(pool, n, size)	mempool_init_kmalloc_pool(pool, n, size)
#define mempool_create_kvmalloc_pool(n, size)	mempool_create_kmalloc_pool(n, size)

#endif /* _LINUX_KMHEAP_DROPIN_NAMES_H */
