/* SPDX-License-Identifier: GPL-2.0 */
/* Private: which sampled objects are live; see record.c. */
#ifndef _KMHEAP_RECORD_H
#define _KMHEAP_RECORD_H

#include <linux/atomic.h>
#include <linux/types.h>

struct kmh_site;

/* A sampled object that is live, or 0. */
struct kmh_record {
	unsigned long addr;
	u32 site;		/* kmh_site_number() */
	u32 born;		/* kmh_record_now() */
	size_t bytes;		/* usable */
};

extern unsigned int kmh_profile_records;
extern atomic_long_t kmh_records_missed;
extern struct kmh_record *kmh_records;	/* record.c alone reads it, and dumps: debug/vmcore.c */

int kmh_records_alloc(void);
void kmh_records_free(void);
u32 kmh_record_now(void);
u32 kmh_record_age(const struct kmh_record *r, u32 now);
u64 kmh_record_ms(u32 units);
unsigned int kmh_record_life(u32 units);
bool kmh_record_born(struct kmh_site *site, unsigned long addr, size_t bytes);
struct kmh_site *kmh_record_died(unsigned long addr);
void kmh_records_forget(const void *owner);
void kmh_records_forget_range(unsigned long addr, size_t bytes);
void kmh_records_walk(void (*fn)(const struct kmh_record *r, void *ctx), void *ctx);

#endif /* _KMHEAP_RECORD_H */
