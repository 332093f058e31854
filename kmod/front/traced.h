/* SPDX-License-Identifier: GPL-2.0 */
/* Private: tracers are told of allocations and frees; see traced.c. */
#ifndef _KMHEAP_TRACED_H
#define _KMHEAP_TRACED_H

#include <trace/events/kmheap.h>

#include "span/mspan.h"
#include "span/report.h"

void kmh_traced_alloc_slow(struct kmheap *heap, const void *p, gfp_t gfp);
void kmh_traced_free_slow(const struct kmh_mspan *s, const struct kmh_where *at,
			  unsigned long ip);
void kmh_traced_free_rcu_slow(const struct kmh_mspan *s, const struct kmh_where *at,
			      unsigned long ip);
void kmh_traced_free_large_slow(const struct kmh_mspan *s, unsigned long ip);

/* The object @p, which nobody but the caller knows yet, is what a client asked for with @gfp. */
static __always_inline void kmh_traced_alloc(struct kmheap *heap, const void *p, gfp_t gfp)
{
	if (trace_alloc_enabled())
		kmh_traced_alloc_slow(heap, p, gfp);
}

/*
 * A live object is about to be freed, as @ip wants, which is an address of kmheap where no client
 * does. Context: any; preemption off.
 */
static __always_inline void kmh_traced_free(const struct kmh_mspan *s, const struct kmh_where *at,
					    unsigned long ip)
{
	kmh_assert_pinned();
	if (trace_free_enabled())
		kmh_traced_free_slow(s, at, ip);
}

/*
 * A live object is about to be freed after a grace period, as @ip wants, which may be an address of
 * kmheap where a client called. Context: any; preemption off.
 */
static __always_inline void kmh_traced_free_rcu(const struct kmh_mspan *s,
						const struct kmh_where *at, unsigned long ip)
{
	kmh_assert_pinned();
	if (trace_free_rcu_enabled())
		kmh_traced_free_rcu_slow(s, at, ip);
}

/* A large object or a run of pages is the caller's, who is about to free it. Context: as above. */
static __always_inline void kmh_traced_free_large(const struct kmh_mspan *s, unsigned long ip)
{
	kmh_assert_pinned();
	if (trace_free_enabled())
		kmh_traced_free_large_slow(s, ip);
}

#endif /* _KMHEAP_TRACED_H */
