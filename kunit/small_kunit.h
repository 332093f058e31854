/* SPDX-License-Identifier: GPL-2.0 */
/* What the suites of small heaps share. */
#ifndef _KMHEAP_SMALL_KUNIT_H
#define _KMHEAP_SMALL_KUNIT_H

#include "kunit_util.h"

static inline struct kmheap *small_heap(struct kunit *test, unsigned int flags)
{
	struct kmheap_attr attr = { .flags = flags | KMHEAP_SMALL };
	struct kmheap *heap = kmheap_create("kunit-small", &attr);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	KUNIT_ASSERT_NULL(test, (void __force *)heap->mcaches);
	return heap;
}

/* Groups of classes of @node that have their mcentrals. */
static inline unsigned int ngroups(const struct kmh_node *node)
{
	unsigned int nr, n = 0;

	for (nr = 0; nr < KMH_NR_GROUPS; nr++)
		n += node->group[nr] != kmh_no_mcentrals;
	return n;
}

#endif /* _KMHEAP_SMALL_KUNIT_H */
