// SPDX-License-Identifier: GPL-2.0
/*
 * A client that allocates from one heap at several call sites and in several contexts, frees some
 * of it, and tells how many objects of each site live: what a profile of the heap has to say.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/kmheap.h>
#include <linux/module.h>

#include "client.h"

#define MOST_OBJECTS	4096U

/* A call site, and what lives of it: objects are freed in the order in which they came. */
struct profile_site {
	const char *name;
	void *(*alloc)(struct profile_site *site, size_t bytes);
	size_t bytes;
	void *p[MOST_OBJECTS];
	unsigned int first, n, failed;
};

static struct kmheap *profile_heap;
static struct kmheap *profile_init_heap;	/* what the init function allocates, which leaks */

/* The bodies differ, or the compiler makes one function of them. */
static noinline void *profile_from_list(struct profile_site *site, size_t bytes)
{
	void *p = kmheap_alloc(profile_heap, bytes, GFP_KERNEL);

	site->failed += !p;
	return p;
}

static noinline void *profile_from_table(struct profile_site *site, size_t bytes)
{
	void *p = kmheap_zalloc(profile_heap, bytes, GFP_KERNEL);

	if (!p)
		site->failed++;
	return p;
}

static noinline void *profile_from_text(struct profile_site *site, size_t bytes)
{
	char *p = kmheap_alloc_data(profile_heap, bytes, GFP_KERNEL);

	if (p)
		p[0] = '\0';
	else
		site->failed++;
	return p;
}

static noinline void *profile_from_buffer(struct profile_site *site, size_t bytes)
{
	void *p = kmheap_alloc(profile_heap, bytes, GFP_KERNEL | __GFP_NORETRY);

	site->failed += IS_ERR_OR_NULL(p);
	barrier();
	return p;
}

static noinline void *profile_from_interrupt(struct profile_site *site, size_t bytes)
{
	void *p = kmheap_alloc(profile_heap, bytes, GFP_ATOMIC);

	site->failed += !p;
	barrier();
	return p;
}

/* ---- four ways to one call site that differ in nothing but two return addresses */

static unsigned long twin_frame;	/* of the function that allocates, the first time */
static unsigned int twin_others;	/* how often it was another one */
static unsigned int twin_calls[2], twin_outer_calls[2];

static noinline void *profile_from_twin(struct profile_site *site, size_t bytes)
{
	unsigned long frame = (unsigned long)__builtin_frame_address(0);
	void *p = kmheap_alloc(profile_heap, bytes, GFP_KERNEL);

	twin_frame = twin_frame ?: frame;
	twin_others += frame != twin_frame;
	site->failed += !p;
	return p;
}

/* These have frames of the same size: they differ in the counter alone. */
static noinline void *twin_left(struct profile_site *site, size_t bytes)
{
	void *p = profile_from_twin(site, bytes);

	twin_calls[0]++;
	return p;
}

static noinline void *twin_right(struct profile_site *site, size_t bytes)
{
	void *p = profile_from_twin(site, bytes);

	twin_calls[1]++;
	return p;
}

typedef void *(*twin_fn)(struct profile_site *site, size_t bytes);

static noinline void *twin_outer_left(struct profile_site *site, size_t bytes, twin_fn fn)
{
	void *p = fn(site, bytes);

	twin_outer_calls[0]++;
	return p;
}

static noinline void *twin_outer_right(struct profile_site *site, size_t bytes, twin_fn fn)
{
	void *p = fn(site, bytes);

	twin_outer_calls[1]++;
	return p;
}

static struct profile_site sites[] = {
	{ "list", profile_from_list, 64 },
	{ "table", profile_from_table, 1000 },
	{ "text", profile_from_text, 8 },
	{ "buffer", profile_from_buffer, 50000 },
	{ "interrupt", profile_from_interrupt, 200 },
	{ "twin", profile_from_twin, 300 },
};

static struct profile_site *site_of(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sites); i++)
		if (!strcmp(sites[i].name, name))
			return &sites[i];
	return NULL;
}

static void take(struct profile_site *site, unsigned int n)
{
	void *p;

	for (; n && site->n < MOST_OBJECTS; n--) {
		p = site->alloc(site, site->bytes);
		if (p)
			site->p[(site->first + site->n++) % MOST_OBJECTS] = p;
	}
}

static void give(struct profile_site *site, unsigned int n)
{
	for (; n && site->n; n--, site->n--) {
		kmheap_free(site->p[site->first]);
		site->first = (site->first + 1) % MOST_OBJECTS;
	}
}

/* ---- in an interrupt */

static unsigned int interrupt_objects;

static void interrupt_runs(struct irq_work *work)
{
	take(site_of("interrupt"), interrupt_objects);
}

static struct irq_work interrupt_work = IRQ_WORK_INIT_HARD(interrupt_runs);

static void take_in_interrupt(unsigned int n)
{
	interrupt_objects = n;
	irq_work_queue(&interrupt_work);
	irq_work_sync(&interrupt_work);
}

