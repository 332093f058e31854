// SPDX-License-Identifier: GPL-2.0
/*
 * The front door out: free.
 *
 * The fast path, in words: preemption off; address -> span; offset -> slot, exact; this CPU's
 * mcache of the span's heap, and its flag; is the slot's cell live? Then the magazine of the class
 * has the object, whatever span it is of. Everything else, every kind of span but small included,
 * is kmh_free_slow_unpin(). Never waits, never allocates, never fails.
 */
#include <linux/export.h>
#include <linux/string.h>

#include "front/front.h"
#include "front/hooks.h"
#include "front/traced.h"
#include "cpu/tiny.h"
#include "heap.h"
#include "span/arenamap.h"
#include "span/slot.h"

/*
 * Free an object that has a special. With a finalizer it stays as it is until that has run: its
 * slot is the special's, and the worker wipes it. A weak handle may be destroyed at any moment, and
 * with it the special; but what is claimed is ours until kmh_special_die() has told the special.
 */
static enum kmh_free_result kmh_free_special(struct kmh_mspan *s, unsigned long addr,
					     unsigned int slot)
{
	kmh_test_point("claim of an object with a special");
	if (!kmh_slot_claim_at(s, slot, addr, KMH_CELL_SPECIAL))
		return KMH_FREE_DOUBLE;
	if (!kmh_special_finalizes(s, addr))
		kmh_slot_dead(s, addr);
	return kmh_special_die(s, addr) ? KMH_FREE_OK : kmh_mspan_release_special(s, slot);
}

/*
 * The object is wiped by whoever claims it, and after the claim: before, another free may be first,
 * and what is at @addr by now somebody else's. Objects that a collection may find dead are claimed
 * with an exchange, as the sweep claims them too.
 */
static enum kmh_free_result kmh_free_small(struct kmh_mspan *s, unsigned long addr,
					   const struct kmh_where *at)
{
	bool special = unlikely(READ_ONCE(s->nspecials)) && kmh_special_exists(s, addr);

	kmh_test_point("free: slow, before the claim");
	if (special)
		return kmh_free_special(s, addr, at->slot);
	return kmh_heap_collected(s->heap) ? kmh_mspan_free_remote(s, at->slot, addr) :
					     kmh_free_slot(s, at->slot, addr);
}

/*
 * Free an object that passed the checks of its kind. @at tells that the object was live a
 * moment ago; two frees at the same time still meet at the slot's cell.
 * Context: any; preemption off, on at return.
 */
void kmh_free_located_unpin(struct kmh_mspan *s, unsigned long addr, const struct kmh_where *at,
			    unsigned long ip)
{
	enum kmh_free_result res = KMH_FREE_DOUBLE;

	kmh_assert_pinned();
	switch (READ_ONCE(s->state)) {
	case KMH_SPAN_LARGE:
		res = kmh_large_claim(s, addr, KMH_SPAN_LARGE);
		if (res == KMH_FREE_OK) {
			preempt_enable();
			kmh_large_free(s);
			return;
		}
		break;
	case KMH_SPAN_TINY:
		res = kmh_tiny_free(s, addr);
		break;
	case KMH_SPAN_SMALL:
		res = kmh_free_small(s, addr, at);
		break;
	default:	/* another free was first */
		break;
	}
	/* Preemption is still off, which keeps the heap that the report names. */
	if (unlikely(res != KMH_FREE_OK))
		kmh_misuse(KMH_DOUBLE_FREE, "freed twice", addr, s, at, ip);
	preempt_enable();
}

/* Is it a live object of a cache that lets none go before a grace period? */
static bool kmh_free_keeps_type(const struct kmh_mspan *s, unsigned long addr,
				const struct kmh_where *at)
{
	return at->span == KMH_SPAN_SMALL && at->base == addr &&
	       at->state == KMHEAP_OBJECT_LIVE &&
	       kmh_cell_keeps_type(s, READ_ONCE(s->cell[at->slot]));
}

/*
 * Report a free of a slot that was not live. Whatever is at @addr by now, another client's object
 * perhaps, is not freed. The span is looked up again, because the one that the caller found may be
 * another span by now. An object that can only be freed after a grace period is live: it waits
 * from now on. Context: any; preemption off, on at return.
 */
