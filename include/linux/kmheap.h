/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmheap - heaps of their own for kernel modules.
 *
 * The only header that a client includes. Sizes are bytes unless a name says otherwise; a
 * NULL heap names the default heap. The contexts that a function may be called from are in
 * its kernel-doc ("Context:"), next to its definition in kmod/.
 */
#ifndef _LINUX_KMHEAP_H
#define _LINUX_KMHEAP_H

#ifndef CONFIG_64BIT
#error "kmheap needs a 64-bit kernel: its arenas live in vmalloc space, of which others have little"
#endif

#include <linux/bits.h>
#include <linux/bug.h>
#include <linux/cache.h>
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/gfp.h>
#include <linux/overflow.h>
#include <linux/slab.h>		/* ZERO_SIZE_PTR, ZERO_OR_NULL_PTR() */
#include <linux/types.h>
#if __has_include(<linux/cleanup.h>)
#include <linux/cleanup.h>	/* 6.1.x stable and 6.5+ */
#endif
#if __has_include(<linux/alloc_tag.h>)
#include <linux/alloc_tag.h>	/* 6.10+ */
#endif

#include <linux/kmheap_classes.h>

/*
 * Classes of constant sizes are compiled into clients. This makes every client need the
 * symbol of the classes that it was built for, so that the kernel does not load it beside a
 * kmheap.ko that has other classes.
 */
extern const u8 KMHEAP_CLASSES_SYMBOL;
#ifndef _KMHEAP_PUBLIC_H
static const u8 *const kmheap_classes_wanted __used = &KMHEAP_CLASSES_SYMBOL;
#endif

struct kmheap;			/* opaque; NULL names the default heap */
struct module;

/* kmheap_attr.flags */
#define KMHEAP_COLLECTED	BIT(0)	/* objects without kmheap_mark() can be collected */
#define KMHEAP_HWCACHE_ALIGN	BIT(1)	/* every object starts on a cache line */
#define KMHEAP_AREA		BIT(2)	/* of vmalloc areas alone */
#define KMHEAP_LINEAR		BIT(3)	/* in the direct map, each object contiguous there */
#define KMHEAP_SMALL		BIT(4)	/* costs little until it is used a lot */

/* kmheap_cache_args.flags */
#define KMHEAP_CACHE_HWCACHE_ALIGN	BIT(0)	/* no object lies in more lines than it must */
#define KMHEAP_CACHE_TYPESAFE_BY_RCU	BIT(1)	/* memory keeps its type for a grace period */

/* The version of this header, and of the module that comes with it (modinfo). */
#define KMHEAP_VERSION		"0.1.0"

/* The pages of kmheap_alloc_pages(). */
#define KMHEAP_PAGE_SIZE	8192UL

/**
 * struct kmheap_attr - what a heap is created with; 0 or NULL means the default
 * @flags: KMHEAP_* bits; unknown ones are refused.
 * @limit_bytes: hard limit on the footprint in bytes; 0 means the module's
 *	default_limit parameter (which is none unless set).
 * @owner: the module the heap is accounted to, usually THIS_MODULE. A heap that
 *	is still alive when its owner is unloaded is reported and destroyed.
 * @reserve_bytes: kept on each node for callers that cannot sleep, from the first
 *	moment on, as by kmheap_set_reserve().
 */
struct kmheap_attr {
	unsigned int flags;
	size_t limit_bytes;
	struct module *owner;
	size_t reserve_bytes;
};

/**
 * struct kmheap_cache_args - what a cache is created with; 0 or NULL means the default
 * @name: its name in debugfs and in reports; as for kmheap_create(), but two caches may have the
 *	same. Copied.
 * @size: bytes of an object; 1 to 32 KiB (with KASAN 16 bytes less).
 * @align: a power of two up to 8 KiB. Objects are aligned to it, and to what kmheap_alloc()
 *	promises for @size.
 * @flags: KMHEAP_CACHE_* bits; unknown ones are refused.
 * @ctor: called for each object that is allocated, in the context of the allocation.
 *
 * New fields come at the end.
 */
struct kmheap_cache_args {
	const char *name;
	size_t size;
	size_t align;
	unsigned int flags;
	void (*ctor)(void *p);
};

struct kmheap_cache;		/* opaque */

