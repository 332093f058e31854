// SPDX-License-Identifier: GPL-2.0
/* KUnit: arenas that a client has freed, as kvfree() or kfree_rcu() of an object does. */
#include <linux/vmalloc.h>

#include "kunit_util.h"

#define LARGE_BYTES	(64UL << 10)

static unsigned int nfindings;

static __printf(2, 3) void count_finding(void *ctx, const char *fmt, ...)
{
	nfindings++;
}

static unsigned int findings(struct kmheap *heap)
{
	nfindings = 0;
	kmh_validate_heap(heap, count_finding, NULL);
	return nfindings;
}

static const struct kmh_arena *arena_of(const void *p)
{
	return kmh_span_of((unsigned long)p)->arena;
}

/* Not by its address: the kernel may have given that to another arena of the heap meanwhile. */
static bool within(const struct kmh_arena *a, const void *p)
{
	return arena_of(p) == a;
}

/* One object of each kind, all in one arena; the large one is freed wrongly. */
struct mix {
	void *small, *tiny, *large, *pages;
	const struct kmh_arena *at;
};

static void make(struct kunit *test, struct kmheap *heap, struct mix *m)
{
	m->small = kmheap_alloc(heap, 200, GFP_KERNEL);
	m->tiny = kmheap_alloc_data(heap, 4, GFP_KERNEL);
	m->large = kmheap_alloc(heap, LARGE_BYTES, GFP_KERNEL);
	m->pages = kmheap_alloc_pages(heap, 2, GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, m->small && m->tiny && m->large && m->pages);
	m->at = arena_of(m->large);
	KUNIT_ASSERT_TRUE(test, within(m->at, m->small) && within(m->at, m->tiny) &&
			  within(m->at, m->pages));
}

/* vfree() of an address in the arena, which takes none within a page. */
static void free_area_of(void *p)
{
	vfree(PTR_ALIGN_DOWN(p, PAGE_SIZE));
}

/* What is allocated from now on lies in other arenas, and can be written to. */
static void expect_heap_goes_on(struct kunit *test, struct kmheap *heap,
				const struct kmh_arena *lost)
{
	static const size_t bytes[] = { 4, 16, 200, 4096, 8192, LARGE_BYTES };
	void *p[64];
	unsigned int i, k;

	for (k = 0; k < ARRAY_SIZE(bytes); k++) {
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			p[i] = i % 2 ? kmheap_alloc(heap, bytes[k], GFP_KERNEL) :
				       kmheap_alloc_data(heap, bytes[k], GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, p[i]);
			KUNIT_ASSERT_FALSE_MSG(test, within(lost, p[i]), "%zu bytes", bytes[k]);
			memset(p[i], 0x5a, bytes[k]);
		}
		for (i = 0; i < ARRAY_SIZE(p); i++)
			kmheap_free(p[i]);
	}
}

/*
 * The validators report the arena once; later frees are reported, and nothing of it is handed
 * out.
 */
static void validators_find_it(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;
	void *parked, *kept;
	struct mix m;

	make(test, heap, &m);
	parked = kmheap_alloc(heap, LARGE_BYTES, GFP_KERNEL);
	kmheap_free(parked);
	/* The object is too long for the rest of the first arena: it lies in another one. */
	kept = kmheap_alloc(heap, 512 << 10, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, kept);
	KUNIT_ASSERT_FALSE(test, within(m.at, kept));
	kmh_kunit_no_worker(heap);
	KUNIT_EXPECT_EQ(test, findings(heap), 0U);

	free_area_of(m.large);
	KUNIT_EXPECT_EQ(test, findings(heap), 1U);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_EQ(test, findings(heap), 0U);
	kmh_kunit_no_reports(test);

	kmheap_free(m.small);
	kmheap_free(m.tiny);
	kmheap_free(m.large);
	kmheap_free_pages(m.pages, 2);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 4);
	KUNIT_EXPECT_EQ(test, kmh_live_bytes(m.large), (size_t)0);
	memset64(kept, 1, (512 << 10) / sizeof(u64));	/* sparse has a limit for memset() */
	expect_heap_goes_on(test, heap, m.at);
	kmheap_free(kept);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	kmh_kunit_shrink(heap);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.arenas, 0ULL);
}