noinline void kmh_free_doubled_unpin(unsigned long addr, unsigned long ip)
{
	struct kmh_mspan *s = kmh_span_of(addr);
	struct kmh_where at;

	kmh_assert_pinned();
	kmh_locate(s, addr, &at);
	if (kmh_free_keeps_type(s, addr, &at)) {
		kmh_free_rcu_slow_unpin(s, addr, ip);
		return;
	}
	kmh_misuse_doubled(addr, s, &at, ip);
	preempt_enable();
}

/* All frees but those of small objects. Context: any; preemption off, on at return. */
static noinline void kmh_free_slow_unpin(unsigned long addr, struct kmh_mspan *s, unsigned long ip)
{
	struct kmh_where at = {};

	kmh_assert_pinned();
	/* The claim tells whether @addr is a live large object. */
	if (READ_ONCE(s->state) == KMH_SPAN_LARGE && !kmh_heap_sanitized(s->heap) &&
	    kmh_large_claim(s, addr, KMH_SPAN_LARGE) == KMH_FREE_OK) {
		kmh_traced_free_large(s, ip);
		preempt_enable();
		kmh_large_free(s);
		return;
	}
	/* A failed claim may mean that another span is at @addr by now: look it up again. */
	s = kmh_span_of(addr);
	if (ZERO_OR_NULL_PTR((void *)addr) || !kmh_may_free(s, addr, &at, ip)) {
		preempt_enable();
		return;
	}
	if (kmh_free_keeps_type(s, addr, &at) ||
	    (kmh_heap_sanitized(s->heap) && kmh_sanitize_defers())) {
		kmh_free_rcu_slow_unpin(s, addr, ip);
		return;
	}
	kmh_traced_free(s, &at, ip);
	if (kmh_heap_sanitized(s->heap))
		kmh_sanitize_free_unpin(s, addr, &at, ip);
	else
		kmh_free_located_unpin(s, addr, &at, ip);
}

/* Free without the section. Context: any; preemption off, on at return. */
static noinline void kmh_free_nested_unpin(struct kmh_mspan *s, unsigned long slot,
					   unsigned long addr, unsigned long ip)
{
	kmh_assert_pinned();
	if (unlikely(kmh_mspan_free_remote(s, slot, addr) != KMH_FREE_OK))
		kmh_free_doubled_unpin(addr, ip);
	else
		preempt_enable();
}

/* The slot is not live. Context: in the section of @mc; both have ended at return. */
static noinline void kmh_free_doubled_leave_unpin(struct kmh_mcache *mc, unsigned long addr,
						  unsigned long ip)
{
	kmh_mcache_leave(mc);
	kmh_free_doubled_unpin(addr, ip);
}

/* The magazine cannot have the object with a plain store. Context: as above. */
static noinline void kmh_free_unplain_unpin(struct kmh_mcache *mc, struct kmh_mspan *s,
					    unsigned long slot, unsigned long addr,
					    unsigned long ip)
{
	if (unlikely(kmh_mcache_free_slow(mc, s, slot, addr) != KMH_FREE_OK)) {
		kmh_free_doubled_leave_unpin(mc, addr, ip);
		return;
	}
	kmh_mcache_leave(mc);
	preempt_enable();
}

/* The span has no slots for the fast path any more (@nfast). Context: as above. */
static noinline void kmh_free_closed_leave_unpin(struct kmh_mcache *mc, struct kmh_mspan *s,
						 unsigned long addr, unsigned long ip)
{
	kmh_mcache_leave(mc);
	kmh_free_slow_unpin(addr, s, ip);
}

/*
 * The slot is not live, or its object is sampled or of a cache. The span is looked up again, as
 * that makes the fast path shorter. Since the first look another object of it may have got a
 * special, or a tracer of frees have come: then the slot is live, and not to be freed here.
 * Context: as above.
 */
static noinline void kmh_free_unlive_leave_unpin(struct kmh_mcache *mc, unsigned long addr,
						 unsigned long ip)
{
	struct kmh_mspan *s = kmh_span_of(addr);
	unsigned long slot;

	kmh_test_point("free: not live, before the second look");
	if (unlikely(!kmh_mspan_slot_of_own(s, mc->heap, addr, &slot) || !kmh_slot_live(s, slot)))
		kmh_free_doubled_leave_unpin(mc, addr, ip);
	else if (unlikely(!READ_ONCE(s->nfast)))
		kmh_free_closed_leave_unpin(mc, s, addr, ip);
	else
		kmh_free_unplain_unpin(mc, s, slot, addr, ip);
}

