// SPDX-License-Identifier: GPL-2.0
/*
 * Readers of RCU-protected objects beside writers that give the old ones to
 * kmheap_free_rcu(), on every CPU.
 *
 * A slot holds an object of its own size, filled with words that follow from the slot's
 * number and from how often it was written. Writers fill a new object at once, exchange it
 * with the slot's, and do not touch the old one again. So a reader that sees the contents
 * change within its rcu_read_lock() has seen memory reused too early; and the object that it
 * reads must be live or deferred, never free.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#ifdef CONFIG_X86_LOCAL_APIC
#include <asm/apic.h>
#include <asm/nmi.h>
#endif

#include "client.h"

#define GRACE_SLOTS	1024U
#define GRACE_SEQS	BIT(22)	/* so that number and count fit into a word */
#define GRACE_KEPT	32U

struct grace_slot {
	u32 __rcu *p;
	u32 bytes;			/* a multiple of 4 */
	bool data;
	atomic_t writes;
};

/* Only its own context touches an actor, so nothing here needs a lock. */
struct grace_actor {
	u64 seed;
	bool task;			/* may sleep */
	u64 writes;
	u64 deferred;
	u64 refused;
	unsigned int nkept;
	u32 *kept[GRACE_KEPT];		/* freed after a grace period that the actor waits for */
};

struct grace_cpu {
	struct task_struct *reader, *writer;
	u64 seed;
	u64 rounds;
	bool done;
	struct grace_actor thread;
	struct grace_actor irq;
	struct grace_actor soft;
	struct grace_actor nmi;
	struct irq_work work;
	struct tasklet_struct tasklet;
};

static struct kmheap *grace_heap;
static struct grace_slot grace_slots[GRACE_SLOTS];
static struct grace_cpu *grace_cpus;		/* nr_cpu_ids of them */
static u64 grace_rounds;			/* of each reader */
static atomic_t grace_mismatches;
static bool grace_running;
static DEFINE_RAW_SPINLOCK(grace_raw_lock);

static u32 grace_random(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed >> 16;
}

/* Every other time one of a few slots, of all kinds, where readers and writers meet. */
static u32 grace_pick(u64 *seed)
{
	u32 r = grace_random(seed);

	return (r >> 16 & 1 ? r % 64 * 17 : r) % GRACE_SLOTS;
}

/* ---- contents */

/* Packed data, other data, objects of 8 bytes to 32 KiB, and 16 large ones. */
static void grace_slot_init(unsigned int i)
{
	struct grace_slot *slot = &grace_slots[i];
	u32 bytes = 8U << i / 16 % 13;

	if (i % 2)
		bytes = round_up(bytes - bytes / 4, 4);
	slot->data = i % 16 < 5;
	if (i % 16 < 3)
		bytes = 4 + 4 * (i % 16);
	else if (i % 64 == 63)
		bytes = SZ_64K;
	slot->bytes = bytes;
}

static u32 grace_word(u32 canary, u32 off)
{
	return canary + off * 0x9e3779b1;
}

/*
 * Calls @touch for all of the first 64 bytes, then for a word every 256 bytes (every
 * page of large objects), and the last word: filling whole objects under emulation
 * would take the time that the allocator should have.
 */
static __always_inline bool grace_touch(u32 *p, u32 bytes, u32 canary,
					bool (*touch)(u32 *word, u32 value))
{
	u32 step = bytes > KMHEAP_MAX_SMALL ? PAGE_SIZE : 256, off;
	bool ok = true;

	for (off = 0; off < bytes && off < 64; off += 4)
		ok &= touch(p + off / 4, grace_word(canary, off));
	for (off = step; off < bytes; off += step)
		ok &= touch(p + off / 4, grace_word(canary, off));
	off = bytes - 4;
	return ok & touch(p + off / 4, grace_word(canary, off));
}

static bool grace_fill_word(u32 *word, u32 value)
{
	WRITE_ONCE(*word, value);
	return true;
}

static bool grace_check_word(u32 *word, u32 value)
{
	return READ_ONCE(*word) == value;
}

static u32 grace_next_canary(unsigned int i)
{
	u32 seq;

	do {
		seq = (u32)atomic_inc_return(&grace_slots[i].writes) % GRACE_SEQS;
	} while (!seq);		/* zeroed memory belongs to no slot */
	return seq * GRACE_SLOTS + i;
}

static u32 *grace_new(unsigned int i, gfp_t gfp)
{
	const struct grace_slot *slot = &grace_slots[i];
	u32 *p = slot->data ? kmheap_alloc_data(grace_heap, slot->bytes, gfp) :
			      kmheap_alloc(grace_heap, slot->bytes, gfp);

	if (p)
		grace_touch(p, slot->bytes, grace_next_canary(i), grace_fill_word);
	return p;
}

