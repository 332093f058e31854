// SPDX-License-Identifier: GPL-2.0
/*
 * The scavenger: memory that a heap does not need is given back to the kernel, in the
 * background.
 *
 * After Go's (src/runtime/mgcscavenge.go): paced to about 1 % of a CPU, and with a tenth over
 * the recent peak retained. Different from Go, memory goes back by whole arena, so spans that
 * have become empty on the lists of their classes have to become pages first.
 *
 * A step folds announced spans, looks at some spans by address for empty ones, and then gives
 * back arenas without a page in use as long as that leaves what is to be kept: a tenth more
 * than the peak of the pages in use. The peak decays over some seconds, and is forgotten when
 * next to nothing of it has been in use for a while. The page heap notes peaks, so that none
 * between two steps is missed. So a load that swings within that time does not cost new
 * arenas each time.
 *
 * Steps come KMH_SCAVENGE_PERIOD apart, and a hundred times as far apart as the last one
 * took. There are none while nothing is freed and nothing is left to give back: a free that
 * announces a span, or gives one back, asks for the next step; one load tells it when that
 * has been asked for already.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "supply/scavenge.h"
#include "base/lock.h"
#include "base/param.h"
#include "heap.h"
#include "pages/arena.h"
#include "pages/held.h"
#include "supply/giveback.h"
#include "supply/lost_arena.h"

/* Time from a free to the step that sees it; the first step after a rest. */
#define KMH_SCAVENGE_PERIOD	(HZ / 4)

/*
 * Each step is followed by a rest of at least so many times what its search took: 1 % of a
 * CPU. Giving back is not counted: that waits for a grace period, and has a pace of its own.
 */
#define KMH_SCAVENGE_REST	100
/* A search is bounded, so one that took longer than this allows for was waiting for a CPU. */
#define KMH_SCAVENGE_REST_MAX	(2 * HZ)

/* Looks for empty spans in one step: at 256 MiB of a heap, or 8,192 spans. */
#define KMH_SCAVENGE_LOOKS	512U

/* The part of a peak above the present use falls to 1/e in so many ms: by half in 5.5 s. */
#define KMH_SCAVENGE_DECAY_MS	8192U

/*
 * A load that uses less than this share of its peak for so many ms is over: nothing is kept
 * for that peak any longer. Parked pages are not in use. One step counts for a fourth of that
 * time at most.
 */
#define KMH_SCAVENGE_OVER_SHARE	8
#define KMH_SCAVENGE_OVER_MS	2000U

/* Parked large objects that have not been taken for so many ms become pages. */
#define KMH_SCAVENGE_PARKED_MS	2000U

/* The statistics show the pace of the last so many ms. */
#define KMH_SCAVENGE_PACE_MS	8192U

/* Rates that make sense: from a small arena in four seconds to more than a machine has. */
#define KMH_SCAVENGE_RATE_MIN	SZ_64K
#define KMH_SCAVENGE_RATE_MAX	BIT(40)

size_t kmh_scavenge_rate = SZ_256M;

/* Make every heap look soon at what was freed while there was no scavenger. */
static void kmh_scavenge_kick_all(void)
{
	struct kmheap *heap;

	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(heap, &kmh_heaps, list)
		kmh_kick_wake(&heap->scavenge.kick);
	mutex_unlock(&kmh_heaps_mutex);
}

static int kmh_scavenge_rate_set(const char *text, const struct kernel_param *kp)
{
	int err = kmh_number_set(text, kp);

	if (!err)
		kmh_scavenge_kick_all();
	return err;
}

static const struct kernel_param_ops kmh_scavenge_rate_ops = {
	.set = kmh_scavenge_rate_set,
	.get = kmh_number_get,
};

static struct kmh_param_number kmh_scavenge_rate_param = {
	.value = &kmh_scavenge_rate, .unit = KMH_PARAM_BYTES, .or_none = true,
	.least = KMH_SCAVENGE_RATE_MIN, .most = KMH_SCAVENGE_RATE_MAX,
};
module_param_cb(scavenge_rate, &kmh_scavenge_rate_ops, &kmh_scavenge_rate_param, 0644);
MODULE_PARM_DESC(scavenge_rate,
		 "bytes a second that unused memory of a heap goes back to the kernel with, from 64 KiB to 1 TiB (default 256 MiB; 0: not at all)");

/* What the page heaps tell of a heap, in bytes. */
struct kmh_use {
	size_t total;		/* in arenas that are not dedicated */
	size_t now;		/* in use, of @total */
	size_t peak;		/* most in use since the last look */
	size_t parked;		/* in stores */
	unsigned long moves;	/* to and from the stores, ever */
};

