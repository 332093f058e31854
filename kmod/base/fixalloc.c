// SPDX-License-Identifier: GPL-2.0
/*
 * Type-stable metadata of fixed size; see fixalloc.h for what that promises.
 *
 * An item is followed by its link, one word, which says where the item is:
 *
 *   in use	the address of the fixalloc it belongs to
 *   free	the next free link, or NULL
 *   pending	the next pending link, or NULL, with bit 0 set
 *
 * The caller that changes a link from "in use" with a cmpxchg owns the put; every other put
 * of that item finds another value and is refused. So a second put is always caught, and so
 * is a put to the wrong fixalloc. Pending items are those whose put found the lock held. They
 * are tagged because the validator may look at a link while its owner is still pushing it.
 */
#include <linux/align.h>
#include <linux/bug.h>
#include <linux/cache.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/string.h>

#include "base/fixalloc.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/lock.h"
#include "base/testpoint.h"

/* The word behind an item. Accessed with READ_ONCE(), WRITE_ONCE() and cmpxchg(). */
struct kmh_fixlink {
	struct kmh_fixlink *next;
};

/* The end of a chunk: there the first item is aligned as the chunk is. */
struct kmh_fixchunk {
	struct kmh_fixchunk *next;
};

#define PENDING_BIT	1UL

static struct kmh_fixlink *pending_tag(struct kmh_fixlink *link)
{
	return (struct kmh_fixlink *)((unsigned long)link | PENDING_BIT);
}

static struct kmh_fixlink *pending_untag(struct kmh_fixlink *link)
{
	return (struct kmh_fixlink *)((unsigned long)link & ~PENDING_BIT);
}

static struct kmh_fixlink *inuse_mark(struct kmh_fixalloc *f)
{
	return (struct kmh_fixlink *)f;
}

static struct kmh_fixlink *item_link(const struct kmh_fixalloc *f, void *item)
{
	return item + f->link_off;
}

static size_t chunk_bytes(const struct kmh_fixalloc *f)
{
	return PAGE_SIZE << f->order;
}

static void *chunk_base(const struct kmh_fixalloc *f, struct kmh_fixchunk *chunk)
{
	return (void *)(chunk + 1) - chunk_bytes(f);
}

/* Push @link, already claimed by the caller, on the pending list. Context: any. */
static void pending_push(struct kmh_fixalloc *f, struct kmh_fixlink *link)
{
	struct kmh_fixlink *first = READ_ONCE(f->pending);

	do {
		WRITE_ONCE(link->next, pending_tag(first));
	} while (!try_cmpxchg(&f->pending, &first, link));	/* pairs with pending_drain() */
}

static void push_free_locked(struct kmh_fixalloc *f, struct kmh_fixlink *link)
{
	lockdep_assert_held(&f->lock);
	WRITE_ONCE(link->next, f->free);
	f->free = link;
	WRITE_ONCE(f->nfree, f->nfree + 1);
	WRITE_ONCE(f->ninuse, f->ninuse - 1);
}

static void pending_drain_locked(struct kmh_fixalloc *f)
{
	struct kmh_fixlink *link, *next;

	lockdep_assert_held(&f->lock);
	if (likely(!READ_ONCE(f->pending)))
		return;
	for (link = xchg(&f->pending, NULL); link; link = next) {
		next = pending_untag(READ_ONCE(link->next));
		push_free_locked(f, link);
	}
}

static struct kmh_fixlink *pop_free_locked(struct kmh_fixalloc *f)
{
	struct kmh_fixlink *link;

	lockdep_assert_held(&f->lock);
	pending_drain_locked(f);
	link = f->free;
	if (!link)
		return NULL;
	f->free = READ_ONCE(link->next);
	WRITE_ONCE(link->next, inuse_mark(f));
	WRITE_ONCE(f->nfree, f->nfree - 1);
	WRITE_ONCE(f->ninuse, f->ninuse + 1);
	return link;
}

