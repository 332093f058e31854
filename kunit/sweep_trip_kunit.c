// SPDX-License-Identifier: GPL-2.0
/* KUnit: trips: a wait for trips waits for one trip of each CPU, however many follow. */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/ktime.h>

#include "mcentral_kunit.h"
#include "sweep_kunit.h"

static unsigned int trips_here(struct kmheap *heap)
{
	return READ_ONCE(this_cpu_ptr(heap->mcache)->trips);
}

static void trips_nest(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int rest, seen, inner, after;

	preempt_disable();
	rest = trips_here(heap);
	kmh_trip_begin(&heap->mcache->trips);
	seen = trips_here(heap);
	kmh_trip_begin(&heap->mcache->trips);
	inner = trips_here(heap);
	kmh_trip_end(&heap->mcache->trips);
	KUNIT_EXPECT_EQ(test, trips_here(heap), seen);
	kmh_trip_end(&heap->mcache->trips);
	after = trips_here(heap);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, rest & KMH_TRIP_DEPTH, 0U);
	KUNIT_EXPECT_EQ(test, seen & KMH_TRIP_DEPTH, 1U);
	KUNIT_EXPECT_EQ(test, inner & KMH_TRIP_DEPTH, 2U);
	KUNIT_EXPECT_EQ(test, after & KMH_TRIP_DEPTH, 0U);
	KUNIT_EXPECT_NE(test, after, rest);
	KUNIT_EXPECT_TRUE(test, kmh_trip_is_over(rest, rest));
	KUNIT_EXPECT_TRUE(test, kmh_trip_is_over(rest, seen));
	KUNIT_EXPECT_FALSE(test, kmh_trip_is_over(seen, seen));
	KUNIT_EXPECT_FALSE_MSG(test, kmh_trip_is_over(seen, inner), "one in it has begun");
	KUNIT_EXPECT_FALSE_MSG(test, kmh_trip_is_over(inner, seen), "one in it has ended");
	KUNIT_EXPECT_TRUE(test, kmh_trip_is_over(seen, after));
	KUNIT_EXPECT_TRUE_MSG(test, kmh_trip_is_over(seen, after + 1), "the next one is under way");
	KUNIT_EXPECT_TRUE_MSG(test, kmh_trip_is_over(inner, after + 2), "and one in that");
}

/* A CPU that is on a trip at every look, except for an instant between two trips. */
struct traveller {
	struct kmheap *heap;
	struct task_struct *task;
	struct completion ended;
	struct kmh_kunit_wait wait;
	bool stop, gave_up;
	unsigned int n;
};

static int travel(void *arg)
{
	struct traveller *t = arg;

	while (!READ_ONCE(t->stop)) {
		if (!kmh_kunit_spin_more(&t->wait)) {
			t->gave_up = true;
			break;
		}
		preempt_disable();
		kmh_trip_begin(&t->heap->mcache->trips);
		mdelay(1);
		kmh_trip_end(&t->heap->mcache->trips);
		preempt_enable();
		WRITE_ONCE(t->n, t->n + 1);
	}
	complete(&t->ended);
	return 0;
}

/* A trip that has begun is waited for until it ends. */
static void trip_is_waited_for(struct kunit *test)
{
	struct traveller t = { .heap = kmh_kunit_heap(test), .wait = kmh_kunit_wait_begin() };
	unsigned int cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id()), seen;
	struct kmh_mcache *mc = per_cpu_ptr(t.heap->mcache, cpu);

	init_completion(&t.ended);
	t.task = kthread_create(travel, &t, "kmheap_kunit");
	KUNIT_ASSERT_FALSE(test, IS_ERR(t.task));
	kthread_bind(t.task, cpu);
	wake_up_process(t.task);
	while (!((seen = READ_ONCE(mc->trips)) & KMH_TRIP_DEPTH))
		cpu_relax();
	kmh_sweep_wait_for_trips(t.heap);
	KUNIT_EXPECT_NE(test, READ_ONCE(mc->trips), seen);
	WRITE_ONCE(t.stop, true);
	wait_for_completion(&t.ended);
	KUNIT_EXPECT_FALSE_MSG(test, t.gave_up, "the wait went on for a minute of trips");
}

/* ---- a wait for a CPU is without the mutex */

struct waiter {
	struct kmheap *heap;
	struct task_struct *task;
	struct completion ended;
	int (*wait)(struct kmheap *heap);
	bool let_go;
};

static int wait_by_barrier(struct kmheap *heap)
{
	kmheap_rcu_barrier(heap);
	return 0;
}

static int waiter(void *arg)
{
	struct waiter *w = arg;

	w->wait(w->heap);
	complete(&w->ended);
	return 0;
}

