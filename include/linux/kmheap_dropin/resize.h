/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Part of <linux/kmheap_dropin.h>; no source includes it.
 *
 * Change the size of an object. What is a heap's is moved within the heap if that is possible;
 * memory that no heap owns is resized by the kernel.
 */
#ifndef _LINUX_KMHEAP_DROPIN_RESIZE_H
#define _LINUX_KMHEAP_DROPIN_RESIZE_H

/* Move an object of a heap to @q, unless that is NULL. */
static __maybe_unused void *kmheap_dropin_move(const void *p, void *q, size_t size)
{
	if (q) {
		memcpy(q, p, min(size, kmheap_size(p)));
		kmheap_free(p);
	}
	return q;
}

/* @p is an object of a heap, and remains one if that is possible. */
static __maybe_unused void *kmheap_dropin_resize(const void *p, size_t size, gfp_t gfp)
{
	void *q;

	if (unlikely(gfp & KMHEAP_DROPIN_KERNEL_GFP) && size)
		return kmheap_dropin_move(p, kmheap_dropin_kernel_kmalloc(size, gfp, NUMA_NO_NODE),
					  size);
	q = kmheap_realloc_noprof(__kmheap_dropin_heap, p, size, gfp);
	if (kmheap_dropin_may_spare(gfp) && unlikely(!q))
		q = kmheap_dropin_move(p, kmheap_dropin_spare(size, gfp, NUMA_NO_NODE), size);
	return q;
}

static __maybe_unused void *kmheap_dropin_krealloc(const void *p, size_t size, gfp_t gfp)
{
	if (unlikely(size > KMALLOC_MAX_SIZE))
		return kmheap_dropin_too_large(size, gfp);
	if (ZERO_OR_NULL_PTR(p))
		return kmheap_dropin_kmalloc(size, gfp);
	return kmheap_dropin_was_ours(p) ? kmheap_dropin_resize(p, size, gfp) :
					   krealloc(p, size, gfp);
}

static __maybe_unused void *kmheap_dropin_krealloc_array(void *p, size_t n, size_t size, gfp_t gfp)
{
	return kmheap_dropin_krealloc(p, size_mul(n, size), gfp);
}

/* kmheap_dropin_resize() for memory that need not be one piece. */
static __maybe_unused void *kmheap_dropin_kvresize(const void *p, size_t size, gfp_t gfp)
{
	void *q;

	if ((unlikely(gfp & KMHEAP_DROPIN_KERNEL_GFP) && size) ||
	    (size > KMHEAP_DROPIN_KERNEL_KV && size > kmheap_size(p)))
		return kmheap_dropin_move(p, kmheap_dropin_kernel_kvmalloc(size, gfp, NUMA_NO_NODE),
					  size);
	q = kmheap_realloc_noprof(__kmheap_dropin_heap, p, size, gfp);
	if (kmheap_dropin_may_spare(gfp) && unlikely(!q))
		q = kmheap_dropin_move(p, kmheap_dropin_kvspare(size, gfp, NUMA_NO_NODE), size);
	return q;
}

/* kvrealloc() has no parameter for the old size any more. */
#if KERNEL_VERSION(6, 12, 0) <= LINUX_VERSION_CODE
static __maybe_unused void *kmheap_dropin_kvrealloc(const void *p, size_t size, gfp_t gfp)
{
	if (unlikely(size > INT_MAX))
		return kmheap_dropin_too_large(size, gfp);
	if (ZERO_OR_NULL_PTR(p))
		return kmheap_dropin_kvmalloc(size, gfp);
	return kmheap_owns(p) ? kmheap_dropin_kvresize(p, size, gfp) : kvrealloc(p, size, gfp);
}
#else
/* What is behind @old is zero under __GFP_ZERO, whatever the object was allocated with. */
static __maybe_unused void *kmheap_dropin_kvrealloc(const void *p, size_t old, size_t size,
						    gfp_t gfp)
{
	void *q;

	if (unlikely(size > INT_MAX))
		return kmheap_dropin_too_large(size, gfp);
	if (ZERO_OR_NULL_PTR(p))
		return kmheap_dropin_kvmalloc(size, gfp);
	if (!kmheap_owns(p))
		return kvrealloc(p, old, size, gfp);
	if (size <= old)
		return (void *)p;
	q = kmheap_dropin_kvresize(p, size, gfp);
	if (q && gfp & __GFP_ZERO)
		memset(q + old, 0, size - old);
	return q;
}
#endif

/*
 * Objects of the heap are aligned as kmalloc()'s up to a page of the heap; more than that has to be
 * asked for. As in the kernel, nobody is promised more than kmalloc() guarantees for @size.
 */
