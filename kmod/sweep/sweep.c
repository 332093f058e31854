// SPDX-License-Identifier: GPL-2.0
/*
 * The sweep: generations, by which caller a span is swept, and how sweeping is paid for.
 *
 * After Go's sweeper (src/runtime/mgcsweep.go). What the generations of a class and of its spans
 * mean is in Documentation/design.rst 4.5, and the way of a generation in 8.1 to 8.5. Different
 * from Go, a generation of deferred frees concerns only the classes that have any.
 */
#include <linux/cpu.h>
#include <linux/delay.h>
#include <trace/events/kmheap.h>

#include "sweep/sweep.h"
#include "base/kick.h"
#include "base/lock.h"
#include "central/sweepspan.h"
#include "central/unswept.h"
#include "heap.h"
#include "pages/arena.h"
#include "pages/held.h"
#include "span/arenamap.h"
#include "up.h"

/*
 * Pages swept for each fresh page that is allocated: a generation is swept before the pages
 * in use have grown by an eighth.
 */
#define KMH_SWEEP_RATIO		8

/* Spans that one allocation of pages sweeps at most, whatever is due. */
#define KMH_SWEEP_BUDGET	16U

/* Spans that the worker sweeps between two looks at the scheduler (Go: sweepBatchSize). */
#define KMH_SWEEP_BATCH		10U

/*
 * Sweep one listed span of any class, beginning where the last call found one. Return: its
 * pages; 0 when there is none.
 */
static unsigned int kmh_sweep_one(struct kmheap *heap)
{
	unsigned int nids = nr_node_ids, i, n = nids * KMH_NR_SPANCLASSES;
	unsigned int at = atomic_read(&heap->sweep.cursor);

	for (i = 0; i < n; i++, at++) {
		struct kmh_node *node = heap->nodes[at / KMH_NR_SPANCLASSES % nids];
		unsigned int pages;

		pages = kmh_mcentral_sweep_one(kmh_mcentral_of(node, at % KMH_NR_SPANCLASSES));
		if (pages) {
			atomic_set(&heap->sweep.cursor, at % n);
			return pages;
		}
	}
	return 0;
}

/*
 * Sweep in proportion to the @npages fresh pages that the caller has just taken. The sum over all
 * callers is what counts, so what the worker and the refills have swept meanwhile is credit (Go:
 * deductSweepCredit). Context: any; no lock held.
 */
void kmh_sweep_pay(struct kmheap *heap, unsigned long npages)
{
	unsigned int budget = KMH_SWEEP_BUDGET;

	if (likely(!kmh_sweep_is_open(heap)))
		return;
	atomic_long_sub(npages * KMH_SWEEP_RATIO, &heap->sweep.debt);
	while (atomic_long_read(&heap->sweep.debt) < 0 && budget--)
		if (!kmh_sweep_one(heap))
			break;
}

static void kmh_sweep_visit(struct kmh_mcache *mc)
{
	struct kmh_sweep *sw = &mc->heap->sweep;

	kmh_mcache_walk_spans(mc, sw->visit);
	WRITE_ONCE(mc->visited, sw->round);
}

static bool kmh_sweep_unvisited(const struct kmh_mcache *mc)
{
	return READ_ONCE(mc->visited) != mc->heap->sweep.round;
}

/*
 * Call @fn for the spans of CPUs that are not online. Nothing else uses these, because hotplug
 * waits; there are none, except in a heap that had left the list of heaps before the CPU went.
 */
static void kmh_sweep_offline_caches(struct kmheap *heap, void (*fn)(struct kmh_mspan *s))
{
	struct kmh_mcache *mc;
	int cpu = -1;

	preempt_disable();
	while ((mc = kmh_next_mcache(heap, &cpu)))
		if (!cpu_online(cpu))
			kmh_mcache_walk_spans(mc, fn);
	preempt_enable();
}

/*
 * Call @fn, which must be harmless when called twice for one span, for the spans of each CPU, in
 * its section. A CPU that is in its section when the interrupt arrives is asked again, but no other
 * one is: each has to be met between two sections once, and not all at the same time.
 *
 * Context: process context; sleeps. heap->sweep.mutex held. Return: false when a CPU is coming or
 * going just now, or was busy a thousand times. A caller that tries again lets go of the mutex
 * before (kmh_sweep_let_go()).
 */
