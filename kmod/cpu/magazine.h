/* SPDX-License-Identifier: GPL-2.0 */
/* Private: objects that a CPU has freed, to be allocated again; see magazine.c. */
#ifndef _KMHEAP_MAGAZINE_H
#define _KMHEAP_MAGAZINE_H

#include <linux/gfp.h>
#include <linux/types.h>

#include "base/validator.h"

struct kmh_mcache;
struct kmh_mcslot;
struct kmh_mspan;
struct kmheap;

void kmh_magazines_init(void);
void kmh_magazines_exit(void);
int kmh_magazines_refill(gfp_t gfp);
unsigned int kmh_magazine_room(unsigned int spanclass);
unsigned int kmh_magazine_len(const struct kmh_mcache *mc, unsigned int spanclass);
void kmh_magazine_open(struct kmh_mcache *mc, struct kmh_mcslot *c);
bool kmh_magazine_make_room(struct kmh_mcache *mc, struct kmh_mcslot *c);
void *kmh_magazine_take_resting(struct kmh_mcache *mc, struct kmh_mcslot *c);
void kmh_mcache_give(struct kmh_mcache *mc, struct kmh_mspan *s, unsigned int word,
		     unsigned long mask);
void kmh_magazines_drain(struct kmh_mcache *mc);
void kmh_magazines_drain_all(struct kmheap *heap);
void kmh_magazines_free(struct kmh_mcache *mc);

#endif /* _KMHEAP_MAGAZINE_H */
