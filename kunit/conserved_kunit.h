/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _KMHEAP_CONSERVED_KUNIT_H
#define _KMHEAP_CONSERVED_KUNIT_H

#include <kunit/test.h>

struct kmheap;

/*
 * Expect of every slot of a heap that exactly one party has it, the one that its cell names: a
 * client, one bit of the span, the window of the CPU that caches the span, the deferred sets, a
 * special, or one entry of one magazine. The heap has to be at rest, and of two frees at the same
 * time the second has to be found out.
 */
void kmh_kunit_expect_conserved(struct kunit *test, struct kmheap *heap);

#endif /* _KMHEAP_CONSERVED_KUNIT_H */
