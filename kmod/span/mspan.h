/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor span/, one span and what is found by its address.
 *
 * A span is a run of heap pages with objects of one class, or with one large object. This floor
 * has its descriptor and the state of its slots, the map that leads from an address to it, what
 * single objects have beside them, and reports of misuse. It knows neither lists nor pages nor
 * CPUs: who holds a span calls it. The map is read without a lock, and so is a descriptor: both
 * are type-stable. The one lock that a span has is its claim (@home, @sweepgen): whoever has won
 * that is its sweeper, and alone writes its free bits; everybody else only sets remote bits. Who
 * has a slot, its cell says.
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

/* Caches that a heap can have, numbered from 1 on. */
#define KMH_CACHES		25U

/* Slots per word of a span's state. */
#define KMH_WORD_SLOTS		BITS_PER_LONG

/*
 * The cell of a slot of a small or tiny span: who has it. It is written by whoever makes the
 * transition, with a plain store where only one party can make it, and it is the truth about
 * whether an object is live. The bits of the span (struct kmh_slots) are the span's account of
 * what it can give. A slot is in exactly one account: a client's (LIVE; SAMPLED, which few are
 * while a heap is profiled; or the value of a cache, which a LIVE cell gets next), one bit of the
 * span (OUT), deferred bits (WAITS), a special (SPECIAL), or one entry of the magazine whose tag
 * it has, or of a batch with that tag (depot.c).
 * Whoever carries a slot from one account to another looks at its cell, and whoever sets a bit
 * finds one that is set already. So of two frees at the same time one is found out when the slot
 * crosses, and the slot stays with the party that the cell names.
 */
enum {
	KMH_CELL_LIVE,		/* a client has it */
	KMH_CELL_SAMPLED,	/* a client has it, and there is a record of it: record.c */
	/* the same for objects of cache 1, and so on: kmh_cell_cache() */
	KMH_CELL_OUT = 2 * (1 + KMH_CACHES),	/* the span, or the window of a CPU, has it */
	KMH_CELL_WAITS,		/* for a grace period: deferred bits */
	KMH_CELL_SPECIAL,	/* its object is dead and its special, not done yet, frees it */
	KMH_CELL_TAG,		/* and above: an entry of the magazine, or a batch, with that tag */
};

/* Tags that there are: CPUs with higher numbers have no magazines. */
#define KMH_CELL_TAGS		200U

/* Live cells are below KMH_CELL_OUT: odd if there is a record, and half of them is a cache. */
static __always_inline bool kmh_cell_live(u8 cell)
{
	return cell < KMH_CELL_OUT;
}

/* The number of the cache that a live object is of; 0 for none. */
static __always_inline unsigned int kmh_cell_cache(u8 cell)
{
	return cell / 2;
}

/*
 * A free has to make a live cell another party's against all others who try at the same time. One
 * CPU may do that for all objects of a span with a look and a plain store: the first one that puts
 * one of them into a magazine. Its tag is in @freer then. When another CPU comes, the span becomes
 * shared for the rest of its life, and all claim by exchange from then on (kmh_slot_claim()), as
 * does everybody who frees past the magazines at any time. So the tag of an entry is overwritten
 * only by a store of the one CPU that has stood still since its look at @freer, while others made
 * the span shared and freed that object; or by an allocation, which has found OUT just before the
 * store, while the same two frees met. Such an entry is dropped when its turn comes, unless the
 * span has gone by then and the CPU has freed an object of the descriptor's next one in that cell.
 */
enum {
	KMH_FREER_NONE,
	KMH_FREER_SHARED,
	/* and tags, from KMH_CELL_TAG on */
};

/*
 * The span's account of up to 64 slots.
 *
 * @free is written only by the span's sweeper: the mcache section of the CPU that caches the
 * span, or the party that has taken it off every list (home CACHED, no owner). Any CPU may
 * read it. @remote bits are set by any CPU, atomically, and taken by the sweeper, which makes
 * free bits of them. A slot with both bits set has been freed twice, which the fold reports; it is
 * not handed out before. Slots that a CPU has set aside to allocate from have no bit.
 *
 * Behind the words of a span lie, for each, two words of deferred bits and one of mark bits. No
 * allocation or immediate free looks at these.
 */
struct kmh_slots {
	unsigned long free;
	atomic_long_t remote;
};

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
	KMH_HOME_FULL,		/* on no list; a remote free announces it */
	KMH_HOME_LISTED,	/* full, on a full set: the sweep has to find it */
};

/*
 * The descriptor of a span, type-stable: a racing lookup may follow a stale pointer to it and then
 * finds that the slot arithmetic does not fit.
 *
 * The second half, from @base on, is what a free touches, and the slot's cell behind it, at a place
 * that needs no load. @nfast is the number of slots of a small span. It is 0 for
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
	struct kmh_mcache __percpu *mcache; /* heap->mcache when it was made or last cached */
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
	struct kmh_slots *w;		/* behind the cells */
	u16 mcslot;			/* offset of its class in an mcache */
	u16 nid;			/* == mheap->nid */
	union {
		u8 freer;		/* tag of the CPU that may free with plain stores */
		u8 sampled;		/* LARGE, MANUAL: there is a record of the object */
	};
	u8 cell[] __aligned(64);	/* none for LARGE and MANUAL */
};

extern bool kmh_frees_traced;	/* no free is fast; see trace_switch.c */

