// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: spans: the state of slots, made by hand. The spans here have no pages behind them
 * and are in no map, so a case may put their bits into any state.
 */
#include <linux/bitops.h>
#include <linux/llist.h>
#include <linux/prandom.h>

#include "kunit_util.h"

#define FAKE_BASE	BIT(40)

/* Classes by the number of their slot words. */
#define SPANCLASS_1	kmh_spanclass(32, false)	/* 8 slots of 1024 bytes */
#define SPANCLASS_4	kmh_spanclass(4, false)		/* 256 slots of 32 bytes */
#define SPANCLASS_TAIL	kmh_spanclass(3, false)		/* 341 slots of 24: 21 in the last word */
#define SPANCLASS_16	kmh_spanclass(1, true)		/* 1024 slots of 8 bytes */

static struct kmh_mheap *mheap(struct kunit *test)
{
	return &kmh_kunit_heap(test)->nodes[numa_mem_id()]->mheap;
}

static struct kmh_mspan *span_new(struct kunit *test, unsigned int spanclass)
{
	const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];
	struct kmh_mspan *s;

	KUNIT_ASSERT_EQ(test, kmh_mspan_pools_refill(4, GFP_KERNEL), 0);
	s = kmh_mspan_get(spanclass);
	KUNIT_ASSERT_NOT_NULL(test, s);
	s->heap = kmh_kunit_heap(test);
	s->mheap = mheap(test);
	s->arena = NULL;
	s->mcache = s->heap->mcache;
	kmh_mspan_init(s, spanclass, FAKE_BASE, class->npages);
	if (spanclass == KMH_SPANCLASS_LARGE) {
		s->npages = 5;
		s->large_bytes = 40000;
	}
	return s;
}

static void set_word(struct kmh_mspan *s, unsigned int word, unsigned long free,
		     unsigned long remote)
{
	s->w[word].free = free;
	atomic_long_set(&s->w[word].remote, remote);
}

/* The sweeper has preemption off. */
static unsigned int fold_word(struct kmh_mspan *s, unsigned int word)
{
	unsigned int n;

	preempt_disable();
	n = kmh_mspan_fold_word(s, word);
	preempt_enable();
	return n;
}

static unsigned int fold(struct kmh_mspan *s)
{
	unsigned int n;

	preempt_disable();
	n = kmh_mspan_fold(s);
	preempt_enable();
	return n;
}

static struct kmh_slots *next_word(struct kmh_mspan *s, unsigned int from)
{
	struct kmh_slots *w;

	preempt_disable();
	w = kmh_mspan_next_word(s, from);
	preempt_enable();
	return w;
}

/* Make every slot live. */
static void take_all(struct kmh_mspan *s)
{
	unsigned int i;

	for (i = 0; i < s->nwords; i++)
		set_word(s, i, 0, 0);
}

static unsigned int findings(const struct kmh_mspan *s)
{
	unsigned int counted = 0, n = kmh_mspan_validate(s, kmh_kunit_count_finding, &counted);

	return n == counted ? n : UINT_MAX;
}

