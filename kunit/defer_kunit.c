// SPDX-License-Identifier: GPL-2.0
/* KUnit: deferred frees: what waits, for how long, and what becomes of it. */
#include <linux/mm.h>
#include <linux/prandom.h>
#include <linux/string.h>

#include "sweep_kunit.h"

static void *alloc(struct kunit *test, size_t bytes)
{
	void *p = kmheap_alloc(kmh_kunit_heap(test), bytes, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

static void *alloc_data(struct kunit *test, size_t bytes)
{
	void *p = kmheap_alloc_data(kmh_kunit_heap(test), bytes, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

/* @nobjs objects of @bytes bytes wait; the figures count nothing else beside the live objects. */
static void expect_waiting(struct kunit *test, u64 nobjs, u64 bytes)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	struct kmheap_stats st;

	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.deferred_objects, nobjs);
	KUNIT_EXPECT_EQ(test, st.deferred_bytes, bytes);
	KUNIT_EXPECT_EQ(test, (u64)pending_bytes(heap), bytes);
	KUNIT_EXPECT_EQ(test, st.deferred_limit_bytes, (u64)kmh_defer_limit(heap));
}

static void expect_state(struct kunit *test, const void *p, size_t bytes,
			 enum kmheap_object_state state)
{
	struct kmheap_object obj;

	KUNIT_ASSERT_TRUE(test, kmheap_lookup(p + bytes - 1, &obj));
	KUNIT_EXPECT_PTR_EQ(test, obj.base, (void *)p);
	KUNIT_EXPECT_EQ(test, obj.bytes, bytes);
	KUNIT_EXPECT_EQ_MSG(test, (int)obj.state, (int)state, "%zu bytes", bytes);
	KUNIT_EXPECT_EQ(test, kmh_live_bytes(p), state == KMHEAP_OBJECT_LIVE ? bytes : 0);
}

/* With init_on_free memory is wiped when it becomes free; otherwise it stays as it was. */
static void expect_remains(struct kunit *test, const void *p, size_t bytes, int fill)
{
	KUNIT_EXPECT_NULL_MSG(test, memchr_inv(p, want_init_on_free() ? 0 : fill, bytes),
			      "%zu bytes", bytes);
}

/* ---- one object, from its free to its reuse */

/* Allocate @n objects and free them again. Was @p among them? */
static bool comes_up(struct kunit *test, const void *p, unsigned int spanclass, unsigned int n)
{
	size_t bytes = kmh_class_size(kmh_spanclass_class(spanclass));
	void **q = kunit_kcalloc(test, n, sizeof(*q), GFP_KERNEL);
	unsigned int i;
	bool found = false;

	KUNIT_ASSERT_NOT_NULL(test, q);
	for (i = 0; i < n; i++) {
		q[i] = kmh_spanclass_noscan(spanclass) ? alloc_data(test, bytes) :
							 alloc(test, bytes);
		found |= q[i] == p;
	}
	kmheap_free_bulk(n, q);
	kunit_kfree(test, q);
	return found;
}

static void defer_every_class(struct kunit *test)
{
	unsigned int i;

	for (i = 2; i < KMH_NR_SPANCLASSES; i++) {
		size_t bytes = kmh_class_size(kmh_spanclass_class(i));
		unsigned int n = kmh_classes[kmh_spanclass_class(i)].nelems;
		u8 *p;

		if (i & 1 && bytes <= KMH_MAX_TINY)
			continue;
		p = i & 1 ? alloc_data(test, bytes) : alloc(test, bytes);
		memset(p, i | 0x80, bytes);
		kmheap_free_rcu(p);
		expect_state(test, p, bytes, KMHEAP_OBJECT_DEFERRED);
		expect_waiting(test, 1, bytes);
		/*
		 * One more than the span of @p has slots: the span fills up and leaves the
		 * CPU.
		 */
		KUNIT_EXPECT_FALSE_MSG(test, comes_up(test, p, i, n + 1), "span class %u", i);
		defer_close(test);
		KUNIT_EXPECT_FALSE_MSG(test, comes_up(test, p, i, n + 1), "span class %u", i);
		expect_state(test, p, bytes, KMHEAP_OBJECT_DEFERRED);
		KUNIT_EXPECT_NULL(test, memchr_inv(p, i | 0x80, bytes));
		if (i % 16 == 2)
			kmh_kunit_validate(test);
		defer_expire(test);
		KUNIT_EXPECT_EQ(test, pending_bytes(kmh_kunit_heap(test)), 0L);
		expect_state(test, p, bytes, KMHEAP_OBJECT_FREE);
		expect_remains(test, p, bytes, i | 0x80);
		KUNIT_EXPECT_TRUE_MSG(test, comes_up(test, p, i, 3 * n), "span class %u", i);
	}
}

static void defer_large(struct kunit *test)
{
	static const size_t sizes[] = { 32769, 40000, 300000, 1000000, 2200000 };
	void *ballast = alloc(test, 32 << 20);	/* the limit of what may wait grows with the heap */
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u8 *p = alloc(test, sizes[i]), *q;
		size_t bytes = kmheap_size(p);
		struct kmh_mspan *s = kmh_span_of((unsigned long)p);
		bool dedicated = s->arena->dedicated;

		memset(p, 0x91, bytes);
		kmheap_free_rcu(p);
		expect_state(test, p, bytes, KMHEAP_OBJECT_DEFERRED);
		expect_waiting(test, 1, bytes);
		q = alloc(test, sizes[i]);
		KUNIT_EXPECT_TRUE(test, q != p);
		kmheap_free(q);
		kmh_largecache_drain_cpus(kmh_kunit_heap(test));
		kmh_largestore_drain(kmh_kunit_heap(test));
		defer_close(test);
		expect_state(test, p, bytes, KMHEAP_OBJECT_DEFERRED);
		KUNIT_EXPECT_NULL(test, memchr_inv(p, 0x91, bytes));
		defer_expire(test);
		expect_waiting(test, 0, 0);
		KUNIT_EXPECT_EQ(test, (int)kmh_span_of((unsigned long)p)->state,
				dedicated ? KMH_SPAN_GONE : KMH_SPAN_FREED);
		if (!dedicated) {
			expect_remains(test, p, bytes, 0x91);
			q = alloc(test, sizes[i]);
			KUNIT_EXPECT_PTR_EQ(test, q, p);
			kmheap_free(q);
		}
	}
	kmheap_free(ballast);
}

/* ---- packed objects: their block waits */

static unsigned long block_of(const void *p)
{
	return round_down((unsigned long)p, 16);
}

/* Fill a block with four objects of four bytes. */
static void tiny_block(struct kunit *test, u32 *p[4])
{
	struct kmh_mcache *mc = per_cpu_ptr(kmh_kunit_heap(test)->mcache, raw_smp_processor_id());
	unsigned int i;

	preempt_disable();
	kmh_mcache_enter(mc);
	kmh_tiny_close(mc);
	kmh_mcache_leave(mc);
	preempt_enable();
	for (i = 0; i < 4; i++) {
		p[i] = alloc_data(test, 4);
		*p[i] = 0xa5a5a500 + i;
		KUNIT_ASSERT_EQ(test, (unsigned long)p[i], block_of(p[0]) + 4 * i);
	}
}

/*
 * Free the objects in an order, those in @mask deferred. Neighbours that are live keep their
 * contents.
 */
static void free_block(struct kunit *test, u32 *p[4], unsigned int mask, unsigned int order)
{
	unsigned int i, j, done = 0;

	for (i = 0; i < 4; i++) {
		unsigned int at = i ^ order;

		if (mask & BIT(at))
			kmheap_free_rcu(p[at]);
		else
			kmheap_free(p[at]);
		done |= BIT(at);
		for (j = 0; j < 4; j++) {
			bool live = !(done & BIT(j));

			KUNIT_EXPECT_EQ_MSG(test, (int)state_of(p[j]),
					    live ? KMHEAP_OBJECT_LIVE :
					    done & mask ? KMHEAP_OBJECT_DEFERRED :
							  KMHEAP_OBJECT_FREE,
					    "mask %#x order %u object %u", mask, order, j);
			if (live || mask & BIT(j))
				KUNIT_EXPECT_EQ(test, *p[j], 0xa5a5a500 + j);
		}
	}
}

/*
 * Free a block's objects one by one, some of them deferred, while the CPU packs into the
 * block or after.
 */
static void defer_tiny_mix(struct kunit *test, unsigned int mask, unsigned int order, bool closed)
{
	u32 *p[4], *other[4], *q, *r[70];
	unsigned int i;

	tiny_block(test, p);
	if (closed)
		tiny_block(test, other);
	free_block(test, p, mask, order);
	/*
	 * The CPU packs into the block from its beginning again, if nothing in the block
	 * waits.
	 */
	q = alloc_data(test, 4);
	if (mask || !closed)
		KUNIT_EXPECT_EQ_MSG(test, block_of(q) == block_of(p[0]), !mask,
				    "mask %#x order %u", mask, order);
	kmheap_free(q);
	if (mask) {
		for (i = 0; i < ARRAY_SIZE(r); i++) {
			r[i] = alloc_data(test, 12);
			KUNIT_EXPECT_NE(test, block_of(r[i]), block_of(p[0]));
		}
		expect_waiting(test, 1, 16);
		for (i = 0; i < 4; i++)
			if (mask & BIT(i))
				KUNIT_EXPECT_EQ(test, *p[i], 0xa5a5a500 + i);
		close_and_expire(test);
		KUNIT_EXPECT_EQ(test, (int)state_of(p[0]), (int)KMHEAP_OBJECT_FREE);
		KUNIT_EXPECT_FALSE(test, kmh_slot_live(kmh_span_of((unsigned long)p[0]),
						       block_of(p[0]) % 8192 / 16));
		kmheap_free_bulk(ARRAY_SIZE(r), (void **)r);
	}
	if (closed)
		kmheap_free_bulk(4, (void **)other);
}

static void defer_tiny_every_mix(struct kunit *test)
{
	unsigned int mask, i;

	for (mask = 0; mask < 16; mask++)
		for (i = 0; i < 8; i++)
			defer_tiny_mix(test, mask, i / 2, i % 2);
}

static void open_block_is_not_rewound_before_expiry(struct kunit *test)
{
	u32 *full[4], *p, *q;

	tiny_block(test, full);
	p = alloc_data(test, 4);
	*p = 0x1234567;
	kmheap_free_rcu(p);
	/* The rest of the block is allocated, its beginning is not. */
	q = alloc_data(test, 4);
	KUNIT_EXPECT_PTR_EQ(test, q, p + 1);
	kmheap_free(q);
	q = alloc_data(test, 4);
	KUNIT_EXPECT_PTR_EQ(test, q, p + 2);
	kmheap_free(q);
	defer_close(test);
	q = alloc_data(test, 4);
	KUNIT_EXPECT_PTR_EQ(test, q, p + 3);
	kmheap_free(q);
	KUNIT_EXPECT_EQ(test, *p, 0x1234567U);
	defer_expire(test);
	q = alloc_data(test, 4);
	KUNIT_EXPECT_PTR_EQ(test, q, p);
	kmheap_free(q);
	kmheap_free_bulk(4, (void **)full);
}

/* Objects of one block are freed into both sets, one after the other. */
static void tiny_block_waits_in_both_sets(struct kunit *test)
{
	u32 *p[4], *next[4], *q;

	tiny_block(test, p);
	kmheap_free_rcu(p[0]);
	kmheap_free(p[3]);
	defer_close(test);
	kmheap_free_rcu(p[1]);
	defer_expire(test);
	KUNIT_EXPECT_EQ(test, (int)state_of(p[2]), (int)KMHEAP_OBJECT_LIVE);
	KUNIT_EXPECT_EQ(test, *p[1], 0xa5a5a501U);
	kmheap_free(p[2]);
	q = alloc_data(test, 4);
	KUNIT_EXPECT_NE(test, block_of(q), block_of(p[0]));
	kmheap_free(q);
	expect_waiting(test, 1, 16);
	close_and_expire(test);
	expect_waiting(test, 0, 0);
	tiny_block(test, next);
	kmheap_free_bulk(4, (void **)next);
}

/* ---- two sets */

static void closed_set_expires_alone(struct kunit *test)
{
	static const size_t sizes[] = { 64, 64, 4000, 100000 };
	void *first[ARRAY_SIZE(sizes)], *second[ARRAY_SIZE(sizes)];
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int round, i;

	for (round = 0; round < 4; round++) {
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			first[i] = alloc(test, sizes[i]);
			second[i] = alloc(test, sizes[i]);
			memset(second[i], 0x77, sizes[i]);
			kmheap_free_rcu(first[i]);
		}
		defer_close(test);
		/* These wait for a grace period that has not been asked for yet. */
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			kmheap_free_rcu(second[i]);
		KUNIT_EXPECT_TRUE(test, heap->defer.any[0] && heap->defer.any[1]);
		defer_expire(test);
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			KUNIT_EXPECT_EQ_MSG(test, (int)state_of(first[i]), (int)KMHEAP_OBJECT_FREE,
					    "%zu bytes", sizes[i]);
			expect_state(test, second[i], kmh_kunit_class_bytes(sizes[i]),
				     KMHEAP_OBJECT_DEFERRED);
			KUNIT_EXPECT_NULL(test, memchr_inv(second[i], 0x77, sizes[i]));
		}
		expect_waiting(test, 4, 64 + 64 + 4096 + 13 * 8192);
		close_and_expire(test);
		expect_waiting(test, 0, 0);
		for (i = 0; i < ARRAY_SIZE(sizes); i++)
			KUNIT_EXPECT_EQ(test, (int)state_of(second[i]), (int)KMHEAP_OBJECT_FREE);
	}
}

