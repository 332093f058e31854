/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: floor base/, what every other floor uses, and the order of all locks.
 *
 * Here are locks, size classes, metadata of fixed size (fixalloc.c), what is taken from the kernel
 * (backend.c) and what the limits allow of it (budget.c), and what a caller may do by its gfp flags
 * (gfp.h). The one rule: nothing here knows a span. Of a heap only its counters are touched.
 *
 * Lock order, outermost first. Nothing marked "raw" may sleep, allocate or call
 * back into kmheap.
 *
 *  0. heap->profile.mutex	a profile or a trace begins or ends; not for the end of a heap.
 *				The kernel's mutex for tracepoints may be held
 *     kmh_profile_mutex	sites are read, or forgotten; nothing inside it
 *  1. kmh_heaps_mutex		list of heaps; debugfs, module notifier, cpuhp
 *     heap->caches.mutex	caches come and go, or are counted; arenas_mutex inside it
 *     kmh_special_mutex	specials come and go; kmh_heaps_mutex may be held, none of 2 and 3
 *  2. heap->grow_mutex		one grower at a time, callers that may enter FS/IO
 *     heap->grow_noio_mutex	the same for callers that may not; never both held
 *     heap->sweep.mutex	generations and collections; inside 2 or alone
 *  3. heap->arenas_mutex	list of arenas; holders do not allocate; reclaim only tries
 *     kmh_arenamap_mutex	growing the address map; inside 2, never with 3
 *  4. mcache section		preemption off and mcache->busy set, this CPU only
 *  5. mcentral->lock		raw, interrupts saved; NMIs and tracers only try (lock.h)
 *  6. mheap->lock		likewise
 *  7. kmh_fixalloc.lock	likewise
 *     kmh_kept_lock		likewise; never with the one before
 *     heap->limit.lock		spinlocks, process context; inside 1 to 3, nothing inside them
 *     kmh_leaving_lock
 *     heap->scavenge.recent_lock
 *
 * Any of 5 to 7 may be taken with or without the ones before it. The first heap
 * takes 5 and 6 once in this order (kmh_teach_lock_order()), so lockdep reports
 * the first code that takes them the other way round.
 *
 * Of 1 to 3, and kmh_profile_mutex and kmh_ended_mutex, all but the grow mutexes and
 * kmh_arenamap_mutex are taken, or waited for, by frees, by the end of a heap or in reclaim:
 * nothing is allocated under them in a way that may enter reclaim, and lockdep knows
 * (kmh_teach_reclaim()). Reclaim tries a grow mutex, if it allocates.
 *
 * The lock of a quarantine (quarantine.c, KASAN only) is raw too; NMI only tries. Nothing is
 * taken under it but kmemleak's, and it is taken with nothing but perhaps 1 held. Under
 * kmh_leaks_mutex (reports of heaps that have ended) none of these is taken. Its holder makes
 * files, and may enter reclaim: only kmheap_destroy() takes it, which no shrinker may call.
 *
 * The raw locks, 5 to 7, and which callers may wait for one:
 *
 * An NMI may have interrupted the holder of a lock, so it only tries. The same holds for a
 * handler of a tracer: with kprobes, ftrace, tracepoints and BPF, code of others runs in the
 * middle of a function here, and may allocate and free. So each CPU counts the raw locks that
 * it holds or waits for, and a caller that comes while there are any is treated like an NMI.
 * Interrupts are off from before the count to after it, so no interrupt comes in between; and
 * no function here waits for one of these locks while it holds another one.
 */
#ifndef _KMHEAP_LOCK_H
#define _KMHEAP_LOCK_H

#include <linux/irqflags.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/spinlock.h>

#include "base/compat.h"

DECLARE_PER_CPU(unsigned int, kmh_nlocks);

/* May the code that the caller has interrupted hold a lock? Context: any. */
static inline bool kmh_nested(void)
{
	return unlikely(in_nmi() || this_cpu_read(kmh_nlocks));
}

static inline void kmh_lock_begin(unsigned long *flags)
{
	local_irq_save(*flags);
	raw_cpu_inc(kmh_nlocks);
	barrier();	/* a handler that comes from here on sees the count */
}

static inline void kmh_lock_end(unsigned long flags)
{
	barrier();
	raw_cpu_dec(kmh_nlocks);
	local_irq_restore(flags);
}

/* Never waits. Without SMP a trylock always succeeds, even on a lock of interrupted code. */
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

/* Waits, unless nested: then false when the lock is taken. */
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
