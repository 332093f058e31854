// SPDX-License-Identifier: GPL-2.0
/* KUnit: at a limit room is made for what is needed, of whatever others have and do not use. */
#include <linux/llist.h>
#include <linux/sizes.h>

#include "block_kunit.h"

#define ROOM_BYTES	(4UL << 20)

static size_t total_before;

static int room_init(struct kunit *test)
{
	total_before = kmh_total_limit;
	return mheap_init(test);
}

static void room_exit(struct kunit *test)
{
	WRITE_ONCE(kmh_backend_no_block, false);
	WRITE_ONCE(kmh_total_limit, total_before);
	kmh_kunit_exit(test);
}

/* From here on the module may have @bytes more of arenas, and nothing beside them. */
static void leave_room(size_t bytes)
{
	size_t arenas = atomic_long_read(&kmh_total_bytes) + bytes;

	WRITE_ONCE(kmh_total_limit, atomic_long_read(&kmh_total_base) + kmh_shared_bytes() +
				    DIV_ROUND_UP(arenas * 5, 4));
}

/* No other heap has anything to give but one, which has ROOM_BYTES in free pages. */
static struct kmheap *heap_with_room(struct kunit *test)
{
	struct kmheap *heap = heap_new(test, "kunit-room", 0);
	void **p;

	kmh_kick_stop(&heap->scavenge.kick);	/* it would make room itself */
	kmh_shrink_all();
	p = load_objects(test, heap, SZ_1K, ROOM_BYTES / SZ_1K);
	kmheap_free_bulk(ROOM_BYTES / SZ_1K, p);
	kunit_kfree(test, p);
	kmh_kunit_no_worker(heap);
	kmh_heap_drain(heap);
	KUNIT_EXPECT_GE(test, mheap_of(heap)->pa.nfree << KMH_PAGE_SHIFT, ROOM_BYTES);
	return heap;
}

/* The limit has room for a block, but there is none: room is made for an area. */
static void room_is_made_for_an_area(struct kunit *test)
{
	struct kmheap *other = heap_with_room(test), *heap;
	void *p;

	heap = heap_backed(test, KMH_BACKING_AUTO);
	kmh_kunit_shrink(heap);
	WRITE_ONCE(heap->next_arena_bytes, KMH_ARENA_FULL_MIN_BYTES);
	leave_room(3 * KMH_BLOCK_MIN_BYTES);
	WRITE_ONCE(kmh_backend_no_block, true);
	p = kmheap_alloc(heap, SZ_1K, GFP_KERNEL);
	WRITE_ONCE(kmh_backend_no_block, false);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_TRUE(test, is_vmalloc_addr(p));
	kmheap_free(p);
	kmheap_destroy(heap);
	kmheap_destroy(other);
}

/* ---- what comes with an area for user space */

/* Take every descriptor that there is, but with @large_too those of large spans. */
static void take_descriptors(struct llist_head *spans, bool large_too)
{
	unsigned int class;
	struct kmh_mspan *s;

	for (class = KMH_SPANCLASS_TINY; class < KMH_NR_SPANCLASSES; class++)
		while ((s = kmh_mspan_get(class)))
			__llist_add(&s->node, spans);
	while (large_too && (s = kmh_mspan_get(LARGE)))
		__llist_add(&s->node, spans);
}

static void put_descriptors(struct llist_head *spans)
{
	struct kmh_mspan *s, *next;

	llist_for_each_entry_safe(s, next, __llist_del_all(spans), node)
		kmh_mspan_put(s);
}

/* The pages fit, their tables do not: others give back what these need. */
static void user_area_gets_its_tables(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *other = heap_with_room(test);
	LLIST_HEAD(spans);
	void *p;

	kmh_kunit_no_worker(heap);
	KUNIT_ASSERT_EQ(test, kmh_mspan_pools_refill(KMH_SPAN_RESERVE, GFP_KERNEL), 0);
	take_descriptors(&spans, false);
	leave_room(SZ_256K + SZ_1K);
	p = kmheap_alloc_user(heap, SZ_256K, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->refused), 0L);
	WRITE_ONCE(kmh_total_limit, total_before);
	put_descriptors(&spans);
	kmheap_free(p);
	kmheap_destroy(other);
}

/* The same for the first thing that the object needs, its descriptor. */
static void user_area_gets_a_descriptor(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *other = heap_with_room(test);
	LLIST_HEAD(spans);
	void *p;

	kmh_kunit_no_worker(heap);
	take_descriptors(&spans, true);
	leave_room(0);
	p = kmheap_alloc_user(heap, SZ_256K, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->refused), 0L);
	WRITE_ONCE(kmh_total_limit, total_before);
	put_descriptors(&spans);
	kmheap_free(p);
	kmheap_destroy(other);
}

/* ---- arenas of one object */

struct gone_object {
	struct kmheap *heap;
	void *p;
	bool done;
};

/* The worker has yet to give the object's arena back. */
static void allocate_now(void *arg)
{
	struct gone_object *g = arg;

	g->p = kmheap_alloc(g->heap, SZ_1M, GFP_KERNEL);
	WRITE_ONCE(g->done, true);
}

/* Another heap's arena of an object that was freed is memory that nobody uses. */
static void dedicated_arenas_are_taken(struct kunit *test)
{
	struct gone_object g = { .heap = kmh_kunit_heap(test) };
	struct kmheap *other = heap_new(test, "kunit-room", 0);
	void *p = kmheap_alloc(other, SZ_8M, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_no_worker(other);
	kmh_kunit_no_worker(g.heap);
	kmh_shrink_all();
	kmh_kunit_shrink(g.heap);
	leave_room(SZ_64K);
	kmh_kunit_at_any(test, "grow: the reserve is refilled", allocate_now, &g);
	kmheap_free(p);
	kmh_kunit_wait_for(test, READ_ONCE(g.done));
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("grow: the reserve is refilled"));
	KUNIT_EXPECT_NOT_NULL(test, g.p);
	WRITE_ONCE(kmh_total_limit, total_before);
	kmheap_free(g.p);
	kmheap_destroy(other);
}

static struct kunit_case room_cases[] = {
	KUNIT_CASE(room_is_made_for_an_area),
	KUNIT_CASE(user_area_gets_its_tables),
	KUNIT_CASE(user_area_gets_a_descriptor),
	KUNIT_CASE(dedicated_arenas_are_taken),
	{ }
};

static struct kunit_suite room_suite = {
	.name = "kmheap_limit_room",
	.init = room_init,
	.exit = room_exit,
	.test_cases = room_cases,
};

kunit_test_suite(room_suite);
