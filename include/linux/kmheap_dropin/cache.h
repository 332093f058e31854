/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Part of <linux/kmheap_dropin.h>; no source includes it.
 *
 * A kmem_cache is a typed cache of the module's heap here, if the heap can keep what it asks for;
 * otherwise it is the kernel's. A mempool is the kernel's, and its elements are the cache's.
 */
#ifndef _LINUX_KMHEAP_DROPIN_CACHE_H
#define _LINUX_KMHEAP_DROPIN_CACHE_H

/*
 * Caches that stay with the kernel: their objects keep what they hold from a free to the next
 * allocation, come from a zone, or are such that the kernel asks for their page (what is on a
 * list_lru, as inodes are), which a linear heap can give.
 */
#define KMHEAP_DROPIN_KERNEL_SLAB	\
	(SLAB_TYPESAFE_BY_RCU | SLAB_CACHE_DMA | SLAB_CACHE_DMA32 | \
	 (__kmheap_dropin_linear ? (__force slab_flags_t)0 : SLAB_RECLAIM_ACCOUNT))

/* What a cache of the module has set in its pointer; a kmem_cache of the kernel has not. */
#define KMHEAP_DROPIN_CACHE	1UL

/* A cache of the module, or NULL for one of the kernel. */
static inline struct kmheap_cache *kmheap_dropin_cache_of(struct kmem_cache *s)
{
	unsigned long c = (unsigned long)s;

	return likely(c & KMHEAP_DROPIN_CACHE) ? (void *)(c - KMHEAP_DROPIN_CACHE) : NULL;
}

/* Return: NULL when the cache has to be the kernel's; the heap has said why unless @flags do. */
static __maybe_unused struct kmem_cache *
kmheap_dropin_cache_make(const char *name, unsigned int size, unsigned int align,
			 slab_flags_t flags, void (*ctor)(void *p))
{
	struct kmheap_cache_args args = {
		.name = name, .size = size, .ctor = ctor,
		/* The kernel takes any alignment, and rounds it. */
		.align = align > sizeof(long) ? roundup_pow_of_two(align) : 0,
	};
	struct kmheap_cache *c;

	if ((__force unsigned int)(flags & KMHEAP_DROPIN_KERNEL_SLAB))
		return NULL;
	if ((__force unsigned int)(flags & SLAB_HWCACHE_ALIGN))
		args.flags |= KMHEAP_CACHE_HWCACHE_ALIGN;
	c = kmheap_cache_create(__kmheap_dropin_heap, &args);
	return IS_ERR(c) ? NULL : (void *)((unsigned long)c + KMHEAP_DROPIN_CACHE);
}

static __maybe_unused struct kmem_cache *
kmheap_dropin_cache_create_5(const char *name, unsigned int size, unsigned int align,
			     slab_flags_t flags, void (*ctor)(void *p))
{
	struct kmem_cache *s = kmheap_dropin_cache_make(name, size, align, flags, ctor);

	return s ?: kmem_cache_create(name, size, align, flags, ctor);
}

static __maybe_unused struct kmem_cache *
kmheap_dropin_cache_create_usercopy(const char *name, unsigned int size, unsigned int align,
				    slab_flags_t flags, unsigned int offset, unsigned int bytes,
				    void (*ctor)(void *p))
{
	struct kmem_cache *s = kmheap_dropin_cache_make(name, size, align, flags, ctor);

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
	/* A heap puts no pointer into freed objects, so @freeptr_offset is kept. */
	s = kmheap_dropin_cache_make(name, size, args->align, flags, args->ctor);
	return s ?: kmem_cache_create(name, size, args, flags);
}

#endif

#define kmheap_dropin_cache_create(...)				\
	CONCATENATE(kmheap_dropin_cache_create_, COUNT_ARGS(__VA_ARGS__))(__VA_ARGS__)

/*
 * An object of @c that the cache cannot promise, or has not: the kernel's memory, aligned as powers
 * of two are.
 */
