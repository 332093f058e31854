// SPDX-License-Identifier: GPL-2.0
/*
 * A client whose init function makes a heap and allocates in every way there is. When one of the
 * allocations gets nothing it frees what it has and fails, as it should; with leaky=1 it forgets
 * the second of its tables where the text fails.
 */
#include <linux/err.h>
#include <linux/kmheap.h>
#include <linux/module.h>
#include <linux/numa.h>

#include "client.h"

static bool leaky;
module_param(leaky, bool, 0444);
MODULE_PARM_DESC(leaky, "forget an object where an allocation fails");

#define TABLES	4U

static struct kmheap *fail_heap;
static void *list, *table[TABLES], *near, *text, *buffer, *all[5];

static void fail_undo(void)
{
	kmheap_free_bulk(ARRAY_SIZE(all), all);
	kmheap_free(buffer);
	kmheap_free(text);
	kmheap_free(near);
	kmheap_free_bulk(TABLES, table);
	kmheap_free(list);
	kmheap_destroy(fail_heap);
}

/* The bodies differ, or the compiler makes one function of them. */
static noinline int fail_make_list(void)
{
	list = kmheap_alloc(fail_heap, 64, GFP_KERNEL);
	return list ? 0 : -ENOMEM;
}

static noinline int fail_make_tables(void)
{
	unsigned int i;

	for (i = 0; i < TABLES; i++) {
		table[i] = kmheap_zalloc(fail_heap, 1000, GFP_KERNEL);
		if (!table[i])
			return -ENOMEM;
	}
	near = kmheap_alloc_node(fail_heap, 200, GFP_KERNEL, numa_node_id());
	return near ? 0 : -ENOMEM;
}

static noinline int fail_make_text(void)
{
	text = kmheap_alloc_data(fail_heap, 8, GFP_KERNEL);
	if (text)
		return 0;
	if (leaky)
		table[1] = NULL;
	return -ENOMEM;
}

static noinline int fail_make_buffer(void)
{
	buffer = kmheap_alloc(fail_heap, 100000, GFP_KERNEL);
	barrier();
	return buffer ? 0 : -ENOMEM;
}

static noinline int fail_make_all(void)
{
	size_t n = kmheap_alloc_bulk(fail_heap, 32, GFP_KERNEL, ARRAY_SIZE(all), all);

	return n == ARRAY_SIZE(all) ? 0 : -ENOMEM;
}

/* What a running client does now and then: take and give one object. */
static noinline int fail_take(char *args)
{
	void *p = kmheap_alloc(fail_heap, 128, GFP_KERNEL);

	client_say("failed %d\n", !p);
	kmheap_free(p);
	return p ? 0 : -ENOMEM;
}

/* Likewise by a caller that cannot sleep. */
static int fail_take_atomic(char *args)
{
	void *p = kmheap_alloc(fail_heap, 128, GFP_ATOMIC);

	client_say("failed %d\n", !p);
	kmheap_free(p);
	return p ? 0 : -ENOMEM;
}

static const struct client_command commands[] = {
	{ "take", fail_take },
	{ "take_atomic", fail_take_atomic },
	{}
};

static int __init fail_client_init(void)
{
	int err;

	client_commands = commands;
	fail_heap = kmheap_create("fails", &(struct kmheap_attr){ .owner = THIS_MODULE });
	if (IS_ERR(fail_heap))
		return PTR_ERR(fail_heap);
	err = fail_make_list() ?: fail_make_tables() ?: fail_make_text() ?: fail_make_buffer() ?:
	      fail_make_all();
	if (err)
		fail_undo();
	return err;
}

static void __exit fail_client_exit(void)
{
	fail_undo();
}

module_init(fail_client_init);
module_exit(fail_client_exit);
MODULE_DESCRIPTION("kmheap selftest: allocations that are made to fail");
MODULE_LICENSE("GPL");
