// SPDX-License-Identifier: GPL-2.0
/*
 * Freed large objects that are kept, to be reused without the page heap.
 *
 * A span that is *parked* keeps its pages, its descriptor and its entries in the arenas map.
 * Its state is KMH_SPAN_FREED, like that of the sentinel of freed pages: a second free, a
 * lookup or a walk that comes by address finds free pages, and for the figures its pages are
 * in use by no span, that is, cached. Its claim (the remote bit) stays set, so a second free
 * that has looked before the span was parked loses.
 *
 * Spans are parked in two places, each with a list for each length. A CPU parks in its
 * mcache, under the mcache rule (struct kmh_mcache) and without a lock. When a CPU has too
 * much, half of what it may keep goes to the *store* of the node, under the page heap's lock,
 * and a CPU that has none takes spans from there in the same way; so a CPU that frees what
 * others allocate takes the lock once in many objects. (TCMalloc: the transfer cache.)
 *
 * A caller that finds no pages turns parked spans into pages before the heap grows.
 *
 * Not in collected heaps: the reclaimer claims large objects by address under the page heap's
 * lock and trusts that no span is reused without that lock.
 */
#include <linux/delay.h>
#include <linux/mm.h>

#include "cpu/largecache.h"
#include "base/lock.h"
#include "heap.h"
#include "pages/arena.h"
#include "pages/held.h"
#include "span/arenamap.h"
#include "up.h"

/* What a CPU may keep, at most; what it has is out of reach for others that cannot sleep. */
#define KMH_LARGECACHE_BYTES	(4UL << 20)

void kmh_largecache_init(struct kmh_largecache *lc)
{
	lc->limit = kmh_share_of_memory(KMH_LARGECACHE_BYTES, num_online_cpus());
	lc->parked.max = lc->limit;
}

/* ---- between a CPU and the store */

/*
 * This CPU has too much: half of what it may have goes to the store. Return: false when the lock
 * is taken, as a free does not wait.
 */
static noinline bool kmh_largecache_spill(struct kmh_parked *p, struct kmh_mheap *mh,
					  unsigned long npages)
{
	struct kmh_mspan *s, *out = NULL;
	unsigned long flags;
	unsigned int n;

	if (!kmh_trylock_irqsave(&mh->lock, flags))
		return false;
	kmh_parked_next_turn(p);
	kmh_parked_next_turn(&mh->store);
	for (n = 0; p->npages > p->max / 2; n++) {
		if (n >= KMH_LARGECACHE_BATCH && p->npages + npages <= p->max)
			break;
		s = kmh_parked_pop_any(p);
		kmh_store_make_room(&mh->store, s->npages, &out);
		kmh_parked_push(&mh->store, s);
	}
	mh->store.moves += n;
	kmh_unlock_irqrestore(&mh->lock, flags);
	kmh_free_parked(out);
	kmh_kick_ask(&mh->heap->scavenge.kick);
	return true;
}

/*
 * This CPU has no span of a length: take some from the store, at least one if there is any.
 * The CPU frees and allocates by turns, so it may keep more from now on.
 */
static noinline bool kmh_largecache_fill(struct kmh_largecache *lc, struct kmh_mheap *mh,
					 unsigned long npages)
{
	struct kmh_parked *p = &lc->parked;
	unsigned long flags;
	unsigned int n;

	if (!READ_ONCE(mh->store.head[npages - 1]) || !kmh_lock_irqsave(&mh->lock, flags))
		return false;
	for (n = 0; n < KMH_LARGECACHE_BATCH && mh->store.head[npages - 1]; n++) {
		if (n && p->npages + npages > p->max / 2)
			break;
		kmh_parked_push(p, kmh_parked_pop(&mh->store, npages));
	}
	mh->store.moves += n;
	kmh_unlock_irqrestore(&mh->lock, flags);
	kmh_kick_ask(&mh->heap->idle.kick);
	p->max = min(2 * p->max, lc->limit);
	return n;
}

/* ---- parking and taking */

/*
 * Keep the span of a large object that has been freed, claimed by the caller and without a
 * special. Return: false, and nothing done, when it is to go back to the page heap.
 *
 * Once its arena is lost the span is not touched, as it may be "gone" already. The look is in the
 * section: what is parked before the CPU is asked for what it keeps is found then (lost_arena.c).
 */
