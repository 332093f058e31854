/* SPDX-License-Identifier: GPL-2.0 */
/* Private: a worker of a heap that any context may ask for; see kick.c. */
#ifndef _KMHEAP_KICK_H
#define _KMHEAP_KICK_H

#include <linux/atomic.h>
#include <linux/irq_work.h>
#include <linux/workqueue.h>

struct kmh_kick {
	atomic_t asked;			/* a step has been asked for */
	bool stopped;			/* for good */
	long (*delay)(const struct kmh_kick *k);	/* jiffies until it comes; < 0: never */
	struct irq_work irq;
	struct delayed_work work;
};

void kmh_irq_work_wait(struct irq_work *irq);
void kmh_kick_wake(struct kmh_kick *k);
void kmh_kick_queue(struct kmh_kick *k);
void kmh_kick_init(struct kmh_kick *k, work_func_t work, long (*delay)(const struct kmh_kick *k));
void kmh_kick_stop(struct kmh_kick *k);

/* There is something for the worker. One load, nearly always. Context: any. */
static __always_inline void kmh_kick_ask(struct kmh_kick *k)
{
	if (unlikely(!atomic_read(&k->asked)))
		kmh_kick_wake(k);
}

#endif /* _KMHEAP_KICK_H */