/*
 * A slot is in both sets, as the generation was read twice: it is free when the later set has
 * expired.
 */
static void slot_in_both_sets_waits_for_both(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i;

	for (i = 0; i < 3; i++) {	/* beginning with either set */
		u8 *p = alloc(test, 1024), *q = alloc(test, 1024);
		struct kmh_mspan *s = kmh_span_of((unsigned long)p);
		unsigned int slot = ((unsigned long)p - s->base) / 1024;

		memset(p, 0x42, 1024);
		kmheap_free_rcu(p);
		kmheap_free_rcu(q);
		defer_close(test);
		/*
		 * kmheap_free_rcu(p) does this when the sets change roles between its two
		 * looks.
		 */
		atomic_long_or(BIT(slot), kmh_mspan_deferred(s, 0, heap->defer.gen & 1));
		s->dirty[heap->defer.gen & 1] = 1;
		kmh_mspan_mcentral(s)->dirty[heap->defer.gen & 1] = 1;
		heap->defer.any[heap->defer.gen & 1] = 1;
		defer_expire(test);
		KUNIT_EXPECT_EQ(test, (int)state_of(q), (int)KMHEAP_OBJECT_FREE);
		expect_state(test, p, 1024, KMHEAP_OBJECT_DEFERRED);
		KUNIT_EXPECT_NULL_MSG(test, memchr_inv(p, 0x42, 1024), "wiped too early");
		close_and_expire(test);
		KUNIT_EXPECT_EQ(test, (int)state_of(p), (int)KMHEAP_OBJECT_FREE);
		expect_remains(test, p, 1024, 0x42);
		if (i != 1)
			continue;
		kmheap_free_rcu(alloc(test, 1024));
		close_and_expire(test);
	}
}

