/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor span/, one span and what is found by its address.
 *
 * A span is a run of heap pages with objects of one class, or with one large object. This floor
 * has its descriptor and the state of its slots, the map that leads from an address to it, what
 * single objects have beside them, and reports of misuse. It knows neither lists nor pages nor
 * CPUs: who holds a span calls it. The map is read without a lock, and so is a descriptor: both
 * are type-stable. The one lock that a span has is its claim (@home, @sweepgen): whoever has won
 * that is its sweeper, and alone writes its free bits; everybody else only sets remote bits.
 *
 * The state of slots is in mspan.c, where descriptors come from in spanpool.c.
 */
#ifndef _KMHEAP_MSPAN_H
#define _KMHEAP_MSPAN_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/types.h>

#include "base/validator.h"
#include "base/preempt_off.h"
#include "base/sizeclass.h"
#include "base/testpoint.h"

struct kmh_arena;
struct kmh_mcache;
struct kmh_mheap;
struct kmheap;

/* Slots per word of a span's state. */
#define KMH_WORD_SLOTS		BITS_PER_LONG

/*
 * State of up to 64 slots. A slot is live exactly when both its bits are clear.
 *
 * @free is written only by the span's sweeper: the mcache section of the CPU that caches the
 * span, or the party that has taken it off every list (home CACHED, no owner). Any CPU may
 * read it. @remote bits are set by any CPU, atomically, and taken back by the sweeper, which
 * makes the slot free, or by a magazine, which makes it live again: whichever finds the bit
 * set. A slot with both bits set is not handed out, so a free that raced with another free of
 * the same slot waits here until the fold reports it.
 *
 * Both words sit together because every free looks at both.
 *
 * Behind the words of a span lie, for each, two words of deferred bits, which keep remote bits
 * from being folded, and one of mark bits. No allocation or immediate free looks at these.
 */
struct kmh_slots {
	unsigned long free;
	atomic_long_t remote;
};

/*
 * For atomic operations on one bit: they are one instruction and fully ordered, where those of
 * atomic_long_t that return the old value are a loop.
 */
static __always_inline unsigned long *kmh_slots_remote(struct kmh_slots *w)
{
	return (unsigned long *)&w->remote.counter;
}

/* Bytes of state for each word: free, remote, two deferred sets, marks. */
#define KMH_WORD_BYTES		(5 * sizeof(unsigned long))

enum kmh_span_state {
	KMH_SPAN_NONE,		/* sentinel: not an address of kmheap */
	KMH_SPAN_GONE,		/* sentinel: its arena went back to the kernel */
	KMH_SPAN_UNUSED,	/* sentinel: a page of a heap that was never in use */
	KMH_SPAN_FREED,		/* sentinel: a page of a heap whose span went back */
	KMH_SPAN_SMALL,
	KMH_SPAN_TINY,
	KMH_SPAN_LARGE,
	KMH_SPAN_MANUAL,	/* a run of pages that the client manages */
};

/*
 * Where a span is found. Documentation/design.rst 4.4 says who may move it. A remote free
 * announces a span whose home is one of the last two.
 */
enum kmh_span_home {
	KMH_HOME_CACHED,	/* in an mcache, or on its way between two homes */
	KMH_HOME_PARTIAL,	/* on a partial set of its mcentral */
	KMH_HOME_ANNOUNCED,	/* in an inbox, perhaps on a full set as well */
	KMH_HOME_FULL,		/* on no list; a remote free announces it, or fills a magazine */
	KMH_HOME_LISTED,	/* full, on a full set: the sweep has to find it */
};

/*
 * The descriptor of a span, type-stable: a racing lookup may follow a stale pointer to it and then
 * finds that the slot arithmetic does not fit.
 *
 * The second half, from @base on, is what a free touches: one cache line with the state of
 * the first slot word at its end. @nfast is the number of slots of a small span. It is 0 for
 * every other kind, where an object has a special and where kmh_mspan_fast_slots() says so: one
 * compare sends all of these and the sentinels to the slow path.
 */
struct kmh_mspan {
	struct kmheap *heap;
	struct kmh_mheap *mheap;
	struct kmh_arena *arena;
	union {
		struct list_head list;	/* a set of its mcentral, under its lock */
		struct kmh_mspan *dead;	/* the next span of a heap that is torn down */
		struct kmh_mspan *parked;	/* the next of its length: largecache.c */
	};
	struct llist_node node;		/* an inbox, mcache->spare, ... */
	union {
		atomic_t *tiny;		/* TINY: state of the sub-objects */
		size_t large_bytes;	/* LARGE, MANUAL: bytes asked for */
		struct kmh_mcache *keeper;	/* SMALL: the last mcache that had it */
	};
	u32 npages;
	u16 nelems;
	u16 nspecials;			/* objects with side data; under kmh_special_mutex */

	unsigned long base;		/* address of the first slot; second cache line */
	struct kmh_mcache *owner;	/* written by the owner's section only */
	struct kmh_mcache __percpu *mcache; /* == heap->mcache */
	union {
		u32 divmul;
		u32 noscan;		/* LARGE: allocated as data */
	};
	u32 nfast;
	u8 spanclass;
	u8 state;			/* enum kmh_span_state */
	u8 nwords;
	u8 pool;			/* the kmh_span_pool that it came from */
	u8 dirty[2];			/* has bits in that deferred set */
	u16 elemsize;			/* 0 but for SMALL and TINY */
	atomic_t home;			/* enum kmh_span_home */
	atomic_t sweepgen;		/* see sweep.c */
	struct kmh_slots w[];
};