enum kmheap_object_state {
	KMHEAP_OBJECT_LIVE,		/* allocated, not freed */
	KMHEAP_OBJECT_FREE,		/* a slot without an object */
	KMHEAP_OBJECT_REMOTE,		/* freed, not yet folded into its span */
	KMHEAP_OBJECT_DEFERRED,		/* freed with kmheap_free_rcu(), not yet expired */
	KMHEAP_OBJECT_PAGES,		/* a run of kmheap_alloc_pages() */
};

/**
 * struct kmheap_object - what kmheap_lookup() found at an address
 * @heap: the heap the address belongs to.
 * @base: first byte of the object that holds the address.
 * @bytes: usable bytes of that object.
 * @state: whether the object is live.
 * @data: true when it was allocated as data (holds no pointers).
 */
struct kmheap_object {
	struct kmheap *heap;
	void *base;
	size_t bytes;
	enum kmheap_object_state state;
	bool data;
};

/**
 * struct kmheap_stats - one heap in figures
 * @footprint_bytes: taken from the kernel: arenas and metadata.
 * @live_bytes: in live objects and runs of pages.
 * @free_bytes: in free pages, and in free slots of spans that no CPU caches.
 * @cached_bytes: in what CPUs and nodes keep to be used again.
 * @deferred_bytes: freed with kmheap_free_rcu() and not yet free.
 * @waste_bytes: lost to rounding up to pages, and at the end of spans and arenas.
 * @metadata_bytes: descriptors, tables, records of finalizers and weak handles.
 * @limit_bytes: the hard limit; 0 for none.
 * @live_objects: allocated and not freed; runs of pages are not counted.
 * @arenas: vmalloc areas and blocks of pages.
 * @spans: runs of pages that are in use.
 * @allocs: objects ever allocated.
 * @frees: @allocs - @live_objects.
 * @refused_allocs: allocations that got nothing.
 * @reserve_bytes: free pages now wanted for callers that cannot sleep.
 * @reserve_peak_bytes: the most that @reserve_bytes has been.
 * @reserve_missing_bytes: what the worker has yet to fetch of it.
 * @reserve_served_task: fresh spans made for allocations that could not sleep, in tasks,
 * @reserve_served_softirq: in softirqs,
 * @reserve_served_hardirq: in interrupts,
 * @reserve_served_nmi: and in NMIs, with objects taken off a shelf.
 * @reserve_refused_task: of @refused_allocs, those that could not sleep, in tasks,
 * @reserve_refused_softirq: in softirqs,
 * @reserve_refused_hardirq: in interrupts,
 * @reserve_refused_nmi: and in NMIs.
 * @double_frees: frees of what was free already.
 * @invalid_frees: frees of what is no object.
 * @wrong_size_frees: sized frees with a size of another class.
 * @manual_bytes: in runs of kmheap_alloc_pages(); part of @live_bytes.
 * @deferred_objects: objects in @deferred_bytes.
 * @deferred_limit_bytes: growing waits for a grace period above this much of @deferred_bytes.
 * @generations: how often a sweep was opened.
 * @swept_spans: spans swept for them.
 * @collections: collections that have ended.
 * @marked_objects: objects marked, over all collections.
 * @collected_objects: objects found dead by a collection and swept.
 * @collected_bytes: their usable bytes.
 * @specials: objects with a finalizer or a weak handle, or waiting for their finalizer.
 * @cpu_cache_bytes: what CPUs keep and no object needs,
 * @central_bytes: what spans without a live object keep that no CPU caches,
 * @page_heap_bytes: what is in free pages and in freed large objects that a node keeps,
 * @releasable_bytes: and in arenas without a page in use, and in free pages of blocks.
 *
 * footprint_bytes = live_bytes + free_bytes + cached_bytes + deferred_bytes +
 * waste_bytes + metadata_bytes, exactly while the heap is not in use.
 * Documentation/debugfs.rst says what each field counts. New fields come at the end.
 */