/* ---- misuse */

enum how { NOW, LATER, SIZED, SENSITIVE };

static void do_free(enum how how, void *p, size_t bytes)
{
	switch (how) {
	case NOW:
		kmheap_free(p);
		break;
	case LATER:
		kmheap_free_rcu(p);
		break;
	case SIZED:
		kmheap_free_sized(p, bytes);
		break;
	case SENSITIVE:
		kmheap_free_sensitive(p);
		break;
	}
}

/*
 * Free an object twice: the second time before it expires, after its set has closed, or
 * afterwards.
 */
static void free_twice(struct kunit *test)
{
	static const struct { enum how first, second; } rows[] = {
		{ LATER, LATER }, { LATER, NOW }, { LATER, SIZED },
		{ LATER, SENSITIVE }, { NOW, LATER },
	};
	static const size_t sizes[] = { 4, 8, 16, 1000, 32768, 50000 };
	struct kmheap *heap = kmh_kunit_heap(test);
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			void *keep = alloc_data(test, sizes[j]), *p = alloc_data(test, sizes[j]);
			/*
			 * A packed object does not wait by itself: its block does, which
			 * @keep still uses.
			 */
			bool waits = rows[i].first == LATER && sizes[j] > KMH_MAX_TINY;
			struct kmheap_stats st;
			u64 live;

			kmh_kunit_balanced(test, heap, &st);
			live = st.live_objects;
			do_free(rows[i].first, p, sizes[j]);
			do_free(rows[i].second, p, sizes[j]);
			kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
			kmh_kunit_balanced(test, heap, &st);
			KUNIT_EXPECT_EQ(test, st.live_objects, live - 1);
			KUNIT_EXPECT_EQ(test, st.deferred_objects, waits ? 1ULL : 0);
			if (rows[i].first == LATER) {
				defer_close(test);
				do_free(rows[i].second, p, sizes[j]);
				kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
				defer_expire(test);
			}
			do_free(rows[i].second, p, sizes[j]);
			kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
			kmh_kunit_balanced(test, heap, &st);
			KUNIT_EXPECT_EQ(test, st.live_objects, live - 1);
			KUNIT_EXPECT_EQ(test, st.deferred_objects, 0ULL);
			kmheap_free(keep);
		}
	}
}

