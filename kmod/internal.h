/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kmheap private header: the structures of every tier and what each tier offers
 * to its neighbour. Documentation/design.rst tells how they work together.
 *
 * Lock order, outermost first. Nothing marked "raw" may sleep, allocate or call
 * back into kmheap.
 *
 *  1. kmh_heaps_mutex		list of heaps; debugfs, module notifier, cpuhp
 *     kmh_special_mutex	specials come and go; kmh_heaps_mutex may be held, none of 2 and 3
 *  2. heap->grow_mutex		one grower at a time, callers that may enter FS/IO
 *     heap->grow_noio_mutex	the same for callers that may not; never both held
 *     heap->sweep.mutex	generations and collections; inside 2 or alone
 *  3. heap->arenas_mutex	list of arenas; holders do not allocate; reclaim only tries
 *     kmh_arenamap_mutex	growing the address map; inside 2, never with 3
 *  4. mcache section		preemption off and mcache->busy set, this CPU only
 *  5. mcentral->lock		raw, interrupts saved; NMIs and tracers only try (lock.h)
 *  6. mheap->lock		likewise
 *  7. kmh_fixalloc.lock	likewise
 *     heap->limit.lock		spinlocks, process context; inside 1 to 3, nothing inside them
 *     kmh_leaving_lock
 *     heap->scavenge.recent_lock
 *
 * Any of 5 to 7 may be taken with or without the ones before it. The first heap
 * takes 5 and 6 once in this order (kmh_teach_lock_order()), so lockdep reports
 * the first code that takes them the other way round.
 *
 * Of 1 to 3 all but the grow mutexes and kmh_arenamap_mutex are taken, or waited for, by frees,
 * by the end of a heap or in reclaim: nothing is allocated under them in a way that may enter
 * reclaim, and lockdep knows (kmh_teach_reclaim()). Reclaim tries a grow mutex, if it allocates.
 *
 * The lock of a quarantine (sanitize.c, KASAN only) is raw too; NMI only tries. Nothing is
 * taken under it, and it is taken with nothing but perhaps 1 held.
 */
#ifndef _KMHEAP_INTERNAL_H
#define _KMHEAP_INTERNAL_H

#include <linux/atomic.h>
#include <linux/irq_work.h>
#include <linux/kmheap.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/log2.h>
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
#include "limit.h"
#include "lock.h"
#include "mcache.h"
#include "reserve.h"
#include "mspan.h"
#include "pagealloc.h"
#include "pinned.h"
#include "sanitize.h"
#include "shrink.h"
#include "sizeclass.h"
#include "sweep.h"
#include "testpoint.h"

#ifndef KMH_PAGE_SHIFT
#define KMH_PAGE_SHIFT		13
#endif
#define KMH_PAGE_SIZE		BIT(KMH_PAGE_SHIFT)

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
 *
 * Two cache lines: what every refill and announcement reads and seldom anyone writes, and what
 * every refill writes.
 */
struct kmh_mcentral {
	unsigned long phase;		/* written under @lock, read anywhere */
	struct list_head full[2];
	struct kmh_inbox inbox;		/* announced spans that no CPU has filled */
	u8 dirty[2];			/* some span has bits in this deferred set */
	u8 spanclass;			/* its place in the node */
	bool inboxes;			/* some CPU's may have something */
	u8 turns;			/* @inbox: how often @announced has become @ripe */

	raw_spinlock_t lock ____cacheline_aligned;
	unsigned int npartial;		/* length of both partial sets */
	struct list_head partial[2];
	unsigned int steal;		/* the CPU whose inbox was looked at last, by others */
	atomic_long_t nested_allocs;	/* by interrupts that found their mcache busy */
};

static inline unsigned long kmh_mcentral_phase(const struct kmh_mcentral *c)
{
	return smp_load_acquire(&c->phase);	/* marks are read after the end of marking */
}

static inline unsigned int kmh_mcentral_gen(const struct kmh_mcentral *c)
{
	return kmh_phase_gen(READ_ONCE(c->phase));	/* orders nothing */
}

void kmh_mcentral_init(struct kmh_mcentral *c, unsigned int spanclass);
struct kmh_mcentral *kmh_mspan_mcentral(const struct kmh_mspan *s);
struct llist_node *kmh_mcentral_cache_spans(struct kmh_node *node, unsigned int spanclass,
					    struct kmh_mcache *mc);
