/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what the validators of all floors have in common. */
#ifndef _KMHEAP_VALIDATOR_H
#define _KMHEAP_VALIDATOR_H

#include <linux/compiler_attributes.h>
#include <linux/delay.h>

/*
 * Called for each violation. Formats at once: an argument may be %pV, and may be gone after the
 * call. May be called with a raw lock held, so it must not sleep.
 */
typedef void (*kmh_finding_fn)(void *ctx, const char *fmt, ...) __printf(2, 3);

/* Looks at a state that changes without a lock: only what lasts is a finding. */
#define KMH_FINDING_LOOKS	3U

/* The pause between two looks. A CPU of a guest may stand still halfway for some milliseconds. */
static inline void kmh_finding_pause(void)
{
	usleep_range(10000, 20000);
}

#endif /* _KMHEAP_VALIDATOR_H */
