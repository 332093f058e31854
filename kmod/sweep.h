/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: generations of the sweep, deferred frees, specials, the scavenger; what a heap has
 * of each.
 */
#ifndef _KMHEAP_SWEEP_H
#define _KMHEAP_SWEEP_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/irq_work.h>
#include <linux/llist.h>
#include <linux/mutex.h>
#include <linux/rhashtable-types.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct kmheap;
struct kmh_arena;
struct kmh_mheap;
struct kmh_mcache;
struct kmh_mspan;

/* ------------------------------------------------------------------ sweep.c */

/* What the spans of a generation are swept for, beside their remote frees. */
enum kmh_sweep_what {
	KMH_SWEEP_REMOTE,	/* nothing: the generation is closed */
	KMH_SWEEP_SET0,		/* the deferred frees of one set have expired */
	KMH_SWEEP_SET1,
	KMH_SWEEP_MARKS,	/* what is not marked is garbage */
};

#define KMH_PHASE_MARKING	BIT(0)
#define KMH_PHASE_WHAT_SHIFT	1
#define KMH_PHASE_GEN_SHIFT	32

static inline unsigned long kmh_phase(unsigned int gen, enum kmh_sweep_what what, bool marking)
{
	return (unsigned long)gen << KMH_PHASE_GEN_SHIFT | what << KMH_PHASE_WHAT_SHIFT | marking;
}

static inline unsigned int kmh_phase_gen(unsigned long phase)
{
	return phase >> KMH_PHASE_GEN_SHIFT;
}

static inline enum kmh_sweep_what kmh_phase_what(unsigned long phase)
{
	return phase >> KMH_PHASE_WHAT_SHIFT & 3;
}

/* Which of the two sets holds what has been swept. */
static inline unsigned int kmh_swept_set(unsigned long phase)
{
	return kmh_phase_gen(phase) >> 1 & 1;
}

/* The generation of a heap. */
struct kmh_sweep {
	struct mutex mutex;		/* advancing it; collections */
	void (*visit)(struct kmh_mcache *mc);	/* kmh_sweep_caches(): what each CPU is to do */
	unsigned int round;		/* ... and which call of it this is; both under @mutex */
	enum kmh_sweep_what what;	/* of the open generation; written under @mutex */
	bool marking;			/* between kmheap_collect_begin() and _end() */
	atomic_t cursor;		/* where kmh_sweep_one() goes on */
	atomic_long_t debt;		/* pages swept since it opened, less what was due */
	atomic_long_t spans;		/* swept, ever */
	unsigned long generations;	/* ever; under @mutex */
	unsigned long reclaim_generation;	/* in which the first @reclaim_pages heap pages */
	unsigned long reclaim_pages;	/* have been reclaimed; both under heap->arenas_mutex */
	struct delayed_work work;
};

bool kmh_sweep_claim(struct kmh_mspan *s, unsigned int gen);
void kmh_sweep_span(struct kmh_mspan *s, unsigned int gen, unsigned long phase);
void kmh_sweep_if_stale(struct kmh_mspan *s);
void kmh_sweep_uncached(struct kmh_mspan *s);
bool kmh_sweep_blackens(const struct kmh_mspan *s);
void kmh_sweep_wait_for_trips(struct kmheap *heap);
void kmh_sweep_pay(struct kmheap *heap, unsigned long npages);
bool kmh_sweep_reclaim(struct kmheap *heap, unsigned long npages);
void kmh_sweep_open(struct kmheap *heap, enum kmh_sweep_what what);
void kmh_sweep_finish(struct kmheap *heap);
void kmh_sweep_settle(struct kmheap *heap);
void kmh_sweep_let_go(struct kmheap *heap);
bool kmh_sweep_caches(struct kmheap *heap, void (*fn)(struct kmh_mcache *mc));
void kmh_sweep_init(struct kmheap *heap);
void kmh_sweep_stop(struct kmheap *heap);

/* ------------------------------------------------------------------ defer.c */