struct kmheap_stats {
	u64 footprint_bytes;
	u64 live_bytes;
	u64 free_bytes;
	u64 cached_bytes;
	u64 deferred_bytes;
	u64 waste_bytes;
	u64 metadata_bytes;
	u64 limit_bytes;
	u64 live_objects;
	u64 arenas;
	u64 spans;
	u64 allocs;
	u64 frees;
	u64 refused_allocs;
	u64 reserve_bytes;
	u64 reserve_peak_bytes;
	u64 reserve_missing_bytes;
	u64 reserve_served_task;
	u64 reserve_served_softirq;
	u64 reserve_served_hardirq;
	u64 reserve_served_nmi;
	u64 reserve_refused_task;
	u64 reserve_refused_softirq;
	u64 reserve_refused_hardirq;
	u64 reserve_refused_nmi;
	u64 double_frees;
	u64 invalid_frees;
	u64 wrong_size_frees;
	u64 manual_bytes;
	u64 deferred_objects;
	u64 deferred_limit_bytes;
	u64 generations;
	u64 swept_spans;
	u64 collections;
	u64 marked_objects;
	u64 collected_objects;
	u64 collected_bytes;
	u64 specials;
	u64 cpu_cache_bytes;
	u64 central_bytes;
	u64 page_heap_bytes;
	u64 releasable_bytes;
};

/**
 * struct kmheap_ticket - objects that kmheap_prefill() has reserved
 * @next: the object that is taken next; its first word points to the one after it.
 * @left: how many objects there are.
 *
 * A ticket is the caller's, on its stack for instance. The members are kmheap's.
 */
struct kmheap_ticket {
	void *next;
	size_t left;
};

#define KMHEAP_TICKET_INIT	{ .next = NULL, .left = 0 }

/**
 * typedef kmheap_trim_fn - what the owner of a heap does when its soft limit is exceeded
 * @heap: the heap.
 * @over_bytes: by how much its footprint is above the soft limit.
 * @data: what kmheap_set_soft_limit() was given.
 *
 * Context: A workqueue; may sleep, and allocate and free in @heap.
 */
typedef void (*kmheap_trim_fn)(struct kmheap *heap, size_t over_bytes, void *data);

struct kmheap *kmheap_create(const char *name, const struct kmheap_attr *attr) __must_check;
void kmheap_destroy(struct kmheap *heap);

/*
 * The functions behind the allocating macros below. On kernels with allocation
 * profiling the macros charge arenas to the caller's line; call the macros.
 */
void kmheap_free(const void *p);

void *kmheap_alloc_class_noprof(struct kmheap *heap, unsigned long spanclass, gfp_t gfp,
				size_t size) __malloc __alloc_size(4) __must_check;
void *kmheap_alloc_any_noprof(struct kmheap *heap, size_t size, gfp_t gfp)
	__malloc __alloc_size(2) __must_check;
void *kmheap_alloc_array_any_noprof(struct kmheap *heap, size_t n, size_t size, gfp_t gfp)
	__malloc __alloc_size(2, 3) __must_check;
void *kmheap_alloc_data_noprof(struct kmheap *heap, size_t size, gfp_t gfp)
	__malloc __alloc_size(2) __must_check;
void *kmheap_alloc_node_noprof(struct kmheap *heap, size_t size, gfp_t gfp, int nid)
	__malloc __alloc_size(2) __must_check;
void *kmheap_alloc_aligned_noprof(struct kmheap *heap, size_t size, size_t align, gfp_t gfp)
	__malloc __alloc_size(2) __must_check;
void *kmheap_realloc_noprof(struct kmheap *heap, const void *p, size_t size, gfp_t gfp)
	__realloc_size(3) __must_check;
void *kmheap_memdup_noprof(struct kmheap *heap, const void *src, size_t len, gfp_t gfp)
	__malloc __alloc_size(3) __must_check;
char *kmheap_strdup_noprof(struct kmheap *heap, const char *s, gfp_t gfp)
	__malloc __must_check;
void *kmheap_alloc_run_noprof(struct kmheap *heap, size_t bytes, gfp_t gfp)
	__malloc __alloc_size(2) __must_check;
void *kmheap_alloc_user_noprof(struct kmheap *heap, size_t size, gfp_t gfp)
	__malloc __alloc_size(2) __must_check;
size_t kmheap_alloc_bulk_noprof(struct kmheap *heap, size_t size, gfp_t gfp, size_t n, void **p);
int kmheap_prefill_noprof(struct kmheap_ticket *t, struct kmheap *heap, size_t size, size_t n,
			  gfp_t gfp) __must_check;

/* Does its class say all about @size? Not with KASAN, which has to know each byte. */
static __always_inline bool kmheap_is_class(size_t size)
{
	return !IS_ENABLED(CONFIG_KASAN_GENERIC) && __builtin_constant_p(size) &&
	       size && size <= KMHEAP_MAX_SMALL;
}

