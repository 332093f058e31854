// SPDX-License-Identifier: GPL-2.0
/*
 * A module that knows nothing of kmheap and is built with "-include linux/kmheap_dropin.h": each
 * name that the header maps is used once, as a module would; the rarer ones, and addresses of
 * functions, in forms.c. What has not come from the module's heap, or went wrong otherwise, is said
 * in the log, and counted.
 *
 * Another file, other.c, frees and allocates as well: all have one heap.
 */
#define pr_fmt(fmt) "%s: " fmt, KBUILD_MODNAME

#include <linux/bitmap.h>
#include <linux/cleanup.h>
#include <linux/ctype.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "names.h"
#include "owned.h"

static bool fail;
module_param(fail, bool, 0400);
MODULE_PARM_DESC(fail, "the init fails when all is done");

static bool leak;
module_param(leak, bool, 0400);
MODULE_PARM_DESC(leak, "one object is never freed");

struct thing {
	long a[12];
	struct rcu_head rcu;
	int n;
	u8 tail[];
};

struct ops {
	void (*release)(const void *p);
};

static const struct ops ops = { .release = kfree };
static const struct ops vops = { .release = kvfree };

/* Bounds and flags of the kernel's functions hold: code may count on them. */
static void bounds(void)
{
	struct kmem_cache *c = kmem_cache_create("bounds", 100, 0, 0, NULL);
	void *p, *q;

	CHECK(!kmalloc(KMALLOC_MAX_SIZE + 1, GFP_KERNEL | __GFP_NOWARN));
	CHECK(!kvmalloc((size_t)INT_MAX + 1, GFP_KERNEL | __GFP_NOWARN));
	CHECK(!kmalloc_array(SIZE_MAX, 2, GFP_ATOMIC));
	CHECK(!kcalloc_node(SIZE_MAX, 2, GFP_KERNEL, NUMA_NO_NODE));
	CHECK(!krealloc_array(NULL, SIZE_MAX / 8, 16, GFP_KERNEL));
	CHECK(PTR_ERR(memdup_user(NULL, KMALLOC_MAX_SIZE + 1)) == -ENOMEM);
	OURS(p = kmalloc(100, GFP_KERNEL));
	memset(p, 7, 100);
	KERNELS(q = krealloc(p, 200, GFP_KERNEL | __GFP_NOFAIL));
	CHECK(!memchr_inv(q, 7, 100));
	kfree(q);
	KERNELS(p = kmemdup(&ops, sizeof(ops), GFP_KERNEL | __GFP_NOFAIL));
	CHECK(!is_vmalloc_addr(p));
	kfree(p);
	CHECK(c);
	KERNELS(p = kmem_cache_alloc(c, GFP_KERNEL | __GFP_NOFAIL));
	KERNELS(q = kmem_cache_zalloc(c, GFP_KERNEL | GFP_DMA));
	CHECK(all_zero(q, 100));
	kmem_cache_free(c, q);
	kmem_cache_free(c, p);
	kmem_cache_destroy(c);
	OURS(p = vmalloc(100));
	CHECK(is_vmalloc_addr(p));
	vfree(p);
	CHECK(PTR_ERR(memdup_user_nul(NULL, KMALLOC_MAX_SIZE)) == -ENOMEM);
}

/* What kmalloc() cannot promise, kvmalloc() and vmalloc() can; where they cannot, nobody warns. */
static void large_bounds(void)
{
	size_t most = SIZE_MAX;
	void *p, *q;

	OPTIMIZER_HIDE_VAR(most);
	OURS(p = kvmalloc(100, GFP_KERNEL));
	memset(p, 7, 100);
#if KERNEL_VERSION(6, 12, 0) <= LINUX_VERSION_CODE
	KERNELS(q = kvrealloc(p, SZ_64K, GFP_KERNEL | __GFP_NOFAIL));
#else
	KERNELS(q = kvrealloc(p, 100, SZ_64K, GFP_KERNEL | __GFP_NOFAIL));
#endif
	CHECK(!memchr_inv(q, 7, 100));
	kvfree(q);
	kvfree(kvmalloc(SZ_64M, GFP_NOWAIT));
#ifdef vrealloc_node_align
	OURS(p = vmalloc(100));
	memset(p, 7, 100);
	CHECK(!vrealloc(p, most, GFP_KERNEL));
	OURS(p);
	OURS(q = vrealloc(p, 100000, GFP_KERNEL));
	CHECK(kmheap_size(q) >= 100000);
	p = vrealloc(q, SZ_4M, GFP_NOWAIT | __GFP_NOWARN);
	CHECK(!p || is_vmalloc_addr(p));
	p = p ?: q;
	KERNELS(q = vrealloc(p, SZ_64K, GFP_KERNEL | __GFP_NOFAIL));
	CHECK(is_vmalloc_addr(q) && !memchr_inv(q, 7, 100));
	vfree(q);
#endif
}