static void scavenger_finds_it(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct mix m;

	make(test, heap, &m);
	free_area_of(m.large);
	kmh_scavenge_step(heap, 1);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	kmh_scavenge_step(heap, 1);
	kmh_kunit_no_reports(test);
	expect_heap_goes_on(test, heap, m.at);
}

/* Allocate an area at @start, where one has just been freed. NULL when the kernel will not. */
static void *vmalloc_at(unsigned long start, size_t bytes)
{
	void *v[16], *found = NULL;
	unsigned int i;

	vm_unmap_aliases();	/* so that the addresses may be used again */
	for (i = 0; i < ARRAY_SIZE(v) && !found; i++) {
		v[i] = vmalloc(bytes);
		if ((unsigned long)v[i] == start)
			found = v[i];
	}
	while (i--)
		if (v[i] != found)
			vfree(v[i]);
	return found;
}

/* An area that has the addresses by now is left alone, however the arena is given back. */
static void area_at_the_same_address_stays(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned long start;
	size_t bytes;
	void *p, *v;

	p = kmheap_alloc(heap, 3 << 20, GFP_KERNEL);	/* in a dedicated arena */
	KUNIT_ASSERT_NOT_NULL(test, p);
	start = (unsigned long)arena_of(p)->vbase;
	bytes = arena_of(p)->bytes;
	kmh_kunit_settle(heap);
	vfree(p);
	v = vmalloc_at(start, bytes);
	if (!v)
		kunit_info(test, "the kernel gave other addresses\n");
	kmheap_free(p);		/* the last object: the worker gives the arena back */
	kmh_kunit_settle(heap);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	if (v) {
		KUNIT_EXPECT_NOT_NULL(test, vmalloc_to_page(v));
		memset(v, 2, bytes);
		vfree(v);
	}
}

/*
 * A client has freed the arena, and the kernel has put an arena of another heap at the addresses
 * of a part of it; nobody has noticed yet. Neither a free of an object that was there, nor the way
 * back of the arena, nor the end of the heap touches the other arena's entries, at whatever page
 * of a span they begin.
 */
static void expect_states(struct kunit *test, unsigned long page, unsigned long npages,
			  enum kmh_span_state state, const char *when)
{
	unsigned long i;

	for (i = 0; i < npages; i++)
		KUNIT_EXPECT_EQ_MSG(test, (int)kmh_span_of_page(page + i)->state,
				    i == 3 || i == 4 ? (int)KMH_SPAN_NONE : (int)state,
				    "%s, page %lu", when, i);
}

