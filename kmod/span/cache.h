/* SPDX-License-Identifier: GPL-2.0 */
/* Private: a typed cache, and the caches of a heap; see front/cache.c. */
#ifndef _KMHEAP_CACHE_H
#define _KMHEAP_CACHE_H

#include <linux/mutex.h>
#include <linux/types.h>

#include "base/param.h"
#include "base/public.h"
#include "span/mspan.h"

struct kmh_mcache;
struct kmheap;

/*
 * The descriptor of a cache, type-stable: a client may come with a cache that it has destroyed.
 * @ended tells, and the two careful ones are set then.
 */
struct kmheap_cache {
	struct kmh_mcache __percpu *mcache;	/* of the heap, which begins with stubs */
	struct kmheap *heap;
	void (*ctor)(void *p);
	unsigned int size;		/* asked for */
	unsigned int align;		/* kept, a power of two */
	unsigned int flags;		/* KMHEAP_CACHE_* */
	u8 cell;			/* of its live objects: twice its number */
	u8 spanclass;
	bool careful_alloc;		/* an allocation does more than to take an object */
	bool careful_free;		/* likewise */
	bool keeps_type;		/* a free waits for a grace period */
	bool ended;			/* destroyed: nobody has it */
	char name[KMH_NAME_MAX + 1];
};

/* What clients may ask for. */
#define KMH_CACHE_FLAGS	(KMHEAP_CACHE_HWCACHE_ALIGN | KMHEAP_CACHE_TYPESAFE_BY_RCU)

struct kmh_cache_counts {
	struct kmheap *heap;
	u64 live[1 + KMH_CACHES];	/* objects, by the number of their cache */
	unsigned int disown;		/* those of this cache are the heap's afterwards; or 0 */
};

struct kmh_caches {
	struct mutex mutex;		/* caches come and go, or are counted */
	struct kmheap_cache *cache[1 + KMH_CACHES];	/* by number; none has number 0 */
	unsigned long keep_type;	/* a bit for each number; read anywhere */
};

#endif /* _KMHEAP_CACHE_H */
