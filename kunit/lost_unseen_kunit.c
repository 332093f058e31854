// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: a client has freed an arena, the kernel has put one of another heap at its addresses, and
 * nobody has noticed yet: what the first heap still hands out is not its own. The cases give it an
 * address of another heap, or lead the map there.
 */
#include <linux/preempt.h>
#include <linux/sizes.h>

#include "kunit_util.h"

#define LARGE_BYTES	SZ_64K

/* What is handed out there gets no mark of its cache: the slot, if there is one, is another's. */
static void a_cache_marks_its_own_alone(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *other = kmheap_create("kunit-lost", NULL);
	struct kmheap_cache *cache;
	struct kmh_mspan *s, *mine;
	unsigned long last;
	u8 *theirs, *p;

	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	cache = kmheap_cache_create(heap, &(struct kmheap_cache_args){
		.name = "lost", .size = 200 });
	KUNIT_ASSERT_FALSE(test, IS_ERR(cache));
	theirs = kmheap_alloc(other, 200, GFP_KERNEL);
	p = kmheap_alloc(heap, 200, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, theirs && p);
	s = kmh_span_of((unsigned long)theirs);
	KUNIT_EXPECT_PTR_EQ(test, kmh_cache_mark(cache, theirs), (void *)theirs);
	KUNIT_EXPECT_EQ(test, s->cell[((unsigned long)theirs - s->base) / s->elemsize],
			KMH_CELL_LIVE);

	/* Not inside an object, and not behind the last one. */
	mine = kmh_span_of((unsigned long)p);
	KUNIT_EXPECT_PTR_EQ(test, kmh_cache_mark(cache, p + 8), (void *)p + 8);
	KUNIT_EXPECT_EQ(test, mine->cell[((unsigned long)p - mine->base) / mine->elemsize],
			KMH_CELL_LIVE);
	last = kmh_mspan_slot_addr(mine, mine->nelems);
	KUNIT_ASSERT_LT(test, last, mine->base + ((unsigned long)mine->npages << KMH_PAGE_SHIFT));
	mine->cell[mine->nelems] = KMH_CELL_LIVE;
	kmh_cache_mark(cache, (void *)last);
	KUNIT_EXPECT_EQ(test, mine->cell[mine->nelems], KMH_CELL_LIVE);
	mine->cell[mine->nelems] = KMH_CELL_OUT;

	kmh_cache_mark(cache, p);
	KUNIT_EXPECT_EQ(test, kmh_cell_cache(mine->cell[((unsigned long)p - mine->base) /
							mine->elemsize]),
			kmh_cell_cache(cache->cell));
	kmheap_cache_free(cache, p);
	kmheap_free(theirs);
	kmheap_cache_destroy(cache);
	kmheap_destroy(other);
}

/* A block for packed data that is opened there changes none of another heap. */
static void packed_blocks_of_others_stay(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *other = kmheap_create("kunit-lost", NULL);
	unsigned long page;
	struct kmh_mspan *mine;
	void *theirs, *p, *q;
	unsigned int slot;

	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	theirs = kmheap_alloc_data(other, 4, GFP_KERNEL);
	p = kmheap_alloc_data(heap, 12, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, theirs && p);
	mine = kmh_span_of((unsigned long)p);
	KUNIT_ASSERT_EQ(test, (int)mine->state, (int)KMH_SPAN_TINY);
	page = (unsigned long)p >> KMH_PAGE_SHIFT;
	kmh_arenamap_set(page, 1, kmh_span_of((unsigned long)theirs));
	q = kmheap_alloc_data(heap, 12, GFP_KERNEL);	/* its block would be the next one */
	kmh_arenamap_set(page, 1, mine);
	KUNIT_EXPECT_EQ(test, kmheap_size(theirs), (size_t)4);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_EXPECT_NE(test, (unsigned long)q >> KMH_PAGE_SHIFT, page);
	/* The block is nobody's then, as all of the arena soon is. */
	slot = ((unsigned long)p - mine->base) / mine->elemsize + 1;
	KUNIT_EXPECT_TRUE(test, kmh_slot_live(mine, slot));
	preempt_disable();
	kmh_kunit_free_remote(mine, slot);
	preempt_enable();
	kmheap_free(theirs);
	kmheap_free(p);
	kmheap_free(q);
	kmheap_destroy(other);
}

