/* SPDX-License-Identifier: GPL-2.0 */
/* Private: the heap profile, as it is shown; see profile.c. */
#ifndef _KMHEAP_PROFILE_H
#define _KMHEAP_PROFILE_H

#include <linux/types.h>

#include "base/public.h"
#include "insight/rows.h"

enum kmh_profile_kind {
	KMH_PROFILE_INUSE,	/* everything since the profile began */
	KMH_PROFILE_SINCE,	/* what was allocated since the mark, and is live */
	KMH_PROFILE_FAILED,	/* allocations that were made to fail */
	KMH_PROFILE_PINS,	/* with what live objects hold back */
	KMH_PROFILE_PEAK,	/* what was live when the heap used most */
	KMH_PROFILE_LEFT,	/* what is live when the heap ends, and how old it is */
};

struct kmh_profile_snapshot {
	enum kmh_profile_kind kind;
	size_t period;
	u64 time_ns, since_ns;
	bool has_before;
	unsigned long before_objects;	/* live, from before a profile of every object */
	unsigned int n;
	struct kmh_profile_row row[];
};

struct kmh_pins;

struct kmh_pins *kmh_pins_look(struct kmheap *heap);
void kmh_pins_add(struct kmh_pins *pins, struct kmh_profile_snapshot *snap);

struct kmh_profile_snapshot *kmh_profile_take(struct kmheap *heap, enum kmh_profile_kind kind);
void kmh_profile_count_before(struct kmheap *heap, struct kmh_profile_snapshot *snap);
void kmh_profile_report(struct kmheap *heap, const struct kmh_profile_snapshot *snap,
			unsigned long nlive);

#ifdef CONFIG_DEBUG_FS
struct dentry;
struct seq_file;

void kmh_profile_add_files(struct kmheap *heap, struct dentry *dir);
void kmh_profile_show_head(struct seq_file *m, const struct kmheap *heap,
			   const struct kmh_profile_snapshot *snap);
#endif

#endif /* _KMHEAP_PROFILE_H */
