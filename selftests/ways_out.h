/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every way out of a heap that a client has, for a kernel that wants freed memory wiped: the
 * objects in the first table leave by each way in the second one. Documentation/api.rst lists
 * the ways. The KUnit suite and a client module both run through it.
 */
#ifndef _KMHEAP_WAYS_OUT_H
#define _KMHEAP_WAYS_OUT_H

#include <linux/err.h>
#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/kmheap.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define WAYS_OUT_SOIL	0xa5

struct ways_out {
	struct kmheap *heap;
	struct kmheap *collected;
	void *root;		/* an object of the collected heap, which stays */
	struct kmheap_cache *cache;	/* the object's, if it is of one */
	/*
	 * Gets the name of each way, the object that left by it, and how many of its bytes
	 * are not 0.
	 */
	void (*left)(void *ctx, const char *way, size_t bytes, bool data, size_t nleft);
	void *ctx;
};

struct way_out {
	const char *name;
	void (*leave)(struct ways_out *w, void *p, size_t bytes);
	bool collected;		/* only for the collected heap */
	bool cached;		/* of objects of a cache, */
	unsigned int flags;	/* with these flags */
};

static void leave_free(struct ways_out *w, void *p, size_t bytes)
{
	kmheap_free(p);
}

static void leave_sized(struct ways_out *w, void *p, size_t bytes)
{
	kmheap_free_sized(p, bytes);
}

static void leave_sensitive(struct ways_out *w, void *p, size_t bytes)
{
	kmheap_free_sensitive(p);
}

static void leave_bulk(struct ways_out *w, void *p, size_t bytes)
{
	void *all[] = { NULL, p, kmheap_alloc(w->heap, bytes, GFP_KERNEL) };

	kmheap_free_bulk(ARRAY_SIZE(all), all);
}

/* Neighbours that leave in one call go to their span together. */
static void leave_bulk_row(struct ways_out *w, void *p, size_t bytes)
{
	void *all[16] = { p };
	unsigned int i;

	for (i = 1; i < ARRAY_SIZE(all); i++)
		all[i] = kmheap_alloc(w->heap, bytes, GFP_KERNEL);
	kmheap_free_bulk(ARRAY_SIZE(all), all);
}

static void leave_cached(struct ways_out *w, void *p, size_t bytes)
{
	kmheap_cache_free(w->cache, p);
}

static void leave_cached_bulk(struct ways_out *w, void *p, size_t bytes)
{
	void *all[] = { p, kmheap_cache_alloc(w->cache, GFP_KERNEL) };

	kmheap_cache_free_bulk(w->cache, ARRAY_SIZE(all), all);
}

static void leave_cached_rcu(struct ways_out *w, void *p, size_t bytes)
{
	kmheap_cache_free_rcu(w->cache, p);
}

static void leave_rcu(struct ways_out *w, void *p, size_t bytes)
{
	kmheap_free_rcu(p);
}

/* The object allocated next shares a block with a packed one, and lives on. */
static void leave_rcu_beside(struct ways_out *w, void *p, size_t bytes)
{
	void *next = kmheap_alloc_data(w->heap, bytes, GFP_KERNEL);

	kmheap_free_rcu(p);
	kmheap_rcu_barrier(w->heap);
	kmheap_rcu_barrier(w->heap);
	kmheap_free(next);
}

struct leave_in_irq {
	struct irq_work work;
	void *p;
};

static void leave_irq(struct irq_work *work)
{
	kmheap_free(container_of(work, struct leave_in_irq, work)->p);
}

static void leave_hardirq(struct ways_out *w, void *p, size_t bytes)
{
	struct leave_in_irq irq = { .p = p };

	init_irq_work(&irq.work, leave_irq);
	irq_work_queue(&irq.work);
	irq_work_sync(&irq.work);
}

static void leave_ipi(void *p)
{
	kmheap_free(p);
}

static void leave_elsewhere(struct ways_out *w, void *p, size_t bytes)
{
	on_each_cpu_mask(cpumask_of(cpumask_last(cpu_online_mask)), leave_ipi, p, true);
}

