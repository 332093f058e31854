// SPDX-License-Identifier: GPL-2.0
/*
 * Records: which sampled objects are live.
 *
 * A table of fixed size, keyed by address, without a lock: births and deaths come from any context,
 * NMI included. An entry is taken by compare and exchange of its address with KMH_RECORD_BUSY,
 * filled in, and published by its address. The cell of a sampled object says that there is a record
 * (KMH_CELL_SAMPLED), so a free of any other object never looks here, and the party that claims the
 * cell is the only one that ends the record. Entries need no tombstones: a look goes over all of
 * the few places where a record can be.
 */
#include <linux/hash.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/timekeeping.h>

#include "insight/record.h"
#include "base/param.h"
#include "base/preempt_off.h"
#include "base/testpoint.h"
#include "insight/site.h"

/* Entries that are looked at for an address. */
#define KMH_RECORD_PROBES	16U

/* No object's address: the entry is being filled in. */
#define KMH_RECORD_BUSY		1UL

/* The unit of @born, about 4 ms: 32 bits last for 208 days. */
#define KMH_RECORD_NS_SHIFT	22

/* By how much the clock of a CPU may be ahead of another one's: about a second. */
#define KMH_RECORD_AHEAD	256U

struct kmh_record_range {
	unsigned long addr;
	size_t bytes;
};

unsigned int kmh_profile_records = 65536;
static struct kmh_param_number kmh_records_param = {
	.value = &kmh_profile_records, .narrow = true, .power_of_2 = true, .least = 64,
	.most = 1U << 24,
};
module_param_cb(profile_records, &kmh_number_param_ops, &kmh_records_param, 0444);
__MODULE_PARM_TYPE(profile_records, "uint");
MODULE_PARM_DESC(profile_records,
		 "live sampled objects that profiles of all heaps have room for: a power of two from 64 to 16777216 (default 65536, 24 bytes each, taken with the first profile)");

/* Hits whose record found no room: their objects are not in the profile. */
atomic_long_t kmh_records_missed;

struct kmh_record *kmh_records;	/* kmh_profile_records of them; written once */

static size_t kmh_records_bytes(void)
{
	return kmh_profile_records * sizeof(*kmh_records);
}

/* Context and Return: as for kmh_insight_table_take(). */
int kmh_records_alloc(void)
{
	return kmh_insight_table_take((void **)&kmh_records, kmh_records_bytes());
}

/* When the module goes. */
void kmh_records_free(void)
{
	kmh_insight_table_free((void **)&kmh_records, kmh_records_bytes());
}

/* The time, in units of a record. Context: any. */
u32 kmh_record_now(void)
{
	return ktime_get_mono_fast_ns() >> KMH_RECORD_NS_SHIFT;
}

/*
 * How old the object of a record is at @now, in units of a record. It may have been born on another
 * CPU, or in an NMI, whose clock is a little ahead: then it has just been born.
 */
u32 kmh_record_age(const struct kmh_record *r, u32 now)
{
	u32 age = now - r->born;

	return age > U32_MAX - KMH_RECORD_AHEAD ? 0 : age;
}

/* Units of a record in milliseconds. */
u64 kmh_record_ms(u32 units)
{
	return div_u64((u64)units << KMH_RECORD_NS_SHIFT, NSEC_PER_MSEC);
}

static struct kmh_record *kmh_record_at(unsigned long addr, unsigned int probe)
{
	return &kmh_records[(hash_long(addr, 32) + probe) & (kmh_profile_records - 1)];
}

/* A snapshot of an entry. Return: false when it is free, or changes meanwhile. */
static bool kmh_record_copy(struct kmh_record *r, struct kmh_record *copy)
{
	copy->addr = smp_load_acquire(&r->addr);	/* before the rest */
	if (copy->addr <= KMH_RECORD_BUSY)
		return false;
	copy->site = READ_ONCE(r->site);
	copy->born = READ_ONCE(r->born);
	copy->bytes = READ_ONCE(r->bytes);
	smp_rmb();	/* the rest, the address once more: pairs with the exchange of its end */
	return READ_ONCE(r->addr) == copy->addr;
}

/* The bucket of a life of @units; see KMH_SITE_LIVES. */
unsigned int kmh_record_life(u32 units)
{
	return units ? min(ilog2(units) / 2 + 1, KMH_SITE_LIVES - 1) : 0;
}

