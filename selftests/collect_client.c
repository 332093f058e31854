// SPDX-License-Identifier: GPL-2.0
/*
 * A collected heap under load: on every CPU a thread, a hardirq and a tasklet make
 * objects, move them about and forget them, while a collector marks what it finds.
 *
 * An item stands for one object, and has one owner: a slot of the table, an actor, or
 * the collector. A step fills its actor's item, exchanges it with a random slot's, and
 * forgets the object that came back (or frees it: both may be mixed). What a client
 * of a collected heap has to see to, it does with SRCU and two rules:
 *
 * - Between an allocation and its place in the table, and between taking an object out
 *   and forgetting it, an actor is in a reader's section, and the collector waits for
 *   all of them twice: before it marks, so that what was allocated before begin is in
 *   the table, and before end, so that nobody is looking at what is about to go.
 * - Who moves an object from one slot to another marks it in between: the collector
 *   may have passed the other one and not yet the one. Whether it is on its way is asked
 *   before the object is taken, as it also passes slots whose object is in a hand. When it
 *   has passed all of them that is needed no more, and by the end nobody marks.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/srcu.h>

#include "client.h"

#define COLLECT_SLOTS	16384U
#define COLLECT_HOT	1024U		/* slots that are exchanged more often than others */
#define COLLECT_GARBAGE	(32U << 20)	/* bytes; above that threads wait for a collection */

struct collect_item {
	u32 *p;
	u32 bytes;			/* a multiple of 4 */
	u32 canary;
};

/* Only its own context touches an actor, so nothing here needs a lock. */
struct collect_actor {
	struct collect_item *item;	/* without an object between two steps */
	u64 seed;
	u64 allocs;
	u64 moves;
	u64 drops;
	u64 frees;
	u64 deferred;
	u64 refused;
	u64 marks;			/* calls that set the mark */
	u64 mismatches;
};

struct collect_cpu {
	struct task_struct *task;
	struct collect_actor thread;
	struct collect_actor irq;
	struct collect_actor soft;
	struct irq_work work;
	struct tasklet_struct tasklet;
};

static struct kmheap *collect_heap;
static struct collect_item *collect_slots[COLLECT_SLOTS];
static struct collect_item *collect_items;
static struct collect_cpu *collect_cpus;	/* nr_cpu_ids of them */
static struct task_struct *collect_task;
static struct collect_actor collect_collector;
static u64 collect_target;			/* collections */
static u64 collect_done;
static int collect_err;
static bool collect_running;
static atomic_t collect_garbage;		/* bytes forgotten since one began */
static bool collect_marking;			/* an actor that moves an object has to mark it */
DEFINE_STATIC_SRCU(collect_hands);

static u32 collect_random(struct collect_actor *a)
{
	a->seed ^= a->seed << 13;
	a->seed ^= a->seed >> 7;
	a->seed ^= a->seed << 17;
	return a->seed >> 16;
}

/* ---- contents: all of the first 64 bytes, a word every 256, and the last one */

static u32 collect_word(const struct collect_item *it, u32 off)
{
	return it->canary + off * 0x9e3779b1;
}

static u32 collect_next(const struct collect_item *it, u32 off)
{
	u32 last = it->bytes - 4;

	if (off < 60)
		return min(off + 4, last);
	return off < last ? min(off + 256, last) : last;
}

static void collect_fill(struct collect_item *it)
{
	u32 off, last = it->bytes - 4;

	for (off = 0; off < last; off = collect_next(it, off))
		WRITE_ONCE(it->p[off / 4], collect_word(it, off));
	WRITE_ONCE(it->p[last / 4], collect_word(it, last));
}

static void collect_check(struct collect_actor *a, const struct collect_item *it)
{
	u32 off, last = it->bytes - 4;
	bool ok = true;

	for (off = 0; off < last; off = collect_next(it, off))
		ok &= READ_ONCE(it->p[off / 4]) == collect_word(it, off);
	ok &= READ_ONCE(it->p[last / 4]) == collect_word(it, last);
	if (!ok && !a->mismatches++)
		pr_err("MISMATCH: %u bytes at %p begin with %#x, expected %#x\n", it->bytes,
		       it->p, READ_ONCE(it->p[0]), it->canary);
}

