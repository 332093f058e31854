// SPDX-License-Identifier: GPL-2.0
/*
 * What a free after a grace period costs: kmheap_free_rcu() beside kfree_rcu() with a
 * struct rcu_head in the object and kfree_rcu_mightsleep() without one, all in the same
 * boot, one round of each in turn.
 *
 * bytes:   of an object with so much payload: usable ones, and memory taken for each
 *          while a reader keeps all of them pending.
 * alloc, free: of a batch, per object; on one CPU, and on all of them at the same time.
 *          What is pending ends between rounds, outside of what is timed.
 * stream:  allocation and deferred free, on and on, for each object: time of the callers'
 *          loops, sleep included, and until all that was freed is back ("all"), both of as
 *          many CPUs as took part.
 * back:    from the last free of many until a grace period that began there is over
 *          ("gp"), and until what was freed is back.
 * peak:    memory that a stream takes at its worst.
 * Memory is the footprint of a fresh heap, and what the pages of all slabs have grown by.
 * The last two, and memory of what is pending, need two CPUs.
 *
 * "Back" is for kmheap that nothing is deferred any more, for the others that the pages of
 * all slabs are down to a fifth of what was pending (1 MiB at least); nobody calls a barrier.
 * A kfree_rcu() of less than a page of pointers is left to its timer, which takes seconds;
 * here there are always more.
 */
#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "await.h"
#include "figure.h"
#include "rcu_sides.h"

#define ROUNDS		11
#define STREAM_ROUNDS	5
#define MEMORY_ROUNDS	3
#define WARM_UP		2		/* rounds before the first that counts */
#define BATCH		1000U
#define PENDING		400000U		/* so many that per-CPU lists of pages hide little */
#define BACK		100000U
#define STREAM_BYTES	(64U << 20)	/* of a round, on all CPUs together */
#define PEAK		4000000U	/* fewer when they take longer than: */
#define PEAK_SECONDS	30
#define SAMPLE_EVERY	4096U
#define MAX_CPUS	8U

/* What a CPU is to do, and the ticks it took. */
struct lap {
	enum side side;
	size_t bytes;		/* 64 or 256 */
	unsigned int nobjs;	/* as many as it did, in the end */
	bool stream;
	bool sample;
	u64 alloc, free;	/* a stream's are in @free */
	unsigned long until;	/* jiffies, when sampled */
	u64 peak;		/* bytes taken, at worst */
	int err;

	void **objects;		/* BATCH of them; the first lap's has PENDING */
	struct completion done;
};

static const char *unit;
static struct lap laps[MAX_CPUS];
static unsigned int ncpus;
static bool begin;		/* for all CPUs at the same time */

/* ---- what is timed */

static __always_inline int batch(enum side side, size_t bytes, struct lap *lap)
{
	u64 start = bench_ticks();
	unsigned int i, n;

	for (n = 0; n < lap->nobjs; n++) {
		void *p = take(side, bytes);

		if (unlikely(!p))
			break;
		WRITE_ONCE(*(unsigned long *)p, n);
		lap->objects[n] = p;
	}
	lap->alloc = bench_ticks() - start;
	start = bench_ticks();
	for (i = 0; i < n; i++)
		give(side, lap->objects[i]);
	lap->free = bench_ticks() - start;
	return n < lap->nobjs ? -ENOMEM : 0;
}

/* False when there is no time left. */
static noinline bool sample(struct lap *lap, unsigned int i)
{
	/* The heap's figures go through all spans: less often. */
	if (lap->side != KMHEAP || i % (16 * SAMPLE_EVERY) == 0)
		lap->peak = max(lap->peak, memory_taken(lap->side));
	return time_before(jiffies, lap->until);
}

/* Each object lives until BATCH more have been allocated. */
static __always_inline int stream(enum side side, size_t bytes, struct lap *lap)
{
	u64 start = bench_ticks();
	unsigned int i;
	int err = 0;

	memset(lap->objects, 0, BATCH * sizeof(void *));
	for (i = 1; i <= lap->nobjs; i++) {
		void **old = &lap->objects[i % BATCH], *p = take(side, bytes);

		if (unlikely(!p)) {
			err = -ENOMEM;
			break;
		}
		WRITE_ONCE(*(unsigned long *)p, i);
		if (*old)
			give(side, *old);
		*old = p;
		if (i % 64 == 0)
			cond_resched();
		if (lap->sample && i % SAMPLE_EVERY == 0 && !sample(lap, i))
			break;
	}
	lap->nobjs = i - 1;
	for (i = 0; i < BATCH; i++)
		if (lap->objects[i])
			give(side, lap->objects[i]);
	lap->free = bench_ticks() - start;
	return err;
}

