// SPDX-License-Identifier: GPL-2.0
/* The files of a heap's profile in debugfs. Documentation/profile.rst has every format. */
#include <linux/capability.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "debug/profile.h"
#include "base/backend.h"
#include "cpu/watch.h"
#include "debug/debugfs.h"
#include "heap.h"
#include "insight/record.h"

/* What a reader of one of the files has: a snapshot as of when the file was opened. */
struct kmh_profile_reader {
	struct kmheap *heap;
	struct kmh_profile_snapshot *snap;
};

/* The lines before the names of the columns. */
void kmh_profile_show_head(struct seq_file *m, const struct kmheap *heap,
			   const struct kmh_profile_snapshot *snap)
{
	static const char * const kinds[] = {
		[KMH_PROFILE_INUSE] = "inuse",
		[KMH_PROFILE_SINCE] = "since",
		[KMH_PROFILE_FAILED] = "failed",
		[KMH_PROFILE_PINS] = "pins",
		[KMH_PROFILE_PEAK] = "peak",
		[KMH_PROFILE_LEFT] = "leaks",
	};
	unsigned long samples = 0;
	unsigned int i;

	for (i = 0; i < snap->n; i++)
		samples += snap->row[i].allocs;
	seq_puts(m, "kmheap profile 1\n");
	seq_printf(m, "kind %s\n", kinds[snap->kind]);
	seq_printf(m, "heap %s\n", heap->name);
	seq_printf(m, "owner %s\n", heap->owner ? module_name(heap->owner) : "none");
	seq_printf(m, "period_bytes %zu\n", snap->period);
	seq_printf(m, "time_ns %llu\n", snap->time_ns);
	seq_printf(m, "since_ns %llu\n", snap->since_ns);
	seq_printf(m, "samples %lu\n", samples);
	seq_printf(m, "lost %ld\n", atomic_long_read(&kmh_sites_lost));
	seq_printf(m, "missed %ld\n", atomic_long_read(&kmh_records_missed));
	if (snap->has_before)
		seq_printf(m, "before_objects %lu\n", snap->before_objects);
}

static int kmh_profile_show(struct seq_file *m, void *unused)
{
	const struct kmh_profile_reader *reader = m->private;
	const struct kmh_profile_snapshot *snap = reader->snap;
	const struct kmh_profile_row *row;

	kmh_profile_show_head(m, reader->heap, snap);
	seq_puts(m, "columns site live_objects live_bytes allocs alloc_bytes\n");
	for (row = snap->row; row < snap->row + snap->n && !seq_has_overflowed(m); row++) {
		if (!(snap->kind == KMH_PROFILE_INUSE ? row->allocs : row->live_objects))
			continue;
		seq_printf(m, "site %u %lu %lu %lu %lu\n", row->number, row->live_objects,
			   row->live_bytes, row->allocs, row->alloc_bytes);
		kmh_row_show_stack(m, row);
		cond_resched();
	}
	return 0;
}

/* Lives of sampled objects that have been freed, by site. */
static int kmh_lifetimes_show(struct seq_file *m, void *unused)
{
	const struct kmh_profile_reader *reader = m->private;
	const struct kmh_profile_snapshot *snap = reader->snap;
	const struct kmh_profile_row *row;
	unsigned int i;

	kmh_profile_show_head(m, reader->heap, snap);
	seq_puts(m, "columns site under_4ms under_16ms under_67ms under_268ms under_1s under_4s");
	seq_puts(m, " under_17s under_69s under_5min under_18min under_73min longer\n");
	for (row = snap->row; row < snap->row + snap->n && !seq_has_overflowed(m); row++) {
		seq_printf(m, "site %u", row->number);
		for (i = 0; i < KMH_SITE_LIVES; i++)
			seq_printf(m, " %u", row->lives[i]);
		seq_putc(m, '\n');
		kmh_row_show_stack(m, row);
		cond_resched();
	}
	return 0;
}

