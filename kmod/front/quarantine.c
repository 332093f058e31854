// SPDX-License-Identifier: GPL-2.0
/*
 * The front door of a sanitized heap: objects with redzones, and the quarantine of freed ones.
 *
 * What KASAN and kmemleak are told is in sanitize.c. Freed objects go to the heap's quarantine,
 * where their slots stay live and their shadow says that they are free. The oldest are really
 * freed when there are more than kasan_quarantine_kib of them, when memory runs out, and when the
 * heap is shrunk, waited for or destroyed.
 *
 * This file is compiled without KASAN's checks (Kbuild): it writes into poisoned memory.
 */
#include <linux/kmemleak.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

#include "front/front.h"
#include "base/lock.h"
#include "base/param.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/arenamap.h"
#include "up.h"

unsigned int kmh_quarantine_kib = 256;
#if KMH_KASAN
static struct kmh_param_number kmh_quarantine_param = {
	.value = &kmh_quarantine_kib, .narrow = true, .unit = KMH_PARAM_KIB, .most = UINT_MAX,
};
module_param_cb(kasan_quarantine_kib, &kmh_number_param_ops, &kmh_quarantine_param, 0644);
MODULE_PARM_DESC(kasan_quarantine_kib,
		 "KiB of freed objects that each heap keeps poisoned before it uses them again (default 256)");
#endif

/* ---- allocation */

/* The alignment that kmheap_alloc() of @size bytes promises. */
static size_t kmh_promised_align(size_t size)
{
	size_t align = size & -size;

	return size > KMHEAP_MAX_SMALL ? min(align, KMH_PAGE_SIZE) : align;
}

/*
 * Take a slot, or pages, with room for the redzone, aligned as @size promises and @align wants.
 * Return: NULL is counted as a refusal.
 */
static void *kmh_sanitize_place(struct kmheap *heap, size_t size, size_t align, gfp_t gfp, int nid,
				bool noscan)
{
	size_t padded = max(size, size + KMH_REDZONE_BYTES);	/* without a wrap */
	unsigned int class = 0;
	void *p;

	align = max(align, kmh_promised_align(size));
	if (padded <= KMHEAP_MAX_SMALL)
		class = kmh_size_to_class_aligned(padded, align);
	if (!class)
		return kmh_large_find(heap, padded, align, gfp, nid, KMH_SPAN_LARGE, noscan);
	if (nid == NUMA_NO_NODE)
		return kmh_alloc_find(heap, kmh_spanclass(class, noscan), gfp);
	p = kmh_alloc_on_node(heap, kmh_spanclass(class, noscan), gfp, nid);
	if (!p)
		kmh_refused(heap, padded, gfp, KMH_WHY_ROOM);
	return p;
}

/* An object of a collected heap is never a leak: only its collection knows what is garbage. */
static void kmh_kmemleak_alloc(struct kmheap *heap, void *p, size_t bytes, gfp_t gfp, bool noscan)
{
	kmemleak_alloc(p, bytes, !kmh_heap_collected(heap), gfp);
	if (noscan)
		kmemleak_no_scan(p);
}

/*
 * An object of a sanitized heap, of more than 0 bytes, that is not to fail (kmh_watch_fails()).
 * @nid: the only node that will do, or NUMA_NO_NODE. @noscan: it holds no pointers. Context: what
 * @gfp says.
 * Return: the object, zeroed if @gfp or the kernel wants that, or NULL (counted).
 */
