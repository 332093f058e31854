// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/kmheap/. Documentation/debugfs.rst has every format.
 *
 * Figures are taken first and formatted afterwards, outside every raw lock. A heap's files
 * are removed, and their readers waited for, before the heap goes.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>

#include "debug/debugfs.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/param.h"
#include "debug/leaks.h"
#include "debug/profile.h"
#include "debug/stats.h"
#include "debug/validate.h"
#include "front/front.h"
#include "heap.h"
#include "pages/arena.h"
#include "span/arenamap.h"
#include "supply/giveback.h"

static struct dentry *kmh_dir;
static struct dentry *kmh_heaps_dir;

/* ---- stats */

struct kmh_figure {
	const char *name;
	size_t offset;		/* in struct kmheap_stats */
};

#define KMH_FIGURE(field)	{ #field, offsetof(struct kmheap_stats, field) }

static const struct kmh_figure kmh_figures[] = {
	KMH_FIGURE(footprint_bytes), KMH_FIGURE(live_bytes), KMH_FIGURE(free_bytes),
	KMH_FIGURE(cached_bytes), KMH_FIGURE(deferred_bytes), KMH_FIGURE(waste_bytes),
	KMH_FIGURE(metadata_bytes), KMH_FIGURE(live_objects), KMH_FIGURE(arenas),
	KMH_FIGURE(spans), KMH_FIGURE(allocs), KMH_FIGURE(frees), KMH_FIGURE(refused_allocs),
	KMH_FIGURE(double_frees), KMH_FIGURE(invalid_frees), KMH_FIGURE(wrong_size_frees),
	KMH_FIGURE(manual_bytes), KMH_FIGURE(deferred_objects),
	KMH_FIGURE(deferred_limit_bytes), KMH_FIGURE(generations), KMH_FIGURE(swept_spans),
	KMH_FIGURE(collections), KMH_FIGURE(marked_objects), KMH_FIGURE(collected_objects),
	KMH_FIGURE(collected_bytes), KMH_FIGURE(specials), KMH_FIGURE(cpu_cache_bytes),
	KMH_FIGURE(central_bytes), KMH_FIGURE(page_heap_bytes), KMH_FIGURE(releasable_bytes),
};

static const struct kmh_figure kmh_reserve_figures[] = {
	KMH_FIGURE(reserve_bytes), KMH_FIGURE(reserve_peak_bytes),
	KMH_FIGURE(reserve_missing_bytes), KMH_FIGURE(reserve_served_task),
	KMH_FIGURE(reserve_served_softirq), KMH_FIGURE(reserve_served_hardirq),
	KMH_FIGURE(reserve_served_nmi), KMH_FIGURE(reserve_refused_task),
	KMH_FIGURE(reserve_refused_softirq), KMH_FIGURE(reserve_refused_hardirq),
	KMH_FIGURE(reserve_refused_nmi),
};

/* All that there are, and limit_bytes, which stands further down. */
static_assert(ARRAY_SIZE(kmh_figures) + ARRAY_SIZE(kmh_reserve_figures) + 1 ==
	      sizeof(struct kmheap_stats) / sizeof(u64));

static void kmh_show_figures(struct seq_file *m, const struct kmheap_stats *st,
			     const struct kmh_figure *figure, unsigned int n)
{
	for (; n; n--, figure++)
		seq_printf(m, "%s %llu\n", figure->name, *(u64 *)((void *)st + figure->offset));
}

static int kmh_stats_show(struct seq_file *m, void *unused)
{
	struct kmheap_stats st;
	unsigned int nheaps, i;
	int err = kmh_global_stats(&st, &nheaps);

	if (err)
		return err;
	kmh_show_figures(m, &st, kmh_figures, ARRAY_SIZE(kmh_figures));
	kmh_show_figures(m, &st, kmh_reserve_figures, ARRAY_SIZE(kmh_reserve_figures));
	seq_printf(m, "heaps %u\n", nheaps);
	seq_printf(m, "shrunk_bytes %ld\n", atomic_long_read(&kmh_shrunk_bytes));
	seq_printf(m, "oom_bytes %ld\n", atomic_long_read(&kmh_oom_bytes));
	seq_printf(m, "suppressed_reports %ld\n", atomic_long_read(&kmh_reports_suppressed));
	seq_printf(m, "limit_bytes %zu\n", READ_ONCE(kmh_total_limit));
	seq_printf(m, "limit_refusals %ld\n", atomic_long_read(&kmh_total_refusals));
	for (i = 0; i < KMH_BLOCK_ORDERS; i++)
		seq_printf(m, "order%u_failures %ld\n", get_order(KMH_BLOCK_MIN_BYTES) + i,
			   atomic_long_read(&kmh_backend_nblocks_failed[i]));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kmh_stats);

