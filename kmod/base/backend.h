/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Everything that kmheap takes from the kernel passes through here, so that one
 * fail-Nth counter reaches every allocation step.
 */
#ifndef _KMHEAP_BACKEND_H
#define _KMHEAP_BACKEND_H

#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/types.h>

#include "base/backing.h"

/* The n-th next backend allocation fails, and only that one; 0 is off. Tests and debugfs set it. */
extern atomic_long_t kmh_fail_nth;
extern atomic_long_t kmh_failures_injected;

/* Arenas and tables taken and not given back: a leak test compares these. */
extern atomic_long_t kmh_backend_narenas;
extern atomic_long_t kmh_backend_ntables;
extern atomic_long_t kmh_backend_nblock_pages;	/* of the kernel's size, in blocks */

/* Blocks that were not to be had, ever, by order from that of KMH_BLOCK_MIN_BYTES on. */
extern atomic_long_t kmh_backend_nblocks_failed[KMH_BLOCK_ORDERS];

#ifdef KMHEAP_KUNIT
/* All flags that the kernel has been given since a case cleared this. */
extern gfp_t kmh_backend_gfps;
extern bool kmh_backend_short;	/* memory is to look short */
extern bool kmh_backend_no_block;	/* as if memory were fragmented */
#endif

gfp_t kmh_backend_gfp(gfp_t gfp);
bool kmh_backend_should_fail(void);
bool kmh_memory_is_short(size_t bytes);

void *kmh_backend_pieces(size_t bytes, gfp_t gfp, int nid);
void *kmh_backend_arena(size_t *bytes, size_t align, gfp_t gfp, int nid);
void *kmh_backend_user(size_t bytes, size_t align, gfp_t gfp, int nid);
void kmh_backend_free_arena(void *base);
void kmh_backend_forget_arena(void);
struct page *kmh_backend_block(size_t bytes, gfp_t gfp, int nid);
void kmh_backend_free_block_page(struct page *page);
void kmh_backend_forget_block_page(void);
void *kmh_backend_zalloc(size_t bytes, gfp_t gfp, int nid);
void kmh_backend_free(void *p);
void *kmh_backend_zalloc_exact(size_t bytes, gfp_t gfp, int nid);
void kmh_backend_free_exact(void *p, size_t bytes);

/* Free a table once readers that may have found it have left. */
#define kmh_backend_free_rcu(p, head)						\
	do {									\
		atomic_long_dec(&kmh_backend_ntables);				\
		kvfree_rcu(p, head);						\
	} while (0)

void *kmh_backend_pages(unsigned int order, gfp_t gfp);
void kmh_backend_free_pages(void *p, unsigned int order);

void __percpu *kmh_backend_percpu_bytes(size_t bytes, size_t align, gfp_t gfp);

#define kmh_backend_percpu(type, gfp)						\
	((type __percpu *)kmh_backend_percpu_bytes(sizeof(type), __alignof__(type), gfp))

#endif /* _KMHEAP_BACKEND_H */
