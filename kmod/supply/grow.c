// SPDX-License-Identifier: GPL-2.0
/*
 * Growth of a page heap: arenas when pages run out, and before they do.
 *
 * After Go's grow (src/runtime/mheap.go). Documentation/design.rst 9.1 says which callers
 * wait for which.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>

#include "supply/grow.h"
#include "base/backend.h"
#include "base/lock.h"
#include "cpu/magazine.h"
#include "heap.h"
#include "pages/arena.h"
#include "pages/held.h"
#include "span/arenamap.h"
#include "span/spanpool.h"
#include "supply/giveback.h"
#include "supply/grow_size.h"

/*
 * A caller that wants pages again so soon after other CPUs' pages were fetched grows the
 * heap, where that is allowed: the heap is too small for what CPUs keep, and interrupting
 * them costs more.
 */
#define KMH_FETCH_PAUSE		DIV_ROUND_UP(HZ, 100)

/*
 * So many spans, and so many pages, are looked at for empty ones before the heap takes an
 * arena: as many as a full-grown arena has, so that a page costs the same in a heap of any
 * size.
 */
#define KMH_GROW_LOOK		512U

/* The worker does not grow ahead again for this long after that has failed. */
#define KMH_AHEAD_PAUSE		(HZ / 10)

/*
 * For a size that would only be good to have. A smaller block of the node that is asked for is
 * better than a larger one of another node; vmalloc() takes no node to insist on, and warns about
 * __GFP_NOMEMALLOC.
 */
static gfp_t kmh_gfp_try(gfp_t gfp, bool block)
{
	gfp |= __GFP_NORETRY | __GFP_NOWARN;
	return block ? gfp | __GFP_NOMEMALLOC | __GFP_THISNODE : gfp;
}

/*
 * Take one arena of at least @g.need bytes. Larger sizes are a convenience: they are tried
 * without pressing the kernel for memory, down by halves; only the last try is made with the
 * caller's gfp. Return: an arena or an ERR_PTR().
 */
static struct kmh_arena *kmh_mheap_new_arena(struct kmh_mheap *mh, struct kmh_grow_size g,
					     gfp_t gfp)
{
	size_t bytes = g.want;
	struct kmh_arena *a;

	for (; bytes > g.need;
	     bytes = max(round_up(bytes / 2, max(KMH_PAGE_SIZE, PAGE_SIZE)), g.need)) {
		a = kmh_arena_create(mh, bytes, g.block, kmh_gfp_try(gfp, g.block));
		if (!IS_ERR(a))
			return a;
	}
	return kmh_arena_create(mh, g.need, g.block, gfp);
}

/* @g: the sizes that it was taken with; NULL if all of its pages are one caller's. */
static void kmh_mheap_add_arena(struct kmh_mheap *mh, struct kmh_arena *a,
				const struct kmh_grow_size *g)
{
	unsigned long flags;

	/*
	 * Under both locks, so that the arena is in list and page heap at once for callers
	 * that give arenas back.
	 */
	mutex_lock(&mh->heap->arenas_mutex);
	list_add_tail(&a->list, &mh->heap->arenas);
	kmh_wait_lock_irqsave(&mh->lock, flags);
	kmh_pa_add(kmh_arena_pa(a), &a->range);
	if (g && !g->patch)
		WRITE_ONCE(mh->low_pages, kmh_arena_low_pages(a->npages));
	if (g && !g->dedicated && kmh_parange_max(&a->range) >= mh->missed_pages)
		WRITE_ONCE(mh->missed_pages, 0);
	if (g)
		WRITE_ONCE(mh->ngrown, mh->ngrown + 1);
	kmh_unlock_irqrestore(&mh->lock, flags);
	mutex_unlock(&mh->heap->arenas_mutex);
}

/*
 * An arena that holds such a run, of the kind that the heap is to have; @g is set to the sizes.
 * Return: an arena or an ERR_PTR().
 */
static struct kmh_arena *kmh_mheap_take_arena(struct kmh_mheap *mh, unsigned long npages,
					      unsigned long align, gfp_t gfp,
					      struct kmh_grow_size *g)
{
	enum kmh_backing backing = mh->heap->backing;
	struct kmh_arena *a;

