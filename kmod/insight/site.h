/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor insight/, what is remembered of sampled objects.
 *
 * A site is a stack of return addresses (stack.c) with which a heap was asked for objects of one
 * class (site.c). A record says which site a live object is of, and since when (record.c). This
 * floor knows heaps by their address alone, and neither spans nor CPUs: who samples is cpu/watch.c,
 * who frees a sampled object is told by its cell. Both tables are arrays of fixed size without a
 * lock, so that they can be written in any context, NMI included; what finds no room is counted.
 *
 * kmheap_advisor.ko is linked with a copy of this floor: there the owner of a site is a module that
 * is watched, and the class says which allocator gave how much.
 */
#ifndef _KMHEAP_SITE_H
#define _KMHEAP_SITE_H

#include <linux/atomic.h>
#include <linux/llist.h>
#include <linux/types.h>

#include "insight/stack.h"

struct module;

/* Lives of sampled objects, by their logarithm: below 4 ms, below 16 ms, ... , above 70 minutes. */
#define KMH_SITE_LIVES		12

/*
 * The name of an address in a module's init text, which is gone once the module is live. It is kept
 * until kmheap goes, so a snapshot may have it.
 */
struct kmh_frame_name {
	struct kmh_frame_name *next;	/* of the same site */
	struct llist_node all;
	unsigned long ip;
	char text[];
};

/*
 * A site. @hash is 0 where the entry is free; who takes it writes the rest and @depth last. The
 * figures are of samples, and are added to in any context.
 */
struct kmh_site {
	atomic_long_t hash;
	const void *owner;		/* the heap, known by its address alone */
	u32 class;			/* a span class */
	u8 depth;
	atomic_long_t live_objects;
	atomic_long_t live_bytes;
	atomic_long_t allocs;
	atomic_long_t alloc_bytes;
	atomic_long_t failed;		/* allocations that were made to fail; no samples */
	atomic_t lives[KMH_SITE_LIVES];
	union {
		unsigned long peak_objects;	/* live at the peak; under kmh_profile_mutex */
		atomic_long_t unseen;		/* the advisor's: deaths of which nobody told */
	};
	unsigned long peak_bytes;
	unsigned long ip[KMH_SITE_FRAMES];
	struct kmh_frame_name *names;	/* of some of the addresses */
};

extern unsigned int kmh_profile_sites;
extern atomic_long_t kmh_sites_lost;
extern struct kmh_site *kmh_sites;	/* site.c alone reads it, and dumps: debug/vmcore.c */

int kmh_insight_table_take(void **table, size_t bytes);
void kmh_insight_table_free(void **table, size_t bytes);
int kmh_sites_alloc(void);
void kmh_sites_free(void);
struct kmh_site *kmh_site_of_stack(const void *owner, u32 class, const unsigned long *ip,
				   unsigned int depth);
struct kmh_site *kmh_site_here(const void *owner, u32 class);
struct kmh_site *kmh_site_next(const void *owner, struct kmh_site *site);
unsigned int kmh_site_number(const struct kmh_site *site);
struct kmh_site *kmh_site_of_number(unsigned int number);
void kmh_sites_forget(const void *owner);
void kmh_sites_name(const struct module *mod, bool init);
const char *kmh_frame_name(const struct kmh_frame_name *names, unsigned long ip);

#endif /* _KMHEAP_SITE_H */