void kmh_mcentral_uncache_span(struct kmh_node *node, struct kmh_mspan *s);
void *kmh_mcentral_alloc_one(struct kmh_node *node, unsigned int spanclass, bool atomic);
unsigned int kmh_mcentral_sweep_one(struct kmh_mcentral *c);
void kmh_mcentral_claim_locked(struct kmh_mcentral *c, struct kmh_mspan *s);
bool kmh_mcentral_try_claim(struct kmh_mspan *s);
void kmh_mcentral_sweep_claimed(struct kmh_mspan *s);
bool kmh_mcentral_try_claim_empty(struct kmh_mspan *s);
void kmh_mcentral_release_claimed(struct kmh_mspan *s);
bool kmh_mcentral_is_swept(struct kmh_mcentral *c);
void kmh_mcentral_advance(struct kmh_mcentral *c, enum kmh_sweep_what what, bool marking);
void kmh_mcentral_set_phase(struct kmh_mcentral *c, enum kmh_sweep_what what, bool marking);
void kmh_mcentral_release_empty(struct kmh_node *node, unsigned int spanclass);
void kmh_mcentral_drop_lost(struct kmh_mcentral *c);
unsigned int kmh_mcentral_validate(struct kmh_node *node, unsigned int spanclass,
				   kmh_finding_fn finding, void *ctx);

/* ------------------------------------------------------------------ inbox.c */

/* Inboxes of other CPUs that a refill looks into, with the lock held. */
#define KMH_STEAL_CPUS		16U

void kmh_mcentral_announce(struct kmh_mspan *s);
struct kmh_mspan *kmh_mcentral_pop_announced_locked(struct kmh_mcentral *c, struct kmh_mcache *mc);
struct kmh_mspan *kmh_mcentral_steal_locked(struct kmh_mcentral *c, unsigned int ncpus);
bool kmh_mcentral_any_announced(struct kmh_mcentral *c);
void kmh_mcentral_sweep_announced(struct kmh_mcentral *c);
unsigned int kmh_mcentral_sweep_some(struct kmh_mcentral *c, unsigned int most);
void kmh_mcentral_leave_inbox(struct kmh_mcentral *c, struct kmh_mcache *mc);

/* ------------------------------------------------------------------ mheap.c */

extern size_t kmh_arena_bytes;		/* size of a full-grown arena */

/* The page heap of one node. */
struct kmh_mheap {
	raw_spinlock_t lock;
	struct kmh_pagealloc pa;
	struct kmh_pagealloc own_pa;	/* dedicated arenas, apart: nothing small keeps them */
	unsigned long low_pages;	/* grow ahead below this many free pages */
	unsigned long ngrown;		/* arenas ever added: "has someone grown since?" */
	unsigned long missed_pages;	/* longest run that was not to be had since then */
	unsigned long peak_pages;	/* most in use since the scavenger's last look */
	struct kmh_reserve reserve;
	struct kmh_parked store;	/* freed large objects that no CPU keeps */
	unsigned long fetched;		/* jiffies: when what CPUs have parked was */
	unsigned long look_page;	/* where growth looks for empty spans next; a guess */

	struct llist_head pending;	/* spans whose free could not take @lock */
	struct llist_head deferred[2];	/* large objects in the two deferred sets */
	struct llist_head held;		/* freed ones whose pages somebody else has: held.c */

	struct kmheap *heap;
	int nid;
	unsigned long ahead_after;	/* jiffies: no growing ahead before this */
	struct irq_work kick;
	struct work_struct work;
};

/* An object over half an arena gets an arena of its own. */
static inline bool kmh_wants_own_arena(unsigned long npages)
{
	return npages > kmh_arena_bytes / 2 >> KMH_PAGE_SHIFT;
}

/*
 * Runs from here on, and up to half an arena, get arenas that they fill, unless free pages are
 * there. Longer than most spans of small objects.
 */
#define KMH_LONG_RUN_PAGES	8UL

static inline bool kmh_is_long_run(unsigned long npages)
{
	return npages >= KMH_LONG_RUN_PAGES;
}

static inline struct kmh_pagealloc *kmh_mheap_pa(struct kmh_mheap *mh, unsigned long npages)
{
	return kmh_wants_own_arena(npages) ? &mh->own_pa : &mh->pa;
}

