// SPDX-License-Identifier: GPL-2.0
/* KUnit: lockdep is told of each object that is freed, and finds the lock in it that is held. */
#include <linux/debug_locks.h>
#include <linux/lockdep.h>
#include <linux/stop_machine.h>
#include <linux/string.h>

#include "kunit_util.h"

#ifdef CONFIG_LOCKDEP

struct thing {
	long first;			/* where a quarantine links it */
	struct lockdep_map map;		/* of a lock, as lockdep sees it */
	char rest[100];
};

struct way {
	struct kunit *test;
	struct kmheap_cache *cache, *typed;
	struct thing *thing;
	void (*free)(struct way *w);
	bool held, reported;
};

static void by_free(struct way *w)
{
	kmheap_free(w->thing);
}

static void by_size(struct way *w)
{
	kmheap_free_sized(w->thing, sizeof(*w->thing));
}

static void by_any_size(struct way *w)
{
	size_t bytes = sizeof(*w->thing);

	OPTIMIZER_HIDE_VAR(bytes);
	kmheap_free_sized(w->thing, bytes);
}

static void by_bulk(struct way *w)
{
	void *p[2] = { NULL, w->thing };

	kmheap_free_bulk(2, p);
}

static void by_sensitive(struct way *w)
{
	kmheap_free_sensitive(w->thing);
}

static void by_pages(struct way *w)
{
	kmheap_free_pages(w->thing, 1);
}

static void by_cache(struct way *w)
{
	kmheap_cache_free(w->cache, w->thing);
}

static void by_typed(struct way *w)
{
	kmheap_cache_free(w->typed, w->thing);
}

static void by_typed_heap(struct way *w)
{
	kmheap_free(w->thing);
}

static void by_rcu(struct way *w)
{
	kmheap_free_rcu(w->thing);
}

/*
 * A report ends lockdep, and it must not: nobody else takes a lock meanwhile, and nothing is
 * printed. Of the lock only its address is looked at once the object is free.
 */
static int free_with_lock(void *arg)
{
	static struct lock_class_key key;
	struct way *w = arg;
	struct lockdep_map *map = &w->thing->map;

	lockdep_init_map(map, "kunit-freed", &key, 0);
	lock_map_acquire(map);
	if (!w->held)
		lock_map_release(map);
	debug_locks_silent = 1;
	w->free(w);
	w->reported = !debug_locks;
	debug_locks = 1;
	debug_locks_silent = 0;
	if (w->held)
		lock_map_release(map);
	return 0;
}

static void expect(struct way *w, const char *name, struct thing *thing, bool report)
{
	struct kunit *test = w->test;

	KUNIT_ASSERT_NOT_NULL(test, thing);
	KUNIT_ASSERT_TRUE(test, debug_locks);
	w->thing = thing;
	KUNIT_ASSERT_EQ(test, stop_machine(free_with_lock, w, NULL), 0);
	KUNIT_EXPECT_EQ_MSG(test, w->reported, report, "%s, lock %s", name,
			    w->held ? "held" : "not held");
}

static void expect_in_each_way(struct way *w)
{
	struct kmheap *heap = kmh_kunit_heap(w->test);
	static const struct {
		const char *name;
		void (*free)(struct way *w);
		size_t bytes;
	} ways[] = {
		{ "kmheap_free()", by_free, sizeof(struct thing) },
		{ "large", by_free, 40000 },
		{ "kmheap_free_sized()", by_size, sizeof(struct thing) },
		{ "of any size", by_any_size, sizeof(struct thing) },
		{ "kmheap_free_bulk()", by_bulk, sizeof(struct thing) },
		{ "kmheap_free_sensitive()", by_sensitive, sizeof(struct thing) },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		w->free = ways[i].free;
		expect(w, ways[i].name, kmheap_alloc(heap, ways[i].bytes, GFP_KERNEL), w->held);
	}
	w->free = by_pages;
	expect(w, "kmheap_free_pages()", kmheap_alloc_pages(heap, 1, GFP_KERNEL), w->held);
	w->free = by_cache;
	expect(w, "kmheap_cache_free()", kmheap_cache_alloc(w->cache, GFP_KERNEL), w->held);
	w->free = by_typed;
	expect(w, "of a type-stable cache", kmheap_cache_alloc(w->typed, GFP_KERNEL), w->held);
	w->free = by_typed_heap;
	expect(w, "such an object", kmheap_cache_alloc(w->typed, GFP_KERNEL), w->held);
	/* It is unlinked under its own lock, and readers may have that. */
	w->free = by_rcu;
	expect(w, "kmheap_free_rcu()", kmheap_alloc(heap, sizeof(struct thing), GFP_KERNEL), false);
}

static void finds_held_locks(struct kunit *test)
{
	struct kmheap_cache_args args = { .name = "locked", .size = sizeof(struct thing) };
	struct way w = { .test = test };
	unsigned int i;

	w.cache = kmheap_cache_create(kmh_kunit_heap(test), &args);
	args.flags = KMHEAP_CACHE_TYPESAFE_BY_RCU;
	w.typed = kmheap_cache_create(kmh_kunit_heap(test), &args);
	KUNIT_ASSERT_FALSE(test, IS_ERR(w.cache) || IS_ERR(w.typed));
	for (i = 0; i < 2; i++) {
		w.held = i;
		expect_in_each_way(&w);
	}
	kmh_kunit_no_reports(test);
	kmheap_cache_destroy(w.cache);
	kmheap_cache_destroy(w.typed);
	kmheap_rcu_barrier(kmh_kunit_heap(test));
}

#else

static void finds_held_locks(struct kunit *test)
{
	kunit_skip(test, "a kernel without lockdep");
}

#endif

static struct kunit_case hooks_cases[] = {
	KUNIT_CASE(finds_held_locks),
	{ }
};

static struct kunit_suite hooks_suite = {
	.name = "kmheap_hooks",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = hooks_cases,
};

kunit_test_suite(hooks_suite);
