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
#include <linux/prefetch.h>
#include <linux/stddef.h>
#include <linux/types.h>

#include "base/compat.h"
#include "base/validator.h"
#include "central/inbox.h"
#include "cpu/largecache.h"
#include "span/mspan.h"
#include "pages/pagecache.h"
#include "base/preempt_off.h"
#include "base/sizeclass.h"

/*
 * An allocation from a magazine fetches the first line of the object that is so many entries behind
 * its own, as SLUB does for its next object: it may have been out of all caches for long, or be in
 * another CPU's. There are that many entries behind, as more of them rest.
 */
#define KMH_MCSLOT_AHEAD	3

struct kmh_magazine;
struct kmh_watch;
struct kmh_node;
struct kmheap;

/* A freed object in a magazine. */
struct kmh_entry {
	unsigned long addr;
	u8 *cell;
};

/*
 * One class of an mcache: what an allocation or a free touches of it, one cache line.
 *
 * The magazine is a queue of objects that this CPU has freed: entries from @head to before @tail.
 * Those from @head to before @ready may be allocated again; the others rest. When @tail has come to
 * @limit, there is something to do before another one (kmh_magazine_make_room()). Without a
 * magazine all are NULL.
 *
 * @avail are slots of one word of @span, the window, with @wbase the address of the first one
 * and @wcell its cell. They have been taken out of the span's free bits and are allocated from when
 * the magazine has nothing to give.
 */
struct kmh_mcslot {
	struct kmh_entry *head;
	struct kmh_entry *ready;
	struct kmh_entry *tail;
	struct kmh_entry *limit;
	unsigned long avail;
	u8 *wcell;
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
 *
 * The fields up to @watch_other are all that a stub has (struct kmh_mcache_stub).
 */
struct kmh_mcache {
	u8 busy;
	u8 tag;				/* in the cells of what its magazines hold */
	u8 atomic;			/* the slow part serves a caller that cannot sleep */
	u8 shelving;			/* it serves no client yet: nothing is sampled */
	u16 nid;			/* @node's */

	/* tiny.c: the block being filled; tiny_span NULL when there is none */
	unsigned int tiny_slot;
	unsigned int tiny_off;
	struct kmh_mspan *tiny_span;
	unsigned long tiny_allocs;

	struct kmheap *heap;
	struct kmh_node *node;		/* the node that the CPU is served from */
	unsigned int trips;		/* of this CPU; see kmh_trip_begin() */
	unsigned int visited;		/* the last round of kmh_sweep_caches() that was here */
	unsigned long deferred;		/* bytes not yet in heap->defer.pending; kmh_cpu_add() */
	unsigned long marked;		/* objects marked, ever; added to like @deferred */
	struct kmh_watch *watch;	/* NULL, or the heap is profiled: watch.c */
	struct kmh_watch *own_watch;	/* what @watch becomes; under profile.mutex */
	unsigned long watch_other;	/* bytes past the classes since a hit; as @deferred */
	struct kmh_pagecache pages;
	struct kmh_largecache large;
	unsigned long idle_seen;	/* idle.c: seen at its last look; its worker's */
	bool idle;			/* idle.c: to be drained; its worker's */
	unsigned int lost_round;	/* lost_arena.c: the last search that has met the CPU */
	struct llist_node *spare[KMH_NR_SPANCLASSES];	/* cached, to allocate from next */
	struct kmh_magazine *magazine[KMH_NR_SPANCLASSES];	/* NULL until it is needed */
	unsigned long refills[KMH_NR_SPANCLASSES];	/* ever; trips to mcentral */
	unsigned long taken[KMH_NR_SPANCLASSES];	/* kmh_mcache_allocs() */
	s8 trend[KMH_NR_SPANCLASSES];	/* depot.c: which way objects go lately */

	struct kmh_mcslot slot[KMH_NR_SPANCLASSES] ____cacheline_aligned;