/* Pages that callers in any context can have: parked ones of the node are a lock away. */
static inline unsigned long kmh_mheap_nfree(const struct kmh_mheap *mh)
{
	return READ_ONCE(mh->pa.nfree) + READ_ONCE(mh->store.npages);
}

void kmh_mheap_date_span(struct kmh_mspan *s);
void kmh_mheap_init(struct kmh_mheap *mh, struct kmheap *heap, int nid);
void kmh_mheap_stop(struct kmh_mheap *mh);
struct kmh_mspan *kmh_mheap_alloc_span(struct kmh_mheap *mh, struct kmh_mcache *mc,
				       unsigned int spanclass, unsigned long npages,
				       unsigned long align, bool atomic, bool *zeroed);
void kmh_mheap_kick(struct kmh_mheap *mh);
void kmh_mheap_free_span(struct kmh_mspan *s);
void kmh_mheap_give_pages(struct kmh_mheap *mh, struct kmh_pagecache *pc);
void kmh_mheap_drain_pending(struct kmh_mheap *mh);
bool kmh_mheap_release_spans(struct kmh_mheap *mh);
bool kmh_mheap_release_some(struct kmh_mheap *mh, unsigned int most);
unsigned int kmh_mheap_validate(struct kmh_mheap *mh, kmh_finding_fn finding, void *ctx);

/* ------------------------------------------------------------------- grow.c */

/*
 * Bytes of heap pages that hold a run of @npages, aligned to @align of them, wherever the first
 * one lies; whole pages of the kernel, where these are the larger ones. An aligned run is found
 * for certain where a run of the next class that the page allocator tells apart is free; should it
 * not be found in an arena that was made for it, its caller would ask for one after the other.
 */
static inline size_t kmh_arena_need(unsigned long npages, unsigned long align,
				    size_t kernel_page)
{
	unsigned long run = npages + align - 1;

	if (align > 1)
		run = run < KMH_PA_CHUNK_PAGES ? run + run / 4 + 1 : roundup_pow_of_two(run);
	return round_up(run << KMH_PAGE_SHIFT, kernel_page);
}

void kmh_grow_init(struct kmh_mheap *mh);
u64 kmh_mheap_missing_bytes(struct kmh_mheap *mh);
int kmh_mheap_grow(struct kmh_mheap *mh, unsigned long npages, unsigned long align,
		   unsigned long seen, gfp_t gfp);
int kmh_mheap_fill_reserve(struct kmh_mheap *mh, gfp_t gfp);
int kmh_mheap_grow_ahead(struct kmh_mheap *mh, unsigned long nfree, gfp_t gfp);

/* ------------------------------------------------------------------ arena.c */

/* One vmalloc area of one heap. */
struct kmh_arena {
	struct kmheap *heap;
	struct kmh_mheap *mheap;
	void *vbase;			/* what the kernel gave */
	size_t bytes;			/* taken from the kernel */
	size_t meta_bytes;		/* this structure and the range's tables */
	unsigned long first;		/* first heap page */
	unsigned long npages;		/* heap pages */
	unsigned long zeroed_from;	/* pages from here on are known to be zero */
	bool left;			/* the page heap; booked until it is gone */
	bool dedicated;			/* made for one object over half an arena */
	bool lost;			/* somebody else has freed it; under the page heap's lock */
	bool empties;			/* in a drain, by a guess; under arenas_mutex */
	unsigned long cookie;		/* leaving: the grace period to wait for */
	struct list_head leaving;	/* once it has left: limit.c */
	u64 turn;			/* likewise */
	struct list_head list;		/* heap->arenas, ->leaving or ->lost, under arenas_mutex */
	/* A bit for each heap page, counted from @first, set at the first of a span: */
	unsigned long *page_inuse;	/* a span begins here */
	unsigned long *page_marks;	/* ... and has a marked object */
	unsigned long *page_specials;	/* ... and has an object with a special */
	struct page **pages;		/* the kernel's pages, from @vbase on */
	struct kmh_parange range;	/* its pages */
};

struct kmh_arena *kmh_arena_create(struct kmh_mheap *mh, size_t bytes, gfp_t gfp);
void kmh_arena_destroy(struct kmh_arena *a);
size_t kmh_arena_release_free(struct kmheap *heap, bool dedicated_only);
size_t kmh_arena_release_idle(struct kmheap *heap, size_t bytes, unsigned int *n);
size_t kmh_arena_release_some(struct kmheap *heap, size_t bytes, bool idle, unsigned int *n);
size_t kmh_arena_detach_some(struct kmheap *heap, size_t bytes, bool idle,
			     struct list_head *gone);