bool kmh_sweep_caches(struct kmheap *heap, void (*fn)(struct kmh_mspan *s))
{
	unsigned int tries, busy;

	lockdep_assert_held(&heap->sweep.mutex);
	heap->sweep.visit = fn;
	heap->sweep.round++;
	for (tries = 0; tries < 1000; tries++) {
		/*
		 * Only tried, because a callback of hotplug may wait for the mutex that our
		 * caller holds.
		 */
		if (!cpus_read_trylock())
			return false;
		kmh_sweep_offline_caches(heap, fn);
		busy = kmh_mcache_visit(heap, kmh_sweep_visit, kmh_sweep_unvisited).busy;
		cpus_read_unlock();
		if (!busy)
			return true;
		kmh_test_point("a CPU was in its section");
		usleep_range(50, 200);
	}
	return false;
}

static void kmh_sweep_count_anew(struct kmh_sweep *sw)
{
	sw->traced = trace_sweep_enabled();
	sw->spans_before = atomic_long_read(&sw->spans);
	atomic_long_set(&sw->objects, 0);
	atomic_long_set(&sw->bytes, 0);
}

/* The open generation is swept. Context: process context; heap->sweep.mutex held. */
static void kmh_sweep_tell(const struct kmheap *heap)
{
	const struct kmh_sweep *sw = &heap->sweep;

	if (sw->traced)
		trace_sweep(heap->name, sw->generations,
			    atomic_long_read(&sw->spans) - sw->spans_before,
			    atomic_long_read(&sw->objects), atomic_long_read(&sw->bytes),
			    sw->what == KMH_SWEEP_MARKS ? "garbage" : "deferred");
}

/*
 * Begin a generation, whose spans are swept for @what; the last one is swept. Context: process
 * context; heap->sweep.mutex held.
 */
void kmh_sweep_open(struct kmheap *heap, enum kmh_sweep_what what)
{
	struct kmh_mcentral *c = NULL;

	lockdep_assert_held(&heap->sweep.mutex);
	atomic_long_set(&heap->sweep.debt, 0);
	WRITE_ONCE(heap->sweep.generations, heap->sweep.generations + 1);
	WRITE_ONCE(heap->sweep.what, what);
	kmh_sweep_count_anew(&heap->sweep);

	while ((c = kmh_next_mcentral(heap, c))) {
		if (what == KMH_SWEEP_MARKS) {
			kmh_mcentral_set_phase(c, kmh_mcentral_gen(c) + 2, what, false);
		} else if (READ_ONCE(c->dirty[what - KMH_SWEEP_SET0])) {
			WRITE_ONCE(c->dirty[what - KMH_SWEEP_SET0], 0);
			kmh_mcentral_set_phase(c, kmh_mcentral_gen(c) + 2, what,
					       heap->sweep.marking);
		}
	}
}

/* ---- large objects, and spans by address */

/* Spans claimed in one hold of the page heap's lock. */
#define KMH_RECLAIM_BATCH	16U

struct kmh_reclaim {
	unsigned int n;
	struct kmh_mspan *span[KMH_RECLAIM_BATCH];
};

/*
 * Claim a large object for its sweep. Under the page heap's lock, which keeps the span.
 * Return: true when the object is garbage, and the caller's.
 */
static bool kmh_reclaim_large(struct kmh_mspan *s)
{
	unsigned long phase = kmh_mcentral_phase(kmh_mspan_mcentral(s));
	unsigned int gen = kmh_phase_gen(phase);

	/*
	 * A span one generation ahead means that the class has advanced since. Large objects
	 * are never further behind.
	 */
	if (kmh_phase_what(phase) != KMH_SWEEP_MARKS ||
	    (unsigned int)atomic_read(&s->sweepgen) == gen + 2 || !kmh_sweep_claim(s, gen))
		return false;
	/* Garbage stays at "being swept", by which a weak handle knows that it is dead. */
	if (!atomic_long_read(kmh_mspan_mark(s, 0)))
		return kmh_large_claim(s, s->base, KMH_SPAN_LARGE) == KMH_FREE_OK;
	kmh_sweep_survivors(s, 0, 1, gen);
	smp_wmb();	/* survivor, mark: as in kmh_sweep_marks() */
	atomic_long_set(kmh_mspan_mark(s, 0), 0);
	clear_bit((s->base >> KMH_PAGE_SHIFT) - s->arena->first, s->arena->page_marks);
	atomic_set_release(&s->sweepgen, gen);
	return false;
}

