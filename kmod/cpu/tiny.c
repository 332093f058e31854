// SPDX-License-Identifier: GPL-2.0
/*
 * The tiny allocator: data objects of up to 12 bytes, packed into 16-byte blocks.
 *
 * After Go's tiny allocator (src/runtime/malloc.go, mallocgcTiny). Go frees a block
 * when no pointer into it is left; here each object in it is freed by its client,
 * and the block goes back with the last one. For that, every block of a tiny span has
 * a state byte; objects start at one of four granules of 4 bytes:
 *
 *   bits 0-3	a live object starts at granule 0-3
 *   bits 4-6	an object starts or started, or the unused rest starts, at granule 1-3
 *   bit 7	open: some mcache still cuts objects from the block
 *
 * The boundaries in bits 4-6 stay when an object is freed, so that the extent of an
 * object never changes during its life and an interior pointer is known as such.
 */
#include <linux/mm.h>

#include "cpu/tiny.h"
#include "cpu/watch.h"
#include "heap.h"
#include "span/arenamap.h"

#define KMH_TINY_LIVE		0x0fU
#define KMH_TINY_OPEN		0x80U
#define KMH_TINY_BYTE		0xffU
#define KMH_TINY_BLOCK		16UL

static unsigned int kmh_tiny_boundary(unsigned int granule)
{
	return granule && granule < 4 ? 0x08U << granule : 0;
}

/*
 * The states of a span that nothing keeps; NULL when the descriptor has been recycled, so that its
 * union holds something else. The states are type-stable, as the descriptor is.
 */
static atomic_t *kmh_tiny_states(const struct kmh_mspan *s)
{
	atomic_t *tiny = READ_ONCE(s->tiny);

	smp_rmb();	/* pairs with the one in kmh_mspan_put() */
	if (READ_ONCE(s->state) != KMH_SPAN_TINY)
		return NULL;
	smp_rmb();	/* then the pointer once more; pairs with kmh_mspan_get() */
	return READ_ONCE(s->tiny) == tiny ? tiny : NULL;
}

static unsigned int kmh_tiny_state(const atomic_t *tiny, unsigned int block)
{
	return (u32)atomic_read(&tiny[block / 4]) >> block % 4 * 8 & KMH_TINY_BYTE;
}

static void kmh_tiny_set(atomic_t *tiny, unsigned int block, unsigned int bits)
{
	atomic_or(bits << block % 4 * 8, &tiny[block / 4]);
}

/* Clear @bits of the block's state. Fully ordered. Return: the state before. */
static unsigned int kmh_tiny_clear(atomic_t *tiny, unsigned int block, unsigned int bits)
{
	unsigned int shift = block % 4 * 8;

	return (u32)atomic_fetch_andnot(bits << shift, &tiny[block / 4]) >> shift & KMH_TINY_BYTE;
}

/*
 * Nothing in a block is live, and no CPU cuts objects from it. Its deferred bit is set before the
 * last deferred object's live bit is cleared, so whoever finds nothing live sees it. Context: any;
 * preemption off.
 */
static enum kmh_free_result kmh_tiny_free_block(struct kmh_mspan *s, unsigned int block,
						enum kmh_free_result (*free)(struct kmh_mspan *s,
									     unsigned int slot,
									     unsigned long addr))
{
	kmh_assert_pinned();
	if (unlikely(kmh_mspan_slot_waits(s, block)))
		return kmh_mspan_free_waiting(s, block);
	return free(s, block, kmh_mspan_slot_addr(s, block));
}

/*
 * Close the open block, so that no more objects are cut from it. It is freed if nothing in it is
 * live; otherwise the last free does that. In the section of @mc, or its CPU is dead.
 */