static void slab_memory(void)
{
	struct thing *t;
	void *p, *q;

	OURS(p = kmalloc(100, GFP_KERNEL));
	kfree(p);
	OURS(p = kzalloc(100, GFP_ATOMIC));
	CHECK(all_zero(p, 100));
	ops.release(p);
	OURS(p = kmalloc_array(10, 30, GFP_KERNEL));
	kfree_sensitive(p);
	OURS(p = kcalloc(10, 30, GFP_KERNEL));
	CHECK(all_zero(p, 300));
	CHECK(ksize(p) >= 300);
#if KERNEL_VERSION(6, 12, 0) <= LINUX_VERSION_CODE
	CHECK(kmem_cache_charge(p, GFP_KERNEL));
#endif
#ifdef krealloc_node
	OURS(p = krealloc_node(p, 400, GFP_KERNEL, numa_node_id()));
	OURS(p = kvrealloc_node(p, 500, GFP_KERNEL, numa_node_id()));
#endif
	kfree(p);
	CHECK(!kmalloc_array(SIZE_MAX, 2, GFP_KERNEL | __GFP_NOWARN));
	OURS(p = kmalloc_node(100, GFP_KERNEL, numa_node_id()));
	kfree(p);
	OURS(p = kzalloc_node(100, GFP_KERNEL, NUMA_NO_NODE));
	kfree(p);
	OURS(p = kcalloc_node(10, 10, GFP_KERNEL, 0));
	kfree(p);
	OURS(p = kmalloc_array_node(10, 10, GFP_KERNEL, 0));
	OURS(q = krealloc(p, 5000, GFP_KERNEL));
	OURS(p = krealloc_array(q, 100, 100, GFP_KERNEL));
	CHECK(krealloc(p, 0, GFP_KERNEL) == ZERO_SIZE_PTR);
	OURS(p = krealloc(NULL, 10, GFP_KERNEL));
	kfree(p);
	CHECK(kmalloc(0, GFP_KERNEL) == ZERO_SIZE_PTR);
	kfree(ZERO_SIZE_PTR);
	kfree(NULL);
#ifdef kmalloc_obj
	OURS(t = kmalloc_obj(*t));
	kfree(t);
	OURS(t = kzalloc_obj(struct thing, GFP_ATOMIC));
	CHECK(all_zero(t, sizeof(*t)));
	kfree(t);
	OURS(t = kzalloc_objs(*t, 7));
	kfree(t);
	OURS(t = kzalloc_flex(*t, tail, 7));
	kfree(t);
	OURS(t = kvzalloc_objs(*t, 1000));
	kvfree(t);
#endif
	/* What a heap does not promise is the kernel's. */
	KERNELS(p = kmalloc(100, GFP_KERNEL | __GFP_NOFAIL));
	KERNELS(q = kmalloc(100, GFP_KERNEL | GFP_DMA));
	kvfree(q);
	KERNELS(q = krealloc(p, 5000, GFP_KERNEL));
	kfree(q);
	KERNELS(t = kmalloc(sizeof(*t), GFP_KERNEL | GFP_DMA));
	kfree_rcu(t, rcu);
	KERNELS(p = bitmap_zalloc(1000, GFP_KERNEL));
	kfree(p);
	OURS(p = kmalloc(20, GFP_KERNEL));
	dropin_other_free(p);
	OURS(p = dropin_other_alloc(100));
	kfree(p);
}

static void construct(void *p)
{
	struct thing *t = p;

	t->n = 4711;
}