/*
 * A constant size becomes its class at compile time; any other size is looked up. What the
 * compiler tells FORTIFY_SOURCE about the object comes from the function that is called last,
 * because the attribute of an inline function is gone by then. So that function is passed the
 * size as well.
 */
static __always_inline __must_check
void *kmheap_alloc_noprof(struct kmheap *heap, size_t size, gfp_t gfp)
{
	if (kmheap_is_class(size))
		return kmheap_alloc_class_noprof(heap, 2 * kmheap_size_class(size), gfp, size);
	return kmheap_alloc_any_noprof(heap, size, gfp);
}

static __always_inline __must_check
void *kmheap_alloc_array_noprof(struct kmheap *heap, size_t n, size_t size, gfp_t gfp)
{
	size_t bytes = size_mul(n, size);

	if (kmheap_is_class(bytes))
		return kmheap_alloc_noprof(heap, bytes, gfp);
	return kmheap_alloc_array_any_noprof(heap, n, size, gfp);
}

/* A number of pages whose bytes overflow is refused like SIZE_MAX. */
static __always_inline __must_check
void *kmheap_alloc_pages_noprof(struct kmheap *heap, unsigned long npages, gfp_t gfp)
{
	return kmheap_alloc_run_noprof(heap, size_mul(npages, KMHEAP_PAGE_SIZE), gfp);
}

#ifdef alloc_hooks
#define kmheap_hooks(call)	alloc_hooks(call)
#else
#define kmheap_hooks(call)	(call)
#endif

/**
 * kmheap_alloc() - allocate an object
 * @heap: the heap; NULL for the default heap.
 * @size: bytes; 0 gives ZERO_SIZE_PTR.
 * @gfp: GFP_KERNEL and friends where the caller may sleep, GFP_ATOMIC or GFP_NOWAIT where
 *	not. __GFP_ZERO clears every usable byte. NOFS and NOIO, by flag or by scope,
 *	are kept. __GFP_NOFAIL is not: it warns, and NULL may still be returned. DMA zones
 *	give NULL with a warning. Other flags have no effect.
 *
 * Objects of up to 32 KiB are aligned to the largest power of two that divides @size, at
 * least 8 bytes. Objects over 32 KiB come in pages of 8 KiB and are aligned to those.
 *
 * Context: Any, NMI included, if @gfp does not allow sleeping; callers that cannot
 * sleep get what is there without asking the kernel.
 * Return: the object, or NULL. Lack of memory and over-large sizes are counted in
 * refused_allocs; over-large sizes warn unless __GFP_NOWARN.
 */
#define kmheap_alloc(heap, size, gfp) \
	kmheap_hooks(kmheap_alloc_noprof(heap, size, gfp))

/**
 * kmheap_zalloc() - allocate a zeroed object
 * @heap: the heap; NULL for the default heap.
 * @size: bytes; 0 gives ZERO_SIZE_PTR.
 * @gfp: as for kmheap_alloc().
 *
 * Context: What @gfp says.
 * Return: as for kmheap_alloc().
 */
#define kmheap_zalloc(heap, size, gfp) \
	kmheap_hooks(kmheap_alloc_noprof(heap, size, (gfp) | __GFP_ZERO))

/**
 * kmheap_alloc_data() - allocate an object that holds no pointers
 * @heap: the heap; NULL for the default heap.
 * @size: bytes; 0 gives ZERO_SIZE_PTR.
 * @gfp: as for kmheap_alloc().
 *
 * Data never shares a span with objects that may hold pointers. Objects of up to
 * 12 bytes are packed, several to a block of 16 bytes, and are aligned to 8 bytes
 * if their size is a multiple of 8 and to 4 otherwise.
 *
 * Context: What @gfp says.
 * Return: as for kmheap_alloc().
 */
#define kmheap_alloc_data(heap, size, gfp) \
	kmheap_hooks(kmheap_alloc_data_noprof(heap, size, gfp))

/**
 * kmheap_alloc_node() - allocate memory of a node
 * @heap: the heap; NULL for the default heap.
 * @size: bytes; 0 gives ZERO_SIZE_PTR.
 * @gfp: as for kmheap_alloc(); with __GFP_THISNODE no other node will do.
 * @nid: the node; NUMA_NO_NODE for the caller's. A node without memory stands for the
 *	first one that has some.
 *
 * Context: What @gfp says.
 * Return: as for kmheap_alloc(); NULL with a warning for a node that does not exist.
 */
