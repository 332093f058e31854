// SPDX-License-Identifier: GPL-2.0
/* KUnit: an object is freed while another user still holds its pages. */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>

#include "kunit_util.h"

#define NOBJS	16U

static struct page *page_of(const void *p)
{
	return is_vmalloc_addr(p) ? vmalloc_to_page(p) : virt_to_page(p);
}

static struct page *hold(void *p)
{
	struct page *page = page_of(p);

	get_page(page);
	return page;
}

/* The physical page that a byte is in, or where these are larger the part that is a heap page. */
static phys_addr_t part_of(const void *p)
{
	const size_t part = min(PAGE_SIZE, KMH_PAGE_SIZE);

	return page_to_phys(page_of(p)) + round_down(offset_in_page(p), part);
}

/* Is any object that is allocated now in the page that is at @held? */
static bool handed_out(struct kunit *test, struct kmheap *heap, size_t bytes, phys_addr_t held)
{
	const size_t part = min(PAGE_SIZE, KMH_PAGE_SIZE);
	void **p = kunit_kcalloc(test, NOBJS, sizeof(*p), GFP_KERNEL);
	bool found = false;
	unsigned int i;
	size_t off;

	KUNIT_ASSERT_NOT_NULL(test, p);
	for (i = 0; i < NOBJS; i++) {
		p[i] = kmheap_alloc(heap, bytes, GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, p[i]);
		for (off = 0; p[i] && off < bytes; off += part)
			found |= part_of(p[i] + off) == held;
	}
	for (i = 0; i < NOBJS; i++)
		kmheap_free(p[i]);
	return found;
}

struct way {
	const char *name;
	size_t bytes;
	void (*free)(void *p, size_t bytes);
	bool pages;
};

static void free_plain(void *p, size_t bytes)
{
	kmheap_free(p);
}

static void free_sized(void *p, size_t bytes)
{
	kmheap_free_sized(p, bytes);
}

static void free_bulk(void *p, size_t bytes)
{
	kmheap_free_bulk(1, &p);
}

static void free_sensitive(void *p, size_t bytes)
{
	kmheap_free_sensitive(p);
}

static void free_run(void *p, size_t bytes)
{
	kmheap_free_pages(p, bytes / KMHEAP_PAGE_SIZE);
}

static const struct way ways[] = {
	{ "parked", 64 << 10, free_plain },
	{ "of 1 MiB", 1 << 20, free_sized },
	{ "not parked", 3 << 19, free_plain },
	{ "of its own arena", 3 << 20, free_plain },
	{ "in bulk", 100000, free_bulk },
	{ "wiped", 40960, free_sensitive },
	{ "run of pages", 2 * KMHEAP_PAGE_SIZE, free_run, true },
};

static void held_pages_are_not_handed_out(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		const struct way *w = &ways[i];
		struct page *page;
		phys_addr_t at;
		void *p;

		p = w->pages ? kmheap_alloc_pages(heap, w->bytes / KMHEAP_PAGE_SIZE, GFP_KERNEL) :
			       kmheap_alloc(heap, w->bytes, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL_MSG(test, p, "%s", w->name);
		page = hold(p + w->bytes / 2);
		at = part_of(p + w->bytes / 2);
		w->free(p, w->bytes);
		KUNIT_EXPECT_FALSE_MSG(test, handed_out(test, heap, w->bytes, at), "%s", w->name);
		kmh_kunit_shrink(heap);
		KUNIT_EXPECT_FALSE_MSG(test, handed_out(test, heap, w->bytes, at), "%s", w->name);
		KUNIT_EXPECT_PTR_EQ_MSG(test, page_of(p + w->bytes / 2), page, "%s",
					w->name);
		kmh_kunit_balanced(test, heap, &st);
		KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
		kmh_kunit_validate(test);
		put_page(page);
		KUNIT_EXPECT_FALSE(test, kmh_held_release(heap));
		kmh_kunit_shrink(heap);
		kmh_kunit_balanced(test, heap, &st);
		KUNIT_EXPECT_EQ_MSG(test, st.arenas, 0ULL, "%s: does not come back", w->name);
	}
}