/* An object in the middle of which two pages are of another arena. */
static void *overlaid(struct kunit *test, struct kmheap *heap, unsigned long npages)
{
	void *p = kmheap_alloc(heap, npages << KMH_PAGE_SHIFT, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	kmh_arenamap_set(((unsigned long)p >> KMH_PAGE_SHIFT) + 3, 2, &kmh_span_none);
	return p;
}

static void entries_of_another_arena_stay(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-lost", NULL);
	unsigned long page, npages = KMH_LARGECACHE_PAGES + 1;
	void *p;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	p = overlaid(test, heap, npages);
	page = (unsigned long)p >> KMH_PAGE_SHIFT;
	kmheap_free(p);
	expect_states(test, page, npages, KMH_SPAN_FREED, "free");
	kmh_kunit_shrink(heap);
	expect_states(test, page, npages, KMH_SPAN_GONE, "shrink");
	kmh_arenamap_set(page + 3, 2, &kmh_span_gone);

	page = (unsigned long)overlaid(test, heap, npages) >> KMH_PAGE_SHIFT;
	kmheap_destroy(heap);
	expect_states(test, page, npages, KMH_SPAN_GONE, "destroy");
	kmh_arenamap_set(page + 3, 2, &kmh_span_gone);
}

/*
 * In a heap that has ended no entry of a lost arena leads to its descriptors, all of which have
 * gone back, also when the first page of a span is another arena's.
 */
static void no_entry_outlives_the_heap(struct kunit *test)
{
	unsigned long page, end, left, first;
	struct kmheap *heap;
	unsigned int round;
	void *parked;
	struct mix m;

	for (round = 0; round < 4; round++) {
		heap = kmheap_create("kunit-lost", NULL);
		KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
		make(test, heap, &m);
		/* vmalloc() aligns less. */
		page = DIV_ROUND_UP((unsigned long)m.at->vbase, KMH_PAGE_SIZE);
		end = ((unsigned long)m.at->vbase + m.at->bytes) >> KMH_PAGE_SHIFT;
		parked = kmheap_alloc(heap, LARGE_BYTES, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, parked);
		kmheap_free(parked);
		first = (unsigned long)(round == 1 ? m.large : round == 2 ? parked : m.pages) >>
			KMH_PAGE_SHIFT;
		if (round)
			kmh_arenamap_set(first, 1, &kmh_span_none);
		free_area_of(m.large);
		if (round != 3)
			KUNIT_EXPECT_EQ(test, kmh_lost_find(heap, false), 1U);
		kmheap_destroy(heap);
		kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
		for (left = 0; page < end; page++)
			left += kmh_span_of_page(page)->state != KMH_SPAN_GONE;
		KUNIT_EXPECT_EQ_MSG(test, left, round ? 1UL : 0UL, "round %u", round);
		kmh_arenamap_set(first, 1, &kmh_span_gone);
	}
}

/* Weak handles give NULL, and the end of the heap waits for no finalizers of lost objects. */
static void finalizer(void *p, void *arg)
{
	++*(unsigned int *)arg;
}

static void specials_go_too(struct kunit *test)
{
	struct kmheap *heap = kmheap_create("kunit-lost", NULL);
	unsigned int nrun = 0;
	struct kmheap_weak *weak;
	struct mix m;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	make(test, heap, &m);
	KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(m.small, finalizer, &nrun), 0);
	KUNIT_ASSERT_EQ(test, kmheap_set_finalizer(m.large, finalizer, &nrun), 0);
	weak = kmheap_weak_create(m.small);
	KUNIT_ASSERT_FALSE(test, IS_ERR(weak));
	free_area_of(m.large);
	kmheap_destroy(heap);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_EQ(test, nrun, 0U);
	KUNIT_EXPECT_NULL(test, kmheap_weak_get(weak));
	kmheap_weak_destroy(weak);
}

static void hold(void *page)
{
	get_page(page);
}

/*
 * The mark in a page of the kernel is removed with the arena: the page's next owner finds
 * none. The page is held when its arena goes and not before, or the object would not be given
 * back.
 */
static void pages_go_back_unmarked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct page *page;
	void *p = kmheap_alloc(heap, 3 << 20, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	page = vmalloc_to_page(arena_of(p)->vbase);
	KUNIT_EXPECT_NE(test, page_private(page), 0UL);
	kmh_kunit_at_any(test, "arena goes back", hold, page);
	kmheap_free(p);
	kmh_kunit_settle(heap);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("arena goes back"));
	KUNIT_EXPECT_EQ(test, page_ref_count(page), 1);
	KUNIT_EXPECT_EQ(test, page_private(page), 0UL);
	put_page(page);
}

/*
 * A client frees the arena, and it is found lost, while a large object in it is on its way. Then
 * the object is in no way the heap's again: what is allocated next lies elsewhere.
 */
struct lost_meanwhile {
	struct kmheap *heap;
	void *p;			/* in the arena */
	unsigned int found;
};

static void lose(void *arg)
{
	struct lost_meanwhile *l = arg;

	vfree(l->p);
	l->found = kmh_lost_find(l->heap, false);
}

static void lost_while_an_object_is_parked(struct kunit *test)
{
	struct lost_meanwhile l = { .heap = kmh_kunit_heap(test) };
	const struct kmh_arena *at;
	struct mix m;
	void *p;

	kmh_kunit_no_worker(l.heap);
	make(test, l.heap, &m);
	at = m.at;
	l.p = m.large;
	kmh_kunit_at(test, "a large object is parked", lose, &l);
	kmheap_free(m.large);
	KUNIT_ASSERT_TRUE(test, kmh_kunit_passed("a large object is parked"));
	KUNIT_EXPECT_EQ(test, l.found, 1U);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_EQ(test, (int)kmh_span_of((unsigned long)m.large)->state, (int)KMH_SPAN_GONE);
	p = kmheap_alloc(l.heap, LARGE_BYTES, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_FALSE(test, within(at, p));
	kmheap_free(p);
	kmh_kunit_validate(test);
}

/*
 * @place is where the object has pages of the arena already. Return: whether it lies in the
 * arena all the same; then it is not the heap's.
 */
static bool lies_in_what_was_lost(struct kunit *test, const char *place)
{
	struct lost_meanwhile l = { .heap = kmh_kunit_heap(test) };
	const struct kmh_arena *at;
	struct mix m;
	bool lost;
	void *p;

	kmh_kunit_no_worker(l.heap);
	make(test, l.heap, &m);
	at = m.at;
	l.p = m.small;
	kmheap_free(m.large);
	if (!strcmp(place, "a span is published"))
		kmh_kunit_shrink(l.heap);	/* none is parked */
	kmh_kunit_at(test, place, lose, &l);
	p = kmheap_alloc(l.heap, LARGE_BYTES, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, kmh_kunit_passed(place));
	KUNIT_EXPECT_EQ(test, l.found, 1U);
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_ASSERT_NOT_NULL(test, p);
	lost = within(at, p);
	if (!lost)
		memset(p, 1, LARGE_BYTES);
	kmheap_free(p);
	kmh_kunit_validate(test);
	return lost;
}

static void lost_while_a_span_is_published(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, lies_in_what_was_lost(test, "a span is published"));
}