/* ---- readers */

static void grace_mismatch(const char *when, unsigned int i, const u32 *p, u32 was)
{
	if (!atomic_fetch_inc(&grace_mismatches))
		pr_err("MISMATCH %s: slot %u of %u bytes, %#x was %#x\n", when, i,
		       grace_slots[i].bytes, READ_ONCE(*p), was);
}

/*
 * Is the object live or deferred? A lookup during a free may see it as neither, so look
 * twice; at a large object for longer than that.
 */
static bool grace_is_kept(const u32 *p)
{
	struct kmheap_object obj;
	unsigned int tries;

	for (tries = 0; tries < 2; tries++)
		if (kmheap_lookup(p, &obj) && obj.base == p &&
		    (obj.state == KMHEAP_OBJECT_LIVE || obj.state == KMHEAP_OBJECT_DEFERRED))
			return true;
	return false;
}

/* Look at the contents twice in an RCU read-side section, with time in between. */
static void grace_look(unsigned int i, u32 *p, unsigned int us, unsigned int spins)
{
	u32 bytes = grace_slots[i].bytes, canary = READ_ONCE(*p);

	if (canary < GRACE_SLOTS || canary % GRACE_SLOTS != i ||
	    !grace_touch(p, bytes, canary, grace_check_word))
		grace_mismatch("at once", i, p, canary);
	while (spins--)
		cpu_relax();
	mdelay(us / 1000);
	udelay(us % 1000);
	if (!grace_touch(p, bytes, canary, grace_check_word))
		grace_mismatch("later", i, p, canary);
	else if (bytes <= KMHEAP_MAX_SMALL && !grace_is_kept(p))
		grace_mismatch("freed already", i, p, canary);
}

static void grace_read(struct grace_cpu *c)
{
	u32 r = grace_random(&c->seed), i = grace_pick(&c->seed);
	unsigned int us = 0;
	u32 *p;

	/* Now and then for longer than it takes to fill a set of deferred frees. */
	if (r % 8192 == 0)
		us = 1000 + (r >> 13) % 29000;
	else if (r % 1024 == 0)
		us = 100 + (r >> 10) % 900;
	else if (r % 64 == 0)
		us = (r >> 10) % 50;
	rcu_read_lock();
	p = rcu_dereference(grace_slots[i].p);
	if (p)
		grace_look(i, p, us, (r >> 20) % 64);
	rcu_read_unlock();
	c->rounds++;
}

static int grace_reader(void *arg)
{
	struct grace_cpu *c = arg;

	while (!kthread_should_stop() && c->rounds < grace_rounds) {
		grace_read(c);
		cond_resched();
	}
	WRITE_ONCE(c->done, true);
	while (!kthread_should_stop())
		msleep(20);
	return 0;
}

/* ---- writers */

static void grace_free_kept(struct grace_actor *a)
{
	if (!a->nkept)
		return;
	synchronize_rcu();
	while (a->nkept)
		kmheap_free(a->kept[--a->nkept]);
}

/* Readers may still use @old, but no writer looks at it again. */
static void grace_retire_in_task(struct grace_actor *a, u32 *old)
{
	unsigned long flags;

	switch (grace_random(&a->seed) % 16) {
	case 0:
		rcu_read_lock();
		kmheap_free_rcu(old);
		rcu_read_unlock();
		break;
	case 1:
		local_irq_save(flags);
		kmheap_free_rcu(old);
		local_irq_restore(flags);
		break;
	case 2:
		raw_spin_lock_irqsave(&grace_raw_lock, flags);
		kmheap_free_rcu(old);
		raw_spin_unlock_irqrestore(&grace_raw_lock, flags);
		break;
	case 3:
		a->deferred--;
		a->kept[a->nkept++] = old;
		if (a->nkept == GRACE_KEPT)
			grace_free_kept(a);
		break;
	default:
		kmheap_free_rcu(old);
	}
}

static void grace_write(struct grace_actor *a, gfp_t gfp)
{
	u32 i = grace_pick(&a->seed);
	u32 *p = grace_new(i, gfp), *old;

	if (!p) {
		a->refused++;
		return;
	}
	a->writes++;
	old = unrcu_pointer(xchg(&grace_slots[i].p, RCU_INITIALIZER(p)));
	if (!old)
		return;
	a->deferred++;
	if (a->task)
		grace_retire_in_task(a, old);
	else
		kmheap_free_rcu(old);
}

static void grace_writes(struct grace_actor *a, unsigned int n, gfp_t gfp)
{
	while (n--)
		grace_write(a, gfp);
}

