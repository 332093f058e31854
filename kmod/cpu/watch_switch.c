// SPDX-License-Identifier: GPL-2.0
/* The watch of a heap (watch.c) is switched on and off, and what it has seen is noted at peaks. */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/cpu.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/string.h>

#include "cpu/watch.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/lock.h"
#include "base/param.h"
#include "cpu/magazine.h"
#include "cpu/tiny.h"
#include "heap.h"
#include "insight/record.h"
#include "insight/site.h"

DEFINE_MUTEX(kmh_profile_mutex);	/* see watch.h */

/* ---- which allocations fail_nth counts */

const char * const kmh_fail_gfp_names[KMH_NR_FAIL_GFPS] = {
	[KMH_FAIL_ANY] = "any",
	[KMH_FAIL_ATOMIC] = "atomic",
	[KMH_FAIL_SLEEPING] = "sleeping",
};

static enum kmh_fail_gfp kmh_default_fail_gfp = KMH_FAIL_ANY;

static int kmh_fail_gfp_param_set(const char *text, const struct kernel_param *kp)
{
	int which = sysfs_match_string(kmh_fail_gfp_names, text);

	if (which < 0)
		return kmh_param_refuse(kp, text, "any, atomic or sleeping");
	WRITE_ONCE(kmh_default_fail_gfp, which);
	return 0;
}

static int kmh_fail_gfp_param_get(char *text, const struct kernel_param *kp)
{
	return sprintf(text, "%s\n", kmh_fail_gfp_names[READ_ONCE(kmh_default_fail_gfp)]);
}

static const struct kernel_param_ops kmh_fail_gfp_param_ops = {
	.set = kmh_fail_gfp_param_set,
	.get = kmh_fail_gfp_param_get,
};
module_param_cb(heap_fail_gfp, &kmh_fail_gfp_param_ops, NULL, 0644);
MODULE_PARM_DESC(heap_fail_gfp,
		 "which allocations heap_fail_nth counts in heaps that are made from now on: any (default), atomic or sleeping");

/* ---- watches on and off */

/* In the section of @mc, or its CPU is dead. */
static void kmh_watch_begin(struct kmh_mcache *mc)
{
	struct kmh_watch *w = mc->own_watch;
	unsigned int i;

	kmh_tiny_close(mc);
	mc->watch_other = 0;
	WRITE_ONCE(mc->watch, w);
	for (i = KMH_SPANCLASS_TINY + 1; i < KMH_NR_SPANCLASSES; i++) {
		w->class[i].seen = kmh_mcache_allocs(mc, i);
		kmh_watch_close(mc, i);
	}
}

/* Nothing is left to the fast paths from now on: close all classes of a CPU that is watched. */
static void kmh_watch_shut(struct kmh_mcache *mc)
{
	unsigned int i;

	for (i = KMH_SPANCLASS_TINY + 1; i < KMH_NR_SPANCLASSES; i++) {
		mc->watch->class[i].skip = 0;
		kmh_watch_reopen_slow(mc, i);
	}
	WRITE_ONCE(mc->watch->shut, true);
}

static bool kmh_watch_not_shut(const struct kmh_mcache *mc)
{
	return !READ_ONCE(mc->own_watch->shut);
}

static void kmh_watch_stop(struct kmh_mcache *mc)
{
	unsigned int i;

	if (!mc->watch)
		return;
	WRITE_ONCE(mc->watch, NULL);
	for (i = 0; i < KMH_NR_SPANCLASSES; i++)
		kmh_magazine_open(mc, &mc->slot[i]);
}

static bool kmh_watch_not_begun(const struct kmh_mcache *mc)
{
	return !READ_ONCE(mc->watch);
}

static bool kmh_watch_not_stopped(const struct kmh_mcache *mc)
{
	return READ_ONCE(mc->watch);
}

/*
 * Call @fn in the section of every CPU that @wanted names, dead ones included. A CPU that is in its
 * section is asked again. Context: process context; sleeps.
 */
static void kmh_watch_visit(struct kmheap *heap, void (*fn)(struct kmh_mcache *mc),
			    bool (*wanted)(const struct kmh_mcache *mc))
{
	unsigned int cpu;

	cpus_read_lock();
	for_each_possible_cpu(cpu) {
		if (cpu_online(cpu))
			continue;
		preempt_disable();
		fn(kmh_mcache_of(heap, cpu));
		preempt_enable();
	}
	while (kmh_mcache_visit(heap, fn, wanted).busy)
		cond_resched();
	cpus_read_unlock();
}

static void kmh_watches_shut(struct kmheap *heap)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		WRITE_ONCE(kmh_mcache_of(heap, cpu)->own_watch->shut, false);
	kmh_watch_visit(heap, kmh_watch_shut, kmh_watch_not_shut);
}

static void kmh_watches_free(struct kmheap *heap)
{
	struct kmh_mcache *mc;
	int cpu = -1;

	while ((mc = kmh_next_mcache(heap, &cpu))) {
		if (mc->own_watch)
			kmh_heap_unbook_side(heap, sizeof(*mc->own_watch));
		kmh_backend_free(mc->own_watch);
		mc->own_watch = NULL;
	}
}

