// SPDX-License-Identifier: GPL-2.0
/*
 * A client that is unloaded in the middle of its work: on every CPU a thread and a work item
 * allocate and free, half of it after a grace period, while heaps come and go. Objects that
 * it leaves behind are counted.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#define FIRE_OBJECTS	128U		/* per actor */

static bool leave;
module_param(leave, bool, 0400);
MODULE_PARM_DESC(leave, "leave what is allocated to kmheap_destroy()");

static unsigned int steps = 500;
module_param(steps, uint, 0400);
MODULE_PARM_DESC(steps, "of each thread before the module is loaded");

/* Only its own context touches an actor. */
struct fire_actor {
	void *object[FIRE_OBJECTS];
	u64 seed;
	unsigned long steps;
};

struct fire_cpu {
	struct task_struct *task;
	struct fire_actor thread;
	struct fire_actor worker;
	struct work_struct work;
};

static struct kmheap *fire_heap;
static struct fire_cpu *fire_cpus;	/* nr_cpu_ids */

static u32 fire_random(struct fire_actor *a)
{
	a->seed ^= a->seed << 13;
	a->seed ^= a->seed >> 7;
	a->seed ^= a->seed << 17;
	return a->seed >> 16;
}

static void *fire_alloc(struct fire_actor *a)
{
	u32 r = fire_random(a);

	switch (r % 16) {
	case 0:
		/* Whole pages, because kmheap reports the bytes asked for of large objects. */
		return kmheap_alloc(fire_heap, (5 + (r >> 8) % 8) * KMHEAP_PAGE_SIZE, GFP_KERNEL);
	case 1:
		return kmheap_alloc(fire_heap, 1 + (r >> 8) % KMHEAP_MAX_SMALL, GFP_KERNEL);
	case 2:
	case 3:
		return kmheap_alloc_data(fire_heap, 16 + (r >> 8) % 500, GFP_ATOMIC);
	default:
		return kmheap_alloc(fire_heap, 1 + (r >> 8) % 2000, GFP_NOWAIT);
	}
}

static void fire_step(struct fire_actor *a)
{
	u32 r = fire_random(a);
	void **p = &a->object[r % FIRE_OBJECTS];

	if (*p && r & BIT(16))
		kmheap_free_rcu(*p);
	else
		kmheap_free(*p);
	*p = fire_alloc(a);
	WRITE_ONCE(a->steps, a->steps + 1);
}

static void fire_work(struct work_struct *work)
{
	struct fire_cpu *c = container_of(work, struct fire_cpu, work);
	unsigned int i;

	for (i = 0; i < 32; i++)
		fire_step(&c->worker);
}

/* Create a heap, use it and destroy it. */
static void fire_heap_in_passing(struct fire_cpu *c)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };
	struct kmheap *heap;
	char name[32];
	unsigned int i;

	snprintf(name, sizeof(name), "passing%td", c - fire_cpus);
	heap = kmheap_create(name, &attr);
	if (IS_ERR(heap))
		return;
	for (i = 0; i < 100; i++)
		kmheap_free_rcu(kmheap_alloc(heap, 1 + fire_random(&c->thread) % 5000, GFP_KERNEL));
	kmheap_destroy(heap);
}

static int fire_thread(void *arg)
{
	struct fire_cpu *c = arg;
	unsigned int i;

	while (!kthread_should_stop()) {
		for (i = 0; i < 64; i++)
			fire_step(&c->thread);
		schedule_work(&c->work);
		if (fire_random(&c->thread) % 256 == 0)
			fire_heap_in_passing(c);
		cond_resched();
	}
	return 0;
}

/* ---- the end */

static void fire_stop(void)
{
	unsigned int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		if (fire_cpus[cpu].task)
			kthread_stop(fire_cpus[cpu].task);
		fire_cpus[cpu].task = NULL;
	}
	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		cancel_work_sync(&fire_cpus[cpu].work);
}

struct fire_sum {
	unsigned long objects;
	size_t bytes;
};

static void fire_end_actor(struct fire_actor *a, struct fire_sum *sum)
{
	unsigned int i;

	for (i = 0; i < FIRE_OBJECTS; i++) {
		if (!a->object[i])
			continue;
		sum->objects++;
		sum->bytes += kmheap_size(a->object[i]);
		if (!leave)
			kmheap_free_rcu(a->object[i]);
	}
}

/* Wait for nothing: deferred frees and kmheap's own work are for kmheap to end. */
static void fire_end(void)
{
	struct fire_sum sum = { };
	unsigned int cpu;

	fire_stop();
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		fire_end_actor(&fire_cpus[cpu].thread, &sum);
		fire_end_actor(&fire_cpus[cpu].worker, &sum);
	}
	pr_info("%s %lu objects of %zu bytes\n", leave ? "leaves" : "frees", sum.objects,
		sum.bytes);
	kmheap_destroy(fire_heap);
	kvfree(fire_cpus);
}

/* ---- the beginning */

static int fire_start(void)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		struct fire_cpu *c = &fire_cpus[cpu];
		struct task_struct *task = kthread_create(fire_thread, c, "kmheap-fire/%u", cpu);

		if (IS_ERR(task))
			return PTR_ERR(task);
		c->task = task;
		set_cpus_allowed_ptr(task, cpumask_of(cpu));
		wake_up_process(task);
	}
	return 0;
}

static bool fire_is_hot(void)
{
	unsigned int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		if (fire_cpus[cpu].task && READ_ONCE(fire_cpus[cpu].thread.steps) < steps)
			return false;
	return true;
}

/* Returns when every thread has done its first steps. */
static int __init fire_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };
	unsigned int cpu;
	int err;

	fire_cpus = kvcalloc(nr_cpu_ids, sizeof(*fire_cpus), GFP_KERNEL);
	if (!fire_cpus)
		return -ENOMEM;
	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		fire_cpus[cpu].thread.seed = get_random_u64() | 1;
		fire_cpus[cpu].worker.seed = get_random_u64() | 1;
		INIT_WORK(&fire_cpus[cpu].work, fire_work);
	}
	fire_heap = kmheap_create("fire", &attr);
	if (IS_ERR(fire_heap)) {
		kvfree(fire_cpus);
		return PTR_ERR(fire_heap);
	}
	err = fire_start();
	while (!err && !fire_is_hot())
		usleep_range(500, 1000);
	if (err)
		fire_end();
	return err;
}

static void __exit fire_exit(void)
{
	fire_end();
}

module_init(fire_init);
module_exit(fire_exit);
MODULE_DESCRIPTION("kmheap selftest: unloaded while it works");
MODULE_LICENSE("GPL");
