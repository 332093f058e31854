/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Part of <linux/kmheap_dropin.h>; no source includes it.
 *
 * Allocate, copy and free. What a heap cannot promise is asked of the kernel, and memory that no
 * heap owns is freed by the kernel.
 */
#ifndef _LINUX_KMHEAP_DROPIN_MEMORY_H
#define _LINUX_KMHEAP_DROPIN_MEMORY_H

/* What a heap does not promise, the kernel is asked for: success, and memory of a zone. */
#define KMHEAP_DROPIN_KERNEL_GFP	(__GFP_NOFAIL | __GFP_DMA | __GFP_DMA32)

static __maybe_unused noinline void *kmheap_dropin_kernel_kmalloc(size_t size, gfp_t gfp, int nid)
{
	return kmalloc_node(size, gfp, nid);
}

static __maybe_unused noinline void *kmheap_dropin_kernel_kvmalloc(size_t size, gfp_t gfp, int nid)
{
	return kvmalloc_node(size, gfp, nid);
}

static __maybe_unused noinline void *kmheap_dropin_kernel_vmalloc(size_t size, gfp_t gfp)
{
	return __vmalloc(size, gfp);
}

/*
 * The kernel has far more than a heap for callers that cannot sleep, and code that was written for
 * kmalloc() counts on that. So what the heap has not (it counts that in refused_allocs) the kernel
 * gives, and what a linear heap cannot have as one piece; but not where the heap has a limit, and
 * not where the module has made the heap itself.
 */
static __always_inline bool kmheap_dropin_may_spare(gfp_t gfp)
{
#ifdef KMHEAP_DROPIN_HEAP
	return false;
#else
	return !(KMHEAP_DROPIN_LIMIT) && (__kmheap_dropin_linear || !gfpflags_allow_blocking(gfp));
#endif
}

static __maybe_unused noinline void *kmheap_dropin_spare(size_t size, gfp_t gfp, int nid)
{
	return in_nmi() ? NULL : kmalloc_node(size, gfp, nid);
}

/* The same for memory that need not be one piece: there is more of it, and nobody warns of none. */
static __maybe_unused noinline void *kmheap_dropin_kvspare(size_t size, gfp_t gfp, int nid)
{
	return in_nmi() ? NULL : kvmalloc_node(size, gfp, nid);
}

/*
 * More than the kernel's function gives: code may count on that bound, as for a length that came
 * from a user. SIZE_MAX is a product that has overflowed, for which nobody warns.
 */
static __maybe_unused noinline void *kmheap_dropin_too_large(size_t size, gfp_t gfp)
{
	WARN_ONCE(size != SIZE_MAX && !(gfp & __GFP_NOWARN), "kmheap: %zu bytes asked for\n", size);
	return NULL;
}

/*
 * Memory of a heap, or of one that has gone. What kfree() and its like get lies in vmalloc space
 * only if it was a heap's: then kmheap_free() reports it, where the kernel's function would fault.
 */
static __always_inline bool kmheap_dropin_was_ours(const void *p)
{
	return likely(kmheap_owns(p)) || (!ZERO_OR_NULL_PTR(p) && unlikely(is_vmalloc_addr(p)));
}

static __always_inline void *kmheap_dropin_alloc(size_t size, gfp_t gfp)
{
	void *p = kmheap_alloc_noprof(__kmheap_dropin_heap, size, gfp);

	if (kmheap_dropin_may_spare(gfp) && unlikely(!p))
		p = kmheap_dropin_spare(size, gfp, NUMA_NO_NODE);
	return p;
}

static __always_inline void *kmheap_dropin_alloc_node(size_t size, gfp_t gfp, int nid)
{
	void *p = kmheap_alloc_node_noprof(__kmheap_dropin_heap, size, gfp, nid);

	if (kmheap_dropin_may_spare(gfp) && unlikely(!p))
		p = kmheap_dropin_spare(size, gfp, nid);
	return p;
}

static __always_inline void *kmheap_dropin_kmalloc(size_t size, gfp_t gfp)
{
	if (unlikely(size > KMALLOC_MAX_SIZE))
		return kmheap_dropin_too_large(size, gfp);
	if (unlikely(gfp & KMHEAP_DROPIN_KERNEL_GFP))
		return kmheap_dropin_kernel_kmalloc(size, gfp, NUMA_NO_NODE);
	return kmheap_dropin_alloc(size, gfp);
}

static __always_inline void *kmheap_dropin_kmalloc_node(size_t size, gfp_t gfp, int nid)
{
	if (unlikely(size > KMALLOC_MAX_SIZE))
		return kmheap_dropin_too_large(size, gfp);
	if (unlikely(gfp & KMHEAP_DROPIN_KERNEL_GFP))
		return kmheap_dropin_kernel_kmalloc(size, gfp, nid);
	return kmheap_dropin_alloc_node(size, gfp, nid);
}

