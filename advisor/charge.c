// SPDX-License-Identifier: GPL-2.0
/*
 * Which module an allocation is charged to.
 *
 * To the one whose code called the allocator, or whose frame is the innermost one on the stack:
 * what kasprintf() or alloc_skb() allocate is their caller's. Every allocation of the machine comes
 * by here, and the unwinder takes hundreds of instructions a frame. So a task's stack is first
 * looked over for a word that may be a return address into a watched module; most have none, and
 * are done.
 *
 * Code that an event interrupts is of another context than the event, and so is what it allocates.
 * An event of a context in which one is being handled can only come from this code itself.
 */
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched/task_stack.h>
#include <linux/stacktrace.h>

#include "advisor.h"
#include "insight/record.h"
#include "insight/site.h"

/* Bytes of a task's stack that are looked over. */
#define KMA_SCAN_BYTES		4096UL

/* Frames of this module on the way here, at most. */
#define KMA_OWN_FRAMES		4U

/* Events that came from this module's own code, and were left out. */
atomic_long_t kma_nested;

static DEFINE_PER_CPU(u8, kma_busy);	/* a bit for each context */

/* Return: the bit of this context, to be given back; 0 when an event is handled in it already. */
static u8 kma_enter(void)
{
	u8 bit = 1 << (in_nmi() ? 3 : in_hardirq() ? 2 : in_serving_softirq() ? 1 : 0);

	if (raw_cpu_read(kma_busy) & bit) {
		atomic_long_inc(&kma_nested);
		return 0;
	}
	/* An interrupt in between puts back what it finds. */
	raw_cpu_write(kma_busy, raw_cpu_read(kma_busy) | bit);
	barrier();
	return bit;
}

static void kma_leave(u8 bit)
{
	barrier();
	raw_cpu_write(kma_busy, raw_cpu_read(kma_busy) & ~bit);
}

#ifdef CONFIG_UNWINDER_ORC
/* May one of the words above this frame be a return address into a watched module? */
static bool kma_words_of_module(const struct kma_range text)
{
	unsigned long at = (unsigned long)__builtin_frame_address(0);
	unsigned long end = (unsigned long)task_stack_page(current) + THREAD_SIZE;

	if (at >= end || end - at > THREAD_SIZE)
		return true;	/* another stack */
	for (end = min(end, at + KMA_SCAN_BYTES); at + sizeof(long) <= end; at += sizeof(long))
		if (READ_ONCE_NOCHECK(*(unsigned long *)at) - text.base < text.bytes)
			return true;
	return false;
}
#else
static bool kma_words_of_module(const struct kma_range text)
{
	return true;
}
#endif

/* Is it worth the walk of the whole stack? */
static bool kma_stack_may_lead_to_module(void)
{
	const struct kma_range text = kma_watched_text();
	unsigned long ip[KMA_OWN_FRAMES + KMA_REACH];
	unsigned int i, n;

	if (!text.bytes)
		return false;
	if (in_task() && IS_ENABLED(CONFIG_UNWINDER_ORC))
		return kma_words_of_module(text);
	n = stack_trace_save(ip, ARRAY_SIZE(ip), 0);
	for (i = 0; i < n; i++)
		if (kma_watch_at(ip[i]))
			return true;
	return false;
}

/*
 * Of the stack, what begins with the caller of the allocator and ends with an exception: pages that
 * a copy to user space faults in are the process's. Return: the number of frames.
 */
static unsigned int kma_stack_from(unsigned long *ip, unsigned long call_site)
{
	unsigned int n = filter_irq_stacks(ip, kmh_stack(ip)), i;

	for (i = 0; call_site && i < min(n, KMA_REACH); i++) {
		if (ip[i] != call_site)
			continue;
		memmove(ip, ip + i, (n - i) * sizeof(*ip));
		return n - i;
	}
	return n;
}

/* Preemption is off, and this context is not entered twice. */
static noinline void kma_charge(enum kma_kind kind, unsigned long call_site, unsigned long addr,
				size_t asked, size_t given)
{
	const struct kma_watch *watch = call_site ? kma_watch_at(call_site) : NULL;
	unsigned long ip[KMH_SITE_FRAMES];
	struct kmh_site *site;
	unsigned int i, n;

	if (!watch && !kma_stack_may_lead_to_module())
		return;
	n = kma_stack_from(ip, call_site);
	for (i = 0; !watch && i < min(n, KMA_REACH); i++)
		watch = kma_watch_at(ip[i]);
	if (!watch)
		return;
	site = kmh_site_of_stack(watch, kma_class(kind, given), ip, n);
	if (!site)
		return;
	if (!addr) {
		atomic_long_inc(&site->failed);
		return;
	}
	atomic_long_inc(&site->allocs);
	atomic_long_add(asked, &site->alloc_bytes);
	kmh_record_born(site, addr, asked);
}

/* The object at @addr is freed, or known to have been. Preemption is off. */
static void kma_close(unsigned long addr, enum kma_way way)
{
	struct kmh_site *site = kmh_record_died(addr);

	if (!site)
		return;
	if (way == KMA_UNSEEN) {
		atomic_long_inc(&site->unseen);
		if (kma_class_kind(site->class) == KMA_PAGES)
			way = KMA_SLAB_PAGES;
	}
	atomic_long_inc(&((struct kma_watch *)site->owner)->freed[way]);
}

/*
 * An allocation of @asked bytes at @addr, or one that has failed where that is 0. @given: what the
 * allocator takes for it; 0 where that is what was asked for. @call_site: the caller, or 0 where
 * only the stack knows. Context: any.
 */
void kma_allocated(enum kma_kind kind, unsigned long call_site, unsigned long addr, size_t asked,
		   size_t given)
{
	u8 bit;

	preempt_disable_notrace();
	bit = kma_enter();
	if (bit) {
		if (addr)
			kma_close(addr, KMA_UNSEEN);
		kma_charge(kind, call_site, addr, asked, given);
		kma_leave(bit);
	}
	preempt_enable_notrace();
}

/* The object at @addr is about to be freed. Context: any. */
void kma_freed(unsigned long addr, enum kma_way way)
{
	u8 bit;

	if (!addr)
		return;
	preempt_disable_notrace();
	bit = kma_enter();
	if (bit) {
		kma_close(addr, way);
		kma_leave(bit);
	}
	preempt_enable_notrace();
}
