// SPDX-License-Identifier: GPL-2.0
/* KUnit: packed objects: the allocator of data up to 12 bytes. */
#include <linux/prandom.h>
#include <linux/string.h>

#include "kunit_util.h"

#define BLOCK	16UL

static unsigned long block_of(const void *p)
{
	return round_down((unsigned long)p, BLOCK);
}

static struct kmh_mspan *span_of(const void *p)
{
	return kmh_span_of((unsigned long)p);
}

/* Blocks of the span that are in use, the open block included. */
static unsigned int blocks_in_use(const void *p)
{
	return kmh_kunit_live(span_of(p), NULL);
}

/* Close the block that the CPU packs into, so that the next object begins a block. */
static void close_block(struct kmheap *heap)
{
	struct kmh_mcache *mc;

	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	if (kmh_mcache_enter(mc)) {
		kmh_tiny_close(mc);
		kmh_mcache_leave(mc);
	}
	preempt_enable();
}

static void *tiny(struct kunit *test, size_t bytes)
{
	void *p = kmheap_alloc_data(kmh_kunit_heap(test), bytes, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, (int)span_of(p)->state, (int)KMH_SPAN_TINY);
	return p;
}

static void remote_free(void *p)
{
	kmheap_free(p);
}

/* Cases that look at single blocks stay on one CPU: each CPU packs its own block. */
static int tiny_init(struct kunit *test)
{
	kmh_kunit_stay(test);
	return kmh_kunit_init(test);
}

static const struct {
	const char *name;
	size_t bytes[5];
	u8 off[5];		/* in their block */
	u8 usable[5];
	u8 in_first;		/* objects that share the first block */
} pack_rows[] = {
	{ "four of 4", { 4, 4, 4, 4, 4 }, { 0, 4, 8, 12, 0 }, { 4, 4, 4, 4, 4 }, 4 },
	{ "four of 1", { 1, 1, 1, 1, 1 }, { 0, 4, 8, 12, 0 }, { 4, 4, 4, 4, 4 }, 4 },
	{ "two of 8", { 8, 8, 8 }, { 0, 8, 0 }, { 8, 8, 8 }, 2 },
	{ "12 and 4", { 12, 4, 4 }, { 0, 12, 0 }, { 12, 4, 4 }, 2 },
	{ "12 and 8", { 12, 8 }, { 0, 0 }, { 12, 8 }, 1 },
	{ "4 and 12", { 4, 12, 12 }, { 0, 4, 0 }, { 4, 12, 12 }, 2 },
	{ "4 and 8 leave a gap", { 4, 8, 1 }, { 0, 8, 0 }, { 4, 8, 4 }, 2 },
	{ "5, 7, 2", { 5, 7, 2 }, { 0, 8, 0 }, { 8, 8, 4 }, 2 },
	{ "9, 3", { 9, 3, 11 }, { 0, 12, 0 }, { 12, 4, 12 }, 2 },
	{ "6, 8", { 6, 8, 12 }, { 0, 8, 0 }, { 8, 8, 12 }, 2 },
	{ "3, 5, 4", { 3, 5, 4, 10 }, { 0, 4, 12, 0 }, { 4, 8, 4, 12 }, 3 },
};

static void packing(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int row, i, n;
	void *p[5];

	for (row = 0; row < ARRAY_SIZE(pack_rows); row++) {
		const char *name = pack_rows[row].name;

		close_block(heap);
		for (n = 0; n < ARRAY_SIZE(p) && pack_rows[row].bytes[n]; n++) {
			size_t bytes = pack_rows[row].bytes[n];

			p[n] = tiny(test, bytes);
			KUNIT_EXPECT_EQ_MSG(test, (unsigned long)p[n] % BLOCK,
					    (unsigned long)pack_rows[row].off[n], "%s: %u", name,
					    n);
			KUNIT_EXPECT_TRUE_MSG(test, IS_ALIGNED((unsigned long)p[n],
							       bytes % 8 ? 4 : 8), "%s", name);
			KUNIT_EXPECT_EQ_MSG(test, block_of(p[n]) == block_of(p[0]),
					    n < pack_rows[row].in_first, "%s: %u", name, n);
		}
		for (i = 0; i < n; i++) {
			KUNIT_EXPECT_EQ_MSG(test, kmheap_size(p[i]),
					    (size_t)pack_rows[row].usable[i], "%s: %u", name, i);
			kmh_kunit_fill(p[i]);
		}
		for (i = 0; i < n; i++)
			KUNIT_EXPECT_TRUE_MSG(test, kmh_kunit_filled(p[i]), "%s: %u", name, i);
		for (i = 0; i < n; i++)
			kmheap_free_sized(p[i], pack_rows[row].bytes[i]);
	}
}