/* Every CPU draws its first distances here, where it may take a while. */
static void kmh_watch_init(struct kmh_watch *w, size_t period)
{
	unsigned int i;

	w->period = period;
	w->random = get_random_u64() | 1;
	w->other_at = kmh_watch_draw(w);
	for (i = 0; i < KMH_NR_SPANCLASSES; i++)
		w->class[i].until = kmh_watch_draw(w);
}

static int kmh_watches_alloc(struct kmheap *heap, size_t period)
{
	struct kmh_watch *w;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		if (!kmh_heap_try_book_side(heap, sizeof(*w)))
			goto fail;
		w = kmh_backend_zalloc(sizeof(*w), GFP_KERNEL, cpu_to_node(cpu));
		if (!w) {
			kmh_heap_unbook_side(heap, sizeof(*w));
			goto fail;
		}
		kmh_watch_init(w, period);
		kmh_mcache_of(heap, cpu)->own_watch = w;
	}
	return 0;
fail:
	kmh_watches_free(heap);
	return -ENOMEM;
}

/* What is sampled stays so, and may be looked at, until the next profile begins. */
static void kmh_watch_off(struct kmheap *heap)
{
	if (!heap->profile.watched)
		return;
	kmh_watch_visit(heap, kmh_watch_stop, kmh_watch_not_stopped);
	synchronize_rcu();	/* kmh_watch_other_hits(): nobody has one in hand */
	static_branch_dec(&kmh_watch_key);
	kmh_watches_free(heap);
	WRITE_ONCE(heap->flags, heap->flags & ~KMH_HEAP_PROFILED);
	heap->profile.watched = false;
}

/* Forget the last profile of a heap that is not watched. */
static void kmh_watch_forget(struct kmheap *heap)
{
	if (!heap->profile.used)
		return;
	mutex_lock(&kmh_profile_mutex);
	kmh_records_forget(heap);
	synchronize_rcu();	/* frees that have ended a record, and count it in its site */
	kmh_sites_forget(heap);
	mutex_unlock(&kmh_profile_mutex);
}

/* The heap is not watched. Return: 0, and it is; -ENOMEM, and it is not. */
static int kmh_watch_on(struct kmheap *heap, size_t period)
{
	int err = kmh_mcaches_make(heap, GFP_KERNEL) ?: kmh_stacks_alloc() ?: kmh_sites_alloc() ?:
		  kmh_records_alloc() ?: kmh_watches_alloc(heap, period);

	if (err)
		return err;
	heap->profile.used = true;
	heap->profile.watched = true;
	if (period) {
		heap->profile.since_ns = ktime_get_real_ns();
		heap->profile.last_period = period;
		heap->profile.peak_bytes = 0;
		heap->profile.peak_ns = heap->profile.since_ns;
		kmh_watch_mark(heap);
	}
	WRITE_ONCE(heap->profile.period, period);
	WRITE_ONCE(heap->flags, heap->flags | KMH_HEAP_PROFILED);
	static_branch_inc(&kmh_watch_key);
	kmh_watch_visit(heap, kmh_watch_begin, kmh_watch_not_begun);
	return 0;
}

/* What is sampled from now on is younger than the mark. Context: any. */
void kmh_watch_mark(struct kmheap *heap)
{
	WRITE_ONCE(heap->profile.mark, kmh_record_now());
	WRITE_ONCE(heap->profile.mark_ns, ktime_get_real_ns());
}

/* Bytes of pages in use, of a heap that goes on. */
static size_t kmh_watch_used(struct kmheap *heap)
{
	struct kmh_node *node;
	unsigned long flags;
	size_t pages = 0;
	int nid = -1;

	while ((node = kmh_next_node(heap, &nid))) {
		/* Under the lock, as an arena that comes or goes is in both figures. */
		kmh_wait_lock_irqsave(&node->mheap.lock, flags);
		pages += node->mheap.pa.npages - node->mheap.pa.nfree;
		if (node->mheap.own_pa)
			pages += node->mheap.own_pa->npages - node->mheap.own_pa->nfree;
		kmh_unlock_irqrestore(&node->mheap.lock, flags);
	}
	return pages << KMH_PAGE_SHIFT;
}

/*
 * If a heap that is profiled uses more than it did at its peak, remember what is live of each
 * site: this is the peak now. That is so where the heap is about to grow, when the scavenger looks,
 * and, @any, when somebody asks for the peak; the others want to see a sixteenth more. Context:
 * process context; waits for nobody but, @any, who else asks.
 */
