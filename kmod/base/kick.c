// SPDX-License-Identifier: GPL-2.0
/*
 * A worker of a heap that any context may ask for.
 *
 * Who asks finds with one load that somebody has done so already. Otherwise an irq_work, which
 * every context may queue, starts the timer of the worker. The worker takes the request back
 * (@asked) before it looks, or with its last look, so that what comes later asks again.
 */
#include <linux/sched.h>

#include "base/kick.h"
#include "heap.h"

/*
 * Wait until @irq is neither queued nor running. irq_work_sync() waits for a grace period besides,
 * under PREEMPT_RT and where nothing interrupts for such work, even when nothing is queued: its
 * caller may free the structure. Whoever calls this has a grace period of its own before that.
 * Context: process; sleeps.
 */
void kmh_irq_work_wait(struct irq_work *irq)
{
	while (irq_work_is_busy(irq))
		schedule_timeout_uninterruptible(1);
	/* what the work has stored, what the caller loads: pairs with the exchange that ends it */
	smp_rmb();
}

/* The slow half of kmh_kick_ask(). Context: any. */
void kmh_kick_wake(struct kmh_kick *k)
{
	if (!READ_ONCE(k->stopped) && k->delay(k) >= 0 && !atomic_xchg(&k->asked, 1))
		irq_work_queue(&k->irq);
}

/*
 * Queue the next look. While looks are forbidden by a parameter drop the request, so that one
 * made after they are allowed again counts.
 */
void kmh_kick_queue(struct kmh_kick *k)
{
	long delay = k->delay(k);

	if (delay >= 0) {
		queue_delayed_work(kmh_wq, &k->work, delay);
		return;
	}
	atomic_set(&k->asked, 0);
	/*
	 * asked, parameter: pairs with the exchange in kmh_kick_wake(), which a task calls that has
	 * allowed looks just now. It may have found the request that was dropped here.
	 */
	smp_mb();
	if (k->delay(k) >= 0)
		kmh_kick_wake(k);
}

/* Runs in a context that may start a timer, whatever context the kick came from. */
static void kmh_kicked(struct irq_work *irq)
{
	kmh_kick_queue(container_of(irq, struct kmh_kick, irq));
}

void kmh_kick_init(struct kmh_kick *k, work_func_t work, long (*delay)(const struct kmh_kick *k))
{
	k->delay = delay;
	init_irq_work(&k->irq, kmh_kicked);
	INIT_DELAYED_WORK(&k->work, work);
}

/*
 * The worker does not come from here on, but when somebody queues it. Twice, because a worker that
 * has not seen @stopped may kick once more, and on PREEMPT_RT the irq_work comes when it likes;
 * after the first time no worker runs. Somebody who has found it going with preemption off may
 * still be about to queue it: after a grace period the owner stops it once more. Context: process;
 * sleeps.
 */
void kmh_kick_stop(struct kmh_kick *k)
{
	unsigned int round;

	WRITE_ONCE(k->stopped, true);
	for (round = 0; round < 2; round++) {
		kmh_irq_work_wait(&k->irq);
		cancel_delayed_work_sync(&k->work);
	}
}