/* More than a heap has for callers that cannot sleep, at once. */
static void burst(void)
{
	struct kmem_cache *s = kmem_cache_create("burst", 5000, 0, 0, construct);
	struct thing *t[32];
	unsigned int i, n = 0;
	void *p[32], *q;

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = kmalloc(60000, GFP_ATOMIC);
		t[i] = kmem_cache_alloc(s, GFP_ATOMIC);
	}
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		CHECK(p[i]);
		CHECK(t[i] && t[i]->n == 4711);
		n += dropin_owner(p[i]) == OWNER_KERNEL;
		q = krealloc(p[i], 70000, GFP_ATOMIC);
		CHECK(q);
		kfree(q);
		kmem_cache_free(s, t[i]);
	}
	pr_info("%u of %zu from the kernel\n", n, ARRAY_SIZE(p));
	kmem_cache_destroy(s);
}

static void large_memory(void)
{
	static const size_t sizes[] = { 1, 4096, 5000, 8192, 20000, 100000 };
	unsigned int i;
	void *p;

	OURS(p = kvmalloc(100000, GFP_KERNEL));
	kvfree(p);
	OURS(p = kvzalloc(100, GFP_KERNEL));
	vops.release(p);
	OURS(p = kvcalloc(10, 10000, GFP_KERNEL));
	CHECK(all_zero(p, 100000));
	kvfree_sensitive(p, 100000);
	OURS(p = kvmalloc_array(10, 10000, GFP_KERNEL));
	kvfree(p);
	OURS(p = kvmalloc_node(10000, GFP_KERNEL, 0));
	kfree(p);
	OURS(p = kvzalloc_node(10000, GFP_KERNEL, 0));
	kfree(p);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		OURS(p = vmalloc(sizes[i]));
		CHECK(ALIGNED(p, PAGE_SIZE));
		CHECK(vmalloc_to_page(p));
		vfree(p);
		OURS(p = vzalloc(sizes[i]));
		CHECK(ALIGNED(p, PAGE_SIZE) && all_zero(p, PAGE_ALIGN(sizes[i])));
		kvfree(p);
		OURS(p = __vmalloc(sizes[i], GFP_KERNEL | __GFP_HIGHMEM));
		vfree(p);
		OURS(p = vmalloc_node(sizes[i], 0));
		CHECK(ALIGNED(p, PAGE_SIZE));
		vfree(p);
		OURS(p = vcalloc(sizes[i], 2));
		vfree(p);
	}
	OURS(p = vmalloc_array(100, 100));
	vfree(p);
	vfree(NULL);
	kvfree(NULL);
	KERNELS(p = vmalloc_user(100));
	vfree(p);
	KERNELS(p = vmalloc_user(100));
	kvfree(p);
}

static __printf(2, 3) bool formatted(const char *text, const char *fmt, ...)
{
	va_list ap;
	bool same;
	char *p;

	va_start(ap, fmt);
	OURS(p = kvasprintf(GFP_KERNEL, fmt, ap));
	va_end(ap);
	same = !strcmp(p, text);
	kfree(p);
	return same;
}

static void copies(void)
{
	static const char text[] = "a text of some length";
	const char *c;
	char *p;

	OURS(p = kmemdup(text, sizeof(text), GFP_KERNEL));
	CHECK(!strcmp(p, text));
	kfree(p);
#if KERNEL_VERSION(6, 3, 0) <= LINUX_VERSION_CODE
	OURS(p = kvmemdup(text, sizeof(text), GFP_KERNEL));
	CHECK(!strcmp(p, text));
	kvfree(p);
#endif
#if KERNEL_VERSION(6, 11, 0) <= LINUX_VERSION_CODE
	OURS(p = kmemdup_array(text, sizeof(text), 1, GFP_KERNEL));
	CHECK(!strcmp(p, text));
	kfree(p);
#endif
	OURS(p = kmemdup_nul(text, 6, GFP_KERNEL));
	CHECK(!strcmp(p, "a text"));
	kfree(p);
	OURS(p = kstrdup(text, GFP_KERNEL));
	CHECK(!strcmp(p, text));
	kfree(p);
	OURS(p = kstrndup(text, 6, GFP_KERNEL));
	CHECK(!strcmp(p, "a text"));
	kfree(p);
	CHECK(!kstrdup(NULL, GFP_KERNEL));
	OURS(c = kstrdup_const(text, GFP_KERNEL));
	kfree_const(c);
	kfree_const(_ctype);	/* constants of the kernel are not freed */
	OURS(p = kasprintf(GFP_KERNEL, "%s of %d", "text", 17));
	CHECK(!strcmp(p, "text of 17"));
	kfree(p);
	CHECK(formatted("one 2", "%s %d", "one", 2));
}

