// SPDX-License-Identifier: GPL-2.0
/* KUnit: levels drained one after the other, on request, in reclaim and by the OOM notifier. */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/sizes.h>
#include <linux/swap.h>

#include "mheap_kunit.h"

#define BYTES		1024U
#define LOAD_BYTES	(8UL << 20)
#define NOBJS		(LOAD_BYTES / BYTES)

/* Free all but every @keep-th object; 0 frees all. Returns how many are left. */
static unsigned int unload(void **p, unsigned int keep)
{
	unsigned int i, n = 0;

	for (i = 0; i < NOBJS; i++) {
		if (keep && i % keep == 0)
			n++;
		else
			kmheap_free(p[i]);
	}
	return n;
}

static size_t reclaimed(struct kmheap *heap)
{
	return atomic_long_read(&heap->shrink.reclaimed_bytes);
}

static struct kmheap_stats stats(struct kmheap *heap)
{
	struct kmheap_stats st;

	kmheap_stats(heap, &st);
	return st;
}

static unsigned long count(struct kmheap *heap)
{
	return kmh_kunit_shrink_count(heap, mheap_of(heap)->nid);
}

static unsigned long scan(struct kmheap *heap, unsigned long npages)
{
	struct shrink_control sc = {
		.gfp_mask = GFP_KERNEL,
		.nid = mheap_of(heap)->nid,
		.nr_to_scan = npages,
		.nr_scanned = npages,
	};

	return heap->shrink.shrinker->scan_objects(heap->shrink.shrinker, &sc);
}

static bool none_leaving(struct kmheap *heap)
{
	return !kmh_arenas_leaving_bytes(heap);
}

/* Wait until arenas that leave have left, and until the worker that gives them back is done. */
static void wait_for_the_leaving(struct kunit *test, struct kmheap *heap)
{
	kmh_kunit_wait_for(test, none_leaving(heap));
	flush_delayed_work(&heap->leave);
}

static void nobody_gives_back(struct work_struct *work)
{
}

/*
 * From here on arenas that leave the heap stay until the case, or the heap's end, gives them
 * back.
 */
static void give_back_by_hand(struct kmheap *heap)
{
	cancel_delayed_work_sync(&heap->leave);
	heap->leave.work.func = nobody_gives_back;
}

/* ---- what is where */

static void levels_drain_downwards(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	struct kmh_mheap *mh = mheap_of(heap);
	struct kmheap_stats was, st;
	void **p = load_objects(test, heap, BYTES, NOBJS);

	st = stats(heap);
	KUNIT_EXPECT_EQ(test, st.central_bytes, 0ULL);
	unload(p, 0);
	kmh_sweep_announced(heap);	/* the last empty span of a class stays on a list */
	was = stats(heap);
	KUNIT_EXPECT_GT(test, was.cpu_cache_bytes, 0ULL);

	kmh_mcache_drain_all(heap);
	st = stats(heap);
	KUNIT_EXPECT_EQ(test, st.cpu_cache_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, st.cached_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, st.central_bytes + st.page_heap_bytes, st.free_bytes);

	kmh_mheap_drain_lists(mh);
	st = stats(heap);
	KUNIT_EXPECT_EQ(test, st.central_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, st.spans, 0ULL);
	KUNIT_EXPECT_EQ(test, st.page_heap_bytes, st.free_bytes);
	KUNIT_EXPECT_EQ(test, st.releasable_bytes, (u64)arena_bytes(heap));

	KUNIT_EXPECT_EQ(test, (u64)kmh_kunit_shrink(heap), st.releasable_bytes);
	st = stats(heap);
	KUNIT_EXPECT_EQ(test, st.page_heap_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, st.releasable_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), 0UL);
}

