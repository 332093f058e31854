/* SPDX-License-Identifier: GPL-2.0 */
/* Private: /sys/kernel/debug/kmheap/; see debugfs.c. */
#ifndef _KMHEAP_DEBUGFS_H
#define _KMHEAP_DEBUGFS_H

#include "base/public.h"

#ifdef CONFIG_DEBUG_FS
void kmh_debugfs_init(void);
void kmh_debugfs_exit(void);
void kmh_debugfs_add_heap(struct kmheap *heap);
void kmh_debugfs_remove_heap(struct kmheap *heap);
#else
static inline void kmh_debugfs_init(void) { }
static inline void kmh_debugfs_exit(void) { }
static inline void kmh_debugfs_add_heap(struct kmheap *heap) { }
static inline void kmh_debugfs_remove_heap(struct kmheap *heap) { }
#endif

#endif /* _KMHEAP_DEBUGFS_H */
