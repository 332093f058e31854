// SPDX-License-Identifier: GPL-2.0
/*
 * The mcentrals of a node: a group of classes has them from its first use on.
 *
 * A small heap begins with those of large objects, packed data and the smallest sizes, and with a
 * few spare groups, because a class may be used for the first time where nothing can be allocated.
 * All spans of its first arena find one among these. A heap that takes a second arena, or mcaches,
 * gets all groups before that, so from then on no class is without.
 *
 * A group is there until the heap ends. The place of one that has not come leads to
 * kmh_no_mcentrals: whoever looks for spans of any class, or at the phase of a class by a stale
 * descriptor, finds that there are none and that nothing is swept or marked. Nobody writes there,
 * as whoever has a span has its mcentral. One that comes in the middle of a generation has no
 * spans, so it is swept. Heaps that are collected have all from the beginning, as each class must
 * know that objects are marked.
 */
#include "central/mcentral.h"
#include "base/backend.h"
#include "base/lock.h"
#include "base/testpoint.h"
#include "heap.h"
#include "pages/mheap.h"

#define KMH_GROUP_BYTES		(KMH_GROUP_CLASSES * sizeof(struct kmh_mcentral))

struct kmh_mcentral kmh_no_mcentrals[KMH_GROUP_CLASSES];

/* Context: the module comes. */
void kmh_no_mcentrals_init(void)
{
	unsigned int i;

	for (i = 0; i < KMH_GROUP_CLASSES; i++)
		kmh_mcentral_init(&kmh_no_mcentrals[i], NULL, i);
}

/* A group that is in no place yet, counted. Context: what @gfp says; sleeps. */
static struct kmh_mcentral *kmh_group_new(struct kmh_node *node, gfp_t gfp)
{
	struct kmh_mcentral *group = kmh_backend_zalloc(KMH_GROUP_BYTES, gfp, node->mheap.nid);

	if (group)
		kmh_heap_account_metadata(node->mheap.heap, KMH_GROUP_BYTES);
	return group;
}

static void kmh_group_free(struct kmh_node *node, struct kmh_mcentral *group)
{
	if (!group)
		return;
	kmh_heap_account_metadata(node->mheap.heap, -(long)KMH_GROUP_BYTES);
	kmh_backend_free(group);
}

static bool kmh_group_exists(const struct kmh_node *node, unsigned int nr)
{
	return READ_ONCE(node->group[nr]) != kmh_no_mcentrals;
}

/* Put a group where group @nr has not come yet. */
static void kmh_group_come_locked(struct kmh_node *node, unsigned int nr,
				  struct kmh_mcentral *group)
{
	unsigned int i;

	lockdep_assert_held(&node->mheap.lock);
	for (i = 0; i < KMH_GROUP_CLASSES; i++)
		kmh_mcentral_init(&group[i], node, nr * KMH_GROUP_CLASSES + i);
	/* Release: whoever finds the group finds what is in it. */
	smp_store_release(&node->group[nr], group);
}

/* Are there no groups for classes to come? Context: any. */
bool kmh_mcentrals_short(const struct kmh_node *node)
{
	return !READ_ONCE(node->nspare);
}

/*
 * The group of @spanclass comes, if it has not and one is spare; but not for a class that finds no
 * pages now. Context: any; in NMI the lock is only tried.
 */
static void kmh_group_use_spare(struct kmh_node *node, unsigned int spanclass)
{
	unsigned int npages = kmh_classes[kmh_spanclass_class(spanclass)].npages;
	unsigned int nr = spanclass / KMH_GROUP_CLASSES;
	unsigned long flags;

	if (!kmh_lock_irqsave(&node->mheap.lock, flags))
		return;
	if (!kmh_group_exists(node, nr) && node->nspare && node->mheap.pa.nfree >= npages) {
		WRITE_ONCE(node->nspare, node->nspare - 1);
		kmh_test_point("a class gets its mcentral");
		kmh_group_come_locked(node, nr, node->spare[node->nspare]);
	}
	kmh_unlock_irqrestore(&node->mheap.lock, flags);
}

/*
 * The mcentral of a class that is about to have a span. Where the last of the spare groups is taken
 * the worker makes all. @atomic: for a caller that cannot sleep. Context: any; in NMI a lock is
 * only tried. Return: NULL when there is none yet; kmh_mheap_grow() makes it.
 */
struct kmh_mcentral *kmh_mcentral_get(struct kmh_node *node, unsigned int spanclass, bool atomic)
{
	struct kmh_mcentral *c = kmh_mcentral_of(node, spanclass);

	if (likely(kmh_mcentral_exists(c)))
		return c;
	kmh_group_use_spare(node, spanclass);
	if (kmh_mcentrals_short(node))
		kmh_mheap_kick(&node->mheap, atomic);
	c = kmh_mcentral_of(node, spanclass);
	return kmh_mcentral_exists(c) ? c : NULL;
}

