// SPDX-License-Identifier: GPL-2.0
/*
 * The watch: which allocations of a heap are sampled, and which one is to fail.
 *
 * As in Go's heap profile and TCMalloc's, allocations are sampled by a Poisson process over bytes:
 * the distance to the next sample is drawn from an exponential distribution with the period as its
 * mean, so an object of s bytes is sampled with the probability 1 - exp(-s / period). Each class of
 * each CPU has a process of its own; together they are one over all bytes, and share nothing.
 *
 * The fast paths know nothing of this. An allocation leaves the fast path when neither magazine nor
 * window has anything to give, and a free when its magazine comes to its limit. So while a heap is
 * profiled, each such trip (kmh_watch_close()) leaves no more in both than may be allocated before
 * the next sample: it gives back slots of the window, lowers @ready, and lowers @limit, as each
 * free raises @ready. What has been allocated since the last trip is counted then. With nothing
 * left the next allocation comes here, and is sampled. A trip begins by undoing all that. With a
 * period of 1 nothing is ever left, and every object is sampled.
 *
 * The stack is saved in the section, with preemption off, as it is needed before anybody else can
 * know the object. Interrupts meanwhile take the road past the mcache, as ever.
 *
 * While an allocation of the heap is to fail (fail_nth), nothing is left to the fast paths either,
 * so each allocation comes to one of the places that ask kmh_watch_fails(), and is counted there.
 * So it is while somebody traces allocations: front/traced.c.
 */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/cpu.h>
#include <linux/log2.h>
#include <linux/random.h>
#include <trace/events/kmheap.h>

#include "cpu/watch.h"
#include "base/gfp.h"
#include "cpu/magazine.h"
#include "cpu/tiny.h"
#include "heap.h"
#include "insight/record.h"
#include "insight/site.h"
#include "span/arenamap.h"

DEFINE_STATIC_KEY_FALSE(kmh_watch_key);
bool kmh_allocs_traced;

/* Trips of a class that do not look, at most. */
#define KMH_WATCH_SKIP	1000UL

/* Bits behind the point of a logarithm. */
#define KMH_LOG_SHIFT	16

/* -log2(@u / 2^32) for @u of 1 and more, by squaring: one bit of the result at a time. */
static u64 kmh_watch_log(u32 u)
{
	unsigned int whole = ilog2(u), i;
	u64 x = (u64)u << (31 - whole);		/* 1 to 2, with 31 bits behind the point */
	u64 log = whole;

	for (i = 0; i < KMH_LOG_SHIFT; i++) {
		x = x * x >> 31;
		log <<= 1;
		if (x >> 32) {
			x >>= 1;
			log |= 1;
		}
	}
	return (32ULL << KMH_LOG_SHIFT) - log;
}

/* ln(2), with KMH_LOG_SHIFT bits behind the point. */
#define KMH_LN2		45426ULL

/* Draw the distance to the next sample. Context: the CPU's; an interrupt may do so in between. */
unsigned long kmh_watch_draw(struct kmh_watch *w)
{
	u64 x = w->random;

	if (w->period <= 1)
		return w->period ? 0 : ULONG_MAX;
	/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators". */
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	w->random = x;
	x = (x * 0x2545f4914f6cdd1dULL) >> 32;
	return mul_u64_u64_shr(kmh_watch_log(x ?: 1) * KMH_LN2, w->period, 2 * KMH_LOG_SHIFT);
}

/*
 * Remember a fresh object. Return: false when there is no room for it. Preemption off. Inline, as
 * is what calls it: each frame costs 500 instructions of the stack's walk.
 */
static __always_inline bool kmh_watch_record(struct kmheap *heap, unsigned int spanclass, void *p,
					     size_t bytes)
{
	struct kmh_site *site = kmh_site_here(heap, spanclass);

	kmh_assert_pinned();
	if (!site)
		return false;
	atomic_long_inc(&site->allocs);
	atomic_long_add(bytes, &site->alloc_bytes);
	trace_hit(site->ip[0], heap->name, p, bytes);
	return kmh_record_born(site, (unsigned long)p, bytes);
}

/* Sample the object @p of a class. Nobody but the caller knows it. Preemption off. */
static __always_inline void kmh_watch_hit(struct kmheap *heap, unsigned int spanclass, void *p)
{
	struct kmh_mspan *s = kmh_span_of((unsigned long)p);
	unsigned long slot;

	kmh_assert_pinned();
	if (unlikely(!kmh_mspan_slot_of_own(s, heap, (unsigned long)p, &slot)))
		return;
	if (!kmh_watch_record(heap, spanclass, p, s->elemsize))
		return;
	/* A second free of the slot's last object may have come by now. */
	if (unlikely(cmpxchg(&s->cell[slot], KMH_CELL_LIVE, KMH_CELL_SAMPLED) != KMH_CELL_LIVE))
		kmh_record_died((unsigned long)p);
}

