// SPDX-License-Identifier: GPL-2.0
/* Allocates and frees in every context that a module can get into. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#ifdef CONFIG_X86_LOCAL_APIC
#include <asm/apic.h>
#include <asm/nmi.h>
#endif

#include "client.h"

static struct kmheap *ctx_heap;
static DEFINE_SPINLOCK(ctx_lock);
static DEFINE_RAW_SPINLOCK(ctx_raw_lock);

/* ---- the work of every context */

static const size_t ctx_sizes[] = { 1, 8, 24, 64, 200, 1024, 4096, 20000, 32768, 40000 };

static void *ctx_alloc(unsigned int i, gfp_t gfp)
{
	/* Every other object is data; the first of them is packed. */
	if (i % 2)
		return kmheap_zalloc(ctx_heap, ctx_sizes[i], gfp);
	return kmheap_alloc_data(ctx_heap, ctx_sizes[i], gfp | __GFP_ZERO);
}

/* -ENOMEM when something was refused, -EUCLEAN when contents were wrong. */
static int ctx_exercise(gfp_t gfp)
{
	void *p[ARRAY_SIZE(ctx_sizes)];
	unsigned int i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = ctx_alloc(i, gfp);
		if (!p[i])
			err = err ?: -ENOMEM;
		else if (memchr_inv(p[i], 0, ctx_sizes[i]))
			err = -EUCLEAN;
		else
			memset(p[i], i + 1, ctx_sizes[i]);
	}
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		if (p[i] && memchr_inv(p[i], i + 1, ctx_sizes[i]))
			err = -EUCLEAN;
		kmheap_free(p[i]);
	}
	return err;
}

static int ctx_task_cmd(char *args)
{
	return ctx_exercise(GFP_KERNEL);
}

static int ctx_preempt_off_cmd(char *args)
{
	int err;

	preempt_disable();
	err = ctx_exercise(GFP_ATOMIC);
	preempt_enable();
	return err;
}

static int ctx_irqs_off_cmd(char *args)
{
	unsigned long flags;
	int err;

	local_irq_save(flags);
	err = ctx_exercise(GFP_ATOMIC);
	local_irq_restore(flags);
	return err;
}

static int ctx_spinlock_cmd(char *args)
{
	unsigned long flags;
	int err;

	spin_lock_irqsave(&ctx_lock, flags);
	err = ctx_exercise(GFP_ATOMIC);
	spin_unlock_irqrestore(&ctx_lock, flags);
	return err;
}

static int ctx_raw_spinlock_cmd(char *args)
{
	unsigned long flags;
	int err;

	raw_spin_lock_irqsave(&ctx_raw_lock, flags);
	err = ctx_exercise(GFP_ATOMIC);
	raw_spin_unlock_irqrestore(&ctx_raw_lock, flags);
	return err;
}

static int ctx_bh_off_cmd(char *args)
{
	int err;

	local_bh_disable();
	err = ctx_exercise(GFP_ATOMIC);
	local_bh_enable();
	return err;
}

/* ---- interrupts */

static DECLARE_COMPLETION(ctx_done);
static int ctx_err;

static void ctx_tasklet_fn(struct tasklet_struct *t)
{
	ctx_err = in_serving_softirq() ? ctx_exercise(GFP_ATOMIC) : -ENOTSUPP;
	complete(&ctx_done);
}

static int ctx_softirq_cmd(char *args)
{
	struct tasklet_struct tasklet;

	tasklet_setup(&tasklet, ctx_tasklet_fn);
	reinit_completion(&ctx_done);
	tasklet_schedule(&tasklet);
	wait_for_completion(&ctx_done);
	tasklet_kill(&tasklet);
	return ctx_err;
}

static void ctx_irq_work_fn(struct irq_work *work)
{
	ctx_err = in_hardirq() ? ctx_exercise(GFP_ATOMIC) : -ENOTSUPP;
}

static int ctx_hardirq_cmd(char *args)
{
	struct irq_work work = IRQ_WORK_INIT_HARD(ctx_irq_work_fn);

	irq_work_queue(&work);
	irq_work_sync(&work);
	return ctx_err;
}

static void ctx_ipi_fn(void *arg)
{
	/*
	 * An idle CPU that polls runs this without an interrupt, but with interrupts off all
	 * the same.
	 */
	ctx_err = irqs_disabled() ? ctx_exercise(GFP_ATOMIC) : -ENOTSUPP;
}

