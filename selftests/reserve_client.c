// SPDX-License-Identifier: GPL-2.0
/* Storms of allocations from hardirq, softirq and NMI on all CPUs at once. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kmheap.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/smp.h>
#ifdef CONFIG_X86_LOCAL_APIC
#include <asm/apic.h>
#include <asm/nmi.h>
#endif

#include "client.h"

static struct kmheap *storm_heap;

enum storm_context { STORM_SOFTIRQ, STORM_HARDIRQ, STORM_NMI, STORM_CONTEXTS };

static const char * const storm_names[] = { "softirq", "hardirq", "nmi" };

/* Objects of a burst in one context on one CPU; one NMI asks for each size once only. */
#define STORM_OBJECTS		96U
#define STORM_NMI_OBJECTS	8U

/* About 4 KiB on the average. */
static const size_t storm_sizes[] = {
	8, 1024, 16, 4096, 24, 1024, 48, 8192, 64, 2048, 96, 4096, 128, 1500, 200, 16384,
	256, 1024, 8, 3000, 32, 640, 64, 6000, 400, 2048, 512, 4096, 512, 1024, 100, 65536,
};

struct storm_cpu {
	struct irq_work work;
	struct tasklet_struct tasklet;
	unsigned long done[STORM_CONTEXTS];	/* written on the CPU, in the context */
	unsigned long refused[STORM_CONTEXTS];
	unsigned long wrong;			/* found in another context, or not zero */
	unsigned int begin[STORM_CONTEXTS];	/* the first of the sizes */
	int nmi_wanted;
	void *p[STORM_CONTEXTS][STORM_OBJECTS];
};

static struct storm_cpu __percpu *storm_cpus;
static atomic_t storm_left;		/* handlers of this burst that have not ended */
static unsigned int storm_bursts;	/* so far */
static unsigned int storm_eighths;	/* sizes drift in eighths, so pages change their class */

/* ---- what the handlers do */

static void storm_alloc(struct storm_cpu *c, enum storm_context context, const size_t *sizes,
			unsigned int nsizes, unsigned int n)
{
	/* The kinds that NMIs want are learned one by one, so their sizes do not drift. */
	unsigned int i, eighths = context == STORM_NMI ? 8 : storm_eighths;

	for (i = 0; i < n; i++) {
		size_t size = sizes[(c->begin[context] + i) % nsizes] * eighths / 8;
		u8 *p = kmheap_alloc(storm_heap, size, GFP_ATOMIC | __GFP_ZERO);

		if (!p)
			c->refused[context]++;
		else if (memchr_inv(p, 0, min_t(size_t, size, 64)) || p[size - 1])
			c->wrong++;
		else
			memset(p, 0xff, min_t(size_t, size, 64));
		c->p[context][i] = p;
	}
	c->begin[context] += n + 1;
	c->done[context] += n;
	atomic_dec(&storm_left);
}

static void storm_softirq(struct tasklet_struct *t)
{
	struct storm_cpu *c = container_of(t, struct storm_cpu, tasklet);

	c->wrong += !in_serving_softirq();
	storm_alloc(c, STORM_SOFTIRQ, storm_sizes, ARRAY_SIZE(storm_sizes), STORM_OBJECTS);
}

static void storm_hardirq(struct irq_work *work)
{
	struct storm_cpu *c = container_of(work, struct storm_cpu, work);

	c->wrong += !in_hardirq();
	tasklet_schedule(&c->tasklet);
	storm_alloc(c, STORM_HARDIRQ, storm_sizes, ARRAY_SIZE(storm_sizes), STORM_OBJECTS);
}

#ifdef CONFIG_X86_LOCAL_APIC
static const size_t storm_nmi_sizes[] = {
	8, 64, 200, 1024, 4096, 16384, 32768, 65536, 40000, 8192, 2048, 512,
};

static int storm_nmi(unsigned int type, struct pt_regs *regs)
{
	struct storm_cpu *c = this_cpu_ptr(storm_cpus);

	if (!xchg(&c->nmi_wanted, 0))
		return NMI_DONE;
	c->wrong += !in_nmi();
	storm_alloc(c, STORM_NMI, storm_nmi_sizes, ARRAY_SIZE(storm_nmi_sizes),
		    STORM_NMI_OBJECTS);
	return NMI_HANDLED;
}

