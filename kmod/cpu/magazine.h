/* SPDX-License-Identifier: GPL-2.0 */
/* Private: objects of full spans that a CPU has freed, to be allocated again; see magazine.c. */
#ifndef _KMHEAP_MAGAZINE_H
#define _KMHEAP_MAGAZINE_H

#include <linux/gfp.h>
#include <linux/types.h>

#include "base/validator.h"

struct kmh_mcache;
struct kmh_mspan;
struct kmheap;

void kmh_magazines_init(void);
void kmh_magazines_exit(void);
int kmh_magazines_refill(unsigned int nobjs, gfp_t gfp);
unsigned int kmh_magazine_len(const struct kmh_mcache *mc, unsigned int spanclass);
bool kmh_magazine_put(struct kmh_mspan *s, unsigned long addr);
void kmh_magazines_drain(struct kmh_mcache *mc);
void kmh_magazines_drain_all(struct kmheap *heap);
void kmh_magazines_end(struct kmheap *heap);
void kmh_magazines_free(struct kmh_mcache *mc);

#endif /* _KMHEAP_MAGAZINE_H */