	if (kmh_heap_lacks_run(mh->heap, npages, align))
		return ERR_PTR(-ENOMEM);
	if (kmh_wants_block(mh->heap, npages, align)) {
		*g = kmh_grow_block_size(mh, npages, align);
		a = kmh_mheap_new_arena(mh, *g, backing == KMH_BACKING_AUTO ?
						gfp | __GFP_NORETRY | __GFP_NOWARN |
						__GFP_NOMEMALLOC : gfp);
		/*
		 * An area may do where a block may not: there may be no block, or, at the module's
		 * limit, no room for a table of the arenas map that its addresses need.
		 */
		if (backing != KMH_BACKING_AUTO || !IS_ERR(a))
			return a;
	}
	*g = kmh_grow_area_size(mh, npages, align);
	if (g->need >> KMH_PAGE_SHIFT > KMH_PA_MAX_PAGES)	/* no range is so long */
		return ERR_PTR(-ENOMEM);
	return kmh_mheap_new_arena(mh, *g, gfp);
}

/* Has a small heap not had its first arena yet, which brings no mcentrals? */
static bool kmh_heap_begins(const struct kmheap *heap)
{
	return heap->flags & KMHEAP_SMALL &&
	       READ_ONCE(heap->next_arena_bytes) <= kmh_heap_first_bytes(heap);
}

/* Take an arena that holds such a run, whatever is free. Context: process context; sleeps. */
int kmh_mheap_grow_arena(struct kmh_mheap *mh, unsigned long npages, unsigned long align,
			 gfp_t gfp)
{
	struct kmh_grow_size g;
	struct kmh_arena *a;

	if (kmh_wants_own_arena(npages) && kmh_mheap_make_own_pa(mh, gfp))
		return -ENOMEM;
	a = kmh_mheap_take_arena(mh, npages, align, gfp, &g);
	if (IS_ERR(a))
		return PTR_ERR(a);
	a->dedicated = g.dedicated;
	/* The first one counts also where memory was too short for more. */
	if (!g.patch || kmh_heap_begins(mh->heap))
		WRITE_ONCE(mh->heap->next_arena_bytes,
			   clamp(2 * rounddown_pow_of_two(a->bytes), KMH_ARENA_SECOND_BYTES,
				 kmh_arena_bytes));
	kmh_mheap_add_arena(mh, a, &g);
	/* The arena comes first at a limit. Without magazines frees only take longer. */
	kmh_magazines_refill(gfp | __GFP_NORETRY | __GFP_NOWARN);
	kmh_limit_check(mh->heap);
	return 0;
}

/*
 * The mutex for a caller under @gfp, held. A grower that may enter the file system holds a
 * mutex of its own: a caller that must not (it holds locks that the file system wants) never
 * waits for one that might. Reclaim does not wait at all. Return: NULL when it would have to.
 */
static struct mutex *kmh_grow_lock(struct kmheap *heap, gfp_t gfp)
{
	if (current->flags & PF_MEMALLOC)
		return mutex_trylock(&heap->grow_noio_mutex) ? &heap->grow_noio_mutex : NULL;
	if (kmh_may_wait_fs(gfp)) {
		mutex_lock(&heap->grow_mutex);
		return &heap->grow_mutex;
	}
	mutex_lock(&heap->grow_noio_mutex);
	return &heap->grow_noio_mutex;
}

/* What is missing. */
struct kmh_room {
	unsigned long npages;		/* a run of so many pages */
	unsigned long align;		/* aligned so */
	unsigned long nfree;		/* and so many free in all */
	bool ahead;			/* for no waiting caller */
};

static bool kmh_pa_has_run(struct kmh_pagealloc *pa, const struct kmh_room *room)
{
	struct kmh_parange *range;
	unsigned long page;

	if (!pa || !kmh_pa_alloc(pa, room->npages, room->align, &range, &page))
		return false;
	kmh_pa_free(pa, range, page, room->npages);
	return true;
}

/* Is there room now? @parked: is there a parked span that suffices? */
static bool kmh_mheap_has_room(struct kmh_mheap *mh, const struct kmh_room *room, bool parked)
{
	unsigned long flags;
	bool ok;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	ok = kmh_mheap_nfree(mh) >= room->nfree &&
	     (parked ? kmh_largestore_holds(&mh->store, room->npages, room->align) :
		       kmh_pa_has_run(kmh_mheap_pa(mh, room->npages), room));
	kmh_unlock_irqrestore(&mh->lock, flags);
	return ok;
}