static __maybe_unused noinline void *kmheap_dropin_cache_spare(struct kmheap_cache *c, gfp_t gfp,
							       int nid)
{
	struct kmheap_cache_args args;
	void *p;

	kmheap_cache_describe(c, &args);
	p = kmheap_dropin_spare(roundup_pow_of_two(max(args.size, args.align)), gfp, nid);
	if (p && args.ctor)
		args.ctor(p);
	return p;
}

/* A new object of @c, or NULL. */
static __maybe_unused void *kmheap_dropin_cache_new(struct kmheap_cache *c, gfp_t gfp, int nid)
{
	void *p;

	if (unlikely(gfp & KMHEAP_DROPIN_KERNEL_GFP))
		return kmheap_dropin_cache_spare(c, gfp, nid);
	p = nid == NUMA_NO_NODE ? kmheap_cache_alloc_noprof(c, gfp) :
				  kmheap_cache_alloc_node_noprof(c, gfp, nid);
	if (kmheap_dropin_may_spare(gfp) && unlikely(!p))
		p = kmheap_dropin_cache_spare(c, gfp, nid);
	return p;
}

static __maybe_unused void *kmheap_dropin_cache_alloc(struct kmem_cache *s, gfp_t gfp)
{
	struct kmheap_cache *c = kmheap_dropin_cache_of(s);

	if (unlikely(!c))
		return kmem_cache_alloc(s, gfp);
	return kmheap_dropin_cache_new(c, gfp, NUMA_NO_NODE);
}

static __maybe_unused void *kmheap_dropin_cache_alloc_node(struct kmem_cache *s, gfp_t gfp,
							   int nid)
{
	struct kmheap_cache *c = kmheap_dropin_cache_of(s);

	if (unlikely(!c))
		return kmem_cache_alloc_node(s, gfp, nid);
	return kmheap_dropin_cache_new(c, gfp, nid);
}

static __maybe_unused void *kmheap_dropin_cache_zalloc(struct kmem_cache *s, gfp_t gfp)
{
	return kmheap_dropin_cache_alloc(s, gfp | __GFP_ZERO);
}

/* What goes on a list_lru, inodes for instance: the kernel will ask for its page. */
static __maybe_unused void *kmheap_dropin_cache_alloc_lru(struct kmem_cache *s,
							  struct list_lru *lru, gfp_t gfp)
{
	if (__kmheap_dropin_linear && kmheap_dropin_cache_of(s))
		return kmheap_dropin_cache_new(kmheap_dropin_cache_of(s), gfp, NUMA_NO_NODE);
	if (WARN_ONCE(kmheap_dropin_cache_of(s),
		      "kmheap: objects for a list_lru need a cache with SLAB_RECLAIM_ACCOUNT\n"))
		return NULL;
	return kmem_cache_alloc_lru(s, lru, gfp);
}

static __maybe_unused void kmheap_dropin_cache_free(struct kmem_cache *s, void *p)
{
	struct kmheap_cache *c = kmheap_dropin_cache_of(s);

	if (unlikely(!c))
		kmem_cache_free(s, p);
	else if (kmheap_dropin_was_ours(p))
		kmheap_cache_free(c, p);
	else
		kfree(p);
}

/* An int, and since 7.x a bool. */
#ifdef alloc_hooks
#define kmheap_dropin_bulk	typeof(kmem_cache_alloc_bulk_noprof(NULL, 0, 0, NULL))
#else
#define kmheap_dropin_bulk	typeof(kmem_cache_alloc_bulk(NULL, 0, 0, NULL))
#endif

/* Return: @n; 0, and nothing, when there is not memory for all. */
static __maybe_unused kmheap_dropin_bulk
kmheap_dropin_cache_alloc_bulk(struct kmem_cache *s, gfp_t gfp, size_t n, void **p)
{
	size_t i;

	if (unlikely(!kmheap_dropin_cache_of(s)))
		return kmem_cache_alloc_bulk(s, gfp, n, p) ? n : 0;
	for (i = 0; i < n; i++) {
		p[i] = kmheap_dropin_cache_alloc(s, gfp);
		if (!p[i])
			break;
	}
	if (i == n)
		return n;
	while (i)
		kmheap_dropin_cache_free(s, p[--i]);
	return 0;
}