static struct kmh_use kmh_scavenge_look(struct kmheap *heap)
{
	struct kmh_use use = { };
	struct kmh_node *node;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid))) {
		struct kmh_mheap *mh = &node->mheap;
		unsigned long flags, inuse;

		kmh_wait_lock_irqsave(&mh->lock, flags);
		inuse = mh->pa.npages - mh->pa.nfree;
		use.total += mh->pa.npages << KMH_PAGE_SHIFT;
		use.now += inuse << KMH_PAGE_SHIFT;
		use.peak += max(mh->peak_pages, inuse) << KMH_PAGE_SHIFT;
		use.parked += mh->store.npages << KMH_PAGE_SHIFT;
		use.moves += mh->store.moves;
		mh->peak_pages = inuse;
		kmh_unlock_irqrestore(&mh->lock, flags);
	}
	return use;
}

/* ---- empty spans become pages */

/*
 * Look at some of the heap, from where the last step ended. Return: true when not everything
 * has been looked at since the last free.
 */
static bool kmh_scavenge_arenas(struct kmheap *heap)
{
	struct kmh_scavenge *sc = &heap->scavenge;
	unsigned int looks = KMH_SCAVENGE_LOOKS, i = 0;
	struct kmh_arena *a;
	bool more = false;

	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list) {
		unsigned long page = i++ == sc->arena ? sc->page : 0;

		if (i <= sc->arena || a->dedicated)
			continue;
		while (page < a->npages && looks) {
			page = kmh_scavenge_pages(a, page);
			looks--;
			cond_resched();
		}
		if (page < a->npages) {
			sc->arena = i - 1;
			sc->page = page;
			more = true;
			break;
		}
	}
	mutex_unlock(&heap->arenas_mutex);
	if (more)
		return true;
	more = sc->behind;
	sc->behind = false;
	sc->arena = 0;
	sc->page = 0;
	return more;
}

/*
 * Give back parked objects that have not been taken for a while. Return: true when a later
 * step may find more.
 */
static bool kmh_scavenge_parked(struct kmheap *heap, const struct kmh_use *use, unsigned int ms)
{
	struct kmh_scavenge *sc = &heap->scavenge;

	if (use->moves != sc->moves) {
		sc->moves = use->moves;
		sc->parked_ms = 0;
	}
	sc->parked_ms += ms;
	if (use->parked && sc->parked_ms >= KMH_SCAVENGE_PARKED_MS) {
		kmh_largestore_drain(heap);
		return true;	/* to see which arenas are empty now */
	}
	return use->parked;
}

/* ---- bytes to keep, and bytes that may go */

/* Is the load over that the peak was of? */
static bool kmh_scavenge_is_over(struct kmh_scavenge *sc, const struct kmh_use *use,
				 unsigned int ms)
{
	size_t busy = use->peak - min(use->peak, use->parked);

	if (busy >= sc->peak_bytes / KMH_SCAVENGE_OVER_SHARE)
		sc->over_ms = 0;
	else if (sc->over_ms < KMH_SCAVENGE_OVER_MS)
		sc->over_ms += min(ms, KMH_SCAVENGE_OVER_MS / 4);
	return sc->over_ms >= KMH_SCAVENGE_OVER_MS;
}

static void kmh_scavenge_decay(struct kmh_scavenge *sc, const struct kmh_use *use,
			       unsigned int ms)
{
	size_t peak = sc->peak_bytes, over;

	if (kmh_scavenge_is_over(sc, use, ms) || use->peak >= peak) {
		WRITE_ONCE(sc->peak_bytes, use->peak);
		return;
	}
	over = peak - use->peak;
	over -= min_t(size_t, over, mult_frac(over, ms, KMH_SCAVENGE_DECAY_MS) + 256 * ms);
	WRITE_ONCE(sc->peak_bytes, use->peak + over);
}

/* Bytes that may go now. Of a second that was not used nothing is saved. */
static size_t kmh_scavenge_allowance(struct kmh_scavenge *sc, unsigned int ms)
{
	size_t rate = READ_ONCE(kmh_scavenge_rate);

	/* One arena has to fit in any case, however long saving for it takes. */
	sc->credit = min(sc->credit + mult_frac(rate, ms, 1000), max(rate, kmh_arena_bytes));
	return sc->credit;
}

/* The bytes given back lately that still count: fewer and fewer, down to none. */
static size_t kmh_scavenge_recent(const struct kmh_scavenge *sc)
{
	unsigned int ms = jiffies_to_msecs(jiffies - sc->recent_at);

	if (ms >= KMH_SCAVENGE_PACE_MS)
		return 0;
	return sc->recent_bytes - mult_frac(sc->recent_bytes, ms, KMH_SCAVENGE_PACE_MS);
}

/* Bytes a second that have been given back lately. Context: process context. */
size_t kmh_scavenge_pace(struct kmheap *heap)
{
	size_t recent;

	spin_lock(&heap->scavenge.recent_lock);
	recent = kmh_scavenge_recent(&heap->scavenge);
	spin_unlock(&heap->scavenge.recent_lock);
	return mult_frac(recent, MSEC_PER_SEC, KMH_SCAVENGE_PACE_MS);
}

