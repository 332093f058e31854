// SPDX-License-Identifier: GPL-2.0
/*
 * A load for as long as the test likes: on every CPU a thread keeps the same number of bytes
 * live while the sizes of its objects drift from small to large and back, again and again.
 * The times of the allocations are counted in a histogram.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "client.h"

#define SOAK_LIVE_BYTES		SZ_4M		/* of each thread */
#define SOAK_OBJECTS		65536U		/* at most */
#define SOAK_PERIOD_STEPS	32768U		/* from small to large and back */

/* Buckets of a histogram: eight for each power of two of nanoseconds. */
#define SOAK_STEP_BITS		3
#define SOAK_BUCKETS		(40U << SOAK_STEP_BITS)

struct soak_object {
	size_t bytes;
	unsigned long tag;
};

struct soak_thread {
	struct task_struct *task;
	struct soak_object **object;	/* SOAK_OBJECTS of them, the first @n are live */
	unsigned int n;
	size_t live_bytes;
	u64 seed;
	unsigned long steps, refused, mismatches;
	u32 count[SOAK_BUCKETS];	/* cleared by the reader: a few counts are lost then */
};

static struct kmheap *soak_heap;
static struct soak_thread *soak_threads;
static unsigned int soak_nthreads;

static u32 soak_random(struct soak_thread *t)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return t->seed >> 16;
}

/* ---- how long it took */

static unsigned int soak_bucket(u64 ns)
{
	unsigned int shift;

	if (ns < 2 << SOAK_STEP_BITS)
		return ns;
	shift = __fls(ns) - SOAK_STEP_BITS;
	return min_t(u64, (shift << SOAK_STEP_BITS) + (ns >> shift), SOAK_BUCKETS - 1);
}

static u64 soak_bucket_ns(unsigned int b)
{
	unsigned int shift;

	if (b < 2 << SOAK_STEP_BITS)
		return b;
	shift = (b >> SOAK_STEP_BITS) - 1;
	return (u64)(b - (shift << SOAK_STEP_BITS)) << shift;
}

/* The times that half and 99.9 % of the allocations since the last call stayed below. */
static void soak_say_times(void)
{
	static u64 sum[SOAK_BUCKETS];
	u64 n = 0, seen = 0;
	unsigned int i, b;

	for (b = 0; b < SOAK_BUCKETS; b++) {
		sum[b] = 0;
		for (i = 0; i < soak_nthreads; i++) {
			sum[b] += READ_ONCE(soak_threads[i].count[b]);
			WRITE_ONCE(soak_threads[i].count[b], 0);
		}
		n += sum[b];
	}
	client_say("timed %llu\n", n);
	for (b = 0, i = 0; b < SOAK_BUCKETS && n; b++) {
		static const u16 share[] = { 500, 999 };

		for (seen += sum[b]; i < ARRAY_SIZE(share) && seen * 1000 >= n * share[i]; i++)
			client_say("p%u_ns %llu\n", share[i], soak_bucket_ns(b));
	}
}

/* ---- the load */

/* 16 bytes to 64 KiB, by the phase of the period, give or take a factor of four. */
static size_t soak_bytes(struct soak_thread *t)
{
	unsigned int phase = t->steps % SOAK_PERIOD_STEPS, half = SOAK_PERIOD_STEPS / 2;
	unsigned int up = phase < half ? phase : SOAK_PERIOD_STEPS - phase;
	unsigned int bits = 4 + up * 9 / half + soak_random(t) % 4;

	return (1UL << bits) + soak_random(t) % (1UL << bits);
}

static void soak_free_at(struct soak_thread *t, unsigned int i)
{
	struct soak_object *o = t->object[i];

	t->mismatches += o->tag != ((unsigned long)o ^ o->bytes);
	t->live_bytes -= o->bytes;
	t->object[i] = t->object[--t->n];
	if (soak_random(t) % 4)
		kmheap_free(o);
	else
		kmheap_free_rcu(o);
}

