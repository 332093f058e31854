/* SPDX-License-Identifier: GPL-2.0 */
/* Private: /sys/kernel/debug/kmheap/; see debugfs.c. */
#ifndef _KMHEAP_DEBUGFS_H
#define _KMHEAP_DEBUGFS_H

#include <linux/fs.h>
#include <linux/seq_file.h>

#include "base/public.h"

#ifdef CONFIG_DEBUG_FS
void kmh_debugfs_init(void);
void kmh_debugfs_exit(void);
void kmh_debugfs_add_heap(struct kmheap *heap);
void kmh_debugfs_remove_heap(struct kmheap *heap);
ssize_t kmh_bytes_file_write(struct file *file, const char __user *user, size_t count,
			     int (*set)(struct kmheap *heap, size_t bytes));

/*
 * A file that holds a number of bytes: reading gives @value, where the heap is called heap, and
 * writing calls @set_fn, which returns 0 or an error.
 */
#define KMH_BYTES_FILE(name, value, set_fn)						\
static int kmh_##name##_show(struct seq_file *m, void *unused)				\
{											\
	struct kmheap *heap = m->private;						\
											\
	seq_printf(m, "%zu\n", READ_ONCE(value));					\
	return 0;									\
}											\
											\
static ssize_t kmh_##name##_write(struct file *file, const char __user *user,		\
				  size_t count, loff_t *pos)				\
{											\
	return kmh_bytes_file_write(file, user, count, set_fn);				\
}											\
											\
static int kmh_##name##_open(struct inode *inode, struct file *file)			\
{											\
	return single_open(file, kmh_##name##_show, inode->i_private);			\
}											\
											\
static const struct file_operations kmh_##name##_fops = {				\
	.owner = THIS_MODULE,								\
	.open = kmh_##name##_open,							\
	.read = seq_read,								\
	.write = kmh_##name##_write,							\
	.llseek = seq_lseek,								\
	.release = single_release,							\
}
#else
static inline void kmh_debugfs_init(void) { }
static inline void kmh_debugfs_exit(void) { }
static inline void kmh_debugfs_add_heap(struct kmheap *heap) { }
static inline void kmh_debugfs_remove_heap(struct kmheap *heap) { }
#endif

#endif /* _KMHEAP_DEBUGFS_H */
