// SPDX-License-Identifier: GPL-2.0
/* What a caller may do by its gfp flags and its context, and what it was refused. */
#include <linux/bug.h>
#include <linux/preempt.h>
#include <trace/events/kmheap.h>

#include "base/gfp.h"
#include "heap.h"
#include "up.h"

/* May a caller with @gfp, in this context, wait for an arena? */
bool kmh_alloc_may_grow(gfp_t gfp)
{
	return gfpflags_allow_blocking(gfp) && !in_interrupt();
}

enum kmh_context kmh_context_now(void)
{
	if (in_nmi())
		return KMH_CONTEXT_NMI;
	if (in_hardirq())
		return KMH_CONTEXT_HARDIRQ;
	return in_serving_softirq() ? KMH_CONTEXT_SOFTIRQ : KMH_CONTEXT_TASK;
}

/*
 * Count a refusal of @bytes bytes, and by its context that of a caller that cannot sleep. Context:
 * any.
 */
void kmh_refused(struct kmheap *heap, size_t bytes, gfp_t gfp, enum kmh_why why)
{
	if (trace_refuse_enabled())
		kmh_traced_refuse(heap, bytes, gfp, why);
	atomic_long_inc(&heap->refused);
	if (!kmh_alloc_may_grow(gfp))
		atomic_long_inc(&heap->reserve.refused[kmh_context_now()]);
}

/* Take a counted refusal back, because there is something else to try. */
void kmh_unrefused(struct kmheap *heap, gfp_t gfp)
{
	atomic_long_dec(&heap->refused);
	if (!kmh_alloc_may_grow(gfp))
		atomic_long_dec(&heap->reserve.refused[kmh_context_now()]);
}

/* Can flags like @gfp be served? If not, count a refusal of @bytes bytes. Return: false then. */
bool kmh_gfp_ok(struct kmheap *heap, size_t bytes, gfp_t gfp)
{
	if (WARN_ONCE(gfp & KMH_GFP_ZONES,
		      "kmheap: no DMA zones here: memory is of any zone; gfp %pGg\n", &gfp)) {
		kmh_refused(heap, bytes, gfp, KMH_WHY_REQUEST);
		return false;
	}
	WARN_ONCE(gfp & __GFP_NOFAIL,
		  "kmheap: __GFP_NOFAIL is not kept; the caller must check; gfp %pGg\n", &gfp);
	return true;
}
