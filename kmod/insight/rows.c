// SPDX-License-Identifier: GPL-2.0
/*
 * Rows: copies of sites, taken all at once, to be added up, ordered and shown afterwards.
 */
#include <linux/bits.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/seq_file.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "insight/rows.h"
#include "insight/record.h"

/* Rows for sites that come between the count and the copy. */
#define KMH_ROWS_SPARE		64U

/* How many rows a snapshot of @owner's sites needs. Context: as for kmh_site_next(). */
unsigned int kmh_rows_most(const void *owner)
{
	struct kmh_site *site = NULL;
	unsigned int n = 0;

	while ((site = kmh_site_next(owner, site)))
		n++;
	return n + KMH_ROWS_SPARE;
}

static void kmh_row_copy(struct kmh_profile_row *row, struct kmh_site *site)
{
	unsigned int i;

	row->number = kmh_site_number(site);
	row->class = site->class;
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

/*
 * Copy @owner's sites, in the order of their numbers, into @most rows. What there is no room for
 * has come meanwhile, and is left to the next snapshot. Context: as for kmh_site_next(). Return:
 * how many rows.
 */
unsigned int kmh_rows_take(const void *owner, struct kmh_profile_row *row, unsigned int most)
{
	struct kmh_site *site = NULL;
	unsigned int n = 0;

	while (n < most && (site = kmh_site_next(owner, site)))
		kmh_row_copy(&row[n++], site);
	return n;
}

/* The row of a site, among @n that are still in the order of their numbers; or NULL. */
struct kmh_profile_row *kmh_row_of(struct kmh_profile_row *row, unsigned int n,
				   unsigned int number)
{
	unsigned int low = 0, high = n, mid;

	while (low < high) {
		mid = (low + high) / 2;
		if (row[mid].number == number)
			return &row[mid];
		if (row[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* ---- ages */

static void kmh_row_age_of(struct kmh_profile_row *row, u32 youngest, u32 oldest)
{
	row->youngest = row->naged ? min(row->youngest, youngest) : youngest;
	row->oldest = max(row->oldest, oldest);
}

static void kmh_row_add_object(struct kmh_profile_row *row, const struct kmh_row_object *object)
{
	unsigned int i;

	for (i = 0; i < KMH_ROW_OBJECTS; i++) {
		if (row->some[i].addr)
			continue;
		row->some[i] = *object;
		return;
	}
}

/* @r is of a live object of @row: take its age at @now into account. */
void kmh_row_age(struct kmh_profile_row *row, const struct kmh_record *r, u32 now)
{
	const struct kmh_row_object object = {
		.addr = r->addr, .bytes = r->bytes, .age = kmh_record_age(r, now),
	};

	kmh_row_age_of(row, object.age, object.age);
	kmh_row_add_object(row, &object);
	row->naged++;
}

struct kmh_rows_ages {
	struct kmh_profile_row *row;
	unsigned int n;
	u32 now;
};

static void kmh_rows_age_record(const struct kmh_record *r, void *ctx)
{
	struct kmh_rows_ages *ages = ctx;
	struct kmh_profile_row *row = kmh_row_of(ages->row, ages->n, r->site);

	if (row)
		kmh_row_age(row, r, ages->now);
}

/*
 * How old the live objects of @n rows are, which are still in the order of their numbers. Context:
 * process context, and as for kmh_site_next(); sleeps.
 */
void kmh_rows_age(struct kmh_profile_row *row, unsigned int n)
{
	struct kmh_rows_ages ages = { .row = row, .n = n, .now = kmh_record_now() };

	kmh_records_walk(kmh_rows_age_record, &ages);
}

/* ---- rows of one stack */

/* Order by stacks, and those of one stack by class. */
static int kmh_row_by_stack(const void *a, const void *b)
{
	const struct kmh_profile_row *x = a, *y = b;

	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	if (x->class != y->class)
		return x->class < y->class ? -1 : 1;
	return memcmp(x->ip, y->ip, x->depth * sizeof(*x->ip));
}

/* Most live bytes first. */
static int kmh_row_by_bytes(const void *a, const void *b)
{
	const struct kmh_profile_row *x = a, *y = b;

	if (x->live_bytes != y->live_bytes)
		return x->live_bytes > y->live_bytes ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void kmh_row_add(struct kmh_profile_row *to, const struct kmh_profile_row *row)
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
	if (row->naged)
		kmh_row_age_of(to, row->youngest, row->oldest);
	to->naged += row->naged;
	for (i = 0; i < KMH_ROW_OBJECTS && row->some[i].addr; i++)
		kmh_row_add_object(to, &row->some[i]);
}

/*
 * Make one row of those that have one stack and class, see site.c, most live bytes first. Return:
 * how many there are then.
 */
unsigned int kmh_rows_merge(struct kmh_profile_row *row, unsigned int n)
{
	unsigned int i, to = 0;

	sort(row, n, sizeof(*row), kmh_row_by_stack, NULL);
	for (i = 0; i < n; i++) {
		if (to && !kmh_row_by_stack(&row[to - 1], &row[i]))
			kmh_row_add(&row[to - 1], &row[i]);
		else
			row[to++] = row[i];
	}
	sort(row, to, sizeof(*row), kmh_row_by_bytes, NULL);
	return to;
}

/* ---- from samples to what they stand for */

/* Bits behind the point of a weight. */
#define KMH_WEIGHT_SHIFT	16
#define KMH_WEIGHT_ONE		BIT_ULL(KMH_WEIGHT_SHIFT)

/* A longer period would overflow a weight, and is of more than any machine has. */
#define KMH_WEIGHT_PERIOD	BIT_ULL(46)

/*
 * How many objects of @bytes a sample of them stands for: 1 / (1 - exp(-x)), x = @bytes / @period,
 * with KMH_WEIGHT_SHIFT bits behind the point. For an x of up to 1 that is 1 / x + 1 / 2 + x / 12,
 * but for x^3 / 720. A larger x is halved until it is as small: of what weighs r when it is half as
 * long, the weight is r^2 / (2 r - 1).
 */
u64 kmh_sample_weight(u64 bytes, u64 period)
{
	unsigned int halved = 0;
	u64 r;

	if (period <= 1 || !bytes || bytes >> 5 >= period)
		return KMH_WEIGHT_ONE;
	period = min(period, KMH_WEIGHT_PERIOD);
	while (bytes > period) {
		period <<= 1;
		halved++;
	}
	r = div64_u64(period << KMH_WEIGHT_SHIFT, bytes) + KMH_WEIGHT_ONE / 2 +
	    div64_u64(bytes << KMH_WEIGHT_SHIFT, 12 * period);
	while (halved--)
		r = div64_u64(r * r, 2 * r - KMH_WEIGHT_ONE);
	return r;
}

/*
 * The live objects that a row's samples stand for, and their bytes. Large objects have one row
 * whatever their size: they are taken to be as long as the mean of those that are sampled.
 */
void kmh_row_estimate(const struct kmh_profile_row *row, size_t period, u64 *objects, u64 *bytes)
{
	u64 mean = row->live_objects ? row->live_bytes / row->live_objects : 0;
	u64 weight = kmh_sample_weight(mean, period);

	*objects = mul_u64_u64_shr(row->live_objects, weight, KMH_WEIGHT_SHIFT);
	*bytes = mul_u64_u64_shr(row->live_bytes, weight, KMH_WEIGHT_SHIFT);
}

/* The addresses of a row's stack and their names, a line each. */
void kmh_row_show_stack(struct seq_file *m, const struct kmh_profile_row *row)
{
	const char *name;
	unsigned int i;

	for (i = 0; i < row->depth; i++) {
		name = kmh_frame_name(row->names, row->ip[i]);
		if (name)
			seq_printf(m, "\t%016lx %s\n", row->ip[i], name);
		else
			seq_printf(m, "\t%016lx %pS\n", row->ip[i], (void *)row->ip[i]);
	}
}