/* The deferred frees of a heap. */
struct kmh_defer {
	unsigned long gen;		/* set gen & 1 is being filled; under sweep.mutex */
	u8 any[2];			/* something is in this set */
	bool waiting;			/* the other set is closed, and */
	unsigned long cookie;		/* waits for this grace period */
	size_t min_limit;		/* so much may be pending in the smallest heap */
	atomic_long_t pending;		/* bytes, about */
	bool pressed;			/* the worker has been told to hurry */
	bool short_of_memory;		/* reclaim asks for what waits */
	atomic_long_t expedited;	/* grace periods that were pressed, ever */
	struct irq_work kick;
};

void kmh_defer_large(struct kmh_mspan *s);
size_t kmh_defer_limit(const struct kmheap *heap);
bool kmh_defer_excess(const struct kmheap *heap);
void kmh_defer_expired(struct kmheap *heap, unsigned long bytes);
unsigned long kmh_defer_step(struct kmheap *heap);
void kmh_defer_relieve(struct kmheap *heap);
void kmh_defer_reclaim(struct kmheap *heap);
void kmh_defer_init(struct kmheap *heap);

/* ---------------------------------------------------------------- special.c */

extern struct mutex kmh_special_mutex;

/* The side data of a heap's objects, by address. */
struct kmh_specials {
	bool used;			/* there has been one; no magazines any more */
	bool ending;			/* kmheap_destroy() frees what is left */
	struct rhashtable table;
	atomic_long_t n;
	atomic_long_t finalized;	/* ever */
	struct llist_head dead;		/* whose object has been freed or found dead */
	struct irq_work kick;
	struct work_struct work;
};

bool kmh_special_exists(struct kmh_mspan *s, unsigned long addr);
bool kmh_special_finalizes(struct kmh_mspan *s, unsigned long addr);
bool kmh_special_die(struct kmh_mspan *s, unsigned long addr);
void kmh_special_forget(struct kmh_mspan *s, unsigned long addr);
void kmh_special_survive(struct kmh_mspan *s, unsigned long addr, unsigned int gen);
unsigned long kmh_special_held(struct kmh_mspan *s, unsigned int word, unsigned long slots);
void kmh_special_flush(struct kmheap *heap);
int kmh_special_init(struct kmheap *heap);
void kmh_special_stop(struct kmheap *heap);
void kmh_special_forget_lost(struct kmheap *heap);
void kmh_special_exit(struct kmheap *heap);

/* ---------------------------------------------------------------- reclaim.c */

/* What the scavenger of a heap goes by; but for the first and the counters the worker's own. */
struct kmh_scavenge {
	atomic_t asked;			/* a step has been asked for */
	bool stopped;			/* for good */
	struct irq_work kick;
	struct delayed_work work;
	unsigned long not_before;	/* jiffies */
	unsigned long last;		/* jiffies at the last step */
	unsigned int arena;		/* where the search for empty spans goes on */
	unsigned long page;
	bool behind;			/* ... and once more from the beginning */
	size_t peak_bytes;		/* in use, recently */
	size_t credit;			/* bytes that may go */
	unsigned long moves;		/* of parked spans, as last seen */
	unsigned int parked_ms;		/* since it has been so */
	unsigned int over_ms;		/* since little of the peak is in use */
	u64 given_ns;			/* what giving back took in the last step */
	atomic_long_t bytes;		/* given back, ever */
	atomic_long_t arenas;
	spinlock_t recent_lock;		/* the two below; a leaf */
	size_t recent_bytes;		/* given back, decaying since */
	unsigned long recent_at;	/* jiffies */
};

extern unsigned long kmh_scavenge_rate;

bool kmh_scavenge_step(struct kmheap *heap, unsigned int ms);
void kmh_scavenge_announced(struct kmheap *heap);
void kmh_scavenge_arena(struct kmh_arena *a);
void kmh_scavenge_some(struct kmh_mheap *mh, unsigned long npages);
size_t kmh_scavenge_pace(struct kmheap *heap);
void kmh_scavenge_count(struct kmheap *heap, size_t bytes, unsigned int narenas);
void kmh_scavenge_kick(struct kmheap *heap);
void kmh_scavenge_init(struct kmheap *heap);
void kmh_scavenge_stop(struct kmheap *heap);

#endif /* _KMHEAP_SWEEP_H */
