// SPDX-License-Identifier: GPL-2.0
/*
 * NUMA nodes: which one comes next when one has nothing left, and where memory really is.
 *
 * An allocation is served from its own node's lists and page heap, which grow with memory of that
 * node, or, when that is full and the caller does not insist, of the nearest node that has some:
 * the kernel decides. A caller that may not grow the heap finds what other nodes have.
 */
#include <linux/mm.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "front/front.h"
#include "cpu/depot.h"
#include "heap.h"

/* Is node @a before @b in the order of distance from @from? Equal ones are ordered by number. */
static bool kmh_node_before(int from, int a, int b)
{
	int da = node_distance(from, a), db = node_distance(from, b);

	return da < db || (da == db && a < b);
}

/*
 * The next node after @last, which is @from at first, in the order of distance from @from.
 * Context: any. Return: NUMA_NO_NODE after the last.
 */
int kmh_node_next_nearest(struct kmheap *heap, int from, int last)
{
	int nid = -1, next = NUMA_NO_NODE;

	while (kmh_next_node(heap, &nid)) {
		if (nid == from || (last != from && !kmh_node_before(from, last, nid)))
			continue;
		if (next == NUMA_NO_NODE || kmh_node_before(from, nid, next))
			next = nid;
	}
	return next;
}

/*
 * One object of @node past the mcache. When its spans have none, what is on its way from CPU to CPU
 * goes back to them. Context: any; preemption off. Return: the object or NULL.
 */
void *kmh_node_alloc_one(struct kmh_node *node, unsigned int spanclass, bool atomic)
{
	void *p = kmh_mcentral_alloc_one(node, spanclass, atomic);

	kmh_assert_pinned();
	if (unlikely(!p) && kmh_depot_drain(node, spanclass))
		p = kmh_mcentral_alloc_one(node, spanclass, atomic);
	return p;
}

/*
 * A small object that @node, the caller's, does not have: from the nearest node that has a slot,
 * unless __GFP_THISNODE forbids it. Not cleared. Context: any. Return: the object or NULL.
 */
void *kmh_node_alloc_elsewhere(struct kmheap *heap, struct kmh_node *node, unsigned int spanclass,
			       gfp_t gfp)
{
	int from = node->mheap.nid, nid = from;
	void *p = NULL;

	if (gfp & __GFP_THISNODE)
		return NULL;
	while (!p && (nid = kmh_node_next_nearest(heap, from, nid)) != NUMA_NO_NODE) {
		preempt_disable();
		p = kmh_node_alloc_one(kmh_heap_node(heap, nid), spanclass,
				       kmh_alloc_is_urgent(gfp));
		kmh_watch_one(heap, spanclass, p);
		preempt_enable();
	}
	return p;
}

/* Is all of @p, an object of the caller's, on node @nid? Context: any. */
bool kmh_node_holds(const void *p, size_t bytes, int nid)
{
	const void *end = p + bytes;

	for (p = PTR_ALIGN_DOWN(p, PAGE_SIZE); p < end; p += PAGE_SIZE)
		if (page_to_nid(is_vmalloc_addr(p) ? vmalloc_to_page(p) : virt_to_page(p)) != nid)
			return false;
	return true;
}