static void init_every_spanclass(struct kunit *test)
{
	unsigned int spanclass, slot;

	for (spanclass = 0; spanclass < KMH_NR_SPANCLASSES; spanclass++) {
		const struct kmh_sizeclass *class = &kmh_classes[kmh_spanclass_class(spanclass)];
		bool large = spanclass == KMH_SPANCLASS_LARGE;
		bool tiny = spanclass == KMH_SPANCLASS_TINY;
		unsigned int nelems = large ? 1 : class->nelems, nfree = 0;
		struct kmh_mspan *s = span_new(test, spanclass);

		KUNIT_EXPECT_EQ(test, s->base, FAKE_BASE);
		KUNIT_EXPECT_EQ(test, s->npages, large ? 5 : class->npages);
		KUNIT_EXPECT_EQ(test, s->spanclass, spanclass);
		KUNIT_EXPECT_EQ(test, s->nelems, nelems);
		KUNIT_EXPECT_EQ(test, s->nwords, DIV_ROUND_UP(nelems, 64U));
		KUNIT_EXPECT_EQ(test, s->elemsize, large ? 0 : class->size);
		/* The words lie in the same places, whatever small class the descriptor serves. */
		KUNIT_EXPECT_EQ(test, kmh_mspan_bytes(s),
				sizeof(*s) + s->nwords * KMH_WORD_BYTES +
				(tiny ? KMH_PAGE_SIZE / 16 : 0));
		KUNIT_EXPECT_EQ(test, s->pool == 0, large);
		KUNIT_EXPECT_EQ(test, s->nfast, large || tiny || want_init_on_free() ? 0 : nelems);
		KUNIT_EXPECT_EQ(test, (int)s->state, large ? KMH_SPAN_LARGE :
					       tiny ? KMH_SPAN_TINY : KMH_SPAN_SMALL);
		KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_CACHED);
		KUNIT_EXPECT_NULL(test, s->owner);
		for (slot = 0; slot < s->nwords * 64U; slot++) {
			nfree += !!(s->w[slot / 64].free & BIT(slot % 64));
			if (!large && slot % 64 == 0)
				KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[slot / 64].remote),
						0L);
		}
		KUNIT_EXPECT_FALSE(test, large && kmh_large_claimed(s));
		KUNIT_EXPECT_EQ(test, nfree, large ? 0 : nelems);
		KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), large ? 1U : 0U);
		KUNIT_EXPECT_EQ_MSG(test, findings(s), 0U, "span class %u", spanclass);
		kmh_mspan_put(s);
	}
}

/* A large span without a large object, and other fields that contradict each other. */
static void validate_finds_misfits(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_4);

	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	s->state = KMH_SPAN_LARGE;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->state = KMH_SPAN_MANUAL;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->state = KMH_SPAN_TINY;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->state = KMH_SPAN_SMALL;
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	kmh_mspan_put(s);

	s = span_new(test, KMH_SPANCLASS_LARGE);
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	s->large_bytes = 0;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->large_bytes = 40961;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->large_bytes = SIZE_MAX;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->large_bytes = 40960;
	s->elemsize = 32768;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->elemsize = 0;
	s->state = KMH_SPAN_SMALL;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->state = KMH_SPAN_LARGE;
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	kmh_mspan_put(s);
}

/* A free computes the slot from an address: every byte of a span, and some on either side. */
static void init_divides_exactly(struct kunit *test)
{
	unsigned int spanclass;

	for (spanclass = KMH_SPANCLASS_TINY; spanclass < KMH_NR_SPANCLASSES; spanclass += 2) {
		struct kmh_mspan *s = span_new(test, spanclass);
		long bytes = (long)s->npages << KMH_PAGE_SHIFT, off;
		unsigned long nwrong = 0, slot;

		s->nfast = s->nelems;		/* 0 for packed spans */
		for (off = -2 * bytes; off < 3 * bytes; off++) {
			bool is = off >= 0 && !(off % s->elemsize) &&
				  off / s->elemsize < s->nelems;

			nwrong += kmh_mspan_slot_at(s, s->base + off, &slot) != is;
			nwrong += is && slot != off / s->elemsize;
		}
		/* Addresses that are powers of two away, as far as the arithmetic is exact. */
		for (off = 1UL << 17; off < 1UL << 35; off <<= 1) {
			nwrong += kmh_mspan_slot_at(s, s->base + off, &slot);
			nwrong += kmh_mspan_slot_at(s, s->base - off, &slot);
		}
		KUNIT_EXPECT_EQ_MSG(test, nwrong, 0UL, "span class %u", spanclass);
		s->nfast = 0;
		KUNIT_EXPECT_FALSE(test, kmh_mspan_slot_at(s, s->base, &slot));
		kmh_mspan_put(s);
	}
}