/* ---- actors */

static void collect_alloc(struct collect_actor *a, gfp_t gfp)
{
	struct collect_item *it = a->item;
	u32 r = collect_random(a);

	it->canary = collect_random(a);
	it->bytes = 8U << (r % 16 ? r / 16 % 7 : 7 + r / 16 % 6);
	if (r >> 16 & 1)
		it->bytes = round_up(it->bytes - it->bytes / 4, 4);
	if (gfpflags_allow_blocking(gfp) && (r >> 17) % 1024 == 0)
		it->bytes = 40000 + (r >> 17) % 60000 / 4 * 4;
	if (r >> 20 & 3)
		it->p = kmheap_alloc(collect_heap, it->bytes, gfp);
	else
		it->p = kmheap_alloc_data(collect_heap, it->bytes, gfp);
	if (!it->p) {
		a->refused++;
		return;
	}
	a->allocs++;
	collect_fill(it);
}

static void collect_mark(struct collect_actor *a, const struct collect_item *it)
{
	if (it->p)
		a->marks += kmheap_mark(collect_heap, it->p);
}

static void collect_exchange(struct collect_actor *a, u32 slot)
{
	a->item = xchg(&collect_slots[slot], a->item);
}

/* A hot slot, or one time in eight any slot, so that some objects see several collections. */
static u32 collect_pick(struct collect_actor *a)
{
	u32 r = collect_random(a);

	return (r >> 3) % (r % 8 ? COLLECT_HOT : COLLECT_SLOTS);
}

/* Most objects are just forgotten. */
static void collect_retire(struct collect_actor *a)
{
	struct collect_item *it = a->item;

	if (!it->p)
		return;
	collect_check(a, it);
	switch (collect_random(a) % 8) {
	case 0:
		a->frees++;
		kmheap_free(it->p);
		break;
	case 1:
		a->deferred++;
		kmheap_free_rcu(it->p);
		break;
	default:
		a->drops++;
		atomic_add(it->bytes, &collect_garbage);
	}
	it->p = NULL;
}

static void collect_step(struct collect_actor *a, gfp_t gfp)
{
	int idx = srcu_read_lock(&collect_hands);

	if (collect_random(a) % 4) {
		collect_alloc(a, gfp);
	} else {
		/* Asked first: the collector passes a slot while its object is in a hand. */
		bool marking = READ_ONCE(collect_marking);

		collect_exchange(a, collect_pick(a));
		if (a->item->p)
			a->moves++;
		if (marking)
			collect_mark(a, a->item);
	}
	collect_exchange(a, collect_pick(a));
	collect_retire(a);
	srcu_read_unlock(&collect_hands, idx);
}

static void collect_in_irq(struct irq_work *work)
{
	struct collect_cpu *c = container_of(work, struct collect_cpu, work);
	unsigned int n = in_hardirq() ? 8 : 0;

	while (n--)
		collect_step(&c->irq, GFP_ATOMIC);
	tasklet_schedule(&c->tasklet);
}

static void collect_in_softirq(struct tasklet_struct *t)
{
	struct collect_cpu *c = container_of(t, struct collect_cpu, tasklet);
	unsigned int n = in_serving_softirq() ? 8 : 0;

	while (n--)
		collect_step(&c->soft, GFP_ATOMIC);
}

static int collect_thread(void *arg)
{
	struct collect_cpu *c = arg;
	unsigned int n;

	while (!kthread_should_stop()) {
		for (n = 0; n < 64; n++)
			collect_step(&c->thread, n % 8 ? GFP_KERNEL : GFP_ATOMIC);
		preempt_disable();
		irq_work_queue(&collect_cpus[smp_processor_id()].work);
		preempt_enable();
		cond_resched();
		while (atomic_read(&collect_garbage) > COLLECT_GARBAGE && !kthread_should_stop())
			usleep_range(500, 1000);
	}
	return 0;
}

/* ---- the collector */

/*
 * The collector's item and the slots' items move on by one, so that the collector owns what
 * it marks: an actor could free a pointer read from an item in the table before it is marked.
 */