#define kmheap_alloc_node(heap, size, gfp, nid) \
	kmheap_hooks(kmheap_alloc_node_noprof(heap, size, gfp, nid))

/**
 * kmheap_alloc_aligned() - allocate at an alignment
 * @heap: the heap; NULL for the default heap.
 * @size: bytes; 0 gives ZERO_SIZE_PTR.
 * @align: a power of two, up to 4 MiB.
 * @gfp: as for kmheap_alloc().
 *
 * Free it with kmheap_free(); for kmheap_free_sized() the size is kmheap_size().
 *
 * Context: What @gfp says.
 * Return: as for kmheap_alloc(); NULL with a warning for a bad alignment.
 */
#define kmheap_alloc_aligned(heap, size, align, gfp) \
	kmheap_hooks(kmheap_alloc_aligned_noprof(heap, size, align, gfp))

/**
 * kmheap_alloc_user() - allocate pages that user space is to map
 * @heap: the heap, not one with KMHEAP_LINEAR; NULL for the default heap.
 * @size: bytes.
 * @gfp: as for kmheap_alloc(), and must allow sleeping; the object is zeroed without __GFP_ZERO,
 *	too.
 *
 * The object is whole pages of a vmalloc area of its own, as from vmalloc_user(), which
 * remap_vmalloc_range() takes. It is data (kmheap_alloc_data()), begins at a multiple of
 * KMHEAP_PAGE_SIZE, counts in the heap's figures and limits like any other, and is freed by
 * kmheap_free() and its kin. Then the area goes to vfree() after a grace period, and nobody is
 * given its pages before: those that user space has mapped stay as they are until they are
 * unmapped.
 *
 * Context: Process context; sleeps.
 * Return: the object; NULL when memory ran out, a limit forbids it, @gfp does not allow sleeping,
 * @size is 0 or more than the machine has, or the heap is linear (counted in refused_allocs).
 */
#define kmheap_alloc_user(heap, size, gfp) \
	kmheap_hooks(kmheap_alloc_user_noprof(heap, size, gfp))

/**
 * kmheap_alloc_array() - allocate an array
 * @heap: the heap; NULL for the default heap.
 * @n: number of elements.
 * @size: bytes per element.
 * @gfp: as for kmheap_alloc().
 *
 * Context: What @gfp says.
 * Return: as for kmheap_alloc(); NULL when @n * @size overflows.
 */
#define kmheap_alloc_array(heap, n, size, gfp) \
	kmheap_hooks(kmheap_alloc_array_noprof(heap, n, size, gfp))

/**
 * kmheap_calloc() - allocate a zeroed array
 * @heap: the heap; NULL for the default heap.
 * @n: number of elements.
 * @size: bytes per element.
 * @gfp: as for kmheap_alloc().
 *
 * Context: What @gfp says.
 * Return: as for kmheap_alloc_array().
 */
#define kmheap_calloc(heap, n, size, gfp) \
	kmheap_hooks(kmheap_alloc_array_noprof(heap, n, size, (gfp) | __GFP_ZERO))

/**
 * kmheap_realloc() - change the size of an object
 * @heap: where to allocate when @p is NULL; otherwise @p's own heap is used.
 * @p: the object; NULL or ZERO_SIZE_PTR to allocate one.
 * @size: bytes; 0 frees @p.
 * @gfp: as for kmheap_alloc(). As with krealloc(), __GFP_ZERO clears added bytes
 *	only if every allocation of the object, by this function too, asked for that.
 *
 * The object stays where it is while @size fits, at the alignment it has. Data stays data.
 * An object that moves becomes what kmheap_alloc() of @size returns: an alignment or a node that
 * was asked for is lost.
 *
 * Context: What @gfp says.
 * Return: the object; ZERO_SIZE_PTR for size 0; NULL, with @p unchanged, when memory ran
 * out, when an object with a finalizer or a weak handle would have to move (both counted in
 * refused_allocs), or when @p is no live object (reported).
 */
#define kmheap_realloc(heap, p, size, gfp) \
	kmheap_hooks(kmheap_realloc_noprof(heap, p, size, gfp))

