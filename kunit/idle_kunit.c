// SPDX-License-Identifier: GPL-2.0
/* KUnit: a CPU that has stopped allocating gives up what it keeps; other CPUs are left alone. */
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "mheap_kunit.h"

#define NOBJS	64U

static long ndrains(struct kmheap *heap)
{
	return atomic_long_read(&heap->idle.drains);
}

struct use {
	struct kmheap *heap;
	void *small[NOBJS];
	void *large;
};

static void alloc_some(void *arg)
{
	struct use *u = arg;
	unsigned int i;

	for (i = 0; i < NOBJS; i++)
		u->small[i] = kmheap_alloc(u->heap, 8 << i % 8, GFP_ATOMIC);
	u->large = kmheap_alloc(u->heap, SZ_64K, GFP_ATOMIC);
}

static void free_some(void *arg)
{
	struct use *u = arg;

	kmheap_free_bulk(NOBJS, u->small);
	kmheap_free(u->large);
}

static u64 cpu_cache_bytes(struct kmheap *heap)
{
	struct kmheap_stats st;

	kmheap_stats(heap, &st);
	return st.cpu_cache_bytes;
}

static bool keeps(struct kmheap *heap, unsigned int cpu)
{
	return kmh_mcache_holds_any(per_cpu_ptr(heap->mcache, cpu));
}

static unsigned int other_cpu(void)
{
	return cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
}

/*
 * The CPU keeps windows, spare spans, pages and parked objects. A CPU that goes on is left
 * alone.
 */
static void idle_cpu_is_drained(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct use there = { .heap = heap }, here = { .heap = heap };
	unsigned int cpu;

	kmh_kunit_no_worker(heap);
	migrate_disable();	/* so that here and there are one CPU each */
	cpu = other_cpu();
	kmh_kunit_elsewhere(test, alloc_some, &there);
	alloc_some(&here);
	kmh_kunit_elsewhere(test, free_some, &there);
	/* The first look only notes what each CPU has done. */
	KUNIT_EXPECT_TRUE(test, kmh_idle_step(heap));
	KUNIT_EXPECT_EQ(test, ndrains(heap), 0L);
	KUNIT_EXPECT_TRUE(test, keeps(heap, cpu));
	free_some(&here);
	alloc_some(&here);
	KUNIT_EXPECT_TRUE(test, kmh_idle_step(heap));
	KUNIT_EXPECT_EQ(test, ndrains(heap), 1L);
	KUNIT_EXPECT_FALSE(test, keeps(heap, cpu));
	KUNIT_EXPECT_TRUE(test, keeps(heap, raw_smp_processor_id()));
	/* The drained CPU keeps nothing any more and is not drained again. */
	alloc_some(&there);
	KUNIT_EXPECT_TRUE(test, kmh_idle_step(heap));
	KUNIT_EXPECT_EQ(test, ndrains(heap), 1L);
	free_some(&there);
	free_some(&here);
	/* Now this CPU is idle as well, and after its drain no CPU keeps anything. */
	kmh_idle_step(heap);
	kmh_idle_step(heap);
	KUNIT_EXPECT_EQ(test, ndrains(heap), 2L);
	KUNIT_EXPECT_FALSE(test, kmh_idle_step(heap));
	KUNIT_EXPECT_EQ(test, ndrains(heap), 2L);
	KUNIT_EXPECT_EQ(test, cpu_cache_bytes(heap), 0ULL);
	migrate_enable();
	kmh_kunit_validate(test);
}

static void put(void *arg)
{
	kmheap_free(arg);
}

