// SPDX-License-Identifier: GPL-2.0
/*
 * A string-interning table on a kmheap heap: equal lines are stored once and
 * counted.
 *
 *	insmod kmheap.ko && insmod strtab.ko
 *	echo hello  > /sys/kernel/debug/strtab/lines	# one reference to "hello"
 *	echo -hello > /sys/kernel/debug/strtab/lines	# drops it
 *	cat /sys/kernel/debug/strtab/lines		# counts, in strings and bytes
 *
 * Nodes hold pointers and come from kmheap_alloc(); texts hold none and come
 * from kmheap_alloc_data(), which never puts them beside nodes. Both live in one
 * heap of this module, so that its memory is counted, limited and given back as
 * a whole.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/jhash.h>
#include <linux/kmheap.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rhashtable.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define STRTAB_MAX_LINE		65536U	/* bytes, without the newline */
#define STRTAB_CHUNK		1024U	/* bytes taken from the writer at a time */

struct strtab_key {
	const char *text;
	size_t len;
};

struct strtab_node {
	struct rhash_head link;
	struct strtab_key key;		/* the text belongs to this node */
	unsigned long refs;
};

struct strtab_counts {
	u64 strings;
	u64 references;
	u64 requested_bytes;		/* sum of all sizes asked for */
	u64 kmalloc_bytes;		/* bytes that kmalloc would take for the same sizes */
};

/*
 * Guards the table's contents and the counts. Every lookup holds it, so a node
 * may be freed as soon as it is unlinked.
 */
static DEFINE_MUTEX(strtab_lock);
static struct rhashtable strtab_table;
static struct strtab_counts strtab_counts;

static struct kmheap *strtab_heap;
static struct dentry *strtab_dir;

/* One open file: the line that is not complete yet, and the text being read. */
struct strtab_file {
	struct mutex lock;		/* two writers may share a file */
	char *line;
	size_t len;
	size_t room;
	size_t report_len;
	char report[512];
	char chunk[STRTAB_CHUNK];
};

static u32 strtab_hash_key(const void *data, u32 len, u32 seed)
{
	const struct strtab_key *key = data;

	return jhash(key->text, key->len, seed);
}

static u32 strtab_hash_node(const void *data, u32 len, u32 seed)
{
	const struct strtab_node *node = data;

	return strtab_hash_key(&node->key, len, seed);
}

/* Zero means equal, as memcmp(). */
static int strtab_compare(struct rhashtable_compare_arg *arg, const void *data)
{
	const struct strtab_key *key = arg->key;
	const struct strtab_node *node = data;

	return key->len != node->key.len || memcmp(key->text, node->key.text, key->len);
}

static const struct rhashtable_params strtab_params = {
	.head_offset = offsetof(struct strtab_node, link),
	.hashfn = strtab_hash_key,
	.obj_hashfn = strtab_hash_node,
	.obj_cmpfn = strtab_compare,
	.automatic_shrinking = true,
};

static void strtab_node_free(struct strtab_node *node)
{
	kmheap_free(node->key.text);
	kmheap_free(node);
}

static struct strtab_node *strtab_node_new(const struct strtab_key *key)
{
	struct strtab_node *node;
	char *text;

	node = kmheap_zalloc(strtab_heap, sizeof(*node), GFP_KERNEL);
	text = kmheap_alloc_data(strtab_heap, key->len + 1, GFP_KERNEL);
	if (!node || !text) {
		kmheap_free(text);
		kmheap_free(node);
		return NULL;
	}
	memcpy(text, key->text, key->len);
	text[key->len] = '\0';
	node->key.text = text;
	node->key.len = key->len;
	return node;
}

/* @sign is 1 when a node was added and -1 when one is removed. */
static void strtab_account(const struct strtab_node *node, int sign)
{
	size_t text_bytes = node->key.len + 1;

	lockdep_assert_held(&strtab_lock);
	strtab_counts.strings += sign;
	strtab_counts.requested_bytes += sign * (s64)(sizeof(*node) + text_bytes);
	strtab_counts.kmalloc_bytes += sign * (s64)(kmalloc_size_roundup(sizeof(*node)) +
						    kmalloc_size_roundup(text_bytes));
}

/* Returns the node of @key with one reference more, or an error pointer. */
static struct strtab_node *strtab_get(const struct strtab_key *key)
{
	struct strtab_node *node;
	int err;

	lockdep_assert_held(&strtab_lock);
	node = rhashtable_lookup_fast(&strtab_table, key, strtab_params);
	if (!node) {
		node = strtab_node_new(key);
		if (!node)
			return ERR_PTR(-ENOMEM);
		err = rhashtable_insert_fast(&strtab_table, &node->link, strtab_params);
		if (err) {
			strtab_node_free(node);
			return ERR_PTR(err);
		}
		strtab_account(node, 1);
	}
	node->refs++;
	strtab_counts.references++;
	return node;
}

/* Drops one reference to @key; the last one frees its node. */
static int strtab_put(const struct strtab_key *key)
{
	struct strtab_node *node;

	lockdep_assert_held(&strtab_lock);
	node = rhashtable_lookup_fast(&strtab_table, key, strtab_params);
	if (!node)
		return -ENOENT;
	strtab_counts.references--;
	if (--node->refs)
		return 0;
	rhashtable_remove_fast(&strtab_table, &node->link, strtab_params);
	strtab_account(node, -1);
	strtab_node_free(node);
	return 0;
}

/* Handle one complete line, without its newline. Empty lines do nothing. */
static int strtab_line(const char *line, size_t len)
{
	struct strtab_key key = { .text = line, .len = len };
	int err;

	if (!len)
		return 0;
	if (line[0] == '-') {
		key.text++;
		key.len--;
	}
	mutex_lock(&strtab_lock);
	err = line[0] == '-' ? strtab_put(&key) : PTR_ERR_OR_ZERO(strtab_get(&key));
	mutex_unlock(&strtab_lock);
	return err;
}

