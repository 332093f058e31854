/* SPDX-License-Identifier: GPL-2.0 */
/* Private: a heap and its nodes, made of what every floor has of one; any file may include this. */
#ifndef _KMHEAP_HEAP_H
#define _KMHEAP_HEAP_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/percpu.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "base/backing.h"
#include "base/public.h"
#include "span/cache.h"
#include "sweep/defer.h"
#include "supply/idle.h"
#include "supply/limit.h"
#include "cpu/mcache.h"
#include "cpu/watch.h"
#include "central/mcentral.h"
#include "pages/mheap.h"
#include "supply/nmi.h"
#include "span/report.h"
#include "pages/reserve.h"
#include "span/sanitize.h"
#include "supply/scavenge.h"
#include "supply/shrink.h"
#include "span/special.h"
#include "sweep/sweep.h"

struct dentry;
struct kmh_depot;
struct module;

struct kmh_node {
	struct kmh_mheap mheap;
	struct kmh_mcentral *group[KMH_NR_GROUPS];	/* mcentrals.c; written under mheap.lock */
	struct kmh_mcentral *spare[KMH_SPARE_GROUPS];	/* for groups to come; under mheap.lock */
	unsigned int nspare;
	struct kmh_depot *depot;	/* one for each class, where there are mcaches: depot.c */
	bool depot_rests[KMH_NR_SPANCLASSES];	/* seen by the idle worker, not taken from since */
};

struct kmheap {
	/*
	 * What the fast paths look at: the mcaches, or stubs while the heap is small, and once it
	 * has ended.
	 */
	struct kmh_mcache __percpu *mcache;
	struct kmh_mcache __percpu *mcaches;	/* NULL while the heap is small */

	/* fixed for life */
	struct kmh_mcache_stub __percpu *stubs;
	struct kmh_node **nodes;	/* nr_node_ids of them; memoryless ones share */
	unsigned int flags;
	enum kmh_backing backing;
	bool ended;			/* only the name and what leads here is left: tombstone.c */
	struct module *owner;
	char *name;
	struct kmh_mspan *unused;	/* sentinels of this heap */
	struct kmh_mspan *freed;
	struct dentry *dir;
	bool ending;			/* being destroyed; under kmh_heaps_mutex, read anywhere */
	bool stopped;			/* its workers do nothing any more */

	/* trace_switch.c */
	bool tracing;			/* being switched: the end of the heap waits */
	unsigned int traced_round;	/* the last one that it had a turn in; kmh_heaps_mutex */

	/* attributes and accounting */
	size_t limit_bytes;
	atomic_long_t arena_bytes;	/* sum over arenas, and what growers have booked */
	atomic_long_t metadata_bytes;
	size_t base_metadata_bytes;	/* before the first arena, and what comes later */
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
	struct kmh_kick growing_up;	/* asked for: mcaches */
	atomic_t nslow;			/* allocations while the heap is small */
	struct kmh_limit limit;
	struct kmh_profile profile;
	struct kmh_caches caches;

	/* collections; under sweep.mutex but for the counters */
	unsigned long collections;
	atomic_long_t collected;	/* objects, ever */
	atomic_long_t collected_bytes;
	u64 begin_ns, end_ns;		/* longest call ever */

	struct mutex arenas_mutex;	/* the lists below */
	struct list_head arenas;
	struct list_head leaving;	/* out of the page heap; each waits for its grace period */
	struct list_head lost;		/* freed by somebody else: lost_arena.c */
	atomic_t lost_round;		/* searches that have found some */
	struct delayed_work leave;

	struct list_head list;		/* kmh_heaps, under its mutex, or ended.c's, likewise */

	/* once no address leads to the heap: what goes a grace period later */
	struct rcu_work end;
	struct kmh_mspan *end_spans;
};

extern struct kmheap *kmh_default_heap;
extern size_t kmh_default_period;	/* of the profile that a heap begins with; 0: none */
extern size_t kmh_default_fail_nth;	/* that a heap begins with; 0: none */
extern struct list_head kmh_heaps;
extern struct mutex kmh_heaps_mutex;
extern struct workqueue_struct *kmh_wq;
extern struct workqueue_struct *kmh_grow_wq;	/* for those who cannot: before anything else */

void kmh_heap_forget_base(struct kmheap *heap);
void kmh_heap_free_tables(struct kmheap *heap);
void kmh_heap_free(struct kmheap *heap);
void kmh_heap_teardown(struct kmheap *heap, bool report);
void kmh_heap_end_default(bool report);
void kmh_heap_destroy(struct kmheap *heap, bool wait);
void kmh_heap_reap_memory(struct kmheap *heap);
void kmh_heap_reap_tables(struct kmheap *heap);
extern struct mutex kmh_ended_mutex;
bool kmh_ended_is_urgent(void);
void kmh_ended_add(struct kmheap *heap);
void kmh_ended_settle(void);
int kmh_heaps_init(void);
void kmh_heaps_exit(void);