static __always_inline int work(enum side side, size_t bytes, struct lap *lap)
{
	return lap->stream ? stream(side, bytes, lap) : batch(side, bytes, lap);
}

/* A copy for each side and size, so that both are constants where they are used. */
static __always_inline int work_side(enum side side, struct lap *lap)
{
	return lap->bytes == 64 ? work(side, 64, lap) : work(side, 256, lap);
}

static noinline int work_kmheap(struct lap *lap)
{
	return work_side(KMHEAP, lap);
}

static noinline int work_kfree_rcu(struct lap *lap)
{
	return work_side(KFREE_RCU, lap);
}

static noinline int work_mightsleep(struct lap *lap)
{
	return work_side(MIGHTSLEEP, lap);
}

static int (* const works[NR_SIDES])(struct lap *lap) = {
	work_kmheap, work_kfree_rcu, work_mightsleep
};

static int run_lap(void *arg)
{
	struct lap *lap = arg;

	while (!READ_ONCE(begin))
		cond_resched();
	lap->err = works[lap->side](lap);
	complete(&lap->done);
	bench_await_stop();
	return 0;
}

/* @what on the first @n CPUs at the same time; the sums of it in laps[0]. */
static int run(const struct lap *what, unsigned int n)
{
	struct task_struct *tasks[MAX_CPUS];
	unsigned int i, cpu = 0, ntasks = 0;
	int err = 0;

	WRITE_ONCE(begin, false);
	for_each_online_cpu(cpu) {
		struct lap *lap = &laps[ntasks];
		void **objects = lap->objects;

		if (ntasks == n)
			break;
		*lap = *what;
		lap->objects = objects;
		lap->nobjs = what->stream ? what->nobjs / n : what->nobjs;
		init_completion(&lap->done);
		tasks[ntasks] = kthread_create(run_lap, lap, "rcu_bench/%u", cpu);
		if (IS_ERR(tasks[ntasks])) {
			err = PTR_ERR(tasks[ntasks]);
			break;
		}
		kthread_bind(tasks[ntasks], cpu);
		wake_up_process(tasks[ntasks++]);
	}
	WRITE_ONCE(begin, true);
	for (i = 0; i < ntasks; i++) {
		wait_for_completion(&laps[i].done);
		kthread_stop(tasks[i]);
		err = err ?: laps[i].err;
		if (!i)
			continue;
		laps[0].alloc += laps[i].alloc;
		laps[0].free += laps[i].free;
		laps[0].nobjs += laps[i].nobjs;
		laps[0].peak = max(laps[0].peak, laps[i].peak);
	}
	return err;
}

/* ---- rounds */

static u64 samples[3][NR_SIDES][ROUNDS];

/* One kind of sample, each the sum of @per. */
static void print_sides(const char *op, size_t bytes, unsigned int n, u64 (*kind)[ROUNDS],
			unsigned int nrounds, unsigned int per, const char *what)
{
	enum side side;

	for (side = 0; side < NR_SIDES; side++) {
		const struct bench_figure f = {
			.name = "rcu", .op = op, .bytes = bytes, .cpus = n,
			.side = side_names[side], .unit = what,
		};

		bench_print_sums(&f, kind[side], nrounds, per);
	}
}

/* @round of each side in turn, @warm_up times more than count; it says where samples go. */
static int run_rounds(int (*round)(enum side side, size_t bytes, unsigned int n, unsigned int at),
		      size_t bytes, unsigned int n, unsigned int warm_up, unsigned int count)
{
	enum side side;
	unsigned int i;
	int err;

	for (i = 0; i < warm_up + count; i++) {
		for (side = 0; side < NR_SIDES; side++) {
			err = round(side, bytes, n, max(i, warm_up) - warm_up);
			if (err)
				return err;
		}
	}
	return 0;
}

static int batch_round(enum side side, size_t bytes, unsigned int n, unsigned int at)
{
	struct lap lap = { .side = side, .bytes = bytes, .nobjs = BATCH };
	int err = run(&lap, n);

	samples[0][side][at] = laps[0].alloc;
	samples[1][side][at] = laps[0].free;
	settle();
	return err;
}

static int bench_batches(size_t bytes, unsigned int n)
{
	int err = run_rounds(batch_round, bytes, n, WARM_UP, ROUNDS);

	if (err)
		return err;
	print_sides("alloc", bytes, n, samples[0], ROUNDS, n * BATCH, unit);
	print_sides("free", bytes, n, samples[1], ROUNDS, n * BATCH, unit);
	return 0;
}