/*
 * Claim unswept spans from heap page @page of an arena on, until @r is full. @small: small
 * spans, too, except those with a marked object, which will not become empty. Return: the
 * page to go on with.
 */
static unsigned long kmh_reclaim_claim(struct kmh_arena *a, unsigned long page, bool small,
				       struct kmh_reclaim *r)
{
	unsigned long end = min(page + KMH_PA_CHUNK_PAGES, a->npages), flags;

	kmh_wait_lock_irqsave(&a->mheap->lock, flags);
	for_each_set_bit_from(page, a->page_inuse, end) {
		struct kmh_mspan *s = kmh_span_of_page(a->first + page);
		bool mine = false;

		if (r->n == KMH_RECLAIM_BATCH)
			break;
		/* Another heap's, where a client has freed the arena: lost_arena.c. */
		if (!kmh_arena_has_span(a, s))
			continue;
		if (s->state == KMH_SPAN_LARGE)
			mine = kmh_reclaim_large(s);
		else if (small && s->state == KMH_SPAN_SMALL && !test_bit(page, a->page_marks))
			mine = kmh_mcentral_try_claim(s);
		if (mine)
			r->span[r->n++] = s;
	}
	kmh_unlock_irqrestore(&a->mheap->lock, flags);
	return min(page, end);
}

/* Claim, and sweep the small spans, in one trip. Large ones are left in @r. Return: as above. */
static unsigned long kmh_reclaim_chunk(struct kmh_arena *a, unsigned long page, bool small,
				       struct kmh_reclaim *r)
{
	struct kmh_mcache __percpu *mcache = READ_ONCE(a->heap->mcache);
	unsigned int i, n;

	preempt_disable();
	kmh_trip_begin(&mcache->trips);
	page = kmh_reclaim_claim(a, page, small, r);
	for (i = 0, n = r->n, r->n = 0; i < n; i++) {
		if (r->span[i]->state == KMH_SPAN_LARGE)
			r->span[r->n++] = r->span[i];
		else
			kmh_mcentral_sweep_claimed(r->span[i]);
	}
	kmh_trip_end(&mcache->trips);
	preempt_enable();
	return page;
}

/*
 * Go through arena @a from heap page *@page on, until @npages more are free there; for large
 * objects only, and to its end, if that is 0. Return: true when they are.
 */
static bool kmh_reclaim_arena(struct kmh_arena *a, unsigned long *page, unsigned long npages)
{
	unsigned long before = READ_ONCE(a->range.nfree), got;
	struct kmh_reclaim r = { };

	while (*page < a->npages) {
		*page = kmh_reclaim_chunk(a, *page, npages, &r);
		while (r.n) {
			struct kmh_mspan *s = r.span[--r.n];

			atomic_long_inc(&a->heap->collected);
			atomic_long_add(s->large_bytes, &a->heap->collected_bytes);
			if (trace_sweep_enabled())
				kmh_sweep_freed(a->heap, 1, kmh_slot_bytes(s));
			kmh_large_release(s);
		}
		got = READ_ONCE(a->range.nfree) - before;
		if (npages && (long)got > 0 && got >= npages)
			return true;
		cond_resched();
	}
	return false;
}

/* Sweep all large objects, at the end of a collection. */
static void kmh_reclaim_all(struct kmheap *heap)
{
	struct kmh_arena *a;
	unsigned long page;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list) {
		page = 0;
		kmh_reclaim_arena(a, &page, 0);
	}
	mutex_unlock(&heap->arenas_mutex);
}

