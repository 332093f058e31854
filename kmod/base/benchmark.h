/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Private: what only the benchmarks' build of kmheap.ko has: older ways of doing things, to
 * compare with. In every other build KMHEAP_BENCH is 0 and the compiler drops all uses.
 */
#ifndef _KMHEAP_BENCHMARK_H
#define _KMHEAP_BENCHMARK_H

#include <linux/types.h>

#ifndef KMHEAP_BENCH
#define KMHEAP_BENCH	0
#endif

struct kmheap;

extern bool kmh_bench_by_address;	/* of heaps made now: pages by address alone */
extern bool kmh_bench_lifo;		/* spans: the latest one first, in whatever arena */
extern bool kmh_bench_no_history;	/* the scavenger keeps what is in use at the moment */

void kmh_bench_no_scavenger(struct kmheap *heap);
void kmh_bench_drain(struct kmheap *heap);
unsigned long kmh_bench_arenas_given(struct kmheap *heap);
unsigned long kmh_bench_free_bytes(struct kmheap *heap, unsigned long *wholly);

#endif /* _KMHEAP_BENCHMARK_H */