static void leave_moved(struct ways_out *w, void *p, size_t bytes)
{
	kmheap_free(kmheap_realloc(NULL, p, 3 * bytes + 16, GFP_KERNEL));
}

static void leave_nothing(struct ways_out *w, void *p, size_t bytes)
{
	if (kmheap_realloc(NULL, p, 0, GFP_KERNEL) != ZERO_SIZE_PTR)
		pr_err("ways out: realloc to no bytes\n");
}

static void leave_shrunk(struct ways_out *w, void *p, size_t bytes)
{
	kmheap_free(kmheap_realloc(NULL, p, 1 + bytes / 2, GFP_KERNEL));
}

static void leave_finalizer(void *p, void *arg)
{
}

static void leave_finalized(struct ways_out *w, void *p, size_t bytes)
{
	if (kmheap_set_finalizer(p, leave_finalizer, NULL))
		pr_err("ways out: no finalizer\n");
	kmheap_free(p);
}

static void leave_finalized_rcu(struct ways_out *w, void *p, size_t bytes)
{
	if (kmheap_set_finalizer(p, leave_finalizer, NULL))
		pr_err("ways out: no finalizer\n");
	kmheap_free_rcu(p);
}

static void leave_weak(struct ways_out *w, void *p, size_t bytes)
{
	struct kmheap_weak *weak = kmheap_weak_create(p);

	kmheap_free(p);
	kmheap_weak_destroy(weak);
}

static void leave_weak_rcu(struct ways_out *w, void *p, size_t bytes)
{
	struct kmheap_weak *weak = kmheap_weak_create(p);

	kmheap_free_rcu(p);
	kmheap_weak_destroy(weak);
}

/* Mark nothing but the root, so that everything else in the heap is garbage. */
static void leave_garbage(struct ways_out *w, void *p, size_t bytes)
{
	int err = kmheap_collect_begin(w->collected);

	kmheap_mark(w->collected, w->root);
	if (err || kmheap_collect_end(w->collected))
		pr_err("ways out: no collection\n");
}

static void leave_garbage_finalized(struct ways_out *w, void *p, size_t bytes)
{
	if (kmheap_set_finalizer(p, leave_finalizer, NULL))
		pr_err("ways out: no finalizer\n");
	leave_garbage(w, p, bytes);
}

static void leave_garbage_weak(struct ways_out *w, void *p, size_t bytes)
{
	struct kmheap_weak *weak = kmheap_weak_create(p);

	leave_garbage(w, p, bytes);
	kmheap_weak_destroy(weak);
}

static const struct way_out ways_out[] = {
	{ "free", leave_free },
	{ "free_sized", leave_sized },
	{ "free_sensitive", leave_sensitive },
	{ "free_bulk", leave_bulk },
	{ "free_bulk_row", leave_bulk_row },
	{ "free_rcu", leave_rcu },
	{ "free_rcu_beside", leave_rcu_beside },
	{ "free_hardirq", leave_hardirq },
	{ "free_elsewhere", leave_elsewhere },
	{ "realloc_moves", leave_moved },
	{ "realloc_to_nothing", leave_nothing },
	{ "realloc_shrinks", leave_shrunk },
	{ "finalizer", leave_finalized },
	{ "finalizer_rcu", leave_finalized_rcu },
	{ "weak", leave_weak },
	{ "weak_rcu", leave_weak_rcu },
	{ "cache_free", leave_cached, .cached = true },
	{ "cache_free_bulk", leave_cached_bulk, .cached = true },
	{ "cache_free_rcu", leave_cached_rcu, .cached = true },
	{ "cache_kmheap_free", leave_free, .cached = true },
	{ "cache_typesafe", leave_cached, .cached = true, .flags = KMHEAP_CACHE_TYPESAFE_BY_RCU },
	{ "collected_free", leave_free, .collected = true },
	{ "collected_free_rcu", leave_rcu, .collected = true },
	{ "collected", leave_garbage, .collected = true },
	{ "collected_finalizer", leave_garbage_finalized, .collected = true },
	{ "collected_weak", leave_garbage_weak, .collected = true },
};