void *kmh_sanitize_find(struct kmheap *heap, size_t size, size_t align, gfp_t gfp, int nid,
			bool noscan)
{
	struct kmh_mspan *s;
	size_t bytes;
	void *p;

	might_alloc(gfp);
	if (!kmh_gfp_ok(heap, size, gfp))
		return NULL;
	if (KMH_KMEMLEAK && in_nmi()) {
		kmh_refused(heap, size, gfp, KMH_WHY_REQUEST);
		return NULL;
	}
	p = kmh_sanitize_place(heap, size, align, gfp, nid, noscan);
	while (!p && kmh_quarantine_drain(heap, 0)) {
		kmh_unrefused(heap, gfp);
		p = kmh_sanitize_place(heap, size, align, gfp, nid, noscan);
	}
	if (!p)
		return NULL;
	s = kmh_span_of((unsigned long)p);	/* stays: the object is ours */
	if (s->state == KMH_SPAN_LARGE)
		s->large_bytes = size;
	bytes = kmh_slot_bytes(s);
	kmh_kasan_open((unsigned long)p, size, bytes, KMH_KASAN_REDZONE);
	kmh_kmemleak_alloc(heap, p, KMH_KASAN ? size : bytes, gfp, noscan);
	return p;
}

/* kmh_sanitize_find() for an allocation of a client's that may be the one to fail. */
void *kmh_sanitize_alloc(struct kmheap *heap, size_t size, size_t align, gfp_t gfp, bool noscan)
{
	if (!size)
		return ZERO_SIZE_PTR;
	if (kmh_watch_fails(heap, KMH_SPANCLASS_LARGE, size, gfp))
		return NULL;
	return kmh_sanitize_find(heap, size, align, gfp, NUMA_NO_NODE, noscan);
}

/* Show a new object of kmheap_alloc_user(). Context: process context; what @gfp says. */
void kmh_sanitize_user(struct kmheap *heap, struct kmh_mspan *s, gfp_t gfp)
{
	size_t bytes = kmh_slot_bytes(s);

	kmh_kasan_open(s->base, s->large_bytes, bytes, KMH_KASAN_REDZONE);
	kmh_kmemleak_alloc(heap, (void *)s->base, KMH_KASAN ? s->large_bytes : bytes, gfp, true);
}

/*
 * Give a live object of the caller's another size where it is; @gfp is for kmemleak. Bytes that
 * are taken from the object are wiped: a later wipe would not know of them.
 * Context: what @gfp says. Return: false, and nothing done, when the object has to move.
 */
bool kmh_sanitize_resize(const struct kmheap_object *obj, size_t size, gfp_t gfp)
{
	unsigned long addr = (unsigned long)obj->base;
	size_t bytes;

	if (!KMH_KASAN || size == obj->bytes)
		return size <= obj->bytes;
	bytes = kmh_slot_bytes(kmh_span_of(addr));
	if (size > obj->bytes && (size > bytes - KMH_REDZONE_BYTES ||
				  !IS_ALIGNED(addr, kmh_promised_align(size))))
		return false;
	if (KMH_KMEMLEAK && in_nmi())
		return size < obj->bytes;
	if (size < obj->bytes)
		kmh_clear(obj->base + size, obj->bytes - size);
	kmh_kasan_open(addr, size, bytes, KMH_KASAN_RESIZED);
	kmemleak_free(obj->base);
	kmh_kmemleak_alloc(obj->heap, obj->base, size, gfp, obj->data);
	return true;
}

/* ---- free */

/* Free the slot of an object that has left the quarantine. */
static void kmh_quarantine_release(struct kmh_quarantined *q)
{
	unsigned long addr = (unsigned long)q;
	struct kmh_where at = { .base = addr, .state = KMHEAP_OBJECT_LIVE };
	struct kmh_mspan *s;

	preempt_disable();
	s = kmh_span_of(addr);
	at.bytes = kmh_slot_bytes(s);
	at.slot = s->elemsize ? (addr - s->base) / s->elemsize : 0;
	kmh_free_located_unpin(s, addr, &at, _RET_IP_);
}

/*
 * Free the oldest objects that a heap keeps in quarantine until @limit bytes are left.
 * Context: any; in NMI the lock is only tried. Return: was there anything to free?
 */
