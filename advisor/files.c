// SPDX-License-Identifier: GPL-2.0
/* The files in debugfs; Documentation/advisor.rst has their formats. */
#include <linux/capability.h>
#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "advisor.h"
#include "insight/record.h"

/* Orders of pages that a kernel may be asked for. */
#define KMA_NR_ORDERS	16U

/* Most files are shorter; those that are not are made again. */
#define KMA_FILE_BYTES	(64UL << 10)

static const char * const kma_kind_names[] = {
	[KMA_KMALLOC] = "kmalloc",
	[KMA_CACHE] = "cache",
	[KMA_PAGES] = "pages",
	[KMA_VMALLOC] = "vmalloc",
	[KMA_PERCPU] = "percpu",
	[KMA_INSIDE] = "inside",
};

static struct dentry *kma_dir;

/* ---- stats */

static void kma_show_state(struct seq_file *m, const struct kma_watch *watch)
{
	static const char * const names[] = {
		[KMA_ABSENT] = "absent",
		[KMA_COMING] = "coming",
		[KMA_LIVE] = "live",
		[KMA_GONE] = "gone",
	};

	seq_printf(m, "module %s\n", watch->name);
	seq_printf(m, "state %s\n", names[watch->state]);
	seq_printf(m, "late %d\n", watch->late);
	seq_printf(m, "loads %u\n", watch->loads);
	seq_printf(m, "unloads %u\n", watch->unloads);
	seq_printf(m, "time_ns %llu\n", ktime_get_real_ns());
	seq_printf(m, "since_ns %llu\n", watch->since_ns);
}

static void kma_show_sum(struct seq_file *m, const char *name, const struct kma_sum *sum)
{
	seq_printf(m, "%s_allocs %lu\n", name, sum->allocs);
	seq_printf(m, "%s_failed %lu\n", name, sum->failed);
	seq_printf(m, "%s_live_objects %lu\n", name, sum->live_objects);
	seq_printf(m, "%s_asked_bytes %zu\n", name, sum->asked_bytes);
	seq_printf(m, "%s_given_bytes %zu\n", name, sum->given_bytes);
	seq_printf(m, "%s_kmheap_bytes %zu\n", name, sum->kmheap_bytes);
}

/* What this kernel does not tell. */
static void kma_show_unseen(struct seq_file *m)
{
	static const char * const names[] = {
		"kmalloc", "kfree", "kmem_cache_alloc", "kmem_cache_free", "mm_page_alloc",
		"mm_page_free", "alloc_vmap_area", "free_vmap_area_noflush", "percpu_alloc_percpu",
		"percpu_alloc_percpu_fail", "percpu_free_percpu", "kvfree_call_rcu",
		"kmem_cache_free_bulk",
	};
	bool any = false;
	unsigned int i;

	seq_puts(m, "unseen");
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (kma_event_seen(names[i]))
			continue;
		seq_printf(m, " %s", names[i]);
		any = true;
	}
	seq_puts(m, any ? "\n" : " nothing\n");
}

static void kma_show_stats(struct seq_file *m, struct kma_watch *watch,
			   const struct kma_view *view)
{
	enum kma_kind kind;

	seq_puts(m, "kmheap_advisor_stats 1\n");
	kma_show_state(m, watch);
	for (kind = 0; kind < ARRAY_SIZE(kma_kind_names); kind++)
		kma_show_sum(m, kma_kind_names[kind], &view->sum[kind]);
	seq_printf(m, "frees %ld\n", atomic_long_read(&watch->freed[KMA_FREED]));
	seq_printf(m, "frees_rcu %ld\n", atomic_long_read(&watch->freed[KMA_BY_RCU]));
	seq_printf(m, "frees_bulk %ld\n", atomic_long_read(&watch->freed[KMA_IN_BULK]));
	seq_printf(m, "frees_unseen %ld\n", atomic_long_read(&watch->freed[KMA_UNSEEN]));
	seq_printf(m, "lost %ld\n", atomic_long_read(&kmh_sites_lost));
	seq_printf(m, "missed %ld\n", atomic_long_read(&kmh_records_missed));
	seq_printf(m, "unheard %lu\n", kma_events_missed());
	seq_printf(m, "nested %ld\n", atomic_long_read(&kma_nested));
	kma_show_unseen(m);
}

