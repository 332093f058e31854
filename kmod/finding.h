/* SPDX-License-Identifier: GPL-2.0 */
/* What the validators of every tier call for each violation they find. */
#ifndef _KMHEAP_FINDING_H
#define _KMHEAP_FINDING_H

#include <linux/compiler_attributes.h>

/*
 * Formats at once: an argument may be %pV, and may be gone after the call. May be
 * called with a raw lock held, so it must not sleep.
 */
typedef void (*kmh_finding_fn)(void *ctx, const char *fmt, ...) __printf(2, 3);

#endif /* _KMHEAP_FINDING_H */