bool kmh_quarantine_drain(struct kmheap *heap, size_t limit)
{
	struct kmh_quarantine *q = &heap->sanitize.quarantine;
	struct kmh_quarantined *oldest;
	unsigned long flags;
	bool any = false;

	while (kmh_lock_irqsave(&q->lock, flags)) {
		oldest = q->bytes > limit ? q->first : NULL;
		if (oldest) {
			q->first = oldest->next;
			q->bytes -= kmh_slot_bytes(kmh_span_of((unsigned long)oldest));
		}
		kmh_unlock_irqrestore(&q->lock, flags);
		if (!oldest)
			break;
		kmh_quarantine_release(oldest);
		any = true;
	}
	return any;
}

/*
 * Is the object at @addr, in slot @slot of @s, one of @heap still? Another free of it may have been
 * first, and the quarantine have let it go since: then the descriptor may be another span's.
 */
static bool kmh_quarantine_finds(const struct kmheap *heap, const struct kmh_mspan *s,
				 unsigned long addr, unsigned int slot)
{
	if (kmh_span_of(addr) != s || READ_ONCE(s->heap) != heap)
		return false;
	if (READ_ONCE(s->state) == KMH_SPAN_SMALL)
		return slot < READ_ONCE(s->nelems) && kmh_mspan_slot_addr(s, slot) == addr &&
		       kmh_slot_live(s, slot);
	return READ_ONCE(s->state) == KMH_SPAN_LARGE && READ_ONCE(s->base) == addr &&
	       !kmh_large_claimed(s);
}

/*
 * Put an object of @s, in slot @slot, into quarantine; it is not sampled, and of no cache, from
 * then on. Return: false, and nothing done, when it is there already, or has been.
 */
static bool kmh_quarantine_push_locked(struct kmheap *heap, struct kmh_mspan *s,
				       unsigned long addr, unsigned int slot)
{
	struct kmh_quarantined *new = (struct kmh_quarantined *)addr;
	struct kmh_quarantine *q = &heap->sanitize.quarantine;
	size_t bytes;

	lockdep_assert_held(&q->lock);
	if (!kmh_quarantine_finds(heap, s, addr, slot) || kmh_kasan_is(addr, KMH_KASAN_FREE))
		return false;
	bytes = kmh_slot_bytes(s);	/* no object leaves the heap past the lock, but in NMI */
	kmh_mspan_unsample(s, addr);	/* before another CPU can release it */
	kmh_kasan_set(addr, bytes, KMH_KASAN_FREE);
	if (kmh_wants_wipe())
		kmh_clear(new, bytes);
	new->next = NULL;
	if (q->bytes)
		q->last->next = new;
	else
		q->first = new;
	q->last = new;
	q->bytes += bytes;
	return true;
}

/*
 * Free an object of a sanitized heap, which is as kmh_may_free() has found it.
 * Context: any but where kmh_sanitize_defers(); preemption off, on at return.
 */
void kmh_sanitize_free_unpin(struct kmh_mspan *s, unsigned long addr, const struct kmh_where *at,
			     unsigned long ip)
{
	size_t bytes = kmh_slot_bytes(s), limit = (size_t)READ_ONCE(kmh_quarantine_kib) << 10;
	struct kmheap *heap = s->heap;
	struct kmh_quarantine *q = &heap->sanitize.quarantine;
	unsigned long flags;
	bool mine;

	kmh_assert_pinned();
	kmh_test_point("sanitized free: before the quarantine's lock");
	/*
	 * Collected objects are swept where they are, those with specials freed in another way.
	 * Nothing is written into what user space may have mapped.
	 */
	if (!KMH_KASAN || bytes > limit / 4 || kmh_heap_collected(heap) || s->arena->user ||
	    READ_ONCE(s->nspecials) || !kmh_lock_irqsave(&q->lock, flags)) {
		kmh_free_located_unpin(s, addr, at, ip);
		return;
	}
	mine = kmh_quarantine_push_locked(heap, s, addr, at->slot);
	if (mine)
		kmemleak_free((void *)addr);	/* before the slot can be used again */
	kmh_unlock_irqrestore(&q->lock, flags);
	if (!mine)
		kmh_misuse(KMH_DOUBLE_FREE, "freed twice", addr, s, at, ip);
	preempt_enable();
	kmh_quarantine_drain(heap, limit);
}