#ifdef kvrealloc_node_align
static __maybe_unused void *kmheap_dropin_kvmalloc_align(size_t size, unsigned long align,
							 gfp_t gfp, int nid)
{
	if (align <= KMHEAP_PAGE_SIZE || gfp & KMHEAP_DROPIN_KERNEL_GFP ||
	    size > KMHEAP_DROPIN_KERNEL_KV)
		return kmheap_dropin_kvmalloc_node(size, gfp, nid);
	return kmheap_alloc_aligned_noprof(__kmheap_dropin_heap, size, align, gfp);
}

static __maybe_unused void *kmheap_dropin_kmalloc_align(size_t size, unsigned long align,
							gfp_t gfp, int nid)
{
	if (align <= KMHEAP_PAGE_SIZE || gfp & KMHEAP_DROPIN_KERNEL_GFP)
		return kmheap_dropin_kmalloc_node(size, gfp, nid);
	return kmheap_alloc_aligned_noprof(__kmheap_dropin_heap, size, align, gfp);
}

/* Has @p, an object of a heap, to be allocated anew for @size and @align? */
static __maybe_unused bool kmheap_dropin_misaligned(const void *p, size_t size,
						    unsigned long align)
{
	return size && (!IS_ALIGNED((unsigned long)p, align) ||
			(align > KMHEAP_PAGE_SIZE && size > kmheap_size(p)));
}

static __maybe_unused void *kmheap_dropin_krealloc_align(const void *p, size_t size,
							 unsigned long align, gfp_t gfp, int nid)
{
	if (!ZERO_OR_NULL_PTR(p) && !kmheap_dropin_was_ours(p))
		return krealloc_node_align(p, size, align, gfp, nid);
	if (unlikely(size > KMALLOC_MAX_SIZE))
		return kmheap_dropin_too_large(size, gfp);
	if (ZERO_OR_NULL_PTR(p))
		return kmheap_dropin_kmalloc_align(size, align, gfp, nid);
	if (kmheap_dropin_misaligned(p, size, align))
		return kmheap_dropin_move(p, kmheap_dropin_kmalloc_align(size, align, gfp, nid),
					  size);
	return kmheap_dropin_krealloc(p, size, gfp);
}

static __maybe_unused void *kmheap_dropin_kvrealloc_align(const void *p, size_t size,
							  unsigned long align, gfp_t gfp, int nid)
{
	if (!ZERO_OR_NULL_PTR(p) && !kmheap_owns(p))
		return kvrealloc_node_align(p, size, align, gfp, nid);
	if (ZERO_OR_NULL_PTR(p))
		return kmheap_dropin_kvmalloc_align(size, align, gfp, nid);
	if (kmheap_dropin_misaligned(p, size, align))
		return kmheap_dropin_move(p, kmheap_dropin_kvmalloc_align(size, align, gfp, nid),
					  size);
	return kmheap_dropin_kvrealloc(p, size, gfp);
}
#endif

/* vrealloc() is for modules since it can have a node, also as a macro. */
#ifdef vrealloc_node_align
static __maybe_unused void *kmheap_dropin_vrealloc_align(const void *p, size_t size,
							 unsigned long align, gfp_t gfp, int nid)
{
	size_t room;

	if (!ZERO_OR_NULL_PTR(p) && !kmheap_owns(p))
		return vrealloc_node_align(p, size, align, gfp, nid);
	if (!size) {
		kmheap_free(p);
		return NULL;
	}
	if (ZERO_OR_NULL_PTR(p))
		return kmheap_dropin_vmalloc_aligned(size, align, gfp, nid);
	if (unlikely(size > SIZE_MAX - PAGE_SIZE))
		return NULL;
	if (unlikely(gfp & KMHEAP_DROPIN_KERNEL_GFP))
		return kmheap_dropin_move(p, kmheap_dropin_kernel_vmalloc(size, gfp), size);
	/*
	 * kmheap_realloc() moves what grows, and to the alignment of kmalloc(): less than @align,
	 * or than a page of the kernel where these are larger than the heap's.
	 */
	if (!IS_ALIGNED((unsigned long)p, align) ||
	    (PAGE_ALIGN(size) > kmheap_size(p) &&
	     (align > PAGE_SIZE || PAGE_SIZE > KMHEAP_PAGE_SIZE)))
		return kmheap_dropin_move(p, kmheap_dropin_vmalloc_aligned(size, align, gfp, nid),
					  size);
	/* What a caller gives up of the last page is zero when it wants that back. */
	room = min(PAGE_ALIGN(size), kmheap_size(p));
	if (gfp & __GFP_ZERO && size < room)
		memset((void *)p + size, 0, room - size);
	return kmheap_realloc_noprof(__kmheap_dropin_heap, p, PAGE_ALIGN(size),
				     gfp & ~__GFP_HIGHMEM);
}

static __maybe_unused void *kmheap_dropin_vrealloc(const void *p, size_t size, gfp_t gfp)
{
	return kmheap_dropin_vrealloc_align(p, size, 1, gfp, NUMA_NO_NODE);
}
#endif

#endif /* _LINUX_KMHEAP_DROPIN_RESIZE_H */