unsigned int kmh_mspan_fast_slots(const struct kmh_mspan *s);
void kmh_mspan_init(struct kmh_mspan *s, unsigned int spanclass, unsigned long base, u32 npages);
bool kmh_mspan_has_avail(const struct kmh_mspan *s);
bool kmh_mspan_empty(const struct kmh_mspan *s);
bool kmh_mspan_would_empty(const struct kmh_mspan *s);
void kmh_mspan_blacken(struct kmh_mspan *s);

/* How many slots are in which state; at rest they add up to nelems. */
struct kmh_span_count {
	unsigned int live;
	unsigned int free;
	unsigned int remote;
	unsigned int deferred;
};

void kmh_mspan_count(const struct kmh_mspan *s, struct kmh_span_count *n);
unsigned int kmh_mspan_validate(const struct kmh_mspan *s, kmh_finding_fn finding, void *ctx);

static __always_inline atomic_long_t *kmh_mspan_deferred(const struct kmh_mspan *s,
							 unsigned int word, unsigned int set)
{
	return (atomic_long_t *)&s->w[s->nwords + word] + set;
}

static __always_inline atomic_long_t *kmh_mspan_mark(const struct kmh_mspan *s, unsigned int word)
{
	return (atomic_long_t *)&s->w[2 * s->nwords] + word;
}

/* Slots of a word that wait for a grace period. */
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

/* Is a slot live? Another CPU may be about to change that. Context: any. */
static __always_inline bool kmh_slot_live(const struct kmh_mspan *s, unsigned long slot)
{
	const struct kmh_slots *w = &s->w[slot / KMH_WORD_SLOTS];

	return !((READ_ONCE(w->free) | atomic_long_read(&w->remote)) >> slot % KMH_WORD_SLOTS & 1);
}

/*
 * The remote word of a large span, whose only slot is the object. Bit 0 is the claim, which
 * is also set while the span is parked or free; the other bits tell the lives of the
 * descriptor apart, so that a look at one life cannot claim another. Small spans never have
 * such a word: see kmh_pool_words.
 */
static __always_inline bool kmh_large_claimed(const struct kmh_mspan *s)
{
	return atomic_long_read(&s->w[0].remote) & 1;
}

/*
 * Begin a new life of the descriptor, unclaimed. Release: base and state, the word of this life;
 * pairs with kmh_large_claim().
 */
static __always_inline void kmh_large_begin(struct kmh_mspan *s)
{
	atomic_long_set_release(&s->w[0].remote, (atomic_long_read(&s->w[0].remote) | 1) + 1);
}

/* What became of a free of one slot. */
enum kmh_free_result {
	KMH_FREE_OK,
	KMH_FREE_DOUBLE,
	KMH_FREE_FOREIGN,	/* nothing done: not this CPU's span, or its mcache is busy */
};

enum kmh_free_result kmh_large_claim(struct kmh_mspan *s, unsigned long addr,
				     enum kmh_span_state state);

/*
 * Leave a freed slot to the span's sweeper. The exchange orders the caller's last accesses to the
 * object before the slot is handed out again: it pairs with the one in kmh_mspan_fold_word().
 * Return: false, and nothing done, when the slot was not live.
 */
static __always_inline bool kmh_mspan_set_remote(struct kmh_mspan *s, unsigned long slot)
{
	struct kmh_slots *w = &s->w[slot / KMH_WORD_SLOTS];
	unsigned long bit = BIT(slot % KMH_WORD_SLOTS);

	/*
	 * The free bit of a live slot is clear from before its pointer was handed out, so a
	 * set bit seen here means a free slot. A slot that its owner is freeing right now may
	 * still look live. Then both bits end up set, the slot is not set aside to be handed
	 * out (kmh_slots_avail()), and the fold reports it.
	 */
	if (unlikely(READ_ONCE(w->free) & bit))
		return false;
	return !test_and_set_bit(slot % KMH_WORD_SLOTS, kmh_slots_remote(w));
}

/*
 * After kmh_mspan_set_remote(): must the span be announced? The exchange there is fully ordered:
 * the bit, @home; pairs with the barrier in kmh_mcentral_settle_full(): one side sees the other.
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
 * The slot of a span that starts at an address. The upper half of the product is the slot, the
 * lower half what is left over, in units of an object: it is below the multiplier exactly when
 * nothing is left over (Lemire, Kaser, Kurz, "Faster remainder by direct computation", 2019; the
 * size class generator and KUnit try every offset). Any other address, also of a span recycled
 * under a racing free of a wild pointer, fails one of the two compares, as far as 32 GiB from the
 * span; beyond, all but one address in 2^25 do. So does every slot where @nfast is 0.
 */
static __always_inline bool kmh_mspan_slot_at(const struct kmh_mspan *s, unsigned long addr,
					      unsigned long *slot)
{
	/* A span that is being recycled fails one of the compares. */
	u64 product = data_race((addr - s->base) * s->divmul);

	*slot = product >> 32;
	/* The descriptor may be recycled here, too. */
	return data_race((u32)product < s->divmul && (u32)*slot < s->nfast);
}

static inline unsigned long kmh_mspan_slot_addr(const struct kmh_mspan *s, unsigned int slot)
{
	return s->base + (unsigned long)slot * s->elemsize;
}

/* Bytes of the slot of an object, or of all pages of a large one. */
static inline size_t kmh_slot_bytes(const struct kmh_mspan *s)
{
	return s->elemsize ?: (size_t)s->npages << KMH_PAGE_SHIFT;
}

#endif /* _KMHEAP_MSPAN_H */