/*
 * Set up a fixalloc without any items. @name is kept by reference. An item takes @bytes and its
 * link, rounded up to @align, which is a power of two up to PAGE_SIZE.
 *
 * Chunks are one page, or the shortest run of pages that holds one item. Longer chunks would
 * waste less at their ends (of magazines a fourth, of descriptors of 1,856 bytes a tenth), but
 * fragmented memory has no runs of pages, however much of it is free.
 */
void kmh_fixalloc_init(struct kmh_fixalloc *f, const char *name, size_t bytes, size_t align)
{
	if (WARN_ON_ONCE(!is_power_of_2(align) || align > PAGE_SIZE))
		align = SMP_CACHE_BYTES;
	align = max(align, __alignof__(struct kmh_fixlink));

	memset(f, 0, sizeof(*f));
	raw_spin_lock_init(&f->lock);
	f->name = name;
	f->size = bytes;
	f->link_off = ALIGN(bytes, sizeof(struct kmh_fixlink));
	f->stride = ALIGN(f->link_off + sizeof(struct kmh_fixlink), align);
	f->order = get_order(f->stride + sizeof(struct kmh_fixchunk));
	f->per_chunk = (chunk_bytes(f) - sizeof(struct kmh_fixchunk)) / f->stride;
}

/* Those whose unused items belong to no heap. They are there before any heap is, and stay. */
static struct kmh_fixalloc *kmh_shared_fixallocs;

/* Context: the module comes. */
void kmh_fixalloc_share(struct kmh_fixalloc *f)
{
	f->next_shared = kmh_shared_fixallocs;
	kmh_shared_fixallocs = f;
}

/* What has been taken from the kernel for the shared ones, less the items in use. Context: any. */
u64 kmh_fixallocs_unused_bytes(void)
{
	const struct kmh_fixalloc *f;
	u64 bytes = 0;

	for (f = kmh_shared_fixallocs; f; f = f->next_shared)
		bytes += kmh_less(READ_ONCE(f->chunk_bytes), READ_ONCE(f->ninuse) * f->size);
	return bytes;
}

/* Link the items of a new chunk into a list, lowest address first. Return: the last link. */
static struct kmh_fixlink *chunk_carve(const struct kmh_fixalloc *f, void *base)
{
	struct kmh_fixlink *link = item_link(f, base);
	unsigned int i;

	for (i = 1; i < f->per_chunk; i++) {
		link->next = item_link(f, base + i * f->stride);
		link = link->next;
	}
	return link;
}

/* @last: the last link of the chunk at @base. */
static void chunk_add_locked(struct kmh_fixalloc *f, void *base, struct kmh_fixlink *last)
{
	struct kmh_fixchunk *chunk = base + chunk_bytes(f) - sizeof(*chunk);

	lockdep_assert_held(&f->lock);
	chunk->next = f->chunks;
	f->chunks = chunk;
	last->next = f->free;
	f->free = item_link(f, base);
	WRITE_ONCE(f->nfree, f->nfree + f->per_chunk);
	WRITE_ONCE(f->chunk_bytes, f->chunk_bytes + chunk_bytes(f));
}

/* Add the chunk at @base, which kmh_shared_try_account() has counted. */
static void chunk_add(struct kmh_fixalloc *f, void *base)
{
	struct kmh_fixlink *last = chunk_carve(f, base);
	unsigned long flags;

	kmh_wait_lock_irqsave(&f->lock, flags);
	chunk_add_locked(f, base, last);
	kmh_shared_account(-(long)chunk_bytes(f));	/* it is counted by its items now */
	kmh_unlock_irqrestore(&f->lock, flags);
}

static unsigned long nfree_drained(struct kmh_fixalloc *f)
{
	unsigned long flags, nfree;

	kmh_wait_lock_irqsave(&f->lock, flags);
	pending_drain_locked(f);
	nfree = f->nfree;
	kmh_unlock_irqrestore(&f->lock, flags);
	return nfree;
}

/*
 * Make sure that @nobjs items are free on return. Other callers may get them right afterwards.
 * Context: what @gfp says, but not NMI. Takes and drops the lock.
 * Return: 0, -ENOMEM, or -EDQUOT where the module's limit forbids a chunk; chunks taken up to
 * then stay.
 */
