/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmheap private header: the structures of every tier and what each tier offers
 * to its neighbour. Documentation/design.rst tells how they work together.
 *
 * Lock order, outermost first. Nothing marked "raw" may sleep, allocate or call
 * back into kmheap.
 *
 *  1. kmh_heaps_mutex		list of heaps; debugfs, module notifier, cpuhp
 *     kmh_special_mutex	specials come and go; none of 1 to 3 with it
 *  2. heap->grow_mutex		one grower at a time, callers that may enter FS/IO
 *     heap->grow_noio_mutex	the same for callers that may not; never both held
 *     heap->sweep.mutex	generations and collections; inside 2 or alone
 *  3. heap->arenas_mutex	list of arenas; holders do not allocate
 *     kmh_arenamap_mutex	growing the address map; inside 2, never with 3
 *  4. mcache section		preemption off and mcache->busy set, this CPU only
 *  5. mcentral->lock		raw, interrupts saved; NMI only tries
 *  6. mheap->lock		raw, interrupts saved; NMI only tries
 *  7. kmh_fixalloc.lock	raw, interrupts saved; NMI only tries
 *
 * Any of 5 to 7 may be taken with or without the ones before it. The first heap
 * takes 5 and 6 once in this order (kmh_teach_lock_order()), so lockdep reports
 * the first code that takes them the other way round.
 */
#ifndef _KMHEAP_INTERNAL_H
#define _KMHEAP_INTERNAL_H

#include <linux/atomic.h>
#include <linux/irq_work.h>
#include <linux/kmheap.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rculist.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "backend.h"
#include "compat.h"
#include "finding.h"
#include "fixalloc.h"
#include "largecache.h"
#include "pagealloc.h"
#include "sizeclass.h"
#include "sweep.h"

#ifndef KMH_PAGE_SHIFT
#define KMH_PAGE_SHIFT		13
#endif
#define KMH_PAGE_SIZE		BIT(KMH_PAGE_SHIFT)

/* Slots per word of a span's state. */
#define KMH_WORD_SLOTS		BITS_PER_LONG

/* Without SMP a trylock always succeeds, also on what the NMI interrupted. */
static inline bool kmh_nmi_on_up(void)
{
	return !IS_ENABLED(CONFIG_SMP) && in_nmi();
}

/*
 * Take a tier's lock. False in NMI when it is taken: it may be held by what the NMI
 * interrupted. The macro tells sparse what the function did.
 */
static inline bool __kmh_lock_irqsave(raw_spinlock_t *lock, unsigned long *flags)
{
	if (unlikely(in_nmi())) {
		if (kmh_nmi_on_up() || !raw_spin_trylock_irqsave(lock, *flags))
			return false;
	} else {
		raw_spin_lock_irqsave(lock, *flags);
	}
	__release(lock);
	return true;
}

#define kmh_lock_irqsave(lock, flags)						\
({										\
	raw_spinlock_t *__lock = (lock);					\
										\
	__cond_lock(__lock, __kmh_lock_irqsave(__lock, &(flags)));		\
})

/* ------------------------------------------------------------------ mspan.c */

/*
 * State of up to 64 slots. A slot is live exactly when both bits are clear.
 *
 * @free is written only by the span's sweeper: the mcache section of the CPU
 * that caches the span, or whoever has it off every list (home CACHED, no owner);
 * everyone may read it.
 * @remote is set by anyone, atomically, and taken back by the sweeper, which makes the slot
 * free, or by a magazine, which makes it live again: whichever finds it set. A slot with
 * both bits is given to nobody, so a free that raced with another free of the same slot
 * waits here until the fold reports it.
 *
 * Both sit together because every free looks at both: a remote free costs one
 * cache line, not two.
 *
 * Behind the words of a span lie, for each, two words of deferred bits and one of
 * mark bits (kmh_mspan_deferred(), kmh_mspan_mark()). A deferred bit keeps a remote
 * bit from being folded; neither an allocation nor an immediate free looks at it.
 */
struct kmh_slots {
	unsigned long free;
	atomic_long_t remote;
};

/*
 * For the atomic operations on one bit, which are one instruction where the others of
 * atomic_long_t that return what was there are a loop; as fully ordered as those.
 */
static __always_inline unsigned long *kmh_slots_remote(struct kmh_slots *w)
{
	return (unsigned long *)&w->remote.counter;
}

/* Bytes of state per word: free, remote, two deferred sets, marks. */
#define KMH_WORD_BYTES		(5 * sizeof(unsigned long))

enum kmh_span_state {
	KMH_SPAN_NONE,		/* sentinel: not an address of kmheap */
	KMH_SPAN_GONE,		/* sentinel: its arena went back to the kernel */
	KMH_SPAN_UNUSED,	/* sentinel: a page of a heap that was never in use; guards */
	KMH_SPAN_FREED,		/* sentinel: a page of a heap whose span went back */
	KMH_SPAN_SMALL,
	KMH_SPAN_TINY,
	KMH_SPAN_LARGE,
	KMH_SPAN_MANUAL,	/* a run of pages that the client manages */
};

/*
 * Where a span is found. Documentation/design.rst, section 5, has who may move it.
 * The last two are those that a remote free announces.
 */