/**
 * kmheap_memdup() - copy memory into a new object
 * @heap: the heap; NULL for the default heap.
 * @src: what to copy; may hold pointers.
 * @len: bytes.
 * @gfp: as for kmheap_alloc().
 *
 * Context: What @gfp says.
 * Return: the copy, or NULL.
 */
#define kmheap_memdup(heap, src, len, gfp) \
	kmheap_hooks(kmheap_memdup_noprof(heap, src, len, gfp))

/**
 * kmheap_strdup() - copy a string into a new object, as data
 * @heap: the heap; NULL for the default heap.
 * @s: the string, or NULL.
 * @gfp: as for kmheap_alloc().
 *
 * Context: What @gfp says.
 * Return: the copy; NULL when @s is NULL or memory ran out.
 */
#define kmheap_strdup(heap, s, gfp) \
	kmheap_hooks(kmheap_strdup_noprof(heap, s, gfp))

/**
 * kmheap_alloc_bulk() - allocate many objects of one size
 * @heap: the heap; NULL for the default heap.
 * @size: bytes each.
 * @gfp: as for kmheap_alloc().
 * @n: how many.
 * @p: where to put them.
 *
 * Context: What @gfp says.
 * Return: how many were allocated, into the first entries of @p; less than @n when memory ran out.
 */
#define kmheap_alloc_bulk(heap, size, gfp, n, p) \
	kmheap_hooks(kmheap_alloc_bulk_noprof(heap, size, gfp, n, p))

/**
 * kmheap_prefill() - reserve objects before a lock is taken
 * @t: the ticket, empty or new, because what it held before is forgotten.
 * @heap: the heap, not a collected one; NULL for the default heap.
 * @size: bytes each, not 0.
 * @n: how many; may be 0.
 * @gfp: as for kmheap_alloc(). With __GFP_ZERO the objects that kmheap_take() returns are
 *	zeroed. Without it the first word of an object is zero, and the rest is undefined.
 *
 * Until they are taken, or kmheap_ticket_end() gives them back, the objects count as live.
 * A ticket that is never ended is a leak, and reported as such when the heap ends.
 *
 * Context: What @gfp says.
 * Return: 0; -ENOMEM, and an empty ticket, when not all of the objects could be allocated; -EINVAL,
 * and an empty ticket, for @size 0, a collected heap, and when the objects would take more than the
 * machine has.
 */
#define kmheap_prefill(t, heap, size, n, gfp) \
	kmheap_hooks(kmheap_prefill_noprof(t, heap, size, n, gfp))

void *kmheap_take(struct kmheap_ticket *t) __must_check;
void kmheap_ticket_end(struct kmheap_ticket *t);

/**
 * kmheap_alloc_pages() - allocate a run of pages that the caller manages
 * @heap: the heap; NULL for the default heap.
 * @npages: how many, of KMHEAP_PAGE_SIZE bytes.
 * @gfp: as for kmheap_alloc().
 *
 * The run is no object: kmheap_free() refuses it and no collection frees it. The run is
 * counted in manual_bytes.
 *
 * Context: What @gfp says.
 * Return: the first page, aligned to KMHEAP_PAGE_SIZE; NULL as for kmheap_alloc(), and
 * for no pages at all.
 */
#define kmheap_alloc_pages(heap, npages, gfp) \
	kmheap_hooks(kmheap_alloc_pages_noprof(heap, npages, gfp))

void kmheap_free_pages(const void *p, unsigned long npages);

/* What kmheap_free_sized() becomes; call that. */
void kmheap_free_class(const void *p, u32 sizes);
void kmheap_free_sized_any(const void *p, size_t size);

/**
 * kmheap_free_sized() - free an object whose size the caller knows
 * @p: as for kmheap_free().
 * @size: bytes asked for when the object was allocated (by kmheap_realloc() too, if that
 *	moved it), or kmheap_size(@p).
 *
 * A size of another class is reported and the object is not freed: either the pointer
 * or the size is wrong.
 *
 * Context: Any, NMI included.
 */
static __always_inline void kmheap_free_sized(const void *p, size_t size)
{
	if (kmheap_is_class(size))
		kmheap_free_class(p, size << 16 | kmheap_class_bytes[kmheap_size_class(size)]);
	else
		kmheap_free_sized_any(p, size);
}

void kmheap_free_sensitive(const void *p);
void kmheap_free_bulk(size_t n, void **p);

void kmheap_free_rcu(const void *p);
void kmheap_rcu_barrier(struct kmheap *heap);

