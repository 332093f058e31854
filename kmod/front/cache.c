// SPDX-License-Identifier: GPL-2.0
/*
 * Typed caches: objects of one size, alignment and constructor, counted by themselves.
 *
 * A cache has no memory of its own: its objects come from the class of the heap that its size and
 * alignment have, and go back there. What makes an object one of the cache is its cell, which has
 * the value of the cache where that of any other live object is LIVE (enum in mspan.h). So a cache
 * is a descriptor and a number below 26, an allocation stores another byte than kmheap_alloc()
 * does, a free compares with it, and who wants to know how many objects are live counts cells.
 * kmheap_free() and kmheap_free_rcu() take such objects as well: the claim of a cell that is not
 * LIVE finds out (kmh_slot_claim_marked()).
 *
 * Nothing of a freed object is kept, so there is nothing that a cache would have to give back. The
 * constructor is called for each object that is allocated. And where readers may look at an object
 * after its free (KMHEAP_CACHE_TYPESAFE_BY_RCU), its slot waits for a grace period, as that of
 * kmheap_free_rcu() does: until then it is not allocated at all, by no type.
 */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/export.h>
#include <linux/log2.h>
#include <linux/string.h>

#include "front/front.h"
#include "base/budget.h"
#include "base/fixalloc.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/arenamap.h"

static struct kmh_fixalloc kmh_cache_pool;

void kmh_cache_pool_init(void)
{
	/* The cells below KMH_CELL_OUT are those of live objects. */
	BUILD_BUG_ON(KMH_CELL_SAMPLED != 1 || KMH_CELL_TAG + KMH_CELL_TAGS > 255);
	BUILD_BUG_ON(KMH_CACHES >= BITS_PER_LONG);
	kmh_fixalloc_init(&kmh_cache_pool, "cache", sizeof(struct kmheap_cache), sizeof(long));
	kmh_fixalloc_share(&kmh_cache_pool);
}

void kmh_cache_pool_destroy(void)
{
	kmh_fixalloc_destroy(&kmh_cache_pool);
}

/* ---- live objects */

static void kmh_cache_count_span(struct kmh_mspan *s, void *ctx)
{
	struct kmh_cache_counts *counts = ctx;
	unsigned int slot;
	u8 cell;

	if (s->state != KMH_SPAN_SMALL)
		return;
	for (slot = 0; slot < s->nelems; slot++) {
		cell = READ_ONCE(s->cell[slot]);
		if (!kmh_cell_live(cell))
			continue;
		counts->live[kmh_cell_cache(cell)]++;
		/*
		 * Whoever frees the object meanwhile finds LIVE, or we find its cell. The span may
		 * have gone since, and its descriptor be another heap's; but a live object of the
		 * cache keeps it, and nobody frees into a cache that is being destroyed.
		 */
		if (kmh_cell_cache(cell) == counts->disown && READ_ONCE(s->heap) == counts->heap &&
		    kmh_span_of(kmh_mspan_slot_addr(s, slot)) == s)
			cmpxchg(&s->cell[slot], cell, cell & KMH_CELL_SAMPLED);
	}
}

/*
 * Count the live objects of each cache of a heap; number 0 is those of none. Those of cache
 * @counts->disown (0: nobody's) are the heap's from then on. Context: process context; sleeps.
 */
void kmh_caches_count(struct kmheap *heap, struct kmh_cache_counts *counts)
{
	struct kmh_arena *a;

	lockdep_assert_held(&heap->caches.mutex);
	memset(counts->live, 0, sizeof(counts->live));
	counts->heap = heap;
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		kmh_walk_spans(a, kmh_cache_count_span, counts);
	mutex_unlock(&heap->arenas_mutex);
}

/* ---- a cache begins */

/* The alignment that @args ask for; 0 for none that can be had. */
static size_t kmh_cache_align(const struct kmheap *heap, const struct kmheap_cache_args *args)
{
	size_t align = max_t(size_t, args->align, sizeof(long)), line = cache_line_size();

	if (!args->size || !is_power_of_2(align) || align > KMH_PAGE_SIZE)
		return 0;
	/* As in the kernel, small objects share a line, if none lies in two. */
	while (!(heap->flags & KMHEAP_HWCACHE_ALIGN) && args->size <= line / 2)
		line /= 2;
	if (heap->flags & KMHEAP_HWCACHE_ALIGN || args->flags & KMHEAP_CACHE_HWCACHE_ALIGN)
		align = max(align, line);
	return align;
}

