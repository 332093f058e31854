// SPDX-License-Identifier: GPL-2.0
/*
 * What there is of a module's allocations, added up when somebody asks.
 *
 * Allocators allocate for themselves: a slab of pages for kmalloc(), an area's descriptor for
 * vmalloc(), a page of pointers for kfree_rcu(). Such events have the module on their stack as
 * well, but these objects are not the module's, and may outlive it by far. The functions between
 * the event and the module tell, by name; so only who looks pays for that.
 */
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "advisor.h"
#include "base/sizeclass.h"
#include "insight/record.h"

/* What begins so allocates slabs, or is in the middle of it. */
static const char * const kma_slab_functions[] = {
	"___slab_alloc", "__slab_alloc", "new_slab", "allocate_slab", "kmem_cache_alloc",
	"__kmem_cache_alloc", "__kmalloc", "___kmalloc", "kmalloc_large", "kmalloc_trace",
	"kmalloc_node_trace", "__pcs_", "refill_sheaf", "alloc_from_pcs",
};

static const char * const kma_vmalloc_functions[] = {
	"__vmalloc_node_range", "__vmalloc_area",
};

/* Parts of the kernel's address space, and what they and frees need: not memory of the module's. */
static const char * const kma_inside_functions[] = {
	"alloc_vmap_area", "__get_vm_area", "pcpu_", "vmap", "__vmap", "vm_map_ram", "__pte_alloc",
	"pte_alloc", "__pmd_alloc", "__pud_alloc", "__p4d_alloc", "depot_", "__stack_depot",
	"stack_depot", "kvfree_call_rcu",
};

#define KMA_SLAB	1U
#define KMA_VMA		2U
#define KMA_INNER	4U

static bool kma_begins_with_one_of(const char *name, const char * const *list, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (str_has_prefix(name, list[i]))
			return true;
	return false;
}

/* Which kinds of functions are between the allocation and the first module on its stack? */
static unsigned int kma_row_path(const struct kmh_profile_row *row)
{
	char name[KSYM_SYMBOL_LEN];
	unsigned int i, path = 0;

	for (i = 0; i < row->depth; i++) {
		if (kmh_frame_name(row->names, row->ip[i]))
			break;
		snprintf(name, sizeof(name), "%ps", (void *)row->ip[i]);
		if (strchr(name, '['))
			break;
		if (kma_begins_with_one_of(name, kma_slab_functions,
					   ARRAY_SIZE(kma_slab_functions)))
			path |= KMA_SLAB;
		if (kma_begins_with_one_of(name, kma_vmalloc_functions,
					   ARRAY_SIZE(kma_vmalloc_functions)))
			path |= KMA_VMA;
		if (kma_begins_with_one_of(name, kma_inside_functions,
					   ARRAY_SIZE(kma_inside_functions)))
			path |= KMA_INNER;
	}
	return path;
}

/*
 * What the objects of a row are to its module. The pages of an area are no objects of their own.
 * Context: process context.
 */
enum kma_kind kma_row_kind(const struct kmh_profile_row *row)
{
	enum kma_kind kind = kma_class_kind(row->class);
	unsigned int path = kma_row_path(row);

	switch (kind) {
	case KMA_PAGES:
		return path & (KMA_SLAB | KMA_INNER | KMA_VMA) ? KMA_INSIDE : KMA_PAGES;
	case KMA_VMALLOC:
		return path & KMA_VMA ? KMA_VMALLOC : KMA_INSIDE;
	case KMA_PERCPU:
		return KMA_PERCPU;
	default:
		return path & (KMA_VMA | KMA_INNER | KMA_SLAB) ? KMA_INSIDE : kind;
	}
}

/* Is what is live of this kind when the module is gone a leak, as far as one can tell? */
bool kma_kind_may_leak(enum kma_kind kind)
{
	return kind != KMA_INSIDE;
}

/* The bytes that the kernel takes for @objects of a row, for which @asked bytes were asked. */
size_t kma_row_given(const struct kmh_profile_row *row, unsigned long objects, size_t asked)
{
	size_t given = kma_class_given(row->class);

	return given ? objects * given : asked;
}

/* The bytes of an object of one of kmheap's classes; of a large one a heap page, its unit. */
size_t kma_size_of_class(unsigned int class)
{
	return class < KMH_NR_CLASSES ? kmh_spanclass_size[kmh_spanclass(class, false)] :
					KMH_PAGE_SIZE;
}

static_assert(KMH_NR_CLASSES + 1 == KMA_NR_SIZES);

/* ---- the view */

struct kma_count {
	struct kma_view *view;
	u8 *kind;		/* of each row */
	u32 now;		/* in units of a record */
};

static void kma_sum_add(struct kma_sum *sum, size_t asked, size_t given, size_t kmheap)
{
	sum->live_objects++;
	sum->asked_bytes += asked;
	sum->given_bytes += given;
	sum->kmheap_bytes += kmheap;
}

/* Objects of slab become objects of a size class, or pages; all else would stay what it is. */
static void kma_count_record(const struct kmh_record *r, void *ctx)
{
	struct kma_count *count = ctx;
	struct kma_view *view = count->view;
	struct kmh_profile_row *row = kmh_row_of(view->row, view->n, r->site);
	size_t given, kmheap = r->bytes;
	unsigned int class;
	enum kma_kind kind;

	if (!row)
		return;
	kmh_row_age(row, r, count->now);
	kind = count->kind[row - view->row];
	given = kma_row_given(row, 1, r->bytes);
	if (kind == KMA_KMALLOC || kind == KMA_CACHE) {
		class = r->bytes <= KMH_CLASS_MAX_BYTES ? kmh_size_to_class(r->bytes) :
							  KMH_NR_CLASSES;
		kmheap = round_up(r->bytes, kma_size_of_class(class));
		if (class < KMH_NR_CLASSES)
			kmheap = kma_size_of_class(class);
		kma_sum_add(&view->size[class], r->bytes, given, kmheap);
	}
	kma_sum_add(&view->sum[kind], r->bytes, given, kmheap);
}

/*
 * A view of @watch's load. Context: process context, under kma_mutex; sleeps. Return: for kvfree();
 * NULL when there is no memory.
 */
struct kma_view *kma_view_take(const struct kma_watch *watch)
{
	unsigned int most = kmh_rows_most(watch), i;
	struct kma_count count;

	count.view = kvzalloc(struct_size(count.view, row, most), GFP_KERNEL);
	count.kind = kvzalloc(most, GFP_KERNEL);
	if (!count.view || !count.kind) {
		kvfree(count.view);
		kvfree(count.kind);
		return NULL;
	}
	count.view->n = kmh_rows_take(watch, count.view->row, most);
	for (i = 0; i < count.view->n; i++) {
		struct kmh_profile_row *row = &count.view->row[i];
		struct kma_sum *sum;

		cond_resched();	/* names are looked up */
		count.kind[i] = kma_row_kind(row);
		sum = &count.view->sum[count.kind[i]];
		sum->allocs += row->allocs;
		sum->failed += row->failed;
	}
	count.now = kmh_record_now();
	kmh_records_walk(kma_count_record, &count);
	kvfree(count.kind);
	count.view->n = kmh_rows_merge(count.view->row, count.view->n);
	return count.view;
}
