/* SPDX-License-Identifier: GPL-2.0 */
/* Whose memory it is, for the files of dropin_names.ko that look at themselves. */
#ifndef _KMHEAP_DROPIN_OWNED_H
#define _KMHEAP_DROPIN_OWNED_H

#include <linux/err.h>
#include <linux/string.h>

#include "check.h"
#include "names.h"

static void owned(const void *p, enum owner owner, const char *what, int line)
{
	check(!IS_ERR_OR_NULL(p) && dropin_owner(p) == owner, what, line);
}

/* Memory of the module's heap; the kernel's own. */
#define OURS(p)			owned(p, OWNER_MODULE, #p, __LINE__)
#define KERNELS(p)		owned(p, OWNER_KERNEL, #p, __LINE__)

#define ALIGNED(p, a)		IS_ALIGNED((unsigned long)(p), a)

static bool all_zero(const void *p, size_t bytes)
{
	return !memchr_inv(p, 0, bytes);
}

#endif /* _KMHEAP_DROPIN_OWNED_H */
