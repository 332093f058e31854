/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Part of <linux/kmheap_dropin.h>; no source includes it.
 *
 * The kernel's functions under other names, for memory that the kernel will free, or that hardware
 * gets.
 */
#ifndef _LINUX_KMHEAP_DROPIN_KERNEL_H
#define _LINUX_KMHEAP_DROPIN_KERNEL_H

static __always_inline __alloc_size(1) void *kernel_kmalloc(size_t size, gfp_t gfp)
{
	return kmalloc(size, gfp);
}

static __always_inline __alloc_size(1) void *kernel_kzalloc(size_t size, gfp_t gfp)
{
	return kzalloc(size, gfp);
}

static inline __alloc_size(1, 2) void *kernel_kmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	return kmalloc_array(n, size, gfp);
}

static inline __alloc_size(1, 2) void *kernel_kcalloc(size_t n, size_t size, gfp_t gfp)
{
	return kcalloc(n, size, gfp);
}

static inline __alloc_size(1) void *kernel_kmalloc_node(size_t size, gfp_t gfp, int nid)
{
	return kmalloc_node(size, gfp, nid);
}

static inline void *kernel_krealloc(const void *p, size_t size, gfp_t gfp)
{
	return krealloc(p, size, gfp);
}

static inline __alloc_size(1) void *kernel_kvmalloc(size_t size, gfp_t gfp)
{
	return kvmalloc(size, gfp);
}

static inline __alloc_size(1) void *kernel_kvzalloc(size_t size, gfp_t gfp)
{
	return kvzalloc(size, gfp);
}

static inline __alloc_size(1) void *kernel_vmalloc(unsigned long size)
{
	return vmalloc(size);
}

static inline __alloc_size(1) void *kernel_vzalloc(unsigned long size)
{
	return vzalloc(size);
}

static inline __alloc_size(1) void *kernel___vmalloc(unsigned long size, gfp_t gfp)
{
	return __vmalloc(size, gfp);
}

static inline __alloc_size(2) void *kernel_kmemdup(const void *src, size_t len, gfp_t gfp)
{
	return kmemdup(src, len, gfp);
}

static inline char *kernel_kstrdup(const char *s, gfp_t gfp)
{
	return kstrdup(s, gfp);
}

static inline char *kernel_kstrndup(const char *s, size_t max, gfp_t gfp)
{
	return kstrndup(s, max, gfp);
}

static __maybe_unused __printf(2, 3) char *kernel_kasprintf(gfp_t gfp, const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	p = kvasprintf(gfp, fmt, ap);
	va_end(ap);
	return p;
}

static inline void kernel_kfree(const void *p)
{
	kfree(p);
}

static inline void kernel_kvfree(const void *p)
{
	kvfree(p);
}

static inline void kernel_vfree(const void *p)
{
	vfree(p);
}

static inline struct kmem_cache *
kernel_kmem_cache_create(const char *name, unsigned int size, unsigned int align,
			 slab_flags_t flags, void (*ctor)(void *))
{
	return kmem_cache_create(name, size, align, flags, ctor);
}

static inline void *kernel_kmem_cache_alloc(struct kmem_cache *s, gfp_t gfp)
{
	return kmem_cache_alloc(s, gfp);
}

static inline void kernel_kmem_cache_free(struct kmem_cache *s, void *p)
{
	kmem_cache_free(s, p);
}

static inline void kernel_kmem_cache_destroy(struct kmem_cache *s)
{
	kmem_cache_destroy(s);
}

#endif /* _LINUX_KMHEAP_DROPIN_KERNEL_H */
