// SPDX-License-Identifier: GPL-2.0
/*
 * The third file of dropin_names.ko: names that modules rarely use, forms that not every kernel
 * has, and functions through their addresses.
 */
#define pr_fmt(fmt) "%s, forms: " fmt, KBUILD_MODNAME

#include <linux/cleanup.h>
#include <linux/kernel.h>
#include <linux/list_lru.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <linux/vmalloc.h>

#include "owned.h"

struct form {
	long a[12];
	struct rcu_head rcu;
	int n;
	u8 tail[];
};

static void construct(void *p)
{
	struct form *f = p;

	f->n = 4711;
}

/*
 * Functions that get memory or caches of the module. Since 6.10 those that allocate have _noprof
 * behind their names.
 */
static const struct functions {
	void *(*resize)(const void *p, size_t size, gfp_t gfp);
	void *(*resize_array)(void *p, size_t n, size_t size, gfp_t gfp);
	void *(*alloc)(struct kmem_cache *s, gfp_t gfp);
	void *(*alloc_node)(struct kmem_cache *s, gfp_t gfp, int nid);
	void *(*alloc_lru)(struct kmem_cache *s, struct list_lru *lru, gfp_t gfp);
#ifdef alloc_hooks
	typeof(kmem_cache_alloc_bulk_noprof) *alloc_bulk;
#else
	typeof(kmem_cache_alloc_bulk) *alloc_bulk;
#endif
	void (*free)(struct kmem_cache *s, void *p);
	void (*free_bulk)(struct kmem_cache *s, size_t n, void **p);
	void (*destroy)(struct kmem_cache *s);
	int (*shrink)(struct kmem_cache *s);
	unsigned int (*object_size)(struct kmem_cache *s);
	void (*free_many)(size_t n, void **p);
	void (*release[5])(const void *p);
	void (*release_sensitive)(const void *p, size_t len);
} functions = {
#ifdef alloc_hooks
	.resize = krealloc_noprof,
	.resize_array = krealloc_array_noprof,
	.alloc = kmem_cache_alloc_noprof,
	.alloc_node = kmem_cache_alloc_node_noprof,
	.alloc_lru = kmem_cache_alloc_lru_noprof,
	.alloc_bulk = kmem_cache_alloc_bulk_noprof,
#else
	.resize = krealloc,
	.resize_array = krealloc_array,
	.alloc = kmem_cache_alloc,
	.alloc_node = kmem_cache_alloc_node,
	.alloc_lru = kmem_cache_alloc_lru,
	.alloc_bulk = kmem_cache_alloc_bulk,
#endif
	.free = kmem_cache_free,
	.free_bulk = kmem_cache_free_bulk,
	.destroy = kmem_cache_destroy,
	.shrink = kmem_cache_shrink,
	.object_size = kmem_cache_size,
	.free_many = kfree_bulk,
	.release = { kfree, kvfree, vfree, kfree_sensitive, kfree_const },
	.release_sensitive = kvfree_sensitive,
};

/* Not all of these are one function for all kernels. */
static void more_addresses(struct kmem_cache *s)
{
#ifdef alloc_hooks
#if KERNEL_VERSION(6, 12, 0) <= LINUX_VERSION_CODE
	void *(*resize)(const void *p, size_t size, gfp_t gfp) = kvrealloc_noprof;
	bool (*charge)(void *p, gfp_t gfp) = kmem_cache_charge;
	void *p = kvmalloc(100, GFP_KERNEL);

	CHECK(charge(p, GFP_KERNEL));
	OURS(p = resize(p, 100000, GFP_KERNEL));
	kvfree(p);
#endif
#else
	void *(*resize)(const void *p, size_t old, size_t size, gfp_t gfp) = kvrealloc;
	void *(*zalloc)(struct kmem_cache *s, gfp_t gfp) = kmem_cache_zalloc;
	mempool_t *(*create)(int n, struct kmem_cache *s) = mempool_create_slab_pool;
	int (*init)(mempool_t *pool, int n, struct kmem_cache *s) = mempool_init_slab_pool;
	mempool_t *pool = create(2, s), on_stack = {};
	void *p = kvmalloc(100, GFP_KERNEL);

	OURS(p = resize(p, 100, 100000, GFP_KERNEL));
	kvfree(p);
	OURS(p = zalloc(s, GFP_KERNEL));
	CHECK(all_zero(p, sizeof(struct form)));
	kmem_cache_free(s, p);
	OURS(p = mempool_alloc(pool, GFP_KERNEL));
	mempool_free(p, pool);
	mempool_destroy(pool);
	CHECK(!init(&on_stack, 2, s));
	OURS(p = mempool_alloc(&on_stack, GFP_KERNEL));
	mempool_free(p, &on_stack);
	mempool_exit(&on_stack);
#endif
}

