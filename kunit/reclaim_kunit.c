// SPDX-License-Identifier: GPL-2.0
/* KUnit: the scavenger: what is given back, what is kept, and when nothing happens. */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/sizes.h>

#include "mheap_kunit.h"

#define BYTES		1024U
#define LOAD_BYTES	(12UL << 20)
#define NOBJS		(LOAD_BYTES / BYTES)

static unsigned long rate_before;

/* Cases call the steps themselves, at a rate that bounds nothing. */
static int reclaim_init(struct kunit *test)
{
	int err = mheap_init(test);

	rate_before = kmh_scavenge_rate;
	WRITE_ONCE(kmh_scavenge_rate, SZ_1G);
	return err;
}

static void reclaim_exit(struct kunit *test)
{
	WRITE_ONCE(kmh_scavenge_rate, rate_before);
	kmh_kunit_exit(test);
}

static void unload(struct kunit *test, void **p)
{
	unsigned int i;

	for (i = 0; i < NOBJS; i++)
		kmheap_free(p[i]);
	kunit_kfree(test, p);
}

static size_t scavenged(struct kmheap *heap)
{
	return atomic_long_read(&heap->scavenge.bytes);
}

/* Steps a second apart until one says that there is nothing to do. Returns their number. */
static unsigned int steps_to_the_end(struct kunit *test, struct kmheap *heap)
{
	unsigned int n = 0;

	while (kmh_scavenge_step(heap, 1000))
		if (++n == 500) {
			KUNIT_FAIL(test, "no end of steps");
			break;
		}
	return n;
}

static void step_gives_back_what_is_not_used(struct kunit *test)
{
	struct kmheap *heap = heap_alone_of_areas(test);
	size_t before = arena_bytes(heap), after;
	unsigned int n;
	void **p = load_objects(test, heap, BYTES, NOBJS);

	kmh_kunit_shut_depots(test);	/* they are emptied by the idle worker */
	KUNIT_EXPECT_GT(test, arena_bytes(heap), LOAD_BYTES);
	kmh_scavenge_step(heap, 1000);
	KUNIT_EXPECT_EQ(test, scavenged(heap), 0UL);
	unload(test, p);
	n = narenas(heap);
	after = arena_bytes(heap);
	steps_to_the_end(test, heap);
	KUNIT_EXPECT_LE(test, arena_bytes(heap), before + SZ_2M + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, scavenged(heap), after - arena_bytes(heap));
	KUNIT_EXPECT_EQ(test, (unsigned int)atomic_long_read(&heap->scavenge.arenas),
			n - narenas(heap));
	kmh_kunit_validate(test);
	/* The load is allocated once more. */
	unload(test, load_objects(test, heap, BYTES, NOBJS));
}

static unsigned int npartial(struct kmh_mheap *mh, unsigned int spanclass)
{
	return kmh_mcentral_of(container_of(mh, struct kmh_node, mheap), spanclass)->npartial;
}

/*
 * A span that becomes empty on a partial list is not announced by anything. What rests in a
 * magazine keeps its span, so here nothing does.
 */
static void step_finds_empty_spans_by_address(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	unsigned int i, spanclass = kmh_spanclass(kmh_size_to_class(BYTES), false);
	void **p = load_objects(test, heap, BYTES, NOBJS);
	struct kmheap_stats st;

	for (i = 0; i < NOBJS; i += 4)
		kmheap_free(p[i]);
	kmh_mcache_drain_all(heap);
	kmh_mheap_drain_lists(mheap(test));
	KUNIT_EXPECT_GT(test, npartial(mheap(test), spanclass), 100U);
	for (i = 0; i < NOBJS; i++)
		if (i % 4)
			kmheap_free(p[i]);
	kunit_kfree(test, p);
	kmh_magazines_drain_all(heap);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_GT(test, st.spans, 100ULL);
	steps_to_the_end(test, heap);
	kmheap_stats(heap, &st);
	KUNIT_EXPECT_LE(test, st.spans, 1ULL);
}

static void step_keeps_the_recent_peak(struct kunit *test)
{
	struct kmheap *heap = heap_alone_of_areas(test);
	void **p = load_objects(test, heap, BYTES, NOBJS);
	unsigned int i;
	size_t keep;

	unload(test, p);
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_TRUE(test, kmh_scavenge_step(heap, 10));
	KUNIT_EXPECT_GE(test, arena_bytes(heap), LOAD_BYTES / 10 * 11);
	for (i = 0; i < 100; i++) {
		kmh_scavenge_step(heap, 250);
		keep = heap->scavenge.peak_bytes / 10 * 11;
		/* Never less than what is kept; more only in arenas that were not empty. */
		KUNIT_EXPECT_GE(test, arena_bytes(heap), keep);
	}
	KUNIT_EXPECT_GT(test, scavenged(heap), 0UL);
}