/*
 * Sweep for @npages before the heap takes more. Go's page reclaimer: in the order of addresses, so
 * that neighbouring spans come free together. Each page is looked at once in a generation, as Go's
 * reclaimIndex does: otherwise each growth would go through the whole heap. Arenas come and go
 * meanwhile, so some pages may be missed. Context: process context; sleeps. Return: true when a
 * generation was open, so that something may have come free.
 */
bool kmh_sweep_reclaim(struct kmheap *heap, unsigned long npages)
{
	struct kmh_sweep *sweep = &heap->sweep;
	unsigned long from, page, done = 0;
	struct kmh_arena *a;

	if (!kmh_sweep_is_open(heap))
		return false;
	mutex_lock(&heap->arenas_mutex);
	if (sweep->reclaim_generation != READ_ONCE(sweep->generations)) {
		sweep->reclaim_generation = READ_ONCE(sweep->generations);
		sweep->reclaim_pages = 0;
	}
	from = sweep->reclaim_pages;
	list_for_each_entry(a, &heap->arenas, list) {
		bool enough;

		page = min(from, a->npages);
		from -= page;
		enough = kmh_reclaim_arena(a, &page, npages);
		done += page;
		if (enough)
			break;
	}
	sweep->reclaim_pages = done;
	mutex_unlock(&heap->arenas_mutex);
	return true;
}

/* ---- the end of a generation */

/* Put announced spans where they belong. Context: process context. */
void kmh_sweep_announced(struct kmheap *heap)
{
	struct kmh_mcentral *c = NULL;

	while ((c = kmh_next_mcentral(heap, c))) {
		kmh_inbox_sweep_announced(c);
		cond_resched();
	}
}

static void kmh_sweep_listed(struct kmheap *heap)
{
	unsigned int n = 0;

	kmh_sweep_announced(heap);
	while (kmh_sweep_one(heap))
		if (++n % KMH_SWEEP_BATCH == 0)
			cond_resched();
}

static void kmh_sweep_wait_for_trip(const unsigned int *trips)
{
	unsigned int seen, now;

	/* Acquire: what the trip has done is seen when it is over. */
	seen = smp_load_acquire(trips);
	/* Acquire: as above. */
	while (now = smp_load_acquire(trips), !kmh_trip_is_over(seen, now)) {
		kmh_test_point("wait for a trip");
		usleep_range(50, 200);
	}
}

/*
 * Wait until every trip that is under way is over. By then every span that was in the hands of a
 * CPU has been put back, and half-made announcements are on their lists. Trips that begin meanwhile
 * are not waited for (kmh_trip_is_over()), so the wait is one trip of each CPU long, whatever the
 * CPUs do. Context: process context; sleeps.
 */
void kmh_sweep_wait_for_trips(struct kmheap *heap)
{
	struct kmh_mcache *mc;
	int cpu;

	smp_mb();	/* phase, trips: pairs with the barrier before kmh_mcentral_date_span() */
	/* Whoever began before the heap had mcaches counts in the stub. */
	for_each_possible_cpu(cpu)
		kmh_sweep_wait_for_trip(&kmh_stub_of(heap, cpu)->trips);
	cpu = -1;
	while ((mc = kmh_next_mcache(heap, &cpu)))
		kmh_sweep_wait_for_trip(&mc->trips);
}

/*
 * Is a CPU between two nodes? Nobody sweeps the spans in its inbox then but who moves them, as the
 * open generation asks (kmh_mcache_renode()). Acquire: its node, the lists that they are on.
 */
static bool kmh_sweep_moves_cpu(struct kmheap *heap)
{
	struct kmh_mcache *mc;
	int cpu = -1;

	while ((mc = kmh_next_mcache(heap, &cpu)))
		if (!smp_load_acquire(&mc->node))	/* its node, the lists of its spans */
			return true;
	return false;
}

static bool kmh_sweep_is_done(struct kmheap *heap)
{
	struct kmh_mcentral *c = NULL;

	if (kmh_sweep_moves_cpu(heap))
		return false;
	while ((c = kmh_next_mcentral(heap, c)))
		if (!kmh_mcentral_is_swept(c))
			return false;
	return true;
}

