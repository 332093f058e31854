// SPDX-License-Identifier: GPL-2.0
/* KUnit: what live objects hold back, and what was live at the peak of a heap. */
#include "conserved_kunit.h"
#include "profile_kunit.h"

#define NOBJECTS	2000U
#define KEEP_ONE_OF	100U

/* Bytes of the spans that objects lie in, each one once. */
static size_t span_bytes_of(void **p, unsigned int n)
{
	struct kmh_mspan *s, *last = NULL;
	size_t bytes = 0;

	/* Objects that were allocated one after the other lie so, too, in a heap that was empty. */
	for (; n; n--, p++) {
		if (!*p)
			continue;
		preempt_disable();
		s = kmh_span_of((unsigned long)*p);
		if (s != last)
			bytes += s->npages << KMH_PAGE_SHIFT;
		last = s;
		preempt_enable();
	}
	return bytes;
}

/* The site whose few objects are left has all of what its spans and the arena could give back. */
static void who_keeps_little_holds_much(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, nkept = NOBJECTS / KEEP_ONE_OF;
	struct kmh_profile_row row;
	static void *p[NOBJECTS];
	size_t want;

	kmh_kunit_stay(test);
	kmh_kunit_profile(test, 1);
	for (i = 0; i < NOBJECTS; i++)
		p[i] = kmh_kunit_alloc_at(test, i % KEEP_ONE_OF ? 31 : 32, 64);
	/* All of it lives: nothing is held back of a span. */
	row = kmh_kunit_row_of(test, 31, 64, KMH_PROFILE_PINS);
	KUNIT_EXPECT_EQ(test, row.live_objects, (unsigned long)NOBJECTS - nkept);
	KUNIT_EXPECT_LT(test, row.span_bytes, (unsigned long)KMH_PAGE_SIZE);
	for (i = 0; i < NOBJECTS; i++)
		if (i % KEEP_ONE_OF) {
			kmheap_free(p[i]);
			p[i] = NULL;
		}
	kmh_kunit_shrink(heap);
	row = kmh_kunit_row_of(test, 32, 64, KMH_PROFILE_PINS);
	want = span_bytes_of(p, NOBJECTS) - nkept * 64;
	KUNIT_EXPECT_LE(test, row.span_bytes, want);
	KUNIT_EXPECT_GE(test, row.span_bytes + nkept, want);	/* each share is rounded down */
	want = kmh_kunit_held_bytes(heap) - nkept * 64;
	KUNIT_EXPECT_LE(test, row.arena_bytes, want);
	KUNIT_EXPECT_GE(test, row.arena_bytes + nkept + KMH_PAGE_SIZE, want);
	KUNIT_EXPECT_EQ(test, kmh_kunit_row_of(test, 31, 64, KMH_PROFILE_PINS).span_bytes, 0UL);
	for (i = 0; i < NOBJECTS; i++)
		kmheap_free(p[i]);
	row = kmh_kunit_row_of(test, 32, 64, KMH_PROFILE_PINS);
	KUNIT_EXPECT_EQ(test, row.span_bytes + row.arena_bytes, 0UL);
	kmh_kunit_expect_conserved(test, heap);
}