static int ctx_ipi_cmd(char *args)
{
	int cpu, err = -ENODEV;

	cpus_read_lock();
	for_each_online_cpu(cpu) {
		preempt_disable();
		if (cpu != smp_processor_id())
			err = smp_call_function_single(cpu, ctx_ipi_fn, NULL, true) ?: ctx_err;
		preempt_enable();
		if (err && err != -ENODEV)
			break;
	}
	cpus_read_unlock();
	return err;
}

/* ---- NMI: one CPU sends them to another one, which allocates and frees all the time */

#ifdef CONFIG_X86_LOCAL_APIC
#define CTX_NMI_GIFTS	256U
#define CTX_NMI_LEAST	100U	/* as test_contexts.sh expects */
#define CTX_NMI_LIMIT_MS	60000

static int ctx_nmi_cpu = -1;
static atomic_t ctx_nmi_wanted;
static atomic_t ctx_nmi_taken;
static atomic_t ctx_nmi_wrong;
static atomic_t ctx_nmi_refused;
/* Objects that the thread leaves for the NMI to free. */
static void *ctx_nmi_gift[CTX_NMI_GIFTS];
static atomic_t ctx_nmi_gifts_freed;

static void ctx_nmi_work(unsigned int n)
{
	void *gift = xchg(&ctx_nmi_gift[n % CTX_NMI_GIFTS], NULL);
	int err = in_nmi() ? ctx_exercise(GFP_ATOMIC) : -ENOTSUPP;

	/* A size that would wrap if it were rounded up is refused, from the first time on. */
	if (kmheap_alloc(ctx_heap, -EINVAL, GFP_ATOMIC | __GFP_NOWARN))
		atomic_inc(&ctx_nmi_wrong);
	if (err == -ENOMEM)
		atomic_inc(&ctx_nmi_refused);
	else if (err)
		atomic_inc(&ctx_nmi_wrong);
	if (gift)
		atomic_inc(&ctx_nmi_gifts_freed);
	kmheap_free(gift);
}

static int ctx_nmi(unsigned int type, struct pt_regs *regs)
{
	if (raw_smp_processor_id() != READ_ONCE(ctx_nmi_cpu) ||
	    !atomic_xchg(&ctx_nmi_wanted, 0))
		return NMI_DONE;
	ctx_nmi_work(atomic_inc_return(&ctx_nmi_taken));
	return NMI_HANDLED;
}

static int ctx_nmi_target(void *arg)
{
	unsigned long n = 0;
	void *p[8];
	int *err = arg;
	unsigned int i;

	while (!kthread_should_stop()) {
		for (i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = kmheap_alloc(ctx_heap, 16UL << i, GFP_KERNEL);
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			if (!p[i])
				*err = -ENOMEM;
			kmheap_free(p[i]);
		}
		n++;
		if (!READ_ONCE(ctx_nmi_gift[n % CTX_NMI_GIFTS]))
			kmheap_free(xchg(&ctx_nmi_gift[n % CTX_NMI_GIFTS],
					 kmheap_alloc(ctx_heap, 48, GFP_KERNEL)));
		cond_resched();
	}
	return 0;
}

/* Some seconds for NMIs beyond the least number; a minute if even that number never arrives. */
static bool ctx_nmi_goes_on(unsigned int sent, ktime_t start)
{
	s64 ms = ktime_ms_delta(ktime_get(), start);

	return sent < CTX_NMI_LEAST ? ms < CTX_NMI_LIMIT_MS : ms < 5000;
}

/* Send as many as there is time for; each must be taken before the next. Returns how many. */
static unsigned int ctx_nmi_send(unsigned int count)
{
	ktime_t limit = ktime_add_ms(ktime_get(), 2 * CTX_NMI_LIMIT_MS), start;
	unsigned int sent;

	/* The target has begun, so the first NMIs find all objects. */
	while (!READ_ONCE(ctx_nmi_gift[0]) && ktime_before(ktime_get(), limit))
		cond_resched();
	start = ktime_get();
	for (sent = 0; sent < count && ctx_nmi_goes_on(sent, start); sent++) {
		atomic_set(&ctx_nmi_wanted, 1);
		preempt_disable();
		apic->send_IPI(ctx_nmi_cpu, NMI_VECTOR);
		preempt_enable();
		while (atomic_read(&ctx_nmi_wanted) && ktime_before(ktime_get(), limit))
			cond_resched();
	}
	return sent;
}

