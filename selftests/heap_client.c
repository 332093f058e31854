// SPDX-License-Identifier: GPL-2.0
/*
 * A client that does with its heaps what the test tells it: create, fill, free at once, after
 * a grace period or by a collection, shrink, destroy, one heap at a time or many at once, or
 * leave them undestroyed.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/completion.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kmheap.h>
#include <linux/kthread.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
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
	void *run;			/* a run of pages; one for each heap */
	unsigned long run_pages;
	struct llist_head spare;	/* chained objects that a soft limit may take */
	unsigned int trims;		/* calls of its callback, and the latest excess */
	size_t trim_bytes;
	char name[32];
};

static LIST_HEAD(held_heaps);
static bool heap_forget;
static struct task_struct *heap_reader;	/* holds up grace periods */
static DECLARE_COMPLETION(heap_reading);

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

static struct held_heap *heap_new(const char *name, size_t limit, unsigned int flags)
{
	const struct kmheap_attr attr = {
		.flags = flags,
		.limit_bytes = limit,
		.owner = THIS_MODULE,
	};
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

static int heap_hold_as(struct held_heap *h, size_t bytes, gfp_t gfp)
{
	struct held_object *o = kzalloc(sizeof(*o), GFP_KERNEL);

	if (!o)
		return -ENOMEM;
	o->bytes = bytes;
	o->p = kmheap_alloc(h->heap, bytes, gfp);
	if (!o->p) {
		kfree(o);
		return -ENOSPC;
	}
	memset(o->p, heap_pattern(o->p), bytes);
	list_add(&o->list, &h->objects);
	return 0;
}

static int heap_hold(struct held_heap *h, size_t bytes)
{
	return heap_hold_as(h, bytes, GFP_KERNEL);
}

static void heap_leave(const void *p)
{
}

/*
 * @free is kmheap_free() or kmheap_free_rcu(), or heap_leave() to make the object garbage.
 * Returns -EUCLEAN when the object's contents have changed.
 */
static int heap_let_go(struct held_object *o, void (*free)(const void *p))
{
	int err = memchr_inv(o->p, heap_pattern(o->p), o->bytes) ? -EUCLEAN : 0;

	free(o->p);
	list_del(&o->list);
	kfree(o);
	return err;
}

/* Forget the records alone; the heap frees the objects when it ends. */
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

	return err ?: PTR_ERR_OR_ZERO(heap_new(name, limit, 0));
}

/* collected NAME: create a collected heap */
static int heap_collected_cmd(char *args)
{
	return PTR_ERR_OR_ZERO(heap_new(args, 0, KMHEAP_COLLECTED));
}

/* destroy NAME: with all objects that are left in it */
static int heap_destroy_cmd(char *args)
{
	struct held_heap *h = heap_find(args);

	if (!h)
		return -ENOENT;
	heap_destroy(h);
	return 0;
}

/* alloc NAME BYTES COUNT: says how many objects were allocated */
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

/* NAME BYTES: of which heap, and how much */
static struct held_heap *heap_and_bytes(char *args, unsigned long *bytes)
{
	struct held_heap *h = heap_find(strsep(&args, " "));

	return args && !kstrtoul(args, 0, bytes) ? h : NULL;
}

/* urgent NAME BYTES: an object for a caller that cannot sleep */
static int heap_urgent_cmd(char *args)
{
	unsigned long bytes;
	struct held_heap *h = heap_and_bytes(args, &bytes);

	return h ? heap_hold_as(h, bytes, GFP_ATOMIC) : -ENOENT;
}

/* move NAME BYTES: give the newest object another size */
static int heap_move_cmd(char *args)
{
	unsigned long bytes;
	struct held_heap *h = heap_and_bytes(args, &bytes);
	struct held_object *o;
	void *p;

	if (!h || list_empty(&h->objects))
		return -ENOENT;
	o = list_first_entry(&h->objects, struct held_object, list);
	p = kmheap_realloc(h->heap, o->p, bytes, GFP_KERNEL);
	if (!p)
		return -ENOSPC;
	o->p = p;
	o->bytes = bytes;
	memset(p, heap_pattern(p), bytes);
	return 0;
}