/* The trip that is waited for ends, and the next one has begun before the next look. */
static void next_trip(void *arg)
{
	unsigned int *trips = arg;

	WRITE_ONCE(*trips, *trips + KMH_TRIP_DEPTH + 1);
}

static int wait_for_trips(struct kmheap *heap)
{
	kmh_sweep_wait_for_trips(heap);
	return 0;
}

/* A CPU that is on a trip at every look. The case plays that CPU: nothing else uses the heap. */
static void wait_is_one_trip_long(struct kunit *test)
{
	struct waiter w = { .heap = kmh_kunit_heap(test), .wait = wait_for_trips };
	unsigned int cpu = cpumask_any_but(cpu_possible_mask, raw_smp_processor_id());
	unsigned int *trips = &per_cpu_ptr(w.heap->mcache, cpu < nr_cpu_ids ? cpu : 0)->trips;
	bool ended;

	kmh_kunit_no_worker(w.heap);
	WRITE_ONCE(*trips, *trips + 1);
	kmh_kunit_at_any(test, "wait for a trip", next_trip, trips);
	init_completion(&w.ended);
	w.task = kthread_run(waiter, &w, "kmheap_kunit");
	KUNIT_ASSERT_FALSE(test, IS_ERR(w.task));
	ended = kmh_kunit_wait_for(test, completion_done(&w.ended));
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("wait for a trip"));
	KUNIT_EXPECT_EQ(test, *trips & KMH_TRIP_DEPTH, 1U);
	WRITE_ONCE(*trips, *trips - 1);
	if (!ended)
		wait_for_completion(&w.ended);
}

/*
 * Called where the waiter says that it has let go of the mutex: then the mutex can be taken, at
 * once or when the heap's worker is done with it.
 */
static void take_mutex(void *arg)
{
	ktime_t end = ktime_add_ms(ktime_get(), 60 * MSEC_PER_SEC);
	struct waiter *w = arg;

	while (!mutex_trylock(&w->heap->sweep.mutex)) {
		if (ktime_after(ktime_get(), end))
			return;
		usleep_range(500, 1000);
	}
	mutex_unlock(&w->heap->sweep.mutex);
	WRITE_ONCE(w->let_go, true);
}

/* @cpu keeps the sweep from coming to its end, as a CPU that comes up or goes down does. */
static void expect_mutex_is_let_go(struct kunit *test, struct waiter *w, unsigned int cpu)
{
	per_cpu_ptr(w->heap->mcache, cpu)->busy = 1;
	kmh_kunit_at_any(test, "the sweep's mutex is let go", take_mutex, w);
	init_completion(&w->ended);
	w->task = kthread_run(waiter, w, "kmheap_kunit");
	KUNIT_ASSERT_FALSE(test, IS_ERR(w->task));
	kmh_kunit_wait_for(test, kmh_kunit_passed("the sweep's mutex is let go"));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(w->let_go));
	KUNIT_EXPECT_FALSE_MSG(test, completion_done(&w->ended), "there was nothing to wait for");
	WRITE_ONCE(per_cpu_ptr(w->heap->mcache, cpu)->busy, 0);
	wait_for_completion(&w->ended);
}

static void barrier_holds_no_mutex(struct kunit *test)
{
	struct waiter w = { .heap = kmh_kunit_heap(test), .wait = wait_by_barrier };

	sweep_open(test, KMH_SWEEP_SET0);
	expect_mutex_is_let_go(test, &w, cpumask_any_but(cpu_online_mask, raw_smp_processor_id()));
	KUNIT_EXPECT_FALSE(test, kmh_sweep_is_open(w.heap));
}

static void collection_holds_no_mutex(struct kunit *test)
{
	const struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED };
	struct waiter w = { .wait = kmheap_collect_begin };

	w.heap = kmheap_create("collected", &attr);
	KUNIT_ASSERT_FALSE(test, IS_ERR(w.heap));
	expect_mutex_is_let_go(test, &w, cpumask_any_but(cpu_online_mask, raw_smp_processor_id()));
	KUNIT_EXPECT_TRUE(test, w.heap->sweep.marking);
	KUNIT_EXPECT_EQ(test, kmheap_collect_end(w.heap), 0);
	kmheap_destroy(w.heap);
}

static struct kunit_case sweep_trip_cases[] = {
	KUNIT_CASE(trips_nest),
	KUNIT_CASE(wait_is_one_trip_long),
	KUNIT_CASE(trip_is_waited_for),
	KUNIT_CASE(barrier_holds_no_mutex),
	KUNIT_CASE(collection_holds_no_mutex),
	{ }
};

static struct kunit_suite sweep_trip_suite = {
	.name = "kmheap_sweep_trip",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = sweep_trip_cases,
};

kunit_test_suite(sweep_trip_suite);
