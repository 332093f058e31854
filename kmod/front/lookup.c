// SPDX-License-Identifier: GPL-2.0
/* What an address is: the object it lies in, the object's state, and whether it may be freed. */
#include <linux/export.h>
#include <linux/mm.h>

#include "front/front.h"
#include "cpu/tiny.h"
#include "heap.h"
#include "span/arenamap.h"

static enum kmheap_object_state kmh_slot_state(const struct kmh_mspan *s, unsigned int slot)
{
	unsigned long remote = atomic_long_read(&s->w[slot / KMH_WORD_SLOTS].remote);
	u8 cell = READ_ONCE(s->cell[slot]);

	if (kmh_cell_live(cell))
		return KMHEAP_OBJECT_LIVE;
	switch (cell) {
	case KMH_CELL_WAITS:
		return KMHEAP_OBJECT_DEFERRED;
	case KMH_CELL_OUT:
		return remote & BIT(slot % KMH_WORD_SLOTS) ? KMHEAP_OBJECT_REMOTE :
							     KMHEAP_OBJECT_FREE;
	default:
		return KMHEAP_OBJECT_FREE;
	}
}

static void kmh_locate_slot(const struct kmh_mspan *s, unsigned long addr, struct kmh_where *at)
{
	unsigned int bytes = READ_ONCE(s->elemsize);
	unsigned long base = READ_ONCE(s->base);

	if (!bytes)		/* recycled, for a large object */
		return;
	at->slot = (addr - base) / bytes;
	if (at->slot >= READ_ONCE(s->nelems))	/* the tail behind the last object */
		return;
	at->base = base + (unsigned long)at->slot * bytes;
	at->bytes = bytes;
	at->state = kmh_slot_state(s, at->slot);
}

static void kmh_locate_tiny(const struct kmh_mspan *s, unsigned long addr, struct kmh_where *at)
{
	bool live;

	at->bytes = kmh_tiny_extent(s, addr, &at->base, &at->slot, &live);
	if (!at->bytes || (live && kmh_slot_live(s, at->slot)))
		return;
	at->state = kmh_mspan_slot_waits(s, at->slot) ? KMHEAP_OBJECT_DEFERRED :
							KMHEAP_OBJECT_FREE;
}

/*
 * Fill @at for a span that was in use a moment ago; that of a large object may be parked by now.
 * Context: any; preemption off.
 */
void kmh_locate(const struct kmh_mspan *s, unsigned long addr, struct kmh_where *at)
{
	u8 state = READ_ONCE(s->state);
	unsigned long base = READ_ONCE(s->base);
	u32 npages = READ_ONCE(s->npages);

	kmh_assert_pinned();
	*at = (struct kmh_where){
		.heap = READ_ONCE(s->heap), .span = state, .state = KMHEAP_OBJECT_LIVE
	};
	if (addr - base >= (unsigned long)npages << KMH_PAGE_SHIFT)
		return;		/* the span was recycled under a racing lookup */
	switch (state) {
	case KMH_SPAN_SMALL:
		kmh_locate_slot(s, addr, at);
		break;
	case KMH_SPAN_TINY:
		kmh_locate_tiny(s, addr, at);
		break;
	case KMH_SPAN_LARGE:
	case KMH_SPAN_MANUAL:
	case KMH_SPAN_FREED:
		at->slot = 0;
		at->base = base;
		at->bytes = (size_t)npages << KMH_PAGE_SHIFT;
		if (state == KMH_SPAN_MANUAL)
			at->state = KMHEAP_OBJECT_PAGES;
		if (state == KMH_SPAN_FREED || kmh_large_claimed(s))
			at->state = kmh_mspan_waiting(s, 0) ? KMHEAP_OBJECT_DEFERRED :
							      KMHEAP_OBJECT_FREE;
		break;
	}
	if (kmh_heap_sanitized(at->heap))
		kmh_sanitize_locate(at);
}

/* Report a free of an object that is free already. Context: any; preemption off. */
void kmh_misuse_doubled(unsigned long addr, const struct kmh_mspan *s, const struct kmh_where *at,
			unsigned long ip)
{
	kmh_assert_pinned();
	kmh_misuse(KMH_DOUBLE_FREE, at->state == KMHEAP_OBJECT_DEFERRED ?
		   "freed already, waits for a grace period" : "freed already", addr, s, at, ip);
}

/*
 * May @addr be freed? @s is its span, or the sentinel that stands there; @at is filled in.
 * Context: any; preemption off.
 * Return: true for the first byte of an object that was live a moment ago; otherwise the misuse
 * has been reported.
 */
bool kmh_may_free(struct kmh_mspan *s, unsigned long addr, struct kmh_where *at, unsigned long ip)
{
	kmh_assert_pinned();
	if (READ_ONCE(s->state) < KMH_SPAN_SMALL) {
		kmh_misuse_sentinel(addr, s, ip);
		return false;
	}
	kmh_locate(s, addr, at);
	if (at->base == addr && at->state == KMHEAP_OBJECT_LIVE)
		return true;
	if (at->state == KMHEAP_OBJECT_PAGES)
		kmh_misuse(KMH_INVALID_FREE, "pages that their owner manages", addr, s, at, ip);
	else if (at->base == addr)
		kmh_misuse_doubled(addr, s, at, ip);
	else if (at->base)
		kmh_misuse(KMH_INVALID_FREE, "inside an object", addr, s, at, ip);
	else
		kmh_misuse(KMH_INVALID_FREE, "behind the last object of a span", addr, s, at, ip);
	return false;
}

