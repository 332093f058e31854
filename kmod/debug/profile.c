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
#include <linux/sort.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include "debug/profile.h"
#include "base/backend.h"
#include "cpu/watch.h"
#include "heap.h"
#include "insight/record.h"

/* Sites that the report of a heap's end has in the log. */
#define KMH_REPORT_SITES	10U

/* Rows for sites that come between the count and the copy. */
#define KMH_PROFILE_SPARE	64U

/* ---- the snapshot */

static unsigned int kmh_profile_nsites(const struct kmheap *heap)
{
	struct kmh_site *site = NULL;
	unsigned int n = 0;

	while ((site = kmh_site_next(heap, site)))
		n++;
	return n;
}

static void kmh_profile_copy(struct kmh_profile_row *row, struct kmh_site *site)
{
	unsigned int i;

	row->number = kmh_site_number(site);
	row->spanclass = site->spanclass;
	row->depth = site->depth;
	row->live_objects = atomic_long_read(&site->live_objects);
	row->live_bytes = atomic_long_read(&site->live_bytes);
	row->allocs = atomic_long_read(&site->allocs);
	row->alloc_bytes = atomic_long_read(&site->alloc_bytes);
	row->failed = atomic_long_read(&site->failed);
	row->peak_objects = site->peak_objects;
	row->peak_bytes = site->peak_bytes;
	for (i = 0; i < KMH_SITE_LIVES; i++)
		row->lives[i] = atomic_read(&site->lives[i]);
	memcpy(row->ip, site->ip, row->depth * sizeof(*row->ip));
	row->names = smp_load_acquire(&site->names);	/* pairs with kmh_site_name() */
}

/* The row of a site, in a snapshot that is still in the order of their numbers; or NULL. */
struct kmh_profile_row *kmh_profile_row_of(struct kmh_profile_snapshot *snap, unsigned int number)
{
	unsigned int low = 0, high = snap->n, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (snap->row[mid].number == number)
			return &snap->row[mid];
		if (snap->row[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

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
	row = kmh_profile_row_of(m->snap, r->site);
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

/* Order by stacks, and those of one stack by class. */
static int kmh_profile_by_stack(const void *a, const void *b)
{
	const struct kmh_profile_row *x = a, *y = b;

	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	if (x->spanclass != y->spanclass)
		return x->spanclass < y->spanclass ? -1 : 1;
	return memcmp(x->ip, y->ip, x->depth * sizeof(*x->ip));
}

/* Most live bytes first. */
static int kmh_profile_by_bytes(const void *a, const void *b)
{
	const struct kmh_profile_row *x = a, *y = b;

	if (x->live_bytes != y->live_bytes)
		return x->live_bytes > y->live_bytes ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void kmh_profile_add(struct kmh_profile_row *to, const struct kmh_profile_row *row)
{
	unsigned int i;

	to->live_objects += row->live_objects;
	to->live_bytes += row->live_bytes;
	to->allocs += row->allocs;
	to->alloc_bytes += row->alloc_bytes;
	to->failed += row->failed;
	to->peak_objects += row->peak_objects;
	to->peak_bytes += row->peak_bytes;
	to->span_bytes += row->span_bytes;
	to->arena_bytes += row->arena_bytes;
	for (i = 0; i < KMH_SITE_LIVES; i++)
		to->lives[i] += row->lives[i];
}

/* Make one row of those that have one stack: see site.c. */
static void kmh_profile_merge(struct kmh_profile_snapshot *snap)
{
	unsigned int i, n = 0;

	sort(snap->row, snap->n, sizeof(*snap->row), kmh_profile_by_stack, NULL);
	for (i = 0; i < snap->n; i++) {
		if (n && !kmh_profile_by_stack(&snap->row[n - 1], &snap->row[i]))
			kmh_profile_add(&snap->row[n - 1], &snap->row[i]);
		else
			snap->row[n++] = snap->row[i];
	}
	snap->n = n;
	sort(snap->row, snap->n, sizeof(*snap->row), kmh_profile_by_bytes, NULL);
}

/*
 * Take a snapshot of a heap's profile, or of what is left of the last one. Context: process
 * context; sleeps. Return: for kmh_backend_free(); NULL when there is no memory.
 */
struct kmh_profile_snapshot *kmh_profile_take(struct kmheap *heap, enum kmh_profile_kind kind)
{
	unsigned int most = kmh_profile_nsites(heap) + KMH_PROFILE_SPARE;
	struct kmh_pins *pins = kind == KMH_PROFILE_PINS ? kmh_pins_look(heap) : NULL;
	struct kmh_profile_snapshot *snap;
	struct kmh_site *site = NULL;

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
	/* What there is no room for has come meanwhile, and is left to the next snapshot. */
	while (snap->n < most && (site = kmh_site_next(heap, site)))
		kmh_profile_copy(&snap->row[snap->n++], site);
	if (kind == KMH_PROFILE_SINCE)
		kmh_profile_since(snap, READ_ONCE(heap->profile.mark));
	if (pins)
		kmh_pins_add(pins, snap);
	if (kind == KMH_PROFILE_PEAK)
		kmh_profile_peak(snap, READ_ONCE(heap->profile.peak_ns));
	mutex_unlock(&kmh_profile_mutex);
	kmh_backend_free(pins);
	kmh_profile_merge(snap);
	return snap;
}

/* ---- the report of a heap's end */

static void kmh_profile_report_row(struct kmheap *heap, const struct kmh_profile_row *row)
{
	const char *name;
	unsigned int i;

	pr_warn("heap %s: %lu objects, %lu bytes, from\n", heap->name, row->live_objects,
		row->live_bytes);
	for (i = 0; i < row->depth; i++) {
		name = kmh_frame_name(row->names, row->ip[i]);
		if (name)
			pr_warn("heap %s:   %s\n", heap->name, name);
		else
			pr_warn("heap %s:   %pS\n", heap->name, (void *)row->ip[i]);
	}
}

/*
 * Tell whence the objects come that are live when their heap ends, @nlive of them. Context: process
 * context; sleeps.
 */
void kmh_profile_report(struct kmheap *heap, unsigned long nlive)
{
	unsigned long nknown = 0, nshown = 0;
	struct kmh_profile_snapshot *snap;
	unsigned int i;

	if (!heap->profile.last_period)
		return;
	snap = kmh_profile_take(heap, KMH_PROFILE_INUSE);
	if (!snap) {
		pr_warn("heap %s: no memory to tell whence they come\n", heap->name);
		return;
	}
	for (i = 0; i < snap->n && snap->row[i].live_objects; i++) {
		nknown += snap->row[i].live_objects;
		if (i >= KMH_REPORT_SITES)
			continue;
		kmh_profile_report_row(heap, &snap->row[i]);
		nshown += snap->row[i].live_objects;
	}
	if (nknown > nshown)
		pr_warn("heap %s: %lu objects, from other sites\n", heap->name, nknown - nshown);
	if (nlive > nknown)
		pr_warn("heap %s: %lu objects that the profile (a sample every %zu bytes) has not\n",
			heap->name, nlive - nknown, snap->period);
	kmh_backend_free(snap);
}