/* ---- commands */

/* alloc SITE N, free SITE N, churn SITE N (replace so many) */
static int run_site(char *args, void (*fn)(struct profile_site *site, unsigned int n))
{
	struct profile_site *site;
	char name[16];
	unsigned int n;

	if (sscanf(args, "%15s %u", name, &n) != 2)
		return -EINVAL;
	site = site_of(name);
	if (!site || !profile_heap)
		return -ENOENT;
	fn(site, n);
	return site->failed ? -ENOMEM : 0;
}

static void do_alloc(struct profile_site *site, unsigned int n)
{
	if (site->alloc == profile_from_interrupt)
		take_in_interrupt(n);
	else
		take(site, n);
}

static void do_churn(struct profile_site *site, unsigned int n)
{
	while (n--) {
		give(site, 1);
		take(site, 1);
		cond_resched();
	}
}

static int run_alloc(char *args)
{
	return run_site(args, do_alloc);
}

static int run_free(char *args)
{
	return run_site(args, give);
}

static int run_churn(char *args)
{
	return run_site(args, do_churn);
}

/*
 * twins N: N rounds, in each of which the ways are taken 1, 2, 3 and 4 times. Fails if there was
 * another depth of the stack than one.
 */
static int run_twins(char *args)
{
	static const twin_fn inner[] = { twin_left, twin_right };
	static void *(* const outer[])(struct profile_site *site, size_t bytes, twin_fn fn) = {
		twin_outer_left, twin_outer_right
	};
	struct profile_site *site = site_of("twin");
	unsigned int n, way, i;

	if (kstrtouint(args, 10, &n) || n > MOST_OBJECTS / 10 || site->n)
		return -EINVAL;
	twin_frame = 0;
	twin_others = 0;
	while (n--)
		for (way = 0; way < 4; way++)
			for (i = 0; i <= way; i++)
				site->p[site->n++] = outer[way / 2](site, site->bytes,
								    inner[way % 2]);
	site->first = 0;
	return site->failed ? -ENOMEM : twin_others ? -ENOTUNIQ : 0;
}

/* begin: make the heap; end: destroy it with what lives in it */
static int run_begin(char *args)
{
	struct kmheap *heap;

	if (profile_heap)
		return -EEXIST;
	heap = kmheap_create("profiled", &(struct kmheap_attr){ .owner = THIS_MODULE });
	if (IS_ERR(heap))
		return PTR_ERR(heap);
	profile_heap = heap;
	return 0;
}

static int run_end(char *args)
{
	unsigned int i;

	kmheap_destroy(profile_heap);
	profile_heap = NULL;
	for (i = 0; i < ARRAY_SIZE(sites); i++)
		sites[i].n = 0;
	return 0;
}

/* truth: how many objects, and how many bytes, live of each site */
static int run_truth(char *args)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sites); i++) {
		const struct profile_site *site = &sites[i];
		size_t bytes = site->n ? site->n * kmheap_size(site->p[site->first]) : 0;

		if (site->alloc == profile_from_buffer)		/* shown in whole heap pages */
			bytes = site->n * round_up(site->bytes, 8192);
		client_say("%s_objects %u\n%s_bytes %zu\n", site->name, site->n, site->name, bytes);
	}
	return 0;
}

/* leave N: objects in the default heap, which this module does not own */
static noinline int profile_from_leave(char *args)
{
	unsigned int n;

	if (kstrtouint(args, 0, &n))
		return -EINVAL;
	while (n--)
		if (!kmheap_alloc(NULL, 64, GFP_KERNEL))
			return -ENOMEM;
	return 0;
}

static const struct client_command commands[] = {
	{ "begin", run_begin },
	{ "end", run_end },
	{ "alloc", run_alloc },
	{ "free", run_free },
	{ "churn", run_churn },
	{ "leave", profile_from_leave },
	{ "twins", run_twins },
	{ "truth", run_truth },
	{}
};

/* The text of this function is gone once the module is live. */
static noinline int __init profile_from_init(void)
{
	unsigned int n;

	for (n = 0; n < 5; n++)
		if (!kmheap_alloc(profile_init_heap, 100, GFP_KERNEL))
			return -ENOMEM;
	return 0;
}

static int __init profile_client_init(void)
{
	int err;

	client_commands = commands;
	profile_init_heap = kmheap_create("from-init", &(struct kmheap_attr){
					  .owner = THIS_MODULE });
	if (IS_ERR(profile_init_heap))
		return PTR_ERR(profile_init_heap);
	err = profile_from_init();
	if (err)
		kmheap_destroy(profile_init_heap);
	return err;
}

static void __exit profile_client_exit(void)
{
	kmheap_destroy(profile_heap);
	kmheap_destroy(profile_init_heap);
}

module_init(profile_client_init);
module_exit(profile_client_exit);
MODULE_DESCRIPTION("kmheap selftest: objects of known call sites, for profiles");
MODULE_LICENSE("GPL");