static void lost_while_a_parked_span_is_taken(struct kunit *test)
{
	KUNIT_EXPECT_FALSE(test, lies_in_what_was_lost(test, "a parked span is taken"));
}

/*
 * Whoever searches waits until each CPU has been met outside of its section, and not until all of
 * them are: one CPU is in its section at the first look, another one at all that follow, until the
 * next round begins.
 */
#define LOOKS		20U

static struct {
	struct kmheap *heap;
	unsigned int cpu, other, nlooks;
	int round;
} turns;

static void take_turns(const char *place)
{
	if (strcmp(place, "lost arena: a CPU was in its section"))
		return;
	if (!turns.nlooks)
		turns.round = atomic_read(&turns.heap->lost_round);
	per_cpu_ptr(turns.heap->mcache, turns.other)->busy = 0;
	per_cpu_ptr(turns.heap->mcache, turns.cpu)->busy =
		turns.round == atomic_read(&turns.heap->lost_round) && ++turns.nlooks < LOOKS;
}

static void cpus_are_met_one_by_one(struct kunit *test)
{
	struct mix m;

	turns.heap = kmh_kunit_heap(test);
	turns.nlooks = 0;
	kmh_kunit_no_worker(turns.heap);
	kmh_kunit_stay(test);
	make(test, turns.heap, &m);
	turns.cpu = raw_smp_processor_id();
	turns.other = cpumask_any_but(cpu_online_mask, turns.cpu);
	KUNIT_ASSERT_LT(test, turns.other, nr_cpu_ids);
	free_area_of(m.large);
	per_cpu_ptr(turns.heap->mcache, turns.other)->busy = 1;
	WRITE_ONCE(kmh_test_point_hook, take_turns);
	KUNIT_EXPECT_EQ(test, kmh_lost_find(turns.heap, false), 1U);
	WRITE_ONCE(kmh_test_point_hook, NULL);
	synchronize_rcu();
	per_cpu_ptr(turns.heap->mcache, turns.cpu)->busy = 0;
	per_cpu_ptr(turns.heap->mcache, turns.other)->busy = 0;
	kmh_kunit_reports(test, KMH_INVALID_FREE, 1);
	KUNIT_EXPECT_EQ(test, turns.nlooks, 1U);
	expect_heap_goes_on(test, turns.heap, m.at);
}

static struct kunit_case lost_cases[] = {
	KUNIT_CASE(validators_find_it),
	KUNIT_CASE(scavenger_finds_it),
	KUNIT_CASE(area_at_the_same_address_stays),
	KUNIT_CASE(entries_of_another_arena_stay),
	KUNIT_CASE(no_entry_outlives_the_heap),
	KUNIT_CASE(specials_go_too),
	KUNIT_CASE(pages_go_back_unmarked),
	KUNIT_CASE(lost_while_an_object_is_parked),
	KUNIT_CASE(lost_while_a_span_is_published),
	KUNIT_CASE(lost_while_a_parked_span_is_taken),
	KUNIT_CASE(cpus_are_met_one_by_one),
	{ }
};

static struct kunit_suite lost_suite = {
	.name = "kmheap_lost",
	.init = kmh_kunit_init_areas,
	.exit = kmh_kunit_exit,
	.test_cases = lost_cases,
};

kunit_test_suite(lost_suite);