/* End an entry. Return: false when another party was faster. */
static bool kmh_record_end(struct kmh_record *r, const struct kmh_record *copy)
{
	struct kmh_site *site = kmh_site_of_number(copy->site);

	if (cmpxchg(&r->addr, copy->addr, 0) != copy->addr)
		return false;
	atomic_long_dec(&site->live_objects);
	atomic_long_sub(copy->bytes, &site->live_bytes);
	return true;
}

/*
 * The sampled object at @addr is freed. The caller has claimed its cell, so its slot is not used
 * again before this is done. That there is no record any more is no fault: the profile that it was
 * of may have been given up. Context: any; preemption off, which keeps the site. Return: the site
 * that it was of; NULL when there is no record.
 */
struct kmh_site *kmh_record_died(unsigned long addr)
{
	struct kmh_record copy, *r;
	struct kmh_site *site;
	unsigned int i;

	kmh_assert_pinned();
	for (i = 0; i < KMH_RECORD_PROBES; i++) {
		r = kmh_record_at(addr, i);
		if (READ_ONCE(r->addr) != addr)
			continue;
		if (!kmh_record_copy(r, &copy) || !kmh_record_end(r, &copy))
			return NULL;
		site = kmh_site_of_number(copy.site);
		atomic_inc(&site->lives[kmh_record_life(kmh_record_age(&copy,
								       kmh_record_now()))]);
		return site;
	}
	return NULL;
}

/*
 * A sampled object begins to live. The caller has it and gives it its cell afterwards. Context:
 * any; the heap is profiled. Return: false, and nothing done but counted, when there is no room.
 */
bool kmh_record_born(struct kmh_site *site, unsigned long addr, size_t bytes)
{
	struct kmh_record *r;
	unsigned int i;

	kmh_assert_pinned();
	/* One that was left: of an arena that a client has freed, or of two frees at once. */
	kmh_record_died(addr);
	for (i = 0; i < KMH_RECORD_PROBES; i++) {
		r = kmh_record_at(addr, i);
		if (READ_ONCE(r->addr) || cmpxchg(&r->addr, 0, KMH_RECORD_BUSY))
			continue;
		r->site = kmh_site_number(site);
		r->born = kmh_record_now();
		r->bytes = bytes;
		atomic_long_inc(&site->live_objects);
		atomic_long_add(bytes, &site->live_bytes);
		smp_store_release(&r->addr, addr);	/* pairs with kmh_record_copy() */
		return true;
	}
	atomic_long_inc(&kmh_records_missed);
	return false;
}

/* Call @fn for a copy of each record. Context: process context; sleeps. */
void kmh_records_walk(void (*fn)(const struct kmh_record *r, void *ctx), void *ctx)
{
	struct kmh_record copy;
	unsigned int i;

	for (i = 0; READ_ONCE(kmh_records) && i < kmh_profile_records; i++) {
		if (i % 1024 == 1023)
			cond_resched();
		if (kmh_record_copy(&kmh_records[i], &copy))
			fn(&copy, ctx);
	}
}

/*
 * Give up the records of which @gone is true, whose objects may go on living. Whoever frees one of
 * them at this moment may use its site until a grace period is over. Preemption is off from the
 * look to the act, so that the address is not another object's by then.
 * Context: process context; sleeps.
 */
static void kmh_records_give_up(bool (*gone)(const struct kmh_record *r, const void *ctx),
				const void *ctx)
{
	struct kmh_record copy;
	unsigned int i;

	for (i = 0; READ_ONCE(kmh_records) && i < kmh_profile_records; i++) {
		if (i % 1024 == 1023)
			cond_resched();
		preempt_disable();
		if (kmh_record_copy(&kmh_records[i], &copy) && gone(&copy, ctx))
			kmh_record_end(&kmh_records[i], &copy);
		preempt_enable();
	}
}

static bool kmh_record_is_of(const struct kmh_record *r, const void *owner)
{
	return kmh_site_of_number(r->site)->owner == owner;
}

/* Give up the records of @owner's objects; it is not profiled. Context: process context; sleeps. */
void kmh_records_forget(const void *owner)
{
	kmh_records_give_up(kmh_record_is_of, owner);
}

static bool kmh_record_is_within(const struct kmh_record *r, const void *ctx)
{
	const struct kmh_record_range *range = ctx;

	return r->addr - range->addr < range->bytes;
}

/* Give up the records of objects in memory that is no heap's any more. Context: as above. */
void kmh_records_forget_range(unsigned long addr, size_t bytes)
{
	const struct kmh_record_range range = { addr, bytes };

	kmh_records_give_up(kmh_record_is_within, &range);
}