static void init_clears_what_the_last_user_left(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_16), *again;
	unsigned int i;

	for (i = 0; i < s->nwords; i++)
		set_word(s, i, ~0UL, 0x5555);
	s->owner = (void *)1;
	atomic_set(&s->home, KMH_HOME_FULL);
	kmh_mspan_put(s);

	again = span_new(test, SPANCLASS_TAIL + 1);
	kmh_mspan_put(again);
	again = span_new(test, SPANCLASS_16);
	KUNIT_EXPECT_PTR_EQ(test, again, s);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 0U);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[15].remote), 0L);
	KUNIT_EXPECT_NULL(test, s->owner);
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	kmh_mspan_put(s);
}

/* What a racing lookup finds in a descriptor that was put must lead to no mcentral. */
static void put_leaves_nothing_to_announce(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_1);
	struct kmh_mcentral *c = &kmh_kunit_heap(test)->nodes[numa_mem_id()]->central[SPANCLASS_1];

	take_all(s);
	s->owner = (void *)1;
	atomic_set(&s->home, KMH_HOME_FULL);
	kmh_mspan_put(s);

	KUNIT_EXPECT_EQ(test, s->nfast, 0U);
	KUNIT_EXPECT_EQ(test, (int)s->state, (int)KMH_SPAN_FREED);
	KUNIT_EXPECT_NULL(test, s->owner);
	KUNIT_EXPECT_EQ(test, atomic_read(&s->home), (int)KMH_HOME_CACHED);
	preempt_disable();
	KUNIT_EXPECT_EQ(test, (int)kmh_mspan_free_remote(s, 0), (int)KMH_FREE_OK);
	preempt_enable();
	KUNIT_EXPECT_FALSE(test, kmh_inbox_any_announced(c));
}

static void get_exhausted_returns_null(struct kunit *test)
{
	const unsigned int classes[] = { SPANCLASS_1, SPANCLASS_4, KMH_SPANCLASS_TINY };
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		u64 idle = kmh_fixallocs_unused_bytes(), left;
		struct kmh_mspan *s, *next;
		LLIST_HEAD(all);

		for (j = 0; j < 100000 && (s = kmh_mspan_get(classes[i])); j++)
			__llist_add(&s->node, &all);
		KUNIT_EXPECT_NULL(test, s);
		KUNIT_EXPECT_GT(test, j, 3U);
		KUNIT_EXPECT_TRUE(test, kmh_mspan_pools_short(classes[i]));
		/*
		 * A refusal leaves the pools as they are, even where one of two descriptors
		 * could be had.
		 */
		left = kmh_fixallocs_unused_bytes();
		KUNIT_EXPECT_NULL(test, kmh_mspan_get(classes[i]));
		KUNIT_EXPECT_EQ(test, kmh_fixallocs_unused_bytes(), left);
		KUNIT_EXPECT_EQ(test, kmh_mspan_pools_refill(64, GFP_KERNEL), 0);
		KUNIT_EXPECT_FALSE(test, kmh_mspan_pools_short(classes[i]));
		llist_for_each_entry_safe(s, next, all.first, node)
			kmh_mspan_put(s);
		KUNIT_EXPECT_GE(test, kmh_fixallocs_unused_bytes(), idle);
	}
}

/* ---- one free of one slot */

