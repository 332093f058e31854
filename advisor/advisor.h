/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: kmheap_advisor.ko, which watches what modules that do not use kmheap take of the kernel.
 *
 *	main.c		parameters, order of initialization
 *	watch.c		which modules are watched, and where their text is
 *	events.c	what the kernel tells of allocations and frees
 *	charge.c	which module an allocation is charged to; its site and its record
 *	view.c		what there is, added up at the moment when somebody asks
 *	files.c		the files in debugfs
 *	floor.c		what insight/ wants of the floor below it
 *
 * Sites, records and stacks are those of kmheap's profiles (kmod/insight/), of which this module
 * has a copy of its own, so it loads with and without kmheap.ko. A site's owner is a watch, and its
 * class says which allocator gave how much, see kma_class(). A record has the bytes that were asked
 * for.
 *
 * What runs in an event may be called in any context, NMI included, with any lock held: it takes no
 * lock, allocates nothing and turns preemption off. What it reads of a watch stays until a grace
 * period is over. All else is process context, under kma_mutex.
 */
#ifndef _KMHEAP_ADVISOR_H
#define _KMHEAP_ADVISOR_H

#include <linux/atomic.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include "insight/rows.h"

/* Modules that can be watched at a time. */
#define KMA_MOST_WATCHES	8U

/* Return addresses from the call of the allocator on, among which the module's has to be. */
#define KMA_REACH		12U

enum kma_kind {
	KMA_KMALLOC,
	KMA_CACHE,	/* kmem_cache_alloc() */
	KMA_PAGES,
	KMA_VMALLOC,
	KMA_PERCPU,
	KMA_NR_KINDS,
	KMA_INSIDE = KMA_NR_KINDS,	/* an allocator's own: view.c */
};

/* How an object was freed, where the usual event has not told. */
enum kma_way {
	KMA_FREED,
	KMA_BY_RCU,	/* given to kfree_rcu() */
	KMA_IN_BULK,	/* kmem_cache_free_bulk(), kfree_bulk() */
	KMA_UNSEEN,	/* known when its address was allocated again */
	KMA_SLAB_PAGES,	/* pages that an allocator has given its first object of */
	KMA_NR_WAYS,
};

enum kma_state {
	KMA_ABSENT,	/* never seen */
	KMA_COMING,	/* its init function runs */
	KMA_LIVE,
	KMA_GONE,	/* was unloaded */
};

/* Text of a module. */
struct kma_range {
	unsigned long base;
	unsigned long bytes;
};

/* A module that is watched, by its name; whatever is counted is of its last load. */
struct kma_watch {
	char name[MODULE_NAME_LEN];
	enum kma_state state;
	bool late;			/* it was there before the advisor was */
	unsigned int loads, unloads;
	u64 since_ns;
	struct kma_range text, init;	/* no bytes where there is none */
	atomic_long_t freed[KMA_NR_WAYS];
};

extern struct mutex kma_mutex;
extern struct kma_watch kma_watches[KMA_MOST_WATCHES];
extern unsigned int kma_nwatches;

int kma_watch_names(const char *names);
int kma_watch_start(void);
void kma_watch_stop(void);
struct kma_range kma_watched_text(void);
const struct kma_watch *kma_watch_at(unsigned long ip);

/* ---- charge.c */

extern atomic_long_t kma_nested;

void kma_allocated(enum kma_kind kind, unsigned long call_site, unsigned long addr, size_t asked,
		   size_t given);
void kma_freed(unsigned long addr, enum kma_way way);

/* The class of a site: the allocator, and the bytes that it gives, or 0 where these differ. */
#define KMA_GIVEN_BITS		28

static inline u32 kma_class(enum kma_kind kind, size_t given)
{
	return (u32)kind << KMA_GIVEN_BITS | (given >> KMA_GIVEN_BITS ? 0 : given);
}

static inline enum kma_kind kma_class_kind(u32 class)
{
	return class >> KMA_GIVEN_BITS;
}

static inline size_t kma_class_given(u32 class)
{
	return class & ((1U << KMA_GIVEN_BITS) - 1);
}

/* ---- events.c */

int kma_events_start(void);
void kma_events_stop(void);
bool kma_event_seen(const char *name);
unsigned long kma_events_missed(void);

/* ---- view.c */

/* Sums over the objects of one kind. */
struct kma_sum {
	unsigned long allocs, failed, live_objects;
	size_t asked_bytes;		/* live */
	size_t given_bytes;		/* what the kernel takes for them */
	size_t kmheap_bytes;		/* what kmheap would */
};

/* Live objects of one size class of kmheap; the last row is of those that are large. */
#define KMA_NR_SIZES		69

struct kma_view {
	struct kma_sum sum[KMA_NR_KINDS + 1];
	struct kma_sum size[KMA_NR_SIZES];	/* of slab objects; allocs are not known */
	unsigned int n;
	struct kmh_profile_row row[];
};

struct kma_view *kma_view_take(const struct kma_watch *watch);
enum kma_kind kma_row_kind(const struct kmh_profile_row *row);
size_t kma_row_given(const struct kmh_profile_row *row, unsigned long objects, size_t asked);
size_t kma_size_of_class(unsigned int class);
bool kma_kind_may_leak(enum kma_kind kind);

/* ---- files.c */

void kma_files_add(void);
void kma_files_remove(void);

#endif /* _KMHEAP_ADVISOR_H */
