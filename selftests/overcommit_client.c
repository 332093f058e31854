// SPDX-License-Identifier: GPL-2.0
/*
 * Takes all the memory there is, until kmheap refuses, and gives it back; on demand a
 * shrinker meanwhile allocates from the same heap and frees into it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/kmheap.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/sizes.h>

#include "../kmod/base/compat.h"
#include "client.h"

static struct kmheap *over_heap;

/* ---- fill and empty */

/* At the beginning of each object. */
struct over_object {
	struct over_object *next;
	size_t bytes;
	unsigned long tag;		/* the last byte holds its lowest eight bits */
};

static u64 over_seed = 88172645463325252ULL;

static u32 over_random(void)
{
	over_seed ^= over_seed << 13;
	over_seed ^= over_seed >> 7;
	over_seed ^= over_seed << 17;
	return over_seed >> 16;
}

/*
 * Most bytes are in objects of some KiB, so that a round is short; some objects are small,
 * some large.
 */
static size_t over_bytes(void)
{
	u32 r = over_random();

	switch (r % 8) {
	case 0:
		return sizeof(struct over_object) + 1 + (r >> 8) % 500;
	case 1:
		return KMHEAP_MAX_SMALL + 1 + (r >> 8) % (300 << 10);
	default:
		return 2048 + (r >> 8) % (KMHEAP_MAX_SMALL - 2048);
	}
}

static struct over_object *over_alloc(size_t bytes, gfp_t gfp)
{
	struct over_object *o = kmheap_alloc(over_heap, bytes, gfp);

	if (!o)
		return NULL;
	o->bytes = bytes;
	o->tag = (unsigned long)o * 0x9e3779b97f4a7c15UL >> 32;
	((u8 *)o)[bytes - 1] = o->tag;
	return o;
}

static bool over_is_right(const struct over_object *o)
{
	unsigned long tag = (unsigned long)o * 0x9e3779b97f4a7c15UL >> 32;

	return o->tag == tag && ((const u8 *)o)[o->bytes - 1] == (u8)tag;
}

struct over_round {
	struct over_object *first;
	unsigned long objects, bad;
	u64 bytes;
};

/*
 * The worker grows the heap for callers that cannot sleep: these try again for as long as
 * that brings something.
 */
static void over_fill(struct over_round *r, gfp_t gfp)
{
	unsigned int refusals = 0, patience = gfpflags_allow_blocking(gfp) ? 1 : 100;
	u64 enough = SZ_1M;

	while (refusals < patience) {
		struct over_object *o = over_alloc(over_bytes(), gfp | __GFP_NOWARN);

		if (!o) {
			if (++refusals < patience)
				msleep(20);
			continue;
		}
		o->next = r->first;
		r->first = o;
		r->bytes += o->bytes;
		if (r->bytes >= enough) {
			refusals = 0;
			enough = r->bytes + SZ_1M;
		}
		if (!(++r->objects % 64))
			cond_resched();
	}
}

static void over_empty(struct over_round *r)
{
	struct over_object *o;

	while ((o = r->first)) {
		r->first = o->next;
		r->bad += !over_is_right(o);
		kmheap_free(o);
		cond_resched();
	}
}

static const struct {
	const char *name;
	gfp_t gfp;
} over_kinds[] = {
	{ "noretry", GFP_KERNEL | __GFP_NORETRY },
	{ "mayfail", GFP_KERNEL | __GFP_RETRY_MAYFAIL },
	{ "nofs", GFP_NOFS | __GFP_NORETRY },
	{ "nowait", GFP_NOWAIT },
	{ "atomic", GFP_ATOMIC },
};

/*
 * round KIND [SCOPE]: allocate as KIND says until nothing is left, free all of it and give it
 * back. One command does all, because others find no memory in between. SCOPE: nofs or noio.
 */