static bool kmh_largecache_park(struct kmh_mspan *s)
{
	unsigned long npages = s->npages;
	struct kmh_mcache *mc;
	bool parked = false;

	if (kmh_heap_collected(s->heap))
		return false;
	kmh_test_point("a large object is parked");
	preempt_disable();
	mc = this_cpu_ptr(s->mcache);
	if (likely(kmh_mcache_enter(mc))) {
		struct kmh_parked *p = &mc->large.parked;

		parked = &mc->node->mheap == s->mheap && likely(!READ_ONCE(s->arena->lost)) &&
			 (likely(p->npages + npages <= p->max) ||
			  kmh_largecache_spill(p, s->mheap, npages));
		if (parked) {
			WRITE_ONCE(s->state, KMH_SPAN_FREED);
			kmh_parked_push(p, s);
			kmh_kick_ask(&s->heap->idle.kick);
		}
		kmh_mcache_leave(mc);
	}
	preempt_enable();
	return parked;
}

/* Free a claimed large object: park its span, or else as kmh_large_release(). Context: any. */
void kmh_large_free(struct kmh_mspan *s)
{
	if (s->npages > KMH_LARGECACHE_PAGES || unlikely(READ_ONCE(s->nspecials)) ||
	    kmh_wants_wipe() || kmh_heap_sanitized(s->heap) || s->arena->user ||
	    kmh_large_is_held(s) ||
	    !kmh_largecache_park(s))
		kmh_large_release(s);
}

/*
 * Take a parked span of @npages, any number, for a large object with alignment @align in bytes, a
 * power of two. @nid: the node it has to be of, or NUMA_NO_NODE for the caller's. @count: the span
 * is to be an object, and counted. Context: any. Return: the span, still claimed and FREED; NULL
 * when there is none.
 */
struct kmh_mspan *kmh_largecache_take(struct kmheap *heap, unsigned long npages, size_t align,
				      int nid, bool count)
{
	struct kmh_mspan *s = NULL;
	struct kmh_mcache *mc;

	if (npages - 1 >= KMH_LARGECACHE_PAGES)
		return NULL;
	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	if (likely(kmh_mcache_enter(mc))) {
		struct kmh_largecache *lc = &mc->large;

		if ((likely(lc->parked.head[npages - 1]) ||
		     kmh_largecache_fill(lc, &mc->node->mheap, npages)) &&
		    IS_ALIGNED(lc->parked.head[npages - 1]->base, align) &&
		    (nid == NUMA_NO_NODE || kmh_heap_node(heap, nid) == mc->node)) {
			s = kmh_parked_pop(&lc->parked, npages);
			data_race(lc->takes++);		/* statistics load it outside */
			data_race(lc->allocs += count);	/* as above */
		}
		kmh_mcache_leave(mc);
	}
	preempt_enable();
	return s;
}

/* ---- giving parked spans back */

/*
 * Move what an mcache has parked to its node's store; in its section, or its CPU is dead. All of
 * it, whatever the store has: the caller takes from the store or empties it, and the next spill
 * makes it keep its bound. Giving a span back takes a microsecond, too long for hundreds in an
 * interrupt. Context: any but NMI.
 */
void kmh_largecache_drain(struct kmh_mcache *mc)
{
	struct kmh_parked *p = &mc->large.parked;
	struct kmh_mheap *mh = &mc->node->mheap;
	struct kmh_mspan *s;
	unsigned long flags;

	if (!p->npages)
		return;
	kmh_wait_lock_irqsave(&mh->lock, flags);
	while ((s = kmh_parked_pop_any(p)))
		kmh_parked_push(&mh->store, s);
	kmh_unlock_irqrestore(&mh->lock, flags);
}

/*
 * Turn some parked spans into pages, for a caller that finds no run of @npages: spans of the
 * store, and when that is empty those of this CPU. @mc: this CPU's mcache when the caller is in
 * its section; NULL when it is in none.
 *
 * Context: any; holds no lock. An NMI gets nothing, and an interrupt that finds the mcache busy
 * gets nothing of this CPU's. Return: true when it is worth trying again.
 */
bool kmh_largecache_drain_for(struct kmh_mheap *mh, struct kmh_mcache *mc, unsigned long npages)
{
	bool entered = false;

	if (kmh_nested())
		return false;
	if (kmh_largestore_drain_some(mh, npages))
		return true;
	preempt_disable();
	if (!mc) {
		mc = this_cpu_ptr(mh->heap->mcache);
		entered = kmh_mcache_enter(mc);
		if (!entered)
			goto out;
	}
	if (&mc->node->mheap == mh)
		kmh_largecache_drain(mc);
	if (entered)
		kmh_mcache_leave(mc);
out:
	preempt_enable();
	return kmh_largestore_drain_some(mh, npages);
}

/* Other CPUs want what this one has: it keeps half as much, so more goes to the store unasked. */
static void kmh_unpark_for_others(struct kmh_mcache *mc)
{
	struct kmh_parked *p = &mc->large.parked;

	kmh_largecache_drain(mc);
	p->max = min(max(p->max / 2, KMH_LARGECACHE_PAGES), p->max);
}