/* The scavenger finds that the pages are no longer held, and a second free is reported as one. */
static void scavenger_looks_again(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *p = kmheap_alloc(heap, 64 << 10, GFP_KERNEL);
	struct page *page;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, p);
	page = hold(p);
	kmheap_free(p);
	kmheap_free(p);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_TRUE(test, kmh_scavenge_step(heap, 250));
	KUNIT_EXPECT_EQ(test, kmh_span_of((unsigned long)p)->base, (unsigned long)p);
	put_page(page);
	kmh_scavenge_step(heap, 250);
	/* Free; of a block perhaps with the kernel already. */
	if (heap->backing != KMH_BACKING_AREA && kmh_span_of((unsigned long)p) == &kmh_span_gone)
		return;
	KUNIT_EXPECT_EQ(test, (int)kmh_span_of((unsigned long)p)->state, (int)KMH_SPAN_FREED);
	KUNIT_EXPECT_FALSE(test, kmh_held_release(heap));
}

/* An object whose pages are no longer held as soon as it is set aside. */
struct passing {
	struct kmheap *heap, *other;
	struct page *page;
	struct kmh_mspan *s;
	void *p[64];
	bool recycled;
};

/* Another CPU releases it, and its descriptor is taken by another heap. */
static void recycle(void *arg)
{
	struct passing *a = arg;
	unsigned int i;

	put_page(a->page);
	kmh_held_release(a->heap);
	for (i = 0; i < ARRAY_SIZE(a->p) && !a->recycled; i++) {
		a->p[i] = kmheap_alloc(a->other, 64 << 10, GFP_KERNEL);
		a->recycled = kmh_span_of((unsigned long)a->p[i]) == a->s;
	}
	atomic_set(&a->other->scavenge.kick.asked, 0);
}

/* Who has set an object aside touches it no more: the heap that is asked is the object's. */
static void what_is_set_aside_is_another_s(struct kunit *test)
{
	struct passing *a = kunit_kzalloc(test, sizeof(*a), GFP_KERNEL);
	void *p;

	KUNIT_ASSERT_NOT_NULL(test, a);
	a->heap = kmh_kunit_heap(test);
	a->other = kmheap_create("kunit-passing", NULL);
	KUNIT_ASSERT_FALSE(test, IS_ERR(a->other));
	p = kmheap_alloc(a->heap, 3 << 19, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, p);
	if (p) {
		a->s = kmh_span_of((unsigned long)p);
		a->page = hold(p);
		kmh_kunit_at(test, "held: the span is listed", recycle, a);
		kmheap_free(p);
		KUNIT_EXPECT_TRUE(test, kmh_kunit_passed("held: the span is listed"));
		KUNIT_EXPECT_TRUE(test, a->recycled);
		KUNIT_EXPECT_EQ(test, atomic_read(&a->other->scavenge.kick.asked), 0);
	}
	kmheap_free_bulk(ARRAY_SIZE(a->p), a->p);
	kmheap_destroy(a->other);
}

/*
 * A deferred free, and the end of the heap: held pages outlive the heap, as they outlive
 * vfree().
 */
static void pages_outlive_the_heap(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-held", NULL);
	struct page *page;
	phys_addr_t at;
	void *p;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	p = kmheap_zalloc(heap, 64 << 10, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	page = hold(p);
	at = part_of(p);
	kmheap_free_rcu(p);
	kmheap_rcu_barrier(heap);
	KUNIT_EXPECT_FALSE(test, handed_out(test, heap, 64 << 10, at));
	kmheap_destroy(heap);
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	put_page(page);
}

static struct kunit_case held_cases[] = {
	KUNIT_CASE(held_pages_are_not_handed_out),
	KUNIT_CASE(scavenger_looks_again),
	KUNIT_CASE(what_is_set_aside_is_another_s),
	KUNIT_CASE(pages_outlive_the_heap),
	{ }
};

static struct kunit_suite held_suite = {
	.name = "kmheap_held",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = held_cases,
};

kunit_test_suite(held_suite);
