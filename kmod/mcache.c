// SPDX-License-Identifier: GPL-2.0
/*
 * Per-CPU caches: one span per span class from which this CPU allocates.
 *
 * After Go's mcache (src/runtime/mcache.go). The rule that makes it lock-free
 * stands at struct kmh_mcache.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/smp.h>

#include "internal.h"

/* What an empty class points to: no free slot, and never written. */
struct kmh_slots kmh_no_slots;

static void kmh_mcslot_set_word(struct kmh_mcslot *c, struct kmh_slots *w)
{
	struct kmh_mspan *s = c->span;

	c->wbase = kmh_mspan_slot_addr(s, (w - s->w) * KMH_WORD_SLOTS);
	c->word = w;
}

/* The class gives up its span; @c is in the caller's section, or its CPU is dead. */
static void kmh_mcslot_uncache(struct kmh_mcache *mc, struct kmh_mcslot *c)
{
	struct kmh_mspan *s = c->span;

	if (!s)
		return;
	mc->taken[c - mc->slot] -= hweight_long(c->avail);
	c->avail = 0;
	c->word = &kmh_no_slots;
	WRITE_ONCE(c->span, NULL);
	WRITE_ONCE(s->owner, NULL);
	kmh_mcentral_uncache_span(mc->node, s);
}

/**
 * kmh_mcache_refill() - find the next slots of a class
 * @mc: this CPU's mcache, in the section.
 * @spanclass: the class whose window is empty.
 *
 * The cached span first (other words, remote frees), then mcentral, then fresh
 * pages. In NMI the locks on the way are only tried.
 *
 * Return: true when kmh_mcache_take() will succeed, but for a double free that loses
 * a race meanwhile and makes the slot wait for the fold.
 */
bool kmh_mcache_refill(struct kmh_mcache *mc, unsigned int spanclass)
{
	struct kmh_mcslot *c = &mc->slot[spanclass];
	struct kmh_mspan *s = c->span;
	struct kmh_slots *w;

	if (s) {
		if (unlikely(kmh_sweep_stale(s)))
			kmh_sweep_cached(s);
		w = kmh_mspan_next_word(s, c->word - s->w);
		if (w) {
			kmh_mcslot_set_word(c, w);
			return true;
		}
		kmh_mcslot_uncache(mc, c);
	}
	s = kmh_mcentral_cache_span(mc->node, spanclass, mc);
	if (!s)
		return false;
	mc->refills[spanclass]++;
	WRITE_ONCE(s->owner, mc);
	WRITE_ONCE(c->span, s);
	w = kmh_mspan_next_word(s, 0);
	if (unlikely(!w)) {	/* a double free that lost its race took the slot away again */
		kmh_mcslot_uncache(mc, c);
		return false;
	}
	kmh_mcslot_set_word(c, w);
	return true;
}

/**
 * kmh_mcache_drain_locked() - give everything an mcache holds to the tiers behind it
 * @mc: in the section, or of a CPU that is dead.
 *
 * Large objects go to the stores of their nodes; kmh_largestore_release() is the caller's.
 */
void kmh_mcache_drain_locked(struct kmh_mcache *mc)
{
	unsigned int i;

	kmh_tiny_close(mc);
	for (i = 0; i < KMH_NR_SPANCLASSES; i++)
		kmh_mcslot_uncache(mc, &mc->slot[i]);
	kmh_mheap_give_pages(&mc->node->mheap, &mc->pages);
	kmh_largecache_to_store(mc);
}

struct kmh_drain {
	struct kmheap *heap;
	atomic_t nbusy;
};

static void kmh_drain_this_cpu(void *arg)
{
	struct kmh_drain *d = arg;
	struct kmh_mcache *mc = this_cpu_ptr(d->heap->mcache);

	if (!kmh_mcache_enter(mc)) {
		atomic_inc(&d->nbusy);
		return;
	}
	kmh_mcache_drain_locked(mc);
	kmh_mcache_leave(mc);
}