static void empty_spans_on_lists_are_central(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	struct kmheap_stats st;
	void **p = load_objects(test, heap, BYTES, NOBJS);
	unsigned int i;

	for (i = 0; i < NOBJS; i += 4)
		kmheap_free(p[i]);
	kmh_mcache_drain_all(heap);
	kmh_mheap_drain_lists(mheap_of(heap));
	st = stats(heap);
	KUNIT_EXPECT_EQ(test, st.central_bytes, 0ULL);
	for (i = 0; i < NOBJS; i++)
		if (i % 4)
			kmheap_free(p[i]);
	/* The spans are listed as partial, and nothing has looked at them since. */
	st = stats(heap);
	KUNIT_EXPECT_GE(test, st.central_bytes, (u64)LOAD_BYTES / 10 * 9);
	KUNIT_EXPECT_LE(test, st.central_bytes, (u64)LOAD_BYTES + SZ_1M);
}

static void put_large(void *arg)
{
	kmheap_free(arg);
}

/* Parked objects count as the CPU's, then as the page heap's. */
static void parked_objects_are_counted(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	struct kmheap_stats was, st;
	void *p = kmheap_alloc(heap, SZ_256K, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	was = stats(heap);
	kmh_kunit_elsewhere(test, put_large, p);
	st = stats(heap);
	KUNIT_EXPECT_EQ(test, st.cpu_cache_bytes, was.cpu_cache_bytes + SZ_256K);
	kmh_largecache_drain_cpus(heap);
	st = stats(heap);
	KUNIT_EXPECT_EQ(test, st.cpu_cache_bytes, was.cpu_cache_bytes);
	KUNIT_EXPECT_EQ(test, st.page_heap_bytes, was.page_heap_bytes + SZ_256K);
}

/* ---- the shrinker */

static unsigned int nresting(struct kmheap *heap)
{
	return kmh_magazine_len(per_cpu_ptr(heap->mcache, raw_smp_processor_id()), SPANCLASS);
}

static void count_is_what_scan_takes(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	void **p = load_objects(test, heap, BYTES, NOBJS);
	size_t before = arena_bytes(heap);
	unsigned long npages, n, done = 0;

	/* All objects are live: what is free of the last arena is no arena. */
	kmh_kunit_shrink(heap);
	KUNIT_EXPECT_EQ(test, count(heap), SHRINK_EMPTY);
	KUNIT_EXPECT_EQ(test, scan(heap, ULONG_MAX >> PAGE_SHIFT), SHRINK_STOP);

	/* Nothing is drained: all is in magazines, caches and lists, but counts as what can go. */
	unload(p, 0);
	KUNIT_EXPECT_GT(test, nresting(heap), 0U);
	npages = count(heap);
	KUNIT_ASSERT_NE(test, npages, SHRINK_EMPTY);
	KUNIT_EXPECT_GT(test, npages << PAGE_SHIFT, LOAD_BYTES / 2);
	KUNIT_EXPECT_LT(test, npages << PAGE_SHIFT, before);
	do {
		wait_for_the_leaving(test, heap);	/* a scan only tries the mutex */
		heap->shrink.not_before = jiffies;
		n = scan(heap, 1);	/* an arena at a time */
		if (n != SHRINK_STOP)
			done += n;
	} while (n != SHRINK_STOP);
	KUNIT_EXPECT_EQ(test, done, npages);
	KUNIT_EXPECT_EQ(test, nresting(heap), 0U);
	KUNIT_EXPECT_EQ(test, count(heap), SHRINK_EMPTY);
	KUNIT_EXPECT_EQ(test, reclaimed(heap), done << PAGE_SHIFT);
	kmh_kunit_wait_for(test, none_leaving(heap));
	KUNIT_EXPECT_LE(test, arena_bytes(heap), before - (done << PAGE_SHIFT));
	kmh_kunit_validate(test);
	/* The pages that callers that cannot sleep count on are still there. */
	KUNIT_EXPECT_GE(test, mheap_of(heap)->pa.nfree, mheap_of(heap)->low_pages);
	p[0] = kmheap_alloc(heap, BYTES, GFP_ATOMIC);
	KUNIT_EXPECT_NOT_NULL(test, p[0]);
	kmheap_free(p[0]);
}

/* An arena with a live object is neither counted nor taken, and the object stays as it was. */
static void live_objects_stay(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	void **p = load_objects(test, heap, BYTES, NOBJS);
	unsigned int i, keep = NOBJS / 64;

	for (i = 0; i < NOBJS; i += keep)
		kmh_kunit_fill(p[i]);
	unload(p, keep);
	heap->shrink.not_before = jiffies;
	scan(heap, ULONG_MAX >> PAGE_SHIFT);
	kmh_kunit_wait_for(test, none_leaving(heap));
	kmh_kunit_validate(test);
	for (i = 0; i < NOBJS; i += keep) {
		KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p[i]));
		kmheap_free(p[i]);
	}
}