static void addresses(void)
{
	const struct functions *f = &functions;
	struct kmem_cache *s = KMEM_CACHE(form, 0);
	void *p[8], *q;
	unsigned int i;

	OURS(q = kmalloc(100, GFP_KERNEL));
	CHECK(ksize(q) >= 100);
	OURS(q = f->resize(q, 5000, GFP_KERNEL));
	OURS(q = f->resize_array(q, 100, 100, GFP_KERNEL));
	CHECK(!f->resize_array(q, SIZE_MAX, 2, GFP_KERNEL));
	f->free_many(1, &q);
	for (i = 0; i < ARRAY_SIZE(f->release); i++) {
		OURS(q = kmalloc(100, GFP_KERNEL));
		f->release[i](q);
	}
	OURS(q = kvmalloc(100, GFP_KERNEL));
	f->release_sensitive(q, 100);
	CHECK(f->object_size(s) == sizeof(struct form));
	OURS(p[0] = f->alloc(s, GFP_KERNEL));
	OURS(p[1] = f->alloc_node(s, GFP_KERNEL, NUMA_NO_NODE));
	CHECK(f->alloc_bulk(s, GFP_KERNEL, 2, p + 2));
	OURS(p[2]);
	OURS(p[3]);
	f->free(s, p[3]);
	f->free_bulk(s, 3, p);
	CHECK(!f->shrink(s));
	more_addresses(s);
	f->destroy(s);
	/* A cache of the kernel, and its objects, go the same way. */
	s = kmem_cache_create("dropin_form", sizeof(struct form), 0, SLAB_RECLAIM_ACCOUNT, NULL);
	KERNELS(q = f->alloc_lru(s, NULL, GFP_KERNEL));
	CHECK(ksize(q) >= sizeof(struct form));
	f->free(s, q);
	f->destroy(s);
	KERNELS(q = kmalloc(100, GFP_KERNEL | __GFP_NOFAIL));
	KERNELS(q = f->resize(q, 5000, GFP_KERNEL));
	f->free_many(1, &q);
}