/* Allocations that were made to fail, by site. */
static int kmh_failed_show(struct seq_file *m, void *unused)
{
	const struct kmh_profile_reader *reader = m->private;
	const struct kmh_profile_snapshot *snap = reader->snap;
	const struct kmh_profile_row *row;

	kmh_profile_show_head(m, reader->heap, snap);
	seq_puts(m, "columns site failed\n");
	for (row = snap->row; row < snap->row + snap->n && !seq_has_overflowed(m); row++) {
		if (!row->failed)
			continue;
		seq_printf(m, "site %u %lu\n", row->number, row->failed);
		kmh_row_show_stack(m, row);
		cond_resched();
	}
	return 0;
}

/* What live objects hold back of spans and arenas that are hardly used, by site. */
static int kmh_pins_show(struct seq_file *m, void *unused)
{
	const struct kmh_profile_reader *reader = m->private;
	const struct kmh_profile_snapshot *snap = reader->snap;
	const struct kmh_profile_row *row;

	kmh_profile_show_head(m, reader->heap, snap);
	seq_puts(m, "columns site live_objects live_bytes span_bytes arena_bytes\n");
	for (row = snap->row; row < snap->row + snap->n && !seq_has_overflowed(m); row++) {
		if (!row->live_objects)
			continue;
		seq_printf(m, "site %u %lu %lu %lu %lu\n", row->number, row->live_objects,
			   row->live_bytes, row->span_bytes, row->arena_bytes);
		kmh_row_show_stack(m, row);
		cond_resched();
	}
	return 0;
}

/* Bytes of a line of text, about, so that the buffer need not grow. */
#define KMH_PROFILE_LINE	80UL

/* Addresses of the kernel are for those who may see them. */
static int kmh_profile_open_kind(struct inode *inode, struct file *file,
				 enum kmh_profile_kind kind,
				 int (*show)(struct seq_file *m, void *unused))
{
	struct kmh_profile_reader *reader;
	unsigned long lines = 16;
	unsigned int i;
	int err;

	if (!file_ns_capable(file, &init_user_ns, CAP_SYSLOG))
		return -EPERM;
	reader = kmh_backend_zalloc(sizeof(*reader), GFP_KERNEL, NUMA_NO_NODE);
	if (!reader)
		return -ENOMEM;
	reader->heap = inode->i_private;
	reader->snap = kmh_profile_take(reader->heap, kind);
	err = reader->snap ? 0 : -ENOMEM;
	if (!err && kind == KMH_PROFILE_INUSE)
		kmh_profile_count_before(reader->heap, reader->snap);
	for (i = 0; !err && i < reader->snap->n; i++)
		lines += 1 + reader->snap->row[i].depth;
	if (!err)
		err = single_open_size(file, show, reader, lines * KMH_PROFILE_LINE);
	if (!err)
		return 0;
	kmh_backend_free(reader->snap);
	kmh_backend_free(reader);
	return err;
}

static int kmh_profile_release(struct inode *inode, struct file *file)
{
	struct seq_file *m = file->private_data;
	struct kmh_profile_reader *reader = m->private;

	kmh_backend_free(reader->snap);
	kmh_backend_free(reader);
	return single_release(inode, file);
}

#define KMH_PROFILE_FILE(name, kind, show)						\
static int kmh_##name##_open(struct inode *inode, struct file *file)			\
{											\
	return kmh_profile_open_kind(inode, file, kind, show);				\
}											\
											\
static const struct file_operations kmh_##name##_fops = {				\
	.owner = THIS_MODULE,								\
	.open = kmh_##name##_open,							\
	.read = seq_read,								\
	.llseek = seq_lseek,								\
	.release = kmh_profile_release,							\
}

KMH_PROFILE_FILE(profile, KMH_PROFILE_INUSE, kmh_profile_show);
KMH_PROFILE_FILE(profile_since, KMH_PROFILE_SINCE, kmh_profile_show);
KMH_PROFILE_FILE(lifetimes, KMH_PROFILE_INUSE, kmh_lifetimes_show);
KMH_PROFILE_FILE(failed, KMH_PROFILE_FAILED, kmh_failed_show);
KMH_PROFILE_FILE(pins, KMH_PROFILE_PINS, kmh_pins_show);
KMH_PROFILE_FILE(profile_peak, KMH_PROFILE_PEAK, kmh_profile_show);