/* From samples the same comes out, as far as samples say it. */
static void samples_hold_what_their_like_do(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, n = 5 * NOBJECTS, nkept = n / 25;
	struct kmh_profile_row row;
	u64 want, got;
	void **p = kvcalloc(n, sizeof(*p), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_kunit_stay(test);
	kmh_kunit_no_worker(heap);	/* it would grow ahead, after the shrink, too */
	kmh_kunit_profile(test, 256);
	for (i = 0; i < n; i++)
		p[i] = kmh_kunit_alloc_at(test, i % 25 ? 31 : 32, 256);
	for (i = 0; i < n; i++) {
		if (i % 25) {
			kmheap_free(p[i]);
			p[i] = NULL;
		}
	}
	kmh_kunit_shrink(heap);
	row = kmh_kunit_row_of(test, 32, 256, KMH_PROFILE_PINS);
	/* Of 400 objects 253 are samples: six sigma of what they hold are a fourth of it. */
	KUNIT_EXPECT_LT(test, row.live_objects, (unsigned long)nkept * 3 / 4);
	want = span_bytes_of(p, n) - nkept * 256;
	got = row.span_bytes * kmh_sample_weight(256, 256) >> 16;
	KUNIT_EXPECT_LT_MSG(test, abs_diff(got, want), want / 4, "%llu, not %llu", got, want);
	want = kmh_kunit_held_bytes(heap) - nkept * 256;
	got = row.arena_bytes * kmh_sample_weight(256, 256) >> 16;
	KUNIT_EXPECT_LT_MSG(test, abs_diff(got, want), want / 4 + KMH_PAGE_SIZE,
			    "%llu, not %llu", got, want);
	for (i = 0; i < n; i++)
		kmheap_free(p[i]);
	kvfree(p);
}

/* A large object holds back nothing of its span, and its arena unless that is well used. */
static void a_large_object_holds_its_arena(struct kunit *test)
{
	struct kmh_profile_row row;
	void *p;

	kmh_kunit_profile(test, 1);
	p = kmh_kunit_alloc_at(test, 33, 40000);
	row = kmh_kunit_row_of(test, 33, 40000, KMH_PROFILE_PINS);
	KUNIT_EXPECT_EQ(test, row.live_objects, 1UL);
	KUNIT_EXPECT_EQ(test, row.span_bytes, 0UL);
	KUNIT_EXPECT_TRUE(test, !row.arena_bytes || row.arena_bytes >= 7 * row.live_bytes);
	kmheap_free(p);
}

/* ---- pages that have been returned are others' by now */

/* The page of an object in the heap's first block, whose span has no other page. */
static unsigned long page_in_block(struct kunit *test, void *p, struct kmh_arena **a)
{
	struct kmh_mspan *s = kmh_span_of((unsigned long)p);

	*a = s->arena;
	KUNIT_ASSERT_TRUE(test, (*a)->block);
	KUNIT_ASSERT_EQ(test, s->npages, 1U);
	return ((unsigned long)p >> KMH_PAGE_SHIFT) - (*a)->first;
}

/*
 * A span of another arena of the heap is where a block has returned a page: what is live of it
 * counts for that arena alone, and so does what its object holds back.
 */
static void a_span_counts_for_its_own_arena(struct kunit *test)
{
	const struct kmh_leavers four = { .bytes = 4 << KMH_PAGE_SHIFT };
	struct kmh_arena *a, *other = kunit_kzalloc(test, sizeof(*other), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_profile_row row;
	unsigned long page, base;
	struct kmh_mspan *s;
	void *p, *q;

	KUNIT_ASSERT_NOT_NULL(test, other);
	kmh_kunit_no_worker(heap);
	kmh_kunit_profile(test, 1);
	p = kmh_kunit_alloc_at(test, 51, 1024);
	q = kmh_kunit_alloc_at(test, 52, 512);
	page_in_block(test, p, &a);
	page_in_block(test, q, &a);
	kmh_heap_drain(heap);
	KUNIT_ASSERT_EQ(test, kmh_pages_return(heap, &four), four.bytes);
	page = find_first_bit(a->returned, a->npages);
	KUNIT_ASSERT_LT(test, page, a->npages);

	s = kmh_span_of((unsigned long)q);
	base = s->base;
	WRITE_ONCE(s->arena, other);
	WRITE_ONCE(s->base, (a->first + page) << KMH_PAGE_SHIFT);
	kmh_arenamap_set(a->first + page, 1, s);
	row = kmh_kunit_row_of(test, 51, 1024, KMH_PROFILE_PINS);
	KUNIT_EXPECT_EQ(test, row.arena_bytes, (unsigned long)kmh_arena_held_bytes(a) - 1024);
	row = kmh_kunit_row_of(test, 52, 512, KMH_PROFILE_PINS);
	KUNIT_EXPECT_EQ(test, row.live_objects, 1UL);
	KUNIT_EXPECT_EQ(test, row.arena_bytes, 0UL);
	kmh_arenamap_set(a->first + page, 1, &kmh_span_gone);
	WRITE_ONCE(s->base, base);
	WRITE_ONCE(s->arena, a);
	kmheap_free(p);
	kmheap_free(q);
}

/* Records of what lies in a returned page stay when the block is lost, those of the rest do not. */
static void a_lost_block_keeps_the_records_of_others(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned long page;
	struct kmh_arena *a;
	void *p, *q;

	kmh_kunit_no_worker(heap);
	kmh_kunit_profile(test, 1);
	p = kmh_kunit_alloc_at(test, 53, 1024);
	q = kmh_kunit_alloc_at(test, 54, 512);
	page_in_block(test, p, &a);
	page = page_in_block(test, q, &a);
	set_bit(page, a->returned);	/* as if it were another arena's by now */
	__free_page(virt_to_page(p));	/* as kfree() does, before 7.x */
	KUNIT_EXPECT_EQ(test, kmh_lost_find(heap, false), 1U);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 53, 1024), 0UL);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live_at(test, 54, 512), 1UL);
	clear_bit(page, a->returned);
}

