// SPDX-License-Identifier: GPL-2.0
/*
 * A driver whose buffer user space maps, as v4l2loopback's: what the mapping shows once the buffer
 * has been freed, and who else is given its pages. The file has no node in /dev: the task that
 * gives the command maps it, into its own address space.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kmheap.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "client.h"

#define USER_OTHERS	8U

static struct kmheap *user_heap;
static void *user_buf;

static int user_mmap(struct file *file, struct vm_area_struct *vma)
{
	return remap_vmalloc_range(vma, user_buf, vma->vm_pgoff);
}

static const struct file_operations user_fops = {
	.owner = THIS_MODULE,
	.mmap = user_mmap,
};

/* Map @bytes of the buffer from page @pgoff on. Return: the user's address, or an error. */
static unsigned long user_map(unsigned long bytes, unsigned long pgoff)
{
	struct file *file = anon_inode_getfile("kmheap_user", &user_fops, NULL, O_RDWR);
	unsigned long addr;

	if (IS_ERR(file))
		return PTR_ERR(file);
	addr = vm_mmap(file, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pgoff << PAGE_SHIFT);
	fput(file);
	return addr;
}

/* On how many pages of the mapping at @addr does the user read @c? Negative for an error. */
static long user_reads(unsigned long addr, unsigned long bytes, char c)
{
	unsigned long i;
	long n = 0;
	char got;

	for (i = 0; i < bytes; i += PAGE_SIZE) {
		if (get_user(got, (char __user *)(addr + i)))
			return -EFAULT;
		n += got == c;
	}
	return n;
}

static long user_writes(unsigned long addr, unsigned long bytes, char c)
{
	unsigned long i;

	for (i = 0; i < bytes; i += PAGE_SIZE)
		if (put_user(c, (char __user *)(addr + i)))
			return -EFAULT;
	return 0;
}

/* Fill new objects of @bytes with a secret; how many pages does the user see of them? */
static long user_secrets(unsigned long addr, unsigned long bytes)
{
	void *other[USER_OTHERS];
	unsigned int i;
	long n;

	for (i = 0; i < USER_OTHERS; i++) {
		other[i] = kmheap_alloc(user_heap, bytes, GFP_KERNEL);
		if (other[i])
			memset(other[i], 'S', bytes);
	}
	n = user_reads(addr, bytes, 'S');
	for (i = 0; i < USER_OTHERS; i++)
		kmheap_free(other[i]);
	return n;
}

/* map BYTES: a buffer is mapped, written to by both sides, freed, and read again */
static int user_map_cmd(char *args)
{
	unsigned long bytes, addr, npages, usable;
	struct kmheap_stats st;
	long seen;
	int err = kstrtoul(args, 0, &bytes);

	if (err)
		return err;
	bytes = PAGE_ALIGN(bytes);
	npages = bytes >> PAGE_SHIFT;
	user_buf = kmheap_alloc_user(user_heap, bytes, GFP_KERNEL);
	if (!user_buf)
		return -ENOMEM;
	addr = user_map(bytes, 0);
	if (IS_ERR_VALUE(addr)) {
		kmheap_free(user_buf);
		return addr;
	}
	client_say("zeroed %ld\n", user_reads(addr, bytes, 0));
	memset(user_buf, 'k', bytes);
	client_say("written %ld\n", user_reads(addr, bytes, 'k'));
	err = user_writes(addr, bytes, 'u');
	client_say("read %d\n", *(char *)(user_buf + bytes - PAGE_SIZE) == 'u');
	/* What is past the end, or would reach there, is refused. */
	usable = kmheap_size(user_buf);
	client_say("past_end %d\n", !IS_ERR_VALUE(user_map(usable + PAGE_SIZE, 0)) +
				    !IS_ERR_VALUE(user_map(bytes, usable >> PAGE_SHIFT)));
	kmheap_free(user_buf);
	user_buf = NULL;
	seen = user_secrets(addr, bytes);
	client_say("pages %lu\n", npages);
	client_say("kept %ld\n", user_reads(addr, bytes, 'u'));
	client_say("secrets %ld\n", seen);
	/* Once the worker has given the area to the kernel, too. */
	kmheap_shrink(user_heap);
	kmheap_stats(user_heap, &st);
	seen = user_secrets(addr, bytes);
	client_say("kept_later %ld\n", user_reads(addr, bytes, 'u'));
	client_say("secrets_later %ld\n", seen);
	client_say("live_objects %llu\n", st.live_objects);
	vm_munmap(addr, bytes);
	return err;
}

/* leave BYTES: an object that its heap's end reports */
static int user_leave_cmd(char *args)
{
	unsigned long bytes;
	int err = kstrtoul(args, 0, &bytes);

	if (!err && !kmheap_alloc_user(user_heap, bytes, GFP_KERNEL))
		err = -ENOMEM;
	return err;
}

static const struct client_command user_commands[] = {
	{ "map", user_map_cmd },
	{ "leave", user_leave_cmd },
	{ }
};

static int __init user_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };

	user_heap = kmheap_create("user", &attr);
	if (IS_ERR(user_heap))
		return PTR_ERR(user_heap);
	client_commands = user_commands;
	return 0;
}

static void __exit user_exit(void)
{
	kmheap_destroy(user_heap);
}

module_init(user_init);
module_exit(user_exit);

MODULE_DESCRIPTION("kmheap memory mapped into user space");
MODULE_LICENSE("GPL");