static __always_inline void *kmheap_dropin_kmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	return kmheap_dropin_kmalloc(size_mul(n, size), gfp);
}

/*
 * The kvmalloc() family is the same but for its bound and what the kernel is asked for. What is
 * large need not be one piece: a linear heap has none of it.
 */
#define KMHEAP_DROPIN_KERNEL_KV		(__kmheap_dropin_linear ? SZ_256K : INT_MAX)

static __always_inline void *kmheap_dropin_kvmalloc(size_t size, gfp_t gfp)
{
	void *p;

	if (unlikely(size > INT_MAX))
		return kmheap_dropin_too_large(size, gfp);
	if (unlikely(gfp & KMHEAP_DROPIN_KERNEL_GFP || size > KMHEAP_DROPIN_KERNEL_KV))
		return kmheap_dropin_kernel_kvmalloc(size, gfp, NUMA_NO_NODE);
	p = kmheap_alloc_noprof(__kmheap_dropin_heap, size, gfp);
	if (kmheap_dropin_may_spare(gfp) && unlikely(!p))
		p = kmheap_dropin_kvspare(size, gfp, NUMA_NO_NODE);
	return p;
}

static __always_inline void *kmheap_dropin_kvmalloc_node(size_t size, gfp_t gfp, int nid)
{
	void *p;

	if (unlikely(size > INT_MAX))
		return kmheap_dropin_too_large(size, gfp);
	if (unlikely(gfp & KMHEAP_DROPIN_KERNEL_GFP || size > KMHEAP_DROPIN_KERNEL_KV))
		return kmheap_dropin_kernel_kvmalloc(size, gfp, nid);
	p = kmheap_alloc_node_noprof(__kmheap_dropin_heap, size, gfp, nid);
	if (kmheap_dropin_may_spare(gfp) && unlikely(!p))
		p = kmheap_dropin_kvspare(size, gfp, nid);
	return p;
}

static __always_inline void *kmheap_dropin_kvmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	return kmheap_dropin_kvmalloc(size_mul(n, size), gfp);
}

/*
 * Whole pages, which begin on a page: what pages divide is aligned to them, if they are no larger
 * than those of a heap.
 */
static __maybe_unused void *kmheap_dropin_vmalloc(size_t size, gfp_t gfp, int nid)
{
	if (unlikely(gfp & KMHEAP_DROPIN_KERNEL_GFP))
		return kmheap_dropin_kernel_vmalloc(size, gfp);
	if (WARN_ON_ONCE(!size) || size > SIZE_MAX - PAGE_SIZE)
		return NULL;
	if (PAGE_SIZE > KMHEAP_PAGE_SIZE)
		return kmheap_alloc_aligned_noprof(__kmheap_dropin_heap, PAGE_ALIGN(size),
						   PAGE_SIZE, gfp & ~__GFP_HIGHMEM);
	return kmheap_alloc_node_noprof(__kmheap_dropin_heap, PAGE_ALIGN(size),
					gfp & ~__GFP_HIGHMEM, nid);
}

/* @align: a power of two; memory aligned to more than 4 MiB is not to be had. */
static __maybe_unused void *kmheap_dropin_vmalloc_aligned(size_t size, size_t align, gfp_t gfp,
							  int nid)
{
	if (align <= PAGE_SIZE)
		return kmheap_dropin_vmalloc(size, gfp, nid);
	if (!size || align > SZ_4M || size > SIZE_MAX - PAGE_SIZE)
		return NULL;
	return kmheap_alloc_aligned_noprof(__kmheap_dropin_heap, PAGE_ALIGN(size), align,
					   gfp & ~__GFP_HIGHMEM);
}

/* ---- copies */

static __maybe_unused void *kmheap_dropin_kmemdup(const void *src, size_t len, gfp_t gfp)
{
	void *p = kmheap_dropin_kmalloc(len, gfp);

	if (p)
		memcpy(p, src, len);
	return p;
}

static __maybe_unused void *kmheap_dropin_kmemdup_array(const void *src, size_t n, size_t size,
							gfp_t gfp)
{
	return kmheap_dropin_kmemdup(src, size_mul(n, size), gfp);
}

static __maybe_unused void *kmheap_dropin_kvmemdup(const void *src, size_t len, gfp_t gfp)
{
	void *p = kmheap_dropin_kvmalloc(len, gfp);

	if (p)
		memcpy(p, src, len);
	return p;
}