/**
 * kmh_mcache_drain_all() - drain the mcaches of every online CPU
 * @heap: the heap.
 *
 * Runs on each CPU, because only a CPU may look at its own flag. One that is in
 * its section when the interrupt arrives is asked again, three times at most: it
 * is allocating, so there is nothing idle to fetch.
 *
 * Context: Process context; may sleep.
 */
void kmh_mcache_drain_all(struct kmheap *heap)
{
	struct kmh_drain d = { .heap = heap };
	unsigned int tries;

	for (tries = 0; tries < 3; tries++) {
		atomic_set(&d.nbusy, 0);
		on_each_cpu(kmh_drain_this_cpu, &d, true);
		if (!atomic_read(&d.nbusy))
			break;
		usleep_range(50, 200);
	}
	kmh_largestore_release(heap);
}

/* The CPU is dead and stays so meanwhile (cpuhp callback): nobody else touches it. */
void kmh_mcache_drain_dead(struct kmheap *heap, unsigned int cpu)
{
	kmh_mcache_drain_locked(per_cpu_ptr(heap->mcache, cpu));
	kmh_largestore_release(heap);
}

static void kmh_mcache_init_cpu(struct kmheap *heap, unsigned int cpu)
{
	struct kmh_mcache *mc = per_cpu_ptr(heap->mcache, cpu);
	int nid = cpu_to_node(cpu);	/* none yet for a CPU that was never there */
	unsigned int i;

	mc->heap = heap;
	mc->node = kmh_heap_node(heap, nid == NUMA_NO_NODE ? first_memory_node : nid);
	for (i = 0; i < KMH_NR_SPANCLASSES; i++)
		mc->slot[i].word = &kmh_no_slots;
	kmh_largecache_init(&mc->large);
}

/* Context: process context; sleeps. Return: 0 or -ENOMEM. */
int kmh_mcache_init(struct kmheap *heap)
{
	unsigned int cpu;

	heap->mcache = kmh_backend_percpu(struct kmh_mcache);
	if (!heap->mcache)
		return -ENOMEM;
	kmh_heap_account_metadata(heap, sizeof(struct kmh_mcache) * num_possible_cpus());
	for_each_possible_cpu(cpu)
		kmh_mcache_init_cpu(heap, cpu);
	return 0;
}

void kmh_mcache_destroy(struct kmheap *heap)
{
	if (!heap->mcache)
		return;
	kmh_heap_account_metadata(heap, -(long)(sizeof(struct kmh_mcache) * num_possible_cpus()));
	free_percpu(heap->mcache);
	heap->mcache = NULL;
}

/**
 * kmh_mcache_validate() - what cached spans must agree on with their cache
 * @heap: the heap.
 * @finding: called for each violation.
 * @ctx: passed through.
 *
 * Context: Process context. CPUs go on meanwhile; what is looked at twice and
 * changed in between is no finding.
 * Return: number of findings.
 */
unsigned int kmh_mcache_validate(struct kmheap *heap, kmh_finding_fn finding, void *ctx)
{
	unsigned int cpu, i, n = 0;

	for_each_possible_cpu(cpu) {
		struct kmh_mcache *mc = per_cpu_ptr(heap->mcache, cpu);

		for (i = 0; i < KMH_NR_SPANCLASSES; i++) {
			struct kmh_mspan *s = READ_ONCE(mc->slot[i].span);

			if (!s || (READ_ONCE(s->owner) == mc && s->spanclass == i &&
				   atomic_read(&s->home) == KMH_HOME_CACHED))
				continue;
			smp_rmb();	/* a span that left meanwhile is gone from the slot */
			if (READ_ONCE(mc->slot[i].span) != s)
				continue;
			usleep_range(100, 300);	/* on its way in: the owner follows */
			if (READ_ONCE(mc->slot[i].span) != s || READ_ONCE(s->owner) == mc)
				continue;
			finding(ctx, "heap %s cpu %u span class %u: cached span %p has owner %p",
				heap->name, cpu, i, s, READ_ONCE(s->owner));
			n++;
		}
	}
	return n;
}
