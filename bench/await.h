/* SPDX-License-Identifier: GPL-2.0 */
/* How a benchmark's thread ends. */
#ifndef _KMHEAP_BENCH_AWAIT_H
#define _KMHEAP_BENCH_AWAIT_H

#include <linux/kthread.h>
#include <linux/sched.h>

/* The last thing a thread does: wait for kthread_stop(), which wants it to be there still. */
static inline void bench_await_stop(void)
{
	set_current_state(TASK_IDLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_IDLE);
	}
	__set_current_state(TASK_RUNNING);
}

#endif /* _KMHEAP_BENCH_AWAIT_H */
