// SPDX-License-Identifier: GPL-2.0
/*
 * What a reader of a dump has to know of kmheap's structures; see <linux/kmheap_vmcore.h>. It is
 * data that the compiler fills in, and no code reads or writes it.
 *
 * The entries are what tools/kmheap_insight/core.py asks for. Of struct module they have what names
 * an address of a module's text, as a dump may be of a kernel of which there are no types either.
 * Header and table are no constants: they lie in the part of the module in which its struct module
 * lies as well, near which they are searched for.
 */
#include <linux/kmheap_vmcore.h>
#include <linux/module.h>
#include <linux/stddef.h>

#include "base/compat.h"
#include "cpu/tiny.h"
#include "heap.h"
#include "insight/record.h"
#include "insight/site.h"
#include "pages/arena.h"
#include "span/arenamap.h"

#define KMH_STRUCT(__struct)	{ .name = #__struct, .bytes = sizeof(struct __struct) }
#define KMH_FIELD(__struct, __field)	KMH_FIELD_AS(__struct, __field, __field)
#define KMH_FIELD_AS(__struct, as, __field)						\
	{ .name = #__struct "." #as, .value = offsetof(struct __struct, __field),	\
	  .bytes = sizeof_field(struct __struct, __field) }
/* An array: the size is that of an element. */
#define KMH_ARRAY(__struct, __field)							\
	{ .name = #__struct "." #__field, .value = offsetof(struct __struct, __field),	\
	  .bytes = sizeof_field(struct __struct, __field[0]) }
#define KMH_VARIABLE(variable)								\
	{ .name = #variable, .value = (unsigned long)&(variable), .bytes = sizeof(variable) }
#define KMH_NUMBER(number)	{ .name = #number, .value = (number) }

static struct kmheap_vmcore_entry kmh_vmcore_entries[] = {
	/* heaps, and what they have */
	KMH_VARIABLE(kmh_heaps),
	KMH_FIELD(list_head, next),
	KMH_FIELD(kmheap, list),
	KMH_FIELD(kmheap, name),
	KMH_FIELD(kmheap, owner),
	KMH_FIELD(kmheap, arena_bytes),
	KMH_FIELD(kmheap, metadata_bytes),
	KMH_FIELD(kmheap, limit_bytes),
	KMH_FIELD(kmheap, arenas),
	KMH_ARRAY(kmheap, caches.cache),
	KMH_FIELD(kmheap, profile.period),
	KMH_FIELD(kmheap, profile.last_period),
	KMH_FIELD(kmheap, profile.since_ns),
	KMH_FIELD(kmheap_cache, name),
	KMH_FIELD(kmh_arena, list),
	KMH_FIELD(kmh_arena, first),
	KMH_FIELD(kmh_arena, npages),

	/* from an address to its span: blocks first */
	KMH_VARIABLE(kmh_blockmap),
	KMH_VARIABLE(kmh_areamap),
	KMH_VARIABLE(kmh_span_none),
	KMH_VARIABLE(kmh_span_gone),
	KMH_FIELD(kmh_arenamap, base),
	KMH_FIELD(kmh_arenamap, nr),
	KMH_ARRAY(kmh_arenamap, biased),
	KMH_NUMBER(KMH_LEAF_SHIFT),
	KMH_NUMBER(KMH_PAGE_SHIFT),

	/* a span and its slots */
	KMH_FIELD(kmh_mspan, heap),
	KMH_FIELD(kmh_mspan, tiny),
	KMH_FIELD(kmh_mspan, large_bytes),
	KMH_FIELD(kmh_mspan, npages),
	KMH_FIELD(kmh_mspan, nelems),
	KMH_FIELD(kmh_mspan, base),
	KMH_FIELD(kmh_mspan, state),
	KMH_FIELD(kmh_mspan, elemsize),
	KMH_FIELD(kmh_mspan, w),
	KMH_ARRAY(kmh_mspan, cell),
	KMH_FIELD(kmh_slots, remote),
	KMH_NUMBER(KMH_SPAN_UNUSED),
	KMH_NUMBER(KMH_SPAN_FREED),
	KMH_NUMBER(KMH_SPAN_SMALL),
	KMH_NUMBER(KMH_SPAN_TINY),
	KMH_NUMBER(KMH_SPAN_LARGE),
	KMH_NUMBER(KMH_SPAN_MANUAL),
	KMH_NUMBER(KMH_CELL_OUT),
	KMH_NUMBER(KMH_CELL_WAITS),
	KMH_NUMBER(KMH_CELL_SPECIAL),
	KMH_NUMBER(KMH_TINY_GRANULE),

	/* sites and records of profiles */
	KMH_VARIABLE(kmh_sites),
	KMH_VARIABLE(kmh_profile_sites),
	KMH_VARIABLE(kmh_sites_lost),
	KMH_STRUCT(kmh_site),
	KMH_FIELD(kmh_site, hash),
	KMH_FIELD(kmh_site, owner),
	KMH_FIELD(kmh_site, class),
	KMH_FIELD(kmh_site, depth),
	KMH_FIELD(kmh_site, live_objects),
	KMH_FIELD(kmh_site, live_bytes),
	KMH_FIELD(kmh_site, allocs),
	KMH_FIELD(kmh_site, alloc_bytes),
	KMH_ARRAY(kmh_site, ip),
	KMH_FIELD(kmh_site, names),
	KMH_FIELD(kmh_frame_name, next),
	KMH_FIELD(kmh_frame_name, ip),
	KMH_ARRAY(kmh_frame_name, text),
	KMH_NUMBER(KMH_SITE_FRAMES),
	KMH_VARIABLE(kmh_records),
	KMH_VARIABLE(kmh_profile_records),
	KMH_VARIABLE(kmh_records_missed),
	KMH_STRUCT(kmh_record),
	KMH_FIELD(kmh_record, addr),
	KMH_FIELD(kmh_record, site),

	/* modules, this one first */
	KMH_VARIABLE(__this_module),
	KMH_FIELD(module, list),
	KMH_FIELD(module, name),
	KMH_FIELD_AS(module, text, KMH_MODULE_TEXT),
	KMH_FIELD_AS(module, text_bytes, KMH_MODULE_TEXT_BYTES),
#ifdef CONFIG_KALLSYMS
	KMH_FIELD(module, kallsyms),
	KMH_FIELD(mod_kallsyms, symtab),
	KMH_FIELD(mod_kallsyms, num_symtab),
	KMH_FIELD(mod_kallsyms, strtab),
#endif
};

struct kmheap_vmcore kmheap_vmcore = {
	.magic = KMHEAP_VMCORE_MAGIC,
	.version = KMHEAP_VMCORE_VERSION,
	.entry_bytes = sizeof(struct kmheap_vmcore_entry),
	.self = (unsigned long)&kmheap_vmcore,
	.entries = (unsigned long)kmh_vmcore_entries,
	.nentries = ARRAY_SIZE(kmh_vmcore_entries),
};
