// SPDX-License-Identifier: GPL-2.0
/*
 * Objects as KASAN and kmemleak should see them: what both are told.
 *
 * A heap that is made while the parameter "sanitize" is set is sanitized for life. No span of
 * it has fast slots (kmh_mspan_fast_slots()), so that every free goes through
 * kmh_free_slow_unpin(), and every allocation is sent here by the function that the client has
 * called.
 *
 * KASAN. Everything in an arena is poisoned except the bytes that were asked for of live
 * objects (and the whole runs of pages that clients manage). An object has a redzone of at
 * least KMH_REDZONE_BYTES behind it, in its own slot; nothing is packed. Only the shadow
 * knows how long an object is. Freed objects go to the heap's quarantine, where their slots
 * stay live and their shadow says that they are free, which kmh_locate() reads. The oldest
 * are really freed when there are more than kasan_quarantine_kib of them, when memory runs
 * out, and when the heap is shrunk, waited for or destroyed. Objects freed after a grace
 * period, found dead by a collection, or with a finalizer are poisoned when their slot is
 * about to be free.
 *
 * kmemleak. Arenas are taken off its books and objects are put on them one by one. An NMI
 * cannot take kmemleak's locks: in an NMI nothing is allocated, and a free becomes
 * kmheap_free_rcu().
 *
 * This file is compiled without KASAN's checks (Kbuild): it writes into poisoned memory.
 */
#include <linux/kasan.h>
#include <linux/kmemleak.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "span/sanitize.h"
#include "base/lock.h"
#include "base/param.h"
#include "heap.h"

/* The suites want heaps as without these tools, except the suite that tests this. */
#ifdef KMHEAP_KUNIT
bool kmh_sanitize_heaps;
#else
bool kmh_sanitize_heaps = true;
#endif
module_param_cb(sanitize, &kmh_bool_param_ops, &kmh_sanitize_heaps, 0644);
__MODULE_PARM_TYPE(sanitize, "bool");
MODULE_PARM_DESC(sanitize,
		 "heaps made from now on show their objects to KASAN and kmemleak (default: yes)");

void kmh_sanitize_init(struct kmheap *heap)
{
	heap->sanitize.on = READ_ONCE(kmh_sanitize_heaps);
	raw_spin_lock_init(&heap->sanitize.quarantine.lock);
}

/* ---- the shadow: a byte for 8 bytes; 0: all may be touched, n: the first n */

#if KMH_KASAN
#define KMH_GRANULE	BIT(KASAN_SHADOW_SCALE_SHIFT)

static u8 *kmh_shadow(unsigned long addr)
{
	return kasan_mem_to_shadow((void *)addr);
}

void kmh_kasan_set(unsigned long addr, size_t bytes, u8 code)
{
	__memset(kmh_shadow(addr), code, bytes >> KASAN_SHADOW_SCALE_SHIFT);
}

void kmh_kasan_open(unsigned long addr, size_t size, size_t bytes, u8 redzone)
{
	size_t whole = round_down(size, KMH_GRANULE), end = round_up(size, KMH_GRANULE);

	kmh_kasan_set(addr, whole, 0);
	if (whole < end)
		*kmh_shadow(addr + whole) = size - whole;
	kmh_kasan_set(addr + end, bytes - end, redzone);
}

/* Return: how many of @bytes may be touched. */
static size_t kmh_kasan_extent(unsigned long addr, size_t bytes)
{
	const u8 *shadow = kmh_shadow(addr);
	size_t n;

	for (n = 0; n < bytes && !READ_ONCE(*shadow); n += KMH_GRANULE)
		shadow++;
	return n < bytes && READ_ONCE(*shadow) < KMH_GRANULE ? n + READ_ONCE(*shadow) : n;
}

bool kmh_kasan_is(unsigned long addr, u8 code)
{
	return READ_ONCE(*kmh_shadow(addr)) == code;
}
#else
#define KMH_GRANULE	1UL
static inline size_t kmh_kasan_extent(unsigned long addr, size_t bytes)
{
	return bytes;
}
#endif

/* The compiler calls this where it has found a bad read; exported for modules. */
void __asan_report_load1_noabort(void *addr);

/*
 * Have KASAN report a misuse of @addr, in an arena of a sanitized heap, as well, because people
 * look for "BUG: KASAN". The shadow decides the report's name: a use after free where the object
 * is free, out of bounds where it is live and the pointer is wrong. KASAN exports nothing to give
 * another name. The shadow may be read up to 8 bytes behind @addr: there the slot of a live object
 * has its redzone. Context: any; nothing in an NMI, where KASAN's lock may be held.
 */
void kmh_sanitize_misuse(unsigned long addr)
{
	if (KMH_KASAN && !in_nmi())
		__asan_report_load1_noabort((void *)addr);
}

/*
 * A fresh arena: nothing in it is an object, and none of it a reference. The pages of a @block are
 * on nobody's books.
 */
void kmh_sanitize_arena(const void *vbase, size_t bytes, bool block)
{
	kmh_kasan_set((unsigned long)vbase, bytes, KMH_KASAN_FREE);
	if (!block)
		kmemleak_free(vbase);
}

/* May the object at @at be freed with @bytes? Once resized it has had several sizes. */
bool kmh_sanitize_may_be(const struct kmh_mspan *s, const struct kmh_where *at, size_t bytes)
{
	unsigned long behind = round_up(at->base + at->bytes, KMH_GRANULE);

	return kmh_kasan_is(behind, KMH_KASAN_RESIZED) && bytes &&
	       bytes <= kmh_slot_bytes(s) - KMH_REDZONE_BYTES;
}

/* Of an object that kmh_locate() has found live: how long is it, and is it in quarantine? */
void kmh_sanitize_locate(struct kmh_where *at)
{
	if (at->state != KMHEAP_OBJECT_LIVE || !at->base)
		return;
	at->bytes = kmh_kasan_extent(at->base, at->bytes);
	if (!at->bytes)
		at->state = KMHEAP_OBJECT_FREE;
}

/*
 * No reader may read the object in the slot of @bytes at @addr any more. The slot is still the
 * caller's. May be called twice. Context: any.
 */
void kmh_sanitize_dead(unsigned long addr, size_t bytes)
{
	kmh_kasan_set(addr, bytes, KMH_KASAN_FREE);
	if (!in_nmi())		/* a run of pages that goes there keeps its record */
		kmemleak_free((void *)addr);
}

/* @s is of a heap that has ended: kmemleak forgets the objects left in it. Context: process. */
void kmh_sanitize_span_gone(const struct kmh_mspan *s)
{
	unsigned int i;

	if (!KMH_KMEMLEAK)
		return;
	for (i = 0; i < s->nelems; i++) {
		kmemleak_free((void *)kmh_mspan_slot_addr(s, i));
		cond_resched();
	}
}

/* The object is unlinked, but until the grace period ends readers may hold it: it is no leak. */
void kmh_sanitize_deferred(unsigned long addr)
{
	if (!in_nmi())
		kmemleak_not_leak((void *)addr);
}

/*
 * An arena is lost (lost_arena.c), and the list may lead through its objects: objects in quarantine
 * stay where they are for good. Context: any but NMI.
 */
void kmh_quarantine_forget(struct kmheap *heap)
{
	struct kmh_quarantine *q = &heap->sanitize.quarantine;
	unsigned long flags;

	kmh_wait_lock_irqsave(&q->lock, flags);
	q->first = NULL;
	q->last = NULL;
	q->bytes = 0;
	kmh_unlock_irqrestore(&q->lock, flags);
}