#ifdef alloc_hooks
static void noprof_of_slab(void)
{
	void *p;

	OURS(p = kmalloc_noprof(100, GFP_KERNEL));
	kfree(p);
	OURS(p = kzalloc_noprof(100, GFP_KERNEL));
	CHECK(all_zero(p, 100));
	kfree(p);
	OURS(p = kmalloc_array_noprof(10, 10, GFP_KERNEL));
	kfree(p);
	OURS(p = kmalloc_node_noprof(100, GFP_KERNEL, 0));
	kfree(p);
	OURS(p = kmalloc_array_node_noprof(10, 10, GFP_KERNEL, 0));
	kfree(p);
	OURS(p = kmalloc_track_caller_noprof(100, GFP_KERNEL));
	kfree(p);
	OURS(p = kmalloc_node_track_caller_noprof(100, GFP_KERNEL, 0, _RET_IP_));
	OURS(p = krealloc_noprof(p, 300, GFP_KERNEL));
	OURS(p = krealloc_array_noprof(p, 10, 500, GFP_KERNEL));
	kfree(p);
	OURS(p = kmemdup_noprof("four", 5, GFP_KERNEL));
	CHECK(!strcmp(p, "four"));
	kfree(p);
	OURS(p = kvmalloc_noprof(100, GFP_KERNEL));
	kvfree(p);
	OURS(p = kvmalloc_node_noprof(100, GFP_KERNEL, 0));
	kvfree(p);
	OURS(p = kvmalloc_array_noprof(100, 100, GFP_KERNEL));
	kvfree(p);
	OURS(p = kvmalloc_array_node_noprof(100, 100, GFP_KERNEL, 0));
	kvfree(p);
	OURS(p = kvcalloc_noprof(100, 100, GFP_KERNEL));
	CHECK(all_zero(p, 10000));
	kvfree(p);
	OURS(p = kvcalloc_node_noprof(100, 100, GFP_KERNEL, 0));
	CHECK(all_zero(p, 10000));
	kvfree(p);
}

static void noprof_of_vmalloc(void)
{
	void *p;

	OURS(p = vmalloc_noprof(100));
	vfree(p);
	OURS(p = vzalloc_noprof(10000));
	CHECK(all_zero(p, 10000));
	vfree(p);
	OURS(p = vmalloc_node_noprof(100, 0));
	vfree(p);
	OURS(p = vzalloc_node_noprof(10000, 0));
	CHECK(all_zero(p, 10000));
	vfree(p);
	OURS(p = __vmalloc_noprof(100, GFP_KERNEL));
	vfree(p);
	OURS(p = __vmalloc_node_noprof(100, SZ_64K, GFP_KERNEL, 0, NULL));
	CHECK(ALIGNED(p, SZ_64K));
	vfree(p);
	OURS(p = __vmalloc_array_noprof(10, 100, GFP_KERNEL));
	vfree(p);
	OURS(p = vmalloc_array_noprof(10, 100));
	vfree(p);
	OURS(p = __vcalloc_noprof(100, 100, GFP_KERNEL));
	CHECK(all_zero(p, 10000));
	vfree(p);
	OURS(p = vcalloc_noprof(100, 100));
	CHECK(all_zero(p, 10000));
	vfree(p);
}
#endif

/* Before 6.10 they have one form alone. */
static void noprof(void)
{
#ifdef alloc_hooks
	noprof_of_slab();
	noprof_of_vmalloc();
#endif
}

static void rare_names(void)
{
	void *p;

	OURS(p = kmalloc_track_caller(100, GFP_KERNEL));
	kfree(p);
	OURS(p = kmalloc_node_track_caller(100, GFP_KERNEL, 0));
	kfree(p);
#ifdef kvcalloc_node
	OURS(p = kvcalloc_node(100, 100, GFP_KERNEL, 0));
	CHECK(all_zero(p, 10000));
	kvfree(p);
#endif
#ifdef kvmalloc_node_align
	OURS(p = kvmalloc_node_align(4096, 4096, GFP_KERNEL, 0));
	CHECK(ALIGNED(p, 4096));
	kvfree(p);
	OURS(p = kvmalloc_node_align_noprof(SZ_64K, SZ_64K, GFP_KERNEL, 0));
	CHECK(ALIGNED(p, SZ_64K));
	kvfree(p);
#endif
	OURS(p = vzalloc_node(10000, 0));
	CHECK(all_zero(p, 10000));
	vfree(p);
	OURS(p = __vmalloc_node(10000, SZ_64K, GFP_KERNEL, 0, NULL));
	CHECK(ALIGNED(p, SZ_64K));
	vfree(p);
	OURS(p = __vmalloc_array(100, 100, GFP_KERNEL));
	vfree(p);
	OURS(p = __vcalloc(100, 100, GFP_KERNEL));
	CHECK(all_zero(p, 10000));
	vfree(p);
}