/* Find pages without asking the kernel: deferred frees, what CPUs keep, what is unused. */
static bool kmh_mheap_find_room(struct kmh_mheap *mh, const struct kmh_room *room, gfp_t gfp)
{
	/*
	 * The sweep waits for hotplug, which allocates; so a caller that may hold what that
	 * allocation could want does not wait for the sweep.
	 */
	if (kmh_may_wait_fs(gfp) && !(current->flags & PF_MEMALLOC) && kmh_defer_excess(mh->heap))
		kmh_defer_relieve(mh->heap);
	if (kmh_largecache_drain_cpus(mh->heap))
		WRITE_ONCE(mh->fetched, jiffies);
	if (kmh_mheap_has_room(mh, room, true))
		return true;	/* the other parked spans may stay */
	kmh_largestore_drain(mh->heap);
	kmh_held_release(mh->heap);
	kmh_magazines_drain_all(mh->heap);
	kmh_sweep_reclaim(mh->heap, room->npages);
	kmh_mheap_drain_some(mh, KMH_GROW_LOOK);
	return kmh_mheap_has_room(mh, room, false);
}

/* Was the heap too small a moment ago already? Then take an arena at once. */
static bool kmh_mheap_outgrown(struct kmh_mheap *mh, const struct kmh_room *room, gfp_t gfp)
{
	return time_before(jiffies, READ_ONCE(mh->fetched) + KMH_FETCH_PAUSE) &&
	       !kmh_mheap_grow_arena(mh, room->npages, room->align,
				     gfp | __GFP_NORETRY | __GFP_NOWARN);
}

/* Has somebody grown the heap since, by what the worker wants, too? Not for one object, then. */
static bool kmh_mheap_was_grown(struct kmh_mheap *mh, const struct kmh_room *room,
				unsigned long seen)
{
	return READ_ONCE(mh->ngrown) != seen &&
	       (!room->ahead || kmh_mheap_has_room(mh, room, false));
}

/* Make room, under the mutex. Return: 0, -ENOMEM, or -EDQUOT when a limit forbids an arena. */
static int kmh_mheap_try_room(struct kmh_mheap *mh, const struct kmh_room *room,
			      unsigned long seen, gfp_t gfp)
{
	struct mutex *held;	/* the one that kmh_grow_lock() took */
	int err = 0;

	held = kmh_grow_lock(mh->heap, gfp);
	if (!held)	/* in reclaim: no more than it needs, beside the holder */
		return kmh_mheap_grow_arena(mh, room->npages, room->align,
					    gfp & ~(__GFP_FS | __GFP_IO));
	/* NOFS shares a mutex with NOIO, so its holder must do no I/O. */
	if (held == &mh->heap->grow_noio_mutex)
		gfp &= ~(__GFP_FS | __GFP_IO);
	/*
	 * Spans that are empty anyway come first: no CPU is interrupted for these. Where the pages
	 * are there, descriptors may have been missing; a new arena brings some.
	 */
	if (!kmh_mheap_was_grown(mh, room, seen) &&
	    !(kmh_mheap_drain_some(mh, KMH_GROW_LOOK) && kmh_mheap_has_room(mh, room, false)) &&
	    !kmh_mheap_outgrown(mh, room, gfp))
		err = kmh_mheap_find_room(mh, room, gfp) ?
			      kmh_mspan_pools_suffice(gfp) :
			      kmh_mheap_grow_arena(mh, room->npages, room->align, gfp);
	/* All pages there are, however long that takes, before the caller is refused. */
	if (err && !room->ahead && kmh_mheap_drain_lists(mh) &&
	    kmh_mheap_has_room(mh, room, false))
		err = 0;
	mutex_unlock(held);
	return err;
}

/*
 * Beyond the first arena of a small heap callers that cannot sleep may have spans of any class; and
 * whoever grows one may do so because a class had no mcentral.
 */
static int kmh_mheap_make_mcentrals(struct kmh_mheap *mh, gfp_t gfp)
{
	struct kmh_node *node = container_of(mh, struct kmh_node, mheap);

	if (kmh_heap_begins(mh->heap))
		return 0;
	return kmh_mcentrals_make(node, gfp);
}

/*
 * Make room where a limit forbade it: everything that is empty is given back until @bytes are
 * allowed. Return: as kmh_mheap_try_room(); -EAGAIN when @bytes are allowed and did not suffice.
 */
