// SPDX-License-Identifier: GPL-2.0
/*
 * Tracers are told of allocations and frees.
 *
 * The fast paths tell nobody. While the events of allocations are on nothing is left to the fast
 * path of an allocation, and while those of frees are on no slot is freed fast; trace_switch.c sees
 * to that. So all of them come by the places that are here asked for, each of which is out of line.
 *
 * An object is told of before anybody else can know it, and its end before anybody else can have
 * its memory. So in the order of their times the events of one address are an allocation and a free
 * in turn.
 */
#include <linux/mm.h>
#include <linux/module.h>

#include "front/traced.h"
#include "base/sizeclass.h"
#include "heap.h"
#include "insight/stack.h"
#include "span/arenamap.h"
#include "supply/grow.h"
#include "up.h"

/* What the header of the events says in words. */
static_assert(KMH_CONTEXT_TASK == 0 && KMH_CONTEXT_SOFTIRQ == 1 && KMH_CONTEXT_HARDIRQ == 2 &&
	      KMH_CONTEXT_NMI == 3);

/* Who has called kmheap. Preemption off. */
static noinline unsigned long kmh_traced_caller(void)
{
	unsigned long ip[KMH_SITE_FRAMES];

	kmh_assert_pinned();
	kmh_stack(ip);
	return ip[0];
}

/* See kmh_traced_alloc(). Context: any. */
noinline void kmh_traced_alloc_slow(struct kmheap *heap, const void *p, gfp_t gfp)
{
	const struct kmh_mspan *s;

	preempt_disable();
	s = kmh_span_of((unsigned long)p);	/* stays: the object is ours */
	trace_alloc(kmh_traced_caller(), heap->name, p, kmh_slot_bytes(s), gfp, s->nid,
		    kmh_context_now());
	preempt_enable();
}

/* Bytes that the allocation told of. */
static size_t kmh_traced_bytes(const struct kmh_mspan *s, const struct kmh_where *at)
{
	return at->span == KMH_SPAN_TINY ? at->bytes : kmh_slot_bytes(s);
}

/* See kmh_traced_free(). */
noinline void kmh_traced_free_slow(const struct kmh_mspan *s, const struct kmh_where *at,
				   unsigned long ip)
{
	if (!within_module(ip, THIS_MODULE))
		trace_free(ip, s->heap->name, (void *)at->base, kmh_traced_bytes(s, at));
}

/* See kmh_traced_free_rcu(). */
noinline void kmh_traced_free_rcu_slow(const struct kmh_mspan *s, const struct kmh_where *at,
				       unsigned long ip)
{
	if (within_module(ip, THIS_MODULE))
		ip = kmh_traced_caller();
	trace_free_rcu(ip, s->heap->name, (void *)at->base, kmh_traced_bytes(s, at));
}

/* See kmh_traced_free_large(). */
noinline void kmh_traced_free_large_slow(const struct kmh_mspan *s, unsigned long ip)
{
	if (!within_module(ip, THIS_MODULE))
		trace_free(ip, s->heap->name, (void *)s->base, kmh_slot_bytes(s));
}

/*
 * Why was there no room? Said from what is there now: who could sleep has tried an arena a moment
 * ago, and for who could not the worker tries one, and a limit forbids both alike. Context: any.
 */
static const char *kmh_traced_no_room(struct kmheap *heap, size_t bytes)
{
	unsigned long npages = DIV_ROUND_UP(bytes, KMH_PAGE_SIZE);

	if (bytes <= KMHEAP_MAX_SMALL)
		npages = kmh_classes[kmh_size_to_class(bytes)].npages;
	return kmh_mheap_is_limited(&kmh_heap_near_node(heap)->mheap, npages) ? "limit" : "memory";
}

/* An allocation of @bytes gets nothing. Context: any. */
void kmh_traced_refuse(struct kmheap *heap, size_t bytes, gfp_t gfp, enum kmh_why why)
{
	const char *word = "request";

	if (why == KMH_WHY_INJECT)
		word = "inject";
	else if (why == KMH_WHY_ROOM && bytes >> PAGE_SHIFT < totalram_pages())
		word = kmh_traced_no_room(heap, bytes);
	preempt_disable();
	trace_refuse(kmh_traced_caller(), heap->name, bytes, gfp, word);
	preempt_enable();
}
