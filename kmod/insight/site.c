// SPDX-License-Identifier: GPL-2.0
/*
 * Sites: from which stacks a heap's objects come.
 *
 * A table of fixed size, open addressing, without a lock: a hit in an NMI writes it as well. An
 * entry is claimed by compare and exchange of its hash, and is filled in before its depth says so.
 * Entries of a heap are given up only when nothing of that heap is sampled any more, so whoever has
 * found one may add to it.
 *
 * Two CPUs that come with the same new stack at the same time may make two entries of it, as
 * neither can wait for the other. Readers add up what has equal stacks.
 *
 * The kernel's stack depot is not used: its entries have no figures and cannot be listed, its
 * memory never comes back, and on 6.1 saving a stack takes a lock that an NMI may have interrupted.
 */
#include <linux/jhash.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "insight/site.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/param.h"
#include "base/preempt_off.h"

/* Entries that are looked at for a stack. */
#define KMH_SITE_PROBES		16U

unsigned int kmh_profile_sites = 4096;
static struct kmh_param_number kmh_sites_param = {
	.value = &kmh_profile_sites, .narrow = true, .power_of_2 = true, .least = 64,
	.most = 65536,
};
module_param_cb(profile_sites, &kmh_number_param_ops, &kmh_sites_param, 0444);
__MODULE_PARM_TYPE(profile_sites, "uint");
MODULE_PARM_DESC(profile_sites,
		 "call sites that profiles of all heaps have room for: a power of two from 64 to 65536 (default 4096, 328 bytes each, taken with the first profile)");

/* Hits whose site found no room. */
atomic_long_t kmh_sites_lost;

struct kmh_site *kmh_sites;	/* kmh_profile_sites of them; written once */
static LLIST_HEAD(kmh_frame_names);	/* all there are */

/*
 * Take a table of this floor, of @bytes, unless *@table is there already: it stays until the module
 * goes. Context: process context; sleeps. Return: 0; -ENOMEM, also where a limit forbids it.
 */
int kmh_insight_table_take(void **table, size_t bytes)
{
	void *fresh;

	if (READ_ONCE(*table))
		return 0;
	if (!kmh_shared_try_account(bytes))
		return READ_ONCE(*table) ? 0 : -ENOMEM;	/* another one has counted, or is there */
	fresh = kmh_backend_zalloc(bytes, GFP_KERNEL, NUMA_NO_NODE);
	if (fresh && !cmpxchg(table, NULL, fresh))
		return 0;
	kmh_shared_account(-(long)bytes);
	if (!fresh)
		return -ENOMEM;
	kmh_backend_free(fresh);	/* another heap's profile begins as well */
	return 0;
}

/* When the module goes. */
void kmh_insight_table_free(void **table, size_t bytes)
{
	if (*table)
		kmh_shared_account(-(long)bytes);
	kmh_backend_free(*table);
	*table = NULL;
}

static size_t kmh_sites_bytes(void)
{
	return kmh_profile_sites * sizeof(*kmh_sites);
}

/* Context and Return: as for kmh_insight_table_take(). */
int kmh_sites_alloc(void)
{
	return kmh_insight_table_take((void **)&kmh_sites, kmh_sites_bytes());
}

/* Bytes of a name of @len characters. */
static size_t kmh_frame_name_bytes(size_t len)
{
	return kmalloc_size_roundup(sizeof(struct kmh_frame_name) + len + 1);
}

/* When the module goes. */
void kmh_sites_free(void)
{
	struct kmh_frame_name *name, *next;

	kmh_insight_table_free((void **)&kmh_sites, kmh_sites_bytes());
	llist_for_each_entry_safe(name, next, llist_del_all(&kmh_frame_names), all) {
		kmh_shared_account(-(long)kmh_frame_name_bytes(strlen(name->text)));
		kmh_backend_free(name);
	}
}

static bool kmh_site_is(const struct kmh_site *site, const void *owner, u32 class,
			const unsigned long *ip, unsigned int depth)
{
	/* Acquire: pairs with the release of whoever has made the entry. */
	return smp_load_acquire(&site->depth) == depth && site->owner == owner &&
	       site->class == class && !memcmp(site->ip, ip, depth * sizeof(*ip));
}

static void kmh_site_fill(struct kmh_site *site, const void *owner, u32 class,
			  const unsigned long *ip, unsigned int depth)
{
	site->owner = owner;
	site->class = class;
	memcpy(site->ip, ip, depth * sizeof(*ip));
	smp_store_release(&site->depth, depth);	/* pairs with kmh_site_is() */
}

/*
 * The site of @owner with these @depth addresses, 1 at least, and this class. Context: any;
 * preemption off. Return: NULL when the table has no room for it (counted).
 */
