/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Code that needs preemption off says so with kmh_assert_pinned(), as its first statement.
 * Test builds check this, and so do builds for kernels with CONFIG_DEBUG_PREEMPT or lockdep;
 * all others have nothing of it.
 *
 * A kernel without CONFIG_PREEMPT_COUNT (User-Mode Linux) does not know whether preemption is
 * off. A task keeps its CPU there until it gives it up, so a test build counts by itself, for
 * each CPU.
 */
#ifndef _KMHEAP_PREEMPT_OFF_H
#define _KMHEAP_PREEMPT_OFF_H

#include <linux/bug.h>
#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/preempt.h>

#if defined(KMHEAP_KUNIT) || defined(CONFIG_DEBUG_PREEMPT) || defined(CONFIG_PROVE_LOCKING)

#ifdef CONFIG_PREEMPT_COUNT
#define kmh_pinned()	(!preemptible())
#elif defined(KMHEAP_KUNIT)
/* Inline functions of these headers turn preemption off and on; they must not be counted half. */
#include <linux/mm.h>
#include <linux/rhashtable.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

DECLARE_PER_CPU(unsigned int, kmh_pins);

#define kmh_pinned()	(raw_cpu_read(kmh_pins) || in_interrupt() || irqs_disabled())

#undef preempt_disable
#define preempt_disable()		\
do {					\
	raw_cpu_inc(kmh_pins);		\
	barrier();			\
} while (0)

#undef preempt_enable
#define preempt_enable()		\
do {					\
	barrier();			\
	raw_cpu_dec(kmh_pins);		\
} while (0)
#else
#define kmh_pinned()	true
#endif

#define kmh_assert_pinned()	WARN_ON_ONCE(!kmh_pinned())

#else
#define kmh_assert_pinned()	do { } while (0)
#endif

#endif /* _KMHEAP_PREEMPT_OFF_H */
