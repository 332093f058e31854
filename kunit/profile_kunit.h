/* SPDX-License-Identifier: GPL-2.0 */
/* What the suites of profiles share: hits whose stack is one address, and the rows of these. */
#ifndef _KMHEAP_PROFILE_KUNIT_H
#define _KMHEAP_PROFILE_KUNIT_H

#include "kunit_util.h"

/* The stack of every hit, instead of the real one. */
extern unsigned long kmh_kunit_site_ip;

void kmh_kunit_profile(struct kunit *test, size_t period);
struct kmh_profile_row kmh_kunit_row_of(struct kunit *test, unsigned long ip, size_t bytes,
					enum kmh_profile_kind kind);
unsigned long kmh_kunit_live_at(struct kunit *test, unsigned long ip, size_t bytes);
void *kmh_kunit_alloc_at(struct kunit *test, unsigned long ip, size_t bytes);
int kmh_kunit_profile_tables(void);
int kmh_kunit_profile_init(struct kunit *test);
void kmh_kunit_profile_exit(struct kunit *test);

#endif /* _KMHEAP_PROFILE_KUNIT_H */
