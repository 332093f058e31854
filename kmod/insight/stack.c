// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks: from where kmheap was called.
 *
 * x86's unwinder looks each return address up in tables, which takes 500 instructions a frame.
 * But the same stack comes again and again, so a task's walk is remembered with the places of its
 * return addresses. When a task is at the same depth of its stack later, and the same addresses
 * are at these places, it is the same stack, which takes a few instructions a frame: the unwinder
 * finds the place of a return address from the place of the one before it and from the function
 * that this one leads to, so the same innermost address at the same place leads to the same next
 * place, and so on. (Where a function keeps its frame's place in a register, it is taken to be
 * the same.)
 *
 * Walks are remembered by each CPU, and only of tasks, with preemption off, so there are no races.
 */
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched/task_stack.h>
#include <linux/stacktrace.h>
#include <linux/string.h>
#ifdef CONFIG_UNWINDER_ORC
#include <asm/unwind.h>
#endif

#include "insight/stack.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/preempt_off.h"

/* Frames of kmheap itself on the way to a hit: they are dropped. */
#define KMH_STACK_OWN_FRAMES	8U

/* All frames that are looked at, and in an NMI where its stack cannot be told from others. */
#define KMH_STACK_FRAMES	(KMH_STACK_OWN_FRAMES + KMH_SITE_FRAMES)
#define KMH_STACK_NMI_FRAMES	(KMH_STACK_OWN_FRAMES + 6U)

#ifdef KMHEAP_KUNIT
kmh_stack_fn kmh_kunit_stack;
#endif

/* How many of @n frames, the innermost ones, are kmheap's own? */
static unsigned int kmh_stack_own(const unsigned long *ip, unsigned int n)
{
	unsigned int own = 0;

	while (own < n && within_module(ip[own], THIS_MODULE))
		own++;
	return own;
}

#ifdef CONFIG_UNWINDER_ORC

/* Walks from one depth that a CPU remembers, and how many depths. */
#define KMH_WALK_WAYS		4U
#define KMH_WALK_SETS		16U

/* A walk that is remembered; @n is 0 when there is none. */
struct kmh_walk {
	unsigned int depth;	/* bytes of the stack from the base on; places count from there */
	u8 n;			/* return addresses */
	u8 own;			/* of these, kmheap's */
	u16 place[KMH_STACK_FRAMES];
	unsigned long ip[KMH_STACK_FRAMES];
};

struct kmh_walks {
	unsigned int next;	/* the way that is given up next */
	struct kmh_walk walk[KMH_WALK_SETS][KMH_WALK_WAYS];
};

static struct kmh_walks __percpu *kmh_walks;	/* written once */

/* What the stack has there. KASAN would not have it read words of other functions. */
static unsigned long kmh_stack_word(unsigned long addr)
{
	return READ_ONCE_NOCHECK(*(unsigned long *)addr);
}

static bool kmh_walk_is(const struct kmh_walk *w, unsigned long base, unsigned int depth)
{
	unsigned int i;

	if (!w->n || w->depth != depth)
		return false;
	for (i = 0; i < w->n; i++)
		if (kmh_stack_word(base + w->place[i]) != w->ip[i])
			return false;
	return true;
}

/*
 * Walk the stack from the caller of the function whose frame is at @base, into @w. Return: how many
 * addresses; not to be remembered when one of them is not where it should be, as a tracer may have
 * seen to.
 */
static __always_inline unsigned int kmh_walk(struct kmh_walk *w, unsigned long base,
					     unsigned int depth, bool *whole)
{
	struct unwind_state state;
	unsigned long place, ip;
	unsigned int n = 0;

	*whole = true;
	for (unwind_start(&state, current, NULL, (unsigned long *)base);
	     !unwind_done(&state) && n < KMH_STACK_FRAMES; unwind_next_frame(&state)) {
		ip = unwind_get_return_address(&state);
		if (!ip)
			break;
		place = state.sp - sizeof(long) - base;
		w->ip[n] = ip;
		w->place[n++] = place;
		if (place >= depth || kmh_stack_word(base + place) != ip)
			*whole = false;
	}
	return n;
}

