/* SPDX-License-Identifier: GPL-2.0 */
/* Private: large objects whose pages somebody else has; see held.c. */
#ifndef _KMHEAP_HELD_H
#define _KMHEAP_HELD_H

#include <linux/types.h>

struct kmh_mspan;
struct kmheap;

bool kmh_large_is_held(const struct kmh_mspan *s);
void kmh_large_release(struct kmh_mspan *s);
bool kmh_held_release(struct kmheap *heap);

#endif /* _KMHEAP_HELD_H */