/* Ticks from @start until what is pending is back, ten seconds at most. */
static u64 wait_back(enum side side, long base, u64 start)
{
	unsigned long until = jiffies + 10 * HZ;
	long limit = back_limit(base);

	while (!is_back(side, limit) && time_before(jiffies, until))
		usleep_range(100, 200);
	return bench_ticks() - start;
}

static int stream_round(enum side side, size_t bytes, unsigned int n, unsigned int at)
{
	struct lap lap = {
		.side = side, .bytes = bytes, .nobjs = STREAM_BYTES / bytes, .stream = true,
	};
	long base = slab_pages();
	u64 start = bench_ticks();
	int err = run(&lap, n);

	samples[0][side][at] = laps[0].free;
	samples[1][side][at] = wait_back(side, base, start) * n;
	settle();
	return err;
}

static int bench_stream(size_t bytes, unsigned int n)
{
	int err = run_rounds(stream_round, bytes, n, WARM_UP, STREAM_ROUNDS);
	unsigned int per = STREAM_BYTES / bytes;

	if (err)
		return err;
	print_sides("stream", bytes, n, samples[0], STREAM_ROUNDS, per, unit);
	print_sides("stream_all", bytes, n, samples[1], STREAM_ROUNDS, per, unit);
	return 0;
}

/* ---- how long it takes */

static int back_round(enum side side, size_t bytes, unsigned int n, unsigned int at)
{
	struct lap lap = { .side = side, .bytes = bytes, .nobjs = BACK };
	unsigned long cookie, until = jiffies + 10 * HZ;
	long base = slab_pages(), limit;
	u64 start, now, gp = 0, back = 0;
	int err = run(&lap, n);

	start = ktime_get_ns();
	cookie = start_poll_synchronize_rcu();
	limit = back_limit(base);
	while ((!gp || !back) && time_before(jiffies, until)) {
		now = ktime_get_ns() - start;
		if (!gp && poll_state_synchronize_rcu(cookie))
			gp = now;
		if (!back && is_back(side, limit))
			back = now;
		usleep_range(50, 100);
	}
	now = ktime_get_ns() - start;
	gp = gp ?: now;
	back = back ?: now;
	samples[0][side][at] = gp;
	samples[1][side][at] = back;
	samples[2][side][at] = back > gp ? back - gp : 0;
	settle();
	return err;
}

static int bench_back(void)
{
	int err = run_rounds(back_round, 64, 1, WARM_UP, STREAM_ROUNDS);

	if (err)
		return err;
	print_sides("back_gp", 64, 1, samples[0], STREAM_ROUNDS, 1000, "us");
	print_sides("back", 64, 1, samples[1], STREAM_ROUNDS, 1000, "us");
	print_sides("back_after_gp", 64, 1, samples[2], STREAM_ROUNDS, 1000, "us");
	return 0;
}

/* ---- how much it takes: each time with a heap of its own, which has kept nothing */

struct holder {
	struct completion holding;
	atomic_t let_go;
};

/* No grace period ends meanwhile. */
static int hold_grace_period(void *arg)
{
	struct holder *h = arg;
	unsigned long until = jiffies + 10 * HZ;

	rcu_read_lock();
	complete(&h->holding);
	while (!atomic_read(&h->let_go) && time_before(jiffies, until))
		cpu_relax();
	rcu_read_unlock();
	while (!kthread_should_stop())
		msleep(20);
	return 0;
}

/*
 * Bytes that are taken while PENDING objects are pending. The holder may keep its CPU for
 * itself, so nothing here waits for another task.
 */
static int pending_round(enum side side, size_t bytes, unsigned int n, unsigned int at)
{
	struct lap lap = {
		.side = side, .bytes = bytes, .nobjs = PENDING, .objects = laps[0].objects,
	};
	struct holder h = { .let_go = ATOMIC_INIT(0) };
	struct task_struct *task;
	u64 before;
	int err;

	heap = kmheap_create("rcu_bench", NULL);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	before = side == KMHEAP ? 0 : memory_taken(side);
	init_completion(&h.holding);
	task = kthread_create(hold_grace_period, &h, "rcu_bench/holder");
	if (IS_ERR(task)) {
		kmheap_destroy(heap);
		return PTR_ERR(task);
	}
	kthread_bind(task, cpumask_last(cpu_online_mask));
	wake_up_process(task);
	wait_for_completion(&h.holding);
	err = works[side](&lap);
	samples[0][side][at] = memory_taken(side) - before;
	atomic_set(&h.let_go, 1);
	kthread_stop(task);
	settle();
	kmheap_destroy(heap);
	return err;
}

