// SPDX-License-Identifier: GPL-2.0
/*
 * Leak reports: what was live when heaps ended. The log has the sites with most bytes; here all of
 * it is kept, as text, because the names of the client's functions go with the client. The last
 * reports stay until kmheap is unloaded. Documentation/profile.rst has the format.
 *
 * The first bytes of some objects are in it as well, which are the client's data: so they are for
 * those who may read the kernel's memory anyway, and for nobody when the kernel is locked down for
 * confidentiality, as it may be since the report was made. They are not in the log, which travels.
 */
#define pr_fmt(fmt) "kmheap: " fmt

#include <linux/capability.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "debug/leaks.h"
#include "base/backend.h"
#include "base/budget.h"
#include "base/param.h"
#include "debug/profile.h"
#include "debug/stats.h"
#include "heap.h"
#include "insight/record.h"

/* Reports that are kept, and the bytes of the longest: the sites with most bytes come first. */
#define KMH_LEAKS_KEPT		16U
#define KMH_LEAKS_BYTES		(64UL << 10)

/* Sites of which objects are shown. */
#define KMH_LEAKS_SHOWN		64U

/* What a format of the kernel writes in hexadecimal at once. */
#define KMH_LEAKS_MOST_CONTENT	64U

struct kmh_leaks {
	struct dentry *file;
	char *text;
	size_t bytes;
	size_t content_at, content_bytes;	/* in it: objects and their first bytes */
};

static DEFINE_MUTEX(kmh_leaks_mutex);	/* guards the next three */
static struct kmh_leaks kmh_leaks[KMH_LEAKS_KEPT];
static unsigned int kmh_leaks_number;	/* of the last report */
static struct dentry *kmh_leaks_dir;

static unsigned int kmh_leaks_content = 32;
static struct kmh_param_number kmh_leaks_content_param = {
	.value = &kmh_leaks_content, .narrow = true, .most = KMH_LEAKS_MOST_CONTENT,
};
module_param_cb(leak_bytes, &kmh_number_param_ops, &kmh_leaks_content_param, 0644);
__MODULE_PARM_TYPE(leak_bytes, "uint");
MODULE_PARM_DESC(leak_bytes,
		 "first bytes of leaked objects that reports in debugfs show: 0 (none) to 64 (default 32)");

/* ---- the text */

/* How many bytes of an object of @heap may be shown. */
static unsigned int kmh_leaks_may_show(const struct kmheap *heap)
{
	/* KASAN would report a look behind the end of what the client has asked for. */
	if (kmh_heap_sanitized(heap) || security_locked_down(LOCKDOWN_KCORE))
		return 0;
	return READ_ONCE(kmh_leaks_content);
}

/* An object and its first bytes. Somebody may free it by mistake, and its memory may go. */
static void kmh_leaks_show_object(struct seq_file *m, const struct kmh_profile_row *row,
				  const struct kmh_row_object *object, unsigned int most)
{
	unsigned int n = min_t(size_t, object->bytes, most);
	u8 content[KMH_LEAKS_MOST_CONTENT];

	if (!n || copy_from_kernel_nofault(content, (void *)object->addr, n))
		return;
	seq_printf(m, "object %u %016lx %zu %llu %*phN\n", row->number, object->addr, object->bytes,
		   kmh_record_ms(object->age), n, content);
}

static void kmh_leaks_show_objects(struct seq_file *m, const struct kmheap *heap,
				   const struct kmh_profile_snapshot *snap)
{
	unsigned int most = kmh_leaks_may_show(heap), i, k;
	const struct kmh_profile_row *row;

	for (i = 0; most && i < min(snap->n, KMH_LEAKS_SHOWN); i++) {
		row = &snap->row[i];
		for (k = 0; k < KMH_ROW_OBJECTS && row->some[k].addr; k++)
			kmh_leaks_show_object(m, row, &row->some[k], most);
	}
}

/* All that was live, whether the profile has it or not. */
static void kmh_leaks_show_left(struct seq_file *m, const struct kmh_heap_walk *w)
{
	unsigned int i;

	seq_printf(m, "left_objects %llu\n", w->st.live_objects + w->manual_runs);
	seq_printf(m, "left_bytes %llu\n", w->st.live_bytes);
	for (i = 1; i < KMH_NR_CLASSES; i++)
		if (w->class[i].live)
			seq_printf(m, "left_size %u %llu\n", kmh_class_size(i), w->class[i].live);
	if (w->tiny_objects)
		seq_printf(m, "left_tiny %llu\n", w->tiny_objects);
	if (w->large_objects)
		seq_printf(m, "left_large %llu\n", w->large_objects);
	if (w->manual_runs)
		seq_printf(m, "left_runs %llu\n", w->manual_runs);
}

static void kmh_leaks_show_site(struct seq_file *m, const struct kmh_profile_row *row)
{
	seq_printf(m, "site %u %lu %lu %lu %lu %llu %llu\n", row->number, row->live_objects,
		   row->live_bytes, row->allocs, row->alloc_bytes, kmh_record_ms(row->youngest),
		   kmh_record_ms(row->oldest));
	kmh_row_show_stack(m, row);
}

/*
 * The text of @leaks, which is told where the objects are in it. A site for which there is no room
 * is left out whole, with those after it.
 */