/* Typed caches. */

struct kmheap_cache *kmheap_cache_create_sized(struct kmheap *heap,
					       const struct kmheap_cache_args *args, size_t bytes)
	__must_check;

/**
 * kmheap_cache_create() - make a cache of typed objects
 * @heap: the heap that the objects are of, not a collected one; NULL for the default heap.
 * @args: name, size, alignment, flags, constructor.
 *
 * A cache costs a descriptor: the objects come from the heap as those of kmheap_alloc() do, count
 * in its figures and under its limits, and stay its objects. Nothing of a freed one is kept: the
 * constructor runs for each that is allocated. The cache knows its objects: those that are live
 * stand in debugfs (caches), what is left when it is destroyed is reported with its name, and an
 * object of another cache is not freed by kmheap_cache_free(). kmheap_free() and
 * kmheap_free_rcu() free an object of any cache.
 *
 * With KMHEAP_CACHE_TYPESAFE_BY_RCU each free, kmheap_free() included, is a kmheap_free_rcu(), made
 * where RCU is watching: who has found an object under rcu_read_lock() may look at it, and finds
 * what it was when it was freed, until rcu_read_unlock(). The memory is no other object before, not
 * even one of the same cache.
 *
 * Context: Process context; sleeps.
 * Return: the cache, or an ERR_PTR: -EINVAL, with a message, for a name, a size, an alignment or a
 * flag that cannot be had, and for a collected heap; -ENOSPC, with a message, when the heap has 25
 * caches; -ENOMEM.
 */
static inline __must_check struct kmheap_cache *
kmheap_cache_create(struct kmheap *heap, const struct kmheap_cache_args *args)
{
	return kmheap_cache_create_sized(heap, args, sizeof(*args));
}

void kmheap_cache_destroy(struct kmheap_cache *cache);
void *kmheap_cache_alloc_noprof(struct kmheap_cache *cache, gfp_t gfp) __malloc __must_check;
void *kmheap_cache_alloc_node_noprof(struct kmheap_cache *cache, gfp_t gfp, int nid)
	__malloc __must_check;
size_t kmheap_cache_alloc_bulk_noprof(struct kmheap_cache *cache, gfp_t gfp, size_t n, void **p);
void kmheap_cache_free(struct kmheap_cache *cache, const void *p);
void kmheap_cache_free_rcu(struct kmheap_cache *cache, const void *p);
void kmheap_cache_free_bulk(struct kmheap_cache *cache, size_t n, void **p);
void kmheap_cache_describe_sized(const struct kmheap_cache *cache,
				 struct kmheap_cache_args *args, size_t bytes);

/**
 * kmheap_cache_describe() - what a cache is
 * @cache: the cache.
 * @args: filled in as for kmheap_cache_create(); the alignment is the one that is kept.
 *
 * Context: Any.
 */
static inline void kmheap_cache_describe(const struct kmheap_cache *cache,
					 struct kmheap_cache_args *args)
{
	kmheap_cache_describe_sized(cache, args, sizeof(*args));
}

/**
 * kmheap_cache_alloc() - allocate an object of a cache
 * @cache: the cache.
 * @gfp: as for kmheap_alloc(). __GFP_ZERO is refused, with a warning, if there is a constructor.
 *
 * Context: What @gfp says.
 * Return: the object, constructed; NULL as for kmheap_alloc().
 */
#define kmheap_cache_alloc(cache, gfp) \
	kmheap_hooks(kmheap_cache_alloc_noprof(cache, gfp))

/**
 * kmheap_cache_zalloc() - allocate a zeroed object of a cache
 * @cache: the cache, without a constructor.
 * @gfp: as for kmheap_alloc().
 *
 * Context: What @gfp says.
 * Return: as for kmheap_cache_alloc().
 */
#define kmheap_cache_zalloc(cache, gfp) \
	kmheap_hooks(kmheap_cache_alloc_noprof(cache, (gfp) | __GFP_ZERO))

/**
 * kmheap_cache_alloc_node() - allocate an object of a cache from memory of a node
 * @cache: the cache.
 * @gfp: as for kmheap_cache_alloc(), and kmheap_alloc_node().
 * @nid: as for kmheap_alloc_node().
 *
 * Context: What @gfp says.
 * Return: as for kmheap_cache_alloc(), and kmheap_alloc_node().
 */