enum kmh_span_home {
	KMH_HOME_CACHED,	/* in an mcache, or on its way between two homes */
	KMH_HOME_PARTIAL,	/* on a partial set of its mcentral */
	KMH_HOME_ANNOUNCED,	/* on mcentral->announced, perhaps on a full set as well */
	KMH_HOME_FULL,		/* nowhere; a remote free announces it, or is in a magazine */
	KMH_HOME_LISTED,	/* full, on a full set: the sweep has to find it */
};

/*
 * A run of heap pages that holds objects of one class. Comes from a fixalloc and
 * is type-stable: a racing lookup may follow a stale pointer to it and then
 * finds that the slot arithmetic does not fit.
 *
 * The second half, from @base on, is what a free touches: one cache line with
 * the state of the first slot word at its end. @nfast is the number of slots of a small
 * span; it is 0 for every other kind, in collected heaps, where an object has a special
 * and where the kernel wants freed memory wiped, so that one compare sends all of them
 * and the sentinels to the slow path.
 */
struct kmh_mspan {
	struct kmheap *heap;
	struct kmh_mheap *mheap;
	struct kmh_arena *arena;
	union {
		struct list_head list;	/* a set of its mcentral, under its lock */
		struct kmh_mspan *dead;	/* the next one of a heap that is torn down */
		struct kmh_mspan *parked;	/* the next one of its length: largecache.c */
	};
	struct llist_node node;		/* mcentral->announced, mcache->spare, ... */
	union {
		atomic_t *tiny;		/* TINY: state of the sub-objects */
		size_t large_bytes;	/* LARGE, MANUAL: bytes asked for */
	};
	u32 npages;
	u16 nelems;
	u16 nspecials;			/* objects with side data; under kmh_special_mutex */

	unsigned long base;		/* address of the first slot; second cache line */
	struct kmh_mcache *owner;	/* written by the owner's section only */
	struct kmh_mcache __percpu *mcache; /* == heap->mcache */
	union {
		u32 divmul;
		u32 noscan;		/* LARGE: asked for as data */
	};
	u32 nfast;
	u8 spanclass;
	u8 state;			/* enum kmh_span_state */
	u8 nwords;
	u8 pool;			/* which kmh_span_pool it came from */
	u8 dirty[2];			/* has bits in this deferred set */
	u16 elemsize;			/* 0 but for SMALL and TINY */
	atomic_t home;			/* enum kmh_span_home */
	atomic_t sweepgen;		/* see sweep.c */
	struct kmh_slots w[];
};

#define KMH_SPAN_POOLS		8

/*
 * Spans whose metadata is kept ready for callers that cannot sleep: the pages of
 * two of the smallest arenas. The worker refills it when it has run out.
 */
#define KMH_SPAN_RESERVE	64

int kmh_mspan_pools_init(void);
void kmh_mspan_pools_destroy(void);
int kmh_mspan_pools_reserve(unsigned int nobjs, gfp_t gfp);
bool kmh_mspan_pools_short(unsigned int spanclass);
u64 kmh_mspan_pools_idle_bytes(void);
unsigned int kmh_mspan_pools_validate(kmh_finding_fn finding, void *ctx);

struct kmh_mspan *kmh_mspan_get(unsigned int spanclass);
void kmh_mspan_put(struct kmh_mspan *s);
size_t kmh_mspan_bytes(const struct kmh_mspan *s);
unsigned int kmh_mspan_fast_slots(const struct kmh_mspan *s);
void kmh_mspan_init(struct kmh_mspan *s, unsigned int spanclass, unsigned long base, u32 npages);
unsigned int kmh_mspan_fold_word(struct kmh_mspan *s, unsigned int word);
unsigned int kmh_mspan_fold(struct kmh_mspan *s);
struct kmh_slots *kmh_mspan_next_word(struct kmh_mspan *s, unsigned int from);
bool kmh_mspan_has_avail(const struct kmh_mspan *s);
bool kmh_mspan_empty(const struct kmh_mspan *s);
bool kmh_mspan_idle(const struct kmh_mspan *s);
void kmh_mspan_blacken(struct kmh_mspan *s);

/* How many slots are in which state; they add up to nelems at rest. */
struct kmh_span_count {
	unsigned int live;
	unsigned int free;
	unsigned int remote;
	unsigned int deferred;
};

void kmh_mspan_count(const struct kmh_mspan *s, struct kmh_span_count *n);
unsigned int kmh_mspan_validate(const struct kmh_mspan *s, kmh_finding_fn finding, void *ctx);

/* The deferred bits of one word in one of the two sets. */
static __always_inline atomic_long_t *kmh_mspan_deferred(const struct kmh_mspan *s,
							 unsigned int word, unsigned int set)
{
	return (atomic_long_t *)&s->w[s->nwords + word] + set;
}

/* The mark bits of one word. */
static __always_inline atomic_long_t *kmh_mspan_mark(const struct kmh_mspan *s, unsigned int word)
{
	return (atomic_long_t *)&s->w[2 * s->nwords] + word;
}

/* Slots of one word that wait for a grace period. */
static inline unsigned long kmh_mspan_waiting(const struct kmh_mspan *s, unsigned int word)
{
	return atomic_long_read(kmh_mspan_deferred(s, word, 0)) |
	       atomic_long_read(kmh_mspan_deferred(s, word, 1));
}