/* What clients may ask for. */
#define KMH_HEAP_FLAGS	(KMHEAP_COLLECTED | KMHEAP_HWCACHE_ALIGN | KMHEAP_AREA | KMHEAP_LINEAR | \
			 KMHEAP_SMALL)

/*
 * An internal bit of heap->flags: data is not packed, because the kernel wants freed memory wiped.
 * Where packed objects in one block are freed after a grace period, none of them could be wiped
 * before the last of them is free, as a CPU may still cut objects from the block.
 */
#define KMH_HEAP_UNPACKED	BIT(31)

/*
 * Another one: nor is it while the heap is watched, as a record is of an object with a cell, and
 * the allocation that is to fail may be one of data.
 */
#define KMH_HEAP_PROFILED	BIT(30)

extern bool kmh_small_heaps;	/* heaps made from now on have KMHEAP_SMALL: mcaches.c */

/* The mcache of a CPU; NULL while the heap is small. Context: any. */
static inline struct kmh_mcache *kmh_mcache_of(const struct kmheap *heap, unsigned int cpu)
{
	/* Acquire: what is in them. */
	struct kmh_mcache __percpu *mcaches = smp_load_acquire(&heap->mcaches);

	return mcaches ? per_cpu_ptr(mcaches, cpu) : NULL;
}

static inline struct kmh_mcache *kmh_stub_of(const struct kmheap *heap, unsigned int cpu)
{
	return (struct kmh_mcache *)per_cpu_ptr(heap->stubs, cpu);
}

/*
 * The mcache of the next CPU after *@cpu, which starts at -1; NULL after the last, and at once
 * while the heap is small.
 */
static inline struct kmh_mcache *kmh_next_mcache(const struct kmheap *heap, int *cpu)
{
	*cpu = cpumask_next(*cpu, cpu_possible_mask);
	return *cpu < nr_cpu_ids ? kmh_mcache_of(heap, *cpu) : NULL;
}

static __always_inline struct kmheap *kmh_heap_or_default(struct kmheap *heap)
{
	/* READ_ONCE(): a branch, and no load where a heap is given. */
	return likely(heap) ? heap : READ_ONCE(kmh_default_heap);
}

static inline void kmh_heap_account_metadata(struct kmheap *heap, long bytes)
{
	atomic_long_add(bytes, &heap->metadata_bytes);
}

/* Can a block hold such a run, wherever one begins? */
static inline bool kmh_fits_block(unsigned long npages, unsigned long align)
{
	return npages <= KMH_BLOCK_MAX_PAGES && align <= KMH_BLOCK_MAX_PAGES;
}

/* Is this more than the heap can ever have? */
static inline bool kmh_heap_lacks_run(const struct kmheap *heap, unsigned long npages,
				      unsigned long align)
{
	return heap->backing == KMH_BACKING_LINEAR && !kmh_fits_block(npages, align);
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

/* Are KASAN and kmemleak told of its objects? See sanitize.c. */
static __always_inline bool kmh_heap_sanitized(const struct kmheap *heap)
{
	return KMH_SANITIZE && unlikely(heap->sanitize.on);
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

static inline struct kmh_node *kmh_mcentral_node(const struct kmh_mcentral *c)
{
	return c->node;
}

/* Has a class its mcentral, or one of kmh_no_mcentrals in the place of it? */
static inline bool kmh_mcentral_exists(const struct kmh_mcentral *c)
{
	return c->node;
}

/* The mcentral of a class, or one of kmh_no_mcentrals. Context: any. */
static inline struct kmh_mcentral *kmh_mcentral_of(const struct kmh_node *node,
						   unsigned int spanclass)
{
	/* What is in the group is read through the pointer: pairs with the release. */
	return READ_ONCE(node->group[spanclass / KMH_GROUP_CLASSES]) +
	       spanclass % KMH_GROUP_CLASSES;
}

/*
 * The next mcentral of a heap after @c that there is, node by node; the first after NULL, NULL
 * after the last.
 */
static inline struct kmh_mcentral *kmh_next_mcentral(struct kmheap *heap, struct kmh_mcentral *c)
{
	struct kmh_node *node = c ? c->node : NULL;
	unsigned int spanclass = c ? c->spanclass + 1 : KMH_NR_SPANCLASSES;
	int nid = node ? node->mheap.nid : -1;

	for (;; spanclass++) {
		if (spanclass >= KMH_NR_SPANCLASSES) {
			node = kmh_next_node(heap, &nid);
			spanclass = 0;
		}
		if (!node)
			return NULL;
		c = kmh_mcentral_of(node, spanclass);
		if (kmh_mcentral_exists(c))
			return c;
	}
}

#endif /* _KMHEAP_HEAP_H */