size_t kmh_arena_destroy_some(struct list_head *gone);
size_t kmh_arena_least_idle(struct kmheap *heap);
bool kmh_arena_empties(const struct kmh_arena *a);
size_t kmh_arena_count_idle_locked(struct kmh_mheap *mh);
size_t kmh_arena_detach_idle_locked(struct kmh_mheap *mh, size_t bytes);
size_t kmh_arena_reap_locked(struct kmheap *heap);
void kmh_arena_take_free_locked(struct kmheap *heap, struct list_head *gone);
size_t kmh_arena_give_back(struct list_head *gone);
size_t kmh_arena_leaving_bytes(struct kmheap *heap);
void kmh_arena_leave_init(struct kmheap *heap);
void kmh_arena_leave_stop(struct kmheap *heap);

static inline struct kmh_pagealloc *kmh_arena_pa(struct kmh_arena *a)
{
	return a->dedicated ? &a->mheap->own_pa : &a->mheap->pa;
}

static inline struct kmh_arena *kmh_range_arena(struct kmh_parange *r)
{
	return container_of(r, struct kmh_arena, range);
}

/* ------------------------------------------------------------------- held.c */

bool kmh_large_is_held(const struct kmh_mspan *s);
void kmh_held_put(struct kmh_mspan *s);
bool kmh_held_release(struct kmheap *heap);

/* ------------------------------------------------------------------- lost.c */

void kmh_arena_remember(struct kmh_arena *a);
void kmh_arena_give_to_kernel(struct kmh_arena *a);
unsigned int kmh_lost_find(struct kmheap *heap);
void kmh_lost_unmap(struct kmheap *heap, void (*fn)(struct kmh_mspan *s, void *ctx), void *ctx);
void kmh_lost_free(struct kmheap *heap);

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
	bool ended;			/* only the name and what leads here is left: ended.c */
	struct module *owner;
	char *name;
	struct kmh_mspan *unused;	/* sentinels of this heap */
	struct kmh_mspan *freed;
	struct dentry *dir;
	bool ending;			/* being destroyed; under kmh_heaps_mutex, read anywhere */

	/* attributes and accounting */
	size_t limit_bytes;
	atomic_long_t arena_bytes;	/* sum over arenas, and what growers have booked */
	atomic_long_t metadata_bytes;
	size_t base_metadata_bytes;	/* metadata_bytes before the first arena */
	atomic_long_t refused;
	atomic_long_t large_allocs;
	atomic_long_t misuses[KMH_NR_MISUSES];
	struct kmh_reserve_counts reserve;
	struct kmh_nmi nmi;

	struct mutex grow_mutex;	/* one grower that may enter FS and IO */
	struct mutex grow_noio_mutex;	/* one that may not */
	size_t next_arena_bytes;	/* doubles up to kmh_arena_bytes; racy by design */

	struct kmh_sanitize sanitize;
	struct kmh_sweep sweep;
	struct kmh_defer defer;
	struct kmh_specials specials;
	struct kmh_scavenge scavenge;
	struct kmh_shrink shrink;
	struct kmh_idle idle;
	struct kmh_limit limit;

	/* collections; under sweep.mutex but for the counters */
	unsigned long collections;
	atomic_long_t collected;	/* objects, ever */
	atomic_long_t collected_bytes;
	u64 begin_ns, end_ns;		/* longest call ever */

	struct mutex arenas_mutex;	/* the lists below */
	struct list_head arenas;
	struct list_head leaving;	/* out of the page heap; each waits for its grace period */
	struct list_head lost;		/* freed by somebody else: lost.c */
	struct delayed_work leave;

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
extern struct workqueue_struct *kmh_grow_wq;	/* for those who cannot: before anything else */
extern size_t kmh_default_limit;
extern atomic_long_t kmh_misuses[KMH_NR_MISUSES];	/* of no heap, or of dead ones */

int kmh_heaps_init(void);
void kmh_heaps_exit(void);
void kmh_heap_account_metadata(struct kmheap *heap, long bytes);

static __always_inline struct kmheap *kmh_heap_or_default(struct kmheap *heap)
{
	/* READ_ONCE(): a branch, and no load where a heap is given. */
	return likely(heap) ? heap : READ_ONCE(kmh_default_heap);
}

