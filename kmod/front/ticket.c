// SPDX-License-Identifier: GPL-2.0
/*
 * Tickets: objects that are allocated before a lock is taken.
 *
 * A ticket's objects are ordinary live objects, so no other caller can have them. The first
 * word of each holds the next one's address, and is cleared when the object is taken.
 */
#include <linux/bug.h>
#include <linux/export.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched.h>

#include "front/front.h"
#include "front/traced.h"
#include "heap.h"

/* Addresses on the stack at a time: as many as kmheap_alloc_bulk() holds a section for. */
#define KMH_TICKET_BATCH	32U

/* Can a machine have @n objects of @size? A small object takes what its class has. */
static bool kmh_ticket_ok(size_t size, size_t n)
{
	size_t bytes;

	if (size <= KMHEAP_MAX_SMALL)
		size = kmh_class_size(kmh_size_to_class(size));
	return !check_mul_overflow(size, n, &bytes) && bytes >> PAGE_SHIFT < totalram_pages();
}

/* Append objects to the chain whose last word is *@end. Return: the new last word. */
static void **kmh_ticket_append(void **end, size_t n, void **p)
{
	size_t i;

	for (i = 0; i < n; i++) {
		*end = p[i];
		end = p[i];
	}
	return end;
}

static void *kmh_ticket_pop(struct kmheap_ticket *t)
{
	void **p = t->next;

	t->next = *p;
	t->left--;
	*p = NULL;
	return p;
}

/* kmheap_ticket_end() for the caller @ip, whom kmheap_free_bulk() would not tell tracers of. */
static noinline void kmh_ticket_end(struct kmheap_ticket *t, unsigned long ip)
{
	void *p[KMH_TICKET_BATCH];
	unsigned int n;

	while (t->left && trace_free_enabled())
		kmh_free_one(kmh_ticket_pop(t), ip);
	while (t->left) {
		for (n = 0; n < KMH_TICKET_BATCH && t->left; n++)
			p[n] = kmh_ticket_pop(t);
		kmheap_free_bulk(n, p);
	}
}

/* kmheap_prefill(): see <linux/kmheap.h>. */
int kmheap_prefill_noprof(struct kmheap_ticket *t, struct kmheap *heap, size_t size, size_t n,
			  gfp_t gfp)
{
	void *p[KMH_TICKET_BATCH], **end = &t->next;
	size_t batch, got;

	*t = (struct kmheap_ticket)KMHEAP_TICKET_INIT;
	heap = kmh_heap_or_default(heap);
	/* A collection would not find objects that only a ticket points to. */
	if (!size || kmh_heap_collected(heap))
		return -EINVAL;
	size = max(size, sizeof(void *));	/* room for the chain */
	if (!kmh_ticket_ok(size, n))
		return -EINVAL;
	while (t->left < n) {
		batch = min_t(size_t, n - t->left, KMH_TICKET_BATCH);
		got = kmheap_alloc_bulk_noprof(heap, size, gfp, batch, p);
		end = kmh_ticket_append(end, got, p);
		*end = NULL;
		t->left += got;
		if (got < batch) {
			kmh_ticket_end(t, _RET_IP_);
			return -ENOMEM;
		}
		if (kmh_alloc_may_grow(gfp))
			cond_resched();
	}
	return 0;
}
EXPORT_SYMBOL_GPL(kmheap_prefill_noprof);

/**
 * kmheap_take() - an object of a ticket
 * @t: the ticket.
 *
 * No other context may use the ticket meanwhile, not even an interrupt: the caller's lock sees to
 * that, or the ticket is on its stack.
 *
 * Context: Any, NMI included.
 * Return: an object, for kmheap_free() in the end; NULL, with a warning the first time, when
 * the ticket has none left.
 */
void *kmheap_take(struct kmheap_ticket *t)
{
	if (WARN_ONCE(!t->left, "kmheap: more is taken of a ticket than was reserved\n"))
		return NULL;
	return kmh_ticket_pop(t);
}
EXPORT_SYMBOL_GPL(kmheap_take);

/**
 * kmheap_ticket_end() - give back the objects that have not been taken
 * @t: the ticket. It is empty afterwards, and may be filled again.
 *
 * Ending an empty ticket does nothing, also one that was never filled but is KMHEAP_TICKET_INIT.
 *
 * Context: Any, NMI included; as for kmheap_take().
 */
void kmheap_ticket_end(struct kmheap_ticket *t)
{
	kmh_ticket_end(t, _RET_IP_);
}
EXPORT_SYMBOL_GPL(kmheap_ticket_end);
