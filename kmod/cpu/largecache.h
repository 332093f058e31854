/* SPDX-License-Identifier: GPL-2.0 */
/* Private: freed large objects that a CPU keeps; see largecache.c. */
#ifndef _KMHEAP_LARGECACHE_H
#define _KMHEAP_LARGECACHE_H

#include <linux/types.h>

#include "base/validator.h"
#include "pages/parked.h"

struct kmh_mcache;
struct kmh_mheap;
struct kmh_mspan;
struct kmheap;

/* What a CPU has parked, under the mcache rule. */
struct kmh_largecache {
	struct kmh_parked parked;
	unsigned long limit;		/* bound of parked.max */
	unsigned long takes;		/* spans taken again, ever */
	unsigned long allocs;		/* those of them that became objects */
};

void kmh_largecache_init(struct kmh_largecache *lc);
struct kmh_mspan *kmh_largecache_take(struct kmheap *heap, unsigned long npages, size_t align,
				      int nid, bool count);
void kmh_largecache_drain(struct kmh_mcache *mc);
bool kmh_largecache_drain_cpus(struct kmheap *heap);
void kmh_largecache_drain_unused(struct kmheap *heap);
void kmh_large_free(struct kmh_mspan *s);
unsigned int kmh_largecache_validate(struct kmheap *heap, kmh_finding_fn finding, void *ctx);

#endif /* _KMHEAP_LARGECACHE_H */