void kmh_watch_peak(struct kmheap *heap, bool any)
{
	struct kmh_profile *profile = &heap->profile;
	struct kmh_site *site = NULL;
	size_t used;

	if (!READ_ONCE(profile->period))
		return;
	used = kmh_watch_used(heap);
	if (used <= READ_ONCE(profile->peak_bytes) + (any ? 0 : profile->peak_bytes / 16))
		return;
	if (any)
		mutex_lock(&kmh_profile_mutex);
	else if (!mutex_trylock(&kmh_profile_mutex))
		return;
	/* Another one may have noted more meanwhile, or the profile may have begun anew. */
	if (!profile->period || used <= profile->peak_bytes) {
		mutex_unlock(&kmh_profile_mutex);
		return;
	}
	while ((site = kmh_site_next(heap, site))) {
		site->peak_objects = atomic_long_read(&site->live_objects);
		site->peak_bytes = atomic_long_read(&site->live_bytes);
	}
	WRITE_ONCE(profile->peak_bytes, used);
	WRITE_ONCE(profile->peak_ns, ktime_get_real_ns());
	mutex_unlock(&kmh_profile_mutex);
}

/*
 * Begin a profile of @heap with a sample every @period bytes on average; 1: of every object, 0: end
 * it, which leaves its figures to be read. A profile that begins forgets the last one. The heap is
 * not being destroyed meanwhile. Context: process context; sleeps.
 * Return: 0; -EINVAL for a period over KMH_PERIOD_MOST; -ENOMEM when there is no memory, or a limit
 * does not allow it. The heap is not profiled after an error but -EINVAL, which changes nothing.
 */
int kmh_watch_set_period(struct kmheap *heap, size_t period)
{
	int err = 0;

	if (period > KMH_PERIOD_MOST)
		return -EINVAL;
	mutex_lock(&heap->profile.mutex);
	kmh_watch_off(heap);
	WRITE_ONCE(heap->profile.period, 0);
	if (period)
		kmh_watch_forget(heap);
	if (period || kmh_watch_shuts(heap))
		err = kmh_watch_on(heap, period);
	if (err) {
		if (kmh_watch_shuts(heap))
			pr_warn("heap %s: no memory, or no room within a limit: none of its allocations fails, or is traced, any more\n",
				heap->name);
		atomic_long_set(&heap->profile.fail_nth, 0);
	}
	mutex_unlock(&heap->profile.mutex);
	return err;
}

/*
 * Let the @n-th allocation from now on that a client asks @heap for get NULL, and then each
 * profile.fail_interval-th; 0: none. All are counted that begin after the return. The heap is
 * watched, which costs time, until 0 is set. Context: process context; sleeps.
 * Return: 0; -EINVAL for an @n over LONG_MAX; -ENOMEM as for kmh_watch_set_period(), and then none
 * fails.
 */
int kmh_watch_set_fail(struct kmheap *heap, unsigned long n)
{
	struct kmh_profile *profile = &heap->profile;
	int err = 0;

	if (n > LONG_MAX)
		return -EINVAL;
	mutex_lock(&profile->mutex);
	atomic_long_set(&profile->fail_nth, n);
	if (n && profile->watched)
		kmh_watches_shut(heap);
	else if (n)
		err = kmh_watch_on(heap, 0);
	else if (!profile->period && !kmh_watch_shuts(heap))
		kmh_watch_off(heap);
	if (err)
		atomic_long_set(&profile->fail_nth, 0);
	mutex_unlock(&profile->mutex);
	return err;
}

/*
 * Tracers of allocations have come or gone (kmh_allocs_traced). When they have come, all are told
 * of that begin after the return. The heap does not end meanwhile. Context: process context;
 * sleeps. Return: 0; -ENOMEM as for kmh_watch_set_period(), and then they are told of none.
 */
int kmh_watch_retrace(struct kmheap *heap)
{
	struct kmh_profile *profile = &heap->profile;
	int err = 0;

	mutex_lock(&profile->mutex);
	if (!kmh_watch_shuts(heap)) {
		if (!profile->period)
			kmh_watch_off(heap);
	} else if (profile->watched) {
		kmh_watches_shut(heap);
	} else {
		err = kmh_watch_on(heap, 0);
	}
	mutex_unlock(&profile->mutex);
	return err;
}

static atomic_t kmh_watches_ended;

/* To change a static key waits for CPU hotplug, for which the end of a heap must not wait. */
static void kmh_watch_key_work(struct work_struct *work)
{
	while (atomic_add_unless(&kmh_watches_ended, -1, 0))
		static_branch_dec(&kmh_watch_key);
}

static DECLARE_WORK(kmh_watch_work, kmh_watch_key_work);

/*
 * The heap ends: its files are gone, and nobody allocates or frees there any more but by mistake.
 * Context: process context; sleeps, and waits neither for memory nor for CPU hotplug.
 */
void kmh_watch_end(struct kmheap *heap)
{
	struct kmh_mcache *mc;
	int cpu = -1;

	while ((mc = kmh_next_mcache(heap, &cpu)))
		WRITE_ONCE(mc->watch, NULL);
	atomic_long_set(&heap->profile.fail_nth, 0);
	kmh_watch_forget(heap);		/* waits for a grace period: nobody has a watch in hand */
	if (!heap->profile.watched)
		return;
	kmh_watches_free(heap);
	atomic_inc(&kmh_watches_ended);
	queue_work(kmh_wq, &kmh_watch_work);
}

void kmh_watch_heap_init(struct kmheap *heap)
{
	mutex_init(&heap->profile.mutex);
	heap->profile.fail_gfp = READ_ONCE(kmh_default_fail_gfp);
}