/* A CPU that only frees keeps parked objects and magazines, and is drained of them. */
static void freeing_cpu_is_drained(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int spanclass = kmh_spanclass(kmh_size_to_class(256), false), cpu, i;
	static void *p[512];
	u64 bytes, n;
	void *large;

	kmh_kunit_shut_depots(test);
	migrate_disable();	/* so that elsewhere is one and the same CPU */
	cpu = other_cpu();
	large = kmheap_alloc(heap, SZ_128K, GFP_KERNEL);	/* else growing would flush */
	KUNIT_ASSERT_NOT_NULL(test, large);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmheap_alloc(heap, 256, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
	}
	/* Those that stay in the magazine are of spans that no CPU has. */
	for (i = ARRAY_SIZE(p); i-- > 0;)
		kmh_kunit_elsewhere(test, put, p[i]);
	kmh_kunit_elsewhere(test, put, large);
	migrate_enable();
	KUNIT_EXPECT_TRUE(test, keeps(heap, cpu));
	KUNIT_EXPECT_NE(test, per_cpu_ptr(heap->mcache, cpu)->large.parked.npages, 0UL);
	n = kmh_magazine_len(per_cpu_ptr(heap->mcache, cpu), spanclass);
	KUNIT_EXPECT_GT(test, n, 0ULL);
	bytes = cpu_cache_bytes(heap);
	kmh_magazines_drain_all(heap);
	KUNIT_EXPECT_EQ(test, cpu_cache_bytes(heap), bytes - n * 256);
	kmh_idle_step(heap);
	kmh_idle_step(heap);
	KUNIT_EXPECT_FALSE(test, keeps(heap, cpu));
	KUNIT_EXPECT_EQ(test, cpu_cache_bytes(heap), 0ULL);
}

/* ---- the worker */

static bool rests(struct kmheap *heap)
{
	struct kmh_kick *kick = &heap->idle.kick;

	return !atomic_read(&kick->asked) && !delayed_work_pending(&kick->work) &&
	       !work_busy(&kick->work.work);
}

/* Make the look that is due happen now. */
static void look_now(struct kmheap *heap)
{
	mod_delayed_work(kmh_wq, &heap->idle.kick.work, 0);
	flush_delayed_work(&heap->idle.kick.work);
}

static bool all_drained(struct kmheap *heap)
{
	look_now(heap);
	return !cpu_cache_bytes(heap);
}

/* Return: as the write to a parameter. */
static int set_param(struct kunit *test, const char *name, const char *text)
{
	unsigned int i;

	for (i = 0; i < THIS_MODULE->num_kp; i++) {
		const struct kernel_param *kp = &THIS_MODULE->kp[i];

		if (!strcmp(kp->name, name))
			return kp->ops->set(text, kp);
	}
	KUNIT_FAIL(test, "there is no parameter %s", name);
	return 0;
}

/* Looks happen when the case asks for one, and otherwise only long after the case. */
static void set_period(struct kunit *test, const char *ms)
{
	KUNIT_EXPECT_EQ(test, set_param(test, "idle_drain_ms", ms), 0);
}