static inline bool kmh_mspan_slot_waits(const struct kmh_mspan *s, unsigned int slot)
{
	return kmh_mspan_waiting(s, slot / KMH_WORD_SLOTS) & BIT(slot % KMH_WORD_SLOTS);
}

/* The slots that one word has state for. */
static inline unsigned long kmh_mspan_word_mask(const struct kmh_mspan *s, unsigned int word)
{
	unsigned int left = s->nelems - word * KMH_WORD_SLOTS;

	return left >= KMH_WORD_SLOTS ? ~0UL : BIT(left) - 1;
}

/* Is a slot live? Another CPU may be about to change that. Any context. */
static __always_inline bool kmh_slot_live(const struct kmh_mspan *s, unsigned long slot)
{
	const struct kmh_slots *w = &s->w[slot / KMH_WORD_SLOTS];

	return !((READ_ONCE(w->free) | atomic_long_read(&w->remote)) >> slot % KMH_WORD_SLOTS & 1);
}

/* What became of a free of one slot. */
enum kmh_free_result {
	KMH_FREE_OK,
	KMH_FREE_DOUBLE,
	KMH_FREE_FOREIGN,	/* nothing done: not this CPU's span, or not now */
};

enum kmh_free_result kmh_mspan_free_remote(struct kmh_mspan *s, unsigned int slot);
enum kmh_free_result kmh_mspan_defer(struct kmh_mspan *s, unsigned int slot);

/*
 * kmh_mspan_set_remote() - leave a freed slot to the span's sweeper
 *
 * The exchange orders the caller's last accesses to the object before the slot is
 * handed out again: it pairs with the one in kmh_mspan_fold_word(). False, and
 * nothing done, when the slot was not live.
 */
static __always_inline bool kmh_mspan_set_remote(struct kmh_mspan *s, unsigned long slot)
{
	struct kmh_slots *w = &s->w[slot / KMH_WORD_SLOTS];
	unsigned long bit = BIT(slot % KMH_WORD_SLOTS);

	/*
	 * A live slot's free bit is clear from before its pointer was handed out,
	 * so a set bit seen here is a free slot. One that is being freed by its
	 * owner right now may still look live; then both bits end up set, the slot
	 * is not set aside to be handed out (kmh_slots_avail()) and the fold reports it.
	 */
	if (unlikely(READ_ONCE(w->free) & bit))
		return false;
	return !test_and_set_bit(slot % KMH_WORD_SLOTS, kmh_slots_remote(w));
}

/*
 * After kmh_mspan_set_remote(): must the span be announced? The exchange there is
 * fully ordered, so the bit is visible before @home is read. Pairs with the barrier
 * in kmh_mcentral_settle_full(): one side sees the other.
 */
static __always_inline bool kmh_mspan_unannounced(const struct kmh_mspan *s)
{
	return atomic_read(&s->home) >= KMH_HOME_FULL;
}

/* Slots of @w that may be set aside to be handed out. */
static __always_inline unsigned long kmh_slots_avail(const struct kmh_slots *w)
{
	return READ_ONCE(w->free) & ~atomic_long_read(&w->remote);
}

/*
 * kmh_mspan_slot_at() - the slot of a span that starts at an address
 *
 * The product's upper half is the slot and its lower half what is left over, in units of
 * an object: below the multiplier exactly when nothing is (Lemire, Kaser, Kurz, "Faster
 * remainder by direct computation", 2019; the size class generator and KUnit try every
 * offset there is). Anything else, a span recycled under a racing free of a wild pointer
 * included, fails one of the two compares, as far as 32 GiB from the span; beyond, but for
 * one address in 2^25. So does every slot where @nfast is 0.
 */
static __always_inline bool kmh_mspan_slot_at(const struct kmh_mspan *s, unsigned long addr,
					      unsigned long *slot)
{
	u64 product = (addr - s->base) * s->divmul;

	*slot = product >> 32;
	return (u32)product < s->divmul && (u32)*slot < s->nfast;
}

static inline unsigned long kmh_mspan_slot_addr(const struct kmh_mspan *s, unsigned int slot)
{
	return s->base + (unsigned long)slot * s->elemsize;
}

/* ----------------------------------------------------------------- mcache.c */

/*
 * One class of an mcache: what an allocation touches, half a cache line. @word is
 * the slot word being allocated from (the window) and @wbase the address of its
 * first slot. Without a span @word points to a word with nothing in it.
 *
 * @avail are the neighbours in the window that the next allocations take, set aside.
 * Their free bits stay set until they are taken, so a free of one of them is known as a
 * double free. They are a copy because an allocation that read the word would have to wait
 * for the last free to write it: an address, a lookup and a multiplication later. As it
 * is the two overlap, and what was freed is still warm when the window is looked at again.
 */
struct kmh_mcslot {
	unsigned long avail;
	struct kmh_slots *word;
	unsigned long wbase;
	struct kmh_mspan *span;
};

/* Up to 64 heap pages taken from the page heap in one go; a set bit is a free page. */
struct kmh_pagecache {
	struct kmh_parange *range;
	unsigned long base;		/* heap page of bit 0 */
	u64 bits;
};