static int kmh_mheap_room_at_limit(struct kmh_mheap *mh, const struct kmh_room *room,
				   size_t bytes, gfp_t gfp)
{
	unsigned long seen = READ_ONCE(mh->ngrown);
	int err = -EDQUOT, refused = -EDQUOT;
	unsigned int tries;
	size_t tables = 0;

	if (kmh_limit_drain(mh->heap, bytes))
		err = kmh_mheap_try_room(mh, room, seen, gfp);
	/* More than once, because the worker may book in between. */
	for (tries = 3; err == -EDQUOT && tries; tries--) {
		seen = READ_ONCE(mh->ngrown);
		if (!kmh_limit_give_back(mh->heap, bytes, tables, gfp))
			break;
		refused = -EAGAIN;
		err = kmh_mheap_try_room(mh, room, seen, gfp);
		/* The module's limit may have had no room for what comes with the arena. */
		tables += KMH_ARENA_TABLES;
	}
	return err == -EDQUOT ? refused : err;
}

/* kmh_mheap_grow(), with @room said. At a limit everything that is empty is given back for it. */
static int kmh_mheap_make_room(struct kmh_mheap *mh, const struct kmh_room *room,
			       unsigned long seen, gfp_t gfp)
{
	size_t bytes;
	int err;

	gfp = current_gfp_context(gfp);
	kmh_watch_peak(mh->heap, false);
	if (kmh_mheap_make_mcentrals(mh, gfp))
		return -ENOMEM;
	err = kmh_mheap_try_room(mh, room, seen, gfp);
	if (err != -EDQUOT || room->ahead)
		return err ? -ENOMEM : 0;
	bytes = kmh_grow_need(mh, room->npages, room->align);
	err = kmh_mheap_room_at_limit(mh, room, bytes, gfp);
	/* The limit allows a block, but there may be none; an area is longer. */
	if (err == -EAGAIN && mh->heap->backing == KMH_BACKING_AUTO &&
	    kmh_grow_area_need(mh, room->npages, room->align) > bytes) {
		bytes = kmh_grow_area_need(mh, room->npages, room->align);
		err = kmh_mheap_room_at_limit(mh, room, bytes, gfp);
	}
	if (err == -EDQUOT || err == -EAGAIN)
		kmh_limit_refuse(mh->heap, bytes);
	return err ? -ENOMEM : 0;
}

/*
 * Make room for a run of @npages, aligned to @align of them, that was not found; @seen is
 * mh->ngrown from before that. One grower at a time per mutex: the second one finds the arena of
 * the first. Pages that are kept in caches and lists are gathered before the kernel is asked.
 * Context: process context; sleeps, and @gfp must allow it. No lock held but the caller's own.
 * Return: 0 when it is worth trying again, -ENOMEM when it is not.
 */
int kmh_mheap_grow(struct kmh_mheap *mh, unsigned long npages, unsigned long align,
		   unsigned long seen, gfp_t gfp)
{
	struct kmh_room room = { .npages = npages, .align = align };
	unsigned long reserve = READ_ONCE(mh->reserve.pages);

	/* The reserve is not for the caller; it is nothing that is free in dedicated arenas. */
	if (reserve && !(current->flags & PF_MEMALLOC) && !kmh_wants_own_arena(npages))
		room.nfree = npages + reserve;
	return kmh_mheap_make_room(mh, &room, seen, gfp);
}

static struct kmh_arena *kmh_mheap_try_user(struct kmh_mheap *mh, size_t bytes, gfp_t gfp)
{
	struct mutex *held = kmh_grow_lock(mh->heap, gfp);	/* NULL: in reclaim */
	struct kmh_arena *a = ERR_PTR(-ENOMEM);

	if (!held || held == &mh->heap->grow_noio_mutex)
		gfp &= ~(__GFP_FS | __GFP_IO);
	if (!kmh_mheap_make_own_pa(mh, gfp))
		a = kmh_arena_create_user(mh, bytes, gfp);
	if (!IS_ERR(a))
		kmh_mheap_add_arena(mh, a, NULL);
	if (held)
		mutex_unlock(held);
	return a;
}

/*
 * An arena of at least @npages for one object that user space may map. All of its pages are the
 * caller's. Context: as for kmh_mheap_grow(). Return: the arena, in its page heap, or NULL.
 */
struct kmh_arena *kmh_mheap_grow_user(struct kmh_mheap *mh, unsigned long npages, gfp_t gfp)
{
	size_t bytes = round_up(npages << KMH_PAGE_SHIFT, max(KMH_PAGE_SIZE, PAGE_SIZE));
	unsigned int tries;
	struct kmh_arena *a;
	size_t tables = 0;

