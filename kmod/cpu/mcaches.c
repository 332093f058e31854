// SPDX-License-Identifier: GPL-2.0
/*
 * The mcaches of a heap, one for each CPU: how it gets them, and the node that each works for.
 *
 * With KMHEAP_SMALL a heap begins with stubs: the beginning of an mcache, with the flag always set.
 * So every call takes the way of an interrupt that finds its mcache in use. When so many
 * allocations have come that mcaches are worth their bytes a worker makes them.
 */
#include <linux/cpu.h>
#include <linux/kmemleak.h>

#include "cpu/mcache.h"
#include "base/backend.h"
#include "cpu/depot.h"
#include "cpu/magazine.h"
#include "heap.h"

/* The node that @cpu is served from. */
static struct kmh_node *kmh_mcache_home(struct kmheap *heap, unsigned int cpu)
{
	int nid = cpu_to_node(cpu);	/* none yet for a CPU that was never there, or some node */

	return kmh_heap_node(heap, nid == NUMA_NO_NODE ? first_memory_node : nid);
}

/*
 * Move a CPU that comes up, whose mcache is empty and not in use, to the node it is on now. Its
 * inbox may hold spans of the node that it was served from: they go on that node's lists.
 * Preemption is off where a span is announced, so after a grace period no more of them come. Spans
 * of the old node whose @freer it is stay so, and until they are shared or empty their objects go
 * through its magazine, and from there perhaps to others of the new node: that costs locality, and
 * may refuse an object to __GFP_THISNODE.
 * Context: process context; sleeps.
 */
void kmh_mcache_renode(struct kmheap *heap, unsigned int cpu)
{
	struct kmh_mcache *mc = kmh_mcache_of(heap, cpu), *stub = kmh_stub_of(heap, cpu);
	struct kmh_node *old = mc ? mc->node : NULL, *new = kmh_mcache_home(heap, cpu);
	unsigned int i;

	stub->nid = new->mheap.nid;
	WRITE_ONCE(stub->node, new);
	if (!mc || likely(new == old))
		return;
	/* No node until the inbox is empty: its lock is that of one node's mcentral. */
	WRITE_ONCE(mc->node, NULL);
	synchronize_rcu();
	for (i = 0; i < KMH_NR_SPANCLASSES; i++)
		kmh_inbox_leave(kmh_mcentral_of(old, i), mc);
	mc->nid = new->mheap.nid;
	smp_store_release(&mc->node, new);	/* the spans' lists, node: kmh_sweep_moves_cpu() */
}

static void kmh_stub_init_cpu(struct kmheap *heap, unsigned int cpu)
{
	struct kmh_mcache *stub = kmh_stub_of(heap, cpu);

	stub->busy = 1;
	stub->heap = heap;
	stub->node = kmh_mcache_home(heap, cpu);
	stub->nid = stub->node->mheap.nid;
}

static void kmh_mcache_init_cpu(struct kmheap *heap, struct kmh_mcache *mc, unsigned int cpu)
{
	const struct kmh_mcache *stub = kmh_stub_of(heap, cpu);

	mc->heap = heap;
	mc->node = stub->node;
	mc->nid = stub->nid;
	mc->tag = KMH_CELL_TAG + cpu % KMH_CELL_TAGS;
	kmh_largecache_init(&mc->large);
}

static size_t kmh_mcaches_bytes(void)
{
	return sizeof(struct kmh_mcache) * num_possible_cpus();
}

/* What the heap will take for its mcaches and depots, if it has none yet. */
size_t kmh_mcaches_missing_bytes(struct kmheap *heap)
{
	struct kmh_node *node;
	size_t bytes = kmh_mcaches_bytes();
	int nid = -1;

	if (heap->mcaches)
		return 0;
	while ((node = kmh_next_node(heap, &nid)))
		bytes += KMH_DEPOTS_BYTES;
	return bytes;
}

/* The heap's caches allocate from its mcaches from here on. */
static void kmh_mcaches_tell_caches(struct kmheap *heap)
{
	unsigned int i;

	mutex_lock(&heap->caches.mutex);
	for (i = 1; i <= KMH_CACHES; i++)
		if (heap->caches.cache[i])
			/* Release: as for the heap's own. */
			smp_store_release(&heap->caches.cache[i]->mcache, heap->mcaches);
	mutex_unlock(&heap->caches.mutex);
}

