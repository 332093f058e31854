/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor front/, what clients call.
 *
 * Allocation, free, lookup, finalizers: what is exported is declared in <linux/kmheap.h>, and
 * what the files of this floor have for each other here. There is no lock but kmh_special_mutex:
 * the fast paths turn preemption off and enter this CPU's mcache. The one rule: a fast path does
 * what nearly every call needs, and every other way out of it is a tail call, so that it saves no
 * register.
 */
#ifndef _KMHEAP_FRONT_H
#define _KMHEAP_FRONT_H

#include <linux/gfp.h>
#include <linux/types.h>

#include "base/public.h"
#include "span/cache.h"
#include "span/mspan.h"
#include "span/report.h"
#include "span/special.h"

struct kmh_node;

#define KMH_ALIGN_MAX_BYTES	(4096UL << 10)

void *kmh_alloc_slow(struct kmheap *heap, unsigned int spanclass, gfp_t gfp);
void *kmh_alloc_find(struct kmheap *heap, unsigned int spanclass, gfp_t gfp);
unsigned int kmh_aligned_spanclass(unsigned int spanclass);
void *kmh_alloc_on_node(struct kmheap *heap, unsigned int spanclass, gfp_t gfp, int nid);

void *kmh_large_alloc(struct kmheap *heap, size_t bytes, size_t align, gfp_t gfp, int nid,
		      enum kmh_span_state state, bool noscan);
void *kmh_large_find(struct kmheap *heap, size_t bytes, size_t align, gfp_t gfp, int nid,
		     enum kmh_span_state state, bool noscan);

int kmh_node_next_nearest(struct kmheap *heap, int from, int last);
void *kmh_node_alloc_one(struct kmh_node *node, unsigned int spanclass, bool atomic);
void *kmh_node_alloc_elsewhere(struct kmheap *heap, struct kmh_node *node, unsigned int spanclass,
			       gfp_t gfp);
bool kmh_node_holds(const void *p, size_t bytes, int nid);

void kmh_free_located_unpin(struct kmh_mspan *s, unsigned long addr, const struct kmh_where *at,
			    unsigned long ip);
void kmh_free_rcu_slow_unpin(struct kmh_mspan *s, unsigned long addr, unsigned long ip);
void kmh_free_doubled_unpin(unsigned long addr, unsigned long ip);
void kmh_free_one(const void *p, unsigned long ip);
void kmh_cache_free_one(struct kmheap_cache *cache, const void *p, unsigned long ip);
void kmh_free_sized_one(const void *p, size_t size, unsigned long ip);

void kmh_locate(const struct kmh_mspan *s, unsigned long addr, struct kmh_where *at);
void kmh_misuse_doubled(unsigned long addr, const struct kmh_mspan *s, const struct kmh_where *at,
			unsigned long ip);
bool kmh_may_free(struct kmh_mspan *s, unsigned long addr, struct kmh_where *at, unsigned long ip);
size_t kmh_live_bytes(const void *p);

extern unsigned int kmh_quarantine_kib;

void *kmh_sanitize_find(struct kmheap *heap, size_t size, size_t align, gfp_t gfp, int nid,
			bool noscan);
void *kmh_sanitize_alloc(struct kmheap *heap, size_t size, size_t align, gfp_t gfp, bool noscan);
void kmh_sanitize_user(struct kmheap *heap, struct kmh_mspan *s, gfp_t gfp);
bool kmh_sanitize_resize(const struct kmheap_object *obj, size_t size, gfp_t gfp);
void kmh_sanitize_free_unpin(struct kmh_mspan *s, unsigned long addr, const struct kmh_where *at,
			     unsigned long ip);

/*
 * Records for an object that is to have a special. They are booked and allocated before
 * kmh_special_mutex is taken, because reclaim may want that. A function that uses a record
 * sets its pointer to NULL.
 */
struct kmh_special_stock {
	struct kmheap *heap;		/* of the object; set when something is missing */
	bool want_weak;			/* a handle, too */
	struct kmh_special *special;
	struct kmheap_weak *weak;
};

int kmh_special_stock_fill(struct kmh_special_stock *stock);
void kmh_special_stock_end(struct kmh_special_stock *stock);
struct kmh_special *kmh_special_of(const char *who, const void *p,
				   struct kmh_special_stock *stock, unsigned long ip);
void kmh_special_disarm(struct kmheap *heap, struct kmh_special *sp);
size_t kmh_weak_bytes(void);

void *kmh_cache_mark(const struct kmheap_cache *cache, void *p);
bool kmh_cache_serves(const struct kmheap_cache *cache, gfp_t gfp);
bool kmh_cache_may_free(const struct kmheap_cache *cache, unsigned long addr, unsigned long ip);
void kmh_caches_count(struct kmheap *heap, struct kmh_cache_counts *counts);
void kmh_caches_end(struct kmheap *heap);
void kmh_cache_pool_init(void);
void kmh_cache_pool_destroy(void);

void kmh_special_wait(struct kmheap *heap);
void kmh_special_drop(struct kmheap *heap);
int kmh_special_init(struct kmheap *heap);
void kmh_special_stop(struct kmheap *heap);
void kmh_special_exit(struct kmheap *heap);

void kmh_tombstone_begin(struct kmheap *heap);
void kmh_tombstone_keep(struct kmheap *heap);
void kmh_tombstone_exit(void);
unsigned int kmh_tombstone_count(u64 *bytes);
void *kmh_tombstone_alloc(const struct kmheap *heap, unsigned long ip);

#endif /* _KMHEAP_FRONT_H */
