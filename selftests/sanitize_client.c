// SPDX-License-Identifier: GPL-2.0
/* A client that misuses objects in the ways that KASAN and kmemleak find. */
#include <linux/err.h>
#include <linux/kmheap.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "client.h"

static struct kmheap *heap;

/* ---- misuse that KASAN finds: "small" or "large", then what is done to such an object */

static int victim_bytes(const char *which)
{
	return !strcmp(which, "small") ? 100 : !strcmp(which, "power") ? 128 : 50000;
}

static noinline u8 peek(const u8 *p, size_t at)
{
	return READ_ONCE(p[at]);
}

static noinline void poke(u8 *p, size_t at)
{
	WRITE_ONCE(p[at], 0x5a);
}

/* Give up half of the object and, if @again, take it back; then read the byte behind it. */
static void resize(u8 *p, size_t size, bool again)
{
	p = kmheap_realloc(heap, p, size / 2, GFP_KERNEL);
	if (again)
		p = kmheap_realloc(heap, p, size, GFP_KERNEL);
	size = again ? size : size / 2;
	poke(p, size - 1);
	client_say("got %u\n", peek(p, size));
}

static int kasan_cmd(char *args)
{
	char *which = strsep(&args, " ");
	size_t size = victim_bytes(which);
	u8 *p = kmheap_alloc(heap, size, GFP_KERNEL | __GFP_ZERO);

	if (!p || !args)
		return p ? -EINVAL : -ENOMEM;
	poke(p, 0);
	poke(p, size - 1);
	if (!strcmp(args, "over"))
		client_say("got %u\n", peek(p, size));
	else if (!strcmp(args, "over16"))
		client_say("got %u\n", peek(p, size + 15));
	else if (!strcmp(args, "write"))
		poke(p, size);
	else if (!strcmp(args, "shrunk") || !strcmp(args, "regrown"))
		resize(p, size, !strcmp(args, "regrown"));
	else if (!strcmp(args, "inside"))
		kmheap_free(p + 8);
	kmheap_free(p);
	if (!strcmp(args, "free"))
		client_say("got %u\n", peek(p, 0));
	else if (!strcmp(args, "freewrite"))
		poke(p, size - 1);
	else if (!strcmp(args, "twice"))
		kmheap_free(p);
	else if (!strcmp(args, "wiped"))
		kmheap_free_sensitive(p);
	else if (!strcmp(args, "reallocated") && kmheap_realloc(heap, p, size, GFP_KERNEL))
		client_say("got an object\n");
	return 0;
}

/* lose BYTES...: an object of each size that nobody frees */
static int lose_cmd(char *args)
{
	unsigned int bytes;
	char *word;

	while ((word = strsep(&args, " ")))
		if (kstrtouint(word, 0, &bytes) || !kmheap_zalloc(heap, bytes, GFP_KERNEL))
			return -EINVAL;
	return 0;
}

/* ---- leaks that kmemleak finds */

#define NHELD	32

/* Objects that point to one another; @held points to the first one, or is NULL. */
struct held {
	struct held *next;
	char bytes[116];
};

static struct held *held;
static void *held_data;		/* data: the objects it points to are not held by it */

/*
 * hold: a list of objects, each held by the one before; only the first is held by a pointer
 * outside.
 */
static int hold_cmd(char *args)
{
	unsigned int i;

	for (i = 0; i < NHELD; i++) {
		struct held *h = kmheap_zalloc(heap, sizeof(*h), GFP_KERNEL);

		if (!h)
			return -ENOMEM;
		h->next = held;
		held = h;
	}
	return 0;
}

/* drop: forget the second half of the list, by clearing the last pointer to its first object. */
static int drop_cmd(char *args)
{
	struct held *h = held;
	unsigned int i;

	for (i = 1; i < NHELD / 2; i++)
		h = h->next;
	WRITE_ONCE(h->next, NULL);
	return 0;
}

/* hide: an object that only data points to */
static int hide_cmd(char *args)
{
	void **data = kmheap_alloc_data(heap, 200, GFP_KERNEL);

	if (!data)
		return -ENOMEM;
	memset(data, 0, 200);
	data[3] = kmheap_zalloc(heap, 320, GFP_KERNEL);
	held_data = data;
	return data[3] ? 0 : -ENOMEM;
}

/* free: free everything that is still held, some of it after a grace period */
static int free_cmd(char *args)
{
	struct held *h, *next;
	unsigned int i = 0;

	for (h = held; h; h = next, i++) {
		next = h->next;
		if (i % 2)
			kmheap_free(h);
		else
			kmheap_free_rcu(h);
	}
	held = NULL;
	kmheap_free(held_data);
	held_data = NULL;
	return 0;
}

/* churn: allocate and free objects of all sizes, in every way there is */
static int churn_cmd(char *args)
{
	unsigned int i;
	void *p[16];

	for (i = 0; i < 2000; i++) {
		size_t size = 1 + i * 37 % (i % 50 ? 2000 : 100000);

		kmheap_free_rcu(kmheap_alloc_data(heap, size, GFP_KERNEL));
		kmheap_free(kmheap_zalloc(heap, size, GFP_KERNEL));
		kmheap_free_bulk(kmheap_alloc_bulk(heap, 1 + size % 500, GFP_KERNEL, 16, p), p);
	}
	kmheap_rcu_barrier(heap);
	return 0;
}

/* Write over stack slots and registers of earlier commands. */
static int wipe_cmd(char *args)
{
	char bytes[1024];

	memset(bytes, 0, sizeof(bytes));
	OPTIMIZER_HIDE_VAR(args);
	barrier_data(bytes);
	return 0;
}

static const struct client_command sanitize_commands[] = {
	{ "kasan", kasan_cmd },
	{ "lose", lose_cmd },
	{ "hold", hold_cmd },
	{ "drop", drop_cmd },
	{ "hide", hide_cmd },
	{ "free", free_cmd },
	{ "churn", churn_cmd },
	{ "wipe", wipe_cmd },
	{}
};

static int __init sanitize_client_init(void)
{
	heap = kmheap_create("sanitize", &(struct kmheap_attr){ .owner = THIS_MODULE });
	client_commands = sanitize_commands;
	return PTR_ERR_OR_ZERO(heap);
}

static void __exit sanitize_client_exit(void)
{
	kmheap_destroy(heap);
}

module_init(sanitize_client_init);
module_exit(sanitize_client_exit);
MODULE_DESCRIPTION("kmheap selftest: misuse for KASAN, leaks for kmemleak");
MODULE_LICENSE("GPL");