/* Count bytes that were given back because they were not needed. Context: process context. */
void kmh_scavenge_count(struct kmheap *heap, size_t bytes, unsigned int narenas)
{
	struct kmh_scavenge *sc = &heap->scavenge;

	spin_lock(&sc->recent_lock);
	sc->recent_bytes = kmh_scavenge_recent(sc) + bytes;
	sc->recent_at = jiffies;
	spin_unlock(&sc->recent_lock);
	atomic_long_add(bytes, &heap->scavenge.bytes);
	atomic_long_add(narenas, &heap->scavenge.arenas);
}

/*
 * One step of the scavenger, @ms after the last one. Context: process context; sleeps. One at a
 * time: the worker, or a test that has stopped it. Return: true when another step may find
 * something although nothing is freed meanwhile.
 */
bool kmh_scavenge_step(struct kmheap *heap, unsigned int ms)
{
	struct kmh_scavenge *sc = &heap->scavenge;
	struct kmh_leavers which = { .at_most = true, .spare = true,
				     .who = KMH_WHO_SCAVENGER };
	size_t keep, least, done = 0;
	struct kmh_use use;
	unsigned int n = 0;
	bool more, parked, held;
	u64 start;

	if (!READ_ONCE(kmh_scavenge_rate))
		return false;
	kmh_lost_find(heap, true);
	kmh_sweep_announced(heap);
	held = kmh_held_release(heap);
	more = kmh_scavenge_arenas(heap);
	use = kmh_scavenge_look(heap);
	kmh_watch_peak(heap, false);
	parked = kmh_scavenge_parked(heap, &use, ms);
	kmh_scavenge_decay(sc, &use, ms);
	keep = sc->peak_bytes + sc->peak_bytes / 10;
	which.bytes = min(kmh_scavenge_allowance(sc, ms), use.total - min(use.total, keep));
	start = ktime_get_ns();
	if (which.bytes)
		done = kmh_arenas_give_back(heap, &which, &n);
	which.bytes -= min(done, which.bytes);
	if (which.bytes)
		done += kmh_pages_return(heap, &which);
	sc->given_ns = ktime_get_ns() - start;
	sc->credit -= min(done, sc->credit);
	kmh_scavenge_count(heap, done, n);
	/* Is there one that may go when the peak has come down? */
	least = kmh_arenas_least_spare(heap);
	if (least && least + use.now + use.now / 10 <= use.total - done)
		more = true;
	return more || parked || held;
}

/* ---- the times of steps */

static void kmh_scavenge_work(struct work_struct *work)
{
	struct kmh_scavenge *sc = container_of(to_delayed_work(work), struct kmh_scavenge,
					       kick.work);
	struct kmheap *heap = container_of(sc, struct kmheap, scavenge);
	unsigned long since = jiffies - sc->last, rest;
	u64 start = ktime_get_ns();
	bool again;

	if (READ_ONCE(sc->kick.stopped))
		return;
	sc->last = jiffies;
	/*
	 * From here on a free asks for another step. The exchange comes before the search, so
	 * that nothing freed before it is missed. It may have been freed where the last step
	 * was, so go round once more.
	 */
	if (atomic_xchg(&sc->kick.asked, 0))
		sc->behind = sc->arena || sc->page;
	sc->given_ns = 0;
	again = kmh_scavenge_step(heap, min(jiffies_to_msecs(since), 10U * MSEC_PER_SEC));
	rest = clamp_t(unsigned long,
		       nsecs_to_jiffies(KMH_SCAVENGE_REST *
					(ktime_get_ns() - start - sc->given_ns)),
		       KMH_SCAVENGE_PERIOD, KMH_SCAVENGE_REST_MAX);
	WRITE_ONCE(sc->not_before, jiffies + rest);
	if (again)
		queue_delayed_work(kmh_wq, &sc->kick.work, rest);
}

/* To the first step that is asked for. */
static long kmh_scavenge_delay(const struct kmh_kick *k)
{
	const struct kmh_scavenge *sc = container_of(k, struct kmh_scavenge, kick);
	unsigned long not_before = READ_ONCE(sc->not_before), now = jiffies;
	unsigned long delay = KMH_SCAVENGE_PERIOD;

	if (!READ_ONCE(kmh_scavenge_rate))
		return -1;
	if (time_after(not_before, now + delay))
		delay = not_before - now;
	return delay;
}

void kmh_scavenge_init(struct kmheap *heap)
{
	struct kmh_scavenge *sc = &heap->scavenge;

	spin_lock_init(&sc->recent_lock);
	sc->recent_at = jiffies;
	sc->last = jiffies;
	sc->not_before = jiffies;
	kmh_kick_init(&sc->kick, kmh_scavenge_work, kmh_scavenge_delay);
}
