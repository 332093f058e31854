/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: the raw locks of kmheap (tiers 5 to 7 of internal.h), and who may wait for one.
 *
 * An NMI may have interrupted the holder of a lock, so it only tries. The same goes for a handler
 * of a tracer: with kprobes, ftrace, tracepoints and BPF code of others runs in the middle of a
 * function here, and may allocate and free. So each CPU counts the raw locks that it holds or
 * waits for, and whoever comes while there are any is taken for an NMI. Interrupts are off from
 * before the count to after it, so nobody else comes in between; and nobody here waits for one of
 * these locks with another one in hand.
 */
#ifndef _KMHEAP_LOCK_H
#define _KMHEAP_LOCK_H

#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>

#include "compat.h"

DECLARE_PER_CPU(unsigned int, kmh_nlocks);

/* May a lock be held by what the caller has interrupted? Any context. */
static inline bool kmh_nested(void)
{
	return unlikely(in_nmi() || this_cpu_read(kmh_nlocks));
}

static inline void kmh_lock_begin(unsigned long *flags)
{
	local_irq_save(*flags);
	raw_cpu_inc(kmh_nlocks);
	barrier();	/* a handler that comes from here on sees it */
}

static inline void kmh_lock_end(unsigned long flags)
{
	barrier();
	raw_cpu_dec(kmh_nlocks);
	local_irq_restore(flags);
}

/* Never waits. Without SMP a trylock always succeeds, also on what has been interrupted. */
static inline bool __kmh_trylock_irqsave(raw_spinlock_t *lock, unsigned long *flags)
{
	if (!IS_ENABLED(CONFIG_SMP) && kmh_nested())
		return false;
	kmh_lock_begin(flags);
	if (likely(raw_spin_trylock(lock))) {
		__release(lock);
		return true;
	}
	kmh_lock_end(*flags);
	return false;
}

/* Waits, but for who is nested: false when that one finds the lock taken. */
static inline bool __kmh_lock_irqsave(raw_spinlock_t *lock, unsigned long *flags)
{
	if (kmh_nested())
		return __kmh_trylock_irqsave(lock, flags);
	kmh_lock_begin(flags);
	raw_spin_lock(lock);
	__release(lock);
	return true;
}

/* The macros tell sparse what the functions did. */
#define kmh_trylock_irqsave(lock, flags)					\
({										\
	raw_spinlock_t *__lock = (lock);					\
										\
	__cond_lock(__lock, __kmh_trylock_irqsave(__lock, &(flags)));		\
})

#define kmh_lock_irqsave(lock, flags)						\
({										\
	raw_spinlock_t *__lock = (lock);					\
										\
	__cond_lock(__lock, __kmh_lock_irqsave(__lock, &(flags)));		\
})

/* For functions that are never called nested: always waits. */
#define kmh_wait_lock_irqsave(lock, flags)					\
do {										\
	kmh_lock_begin(&(flags));						\
	raw_spin_lock(lock);							\
} while (0)

#define kmh_unlock_irqrestore(lock, flags)					\
do {										\
	raw_spin_unlock(lock);							\
	kmh_lock_end(flags);							\
} while (0)

#endif /* _KMHEAP_LOCK_H */