/*
 * A CPU's own level of a heap.
 *
 * The rule: fields are touched only between kmh_mcache_enter() and
 * kmh_mcache_leave() on the CPU that the mcache belongs to. Preemption is off, so
 * no other task runs here meanwhile; an interrupt or NMI that comes in between
 * finds @busy set and takes the other road (mcentral, remote word). The flag is a
 * promise between a CPU and itself: plain loads and stores with compiler barriers
 * do, because an interrupt is sequential with what it interrupts, and nobody ever
 * looks at another CPU's flag. A dead CPU's mcache is drained without the flag.
 */
struct kmh_mcache {
	u8 busy;
	u8 no_magazines;		/* written once, by anyone */

	/* tiny.c: the block being filled; tiny_span NULL when there is none */
	unsigned int tiny_slot;
	unsigned int tiny_off;
	struct kmh_mspan *tiny_span;
	unsigned long tiny_allocs;

	struct kmheap *heap;
	struct kmh_mcache __percpu *percpu;	/* == heap->mcache */
	struct kmh_node *node;
	unsigned int announcing;	/* announcements under way; kmh_cpu_add() */
	unsigned long deferred;		/* bytes not yet in heap->defer.pending; likewise */
	unsigned long marked;		/* objects, ever; likewise */
	struct kmh_pagecache pages;
	struct kmh_largecache large;
	struct llist_node *spare[KMH_NR_SPANCLASSES];	/* spans to go on with */
	struct kmh_magazine *magazine[KMH_NR_SPANCLASSES];	/* NULL until it is needed */
	unsigned long refills[KMH_NR_SPANCLASSES];	/* ever; trips to mcentral */
	unsigned long taken[KMH_NR_SPANCLASSES];	/* ever; allocations, and @avail */

	struct kmh_mcslot slot[KMH_NR_SPANCLASSES] ____cacheline_aligned;
};

extern struct kmh_slots kmh_no_slots;

void *kmh_magazine_get(struct kmh_mcache *mc, unsigned int spanclass);