static int kmh_heap_stats_show(struct seq_file *m, void *unused)
{
	struct kmheap *heap = m->private;
	struct kmheap_stats st;
	int err = kmheap_stats(heap, &st);

	if (err)
		return err;
	kmh_show_figures(m, &st, kmh_figures, ARRAY_SIZE(kmh_figures));
	seq_printf(m, "expedited_grace_periods %ld\n", atomic_long_read(&heap->defer.expedited));
	kmh_show_figures(m, &st, kmh_reserve_figures, ARRAY_SIZE(kmh_reserve_figures));
	seq_printf(m, "finalized_objects %ld\n", atomic_long_read(&heap->specials.finalized));
	seq_printf(m, "collect_begin_ns %llu\n", READ_ONCE(heap->begin_ns));
	seq_printf(m, "collect_end_ns %llu\n", READ_ONCE(heap->end_ns));
	seq_printf(m, "scavenged_bytes %ld\n", atomic_long_read(&heap->scavenge.bytes));
	seq_printf(m, "scavenged_arenas %ld\n", atomic_long_read(&heap->scavenge.arenas));
	seq_printf(m, "peak_bytes %zu\n", READ_ONCE(heap->scavenge.peak_bytes));
	seq_printf(m, "shrunk_bytes %ld\n", atomic_long_read(&heap->shrink.asked_bytes));
	seq_printf(m, "reclaimed_bytes %ld\n", atomic_long_read(&heap->shrink.reclaimed_bytes));
	seq_printf(m, "leaving_bytes %zu\n", kmh_arenas_leaving_bytes(heap));
	seq_printf(m, "idle_drains %ld\n", atomic_long_read(&heap->idle.drains));
	seq_printf(m, "limit_bytes %llu\n", st.limit_bytes);
	seq_printf(m, "owner %s\n", heap->owner ? module_name(heap->owner) : "none");
	seq_printf(m, "limit_refusals %ld\n", atomic_long_read(&heap->limit.refusals));
	seq_printf(m, "soft_limit_bytes %zu\n", READ_ONCE(heap->limit.soft_bytes));
	seq_printf(m, "soft_limit_events %ld\n", atomic_long_read(&heap->limit.soft_events));
	seq_printf(m, "scavenged_bytes_per_second %zu\n", kmh_scavenge_pace(heap));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kmh_heap_stats);

/* ---- limits */

/* What a write to a KMH_BYTES_FILE() does. */
ssize_t kmh_bytes_file_write(struct file *file, const char __user *user, size_t count,
			     int (*set)(struct kmheap *heap, size_t bytes))
{
	struct seq_file *m = file->private_data;
	char text[32] = "";
	size_t bytes;
	int err;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, user, count))
		return -EFAULT;
	if (strlen(text) != count)
		return -EINVAL;
	err = kmh_bytes_parse(text, &bytes) ?: set(m->private, bytes);
	return err ?: count;
}

/* The limit of the whole module is in a file that belongs to no heap. */
static int kmh_set_hard(struct kmheap *heap, size_t bytes)
{
	return heap ? kmheap_set_limit(heap, bytes) : kmh_limit_set_total(bytes);
}

KMH_BYTES_FILE(hard_limit, *(heap ? &heap->limit_bytes : &kmh_total_limit), kmh_set_hard);
KMH_BYTES_FILE(soft_limit, heap->limit.soft_bytes, kmh_limit_set_soft);

/* ---- classes */

static void kmh_show_class(struct seq_file *m, unsigned int i, const struct kmh_class_stats *c)
{
	const struct kmh_sizeclass *class = &kmh_classes[i];
	u64 tail = kmh_less(c->pages << KMH_PAGE_SHIFT, c->spans * class->nelems * class->size);

	seq_printf(m, "%5u %5u %5u %9llu %9llu %9llu %9llu %9llu ", i, class->size,
		   class->npages, c->spans, c->live, c->free, c->remote, c->deferred);
	seq_printf(m, "%12llu %12llu %9llu %9llu\n", c->allocs,
		   kmh_less(c->allocs, c->live), c->refills, tail);
}

