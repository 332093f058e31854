/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor central/, spans that no CPU has.
 *
 * For each class on each node there is one mcentral: sets of spans with free slots and of full
 * ones, and an inbox of full spans that have been freed into. A span is on its way between two
 * homes on a *trip* (below) only, which ends within a bounded time; so the sweep can wait for
 * all of them. The lock is mcentral->lock, raw, and inside it at most the page heap's. The one
 * rule: whoever takes a span off a list has claimed it, folds or sweeps it without the lock
 * (sweepspan.c), and puts it where it then belongs.
 */
#ifndef _KMHEAP_MCENTRAL_H
#define _KMHEAP_MCENTRAL_H

#include <linux/atomic.h>
#include <linux/cache.h>
#include <linux/compiler.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "base/compat.h"
#include "base/preempt_off.h"
#include "base/validator.h"
#include "central/inbox.h"
#include "central/phase.h"
#include "pages/arena.h"

struct kmh_mcache;
struct kmh_mspan;
struct kmh_node;

/*
 * The spans of one class on one node that no CPU caches.
 *
 * @phase says in one word, so that one load tells all of it as of one moment: the sweep generation
 * h, which is even; what its spans are swept for; and whether a collection is marking. Set (h / 2)
 * % 2 of @partial and @full holds what this generation has swept, the other one what it has not.
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
	struct kmh_node *node;		/* NULL: it is one of kmh_no_mcentrals */
	atomic_long_t nested_allocs;	/* by interrupts that found their mcache busy */
};

/*
 * Mcentrals come by groups, of four sizes each, as a small heap needs few (mcentrals.c). Until a
 * group has come, kmh_no_mcentrals is in its place, which has no spans and gets none.
 */
#define KMH_GROUP_CLASSES	8U
#define KMH_NR_GROUPS		DIV_ROUND_UP(KMH_NR_SPANCLASSES, KMH_GROUP_CLASSES)
/* Groups for classes to come, as many as the first arena of a small heap has pages. */
#define KMH_SPARE_GROUPS	(ALIGN(KMH_ARENA_FIRST_BYTES, PAGE_SIZE) >> KMH_PAGE_SHIFT)

extern struct kmh_mcentral kmh_no_mcentrals[KMH_GROUP_CLASSES];

static inline unsigned long kmh_mcentral_phase(const struct kmh_mcentral *c)
{
	return smp_load_acquire(&c->phase);	/* marks are read after the end of marking */
}

static inline unsigned int kmh_mcentral_gen(const struct kmh_mcentral *c)
{
	return kmh_phase_gen(READ_ONCE(c->phase));	/* orders nothing */
}

/*
 * A trip is what a CPU does with a span that is on no list and in no mcache: it has popped the
 * span, or announces it, or makes it. Preemption is off from its beginning to its end, and its
 * work is bounded. The sweep cannot find a span that is in the hands of a CPU, so it waits until
 * each CPU is seen without a trip, or with another one: kmh_sweep_wait_for_trips().
 *
 * Trips nest: an interrupt has its own. The low bits of mcache->trips are the depth; the
 * others count trips that have ended and were inside no other trip. A trip inside another
 * leaves the word as it was, so the outermost may end with a plain store.
 */
#define KMH_TRIP_DEPTH		0xffU

static __always_inline void kmh_trip_begin(unsigned int __percpu *trips)
{
	kmh_assert_pinned();
	kmh_cpu_add(*trips, 1);
	barrier();
}

static __always_inline void kmh_trip_end(unsigned int __percpu *trips)
{
	unsigned int *mine = this_cpu_ptr(trips), now = *mine;

	if (likely((now & KMH_TRIP_DEPTH) == 1))
		/* Release: a CPU that sees the trip over sees what was done on it. */
		smp_store_release(mine, now + KMH_TRIP_DEPTH);
	else
		WRITE_ONCE(*mine, now - 1);
}

/* Is the outermost trip of @seen, if there was one, over at @now? */
static inline bool kmh_trip_is_over(unsigned int seen, unsigned int now)
{
	return !(seen & KMH_TRIP_DEPTH) || !(now & KMH_TRIP_DEPTH) ||
	       (seen ^ now) & ~KMH_TRIP_DEPTH;
}

int kmh_mcentrals_init(struct kmh_node *node, gfp_t gfp);
int kmh_mcentrals_make(struct kmh_node *node, gfp_t gfp);
size_t kmh_mcentrals_missing_bytes(struct kmh_node *node);
bool kmh_mcentrals_short(const struct kmh_node *node);
void kmh_mcentrals_free(struct kmh_node *node);
unsigned int kmh_mcentrals_validate(struct kmh_node *node, kmh_finding_fn finding, void *ctx);
struct kmh_mcentral *kmh_mcentral_get(struct kmh_node *node, unsigned int spanclass, bool atomic);
void kmh_no_mcentrals_init(void);

void kmh_mcentral_init(struct kmh_mcentral *c, struct kmh_node *node, unsigned int spanclass);
struct kmh_mcentral *kmh_mspan_mcentral(const struct kmh_mspan *s);
struct llist_node *kmh_mcentral_cache_spans(struct kmh_node *node, unsigned int spanclass,
					    struct kmh_mcache *mc);
void kmh_mcentral_uncache_span(struct kmh_node *node, struct kmh_mspan *s);
void *kmh_mcentral_alloc_one(struct kmh_node *node, unsigned int spanclass, bool atomic);
void kmh_mcentral_drop_lost(struct kmh_mcentral *c);
unsigned int kmh_mcentral_validate(struct kmh_mcentral *c, kmh_finding_fn finding, void *ctx);

/* For inbox.c and unswept.c. What comes off a set has home CACHED and is the caller's. */
struct kmh_mspan *kmh_mcentral_pop_partial_locked(struct kmh_mcentral *c, unsigned int set);
struct kmh_mspan *kmh_mcentral_pop_full_locked(struct kmh_mcentral *c, unsigned int set);
bool kmh_mcentral_take_partial_locked(struct kmh_mcentral *c, struct kmh_mspan *s);
bool kmh_mcentral_unlist_locked(struct kmh_mcentral *c, struct kmh_mspan *s);
void kmh_mcentral_claim_locked(struct kmh_mcentral *c, struct kmh_mspan *s);
void kmh_mcentral_sweep_claimed(struct kmh_mspan *s);
void kmh_mcentral_release_claimed(struct kmh_mspan *s);

#endif /* _KMHEAP_MCENTRAL_H */