/* Sent in the middle of the other interrupts' work, with luck. */
static void storm_send_nmis(void)
{
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		atomic_inc(&storm_left);
		xchg(&per_cpu_ptr(storm_cpus, cpu)->nmi_wanted, 1);
		apic->send_IPI(cpu, NMI_VECTOR);
	}
}

static int storm_begin(void)
{
	return register_nmi_handler(NMI_LOCAL, storm_nmi, 0, "kmheap_storm");
}

static void storm_end(void)
{
	unregister_nmi_handler(NMI_LOCAL, "kmheap_storm");
}
#else
static void storm_send_nmis(void) { }
static int storm_begin(void) { return 0; }
static void storm_end(void) { }
#endif

/* ---- bursts */

#define STORM_LIMIT_MS	120000

static int storm_await(bool (*ready)(void))
{
	ktime_t limit = ktime_add_ms(ktime_get(), STORM_LIMIT_MS);

	while (!ready()) {
		if (ktime_after(ktime_get(), limit))
			return -ETIMEDOUT;
		usleep_range(100, 300);
	}
	return 0;
}

static bool storm_over(void)
{
	return !atomic_read(&storm_left);
}

/* Is everything there again that the last burst has drawn? */
static bool storm_refilled(void)
{
	struct kmheap_stats st;

	kmheap_stats(storm_heap, &st);
	return !st.reserve_missing_bytes;
}

static void storm_free(void)
{
	unsigned int cpu, i;

	for_each_possible_cpu(cpu) {
		struct storm_cpu *c = per_cpu_ptr(storm_cpus, cpu);

		for (i = 0; i < STORM_CONTEXTS; i++)
			kmheap_free_bulk(STORM_OBJECTS, c->p[i]);
		memset(c->p, 0, sizeof(c->p));
	}
}

/* An idle CPU may run this without an interrupt; irq_work always comes as an interrupt. */
static void storm_start(void *unused)
{
	irq_work_queue(this_cpu_ptr(&storm_cpus->work));
}

/* One burst on all CPUs. The objects stay. */
static int storm_burst(void)
{
	storm_eighths = 8 - storm_bursts++ / 8 % 4;
	atomic_set(&storm_left, 2 * num_online_cpus());
	preempt_disable();
	on_each_cpu(storm_start, NULL, false);
	storm_send_nmis();
	preempt_enable();
	return storm_await(storm_over);
}

static unsigned long storm_sum(bool refused)
{
	unsigned long sum = 0;
	unsigned int cpu, i;

	for_each_possible_cpu(cpu) {
		struct storm_cpu *c = per_cpu_ptr(storm_cpus, cpu);

		for (i = 0; i < STORM_CONTEXTS; i++)
			sum += refused ? c->refused[i] : c->done[i];
	}
	return sum;
}

/* A burst, and a wait until the worker has refilled the reserve. */
static int storm_paced_burst(void)
{
	int err = storm_burst();

	storm_free();
	return err ?: storm_await(storm_refilled);
}

/* Run bursts until @nclean of them in a row were not refused: the reserve is deep enough. */
static int storm_warm_up(unsigned int nclean)
{
	unsigned int clean = 0, bursts;
	int err = 0;

	for (bursts = 0; clean < nclean && bursts < 50 * nclean && !err; bursts++) {
		unsigned long refused = storm_sum(true);

		err = storm_paced_burst();
		clean = storm_sum(true) == refused ? clean + 1 : 0;
	}
	client_say("warm_up_bursts %u\n", bursts);
	return err ?: clean < nclean ? -ETIMEDOUT : 0;
}

static unsigned long storm_refused(enum storm_context context)
{
	unsigned long refused = 0;
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		refused += per_cpu_ptr(storm_cpus, cpu)->refused[context];
	return refused;
}

static void storm_say(void)
{
	unsigned long n, wrong = 0;
	unsigned int cpu, i;

	for (i = 0; i < STORM_CONTEXTS; i++) {
		n = 0;
		for_each_possible_cpu(cpu)
			n += per_cpu_ptr(storm_cpus, cpu)->done[i];
		client_say("%s %lu\n%s_refused %lu\n", storm_names[i], n, storm_names[i],
			   storm_refused(i));
	}
	for_each_possible_cpu(cpu)
		wrong += per_cpu_ptr(storm_cpus, cpu)->wrong;
	client_say("wrong %lu\n", wrong);
}

