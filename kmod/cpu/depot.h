/* SPDX-License-Identifier: GPL-2.0 */
/* Private: freed objects on their way from one CPU to another; see depot.c. */
#ifndef _KMHEAP_DEPOT_H
#define _KMHEAP_DEPOT_H

#include <linux/types.h>

#include "cpu/magazine.h"

struct kmh_node;
struct kmheap;

#define KMH_BATCH_ENTRIES	63U

/* Entries whose cells have @tag. It is of the size of a magazine, and from the same pool. */
struct kmh_batch {
	u8 tag;
	struct kmh_entry entry[KMH_BATCH_ENTRIES];
};

/* The low bits of a batch's address, which say how many entries it has. */
#define KMH_BATCH_N		((unsigned long)KMH_BATCH_ENTRIES)

/* So many trips in one direction, with none in the other, make a giver or a taker. */
#define KMH_DEPOT_TREND		64

/* The depots of a node, one for each class, fill a page. */
#define KMH_DEPOT_BATCHES	3U
#define KMH_DEPOTS_BYTES	(KMH_NR_SPANCLASSES * sizeof(struct kmh_depot))

struct kmh_depot {
	unsigned long place[KMH_DEPOT_BATCHES];	/* 0, or a batch and KMH_BATCH_N */
};

#ifdef KMHEAP_KUNIT
extern bool kmh_depot_shut;	/* no CPU gives */
#endif

int kmh_depots_make(struct kmh_node *node, gfp_t gfp);
bool kmh_depot_wanted(struct kmh_mcache *mc, unsigned int spanclass);
bool kmh_depot_give(struct kmh_mcache *mc, struct kmh_mcslot *c, struct kmh_entry *to);
bool kmh_depot_take(struct kmh_mcache *mc, struct kmh_mcslot *c);
bool kmh_depot_drain(struct kmh_node *node, unsigned int spanclass);
void kmh_depots_drain(struct kmheap *heap);
bool kmh_depots_look(struct kmheap *heap);
void kmh_depots_free(struct kmh_node *node);
unsigned int kmh_depot_len(const struct kmh_node *node, unsigned int spanclass);

#endif /* _KMHEAP_DEPOT_H */