/* ------------------------------------------------------------------ ended.c */

void kmh_ended_begin(struct kmheap *heap);
void kmh_ended_keep(struct kmheap *heap);
void kmh_ended_exit(void);
unsigned int kmh_ended_count(u64 *bytes);
void *kmh_ended_alloc(const struct kmheap *heap, unsigned long ip);

/* Some span may have to be swept before its slots can be had. */
static inline bool kmh_sweep_is_open(const struct kmheap *heap)
{
	return READ_ONCE(heap->sweep.what) != KMH_SWEEP_REMOTE;
}

static inline bool kmh_heap_collected(const struct kmheap *heap)
{
	return heap->flags & KMHEAP_COLLECTED;
}

/* Are KASAN and kmemleak told of its objects? See sanitize.c. */
static __always_inline bool kmh_heap_sanitized(const struct kmheap *heap)
{
	return KMH_SANITIZE && unlikely(heap->sanitize.on);
}

#ifdef KMHEAP_KUNIT
extern bool kmh_test_wipes;	/* heaps made from now on, as if the kernel ran with init_on_free */
#else
#define kmh_test_wipes	false
#endif

/* Does the kernel want memory wiped when it is freed? Documentation/api.rst lists the frees. */
static __always_inline bool kmh_wants_wipe(void)
{
	return want_init_on_free() || kmh_test_wipes;
}

/* Nobody reads the object in slot @addr of a small span any more. Its slot is not free yet. */
static inline void kmh_slot_dead(const struct kmh_mspan *s, unsigned long addr)
{
	if (unlikely(READ_ONCE(s->state) == KMH_SPAN_GONE))
		return;		/* the pages are somebody else's: lost.c */
	if (kmh_wants_wipe())
		kmh_clear((void *)addr, s->elemsize);
	if (kmh_heap_sanitized(s->heap))
		kmh_sanitize_dead(addr, s->elemsize);
}

/* Something was freed that the scavenger might turn into pages. One load, nearly always. */
static __always_inline void kmh_scavenge_ask(struct kmheap *heap)
{
	if (unlikely(!atomic_read(&heap->scavenge.asked)))
		kmh_scavenge_kick(heap);
}

/* A CPU begins to keep something. One load, nearly always. */
static __always_inline void kmh_idle_ask(struct kmheap *heap)
{
	if (unlikely(!atomic_read(&heap->idle.asked)))
		kmh_idle_kick(heap);
}

static inline struct kmh_node *kmh_heap_node(struct kmheap *heap, int nid)
{
	return heap->nodes[nid];
}