static __maybe_unused char *kmheap_dropin_kmemdup_nul(const char *s, size_t len, gfp_t gfp)
{
	char *p = s ? kmheap_dropin_kmalloc(len + 1, gfp) : NULL;

	if (p) {
		memcpy(p, s, len);
		p[len] = '\0';
	}
	return p;
}

static __maybe_unused char *kmheap_dropin_kstrdup(const char *s, gfp_t gfp)
{
	return s ? kmheap_dropin_kmemdup_nul(s, strlen(s), gfp) : NULL;
}

static __maybe_unused char *kmheap_dropin_kstrndup(const char *s, size_t max, gfp_t gfp)
{
	return s ? kmheap_dropin_kmemdup_nul(s, strnlen(s, max), gfp) : NULL;
}

static __maybe_unused __printf(2, 0) char *kmheap_dropin_kvasprintf(gfp_t gfp, const char *fmt,
								     va_list ap)
{
	unsigned int len;
	va_list again;
	char *p;

	va_copy(again, ap);
	len = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	p = kmheap_dropin_kmalloc(len + 1, gfp);
	if (p)
		WARN(vsnprintf(p, len + 1, fmt, ap) != len, "the arguments of '%s' changed\n", fmt);
	return p;
}

static __maybe_unused __printf(2, 3) char *kmheap_dropin_kasprintf(gfp_t gfp, const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	p = kmheap_dropin_kvasprintf(gfp, fmt, ap);
	va_end(ap);
	return p;
}

static void kmheap_dropin_kvfree(const void *p);

/* @p, of the heap or in its place of the kernel, or NULL: fill it. */
static __maybe_unused void *kmheap_dropin_from_user(void *p, const void __user *src, size_t len)
{
	if (!p)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(p, src, len)) {
		kmheap_dropin_kvfree(p);
		return ERR_PTR(-EFAULT);
	}
	return p;
}

static __maybe_unused void *kmheap_dropin_memdup_user(const void __user *src, size_t len)
{
	return kmheap_dropin_from_user(kmheap_dropin_kmalloc(len, GFP_USER | __GFP_NOWARN), src,
				       len);
}

static __maybe_unused void *kmheap_dropin_vmemdup_user(const void __user *src, size_t len)
{
	return kmheap_dropin_from_user(kmheap_dropin_kvmalloc(len, GFP_USER | __GFP_NOWARN), src,
				       len);
}

static __maybe_unused void *kmheap_dropin_memdup_array_user(const void __user *src, size_t n,
							    size_t size)
{
	size_t bytes;

	if (check_mul_overflow(n, size, &bytes))
		return ERR_PTR(-EOVERFLOW);
	return kmheap_dropin_memdup_user(src, bytes);
}

static __maybe_unused void *kmheap_dropin_vmemdup_array_user(const void __user *src, size_t n,
							     size_t size)
{
	size_t bytes;

	if (check_mul_overflow(n, size, &bytes))
		return ERR_PTR(-EOVERFLOW);
	return kmheap_dropin_vmemdup_user(src, bytes);
}

static __maybe_unused void *kmheap_dropin_memdup_user_nul(const void __user *src, size_t len)
{
	char *p = kmheap_dropin_kmalloc(len + 1, GFP_USER | __GFP_NOWARN);

	if (!p)
		return ERR_PTR(-ENOMEM);
	if (copy_from_user(p, src, len)) {
		kmheap_dropin_kvfree(p);
		return ERR_PTR(-EFAULT);
	}
	p[len] = '\0';
	return p;
}

static __maybe_unused char *kmheap_dropin_strndup_user(const char __user *s, long n)
{
	long len = strnlen_user(s, n);
	char *p;

	if (!len)
		return ERR_PTR(-EFAULT);
	if (len > n)
		return ERR_PTR(-EINVAL);
	p = kmheap_dropin_memdup_user(s, len);
	if (!IS_ERR(p))
		p[len - 1] = '\0';
	return p;
}

/* ---- free */

static __maybe_unused noinline void kmheap_dropin_kfree(const void *p)
{
	if (kmheap_dropin_was_ours(p))
		kmheap_free(p);
	else
		kfree(p);
}

static __maybe_unused noinline void kmheap_dropin_kvfree(const void *p)
{
	if (likely(kmheap_owns(p)))
		kmheap_free(p);
	else
		kvfree(p);
}

static __maybe_unused noinline void kmheap_dropin_vfree(const void *p)
{
	if (likely(kmheap_owns(p)))
		kmheap_free(p);
	else
		vfree(p);
}