static void arrays_from_user(void)
{
	unsigned long at = vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE,
				   MAP_ANONYMOUS | MAP_PRIVATE, 0);
	char __user *u = (char __user *)at;
	char *p;

	CHECK(!IS_ERR_VALUE(at));
	CHECK(!copy_to_user(u, "words", 6));
	OURS(p = memdup_array_user(u, 3, 2));
	CHECK(!strcmp(p, "words"));
	kfree(p);
	OURS(p = vmemdup_array_user(u, 300, 10));
	CHECK(!strcmp(p, "words"));
	kvfree(p);
	CHECK(memdup_array_user(u, SIZE_MAX, 2) == ERR_PTR(-EOVERFLOW));
	CHECK(vmemdup_array_user(u, SIZE_MAX, 2) == ERR_PTR(-EOVERFLOW));
	vm_munmap(at, PAGE_SIZE);
}

/* A size of one object, a count, and a structure with an array at its end; 7.x. */
static void typed(void)
{
#ifdef kmalloc_objs
	struct form *f;

	OURS(f = kmalloc_objs(*f, 7));
	kfree(f);
	OURS(f = kmalloc_flex(*f, tail, 7));
	kfree(f);
	OURS(f = kvmalloc_obj(*f));
	kvfree(f);
	OURS(f = kvmalloc_objs(*f, 1000));
	kvfree(f);
	OURS(f = kvmalloc_flex(*f, tail, 100000));
	kvfree(f);
	OURS(f = kvzalloc_obj(*f));
	CHECK(all_zero(f, sizeof(*f)));
	kvfree(f);
	OURS(f = kvzalloc_flex(*f, tail, 100000));
	CHECK(all_zero(f, sizeof(*f) + 100000));
	kvfree(f);
#endif
}

/* With a node and an alignment: what is a heap's, and what is the kernel's. */
static void resized_to_an_alignment(void)
{
#ifdef krealloc_node_align
	u8 *p, *q;

	/* An object of 192 bytes has room for 128, and rarely their alignment. */
	OURS(p = kmalloc(192, GFP_KERNEL));
	OURS(q = kmalloc(192, GFP_KERNEL));
	memset(p, 7, 192);
	memset(q, 7, 192);
	OURS(p = krealloc_node_align(p, 128, 128, GFP_KERNEL, 0));
	CHECK(ALIGNED(p, 128) && !memchr_inv(p, 7, 128));
	OURS(q = krealloc_node_align_noprof(q, 128, 128, GFP_KERNEL, 0));
	CHECK(ALIGNED(q, 128) && !memchr_inv(q, 7, 128));
	CHECK(krealloc_node_align(q, 0, 1, GFP_KERNEL, 0) == ZERO_SIZE_PTR);
	OURS(p = krealloc_node(p, 400, GFP_KERNEL, 0));
	OURS(p = kvrealloc_node_align(p, SZ_64K, SZ_64K, GFP_KERNEL, 0));
	CHECK(ALIGNED(p, SZ_64K) && !memchr_inv(p, 7, 128));
	OURS(p = kvrealloc_node_align_noprof(p, SZ_128K, 1, GFP_KERNEL, 0));
	OURS(p = kvrealloc_node(p, SZ_256K, GFP_KERNEL, 0));
	CHECK(!memchr_inv(p, 7, 128));
	kvfree(p);
	OURS(p = krealloc_node_align(NULL, 64, 64, GFP_KERNEL, 0));
	kfree(p);
	OURS(p = kvrealloc_node_align(NULL, SZ_64K, 64, GFP_KERNEL, 0));
	kvfree(p);
	KERNELS(p = kmalloc(100, GFP_KERNEL | __GFP_NOFAIL));
	memset(p, 9, 100);
	KERNELS(p = krealloc_node_align(p, 5000, 8, GFP_KERNEL, 0));
	KERNELS(p = kvrealloc_node_align(p, 100000, 8, GFP_KERNEL, 0));
	CHECK(!memchr_inv(p, 9, 100));
	kvfree(p);
#endif
}

