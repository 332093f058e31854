/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor cpu/, what one CPU has of a heap.
 *
 * An mcache has for each class a span to allocate from, some to go on with, and a magazine of
 * objects to allocate again; a block that tiny objects are cut from; pages, and freed large
 * objects. There is no lock: the rule at struct kmh_mcache guards all of it. What is too much, or
 * is wanted elsewhere, goes to the floor below, and nothing here waits for anybody.
 */
#ifndef _KMHEAP_MCACHE_H
#define _KMHEAP_MCACHE_H

#include <linux/cache.h>
#include <linux/compiler.h>
#include <linux/llist.h>
#include <linux/types.h>

#include "base/compat.h"
#include "base/validator.h"
#include "central/inbox.h"
#include "cpu/largecache.h"
#include "span/mspan.h"
#include "pages/pagecache.h"
#include "base/preempt_off.h"
#include "base/sizeclass.h"

struct kmh_magazine;
struct kmh_node;
struct kmheap;

/*
 * One class of an mcache: what an allocation touches, half a cache line. @word is the slot
 * word from which slots are allocated (the window) and @wbase the address of its first slot.
 * Without a span @word points to a word without a free slot.
 *
 * @avail are slots side by side in the window, set aside for the next allocations. Their free
 * bits stay set until they are taken, so a free of one of them is recognized as a double
 * free. They are a copy, because an allocation that read the word would have to wait for the
 * last free to write it: an address, a lookup and a multiplication later. With the copy the
 * two overlap, and freed slots are still warm when the window is looked at again.
 */
struct kmh_mcslot {
	unsigned long avail;
	struct kmh_slots *word;
	unsigned long wbase;
	struct kmh_mspan *span;
};

/*
 * A CPU's own level of a heap.
 *
 * The rule: fields are touched only between kmh_mcache_enter() and kmh_mcache_leave() on the CPU
 * that the mcache belongs to. Preemption is off, so no other task runs here meanwhile; an
 * interrupt or NMI that comes in between finds @busy set and takes the other road (mcentral,
 * remote word). The flag is a promise between a CPU and itself: plain loads and stores with
 * compiler barriers do, because an interrupt is sequential with what it interrupts, and nobody
 * ever looks at another CPU's flag. A dead CPU's mcache is drained without the flag.
 */
struct kmh_mcache {
	u8 busy;
	u8 no_magazines;		/* written once, by any CPU */
	u8 atomic;			/* the slow part serves a caller that cannot sleep */

	/* tiny.c: the block being filled; tiny_span NULL when there is none */
	unsigned int tiny_slot;
	unsigned int tiny_off;
	struct kmh_mspan *tiny_span;
	unsigned long tiny_allocs;

	struct kmheap *heap;
	struct kmh_mcache __percpu *percpu;	/* == heap->mcache */
	struct kmh_node *node;		/* the node that the CPU is served from */
	unsigned int trips;		/* of this CPU; see kmh_trip_begin() */
	unsigned int visited;		/* the last round of kmh_sweep_caches() that was here */
	unsigned long deferred;		/* bytes not yet in heap->defer.pending; kmh_cpu_add() */
	unsigned long marked;		/* objects marked, ever; added to like @deferred */
	struct kmh_pagecache pages;
	struct kmh_largecache large;
	unsigned long idle_seen;	/* idle.c: seen at its last look; its worker's */
	bool idle;			/* idle.c: to be drained; its worker's */
	struct llist_node *spare[KMH_NR_SPANCLASSES];	/* cached, to allocate from next */
	struct kmh_magazine *magazine[KMH_NR_SPANCLASSES];	/* NULL until it is needed */
	unsigned long refills[KMH_NR_SPANCLASSES];	/* ever; trips to mcentral */
	unsigned long taken[KMH_NR_SPANCLASSES];	/* ever; allocations, and @avail */

	struct kmh_mcslot slot[KMH_NR_SPANCLASSES] ____cacheline_aligned;

	/* Not under the rule: under the locks of @node's mcentrals, and any CPU adds. */
	struct kmh_inbox inbox[KMH_NR_SPANCLASSES] ____cacheline_aligned;
	u8 turns[KMH_NR_SPANCLASSES];	/* how often @announced has become @ripe */
};

extern struct kmh_slots kmh_no_slots;

void *kmh_magazine_get(struct kmh_mcache *mc, unsigned int spanclass);
bool kmh_mcslot_turn(struct kmh_mcslot *c);

static __always_inline bool kmh_mcache_enter(struct kmh_mcache *mc)
{
	kmh_assert_pinned();
	if (unlikely(mc->busy))
		return false;
	WRITE_ONCE(mc->busy, 1);
	barrier();	/* pairs with the one in kmh_mcache_leave() */
	return true;
}

static __always_inline void kmh_mcache_leave(struct kmh_mcache *mc)
{
	barrier();	/* pairs with the one in kmh_mcache_enter() */
	WRITE_ONCE(mc->busy, 0);
}

/*
 * Take the lowest slot of those that are set aside. In the section, whose owner alone writes
 * @free; the set bit becomes a clear one. False when none is left: kmh_mcache_reload() then.
 */