/* storm COUNT: allocations at a rate that the worker can keep up with. */
static int storm_cmd(char *args)
{
	unsigned long count, before = 0, refused = 0;
	unsigned int i;
	ktime_t start;
	int err;

	if (kstrtoul(args, 0, &count))
		return -EINVAL;
	cpus_read_lock();
	err = storm_begin();
	if (err)
		goto out;
	err = storm_warm_up(50);
	for (i = 0; i < STORM_CONTEXTS; i++)
		client_say("warm_up_%s_refused %lu\n", storm_names[i], storm_refused(i));
	before = storm_sum(false);
	refused = storm_sum(true);
	start = ktime_get();
	while (!err && storm_sum(false) - before < count)
		err = storm_paced_burst();
	client_say("allocs %lu\nrefused %lu\nms %lld\n", storm_sum(false) - before,
		   storm_sum(true) - refused, ktime_ms_delta(ktime_get(), start));
	storm_end();
out:
	cpus_read_unlock();
	storm_say();
	return err;
}

/* Keep the objects of earlier bursts, in lists whose head is in the first word of an object. */
static int storm_keep(void **kept)
{
	void **list;
	size_t bytes = num_possible_cpus() * sizeof(((struct storm_cpu *)NULL)->p);
	unsigned int cpu, i = 1;

	list = kvzalloc(sizeof(*list) + bytes, GFP_KERNEL);
	if (!list)
		return -ENOMEM;
	list[0] = *kept;
	*kept = list;
	for_each_possible_cpu(cpu) {
		struct storm_cpu *c = per_cpu_ptr(storm_cpus, cpu);

		memcpy(list + i, c->p, sizeof(c->p));
		memset(c->p, 0, sizeof(c->p));
		i += sizeof(c->p) / sizeof(void *);
	}
	return 0;
}

/* flood BURSTS: as fast as possible; nothing is freed meanwhile. */
static int storm_flood_cmd(char *args)
{
	size_t n = num_possible_cpus() * sizeof(((struct storm_cpu *)NULL)->p) / sizeof(void *);
	void **kept = NULL, **list;
	unsigned int bursts;
	int err;

	if (kstrtouint(args, 0, &bursts))
		return -EINVAL;
	cpus_read_lock();
	err = storm_begin();
	while (!err && bursts--) {
		err = storm_burst();
		if (!err)
			err = storm_keep((void **)&kept);
	}
	storm_end();
	cpus_read_unlock();
	storm_free();
	while ((list = kept)) {
		kept = list[0];
		kmheap_free_bulk(n, list + 1);
		kvfree(list);
	}
	storm_say();
	return err ?: storm_await(storm_refilled);
}

static int storm_shrink_cmd(char *args)
{
	client_say("bytes %zu\n", kmheap_shrink(storm_heap));
	return 0;
}

static const struct client_command storm_commands[] = {
	{ "storm", storm_cmd },
	{ "flood", storm_flood_cmd },
	{ "shrink", storm_shrink_cmd },
	{}
};

static int __init storm_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };
	unsigned int cpu;

	client_commands = storm_commands;
	storm_cpus = alloc_percpu(struct storm_cpu);
	if (!storm_cpus)
		return -ENOMEM;
	for_each_possible_cpu(cpu) {
		struct storm_cpu *c = per_cpu_ptr(storm_cpus, cpu);

		c->work = IRQ_WORK_INIT_HARD(storm_hardirq);
		tasklet_setup(&c->tasklet, storm_softirq);
		c->begin[STORM_SOFTIRQ] = 7 * cpu;
		c->begin[STORM_NMI] = 5 * cpu;
	}
	storm_heap = kmheap_create("storm", &attr);
	if (!IS_ERR(storm_heap))
		return 0;
	free_percpu(storm_cpus);
	return PTR_ERR(storm_heap);
}

static void __exit storm_exit(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		irq_work_sync(&per_cpu_ptr(storm_cpus, cpu)->work);
		tasklet_kill(&per_cpu_ptr(storm_cpus, cpu)->tasklet);
	}
	kmheap_destroy(storm_heap);
	free_percpu(storm_cpus);
}

module_init(storm_init);
module_exit(storm_exit);
MODULE_DESCRIPTION("kmheap selftest: storms of interrupts that allocate");
MODULE_LICENSE("GPL");