/* Whatever is wrong with a value, the error is the same, and the parameter stays as it was. */
static void parameters_refuse_with_one_error(struct kunit *test)
{
	static const char * const bad[][2] = {
		{ "idle_drain_ms", "4294967296" }, { "idle_drain_ms", "18446744073709551616" },
		{ "idle_drain_ms", "-1" }, { "idle_drain_ms", "" },
		{ "heap_fail_nth", "9223372036854775808" },
		{ "heap_fail_nth", "18446744073709551616" },
		{ "heap_fail_gfp", "GFP_KERNEL" }, { "leak_bytes", "65" },
		{ "profile_period_bytes", "288230376151711744" },
		{ "profile_sites", "1000" }, { "profile_sites", "18446744073709551616" },
		{ "profile_records", "32" }, { "profile_records", "33554432" },
		{ "arena_size", "3" }, { "default_limit", "1" }, { "scavenge_rate", "1" },
		{ "reserve_max_kib", "1048577" }, { "small_heaps", "maybe" },
		{ "backing", "linear" }, { "total_limit", "1" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		KUNIT_EXPECT_EQ_MSG(test, set_param(test, bad[i][0], bad[i][1]), -EINVAL, "%s=%s",
				    bad[i][0], bad[i][1]);
	KUNIT_EXPECT_EQ(test, kmh_default_fail_nth, (size_t)0);
	KUNIT_EXPECT_EQ(test, kmh_default_period, (size_t)0);
}

static int idle_init(struct kunit *test)
{
	set_period(test, "3600000");
	return mheap_init(test);
}

static void idle_exit(struct kunit *test)
{
	kmh_kunit_exit(test);
	set_period(test, "2000");
}

static bool asked(struct kmheap *heap)
{
	irq_work_sync(&heap->idle.kick.irq);
	return atomic_read(&heap->idle.kick.asked) && delayed_work_pending(&heap->idle.kick.work);
}

/*
 * The worker starts when a CPU begins to keep something, by whichever way, and rests when
 * none does.
 */
static void worker_comes_and_rests(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "idle", 0);
	struct use u = { .heap = heap };
	void *p;

	KUNIT_EXPECT_TRUE(test, rests(heap));
	alloc_some(&u);
	KUNIT_EXPECT_TRUE(test, asked(heap));
	free_some(&u);
	p = kmheap_alloc(heap, SZ_256K, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	kmh_kunit_wait_for(test, all_drained(heap));
	KUNIT_EXPECT_GE(test, ndrains(heap), 1L);
	/* One more look after the request has been taken back, and no further one. */
	look_now(heap);
	look_now(heap);
	KUNIT_EXPECT_TRUE(test, rests(heap));
	/* Parking an object keeps it, though no slow path of an allocation is taken. */
	kmh_kunit_elsewhere(test, put, p);
	KUNIT_EXPECT_TRUE(test, asked(heap));
	kmh_kunit_wait_for(test, all_drained(heap));
	kmheap_destroy(heap);
}

static void destroy_while_a_look_is_due(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		struct kmheap *heap = heap_new(test, "due", 0);
		struct use u = { .heap = heap };

		kmh_kunit_elsewhere(test, alloc_some, &u);
		if (i)
			mod_delayed_work(kmh_wq, &heap->idle.kick.work, i - 1);
		free_some(&u);
		kmheap_destroy(heap);
	}
}

/*
 * A free that raced with the end of its heap had found a worker going, and asks for it only after
 * it was stopped: the request is gone before the structure may be.
 */
static struct delayed_work *late_work;

static void kick_late(void *arg)
{
	struct kmheap *heap = arg;

	late_work = &heap->scavenge.kick.work;
	irq_work_queue(&heap->scavenge.kick.irq);
	irq_work_sync(&heap->scavenge.kick.irq);
	/* A deferred free, and a page heap that is short of something. */
	irq_work_queue(&heap->defer.kick);
	irq_work_queue(&kmh_heap_node(heap, first_memory_node)->mheap.kick);
	irq_work_sync(&heap->defer.kick);
}

static void late_request_is_dropped(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-late", 0);

	late_work = NULL;
	kmh_kunit_at_any(test, "ended heap: a grace period later", kick_late, heap);
	(kmheap_destroy)(heap);
	kmh_ended_settle();
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("ended heap: a grace period later"));
	/* The last heaps that have ended keep their structure. */
	KUNIT_EXPECT_FALSE(test, delayed_work_pending(late_work));
	KUNIT_EXPECT_FALSE(test, delayed_work_pending(&heap->sweep.work));
}

static struct kunit_case idle_cases[] = {
	KUNIT_CASE(idle_cpu_is_drained),
	KUNIT_CASE(freeing_cpu_is_drained),
	KUNIT_CASE(worker_comes_and_rests),
	KUNIT_CASE(destroy_while_a_look_is_due),
	KUNIT_CASE(late_request_is_dropped),
	KUNIT_CASE(parameters_refuse_with_one_error),
	{}
};

static struct kunit_suite idle_suite = {
	.name = "kmheap_idle",
	.init = idle_init,
	.exit = idle_exit,
	.test_cases = idle_cases,
};

kunit_test_suite(idle_suite);
