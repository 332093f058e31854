/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what is done to a span that has been claimed: fold and sweep; see sweepspan.c. */
#ifndef _KMHEAP_SWEEPSPAN_H
#define _KMHEAP_SWEEPSPAN_H

#include "span/mspan.h"

bool kmh_sweep_claim(struct kmh_mspan *s, unsigned int gen);
void kmh_sweep_span(struct kmh_mspan *s, unsigned int gen, unsigned long phase);
void kmh_sweep_survivors(struct kmh_mspan *s, unsigned int word, unsigned long slots,
			 unsigned int gen);
void kmh_sweep_freed(struct kmheap *heap, unsigned long n, size_t bytes);
void kmh_sweep_if_stale(struct kmh_mspan *s);
void kmh_sweep_uncached(struct kmh_mspan *s);
bool kmh_mspan_may_go(struct kmh_mspan *s);
bool kmh_sweep_blackens(const struct kmh_mspan *s);
unsigned int kmh_mspan_fold_word(struct kmh_mspan *s, unsigned int word);
unsigned int kmh_mspan_fold(struct kmh_mspan *s);
struct kmh_slots *kmh_mspan_next_word(struct kmh_mspan *s, unsigned int from);

#endif /* _KMHEAP_SWEEPSPAN_H */
