// SPDX-License-Identifier: GPL-2.0
/* KUnit: kmheap_alloc_user(): whole zeroed pages that go to vfree() and to nobody else. */
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "kunit_util.h"

static const size_t sizes[] = { 1, 4096, 8192, 40000, 64 << 10, 1 << 20, (3 << 20) + 1 };

static unsigned int narenas(struct kmheap *heap)
{
	struct list_head *at;
	unsigned int n = 0;

	mutex_lock(&heap->arenas_mutex);
	list_for_each(at, &heap->arenas)
		n++;
	list_for_each(at, &heap->leaving)
		n++;
	mutex_unlock(&heap->arenas_mutex);
	return n;
}

/* A page at @p of which the case holds a reference, as user space does that has it mapped. */
static struct page *map_page(void *p)
{
	struct page *page = vmalloc_to_page(p);

	get_page(page);
	return page;
}

static void is_an_object(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, before = narenas(heap);
	struct kmheap_object obj;
	enum kmh_misuse kind;
	struct kmheap_stats st;
	void *p;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = kmheap_alloc_user(heap, sizes[i], i % 2 ? GFP_KERNEL : GFP_NOIO);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, KMH_PAGE_SIZE));
		KUNIT_EXPECT_TRUE(test, is_vmalloc_addr(p));
		KUNIT_EXPECT_NULL(test, memchr_inv(p, 0, sizes[i]));
		KUNIT_ASSERT_TRUE(test, kmheap_lookup(p + sizes[i] - 1, &obj));
		KUNIT_EXPECT_PTR_EQ(test, obj.base, p);
		KUNIT_EXPECT_TRUE(test, obj.data);
		KUNIT_EXPECT_GE(test, kmheap_size(p), sizes[i]);
		KUNIT_EXPECT_EQ(test, narenas(heap), before + 1);
		kmh_kunit_balanced(test, heap, &st);
		KUNIT_EXPECT_EQ(test, st.live_objects, 1ULL);
		kmh_kunit_validate(test);
		kmheap_free(p);
		kmh_kunit_no_reports(test);
		kmheap_free(p);
		/* Its arena may have gone by now, and the address with it. */
		kind = kmh_kunit(test)->nreports[KMH_DOUBLE_FREE] ? KMH_DOUBLE_FREE :
								     KMH_INVALID_FREE;
		kmh_kunit_reports(test, kind, 1);
		kmh_kunit_wait_for(test, narenas(heap) == before);
		kmh_kunit_balanced(test, heap, &st);
		KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	}
}

/* What a page in other hands shows after the free, and who else gets it. */
static void pages_stay_with_their_user(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct page *mapped[2];
	unsigned int i, j;
	void *p, *next[16];

	for (j = 0; j < 4; j++) {
		size_t bytes = j % 2 ? 128 << 10 : 3 << 20;

		p = kmheap_alloc_user(heap, bytes, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p);
		memset(p, 'u', bytes);
		mapped[0] = map_page(p);
		mapped[1] = map_page(p + bytes - PAGE_SIZE);
		if (j < 2)
			kmheap_free(p);
		else
			kmheap_free_rcu(p);
		for (i = 0; i < ARRAY_SIZE(next); i++) {
			next[i] = kmheap_alloc(heap, bytes, GFP_KERNEL | __GFP_ZERO);
			KUNIT_ASSERT_NOT_NULL(test, next[i]);
		}
		kmheap_rcu_barrier(heap);
		for (i = 0; i < 2; i++) {
			u8 *user = page_address(mapped[i]);

			KUNIT_EXPECT_NULL(test, memchr_inv(user, 'u', PAGE_SIZE));
			/* The free is not held up: the heap has no reference any more. */
			kmh_kunit_wait_for(test, page_ref_count(mapped[i]) == 1);
			KUNIT_EXPECT_NULL(test, memchr_inv(user, 'u', PAGE_SIZE));
			KUNIT_EXPECT_EQ(test, page_private(mapped[i]), 0UL);
			put_page(mapped[i]);
		}
		for (i = 0; i < ARRAY_SIZE(next); i++)
			kmheap_free(next[i]);
		kmh_kunit_give_back(heap);
	}
	kmh_kunit_validate(test);
}