static void free_remote_by_state(struct kunit *test)
{
	static const struct {
		bool free, remote;
		enum kmh_free_result res;
		bool free_after, remote_after;
	} rows[] = {
		{ 0, 0, KMH_FREE_OK,     0, 1 },
		{ 1, 0, KMH_FREE_DOUBLE, 1, 0 },
		{ 0, 1, KMH_FREE_DOUBLE, 0, 1 },
		{ 1, 1, KMH_FREE_DOUBLE, 1, 1 },
	};
	static const unsigned int slots[] = { 0, 1, 63, 64, 127, 340 };
	struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (j = 0; j < ARRAY_SIZE(slots); j++) {
			unsigned int word = slots[j] / 64;
			unsigned long bit = BIT(slots[j] % 64);

			take_all(s);
			set_word(s, word, rows[i].free ? bit : 0, rows[i].remote ? bit : 0);
			preempt_disable();
			KUNIT_EXPECT_EQ_MSG(test, (int)kmh_mspan_free_remote(s, slots[j]),
					    (int)rows[i].res, "row %u slot %u", i, slots[j]);
			preempt_enable();
			KUNIT_EXPECT_EQ(test, s->w[word].free, rows[i].free_after ? bit : 0);
			KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[word].remote),
					rows[i].remote_after ? bit : 0);
		}
	}
	/* Reports are the caller's; this case makes none. */
	kmh_kunit_no_reports(test);
	kmh_mspan_put(s);
}

/* ---- the fold */

static void fold_word_by_state(struct kunit *test)
{
	static const struct {
		unsigned long free, remote;
		unsigned int freed;
		unsigned int ndoubles;
	} rows[] = {
		{ 0, 0, 0, 0 },
		{ ~0UL, 0, 0, 0 },
		{ 0, 1, 1, 0 },
		{ 0, ~0UL, 64, 0 },
		{ 0x00ff, 0xff00, 8, 0 },
		{ BIT(63), BIT(0), 1, 0 },
		{ BIT(7), BIT(7), 0, 1 },		/* a raced double: freed once */
		{ BIT(7), BIT(7) | BIT(8), 1, 1 },
		{ 0x0ff0, 0x00ff, 4, 4 },
		{ ~0UL, ~0UL, 0, 64 },
	};
	struct kmh_mspan *s = span_new(test, SPANCLASS_4);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		struct kmh_report r;
		unsigned long both = rows[i].free & rows[i].remote;

		take_all(s);
		set_word(s, 2, rows[i].free, rows[i].remote);
		KUNIT_EXPECT_EQ_MSG(test, fold_word(s, 2), rows[i].freed, "row %u", i);
		KUNIT_EXPECT_EQ(test, s->w[2].free, rows[i].free | rows[i].remote);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&s->w[2].remote), 0L);
		r = kmh_kunit_reports(test, KMH_DOUBLE_FREE, rows[i].ndoubles);
		if (both) {
			KUNIT_EXPECT_EQ(test, r.addr, FAKE_BASE + (128 + __fls(both)) * 32);
			KUNIT_EXPECT_EQ(test, r.object, r.addr);
			KUNIT_EXPECT_EQ(test, r.bytes, (size_t)32);
			KUNIT_EXPECT_EQ(test, (int)r.state, (int)KMH_SPAN_SMALL);
		}
		/* Nothing is left to fold or to report. */
		KUNIT_EXPECT_EQ(test, fold_word(s, 2), 0U);
		kmh_kunit_no_reports(test);
		KUNIT_EXPECT_EQ(test, findings(s), 0U);
	}
	kmh_mspan_put(s);
}

