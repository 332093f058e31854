// SPDX-License-Identifier: GPL-2.0
/*
 * A module that knows nothing of kmheap and is built with KMHEAP_DROPIN_LINEAR: it does with its
 * objects what kmalloc()'s can stand and vmalloc()'s cannot.
 */
#define pr_fmt(fmt) "%s: " fmt, KBUILD_MODNAME

#include <linux/fs.h>
#include <linux/list_lru.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "check.h"

static void ours(const void *p, const char *what, int line)
{
	check(p && kmheap_is_linear(p) && !is_vmalloc_addr(p), what, line);
}

static void kernels(const void *p, const char *what, int line)
{
	check(p && !kmheap_owns(p), what, line);
}

#define OURS(p)			ours(p, #p, __LINE__)
#define KERNELS(p)		kernels(p, #p, __LINE__)

struct node {
	struct list_head lru;
	u8 data[300];
};

/* Through the pages of a scatterlist, as crypto and block drivers go. */
static void through_a_scatterlist(void)
{
	struct scatterlist sg;
	u8 *p, *copy;

	OURS(p = kmalloc(3000, GFP_KERNEL));
	OURS(copy = kzalloc(3000, GFP_ATOMIC));
	memset(p, 0x5a, 3000);
	sg_init_one(&sg, p, 3000);
	CHECK(sg_copy_to_buffer(&sg, 1, copy, 3000) == 3000);
	CHECK(!memchr_inv(copy, 0x5a, 3000));
	CHECK(page_to_virt(virt_to_page(p)) == (void *)((unsigned long)p & PAGE_MASK));
	kfree(copy);
	kfree(p);
}

static void node_init(void *p)
{
	INIT_LIST_HEAD(&((struct node *)p)->lru);
}

/* A file system's inodes are on the list_lru of its super block. */
static void as_an_inode(struct kmem_cache *s)
{
	struct super_block *sb = kzalloc(sizeof(*sb), GFP_KERNEL);
	struct node *n;

	CHECK(sb && !list_lru_init(&sb->s_inode_lru));
	OURS(n = alloc_inode_sb(sb, s, GFP_KERNEL));
	kmem_cache_free(s, n);
	list_lru_destroy(&sb->s_inode_lru);
	kfree(sb);
}

/* What is on a list_lru may be the heap's. */
static void on_a_list_lru(void)
{
	struct kmem_cache *s = kmem_cache_create("dropin_node", sizeof(struct node), 0,
						 SLAB_RECLAIM_ACCOUNT, node_init);
	struct list_lru lru;
	struct node *n;

	CHECK(s && !list_lru_init(&lru));
	OURS(n = kmem_cache_alloc_lru(s, &lru, GFP_KERNEL));
	CHECK(list_empty(&n->lru));
#if KERNEL_VERSION(6, 8, 0) <= LINUX_VERSION_CODE
	CHECK(list_lru_add_obj(&lru, &n->lru) && list_lru_count(&lru) == 1);
	CHECK(list_lru_del_obj(&lru, &n->lru) && !list_lru_count(&lru));
#else
	CHECK(list_lru_add(&lru, &n->lru) && list_lru_count(&lru) == 1);
	CHECK(list_lru_del(&lru, &n->lru) && !list_lru_count(&lru));
#endif
	kmem_cache_free(s, n);
	list_lru_destroy(&lru);
	as_an_inode(s);
	kmem_cache_destroy(s);
}

/* What need not be one piece, or cannot be, is the kernel's; and so is vmalloc(). */
static void the_kernels(void)
{
	u8 *p, *q;

	KERNELS(p = vmalloc(100));
	CHECK(is_vmalloc_addr(p));
	vfree(p);
	KERNELS(p = kvmalloc(SZ_8M, GFP_KERNEL));
	kvfree(p);
	KERNELS(p = kmalloc(SZ_4M, GFP_KERNEL));
	kfree(p);
	OURS(p = kvzalloc(20000, GFP_KERNEL));
	memset(p, 7, 20000);
#if KERNEL_VERSION(6, 12, 0) <= LINUX_VERSION_CODE
	KERNELS(q = kvrealloc(p, SZ_1M, GFP_KERNEL));
#else
	KERNELS(q = kvrealloc(p, 20000, SZ_1M, GFP_KERNEL));
#endif
	CHECK(!memchr_inv(q, 7, 20000));
	kvfree(q);
	OURS(p = kmalloc(SZ_1M, GFP_KERNEL));
	memset(p, 9, SZ_64K);
	KERNELS(q = krealloc(p, SZ_4M, GFP_KERNEL));
	CHECK(!memchr_inv(q, 9, SZ_64K));
	kfree(q);
}

/* What the kernel has given goes back to it where the copy fails, too. */
static void from_nowhere(void)
{
	const void __user *nowhere = (const void __user *)16;
	unsigned long before = global_zone_page_state(NR_FREE_PAGES);
	unsigned int i;

	for (i = 0; i < 64; i++) {
		CHECK(PTR_ERR(vmemdup_user(nowhere, SZ_4M)) == -EFAULT);
		/* There may be no such block. */
		CHECK(IS_ERR(memdup_user(nowhere, SZ_2M + 1)));
		CHECK(IS_ERR(memdup_user_nul(nowhere, SZ_2M + 1)));
	}
	/* 512 MiB in all. */
	CHECK(global_zone_page_state(NR_FREE_PAGES) + (SZ_128M >> PAGE_SHIFT) > before);
}

static int __init dropin_linear_init(void)
{
	through_a_scatterlist();
	on_a_list_lru();
	the_kernels();
	from_nowhere();
	pr_info("%u checks, %u wrong\n", nchecks, nwrong);
	return 0;
}

static void __exit dropin_linear_exit(void)
{
}

module_init(dropin_linear_init);
module_exit(dropin_linear_exit);
MODULE_DESCRIPTION("kmheap selftest: the drop-in header with a linear heap");
MODULE_LICENSE("GPL");