/*
 * Give back an object to a cache in another way than the shortest. When it is known to be one of
 * the cache, this is any free. Context: any; preemption off, on at return.
 */
static noinline void kmh_cache_free_slow_unpin(const struct kmheap_cache *cache,
					       unsigned long addr, unsigned long ip)
{
	kmh_assert_pinned();
	if (kmh_cache_may_free(cache, addr, ip)) {
		if (cache->keeps_type)
			kmheap_free_rcu((void *)addr);
		else
			kmh_free_one((void *)addr, ip);
	}
	preempt_enable();
}

/* Context: in the section of @mc; both have ended at return. */
static noinline void kmh_cache_free_slow_leave_unpin(struct kmh_mcache *mc,
						     const struct kmheap_cache *cache,
						     unsigned long addr, unsigned long ip)
{
	kmh_mcache_leave(mc);
	kmh_cache_free_slow_unpin(cache, addr, ip);
}

/*
 * Free slot @slot of @s. Every way but the shortest is a tail call. @ip: the caller to name
 * in a report; 0: our own caller, which is read (_RET_IP_) only where there may be a report.
 * @cache: the one that the object is given back to, or NULL.
 * Context: any; preemption off, on at return.
 */
static __always_inline void kmh_free_at_unpin(struct kmh_mspan *s, unsigned long slot,
					      unsigned long addr, unsigned long cpu,
					      const struct kmheap_cache *cache, unsigned long ip)
{
	struct kmh_mcache *mc = kmh_this_cpu_ptr(s->mcache, cpu);
	u8 live = cache ? cache->cell : KMH_CELL_LIVE;
	u8 *cell = &s->cell[slot];
	struct kmh_mcslot *c;

	kmh_assert_pinned();
	OPTIMIZER_HIDE_VAR(cell);	/* computed once: the magazine gets it, too */
	if (unlikely(!kmh_mcache_enter(mc))) {
		if (cache)
			kmh_cache_free_slow_unpin(cache, addr, ip ?: _RET_IP_);
		else
			kmh_free_nested_unpin(s, slot, addr, ip ?: _RET_IP_);
		return;
	}
	/* Another free of the object may be writing it: see magazine.c. */
	if (unlikely(data_race(*cell) != live)) {
		if (cache)
			kmh_cache_free_slow_leave_unpin(mc, cache, addr, ip ?: _RET_IP_);
		else
			kmh_free_unlive_leave_unpin(mc, addr, ip ?: _RET_IP_);
		return;
	}
	c = kmh_mcache_slot(mc, s);
	kmh_test_point("free: between look and store");
	if (unlikely(!kmh_mcslot_put(mc, c, s, addr, cell))) {
		kmh_free_unplain_unpin(mc, s, slot, addr, ip ?: _RET_IP_);
		return;
	}
	kmh_mcache_leave(mc);
	preempt_enable();
}

/* kmh_free_at_unpin() for an address whose slot is not known yet. */
static __always_inline void kmh_free_unpin(struct kmh_mspan *s, unsigned long addr,
					   unsigned long cpu, unsigned long ip)
{
	unsigned long slot;

	if (unlikely(!kmh_mspan_slot_at(s, addr, &slot)))
		kmh_free_slow_unpin(addr, s, ip ?: _RET_IP_);
	else
		kmh_free_at_unpin(s, slot, addr, cpu, NULL, ip);
}

/* kmheap_free() for the caller @ip. */
noinline void kmh_free_one(const void *p, unsigned long ip)
{
	unsigned long cpu;

	preempt_disable();
	cpu = kmh_this_cpu_offset();
	kmh_free_unpin(kmh_span_of((unsigned long)p), (unsigned long)p, cpu, ip);
}

/**
 * kmheap_free() - free an object
 * @p: from one of the allocating functions, of whatever heap; NULL and ZERO_SIZE_PTR do nothing.
 *
 * A double, invalid, interior or late free is reported with the stack, once per site, counted,
 * and otherwise ignored: the heap stays as it was.
 *
 * Context: Any, NMI included. Never waits, never allocates.
 */
