/* SPDX-License-Identifier: GPL-2.0 */
/* What a module of this folder counts and reports while it looks at itself. */
#ifndef _KMHEAP_DROPIN_CHECK_H
#define _KMHEAP_DROPIN_CHECK_H

#include <linux/printk.h>
#include <linux/types.h>

static unsigned int nchecks, nwrong;

static void check(bool ok, const char *what, int line)
{
	nchecks++;
	if (ok)
		return;
	nwrong++;
	pr_err("line %d: %s\n", line, what);
}

#define CHECK(condition)	check(condition, #condition, __LINE__)

#endif /* _KMHEAP_DROPIN_CHECK_H */