/* ---- the peak */

static void fill(struct kunit *test, void **p, unsigned int n, unsigned long ip)
{
	while (n--)
		p[n] = kmh_kunit_alloc_at(test, ip, 8192);
}

static unsigned long at_peak(struct kunit *test, unsigned long ip)
{
	return kmh_kunit_row_of(test, ip, 8192, KMH_PROFILE_PEAK).live_objects;
}

/* What was live when somebody asked at the highest point stays known when it has been freed. */
static void the_peak_stays_known(struct kunit *test)
{
	static void *p[600];

	kmh_kunit_profile(test, 1);
	fill(test, p, 300, 41);
	KUNIT_EXPECT_EQ(test, at_peak(test, 41), 300UL);
	kmheap_free_bulk(300, p);
	kmh_kunit_shrink(kmh_kunit_heap(test));
	fill(test, p, 10, 42);
	KUNIT_EXPECT_EQ(test, at_peak(test, 41), 300UL);
	KUNIT_EXPECT_EQ(test, at_peak(test, 42), 0UL);
	fill(test, p + 10, 590, 42);
	KUNIT_EXPECT_EQ(test, at_peak(test, 42), 600UL);
	KUNIT_EXPECT_EQ(test, at_peak(test, 41), 0UL);
	kmheap_free_bulk(600, p);
	/* A profile that begins forgets it. */
	kmh_kunit_profile(test, 1);
	KUNIT_EXPECT_EQ(test, at_peak(test, 42), 0UL);
	kmh_kunit_profile(test, 0);
	kmh_kunit_expect_conserved(test, kmh_kunit_heap(test));
}

/*
 * Where nobody asks, the heap notes its peaks as it grows: but for an arena and a sixteenth, and
 * unless somebody holds the mutex of profiles at that moment.
 */
static void a_heap_that_grows_notes_its_peak(struct kunit *test)
{
	static void *p[3000];
	unsigned long most = ARRAY_SIZE(p), n = 0;
	unsigned long least = (most - kmh_arena_bytes / 8192) * 16 / 17 - 8;
	unsigned int tries;

	kmh_ended_settle();	/* while others forget their profiles, nobody notes a peak */
	for (tries = 5; n < least && tries; tries--) {
		kmh_kunit_profile(test, 0);
		kmh_kunit_profile(test, 1);
		fill(test, p, most, 43);
		kmheap_free_bulk(most, p);
		kmh_kunit_shrink(kmh_kunit_heap(test));
		n = at_peak(test, 43);
	}
	KUNIT_EXPECT_GE(test, n, least);
	KUNIT_EXPECT_LE(test, n, most);
}

/* A heap that grows by the area of one object does so, too. */
static void a_user_area_notes_the_peak(struct kunit *test)
{
	static void *p[20];
	void *user;

	kmh_ended_settle();
	kmh_kunit_profile(test, 1);
	fill(test, p, ARRAY_SIZE(p), 44);
	user = kmheap_alloc_user(kmh_kunit_heap(test), 1, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, user);
	kmheap_free_bulk(ARRAY_SIZE(p), p);
	kmh_kunit_shrink(kmh_kunit_heap(test));
	KUNIT_EXPECT_EQ(test, at_peak(test, 44), ARRAY_SIZE(p));
	kmheap_free(user);
}

static struct kunit_case pins_cases[] = {
	KUNIT_CASE(who_keeps_little_holds_much),
	KUNIT_CASE(samples_hold_what_their_like_do),
	KUNIT_CASE(a_large_object_holds_its_arena),
	KUNIT_CASE(a_span_counts_for_its_own_arena),
	KUNIT_CASE(a_lost_block_keeps_the_records_of_others),
	KUNIT_CASE(the_peak_stays_known),
	KUNIT_CASE(a_heap_that_grows_notes_its_peak),
	KUNIT_CASE(a_user_area_notes_the_peak),
	{}
};

static struct kunit_suite pins_suite = {
	.name = "kmheap_pins",
	.init = kmh_kunit_profile_init,
	.exit = kmh_kunit_profile_exit,
	.test_cases = pins_cases,
};

kunit_test_suite(pins_suite);