/* A load that comes and goes makes the heap take its arenas once. */
static void swinging_load_does_not_thrash(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	unsigned long ngrown = 0;
	unsigned int round, i;

	for (round = 0; round < 20; round++) {
		void **p = load_objects(test, heap, BYTES, NOBJS);

		kmh_scavenge_step(heap, 250);
		unload(test, p);
		for (i = 0; i < 2; i++)
			kmh_scavenge_step(heap, 250);
		if (!round)
			ngrown = mheap(test)->ngrown;
	}
	KUNIT_EXPECT_LE(test, mheap(test)->ngrown, ngrown + 1);
	KUNIT_EXPECT_LE(test, scavenged(heap), (size_t)SZ_2M);
}

/* A peak that lies between two steps counts, too. */
static void peak_between_steps_is_seen(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);

	kmh_scavenge_step(heap, 250);
	unload(test, load_objects(test, heap, BYTES, NOBJS));
	kmh_scavenge_step(heap, 250);
	KUNIT_EXPECT_GE(test, heap->scavenge.peak_bytes, LOAD_BYTES);
	KUNIT_EXPECT_GE(test, arena_bytes(heap), LOAD_BYTES / 10 * 11);
}

/* When the load is over its peak is forgotten, but not at once. */
static void peak_is_forgotten_when_the_load_is_over(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	size_t before = arena_bytes(heap);
	unsigned int i;

	unload(test, load_objects(test, heap, BYTES, NOBJS));
	for (i = 0; i < 4; i++)
		kmh_scavenge_step(heap, 250);
	KUNIT_EXPECT_GE(test, arena_bytes(heap), LOAD_BYTES / 10 * 9);
	for (i = 0; i < 8; i++)
		kmh_scavenge_step(heap, 250);
	KUNIT_EXPECT_LE(test, arena_bytes(heap), before + SZ_2M + PAGE_SIZE);
}

static void rate_bounds_what_goes(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	unsigned int i;

	unload(test, load_objects(test, heap, BYTES, NOBJS));
	WRITE_ONCE(kmh_scavenge_rate, 0);
	for (i = 0; i < 100; i++)
		KUNIT_EXPECT_FALSE(test, kmh_scavenge_step(heap, 10000));
	KUNIT_EXPECT_EQ(test, scavenged(heap), 0UL);

	WRITE_ONCE(kmh_scavenge_rate, SZ_256K);
	for (i = 1; i <= 40; i++) {
		kmh_scavenge_step(heap, 1000);
		KUNIT_EXPECT_LE(test, scavenged(heap), (size_t)i * SZ_256K);
	}
	KUNIT_EXPECT_GE(test, scavenged(heap), (size_t)SZ_2M);
}

/* The pace @seconds after the last arena went; pace and jiffies are read within one tick. */
static size_t pace_after(struct kmheap *heap, unsigned int seconds)
{
	unsigned long now;
	size_t pace;

	do {
		now = jiffies;
		heap->scavenge.recent_at = now - seconds * HZ;
		pace = kmh_scavenge_pace(heap);
	} while (time_after(jiffies, now));
	return pace;
}

/* The pace is the bytes a second while arenas go, and 0 afterwards. */
static void pace_is_what_went_lately(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	struct kmh_scavenge *sc = &heap->scavenge;
	unsigned int i, n = 0;

	KUNIT_EXPECT_EQ(test, kmh_scavenge_pace(heap), 0UL);
	for (i = 0; i < 60; i++) {
		size_t recent = sc->recent_bytes;
		unsigned long now;

		do {	/* a second after the last arena went */
			now = jiffies;
			sc->recent_bytes = recent;
			sc->recent_at = now - HZ;
			kmh_scavenge_count(heap, SZ_1M, 1);
			n++;
		} while (time_after(jiffies, now));
	}
	KUNIT_EXPECT_GT(test, pace_after(heap, 0), (size_t)SZ_1M * 7 / 10);
	KUNIT_EXPECT_LT(test, pace_after(heap, 0), (size_t)SZ_1M * 11 / 10);
	KUNIT_EXPECT_LT(test, pace_after(heap, 4), (size_t)SZ_1M * 6 / 10);
	KUNIT_EXPECT_EQ(test, pace_after(heap, 9), 0UL);
	KUNIT_EXPECT_EQ(test, scavenged(heap), (size_t)n * SZ_1M);
}

