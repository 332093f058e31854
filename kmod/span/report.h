/* SPDX-License-Identifier: GPL-2.0 */
/* Private: reports of misuse, in one format; see report.c. */
#ifndef _KMHEAP_REPORT_H
#define _KMHEAP_REPORT_H

#include <linux/atomic.h>
#include <linux/types.h>

#include "base/public.h"
#include "span/mspan.h"

enum kmh_misuse {
	KMH_DOUBLE_FREE,
	KMH_INVALID_FREE,
	KMH_WRONG_SIZE_FREE,
	KMH_NR_MISUSES,
};

extern atomic_long_t kmh_misuses[KMH_NR_MISUSES];	/* of no heap, or of dead ones */

/* The object an address lies in; base 0 when in none. Whose it was, for reports. */
struct kmh_where {
	struct kmheap *heap;
	enum kmh_span_state span;
	unsigned long base;
	size_t bytes;
	unsigned int slot;
	enum kmheap_object_state state;
};

/* What a misuse was, for the report, which reads no span: that may be another one by now. */
struct kmh_report {
	enum kmh_misuse kind;
	const char *what;
	unsigned long addr;
	unsigned long ip;
	struct kmheap *heap;		/* NULL: none; stays for as long as preemption is off */
	enum kmh_span_state state;	/* of the span that @addr was found in */
	unsigned long object;		/* the object that @addr lies in, or 0 */
	size_t bytes;
	const char *cache;		/* name of the cache that got it, or NULL */
};

void kmh_misuse(enum kmh_misuse kind, const char *what, unsigned long addr,
		const struct kmh_mspan *s, const struct kmh_where *at, unsigned long ip);
void kmh_misuse_twice(struct kmheap *heap, unsigned long addr, size_t bytes);
void kmh_misuse_twice_slots(const struct kmh_mspan *s, unsigned int word, unsigned long slots);
void kmh_misuse_sentinel(unsigned long addr, const struct kmh_mspan *s, unsigned long ip);
void kmh_report_misuse(const struct kmh_report *r);
void kmh_report_bad_pointer(const char *who, const void *p, unsigned long ip);
void kmh_report_broken(const struct kmh_mspan *s, const char *what);

/* KUnit suites put a function here to receive reports instead of the log. */
extern void (*kmh_report_hook)(const struct kmh_report *r);
extern atomic_long_t kmh_reports_suppressed;

#endif /* _KMHEAP_REPORT_H */
