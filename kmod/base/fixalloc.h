/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fixed-size metadata, type-stable: Go's fixalloc with the locking of a kernel.
 *
 * Items come from chunks that are taken from the kernel by kmh_fixalloc_refill() and given
 * back by kmh_fixalloc_destroy() only. Between the two, memory that was an item stays an item
 * of that kind, so a racing reader may follow a stale pointer to a freed or reused item. The
 * reader then sees what the last user left, or what the next one writes, and must be able to
 * tell: the item's own fields say whether it is the one looked for. For that reason the
 * allocator keeps its link behind the item, never in it: putting and getting an item changes
 * none of its bytes.
 */
#ifndef _KMHEAP_FIXALLOC_H
#define _KMHEAP_FIXALLOC_H

#include <linux/atomic.h>
#include <linux/compiler_attributes.h>
#include <linux/gfp.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "base/validator.h"

struct kmh_fixlink;
struct kmh_fixchunk;

struct kmh_fixalloc {
	/* fixed by kmh_fixalloc_init() */
	const char *name;
	size_t size;			/* bytes asked for */
	size_t stride;			/* bytes from item to item, the link included */
	size_t link_off;		/* from an item's start to its link */
	unsigned int order;		/* of a chunk, the lowest that holds an item */
	unsigned int per_chunk;		/* items in a chunk */
	struct kmh_fixalloc *next_shared;	/* kmh_fixalloc_share() */

	raw_spinlock_t lock;		/* the last in the lock order; NMI only tries */
	struct kmh_fixlink *free;	/* LIFO: the item put last is got first */
	struct kmh_fixchunk *chunks;
	unsigned long nfree;		/* this and the next two: written under @lock */
	unsigned long ninuse;		/* pending items included */
	unsigned long chunk_bytes;	/* taken from the kernel */

	/* lock-free */
	struct kmh_fixlink *pending;	/* put while @lock was held: cmpxchg in, xchg out */
	atomic_long_t nrefused;		/* puts of items not in use here */
};

void kmh_fixalloc_init(struct kmh_fixalloc *f, const char *name, size_t bytes, size_t align);
int kmh_fixalloc_refill(struct kmh_fixalloc *f, unsigned int nobjs, gfp_t gfp);
bool kmh_fixalloc_adopt(struct kmh_fixalloc *f, void *page);
void *kmh_fixalloc_get(struct kmh_fixalloc *f);
void *kmh_fixalloc_try_get(struct kmh_fixalloc *f);
void kmh_fixalloc_put(struct kmh_fixalloc *f, void *p);
void kmh_fixalloc_destroy(struct kmh_fixalloc *f);
void kmh_fixalloc_share(struct kmh_fixalloc *f);
u64 kmh_fixallocs_unused_bytes(void);
unsigned int kmh_fixalloc_validate(struct kmh_fixalloc *f, kmh_finding_fn finding, void *ctx);
unsigned int kmh_fixallocs_validate(kmh_finding_fn finding, void *ctx);

#endif /* _KMHEAP_FIXALLOC_H */
