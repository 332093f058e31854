// SPDX-License-Identifier: GPL-2.0
/*
 * Every report of misuse, in one format.
 *
 * A report names what happened, the address, the heap, the object's class and
 * last known state, and the stack of whoever did it. Each site reports once; all are counted.
 */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/bug.h>
#include <linux/jhash.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/stacktrace.h>

#include "report.h"
#include "arenamap.h"
#include "backend.h"
#include "heap.h"
#include "mspan.h"
#include "sanitize.h"
#include "sizeclass.h"
#include "stats.h"
#include "testpoint.h"

void (*kmh_report_hook)(const struct kmh_report *r);
atomic_long_t kmh_reports_suppressed;

/*
 * Sites that have reported, by a hash of kind and stack. A table of fixed size
 * because a report may come from NMI. When its bucket is full a site is taken as
 * known: after 1024 sites nobody reads on.
 */
#define KMH_SITES	1024
#define KMH_SITE_PROBES	16
static atomic_t kmh_sites[KMH_SITES];

static const char * const kmh_misuse_names[KMH_NR_MISUSES] = {
	[KMH_DOUBLE_FREE]	= "double free",
	[KMH_INVALID_FREE]	= "invalid free",
	[KMH_WRONG_SIZE_FREE]	= "wrong-size free",
};

/* Without the stack unwinder the caller alone stands for the site. */
static u32 kmh_site_hash(const struct kmh_report *r)
{
	unsigned long entries[8] = { r->ip };
	unsigned int n = 1;

#ifdef CONFIG_STACKTRACE
	n = stack_trace_save(entries, ARRAY_SIZE(entries), 2);
	n = filter_irq_stacks(entries, n);	/* not what was interrupted */
#endif
	return jhash(entries, n * sizeof(entries[0]), r->kind) ?: 1;
}

static bool kmh_site_is_new(const struct kmh_report *r)
{
	u32 hash = kmh_site_hash(r);
	unsigned int i;

	for (i = 0; i < KMH_SITE_PROBES; i++) {
		int old = atomic_cmpxchg(&kmh_sites[(hash + i) % KMH_SITES], 0, hash);

		if (!old)
			return true;
		if (old == (int)hash)
			break;
	}
	return false;
}

static const char *kmh_state_name(enum kmh_span_state state)
{
	switch (state) {
	case KMH_SPAN_SMALL:
		return "small object";
	case KMH_SPAN_TINY:
		return "tiny object";
	case KMH_SPAN_LARGE:
		return "large object";
	case KMH_SPAN_MANUAL:
		return "run of pages";
	case KMH_SPAN_FREED:
		return "free pages";
	case KMH_SPAN_UNUSED:
		return "unused pages";
	case KMH_SPAN_GONE:
		return "pages given back";
	case KMH_SPAN_NONE:
		break;
	}
	return "no page of kmheap";
}

static const char *kmh_heap_name(const struct kmheap *heap)
{
	return heap ? heap->name : "(none)";
}

/**
 * kmh_report_misuse() - count a misuse and, the first time at its site, report it
 * @r: what happened.
 *
 * Context: Any, NMI included; preemption off since the heap was found, or else it is the caller
 * who keeps it.
 */
void kmh_report_misuse(const struct kmh_report *r)
{
	struct kmheap *heap = r->heap;

	/* A survivor's finalizer frees what kmheap_destroy() has freed already. */
	if (r->kind == KMH_DOUBLE_FREE && heap && READ_ONCE(heap->specials.ending))
		return;
	atomic_long_inc(heap && !READ_ONCE(heap->ended) ? &heap->misuses[r->kind] :
							  &kmh_misuses[r->kind]);
	kmh_test_point("report");
	if (READ_ONCE(kmh_report_hook)) {
		kmh_report_hook(r);
		return;
	}
	if (!kmh_site_is_new(r)) {
		atomic_long_inc(&kmh_reports_suppressed);
		return;
	}
	/* What is gone has no shadow any more. */
	if (heap && r->state != KMH_SPAN_GONE && kmh_heap_sanitized(heap))
		kmh_sanitize_misuse(r->addr);
	WARN(1, "kmheap: %s of %p: %s; heap %s, %s, object %p of %zu bytes, freed from %pS\n",
	     kmh_misuse_names[r->kind], (void *)r->addr, r->what, kmh_heap_name(heap),
	     kmh_state_name(r->state), (void *)r->object, r->bytes, (void *)r->ip);
}

/* A pointer that @who cannot use: an invalid free in all but name. */
void kmh_report_bad_pointer(const char *who, const void *p, unsigned long ip)
{
	preempt_disable();
	kmh_misuse(KMH_INVALID_FREE, who, (unsigned long)p, kmh_span_of((unsigned long)p), NULL,
		   ip);
	preempt_enable();
}

/*
 * The heap's own structures disagree. What is in doubt stays in use from here on. The span is the
 * caller's, so it stays what it is.
 */
void kmh_report_broken(const struct kmh_mspan *s, const char *what)
{
	WARN(1, "kmheap: heap %s, span %p of class %u at %p: %s\n", kmh_heap_name(s->heap), s,
	     s->spanclass, (void *)s->base, what);
}

/**
 * kmh_report_survivors() - objects that are live when their heap ends
 * @heap: a heap without users.
 *
 * Context: Process context; sleeps.
 */
void kmh_report_survivors(struct kmheap *heap)
{
	struct kmh_heap_walk *w = kmh_heap_walk_new();
	unsigned int i;

	if (!w) {
		pr_warn("heap %s: no memory to look for survivors\n", heap->name);
		return;
	}
	kmh_heap_walk(heap, w);
	if (w->manual_runs)
		pr_warn("heap %s destroyed with %llu runs of pages, %llu bytes (owner %s)\n",
			heap->name, w->manual_runs, w->st.manual_bytes,
			heap->owner ? heap->owner->name : "none");
	if (w->st.live_objects) {
		pr_warn("heap %s destroyed with %llu live objects of %llu bytes (owner %s)\n",
			heap->name, w->st.live_objects,
			kmh_less(w->st.live_bytes, w->st.manual_bytes),
			heap->owner ? heap->owner->name : "none");
		for (i = 0; i < KMH_NR_CLASSES; i++)
			if (i && w->class[i].live)
				pr_warn("heap %s: %llu of %u bytes\n", heap->name,
					w->class[i].live, kmh_class_size(i));
		if (w->tiny_objects)
			pr_warn("heap %s: %llu tiny ones\n", heap->name, w->tiny_objects);
		if (w->large_objects)
			pr_warn("heap %s: %llu large ones\n", heap->name, w->large_objects);
	}
	kmh_backend_free(w);
}