static __always_inline bool kmh_mcache_enter(struct kmh_mcache *mc)
{
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
 * kmh_mcslot_take() - the lowest slot of those that are set aside
 *
 * In the section, whose owner alone writes @free; the set bit becomes a clear one. False
 * when none is left: kmh_mcache_reload() then.
 */
static __always_inline bool kmh_mcslot_take(struct kmh_mcslot *c, unsigned long spanclass,
					    void **p)
{
	unsigned long avail = c->avail, rest = avail & (avail - 1), bit;

	if (unlikely(!avail))
		return false;
	c->avail = rest;
	bit = avail ^ rest;
	OPTIMIZER_HIDE_VAR(bit);	/* one operation on memory, not three */
	/* Plain, so that it is one instruction where there is one: an aligned long. */
	data_race(c->word->free ^= bit);
	*p = (void *)(c->wbase + __ffs(avail) * kmh_spanclass_size[spanclass]);
	return true;
}

/* Slots to set aside at a time: about 8 KiB, which stay in the first cache. */
static __always_inline unsigned int kmh_batch_slots(size_t bytes)
{
	return bytes <= 128 ? 64 : bytes <= 512 ? 16 : 8;
}

/*
 * kmh_mcache_reload() - set aside the next slots of the window
 *
 * In the section. Slots that are side by side, from the lowest one that can be had.
 * False when the window is empty.
 */
static __always_inline bool kmh_mcache_reload(struct kmh_mcache *mc, unsigned int spanclass)
{
	unsigned int n = kmh_batch_slots(kmh_spanclass_size[spanclass]);
	struct kmh_mcslot *c = &mc->slot[spanclass];
	unsigned long avail = kmh_slots_avail(c->word);

	if (!avail)
		return false;
	avail &= ~0UL >> (KMH_WORD_SLOTS - n) << (__ffs(avail) & -n);
	c->avail = avail;
	mc->taken[spanclass] += hweight_long(avail);
	return true;
}

/* Allocations ever made from the mcache: slots that are set aside are none yet. */
static inline unsigned long kmh_mcache_allocs(const struct kmh_mcache *mc, unsigned int spanclass)
{
	return READ_ONCE(mc->taken[spanclass]) - hweight_long(READ_ONCE(mc->slot[spanclass].avail));
}

/* The same from the window, or an object freed here; NULL: kmh_mcache_refill() then. */
static inline void *kmh_mcache_take(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_mcslot *c = &mc->slot[spanclass];
	void *p;

	if (!c->avail && !kmh_mcache_reload(mc, spanclass))
		return kmh_magazine_get(mc, spanclass);
	return kmh_mcslot_take(c, spanclass, &p) ? p : NULL;
}

/* Spans that a refill takes at most: one to go on with, the others to spare. */
#define KMH_REFILL_SPANS	4U

void kmh_mcache_walk_spans(struct kmh_mcache *mc, void (*fn)(struct kmh_mspan *s));
int kmh_mcache_init(struct kmheap *heap);
void kmh_mcache_destroy(struct kmheap *heap);
bool kmh_mcache_refill(struct kmh_mcache *mc, unsigned int spanclass);
void kmh_mcache_drain_locked(struct kmh_mcache *mc);

/* CPUs that a visit has found: those it could enter, and those that were in their section. */
struct kmh_visited {
	unsigned int done, busy;
};

struct kmh_visited kmh_mcache_visit(struct kmheap *heap, void (*fn)(struct kmh_mcache *mc),
				    bool (*wanted)(const struct kmh_mcache *mc));
void kmh_mcache_drain_all(struct kmheap *heap);
void kmh_mcache_drain_dead(struct kmheap *heap, unsigned int cpu);
unsigned int kmh_mcache_validate(struct kmheap *heap, kmh_finding_fn finding, void *ctx);

/* --------------------------------------------------------------- magazine.c */

void kmh_magazines_init(void);
void kmh_magazines_exit(void);
int kmh_magazines_reserve(unsigned int nobjs, gfp_t gfp);
u64 kmh_magazines_idle_bytes(void);
unsigned int kmh_magazines_validate(kmh_finding_fn finding, void *ctx);
bool kmh_magazine_put(struct kmh_mspan *s, unsigned long addr);
void kmh_magazines_flush(struct kmh_mcache *mc);
void kmh_magazines_flush_all(struct kmheap *heap);
void kmh_magazines_end(struct kmheap *heap);
void kmh_magazines_free(struct kmh_mcache *mc);

/* -------------------------------------------------------------- pagecache.c */

bool kmh_pagecache_alloc(struct kmh_pagecache *pc, unsigned int npages, unsigned long *page);

/* --------------------------------------------------------------- mcentral.c */

/*
 * The spans of one class on one node that no CPU caches.
 *
 * @phase says in one word, so that one load tells all of it as of one moment: the sweep
 * generation h, which is even; what its spans are swept for; and whether a collection is
 * marking. Set (h / 2) % 2 of @partial and @full holds what this generation has
 * swept, the other one what it has not.
 */
struct kmh_mcentral {
	raw_spinlock_t lock;
	unsigned int npartial;		/* length of both partial sets */
	unsigned long phase;		/* written under @lock, read anywhere */
	struct list_head partial[2];
	struct list_head full[2];
	atomic_t nsweeping;		/* spans off the lists and in no mcache; users of any */
	u8 dirty[2];			/* some span has bits in this deferred set */
	atomic_long_t nested_allocs;	/* by interrupts that found their mcache busy */

	struct llist_head announced;	/* lock-free add; taken, all at once, under @lock */
	struct llist_head ripe;		/* what was taken; more was freed into them meanwhile */
};

static inline bool kmh_mcentral_any_announced(const struct kmh_mcentral *c)
{
	return !llist_empty(&c->announced) || !llist_empty(&c->ripe);
}

static inline unsigned long kmh_mcentral_phase(const struct kmh_mcentral *c)
{
	return smp_load_acquire(&c->phase);	/* marks are read after the end of marking */
}

static inline unsigned int kmh_mcentral_gen(const struct kmh_mcentral *c)
{
	return kmh_phase_gen(kmh_mcentral_phase(c));
}

void kmh_mcentral_init(struct kmh_mcentral *c);
struct kmh_mcentral *kmh_mspan_mcentral(const struct kmh_mspan *s);
struct llist_node *kmh_mcentral_cache_spans(struct kmh_node *node, unsigned int spanclass,
					    struct kmh_mcache *mc);
void kmh_mcentral_uncache_span(struct kmh_node *node, struct kmh_mspan *s);
void *kmh_mcentral_alloc_one(struct kmh_node *node, unsigned int spanclass);
void kmh_mcentral_announce(struct kmh_mspan *s);
unsigned int kmh_mcentral_sweep_one(struct kmh_mcentral *c);
void kmh_mcentral_sweep_announced(struct kmh_mcentral *c);
bool kmh_mcentral_try_claim(struct kmh_mspan *s);
void kmh_mcentral_sweep_claimed(struct kmh_mspan *s);
bool kmh_mcentral_try_claim_empty(struct kmh_mspan *s);
void kmh_mcentral_release_claimed(struct kmh_mspan *s);
bool kmh_mcentral_is_swept(struct kmh_mcentral *c);
void kmh_mcentral_advance(struct kmh_mcentral *c, enum kmh_sweep_what what, bool marking);
void kmh_mcentral_set_phase(struct kmh_mcentral *c, enum kmh_sweep_what what, bool marking);
void kmh_mcentral_release_empty(struct kmh_node *node, unsigned int spanclass);
unsigned int kmh_mcentral_validate(struct kmh_node *node, unsigned int spanclass,
				   kmh_finding_fn finding, void *ctx);

/* ------------------------------------------------------------------ mheap.c */

/* The page heap of one node. */
struct kmh_mheap {
	raw_spinlock_t lock;
	struct kmh_pagealloc pa;
	struct kmh_pagealloc own_pa;	/* dedicated arenas, apart: nothing small keeps them */
	unsigned long low_pages;	/* grow ahead below this many free pages */
	unsigned long ngrown;		/* arenas ever added: "has someone grown since?" */
	unsigned long missed_pages;	/* longest run that was not to be had since then */
	unsigned long peak_pages;	/* most in use since the scavenger's last look */
	struct kmh_parked store;	/* freed large objects that no CPU keeps */
	unsigned long fetched;		/* jiffies: when what CPUs have parked was */

	struct llist_head pending;	/* spans whose free could not take @lock */
	struct llist_head deferred[2];	/* large objects in the two deferred sets */

	struct kmheap *heap;
	int nid;
	unsigned long ahead_after;	/* jiffies: no growing ahead before this */
	struct irq_work kick;
	struct work_struct work;
};

void kmh_mheap_init(struct kmh_mheap *mh, struct kmheap *heap, int nid);
void kmh_mheap_stop(struct kmh_mheap *mh);
struct kmh_mspan *kmh_mheap_alloc_span(struct kmh_mheap *mh, struct kmh_mcache *mc,
				       unsigned int spanclass, unsigned long npages,
				       unsigned long align, bool *zeroed);
void kmh_mheap_free_span(struct kmh_mspan *s);
void kmh_mheap_give_pages(struct kmh_mheap *mh, struct kmh_pagecache *pc);
int kmh_mheap_grow(struct kmh_mheap *mh, unsigned long npages, unsigned long align,
		   unsigned long seen, gfp_t gfp);
int kmh_mheap_grow_ahead(struct kmh_mheap *mh, unsigned long nfree, gfp_t gfp);
void kmh_mheap_drain_pending(struct kmh_mheap *mh);
bool kmh_mheap_release_spans(struct kmh_mheap *mh);
unsigned int kmh_mheap_validate(struct kmh_mheap *mh, kmh_finding_fn finding, void *ctx);

/* ------------------------------------------------------------------ arena.c */

/* One vmalloc area of one heap. */
struct kmh_arena {
	struct kmheap *heap;
	struct kmh_mheap *mheap;
	void *vbase;			/* what the kernel gave */
	size_t bytes;			/* taken from the kernel */
	size_t meta_bytes;		/* this structure and the range's tables */
	unsigned long first;		/* first heap page: the guard */
	unsigned long npages;		/* heap pages, the guard included */
	unsigned long zeroed_from;	/* pages from here on are known to be zero */
	bool dedicated;			/* made for one object over half an arena */
	struct list_head list;		/* heap->arenas, under arenas_mutex */
	/* A bit for each heap page, counted from @first, set at the first of a span: */
	unsigned long *page_inuse;	/* a span begins here */
	unsigned long *page_marks;	/* ... and has a marked object */
	unsigned long *page_specials;	/* ... and has an object with a special */
	struct kmh_parange range;	/* the pages behind the guard */
};

struct kmh_arena *kmh_arena_create(struct kmh_mheap *mh, size_t bytes, gfp_t gfp);
void kmh_arena_destroy(struct kmh_arena *a);
size_t kmh_arena_release_free(struct kmheap *heap, bool dedicated_only);
size_t kmh_arena_release_idle(struct kmheap *heap, size_t bytes, unsigned int *n);
size_t kmh_arena_least_idle(struct kmheap *heap);

static inline struct kmh_pagealloc *kmh_arena_pa(struct kmh_arena *a)
{
	return a->dedicated ? &a->mheap->own_pa : &a->mheap->pa;
}

static inline struct kmh_arena *kmh_range_arena(struct kmh_parange *r)
{
	return container_of(r, struct kmh_arena, range);
}

/* --------------------------------------------------------------- arenamap.c */

/*
 * Address -> span, two levels, keyed by heap page. The first level covers the
 * part of the address space in which arenas were seen and is replaced by a larger
 * one when an arena lies outside; the second covers 16 MiB a leaf. Entries that
 * stand for no span point to a sentinel, so a lookup has one compare and no NULL.
 * Nothing here is given back before the module goes, which makes a lookup of any
 * value in any context safe.
 */
#define KMH_LEAF_SHIFT		24
#define KMH_LEAF_PAGES		BIT(KMH_LEAF_SHIFT - KMH_PAGE_SHIFT)

struct kmh_leaf {
	struct kmh_mspan *span[KMH_LEAF_PAGES];
};

/*
 * The leaves, each as the address that its first entry would have if the leaf began at
 * address 0: an address is looked up with a shift, and no mask.
 */
struct kmh_arenamap {
	unsigned long base;		/* address >> KMH_LEAF_SHIFT of biased[0] */
	unsigned long nr;
	struct kmh_arenamap *prev;	/* the one this replaced; freed at exit */
	unsigned long biased[];
};

extern struct kmh_arenamap *kmh_arenamap;	/* published with release */
extern struct kmh_mspan kmh_span_none;
extern struct kmh_mspan kmh_span_gone;

/* Any value, any context. The caller keeps preemption off while it uses the span. */
static __always_inline struct kmh_mspan *kmh_span_of(unsigned long addr)
{
	/* Address dependencies order these loads after the release of each level. */
	struct kmh_arenamap *map = READ_ONCE(kmh_arenamap);
	unsigned long i = (addr >> KMH_LEAF_SHIFT) - map->base;
	struct kmh_mspan *s;

	if (unlikely(i >= map->nr))
		return &kmh_span_none;
	/*
	 * Plain loads, which fold their addresses; hidden, so that nothing is loaded a
	 * second time after the checks.
	 */
	s = data_race(((struct kmh_mspan **)map->biased[i])[addr >> KMH_PAGE_SHIFT]);
	OPTIMIZER_HIDE_VAR(s);
	return s;
}

static inline struct kmh_mspan *kmh_span_of_page(unsigned long page)
{
	return kmh_span_of(page << KMH_PAGE_SHIFT);
}

int kmh_arenamap_init(void);
void kmh_arenamap_exit(void);
int kmh_arenamap_cover(unsigned long first, unsigned long npages, gfp_t gfp);
void kmh_arenamap_set(unsigned long first, unsigned long npages, struct kmh_mspan *s);
u64 kmh_arenamap_bytes(void);

/* ------------------------------------------------------------------- heap.c */

struct kmh_node {
	struct kmh_mheap mheap;
	struct kmh_mcentral central[KMH_NR_SPANCLASSES];
};

enum kmh_misuse {
	KMH_DOUBLE_FREE,
	KMH_INVALID_FREE,
	KMH_WRONG_SIZE_FREE,
	KMH_NR_MISUSES,
};

struct kmheap {
	/* fixed for life */
	struct kmh_mcache __percpu *mcache;
	struct kmh_node **nodes;	/* nr_node_ids of them; memoryless ones share */
	unsigned int flags;
	struct module *owner;
	char *name;
	struct kmh_mspan *unused;	/* sentinels of this heap */
	struct kmh_mspan *freed;
	struct dentry *dir;

	/* attributes and accounting */
	size_t limit_bytes;
	atomic_long_t arena_bytes;	/* sum over arenas, and what growers have booked */
	atomic_long_t metadata_bytes;
	size_t base_metadata_bytes;	/* metadata_bytes before the first arena */
	atomic_long_t refused;
	atomic_long_t large_allocs;
	atomic_long_t misuses[KMH_NR_MISUSES];

	struct mutex grow_mutex;	/* one grower that may enter FS and IO */
	struct mutex grow_noio_mutex;	/* one that may not */
	size_t next_arena_bytes;	/* doubles up to kmh_arena_bytes; racy by design */

	struct kmh_sweep sweep;
	struct kmh_defer defer;
	struct kmh_specials specials;
	struct kmh_scavenge scavenge;

	/* collections; under sweep.mutex but for the counters */
	unsigned long collections;
	atomic_long_t collected;	/* objects, ever */
	atomic_long_t collected_bytes;
	u64 begin_ns, end_ns;		/* longest call ever */

	struct mutex arenas_mutex;	/* the list below */
	struct list_head arenas;

	struct list_head list;		/* kmh_heaps, under kmh_heaps_mutex */
};

#define KMH_ARENA_MIN_BYTES	(256UL << 10)
#define KMH_ARENA_FULL_MIN_BYTES	(2UL << 20)
#define KMH_ARENA_MAX_BYTES	(1024UL << 20)
/* Lower limits are nonsense anywhere; with many CPUs the tables alone need more. */
#define KMH_LIMIT_MIN_BYTES	(512UL << 10)

extern struct kmheap *kmh_default_heap;
extern struct list_head kmh_heaps;
extern struct mutex kmh_heaps_mutex;
extern struct workqueue_struct *kmh_wq;
extern size_t kmh_arena_bytes;		/* size of a full-grown arena */
extern size_t kmh_default_limit;
extern atomic_long_t kmh_misuses[KMH_NR_MISUSES];	/* of no heap, or of dead ones */

int kmh_heaps_init(void);
void kmh_heaps_exit(void);
void kmh_heap_account_metadata(struct kmheap *heap, long bytes);
bool kmh_heap_book(struct kmheap *heap, size_t bytes);
void kmh_heap_unbook(struct kmheap *heap, size_t bytes);

static __always_inline struct kmheap *kmh_heap_or_default(struct kmheap *heap)
{
	/* READ_ONCE(): a branch, and no load where a heap is given. */
	return likely(heap) ? heap : READ_ONCE(kmh_default_heap);
}

/* Some span may have to be swept before its slots can be had. */
static inline bool kmh_sweep_is_open(const struct kmheap *heap)
{
	return READ_ONCE(heap->sweep.what) != KMH_SWEEP_REMOTE;
}

static inline bool kmh_heap_collected(const struct kmheap *heap)
{
	return heap->flags & KMHEAP_COLLECTED;
}

/* Something was freed that the scavenger might turn into pages. One load, nearly always. */
static __always_inline void kmh_scavenge_ask(struct kmheap *heap)
{
	if (unlikely(!atomic_read(&heap->scavenge.asked)))
		kmh_scavenge_kick(heap);
}

static inline struct kmh_node *kmh_heap_node(struct kmheap *heap, int nid)
{
	return heap->nodes[nid];
}

/*
 * The next node structure after *@nid, which starts at -1; NULL after the last. Each
 * one comes once, also where several nodes share it or the heap is only half made.
 */
static inline struct kmh_node *kmh_next_node(struct kmheap *heap, int *nid)
{
	while (++*nid < nr_node_ids) {
		struct kmh_node *node = heap->nodes[*nid];

		if (node && node->mheap.nid == *nid)
			return node;
	}
	return NULL;
}

/* ---------------------------------------------------------------- locate.c */

/* The object an address lies in; base 0 when in none. */
struct kmh_where {
	unsigned long base;
	size_t bytes;
	unsigned int slot;
	enum kmheap_object_state state;
};

void kmh_locate(const struct kmh_mspan *s, unsigned long addr, struct kmh_where *at);
bool kmh_may_free(struct kmh_mspan *s, unsigned long addr, struct kmh_where *at,
		  unsigned long ip);
void kmh_misuse(enum kmh_misuse kind, const char *what, unsigned long addr,
		const struct kmh_mspan *s, const struct kmh_where *at, unsigned long ip);

/* ------------------------------------------- alloc.c free.c tiny.c large.c */

#define KMH_MAX_TINY		12UL	/* 16 with its rounding needs a block anyway */
#define KMH_TINY_GRANULE	4UL

/* What vmalloc space cannot promise. */
#define KMH_GFP_ZONES		(__GFP_DMA | __GFP_DMA32)

void *kmh_alloc_slow(struct kmheap *heap, unsigned int spanclass, gfp_t gfp);
unsigned int kmh_aligned_spanclass(unsigned int spanclass);
bool kmh_gfp_ok(gfp_t gfp);
bool kmh_alloc_may_grow(gfp_t gfp);
void *kmh_tiny_alloc(struct kmheap *heap, size_t bytes, gfp_t gfp);
void kmh_tiny_close(struct kmh_mcache *mc);
enum kmh_free_result kmh_tiny_free(struct kmh_mspan *s, unsigned long addr);
enum kmh_free_result kmh_tiny_defer(struct kmh_mspan *s, unsigned long addr);
size_t kmh_tiny_extent(const struct kmh_mspan *s, unsigned long addr, unsigned long *base,
		       bool *live);
unsigned int kmh_tiny_live(const struct kmh_mspan *s);
void *kmh_large_alloc(struct kmheap *heap, size_t bytes, size_t align, gfp_t gfp, int nid,
		      enum kmh_span_state state, bool noscan);
enum kmh_free_result kmh_large_claim(struct kmh_mspan *s);
void kmh_large_release(struct kmh_mspan *s);
void kmh_large_free(struct kmh_mspan *s);
enum kmh_free_result kmh_free_slot(struct kmh_mspan *s, unsigned int slot);
void kmh_free_doubled(unsigned long addr, struct kmh_mspan *s, unsigned long ip);
void kmh_free_one(const void *p, unsigned long ip);

/*
 * might_alloc() where the kernel checks something with it. Elsewhere it is but a
 * place to be rescheduled at, and once per refill is enough: kmh_alloc_slow() has it.
 */
static __always_inline void kmh_might_alloc(gfp_t gfp)
{
	if (IS_ENABLED(CONFIG_LOCKDEP) || IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP))
		might_alloc(gfp);
}