static int over_round_cmd(char *args)
{
	const char *kind = strsep(&args, " ");
	struct over_round r = { };
	unsigned int i, flags = 0;

	for (i = 0; i < ARRAY_SIZE(over_kinds); i++)
		if (!strcmp(over_kinds[i].name, kind))
			break;
	if (i == ARRAY_SIZE(over_kinds))
		return -EINVAL;
	if (args && !strcmp(args, "noio"))
		flags = memalloc_noio_save();
	else if (args)
		flags = memalloc_nofs_save();
	over_fill(&r, over_kinds[i].gfp);
	if (args && !strcmp(args, "noio"))
		memalloc_noio_restore(flags);
	else if (args)
		memalloc_nofs_restore(flags);
	client_say("objects %lu\nbytes %llu\n", r.objects, r.bytes);
	over_empty(&r);
	client_say("bad %lu\ngiven_back %zu\n", r.bad, kmheap_shrink(over_heap));
	return 0;
}

/* ---- a shrinker that uses kmheap */

#define OVER_KEPT	64U

static DEFINE_MUTEX(over_mutex);		/* protects what follows; only tried from reclaim */
static struct over_object *over_kept[OVER_KEPT];
static unsigned int over_turn;
static unsigned long over_scans, over_allocs, over_refused, over_bad;
static unsigned long over_reclaim_scans;	/* those of them inside an allocation */

static void over_let_go(unsigned int i)
{
	if (over_kept[i])
		over_bad += !over_is_right(over_kept[i]);
	kmheap_free(over_kept[i]);
	over_kept[i] = NULL;
}

static unsigned long over_count(struct shrinker *shrinker, struct shrink_control *sc)
{
	return OVER_KEPT;
}

/* Replace the objects that are kept, one by one, with the flags of @sc, which may be GFP_KERNEL. */
static unsigned long over_scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	unsigned int i;

	if (!mutex_trylock(&over_mutex))
		return SHRINK_STOP;
	over_scans++;
	over_reclaim_scans += !!(current->flags & PF_MEMALLOC);
	for (i = 0; i < 8; i++) {
		unsigned int at = over_turn++ % OVER_KEPT;

		over_let_go(at);
		over_kept[at] = over_alloc(over_bytes(), sc->gfp_mask | __GFP_NOWARN);
		over_allocs += !!over_kept[at];
		over_refused += !over_kept[at];
	}
	mutex_unlock(&over_mutex);
	return 8;
}

static struct shrinker *over_shrinker;

static bool over_recursing;

static void over_stop_recursion(void)
{
	unsigned int i;

	if (!over_recursing)
		return;
	over_recursing = false;
	kmh_shrinker_destroy(over_shrinker);
	for (i = 0; i < OVER_KEPT; i++)
		over_let_go(i);
}

/* recurse on, recurse off: the latter says what the shrinker has done */
static int over_recurse_cmd(char *args)
{
	int err;

	if (strcmp(args, "on")) {
		over_stop_recursion();
		client_say("scans %lu\nreclaim_scans %lu\nallocs %lu\n", over_scans,
			   over_reclaim_scans, over_allocs);
		client_say("refused %lu\nbad %lu\n", over_refused, over_bad);
		return 0;
	}
	over_shrinker = kmh_shrinker_create("overcommit", over_count, over_scan, NULL);
	err = over_shrinker ? 0 : -ENOMEM;
	over_recursing = !err;
	return err;
}

static const struct client_command over_commands[] = {
	{ "round", over_round_cmd },
	{ "recurse", over_recurse_cmd },
	{}
};

static int __init over_init(void)
{
	const struct kmheap_attr attr = { .owner = THIS_MODULE };

	client_commands = over_commands;
	over_heap = kmheap_create("overcommit", &attr);
	return PTR_ERR_OR_ZERO(over_heap);
}

static void __exit over_exit(void)
{
	over_stop_recursion();
	kmheap_destroy(over_heap);
}

module_init(over_init);
module_exit(over_exit);
MODULE_DESCRIPTION("kmheap selftest: more than there is");
MODULE_LICENSE("GPL");