/*
 * Give a heap its mcaches; until then it is small, and its CPUs have stubs. Spans that are there
 * lead to the stubs, and their objects are freed past the mcaches, until a CPU caches them.
 * Context: process context; sleeps. Return: 0, also when it has mcaches; -ENOMEM.
 */
int kmh_mcaches_make(struct kmheap *heap, gfp_t gfp)
{
	struct kmh_mcache __percpu *mcaches;
	struct kmh_node *node;
	unsigned int cpu;
	int nid = -1;

	if (READ_ONCE(heap->mcaches))
		return 0;
	/* Where there are mcaches every class has its mcentral and depot. */
	while ((node = kmh_next_node(heap, &nid)))
		if (kmh_mcentrals_make(node, gfp) || kmh_depots_make(node, gfp))
			return -ENOMEM;
	mcaches = kmh_backend_percpu(struct kmh_mcache, gfp);
	if (!mcaches)
		return -ENOMEM;
	/* kmemleak must not take addresses of slots for references to the objects there. */
	if (kmh_heap_sanitized(heap))
		kmemleak_free_percpu(mcaches);
	/* From here on kmh_mcache_renode() finds them. */
	mutex_lock(&kmh_heaps_mutex);
	if (!heap->mcaches) {
		for_each_possible_cpu(cpu)
			kmh_mcache_init_cpu(heap, per_cpu_ptr(mcaches, cpu), cpu);
		kmh_heap_account_metadata(heap, kmh_mcaches_bytes());
		/* Release: whoever sees these sees what is in them. */
		smp_store_release(&heap->mcaches, mcaches);
		/* Release: and that there are any, who has used one. */
		smp_store_release(&heap->mcache, mcaches);
		mcaches = NULL;
	}
	mutex_unlock(&kmh_heaps_mutex);
	free_percpu(mcaches);
	kmh_mcaches_tell_caches(heap);
	return 0;
}

static long kmh_mcaches_delay(const struct kmh_kick *k)
{
	return 0;
}

static void kmh_mcaches_work(struct work_struct *work)
{
	struct kmheap *heap = container_of(to_delayed_work(work), struct kmheap, growing_up.work);

	/* Where memory is short a heap does without them. */
	if (!READ_ONCE(heap->growing_up.stopped) &&
	    kmh_mcaches_make(heap, GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN)) {
		atomic_set(&heap->nslow, 0);		/* later */
		atomic_set(&heap->growing_up.asked, 0);
	}
}

/* So many allocations in all are made past the mcaches before a heap gets some. */
#define KMH_SMALL_ALLOCS	128

/* An allocation was made in a small heap. Context: any. */
void kmh_mcaches_want(struct kmheap *heap)
{
	if (atomic_inc_return(&heap->nslow) >= KMH_SMALL_ALLOCS)
		kmh_kick_ask(&heap->growing_up);
}

/* The heap stays as it is from here on. Context: process context; sleeps. */
void kmh_mcaches_stop(struct kmheap *heap)
{
	kmh_kick_stop(&heap->growing_up);
}

/* Make the stubs. Context: process context; sleeps. Return: 0 or -ENOMEM. */
int kmh_mcache_init(struct kmheap *heap)
{
	unsigned int cpu;

	kmh_kick_init(&heap->growing_up, kmh_mcaches_work, kmh_mcaches_delay);
	heap->stubs = kmh_backend_percpu(struct kmh_mcache_stub, GFP_KERNEL);
	if (!heap->stubs)
		return -ENOMEM;
	heap->mcache = (struct kmh_mcache __percpu *)heap->stubs;
	kmh_heap_account_metadata(heap, sizeof(struct kmh_mcache_stub) * num_possible_cpus());
	for_each_possible_cpu(cpu)
		kmh_stub_init_cpu(heap, cpu);
	return heap->flags & KMHEAP_SMALL ? 0 : kmh_mcaches_make(heap, GFP_KERNEL);
}

void kmh_mcache_destroy(struct kmheap *heap)
{
	struct kmh_mcache *mc;
	int cpu = -1;

	while ((mc = kmh_next_mcache(heap, &cpu)))
		kmh_magazines_free(mc);
	if (heap->mcaches)
		kmh_heap_account_metadata(heap, -(long)kmh_mcaches_bytes());
	free_percpu(heap->mcaches);
	free_percpu(heap->stubs);
}