void kmh_tiny_close(struct kmh_mcache *mc)
{
	struct kmh_mspan *s = mc->tiny_span;

	kmh_assert_pinned();
	if (!s)
		return;
	mc->tiny_span = NULL;
	if (!(kmh_tiny_clear(s->tiny, mc->tiny_slot, KMH_TINY_OPEN) & KMH_TINY_LIVE))
		kmh_tiny_free_block(s, mc->tiny_slot, kmh_mspan_free_remote);
}

/* Open a fresh block. */
static bool kmh_tiny_open(struct kmh_mcache *mc)
{
	struct kmh_mspan *s;
	unsigned long p;

	kmh_tiny_close(mc);
	p = (unsigned long)kmh_mcache_take(mc, KMH_SPANCLASS_TINY);
	if (!p)
		p = (unsigned long)kmh_mcache_refill_take(mc, KMH_SPANCLASS_TINY);
	if (!p)
		return false;
	s = kmh_span_of(p);
	/* Of an arena that a client has freed, which is not known yet? Others stay as they are. */
	if (unlikely(READ_ONCE(s->state) != KMH_SPAN_TINY || READ_ONCE(s->heap) != mc->heap ||
		     p - READ_ONCE(s->base) >= KMH_PAGE_SIZE))
		return false;
	mc->tiny_span = s;
	mc->tiny_slot = (p - s->base) / KMH_TINY_BLOCK;
	mc->tiny_off = 0;
	/* Only this CPU knows the block: clear the boundaries of its last life. */
	kmh_tiny_clear(s->tiny, mc->tiny_slot, KMH_TINY_BYTE);
	kmh_tiny_set(s->tiny, mc->tiny_slot, KMH_TINY_OPEN);
	return true;
}

/* If everything cut from the open block has been freed, begin it again. */
static void kmh_tiny_rewind(struct kmh_mcache *mc)
{
	if (kmh_tiny_state(mc->tiny_span->tiny, mc->tiny_slot) & KMH_TINY_LIVE)
		return;
	smp_rmb();	/* deferred, live: pairs with the order in kmh_tiny_defer() */
	if (kmh_mspan_slot_waits(mc->tiny_span, mc->tiny_slot))
		return;
	mc->tiny_off = 0;
	kmh_tiny_clear(mc->tiny_span->tiny, mc->tiny_slot, KMH_TINY_BYTE & ~KMH_TINY_OPEN);
}

/* Cut @bytes from the open block. Return: NULL when they do not fit. */
static void *kmh_tiny_cut(struct kmh_mcache *mc, size_t bytes)
{
	unsigned int off, first, end;

	if (!mc->tiny_span)
		return NULL;
	kmh_tiny_rewind(mc);
	off = round_up(mc->tiny_off, bytes % 8 ? KMH_TINY_GRANULE : 8);
	if (off + bytes > KMH_TINY_BLOCK)
		return NULL;
	first = off / KMH_TINY_GRANULE;
	end = DIV_ROUND_UP(off + bytes, KMH_TINY_GRANULE);
	mc->tiny_off = end * KMH_TINY_GRANULE;
	data_race(mc->tiny_allocs++);	/* statistics load it */
	kmh_tiny_set(mc->tiny_span->tiny, mc->tiny_slot,
		     BIT(first) | kmh_tiny_boundary(first) | kmh_tiny_boundary(end));
	return (void *)(kmh_mspan_slot_addr(mc->tiny_span, mc->tiny_slot) + off);
}

static void *kmh_tiny_try(struct kmheap *heap, size_t bytes, bool atomic)
{
	struct kmh_mcache *mc;
	void *p = NULL;

	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	if (kmh_mcache_enter(mc)) {
		mc->atomic = atomic;
		/* Nothing is packed in a profiled heap, which the caller may not know yet. */
		if (!kmh_watched(mc))
			p = kmh_tiny_cut(mc, bytes);
		if (!p && !kmh_watched(mc) && kmh_tiny_open(mc))
			p = kmh_tiny_cut(mc, bytes);
		kmh_mcache_leave(mc);
	}
	preempt_enable();
	return p;
}