static __maybe_unused void kmheap_dropin_kfree_sensitive(const void *p)
{
	if (kmheap_dropin_was_ours(p))
		kmheap_free_sensitive(p);
	else
		kfree_sensitive(p);
}

static __maybe_unused void kmheap_dropin_kvfree_sensitive(const void *p, size_t len)
{
	if (likely(kmheap_owns(p)))
		kmheap_free_sensitive(p);
	else
		kvfree_sensitive(p, len);
}

/* On arm64 the kernel's own constants lie in vmalloc space as well, in pages that it keeps. */
static __maybe_unused bool kmheap_dropin_is_kernel_const(const void *p)
{
	struct page *page;

	if (!IS_ENABLED(CONFIG_ARM64) || kmheap_owns(p) || !is_vmalloc_addr(p))
		return false;
	page = vmalloc_to_page(p);
	return page && PageReserved(page);
}

static __maybe_unused void kmheap_dropin_kfree_const(const void *p)
{
	if (kmheap_dropin_was_ours(p) && !kmheap_dropin_is_kernel_const(p))
		kmheap_free(p);
	else
		kfree_const(p);
}

static __maybe_unused size_t kmheap_dropin_ksize(const void *p)
{
	return kmheap_dropin_was_ours(p) ? kmheap_size(p) : ksize(p);
}

/* These are for callers in whatever context, as kmheap_free() is. */
#if KERNEL_VERSION(6, 18, 0) <= LINUX_VERSION_CODE
static __maybe_unused void kmheap_dropin_kfree_nolock(const void *p)
{
	if (likely(kmheap_owns(p)))
		kmheap_free(p);
	else
		kfree_nolock(p);
}
#endif

#if KERNEL_VERSION(7, 1, 0) <= LINUX_VERSION_CODE
static __maybe_unused void kmheap_dropin_kvfree_atomic(const void *p)
{
	if (likely(kmheap_owns(p)))
		kmheap_free(p);
	else
		kvfree_atomic(p);
}
#endif

/* __free(kfree) and its like: what the kernel has of these names.h maps. */
#ifdef DEFINE_FREE
DEFINE_FREE(kmheap_dropin_kfree, void *, if (!IS_ERR_OR_NULL(_T)) kmheap_dropin_kfree(_T))
DEFINE_FREE(kmheap_dropin_kvfree, void *, if (!IS_ERR_OR_NULL(_T)) kmheap_dropin_kvfree(_T))
DEFINE_FREE(kmheap_dropin_wipe, void *, if (!IS_ERR_OR_NULL(_T)) kmheap_dropin_kfree_sensitive(_T))
#if KERNEL_VERSION(7, 1, 0) <= LINUX_VERSION_CODE
DEFINE_FREE(kmheap_dropin_atomic, void *, if (!IS_ERR_OR_NULL(_T)) kmheap_dropin_kvfree_atomic(_T))
#endif
#endif

/* kvfree_rcu_arg_2() and _1() are what the kernel's macros become. */
#define kmheap_dropin_kvfree_rcu_2(ptr, member)			\
do {								\
	typeof(ptr) __kmheap_p = (ptr);				\
								\
	if (likely(kmheap_owns(__kmheap_p)))			\
		kmheap_free_rcu(__kmheap_p);			\
	else							\
		kvfree_rcu_arg_2(__kmheap_p, member);		\
} while (0)

#define kmheap_dropin_kvfree_rcu_1(ptr)				\
do {								\
	typeof(ptr) __kmheap_p = (ptr);				\
								\
	might_sleep();						\
	if (likely(kmheap_owns(__kmheap_p)))			\
		kmheap_free_rcu(__kmheap_p);			\
	else							\
		kvfree_rcu_arg_1(__kmheap_p);			\
} while (0)

/* The same for callers in whatever context; the kernel has no other name for its own macro. */
#define kmheap_dropin_kfree_rcu_nolock(ptr, member)				\
do {										\
	typeof(ptr) __kmheap_p = (ptr);						\
										\
	if (likely(kmheap_owns(__kmheap_p))) {					\
		kmheap_free_rcu(__kmheap_p);					\
	} else if (__kmheap_p) {						\
		BUILD_BUG_ON(offsetof(typeof(*__kmheap_p), member) >= 4096);	\
		kfree_call_rcu_nolock(&__kmheap_p->member, __kmheap_p);		\
	}									\
} while (0)

/* kfree_rcu() with and without a member: one name, before 6.5. */
#define kmheap_dropin_kvfree_rcu(...)				\
	CONCATENATE(kmheap_dropin_kvfree_rcu_, COUNT_ARGS(__VA_ARGS__))(__VA_ARGS__)

#endif /* _LINUX_KMHEAP_DROPIN_MEMORY_H */
