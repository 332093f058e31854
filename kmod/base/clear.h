/* SPDX-License-Identifier: GPL-2.0 */
/* Private: memory that is cleared, and whether KASAN and kmemleak are there to be told of it. */
#ifndef _KMHEAP_CLEAR_H
#define _KMHEAP_CLEAR_H

#include <linux/kconfig.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/types.h>

/* Without KASAN_VMALLOC all of vmalloc space has one shadow page, which is read-only. */
#if defined(CONFIG_KASAN_GENERIC) && defined(CONFIG_KASAN_VMALLOC)
#define KMH_KASAN	1
#else
#define KMH_KASAN	0
#endif

#define KMH_KMEMLEAK	IS_ENABLED(CONFIG_DEBUG_KMEMLEAK)
#define KMH_SANITIZE	(KMH_KASAN || KMH_KMEMLEAK)

/* memset() to 0 of memory that KASAN may take for free, still or already. */
static __always_inline void kmh_clear(void *p, size_t bytes)
{
#if KMH_KASAN
	__memset(p, 0, bytes);
#else
	memset(p, 0, bytes);
#endif
}

void kmh_clear_chunked(void *p, size_t bytes, bool may_sleep);

#ifdef KMHEAP_KUNIT
extern bool kmh_test_wipes;	/* heaps made from now on, as if the kernel ran with init_on_free */
#else
#define kmh_test_wipes	false
#endif

/* Does the kernel want memory wiped when it is freed? Documentation/api.rst lists the frees. */
static __always_inline bool kmh_wants_wipe(void)
{
	return want_init_on_free() || kmh_test_wipes;
}

#endif /* _KMHEAP_CLEAR_H */
