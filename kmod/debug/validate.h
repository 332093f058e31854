/* SPDX-License-Identifier: GPL-2.0 */
/* Private: the validators of all floors; see validate.c. */
#ifndef _KMHEAP_VALIDATE_H
#define _KMHEAP_VALIDATE_H

#include "base/public.h"
#include "base/validator.h"

unsigned int kmh_validate_heap(struct kmheap *heap, kmh_finding_fn finding, void *ctx);
unsigned int kmh_validate_all(kmh_finding_fn finding, void *ctx);

#endif /* _KMHEAP_VALIDATE_H */
