/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Places in lockless code where a KUnit case can act as another CPU, an interrupt or a
 * preemption would: between a look and the act that follows. Product builds have none of
 * this.
 */
#ifndef _KMHEAP_TESTPOINT_H
#define _KMHEAP_TESTPOINT_H

#include <linux/compiler.h>

#ifdef KMHEAP_KUNIT

/* Called with the name of each place that is passed, while a case has armed one. */
extern void (*kmh_test_point_hook)(const char *place);

static __always_inline void kmh_test_point(const char *place)
{
	void (*hook)(const char *place) = READ_ONCE(kmh_test_point_hook);

	if (unlikely(hook))
		hook(place);
}

#else
static __always_inline void kmh_test_point(const char *place) { }
#endif

#endif /* _KMHEAP_TESTPOINT_H */