static __maybe_unused void kmheap_dropin_kfree_bulk(size_t n, void **p)
{
	while (n)
		kmheap_dropin_kfree(p[--n]);
}

/* Without @s it is kfree_bulk(), as in the kernel. */
static __maybe_unused void kmheap_dropin_cache_free_bulk(struct kmem_cache *s, size_t n, void **p)
{
	if (!s) {
		kmheap_dropin_kfree_bulk(n, p);
	} else if (!kmheap_dropin_cache_of(s)) {
		kmem_cache_free_bulk(s, n, p);
	} else {
		while (n)
			kmheap_dropin_cache_free(s, p[--n]);
	}
}

/* Objects that are left are reported, and are the heap's from then on. */
static __maybe_unused void kmheap_dropin_cache_destroy(struct kmem_cache *s)
{
	if (kmheap_dropin_cache_of(s))
		kmheap_cache_destroy(kmheap_dropin_cache_of(s));
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
	struct kmheap_cache *c = kmheap_dropin_cache_of(s);
	struct kmheap_cache_args args;

	if (!c)
		return kmem_cache_size(s);
	kmheap_cache_describe(c, &args);
	return args.size;
}

/* Memory of a heap is charged to no memory cgroup. */
#if KERNEL_VERSION(6, 12, 0) <= LINUX_VERSION_CODE
static __maybe_unused bool kmheap_dropin_cache_charge(void *p, gfp_t gfp)
{
	return kmheap_owns(p) || kmem_cache_charge(p, gfp);
}
#endif

/* ---- elements of a mempool; the pool itself is the kernel's */

/*
 * What the heap has not for a caller that cannot sleep comes from what the pool keeps, not from the
 * kernel: all elements are the cache's.
 */
static __maybe_unused void *kmheap_dropin_pool_alloc_slab(gfp_t gfp, void *cache)
{
	struct kmheap_cache *c = kmheap_dropin_cache_of(cache);

	return c ? kmheap_mempool_alloc(gfp, c) : mempool_alloc_slab(gfp, cache);
}

static __maybe_unused void kmheap_dropin_pool_free_slab(void *p, void *cache)
{
	struct kmheap_cache *c = kmheap_dropin_cache_of(cache);

	if (c)
		kmheap_mempool_free(p, c);
	else
		mempool_free_slab(p, cache);
}

static __maybe_unused void *kmheap_dropin_pool_kmalloc(gfp_t gfp, void *size)
{
	return kmheap_dropin_kmalloc((size_t)size, gfp);
}

static __maybe_unused void kmheap_dropin_pool_kfree(void *p, void *size)
{
	kmheap_dropin_kfree(p);
}

static __maybe_unused void *kmheap_dropin_pool_kvmalloc(gfp_t gfp, void *size)
{
	return kmheap_dropin_kvmalloc((size_t)size, gfp);
}

static __maybe_unused void kmheap_dropin_pool_kvfree(void *p, void *size)
{
	kmheap_dropin_kvfree(p);
}

/* Functions before they are macros, as mempool_init() is then. */
#ifndef alloc_hooks
static __maybe_unused int kmheap_dropin_pool_init_slab(mempool_t *pool, int n, struct kmem_cache *s)
{
	return mempool_init(pool, n, kmheap_dropin_pool_alloc_slab, kmheap_dropin_pool_free_slab,
			    s);
}

static __maybe_unused mempool_t *kmheap_dropin_pool_create_slab(int n, struct kmem_cache *s)
{
	return mempool_create(n, kmheap_dropin_pool_alloc_slab, kmheap_dropin_pool_free_slab, s);
}
#endif

#endif /* _LINUX_KMHEAP_DROPIN_CACHE_H */