static void sizes_that_are_packed(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	size_t bytes;

	for (bytes = 1; bytes <= 24; bytes++) {
		void *d = kmheap_alloc_data(heap, bytes, GFP_KERNEL);
		void *p = kmheap_alloc(heap, bytes, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, d);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_EQ_MSG(test, span_of(d)->state == KMH_SPAN_TINY,
				    bytes <= KMH_MAX_TINY, "%zu bytes", bytes);
		KUNIT_EXPECT_EQ(test, (int)span_of(p)->state, (int)KMH_SPAN_SMALL);
		kmheap_free(d);
		kmheap_free(p);
	}
}

/* The @seed-th order of four: the digits of @seed in the factorial number system. */
static void permute(unsigned int seed, unsigned int order[4])
{
	unsigned int left[4] = { 0, 1, 2, 3 }, i, n;

	for (n = 4; n; n--) {
		unsigned int pick = seed % n;

		seed /= n;
		order[4 - n] = left[pick];
		for (i = pick; i + 1 < n; i++)
			left[i] = left[i + 1];
	}
}

/* All 24 orders of frees: on this CPU, on another, and by turns. */
static void free_in_all_orders(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int seed, where, i, order[4];
	struct kmheap_object obj;
	void *p[4];

	for (where = 0; where < 3; where++) {
		for (seed = 0; seed < 24; seed++) {
			unsigned int before;

			close_block(heap);
			for (i = 0; i < 4; i++)
				p[i] = tiny(test, 4);
			close_block(heap);
			before = blocks_in_use(p[0]);
			for (i = 0; i < 4; i++)
				kmh_kunit_fill(p[i]);
			permute(seed, order);
			for (i = 0; i < 4; i++) {
				KUNIT_EXPECT_EQ(test, blocks_in_use(p[0]), before);
				KUNIT_EXPECT_EQ(test, kmheap_size(p[order[i]]), 4UL);
				KUNIT_EXPECT_TRUE(test, kmh_kunit_filled(p[order[i]]));
				if (where == 1 || (where == 2 && i % 2))
					kmh_kunit_elsewhere(test, remote_free, p[order[i]]);
				else
					kmheap_free(p[order[i]]);
				KUNIT_EXPECT_TRUE(test, kmheap_lookup(p[order[i]], &obj));
				KUNIT_EXPECT_NE(test, (int)obj.state, (int)KMHEAP_OBJECT_LIVE);
				KUNIT_EXPECT_PTR_EQ(test, obj.base, p[order[i]]);
			}
			KUNIT_EXPECT_EQ_MSG(test, blocks_in_use(p[0]), before - 1,
					    "order %u, where %u", seed, where);
		}
	}
}

/*
 * The open block stays open when all objects in it are freed, and is packed from its start
 * again.
 */
static void open_block_rewinds(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	void *a, *b, *c, *d;

	close_block(heap);
	a = tiny(test, 4);
	b = tiny(test, 8);
	kmheap_free(a);
	c = tiny(test, 4);		/* b is live: c lies in the next block */
	KUNIT_EXPECT_NE(test, block_of(c), block_of(a));
	kmheap_free(b);			/* the last object of a closed block */
	kmheap_free(c);
	KUNIT_EXPECT_EQ(test, blocks_in_use(c), 1U);
	d = tiny(test, 12);
	KUNIT_EXPECT_PTR_EQ(test, d, c);
	KUNIT_EXPECT_EQ(test, kmheap_size(d), 12UL);
	kmheap_free(d);
	kmh_kunit_elsewhere(test, remote_free, tiny(test, 8));
	a = tiny(test, 4);
	KUNIT_EXPECT_PTR_EQ(test, a, c);
	KUNIT_EXPECT_EQ(test, kmheap_size(a), 4UL);
	kmheap_free(a);
	close_block(heap);
	KUNIT_EXPECT_EQ(test, blocks_in_use(a), 0U);
}