static int bench_bytes(size_t bytes)
{
	void *p = kmheap_alloc(NULL, bytes, GFP_KERNEL);
	int err;

	if (!p)
		return -ENOMEM;
	samples[0][KMHEAP][0] = kmheap_size(p);
	samples[0][KFREE_RCU][0] = kmalloc_size_roundup(sizeof(struct headed) + bytes);
	samples[0][MIGHTSLEEP][0] = kmalloc_size_roundup(bytes);
	kmheap_free(p);
	print_sides("bytes", bytes, 1, samples[0], 1, 1, "bytes");
	if (ncpus < 2)
		return 0;
	err = run_rounds(pending_round, bytes, 1, 0, MEMORY_ROUNDS);
	if (err)
		return err;
	print_sides("bytes_pending", bytes, 1, samples[0], MEMORY_ROUNDS, PENDING, "bytes");
	return 0;
}

static int peak_round(enum side side, size_t bytes, unsigned int n, unsigned int at)
{
	struct lap lap = {
		.side = side, .bytes = bytes, .nobjs = PEAK, .stream = true, .sample = true,
		.until = jiffies + PEAK_SECONDS * HZ,
	};
	u64 start = ktime_get_ns(), before;
	int err;

	heap = kmheap_create("rcu_bench", NULL);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	before = side == KMHEAP ? 0 : memory_taken(side);
	err = run(&lap, n);
	samples[0][side][at] = (max(laps[0].peak, before) - before) / SZ_1K;
	samples[1][side][at] = div_u64(ktime_get_ns() - start, laps[0].nobjs ?: 1);
	if (laps[0].nobjs < PEAK - n)
		pr_info("BENCH_NOTE rcu peak, %s: %u objects only\n", side_names[side],
			laps[0].nobjs);
	settle();
	kmheap_destroy(heap);
	return err;
}

static int bench_peak(void)
{
	int err = run_rounds(peak_round, 64, ncpus, 0, MEMORY_ROUNDS);

	if (err)
		return err;
	print_sides("peak", 64, ncpus, samples[0], MEMORY_ROUNDS, 1, "KiB");
	print_sides("peak_stream", 64, ncpus, samples[1], MEMORY_ROUNDS, 1, "ns");
	return 0;
}

/* ---- all of it */

static const size_t sizes[] = { 64, 256 };

static int bench_times(void)
{
	unsigned int i;
	int err = 0;

	heap = kmheap_create("rcu_bench", NULL);
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		err = err ?: bench_batches(sizes[i], 1);
		if (ncpus > 1)
			err = err ?: bench_batches(sizes[i], ncpus);
		err = err ?: bench_stream(sizes[i], 1);
		if (ncpus > 1)
			err = err ?: bench_stream(sizes[i], ncpus);
	}
	if (ncpus > 1)
		err = err ?: bench_back();
	kmheap_destroy(heap);
	return err;
}

static int bench_all(void)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		err = err ?: bench_bytes(sizes[i]);
	err = err ?: bench_times();
	/* A CPU that has nobody beside it frees between two objects what nobody waits for. */
	return err || ncpus < 2 ? err : bench_peak();
}

static int __init rcu_bench_init(void)
{
	unsigned int i;
	int err = 0;

	unit = bench_unit();
	ncpus = min(num_online_cpus(), MAX_CPUS);
	for (i = 0; i < ncpus; i++) {
		laps[i].objects = kvcalloc(i ? BATCH : PENDING, sizeof(void *), GFP_KERNEL);
		if (!laps[i].objects)
			err = -ENOMEM;
	}
	err = err ?: set_cpus_allowed_ptr(current, cpumask_of(cpumask_first(cpu_online_mask)));
	err = err ?: bench_all();
	if (err)
		pr_err("BENCH_ERROR rcu: %d\n", err);
	set_cpus_allowed_ptr(current, cpu_possible_mask);
	for (i = 0; i < ncpus; i++)
		kvfree(laps[i].objects);
	/* Refused modules are loaded a second time, by busybox. */
	return 0;
}
module_init(rcu_bench_init);

static void __exit rcu_bench_exit(void)
{
}
module_exit(rcu_bench_exit);

MODULE_DESCRIPTION("kmheap deferred free benchmark");
MODULE_LICENSE("GPL");
