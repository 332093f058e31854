/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what heaps have left behind, kept for whoever asks; see leaks_debugfs.c. */
#ifndef _KMHEAP_LEAKS_H
#define _KMHEAP_LEAKS_H

#include "base/public.h"

struct dentry;
struct kmh_heap_walk;
struct kmh_profile_snapshot;

void kmh_report_survivors(struct kmheap *heap);	/* survivors.c */

#ifdef CONFIG_DEBUG_FS
void kmh_leaks_keep(const struct kmheap *heap, const struct kmh_heap_walk *w,
		    const struct kmh_profile_snapshot *snap);
void kmh_leaks_init(struct dentry *dir);
void kmh_leaks_forget(void);
#else
static inline void kmh_leaks_keep(const struct kmheap *heap, const struct kmh_heap_walk *w,
				  const struct kmh_profile_snapshot *snap)
{
}

static inline void kmh_leaks_forget(void) { }
#endif

#endif /* _KMHEAP_LEAKS_H */
