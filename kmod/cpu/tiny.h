/* SPDX-License-Identifier: GPL-2.0 */
/* Private: data objects of up to 12 bytes, packed into blocks; see tiny.c. */
#ifndef _KMHEAP_TINY_H
#define _KMHEAP_TINY_H

#include <linux/gfp.h>
#include <linux/types.h>

#include "span/mspan.h"

struct kmh_mcache;
struct kmheap;

#define KMH_MAX_TINY		12UL	/* 16 with its rounding needs a block anyway */
#define KMH_TINY_GRANULE	4UL

void *kmh_tiny_alloc(struct kmheap *heap, size_t bytes, gfp_t gfp);
void kmh_tiny_close(struct kmh_mcache *mc);
enum kmh_free_result kmh_tiny_free(struct kmh_mspan *s, unsigned long addr);
size_t kmh_tiny_extent(const struct kmh_mspan *s, unsigned long addr, unsigned long *base,
		       unsigned int *block, bool *live);
unsigned int kmh_tiny_live(const struct kmh_mspan *s);

#endif /* _KMHEAP_TINY_H */
