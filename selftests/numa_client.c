// SPDX-License-Identifier: GPL-2.0
/*
 * On which node memory is, by the node that was asked for, the caller's CPU, and the kind of
 * request.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kmheap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/sched.h>
#include <linux/topology.h>
#include <linux/vmalloc.h>

#include "client.h"

static struct kmheap *numa_heap;

/* At the beginning of each object. */
struct numa_object {
	struct numa_object *next;
	size_t bytes;
};

static struct numa_object *numa_held;

static const size_t numa_sizes[] = { 16, 100, 1024, 5000, 32768, 40000, 300000 };

static struct numa_object *numa_hold(size_t bytes, gfp_t gfp, int nid)
{
	struct numa_object *o = kmheap_alloc_node(numa_heap, bytes, gfp | __GFP_NOWARN, nid);

	if (!o)
		return NULL;
	o->bytes = bytes;
	o->next = numa_held;
	numa_held = o;
	return o;
}

/* The node of each page of an object: on[nid] counts them. */
static void numa_count(const struct numa_object *o, unsigned long *on)
{
	const void *p = PTR_ALIGN_DOWN((void *)o, PAGE_SIZE), *end = (void *)o + o->bytes;

	for (; p < end; p += PAGE_SIZE)
		on[page_to_nid(vmalloc_to_page(p))]++;
}

static const struct {
	const char *name;
	gfp_t gfp;
} numa_kinds[] = {
	{ "kernel", GFP_KERNEL | __GFP_NORETRY },
	{ "thisnode", GFP_KERNEL | __GFP_NORETRY | __GFP_THISNODE },
	{ "atomic", GFP_ATOMIC },
	{ "atomic_thisnode", GFP_ATOMIC | __GFP_THISNODE },
};

/*
 * alloc NID KIB KIND: allocate KIB KiB in objects of all sizes, or as much as there is; NID
 * -1 for the node of the writing CPU. Says how many of their pages are on which node.
 */
static int numa_alloc_cmd(char *args)
{
	unsigned long on[MAX_NUMNODES > 8 ? 8 : MAX_NUMNODES] = { }, kib, got = 0;
	unsigned int i, n = 0, refused = 0;
	char kind[20];
	int nid;

	if (sscanf(args, "%d %lu %19s", &nid, &kib, kind) != 3 || nr_node_ids > ARRAY_SIZE(on))
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(numa_kinds); i++)
		if (!strcmp(numa_kinds[i].name, kind))
			break;
	if (i == ARRAY_SIZE(numa_kinds))
		return -EINVAL;
	while (got >> 10 < kib && !refused) {
		size_t bytes = numa_sizes[n++ % ARRAY_SIZE(numa_sizes)];
		struct numa_object *o = numa_hold(bytes, numa_kinds[i].gfp, nid);

		if (o)
			numa_count(o, on);
		refused += !o;
		got += o ? bytes : 0;
		cond_resched();
	}
	client_say("kib %lu\nrefused %u\n", got >> 10, refused);
	for (i = 0; i < nr_node_ids; i++)
		client_say("node%u %lu\n", i, on[i]);
	return 0;
}

/* free: free everything, from the writing CPU */
static int numa_free_cmd(char *args)
{
	struct numa_object *o;

	while ((o = numa_held)) {
		numa_held = o->next;
		kmheap_free(o);
		cond_resched();
	}
	return 0;
}

/* again NID KIB KIB: free, then alloc; this CPU's cache is not drained in between */
static int numa_again_cmd(char *args)
{
	numa_free_cmd(NULL);
	return numa_alloc_cmd(args);
}

static int numa_shrink_cmd(char *args)
{
	client_say("bytes %zu\n", kmheap_shrink(numa_heap));
	return 0;
}

/* here: the CPU and the node of the writer */
static int numa_here_cmd(char *args)
{
	client_say("cpu %d\nnode %d\nmemory_node %d\n", raw_smp_processor_id(), numa_node_id(),
		   numa_mem_id());
	return 0;
}

static const struct client_command numa_commands[] = {
	{ "alloc", numa_alloc_cmd },
	{ "free", numa_free_cmd },
	{ "again", numa_again_cmd },
	{ "shrink", numa_shrink_cmd },
	{ "here", numa_here_cmd },
	{}
};

static int __init numa_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };

	client_commands = numa_commands;
	numa_heap = kmheap_create("numa", &attr);
	return PTR_ERR_OR_ZERO(numa_heap);
}

static void __exit numa_exit(void)
{
	numa_free_cmd(NULL);
	kmheap_destroy(numa_heap);
}

module_init(numa_init);
module_exit(numa_exit);
MODULE_DESCRIPTION("kmheap selftest: memory of nodes");
MODULE_LICENSE("GPL");