static bool kmh_has_parked(const struct kmh_mcache *mc)
{
	return READ_ONCE(mc->large.parked.npages);
}

/*
 * Move what all CPUs have parked to the stores. Interrupts only CPUs that have something parked.
 * One that is in its section is asked again at once, three times in all: sections are short.
 * Context: process context; may sleep. Return: true when any CPU had some.
 */
bool kmh_largecache_drain_cpus(struct kmheap *heap)
{
	unsigned int tries = 3, nfetched = 0;
	struct kmh_visited v;

	do {
		v = kmh_mcache_visit(heap, kmh_unpark_for_others, kmh_has_parked);
		nfetched += v.done;
	} while (v.busy && --tries);
	return nfetched;
}

/* Give back all that is parked in a heap without users: no CPU has to be interrupted. Sleeps. */
void kmh_largecache_drain_unused(struct kmheap *heap)
{
	struct kmh_mcache *mc;
	int cpu = -1;

	while ((mc = kmh_next_mcache(heap, &cpu)))
		kmh_largecache_drain(mc);
	kmh_largestore_drain(heap);
}

/* ---- checks */

struct kmh_parked_sum {
	unsigned long npages;
	unsigned long takes;
};

static struct kmh_parked_sum kmh_parked_by_list(struct kmheap *heap)
{
	struct kmh_parked_sum sum = { };
	struct kmh_mcache *mc;
	struct kmh_node *node;
	int nid = -1, cpu = -1;

	while ((mc = kmh_next_mcache(heap, &cpu))) {
		struct kmh_largecache *lc = &mc->large;

		sum.npages += READ_ONCE(lc->parked.npages);
		sum.takes += READ_ONCE(lc->takes);
	}
	while ((node = kmh_next_node(heap, &nid)))
		sum.npages += READ_ONCE(node->mheap.store.npages);
	return sum;
}

static bool kmh_parked_ok(const struct kmh_mspan *s)
{
	return s->npages - 1 < KMH_LARGECACHE_PAGES && !s->nspecials && !s->arena->dedicated &&
	       kmh_large_claimed(s) && !kmh_mspan_waiting(s, 0);
}

/* Pages of the parked spans in an arena. @bad is set to a span that is wrong. */
static unsigned long kmh_parked_in_arena(struct kmh_arena *a, const struct kmh_mspan **bad)
{
	unsigned long page = a->range.first, end = page + a->range.npages, n = 0, flags;

	kmh_wait_lock_irqsave(&a->mheap->lock, flags);
	while (page < end) {
		struct kmh_mspan *s = kmh_arena_is_returned(a, page - a->first) ?
					      &kmh_span_gone : kmh_span_of_page(page);
		unsigned long step = s->state >= KMH_SPAN_SMALL ? s->npages : 0;

		if (kmh_span_is_parked(s, page)) {
			step = s->npages;
			n += step;
			if (!kmh_parked_ok(s))
				*bad = s;
		}
		page += step ?: 1;
	}
	kmh_unlock_irqrestore(&a->mheap->lock, flags);
	return n;
}

static unsigned long kmh_parked_by_address(struct kmheap *heap, const struct kmh_mspan **bad)
{
	unsigned long npages = 0;
	struct kmh_arena *a;

	*bad = NULL;
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		npages += kmh_parked_in_arena(a, bad);
	mutex_unlock(&heap->arenas_mutex);
	return npages;
}

/*
 * Check that lists and arenas agree on what is parked. @finding is called for each violation.
 * Context: process context; sleeps. While large objects come and go nothing is found. Return:
 * number of findings.
 */
unsigned int kmh_largecache_validate(struct kmheap *heap, kmh_finding_fn finding, void *ctx)
{
	const struct kmh_mspan *bad;
	struct kmh_parked_sum was, now;
	unsigned int looks, n = 0;
	unsigned long found;

	for (looks = 0; looks < KMH_FINDING_LOOKS; looks++) {
		was = kmh_parked_by_list(heap);
		found = kmh_parked_by_address(heap, &bad);
		now = kmh_parked_by_list(heap);
		if ((found == now.npages && !bad) || memcmp(&was, &now, sizeof(was)))
			return 0;
		kmh_finding_pause();
	}
	if (found != now.npages) {
		finding(ctx, "heap %s: %lu pages are parked, its arenas have %lu of them",
			heap->name, now.npages, found);
		n++;
	}
	if (bad) {
		finding(ctx, "heap %s: span %p of %u pages is parked and not fit to be",
			heap->name, bad, bad->npages);
		n++;
	}
	return n;
}