/* Large objects, runs of pages and deferred objects do not count as what can go. */
static void other_uses_do_not_count(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	void *large = kmheap_alloc(heap, SZ_512K, GFP_KERNEL), *run, *deferred;
	unsigned long n;

	kmh_shrink_oom();
	KUNIT_EXPECT_EQ(test, count(heap), SHRINK_EMPTY);
	run = kmheap_alloc_pages(heap, SZ_4M / KMHEAP_PAGE_SIZE / 4, GFP_KERNEL);
	deferred = kmheap_alloc(heap, SZ_1M - SZ_64K, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, large && run && deferred);
	kmh_shrink_oom();
	n = count(heap);
	KUNIT_EXPECT_EQ(test, n, SHRINK_EMPTY);
	preempt_disable();	/* no grace period ends */
	kmheap_free_rcu(deferred);
	n = count(heap);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, n, SHRINK_EMPTY);
	kmheap_rcu_barrier(heap);
	kmheap_free(large);
	kmheap_free_pages(run, SZ_4M / KMHEAP_PAGE_SIZE / 4);
	KUNIT_EXPECT_NE(test, count(heap), SHRINK_EMPTY);
}

static size_t reap(struct kmheap *heap)
{
	size_t bytes = 0;

	if (mutex_trylock(&heap->arenas_mutex)) {
		bytes = kmh_arenas_give_back_left_locked(heap);
		mutex_unlock(&heap->arenas_mutex);
	}
	return bytes;
}

/* A lookup may still read the spans of an arena that leaves. */
static void arenas_wait_for_readers(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	unsigned long n, i;
	size_t early = 0, left;

	unload(load_objects(test, heap, BYTES, NOBJS), 0);
	kmh_mcache_drain_all(heap);
	kmh_mheap_drain_lists(mheap_of(heap));
	rcu_read_lock();
	preempt_disable();
	n = scan(heap, 1);
	for (i = 0; i < 20; i++) {
		early += reap(heap);
		mdelay(1);
	}
	preempt_enable();
	rcu_read_unlock();
	KUNIT_EXPECT_EQ(test, early, 0UL);
	KUNIT_EXPECT_NE(test, n, SHRINK_STOP);
	left = arena_bytes(heap);
	kmh_kunit_wait_for(test, none_leaving(heap));
	KUNIT_EXPECT_LE(test, arena_bytes(heap), left);
	kmh_kunit_validate(test);
}

static void scan_takes_what_was_asked_for(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	void **p = load_objects(test, heap, BYTES, NOBJS);
	unsigned long n;

	unload(p, 0);
	n = scan(heap, 1);
	KUNIT_ASSERT_NE(test, n, SHRINK_STOP);
	KUNIT_EXPECT_LE(test, n << PAGE_SHIFT, kmh_arena_bytes);
	KUNIT_EXPECT_NE(test, count(heap), SHRINK_EMPTY);
}