static int ctx_nmi_run(unsigned int count)
{
	struct task_struct *task;
	unsigned int i;
	int err = 0;

	task = kthread_create(ctx_nmi_target, &err, "kmheap-nmi");
	if (IS_ERR(task))
		return PTR_ERR(task);
	set_cpus_allowed_ptr(task, cpumask_of(ctx_nmi_cpu));
	wake_up_process(task);
	client_say("sent %u\n", ctx_nmi_send(count));
	kthread_stop(task);
	for (i = 0; i < CTX_NMI_GIFTS; i++) {
		kmheap_free(ctx_nmi_gift[i]);
		ctx_nmi_gift[i] = NULL;
	}
	return err;
}

/* nmi COUNT */
static int ctx_nmi_cmd(char *args)
{
	unsigned int count;
	int err;

	if (kstrtouint(args, 0, &count))
		return -EINVAL;
	atomic_set(&ctx_nmi_taken, 0);
	cpus_read_lock();
	ctx_nmi_cpu = cpumask_next(raw_smp_processor_id(), cpu_online_mask);
	if (ctx_nmi_cpu >= nr_cpu_ids)
		ctx_nmi_cpu = cpumask_first(cpu_online_mask);
	err = register_nmi_handler(NMI_LOCAL, ctx_nmi, 0, "kmheap_test");
	if (!err) {
		err = ctx_nmi_run(count);
		unregister_nmi_handler(NMI_LOCAL, "kmheap_test");
	}
	cpus_read_unlock();
	client_say("taken %d\nrefused %d\nwrong %d\ngifts %d\n", atomic_read(&ctx_nmi_taken),
		   atomic_read(&ctx_nmi_refused), atomic_read(&ctx_nmi_wrong),
		   atomic_read(&ctx_nmi_gifts_freed));
	return err;
}
#else
static int ctx_nmi_cmd(char *args)
{
	return -EOPNOTSUPP;
}
#endif

/* ---- scopes and flags */

/* Make a heap grow in the caller's scope. */
static int ctx_grow(gfp_t gfp)
{
	static const struct kmheap_attr attr = { .owner = THIS_MODULE };
	struct kmheap *heap = kmheap_create("growing", &attr);
	struct kmheap_stats before, after;
	void *p[16];
	unsigned int i;
	int err = 0;

	if (IS_ERR(heap))
		return PTR_ERR(heap);
	kmheap_stats(heap, &before);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmheap_alloc(heap, 256 << 10, gfp);
		if (!p[i])
			err = -ENOMEM;
	}
	kmheap_stats(heap, &after);
	client_say("arenas_before %llu\narenas_after %llu\n", before.arenas, after.arenas);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		kmheap_free(p[i]);
	kmheap_destroy(heap);
	return err;
}

static int ctx_noio_cmd(char *args)
{
	unsigned int flags = memalloc_noio_save();
	int err = ctx_grow(GFP_KERNEL);

	if (!(current->flags & PF_MEMALLOC_NOIO))
		err = -EUCLEAN;
	memalloc_noio_restore(flags);
	return err;
}

static int ctx_nofs_cmd(char *args)
{
	unsigned int flags = memalloc_nofs_save();
	int err = ctx_grow(GFP_KERNEL);

	if (!(current->flags & PF_MEMALLOC_NOFS))
		err = -EUCLEAN;
	memalloc_nofs_restore(flags);
	return err;
}

static int ctx_noio_flag_cmd(char *args)
{
	return ctx_grow(GFP_NOIO);
}

static int ctx_growing_cmd(char *args)
{
	return ctx_grow(GFP_KERNEL);
}

/* More than the worker can bring meanwhile: 8 MiB at most each time that it runs. */
#define CTX_BURST	16384U

struct ctx_burst {
	struct kmheap *heap;
	void **p;
	unsigned int got;
	unsigned int refused;
};