/* Bring a class up to date. In the section. */
static void kmh_watch_count(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_watch_class *w = &mc->watch->class[spanclass];
	unsigned long allocs = kmh_mcache_allocs(mc, spanclass);
	unsigned long bytes = (allocs - w->seen) * kmh_spanclass_size[spanclass];

	w->until -= min(bytes, w->until);
	w->seen = allocs;
}

/*
 * Is the next sample so far away that this trip need not look? Then nothing is held back, either.
 */
static bool kmh_watch_far(struct kmh_watch_class *w)
{
	if (!w->skip)
		return false;
	w->skip--;
	return true;
}

/* Objects of a class that the fast paths can allocate at most before they come here. */
static unsigned int kmh_watch_reach(unsigned int spanclass)
{
	return 2 * kmh_magazine_room(spanclass) + kmh_batch_slots(kmh_spanclass_size[spanclass]);
}

/* Is nothing of the heap to be allocated by the fast paths? */
bool kmh_watch_shuts(const struct kmheap *heap)
{
	return atomic_long_read(&heap->profile.fail_nth) || READ_ONCE(kmh_allocs_traced);
}

/*
 * Leave no more to the fast paths than may be allocated before the next sample, and nothing while
 * an allocation is to fail, or allocations are traced. In the section; the class is up to date and
 * open.
 */
void kmh_watch_close(struct kmh_mcache *mc, unsigned int spanclass)
{
	size_t reach = kmh_watch_reach(spanclass) * kmh_spanclass_size[spanclass];
	struct kmh_watch_class *w = &mc->watch->class[spanclass];
	bool shut = kmh_watch_shuts(mc->heap);
	struct kmh_mcslot *c = &mc->slot[spanclass];
	unsigned long most, excess;
	long ready, left;

	if (likely(w->until >= reach && !shut)) {
		w->skip = min(w->until / reach - 1, KMH_WATCH_SKIP);
		return;
	}
	w->closed = true;
	most = shut ? 0 : w->until / kmh_spanclass_size[spanclass];
	ready = c->ready - c->head;
	if (ready > (long)most) {
		c->ready = c->head + most;
		ready = most;
	}
	left = (long)most - max(ready, 0L);
	if (hweight_long(c->avail) > left) {
		for (excess = c->avail; left; left--)
			excess &= excess - 1;
		kmh_mcslot_return(mc, c, excess);
	}
	if (c->tail)
		c->limit = min(c->limit,
			       c->tail + ((long)most - ready - (long)hweight_long(c->avail)));
}

/*
 * Begin a trip of a class: undo what kmh_watch_close() has done. In the section. A window that it
 * has given back is filled again when it is wanted.
 */
void kmh_watch_open(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_watch_class *w = &mc->watch->class[spanclass];

	if (!w->closed)
		return;
	w->closed = false;
	kmh_magazine_open(mc, &mc->slot[spanclass]);
}

/*
 * One object of a class has been allocated, past the fast path: is it to be sampled? The class is
 * open, or it is closed and stays so.
 */
static __always_inline void kmh_watch_took(struct kmh_mcache *mc, unsigned int spanclass, void *p)
{
	struct kmh_watch_class *w = &mc->watch->class[spanclass];
	size_t bytes = kmh_spanclass_size[spanclass];

	w->seen = kmh_mcache_allocs(mc, spanclass);
	if (w->until >= bytes) {
		w->until -= bytes;
	} else {
		w->until = kmh_watch_draw(mc->watch);
		if (likely(!mc->shelving))
			kmh_watch_hit(mc->heap, spanclass, p);
	}
	kmh_watch_close(mc, spanclass);
}

/* kmh_mcache_take() in a heap that is profiled. */
noinline void *kmh_watch_take(struct kmh_mcache *mc, unsigned int spanclass)
{
	void *p;

	/* Packed data is not packed while a heap is profiled; a block that is open is closed. */
	if (spanclass == KMH_SPANCLASS_TINY || kmh_watch_far(&mc->watch->class[spanclass]))
		return kmh_mcache_take_unwatched(mc, spanclass);
	kmh_watch_count(mc, spanclass);
	kmh_watch_open(mc, spanclass);
	p = kmh_mcache_take_unwatched(mc, spanclass);
	if (p)
		kmh_watch_took(mc, spanclass, p);
	else
		kmh_watch_close(mc, spanclass);
	return p;
}