/* The mutex of the arenas is taken: a scan does not wait. */
static void scan_only_tries_the_lock(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	size_t bytes;

	unload(load_objects(test, heap, BYTES, NOBJS), 0);
	bytes = arena_bytes(heap);
	mutex_lock(&heap->arenas_mutex);
	KUNIT_EXPECT_EQ(test, count(heap), 0UL);
	KUNIT_EXPECT_EQ(test, scan(heap, 1000), SHRINK_STOP);
	kmh_shrink_oom();
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), bytes);
	mutex_unlock(&heap->arenas_mutex);
	mutex_lock(&kmh_heaps_mutex);
	KUNIT_EXPECT_EQ(test, kmh_shrink_oom(), 0UL);
	mutex_unlock(&kmh_heaps_mutex);
	KUNIT_EXPECT_EQ(test, reclaimed(heap), 0UL);
	KUNIT_EXPECT_NE(test, scan(heap, 1000), SHRINK_STOP);
}

/*
 * Scan in reclaim's context. With lockdep each lock that a scan takes and that is held,
 * anywhere, while the kernel is asked for memory is reported.
 */
static void scan_in_reclaim(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	unsigned long n, total = 0;
	unsigned int flags;

	give_back_by_hand(heap);
	unload(load_objects(test, heap, BYTES, NOBJS), 0);
	fs_reclaim_acquire(GFP_KERNEL);
	flags = memalloc_noreclaim_save();
	n = count(heap);
	while (total < n && scan(heap, 256) != SHRINK_STOP) {
		total += 256;
		heap->shrink.not_before = jiffies;
	}
	kmh_shrink_oom();
	memalloc_noreclaim_restore(flags);
	fs_reclaim_release(GFP_KERNEL);
	KUNIT_EXPECT_GT(test, total, 0UL);
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), 0UL);
}

/* A scan gives back what the scan before it has taken out, and tells reclaim so. */
static void scan_reports_progress(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	struct reclaim_state rs = { };
	unsigned long n;

	give_back_by_hand(heap);
	unload(load_objects(test, heap, BYTES, NOBJS), 0);
	kmh_heap_drain(heap);	/* so that each scan finds an arena, and returns no single page */
	n = scan(heap, 1);
	KUNIT_ASSERT_NE(test, n, SHRINK_STOP);
	synchronize_rcu();
	synchronize_rcu();	/* a cookie may ask for all of the next one */
	KUNIT_EXPECT_EQ(test, kmh_arenas_leaving_bytes(heap), n << PAGE_SHIFT);
	current->reclaim_state = &rs;
	scan(heap, 1);
	current->reclaim_state = NULL;
	KUNIT_EXPECT_EQ(test, (unsigned long)kmh_reclaimed(&rs), n);
}

static void oom_takes_everything(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	size_t bytes;

	give_back_by_hand(heap);
	unload(load_objects(test, heap, BYTES, NOBJS), 0);
	bytes = arena_bytes(heap);
	KUNIT_EXPECT_GE(test, kmh_shrink_oom() << PAGE_SHIFT, bytes);
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), 0UL);
	/* The heap can be used again. */
	unload(load_objects(test, heap, BYTES, NOBJS), 0);
	/* Arenas that are leaving go, too. */
	KUNIT_EXPECT_NE(test, scan(heap, 1), SHRINK_STOP);
	KUNIT_EXPECT_FALSE(test, none_leaving(heap));
	kmh_shrink_oom();
	KUNIT_EXPECT_TRUE(test, none_leaving(heap));
	KUNIT_EXPECT_EQ(test, arena_bytes(heap), 0UL);
}

struct oom_call {
	unsigned long pages;
	struct completion over;
};

static void call_oom(void *arg)
{
	struct oom_call *oom = arg;

	oom->pages = kmh_shrink_oom();
	complete(&oom->over);
}

/* Also what a heap has that was destroyed, though the worker has not come yet that ends it. */
static void oom_takes_what_ended_heaps_have(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-ended", NULL);
	struct oom_call oom = { .over = COMPLETION_INITIALIZER_ONSTACK(oom.over) };

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_EXPECT_NOT_NULL(test, kmheap_alloc(heap, SZ_1M, GFP_KERNEL));
	kmh_shrink_oom();
	kmh_kunit_at_any(test, "ended heap: a grace period later", call_oom, &oom);
	(kmheap_destroy)(heap);
	kmh_kunit_wait_for(test, completion_done(&oom.over));
	KUNIT_EXPECT_GE(test, oom.pages << PAGE_SHIFT, (unsigned long)SZ_1M);
}