/* No generation is open: say so to every class, and whether a collection is marking. */
void kmh_sweep_close_classes(struct kmheap *heap)
{
	bool marking = heap->sweep.marking;
	struct kmh_mcentral *c = NULL;

	lockdep_assert_held(&heap->sweep.mutex);
	while ((c = kmh_next_mcentral(heap, c)))
		if (c->phase != kmh_phase(kmh_mcentral_gen(c), KMH_SWEEP_REMOTE, marking))
			kmh_mcentral_set_phase(c, kmh_mcentral_gen(c), KMH_SWEEP_REMOTE, marking);
}

/*
 * Sweep what is left of the open generation. Context: process context; sleeps. heap->sweep.mutex
 * held. Return: false, and the generation stays open, if a CPU cannot be reached.
 */
bool kmh_sweep_finish(struct kmheap *heap)
{
	lockdep_assert_held(&heap->sweep.mutex);
	if (!kmh_sweep_is_open(heap))
		return true;
	/*
	 * First wait for trips with a span that was in the hands of a CPU when its class
	 * advanced: it may be of the last generation, and go where no sweep looks for it.
	 * Then sweep the CPUs' spans. Then wait for half-made announcements. Then the listed
	 * spans are all there are; one that is announced meanwhile stays on its full set
	 * until it is popped in the next round.
	 */
	kmh_sweep_wait_for_trips(heap);
	if (!kmh_sweep_caches(heap, kmh_sweep_if_stale))
		return false;
	for (;;) {
		kmh_sweep_wait_for_trips(heap);
		kmh_sweep_listed(heap);
		if (kmh_sweep_is_done(heap))
			break;
		usleep_range(50, 200);
	}
	kmh_sweep_wait_for_trips(heap);		/* of CPUs that sweep what they have popped */
	if (heap->sweep.what == KMH_SWEEP_MARKS)
		kmh_reclaim_all(heap);
	/*
	 * A CPU that has come since, for an old span that was announced, may have read the
	 * phase before: nothing may be deferred into that set until its trip is over.
	 */
	kmh_sweep_close_classes(heap);
	kmh_sweep_wait_for_trips(heap);
	if (trace_sweep_enabled())
		kmh_sweep_tell(heap);
	WRITE_ONCE(heap->sweep.what, KMH_SWEEP_REMOTE);
	return true;
}

/*
 * Give up the mutex for a moment. A CPU that is coming or going keeps the sweep from its end, and a
 * callback of hotplug may allocate, and wait for the mutex. So a caller that tries again until the
 * sweep ends must not hold the mutex all the time. Context: process context; sleeps.
 * heap->sweep.mutex held, before and after.
 */
void kmh_sweep_let_go(struct kmheap *heap)
{
	mutex_unlock(&heap->sweep.mutex);
	kmh_test_point("the sweep's mutex is let go");
	usleep_range(500, 1000);
	mutex_lock(&heap->sweep.mutex);
}

/*
 * Finish the sweep, until no generation is open. Context: process context; sleeps.
 * heap->sweep.mutex held before and after, not all the time.
 */
void kmh_sweep_settle(struct kmheap *heap)
{
	while (!kmh_sweep_finish(heap))
		kmh_sweep_let_go(heap);
}

/* Queues itself again while there is something to wait for. */
static void kmh_sweep_work(struct work_struct *work)
{
	struct kmheap *heap = container_of(to_delayed_work(work), struct kmheap, sweep.work);
	unsigned long delay;

	if (unlikely(READ_ONCE(heap->stopped)))
		return;
	mutex_lock(&heap->sweep.mutex);
	kmh_sweep_finish(heap);
	delay = kmh_defer_step(heap);
	mutex_unlock(&heap->sweep.mutex);
	if (delay)
		queue_delayed_work(kmh_wq, &heap->sweep.work, delay);
}

void kmh_sweep_init(struct kmheap *heap)
{
	mutex_init(&heap->sweep.mutex);
	INIT_DELAYED_WORK(&heap->sweep.work, kmh_sweep_work);
}

/* Stop the worker. Nothing frees into the heap any more. */
void kmh_sweep_stop(struct kmheap *heap)
{
	kmh_irq_work_wait(&heap->defer.kick);
	cancel_delayed_work_sync(&heap->sweep.work);
}
