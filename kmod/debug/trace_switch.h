/* SPDX-License-Identifier: GPL-2.0 */
/* Private: what the tracing of allocations and frees asks of heaps; see trace_switch.c. */
#ifndef _KMHEAP_TRACE_SWITCH_H
#define _KMHEAP_TRACE_SWITCH_H

struct kmheap;

void kmh_trace_heap(struct kmheap *heap);
void kmh_trace_wait(struct kmheap *heap);

#endif /* _KMHEAP_TRACE_SWITCH_H */