/* Between the free and the end of the grace period nothing is allocated from the area. */
static void waits_for_nobody(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	size_t bytes = 3 << 20;
	struct kmh_mspan *s;
	struct kmh_arena *a;
	void *p, *other;

	kmh_kunit_no_worker(heap);
	p = kmheap_alloc_user(heap, bytes, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	s = kmh_span_of((unsigned long)p);
	a = s->arena;
	kmheap_free(p);
	KUNIT_EXPECT_EQ(test, a->range.nfree, a->npages);
	kmh_kunit_validate(test);
	other = kmheap_alloc(heap, bytes, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, other);
	KUNIT_EXPECT_PTR_NE(test, kmh_span_of((unsigned long)other)->arena, a);
	kmheap_free(other);
	kmh_kunit_give_back(heap);
}

/* All pages of the area are the caller's: what others have missed is missed still. */
static void leaves_the_demand_of_others(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mheap *mh = &kmh_heap_near_node(heap)->mheap;
	unsigned long ngrown = mh->ngrown;
	void *p;

	kmh_kunit_no_worker(heap);
	WRITE_ONCE(mh->missed_pages, 7);
	p = kmheap_alloc_user(heap, 64 << 10, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, mh->missed_pages, 7UL);
	KUNIT_EXPECT_EQ(test, mh->ngrown, ngrown);
	WRITE_ONCE(mh->missed_pages, 0);
	kmheap_free(p);
}

/* Who is refused, and that nothing is left behind whatever fails. */
static void is_refused(struct kunit *test)
{
	static const struct kmheap_attr linear = { .flags = KMHEAP_LINEAR };
	struct kmheap *heap = kmh_kunit_heap(test), *other;
	long n = atomic_long_read(&heap->refused);
	unsigned int nth;
	void *p;

	KUNIT_EXPECT_NULL(test, kmheap_alloc_user(heap, 0, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kmheap_alloc_user(heap, SIZE_MAX, GFP_KERNEL | __GFP_NOWARN));
	KUNIT_EXPECT_NULL(test, kmheap_alloc_user(heap, 4096, GFP_ATOMIC));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->refused), n + 3);

	other = kmheap_create("kunit-linear", &linear);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, other);
	KUNIT_EXPECT_NULL(test, kmheap_alloc_user(other, 4096, GFP_KERNEL));
	kmheap_destroy(other);

	KUNIT_ASSERT_EQ(test, kmheap_set_limit(heap, 1 << 20), 0);
	KUNIT_EXPECT_NULL(test, kmheap_alloc_user(heap, 2 << 20, GFP_KERNEL));
	KUNIT_ASSERT_EQ(test, kmheap_set_limit(heap, 0), 0);

	for (nth = 1, p = NULL; !p; nth++) {
		atomic_long_set(&kmh_fail_nth, nth);
		p = kmheap_alloc_user(heap, 64 << 10, GFP_KERNEL);
		KUNIT_EXPECT_TRUE(test, p || !atomic_long_read(&kmh_fail_nth));
	}
	atomic_long_set(&kmh_fail_nth, 0);
	KUNIT_EXPECT_GT(test, nth, 2U);
	kmheap_free(p);
	kmh_kunit_validate(test);
}

/* A heap that ends reports it, and takes it along; a collection does, too. */
static void ends_with_its_heap(struct kunit *test)
{
	static const struct kmheap_attr collected = { .flags = KMHEAP_COLLECTED };
	struct kmheap *heap = kmheap_create("kunit-user", &collected);
	struct kmheap_stats st;
	struct page *page;
	void *p, *kept;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, heap);
	p = kmheap_alloc_user(heap, 64 << 10, GFP_KERNEL);
	kept = kmheap_alloc_user(heap, 64 << 10, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_NOT_NULL(test, kept);
	memset(p, 'u', 64 << 10);
	page = map_page(p);
	kmh_kunit_collect_but(test, heap, kept, &st);
	kmh_kunit_wait_for(test, page_ref_count(page) == 1);
	KUNIT_EXPECT_NULL(test, memchr_inv(page_address(page), 'u', PAGE_SIZE));
	put_page(page);

	page = map_page(kept);
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	put_page(page);
}

static struct kunit_case user_cases[] = {
	KUNIT_CASE(is_an_object),
	KUNIT_CASE(pages_stay_with_their_user),
	KUNIT_CASE(waits_for_nobody),
	KUNIT_CASE(leaves_the_demand_of_others),
	KUNIT_CASE(is_refused),
	KUNIT_CASE(ends_with_its_heap),
	{ }
};

static struct kunit_suite user_suite = {
	.name = "kmheap_user",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = user_cases,
};

kunit_test_suite(user_suite);