static void defer_what_is_no_object(struct kunit *test)
{
	struct kmheap *heap = kmh_kunit_heap(test);
	char *small = alloc(test, 1000), *large = alloc(test, 50000), on_stack;
	char *tail = alloc(test, 24), *tiny = alloc_data(test, 12);
	char *pages = kmheap_alloc_pages(heap, 3, GFP_KERNEL);
	char *end = (char *)kmh_span_of((unsigned long)tail)->base + 8192 - 8;
	const struct {
		const void *p;
		unsigned int n;
	} rows[] = {
		{ NULL, 0 }, { ZERO_SIZE_PTR, 0 },
		{ small + 1, 1 }, { small + 1023, 1 }, { large + 1, 1 }, { large + 49999, 1 },
		{ tiny + 4, 1 }, { end, 1 },
		{ pages, 1 }, { pages + 8192, 1 }, { &on_stack, 1 }, { (void *)0x1234, 1 },
		{ (void *)-4096L, 1 }, { test, 1 },
	};
	struct kmheap_stats st;
	unsigned int i;

	KUNIT_ASSERT_NOT_NULL(test, pages);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		kmheap_free_rcu(rows[i].p);
		kmh_kunit_reports(test, KMH_INVALID_FREE, rows[i].n);
	}
	kmh_kunit_balanced(test, heap, &st);
	KUNIT_EXPECT_EQ(test, st.live_objects, 4ULL);
	KUNIT_EXPECT_EQ(test, st.deferred_objects, 0ULL);
	KUNIT_EXPECT_EQ(test, pending_bytes(heap), 0L);
	kmheap_free_pages(pages, 3);
	kmheap_free_rcu(pages);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	kmheap_free(small);
	kmheap_free(large);
	kmheap_free(tail);
	kmheap_free(tiny);
}

