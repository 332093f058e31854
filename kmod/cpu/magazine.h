/* SPDX-License-Identifier: GPL-2.0 */
/* Private: objects that a CPU has freed, to be allocated again; see magazine.c. */
#ifndef _KMHEAP_MAGAZINE_H
#define _KMHEAP_MAGAZINE_H

#include <linux/gfp.h>
#include <linux/types.h>

#include "base/validator.h"
#include "cpu/mcache.h"

struct kmh_mspan;
struct kmheap;

/* Entries at most. */
#define KMH_MAGAZINE_ENTRIES	64U

struct kmh_magazine {
	struct kmh_entry entry[KMH_MAGAZINE_ENTRIES];
};

void kmh_magazines_init(void);
void kmh_magazines_exit(void);
int kmh_magazines_refill(gfp_t gfp);
unsigned int kmh_magazines_ready(void);
unsigned int kmh_magazine_room(unsigned int spanclass);
unsigned int kmh_magazine_len(const struct kmh_mcache *mc, unsigned int spanclass);
struct kmh_magazine *kmh_magazine_get(struct kmh_mcache *mc);
void kmh_magazine_put(struct kmheap *heap, struct kmh_magazine *m);
void kmh_magazine_open(struct kmh_mcache *mc, struct kmh_mcslot *c);
bool kmh_magazine_make_room(struct kmh_mcache *mc, struct kmh_mcslot *c);
bool kmh_magazine_may_adopt(struct kmh_mcache *mc, struct kmh_mcslot *c);
bool kmh_entry_fits(const struct kmh_mspan *s, const struct kmh_entry *e);
void kmh_magazine_stray(struct kmh_mcache *mc, u8 tag, struct kmh_mspan *s,
			const struct kmh_entry *e);
void *kmh_magazine_take_resting(struct kmh_mcache *mc, struct kmh_mcslot *c);
void kmh_mcache_give(struct kmh_mcache *mc, struct kmh_mspan *s, unsigned int word,
		     unsigned long mask);
void kmh_magazines_drain(struct kmh_mcache *mc);
void kmh_magazines_drain_all(struct kmheap *heap);
void kmh_magazines_free(struct kmh_mcache *mc);

/*
 * Do eight entries have the cells from @cell on, and objects of @bytes from @addr on? The first one
 * is known to be of the span as it is. An entry with the right cell has another address only if it
 * is of an earlier life of the descriptor; the sum of the addresses tells of one such entry.
 */
static __always_inline bool kmh_entries_follow(const struct kmh_entry *e, const u8 *cell,
					       unsigned long addr, size_t bytes)
{
	return e[0].cell == cell && e[1].cell == cell + 1 && e[2].cell == cell + 2 &&
	       e[3].cell == cell + 3 && e[4].cell == cell + 4 && e[5].cell == cell + 5 &&
	       e[6].cell == cell + 6 && e[7].cell == cell + 7 &&
	       e[0].addr + e[1].addr + e[2].addr + e[3].addr + e[4].addr + e[5].addr +
	       e[6].addr + e[7].addr == 8 * addr + 28 * bytes;
}

#endif /* _KMHEAP_MAGAZINE_H */