static void areas_resized_to_an_alignment(void)
{
#ifdef vrealloc_node_align
	u8 *p;

	OURS(p = vrealloc_node_align(NULL, 100, SZ_64K, GFP_KERNEL, 0));
	CHECK(ALIGNED(p, SZ_64K));
	memset(p, 7, 100);
	OURS(p = vrealloc_node_align(p, 100000, SZ_128K, GFP_KERNEL, 0));
	CHECK(ALIGNED(p, SZ_128K) && !memchr_inv(p, 7, 100));
	OURS(p = vrealloc_node_align_noprof(p, 200000, 1, GFP_KERNEL, 0));
	OURS(p = vrealloc_node(p, 300000, GFP_KERNEL, 0));
	OURS(p = vrealloc_node_noprof(p, 400000, GFP_KERNEL, 0));
	OURS(p = vrealloc_noprof(p, 500000, GFP_KERNEL));
	CHECK(!memchr_inv(p, 7, 100));
	CHECK(!vrealloc_node_align(p, 0, 1, GFP_KERNEL, 0));
	CHECK(!vrealloc(NULL, 0, GFP_KERNEL));
	KERNELS(p = __vmalloc(100, GFP_KERNEL | __GFP_NOFAIL));
	memset(p, 9, 100);
	KERNELS(p = vrealloc_node_align(p, 100000, SZ_4K, GFP_KERNEL, 0));
	CHECK(!memchr_inv(p, 9, 100));
	vfree(p);
#endif
}

#ifdef kfree_rcu_nolock
struct anywhere {
	long a[4];
	struct kvfree_rcu_head rcu;
};

static void freed_anywhere_by_rcu(void)
{
	struct anywhere *a;

	OURS(a = kmalloc(sizeof(*a), GFP_KERNEL));
	rcu_read_lock();
	kfree_rcu_nolock(a, rcu);
	CHECK(dropin_owner(a) == OWNER_WAITS);
	rcu_read_unlock();
	KERNELS(a = kmalloc(sizeof(*a), GFP_KERNEL | __GFP_NOFAIL));
	kfree_rcu_nolock(a, rcu);
	a = NULL;
	kfree_rcu_nolock(a, rcu);
}
#endif

static void freed_anywhere(void)
{
#if KERNEL_VERSION(6, 18, 0) <= LINUX_VERSION_CODE
	void *p;

	OURS(p = kmalloc(100, GFP_KERNEL));
	kfree_nolock(p);
	/* It may have nothing. */
	p = kmalloc_nolock(100, 0, NUMA_NO_NODE);
	CHECK(!p || dropin_owner(p) == OWNER_KERNEL);
	kfree_nolock(p);
	kfree_nolock(NULL);
#endif
#if KERNEL_VERSION(7, 1, 0) <= LINUX_VERSION_CODE
	OURS(p = kvmalloc(100000, GFP_KERNEL));
	kvfree_atomic(p);
	KERNELS(p = __vmalloc(SZ_64K, GFP_KERNEL | __GFP_NOFAIL));
	kvfree_atomic(p);
	kvfree_atomic(NULL);
#endif
#ifdef kfree_rcu_nolock
	freed_anywhere_by_rcu();
#endif
}

/* One name with and without a member, before 6.5. */
static void freed_by_rcu_alone(void)
{
#if KERNEL_VERSION(6, 5, 0) > LINUX_VERSION_CODE
	struct form *f;

	OURS(f = kmalloc(sizeof(*f), GFP_KERNEL));
	kfree_rcu(f);
	OURS(f = vmalloc(100));
	kvfree_rcu(f);
	KERNELS(f = kmalloc(sizeof(*f), GFP_KERNEL | __GFP_NOFAIL));
	kfree_rcu(f);
#endif
}