/**
 * kmheap_lookup() - what an address is
 * @addr: any value; interior pointers count.
 * @obj: where to put what was found.
 *
 * The answer may be old when it arrives, unless the caller keeps the object alive.
 *
 * Context: Any, NMI included. Lock-free.
 * Return: false when no object is or was at @addr.
 */
bool kmheap_lookup(const void *addr, struct kmheap_object *obj)
{
	struct kmh_where at = {};
	struct kmh_mspan *s;

	preempt_disable();
	s = kmh_span_of((unsigned long)addr);
	if (READ_ONCE(s->state) >= KMH_SPAN_SMALL) {
		kmh_locate(s, (unsigned long)addr, &at);
		obj->heap = at.heap;
		obj->base = (void *)at.base;
		obj->bytes = at.bytes;
		obj->state = at.state;
		obj->data = at.span == KMH_SPAN_LARGE ? READ_ONCE(s->noscan) :
			    kmh_spanclass_noscan(READ_ONCE(s->spanclass));
	}
	preempt_enable();
	return at.base;
}
EXPORT_SYMBOL_GPL(kmheap_lookup);

/**
 * kmheap_check_object() - do bytes lie in one live object?
 * @p: the first of them; any value.
 * @n: how many; of 0 the answer is whether @p lies in an object.
 *
 * For a check before a copy whose length is not to be trusted, as hardened usercopy makes for
 * objects of kmalloc(). The bytes of an object are the usable ones (kmheap_size()); with KASAN,
 * those that were asked for. The answer may be old when it arrives, unless the caller keeps the
 * object alive.
 *
 * Context: Any, NMI included. Lock-free.
 * Return: true when all of them lie in one live object, or in one run of pages; false for anything
 * else, memory that is not kmheap's included.
 */
bool kmheap_check_object(const void *p, size_t n)
{
	struct kmheap_object obj;
	size_t before;

	if (!kmheap_lookup(p, &obj) ||
	    (obj.state != KMHEAP_OBJECT_LIVE && obj.state != KMHEAP_OBJECT_PAGES))
		return false;
	before = p - obj.base;
	return before < obj.bytes && n <= obj.bytes - before;
}
EXPORT_SYMBOL_GPL(kmheap_check_object);

/**
 * kmheap_owns() - is an address memory of a heap?
 * @p: any value; interior pointers count.
 *
 * Tells which kind of free a pointer needs, where memory of kmheap and of others meet: memory of a
 * heap is what kmheap_free() frees, or reports. That is every byte of an object, live or dead, and
 * every page of an arena, in use or not. It is so for as long as the arena is the heap's: whoever
 * holds a live object gets true, and the kernel's own memory never does.
 *
 * Context: Any, NMI included. Lock-free; takes a few instructions and reads no span.
 * Return: true for memory of a heap; false for anything else, NULL and ZERO_SIZE_PTR included, and
 * for memory that went back to the kernel.
 */
bool kmheap_owns(const void *p)
{
	const struct kmh_mspan *s = kmh_span_of((unsigned long)p);

	return s != &kmh_span_none && s != &kmh_span_gone;
}
EXPORT_SYMBOL_GPL(kmheap_owns);

/**
 * kmheap_is_linear() - does an object lie in the direct map?
 * @p: any value; interior pointers count.
 *
 * True for each object of a heap with KMHEAP_LINEAR. A heap that says neither that nor KMHEAP_AREA
 * may have objects of both kinds; ask before such an object goes where virt_to_page() is called. A
 * linear object is physically contiguous.
 *
 * Context: Any, NMI included. Lock-free.
 * Return: true when @p lies in an object, or in a run of pages, for which virt_to_page() and
 * virt_to_phys() work. False also for what is not kmheap's.
 */
bool kmheap_is_linear(const void *p)
{
	struct kmh_mspan *s;
	bool ours;

	preempt_disable();
	s = kmh_span_of((unsigned long)p);
	ours = READ_ONCE(s->state) >= KMH_SPAN_SMALL;
	preempt_enable();
	/* All arenas that are no blocks are vmalloc areas. */
	return ours && !is_vmalloc_addr(p);
}
EXPORT_SYMBOL_GPL(kmheap_is_linear);

/* Usable bytes of the object that begins at @p; 0 if @p is no live object. Context: any. */
size_t kmh_live_bytes(const void *p)
{
	struct kmheap_object obj;

	if (!kmheap_lookup(p, &obj) || obj.base != p || obj.state != KMHEAP_OBJECT_LIVE)
		return 0;
	return obj.bytes;
}

/**
 * kmheap_size() - usable bytes of an object, like ksize()
 * @p: the object; of an address that may be none kmheap_lookup() tells.
 *
 * Bytes beyond those asked for may be used only after kmheap_realloc() to that size, which moves
 * nothing: FORTIFY_SOURCE and KASAN know the size that was asked for.
 *
 * Context: Any, NMI included. Lock-free.
 * Return: bytes from @p on that belong to the object; 0 for NULL and ZERO_SIZE_PTR, and for an
 * address of no live object, which is reported.
 */
size_t kmheap_size(const void *p)
{
	size_t bytes = kmh_live_bytes(p);

	if (unlikely(!bytes) && !ZERO_OR_NULL_PTR(p))
		kmh_report_bad_pointer(__func__, p, _RET_IP_);
	return bytes;
}
EXPORT_SYMBOL_GPL(kmheap_size);