static void grace_in_irq(struct irq_work *work)
{
	struct grace_cpu *c = container_of(work, struct grace_cpu, work);

	if (in_hardirq())
		grace_writes(&c->irq, 4, GFP_ATOMIC);
	tasklet_schedule(&c->tasklet);
}

static void grace_in_softirq(struct tasklet_struct *t)
{
	struct grace_cpu *c = container_of(t, struct grace_cpu, tasklet);

	if (in_serving_softirq())
		grace_writes(&c->soft, 4, GFP_ATOMIC);
}

static int grace_writer(void *arg)
{
	struct grace_cpu *c = arg;

	while (!kthread_should_stop()) {
		grace_writes(&c->thread, 32, GFP_KERNEL);
		preempt_disable();
		irq_work_queue(&grace_cpus[smp_processor_id()].work);
		preempt_enable();
		cond_resched();
	}
	grace_free_kept(&c->thread);
	return 0;
}

/* ---- writers in NMI */

#ifdef CONFIG_X86_LOCAL_APIC
static int grace_nmi_cpu = -1;
static atomic_t grace_nmi_wanted;

static int grace_in_nmi(unsigned int type, struct pt_regs *regs)
{
	if (raw_smp_processor_id() != READ_ONCE(grace_nmi_cpu) ||
	    !atomic_xchg(&grace_nmi_wanted, 0))
		return NMI_DONE;
	grace_writes(&grace_cpus[grace_nmi_cpu].nmi, 8, GFP_ATOMIC);
	return NMI_HANDLED;
}

#define GRACE_NMI_LEAST		32U	/* they write 8 times each */

/* Ten seconds for NMIs beyond the least number; two minutes if even that number never arrives. */
static bool grace_nmi_goes_on(unsigned int sent, ktime_t start)
{
	s64 ms = ktime_ms_delta(ktime_get(), start);

	return ms < (sent < GRACE_NMI_LEAST ? 120000 : 10000);
}

/* Send NMIs to all other CPUs in turn; each must be taken before the next. Returns how many. */
static unsigned int grace_nmi_send(unsigned int count)
{
	ktime_t start = ktime_get();
	unsigned int sent = 0;
	int cpu = 0;

	while (sent < count && grace_nmi_goes_on(sent, start)) {
		cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_first(cpu_online_mask);
		preempt_disable();
		if (cpu != smp_processor_id()) {
			WRITE_ONCE(grace_nmi_cpu, cpu);
			atomic_set(&grace_nmi_wanted, 1);
			apic->send_IPI(cpu, NMI_VECTOR);
			sent++;
		}
		preempt_enable();
		while (atomic_read(&grace_nmi_wanted) && grace_nmi_goes_on(0, start))
			cond_resched();
	}
	return sent;
}

/* nmi COUNT: while the rest runs */
static int grace_nmi_cmd(char *args)
{
	unsigned int count;
	int err;

	if (!grace_running || kstrtouint(args, 0, &count))
		return -EINVAL;
	cpus_read_lock();
	err = register_nmi_handler(NMI_LOCAL, grace_in_nmi, 0, "kmheap_rcu_test");
	if (!err) {
		client_say("sent %u\n", grace_nmi_send(count));
		unregister_nmi_handler(NMI_LOCAL, "kmheap_rcu_test");
	}
	cpus_read_unlock();
	return err;
}
#else
static int grace_nmi_cmd(char *args)
{
	return -EOPNOTSUPP;
}
#endif

/* ---- start, figures, stop */

static struct task_struct *grace_run(int (*fn)(void *arg), void *arg, const char *name, int cpu)
{
	struct task_struct *task = kthread_create(fn, arg, "kmheap-%s/%d", name, cpu);

	if (IS_ERR(task))
		return NULL;
	set_cpus_allowed_ptr(task, cpumask_of(cpu));
	wake_up_process(task);
	return task;
}

static void grace_stop(void)
{
	int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		struct grace_cpu *c = &grace_cpus[cpu];

		if (c->writer)
			kthread_stop(c->writer);
		irq_work_sync(&c->work);
		tasklet_kill(&c->tasklet);
		if (c->reader)
			kthread_stop(c->reader);
	}
	grace_running = false;
}

static void grace_cpu_init(struct grace_cpu *c, u64 seed)
{
	seed = seed * 0x9e3779b97f4a7c15ULL + 1;
	c->seed = seed;
	c->thread = (struct grace_actor){ .seed = seed + 1, .task = true };
	c->irq.seed = seed + 2;
	c->soft.seed = seed + 3;
	c->nmi.seed = seed + 4;
	c->done = true;
	c->work = IRQ_WORK_INIT_HARD(grace_in_irq);
	tasklet_setup(&c->tasklet, grace_in_softirq);
}