#define KMH_ALIGN_MAX_BYTES	(1024UL << 10)

/* ------------------------------------------------------------------ stats.c */

/* One size class of one heap (both span classes together). */
struct kmh_class_stats {
	u64 spans;
	u64 pages;
	u64 live;
	u64 remote;
	u64 deferred;
	u64 free;
	u64 allocs;
	u64 refills;
};

/* Everything a walk over a heap finds; the sums of struct kmheap_stats come from it. */
struct kmh_heap_walk {
	struct kmheap_stats st;
	u64 large_objects;
	u64 manual_runs;
	u64 tiny_objects;
	struct kmh_class_stats class[KMH_NR_CLASSES];
};

void kmh_heap_walk(struct kmheap *heap, struct kmh_heap_walk *w);
int kmh_global_stats(struct kmheap_stats *sum, unsigned int *nheaps);
void kmh_walk_pages(unsigned long page, unsigned long end,
		    void (*fn)(struct kmh_mspan *s, void *ctx), void *ctx);
void kmh_walk_spans(struct kmh_arena *a, void (*fn)(struct kmh_mspan *s, void *ctx), void *ctx);

/* --------------------------------------------------------------- validate.c */

unsigned int kmh_validate_heap(struct kmheap *heap, kmh_finding_fn finding, void *ctx);
unsigned int kmh_validate_all(kmh_finding_fn finding, void *ctx);