/* The class of the objects; 0 when there is none. */
static unsigned int kmh_cache_class(const struct kmheap *heap, size_t size, size_t align)
{
	if (size > KMHEAP_MAX_SMALL || !align)
		return 0;
	if (!kmh_heap_sanitized(heap))
		return kmh_size_to_class_aligned(size, align);
	/* With a redzone, and as aligned as kmheap_alloc() promises: it must have a cell. */
	return size + KMH_REDZONE_BYTES > KMHEAP_MAX_SMALL ? 0 :
	       kmh_size_to_class_aligned(size + KMH_REDZONE_BYTES, max(align, size & -size));
}

/* Return: the class, or 0 after a message that says what cannot be kept. */
static unsigned int kmh_cache_check(const struct kmheap *heap, const struct kmheap_cache_args *args)
{
	unsigned int class = kmh_cache_class(heap, args->size, kmh_cache_align(heap, args));

	if (!kmh_name_ok(args->name))
		pr_err("heap %s: the name of a cache has 1 to %u characters of printable ASCII, no '/', no leading '.'\n",
		       heap->name, KMH_NAME_MAX);
	else if (args->flags & ~KMH_CACHE_FLAGS)
		pr_err("heap %s: cache %s: flags %#x, only those of %#lx are known\n", heap->name,
		       args->name, args->flags, KMH_CACHE_FLAGS);
	else if (kmh_heap_collected(heap))
		pr_err("heap %s: cache %s: a collected heap can have none\n", heap->name,
		       args->name);
	else if (!class)
		pr_err("heap %s: cache %s: size %zu, alignment %zu: up to %lu bytes, aligned to a power of two up to %lu\n",
		       heap->name, args->name, args->size, args->align,
		       KMHEAP_MAX_SMALL - KMH_REDZONE_BYTES, KMH_PAGE_SIZE);
	else
		return class;
	return 0;
}

/* A descriptor that nobody has. Context: process context; sleeps. Return: ERR_PTR. */
static struct kmheap_cache *kmh_cache_get(void)
{
	struct kmheap_cache *cache;
	int err;

	while (!(cache = kmh_fixalloc_get(&kmh_cache_pool))) {
		err = kmh_fixalloc_refill(&kmh_cache_pool, 1, GFP_KERNEL);
		if (err)
			return ERR_PTR(-ENOMEM);
	}
	return cache;
}

static void kmh_cache_fill(struct kmheap_cache *cache, struct kmheap *heap, unsigned int class,
			   const struct kmheap_cache_args *args)
{
	cache->heap = heap;
	cache->ctor = args->ctor;
	cache->size = args->size;
	cache->align = kmh_cache_align(heap, args);
	cache->flags = args->flags;
	cache->spanclass = kmh_spanclass(class, false);
	cache->keeps_type = args->flags & KMHEAP_CACHE_TYPESAFE_BY_RCU;
	cache->careful_alloc = args->ctor || kmh_heap_sanitized(heap) || want_init_on_alloc(0);
	cache->careful_free = cache->keeps_type;
	cache->ended = false;
	strscpy(cache->name, args->name, sizeof(cache->name));
}

/*
 * Give the cache a number, and with it a value for cells. Return: 0; -ENOSPC when all are taken,
 * -ENOMEM when a limit forbids the descriptor.
 */
static int kmh_cache_enter(struct kmheap *heap, struct kmheap_cache *cache)
{
	unsigned int i = 1;
	int err = -ENOSPC;

	if (!kmh_heap_book_side(heap, sizeof(*cache)))
		return -ENOMEM;
	mutex_lock(&heap->caches.mutex);
	while (i <= KMH_CACHES && heap->caches.cache[i])
		i++;
	if (i <= KMH_CACHES) {
		cache->cell = 2 * i;
		/* The heap may get others: kmh_mcaches_make() sees the cache from here on. */
		WRITE_ONCE(cache->mcache, READ_ONCE(heap->mcache));
		WRITE_ONCE(heap->caches.keep_type,
			   heap->caches.keep_type | (cache->keeps_type ? BIT(i) : 0));
		heap->caches.cache[i] = cache;
		err = 0;
	}
	mutex_unlock(&heap->caches.mutex);
	if (err)
		kmh_heap_unbook_side(heap, sizeof(*cache));
	return err;
}