/* Appends to the file's unfinished line, which grows by doubling. */
static int strtab_append(struct strtab_file *file, const char *bytes, size_t n)
{
	size_t room = file->room ?: 64;
	char *line;

	if (file->len + n > STRTAB_MAX_LINE)
		return -EMSGSIZE;
	while (room < file->len + n)
		room *= 2;
	if (room != file->room) {
		line = kmheap_realloc(strtab_heap, file->line, room, GFP_KERNEL);
		if (!line)
			return -ENOMEM;
		file->line = line;
		file->room = room;
	}
	memcpy(file->line + file->len, bytes, n);
	file->len += n;
	return 0;
}

/*
 * Take the lines of file->chunk. Returns 0, or the error of a line that was refused; *@done
 * then counts the bytes before that line. Pieces of the line kept from earlier writes are
 * dropped with it.
 */
static int strtab_chunk(struct strtab_file *file, size_t n, size_t *done)
{
	size_t start = 0, end;
	const char *newline;
	int err = 0;

	while (start < n && !err) {
		newline = memchr(file->chunk + start, '\n', n - start);
		end = newline ? newline - file->chunk : n;
		err = strtab_append(file, file->chunk + start, end - start);
		if (!err && newline)
			err = strtab_line(file->line, file->len);
		if (err || newline)
			file->len = 0;
		if (!err)
			start = newline ? end + 1 : end;
	}
	*done = start;
	return err;
}

/*
 * As write(2) wants it: the bytes before the first failing line, or its error
 * when it is the first one. A line may come in any number of pieces.
 */
static ssize_t strtab_write(struct file *filp, const char __user *from, size_t bytes, loff_t *pos)
{
	struct strtab_file *file = filp->private_data;
	size_t total = 0, done, n;
	int err = 0;

	mutex_lock(&file->lock);
	while (total < bytes && !err) {
		n = min_t(size_t, bytes - total, STRTAB_CHUNK);
		if (copy_from_user(file->chunk, from + total, n)) {
			err = -EFAULT;
			break;
		}
		err = strtab_chunk(file, n, &done);
		total += done;
		cond_resched();
	}
	mutex_unlock(&file->lock);
	return total ?: err;
}

static void strtab_report(struct strtab_file *file)
{
	struct strtab_counts counts;
	struct kmheap_stats st;

	mutex_lock(&strtab_lock);
	counts = strtab_counts;
	mutex_unlock(&strtab_lock);
	kmheap_stats(strtab_heap, &st);
	file->report_len = scnprintf(file->report, sizeof(file->report),
				     "strings %llu\n"
				     "references %llu\n"
				     "requested_bytes %llu\n"
				     "kmalloc_bytes %llu\n"
				     "heap_footprint_bytes %llu\n"
				     "heap_live_bytes %llu\n"
				     "heap_waste_bytes %llu\n",
				     counts.strings, counts.references, counts.requested_bytes,
				     counts.kmalloc_bytes, st.footprint_bytes, st.live_bytes,
				     st.waste_bytes);
}

/* The figures are those of the moment when the reader starts at the top. */
static ssize_t strtab_read(struct file *filp, char __user *to, size_t bytes, loff_t *pos)
{
	struct strtab_file *file = filp->private_data;
	ssize_t n;

	mutex_lock(&file->lock);
	if (!*pos)
		strtab_report(file);
	n = simple_read_from_buffer(to, bytes, pos, file->report, file->report_len);
	mutex_unlock(&file->lock);
	return n;
}

static int strtab_open(struct inode *inode, struct file *filp)
{
	struct strtab_file *file = kmheap_zalloc(strtab_heap, sizeof(*file), GFP_KERNEL);

	if (!file)
		return -ENOMEM;
	mutex_init(&file->lock);
	filp->private_data = file;
	return 0;
}

/* The last line may lack its newline; close(2) cannot report an error. */
static int strtab_release(struct inode *inode, struct file *filp)
{
	struct strtab_file *file = filp->private_data;
	int err = strtab_line(file->line, file->len);

	if (err)
		pr_warn_ratelimited("the last line was not taken: error %d\n", err);
	mutex_destroy(&file->lock);
	kmheap_free(file->line);
	kmheap_free(file);
	return 0;
}

static const struct file_operations strtab_fops = {
	.owner = THIS_MODULE,
	.open = strtab_open,
	.read = strtab_read,
	.write = strtab_write,
	.llseek = default_llseek,
	.release = strtab_release,
};

static void strtab_node_drop(void *node, void *arg)
{
	strtab_node_free(node);
}

static int __init strtab_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };
	int err;

	strtab_heap = kmheap_create("strtab", &attr);
	if (IS_ERR(strtab_heap))
		return PTR_ERR(strtab_heap);
	err = rhashtable_init(&strtab_table, &strtab_params);
	if (err)
		goto destroy_heap;
	strtab_dir = debugfs_create_dir("strtab", NULL);
	debugfs_create_file("lines", 0600, strtab_dir, NULL, &strtab_fops);
	return 0;

destroy_heap:
	kmheap_destroy(strtab_heap);
	return err;
}

/* An open file holds this module, so that no line is in progress here. */
static void __exit strtab_exit(void)
{
	debugfs_remove(strtab_dir);
	rhashtable_free_and_destroy(&strtab_table, strtab_node_drop, NULL);
	kmheap_destroy(strtab_heap);
}

module_init(strtab_init);
module_exit(strtab_exit);
MODULE_DESCRIPTION("kmheap sample: a string-interning table");
MODULE_LICENSE("GPL");