/* An object that had to rest has been allocated, after a trip that found none. In the section. */
noinline void kmh_watch_took_resting(struct kmh_mcache *mc, unsigned int spanclass, void *p)
{
	kmh_watch_took(mc, spanclass, p);
}

/* See kmh_watch_reopen(). */
noinline void kmh_watch_reopen_slow(struct kmh_mcache *mc, unsigned int spanclass)
{
	if (spanclass == KMH_SPANCLASS_TINY || kmh_watch_far(&mc->watch->class[spanclass]))
		return;
	kmh_watch_count(mc, spanclass);
	kmh_watch_open(mc, spanclass);
	kmh_watch_close(mc, spanclass);
}

/*
 * @bytes more have been allocated past the classes: is this the object to be sampled? An interrupt
 * may come in between with one of its own; at worst a sample comes a little late. Preemption off.
 */
static bool kmh_watch_other_hits(struct kmheap *heap, size_t bytes)
{
	struct kmh_watch *w = READ_ONCE(this_cpu_ptr(heap->mcache)->watch);

	kmh_assert_pinned();
	if (!w || kmh_cpu_add_return(heap->mcache->watch_other, kmh_this_cpu_offset(), bytes) <=
		  READ_ONCE(w->other_at))
		return false;
	this_cpu_write(heap->mcache->watch_other, 0);
	WRITE_ONCE(w->other_at, kmh_watch_draw(w));
	return true;
}

/* See kmh_watch_one(). */
noinline void kmh_watch_one_slow(struct kmheap *heap, unsigned int spanclass, void *p)
{
	preempt_disable();
	if (kmh_watch_other_hits(heap, kmh_spanclass_size[spanclass]))
		kmh_watch_hit(heap, spanclass, p);
	preempt_enable();
}

/* A large object or a run of pages was allocated in a heap that may be watched. Context: any. */
void kmh_watch_large(struct kmh_mspan *s)
{
	size_t bytes = (size_t)s->npages << KMH_PAGE_SHIFT;

	preempt_disable();
	if (kmh_watch_other_hits(s->heap, bytes))
		s->sampled = kmh_watch_record(s->heap, KMH_SPANCLASS_LARGE, (void *)s->base, bytes);
	preempt_enable();
}

/* ---- the allocation that fails */

/* Does fail_nth count an allocation with @gfp? */
static bool kmh_watch_fail_counts(const struct kmh_profile *profile, gfp_t gfp)
{
	switch (READ_ONCE(profile->fail_gfp)) {
	case KMH_FAIL_ATOMIC:
		return !kmh_alloc_may_grow(gfp);
	case KMH_FAIL_SLEEPING:
		return kmh_alloc_may_grow(gfp);
	default:
		return true;
	}
}

/* Count an allocation. Return: is it the one that is to fail? */
static bool kmh_watch_fail_step(struct kmh_profile *profile, gfp_t gfp)
{
	long n = atomic_long_read(&profile->fail_nth), next;

	if (!kmh_watch_fail_counts(profile, gfp))
		return false;
	do {
		if (!n)
			return false;
		next = n > 1 ? n - 1 : READ_ONCE(profile->fail_interval);
	} while (!atomic_long_try_cmpxchg(&profile->fail_nth, &n, next));
	return n == 1;
}

static void kmh_watch_tell(const struct kmheap *heap, const struct kmh_site *site, size_t bytes)
{
	unsigned int i;

	pr_info("heap %s: an allocation of %zu bytes gets nothing, as fail_nth wants, from\n",
		heap->name, bytes);
	for (i = 0; i < site->depth; i++)
		pr_info("heap %s:   %pS\n", heap->name, (void *)site->ip[i]);
}

/* See kmh_watch_fails(). */
noinline bool kmh_watch_fails_slow(struct kmheap *heap, unsigned int spanclass, size_t bytes,
				   gfp_t gfp)
{
	struct kmh_site *site;

	if (!kmh_watch_fail_step(&heap->profile, gfp))
		return false;
	kmh_refused(heap, bytes, gfp, KMH_WHY_INJECT);
	preempt_disable();
	/* While the period changes the sites of the heap are given up. */
	site = this_cpu_read(heap->mcache->watch) ? kmh_site_here(heap, spanclass) : NULL;
	if (site)
		atomic_long_inc(&site->failed);
	if (site && !READ_ONCE(heap->profile.fail_interval))
		kmh_watch_tell(heap, site, bytes);
	preempt_enable();
	return true;
}