/* spare NAME BYTES COUNT: objects that the callback of a soft limit frees */
static int heap_spare_cmd(char *args)
{
	struct held_heap *h = heap_find(strsep(&args, " "));
	unsigned long bytes, count, i;
	void *p;

	if (!h || !args)
		return -ENOENT;
	if (sscanf(args, "%lu %lu", &bytes, &count) != 2 || bytes < sizeof(struct llist_node))
		return -EINVAL;
	for (i = 0; i < count; i++) {
		p = kmheap_alloc(h->heap, bytes, GFP_KERNEL);
		if (!p)
			return -ENOSPC;
		llist_add(p, &h->spare);
	}
	return 0;
}

static void heap_trim(struct kmheap *heap, size_t over_bytes, void *data)
{
	struct held_heap *h = data;
	struct llist_node *n = llist_del_all(&h->spare);

	while (n) {
		struct llist_node *next = n->next;

		kmheap_free(n);
		n = next;
	}
	WRITE_ONCE(h->trim_bytes, over_bytes);
	WRITE_ONCE(h->trims, h->trims + 1);
}

/* soft NAME BYTES: a soft limit with a callback; 0 for none */
static int heap_soft_cmd(char *args)
{
	struct held_heap *h = heap_find(strsep(&args, " "));
	unsigned long bytes;

	if (!h || !args)
		return -ENOENT;
	if (kstrtoul(args, 0, &bytes))
		return -EINVAL;
	return kmheap_set_soft_limit(h->heap, bytes, heap_trim, h);
}

/* trims NAME: how often the callback was called, and its last excess */
static int heap_trims_cmd(char *args)
{
	struct held_heap *h = heap_find(args);

	if (!h)
		return -ENOENT;
	client_say("trims %u\nover_bytes %zu\n", READ_ONCE(h->trims), READ_ONCE(h->trim_bytes));
	return 0;
}

/* NAME COUNT: let go of the newest objects; says how many */
static int heap_let_go_some(char *args, void (*free)(const void *p))
{
	struct held_heap *h = heap_find(strsep(&args, " "));
	unsigned long count, i;
	int err = 0;

	if (!h || !args)
		return -ENOENT;
	if (kstrtoul(args, 0, &count))
		return -EINVAL;
	for (i = 0; i < count && !list_empty(&h->objects) && !err; i++)
		err = heap_let_go(list_first_entry(&h->objects, struct held_object, list), free);
	client_say("freed %lu\n", i);
	return err;
}

/* free NAME COUNT */
static int heap_free_cmd(char *args)
{
	return heap_let_go_some(args, kmheap_free);
}

/* rcu NAME COUNT: free COUNT objects after a grace period */
static int heap_rcu_cmd(char *args)
{
	return heap_let_go_some(args, kmheap_free_rcu);
}

/* barrier NAME */
static int heap_barrier_cmd(char *args)
{
	struct held_heap *h = heap_find(args);

	if (!h)
		return -ENOENT;
	kmheap_rcu_barrier(h->heap);
	return 0;
}

static bool heap_reader_left;		/* it ended before it was told to */

/* Hold up grace periods, for ten seconds at most in case the test dies. */
static int heap_reader_run(void *unused)
{
	unsigned long end = jiffies + 10 * HZ;

	rcu_read_lock();
	complete(&heap_reading);
	while (!kthread_should_stop() && time_before(jiffies, end))
		cpu_relax();
	WRITE_ONCE(heap_reader_left, !kthread_should_stop());
	rcu_read_unlock();
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ / 100);
	return 0;
}

static void heap_stop_reader(void)
{
	if (heap_reader)
		kthread_stop(heap_reader);
	heap_reader = NULL;
}