void kmheap_free(const void *p)
{
	unsigned long cpu;

	kmh_free_hook(p);
	preempt_disable();
	cpu = kmh_this_cpu_offset();
	kmh_free_unpin(kmh_span_of((unsigned long)p), (unsigned long)p, cpu, 0);
}
EXPORT_SYMBOL_GPL(kmheap_free);

/* kmheap_cache_free() for the caller @ip; 0: our own caller. */
static __always_inline void kmh_cache_free(struct kmheap_cache *cache, const void *p,
					   unsigned long ip)
{
	unsigned long addr = (unsigned long)p, slot, cpu;
	struct kmh_mspan *s;

	kmh_free_hook(p);
	preempt_disable();
	cpu = kmh_this_cpu_offset();
	s = kmh_span_of(addr);
	if (unlikely(!kmh_mspan_slot_at(s, addr, &slot) || s->mcache != READ_ONCE(cache->mcache) ||
		     READ_ONCE(cache->careful_free)))
		kmh_cache_free_slow_unpin(cache, addr, ip ?: _RET_IP_);
	else
		kmh_free_at_unpin(s, slot, addr, cpu, cache, ip);
}

/**
 * kmheap_cache_free() - give an object back to its cache
 * @cache: the cache that it is of.
 * @p: the object; NULL does nothing.
 *
 * An object of another cache, or of none, is reported and stays as it was; so is whatever
 * kmheap_free() reports. An object of a cache with KMHEAP_CACHE_TYPESAFE_BY_RCU waits for a grace
 * period, as with kmheap_cache_free_rcu(), and RCU has to be watching.
 *
 * Context: Any, NMI included. Never waits, never allocates.
 */
void kmheap_cache_free(struct kmheap_cache *cache, const void *p)
{
	kmh_cache_free(cache, p, 0);
}
EXPORT_SYMBOL_GPL(kmheap_cache_free);

/* kmheap_cache_free() for callers in this module, whom no client knows: for the caller @ip. */
noinline void kmh_cache_free_one(struct kmheap_cache *cache, const void *p, unsigned long ip)
{
	kmh_cache_free(cache, p, ip);
}

/*
 * Is @bytes a size that the object at @at may have been allocated with? A small object tells its
 * class, a large one its bytes, a packed one its granules. The usable size is right for all.
 */
static bool kmh_size_fits(const struct kmh_mspan *s, const struct kmh_where *at, size_t bytes)
{
	unsigned int class;

	if (bytes == at->bytes)
		return true;
	/* With KASAN the usable size is the size that was asked for, or a later one. */
	if (KMH_KASAN && kmh_heap_sanitized(s->heap))
		return kmh_sanitize_may_be(s, at, bytes);
	if (!bytes || bytes > at->bytes)
		return false;
	switch (s->state) {
	case KMH_SPAN_LARGE:
		return bytes == s->large_bytes;
	case KMH_SPAN_TINY:
		return round_up(bytes, KMH_TINY_GRANULE) == at->bytes;
	default:
		class = kmh_size_to_class(bytes);
		if (s->heap->flags & KMHEAP_HWCACHE_ALIGN)
			class = kmh_size_to_class_aligned(kmh_class_size(class), cache_line_size());
		return class == kmh_spanclass_class(s->spanclass);
	}
}

/*
 * Free with a size that is not of the span's class, or an object that cannot be freed fast.
 * Context: any; preemption off, on at return.
 */
static noinline void kmh_free_sized_slow_unpin(unsigned long addr, struct kmh_mspan *s, size_t size,
					       unsigned long ip)
{
	struct kmh_where at;

	kmh_assert_pinned();
	if (READ_ONCE(s->state) >= KMH_SPAN_SMALL) {
		kmh_locate(s, addr, &at);
		if (at.base == addr && at.state == KMHEAP_OBJECT_LIVE &&
		    !kmh_size_fits(s, &at, size)) {
			kmh_misuse(KMH_WRONG_SIZE_FREE, "freed with the size of another class",
				   addr, s, &at, ip);
			preempt_enable();
			return;
		}
	}
	kmh_free_unpin(s, addr, kmh_this_cpu_offset(), ip);
}

/*
 * What kmheap_free_sized() of a constant size becomes. The lower half of @sizes is the size
 * of the class (KMHEAP_MAX_SMALL at most), the upper half the size that the caller gave.
 */
