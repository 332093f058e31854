/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _KMHEAP_SELFTESTS_DROPIN_NAMES_H
#define _KMHEAP_SELFTESTS_DROPIN_NAMES_H

#include <linux/types.h>

enum owner {
	OWNER_KERNEL,
	OWNER_MODULE,		/* the heap that the drop-in header has made */
	OWNER_WAITS,		/* freed, not before a grace period is over */
	OWNER_STRANGER,		/* another heap, or a dead object */
};

enum owner dropin_owner(const void *p);
void *dropin_other_alloc(size_t size);
void dropin_other_free(const void *p);
void dropin_forms(void);

#endif
