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
#include "front/front.h"
#include "heap.h"
#include "pages/arena.h"

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

/* Usable bytes of the objects in a class: of the smallest one, and of the largest. */
struct kmh_usable {
	struct kmh_heap_walk *w;
	u32 least[KMH_NR_CLASSES];
	u32 most[KMH_NR_CLASSES];
};

static void kmh_usable_span(struct kmh_mspan *s, void *ctx)
{
	unsigned int class = kmh_spanclass_class(s->spanclass), slot;
	struct kmh_usable *u = ctx;

	for (slot = 0; slot < s->nelems; slot++) {
		size_t bytes = kmh_live_bytes((void *)kmh_mspan_slot_addr(s, slot));

		u->w->st.live_bytes += bytes;
		if (!bytes || s->state == KMH_SPAN_LARGE)
			continue;
		u->most[class] = max_t(u32, u->most[class], bytes);
		u->least[class] = min_t(u32, u->least[class] ?: bytes, bytes);
	}
}

/*
 * With KASAN, which knows how much was asked for, a slot has room for a redzone as well. Correct
 * the bytes of @w. Context: process context; sleeps. Return: the sizes, for kmh_backend_free();
 * NULL if they are those of the classes.
 */
static struct kmh_usable *kmh_usable_look(struct kmheap *heap, struct kmh_heap_walk *w)
{
	struct kmh_usable *u;
	struct kmh_arena *a;

	if (!KMH_KASAN || !kmh_heap_sanitized(heap))
		return NULL;
	u = kmh_backend_zalloc(sizeof(*u), GFP_KERNEL, NUMA_NO_NODE);
	if (!u)
		return NULL;
	u->w = w;
	w->st.live_bytes = w->st.manual_bytes;
	mutex_lock(&heap->arenas_mutex);
	list_for_each_entry(a, &heap->arenas, list)
		kmh_walk_spans(a, kmh_usable_span, u);
	mutex_unlock(&heap->arenas_mutex);
	return u;
}

static void kmh_report_class(const struct kmheap *heap, unsigned int class, u64 live,
			     const struct kmh_usable *u)
{
	u32 least = u ? u->least[class] : kmh_class_size(class);
	u32 most = u ? u->most[class] : least;

	if (least == most)
		pr_warn("heap %s: %llu of %u bytes\n", heap->name, live, most);
	else
		pr_warn("heap %s: %llu of %u to %u bytes\n", heap->name, live, least, most);
}

/* Report objects that are live when their heap ends. Context: process context; sleeps. */
void kmh_report_survivors(struct kmheap *heap)
{
	const char *owner = heap->owner ? heap->owner->name : "none";
	struct kmh_heap_walk *w = kmh_heap_walk_new();
	struct kmh_usable *u;
	unsigned int i;

	if (!w) {
		pr_warn("heap %s: no memory to look for survivors\n", heap->name);
		return;
	}
	kmh_heap_walk(heap, w);
	u = kmh_usable_look(heap, w);
	if (w->manual_runs)
		pr_warn("heap %s destroyed with %llu runs of pages, %llu bytes (owner %s)\n",
			heap->name, w->manual_runs, w->st.manual_bytes, owner);
	if (w->st.live_objects) {
		pr_warn("heap %s destroyed with %llu live objects of %llu bytes (owner %s)\n",
			heap->name, w->st.live_objects,
			kmh_less(w->st.live_bytes, w->st.manual_bytes), owner);
		for (i = 1; i < KMH_NR_CLASSES; i++)
			if (w->class[i].live)
				kmh_report_class(heap, i, w->class[i].live, u);
		if (w->tiny_objects)
			pr_warn("heap %s: %llu tiny ones\n", heap->name, w->tiny_objects);
		if (w->large_objects)
			pr_warn("heap %s: %llu large ones\n", heap->name, w->large_objects);
	}
	if (w->st.live_objects || w->manual_runs)
		kmh_report_sites(heap, w);
	kmh_backend_free(u);
	kmh_backend_free(w);
}