static void kmh_leaks_show(struct seq_file *m, const struct kmheap *heap,
			   const struct kmh_heap_walk *w, const struct kmh_profile_snapshot *snap,
			   struct kmh_leaks *leaks)
{
	unsigned int i;
	size_t whole;

	kmh_profile_show_head(m, heap, snap);
	kmh_leaks_show_left(m, w);
	leaks->content_at = m->count;
	kmh_leaks_show_objects(m, heap, snap);
	leaks->content_bytes = m->count - leaks->content_at;
	seq_puts(m, "columns site live_objects live_bytes allocs alloc_bytes");
	seq_puts(m, " youngest_ms oldest_ms\n");
	for (i = 0; i < snap->n && snap->row[i].live_objects; i++) {
		whole = m->count;
		kmh_leaks_show_site(m, &snap->row[i]);
		if (!seq_has_overflowed(m))
			continue;
		m->count = whole;
		break;
	}
}

/* ---- what is kept */

static int kmh_leaks_open(struct inode *inode, struct file *file)
{
	if (!file_ns_capable(file, &init_user_ns, CAP_SYSLOG))
		return -EPERM;
	file->private_data = inode->i_private;
	return 0;
}

/* Where the kernel has been locked down since, the objects are left out, as in a later report. */
static ssize_t kmh_leaks_read(struct file *file, char __user *user, size_t count, loff_t *pos)
{
	const struct kmh_leaks *leaks = file->private_data;
	size_t at = leaks->content_at, left_out = leaks->content_bytes;

	if (!left_out || !security_locked_down(LOCKDOWN_KCORE))
		return simple_read_from_buffer(user, count, pos, leaks->text, leaks->bytes);
	if (*pos < at)
		return simple_read_from_buffer(user, count, pos, leaks->text, at);
	return simple_read_from_buffer(user, count, pos, leaks->text + left_out,
				       leaks->bytes - left_out);
}

static const struct file_operations kmh_leaks_fops = {
	.owner = THIS_MODULE,
	.open = kmh_leaks_open,
	.read = kmh_leaks_read,
	.llseek = default_llseek,
};

/* Under kmh_leaks_mutex. Waits for who reads the file. */
static void kmh_leaks_drop(struct kmh_leaks *leaks)
{
	if (!leaks->text)
		return;
	debugfs_remove(leaks->file);
	kmh_shared_account(-(long)leaks->bytes);
	kmh_backend_free(leaks->text);
	memset(leaks, 0, sizeof(*leaks));
}

/* Under kmh_leaks_mutex: @fresh, whose bytes are counted, is the report of @heap from now on. */
static void kmh_leaks_publish(const struct kmheap *heap, const struct kmh_leaks *fresh)
{
	struct kmh_leaks *leaks = &kmh_leaks[kmh_leaks_number++ % KMH_LEAKS_KEPT];
	char name[KMH_NAME_MAX + 12];

	kmh_leaks_drop(leaks);
	*leaks = *fresh;
	snprintf(name, sizeof(name), "%s.%u", heap->name, kmh_leaks_number);
	leaks->file = debugfs_create_file(name, 0400, kmh_leaks_dir, leaks, &kmh_leaks_fops);
	pr_warn("heap %s: all of it is in kmheap/reports/%s in debugfs\n", heap->name, name);
}

/*
 * Keep a report of what is live in @heap, which ends: figures of all of it in @w, sites in @snap.
 * Context: process context; sleeps.
 */
void kmh_leaks_keep(const struct kmheap *heap, const struct kmh_heap_walk *w,
		    const struct kmh_profile_snapshot *snap)
{
	struct seq_file m = { .size = KMH_LEAKS_BYTES };
	struct kmh_leaks leaks = {};

	m.buf = kmh_backend_zalloc(m.size, GFP_KERNEL, NUMA_NO_NODE);
	if (m.buf) {
		kmh_leaks_show(&m, heap, w, snap, &leaks);
		leaks.bytes = m.count;
		if (kmh_shared_try_account(leaks.bytes)) {
			leaks.text = kmh_backend_zalloc(leaks.bytes, GFP_KERNEL, NUMA_NO_NODE);
			if (!leaks.text)
				kmh_shared_account(-(long)leaks.bytes);
		}
	}
	if (leaks.text) {
		memcpy(leaks.text, m.buf, leaks.bytes);
		mutex_lock(&kmh_leaks_mutex);
		kmh_leaks_publish(heap, &leaks);
		mutex_unlock(&kmh_leaks_mutex);
	} else {
		pr_warn("heap %s: no memory, or no room within a limit, to keep a report\n",
			heap->name);
	}
	kmh_backend_free(m.buf);
}

void kmh_leaks_init(struct dentry *dir)
{
	kmh_leaks_dir = debugfs_create_dir("reports", dir);
}

/* Context: process context; sleeps. */
void kmh_leaks_forget(void)
{
	unsigned int i;

	mutex_lock(&kmh_leaks_mutex);
	for (i = 0; i < KMH_LEAKS_KEPT; i++)
		kmh_leaks_drop(&kmh_leaks[i]);
	mutex_unlock(&kmh_leaks_mutex);
}
