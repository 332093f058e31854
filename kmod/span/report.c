// SPDX-License-Identifier: GPL-2.0
/*
 * Reports of misuse. Each names what happened, the address, the heap, the object's class and last
 * known state, and the stack of the caller. A site reports once; all misuses are counted.
 */
#include <linux/bug.h>
#include <linux/jhash.h>
#include <linux/stacktrace.h>
#include <trace/events/kmheap.h>

#include "span/report.h"
#include "heap.h"
#include "span/arenamap.h"

void (*kmh_report_hook)(const struct kmh_report *r);
atomic_long_t kmh_reports_suppressed;

/*
 * Sites that have reported, by a hash of kind and stack. A report may come from NMI, so the table
 * does not grow. A site whose bucket is full counts as known.
 */
#define KMH_SITES	1024
#define KMH_SITE_PROBES	16
static atomic_t kmh_sites[KMH_SITES];

static const char * const kmh_misuse_names[KMH_NR_MISUSES] = {
	[KMH_DOUBLE_FREE]	= "double free",
	[KMH_INVALID_FREE]	= "invalid free",
	[KMH_WRONG_SIZE_FREE]	= "wrong-size free",
};

static const char * const kmh_state_names[] = {
	[KMH_SPAN_NONE]		= "no page of kmheap",
	[KMH_SPAN_GONE]		= "pages given back",
	[KMH_SPAN_UNUSED]	= "unused pages",
	[KMH_SPAN_FREED]	= "free pages",
	[KMH_SPAN_SMALL]	= "small object",
	[KMH_SPAN_TINY]		= "tiny object",
	[KMH_SPAN_LARGE]	= "large object",
	[KMH_SPAN_MANUAL]	= "run of pages",
};

/* The caller and its stack, which may have no frame: User-Mode Linux is sure of none. */
static u32 kmh_site_hash(const struct kmh_report *r)
{
	unsigned long entries[8] = { r->ip };
	unsigned int n = 0;

#ifdef CONFIG_STACKTRACE
	n = stack_trace_save(entries + 1, ARRAY_SIZE(entries) - 1, 2);
	n = filter_irq_stacks(entries + 1, n);	/* without the frames of interrupted code */
#endif
	return jhash(entries, (n + 1) * sizeof(entries[0]), r->kind) ?: 1;
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

static const char *kmh_heap_name(const struct kmheap *heap)
{
	return heap ? heap->name : "(none)";
}

/*
 * Count a misuse and, the first time at its site, report it. Context: any, NMI included;
 * preemption off since the heap was found, or since the caller knows that it is kept.
 */
void kmh_report_misuse(const struct kmh_report *r)
{
	kmh_assert_pinned();
	void (*hook)(const struct kmh_report *r);
	struct kmheap *heap = r->heap;

	/* A survivor's finalizer may free an object that kmheap_destroy() has freed already. */
	if (r->kind == KMH_DOUBLE_FREE && heap && READ_ONCE(heap->specials.ending))
		return;
	atomic_long_inc(heap && !READ_ONCE(heap->ended) ? &heap->misuses[r->kind] :
							  &kmh_misuses[r->kind]);
	trace_misuse(r->ip, kmh_heap_name(heap), (void *)r->addr, kmh_misuse_names[r->kind]);
	kmh_test_point("report");
	hook = READ_ONCE(kmh_report_hook);
	if (hook) {
		hook(r);
		return;
	}
	if (!kmh_site_is_new(r)) {
		atomic_long_inc(&kmh_reports_suppressed);
		return;
	}
	/* Pages given back have no shadow any more. */
	if (heap && r->state != KMH_SPAN_GONE && kmh_heap_sanitized(heap))
		kmh_sanitize_misuse(r->addr);
	WARN(1, "kmheap: %s of %p: %s%s%s; heap %s, %s, object %p of %zu bytes, freed from %pS\n",
	     kmh_misuse_names[r->kind], (void *)r->addr, r->what, r->cache ? " " : "",
	     r->cache ?: "", kmh_heap_name(heap), kmh_state_names[r->state], (void *)r->object,
	     r->bytes, (void *)r->ip);
}

/*
 * Two frees of the object at @addr, of @bytes bytes (0: not known), came at the same time, and one
 * of them is found out now. Neither of the two callers is known. Context: any; preemption off.
 */
void kmh_misuse_twice(struct kmheap *heap, unsigned long addr, size_t bytes)
{
	kmh_assert_pinned();
	kmh_report_misuse(&(struct kmh_report){
		.kind = KMH_DOUBLE_FREE, .what = "freed twice at the same time, found out later",
		.addr = addr, .ip = _RET_IP_, .heap = heap, .state = KMH_SPAN_SMALL,
		.object = addr, .bytes = bytes,
	});
}

/* kmh_misuse_twice() for slots of a word. Context: any; the span stays what it is. */
void kmh_misuse_twice_slots(const struct kmh_mspan *s, unsigned int word, unsigned long slots)
{
	for (; unlikely(slots); slots &= slots - 1)
		kmh_misuse_twice(s->heap, kmh_mspan_slot_addr(s, word * KMH_WORD_SLOTS +
							      __ffs(slots)), s->elemsize);
}

/*
 * Report a misuse of @addr, which lies in span @s. @at: what kmh_locate() has found there, if
 * it was called; the descriptor may be another span since. Context: any; preemption off since the
 * span was found, which keeps the heap that the report names.
 */
void kmh_misuse(enum kmh_misuse kind, const char *what, unsigned long addr,
		const struct kmh_mspan *s, const struct kmh_where *at, unsigned long ip)
{
	struct kmh_report r = {
		.kind = kind, .what = what, .addr = addr, .ip = ip,
		.heap = READ_ONCE(s->heap), .state = READ_ONCE(s->state),
	};

	kmh_assert_pinned();
	if (at && at->heap) {
		r.heap = at->heap;
		r.state = at->span;
	}
	if (at) {
		r.object = at->base;
		r.bytes = at->bytes;
	}
	kmh_report_misuse(&r);
}

void kmh_misuse_sentinel(unsigned long addr, const struct kmh_mspan *s, unsigned long ip)
{
	unsigned int state = READ_ONCE(s->state);	/* a parked span may be taken meanwhile */

	if (state == KMH_SPAN_FREED)
		kmh_misuse(KMH_DOUBLE_FREE, "its pages are free already", addr, s, NULL, ip);
	else
		kmh_misuse(KMH_INVALID_FREE, state == KMH_SPAN_GONE ?
			   "its heap or arena is gone" : state == KMH_SPAN_UNUSED ?
			   "no object was ever there" : "not an address of kmheap",
			   addr, s, NULL, ip);
}

/* Report a pointer that @who cannot use: an invalid free in all but name. */
void kmh_report_bad_pointer(const char *who, const void *p, unsigned long ip)
{
	preempt_disable();
	kmh_misuse(KMH_INVALID_FREE, who, (unsigned long)p, kmh_span_of((unsigned long)p), NULL,
		   ip);
	preempt_enable();
}

/*
 * The heap's own structures disagree. Report it, and go on: what is in doubt stays in use.
 * The span is the caller's, so it does not change meanwhile.
 */
void kmh_report_broken(const struct kmh_mspan *s, const char *what)
{
	WARN(1, "kmheap: heap %s, span %p of class %u at %p: %s\n", kmh_heap_name(s->heap), s,
	     s->spanclass, (void *)s->base, what);
}