/* A block that is freed while it is open stays with the CPU that packs into it. */
static void open_block_is_not_handed_out(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, n = 600;
	void **p = kunit_kcalloc(test, n, sizeof(*p), GFP_KERNEL), *first;

	KUNIT_ASSERT_NOT_NULL(test, p);
	close_block(heap);
	first = tiny(test, 4);
	kmheap_free(first);
	KUNIT_EXPECT_EQ(test, blocks_in_use(first), 1U);
	kmh_kunit_elsewhere(test, remote_free, tiny(test, 4));
	KUNIT_EXPECT_EQ(test, blocks_in_use(first), 1U);
	for (i = 0; i < n; i++) {
		p[i] = tiny(test, i % 3 ? 12 : 4);
		kmh_kunit_fill(p[i]);
	}
	for (i = 0; i < n; i++)
		if (!kmh_kunit_filled(p[i]))
			KUNIT_FAIL(test, "object %u shares its bytes", i);
	kmheap_free_bulk(n, p);
}

/* A block's boundaries go when it is freed: it is packed as a fresh block the next time. */
static void recycled_blocks_forget(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, round;
	void *p[8];

	for (round = 0; round < 4; round++) {
		size_t bytes = round % 2 ? 4 : 12;

		close_block(heap);
		for (i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = tiny(test, bytes);
		for (i = 0; i < ARRAY_SIZE(p); i++)
			KUNIT_EXPECT_EQ(test, kmheap_size(p[i]), bytes);
		kmheap_free_bulk(ARRAY_SIZE(p), p);
	}
}

struct model_object {
	u8 *p;
	size_t bytes, usable;
};

/* Random sizes and frees: the extent of an object stays as it was and meets no other. */
static void extents_are_stable(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct model_object *o = kunit_kcalloc(test, 200, sizeof(*o), GFP_KERNEL), *x;
	unsigned int i, step, live = 0;
	u64 nallocs = 0, nfrees = 0;
	struct kmheap_stats st;
	struct rnd_state rnd;

	KUNIT_ASSERT_NOT_NULL(test, o);
	prandom_seed_state(&rnd, 42);
	for (step = 0; step < 6000; step++) {
		x = &o[prandom_u32_state(&rnd) % 200];
		if (!x->p) {
			x->bytes = 1 + prandom_u32_state(&rnd) % KMH_MAX_TINY;
			x->p = tiny(test, x->bytes);
			x->usable = kmheap_size(x->p);
			if (x->usable != round_up(x->bytes, 4))
				KUNIT_FAIL(test, "%zu usable of %zu", x->usable, x->bytes);
			kmh_kunit_fill(x->p);
			nallocs++;
			live++;
			continue;
		}
		if (kmheap_size(x->p) != x->usable || !kmh_kunit_filled(x->p))
			KUNIT_FAIL(test, "%zu bytes in step %u have changed", x->bytes, step);
		if (step % 16)
			kmheap_free_sized(x->p, x->bytes);
		else
			kmh_kunit_elsewhere(test, remote_free, x->p);
		x->p = NULL;
		nfrees++;
		live--;
		if (step % 1000 == 0)
			kmh_mcache_drain_all(heap);
	}
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.allocs, nallocs);
	KUNIT_EXPECT_EQ(test, st.frees, nfrees);
	KUNIT_EXPECT_EQ(test, st.live_objects, (u64)live);
	for (i = 0; i < 200; i++)
		kmheap_free(o[i].p);
	close_block(heap);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, st.live_bytes, 0ULL);
	KUNIT_EXPECT_EQ(test, st.frees, nallocs);
}

static void busy_mcache_gives_ordinary_objects(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;
	struct kmheap_object obj;
	struct kmh_mcache *mc;
	void *p, *q;

	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	KUNIT_EXPECT_TRUE(test, kmh_mcache_enter(mc));
	p = kmheap_alloc_data(heap, 5, GFP_ATOMIC);
	q = kmheap_alloc_data(heap, 12, GFP_ATOMIC | __GFP_ZERO);
	kmheap_free(p);
	kmh_mcache_leave(mc);
	preempt_enable();
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_EXPECT_EQ(test, (int)span_of(q)->state, (int)KMH_SPAN_SMALL);
	KUNIT_EXPECT_EQ(test, kmheap_size(q), 16UL);
	KUNIT_EXPECT_NULL(test, memchr_inv(q, 0, 16));
	KUNIT_EXPECT_TRUE(test, kmheap_lookup(q, &obj) && obj.data);
	KUNIT_EXPECT_EQ(test, kmh_live_bytes(p), 0UL);
	kmheap_free(q);
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.allocs, 2ULL);
	KUNIT_EXPECT_EQ(test, st.frees, 2ULL);
}