/* An object of @bytes for an NMI that gets no lock. */
static void *alloc_in_nmi(struct kmheap *heap, size_t bytes)
{
	struct kmh_mheap *mh = &kmh_heap_node(heap, numa_node_id())->mheap;
	unsigned long flags;
	void *p;

	raw_spin_lock_irqsave(&mh->lock, flags);
	__preempt_count_add(NMI_OFFSET);
	p = kmheap_alloc(heap, bytes, GFP_ATOMIC);
	__preempt_count_sub(NMI_OFFSET);
	raw_spin_unlock_irqrestore(&mh->lock, flags);
	return p;
}

/*
 * No NMI gets an object that was on a shelf, nor does what is at its address by now change, be it a
 * sentinel, another heap's object or one of another length; nor does that go with the shelf.
 */
static void a_shelf_leaves_others_alone(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test), *other = kmheap_create("kunit-lost", NULL);
	unsigned int kind = KMH_NR_SPANCLASSES + LARGE_BYTES / KMH_PAGE_SIZE - 1;
	void *theirs, *longer;
	struct kmheap_stats st;
	struct kmh_shelf *shelf;

	KUNIT_ASSERT_FALSE(test, IS_ERR(other));
	theirs = kmheap_alloc(other, LARGE_BYTES, GFP_KERNEL);
	longer = kmheap_alloc(heap, LARGE_BYTES + KMH_PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, theirs && longer);
	KUNIT_EXPECT_NULL(test, alloc_in_nmi(heap, LARGE_BYTES));
	kmh_kunit_settle(heap);			/* the worker has filled the shelf */
	kmh_kunit_no_worker(heap);
	shelf = READ_ONCE(heap->nmi.shelf[kind]);
	KUNIT_ASSERT_NOT_NULL(test, shelf);
	kmh_kunit_shrink(heap);			/* nothing is on a shelf, or parked */

	WRITE_ONCE(shelf->slot[0], theirs);
	KUNIT_EXPECT_NULL(test, alloc_in_nmi(heap, LARGE_BYTES));
	WRITE_ONCE(shelf->slot[0], longer);
	KUNIT_EXPECT_NULL(test, alloc_in_nmi(heap, LARGE_BYTES));
	WRITE_ONCE(shelf->slot[0], test);	/* no address of kmheap */
	KUNIT_EXPECT_NULL(test, alloc_in_nmi(heap, LARGE_BYTES));
	KUNIT_EXPECT_EQ(test, (int)kmh_span_none.state, (int)KMH_SPAN_NONE);
	KUNIT_EXPECT_EQ(test, kmheap_size(longer), (size_t)LARGE_BYTES + KMH_PAGE_SIZE);

	WRITE_ONCE(shelf->slot[0], theirs);
	kmh_nmi_drain(heap);
	WRITE_ONCE(shelf->slot[0], theirs);
	kmh_nmi_forget_lost(heap);
	KUNIT_EXPECT_NULL(test, shelf->slot[0]);
	kmh_kunit_no_reports(test);
	kmh_kunit_stats(other, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 1ULL);
	kmheap_free(theirs);
	kmheap_free(longer);
	kmheap_destroy(other);
}

static struct kunit_case lost_unseen_cases[] = {
	KUNIT_CASE(a_cache_marks_its_own_alone),
	KUNIT_CASE(packed_blocks_of_others_stay),
	KUNIT_CASE(a_shelf_leaves_others_alone),
	{ }
};

static struct kunit_suite lost_unseen_suite = {
	.name = "kmheap_lost_unseen",
	.init = kmh_kunit_init_areas,
	.exit = kmh_kunit_exit,
	.test_cases = lost_unseen_cases,
};

kunit_test_suite(lost_unseen_suite);