/* A slot that waits in either set is not folded and not reported, whatever its other bits are. */
static void fold_word_by_deferred_bits(struct kunit *test)
{
	static const struct {
		unsigned long free, remote, deferred[2];
		unsigned long free_after, remote_after;
		unsigned int freed, ndoubles;
	} rows[] = {
		{ 0, 0xff, { 0, 0 }, 0xff, 0, 8, 0 },
		{ 0, 0xff, { 0x0f, 0 }, 0xf0, 0x0f, 4, 0 },
		{ 0, 0xff, { 0, 0x0f }, 0xf0, 0x0f, 4, 0 },
		{ 0, 0xff, { 0x03, 0x0c }, 0xf0, 0x0f, 4, 0 },
		{ 0, 0xff, { 0x07, 0x0e }, 0xf0, 0x0f, 4, 0 },
		{ 0, 0xff, { 0xff, 0 }, 0, 0xff, 0, 0 },
		{ 0, ~0UL, { 0, ~0UL }, 0, ~0UL, 0, 0 },
		{ 0, BIT(63), { BIT(0), BIT(62) }, BIT(63), 0, 1, 0 },
		/*
		 * Slots that are not freed (packed blocks whose neighbours live): there is
		 * nothing to keep.
		 */
		{ 0, 0, { 0x3, 0x1 }, 0, 0, 0, 0 },
		/*
		 * A slot freed twice in a race is reported once, when its deferred free has
		 * expired.
		 */
		{ BIT(7), BIT(7), { BIT(7), 0 }, BIT(7), BIT(7), 0, 0 },
		{ BIT(7), BIT(7) | BIT(6), { BIT(6), 0 }, BIT(7), BIT(6), 0, 1 },
	};
	struct kmh_mspan *s = span_new(test, SPANCLASS_4);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		take_all(s);
		set_word(s, 2, rows[i].free, rows[i].remote);
		atomic_long_set(kmh_mspan_deferred(s, 2, 0), rows[i].deferred[0]);
		atomic_long_set(kmh_mspan_deferred(s, 2, 1), rows[i].deferred[1]);
		KUNIT_EXPECT_EQ_MSG(test, fold_word(s, 2), rows[i].freed, "row %u", i);
		KUNIT_EXPECT_EQ(test, s->w[2].free, rows[i].free_after);
		KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[2].remote),
				rows[i].remote_after);
		KUNIT_EXPECT_EQ(test, kmh_mspan_waiting(s, 2),
				rows[i].deferred[0] | rows[i].deferred[1]);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, rows[i].ndoubles);
		KUNIT_EXPECT_EQ(test, fold_word(s, 2), 0U);
	}
	kmh_mspan_put(s);
}

/* With deferred bits each slot is still counted as one thing. Nothing waits in other words. */
static void count_by_deferred_bits(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);
	struct kmh_span_count n;
	unsigned int i;

	take_all(s);
	set_word(s, 1, 0xf, 0xf0);
	atomic_long_set(kmh_mspan_deferred(s, 1, 0), 0x30);
	atomic_long_set(kmh_mspan_deferred(s, 1, 1), 0x60);
	/* A live slot whose deferred free lost its race, and a slot that was freed twice. */
	atomic_long_or(0x100, kmh_mspan_deferred(s, 1, 0));
	atomic_long_or(0x1, &s->w[1].remote);
	kmh_mspan_count(s, &n);
	KUNIT_EXPECT_EQ(test, n.free, 4U);
	KUNIT_EXPECT_EQ(test, n.deferred, 3U);
	KUNIT_EXPECT_EQ(test, n.remote, 1U);
	KUNIT_EXPECT_EQ(test, n.live, 341U - 8);
	for (i = 0; i < 341; i++)
		KUNIT_EXPECT_EQ(test, kmh_mspan_slot_waits(s, i),
				i >= 64 && i < 128 && 0x170 & BIT(i - 64));
	atomic_long_or(BIT(21), kmh_mspan_deferred(s, 5, 1));
	KUNIT_EXPECT_EQ_MSG(test, findings(s), 1U, "a bit behind the last slot");
	kmh_mspan_put(s);
}

static void fold_sums_words(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_16);
	unsigned int i, want = 0;

	take_all(s);
	for (i = 0; i < s->nwords; i++) {
		set_word(s, i, BIT(0), GENMASK(i, 0));
		want += i;
	}
	KUNIT_EXPECT_EQ(test, fold(s), want);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, s->nwords);
	for (i = 0; i < s->nwords; i++)
		KUNIT_EXPECT_EQ(test, s->w[i].free, GENMASK(i, 0));
	kmh_mspan_put(s);
}