static int kmh_mark_get(void *data, u64 *val)
{
	struct kmheap *heap = data;

	*val = READ_ONCE(heap->profile.mark_ns);
	return 0;
}

/* Writing 1 sets the mark; other values are refused. */
static int kmh_mark_set(void *data, u64 val)
{
	if (val != 1)
		return -EINVAL;
	kmh_watch_mark(data);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(kmh_mark_fops, kmh_mark_get, kmh_mark_set, "%llu\n");

static int kmh_heap_fail_nth_get(void *data, u64 *val)
{
	struct kmheap *heap = data;

	*val = atomic_long_read(&heap->profile.fail_nth);
	return 0;
}

static int kmh_heap_fail_nth_set(void *data, u64 val)
{
	return kmh_watch_set_fail(data, val);
}
DEFINE_DEBUGFS_ATTRIBUTE(kmh_heap_fail_nth_fops, kmh_heap_fail_nth_get, kmh_heap_fail_nth_set,
			 "%llu\n");

static int kmh_fail_interval_get(void *data, u64 *val)
{
	struct kmheap *heap = data;

	*val = READ_ONCE(heap->profile.fail_interval);
	return 0;
}

static int kmh_fail_interval_set(void *data, u64 val)
{
	struct kmheap *heap = data;

	if (val > LONG_MAX)
		return -EINVAL;
	WRITE_ONCE(heap->profile.fail_interval, val);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(kmh_fail_interval_fops, kmh_fail_interval_get, kmh_fail_interval_set,
			 "%llu\n");

static int kmh_fail_gfp_show(struct seq_file *m, void *unused)
{
	struct kmheap *heap = m->private;

	seq_printf(m, "%s\n", kmh_fail_gfp_names[READ_ONCE(heap->profile.fail_gfp)]);
	return 0;
}

static ssize_t kmh_fail_gfp_write(struct file *file, const char __user *user, size_t count,
				  loff_t *pos)
{
	struct kmheap *heap = file_inode(file)->i_private;
	char word[16];
	int which;

	if (count >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, user, count))
		return -EFAULT;
	word[count] = '\0';
	which = sysfs_match_string(kmh_fail_gfp_names, word);
	if (which < 0)
		return which;
	WRITE_ONCE(heap->profile.fail_gfp, which);
	return count;
}

static int kmh_fail_gfp_open(struct inode *inode, struct file *file)
{
	return single_open(file, kmh_fail_gfp_show, inode->i_private);
}

static const struct file_operations kmh_fail_gfp_fops = {
	.owner = THIS_MODULE,
	.open = kmh_fail_gfp_open,
	.read = seq_read,
	.write = kmh_fail_gfp_write,
	.llseek = seq_lseek,
	.release = single_release,
};

KMH_BYTES_FILE(profile_period, heap->profile.period, kmh_watch_set_period);

void kmh_profile_add_files(struct kmheap *heap, struct dentry *dir)
{
	debugfs_create_file("profile_period_bytes", 0644, dir, heap, &kmh_profile_period_fops);
	debugfs_create_file("profile", 0400, dir, heap, &kmh_profile_fops);
	debugfs_create_file("profile_since", 0400, dir, heap, &kmh_profile_since_fops);
	debugfs_create_file("lifetimes", 0400, dir, heap, &kmh_lifetimes_fops);
	debugfs_create_file("profile_peak", 0400, dir, heap, &kmh_profile_peak_fops);
	debugfs_create_file("pins", 0400, dir, heap, &kmh_pins_fops);
	debugfs_create_file_unsafe("mark", 0600, dir, heap, &kmh_mark_fops);
	debugfs_create_file_unsafe("fail_nth", 0600, dir, heap, &kmh_heap_fail_nth_fops);
	debugfs_create_file_unsafe("fail_interval", 0600, dir, heap, &kmh_fail_interval_fops);
	debugfs_create_file("fail_gfp", 0600, dir, heap, &kmh_fail_gfp_fops);
	debugfs_create_file("failed", 0400, dir, heap, &kmh_failed_fops);
}
