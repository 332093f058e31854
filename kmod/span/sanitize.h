/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: objects as KASAN and kmemleak should see them; see sanitize.c and quarantine.c. In a
 * kernel with neither KMH_SANITIZE is 0, and all of it is compiled away.
 */
#ifndef _KMHEAP_SANITIZE_H
#define _KMHEAP_SANITIZE_H

#include <linux/preempt.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "base/clear.h"

struct kmh_mspan;
struct kmh_where;
struct kmheap;

/* A freed object in quarantine, by its first word. */
struct kmh_quarantined {
	struct kmh_quarantined *next;
};

/* First in, first out. */
struct kmh_quarantine {
	raw_spinlock_t lock;
	struct kmh_quarantined *first, *last;
	size_t bytes;
};

struct kmh_sanitize {
	bool on;			/* fixed for life */
	struct kmh_quarantine quarantine;
};

/* Bytes behind an object that must not be touched, at least. */
#define KMH_REDZONE_BYTES	(KMH_KASAN ? 16UL : 0UL)

/* Shadow of memory that must not be touched, as for the objects of SLUB. */
#define KMH_KASAN_FREE		0xfb	/* KASAN_SLAB_FREE */
#define KMH_KASAN_REDZONE	0xfc	/* KASAN_SLAB_REDZONE */
#define KMH_KASAN_RESIZED	0xfe	/* KASAN_PAGE_REDZONE, and reported as such */

extern bool kmh_sanitize_heaps;		/* heaps that are made from now on */

/* Is a free of an object of a sanitized heap one after a grace period? See sanitize.c. */
static inline bool kmh_sanitize_defers(void)
{
	return KMH_KMEMLEAK && in_nmi();
}

void kmh_sanitize_misuse(unsigned long addr);
void kmh_sanitize_init(struct kmheap *heap);
void kmh_sanitize_arena(const void *vbase, size_t bytes, bool block);
bool kmh_sanitize_may_be(const struct kmh_mspan *s, const struct kmh_where *at, size_t bytes);
void kmh_sanitize_locate(struct kmh_where *at);
void kmh_sanitize_deferred(unsigned long addr);
void kmh_sanitize_dead(unsigned long addr, size_t bytes);
void kmh_sanitize_span_gone(const struct kmh_mspan *s);
void kmh_quarantine_forget(struct kmheap *heap);

#if KMH_KASAN
/* Set the shadow; @addr and @bytes are multiples of a granule. */
void kmh_kasan_set(unsigned long addr, size_t bytes, u8 code);

/* Set it so that the first @size of @bytes may be touched; those behind are @redzone. */
void kmh_kasan_open(unsigned long addr, size_t size, size_t bytes, u8 redzone);
bool kmh_kasan_is(unsigned long addr, u8 code);
#else
static inline void kmh_kasan_set(unsigned long addr, size_t bytes, u8 code) { }
static inline void kmh_kasan_open(unsigned long addr, size_t size, size_t bytes, u8 redzone) { }

static inline bool kmh_kasan_is(unsigned long addr, u8 code)
{
	return false;
}
#endif

#endif /* _KMHEAP_SANITIZE_H */
