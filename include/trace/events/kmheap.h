/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: the tracepoints of kmheap; see Documentation/tracing.rst.
 *
 * All of them are out of line, so the fast paths have none; those of allocations and frees have the
 * fast paths closed while they are on (kmod/debug/trace_switch.c). They may be hit in any context,
 * NMI included. kmod/debug/trace.c defines them, and who hits one includes this file; it knows
 * nothing of kmheap's structures.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kmheap

#if !defined(_TRACE_KMHEAP_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_KMHEAP_H

#include <linux/tracepoint.h>
#include <linux/types.h>
#include <trace/events/mmflags.h>

/* Before an event is on, and after it is off. */
int kmh_trace_alloc_begins(void);
void kmh_trace_alloc_ends(void);
int kmh_trace_free_begins(void);
void kmh_trace_free_ends(void);

/* A client has got what it asked for. */
TRACE_EVENT_FN(alloc,
	TP_PROTO(unsigned long call_site, const char *heap, const void *ptr, size_t bytes,
		 gfp_t gfp, int node, unsigned int context),

	TP_ARGS(call_site, heap, ptr, bytes, gfp, node, context),

	TP_STRUCT__entry(
		__field(unsigned long, call_site)
		__string(heap, heap)
		__field(const void *, ptr)
		__field(size_t, bytes)
		__field(unsigned long, gfp)
		__field(int, node)
		__field(unsigned int, context)
	),

	TP_fast_assign(
		__entry->call_site = call_site;
		kmh_assign_str(heap, heap);
		__entry->ptr = ptr;
		__entry->bytes = bytes;
		__entry->gfp = (__force unsigned long)gfp;
		__entry->node = node;
		__entry->context = context;
	),

	TP_printk("call_site=%pS heap=%s ptr=%p bytes=%zu gfp=%s node=%d context=%s",
		  (void *)__entry->call_site, __get_str(heap), __entry->ptr, __entry->bytes,
		  show_gfp_flags(__entry->gfp), __entry->node,
		  __print_symbolic(__entry->context, { 0, "task" }, { 1, "softirq" },
				   { 2, "hardirq" }, { 3, "nmi" })),

	kmh_trace_alloc_begins, kmh_trace_alloc_ends
);

DECLARE_EVENT_CLASS(kmheap_free,
	TP_PROTO(unsigned long call_site, const char *heap, const void *ptr, size_t bytes),

	TP_ARGS(call_site, heap, ptr, bytes),

	TP_STRUCT__entry(
		__field(unsigned long, call_site)
		__string(heap, heap)
		__field(const void *, ptr)
		__field(size_t, bytes)
	),

	TP_fast_assign(
		__entry->call_site = call_site;
		kmh_assign_str(heap, heap);
		__entry->ptr = ptr;
		__entry->bytes = bytes;
	),

	TP_printk("call_site=%pS heap=%s ptr=%p bytes=%zu", (void *)__entry->call_site,
		  __get_str(heap), __entry->ptr, __entry->bytes)
);

/* A client gives an object back, */
DEFINE_EVENT_FN(kmheap_free, free,
	TP_PROTO(unsigned long call_site, const char *heap, const void *ptr, size_t bytes),
	TP_ARGS(call_site, heap, ptr, bytes),
	kmh_trace_free_begins, kmh_trace_free_ends
);

/* ... once a grace period has passed. */
DEFINE_EVENT_FN(kmheap_free, free_rcu,
	TP_PROTO(unsigned long call_site, const char *heap, const void *ptr, size_t bytes),
	TP_ARGS(call_site, heap, ptr, bytes),
	kmh_trace_free_begins, kmh_trace_free_ends
);

/* An allocation of a heap that is profiled has been sampled. */
TRACE_EVENT(hit,
	TP_PROTO(unsigned long call_site, const char *heap, const void *ptr, size_t bytes),

	TP_ARGS(call_site, heap, ptr, bytes),

	TP_STRUCT__entry(
		__field(unsigned long, call_site)
		__string(heap, heap)
		__field(const void *, ptr)
		__field(size_t, bytes)
	),

	TP_fast_assign(
		__entry->call_site = call_site;
		kmh_assign_str(heap, heap);
		__entry->ptr = ptr;
		__entry->bytes = bytes;
	),

	TP_printk("call_site=%pS heap=%s ptr=%p bytes=%zu", (void *)__entry->call_site,
		  __get_str(heap), __entry->ptr, __entry->bytes)
);

