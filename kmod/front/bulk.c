// SPDX-License-Identifier: GPL-2.0
/*
 * Many objects at a time.
 *
 * Preemption is off and the mcache's section is held for up to KMH_BULK_OBJECTS of them. Work
 * that is otherwise done for each object is done once for a run: slots that are side by side,
 * in memory and in the caller's array. A burst of allocations gets such runs, and they are
 * often freed together; a run can be as short as one. An object that is not small, or not as
 * it should be, goes by itself the way of kmheap_free(), which also reports.
 */
#include <linux/bitops.h>
#include <linux/export.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include "front/front.h"
#include "front/hooks.h"
#include "cpu/magazine.h"
#include "heap.h"
#include "span/arenamap.h"

/* Objects for which preemption is off in one go: about as long as a refill takes. */
#define KMH_BULK_OBJECTS	32U

/* Spans of small objects are no longer than this, except spans of one object. */
#define KMH_BULK_REACH		(64UL << 10)

/* ---- allocation */

/* Take up to @n objects without a refill. Return: how many; 0: none, or the mcache is busy. */
static unsigned int kmh_alloc_batch(struct kmheap *heap, unsigned int spanclass, unsigned int n,
				    void **p)
{
	struct kmh_mcslot *c;
	struct kmh_mcache *mc;
	unsigned int done = 0;
	void *one;

	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	if (unlikely(!kmh_mcache_enter(mc))) {
		preempt_enable();
		return 0;
	}
	c = &mc->slot[spanclass];
	while (done < n) {
		if (unlikely(!kmh_mcslot_take(mc, c, spanclass, KMH_CELL_LIVE, &one))) {
			one = kmh_mcache_take(mc, spanclass);
			if (!one)
				break;
		}
		p[done++] = one;
	}
	kmh_mcache_leave(mc);
	preempt_enable();
	return done;
}

static size_t kmh_alloc_bulk_small(struct kmheap *heap, unsigned int spanclass, gfp_t gfp,
				   size_t n, void **p)
{
	bool zero = want_init_on_alloc(gfp);
	unsigned int batch, i;
	size_t done = 0;

	while (done < n) {
		batch = kmh_alloc_batch(heap, spanclass, min_t(size_t, n - done, KMH_BULK_OBJECTS),
					p + done);
		for (i = 0; zero && i < batch; i++)
			kmh_clear(p[done + i], kmh_spanclass_size[spanclass]);
		done += batch;
		if (likely(batch))
			continue;
		/* This zeroes the object itself, and leaves a window for the next ones. */
		p[done] = kmh_alloc_slow(heap, spanclass, gfp);
		if (unlikely(!p[done]))
			break;
		done++;
	}
	return done;
}

/* Allocate one by one: large objects, size 0, and objects of sanitized heaps. */
static size_t kmh_alloc_each(struct kmheap *heap, size_t size, gfp_t gfp, size_t n, void **p)
{
	size_t done;

	for (done = 0; done < n; done++) {
		p[done] = kmheap_alloc_any_noprof(heap, size, gfp);
		if (unlikely(!p[done]))
			break;
	}
	return done;
}

/* kmheap_alloc_bulk(): see <linux/kmheap.h>. */
size_t kmheap_alloc_bulk_noprof(struct kmheap *heap, size_t size, gfp_t gfp, size_t n, void **p)
{
	unsigned int spanclass;

	heap = kmh_heap_or_default(heap);
	if (unlikely(size - 1 >= KMHEAP_MAX_SMALL) || kmh_heap_sanitized(heap))
		return kmh_alloc_each(heap, size, gfp, n, p);
	kmh_might_alloc(gfp);
	if (unlikely(gfp & (__GFP_NOFAIL | KMH_GFP_ZONES)) && !kmh_gfp_ok(heap, size, gfp))
		return 0;
	spanclass = kmh_spanclass(kmh_size_to_class(size), false);
	if (unlikely(heap->flags & (KMHEAP_HWCACHE_ALIGN | KMH_HEAP_PROFILED))) {
		/* One of them may be the one to fail, or tracers are told of each. */
		if (kmh_watch_shuts(heap))
			return kmh_alloc_each(heap, size, gfp, n, p);
		if (heap->flags & KMHEAP_HWCACHE_ALIGN)
			spanclass = kmh_aligned_spanclass(spanclass);
	}
	return kmh_alloc_bulk_small(heap, spanclass, gfp, n, p);
}
EXPORT_SYMBOL_GPL(kmheap_alloc_bulk_noprof);

/* ---- free */

/*
 * Find the span of @addr and its slot. *@s is used again if @addr lies in it, so it must be a span
 * that stays: one that this CPU owns or has an entry of in a magazine, in whose section the caller
 * is, or a sentinel.
 * Return: false when @addr cannot be freed fast.
 */
static __always_inline bool kmh_bulk_find(struct kmh_mspan **s, unsigned long addr,
					  unsigned long *slot)
{
	/* Near enough for the span's arithmetic to be exact? */
	if (addr - (*s)->base < KMH_BULK_REACH && kmh_mspan_slot_at(*s, addr, slot))
		return true;
	*s = kmh_span_of(addr);
	return kmh_mspan_slot_at(*s, addr, slot);
}

/* How many of @n objects, from @slot on, are slots side by side in one word. */
static __always_inline unsigned int kmh_run_length(const struct kmh_mspan *s, unsigned long slot,
						   unsigned int n, void **p)
{
	unsigned int i, left = KMH_WORD_SLOTS - slot % KMH_WORD_SLOTS;
	unsigned long next = (unsigned long)p[0], bytes = s->elemsize;

	n = min3(n, left, s->nelems - (unsigned int)slot);
	for (i = 1; i < n; i++) {
		next += bytes;
		if ((unsigned long)p[i] != next)
			break;
	}
	return i;
}

