/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: the calls that go up all the same, each with its reason.
 *
 * kmod/ is a house. Data goes down to the kernel and back up, so a file calls its own floor and
 * those below: base, insight, span, pages, central, cpu, sweep, supply, front, debug, and last
 * what is in no folder. "scripts/check-floors" looks, and knows the calls that are declared here.
 */
#ifndef _KMHEAP_UP_H
#define _KMHEAP_UP_H

#include <linux/gfp.h>
#include <linux/types.h>

#include "base/gfp.h"

struct kmh_mcache;
struct kmh_mheap;
struct kmh_mspan;
struct kmh_node;
struct kmheap;

/* base -> front: tracers are told of an allocation that got nothing. */
void kmh_traced_refuse(struct kmheap *heap, size_t bytes, gfp_t gfp, enum kmh_why why);

/* pages -> central: a fresh span is dated before the sweep can find it. */
void kmh_mcentral_date_span(struct kmh_mspan *s);

/* pages -> cpu: parked pages come first, also those that this CPU has. */
bool kmh_largecache_drain_for(struct kmh_mheap *mh, struct kmh_mcache *mc, unsigned long npages);

/* central -> sweep: who takes fresh pages pays for them by sweeping. */
void kmh_sweep_pay(struct kmheap *heap, unsigned long npages);

/* supply -> front: the worker fills the shelves of NMIs as a client allocates, */
void *kmh_alloc_shelved(struct kmheap *heap, struct kmh_node *node, unsigned int spanclass);
void *kmh_large_try(struct kmheap *heap, size_t bytes, gfp_t gfp);
/* ... and empties them as a client frees. */
void kmheap_free(const void *p);

/* supply -> front: what is in quarantine is free, and goes before the heap is shrunk. */
bool kmh_quarantine_drain(struct kmheap *heap, size_t limit);

/* supply -> front: objects in an arena that is lost have no finalizers any more. */
void kmh_special_forget_lost(struct kmheap *heap);

/* supply -> heap: out of memory, the heaps that have ended do not wait for their worker. */
size_t kmh_ended_reap(void);

#endif /* _KMHEAP_UP_H */