	if (npages > KMH_PA_MAX_PAGES)
		return NULL;
	gfp = current_gfp_context(gfp);
	kmh_watch_peak(mh->heap, false);
	a = kmh_mheap_try_user(mh, bytes, gfp);
	if (a == ERR_PTR(-EDQUOT) && kmh_limit_drain(mh->heap, bytes))
		a = kmh_mheap_try_user(mh, bytes, gfp);
	/* More than once, because others may book in between. */
	for (tries = 3; a == ERR_PTR(-EDQUOT) && tries; tries--) {
		if (!kmh_limit_give_back(mh->heap, bytes, tables, gfp))
			break;
		a = kmh_mheap_try_user(mh, bytes, gfp);
		/* As in kmh_mheap_room_at_limit(). */
		tables += KMH_ARENA_TABLES;
	}
	if (a == ERR_PTR(-EDQUOT))
		kmh_limit_refuse(mh->heap, bytes);
	if (IS_ERR(a))
		return NULL;
	kmh_limit_check(mh->heap);
	return a;
}

/* The pages that are to be free now. */
static struct kmh_room kmh_mheap_ahead(const struct kmh_mheap *mh)
{
	return (struct kmh_room){
		.npages = kmh_reserve_run(mh) ?: 1, .align = 1,
		.nfree = READ_ONCE(mh->low_pages) + READ_ONCE(mh->reserve.pages),
		.ahead = true,
	};
}

/* Bytes that are to be free and are not. If only a run is missing, all of the run counts. */
u64 kmh_mheap_missing_bytes(struct kmh_mheap *mh)
{
	struct kmh_room room = kmh_mheap_ahead(mh);
	unsigned long nfree = kmh_mheap_nfree(mh);

	if (nfree < room.nfree)
		return (u64)(room.nfree - nfree) << KMH_PAGE_SHIFT;
	if (!READ_ONCE(mh->reserve.pages) || kmh_mheap_has_room(mh, &room, false))
		return 0;
	return (u64)room.npages << KMH_PAGE_SHIFT;
}

static int kmh_mheap_refill(struct kmh_mheap *mh, gfp_t gfp)
{
	int err = 0;

	while (!err && kmh_mheap_missing_bytes(mh)) {
		unsigned long nfree = kmh_mheap_nfree(mh), seen = READ_ONCE(mh->ngrown);
		struct kmh_room room = kmh_mheap_ahead(mh);

		err = kmh_mheap_make_room(mh, &room, seen, gfp);
		if (READ_ONCE(mh->ngrown) == seen && kmh_mheap_nfree(mh) <= nfree)
			break;
	}
	return err;
}

/*
 * With little memory left in the kernel, and only for callers that cannot sleep: what is
 * above the kernel's watermarks, without reclaim, so that no task is killed for pages that
 * may not be needed.
 */
#define KMH_SPARE_GFP		(GFP_NOWAIT | __GFP_NORETRY | __GFP_NOWARN)

/* So many pages stay for others: for the stack of a thread the kernel would kill a task. */
#define KMH_SPARE_PAGES		((long)(SZ_4M >> PAGE_SHIFT))

/* What callers have wanted since the last run. */
struct kmh_demand {
	unsigned long seen;		/* growth since then has dealt with it */
	unsigned long missed;		/* pages: the longest run that was not there */
	unsigned long drawn;		/* pages, by callers that cannot sleep */
};

static struct kmh_demand kmh_mheap_take_demand(struct kmh_mheap *mh)
{
	struct kmh_demand d = { .seen = READ_ONCE(mh->ngrown) };
	unsigned long flags;

	kmh_wait_lock_irqsave(&mh->lock, flags);
	d.missed = mh->missed_pages;
	WRITE_ONCE(mh->missed_pages, 0);
	d.drawn = mh->reserve.drawn;
	kmh_unlock_irqrestore(&mh->lock, flags);
	return d;
}