/* A slot with both bits set is not available; the fold makes it free, once. */
static void avail_excludes_slots_with_both_bits(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_1);
	struct kmh_slots *w = &s->w[0];

	set_word(s, 0, BIT(1) | BIT(3), BIT(3) | BIT(5));
	KUNIT_EXPECT_EQ(test, kmh_slots_avail(w), BIT(1));
	set_word(s, 0, BIT(3), BIT(3));
	KUNIT_EXPECT_EQ(test, kmh_slots_avail(w), 0UL);
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 7U);
	fold(s);
	kmh_kunit_reports(test, KMH_DOUBLE_FREE, 1);
	KUNIT_EXPECT_EQ(test, kmh_slots_avail(w), BIT(3));
	KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 7U);
	kmh_mspan_put(s);
}

/* ---- looking for the next word */

/*
 * Every set of words with something to give, as free bits or as remote ones, from every
 * start: the first such word round the ring is found; words that were passed are folded, the
 * others are not.
 */
static void next_word_every_pattern(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_4);
	unsigned int free, remote, from, i;

	for (i = 0; i < 16 * 16 * 4; i++) {
		struct kmh_slots *want = NULL;
		unsigned int step, word, passed = 0;

		free = i % 16;
		remote = i / 16 % 16;
		from = i / 256;
		for (word = 0; word < 4; word++)
			set_word(s, word, free & BIT(word) ? BIT(10) : 0,
				 remote & BIT(word) ? BIT(20) : 0);
		for (step = 0; step < 4 && !want; step++) {
			word = (from + step) % 4;
			passed |= BIT(word);
			if ((free | remote) & BIT(word))
				want = &s->w[word];
		}
		KUNIT_EXPECT_PTR_EQ_MSG(test, next_word(s, from), want,
					"free %x remote %x from %u", free, remote, from);
		for (word = 0; word < 4; word++) {
			unsigned long left = remote & ~passed & BIT(word) ? BIT(20) : 0;
			unsigned long has = (free & BIT(word) ? BIT(10) : 0) |
					    (remote & passed & BIT(word) ? BIT(20) : 0);

			KUNIT_EXPECT_EQ(test, (unsigned long)atomic_long_read(&s->w[word].remote),
					left);
			KUNIT_EXPECT_EQ(test, s->w[word].free, has);
		}
	}
	kmh_kunit_no_reports(test);
	kmh_mspan_put(s);
}

static void next_word_full_returns_null(struct kunit *test)
{
	const unsigned int classes[] = { SPANCLASS_1, SPANCLASS_4, SPANCLASS_TAIL,
					 SPANCLASS_16, KMH_SPANCLASS_TINY };
	unsigned int i, from;

	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		struct kmh_mspan *s = span_new(test, classes[i]);

		KUNIT_EXPECT_PTR_EQ(test, next_word(s, 0), &s->w[0]);
		take_all(s);
		for (from = 0; from < s->nwords; from++)
			KUNIT_EXPECT_NULL(test, next_word(s, from));
		kmh_mspan_put(s);
	}
}

/* ---- counting */

static void live_against_model(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);
	struct rnd_state rnd;
	unsigned int round;

	prandom_seed_state(&rnd, 1);
	for (round = 0; round < 200; round++) {
		unsigned int slot, live = 0, remote = 0, nremote = ~0U;

		take_all(s);
		for (slot = 0; slot < s->nelems; slot++) {
			unsigned int bits = prandom_u32_state(&rnd) % (round % 4 + 1);

			if (bits & 1)
				s->w[slot / 64].free |= BIT(slot % 64);
			if (bits & 2)
				atomic_long_or(BIT(slot % 64), &s->w[slot / 64].remote);
			live += !bits;
			remote += bits == 2;
		}
		KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, &nremote), live);
		KUNIT_EXPECT_EQ(test, nremote, remote);
		KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), live);
	}
	kmh_mspan_put(s);
}

/* ---- the validator */