/* What kmheap_cache_create() becomes; @bytes is the size of @args where the caller was built. */
struct kmheap_cache *kmheap_cache_create_sized(struct kmheap *heap,
					       const struct kmheap_cache_args *args, size_t bytes)
{
	struct kmheap_cache_args known = {};
	struct kmheap_cache *cache;
	unsigned int class;
	int err;

	might_sleep();
	heap = kmh_heap_or_default(heap);
	memcpy(&known, args, min(bytes, sizeof(known)));
	if (bytes > sizeof(known) &&
	    memchr_inv((const void *)args + sizeof(known), 0, bytes - sizeof(known))) {
		pr_err("heap %s: cache %s: an argument that only a newer kmheap.ko knows\n",
		       heap->name, known.name);
		return ERR_PTR(-EINVAL);
	}
	class = kmh_cache_check(heap, &known);
	if (!class)
		return ERR_PTR(-EINVAL);
	cache = kmh_cache_get();
	if (IS_ERR(cache))
		return cache;
	kmh_cache_fill(cache, heap, class, &known);
	err = kmh_cache_enter(heap, cache);
	if (!err)
		return cache;
	cache->ended = true;
	kmh_fixalloc_put(&kmh_cache_pool, cache);
	if (err == -ENOSPC)
		pr_err("heap %s: cache %s: a heap has at most %u caches\n", heap->name, known.name,
		       KMH_CACHES);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(kmheap_cache_create_sized);

/* ---- a cache ends */

/* The cache is no cache from here on. Return: how many objects it has left to the heap. */
static u64 kmh_cache_leave_locked(struct kmheap *heap, struct kmheap_cache *cache)
{
	unsigned int number = kmh_cell_cache(cache->cell);
	struct kmh_cache_counts counts = { .disown = number };

	lockdep_assert_held(&heap->caches.mutex);
	WRITE_ONCE(cache->careful_alloc, true);
	WRITE_ONCE(cache->careful_free, true);
	WRITE_ONCE(cache->ended, true);
	WRITE_ONCE(cache->cell, KMH_CELL_LIVE);
	kmh_caches_count(heap, &counts);
	WRITE_ONCE(heap->caches.keep_type, heap->caches.keep_type & ~BIT(number));
	heap->caches.cache[number] = NULL;
	kmh_heap_unbook_side(heap, sizeof(*cache));
	return counts.live[number];
}

/**
 * kmheap_cache_destroy() - end a cache
 * @cache: the cache; NULL and ERR_PTR do nothing. One that has been destroyed is warned about.
 *
 * Objects that are still live are reported, with the name of the cache. They are the heap's from
 * then on: kmheap_free() frees them. What waits for a grace period has been freed and keeps the
 * cache no longer. Takes time in proportion to the heap.
 *
 * Context: Process context; sleeps. Nobody allocates from the cache any more, or frees an object of
 * it, in whatever way, before this has returned.
 */
void kmheap_cache_destroy(struct kmheap_cache *cache)
{
	struct kmheap *heap;
	u64 live;

	might_sleep();
	if (IS_ERR_OR_NULL(cache))
		return;
	if (WARN(READ_ONCE(cache->ended), "kmheap: cache %s: destroyed twice\n", cache->name))
		return;
	heap = cache->heap;
	mutex_lock(&heap->caches.mutex);
	live = kmh_cache_leave_locked(heap, cache);
	mutex_unlock(&heap->caches.mutex);
	if (live)
		pr_warn("heap %s: cache %s destroyed with %llu live objects of %u bytes\n",
			heap->name, cache->name, live, cache->size);
	kmh_fixalloc_put(&kmh_cache_pool, cache);
}
EXPORT_SYMBOL_GPL(kmheap_cache_destroy);

/* The heap ends: report the caches that it has left. Context: process context; sleeps. */
void kmh_caches_end(struct kmheap *heap)
{
	struct kmheap_cache *cache;
	unsigned int i;
	u64 live;

	for (i = 1; i <= KMH_CACHES; i++) {
		cache = heap->caches.cache[i];
		if (!cache)
			continue;
		mutex_lock(&heap->caches.mutex);
		live = kmh_cache_leave_locked(heap, cache);
		mutex_unlock(&heap->caches.mutex);
		pr_warn("heap %s destroyed before its cache %s, which has %llu live objects of %u bytes\n",
			heap->name, cache->name, live, cache->size);
		kmh_fixalloc_put(&kmh_cache_pool, cache);
	}
}

/* ---- what allocations and frees have to look at */

/*
 * @p, a fresh object or NULL, is one of the cache. It is the caller's, so a cell that is another
 * value by now is the work of a second free of what was there before. Context: any. Return: @p.
 */
void *kmh_cache_mark(const struct kmheap_cache *cache, void *p)
{
	struct kmh_mspan *s = kmh_span_of((unsigned long)p);
	unsigned long slot;
	u8 was;

	if (unlikely(!kmh_mspan_slot_of_own(s, cache->heap, (unsigned long)p, &slot)))
		return p;
	was = READ_ONCE(s->cell[slot]);
	if (likely(was <= KMH_CELL_SAMPLED))
		cmpxchg(&s->cell[slot], was, was + READ_ONCE(cache->cell));
	return p;
}

/* May the cache serve a request at all? Otherwise that has been said. Context: any. */
bool kmh_cache_serves(const struct kmheap_cache *cache, gfp_t gfp)
{
	if (WARN_ONCE(READ_ONCE(cache->ended), "kmheap: cache %s: used after its end\n",
		      cache->name))
		return false;
	if (!WARN_ONCE(cache->ctor && gfp & __GFP_ZERO,
		       "kmheap: cache %s has a constructor: no zeroed objects\n", cache->name))
		return true;
	kmh_refused(cache->heap, cache->size, gfp, KMH_WHY_REQUEST);
	return false;
}

static bool kmh_cache_has(const struct kmheap_cache *cache, const struct kmh_mspan *s,
			  const struct kmh_where *at)
{
	return !READ_ONCE(cache->ended) && at->span == KMH_SPAN_SMALL &&
	       READ_ONCE(s->heap) == cache->heap &&
	       kmh_cell_cache(READ_ONCE(s->cell[at->slot])) == kmh_cell_cache(cache->cell);
}

/*
 * May an object at @addr be freed by the cache? Context: any; preemption off. Return: false for
 * no object, and for what is not one of the cache; but for NULL that has been reported.
 */
bool kmh_cache_may_free(const struct kmheap_cache *cache, unsigned long addr, unsigned long ip)
{
	struct kmh_mspan *s = kmh_span_of(addr);
	struct kmh_where at = {};

	kmh_assert_pinned();
	if (ZERO_OR_NULL_PTR((void *)addr) || !kmh_may_free(s, addr, &at, ip))
		return false;
	if (kmh_cache_has(cache, s, &at))
		return true;
	kmh_report_misuse(&(struct kmh_report){
		.kind = KMH_INVALID_FREE, .addr = addr, .ip = ip, .heap = at.heap,
		.what = READ_ONCE(cache->ended) ? "the cache has been destroyed" :
						  "not an object of the cache",
		.state = at.span, .object = at.base, .bytes = at.bytes, .cache = cache->name,
	});
	return false;
}

/**
 * kmheap_cache_free_rcu() - give an object back after a grace period
 * @cache: the cache that it is of.
 * @p: the object; NULL does nothing.
 *
 * As kmheap_free_rcu(), with a check that the object is of the cache.
 *
 * Context: Any, NMI included, wherever RCU is watching. Never waits, never allocates.
 */
void kmheap_cache_free_rcu(struct kmheap_cache *cache, const void *p)
{
	preempt_disable();
	if (kmh_cache_may_free(cache, (unsigned long)p, _RET_IP_))
		kmheap_free_rcu(p);
	preempt_enable();
}
EXPORT_SYMBOL_GPL(kmheap_cache_free_rcu);

/**
 * kmheap_cache_free_bulk() - give many objects back
 * @cache: the cache that they are of.
 * @n: how many.
 * @p: the objects; NULL entries are skipped.
 *
 * Context: Any, NMI included; as for kmheap_cache_free().
 */
void kmheap_cache_free_bulk(struct kmheap_cache *cache, size_t n, void **p)
{
	while (n--)
		kmh_cache_free_one(cache, *p++, _RET_IP_);
}
EXPORT_SYMBOL_GPL(kmheap_cache_free_bulk);

/* kmheap_cache_alloc_bulk(): see <linux/kmheap.h>. */
size_t kmheap_cache_alloc_bulk_noprof(struct kmheap_cache *cache, gfp_t gfp, size_t n, void **p)
{
	size_t i;

	for (i = 0; i < n; i++) {
		p[i] = kmheap_cache_alloc_noprof(cache, gfp);
		if (unlikely(!p[i]))
			break;
	}
	return i;
}
EXPORT_SYMBOL_GPL(kmheap_cache_alloc_bulk_noprof);

/* ---- elements of mempools */

/**
 * kmheap_mempool_alloc() - make an element of a mempool from a typed cache
 * @gfp: as for kmheap_cache_alloc(). __GFP_NOFAIL is the pool's affair, and ignored.
 * @cache: the cache, a struct kmheap_cache.
 *
 * A mempool_alloc_t for mempool_create() and mempool_init(), with the cache as pool_data and
 * kmheap_mempool_free() beside it. The pool is the kernel's, and ends before the cache. What it
 * keeps for hard times are live objects of the cache; the constructor runs when it gets them, and
 * not when a caller does.
 *
 * mempool_alloc() first asks without __GFP_DIRECT_RECLAIM, for whatever caller: that draws on the
 * heap's reserve for callers that cannot sleep, and is counted like those when it gets nothing.
 *
 * Context: What @gfp says.
 * Return: as for kmheap_cache_alloc().
 */
void *kmheap_mempool_alloc(gfp_t gfp, void *cache)
{
	return kmheap_cache_alloc_noprof(cache, gfp & ~__GFP_NOFAIL);
}
EXPORT_SYMBOL_GPL(kmheap_mempool_alloc);

/**
 * kmheap_mempool_free() - give an element of a mempool back to its typed cache
 * @p: the element.
 * @cache: as for kmheap_mempool_alloc().
 *
 * Context: Any, NMI included.
 */
void kmheap_mempool_free(void *p, void *cache)
{
	kmh_cache_free_one(cache, p, _RET_IP_);
}
EXPORT_SYMBOL_GPL(kmheap_mempool_free);

/**
 * kmheap_mempool_alloc_sized() - make an element of a mempool from a heap
 * @gfp: as for kmheap_alloc(). __GFP_NOFAIL is the pool's affair, and ignored.
 * @of: the heap and the bytes of an element, a struct kmheap_mempool_size.
 *
 * As kmheap_mempool_alloc(), for objects of no cache. @of is pool_data, and has to be there, as it
 * was, until the pool has ended.
 *
 * Context: What @gfp says.
 * Return: as for kmheap_alloc().
 */
void *kmheap_mempool_alloc_sized(gfp_t gfp, void *of)
{
	const struct kmheap_mempool_size *size = of;

	return kmheap_alloc_any_noprof(size->heap, size->bytes, gfp & ~__GFP_NOFAIL);
}
EXPORT_SYMBOL_GPL(kmheap_mempool_alloc_sized);

/**
 * kmheap_mempool_free_sized() - give an element of a mempool back to its heap
 * @p: the element. One of another size is reported and not freed, as by kmheap_free_sized().
 * @of: as for kmheap_mempool_alloc_sized().
 *
 * Context: Any, NMI included.
 */
void kmheap_mempool_free_sized(void *p, void *of)
{
	const struct kmheap_mempool_size *size = of;

	kmh_free_sized_one(p, size->bytes, _RET_IP_);
}
EXPORT_SYMBOL_GPL(kmheap_mempool_free_sized);

/* What kmheap_cache_describe() becomes; @bytes is the size of @args where the caller was built. */
void kmheap_cache_describe_sized(const struct kmheap_cache *cache,
				 struct kmheap_cache_args *args, size_t bytes)
{
	struct kmheap_cache_args known = {
		.name = cache->name, .size = cache->size, .align = cache->align,
		.flags = cache->flags, .ctor = cache->ctor,
	};

	memset(args, 0, bytes);
	memcpy(args, &known, min(bytes, sizeof(known)));
}
EXPORT_SYMBOL_GPL(kmheap_cache_describe_sized);