/* ---- profile, leaks */

static void kma_show_profile_head(struct seq_file *m, const char *kind,
				  const struct kma_watch *watch, const struct kma_view *view)
{
	unsigned long samples = 0;
	unsigned int i;

	for (i = 0; i < view->n; i++)
		samples += view->row[i].allocs;
	seq_printf(m, "kmheap profile 1\nkind %s\n", kind);
	seq_printf(m, "heap %s\nowner %s\n", watch->name, watch->name);
	seq_puts(m, "period_bytes 1\n");
	seq_printf(m, "time_ns %llu\n", ktime_get_real_ns());
	seq_printf(m, "since_ns %llu\n", watch->since_ns);
	seq_printf(m, "samples %lu\n", samples);
	seq_printf(m, "lost %ld\n", atomic_long_read(&kmh_sites_lost));
	seq_printf(m, "missed %ld\n", atomic_long_read(&kmh_records_missed));
	seq_puts(m, "columns site live_objects live_bytes allocs alloc_bytes");
	seq_puts(m, " asked_bytes failed allocator youngest_ms oldest_ms frees_unseen\n");
}

static void kma_show_row(struct seq_file *m, const struct kmh_profile_row *row, enum kma_kind kind)
{
	seq_printf(m, "site %u %lu %zu %lu %zu %lu %lu %u %llu %llu %lu\n", row->number,
		   row->live_objects, kma_row_given(row, row->live_objects, row->live_bytes),
		   row->allocs, kma_row_given(row, row->allocs, row->alloc_bytes), row->live_bytes,
		   row->failed, kind + 1, kmh_record_ms(row->youngest), kmh_record_ms(row->oldest),
		   row->unseen);
	kmh_row_show_stack(m, row);
}

static void kma_show_profile(struct seq_file *m, struct kma_watch *watch,
			     const struct kma_view *view)
{
	const struct kmh_profile_row *row;
	enum kma_kind kind;

	kma_show_profile_head(m, "advice", watch, view);
	for (row = view->row; row < view->row + view->n && !seq_has_overflowed(m); row++) {
		kind = kma_row_kind(row);
		if (kind != KMA_INSIDE)
			kma_show_row(m, row, kind);
		cond_resched();
	}
}

/* What is still there of a module that is not. */
static void kma_show_leaks(struct seq_file *m, struct kma_watch *watch,
			   const struct kma_view *view)
{
	const struct kmh_profile_row *row;
	enum kma_kind kind;

	kma_show_profile_head(m, "leaks", watch, view);
	if (watch->state != KMA_GONE)
		return;
	for (row = view->row; row < view->row + view->n && !seq_has_overflowed(m); row++) {
		kind = kma_row_kind(row);
		if (row->live_objects && kma_kind_may_leak(kind))
			kma_show_row(m, row, kind);
		cond_resched();
	}
}

/* ---- orders, savings */

struct kma_order {
	unsigned long allocs, failed, live;
};