void kmheap_free_class(const void *p, u32 sizes)
{
	unsigned long addr = (unsigned long)p, slot, cpu;
	struct kmh_mspan *s;

	kmh_free_hook(p);
	preempt_disable();
	cpu = kmh_this_cpu_offset();
	s = kmh_span_of(addr);
	if (unlikely(s->elemsize != (u16)sizes || !kmh_mspan_slot_at(s, addr, &slot)))
		kmh_free_sized_slow_unpin(addr, s, sizes >> 16, _RET_IP_);
	else
		kmh_free_at_unpin(s, slot, addr, cpu, NULL, 0);
}
EXPORT_SYMBOL_GPL(kmheap_free_class);

/* kmheap_free_sized_any() for the caller @ip; 0: our own caller. */
static __always_inline void kmh_free_sized(const void *p, size_t size, unsigned long ip)
{
	unsigned long addr = (unsigned long)p, slot, cpu;
	struct kmh_mspan *s;

	kmh_free_hook(p);
	preempt_disable();
	cpu = kmh_this_cpu_offset();
	s = kmh_span_of(addr);
	if (unlikely(size - 1 >= KMHEAP_MAX_SMALL ||
		     kmh_size_to_class(size) != kmh_spanclass_class(s->spanclass) ||
		     !kmh_mspan_slot_at(s, addr, &slot)))
		kmh_free_sized_slow_unpin(addr, s, size, ip ?: _RET_IP_);
	else
		kmh_free_at_unpin(s, slot, addr, cpu, NULL, ip);
}

/* What kmheap_free_sized() becomes for a size that is not constant, or too large. */
void kmheap_free_sized_any(const void *p, size_t size)
{
	kmh_free_sized(p, size, 0);
}
EXPORT_SYMBOL_GPL(kmheap_free_sized_any);

/* As kmh_cache_free_one(), for objects of no cache. */
noinline void kmh_free_sized_one(const void *p, size_t size, unsigned long ip)
{
	kmh_free_sized(p, size, ip);
}

/**
 * kmheap_free_sensitive() - wipe an object, then free it
 * @p: as for kmheap_free().
 *
 * It is wiped before this returns, also where it waits for a grace period, as an object of a cache
 * with KMHEAP_CACHE_TYPESAFE_BY_RCU does: readers who still look at it find zeroes.
 *
 * Context: Any, NMI included.
 */
void kmheap_free_sensitive(const void *p)
{
	size_t bytes = kmh_live_bytes(p);

	kmh_free_hook(p);
	if (bytes)
		memzero_explicit((void *)p, bytes);
	kmh_free_one(p, _RET_IP_);
}
EXPORT_SYMBOL_GPL(kmheap_free_sensitive);

/**
 * kmheap_free_pages() - free a run of pages
 * @p: from kmheap_alloc_pages(); NULL does nothing.
 * @npages: as many as were asked for; another number is reported and nothing freed.
 *
 * Context: Any, NMI included. Never waits, never allocates.
 */
void kmheap_free_pages(const void *p, unsigned long npages)
{
	unsigned long addr = (unsigned long)p;
	struct kmh_where at = {};
	struct kmh_mspan *s;
	bool mine = false;

	if (!p)
		return;
	preempt_disable();
	s = kmh_span_of(addr);
	if (READ_ONCE(s->state) == KMH_SPAN_MANUAL && READ_ONCE(s->base) == addr) {
		kmh_locate(s, addr, &at);
		if (READ_ONCE(s->npages) != npages)
			kmh_misuse(KMH_WRONG_SIZE_FREE, "freed with another number of pages", addr,
				   s, &at, _RET_IP_);
		else if (kmh_run_claim(s, addr, npages) == KMH_FREE_OK)
			mine = true;
		else
			kmh_misuse(KMH_DOUBLE_FREE, "freed already", addr, s, &at, _RET_IP_);
	} else if (kmh_may_free(s, addr, &at, _RET_IP_)) {
		kmh_misuse(KMH_INVALID_FREE, "an object, not a run of pages", addr, s, &at,
			   _RET_IP_);
	}
	if (mine)
		kmh_traced_free_large(s, _RET_IP_);
	preempt_enable();
	if (mine) {
		kmh_free_hook_pages(p, npages << KMH_PAGE_SHIFT);
		kmh_large_free(s);
	}
}
EXPORT_SYMBOL_GPL(kmheap_free_pages);