/* Whose memory this CPU is served from. A task that may migrate asks once, and keeps to it. */
static inline struct kmh_node *kmh_heap_near_node(struct kmheap *heap)
{
	return READ_ONCE(raw_cpu_ptr(heap->mcache)->node);
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

/* ------------------------------------------------------------------ node.c */

int kmh_node_next_nearest(struct kmheap *heap, int from, int last);
void *kmh_node_alloc_elsewhere(struct kmheap *heap, struct kmh_node *node, unsigned int spanclass,
			       gfp_t gfp);
bool kmh_node_holds(const void *p, size_t bytes, int nid);

/* ---------------------------------------------------------------- locate.c */

/* The object an address lies in; base 0 when in none. Whose it was, for reports. */
struct kmh_where {
	struct kmheap *heap;
	enum kmh_span_state span;
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
size_t kmh_live_bytes(const void *p);

/* ------------------------------------------- alloc.c free.c tiny.c large.c */

#define KMH_MAX_TINY		12UL	/* 16 with its rounding needs a block anyway */
#define KMH_TINY_GRANULE	4UL

/*
 * An internal bit of heap->flags: data is not packed, because the kernel wants freed memory wiped.
 * Where packed objects in one block are freed after a grace period, none of them could be wiped
 * before the last of them is free, as a CPU may still cut objects from the block.
 */
#define KMH_HEAP_UNPACKED	BIT(31)

/* What vmalloc space cannot promise. */
#define KMH_GFP_ZONES		(__GFP_DMA | __GFP_DMA32)

void *kmh_alloc_try(struct kmheap *heap, struct kmh_node *node, unsigned int spanclass,
		    bool atomic);
void *kmh_alloc_slow(struct kmheap *heap, unsigned int spanclass, gfp_t gfp);
unsigned int kmh_aligned_spanclass(unsigned int spanclass);
void *kmh_alloc_on_node(struct kmheap *heap, unsigned int spanclass, gfp_t gfp, int nid);
bool kmh_gfp_ok(struct kmheap *heap, gfp_t gfp);
bool kmh_alloc_may_grow(gfp_t gfp);

/*
 * May the caller have what is kept for callers that cannot sleep? They themselves, and reclaim,
 * as with what the kernel keeps below its watermarks.
 */
static inline bool kmh_alloc_is_urgent(gfp_t gfp)
{
	return !kmh_alloc_may_grow(gfp) || current->flags & PF_MEMALLOC;
}

void *kmh_tiny_alloc(struct kmheap *heap, size_t bytes, gfp_t gfp);
void kmh_tiny_close(struct kmh_mcache *mc);
enum kmh_free_result kmh_tiny_free(struct kmh_mspan *s, unsigned long addr);
enum kmh_free_result kmh_tiny_defer(struct kmh_mspan *s, unsigned long addr, unsigned int block);
size_t kmh_tiny_extent(const struct kmh_mspan *s, unsigned long addr, unsigned long *base,
		       unsigned int *block, bool *live);
unsigned int kmh_tiny_live(const struct kmh_mspan *s);
void kmh_clear_chunked(void *p, size_t bytes, bool may_sleep);
void *kmh_large_alloc(struct kmheap *heap, size_t bytes, size_t align, gfp_t gfp, int nid,
		      enum kmh_span_state state, bool noscan);
void *kmh_large_try(struct kmheap *heap, size_t bytes, gfp_t gfp);
enum kmh_free_result kmh_large_claim(struct kmh_mspan *s, unsigned long addr,
				     enum kmh_span_state state);
void kmh_large_release(struct kmh_mspan *s);
void kmh_large_free(struct kmh_mspan *s);
enum kmh_free_result kmh_free_slot(struct kmh_mspan *s, unsigned int slot);
void kmh_free_located(struct kmh_mspan *s, unsigned long addr, const struct kmh_where *at,
		      unsigned long ip);
void kmh_free_rcu_slow(struct kmh_mspan *s, unsigned long addr, unsigned long ip);
void kmh_free_doubled(unsigned long addr, unsigned long ip);
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

#define KMH_ALIGN_MAX_BYTES	(4096UL << 10)

/* ------------------------------------------------------------------ stats.c */

/*
 * The difference of two figures that nobody has stopped between: of different moments, perhaps,
 * and never less than nothing. For all that is printed or handed out.
 */
static inline u64 kmh_less(u64 all, u64 part)
{
	return all > part ? all - part : 0;
}

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

struct kmh_heap_walk *kmh_heap_walk_new(void);
void kmh_heap_walk(struct kmheap *heap, struct kmh_heap_walk *w);
u64 kmh_shared_bytes(void);
int kmh_global_stats(struct kmheap_stats *sum, unsigned int *nheaps);
void kmh_walk_pages(unsigned long page, unsigned long end,
		    void (*fn)(struct kmh_mspan *s, void *ctx), void *ctx);
void kmh_walk_spans(struct kmh_arena *a, void (*fn)(struct kmh_mspan *s, void *ctx), void *ctx);

/* --------------------------------------------------------------- validate.c */

unsigned int kmh_validate_heap(struct kmheap *heap, kmh_finding_fn finding, void *ctx);
unsigned int kmh_validate_all(kmh_finding_fn finding, void *ctx);

/* ----------------------------------------------------------------- report.c */

/*
 * What a misuse was, for the report, which reads no span: that may be another one by now. @heap
 * and @state are of the span that the address was found in; @heap, NULL when there is none, stays
 * for as long as preemption is off. @object and @bytes describe the object the address lies in, 0
 * when there is none.
 */
struct kmh_report {
	enum kmh_misuse kind;
	const char *what;
	unsigned long addr;
	unsigned long ip;
	struct kmheap *heap;
	enum kmh_span_state state;
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

/* ------------------------------------------------------------------ param.c */

struct kernel_param_ops;

extern const struct kernel_param_ops kmh_bytes_param_ops;
extern const struct kernel_param_ops kmh_kib_param_ops;
int kmh_kib_parse(const char *text, unsigned int most, unsigned int *kib);

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
