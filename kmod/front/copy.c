// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations that take over the contents of another object or of a string: kmheap_memdup(),
 * kmheap_strdup() and kmheap_realloc().
 */
#include <linux/export.h>
#include <linux/string.h>
#include <trace/events/kmheap.h>

#include "front/front.h"
#include "front/hooks.h"
#include "heap.h"
#include "span/arenamap.h"
#include "up.h"

/* kmheap_memdup(): see <linux/kmheap.h>. */
void *kmheap_memdup_noprof(struct kmheap *heap, const void *src, size_t len, gfp_t gfp)
{
	void *p = kmheap_alloc_any_noprof(heap, len, gfp & ~__GFP_ZERO);

	if (p && len)
		memcpy(p, src, len);
	return p;
}
EXPORT_SYMBOL_GPL(kmheap_memdup_noprof);

/* kmheap_strdup(): see <linux/kmheap.h>. */
char *kmheap_strdup_noprof(struct kmheap *heap, const char *s, gfp_t gfp)
{
	size_t len;
	char *p;

	if (!s)
		return NULL;
	len = strlen(s) + 1;
	p = kmheap_alloc_data_noprof(heap, len, gfp & ~__GFP_ZERO);
	if (!p)
		return NULL;
	kmh_test_point("strdup: before the copy");
	memcpy(p, s, len);
	p[len - 1] = 0;		/* whatever becomes of @s meanwhile */
	return p;
}
EXPORT_SYMBOL_GPL(kmheap_strdup_noprof);

/*
 * An object with a finalizer or a weak handle cannot move: both belong to its address, and a
 * caller that cannot sleep could not move them. Counts a refusal of @size bytes.
 */
static bool kmh_realloc_may_move(const struct kmheap_object *obj, size_t size, gfp_t gfp)
{
	unsigned long addr = (unsigned long)obj->base;
	struct kmh_mspan *s = kmh_span_of(addr);	/* stays: the object is the caller's */

	if (likely(!READ_ONCE(s->nspecials)) || !kmh_special_exists(s, addr))
		return true;
	if (trace_refuse_enabled())
		kmh_traced_refuse(obj->heap, size, gfp, KMH_WHY_REQUEST);
	atomic_long_inc(&obj->heap->refused);
	return false;
}

/* kmheap_realloc(): see <linux/kmheap.h>. */
void *kmheap_realloc_noprof(struct kmheap *heap, const void *p, size_t size, gfp_t gfp)
{
	struct kmheap_object obj;
	void *new;

	if (ZERO_OR_NULL_PTR(p))
		return kmheap_alloc_any_noprof(heap, size, gfp);
	if (!size) {
		kmh_free_hook(p);
		kmh_free_one(p, _RET_IP_);
		return ZERO_SIZE_PTR;
	}
	if (!kmheap_lookup(p, &obj) || obj.base != p || obj.state != KMHEAP_OBJECT_LIVE) {
		kmh_report_bad_pointer("kmheap_realloc()", p, _RET_IP_);
		return NULL;
	}
	if (kmh_heap_sanitized(obj.heap) ? kmh_sanitize_resize(&obj, size, gfp) :
					   size <= obj.bytes) {
		/* A later kmheap_realloc() may add these bytes to the object; see krealloc(). */
		if (size < obj.bytes && want_init_on_alloc(gfp))
			kmh_clear_chunked(obj.base + size, obj.bytes - size,
					  kmh_alloc_may_grow(gfp));
		return obj.base;
	}
	if (!kmh_realloc_may_move(&obj, size, gfp))
		return NULL;
	new = obj.data ? kmheap_alloc_data_noprof(obj.heap, size, gfp) :
			 kmheap_alloc_any_noprof(obj.heap, size, gfp);
	if (!new)
		return NULL;
	memcpy(new, p, obj.bytes);
	kmh_free_hook(p);
	kmh_free_one(p, _RET_IP_);
	return new;
}
EXPORT_SYMBOL_GPL(kmheap_realloc_noprof);
