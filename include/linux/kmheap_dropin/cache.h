/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Part of <linux/kmheap_dropin.h>; no source includes it.
 *
 * A kmem_cache is a size, an alignment and a constructor here; its memory is the heap's. A mempool
 * is the kernel's, and its elements are the heap's.
 */
#ifndef _LINUX_KMHEAP_DROPIN_CACHE_H
#define _LINUX_KMHEAP_DROPIN_CACHE_H

/* No pointer has this value, so it is not the first word of a kmem_cache of the kernel. */
#define KMHEAP_DROPIN_CACHE	0x68636163706d686bUL

struct kmheap_dropin_cache {
	unsigned long magic;
	unsigned int size, object_size;
	void (*ctor)(void *p);
};

/*
 * Caches that stay with the kernel: their objects have to keep their type after a free, come from
 * a zone, or are such that the kernel asks for their slab (what is on a list_lru, as inodes are).
 */
#define KMHEAP_DROPIN_KERNEL_SLAB	\
	(SLAB_TYPESAFE_BY_RCU | SLAB_RECLAIM_ACCOUNT | SLAB_CACHE_DMA | SLAB_CACHE_DMA32)

/* A cache of the module, or NULL for one of the kernel. */
static inline struct kmheap_dropin_cache *kmheap_dropin_cache_of(struct kmem_cache *s)
{
	struct kmheap_dropin_cache *c = (struct kmheap_dropin_cache *)s;

	return likely(c->magic == KMHEAP_DROPIN_CACHE) ? c : NULL;
}

/*
 * Objects of up to 32 KiB are aligned to what divides their size, larger ones to 8 KiB.
 * Return: NULL when the cache has to be the kernel's.
 */
static __maybe_unused struct kmem_cache *
kmheap_dropin_cache_make(unsigned int size, unsigned int align, slab_flags_t flags,
			 void (*ctor)(void *p))
{
	struct kmheap_dropin_cache *c;
	unsigned int line = cache_line_size();

	if (!size || (__force unsigned int)(flags & KMHEAP_DROPIN_KERNEL_SLAB))
		return NULL;
	while ((__force unsigned int)(flags & SLAB_HWCACHE_ALIGN) && size <= line / 2)
		line /= 2;
	align = max_t(unsigned int, align, sizeof(long));
	if ((__force unsigned int)(flags & SLAB_HWCACHE_ALIGN))
		align = max(align, line);
	align = roundup_pow_of_two(align);
	if (align > KMHEAP_PAGE_SIZE)
		return NULL;
	c = kmheap_alloc_noprof(__kmheap_dropin_heap, sizeof(*c), GFP_KERNEL);
	if (!c)
		return NULL;
	*c = (struct kmheap_dropin_cache){
		.magic = KMHEAP_DROPIN_CACHE, .size = ALIGN(size, align), .object_size = size,
		.ctor = ctor,
	};
	return (struct kmem_cache *)c;
}

static __maybe_unused struct kmem_cache *
kmheap_dropin_cache_create_5(const char *name, unsigned int size, unsigned int align,
			     slab_flags_t flags, void (*ctor)(void *p))
{
	struct kmem_cache *s = kmheap_dropin_cache_make(size, align, flags, ctor);

	return s ?: kmem_cache_create(name, size, align, flags, ctor);
}

static __maybe_unused struct kmem_cache *
kmheap_dropin_cache_create_usercopy(const char *name, unsigned int size, unsigned int align,
				    slab_flags_t flags, unsigned int offset, unsigned int bytes,
				    void (*ctor)(void *p))
{
	struct kmem_cache *s = kmheap_dropin_cache_make(size, align, flags, ctor);

	return s ?: kmem_cache_create_usercopy(name, size, align, flags, offset, bytes, ctor);
}

/* kmem_cache_create() is a macro since it takes a structure as well. */
#ifdef kmem_cache_create
#define KMHEAP_DROPIN_CACHE_ARGS

static __maybe_unused struct kmem_cache *
kmheap_dropin_cache_create_4(const char *name, unsigned int size, struct kmem_cache_args *args,
			     slab_flags_t flags)
{
	struct kmem_cache_args none = {};
	struct kmem_cache *s;

	args = args ?: &none;
	s = kmheap_dropin_cache_make(size, args->align, flags, args->ctor);
	return s ?: kmem_cache_create(name, size, args, flags);
}

#endif

#define kmheap_dropin_cache_create(...)				\
	CONCATENATE(kmheap_dropin_cache_create_, COUNT_ARGS(__VA_ARGS__))(__VA_ARGS__)

/* A new object of @c, or NULL. The kernel aligns powers of two to themselves. */
static __maybe_unused void *kmheap_dropin_cache_new(struct kmheap_dropin_cache *c, gfp_t gfp,
						    int nid)
{
	void *p;

	if (unlikely(gfp & KMHEAP_DROPIN_KERNEL_GFP))
		p = kmheap_dropin_kernel_kmalloc(roundup_pow_of_two(c->size), gfp, nid);
	else
		p = kmheap_alloc_node_noprof(__kmheap_dropin_heap, c->size, gfp, nid);
	if (kmheap_dropin_may_spare(gfp) && unlikely(!p))
		p = kmheap_dropin_spare(roundup_pow_of_two(c->size), gfp, nid);
	if (p && c->ctor)
		c->ctor(p);
	return p;
}