/* A scan, a look at idle CPUs and now and then an OOM call. Return: has a scan found an arena? */
static bool reclaim_in_passing(struct kmheap *heap, unsigned int n)
{
	heap->shrink.not_before = jiffies;
	scan(heap, 512);
	kmh_idle_step(heap);
	if (n % 64 == 63)
		kmh_shrink_oom();
	return reclaimed(heap);
}

static void reclaim_under_fire(struct kunit *test)
{
	kmh_kunit_under_fire(test, kmh_kunit_heap(test), reclaim_in_passing);
}

/* A heap is destroyed while arenas of it are on their way back. */
static void destroy_while_arenas_leave(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct kmheap *heap = heap_new(test, "leaves", 0);

		unload(load_objects(test, heap, BYTES, NOBJS), 0);
		KUNIT_EXPECT_NE(test, scan(heap, 1000), SHRINK_STOP);
		if (i % 2)
			usleep_range(500, 1000);
		kmheap_destroy(heap);
	}
}

/* An object's own arena, once it is free: the worker, which gives it back, waits meanwhile. */
struct own_arena {
	struct kmheap *heap;
	unsigned long counted, scanned, then;
	bool done;
};

static void reclaim_now(void *arg)
{
	struct own_arena *o = arg;

	o->counted = count(o->heap);
	o->scanned = scan(o->heap, 1);
	o->then = count(o->heap);
	WRITE_ONCE(o->done, true);
}

static void dedicated_arenas_are_reclaimed(struct kunit *test)
{
	struct own_arena o = { .heap = heap_alone(test) };
	void *p = kmheap_alloc(o.heap, SZ_8M, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_shrink(o.heap);
	KUNIT_EXPECT_EQ(test, count(o.heap), SHRINK_EMPTY);
	kmh_kunit_at_any(test, "grow: the reserve is refilled", reclaim_now, &o);
	kmheap_free(p);
	kmh_kunit_wait_for(test, READ_ONCE(o.done));
	KUNIT_EXPECT_NE(test, o.counted, SHRINK_EMPTY);
	KUNIT_EXPECT_GE(test, o.counted, (unsigned long)SZ_8M >> PAGE_SHIFT);
	KUNIT_EXPECT_EQ(test, o.scanned, o.counted);
	KUNIT_EXPECT_EQ(test, o.then, SHRINK_EMPTY);
	wait_for_the_leaving(test, o.heap);
}

static struct kunit_case shrink_cases[] = {
	KUNIT_CASE(levels_drain_downwards),
	KUNIT_CASE(empty_spans_on_lists_are_central),
	KUNIT_CASE(parked_objects_are_counted),
	KUNIT_CASE(count_is_what_scan_takes),
	KUNIT_CASE(live_objects_stay),
	KUNIT_CASE(other_uses_do_not_count),
	KUNIT_CASE(arenas_wait_for_readers),
	KUNIT_CASE(scan_takes_what_was_asked_for),
	KUNIT_CASE(scan_only_tries_the_lock),
	KUNIT_CASE(scan_in_reclaim),
	KUNIT_CASE(scan_reports_progress),
	KUNIT_CASE(dedicated_arenas_are_reclaimed),
	KUNIT_CASE(oom_takes_everything),
	KUNIT_CASE(oom_takes_what_ended_heaps_have),
	KUNIT_CASE(destroy_while_arenas_leave),
	KUNIT_CASE_SLOW(reclaim_under_fire),
	{}
};

static struct kunit_suite shrink_suite = {
	.name = "kmheap_shrink",
	.init = mheap_init,
	.exit = kmh_kunit_exit,
	.test_cases = shrink_cases,
};

kunit_test_suite(shrink_suite);
