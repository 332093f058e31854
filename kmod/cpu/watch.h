/* SPDX-License-Identifier: GPL-2.0 */
/* Private: which allocations of a heap are sampled, and which one is to fail; see watch.c. */
#ifndef _KMHEAP_WATCH_H
#define _KMHEAP_WATCH_H

#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/jump_label.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include "cpu/mcache.h"

/* Which allocations fail_nth counts (fail_gfp). */
enum kmh_fail_gfp {
	KMH_FAIL_ANY,
	KMH_FAIL_ATOMIC,		/* of callers that cannot sleep */
	KMH_FAIL_SLEEPING,		/* of the others */
	KMH_NR_FAIL_GFPS,
};

extern const char * const kmh_fail_gfp_names[KMH_NR_FAIL_GFPS];

/* The profile of a heap, or what is left of the last one. */
struct kmh_profile {
	struct mutex mutex;	/* one switch at a time; not for the end of a heap */
	bool watched;		/* the CPUs have their watches */
	bool used;		/* there may be sites of the heap */
	size_t period;		/* 0: the heap is not profiled */
	size_t last_period;	/* 0: it never was */
	u32 mark;		/* kmh_record_now() of the last mark */
	u64 since_ns, mark_ns;	/* wall clock: when the profile began, and of the mark */
	size_t peak_bytes;	/* most bytes of pages in use; under kmh_profile_mutex */
	u64 peak_ns;		/* wall clock: when */
	atomic_long_t fail_nth;	/* allocations up to the one that fails; 0: none is to */
	unsigned long fail_interval;	/* then every so many more; 0: none */
	enum kmh_fail_gfp fail_gfp;
};

/* How far a class of a CPU is from its next sample. */
struct kmh_watch_class {
	unsigned long until;	/* bytes before the object to be sampled */
	unsigned long seen;	/* kmh_mcache_allocs(), when @until was brought up to date */
	bool closed;		/* something is held back from the fast paths */
	u16 skip;		/* trips that need not look */
};

/* What a CPU has of a heap that is watched. In the section, but for @period and @other_at. */
struct kmh_watch {
	size_t period;		/* bytes between samples, on average; 1: every object, 0: none */
	u64 random;
	unsigned long other_at;	/* mc->watch_other of the next hit past the classes */
	bool shut;		/* it has closed for an allocation that is to fail */
	struct kmh_watch_class class[KMH_NR_SPANCLASSES];
};

DECLARE_STATIC_KEY_FALSE(kmh_watch_key);

/* Somebody traces allocations: every one of every heap takes the long way. */
extern bool kmh_allocs_traced;

/* Keeps the sites of every heap for whoever reads them. Nothing is allocated under it. */
extern struct mutex kmh_profile_mutex;

/* A larger period would overflow a distance. */
#define KMH_PERIOD_MOST	((size_t)LONG_MAX / 32)

/* Is the mcache's heap watched? In the section. One no-operation where no heap is. */
static __always_inline bool kmh_watched(const struct kmh_mcache *mc)
{
	return static_branch_unlikely(&kmh_watch_key) && READ_ONCE(mc->watch);
}

unsigned long kmh_watch_draw(struct kmh_watch *w);
void *kmh_watch_take(struct kmh_mcache *mc, unsigned int spanclass);
bool kmh_watch_shuts(const struct kmheap *heap);
void kmh_watch_open(struct kmh_mcache *mc, unsigned int spanclass);
void kmh_watch_close(struct kmh_mcache *mc, unsigned int spanclass);
void kmh_watch_took_resting(struct kmh_mcache *mc, unsigned int spanclass, void *p);
void kmh_watch_reopen_slow(struct kmh_mcache *mc, unsigned int spanclass);
void kmh_watch_one_slow(struct kmheap *heap, unsigned int spanclass, void *p);
void kmh_watch_large(struct kmh_mspan *s);
int kmh_watch_set_period(struct kmheap *heap, size_t period);
int kmh_watch_set_fail(struct kmheap *heap, unsigned long n);
int kmh_watch_retrace(struct kmheap *heap);
bool kmh_watch_fails_slow(struct kmheap *heap, unsigned int spanclass, size_t bytes, gfp_t gfp);
void kmh_watch_mark(struct kmheap *heap);
void kmh_watch_peak(struct kmheap *heap, bool any);
void kmh_watch_end(struct kmheap *heap);
void kmh_watch_heap_init(struct kmheap *heap);

/* The magazine of a class has changed by another way than kmh_watch_take(). In the section. */
static __always_inline void kmh_watch_reopen(struct kmh_mcache *mc, unsigned int spanclass)
{
	if (kmh_watched(mc))
		kmh_watch_reopen_slow(mc, spanclass);
}

/*
 * An object of a class was allocated past the mcache: of another node, for an interrupt that found
 * the section busy, or for an NMI. NULL is fine. Context: any.
 */
static __always_inline void kmh_watch_one(struct kmheap *heap, unsigned int spanclass, void *p)
{
	if (static_branch_unlikely(&kmh_watch_key) && p)
		kmh_watch_one_slow(heap, spanclass, p);
}

/*
 * Is the allocation of @bytes that a client asks for one that is to fail (fail_nth)? It has been
 * refused then. To be asked once for each allocation, before anything is tried. Context: any.
 */
static __always_inline bool kmh_watch_fails(struct kmheap *heap, unsigned int spanclass,
					    size_t bytes, gfp_t gfp)
{
	return static_branch_unlikely(&kmh_watch_key) &&
	       kmh_watch_fails_slow(heap, spanclass, bytes, gfp);
}

#endif /* _KMHEAP_WATCH_H */
