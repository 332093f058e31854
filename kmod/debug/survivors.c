// SPDX-License-Identifier: GPL-2.0
/* What is live when a heap ends: in the log, and kept for whoever asks. */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/minmax.h>
#include <linux/module.h>

#include "debug/leaks.h"
#include "base/backend.h"
#include "base/budget.h"
#include "debug/profile.h"
#include "debug/stats.h"
#include "heap.h"

/* Whence the live objects come of a heap that ends: in the log, and kept. */
static void kmh_report_sites(struct kmheap *heap, const struct kmh_heap_walk *w)
{
	struct kmh_profile_snapshot *snap = kmh_profile_take(heap, KMH_PROFILE_LEFT);

	if (!snap) {
		pr_warn("heap %s: no memory to tell whence they come\n", heap->name);
		return;
	}
	kmh_profile_report(heap, snap, w->st.live_objects + w->manual_runs);
	kmh_leaks_keep(heap, w, snap);
	kmh_backend_free(snap);
}

/* Report objects that are live when their heap ends. Context: process context; sleeps. */
void kmh_report_survivors(struct kmheap *heap)
{
	const char *owner = heap->owner ? heap->owner->name : "none";
	struct kmh_heap_walk *w = kmh_heap_walk_new();
	unsigned int i;

	if (!w) {
		pr_warn("heap %s: no memory to look for survivors\n", heap->name);
		return;
	}
	kmh_heap_walk(heap, w);
	if (w->manual_runs)
		pr_warn("heap %s destroyed with %llu runs of pages, %llu bytes (owner %s)\n",
			heap->name, w->manual_runs, w->st.manual_bytes, owner);
	if (w->st.live_objects) {
		pr_warn("heap %s destroyed with %llu live objects of %llu bytes (owner %s)\n",
			heap->name, w->st.live_objects,
			kmh_less(w->st.live_bytes, w->st.manual_bytes), owner);
		for (i = 1; i < KMH_NR_CLASSES; i++)
			if (w->class[i].live)
				pr_warn("heap %s: %llu of %u bytes\n", heap->name,
					w->class[i].live, kmh_class_size(i));
		if (w->tiny_objects)
			pr_warn("heap %s: %llu tiny ones\n", heap->name, w->tiny_objects);
		if (w->large_objects)
			pr_warn("heap %s: %llu large ones\n", heap->name, w->large_objects);
	}
	if (w->st.live_objects || w->manual_runs)
		kmh_report_sites(heap, w);
	kmh_backend_free(w);
}
