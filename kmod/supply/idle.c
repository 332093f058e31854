// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs that have stopped allocating from a heap give up what they keep of it.
 *
 * A look compares what each CPU has allocated with the last look. A CPU that keeps something
 * and has allocated nothing since is drained, in an interrupt there, because only a CPU may
 * enter its section. Then it keeps nothing, so it is left alone until it comes back to the
 * heap. CPUs without a tick (nohz_full) are left alone anyway: they keep little, and are
 * meant to be spared interrupts. kmheap_shrink() and reclaim do drain them.
 *
 * Looks come a period apart while any CPU keeps something, and then stop. A CPU that begins
 * to keep something, which it does on a slow path, asks for the next look; one load tells it
 * when that has been asked for already. As CPU and worker use no barrier between them, one
 * can miss the other; so the worker takes the request back, looks once more a period later,
 * and stops only then.
 */
#include <linux/cpumask.h>
#include <linux/jiffies.h>
#include <linux/limits.h>
#include <linux/moduleparam.h>
#include <linux/sched/isolation.h>

#include "supply/idle.h"
#include "base/param.h"
#include "cpu/depot.h"
#include "heap.h"

static unsigned int kmh_idle_ms = 2000;

/* Make the next look come within the new period, whatever it waited for. */
static void kmh_idle_retime(struct kmheap *heap)
{
	unsigned int ms = READ_ONCE(kmh_idle_ms);

	if (!ms || READ_ONCE(heap->idle.kick.stopped))
		return;
	atomic_set(&heap->idle.kick.asked, 1);
	mod_delayed_work(kmh_wq, &heap->idle.kick.work, msecs_to_jiffies(ms));
}

static int kmh_idle_ms_set(const char *text, const struct kernel_param *kp)
{
	int err = kmh_number_set(text, kp);
	struct kmheap *heap;

	if (err)
		return err;
	/* Only heaps in the list have a worker that runs. */
	mutex_lock(&kmh_heaps_mutex);
	list_for_each_entry(heap, &kmh_heaps, list)
		kmh_idle_retime(heap);
	mutex_unlock(&kmh_heaps_mutex);
	return 0;
}

static const struct kernel_param_ops kmh_idle_ms_ops = {
	.set = kmh_idle_ms_set,
	.get = kmh_number_get,
};

static struct kmh_param_number kmh_idle_ms_param = {
	.value = &kmh_idle_ms, .narrow = true, .most = UINT_MAX,
};
module_param_cb(idle_drain_ms, &kmh_idle_ms_ops, &kmh_idle_ms_param, 0644);
MODULE_PARM_DESC(idle_drain_ms,
		 "a CPU that has not allocated from a heap for so long is drained, after twice as long at most (default 2000; 0: not at all)");

/* Allocations, ever, and trips for more. */
static unsigned long kmh_idle_progress(const struct kmh_mcache *mc)
{
	unsigned long n = READ_ONCE(mc->large.takes) + READ_ONCE(mc->tiny_allocs);
	unsigned int i;

	for (i = 0; i < KMH_NR_SPANCLASSES; i++)
		n += kmh_mcache_allocs(mc, i) + READ_ONCE(mc->refills[i]);
	return n;
}

/* Note whether the CPU is to be drained. Return: true when it keeps something. */
static bool kmh_idle_look(struct kmh_mcache *mc)
{
	unsigned long progress = kmh_idle_progress(mc);
	bool holds = kmh_mcache_holds_any(mc);

	mc->idle = holds && progress == mc->idle_seen;
	mc->idle_seen = progress;
	return holds;
}

static bool kmh_idle_wanted(const struct kmh_mcache *mc)
{
	return mc->idle;
}

/*
 * One look at all CPUs. Large objects that idle CPUs have parked go to the stores of their nodes,
 * where the scavenger finds them. Context: process context; sleeps. One at a time: the worker, or
 * a test that has stopped it. Return: true while a CPU keeps something that a later look may find
 * idle.
 */
bool kmh_idle_step(struct kmheap *heap)
{
	bool any = false, idle = false;
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		struct kmh_mcache *mc = kmh_mcache_of(heap, cpu);

		if (!mc || !housekeeping_cpu(cpu, HK_TYPE_TICK))
			continue;
		any |= kmh_idle_look(mc);
		idle |= mc->idle;
	}
	if (idle) {
		atomic_long_add(kmh_mcache_visit(heap, kmh_mcache_drain_locked,
						 kmh_idle_wanted).done, &heap->idle.drains);
		kmh_kick_ask(&heap->scavenge.kick);
	}
	/* Who gives asks for a look. */
	return kmh_depots_look(heap) || any;
}

/* To the next look. */
static long kmh_idle_delay(const struct kmh_kick *k)
{
	unsigned int ms = READ_ONCE(kmh_idle_ms);

	return ms ? (long)msecs_to_jiffies(ms) : -1;
}

static void kmh_idle_work(struct work_struct *work)
{
	struct kmheap *heap = container_of(to_delayed_work(work), struct kmheap, idle.kick.work);
	struct kmh_idle *idle = &heap->idle;
	bool any;

	if (READ_ONCE(idle->kick.stopped))
		return;
	any = READ_ONCE(kmh_idle_ms) && kmh_idle_step(heap);
	if (!any && idle->rests && !atomic_read(&idle->kick.asked))
		return;
	idle->rests = !any;
	if (!any)
		atomic_set(&idle->kick.asked, 0);
	kmh_kick_queue(&idle->kick);
}

void kmh_idle_init(struct kmheap *heap)
{
	kmh_kick_init(&heap->idle.kick, kmh_idle_work, kmh_idle_delay);
}