/* A free that finds its own CPU's mcache busy closes no block and loses none. */
static void busy_mcache_frees_blocks(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmh_mcache *mc;
	void *a, *b;

	close_block(heap);
	a = tiny(test, 8);
	b = tiny(test, 8);
	close_block(heap);
	preempt_disable();
	mc = this_cpu_ptr(heap->mcache);
	KUNIT_EXPECT_TRUE(test, kmh_mcache_enter(mc));
	kmheap_free(a);
	kmheap_free(b);
	kmh_mcache_leave(mc);
	preempt_enable();
	KUNIT_EXPECT_EQ(test, blocks_in_use(a), 0U);
	kmheap_free(b);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
}

static void zeroed_when_asked(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;
	void *p[8];

	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = tiny(test, 4);
		memset(p[i], 0xa5, 4);
	}
	/* Zeroing writes the object's own granules: neighbours keep their bytes. */
	kmheap_free(p[2]);
	kmheap_free(p[7]);
	p[7] = kmheap_alloc_data(heap, 3, GFP_KERNEL | __GFP_ZERO);
	KUNIT_ASSERT_NOT_NULL(test, p[7]);
	KUNIT_EXPECT_NULL(test, memchr_inv(p[7], 0, 4));
	/* The object is alone in the open block: the next one takes its place. */
	memset(p[7], 0xa5, 4);
	kmheap_free(p[7]);
	KUNIT_EXPECT_PTR_EQ(test, kmheap_alloc_data(heap, 4, GFP_KERNEL | __GFP_ZERO), p[7]);
	KUNIT_EXPECT_NULL(test, memchr_inv(p[7], 0, 4));
	for (i = 0; i < 7; i++)
		if (i != 2)
			KUNIT_EXPECT_NULL(test, memchr_inv(p[i], 0xa5, 4));
	p[2] = NULL;
	kmheap_free_bulk(ARRAY_SIZE(p), p);
}

/* A lookup that holds no reference may find its span while it is recycled. */
static void looked_at_while_its_span_is_recycled(struct kunit *test)
{
	struct kmheap_object obj;
	void *p = tiny(test, 8);
	struct kmh_mspan *s = span_of(p);
	atomic_t *tiny = s->tiny, *other = kunit_kzalloc(test, KMH_PAGE_SIZE / BLOCK, GFP_KERNEL);
	unsigned long base, addr = (unsigned long)p;
	unsigned int block;
	bool live;

	kmh_kunit_no_worker(kmh_kunit_heap(test));
	KUNIT_EXPECT_EQ(test, kmh_tiny_live(s), 1U);
	KUNIT_ASSERT_NOT_NULL(test, other);
	memset(other, 0xff, KMH_PAGE_SIZE / BLOCK);
	s->tiny = other;		/* what is in its place by then */
	s->state = KMH_SPAN_SMALL;
	KUNIT_EXPECT_EQ(test, kmh_tiny_live(s), 0U);
	preempt_disable();
	KUNIT_EXPECT_EQ(test, kmh_tiny_extent(s, addr, &base, &block, &live), (size_t)0);
	preempt_enable();
	s->elemsize = 0;
	KUNIT_EXPECT_FALSE(test, kmheap_lookup(p, &obj));
	s->elemsize = BLOCK;
	s->tiny = tiny;
	s->state = KMH_SPAN_TINY;
	KUNIT_EXPECT_EQ(test, kmh_tiny_live(s), 1U);
	preempt_disable();
	KUNIT_EXPECT_EQ(test, kmh_tiny_extent(s, addr, &base, &block, &live), (size_t)8);
	preempt_enable();
	kmheap_free(p);
}

static struct kunit_case tiny_cases[] = {
	KUNIT_CASE(packing),
	KUNIT_CASE(sizes_that_are_packed),
	KUNIT_CASE(free_in_all_orders),
	KUNIT_CASE(open_block_rewinds),
	KUNIT_CASE(open_block_is_not_handed_out),
	KUNIT_CASE(recycled_blocks_forget),
	KUNIT_CASE(extents_are_stable),
	KUNIT_CASE(busy_mcache_gives_ordinary_objects),
	KUNIT_CASE(busy_mcache_frees_blocks),
	KUNIT_CASE(zeroed_when_asked),
	KUNIT_CASE(looked_at_while_its_span_is_recycled),
	{ }
};

static struct kunit_suite tiny_suite = {
	.name = "kmheap_tiny",
	.init = tiny_init,
	.exit = kmh_kunit_exit,
	.test_cases = tiny_cases,
};

kunit_test_suite(tiny_suite);