struct kmh_site *kmh_site_of_stack(const void *owner, u32 class, const unsigned long *ip,
				   unsigned int depth)
{
	unsigned long salt = (unsigned long)owner ^ class;
	u32 where = jhash2((const u32 *)ip, depth * sizeof(*ip) / sizeof(u32),
			   jhash_2words(salt, salt >> 32, depth));
	long hash = where | 1L << 32;	/* of no free entry */
	struct kmh_site *site;
	unsigned int i;

	kmh_assert_pinned();
	for (i = 0; i < KMH_SITE_PROBES; i++) {
		site = &kmh_sites[(where + i) & (kmh_profile_sites - 1)];
		if (atomic_long_read(&site->hash) == hash &&
		    kmh_site_is(site, owner, class, ip, depth))
			return site;
	}
	for (i = 0; i < KMH_SITE_PROBES; i++) {
		site = &kmh_sites[(where + i) & (kmh_profile_sites - 1)];
		if (atomic_long_read(&site->hash) || atomic_long_cmpxchg(&site->hash, 0, hash))
			continue;
		kmh_site_fill(site, owner, class, ip, depth);
		return site;
	}
	atomic_long_inc(&kmh_sites_lost);
	return NULL;
}

/*
 * The site of whoever is asking heap @owner for an object of @class. Context: any; the heap is
 * profiled. Return: NULL when the table has no room for it (counted).
 */
struct kmh_site *kmh_site_here(const void *owner, u32 class)
{
	unsigned long ip[KMH_SITE_FRAMES];
	unsigned int depth = kmh_stack(ip);

	return kmh_site_of_stack(owner, class, ip, depth);
}

/*
 * The next site of @owner after @site; the first after NULL, NULL after the last. Sites that are
 * being made are not seen. Context: any; the owner's sites are not forgotten meanwhile.
 */
struct kmh_site *kmh_site_next(const void *owner, struct kmh_site *site)
{
	if (!kmh_sites)
		return NULL;
	for (site = site ? site + 1 : kmh_sites; site < kmh_sites + kmh_profile_sites; site++)
		/* Acquire: pairs with the release of whoever has made the entry. */
		if (atomic_long_read(&site->hash) && smp_load_acquire(&site->depth) &&
		    site->owner == owner)
			return site;
	return NULL;
}

unsigned int kmh_site_number(const struct kmh_site *site)
{
	return site - kmh_sites;
}

struct kmh_site *kmh_site_of_number(unsigned int number)
{
	return &kmh_sites[number];
}

/* Give up the sites of a heap of which nothing is sampled any more. Context: process context. */
void kmh_sites_forget(const void *owner)
{
	struct kmh_site *site = NULL;

	while ((site = kmh_site_next(owner, site))) {
		WRITE_ONCE(site->depth, 0);
		site->owner = NULL;
		memset_startat(site, 0, live_objects);
		atomic_long_set_release(&site->hash, 0);	/* the rest before it is free */
	}
}

/* ---- names of text that goes */

/* The name of @ip, if it is kept among @names; or NULL. */
const char *kmh_frame_name(const struct kmh_frame_name *names, unsigned long ip)
{
	for (; names; names = names->next)
		if (names->ip == ip)
			return names->text;
	return NULL;
}

/*
 * Keep the name of @ip for a site. Where there is no memory, or no room within the module's limit,
 * the address is shown without a name.
 */
static void kmh_site_name(struct kmh_site *site, unsigned long ip)
{
	int len = snprintf(NULL, 0, "%pS", (void *)ip);
	size_t bytes = kmh_frame_name_bytes(len);
	struct kmh_frame_name *name;

	if (kmh_frame_name(site->names, ip) || !kmh_shared_try_account(bytes))
		return;
	name = kmh_backend_zalloc(bytes, GFP_KERNEL, NUMA_NO_NODE);
	if (!name) {
		kmh_shared_account(-(long)bytes);
		return;
	}
	snprintf(name->text, len + 1, "%pS", (void *)ip);
	name->ip = ip;
	name->next = site->names;
	llist_add(&name->all, &kmh_frame_names);
	smp_store_release(&site->names, name);	/* pairs with the load of a snapshot */
}

/*
 * The text of a module is about to go, or that of its init function alone: keep the names of what
 * sites have of it. A site that is forgotten meanwhile may pass a name on to the next one there,
 * which has no such address. Context: process context; sleeps.
 */
void kmh_sites_name(const struct module *mod, bool init)
{
	struct kmh_site *site;
	unsigned int i;

	if (!READ_ONCE(kmh_sites))
		return;
	for (site = kmh_sites; site < kmh_sites + kmh_profile_sites; site++) {
		unsigned int depth = smp_load_acquire(&site->depth);	/* see kmh_site_is() */

		for (i = 0; i < depth; i++)
			if (init ? within_module_init(site->ip[i], mod) :
				   within_module(site->ip[i], mod))
				kmh_site_name(site, site->ip[i]);
	}
}