static void collect_mark_all(void)
{
	struct collect_actor *a = &collect_collector;
	u32 i;

	collect_mark(a, a->item);
	for (i = 0; i < COLLECT_SLOTS; i++) {
		collect_exchange(a, i);
		collect_mark(a, a->item);
		if (i % 256 == 0)
			cond_resched();
	}
}

static int collect_once(void)
{
	int err;

	WRITE_ONCE(collect_marking, true);
	err = kmheap_collect_begin(collect_heap);
	if (err)
		return err;
	atomic_set(&collect_garbage, 0);
	synchronize_srcu_expedited(&collect_hands);
	collect_mark_all();
	WRITE_ONCE(collect_marking, false);
	synchronize_srcu_expedited(&collect_hands);
	return kmheap_collect_end(collect_heap);
}

static int collect_thread_collector(void *unused)
{
	int err = 0;

	while (!kthread_should_stop() && !err && collect_done < collect_target) {
		err = collect_once();
		WRITE_ONCE(collect_done, collect_done + !err);
		if (collect_done % 4 == 0)
			kmheap_rcu_barrier(collect_heap);
	}
	WRITE_ONCE(collect_err, err);
	while (!kthread_should_stop())
		msleep(20);
	return err;
}

/* ---- commands */

static void collect_actor_init(struct collect_actor *a, struct collect_item **next, u64 seed)
{
	*a = (struct collect_actor){ .item = (*next)++, .seed = seed * 0x9e3779b97f4a7c15ULL + 1 };
}

static int collect_tables(void)
{
	size_t nitems = COLLECT_SLOTS + 3 * nr_cpu_ids + 1;
	struct collect_item *next;
	unsigned int i;
	int cpu;

	collect_cpus = kvcalloc(nr_cpu_ids, sizeof(*collect_cpus), GFP_KERNEL);
	collect_items = kvcalloc(nitems, sizeof(*collect_items), GFP_KERNEL);
	if (!collect_cpus || !collect_items)
		return -ENOMEM;
	next = collect_items;
	for (i = 0; i < COLLECT_SLOTS; i++)
		collect_slots[i] = next++;
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		struct collect_cpu *c = &collect_cpus[cpu];

		collect_actor_init(&c->thread, &next, 3 * cpu);
		collect_actor_init(&c->irq, &next, 3 * cpu + 1);
		collect_actor_init(&c->soft, &next, 3 * cpu + 2);
		c->work = IRQ_WORK_INIT_HARD(collect_in_irq);
		tasklet_setup(&c->tasklet, collect_in_softirq);
	}
	collect_actor_init(&collect_collector, &next, 3 * nr_cpu_ids);
	return 0;
}

static void collect_free_tables(void)
{
	kvfree(collect_cpus);
	kvfree(collect_items);
	collect_cpus = NULL;
	collect_items = NULL;
}

static struct task_struct *collect_run(int (*fn)(void *arg), void *arg, int cpu)
{
	struct task_struct *task = kthread_create(fn, arg, "kmheap-collect/%d", cpu);

	if (IS_ERR(task))
		return NULL;
	if (cpu >= 0)
		set_cpus_allowed_ptr(task, cpumask_of(cpu));
	wake_up_process(task);
	return task;
}

static void collect_stop(void)
{
	int cpu;

	if (collect_task)
		kthread_stop(collect_task);
	collect_task = NULL;
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		if (collect_cpus[cpu].task)
			kthread_stop(collect_cpus[cpu].task);
		irq_work_sync(&collect_cpus[cpu].work);
		tasklet_kill(&collect_cpus[cpu].tasklet);
	}
	collect_running = false;
}

/* start COLLECTIONS */
static int collect_start_cmd(char *args)
{
	int cpu, err;

	if (collect_running)
		return -EBUSY;
	err = kstrtou64(args, 0, &collect_target) ?: collect_tables();
	if (err) {
		collect_free_tables();
		return err;
	}
	collect_done = 0;
	collect_err = 0;
	collect_running = true;
	for_each_online_cpu(cpu) {
		collect_cpus[cpu].task = collect_run(collect_thread, &collect_cpus[cpu], cpu);
		if (!collect_cpus[cpu].task)
			err = -ENOMEM;
	}
	collect_task = collect_run(collect_thread_collector, NULL, -1);
	if (!err && collect_task)
		return 0;
	collect_stop();
	collect_free_tables();
	return -ENOMEM;
}

