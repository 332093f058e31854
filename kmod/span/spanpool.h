/* SPDX-License-Identifier: GPL-2.0 */
/* Private: descriptors of spans, kept ready; see spanpool.c. */
#ifndef _KMHEAP_SPANPOOL_H
#define _KMHEAP_SPANPOOL_H

#include <linux/gfp.h>
#include <linux/types.h>

struct kmh_fixalloc;
struct kmh_mspan;

/*
 * Descriptors kept free for callers that cannot sleep: enough for the pages of two of the
 * smallest arenas, and up to KMH_SPAN_RESERVE_MAX of a pool whose callers nearly ran out. The
 * worker refills the pools.
 */
#define KMH_SPAN_RESERVE	64
#define KMH_SPAN_RESERVE_MAX	512

void kmh_mspan_pools_init(void);
void kmh_mspan_pools_destroy(void);
int kmh_mspan_pools_refill(unsigned int nobjs, gfp_t gfp);
int kmh_mspan_pools_suffice(gfp_t gfp);
void kmh_mspan_pools_keep(long nspans);
int kmh_mspan_kept_refill(gfp_t gfp);
bool kmh_mspan_pools_short(unsigned int spanclass);
bool kmh_mspan_pools_draw(unsigned int spanclass);
u64 kmh_mspan_pools_missing_bytes(void);

struct kmh_mspan *kmh_mspan_get(unsigned int spanclass);
struct kmh_mspan *kmh_mspan_get_kept(unsigned int spanclass);
void kmh_mspan_put(struct kmh_mspan *s);
size_t kmh_mspan_bytes(const struct kmh_mspan *s);	/* of its descriptor */
unsigned int kmh_spanclass_words(unsigned int spanclass);

#ifdef KMHEAP_KUNIT
struct kmh_fixalloc *kmh_mspan_pool(unsigned int spanclass);
#endif

#endif /* _KMHEAP_SPANPOOL_H */
