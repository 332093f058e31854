/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what debugging kernels are told of an object that is freed; nothing on others. */
#ifndef _KMHEAP_HOOKS_H
#define _KMHEAP_HOOKS_H

#include <linux/kconfig.h>
#include <linux/types.h>

#define KMH_FREE_HOOKS	(IS_ENABLED(CONFIG_LOCKDEP) || IS_ENABLED(CONFIG_KCSAN))

#if KMH_FREE_HOOKS
void kmh_free_hook(const void *p);
void kmh_free_hook_pages(const void *p, size_t bytes);
#else
static inline void kmh_free_hook(const void *p) { }
static inline void kmh_free_hook_pages(const void *p, size_t bytes) { }
#endif

#endif /* _KMHEAP_HOOKS_H */