static __always_inline bool kmh_mcslot_take(struct kmh_mcslot *c, unsigned long spanclass,
					    void **p)
{
	unsigned long avail = c->avail, rest = avail & (avail - 1), bit;

	if (unlikely(!avail))
		return false;
	data_race(c->avail = rest);	/* statistics load it; WRITE_ONCE() costs instructions */
	bit = avail ^ rest;
	OPTIMIZER_HIDE_VAR(bit);	/* one operation on memory, not three */
	/* Plain, so that it is one instruction where there is one: an aligned long. */
	data_race(c->word->free ^= bit);
	*p = (void *)(c->wbase + __ffs(avail) * kmh_spanclass_size[spanclass]);
	return true;
}

/* Slots to set aside at a time: about 8 KiB, which stay in the first-level cache. */
static __always_inline unsigned int kmh_batch_slots(size_t bytes)
{
	return bytes <= 128 ? 64 : bytes <= 512 ? 16 : 8;
}

/*
 * Set aside the next slots of the window, those side by side from the lowest free one on. In the
 * section. False when the window has none.
 */
static __always_inline bool kmh_mcache_reload(struct kmh_mcache *mc, unsigned int spanclass)
{
	unsigned int n = kmh_batch_slots(kmh_spanclass_size[spanclass]);
	struct kmh_mcslot *c = &mc->slot[spanclass];
	unsigned long avail = kmh_slots_avail(c->word);

	if (!avail)
		return false;
	avail &= ~0UL >> (KMH_WORD_SLOTS - n) << (__ffs(avail) & -n);
	data_race(c->avail = avail);	/* as in kmh_mcslot_take() */
	/* Statistics load it outside the section. */
	data_race(mc->taken[spanclass] += hweight_long(avail));
	return true;
}

/* Allocations ever made from the mcache: slots that are only set aside do not count. */
static inline unsigned long kmh_mcache_allocs(const struct kmh_mcache *mc, unsigned int spanclass)
{
	return READ_ONCE(mc->taken[spanclass]) - hweight_long(READ_ONCE(mc->slot[spanclass].avail));
}

/*
 * Take a slot that is set aside, or one from the window, the magazine, or another word of the
 * span. NULL: there is none, and kmh_mcache_refill() is next.
 */
static inline void *kmh_mcache_take(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_mcslot *c = &mc->slot[spanclass];
	void *p;

	if (!c->avail && !kmh_mcache_reload(mc, spanclass)) {
		p = kmh_magazine_get(mc, spanclass);
		if (p || !kmh_mcslot_turn(c) || !kmh_mcache_reload(mc, spanclass))
			return p;
	}
	return kmh_mcslot_take(c, spanclass, &p) ? p : NULL;
}

/* Spans that a refill takes at most: one to allocate from, the others to spare. */
#define KMH_REFILL_SPANS	4U

/* Free a slot of a span that this CPU's mcache owns. In the section. */
static __always_inline enum kmh_free_result kmh_free_owned(struct kmh_mspan *s,
							   unsigned long slot)
{
	struct kmh_slots *w = &s->w[slot / KMH_WORD_SLOTS];
	unsigned long bit = slot % KMH_WORD_SLOTS, free = w->free;

	/* The remote bit: another CPU frees the same slot right now; see kmh_mspan_set_remote(). */
	if (unlikely((free | data_race(w->remote.counter)) >> bit & 1))
		return KMH_FREE_DOUBLE;
	WRITE_ONCE(w->free, free | BIT(bit));
	return KMH_FREE_OK;
}

/*
 * The owner is compared inside the section, because before that an interrupt could still have
 * given the span to another CPU. The flag that is set is this CPU's own, whoever owns the
 * span: the mcache is that of the span's heap.
 */
static __always_inline enum kmh_free_result kmh_free_local(struct kmh_mspan *s, unsigned long slot,
							   unsigned long cpu)
{
	struct kmh_mcache *mc = kmh_this_cpu_ptr(s->mcache, cpu);
	enum kmh_free_result res;

	if (unlikely(!kmh_mcache_enter(mc)))
		return KMH_FREE_FOREIGN;
	/* Only this CPU writes its own mcache there, so a racing write never makes it equal. */
	if (unlikely(data_race(s->owner) != mc)) {
		kmh_mcache_leave(mc);
		return KMH_FREE_FOREIGN;
	}
	res = kmh_free_owned(s, slot);
	kmh_mcache_leave(mc);
	return res;
}

enum kmh_free_result kmh_free_slot(struct kmh_mspan *s, unsigned int slot);
void kmh_mcache_walk_spans(struct kmh_mcache *mc, void (*fn)(struct kmh_mspan *s));
int kmh_mcache_init(struct kmheap *heap);
void kmh_mcache_renode(struct kmheap *heap, unsigned int cpu);
void kmh_mcache_destroy(struct kmheap *heap, struct kmh_mcache __percpu *mcache);
bool kmh_mcache_refill(struct kmh_mcache *mc, unsigned int spanclass);
void kmh_mcache_drain_locked(struct kmh_mcache *mc);

/* CPUs that a visit has found: those it could enter, and those that were in their section. */
struct kmh_visited {
	unsigned int done, busy;
};

struct kmh_visited kmh_mcache_visit(struct kmheap *heap, void (*fn)(struct kmh_mcache *mc),
				    bool (*wanted)(const struct kmh_mcache *mc));
bool kmh_mcache_holds_any(const struct kmh_mcache *mc);
unsigned int kmh_mcache_validate(struct kmheap *heap, kmh_finding_fn finding, void *ctx);

#endif /* _KMHEAP_MCACHE_H */