static void validate_finds_damage(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_TAIL);

	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	s->w[5].free |= BIT(21);		/* slot 341 of 0..340 */
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->w[5].free &= ~BIT(21);
	atomic_long_set(&s->w[5].remote, BIT(63));
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	atomic_long_set(&s->w[5].remote, BIT(20));
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	atomic_long_set(&s->w[5].remote, 0);

	s->nwords = 5;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->nwords = 6;
	s->nelems = 6 * 64 + 1;
	KUNIT_EXPECT_EQ(test, findings(s), 1U);
	s->nelems = 341;
	KUNIT_EXPECT_EQ(test, findings(s), 0U);
	kmh_mspan_put(s);
}

/* ---- many at once */

#define NR_FREERS	4U

struct race {
	struct kmh_mspan *s;
	unsigned int ok[NR_FREERS];
	unsigned int folded;
	bool fold;
};

/* Free every slot, each thread in an order of its own; thread 0 folds between. */
static void race_thread(void *arg, unsigned int i)
{
	struct race *r = arg;
	struct kmh_mspan *s = r->s;
	unsigned int n;

	for (n = 0; n < s->nelems; n++) {
		unsigned int slot = (n * (2 * i + 1) + i * 17) % s->nelems;

		preempt_disable();
		r->ok[i] += kmh_mspan_free_remote(s, slot) == KMH_FREE_OK;
		preempt_enable();
		if (!i && r->fold)
			r->folded += fold_word(s, slot / 64);
	}
}

/*
 * However many threads free a slot, it becomes free once; each other free is refused or
 * reported.
 */
static void free_remote_races_are_counted_once(struct kunit *test)
{
	struct kmh_mspan *s = span_new(test, SPANCLASS_16);
	unsigned int round, i;

	for (round = 0; round < 20; round++) {
		struct race *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);
		unsigned int ok = 0, reports;

		KUNIT_ASSERT_NOT_NULL(test, r);
		take_all(s);
		r->s = s;
		r->fold = round % 2;
		kmh_kunit_threads(test, NR_FREERS, race_thread, r);
		r->folded += fold(s);
		for (i = 0; i < NR_FREERS; i++)
			ok += r->ok[i];
		reports = ok - s->nelems;
		if (!r->fold)
			KUNIT_EXPECT_EQ(test, reports, 0U);
		KUNIT_EXPECT_EQ(test, r->folded, (unsigned int)s->nelems);
		KUNIT_EXPECT_EQ(test, kmh_kunit_live(s, NULL), 0U);
		kmh_kunit_reports(test, KMH_DOUBLE_FREE, reports);
		KUNIT_EXPECT_EQ(test, findings(s), 0U);
	}
	kmh_mspan_put(s);
}

static struct kunit_case mspan_cases[] = {
	KUNIT_CASE(init_every_spanclass),
	KUNIT_CASE(validate_finds_misfits),
	KUNIT_CASE(init_divides_exactly),
	KUNIT_CASE(init_clears_what_the_last_user_left),
	KUNIT_CASE(put_leaves_nothing_to_announce),
	KUNIT_CASE(get_exhausted_returns_null),
	KUNIT_CASE(free_remote_by_state),
	KUNIT_CASE(fold_word_by_state),
	KUNIT_CASE(fold_word_by_deferred_bits),
	KUNIT_CASE(count_by_deferred_bits),
	KUNIT_CASE(fold_sums_words),
	KUNIT_CASE(avail_excludes_slots_with_both_bits),
	KUNIT_CASE(next_word_every_pattern),
	KUNIT_CASE(next_word_full_returns_null),
	KUNIT_CASE(live_against_model),
	KUNIT_CASE(validate_finds_damage),
	KUNIT_CASE(free_remote_races_are_counted_once),
	{ }
};

static struct kunit_suite mspan_suite = {
	.name = "kmheap_mspan",
	.init = kmh_kunit_init,
	.exit = kmh_kunit_exit,
	.test_cases = mspan_cases,
};

kunit_test_suite(mspan_suite);