static void collect_add(struct collect_actor *sum, const struct collect_actor *a)
{
	sum->allocs += a->allocs;
	sum->moves += a->moves;
	sum->drops += a->drops;
	sum->frees += a->frees;
	sum->deferred += a->deferred;
	sum->refused += a->refused;
	sum->marks += a->marks;
	sum->mismatches += a->mismatches;
}

static void collect_say(void)
{
	struct collect_actor sum = collect_collector, hard = {}, soft = {};
	int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		collect_add(&sum, &collect_cpus[cpu].thread);
		collect_add(&hard, &collect_cpus[cpu].irq);
		collect_add(&soft, &collect_cpus[cpu].soft);
	}
	collect_add(&sum, &hard);
	collect_add(&sum, &soft);
	client_say("collections %llu\nerror %d\nmismatches %llu\nallocs %llu\nmoves %llu\n",
		   collect_done, collect_err, sum.mismatches, sum.allocs, sum.moves);
	client_say("dropped %llu\nfreed %llu\ndeferred_frees %llu\nrefused %llu\nmarked %llu\n",
		   sum.drops, sum.frees, sum.deferred, sum.refused, sum.marks);
	client_say("hardirq_allocs %llu\nsoftirq_allocs %llu\n", hard.allocs, soft.allocs);
}

static int collect_figures_cmd(char *args)
{
	if (!collect_running)
		return -ENODEV;
	client_say("running %d\n", READ_ONCE(collect_done) < collect_target &&
		   !READ_ONCE(collect_err));
	collect_say();
	return 0;
}

/* Check what every slot holds; with @drop forget it. Returns how many objects there were. */
static unsigned int collect_walk(bool drop)
{
	struct collect_actor *a = &collect_collector;
	struct collect_item *it;
	unsigned int i, held = 0;

	for (i = 0; i < COLLECT_SLOTS + 3 * nr_cpu_ids + 1; i++) {
		it = &collect_items[i];
		if (!it->p)
			continue;
		held++;
		collect_check(a, it);
		if (!drop)
			continue;
		a->drops++;
		it->p = NULL;
	}
	return held;
}

/* stop: end the threads; objects in the table survive a collection, and stay. */
static int collect_stop_cmd(char *args)
{
	unsigned int held;
	int err;

	if (!collect_running)
		return -ENODEV;
	collect_stop();
	err = collect_err ?: collect_once();
	kmheap_rcu_barrier(collect_heap);
	held = collect_walk(false);
	collect_say();
	client_say("held %u\n", held);
	return err;
}

/* clear: forget everything, and collect it. */
static int collect_clear_cmd(char *args)
{
	int err;

	if (collect_running || !collect_items)
		return -ENODEV;
	collect_walk(true);
	err = collect_once();
	kmheap_rcu_barrier(collect_heap);
	collect_say();
	collect_free_tables();
	return err;
}

static const struct client_command collect_commands[] = {
	{ "start", collect_start_cmd },
	{ "figures", collect_figures_cmd },
	{ "stop", collect_stop_cmd },
	{ "clear", collect_clear_cmd },
	{}
};

static int __init collect_init(void)
{
	const struct kmheap_attr attr = { .flags = KMHEAP_COLLECTED, .owner = THIS_MODULE };

	client_commands = collect_commands;
	collect_heap = kmheap_create("collect", &attr);
	return PTR_ERR_OR_ZERO(collect_heap);
}

static void __exit collect_exit(void)
{
	if (collect_running)
		collect_stop();
	collect_free_tables();
	kmheap_destroy(collect_heap);
}

module_init(collect_init);
module_exit(collect_exit);
MODULE_DESCRIPTION("kmheap selftest: a collected heap under load");
MODULE_LICENSE("GPL");