static int kmh_classes_show(struct seq_file *m, void *unused)
{
	struct kmh_heap_walk *w = kmh_heap_walk_new();
	unsigned int i;

	if (!w)
		return -ENOMEM;
	kmh_heap_walk(m->private, w);
	seq_puts(m, "class  size pages     spans      live      free    remote  deferred ");
	seq_puts(m, "      allocs        frees   refills     waste\n");
	for (i = 0; i < KMH_NR_CLASSES; i++)
		kmh_show_class(m, i, &w->class[i]);
	seq_printf(m, "tiny_objects %llu\n", w->tiny_objects);
	seq_printf(m, "large_objects %llu\n", w->large_objects);
	seq_printf(m, "page_runs %llu\n", w->manual_runs);
	kmh_backend_free(w);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kmh_classes);

/* ---- arenas: each is a record of the seq_file, which the mutex pins */

static void *kmh_arenas_start(struct seq_file *m, loff_t *pos)
{
	struct kmheap *heap = m->private;

	mutex_lock(&heap->arenas_mutex);
	return seq_list_start_head(&heap->arenas, *pos);
}

static void *kmh_arenas_next(struct seq_file *m, void *v, loff_t *pos)
{
	struct kmheap *heap = m->private;

	return seq_list_next(v, &heap->arenas, pos);
}

static void kmh_arenas_stop(struct seq_file *m, void *v)
{
	struct kmheap *heap = m->private;

	mutex_unlock(&heap->arenas_mutex);
}

/* What a heap page is used for, in one character. */
static char kmh_page_char(unsigned long page)
{
	const struct kmh_mspan *s = kmh_span_of_page(page);

	switch (s->state) {
	case KMH_SPAN_SMALL:
		return READ_ONCE(s->owner) ? 'C' : 's';
	case KMH_SPAN_TINY:
		return 't';
	case KMH_SPAN_LARGE:
		return 'L';
	case KMH_SPAN_MANUAL:
		return 'M';
	default:
		return '.';
	}
}

#define KMH_MAP_LINE	64

static void kmh_show_page_map(struct seq_file *m, const struct kmh_arena *a)
{
	unsigned long i;
	char c;

	for (i = 0; i < a->npages; i++) {
		if (i % KMH_MAP_LINE == 0)
			seq_puts(m, i ? "\n  " : "  ");
		preempt_disable();
		c = kmh_arena_is_returned(a, i) ? 'r' : kmh_page_char(a->first + i);
		preempt_enable();
		seq_putc(m, c);
	}
	seq_putc(m, '\n');
}

static int kmh_arenas_show_one(struct seq_file *m, void *v)
{
	struct kmheap *heap = m->private;
	struct kmh_arena *a = list_entry(v, struct kmh_arena, list);

	if (v == &heap->arenas) {
		seq_puts(m, "base bytes node pages free_pages dedicated backing\n");
		return 0;
	}
	seq_printf(m, "%pK %zu %d %lu %lu %d %s\n", a->vbase, a->bytes, a->mheap->nid,
		   a->range.npages, READ_ONCE(a->range.nfree), a->dedicated,
		   a->block ? "block" : "area");
	kmh_show_page_map(m, a);
	return 0;
}

static const struct seq_operations kmh_arenas_sops = {
	.start = kmh_arenas_start,
	.next = kmh_arenas_next,
	.stop = kmh_arenas_stop,
	.show = kmh_arenas_show_one,
};
DEFINE_SEQ_ATTRIBUTE(kmh_arenas);

/* ---- spans */

static const char *kmh_home_name(const struct kmh_mspan *s)
{
	static const char * const names[] = {
		[KMH_HOME_CACHED] = "cached",
		[KMH_HOME_PARTIAL] = "partial",
		[KMH_HOME_ANNOUNCED] = "announced",
		[KMH_HOME_FULL] = "full",
		[KMH_HOME_LISTED] = "listed",
	};
	unsigned int home = atomic_read(&s->home);

	if (s->state == KMH_SPAN_LARGE)
		return "large";
	if (s->state == KMH_SPAN_MANUAL)
		return "manual";
	return home < ARRAY_SIZE(names) ? names[home] : "?";
}

