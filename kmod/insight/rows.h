/* SPDX-License-Identifier: GPL-2.0 */
/* Private: sites as they are shown; see rows.c. */
#ifndef _KMHEAP_ROWS_H
#define _KMHEAP_ROWS_H

#include <linux/types.h>

#include "insight/site.h"

/* Objects of which a row has the addresses, at most. */
#define KMH_ROW_OBJECTS		3U

struct kmh_row_object {
	unsigned long addr;		/* 0: there are no more */
	size_t bytes;			/* usable */
	u32 age;			/* in units of a record */
};

/* A site, as of the moment of the snapshot. Figures are of samples. */
struct kmh_profile_row {
	unsigned int number;
	u32 class;
	u8 depth;
	unsigned long live_objects, live_bytes;
	unsigned long allocs, alloc_bytes;
	unsigned long failed;
	union {
		unsigned long peak_objects;
		unsigned long unseen;		/* the advisor's */
	};
	unsigned long peak_bytes;
	unsigned long span_bytes, arena_bytes;	/* held back: debug/pins.c */
	unsigned int lives[KMH_SITE_LIVES];
	unsigned long naged;			/* live objects that the next ones are of */
	u32 youngest, oldest;			/* their ages, in units of a record */
	struct kmh_row_object some[KMH_ROW_OBJECTS];	/* the first of them */
	unsigned long ip[KMH_SITE_FRAMES];
	const struct kmh_frame_name *names;
};

struct kmh_record;
struct seq_file;

unsigned int kmh_rows_most(const void *owner);
unsigned int kmh_rows_take(const void *owner, struct kmh_profile_row *row, unsigned int most);
struct kmh_profile_row *kmh_row_of(struct kmh_profile_row *row, unsigned int n,
				   unsigned int number);
void kmh_row_age(struct kmh_profile_row *row, const struct kmh_record *r, u32 now);
void kmh_rows_age(struct kmh_profile_row *row, unsigned int n);
unsigned int kmh_rows_merge(struct kmh_profile_row *row, unsigned int n);
u64 kmh_sample_weight(u64 bytes, u64 period);
void kmh_row_estimate(const struct kmh_profile_row *row, size_t period, u64 *objects, u64 *bytes);
void kmh_row_show_stack(struct seq_file *m, const struct kmh_profile_row *row);

#endif /* _KMHEAP_ROWS_H */