static const struct {
	size_t bytes;
	bool data;
} ways_out_objects[] = {
	{ 1, true }, { 4, true }, { 8, true }, { 12, true }, { 8 }, { 64 }, { 200, true },
	{ 3000 }, { 32768 }, { 50000 }, { 200000, true },
};

/* Fill the object. The compiler may know fewer bytes of it than it has, so @p is hidden from it. */
static u8 *ways_out_soiled(void *p, size_t bytes)
{
	OPTIMIZER_HIDE_VAR(p);
	return p ? memset(p, WAYS_OUT_SOIL, bytes) : NULL;
}

/* Bytes that are not 0. The page allocator has to wipe memory that has gone back to the kernel. */
static size_t ways_out_left(const u8 *p, size_t bytes)
{
	size_t i, n = 0;
	u8 byte;

	for (i = 0; i < bytes; i++)
		n += !copy_from_kernel_nofault(&byte, p + i, 1) && byte;
	return n;
}

/* Can the object come in that way? A cache has small ones, which are not data. */
static bool way_out_fits(const struct way_out *way, size_t bytes, bool data)
{
	return !way->cached || (!data && bytes <= KMHEAP_MAX_SMALL / 2);
}

static void *way_out_come(struct ways_out *w, const struct way_out *way, size_t bytes, bool data)
{
	const struct kmheap_cache_args args = { .name = "ways_out", .size = bytes,
						.flags = way->flags };
	struct kmheap *heap = way->collected ? w->collected : w->heap;

	if (way->cached) {
		w->cache = kmheap_cache_create(heap, &args);
		return IS_ERR(w->cache) ? NULL : kmheap_cache_alloc(w->cache, GFP_KERNEL);
	}
	return data ? kmheap_alloc_data(heap, bytes, GFP_KERNEL) :
		      kmheap_alloc(heap, bytes, GFP_KERNEL);
}

static void way_out_walk(struct ways_out *w, const struct way_out *way, size_t bytes, bool data)
{
	struct kmheap *heap = way->collected ? w->collected : w->heap;
	void *p = way_out_come(w, way, bytes, data);
	size_t usable = kmheap_size(p);

	if (!ways_out_soiled(p, usable)) {
		w->left(w->ctx, way->name, bytes, data, SIZE_MAX);
		return;
	}
	way->leave(w, p, bytes);
	kmheap_rcu_barrier(heap);
	if (way->cached)
		kmheap_cache_destroy(w->cache);
	w->left(w->ctx, way->name, bytes, data, ways_out_left(p, usable));
}

/* Runs of pages have one way out. The page allocator wipes those of a heap that ends. */
static void way_out_pages(struct ways_out *w)
{
	void *p = kmheap_alloc_pages(w->heap, 2, GFP_KERNEL);

	if (!ways_out_soiled(p, 2 * KMHEAP_PAGE_SIZE)) {
		w->left(w->ctx, "free_pages", 2 * KMHEAP_PAGE_SIZE, false, SIZE_MAX);
		return;
	}
	kmheap_free_pages(p, 2);
	w->left(w->ctx, "free_pages", 2 * KMHEAP_PAGE_SIZE, false,
		ways_out_left(p, 2 * KMHEAP_PAGE_SIZE));
}

static void ways_out_walk(struct ways_out *w)
{
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(ways_out); i++)
		for (j = 0; j < ARRAY_SIZE(ways_out_objects); j++)
			if (way_out_fits(&ways_out[i], ways_out_objects[j].bytes,
					 ways_out_objects[j].data))
				way_out_walk(w, &ways_out[i], ways_out_objects[j].bytes,
					     ways_out_objects[j].data);
	way_out_pages(w);
}

/* How many objects ways_out_walk() tells of. */
static size_t ways_out_nleft(void)
{
	size_t i, j, n = 1;

	for (i = 0; i < ARRAY_SIZE(ways_out); i++)
		for (j = 0; j < ARRAY_SIZE(ways_out_objects); j++)
			n += way_out_fits(&ways_out[i], ways_out_objects[j].bytes,
					  ways_out_objects[j].data);
	return n;
}

#endif /* _KMHEAP_WAYS_OUT_H */