/* A snapshot of a span, which is formatted with preemption on. */
struct kmh_span_row {
	unsigned long base;
	u32 npages, nelems;
	struct kmh_span_count count;
	u8 spanclass, noscan;
	const char *home;		/* NULL: no span */
};

static void kmh_span_snapshot(struct kmh_mspan *s, void *ctx)
{
	struct kmh_span_row *row = ctx;

	row->base = s->base;
	row->npages = s->npages;
	row->nelems = s->nelems;
	row->spanclass = s->spanclass;
	row->noscan = s->state == KMH_SPAN_LARGE ? s->noscan : kmh_spanclass_noscan(s->spanclass);
	kmh_mspan_count(s, &row->count);
	row->home = kmh_home_name(s);
}

static int kmh_spans_show_one(struct seq_file *m, void *v)
{
	struct kmheap *heap = m->private;
	struct kmh_arena *a = list_entry(v, struct kmh_arena, list);
	struct kmh_span_row row;
	unsigned long i;

	if (v == &heap->arenas) {
		seq_puts(m, "base pages class data slots live remote deferred home\n");
		return 0;
	}
	for (i = 0; i < a->range.npages; i++) {
		if (i % 256 == 255)
			cond_resched();
		row.home = NULL;
		if (kmh_arena_is_returned(a, i))
			continue;
		kmh_walk_pages(a->range.first + i, a->range.first + i + 1, kmh_span_snapshot, &row);
		if (!row.home)
			continue;
		seq_printf(m, "%pK %u %u %u %u %u %u %u %s\n", (void *)row.base, row.npages,
			   kmh_spanclass_class(row.spanclass), row.noscan, row.nelems,
			   row.count.live, row.count.remote, row.count.deferred, row.home);
	}
	return 0;
}

static const struct seq_operations kmh_spans_sops = {
	.start = kmh_arenas_start,
	.next = kmh_arenas_next,
	.stop = kmh_arenas_stop,
	.show = kmh_spans_show_one,
};
DEFINE_SEQ_ATTRIBUTE(kmh_spans);

/* ---- caches */

/* A row of the file; formatted with no mutex held. */
struct kmh_cache_row {
	char name[KMH_NAME_MAX + 1];
	unsigned int size, align, slot_bytes, flags;
	bool ctor, used;
	u64 live;
};

static void kmh_caches_snapshot(struct kmheap *heap, struct kmh_cache_row *rows)
{
	struct kmh_cache_counts counts = {};
	const struct kmheap_cache *cache;
	unsigned int i;

	mutex_lock(&heap->caches.mutex);
	kmh_caches_count(heap, &counts);
	for (i = 1; i <= KMH_CACHES; i++) {
		cache = heap->caches.cache[i];
		if (!cache)
			continue;
		rows[i] = (struct kmh_cache_row){
			.size = cache->size, .align = cache->align, .flags = cache->flags,
			.slot_bytes = kmh_spanclass_size[cache->spanclass],
			.ctor = cache->ctor, .used = true, .live = counts.live[i],
		};
		strscpy(rows[i].name, cache->name, sizeof(rows[i].name));
	}
	mutex_unlock(&heap->caches.mutex);
}

static void kmh_show_cache(struct seq_file *m, const struct kmh_cache_row *row)
{
	seq_printf(m, "%5u %5u %5u %9llu %s%s%s%s %s\n", row->size, row->align, row->slot_bytes,
		   row->live, row->flags & KMHEAP_CACHE_HWCACHE_ALIGN ? "h" : "",
		   row->flags & KMHEAP_CACHE_TYPESAFE_BY_RCU ? "t" : "", row->ctor ? "c" : "",
		   row->flags || row->ctor ? "" : "-", row->name);
}

static int kmh_caches_show(struct seq_file *m, void *unused)
{
	size_t bytes = (1 + KMH_CACHES) * sizeof(struct kmh_cache_row);
	struct kmh_cache_row *rows = kmh_backend_zalloc(bytes, GFP_KERNEL, NUMA_NO_NODE);
	unsigned int i;

	if (!rows)
		return -ENOMEM;
	kmh_caches_snapshot(m->private, rows);
	seq_puts(m, " size align  slot      live flags name\n");
	for (i = 1; i <= KMH_CACHES; i++)
		if (rows[i].used)
			kmh_show_cache(m, &rows[i]);
	kmh_backend_free(rows);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kmh_caches);