unsigned int kmh_mspan_fast_slots(const struct kmh_mspan *s);
void kmh_mspan_init(struct kmh_mspan *s, unsigned int spanclass, unsigned long base, u32 npages);
bool kmh_mspan_has_avail(const struct kmh_mspan *s);
bool kmh_mspan_empty(const struct kmh_mspan *s);
bool kmh_mspan_would_empty(const struct kmh_mspan *s);
bool kmh_mspan_would_drain(const struct kmh_mspan *s);
unsigned long kmh_cells_of(const struct kmh_mspan *s, unsigned int word, u8 value);
unsigned long kmh_cells_move(struct kmh_mspan *s, unsigned int word, unsigned long mask, u8 from,
			     u8 to);
unsigned long kmh_cells_live(const struct kmh_mspan *s, unsigned int word);
unsigned long kmh_cells_free(struct kmh_mspan *s, unsigned int word, unsigned long mask);
void kmh_mspan_unsample(struct kmh_mspan *s, unsigned long addr);
u8 kmh_slot_claim_marked(struct kmh_mspan *s, unsigned long slot, u8 cell);
void kmh_slot_unclaim(struct kmh_mspan *s, unsigned long slot, u8 cell, u8 was);
bool kmh_slot_claim_at(struct kmh_mspan *s, unsigned long slot, unsigned long addr, u8 cell);
void kmh_mspan_blacken(struct kmh_mspan *s);

/* How many slots are in which state; at rest they add up to nelems. */
struct kmh_span_count {
	unsigned int live;
	unsigned int free;
	unsigned int remote;
	unsigned int deferred;
	unsigned int held;	/* of @free: in a magazine, or with a special */
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

/* Change eight cells at once, if all of them have the value @from. */
static __always_inline bool kmh_cells_move_eight(u8 *cell, u8 from, u8 to)
{
	u64 each = 0x0101010101010101ULL;

	return cmpxchg64((u64 *)cell, from * each, to * each) == from * each;
}

/* Bits of @n slots, 1 to KMH_WORD_SLOTS, from @first on. */
static __always_inline unsigned long kmh_run_mask(unsigned int first, unsigned int n)
{
	return ~0UL >> (KMH_WORD_SLOTS - n) << first;
}

/* The slots that one word has state for. */
static inline unsigned long kmh_mspan_word_mask(const struct kmh_mspan *s, unsigned int word)
{
	unsigned int left = s->nelems - word * KMH_WORD_SLOTS;

	return left >= KMH_WORD_SLOTS ? ~0UL : BIT(left) - 1;
}

/* Is a slot of a small or tiny span live? Another CPU may be about to change that. Context: any. */
static __always_inline bool kmh_slot_live(const struct kmh_mspan *s, unsigned long slot)
{
	return kmh_cell_live(READ_ONCE(s->cell[slot]));
}

/*
 * The remote word of a large span, whose only slot is the object. Bit 0 is the claim, which
 * is also set while the span is parked or free; the other bits tell the lives of the
 * descriptor apart, so that a look at one life cannot claim another. Small spans never have
 * such a word: see kmh_pool_slots.
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
};

enum kmh_free_result kmh_large_claim(struct kmh_mspan *s, unsigned long addr,
				     enum kmh_span_state state);
enum kmh_free_result kmh_run_claim(struct kmh_mspan *s, unsigned long addr, unsigned long npages);

/*
 * Make a live slot another party's, against everybody who might do so at the same time. Fully
 * ordered. Return: the cell that it had, without the mark of a sample, as there is no record any
 * more. One that is not live, and nothing done, when the slot was not live, or its cache lets it go
 * only after a grace period.
 */
static __always_inline u8 kmh_slot_claim_from(struct kmh_mspan *s, unsigned long slot, u8 cell)
{
	u8 was = cmpxchg(&s->cell[slot], KMH_CELL_LIVE, cell);

	if (likely(was == KMH_CELL_LIVE) || !kmh_cell_live(was))
		return was;
	return kmh_slot_claim_marked(s, slot, cell);
}

/*
 * kmh_slot_claim_from() for callers to whom it is one whose the object was, and who keep the span:
 * others have to look what they have claimed, see kmh_slot_claim_at().
 */
static __always_inline bool kmh_slot_claim(struct kmh_mspan *s, unsigned long slot, u8 cell)
{
	return kmh_cell_live(kmh_slot_claim_from(s, slot, cell));
}

/*
 * After a remote bit has been set: must the span be announced? Setting it is fully ordered: the
 * bit, @home; pairs with the barrier in kmh_mcentral_settle_full(): one side sees the other.
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

/*
 * The slot of an object at @addr that nobody but the caller knows, in a small span of @heap. The
 * object keeps its span. But if a client has freed its arena, and nobody has noticed yet, @s is
 * whatever has the address by now, a descriptor that is being recycled included. Context: any.
 * Return: false when there is no such object.
 */
static __always_inline bool kmh_mspan_slot_of_own(const struct kmh_mspan *s,
						  const struct kmheap *heap, unsigned long addr,
						  unsigned long *slot)
{
	unsigned int bytes;

	if (unlikely(READ_ONCE(s->state) != KMH_SPAN_SMALL || READ_ONCE(s->heap) != heap))
		return false;
	bytes = READ_ONCE(s->elemsize);		/* never 0 in a descriptor of small spans */
	*slot = (addr - READ_ONCE(s->base)) / bytes;
	return likely(*slot < READ_ONCE(s->nelems) && READ_ONCE(s->base) + *slot * bytes == addr);
}

/* Bytes of the slot of an object, or of all pages of a large one. */
static inline size_t kmh_slot_bytes(const struct kmh_mspan *s)
{
	return s->elemsize ?: (size_t)s->npages << KMH_PAGE_SHIFT;
}

#endif /* _KMHEAP_MSPAN_H */