/* insmod is the task, so there is memory of a user. */
static void copies_from_user(void)
{
	unsigned long at = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				   MAP_ANONYMOUS | MAP_PRIVATE, 0);
	char __user *u = (char __user *)at, *nowhere = (char __user *)8;
	char *p;

	CHECK(!IS_ERR_VALUE(at));
	CHECK(!copy_to_user(u, "words", 6));
	OURS(p = memdup_user(u, 6));
	CHECK(!strcmp(p, "words"));
	kfree(p);
	OURS(p = vmemdup_user(u, 3000));
	CHECK(!strcmp(p, "words"));
	kvfree(p);
	OURS(p = memdup_user_nul(u, 3));
	CHECK(!strcmp(p, "wor"));
	kfree(p);
	OURS(p = strndup_user(u, 10));
	CHECK(!strcmp(p, "words"));
	kfree(p);
	CHECK(strndup_user(u, 3) == ERR_PTR(-EINVAL));
	CHECK(memdup_user(nowhere, 10) == ERR_PTR(-EFAULT));
	CHECK(memdup_user_nul(nowhere, 10) == ERR_PTR(-EFAULT));
	CHECK(strndup_user(nowhere, 10) == ERR_PTR(-EFAULT));
	vm_munmap(at, PAGE_SIZE);
}

static void freed_by_scope(void)
{
	void *a __free(kfree) = kmalloc(100, GFP_KERNEL);
	void *none __free(kfree) = NULL;
	void *err __free(kfree) = ERR_PTR(-ENOMEM);

	OURS(a);
	CHECK(!none && IS_ERR(err));
}

static void freed_by_rcu(void)
{
	struct thing *t;

	OURS(t = kmalloc(sizeof(*t), GFP_KERNEL));
	rcu_read_lock();
	kfree_rcu(t, rcu);
	CHECK(dropin_owner(t) == OWNER_WAITS);
	rcu_read_unlock();
	OURS(t = kvmalloc(100000, GFP_KERNEL));
	rcu_read_lock();
	kvfree_rcu(t, rcu);
	CHECK(dropin_owner(t) == OWNER_WAITS);
	rcu_read_unlock();
	OURS(t = kmalloc(sizeof(*t), GFP_KERNEL));
	kfree_rcu_mightsleep(t);
	OURS(t = vmalloc(100));
	kvfree_rcu_mightsleep(t);
	t = NULL;
	kfree_rcu(t, rcu);
}

static void expect_objects(struct kmem_cache *s, size_t align, bool constructed)
{
	struct thing *t[8];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(t); i++) {
		t[i] = i % 2 ? kmem_cache_alloc(s, GFP_KERNEL) :
			       kmem_cache_alloc_node(s, GFP_ATOMIC, numa_node_id());
		OURS(t[i]);
		CHECK(ALIGNED(t[i], align));
		CHECK(!constructed || t[i]->n == 4711);
	}
	for (i = 0; i < ARRAY_SIZE(t); i++)
		kmem_cache_free(s, t[i]);
	CHECK(kmem_cache_alloc_bulk(s, GFP_KERNEL, ARRAY_SIZE(t), (void **)t));
	for (i = 0; i < ARRAY_SIZE(t); i++) {
		OURS(t[i]);
		CHECK(!constructed || t[i]->n == 4711);
	}
	kmem_cache_free_bulk(s, ARRAY_SIZE(t), (void **)t);
	if (!constructed) {
		t[0] = kmem_cache_zalloc(s, GFP_KERNEL);
		CHECK(all_zero(t[0], sizeof(*t[0])));
		kmem_cache_free(s, t[0]);
	}
	kmem_cache_shrink(s);
	CHECK(kmem_cache_size(s) == sizeof(struct thing));
	kmem_cache_destroy(s);
}

