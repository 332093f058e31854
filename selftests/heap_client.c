// SPDX-License-Identifier: GPL-2.0
/*
 * A client that does with its heaps what the test tells it: create, fill, free,
 * shrink, destroy, one by one or many at once, or go without destroying them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kmheap.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "client.h"

struct held_object {
	struct list_head list;
	void *p;
	size_t bytes;
};

struct held_heap {
	struct list_head list;
	struct list_head objects;	/* newest first */
	struct kmheap *heap;
	char name[32];
};

static LIST_HEAD(held_heaps);
static bool heap_forget;

static u8 heap_pattern(const void *p)
{
	return (unsigned long)p >> 3 | 1;
}

static struct held_heap *heap_find(const char *name)
{
	struct held_heap *h;

	list_for_each_entry(h, &held_heaps, list)
		if (!strcmp(h->name, name))
			return h;
	return NULL;
}

static struct held_heap *heap_new(const char *name, size_t limit)
{
	const struct kmheap_attr attr = { .limit_bytes = limit, .owner = THIS_MODULE };
	struct held_heap *h = kzalloc(sizeof(*h), GFP_KERNEL);
	int err;

	if (!h)
		return ERR_PTR(-ENOMEM);
	strscpy(h->name, name, sizeof(h->name));
	INIT_LIST_HEAD(&h->objects);
	h->heap = kmheap_create(h->name, &attr);
	if (IS_ERR(h->heap)) {
		err = PTR_ERR(h->heap);
		kfree(h);
		return ERR_PTR(err);
	}
	list_add_tail(&h->list, &held_heaps);
	return h;
}

static int heap_hold(struct held_heap *h, size_t bytes)
{
	struct held_object *o = kzalloc(sizeof(*o), GFP_KERNEL);

	if (!o)
		return -ENOMEM;
	o->bytes = bytes;
	o->p = kmheap_alloc(h->heap, bytes, GFP_KERNEL);
	if (!o->p) {
		kfree(o);
		return -ENOSPC;
	}
	memset(o->p, heap_pattern(o->p), bytes);
	list_add(&o->list, &h->objects);
	return 0;
}

/* -EUCLEAN when the object is not as it was left. */
static int heap_let_go(struct held_object *o)
{
	int err = memchr_inv(o->p, heap_pattern(o->p), o->bytes) ? -EUCLEAN : 0;

	kmheap_free(o->p);
	list_del(&o->list);
	kfree(o);
	return err;
}

/* The records alone; the heap takes the objects with it. */
static void heap_forget_objects(struct held_heap *h)
{
	struct held_object *o, *next;

	list_for_each_entry_safe(o, next, &h->objects, list)
		kfree(o);
}

static void heap_destroy(struct held_heap *h)
{
	kmheap_destroy(h->heap);
	heap_forget_objects(h);
	list_del(&h->list);
	kfree(h);
}

/* create NAME [LIMIT] */
static int heap_create_cmd(char *args)
{
	char *name = strsep(&args, " ");
	unsigned long limit = 0;
	int err = args ? kstrtoul(args, 0, &limit) : 0;

	return err ?: PTR_ERR_OR_ZERO(heap_new(name, limit));
}

/* destroy NAME: whatever is left in it */
static int heap_destroy_cmd(char *args)
{
	struct held_heap *h = heap_find(args);

	if (!h)
		return -ENOENT;
	heap_destroy(h);
	return 0;
}

/* alloc NAME BYTES COUNT: says how many it got */
static int heap_alloc_cmd(char *args)
{
	struct held_heap *h = heap_find(strsep(&args, " "));
	unsigned long bytes, count, i;
	int err = 0;

	if (!h || !args)
		return -ENOENT;
	if (sscanf(args, "%lu %lu", &bytes, &count) != 2)
		return -EINVAL;
	for (i = 0; i < count && !err; i++)
		err = heap_hold(h, bytes);
	client_say("allocated %lu\n", err ? i - 1 : i);
	return err;
}