static __maybe_unused void *kmheap_dropin_cache_alloc(struct kmem_cache *s, gfp_t gfp)
{
	struct kmheap_dropin_cache *c = kmheap_dropin_cache_of(s);

	if (unlikely(!c))
		return kmem_cache_alloc(s, gfp);
	return kmheap_dropin_cache_new(c, gfp, NUMA_NO_NODE);
}

static __maybe_unused void *kmheap_dropin_cache_alloc_node(struct kmem_cache *s, gfp_t gfp,
							   int nid)
{
	struct kmheap_dropin_cache *c = kmheap_dropin_cache_of(s);

	if (unlikely(!c))
		return kmem_cache_alloc_node(s, gfp, nid);
	return kmheap_dropin_cache_new(c, gfp, nid);
}

/* What goes on a list_lru, inodes for instance: the kernel will ask for its slab. */
static __maybe_unused void *kmheap_dropin_cache_alloc_lru(struct kmem_cache *s,
							  struct list_lru *lru, gfp_t gfp)
{
	if (WARN_ONCE(kmheap_dropin_cache_of(s),
		      "kmheap: objects for a list_lru need a cache with SLAB_RECLAIM_ACCOUNT\n"))
		return NULL;
	return kmem_cache_alloc_lru(s, lru, gfp);
}

static __maybe_unused void kmheap_dropin_cache_free(struct kmem_cache *s, void *p)
{
	if (likely(kmheap_dropin_cache_of(s)))
		kmheap_dropin_kfree(p);
	else
		kmem_cache_free(s, p);
}

/* Return: @n; 0, and nothing, when there is not memory for all. */
static __maybe_unused int kmheap_dropin_cache_alloc_bulk(struct kmem_cache *s, gfp_t gfp, size_t n,
							 void **p)
{
	struct kmheap_dropin_cache *c = kmheap_dropin_cache_of(s);
	size_t got, i;

	if (unlikely(!c))
		return kmem_cache_alloc_bulk(s, gfp, n, p) ? n : 0;
	got = gfp & KMHEAP_DROPIN_KERNEL_GFP ? 0 :
	      kmheap_alloc_bulk_noprof(__kmheap_dropin_heap, c->size, gfp, n, p);
	for (i = 0; i < got && c->ctor; i++)
		c->ctor(p[i]);
	for (i = got; i < n; i++) {
		p[i] = kmheap_dropin_cache_alloc(s, gfp);
		if (!p[i])
			break;
	}
	if (i == n)
		return n;
	while (i)
		kmheap_dropin_kfree(p[--i]);
	return 0;
}

/* @s is NULL for kfree_bulk(). */
static __maybe_unused void kmheap_dropin_cache_free_bulk(struct kmem_cache *s, size_t n, void **p)
{
	size_t i;

	if (s && !kmheap_dropin_cache_of(s)) {
		kmem_cache_free_bulk(s, n, p);
		return;
	}
	for (i = 0; i < n; i++)
		kmheap_dropin_kfree(p[i]);
}

/* Objects that are left are the heap's, which reports them when it ends. */
static __maybe_unused void kmheap_dropin_cache_destroy(struct kmem_cache *s)
{
	if (s && kmheap_dropin_cache_of(s))
		kmheap_free(s);
	else
		kmem_cache_destroy(s);
}

static __maybe_unused int kmheap_dropin_cache_shrink(struct kmem_cache *s)
{
	if (!kmheap_dropin_cache_of(s))
		return kmem_cache_shrink(s);
	kmheap_shrink(__kmheap_dropin_heap);
	return 0;
}

static __maybe_unused unsigned int kmheap_dropin_cache_size(struct kmem_cache *s)
{
	struct kmheap_dropin_cache *c = kmheap_dropin_cache_of(s);

	return c ? c->object_size : kmem_cache_size(s);
}

/* ---- elements of a mempool; the pool itself is the kernel's */

static __maybe_unused void *kmheap_dropin_pool_alloc_slab(gfp_t gfp, void *cache)
{
	return kmheap_dropin_cache_alloc(cache, gfp);
}

static __maybe_unused void kmheap_dropin_pool_free_slab(void *p, void *cache)
{
	kmheap_dropin_cache_free(cache, p);
}

static __maybe_unused void *kmheap_dropin_pool_kmalloc(gfp_t gfp, void *size)
{
	return kmheap_dropin_kmalloc((size_t)size, gfp);
}

static __maybe_unused void kmheap_dropin_pool_kfree(void *p, void *size)
{
	kmheap_dropin_kfree(p);
}

#endif /* _LINUX_KMHEAP_DROPIN_CACHE_H */
