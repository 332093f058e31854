/* SPDX-License-Identifier: GPL-2.0 */
/* Private: spans that are taken for the sweep and for the page heap; see unswept.c. */
#ifndef _KMHEAP_UNSWEPT_H
#define _KMHEAP_UNSWEPT_H

#include "central/mcentral.h"

bool kmh_mcentral_try_claim(struct kmh_mspan *s);
bool kmh_mcentral_try_claim_empty(struct kmh_mspan *s);
bool kmh_mcentral_is_swept(struct kmh_mcentral *c);
void kmh_mcentral_set_phase(struct kmh_mcentral *c, unsigned int gen, enum kmh_sweep_what what,
			    bool marking);
unsigned int kmh_mcentral_sweep_popped(struct kmh_mcentral *c,
				       struct kmh_mspan *(*pop)(struct kmh_mcentral *c));
unsigned int kmh_mcentral_sweep_one(struct kmh_mcentral *c);
void kmh_mcentral_drain(struct kmh_node *node, unsigned int spanclass);

#endif /* _KMHEAP_UNSWEPT_H */