/* ---- validate */

static __printf(2, 3) void kmh_finding_to_seq(void *ctx, const char *fmt, ...)
{
	struct seq_file *m = ctx;
	va_list args;

	va_start(args, fmt);
	seq_vprintf(m, fmt, args);
	va_end(args);
	seq_putc(m, '\n');
}

static int kmh_validate_show(struct seq_file *m, void *unused)
{
	if (!kmh_validate_all(kmh_finding_to_seq, m))
		seq_puts(m, "ok\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kmh_validate);

/* ---- abi */

/* The version of all formats: it changes when a line or a column goes or has another meaning. */
static int kmh_abi_show(struct seq_file *m, void *unused)
{
	seq_puts(m, "1\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(kmh_abi);

/* ---- fail_nth */

static int kmh_fail_nth_get(void *data, u64 *val)
{
	*val = atomic_long_read(&kmh_fail_nth);
	return 0;
}

static int kmh_fail_nth_set(void *data, u64 val)
{
	if (val > LONG_MAX)
		return -EINVAL;
	atomic_long_set(&kmh_fail_nth, val);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(kmh_fail_nth_fops, kmh_fail_nth_get, kmh_fail_nth_set, "%llu\n");

/* ---- shrink */

static int kmh_shrink_get(void *data, u64 *val)
{
	struct kmheap *heap = data;

	*val = atomic_long_read(heap ? &heap->shrink.asked_bytes : &kmh_shrunk_bytes);
	return 0;
}

/* Writing 1 shrinks; other values are refused. */
static int kmh_shrink_set(void *data, u64 val)
{
	struct kmheap *heap = data;

	if (val != 1)
		return -EINVAL;
	if (heap)
		kmheap_shrink(heap);
	else
		kmh_shrink_all();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(kmh_shrink_fops, kmh_shrink_get, kmh_shrink_set, "%llu\n");

/* ---- files come and go */

void kmh_debugfs_add_heap(struct kmheap *heap)
{
	heap->dir = debugfs_create_dir(heap->name, kmh_heaps_dir);
	debugfs_create_file("stats", 0444, heap->dir, heap, &kmh_heap_stats_fops);
	debugfs_create_file("classes", 0444, heap->dir, heap, &kmh_classes_fops);
	debugfs_create_file("arenas", 0444, heap->dir, heap, &kmh_arenas_fops);
	debugfs_create_file("spans", 0444, heap->dir, heap, &kmh_spans_fops);
	debugfs_create_file("caches", 0444, heap->dir, heap, &kmh_caches_fops);
	debugfs_create_file_unsafe("shrink", 0600, heap->dir, heap, &kmh_shrink_fops);
	debugfs_create_file("limit_bytes", 0644, heap->dir, heap, &kmh_hard_limit_fops);
	debugfs_create_file("soft_limit_bytes", 0644, heap->dir, heap, &kmh_soft_limit_fops);
	kmh_profile_add_files(heap, heap->dir);
}

/* When this returns the files have no readers any more. */
void kmh_debugfs_remove_heap(struct kmheap *heap)
{
	debugfs_remove(heap->dir);
}

void kmh_debugfs_init(void)
{
	kmh_dir = debugfs_create_dir("kmheap", NULL);
	kmh_heaps_dir = debugfs_create_dir("heaps", kmh_dir);
	kmh_leaks_init(kmh_dir);
	debugfs_create_file("abi", 0444, kmh_dir, NULL, &kmh_abi_fops);
	debugfs_create_file("stats", 0444, kmh_dir, NULL, &kmh_stats_fops);
	debugfs_create_file("limit_bytes", 0644, kmh_dir, NULL, &kmh_hard_limit_fops);
	debugfs_create_file("validate", 0400, kmh_dir, NULL, &kmh_validate_fops);
	debugfs_create_file_unsafe("shrink", 0600, kmh_dir, NULL, &kmh_shrink_fops);
	debugfs_create_file_unsafe("fail_nth", 0600, kmh_dir, NULL, &kmh_fail_nth_fops);
}

void kmh_debugfs_exit(void)
{
	kmh_leaks_forget();
	debugfs_remove(kmh_dir);
}