	/* Not under the rule: under the locks of @node's mcentrals, and any CPU adds. */
	struct kmh_inbox inbox[KMH_NR_SPANCLASSES] ____cacheline_aligned;
	u8 turns[KMH_NR_SPANCLASSES];	/* how often @announced has become @ripe */
};

/*
 * The beginning of an mcache, whose flag is always set: what CPUs have of a heap while it is small,
 * and once it has ended. Whoever comes finds the mcache busy, as an interrupt may, and takes the
 * other road, so the fast paths need no test. What may be written without the flag is there.
 */
struct kmh_mcache_stub {
	u8 head[offsetofend(struct kmh_mcache, watch_other)];
} __aligned(sizeof(long));

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
 * Take the object that has been in the magazine for longest, or the lowest slot of the window. In
 * the section. A plain store makes the slot a client's: what comes between look and store is a
 * free that comes too late, as if it came after it. WRITE_ONCE() of the fields would cost
 * instructions. @live: the value of the cell from then on. False when there is none, or it is
 * another party's: kmh_mcache_take() then.
 */
static __always_inline bool kmh_mcslot_take(struct kmh_mcache *mc, struct kmh_mcslot *c,
					    unsigned long spanclass, u8 live, void **p)
{
	struct kmh_entry *e = c->head;
	unsigned long avail;
	u8 *cell;

	if (likely(e < c->ready)) {
		cell = e->cell;
		if (unlikely(data_race(*cell) != mc->tag))	/* any CPU may free twice */
			return false;
		WRITE_ONCE(*cell, live);
		data_race(c->head = e + 1);	/* statistics load it */
		*p = (void *)e->addr;
		prefetchw((void *)e[KMH_MCSLOT_AHEAD].addr);
		return true;
	}
	avail = c->avail;
	if (unlikely(!avail))
		return false;
	cell = c->wcell + __ffs(avail);
	if (unlikely(data_race(*cell) != KMH_CELL_OUT))	/* as above */
		return false;
	WRITE_ONCE(*cell, live);
	data_race(c->avail = avail & (avail - 1));	/* as above */
	*p = (void *)(c->wbase + __ffs(avail) * kmh_spanclass_size[spanclass]);
	return true;
}

/* Make a freed object, whose cell has the tag, the magazine's last entry, @e. In the section. */
static __always_inline void kmh_mcslot_push(struct kmh_mcslot *c, struct kmh_entry *e,
					    unsigned long addr, u8 *cell)
{
	e->addr = addr;
	e->cell = cell;
	data_race(c->tail = e + 1);	/* statistics load it */
	c->ready++;
}

/*
 * Put a freed object into the magazine. In the section; the caller has seen its cell live. Return:
 * false, and nothing done, when there is no room, or this CPU is not the one that frees objects of
 * the span with plain stores: kmh_mcache_free_slow() then.
 */
static __always_inline bool kmh_mcslot_put(struct kmh_mcache *mc, struct kmh_mcslot *c,
					   const struct kmh_mspan *s, unsigned long addr, u8 *cell)
{
	struct kmh_entry *e = c->tail;

	if (unlikely(e == c->limit || READ_ONCE(s->freer) != mc->tag))
		return false;
	kmh_test_point("free: between freer and store");
	WRITE_ONCE(*cell, mc->tag);
	kmh_mcslot_push(c, e, addr, cell);
	return true;
}

/* The class of an mcache that a span of its heap belongs to. */
static __always_inline struct kmh_mcslot *kmh_mcache_slot(struct kmh_mcache *mc,
							  const struct kmh_mspan *s)
{
	/* The descriptor may be recycled under a second free. */
	return (void *)mc + data_race(s->mcslot);
}

/* Slots to set aside at a time: about 8 KiB, which stay in the first-level cache. */
static __always_inline unsigned int kmh_batch_slots(size_t bytes)
{
	return bytes <= 128 ? 64 : bytes <= 512 ? 16 : 8;
}

unsigned long kmh_mcache_allocs(const struct kmh_mcache *mc, unsigned int spanclass);
void *kmh_mcache_take_unwatched(struct kmh_mcache *mc, unsigned int spanclass);
void *kmh_mcache_take(struct kmh_mcache *mc, unsigned int spanclass);
void kmh_mcslot_return(struct kmh_mcache *mc, struct kmh_mcslot *c, unsigned long mask);
enum kmh_free_result kmh_mcache_free_slow(struct kmh_mcache *mc, struct kmh_mspan *s,
					  unsigned long slot, unsigned long addr);

/* Spans that a refill takes at most: one to allocate from, the others to spare. */
#define KMH_REFILL_SPANS	4U

enum kmh_free_result kmh_free_slot(struct kmh_mspan *s, unsigned int slot, unsigned long addr);
void kmh_mcache_walk_spans(struct kmh_mcache *mc, void (*fn)(struct kmh_mspan *s));
int kmh_mcache_init(struct kmheap *heap);
int kmh_mcaches_make(struct kmheap *heap, gfp_t gfp);
size_t kmh_mcaches_missing_bytes(struct kmheap *heap);
void kmh_mcaches_want(struct kmheap *heap);
void kmh_mcaches_stop(struct kmheap *heap);
void kmh_mcache_renode(struct kmheap *heap, unsigned int cpu);
void kmh_mcache_destroy(struct kmheap *heap);
bool kmh_mcache_refill(struct kmh_mcache *mc, unsigned int spanclass);
void *kmh_mcache_refill_take(struct kmh_mcache *mc, unsigned int spanclass);
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