static void freed_by_scope(void)
{
#if KERNEL_VERSION(6, 7, 0) <= LINUX_VERSION_CODE
	void *p __free(kvfree) = kvmalloc(100000, GFP_KERNEL);
	void *err __free(kvfree) = ERR_PTR(-ENOMEM);
#if KERNEL_VERSION(6, 13, 0) <= LINUX_VERSION_CODE
	void *secret __free(kfree_sensitive) = kmalloc(100, GFP_KERNEL);
#if KERNEL_VERSION(7, 1, 0) <= LINUX_VERSION_CODE
	void *atomic __free(kvfree_atomic) = kvmalloc(100000, GFP_KERNEL);

	OURS(atomic);
#endif
	OURS(secret);
#endif
	OURS(p);
	CHECK(IS_ERR(err));
#endif
}

static void constructed(void)
{
#ifdef KMHEAP_DROPIN_CACHE_ARGS
	struct kmem_cache_args args = { .ctor = construct };
	struct kmem_cache *s = kmem_cache_create("dropin_ctor", sizeof(struct form), &args, 0);
#else
	struct kmem_cache *s = kmem_cache_create("dropin_ctor", sizeof(struct form), 0, 0,
						 construct);
#endif
	struct form *f;

	OURS(f = kmem_cache_alloc(s, GFP_KERNEL));
	CHECK(f->n == 4711);
	kmem_cache_free(s, f);
	kmem_cache_destroy(s);
}

static void slab_pools(void)
{
	struct kmem_cache *s = KMEM_CACHE(form, 0);
	mempool_t pool = {};
	void *p;

	CHECK(!mempool_init_slab_pool(&pool, 2, s));
	OURS(p = mempool_alloc(&pool, GFP_KERNEL));
	mempool_free(p, &pool);
	mempool_exit(&pool);
	CHECK(!mempool_init(&pool, 2, mempool_alloc_slab, mempool_free_slab, s));
	OURS(p = mempool_alloc(&pool, GFP_KERNEL));
	mempool_free(p, &pool);
	mempool_exit(&pool);
	kmem_cache_destroy(s);
	CHECK(!mempool_init(&pool, 2, mempool_kmalloc, mempool_kfree, (void *)300));
	OURS(p = mempool_alloc(&pool, GFP_KERNEL));
	mempool_free(p, &pool);
	mempool_exit(&pool);
}

/* Elements that kmalloc() does not have. */
static void large_pools(void)
{
#ifdef mempool_create_kvmalloc_pool
	const size_t bytes = KMALLOC_MAX_SIZE + 1;
	mempool_t *pool = mempool_create_kvmalloc_pool(1, bytes), on_stack = {};
	void *p;

	CHECK(pool);
	if (!pool)
		return;
	OURS(p = mempool_alloc(pool, GFP_KERNEL));
	mempool_free(p, pool);
	mempool_destroy(pool);
	CHECK(!mempool_init_kvmalloc_pool(&on_stack, 1, bytes));
	OURS(p = mempool_alloc(&on_stack, GFP_KERNEL));
	mempool_free(p, &on_stack);
	mempool_exit(&on_stack);
	CHECK(!mempool_init(&on_stack, 1, mempool_kvmalloc, mempool_kvfree, (void *)bytes));
	OURS(p = mempool_alloc(&on_stack, GFP_KERNEL));
	mempool_free(p, &on_stack);
	mempool_exit(&on_stack);
#endif
}

void dropin_forms(void)
{
	addresses();
	noprof();
	rare_names();
	arrays_from_user();
	typed();
	resized_to_an_alignment();
	areas_resized_to_an_alignment();
	freed_anywhere();
	freed_by_rcu_alone();
	freed_by_scope();
	constructed();
	slab_pools();
	large_pools();
	pr_info("%u checks, %u wrong\n", nchecks, nwrong);
}