static int ctx_burst_begin(struct ctx_burst *b, const char *name)
{
	static const struct kmheap_attr attr = { .owner = THIS_MODULE };

	*b = (struct ctx_burst){};
	b->p = kvcalloc(CTX_BURST, sizeof(*b->p), GFP_KERNEL);
	if (!b->p)
		return -ENOMEM;
	b->heap = kmheap_create(name, &attr);
	if (!IS_ERR(b->heap))
		return 0;
	kvfree(b->p);
	return PTR_ERR(b->heap);
}

/* Allocate until 8 requests have been refused: more than the heap has. */
static void ctx_burst_alloc(struct ctx_burst *b, gfp_t gfp)
{
	while (b->got < CTX_BURST && b->refused < 8) {
		b->p[b->got] = kmheap_alloc(b->heap, 8192, gfp);
		if (b->p[b->got])
			b->got++;
		else
			b->refused++;
	}
}

static void ctx_burst_end(struct ctx_burst *b)
{
	while (b->got)
		kmheap_free(b->p[--b->got]);
	kmheap_destroy(b->heap);
	kvfree(b->p);
}

/* Did a task that could sleep, but must not, give up its CPU voluntarily? */
static int ctx_nowait_cmd(char *args)
{
	struct ctx_burst b;
	unsigned long before, after;
	int err = ctx_burst_begin(&b, "nowait");

	if (err)
		return err;
	before = current->nvcsw;
	ctx_burst_alloc(&b, GFP_NOWAIT | __GFP_NOWARN);
	after = current->nvcsw;
	client_say("got %u\nrefused %u\nsleeps %lu\n", b.got, b.refused, after - before);
	ctx_burst_end(&b);
	return 0;
}

/* A burst that cannot sleep empties the heap: how long until the worker has refilled it? */
static int ctx_burst_cmd(char *args)
{
	struct kmheap_stats st;
	unsigned long flags;
	struct ctx_burst b;
	ktime_t start;
	void *p = NULL;
	int err = ctx_burst_begin(&b, "burst");

	if (err)
		return err;
	raw_spin_lock_irqsave(&ctx_raw_lock, flags);
	ctx_burst_alloc(&b, GFP_ATOMIC);
	raw_spin_unlock_irqrestore(&ctx_raw_lock, flags);
	kmheap_stats(b.heap, &st);
	client_say("got %u\nrefused %u\ncounted %llu\n", b.got, b.refused, st.refused_allocs);

	start = ktime_get();
	while (!p && ktime_ms_delta(ktime_get(), start) < 60000) {
		usleep_range(1000, 2000);
		p = kmheap_alloc(b.heap, 8192, GFP_ATOMIC);
	}
	client_say("refilled %d\nmilliseconds %lld\n", !!p, ktime_ms_delta(ktime_get(), start));
	kmheap_free(p);
	ctx_burst_end(&b);
	return 0;
}

static const struct client_command ctx_commands[] = {
	{ "task", ctx_task_cmd },
	{ "preempt_off", ctx_preempt_off_cmd },
	{ "irqs_off", ctx_irqs_off_cmd },
	{ "spinlock", ctx_spinlock_cmd },
	{ "raw_spinlock", ctx_raw_spinlock_cmd },
	{ "bh_off", ctx_bh_off_cmd },
	{ "softirq", ctx_softirq_cmd },
	{ "hardirq", ctx_hardirq_cmd },
	{ "ipi", ctx_ipi_cmd },
	{ "nmi", ctx_nmi_cmd },
	{ "noio", ctx_noio_cmd },
	{ "nofs", ctx_nofs_cmd },
	{ "noio_flag", ctx_noio_flag_cmd },
	{ "growing", ctx_growing_cmd },
	{ "nowait", ctx_nowait_cmd },
	{ "burst", ctx_burst_cmd },
	{}
};

static int __init ctx_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };
	int err;

	client_commands = ctx_commands;
	ctx_heap = kmheap_create("contexts", &attr);
	if (IS_ERR(ctx_heap))
		return PTR_ERR(ctx_heap);
	/* With a reserve contexts that cannot sleep find pages. */
	err = kmheap_set_reserve(ctx_heap, 1 << 20);
	if (err)
		kmheap_destroy(ctx_heap);
	return err;
}

static void __exit ctx_exit(void)
{
	kmheap_destroy(ctx_heap);
}

module_init(ctx_init);
module_exit(ctx_exit);
MODULE_DESCRIPTION("kmheap selftest: every context");
MODULE_LICENSE("GPL");
