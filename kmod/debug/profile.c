// SPDX-License-Identifier: GPL-2.0
/*
 * The heap profile: which call sites a heap's live objects come from.
 *
 * A snapshot is taken of the sites first, under a mutex, and formatted afterwards. The counts are
 * of samples; who reads them divides by the probability with which an object is sampled. For a
 * period of 1 they are exact.
 */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include "debug/profile.h"
#include "base/backend.h"
#include "base/budget.h"
#include "cpu/watch.h"
#include "debug/stats.h"
#include "heap.h"
#include "insight/record.h"

/* Sites that the report of a heap's end has in the log. */
#define KMH_REPORT_SITES	10U

/* ---- the snapshot */

/* What is counted of the records that are younger than the mark. */
struct kmh_profile_marked {
	struct kmh_profile_snapshot *snap;
	u32 now, mark;
};

static void kmh_profile_count_marked(const struct kmh_record *r, void *ctx)
{
	struct kmh_profile_marked *m = ctx;
	struct kmh_profile_row *row;

	if (m->now - r->born > m->now - m->mark)
		return;
	row = kmh_row_of(m->snap->row, m->snap->n, r->site);
	if (!row)
		return;
	row->live_objects++;
	row->live_bytes += r->bytes;
}

/* Leave of each row only what is younger than the mark. */
static void kmh_profile_since(struct kmh_profile_snapshot *snap, u32 mark)
{
	struct kmh_profile_marked m = { .snap = snap, .mark = mark };
	unsigned int i;

	for (i = 0; i < snap->n; i++) {
		snap->row[i].live_objects = 0;
		snap->row[i].live_bytes = 0;
	}
	/* Another CPU's clock may be a little ahead; that is as young as can be. */
	m.now = kmh_record_now() + 1;
	kmh_records_walk(kmh_profile_count_marked, &m);
}

/* Let each row say what was live at the peak. */
static void kmh_profile_peak(struct kmh_profile_snapshot *snap, u64 when)
{
	unsigned int i;

	snap->time_ns = when;
	for (i = 0; i < snap->n; i++) {
		snap->row[i].live_objects = snap->row[i].peak_objects;
		snap->row[i].live_bytes = snap->row[i].peak_bytes;
	}
}

/*
 * Take a snapshot of a heap's profile, or of what is left of the last one. Context: process
 * context; sleeps. Return: for kmh_backend_free(); NULL when there is no memory.
 */
struct kmh_profile_snapshot *kmh_profile_take(struct kmheap *heap, enum kmh_profile_kind kind)
{
	unsigned int most = kmh_rows_most(heap);
	struct kmh_pins *pins = kind == KMH_PROFILE_PINS ? kmh_pins_look(heap) : NULL;
	struct kmh_profile_snapshot *snap;

	snap = kmh_backend_zalloc(struct_size(snap, row, most), GFP_KERNEL, NUMA_NO_NODE);
	if (!snap || (kind == KMH_PROFILE_PINS && !pins)) {
		kmh_backend_free(pins);
		kmh_backend_free(snap);
		return NULL;
	}
	if (kind == KMH_PROFILE_PEAK)
		kmh_watch_peak(heap, true);
	mutex_lock(&kmh_profile_mutex);
	snap->kind = kind;
	snap->period = READ_ONCE(heap->profile.last_period);
	snap->time_ns = ktime_get_real_ns();
	snap->since_ns = kind == KMH_PROFILE_SINCE ? READ_ONCE(heap->profile.mark_ns) :
						     READ_ONCE(heap->profile.since_ns);
	snap->n = kmh_rows_take(heap, snap->row, most);
	if (kind == KMH_PROFILE_SINCE)
		kmh_profile_since(snap, READ_ONCE(heap->profile.mark));
	if (kind == KMH_PROFILE_LEFT)
		kmh_rows_age(snap->row, snap->n);
	if (pins)
		kmh_pins_add(pins, snap);
	if (kind == KMH_PROFILE_PEAK)
		kmh_profile_peak(snap, READ_ONCE(heap->profile.peak_ns));
	mutex_unlock(&kmh_profile_mutex);
	kmh_backend_free(pins);
	snap->n = kmh_rows_merge(snap->row, snap->n);
	return snap;
}

/*
 * While every object is sampled: whatever is live and has no record is from before the profile, or
 * found no room. Of a heap in use the two figures are of slightly different moments. Context:
 * process context; sleeps, and takes time in proportion to the heap.
 */
void kmh_profile_count_before(struct kmheap *heap, struct kmh_profile_snapshot *snap)
{
	unsigned long known = 0;
	struct kmh_heap_walk *w;
	unsigned int i;

	if (snap->period != 1 || READ_ONCE(heap->profile.period) != 1)
		return;
	w = kmh_heap_walk_new();
	if (!w)
		return;
	kmh_heap_walk(heap, w);
	for (i = 0; i < snap->n; i++)
		known += snap->row[i].live_objects;
	snap->has_before = true;
	snap->before_objects = kmh_less(w->st.live_objects + w->manual_runs, known);
	kmh_backend_free(w);
}

/* ---- the report of a heap's end */

/* A site whose samples stand for @objects and @bytes. */
static void kmh_profile_report_row(struct kmheap *heap, const struct kmh_profile_row *row,
				   const char *about, u64 objects, u64 bytes)
{
	u64 youngest = kmh_record_ms(row->youngest), oldest = kmh_record_ms(row->oldest);
	const char *name;
	unsigned int i;

	pr_warn("heap %s: %s%llu objects, %s%llu bytes, %llu to %llu ms old, from\n", heap->name,
		about, objects, about, bytes, youngest, oldest);
	for (i = 0; i < row->depth; i++) {
		name = kmh_frame_name(row->names, row->ip[i]);
		if (name)
			pr_warn("heap %s:   %s\n", heap->name, name);
		else
			pr_warn("heap %s:   %pS\n", heap->name, (void *)row->ip[i]);
	}
}

/*
 * Tell in the log whence the objects come that are live when their heap ends, @nlive of them, as
 * far as the snapshot of a profile has it. What is estimated from samples has a ~ before it.
 * Context: process context; sleeps.
 */
void kmh_profile_report(struct kmheap *heap, const struct kmh_profile_snapshot *snap,
			unsigned long nlive)
{
	const char *about = snap->period > 1 ? "~" : "";
	u64 others = 0, objects, bytes;
	unsigned long nknown = 0;
	unsigned int i;

	if (!snap->period)
		return;
	for (i = 0; i < snap->n && snap->row[i].live_objects; i++) {
		nknown += snap->row[i].live_objects;
		kmh_row_estimate(&snap->row[i], snap->period, &objects, &bytes);
		if (i < KMH_REPORT_SITES)
			kmh_profile_report_row(heap, &snap->row[i], about, objects, bytes);
		else
			others += objects;
	}
	if (others)
		pr_warn("heap %s: %s%llu objects, from other sites\n", heap->name, about, others);
	if (snap->period > 1)
		pr_warn("heap %s: of %lu objects %lu are samples, one every %zu bytes: ~ is what these stand for\n",
			heap->name, nlive, nknown, snap->period);
	else if (nlive > nknown)
		pr_warn("heap %s: %lu objects that the profile (a sample every %zu bytes) has not\n",
			heap->name, nlive - nknown, snap->period);
}