/* Grow ahead, and refill the descriptor pools, for callers that cannot sleep. */
static void kmh_mheap_work(struct work_struct *work)
{
	struct kmh_mheap *mh = container_of(work, struct kmh_mheap, work);
	struct kmh_node *node = container_of(mh, struct kmh_node, mheap);
	const struct kmh_leavers objects = { .bytes = SIZE_MAX, .dedicated = true,
		.who = KMH_WHO_WORKER };
	bool spare = kmh_memory_is_short(0);
	gfp_t gfp = spare ? KMH_SPARE_GFP : GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN;
	struct kmh_demand demand = kmh_mheap_take_demand(mh);
	/* Callers that can sleep take the last of the memory themselves, when they need it. */
	bool wanted = !spare || demand.drawn;
	int err;

	if (unlikely(READ_ONCE(mh->heap->stopped)))
		return;
	kmh_mheap_drain_pending(mh);
	err = kmh_mspan_pools_suffice(gfp);
	/* Limits have counted these since the heap began. */
	if (kmh_mcentrals_short(node) && kmh_mcentrals_make(node, gfp))
		err = -ENOMEM;
	if (!spare)
		kmh_magazines_refill(gfp);
	if (spare && wanted && si_mem_available() < KMH_SPARE_PAGES)
		err = -ENOMEM;
	if (!err && wanted)	/* without these the heap grows all the same */
		kmh_mspan_kept_refill(gfp);
	if (!err && wanted && demand.missed)
		err = kmh_mheap_grow(mh, demand.missed, 1, demand.seen, gfp);
	if (!err && wanted)
		err = kmh_mheap_refill(mh, gfp);
	kmh_test_point("grow: the reserve is refilled");
	kmh_reserve_refilled(mh, demand.drawn);
	kmh_nmi_fill(mh->heap, wanted ? err : -ENOMEM);
	/* No pause for those who cannot sleep when nothing was wanted: their next draw is heard. */
	if (err)
		WRITE_ONCE(mh->ahead_after, jiffies + KMH_AHEAD_PAUSE);
	else if (!wanted)
		WRITE_ONCE(mh->low_after, jiffies + KMH_AHEAD_PAUSE);
	kmh_arenas_give_back(mh->heap, &objects, NULL);	/* last: it may wait for a grace period */
}

/* Runs in a context that may wake a worker, whatever context the kick came from. */
static void kmh_mheap_kicked(struct irq_work *kick)
{
	struct kmh_mheap *mh = container_of(kick, struct kmh_mheap, kick);

	queue_work_node(mh->nid, kmh_grow_wq, &mh->work);
}

void kmh_grow_init(struct kmh_mheap *mh)
{
	mh->ahead_after = jiffies;
	mh->low_after = jiffies;
	mh->fetched = jiffies - KMH_FETCH_PAUSE;
	init_irq_work(&mh->kick, kmh_mheap_kicked);
	INIT_WORK(&mh->work, kmh_mheap_work);
}

/**
 * kmheap_set_reserve() - keep memory ready for callers that cannot sleep
 * @heap: the heap; NULL for the default heap.
 * @bytes: on each node, in whole pages; 0 for none, at most 1 GiB and half of the heap's limit.
 *
 * A heap learns how much such callers take between two runs of the worker that grows it, and
 * keeps as much; until then they may be refused. With this call @bytes are kept, whatever
 * they take, and given back by neither kmheap_shrink() nor reclaim. Callers that can sleep do
 * not get them.
 *
 * Context: Process context; sleeps.
 * Return: 0 when all of it is there; -EINVAL for too much, -ENOMEM when the memory is not there or
 * a limit forbids it: then the reserve is as before.
 */
int kmheap_set_reserve(struct kmheap *heap, size_t bytes)
{
	unsigned long pages = DIV_ROUND_UP(bytes, KMH_PAGE_SIZE), before;
	gfp_t gfp = GFP_KERNEL | __GFP_RETRY_MAYFAIL;
	static DEFINE_MUTEX(one_at_a_time);	/* a failed call restores the floor; outermost */
	struct kmh_node *node;
	int nid = -1, err;
	size_t limit;

	might_sleep();
	heap = kmh_heap_or_default(heap);
	limit = READ_ONCE(heap->limit_bytes);
	if (!kmh_reserve_allowed(bytes, limit))
		return -EINVAL;
	mutex_lock(&one_at_a_time);
	before = kmh_reserve_set_floors(heap, pages);
	/* To want none never fails, whatever other heaps lack. */
	err = pages ? kmh_mspan_pools_suffice(gfp) ?: kmh_mspan_kept_refill(gfp) : 0;
	while (!err && pages && (node = kmh_next_node(heap, &nid)))
		err = kmh_mheap_refill(&node->mheap, gfp) || kmh_mheap_missing_bytes(&node->mheap);
	if (err)
		kmh_reserve_restore_floors(heap, before);
	mutex_unlock(&one_at_a_time);
	return err ? -ENOMEM : 0;
}
EXPORT_SYMBOL_GPL(kmheap_set_reserve);