/* free NAME COUNT: the newest first; says how many */
static int heap_free_cmd(char *args)
{
	struct held_heap *h = heap_find(strsep(&args, " "));
	unsigned long count, i;
	int err = 0;

	if (!h || !args)
		return -ENOENT;
	if (kstrtoul(args, 0, &count))
		return -EINVAL;
	for (i = 0; i < count && !list_empty(&h->objects) && !err; i++)
		err = heap_let_go(list_first_entry(&h->objects, struct held_object, list));
	client_say("freed %lu\n", i);
	return err;
}

/* shrink NAME */
static int heap_shrink_cmd(char *args)
{
	struct held_heap *h = heap_find(args);

	if (!h)
		return -ENOENT;
	client_say("bytes %zu\n", kmheap_shrink(h->heap));
	return 0;
}

/* stats NAME: a few figures as the API gives them */
static int heap_stats_cmd(char *args)
{
	struct held_heap *h = heap_find(args);
	struct kmheap_stats st;

	if (!h)
		return -ENOENT;
	kmheap_stats(h->heap, &st);
	client_say("footprint_bytes %llu\nlive_bytes %llu\nfree_bytes %llu\ncached_bytes %llu\n",
		   st.footprint_bytes, st.live_bytes, st.free_bytes, st.cached_bytes);
	client_say("waste_bytes %llu\nmetadata_bytes %llu\nlive_objects %llu\nallocs %llu\n",
		   st.waste_bytes, st.metadata_bytes, st.live_objects, st.allocs);
	client_say("arenas %llu\nspans %llu\nrefused_allocs %llu\n", st.arenas, st.spans,
		   st.refused_allocs);
	return 0;
}

static int heap_new_many(unsigned int number, unsigned long count, unsigned long bytes)
{
	struct held_heap *h;
	char name[32];
	int err = 0;

	snprintf(name, sizeof(name), "many%u", number);
	h = heap_new(name, 0);
	if (IS_ERR(h))
		return PTR_ERR(h);
	while (count-- && !err)
		err = heap_hold(h, bytes);
	return err;
}

/* many HEAPS COUNT BYTES: heaps many0, many1, ... of COUNT objects each */
static int heap_many_cmd(char *args)
{
	unsigned long count, bytes;
	unsigned int heaps, i;
	int err = 0;

	if (sscanf(args, "%u %lu %lu", &heaps, &count, &bytes) != 3)
		return -EINVAL;
	for (i = 0; i < heaps && !err; i++)
		err = heap_new_many(i, count, bytes);
	client_say("heaps %u\n", err ? i - 1 : i);
	return err;
}

/* none: checks and frees all objects of all heaps, then destroys the heaps */
static int heap_none_cmd(char *args)
{
	struct held_heap *h, *next;
	unsigned int heaps = 0;
	int err = 0;

	list_for_each_entry_safe(h, next, &held_heaps, list) {
		while (!list_empty(&h->objects))
			err = heap_let_go(list_first_entry(&h->objects, struct held_object,
							   list)) ?: err;
		heap_destroy(h);
		heaps++;
		cond_resched();
	}
	client_say("heaps %u\n", heaps);
	return err;
}

/* forget: leave all heaps behind when the module goes */
static int heap_forget_cmd(char *args)
{
	heap_forget = true;
	return 0;
}

static const struct client_command heap_commands[] = {
	{ "create", heap_create_cmd },
	{ "destroy", heap_destroy_cmd },
	{ "alloc", heap_alloc_cmd },
	{ "free", heap_free_cmd },
	{ "shrink", heap_shrink_cmd },
	{ "stats", heap_stats_cmd },
	{ "many", heap_many_cmd },
	{ "none", heap_none_cmd },
	{ "forget", heap_forget_cmd },
	{}
};

static int __init heap_init(void)
{
	client_commands = heap_commands;
	return 0;
}

static void __exit heap_exit(void)
{
	struct held_heap *h, *next;

	list_for_each_entry_safe(h, next, &held_heaps, list) {
		if (heap_forget) {
			heap_forget_objects(h);
			kfree(h);
		} else {
			heap_destroy(h);
		}
	}
}

module_init(heap_init);
module_exit(heap_exit);
MODULE_DESCRIPTION("kmheap selftest: heaps on command");
MODULE_LICENSE("GPL");
