// SPDX-License-Identifier: GPL-2.0
/*
 * A client that has objects of every kind, live and dead, and says where they are: what a reader of
 * the kernel's memory has to find there.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/kmheap.h>
#include <linux/module.h>

#include "client.h"

#define DUMP_OBJECTS	1000U

static struct kmheap *dump_heap;	/* profiled by the test */
static struct kmheap *dump_packed;	/* which is not, so that it packs what is small */
static struct kmheap_cache *dump_cache;

static struct {
	void *small, *freed, *cached, *large, *freed_large, *pages, *packed, *freed_packed;
} dump_at;
static void *dump_objects[DUMP_OBJECTS];

static noinline void *dump_from_small(void)
{
	void *p = kmheap_alloc(dump_heap, 100, GFP_KERNEL);

	if (p)
		memset(p, 0x55, 100);
	return p;
}

static noinline void *dump_from_large(void)
{
	void *p = kmheap_zalloc(dump_heap, 100000, GFP_KERNEL);

	barrier();
	return p;
}

/* The text of this function is gone once the module is live. */
static noinline void __init dump_from_init(void)
{
	unsigned int i;

	for (i = 0; i < 3; i++)
		dump_objects[i] = kmheap_alloc(dump_heap, 300, GFP_KERNEL);
}

/* fill: the objects that answers name, and as many others of all sizes as there is room for */
static int run_fill(char *args)
{
	unsigned int i;

	for (i = 3; i < DUMP_OBJECTS; i++) {
		dump_objects[i] = kmheap_alloc(dump_heap, 8 + i * 7 % 5000, GFP_KERNEL);
		if (!dump_objects[i])
			return -ENOMEM;
	}
	for (i = 3; i < DUMP_OBJECTS; i += 3) {
		kmheap_free(dump_objects[i]);
		dump_objects[i] = NULL;
	}
	dump_at.small = dump_from_small();
	dump_at.freed = dump_from_small();
	dump_at.cached = kmheap_cache_alloc(dump_cache, GFP_KERNEL);
	dump_at.large = dump_from_large();
	dump_at.freed_large = dump_from_large();
	dump_at.pages = kmheap_alloc_pages(dump_heap, 3, GFP_KERNEL);
	dump_at.packed = kmheap_alloc_data(dump_packed, 5, GFP_KERNEL);
	dump_at.freed_packed = kmheap_alloc_data(dump_packed, 4, GFP_KERNEL);
	if (!dump_at.small || !dump_at.freed || !dump_at.cached || !dump_at.large ||
	    !dump_at.freed_large || !dump_at.pages || !dump_at.packed || !dump_at.freed_packed)
		return -ENOMEM;
	kmheap_free(dump_at.freed);
	kmheap_free(dump_at.freed_large);
	kmheap_free(dump_at.freed_packed);
	return 0;
}

/* where: the addresses; of memory that is not kmheap's, one as well */
static int run_where(char *args)
{
	const struct {
		const char *name;
		const void *p;
	} all[] = {
		{ "small", dump_at.small }, { "freed", dump_at.freed },
		{ "cached", dump_at.cached }, { "large", dump_at.large },
		{ "freed_large", dump_at.freed_large }, { "pages", dump_at.pages },
		{ "packed", dump_at.packed }, { "freed_packed", dump_at.freed_packed },
		{ "init", dump_objects[0] }, { "none", dump_objects },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(all); i++)
		client_say("%s %lx\n", all[i].name, (unsigned long)all[i].p);
	return 0;
}

static const struct client_command commands[] = {
	{ "fill", run_fill }, { "where", run_where }, { }
};

static int __init dump_client_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };

	client_commands = commands;
	dump_heap = kmheap_create("dumped", &attr);
	if (IS_ERR(dump_heap))
		return PTR_ERR(dump_heap);
	dump_packed = kmheap_create("packed", &attr);
	if (IS_ERR(dump_packed)) {
		kmheap_destroy(dump_heap);
		return PTR_ERR(dump_packed);
	}
	dump_cache = kmheap_cache_create(dump_heap, &(struct kmheap_cache_args){
					 .name = "dumped ones", .size = 200 });
	if (IS_ERR(dump_cache)) {
		kmheap_destroy(dump_packed);
		kmheap_destroy(dump_heap);
		return PTR_ERR(dump_cache);
	}
	dump_from_init();
	return 0;
}

/* What is live then goes with its heap. */
static void __exit dump_client_exit(void)
{
	kmheap_destroy(dump_packed);
	kmheap_destroy(dump_heap);
}

module_init(dump_client_init);
module_exit(dump_client_exit);
MODULE_DESCRIPTION("kmheap selftest: objects whose addresses are known, for readers of dumps");
MODULE_LICENSE("GPL");
