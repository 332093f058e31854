/* SPDX-License-Identifier: GPL-2.0 */
/* Private: giving back on request or under pressure; see shrink.c. */
#ifndef _KMHEAP_SHRINK_H
#define _KMHEAP_SHRINK_H

#include <linux/atomic.h>
#include <linux/types.h>

struct kmheap;
struct shrinker;

struct kmh_shrink {
	struct shrinker *shrinker;
	unsigned long not_before;	/* jiffies: reclaim drains no CPU before; racy */
	atomic_long_t asked_bytes;	/* given back on request, ever */
	atomic_long_t reclaimed_bytes;	/* detached by the kernel's reclaim, ever */
};

/* Of all heaps ever: given back on request, and when the kernel ran out of memory. */
extern atomic_long_t kmh_shrunk_bytes;
extern atomic_long_t kmh_oom_bytes;

int kmh_shrink_register(struct kmheap *heap);
void kmh_shrink_unregister(struct kmheap *heap);
int kmh_shrink_init(void);
void kmh_shrink_exit(void);
size_t kmh_shrink_all(void);
unsigned long kmh_shrink_oom(void);

#endif /* _KMHEAP_SHRINK_H */