static void kma_show_orders(struct seq_file *m, struct kma_watch *watch,
			    const struct kma_view *view)
{
	struct kma_order of[KMA_NR_ORDERS][2] = {}, *o;
	const struct kmh_profile_row *row;
	enum kma_kind kind;
	unsigned int i, order;

	for (row = view->row; row < view->row + view->n; row++) {
		cond_resched();	/* names are looked up */
		kind = kma_row_kind(row);
		order = get_order(kma_class_given(row->class) ?: 1);
		if ((kind != KMA_KMALLOC && kind != KMA_PAGES) || order >= KMA_NR_ORDERS)
			continue;
		o = &of[order][kind == KMA_PAGES];
		o->allocs += row->allocs;
		o->failed += row->failed;
		o->live += row->live_objects;
	}
	seq_printf(m, "kmheap_advisor_orders 1\nmodule %s\n", watch->name);
	seq_puts(m, "columns order bytes kmalloc_allocs kmalloc_failed kmalloc_live");
	seq_puts(m, " pages_allocs pages_failed pages_live\n");
	for (i = 1; i < KMA_NR_ORDERS; i++) {
		o = of[i];
		if (o[0].allocs + o[0].failed + o[1].allocs + o[1].failed)
			seq_printf(m, "order %u %lu %lu %lu %lu %lu %lu %lu\n", i, PAGE_SIZE << i,
				   o[0].allocs, o[0].failed, o[0].live, o[1].allocs, o[1].failed,
				   o[1].live);
	}
}

static void kma_show_savings(struct seq_file *m, struct kma_watch *watch,
			     const struct kma_view *view)
{
	const struct kma_sum *sum;
	unsigned int i;

	seq_printf(m, "kmheap_advisor_savings 1\nmodule %s\n", watch->name);
	seq_puts(m, "columns class size live_objects asked_bytes given_bytes kmheap_bytes\n");
	for (i = 0; i < KMA_NR_SIZES; i++) {
		sum = &view->size[i];
		if (sum->live_objects)
			seq_printf(m, "class %u %zu %lu %zu %zu %zu\n", i, kma_size_of_class(i),
				   sum->live_objects, sum->asked_bytes, sum->given_bytes,
				   sum->kmheap_bytes);
	}
}

/* ---- the files themselves */

static int kma_show(struct seq_file *m,
		    void (*show)(struct seq_file *m, struct kma_watch *watch,
				 const struct kma_view *view))
{
	struct kma_watch *watch = m->private;
	struct kma_view *view;

	mutex_lock(&kma_mutex);
	view = kma_view_take(watch);
	if (view)
		show(m, watch, view);
	mutex_unlock(&kma_mutex);
	kvfree(view);
	return view ? 0 : -ENOMEM;
}

/* Addresses of the kernel are for those who may see them. */
#define KMA_FILE(name)									\
static int kma_##name##_show(struct seq_file *m, void *unused)				\
{											\
	return kma_show(m, kma_show_##name);						\
}											\
											\
static int kma_##name##_open(struct inode *inode, struct file *file)			\
{											\
	if (!file_ns_capable(file, &init_user_ns, CAP_SYSLOG))				\
		return -EPERM;								\
	return single_open_size(file, kma_##name##_show, inode->i_private,		\
				KMA_FILE_BYTES);					\
}											\
											\
static const struct file_operations kma_##name##_fops = {				\
	.owner = THIS_MODULE,								\
	.open = kma_##name##_open,							\
	.read = seq_read,								\
	.llseek = seq_lseek,								\
	.release = single_release,							\
}

KMA_FILE(stats);
KMA_FILE(profile);
KMA_FILE(orders);
KMA_FILE(leaks);
KMA_FILE(savings);

void kma_files_add(void)
{
	struct kma_watch *watch;
	struct dentry *dir;

	kma_dir = debugfs_create_dir("kmheap_advisor", NULL);
	for (watch = kma_watches; watch < kma_watches + kma_nwatches; watch++) {
		dir = debugfs_create_dir(watch->name, kma_dir);
		debugfs_create_file("stats", 0400, dir, watch, &kma_stats_fops);
		debugfs_create_file("profile", 0400, dir, watch, &kma_profile_fops);
		debugfs_create_file("orders", 0400, dir, watch, &kma_orders_fops);
		debugfs_create_file("leaks", 0400, dir, watch, &kma_leaks_fops);
		debugfs_create_file("savings", 0400, dir, watch, &kma_savings_fops);
	}
}

void kma_files_remove(void)
{
	debugfs_remove(kma_dir);
}