/* An allocation got nothing. */
TRACE_EVENT(refuse,
	TP_PROTO(unsigned long call_site, const char *heap, size_t bytes, gfp_t gfp,
		 const char *why),

	TP_ARGS(call_site, heap, bytes, gfp, why),

	TP_STRUCT__entry(
		__field(unsigned long, call_site)
		__string(heap, heap)
		__field(size_t, bytes)
		__field(unsigned long, gfp)
		__string(why, why)
	),

	TP_fast_assign(
		__entry->call_site = call_site;
		kmh_assign_str(heap, heap);
		__entry->bytes = bytes;
		__entry->gfp = (__force unsigned long)gfp;
		kmh_assign_str(why, why);
	),

	TP_printk("call_site=%pS heap=%s bytes=%zu gfp=%s why=%s", (void *)__entry->call_site,
		  __get_str(heap), __entry->bytes, show_gfp_flags(__entry->gfp),
		  __get_str(why))
);

DECLARE_EVENT_CLASS(kmheap_arena,
	TP_PROTO(const char *heap, size_t bytes, int node, const char *backing, const char *who),

	TP_ARGS(heap, bytes, node, backing, who),

	TP_STRUCT__entry(
		__string(heap, heap)
		__field(size_t, bytes)
		__field(int, node)
		__string(backing, backing)
		__string(who, who)
	),

	TP_fast_assign(
		kmh_assign_str(heap, heap);
		__entry->bytes = bytes;
		__entry->node = node;
		kmh_assign_str(backing, backing);
		kmh_assign_str(who, who);
	),

	TP_printk("heap=%s bytes=%zu node=%d backing=%s who=%s", __get_str(heap),
		  __entry->bytes, __entry->node, __get_str(backing), __get_str(who))
);

/* An arena has come from the kernel. */
DEFINE_EVENT(kmheap_arena, grow,
	TP_PROTO(const char *heap, size_t bytes, int node, const char *backing, const char *who),
	TP_ARGS(heap, bytes, node, backing, who)
);

/* An arena, or single pages of a block, have gone to the kernel. */
DEFINE_EVENT(kmheap_arena, release,
	TP_PROTO(const char *heap, size_t bytes, int node, const char *backing, const char *who),
	TP_ARGS(heap, bytes, node, backing, who)
);

/* Deferred frees that have expired, or the garbage of a collection, have been swept. */
TRACE_EVENT(sweep,
	TP_PROTO(const char *heap, unsigned long generation, unsigned long spans,
		 unsigned long objects, size_t bytes, const char *what),

	TP_ARGS(heap, generation, spans, objects, bytes, what),

	TP_STRUCT__entry(
		__string(heap, heap)
		__field(unsigned long, generation)
		__field(unsigned long, spans)
		__field(unsigned long, objects)
		__field(size_t, bytes)
		__string(what, what)
	),

	TP_fast_assign(
		kmh_assign_str(heap, heap);
		__entry->generation = generation;
		__entry->spans = spans;
		__entry->objects = objects;
		__entry->bytes = bytes;
		kmh_assign_str(what, what);
	),

	TP_printk("heap=%s generation=%lu spans=%lu objects=%lu bytes=%zu what=%s",
		  __get_str(heap), __entry->generation, __entry->spans, __entry->objects,
		  __entry->bytes, __get_str(what))
);

/* A misuse has been counted. Unlike the log, which has one of a site, this has all of them. */
TRACE_EVENT(misuse,
	TP_PROTO(unsigned long call_site, const char *heap, const void *ptr, const char *kind),

	TP_ARGS(call_site, heap, ptr, kind),

	TP_STRUCT__entry(
		__field(unsigned long, call_site)
		__string(heap, heap)
		__field(const void *, ptr)
		__string(kind, kind)
	),

	TP_fast_assign(
		__entry->call_site = call_site;
		kmh_assign_str(heap, heap);
		__entry->ptr = ptr;
		kmh_assign_str(kind, kind);
	),

	TP_printk("call_site=%pS heap=%s ptr=%p kind=%s", (void *)__entry->call_site,
		  __get_str(heap), __entry->ptr, __get_str(kind))
);

#endif /* _TRACE_KMHEAP_H */

/* Found by way of the folder include/, which all of kmheap is built with. */
#include <trace/define_trace.h>