/* start ROUNDS: of all readers together */
static int grace_start_cmd(char *args)
{
	u64 rounds;
	int cpu, err = 0;

	if (grace_running)
		return -EBUSY;
	if (kstrtou64(args, 0, &rounds))
		return -EINVAL;
	grace_rounds = div_u64(rounds, num_online_cpus()) + 1;
	memset(grace_cpus, 0, nr_cpu_ids * sizeof(*grace_cpus));
	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		grace_cpu_init(&grace_cpus[cpu], cpu + 1);
	atomic_set(&grace_mismatches, 0);
	grace_running = true;
	for_each_online_cpu(cpu) {
		struct grace_cpu *c = &grace_cpus[cpu];

		c->done = false;
		c->reader = grace_run(grace_reader, c, "reader", cpu);
		c->writer = grace_run(grace_writer, c, "writer", cpu);
		if (!c->reader || !c->writer)
			err = -ENOMEM;
	}
	if (err)
		grace_stop();
	return err;
}

static void grace_say(void)
{
	u64 rounds = 0, writes = 0, deferred = 0, refused = 0, hard = 0, soft = 0, nmi = 0;
	bool running = false;
	int cpu;

	for (cpu = 0; cpu < nr_cpu_ids; cpu++) {
		const struct grace_cpu *c = &grace_cpus[cpu];

		running |= !READ_ONCE(c->done);
		rounds += c->rounds;
		writes += c->thread.writes;
		hard += c->irq.writes;
		soft += c->soft.writes;
		nmi += c->nmi.writes;
		deferred += c->thread.deferred + c->irq.deferred + c->soft.deferred +
			    c->nmi.deferred;
		refused += c->thread.refused + c->irq.refused + c->soft.refused + c->nmi.refused;
	}
	client_say("running %d\nrounds %llu\nmismatches %d\n", running, rounds,
		   atomic_read(&grace_mismatches));
	client_say("writes %llu\nhardirq_writes %llu\nsoftirq_writes %llu\nnmi_writes %llu\n",
		   writes + hard + soft + nmi, hard, soft, nmi);
	client_say("deferred_frees %llu\nrefused %llu\n", deferred, refused);
}

static int grace_figures_cmd(char *args)
{
	if (!grace_running)
		return -ENODEV;
	grace_say();
	return 0;
}

/* stop: end the threads; what is in the slots stays there, "held" says how many. */
static int grace_stop_cmd(char *args)
{
	unsigned int i, held = 0;

	if (!grace_running)
		return -ENODEV;
	grace_stop();
	for (i = 0; i < GRACE_SLOTS; i++)
		held += !!rcu_access_pointer(grace_slots[i].p);
	grace_say();
	client_say("held %u\n", held);
	return 0;
}

static int grace_barrier_cmd(char *args)
{
	kmheap_rcu_barrier(grace_heap);
	return 0;
}

/* Free the objects of all slots, although readers may be using them: that is what is tested. */
static void grace_clear(void)
{
	unsigned int i;

	for (i = 0; i < GRACE_SLOTS; i++)
		kmheap_free_rcu(unrcu_pointer(xchg(&grace_slots[i].p, NULL)));
}

static int grace_clear_cmd(char *args)
{
	grace_clear();
	return 0;
}

static const struct client_command grace_commands[] = {
	{ "start", grace_start_cmd },
	{ "figures", grace_figures_cmd },
	{ "nmi", grace_nmi_cmd },
	{ "stop", grace_stop_cmd },
	{ "barrier", grace_barrier_cmd },
	{ "clear", grace_clear_cmd },
	{}
};

static int __init grace_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };
	unsigned int i;

	for (i = 0; i < GRACE_SLOTS; i++)
		grace_slot_init(i);
	client_commands = grace_commands;
	grace_cpus = kcalloc(nr_cpu_ids, sizeof(*grace_cpus), GFP_KERNEL);
	if (!grace_cpus)
		return -ENOMEM;
	grace_heap = kmheap_create("rcu", &attr);
	if (IS_ERR(grace_heap))
		kfree(grace_cpus);
	return PTR_ERR_OR_ZERO(grace_heap);
}

/* Ends with deferred frees pending. */
static void __exit grace_exit(void)
{
	if (grace_running)
		grace_stop();
	grace_clear();
	kmheap_destroy(grace_heap);
	kfree(grace_cpus);
}

module_init(grace_init);
module_exit(grace_exit);
MODULE_DESCRIPTION("kmheap selftest: deferred frees beside RCU readers");
MODULE_LICENSE("GPL");