static void parked_objects_go_when_nobody_wants_them(struct kunit *test)
{
	struct kmheap *heap = heap_alone(test);
	unsigned int i, n = 32;
	void *p[32];

	for (i = 0; i < n; i++) {
		p[i] = kmheap_alloc(heap, SZ_512K, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	for (i = 0; i < n; i++)
		kmheap_free(p[i]);
	KUNIT_EXPECT_GT(test, mheap(test)->store.npages, 0UL);
	kmh_scavenge_step(heap, 700);
	kmh_scavenge_step(heap, 700);
	KUNIT_EXPECT_GT(test, mheap(test)->store.npages, 0UL);
	steps_to_the_end(test, heap);
	KUNIT_EXPECT_EQ(test, mheap(test)->store.npages, 0UL);
	KUNIT_EXPECT_GT(test, scavenged(heap), (size_t)SZ_4M);
}

/* ---- the worker */

static bool worker_rests(struct kmheap *heap)
{
	struct kmh_kick *kick = &heap->scavenge.kick;

	return !atomic_read(&kick->asked) && !delayed_work_pending(&kick->work) &&
	       !work_busy(&kick->work.work);
}

/*
 * A heap with a worker. Idle CPUs are not drained, because a drain asks for a step. A step
 * that is asked for is due long after the case is over, unless the case brings it about.
 */
static struct kmheap *heap_with_worker(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "worker", 0);

	kmh_kick_stop(&heap->idle.kick);
	kmh_kunit_wait_for(test, worker_rests(heap));
	WRITE_ONCE(heap->scavenge.not_before, jiffies + 1000 * HZ);
	return heap;
}

/* Make the step that is due happen now; no peak keeps anything. */
static void step_now(struct kmheap *heap)
{
	WRITE_ONCE(heap->scavenge.peak_bytes, 0);
	mod_delayed_work(kmh_wq, &heap->scavenge.kick.work, 0);
	flush_delayed_work(&heap->scavenge.kick.work);
}

static bool has_scavenged(struct kmheap *heap)
{
	step_now(heap);
	return scavenged(heap) > SZ_4M;
}

static bool comes_to_rest(struct kmheap *heap)
{
	step_now(heap);
	return worker_rests(heap);
}

static void worker_comes_after_frees_and_rests_afterwards(struct kunit *test)
{
	struct kmheap *heap = heap_with_worker(test);
	void **p;

	p = load_objects(test, heap, BYTES, NOBJS);
	KUNIT_EXPECT_TRUE(test, worker_rests(heap));
	unload(test, p);
	KUNIT_EXPECT_FALSE(test, worker_rests(heap));
	kmh_kunit_wait_for(test, has_scavenged(heap));
	kmh_kunit_wait_for(test, comes_to_rest(heap));
	kmh_kunit_validate(test);
	kmheap_destroy(heap);
}

static void worker_stays_away_at_rate_0(struct kunit *test)
{
	struct kmheap *heap = heap_with_worker(test);

	WRITE_ONCE(kmh_scavenge_rate, 0);
	unload(test, load_objects(test, heap, BYTES, NOBJS));
	KUNIT_EXPECT_TRUE(test, worker_rests(heap));
	/* The rate may be set at any time; the next free asks for a step. */
	WRITE_ONCE(kmh_scavenge_rate, SZ_1G);
	unload(test, load_objects(test, heap, BYTES, NOBJS));
	KUNIT_EXPECT_FALSE(test, worker_rests(heap));
	kmheap_destroy(heap);
}

/* Any step will do: whether an arena becomes empty under this load is a matter of luck. */
static bool step_in_passing(struct kmheap *heap, unsigned int n)
{
	kmh_scavenge_step(heap, 5000);
	return true;
}

static void steps_under_fire(struct kunit *test)
{
	kmh_kunit_under_fire(test, kmh_kunit_heap(test), step_in_passing);
}

/* Destroy heaps with a step due, with one that runs, and with none. */
static void destroy_while_a_step_is_due(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < 12; i++) {
		struct kmheap *heap = heap_new(test, "due", 0);

		unload(test, load_objects(test, heap, BYTES, NOBJS));
		if (i % 4 == 1)
			mod_delayed_work(kmh_wq, &heap->scavenge.kick.work, 0);
		if (i % 4 == 2)
			mod_delayed_work(kmh_wq, &heap->scavenge.kick.work, 1);
		if (i % 4 == 3)
			kmh_kunit_shrink(heap);
		kmheap_destroy(heap);
	}
}

static struct kunit_case reclaim_cases[] = {
	KUNIT_CASE(step_gives_back_what_is_not_used),
	KUNIT_CASE(step_finds_empty_spans_by_address),
	KUNIT_CASE(step_keeps_the_recent_peak),
	KUNIT_CASE(swinging_load_does_not_thrash),
	KUNIT_CASE(peak_between_steps_is_seen),
	KUNIT_CASE(peak_is_forgotten_when_the_load_is_over),
	KUNIT_CASE(rate_bounds_what_goes),
	KUNIT_CASE(pace_is_what_went_lately),
	KUNIT_CASE(parked_objects_go_when_nobody_wants_them),
	KUNIT_CASE(worker_comes_after_frees_and_rests_afterwards),
	KUNIT_CASE(worker_stays_away_at_rate_0),
	KUNIT_CASE(destroy_while_a_step_is_due),
	KUNIT_CASE_SLOW(steps_under_fire),
	{}
};

static struct kunit_suite reclaim_suite = {
	.name = "kmheap_reclaim",
	.init = reclaim_init,
	.exit = reclaim_exit,
	.test_cases = reclaim_cases,
};

kunit_test_suite(reclaim_suite);