static void caches(void)
{
#ifdef KMHEAP_DROPIN_CACHE_ARGS
	struct kmem_cache_args args = { .align = 256 };
#endif
	const size_t bytes = sizeof(struct thing);
	struct kmem_cache *s;
	struct thing *t;
	void *p[4];

	expect_objects(KMEM_CACHE(thing, 0), 8, false);
	expect_objects(KMEM_CACHE(thing, SLAB_HWCACHE_ALIGN), cache_line_size(), false);
	expect_objects(kmem_cache_create("dropin", bytes, 512, 0, construct), 512, true);
	s = kmem_cache_create_usercopy("dropin_user", bytes, 0, 0, 0, 8, NULL);
	expect_objects(s, 8, false);
	expect_objects(KMEM_CACHE_USERCOPY(thing, 0, a), 8, false);
#ifdef KMHEAP_DROPIN_CACHE_ARGS
	expect_objects(kmem_cache_create("dropin_args", bytes, &args, 0), 256, false);
	expect_objects(kmem_cache_create("dropin_null", bytes, NULL, 0), 8, false);
#endif
	/* The kernel's: its objects keep what they hold when they are free. */
	s = kmem_cache_create("dropin_rcu", bytes, 0, SLAB_TYPESAFE_BY_RCU, NULL);
	KERNELS(t = kmem_cache_zalloc(s, GFP_KERNEL));
	kmem_cache_free(s, t);
	KERNELS(t = kmem_cache_alloc(s, GFP_KERNEL | __GFP_NOFAIL));
	kfree(t);
	kmem_cache_destroy(s);
	/* The kernel's: it will ask for the slab. */
	s = kmem_cache_create("dropin_lru", bytes, 0, SLAB_RECLAIM_ACCOUNT, NULL);
	KERNELS(t = kmem_cache_alloc(s, GFP_KERNEL));
	kmem_cache_free(s, t);
	CHECK(kmem_cache_alloc_bulk(s, GFP_KERNEL, 4, p));
	KERNELS(p[3]);
	kmem_cache_free_bulk(s, 4, p);
	KERNELS(t = kmem_cache_zalloc(s, GFP_KERNEL));
	kfree(t);
	kmem_cache_destroy(s);
	kmem_cache_destroy(NULL);
	p[0] = kmalloc(10, GFP_KERNEL);
	p[1] = bitmap_alloc(100, GFP_KERNEL);
	p[2] = kmalloc(10000, GFP_KERNEL);
	kfree_bulk(3, p);
}

static void pools(void)
{
	struct kmem_cache *s = KMEM_CACHE(thing, 0);
	mempool_t *pool = mempool_create_slab_pool(4, s), on_stack = {};
	void *p;

	OURS(p = mempool_alloc(pool, GFP_KERNEL));
	mempool_free(p, pool);
	mempool_destroy(pool);
	kmem_cache_destroy(s);
	pool = mempool_create_kmalloc_pool(4, 1000);
	OURS(p = mempool_alloc(pool, GFP_KERNEL));
	mempool_free(p, pool);
	mempool_destroy(pool);
	CHECK(!mempool_init_kmalloc_pool(&on_stack, 2, 100));
	OURS(p = mempool_alloc(&on_stack, GFP_KERNEL));
	mempool_free(p, &on_stack);
	mempool_exit(&on_stack);
}

static int __init dropin_names_init(void)
{
	bounds();
	large_bounds();
	slab_memory();
	large_memory();
	copies();
	copies_from_user();
	freed_by_scope();
	freed_by_rcu();
	caches();
	pools();
	burst();
	if (leak)
		OURS(kmalloc(200, GFP_KERNEL));
	dropin_forms();
	pr_info("%u checks, %u wrong\n", nchecks, nwrong);
	return fail ? -ENODATA : 0;
}

static void free_late(struct rcu_head *head)
{
	kfree(container_of(head, struct thing, rcu));
}

/* Nobody waits for the callback but the header, before it ends the heap. */
static void __exit dropin_names_exit(void)
{
	struct thing *t = kmalloc(sizeof(*t), GFP_KERNEL);

	OURS(t);
	if (t)
		call_rcu(&t->rcu, free_late);
	pr_info("%u wrong at the end\n", nwrong);
}

module_init(dropin_names_init);
module_exit(dropin_names_exit);
MODULE_DESCRIPTION("kmheap selftest: every name that the drop-in header maps");
MODULE_LICENSE("GPL");