int kmh_fixalloc_refill(struct kmh_fixalloc *f, unsigned int nobjs, gfp_t gfp)
{
	void *base;

	might_alloc(gfp);
	while (nfree_drained(f) < nobjs) {
		if (!kmh_shared_try_account(chunk_bytes(f)))
			return -EDQUOT;
		kmh_test_point("fixalloc: counted, not taken");
		base = kmh_backend_pages(f->order, gfp);
		if (!base) {
			kmh_shared_account(-(long)chunk_bytes(f));
			return -ENOMEM;
		}
		chunk_add(f, base);
	}
	return 0;
}

/*
 * Cut items from @page, which the caller has from kmh_backend_pages(). It is as it came but for its
 * last word. Chunks of @f are single pages. Context: any. Nested (lock.h) only tries the lock.
 * Return: false, with the page as it was, when the lock is held.
 */
bool kmh_fixalloc_adopt(struct kmh_fixalloc *f, void *page)
{
	unsigned long flags;

	if (WARN_ON_ONCE(f->order) || !kmh_lock_irqsave(&f->lock, flags))
		return false;
	chunk_add_locked(f, page, chunk_carve(f, page));
	kmh_unlock_irqrestore(&f->lock, flags);
	return true;
}

/*
 * Take an item. Its bytes are as its last user left them, zeroes at first use.
 * Context: any. Nested (lock.h) only tries the lock.
 * Return: the item; NULL when none is free, and nested when the lock is held.
 */
void *kmh_fixalloc_get(struct kmh_fixalloc *f)
{
	struct kmh_fixlink *link;
	unsigned long flags;

	if (!kmh_lock_irqsave(&f->lock, flags))
		return NULL;
	kmh_test_point("under the lock of a fixalloc");
	link = pop_free_locked(f);
	kmh_unlock_irqrestore(&f->lock, flags);
	return link ? (void *)link - f->link_off : NULL;
}

/* kmh_fixalloc_get() for a free, which never waits: NULL also when the lock is held. */
void *kmh_fixalloc_try_get(struct kmh_fixalloc *f)
{
	struct kmh_fixlink *link;
	unsigned long flags;

	if (!kmh_trylock_irqsave(&f->lock, flags))
		return NULL;
	link = pop_free_locked(f);
	kmh_unlock_irqrestore(&f->lock, flags);
	return link ? (void *)link - f->link_off : NULL;
}

static noinline void report_refused(struct kmh_fixalloc *f, void *p, unsigned long ip)
{
	atomic_long_inc(&f->nrefused);
	pr_err_once("kmheap: fixalloc %s: put of %p by %pS refused: not in use\n",
		    f->name, p, (void *)ip);
}

/*
 * Give an item back. A put of an item that is not in use is counted and otherwise ignored. Never
 * waits: where the lock is held the item goes on a lock-free list that the next holder drains.
 * Until then it counts as in use. Context: any, NMI included.
 */
void kmh_fixalloc_put(struct kmh_fixalloc *f, void *p)
{
	struct kmh_fixlink *link = item_link(f, p);
	unsigned long flags;

	if (unlikely(cmpxchg(&link->next, inuse_mark(f), pending_tag(NULL)) != inuse_mark(f))) {
		report_refused(f, p, _RET_IP_);
		return;
	}
	if (unlikely(!kmh_trylock_irqsave(&f->lock, flags))) {
		pending_push(f, link);
		return;
	}
	pending_drain_locked(f);
	push_free_locked(f, link);
	kmh_unlock_irqrestore(&f->lock, flags);
}

/*
 * Give all chunks back to the kernel; @f may be used again. Items in use are a bug of the caller:
 * they are warned about and freed all the same. No reader may still follow a pointer to an item,
 * stale or not. Context: process context, no other user of @f.
 */