static void realloc_of_what_waits(struct kunit *test)
{
	void *p = alloc(test, 100);

	kmheap_free_rcu(p);
	KUNIT_EXPECT_NULL(test, kmheap_realloc(NULL, p, 50, GFP_KERNEL));
	KUNIT_EXPECT_NULL(test, kmheap_realloc(NULL, p, 5000, GFP_KERNEL));
	kmh_kunit_reports(test, KMH_INVALID_FREE, 2);
	close_and_expire(test);
}

/* ---- against a model */

#define NR_OBJECTS	200U

struct object {
	u8 *p;
	size_t bytes;
	unsigned long gen;
	enum { NONE, LIVE, WAITS } is;
	u8 fill;
};

static void model_check(struct kunit *test, struct object *o)
{
	if (o->is == NONE)
		return;
	KUNIT_EXPECT_EQ(test, (int)state_of(o->p),
			o->is == LIVE ? KMHEAP_OBJECT_LIVE : KMHEAP_OBJECT_DEFERRED);
	KUNIT_EXPECT_NULL(test, memchr_inv(o->p, o->fill, o->bytes));
}

static void model_object(struct kunit *test, struct object *o, u32 r)
{
	static const size_t sizes[] = { 13, 16, 40, 100, 1000, 5000, 20000, 40000 };
	unsigned long gen = kmh_kunit_heap(test)->defer.gen;

	model_check(test, o);
	if (o->is == WAITS)
		return;
	if (o->is == NONE) {
		o->bytes = sizes[r % ARRAY_SIZE(sizes)];
		o->p = r & BIT(8) ? alloc(test, o->bytes) : alloc_data(test, o->bytes);
		o->fill = r >> 9;
		memset(o->p, o->fill, o->bytes);
		o->is = LIVE;
	} else if (r & BIT(10)) {
		kmheap_free(o->p);
		o->is = NONE;
	} else {
		kmheap_free_rcu(o->p);
		o->is = WAITS;
		o->gen = gen;
	}
}