/* reader on, reader off */
static int heap_reader_cmd(char *args)
{
	struct task_struct *task;

	heap_stop_reader();
	if (strcmp(args, "on"))
		return READ_ONCE(heap_reader_left) ? -ETIME : 0;
	WRITE_ONCE(heap_reader_left, false);
	task = kthread_run(heap_reader_run, NULL, "kmheap-reader");
	if (IS_ERR(task))
		return PTR_ERR(task);
	heap_reader = task;
	wait_for_completion(&heap_reading);
	return 0;
}

/* pages NAME COUNT: allocate a run of COUNT pages; 0 frees it */
static int heap_pages_cmd(char *args)
{
	struct held_heap *h = heap_find(strsep(&args, " "));
	unsigned long npages;

	if (!h || !args)
		return -ENOENT;
	if (kstrtoul(args, 0, &npages) || !npages == !h->run)
		return -EINVAL;
	if (npages) {
		h->run = kmheap_alloc_pages(h->heap, npages, GFP_KERNEL);
		h->run_pages = npages;
		return h->run ? 0 : -ENOSPC;
	}
	kmheap_free_pages(h->run, h->run_pages);
	h->run = NULL;
	return 0;
}

/* collect NAME KEEP: mark the KEEP newest objects; the others are garbage */
static int heap_collect_cmd(char *args)
{
	struct held_heap *h = heap_find(strsep(&args, " "));
	struct held_object *o, *next;
	unsigned long keep;
	int err;

	if (!h || !args)
		return -ENOENT;
	if (kstrtoul(args, 0, &keep))
		return -EINVAL;
	err = kmheap_collect_begin(h->heap);
	if (err)
		return err;
	list_for_each_entry_safe(o, next, &h->objects, list) {
		if (keep) {
			kmheap_mark(h->heap, o->p);
			keep--;
		} else {
			err = heap_let_go(o, heap_leave) ?: err;
		}
	}
	return kmheap_collect_end(h->heap) ?: err;
}

static void heap_finalized(void *p, void *count)
{
	atomic_inc(count);
}

/* finalize NAME COUNT: give the newest objects a finalizer */
static int heap_finalize_cmd(char *args)
{
	static atomic_t finalized;
	struct held_heap *h = heap_find(strsep(&args, " "));
	struct held_object *o;
	unsigned long count;
	int err;

	if (!h || !args)
		return -ENOENT;
	if (kstrtoul(args, 0, &count))
		return -EINVAL;
	list_for_each_entry(o, &h->objects, list) {
		if (!count--)
			break;
		err = kmheap_set_finalizer(o->p, heap_finalized, &finalized);
		if (err)
			return err;
	}
	return 0;
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
	h = heap_new(name, 0, 0);
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

/* none: check and free all objects of all heaps, then destroy the heaps */
static int heap_none_cmd(char *args)
{
	struct held_heap *h, *next;
	unsigned int heaps = 0;
	int err = 0;

	list_for_each_entry_safe(h, next, &held_heaps, list) {
		while (!list_empty(&h->objects))
			err = heap_let_go(list_first_entry(&h->objects, struct held_object, list),
					  kmheap_free) ?: err;
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
	{ "collected", heap_collected_cmd },
	{ "destroy", heap_destroy_cmd },
	{ "alloc", heap_alloc_cmd },
	{ "urgent", heap_urgent_cmd },
	{ "move", heap_move_cmd },
	{ "free", heap_free_cmd },
	{ "spare", heap_spare_cmd },
	{ "soft", heap_soft_cmd },
	{ "trims", heap_trims_cmd },
	{ "rcu", heap_rcu_cmd },
	{ "barrier", heap_barrier_cmd },
	{ "reader", heap_reader_cmd },
	{ "pages", heap_pages_cmd },
	{ "collect", heap_collect_cmd },
	{ "finalize", heap_finalize_cmd },
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

	heap_stop_reader();
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
