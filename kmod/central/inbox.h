/* SPDX-License-Identifier: GPL-2.0 */
/* Private: full spans that have been freed into, on their way back to an mcache; see inbox.c. */
#ifndef _KMHEAP_INBOX_H
#define _KMHEAP_INBOX_H

#include <linux/llist.h>
#include <linux/types.h>

#include "span/mspan.h"

struct kmh_mcache;
struct kmh_mcentral;

/*
 * Full spans of one class that have been freed into. Each goes to the CPU that filled it,
 * whichever CPU frees: a CPU that frees what it has allocated finds its own spans there, and
 * no other CPU allocates from a span that this one is still freeing into.
 */
struct kmh_inbox {
	struct llist_head announced;	/* any CPU adds, lock-free; emptied under the lock */
	struct llist_head ripe;		/* spans from @announced, not handed out yet */
};

static inline bool kmh_inbox_empty(const struct kmh_inbox *in)
{
	return llist_empty(&in->announced) && llist_empty(&in->ripe);
}

/* Inboxes of other CPUs that a refill looks into, with the lock held. */
#define KMH_STEAL_CPUS		16U

enum kmh_free_result kmh_mspan_free_remote(struct kmh_mspan *s, unsigned int slot,
					   unsigned long addr);
enum kmh_free_result kmh_mspan_free_waiting(struct kmh_mspan *s, unsigned int block);
enum kmh_free_result kmh_mspan_release_special(struct kmh_mspan *s, unsigned int slot);
void kmh_inbox_announce(struct kmh_mspan *s);
struct kmh_mspan *kmh_inbox_pop_announced_locked(struct kmh_mcentral *c, struct kmh_mcache *mc);
struct kmh_mspan *kmh_inbox_steal_locked(struct kmh_mcentral *c, unsigned int ncpus);
bool kmh_inbox_any_announced(struct kmh_mcentral *c);
void kmh_inbox_sweep_announced(struct kmh_mcentral *c);
unsigned int kmh_mcentral_sweep_some(struct kmh_mcentral *c, unsigned int most);
void kmh_inbox_leave(struct kmh_mcentral *c, struct kmh_mcache *mc);

#endif /* _KMHEAP_INBOX_H */