static void model_expire(struct kunit *test, struct object *o)
{
	unsigned long gen = kmh_kunit_heap(test)->defer.gen;
	unsigned int i;

	defer_expire(test);
	for (i = 0; i < NR_OBJECTS; i++) {
		if (o[i].is == WAITS && o[i].gen != gen) {
			KUNIT_EXPECT_EQ(test, (int)state_of(o[i].p), (int)KMHEAP_OBJECT_FREE);
			o[i].is = NONE;
		}
		model_check(test, &o[i]);
	}
}

static void defer_against_a_model(struct kunit *test)
{
	struct object *o = kunit_kcalloc(test, NR_OBJECTS, sizeof(*o), GFP_KERNEL);
	struct kmheap *heap = kmh_kunit_heap(test);
	void *ballast = alloc(test, 64 << 20);	/* so much that no grace period is hurried */
	unsigned int n, i, nexpired = 0;
	struct kmheap_stats st;
	struct rnd_state rnd;
	u64 bytes = 0;

	KUNIT_ASSERT_NOT_NULL(test, o);
	prandom_seed_state(&rnd, 20261121);
	for (n = 0; n < 20000; n++) {
		u32 r = prandom_u32_state(&rnd);

		if (r % 64 == 0 && heap->defer.waiting) {
			model_expire(test, o);
			nexpired++;
		} else if (r % 64 == 1 && !heap->defer.waiting && !kmh_defer_excess(heap) &&
			   heap->defer.any[heap->defer.gen & 1]) {
			defer_close(test);
		} else {
			model_object(test, &o[r % NR_OBJECTS], prandom_u32_state(&rnd));
		}
	}
	KUNIT_EXPECT_GT(test, nexpired, 50U);
	kmheap_stats(heap, &st);
	for (i = 0; i < NR_OBJECTS; i++)
		if (o[i].is == WAITS)
			bytes += kmh_kunit_class_bytes(o[i].bytes);
	expect_waiting(test, st.deferred_objects, bytes);
	for (i = 0; i < NR_OBJECTS; i++)
		if (o[i].is == LIVE)
			kmheap_free(o[i].p);
	kmheap_rcu_barrier(heap);
	expect_waiting(test, 0, 0);
	kmheap_free(ballast);
}

static struct kunit_case defer_cases[] = {
	KUNIT_CASE(defer_every_class),
	KUNIT_CASE(defer_large),
	KUNIT_CASE(defer_tiny_every_mix),
	KUNIT_CASE(open_block_is_not_rewound_before_expiry),
	KUNIT_CASE(tiny_block_waits_in_both_sets),
	KUNIT_CASE(closed_set_expires_alone),
	KUNIT_CASE(slot_in_both_sets_waits_for_both),
	KUNIT_CASE(free_twice),
	KUNIT_CASE(defer_what_is_no_object),
	KUNIT_CASE(realloc_of_what_waits),
	KUNIT_CASE(defer_against_a_model),
	{ }
};

static struct kunit_suite defer_suite = {
	.name = "kmheap_defer",
	.init = sweep_init,
	.exit = kmh_kunit_exit,
	.test_cases = defer_cases,
};

kunit_test_suite(defer_suite);