/*
 * A packed data object of 1 to KMH_MAX_TINY bytes. Context: what @gfp says. Return: the object;
 * NULL where the mcache is busy or without pages, and an ordinary data object does as well.
 */
void *kmh_tiny_alloc(struct kmheap *heap, size_t bytes, gfp_t gfp)
{
	void *p = kmh_tiny_try(heap, bytes, kmh_alloc_is_urgent(gfp));

	if (likely(p) && want_init_on_alloc(gfp))
		memset(p, 0, round_up(bytes, KMH_TINY_GRANULE));
	return p;
}

/*
 * The object that an address in a tiny span belongs to: @base is set to its first byte, @block to
 * the block that it lies in, @live to whether it is live. Context: any; preemption off. Return:
 * its usable bytes; 0, and nothing set, when the span is not a tiny one any more.
 */
size_t kmh_tiny_extent(const struct kmh_mspan *s, unsigned long addr, unsigned long *base,
		       unsigned int *block, bool *live)
{
	const atomic_t *tiny = kmh_tiny_states(s);
	unsigned long off = addr - READ_ONCE(s->base);
	unsigned int first = off % KMH_TINY_BLOCK / KMH_TINY_GRANULE, state, end;

	kmh_assert_pinned();
	if (!tiny || off >= KMH_PAGE_SIZE)
		return 0;
	*block = off / KMH_TINY_BLOCK;
	state = kmh_tiny_state(tiny, *block);
	while (first && !(state & kmh_tiny_boundary(first)))
		first--;
	for (end = first + 1; end < 4 && !(state & kmh_tiny_boundary(end)); end++)
		;
	*base = addr - off % KMH_TINY_BLOCK + first * KMH_TINY_GRANULE;
	*live = state & BIT(first);
	return (end - first) * KMH_TINY_GRANULE;
}

/*
 * Free one object of a tiny span, at the base that kmh_tiny_extent() gives. Another free of the
 * object at the same time may have had the span recycled. So the states, which are type-stable as
 * the descriptor is, are looked up once, and once more after the claim.
 *
 * Context: any; preemption off. Return: KMH_FREE_DOUBLE, and nothing done, when it was not live.
 */
enum kmh_free_result kmh_tiny_free(struct kmh_mspan *s, unsigned long addr)
{
	atomic_t *tiny = kmh_tiny_states(s);
	unsigned long off = addr - READ_ONCE(s->base);
	unsigned int block = off / KMH_TINY_BLOCK, before;
	unsigned int bit = BIT(off % KMH_TINY_BLOCK / KMH_TINY_GRANULE);

	kmh_assert_pinned();
	if (unlikely(!tiny || off >= KMH_PAGE_SIZE))
		return KMH_FREE_DOUBLE;
	kmh_test_point("claim of a tiny object");
	before = kmh_tiny_clear(tiny, block, bit);
	if (!(before & bit))
		return KMH_FREE_DOUBLE;
	if (unlikely(kmh_tiny_states(s) != tiny || addr - READ_ONCE(s->base) != off)) {
		kmh_tiny_set(tiny, block, bit);
		return KMH_FREE_DOUBLE;
	}
	if (before & ~bit & (KMH_TINY_LIVE | KMH_TINY_OPEN))
		return KMH_FREE_OK;
	return kmh_tiny_free_block(s, block, kmh_free_slot);
}

/* Objects live in a tiny span, which may be another one by now. Context: any; exact at rest. */
unsigned int kmh_tiny_live(const struct kmh_mspan *s)
{
	const atomic_t *tiny = kmh_tiny_states(s);
	unsigned int i, n = 0;

	for (i = 0; tiny && i < KMH_PAGE_SIZE / KMH_TINY_BLOCK / 4; i++)
		n += hweight32(atomic_read(&tiny[i]) & 0x0f0f0f0f);
	return n;
}