/* Group @nr comes, unless it has. Context: process context; sleeps, as @gfp must allow. */
static int kmh_group_make(struct kmh_node *node, unsigned int nr, gfp_t gfp)
{
	struct kmh_mcentral *group;
	unsigned long flags;

	if (kmh_group_exists(node, nr))
		return 0;
	group = kmh_group_new(node, gfp);
	if (!group)
		return -ENOMEM;
	kmh_wait_lock_irqsave(&node->mheap.lock, flags);
	if (!kmh_group_exists(node, nr)) {
		kmh_group_come_locked(node, nr, group);
		group = NULL;
	}
	kmh_unlock_irqrestore(&node->mheap.lock, flags);
	kmh_group_free(node, group);
	return 0;
}

/* The spare groups are not needed any more. */
static void kmh_mcentrals_free_spare(struct kmh_node *node)
{
	struct kmh_mcentral *group;
	unsigned long flags;

	do {
		kmh_wait_lock_irqsave(&node->mheap.lock, flags);
		group = node->nspare ? node->spare[node->nspare - 1] : NULL;
		WRITE_ONCE(node->nspare, node->nspare - !!group);
		kmh_unlock_irqrestore(&node->mheap.lock, flags);
		kmh_group_free(node, group);
	} while (group);
}

/*
 * From the return on every class of @node has its mcentral. Context: process context; sleeps, as
 * @gfp must allow. Return: 0, or -ENOMEM: then some have none.
 */
int kmh_mcentrals_make(struct kmh_node *node, gfp_t gfp)
{
	unsigned int nr;

	for (nr = 0; nr < KMH_NR_GROUPS; nr++)
		if (kmh_group_make(node, nr, gfp))
			return -ENOMEM;
	kmh_mcentrals_free_spare(node);
	return 0;
}

/* What @node will take for mcentrals, beside what it has. Context: process context. */
size_t kmh_mcentrals_missing_bytes(struct kmh_node *node)
{
	unsigned int nr, missing = 0;

	for (nr = 0; nr < KMH_NR_GROUPS; nr++)
		missing += !kmh_group_exists(node, nr);
	return (missing - min(missing, node->nspare)) * KMH_GROUP_BYTES;
}

/* Make what @node begins with. Context: process context; sleeps. Return: 0 or -ENOMEM. */
int kmh_mcentrals_init(struct kmh_node *node, gfp_t gfp)
{
	unsigned int nr;

	for (nr = 0; nr < KMH_NR_GROUPS; nr++)
		node->group[nr] = kmh_no_mcentrals;
	if (!(node->mheap.heap->flags & KMHEAP_SMALL) || kmh_heap_collected(node->mheap.heap))
		return kmh_mcentrals_make(node, gfp);
	while (node->nspare < KMH_SPARE_GROUPS) {
		node->spare[node->nspare] = kmh_group_new(node, gfp);
		if (!node->spare[node->nspare])
			return -ENOMEM;
		node->nspare++;
	}
	return kmh_group_make(node, KMH_SPANCLASS_LARGE / KMH_GROUP_CLASSES, gfp);
}

/* Context: process context; nobody uses the node. */
void kmh_mcentrals_free(struct kmh_node *node)
{
	unsigned int nr;

	kmh_mcentrals_free_spare(node);
	for (nr = 0; nr < KMH_NR_GROUPS; nr++)
		if (kmh_group_exists(node, nr))
			kmh_group_free(node, node->group[nr]);
}

/* In the place of a group that has not come there is nothing, of whatever heap. */
static unsigned int kmh_no_mcentral_validate(struct kmh_mcentral *c, kmh_finding_fn finding,
					     void *ctx)
{
	if (!c->phase && !c->npartial && kmh_inbox_empty(&c->inbox) && !c->inboxes)
		return kmh_mcentral_validate(c, finding, ctx);
	finding(ctx, "a class without a mcentral has phase %lx, %u partial spans", c->phase,
		c->npartial);
	return 1;
}

/*
 * Check the mcentrals of a node, otherwise as kmh_mcentral_validate(). Context: process context.
 * Return: number of findings.
 */
unsigned int kmh_mcentrals_validate(struct kmh_node *node, kmh_finding_fn finding, void *ctx)
{
	bool grown = kmh_mcache_of(node->mheap.heap, raw_smp_processor_id());
	unsigned int i, n = 0;

	smp_rmb();	/* the mcaches, the groups: pairs with the release in kmh_mcaches_make() */
	for (i = KMH_SPANCLASS_TINY; i < KMH_NR_SPANCLASSES; i++) {
		struct kmh_mcentral *c = kmh_mcentral_of(node, i);

		if (c->node == node && c->spanclass == i) {
			n += kmh_mcentral_validate(c, finding, ctx);
		} else if (kmh_mcentral_exists(c) || grown) {
			finding(ctx, "heap %s: class %u has the mcentral of class %u of node %p",
				node->mheap.heap->name, i, c->spanclass, c->node);
			n++;
		} else {
			n += kmh_no_mcentral_validate(c, finding, ctx);
		}
	}
	return n;
}