void kmh_fixalloc_destroy(struct kmh_fixalloc *f)
{
	struct kmh_fixchunk *chunk, *next;

	nfree_drained(f);
	WARN(f->ninuse, "kmheap: fixalloc %s destroyed with %lu items in use\n",
	     f->name, f->ninuse);
	for (chunk = f->chunks; chunk; chunk = next) {
		next = chunk->next;
		kmh_backend_free_pages(chunk_base(f, chunk), f->order);
	}
	f->chunks = NULL;
	f->free = NULL;
	f->nfree = 0;
	f->ninuse = 0;
	f->chunk_bytes = 0;
}

/* What a walk over all chunks has found. */
struct fixalloc_census {
	unsigned long nchunks, nfree, ninuse, ntails;
	unsigned long links;	/* exclusive or of the addresses that links point to */
	unsigned long items;	/* and of the addresses of the free links themselves */
};

static void census_item(struct kmh_fixalloc *f, struct kmh_fixlink *link,
			struct fixalloc_census *c)
{
	struct kmh_fixlink *next = READ_ONCE(link->next);

	if (next == inuse_mark(f) || (unsigned long)next & PENDING_BIT) {
		c->ninuse++;
		return;
	}
	c->nfree++;
	c->ntails += !next;
	c->links ^= (unsigned long)next;
	c->items ^= (unsigned long)link;
}

/*
 * Follows no link, so a broken one does no harm: when every free link but the last is pointed
 * to once, the addresses cancel out.
 */
static void census_locked(struct kmh_fixalloc *f, struct fixalloc_census *c)
{
	struct kmh_fixchunk *chunk;
	unsigned int i;

	lockdep_assert_held(&f->lock);
	for (chunk = f->chunks; chunk; chunk = chunk->next) {
		void *base = chunk_base(f, chunk);

		c->nchunks++;
		for (i = 0; i < f->per_chunk; i++)
			census_item(f, item_link(f, base + i * f->stride), c);
	}
	c->links ^= (unsigned long)f->free;
}

/*
 * Check a fixalloc, which may be in use meanwhile. @finding is called without the lock. Holds the
 * lock, interrupts off, for one pass over all items: for tests and debugfs, not for a hot path.
 * Context: any but NMI. Return: number of findings.
 */
unsigned int kmh_fixalloc_validate(struct kmh_fixalloc *f, kmh_finding_fn finding, void *ctx)
{
	long nrefused = atomic_long_read(&f->nrefused);
	unsigned long flags, nfree, ninuse, bytes;
	struct fixalloc_census c = { };
	unsigned int nfindings = 0;

	kmh_wait_lock_irqsave(&f->lock, flags);
	pending_drain_locked(f);
	census_locked(f, &c);
	nfree = f->nfree;
	ninuse = f->ninuse;
	bytes = f->chunk_bytes;
	kmh_unlock_irqrestore(&f->lock, flags);

#define EXPECT(cond, fmt, ...)								\
	do {										\
		if (!(cond)) {								\
			finding(ctx, "fixalloc %s: " fmt, f->name, ##__VA_ARGS__);	\
			nfindings++;							\
		}									\
	} while (0)

	EXPECT(nfree == c.nfree, "nfree is %lu, %lu items are free", nfree, c.nfree);
	EXPECT(ninuse == c.ninuse, "ninuse is %lu, %lu items are in use", ninuse, c.ninuse);
	EXPECT(bytes == c.nchunks * chunk_bytes(f), "chunk_bytes is %lu with %lu chunks", bytes,
	       c.nchunks);
	EXPECT(c.ntails == !!c.nfree, "%lu of %lu free items end the list", c.ntails, c.nfree);
	EXPECT(c.links == c.items, "the free list does not link the free items");
	EXPECT(!nrefused, "%ld puts of items not in use", nrefused);
#undef EXPECT
	return nfindings;
}

/* kmh_fixalloc_validate() for those that belong to no heap. */
unsigned int kmh_fixallocs_validate(kmh_finding_fn finding, void *ctx)
{
	struct kmh_fixalloc *f;
	unsigned int n = 0;

	for (f = kmh_shared_fixallocs; f; f = f->next_shared)
		n += kmh_fixalloc_validate(f, finding, ctx);
	return n;
}