/* Leave the section of @held and enter that of @mc. Return: NULL when @mc is busy. */
static __always_inline struct kmh_mcache *kmh_bulk_section(struct kmh_mcache *held,
							   struct kmh_mcache *mc)
{
	if (likely(held == mc))
		return held;
	if (held)
		kmh_mcache_leave(held);
	return kmh_mcache_enter(mc) ? mc : NULL;
}

/* Objects of a run for which it goes straight to its span. */
#define KMH_BULK_RUN	4U

/* Are all of @n cells, from @cell on, live, and neither sampled nor of a cache? */
static __always_inline bool kmh_run_live(const u8 *cell, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (unlikely(READ_ONCE(cell[i]) != KMH_CELL_LIVE))
			return false;
	return true;
}

/*
 * Free a run of slots of one word, the first ones of @p, all of which were LIVE a moment ago: they
 * go straight to their span. As in kmh_slot_claim_at(), only what has been claimed is known to be
 * these objects. What is of a cache, or sampled, by now is another object, and is not claimed. In
 * the section of @mc. Return: how many are done; 0, and nothing done, when the span was another.
 */
static noinline unsigned int kmh_free_whole_run(struct kmh_mspan *s, unsigned long slot,
						unsigned int n, void **p, struct kmh_mcache *mc)
{
	unsigned long run = kmh_run_mask(slot % KMH_WORD_SLOTS, n), freed;
	unsigned int word = slot / KMH_WORD_SLOTS;

	kmh_test_point("bulk free: before the claim");
	freed = kmh_cells_move(s, word, run, KMH_CELL_LIVE, KMH_CELL_OUT);
	if (unlikely(kmh_mspan_slot_addr(s, slot) != (unsigned long)p[0] ||
		     kmh_mspan_slot_addr(s, slot + n - 1) != (unsigned long)p[n - 1] ||
		     READ_ONCE(s->heap) != mc->heap)) {
		kmh_cells_move(s, word, freed, KMH_CELL_OUT, KMH_CELL_LIVE);
		return 0;
	}
	kmh_misuse_twice_slots(s, word, run & ~freed);
	if (likely(freed))
		kmh_mcache_give(mc, s, word, freed);
	return n;
}

/*
 * Free a run of slots of one word, the first ones of @p, in the section of @mc. A span that @mc
 * does not own may be another one afterwards, so *@span is the sentinel then. Return: how many are
 * done; 0 when the first one is not live.
 */
static __always_inline unsigned int kmh_free_run(struct kmh_mspan **span, unsigned long slot,
						 unsigned int n, void **p, struct kmh_mcache *mc)
{
	unsigned long addr = (unsigned long)p[0];
	struct kmh_mspan *s = *span;
	u8 *cell = &s->cell[slot];

	if (n < KMH_BULK_RUN || unlikely(!kmh_run_live(cell, n))) {
		if (unlikely(!kmh_slot_live(s, slot)))
			return 0;
		if (likely(kmh_run_live(cell, 1)) &&
		    likely(kmh_mcslot_put(mc, kmh_mcache_slot(mc, s), s, addr, cell)))
			return 1;
		*span = &kmh_span_none;
		return kmh_mcache_free_slow(mc, s, slot, addr) == KMH_FREE_OK;
	}
	/* Who owns a span is written in the owner's section only. */
	if (READ_ONCE(s->owner) != mc)
		*span = &kmh_span_none;
	return kmh_free_whole_run(s, slot, n, p, mc);
}

/*
 * Free objects up to the first that has to go by itself. One that is not live is reported here, for
 * the caller @ip: later it could be another client's. Return: how many.
 */
static unsigned int kmh_free_batch(unsigned int n, void **p, unsigned long ip)
{
	struct kmh_mspan *s = &kmh_span_none;
	struct kmh_mcache *mc = NULL;
	unsigned int done, run;
	unsigned long slot, cpu;

	preempt_disable();
	cpu = kmh_this_cpu_offset();
	for (done = 0; done < n; done += run) {
		/* The owner and the cells are looked at inside the section. */
		if (unlikely(!kmh_bulk_find(&s, (unsigned long)p[done], &slot)))
			break;
		mc = kmh_bulk_section(mc, kmh_this_cpu_ptr(s->mcache, cpu));
		if (unlikely(!mc))
			break;
		run = kmh_run_length(s, slot, n - done, p + done);
		run = kmh_free_run(&s, slot, run, p + done, mc);
		if (unlikely(!run)) {
			kmh_mcache_leave(mc);
			kmh_free_doubled_unpin((unsigned long)p[done], ip);
			return done + 1;
		}
		kmh_test_point("bulk free, after a run");
	}
	if (mc)
		kmh_mcache_leave(mc);
	preempt_enable();
	return done;
}

/**
 * kmheap_free_bulk() - free many objects
 * @n: how many.
 * @p: the objects, of any sizes and heaps; NULL entries are skipped.
 *
 * Objects that were allocated together are best freed together, in the same order.
 *
 * Context: Any, NMI included.
 */
void kmheap_free_bulk(size_t n, void **p)
{
	unsigned int batch, done;
	size_t i;

	for (i = 0; KMH_FREE_HOOKS && i < n; i++)
		kmh_free_hook(p[i]);
	for (; n; n -= done, p += done) {
		batch = min_t(size_t, n, KMH_BULK_OBJECTS);
		done = kmh_free_batch(batch, p, _RET_IP_);
		kmh_test_point("bulk free, after a batch");
		if (unlikely(!done))
			kmh_free_one(p[done++], _RET_IP_);
	}
}
EXPORT_SYMBOL_GPL(kmheap_free_bulk);