#define kmheap_cache_alloc_node(cache, gfp, nid) \
	kmheap_hooks(kmheap_cache_alloc_node_noprof(cache, gfp, nid))

/**
 * kmheap_cache_alloc_bulk() - allocate many objects of a cache
 * @cache: the cache.
 * @gfp: as for kmheap_cache_alloc().
 * @n: how many.
 * @p: where to put them.
 *
 * Context: What @gfp says.
 * Return: how many were allocated, into the first entries of @p; less than @n when memory ran out.
 */
#define kmheap_cache_alloc_bulk(cache, gfp, n, p) \
	kmheap_hooks(kmheap_cache_alloc_bulk_noprof(cache, gfp, n, p))

/* Mempools of the kernel with elements of a cache, or of a heap. */

/**
 * struct kmheap_mempool_size - the pool_data of kmheap_mempool_alloc_sized()
 * @heap: the heap of the elements; NULL for the default heap.
 * @bytes: the size of each.
 */
struct kmheap_mempool_size {
	struct kmheap *heap;
	size_t bytes;
};

void *kmheap_mempool_alloc(gfp_t gfp, void *cache);
void kmheap_mempool_free(void *p, void *cache);
void *kmheap_mempool_alloc_sized(gfp_t gfp, void *of);
void kmheap_mempool_free_sized(void *p, void *of);

/* Collected heaps. */
int kmheap_collect_begin(struct kmheap *heap);
bool kmheap_mark(struct kmheap *heap, const void *addr);
int kmheap_collect_end(struct kmheap *heap);

/* Side data of single objects, in any heap. */

/**
 * typedef kmheap_finalizer_fn - what is called when an object has died
 * @p: the object; its contents are as they were, and it is free after the return.
 * @arg: what kmheap_set_finalizer() was given.
 *
 * Context: Process context; may sleep, allocate and free.
 */
typedef void (*kmheap_finalizer_fn)(void *p, void *arg);
int kmheap_set_finalizer(void *p, kmheap_finalizer_fn fn, void *arg);

struct kmheap_weak;		/* opaque; a pointer that does not keep its object */
struct kmheap_weak *kmheap_weak_create(void *p);
void *kmheap_weak_get(const struct kmheap_weak *weak);
void kmheap_weak_destroy(struct kmheap_weak *weak);

size_t kmheap_size(const void *p);
bool kmheap_lookup(const void *addr, struct kmheap_object *obj);
bool kmheap_check_object(const void *p, size_t n);
bool kmheap_owns(const void *p);
bool kmheap_is_linear(const void *p);
size_t kmheap_shrink(struct kmheap *heap);
int kmheap_set_limit(struct kmheap *heap, size_t bytes);
int kmheap_set_soft_limit(struct kmheap *heap, size_t bytes, kmheap_trim_fn trim, void *data);
int kmheap_set_reserve(struct kmheap *heap, size_t bytes);
int kmheap_stats_sized(struct kmheap *heap, void *st, size_t bytes);

/**
 * kmheap_stats() - a heap in figures
 * @heap: the heap; NULL for the default heap.
 * @st: filled in. A client that was built with an older header gets the fields that it knows; for a
 *	client built with a newer header the fields that the module does not know are zero.
 *
 * Context: Process context; sleeps. Takes time in proportion to the heap.
 * Return: 0; -ENOMEM, and all zero, when memory for the walk ran out.
 */
static inline int kmheap_stats(struct kmheap *heap, struct kmheap_stats *st)
{
	return kmheap_stats_sized(heap, st, sizeof(*st));
}

#ifdef DEFINE_FREE
/* void *p __free(kmheap) = kmheap_alloc(...): freed when p leaves its scope. */
DEFINE_FREE(kmheap, void *, if (!IS_ERR_OR_NULL(_T)) kmheap_free(_T))
/* struct kmheap *h __free(kmheap_heap) = kmheap_create(...): destroyed at the end of the scope. */
DEFINE_FREE(kmheap_heap, struct kmheap *, if (!IS_ERR_OR_NULL(_T)) kmheap_destroy(_T))
/* struct kmheap_ticket t __free(kmheap_ticket) = KMHEAP_TICKET_INIT: ended there, too. */
DEFINE_FREE(kmheap_ticket, struct kmheap_ticket, kmheap_ticket_end(&_T))
#endif

#endif /* _LINUX_KMHEAP_H */
