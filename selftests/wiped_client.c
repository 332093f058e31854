// SPDX-License-Identifier: GPL-2.0
/* A client that writes to every object before it frees it, in every way there is. */
#include <linux/kmheap.h>
#include <linux/module.h>

#include "client.h"
#include "ways_out.h"

static struct kmheap *heap, *collected;
static void *pin, *root;		/* these keep an arena from going back */
static unsigned int nobjects, nbad;

/* A line for each object that was not wiped, as long as there is room. */
static void say_left(void *ctx, const char *way, size_t bytes, bool data, size_t nleft)
{
	nobjects++;
	if (!nleft)
		return;
	nbad++;
	client_say("left %s:%s%zu:%zu\n", way, data ? "data-" : "", bytes, nleft);
}

static int walk_cmd(char *args)
{
	struct ways_out w = { .heap = heap, .collected = collected, .root = root,
			      .left = say_left };

	nobjects = 0;
	nbad = 0;
	ways_out_walk(&w);
	client_say("objects %u\nbad %u\nall %zu\n", nobjects, nbad, ways_out_nleft());
	return 0;
}

static const struct client_command commands[] = {
	{ "walk", walk_cmd },
	{ }
};

static void wiped_end(void)
{
	kmheap_destroy(heap);
	kmheap_destroy(collected);
}

static int __init wiped_init(void)
{
	heap = kmheap_create("wiped", &(struct kmheap_attr){ .owner = THIS_MODULE });
	collected = kmheap_create("wiped_collected",
				  &(struct kmheap_attr){ .flags = KMHEAP_COLLECTED,
							 .owner = THIS_MODULE });
	pin = IS_ERR_OR_NULL(heap) ? NULL : kmheap_alloc(heap, 100, GFP_KERNEL);
	root = IS_ERR_OR_NULL(collected) ? NULL : kmheap_alloc(collected, 100, GFP_KERNEL);
	if (!pin || !root) {
		wiped_end();
		return -ENOMEM;
	}
	client_commands = commands;
	return 0;
}

static void __exit wiped_exit(void)
{
	kmheap_free(pin);
	kmheap_free(root);
	wiped_end();
}

module_init(wiped_init);
module_exit(wiped_exit);
MODULE_DESCRIPTION("kmheap selftest: wiped when freed");
MODULE_LICENSE("GPL");