static void soak_step(struct soak_thread *t)
{
	size_t bytes = soak_bytes(t);
	struct soak_object *o;
	u64 start;

	while (t->n && (t->live_bytes + bytes > SOAK_LIVE_BYTES || t->n == SOAK_OBJECTS))
		soak_free_at(t, soak_random(t) % t->n);
	start = ktime_get_ns();
	o = kmheap_alloc(soak_heap, bytes, GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
	t->count[soak_bucket(ktime_get_ns() - start)]++;
	WRITE_ONCE(t->steps, t->steps + 1);
	if (!o) {
		t->refused++;
		return;
	}
	*o = (struct soak_object){ .bytes = bytes, .tag = (unsigned long)o ^ bytes };
	t->live_bytes += bytes;
	t->object[t->n++] = o;
}

static int soak_run(void *arg)
{
	struct soak_thread *t = arg;

	while (!kthread_should_stop()) {
		soak_step(t);
		if (t->steps % 32 == 0)
			cond_resched();
	}
	return 0;
}

/* ---- commands */

static void soak_stop(void)
{
	unsigned int i;

	for (i = 0; i < soak_nthreads; i++) {
		struct soak_thread *t = &soak_threads[i];

		if (t->task)
			kthread_stop(t->task);
		t->task = NULL;
		while (t->n)
			soak_free_at(t, t->n - 1);
	}
}

static void soak_release(void)
{
	unsigned int i;

	for (i = 0; i < soak_nthreads; i++)
		kvfree(soak_threads[i].object);
	kvfree(soak_threads);
	soak_threads = NULL;
	soak_nthreads = 0;
}

/* start: a thread for every online CPU, wherever the scheduler puts it */
static int soak_start_cmd(char *args)
{
	unsigned int n = num_online_cpus();

	if (soak_threads)
		return -EBUSY;
	soak_threads = kvcalloc(n, sizeof(*soak_threads), GFP_KERNEL);
	if (!soak_threads)
		return -ENOMEM;
	for (; soak_nthreads < n; soak_nthreads++) {
		struct soak_thread *t = &soak_threads[soak_nthreads];
		struct task_struct *task;

		t->seed = (soak_nthreads + 1) * 0x9e3779b97f4a7c15ULL;
		t->object = kvcalloc(SOAK_OBJECTS, sizeof(*t->object), GFP_KERNEL);
		if (!t->object)
			return -ENOMEM;
		task = kthread_run(soak_run, t, "kmheap-soak/%u", soak_nthreads);
		if (IS_ERR(task)) {
			kvfree(t->object);
			return PTR_ERR(task);
		}
		t->task = task;
	}
	return 0;
}

/* The slowest thread tells how many periods have passed. */
static void soak_say(void)
{
	unsigned long steps = 0, least = ULONG_MAX, refused = 0, mismatches = 0;
	unsigned int i;

	for (i = 0; i < soak_nthreads; i++) {
		unsigned long here = READ_ONCE(soak_threads[i].steps);

		steps += here;
		least = min(least, here);
		refused += READ_ONCE(soak_threads[i].refused);
		mismatches += READ_ONCE(soak_threads[i].mismatches);
	}
	client_say("steps %lu\nperiods %lu\nrefused %lu\nmismatches %lu\n", steps,
		   least / SOAK_PERIOD_STEPS, refused, mismatches);
}

static int soak_figures_cmd(char *args)
{
	soak_say();
	return 0;
}

/* times: of the allocations since the last call */
static int soak_times_cmd(char *args)
{
	soak_say_times();
	return 0;
}

/* stop: end the threads, free everything, say the figures */
static int soak_stop_cmd(char *args)
{
	soak_stop();
	soak_say();
	soak_release();
	return 0;
}

static int soak_shrink_cmd(char *args)
{
	client_say("bytes %zu\n", kmheap_shrink(soak_heap));
	return 0;
}

static const struct client_command soak_commands[] = {
	{ "start", soak_start_cmd },
	{ "figures", soak_figures_cmd },
	{ "times", soak_times_cmd },
	{ "stop", soak_stop_cmd },
	{ "shrink", soak_shrink_cmd },
	{}
};

static int __init soak_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };

	client_commands = soak_commands;
	soak_heap = kmheap_create("soak", &attr);
	return PTR_ERR_OR_ZERO(soak_heap);
}

static void __exit soak_exit(void)
{
	soak_stop();
	soak_release();
	kmheap_destroy(soak_heap);
}

module_init(soak_init);
module_exit(soak_exit);
MODULE_DESCRIPTION("kmheap selftest: the same load for a long time");
MODULE_LICENSE("GPL");