/* ----------------------------------------------------------------- report.c */

/*
 * What a misuse was, for the report. @object and @bytes describe the object the
 * address lies in, 0 when there is none.
 */
struct kmh_report {
	enum kmh_misuse kind;
	const char *what;
	unsigned long addr;
	unsigned long ip;
	const struct kmh_mspan *span;
	unsigned long object;
	size_t bytes;
};

void kmh_report_misuse(const struct kmh_report *r);
void kmh_report_bad_pointer(const char *who, const void *p, unsigned long ip);
void kmh_report_survivors(struct kmheap *heap);
void kmh_report_broken(const struct kmh_mspan *s, const char *what);

/* KUnit suites put a function here to receive reports instead of the log. */
extern void (*kmh_report_hook)(const struct kmh_report *r);
extern atomic_long_t kmh_reports_suppressed;

/* ---------------------------------------------------------------- debugfs.c */

#ifdef CONFIG_DEBUG_FS
void kmh_debugfs_init(void);
void kmh_debugfs_exit(void);
void kmh_debugfs_add_heap(struct kmheap *heap);
void kmh_debugfs_remove_heap(struct kmheap *heap);
#else
static inline void kmh_debugfs_init(void) { }
static inline void kmh_debugfs_exit(void) { }
static inline void kmh_debugfs_add_heap(struct kmheap *heap) { }
static inline void kmh_debugfs_remove_heap(struct kmheap *heap) { }
#endif

#endif /* _KMHEAP_INTERNAL_H */