/* Return: how many addresses; 0 when a task is not what is on the stack, or none is remembered. */
static noinline unsigned int kmh_stack_of_task(unsigned long *ip)
{
	unsigned long base = (unsigned long)__builtin_frame_address(0);
	unsigned long depth = (unsigned long)task_stack_page(current) + THREAD_SIZE - base;
	struct kmh_walks *walks;
	struct kmh_walk *w;
	unsigned int i, n;
	bool whole = true;

	if (!in_task() || depth > THREAD_SIZE || !READ_ONCE(kmh_walks))
		return 0;
	walks = this_cpu_ptr(kmh_walks);
	w = walks->walk[depth / sizeof(long) % KMH_WALK_SETS];
	for (i = 0; i < KMH_WALK_WAYS && !kmh_walk_is(&w[i], base, depth); i++)
		;
	if (i < KMH_WALK_WAYS) {
		w += i;
		n = w->n;
	} else {
		w += walks->next++ % KMH_WALK_WAYS;
		n = kmh_walk(w, base, depth, &whole);
		w->depth = depth;
		w->own = kmh_stack_own(w->ip, n);
		w->n = whole ? n : 0;
	}
	n = min(n - w->own, KMH_SITE_FRAMES);
	memcpy(ip, w->ip + w->own, n * sizeof(*ip));
	return n;
}

/*
 * The stack of an NMI without what it has interrupted, which is on another stack:
 * filter_irq_stacks() does not cut that off, and each place of it would be a site. Return: how many
 * addresses.
 */
static noinline unsigned int kmh_stack_of_nmi(unsigned long *ip)
{
	struct unwind_state state;
	unsigned int n = 0;
	void *begin, *end;

	unwind_start(&state, current, NULL, NULL);
	begin = state.stack_info.begin;
	end = state.stack_info.end;
	for (; !unwind_done(&state) && n < KMH_STACK_FRAMES; unwind_next_frame(&state)) {
		if ((void *)state.sp < begin || (void *)state.sp >= end)
			break;
		ip[n] = unwind_get_return_address(&state);
		if (!ip[n])
			break;
		n++;
	}
	return n;
}

/* Context: process context; sleeps. Return: 0; -ENOMEM, also where a limit forbids it. */
int kmh_stacks_alloc(void)
{
	const size_t bytes = sizeof(struct kmh_walks) * num_possible_cpus();
	struct kmh_walks __percpu *fresh;

	if (READ_ONCE(kmh_walks))
		return 0;
	if (!kmh_shared_try_account(bytes))
		return READ_ONCE(kmh_walks) ? 0 : -ENOMEM;
	fresh = kmh_backend_percpu(struct kmh_walks, GFP_KERNEL);
	if (fresh && !cmpxchg(&kmh_walks, NULL, fresh))
		return 0;
	kmh_shared_account(-(long)bytes);
	if (!fresh)
		return -ENOMEM;
	free_percpu(fresh);	/* another heap's profile begins as well */
	return 0;
}

/* When the module goes. */
void kmh_stacks_free(void)
{
	if (kmh_walks)
		kmh_shared_account(-(long)(sizeof(struct kmh_walks) * num_possible_cpus()));
	free_percpu(kmh_walks);
	kmh_walks = NULL;
}
#else
static unsigned int kmh_stack_of_task(unsigned long *ip)
{
	return 0;
}

static unsigned int kmh_stack_of_nmi(unsigned long *ip)
{
#ifdef CONFIG_STACKTRACE
	return stack_trace_save(ip, KMH_STACK_NMI_FRAMES, 0);
#else
	return 0;
#endif
}

int kmh_stacks_alloc(void)
{
	return 0;
}

void kmh_stacks_free(void)
{
}
#endif

/* The stack as the kernel tells it, without what an interrupt has interrupted. */
static unsigned int kmh_stack_saved(unsigned long *ip)
{
	unsigned long all[KMH_STACK_FRAMES];
	unsigned int n = 0, own;

	if (in_nmi())
		n = kmh_stack_of_nmi(all);
#ifdef CONFIG_STACKTRACE
	else
		n = stack_trace_save(all, ARRAY_SIZE(all), 0);
	/* Of a breakpoint, too: it counts as an NMI, and has no stack of its own. */
	n = filter_irq_stacks(all, n);
#endif
	own = kmh_stack_own(all, n);
	n = min(n - own, KMH_SITE_FRAMES);
	memcpy(ip, all + own, n * sizeof(*ip));
	return n;
}

/*
 * The stack, without kmheap's own frames and without what an interrupt has interrupted. Context:
 * any; preemption off. Return: how many addresses; one at least, 0 where the kernel cannot tell.
 */
unsigned int kmh_stack(unsigned long *ip)
{
	unsigned int n;

	kmh_assert_pinned();
#ifdef KMHEAP_KUNIT
	if (READ_ONCE(kmh_kunit_stack))
		return kmh_kunit_stack(ip);
#endif
	n = kmh_stack_of_task(ip) ?: kmh_stack_saved(ip);
	if (n)
		return n;
	ip[0] = 0;
	return 1;
}
